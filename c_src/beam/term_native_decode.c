/*
 * term_native_decode.c - stored bytes to terms, written where they will lie (term_native.h).
 *
 * A container is written before what is in it: first its header, then, node by node, what
 * goes into its slots. A frame is a run of slots that are still to be filled; it is popped before
 * its last slot is, so each frame on the stack has a node before it. One builder in two modes:
 *
 *   buffered  for what is small. The words are written into a buffer on the C stack, pointers as
 *             offsets in it, their places noted. One call then copies the buffer onto the heap as
 *             the elements of a tuple, whose header is overwritten by the first word; at last
 *             the pointers get their base. Nothing is measured, and what has to be made by
 *             documented calls is made when it is met. What does not fit: start over.
 *   direct    for all the rest. A first pass measures, makes what cannot be written and asks for the
 *             room of all stacks; the second one writes in blocks of [] and cannot fail.
 *
 * What is left of a block when an object does not fit is made a tuple of []: the collector walks
 * heap fragments from object to object, so every word has to belong to one.
 *
 * The bytes come from our own memory: they are checked by asserts only.
 */
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

/* What blocks are made of. Written at load. */
static ERL_NIF_TERM nils[XE_NATIVE_BLOCK - 1];

void xe_native_decode_init(void)
{
    for (size_t i = 0; i < sizeof nils / sizeof nils[0]; i++)
        nils[i] = xe_term_traits.nil;
}

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

static inline uint64_t varint(const uint8_t **p)
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

/* The node at the cursor, which is left behind it, by documented calls. False: out of memory. */
static __attribute__((noinline)) bool make_leftover(ErlNifEnv *env, struct xe_cursor *c,
                                                    ERL_NIF_TERM *out)
{
    struct xe_extent x = {0, 0, 0};
    unsigned kind = *c->p >> 3;
    if (kind == XE_NODE_EXT || kind == XE_NODE_EXTBIN)
        *out = enif_make_copy(env, xe_load64(c->handles));
    else if (xe_node_decode_portably(env, c, out) != XE_TERM_OK)
        return false;
    return xe_node_skip(c, UINT64_MAX, &x);
}

/* --- Building ----------------------------------------------------------- */

#define XE_INLINED static inline __attribute__((always_inline))

/* Where building stands. A local variable of whoever builds, to be kept in registers: copies of
 * structures would wait for the stores that have just made them. */
struct work {
    struct builder *b;
    const uint8_t *p;
    struct xe_cursor *c; /* buffered: of the handles. What it points at is set at the end */
    struct room room;
    struct frame *top;
};

/* Ends a block, and begins the next one, for n words or more. */
static __attribute__((noinline)) struct room next_block(struct builder *b, struct room room,
                                                        uint64_t n)
{
    uint64_t rest = (uint64_t)(room.end - room.next);
    if (rest > 0)
        *room.next = (rest - 1) << XE_ARITY_SHIFT;
    b->left += rest;
    uint64_t size = b->left < XE_NATIVE_BLOCK ? b->left : XE_NATIVE_BLOCK;
    XE_ASSERT(n <= size);
    b->left -= size;
    room.next = xe_term_at(enif_make_tuple_from_array(b->env, nils, (unsigned)size - 1));
    room.end = room.next + size;
    return room;
}

/* NULL: the buffer is full. */
XE_INLINED uint64_t *take(struct work *w, uint64_t n, const bool direct)
{
    if (XE_UNLIKELY((uint64_t)(w->room.end - w->room.next) < n)) {
        if (!direct)
            return NULL;
        w->room = next_block(w->b, w->room, n);
    }
    uint64_t *at = w->room.next;
    w->room.next += n;
    return at;
}

/* Every pointer to what has been written. */
XE_INLINED void refer(struct work *w, uint64_t *slot, const uint64_t *at, unsigned primary,
                         const bool direct)
{
    struct builder *b = w->b;
    if (direct) {
        *slot = (uint64_t)at | primary;
    } else {
        *slot = (uint64_t)((const uint8_t *)at - (const uint8_t *)b->words) | primary;
        b->fixes[b->n_fixes++] = (uint16_t)(slot - b->words);
    }
}

/* A new object, referred to from `slot`. */
XE_INLINED uint64_t *put_object(struct work *w, uint64_t *slot, uint64_t n, const bool direct)
{
    uint64_t *at = take(w, n, direct);
    if (XE_LIKELY(at != NULL))
        refer(w, slot, at, XE_PRIMARY_BOXED, direct);
    return at;
}

XE_INLINED bool push_frame(struct work *w, enum run run, uint64_t *at, uint64_t left,
                              const bool direct)
{
    struct frame *f = ++w->top;
    if (!direct && XE_UNLIKELY(f == w->b->frames_end))
        return false;
    f->at = at;
    f->left = left;
    f->run = run;
    return true;
}

XE_INLINED const uint8_t *unpack(uint64_t *out, const uint8_t *p, uint64_t n, unsigned width)
{
    for (uint64_t i = 0; i < n; i++, p += width)
        out[i] = xe_term_packed(p, width);
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

static inline void put_binary_header(uint64_t *at, uint64_t size, uint64_t bits)
{
    at[0] = (digits(size) + 1) << XE_ARITY_SHIFT | xe_native.heap_binary;
    at[1] = xe_native.size_unit == 8 ? bits : size;
}

XE_INLINED bool put_binary(struct work *w, uint64_t *slot, uint64_t size, const bool direct)
{
    uint64_t *at = put_object(w, slot, 2 + digits(size), direct);
    if (!at)
        return false;
    put_binary_header(at, size, 8 * size);
    put_content(at + 2, w->p, size);
    w->p += size;
    return true;
}

static bool put_bits(struct work *w, uint64_t *slot, unsigned last, uint64_t size,
                     const bool direct)
{
    uint64_t *at = put_object(w, slot, bits_words(size), direct);
    if (!at)
        return false;
    if (xe_native.size_unit != 8) {
        at[0] = xe_native.sub_binary;
        at[1] = size - 1;
        at[2] = 0;
        at[3] = last;
        refer(w, &at[4], at + SUB_BINARY, XE_PRIMARY_BOXED, direct);
        at += SUB_BINARY;
    }
    put_binary_header(at, size, 8 * (size - 1) + last);
    put_content(at + 2, w->p, size);
    w->p += size;
    return true;
}

XE_INLINED bool put_float(struct work *w, uint64_t *slot, const bool direct)
{
    uint64_t *at = put_object(w, slot, 2, direct);
    if (!at)
        return false;
    at[0] = xe_native.flonum;
    at[1] = xe_load64(w->p);
    w->p += 8;
    return true;
}

static bool put_big(struct work *w, uint64_t *slot, unsigned negative, uint64_t size,
                    const bool direct)
{
    uint64_t *at = put_object(w, slot, 1 + digits(size), direct);
    if (!at)
        return false;
    at[0] =
        digits(size) << XE_ARITY_SHIFT | (negative ? xe_native.negative : xe_native.positive);
    put_content(at + 1, w->p, size);
    w->p += size;
    return true;
}

static bool put_reference(struct work *w, uint64_t *slot, unsigned n, const bool direct)
{
    uint64_t *at = put_object(w, slot, 1 + n, direct);
    if (!at)
        return false;
    at[0] = xe_native.ref;
    memcpy(at + 1, w->p, 8 * (size_t)n);
    w->p += 8 * (size_t)n;
    return true;
}

XE_INLINED bool put_packed_tuple(struct work *w, uint64_t *slot, uint64_t n, unsigned width,
                                    const bool direct)
{
    uint64_t *at = put_object(w, slot, n + 1, direct);
    if (!at)
        return false;
    at[0] = n << XE_ARITY_SHIFT;
    w->p = unpack(at + 1, w->p, n, width);
    return true;
}

XE_INLINED bool put_packed_list(struct work *w, uint64_t *slot, uint64_t n, unsigned width,
                                   const bool direct)
{
    const uint8_t *p = w->p;
    while (n > 0) {
        uint64_t run = (uint64_t)(w->room.end - w->room.next) / CELL;
        run = run == 0 ? 1 : run < n ? run : n;
        uint64_t *at = take(w, direct ? CELL * run : CELL * n, direct);
        if (!at)
            return false;
        for (n -= run; run > 0; run--, at += CELL, p += width) {
            refer(w, slot, at, XE_PRIMARY_LIST, direct);
            at[0] = xe_term_packed(p, width);
            slot = &at[1];
        }
    }
    *slot = xe_term_traits.nil;
    w->p = p;
    return true;
}

/* The elements go to an array; they will be copied when all are there. */
static __attribute__((noinline)) uint64_t *open_array(struct builder *b)
{
    struct array *a = b->arrays;
    b->arrays = a->next;
    a->next = b->open;
    b->open = a;
    return a->slots;
}

static ERL_NIF_TERM close_array(struct builder *b, uint64_t n)
{
    struct array *a = b->open;
    b->open = a->next;
    ERL_NIF_TERM t = enif_make_tuple_from_array(b->env, a->slots, (unsigned)n);
    enif_free(a);
    return t;
}

XE_INLINED bool put_tuple(struct work *w, uint64_t *slot, uint64_t n, const bool direct)
{
    if (direct && XE_UNLIKELY(!tuple_is_native(n)))
        return push_frame(w, ARRAY, slot, n, direct) &&
               push_frame(w, SLOTS, open_array(w->b), n, direct);
    uint64_t *at = put_object(w, slot, n + 1, direct);
    if (!at)
        return false;
    at[0] = n << XE_ARITY_SHIFT;
    return push_frame(w, SLOTS, at + 1, n, direct);
}

/* Maps. */

/* The packed part of a map that is being written, and where its leaves are noted. */
struct pairs {
    const uint8_t *keys, *values;
    unsigned kw, vw;
    uint64_t **leaf;
};

static inline bool put_leaf(struct work *w, uint64_t *slot, struct pairs *m, const bool direct)
{
    uint64_t *at = take(w, CELL, direct);
    if (!at)
        return false;
    refer(w, slot, at, XE_PRIMARY_LIST, direct);
    if (m->kw)
        at[0] = xe_term_packed(m->keys, m->kw);
    if (m->vw)
        at[1] = xe_term_packed(m->values, m->vw);
    m->keys += m->kw;
    m->values += m->vw;
    if (m->leaf)
        *m->leaf++ = at;
    return true;
}

/* An inner node with its shape at the cursor; the root (n: pairs of the map), or one below (0). */
static inline bool put_branch(struct work *w, uint64_t *slot, uint64_t n, const bool direct)
{
    unsigned there = shape_mask(w->p), inner = shape_mask(w->p + 2);
    unsigned count = (unsigned)__builtin_popcount(there), at_root = n > 0;
    uint64_t *at = put_object(w, slot, 1 + at_root + count, direct);
    if (!at)
        return false;
    uint64_t type = !at_root ? xe_native.map_node
                    : there == 0xffff ? xe_native.map_root_full
                                      : xe_native.map_root;
    at[0] = type | (uint64_t)there << XE_MAP_BITMAP_SHIFT;
    if (at_root)
        at[1] = n;
    w->p += 4;
    return push_frame(w, BRANCHES, at + 1 + at_root, there | (uint64_t)inner << 16, direct);
}

static bool put_trie(struct work *w, uint64_t *slot, uint64_t n, struct pairs *m,
                     const bool direct)
{
    struct frame *base = w->top;
    varint(&w->p);
    bool ok = put_branch(w, slot, n, direct);
    while (ok && w->top > base) {
        struct frame *f = w->top;
        uint64_t *child = f->at++, bit = f->left & -f->left;
        bool inner = f->left >> 16 & bit;
        f->left &= ~bit;
        if (!(f->left & 0xffff))
            w->top--;
        ok = inner ? put_branch(w, child, 0, direct) : put_leaf(w, child, m, direct);
    }
    return ok;
}

static bool put_large_map(struct work *w, uint64_t *slot, uint64_t n, struct pairs *m,
                          const bool direct)
{
    struct builder *b = w->b;
    uint64_t **leaves = NULL;
    if (!m->kw || !m->vw) {
        if ((uint64_t)(b->leaves_end - b->leaves) < n) {
            XE_ASSERT(!direct);
            return false;
        }
        leaves = b->leaves;
        b->leaves += n;
    }
    m->leaf = leaves;
    w->p = m->values + n * m->vw;
    return put_trie(w, slot, n, m, direct) &&
           (m->vw || push_frame(w, VALUES, (uint64_t *)leaves, n, direct)) &&
           (m->kw || push_frame(w, KEYS, (uint64_t *)leaves, n, direct));
}

XE_INLINED bool put_map(struct work *w, uint64_t *slot, uint64_t n, const bool direct)
{
    struct pairs m = {.kw = *w->p >> 4, .vw = *w->p & 15};
    m.keys = w->p + 1;
    m.values = m.keys + n * m.kw;
    if (XE_UNLIKELY(n > XE_FLATMAP_MAX))
        return put_large_map(w, slot, n, &m, direct);
    uint64_t *at = put_object(w, slot, flatmap_words(n), direct);
    if (!at)
        return false;
    uint64_t *values = at + 3, *keys = values + n + 1;
    at[0] = xe_native.flatmap;
    at[1] = n;
    refer(w, &at[2], keys - 1, XE_PRIMARY_BOXED, direct);
    keys[-1] = n << XE_ARITY_SHIFT;
    w->p = unpack(keys, m.keys, m.kw ? n : 0, m.kw);
    w->p = unpack(values, w->p, m.vw ? n : 0, m.vw);
    return (m.vw || push_frame(w, SLOTS, values, n, direct)) &&
           (m.kw || push_frame(w, SLOTS, keys, n, direct));
}

/* Nodes. */

XE_INLINED bool put_leftover(struct work *w, uint64_t *slot, const uint8_t *node,
                                const bool direct)
{
    struct builder *b = w->b;
    if (direct) {
        const struct leftover *l = &b->leftovers[b->next_leftover++];
        XE_ASSERT(l->node == node);
        *slot = l->term;
        w->p = l->end;
        return true;
    }
    w->c->p = node;
    bool ok = make_leftover(b->env, w->c, slot);
    w->p = w->c->p;
    return ok;
}

/* Those seldom met. */
XE_INLINED bool put_other(struct work *w, uint64_t *slot, unsigned tag, const bool direct)
{
    const uint8_t *node = w->p - 1;
    uint64_t n;
    switch (tag >> 3) {
    case XE_NODE_BITS:
        n = varint(&w->p);
        if (!direct && !bits_are_native(n))
            break;
        return put_bits(w, slot, tag & 7, n, direct);
    case XE_NODE_BIG:
        n = varint(&w->p);
        if (!direct && !big_is_native(n))
            break;
        return put_big(w, slot, tag & 7, n, direct);
    case XE_NODE_REF:
        if (!direct && !xe_native_has(XE_NATIVE_REF))
            break;
        return put_reference(w, slot, (tag & 7) + 1, direct);
    default:
        XE_ASSERT(!direct);
    }
    return put_leftover(w, slot, node, direct);
}

XE_INLINED bool put_node(struct work *w, uint64_t *slot, const bool direct)
{
    const uint8_t *node = w->p++;
    unsigned tag = *node;
    uint64_t n;
    if (direct && XE_UNLIKELY(node == w->b->leftovers[w->b->next_leftover].node))
        return put_leftover(w, slot, node, direct);
    switch (tag >> 3) {
    case XE_NODE_IMM:
        *slot = xe_term_packed(w->p, tag + 1);
        w->p += tag + 1;
        return true;
    case XE_NODE_TUPLE_IMM:
        n = varint(&w->p);
        if (!direct && !tuple_is_native(n))
            break;
        return put_packed_tuple(w, slot, n, (tag & 7) + 1, direct);
    case XE_NODE_LIST_IMM:
        n = varint(&w->p);
        if (!direct && !xe_native_has(XE_NATIVE_LIST))
            break;
        return put_packed_list(w, slot, n, (tag & 7) + 1, direct);
    case XE_NODE_TUPLE:
        return put_tuple(w, slot, varint(&w->p), direct);
    case XE_NODE_LIST:
    case XE_NODE_ILIST:
        n = varint(&w->p);
        if (!direct && !xe_native_has(XE_NATIVE_LIST))
            break;
        return push_frame(w, tag >> 3 == XE_NODE_LIST ? CELLS : IMPROPER, slot, n, direct);
    case XE_NODE_BIN:
        n = varint(&w->p);
        if (!direct && !binary_is_native(n))
            break;
        return put_binary(w, slot, n, direct);
    case XE_NODE_FLOAT:
        if (!direct && !xe_native_has(XE_NATIVE_FLOAT))
            break;
        return put_float(w, slot, direct);
    case XE_NODE_MAP:
        n = varint(&w->p);
        if (!direct && !map_is_native(n, tag & 7))
            break;
        return put_map(w, slot, n, direct);
    default:
        return put_other(w, slot, tag, direct);
    }
    return put_leftover(w, slot, node, direct);
}

/* Slots. Immediates are put as they come. NULL in *slot: there was nothing else in the frame. */

XE_INLINED bool next_slot(struct work *w, uint64_t **slot)
{
    struct frame *f = w->top;
    uint64_t *at = f->at, left = f->left;
    const uint8_t *p = w->p;
    for (; *p >> 3 == XE_NODE_IMM; at++) {
        *at = xe_term_packed(p + 1, *p + 1u);
        p += *p + 2;
        if (--left == 0) {
            w->p = p;
            w->top--;
            *slot = NULL;
            return true;
        }
    }
    w->p = p;
    f->at = at + 1;
    f->left = left - 1;
    if (left == 1)
        w->top--;
    *slot = at;
    return true;
}

/* Cells of short tuples of immediates are written with them, but for the last cell. */
XE_INLINED void put_cells(struct work *w, struct frame *f, const bool direct)
{
    uint64_t *link = f->at, *next = w->room.next, left = f->left;
    const uint8_t *p = w->p;
    for (; left > 1 && *p >> 3 == XE_NODE_TUPLE_IMM && p[1] - 1u < SHORT_TUPLE; left--) {
        unsigned n = p[1], width = (*p & 7) + 1;
        if ((uint64_t)(w->room.end - next) < CELL + 1 + n)
            break;
        refer(w, link, next, XE_PRIMARY_LIST, direct);
        refer(w, next, next + CELL, XE_PRIMARY_BOXED, direct);
        link = next + 1;
        next[CELL] = (uint64_t)n << XE_ARITY_SHIFT;
        p = unpack(next + CELL + 1, p + 2, n, width);
        next += CELL + 1 + n;
    }
    f->at = link;
    f->left = left;
    w->room.next = next;
    w->p = p;
}

XE_INLINED bool next_cell(struct work *w, uint64_t **slot, const bool direct)
{
    struct frame *f = w->top;
    put_cells(w, f, direct);
    uint64_t *at = take(w, CELL, direct);
    if (!at)
        return false;
    refer(w, f->at, at, XE_PRIMARY_LIST, direct);
    *slot = at;
    f->at = at + 1;
    if (--f->left == 0 && f->run == CELLS) {
        at[1] = xe_term_traits.nil;
        w->top--;
    }
    return true;
}

XE_INLINED bool next(struct work *w, uint64_t **slot, const bool direct)
{
    struct frame *f = w->top;
    switch (f->run) {
    case SLOTS:
        return next_slot(w, slot);
    case CELLS:
        return next_cell(w, slot, direct);
    case IMPROPER:
        if (f->left > 0)
            return next_cell(w, slot, direct);
        *slot = f->at;
        w->top--;
        return true;
    case KEYS:
    case VALUES:
        *slot = *f->leaf++ + (f->run == VALUES);
        w->top -= --f->left == 0;
        return true;
    default:
        XE_ASSERT(direct && f->run == ARRAY);
        *f->at = close_array(w->b, f->left);
        *slot = NULL;
        w->top--;
        return true;
    }
}

/* The terms of n nodes, 1 or more, into as many slots. False: buffered, and there is no room, or no memory. */
XE_INLINED bool build(struct builder *b, struct xe_cursor *c, uint64_t *slots, uint64_t n,
                      const bool direct)
{
    struct work w = {.b = b, .p = c->p, .c = c, .top = b->frames - 1};
    uint64_t *slot;
    w.room.next = b->room.next;
    w.room.end = b->room.end;
    bool ok = push_frame(&w, SLOTS, slots, n, direct);
    while (ok && w.top >= b->frames) {
        ok = next(&w, &slot, direct);
        if (ok && slot)
            ok = put_node(&w, slot, direct);
    }
    c->p = w.p;
    b->room.next = w.room.next;
    b->room.end = w.room.end;
    return ok;
}

static __attribute__((noinline)) bool build_buffered(struct builder *b, struct xe_cursor *c,
                                                     uint64_t *slots, uint64_t n)
{
    return build(b, c, slots, n, false);
}

/* True. */
static __attribute__((noinline)) bool build_direct(struct builder *b, struct xe_cursor *c,
                                                   uint64_t *slots, uint64_t n)
{
    return build(b, c, slots, n, true);
}

/* --- Buffered ----------------------------------------------------------- */

/* To be written from words[from] on. */
static inline void begin_buffered(struct builder *b, ErlNifEnv *env, size_t from)
{
    b->env = env;
    b->room.next = b->words + from;
    b->room.end = b->words + BUFFER_WORDS;
    b->frames = b->small_frames;
    b->frames_end = b->small_frames + SMALL_FRAMES;
    b->leaves = b->small_leaves;
    b->leaves_end = b->small_leaves + SMALL_LEAVES;
    b->n_fixes = 0;
}

/* Copies what is in the buffer from words[from] on, but for the first `fixed` of its pointers. Where
 * words[0] would be. */
static inline uint64_t *end_buffered(struct builder *b, size_t from, uint32_t fixed)
{
    size_t n = (size_t)(b->room.next - b->words) - from;
    ERL_NIF_TERM t = enif_make_tuple_from_array(b->env, b->words + from + 1, (unsigned)n - 1);
    uint64_t *heap = xe_term_at(t) - from;
    heap[from] = b->words[from];
    for (uint32_t i = fixed; i < b->n_fixes; i++)
        heap[b->fixes[i]] += (uint64_t)heap;
    return heap;
}

/* words[0] is the slot of the term. */
static inline bool decode_buffered(struct builder *b, ErlNifEnv *env, struct xe_cursor *c,
                                   ERL_NIF_TERM *out)
{
    begin_buffered(b, env, 1);
    if (!build_buffered(b, c, b->words, 1))
        return false;
    *out = b->words[0];
    if (b->room.next > b->words + 1)
        *out += (uint64_t)end_buffered(b, 1, 1);
    return true;
}

/* An object: what its elements are made of. */
struct source {
    struct xe_cursor *c; /* at the first node of the body */
    const struct xe_body *body;
    struct xe_cursor *key; /* where the key is if `term` is 0: `c`, or at the node of key bytes */
    ERL_NIF_TERM term;
    size_t keypos;
};

/* All elements of an object, which has room for them. */
static inline __attribute__((always_inline)) bool
build_elements(struct builder *b, const struct source *s, uint64_t *elements, const bool direct)
{
    bool (*const fn)(struct builder *, struct xe_cursor *, uint64_t *, uint64_t) =
        direct ? build_direct : build_buffered;
    size_t before = s->keypos - 1, after = s->body->arity - s->keypos;
    uint64_t *key = elements + before;
    if (s->term)
        *key = s->term;
    else if (!fn(b, s->key, key, 1))
        return false;
    return (!before || fn(b, s->c, elements, before)) && (!after || fn(b, s->c, key + 1, after));
}

/* The cell of a list comes first, if one is wanted. */
static inline bool decode_body_buffered(struct builder *b, ErlNifEnv *env, const struct source *s,
                                        ERL_NIF_TERM tail, ERL_NIF_TERM *out)
{
    uint64_t n = s->body->arity, *at = b->words;
    begin_buffered(b, env, 0);
    if (tail) {
        at[0] = 8 * CELL | XE_PRIMARY_BOXED;
        at[1] = tail;
        b->fixes[b->n_fixes++] = 0;
        at += CELL;
    }
    at[0] = n << XE_ARITY_SHIFT;
    b->room.next = at + n + 1;
    if (!build_elements(b, s, at + 1, false))
        return false;
    *out = (uint64_t)end_buffered(b, 0, 0) | (tail ? XE_PRIMARY_LIST : XE_PRIMARY_BOXED);
    return true;
}

/* --- Measuring ---------------------------------------------------------- */

/* There is always room for one more, whose node is NULL: the end. */
static bool keep_leftover(struct builder *b, const uint8_t *node, const uint8_t *end,
                          ERL_NIF_TERM t)
{
    if (b->n_leftovers + 1 == b->cap_leftovers) {
        struct leftover *grown =
            xe_term_grow(b->leftovers, b->small_leftovers, b->n_leftovers, b->n_leftovers + 2,
                         sizeof *grown, 0, &b->cap_leftovers);
        if (!grown)
            return false;
        b->leftovers = grown;
    }
    b->leftovers[b->n_leftovers++] = (struct leftover){node, end, t};
    b->leftovers[b->n_leftovers].node = NULL;
    return true;
}

static bool add_leftover(struct builder *b, struct xe_cursor *c)
{
    const uint8_t *node = c->p;
    ERL_NIF_TERM t;
    return make_leftover(b->env, c, &t) && keep_leftover(b, node, c->p, t);
}

static bool add_array(struct builder *b, uint64_t n)
{
    struct array *a = enif_alloc(sizeof *a + n * sizeof a->slots[0]);
    if (!a)
        return false;
    a->next = NULL;
    *b->arrays_end = a;
    b->arrays_end = &a->next;
    return true;
}

/* A tuple of n nodes. */
static inline bool measure_tuple(struct builder *b, uint64_t n)
{
    if (XE_LIKELY(tuple_is_native(n))) {
        b->left += n + 1;
        b->n_frames++;
        return true;
    }
    b->n_frames += 2;
    return add_array(b, n);
}

/* Tuples of immediates that are alike, one after the other, are the elements of many lists.
 * Returns how many of the next `left` nodes they are. */
static inline uint64_t measure_packed_tuples(struct builder *b, struct xe_cursor *c, uint64_t n,
                                             unsigned width, uint64_t left)
{
    const uint8_t *p = c->p;
    uint64_t count = 0, stride = 2 + n * width;
    uint16_t head = (uint16_t)((unsigned)XE_NODE_TUPLE_IMM << 3 | (width - 1) | n << 8), next;
    if (n < 0x80)
        while (count < left && (memcpy(&next, p, sizeof next), next == head)) {
            p += stride;
            count++;
        }
    b->left += (n + 1) * count;
    c->p = p;
    return count;
}

static void measure_trie(struct builder *b, struct xe_cursor *c, uint64_t n)
{
    uint64_t inner = xe_cursor_varint(c);
    b->left += 1 + inner + CELL * n;
    b->n_frames += inner;
    for (; inner > 0; inner--, c->p += 4)
        b->left += (unsigned)__builtin_popcount(shape_mask(c->p));
}

/* Returns how many nodes are in the map. */
static uint64_t measure_map(struct builder *b, struct xe_cursor *c, uint64_t n)
{
    unsigned kw = *c->p >> 4, vw = *c->p & 15, runs = !kw + !vw;
    c->p += 1 + n * (kw + vw);
    b->n_frames += runs;
    if (n <= XE_FLATMAP_MAX) {
        b->left += flatmap_words(n);
    } else {
        measure_trie(b, c, n);
        b->n_leaves += runs ? n : 0;
    }
    return runs * n;
}

/* A node of n bytes that takes so many words. */
static inline bool measure_bytes(struct builder *b, struct xe_cursor *c, uint64_t words, uint64_t n)
{
    b->left += words;
    c->p += n;
    return true;
}

/* The node at the cursor, which has none in it; false: it is not native, and the cursor stands
 * anywhere. */
static inline bool measure_leaf(struct builder *b, struct xe_cursor *c, unsigned tag)
{
    uint64_t n;
    switch (tag >> 3) {
    case XE_NODE_BIN:
        n = xe_cursor_varint(c);
        return binary_is_native(n) && measure_bytes(b, c, 2 + digits(n), n);
    case XE_NODE_BITS:
        n = xe_cursor_varint(c);
        return bits_are_native(n) && measure_bytes(b, c, bits_words(n), n);
    case XE_NODE_BIG:
        n = xe_cursor_varint(c);
        return big_is_native(n) && measure_bytes(b, c, 1 + digits(n), n);
    case XE_NODE_FLOAT:
        return xe_native_has(XE_NATIVE_FLOAT) && measure_bytes(b, c, 2, 8);
    case XE_NODE_REF:
        n = (tag & 7) + 1;
        return xe_native_has(XE_NATIVE_REF) && measure_bytes(b, c, 1 + n, 8 * n);
    default:
        return false;
    }
}

/* Measures the node at the cursor. *left: nodes that follow, to which those in this one are added.
 * False: out of memory. */
static inline bool measure_node(struct builder *b, struct xe_cursor *c, uint64_t *left)
{
    struct xe_cursor node = *c;
    unsigned tag = *c->p++, width = (tag & 7) + 1;
    uint64_t n;
    switch (tag >> 3) {
    case XE_NODE_IMM:
        c->p += width;
        return true;
    case XE_NODE_TUPLE_IMM:
        n = xe_cursor_varint(c);
        if (!tuple_is_native(n))
            break;
        b->left += n + 1;
        c->p += n * width;
        *left -= measure_packed_tuples(b, c, n, width, *left);
        return true;
    case XE_NODE_LIST_IMM:
        n = xe_cursor_varint(c);
        if (!xe_native_has(XE_NATIVE_LIST))
            break;
        return measure_bytes(b, c, CELL * n, n * width);
    case XE_NODE_TUPLE:
        n = xe_cursor_varint(c);
        *left += n;
        return measure_tuple(b, n);
    case XE_NODE_LIST:
    case XE_NODE_ILIST:
        n = xe_cursor_varint(c);
        if (!xe_native_has(XE_NATIVE_LIST))
            break;
        b->left += CELL * n;
        b->n_frames++;
        *left += n + (tag >> 3 == XE_NODE_ILIST);
        return true;
    case XE_NODE_MAP:
        n = xe_cursor_varint(c);
        if (!map_is_native(n, tag & 7))
            break;
        *left += measure_map(b, c, n);
        return true;
    default:
        if (measure_leaf(b, c, tag))
            return true;
    }
    *c = node;
    return add_leftover(b, c);
}

/* The cursor is left behind the n nodes. */
static bool measure(struct builder *b, struct xe_cursor *c, uint64_t n)
{
    while (n > 0) {
        n--;
        if (!measure_node(b, c, &n))
            return false;
    }
    return true;
}

/* --- Direct ------------------------------------------------------------- */

static void begin_direct(struct builder *b, ErlNifEnv *env)
{
    b->env = env;
    b->room = (struct room){NULL, NULL};
    b->left = 0;
    b->n_frames = 1;
    b->n_leaves = 0;
    b->leftovers = b->small_leftovers;
    b->n_leftovers = b->next_leftover = 0;
    b->cap_leftovers = SMALL_LEFTOVERS;
    b->small_leftovers[0].node = NULL;
    b->arrays = b->open = NULL;
    b->arrays_end = &b->arrays;
    b->stacks = NULL;
}

/* The room of the stacks, when all is measured. */
static bool reserve_stacks(struct builder *b)
{
    b->frames = b->small_frames;
    b->leaves = b->small_leaves;
    if (b->n_frames > SMALL_FRAMES || b->n_leaves > SMALL_LEAVES) {
        size_t frames = b->n_frames * sizeof *b->frames;
        b->stacks = enif_alloc(frames + b->n_leaves * sizeof *b->leaves);
        if (!b->stacks)
            return false;
        b->frames = b->stacks;
        b->leaves = (uint64_t **)(void *)((uint8_t *)b->stacks + frames);
    }
    b->leaves_end = b->leaves + b->n_leaves;
    return true;
}

static enum xe_term_status end_direct(struct builder *b, bool ok)
{
    XE_ASSERT(!ok || (b->left == 0 && b->room.next == b->room.end && !b->arrays && !b->open));
    while (b->arrays) {
        struct array *a = b->arrays;
        b->arrays = a->next;
        enif_free(a);
    }
    if (b->leftovers != b->small_leftovers)
        enif_free(b->leftovers);
    if (b->stacks)
        enif_free(b->stacks);
    return ok ? XE_TERM_OK : XE_TERM_NOMEM;
}

static uint64_t *take_first(struct builder *b, uint64_t n)
{
    b->room = next_block(b, b->room, n);
    uint64_t *at = b->room.next;
    b->room.next += n;
    return at;
}

static __attribute__((noinline)) enum xe_term_status
decode_direct(struct builder *b, ErlNifEnv *env, struct xe_cursor c, ERL_NIF_TERM *out)
{
    struct xe_cursor end = c;
    begin_direct(b, env);
    bool ok = measure(b, &end, 1) && reserve_stacks(b);
    if (ok)
        build_direct(b, &c, out, 1);
    return end_direct(b, ok);
}

static bool measure_object(struct builder *b, const struct source *s)
{
    struct xe_cursor c = *s->c, key;
    uint64_t n = s->body->arity;
    if (tuple_is_native(n))
        b->left += n + 1;
    else if (!add_array(b, n))
        return false;
    if (!s->term && s->key != s->c) {
        key = *s->key;
        if (!measure(b, &key, 1))
            return false;
    }
    return measure(b, &c, n - 1 + s->body->has_key);
}

static __attribute__((noinline)) enum xe_term_status
decode_body_direct(struct builder *b, ErlNifEnv *env, const struct source *s, ERL_NIF_TERM *out)
{
    uint64_t n = s->body->arity;
    begin_direct(b, env);
    bool ok = measure_object(b, s) && reserve_stacks(b);
    if (!ok)
        return end_direct(b, false);
    if (XE_LIKELY(tuple_is_native(n))) {
        uint64_t *at = take_first(b, n + 1);
        at[0] = n << XE_ARITY_SHIFT;
        *out = (uint64_t)at | XE_PRIMARY_BOXED;
        build_elements(b, s, at + 1, true);
    } else {
        build_elements(b, s, open_array(b), true);
        *out = close_array(b, n);
    }
    return end_direct(b, true);
}

/* --- Decoding ----------------------------------------------------------- */

enum xe_term_status xe_native_decode(ErlNifEnv *env, const struct xe_cursor *c, ERL_NIF_TERM *out)
{
    struct builder b;
    struct xe_cursor at = *c;
    if (XE_LIKELY((size_t)(c->end - c->p) <= BUFFER_BYTES) && decode_buffered(&b, env, &at, out))
        return XE_TERM_OK;
    return decode_direct(&b, env, *c, out);
}

enum xe_term_status xe_native_decode_body(ErlNifEnv *env, struct xe_cursor *c,
                                          const struct xe_body *body, struct xe_cursor *key_bytes,
                                          int keypos, ERL_NIF_TERM key, ERL_NIF_TERM tail,
                                          ERL_NIF_TERM *out)
{
    struct builder b;
    struct source s = {c, body, body->has_key || key ? c : key_bytes, body->has_key ? 0 : key,
                       (size_t)keypos};
    /* Words that are told are enough, but for those of the key. */
    if (XE_LIKELY(body->words <= BUFFER_WORDS - CELL && body->arity < BUFFER_WORDS - CELL)) {
        const uint8_t *p = c->p, *handles = c->handles, *key_p = s.key->p;
        const uint8_t *key_handles = s.key->handles;
        if (XE_LIKELY(decode_body_buffered(&b, env, &s, tail, out)))
            return XE_TERM_OK;
        c->p = p;
        c->handles = handles;
        s.key->p = key_p;
        s.key->handles = key_handles;
    }
    enum xe_term_status status = decode_body_direct(&b, env, &s, out);
    if (status == XE_TERM_OK && tail)
        *out = enif_make_list_cell(env, *out, tail);
    return status;
}

ERL_NIF_TERM xe_native_make_binary(ErlNifEnv *env, const uint8_t *bytes, size_t size)
{
    uint64_t words[2 + XE_TERM_BIN_VALUE_MAX / 8];
    ERL_NIF_TERM t;
    if (!binary_is_native(size)) {
        memcpy(enif_make_new_binary(env, size, &t), bytes, size);
        return t;
    }
    put_binary_header(words, size, 8 * size);
    words[1 + digits(size)] = size > 0 ? 0 : words[1];
    memcpy(words + 2, bytes, size);
    t = enif_make_tuple_from_array(env, words + 1, 1 + (unsigned)digits(size));
    *xe_term_at(t) = words[0];
    return t;
}
