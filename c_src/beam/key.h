/*
 * key.h - the keys of ordered tables.
 *
 * A key is two strings of bytes. Its order bytes say where it stands: those of two keys compare
 * as the terms do by `==` and `<`, so 1 and 1.0 have the same, at any depth. Its restore bytes
 * say what is lost that way, and only rebuild the term that was inserted.
 *
 * Order bytes
 *
 * A term is a tag, which is also the order of the types, and what follows it:
 *
 *   02-86  number            below
 *   88     atom              its text in UTF-8, 00 as 01 01 and 01 as 01 02; 00
 *   89-8c  reference, fun, port, pid (a tag each): the key is cut here
 *   90-ed  tuple of 0-93     its elements
 *   ee     larger tuple      its size in 4 bytes; its elements
 *   f0     empty map
 *   f1     map               its size in 4 bytes; the key is cut here
 *   f2     []
 *   f3     list              its head; its tail
 *   f4     bit string        its bytes, 00 as 00 ff; 00; how many bits (1-8) of the last count
 *   8d, ef, f5               kinds that releases to come may have, below tuples, between tuples
 *                            and maps, above all: the key is cut here
 *
 * Integers of several bytes are big-endian. The bits of a last byte that do not count are 0.
 *
 * A number that is not 0 is (-1)^s * 2^e * (1 + f), 0 <= f < 1. Its tag is 44 + x if it is
 * positive and 44 - x if it is negative, with this x and these bytes behind the tag:
 *
 *   x = 01        e < 0              e + 1100 in 2 bytes; f
 *   x = 02 + e    0 <= e <= 63       f
 *   x = 42        64 <= e < 2048     e in 2 bytes; f
 *   x = 42        2048 <= e          ff ff; e in 4 bytes; the key is cut here
 *
 * f is given seven bits a byte, the highest first. They are the high bits of the byte; the lowest
 * one says that another byte follows. Bytes of zeros at the end are left out, except the first.
 * Of a negative number all bits behind the tag are inverted. The number 0 is the tag 44.
 *
 *   key                 order bytes                                       restore bytes
 *
 *   17                  4a 10                                             none
 *                       |  '- 0001000|0: 17 = 2^4 * 1.0001, and no more
 *                       '- 44 + 02 + 4
 *   1000000             59 e9 24 (1 byte, and 1 for each 7 bits of f)     none
 *   1000000.0           59 e9 24                                          01
 *
 *   <<"20 bytes ...">>  f4 | 20 bytes | 00 08 (23 bytes, and 1 more       none
 *                       for each byte that is 00)
 *
 *   {user, 17}          92 | 88 75 73 65 72 00 | 4a 10 (9 bytes)          2-4: the atom
 *
 * A key is cut where it says so above, and behind XE_KEY_BYTES_MAX bytes. A cut key has no more
 * order bytes, and keeps its term as a handle.
 *
 * K1. No key's order bytes begin with those of another key, unless both are cut and the bytes
 *     are the same. (Bytes say themselves where a term ends. So two keys with the same bytes so
 *     far are read the same way: both end there, both are cut there, or both go on.)
 * K2. Keys whose order bytes differ are ordered by the first byte that does, cut or not.
 * K3. Keys with the same order bytes are equal (==) if they are not cut, and ordered by
 *     enif_compare of their terms if they are.
 *
 * Restore bytes
 *
 * A number that is an integer as well as the value of a float is restored as an integer, unless an
 * entry says otherwise; any other number can be only one of them. An atom is kept as its word,
 * for it is not to be had from its text by the documented calls of all releases. Entries are
 * LEB128, in the order of what they are about:
 *
 *   w >> 2 << 1             the next atom; w is the word of the immediate
 *   n << 2 | s << 1 | 1     behind the last entry there are n numbers that might be either and
 *                           are integers, then one that is a float; s: it is -0.0
 *
 * Those of a cut key are one LEB128, the heap words of its term, if the key was encoded to be
 * stored; else there are none.
 */
#ifndef XE_KEY_H
#define XE_KEY_H

#include "term.h"

enum {
    XE_KEY_BYTES_MAX = 4096,    /* order bytes of a key */
    XE_KEY_EXPONENT_MAX = 2048, /* from here on numbers are cut: above all floats, and low enough
                                 * that the few bytes of a power of two stay a small number */
    XE_KEY_WORDS_PER_BYTE = 9,  /* heap words that decoding takes at most for an order byte: 34
                                 * for the 4 bytes of 2^2047 */
    XE_KEY_ATOM_MAX = 1 + 255 * 4 + 1, /* order bytes of an atom: up to 255 characters of up to
                                        * 4 bytes. An escaped one takes 2 */
};

_Static_assert(XE_TERM_BUDGET_WORDS / XE_KEY_BYTES_MAX >= XE_KEY_WORDS_PER_BYTE,
               "any key that is not cut can be decoded on a normal scheduler");

/* A key, on its way in or stored. */
struct xe_order_key {
    const uint8_t *bytes; /* order bytes */
    const uint8_t *restore;
    uint32_t len, restore_len;
    ERL_NIF_TERM term; /* of a cut key, the term or the handle it is kept by; else 0 */
};

/*
 * Encodes a key into a fresh encoder: bytes[0..klen) are its order bytes, bytes[klen..len) its
 * restore bytes. If it is cut, its term is the encoder's only handle. Nothing is allocated if all
 * of it fits `small`. O(XE_KEY_BYTES_MAX), but bignums and bit strings are read as a whole.
 *
 * xe_key_encode() is for finding a key. xe_key_encode_to_store() also finds out what a copy of a
 * cut key's term takes (`words`, `pinned`), in O(size of the term).
 */
enum xe_term_status xe_key_encode(struct xe_encoder *e, ERL_NIF_TERM key);
enum xe_term_status xe_key_encode_to_store(struct xe_encoder *e, ERL_NIF_TERM key);

/* The key in an encoder. */
static inline void xe_key_of_encoder(const struct xe_encoder *e, struct xe_order_key *out)
{
    out->bytes = e->bytes;
    out->restore = e->bytes + e->klen;
    out->len = (uint32_t)e->klen;
    out->restore_len = (uint32_t)(e->len - e->klen);
    out->term = e->n_handles ? e->handles[0] : 0;
}

/*
 * The sign that enif_compare gives for the terms, 0 if and only if they are equal (==).
 * O(order bytes); of two cut keys with the same order bytes, O(size of the terms).
 */
static inline int xe_key_compare(const struct xe_order_key *a, const struct xe_order_key *b)
{
    int c = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
    if (XE_LIKELY(c))
        return c;
    if (XE_UNLIKELY(a->term && b->term))
        return enif_compare(a->term, b->term);
    return (a->len > b->len) - (a->len < b->len); /* a prefix stands before what begins with it */
}

/*
 * Whether keys that are equal (==) are the same term, signs of zeros included: then the caller's
 * key is as good as a decoded one. Of cut keys it is not told.
 */
static inline bool xe_key_is_same_term(const struct xe_order_key *a, const struct xe_order_key *b)
{
    return !a->term && a->restore_len == b->restore_len &&
           memcmp(a->restore, b->restore, a->restore_len) == 0;
}

/* Heap words that decoding it takes at most. O(1). */
uint64_t xe_key_words(const struct xe_order_key *key);

/* The term that was inserted (=:=, and with the same signs of zeros), in `env`. The key has been
 * encoded to be stored. XE_TERM_BUDGET is decided before anything is built. */
enum xe_term_status xe_key_decode(ErlNifEnv *env, const struct xe_order_key *key, uint64_t budget,
                                  ERL_NIF_TERM *out);

/*
 * Prefixes: where the keys are that begin with given terms. Into a fresh encoder: bytes[0..klen)
 * are the order bytes with which all of them begin, bytes[0..len) those of the least there may
 * be. If `exact`, a key is asked for if and only if it begins with the former and is not less than
 * the latter. If not, because the prefix itself is cut, the terms of those keys have to be
 * looked at.
 *
 * xe_key_prefix_tuple   tuples of this arity whose first n elements are (==) these, n <= arity
 * xe_key_prefix_list    lists that begin with the elements of a proper list. For [] there are no
 *                       bytes: none, and not exact
 * xe_key_prefix_binary  bit strings that begin with the bytes of a binary. Those that end within
 *                       its last byte may begin with the same order bytes; they are less
 * xe_key_prefix_open    keys that are (==) this one up to the first place, from left to right, at
 *                       which it has the atom `open`; from there on they may be anything. That
 *                       place is not the whole key
 */
enum xe_term_status xe_key_prefix_tuple(struct xe_encoder *e, const ERL_NIF_TERM *elements,
                                        size_t n, size_t arity, bool *exact);
enum xe_term_status xe_key_prefix_list(struct xe_encoder *e, ERL_NIF_TERM list, bool *exact);
enum xe_term_status xe_key_prefix_binary(struct xe_encoder *e, const ErlNifBinary *bin,
                                         bool *exact);
enum xe_term_status xe_key_prefix_open(struct xe_encoder *e, ERL_NIF_TERM key, ERL_NIF_TERM open,
                                       bool *exact);

/* Makes of a prefix's order bytes the least bytes that do not begin with them, and are not less.
 * *len: as long as they are. No key begins with ff, so there are some. */
static inline void xe_key_bytes_behind(uint8_t *bytes, size_t *len)
{
    while (*len > 1 && bytes[*len - 1] == 0xff)
        --*len;
    bytes[*len - 1]++;
}

/* The size of the tuple that a key is, -1 if it is none. With it, tuples of any size that begin
 * with given terms are found without looking for sizes that no key has. */
int64_t xe_key_arity(const struct xe_order_key *key);

#endif
