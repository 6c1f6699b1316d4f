/*
 * term_replace.c - a new object out of a stored one and new elements.
 *
 * What is not replaced is copied as nodes and handles, undecoded. The result is
 * what encoding the whole new object would give: a body becomes flat, or stops
 * being flat, as its elements ask for, and heap words are counted anew. Only
 * XE_REC_LOOSE may stay set though the -0.0 that asked for it is gone.
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

static bool copy_key(struct xe_encoder *e, const struct xe_view *v)
{
    if (v->klen / 8 > e->budget)
        return fail(e, XE_TERM_BUDGET);
    if (!reserve(e, v->klen))
        return false;
    put_bytes(e, v->key, v->klen);
    e->klen = v->klen;
    e->flags |= v->flags & XE_REC_LOOSE;
    e->n_key_handles = v->n_key_handles;
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
static bool keep(struct xe_encoder *e, struct xe_cursor *c, uint64_t n)
{
    struct xe_cursor from = *c;
    struct xe_extent x = {0, 0};
    for (uint64_t i = 0; i < n; i++)
        xe_node_skip(c, UINT64_MAX, &x);
    return n == 0 || copy_nodes(e, &from, c, x.words);
}

static bool replace_nodes(struct xe_encoder *e, const struct xe_view *v, uint64_t keypos,
                          const int *positions, const ERL_NIF_TERM *terms, int n)
{
    struct xe_cursor c;
    struct xe_extent replaced = {0, 0};
    struct xe_body b = xe_cursor_body(&c, v);
    size_t mark = 0;
    uint64_t words = e->words, next = 1; /* the position of the node at the cursor */
    bool ok = xe_term_begin_body(e, b.arity, b.has_key, &mark) &&
              charge(e, xe_cost_tuple(b.arity)) && keep(e, &c, b.has_key);
    for (int i = 0; ok && i < n; i++) {
        uint64_t pos = (uint64_t)positions[i];
        uint64_t kept = pos - next - (next <= keypos && keypos < pos);
        ok = keep(e, &c, kept) && xe_node_skip(&c, UINT64_MAX, &replaced) &&
             xe_term_encode_nodes(e, &terms[i], 1);
        next = pos + 1;
    }
    return ok && keep(e, &c, b.arity + 1 - next - (next <= keypos)) &&
           xe_term_end_body(e, mark, e->words - words);
}

/* The elements of a body whose nodes are all immediates but for those replaced.
 * False: there are others, or too many. */
static bool unpack_body(const struct xe_view *v, int keypos, const int *positions, int n,
                        ERL_NIF_TERM *elements, int *arity)
{
    struct xe_cursor c;
    struct xe_extent replaced = {0, 0};
    if (v->body[0] & XE_TERM_BODY_FLAT) {
        *arity = (int)xe_term_unpack_flat(v->body, keypos, xe_term_traits.nil, elements);
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

enum xe_term_status xe_term_replace(struct xe_encoder *e, const struct xe_view *v, int keypos,
                                    const int *positions, const ERL_NIF_TERM *terms, int n)
{
    ERL_NIF_TERM elements[XE_TERM_FLAT_ARITY_MAX];
    int arity;
    if (!(v->body[0] & XE_TERM_BODY_FLAT)) {
        struct xe_cursor c;
        if (xe_cursor_body(&c, v).words > e->budget) {
            e->status = XE_TERM_BUDGET;
            return e->status;
        }
    }
    if (!copy_key(e, v))
        return e->status;
    if (unpack_body(v, keypos, positions, n, elements, &arity)) {
        for (int i = 0; i < n; i++)
            elements[positions[i] - 1] = terms[i];
        xe_term_encode_body(e, elements, (size_t)arity, (size_t)keypos);
    } else {
        replace_nodes(e, v, (uint64_t)keypos, positions, terms, n);
    }
    return e->status;
}
