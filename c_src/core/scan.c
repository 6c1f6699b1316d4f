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
 * In a bag the objects of a key are to come in the order of their numbers, and in one chunk as far as
 * they are in one segment: it ends between the halves of hashes that are the keys' (bag.c). Nearly
 * always the objects of a key are in one chain, and in order, because places are taken one
 * after the other. So only those with the same bits of the key in their fingerprints are put in
 * order, chain by chain, among themselves. Where a key's objects may be in several chains all
 * records are sorted.
 */
#include "scan.h"

#include "order_internal.h"

enum {
    LOOKS = 64,       /* at a chain that is being written, before the caller yields */
    KEY_PRINTS = 32,  /* values of a key's bits in a fingerprint, which are the high ones */
    KEY_SHIFT = 3,
    CHAIN_LONG = 128, /* records: beyond that a better sort is worth it */
};

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

/* Adds the records of a chain to the first n, of a bag with their fingerprints; stops when there
 * are more than a chunk has. */
static inline __attribute__((always_inline)) uint32_t
read_chain(const struct xe_image *img, const struct xe_bucket *b, const uint8_t **recs,
           uint8_t *prints, uint32_t n)
{
    while (n <= XE_CHUNK_MAX) {
        for (uint32_t i = 0; i < XE_BUCKET_PLACES; i++) {
            /* Acquire: pairs with the publishing store, as in xe_find(). */
            uint32_t off = __atomic_load_n(&b->off[i], __ATOMIC_ACQUIRE);
            recs[n] = xe_image_record(img, off);
            if (prints) {
                /* Behind the offset, so it is not that of a record that was there before. Acquire:
                 * before the second look at the count of writes, so it is not a later one's. */
                prints[n] = __atomic_load_n(&b->fp[i], __ATOMIC_ACQUIRE);
                /* It is going to be looked at, if only for its number. */
                __builtin_prefetch(recs[n]);
            }
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
static inline __attribute__((always_inline)) bool
read_still_chain(const struct range *r, uint32_t home, const uint8_t **recs, uint8_t *prints,
                 uint32_t *n)
{
    const struct xe_bucket *b = xe_image_buckets(r->img) + home;
    for (int tries = 0; tries < LOOKS; tries++) {
        /* Acquire, both: the loads in between are acquires, too, so they stay there. Pairs with
         * xe_segment_writes(). */
        uint64_t writes = atomic_load_explicit(&r->s->writes, memory_order_acquire);
        uint32_t end = read_chain(r->img, b, recs, prints, *n);
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

/* --- Sets --------------------------------------------------------------- */

/* Reads chains until there are `least`. XE_RETRY: not even one could be read. */
static enum xe_status read_set(struct range *r, uint32_t least, struct xe_chunk *out)
{
    do {
        uint32_t n = out->n;
        if (XE_UNLIKELY(!read_still_chain(r, r->home, out->recs, NULL, &n)))
            break;
        if (XE_UNLIKELY(is_cut(r, r->home)))
            n = part_by_hash(r->t, out->recs, out->n, n, r->lo, r->hi);
        out->n = n;
        r->home++;
    } while (r->home <= r->last && out->n < least);
    if (XE_UNLIKELY(r->home == r->first))
        return XE_RETRY;
    if (!first_hash(r, r->home, &out->next))
        out->next = r->hi + 1;
    return XE_OK;
}

/* --- Bags --------------------------------------------------------------- */

/* What is known of a chunk's records: their fingerprints, and of those of the last chain the one
 * before each that has the same bits of a key. */
struct prints {
    uint8_t at[XE_CHUNK_MAX + XE_CHUNK_SLACK];
    uint16_t before[XE_CHUNK_MAX];
    bool crossing; /* the objects of a key may be in several chains */
};

enum { NONE = UINT16_MAX };

static uint64_t number_of(const uint8_t *rec)
{
    struct xe_bag_tail tail = xe_record_tail(rec, xe_load32(rec));
    return xe_tail_sequence(&tail);
}

/* Puts record i where it belongs among those before it with the same bits of a key, of which the
 * last one is j. */
static void insert_among(const struct prints *p, const uint8_t **recs, uint32_t i, uint32_t j)
{
    const uint8_t *rec = recs[i];
    uint64_t number = number_of(rec);
    for (; j != NONE && number_of(recs[j]) > number; j = p->before[j]) {
        recs[i] = recs[j];
        i = j;
    }
    recs[i] = rec;
}

/* Puts the records first..n, which are a chain, in order as far as they may be of one key. `next`: the
 * hash at which the chain behind it begins; 0: there is none. */
static void order_chain(const struct xe_table *t, struct prints *p, const uint8_t **recs,
                        uint32_t first, uint32_t n, uint64_t next)
{
    uint16_t last[KEY_PRINTS];
    memset(last, 0xff, sizeof last);
    p->crossing |= n - first > CHAIN_LONG;
    if (p->crossing)
        return;
    for (uint32_t i = first; i < n; i++) {
        uint32_t print = p->at[i] >> KEY_SHIFT, j = last[print];
        p->before[i] = (uint16_t)j;
        last[print] = (uint16_t)i;
        if (j != NONE)
            insert_among(p, recs, i, j);
    }
    /* Whether the key whose hashes the next chain begins in has objects here. */
    for (uint32_t i = next ? last[next >> 32 & (KEY_PRINTS - 1)] : NONE; i != NONE; i = p->before[i])
        p->crossing |= (xe_record_hash(recs[i], t->seed) ^ next) <= UINT32_MAX;
}

/* Adds the wanted records of the next chain. False: it cannot be read. */
static bool add_chain(struct range *r, struct prints *p, struct xe_chunk *out)
{
    uint32_t n = out->n;
    uint64_t next = 0;
    if (XE_UNLIKELY(!read_still_chain(r, r->home, out->recs, p->at, &n)))
        return false;
    if (XE_UNLIKELY(is_cut(r, r->home))) {
        n = part_by_hash(r->t, out->recs, out->n, n, r->lo, r->hi);
        for (uint32_t i = out->n; i < n; i++)
            p->at[i] = (uint8_t)xe_record_hash(out->recs[i], r->t->seed);
    }
    if (first_hash(r, ++r->home, &next) && !(next & ~XE_BAG_KEY_HASH))
        next = 0;
    order_chain(r->t, p, out->recs, out->n, n, next);
    out->n = n;
    return true;
}

/* Whether the chunk may end with the last chain, whose records begin at `n`. The objects of a
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

/* Sorts all records by their numbers, and then by their keys' halves of the hashes. */
static void sort_all(const struct range *r, struct xe_chunk *out)
{
    struct xe_run_entry room[2][XE_CHUNK_MAX], *at = room[0];
    for (uint32_t i = 0; i < out->n; i++) {
        xe_chunk_ahead(out, i);
        at[i] = (struct xe_run_entry){.sequence = number_of(out->recs[i]), .rec = out->recs[i]};
    }
    at = xe_bag_sort(at, room[1], out->n);
    if ((r->s->lo ^ r->s->hi) > UINT32_MAX) {
        for (uint32_t i = 0; i < out->n; i++)
            at[i].sequence = xe_record_hash(at[i].rec, r->t->seed) >> 32;
        at = xe_bag_sort(at, room[at == room[0]], out->n);
    }
    for (uint32_t i = 0; i < out->n; i++)
        out->recs[i] = at[i].rec;
}

static enum xe_status read_bag(struct range *r, uint32_t least, bool in_groups,
                               struct xe_chunk *out)
{
    struct prints p;
    /* All of one key, or of few: then the fingerprint tells something else of them. */
    p.crossing = in_groups || (r->s->lo ^ r->s->hi) <= UINT32_MAX;
    out->next = r->hi + 1;
    while (r->home <= r->last) {
        uint32_t n = out->n;
        if (XE_UNLIKELY(!add_chain(r, &p, out)))
            return XE_RETRY;
        if (out->n >= least && end_at_key(r, n, least, out))
            break;
    }
    if (p.crossing)
        sort_all(r, out);
    return XE_OK;
}

/* --- Scans -------------------------------------------------------------- */

static enum xe_status scan(struct xe_table *t, uint64_t position, uint64_t last, uint32_t least,
                           bool in_groups, struct xe_chunk *out)
{
    const struct xe_segment *s = xe_directory_find(t, position);
    struct range r = {.t = t, .s = s, .lo = position, .hi = last < s->hi ? last : s->hi};
    out->n = 0;
    out->mark = xe_segment_mark(s);
    r.img = xe_segment_image(s);
    r.first = r.home = home_of(r.img, r.lo);
    r.last = home_of(r.img, r.hi);
    enum xe_status status =
        t->kind == XE_SET ? read_set(&r, least, out) : read_bag(&r, least, in_groups, out);
    if (XE_UNLIKELY(status != XE_OK))
        return status;
    /* In a sum modulo 2^64 what is behind the last hash is 0. */
    out->more = out->next - 1 < last;
    return XE_OK;
}

enum xe_status xe_scan_between(struct xe_table *t, uint64_t position, uint64_t last,
                               uint32_t least, struct xe_chunk *out)
{
    return scan(t, position, last, least, false, out);
}

enum xe_status xe_scan_hashes(struct xe_table *t, uint64_t position, uint32_t least,
                              struct xe_chunk *out)
{
    return scan(t, position, UINT64_MAX, least, false, out);
}

enum xe_status xe_scan_groups(struct xe_table *t, uint64_t position, uint32_t least,
                              struct xe_chunk *out)
{
    return scan(t, position, UINT64_MAX, least, true, out);
}

enum xe_status xe_scan_run(struct xe_table *t, uint64_t hash, struct xe_run *run)
{
    uint64_t last = hash | ~XE_BAG_KEY_HASH;
    struct xe_chunk *chunk = xe_cb.alloc(sizeof *chunk);
    enum xe_status status = chunk ? XE_OK : XE_NOMEM;
    if (chunk) {
        chunk->more = true;
        chunk->next = hash & XE_BAG_KEY_HASH;
    }
    while (status == XE_OK && chunk->more) {
        status = scan(t, chunk->next, last, XE_CHUNK_MAX, false, chunk);
        for (uint32_t i = 0; i < chunk->n && status == XE_OK; i++)
            if (!xe_bag_run_add(run, chunk->recs[i]))
                status = XE_NOMEM;
    }
    if (status == XE_OK && !xe_bag_run_sort(run))
        status = XE_NOMEM;
    if (chunk)
        xe_cb.free(chunk);
    return status;
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

uint64_t xe_scan_place(struct xe_table *t, const struct xe_key *key)
{
    struct xe_order_place p;
    xe_order_find(xe_order_top_now(t), key, &p);
    return (uint64_t)p.at << 32 | p.i;
}

bool xe_scan_is_unchanged_in(struct xe_table *t, uint64_t place, const struct xe_mark *mark)
{
    const struct xe_order_top *top = xe_order_top_now(t);
    uint32_t at = (uint32_t)(place >> 32), i = (uint32_t)place;
    if (at >= top->n)
        return false;
    const struct xe_order_chunk *c = xe_order_top_chunk(top, at);
    return i < c->n && xe_segment_is_as(xe_order_chunk_segments(c)[i], mark);
}
