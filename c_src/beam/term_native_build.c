/*
 * term_native_build.c - words written onto the heap node by node, whatever their number: what is
 * measured, in blocks (term_native_decode.c has the design).
 */
#include "term_native_build.h"

/* Written at load. */
ERL_NIF_TERM xe_build_nils[XE_NATIVE_BLOCK - 1];

ERL_NIF_TERM xe_build_empty_tuple;

void xe_native_decode_init(ErlNifEnv *env)
{
    ERL_NIF_TERM empty = enif_make_tuple_from_array(env, NULL, 0);
    if (empty == enif_make_tuple_from_array(env, NULL, 0))
        xe_build_empty_tuple = empty;
    for (size_t i = 0; i < sizeof xe_build_nils / sizeof xe_build_nils[0]; i++)
        xe_build_nils[i] = xe_term_traits.nil;
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

/* Where building stands. A local variable of whoever builds, to be kept in registers: copies of
 * structures would wait for the stores that have just made them. */
struct work {
    struct builder *b;
    const uint8_t *p;
    struct room room;
    struct frame *top;
};

struct room xe_build_block(struct builder *b, struct room room, uint64_t n)
{
    b->left += (uint64_t)(room.end - room.next);
    xe_build_rest(room.next, room.end);
    uint64_t size = b->left < XE_NATIVE_BLOCK ? b->left : XE_NATIVE_BLOCK;
    XE_ASSERT(n <= size);
    b->left -= size;
    room.next = xe_build_words(b->env, size);
    room.end = room.next + size;
    return room;
}

XE_INLINED uint64_t *take(struct work *w, uint64_t n)
{
    if (XE_UNLIKELY((uint64_t)(w->room.end - w->room.next) < n))
        w->room = xe_build_block(w->b, w->room, n);
    uint64_t *at = w->room.next;
    w->room.next += n;
    return at;
}

/* A new object, referred to from `slot`. */
XE_INLINED uint64_t *put_object(struct work *w, uint64_t *slot, uint64_t n)
{
    uint64_t *at = take(w, n);
    *slot = (uint64_t)at | XE_PRIMARY_BOXED;
    return at;
}

XE_INLINED void push_frame(struct work *w, enum run run, uint64_t *at, uint64_t left)
{
    struct frame *f = ++w->top;
    f->at = at;
    f->left = left;
    f->run = run;
}

XE_INLINED void put_packed_list(struct work *w, uint64_t *slot, uint64_t n, unsigned width)
{
    const uint8_t *p = w->p;
    while (n > 0) {
        uint64_t run = (uint64_t)(w->room.end - w->room.next) / CELL;
        run = run == 0 ? 1 : run < n ? run : n;
        uint64_t *at = take(w, CELL * run);
        for (n -= run; run > 0; run--, at += CELL, p += width) {
            *slot = (uint64_t)at | XE_PRIMARY_LIST;
            at[0] = xe_term_packed(p, width);
            slot = &at[1];
        }
    }
    *slot = xe_term_traits.nil;
    w->p = p;
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

XE_INLINED void put_tuple(struct work *w, uint64_t *slot, uint64_t n)
{
    if (XE_UNLIKELY(!tuple_is_native(n))) {
        push_frame(w, ARRAY, slot, n);
        push_frame(w, SLOTS, xe_build_open_array(w->b), n);
        return;
    }
    uint64_t *at = put_object(w, slot, n + 1);
    at[0] = n << XE_ARITY_SHIFT;
    push_frame(w, SLOTS, at + 1, n);
}

/* Maps. */

/* The packed part of a map that is being written, and where its leaves are noted. */
struct pairs {
    const uint8_t *keys, *values;
    unsigned kw, vw;
    uint64_t **leaf;
};

static inline void put_leaf(struct work *w, uint64_t *slot, struct pairs *m)
{
    uint64_t *at = take(w, CELL);
    *slot = (uint64_t)at | XE_PRIMARY_LIST;
    if (m->kw)
        at[0] = xe_term_packed(m->keys, m->kw);
    if (m->vw)
        at[1] = xe_term_packed(m->values, m->vw);
    m->keys += m->kw;
    m->values += m->vw;
    if (m->leaf)
        *m->leaf++ = at;
}

/* An inner node with its shape at the cursor; the root (n: pairs of the map), or one below (0). */
static inline void put_branch(struct work *w, uint64_t *slot, uint64_t n)
{
    unsigned there = shape_mask(w->p), inner = shape_mask(w->p + 2);
    unsigned at_root = n > 0;
    uint64_t *at = put_object(w, slot, 1 + at_root + count_children(there));
    uint64_t type = !at_root          ? xe_native.map_node
                    : there == 0xffff ? xe_native.map_root_full
                                      : xe_native.map_root;
    at[0] = type | (uint64_t)there << XE_MAP_BITMAP_SHIFT;
    if (at_root)
        at[1] = n;
    w->p += XE_TERM_SHAPE_BYTES;
    push_frame(w, BRANCHES, at + 1 + at_root, there | (uint64_t)inner << 16);
}

static void put_trie(struct work *w, uint64_t *slot, uint64_t n, struct pairs *m)
{
    struct frame *base = w->top;
    xe_varint_at(&w->p);
    put_branch(w, slot, n);
    while (w->top > base) {
        struct frame *f = w->top;
        uint64_t *child = f->at++, bit = f->left & -f->left;
        bool inner = f->left >> 16 & bit;
        f->left &= ~bit;
        if (!(f->left & 0xffff))
            w->top--;
        if (inner)
            put_branch(w, child, 0);
        else
            put_leaf(w, child, m);
    }
}

static void put_large_map(struct work *w, uint64_t *slot, uint64_t n, struct pairs *m)
{
    struct builder *b = w->b;
    uint64_t **leaves = NULL;
    if (!m->kw || !m->vw) {
        leaves = b->leaves;
        b->leaves += n;
    }
    m->leaf = leaves;
    w->p = m->values + n * m->vw;
    put_trie(w, slot, n, m);
    if (!m->vw)
        push_frame(w, VALUES, (uint64_t *)leaves, n);
    if (!m->kw)
        push_frame(w, KEYS, (uint64_t *)leaves, n);
}

XE_INLINED void put_map(struct work *w, uint64_t *slot, uint64_t n)
{
    struct pairs m = {.kw = *w->p >> 4, .vw = *w->p & 15};
    m.keys = w->p + 1;
    m.values = m.keys + n * m.kw;
    if (XE_UNLIKELY(n > XE_FLATMAP_MAX)) {
        put_large_map(w, slot, n, &m);
        return;
    }
    uint64_t *at = put_object(w, slot, flatmap_words(n));
    uint64_t *values = at + 3, *keys = values + n + 1;
    at[0] = xe_native.flatmap;
    at[1] = n;
    at[2] = (uint64_t)(keys - 1) | XE_PRIMARY_BOXED;
    keys[-1] = n << XE_ARITY_SHIFT;
    w->p = m.keys;
    if (m.kw)
        w->p = unpack(keys, w->p, n, m.kw);
    if (m.vw)
        w->p = unpack(values, w->p, n, m.vw);
    if (!m.vw)
        push_frame(w, SLOTS, values, n);
    if (!m.kw)
        push_frame(w, SLOTS, keys, n);
}

/* Nodes. */

static inline void put_leftover(struct work *w, uint64_t *slot)
{
    struct builder *b = w->b;
    const struct leftover *l = &b->leftovers[b->next_leftover++];
    *slot = l->term;
    w->p = l->end;
}

XE_INLINED void put_node(struct work *w, uint64_t *slot)
{
    const uint8_t *node = w->p++;
    unsigned tag = *node, param = tag & 7;
    uint64_t n, *at;
    if (XE_UNLIKELY(node == w->b->leftovers[w->b->next_leftover].node)) {
        put_leftover(w, slot);
        return;
    }
    switch (tag >> 3) {
    case XE_NODE_IMM:
        *slot = xe_term_packed(w->p, param + 1);
        w->p += param + 1;
        break;
    case XE_NODE_TUPLE_IMM:
        n = xe_varint_at(&w->p);
        at = put_object(w, slot, n + 1);
        at[0] = n << XE_ARITY_SHIFT;
        w->p = unpack(at + 1, w->p, n, param + 1);
        break;
    case XE_NODE_LIST_IMM:
        n = xe_varint_at(&w->p);
        put_packed_list(w, slot, n, param + 1);
        break;
    case XE_NODE_TUPLE:
        put_tuple(w, slot, xe_varint_at(&w->p));
        break;
    case XE_NODE_LIST:
    case XE_NODE_ILIST:
        n = xe_varint_at(&w->p);
        push_frame(w, tag >> 3 == XE_NODE_LIST ? CELLS : IMPROPER, slot, n);
        break;
    case XE_NODE_BIN:
        n = xe_varint_at(&w->p);
        at = put_object(w, slot, 2 + digits(n));
        put_binary_header(at, n, 8 * n);
        put_content(at + 2, w->p, n);
        w->p += n;
        break;
    case XE_NODE_FLOAT:
        at = put_object(w, slot, 2);
        at[0] = xe_native.flonum;
        at[1] = xe_load64(w->p);
        w->p += 8;
        break;
    case XE_NODE_MAP:
        put_map(w, slot, xe_varint_at(&w->p));
        break;
    case XE_NODE_BITS:
        n = xe_varint_at(&w->p);
        put_bits(put_object(w, slot, bits_words(n)), w->p, n, param);
        w->p += n;
        break;
    case XE_NODE_BIG:
        n = xe_varint_at(&w->p);
        put_big(put_object(w, slot, 1 + digits(n)), w->p, n, param);
        w->p += n;
        break;
    default:
        XE_ASSERT(tag >> 3 == XE_NODE_REF);
        put_reference(put_object(w, slot, 2 + param), w->p, param + 1);
        w->p += 8 * (param + 1);
    }
}

/* Slots. Immediates are put as they come. NULL: there was nothing else in the frame. */

XE_INLINED uint64_t *next_slot(struct work *w)
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
            return NULL;
        }
    }
    w->p = p;
    f->at = at + 1;
    f->left = left - 1;
    if (left == 1)
        w->top--;
    return at;
}

/* Cells of short tuples of immediates are written with them, but for the last cell. */
XE_INLINED void put_cells(struct work *w, struct frame *f)
{
    uint64_t *link = f->at, *next = w->room.next, left = f->left;
    const uint8_t *p = w->p;
    for (; left > 1 && *p >> 3 == XE_NODE_TUPLE_IMM && p[1] - 1u < SHORT_TUPLE; left--) {
        unsigned n = p[1], width = (*p & 7) + 1;
        if ((uint64_t)(w->room.end - next) < CELL + 1 + n)
            break;
        *link = (uint64_t)next | XE_PRIMARY_LIST;
        *next = (uint64_t)(next + CELL) | XE_PRIMARY_BOXED;
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

XE_INLINED uint64_t *next_cell(struct work *w)
{
    struct frame *f = w->top;
    put_cells(w, f);
    uint64_t *at = take(w, CELL);
    *f->at = (uint64_t)at | XE_PRIMARY_LIST;
    f->at = at + 1;
    if (--f->left == 0 && f->run == CELLS) {
        at[1] = xe_term_traits.nil;
        w->top--;
    }
    return at;
}

XE_INLINED uint64_t *next(struct work *w)
{
    struct frame *f = w->top;
    uint64_t *slot;
    switch (f->run) {
    case SLOTS:
        return next_slot(w);
    case CELLS:
        return next_cell(w);
    case IMPROPER:
        if (f->left > 0)
            return next_cell(w);
        w->top--;
        return f->at;
    case KEYS:
    case VALUES:
        slot = *f->leaf++ + (f->run == VALUES);
        w->top -= --f->left == 0;
        return slot;
    default:
        XE_ASSERT(f->run == ARRAY);
        *f->at = xe_build_close_array(w->b, f->left);
        w->top--;
        return NULL;
    }
}

void xe_build_nodes(struct builder *b, struct xe_cursor *c, uint64_t *slots, uint64_t n)
{
    struct work w = {.b = b, .p = c->p, .top = b->frames - 1};
    w.room.next = b->room.next;
    w.room.end = b->room.end;
    push_frame(&w, SLOTS, slots, n);
    while (w.top >= b->frames) {
        uint64_t *slot = next(&w);
        if (slot)
            put_node(&w, slot);
    }
    c->p = w.p;
    b->room.next = w.room.next;
    b->room.end = w.room.end;
}

ERL_NIF_TERM xe_native_make_binary(ErlNifEnv *env, const uint8_t *bytes, size_t size)
{
    ERL_NIF_TERM t;
    if (!xe_native_has(XE_NATIVE_TUPLE) || !binary_is_native(size)) {
        memcpy(enif_make_new_binary(env, size, &t), bytes, size);
        return t;
    }
    uint64_t *at = xe_build_words(env, 2 + digits(size));
    put_binary_header(at, size, 8 * size);
    if (size > 0)
        at[1 + digits(size)] = 0;
    memcpy(at + 2, bytes, size);
    return (uint64_t)at | XE_PRIMARY_BOXED;
}
