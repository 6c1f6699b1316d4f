/*
 * calls_traverse.c - calls that go through a table.
 *
 * A position is a key, or a number: nothing is held between two calls.
 */
#include "call.h"
#include "estate.h"

/* --- Keys, one after the other ------------------------------------------ */

/* A traversal at the key that a call names. */
struct step {
    struct xe_use use;
    struct xe_encoder encoder;
    struct xe_key key;
    const struct xe_key *after; /* NULL: before the first */
};

static bool is_there(const struct step *s, bool patient)
{
    const uint8_t *rec;
    struct xe_owned *t = s->use.table;
    return (t->kind == XE_SET ? xe_table_find_record(t->core, &s->key, &rec)
                              : xe_bag_member(t->core, s->use.slot, &s->key, patient)) == XE_OK;
}

/* Whether one may go on from the key: a removed one is remembered while the table is fixed by
 * somebody who lives. */
static enum xe_status may_go_on(ErlNifEnv *env, const struct step *s, bool patient)
{
    struct xe_owned *t = s->use.table;
    enum xe_status status = xe_table_may_go_on(t->core, s->use.slot, &s->key, patient);
    if (status != XE_OK || XE_LIKELY(!xe_estate_has_fixers(t->estate)) || is_there(s, patient))
        return status;
    status = xe_estate_is_fixed(env, t->estate);
    return status == XE_ABSENT ? xe_table_may_go_on(t->core, s->use.slot, &s->key, patient)
                               : status;
}

/* Opens the section, and finds out whether one may go on from the key (NULL: from the start). */
static enum xe_result step_begin(ErlNifEnv *env, ERL_NIF_TERM table, const ERL_NIF_TERM *key,
                                 uint64_t budget, struct step *s)
{
    enum xe_result result = XE_CALL_OK;
    s->after = NULL;
    if (key)
        result = xe_call_encode_key(&s->encoder, env, *key, budget);
    if (result != XE_CALL_OK)
        return result;
    if (!xe_use_begin(env, table, XE_NEED_READ, &s->use)) {
        result = XE_CALL_BADARG;
    } else if (key) {
        s->after = &s->key;
        xe_call_key(&s->key, s->use.table, *key, &s->encoder);
        result = xe_call_of_core(may_go_on(env, s, xe_call_is_patient(budget)));
        if (result != XE_CALL_OK)
            xe_use_end(&s->use);
    }
    if (key && result != XE_CALL_OK)
        xe_call_key_end(&s->encoder, *key);
    return result;
}

static void step_end(struct step *s, const ERL_NIF_TERM *key)
{
    xe_use_end(&s->use);
    if (key)
        xe_call_key_end(&s->encoder, *key);
}

/* The next object. XE_ABSENT: there is none. A group of a bag may have many segments. */
static enum xe_status step_on(struct step *s, uint64_t budget, struct xe_view *view)
{
    enum { SEGMENTS_INLINE = 32 };
    return xe_table_next(s->use.table->core, s->after,
                         budget == XE_TERM_NO_BUDGET ? UINT32_MAX : SEGMENTS_INLINE, view);
}

static enum xe_result step_to_key(ErlNifEnv *env, ERL_NIF_TERM table, const ERL_NIF_TERM *key,
                                  uint64_t budget, ERL_NIF_TERM *out)
{
    struct step s;
    struct xe_view view;
    enum xe_result result = step_begin(env, table, key, budget, &s);
    if (result != XE_CALL_OK)
        return result;
    *out = xe_am.end_of_table;
    enum xe_status status = step_on(&s, budget, &view);
    if (status == XE_OK)
        result = xe_call_of_term(xe_term_decode_key(env, &view, budget, out));
    else if (status == XE_LIMIT)
        result = XE_CALL_BUDGET;
    step_end(&s, key);
    return result;
}

static enum xe_result set_pair(ErlNifEnv *env, struct xe_use *use, const struct xe_view *view,
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
    enum xe_result result = xe_call_encode_key(&e, env, term, budget);
    if (result != XE_CALL_OK)
        return result;
    xe_call_key(&key, use->table, term, &e);
    result = xe_call_bag_list(env, use, &key, xe_call_reusable_key(term, &e), NULL, NULL,
                              budget, &objects);
    xe_call_key_end(&e, term);
    *out = result == XE_CALL_OK && objects != xe_call_nil ? enif_make_tuple2(env, term, objects)
                                                          : 0;
    return result;
}

/* {Key, Objects} of the next key. */
static enum xe_result step_to_objects(ErlNifEnv *env, ERL_NIF_TERM table, const ERL_NIF_TERM *key,
                                      uint64_t budget, ERL_NIF_TERM *out)
{
    struct step s;
    struct xe_view view;
    ERL_NIF_TERM found;
    enum xe_result result = step_begin(env, table, key, budget, &s);
    if (result != XE_CALL_OK)
        return result;
    *out = 0;
    for (int i = 0; i < XE_CALL_TRIES && result == XE_CALL_OK && !*out; i++) {
        enum xe_status status = step_on(&s, budget, &view);
        if (status == XE_LIMIT) {
            result = XE_CALL_BUDGET;
            break;
        }
        if (status != XE_OK) {
            *out = xe_am.end_of_table;
            break;
        }
        result = xe_call_of_term(xe_term_decode_key(env, &view, budget, &found));
        if (result == XE_CALL_OK)
            result = s.use.table->kind == XE_SET
                         ? set_pair(env, &s.use, &view, found, budget, out)
                         : bag_pair(env, &s.use, found, budget, out);
    }
    step_end(&s, key);
    return result == XE_CALL_OK && !*out ? XE_CALL_RETRY : result;
}

static enum xe_result first(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                            ERL_NIF_TERM *out)
{
    return step_to_key(env, argv[0], NULL, budget, out);
}
XE_CALL(first, 1)

static enum xe_result next(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                           ERL_NIF_TERM *out)
{
    return step_to_key(env, argv[0], &argv[1], budget, out);
}
XE_CALL(next, 2)

static enum xe_result first_lookup(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                   ERL_NIF_TERM *out)
{
    return step_to_objects(env, argv[0], NULL, budget, out);
}
XE_CALL(first_lookup, 1)

static enum xe_result next_lookup(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                  ERL_NIF_TERM *out)
{
    return step_to_objects(env, argv[0], &argv[1], budget, out);
}
XE_CALL(next_lookup, 2)

/* --- All objects -------------------------------------------------------- */

struct listing {
    ErlNifEnv *env;
    int keypos;
    uint64_t budget;
    ERL_NIF_TERM list;
    enum xe_result result;
};

static void list_object(void *arg, const struct xe_view *view)
{
    struct listing *l = arg;
    ERL_NIF_TERM object;
    if (l->result != XE_CALL_OK)
        return;
    uint64_t words = xe_term_object_words(view);
    if (words > l->budget) {
        l->result = XE_CALL_BUDGET;
        return;
    }
    l->budget -= l->budget == XE_TERM_NO_BUDGET ? 0 : words;
    l->result = xe_call_of_term(
        xe_term_decode_object(l->env, view, l->keypos, 0, XE_TERM_NO_BUDGET, &object));
    if (l->result == XE_CALL_OK)
        l->list = enif_make_list_cell(l->env, object, l->list);
}

/* The list was built from its end. Visited in the order of insertion, the objects of a key in a bag
 * are to be in that order. */
static ERL_NIF_TERM listed(struct listing *l, enum xe_kind kind)
{
    ERL_NIF_TERM list = l->list;
    if (kind != XE_SET)
        enif_make_reverse_list(l->env, l->list, &list);
    return list;
}

static enum xe_result tab2list(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                               ERL_NIF_TERM *out)
{
    enum { SEGMENTS_INLINE = 2 };
    struct listing l = {.env = env, .budget = budget, .result = XE_CALL_OK};
    enum xe_kind kind = XE_SET;
    uint64_t position = 0;
    bool more = true;
    l.list = xe_call_nil;
    while (more && l.result == XE_CALL_OK) {
        struct xe_use use;
        /* Each segment in a section of its own; the table may have gone meanwhile. */
        if (!xe_use_begin(env, argv[0], XE_NEED_READ, &use))
            return XE_CALL_BADARG;
        l.keypos = use.table->keypos;
        kind = use.table->kind;
        if (budget != XE_TERM_NO_BUDGET && xe_table_segments(use.table->core) > SEGMENTS_INLINE)
            l.result = XE_CALL_BUDGET;
        else
            more = xe_table_scan(use.table->core, &position, list_object, &l);
        xe_use_end(&use);
        /* On a dirty scheduler a killed process goes on: nobody wants the result. */
        if (budget == XE_TERM_NO_BUDGET && !enif_is_current_process_alive(env))
            return XE_CALL_BADARG;
    }
    *out = listed(&l, kind);
    return l.result;
}
XE_CALL(tab2list, 1)

/* A slot is a range of hashes. */
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
    uint64_t n = xe_table_slots(use.table->core);
    l.keypos = use.table->keypos;
    if (i < n)
        xe_table_scan_slot(use.table->core, n, i, list_object, &l);
    *out = i == n ? xe_am.end_of_table : listed(&l, use.table->kind);
    xe_use_end(&use);
    return i > n ? XE_CALL_BADARG : l.result;
}
XE_CALL(slot, 2)
