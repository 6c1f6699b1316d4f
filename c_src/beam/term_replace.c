/*
 * term_replace.c - a new object out of a stored one and new elements.
 *
 * What is not replaced is copied as nodes and handles, undecoded. The result is
 * what encoding the whole new object would give: a body becomes flat, or stops
 * being flat, as its elements ask for, and heap words are counted anew. Only
 * XE_REC_LOOSE may stay set though what asked for it is gone.
 *
 * In a compressed table the same is done to the expanded object, and the result compressed. If
 * that does not pay any more, larger binaries must not stay in it by content: then the
 * new object is encoded from terms.
 */
#include "term_internal.h"

/* What a handle of a stored object keeps alive, as emit() counted it. */
static uint64_t pinned_by(ErlNifEnv *env, ERL_NIF_TERM t)
{
    ErlNifBinary bin;
    const uint8_t *bytes;
    unsigned bits;
    uint64_t size = 0;
    if (enif_inspect_binary(env, t, &bin))
        return bin.size;
    if (enif_term_type(env, t) == ERL_NIF_TERM_TYPE_BITSTRING &&
        enif_term_to_binary(env, t, &bin)) {
        size = xe_term_inspect_bits(&bin, &bytes, &bits);
        enif_release_binary(&bin);
    }
    return size;
}

static bool copy_handles(struct xe_encoder *e, const uint8_t *handles, uint32_t n)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < n; i++) {
        ERL_NIF_TERM t = xe_load64(handles + 8 * (size_t)i);
        ok = xe_encoder_add_handle(e, t, pinned_by(e->env, t));
    }
    return ok;
}

/* The handle of a cut key keeps alive what is in it. To know what that is takes as long as
 * copying the term, which storing the new object does anyway. */
static bool copy_cut_key(struct xe_encoder *e, ERL_NIF_TERM term)
{
    uint64_t words, pinned;
    return xe_key_weigh(e, term, &words, &pinned) && charge(e, words) &&
           xe_encoder_add_handle(e, term, pinned);
}

/* And what restores it. */
static bool copy_key(struct xe_encoder *e, const struct xe_view *v)
{
    size_t restore = (size_t)(xe_term_body(v) - v->body);
    if (v->klen / 8 > e->budget)
        return fail(e, XE_TERM_BUDGET);
    if (!reserve(e, v->klen + restore))
        return false;
    put_bytes(e, v->key, v->klen);
    e->klen = v->klen;
    put_bytes(e, v->body, restore);
    e->body_at = e->len;
    e->flags |= v->flags & XE_REC_GIVEN;
    e->n_key_handles = v->n_key_handles;
    if (XE_UNLIKELY(v->flags & XE_REC_ORDER) && v->n_key_handles)
        return copy_cut_key(e, xe_load64(v->handles));
    return copy_handles(e, v->handles, v->n_key_handles);
}

/* The nodes from `from` up to the cursor, as they are. */
static bool copy_nodes(struct xe_encoder *e, const struct xe_cursor *from,
                       const struct xe_cursor *to, uint64_t words)
{
    size_t n = (size_t)(to->p - from->p);
    if (!charge(e, words) || !reserve(e, n))
        return false;
    put_bytes(e, from->p, n);
    return copy_handles(e, from->handles, (uint32_t)((size_t)(to->handles - from->handles) / 8));
}

/* Copies nodes from the cursor on: the exact key, if there is one, and `n` elements. */
static bool keep(struct xe_encoder *e, struct xe_cursor *c, uint64_t n, uint64_t *larger)
{
    struct xe_cursor from = *c;
    struct xe_extent x = {0, 0, 0};
    for (uint64_t i = 0; i < n; i++)
        xe_node_skip(c, UINT64_MAX, &x);
    *larger += x.larger;
    return n == 0 || copy_nodes(e, &from, c, x.words);
}

/* *larger: what is kept has this many bytes of larger binaries by content. */
static bool replace_nodes(struct xe_encoder *e, const struct xe_view *v, uint64_t keypos,
                          const int *positions, const ERL_NIF_TERM *terms, int n, uint64_t *larger)
{
    struct xe_cursor c;
    struct xe_extent replaced = {0, 0, 0};
    struct xe_body b = xe_cursor_body(&c, v);
    size_t mark = 0;
    uint64_t words = e->words, next = 1; /* the position of the node at the cursor */
    bool ok = xe_term_begin_body(e, b.arity, b.has_key, &mark) &&
              charge(e, xe_cost_tuple(b.arity)) && keep(e, &c, b.has_key, larger);
    for (int i = 0; ok && i < n; i++) {
        uint64_t pos = (uint64_t)positions[i];
        uint64_t kept = pos - next - (next <= keypos && keypos < pos);
        ok = keep(e, &c, kept, larger) && xe_node_skip(&c, UINT64_MAX, &replaced) &&
             xe_term_encode_nodes(e, &terms[i], 1);
        next = pos + 1;
    }
    return ok && keep(e, &c, b.arity + 1 - next - (next <= keypos), larger) &&
           xe_term_end_body(e, mark, e->words - words);
}

/* The elements of a body whose nodes are all immediates but for those replaced.
 * False: there are others, or too many. */
static bool unpack_body(const struct xe_view *v, int keypos, const int *positions, int n,
                        ERL_NIF_TERM *elements, int *arity)
{
    struct xe_cursor c;
    struct xe_extent replaced = {0, 0, 0};
    const uint8_t *body = xe_term_body(v);
    if (body[0] & XE_TERM_BODY_FLAT) {
        *arity = (int)xe_term_unpack_flat(body, keypos, xe_term_traits.nil, elements);
        return true;
    }
    struct xe_body b = xe_cursor_body(&c, v);
    if (b.has_key || b.arity > XE_TERM_FLAT_ARITY_MAX)
        return false;
    *arity = (int)b.arity;
    for (int pos = 1, i = 0; pos <= *arity; pos++) {
        unsigned tag = *c.p;
        if (pos == keypos)
            continue;
        if (i < n && positions[i] == pos) {
            i++;
            xe_node_skip(&c, UINT64_MAX, &replaced);
        } else if (tag >> 3 == XE_NODE_IMM) {
            elements[pos - 1] = xe_term_packed(c.p + 1, (tag & 7) + 1);
            c.p += 2 + (tag & 7);
        } else {
            return false;
        }
    }
    return true;
}

static bool replace_expanded(struct xe_encoder *e, const struct xe_view *v, int keypos,
                             const int *positions, const ERL_NIF_TERM *terms, int n,
                             uint64_t *larger)
{
    ERL_NIF_TERM elements[XE_TERM_FLAT_ARITY_MAX];
    int arity;
    if (!(xe_term_body(v)[0] & XE_TERM_BODY_FLAT)) {
        struct xe_cursor c;
        if (xe_cursor_body(&c, v).words > e->budget)
            return fail(e, XE_TERM_BUDGET);
    }
    if (!copy_key(e, v))
        return false;
    if (!unpack_body(v, keypos, positions, n, elements, &arity))
        return replace_nodes(e, v, (uint64_t)keypos, positions, terms, n, larger);
    for (int i = 0; i < n; i++)
        elements[positions[i] - 1] = terms[i];
    return xe_term_encode_body(e, elements, (size_t)arity, (size_t)keypos);
}

/* The same by way of terms. */
static bool replace_decoded(struct xe_encoder *e, const struct xe_view *v, int keypos,
                            const int *positions, const ERL_NIF_TERM *terms, int n)
{
    ERL_NIF_TERM object;
    const ERL_NIF_TERM *elements;
    int arity;
    enum xe_term_status status =
        xe_term_decode_object(e->env, v, keypos, 0, XE_TERM_NO_BUDGET, &object);
    if (status != XE_TERM_OK)
        return fail(e, status);
    enif_get_tuple(e->env, object, &arity, &elements);
    ERL_NIF_TERM *copy = enif_alloc((size_t)arity * sizeof *copy);
    if (!copy)
        return fail(e, XE_TERM_NOMEM);
    memcpy(copy, elements, (size_t)arity * sizeof *copy);
    for (int i = 0; i < n; i++)
        copy[positions[i] - 1] = terms[i];
    xe_encoder_clear(e);
    e->compress = true;
    e->ordered = v->flags & XE_REC_ORDER;
    bool ok = xe_term_encode_object(e, copy, arity, keypos) == XE_TERM_OK;
    enif_free(copy);
    return ok;
}

static __attribute__((noinline)) bool replace_compressed(struct xe_encoder *e,
                                                         const struct xe_view *v, int keypos,
                                                         const int *positions,
                                                         const ERL_NIF_TERM *terms, int n)
{
    struct xe_expanded x;
    uint64_t larger = 0;
    bool done;
    enum xe_term_status status = xe_term_expand(&x, v, &e->budget);
    if (status != XE_TERM_OK)
        return fail(e, status);
    e->inline_left = XE_TERM_INLINE_MAX;
    bool ok = replace_expanded(e, &x.view, keypos, positions, terms, n, &larger) &&
              xe_term_compress(e, &done);
    larger += XE_TERM_INLINE_MAX - e->inline_left;
    if (ok && !done && larger > 0)
        ok = replace_decoded(e, &x.view, keypos, positions, terms, n);
    xe_expanded_clear(&x);
    return ok;
}

enum xe_term_status xe_term_replace(struct xe_encoder *e, const struct xe_view *v, int keypos,
                                    const int *positions, const ERL_NIF_TERM *terms, int n)
{
    uint64_t larger = 0;
    e->keeps = true;
    if (XE_UNLIKELY(e->compress || xe_term_is_compressed(v)))
        replace_compressed(e, v, keypos, positions, terms, n);
    else
        replace_expanded(e, v, keypos, positions, terms, n, &larger);
    return e->status;
}
