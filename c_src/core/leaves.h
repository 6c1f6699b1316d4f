/*
 * leaves.h - the index of an ordered image: sorted leaves.
 *
 *   0        128                                                        bytes
 *   +--------+----------------+----------------+---------+ - - - +--------+------+
 *   | header | heads | cells  | leaves         | records |       | leaves | ring |
 *   +--------+----------------+----------------+---------+ - - - +--------+------+
 *            the table        to begin with              top    bottom
 *
 * The table lists the leaves in the order of their keys: a column of heads, which are four bytes
 * of the leaf's first key, and a column of cells, which say in one word where the leaf is, how
 * many entries it has and what their heads leave out:
 *
 *   cell, 32 bits:  0..7 count, 8..15 skip, 16..31 the leaf's place, in lines of 64 bytes
 *
 *   leaf      0      2      4                       64                             192
 *             +------+------+-----------------------+-------------------------------+
 *             | next |      | 30 offsets of 16 bits | 30 heads of 32 bits, and 2    |
 *             +------+------+-----------------------+-------------------------------+
 *
 * A head is four bytes as a number, minus 2^31: vectors compare signed numbers. Both columns of
 * heads are filled up with the greatest one, so that sixteen may be compared at once: all of a leaf
 * in two steps, and of a table those among which the key's leaf is.
 *
 * A head leaves out the first `skip` bytes, which all keys of the leaf (in the table: of the image)
 * begin with. Of heads that are equal the keys in the records decide. A key that does not begin
 * like the others stands before or behind all of them: one look at a record tells.
 *
 * Writers hold the segment's lock, and make its version odd while they change the order. Readers
 * look again when the version is odd or has changed; what they meet until then does no harm:
 *
 * L1  A cell is stored after the entries that it counts, and an entry is only ever replaced by
 *     another one. So what a reader finds in the leaf of a cell, up to its count, are offsets of
 *     records that were there at some time since the reader's section began, and none of
 *     these is overwritten before it ends (I1).
 * L2  Overwriting an object changes one offset, and no version.
 *
 * Source: the layout is that of a B+-tree with heads, G. Graefe and P.-A. Larson, "B-tree
 * indexes and CPU caches" (ICDE 2001); reading by versions is optimistic lock coupling, V. Leis
 * et al., "The ART of practical synchronization" (DaMoN 2016).
 */
#ifndef XE_LEAVES_H
#define XE_LEAVES_H

#include "image.h"

enum {
    XE_LEAF_PLACES = 30,
    XE_LEAF_HEADS = 32,
    XE_LEAF_FILL = 24, /* entries of a leaf that a rebuild makes */
    XE_LEAF_LINES = 3, /* 64 bytes each */
    XE_LEAF_UNITS = XE_LEAF_LINES * XE_BUCKET_BYTES / XE_UNIT,
    XE_LEAF_SPLIT = XE_LEAF_PLACES / 2,
};

struct xe_sorted_leaf {
    uint16_t next; /* of a leaf in the free list; writers only */
    uint16_t unused;
    uint16_t off[XE_LEAF_PLACES];
    int32_t head[XE_LEAF_HEADS];
};

_Static_assert(offsetof(struct xe_sorted_leaf, head) == XE_BUCKET_BYTES, "as drawn");
_Static_assert(sizeof(struct xe_sorted_leaf) == XE_LEAF_LINES * XE_BUCKET_BYTES, "as drawn");

/* For xe_image_new(): lines of the index to begin with, and those that may come. */
uint32_t xe_leaves_plan(const struct xe_image_plan *plan, uint32_t *more);
void xe_leaves_init(struct xe_image *img, const struct xe_image_plan *plan);
/* Enters n records, in the order of their keys, into an image that has none: evenly into the leaves
 * that it was planned with. */
void xe_leaves_fill(struct xe_image *img, const uint16_t *offs, uint32_t n);
/* The leaves behind the records have moved by so many lines, modulo 2^16. */
void xe_leaves_move(struct xe_image *img, uint32_t by);

/* The place of a key, or where it would be. For readers too (L1). O(log objects). */
bool xe_leaves_find(const struct xe_image *img, const struct xe_key *key, struct xe_place *out);
/* Just the key's record; 0: it is not there. Out of order it may be found nowhere. */
uint32_t xe_leaves_lookup(const struct xe_image *img, const struct xe_key *key);
/* The place of the first key that is not below `key` (`behind`: that is above it), or the end. Where
 * one leaf ends and the next begins it is the end of the first. */
void xe_leaves_bound(const struct xe_image *img, const struct xe_key *key, bool behind,
                     struct xe_place *out);
/* Before the first place / behind the last one. */
void xe_leaves_edge(const struct xe_image *img, bool end, struct xe_place *out);
/* The record at a place, whose turn ends there; 0: there is none any more. */
uint32_t xe_leaves_forward(const struct xe_image *img, struct xe_place *place);
/* The same for the one before the place. */
uint32_t xe_leaves_backward(const struct xe_image *img, struct xe_place *place);
/* How many records stand before the place / the place of record i, or the end. */
uint32_t xe_leaves_rank(const struct xe_image *img, const struct xe_place *place);
void xe_leaves_nth(const struct xe_image *img, uint32_t i, struct xe_place *out);
/* Cursor of xe_image_next(). */
uint32_t xe_leaves_next(const struct xe_image *img, struct xe_image_cursor *cursor);

/* Whether the table has a place for one more leaf. */
static inline bool xe_leaves_has_table(const struct xe_image *img)
{
    /* Relaxed: for the only writer. */
    return atomic_load_explicit(&img->n_leaves, memory_order_relaxed) < img->cap_leaves;
}
/* Makes sure that `n` leaves can be added. False: no room. */
bool xe_leaves_reserve(struct xe_image *img, uint32_t n);
/*
 * Leaves that adding `n` keys in order to one with `count` entries may take at most. A leaf that
 * comes from a split in the middle takes XE_LEAF_SPLIT keys until it is split again; that may be
 * beside the last key, and once more behind it before a leaf is filled with keys from there
 * on. The first key may also be before the one that was inserted last.
 */
static inline uint32_t xe_leaves_for(uint32_t count, uint32_t n)
{
    if (count + n <= XE_LEAF_PLACES)
        return 0;
    return 2 * ((count + n - XE_LEAF_PLACES + XE_LEAF_SPLIT - 1) / XE_LEAF_SPLIT) + 1;
}
/* Entries of the leaf of a place; 0 also where there is no leaf yet. */
uint32_t xe_leaves_count(const struct xe_image *img, uint32_t leaf);
/* Whether adding a key at the place takes a leaf more. */
static inline bool xe_leaves_is_full(const struct xe_image *img, const struct xe_place *place)
{
    uint32_t count = xe_leaves_count(img, place->leaf);
    return count == 0 || count == XE_LEAF_PLACES;
}
/* Whether one key may be added at a place; a leaf is reserved if it takes one. */
static inline bool xe_leaves_has_place(struct xe_image *img, const struct xe_place *place)
{
    return xe_image_count(img) < XE_IMAGE_OBJECTS_MAX - 1 &&
           (!xe_leaves_is_full(img, place) || xe_leaves_reserve(img, 1));
}
/* Adds a key where xe_leaves_find() did not find it. The leaves it takes have been reserved. */
void xe_leaves_add(struct xe_image *img, const struct xe_key *key, const struct xe_place *place,
                   uint32_t off);
void xe_leaves_replace(struct xe_image *img, struct xe_place *place, uint32_t off);
void xe_leaves_remove(struct xe_image *img, const struct xe_place *place);

/* The sign of a key against that of a record. */
int xe_leaves_compare(const struct xe_key *key, const uint8_t *rec);
/* The same of two records. */
int xe_leaves_compare_records(const uint8_t *a, const uint8_t *b);

/* Walks everything; for tests. */
bool xe_leaves_are_valid(const struct xe_image *img);

/* Loads the lines of the table ahead of time, with its columns of heads and of cells. */
static inline void xe_leaves_prefetch(const struct xe_image *img)
{
    enum { LINES = 7 };
#pragma GCC unroll 7
    for (uint32_t i = 0; i < LINES; i++)
        __builtin_prefetch((const char *)(img + 1) + (size_t)i * XE_CACHE_LINE);
}

#endif
