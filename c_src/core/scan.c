/*
 * scan.c - all objects of a table of hashes, chunk by chunk; slots. See scan.h; of ordered tables,
 * order_table.c.
 *
 * Records are read chain by chain, for the home buckets of an image are in the order of hashes,
 * and a chunk ends where a home bucket does. What begins there is a hash, so the next chunk may be
 * read of another image, whose buckets lie otherwise: only its first chain has records of both
 * sides of that hash.
 *
 * What is read of a chain while it is written. An object that stays is found in the place where it
 * was all the time, for entries do not move, and overwriting changes the entry (find.h): once. One
 * that is removed and inserted again may take another place of the chain, and be met in both. So a
 * chain is read again if two writes may have come between: if the segment's count of writes has
 * changed. One write that was counted before, and shows itself meanwhile, does not do both: a list
 * write only adds and replaces, a removal only removes.
 *
 * In a bag the objects of one key are in all chains of a run of hashes (bag.c). They are put in the
 * order of their numbers, and a chunk ends between the halves of hashes that are the keys'.
 */
#include "scan.h"

#include "order_internal.h"

enum { LOOKS = 64 }; /* at a chain that is being written, before the caller yields */

_Static_assert((uint32_t)XE_CHUNK_MAX >= (uint32_t)XE_IMAGE_OBJECTS_MAX, "an image fits");
_Static_assert((uint32_t)XE_CHUNK_SLACK >= (uint32_t)XE_BUCKET_PLACES, "a bucket fits behind it");

/* --- Chains ------------------------------------------------------------- */

/* What is read: the chains of some home buckets of an image. */
struct range {
    const struct xe_table *t;
    const struct xe_segment *s;
    const struct xe_image *img;
    uint64_t lo, hi;     /* the hashes that are wanted */
    uint32_t first, last; /* home buckets */
    uint32_t home;        /* the next one */
};

static uint32_t home_of(const struct xe_image *img, uint64_t hash)
{
    return (uint32_t)(xe_image_home(img, hash) - xe_image_buckets(img));
}

/* The first hash whose home bucket is this one or one behind it. False: none of the range has. */
static bool first_hash(const struct range *r, uint32_t home, uint64_t *hash)
{
    const struct xe_image *img = r->img;
    if (home > r->last)
        return false;
    unsigned __int128 scaled = ((unsigned __int128)home << 64) + img->mult - 1;
    *hash = img->lo + (uint64_t)(scaled / img->mult);
    return true;
}

/* Adds the records of a chain to the first n; stops when there are more than a chunk has. */
static uint32_t read_chain(const struct xe_image *img, const struct xe_bucket *b,
                           const uint8_t **recs, uint32_t n)
{
    while (n <= XE_CHUNK_MAX) {
        for (uint32_t i = 0; i < XE_BUCKET_PLACES; i++) {
            /* Acquire: pairs with the publishing store, as in xe_find(). */
            uint32_t off = __atomic_load_n(&b->off[i], __ATOMIC_ACQUIRE);
            recs[n] = xe_image_record(img, off);
            n += off != 0;
        }
        uint32_t link = __atomic_load_n(&b->link, __ATOMIC_ACQUIRE);
        if (!link)
            break;
        b = xe_image_linked(img, link);
    }
    return n;
}

/* The same, of a chain that was not written twice meanwhile. False: it was, all the time; or there
 * is no room. */
static inline bool read_still_chain(const struct range *r, uint32_t home, const uint8_t **recs,
                                    uint32_t *n)
{
    const struct xe_bucket *b = xe_image_buckets(r->img) + home;
    for (int tries = 0; tries < LOOKS; tries++) {
        /* Acquire, both: the loads in between are acquires, too, so they stay there. Pairs with
         * xe_segment_writes(). */
        uint64_t writes = atomic_load_explicit(&r->s->writes, memory_order_acquire);
        uint32_t end = read_chain(r->img, b, recs, *n);
        if (XE_LIKELY(atomic_load_explicit(&r->s->writes, memory_order_acquire) == writes)) {
            if (end > XE_CHUNK_MAX)
                return false;
            *n = end;
            return true;
        }
        xe_cpu_relax();
    }
    return false;
}

/* Puts those of the records first..n whose hashes are in lo..hi before the others. Returns where
 * the others begin. */
static uint32_t part_by_hash(const struct xe_table *t, const uint8_t **recs, uint32_t first,
                             uint32_t n, uint64_t lo, uint64_t hi)
{
    uint32_t kept = first;
    for (uint32_t i = first; i < n; i++) {
        const uint8_t *rec = recs[i];
        uint64_t hash = xe_record_hash(rec, t->seed);
        if (lo <= hash && hash <= hi) {
            recs[i] = recs[kept];
            recs[kept++] = rec;
        }
    }
    return kept;
}

/* Whether a home bucket may have records of hashes that are not in the range. */
static bool is_cut(const struct range *r, uint32_t home)
{
    return (home == r->first && r->lo > r->s->lo) ||
           (home == r->last && r->hi < r->s->hi);
}

/* --- Chunks ------------------------------------------------------------- */

/* Adds the wanted records of the next chain. False: it cannot be read. */
static inline bool add_chain(struct range *r, struct xe_chunk *out)
{
    uint32_t n = out->n;
    if (XE_UNLIKELY(!read_still_chain(r, r->home, out->recs, &n)))
        return false;
    if (XE_UNLIKELY(is_cut(r, r->home)))
        n = part_by_hash(r->t, out->recs, out->n, n, r->lo, r->hi);
    out->n = n;
    r->home++;
    return true;
}

/* Reads chains until there are `least`. XE_RETRY: not even one could be read. */
static enum xe_status read_set(struct range *r, uint32_t least, struct xe_chunk *out)
{
    do
        if (XE_UNLIKELY(!add_chain(r, out)))
            break;
    while (r->home <= r->last && out->n < least);
    if (XE_UNLIKELY(r->home == r->first))
        return XE_RETRY;
    if (!first_hash(r, r->home, &out->next))
        out->next = r->hi + 1;
    return XE_OK;
}

/* Whether a bag's chunk may end with the last chain, whose records begin at `n`. The objects of a
 * key whose hashes go on behind it are left for the next chunk then. */
static bool end_at_key(const struct range *r, uint32_t n, uint32_t least, struct xe_chunk *out)
{
    uint64_t from, next;
    if (!first_hash(r, r->home, &next))
        return true;
    next &= XE_BAG_KEY_HASH;
    if (!first_hash(r, r->home - 1, &from) || from >= next || r->lo >= next)
        return false;
    uint32_t kept = part_by_hash(r->t, out->recs, n, out->n, 0, next - 1);
    if (kept < least)
        return false;
    out->n = kept;
    out->next = next;
    return true;
}

static enum xe_status read_bag(struct range *r, uint32_t least, struct xe_chunk *out)
{
    out->next = r->hi + 1;
    while (r->home <= r->last) {
        uint32_t n = out->n;
        if (XE_UNLIKELY(!add_chain(r, out)))
            return XE_RETRY;
        if (out->n >= least && end_at_key(r, n, least, out))
            break;
    }
    return XE_OK;
}

/* --- The order of a bag's chunk ----------------------------------------- */

/* A record by its key's half of the hash, and then by its number. */
struct place_in_bag {
    uint64_t group, sequence;
    const uint8_t *rec;
};

static inline bool comes_before(const struct place_in_bag *a, const struct place_in_bag *b)
{
    return a->group != b->group ? a->group < b->group : a->sequence < b->sequence;
}

/* Sifts the first of n down, in a heap whose top comes last. */
static void sift(struct place_in_bag *heap, uint32_t n, uint32_t i)
{
    struct place_in_bag v = heap[i];
    for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && comes_before(&heap[child], &heap[child + 1]);
        if (!comes_before(&v, &heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = v;
}

static void sort_any(struct place_in_bag *at, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift(at, n, i);
    for (uint32_t end = n; end > 1;) {
        struct place_in_bag top = at[0];
        at[0] = at[--end];
        at[end] = top;
        sift(at, end, 0);
    }
}

/* Sorts what is nearly in order. False: it was not. */
static bool sort_near(struct place_in_bag *at, uint32_t n)
{
    uint32_t moves = 0, most = XE_BUCKET_PLACES * n;
    for (uint32_t i = 1; i < n && moves < most; i++) {
        struct place_in_bag e = at[i];
        uint32_t j = i;
        for (; j && comes_before(&e, &at[j - 1]); j--)
            at[j] = at[j - 1];
        at[j] = e;
        moves += i - j;
    }
    return moves < most;
}

/* Chains are in the order of hashes, so most records are near to where they belong; but not those
 * of a key with many objects. */
static void sort_bag(const struct xe_table *t, struct xe_chunk *out)
{
    struct place_in_bag at[XE_CHUNK_MAX];
    for (uint32_t i = 0; i < out->n; i++) {
        const uint8_t *rec = out->recs[i];
        xe_chunk_ahead(out, i);
        struct xe_bag_tail tail = xe_record_tail(rec, xe_load32(rec));
        at[i] = (struct place_in_bag){.group = xe_record_hash(rec, t->seed) & XE_BAG_KEY_HASH,
                                      .sequence = xe_tail_sequence(&tail), .rec = rec};
    }
    if (out->n > 1 && !sort_near(at, out->n))
        sort_any(at, out->n);
    for (uint32_t i = 0; i < out->n; i++)
        out->recs[i] = at[i].rec;
}

/* --- Scans -------------------------------------------------------------- */

enum xe_status xe_scan_between(struct xe_table *t, uint64_t position, uint64_t last,
                               uint32_t least, struct xe_chunk *out)
{
    const struct xe_segment *s = xe_directory_find(t, position);
    struct range r = {.t = t, .s = s, .lo = position, .hi = last < s->hi ? last : s->hi};
    out->n = 0;
    out->mark = xe_segment_mark(s);
    r.img = xe_segment_image(s);
    r.first = r.home = home_of(r.img, r.lo);
    r.last = home_of(r.img, r.hi);
    enum xe_status status =
        t->kind == XE_SET ? read_set(&r, least, out) : read_bag(&r, least, out);
    if (XE_UNLIKELY(status != XE_OK))
        return status;
    if (t->kind != XE_SET)
        sort_bag(t, out);
    /* In a sum modulo 2^64 what is behind the last hash is 0. */
    out->more = out->next - 1 < last;
    return XE_OK;
}

enum xe_status xe_scan_hashes(struct xe_table *t, uint64_t position, uint32_t least,
                              struct xe_chunk *out)
{
    return xe_scan_between(t, position, UINT64_MAX, least, out);
}

/* --- Marks -------------------------------------------------------------- */

bool xe_scan_is_unchanged(struct xe_table *t, uint64_t position, const struct xe_mark *mark)
{
    return xe_segment_is_as(xe_directory_find(t, position), mark);
}

bool xe_scan_is_unchanged_at(struct xe_table *t, const struct xe_key *key,
                             const struct xe_mark *mark)
{
    return xe_segment_is_as(xe_order_segment(t, key), mark);
}
