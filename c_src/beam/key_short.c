/*
 * key_short.c - see key_short.h.
 */
#include "key_short.h"

#include "key_internal.h"

_Static_assert(XE_ORDER_WORDS == 4, "written out in key_short.h");

/* A key that is being made. */
struct pen {
    struct xe_key *key; /* klen: what has been written */
    struct xe_key_rest *rest;
};

static inline bool has_room(const struct pen *p, size_t n)
{
    return p->key->klen + n <= XE_ORDER_SHORT;
}

/* Writes n bytes (1 to 8), which are the highest of a word of which the others are 0, and for which
 * there is room. Without a branch: where one word ends and the next begins differs from key to
 * key. */
static inline void put(struct pen *p, uint64_t bytes, size_t n)
{
    uint64_t *to = p->key->words + p->key->klen / 8;
    unsigned bits = p->key->klen % 8 * 8;
    to[0] |= bytes >> bits;
    to[1] = bytes << 1 << (63 - bits);
    p->key->klen += n;
}

static inline bool put_kind(struct pen *p, unsigned tag)
{
    if (!has_room(p, 1))
        return false;
    put(p, (uint64_t)tag << 56, 1);
    return true;
}

static inline bool put_integer(struct pen *p, int64_t i)
{
    uint64_t high, low;
    unsigned len = xe_key_small(i, &high, &low);
    if (!has_room(p, len))
        return false;
    put(p, high, len < 8 ? len : 8);
    if (XE_UNLIKELY(len > 8))
        put(p, low, len - 8);
    return true;
}

static inline bool put_atom(struct pen *p, ERL_NIF_TERM atom)
{
    const struct xe_key_atom *a = xe_key_atom_remembered(atom);
    struct xe_key_rest *r = p->rest;
    if (!a || !has_room(p, a->len) || r->restore_len + a->restore_len > XE_KEY_SHORT_RESTORE)
        return false;
    r->restore |= (uint64_t)a->restore << 8 * r->restore_len;
    r->restore_len += a->restore_len;
    const uint64_t *w = a->words;
    size_t left = a->len;
    for (; left > 8; left -= 8)
        put(p, *w++, 8);
    put(p, *w, left);
    return true;
}

static inline bool has_zero(uint64_t bytes)
{
    const uint64_t lowest = 0x0101010101010101, highest = lowest << 7;
    return ((bytes - lowest) & ~bytes & highest) != 0;
}

/* Its words are on the heap, as many as the bytes take. */
static inline bool put_binary(struct pen *p, const uint64_t *at)
{
    enum { AROUND = 3 }; /* the tag, and what the content ends with */
    size_t size, left;
    if (!xe_native_is_binary(at, &size) || !has_room(p, AROUND + size))
        return false;
    put(p, (uint64_t)KEY_BITS << 56, 1);
    for (left = size, at += 2; left >= 8; left -= 8) {
        uint64_t bytes = *at++;
        if (has_zero(bytes))
            return false;
        put(p, __builtin_bswap64(bytes), 8);
    }
    if (left) {
        uint64_t behind = UINT64_MAX >> 8 * left, bytes = __builtin_bswap64(*at);
        if (has_zero(bytes | behind))
            return false;
        put(p, bytes & ~behind, left);
    }
    put(p, (uint64_t)8 << 48, 2);
    p->rest->heap += (uint32_t)xe_cost_binary(size);
    return true;
}

/* What is no tuple. */
static inline bool put_leaf(struct pen *p, ERL_NIF_TERM t)
{
    if (xe_term_is_boxed(t))
        return put_binary(p, xe_term_at(t));
    if (xe_word_is_small(t))
        return put_integer(p, xe_small_of(t));
    if (t == xe_term_traits.nil)
        return put_kind(p, KEY_NIL);
    return xe_term_is_immediate(t) && put_atom(p, t);
}

bool xe_key_short_other(ERL_NIF_TERM term, struct xe_key *key, struct xe_key_rest *rest)
{
    struct pen p = {.key = key, .rest = rest};
    const ERL_NIF_TERM *elements = &term;
    uint64_t n = 1;
    if (!xe_native_has(XE_NATIVE_TUPLE) || !xe_term_traits.smalls)
        return false;
    *rest = (struct xe_key_rest){0};
    key->klen = 0;
    for (int i = 0; i <= XE_ORDER_WORDS; i++)
        key->words[i] = 0;
    if (xe_term_is_boxed(term) && (*xe_term_at(term) & XE_SUBTAG_MASK) == 0) {
        elements = xe_term_at(term) + 1;
        n = elements[-1] >> XE_ARITY_SHIFT;
        if (n >= XE_ORDER_SHORT)
            return false;
        put_kind(&p, KEY_TUPLE + (unsigned)n);
        rest->heap = (uint32_t)xe_cost_tuple(n);
    }
    for (; n > 0; n--)
        if (!put_leaf(&p, *elements++))
            return false;
    return true;
}
