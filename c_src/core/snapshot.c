/*
 * snapshot.c - tables that keep what another table had at one instant.
 *
 * A snapshot is a table with a directory and segments of its own, whose images are those of its
 * source: so all that reads tables reads snapshots. An image counts its holders, and is not
 * changed as long as there are several (I5 in image.h): a writer of the source who meets one
 * gives its segment a copy of it first, under the segment's lock (xe_segment_own()), and lets go
 * of the shared one. When a snapshot has gone, the source writes in place again.
 *
 *   source     segment --> image a (copied, and written since)
 *              segment --> image b <-- segment     snapshot
 *                          image c <-- segment     of what was in a
 *
 * The instant is that in which the gate is closed: no write is under way, so list writes are
 * there as a whole or not at all. In the gate every segment's image gets one holder more, which
 * takes 15 to 90 ns each; the memory for that is there before, and touched, and the directory is
 * made afterwards.
 *
 * Who frees. The last holder of an image frees it. A snapshot lets go of its images a grace period
 * after the last call could reach it, so a writer that finds its segment to be the only holder
 * finds no reader of a snapshot either. Readers of the source may be there still when a snapshot
 * turns out to be the last holder: images that were ever shared are freed after a grace period
 * that begins then.
 *
 * What it costs, and whom: an image that its table has left is counted for the snapshots
 * that have it, each a part of it; all else that they share is counted for the table.
 */
#include "order_internal.h"
#include "table_internal.h"

enum {
    TAKES = 4,                /* until there is room for all segments: more may have come */
    PATIENCE_NS = 1000000000, /* for writes under way, off the normal schedulers */
};

/* --- The segments of a table ------------------------------------------------ */

/* Goes through the segments in order. */
struct walk {
    const struct xe_directory *d;
    uint64_t position; /* of the next one: its first hash; in an ordered table that in its chunk */
    uint32_t chunk;
    bool ended;
};

static void walk_begin(struct walk *w, const struct xe_table *t)
{
    /* Acquire: pairs with the stores that publish directories. */
    *w = (struct walk){.d = atomic_load_explicit(&t->directory, memory_order_acquire)};
}

static const struct xe_segment *walk_ordered(struct walk *w)
{
    const struct xe_order_top *top = xe_order_top(w->d);
    while (w->chunk < top->n) {
        const struct xe_order_chunk *c = xe_order_top_chunk(top, w->chunk);
        if (w->position < c->n)
            return xe_order_chunk_segments(c)[w->position++];
        w->position = 0;
        w->chunk++;
    }
    return NULL;
}

/* NULL: that were all. */
static const struct xe_segment *walk_next(struct walk *w)
{
    if (w->d->bits == XE_DIRECTORY_ORDERED)
        return walk_ordered(w);
    if (w->ended)
        return NULL;
    const struct xe_segment *s = xe_directory_segment(w->d, w->position);
    w->position = s->hi + 1;
    w->ended = s->hi == UINT64_MAX;
    return s;
}

/* How many segments there are, roughly while others write. It loads what will be needed in the
 * gate. */
static uint32_t count_segments(const struct xe_table *t)
{
    struct walk w;
    uint32_t n = 0;
    walk_begin(&w, t);
    for (const struct xe_segment *s; (s = walk_next(&w)); n++)
        __builtin_prefetch(xe_segment_image(s));
    return n;
}

/* What is made of the segments, until it is a directory. */
struct taken {
    struct xe_segment *at;
    uint32_t n, cap;
    uint32_t bits; /* of the source's directory */
};

/* Room for the segments. They are made as they begin: with zeros. */
static bool taken_alloc(struct taken *k, struct xe_table *snapshot, uint32_t n)
{
    k->n = 0;
    k->cap = n + n / 8 + 8;
    size_t bytes = k->cap * sizeof *k->at + XE_CACHE_LINE;
    uint8_t *p = xe_cb.alloc(bytes);
    if (!p)
        return false;
    memset(p, 0, bytes);
    snapshot->segments = p;
    k->at = (void *)(((uintptr_t)p + XE_CACHE_LINE - 1) & ~(uintptr_t)(XE_CACHE_LINE - 1));
    xe_table_account(snapshot, (int64_t)bytes);
    return true;
}

static void taken_free(struct taken *k, struct xe_table *snapshot)
{
    xe_table_account(snapshot, -(int64_t)(k->cap * sizeof *k->at + XE_CACHE_LINE));
    xe_cb.free(snapshot->segments);
    snapshot->segments = NULL;
}

/* Takes the images of all segments. In the gate. False: there are more than was thought. */
static bool take(struct taken *k, const struct xe_table *t)
{
    struct walk w;
    if (xe_table_segments(t) > k->cap)
        return false;
    walk_begin(&w, t);
    k->bits = w.d->bits;
    for (const struct xe_segment *s; (s = walk_next(&w));) {
        struct xe_segment *to = &k->at[k->n++];
        struct xe_image *img = xe_segment_image(s);
        xe_image_share(img);
        atomic_init(&to->image, img);
        to->limit = s->limit;
        if (t->kind == XE_ORDERED) {
            /* The source's, until it is copied: it is there as long as this section is. */
            to->fence = s->fence;
        } else {
            to->lo = s->lo;
            to->hi = s->hi;
        }
    }
    return true;
}

/* Lets go of the images. */
static void give_back(struct taken *k, struct xe_epoch_slot *slot)
{
    for (uint32_t i = 0; i < k->n; i++)
        xe_image_let_go(slot, xe_segment_image(&k->at[i]));
}

/* --- The gate ---------------------------------------------------------------- */

/* What has no gate, for it does not change, needs none. */
static enum xe_status close_gate(struct xe_table *t, bool patient)
{
    if (t->is_snapshot)
        return XE_OK;
    return xe_table_close_gate_for(t, patient ? PATIENCE_NS : XE_LOCK_WAIT_NS);
}

static void open_gate(struct xe_table *t)
{
    if (!t->is_snapshot)
        xe_table_open_gate(t);
}

/* --- Taking ------------------------------------------------------------------- */

/* Gives segments of an ordered table fences of their own. */
static bool copy_fences(struct xe_table *snapshot, struct taken *k)
{
    bool ok = true;
    for (uint32_t i = 0; i < k->n; i++) {
        const struct xe_fence *fence = ok ? k->at[i].fence : NULL;
        ok = xe_order_fence_copy(snapshot, &k->at[i], fence) && ok;
    }
    for (uint32_t i = 0; !ok && i < k->n; i++) {
        xe_order_fence_drop(snapshot, &k->at[i]);
        k->at[i].fence = NULL;
    }
    return ok;
}

static bool make_directory(struct xe_table *snapshot, struct taken *k)
{
    struct xe_directory *d;
    for (uint32_t i = 0; i < k->n; i++)
        k->at[i].id = xe_core_segment();
    if (snapshot->kind != XE_ORDERED) {
        d = xe_directory_of(snapshot, k->at, k->n, k->bits);
    } else {
        if (!copy_fences(snapshot, k))
            return false;
        d = xe_order_directory_of(snapshot, k->at, k->n);
        for (uint32_t i = 0; !d && i < k->n; i++)
            xe_order_fence_drop(snapshot, &k->at[i]);
    }
    atomic_init(&snapshot->directory, d);
    return d != NULL;
}

static enum xe_status take_in_gate(struct xe_table *t, bool patient, void (*instant)(void *arg),
                                   void *arg, struct xe_table *snapshot, struct taken *k)
{
    for (int i = 0; i < TAKES; i++) {
        if (!taken_alloc(k, snapshot, count_segments(t)))
            return XE_NOMEM;
        enum xe_status status = close_gate(t, patient);
        bool taken = status == XE_OK && take(k, t);
        if (taken && instant)
            instant(arg);
        if (status == XE_OK)
            open_gate(t);
        if (taken)
            return XE_OK;
        taken_free(k, snapshot);
        if (status != XE_OK)
            return status;
    }
    return XE_RETRY;
}

enum xe_status xe_table_snapshot(struct xe_table *t, struct xe_epoch_slot *slot, bool patient,
                                 struct xe_table **out)
{
    return xe_table_snapshot_at(t, slot, patient, NULL, NULL, out);
}

enum xe_status xe_table_snapshot_at(struct xe_table *t, struct xe_epoch_slot *slot, bool patient,
                                    void (*instant)(void *arg), void *arg, struct xe_table **out)
{
    const struct xe_table_config config = {
        .seed = t->seed, .kind = t->kind, .max_objects = t->max_objects};
    struct taken k;
    struct xe_table *snapshot = xe_table_alloc(&config);
    if (!snapshot)
        return XE_NOMEM;
    snapshot->is_snapshot = true;
    atomic_init(&snapshot->gate, GATE_FROZEN);
    enum xe_status status = take_in_gate(t, patient, instant, arg, snapshot, &k);
    if (status == XE_OK && !make_directory(snapshot, &k)) {
        give_back(&k, slot);
        status = XE_NOMEM;
    }
    if (status == XE_OK)
        *out = snapshot;
    else
        xe_table_free(snapshot);
    return status;
}

/* --- What it costs -------------------------------------------------------------- */

/* A part of the blobs that an image has and its table has not. */
static uint64_t blob_bytes(const struct xe_image *img)
{
    struct xe_image_cursor cursor = {0};
    uint64_t bytes = 0;
    for (uint32_t off; (off = xe_image_next(img, &cursor));) {
        const uint8_t *rec = xe_image_record(img, off);
        uint32_t header = xe_load32(rec);
        if (!(header & XE_REC_BLOB))
            continue;
        const struct xe_blob *b = xe_record_blob(rec, header);
        /* Relaxed, both: a sum that promises no instant. */
        if (atomic_load_explicit(&b->gone, memory_order_relaxed))
            bytes += b->bytes / atomic_load_explicit(&b->refs, memory_order_relaxed);
    }
    return bytes;
}

uint64_t xe_snapshot_bytes(const struct xe_table *t)
{
    struct walk w;
    uint64_t bytes = 0;
    walk_begin(&w, t);
    for (const struct xe_segment *s; (s = walk_next(&w));) {
        const struct xe_image *img = xe_segment_image(s);
        /* Relaxed, both: as above. */
        if (!atomic_load_explicit(&img->gone, memory_order_relaxed))
            continue;
        uint64_t whole = img->bytes + (img->blobs ? blob_bytes(img) : 0);
        bytes += whole / atomic_load_explicit(&img->refs, memory_order_relaxed);
    }
    return bytes;
}
