/*
 * directory.c - from a hash to its segment.
 *
 * Two levels, both immutable but for the slots of the first: 2^bits slots, found by the
 * first bits of the hash, hold a segment or point to a leaf; a leaf lists, sorted, the
 * segments that meet the slot's range. A split makes the leaves it touches anew (a few
 * entries) and stores their slots; when there are fewer than two slots for each segment the
 * first level is doubled, both halves of a slot sharing its leaf until one of them changes;
 * when there are sixteen it is made anew, with a quarter of the slots.
 *
 * Readers may look at an old leaf while its slot changes. Then they find a segment
 * that has just moved: its image is frozen (I4), and what they read in it was true
 * when they loaded the slot. Writers see that it moved and look again.
 */
#include "order_internal.h"
#include "table_internal.h"

#define CONTAINER(ptr, type, member) ((type *)((uintptr_t)(ptr)-offsetof(type, member)))

static uint64_t slot_of(const struct xe_directory *d, uint64_t hash)
{
    return hash >> 1 >> (63 - d->bits);
}

/* First and last hash of a slot. */
static uint64_t slot_lo(const struct xe_directory *d, uint64_t s)
{
    return d->bits ? s << (64 - d->bits) : 0;
}

static uint64_t slot_hi(const struct xe_directory *d, uint64_t s)
{
    return d->bits ? slot_lo(d, s) + (UINT64_MAX >> d->bits) : UINT64_MAX;
}

/* --- Segments ----------------------------------------------------------- */

static void *align_line(void *p)
{
    return (void *)(((uintptr_t)p + XE_CACHE_LINE - 1) & ~(uintptr_t)(XE_CACHE_LINE - 1));
}

/* A number in [0.75, 1) of the maximum, so that segments of a uniform hash do
 * not all split at the same moment. Drawn from where the range begins. */
static uint32_t draw_limit(const struct xe_table *t, uint64_t from)
{
    uint64_t x = (from ^ t->seed) * 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull >> 40;
    return t->max_objects * 3 / 4 + (uint32_t)(x * (t->max_objects / 4 + 1) >> 24);
}

struct xe_segment *xe_segment_alloc(struct xe_table *t, uint64_t draw, struct xe_image *image,
                                    bool locked)
{
    void *p = xe_cb.alloc(XE_SEGMENT_BYTES);
    if (!p)
        return NULL;
    struct xe_segment *s = align_line(p);
    memset(s, 0, sizeof *s);
    s->allocation = p;
    s->limit = draw_limit(t, draw);
    s->id = xe_core_segment();
    atomic_init(&s->image, image);
    atomic_init(&s->lock, locked);
    atomic_init(&s->heat, t->hot ? HEAT_INITIAL : 0);
    xe_table_account(t, XE_SEGMENT_BYTES);
    return s;
}

struct xe_segment *xe_segment_new(struct xe_table *t, uint64_t lo, uint64_t hi,
                                  struct xe_image *image, bool locked)
{
    struct xe_segment *s = xe_segment_alloc(t, lo, image, locked);
    if (s) {
        s->lo = lo;
        s->hi = hi;
    }
    return s;
}

void xe_segment_discard(struct xe_table *t, struct xe_segment *s)
{
    if (t->kind == XE_ORDERED)
        xe_order_fence_drop(t, s);
    xe_table_account(t, -XE_SEGMENT_BYTES);
    xe_cb.free(s->allocation);
}

static void free_segment(struct xe_retired *r)
{
    xe_cb.free(CONTAINER(r, struct xe_segment, retired)->allocation);
}

static void retire_segment(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s)
{
    xe_table_account(t, -XE_SEGMENT_BYTES);
    s->retired.free = free_segment;
    s->retired.bytes = XE_SEGMENT_BYTES;
    xe_epoch_retire(slot, &s->retired);
}

/* --- Leaves and the first level ----------------------------------------- */

/* `at`: NULL if the caller will write the entries. */
static struct xe_leaf *leaf_new(struct xe_table *t, const struct xe_leaf_entry *at, uint32_t n)
{
    struct xe_leaf *leaf = xe_cb.alloc(xe_leaf_bytes(n));
    if (!leaf)
        return NULL;
    leaf->n = n;
    leaf->slots = 0;
    if (at)
        memcpy(leaf->at, at, n * sizeof *at);
    xe_table_account(t, (int64_t)xe_leaf_bytes(n));
    return leaf;
}

static void leaf_discard(struct xe_table *t, struct xe_leaf *leaf)
{
    xe_table_account(t, -(int64_t)xe_leaf_bytes(leaf->n));
    xe_cb.free(leaf);
}

static void free_leaf(struct xe_retired *r)
{
    xe_cb.free(CONTAINER(r, struct xe_leaf, retired));
}

/* The leaf of a slot; NULL: it holds a segment. */
static struct xe_leaf *slot_leaf(uintptr_t slot)
{
    return slot & SLOT_SEGMENT ? NULL : (struct xe_leaf *)slot;
}

/* One slot of the directory less points to what `old` points to. */
static void slot_release(struct xe_table *t, struct xe_epoch_slot *slot, uintptr_t old)
{
    struct xe_leaf *leaf = slot_leaf(old);
    if (!leaf || --leaf->slots)
        return;
    xe_table_account(t, -(int64_t)xe_leaf_bytes(leaf->n));
    leaf->retired.free = free_leaf;
    leaf->retired.bytes = xe_leaf_bytes(leaf->n);
    xe_epoch_retire(slot, &leaf->retired);
}

static void free_directory(struct xe_retired *r)
{
    xe_cb.free(CONTAINER(r, struct xe_directory, retired));
}

static struct xe_directory *directory_alloc(struct xe_table *t, uint32_t bits)
{
    struct xe_directory *d = xe_cb.alloc(xe_directory_bytes(bits));
    if (!d)
        return NULL;
    d->bits = bits;
    xe_table_account(t, (int64_t)xe_directory_bytes(bits));
    return d;
}

struct xe_directory *xe_directory_new(struct xe_table *t)
{
    if (t->kind == XE_ORDERED)
        return xe_order_directory_new(t);
    struct xe_directory *d = directory_alloc(t, 0);
    struct xe_segment *s = xe_segment_new(t, 0, UINT64_MAX, xe_image_empty, false);
    if (d && s) {
        atomic_init(&d->n_segments, 1);
        atomic_init(&d->slot[0], (uintptr_t)s | SLOT_SEGMENT);
        return d;
    }
    if (s)
        xe_segment_discard(t, s);
    if (d) {
        xe_table_account(t, -(int64_t)xe_directory_bytes(0));
        xe_cb.free(d);
    }
    return NULL;
}

/* What is done on the way through a directory that is freed. */
struct ending {
    bool gone;
    struct xe_image **list;
};

static void free_segment_now(struct xe_segment *s, const struct ending *end)
{
    struct xe_image *img = xe_segment_image(s);
    if (end->gone)
        xe_image_set_gone(img);
    xe_image_drop(img, end->list);
    if (s->allocation)
        xe_cb.free(s->allocation);
}

/* What a slot lists; `one` is room for the entry of a slot that holds a segment. */
static uint32_t slot_entries(const struct xe_directory *d, uint64_t s, struct xe_leaf_entry *one,
                             const struct xe_leaf_entry **at)
{
    uintptr_t slot = atomic_load_explicit(&d->slot[s], memory_order_relaxed);
    if (slot_leaf(slot)) {
        *at = slot_leaf(slot)->at;
        return slot_leaf(slot)->n;
    }
    one->segment = (struct xe_segment *)(slot - SLOT_SEGMENT);
    one->lo = one->segment->lo;
    *at = one;
    return 1;
}

/* The last hash that entry i of n is for. A leaf that was shared by slots may list
 * segments of other slots, which may have moved and be gone since: nothing outside of
 * the slot may be looked into, and ranges are known by the neighbours' first hashes. */
static uint64_t entry_hi(const struct xe_leaf_entry *at, uint32_t n, uint32_t i)
{
    return i + 1 < n ? at[i + 1].lo - 1 : UINT64_MAX;
}

/* Listed in every slot it meets, a segment goes with the last one. */
static void free_slot(uintptr_t slot, uint64_t lo, uint64_t hi, const struct ending *end)
{
    struct xe_leaf *leaf = slot_leaf(slot);
    if (!leaf) {
        struct xe_segment *s = (struct xe_segment *)(slot - SLOT_SEGMENT);
        if (s->hi <= hi)
            free_segment_now(s, end);
        return;
    }
    for (uint32_t i = 0; i < leaf->n && leaf->at[i].lo <= hi; i++)
        if (entry_hi(leaf->at, leaf->n, i) >= lo && leaf->at[i].segment->hi <= hi)
            free_segment_now(leaf->at[i].segment, end);
    if (--leaf->slots == 0)
        xe_cb.free(leaf);
}

void xe_directory_free(struct xe_directory *d, bool gone, struct xe_image **list)
{
    struct ending end = {gone, list};
    if (d->bits == XE_DIRECTORY_ORDERED) {
        xe_order_directory_free(d, gone, list);
        return;
    }
    for (uint64_t i = 0; i < 1ull << d->bits; i++)
        free_slot(atomic_load_explicit(&d->slot[i], memory_order_relaxed), slot_lo(d, i),
                  slot_hi(d, i), &end);
    xe_cb.free(d);
}

/* --- Making one of what there is ------------------------------------------ */

/* The leaf for segments [first, end), which meet a slot. NULL: out of memory. */
static struct xe_leaf *leaf_of(struct xe_table *t, struct xe_segment *segments, uint32_t first,
                               uint32_t end)
{
    struct xe_leaf *leaf = leaf_new(t, NULL, end - first);
    for (uint32_t i = first; leaf && i < end; i++)
        leaf->at[i - first] =
            (struct xe_leaf_entry){.lo = segments[i].lo, .segment = &segments[i]};
    return leaf;
}

/* Takes back the first n slots of a directory that nobody has seen. */
static void directory_discard(struct xe_table *t, struct xe_directory *d, uint64_t n)
{
    while (n--) {
        struct xe_leaf *leaf = slot_leaf(atomic_load_explicit(&d->slot[n], memory_order_relaxed));
        if (leaf && --leaf->slots == 0)
            leaf_discard(t, leaf);
    }
    xe_table_account(t, -(int64_t)xe_directory_bytes(d->bits));
    xe_cb.free(d);
}

struct xe_directory *xe_directory_of(struct xe_table *t, struct xe_segment *segments, uint32_t n,
                                     uint32_t bits)
{
    struct xe_directory *d = directory_alloc(t, bits);
    struct xe_leaf *last = NULL;
    uint32_t first = 0, end = 0, last_first = 0;
    for (uint64_t s = 0; d && s < 1ull << bits; s++) {
        while (segments[first].hi < slot_lo(d, s))
            first++;
        for (end = end > first ? end : first; end < n && segments[end].lo <= slot_hi(d, s);)
            end++;
        uintptr_t slot = (uintptr_t)&segments[first] | SLOT_SEGMENT;
        if (end - first > 1) {
            bool same = last && last_first == first && last->n == end - first;
            struct xe_leaf *leaf = same ? last : leaf_of(t, segments, first, end);
            if (!leaf) {
                directory_discard(t, d, s);
                return NULL;
            }
            leaf->slots++;
            last = leaf;
            last_first = first;
            slot = (uintptr_t)leaf;
        }
        atomic_init(&d->slot[s], slot);
    }
    if (d)
        atomic_init(&d->n_segments, n);
    return d;
}

/* --- The width of the first level ----------------------------------------- */

enum {
    NARROW_BITS = 2,      /* by so much it shrinks at a time, and by one it grows */
    NARROW_FROM_MAX = 16, /* making one of 2^16 slots anew takes 0.5 ms, of more too long */
};

static bool is_too_narrow(const struct xe_directory *d, uint32_t n_segments)
{
    return n_segments > 1u << d->bits >> 1;
}

/* Far enough from the other, so that no table goes to and fro between the two. */
static bool is_too_wide(const struct xe_directory *d, uint32_t n_segments)
{
    return d->bits >= NARROW_BITS && d->bits <= NARROW_FROM_MAX &&
           n_segments <= 1u << d->bits >> (NARROW_BITS + 2);
}

static void publish_directory(struct xe_table *t, struct xe_epoch_slot *slot,
                              struct xe_directory *old, struct xe_directory *fresh)
{
    atomic_init(&fresh->n_segments,
                atomic_load_explicit(&old->n_segments, memory_order_relaxed));
    /* Release: pairs with xe_directory_find(). */
    atomic_store_explicit(&t->directory, fresh, memory_order_release);
    xe_table_account(t, -(int64_t)xe_directory_bytes(old->bits));
    old->retired.free = free_directory;
    old->retired.bytes = xe_directory_bytes(old->bits);
    xe_epoch_retire(slot, &old->retired);
}

/* What slot s of `wide`, which is half of an old slot, holds: its only segment, or the old
 * slot's leaf. */
static uintptr_t half_slot(const struct xe_directory *wide, uint64_t s, uintptr_t old)
{
    struct xe_leaf *leaf = slot_leaf(old);
    uint64_t lo = slot_lo(wide, s), hi = slot_hi(wide, s);
    struct xe_segment *only = NULL;
    if (!leaf)
        return old;
    for (uint32_t i = 0; i < leaf->n && leaf->at[i].lo <= hi; i++) {
        if (entry_hi(leaf->at, leaf->n, i) < lo)
            continue;
        if (only)
            return old;
        only = leaf->at[i].segment;
    }
    return (uintptr_t)only | SLOT_SEGMENT;
}

/* Doubles the first level. NULL: no memory for that, it stays as it is. */
static struct xe_directory *widen(struct xe_table *t, struct xe_epoch_slot *slot,
                                  struct xe_directory *d)
{
    struct xe_directory *wide = directory_alloc(t, d->bits + 1);
    if (!wide)
        return NULL;
    for (uint64_t i = 0; i < 1ull << d->bits; i++) {
        uintptr_t old = atomic_load_explicit(&d->slot[i], memory_order_relaxed);
        for (uint64_t half = 2 * i; half <= 2 * i + 1; half++) {
            uintptr_t now = half_slot(wide, half, old);
            if (slot_leaf(now))
                slot_leaf(now)->slots++;
            atomic_init(&wide->slot[half], now);
        }
    }
    publish_directory(t, slot, d, wide);
    for (uint64_t i = 0; i < 1ull << d->bits; i++)
        slot_release(t, slot, atomic_load_explicit(&d->slot[i], memory_order_relaxed));
    return wide;
}

/* The segments that meet the slots [first, first + n), to `at`; NULL: they are only
 * counted. */
static uint32_t list_segments(const struct xe_directory *d, uint64_t first, uint64_t n,
                              struct xe_leaf_entry *at)
{
    const struct xe_segment *last = NULL;
    uint32_t found = 0;
    for (uint64_t s = first; s < first + n; s++) {
        struct xe_leaf_entry one;
        const struct xe_leaf_entry *entries;
        uint32_t n_entries = slot_entries(d, s, &one, &entries);
        for (uint32_t i = 0; i < n_entries && entries[i].lo <= slot_hi(d, s); i++) {
            if (entries[i].segment == last || entry_hi(entries, n_entries, i) < slot_lo(d, s))
                continue;
            last = entries[i].segment;
            if (at)
                at[found] = entries[i];
            found++;
        }
    }
    return found;
}

/* What one slot holds instead of the slots [first, first + n). 0: no memory. */
static uintptr_t joined_slot(struct xe_table *t, const struct xe_directory *d, uint64_t first,
                             uint64_t n)
{
    uint32_t segments = list_segments(d, first, n, NULL);
    struct xe_leaf_entry one;
    if (segments == 1) {
        list_segments(d, first, n, &one);
        return (uintptr_t)one.segment | SLOT_SEGMENT;
    }
    struct xe_leaf *leaf = leaf_new(t, NULL, segments);
    if (!leaf)
        return 0;
    list_segments(d, first, n, leaf->at);
    leaf->slots = 1;
    return (uintptr_t)leaf;
}

/* Makes the first level smaller. NULL: no memory for that, it stays as it is. */
static struct xe_directory *narrow(struct xe_table *t, struct xe_epoch_slot *slot,
                                   struct xe_directory *d)
{
    struct xe_directory *fresh = directory_alloc(t, d->bits - NARROW_BITS);
    uint64_t made = 0, n = 1ull << (d->bits - NARROW_BITS);
    if (!fresh)
        return NULL;
    for (; made < n; made++) {
        uintptr_t joined = joined_slot(t, d, made << NARROW_BITS, 1 << NARROW_BITS);
        if (!joined)
            break;
        atomic_init(&fresh->slot[made], joined);
    }
    if (made < n) {
        while (made--) {
            struct xe_leaf *leaf =
                slot_leaf(atomic_load_explicit(&fresh->slot[made], memory_order_relaxed));
            if (leaf)
                leaf_discard(t, leaf);
        }
        xe_table_account(t, -(int64_t)xe_directory_bytes(fresh->bits));
        xe_cb.free(fresh);
        return NULL;
    }
    publish_directory(t, slot, d, fresh);
    for (uint64_t i = 0; i < 1ull << d->bits; i++)
        slot_release(t, slot, atomic_load_explicit(&d->slot[i], memory_order_relaxed));
    return fresh;
}

static void adapt_width(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_directory *d)
{
    /* Relaxed: under the directory's lock. */
    uint32_t n = atomic_load_explicit(&d->n_segments, memory_order_relaxed);
    while (d && is_too_narrow(d, n))
        d = widen(t, slot, d);
    while (d && is_too_wide(d, n))
        d = narrow(t, slot, d);
}

/* --- Replacing segments ------------------------------------------------- */

/* One replacement under way. */
struct swap {
    struct xe_table *t;
    struct xe_directory *d;
    uint64_t lo, hi;                    /* the range replaced */
    struct xe_segment *const *to;
    uint32_t n_to, next_to;             /* next_to: first that can meet this slot */
    struct xe_leaf_entry *entries;      /* scratch: the entries of one new leaf */
    uintptr_t *fresh;                   /* what each slot will hold, from `first` on */
    uint64_t first, n_slots;
};

/* The entries of slot s after the replacement, into w->entries. */
static uint32_t new_entries(struct swap *w, uint64_t s)
{
    struct xe_leaf_entry one;
    const struct xe_leaf_entry *old;
    uint32_t n_old = slot_entries(w->d, s, &one, &old);
    uint64_t lo = slot_lo(w->d, s), hi = slot_hi(w->d, s);
    uint32_t n = 0, i = 0;
    for (; i < n_old && old[i].lo < w->lo; i++)
        if (entry_hi(old, n_old, i) >= lo)
            w->entries[n++] = old[i];
    while (w->to[w->next_to]->hi < lo)
        w->next_to++;
    for (uint32_t j = w->next_to; j < w->n_to && w->to[j]->lo <= hi; j++)
        w->entries[n++] = (struct xe_leaf_entry){.lo = w->to[j]->lo, .segment = w->to[j]};
    for (; i < n_old; i++)
        if (old[i].lo > w->hi && old[i].lo <= hi)
            w->entries[n++] = old[i];
    return n;
}

/* Makes w->fresh; neighbours with the same entries share a leaf. */
static bool make_slots(struct swap *w)
{
    struct xe_leaf *last = NULL;
    for (uint64_t i = 0; i < w->n_slots; i++) {
        uint32_t n = new_entries(w, w->first + i);
        if (n == 1) {
            w->fresh[i] = (uintptr_t)w->entries[0].segment | SLOT_SEGMENT;
            continue;
        }
        if (!last || last->n != n || memcmp(last->at, w->entries, n * sizeof *w->entries) != 0) {
            last = leaf_new(w->t, w->entries, n);
            if (!last) {
                w->n_slots = i;
                return false;
            }
        }
        last->slots++;
        w->fresh[i] = (uintptr_t)last;
    }
    return true;
}

static void discard_slots(struct swap *w)
{
    for (uint64_t i = 0; i < w->n_slots; i++) {
        struct xe_leaf *leaf = slot_leaf(w->fresh[i]);
        if (leaf && --leaf->slots == 0)
            leaf_discard(w->t, leaf);
    }
}

static bool swap_begin(struct swap *w, void **scratch)
{
    w->first = slot_of(w->d, w->lo);
    w->n_slots = slot_of(w->d, w->hi) - w->first + 1;
    uint32_t most = 0;
    /* Only the outer two slots keep entries of their own. */
    for (int side = 0; side < 2; side++) {
        struct xe_leaf_entry one;
        const struct xe_leaf_entry *at;
        uint64_t s = side ? w->first + w->n_slots - 1 : w->first;
        uint32_t n = slot_entries(w->d, s, &one, &at);
        most = n > most ? n : most;
    }
    size_t entries = ((size_t)most + w->n_to) * sizeof(struct xe_leaf_entry);
    *scratch = xe_cb.alloc(entries + w->n_slots * sizeof *w->fresh);
    if (!*scratch)
        return false;
    w->entries = *scratch;
    w->fresh = (uintptr_t *)(void *)((uint8_t *)*scratch + entries);
    return true;
}

static void swap_publish(struct swap *w, struct xe_epoch_slot *slot)
{
    for (uint64_t i = 0; i < w->n_slots; i++) {
        uintptr_t old = atomic_load_explicit(&w->d->slot[w->first + i], memory_order_relaxed);
        /* Release: pairs with xe_directory_find(). */
        atomic_store_explicit(&w->d->slot[w->first + i], w->fresh[i], memory_order_release);
        slot_release(w->t, slot, old);
    }
}

enum xe_status xe_directory_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                                    struct xe_segment *const *from, uint32_t n_from,
                                    struct xe_segment *const *to, uint32_t n_to)
{
    struct swap w = {.t = t, .lo = from[0]->lo, .hi = from[n_from - 1]->hi, .to = to,
                     .n_to = n_to};
    void *scratch;
    if (!xe_lock_take(&t->directory_lock, NULL))
        return XE_RETRY;
    w.d = atomic_load_explicit(&t->directory, memory_order_relaxed);
    enum xe_status status = XE_NOMEM;
    if (swap_begin(&w, &scratch)) {
        if (make_slots(&w)) {
            /* First: who finds new segments beside an old one sees that this one has moved. */
            for (uint32_t i = 0; i < n_from; i++)
                xe_segment_changes(from[i]);
            swap_publish(&w, slot);
            /* Relaxed: readers take it for an estimate. */
            uint32_t n = atomic_load_explicit(&w.d->n_segments, memory_order_relaxed) + n_to -
                         n_from;
            atomic_store_explicit(&w.d->n_segments, n, memory_order_relaxed);
            adapt_width(t, slot, w.d);
            status = XE_OK;
        } else {
            discard_slots(&w);
        }
        xe_cb.free(scratch);
    }
    xe_lock_release(&t->directory_lock);
    if (status != XE_OK)
        return status;
    for (uint32_t i = 0; i < n_from; i++) {
        from[i]->state = SEGMENT_MOVED;
        xe_lock_release(&from[i]->lock);
        retire_segment(t, slot, from[i]);
    }
    return XE_OK;
}
