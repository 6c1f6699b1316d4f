/*
 * find.h - finding a key in an image: the inner loop of every point operation.
 *
 * The fingerprints of a bucket are read as three 8-byte words (the last one
 * holds four fingerprints, the link and the hint), each load atomic, and compared
 * all at once. A fingerprint may be stale; only the offset counts.
 *
 * Why a reader cannot miss an object that is there throughout: its entry does not
 * move inside the image (image.h), and overwriting it changes the offset in place.
 */
#ifndef XE_FIND_H
#define XE_FIND_H

#include "image.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* Bit i of the result: fingerprint i of the bucket is `fp` in the bits of `mask`. */
static inline __attribute__((always_inline)) uint32_t
xe_find_masked(const struct xe_bucket *b, uint8_t fp, uint8_t mask, uint32_t *link)
{
#if defined(__SSE2__) && !XE_EPOCH_TSAN
    /* Each byte is read whole by any load; x86 keeps loads in order, and the barrier keeps
     * the compiler to it: the link pairs with xe_image_reserve_places(), and all of them
     * come before the reader's second look at the table's batch word. The two loads
     * overlap: places 0 to 15, and 16 to 19 as bytes 8 to 11 of the second. */
    __m128i probe = _mm_set1_epi8((char)(fp & mask)), bits = _mm_set1_epi8((char)mask);
    __m128i low = _mm_load_si128((const __m128i *)(const void *)b->fp) & bits;
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(b->fp + 8)) & bits;
    atomic_signal_fence(memory_order_acq_rel);
    *link = __atomic_load_n(&b->link, __ATOMIC_ACQUIRE);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(low, probe)) |
           ((uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(high, probe)) & 0xf00) << 8;
#else
    const uint64_t *words = (const uint64_t *)(const void *)b;
    /* Acquire: as above. */
    uint64_t read[3] = {__atomic_load_n(&words[0], __ATOMIC_ACQUIRE),
                        __atomic_load_n(&words[1], __ATOMIC_ACQUIRE),
                        __atomic_load_n(&words[2], __ATOMIC_ACQUIRE)};
    *link = (uint32_t)(read[2] >> 32) & 0xffff;
#if defined(__ARM_NEON)
    /* Each matching byte keeps the bit of its position; adding up gathers them. */
    static const uint8_t positions[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    uint8x8_t place = vld1_u8(positions), probe = vdup_n_u8(fp & mask), bits = vdup_n_u8(mask);
    uint32_t m[3];
    for (int i = 0; i < 3; i++)
        m[i] = vaddv_u8(vand_u8(vceq_u8(vand_u8(vcreate_u8(read[i]), bits), probe), place));
    return m[0] | m[1] << 8 | (m[2] & 0xf) << 16;
#else
    uint8_t bytes[24];
    uint32_t m = 0;
    memcpy(bytes, read, sizeof bytes);
    for (uint32_t i = 0; i < XE_BUCKET_PLACES; i++)
        m |= (uint32_t)(((bytes[i] ^ fp) & mask) == 0) << i;
    return m;
#endif
#endif
}

static inline __attribute__((always_inline)) uint32_t
xe_find_matches(const struct xe_bucket *b, uint8_t fp, uint32_t *link)
{
    return xe_find_masked(b, fp, 0xff, link);
}

/* Whether the key bytes of a record, with length klen, are those of the key. */
static inline __attribute__((always_inline)) bool xe_find_bytes(const uint8_t *at,
                                                                const struct xe_key *key)
{
    size_t n = key->klen;
    if (XE_LIKELY(n <= 8))
        return n == 0 || xe_bytes_word(at, n) == key->words[0];
    if (n <= XE_KEY_SHORT)
        return xe_load64(at) == key->words[0] && xe_bytes_word(at + 8, n - 8) == key->words[1];
    return xe_bytes_equal(at, key->bytes, n);
}

/* Whether the record has this key. */
static inline __attribute__((always_inline)) bool xe_find_is(const uint8_t *rec,
                              const struct xe_key *key)
{
    uint32_t header = xe_load32(rec);
    if (xe_record_klen(header) != key->klen || !xe_find_bytes(rec + XE_HDR_BYTES, key))
        return false;
    if (XE_LIKELY(!((header | key->flags) & XE_HDR_SLOW_KEY)))
        return true;
    return xe_record_key_equal_slow(rec, key);
}

/* Finds a key. For readers inside a section and for writers. O(1). */
static inline __attribute__((always_inline)) bool xe_find(const struct xe_image *img,
                           const struct xe_key *key, struct xe_place *out)
{
    struct xe_bucket *b = xe_image_home(img, key->hash);
    for (;;) {
        uint32_t link;
        uint32_t matches = xe_find_matches(b, (uint8_t)key->hash, &link);
        for (; matches; matches &= matches - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(matches);
            /* Acquire: pairs with the publishing store in xe_image_add() and _replace(). */
            uint32_t off = __atomic_load_n(&b->off[i], __ATOMIC_ACQUIRE);
            if (off && xe_find_is(xe_image_record(img, off), key)) {
                *out = (struct xe_place){.bucket = b, .index = i, .off = off};
                return true;
            }
        }
        if (XE_LIKELY(!link))
            return false;
        b = xe_image_linked(img, link);
    }
}

#endif
