/*
 * checksum.h - what the formats on disk are made of: numbers, little-endian, and checksums.
 */
#ifndef XE_CHECKSUM_H
#define XE_CHECKSUM_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core.h"

/* H(seed, bytes) of the formats: XXH3 of 64 bits, which is frozen since xxHash 0.8. */
static inline uint64_t xe_checksum(uint64_t seed, const void *bytes, size_t n)
{
    return XXH3_64bits_withSeed(bytes, n, seed);
}

static inline void xe_store64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void xe_store32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

#endif
