/*
 * support_order_directory.h - what the tests of the directory of ordered tables share: segments
 * without objects, whose images say how many they have.
 */
#ifndef SUPPORT_ORDER_DIRECTORY_H
#define SUPPORT_ORDER_DIRECTORY_H

#include "order_internal.h"
#include "support.h"

/* A key's bytes, with what may be read behind them, and its handle. */
struct order_key {
    uint8_t bytes[64 + XE_READ_SLACK];
    uint32_t len;
    bool has_handle;
    uint64_t handle;
};

/* Points into `k`. */
static inline void order_key_init(struct xe_key *key, const struct order_key *k)
{
    xe_key_init_order(key, k->bytes, k->len, &k->handle, k->has_handle);
}

struct xe_table *order_table_new(void);

/* A segment with an image of its own. NULL: out of memory. */
struct xe_segment *counted_segment(struct xe_table *t, const struct order_key *fence,
                                   uint32_t count, bool locked);
/* One that was never put into a directory. */
void counted_discard(struct xe_table *t, struct xe_segment *s);
uint32_t count_of(const struct xe_segment *s);
/* Sets the number of objects of a locked segment as a write does. */
void count_write(struct xe_segment *s, uint32_t count);

/* Replaces locked segments; on XE_OK their images are retired and `to` are unlocked. */
enum xe_status segments_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *const *from, uint32_t n_from,
                                struct xe_segment *const *to, uint32_t n_to);

/* Whether the directory is valid, and its bytes and those of the images are what is counted. */
bool order_is_valid(struct xe_table *t);

#endif
