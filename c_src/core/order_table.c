/*
 * order_table.c - ordered tables: finding, ranges, ranks, the first and the last object.
 *
 * Readers look at one segment at a time, by its version (table_internal.h): even, and the same
 * before and after, the keys read there were those of one moment, and the segment's range has not
 * changed.
 * From one segment to the next they go by the border between them, which is a key: so it does
 * not matter what becomes of the segments meanwhile.
 */
#include "order.h"

#include "order_internal.h"
#include "rebuild_internal.h"

enum {
    LOOKS = 64,       /* at a segment that is being changed, before the caller yields */
    POP_TRIES = 8,    /* of a logged pop, before the caller yields */
    PASSED_MAX = 16,  /* segments without what is looked for that are remembered */
};

/* --- One look at a segment -------------------------------------------------- */

/* Begins to read. False: it is being changed, or has moved. */
static inline bool look_begin(const struct xe_segment *s, uint32_t *version)
{
    /* Acquire: an even version comes with all that was changed before. */
    *version = atomic_load_explicit(&s->version, memory_order_acquire);
    return XE_LIKELY(!(*version & 1));
}

/* Whether what was read since then was one state. */
static inline bool look_end(const struct xe_segment *s, uint32_t version)
{
    /* All loads in between were acquires, so this one comes after them; who made a change that
     * one of them saw had made the version odd before. */
    return XE_LIKELY(atomic_load_explicit(&s->version, memory_order_acquire) == version);
}

struct xe_segment *xe_order_acquire(struct xe_table *t, const struct xe_key *key)
{
    for (;;) {
        struct xe_segment *s = xe_order_segment(t, key);
        xe_prefetch_write(&s->lock);
        xe_leaves_prefetch(xe_segment_image(s));
        if (XE_LIKELY(xe_lock_try(&s->lock)))
            xe_heat_cool(&s->heat);
        else if (!xe_lock_take(&s->lock, &s->heat))
            return NULL;
        if (XE_LIKELY(s->state == SEGMENT_LIVE))
            return s;
        xe_lock_release(&s->lock);
    }
}

/* --- Finding ---------------------------------------------------------------- */

static inline __attribute__((always_inline)) enum xe_status
find_record(struct xe_table *t, const struct xe_key *key, struct xe_image **img, uint32_t *off)
{
    for (int tries = 0; tries < LOOKS; tries++) {
        uint32_t version;
        uint64_t batch = xe_batch_begin(t);
        const struct xe_segment *s = xe_order_segment(t, key);
        *img = xe_segment_image(s);
        xe_leaves_prefetch(*img);
        if (look_begin(s, &version)) {
            *off = xe_leaves_lookup(*img, key);
            if (look_end(s, version) && XE_LIKELY(xe_batch_unchanged(t, batch)))
                return *off ? XE_OK : XE_ABSENT;
        }
        xe_cpu_relax();
    }
    return XE_RETRY;
}

enum xe_status xe_order_lookup(struct xe_table *t, const struct xe_key *key, const uint8_t **out)
{
    struct xe_image *img;
    uint32_t off;
    enum xe_status status = find_record(t, key, &img, &off);
    if (XE_LIKELY(status == XE_OK))
        *out = xe_image_record(img, off);
    return status;
}

enum xe_status xe_order_find_record(struct xe_table *t, const struct xe_key *key,
                                    struct xe_image **img, uint32_t *off)
{
    return find_record(t, key, img, off);
}

enum xe_status xe_order_find_many(struct xe_table *t, const struct xe_key *keys, uint32_t n,
                                  struct xe_view *views, bool *found)
{
    for (int tries = 0; tries < XE_BATCH_TRIES; tries++) {
        uint64_t batch = xe_batch_begin(t);
        struct xe_segment *segments[XE_FIND_MANY];
        enum xe_status status = XE_OK;
        /* Their cache misses overlap. */
        for (uint32_t i = 0; i < n; i++) {
            segments[i] = xe_order_segment(t, &keys[i]);
            __builtin_prefetch(segments[i]);
        }
        for (uint32_t i = 0; i < n; i++)
            xe_leaves_prefetch(xe_segment_image(segments[i]));
        for (uint32_t i = 0; i < n && status != XE_RETRY; i++) {
            struct xe_image *img;
            uint32_t off;
            status = xe_order_find_record(t, &keys[i], &img, &off);
            found[i] = status == XE_OK;
            if (found[i])
                xe_record_view(xe_image_record(img, off), &views[i]);
        }
        if (status == XE_RETRY || XE_LIKELY(xe_batch_unchanged(t, batch)))
            return status == XE_RETRY ? XE_RETRY : XE_OK;
        xe_cpu_relax();
    }
    return XE_RETRY;
}

/* --- Storing ------------------------------------------------------------------ */

enum xe_status xe_order_store(struct xe_table *t, struct xe_epoch_slot *slot,
                              struct xe_segment *s, const struct xe_prepared *p,
                              struct xe_place *place)
{
    bool is_new = !place->off;
    uint32_t off = 0;
    enum xe_status status = xe_segment_own(t, slot, s, NULL) ? XE_OK : XE_NOMEM;
    struct xe_image *img = xe_segment_image(s);
    if (XE_LIKELY(status == XE_OK) && (!is_new || xe_leaves_has_place(img, place)))
        off = xe_image_alloc(img, p->units);
    if (XE_UNLIKELY(!off && status == XE_OK)) {
        status = xe_table_make_room(t, slot, &s, &p->key, p->units, is_new, &off);
        img = xe_segment_image(s);
        if (status == XE_OK)
            xe_leaves_find(img, &p->key, place);
    }
    if (XE_LIKELY(status == XE_OK))
        status = xe_table_write_record(img, p, off);
    /* Versions are those of the order: overwriting changes none (L2). */
    if (XE_LIKELY(status == XE_OK) && is_new) {
        xe_segment_changes(s);
        xe_log_publish(t, slot);
        xe_table_publish(t, slot, img, p, off, place);
        xe_segment_changed(s);
        xe_order_counted(s, xe_image_count(img));
    } else if (XE_LIKELY(status == XE_OK)) {
        xe_segment_writes(s);
        xe_log_publish(t, slot);
        xe_table_publish(t, slot, img, p, off, place);
    }
    xe_table_finish(t, slot, s, !is_new && status == XE_OK);
    return status;
}

/* --- Ranges ------------------------------------------------------------------ */

/* A bound between two objects. */
struct bound {
    bool has_key;      /* if not, it is beyond all of them, on either side */
    bool behind;       /* behind an object with the key, not before it */
    struct xe_key key; /* never a long one's digest: it may be moved */
};

static void set_bound(struct bound *b, const struct xe_key *key, bool behind)
{
    b->has_key = key != NULL;
    b->behind = behind;
    if (!key)
        return;
    xe_key_init_order(&b->key, key->full, key->full_len, key->handles, key->n_handles);
    if (behind)
        b->key.flags |= XE_ORDER_BEHIND;
}

/* The place of a bound in an image; without a key that is one of its ends. */
static void place_bound(const struct xe_image *img, const struct bound *b, bool end,
                        struct xe_place *out)
{
    if (b->has_key)
        xe_leaves_bound(img, &b->key, b->behind, out);
    else
        xe_leaves_edge(img, end, out);
}

/* Whether a place comes before another one. */
static bool is_before(const struct xe_place *a, const struct xe_place *b)
{
    return a->leaf != b->leaf ? a->leaf < b->leaf : a->index < b->index;
}

/* Makes a border between segments the bound to go on from. */
static void set_border(struct bound *b, const struct xe_fence *f)
{
    b->has_key = true;
    b->behind = false;
    xe_fence_key(&b->key, f);
}

/* Where a traversal is: the bound that it goes on from, and what it has passed. */
struct walk {
    struct xe_table *t;
    bool reverse;
    struct bound at, end;
    const struct xe_segment *behind; /* backwards, the segment that it comes from, or NULL */
    /* Segments without an object, which have to stay so until one is found. */
    struct {
        const struct xe_segment *s;
        uint32_t version;
    } passed[PASSED_MAX];
    uint32_t n_passed;
    /* Of those beyond: how many, the sum of their versions, and the table's shape before. */
    uint32_t n_beyond;
    uint64_t versions, shape;
    struct xe_mark mark; /* of the segment that was looked at last */
};

/* The segment that a walk goes on in. */
static const struct xe_segment *walk_segment(const struct walk *w)
{
    if (w->behind)
        return xe_order_left(w->t, w->behind);
    return w->at.has_key ? xe_order_segment(w->t, &w->at.key) : xe_order_edge(w->t, w->reverse);
}

/* Reads up to n records from the image on. */
static uint32_t walk_image(const struct walk *w, const struct xe_image *img, uint32_t n,
                           const uint8_t **recs)
{
    struct xe_place at, end;
    uint32_t found = 0, off;
    place_bound(img, &w->at, w->reverse, &at);
    place_bound(img, &w->end, !w->reverse, &end);
    if (w->reverse) {
        while (found < n && is_before(&end, &at) && (off = xe_leaves_backward(img, &at)) != 0) {
            recs[found++] = xe_image_record(img, off);
            if (at.index == 0 && at.leaf)
                at.index = xe_leaves_count(img, --at.leaf);
        }
    } else {
        while (found < n && is_before(&at, &end) && (off = xe_leaves_forward(img, &at)) != 0)
            recs[found++] = xe_image_record(img, off);
    }
    return found;
}

static void pass(struct walk *w, const struct xe_segment *s, uint32_t version)
{
    if (XE_LIKELY(w->n_passed < PASSED_MAX)) {
        w->passed[w->n_passed].s = s;
        w->passed[w->n_passed++].version = version;
    } else {
        w->n_beyond++;
        w->versions += version;
    }
}

/* Whether the other end of the range lies before the border of the segment. */
static bool ends_here(const struct walk *w, const struct xe_segment *s,
                      const struct xe_segment *next)
{
    if (!next)
        return true;
    if (!w->end.has_key)
        return false;
    return w->reverse ? xe_order_is_behind(s, &w->end.key)
                      : !xe_order_is_behind(next, &w->end.key);
}

/* What one look has found. */
enum look { LOOK_AGAIN, LOOK_MORE, LOOK_END };

/* Looks at one segment, and moves on. */
static enum look walk_look(struct walk *w, uint32_t n, const uint8_t **recs, uint32_t *found)
{
    uint32_t version;
    const struct xe_segment *s = walk_segment(w);
    w->mark = xe_segment_mark(s);
    if (!look_begin(s, &version))
        return LOOK_AGAIN;
    *found = walk_image(w, xe_segment_image(s), n, recs);
    if (*found == n)
        return look_end(s, version) ? LOOK_END : LOOK_AGAIN;
    const struct xe_segment *next = w->reverse ? xe_order_left(w->t, s) : xe_order_right(w->t, s);
    bool end = ends_here(w, s, next);
    if (!look_end(s, version))
        return LOOK_AGAIN;
    if (end)
        return LOOK_END;
    if (*found == 0)
        pass(w, s, version);
    set_border(&w->at, w->reverse ? s->fence : next->fence);
    w->behind = w->reverse ? s : NULL;
    return LOOK_MORE;
}

/* The same for those that are not remembered. They are the next ones if no segment was replaced since
 * the walk began; and then, as versions only rise, each has the version it had if the sum is the
 * same. */
static bool is_beyond_still(const struct walk *w)
{
    const struct xe_segment *s = w->passed[PASSED_MAX - 1].s;
    uint64_t versions = 0;
    for (uint32_t i = 0; i < w->n_beyond; i++) {
        s = w->reverse ? xe_order_left(w->t, s) : xe_order_right(w->t, s);
        if (!s)
            return false;
        versions += atomic_load_explicit(&s->version, memory_order_acquire);
    }
    /* After the loads above, which are acquires: who has met a change of the directory finds the
     * shape odd, or another one. */
    return versions == w->versions && !(w->shape & 1) &&
           atomic_load_explicit(&w->t->shape, memory_order_relaxed) == w->shape;
}

/* Whether all that the walk has passed is as it was. */
static bool is_passed_still(const struct walk *w)
{
    for (uint32_t i = 0; i < w->n_passed; i++)
        if (!look_end(w->passed[i].s, w->passed[i].version))
            return false;
    return XE_LIKELY(!w->n_beyond) || is_beyond_still(w);
}

static void walk_begin(struct walk *w, struct xe_table *t, const struct xe_range *range)
{
    w->t = t;
    w->reverse = range->reverse;
    set_bound(range->reverse ? &w->end : &w->at, range->from, range->from_exclusive);
    set_bound(range->reverse ? &w->at : &w->end, range->to, !range->to_exclusive);
    w->behind = NULL;
    w->n_passed = w->n_beyond = 0;
    w->versions = 0;
    /* Acquire: an even one comes with all that was published before. */
    w->shape = atomic_load_explicit(&t->shape, memory_order_acquire);
}

/* The object beside a bound, if there is one in the bound's segment: what most steps of a
 * traversal by keys come to. */
static inline bool read_beside(const struct xe_table *t, const struct xe_key *key, bool behind,
                               bool reverse, const uint8_t **rec)
{
    struct bound b;
    struct xe_place place;
    uint32_t version;
    uint64_t batch = xe_batch_begin(t);
    set_bound(&b, key, behind);
    const struct xe_segment *s = xe_order_segment(t, &b.key);
    const struct xe_image *img = xe_segment_image(s);
    xe_leaves_prefetch(img);
    if (!look_begin(s, &version))
        return false;
    xe_leaves_bound(img, &b.key, behind, &place);
    uint32_t off = reverse ? xe_leaves_backward(img, &place) : xe_leaves_forward(img, &place);
    *rec = xe_image_record(img, off);
    return off && look_end(s, version) && xe_batch_unchanged(t, batch);
}

enum xe_status xe_order_read(struct xe_table *t, const struct xe_range *range, uint32_t n,
                             const uint8_t **recs, uint32_t *found)
{
    struct walk w;
    const struct xe_key *at = range->reverse ? range->to : range->from;
    if (n == 1 && at && !(range->reverse ? range->from : range->to) &&
        read_beside(t, at, range->reverse ? !range->to_exclusive : range->from_exclusive,
                    range->reverse, recs)) {
        *found = 1;
        return XE_OK;
    }
    uint64_t batch = xe_batch_begin(t);
    walk_begin(&w, t, range);
    *found = 0;
    if (n == 0)
        return XE_OK;
    for (int tries = 0; tries < LOOKS;) {
        uint32_t more = 0;
        enum look look = walk_look(&w, n - *found, recs + *found, &more);
        if (look == LOOK_AGAIN) {
            tries++;
            xe_cpu_relax();
            continue;
        }
        *found += more;
        if (look == LOOK_MORE)
            continue;
        if (n > 1 || (is_passed_still(&w) && xe_batch_unchanged(t, batch)))
            return XE_OK;
        /* An object may have come to where there was none (S1), or a part of a list (G2). */
        batch = xe_batch_begin(t);
        walk_begin(&w, t, range);
        *found = 0;
        tries++;
    }
    return XE_RETRY;
}

enum xe_status xe_scan_range(struct xe_table *t, const struct xe_range *range, uint32_t most,
                             struct xe_chunk *out)
{
    struct walk w;
    XE_ASSERT(most > 0);
    walk_begin(&w, t, range);
    most = most < XE_CHUNK_MAX ? most : XE_CHUNK_MAX;
    for (int tries = 0; tries < LOOKS;) {
        enum look look = walk_look(&w, most, out->recs, &out->n);
        out->mark = w.mark;
        out->more = look == LOOK_MORE || out->n == most;
        if (look == LOOK_END || (look == LOOK_MORE && out->n))
            return XE_OK;
        tries += look == LOOK_AGAIN;
        if (look == LOOK_AGAIN)
            xe_cpu_relax();
    }
    return XE_RETRY;
}

/* --- Ranks ------------------------------------------------------------------- */

enum xe_status xe_order_count_all(const struct xe_table *t, uint64_t *n)
{
    struct xe_segment *none;
    return xe_order_count_before((struct xe_table *)(uintptr_t)t, NULL, &none, n);
}

/* How many objects stand before a bound. */
static enum xe_status rank_of_bound(struct xe_table *t, const struct bound *b, uint64_t *rank)
{
    struct xe_segment *s;
    for (int tries = 0; tries < LOOKS; tries++) {
        uint32_t version;
        struct xe_place place;
        enum xe_status status = xe_order_count_before(t, &b->key, &s, rank);
        if (status != XE_OK || !s)
            return status;
        if (look_begin(s, &version)) {
            const struct xe_image *img = xe_segment_image(s);
            place_bound(img, b, false, &place);
            *rank += xe_leaves_rank(img, &place);
            if (look_end(s, version))
                return XE_OK;
        }
        xe_cpu_relax();
    }
    return XE_RETRY;
}

enum xe_status xe_order_rank(struct xe_table *t, const struct xe_key *key, uint64_t *rank)
{
    struct bound b;
    struct xe_image *img;
    uint32_t off;
    set_bound(&b, key, false);
    enum xe_status status = rank_of_bound(t, &b, rank);
    return status == XE_OK ? xe_order_find_record(t, key, &img, &off) : status;
}

/* Adds the objects of the first and the last segment of a range that belong to it. False: either has
 * changed meanwhile. */
static bool count_ends(const struct bound *low, const struct bound *high,
                       const struct xe_segment *first, const struct xe_segment *last, uint64_t *n)
{
    uint32_t versions[2];
    struct xe_place from, end, to;
    if (!look_begin(first, &versions[0]) || !look_begin(last, &versions[1]))
        return false;
    const struct xe_image *a = xe_segment_image(first), *b = xe_segment_image(last);
    place_bound(a, low, false, &from);
    place_bound(b, high, true, &to);
    xe_leaves_edge(a, true, &end);
    uint64_t before = xe_leaves_rank(a, &from), upto = xe_leaves_rank(b, &to);
    if (first != last)
        upto += xe_leaves_rank(a, &end);
    *n += upto > before ? upto - before : 0;
    return look_end(first, versions[0]) && look_end(last, versions[1]);
}

/* Not as the difference of two ranks: what comes and goes below the range between the one and the
 * other would be taken off it. */
enum xe_status xe_order_count(struct xe_table *t, const struct xe_range *range, uint64_t *n)
{
    struct bound low, high;
    set_bound(&low, range->from, range->from_exclusive);
    set_bound(&high, range->to, !range->to_exclusive);
    for (int tries = 0; tries < LOOKS; tries++) {
        struct xe_segment *first, *last;
        enum xe_status status =
            xe_order_count_between(t, low.has_key ? &low.key : NULL,
                                   high.has_key ? &high.key : NULL, &first, &last, n);
        if (status != XE_OK || !first || count_ends(&low, &high, first, last, n))
            return status;
        xe_cpu_relax();
    }
    return XE_RETRY;
}

enum xe_status xe_order_nth(struct xe_table *t, uint64_t i, const uint8_t **rec)
{
    for (int tries = 0; tries < LOOKS; tries++) {
        struct xe_segment *s;
        struct xe_place place;
        uint32_t rest, version;
        uint64_t batch = xe_batch_begin(t);
        enum xe_status status = xe_order_segment_at(t, i, &s, &rest);
        if (status != XE_OK)
            return status;
        if (look_begin(s, &version)) {
            const struct xe_image *img = xe_segment_image(s);
            xe_leaves_nth(img, rest, &place);
            uint32_t off = xe_leaves_forward(img, &place);
            if (off)
                *rec = xe_image_record(img, off);
            /* Less than was counted: it has changed since. */
            if (look_end(s, version) && off && xe_batch_unchanged(t, batch))
                return XE_OK;
        }
        xe_cpu_relax();
    }
    return XE_RETRY;
}

/* --- The first and the last object --------------------------------------------- */

static struct xe_segment *neighbour(struct xe_table *t, const struct xe_segment *s, bool last)
{
    return last ? xe_order_left(t, s) : xe_order_right(t, s);
}

/* Segments that a pop has locked: those without an object, and the one it is to be taken from. */
struct held {
    struct xe_segment *at[PASSED_MAX];
    uint32_t n;
};

static void release_held(struct held *h)
{
    while (h->n)
        xe_lock_release(&h->at[--h->n]->lock);
}

/* Ends with them, merging those without objects with others. */
static void finish_held(struct xe_table *t, struct xe_epoch_slot *slot, struct held *h)
{
    while (h->n)
        xe_table_finish(t, slot, h->at[--h->n], true);
}

/* Makes one of them, which all are without objects, however much they are fought for: those who look
 * there for an object are who does so, and would never come past them. */
static void merge_held(struct xe_table *t, struct xe_epoch_slot *slot, bool last, struct held *h)
{
    struct xe_segment *s = h->at[--h->n];
    while (h->n) {
        struct xe_segment *next = h->at[--h->n];
        struct xe_segment *merged = last ? xe_order_merge_empty(t, slot, s, next)
                                         : xe_order_merge_empty(t, slot, next, s);
        if (!merged)
            xe_lock_release(&s->lock);
        s = merged ? merged : next;
    }
    xe_lock_release(&s->lock);
}

/* Locks the next segment: at the edge, or beside those that are held, whose borders cannot move.
 * XE_ABSENT: there is none. */
static enum xe_status hold_next(struct xe_table *t, bool last, struct held *h)
{
    if (h->n == PASSED_MAX)
        return XE_RETRY;
    for (;;) {
        struct xe_segment *s =
            h->n ? neighbour(t, h->at[h->n - 1], last) : xe_order_edge(t, last);
        if (!s)
            return XE_ABSENT;
        /* Backwards, against the order of locks, nobody waits with a lock in hand. */
        if (last && h->n ? !xe_lock_try(&s->lock) : !xe_lock_take(&s->lock, &s->heat))
            return XE_RETRY;
        if (s->state == SEGMENT_LIVE) {
            h->at[h->n++] = s;
            return XE_OK;
        }
        xe_lock_release(&s->lock);
    }
}

static bool has_key(const struct xe_image *img, const struct xe_place *place,
                    const struct xe_key *key)
{
    struct xe_order_key_at at = xe_order_record_key(xe_image_record(img, place->off));
    return xe_order_compare(key, &at) == 0;
}

/* `key`: of the object that it has to be (NULL: it may be any). XE_EXISTS: another one is there. */
static enum xe_status pop(struct xe_table *t, struct xe_epoch_slot *slot, bool last,
                          const struct xe_key *key, struct xe_view *out)
{
    struct held h = {.n = 0};
    struct xe_place place;
    const struct xe_image *img;
    enum xe_status status = xe_table_write_begin(t, slot);
    if (status != XE_OK)
        return status;
    do {
        status = hold_next(t, last, &h);
        if (status != XE_OK) {
            /* There may be so many without objects for good. Merged, they let the next try get
             * further. */
            if (h.n == PASSED_MAX)
                merge_held(t, slot, last, &h);
            release_held(&h);
            return status;
        }
        img = xe_segment_image(h.at[h.n - 1]);
        xe_leaves_edge(img, last, &place);
        place.off = last ? xe_leaves_backward(img, &place) : xe_leaves_forward(img, &place);
    } while (!place.off);
    if (!last)
        place.index--;
    if (XE_UNLIKELY(key != NULL) && !has_key(img, &place, key)) {
        release_held(&h);
        return XE_EXISTS;
    }
    if (XE_UNLIKELY(!xe_segment_own(t, slot, h.at[h.n - 1], NULL))) {
        release_held(&h);
        return XE_NOMEM;
    }
    xe_record_view(xe_image_record(xe_segment_image(h.at[h.n - 1]), place.off), out);
    xe_table_drop_from(t, slot, h.at[h.n - 1], &place);
    finish_held(t, slot, &h);
    return XE_OK;
}

/* The log is told which key it will be before it is locked: another one may have come before it
 * meanwhile. */
static enum xe_status pop_logged(struct xe_table *t, struct xe_epoch_slot *slot, bool last,
                                 struct xe_view *out)
{
    const struct xe_range all = {.reverse = last};
    enum xe_status status = XE_EXISTS;
    for (int tries = 0; status == XE_EXISTS && tries < POP_TRIES; tries++) {
        struct xe_view view;
        struct xe_key key;
        struct xe_log_write write;
        const struct xe_log_change change = {.op = XE_LOG_DELETE, .view = &view};
        const uint8_t *rec;
        uint64_t handle;
        uint32_t n;
        status = xe_order_read(t, &all, 1, &rec, &n);
        if (status == XE_OK && n == 0)
            status = XE_ABSENT;
        if (status != XE_OK)
            return status;
        xe_record_view(rec, &view);
        xe_key_of_view(&key, &view, &handle);
        status = xe_log_begin(t, slot, &change, &write);
        if (status != XE_OK)
            return status;
        status = xe_log_end(t, slot, pop(t, slot, last, &key, out));
    }
    return status == XE_EXISTS ? XE_RETRY : status;
}

enum xe_status xe_order_pop(struct xe_table *t, struct xe_epoch_slot *slot, bool last,
                            struct xe_view *out)
{
    return XE_LIKELY(!t->log) ? pop(t, slot, last, NULL, out) : pop_logged(t, slot, last, out);
}
