/*
 * term_object.c - the body of an object, and what is made of the object as a whole: its
 * identity, and its compressed form.
 *
 * Both need the body in a form of their own, so an encoder can go back to the end of
 * the key and write the body once more.
 */
#include "key.h"
#include "term_internal.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

bool xe_term_begin_body(struct xe_encoder *e, uint64_t arity, bool has_key, size_t *mark)
{
    if (!reserve(e, 2 + XE_TERM_VARINT_MAX))
        return false;
    bool is_short = arity <= XE_TERM_FLAT_ARITY_MAX;
    put_byte(e, (has_key ? XE_TERM_BODY_KEY : 0) | (is_short ? arity << 3 : 0));
    if (!is_short)
        put_varint(e, arity);
    *mark = e->len;
    put_byte(e, 0);
    return true;
}

/* Only now the number of words is known: if it takes more than a byte, what is behind it moves. */
bool xe_term_end_body(struct xe_encoder *e, size_t mark, uint64_t words)
{
    size_t more = xe_varint_size(words) - 1, end = e->len + more;
    if (XE_UNLIKELY(more > 0)) {
        if (!reserve(e, more))
            return false;
        memmove(e->bytes + mark + 1 + more, e->bytes + mark + 1, e->len - mark - 1);
    }
    e->len = mark;
    put_varint(e, words);
    e->len = end;
    return true;
}

static bool encode_nodes_body(struct xe_encoder *e, const ERL_NIF_TERM *elements, size_t arity,
                              size_t keypos)
{
    size_t mark = 0;
    uint64_t words = e->words;
    /* A -0.0 of the exact key sets XE_REC_LOOSE as one in a value does. */
    return xe_term_begin_body(e, arity, e->neg_zero, &mark) && charge(e, xe_cost_tuple(arity)) &&
           (!e->neg_zero || xe_term_encode_nodes(e, elements + keypos - 1, 1)) &&
           xe_term_encode_nodes(e, elements, keypos - 1) &&
           xe_term_encode_nodes(e, elements + keypos, arity - keypos) &&
           xe_term_end_body(e, mark, e->words - words);
}

bool xe_term_encode_body(struct xe_encoder *e, const ERL_NIF_TERM *elements, size_t arity,
                         size_t keypos)
{
    uint64_t any = 0, all = 3;
    if (XE_UNLIKELY(arity > XE_TERM_FLAT_ARITY_MAX || e->neg_zero))
        return encode_nodes_body(e, elements, arity, keypos);
    for (size_t i = 0; i < arity; i++) {
        ERL_NIF_TERM t = i + 1 == keypos ? 3 : elements[i];
        any |= t;
        all &= t;
    }
    if (all != 3)
        return encode_nodes_body(e, elements, arity, keypos);
    unsigned width = xe_term_width(any);
    if (!charge(e, xe_cost_tuple(arity)) || !reserve(e, 1 + arity * width))
        return false;
    put_byte(e, XE_TERM_BODY_FLAT | arity << 3 | (width - 1));
    put_vector(e, elements, keypos - 1, width);
    put_vector(e, elements + keypos, arity - keypos, width);
    return true;
}

/* An encoder with a key and no body, to come back to. */
struct mark {
    uint64_t words, pinned;
    uint32_t n_handles, flags;
};

static struct mark mark_key(const struct xe_encoder *e)
{
    return (struct mark){e->words, e->pinned, e->n_handles, e->flags};
}

static void rewind_to_key(struct xe_encoder *e, const struct mark *key)
{
    e->len = e->body_at;
    e->words = key->words;
    e->pinned = key->pinned;
    e->n_handles = key->n_handles;
    e->flags = key->flags;
    e->inline_left = e->compress ? XE_TERM_INLINE_MAX : 0;
    e->identity = 0;
}

static uint64_t hash_object(const struct xe_encoder *e)
{
    return XXH3_64bits_withSeed(e->bytes, e->len, e->identity);
}

/* The identity of the object that is encoded. One with a -0.0 that equals 0.0 is hashed in the
 * form of the object without it, then encoded again. */
static bool identify_object(struct xe_encoder *e, const struct mark *key,
                            const ERL_NIF_TERM *elements, size_t arity, size_t keypos)
{
    bool ok = true, neg_zero = e->neg_zero;
    uint64_t identity = 0;
    if (XE_LIKELY(!(e->flags & XE_REC_LOOSE))) {
        identity = hash_object(e);
    } else {
        rewind_to_key(e, key);
        e->mask_zeros = true;
        e->neg_zero = false;
        ok = xe_term_encode_body(e, elements, arity, keypos);
        identity = ok ? hash_object(e) : 0;
        e->mask_zeros = false;
        e->neg_zero = neg_zero;
        rewind_to_key(e, key);
        ok = ok && xe_term_encode_body(e, elements, arity, keypos);
    }
    e->identity = identity;
    return ok;
}

/* The body as an uncompressed table would store it, if compressing one that has its larger
 * binaries by content does not pay; then what is left may still be worth compressing. */
static bool compress_body(struct xe_encoder *e, const struct mark *key,
                          const ERL_NIF_TERM *elements, size_t arity, size_t keypos)
{
    bool done, identify = e->identify, shared = e->inline_left == XE_TERM_INLINE_MAX;
    uint64_t identity = e->identity;
    if (!xe_term_compress(e, &done))
        return false;
    if (done || shared)
        return true;
    rewind_to_key(e, key);
    e->inline_left = 0;
    e->identify = false;
    bool ok = xe_term_encode_body(e, elements, arity, keypos) && xe_term_compress(e, &done);
    e->identify = identify;
    e->identity = identity;
    return ok;
}

static __attribute__((noinline)) bool encode_body_specially(struct xe_encoder *e,
                                                            const ERL_NIF_TERM *elements,
                                                            size_t arity, size_t keypos)
{
    struct mark key = mark_key(e);
    e->body_at = e->len;
    e->inline_left = e->compress ? XE_TERM_INLINE_MAX : 0;
    return xe_term_encode_body(e, elements, arity, keypos) &&
           (!e->identify || identify_object(e, &key, elements, arity, keypos)) &&
           (!e->compress || compress_body(e, &key, elements, arity, keypos));
}

/* What restores the key gets its size in front. */
static bool end_ordered_key(struct xe_encoder *e)
{
    size_t size = e->len - e->klen, at = e->klen;
    if (size == 0)
        return true;
    size_t head = xe_varint_size(size);
    if (!reserve(e, head))
        return false;
    memmove(e->bytes + at + head, e->bytes + at, size);
    e->len = at;
    put_varint(e, size);
    e->len = at + head + size;
    e->flags |= XE_REC_RESTORE;
    return true;
}

inline bool xe_term_put_key(struct xe_encoder *e, ERL_NIF_TERM key)
{
    if (XE_UNLIKELY(e->ordered))
        return xe_key_encode_to_store(e, key) == XE_TERM_OK && end_ordered_key(e);
    return xe_term_encode_key(e, key) == XE_TERM_OK;
}

enum xe_term_status xe_term_encode_object(struct xe_encoder *e, const ERL_NIF_TERM *elements,
                                          int arity, int keypos)
{
    XE_ASSERT(1 <= keypos && keypos <= arity);
    e->keeps = true;
    if (xe_term_put_key(e, elements[keypos - 1])) {
        if (XE_UNLIKELY(e->identify | e->compress))
            encode_body_specially(e, elements, (size_t)arity, (size_t)keypos);
        else
            xe_term_encode_body(e, elements, (size_t)arity, (size_t)keypos);
    }
    return e->status;
}

void xe_term_object(const struct xe_encoder *e, struct xe_object *out)
{
    out->bytes = e->bytes;
    out->klen = e->klen;
    out->len = e->len;
    out->handles = e->handles;
    out->n_handles = e->n_handles;
    out->n_key_handles = e->n_key_handles;
    out->pinned = e->pinned;
    out->identity = e->identity;
    out->flags = e->flags;
}
