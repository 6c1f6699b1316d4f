/*
 * record.c - records and blobs: see record.h for their layout.
 */
#include "record.h"

#include "shared.h"

enum { DIGEST_BYTES = 24 };

static uint32_t units_of(size_t bytes)
{
    return (uint32_t)((bytes + XE_RECORD_ALIGN - 1) / XE_RECORD_ALIGN);
}

/* What the handles of a record cost beside its bytes: what they pin, and about
 * 64 bytes of environment each. In units of 256 bytes. */
static uint32_t pinned_units(const struct xe_object *o)
{
    uint64_t units = (o->pinned + 64ull * o->n_handles + 255) / 256;
    return units < 0xffffff ? (uint32_t)units : 0xffffff;
}

void xe_key_digest(struct xe_key *key, uint64_t seed)
{
    XXH128_hash_t h = XXH3_128bits_withSeed(key->full, key->full_len, seed);
    uint64_t len = key->full_len;
    memcpy(key->digest, &len, 8);
    memcpy(key->digest + 8, &h.low64, 8);
    memcpy(key->digest + 16, &h.high64, 8);
    key->flags |= XE_REC_KEYBIG;
    key->bytes = key->digest;
    key->klen = DIGEST_BYTES;
}

static void blob_release(struct xe_blob *b)
{
    xe_core_account(-(int64_t)b->bytes);
    if (b->env)
        xe_cb.env_free(b->env);
    xe_cb.free(b);
}

static struct xe_blob *blob_new(const struct xe_object *o,
                                uint32_t flags)
{
    size_t handles_at = (o->len + XE_READ_SLACK + 7) & ~(size_t)7;
    size_t bytes = sizeof(struct xe_blob) + handles_at + 8 * (size_t)o->n_handles;
    struct xe_blob *b = xe_cb.alloc(bytes);
    if (!b)
        return NULL;
    b->env = NULL;
    if (o->n_handles && !(b->env = xe_cb.env_new())) {
        xe_cb.free(b);
        return NULL;
    }
    atomic_init(&b->refs, 1);
    atomic_init(&b->gone, false);
    b->flags = flags;
    b->bytes = bytes;
    b->klen = o->klen;
    b->len = o->len;
    b->n_handles = o->n_handles;
    b->n_key_handles = o->n_key_handles;
    memcpy(b->data, o->bytes, o->len);
    memset(b->data + o->len, 0, handles_at - o->len);
    b->handles = (uint64_t *)(void *)(b->data + handles_at);
    for (uint32_t i = 0; i < o->n_handles; i++)
        b->handles[i] = xe_cb.ext_move(b->env, o->handles[i]);
    xe_core_account((int64_t)bytes);
    return b;
}

void xe_blob_pin(struct xe_blob *b)
{
    /* Relaxed: the section that found the blob keeps the count above zero. */
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
}

void xe_blob_unpin(struct xe_blob *b)
{
    /* acq_rel: the last one to leave frees after everybody's reads. */
    if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        blob_release(b);
}

void xe_blob_set_gone(struct xe_blob *b)
{
    /* Relaxed: for sums. */
    atomic_store_explicit(&b->gone, true, memory_order_relaxed);
}

static void unpin_retired(struct xe_retired *r)
{
    xe_blob_unpin((struct xe_blob *)((uintptr_t)r - offsetof(struct xe_blob, retired)));
}

void xe_blob_retire(struct xe_epoch_slot *slot, struct xe_blob *b)
{
    xe_blob_set_gone(b);
    b->retired.free = unpin_retired;
    b->retired.bytes = b->bytes;
    xe_epoch_retire(slot, &b->retired);
}

enum xe_status xe_record_prepare(uint64_t seed, const struct xe_object *o, struct xe_prepared *p)
{
    xe_key_init(&p->key, seed, o->bytes, o->klen, o->handles, o->n_key_handles);
    return xe_record_prepare_keyed(o, p);
}

enum xe_status xe_record_prepare_keyed(const struct xe_object *o, struct xe_prepared *p)
{
    if (XE_LIKELY(xe_record_fits_inline(o))) {
        xe_record_prepare_inline(o, p);
        return XE_OK;
    }
    p->object = o;
    p->blob = blob_new(o, (o->flags & XE_REC_GIVEN) | p->key.flags);
    if (!p->blob)
        return XE_NOMEM;
    p->in_bag = false;
    p->units = units_of(XE_HDR_BYTES + p->key.klen + sizeof p->blob);
    return XE_OK;
}

void xe_record_unprepare(struct xe_prepared *p)
{
    if (p->blob)
        xe_blob_unpin(p->blob);
    p->blob = NULL;
}

void xe_record_write(uint8_t *at, const struct xe_prepared *p,
                     void *env)
{
    const struct xe_object *o = p->object;
    uint32_t header = xe_record_header(p);
    size_t bytes = (size_t)p->units * XE_RECORD_ALIGN;
    if (p->in_bag) {
        header |= XE_REC_BAG;
        bytes -= sizeof p->tail;
        memcpy(at + bytes, &p->tail, sizeof p->tail);
    }
    if (p->blob) {
        header |= XE_REC_BLOB;
        memcpy(at, &header, sizeof header);
        memcpy(at + XE_HDR_BYTES, p->key.bytes, p->key.klen);
        memcpy(at + XE_HDR_BYTES + p->key.klen, &p->blob, sizeof p->blob);
        return;
    }
    if (o->n_handles)
        header |= XE_REC_EXT;
    memcpy(at, &header, sizeof header);
    memcpy(at + XE_HDR_BYTES, o->bytes, o->len);
    if (!o->n_handles)
        return;
    struct xe_ext x = {.n = o->n_handles, .n_key = o->n_key_handles & 0xff,
                       .pinned = pinned_units(o) & 0xffffff};
    uint8_t *end = at + bytes;
    memcpy(end - sizeof x, &x, sizeof x);
    uint8_t *h = end - sizeof x - 8 * (size_t)o->n_handles;
    for (uint32_t i = 0; i < o->n_handles; i++, h += 8) {
        uint64_t moved = xe_cb.ext_move(env, o->handles[i]);
        memcpy(h, &moved, sizeof moved);
    }
}

static void blob_view(struct xe_blob *b, struct xe_view *out)
{
    out->key = b->data;
    out->klen = b->klen;
    out->body = b->data + b->klen;
    out->blen = b->len - b->klen;
    out->handles = (const uint8_t *)b->handles;
    out->n_handles = b->n_handles;
    out->n_key_handles = b->n_key_handles;
    out->flags = b->flags;
    out->blob = b;
}

void xe_record_view(const uint8_t *rec, struct xe_view *out)
{
    if (XE_LIKELY(xe_record_view_plain(rec, out)))
        return;
    uint32_t header = xe_load32(rec);
    if (header & XE_REC_BLOB) {
        blob_view(xe_record_blob(rec, header), out);
        return;
    }
    struct xe_ext x = xe_record_ext(rec, header);
    size_t bytes = xe_record_handles(&x, header);
    out->key = rec + XE_HDR_BYTES;
    out->klen = xe_record_klen(header);
    out->body = out->key + out->klen;
    out->blen = bytes - XE_HDR_BYTES - out->klen;
    out->handles = rec + bytes;
    out->n_handles = x.n;
    out->n_key_handles = x.n_key;
    out->flags = header;
    out->blob = NULL;
}

void xe_object_view(const struct xe_object *o, struct xe_view *out)
{
    out->key = o->bytes;
    out->klen = o->klen;
    out->body = o->bytes + o->klen;
    out->blen = o->len - o->klen;
    out->handles = (const uint8_t *)o->handles;
    out->n_handles = o->n_handles;
    out->n_key_handles = o->n_key_handles;
    out->flags = o->flags | (o->n_key_handles ? XE_REC_KEYEXT : 0);
    out->blob = NULL;
}

static bool handles_equal(const uint8_t *a, const uint64_t *b,
                          uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!xe_cb.ext_equal(xe_load64(a + 8 * (size_t)i), b[i]))
            return false;
    return true;
}

bool xe_record_equal(const struct xe_view *stored,
                     const struct xe_object *given)
{
    /* An inline view counts up to 3 bytes of padding into its body; body
     * bytes are self-delimiting, so equal prefixes are equal bodies. */
    size_t blen = given->len - given->klen;
    bool bytes = stored->klen == given->klen && stored->blen >= blen &&
                 stored->blen < blen + XE_RECORD_ALIGN && stored->n_handles == given->n_handles &&
                 memcmp(stored->key, given->bytes, given->klen) == 0 &&
                 memcmp(stored->body, given->bytes + given->klen, blen) == 0;
    if (bytes && handles_equal(stored->handles, given->handles, given->n_handles))
        return true;
    if (!((stored->flags | given->flags) & XE_REC_LOOSE))
        return false;
    struct xe_view v;
    xe_object_view(given, &v);
    return xe_cb.object_equal(stored, &v);
}

bool xe_record_key_equal_slow(const uint8_t *rec,
                              const struct xe_key *key)
{
    uint32_t header = xe_load32(rec);
    if ((header & XE_HDR_SLOW_KEY) != (key->flags & XE_HDR_SLOW_KEY))
        return false;
    struct xe_view v;
    xe_record_view(rec, &v);
    if (header & XE_REC_KEYBIG &&
        (v.klen != key->full_len || memcmp(v.key, key->full, v.klen) != 0))
        return false;
    return v.n_key_handles == key->n_handles &&
           handles_equal(v.handles, key->handles, key->n_handles);
}
