/*
 * key.h - the keys of ordered tables.
 *
 * A key is two strings of bytes. Its order bytes say where it stands: those of two keys compare
 * as the terms do by `==` and `<`, so that 1 and 1.0 have the same, at any depth. Its restore bytes
 * say what is lost that way, and only rebuild the term that was inserted.
 *
 * Order bytes
 *
 * A term is a tag, which is also the order of the types, and what follows it:
 *
 *   02-86     number           below
 *   88        atom             its text in UTF-8, 00 as 01 01 and 01 as 01 02; 00
 *   89 8a 8b 8c                reference, fun, port, pid: the key is cut here
 *   90-ee     tuple of 0-94    its elements
 *   ef        larger tuple     its size in 4 bytes; its elements
 *   f0        empty map
 *   f1        map              its size in 4 bytes; the key is cut here
 *   f2        []
 *   f3        list             its head; its tail
 *   f4        bit string       its bytes, 00 as 00 ff; 00; how many bits (1-8) of the last count
 *
 * Integers of more than one byte are big-endian. The bits of a last byte that do not count are 0.
 *
 * A number other than 0 is (-1)^s * 2^e * (1 + f), 0 <= f < 1. Its tag is 44 + x if it is positive
 * and 44 - x if it is negative, where
 *
 *   x = 1         e < 0                e + 1100 in 2 bytes
 *   x = 2 + e     0 <= e <= 63         nothing
 *   x = 66        64 <= e < 2048       e in 2 bytes
 *   x = 66        2048 <= e            ff ff, e in 4 bytes: the key is cut here
 *
 * and behind that come the bits of f, seven a byte from the highest, each byte shifted left
 * by one; the lowest bit of a byte says that another one follows. Bytes of zeros at the end are left
 * out, but for the first. Of a negative number all bits behind the tag are inverted. 0 is the tag 44.
 *
 *   key                 order bytes                                            restore bytes
 *
 *   1000                4f f4                                                  none
 *                       |  '1111010|0: 1000 = 2^9 * (1 + .1111010), no more
 *                       '44 + 2 + 9
 *
 *   1000000             59 e9 24          (1 + a byte per 7 bits)              none
 *   1000000.0           59 e9 24                                               01
 *
 *   <<"20 bytes ...">>  f4 | 20 bytes | 00 08          (23 bytes)              none
 *                       (one more for each 00 among them)
 *
 *   {user, 1000}        92 | 88 75 73 65 72 00 | 4f f4 (9 bytes)               2 or 3: the atom
 *
 * A key is cut where the table above says so, and behind XE_KEY_BYTES_MAX bytes. A cut key
 * has no more order bytes, and keeps its term as a handle instead of restore bytes.
 *
 * K1. No order bytes begin with the order bytes of another key, unless both keys are cut and their
 *     bytes are the same. For a term's bytes say themselves where it ends, so two terms that have
 *     the same bytes so far are read the same way: both end there, both are cut there, or both go on.
 * K2. Two keys whose order bytes differ are ordered by the first byte that differs, cut or not.
 * K3. Two keys with the same order bytes are equal (==) if they are not cut; and otherwise ordered
 *     by enif_compare of their terms.
 *
 * Restore bytes
 *
 * A number that is an integer and also a float's value is restored as an integer, unless an entry says
 * otherwise; any other number can be one of them only. An atom is stored as its word, which is not to be
 * found by its text. Entries are LEB128, in the order of the numbers and atoms they are about:
 *
 *   w >> 2 << 1              the next atom, whose immediate's word is w
 *   n << 2 | s << 1 | 1      of the numbers behind the last entry that might be either, n are
 *                            integers, and the next one is a float; s: it is -0.0
 *
 * A cut key has as its restore bytes one LEB128, the heap words of its term, when it was encoded to be
 * stored, else none.
 */
#ifndef XE_KEY_H
#define XE_KEY_H

#include "term.h"

enum {
    XE_KEY_BYTES_MAX = 4096,   /* order bytes of a key */
    XE_KEY_EXPONENT_MAX = 2048, /* a number of that many bits is cut. Above the floats; bounds what
                                * the few bytes of a power of two can expand to */
    XE_KEY_WORDS_PER_BYTE = 9, /* heap words at most that decoding takes for each order byte: 34 of the
                                * 4 bytes of 2^2047 */
    XE_KEY_ATOM_MAX = 1 + 255 * 4 + 1, /* order bytes of an atom: up to 255 characters of up to 4 bytes;
                                * those that are escaped have 2 */
};

_Static_assert(XE_KEY_WORDS_PER_BYTE * XE_KEY_BYTES_MAX <= XE_TERM_BUDGET_WORDS,
               "any key that is not cut can be decoded on a normal scheduler");

/* A key, on its way in or stored. */
struct xe_order_key {
    const uint8_t *bytes; /* order bytes */
    const uint8_t *restore;
    uint32_t len, restore_len;
    ERL_NIF_TERM term; /* of a cut key, the term or the handle it is kept by; else 0 */
};

/*
 * Encodes a key into a fresh encoder: bytes[0..klen) are its order bytes, bytes[klen..len) its restore
 * bytes. If it is cut, its term is the encoder's only handle. No allocation if all fits `small`.
 * O(XE_KEY_BYTES_MAX) at most; a bignum and a bit string are read as a whole.
 *
 * xe_key_encode() is for finding a key. xe_key_encode_to_store() counts also what a cut key's term
 * takes when it is copied (`words`, `pinned`), which is O(size of the term).
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

/* The term that was inserted (=:=, and with the same sign of zeros), in `env`. The key has been
 * encoded to be stored. XE_TERM_BUDGET is decided before anything is built. */
enum xe_term_status xe_key_decode(ErlNifEnv *env, const struct xe_order_key *key, uint64_t budget,
                                  ERL_NIF_TERM *out);

/*
 * Prefixes: which keys begin with given terms. Into a fresh encoder: bytes[0..klen) are the order bytes
 * with which they all begin, bytes[0..len) those of the first key there may be. If `exact`, every
 * key that begins with the former and is not less than the latter is asked for. If not, because the
 * prefix itself is cut, the terms of those keys have to be looked at.
 *
 * xe_key_prefix_tuple: tuples of this arity whose first n elements are (==) these, n <= arity
 * xe_key_prefix_list: lists that begin with the elements of a proper list; for [] there are no
 *     such bytes: none, and not exact
 * xe_key_prefix_binary: bit strings that begin with the bytes of a binary. Those that end within
 *     its last byte may begin with the same order bytes, and are less
 */
enum xe_term_status xe_key_prefix_tuple(struct xe_encoder *e, const ERL_NIF_TERM *elements,
                                        size_t n, size_t arity, bool *exact);
enum xe_term_status xe_key_prefix_list(struct xe_encoder *e, ERL_NIF_TERM list, bool *exact);
enum xe_term_status xe_key_prefix_binary(struct xe_encoder *e, const ErlNifBinary *bin,
                                         bool *exact);

/* The size of the tuple that a key is; -1: it is none. With it, tuples of any size that begin with
 * given terms are found without looking at the sizes that no key has. */
int64_t xe_key_arity(const struct xe_order_key *key);

#endif
