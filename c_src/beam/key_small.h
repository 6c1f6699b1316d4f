/*
 * key_small.h - how order bytes say the fraction of a number (key.h), and with it the order bytes
 * of small integers, made in registers: most keys of ordered tables.
 */
#ifndef XE_KEY_SMALL_H
#define XE_KEY_SMALL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    KEY_ZERO = 0x44, /* tags of numbers: KEY_ZERO + or - the next one and the exponent */
    KEY_EXPONENT_0 = 2,
    XE_KEY_SMALL_MAX = 10, /* order bytes of up to 64 bits: the tag; up to 62 bits, seven a byte */
};

/* The highest 56 bits, seven a byte; the lowest bit of each byte is 0. */
static inline uint64_t xe_key_spread(uint64_t fraction)
{
    uint64_t x = fraction >> 8;
    x = (x & 0x00fffffff0000000) << 4 | (x & 0x000000000fffffff);
    x = (x & 0x0fffc0000fffc000) << 2 | (x & 0x00003fff00003fff);
    x = (x & 0x3f803f803f803f80) << 1 | (x & 0x007f007f007f007f);
    return x << 1;
}

/* Bits up to the last 1. */
static inline unsigned xe_key_fraction_bits(uint64_t fraction)
{
    return fraction ? 64 - (unsigned)__builtin_ctzll(fraction) : 0;
}

/* The bytes of so many bits. */
static inline unsigned xe_key_groups(uint64_t bits)
{
    return bits ? (unsigned)((bits + 6) / 7) : 1;
}

/* The first eight of `groups` bytes, the first one highest; those behind the last are 0. */
static inline uint64_t xe_key_first_groups(uint64_t fraction, unsigned groups)
{
    const uint64_t follows = 0x0101010101010101;
    uint64_t followed = groups > 8 ? follows : follows & ~(UINT64_MAX >> 8 * (groups - 1));
    return xe_key_spread(fraction) | followed;
}

/* The order bytes of an integer: two words, the first byte highest, zeros behind the last. Returns
 * how many. */
static inline unsigned xe_key_small(int64_t i, uint64_t *high, uint64_t *low)
{
    *high = (uint64_t)KEY_ZERO << 56;
    *low = 0;
    if (XE_UNLIKELY(i == 0))
        return 1;
    uint64_t flip = (uint64_t)(i >> 63), magnitude = ((uint64_t)i ^ flip) - flip;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(magnitude);
    uint64_t fraction = magnitude << 1 << (63 - exponent);
    /* As xe_key_groups() of them, without a branch: how long numbers are is as good as random. */
    unsigned groups = (70 - (unsigned)__builtin_ctzll(fraction | (uint64_t)1 << 63)) / 7;
    uint64_t used = ~(UINT64_MAX >> 4 * groups >> 4 * groups);
    uint64_t followed = 0x0101010101010101 & ~(UINT64_MAX >> 4 * (groups - 1) >> 4 * (groups - 1));
    uint64_t first = ((xe_key_spread(fraction) | followed) ^ flip) & used;
    uint64_t ninth = groups > 8 ? ((fraction ^ flip) & 0xfe) | (flip & 1) : 0;
    uint64_t x = KEY_EXPONENT_0 + exponent;
    *high = (KEY_ZERO + ((x ^ flip) - flip)) << 56 | first >> 8;
    *low = first << 56 | ninth << 48;
    return 1 + groups;
}

/*
 * The integer of order bytes, of which eight more can be read, and behind which no restore bytes
 * are. False: they are of something else, or of an integer that has more than 56 bits behind its
 * first one.
 */
static inline bool xe_key_to_small(const uint8_t *bytes, size_t len, int64_t *out)
{
    unsigned tag = bytes[0];
    if (tag == KEY_ZERO) {
        *out = 0;
        return true;
    }
    bool negative = tag < KEY_ZERO;
    unsigned exponent = (negative ? KEY_ZERO - tag : tag - KEY_ZERO) - KEY_EXPONENT_0;
    if (exponent > 58 || len > 9)
        return false;
    uint64_t x;
    memcpy(&x, bytes + 1, sizeof x);
    x = (__builtin_bswap64(x) ^ (negative ? UINT64_MAX : 0)) &
        ~(len > 8 ? 0 : UINT64_MAX >> 8 * (len - 1));
    x = x >> 1 & 0x7f7f7f7f7f7f7f7f;
    x = (x & 0x7f007f007f007f00) >> 1 | (x & 0x007f007f007f007f);
    x = (x & 0x3fff00003fff0000) >> 2 | (x & 0x00003fff00003fff);
    x = (x & 0x0fffffff00000000) >> 4 | (x & 0x000000000fffffff);
    uint64_t fraction = x << 8;
    if (xe_key_fraction_bits(fraction) > exponent)
        return false;
    uint64_t magnitude = (uint64_t)1 << exponent | (exponent ? fraction >> (64 - exponent) : 0);
    *out = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

#endif
