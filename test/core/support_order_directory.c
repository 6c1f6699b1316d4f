/*
 * support_order_directory.c - see support_order_directory.h.
 */
#include "support_order_directory.h"

struct xe_table *order_table_new(void)
{
    return xe_table_new(&(struct xe_table_config){.seed = 7, .kind = XE_ORDERED});
}

struct xe_segment *counted_segment(struct xe_table *t, const struct order_key *fence,
                                   uint32_t count, bool locked)
{
    const struct xe_image_plan plan = {.lo = 0, .hi = UINT64_MAX, .count = 1, .units = 4};
    struct xe_image *img;
    struct xe_key key;
    if (xe_image_new(&plan, &img) != XE_OK)
        return NULL;
    atomic_store(&img->count, count);
    if (fence)
        order_key_init(&key, fence);
    struct xe_segment *s = xe_order_segment_new(t, fence ? &key : NULL, img, locked);
    if (!s)
        xe_image_unref(img);
    return s;
}

void counted_discard(struct xe_table *t, struct xe_segment *s)
{
    xe_image_unref(xe_segment_image(s));
    xe_segment_discard(t, s);
}

uint32_t count_of(const struct xe_segment *s)
{
    return atomic_load_explicit(&xe_segment_image(s)->count, memory_order_relaxed);
}

void count_write(struct xe_segment *s, uint32_t count)
{
    atomic_store_explicit(&xe_segment_image(s)->count, count, memory_order_relaxed);
    xe_order_counted(s, count);
}

enum xe_status segments_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *const *from, uint32_t n_from,
                                struct xe_segment *const *to, uint32_t n_to)
{
    struct xe_image *old[XE_REBUILD_PARTS];
    int64_t bytes = 0;
    CHECK(n_from <= XE_REBUILD_PARTS);
    for (uint32_t i = 0; i < n_from; i++) {
        old[i] = xe_segment_image(from[i]);
        bytes -= old[i]->bytes;
    }
    enum xe_status status = xe_order_replace(t, slot, from, n_from, to, n_to);
    if (status != XE_OK)
        return status;
    for (uint32_t i = 0; i < n_from; i++)
        xe_image_moved(slot, old[i]);
    for (uint32_t i = 0; i < n_to; i++)
        bytes += xe_segment_image(to[i])->bytes;
    xe_table_account_contents(t, bytes);
    for (uint32_t i = 0; i < n_to; i++)
        xe_lock_release(&to[i]->lock);
    return XE_OK;
}

bool order_is_valid(struct xe_table *t)
{
    int64_t bytes = XE_TABLE_BYTES, contents = 0;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    bool valid = xe_order_directory_is_valid(t, &bytes);
    for (struct xe_segment *s = xe_order_edge(t, false); s; s = xe_order_right(t, s))
        contents += xe_segment_image(s)->bytes;
    valid = valid && bytes == atomic_load(&t->bytes) && contents == atomic_load(&t->contents);
    xe_epoch_leave(slot);
    return valid;
}
