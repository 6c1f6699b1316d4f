/*
 * table_internal.h - what the files of the table share: table.c, directory.c,
 * rebuild.c, batch.c. Private to the core.
 */
#ifndef XE_TABLE_INTERNAL_H
#define XE_TABLE_INTERNAL_H

#include "image.h"
#include "log.h"
#include "reclaim.h"
#include "scan.h"
#include "shared.h"
#include "table.h"

/* States of a segment, under its lock. */
enum {
    SEGMENT_LIVE = 0,
    SEGMENT_MOVED = 1, /* its range belongs to other segments: look in the directory again */
};

struct xe_fence;

struct xe_segment {
    /* What readers need; written by rebuilds only. */
    _Alignas(XE_CACHE_LINE) _Atomic(struct xe_image *) image;
    union {
        struct {
            uint64_t lo, hi; /* its hashes, both included; fixed */
        };
        struct {
            struct xe_fence *fence; /* of an ordered table: where it begins; NULL: the first */
            /* Its number of objects, in a column of the directory (order_directory.c). */
            _Atomic(_Atomic uint16_t *) cell;
        };
    };
    uint32_t limit;  /* objects at which it splits; fixed */
    struct xe_retired retired;
    /* What writers change. */
    _Alignas(XE_CACHE_LINE) _Atomic uint32_t lock; /* 1: taken */
    uint32_t state;
    _Atomic uint32_t version; /* of a bag's objects, of a table's order: xe_segment_changed() */
    _Atomic int32_t heat; /* contention: up when the lock is found taken, else down */
    void *allocation;     /* what to free: allocations are only 8-byte aligned; NULL: not alone */
    uint64_t id;          /* no other segment of this process ever has it; fixed */
    _Atomic uint64_t writes; /* to its objects: xe_segment_writes() */
};

/* A slot of the directory: the segments that meet its range of hashes, sorted. */
struct xe_leaf_entry {
    uint64_t lo;
    struct xe_segment *segment;
};

struct xe_leaf {
    uint32_t n;
    uint32_t slots; /* of the directory that point here; under the directory's lock */
    struct xe_retired retired;
    struct xe_leaf_entry at[];
};

/* The `bits` of an ordered table's directory, which has a struct xe_order_top for its slots. */
enum { XE_DIRECTORY_ORDERED = 0xff };

/* 2^bits slots, one for each value of the hash's first bits. A slot that meets one segment
 * only holds that segment, marked by its lowest bit; other slots point to leaves. Neighbours
 * share a leaf as long as their segments are the same. Immutable but for its slots. */
struct xe_directory {
    uint32_t bits;
    _Atomic uint32_t n_segments; /* written under the directory's lock; else an estimate */
    struct xe_retired retired;
    _Atomic uintptr_t slot[];
};

struct xe_table {
    _Alignas(XE_CACHE_LINE) _Atomic(struct xe_directory *) directory;
    _Atomic uint64_t batch; /* odd while a list write is being published */
    uint64_t seed;
    _Atomic uint32_t gate;
    uint32_t max_objects;
    bool hot;
    bool is_snapshot; /* snapshot.c */
    enum xe_kind kind;
    void *log; /* NULL: it has none; fixed once the table is shared */
    _Alignas(XE_CACHE_LINE) _Atomic uint32_t directory_lock;
    _Atomic uint32_t list_lock;
    _Atomic uint64_t shape; /* of an ordered table's directory: odd while it changes */
    _Atomic int64_t bytes;    /* of its own: itself, directory, segments */
    _Atomic int64_t contents; /* of its images, and the blobs in them; not of a snapshot's */
    /* Fixing (traverse.c). */
    _Atomic bool fixed;
    _Atomic uint32_t slot_bits; /* of xe_table_slots(), while it is fixed */
    _Atomic(struct xe_table *) graves;  /* keys removed while it is fixed */
    _Atomic(struct xe_cleared *) cleared; /* what it was cleared of meanwhile */
    /* Of a table with a log: the next number of a bag's object, and its lock. */
    uint64_t number;
    _Atomic uint32_t number_lock;
    _Atomic bool contended; /* segments were split because writers waited for them */
    /* The end. */
    _Atomic uint8_t jobs; /* that are not done yet; the last one frees the table itself */
    struct xe_reclaim_job job;
    struct xe_reclaim_job log_job;
    void *allocation;
    void *segments; /* a snapshot's, which are one allocation */
};

/* What these are counted with: allocations are aligned by hand. */
enum {
    XE_TABLE_BYTES = sizeof(struct xe_table) + XE_CACHE_LINE,
    XE_SEGMENT_BYTES = sizeof(struct xe_segment) + XE_CACHE_LINE,
};

static inline size_t xe_leaf_bytes(uint32_t n)
{
    return sizeof(struct xe_leaf) + n * sizeof(struct xe_leaf_entry);
}

static inline size_t xe_directory_bytes(uint32_t bits)
{
    return sizeof(struct xe_directory) + (sizeof(uintptr_t) << bits);
}

/* A snapshot's is FROZEN. */
enum { GATE_OPEN = 0, GATE_CLOSED = 1, GATE_DEAD = 2, GATE_FROZEN = 3 };

/* Enough heat to split, and cold enough to merge; a taken lock adds HEAT_UP. */
enum { HEAT_UP = 250, HEAT_SPLIT = 1000, HEAT_MERGE = -1000, HEAT_INITIAL = 750 };

/* --- directory.c -------------------------------------------------------- */

enum { SLOT_SEGMENT = 1 };

/* The segment of a leaf: the last one whose first hash is not above ours. */
static inline struct xe_segment *xe_leaf_find(const struct xe_leaf *leaf, uint64_t hash)
{
    uint32_t low = 0, n = leaf->n;
    while (n > 1) {
        uint32_t half = n / 2;
        low += leaf->at[low + half].lo <= hash ? half : 0;
        n -= half;
    }
    return leaf->at[low].segment;
}

/* The segment of a hash in a directory. */
static inline struct xe_segment *xe_directory_segment(const struct xe_directory *d, uint64_t hash)
{
    /* Acquire: pairs with the release stores of swap_publish(). */
    uintptr_t slot =
        atomic_load_explicit(&d->slot[hash >> 1 >> (63 - d->bits)], memory_order_acquire);
    if (XE_LIKELY(slot & SLOT_SEGMENT))
        return (struct xe_segment *)(slot - SLOT_SEGMENT);
    return xe_leaf_find((const struct xe_leaf *)slot, hash);
}

/* The segment of a hash. Inside a section. O(1) expected. */
static inline struct xe_segment *xe_directory_find(const struct xe_table *t, uint64_t hash)
{
    /* Acquire: pairs with the release store of publish_directory(). */
    const struct xe_directory *d = atomic_load_explicit(&t->directory, memory_order_acquire);
    return xe_directory_segment(d, hash);
}

/* A new segment, locked if `locked`. NULL: out of memory. Owns `image`. The first: without a
 * range; `draw` stands for where it begins. */
struct xe_segment *xe_segment_alloc(struct xe_table *t, uint64_t draw, struct xe_image *image,
                                    bool locked);
struct xe_segment *xe_segment_new(struct xe_table *t, uint64_t lo, uint64_t hi,
                                  struct xe_image *image, bool locked);
/* Frees a segment that nobody ever saw, without its image. */
void xe_segment_discard(struct xe_table *t, struct xe_segment *s);

struct xe_directory *xe_directory_new(struct xe_table *t);
/* Frees the directory with all segments, and lets go of the images. Nobody can reach them; but what
 * was shared is put on the list (xe_image_drop()). `gone`: they are a table's, and no snapshot's. */
void xe_directory_free(struct xe_directory *d, bool gone, struct xe_image **list);
/* A directory of 2^bits slots for n adjacent segments that have all hashes. NULL: out of memory. */
struct xe_directory *xe_directory_of(struct xe_table *t, struct xe_segment *segments, uint32_t n,
                                     uint32_t bits);

/*
 * Puts the segments `to` (adjacent, in order) in the place of `from` (adjacent, in order,
 * all locked by the caller, same range together). Marks `from` moved, unlocks and
 * retires them. On XE_NOMEM nothing has changed.
 */
enum xe_status xe_directory_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                                    struct xe_segment *const *from, uint32_t n_from,
                                    struct xe_segment *const *to, uint32_t n_to);

/* --- locks (table.c) ---------------------------------------------------- */

static inline bool xe_lock_try(_Atomic uint32_t *lock)
{
    /* Relaxed look first, not to take the line away from its owner. Acquire: pairs
     * with xe_lock_release(). */
    return atomic_load_explicit(lock, memory_order_relaxed) == 0 &&
           atomic_exchange_explicit(lock, 1, memory_order_acquire) == 0;
}

/* The lock of a segment was found free. */
static inline void xe_heat_cool(_Atomic int32_t *heat)
{
    /* Relaxed: a statistic. */
    int32_t h = atomic_load_explicit(heat, memory_order_relaxed);
    if (h > HEAT_MERGE)
        atomic_store_explicit(heat, h - 1, memory_order_relaxed);
}

/* Whether a locked segment is so small, and so seldom met, that it could be merged. */
static inline bool xe_segment_is_quiet(const struct xe_segment *s, const struct xe_image *img)
{
    return atomic_load_explicit(&s->heat, memory_order_relaxed) <= HEAT_MERGE &&
           xe_image_count(img) <= s->limit / 4;
}

/* Neither that nor fought for. */
static inline bool xe_segment_is_settled(const struct xe_segment *s, const struct xe_image *img)
{
    return atomic_load_explicit(&s->heat, memory_order_relaxed) <= HEAT_SPLIT &&
           !xe_segment_is_quiet(s, img);
}

/* Takes a lock word within XE_LOCK_WAIT_NS. */
bool xe_lock_take(_Atomic uint32_t *lock, _Atomic int32_t *heat);
static inline void xe_lock_release(_Atomic uint32_t *lock)
{
    /* Release: pairs with the acquire of the next xe_lock_take(). */
    atomic_store_explicit(lock, 0, memory_order_release);
}

/* The live segment of a hash / of a key, locked; NULL: not in time. */
struct xe_segment *xe_segment_acquire(struct xe_table *t, uint64_t hash);
struct xe_segment *xe_segment_acquire_key(struct xe_table *t, const struct xe_key *key);

static inline struct xe_image *xe_segment_image(const struct xe_segment *s)
{
    /* Acquire: pairs with the release store in publish_image(). */
    return atomic_load_explicit(&s->image, memory_order_acquire);
}

/*
 * Marks (scan.h) tell later whether the objects of a segment are still those that a reader has
 * seen. Whoever is about to change some counts that in `writes`, under the lock, before the change
 * can be seen. So a mark that is taken before reading, while nobody holds the lock, is as old as
 * what is read:
 *
 *   - Of every write that it counts the lock has been released since, so its changes are seen: the
 *     count is stored with release, behind the lock, so that who reads it finds the lock taken, or
 *     already released; and then what was published under it comes with that.
 *   - Any other write is counted before its change. So who knows of the change, by seeing it or by
 *     hearing of it from somebody who has, finds another count.
 *
 * While the lock is held there is no telling, and the mark is none: it never counts as unchanged.
 */
static inline void xe_segment_writes(struct xe_segment *s)
{
    uint64_t n = atomic_load_explicit(&s->writes, memory_order_relaxed);
    /* Release: pairs with xe_segment_mark(). What publishes the change is a release, too. */
    atomic_store_explicit(&s->writes, n + 1, memory_order_release);
}

/* To be taken before anything of the segment is read, its image included. */
static inline struct xe_mark xe_segment_mark(const struct xe_segment *s)
{
    /* Acquire, both: as above; the second one pairs with xe_lock_release(). */
    uint64_t writes = atomic_load_explicit(&s->writes, memory_order_acquire);
    bool locked = atomic_load_explicit(&s->lock, memory_order_acquire) != 0;
    return (struct xe_mark){.segment = locked ? 0 : s->id, .stamp = writes};
}

/* Whether the segment that has the place of the marked one is that one, as it was. */
static inline bool xe_segment_is_as(const struct xe_segment *s, const struct xe_mark *mark)
{
    /* Relaxed: who has heard of a change finds it counted, and another segment's id with it. */
    return mark->segment == s->id &&
           atomic_load_explicit(&s->writes, memory_order_relaxed) == mark->stamp;
}

/*
 * Versions tell the readers of a bag, which look at several records, whether what they saw was
 * one state: the version of each segment is even and the same before and after. Whoever changes
 * objects makes it odd before and even afterwards. A segment that has moved stays odd: its image
 * is that of another moment than those of its neighbours.
 */
static inline void xe_segment_changes(struct xe_segment *s)
{
    /* Relaxed: whoever sees what is published next, or takes the lock later, sees this too, for
     * those are releases. The lock is ours. */
    uint32_t v = atomic_load_explicit(&s->version, memory_order_relaxed);
    atomic_store_explicit(&s->version, v | 1, memory_order_relaxed);
    xe_segment_writes(s);
}

static inline void xe_segment_changed(struct xe_segment *s)
{
    uint32_t v = atomic_load_explicit(&s->version, memory_order_relaxed);
    /* Release: whoever sees it sees the change. Pairs with the loads in bag.c, order_table.c. */
    atomic_store_explicit(&s->version, (v | 1) + 1, memory_order_release);
}

/* What a table is made of itself. */
static inline void xe_table_account(struct xe_table *t, int64_t bytes)
{
    /* Relaxed: a sum that promises no instant. */
    atomic_fetch_add_explicit(&t->bytes, bytes, memory_order_relaxed);
    xe_core_account(bytes);
}

/* Images and blobs that it has got, or has no more. They see to the sum of all tables themselves,
 * for snapshots may have them longer than their table. */
static inline void xe_table_account_contents(struct xe_table *t, int64_t bytes)
{
    /* Relaxed: as above. */
    atomic_fetch_add_explicit(&t->contents, bytes, memory_order_relaxed);
}

static inline bool xe_table_is_contended(const struct xe_table *t)
{
    /* Relaxed: for the sizes of images. */
    return atomic_load_explicit(&t->contended, memory_order_relaxed);
}

/* --- reads ------------------------------------------------------------- */

enum { XE_BATCH_TRIES = 8 }; /* looks at a table that is being written as a list */

/* Before and after a read: whether a list write was being published (G2). */
static inline uint64_t xe_batch_begin(const struct xe_table *t)
{
    /* Acquire: an even word comes with all that was published before. */
    return atomic_load_explicit(&t->batch, memory_order_acquire);
}

static inline bool xe_batch_unchanged(const struct xe_table *t, uint64_t batch)
{
    /* The loads of the read were acquires, so this one comes after them. */
    return !(batch & 1) && atomic_load_explicit(&t->batch, memory_order_acquire) == batch;
}

/* Around the publishing of several changes as one. Under the list lock. */
static inline void xe_batch_publish(struct xe_table *t)
{
    uint64_t batch = atomic_load_explicit(&t->batch, memory_order_relaxed);
    /* Relaxed: the stores that publish are releases, so none is seen before it. */
    atomic_store_explicit(&t->batch, batch | 1, memory_order_relaxed);
}

static inline void xe_batch_published(struct xe_table *t)
{
    uint64_t batch = atomic_load_explicit(&t->batch, memory_order_relaxed);
    /* Release: whoever sees it even sees all of it. Pairs with xe_batch_begin(). */
    atomic_store_explicit(&t->batch, batch + 1, memory_order_release);
}

/* --- writes (table.c) --------------------------------------------------- */

/* Lets the clock run until what was retired just now is ripe. The caller holds a
 * segment's lock, and no pointers but such as the lock protects. */
void xe_table_run_clock(struct xe_epoch_slot *slot);
/* xe_table_close_gate(), waiting for so long: what has been begun ends, and nothing new begins. */
enum xe_status xe_table_close_gate_for(struct xe_table *t, uint64_t max_ns);
/* Why there is no way through a gate that is not open. */
enum xe_status xe_table_gate_status(uint32_t gate);
/* Opens a write section, which ends when the caller leaves its epoch section. */
static inline enum xe_status xe_table_write_begin(struct xe_table *t, struct xe_epoch_slot *slot)
{
    xe_epoch_write_enter(slot, t);
    /* Acquire: pairs with the release in xe_table_open_gate(). */
    uint32_t gate = atomic_load_explicit(&t->gate, memory_order_acquire);
    if (XE_LIKELY(gate == GATE_OPEN))
        return XE_OK;
    xe_epoch_write_leave(slot);
    return xe_table_gate_status(gate);
}
/* Room in the locked segment *s for a record, and for its place if the key is new. On failure *s
 * is still locked. */
enum xe_status xe_table_make_room(struct xe_table *t, struct xe_epoch_slot *slot,
                                  struct xe_segment **s, const struct xe_key *key,
                                  uint32_t units, bool is_new, uint32_t *off);
/* Puts a prepared object, of which a log has been told (plain.c). */
enum xe_status xe_table_put_prepared(struct xe_table *t, struct xe_epoch_slot *slot,
                                     const struct xe_prepared *p, enum xe_put mode);
/* Writes a prepared object to the room made for it, not yet published. */
enum xe_status xe_table_write_record(struct xe_image *img, const struct xe_prepared *p,
                                     uint32_t off);
/* Stores a prepared object in the locked segment, in the place of `place` if that is not NULL,
 * and releases the lock. In an ordered table `place` is where it was, or would be, found. */
enum xe_status xe_table_store(struct xe_table *t, struct xe_epoch_slot *slot,
                              struct xe_segment *s, const struct xe_prepared *p,
                              struct xe_place *place);
/* Publishes the record at `off`, in the place of `place`, as for xe_table_store(). */
void xe_table_publish(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_image *img,
                      const struct xe_prepared *p, uint32_t off, struct xe_place *place);
/* Empties a place: the record in it is retired. */
void xe_table_drop(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_image *img,
                   struct xe_place *place);
/* The same in a locked segment, whose version and number of objects are seen to. */
void xe_table_drop_from(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                        struct xe_place *place);
/* Ends a write on a locked segment: releases the lock, and before that splits, merges or
 * compacts the segment if what it has become calls for it. `less`: something was removed or
 * replaced. */
void xe_table_finish(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                     bool less);

/* A table without a directory. NULL: out of memory. */
struct xe_table *xe_table_alloc(const struct xe_table_config *config);
/* Frees a table without a log that nobody can reach. If it had images that were shared it waits for
 * a grace period. */
void xe_table_free(struct xe_table *t);

/*
 * Before a locked segment is changed, and before anything is taken from its image that must stay
 * good if the section is moved up to the present: makes sure that the image is the segment's
 * own (I5). It may be another one afterwards, with every record and place where it was; a place
 * may be given, to be that in the new image. False: out of memory. One load, mostly.
 */
bool xe_segment_copy(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                     struct xe_place *place);
static inline bool xe_segment_own(struct xe_table *t, struct xe_epoch_slot *slot,
                                  struct xe_segment *s, struct xe_place *place)
{
    return XE_LIKELY(!xe_image_is_shared(xe_segment_image(s))) ||
           xe_segment_copy(t, slot, s, place);
}

/* --- Logs (log.h) --------------------------------------------------------- */

/* Around a write to a table that has one. Only what xe_log_begin() answers XE_OK is to be made, and
 * ended; the write's status is passed through. */
enum xe_status xe_log_begin(struct xe_table *t, struct xe_epoch_slot *slot,
                            const struct xe_log_change *change, struct xe_log_write *write);

static inline enum xe_status xe_log_end(struct xe_table *t, struct xe_epoch_slot *slot,
                                        enum xe_status status)
{
    struct xe_log_write *write = slot->logging;
    XE_ASSERT(write->published == (status == XE_OK));
    slot->logging = NULL;
    xe_cb.log_end(t->log, write);
    return status;
}

/* Once for each change, before its first store that can be seen. */
static inline void xe_log_publish(struct xe_table *t, struct xe_epoch_slot *slot)
{
    if (XE_LIKELY(!t->log))
        return;
    XE_ASSERT(!slot->logging->published);
    slot->logging->published = true;
    xe_cb.log_publish(t->log, slot->logging);
}

/* The same for n new objects of a bag, which are numbered in the order in which they are published.
 * Returns the first number. */
uint64_t xe_log_publish_numbered(struct xe_table *t, struct xe_epoch_slot *slot, uint64_t n);

/* --- snapshot.c --------------------------------------------------------- */

/* The bytes of what a snapshot alone has, beside its own. O(segments). */
uint64_t xe_snapshot_bytes(const struct xe_table *t);

/* --- traverse.c --------------------------------------------------------- */

/* A directory that was taken out of its table by xe_table_clear(). */
struct xe_cleared {
    struct xe_reclaim_job job;
    struct xe_directory *directory;
    struct xe_cleared *next; /* the one cleared before, of those that are kept */
};

/* Frees it, after a grace period. */
void xe_table_reclaim_cleared(struct xe_cleared *c);
/* Keeps it if the table is fixed, for whoever goes on from one of its keys. In the gate. */
bool xe_table_keep_cleared(struct xe_table *t, struct xe_cleared *c);
/* Hands what was kept and remembered over to the reclaimer. */
void xe_table_forget(struct xe_table *t);
/* Frees it: nobody can reach it. */
void xe_table_forget_now(struct xe_table *t);

/* Remembers a key of a fixed table that is about to be removed. The caller holds the lock of its
 * segment. XE_RETRY: a lock was not had. Without memory it is not remembered. */
enum xe_status xe_table_bury(struct xe_table *t, struct xe_epoch_slot *slot,
                             const struct xe_key *key);
static inline enum xe_status xe_table_bury_if_fixed(struct xe_table *t,
                                                    struct xe_epoch_slot *slot,
                                                    const struct xe_key *key)
{
    /* Relaxed: xe_table_fix() has waited for those who did not see it. In an ordered table one
     * may go on from any key. */
    if (XE_LIKELY(!atomic_load_explicit(&t->fixed, memory_order_relaxed)) ||
        t->kind == XE_ORDERED)
        return XE_OK;
    return xe_table_bury(t, slot, key);
}

/* --- bag.c -------------------------------------------------------------- */

/*
 * Objects that are stored side by side, however wide the range: those of one key, and of them in
 * a duplicate bag those that are equal. Alone in their segments their hashes are even, so that no
 * chain of buckets is long. The bits that they have in common, of the wider group that the range
 * lo..hi is not part of; 0: there is none.
 */
static inline uint64_t xe_bag_group_mask(const struct xe_table *t, uint64_t lo, uint64_t hi)
{
    if (xe_kind_is_bag(t->kind) && (lo ^ hi) & XE_BAG_KEY_HASH)
        return XE_BAG_KEY_HASH;
    if (t->kind == XE_DUPLICATE_BAG && (lo ^ hi) & XE_BAG_EQUAL_HASH)
        return XE_BAG_EQUAL_HASH;
    return 0;
}

/* Of a bag's fingerprint, the bits that are the key's; of a duplicate bag's hash, those that tell equal
 * objects apart (bag.c). */
#define XE_BAG_KEY_PRINT 0xf8
#define XE_BAG_SPREAD 0x000fff00u

static inline uint8_t xe_bag_key_print(uint64_t hash)
{
    return (uint8_t)(hash >> 32 << 3);
}

/* Which byte of the hashes in a range tells best what is looked for: the shift to it. */
uint32_t xe_bag_print_shift(const struct xe_table *t, uint64_t lo, uint64_t hi);
/* Whether a segment has an object with this key. */
bool xe_bag_segment_has(const struct xe_segment *s, const struct xe_key *key);
/* Finds the object of a bag that is equal (=:=) to a prepared one. */
bool xe_bag_find_equal(const struct xe_image *img, const struct xe_prepared *p,
                       struct xe_place *out);
/* Sorts entries by their numbers; equal ones stay in their order. A radix sort, by as many bytes as
 * the numbers differ in: between here and `other`, which has as much room. Returns where they are
 * in the end. */
struct xe_run_entry *xe_bag_sort(struct xe_run_entry *at, struct xe_run_entry *other, uint32_t n);
/* A record more in a run; and the run in the order of its numbers. False: no memory. */
bool xe_bag_run_add(struct xe_run *run, const uint8_t *rec);
bool xe_bag_run_sort(struct xe_run *run);
/* Finds the one in a segment that is equal to a prepared one, and has this number. */
bool xe_bag_find_numbered(const struct xe_table *t, const struct xe_segment *s,
                          const struct xe_prepared *p, uint64_t sequence, struct xe_place *out);
/* How many objects of a segment are equal to a prepared one, and have smaller numbers than this. */
uint32_t xe_bag_count_before(const struct xe_table *t, const struct xe_segment *s,
                             const struct xe_prepared *p, uint64_t sequence);
/* Numbers a prepared object: it comes behind all objects of its key so far. */
void xe_bag_number(struct xe_prepared *p);
/* Gives it the number of another one. */
void xe_bag_number_as(struct xe_prepared *p, uint64_t sequence);

/* --- rebuild.c ---------------------------------------------------------- */

/* What is to be stored soon, and needs room: in the order of hashes, or of keys. */
struct xe_arrival {
    uint64_t hash;
    uint32_t units;
    const struct xe_key *key; /* in an ordered table */
};

enum {
    XE_REBUILD_PARTS = 64, /* segments that one rebuild makes at most */
    /* What one rebuild makes room for at most: a quarter of that, if all were full. */
    XE_REBUILD_ARRIVALS = XE_REBUILD_PARTS / 4 * XE_SEGMENT_OBJECTS_MAX,
};

/* Whether a segment is to be split even though there is no need for room. */
enum xe_split {
    XE_SPLIT_NO,
    XE_SPLIT_HALF,  /* in two: writers wait for each other */
    XE_SPLIT_GROUP, /* the largest group of a bag's objects from the others: xe_bag_group_mask() */
};

/*
 * Makes room for `n` arrivals (first come those that fit XE_REBUILD_PARTS segments) in the
 * locked segment `s`, by a new image or by more segments. On XE_OK out[0..*n_out) are the
 * locked segments that now make up its range (`s` itself, or new ones; then `s` is gone).
 */
enum xe_status xe_rebuild(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                          struct xe_arrival *arrivals, size_t n, enum xe_split split,
                          struct xe_segment **out, uint32_t *n_out);

/* Gives memory back when the image has become too large or holds dead terms, and merges
 * with neighbours when they are small too. Releases the lock of `s`. Needs no success. */
void xe_rebuild_shrink(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s);
#endif
