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
 *   bit string   up to OTP 26 a sub-binary of a heap binary: header; size in bytes; offset in
 *                bytes; bits of the last byte, bit offset and a flag, a byte each; the binary.
 *                From OTP 27 a heap binary whose size is in bits
 *   reference    a header like that of make_ref(), and its words: process aliases and magic
 *                references have others
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
};

enum {
    XE_PRIMARY_LIST = 1,
    XE_PRIMARY_BOXED = 2,
    XE_ARITY_SHIFT = 6,       /* of a header; below it the subtag and the primary tag */
    XE_SUBTAG_MASK = 0x3f,
    XE_FLATMAP_MAX = 32,      /* pairs */
    XE_NATIVE_BLOCK = 4096,   /* words of a block that is built in */
};

/* Learnt by the probe. Written before anything else of the library runs, then constant. */
struct xe_native {
    uint32_t kinds;
    bool bits_in_heap_binary; /* OTP 27 and later: sizes of heap binaries are in bits */
    uint64_t flonum;          /* headers, whole */
    uint64_t flatmap;
    uint64_t ref;
    uint64_t sub_binary;
    unsigned positive, negative, heap_binary; /* the low XE_ARITY_SHIFT bits of headers */
    /* Large maps. */
    unsigned map_mask;   /* bits of a header that tell the three below from one another */
    unsigned map_node, map_root, map_root_full;
    unsigned map_arity_shift, map_bitmap_shift;
    unsigned ref_words; /* behind the header */
};
extern struct xe_native xe_native;

/*
 * Decides what is native: `release` ("25") and `build_type` ("opt") of the emulator, of which the
 * wrapper of the module knows, `forbidden` if XETS_TERMS=portable. Leaves a VM that is represented
 * otherwise with kinds = 0.
 */
void xe_native_init(ErlNifEnv *env, const char *release, const char *build_type, bool forbidden);

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

static inline uint64_t *xe_term_at(ERL_NIF_TERM t)
{
    return (uint64_t *)(t & ~(uint64_t)3);
}

/*
 * Building. A term is measured first: how many heap words it takes exactly, with the terms that
 * have to be made by documented calls (EXT, {}, #{}, whatever is not native or larger than a block)
 * made and kept in the order in which they will be met. Then its words are written in blocks
 * of at most XE_NATIVE_BLOCK, cut at the ends of objects. A block is a tuple of [] made by
 * enif_make_tuple_from_array(); it is overwritten from its first word on, and what may be left of
 * it stays [], so that every word of it belongs to a well-formed term. Nothing returns, raises or
 * reschedules before the last block is complete: after measuring nothing can fail but memory for
 * the stacks, which is asked for while measuring.
 *
 * These do what xe_node_decode() and xe_term_decode_any_object() do (term_internal.h, term.h); they
 * are called where XE_NATIVE_TUPLE is there.
 */
struct xe_cursor;
struct xe_body;
enum xe_term_status xe_native_decode(ErlNifEnv *env, const struct xe_cursor *c, ERL_NIF_TERM *out);
enum xe_term_status xe_native_decode_body(ErlNifEnv *env, struct xe_cursor *c,
                                          const struct xe_body *b, int keypos, ERL_NIF_TERM key,
                                          ERL_NIF_TERM *out);

/* A binary of up to XE_TERM_BIN_VALUE_MAX bytes on the heap; a larger one by erl_nif. */
ERL_NIF_TERM xe_native_make_binary(ErlNifEnv *env, const uint8_t *bytes, size_t size);

#endif
