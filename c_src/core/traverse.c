/*
 * traverse.c - going through a table by keys and by slots, and what is remembered for that of a
 * fixed table.
 *
 * Order. Records are in the order of their hashes, those of one hash in that of their key bytes,
 * so a position is a key: it need not be in the table, and means the same after growth, splits
 * and deletions. Buckets are in that order already, so only one chain is searched for the next.
 * In a bag the order is that of the keys' half of the hash and then of key bytes: the objects of
 * one key may be anywhere in its run.
 *
 * Fixing. What is removed from a fixed table is remembered, in a table of its own (`graves`),
 * so that "deleted meanwhile" can be told from "never there"; a table that is cleared keeps its
 * directory. Nothing that reads or writes objects has to know of that.
 */
#include "find.h"
#include "reclaim.h"
#include "scan.h"
#include "table_internal.h"

enum { FIX_WAIT_NS = XE_LOCK_WAIT_NS };

/* --- Order -------------------------------------------------------------- */

/* The bits of a hash that all objects of a key have in common. */
static uint64_t key_mask(const struct xe_table *t)
{
    return t->kind == XE_SET ? UINT64_MAX : XE_BAG_KEY_HASH;
}

/* A key in the terms of the order, beside its hash. */
struct position {
    const uint8_t *bytes;
    size_t len;
    const uint8_t *handles; /* 8-byte words, unaligned */
    uint32_t n_handles;
};

static struct position position_of_key(const struct xe_key *key)
{
    return (struct position){key->full, key->full_len, (const uint8_t *)key->handles,
                             key->n_handles};
}

static struct position position_of_view(const struct xe_view *v)
{
    return (struct position){v->key, v->klen, v->handles, v->n_key_handles};
}

/* The order of two keys with the same hash. */
static int compare_keys(const struct position *a, const struct position *b)
{
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    int order = memcmp(a->bytes, b->bytes, a->len);
    if (order || a->n_handles != b->n_handles)
        return order ? order : a->n_handles < b->n_handles ? -1 : 1;
    for (uint32_t i = 0; i < a->n_handles && !order; i++)
        order = xe_cb.ext_compare(xe_load64(a->handles + 8 * (size_t)i),
                                  xe_load64(b->handles + 8 * (size_t)i));
    return order;
}

static int compare_records(const uint8_t *x, const uint8_t *y)
{
    struct xe_view v, w;
    xe_record_view(x, &v);
    xe_record_view(y, &w);
    struct position a = position_of_view(&v), b = position_of_view(&w);
    return compare_keys(&a, &b);
}

static int compare_to(const uint8_t *rec, const struct position *p)
{
    struct xe_view v;
    xe_record_view(rec, &v);
    struct position a = position_of_view(&v);
    return compare_keys(&a, p);
}

/* The least of what is offered to it, of all that comes behind `after`. */
struct least {
    uint64_t mask;
    const struct position *after; /* NULL: everything does */
    uint64_t after_hash;          /* under the mask, as `hash` */
    uint64_t hash;
    const uint8_t *rec; /* NULL: nothing yet */
};

/* Most are decided by their hashes. */
static inline void offer(struct least *l, uint64_t hash, const uint8_t *rec)
{
    uint64_t h = hash & l->mask;
    if (l->after && h <= l->after_hash &&
        (h < l->after_hash || compare_to(rec, l->after) <= 0))
        return;
    if (l->rec && h >= l->hash && (h > l->hash || compare_records(rec, l->rec) >= 0))
        return;
    l->hash = h;
    l->rec = rec;
}

/* --- The next key ------------------------------------------------------- */

/* Offers the records of a chain whose hashes are in lo..hi. */
static void offer_chain(struct least *l, const struct xe_table *t, const struct xe_image *img,
                        const struct xe_bucket *b, uint64_t lo, uint64_t hi)
{
    for (;;) {
        for (uint32_t i = 0; i < XE_BUCKET_PLACES; i++) {
            /* Acquire: pairs with the publishing store, as in xe_find(). */
            uint32_t off = __atomic_load_n(&b->off[i], __ATOMIC_ACQUIRE);
            if (!off)
                continue;
            const uint8_t *rec = xe_image_record(img, off);
            uint64_t hash = xe_record_hash(rec, t->seed);
            if (lo <= hash && hash <= hi)
                offer(l, hash, rec);
        }
        uint32_t link = __atomic_load_n(&b->link, __ATOMIC_ACQUIRE);
        if (!link)
            return;
        b = xe_image_linked(img, link);
    }
}

/* Where a search for the least goes on. */
struct stretch {
    uint64_t lo, hi; /* what is left of it */
    uint32_t segments; /* that may be looked at */
};

/* Offers what is in a stretch, chain by chain; with `first` only until something was taken, whose
 * hash is then the least there is, and the stretch is what may hold more of its group. XE_LIMIT:
 * too many segments. */
static enum xe_status offer_stretch(struct least *l, const struct xe_table *t, struct stretch *r,
                                    bool first)
{
    for (;;) {
        if (r->segments-- == 0)
            return XE_LIMIT;
        const struct xe_segment *s = xe_directory_find(t, r->lo);
        const struct xe_image *img = xe_segment_image(s);
        uint64_t end = r->hi < s->hi ? r->hi : s->hi;
        const struct xe_bucket *last = xe_image_home(img, end);
        for (const struct xe_bucket *b = xe_image_home(img, r->lo); b <= last; b++) {
            offer_chain(l, t, img, b, r->lo, end);
            if (!first || !l->rec)
                continue;
            r->hi = l->hash | ~l->mask;
            /* What is left is another chain, or none. */
            r->lo = r->hi <= end && b == xe_image_home(img, r->hi) ? r->hi + 1 : l->hash;
            return XE_OK;
        }
        if (end == r->hi)
            return XE_OK;
        r->lo = end + 1;
    }
}

enum xe_status xe_table_next(struct xe_table *t, const struct xe_key *after, uint32_t most,
                             struct xe_view *out)
{
    struct position from;
    struct least l = {.mask = key_mask(t)};
    if (after) {
        from = position_of_key(after);
        l.after = &from;
        l.after_hash = after->hash & l.mask;
    }
    struct stretch r = {.lo = l.after_hash, .hi = UINT64_MAX, .segments = most};
    enum xe_status status = offer_stretch(&l, t, &r, true);
    /* The objects of keys with the same half of a hash are anywhere in the run of these keys. */
    if (l.rec && r.hi == (l.hash | ~l.mask) && r.lo == l.hash && l.mask != UINT64_MAX)
        status = offer_stretch(&l, t, &r, false);
    if (status != XE_OK)
        return status;
    if (!l.rec)
        return XE_ABSENT;
    xe_record_view(l.rec, out);
    return XE_OK;
}

/* --- Slots -------------------------------------------------------------- */

static uint32_t directory_bits(const struct xe_table *t)
{
    return atomic_load_explicit(&t->directory, memory_order_acquire)->bits;
}

uint64_t xe_table_slots(const struct xe_table *t)
{
    /* Acquire: pairs with the release in xe_table_fix(). */
    if (atomic_load_explicit(&t->fixed, memory_order_acquire))
        return 1ull << atomic_load_explicit(&t->slot_bits, memory_order_relaxed);
    return 1ull << directory_bits(t);
}

enum xe_status xe_table_scan_slot(struct xe_table *t, uint64_t n_slots, uint64_t i,
                                  xe_visit_fn visit, void *arg)
{
    uint64_t width = n_slots == 1 ? 0 : UINT64_MAX / n_slots + 1; /* 0: 2^64 */
    uint64_t lo = i * width, hi = lo + width - 1;
    struct xe_chunk chunk;
    struct xe_view view;
    chunk.next = lo;
    do {
        enum xe_status status = xe_scan_between(t, chunk.next, hi, XE_CHUNK_MAX, &chunk);
        if (status != XE_OK)
            return status;
        for (uint32_t k = 0; k < chunk.n; k++) {
            xe_record_view(chunk.recs[k], &view);
            visit(arg, &view);
        }
    } while (chunk.more);
    return XE_OK;
}

/* --- Fixing ------------------------------------------------------------- */

static void run_cleared(struct xe_reclaim_job *job)
{
    struct xe_cleared *c = (void *)job;
    struct xe_image *list = NULL;
    xe_directory_free(c->directory, true, &list);
    xe_image_free_list(list);
    xe_cb.free(c);
}

void xe_table_reclaim_cleared(struct xe_cleared *c)
{
    c->job.run = run_cleared;
    xe_reclaim_push(&c->job);
}

bool xe_table_keep_cleared(struct xe_table *t, struct xe_cleared *c)
{
    /* Sequentially consistent: see xe_table_clear(). */
    if (!atomic_load_explicit(&t->fixed, memory_order_seq_cst))
        return false;
    /* One clears at a time, so only xe_table_forget() changes it meanwhile. */
    c->next = atomic_load_explicit(&t->cleared, memory_order_relaxed);
    /* Release: pairs with the load in is_remembered(). */
    while (!atomic_compare_exchange_weak_explicit(&t->cleared, &c->next, c, memory_order_release,
                                                  memory_order_relaxed))
        ;
    return true;
}

/* Hands on what was kept and remembered. */
static void forget(struct xe_table *t, void (*end_graves)(struct xe_table *),
                   void (*end_cleared)(struct xe_cleared *))
{
    /* Acquire, both: whoever made these is done with them. */
    struct xe_table *graves = atomic_exchange_explicit(&t->graves, NULL, memory_order_acq_rel);
    struct xe_cleared *c = atomic_exchange_explicit(&t->cleared, NULL, memory_order_acq_rel);
    if (graves)
        end_graves(graves);
    while (c) {
        struct xe_cleared *next = c->next;
        end_cleared(c);
        c = next;
    }
}

void xe_table_forget(struct xe_table *t)
{
    forget(t, xe_table_delete, xe_table_reclaim_cleared);
}

static void free_cleared(struct xe_cleared *c)
{
    run_cleared(&c->job);
}

void xe_table_forget_now(struct xe_table *t)
{
    forget(t, xe_table_free, free_cleared);
}

enum xe_status xe_table_fix(struct xe_table *t)
{
    /* What a removal kept that was under way when the last fixing ended. */
    xe_table_forget(t);
    atomic_store_explicit(&t->slot_bits, directory_bits(t), memory_order_relaxed);
    atomic_store_explicit(&t->fixed, true, memory_order_release);
    /* Removals that did not see it are over when this returns: none of what is read from now on
     * goes without being remembered. */
    if (xe_epoch_quiesce_writers(t, FIX_WAIT_NS))
        return XE_OK;
    atomic_store_explicit(&t->fixed, false, memory_order_release);
    return XE_RETRY;
}

void xe_table_unfix(struct xe_table *t)
{
    atomic_store_explicit(&t->fixed, false, memory_order_release);
    xe_table_forget(t);
}

/* The table of removed keys, made when it is needed. NULL: out of memory. */
static struct xe_table *need_graves(struct xe_table *t)
{
    /* Acquire: pairs with the exchange below. */
    struct xe_table *graves = atomic_load_explicit(&t->graves, memory_order_acquire);
    if (graves)
        return graves;
    struct xe_table_config config = {.seed = t->seed, .kind = XE_SET};
    struct xe_table *fresh = xe_table_new(&config);
    if (fresh && !atomic_compare_exchange_strong_explicit(
                     &t->graves, &graves, fresh, memory_order_acq_rel, memory_order_acquire)) {
        xe_table_delete(fresh);
        return graves;
    }
    return fresh;
}

enum xe_status xe_table_bury(struct xe_table *t, struct xe_epoch_slot *slot,
                             const struct xe_key *key)
{
    /* A table of keys only. Nothing is ever removed from it, so that making room in it does not
     * run the clock: the caller's section stays as it is. */
    struct xe_object o = {.bytes = key->full, .klen = key->full_len, .len = key->full_len,
                          .handles = key->handles, .n_handles = key->n_handles,
                          .n_key_handles = key->n_handles};
    struct xe_prepared p;
    struct xe_place place;
    struct xe_table *graves = need_graves(t);
    if (!graves || xe_record_prepare(t->seed, &o, &p) != XE_OK)
        return XE_OK;
    struct xe_segment *s = xe_segment_acquire(graves, p.key.hash);
    enum xe_status status = s ? XE_EXISTS : XE_RETRY;
    if (s && !xe_find(xe_segment_image(s), &p.key, &place))
        status = xe_table_store(graves, slot, s, &p, NULL);
    else if (s)
        xe_table_finish(graves, slot, s, false);
    if (status != XE_OK)
        xe_record_unprepare(&p);
    return status == XE_RETRY ? XE_RETRY : XE_OK;
}

static bool is_in_directory(const struct xe_table *t, const struct xe_directory *d,
                            const struct xe_key *key)
{
    struct xe_place place;
    uint64_t mask = key_mask(t);
    if (mask == UINT64_MAX)
        return xe_find(xe_segment_image(xe_directory_segment(d, key->hash)), key, &place);
    for (uint64_t position = key->hash & mask;;) {
        const struct xe_segment *s = xe_directory_segment(d, position);
        if (xe_bag_segment_has(s, key))
            return true;
        if (s->hi >= (key->hash | ~mask))
            return false;
        position = s->hi + 1;
    }
}

/* Whether a key was removed while the table was fixed. */
static bool is_remembered(const struct xe_table *t, const struct xe_key *key)
{
    /* Acquire, both: pair with need_graves() and xe_table_keep_cleared(). */
    struct xe_table *graves = atomic_load_explicit(&t->graves, memory_order_acquire);
    struct xe_cleared *c = atomic_load_explicit(&t->cleared, memory_order_acquire);
    struct xe_place place;
    if (graves &&
        xe_find(xe_segment_image(xe_directory_find(graves, key->hash)), key, &place))
        return true;
    for (; c; c = c->next)
        if (is_in_directory(t, c->directory, key))
            return true;
    return false;
}

enum xe_status xe_table_may_go_on(struct xe_table *t, struct xe_epoch_slot *slot,
                                  const struct xe_key *key, bool patient)
{
    const uint8_t *rec;
    enum xe_status status = t->kind == XE_SET ? xe_table_find_record(t, key, &rec)
                                              : xe_bag_member(t, slot, key, patient);
    if (status != XE_ABSENT || !atomic_load_explicit(&t->fixed, memory_order_relaxed))
        return status;
    /* Acquire: if it was being cleared, and is not any more, what it was cleared of is seen. */
    if (atomic_load_explicit(&t->gate, memory_order_acquire) == GATE_CLOSED)
        return XE_RETRY;
    return is_remembered(t, key) ? XE_OK : XE_ABSENT;
}
