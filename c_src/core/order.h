/*
 * order.h - ordered tables: what they have beside the operations of table.h.
 *
 * A table of kind XE_ORDERED keeps one object a key, in the order of keys. Of two keys the bytes
 * decide, compared as by memcmp(), and then their length; keys with the same bytes and a handle
 * each (c_src/beam/key.h: cut keys) are ordered by xe_cb.ext_compare. Keys have at most one
 * handle. All operations of table.h on single objects and lists serve; keys are prepared by
 * xe_key_init_order(), objects by xe_table_prepare().
 *
 * Guarantees, beside those of table.h
 *   S1  Which keys there are in a segment, a call reads of one instant; the object of each key is
 *       of a moment of its own. A call that reads one object (xe_order_read() of one,
 *       xe_order_nth(), xe_order_pop()) reads at one instant, and sees no part of a list write (G2).
 *   S2  A traversal that goes on from the last key it has seen meets every object that is there
 *       throughout exactly once, in order.
 */
#ifndef XE_ORDER_H
#define XE_ORDER_H

#include "table.h"

/* So many bytes of a key that is too long for an image are in its descriptor, instead of a digest:
 * they decide most comparisons. */
enum { XE_ORDER_KEY_STORED = 256 };

/* Eight bytes of a key from `at` on, the first one highest, and zeros: compares as they do. */
static inline uint64_t xe_order_head(const uint8_t *bytes, size_t len, size_t at)
{
    if (XE_UNLIKELY(at >= len))
        return 0;
    size_t n = len - at;
    uint64_t w = n >= 8 ? xe_load64(bytes + at) : xe_bytes_word(bytes + at, n);
    return __builtin_bswap64(w);
}

/* The bytes and handles of a key. */
static inline void xe_key_set_order(struct xe_key *key, const uint8_t *bytes, size_t len,
                                    const uint64_t *handles, uint32_t n_handles)
{
    key->bytes = key->full = bytes;
    key->klen = key->full_len = len;
    key->handles = handles;
    key->n_handles = n_handles;
    key->flags = XE_REC_ORDER | (n_handles ? XE_REC_KEYEXT : 0);
}

/* A key of an ordered table. XE_READ_SLACK bytes more are readable. */
static inline void xe_key_init_order(struct xe_key *key, const uint8_t *bytes, size_t len,
                                     const uint64_t *handles, uint32_t n_handles)
{
    xe_key_set_order(key, bytes, len, handles, n_handles);
    key->hash = xe_order_head(bytes, len, 0);
    if (XE_LIKELY(len <= XE_ORDER_SHORT)) {
        key->words[0] = key->hash;
        for (size_t i = 1; i < XE_ORDER_WORDS; i++)
            key->words[i] = xe_order_head(bytes, len, 8 * i);
        key->words[XE_ORDER_WORDS] = 0;
    } else if (XE_UNLIKELY(len > XE_KEY_INLINE_MAX)) {
        key->klen = XE_ORDER_KEY_STORED;
        key->flags |= XE_REC_KEYBIG;
    }
}

/* Eight bytes of a key from `at` on. Of a short key they are made of its words: to load them from
 * bytes that were stored a moment ago at other addresses takes many times as long. */
static inline uint64_t xe_order_key_head(const struct xe_key *key, size_t at)
{
    if (XE_UNLIKELY(key->full_len > XE_ORDER_SHORT))
        return xe_order_head(key->full, key->full_len, at);
    if (XE_UNLIKELY(at >= XE_ORDER_SHORT))
        return 0;
    const uint64_t *w = key->words + (at >> 3);
    unsigned bits = (unsigned)(at & 7) * 8;
    return w[0] << bits | w[1] >> 1 >> (63 - bits);
}

/* Whether the bytes of a record's key, as many as the key has, are those of the key. */
static inline bool xe_order_is_bytes(const struct xe_key *key, const uint8_t *at)
{
    size_t n = key->klen;
    if (XE_UNLIKELY(n > XE_ORDER_SHORT))
        return xe_bytes_equal(at, key->bytes, n);
    const uint64_t *w = key->words;
    for (; n > 8; n -= 8, at += 8)
        if (__builtin_bswap64(xe_load64(at)) != *w++)
            return false;
    return n == 0 || __builtin_bswap64(xe_bytes_word(at, n)) == *w;
}

/* The key of a stored object, to go on from. `handle`: room for it, as long as the key. */
static inline void xe_key_of_view(struct xe_key *key, const struct xe_view *view, uint64_t *handle)
{
    *handle = view->n_key_handles ? xe_load64(view->handles) : 0;
    xe_key_init_order(key, view->key, view->klen, handle, view->n_key_handles);
}

/* xe_table_find_record(). */
enum xe_status xe_order_lookup(struct xe_table *t, const struct xe_key *key, const uint8_t **out);

/* The objects between two keys, which need not be there, nor be whole keys: bytes will do. */
struct xe_range {
    const struct xe_key *from, *to;    /* NULL: no end */
    bool from_exclusive, to_exclusive; /* else the object with that key belongs to it */
    bool reverse;                      /* from the upper end down */
};

/*
 * Finds the records of the first n objects of a range (the last ones, downwards, if it is
 * `reverse`), for xe_record_view(). Fewer than n: there are no more. Go on from the last of them,
 * exclusive. XE_OK, XE_RETRY. O(log objects + n).
 */
enum xe_status xe_order_read(struct xe_table *t, const struct xe_range *range, uint32_t n,
                             const uint8_t **recs, uint32_t *found);

/* The number of objects in a range / below a key; object i of the table in its order, from 0. Of
 * one instant only while nobody writes; but while others do, no object that stays is
 * counted twice or missed. XE_OK; XE_RETRY; XE_ABSENT, of nth: there are not so many, of rank: no
 * object has the key (*rank is set all the same). O(segments), of which about 16 take a
 * nanosecond. */
enum xe_status xe_order_count(struct xe_table *t, const struct xe_range *range, uint64_t *n);
enum xe_status xe_order_rank(struct xe_table *t, const struct xe_key *key, uint64_t *rank);
enum xe_status xe_order_nth(struct xe_table *t, uint64_t i, const uint8_t **rec);

/* Removes the first object, or the last one; `out` (not NULL) shows it until the section is left.
 * XE_OK, XE_ABSENT: the table is empty, XE_RETRY. O(log objects). */
enum xe_status xe_order_pop(struct xe_table *t, struct xe_epoch_slot *slot, bool last,
                            struct xe_view *out);

#endif
