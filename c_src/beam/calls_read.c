/*
 * calls_read.c - calls that read objects.
 *
 * A record is decoded inside the section that found it; a blob is pinned there and
 * decoded after it.
 */
#include <limits.h>

#include "call.h"

/* One object that a call has found, and how its key is to be made. */
struct found {
    struct xe_view view;
    ERL_NIF_TERM key; /* the caller's, or 0 */
    int keypos;
};

/* Finds the object of argv[1] in table argv[0]. XE_OK: the section is open, or the
 * blob pinned and the section closed. */
static inline __attribute__((always_inline)) enum xe_result find(ErlNifEnv *env, const ERL_NIF_TERM argv[], struct xe_encoder *e,
                           struct found *out, enum xe_status *status, struct xe_use *use, uint64_t budget)
{
    struct xe_key key;
    const uint8_t *rec;
    enum xe_result encoded = xe_call_encode_key(e, env, argv[1], budget);
    if (XE_UNLIKELY(encoded != XE_CALL_OK))
        return encoded;
    if (XE_UNLIKELY(!xe_use_begin(env, argv[0], XE_NEED_READ, use))) {
        xe_call_key_end(e, argv[1]);
        return XE_CALL_BADARG;
    }
    xe_call_key(&key, use->table, argv[1], e);
    out->keypos = use->table->keypos;
    out->key = xe_call_reusable_key(argv[1], e);
    *status = xe_table_find_record(use->table->core, &key, &rec);
    if (XE_LIKELY(*status == XE_OK)) {
        if (XE_LIKELY(xe_record_view_plain(rec, &out->view)))
            return XE_CALL_OK;
        xe_record_view(rec, &out->view);
        if (!out->view.blob)
            return XE_CALL_OK;
        xe_blob_pin(out->view.blob);
    }
    xe_use_end(use);
    if (*status == XE_OK || *status == XE_ABSENT)
        return XE_CALL_OK;
    xe_call_key_end(e, argv[1]);
    return xe_call_of_core(*status);
}

static void found_end(struct found *f, struct xe_use *use)
{
    if (XE_UNLIKELY(f->view.blob != NULL))
        xe_blob_unpin(f->view.blob);
    else
        xe_use_end(use);
}

static enum xe_result lookup(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                             ERL_NIF_TERM *out)
{
    struct xe_encoder e;
    struct found f;
    struct xe_use use;
    enum xe_status status;
    ERL_NIF_TERM object;
    enum xe_result result = find(env, argv, &e, &f, &status, &use, budget);
    if (XE_LIKELY(result == XE_CALL_OK)) {
        if (status == XE_ABSENT) {
            *out = enif_make_list_from_array(env, NULL, 0);
        } else {
            result = xe_call_of_term(
                xe_term_decode_object(env, &f.view, f.keypos, f.key, budget, &object));
            found_end(&f, &use);
            if (XE_LIKELY(result == XE_CALL_OK))
                *out = enif_make_list_from_array(env, &object, 1);
        }
        xe_call_key_end(&e, argv[1]);
    }
    return result;
}
XE_CALL(lookup, 2)

static enum xe_result member(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                             ERL_NIF_TERM *out)
{
    struct xe_encoder e;
    struct found f;
    struct xe_use use;
    enum xe_status status;
    enum xe_result result = find(env, argv, &e, &f, &status, &use, budget);
    if (XE_LIKELY(result == XE_CALL_OK)) {
        if (status == XE_OK)
            found_end(&f, &use);
        *out = xe_call_bool(status == XE_OK);
        xe_call_key_end(&e, argv[1]);
    }
    return result;
}
XE_CALL(member, 2)

/* As in ets any positive small integer is a position, also one past that of any element. */
static bool get_position(ErlNifEnv *env, ERL_NIF_TERM term, int *pos)
{
    long i;
    if (!xe_term_is_immediate(term) || !enif_get_long(env, term, &i) || i < 1)
        return false;
    *pos = i > INT_MAX ? INT_MAX : (int)i;
    return true;
}

/* `missing`: what an absent key gives; 0: badarg. */
static enum xe_result element(ErlNifEnv *env, const ERL_NIF_TERM argv[], ERL_NIF_TERM missing,
                              uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_encoder e;
    struct found f;
    struct xe_use use;
    enum xe_status status;
    int pos;
    if (!get_position(env, argv[2], &pos))
        return XE_CALL_BADARG;
    enum xe_result result = find(env, argv, &e, &f, &status, &use, budget);
    if (XE_LIKELY(result == XE_CALL_OK)) {
        if (XE_UNLIKELY(status == XE_ABSENT)) {
            *out = missing;
            result = missing ? XE_CALL_OK : XE_CALL_BADARG;
        } else {
            if (XE_LIKELY(pos <= xe_term_arity(&f.view)))
                result = xe_call_of_term(
                    xe_term_decode_element(env, &f.view, f.keypos, pos, f.key, budget, out));
            else
                result = XE_CALL_BADARG;
            found_end(&f, &use);
        }
        xe_call_key_end(&e, argv[1]);
    }
    return result;
}

static enum xe_result lookup_element(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                     ERL_NIF_TERM *out)
{
    return element(env, argv, 0, budget, out);
}
XE_CALL(lookup_element, 3)

static enum xe_result lookup_element_default(ErlNifEnv *env, const ERL_NIF_TERM argv[],
                                             uint64_t budget, ERL_NIF_TERM *out)
{
    return element(env, argv, argv[3], budget, out);
}
XE_CALL(lookup_element_default, 4)

/* The elements at `positions` of the object found. */
static enum xe_result elements(ErlNifEnv *env, const struct found *f, const int *positions,
                               ERL_NIF_TERM *terms, int n, uint64_t budget)
{
    int arity = xe_term_arity(&f->view);
    for (int i = 0; i < n; i++) {
        if (positions[i] > arity)
            return XE_CALL_BADARG;
        enum xe_term_status status = xe_term_decode_element(env, &f->view, f->keypos, positions[i],
                                                            f->key, budget, &terms[i]);
        if (status != XE_TERM_OK)
            return xe_call_of_term(status);
    }
    return XE_CALL_OK;
}

static enum xe_result lookup_elements(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                      ERL_NIF_TERM *out)
{
    enum { POSITIONS_MAX = 255 };
    struct xe_encoder e;
    struct found f;
    struct xe_use use;
    enum xe_status status;
    const ERL_NIF_TERM *given;
    int positions[POSITIONS_MAX], n;
    ERL_NIF_TERM terms[POSITIONS_MAX];
    if (!enif_get_tuple(env, argv[2], &n, &given) || n > POSITIONS_MAX)
        return XE_CALL_BADARG;
    for (int i = 0; i < n; i++)
        if (!enif_get_int(env, given[i], &positions[i]) || positions[i] < 1)
            return XE_CALL_BADARG;
    enum xe_result result = find(env, argv, &e, &f, &status, &use, budget);
    if (result == XE_CALL_OK) {
        if (status == XE_ABSENT) {
            result = XE_CALL_BADARG;
        } else {
            result = elements(env, &f, positions, terms, n, budget);
            found_end(&f, &use);
        }
        if (result == XE_CALL_OK)
            *out = enif_make_tuple_from_array(env, terms, (unsigned)n);
        xe_call_key_end(&e, argv[1]);
    }
    return result;
}
XE_CALL(lookup_elements, 3)

/* --- Many keys ---------------------------------------------------------- */

/* A group of keys looked up together. */
struct group {
    struct xe_encoder encoders[XE_FIND_MANY];
    struct xe_key keys[XE_FIND_MANY];
    struct xe_view views[XE_FIND_MANY];
    bool found[XE_FIND_MANY];
    ERL_NIF_TERM terms[XE_FIND_MANY];
    uint32_t n;
};

static enum xe_result group_encode(ErlNifEnv *env, struct group *g, ERL_NIF_TERM *keys,
                                   uint64_t budget)
{
    ERL_NIF_TERM key;
    for (g->n = 0; g->n < XE_FIND_MANY && enif_get_list_cell(env, *keys, &key, keys); g->n++) {
        g->terms[g->n] = key;
        enum xe_result result = xe_call_encode_key(&g->encoders[g->n], env, key, budget);
        if (XE_UNLIKELY(result != XE_CALL_OK))
            return result;
    }
    return XE_CALL_OK;
}

static void group_clear(struct group *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        xe_call_key_end(&g->encoders[i], g->terms[i]);
}

/* Decodes object i of the group into a list of one or none. */
static enum xe_result group_decode(ErlNifEnv *env, const struct group *g, uint32_t i, int keypos,
                                   uint64_t *budget, ERL_NIF_TERM *out)
{
    ERL_NIF_TERM object;
    if (!g->found[i]) {
        *out = enif_make_list_from_array(env, NULL, 0);
        return XE_CALL_OK;
    }
    ERL_NIF_TERM key = xe_call_reusable_key(g->terms[i], &g->encoders[i]);
    uint64_t words = xe_term_object_words(&g->views[i]);
    if (words > *budget)
        return XE_CALL_BUDGET;
    *budget -= *budget == XE_TERM_NO_BUDGET ? 0 : words;
    enum xe_result result = xe_call_of_term(
        xe_term_decode_object(env, &g->views[i], keypos, key, XE_TERM_NO_BUDGET, &object));
    if (XE_LIKELY(result == XE_CALL_OK))
        *out = enif_make_list_from_array(env, &object, 1);
    return result;
}

/* Records are decoded inside the section, blobs after it. */
static enum xe_result group_lookup(ErlNifEnv *env, ERL_NIF_TERM table, struct group *g,
                                   uint64_t *budget, ERL_NIF_TERM *out)
{
    struct xe_use use;
    if (!xe_use_begin(env, table, XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    int keypos = use.table->keypos;
    for (uint32_t i = 0; i < g->n; i++)
        xe_call_key(&g->keys[i], use.table, g->terms[i], &g->encoders[i]);
    enum xe_result result = xe_call_of_core(
        xe_table_find_many(use.table->core, g->keys, g->n, g->views, g->found));
    bool searched = result == XE_CALL_OK;
    for (uint32_t i = 0; searched && i < g->n; i++) {
        if (g->found[i] && g->views[i].blob)
            xe_blob_pin(g->views[i].blob);
        else if (result == XE_CALL_OK)
            result = group_decode(env, g, i, keypos, budget, &out[i]);
    }
    xe_use_end(&use);
    for (uint32_t i = 0; searched && i < g->n; i++) {
        if (!g->found[i] || !g->views[i].blob)
            continue;
        if (result == XE_CALL_OK)
            result = group_decode(env, g, i, keypos, budget, &out[i]);
        xe_blob_unpin(g->views[i].blob);
    }
    return result;
}

/* The length of a proper list; XE_CALL_BUDGET past the limit, XE_CALL_BADARG if improper. */
static enum xe_result list_length(ErlNifEnv *env, ERL_NIF_TERM list, uint64_t budget, unsigned *n)
{
    ERL_NIF_TERM rest = list, head;
    *n = 0;
    while (enif_get_list_cell(env, rest, &head, &rest))
        if (++*n > XE_CALL_INLINE_MAX && budget != XE_TERM_NO_BUDGET)
            return XE_CALL_BUDGET;
    return enif_is_empty_list(env, rest) ? XE_CALL_OK : XE_CALL_BADARG;
}

static enum xe_result lookup_many(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                  ERL_NIF_TERM *out)
{
    struct group g;
    struct xe_use use;
    ERL_NIF_TERM keys = argv[1];
    unsigned n;
    enum xe_result result = list_length(env, keys, budget, &n);
    if (result != XE_CALL_OK)
        return result;
    if (!xe_use_begin(env, argv[0], XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    xe_use_end(&use);
    ERL_NIF_TERM *results = enif_alloc((n + 1) * sizeof *results);
    if (!results)
        return XE_CALL_LIMIT;
    for (unsigned done = 0; done < n && result == XE_CALL_OK; done += g.n) {
        result = group_encode(env, &g, &keys, budget);
        if (result == XE_CALL_OK)
            result = group_lookup(env, argv[0], &g, &budget, &results[done]);
        group_clear(&g);
    }
    if (result == XE_CALL_OK)
        *out = enif_make_list_from_array(env, results, n);
    enif_free(results);
    return result;
}
XE_CALL(lookup_many, 2)

/* --- The whole table ---------------------------------------------------- */

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

static enum xe_result tab2list(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                               ERL_NIF_TERM *out)
{
    enum { SEGMENTS_INLINE = 2 };
    struct listing l = {.env = env, .budget = budget, .result = XE_CALL_OK};
    uint64_t position = 0;
    bool more = true;
    l.list = enif_make_list_from_array(env, NULL, 0);
    while (more && l.result == XE_CALL_OK) {
        struct xe_use use;
        /* Each segment in a section of its own; the table may have gone meanwhile. */
        if (!xe_use_begin(env, argv[0], XE_NEED_READ, &use))
            return XE_CALL_BADARG;
        l.keypos = use.table->keypos;
        if (budget != XE_TERM_NO_BUDGET && xe_table_segments(use.table->core) > SEGMENTS_INLINE)
            l.result = XE_CALL_BUDGET;
        else
            more = xe_table_scan(use.table->core, &position, list_object, &l);
        xe_use_end(&use);
        /* On a dirty scheduler a killed process goes on: nobody wants the result. */
        if (budget == XE_TERM_NO_BUDGET && !enif_is_current_process_alive(env))
            return XE_CALL_BADARG;
    }
    *out = l.list;
    return l.result;
}
XE_CALL(tab2list, 1)
