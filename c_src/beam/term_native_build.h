/*
 * term_native_build.h - what measuring terms and writing them share (term_native_decode.c).
 */
#ifndef XE_TERM_NATIVE_BUILD_H
#define XE_TERM_NATIVE_BUILD_H

#include "term_internal.h"
#include "term_native.h"

enum {
    SMALL_FRAMES = 48,
    SMALL_LEAVES = 128,
    SMALL_LEFTOVERS = 8,
    CELL = 2,
    SHORT_TUPLE = 8,
    TUPLE_MAX = XE_NATIVE_BLOCK - 1, /* elements of a tuple in a block */
    BIG_MAX = XE_NATIVE_BLOCK - 1,   /* digits of a bignum */
    SUB_BINARY = 5,                  /* words */
    LIST_BLOCK = 96,                 /* words of the smallest block that is made as a list */
};

/* The slots of a frame, and how the next one is found. */
enum run {
    SLOTS,    /* one after the other */
    CELLS,    /* heads of a proper list: each in a new cell that is linked at `at` */
    IMPROPER, /* likewise; after them the tail */
    KEYS,     /* heads of leaves of a large map */
    VALUES,   /* their tails */
    BRANCHES, /* children of a node of a large map: no nodes, but its shape tells them */
    ARRAY,    /* none: the tuple in the array opened last is complete */
};

struct frame {
    union {
        uint64_t *at;
        uint64_t **leaf;
    };
    uint64_t left; /* slots still to be filled. BRANCHES: bits of them, and of the inner ones */
    enum run run;
};

/* A term that was made while measuring, and the node it stands for. */
struct leftover {
    const uint8_t *node, *end;
    ERL_NIF_TERM term;
};

/* Elements of a tuple that no block can hold. */
struct array {
    struct array *next;
    ERL_NIF_TERM slots[];
};

struct room {
    uint64_t *next, *end;
};

struct builder {
    ErlNifEnv *env;
    struct room room;
    uint64_t left;             /* words measured that are in no block */
    size_t n_frames, n_leaves; /* at most */
    struct frame *frames;
    uint64_t **leaves;
    void *stacks; /* the two, if they are not the small ones */
    struct leftover *leftovers;
    size_t n_leftovers, cap_leftovers, next_leftover;
    struct array *arrays, **arrays_end; /* in their order */
    struct array *open;                 /* those being filled, the innermost first */
    struct frame small_frames[SMALL_FRAMES];
    uint64_t *small_leaves[SMALL_LEAVES];
    struct leftover small_leftovers[SMALL_LEFTOVERS];
};

#define XE_INLINED static inline __attribute__((always_inline))

/* What is written, and what is left to documented calls. */

static inline bool tuple_is_native(uint64_t n)
{
    return XE_LIKELY(n - 1 < TUPLE_MAX); /* {} is not */
}

static inline bool binary_is_native(uint64_t size)
{
    return XE_LIKELY(size <= XE_TERM_BIN_VALUE_MAX) && xe_native_has(XE_NATIVE_BINARY);
}

static inline bool bits_are_native(uint64_t size)
{
    return size <= XE_TERM_BIN_VALUE_MAX && xe_native_has(XE_NATIVE_BITS);
}

static inline uint64_t digits(uint64_t size)
{
    return (size + 7) / 8;
}

static inline bool big_is_native(uint64_t size)
{
    return digits(size) <= BIG_MAX && xe_native_has(XE_NATIVE_BIG);
}

static inline bool map_is_native(uint64_t n, unsigned shape)
{
    if (XE_LIKELY(n <= XE_FLATMAP_MAX))
        return n > 0 && xe_native_has(XE_NATIVE_MAP);
    return shape && xe_native_has(XE_NATIVE_LARGE_MAP);
}

static inline uint64_t bits_words(uint64_t size)
{
    return (xe_native.size_unit == 8 ? 0 : SUB_BINARY) + 2 + digits(size);
}

static inline uint64_t flatmap_words(uint64_t n)
{
    return 2 * n + 4;
}

static inline uint64_t xe_varint_at(const uint8_t **p)
{
    struct xe_cursor c = {.p = *p, .end = *p + XE_TERM_VARINT_MAX};
    uint64_t v = xe_cursor_varint(&c);
    *p = c.p;
    return v;
}

static inline unsigned shape_mask(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

/* The bits of 16. Not every x86-64 processor has an instruction for it, and without that the
 * compiler calls a function. */
static inline unsigned count_children(unsigned mask)
{
    mask -= mask >> 1 & 0x5555;
    mask = (mask & 0x3333) + (mask >> 2 & 0x3333);
    mask = (mask + (mask >> 4)) & 0x0f0f;
    return (mask + (mask >> 8)) & 0x1f;
}

/* Writing what has no pointers, or only into itself. */

XE_INLINED const uint8_t *unpack(uint64_t *out, const uint8_t *p, uint64_t n, unsigned width)
{
    uint64_t mask = UINT64_MAX >> (64 - 8 * width);
    for (uint64_t i = 0; i < n; i++, p += width)
        out[i] = xe_load64(p) & mask;
    return p;
}

/* The bytes, and zeros up to the end of the last word. */
XE_INLINED void put_content(uint64_t *out, const uint8_t *p, uint64_t size)
{
    for (; size > 8; size -= 8, p += 8)
        *out++ = xe_load64(p);
    if (size > 0)
        *out = xe_term_packed(p, (unsigned)size);
}

XE_INLINED void put_binary_header(uint64_t *at, uint64_t size, uint64_t bits)
{
    at[0] = (digits(size) + 1) << XE_ARITY_SHIFT | xe_native.heap_binary;
    at[1] = xe_native.size_unit == 8 ? bits : size;
}

/* Of the last of `size` bytes `last` bits count. Takes bits_words(). */
static inline void put_bits(uint64_t *at, const uint8_t *p, uint64_t size, unsigned last)
{
    if (xe_native.size_unit != 8) {
        at[0] = xe_native.sub_binary;
        at[1] = size - 1;
        at[2] = 0;
        at[3] = last;
        at[4] = (uint64_t)(at + SUB_BINARY) | XE_PRIMARY_BOXED;
        at += SUB_BINARY;
    }
    put_binary_header(at, size, 8 * (size - 1) + last);
    put_content(at + 2, p, size);
}

static inline void put_big(uint64_t *at, const uint8_t *p, uint64_t size, bool negative)
{
    at[0] = digits(size) << XE_ARITY_SHIFT | (negative ? xe_native.negative : xe_native.positive);
    put_content(at + 1, p, size);
}

static inline void put_reference(uint64_t *at, const uint8_t *p, unsigned n)
{
    at[0] = xe_native.ref;
    memcpy(at + 1, p, 8 * (size_t)n);
}

/* The node at the cursor, which is left behind it, by documented calls. False: out of memory. */
bool xe_build_leftover(ErlNifEnv *env, struct xe_cursor *c, ERL_NIF_TERM *out);

/* What blocks are made of. */
extern ERL_NIF_TERM xe_build_nils[XE_NATIVE_BLOCK - 1];

/* A block of this many words, 2 to XE_NATIVE_BLOCK, to be overwritten: a tuple of [], or if it is
 * larger a list, because the emulator writes that twice as fast, word by word. A word that is too
 * many there becomes {}. */
static inline uint64_t *xe_build_words(ErlNifEnv *env, uint64_t words)
{
    XE_ASSERT(words >= 2 && words <= XE_NATIVE_BLOCK);
    if (XE_LIKELY(words < LIST_BLOCK) || XE_UNLIKELY(!xe_native_has(XE_NATIVE_LIST)))
        return xe_term_at(enif_make_tuple_from_array(env, xe_build_nils, (unsigned)words - 1));
    unsigned cells = (unsigned)(words + 1) / CELL;
    uint64_t *block = xe_term_at(enif_make_list_from_array(env, xe_build_nils, cells));
    if (words % CELL)
        block[words] = 0;
    return block;
}

/* What is left of a block becomes a tuple of []: the collector walks heap fragments from object to
 * object. */
static inline void xe_build_rest(uint64_t *next, const uint64_t *end)
{
    if (XE_LIKELY(next == end))
        return;
    *next = (uint64_t)(end - next - 1) << XE_ARITY_SHIFT;
    while (++next < end)
        *next = xe_term_traits.nil;
}

/* From OTP 27 on {} is one literal; 0: it is made on the heap. */
extern ERL_NIF_TERM xe_build_empty_tuple;

/* The term of a node that is measured: at most this many words, from 2 to XE_NATIVE_BLOCK, nothing
 * left over. False: it is nested too deeply. */
bool xe_build_small(ErlNifEnv *env, const uint8_t *node, uint64_t words, ERL_NIF_TERM *out);

/* Ends a block, and begins the next one, for n words or more. */
struct room xe_build_block(struct builder *b, struct room room, uint64_t n);

/* The terms of n nodes, 1 or more, into as many slots; all of them are measured. */
void xe_build_nodes(struct builder *b, struct xe_cursor *c, uint64_t *slots, uint64_t n);

/* The array next measured is being filled, and is filled. */
uint64_t *xe_build_open_array(struct builder *b);
ERL_NIF_TERM xe_build_close_array(struct builder *b, uint64_t n);

#endif
