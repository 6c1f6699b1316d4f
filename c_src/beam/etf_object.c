/*
 * etf_object.c - objects and keys from the external term format; readers.
 *
 * What is stored has the key in front, so the elements are gone through up to the key, then the
 * key is written, then the body, which is flat if what was gone through, and what stands behind the
 * key, are immediates and few.
 */
#include "etf_walk.h"
#include "key_internal.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static bool skip_terms(struct walk *k, uint64_t n)
{
    for (; n > 0; n--) {
        size_t size = xe_etf_size(k->p, room(k));
        if (!size)
            return false;
        k->p += size;
    }
    return true;
}

/* Keys. */

enum { ORDER_BINARY_MAX = 1024 }; /* bytes of a binary that are written in place */

/* The order bytes of a binary at the cursor. False: it is none, or a long one. */
static bool put_order_binary(struct walk *k)
{
    struct xe_encoder *e = k->e;
    const uint8_t *p = k->p, *zero;
    size_t size;
    if (room(k) < 5 || p[0] != ETF_BINARY || (size = etf_load32(p + 1)) > ORDER_BINARY_MAX ||
        size > room(k) - 5 || !charge(e, xe_cost_binary(size)) || !reserve(e, 3 + 2 * size))
        return false;
    k->p = p + 5 + size;
    put_byte(e, KEY_BITS);
    for (p += 5; (zero = memchr(p, 0, (size_t)(k->p - p))); p = zero + 1) {
        put_bytes(e, p, (size_t)(zero + 1 - p));
        put_byte(e, 0xff);
    }
    put_bytes(e, p, (size_t)(k->p - p));
    put_byte(e, 0);
    put_byte(e, 8);
    e->klen = e->len;
    return true;
}

_Static_assert(3 + 2 * ORDER_BINARY_MAX <= XE_KEY_BYTES_MAX, "none of these is cut");

/* Other keys of an ordered table are made as terms, the commonest ones by hand. False: as above. */
static bool make_key(struct walk *k, ERL_NIF_TERM *out)
{
    ErlNifEnv *env = k->e->env;
    const uint8_t *p = k->p;
    uint64_t word, n;
    enum kind kind = read_immediate(k, &word);
    if (kind == ODD)
        return false;
    if (kind == IMMEDIATE) {
        *out = word;
        return true;
    }
    if (p[0] == ETF_TUPLE_SMALL && room(k) >= 2 && p[1] > 0) {
        uint64_t any;
        k->p = p + 2;
        if (!etf_gather(k, p[1], &n, &any))
            return false;
        if (n == p[1]) {
            *out = enif_make_tuple_from_array(env, k->r->words, (unsigned)n);
            return true;
        }
        k->p = p;
    }
    size_t size = xe_etf_size(p, room(k));
    if (!size || etf_make_term(k->r, env, p, size, out) != XE_ETF_OK)
        return false;
    k->p = p + size;
    return true;
}

/* The key at the cursor. */
static inline bool put_key(struct walk *k)
{
    struct xe_encoder *e = k->e;
    ERL_NIF_TERM key;
    if (XE_UNLIKELY(e->ordered))
        return put_order_binary(k) ||
               (e->status == XE_TERM_OK && make_key(k, &key) && xe_term_put_key(e, key));
    e->in_key = true;
    bool ok = etf_emit_terms(k, 1);
    e->in_key = false;
    e->klen = e->len;
    e->n_key_handles = e->n_handles;
    return ok && !e->neg_zero && e->n_handles <= XE_TERM_KEY_HANDLES_MAX;
}

/* Objects. */

static bool put_flat(struct xe_encoder *e, const uint64_t *words, unsigned arity)
{
    uint64_t any = 3;
    for (unsigned i = 0; i < arity - 1; i++)
        any |= words[i];
    unsigned width = xe_term_width(any);
    if (!charge(e, xe_cost_tuple(arity)) || !reserve(e, 1 + arity * width))
        return false;
    put_byte(e, XE_TERM_BODY_FLAT | arity << 3 | (width - 1));
    put_vector(e, words, arity - 1, width);
    return true;
}

/* The elements of an object but its key that have been read, before what has not. */
struct front {
    unsigned n;
    const uint8_t *next; /* the first one that has not been read and stands before the key,
                          * if there is one */
    const uint8_t *behind_key;
    uint64_t words[XE_TERM_FLAT_ARITY_MAX];
};

static bool put_nodes_body(struct walk *k, const struct front *f, uint64_t arity, uint64_t keypos)
{
    struct xe_encoder *e = k->e;
    size_t mark = 0;
    uint64_t words = e->words, rest = arity - 1 - f->n;
    if (!xe_term_begin_body(e, arity, false, &mark) || !charge(e, xe_cost_tuple(arity)) ||
        !put_words(e, f->words, f->n))
        return false;
    if (f->n < keypos - 1) {
        k->p = f->next;
        if (!etf_emit_terms(k, keypos - 1 - f->n))
            return false;
        k->p = f->behind_key;
        rest = arity - keypos;
    }
    return etf_emit_terms(k, rest) && xe_term_end_body(e, mark, e->words - words);
}

static inline enum kind read_front(struct walk *k, struct front *f, uint64_t n)
{
    enum kind kind = IMMEDIATE;
    while (f->n < n && (kind = read_immediate(k, &f->words[f->n])) == IMMEDIATE)
        f->n++;
    return kind;
}

/* Key and body of the object with the elements that are at the cursor. */
static inline bool put_object(struct walk *k, uint64_t arity, uint64_t keypos)
{
    const unsigned max = XE_TERM_FLAT_ARITY_MAX;
    struct front f;
    f.n = 0;
    if (read_front(k, &f, keypos - 1 < max ? keypos - 1 : max) == ODD)
        return false;
    f.next = k->p;
    if (!skip_terms(k, keypos - 1 - f.n) || !put_key(k))
        return false;
    f.behind_key = k->p;
    k->e->body_at = k->e->len;
    if (f.n == keypos - 1 && arity <= max) {
        if (read_front(k, &f, arity - 1) == ODD)
            return false;
        if (f.n == arity - 1)
            return put_flat(k->e, f.words, (unsigned)arity);
    }
    return put_nodes_body(k, &f, arity, keypos);
}

static bool finish_object(struct walk *k)
{
    struct xe_encoder *e = k->e;
    bool done;
    if (e->identify) {
        if (e->flags & XE_REC_LOOSE)
            return false;
        e->identity = XXH3_64bits_withSeed(e->bytes, e->len, e->identity);
    }
    return !e->compress || xe_term_compress(e, &done);
}

static bool read_in_place(struct walk *k, uint64_t keypos)
{
    size_t head = room(k) && *k->p == ETF_TUPLE ? 5 : 2;
    if (room(k) < head || (*k->p != ETF_TUPLE_SMALL && *k->p != ETF_TUPLE))
        return false;
    uint64_t arity = head == 2 ? k->p[1] : etf_load32(k->p + 1);
    if (arity < keypos || arity > room(k) - head || arity > TUPLE_MAX)
        return false;
    k->p += head;
    return put_object(k, arity, keypos) && finish_object(k);
}

/* The encoder as it was given. */
static void encoder_reset(struct xe_encoder *e, uint64_t budget)
{
    bool identify = e->identify, compress = e->compress, ordered = e->ordered, brief = e->brief;
    e->budget = budget;
    xe_encoder_clear(e);
    e->identify = identify;
    e->compress = compress;
    e->ordered = ordered;
    e->brief = brief;
}

/* The term at the beginning of the bytes, by enif_binary_to_term. */
static enum xe_etf_status make_whole(struct xe_etf_reader *r, const struct xe_encoder *e,
                                     const uint8_t *bytes, size_t size, ERL_NIF_TERM *out,
                                     size_t *used)
{
    *used = xe_etf_size(bytes, size);
    if (!*used)
        return XE_ETF_BAD;
    if (*used / BYTES_PER_WORD > e->budget)
        return XE_ETF_BUDGET;
    return etf_make_term(r, e->env, bytes, *used, out);
}

static __attribute__((noinline)) enum xe_etf_status read_whole(struct xe_etf_reader *r,
                                                               struct xe_encoder *e,
                                                               const uint8_t *bytes, size_t size,
                                                               int keypos, size_t *used)
{
    ERL_NIF_TERM t;
    const ERL_NIF_TERM *elements;
    int arity;
    enum xe_etf_status status = make_whole(r, e, bytes, size, &t, used);
    if (status != XE_ETF_OK)
        return status;
    if (!enif_get_tuple(e->env, t, &arity, &elements) || arity < keypos)
        return XE_ETF_NO_OBJECT;
    return (enum xe_etf_status)xe_term_encode_object(e, elements, arity, keypos);
}

enum xe_etf_status xe_etf_read_object(struct xe_etf_reader *r, struct xe_encoder *e,
                                      const uint8_t *bytes, size_t size, int keypos, size_t *used)
{
    struct walk k;
    uint64_t budget = e->budget;
    walk_init(&k, r, e, bytes, size);
    bool ok = read_in_place(&k, (uint64_t)keypos);
    walk_clear(&k);
    *used = (size_t)(k.p - bytes);
    if (XE_LIKELY(ok))
        return XE_ETF_OK;
    if (e->status != XE_TERM_OK)
        return (enum xe_etf_status)e->status;
    encoder_reset(e, budget);
    return read_whole(r, e, bytes, size, keypos, used);
}

static bool read_key_in_place(struct walk *k)
{
    ERL_NIF_TERM key;
    if (!k->e->ordered)
        return put_key(k);
    return put_order_binary(k) || (k->e->status == XE_TERM_OK && make_key(k, &key) &&
                                   xe_key_encode(k->e, key) == XE_TERM_OK);
}

enum xe_etf_status xe_etf_read_key(struct xe_etf_reader *r, struct xe_encoder *e,
                                   const uint8_t *bytes, size_t size, size_t *used)
{
    struct walk k;
    ERL_NIF_TERM t;
    uint64_t budget = e->budget;
    walk_init(&k, r, e, bytes, size);
    bool ok = read_key_in_place(&k);
    walk_clear(&k);
    *used = (size_t)(k.p - bytes);
    if (XE_LIKELY(ok))
        return XE_ETF_OK;
    if (e->status != XE_TERM_OK)
        return (enum xe_etf_status)e->status;
    encoder_reset(e, budget);
    enum xe_etf_status status = make_whole(r, e, bytes, size, &t, used);
    if (status != XE_ETF_OK)
        return status;
    return (enum xe_etf_status)(e->ordered ? xe_key_encode(e, t) : xe_term_encode_key(e, t));
}

/* Readers. */

struct xe_etf_reader *xe_etf_reader_new(bool safe)
{
    struct xe_etf_reader *r = enif_alloc(sizeof *r);
    if (r) {
        memset(r, 0, sizeof *r);
        r->safe = safe;
    }
    return r;
}

void xe_etf_reader_free(struct xe_etf_reader *r)
{
    if (!r)
        return;
    if (r->scratch)
        enif_free(r->scratch);
    if (r->words)
        enif_free(r->words);
    enif_free(r);
}
