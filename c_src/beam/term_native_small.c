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
    KEY_WORDS_MAX = 0x80,                   /* of a key that is decoded here */
    ALL_KINDS = (1 << XE_NATIVE_KINDS) - 1, /* nothing is asked for node by node */
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

static struct at put_node(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                          unsigned depth);

static inline bool has_room(const struct small *s, const uint64_t *next, uint64_t n)
{
    return XE_LIKELY((uint64_t)(s->end - next) >= n);
}

/* n nodes into slots that are `stride` words apart. */
XE_INLINED struct at put_slots(const uint8_t *p, uint64_t *next, uint64_t *slot, uint64_t n,
                               const unsigned stride, struct small *s, unsigned depth)
{
    struct at at = {p, next};
    for (; n > 0; n--, slot += stride) {
        unsigned tag = *at.p;
        if (XE_LIKELY(tag >> 3 == XE_NODE_IMM)) {
            *slot = xe_term_packed(at.p + 1, tag + 1);
            at.p += tag + 2;
        } else {
            at = put_node(at.p, at.next, slot, s, depth);
            if (XE_UNLIKELY(!at.p))
                break;
        }
    }
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

static struct at put_packed_list(const uint8_t *p, uint64_t *next, uint64_t *slot, uint64_t n,
                                 unsigned width, struct small *s)
{
    uint64_t mask = UINT64_MAX >> (64 - 8 * width);
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

/* Each cell is followed by what is in it. */
static struct at put_list(const uint8_t *p, uint64_t *next, uint64_t *slot, uint64_t n, bool proper,
                          struct small *s, unsigned depth)
{
    struct at at = {p, next};
    for (; n > 0; n--) {
        uint64_t *cell = at.next;
        if (!has_room(s, cell, CELL))
            return ENDED;
        *slot = (uint64_t)cell | XE_PRIMARY_LIST;
        at = put_slots(at.p, cell + CELL, cell, 1, 1, s, depth);
        if (!at.p)
            return at;
        slot = cell + 1;
    }
    if (!proper)
        return put_slots(at.p, at.next, slot, 1, 1, s, depth);
    *slot = xe_term_traits.nil;
    return at;
}

/* A trie that is being written. */
struct trie {
    const uint8_t *shape;
    uint64_t *leaf, *next;
};

static void put_branch(struct trie *t, uint64_t *slot, uint64_t header, uint64_t size)
{
    unsigned there = shape_mask(t->shape), inner = shape_mask(t->shape + 2);
    uint64_t *at = t->next;
    *slot = (uint64_t)at | XE_PRIMARY_BOXED;
    *at++ = header | (uint64_t)there << XE_MAP_BITMAP_SHIFT;
    if (size)
        *at++ = size;
    t->shape += XE_TERM_SHAPE_BYTES;
    t->next = at + count_children(there);
    for (unsigned bits = there; bits; bits &= bits - 1, at++) {
        if (inner & bits & -bits) {
            put_branch(t, at, xe_native.map_node, 0);
        } else {
            *at = (uint64_t)t->leaf | XE_PRIMARY_LIST;
            t->leaf += CELL;
        }
    }
}

/* Its leaves first, then its trie, then what is in the leaves. */
static struct at put_large_map(const uint8_t *p, uint64_t *next, uint64_t *slot, uint64_t n,
                               struct small *s, unsigned depth)
{
    unsigned kw = *p >> 4, vw = *p & 15;
    uint64_t *leaves = next;
    const uint8_t *keys = p + 1, *values = keys + n * kw;
    struct trie t = {.shape = values + n * vw, .leaf = leaves, .next = leaves + CELL * n};
    uint64_t inner = xe_varint_at(&t.shape);
    if (!has_room(s, next, 3 * n + 2 * inner))
        return ENDED;
    for (uint64_t i = 0; kw && i < n; i++, keys += kw)
        leaves[CELL * i] = xe_term_packed(keys, kw);
    for (uint64_t i = 0; vw && i < n; i++, values += vw)
        leaves[CELL * i + 1] = xe_term_packed(values, vw);
    bool full = shape_mask(t.shape) == 0xffff;
    put_branch(&t, slot, full ? xe_native.map_root_full : xe_native.map_root, n);
    struct at at = {t.shape, t.next};
    if (!kw)
        at = put_slots(at.p, at.next, leaves, n, CELL, s, depth);
    if (!vw && at.p)
        at = put_slots(at.p, at.next, leaves + 1, n, CELL, s, depth);
    return at;
}

static struct at put_map(const uint8_t *p, uint64_t *next, uint64_t *slot, uint64_t n,
                         struct small *s, unsigned depth)
{
    unsigned kw = *p >> 4, vw = *p & 15;
    uint64_t *values = next + 3, *keys = values + n + 1;
    if (n == 0)
        return put_empty_map(p, next, slot, s);
    if (!has_room(s, next, flatmap_words(n)))
        return ENDED;
    *slot = (uint64_t)next | XE_PRIMARY_BOXED;
    next[0] = xe_native.flatmap;
    next[1] = n;
    next[2] = (uint64_t)(keys - 1) | XE_PRIMARY_BOXED;
    keys[-1] = n << XE_ARITY_SHIFT;
    struct at at = {p + 1, keys + n};
    if (kw)
        at.p = unpack(keys, at.p, n, kw);
    if (vw)
        at.p = unpack(values, at.p, n, vw);
    if (!kw)
        at = put_slots(at.p, at.next, keys, n, 1, s, depth);
    if (!vw && at.p)
        at = put_slots(at.p, at.next, values, n, 1, s, depth);
    return at;
}

/* Those seldom met. */
static __attribute__((noinline)) struct at put_other(const uint8_t *p, uint64_t *next,
                                                     uint64_t *slot, struct small *s)
{
    unsigned tag = *p++;
    uint64_t n, words, *at = next;
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

static struct at put_node(const uint8_t *p, uint64_t *next, uint64_t *slot, struct small *s,
                          unsigned depth)
{
    const uint8_t *node = p;
    unsigned tag = *p++;
    uint64_t n, words;
    if (tag >> 3 > XE_NODE_MAP || depth == SMALL_DEPTH)
        return put_other(node, next, slot, s);
    switch (tag >> 3) {
    case XE_NODE_TUPLE_IMM:
        n = xe_varint_at(&p);
        if (n == 0)
            return put_empty_tuple(p, next, slot, s);
        if (!has_room(s, next, n + 1))
            return ENDED;
        *slot = (uint64_t)next | XE_PRIMARY_BOXED;
        next[0] = n << XE_ARITY_SHIFT;
        p = unpack(next + 1, p, n, (tag & 7) + 1);
        return (struct at){p, next + 1 + n};
    case XE_NODE_TUPLE:
        n = xe_varint_at(&p);
        if (!has_room(s, next, n + 1))
            return ENDED;
        *slot = (uint64_t)next | XE_PRIMARY_BOXED;
        next[0] = n << XE_ARITY_SHIFT;
        return put_slots(p, next + 1 + n, next + 1, n, 1, s, depth + 1);
    case XE_NODE_BIN:
        n = xe_varint_at(&p);
        words = 2 + digits(n);
        if (n > XE_TERM_BIN_VALUE_MAX || !has_room(s, next, words))
            return ENDED;
        *slot = (uint64_t)next | XE_PRIMARY_BOXED;
        put_binary_header(next, n, 8 * n);
        put_content(next + 2, p, n);
        return (struct at){p + n, next + words};
    case XE_NODE_MAP:
        n = xe_varint_at(&p);
        if (XE_LIKELY(n <= XE_FLATMAP_MAX))
            return put_map(p, next, slot, n, s, depth + 1);
        return tag & 7 ? put_large_map(p, next, slot, n, s, depth + 1) : ENDED;
    case XE_NODE_LIST_IMM:
        n = xe_varint_at(&p);
        return put_packed_list(p, next, slot, n, (tag & 7) + 1, s);
    case XE_NODE_LIST:
    case XE_NODE_ILIST:
        n = xe_varint_at(&p);
        return put_list(p, next, slot, n, tag >> 3 == XE_NODE_LIST, s, depth + 1);
    default:
        return put_other(node, next, slot, s);
    }
}

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
    struct at at = put_slots(o->body, top + 1 + o->arity, top + 1, o->keypos - 1, 1, s, 0);
    if (o->term) {
        *key = o->term;
    } else if (at.p) {
        const uint8_t *body = at.p;
        at = put_slots(o->key, at.next, key, 1, 1, s, 0);
        at.p = at.p ? body : NULL;
    }
    if (at.p)
        at = put_slots(at.p, at.next, key + 1, o->arity - o->keypos, 1, s, 0);
    return end(at, s);
}

bool xe_native_decode_plain(ErlNifEnv *env, const uint8_t *body, int keypos, ERL_NIF_TERM key,
                            ERL_NIF_TERM tail, uint64_t budget, ERL_NIF_TERM *out)
{
    struct parts o = {.term = key, .keypos = (uint64_t)keypos};
    struct small s = {.copies = NULL};
    return xe_native_has(ALL_KINDS) && read_body(&o, body, budget) &&
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
    if (!xe_native_has(ALL_KINDS) || !read_body(&o, xe_term_body(v), budget) ||
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
