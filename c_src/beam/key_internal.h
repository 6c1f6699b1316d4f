/*
 * key_internal.h - what encoding and decoding of keys share (key.h has the format).
 */
#ifndef XE_KEY_INTERNAL_H
#define XE_KEY_INTERNAL_H

#include "key.h"
#include "key_small.h"
#include "term_internal.h"

/* Tags. */
enum {
    /* numbers: KEY_ZERO + or - one of these, or KEY_EXPONENT_0 + exponent (key_small.h) */
    KEY_FRACTION = 1,
    KEY_LARGE = 66,
    KEY_ATOM = 0x88,
    KEY_REFERENCE,
    KEY_FUN,
    KEY_PORT,
    KEY_PID,
    KEY_BELOW_TUPLES,
    KEY_TUPLE = 0x90, /* + arity */
    KEY_TUPLE_LARGE = 0xee,
    KEY_ABOVE_TUPLES,
    KEY_MAP_EMPTY,
    KEY_MAP,
    KEY_NIL,
    KEY_LIST,
    KEY_BITS,
    KEY_ABOVE_ALL,
};

enum {
    KEY_EXPONENT_BIAS = 1100, /* of numbers between 0 and 1 */
    KEY_EXPONENT_HUGE = 0xffff,
    /* Floats. */
    DOUBLE_FRACTION_BITS = 52,
    DOUBLE_EXPONENT_MAX = 1023,
    DOUBLE_EXPONENT_MIN = -1022, /* below are the subnormal ones */
};

_Static_assert(KEY_ZERO - KEY_LARGE > 0 && KEY_ZERO + KEY_LARGE < KEY_ATOM &&
                   KEY_EXPONENT_0 + 63 < KEY_LARGE && KEY_BELOW_TUPLES < KEY_TUPLE &&
                   KEY_BITS == 0xf4,
               "the tags do not overlap");
_Static_assert((int)XE_KEY_EXPONENT_MAX > (int)DOUBLE_EXPONENT_MAX,
               "all floats have bytes of their own");

/*
 * Whether a number with this exponent and this many bits of fraction, up to its last 1, is an
 * integer that a float can be: then a restore entry tells which it was.
 */
static inline bool key_is_integral(int64_t exponent, uint64_t bits)
{
    return exponent >= 0 && bits <= (uint64_t)exponent;
}

static inline bool key_fits_double(int64_t exponent, uint64_t bits)
{
    return exponent <= DOUBLE_EXPONENT_MAX && bits <= DOUBLE_FRACTION_BITS;
}

/* An atom's order bytes, *len of them. They may be put into room[0..XE_KEY_ATOM_MAX). NULL: out
 * of memory. */
const uint8_t *xe_key_atom(ErlNifEnv *env, ERL_NIF_TERM atom, uint8_t *room, size_t *len);

#endif
