/*
 * calls_read.c - calls that read objects.
 *
 * A record is decoded inside the section that found it; a blob is pinned there and
 * decoded after it.
 */
#include <limits.h>

#include "../core/read.h"
#include "call_key.h"
#include "term_native.h"

/* An object that a call has found, and what is needed to decode it. The section is open. */
struct found {
    const uint8_t *rec;
    struct xe_use use;
    struct xe_encoder encoder; /* of the key: call_key.h */
    enum xe_status status;     /* XE_OK, XE_ABSENT; XE_LIMIT: nobody has looked, it is a bag */
};

/* Ends the section and the encoder. */
static inline void found_end(struct found *f, ERL_NIF_TERM key)
{
    xe_call_close(&f->use, key, &f->encoder);
}

/* Finds the object of a key that the encoder has. */
static __attribute__((noinline)) enum xe_status find_encoded(struct found *f, ERL_NIF_TERM term)
{
    const struct xe_owned *t = f->use.table;
    const struct xe_encoder *e = &f->encoder;
    if (XE_LIKELY(t->kind == XE_SET && e->klen <= XE_KEY_SHORT && !e->n_key_handles)) {
        struct xe_short_key key;
        uint64_t w0, w1;
        xe_bytes_words(e->bytes, e->klen, &w0, &w1);
        xe_short_key_init(&key, t->seed, w0, w1, (uint32_t)e->klen);
        return xe_read_short(t->core, &key, &f->rec);
    }
    struct xe_key key;
    xe_call_key(&key, t, term, e);
    return xe_table_find_record(t->core, &key, &f->rec);
}

/* The result of a call that has looked for an object; ends `f` unless that goes on. */
static inline enum xe_result found_result(struct found *f, ERL_NIF_TERM key)
{
    if (XE_LIKELY(f->status == XE_OK || f->status == XE_ABSENT))
        return XE_CALL_OK;
    found_end(f, key);
    return xe_call_of_core(f->status);
}

/* find() in an ordered table, which is used. */
static __attribute__((noinline)) enum xe_result
find_ordered(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget, struct found *f)
{
    struct xe_key_rest rest;
    struct xe_key key;
    if (XE_LIKELY(xe_key_short(env, argv[1], &key, &rest))) {
        xe_call_encode_short(&f->encoder, &key, &rest);
    } else {
        enum xe_result result =
            xe_call_open_key(env, argv[0], XE_NEED_READ, argv[1], budget, &f->use, &f->encoder);
        if (result != XE_CALL_OK)
            return result;
        xe_call_key(&key, f->use.table, argv[1], &f->encoder);
    }
    f->status = xe_order_lookup(f->use.table->core, &key, &f->rec);
    return found_result(f, argv[1]);
}

/* Finds the object of argv[1] in table argv[0]. */
static inline __attribute__((always_inline)) enum xe_result
find(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget, struct found *f)
{
    if (XE_UNLIKELY(!xe_use_begin(env, argv[0], XE_NEED_READ, &f->use)))
        return XE_CALL_BADARG;
    enum xe_kind kind = f->use.table->kind;
    if (XE_UNLIKELY(kind == XE_ORDERED))
        return find_ordered(env, argv, budget, f);
    enum xe_result result =
        xe_call_open_key(env, argv[0], XE_NEED_READ, argv[1], budget, &f->use, &f->encoder);
    if (XE_UNLIKELY(result != XE_CALL_OK))
        return result;
    if (XE_UNLIKELY(xe_kind_is_bag(kind))) {
        f->status = XE_LIMIT;
        return XE_CALL_OK;
    }
    if (XE_LIKELY(xe_call_key_is_words(kind, argv[1]))) {
        struct xe_short_key key;
        unsigned width = xe_term_width(argv[1]);
        xe_short_key_init(&key, f->use.table->seed, xe_call_word0(argv[1], width),
                          xe_call_word1(argv[1]), 1 + width);
        f->status = xe_read_short(f->use.table->core, &key, &f->rec);
    } else {
        f->status = find_encoded(f, argv[1]);
    }
    return found_result(f, argv[1]);
}

/* Applies `fn` to any object found, a blob pinned and outside of the section. Ends `f`. */
static __attribute__((noinline)) enum xe_result
with_view(ErlNifEnv *env, struct found *f, ERL_NIF_TERM key, xe_view_fn fn, const void *arg,
          uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_view view;
    int keypos = f->use.table->keypos;
    enum xe_result result;
    xe_record_view(f->rec, &view);
    ERL_NIF_TERM reusable = xe_call_key_of(&view, key, &f->encoder);
    if (view.blob) {
        xe_blob_pin(view.blob);
        found_end(f, key);
        result = fn(env, &view, keypos, reusable, arg, budget, out);
        xe_blob_unpin(view.blob);
    } else {
        result = fn(env, &view, keypos, reusable, arg, budget, out);
        found_end(f, key);
    }
    return result;
}

enum xe_result xe_call_decode(ErlNifEnv *env, const struct xe_view *view, int keypos,
                              ERL_NIF_TERM key, const void *arg, uint64_t budget,
                              ERL_NIF_TERM *out)
{
    (void)arg;
    return xe_call_of_term(xe_term_decode_object(env, view, keypos, key, budget, out));
}

static enum xe_result decode_listed(ErlNifEnv *env, const struct xe_view *view, int keypos,
                                    ERL_NIF_TERM key, const void *arg, uint64_t budget,
                                    ERL_NIF_TERM *out)
{
    (void)arg;
    return xe_call_of_term(
        xe_term_decode_listed(env, view, keypos, key, xe_call_nil, budget, out));
}

/* The list of what `fn` makes of the objects of a bag. Ends `f`. */
static __attribute__((noinline)) enum xe_result
with_bag(ErlNifEnv *env, struct found *f, ERL_NIF_TERM term, xe_view_fn fn, const void *arg,
         uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_key key;
    xe_call_key(&key, f->use.table, term, &f->encoder);
    enum xe_result result =
        xe_call_bag_list(env, &f->use, &key, xe_call_reusable_key(term, &f->encoder), fn, arg,
                         budget, out);
    found_end(f, term);
    return result;
}

/* Most objects with a large binary are pairs of a key and that. False: this one is not, or its key
 * is to be decoded. */
static bool make_shared_pair(ErlNifEnv *env, const struct found *f, ERL_NIF_TERM key,
                             ERL_NIF_TERM *out)
{
    enum { OTHERWISE = XE_REC_BLOB | XE_REC_RESTORE | XE_REC_KEYEXT, ARITY = 2 };
    uint32_t header = xe_load32(f->rec);
    const uint8_t *body = f->rec + XE_HDR_BYTES + xe_record_klen(header);
    /* Its arity, a byte for its words, and the node. */
    if ((header & OTHERWISE) || body[0] != ARITY << 3 || body[1] > 0x7f ||
        body[2] != XE_NODE_EXT << 3 ||
        !xe_call_key_of_plain(f->use.table->kind, key, &f->encoder))
        return false;
    struct xe_ext x = xe_record_ext(f->rec, header);
    ERL_NIF_TERM words[3 + ARITY], *elements = words + 3;
    int keypos = f->use.table->keypos;
    elements[keypos - 1] = key;
    elements[ARITY - keypos] =
        enif_make_copy(env, xe_load64(f->rec + xe_record_handles(&x, header)));
    *out = xe_term_make_listed(env, words, ARITY, xe_call_nil);
    return true;
}

/* The body of a record without handles that is not a blob's descriptor, behind what restores the key, if
 * the given key is restored by the same; else NULL. */
static inline const uint8_t *ordered_body(const struct found *f)
{
    const struct xe_encoder *e = &f->encoder;
    uint32_t header = xe_load32(f->rec);
    const uint8_t *body = f->rec + XE_HDR_BYTES + xe_record_klen(header);
    size_t size = header & XE_REC_RESTORE ? *body++ : 0;
    bool same = !(header & XE_REC_SPECIAL) && size == e->len - e->klen && size < 0x80 &&
                xe_bytes_equal(body, e->bytes + e->klen, size);
    return same ? body + size : NULL;
}

/* The body of such a record, if the given key is the stored one, and so is the object's. */
static inline const uint8_t *body_of_key(const struct found *f, ERL_NIF_TERM key)
{
    if (XE_UNLIKELY(f->use.table->kind == XE_ORDERED))
        return ordered_body(f);
    const uint8_t *body = xe_call_plain_body(f->rec);
    return body && xe_call_reusable_key(key, &f->encoder) ? body : NULL;
}

static enum xe_result lookup(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                             ERL_NIF_TERM *out)
{
    struct found f;
    const uint8_t *body;
    enum xe_result result = find(env, argv, budget, &f);
    if (XE_UNLIKELY(result != XE_CALL_OK))
        return result;
    if (XE_UNLIKELY(f.status != XE_OK)) {
        if (f.status == XE_LIMIT)
            return with_bag(env, &f, argv[1], NULL, NULL, budget, out);
        found_end(&f, argv[1]);
        *out = xe_call_nil;
        return XE_CALL_OK;
    }
    int keypos = f.use.table->keypos;
    if (!(body = body_of_key(&f, argv[1])) && make_shared_pair(env, &f, argv[1], out)) {
        found_end(&f, argv[1]);
        return XE_CALL_OK;
    }
    if (!body)
        return with_view(env, &f, argv[1], decode_listed, NULL, budget, out);
    if (body[0] & XE_TERM_BODY_FLAT)
        *out = xe_term_make_flat(env, body, keypos, argv[1], xe_call_nil);
    else if (!xe_native_decode_plain(env, body, keypos, argv[1], xe_call_nil, budget, out))
        return with_view(env, &f, argv[1], decode_listed, NULL, budget, out);
    found_end(&f, argv[1]);
    return XE_CALL_OK;
}
XE_CALL(lookup, 2)

enum xe_result xe_call_lookup(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                              ERL_NIF_TERM *out)
{
    return lookup(env, argv, budget, out);
}

static enum xe_result member(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                             ERL_NIF_TERM *out)
{
    struct found f;
    enum xe_result result = find(env, argv, budget, &f);
    if (XE_UNLIKELY(result != XE_CALL_OK))
        return result;
    if (XE_UNLIKELY(f.status == XE_LIMIT)) {
        struct xe_key key;
        xe_call_key(&key, f.use.table, argv[1], &f.encoder);
        f.status = xe_bag_member(f.use.table->core, f.use.slot, &key, xe_call_is_patient(budget));
        result = f.status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(f.status);
    }
    found_end(&f, argv[1]);
    *out = xe_call_bool(f.status == XE_OK);
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

static enum xe_result decode_one(ErlNifEnv *env, const struct xe_view *view, int keypos,
                                 ERL_NIF_TERM key, const void *arg, uint64_t budget,
                                 ERL_NIF_TERM *out)
{
    int pos = *(const int *)arg;
    if (pos > xe_term_arity(view))
        return XE_CALL_BADARG;
    return xe_call_of_term(xe_term_decode_element(env, view, keypos, pos, key, budget, out));
}

/* `missing`: what an absent key gives; 0: badarg. */
static enum xe_result element(ErlNifEnv *env, const ERL_NIF_TERM argv[], ERL_NIF_TERM missing,
                              uint64_t budget, ERL_NIF_TERM *out)
{
    struct found f;
    const uint8_t *body;
    int pos;
    if (!get_position(env, argv[2], &pos))
        return XE_CALL_BADARG;
    enum xe_result result = find(env, argv, budget, &f);
    if (XE_UNLIKELY(result != XE_CALL_OK))
        return result;
    if (XE_UNLIKELY(f.status != XE_OK)) {
        *out = xe_call_nil;
        if (f.status == XE_LIMIT)
            result = with_bag(env, &f, argv[1], decode_one, &pos, budget, out);
        else
            found_end(&f, argv[1]);
        if (result != XE_CALL_OK || *out != xe_call_nil)
            return result;
        *out = missing;
        return missing ? XE_CALL_OK : XE_CALL_BADARG;
    }
    int keypos = f.use.table->keypos;
    if (!(body = xe_call_flat_body(f.rec)) || pos == keypos || pos > (body[0] >> 3 & 15))
        return with_view(env, &f, argv[1], decode_one, &pos, budget, out);
    unsigned width = (body[0] & 7) + 1;
    *out = xe_term_packed(body + 1 + (unsigned)(pos - 1 - (pos > keypos)) * width, width);
    found_end(&f, argv[1]);
    return XE_CALL_OK;
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

enum { POSITIONS_MAX = 255 };

/* The positions that lookup_elements was asked for. */
struct positions {
    int n;
    int at[POSITIONS_MAX];
};

static enum xe_result decode_some(ErlNifEnv *env, const struct xe_view *view, int keypos,
                                  ERL_NIF_TERM key, const void *arg, uint64_t budget,
                                  ERL_NIF_TERM *out)
{
    const struct positions *p = arg;
    ERL_NIF_TERM terms[POSITIONS_MAX];
    struct xe_expanded x;
    int arity = xe_term_arity(view);
    for (int i = 0; i < p->n; i++)
        if (p->at[i] > arity)
            return XE_CALL_BADARG;
    enum xe_term_status status = xe_term_expand(&x, view, &budget);
    if (status != XE_TERM_OK)
        return xe_call_of_term(status);
    for (int i = 0; status == XE_TERM_OK && i < p->n; i++)
        status = xe_term_decode_element(env, &x.view, keypos, p->at[i], key,
                                        budget / (unsigned)p->n, &terms[i]);
    xe_expanded_clear(&x);
    if (status == XE_TERM_OK)
        *out = enif_make_tuple_from_array(env, terms, (unsigned)p->n);
    return xe_call_of_term(status);
}

static enum xe_result lookup_elements(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                      ERL_NIF_TERM *out)
{
    struct found f;
    struct positions p;
    const ERL_NIF_TERM *given;
    if (!enif_get_tuple(env, argv[2], &p.n, &given) || p.n > POSITIONS_MAX)
        return XE_CALL_BADARG;
    for (int i = 0; i < p.n; i++)
        if (!get_position(env, given[i], &p.at[i]))
            return XE_CALL_BADARG;
    enum xe_result result = find(env, argv, budget, &f);
    if (result != XE_CALL_OK)
        return result;
    if (f.status == XE_OK)
        return with_view(env, &f, argv[1], decode_some, &p, budget, out);
    if (f.status == XE_LIMIT) {
        result = with_bag(env, &f, argv[1], decode_some, &p, budget, out);
        return result == XE_CALL_OK && *out == xe_call_nil ? XE_CALL_BADARG : result;
    }
    found_end(&f, argv[1]);
    return XE_CALL_BADARG;
}
XE_CALL(lookup_elements, 3)

/* --- Many keys ---------------------------------------------------------- */

/* A group of keys looked up together. */
struct group {
    enum xe_kind kind; /* of the table that the keys are encoded for */
    struct xe_encoder encoders[XE_FIND_MANY];
    struct xe_key keys[XE_FIND_MANY];
    struct xe_view views[XE_FIND_MANY];
    bool found[XE_FIND_MANY];
    ERL_NIF_TERM terms[XE_FIND_MANY];
    uint32_t n;
};

static enum xe_result group_encode(ErlNifEnv *env, struct group *g, ERL_NIF_TERM *keys,
                                   uint64_t *budget)
{
    ERL_NIF_TERM key;
    for (g->n = 0; g->n < XE_FIND_MANY && enif_get_list_cell(env, *keys, &key, keys); g->n++) {
        g->terms[g->n] = key;
        struct xe_encoder *e = &g->encoders[g->n];
        enum xe_result result = xe_call_encode_key(e, env, g->kind, key, *budget, false);
        if (XE_UNLIKELY(result != XE_CALL_OK))
            return result;
        if (!xe_term_is_immediate(key) && *budget != XE_TERM_NO_BUDGET) {
            uint64_t words = e->words + e->pinned / 8;
            *budget -= words < *budget ? words : *budget;
        }
    }
    return XE_CALL_OK;
}

static void group_clear(struct group *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        xe_call_key_end(&g->encoders[i], g->kind, g->terms[i]);
}

/* Decodes object i of the group into a list of one or none. */
static enum xe_result group_decode(ErlNifEnv *env, const struct group *g, uint32_t i, int keypos,
                                   uint64_t *budget, ERL_NIF_TERM *out)
{
    ERL_NIF_TERM object;
    if (!g->found[i]) {
        *out = xe_call_nil;
        return XE_CALL_OK;
    }
    ERL_NIF_TERM key = xe_call_key_of(&g->views[i], g->terms[i], &g->encoders[i]);
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

/* In a bag each key has a list of its own, and is one of its own. */
static enum xe_result group_lookup_bag(ErlNifEnv *env, struct xe_use *use, struct group *g,
                                       uint64_t budget, ERL_NIF_TERM *out)
{
    enum xe_result result = XE_CALL_OK;
    for (uint32_t i = 0; i < g->n && result == XE_CALL_OK; i++)
        result = xe_call_bag_list(env, use, &g->keys[i],
                                  xe_call_reusable_key(g->terms[i], &g->encoders[i]),
                                  NULL, NULL,
                                  budget == XE_TERM_NO_BUDGET ? budget : budget / XE_FIND_MANY,
                                  &out[i]);
    return result;
}

/* Records are decoded inside the section, blobs after it. */
static enum xe_result group_lookup(ErlNifEnv *env, ERL_NIF_TERM table, struct group *g,
                                   uint64_t *budget, ERL_NIF_TERM *out)
{
    struct xe_use use;
    if (!xe_use_begin(env, table, XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    if (use.table->kind != g->kind) {
        /* Another table has the name by now: the call starts over. */
        xe_use_end(&use);
        return XE_CALL_RETRY;
    }
    int keypos = use.table->keypos;
    for (uint32_t i = 0; i < g->n; i++)
        xe_call_key(&g->keys[i], use.table, g->terms[i], &g->encoders[i]);
    if (xe_kind_is_bag(g->kind)) {
        enum xe_result listed = group_lookup_bag(env, &use, g, *budget, out);
        xe_use_end(&use);
        return listed;
    }
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

enum xe_result xe_call_list_length(ErlNifEnv *env, ERL_NIF_TERM list, uint64_t budget,
                                   unsigned *n)
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
    enum xe_result result = xe_call_list_length(env, keys, budget, &n);
    if (result != XE_CALL_OK)
        return result;
    if (!xe_use_begin(env, argv[0], XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    g.kind = use.table->kind;
    xe_use_end(&use);
    ERL_NIF_TERM *results = enif_alloc((n + 1) * sizeof *results);
    if (!results)
        return XE_CALL_LIMIT;
    for (unsigned done = 0; done < n && result == XE_CALL_OK; done += g.n) {
        result = group_encode(env, &g, &keys, &budget);
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
