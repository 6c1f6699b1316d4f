/*
 * calls_traverse.c - calls that go through a table.
 *
 * A position is a key, or a number: nothing is held between two calls.
 */
#include "call_key.h"
#include "estate.h"
#include "scan.h"

/* --- Keys, one after the other ------------------------------------------ */

/* A traversal at the key that a call names. */
struct step {
    struct xe_use use;
    struct xe_encoder encoder;
    struct xe_key key;
    const struct xe_key *after; /* NULL: before the first */
    bool back;                  /* to the one before, in an ordered table */
};

static bool is_there(const struct step *s, bool patient)
{
    const uint8_t *rec;
    struct xe_owned *t = s->use.table;
    return (xe_kind_is_bag(t->kind)
                ? xe_bag_member(t->core, s->use.slot, &s->key, patient)
                : xe_table_find_record(t->core, &s->key, &rec)) == XE_OK;
}

/* Whether one may go on from the key: in an ordered table from any but what ends traversals, even
 * if it is there, as in ets; in others a removed one is remembered while the table is fixed by
 * somebody who lives. */
static enum xe_status may_go_on(ErlNifEnv *env, const struct step *s, ERL_NIF_TERM term,
                                bool patient)
{
    struct xe_owned *t = s->use.table;
    if (t->kind == XE_ORDERED)
        return term == xe_am.end_of_table ? XE_ABSENT : XE_OK;
    enum xe_status status = xe_table_may_go_on(t->core, s->use.slot, &s->key, patient);
    if (status != XE_OK || XE_LIKELY(!xe_estate_has_fixers(t->estate)) || is_there(s, patient))
        return status;
    status = xe_estate_is_fixed(env, t->estate);
    return status == XE_ABSENT ? xe_table_may_go_on(t->core, s->use.slot, &s->key, patient)
                               : status;
}

/* Opens the section, and finds out whether one may go on from the key (NULL: from the start). */
static enum xe_result step_begin(ErlNifEnv *env, ERL_NIF_TERM table, const ERL_NIF_TERM *key,
                                 bool back, uint64_t budget, struct step *s)
{
    s->after = NULL;
    s->back = back;
    if (!key)
        return xe_use_begin(env, table, XE_NEED_READ, &s->use) ? XE_CALL_OK : XE_CALL_BADARG;
    enum xe_result result =
        xe_call_open(env, table, XE_NEED_READ, *key, budget, &s->use, &s->encoder);
    if (result != XE_CALL_OK)
        return result;
    s->after = &s->key;
    xe_call_key(&s->key, s->use.table, *key, &s->encoder);
    result = xe_call_of_core(may_go_on(env, s, *key, xe_call_is_patient(budget)));
    if (result != XE_CALL_OK)
        xe_call_close(&s->use, *key, &s->encoder);
    return result;
}

static void step_end(struct step *s, const ERL_NIF_TERM *key)
{
    if (key)
        xe_call_close(&s->use, *key, &s->encoder);
    else
        xe_use_end(&s->use);
}

static enum xe_status step_in_order(const struct step *s, struct xe_view *view)
{
    const struct xe_range forth = {.from = s->after, .from_exclusive = true};
    const struct xe_range back = {.to = s->after, .to_exclusive = true, .reverse = true};
    const uint8_t *rec;
    uint32_t n;
    enum xe_status status =
        xe_order_read(s->use.table->core, s->back ? &back : &forth, 1, &rec, &n);
    if (status == XE_OK && n == 0)
        return XE_ABSENT;
    if (status == XE_OK)
        xe_record_view(rec, view);
    return status;
}

/* The next object. XE_ABSENT: there is none. A group of a bag may have many segments. */
static enum xe_status step_on(const struct step *s, uint64_t budget, struct xe_view *view)
{
    enum { SEGMENTS_INLINE = 32 };
    if (s->use.table->kind == XE_ORDERED)
        return step_in_order(s, view);
    return xe_table_next(s->use.table->core, s->after,
                         budget == XE_TERM_NO_BUDGET ? UINT32_MAX : SEGMENTS_INLINE, view);
}

/* What a status other than XE_OK means. */
static enum xe_result of_step(enum xe_status status, ERL_NIF_TERM *out)
{
    *out = xe_am.end_of_table;
    return status == XE_ABSENT  ? XE_CALL_OK
           : status == XE_LIMIT ? XE_CALL_BUDGET
                                : xe_call_of_core(status);
}

static enum xe_result step_to_key(ErlNifEnv *env, ERL_NIF_TERM table, const ERL_NIF_TERM *key,
                                  bool back, uint64_t budget, ERL_NIF_TERM *out)
{
    struct step s;
    struct xe_view view;
    enum xe_result result = step_begin(env, table, key, back, budget, &s);
    if (result != XE_CALL_OK)
        return result;
    enum xe_status status = step_on(&s, budget, &view);
    result = status == XE_OK ? xe_call_of_term(xe_term_decode_key(env, &view, budget, out))
                             : of_step(status, out);
    step_end(&s, key);
    return result;
}

static enum xe_result single_pair(ErlNifEnv *env, struct xe_use *use, const struct xe_view *view,
                               ERL_NIF_TERM key, uint64_t budget, ERL_NIF_TERM *out)
{
    ERL_NIF_TERM object;
    enum xe_result result =
        xe_call_decode(env, view, use->table->keypos, key, NULL, budget, &object);
    if (result == XE_CALL_OK)
        *out = enif_make_tuple2(env, key, enif_make_list_cell(env, object, xe_call_nil));
    return result;
}

/* *out = 0: the objects have gone meanwhile. */
static enum xe_result bag_pair(ErlNifEnv *env, struct xe_use *use, ERL_NIF_TERM term,
                               uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_encoder e;
    struct xe_key key;
    ERL_NIF_TERM objects;
    enum xe_kind kind = use->table->kind;
    enum xe_result result = xe_call_encode_key(&e, env, kind, term, budget, false);
    if (result != XE_CALL_OK)
        return result;
    xe_call_key(&key, use->table, term, &e);
    result = xe_call_bag_list(env, use, &key, xe_call_reusable_key(term, &e), NULL, NULL,
                              budget, &objects);
    xe_call_key_end(&e, kind, term);
    *out = result == XE_CALL_OK && objects != xe_call_nil ? enif_make_tuple2(env, term, objects)
                                                          : 0;
    return result;
}

/* {Key, Objects} of the next key. */
static enum xe_result step_to_objects(ErlNifEnv *env, ERL_NIF_TERM table, const ERL_NIF_TERM *key,
                                      bool back, uint64_t budget, ERL_NIF_TERM *out)
{
    struct step s;
    struct xe_view view;
    ERL_NIF_TERM found;
    enum xe_result result = step_begin(env, table, key, back, budget, &s);
    if (result != XE_CALL_OK)
        return result;
    *out = 0;
    for (int i = 0; i < XE_CALL_TRIES && result == XE_CALL_OK && !*out; i++) {
        enum xe_status status = step_on(&s, budget, &view);
        if (status != XE_OK) {
            result = of_step(status, out);
            break;
        }
        result = xe_call_of_term(xe_term_decode_key(env, &view, budget, &found));
        if (result == XE_CALL_OK)
            result = xe_kind_is_bag(s.use.table->kind)
                         ? bag_pair(env, &s.use, found, budget, out)
                         : single_pair(env, &s.use, &view, found, budget, out);
    }
    step_end(&s, key);
    return result == XE_CALL_OK && !*out ? XE_CALL_RETRY : result;
}

/* As in ets there is no other direction in tables without an order: there last/1 is first/1, and
 * prev/2 is next/2. */
static enum xe_result first(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                            ERL_NIF_TERM *out)
{
    return step_to_key(env, argv[0], NULL, false, budget, out);
}
XE_CALL(first, 1)

static enum xe_result last(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                           ERL_NIF_TERM *out)
{
    return step_to_key(env, argv[0], NULL, true, budget, out);
}
XE_CALL(last, 1)

static enum xe_result next(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                           ERL_NIF_TERM *out)
{
    return step_to_key(env, argv[0], &argv[1], false, budget, out);
}
XE_CALL(next, 2)

static enum xe_result prev(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                           ERL_NIF_TERM *out)
{
    return step_to_key(env, argv[0], &argv[1], true, budget, out);
}
XE_CALL(prev, 2)

static enum xe_result first_lookup(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                   ERL_NIF_TERM *out)
{
    return step_to_objects(env, argv[0], NULL, false, budget, out);
}
XE_CALL(first_lookup, 1)

static enum xe_result last_lookup(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                  ERL_NIF_TERM *out)
{
    return step_to_objects(env, argv[0], NULL, true, budget, out);
}
XE_CALL(last_lookup, 1)

static enum xe_result next_lookup(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                  ERL_NIF_TERM *out)
{
    return step_to_objects(env, argv[0], &argv[1], false, budget, out);
}
XE_CALL(next_lookup, 2)

static enum xe_result prev_lookup(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                  ERL_NIF_TERM *out)
{
    return step_to_objects(env, argv[0], &argv[1], true, budget, out);
}
XE_CALL(prev_lookup, 2)

/* --- All objects -------------------------------------------------------- */

struct listing {
    ErlNifEnv *env;
    int keypos;
    uint64_t budget;
    ERL_NIF_TERM list;
    enum xe_result result;
};

static enum xe_result decode(struct listing *l, const struct xe_view *view, ERL_NIF_TERM *object)
{
    uint64_t words = xe_term_object_words(view);
    if (words > l->budget)
        return XE_CALL_BUDGET;
    l->budget -= l->budget == XE_TERM_NO_BUDGET ? 0 : words;
    return xe_call_of_term(
        xe_term_decode_object(l->env, view, l->keypos, 0, XE_TERM_NO_BUDGET, object));
}

static void list_object(void *arg, const struct xe_view *view)
{
    struct listing *l = arg;
    ERL_NIF_TERM object;
    if (l->result == XE_CALL_OK)
        l->result = decode(l, view, &object);
    if (l->result == XE_CALL_OK)
        l->list = enif_make_list_cell(l->env, object, l->list);
}

/* The list was built from its end. Visited in the order of insertion, the objects of a key in a bag
 * are to be in that order. */
static ERL_NIF_TERM listed(struct listing *l, enum xe_kind kind)
{
    ERL_NIF_TERM list = l->list;
    if (xe_kind_is_bag(kind))
        enif_make_reverse_list(l->env, l->list, &list);
    return list;
}

static enum xe_result visit_object(void *arg, const struct xe_view *view, ERL_NIF_TERM key,
                                   ERL_NIF_TERM *out)
{
    struct listing *l = arg;
    (void)key;
    return decode(l, view, out);
}

static enum xe_result tab2list(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                               ERL_NIF_TERM *out)
{
    struct listing l = {.env = env, .budget = budget};
    struct xe_scan s;
    enum xe_result result = xe_scan_begin(&s, env, argv[0], XE_NEED_READ, 0, false, budget);
    if (result != XE_CALL_OK)
        return result;
    l.keypos = s.form.keypos;
    s.whole = true;
    while (result == XE_CALL_OK && !s.is_done)
        result = xe_scan_next(&s, XE_CHUNK_MAX, visit_object, &l);
    if (result == XE_CALL_OK)
        *out = xe_scan_list(&s, 0, s.kept.n);
    xe_scan_end(&s);
    return result;
}
XE_CALL(tab2list, 1)

/* --- Slots -------------------------------------------------------------- */

/* Of an ordered table, slot i is its object i. */
static enum xe_result ordered_slot(struct listing *l, struct xe_table *t, uint64_t i,
                                   ERL_NIF_TERM *out)
{
    enum { SEGMENTS_INLINE = 4000 };
    const uint8_t *rec;
    struct xe_view view;
    enum xe_status status = xe_order_nth(t, i, &rec);
    if (status == XE_OK) {
        xe_record_view(rec, &view);
        list_object(l, &view);
        *out = l->list;
        return l->result;
    }
    if (status != XE_ABSENT)
        return xe_call_of_core(status);
    if (l->budget != XE_TERM_NO_BUDGET && xe_table_segments(t) > SEGMENTS_INLINE)
        return XE_CALL_BUDGET;
    uint64_t n = xe_table_size(t);
    *out = xe_am.end_of_table;
    /* If there are so many by now, the call is made once more. */
    return i == n ? XE_CALL_OK : i > n ? XE_CALL_BADARG : XE_CALL_RETRY;
}

/* Of others, a range of hashes. */
static enum xe_result hash_slot(struct listing *l, const struct xe_owned *t, uint64_t i,
                                ERL_NIF_TERM *out)
{
    uint64_t n = xe_table_slots(t->core);
    if (i >= n) {
        *out = xe_am.end_of_table;
        return i > n ? XE_CALL_BADARG : XE_CALL_OK;
    }
    enum xe_status status = xe_table_scan_slot(t->core, n, i, list_object, l);
    *out = listed(l, t->kind);
    return status == XE_OK ? l->result : xe_call_of_core(status);
}

static enum xe_result slot(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                           ERL_NIF_TERM *out)
{
    struct listing l = {.env = env, .budget = budget, .result = XE_CALL_OK};
    struct xe_use use;
    ErlNifUInt64 i;
    l.list = xe_call_nil;
    if (!xe_term_is_immediate(argv[1]) || !enif_get_uint64(env, argv[1], &i))
        return XE_CALL_BADARG;
    if (!xe_use_begin(env, argv[0], XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    l.keypos = use.table->keypos;
    enum xe_result result = use.table->kind == XE_ORDERED
                                ? ordered_slot(&l, use.table->core, i, out)
                                : hash_slot(&l, use.table, i, out);
    xe_use_end(&use);
    return result;
}
XE_CALL(slot, 2)
