/*
 * term_leaf.h - writes the nodes of terms that have no elements: binaries, bit strings, numbers,
 * references, and what is kept as a handle. False: error, in the encoder's status.
 */
#ifndef XE_TERM_LEAF_H
#define XE_TERM_LEAF_H

#include "term_internal.h"
#include "term_native.h"

/* The node of a handle; what the term is known by to `identity` has been seen to. The second one
 * sees to it. */
bool xe_leaf_put_ext(struct xe_encoder *e, ERL_NIF_TERM t, uint64_t pinned);
bool xe_leaf_ext(struct xe_encoder *e, ERL_NIF_TERM t, uint64_t pinned);

/* Of more bytes than are stored by content. */
bool xe_leaf_large_binary(struct xe_encoder *e, ERL_NIF_TERM t, const ErlNifBinary *bin);

/* A bit string that is no binary. */
bool xe_leaf_bits(struct xe_encoder *e, ERL_NIF_TERM t);
/* An integer that is no immediate. */
bool xe_leaf_big(struct xe_encoder *e, ERL_NIF_TERM t);
bool xe_leaf_float(struct xe_encoder *e, uint64_t bits);

/* The same of terms that are native, or may be. */
bool xe_leaf_native_bits(struct xe_encoder *e, ERL_NIF_TERM t);
bool xe_leaf_native_big(struct xe_encoder *e, const uint64_t *at);
bool xe_leaf_native_ref(struct xe_encoder *e, const uint64_t *at);
bool xe_leaf_native_alias(struct xe_encoder *e, ERL_NIF_TERM t, const uint64_t *at);

static inline bool xe_leaf_put_binary(struct xe_encoder *e, const ErlNifBinary *bin)
{
    if (!charge(e, xe_cost_binary(bin->size)) ||
        !put_header(e, XE_NODE_BIN, 0, bin->size, bin->size))
        return false;
    put_bytes(e, bin->data, bin->size);
    return true;
}

static inline bool xe_leaf_binary(struct xe_encoder *e, ERL_NIF_TERM t, const ErlNifBinary *bin)
{
    if (bin->size > (e->in_key ? XE_TERM_BIN_KEY_MAX : XE_TERM_BIN_VALUE_MAX))
        return xe_leaf_large_binary(e, t, bin);
    return xe_leaf_put_binary(e, bin);
}

/* To 64 bytes, and padded to whole words. */
static inline bool xe_leaf_heap_binary(struct xe_encoder *e, const uint64_t *words, size_t size)
{
    if (!charge(e, xe_cost_binary(size)) || !put_header(e, XE_NODE_BIN, 0, size, size))
        return false;
    uint8_t *to = e->bytes + e->len;
    for (size_t i = 0; i < size; i += 8)
        memcpy(to + i, words++, 8);
    e->len += size;
    return true;
}

#endif
