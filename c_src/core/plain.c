/*
 * plain.c - the common writes without detours.
 *
 * Most writes put a plain record (no handles, no blob) in the place of another one, and the
 * image has room for it. Then a write is: the gate, the segment's lock, find, copy, one
 * store, retire, unlock. Everything else goes the way of table.c.
 */
#include "find.h"
#include "order_internal.h"
#include "table_internal.h"

/* Stores the low n bytes (1 to 8) of a word, and not a byte more. */
static inline void store_word(uint8_t *to, uint64_t word, uint32_t n)
{
    uint64_t high;
    if (n >= 4) {
        high = word >> (8 * (n - 4));
        memcpy(to, &word, 4);
        memcpy(to + n - 4, &high, 4);
    } else if (n >= 2) {
        high = word >> (8 * (n - 2));
        memcpy(to, &word, 2);
        memcpy(to + n - 2, &high, 2);
    } else {
        *to = (uint8_t)word;
    }
}

/* The gate, and the locked segment of a key. */
static inline enum xe_status lock_segment(struct xe_table *t, struct xe_epoch_slot *slot,
                                          const struct xe_key *key, struct xe_segment **s)
{
    uint64_t hash = key->hash;
    enum xe_status status = xe_table_write_begin(t, slot);
    if (XE_UNLIKELY(status != XE_OK))
        return status;
    if (t->kind == XE_ORDERED) {
        *s = xe_order_acquire(t, key);
        return *s ? XE_OK : XE_RETRY;
    }
    *s = xe_directory_find(t, hash);
    /* Lines that another core may have written: all at once, and before the lock, which holds
     * up what comes behind it. */
    const struct xe_image *img = xe_segment_image(*s);
    xe_prefetch_write(&(*s)->lock);
    xe_prefetch_write(&img->top);
    xe_prefetch_write(xe_image_home(img, hash));
    if (XE_LIKELY(xe_lock_try(&(*s)->lock))) {
        if (XE_LIKELY((*s)->state == SEGMENT_LIVE)) {
            xe_heat_cool(&(*s)->heat);
            return XE_OK;
        }
        xe_lock_release(&(*s)->lock);
    }
    *s = xe_segment_acquire(t, hash);
    return *s ? XE_OK : XE_RETRY;
}

static inline bool find_place(const struct xe_table *t, const struct xe_image *img,
                              const struct xe_key *key, struct xe_place *place)
{
    return XE_UNLIKELY(t->kind == XE_ORDERED) ? xe_leaves_find(img, key, place)
                                              : xe_find(img, key, place);
}

/* Publishes the plain record at `off` in the place of another plain one, and unlocks. */
static inline void publish(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                           struct xe_image *img, struct xe_place *place, uint32_t off,
                           uint32_t units)
{
    uint32_t old = place->off, old_units = xe_record_units(xe_load32(xe_image_record(img, old)));
    xe_log_publish(t, slot);
    xe_segment_writes(s);
    if (t->kind == XE_ORDERED)
        xe_leaves_replace(img, place, off);
    else
        xe_image_replace(place, off);
    img->live += units;
    xe_image_retire_plain(img, old, old_units);
    if (XE_LIKELY(xe_segment_is_settled(s, img) && !xe_image_is_sparse(img)))
        xe_lock_release(&s->lock);
    else
        xe_table_finish(t, slot, s, true);
}

/* Puts a plain record in the place of another one, and unlocks. False: nothing has changed, they are
 * not both plain, or there is no room. `bytes`: what follows the header. */
static inline bool overwrite(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                             struct xe_place *place, uint32_t header, const uint8_t *bytes)
{
    struct xe_image *img = xe_segment_image(s);
    if (XE_UNLIKELY(xe_image_is_shared(img)) ||
        XE_UNLIKELY(xe_load32(xe_image_record(img, place->off)) & XE_REC_SPECIAL))
        return false;
    uint32_t units = xe_record_units(header), off = xe_image_alloc(img, units);
    if (XE_UNLIKELY(!off))
        return false;
    uint8_t *rec = xe_image_record(img, off);
    memcpy(rec, &header, XE_HDR_BYTES);
    xe_record_copy(rec + XE_HDR_BYTES, bytes, units - 1);
    publish(t, slot, s, img, place, off, units);
    return true;
}

/* The object of a plain record. */
static struct xe_object plain_object(const struct xe_key *key, const uint8_t *rec, size_t len)
{
    return (struct xe_object){.bytes = rec + XE_HDR_BYTES, .klen = key->klen,
                              .len = len - XE_HDR_BYTES,
                              .flags = xe_load32(rec) & XE_REC_GIVEN};
}

/* Where a put goes on if it was not done on the short way: the segment, locked. */
struct begun {
    struct xe_segment *s;
    struct xe_place place;
    bool found;
};

/* Does a put over a plain record. XE_ABSENT: that is not possible. `bytes`: what follows the header
 * of the new record; NULL: it is not plain. */
static inline enum xe_status put_over(struct xe_table *t, struct xe_epoch_slot *slot,
                                      const struct xe_key *key, uint32_t header,
                                      const uint8_t *bytes, enum xe_put mode, struct begun *b)
{
    enum xe_status status = lock_segment(t, slot, key, &b->s);
    if (XE_UNLIKELY(status != XE_OK))
        return status;
    struct xe_image *img = xe_segment_image(b->s);
    xe_image_prefetch_room(img);
    b->found = find_place(t, img, key, &b->place);
    if (XE_LIKELY(b->found && mode == XE_PUT && bytes) &&
        XE_LIKELY(overwrite(t, slot, b->s, &b->place, header, bytes)))
        return XE_OK;
    if (b->found && mode == XE_PUT_NEW) {
        xe_table_finish(t, slot, b->s, false);
        return XE_EXISTS;
    }
    return XE_ABSENT;
}

/* What put_over() has not done. */
static enum xe_status put_on(struct xe_table *t, struct xe_epoch_slot *slot, struct begun *b,
                             const struct xe_prepared *p)
{
    return xe_table_store(t, slot, b->s, p,
                          b->found || t->kind == XE_ORDERED ? &b->place : NULL);
}

enum xe_status xe_table_put_plain(struct xe_table *t, struct xe_epoch_slot *slot,
                                  const struct xe_key *key, const uint8_t *rec, size_t len,
                                  enum xe_put mode)
{
    struct begun b;
    uint32_t header = xe_load32(rec);
    if (XE_LIKELY(t->log == NULL)) {
        enum xe_status status = put_over(t, slot, key, header, rec + XE_HDR_BYTES, mode, &b);
        if (XE_LIKELY(status != XE_ABSENT))
            return status;
    }
    struct xe_object o = plain_object(key, rec, len);
    struct xe_prepared p = {.key = *key, .object = &o, .units = xe_record_units(header)};
    return t->log ? xe_table_put(t, slot, &p, mode) : put_on(t, slot, &b, &p);
}

enum xe_status xe_table_put_prepared(struct xe_table *t, struct xe_epoch_slot *slot,
                                     const struct xe_prepared *p, enum xe_put mode)
{
    struct begun b;
    bool plain = !p->blob && !p->object->n_handles;
    enum xe_status status = put_over(t, slot, &p->key, xe_record_header(p),
                                     plain ? p->object->bytes : NULL, mode, &b);
    return status == XE_ABSENT ? put_on(t, slot, &b, p) : status;
}

enum xe_status xe_table_patch(struct xe_table *t, struct xe_epoch_slot *slot,
                              const struct xe_key *key, xe_patch_fn patch, void *arg)
{
    struct xe_segment *s;
    struct xe_place place;
    struct xe_view view;
    struct xe_patch what;
    if (XE_UNLIKELY(t->log != NULL))
        return XE_LIMIT;
    enum xe_status status = lock_segment(t, slot, key, &s);
    if (XE_UNLIKELY(status != XE_OK))
        return status;
    struct xe_image *img = xe_segment_image(s);
    status = XE_ABSENT;
    xe_image_prefetch_room(img);
    if (XE_LIKELY(find_place(t, img, key, &place))) {
        const uint8_t *rec = xe_image_record(img, place.off);
        uint32_t units = xe_record_units(xe_load32(rec));
        status = XE_LIMIT;
        if (XE_LIKELY(!xe_image_is_shared(img) && xe_record_view_plain(rec, &view) &&
                      patch(arg, &view, &what))) {
            uint32_t off = xe_image_alloc(img, units);
            if (XE_LIKELY(off != 0)) {
                uint8_t *to = xe_image_record(img, off);
                xe_record_copy(to, rec, units);
                store_word(to + (what.at - rec), what.word, what.width);
                publish(t, slot, s, img, &place, off, units);
                return XE_OK;
            }
        }
    }
    xe_table_finish(t, slot, s, false);
    return status;
}
