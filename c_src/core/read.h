/*
 * read.h - the read path for short keys, inline: what xe_table_find_record() does for a key
 * that is two words in registers. It is the inner loop of most programs' calls.
 */
#ifndef XE_READ_H
#define XE_READ_H

#include "find.h"
#include "table_internal.h"

/* A short key without handles: its bytes as two words, and what of a word is key. */
struct xe_short_key {
    uint64_t hash;
    uint64_t w0, w1, m0, m1;
    uint32_t klen; /* 1 to 16 */
};

static inline void xe_short_key_init(struct xe_short_key *key, uint64_t seed, uint64_t w0,
                                     uint64_t w1, uint32_t klen)
{
    key->hash = xe_key_hash_words(w0, w1, seed);
    key->w0 = w0;
    key->w1 = w1;
    key->m0 = klen >= 8 ? UINT64_MAX : UINT64_MAX >> (64 - 8 * klen);
    key->m1 = klen <= 8 ? 0 : UINT64_MAX >> (128 - 8 * klen);
    key->klen = klen;
}

/* Whether the record has this key. The loads may reach beyond the key: XE_READ_SLACK. */
static inline bool xe_short_key_is(const struct xe_short_key *key, const uint8_t *rec)
{
    uint32_t header = xe_load32(rec);
    enum { KLEN = XE_HDR_KLEN_MASK << XE_HDR_KLEN_SHIFT };
    return (header & (KLEN | XE_HDR_SLOW_KEY)) == key->klen << XE_HDR_KLEN_SHIFT &&
           (((xe_load64(rec + XE_HDR_BYTES) ^ key->w0) & key->m0) |
            ((xe_load64(rec + XE_HDR_BYTES + 8) ^ key->w1) & key->m1)) == 0;
}

/* The record of the key, or NULL; no second look at the batch word. */
static inline __attribute__((always_inline)) const uint8_t *
xe_read_image(const struct xe_image *img, const struct xe_short_key *key)
{
    const struct xe_bucket *b = xe_image_home(img, key->hash);
    for (;;) {
        uint32_t link;
        uint32_t matches = xe_find_matches(b, (uint8_t)key->hash, &link);
        for (; matches; matches &= matches - 1) {
            /* Acquire: pairs with the publishing store in xe_image_add() and _replace(). */
            uint32_t off = __atomic_load_n(&b->off[__builtin_ctz(matches)], __ATOMIC_ACQUIRE);
            const uint8_t *rec = xe_image_record(img, off);
            if (off && XE_LIKELY(xe_short_key_is(key, rec)))
                return rec;
        }
        if (XE_LIKELY(!link))
            return NULL;
        b = xe_image_linked(img, link);
    }
}

/* XE_OK and the record, XE_ABSENT, or XE_RETRY, as xe_table_find_record(). Inside a section. */
static inline __attribute__((always_inline)) enum xe_status
xe_read_short(struct xe_table *t, const struct xe_short_key *key, const uint8_t **out)
{
    for (int tries = 0; tries < XE_BATCH_TRIES; tries++) {
        uint64_t batch = xe_batch_begin(t);
        *out = xe_read_image(xe_segment_image(xe_directory_find(t, key->hash)), key);
        if (XE_LIKELY(xe_batch_unchanged(t, batch)))
            return *out ? XE_OK : XE_ABSENT;
        xe_cpu_relax();
    }
    return XE_RETRY;
}

#endif
