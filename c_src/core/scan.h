/*
 * scan.h - all objects of a table, chunk by chunk.
 *
 * A chunk is read inside one section, and of one segment. Between chunks nothing is held: one goes
 * on from a hash, or from a key, whatever has become of the segments meanwhile. So a scan meets
 * every object that is there throughout exactly once (table.h, G4; order.h, S2), however often it
 * is overwritten; and it meets none twice but such as have been moved: a key of an ordered table,
 * or of a set, never.
 *
 * A mark tells later whether anything in the segment that a chunk was read of has changed since:
 * any object of it inserted, replaced, patched or removed, or the segment split, merged or cleared.
 * It may say so where nothing has.
 */
#ifndef XE_SCAN_H
#define XE_SCAN_H

#include "order.h"

enum {
    XE_CHUNK_MAX = 2048, /* records that a chunk has at most: those of an image */
    XE_CHUNK_SLACK = 20, /* for reading a bucket at once */
    XE_CHUNK_AHEAD = 16, /* records that are loaded ahead of time */
};

struct xe_mark {
    uint64_t segment; /* which one it was; 0: it was being written, there is no telling */
    uint64_t stamp;
};

struct xe_chunk {
    uint64_t next; /* tables of hashes: where the chunk behind this one begins */
    bool more;     /* there may be objects behind this chunk */
    uint32_t n;
    struct xe_mark mark;
    const uint8_t *recs[XE_CHUNK_MAX + XE_CHUNK_SLACK]; /* for xe_record_view() */
};

/* To be called before record i is looked at: in a large table all of them are cache misses. */
static inline void xe_chunk_ahead(const struct xe_chunk *chunk, uint32_t i)
{
    if (XE_LIKELY(i + XE_CHUNK_AHEAD < chunk->n))
        __builtin_prefetch(chunk->recs[i + XE_CHUNK_AHEAD]);
}

/*
 * Tables of hashes: the objects from the hash `position` on (0: the first), at least `least` of
 * them unless the segment ends before, and then to the end of a bucket; in a bag to the end of a
 * key's objects in this segment, which come in the order of insertion. Hashes go on at `next`.
 * Without an object it may be that there are more. XE_OK, XE_RETRY. O(n).
 */
enum xe_status xe_scan_hashes(struct xe_table *t, uint64_t position, uint32_t least,
                              struct xe_chunk *out);

/* The same; and in a bag the objects of a key come one after the other, but for those of another
 * key with the same half of the hash, which may come between them. It costs a sort. */
enum xe_status xe_scan_groups(struct xe_table *t, uint64_t position, uint32_t least,
                              struct xe_chunk *out);

/* Bags: adds to a run, which may be empty, all objects of keys whose hashes begin with the high half of
 * `hash`, and sorts it: those of one key are in the order of their insertion then, in however many
 * segments they are. XE_OK, XE_RETRY, XE_NOMEM. O(n). */
enum xe_status xe_scan_run(struct xe_table *t, uint64_t hash, struct xe_run *run);

/* The same as the first one for hashes up to `last`. */
enum xe_status xe_scan_between(struct xe_table *t, uint64_t position, uint64_t last,
                               uint32_t least, struct xe_chunk *out);

/* Ordered tables: as xe_order_read(), at most `most` objects (not 0), and all of one segment. Go on from
 * the last one, exclusive; if there is none, then from where the segment ends: that is seen to
 * here, so that n = 0 comes with `more` false only. XE_OK, XE_RETRY. O(log objects + n). */
enum xe_status xe_scan_range(struct xe_table *t, const struct xe_range *range, uint32_t most,
                             struct xe_chunk *out);

/* Whether nothing has changed in the segment of the chunk that began at this hash, or has this key
 * in it, since it was read. O(1), or the search for a segment. */
bool xe_scan_is_unchanged(struct xe_table *t, uint64_t position, const struct xe_mark *mark);
bool xe_scan_is_unchanged_at(struct xe_table *t, const struct xe_key *key,
                             const struct xe_mark *mark);

/* In which place of the directory the key's segment is now; and the same without looking for it, as
 * long as the segment is in that place: false may also mean that it is in another one. `place` may
 * be any number. O(1). */
uint64_t xe_scan_place(struct xe_table *t, const struct xe_key *key);
bool xe_scan_is_unchanged_in(struct xe_table *t, uint64_t place, const struct xe_mark *mark);

#endif
