/*
 * term_native_build.c - words written onto the heap, or into the buffer, node by node
 * (term_native_decode.c has the design).
 */
#include "term_native_build.h"

/* What blocks are made of. Written at load. */
static ERL_NIF_TERM nils[XE_NATIVE_BLOCK - 1];

void xe_native_decode_init(void)
{
    for (size_t i = 0; i < sizeof nils / sizeof nils[0]; i++)
        nils[i] = xe_term_traits.nil;
}

bool xe_build_leftover(ErlNifEnv *env, struct xe_cursor *c, ERL_NIF_TERM *out)
{
    struct xe_extent x = {0, 0, 0};
    unsigned kind = *c->p >> 3;
    if (kind == XE_NODE_EXT || kind == XE_NODE_EXTBIN)
        *out = enif_make_copy(env, xe_load64(c->handles));
    else if (xe_node_decode_portably(env, c, out) != XE_TERM_OK)
        return false;
    return xe_node_skip(c, UINT64_MAX, &x);
}

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

struct room xe_build_block(struct builder *b, struct room room, uint64_t n)
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
        w->room = xe_build_block(w->b, w->room, n);
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

uint64_t *xe_build_open_array(struct builder *b)
{
    struct array *a = b->arrays;
    b->arrays = a->next;
    a->next = b->open;
    b->open = a;
    return a->slots;
}

ERL_NIF_TERM xe_build_close_array(struct builder *b, uint64_t n)
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
               push_frame(w, SLOTS, xe_build_open_array(w->b), n, direct);
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
    unsigned count = count_children(there), at_root = n > 0;
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
    xe_varint_at(&w->p);
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
    bool ok = xe_build_leftover(b->env, w->c, slot);
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
        n = xe_varint_at(&w->p);
        if (!direct && !bits_are_native(n))
            break;
        return put_bits(w, slot, tag & 7, n, direct);
    case XE_NODE_BIG:
        n = xe_varint_at(&w->p);
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
        n = xe_varint_at(&w->p);
        if (!direct && !tuple_is_native(n))
            break;
        return put_packed_tuple(w, slot, n, (tag & 7) + 1, direct);
    case XE_NODE_LIST_IMM:
        n = xe_varint_at(&w->p);
        if (!direct && !xe_native_has(XE_NATIVE_LIST))
            break;
        return put_packed_list(w, slot, n, (tag & 7) + 1, direct);
    case XE_NODE_TUPLE:
        return put_tuple(w, slot, xe_varint_at(&w->p), direct);
    case XE_NODE_LIST:
    case XE_NODE_ILIST:
        n = xe_varint_at(&w->p);
        if (!direct && !xe_native_has(XE_NATIVE_LIST))
            break;
        return push_frame(w, tag >> 3 == XE_NODE_LIST ? CELLS : IMPROPER, slot, n, direct);
    case XE_NODE_BIN:
        n = xe_varint_at(&w->p);
        if (!direct && !binary_is_native(n))
            break;
        return put_binary(w, slot, n, direct);
    case XE_NODE_FLOAT:
        if (!direct && !xe_native_has(XE_NATIVE_FLOAT))
            break;
        return put_float(w, slot, direct);
    case XE_NODE_MAP:
        n = xe_varint_at(&w->p);
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
        *f->at = xe_build_close_array(w->b, f->left);
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

bool xe_build_buffered(struct builder *b, struct xe_cursor *c, uint64_t *slots, uint64_t n)
{
    return build(b, c, slots, n, false);
}

bool xe_build_direct(struct builder *b, struct xe_cursor *c, uint64_t *slots, uint64_t n)
{
    return build(b, c, slots, n, true);
}

ERL_NIF_TERM xe_native_make_binary(ErlNifEnv *env, const uint8_t *bytes, size_t size)
{
    uint64_t words[2 + XE_TERM_BIN_VALUE_MAX / 8];
    ERL_NIF_TERM t;
    if (!xe_native_has(XE_NATIVE_TUPLE) || !binary_is_native(size)) {
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
