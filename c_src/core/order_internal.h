/*
 * order_internal.h - what the files of ordered tables share: order_directory.c,
 * order_image.c, order_table.c. Private to the core.
 */
#ifndef XE_ORDER_INTERNAL_H
#define XE_ORDER_INTERNAL_H

#include "order.h"
#include "table_internal.h"

/* --- Order -------------------------------------------------------------- */

/* A key as it is stored: its bytes, and of a cut key its handle. */
struct xe_order_key_at {
    const uint8_t *bytes;
    size_t len;
    uint64_t handle;
    bool has_handle;
};

/* The sign of a key against a stored one. Bytes without a handle stand for all keys with these
 * bytes: 0. */
static inline int xe_order_compare(const struct xe_key *key, const struct xe_order_key_at *at)
{
    size_t n = key->full_len < at->len ? key->full_len : at->len;
    int c = memcmp(key->full, at->bytes, n);
    if (XE_LIKELY(c))
        return c;
    if (key->full_len != at->len)
        return key->full_len < at->len ? -1 : 1;
    return XE_UNLIKELY(key->n_handles && at->has_handle)
               ? xe_cb.ext_compare(key->handles[0], at->handle)
               : 0;
}

/* --- order_directory.c -------------------------------------------------- */

/* Where a segment begins: a key, or its first bytes; with a handle only where bytes do not tell
 * its objects from those before. */
struct xe_fence {
    void *env; /* of the handle; NULL: there is none */
    uint64_t handle;
    uint32_t len;
    uint8_t bytes[]; /* and XE_READ_SLACK */
};

/* A new segment that begins at `fence` (NULL: it is the first), locked if `locked`. NULL: out of
 * memory. Owns `image`. */
struct xe_segment *xe_order_segment_new(struct xe_table *t, const struct xe_key *fence,
                                        struct xe_image *image, bool locked);

/* The directory of an empty ordered table; frees one with all it has, as xe_directory_free(). */
struct xe_directory *xe_order_directory_new(struct xe_table *t);
void xe_order_directory_free(struct xe_directory *d);

/* The segment of a key; the first or the last one; the neighbours of a segment's range as it is
 * now (NULL: there is none). Inside a section. O(log segments). */
struct xe_segment *xe_order_segment(const struct xe_table *t, const struct xe_key *key);
struct xe_segment *xe_order_edge(const struct xe_table *t, bool last);
struct xe_segment *xe_order_right(const struct xe_table *t, const struct xe_segment *s);
struct xe_segment *xe_order_left(const struct xe_table *t, const struct xe_segment *s);

/* As xe_directory_replace(). to[0] begins where from[0] did. */
enum xe_status xe_order_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *const *from, uint32_t n_from,
                                struct xe_segment *const *to, uint32_t n_to);

/* The number of objects of a segment has become that of its image: under its lock. */
void xe_order_counted(struct xe_segment *s, uint32_t count);
/* The segment of a key (NULL: none, and all are counted), and how many objects there are in those
 * before it. XE_OK, XE_RETRY. O(segments / 16). */
enum xe_status xe_order_count_before(struct xe_table *t, const struct xe_key *key,
                                     struct xe_segment **s, uint64_t *before);
/* The segment that has object i, and i less those of the segments before it. XE_ABSENT, XE_RETRY. */
enum xe_status xe_order_segment_at(struct xe_table *t, uint64_t i, struct xe_segment **s,
                                   uint32_t *rest);

#endif
