/*
 * bag.c - tables with several objects a key.
 *
 * The hash by which an object is stored, high bits first:
 *
 *   bag            32 H(key)   24 H(object)                   4 H(key)   4 H(object)
 *   duplicate bag  32 H(key)   12 H(object)   12 spread       4 H(key)   4 H(object)
 *
 * So the objects of a key are neighbours in the order of hashes, in as many segments as they
 * need, and equal objects are found by their hash. In a duplicate bag, where they may be many,
 * `spread` tells them apart, so that a segment of them can be split. The low byte is the
 * fingerprint (image.h): its high half finds the objects of a key, all of it one object.
 *
 * Reading several records, of one state. A reader notes the version of each segment of the run
 * before it looks, and looks at it again afterwards (table_internal.h); at the batch word, for
 * list writes and for changes to several segments; and at the directory, which is replaced when
 * the table is cleared. After a few tries, or when the run is long, it takes the locks.
 *
 * Objects are compared under the lock of their segment: only such as have 44 bits (32 in a
 * duplicate bag) of hash in common beside their key, so they are hardly ever different.
 */
#include <sched.h>
#include <stdlib.h>

#include "find.h"
#include "shared.h"
#include "table_internal.h"

enum {
    KEY_PRINT = 0xf0, /* of a fingerprint */
    READ_TRIES = 4,
    READ_SEGMENTS = 8, /* of a run that is read without locks */
};

#define LOW (~XE_BAG_KEY_HASH)
#define SPREAD 0x000fff00u /* the bits of it in a duplicate bag's hash */

/* --- Hashes ------------------------------------------------------------- */

static uint8_t key_print(uint64_t hash)
{
    return (uint8_t)(hash >> 32 << 4);
}

/* Bits to tell equal objects apart. Any will do; a counter spreads best. */
static uint32_t next_spread(void)
{
    static _Thread_local uint32_t n;
    return n++ * 0x9e3779b1u >> 20;
}

static uint64_t mix(uint64_t identity, uint64_t seed)
{
    uint64_t x = (identity ^ seed) * 0x9e3779b97f4a7c15ull;
    return (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
}

enum xe_status xe_table_prepare(const struct xe_table *t, const struct xe_object *o,
                                struct xe_prepared *p)
{
    enum xe_status status = xe_record_prepare(t->seed, o, p);
    if (t->kind == XE_SET || status != XE_OK)
        return status;
    uint64_t identity = mix(o->identity, t->seed);
    uint32_t low = (uint32_t)(identity >> 32) & ~(uint32_t)KEY_PRINT;
    if (t->kind == XE_DUPLICATE_BAG)
        low = (low & ~SPREAD) | next_spread() << 8;
    p->in_bag = true;
    p->tail = (struct xe_bag_tail){.low = low | key_print(p->key.hash),
                                   .sequence = {0, (uint32_t)identity & 0xffff0000u}};
    p->key.hash = (p->key.hash & XE_BAG_KEY_HASH) | p->tail.low;
    p->units += sizeof p->tail / XE_RECORD_ALIGN;
    return XE_OK;
}

void xe_bag_number(struct xe_prepared *p)
{
    uint64_t n = xe_core_sequence((uint32_t)(p->key.hash >> 32), 1);
    p->tail.sequence[0] = (uint32_t)n;
    p->tail.sequence[1] = (p->tail.sequence[1] & 0xffff0000u) | (uint32_t)(n >> 32 & 0xffff);
}

/* --- Matching ----------------------------------------------------------- */

/* What is looked for: a range of hashes, and in it the objects of a key, or only those that are
 * equal to one. */
struct target {
    uint64_t lo, hi;
    const struct xe_key *key;
    const struct xe_prepared *equal; /* NULL: all of the key */
};

static struct target target_key(const struct xe_key *key)
{
    return (struct target){.lo = key->hash & XE_BAG_KEY_HASH, .hi = key->hash | LOW, .key = key};
}

static struct target target_object(const struct xe_table *t, const struct xe_prepared *p)
{
    uint32_t open = t->kind == XE_DUPLICATE_BAG ? SPREAD | 0xff : 0;
    return (struct target){.lo = p->key.hash & ~(uint64_t)open, .hi = p->key.hash | open,
                           .key = &p->key, .equal = p};
}

static bool is_equal(const uint8_t *rec, const struct xe_prepared *p)
{
    struct xe_bag_tail tail = xe_record_tail(rec, xe_load32(rec));
    struct xe_view view;
    if ((tail.sequence[1] ^ p->tail.sequence[1]) & 0xffff0000u || !xe_find_is(rec, &p->key))
        return false;
    xe_record_view(rec, &view);
    return xe_record_equal(&view, p->object);
}

static bool is_target(const uint8_t *rec, const struct target *what)
{
    return what->equal ? is_equal(rec, what->equal) : xe_find_is(rec, what->key);
}

/* Where a search for a target stands in an image. */
struct search {
    const struct xe_image *img;
    struct xe_bucket *home, *last; /* the chain it is in, and the last one it looks at */
    struct xe_bucket *bucket;      /* of the chain */
    uint32_t matches, link;
    uint8_t print, mask;
};

static void search_bucket(struct search *it, struct xe_bucket *b)
{
    it->bucket = b;
    it->matches = xe_find_masked(b, it->print, it->mask, &it->link);
}

static void search_begin(struct search *it, const struct xe_image *img, uint64_t hi,
                         const struct target *what)
{
    it->img = img;
    it->home = xe_image_home(img, what->lo > img->lo ? what->lo : img->lo);
    it->last = xe_image_home(img, what->hi < hi ? what->hi : hi);
    it->print = (uint8_t)(what->equal ? what->key->hash : key_print(what->key->hash));
    it->mask = what->equal ? 0xff : KEY_PRINT;
    search_bucket(it, it->home);
}

/* The next record that is a target; false: there is none. */
static inline bool search_next(struct search *it, const struct target *what,
                               struct xe_place *out)
{
    for (;;) {
        for (; it->matches; it->matches &= it->matches - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(it->matches);
            /* Acquire: pairs with the publishing store in xe_image_add(). */
            uint32_t off = __atomic_load_n(&it->bucket->off[i], __ATOMIC_ACQUIRE);
            if (!off || !is_target(xe_image_record(it->img, off), what))
                continue;
            *out = (struct xe_place){.bucket = it->bucket, .index = i, .off = off};
            it->matches &= it->matches - 1;
            return true;
        }
        if (it->link)
            search_bucket(it, xe_image_linked(it->img, it->link));
        else if (it->home != it->last)
            search_bucket(it, ++it->home);
        else
            return false;
    }
}

static bool image_has(const struct xe_image *img, uint64_t hi, const struct target *what,
                      struct xe_place *out)
{
    struct search it;
    search_begin(&it, img, hi, what);
    return search_next(&it, what, out);
}

bool xe_bag_segment_has(const struct xe_segment *s, const struct xe_key *key)
{
    struct target what = target_key(key);
    struct xe_place place;
    return image_has(xe_segment_image(s), s->hi, &what, &place);
}

bool xe_bag_find_equal(const struct xe_image *img, const struct xe_prepared *p,
                       struct xe_place *out)
{
    struct target what = {.lo = p->key.hash, .hi = p->key.hash, .key = &p->key, .equal = p};
    return image_has(img, p->key.hash, &what, out);
}

/* --- Runs --------------------------------------------------------------- */

void xe_run_end(struct xe_run *run)
{
    if (run->at != run->small)
        xe_cb.free(run->at);
    xe_run_begin(run);
}

static bool run_add(struct xe_run *run, const uint8_t *rec)
{
    if (run->n == run->cap) {
        struct xe_run_entry *more = xe_cb.alloc(2 * (size_t)run->cap * sizeof *more);
        if (!more)
            return false;
        memcpy(more, run->at, run->n * sizeof *more);
        if (run->at != run->small)
            xe_cb.free(run->at);
        run->at = more;
        run->cap *= 2;
    }
    struct xe_bag_tail tail = xe_record_tail(rec, xe_load32(rec));
    run->at[run->n++] = (struct xe_run_entry){.sequence = xe_tail_sequence(&tail), .rec = rec};
    return true;
}

static int compare_entries(const void *a, const void *b)
{
    const struct xe_run_entry *x = a, *y = b;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static void run_sort(struct xe_run *run)
{
    if (run->n > XE_RUN_SMALL) {
        qsort(run->at, run->n, sizeof *run->at, compare_entries);
        return;
    }
    for (uint32_t i = 1; i < run->n; i++) {
        struct xe_run_entry e = run->at[i];
        uint32_t j = i;
        for (; j && run->at[j - 1].sequence > e.sequence; j--)
            run->at[j] = run->at[j - 1];
        run->at[j] = e;
    }
}

/* Adds what a segment has of the target. XE_LIMIT: more than `most`. */
static enum xe_status run_gather(struct xe_run *run, const struct xe_segment *s,
                                 const struct target *what, uint32_t most)
{
    struct search it;
    struct xe_place place;
    const struct xe_image *img = xe_segment_image(s);
    search_begin(&it, img, s->hi, what);
    while (search_next(&it, what, &place)) {
        if (run->n == most)
            return XE_LIMIT;
        if (!run_add(run, xe_image_record(img, place.off)))
            return XE_NOMEM;
    }
    return XE_OK;
}

/* --- Locked runs -------------------------------------------------------- */

/* The locked segments of a range of hashes. */
struct span {
    struct xe_segment **at;
    uint32_t n, cap;
    struct xe_segment *small[READ_SEGMENTS];
};

static bool span_add(struct span *span, struct xe_segment *s)
{
    if (span->n == span->cap) {
        struct xe_segment **more = xe_cb.alloc(2 * (size_t)span->cap * sizeof *more);
        if (!more)
            return false;
        memcpy(more, span->at, span->n * sizeof *more);
        if (span->at != span->small)
            xe_cb.free(span->at);
        span->at = more;
        span->cap *= 2;
    }
    span->at[span->n++] = s;
    return true;
}

/* Releases the locks, and what a span holds. */
static void span_end(struct span *span)
{
    for (uint32_t i = 0; i < span->n; i++)
        xe_lock_release(&span->at[i]->lock);
    if (span->at != span->small)
        xe_cb.free(span->at);
    span->n = 0;
    span->at = span->small;
}

/* Locks the segments of a range, in order. */
static enum xe_status span_lock(struct xe_table *t, uint64_t lo, uint64_t hi, bool patient,
                                struct span *span)
{
    span->at = span->small;
    span->n = 0;
    span->cap = READ_SEGMENTS;
    for (uint64_t position = lo;;) {
        struct xe_segment *s = xe_segment_acquire(t, position);
        if (!s && patient) {
            sched_yield();
            continue;
        }
        enum xe_status status = !s ? XE_RETRY : span_add(span, s) ? XE_OK : XE_NOMEM;
        if (status != XE_OK) {
            if (s)
                xe_lock_release(&s->lock);
            span_end(span);
            return status;
        }
        if (s->hi >= hi)
            return XE_OK;
        position = s->hi + 1;
    }
}

/* --- Reading ------------------------------------------------------------ */

/* One look without locks. XE_RETRY: it was not of one state; XE_LIMIT: too long for that. */
static enum xe_status look(struct xe_table *t, const struct target *what, uint32_t most,
                           struct xe_run *run)
{
    const struct xe_segment *segments[READ_SEGMENTS];
    uint32_t versions[READ_SEGMENTS], n = 0;
    uint64_t batch = xe_batch_begin(t), position = what->lo;
    const struct xe_directory *d = atomic_load_explicit(&t->directory, memory_order_acquire);
    do {
        if (n == READ_SEGMENTS)
            return XE_RETRY;
        const struct xe_segment *s = segments[n] = xe_directory_segment(d, position);
        /* Acquire: what is read comes after it. */
        versions[n] = atomic_load_explicit(&s->version, memory_order_acquire);
        if (versions[n++] & 1)
            return XE_RETRY;
        enum xe_status status = run_gather(run, s, what, most);
        if (status != XE_OK)
            return status;
        position = s->hi + 1;
    } while (position && position <= what->hi);
    /* The loads of the offsets were acquires, so these come after them. */
    for (uint32_t i = 0; i < n; i++)
        if (atomic_load_explicit(&segments[i]->version, memory_order_acquire) != versions[i])
            return XE_RETRY;
    return xe_batch_unchanged(t, batch) &&
                   atomic_load_explicit(&t->directory, memory_order_acquire) == d
               ? XE_OK
               : XE_RETRY;
}

/* The same with all locks. */
static enum xe_status look_locked(struct xe_table *t, struct xe_epoch_slot *slot,
                                  const struct target *what, uint32_t most, bool patient,
                                  struct xe_run *run)
{
    struct span span;
    /* As a writer: the table is not to be cleared meanwhile. */
    enum xe_status status = xe_table_write_begin(t, slot);
    if (status == XE_OK)
        status = span_lock(t, what->lo, what->hi, patient, &span);
    if (status != XE_OK)
        return status;
    for (uint32_t i = 0; i < span.n && status == XE_OK; i++)
        status = run_gather(run, span.at[i], what, most);
    span_end(&span);
    return status;
}

static enum xe_status find(struct xe_table *t, struct xe_epoch_slot *slot,
                           const struct target *what, uint32_t most, bool patient,
                           struct xe_run *run)
{
    enum xe_status status = XE_RETRY;
    for (int i = 0; i < READ_TRIES && status == XE_RETRY; i++) {
        run->n = 0;
        status = look(t, what, most, run);
    }
    if (status == XE_RETRY) {
        run->n = 0;
        status = look_locked(t, slot, what, most, patient, run);
    }
    return status;
}

enum xe_status xe_bag_find(struct xe_table *t, struct xe_epoch_slot *slot,
                           const struct xe_key *key, uint32_t most, bool patient,
                           struct xe_run *run)
{
    struct target what = target_key(key);
    enum xe_status status = find(t, slot, &what, most, patient, run);
    if (status != XE_OK)
        return status;
    run_sort(run);
    return run->n ? XE_OK : XE_ABSENT;
}

enum xe_status xe_bag_member(struct xe_table *t, struct xe_epoch_slot *slot,
                             const struct xe_key *key, bool patient)
{
    struct target what = target_key(key);
    struct xe_run run;
    xe_run_begin(&run);
    /* One is enough, whatever else is in the run. */
    enum xe_status status = find(t, slot, &what, 1, patient, &run);
    bool found = run.n > 0;
    xe_run_end(&run);
    return found ? XE_OK : status == XE_OK ? XE_ABSENT : status;
}

/* --- Adding ------------------------------------------------------------- */

/* The locked segment of a span that a hash belongs to. */
static struct xe_segment *span_segment(const struct span *span, uint64_t hash)
{
    uint32_t i = 0;
    while (span->at[i]->hi < hash)
        i++;
    return span->at[i];
}

/* Stores the object if none with its key is there. */
static enum xe_status put_new(struct xe_table *t, struct xe_epoch_slot *slot,
                              struct xe_prepared *p, bool patient)
{
    struct target what = target_key(&p->key);
    struct span span;
    struct xe_place place;
    enum xe_status status = span_lock(t, what.lo, what.hi, patient, &span);
    if (status != XE_OK)
        return status;
    for (uint32_t i = 0; i < span.n && status == XE_OK; i++)
        if (image_has(xe_segment_image(span.at[i]), span.at[i]->hi, &what, &place))
            status = XE_EXISTS;
    if (status == XE_OK) {
        struct xe_segment *s = span_segment(&span, p->key.hash);
        uint32_t i = 0;
        while (span.at[i] != s)
            i++;
        /* Storing releases this lock. */
        span.at[i] = span.at[--span.n];
        xe_bag_number(p);
        status = xe_table_store(t, slot, s, p, NULL);
    }
    span_end(&span);
    return status;
}

enum xe_status xe_bag_put(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_prepared *p,
                          enum xe_put mode, bool patient)
{
    struct xe_segment *s;
    struct xe_place place;
    enum xe_status status = xe_table_write_begin(t, slot);
    if (status != XE_OK)
        return status;
    if (mode == XE_PUT_NEW)
        return put_new(t, slot, p, patient);
    while (!(s = xe_segment_acquire(t, p->key.hash))) {
        if (!patient)
            return XE_RETRY;
        sched_yield();
    }
    if (t->kind == XE_BAG && xe_bag_find_equal(xe_segment_image(s), p, &place)) {
        xe_table_finish(t, slot, s, false);
        return XE_EXISTS;
    }
    xe_bag_number(p);
    return xe_table_store(t, slot, s, p, NULL);
}

/* --- Removing ----------------------------------------------------------- */

/* Removes what a locked segment has of the target. */
static void remove_from(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                        const struct target *what)
{
    struct search it;
    struct xe_place place;
    struct xe_image *img = xe_segment_image(s);
    xe_segment_changes(s);
    search_begin(&it, img, s->hi, what);
    while (search_next(&it, what, &place))
        xe_table_drop(t, slot, img, &place);
    xe_segment_changed(s);
}

/* Removes the run, whose segments are locked: of several, as a list write. */
static void remove_run(struct xe_table *t, struct xe_epoch_slot *slot, const struct span *span,
                       const struct target *what)
{
    if (span->n == 1) {
        remove_from(t, slot, span->at[0], what);
        return;
    }
    xe_batch_publish(t);
    for (uint32_t i = 0; i < span->n; i++)
        remove_from(t, slot, span->at[i], what);
    xe_batch_published(t);
}

/* Takes the target out of the locked segments of its range. Ends the span. */
static enum xe_status take_span(struct xe_table *t, struct xe_epoch_slot *slot,
                                const struct target *what, uint32_t most, xe_accept_fn accept,
                                void *arg, struct span *span, struct xe_run *run)
{
    enum xe_status status = XE_OK;
    run->n = 0;
    for (uint32_t i = 0; i < span->n && status == XE_OK; i++)
        status = run_gather(run, span->at[i], what, most);
    run_sort(run);
    if (status == XE_OK && run->n == 0)
        status = XE_ABSENT;
    if (status == XE_OK && accept && !accept(arg, run))
        status = XE_LIMIT;
    if (status == XE_OK)
        status = xe_table_bury_if_fixed(t, slot, what->key);
    if (status != XE_OK) {
        span_end(span);
        return status;
    }
    remove_run(t, slot, span, what);
    for (uint32_t i = 0; i < span->n; i++)
        xe_table_finish(t, slot, span->at[i], true);
    span->n = 0;
    span_end(span);
    return XE_OK;
}

static bool lock_lists(struct xe_table *t, bool patient)
{
    bool locked;
    while (!(locked = xe_lock_take(&t->list_lock, NULL)) && patient)
        sched_yield();
    return locked;
}

static enum xe_status take(struct xe_table *t, struct xe_epoch_slot *slot,
                           const struct target *what, uint32_t most, xe_accept_fn accept,
                           void *arg, bool patient, struct xe_run *run)
{
    struct span span;
    enum xe_status status = xe_table_write_begin(t, slot);
    if (status == XE_OK)
        status = span_lock(t, what->lo, what->hi, patient, &span);
    if (status != XE_OK)
        return status;
    if (span.n == 1)
        return take_span(t, slot, what, most, accept, arg, &span, run);
    /* The batch word has one writer, and its lock comes before those of segments. */
    span_end(&span);
    if (!lock_lists(t, patient))
        return XE_RETRY;
    status = span_lock(t, what->lo, what->hi, patient, &span);
    if (status == XE_OK)
        status = take_span(t, slot, what, most, accept, arg, &span, run);
    xe_lock_release(&t->list_lock);
    return status;
}

enum xe_status xe_bag_take(struct xe_table *t, struct xe_epoch_slot *slot,
                           const struct xe_key *key, uint32_t most, xe_accept_fn accept,
                           void *arg, bool patient, struct xe_run *run)
{
    struct target what = target_key(key);
    return take(t, slot, &what, most, accept, arg, patient, run);
}

enum xe_status xe_bag_remove(struct xe_table *t, struct xe_epoch_slot *slot,
                             const struct xe_prepared *p, bool patient)
{
    struct target what = target_object(t, p);
    struct xe_run run;
    xe_run_begin(&run);
    enum xe_status status = take(t, slot, &what, UINT32_MAX, NULL, NULL, patient, &run);
    xe_run_end(&run);
    return status;
}
