/*
 * term_internal.h - what encoding and decoding of terms share (term.h has the
 * format).
 *
 *   memory    arrays that start on the C stack and grow into enif_alloc
 *   costs     heap words that decoding a node takes. Encoding and xe_node_skip()
 *             count by the same functions: an object made by xe_term_replace() has
 *             the bytes of the same object encoded from terms
 *   writing   nodes into an encoder
 *   cursor    reading nodes
 */
#ifndef XE_TERM_INTERNAL_H
#define XE_TERM_INTERNAL_H

#include "term.h"

enum {
    XE_TERM_BIN_KEY_MAX = 4096, /* the same in a key */
    XE_TERM_HASH_BYTES = 8,     /* behind EXT in key bytes */
    XE_TERM_DIGEST_BYTES = 16,  /* behind the size of EXTBIN */
    XE_TERM_SHAPE_BYTES = 4,    /* for each inner node of a large map */
    XE_TERM_VARINT_MAX = 10,
    XE_TERM_COMPRESS_MIN = 128,   /* bytes of nodes that are worth trying */
    XE_TERM_INLINE_MAX = 1 << 20, /* bytes of larger binaries that one object has by content, to be
                                   * compressed. Each read decompresses all of them */
    XE_TERM_COMPRESS_WORK = 8,    /* bytes that are compressed, or decompressed, in the time that
                                   * a word takes */
    XE_TERM_SAMPLE_BYTES = 2048,  /* of each end of a large binary: what tells it from others */
};

/* Memory. */

/*
 * A larger copy of an array of which `used` items count, for at least `need`
 * items; `small` is the place on the C stack where it may still be. NULL: out
 * of memory, the array is as it was.
 */
static inline void *xe_term_grow(void *array, const void *small, size_t used, size_t need,
                                 size_t item, size_t slack, size_t *cap)
{
    size_t new_cap = *cap * 2 < need ? need : *cap * 2;
    void *grown = enif_alloc(new_cap * item + slack);
    if (!grown)
        return NULL;
    memcpy(grown, array, used * item);
    if (array != small)
        enif_free(array);
    *cap = new_cap;
    return grown;
}

/*
 * Costs in heap words. Whoever builds natively relies on it that nothing takes more
 * (term_native_small.c); what is common takes no less, whatever the release.
 */
enum { XE_COST_EXT = 12, XE_COST_FLOAT = 2, XE_COST_CONS = 2, XE_COST_REF = 3 };

static inline uint64_t xe_cost_tuple(uint64_t arity)
{
    return arity + 1;
}

static inline uint64_t xe_cost_binary(uint64_t size)
{
    return size <= XE_TERM_BIN_VALUE_MAX ? 2 + (size + 7) / 8 : 8;
}

static inline uint64_t xe_cost_bits(uint64_t size)
{
    return xe_cost_binary(size) + 5;
}

static inline uint64_t xe_cost_big(uint64_t size)
{
    return 1 + (size + 7) / 8;
}

static inline uint64_t xe_cost_map(uint64_t size)
{
    return size <= 32 ? 2 * size + 4 : 4 * size;
}

/* What a large map takes beyond that if its trie has so many inner nodes: its cells, all children
 * but the root, the headers and the size are 3 * size + 2 * inner words. */
static inline uint64_t xe_cost_inner(uint64_t size, uint64_t inner)
{
    return 2 * inner > size ? 2 * inner - size : 0;
}

/*
 * No node takes more than four words per byte of key bytes, so that the length
 * of a key says what decoding it costs at most. The extremes: 2 words per byte
 * for a LIST_IMM of width 1, 6 words for the 5 bytes of a map of one.
 */
static inline uint64_t xe_cost_key_bytes(uint64_t klen)
{
    return 4 * klen;
}

/*
 * Writing. A byte that is stored may be one of the encoder's own, as far as the compiler knows, so
 * what is written together is written before the encoder is looked at again.
 */

static inline bool fail(struct xe_encoder *e, enum xe_term_status status)
{
    e->status = status;
    return false;
}

/* Counts words that decoding will need. */
static inline bool charge(struct xe_encoder *e, uint64_t words)
{
    e->words += words;
    return XE_LIKELY(e->words <= e->budget) || fail(e, XE_TERM_BUDGET);
}

/* Counts work that adds nothing to what decoding will need, such as hashing. */
static inline bool charge_work(struct xe_encoder *e, uint64_t words)
{
    if (XE_UNLIKELY(words > xe_encoder_left(e)))
        return fail(e, XE_TERM_BUDGET);
    e->budget -= words;
    return true;
}

/* More room in `bytes`. */
bool xe_encoder_grow(struct xe_encoder *e, size_t n);

/* Room for n bytes; up to 7 more may be overwritten (the slack). */
static inline bool reserve(struct xe_encoder *e, size_t n)
{
    return XE_LIKELY(e->len + n <= e->cap) || xe_encoder_grow(e, n);
}

static inline void put_byte(struct xe_encoder *e, uint64_t byte)
{
    e->bytes[e->len++] = (uint8_t)byte;
}

static inline void put_tag(struct xe_encoder *e, enum xe_node_kind kind, unsigned param)
{
    put_byte(e, (unsigned)kind << 3 | param);
}

static inline void put_varint(struct xe_encoder *e, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        put_byte(e, v | 0x80);
    put_byte(e, v);
}

/* The bytes of a varint. */
static inline size_t xe_varint_size(uint64_t v)
{
    size_t size = 1;
    while (v >>= 7)
        size++;
    return size;
}

static inline void put_bytes(struct xe_encoder *e, const void *from, size_t n)
{
    memcpy(e->bytes + e->len, from, n);
    e->len += n;
}

/* What writes at an address returns where to write next. */

/* A tag, and a count below 0x80. */
static inline uint8_t *xe_put_head(uint8_t *to, enum xe_node_kind kind, unsigned param,
                                   uint64_t count)
{
    uint16_t both = (uint16_t)((unsigned)kind << 3 | param | (unsigned)count << 8);
    memcpy(to, &both, sizeof both);
    return to + sizeof both;
}

/* The node of an immediate. Writes 9 bytes. */
static inline uint8_t *xe_put_immediate(uint8_t *to, ERL_NIF_TERM t)
{
    unsigned width = xe_term_width(t);
    uint64_t low = t << 8 | (unsigned)XE_NODE_IMM << 3 | (width - 1);
    memcpy(to, &low, 8);
    to[8] = (uint8_t)(t >> 56);
    return to + 1 + width;
}

/* Of each term so many bytes. Writes up to 7 bytes more. */
static inline uint8_t *xe_put_words(uint8_t *to, const ERL_NIF_TERM *terms, size_t n,
                                    unsigned width)
{
    for (size_t i = 0; i < n; i++, to += width)
        memcpy(to, &terms[i], 8);
    return to;
}

/* A tag, a count and this many bytes behind it. */
static inline bool put_header(struct xe_encoder *e, enum xe_node_kind kind, unsigned param,
                              uint64_t count, size_t behind)
{
    if (!reserve(e, 1 + XE_TERM_VARINT_MAX + behind))
        return false;
    if (XE_LIKELY(count < 0x80)) {
        xe_put_head(e->bytes + e->len, kind, param, count);
        e->len += 2;
        return true;
    }
    put_tag(e, kind, param);
    put_varint(e, count);
    return true;
}

static inline void put_packed(struct xe_encoder *e, uint64_t word, unsigned width)
{
    memcpy(e->bytes + e->len, &word, 8);
    e->len += width;
}

static inline void put_vector(struct xe_encoder *e, const ERL_NIF_TERM *terms, size_t n,
                              unsigned width)
{
    xe_put_words(e->bytes + e->len, terms, n, width);
    e->len += n * width;
}

static inline bool are_immediates(const ERL_NIF_TERM *terms, size_t n, uint64_t *any)
{
    uint64_t some = 0, all = 3;
    for (size_t i = 0; i < n; i++) {
        some |= terms[i];
        all &= terms[i];
    }
    *any = some;
    return all == 3;
}

/* The external format of a bignum or bit string, which is all of it at once: not if `brief`. To be
 * released. */
bool xe_encoder_externalize(struct xe_encoder *e, ERL_NIF_TERM t, ErlNifBinary *ext);

bool xe_encoder_add_handle(struct xe_encoder *e, ERL_NIF_TERM t, uint64_t pinned);

/* A node for each of the terms. */
bool xe_term_encode_nodes(struct xe_encoder *e, const ERL_NIF_TERM *terms, size_t n);

/* A body, flat if it can be. elements[keypos - 1] is used for BODY_KEY only. */
bool xe_term_encode_body(struct xe_encoder *e, const ERL_NIF_TERM *elements, size_t arity,
                         size_t keypos);

/* Compresses the body if that saves enough; *done tells. False: error. */
bool xe_term_compress(struct xe_encoder *e, bool *done);

/* The work of decompressing a compressed body, in words. O(1). */
uint64_t xe_term_expanding_words(const struct xe_view *v);

/* The heap words of a cut key's term (key.h), and what a copy of it keeps alive or takes in bytes.
 * False: error. O(size of the term). */
bool xe_key_weigh(struct xe_encoder *e, ERL_NIF_TERM term, uint64_t *words, uint64_t *pinned);

/* Heap words that decoding the key takes at most. O(1). */
uint64_t xe_term_key_words(const struct xe_view *v);

/* The key of a stored object of an ordered table. */
struct xe_order_key;
void xe_term_order_key(const struct xe_view *v, struct xe_order_key *key);

/* The key of an object on its way in, which is where e->ordered says. False: error. */
bool xe_term_put_key(struct xe_encoder *e, ERL_NIF_TERM key);

/* Starts a body that is not flat at *mark, and ends it: its heap words are put in. */
bool xe_term_begin_body(struct xe_encoder *e, uint64_t arity, bool has_key, size_t *mark);
bool xe_term_end_body(struct xe_encoder *e, size_t mark, uint64_t words);

/* The size in bytes of a bit string in external format, its bytes and the
 * number of bits in the last. */
size_t xe_term_inspect_bits(const ErlNifBinary *ext, const uint8_t **bytes, unsigned *bits);

/* The same of an integer in external format that does not fit 64 bits, or is negative and does
 * not fit 63: the size of its magnitude, which is little-endian, and its sign. */
size_t xe_term_inspect_big(const ErlNifBinary *ext, const uint8_t **magnitude, bool *negative);

/* Making terms. False: out of memory. */

/* `bits` (1-7) count of the last of `size` bytes. */
bool xe_term_make_bits(ErlNifEnv *env, unsigned bits, const uint8_t *bytes, size_t size,
                       ERL_NIF_TERM *out);
/* Of up to 8 bytes, 8 must be readable. */
bool xe_term_make_big(ErlNifEnv *env, bool negative, const uint8_t *magnitude, size_t size,
                      ERL_NIF_TERM *out);

/* Reading nodes. */
struct xe_cursor {
    const uint8_t *p;
    const uint8_t *end;     /* for asserts */
    const uint8_t *handles; /* the next one */
    bool in_key;
};

static inline uint64_t xe_cursor_varint(struct xe_cursor *c)
{
    uint64_t v = *c->p++;
    if (XE_UNLIKELY(v & 0x80)) {
        v &= 0x7f;
        for (unsigned shift = 7;; shift += 7) {
            uint64_t b = *c->p++;
            v |= (b & 0x7f) << shift;
            if (b < 0x80)
                break;
        }
    }
    XE_ASSERT(c->p <= c->end);
    return v;
}

/* Key bytes, and the handles of the key. */
static inline void xe_cursor_key(struct xe_cursor *c, const struct xe_view *v)
{
    c->p = v->key;
    c->end = v->key + v->klen;
    c->handles = v->handles;
    c->in_key = true;
}

/* Behind the packed keys and values of a map: past its shape, if the tag says that it has one.
 * Returns the number of its inner nodes. */
static inline uint64_t xe_cursor_pass_shape(struct xe_cursor *c, unsigned tag)
{
    uint64_t nodes = 0;
    if (XE_UNLIKELY(tag & 1)) {
        nodes = xe_cursor_varint(c);
        c->p += XE_TERM_SHAPE_BYTES * nodes;
    }
    return nodes;
}

/* What stands before the nodes of a body that is not flat. */
struct xe_body {
    uint64_t arity, words;
    bool has_key; /* BODY_KEY: the first node is the exact key */
};

/* The cursor is left at the first node. */
static inline struct xe_body xe_cursor_body(struct xe_cursor *c, const struct xe_view *v)
{
    const uint8_t *body = xe_term_body(v);
    XE_ASSERT(!(body[0] & XE_TERM_BODY_FLAT));
    struct xe_body b;
    c->p = body + 1;
    c->end = v->body + v->blen;
    c->handles = v->handles + 8 * (size_t)v->n_key_handles;
    c->in_key = false;
    b.has_key = body[0] & XE_TERM_BODY_KEY;
    b.arity = (body[0] & XE_TERM_BODY_ARITY) >> 3;
    if (XE_UNLIKELY(!b.arity))
        b.arity = xe_cursor_varint(c);
    b.words = xe_cursor_varint(c);
    return b;
}

/* What was passed over by xe_node_skip(); adds up over calls. */
struct xe_extent {
    uint64_t words; /* heap words that decoding it takes */
    uint64_t nodes;
    uint64_t larger; /* bytes of binaries by content that are larger than
                      * XE_TERM_BIN_VALUE_MAX: only compressed bodies have any */
};

/* Moves the cursor past one node, iteratively. False: `x->nodes`
 * reached `max_nodes`, and the cursor stands anywhere. */
bool xe_node_skip(struct xe_cursor *c, uint64_t max_nodes, struct xe_extent *x);

/* The term of the node at the cursor, in `env`. O(size of the node), whatever it is. */
enum xe_term_status xe_node_decode(ErlNifEnv *env, const struct xe_cursor *c, ERL_NIF_TERM *out);

/* Likewise, by documented calls only, but for REF nodes. */
enum xe_term_status xe_node_decode_portably(ErlNifEnv *env, const struct xe_cursor *c,
                                            ERL_NIF_TERM *out);

#endif
