/*
 * image.h - the memory of one segment: index, records, retired slots.
 *
 *   0        128                                                         bytes
 *   +--------+-----------+-----------------+ - - - - +----------+-------+
 *   | header | buckets   | records   -->   |  room   | <-- more |  ring |
 *   |        | 64 B each |                 |         |  buckets |       |
 *   +--------+-----------+-----------------+ - - - - +----------+-------+
 *                                          top       bottom     ring_at
 *
 * Offsets are counted in units of 4 bytes, so 16 bits reach all of an image.
 * A bucket is a cache line of up to 20 objects:
 *
 *   0                  20     22     24                                  64
 *   +------------------+------+------+------------------------------------+
 *   | 20 fingerprints  | link | hint | 20 offsets of records, 16 bits each |
 *   +------------------+------+------+------------------------------------+
 *
 *   fingerprint  a byte of the hash: the lowest; in a bag's image that is for one key only, where
 *                that says nothing, another one (bag.c)
 *   hint         lets writers find an empty place without a search
 *   link         0, or the next bucket of the same home, in units of 64 bytes
 *   offset       0: the place is empty, whatever its fingerprint says
 *
 * The home bucket of a hash is (hash - lo) * mult >> 64: bucket order is hash order.
 * When the home bucket is full another bucket is chained to it; a neighbour is never
 * used, and an entry never moves inside its image. 20 places of 3 bytes, rather than
 * 12 with 32-bit offsets, cost 4.6 bytes an object instead of 8.
 *
 * Ring of retired slots. What a writer replaces or deletes becomes an entry:
 *
 *   bits 0..13 offset, 14..22 size (both in units), 23..31 low bits of the stamp
 *
 * I1  No byte of an image is overwritten while a reader of that image can hold its
 *     offset: a retired slot is used again only when its stamp is ripe (E1). The age is
 *     taken modulo 512; that can only make a slot look younger.
 * I2  A record reachable from a bucket never changes.
 * I3  Everything but the reading functions runs under the segment's lock, or
 *     on an image that nobody else can reach yet.
 * I4  An image that is no longer its segment's image does not change any more, unless it has
 *     been handed to another segment (order_rebuild.c): then the version of the old one is odd for
 *     ever, and was so before the new one could be found, and who reads by versions looks again.
 * I5  An image that snapshots hold beside its table (snapshot.h) does not change: whoever is about
 *     to change it gives its segment a copy first. Only holders of an image make more of them, and
 *     its table only in the closed gate; so a writer that finds its segment to be the only one may
 *     write in place.
 *
 * G1  The linearisation point of a write is the store of the offset; of a read, the load.
 */
#ifndef XE_IMAGE_H
#define XE_IMAGE_H

#include "core.h"
#include "epoch.h"
#include "record.h"

enum {
    XE_IMAGE_BYTES_MAX = 65536,
    XE_BUCKET_BYTES = 64,
    XE_BUCKET_PLACES = 20,
    XE_BUCKET_LOAD = 16, /* objects a bucket is meant for when the image is full */
    /* More than a segment's limit only if equal hashes forbid to split. */
    XE_IMAGE_OBJECTS_MAX = 2048,
    XE_UNIT = XE_RECORD_ALIGN,
};

struct xe_bucket {
    uint8_t fp[XE_BUCKET_PLACES];
    uint16_t link;
    uint16_t hint; /* no place below this one is empty; writers only */
    uint16_t off[XE_BUCKET_PLACES];
};

_Static_assert(sizeof(struct xe_bucket) == XE_BUCKET_BYTES, "a bucket is a cache line");
_Static_assert(offsetof(struct xe_bucket, link) == 20, "as drawn");
_Static_assert(offsetof(struct xe_bucket, off) == 24, "as drawn");
_Static_assert(XE_IMAGE_BYTES_MAX / XE_UNIT <= 1 << 14, "offsets fit a ring entry");

struct xe_image {
    /* What readers need. */
    _Alignas(XE_CACHE_LINE) union {
        struct {
            uint64_t lo; /* first hash of the segment's range */
            uint64_t mult;
        };
        struct {                       /* of an ordered image (leaves.h) */
            _Atomic uint16_t n_leaves; /* in its table */
            _Atomic uint16_t skip;     /* bytes that all keys begin with, which heads leave out */
            uint16_t cap_leaves;
            uint16_t free_leaf; /* one that is in use no more, or 0; writers only */
        };
    };
    uint32_t nbuckets;     /* of the index that come first: blocks of 64 bytes */
    _Atomic uint32_t refs; /* counted pointers to this image: its segment's, snapshots' */
    uint16_t print_shift;  /* which byte of a hash is its fingerprint */
    bool ordered;
    bool was_shared;    /* by several holders: who frees it waits for the readers of others */
    _Atomic bool gone;  /* from its table: only snapshots have it */
    struct xe_retired retired;
    /* What writers change (I3). */
    _Alignas(XE_CACHE_LINE) uint32_t top; /* units */
    uint32_t bottom;                      /* units */
    uint32_t ring_at;                             /* bytes */
    uint32_t ring_cap, ring_head, ring_len;       /* entries */
    _Atomic uint32_t count;                       /* objects; read by size sums, relaxed */
    union {
        uint32_t room; /* objects that the index is made for */
        uint32_t last; /* of an ordered image: the record that was inserted last */
    };
    uint32_t live;                                /* units of records in use */
    uint32_t sparse;                              /* units: with no more live it is too large */
    uint32_t pinned_live, pinned_dead;            /* of handles, in units of 256 bytes */
    uint32_t bytes;                               /* size of this allocation; 0: of nobody */
    uint32_t blobs;                               /* descriptors among the records in use */
    void *env;                                    /* of the EXT terms; NULL: none yet */
};

_Static_assert(offsetof(struct xe_image, top) == 64, "readers' and writers' lines are apart");
_Static_assert(sizeof(struct xe_image) == 128, "buckets start on a cache line");

/* The image of an empty segment: no room, shared by all, never written. */
extern struct xe_image *const xe_image_empty;

/* Whether it is that one, or that of another copy of this library. */
static inline bool xe_image_is_empty(const struct xe_image *img)
{
    return img->bytes == 0;
}

static inline struct xe_bucket *xe_image_buckets(const struct xe_image *img)
{
    return (struct xe_bucket *)((uintptr_t)img + sizeof *img);
}

static inline struct xe_bucket *xe_image_linked(const struct xe_image *img, uint32_t link)
{
    return (struct xe_bucket *)((uintptr_t)img + (uintptr_t)link * XE_BUCKET_BYTES);
}

static inline uint8_t *xe_image_record(const struct xe_image *img, uint32_t off)
{
    return (uint8_t *)((uintptr_t)img + (uintptr_t)off * XE_UNIT);
}

static inline struct xe_bucket *xe_image_home(const struct xe_image *img, uint64_t hash)
{
    return xe_image_buckets(img) +
           (uint64_t)(((unsigned __int128)(hash - img->lo) * img->mult) >> 64);
}

static inline uint8_t xe_image_print(const struct xe_image *img, uint64_t hash)
{
    return (uint8_t)(hash >> img->print_shift);
}

/* Where the records begin. */
static inline uint32_t xe_image_first(const struct xe_image *img)
{
    return (uint32_t)(sizeof *img + (size_t)img->nbuckets * XE_BUCKET_BYTES) / XE_UNIT;
}

/* Sizes of an image that is to be built. */
struct xe_image_plan {
    uint64_t lo, hi;    /* hashes it is for, both included */
    uint32_t count;     /* objects it holds when full */
    uint32_t units;     /* of records, when full */
    uint32_t spare;     /* slots that may be retired at once: ring entries */
    bool ext;           /* it needs an environment */
    bool ordered;
    uint32_t leaves; /* of an ordered image, to begin with */
    uint32_t more_leaves; /* for which the table has places beyond those of an even growth */
    uint32_t print_shift;
};

/* A new, empty image. XE_LIMIT: the plan needs more than XE_IMAGE_BYTES_MAX, or is for
 * more than XE_IMAGE_OBJECTS_MAX. */
enum xe_status xe_image_new(const struct xe_image_plan *plan,
                            struct xe_image **out);
/* The bytes that an image for this plan takes. */
size_t xe_image_plan_bytes(const struct xe_image_plan *plan);

/*
 * Holders. An image is freed by the last one that lets go of it. Each image counts once for every
 * blob that it has the descriptor of. The bytes of an image are in those of all tables from the
 * time when it is made until the last one lets go.
 */

/* Whether there are several holders (I5). For a holder. */
static inline bool xe_image_is_shared(const struct xe_image *img)
{
    /* Acquire: pairs with the release of who lets go, and has read it. */
    return atomic_load_explicit(&img->refs, memory_order_acquire) > 1;
}
/* One more holder. By a holder; for its table in the closed gate. */
void xe_image_share(struct xe_image *img);
/* One less: what nobody else can reach is freed at once, without its blobs. */
void xe_image_unref(struct xe_image *img);
/* One less; the last one frees it with its blobs after a grace period. */
void xe_image_let_go(struct xe_epoch_slot *slot, struct xe_image *img);
/* The same for its table, which has all records of it in other images now: those count for the
 * blobs too. */
void xe_image_moved(struct xe_epoch_slot *slot, struct xe_image *img);
/* The same for a directory that nobody can reach. Others may still read what was shared: if this
 * was the last holder, such an image is put on the list, to be freed after a grace period. */
void xe_image_drop(struct xe_image *img, struct xe_image **list);
void xe_image_free_list(struct xe_image *list);
/* Its table lets go of it next, and of its blobs. */
void xe_image_set_gone(struct xe_image *img);
/* Drops the blobs whose descriptors are in `img`. */
void xe_image_drop_blobs(struct xe_image *img);

/* An environment for EXT terms, made when the first one comes. */
bool xe_image_need_env(struct xe_image *img);

/* The ring: slots in the order in which they were retired, as offset, size and stamp. */
static inline uint32_t *xe_ring_entry(const struct xe_image *img, uint32_t i)
{
    /* Both are below the capacity; a division would cost more than all the rest. */
    uint32_t at = img->ring_head + i;
    at -= at >= img->ring_cap ? img->ring_cap : 0;
    return (uint32_t *)((uintptr_t)img + img->ring_at) + at;
}

static inline uint32_t xe_ring_pack(uint32_t off, uint32_t units, uint64_t stamp)
{
    return off | units << 14 | (uint32_t)stamp << 23;
}

static inline uint32_t xe_ring_off(uint32_t e)
{
    return e & 0x3fff;
}

static inline uint32_t xe_ring_units(uint32_t e)
{
    return e >> 14 & 0x1ff;
}

/* I1: the clock is at stamp+2 or more. A stamp is at most one ahead of the
 * clock, so ages are counted from there. */
static inline bool xe_ring_is_ripe(uint32_t e, uint64_t now)
{
    enum { EPOCH_BITS = 9 };
    return (((uint32_t)now + 1 - (e >> 23)) & ((1u << EPOCH_BITS) - 1)) >= 3;
}

static inline void xe_ring_push(struct xe_image *img, uint32_t entry)
{
    /* A full ring loses the slot until the next rebuild. */
    if (img->ring_len == img->ring_cap)
        return;
    *xe_ring_entry(img, img->ring_len++) = entry;
}

static inline uint32_t xe_ring_pop(struct xe_image *img)
{
    uint32_t e = *xe_ring_entry(img, 0);
    img->ring_head = img->ring_head + 1 == img->ring_cap ? 0 : img->ring_head + 1;
    img->ring_len--;
    return e;
}

/* Loads what xe_image_alloc() and xe_image_retire() will touch, ahead of time: in a large table
 * each of these lines is a cache miss, and so they are one together. */
static inline void xe_image_prefetch_room(const struct xe_image *img)
{
    uint32_t off = img->ring_len ? xe_ring_off(*xe_ring_entry(img, 0)) : img->top;
    xe_prefetch_write(xe_image_record(img, off));
    xe_prefetch_write(xe_ring_entry(img, img->ring_len));
}

/* Whether retired slots wait for the clock: it has to run until they are ripe. */
bool xe_image_has_retired(const struct xe_image *img);
/* Room for a record: its offset, or 0. Never what a reader can still see (I1). */
uint32_t xe_image_alloc_any(struct xe_image *img, uint32_t units);
static inline uint32_t xe_image_alloc(struct xe_image *img, uint32_t units)
{
    XE_ASSERT(!xe_image_is_shared(img));
    if (XE_LIKELY(img->ring_len)) {
        /* Where records are overwritten the oldest slot mostly fits. */
        uint32_t e = *xe_ring_entry(img, 0);
        if (XE_LIKELY(xe_ring_units(e) == units) && XE_LIKELY(xe_ring_is_ripe(e, xe_epoch_now())))
            return xe_ring_off(xe_ring_pop(img));
    }
    return xe_image_alloc_any(img, units);
}
/* The slot was never published: it is free at once. */
void xe_image_unalloc(struct xe_image *img, uint32_t off, uint32_t units);
/* The same for a slot with a record in it. */
void xe_image_unwrite(struct xe_image *img, uint32_t off);
/* The record at `off` is unreachable for new readers from now on. */
void xe_image_retire(struct xe_image *img, uint32_t off);
/* The same for a plain record of so many units. */
static inline void xe_image_retire_plain(struct xe_image *img, uint32_t off, uint32_t units)
{
    XE_ASSERT(!xe_image_is_shared(img));
    img->live -= units;
    xe_ring_push(img, xe_ring_pack(off, units, xe_epoch_stamp()));
}
/* Whether dead EXT terms are worth a rebuild. */
bool xe_image_is_littered(const struct xe_image *img);

/* Whether so much was removed that a smaller image would do. */
static inline bool xe_image_is_sparse(const struct xe_image *img)
{
    return img->live <= img->sparse;
}

/* Where a key's entry is: a place in a bucket, or in a leaf of an ordered image. */
struct xe_place {
    struct xe_bucket *bucket;
    uint32_t index;
    uint32_t off;  /* of the record; 0: absent */
    uint32_t leaf; /* its number in the table */
};

/* The same place in a copy of its image. */
static inline void xe_place_move(struct xe_place *place, const struct xe_image *from,
                                 const struct xe_image *to)
{
    /* In an ordered image it is known by numbers. */
    if (!from->ordered)
        place->bucket =
            (struct xe_bucket *)((uintptr_t)to + ((uintptr_t)place->bucket - (uintptr_t)from));
}

/* Finding a key: xe_find() in find.h. */

/* The number of objects. */
static inline uint32_t xe_image_count(const struct xe_image *img)
{
    /* Relaxed: for the only writer (I3), and for sums that promise no instant. */
    return atomic_load_explicit(&img->count, memory_order_relaxed);
}

/* Whether `n` more objects are as many as the image is made for. */
static inline bool xe_image_has_room(const struct xe_image *img, uint32_t n)
{
    return xe_image_count(img) + n <= img->room;
}

/* Links buckets until `n` places are free in the chain of `hash`. False: no room. */
bool xe_image_reserve_places(struct xe_image *img, uint64_t hash, uint32_t n);
/* A block of 64-byte lines for more of the index; 0: no room. */
uint32_t xe_image_more_index(struct xe_image *img, uint32_t lines);
/* Publishes a record in a free place of its chain, which must exist. */
void xe_image_add(struct xe_image *img, uint64_t hash, uint32_t off);
/* Publishes `off` instead of the record at `place` / empties the place. */
void xe_image_replace(struct xe_place *place, uint32_t off);
void xe_image_remove(struct xe_image *img, struct xe_place *place);

/* Accounts for a record that was published or retired by the caller. */
void xe_image_count_in(struct xe_image *img, const uint8_t *rec);

/* A record of another image, to be copied. */
struct xe_image_entry {
    uint64_t hash;
    const uint8_t *rec;
};

/* A copy of `img`, which has no environment, with room for `units` more of records and a ring
 * for `spare` slots. Records and their places stay where they are, so it costs little; what
 * was retired is free in it. XE_LIMIT, XE_NOMEM. */
enum xe_status xe_image_stretch(const struct xe_image *img, uint32_t units, uint32_t spare,
                                struct xe_image **out);
/* A copy for a segment that is to be written, of an image that is shared: as large, every record and
 * every place where it was. XE_NOMEM. */
enum xe_status xe_image_copy(const struct xe_image *img, struct xe_image **out);
/* The bytes that a stretched copy takes. */
size_t xe_image_stretch_bytes(const struct xe_image *img, uint32_t units, uint32_t spare);
/* Units of the area of records that hold nothing: retired or lost. */
static inline uint32_t xe_image_waste(const struct xe_image *img)
{
    return img->top - xe_image_first(img) - img->live;
}

/* Copies records into a new image, which nobody else can reach yet. False: there is no room
 * for all of them; then the image is good for nothing. */
bool xe_image_fill(struct xe_image *img, const struct xe_image_entry *entries, uint32_t n);

/* All records, bucket by bucket. Start with a zeroed cursor; 0 at the end. */
struct xe_image_cursor {
    uint32_t home, place;
    struct xe_bucket *bucket;
};
uint32_t xe_image_next(const struct xe_image *img, struct xe_image_cursor *cursor);

/* Walks everything and checks the invariants; for tests. `seed` is the table's. */
bool xe_image_is_valid(const struct xe_image *img, uint64_t seed);

#endif
