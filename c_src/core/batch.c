/*
 * batch.c - list writes: many objects stored as one write (G2).
 *
 *   1  sort by hash, or by key if the table is ordered; of equal keys only the last one in the list stays
 *   2  take the list lock, so that two lists cannot wait for each other
 *   3  lock the touched segments, in the order of hashes
 *      (in a bag: of equal objects the first; XE_PUT_NEW locks the run of each key)
 *   4  XE_PUT_NEW: is one of the keys there? Then nothing happens
 *      (the images that snapshots share are copied)
 *   5  make room in each segment: an ordinary rebuild or split, which changes nothing
 *      that can be read; then write the records, unpublished
 *   6  make the batch word odd, publish all records, make it even
 *   7  unlock
 *
 * A duplicate bag's object is replaced in the same way, with its key's run locked: step 6 removes
 * it, too.
 *
 * Everything that can fail happens before step 6 (G5). Readers that see the word odd, or
 * changed, look again, and after a few looks yield.
 */
#include <sched.h>
#include <stdlib.h>

#include "find.h"
#include "order_internal.h"
#include "table_internal.h"

enum {
    SHORT_LIST = 32,
    SPREAD_BITS_MAX = 20,
    RANGE_ITEMS = 64, /* in one range of hashes, for these to count as even */
    ROOM_TRIES = 4, /* rebuilds for the items of one group */
};

struct item {
    uint64_t hash;
    struct xe_prepared *p;
    uint32_t off; /* of its record, once it is written */
    bool there;   /* an equal object is in the bag already */
};

/* A locked segment, and the items [first, end) in its range. */
struct group {
    struct xe_segment *s;
    size_t first, end;
};

struct batch {
    struct xe_table *t;
    struct xe_epoch_slot *slot;
    bool patient;
    bool clock_ran;
    struct xe_prepared *list; /* what was given */
    size_t n_list;
    struct item *items; /* of it, what is to be stored, in the order of hashes */
    size_t n;
    struct group *groups; /* in the order of hashes */
    size_t n_groups, cap_groups;
    struct xe_arrival *arrivals; /* scratch of rebuild_group(), made when it is needed */
    /* Short lists need no memory for these. */
    struct item short_items[SHORT_LIST];
    struct group short_groups[SHORT_LIST];
};

/* --- Order and duplicates ----------------------------------------------- */

static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    /* The list is an array: its order is that of the addresses. */
    return x->p < y->p ? -1 : x->p > y->p;
}

static int compare_keys(const struct xe_key *a, const struct xe_key *b)
{
    struct xe_order_key_at at = xe_order_key_at(b);
    return a->hash != b->hash ? (a->hash < b->hash ? -1 : 1) : xe_order_compare(a, &at);
}

static int compare_items_by_key(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int c = compare_keys(&x->p->key, &y->p->key);
    return c ? c : x->p < y->p ? -1 : x->p > y->p;
}

/* Sorts the items by their keys; of equal keys only the last one stays. */
static void sort_by_key(struct batch *b)
{
    size_t kept = 0, i = 1;
    while (i < b->n && compare_items_by_key(&b->items[i - 1], &b->items[i]) < 0)
        i++;
    if (i < b->n)
        qsort(b->items, b->n, sizeof *b->items, compare_items_by_key);
    for (i = 0; i < b->n; i++) {
        if (i + 1 < b->n && compare_keys(&b->items[i].p->key, &b->items[i + 1].p->key) == 0)
            xe_record_unprepare(b->items[i].p);
        else
            b->items[kept++] = b->items[i];
    }
    b->n = kept;
}

static bool same_key(const struct xe_key *a, const struct xe_key *b)
{
    if (a->full_len != b->full_len || memcmp(a->full, b->full, a->full_len) != 0 ||
        a->n_handles != b->n_handles)
        return false;
    for (uint32_t i = 0; i < a->n_handles; i++)
        if (!xe_cb.ext_equal(a->handles[i], b->handles[i]))
            return false;
    return true;
}

/* Whether one of two items with the same hash overwrites the other: the later one, in a bag the
 * earlier one. In a duplicate bag none does. */
static bool is_same(const struct batch *b, const struct xe_prepared *x, const struct xe_prepared *y)
{
    struct xe_view view;
    if (b->t->kind == XE_DUPLICATE_BAG || !same_key(&x->key, &y->key))
        return false;
    if (b->t->kind == XE_SET)
        return true;
    xe_object_view(x->object, &view);
    return xe_record_equal(&view, y->object);
}

/* Turns the items [first, end) round. */
static void reverse(struct batch *b, size_t first, size_t end)
{
    for (; first + 1 < end; first++, end--) {
        struct item it = b->items[first];
        b->items[first] = b->items[end - 1];
        b->items[end - 1] = it;
    }
}

/* Of the items [first, end), which have the same hash, those that do not come again
 * later move to the end, in their order. Returns the first of them. */
static size_t keep_last(struct batch *b, size_t first, size_t end)
{
    size_t kept = end;
    for (size_t i = end; i-- > first;) {
        size_t j = kept;
        while (j < end && !is_same(b, b->items[i].p, b->items[j].p))
            j++;
        if (j < end)
            xe_record_unprepare(b->items[i].p);
        else if (end - kept < XE_IMAGE_OBJECTS_MAX)
            b->items[--kept] = b->items[i];
        else
            return first;
    }
    return kept;
}

/* Drops the objects that are overwritten by others of the list. False: more of the same
 * hash than an image holds. */
static bool drop_overwritten(struct batch *b)
{
    size_t kept = 0;
    for (size_t i = 0, end; i < b->n; i = end) {
        size_t first = i;
        for (end = i + 1; end < b->n && b->items[end].hash == b->items[i].hash; end++)
            ;
        if (end - i > 1) {
            if (b->t->kind != XE_SET)
                reverse(b, i, end);
            first = keep_last(b, i, end);
        }
        if (end - first > XE_IMAGE_OBJECTS_MAX)
            return false;
        while (first < end)
            b->items[kept++] = b->items[first++];
    }
    b->n = kept;
    return true;
}

/* Sorts what is nearly in order; equal hashes keep their order. */
static void sort_nearly(struct item *items, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct item it = items[i];
        size_t j = i;
        for (; j && items[j - 1].hash > it.hash; j--)
            items[j] = items[j - 1];
        items[j] = it;
    }
}

/* Whether no range has got many items, as those of one key of a bag all get the same. */
static bool are_even(const size_t *counts, size_t n_ranges)
{
    for (size_t r = 0; r < n_ranges; r++)
        if (counts[r] > RANGE_ITEMS)
            return false;
    return true;
}

/* Spreads the items over as many ranges of hashes, which are even: hardly any two share one.
 * False: they are not, or there is no memory for that. */
static bool spread_items(struct batch *b)
{
    uint32_t bits = 63 - (uint32_t)__builtin_clzll(b->n);
    bits = bits < SPREAD_BITS_MAX ? bits : SPREAD_BITS_MAX;
    size_t n_ranges = (size_t)1 << bits;
    size_t *ends = xe_cb.alloc(n_ranges * sizeof *ends);
    struct item *sorted = ends ? xe_cb.alloc(b->n * sizeof *sorted) : NULL;
    bool even = false;
    if (sorted) {
        memset(ends, 0, n_ranges * sizeof *ends);
        for (size_t i = 0; i < b->n; i++)
            ends[b->items[i].hash >> (64 - bits)]++;
        even = are_even(ends, n_ranges);
    }
    if (even) {
        for (size_t r = 1; r < n_ranges; r++)
            ends[r] += ends[r - 1];
        /* From the last one on, so that equal hashes keep their order. */
        for (size_t i = b->n; i--;)
            sorted[--ends[b->items[i].hash >> (64 - bits)]] = b->items[i];
        xe_cb.free(b->items);
        b->items = sorted;
    } else if (sorted) {
        xe_cb.free(sorted);
    }
    if (ends)
        xe_cb.free(ends);
    return even;
}

static void sort_items(struct batch *b)
{
    if (b->n <= SHORT_LIST || spread_items(b))
        sort_nearly(b->items, b->n);
    else
        qsort(b->items, b->n, sizeof *b->items, compare_items);
}

/* --- Locking ------------------------------------------------------------ */

static void unlock_all(struct batch *b, bool published)
{
    for (size_t i = 0; i < b->n_groups; i++)
        xe_table_finish(b->t, b->slot, b->groups[i].s, published);
    b->n_groups = 0;
}

/* The first item from `first` on that is above the range of the segment, which is locked. */
static size_t range_end(const struct batch *b, size_t first, const struct xe_segment *s)
{
    size_t end = b->n;
    bool ordered = b->t->kind == XE_ORDERED;
    const struct xe_segment *next = ordered ? xe_order_right(b->t, s) : NULL;
    if (ordered && !next)
        return end;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (ordered ? !xe_order_is_behind(next, &b->items[middle].p->key)
                    : b->items[middle].hash <= s->hi)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static bool need_groups(struct batch *b, size_t more)
{
    if (b->n_groups + more <= b->cap_groups)
        return true;
    size_t cap = 2 * (b->n_groups + more);
    struct group *groups = xe_cb.alloc(cap * sizeof *groups);
    if (!groups)
        return false;
    memcpy(groups, b->groups, b->n_groups * sizeof *groups);
    if (b->groups != b->short_groups)
        xe_cb.free(b->groups);
    b->groups = groups;
    b->cap_groups = cap;
    return true;
}

/* The same in an ordered table. */
static enum xe_status lock_all_ordered(struct batch *b)
{
    for (size_t i = 0; i < b->n;) {
        if (!need_groups(b, 1))
            return XE_NOMEM;
        struct xe_segment *s = xe_order_acquire(b->t, &b->items[i].p->key);
        if (!s && !b->patient)
            return XE_RETRY;
        if (!s) {
            sched_yield();
            continue;
        }
        size_t end = range_end(b, i, s);
        b->groups[b->n_groups++] = (struct group){.s = s, .first = i, .end = end};
        i = end;
    }
    return XE_OK;
}

/* `runs`: lock what there is of each item's key in a bag, and not only where the item goes. A
 * group may be without items then. */
static enum xe_status lock_all(struct batch *b, bool runs)
{
    uint64_t mask = runs ? XE_BAG_KEY_HASH : UINT64_MAX, locked_to = 0;
    for (size_t i = 0, first = 0; i < b->n;) {
        uint64_t hash = b->items[i].hash, lo = hash & mask, hi = hash | ~mask;
        bool begun = b->n_groups && locked_to >= lo;
        if (begun && locked_to >= hi) {
            i++;
            continue;
        }
        if (!need_groups(b, 1))
            return XE_NOMEM;
        struct xe_segment *s = xe_segment_acquire(b->t, begun ? locked_to + 1 : lo);
        if (!s && !b->patient)
            return XE_RETRY;
        if (!s) {
            sched_yield();
            continue;
        }
        struct group *g = &b->groups[b->n_groups++];
        *g = (struct group){.s = s, .first = first, .end = range_end(b, first, s)};
        first = g->end;
        locked_to = s->hi;
        if (!runs)
            i = first;
    }
    return XE_OK;
}

static bool find_key(const struct batch *b, const struct xe_image *img, const struct xe_key *key,
                     struct xe_place *place)
{
    return b->t->kind == XE_ORDERED ? xe_leaves_find(img, key, place) : xe_find(img, key, place);
}

/* Whether a key of the list is there. */
static bool any_exists(const struct batch *b)
{
    struct xe_place place;
    size_t from = 0;
    for (size_t i = 0; i < b->n_groups; i++) {
        const struct xe_segment *s = b->groups[i].s;
        if (!xe_kind_is_bag(b->t->kind)) {
            for (size_t j = b->groups[i].first; j < b->groups[i].end; j++)
                if (find_key(b, xe_segment_image(s), &b->items[j].p->key, &place))
                    return true;
            continue;
        }
        /* The run of an item may begin in the group before its own, and end behind it. */
        while (from < b->n && (b->items[from].hash | ~XE_BAG_KEY_HASH) < s->lo)
            from++;
        const struct xe_key *last = NULL;
        for (size_t j = from; j < b->n && (b->items[j].hash & XE_BAG_KEY_HASH) <= s->hi; j++) {
            const struct xe_key *key = &b->items[j].p->key;
            /* Those of one key are neighbours, but for rare ones: once is enough. */
            if (last && same_key(last, key))
                continue;
            if (xe_bag_segment_has(s, key))
                return true;
            last = key;
        }
    }
    return false;
}

/* --- Room --------------------------------------------------------------- */

/* Gives back the records written in the group's image. */
static void unwrite(struct batch *b, const struct group *g)
{
    struct xe_image *img = xe_segment_image(g->s);
    for (size_t i = g->end; i-- > g->first;)
        if (b->items[i].off) {
            xe_image_unwrite(img, b->items[i].off);
            b->items[i].off = 0;
        }
}

/* Leaves for the new keys among the items of an ordered table; those of one leaf are
 * neighbours. */
static bool reserve_leaves(const struct batch *b, const struct group *g)
{
    struct xe_image *img = xe_segment_image(g->s);
    struct xe_place place;
    uint32_t n = 0, all = 0, leaf = 0, leaves = 0;
    uint32_t count = xe_image_count(img);
    if (g->end - g->first + count > XE_IMAGE_OBJECTS_MAX)
        return false;
    for (size_t i = g->first; i < g->end; i++) {
        if (xe_leaves_find(img, &b->items[i].p->key, &place))
            continue;
        if (place.leaf != leaf) {
            leaves += xe_leaves_for(xe_leaves_count(img, leaf), n);
            leaf = place.leaf;
            n = 0;
        }
        n++;
        all++;
    }
    leaves += xe_leaves_for(xe_leaves_count(img, leaf), n);
    /* Into an image without objects they come in order, and fill leaf after leaf. */
    return xe_leaves_reserve(img, count ? leaves : (all + XE_LEAF_PLACES - 1) / XE_LEAF_PLACES);
}

/* Places in the index for the new keys among the items; those of one home bucket are
 * neighbours in the order of hashes. */
static bool reserve_places(struct batch *b, const struct group *g)
{
    if (b->t->kind == XE_ORDERED)
        return reserve_leaves(b, g);
    struct xe_image *img = xe_segment_image(g->s);
    struct xe_place place;
    uint32_t n = 0, all = 0;
    for (size_t i = g->first; i < g->end; i++) {
        struct item *it = &b->items[i];
        bool is_new = b->t->kind == XE_SET ? !xe_find(img, &it->p->key, &place)
                      : b->t->kind == XE_BAG ? !xe_bag_find_equal(img, it->p, &place)
                                             : true;
        it->there = !is_new && b->t->kind == XE_BAG;
        n += is_new;
        all += is_new;
        if (!xe_image_has_room(img, all))
            return false;
        bool last = i + 1 == g->end ||
                    xe_image_home(img, b->items[i + 1].hash) !=
                        xe_image_home(img, b->items[i].hash);
        if (last && n && !xe_image_reserve_places(img, b->items[i].hash, n))
            return false;
        n = last ? 0 : n;
    }
    return true;
}

/* Writes the group's records, unpublished, if there is room. XE_LIMIT: there is not. */
static enum xe_status write_group(struct batch *b, const struct group *g)
{
    struct xe_image *img = xe_segment_image(g->s);
    enum xe_status status = XE_OK;
    if (g->first == g->end)
        return XE_OK;
    if (xe_image_is_empty(img) || !reserve_places(b, g))
        return XE_LIMIT;
    for (size_t i = g->first; i < g->end && status == XE_OK; i++) {
        struct item *it = &b->items[i];
        if (it->there)
            continue;
        bool ext = it->p->object->n_handles && !it->p->blob;
        if (ext && !xe_image_need_env(img))
            status = XE_NOMEM;
        else if (!(it->off = xe_image_alloc(img, it->p->units)))
            status = XE_LIMIT;
        else
            xe_record_write(xe_image_record(img, it->off), it->p, img->env);
    }
    if (status != XE_OK)
        unwrite(b, g);
    return status;
}

/* What the first items of a group need, as many as one rebuild makes room for. */
static size_t list_arrivals(struct batch *b, const struct group *g)
{
    size_t n = g->end - g->first, most = b->n < XE_REBUILD_ARRIVALS ? b->n : XE_REBUILD_ARRIVALS;
    if (!b->arrivals && !(b->arrivals = xe_cb.alloc(most * sizeof *b->arrivals)))
        return 0;
    n = n < most ? n : most;
    for (size_t i = 0; i < n; i++) {
        const struct item *it = &b->items[g->first + i];
        b->arrivals[i] =
            (struct xe_arrival){.hash = it->hash, .units = it->p->units, .key = &it->p->key};
    }
    return n;
}

/* Rebuilds the segment of group `at` for its items; it becomes one or more groups. */
static enum xe_status rebuild_group(struct batch *b, size_t at, enum xe_split split)
{
    struct group g = b->groups[at];
    struct xe_segment *out[XE_REBUILD_PARTS];
    uint32_t n_out;
    size_t n = need_groups(b, XE_REBUILD_PARTS) ? list_arrivals(b, &g) : 0;
    if (n == 0)
        return XE_NOMEM;
    enum xe_status status = xe_rebuild(b->t, b->slot, g.s, b->arrivals, n, split, out, &n_out);
    if (status != XE_OK)
        return status;
    memmove(&b->groups[at + n_out], &b->groups[at + 1],
            (b->n_groups - at - 1) * sizeof *b->groups);
    b->n_groups += n_out - 1;
    for (uint32_t i = 0; i < n_out; i++) {
        size_t first = i ? b->groups[at + i - 1].end : g.first;
        b->groups[at + i] = (struct group){.s = out[i], .first = first,
                                           .end = range_end(b, first, out[i])};
    }
    return XE_OK;
}

/* Makes room for a group, and again while others hold a lock of the directory's. */
static enum xe_status make_room(struct batch *b, size_t at, enum xe_split split)
{
    enum xe_status status;
    while ((status = rebuild_group(b, at, split)) == XE_RETRY && b->patient)
        sched_yield();
    return status;
}

/* Makes ripe what was retired before, if there is any in the group. Once is enough for all
 * groups. */
static bool run_clock(struct batch *b, const struct group *g)
{
    if (b->clock_ran || !xe_image_has_retired(xe_segment_image(g->s)))
        return false;
    xe_table_run_clock(b->slot);
    return b->clock_ran = true;
}

/* Writes all records, unpublished. */
static enum xe_status write_all(struct batch *b)
{
    size_t at = 0;
    enum xe_status status = XE_OK;
    uint32_t tries = 0;
    while (at < b->n_groups && status == XE_OK) {
        status = write_group(b, &b->groups[at]);
        if (status == XE_OK) {
            at++;
            tries = 0;
        } else if (status == XE_LIMIT && run_clock(b, &b->groups[at])) {
            status = XE_OK;
        } else if (status == XE_LIMIT && tries++ < ROOM_TRIES) {
            size_t before = b->groups[at].end - b->groups[at].first;
            /* A rebuild that did not help would not help again: more segments may. */
            status = make_room(b, at, tries > 1 ? XE_SPLIT_HALF : XE_SPLIT_NO);
            /* As long as it gets smaller there is hope. */
            if (b->groups[at].end - b->groups[at].first < before)
                tries = 1;
        }
    }
    while (status != XE_OK && at--)
        unwrite(b, &b->groups[at]);
    return status;
}

/* --- Publishing --------------------------------------------------------- */

/* Makes the images that are written the segments' own. */
static enum xe_status own_all(struct batch *b)
{
    for (size_t i = 0; i < b->n_groups; i++)
        if (b->groups[i].first < b->groups[i].end &&
            !xe_segment_own(b->t, b->slot, b->groups[i].s, NULL))
            return XE_NOMEM;
    return XE_OK;
}

static void publish_item(struct batch *b, struct xe_image *img, struct item *it)
{
    struct xe_place place;
    bool found = !xe_kind_is_bag(b->t->kind) && find_key(b, img, &it->p->key, &place);
    bool placed = found || b->t->kind == XE_ORDERED;
    if (it->there)
        xe_record_unprepare(it->p);
    else
        xe_table_publish(b->t, b->slot, img, it->p, it->off, placed ? &place : NULL);
}

/* Numbers the objects of a list that is logged, in its order: as xe_bag_number(), but together with
 * the log's number (log.h). */
static void number_logged(struct batch *b)
{
    uint64_t first = xe_log_publish_numbered(b->t, b->slot, b->n_list);
    for (size_t i = 0; i < b->n_groups; i++) {
        struct xe_image *img = xe_segment_image(b->groups[i].s);
        for (size_t j = b->groups[i].first; j < b->groups[i].end; j++) {
            const struct item *it = &b->items[j];
            if (!it->there)
                xe_record_number(xe_image_record(img, it->off),
                                 first + (uint64_t)(it->p - b->list));
        }
    }
}

static void publish_all(struct batch *b)
{
    xe_batch_publish(b->t);
    if (XE_UNLIKELY(b->t->log && xe_kind_is_bag(b->t->kind)))
        number_logged(b);
    else
        xe_log_publish(b->t, b->slot);
    for (size_t i = 0; i < b->n_groups; i++) {
        struct xe_image *img = xe_segment_image(b->groups[i].s);
        xe_segment_changes(b->groups[i].s);
        for (size_t j = b->groups[i].first; j < b->groups[i].end; j++)
            publish_item(b, img, &b->items[j]);
        xe_segment_changed(b->groups[i].s);
        if (b->t->kind == XE_ORDERED)
            xe_order_counted(b->groups[i].s,
                             xe_image_count(img));
    }
    xe_batch_published(b->t);
}

/* Under the list lock. */
static enum xe_status put_items(struct batch *b, enum xe_put mode)
{
    bool is_bag = xe_kind_is_bag(b->t->kind);
    enum xe_status status = b->t->kind == XE_ORDERED
                                ? lock_all_ordered(b)
                                : lock_all(b, mode == XE_PUT_NEW && is_bag);
    /* In the order of the list; the locks keep others of these keys out. */
    for (size_t i = 0; is_bag && status == XE_OK && i < b->n_list; i++)
        xe_bag_number(&b->list[i]);
    if (status == XE_OK && mode == XE_PUT_NEW && any_exists(b))
        status = XE_EXISTS;
    if (status == XE_OK)
        status = own_all(b);
    if (status == XE_OK)
        status = write_all(b);
    if (status == XE_OK)
        publish_all(b);
    unlock_all(b, status == XE_OK);
    return status;
}

static bool list_lock(struct batch *b)
{
    bool locked;
    while (!(locked = xe_lock_take(&b->t->list_lock, NULL)) && b->patient)
        sched_yield();
    return locked;
}

static bool batch_alloc(struct batch *b)
{
    bool is_short = b->n <= SHORT_LIST;
    b->items = is_short ? b->short_items : xe_cb.alloc(b->n * sizeof *b->items);
    b->groups = is_short ? b->short_groups : xe_cb.alloc(b->n * sizeof *b->groups);
    b->cap_groups = is_short ? SHORT_LIST : b->n;
    return b->items && b->groups;
}

static void batch_free(struct batch *b)
{
    if (b->items && b->items != b->short_items)
        xe_cb.free(b->items);
    if (b->groups && b->groups != b->short_groups)
        xe_cb.free(b->groups);
    if (b->arrivals)
        xe_cb.free(b->arrivals);
}

static void batch_init(struct batch *b, struct xe_table *t, struct xe_epoch_slot *slot,
                       struct xe_prepared *p, size_t n, bool patient)
{
    b->t = t;
    b->slot = slot;
    b->patient = patient;
    b->list = p;
    b->n = b->n_list = n;
    b->n_groups = 0;
    b->clock_ran = false;
    b->arrivals = NULL;
}

static enum xe_status put_many(struct xe_table *t, struct xe_epoch_slot *slot,
                               struct xe_prepared *p, size_t n, enum xe_put mode, bool patient)
{
    struct batch b;
    batch_init(&b, t, slot, p, n, patient);
    enum xe_status status = xe_table_write_begin(t, slot);
    if (status != XE_OK || n == 0)
        return status;
    status = XE_NOMEM;
    if (batch_alloc(&b)) {
        for (size_t i = 0; i < n; i++)
            b.items[i] = (struct item){.hash = p[i].key.hash, .p = &p[i]};
        if (t->kind == XE_ORDERED)
            sort_by_key(&b);
        else
            sort_items(&b);
        status = XE_LIMIT;
        if (t->kind == XE_ORDERED || drop_overwritten(&b)) {
            status = XE_RETRY;
            if (list_lock(&b)) {
                status = put_items(&b, mode);
                xe_lock_release(&t->list_lock);
            }
        }
    }
    batch_free(&b);
    return status;
}

enum xe_status xe_table_put_many(struct xe_table *t, struct xe_epoch_slot *slot,
                                 struct xe_prepared *p, size_t n, enum xe_put mode, bool patient)
{
    if (XE_LIKELY(!t->log) || n == 0)
        return put_many(t, slot, p, n, mode, patient);
    const struct xe_log_change change = {.op = XE_LOG_PUT, .objects = p, .n = n};
    struct xe_log_write write;
    enum xe_status status = xe_log_begin(t, slot, &change, &write);
    return status == XE_OK ? xe_log_end(t, slot, put_many(t, slot, p, n, mode, patient)) : status;
}

/* --- Replacing an object of a duplicate bag ------------------------------ */

/* The group that has what is to be replaced. NULL: none has. */
static struct group *find_replaced(struct batch *b, const struct xe_prepared *old,
                                   uint64_t sequence, struct xe_place *place)
{
    for (size_t i = 0; i < b->n_groups; i++)
        if (xe_bag_find_numbered(b->t, b->groups[i].s, old, sequence, place))
            return &b->groups[i];
    return NULL;
}

/* How many equal objects come before the one that is to be replaced. */
static uint32_t count_before(const struct batch *b, const struct xe_prepared *old,
                             uint64_t sequence)
{
    uint32_t n = 0;
    for (size_t i = 0; i < b->n_groups; i++)
        n += xe_bag_count_before(b->t, b->groups[i].s, old, sequence);
    return n;
}

/* Publishes the one item, and drops what it replaces: as a list write, for these are in two places,
 * and mostly in two segments. */
static void publish_instead(struct batch *b, const struct group *from, struct xe_place *place)
{
    xe_batch_publish(b->t);
    xe_log_publish(b->t, b->slot);
    for (size_t i = 0; i < b->n_groups; i++) {
        const struct group *g = &b->groups[i];
        struct xe_image *img = xe_segment_image(g->s);
        if (g != from && g->first == g->end)
            continue;
        xe_segment_changes(g->s);
        if (g->first < g->end)
            publish_item(b, img, &b->items[g->first]);
        if (g == from)
            xe_table_drop(b->t, b->slot, img, place);
        xe_segment_changed(g->s);
    }
    xe_batch_published(b->t);
}

/* Under the list lock. */
static enum xe_status replace_item(struct batch *b, const struct xe_prepared *old,
                                   uint64_t sequence)
{
    struct xe_place place;
    const struct group *from = NULL;
    enum xe_status status = lock_all(b, true);
    if (status == XE_OK && !(from = find_replaced(b, old, sequence, &place)))
        status = XE_ABSENT;
    if (status == XE_OK && !xe_segment_own(b->t, b->slot, from->s, NULL))
        status = XE_NOMEM;
    if (status == XE_OK)
        status = own_all(b);
    if (status == XE_OK)
        status = write_all(b);
    /* Found again: its segment may have been rebuilt. */
    if (status == XE_OK) {
        from = find_replaced(b, old, sequence, &place);
        if (XE_UNLIKELY(b->t->log != NULL))
            b->slot->logging->place = count_before(b, old, sequence);
        publish_instead(b, from, &place);
    }
    unlock_all(b, status == XE_OK);
    return status;
}

static enum xe_status bag_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                                  const struct xe_prepared *old, uint64_t sequence,
                                  struct xe_prepared *p, bool patient)
{
    struct batch b;
    batch_init(&b, t, slot, p, 1, patient);
    enum xe_status status = xe_table_write_begin(t, slot);
    if (status != XE_OK)
        return status;
    xe_bag_number_as(p, sequence);
    status = XE_RETRY;
    batch_alloc(&b); /* a short list needs no memory */
    b.items[0] = (struct item){.hash = p->key.hash, .p = p};
    if (list_lock(&b)) {
        status = replace_item(&b, old, sequence);
        xe_lock_release(&t->list_lock);
    }
    batch_free(&b);
    return status;
}

enum xe_status xe_bag_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                              const struct xe_prepared *old, uint64_t sequence,
                              struct xe_prepared *p, bool patient)
{
    XE_ASSERT(t->kind == XE_DUPLICATE_BAG);
    if (XE_LIKELY(!t->log))
        return bag_replace(t, slot, old, sequence, p, patient);
    const struct xe_log_change change = {.op = XE_LOG_REPLACE, .objects = p, .n = 1, .old = old};
    struct xe_log_write write;
    enum xe_status status = xe_log_begin(t, slot, &change, &write);
    return status == XE_OK
               ? xe_log_end(t, slot, bag_replace(t, slot, old, sequence, p, patient))
               : status;
}
