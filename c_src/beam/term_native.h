/*
 * term_native.h - terms read and built where they lie, instead of through erl_nif.
 *
 * Same stored bytes as the portable way (term.h), several times as fast. What the heap of the
 * emulator looks like is not promised, so it is used only where
 *
 *   1. the machine is a 64-bit little-endian one,
 *   2. the OTP release is one of those that `make matrix` has run every test on, and the emulator's
 *      build_type is `opt`,
 *   3. a probe at load has found the layout of a kind to be exactly what is expected: kind by kind.
 *
 * A kind whose probe fails goes the portable way alone, inside the same term. XETS_TERMS=portable
 * in the environment of the VM turns all of them off. What has been decided at the first load holds
 * for the life of the VM, whatever copies of the library come later: XE_NODE_REF nodes and the
 * shapes of large maps are written by the native way only, and equal keys must have equal bytes.
 *
 * Layouts (OTP 25 to 29). The primary tag is in the low two bits of a word: 1 list, 2 boxed,
 * 3 immediate, 0 header. What boxed terms point to begins with a header word:
 *
 *   tuple        arity << 6; the elements
 *   float        `header.flonum`; 8 bytes
 *   bignum       digits << 6 | sign's subtag; 64-bit digits, the lowest first
 *   flat map     `header.flatmap`; size; tuple of the keys; the values. To 32 pairs
 *   large map    a trie of at most 16 children a node: header with arity and bitmap, in the root
 *                the size, the children: lists [Key | Value] or boxed nodes
 *   heap binary  words << 6 | subtag; size in bytes (up to OTP 26) or bits (from 27); the bytes
 *   sub-binary   up to OTP 26 header; size in bytes; offset in bytes; a byte each for the bits that
 *                count of one more byte, the offset in bits and a flag; the binary. From OTP 27
 *                header; where the data begins, and flags in the low two bits; first bit; the bit
 *                behind the last; the binary
 *   bit string   up to OTP 26 a sub-binary; from OTP 27, to 64 bytes, a heap binary
 *   reference    a header like that of make_ref(), and two words, of which the first has only bits
 *                set in its low half: magic references have an address there. Process aliases have
 *                another header, and a third word
 *   shared       (what a large binary's bytes are in, from OTP 27 always behind a sub-binary) up to
 *                OTP 26 header; size; next; the emulator's block; the bytes; flags. From OTP 27
 *                header; block; next. The block: some words; size; the bytes
 *   list         two words, head and tail, without a header
 */
#ifndef XE_TERM_NATIVE_H
#define XE_TERM_NATIVE_H

#include "term.h"

/* What is native, by what has been proven of it. XE_NATIVE_TUPLE stands for the tags, too: without
 * it nothing is. */
enum {
    XE_NATIVE_TUPLE = 1 << 0,
    XE_NATIVE_LIST = 1 << 1,
    XE_NATIVE_FLOAT = 1 << 2,
    XE_NATIVE_BIG = 1 << 3,
    XE_NATIVE_MAP = 1 << 4,
    XE_NATIVE_LARGE_MAP = 1 << 5,
    XE_NATIVE_BINARY = 1 << 6,
    XE_NATIVE_BITS = 1 << 7,
    XE_NATIVE_REF = 1 << 8,
    XE_NATIVE_SLICE = 1 << 9, /* how much of its parent a sub-binary is */
    XE_NATIVE_KINDS = 10,
};

enum {
    XE_PRIMARY_LIST = 1,
    XE_PRIMARY_BOXED = 2,
    XE_ARITY_SHIFT = 6, /* of a header; below it the subtag and the primary tag */
    XE_SUBTAG_MASK = 0x3f,
    XE_FLATMAP_MAX = 32,      /* pairs */
    XE_NATIVE_BLOCK = 8192,   /* words of a block that is built in */
    XE_MAP_BITMAP_SHIFT = 16, /* of the header of a node of a large map */
    XE_MAP_HEADER_MASK = 0xffff,
    XE_REF_WORDS = 2, /* behind the header */
};

/* Learnt by the probe. Written before anything else of the library runs, then constant. */
struct xe_native {
    uint32_t kinds;
    uint64_t size_unit; /* of a heap binary: 1, bytes, up to OTP 26; 8, bits, from OTP 27 */
    uint64_t flonum;    /* headers, whole */
    uint64_t flatmap;
    uint64_t ref;
    uint64_t alias; /* of a process */
    uint64_t sub_binary;
    uint64_t shared_binary;
    uint64_t block_head; /* bytes of the emulator's block before those of the binary */
    uint64_t positive, negative, heap_binary; /* the low XE_ARITY_SHIFT bits of headers */
    /* Of headers of large maps what is below the bitmap. The full root's may be map_root, too. */
    uint64_t map_node, map_root, map_root_full;
};
extern struct xe_native xe_native;

/* What erl_nif cannot make: for the probe. Lists. */
struct xe_native_samples {
    ERL_NIF_TERM refs;        /* of make_ref() and such */
    ERL_NIF_TERM other_refs;  /* process aliases, magic references */
    ERL_NIF_TERM bit_strings; /* to 64 bytes, as the emulator makes them; no binaries */
};

/*
 * Decides what is native, once in the life of a copy of the library; later calls are
 * ignored. `info` is what xets:native_info() tells: {Release, BuildType, Forbidden, Refs,
 * OtherRefs, BitStrings}; with anything else nothing is native.
 */
void xe_native_init(ErlNifEnv *env, ERL_NIF_TERM info);

/* The same, as another copy has decided. */
void xe_native_adopt(const struct xe_native *decided);

/*
 * The probe alone. What is not 0 in `n` before is expected, and what is found must be equal to it.
 * n->kinds tells what was found as expected.
 */
void xe_native_probe(ErlNifEnv *env, const struct xe_native_samples *samples, struct xe_native *n);

/* A list of atoms. */
ERL_NIF_TERM xe_native_names(ErlNifEnv *env, uint32_t kinds);

static inline bool xe_native_has(uint32_t kinds)
{
    return XE_LIKELY((xe_native.kinds & kinds) == kinds);
}

static inline bool xe_term_is_boxed(ERL_NIF_TERM t)
{
    return (t & 3) == XE_PRIMARY_BOXED;
}

static inline bool xe_term_is_list_cell(ERL_NIF_TERM t)
{
    return (t & 3) == XE_PRIMARY_LIST;
}

/* Terms are aligned, so bit 2 is none of the address: where the emulator cannot reserve addresses
 * for literals, it marks them by it. */
static inline uint64_t *xe_term_at(ERL_NIF_TERM t)
{
    return (uint64_t *)(t & ~(uint64_t)7);
}

/* Reading. Each is for terms of a kind that is native. */

static inline uint64_t xe_term_header(ERL_NIF_TERM t)
{
    return *xe_term_at(t);
}

/* What enif_get_tuple() does. */
static inline bool xe_term_get_tuple(ErlNifEnv *env, ERL_NIF_TERM t, int *arity,
                                     const ERL_NIF_TERM **elements)
{
    if (!xe_native_has(XE_NATIVE_TUPLE))
        return enif_get_tuple(env, t, arity, elements);
    if (!xe_term_is_boxed(t) || (xe_term_header(t) & XE_SUBTAG_MASK) != 0)
        return false;
    *arity = (int)(xe_term_header(t) >> XE_ARITY_SHIFT);
    *elements = xe_term_at(t) + 1;
    return true;
}

/* Whether it is a heap binary of whole bytes; their number. They begin at at[2]. */
static inline bool xe_native_is_binary(const uint64_t *at, size_t *size)
{
    bool bits = xe_native.size_unit == 8;
    *size = bits ? at[1] >> 3 : at[1];
    return (at[0] & XE_SUBTAG_MASK) == xe_native.heap_binary && !(bits && (at[1] & 7)) &&
           xe_native_has(XE_NATIVE_BINARY);
}

/* The bytes of a bignum's magnitude, which begins at at[1]. */
static inline size_t xe_native_big_size(const uint64_t *at)
{
    size_t digits = at[0] >> XE_ARITY_SHIFT;
    return 8 * digits - (size_t)__builtin_clzll(at[digits]) / 8;
}

/* A bit string where it lies. */
struct xe_bits {
    const uint8_t *bytes;
    size_t size;     /* bytes that its copy takes */
    unsigned offset; /* bits to be passed over in the first byte */
    unsigned bits;   /* 1-7: what counts of the last byte of the copy */
};

/* False: it is none of the known forms. */
static inline bool xe_native_bits(const struct xe_native *n, ERL_NIF_TERM t, struct xe_bits *b)
{
    const uint64_t *at = xe_term_at(t);
    if (n->size_unit == 8) {
        b->bytes = (const uint8_t *)(at + 2);
        b->size = (at[1] + 7) / 8;
        b->offset = 0;
        b->bits = at[1] & 7;
        return (at[0] & XE_SUBTAG_MASK) == n->heap_binary;
    }
    if (at[0] != n->sub_binary)
        return false;
    const uint64_t *parent = xe_term_at(at[4]);
    if ((parent[0] & XE_SUBTAG_MASK) == n->heap_binary)
        b->bytes = (const uint8_t *)(parent + 2) + at[2];
    else if ((n->kinds & XE_NATIVE_SLICE) && parent[0] == n->shared_binary)
        b->bytes = (const uint8_t *)parent[4] + at[2];
    else
        return false;
    b->bits = at[3] & 0xff;
    b->size = at[1] + (b->bits != 0);
    b->offset = at[3] >> 8 & 0xff;
    return true;
}

/* Its bytes, the last one masked. */
static inline void xe_bits_copy(const struct xe_bits *b, uint8_t *to)
{
    if (b->size == 0)
        return;
    if (b->offset == 0) {
        memcpy(to, b->bytes, b->size);
    } else {
        /* The last byte may end before a byte that need not be there. */
        bool more = b->offset + (b->bits ? b->bits : 8) > 8;
        for (size_t i = 0; i < b->size; i++) {
            unsigned next = i + 1 < b->size || more ? b->bytes[i + 1] : 0;
            to[i] = (uint8_t)(b->bytes[i] << b->offset | next >> (8 - b->offset));
        }
    }
    if (b->bits)
        to[b->size - 1] &= (uint8_t)(0xff00 >> b->bits);
}

/* An ordinary reference: magic ones have the same header. */
static inline bool xe_native_is_ref(const uint64_t *at)
{
    return at[0] == xe_native.ref && (uint32_t)at[1] == UINT32_MAX;
}

/* A process alias. It is equal (=:=) to the ordinary reference that has its first words: what comes
 * back of one that has been sent to another node, and is not active any more. */
static inline bool xe_native_is_alias(const uint64_t *at)
{
    return at[0] == xe_native.alias;
}

/* The bytes that a large binary keeps alive, if it is a slice of those of another, else 0. */
static inline uint64_t xe_native_parent_size(ERL_NIF_TERM t)
{
    const uint64_t *at = xe_term_at(t);
    if (at[0] != xe_native.sub_binary)
        return 0;
    const uint64_t *parent = xe_term_at(at[4]);
    if (parent[0] != xe_native.shared_binary)
        return 0;
    bool old = xe_native.size_unit == 1;
    uint64_t bytes = old ? parent[4] : at[1] & ~(uint64_t)3, block = old ? parent[3] : parent[1];
    /* The bytes of a resource are elsewhere. */
    return bytes - block == xe_native.block_head ? xe_load64((const uint8_t *)bytes - 8) : 0;
}

/*
 * The pairs of a large map of size n in iteration order, and the words of its shape, at most n.
 * Returns how many these are, the number of the trie's inner nodes. 0: there is a node of another
 * form, such as that for keys with the same hash; the map is to be read by its iterator.
 */
size_t xe_native_gather(ERL_NIF_TERM map, size_t n, ERL_NIF_TERM *keys, ERL_NIF_TERM *values,
                        uint32_t *shape);

/*
 * The nodes of small terms, as xe_term_encode_nodes() writes them (term_native_encode.c). False: they
 * are not small, or have something unusual, and the encoder is as it was. O(1): the room that the
 * encoder has bounds it.
 */
bool xe_native_encode_small(struct xe_encoder *e, const ERL_NIF_TERM *terms, size_t n);

/* A body of that kind in the room at `to`, which ends at `end`, as xe_term_encode_body() writes it,
 * of an object with an arity to XE_TERM_FLAT_ARITY_MAX, not all immediates but the key. Returns where
 * it ends; NULL: it is not small. */
uint8_t *xe_native_small_body(uint8_t *to, const uint8_t *end, const ERL_NIF_TERM *elements,
                              int arity, int keypos);

/* The node of a binary to XE_TERM_BIN_VALUE_MAX bytes where it lies: its words are copied whole.
 * Returns where it ends; NULL: the term is none. */
uint8_t *xe_native_small_binary(uint8_t *to, ERL_NIF_TERM t);

/*
 * Building (term_native_decode.c). Objects tell how many heap words they take: those to a block are
 * written at once. Other terms are measured first: how many words they take exactly, with the terms
 * that have to be made by documented calls (EXT, {}, #{}, whatever is not native or larger than a
 * block) made and kept in the order in which they will be met. Then their words are written in
 * blocks of at most XE_NATIVE_BLOCK, cut at the ends of objects. A block is a tuple or a list of
 * [] made by erl_nif; it is overwritten from its first word on, and what is left of it
 * is made a tuple, so that every word of it belongs to a well-formed term. Nothing returns, raises
 * or reschedules before the last block is complete: after measuring nothing can fail.
 *
 * These do what xe_node_decode() and xe_term_decode_any_object() do (term_internal.h, term.h); they
 * are called where XE_NATIVE_TUPLE is there.
 */
struct xe_cursor;
struct xe_body;

/* Called by xe_term_init(). */
void xe_native_decode_init(ErlNifEnv *env);

/*
 * The object, or with a `tail` [Object | tail], of a body that is not flat; without a key (0) it is
 * decoded. False: not that way. O(words of the object), which are at most a block.
 */
bool xe_native_decode_small(ErlNifEnv *env, const struct xe_view *v, int keypos, ERL_NIF_TERM key,
                            ERL_NIF_TERM tail, uint64_t budget, ERL_NIF_TERM *out);

/* Likewise of a body without handles, and with its key. */
bool xe_native_decode_plain(ErlNifEnv *env, const uint8_t *body, int keypos, ERL_NIF_TERM key,
                            ERL_NIF_TERM tail, uint64_t budget, ERL_NIF_TERM *out);

enum xe_term_status xe_native_decode(ErlNifEnv *env, const struct xe_cursor *c, ERL_NIF_TERM *out);

/* An object whose body is not flat, the cursor at its first node. Unless the body has the key, that
 * is `key`, or if it is 0 what `key_bytes` stands at. The cursors are moved. */
enum xe_term_status xe_native_decode_body(ErlNifEnv *env, struct xe_cursor *c,
                                          const struct xe_body *body, struct xe_cursor *key_bytes,
                                          int keypos, ERL_NIF_TERM key, ERL_NIF_TERM *out);

/* The tuple of words[3] and what follows, or a list of it and a tail. What is before is written
 * over. */
static inline ERL_NIF_TERM xe_term_make_listed(ErlNifEnv *env, ERL_NIF_TERM *words, unsigned arity,
                                               ERL_NIF_TERM tail)
{
    if (XE_LIKELY(tail && xe_native_has(XE_NATIVE_TUPLE | XE_NATIVE_LIST))) {
        words[1] = tail;
        words[2] = (ERL_NIF_TERM)arity << XE_ARITY_SHIFT;
        uint64_t *heap = xe_term_at(enif_make_tuple_from_array(env, words + 1, arity + 2));
        heap[0] = (uint64_t)(heap + 2) | XE_PRIMARY_BOXED;
        return (uint64_t)heap | XE_PRIMARY_LIST;
    }
    ERL_NIF_TERM object = enif_make_tuple_from_array(env, words + 3, arity);
    return tail ? enif_make_list_cell(env, object, tail) : object;
}

/* The object of a flat body; with a `tail`: [Object | tail], the cell in front of the tuple. */
static inline ERL_NIF_TERM xe_term_make_flat(ErlNifEnv *env, const uint8_t *body, int keypos,
                                             ERL_NIF_TERM key, ERL_NIF_TERM tail)
{
    ERL_NIF_TERM words[3 + XE_TERM_FLAT_ARITY_MAX];
    unsigned arity = xe_term_unpack_flat(body, keypos, key, words + 3);
    return xe_term_make_listed(env, words, arity, tail);
}

/* A binary: natively if it has up to XE_TERM_BIN_VALUE_MAX bytes and such are; else by erl_nif. */
ERL_NIF_TERM xe_native_make_binary(ErlNifEnv *env, const uint8_t *bytes, size_t size);

#endif
