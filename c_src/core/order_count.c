/*
 * order_count.c - how many objects there are before a key.
 *
 * The number of objects of each segment stands in a cell of its chunk's counts
 * (order_directory.c), so that a sum over all segments is one over columns of 16-bit numbers,
 * and not one over as many images.
 *
 * Writers store the number in their segment's cell after each change of it, under the segment's
 * lock, without an atomic read-modify-write. Cells move when chunks are split or become one,
 * without the lock. Why no number is lost:
 *
 *   writer: (w1) store the image's count, (w2) light barrier, (w3) load where the cell is,
 *           (w4) store the number there
 *   mover:  (m1) store where the cell is, (m2) heavy barrier, (m3) load the image's count,
 *           (m4) exchange the cell for it, (m5) again from (m3) if the image's count is another now
 *
 *   (1) Each side stores, then loads what the other stores; with the barriers between, not both
 *       can miss the other's store (Dekker; epoch.h says what the barriers order, and what is
 *       done where the system has no membarrier). So either the mover finds the writer's count
 *       at (m3), or the writer finds the new cell at (w3).
 *   (2) If it does, (w4) comes after the mover's exchange, and its number stays; or before, and
 *       then the exchange reads it: (w4) is a release and the exchange an acquire, so at (m5)
 *       the mover finds the count of (w1), and stores it.
 *   (3) A writer that comes late may store in a cell that is no longer its segment's. Counts that
 *       segments have moved out of are never used again: they are retired whole, and the writer
 *       is in a section. A cell of counts that stay is given to another segment only when the one
 *       that had it is replaced, under its lock: its last writer is done.
 *   (4) There is one mover at a time, by the directory's lock, and for each of them (1) to (3)
 *       hold.
 *
 * Sums are made without locks; before and after, the table's `shape` tells whether cells were
 * moved meanwhile, or segments replaced. So no segment is counted twice or left out; each cell is
 * of its own moment.
 */
#include <sched.h>

#include "order_internal.h"

#if defined(__SSE2__) && !XE_EPOCH_TSAN
#include <emmintrin.h>
#endif

enum {
    SHAPE_TRIES = 8,    /* sums, before the directory is locked for one */
    BARRIER_TRIES = 64, /* until the system has the few bytes that one needs */
    LANES = 4,          /* cells in 8 bytes */
};

/* --- Cells ---------------------------------------------------------------- */

struct xe_order_counts *xe_order_counts_new(struct xe_table *t, uint32_t n)
{
    struct xe_order_counts *counts = xe_cb.alloc(xe_order_counts_bytes(n));
    if (!counts)
        return NULL;
    counts->n = n;
    for (uint32_t i = 0; i < n; i++)
        atomic_init(&counts->cell[i], 0);
    xe_table_account(t, (int64_t)xe_order_counts_bytes(n));
    return counts;
}

static uint16_t objects_of(const struct xe_segment *s)
{
    /* Relaxed: what orders it is said above. */
    return (uint16_t)xe_image_count(xe_segment_image(s));
}

void xe_order_count_in(struct xe_order_counts *counts, uint32_t cell, struct xe_segment *s)
{
    /* Release: not before the table's shape is odd. */
    atomic_store_explicit(&counts->cell[cell], objects_of(s), memory_order_release);
    /* Relaxed: the segment is published after this. */
    atomic_store_explicit(&s->cell, &counts->cell[cell], memory_order_relaxed);
}

void xe_order_count_out(struct xe_segment *s)
{
    /* Relaxed: by its lock. Release: as above. */
    atomic_store_explicit(atomic_load_explicit(&s->cell, memory_order_relaxed), 0,
                          memory_order_release);
}

void xe_order_cell_move(struct xe_order_counts *counts, uint32_t cell, struct xe_segment *s)
{
    /* Release: a writer finds cells that are 0, or filled. Pairs with xe_order_counted(). */
    atomic_store_explicit(&s->cell, &counts->cell[cell], memory_order_release);
}

void xe_order_cells_moved(void)
{
    /* Refused, it is asked for again, for what it lacks are a few bytes. By the last of these
     * pauses the stores of (w1) have long left their core. */
    for (int i = 0; i < BARRIER_TRIES && !xe_epoch_heavy_barrier(); i++)
        sched_yield();
}

void xe_order_cell_fill(const struct xe_segment *s)
{
    /* Relaxed: the store was our own. */
    _Atomic uint16_t *cell = atomic_load_explicit(&s->cell, memory_order_relaxed);
    uint16_t count;
    do {
        count = objects_of(s);
        /* acq_rel: (2); and not before the table's shape is odd. */
        atomic_exchange_explicit(cell, count, memory_order_acq_rel);
    } while (count != objects_of(s));
}

void xe_order_counted(struct xe_segment *s, uint32_t count)
{
#if XE_EPOCH_TSAN
    atomic_fetch_add_explicit(&xe_segment_image(s)->count, 0, memory_order_seq_cst);
#endif
    xe_epoch_light_barrier();
    /* Acquire: the cell is 0, or filled. Pairs with xe_order_cell_move(). */
    _Atomic uint16_t *cell = atomic_load_explicit(&s->cell, memory_order_acquire);
    /* Release: (2). */
    atomic_store_explicit(cell, (uint16_t)count, memory_order_release);
}

/* --- Sums ----------------------------------------------------------------- */

/* Cells are loaded relaxed, and an acquire fence comes before the second look at the shape.
 * ThreadSanitizer knows no fences: there each load is an acquire. */
#if XE_EPOCH_TSAN
#define CELL_ORDER memory_order_acquire
#else
#define CELL_ORDER memory_order_relaxed
#endif

static uint32_t cell_count(const struct xe_order_counts *counts, uint32_t i)
{
    return atomic_load_explicit(&counts->cell[i], CELL_ORDER);
}

/* The sum of all cells. */
static inline uint32_t counts_sum(const struct xe_order_counts *counts)
{
#if defined(__SSE2__) && !XE_EPOCH_TSAN
    /* Each cell is read whole by any load, and x86 keeps loads in order. */
    const __m128i one = _mm_set1_epi16(1);
    __m128i sum = _mm_setzero_si128();
    for (uint32_t i = 0; i < counts->n; i += 2 * LANES) {
        __m128i cells = _mm_loadu_si128((const __m128i *)(const void *)&counts->cell[i]);
        sum = _mm_add_epi32(sum, _mm_madd_epi16(cells, one));
    }
    uint32_t lane[4];
    _mm_storeu_si128((__m128i *)(void *)lane, sum);
    return lane[0] + lane[1] + lane[2] + lane[3];
#elif !XE_EPOCH_TSAN
    /* In two lanes of 32 bits. */
    const uint64_t low = 0x0000ffff0000ffffull;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < counts->n; i += LANES) {
        uint64_t w = __atomic_load_n((const uint64_t *)(const void *)&counts->cell[i],
                                     __ATOMIC_RELAXED);
        sum += (w & low) + (w >> 16 & low);
    }
    return (uint32_t)sum + (uint32_t)(sum >> 32);
#else
    uint32_t sum = 0;
    for (uint32_t i = 0; i < counts->n; i++)
        sum += cell_count(counts, i);
    return sum;
#endif
}

_Static_assert((int)XE_ORDER_CELLS_FEW % (2 * LANES) == 0, "cells are read eight at a time");
_Static_assert((int)XE_ORDER_CHUNK % (2 * LANES) == 0, "cells are read eight at a time");
_Static_assert((int)XE_IMAGE_OBJECTS_MAX <= INT16_MAX, "a cell holds them, signed too");

static uint64_t shape_begin(const struct xe_table *t)
{
    /* Acquire: an even one comes with all that was published before. Pairs with
     * xe_order_shape_changed(). */
    return atomic_load_explicit(&t->shape, memory_order_acquire);
}

static bool shape_unchanged(const struct xe_table *t, uint64_t shape)
{
#if !XE_EPOCH_TSAN
    /* Pairs with the release stores of cells: who has seen one sees the shape odd. */
    atomic_thread_fence(memory_order_acquire);
#endif
    return !(shape & 1) && atomic_load_explicit(&t->shape, memory_order_relaxed) == shape;
}

/* What is asked for, and what was found. */
struct query {
    const struct xe_key *key; /* NULL: none */
    const struct xe_key *to;
    struct xe_segment *last;
    uint64_t i;
    struct xe_segment *segment; /* NULL: none */
    uint64_t count;             /* of objects before it */
};

typedef void (*look_fn)(const struct xe_table *t, struct query *q);

/* Makes a sum while the directory stays as it is. */
static enum xe_status look(struct xe_table *t, look_fn sum, struct query *q)
{
    for (int tries = 0; tries < SHAPE_TRIES; tries++) {
        uint64_t shape = shape_begin(t);
        if (XE_LIKELY(!(shape & 1))) {
            sum(t, q);
            if (XE_LIKELY(shape_unchanged(t, shape)))
                return XE_OK;
        }
        xe_cpu_relax();
    }
    if (!xe_lock_take(&t->directory_lock, NULL))
        return XE_RETRY;
    sum(t, q);
    xe_lock_release(&t->directory_lock);
    return XE_OK;
}

static uint64_t sum_chunks(const struct xe_order_top *top, uint32_t n)
{
    struct xe_order_counts *const *counts = xe_order_top_counts(top);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += counts_sum(counts[i]);
    return sum;
}

static void sum_before(const struct xe_table *t, struct query *q)
{
    const struct xe_order_top *top = xe_order_top_now(t);
    struct xe_order_place p;
    q->segment = NULL;
    if (!q->key) {
        q->count = sum_chunks(top, top->n);
        return;
    }
    xe_order_find(top, q->key, &p);
    q->segment = xe_order_chunk_segments(p.chunk)[p.i];
    q->count = sum_chunks(top, p.at);
    const uint8_t *cells = xe_order_chunk_cells(p.chunk);
    for (uint32_t i = 0; i < p.i; i++)
        q->count += cell_count(xe_order_top_counts(top)[p.at], cells[i]);
}

enum xe_status xe_order_count_before(struct xe_table *t, const struct xe_key *key,
                                     struct xe_segment **s, uint64_t *before)
{
    struct query q = {.key = key};
    enum xe_status status = look(t, sum_before, &q);
    if (status == XE_OK) {
        *s = q.segment;
        *before = q.count;
    }
    return status;
}

/* Cells of segments from a place on, up to segment `end` of its chunk. */
static uint64_t sum_cells(const struct xe_order_place *p, uint32_t from, uint32_t end)
{
    const struct xe_order_counts *counts = xe_order_top_counts(p->top)[p->at];
    const uint8_t *cells = xe_order_chunk_cells(p->chunk);
    uint64_t sum = 0;
    for (uint32_t i = from; i < end; i++)
        sum += cell_count(counts, cells[i]);
    return sum;
}

/* Finds the segment of a key, or without one that at an end. */
static void place_of(const struct xe_order_top *top, const struct xe_key *key, bool last,
                     struct xe_order_place *out)
{
    if (key) {
        xe_order_find(top, key, out);
        return;
    }
    out->top = top;
    out->at = last ? top->n - 1 : 0;
    out->chunk = xe_order_top_chunk(top, out->at);
    out->i = last ? out->chunk->n - 1 : 0;
}

static void sum_between(const struct xe_table *t, struct query *q)
{
    const struct xe_order_top *top = xe_order_top_now(t);
    struct xe_order_place p, end;
    place_of(top, q->key, false, &p);
    place_of(top, q->to, true, &end);
    q->segment = xe_order_chunk_segments(p.chunk)[p.i];
    q->last = xe_order_chunk_segments(end.chunk)[end.i];
    q->count = 0;
    if (p.at > end.at || (p.at == end.at && p.i > end.i)) {
        q->segment = NULL;
    } else if (p.at == end.at) {
        q->count = sum_cells(&p, p.i + 1, end.i);
    } else {
        q->count = sum_cells(&p, p.i + 1, p.chunk->n) + sum_cells(&end, 0, end.i);
        for (uint32_t i = p.at + 1; i < end.at; i++)
            q->count += counts_sum(xe_order_top_counts(top)[i]);
    }
}

enum xe_status xe_order_count_between(struct xe_table *t, const struct xe_key *from,
                                      const struct xe_key *to, struct xe_segment **first,
                                      struct xe_segment **last, uint64_t *between)
{
    struct query q = {.key = from, .to = to};
    enum xe_status status = look(t, sum_between, &q);
    if (status == XE_OK) {
        *first = q.segment;
        *last = q.last;
        *between = q.count;
    }
    return status;
}

/* Finds the segment of a chunk that has object i of its objects, counted from `before`; if none has,
 * returns from where to count in the next chunk. */
static uint64_t find_counted(const struct xe_order_chunk *c, const struct xe_order_counts *counts,
                             uint64_t before, struct query *q)
{
    const uint8_t *cells = xe_order_chunk_cells(c);
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t n = cell_count(counts, cells[i]);
        if (q->i - before < n) {
            q->segment = xe_order_chunk_segments(c)[i];
            q->count = before;
            break;
        }
        before += n;
    }
    return before;
}

static void find_object(const struct xe_table *t, struct query *q)
{
    const struct xe_order_top *top = xe_order_top_now(t);
    uint64_t before = 0;
    q->segment = NULL;
    for (uint32_t i = 0; i < top->n && !q->segment; i++) {
        const struct xe_order_counts *counts = xe_order_top_counts(top)[i];
        uint32_t n = counts_sum(counts);
        /* By the second look there may be fewer, and it is in a chunk behind. */
        before = q->i - before < n ? find_counted(xe_order_top_chunk(top, i), counts, before, q)
                                   : before + n;
    }
}

enum xe_status xe_order_segment_at(struct xe_table *t, uint64_t i, struct xe_segment **s,
                                   uint32_t *rest)
{
    struct query q = {.i = i};
    enum xe_status status = look(t, find_object, &q);
    if (status != XE_OK)
        return status;
    if (!q.segment)
        return XE_ABSENT;
    *s = q.segment;
    *rest = (uint32_t)(i - q.count);
    return XE_OK;
}
