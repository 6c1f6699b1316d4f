/*
 * order_rebuild.c - rebuilds of ordered tables: what is different there (rebuild.c).
 *
 * Keys come in order by themselves, so nothing is sorted, and ranges are cut between keys, not
 * between hashes: keys are numbered, and their numbers play the part of the hashes. Where keys
 * are inserted in order a segment is not cut at its median, which would leave half-full segments
 * behind, but where they come.
 */
#include "rebuild_internal.h"

/* --- Keys in order ---------------------------------------------------------- */

/* The records of an ordered image, in order. */
void xe_source_gather_ordered(struct xe_source *src, const struct xe_image *img)
{
    struct xe_place place;
    xe_leaves_edge(img, false, &place);
    for (uint32_t off; (off = xe_leaves_forward(img, &place)) != 0; src->n++)
        src->at[src->n] =
            (struct xe_image_entry){.hash = src->n, .rec = xe_image_record(img, off)};
    src->units += img->live;
    src->ext |= img->pinned_live != 0;
}

/* The first record from `low` on that is not below a key. */
static uint32_t place_in(const struct xe_source *src, uint32_t low, const struct xe_key *key)
{
    uint32_t end = src->n;
    while (low < end) {
        uint32_t middle = low + (end - low) / 2;
        if (xe_leaves_compare(key, src->at[middle].rec) > 0)
            low = middle + 1;
        else
            end = middle;
    }
    return low;
}

/* In an ordered table the keys of records and arrivals are numbered in their order, and the
 * numbers are what hashes are in other tables: ranges are cut by them. Returns how many keys there
 * are. */
static uint64_t number(struct xe_source *src, struct xe_arrival *arrivals, size_t n)
{
    uint32_t i = 0;
    uint64_t next = 0;
    for (size_t j = 0; j < n; j++) {
        uint32_t at = place_in(src, i, arrivals[j].key);
        while (i < at)
            src->at[i++].hash = next++;
        bool is_there = at < src->n && xe_leaves_compare(arrivals[j].key, src->at[at].rec) == 0;
        arrivals[j].hash = next;
        next += !is_there;
    }
    while (i < src->n)
        src->at[i++].hash = next++;
    return next;
}

/* The leaves that the arrivals of a part may take beside those that are made for all of them. */
uint32_t xe_part_leaves(const struct xe_part *part)
{
    uint32_t n = (uint32_t)(part->arrived_end - part->arrived);
    if (n == 0)
        return 0;
    /* Without others they come in order. Else they are spread over the leaves, each of which has
     * room for its share; or all come to the same few, which are split as often as this. Where
     * that is not enough the part is split. */
    return part->first == part->end ? n / XE_LEAF_PLACES + 1 : n / (XE_LEAF_SPLIT / 2) + 2;
}

/* --- Fences ------------------------------------------------------------------ */

/* A segment between two keys: it begins with the shortest bytes that tell them apart, or where
 * only terms do, with the right one (R. Bayer and K. Unterauer, "Prefix B-trees", 1977). */
static struct xe_segment *segment_between(struct xe_table *t, const struct xe_order_key_at *left,
                                          struct xe_order_key_at *right)
{
    struct xe_key fence;
    size_t n = left->len < right->len ? left->len : right->len, same = 0;
    while (same < n && left->bytes[same] == right->bytes[same])
        same++;
    bool bytes = same < right->len;
    xe_key_init_order(&fence, right->bytes, bytes ? same + 1 : same, &right->handle,
                      !bytes && right->has_handle);
    return xe_order_segment_new(t, &fence, xe_image_empty, true);
}

/* The segment of a part that is not the first: it begins between the last key before and its
 * own first one. */
struct xe_segment *xe_order_segment_of_part(struct xe_table *t, const struct xe_part *part,
                                            const struct xe_source *src,
                                            const struct xe_arrival *arrivals)
{
    struct xe_order_key_at left, right;
    bool record = part->first > 0 && src->at[part->first - 1].hash + 1 == part->lo;
    left = record ? xe_order_record_key(src->at[part->first - 1].rec)
                  : xe_order_key_at(arrivals[part->arrived - 1].key);
    record = part->first < src->n && src->at[part->first].hash == part->lo;
    right = record ? xe_order_record_key(src->at[part->first].rec) : xe_order_key_at(arrivals[part->arrived].key);
    return segment_between(t, &left, &right);
}

/* A segment that begins where another one does. */
struct xe_segment *xe_order_segment_like(struct xe_table *t, const struct xe_segment *s)
{
    struct xe_key fence;
    if (!s->fence)
        return xe_order_segment_new(t, NULL, xe_image_empty, true);
    xe_fence_key(&fence, s->fence);
    return xe_order_segment_new(t, &fence, xe_image_empty, true);
}

/* --- The rebuild --------------------------------------------------------------- */

/* Whether an arrival at the place of an ordered image is the neighbour of what was inserted
 * last: then keys come in order. */
static bool comes_in_order(const struct xe_image *img, const struct xe_place *place)
{
    struct xe_place before = *place, behind = *place;
    uint32_t left = xe_leaves_backward(img, &before), right = xe_leaves_forward(img, &behind);
    return img->last && (left == img->last || right == img->last);
}

/* The image for a key that comes in order beside a full image: as large, for it is going to be
 * filled as that one was, and need not grow on the way. */
static enum xe_status build_beside(const struct xe_table *t, const struct xe_image *full,
                                   const struct xe_part *part, const struct xe_source *src,
                                   const struct xe_arrival *arrival, uint32_t limit,
                                   struct xe_image **out)
{
    struct xe_image_plan plan;
    bool crowded;
    enum xe_status status = xe_plan_part(t, part, src, arrival, limit, &plan, &crowded);
    if (status != XE_OK)
        return status;
    uint32_t least = plan.units, count = xe_image_count(full);
    plan.count = plan.count > count ? plan.count : count;
    plan.units += full->live + count / XE_LEAF_PLACES * XE_LEAF_UNITS;
    if (xe_image_plan_bytes(&plan) > XE_IMAGE_BYTES_MAX)
        plan.units = least;
    return xe_build(part, src, arrival, &plan, out);
}

/*
 * Splits an ordered segment that is full where keys come in order at one of its ends: the image
 * stays as it is, and becomes that of a new segment; the arrival gets one beside it. XE_LIMIT:
 * it is not so.
 */
static enum xe_status split_at_end(struct xe_table *t, struct xe_epoch_slot *slot,
                                   struct xe_segment *s, const struct xe_arrival *arrival,
                                   struct xe_segment **out)
{
    struct xe_image *img = xe_segment_image(s), *fresh = xe_image_empty;
    struct xe_source src;
    struct xe_part part = {.arrived_end = 1};
    struct xe_place place, begin, end;
    if (xe_leaves_find(img, arrival->key, &place))
        return XE_LIMIT;
    xe_leaves_edge(img, false, &begin);
    xe_leaves_edge(img, true, &end);
    bool first = place.leaf == 0 && place.index == 0;
    if ((!first && (place.leaf != end.leaf || place.index != end.index)) ||
        !comes_in_order(img, &place))
        return XE_LIMIT;
    const uint8_t *beside = xe_image_record(img, first ? xe_leaves_forward(img, &begin)
                                                       : xe_leaves_backward(img, &end));
    struct xe_order_key_at old = xe_order_record_key(beside);
    struct xe_order_key_at new = xe_order_key_at(arrival->key);
    xe_source_init(&src);
    out[0] = xe_order_segment_like(t, s);
    out[1] = out[0] ? segment_between(t, first ? &new : &old, first ? &old : &new) : NULL;
    enum xe_status status =
        out[1] ? build_beside(t, img, &part, &src, arrival, s->limit, &fresh) : XE_NOMEM;
    if (status == XE_OK) {
        atomic_store_explicit(&out[first]->image, img, memory_order_relaxed);
        atomic_store_explicit(&out[!first]->image, fresh, memory_order_relaxed);
        status = xe_order_replace(t, slot, &s, 1, out, 2);
    }
    if (status == XE_OK) {
        xe_table_account_contents(t, fresh->bytes);
        return XE_OK;
    }
    xe_image_unref(fresh);
    for (int i = 0; i < 2; i++)
        if (out[i])
            xe_segment_discard(t, out[i]);
    out[0] = s;
    return status;
}

/* Cuts an ordered segment in two beside an arrival, if keys come in order there: what comes next
 * goes on filling one of the two. False: they do not. */
static bool cut_in_order(const struct xe_image *img, const struct xe_source *src,
                         const struct xe_arrival *arrival, struct xe_walk *w,
                         struct xe_part *parts)
{
    struct xe_place place;
    uint32_t total = src->n + 1, tenth = total / 10;
    if (xe_leaves_find(img, arrival->key, &place) || !comes_in_order(img, &place) || total < 2)
        return false;
    uint64_t border = arrival->hash + 1;
    border = border < tenth + 1 ? tenth + 1 : border > total - 1 - tenth ? total - 1 - tenth : border;
    parts[0] = xe_take_part(w, 0, border - 1);
    parts[1] = xe_take_part(w, border, total - 1);
    return true;
}

enum xe_status xe_order_rebuild(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *s, struct xe_arrival *arrivals, size_t n,
                                enum xe_split split, struct xe_segment **out, uint32_t *n_out)
{
    struct xe_source src;
    struct xe_part parts[XE_REBUILD_PARTS];
    struct xe_image_plan plan;
    struct xe_image *img = xe_segment_image(s);
    uint64_t units;
    bool crowded;
    xe_source_init(&src);
    xe_source_gather(&src, img, t->seed);
    n = xe_fit_arrivals(t, &src, arrivals, n, &units);
    uint64_t keys = number(&src, arrivals, n), last = keys ? keys - 1 : 0;
    struct xe_walk w = {.src = &src, .arrivals = arrivals, .n = n};
    struct xe_part whole = {.hi = last, .end = src.n, .units = src.units, .arrived_end = n};
    enum xe_status status = xe_plan_part(t, &whole, &src, arrivals, s->limit, &plan, &crowded);
    if (status == XE_OK && split == XE_SPLIT_NO && !crowded) {
        status = xe_replace_image(t, slot, s, &src, arrivals, &whole, &plan);
        if (status != XE_LIMIT)
            return status;
    }
    if (n == 1 && split == XE_SPLIT_NO && src.n) {
        enum xe_status at_end = split_at_end(t, slot, s, arrivals, out);
        *n_out = at_end == XE_OK ? 2 : 1;
        if (at_end != XE_LIMIT)
            return at_end;
    }
    *n_out = 2;
    enum xe_status cut_there = XE_LIMIT;
    if (n == 1 && split == XE_SPLIT_NO && cut_in_order(img, &src, arrivals, &w, parts))
        cut_there = xe_replace_segments(t, slot, &s, 1, parts, 2, &src, arrivals, out);
    /* XE_LIMIT: by their size they are not in two. */
    if (cut_there == XE_LIMIT) {
        struct xe_cut_range range = {0, last, units + (src.n + n) * XE_INDEX_UNITS};
        w = (struct xe_walk){.src = &src, .arrivals = arrivals, .n = n};
        *n_out = xe_cut(t, &w, range, xe_parts_for(t, src.n + n, units), parts);
        if (*n_out == 1)
            return status == XE_OK ? xe_replace_image(t, slot, s, &src, arrivals, &whole, &plan)
                                   : XE_LIMIT;
        cut_there = xe_replace_segments(t, slot, &s, 1, parts, *n_out, &src, arrivals, out);
    }
    if (cut_there != XE_OK) {
        *n_out = 1;
        out[0] = s;
    }
    return cut_there;
}

/* The same where one has no objects: the image of the other one stays. */
struct xe_segment *xe_order_merge_empty(struct xe_table *t, struct xe_epoch_slot *slot,
                                        struct xe_segment *left, struct xe_segment *right)
{
    struct xe_segment *to = xe_order_segment_like(t, left), *from[2] = {left, right};
    struct xe_image *a = xe_segment_image(left), *b = xe_segment_image(right);
    struct xe_image *kept = xe_image_count(a) ? a : b, *gone = xe_image_count(a) ? b : a;
    if (!to)
        return NULL;
    atomic_store_explicit(&to->image, kept, memory_order_relaxed);
    if (xe_order_replace(t, slot, from, 2, &to, 1) != XE_OK) {
        xe_segment_discard(t, to);
        return NULL;
    }
    xe_table_account_contents(t, -(int64_t)gone->bytes);
    xe_image_moved(slot, gone);
    return to;
}
