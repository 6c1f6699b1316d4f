/*
 * bag.c - tables with several objects a key.
 *
 * The hash by which an object is stored, high bits first:
 *
 *   bag            32 H(key)   24 H(object)                   5 H(key)   3 H(object)
 *   duplicate bag  32 H(key)   12 H(object)   12 spread       5 H(key)   3 H(object)
 *
 * So the objects of a key are neighbours in the order of hashes, in as many segments as they
 * need, and equal objects are found by their hash. In a duplicate bag, where they may be many,
 * `spread` tells them apart, so that a segment of them can be split. The low byte is the
 * fingerprint (image.h): its high part finds the objects of a key, all of it one object. In a
 * bag's image whose range is that of one key's hashes another byte of H(object) is it instead; in
 * a duplicate bag the place of an object says all that there is of H(object) but for the low bits.
 *
 * Reading several records, of one state. A reader notes the version of each segment of the run
 * before it looks, and looks at it again afterwards (table_internal.h); at the batch word, for
 * list writes and for changes to several segments; and at the directory, which is replaced when
 * the table is cleared. After a few tries, or when the run is long, it takes the locks.
 *
 * Objects are compared under the lock of their segment: only such as have 43 bits (31 in a
 * duplicate bag) of hash in common beside their key, so they are hardly ever different.
 */
#include <sched.h>
#include <stdlib.h>

#include "find.h"
#include "order.h"
#include "shared.h"
#include "table_internal.h"

enum {
    READ_TRIES = 4,
    READ_SEGMENTS = 8, /* of a run that is read without locks, at most */
};

#define LOW (~XE_BAG_KEY_HASH)

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
    uint32_t open = t->kind == XE_DUPLICATE_BAG ? XE_BAG_SPREAD | 0xff : 0;
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
    /* Where all are of keys with this half of a hash only an object can be told by it. */
    it->mask = what->equal ? 0xff : img->print_shift ? 0 : XE_BAG_KEY_PRINT;
    it->print = what->equal ? xe_image_print(img, what->key->hash) : xe_bag_key_print(what->key->hash);
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

/* The number of the object in a place. */
static uint64_t number_at(const struct xe_image *img, const struct xe_place *place)
{
    const uint8_t *rec = xe_image_record(img, place->off);
    struct xe_bag_tail tail = xe_record_tail(rec, xe_load32(rec));
    return xe_tail_sequence(&tail);
}

bool xe_bag_find_numbered(const struct xe_table *t, const struct xe_segment *s,
                          const struct xe_prepared *p, uint64_t sequence, struct xe_place *out)
{
    struct target what = target_object(t, p);
    struct search it;
    const struct xe_image *img = xe_segment_image(s);
    if (s->hi < what.lo || what.hi < s->lo)
        return false;
    search_begin(&it, img, s->hi, &what);
    while (search_next(&it, &what, out))
        if (number_at(img, out) == sequence)
            return true;
    return false;
}

uint32_t xe_bag_count_before(const struct xe_table *t, const struct xe_segment *s,
                             const struct xe_prepared *p, uint64_t sequence)
{
    struct target what = target_object(t, p);
    struct search it;
    struct xe_place place;
    const struct xe_image *img = xe_segment_image(s);
    uint32_t n = 0;
    if (s->hi < what.lo || what.hi < s->lo)
        return 0;
    search_begin(&it, img, s->hi, &what);
    while (search_next(&it, &what, &place))
        n += number_at(img, &place) < sequence;
    return n;
}

/* --- Runs --------------------------------------------------------------- */

void xe_run_end(struct xe_run *run)
{
    if (run->at != run->small)
        xe_cb.free(run->at);
    xe_run_begin(run);
}

static __attribute__((noinline)) bool run_grow(struct xe_run *run)
{
    struct xe_run_entry *more = xe_cb.alloc(2 * (size_t)run->cap * sizeof *more);
    if (!more)
        return false;
    memcpy(more, run->at, run->n * sizeof *more);
    if (run->at != run->small)
        xe_cb.free(run->at);
    run->at = more;
    run->cap *= 2;
    return true;
}

/* A run without entries, where `at` is NULL, only counts: that needs no memory (G7). */
static inline bool run_add(struct xe_run *run, const uint8_t *rec)
{
    if (!run->at) {
        run->n++;
        return true;
    }
    if (XE_UNLIKELY(run->n == run->cap) && !run_grow(run))
        return false;
    struct xe_bag_tail tail = xe_record_tail(rec, xe_load32(rec));
    run->at[run->n++] = (struct xe_run_entry){.sequence = xe_tail_sequence(&tail), .rec = rec};
    return true;
}

/* For few, and for such as are nearly in order, as those of one bucket mostly are. */
static void sort_few(struct xe_run_entry *at, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct xe_run_entry e = at[i];
        uint32_t j = i;
        for (; j && at[j - 1].sequence > e.sequence; j--)
            at[j] = at[j - 1];
        at[j] = e;
    }
}

/* Moves the entries to `to`, in the order of one byte of their numbers less `least`; equal ones
 * stay in their order. */
static void sort_by_byte(struct xe_run_entry *to, const struct xe_run_entry *from, uint32_t n,
                         uint64_t least, unsigned shift)
{
    uint32_t ends[256] = {0};
    for (uint32_t i = 0; i < n; i++)
        ends[(from[i].sequence - least) >> shift & 0xff]++;
    for (uint32_t b = 0, end = 0; b < 256; b++) {
        uint32_t count = ends[b];
        ends[b] = end;
        end += count;
    }
    for (uint32_t i = 0; i < n; i++)
        to[ends[(from[i].sequence - least) >> shift & 0xff]++] = from[i];
}

struct xe_run_entry *xe_bag_sort(struct xe_run_entry *at, struct xe_run_entry *other, uint32_t n)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < n; i++) {
        least = at[i].sequence < least ? at[i].sequence : least;
        most = at[i].sequence > most ? at[i].sequence : most;
    }
    for (unsigned shift = 0; shift < 64 && least < most && (most - least) >> shift; shift += 8) {
        struct xe_run_entry *from = at;
        sort_by_byte(other, from, n, least, shift);
        at = other;
        other = from;
    }
    return at;
}

/* False: no memory. */
static bool sort_many(struct xe_run *run)
{
    struct xe_run_entry *at = run->at;
    struct xe_run_entry *other = xe_cb.alloc((size_t)run->cap * sizeof *other);
    if (!other)
        return false;
    run->at = xe_bag_sort(at, other, run->n);
    xe_cb.free(run->at == at ? other : at);
    return true;
}

/* False: no memory. */
static bool run_sort(struct xe_run *run)
{
    enum { FEW = 64 };
    if (!run->at)
        return true;
    if (run->n > FEW)
        return sort_many(run);
    sort_few(run->at, run->n);
    return true;
}

_Static_assert(XE_RUN_SMALL <= 64, "many do not lie in the run itself");

bool xe_bag_run_add(struct xe_run *run, const uint8_t *rec)
{
    return run_add(run, rec);
}

bool xe_bag_run_sort(struct xe_run *run)
{
    return run_sort(run);
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

/* The segments of a range of hashes, all locked by this thread. Nobody else replaces them, so
 * the directory leads to them, and no memory is needed to keep them. */
struct span {
    const struct xe_table *t;
    uint64_t lo, hi;
    uint64_t at; /* where the next one is */
    bool ended;
};

static struct span span_of(const struct xe_table *t, uint64_t lo, uint64_t hi)
{
    return (struct span){.t = t, .lo = lo, .hi = hi, .at = lo};
}

/* The next segment of a span, which may be released afterwards; NULL: that was the last one. */
static struct xe_segment *span_next(struct span *span)
{
    if (span->ended)
        return NULL;
    struct xe_segment *s = xe_directory_find(span->t, span->at);
    span->ended = s->hi >= span->hi;
    span->at = s->hi + 1;
    return s;
}

static void span_rewind(struct span *span)
{
    *span = span_of(span->t, span->lo, span->hi);
}

static void span_release(struct span span)
{
    struct xe_segment *s;
    span_rewind(&span);
    while ((s = span_next(&span)))
        xe_lock_release(&s->lock);
}

static bool span_is_one(const struct span *span)
{
    return xe_directory_find(span->t, span->lo)->hi >= span->hi;
}

/* Locks the segments that a target may be in, in order. */
static enum xe_status span_lock(struct xe_table *t, const struct target *what, bool patient,
                                struct span *span)
{
    *span = span_of(t, what->lo, what->hi);
    for (uint64_t position = what->lo;;) {
        struct xe_segment *s = xe_segment_acquire(t, position);
        if (!s && patient) {
            sched_yield();
            continue;
        }
        if (!s) {
            if (position != what->lo)
                span_release(span_of(t, what->lo, position - 1));
            return XE_RETRY;
        }
        if (s->hi >= what->hi)
            return XE_OK;
        position = s->hi + 1;
    }
}

/* --- Reading ------------------------------------------------------------ */

/* Segments that are read as one state, and their versions before that. */
struct look {
    const struct xe_directory *d;
    uint64_t batch;
    const struct xe_segment *segments[READ_SEGMENTS];
    uint32_t versions[READ_SEGMENTS], n;
};

/* XE_RETRY: something is being changed; XE_LIMIT: too many segments. */
static enum xe_status look_begin(struct look *l, const struct xe_table *t,
                                 const struct target *what)
{
    l->batch = xe_batch_begin(t);
    l->d = atomic_load_explicit(&t->directory, memory_order_acquire);
    l->n = 0;
    bool even = !(l->batch & 1);
    for (uint64_t position = what->lo;;) {
        if (l->n == READ_SEGMENTS)
            return XE_LIMIT;
        const struct xe_segment *s = xe_directory_segment(l->d, position);
        /* Acquire: what is read comes after it. Pairs with xe_segment_changed(). */
        uint32_t version = atomic_load_explicit(&s->version, memory_order_acquire);
        even = even && !(version & 1);
        l->segments[l->n] = s;
        l->versions[l->n++] = version;
        if (s->hi >= what->hi)
            return even ? XE_OK : XE_RETRY;
        position = s->hi + 1;
    }
}

static bool look_was_one_state(const struct look *l, const struct xe_table *t)
{
    /* The loads of the offsets were acquires, so these come after them. */
    for (uint32_t i = 0; i < l->n; i++)
        if (atomic_load_explicit(&l->segments[i]->version, memory_order_acquire) !=
            l->versions[i])
            return false;
    return xe_batch_unchanged(t, l->batch) &&
           atomic_load_explicit(&t->directory, memory_order_acquire) == l->d;
}

/* A look at a run that is in one segment. XE_RETRY: it is not, or was changed meanwhile. */
static inline enum xe_status look_here(const struct xe_table *t, const struct target *what,
                                       uint32_t most, struct xe_run *run)
{
    uint64_t batch = xe_batch_begin(t);
    const struct xe_segment *s = xe_directory_find(t, what->lo);
    /* Acquire, both: as below. */
    uint32_t version = atomic_load_explicit(&s->version, memory_order_acquire);
    if (s->hi < what->hi || version & 1)
        return XE_RETRY;
    run->n = 0;
    enum xe_status status = run_gather(run, s, what, most);
    bool same = atomic_load_explicit(&s->version, memory_order_acquire) == version &&
                xe_batch_unchanged(t, batch);
    return same || status != XE_OK ? status : XE_RETRY;
}

static enum xe_status look_gather(const struct look *l, const struct target *what, uint32_t most,
                                  struct xe_run *run)
{
    enum xe_status status = XE_OK;
    run->n = 0;
    for (uint32_t i = 0; i < l->n && status == XE_OK; i++)
        status = run_gather(run, l->segments[i], what, most);
    return status;
}

/* A few looks without locks. XE_RETRY: none was of one state, or the run is too long for that. If
 * its beginning has more than `most`, that is known all the same. */
static enum xe_status look(const struct xe_table *t, const struct target *what, uint32_t most,
                           struct xe_run *run)
{
    struct look l;
    enum xe_status status = look_here(t, what, most, run);
    if (XE_LIKELY(status != XE_RETRY))
        return status;
    for (int i = 0; i < READ_TRIES; i++) {
        enum xe_status begun = look_begin(&l, t, what);
        if (begun == XE_LIMIT)
            return most < UINT32_MAX && look_gather(&l, what, most, run) == XE_LIMIT
                       ? XE_LIMIT
                       : XE_RETRY;
        if (begun == XE_OK && ((status = look_gather(&l, what, most, run)) != XE_OK ||
                               look_was_one_state(&l, t)))
            return status;
        xe_cpu_relax();
    }
    return XE_RETRY;
}

/* Ends the write section, though not the section: what was found or taken may be decoded for long,
 * and who closes the gate, to clear or to fix the table, need not wait for that. Nothing here has
 * moved the section since the gate was seen open, so the epoch alone keeps what it can reach. */
static void end_write(struct xe_epoch_slot *slot)
{
    xe_epoch_write_leave(slot);
}

/* The same where nothing changes. */
static enum xe_status look_frozen(const struct xe_table *t, const struct target *what,
                                  uint32_t most, struct xe_run *run)
{
    struct span span = span_of(t, what->lo, what->hi);
    enum xe_status status = XE_OK;
    for (struct xe_segment *s; status == XE_OK && (s = span_next(&span));)
        status = run_gather(run, s, what, most);
    return status;
}

/* The same with all locks. */
static enum xe_status look_locked(struct xe_table *t, struct xe_epoch_slot *slot,
                                  const struct target *what, uint32_t most, bool patient,
                                  struct xe_run *run)
{
    struct span span;
    struct xe_segment *s;
    run->n = 0;
    if (t->is_snapshot)
        return look_frozen(t, what, most, run);
    /* As a writer: the table is not to be cleared meanwhile. */
    enum xe_status status = xe_table_write_begin(t, slot);
    if (status == XE_OK)
        status = span_lock(t, what, patient, &span);
    if (status != XE_OK)
        return status;
    while (status == XE_OK && (s = span_next(&span)))
        status = run_gather(run, s, what, most);
    span_release(span);
    end_write(slot);
    return status;
}

static enum xe_status find(struct xe_table *t, struct xe_epoch_slot *slot,
                           const struct target *what, uint32_t most, bool patient,
                           struct xe_run *run)
{
    enum xe_status status = look(t, what, most, run);
    return status == XE_RETRY ? look_locked(t, slot, what, most, patient, run) : status;
}

enum xe_status xe_bag_find(struct xe_table *t, struct xe_epoch_slot *slot,
                           const struct xe_key *key, uint32_t most, bool patient,
                           struct xe_run *run)
{
    struct target what = target_key(key);
    enum xe_status status = find(t, slot, &what, most, patient, run);
    if (status != XE_OK)
        return status;
    if (!run_sort(run))
        return XE_NOMEM;
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

/* Whether an object of a long run was seen, which tells without all of its locks that there is
 * one. */
static bool is_seen(const struct xe_table *t, const struct target *what)
{
    struct xe_run counted = {.at = NULL};
    if (xe_directory_find(t, what->lo)->hi < what->hi)
        look(t, what, 1, &counted);
    return counted.n > 0;
}

/* Stores the object if none with its key is there. */
static enum xe_status put_new(struct xe_table *t, struct xe_epoch_slot *slot,
                              struct xe_prepared *p, bool patient)
{
    struct target what = target_key(&p->key);
    struct span span;
    struct xe_segment *s;
    if (is_seen(t, &what))
        return XE_EXISTS;
    enum xe_status status = span_lock(t, &what, patient, &span);
    if (status != XE_OK)
        return status;
    while (status == XE_OK && (s = span_next(&span)))
        if (xe_bag_segment_has(s, &p->key))
            status = XE_EXISTS;
    if (status == XE_OK) {
        /* Storing releases the lock of its segment: others are before and behind it. */
        s = xe_directory_find(t, p->key.hash);
        uint64_t lo = s->lo, hi = s->hi;
        xe_bag_number(p);
        status = xe_table_store(t, slot, s, p, NULL);
        if (lo > what.lo)
            span_release(span_of(t, what.lo, lo - 1));
        if (hi < what.hi)
            span_release(span_of(t, hi + 1, what.hi));
        return status;
    }
    span_release(span);
    return status;
}

static enum xe_status put(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_prepared *p,
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
    xe_image_prefetch_room(xe_segment_image(s));
    if (t->kind == XE_BAG && xe_bag_find_equal(xe_segment_image(s), p, &place)) {
        xe_table_finish(t, slot, s, false);
        return XE_EXISTS;
    }
    xe_bag_number(p);
    return xe_table_store(t, slot, s, p, NULL);
}

enum xe_status xe_bag_put(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_prepared *p,
                          enum xe_put mode, bool patient)
{
    if (XE_LIKELY(!t->log))
        return put(t, slot, p, mode, patient);
    const struct xe_log_change change = {.op = XE_LOG_PUT, .objects = p, .n = 1};
    struct xe_log_write write;
    enum xe_status status = xe_log_begin(t, slot, &change, &write);
    return status == XE_OK ? xe_log_end(t, slot, put(t, slot, p, mode, patient)) : status;
}

/* --- Removing ----------------------------------------------------------- */

/* Makes the image of a locked segment its own if it has anything of the target. */
static enum xe_status own_with(struct xe_table *t, struct xe_epoch_slot *slot,
                               struct xe_segment *s, const struct target *what)
{
    struct xe_place place;
    const struct xe_image *img = xe_segment_image(s);
    if (XE_LIKELY(!xe_image_is_shared(img)) || !image_has(img, s->hi, what, &place))
        return XE_OK;
    return xe_segment_copy(t, slot, s, NULL) ? XE_OK : XE_NOMEM;
}

/* Removes what a locked segment has of the target. Returns how many. */
static uint32_t remove_from(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                        const struct target *what)
{
    struct search it;
    struct xe_place place;
    struct xe_image *img = xe_segment_image(s);
    uint32_t n = 0;
    search_begin(&it, img, s->hi, what);
    if (!search_next(&it, what, &place))
        return 0;
    xe_segment_changes(s);
    /* Unless that has been done for the segments before it. */
    if (XE_UNLIKELY(t->log && !slot->logging->published))
        xe_log_publish(t, slot);
    do {
        xe_table_drop(t, slot, img, &place);
        n++;
    } while (search_next(&it, what, &place));
    xe_segment_changed(s);
    return n;
}

/* Removes the target, whose segments are locked, and releases them: of several, as a list
 * write. */
static void remove_span(struct xe_table *t, struct xe_epoch_slot *slot, struct span *span,
                        const struct target *what)
{
    struct xe_segment *s;
    bool several = !span_is_one(span);
    if (several)
        xe_batch_publish(t);
    for (span_rewind(span); (s = span_next(span));)
        remove_from(t, slot, s, what);
    if (several)
        xe_batch_published(t);
    for (span_rewind(span); (s = span_next(span));)
        xe_table_finish(t, slot, s, true);
}

/* Takes the target out of the locked segments of its range, and releases them. */
static enum xe_status take_span(struct xe_table *t, struct xe_epoch_slot *slot,
                                const struct target *what, uint32_t most, xe_accept_fn accept,
                                void *arg, struct span *span, struct xe_run *run)
{
    enum xe_status status = XE_OK;
    struct xe_segment *s;
    run->n = 0;
    while (status == XE_OK && (s = span_next(span)))
        status = run_gather(run, s, what, most);
    if (status == XE_OK && run->n == 0)
        status = XE_ABSENT;
    if (status == XE_OK && !run_sort(run))
        status = XE_NOMEM;
    if (status == XE_OK && accept && !accept(arg, run))
        status = XE_LIMIT;
    /* All of them before any is changed. */
    if (status == XE_OK)
        for (span_rewind(span); status == XE_OK && (s = span_next(span));)
            status = own_with(t, slot, s, what);
    if (status == XE_OK)
        status = xe_table_bury_if_fixed(t, slot, what->key);
    if (status == XE_OK)
        remove_span(t, slot, span, what);
    else
        span_release(*span);
    return status;
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
        status = span_lock(t, what, patient, &span);
    if (status != XE_OK)
        return status;
    if (span_is_one(&span))
        return take_span(t, slot, what, most, accept, arg, &span, run);
    /* The batch word has one writer, and its lock comes before those of segments. */
    span_release(span);
    if (!lock_lists(t, patient))
        return XE_RETRY;
    status = span_lock(t, what, patient, &span);
    if (status == XE_OK)
        status = take_span(t, slot, what, most, accept, arg, &span, run);
    xe_lock_release(&t->list_lock);
    return status;
}

static enum xe_status take_key(struct xe_table *t, struct xe_epoch_slot *slot,
                               const struct xe_key *key, uint32_t most, xe_accept_fn accept,
                               void *arg, bool patient, struct xe_run *run)
{
    struct target what = target_key(key);
    struct xe_run counted = {.at = NULL};
    enum xe_status status =
        take(t, slot, &what, most, accept, arg, patient, run ? run : &counted);
    end_write(slot);
    return status;
}

/* The same where it is told to a log. */
static enum xe_status take_and_tell(struct xe_table *t, struct xe_epoch_slot *slot,
                                    const struct xe_log_change *change, const struct xe_key *key,
                                    uint32_t most, xe_accept_fn accept, void *arg, bool patient,
                                    struct xe_run *run)
{
    struct xe_log_write write;
    enum xe_status status = xe_log_begin(t, slot, change, &write);
    if (status != XE_OK)
        return status;
    return xe_log_end(t, slot, take_key(t, slot, key, most, accept, arg, patient, run));
}

/* With the key as one of the objects has it. */
static enum xe_status take_logged(struct xe_table *t, struct xe_epoch_slot *slot,
                                  const struct xe_key *key, uint32_t most, xe_accept_fn accept,
                                  void *arg, bool patient, struct xe_run *run)
{
    struct target what = target_key(key);
    struct xe_run any;
    struct xe_view view;
    const struct xe_log_change change = {.op = XE_LOG_DELETE, .view = &view};
    xe_run_begin(&any);
    enum xe_status status = find(t, slot, &what, 1, patient, &any);
    if (any.n > 0) {
        xe_record_view(any.at[0].rec, &view);
        status = take_and_tell(t, slot, &change, key, most, accept, arg, patient, run);
    } else if (status == XE_OK) {
        status = XE_ABSENT;
    }
    xe_run_end(&any);
    return status;
}

enum xe_status xe_bag_take(struct xe_table *t, struct xe_epoch_slot *slot,
                           const struct xe_key *key, uint32_t most, xe_accept_fn accept,
                           void *arg, bool patient, struct xe_run *run)
{
    XE_ASSERT(run || !accept);
    return XE_LIKELY(!t->log) ? take_key(t, slot, key, most, accept, arg, patient, run)
                              : take_logged(t, slot, key, most, accept, arg, patient, run);
}

/* Removes a target that is in one segment, which is locked, and releases it. */
static enum xe_status remove_here(struct xe_table *t, struct xe_epoch_slot *slot,
                                  struct xe_segment *s, const struct target *what,
                                  uint32_t *removed)
{
    struct xe_place place;
    enum xe_status status = own_with(t, slot, s, what);
    if (status == XE_OK && XE_UNLIKELY(atomic_load_explicit(&t->fixed, memory_order_relaxed))) {
        bool found = image_has(xe_segment_image(s), s->hi, what, &place);
        status = found ? xe_table_bury_if_fixed(t, slot, what->key) : XE_ABSENT;
    }
    *removed = status == XE_OK ? remove_from(t, slot, s, what) : 0;
    if (status == XE_OK && *removed == 0)
        status = XE_ABSENT;
    xe_table_finish(t, slot, s, status == XE_OK);
    return status;
}

static enum xe_status remove_equal(struct xe_table *t, struct xe_epoch_slot *slot,
                                   const struct xe_prepared *p, bool patient, uint32_t *removed)
{
    struct target what = target_object(t, p);
    struct xe_run counted = {.at = NULL};
    uint32_t n = 0;
    enum xe_status status = xe_table_write_begin(t, slot);
    if (status != XE_OK)
        return status;
    struct xe_segment *s = xe_segment_acquire(t, what.lo);
    if (s && s->hi >= what.hi) {
        xe_image_prefetch_room(xe_segment_image(s));
        status = remove_here(t, slot, s, &what, &n);
    } else {
        if (s)
            xe_lock_release(&s->lock);
        status = take(t, slot, &what, UINT32_MAX, NULL, NULL, patient, &counted);
        n = status == XE_OK ? counted.n : 0;
    }
    if (removed)
        *removed = n;
    return status;
}

enum xe_status xe_bag_remove(struct xe_table *t, struct xe_epoch_slot *slot,
                             const struct xe_prepared *p, bool patient, uint32_t *removed)
{
    if (XE_LIKELY(!t->log))
        return remove_equal(t, slot, p, patient, removed);
    const struct xe_log_change change = {.op = XE_LOG_DELETE_OBJECT, .objects = p, .n = 1};
    struct xe_log_write write;
    enum xe_status status = xe_log_begin(t, slot, &change, &write);
    if (status == XE_OK)
        return xe_log_end(t, slot, remove_equal(t, slot, p, patient, removed));
    if (removed)
        *removed = 0;
    return status;
}
