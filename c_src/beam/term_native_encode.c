/*
 * term_native_encode.c - small terms encoded without a walk.
 *
 * Most values are small: a tuple of some atoms and numbers, a short list, a map that is a record.
 * Those are written by recursion to a bounded depth, into the room that the encoder has, with
 * nothing kept but the place to write at. The first thing that is unusual (a handle, a large
 * container or map, a -0.0) ends it before the encoder has changed, and the walk of term_encode.c,
 * which writes the same bytes, starts from the beginning; what was done for nothing is bounded by the
 * room.
 */
#include "term_internal.h"
#include "term_native.h"

enum {
    SMALL_DEPTH = 6,
    SMALL_COUNT = XE_FLATMAP_MAX, /* elements, cells, pairs; a varint of one byte */
    KINDS = XE_NATIVE_TUPLE | XE_NATIVE_LIST | XE_NATIVE_FLOAT | XE_NATIVE_BIG | XE_NATIVE_MAP |
            XE_NATIVE_BINARY,
    /* Bytes that are written at most, with what the last store writes too much: a leaf's, and the
     * head of a container with so many packed words. */
    LEAF_ROOM = 2 + XE_TERM_BIN_VALUE_MAX + 8,
};

_Static_assert(SMALL_COUNT < 0x80, "a count is one byte");

struct small {
    const uint8_t *end; /* of the room */
    uint64_t words;     /* heap words that decoding will need */
};

static inline bool has_room(const struct small *s, const uint8_t *to, size_t words)
{
    return XE_LIKELY((size_t)(s->end - to) >= LEAF_ROOM + 8 * words);
}

/* These return where the next node goes; NULL: unusual. */

static uint8_t *put_boxed(struct small *s, uint8_t *to, ERL_NIF_TERM t, unsigned depth);
static uint8_t *put_list(struct small *s, uint8_t *to, ERL_NIF_TERM t, unsigned depth);

static inline uint8_t *put_node(struct small *s, uint8_t *to, ERL_NIF_TERM t, unsigned depth)
{
    if (XE_UNLIKELY(!has_room(s, to, 0)))
        return NULL;
    if (xe_term_is_immediate(t))
        return xe_put_immediate(to, t);
    return xe_term_is_list_cell(t) ? put_list(s, to, t, depth) : put_boxed(s, to, t, depth);
}

static inline uint8_t *put_nodes(struct small *s, uint8_t *to, const ERL_NIF_TERM *terms, size_t n,
                                 unsigned depth)
{
    for (size_t i = 0; i < n && to; i++)
        to = put_node(s, to, terms[i], depth);
    return to;
}

static uint8_t *put_list(struct small *s, uint8_t *to, ERL_NIF_TERM t, unsigned depth)
{
    uint64_t n = 0, any = 0, all = 3;
    ERL_NIF_TERM tail = t;
    for (; xe_term_is_list_cell(tail) && n <= SMALL_COUNT; tail = xe_term_at(tail)[1], n++) {
        any |= xe_term_at(tail)[0];
        all &= xe_term_at(tail)[0];
    }
    if (tail != xe_term_traits.nil || n > SMALL_COUNT || depth == 0 || !has_room(s, to, n))
        return NULL;
    s->words += XE_COST_CONS * n;
    if (all == 3) {
        unsigned width = xe_term_width(any);
        to = xe_put_head(to, XE_NODE_LIST_IMM, width - 1, n);
        for (; n > 0; n--, t = xe_term_at(t)[1], to += width)
            memcpy(to, xe_term_at(t), 8);
        return to;
    }
    to = xe_put_head(to, XE_NODE_LIST, 0, n);
    for (; n > 0 && to; n--, t = xe_term_at(t)[1])
        to = put_node(s, to, xe_term_at(t)[0], depth - 1);
    return to;
}

static inline uint8_t *put_tuple(struct small *s, uint8_t *to, const uint64_t *at, unsigned depth)
{
    size_t arity = at[0] >> XE_ARITY_SHIFT;
    uint64_t any;
    if (arity > SMALL_COUNT || depth == 0 || !has_room(s, to, arity))
        return NULL;
    s->words += xe_cost_tuple(arity);
    if (are_immediates(at + 1, arity, &any)) {
        unsigned width = xe_term_width(any);
        return xe_put_words(xe_put_head(to, XE_NODE_TUPLE_IMM, width - 1, arity), at + 1, arity, width);
    }
    return put_nodes(s, xe_put_head(to, XE_NODE_TUPLE, 0, arity), at + 1, arity, depth - 1);
}

static uint8_t *put_map(struct small *s, uint8_t *to, const uint64_t *at, unsigned depth)
{
    size_t n = at[1];
    const ERL_NIF_TERM *keys = xe_term_at(at[2]) + 1, *values = at + 3;
    uint64_t any[2];
    if (depth == 0 || !has_room(s, to, 2 * n))
        return NULL;
    s->words += xe_cost_map(n);
    unsigned key_width = are_immediates(keys, n, &any[0]) ? xe_term_width(any[0]) : 0;
    unsigned value_width = are_immediates(values, n, &any[1]) ? xe_term_width(any[1]) : 0;
    to = xe_put_head(to, XE_NODE_MAP, 0, n);
    *to++ = (uint8_t)(key_width << 4 | value_width);
    if (key_width)
        to = xe_put_words(to, keys, n, key_width);
    if (value_width)
        to = xe_put_words(to, values, n, value_width);
    if (!key_width)
        to = put_nodes(s, to, keys, n, depth - 1);
    return value_width || !to ? to : put_nodes(s, to, values, n, depth - 1);
}

static uint8_t *put_float(struct small *s, uint8_t *to, uint64_t bits)
{
    if (bits == (uint64_t)1 << 63 && xe_term_traits.zeros_equal)
        return NULL;
    s->words += XE_COST_FLOAT;
    *to = (uint8_t)((unsigned)XE_NODE_FLOAT << 3);
    memcpy(to + 1, &bits, 8);
    return to + 9;
}

/* Whole words are read and written, whatever the size. */
static inline uint8_t *put_bytes_of(uint8_t *to, enum xe_node_kind kind, unsigned param,
                                    const uint64_t *words, size_t size)
{
    if (XE_UNLIKELY(size > XE_TERM_BIN_VALUE_MAX))
        return NULL;
    to = xe_put_head(to, kind, param, size);
    for (size_t i = 0; i < size; i += 8)
        memcpy(to + i, words++, 8);
    return to + size;
}

static uint8_t *put_other(struct small *s, uint8_t *to, const uint64_t *at)
{
    uint64_t subtag = at[0] & XE_SUBTAG_MASK;
    if (subtag == xe_native.positive || subtag == xe_native.negative) {
        size_t size = xe_native_big_size(at);
        s->words += xe_cost_big(size);
        return put_bytes_of(to, XE_NODE_BIG, subtag == xe_native.negative, at + 1, size);
    }
    if (!xe_native_has(XE_NATIVE_REF) || !xe_native_is_ref(at))
        return NULL;
    s->words += XE_COST_REF;
    *to = (uint8_t)((unsigned)XE_NODE_REF << 3 | (XE_REF_WORDS - 1));
    memcpy(to + 1, at + 1, 8 * XE_REF_WORDS);
    return to + 1 + 8 * XE_REF_WORDS;
}

static uint8_t *put_boxed(struct small *s, uint8_t *to, ERL_NIF_TERM t, unsigned depth)
{
    const uint64_t *at = xe_term_at(t);
    size_t size;
    if ((at[0] & XE_SUBTAG_MASK) == 0)
        return put_tuple(s, to, at, depth);
    if (xe_native_is_binary(at, &size)) {
        s->words += xe_cost_binary(size);
        return put_bytes_of(to, XE_NODE_BIN, 0, at + 2, size);
    }
    if (at[0] == xe_native.flatmap)
        return put_map(s, to, at, depth);
    if (at[0] == xe_native.flonum)
        return put_float(s, to, at[1]);
    return put_other(s, to, at);
}

bool xe_native_encode_small(struct xe_encoder *e, const ERL_NIF_TERM *terms, size_t n)
{
    if (!xe_native_has(KINDS))
        return false;
    struct small s = {.end = e->bytes + e->cap, .words = e->words};
    const uint8_t *to = put_nodes(&s, e->bytes + e->len, terms, n, SMALL_DEPTH);
    if (!to || s.words > e->budget)
        return false;
    e->words = s.words;
    e->len = (size_t)(to - e->bytes);
    return true;
}

uint8_t *xe_native_small_body(uint8_t *to, const uint8_t *end, const ERL_NIF_TERM *elements,
                              int arity, int keypos)
{
    struct small s = {.end = end, .words = xe_cost_tuple((uint64_t)arity)};
    if (!xe_native_has(KINDS))
        return NULL;
    XE_ASSERT(arity <= XE_TERM_FLAT_ARITY_MAX);
    uint8_t *words = to + 1;
    *to = (uint8_t)(arity << 3);
    to = put_nodes(&s, to + 2, elements, (size_t)keypos - 1, SMALL_DEPTH);
    if (to)
        to = put_nodes(&s, to, elements + keypos, (size_t)(arity - keypos), SMALL_DEPTH);
    if (!to || s.words >= 0x80)
        return NULL;
    *words = (uint8_t)s.words;
    return to;
}

uint8_t *xe_native_small_binary(uint8_t *to, ERL_NIF_TERM t)
{
    size_t size;
    if (!xe_native_has(KINDS) || !xe_term_is_boxed(t) || !xe_native_is_binary(xe_term_at(t), &size))
        return NULL;
    return put_bytes_of(to, XE_NODE_BIN, 0, xe_term_at(t) + 2, size);
}
