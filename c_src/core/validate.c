/*
 * validate.c - walkers that check the invariants of images and tables, for tests.
 *
 * They print what is wrong, so that a failing test says more than "false".
 */
#include <inttypes.h>
#include <stdio.h>

#include "find.h"
#include "order_internal.h"
#include "table_internal.h"

#define CHECK(cond, ...)                                                                          \
    do {                                                                                          \
        if (!(cond)) {                                                                            \
            fprintf(stderr, "invalid: %s: ", #cond);                                              \
            fprintf(stderr, __VA_ARGS__);                                                         \
            fputc('\n', stderr);                                                                  \
            return false;                                                                         \
        }                                                                                         \
    } while (0)

/* Which units of an image are in use: each at most once. */
struct cover {
    uint8_t used[XE_IMAGE_BYTES_MAX / XE_UNIT];
};

static bool claim(struct cover *c, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++) {
        if (c->used[i])
            return false;
        c->used[i] = 1;
    }
    return true;
}

/* Whether `b` is in the chain of home bucket `home`. */
static bool in_chain(const struct xe_image *img, const struct xe_bucket *home,
                     const struct xe_bucket *b)
{
    for (;; home = xe_image_linked(img, home->link)) {
        if (home == b)
            return true;
        if (!home->link)
            return false;
    }
}

/* The place that a record takes. */
static bool extent_is_valid(const struct xe_image *img, uint32_t off, struct cover *cover)
{
    uint32_t units = xe_record_units(xe_load32(xe_image_record(img, off)));
    uint32_t first = xe_image_first(img);
    CHECK(units > 0 && off >= first && off + units <= img->top, "record at %u of %u units", off,
          units);
    CHECK(claim(cover, off, units), "record at %u overlaps another", off);
    return true;
}

static bool record_is_valid(const struct xe_image *img, uint64_t seed, uint32_t off,
                            const struct xe_bucket *bucket, uint32_t place, struct cover *cover)
{
    const uint8_t *rec = xe_image_record(img, off);
    if (!extent_is_valid(img, off, cover))
        return false;
    uint64_t hash = xe_record_hash(rec, seed);
    CHECK(bucket->fp[place] == xe_image_print(img, hash), "fingerprint of the record at %u", off);
    CHECK(hash >= img->lo, "hash %" PRIx64 " below the image's range", hash);
    CHECK(in_chain(img, xe_image_home(img, hash), bucket), "record at %u in a foreign bucket", off);
    return true;
}

static bool ring_is_valid(const struct xe_image *img, struct cover *cover)
{
    CHECK(img->ring_len <= img->ring_cap, "ring length %u", img->ring_len);
    CHECK(img->ring_at + 4 * img->ring_cap <= img->bytes, "ring beyond the image");
    CHECK(img->bottom * XE_UNIT <= img->ring_at && img->top <= img->bottom, "top %u bottom %u",
          img->top, img->bottom);
    for (uint32_t i = 0; i < img->ring_len; i++) {
        uint32_t e = ((const uint32_t *)((uintptr_t)img + img->ring_at))[(img->ring_head + i) %
                                                                         img->ring_cap];
        CHECK((e & 0x3fff) + (e >> 14 & 0x1ff) <= img->top, "ring entry %x", e);
        CHECK(claim(cover, e & 0x3fff, e >> 14 & 0x1ff), "ring entry %x overlaps", e);
    }
    return true;
}

static bool is_blob(const uint8_t *rec)
{
    return xe_load32(rec) & XE_REC_BLOB;
}

static uint32_t pinned_by(const uint8_t *rec)
{
    uint32_t header = xe_load32(rec);
    return header & XE_REC_EXT ? xe_record_ext(rec, header).pinned : 0;
}

/* What the records of an image add up to. */
static bool sums_are_valid(const struct xe_image *img, uint32_t count, uint32_t live,
                           uint32_t pinned, uint32_t blobs)
{
    CHECK(blobs == img->blobs, "%u blobs, %u counted", blobs, img->blobs);
    CHECK(xe_image_is_empty(img) || img->refs > 0, "held by nobody");
    CHECK(count == atomic_load(&img->count), "%u objects, %u counted", count, img->count);
    CHECK(live == img->live, "%u units live, %u counted", live, img->live);
    CHECK(pinned == img->pinned_live, "%u pinned, %u counted", pinned, img->pinned_live);
    CHECK(!pinned || img->env, "terms without an environment");
    return true;
}

static bool ordered_image_is_valid(const struct xe_image *img, struct cover *cover)
{
    struct xe_place place;
    uint32_t count = 0, live = 0, pinned = 0, blobs = 0;
    if (!xe_leaves_are_valid(img))
        return false;
    xe_leaves_edge(img, false, &place);
    for (uint32_t off; (off = xe_leaves_forward(img, &place)) != 0; count++) {
        if (!extent_is_valid(img, off, cover))
            return false;
        live += xe_record_units(xe_load32(xe_image_record(img, off)));
        pinned += pinned_by(xe_image_record(img, off));
        blobs += is_blob(xe_image_record(img, off));
    }
    return sums_are_valid(img, count, live, pinned, blobs) && ring_is_valid(img, cover);
}

bool xe_image_is_valid(const struct xe_image *img, uint64_t seed)
{
    static _Thread_local struct cover cover;
    uint32_t count = 0, live = 0, pinned = 0, blobs = 0;
    memset(&cover, 0, sizeof cover);
    if (img->ordered)
        return ordered_image_is_valid(img, &cover);
    for (uint32_t i = 0; i < img->nbuckets; i++) {
        const struct xe_bucket *b = xe_image_buckets(img) + i;
        for (;; b = xe_image_linked(img, b->link)) {
            for (uint32_t j = 0; j < XE_BUCKET_PLACES; j++) {
                CHECK(b->off[j] || j >= b->hint, "place %u below hint %u is empty", j, b->hint);
                if (!b->off[j])
                    continue;
                if (!record_is_valid(img, seed, b->off[j], b, j, &cover))
                    return false;
                live += xe_record_units(xe_load32(xe_image_record(img, b->off[j])));
                pinned += pinned_by(xe_image_record(img, b->off[j]));
                blobs += is_blob(xe_image_record(img, b->off[j]));
                count++;
            }
            if (!b->link)
                break;
            CHECK((uint32_t)b->link * (XE_BUCKET_BYTES / XE_UNIT) >= img->bottom, "link %u",
                  b->link);
        }
    }
    CHECK(count <= img->room || count == 0, "%u objects in an image for %u", count, img->room);
    return sums_are_valid(img, count, live, pinned, blobs) &&
           (xe_image_is_empty(img) || ring_is_valid(img, &cover));
}

/* Whether the bytes of everything add up. */
struct sum {
    int64_t bytes;    /* of the table's own */
    int64_t contents; /* of images and blobs */
    uint32_t segments;
};

static bool segment_is_valid(const struct xe_table *t, const struct xe_segment *s, uint64_t lo,
                             struct sum *sum)
{
    const struct xe_image *img = xe_segment_image(s);
    CHECK(s->lo == lo && s->hi >= lo, "segment %" PRIx64 "..%" PRIx64, s->lo, s->hi);
    CHECK(atomic_load(&s->lock) == 0 && s->state == SEGMENT_LIVE, "locked or moved");
    CHECK(xe_directory_find(t, s->hi) == s, "its last hash leads elsewhere");
    if (!xe_image_is_empty(img))
        CHECK(img->lo == s->lo, "image for %" PRIx64, img->lo);
    struct xe_image_cursor cursor = {0};
    for (uint32_t off; (off = xe_image_next(img, &cursor));) {
        const uint8_t *rec = xe_image_record(img, off);
        uint32_t header = xe_load32(rec);
        CHECK(xe_record_hash(rec, t->seed) <= s->hi, "hash above the range");
        CHECK(!(header & XE_REC_BAG) == (t->kind == XE_SET), "a record of another kind of table");
        if (header & XE_REC_BLOB)
            sum->contents += (int64_t)xe_record_blob(rec, header)->bytes;
    }
    sum->bytes += XE_SEGMENT_BYTES;
    sum->contents += img->bytes;
    sum->segments++;
    return xe_image_is_valid(img, t->seed);
}

/* The slots up to `end` that point to `leaf`: none is before that of its first hash. */
static uint32_t slots_of(const struct xe_directory *d, const struct xe_leaf *leaf, uint64_t end)
{
    uint32_t n = 0;
    for (uint64_t i = leaf->at[0].lo >> 1 >> (63 - d->bits); i <= end; i++)
        n += atomic_load(&d->slot[i]) == (uintptr_t)leaf;
    return n;
}

static bool directory_is_valid(const struct xe_directory *d, struct sum *sum)
{
    sum->bytes += (int64_t)xe_directory_bytes(d->bits);
    for (uint64_t i = 0; i < 1ull << d->bits; i++) {
        uintptr_t slot = atomic_load(&d->slot[i]);
        if (slot & SLOT_SEGMENT)
            continue;
        const struct xe_leaf *leaf = (const struct xe_leaf *)slot;
        uint32_t slots = slots_of(d, leaf, i);
        CHECK(slots <= leaf->slots, "a leaf for %u slots is in more", leaf->slots);
        CHECK(leaf->n > 0 && leaf->at[0].lo <= leaf->at[leaf->n - 1].lo, "a leaf out of order");
        if (slots == leaf->slots)
            sum->bytes += (int64_t)xe_leaf_bytes(leaf->n);
    }
    return true;
}

/* --- Ordered tables ------------------------------------------------------- */

/* Walks the segments of a directory in their order. */
struct order_walk {
    const struct xe_table *t;
    const struct xe_segment *last; /* the one before; NULL: none yet */
    uint32_t segments;
    int64_t bytes;
};

static bool fences_are_sorted(const struct xe_segment *a, const struct xe_segment *b)
{
    struct xe_key key;
    if (!a || !a->fence || !b->fence)
        return !a == !b->fence; /* the first segment, and only that one, has none */
    struct xe_order_key_at at = xe_fence_key_at(b->fence);
    xe_fence_key(&key, a->fence);
    return xe_order_compare(&key, &at) < 0;
}

static bool is_found(struct order_walk *w, const struct xe_segment *s)
{
    struct xe_key key;
    if (!s->fence)
        return xe_order_edge(w->t, false) == s;
    xe_fence_key(&key, s->fence);
    return xe_order_segment(w->t, &key) == s &&
           xe_order_left(w->t, s) == w->last && xe_order_right(w->t, w->last) == s;
}

/* A head, and the bytes that are skipped before it. */
static bool head_is_valid(const struct xe_fence *f, uint64_t head, uint32_t skip,
                          const uint8_t *prefix)
{
    if (!f)
        return head == 0;
    return f->len >= skip && memcmp(f->bytes, prefix, skip) == 0 &&
           head == xe_order_head(f->bytes, f->len, skip);
}

static bool padding_is_valid(const uint64_t *head, uint32_t n)
{
    for (uint32_t i = n; i < xe_order_heads(n); i++)
        if (head[i] != UINT64_MAX)
            return false;
    return true;
}

static bool order_segment_is_valid(struct order_walk *w, struct xe_segment *s,
                                   const struct xe_order_counts *counts, uint32_t cell)
{
    uint32_t count = atomic_load(&xe_segment_image(s)->count);
    CHECK(atomic_load(&s->lock) == 0 && s->state == SEGMENT_LIVE, "locked or moved");
    CHECK(fences_are_sorted(w->last, s), "segment %u out of order", w->segments);
    CHECK(is_found(w, s), "the fence of segment %u leads elsewhere", w->segments);
    CHECK(atomic_load(&s->cell) == &counts->cell[cell], "segment %u, cell %u", w->segments, cell);
    CHECK(counts->cell[cell] == count, "%u objects, %u counted", count, counts->cell[cell]);
    w->last = s;
    w->segments++;
    w->bytes += XE_SEGMENT_BYTES;
    if (s->fence)
        w->bytes += (int64_t)(sizeof *s->fence + s->fence->len + XE_READ_SLACK);
    return true;
}

static bool chunk_is_valid(struct order_walk *w, const struct xe_order_chunk *c,
                           const struct xe_order_counts *counts)
{
    bool used[XE_ORDER_CHUNK] = {false};
    CHECK(c->n > 0 && c->n <= counts->n && counts->n <= XE_ORDER_CHUNK, "%u segments, %u cells",
          c->n, counts->n);
    CHECK(padding_is_valid(c->head, c->n), "a chunk of %u", c->n);
    for (uint32_t i = 0; i < c->n; i++) {
        struct xe_segment *s = xe_order_chunk_segments(c)[i];
        uint32_t cell = xe_order_chunk_cells(c)[i];
        CHECK(cell < counts->n && !used[cell], "cell %u", cell);
        CHECK(i == 0 || c->head[i - 1] <= c->head[i], "heads out of order at %u", i);
        CHECK(head_is_valid(s->fence, c->head[i], c->skip, xe_order_chunk_prefix(c)),
              "head %u of a chunk", i);
        if (!order_segment_is_valid(w, s, counts, cell))
            return false;
        used[cell] = true;
    }
    for (uint32_t i = 0; i < counts->n; i++)
        CHECK(used[i] || counts->cell[i] == 0, "cell %u is nobody's, but not 0", i);
    w->bytes += (int64_t)(xe_order_chunk_bytes(c->n, c->skip) + xe_order_counts_bytes(counts->n));
    return true;
}

bool xe_order_directory_is_valid(const struct xe_table *t, int64_t *bytes)
{
    const struct xe_order_top *top = xe_order_top_now(t);
    struct order_walk w = {.t = t};
    CHECK(atomic_load(&t->directory)->bits == XE_DIRECTORY_ORDERED, "not a directory of an order");
    CHECK((atomic_load(&t->shape) & 1) == 0, "its shape is changing");
    CHECK(top->n > 0 && padding_is_valid(top->head, top->n), "a top of %u", top->n);
    for (uint32_t i = 0; i < top->n; i++) {
        const struct xe_order_chunk *c = xe_order_top_chunk(top, i);
        CHECK(i == 0 || top->head[i - 1] <= top->head[i], "heads out of order at chunk %u", i);
        CHECK(i == 0 || xe_order_top_chunk(top, i - 1)->n + c->n >= XE_ORDER_CHUNK_LOW,
              "chunks %u and %u are small", i - 1, i);
        CHECK(head_is_valid(xe_order_chunk_segments(c)[0]->fence, top->head[i], top->skip,
                            xe_order_top_prefix(top)),
              "head of chunk %u", i);
        if (!chunk_is_valid(&w, c, xe_order_top_counts(top)[i]))
            return false;
    }
    CHECK(xe_order_edge(t, true) == w.last && !xe_order_right(t, w.last), "the last segment");
    CHECK(w.segments == xe_table_segments(t), "%u segments", w.segments);
    *bytes += w.bytes + (int64_t)xe_order_directory_bytes(top->n, top->skip);
    return true;
}

/* The images of an ordered table's segments: their keys are between the fences. */
static bool ordered_images_are_valid(const struct xe_table *t, struct sum *sum)
{
    const struct xe_segment *next, *s = xe_order_edge(t, false);
    for (; s; s = next) {
        const struct xe_image *img = xe_segment_image(s);
        struct xe_image_cursor cursor = {0};
        next = xe_order_right(t, s);
        CHECK(!(atomic_load(&s->version) & 1), "a version is odd");
        for (uint32_t off; (off = xe_image_next(img, &cursor));) {
            struct xe_view v;
            struct xe_key key;
            uint64_t handle;
            xe_record_view(xe_image_record(img, off), &v);
            xe_key_of_view(&key, &v, &handle);
            CHECK(xe_order_is_behind(s, &key), "a key below its segment");
            CHECK(!next || !xe_order_is_behind(next, &key), "a key above its segment");
            CHECK(v.flags & XE_REC_ORDER, "a record of another kind of table");
            if (v.blob)
                sum->contents += (int64_t)v.blob->bytes;
        }
        sum->contents += img->bytes;
        sum->segments++;
        if (!xe_image_is_valid(img, t->seed))
            return false;
    }
    return xe_order_directory_is_valid(t, &sum->bytes);
}

static bool hashed_images_are_valid(const struct xe_table *t, struct sum *sum)
{
    uint64_t position = 0;
    do {
        const struct xe_segment *s = xe_directory_find(t, position);
        if (!segment_is_valid(t, s, position, sum))
            return false;
        position = s->hi + 1;
    } while (position);
    return directory_is_valid(atomic_load(&t->directory), sum);
}

/* Its segments are one allocation, with some to spare; and its images are not its own. */
static bool snapshot_is_valid(const struct xe_table *t, const struct sum *sum)
{
    int64_t others = sum->bytes - (int64_t)sum->segments * XE_SEGMENT_BYTES;
    int64_t least = others + (int64_t)(sum->segments * sizeof(struct xe_segment));
    CHECK(atomic_load(&t->bytes) >= least, "%" PRIi64 " bytes, %" PRIi64 " counted", least,
          atomic_load(&t->bytes));
    CHECK(atomic_load(&t->contents) == 0, "counted twice");
    CHECK(xe_table_bytes(t) >= (uint64_t)least, "less than it has");
    return true;
}

bool xe_table_is_valid(const struct xe_table *t)
{
    struct sum sum = {.bytes = XE_TABLE_BYTES};
    CHECK((atomic_load(&t->batch) & 1) == 0, "a list write is under way");
    CHECK(atomic_load(&t->directory_lock) == 0 && atomic_load(&t->list_lock) == 0, "locked");
    if (!(t->kind == XE_ORDERED ? ordered_images_are_valid : hashed_images_are_valid)(t, &sum))
        return false;
    CHECK(sum.segments == xe_table_segments(t), "%u segments", sum.segments);
    if (t->is_snapshot)
        return snapshot_is_valid(t, &sum);
    CHECK(sum.bytes == atomic_load(&t->bytes), "%" PRIi64 " bytes, %" PRIi64 " counted", sum.bytes,
          atomic_load(&t->bytes));
    CHECK(sum.contents == atomic_load(&t->contents), "%" PRIi64 " bytes inside, %" PRIi64 " counted",
          sum.contents, atomic_load(&t->contents));
    return true;
}
