/*
 * table.h - tables: a directory of segments, and the operations on them.
 *
 * Guarantees (referred to from code and tests)
 *   G1  Single-object operations are linearisable: a read at its load of the record's
 *       offset, a write at its store (image.h).
 *   G2  A list write (xe_table_put_many) is atomic and isolated from single-key reads:
 *       none sees a part of it. Of equal keys in one list the last wins.
 *   G3  A reader finds every object that is there throughout, whatever
 *       rebuilds, splits and merges happen meanwhile.
 *   G4  A scan (scan.h) meets every object that is there throughout exactly once, in
 *       the order of hashes.
 *   G5  A call that returns XE_NOMEM or XE_LIMIT has changed nothing that can be read.
 *   G6  No call waits longer than about XE_LOCK_WAIT_NS for a lock: it returns XE_RETRY.
 *   G7  Deleting needs no memory (but for what a fixed table remembers of it, and for a copy of the
 *       image that it is deleted from, if a snapshot has that too: else XE_NOMEM).
 *   G8  The objects of a bag's key are read at one instant, and removed at one instant.
 *   G9  A snapshot has what the table had at one instant, of each list write all or nothing, and
 *       stays so whatever becomes of the table.
 *
 * Every call is made inside an epoch section (epoch.h) of the calling thread. What a
 * view points to, and what a version names, is valid until the section is left or until the
 * next write in it, which may move the section up to the present. So the object of a write
 * must not lie in the table, but for the very version that it replaces.
 *
 * Lock order: gate < list lock < segments in the order of hashes, or of keys < directory, numbers and log
 * (log.h) < allocator.
 *
 * Sources: the contention-adapting splits follow Sagonas and Winblad
 * ("A contention adapting approach to concurrent ordered sets", JPDC 2018), with a
 * segment where they have a base node; the directory is an extendible-hashing
 * directory (Fagin et al., 1979) whose buckets are short sorted lists of segments, so
 * that splits may be at the median instead of at a bit.
 */
#ifndef XE_TABLE_H
#define XE_TABLE_H

#include "core.h"
#include "epoch.h"
#include "record.h"

struct xe_table;

/* What two objects with the same key mean. */
enum xe_kind {
    XE_SET,           /* one object a key */
    XE_BAG,           /* several, no two of them equal (=:=) */
    XE_DUPLICATE_BAG, /* several, equal ones too */
    XE_ORDERED,       /* one object a key, in the order of keys: order.h */
};

static inline bool xe_kind_is_bag(enum xe_kind kind)
{
    return kind == XE_BAG || kind == XE_DUPLICATE_BAG;
}

struct xe_table_config {
    uint64_t seed;        /* of the hashes: random, against flooding */
    enum xe_kind kind;
    uint32_t max_objects; /* of a segment; 0: the default. At most XE_SEGMENT_OBJECTS_MAX */
    bool hot;             /* expect contention: segments split early */
};

enum {
    XE_SEGMENT_OBJECTS = 1000,
    XE_SEGMENT_OBJECTS_MAX = 1024,
    XE_SEGMENT_OBJECTS_MIN = 8, /* contention splits no further */
    XE_LOCK_WAIT_NS = 50000,
};

/* Once per process. */
enum xe_status xe_core_init(const struct xe_callbacks *callbacks);

/* A new, empty table. NULL: out of memory. */
struct xe_table *xe_table_new(const struct xe_table_config *config);
uint64_t xe_table_seed(const struct xe_table *t);

/* Gives the table a log (log.h), which lives as long as the table: everything that is written from
 * now on is told to it. Nobody else can reach the table yet. */
void xe_table_set_log(struct xe_table *t, void *log);
void *xe_table_log(const struct xe_table *t);

/*
 * Ends the table. Calls that are inside it may finish; later ones get XE_DEAD.
 * The reclaimer frees the memory, and tells the log. O(1). The caller has seen to it that
 * no new section can reach `t`.
 */
void xe_table_delete(struct xe_table *t);

/* Finds the record of an object: *out, for xe_record_view(). XE_OK, XE_ABSENT, XE_RETRY.
 * O(1). */
enum xe_status xe_table_find_record(struct xe_table *t, const struct xe_key *key,
                                    const uint8_t **out);
/* The same, and its view. */
enum xe_status xe_table_find(struct xe_table *t, const struct xe_key *key, struct xe_view *out);

/* The same for n keys (n <= XE_FIND_MANY), their cache misses overlapped. found[i] tells
 * whether views[i] is set. All are read at one instant with regard to list writes. */
enum { XE_FIND_MANY = 16 };
enum xe_status xe_table_find_many(struct xe_table *t, const struct xe_key *keys, uint32_t n,
                                  struct xe_view *views, bool *found);

/* Which version of an object a view showed. Valid inside the section. */
struct xe_version {
    const void *image; /* or blob */
    uint32_t off;
};
enum xe_status xe_table_find_version(struct xe_table *t, const struct xe_key *key,
                                     struct xe_view *out, struct xe_version *version);

enum xe_put {
    XE_PUT,     /* insert, or replace what is there */
    XE_PUT_NEW, /* insert; XE_EXISTS if there is one */
};

/* Stores a prepared object. On XE_OK the object's blob belongs to the table, else
 * still to the caller. O(1), amortised over rebuilds. */
enum xe_status xe_table_put(struct xe_table *t, struct xe_epoch_slot *slot,
                            struct xe_prepared *p, enum xe_put mode);

/*
 * The same for an object without handles that fits inline, given as the bytes of its record:
 * header with its size and klen, key, body; `len` bytes, and XE_READ_SLACK more are readable.
 */
enum xe_status xe_table_put_plain(struct xe_table *t, struct xe_epoch_slot *slot,
                                  const struct xe_key *key, const uint8_t *rec, size_t len,
                                  enum xe_put mode);

/*
 * Filling: stores many objects, of a set or an ordered table, as xe_table_put_plain() does it with
 * each: one by one, for whoever looks on. But those that come to one segment are stored under its
 * lock, and room is made for all of them at once; so it is fast where they come in the order of the
 * hashes, or of the keys: hashes can be put in order before (`other`: room for as many items), but for
 * such as are at most `slack` apart, if they nearly are. *done: how many are stored, also if that ends with XE_RETRY, XE_NOMEM, XE_LIMIT, XE_DEAD or XE_FROZEN. O(n).
 */
struct xe_fill_item {
    uint64_t hash;      /* of the key, in a set */
    const uint8_t *rec; /* as for xe_table_put_plain() */
};
/* Before a set is filled: room for so many objects, evenly spread, each of so many units (4 bytes). For
 * all of the table: from *position 0 on, as long as there is *more. O(objects) together. */
enum xe_status xe_table_expect(struct xe_table *t, struct xe_epoch_slot *slot, uint64_t objects,
                               uint32_t units, uint64_t *position, bool *more);
void xe_table_fill_sort(struct xe_fill_item *items, struct xe_fill_item *other, size_t n,
                        uint64_t slack);
enum xe_status xe_table_fill(struct xe_table *t, struct xe_epoch_slot *slot,
                             const struct xe_fill_item *items, size_t n, size_t *done);

/*
 * Changes up to 8 bytes of a stored object under its segment's lock. `patch` sees it, and says
 * which bytes of the body become what; false: that cannot be done so. XE_LIMIT: nothing was
 * changed, the way is xe_table_update(); what `patch` did must not matter then. So it always is in
 * a table with a log.
 */
struct xe_patch {
    const uint8_t *at; /* into the view's body */
    uint32_t width;    /* 1 to 8 */
    uint64_t word;
};
typedef bool (*xe_patch_fn)(void *arg, const struct xe_view *view, struct xe_patch *out);
enum xe_status xe_table_patch(struct xe_table *t, struct xe_epoch_slot *slot,
                              const struct xe_key *key, xe_patch_fn patch, void *arg);

/* Replaces exactly the version seen. XE_ABSENT: it is not there any more. */
enum xe_status xe_table_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_prepared *p, const struct xe_version *seen);

/* Stores n prepared objects as one write (G2). On XE_OK their blobs belong to the table. In
 * any case the blob of an object whose key comes again later in the list is given back
 * (p[i].blob is NULL then). `patient`: wait for locks
 * instead of returning XE_RETRY; never on a normal scheduler. O(n log n). */
enum xe_status xe_table_put_many(struct xe_table *t, struct xe_epoch_slot *slot,
                                 struct xe_prepared *p, size_t n, enum xe_put mode, bool patient);

/* Removes an object; with `seen`, only that version of it. `out` may be NULL;
 * it shows the removed object until the section is left. */
enum xe_status xe_table_remove(struct xe_table *t, struct xe_epoch_slot *slot,
                               const struct xe_key *key, const struct xe_version *seen,
                               struct xe_view *out);

/*
 * Read-modify-write of one object under its segment's lock. `update` sees the
 * stored object, which *out may point into, and says what becomes of it; it must be quick and
 * take no locks. It is
 * not called for objects in blobs, nor in tables with a log: XE_LIMIT then, as when `update` gives
 * an object that needs one; the caller uses xe_table_find_version() and xe_table_replace().
 */
enum xe_update {
    XE_UPDATE_KEEP,    /* leave it: XE_EXISTS */
    XE_UPDATE_REPLACE, /* store *out, which has the same key */
};
typedef enum xe_update (*xe_update_fn)(void *arg, const struct xe_view *view,
                                       struct xe_object *out);
enum xe_status xe_table_update(struct xe_table *t, struct xe_epoch_slot *slot,
                               const struct xe_key *key, xe_update_fn update, void *arg);

/* Makes the table empty at one instant, and tells how many objects it had (`n` may be NULL: it is
 * O(segments) else, with the gate closed). What was there goes to the reclaimer. O(1) but for
 * waiting for writers at the gate: not in a section in which this thread has written. */
enum xe_status xe_table_clear(struct xe_table *t, struct xe_epoch_slot *slot, uint64_t *n);

/*
 * The write gate. Closing waits until no write is under way (XE_RETRY if one still is
 * after XE_LOCK_WAIT_NS); until it is opened writers get XE_RETRY.
 */
enum xe_status xe_table_close_gate(struct xe_table *t);
void xe_table_open_gate(struct xe_table *t);

/*
 * A snapshot (G9): a table of its own that shares memory with `t` as long as that does not change.
 * Reading it is reading a table. Calls that would change it return XE_FROZEN. It is ended by
 * xe_table_delete(), and may outlive `t`; `t` may be a snapshot. In the gate, so not in a section in
 * which this thread has written; `patient`: waits longer than XE_LOCK_WAIT_NS for the writes under
 * way, never on a normal scheduler. XE_OK, XE_RETRY, XE_NOMEM, XE_DEAD. O(segments), of which a
 * thousand hold up writers for 15 to 90 us.
 */
enum xe_status xe_table_snapshot(struct xe_table *t, struct xe_epoch_slot *slot, bool patient,
                                 struct xe_table **out);
bool xe_table_is_snapshot(const struct xe_table *t);
/* The same, and calls `instant` at that instant, in the gate: it must be quick. */
enum xe_status xe_table_snapshot_at(struct xe_table *t, struct xe_epoch_slot *slot, bool patient,
                                    void (*instant)(void *arg), void *arg, struct xe_table **out);

/*
 * Bags. An object is stored by a hash of two halves: that of its key, and one that tells it from
 * others with that key (bag.c). So a large group of objects with one key is a run of segments,
 * and to insert or remove one of them is a point operation whatever the group's size.
 *
 * A run is what was found of one key, in the order of insertion. Keys are prepared as for sets,
 * objects by xe_table_prepare(), which sees to the identity in xe_object.
 *
 * `patient`: wait for locks instead of returning XE_RETRY; never on a normal scheduler.
 */
enum { XE_RUN_SMALL = 24 };

struct xe_run_entry {
    uint64_t sequence;
    const uint8_t *rec; /* for xe_record_view() */
};

struct xe_run {
    struct xe_run_entry *at;
    uint32_t n, cap;
    struct xe_run_entry small[XE_RUN_SMALL];
};

static inline void xe_run_begin(struct xe_run *run)
{
    run->at = run->small;
    run->n = 0;
    run->cap = XE_RUN_SMALL;
}
void xe_run_end(struct xe_run *run);

/* Prepares an object for a table of any kind. As xe_record_prepare(). */
enum xe_status xe_table_prepare(const struct xe_table *t, const struct xe_object *o,
                                struct xe_prepared *p);

/* All objects with the key, as of one instant. XE_OK, XE_ABSENT; XE_LIMIT: more than `most`. What
 * is in the run may be viewed as long as a view (above). O(objects with that key), and their
 * sorting. */
enum xe_status xe_bag_find(struct xe_table *t, struct xe_epoch_slot *slot,
                           const struct xe_key *key, uint32_t most, bool patient,
                           struct xe_run *run);
/* Whether there is one: XE_OK or XE_ABSENT. */
enum xe_status xe_bag_member(struct xe_table *t, struct xe_epoch_slot *slot,
                             const struct xe_key *key, bool patient);

/* Adds an object. XE_EXISTS: an equal one is there, in a bag; with XE_PUT_NEW, one with its
 * key. O(1) in the number of objects. */
enum xe_status xe_bag_put(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_prepared *p,
                          enum xe_put mode, bool patient);

/* Removes the object that is equal (=:=) to a prepared one, in a duplicate bag all of them.
 * XE_OK, XE_ABSENT. `removed` (or NULL): how many they were. O(1) in the number of other objects. */
enum xe_status xe_bag_remove(struct xe_table *t, struct xe_epoch_slot *slot,
                             const struct xe_prepared *p, bool patient, uint32_t *removed);

/* Duplicate bags: puts a prepared object in the place of one that is equal (=:=) to `old`, which has
 * the same key, and has this number in a run; it has that number then. XE_OK: its blob belongs to
 * the table; XE_ABSENT: there is none. O(segments of the key). */
enum xe_status xe_bag_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                              const struct xe_prepared *old, uint64_t sequence,
                              struct xe_prepared *p, bool patient);

/* Removes all objects with a key, at one instant, if there are at most `most`, and `accept` (or
 * NULL) accepts what is found; else XE_LIMIT. They are in `run` then. Without a run (NULL), and
 * so without `accept`, it needs no memory (G7). */
typedef bool (*xe_accept_fn)(void *arg, const struct xe_run *run);
enum xe_status xe_bag_take(struct xe_table *t, struct xe_epoch_slot *slot,
                           const struct xe_key *key, uint32_t most, xe_accept_fn accept,
                           void *arg, bool patient, struct xe_run *run);

/*
 * Fixing: as long as a table is fixed, keys that are removed are remembered, so that a
 * traversal can go on from them. Calls of the two alternate, and are not made at the same time;
 * who counts fixations is the caller. XE_RETRY: a write took longer than XE_LOCK_WAIT_NS; not
 * in a section in which this thread has written.
 */
enum xe_status xe_table_fix(struct xe_table *t);
void xe_table_unfix(struct xe_table *t);

/* Whether a traversal may go on from this key: it is there, or was when the table was fixed.
 * XE_OK, XE_ABSENT, XE_RETRY. */
enum xe_status xe_table_may_go_on(struct xe_table *t, struct xe_epoch_slot *slot,
                                  const struct xe_key *key, bool patient);

/* The first object behind all those with the key `after`, whose hash need not be there; NULL: the
 * first of all. The order is that of hashes, and among equal ones that of key bytes: it survives
 * growth, splits and deletions. In a bag one object of each key comes. XE_OK, XE_ABSENT: there is
 * none; XE_LIMIT: it would have to look at more than `most` segments. O(objects of a bucket); in a
 * bag O(objects with the key `after`), and of the next one. */
enum xe_status xe_table_next(struct xe_table *t, const struct xe_key *after, uint32_t most,
                             struct xe_view *out);

/* Slots: the hashes in as many equal ranges. Their number, a power of two, changes as the table
 * grows, but not while it is fixed. */
uint64_t xe_table_slots(const struct xe_table *t);
/* Visits the objects of a slot below that number. `n_slots`: of xe_table_slots(). XE_OK, XE_RETRY. */
typedef void (*xe_visit_fn)(void *arg, const struct xe_view *view);
enum xe_status xe_table_scan_slot(struct xe_table *t, uint64_t n_slots, uint64_t i,
                                  xe_visit_fn visit, void *arg);

struct xe_table_stats {
    uint64_t objects;  /* no instant while writers are at work */
    uint64_t bytes;    /* of everything: images, blobs, directory, the table itself; of a
                        * snapshot what it has beside its source, or of others only its part */
    uint64_t segments;
    uint64_t image_bytes;
};
/* The number of objects. O(segments). */
uint64_t xe_table_size(const struct xe_table *t);
/* O(1); of a snapshot O(segments), and O(objects) where there are blobs. */
uint64_t xe_table_bytes(const struct xe_table *t);
/* Of all tables of this process together. */
uint64_t xe_table_bytes_all(void);
void xe_table_stats(const struct xe_table *t, struct xe_table_stats *out);
/* Roughly how many objects; never more than O(1). For scheduling decisions. */
uint64_t xe_table_segments(const struct xe_table *t);

/* Walks everything and checks the invariants; no writer may be active. For tests. */
bool xe_table_is_valid(const struct xe_table *t);

#endif
