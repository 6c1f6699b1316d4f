/*
 * order_directory.c - from a key to its segment, in ordered tables.
 *
 * Segments begin at fences: keys, or the first bytes of keys. A key belongs to the last segment
 * whose fence is not above it; the first segment has none. Two levels, both sorted by fence:
 *
 *   top      +------+-----------------+------------------+------------------+--------+
 *            | n    | heads of the    | pointers to      | pointers to the  | bytes  |
 *            | skip | first fences    | chunks           | chunks' counts   | skipped|
 *            +------+-----------------+---|--------------+---|--------------+--------+
 *                                         |                  |
 *                  +----------------------+                  |
 *                  v                                         v
 *   chunk    +------+-------+-------------+-------+--------+    counts +-------------------+
 *            | n    | heads | segments    | cells | bytes  |           | up to 128 numbers |
 *            | skip |       |             |       | skipped|           | of objects        |
 *            +------+-------+-|-----------+-|-----+--------+           +-^-----------------+
 *                             v             +----------------------------|
 *   segment      fence, cell -----------------------------------------+
 *
 *   head    eight bytes of a fence behind those that all fences of this chunk (or all first
 *           fences, in the top) have in common and skip, as a number; filled up with zeros. Where
 *           heads tie the fences decide.
 *   chunk   up to 128 segments. Immutable: made anew when one of them is replaced, which copies
 *           some 2 KiB, and published by one store to the top.
 *   top     made anew when chunks are split or become one: neighbours have 64 segments at least.
 *   counts  how many objects each segment has (order_count.c), in the order in which cells were
 *           given away. They are shared by the successive versions of a chunk, so that a writer's
 *           cell stays where it is when a neighbour is split; chunks that split or become one
 *           have new ones.
 *
 * A search touches the lines of the two columns of heads that its binary search comes by, the
 * skipped bytes beside them, and the pointers: neither segments nor fences, unless heads tie.
 *
 * A pointer to a chunk is for a range of keys that stays as long as its top, whatever version of
 * the chunk it points to. So what readers see is always all of the table once: an old top, whose
 * chunks are of the moment of its end or before, or a top and of each chunk a version. In an old
 * chunk they find a segment that has just moved: its version is odd for ever. Readers and writers
 * see that and look again.
 */
#include "order_internal.h"

#define CONTAINER(ptr, type, member) ((type *)((uintptr_t)(ptr)-offsetof(type, member)))

enum {
    /* Chunks that are split get about as many, so that none splits again soon. */
    CHUNK_FILL = 96,
    /* What is left of two chunks, and a replacement between. */
    ENTRIES_MAX = 2 * (XE_ORDER_CHUNK - 1) + XE_REBUILD_PARTS,
    CHUNKS_MAX = (ENTRIES_MAX + CHUNK_FILL - 1) / CHUNK_FILL,
};

_Static_assert(XE_ORDER_CHUNK <= 256, "a cell's number is a byte");
_Static_assert(sizeof(struct xe_order_chunk) % sizeof(uint64_t) == 0, "columns are aligned");
_Static_assert(sizeof(struct xe_order_top) % sizeof(uint64_t) == 0, "columns are aligned");
_Static_assert(offsetof(struct xe_order_counts, cell) % sizeof(uint64_t) == 0,
               "cells are read four at a time");

/* --- Fences and segments ------------------------------------------------- */

static size_t fence_bytes(const struct xe_fence *f)
{
    return f ? sizeof *f + f->len + XE_READ_SLACK : 0;
}

static void fence_free(struct xe_fence *f)
{
    if (f && f->env)
        xe_cb.env_free(f->env);
    if (f)
        xe_cb.free(f);
}

static struct xe_fence *fence_new(const struct xe_key *key)
{
    struct xe_fence *f = xe_cb.alloc(sizeof *f + key->full_len + XE_READ_SLACK);
    if (!f)
        return NULL;
    f->env = NULL;
    f->handle = 0;
    f->len = (uint32_t)key->full_len;
    memcpy(f->bytes, key->full, key->full_len);
    memset(f->bytes + key->full_len, 0, XE_READ_SLACK);
    if (!key->n_handles)
        return f;
    f->env = xe_cb.env_new();
    if (!f->env) {
        fence_free(f);
        return NULL;
    }
    f->handle = xe_cb.ext_move(f->env, key->handles[0]);
    return f;
}

struct xe_segment *xe_order_segment_new(struct xe_table *t, const struct xe_key *fence,
                                        struct xe_image *image, bool locked)
{
    struct xe_fence *f = fence ? fence_new(fence) : NULL;
    if (fence && !f)
        return NULL;
    uint64_t draw = f ? XXH3_64bits(f->bytes, f->len) : 0;
    struct xe_segment *s = xe_segment_alloc(t, draw, image, locked);
    if (!s) {
        fence_free(f);
        return NULL;
    }
    s->fence = f;
    atomic_init(&s->cell, NULL);
    xe_table_account(t, (int64_t)fence_bytes(f));
    return s;
}

void xe_order_fence_drop(struct xe_table *t, struct xe_segment *s)
{
    xe_table_account(t, -(int64_t)fence_bytes(s->fence));
    fence_free(s->fence);
}

static void free_segment(struct xe_retired *r)
{
    struct xe_segment *s = CONTAINER(r, struct xe_segment, retired);
    fence_free(s->fence);
    xe_cb.free(s->allocation);
}

bool xe_order_fence_copy(struct xe_table *t, struct xe_segment *s, const struct xe_fence *fence)
{
    struct xe_key key;
    s->fence = NULL;
    if (!fence)
        return true;
    xe_fence_key(&key, fence);
    s->fence = fence_new(&key);
    xe_table_account(t, (int64_t)fence_bytes(s->fence));
    return s->fence != NULL;
}

static void retire_segment(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s)
{
    size_t bytes = XE_SEGMENT_BYTES + fence_bytes(s->fence);
    xe_table_account(t, -(int64_t)bytes);
    s->retired.free = free_segment;
    s->retired.bytes = bytes;
    xe_epoch_retire(slot, &s->retired);
}

/* --- Searching ------------------------------------------------------------ */

/* How many heads of a column are not above h. Branchless: what comes next is as good as random. */
static inline uint32_t heads_up_to(const uint64_t *head, uint32_t n, uint64_t h)
{
    const uint64_t *at = head;
    size_t steps = xe_order_heads(n) / XE_ORDER_HEADS_STEP;
    while (steps > 1) {
        size_t half = steps / 2;
        at += at[half * XE_ORDER_HEADS_STEP] <= h ? half * XE_ORDER_HEADS_STEP : 0;
        steps -= half;
    }
    uint32_t found = (uint32_t)(at - head);
    found += (uint32_t)(at[0] <= h) + (at[1] <= h) + (at[2] <= h) + (at[3] <= h);
    found += (uint32_t)(at[4] <= h) + (at[5] <= h) + (at[6] <= h) + (at[7] <= h);
    /* The column is filled up with what may be the head of a key. */
    return found < n ? found : n;
}

_Static_assert((int)XE_ORDER_HEADS_STEP == 8, "written out");

/* The sign of a key's first bytes against those that a column skips. 0 too if it has fewer: then
 * its head is 0, and may tie with that of a fence of no more bytes. */
static inline int compare_prefix(const struct xe_key *key, const uint8_t *prefix, size_t skip)
{
    size_t n = key->full_len < skip ? key->full_len : skip;
    return XE_LIKELY(xe_bytes_equal(key->full, prefix, n)) ? 0 : memcmp(key->full, prefix, n);
}

static bool is_above(const struct xe_fence *f, const struct xe_key *key)
{
    if (!f)
        return false;
    struct xe_order_key_at at = xe_fence_key_at(f);
    return xe_order_compare(key, &at) < 0;
}

static const struct xe_fence *chunk_fence(const void *chunk, uint32_t i)
{
    return xe_order_chunk_segments(chunk)[i]->fence;
}

/* The first fence of a chunk is that of all its versions. */
static const struct xe_fence *top_fence(const void *top, uint32_t i)
{
    return chunk_fence(xe_order_top_chunk(top, i), 0);
}

/* Of [low, n) the last one whose fence is not above the key; below `low` none is. */
static uint32_t find_tied(const void *of, uint32_t low, uint32_t n,
                          const struct xe_fence *(*fence_of)(const void *, uint32_t),
                          const struct xe_key *key)
{
    while (low < n) {
        uint32_t middle = low + (n - low) / 2;
        if (is_above(fence_of(of, middle), key))
            n = middle;
        else
            low = middle + 1;
    }
    return low ? low - 1 : 0;
}

/* The last fence of a column that is not above the key, or the first one. */
static inline __attribute__((always_inline)) uint32_t
find_fence(const void *of, const uint64_t *head, uint32_t n, const uint8_t *prefix, uint32_t skip,
           const struct xe_fence *(*fence_of)(const void *, uint32_t), const struct xe_key *key)
{
    if (n == 1)
        return 0;
    int c = skip ? compare_prefix(key, prefix, skip) : 0;
    if (XE_UNLIKELY(c))
        return c < 0 ? 0 : n - 1;
    uint64_t h = skip ? xe_order_key_head(key, skip) : key->hash;
    uint32_t end = heads_up_to(head, n, h);
    if (XE_LIKELY(end && head[end - 1] != h))
        return end - 1;
    return find_tied(of, h ? heads_up_to(head, n, h - 1) : 0, end, fence_of, key);
}

static inline __attribute__((always_inline)) void find(const struct xe_order_top *top,
                                                       const struct xe_key *key,
                                                       struct xe_order_place *out)
{
    uint32_t at = find_fence(top, top->head, top->n, xe_order_top_prefix(top), top->skip,
                             top_fence, key);
    const struct xe_order_chunk *c = xe_order_top_chunk(top, at);
    out->top = top;
    out->chunk = c;
    out->at = at;
    out->i = find_fence(c, c->head, c->n, xe_order_chunk_prefix(c), c->skip, chunk_fence,
                        key);
}

void xe_order_find(const struct xe_order_top *top, const struct xe_key *key,
                   struct xe_order_place *out)
{
    find(top, key, out);
}

struct xe_segment *xe_order_segment_of(const struct xe_order_top *top, const struct xe_key *key)
{
    struct xe_order_place p;
    find(top, key, &p);
    return xe_order_chunk_segments(p.chunk)[p.i];
}

struct xe_segment *xe_order_edge(const struct xe_table *t, bool last)
{
    const struct xe_order_top *top = xe_order_top_now(t);
    const struct xe_order_chunk *c = xe_order_top_chunk(top, last ? top->n - 1 : 0);
    return xe_order_chunk_segments(c)[last ? c->n - 1 : 0];
}

/* The last segment whose fence is not above that of `s`; itself, as long as it is there. */
static void find_segment(const struct xe_order_top *top, const struct xe_segment *s,
                         struct xe_order_place *out)
{
    struct xe_key key;
    if (s->fence) {
        xe_fence_key(&key, s->fence);
        find(top, &key, out);
    } else {
        *out = (struct xe_order_place){.top = top, .chunk = xe_order_top_chunk(top, 0)};
    }
}

struct xe_segment *xe_order_right(const struct xe_table *t, const struct xe_segment *s)
{
    struct xe_order_place p;
    find_segment(xe_order_top_now(t), s, &p);
    if (p.i + 1 < p.chunk->n)
        return xe_order_chunk_segments(p.chunk)[p.i + 1];
    if (p.at + 1 == p.top->n)
        return NULL;
    return xe_order_chunk_segments(xe_order_top_chunk(p.top, p.at + 1))[0];
}

static bool is_below(const struct xe_fence *f, const struct xe_fence *of)
{
    struct xe_key key;
    if (!f)
        return true;
    xe_fence_key(&key, f);
    return is_above(of, &key);
}

struct xe_segment *xe_order_left(const struct xe_table *t, const struct xe_segment *s)
{
    struct xe_order_place p;
    if (!s->fence)
        return NULL;
    find_segment(xe_order_top_now(t), s, &p);
    struct xe_segment *found = xe_order_chunk_segments(p.chunk)[p.i];
    if (is_below(found->fence, s->fence))
        return found;
    /* The same fence, and not the first, which has none: there is one before. */
    if (p.i)
        return xe_order_chunk_segments(p.chunk)[p.i - 1];
    const struct xe_order_chunk *before = xe_order_top_chunk(p.top, p.at - 1);
    return xe_order_chunk_segments(before)[before->n - 1];
}

/* --- Making chunks and tops ------------------------------------------------ */

enum { HEAD_UNKNOWN = UINT32_MAX };

/* A segment as it will be listed. */
struct entry {
    struct xe_segment *segment;
    uint64_t head;
    uint32_t skip; /* of the head; HEAD_UNKNOWN: it has none yet */
    uint8_t cell;
};

/* What sorted fences have in common: what the outermost have. Of a single fence no more than
 * leaves something for its head. */
static uint32_t common_bytes(const struct xe_fence *first, const struct xe_fence *last)
{
    uint32_t least = first->len < last->len ? first->len : last->len, n = 0;
    if (first == last)
        return least > sizeof(uint64_t) ? least - (uint32_t)sizeof(uint64_t) : 0;
    while (n < least && first->bytes[n] == last->bytes[n])
        n++;
    return n;
}

static uint64_t fence_head(const struct xe_fence *f, uint32_t skip)
{
    return f ? xe_order_head(f->bytes, f->len, skip) : 0;
}

static void fill_heads(uint64_t *head, uint32_t n)
{
    for (uint32_t i = n; i < xe_order_heads(n); i++)
        head[i] = UINT64_MAX;
}

static struct xe_order_chunk *chunk_new(struct xe_table *t, const struct entry *at, uint32_t n)
{
    /* The table's first segment has no fence. */
    uint32_t first = at[0].segment->fence ? 0 : 1;
    uint32_t skip =
        first < n ? common_bytes(at[first].segment->fence, at[n - 1].segment->fence) : 0;
    struct xe_order_chunk *c = xe_cb.alloc(xe_order_chunk_bytes(n, skip));
    if (!c)
        return NULL;
    c->n = n;
    c->skip = skip;
    for (uint32_t i = 0; i < n; i++) {
        c->head[i] = at[i].skip == skip ? at[i].head : fence_head(at[i].segment->fence, skip);
        xe_order_chunk_segments(c)[i] = at[i].segment;
        xe_order_chunk_cells(c)[i] = at[i].cell;
    }
    fill_heads(c->head, n);
    memset(xe_order_chunk_prefix(c), 0, skip + XE_READ_SLACK);
    if (skip)
        memcpy(xe_order_chunk_prefix(c), at[n - 1].segment->fence->bytes, skip);
    xe_table_account(t, (int64_t)xe_order_chunk_bytes(n, skip));
    return c;
}

static void chunk_discard(struct xe_table *t, struct xe_order_chunk *c)
{
    xe_table_account(t, -(int64_t)xe_order_chunk_bytes(c->n, c->skip));
    xe_cb.free(c);
}

static void free_chunk(struct xe_retired *r)
{
    xe_cb.free(CONTAINER(r, struct xe_order_chunk, retired));
}

static void retire_chunk(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_order_chunk *c)
{
    c->retired.free = free_chunk;
    c->retired.bytes = xe_order_chunk_bytes(c->n, c->skip);
    xe_table_account(t, -(int64_t)c->retired.bytes);
    xe_epoch_retire(slot, &c->retired);
}

static void counts_discard(struct xe_table *t, struct xe_order_counts *counts)
{
    xe_table_account(t, -(int64_t)xe_order_counts_bytes(counts->n));
    xe_cb.free(counts);
}

static void free_counts(struct xe_retired *r)
{
    xe_cb.free(CONTAINER(r, struct xe_order_counts, retired));
}

static void retire_counts(struct xe_table *t, struct xe_epoch_slot *slot,
                          struct xe_order_counts *counts)
{
    counts->retired.free = free_counts;
    counts->retired.bytes = xe_order_counts_bytes(counts->n);
    xe_table_account(t, -(int64_t)counts->retired.bytes);
    xe_epoch_retire(slot, &counts->retired);
}

/* Room for a top of n chunks that skips so many bytes. */
static struct xe_directory *directory_alloc(struct xe_table *t, uint32_t n, uint32_t skip)
{
    struct xe_directory *d = xe_cb.alloc(xe_order_directory_bytes(n, skip));
    if (!d)
        return NULL;
    d->bits = XE_DIRECTORY_ORDERED;
    xe_order_top(d)->n = n;
    xe_order_top(d)->skip = skip;
    xe_table_account(t, (int64_t)xe_order_directory_bytes(n, skip));
    return d;
}

static size_t directory_bytes(const struct xe_directory *d)
{
    return xe_order_directory_bytes(xe_order_top(d)->n, xe_order_top(d)->skip);
}

static void directory_discard(struct xe_table *t, struct xe_directory *d)
{
    xe_table_account(t, -(int64_t)directory_bytes(d));
    xe_cb.free(d);
}

static void free_directory(struct xe_retired *r)
{
    xe_cb.free(CONTAINER(r, struct xe_directory, retired));
}

struct xe_directory *xe_order_directory_new(struct xe_table *t)
{
    struct xe_directory *d = directory_alloc(t, 1, 0);
    struct xe_order_counts *counts = xe_order_counts_new(t, XE_ORDER_CELLS_FEW);
    struct xe_segment *s = xe_order_segment_new(t, NULL, xe_image_empty, false);
    struct xe_order_chunk *c = s ? chunk_new(t, &(struct entry){.segment = s}, 1) : NULL;
    if (d && counts && c) {
        struct xe_order_top *top = xe_order_top(d);
        atomic_init(&d->n_segments, 1);
        top->head[0] = 0;
        fill_heads(top->head, 1);
        atomic_init(&xe_order_top_chunks(top)[0], c);
        xe_order_top_counts(top)[0] = counts;
        memset(xe_order_top_prefix(top), 0, XE_READ_SLACK);
        xe_order_count_in(counts, 0, s);
        return d;
    }
    if (c)
        chunk_discard(t, c);
    if (s)
        xe_segment_discard(t, s);
    if (counts)
        counts_discard(t, counts);
    if (d)
        directory_discard(t, d);
    return NULL;
}

static void free_segment_now(struct xe_segment *s, bool gone, struct xe_image **list)
{
    struct xe_image *img = xe_segment_image(s);
    if (gone)
        xe_image_set_gone(img);
    xe_image_drop(img, list);
    fence_free(s->fence);
    if (s->allocation)
        xe_cb.free(s->allocation);
}

void xe_order_directory_free(struct xe_directory *d, bool gone, struct xe_image **list)
{
    const struct xe_order_top *top = xe_order_top(d);
    for (uint32_t i = 0; i < top->n; i++) {
        struct xe_order_chunk *c = xe_order_top_chunk(top, i);
        for (uint32_t j = 0; j < c->n; j++)
            free_segment_now(xe_order_chunk_segments(c)[j], gone, list);
        xe_cb.free(c);
        xe_cb.free(xe_order_top_counts(top)[i]);
    }
    xe_cb.free(d);
}

/* --- Making one of what there is --------------------------------------------- */

/* A chunk of n segments, and its counts. False: out of memory. */
static bool chunk_of(struct xe_table *t, struct xe_segment *segments, uint32_t n,
                     struct xe_order_chunk **chunk, struct xe_order_counts **counts)
{
    struct entry at[XE_ORDER_CHUNK];
    for (uint32_t i = 0; i < n; i++)
        at[i] = (struct entry){.segment = &segments[i], .skip = HEAD_UNKNOWN, .cell = (uint8_t)i};
    *counts = xe_order_counts_new(t, n <= XE_ORDER_CELLS_FEW ? XE_ORDER_CELLS_FEW : XE_ORDER_CHUNK);
    *chunk = *counts ? chunk_new(t, at, n) : NULL;
    if (!*chunk) {
        if (*counts)
            counts_discard(t, *counts);
        return false;
    }
    for (uint32_t i = 0; i < n; i++)
        xe_order_count_in(*counts, i, &segments[i]);
    return true;
}

/* The first segment of chunk k. */
static uint32_t chunk_first(uint32_t n, uint32_t n_chunks, uint32_t k)
{
    return (uint32_t)((uint64_t)n * k / n_chunks);
}

struct xe_directory *xe_order_directory_of(struct xe_table *t, struct xe_segment *segments,
                                           uint32_t n)
{
    uint32_t made = 0, skip = 0, n_chunks = n <= XE_ORDER_CHUNK ? 1 : (n + CHUNK_FILL - 1) / CHUNK_FILL;
    const struct xe_fence *last = segments[chunk_first(n, n_chunks, n_chunks - 1)].fence;
    if (n_chunks > 1)
        skip = common_bytes(segments[chunk_first(n, n_chunks, 1)].fence, last);
    struct xe_directory *d = directory_alloc(t, n_chunks, skip);
    if (!d)
        return NULL;
    struct xe_order_top *top = xe_order_top(d);
    for (; made < n_chunks; made++) {
        struct xe_order_chunk *chunk;
        uint32_t first = chunk_first(n, n_chunks, made);
        if (!chunk_of(t, segments + first, chunk_first(n, n_chunks, made + 1) - first, &chunk,
                      &xe_order_top_counts(top)[made]))
            break;
        atomic_init(&xe_order_top_chunks(top)[made], chunk);
        top->head[made] = fence_head(segments[first].fence, skip);
    }
    if (made < n_chunks) {
        while (made--) {
            chunk_discard(t, xe_order_top_chunk(top, made));
            counts_discard(t, xe_order_top_counts(top)[made]);
        }
        directory_discard(t, d);
        return NULL;
    }
    fill_heads(top->head, n_chunks);
    memset(xe_order_top_prefix(top), 0, skip + XE_READ_SLACK);
    if (skip)
        memcpy(xe_order_top_prefix(top), last->bytes, skip);
    atomic_init(&d->n_segments, n);
    return d;
}

/* --- Replacing segments ---------------------------------------------------- */

/* One replacement under way: of the chunks [first, end) by those made. */
struct change {
    struct xe_table *t;
    struct xe_directory *old;
    const struct xe_order_top *top;
    uint32_t first, end;
    uint32_t n, to_at, to_end; /* segments listed; which of them are new */
    struct entry at[ENTRIES_MAX];
    /* Made. */
    uint32_t n_made;
    struct xe_order_chunk *chunk[CHUNKS_MAX];
    struct xe_order_counts *counts[CHUNKS_MAX];
    struct xe_directory *fresh; /* NULL: one chunk takes the place of one, with its counts */
};

static void list_old(struct change *w, const struct xe_order_chunk *c, uint32_t i, uint32_t end)
{
    for (; i < end; i++)
        w->at[w->n++] = (struct entry){.segment = xe_order_chunk_segments(c)[i],
                                       .head = c->head[i],
                                       .skip = c->skip,
                                       .cell = xe_order_chunk_cells(c)[i]};
}

static void list_chunk(struct change *w, uint32_t at)
{
    const struct xe_order_chunk *c = xe_order_top_chunk(w->top, at);
    list_old(w, c, 0, c->n);
}

/* Whether n segments are so few that they go together with those of chunk `at`, if there is one. */
static bool is_low(const struct change *w, uint32_t n, uint32_t at)
{
    return at < w->top->n && n + xe_order_top_chunk(w->top, at)->n < XE_ORDER_CHUNK_LOW;
}

/* Lists the segments of all chunks that change, with `to` in the place of `from`. */
static void list_segments(struct change *w, struct xe_segment *const *from, uint32_t n_from,
                          struct xe_segment *const *to, uint32_t n_to)
{
    struct xe_order_place p;
    find_segment(w->top, from[0], &p);
    XE_ASSERT(xe_order_chunk_segments(p.chunk)[p.i] == from[0]);
    uint32_t last = p.at, behind = p.i + n_from;
    const struct xe_order_chunk *c = p.chunk;
    for (; behind > c->n; c = xe_order_top_chunk(w->top, ++last))
        behind -= c->n;
    XE_ASSERT(xe_order_chunk_segments(c)[behind - 1] == from[n_from - 1]);
    uint32_t n = p.i + n_to + (c->n - behind);
    bool with_left = p.at && is_low(w, n, p.at - 1);
    if (with_left)
        n += xe_order_top_chunk(w->top, p.at - 1)->n;
    bool with_right = is_low(w, n, last + 1);

    w->first = p.at - with_left;
    w->end = last + 1 + with_right;
    if (with_left)
        list_chunk(w, w->first);
    list_old(w, p.chunk, 0, p.i);
    w->to_at = w->n;
    for (uint32_t i = 0; i < n_to; i++)
        w->at[w->n++] = (struct entry){.segment = to[i], .skip = HEAD_UNKNOWN};
    w->to_end = w->n;
    list_old(w, c, behind, c->n);
    if (with_right)
        list_chunk(w, last + 1);
}

/* Whether the counts of the one chunk that changes will do for its segments. */
static bool keeps_counts(const struct change *w)
{
    uint32_t cells = xe_order_top_counts(w->top)[w->first]->n;
    bool too_many = cells > XE_ORDER_CELLS_FEW && w->n <= XE_ORDER_CELLS_FEW / 2;
    return w->end == w->first + 1 && w->n <= cells && !too_many;
}

/* New segments take the cells that the others leave. */
static void give_cells(struct change *w)
{
    bool used[XE_ORDER_CHUNK] = {false};
    uint32_t cell = 0;
    for (uint32_t i = 0; i < w->n; i++)
        if (i < w->to_at || i >= w->to_end)
            used[w->at[i].cell] = true;
    for (uint32_t i = w->to_at; i < w->to_end; i++) {
        while (used[cell])
            cell++;
        w->at[i].cell = (uint8_t)cell++;
    }
}

/* The first segment of chunk k of those made, of all listed. */
static uint32_t made_first(const struct change *w, uint32_t k, uint32_t n_chunks)
{
    return w->n * k / n_chunks;
}

/* Makes new chunks, with new counts, for all that is listed. */
static bool make_chunks(struct change *w)
{
    uint32_t n_chunks = w->n <= XE_ORDER_CHUNK ? 1 : (w->n + CHUNK_FILL - 1) / CHUNK_FILL;
    for (uint32_t k = 0; k < n_chunks; k++) {
        uint32_t first = made_first(w, k, n_chunks), n = made_first(w, k + 1, n_chunks) - first;
        for (uint32_t i = 0; i < n; i++)
            w->at[first + i].cell = (uint8_t)i;
        w->counts[k] = xe_order_counts_new(
            w->t, n <= XE_ORDER_CELLS_FEW ? XE_ORDER_CELLS_FEW : XE_ORDER_CHUNK);
        w->chunk[k] = w->counts[k] ? chunk_new(w->t, w->at + first, n) : NULL;
        w->n_made++;
        if (!w->chunk[k])
            return false;
    }
    return true;
}

/* Chunk i of the top that will be, and where it was in the old one; -1: it is made. */
static const struct xe_order_chunk *next_chunk(const struct change *w, uint32_t i, int64_t *was)
{
    bool behind = i >= w->first + w->n_made;
    *was = behind ? (int64_t)i - w->n_made + (w->end - w->first) : (int64_t)i;
    if (i < w->first || behind)
        return xe_order_top_chunk(w->top, (uint32_t)*was);
    *was = -1;
    return w->chunk[i - w->first];
}

static bool make_top(struct change *w)
{
    int64_t was;
    uint32_t n = w->top->n - (w->end - w->first) + w->n_made, skip = 0;
    const struct xe_fence *last = chunk_fence(next_chunk(w, n - 1, &was), 0);
    if (n > 1)
        skip = common_bytes(chunk_fence(next_chunk(w, 1, &was), 0), last);
    w->fresh = directory_alloc(w->t, n, skip);
    if (!w->fresh)
        return false;
    struct xe_order_top *top = xe_order_top(w->fresh);
    for (uint32_t i = 0; i < n; i++) {
        const struct xe_order_chunk *c = next_chunk(w, i, &was);
        bool same = was >= 0 && skip == w->top->skip;
        top->head[i] = same ? w->top->head[was] : fence_head(chunk_fence(c, 0), skip);
        atomic_init(&xe_order_top_chunks(top)[i], (struct xe_order_chunk *)(uintptr_t)c);
        xe_order_top_counts(top)[i] =
            was >= 0 ? xe_order_top_counts(w->top)[was] : w->counts[i - w->first];
    }
    fill_heads(top->head, n);
    memset(xe_order_top_prefix(top), 0, skip + XE_READ_SLACK);
    if (skip)
        memcpy(xe_order_top_prefix(top), last->bytes, skip);
    return true;
}

static void discard_made(struct change *w)
{
    for (uint32_t k = 0; k < w->n_made; k++) {
        if (w->chunk[k])
            chunk_discard(w->t, w->chunk[k]);
        if (w->counts[k])
            counts_discard(w->t, w->counts[k]);
    }
}

/* All that may fail. */
static bool make(struct change *w)
{
    bool ok;
    w->n_made = 0;
    w->fresh = NULL;
    if (keeps_counts(w)) {
        give_cells(w);
        w->counts[0] = NULL;
        w->chunk[0] = chunk_new(w->t, w->at, w->n);
        w->n_made = 1;
        ok = w->chunk[0] != NULL;
    } else {
        ok = make_chunks(w) && make_top(w);
    }
    if (!ok)
        discard_made(w);
    return ok;
}

/* The counts of a chunk whose segments stay, but for those replaced. */
static void count_in_place(struct change *w, struct xe_segment *const *from, uint32_t n_from)
{
    struct xe_order_counts *counts = xe_order_top_counts(w->top)[w->first];
    for (uint32_t i = 0; i < n_from; i++)
        xe_order_count_out(from[i]);
    for (uint32_t i = w->to_at; i < w->to_end; i++)
        xe_order_count_in(counts, w->at[i].cell, w->at[i].segment);
}

/* The counts of chunks that are made with new ones. */
static void count_anew(struct change *w)
{
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t k = 0, i = 0; k < w->n_made; k++) {
            for (uint32_t end = i + w->chunk[k]->n; i < end; i++) {
                struct xe_segment *s = w->at[i].segment;
                if (pass)
                    xe_order_cell_fill(s);
                else
                    xe_order_cell_move(w->counts[k], w->at[i].cell, s);
            }
        }
        if (!pass)
            xe_order_cells_moved();
    }
}

static void publish_chunk(const struct change *w)
{
    /* Release: pairs with xe_order_top_chunk(). */
    atomic_store_explicit(&xe_order_top_chunks(w->top)[w->first], w->chunk[0],
                          memory_order_release);
}

static void publish_top(const struct change *w)
{
    atomic_init(&w->fresh->n_segments,
                atomic_load_explicit(&w->old->n_segments, memory_order_relaxed));
    /* Release: pairs with xe_order_top_now(). */
    atomic_store_explicit(&w->t->directory, w->fresh, memory_order_release);
}

/* What the change leaves behind; `only`: the one chunk that was replaced in its top. */
static void retire_old(const struct change *w, struct xe_epoch_slot *slot,
                       struct xe_order_chunk *only)
{
    if (!w->fresh) {
        retire_chunk(w->t, slot, only);
        return;
    }
    for (uint32_t i = w->first; i < w->end; i++) {
        retire_chunk(w->t, slot, xe_order_top_chunk(w->top, i));
        retire_counts(w->t, slot, xe_order_top_counts(w->top)[i]);
    }
    w->old->retired.free = free_directory;
    w->old->retired.bytes = directory_bytes(w->old);
    xe_table_account(w->t, -(int64_t)w->old->retired.bytes);
    xe_epoch_retire(slot, &w->old->retired);
}

/* Makes the change seen. Cannot fail. */
static void publish(struct change *w, struct xe_epoch_slot *slot, struct xe_segment *const *from,
                    uint32_t n_from)
{
    struct xe_order_chunk *first = xe_order_top_chunk(w->top, w->first);
    /* First: who finds new segments beside an old one sees that this one has moved. */
    for (uint32_t i = 0; i < n_from; i++)
        xe_segment_changes(from[i]);
    xe_order_shape_changes(w->t);
    if (w->fresh) {
        count_anew(w);
        publish_top(w);
    } else {
        count_in_place(w, from, n_from);
        publish_chunk(w);
    }
    xe_order_shape_changed(w->t);
    struct xe_directory *d = w->fresh ? w->fresh : w->old;
    /* Relaxed: readers take it for an estimate. */
    uint32_t n = atomic_load_explicit(&d->n_segments, memory_order_relaxed) +
                 (w->to_end - w->to_at) - n_from;
    atomic_store_explicit(&d->n_segments, n, memory_order_relaxed);
    retire_old(w, slot, first);
}

enum xe_status xe_order_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *const *from, uint32_t n_from,
                                struct xe_segment *const *to, uint32_t n_to)
{
    struct change w;
    XE_ASSERT(n_from && n_to && n_to <= XE_REBUILD_PARTS);
    if (!xe_lock_take(&t->directory_lock, NULL))
        return XE_RETRY;
    w.t = t;
    w.old = atomic_load_explicit(&t->directory, memory_order_relaxed);
    w.top = xe_order_top(w.old);
    w.n = 0;
    list_segments(&w, from, n_from, to, n_to);
    bool made = make(&w);
    if (made)
        publish(&w, slot, from, n_from);
    xe_lock_release(&t->directory_lock);
    if (!made)
        return XE_NOMEM;
    for (uint32_t i = 0; i < n_from; i++) {
        from[i]->state = SEGMENT_MOVED;
        xe_lock_release(&from[i]->lock);
        retire_segment(t, slot, from[i]);
    }
    return XE_OK;
}
