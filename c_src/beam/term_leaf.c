/*
 * term_leaf.c - the nodes of terms that have no elements (term_leaf.h), and what an encoder has
 * room in.
 */
#include "term_leaf.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    SLICE_FRACTION = 4, /* of its parent; a smaller slice is copied */
    SLICE_WORK = 64,    /* bytes that are copied in the time that a word takes */
    /* Tags of the external term format. */
    EXT_BITS = 77,
    EXT_SMALL_BIG = 110,
    EXT_LARGE_BIG = 111,
};

/* The encoder. */

bool xe_encoder_grow(struct xe_encoder *e, size_t n)
{
    uint8_t *bytes =
        xe_term_grow(e->bytes, e->small, e->len, e->len + n, 1, XE_READ_SLACK, &e->cap);
    if (!bytes)
        return fail(e, XE_TERM_NOMEM);
    e->bytes = bytes;
    return true;
}

bool xe_encoder_add_handle(struct xe_encoder *e, ERL_NIF_TERM t, uint64_t pinned)
{
    if (XE_UNLIKELY(e->n_handles == e->cap_handles)) {
        size_t cap = e->cap_handles;
        uint64_t *handles = xe_term_grow(e->handles, e->small_handles, e->n_handles, cap + 1,
                                         sizeof *handles, 0, &cap);
        if (!handles)
            return fail(e, XE_TERM_NOMEM);
        e->handles = handles;
        e->cap_handles = (uint32_t)cap;
    }
    e->handles[e->n_handles++] = t;
    e->pinned += pinned;
    return true;
}

bool xe_encoder_externalize(struct xe_encoder *e, ERL_NIF_TERM t, ErlNifBinary *ext)
{
    if (e->brief)
        return fail(e, XE_TERM_BUDGET);
    return enif_term_to_binary(e->env, t, ext) || fail(e, XE_TERM_NOMEM);
}

void xe_encoder_clear(struct xe_encoder *e)
{
    if (e->bytes != e->small)
        enif_free(e->bytes);
    if (e->handles != e->small_handles)
        enif_free(e->handles);
    xe_encoder_init(e, e->env, e->budget);
}

/* Handles. */

static void identify(struct xe_encoder *e, uint64_t hash)
{
    e->identity = XXH3_64bits_withSeed(&hash, sizeof hash, e->identity);
}

/* The node; what the term is known by to `identity` has been seen to. */
bool xe_leaf_put_ext(struct xe_encoder *e, ERL_NIF_TERM t, uint64_t pinned)
{
    if (!charge(e, XE_COST_EXT) || !reserve(e, 1 + XE_TERM_HASH_BYTES))
        return false;
    put_tag(e, XE_NODE_EXT, 0);
    if (e->in_key)
        put_packed(e, enif_hash(ERL_NIF_INTERNAL_HASH, t, 0), XE_TERM_HASH_BYTES);
    return xe_encoder_add_handle(e, t, pinned);
}

bool xe_leaf_ext(struct xe_encoder *e, ERL_NIF_TERM t, uint64_t pinned)
{
    if (XE_UNLIKELY(e->identify) && !e->in_key)
        identify(e, enif_hash(ERL_NIF_INTERNAL_HASH, t, 0));
    return xe_leaf_put_ext(e, t, pinned);
}

/* A large binary or bit string in a value, which is known by its size and both its ends. The
 * last byte of a bit string, of which `bits` count, is looked at by itself. */
static bool emit_shared(struct xe_encoder *e, ERL_NIF_TERM t, const uint8_t *bytes, size_t size,
                        unsigned bits)
{
    if (XE_UNLIKELY(e->identify)) {
        uint64_t last = bits ? (uint64_t)(bytes[size - 1] & 0xff00 >> bits) << 8 | bits : 0;
        size_t whole = size - (bits != 0);
        size_t sample = whole < XE_TERM_SAMPLE_BYTES ? whole : XE_TERM_SAMPLE_BYTES;
        if (!charge_work(e, sample / 4))
            return false;
        identify(e, size << 16 | last);
        if (whole <= 2 * XE_TERM_SAMPLE_BYTES) {
            identify(e, XXH3_64bits(bytes, whole));
        } else {
            identify(e, XXH3_64bits(bytes, sample));
            identify(e, XXH3_64bits(bytes + whole - sample, sample));
        }
    }
    return xe_leaf_put_ext(e, t, size);
}

static bool emit_key_digest(struct xe_encoder *e, ERL_NIF_TERM t, const ErlNifBinary *bin)
{
    if (!charge_work(e, bin->size / 8) || !charge(e, XE_COST_EXT) ||
        !put_header(e, XE_NODE_EXTBIN, 0, bin->size, XE_TERM_DIGEST_BYTES))
        return false;
    XXH128_hash_t h = XXH3_128bits(bin->data, bin->size);
    put_packed(e, h.low64, 8);
    put_packed(e, h.high64, 8);
    return xe_encoder_add_handle(e, t, bin->size);
}

/* What is kept of a large binary: of a small slice a copy, which does not keep alive the rest of
 * what it was cut from. False: error. */
static bool choose_kept(struct xe_encoder *e, ERL_NIF_TERM *t, const ErlNifBinary *bin)
{
    if (!e->keeps || !xe_native_has(XE_NATIVE_SLICE) ||
        bin->size >= xe_native_parent_size(*t) / SLICE_FRACTION)
        return true;
    if (!charge_work(e, bin->size / SLICE_WORK))
        return false;
    uint8_t *bytes = enif_make_new_binary(e->env, bin->size, t);
    if (!bytes)
        return fail(e, XE_TERM_NOMEM);
    memcpy(bytes, bin->data, bin->size);
    return true;
}

bool xe_leaf_large_binary(struct xe_encoder *e, ERL_NIF_TERM t, const ErlNifBinary *bin)
{
    if (e->in_key)
        return choose_kept(e, &t, bin) && emit_key_digest(e, t, bin);
    if (XE_LIKELY(bin->size > e->inline_left))
        return choose_kept(e, &t, bin) && emit_shared(e, t, bin->data, bin->size, 0);
    e->inline_left -= bin->size;
    return charge_work(e, bin->size / XE_TERM_COMPRESS_WORK) && xe_leaf_put_binary(e, bin);
}

/* Bit strings and numbers. */

static uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

size_t xe_term_inspect_bits(const ErlNifBinary *ext, const uint8_t **bytes, unsigned *bits)
{
    XE_ASSERT(ext->size > 7 && ext->data[1] == EXT_BITS);
    *bits = ext->data[6];
    *bytes = ext->data + 7;
    return load_be32(ext->data + 2);
}

size_t xe_term_inspect_big(const ErlNifBinary *ext, const uint8_t **magnitude, bool *negative)
{
    XE_ASSERT(ext->data[1] == EXT_SMALL_BIG || ext->data[1] == EXT_LARGE_BIG);
    bool small = ext->data[1] == EXT_SMALL_BIG;
    *negative = ext->data[small ? 3 : 6];
    *magnitude = ext->data + (small ? 4 : 7);
    return small ? ext->data[2] : load_be32(ext->data + 2);
}

static bool put_bits(struct xe_encoder *e, const uint8_t *bytes, size_t size, unsigned bits)
{
    if (!charge(e, xe_cost_bits(size)) || !put_header(e, XE_NODE_BITS, bits, size, size))
        return false;
    put_bytes(e, bytes, size);
    e->bytes[e->len - 1] &= (uint8_t)(0xff00 >> bits);
    return true;
}

/* A bit string that is no binary. erl_nif shows its contents in external format only. */
bool xe_leaf_bits(struct xe_encoder *e, ERL_NIF_TERM t)
{
    ErlNifBinary ext;
    const uint8_t *bytes;
    unsigned bits;
    if (!xe_encoder_externalize(e, t, &ext))
        return false;
    size_t size = xe_term_inspect_bits(&ext, &bytes, &bits);
    bool ok;
    if (size <= (e->in_key ? XE_TERM_BIN_KEY_MAX : XE_TERM_BIN_VALUE_MAX))
        ok = put_bits(e, bytes, size, bits);
    else if (e->in_key)
        ok = xe_leaf_put_ext(e, t, size);
    else
        ok = emit_shared(e, t, bytes, size, bits);
    enif_release_binary(&ext);
    return ok;
}

static bool put_big(struct xe_encoder *e, bool negative, const uint8_t *magnitude, size_t size)
{
    XE_ASSERT(magnitude[size - 1] != 0); /* one form for each integer */
    if (!charge(e, xe_cost_big(size)) || !put_header(e, XE_NODE_BIG, negative, size, size))
        return false;
    put_bytes(e, magnitude, size);
    return true;
}

/* An integer that is no immediate. */
bool xe_leaf_big(struct xe_encoder *e, ERL_NIF_TERM t)
{
    ErlNifSInt64 i;
    ErlNifUInt64 u;
    ErlNifBinary ext;
    if (enif_get_int64(e->env, t, &i)) {
        u = i < 0 ? 0 - (ErlNifUInt64)i : (ErlNifUInt64)i;
        return put_big(e, i < 0, (const uint8_t *)&u, sizeof u);
    }
    if (enif_get_uint64(e->env, t, &u))
        return put_big(e, false, (const uint8_t *)&u, sizeof u);
    if (!xe_encoder_externalize(e, t, &ext))
        return false;
    const uint8_t *magnitude;
    bool negative;
    size_t size = xe_term_inspect_big(&ext, &magnitude, &negative);
    bool ok = put_big(e, negative, magnitude, size);
    enif_release_binary(&ext);
    return ok;
}

bool xe_leaf_float(struct xe_encoder *e, uint64_t bits)
{
    if (XE_UNLIKELY(bits == (uint64_t)1 << 63) && xe_term_traits.zeros_equal) {
        if (e->in_key || e->mask_zeros)
            bits = 0;
        if (e->in_key)
            e->neg_zero = true;
        else if (!e->mask_zeros)
            e->flags |= XE_REC_LOOSE;
    }
    if (!charge(e, XE_COST_FLOAT) || !reserve(e, 9))
        return false;
    put_tag(e, XE_NODE_FLOAT, 0);
    put_packed(e, bits, 8);
    return true;
}

/* Where they lie. */

bool xe_leaf_native_bits(struct xe_encoder *e, ERL_NIF_TERM t)
{
    struct xe_bits b;
    if (!xe_native_has(XE_NATIVE_BITS) || !xe_native_bits(&xe_native, t, &b) ||
        b.size > (e->in_key ? XE_TERM_BIN_KEY_MAX : XE_TERM_BIN_VALUE_MAX))
        return xe_leaf_bits(e, t);
    if (!charge(e, xe_cost_bits(b.size)) || !put_header(e, XE_NODE_BITS, b.bits, b.size, b.size))
        return false;
    xe_bits_copy(&b, e->bytes + e->len);
    e->len += b.size;
    return true;
}

bool xe_leaf_native_big(struct xe_encoder *e, const uint64_t *at)
{
    return put_big(e, (at[0] & XE_SUBTAG_MASK) == xe_native.negative, (const uint8_t *)(at + 1),
                   xe_native_big_size(at));
}

bool xe_leaf_native_ref(struct xe_encoder *e, const uint64_t *at)
{
    if (!charge(e, XE_COST_REF) || !reserve(e, 1 + 8 * XE_REF_WORDS))
        return false;
    put_tag(e, XE_NODE_REF, XE_REF_WORDS - 1);
    put_bytes(e, at + 1, 8 * XE_REF_WORDS);
    return true;
}

/* Where equal terms must have equal bytes, as the ordinary reference that it is equal to: as -0.0
 * is written as 0.0. */
bool xe_leaf_native_alias(struct xe_encoder *e, ERL_NIF_TERM t, const uint64_t *at)
{
    if (!e->in_key && !e->mask_zeros) {
        e->flags |= XE_REC_LOOSE;
        return xe_leaf_ext(e, t, 0);
    }
    if (e->in_key)
        e->neg_zero = true;
    return xe_leaf_native_ref(e, at);
}
