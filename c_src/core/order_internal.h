/*
 * order_internal.h - what the files of ordered tables share: order_directory.c,
 * order_count.c, order_rebuild.c, order_table.c. Private to the core.
 */
#ifndef XE_ORDER_INTERNAL_H
#define XE_ORDER_INTERNAL_H

#include "leaves.h"
#include "order.h"
#include "table_internal.h"

/* --- Order -------------------------------------------------------------- */

/* A key as it is stored: its bytes, and of a cut key its handle. */
struct xe_order_key_at {
    const uint8_t *bytes;
    size_t len;
    uint64_t handle;
    bool has_handle;
};

/* In the flags of a key that is but bytes: it stands behind all cut keys with these bytes, and
 * not before them. */
enum { XE_ORDER_BEHIND = 1u << 30 };

/* The sign of a key against a stored one. */
static inline int xe_order_compare(const struct xe_key *key, const struct xe_order_key_at *at)
{
    size_t n = key->full_len < at->len ? key->full_len : at->len;
    int c = memcmp(key->full, at->bytes, n);
    if (XE_LIKELY(c))
        return c;
    if (key->full_len != at->len)
        return key->full_len < at->len ? -1 : 1;
    if (XE_LIKELY(!at->has_handle))
        return 0;
    if (key->n_handles)
        return xe_cb.ext_compare(key->handles[0], at->handle);
    return key->flags & XE_ORDER_BEHIND ? 1 : -1;
}

/* A key on its way in / that of a record, to be compared with. */
static inline struct xe_order_key_at xe_order_key_at(const struct xe_key *key)
{
    return (struct xe_order_key_at){.bytes = key->full, .len = key->full_len,
                                    .has_handle = key->n_handles != 0,
                                    .handle = key->n_handles ? key->handles[0] : 0};
}

static inline struct xe_order_key_at xe_order_record_key(const uint8_t *rec)
{
    struct xe_view v;
    xe_record_view(rec, &v);
    return (struct xe_order_key_at){.bytes = v.key, .len = v.klen,
                                    .has_handle = v.n_key_handles != 0,
                                    .handle = v.n_key_handles ? xe_load64(v.handles) : 0};
}

/* --- order_table.c: what the operations of table.c do with ordered tables ---- */

/* The live segment of a key, locked; NULL: not in time. */
struct xe_segment *xe_order_acquire(struct xe_table *t, const struct xe_key *key);
/* As find_record() and xe_table_find_many(). */
enum xe_status xe_order_find_record(struct xe_table *t, const struct xe_key *key,
                                    struct xe_image **img, uint32_t *off);
enum xe_status xe_order_find_many(struct xe_table *t, const struct xe_key *keys, uint32_t n,
                                  struct xe_view *views, bool *found);
/* xe_table_store(). */
enum xe_status xe_order_store(struct xe_table *t, struct xe_epoch_slot *slot,
                              struct xe_segment *s, const struct xe_prepared *p,
                              struct xe_place *place);
/* The number of all objects. */
enum xe_status xe_order_count_all(const struct xe_table *t, uint64_t *n);

/* --- order_directory.c -------------------------------------------------- */

/* Where a segment begins: a key, or its first bytes; with a handle only where bytes do not tell
 * its objects from those before. */
struct xe_fence {
    void *env; /* of the handle; NULL: there is none */
    uint64_t handle;
    uint32_t len;
    uint8_t bytes[]; /* and XE_READ_SLACK */
};

static inline struct xe_order_key_at xe_fence_key_at(const struct xe_fence *f)
{
    return (struct xe_order_key_at){
        .bytes = f->bytes, .len = f->len, .handle = f->handle, .has_handle = f->env != NULL};
}

/* A fence as a key: the first one of those that it stands for. */
static inline void xe_fence_key(struct xe_key *key, const struct xe_fence *f)
{
    xe_key_init_order(key, f->bytes, f->len, &f->handle, f->env != NULL);
}

enum {
    XE_ORDER_CHUNK = 128,    /* segments of a chunk, at most */
    XE_ORDER_CHUNK_LOW = 64, /* neighbours with fewer together become one */
    XE_ORDER_CELLS_FEW = 8,  /* a chunk of so few segments has no more cells than that */
    XE_ORDER_HEADS_STEP = 8, /* columns of heads are filled up to a multiple of this, with ones */
};

/* The numbers of objects of a chunk's segments, in any order. What belongs to none is 0. */
struct xe_order_counts {
    struct xe_retired retired;
    uint32_t n; /* XE_ORDER_CELLS_FEW or XE_ORDER_CHUNK */
    _Alignas(8) _Atomic uint16_t cell[];
};

/* Some adjacent segments: see order_directory.c. Immutable. */
struct xe_order_chunk {
    uint32_t n;
    uint32_t skip; /* bytes that all fences have in common */
    struct xe_retired retired;
    uint64_t head[]; /* then the segments, which cells are theirs, and the bytes skipped */
};

/* All chunks, in the place of a directory's slots. Immutable but for the pointers to them. */
struct xe_order_top {
    uint32_t n;
    uint32_t skip;   /* bytes that all first fences but that of chunk 0 have in common */
    uint64_t head[]; /* then the chunks, their counts, and the bytes skipped */
};

static inline uint32_t xe_order_heads(uint32_t n)
{
    return (n + XE_ORDER_HEADS_STEP - 1) / XE_ORDER_HEADS_STEP * XE_ORDER_HEADS_STEP;
}

static inline struct xe_segment **xe_order_chunk_segments(const struct xe_order_chunk *c)
{
    return (struct xe_segment **)(uintptr_t)(c->head + xe_order_heads(c->n));
}

static inline uint8_t *xe_order_chunk_cells(const struct xe_order_chunk *c)
{
    return (uint8_t *)(xe_order_chunk_segments(c) + c->n);
}

static inline uint8_t *xe_order_chunk_prefix(const struct xe_order_chunk *c)
{
    return xe_order_chunk_cells(c) + c->n;
}

static inline size_t xe_order_chunk_bytes(uint32_t n, uint32_t skip)
{
    return sizeof(struct xe_order_chunk) + xe_order_heads(n) * sizeof(uint64_t) +
           n * (sizeof(struct xe_segment *) + 1) + skip + XE_READ_SLACK;
}

static inline struct xe_order_top *xe_order_top(const struct xe_directory *d)
{
    return (struct xe_order_top *)(uintptr_t)d->slot;
}

static inline _Atomic(struct xe_order_chunk *) *xe_order_top_chunks(const struct xe_order_top *top)
{
    return (_Atomic(struct xe_order_chunk *) *)(uintptr_t)(top->head + xe_order_heads(top->n));
}

static inline struct xe_order_counts **xe_order_top_counts(const struct xe_order_top *top)
{
    return (struct xe_order_counts **)(uintptr_t)(xe_order_top_chunks(top) + top->n);
}

static inline uint8_t *xe_order_top_prefix(const struct xe_order_top *top)
{
    return (uint8_t *)(xe_order_top_counts(top) + top->n);
}

static inline size_t xe_order_directory_bytes(uint32_t n, uint32_t skip)
{
    return sizeof(struct xe_directory) + sizeof(struct xe_order_top) +
           xe_order_heads(n) * sizeof(uint64_t) +
           n * (sizeof(struct xe_order_chunk *) + sizeof(struct xe_order_counts *)) + skip +
           XE_READ_SLACK;
}

static inline size_t xe_order_counts_bytes(uint32_t n)
{
    return sizeof(struct xe_order_counts) + n * sizeof(uint16_t);
}

static inline struct xe_order_chunk *xe_order_top_chunk(const struct xe_order_top *top, uint32_t i)
{
    /* Acquire: pairs with the release store in publish_chunk(). */
    return atomic_load_explicit(&xe_order_top_chunks(top)[i], memory_order_acquire);
}

static inline const struct xe_order_top *xe_order_top_now(const struct xe_table *t)
{
    /* Acquire: pairs with the release store in publish_top(). */
    return xe_order_top(atomic_load_explicit(&t->directory, memory_order_acquire));
}

/* Where a key's segment is. */
struct xe_order_place {
    const struct xe_order_top *top;
    const struct xe_order_chunk *chunk; /* that the top had at `at` */
    uint32_t at;
    uint32_t i; /* of its segments */
};
void xe_order_find(const struct xe_order_top *top, const struct xe_key *key,
                   struct xe_order_place *out);

/* The segment of a key. Inside a section. O(log segments). */
struct xe_segment *xe_order_segment_of(const struct xe_order_top *top, const struct xe_key *key);
/* A small table has one segment, which is found without looking at any head. */
static inline struct xe_segment *xe_order_segment(const struct xe_table *t,
                                                  const struct xe_key *key)
{
    const struct xe_order_top *top = xe_order_top_now(t);
    if (top->n == 1) {
        const struct xe_order_chunk *c = xe_order_top_chunk(top, 0);
        if (c->n == 1)
            return xe_order_chunk_segments(c)[0];
    }
    return xe_order_segment_of(top, key);
}

/* Whether a key belongs to this segment or to one behind it. */
static inline bool xe_order_is_behind(const struct xe_segment *s, const struct xe_key *key)
{
    const struct xe_fence *f = s->fence;
    if (!f)
        return true;
    struct xe_order_key_at at = xe_fence_key_at(f);
    return xe_order_compare(key, &at) >= 0;
}

/* A new segment that begins at `fence` (NULL: it is the first), locked if `locked`. NULL: out of
 * memory. Owns `image`. */
struct xe_segment *xe_order_segment_new(struct xe_table *t, const struct xe_key *fence,
                                        struct xe_image *image, bool locked);
/* Frees the fence of a segment that nobody ever saw. */
void xe_order_fence_drop(struct xe_table *t, struct xe_segment *s);

/* The directory of an empty ordered table; frees one with all it has, as xe_directory_free(). */
struct xe_directory *xe_order_directory_new(struct xe_table *t);
void xe_order_directory_free(struct xe_directory *d, bool gone, struct xe_image **list);
/* As xe_directory_of(), for n segments with fences of their own. */
struct xe_directory *xe_order_directory_of(struct xe_table *t, struct xe_segment *segments,
                                           uint32_t n);
/* Gives a segment a copy of a fence (NULL: it has none). False: out of memory. */
bool xe_order_fence_copy(struct xe_table *t, struct xe_segment *s, const struct xe_fence *fence);

/* The segment of a key; the first or the last one; the neighbours of a segment's range as it is
 * now (NULL: there is none). Inside a section. O(log segments). */
struct xe_segment *xe_order_edge(const struct xe_table *t, bool last);
struct xe_segment *xe_order_right(const struct xe_table *t, const struct xe_segment *s);
struct xe_segment *xe_order_left(const struct xe_table *t, const struct xe_segment *s);

/* As xe_directory_replace(). to[0] begins where from[0] did. At most XE_REBUILD_PARTS of them. */
enum xe_status xe_order_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *const *from, uint32_t n_from,
                                struct xe_segment *const *to, uint32_t n_to);

/* --- order_count.c ------------------------------------------------------ */

/* NULL: out of memory. All are 0. */
struct xe_order_counts *xe_order_counts_new(struct xe_table *t, uint32_t n);
/* A cell for a new segment, which nobody else knows of yet. */
void xe_order_count_in(struct xe_order_counts *counts, uint32_t cell, struct xe_segment *s);
/* Empties the cell of a segment whose lock is held. */
void xe_order_count_out(struct xe_segment *s);
/* Other cells for segments that may be being written: each is moved, then all are ordered with
 * their writers, then each is filled. */
void xe_order_cell_move(struct xe_order_counts *counts, uint32_t cell, struct xe_segment *s);
void xe_order_cells_moved(void);
void xe_order_cell_fill(const struct xe_segment *s);

/* Around a change of the directory, under its lock. */
static inline void xe_order_shape_changes(struct xe_table *t)
{
    uint64_t shape = atomic_load_explicit(&t->shape, memory_order_relaxed);
    /* Relaxed: cells and pointers are stored with release, so none is seen before it. */
    atomic_store_explicit(&t->shape, shape + 1, memory_order_relaxed);
}

static inline void xe_order_shape_changed(struct xe_table *t)
{
    uint64_t shape = atomic_load_explicit(&t->shape, memory_order_relaxed);
    /* Release: whoever sees it even sees all of the change. Pairs with order_count.c. */
    atomic_store_explicit(&t->shape, shape + 1, memory_order_release);
}

/* The number of objects of a segment has become that of its image: under its lock. */
void xe_order_counted(struct xe_segment *s, uint32_t count);
/* The segment of a key (NULL: none, and all are counted), and how many objects there are in those
 * before it. XE_OK, XE_RETRY. O(segments / 16). */
enum xe_status xe_order_count_before(struct xe_table *t, const struct xe_key *key,
                                     struct xe_segment **s, uint64_t *before);
/* The segments of two keys (NULL: the first one / the last one), and how many objects there are in
 * those between them. *first is NULL if it would come behind *last. XE_OK, XE_RETRY.
 * O(segments / 16). */
enum xe_status xe_order_count_between(struct xe_table *t, const struct xe_key *from,
                                      const struct xe_key *to, struct xe_segment **first,
                                      struct xe_segment **last, uint64_t *between);
/* The segment that has object i, and i less those of the segments before it. XE_ABSENT,
 * XE_RETRY. */
enum xe_status xe_order_segment_at(struct xe_table *t, uint64_t i, struct xe_segment **s,
                                   uint32_t *rest);

/* --- validate.c --------------------------------------------------------- */

/* Whether the directory of an ordered table is as order_directory.c says. Adds the bytes of all
 * it is made of, segments and fences included, images not. No writer may be active. */
bool xe_order_directory_is_valid(const struct xe_table *t, int64_t *bytes);

#endif
