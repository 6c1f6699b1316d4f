/*
 * term_native_build.h - what measuring terms and writing them share (term_native_decode.c).
 */
#ifndef XE_TERM_NATIVE_BUILD_H
#define XE_TERM_NATIVE_BUILD_H

#include "term_internal.h"
#include "term_native.h"

enum {
    BUFFER_WORDS = 512,
    BUFFER_BYTES = 1024, /* of nodes that are worth trying in the buffer */
    SMALL_FRAMES = 48,
    SMALL_LEAVES = 128,
    SMALL_LEFTOVERS = 8,
    CELL = 2,
    SHORT_TUPLE = 8,
    TUPLE_MAX = XE_NATIVE_BLOCK - 1, /* elements of a tuple in a block */
    BIG_MAX = XE_NATIVE_BLOCK - 1,   /* digits of a bignum */
    SUB_BINARY = 5,                  /* words */
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
    struct frame *frames;
    struct frame *frames_end; /* buffered: behind the last one */
    uint64_t **leaves, **leaves_end;
    uint32_t n_fixes;
    /* Direct. */
    uint64_t left; /* words measured that are in no block */
    size_t n_frames, n_leaves; /* at most */
    struct leftover *leftovers;
    size_t n_leftovers, cap_leftovers, next_leftover;
    struct array *arrays, **arrays_end; /* in their order */
    struct array *open;                 /* those being filled, the innermost first */
    void *stacks;
    struct frame small_frames[SMALL_FRAMES];
    uint64_t *small_leaves[SMALL_LEAVES];
    union {
        struct {
            uint16_t fixes[BUFFER_WORDS / 2]; /* where pointers are in `words` */
            uint64_t words[BUFFER_WORDS];
        };
        struct leftover small_leftovers[SMALL_LEFTOVERS];
    };
};

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

/* The node at the cursor, which is left behind it, by documented calls. False: out of memory. */
bool xe_build_leftover(ErlNifEnv *env, struct xe_cursor *c, ERL_NIF_TERM *out);

/* Ends a block, and begins the next one, for n words or more. */
struct room xe_build_block(struct builder *b, struct room room, uint64_t n);

/* The terms of n nodes, 1 or more, into as many slots. False: there is no room in the buffer, or no
 * memory. */
bool xe_build_buffered(struct builder *b, struct xe_cursor *c, uint64_t *slots, uint64_t n);

/* The same, measured; true. */
bool xe_build_direct(struct builder *b, struct xe_cursor *c, uint64_t *slots, uint64_t n);

/* The array next measured is being filled, and is filled. */
uint64_t *xe_build_open_array(struct builder *b);
ERL_NIF_TERM xe_build_close_array(struct builder *b, uint64_t n);

#endif
