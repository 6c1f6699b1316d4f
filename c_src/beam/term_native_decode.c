/*
 * term_native_decode.c - stored bytes to terms, written where they will lie (term_native.h).
 *
 * Objects of up to a block, whose bodies tell how many words that is, are written at once
 * (term_native_small.c). For all the rest a first pass measures, makes what has to be made by
 * documented calls, and asks for the room of all stacks; the second one writes in blocks of [] and
 * cannot fail (term_native_build.c).
 *
 * There, a container is written before what is in it: first its header, then, node by node, what
 * goes into its slots. A frame is a run of slots that are still to be filled; it is popped before
 * its last slot is, so each frame on the stack has a node before it.
 *
 * The bytes come from our own memory: they are checked by asserts only.
 */
#include "term_native_build.h"

/* An object: what its elements are made of. */
struct source {
    struct xe_cursor *c; /* at the first node of the body */
    const struct xe_body *body;
    struct xe_cursor *key; /* where the key is if `term` is 0: `c`, or at the node of key bytes */
    ERL_NIF_TERM term;
    size_t keypos;
};

/* All elements of an object, which has room for them. */
static void build_elements(struct builder *b, const struct source *s, uint64_t *elements)
{
    size_t before = s->keypos - 1, after = s->body->arity - s->keypos;
    uint64_t *key = elements + before;
    if (s->term)
        *key = s->term;
    else
        xe_build_nodes(b, s->key, key, 1);
    if (before)
        xe_build_nodes(b, s->c, elements, before);
    if (after)
        xe_build_nodes(b, s->c, key + 1, after);
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
    return xe_build_leftover(b->env, c, &t) && keep_leftover(b, node, c->p, t);
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
        b->left += count_children(shape_mask(c->p));
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

/* --- Blocks ------------------------------------------------------------- */

static void begin(struct builder *b, ErlNifEnv *env)
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
    return true;
}

static enum xe_term_status end(struct builder *b, bool ok)
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
    b->room = xe_build_block(b, b->room, n);
    uint64_t *at = b->room.next;
    b->room.next += n;
    return at;
}

static __attribute__((noinline)) enum xe_term_status decode(struct builder *b, ErlNifEnv *env,
                                                            struct xe_cursor c, ERL_NIF_TERM *out)
{
    struct xe_cursor behind = c;
    begin(b, env);
    bool ok = measure(b, &behind, 1);
    if (XE_LIKELY(ok && b->left - 2 <= XE_NATIVE_BLOCK - 2 && !b->n_leftovers && !b->arrays) &&
        xe_build_small(env, c.p, b->left, out))
        return XE_TERM_OK;
    ok = ok && reserve_stacks(b);
    if (ok)
        xe_build_nodes(b, &c, out, 1);
    return end(b, ok);
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
decode_body(struct builder *b, ErlNifEnv *env, const struct source *s, ERL_NIF_TERM *out)
{
    uint64_t n = s->body->arity;
    begin(b, env);
    bool ok = measure_object(b, s) && reserve_stacks(b);
    if (!ok)
        return end(b, false);
    if (XE_LIKELY(tuple_is_native(n))) {
        uint64_t *at = take_first(b, n + 1);
        at[0] = n << XE_ARITY_SHIFT;
        *out = (uint64_t)at | XE_PRIMARY_BOXED;
        build_elements(b, s, at + 1);
    } else {
        build_elements(b, s, xe_build_open_array(b));
        *out = xe_build_close_array(b, n);
    }
    return end(b, true);
}

/* --- Decoding ----------------------------------------------------------- */

enum xe_term_status xe_native_decode(ErlNifEnv *env, const struct xe_cursor *c, ERL_NIF_TERM *out)
{
    struct builder b;
    return decode(&b, env, *c, out);
}

enum xe_term_status xe_native_decode_body(ErlNifEnv *env, struct xe_cursor *c,
                                          const struct xe_body *body, struct xe_cursor *key_bytes,
                                          int keypos, ERL_NIF_TERM key, ERL_NIF_TERM *out)
{
    struct builder b;
    struct source s = {c, body, body->has_key || key ? c : key_bytes, body->has_key ? 0 : key,
                       (size_t)keypos};
    return decode_body(&b, env, &s, out);
}
