/*
 * key_internal.h - what encoding and decoding of keys share (key.h has the format).
 */
#ifndef XE_KEY_INTERNAL_H
#define XE_KEY_INTERNAL_H

#include "key.h"
#include "key_short.h"
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

enum {
    XE_KEY_ATOM_WORDS = 5,  /* of the order bytes of an atom that is remembered */
    XE_KEY_ATOM_PAIRS = 512, /* of places */
};

/* An atom whose order bytes are remembered (key_atom.c): as words, the first byte highest, and
 * behind the last one zeros. */
struct xe_key_atom {
    _Atomic uint64_t atom;
    uint64_t words[XE_KEY_ATOM_WORDS];
    uint32_t restore; /* its entry, the first byte lowest */
    uint8_t len, restore_len;
};

_Static_assert(sizeof(struct xe_key_atom) <= XE_CACHE_LINE, "a place is a cache line");
_Static_assert(XE_KEY_ATOM_PAIRS == 1 << (64 - 55), "the hash has as many bits as there are pairs");

extern struct xe_key_atom xe_key_atoms[XE_KEY_ATOM_PAIRS][2];

static inline struct xe_key_atom *xe_key_atom_places(ERL_NIF_TERM atom)
{
    return xe_key_atoms[atom * 0x9e3779b97f4a7c15 >> 55];
}

/* The restore entry of an atom (key.h). */
static inline uint64_t xe_key_atom_entry(ERL_NIF_TERM atom)
{
    return atom >> 2 << 1;
}

/* NULL: it is not remembered, or is no atom at all. */
static inline const struct xe_key_atom *xe_key_atom_remembered(ERL_NIF_TERM atom)
{
    const struct xe_key_atom *p = xe_key_atom_places(atom);
    for (int i = 0; i < 2; i++, p++)
        /* Pairs with the store-release in remember(). */
        if (XE_LIKELY(atomic_load_explicit(&p->atom, memory_order_acquire) == atom))
            return p;
    return NULL;
}

/* An atom's order bytes, *len of them. They may be put into room[0..XE_KEY_ATOM_MAX). NULL: out
 * of memory. */
const uint8_t *xe_key_atom(ErlNifEnv *env, ERL_NIF_TERM atom, uint8_t *room, size_t *len);

/* As xe_key_encode(), by the way that all keys can go. */
enum xe_term_status xe_key_encode_any(struct xe_encoder *e, ERL_NIF_TERM key);

#endif
