/*
 * term_native_small.c - what takes no more than one block, and is known to: written at once, by
 * functions that call each other as the nodes are nested, to SMALL_DEPTH.
 *
 * The words that an object's body tells are those that its nodes take, or a few more
 * (term_internal.h: costs). So nothing is measured. What has no place here, as nodes that are
 * nested deeper, ends the attempt: the block becomes a tuple of [].
 */
#include "term_native_build.h"

enum {
    SMALL_DEPTH = 64,
    SMALL_HANDLES = 8,
    TRIE_DEPTH = 32,      /* nodes above one: shapes have no more (term_native_map.c) */
    KEY_WORDS_MAX = 0x80, /* of a key that is decoded here */
    KINDS = 32,           /* of nodes that a tag can tell */
    /* Nothing is asked for node by node. */
    WRITTEN_KINDS = (1 << XE_NATIVE_KINDS) - 1 - XE_NATIVE_SLICE,
};

/* Where building stands: what comes back in two registers. No `p`: the attempt has ended. */
struct at {
    const uint8_t *p;
    uint64_t *next;
};

/* What does not change but for the handles. */
struct small {
    uint64_t *block;
    const uint64_t *end;        /* of the block */
    const ERL_NIF_TERM *copies; /* of the terms of the next handles */
};

#define ENDED ((struct at){NULL, NULL})

/* Writes a node, referred to from `slot`. */
typedef struct at put_fn(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                         unsigned depth);

/* By its kind; a table, because a `switch` would have one function of all of them, which saves the
 * registers that only few of them need. */
static put_fn *const put_of_kind[KINDS];

static inline bool has_room(const struct small *s, const uint64_t *next, uint64_t n)
{
    return XE_LIKELY((uint64_t)(s->end - next) >= n);
}

static inline struct at put_node(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                                 unsigned depth)
{
    return put_of_kind[*p >> 3](p, next, slot, s, depth);
}

/* What is commonest is written by code for each width, and each arity, that the compiler knows:
 * where the next node is would else have to wait until this one has been read, while a branch is
 * foretold. */

XE_INLINED void put_immediate_of(struct at *at, uint64_t *slot, const unsigned width)
{
    *slot = xe_term_packed(at->p + 1, width);
    at->p += 1 + width;
}

XE_INLINED bool put_elements(struct at *at, uint64_t *slot, const struct small *s,
                             const unsigned arity, const unsigned width)
{
    uint64_t *tuple = at->next;
    if (!has_room(s, tuple, 1 + arity))
        return false;
    *slot = (uint64_t)tuple | XE_PRIMARY_BOXED;
    tuple[0] = (uint64_t)arity << XE_ARITY_SHIFT;
    unpack(tuple + 1, at->p + 2, arity, width);
    at->p += 2 + arity * width;
    at->next = tuple + 1 + arity;
    return true;
}

XE_INLINED bool put_short_tuple(struct at *at, uint64_t *slot, const struct small *s,
                                const unsigned width)
{
    switch (at->p[1]) {
    case 2:
        return put_elements(at, slot, s, 2, width);
    case 3:
        return put_elements(at, slot, s, 3, width);
    default:
        return false;
    }
}

/* The size of a binary that is larger takes more than a byte, of which the first is larger, too. */
XE_INLINED bool put_short_binary(struct at *at, uint64_t *slot, const struct small *s)
{
    uint64_t n = at->p[1], words = 2 + digits(n);
    uint64_t *binary = at->next;
    if (n > XE_TERM_BIN_VALUE_MAX || !has_room(s, binary, words))
        return false;
    *slot = (uint64_t)binary | XE_PRIMARY_BOXED;
    put_binary_header(binary, n, 8 * n);
    put_content(binary + 2, at->p + 2, n);
    at->p += 2 + n;
    at->next = binary + words;
    return true;
}

/* Whether the node is of those. */
XE_INLINED bool put_common(struct at *at, uint64_t *slot, const struct small *s)
{
#define WIDTH(width)                                                                              \
    case XE_NODE_IMM << 3 | (width - 1):                                                          \
        put_immediate_of(at, slot, width);                                                        \
        return true;                                                                              \
    case XE_NODE_TUPLE_IMM << 3 | (width - 1):                                                    \
        return put_short_tuple(at, slot, s, width);
    switch (*at->p) {
        WIDTH(1)
        WIDTH(2)
        WIDTH(3)
        WIDTH(4)
        WIDTH(5)
        WIDTH(6)
        WIDTH(7)
        WIDTH(8)
    case XE_NODE_BIN << 3:
        return put_short_binary(at, slot, s);
    default:
        return false;
    }
#undef WIDTH
}

/* n nodes into as many slots, one after the other. */
static struct at put_run(const uint8_t *p, uint64_t *next, uint64_t *slot, uint64_t n,
                         struct small *s, unsigned depth)
{
    struct at at = {p, next};
    for (; n > 0; n--, slot++) {
        if (put_common(&at, slot, s))
            continue;
        at = put_node(at.p, at.next, slot, s, depth);
        if (XE_UNLIKELY(!at.p))
            break;
    }
    return at;
}

/* n nodes into the slots of as many leaves of a large map. */
static struct at put_leaf_slots(const uint8_t *p, uint64_t *next, uint64_t *slot, uint64_t n,
                                struct small *s, unsigned depth)
{
    struct at at = {p, next};
    for (; n > 0 && at.p; n--, slot += CELL)
        at = put_node(at.p, at.next, slot, s, depth);
    return at;
}

/* {} */
static struct at put_empty_tuple(const uint8_t *p, uint64_t *next, uint64_t *slot,
                                 const struct small *s)
{
    *slot = xe_build_empty_tuple;
    if (xe_build_empty_tuple)
        return (struct at){p, next};
    if (!has_room(s, next, 1))
        return ENDED;
    *slot = (uint64_t)next | XE_PRIMARY_BOXED;
    next[0] = 0;
    return (struct at){p, next + 1};
}

/* #{} */
static struct at put_empty_map(const uint8_t *p, uint64_t *next, uint64_t *slot,
                               const struct small *s)
{
    if (!has_room(s, next, 3))
        return ENDED;
    *slot = (uint64_t)next | XE_PRIMARY_BOXED;
    next[0] = xe_native.flatmap;
    next[1] = 0;
    return put_empty_tuple(p + 1, next + 3, next + 2, s);
}

static struct at put_packed_list(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                                 unsigned depth)
{
    unsigned width = (*p++ & 7) + 1;
    uint64_t n = xe_varint_at(&p), mask = UINT64_MAX >> (64 - 8 * width);
    (void)depth;
    if (!has_room(s, next, CELL * n))
        return ENDED;
    *slot = (uint64_t)next | XE_PRIMARY_LIST;
    for (; n > 0; n--, next += CELL, p += width) {
        next[0] = xe_load64(p) & mask;
        next[1] = (uint64_t)(next + CELL) | XE_PRIMARY_LIST;
    }
    next[-1] = xe_term_traits.nil;
    return (struct at){p, next};
}

/* Cells of tuples of immediates that are alike, written with them: up to n, 1 or more. Returns
 * where the next cell is to be referred to from. Where a tuple is is known before the one in front
 * of it has been read. */
XE_INLINED uint64_t *put_alike(struct at *at, uint64_t *slot, uint64_t *n, uint64_t arity,
                               const struct small *s)
{
    const uint8_t *p = at->p;
    uint64_t *next = at->next, left = *n, width = (*p & 7) + 1;
    uint16_t head, other;
    memcpy(&head, p, sizeof head);
    do {
        if (!has_room(s, next, CELL + 1 + arity))
            break;
        *slot = (uint64_t)next | XE_PRIMARY_LIST;
        next[0] = (uint64_t)(next + CELL) | XE_PRIMARY_BOXED;
        next[CELL] = arity << XE_ARITY_SHIFT;
        p = unpack(next + CELL + 1, p + 2, arity, (unsigned)width);
        slot = next + 1;
        next += CELL + 1 + arity;
        memcpy(&other, p, sizeof other);
    } while (--left > 0 && other == head);
    *at = (struct at){p, next};
    *n = left;
    return slot;
}

static struct at put_cell(struct at at, uint64_t **slot, struct small *s, unsigned depth)
{
    uint64_t *cell = at.next;
    if (!has_room(s, cell, CELL))
        return ENDED;
    **slot = (uint64_t)cell | XE_PRIMARY_LIST;
    *slot = cell + 1;
    return put_run(at.p, cell + CELL, cell, 1, s, depth);
}

/* Each cell is followed by what is in it. */
static struct at put_list(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                          unsigned depth)
{
    bool proper = *p++ >> 3 == XE_NODE_LIST;
    uint64_t n = xe_varint_at(&p);
    struct at at = {p, next};
    if (depth == SMALL_DEPTH)
        return ENDED;
    while (n > 0) {
        uint64_t left = n;
        unsigned arity = *at.p >> 3 == XE_NODE_TUPLE_IMM ? at.p[1] : 0;
        if (arity == 2)
            slot = put_alike(&at, slot, &n, 2, s);
        else if (arity - 1u < 0x7f)
            slot = put_alike(&at, slot, &n, arity, s);
        if (n < left)
            continue;
        at = put_cell(at, &slot, s, depth + 1);
        if (!at.p)
            return at;
        n--;
    }
    if (!proper)
        return put_node(at.p, at.next, slot, s, depth + 1);
    *slot = xe_term_traits.nil;
    return at;
}

/* A node of a trie, of which `children` are still to be written, those that are `inner`, too. */
struct branch {
    uint64_t *next;
    unsigned children, inner;
};

/* At the shape of a node whose header and size, of which the root has one, take so many words. */
XE_INLINED struct branch begin_branch(const uint8_t *shape, uint64_t **next, uint64_t header,
                                      unsigned words)
{
    struct branch b = {*next + words, shape_mask(shape), shape_mask(shape + 2)};
    **next = header | (uint64_t)b.children << XE_MAP_BITMAP_SHIFT;
    *next = b.next + count_children(b.children);
    return b;
}

/* The trie of a large map whose leaves are in their order. Everything is in local variables, or
 * each leaf would wait for the one before it to be stored. Most nodes have nothing but leaves. */
static struct at put_trie(const uint8_t *shape, uint64_t *next, uint64_t n, const uint64_t *leaf)
{
    struct branch stack[TRIE_DEPTH], *top = stack;
    bool full = shape_mask(shape) == 0xffff;
    next[1] = n;
    struct branch b =
        begin_branch(shape, &next, full ? xe_native.map_root_full : xe_native.map_root, 2);
    shape += XE_TERM_SHAPE_BYTES;
    for (;;) {
        for (; b.children && !(b.children & b.inner & -b.children); b.children &= b.children - 1) {
            *b.next++ = (uint64_t)leaf | XE_PRIMARY_LIST;
            leaf += CELL;
        }
        if (!b.children) {
            if (top == stack)
                return (struct at){shape, next};
            b = *--top;
            continue;
        }
        *b.next++ = (uint64_t)next | XE_PRIMARY_BOXED;
        b.children &= b.children - 1;
        struct branch child = begin_branch(shape, &next, xe_native.map_node, 1);
        shape += XE_TERM_SHAPE_BYTES;
        if (XE_LIKELY(!child.inner)) {
            for (; child.next < next; leaf += CELL)
                *child.next++ = (uint64_t)leaf | XE_PRIMARY_LIST;
        } else {
            if (XE_UNLIKELY(top == stack + TRIE_DEPTH))
                return ENDED;
            *top++ = b;
            b = child;
        }
    }
}

/* What is packed of the leaves of a large map. */
static inline void put_leaves(uint64_t *leaves, const uint8_t *keys, unsigned kw,
                              const uint8_t *values, unsigned vw, uint64_t n)
{
    if (kw && vw) {
        uint64_t km = UINT64_MAX >> (64 - 8 * kw), vm = UINT64_MAX >> (64 - 8 * vw);
        for (; n > 0; n--, leaves += CELL, keys += kw, values += vw) {
            leaves[0] = xe_load64(keys) & km;
            leaves[1] = xe_load64(values) & vm;
        }
    } else if (kw) {
        for (; n > 0; n--, leaves += CELL, keys += kw)
            leaves[0] = xe_term_packed(keys, kw);
    } else if (vw) {
        for (; n > 0; n--, leaves += CELL, values += vw)
            leaves[1] = xe_term_packed(values, vw);
    }
}

/* Its leaves first, then its trie, then what is in the leaves. */
static struct at put_large_map(const uint8_t *p, uint64_t *next, uint64_t *slot, uint64_t n,
                               struct small *s, unsigned depth)
{
    unsigned kw = *p >> 4, vw = *p & 15;
    uint64_t *leaves = next, *root = leaves + CELL * n;
    const uint8_t *keys = p + 1, *values = keys + n * kw, *shape = values + n * vw;
    uint64_t inner = xe_varint_at(&shape);
    if (!has_room(s, next, 3 * n + 2 * inner))
        return ENDED;
    *slot = (uint64_t)root | XE_PRIMARY_BOXED;
    put_leaves(leaves, keys, kw, values, vw, n);
    struct at at = put_trie(shape, root, n, leaves);
    if (!kw && at.p)
        at = put_leaf_slots(at.p, at.next, leaves, n, s, depth);
    if (!vw && at.p)
        at = put_leaf_slots(at.p, at.next, leaves + 1, n, s, depth);
    return at;
}

/* The header of a small map, and the tuple of its keys. */
static inline void put_map_frame(uint64_t *at, uint64_t *slot, uint64_t *keys, uint64_t n)
{
    *slot = (uint64_t)at | XE_PRIMARY_BOXED;
    at[0] = xe_native.flatmap;
    at[1] = n;
    at[2] = (uint64_t)(keys - 1) | XE_PRIMARY_BOXED;
    keys[-1] = n << XE_ARITY_SHIFT;
}

static __attribute__((noinline)) struct at put_other_map(const uint8_t *p, uint64_t *next,
                                                         uint64_t *slot, struct small *s,
                                                         unsigned depth)
{
    bool has_shape = *p++ & 7;
    uint64_t n = xe_varint_at(&p);
    unsigned kw = *p >> 4, vw = *p & 15;
    uint64_t *values = next + 3, *keys = values + n + 1;
    if (n == 0)
        return put_empty_map(p, next, slot, s);
    if (depth == SMALL_DEPTH)
        return ENDED;
    if (n > XE_FLATMAP_MAX)
        return has_shape ? put_large_map(p, next, slot, n, s, depth + 1) : ENDED;
    if (!has_room(s, next, flatmap_words(n)))
        return ENDED;
    put_map_frame(next, slot, keys, n);
    struct at at = {p + 1, keys + n};
    if (kw)
        at.p = unpack(keys, at.p, n, kw);
    if (vw)
        at.p = unpack(values, at.p, n, vw);
    if (!kw)
        at = put_run(at.p, at.next, keys, n, s, depth + 1);
    if (!vw && at.p)
        at = put_run(at.p, at.next, values, n, s, depth + 1);
    return at;
}

/* Small maps of immediates; all others are left to put_other_map(). */
static struct at put_map(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                         unsigned depth)
{
    uint64_t n = p[1];
    unsigned kw = p[2] >> 4, vw = p[2] & 15;
    if (XE_UNLIKELY(n - 1 >= XE_FLATMAP_MAX || !kw || !vw || !has_room(s, next, flatmap_words(n))))
        return put_other_map(p, next, slot, s, depth);
    uint64_t *values = next + 3, *keys = values + n + 1;
    put_map_frame(next, slot, keys, n);
    p = unpack(keys, p + 3, n, kw);
    return (struct at){unpack(values, p, n, vw), keys + n};
}

static struct at put_packed_tuple(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                                  unsigned depth)
{
    unsigned width = (*p++ & 7) + 1;
    uint64_t n = xe_varint_at(&p);
    (void)depth;
    if (n == 0)
        return put_empty_tuple(p, next, slot, s);
    if (!has_room(s, next, n + 1))
        return ENDED;
    *slot = (uint64_t)next | XE_PRIMARY_BOXED;
    next[0] = n << XE_ARITY_SHIFT;
    return (struct at){unpack(next + 1, p, n, width), next + 1 + n};
}

static struct at put_tuple(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                           unsigned depth)
{
    p++;
    uint64_t n = xe_varint_at(&p);
    if (depth == SMALL_DEPTH || !has_room(s, next, n + 1))
        return ENDED;
    *slot = (uint64_t)next | XE_PRIMARY_BOXED;
    next[0] = n << XE_ARITY_SHIFT;
    return put_run(p, next + 1 + n, next + 1, n, s, depth + 1);
}

static struct at put_binary(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                            unsigned depth)
{
    struct at at = {p, next};
    (void)depth;
    return put_short_binary(&at, slot, s) ? at : ENDED;
}

/* Those seldom met. */
static struct at put_other(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                           unsigned depth)
{
    unsigned tag = *p++;
    uint64_t n, words, *at = next;
    (void)depth;
    *slot = (uint64_t)at | XE_PRIMARY_BOXED;
    switch (tag >> 3) {
    case XE_NODE_FLOAT:
        if (!has_room(s, next, 2))
            return ENDED;
        at[0] = xe_native.flonum;
        at[1] = xe_load64(p);
        return (struct at){p + 8, at + 2};
    case XE_NODE_BIG:
        n = xe_varint_at(&p);
        words = digits(n);
        if (!has_room(s, next, 1 + words))
            return ENDED;
        put_big(at, p, n, tag & 7);
        return (struct at){p + n, at + 1 + words};
    case XE_NODE_BITS:
        n = xe_varint_at(&p);
        words = bits_words(n);
        if (n > XE_TERM_BIN_VALUE_MAX || !has_room(s, next, words))
            return ENDED;
        put_bits(at, p, n, tag & 7);
        return (struct at){p + n, at + words};
    case XE_NODE_REF:
        n = (tag & 7) + 1;
        if (!has_room(s, next, 1 + n))
            return ENDED;
        put_reference(at, p, (unsigned)n);
        return (struct at){p + 8 * n, at + 1 + n};
    case XE_NODE_EXT:
        if (!s->copies)
            return ENDED;
        *slot = *s->copies++;
        return (struct at){p, next};
    default:
        return ENDED;
    }
}

static struct at put_immediate(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                               unsigned depth)
{
    (void)s;
    (void)depth;
    *slot = xe_term_packed(p + 1, *p + 1u);
    return (struct at){p + *p + 2, next};
}

static put_fn *const put_of_kind[KINDS] = {
    [XE_NODE_IMM] = put_immediate,
    [XE_NODE_TUPLE_IMM] = put_packed_tuple,
    [XE_NODE_LIST_IMM] = put_packed_list,
    [XE_NODE_TUPLE] = put_tuple,
    [XE_NODE_LIST] = put_list,
    [XE_NODE_ILIST] = put_list,
    [XE_NODE_BIN] = put_binary,
    [XE_NODE_BITS] = put_other,
    [XE_NODE_FLOAT] = put_other,
    [XE_NODE_BIG] = put_other,
    [XE_NODE_MAP] = put_map,
    [XE_NODE_EXT ... KINDS - 1] = put_other,
};

/* A block of this many words, 2 or more. */
static inline uint64_t *begin(ErlNifEnv *env, uint64_t words, struct small *s)
{
    s->block = xe_build_words(env, words);
    s->end = s->block + words;
    return s->block;
}

/* False: it has not become what it should. */
static inline bool end(struct at at, const struct small *s)
{
    xe_build_rest(XE_LIKELY(at.p) ? at.next : s->block, s->end);
    return at.p;
}

/* What is built, and where its parts are. */
struct parts {
    const uint8_t *body; /* behind its first byte and its words */
    const uint8_t *key;  /* its node, if there is no term of it */
    ERL_NIF_TERM term;
    uint64_t arity, keypos, words;
};

/* Whether a body is of those that are written here. */
XE_INLINED bool read_body(struct parts *o, const uint8_t *body, uint64_t budget)
{
    unsigned flags = body[0];
    o->arity = (flags & XE_TERM_BODY_ARITY) >> 3;
    o->body = body + 1;
    if (!o->arity || (flags & (XE_TERM_BODY_COMPRESSED | XE_TERM_BODY_KEY)))
        return false;
    o->words = xe_varint_at(&o->body);
    return o->words <= budget && o->words <= XE_NATIVE_BLOCK - KEY_WORDS_MAX - CELL;
}

/* The object, or with a tail the list cell that holds it, which comes first. */
XE_INLINED bool build_object(ErlNifEnv *env, const struct parts *o, ERL_NIF_TERM tail,
                             struct small *s, ERL_NIF_TERM *out)
{
    uint64_t *top = begin(env, o->words + (tail ? CELL : 0), s);
    *out = (uint64_t)top | (tail ? XE_PRIMARY_LIST : XE_PRIMARY_BOXED);
    if (tail) {
        top[0] = (uint64_t)(top + CELL) | XE_PRIMARY_BOXED;
        top[1] = tail;
        top += CELL;
    }
    top[0] = o->arity << XE_ARITY_SHIFT;
    uint64_t *key = top + o->keypos;
    struct at at = {o->body, top + 1 + o->arity};
    if (o->keypos > 1)
        at = put_run(at.p, at.next, top + 1, o->keypos - 1, s, 0);
    if (o->term) {
        *key = o->term;
    } else if (at.p) {
        const uint8_t *body = at.p;
        at = put_node(o->key, at.next, key, s, 0);
        at.p = at.p ? body : NULL;
    }
    if (at.p)
        at = put_run(at.p, at.next, key + 1, o->arity - o->keypos, s, 0);
    return end(at, s);
}

bool xe_native_decode_plain(ErlNifEnv *env, const uint8_t *body, int keypos, ERL_NIF_TERM key,
                            ERL_NIF_TERM tail, uint64_t budget, ERL_NIF_TERM *out)
{
    struct parts o = {.term = key, .keypos = (uint64_t)keypos};
    struct small s = {.copies = NULL};
    return xe_native_has(WRITTEN_KINDS) && read_body(&o, body, budget) &&
           build_object(env, &o, tail, &s, out);
}

/* Adds the words of a key that is to be decoded. False: of a kind that is none of the commonest. */
static inline bool add_key(struct parts *o, const struct xe_view *v)
{
    unsigned kind = v->key[0] >> 3;
    uint64_t n = v->key[1];
    o->key = v->key;
    if (v->flags & XE_REC_ORDER)
        return false;
    if (kind == XE_NODE_BIN)
        o->words += 2 + digits(n);
    else if (kind != XE_NODE_IMM)
        o->words += 1 + n;
    return kind == XE_NODE_IMM || (kind == XE_NODE_BIN && n <= XE_TERM_BIN_VALUE_MAX) ||
           (kind == XE_NODE_TUPLE_IMM && n - 1 < 0x7f);
}

/* Terms of EXT nodes are made before the block that refers to them. */
static inline bool copy_handles(ErlNifEnv *env, const struct xe_view *v, struct parts *o,
                                ERL_NIF_TERM *copies)
{
    uint32_t n = v->n_handles - v->n_key_handles;
    const uint8_t *handles = v->handles + 8 * (size_t)v->n_key_handles;
    if (n > SMALL_HANDLES)
        return false;
    o->words -= XE_COST_EXT * (uint64_t)n;
    for (uint32_t i = 0; i < n; i++)
        copies[i] = enif_make_copy(env, xe_load64(handles + 8 * (size_t)i));
    return true;
}

bool xe_native_decode_small(ErlNifEnv *env, const struct xe_view *v, int keypos, ERL_NIF_TERM key,
                            ERL_NIF_TERM tail, uint64_t budget, ERL_NIF_TERM *out)
{
    ERL_NIF_TERM copies[SMALL_HANDLES];
    struct parts o = {.term = key, .keypos = (uint64_t)keypos};
    struct small s = {.copies = NULL};
    if (!xe_native_has(WRITTEN_KINDS) || !read_body(&o, xe_term_body(v), budget) ||
        (!key && !add_key(&o, v)))
        return false;
    if (v->n_handles > v->n_key_handles) {
        if (!copy_handles(env, v, &o, copies))
            return false;
        s.copies = copies;
    }
    return build_object(env, &o, tail, &s, out);
}

bool xe_build_small(ErlNifEnv *env, const uint8_t *node, uint64_t words, ERL_NIF_TERM *out)
{
    struct small s = {.copies = NULL};
    uint64_t *next = begin(env, words, &s), t;
    if (!end(put_node(node, next, &t, &s, 0), &s))
        return false;
    *out = t;
    return true;
}
