/*
 * fill.c - many objects into a table, segment by segment.
 *
 *   1  lock the segment of the next object
 *   2  store objects as long as they belong to the segment and it has room
 *   3  no room: in a set, a rebuild for all of them that belong to it; go on with 1
 *
 * What is unusual (the key is there; a rebuild did not help; an ordered table has no room) is left to
 * xe_table_put_plain(), for one object.
 *
 * Readers meet each object when it is published, as after a write of its own (G1). Those of ordered
 * tables, which look at a segment's version, wait meanwhile: some microseconds.
 */
#include <stdlib.h>

#include "find.h"
#include "order_internal.h"
#include "table_internal.h"

enum {
    MOVES = 8,   /* for an item, in sorting what is nearly in order */
    HELD = 512,  /* objects that are stored while a segment is locked */
    EXPECTED = 64, /* segments that are seen to in one section */
};

/* --- Order -------------------------------------------------------------- */

/* Sorts what is nearly in order, as objects are that come out of a table with the same hashes. False:
 * it is not; then it is a little more so. */
static bool sort_nearly(struct xe_fill_item *items, size_t n)
{
    size_t left = MOVES * n;
    for (size_t i = 1; i < n; i++) {
        struct xe_fill_item it = items[i];
        size_t j = i;
        for (; j && items[j - 1].hash > it.hash && left; j--, left--)
            items[j] = items[j - 1];
        items[j] = it;
        if (!left)
            return false;
    }
    return true;
}

static bool sort_by_byte(struct xe_fill_item *to, const struct xe_fill_item *from, size_t n,
                         unsigned shift)
{
    size_t ends[256] = {0};
    for (size_t i = 0; i < n; i++)
        ends[from[i].hash >> shift & 0xff]++;
    if (ends[from[0].hash >> shift & 0xff] == n)
        return false;
    for (size_t b = 0, end = 0; b < 256; b++) {
        size_t count = ends[b];
        ends[b] = end;
        end += count;
    }
    for (size_t i = 0; i < n; i++)
        to[ends[from[i].hash >> shift & 0xff]++] = from[i];
    return true;
}

/* By the bytes of the hashes from the bit `low` on. */
static void sort_by_bytes(struct xe_fill_item *items, struct xe_fill_item *other, size_t n,
                          unsigned low)
{
    struct xe_fill_item *at = items, *to = other;
    for (unsigned shift = low; shift < 64; shift += 8)
        if (sort_by_byte(to, at, n, shift)) {
            struct xe_fill_item *from = at;
            at = to;
            to = from;
        }
    if (at != items)
        memcpy(items, at, n * sizeof *at);
}

/* Whether no hash comes behind one that is greater by more than `slack`. */
static bool is_nearly_sorted(const struct xe_fill_item *items, size_t n, uint64_t slack)
{
    uint64_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t hash = items[i].hash;
        if (XE_UNLIKELY(hash < most && most - hash > slack))
            return false;
        most = hash > most ? hash : most;
    }
    return true;
}

void xe_table_fill_sort(struct xe_fill_item *items, struct xe_fill_item *other, size_t n,
                        uint64_t slack)
{
    if (is_nearly_sorted(items, n, slack) || sort_nearly(items, n))
        return;
    /* The upper half decides nearly always. */
    sort_by_bytes(items, other, n, 32);
    if (!sort_nearly(items, n))
        sort_by_bytes(items, other, n, 0);
}

/* --- Objects ------------------------------------------------------------ */

static inline void key_of(struct xe_key *key, const struct xe_table *t,
                          const struct xe_fill_item *it)
{
    uint32_t klen = xe_record_klen(xe_load32(it->rec));
    const uint8_t *bytes = it->rec + XE_HDR_BYTES;
    if (t->kind == XE_ORDERED) {
        xe_key_init_order(key, bytes, klen, NULL, 0);
        return;
    }
    key->bytes = key->full = bytes;
    key->klen = key->full_len = klen;
    key->handles = NULL;
    key->n_handles = key->flags = 0;
    key->hash = it->hash;
    if (XE_LIKELY(klen <= XE_KEY_SHORT)) {
        uint64_t w0, w1;
        xe_bytes_words(bytes, klen, &w0, &w1);
        key->words[0] = w0;
        key->words[1] = w1;
    }
}

enum added { ADDED, FOUND, NO_ROOM };

/* Whether a key of an ordered table is behind all of a locked segment's image, where it goes then. */
static inline bool is_last(const struct xe_image *img, const struct xe_key *key,
                           struct xe_place *place)
{
    if (xe_image_count(img) == 0)
        return false;
    xe_leaves_edge(img, true, place);
    struct xe_place last = *place;
    uint32_t off = xe_leaves_backward(img, &last);
    place->off = 0;
    return off && xe_leaves_compare(key, xe_image_record(img, off)) > 0;
}

/* Stores an object with a new key in the image of a locked segment. `last`: its place is known. */
static inline enum added add(const struct xe_table *t, struct xe_image *img,
                             const struct xe_key *key, const uint8_t *rec, bool last,
                             struct xe_place place)
{
    uint32_t units = xe_record_units(xe_load32(rec)), off;
    bool ordered = t->kind == XE_ORDERED;
    if (!last && (ordered ? xe_leaves_find(img, key, &place) : xe_find(img, key, &place)))
        return FOUND;
    bool has_place = ordered ? xe_leaves_has_place(img, &place)
                             : xe_image_has_room(img, 1) &&
                                   xe_image_reserve_places(img, key->hash, 1);
    if (!has_place || !(off = xe_image_alloc(img, units)))
        return NO_ROOM;
    xe_record_copy(xe_image_record(img, off), rec, units);
    xe_image_count_in(img, rec);
    if (ordered)
        xe_leaves_add(img, key, &place, off);
    else
        xe_image_add(img, key->hash, off);
    return ADDED;
}

/* --- Segments ----------------------------------------------------------- */

/* Whether a key belongs to a locked segment. `right`: the one behind it, in an ordered table. `last`:
 * it is behind a key that does. */
static inline bool is_of(const struct xe_table *t, const struct xe_segment *s,
                         const struct xe_segment *right, const struct xe_key *key, bool last)
{
    if (t->kind != XE_ORDERED)
        return s->lo <= key->hash && key->hash <= s->hi;
    return (last || xe_order_is_behind(s, key)) && (!right || !xe_order_is_behind(right, key));
}

/* Makes room for arrivals in a locked segment, and unlocks it. */
static enum xe_status rebuild(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                              struct xe_arrival *arrivals, size_t n)
{
    struct xe_segment *out[XE_REBUILD_PARTS];
    uint32_t n_out;
    enum xe_status status = xe_rebuild(t, slot, s, arrivals, n, XE_SPLIT_NO, out, &n_out);
    if (status != XE_OK) {
        xe_table_finish(t, slot, s, false);
        return status;
    }
    for (uint32_t i = 0; i < n_out; i++)
        xe_lock_release(&out[i]->lock);
    return XE_OK;
}

static int compare_arrivals(const void *a, const void *b)
{
    const struct xe_arrival *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* The same for the items that belong to it, of a set. */
static enum xe_status make_room(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *s, const struct xe_fill_item *items, size_t n)
{
    size_t most = n < XE_REBUILD_ARRIVALS ? n : XE_REBUILD_ARRIVALS, of = 0;
    struct xe_arrival *arrivals = xe_cb.alloc(most * sizeof *arrivals);
    if (!arrivals) {
        xe_table_finish(t, slot, s, false);
        return XE_NOMEM;
    }
    bool sorted = true;
    for (; of < most && s->lo <= items[of].hash && items[of].hash <= s->hi; of++) {
        arrivals[of] = (struct xe_arrival){.hash = items[of].hash,
                                           .units = xe_record_units(xe_load32(items[of].rec))};
        sorted &= of == 0 || arrivals[of - 1].hash <= arrivals[of].hash;
    }
    if (!sorted)
        qsort(arrivals, of, sizeof *arrivals, compare_arrivals);
    enum xe_status status = rebuild(t, slot, s, arrivals, of);
    xe_cb.free(arrivals);
    return status;
}

/* The unusual, or the next one where there is no room. */
static enum xe_status put_one(struct xe_table *t, struct xe_epoch_slot *slot,
                              const struct xe_key *key, const uint8_t *rec, size_t *done)
{
    /* What pads a record is not in its length, but may be. */
    enum xe_status status = xe_table_put_plain(t, slot, key, rec,
                                               xe_record_bytes(xe_load32(rec)), XE_PUT);
    *done += status == XE_OK;
    return status;
}

/* Stores items in a locked segment, from *done on, and unlocks it. `again`: room has been made for
 * the first of them just now; *room: it has been made now. */
static enum xe_status fill_segment(struct xe_table *t, struct xe_epoch_slot *slot,
                                   struct xe_segment *s, const struct xe_fill_item *items,
                                   size_t n, size_t *done, bool again, bool *room)
{
    struct xe_key key;
    enum added added = ADDED;
    size_t i = *done, end = n - i < HELD ? n : i + HELD;
    bool ordered = t->kind == XE_ORDERED;
    const struct xe_segment *right = ordered ? xe_order_right(t, s) : NULL;
    *room = false;
    if (XE_UNLIKELY(!xe_segment_own(t, slot, s, NULL))) {
        xe_table_finish(t, slot, s, false);
        return XE_NOMEM;
    }
    struct xe_image *img = xe_segment_image(s);
    if (XE_LIKELY(!xe_image_is_empty(img))) {
        xe_segment_changes(s);
        for (; i < end; i++) {
            struct xe_place place = {0};
            key_of(&key, t, &items[i]);
            bool last = ordered && is_last(img, &key, &place);
            if (!is_of(t, s, right, &key, last))
                break;
            added = add(t, img, &key, items[i].rec, last, place);
            if (XE_UNLIKELY(added != ADDED))
                break;
        }
        xe_segment_changed(s);
        if (ordered)
            xe_order_counted(s, xe_image_count(img));
    } else {
        key_of(&key, t, &items[i]);
        added = NO_ROOM;
    }
    again = again && i == *done;
    *done = i;
    if (added == NO_ROOM && !ordered && !again) {
        *room = true;
        return make_room(t, slot, s, items + i, n - i);
    }
    xe_table_finish(t, slot, s, false);
    return added == ADDED ? XE_OK : put_one(t, slot, &key, items[i].rec, done);
}

/* Each is a change of its own to the log (log.h). */
static enum xe_status fill_logged(struct xe_table *t, struct xe_epoch_slot *slot,
                                  const struct xe_fill_item *items, size_t n, size_t *done)
{
    struct xe_key key;
    enum xe_status status = XE_OK;
    while (status == XE_OK && *done < n) {
        const struct xe_fill_item *it = &items[*done];
        key_of(&key, t, it);
        status = put_one(t, slot, &key, it->rec, done);
    }
    return status;
}

enum xe_status xe_table_fill(struct xe_table *t, struct xe_epoch_slot *slot,
                             const struct xe_fill_item *items, size_t n, size_t *done)
{
    struct xe_key key;
    bool room = false;
    *done = 0;
    if (XE_UNLIKELY(t->log != NULL))
        return fill_logged(t, slot, items, n, done);
    enum xe_status status = xe_table_write_begin(t, slot);
    while (status == XE_OK && *done < n) {
        key_of(&key, t, &items[*done]);
        struct xe_segment *s = xe_segment_acquire_key(t, &key);
        status = s ? fill_segment(t, slot, s, items, n, done, room, &room) : XE_RETRY;
    }
    return status;
}

/* --- Room --------------------------------------------------------------- */

/* So many arrivals, evenly in the range of a locked segment. */
static enum xe_status expect(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                             size_t n, uint32_t units)
{
    struct xe_arrival *arrivals = xe_cb.alloc(n * sizeof *arrivals);
    uint64_t step = (s->hi - s->lo) / n, hash = s->lo;
    if (!arrivals) {
        xe_table_finish(t, slot, s, false);
        return XE_NOMEM;
    }
    for (size_t i = 0; i < n; i++, hash += step)
        arrivals[i] = (struct xe_arrival){.hash = hash, .units = units};
    enum xe_status status = rebuild(t, slot, s, arrivals, n);
    xe_cb.free(arrivals);
    return status;
}

enum xe_status xe_table_expect(struct xe_table *t, struct xe_epoch_slot *slot, uint64_t objects,
                               uint32_t units, uint64_t *position, bool *more)
{
    uint64_t seen = 0; /* the identifier of the segment that there was at the position before */
    XE_ASSERT(t->kind == XE_SET);
    enum xe_status status = xe_table_write_begin(t, slot);
    *more = true;
    for (int i = 0; i < EXPECTED && status == XE_OK && *more; i++) {
        struct xe_segment *s = xe_segment_acquire(t, *position);
        if (!s)
            return XE_RETRY;
        uint64_t n = (uint64_t)((unsigned __int128)(s->hi - s->lo) * objects >> 64);
        struct xe_image *img = xe_segment_image(s);
        bool large = n > t->max_objects;
        bool roomy = s->id == seen || n == 0 ||
                     (!large && !xe_image_is_empty(img) && xe_image_has_room(img, (uint32_t)n));
        seen = s->id;
        if (large || !roomy) {
            /* It is cut before it gets room. */
            n = n < XE_REBUILD_ARRIVALS ? n : XE_REBUILD_ARRIVALS;
            status = expect(t, slot, s, (size_t)n, large ? 1 : units);
            continue;
        }
        *position = s->hi + 1;
        *more = *position != 0;
        xe_lock_release(&s->lock);
    }
    return status;
}
