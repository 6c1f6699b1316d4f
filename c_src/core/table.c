/*
 * table.c - operations on single objects, the write gate. See table.h.
 *
 * Every mutating call is a write section: the thread's epoch slot names the table before
 * the gate is looked at, so whoever closes the gate and then sees no slot that names
 * the table knows that no write is under way (E4).
 */
#include "table.h"

#include <stdlib.h>
#include <time.h>

#include "find.h"
#include "order_internal.h"
#include "table_internal.h"

enum {
    SPINS_PER_LOOK = 64,   /* pauses between two looks at the clock while waiting */
    ROOM_TRIES = 4,        /* rebuilds for one record */
    CLOCK_STEPS = 3,       /* until a slot stamped now is ripe (epoch.h) */
    GATE_WAIT_NS = XE_LOCK_WAIT_NS,
    RECLAIM_WAIT_NS = 10000000,
};

struct xe_callbacks xe_cb;

enum xe_status xe_core_init(const struct xe_callbacks *callbacks)
{
    xe_cb = *callbacks;
    return xe_epoch_init();
}

/* --- Locks -------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool wait_lock(_Atomic uint32_t *lock)
{
    uint64_t start = 0;
    for (;;) {
        for (int i = 0; i < SPINS_PER_LOOK; i++) {
            if (xe_lock_try(lock))
                return true;
            xe_cpu_relax();
        }
        uint64_t now = now_ns();
        if (!start)
            start = now;
        else if (now - start > XE_LOCK_WAIT_NS)
            return false;
    }
}

bool xe_lock_take(_Atomic uint32_t *lock, _Atomic int32_t *heat)
{
    if (XE_LIKELY(xe_lock_try(lock))) {
        if (heat)
            xe_heat_cool(heat);
        return true;
    }
    if (heat)
        atomic_fetch_add_explicit(heat, HEAT_UP, memory_order_relaxed);
    return wait_lock(lock);
}

struct xe_segment *xe_segment_acquire_key(struct xe_table *t, const struct xe_key *key)
{
    if (t->kind == XE_ORDERED)
        return xe_order_acquire(t, key);
    return xe_segment_acquire(t, key->hash);
}

struct xe_segment *xe_segment_acquire(struct xe_table *t, uint64_t hash)
{
    for (;;) {
        struct xe_segment *s = xe_directory_find(t, hash);
        if (!xe_lock_take(&s->lock, &s->heat))
            return NULL;
        if (XE_LIKELY(s->state == SEGMENT_LIVE))
            return s;
        xe_lock_release(&s->lock);
    }
}

/* --- Tables ------------------------------------------------------------- */

/* What a segment holds at most: what the caller asked for, within bounds. */
static uint32_t configured_objects(uint32_t wanted)
{
    if (wanted == 0)
        return XE_SEGMENT_OBJECTS;
    if (wanted < XE_SEGMENT_OBJECTS_MIN)
        return XE_SEGMENT_OBJECTS_MIN;
    return wanted < XE_SEGMENT_OBJECTS_MAX ? wanted : XE_SEGMENT_OBJECTS_MAX;
}

struct xe_table *xe_table_alloc(const struct xe_table_config *config)
{
    void *p = xe_cb.alloc(XE_TABLE_BYTES);
    if (!p)
        return NULL;
    struct xe_table *t =
        (void *)(((uintptr_t)p + XE_CACHE_LINE - 1) & ~(uintptr_t)(XE_CACHE_LINE - 1));
    memset(t, 0, sizeof *t);
    t->allocation = p;
    t->seed = config->seed;
    t->max_objects = configured_objects(config->max_objects);
    t->hot = config->hot;
    t->kind = config->kind;
    xe_table_account(t, XE_TABLE_BYTES);
    return t;
}

struct xe_table *xe_table_new(const struct xe_table_config *config)
{
    struct xe_table *t = xe_table_alloc(config);
    struct xe_directory *d = t ? xe_directory_new(t) : NULL;
    if (d) {
        atomic_init(&t->directory, d);
    } else if (t) {
        xe_table_free(t);
        t = NULL;
    }
    return t;
}

uint64_t xe_table_seed(const struct xe_table *t)
{
    return t->seed;
}

void xe_table_set_log(struct xe_table *t, void *log)
{
    /* Behind those of all objects that are there already. */
    for (uint32_t i = 0; i < XE_SHARED_STRIPES; i++) {
        uint64_t next = xe_core_sequence(i, 0);
        t->number = next > t->number ? next : t->number;
    }
    t->log = log;
}

void *xe_table_log(const struct xe_table *t)
{
    return t->log;
}

bool xe_table_is_snapshot(const struct xe_table *t)
{
    return t->is_snapshot;
}

static void free_contents(struct xe_table *t)
{
    /* Not by jobs of their own: who drains the reclaimer's waits for the table's. */
    xe_table_forget_now(t);
    struct xe_directory *d = atomic_load_explicit(&t->directory, memory_order_acquire);
    struct xe_image *list = NULL;
    if (d)
        xe_directory_free(d, !t->is_snapshot, &list);
    xe_image_free_list(list);
    xe_core_account(-atomic_load_explicit(&t->bytes, memory_order_relaxed));
    if (t->segments)
        xe_cb.free(t->segments);
}

void xe_table_free(struct xe_table *t)
{
    XE_ASSERT(!t->log);
    free_contents(t);
    xe_cb.free(t->allocation);
}

/* A grace period has passed, but a writer may have moved its section since. */
static void await_writers(struct xe_table *t)
{
    while (!xe_epoch_quiesce_writers(t, RECLAIM_WAIT_NS))
        ;
}

static void job_is_done(struct xe_table *t)
{
    /* acq_rel: the other job has left the table before it is freed. */
    if (atomic_fetch_sub_explicit(&t->jobs, 1, memory_order_acq_rel) == 1)
        xe_cb.free(t->allocation);
}

static void reclaim_table(struct xe_reclaim_job *job)
{
    struct xe_table *t = (void *)((uintptr_t)job - offsetof(struct xe_table, job));
    await_writers(t);
    free_contents(t);
    job_is_done(t);
}

static void end_log(struct xe_reclaim_job *job)
{
    struct xe_table *t = (void *)((uintptr_t)job - offsetof(struct xe_table, log_job));
    await_writers(t);
    xe_cb.log_gone(t->log);
    job_is_done(t);
}

/* Two jobs: no disk that the log writes to keeps memory from being freed, and no memory that is
 * being freed keeps the log from being closed. */
void xe_table_delete(struct xe_table *t)
{
    /* Relaxed: pushing orders it. */
    atomic_store_explicit(&t->jobs, t->log ? 2 : 1, memory_order_relaxed);
    /* Release: pairs with the load in xe_table_write_begin(). */
    atomic_store_explicit(&t->gate, GATE_DEAD, memory_order_release);
    t->job.run = reclaim_table;
    t->log_job.run = end_log;
    if (t->log)
        xe_reclaim_push_io(&t->log_job);
    xe_reclaim_push(&t->job);
}

/* --- The write gate ----------------------------------------------------- */

/* Why there is no way through a gate. */
enum xe_status xe_table_gate_status(uint32_t gate)
{
    return gate == GATE_DEAD ? XE_DEAD : gate == GATE_FROZEN ? XE_FROZEN : XE_RETRY;
}

enum xe_status xe_table_close_gate(struct xe_table *t)
{
    return xe_table_close_gate_for(t, GATE_WAIT_NS);
}

enum xe_status xe_table_close_gate_for(struct xe_table *t, uint64_t max_ns)
{
    uint32_t open = GATE_OPEN;
    /* acq_rel: everything before is seen by writers that find it closed. */
    if (!atomic_compare_exchange_strong_explicit(&t->gate, &open, GATE_CLOSED,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return xe_table_gate_status(open);
    if (xe_epoch_quiesce_writers(t, max_ns))
        return XE_OK;
    xe_table_open_gate(t);
    return XE_RETRY;
}

void xe_table_open_gate(struct xe_table *t)
{
    uint32_t closed = GATE_CLOSED;
    /* Release: pairs with xe_table_write_begin(). A table that died meanwhile stays dead. */
    atomic_compare_exchange_strong_explicit(&t->gate, &closed, GATE_OPEN, memory_order_release,
                                            memory_order_relaxed);
}

static enum xe_status clear(struct xe_table *t, struct xe_epoch_slot *slot, uint64_t *n)
{
    struct xe_cleared *c = xe_cb.alloc(sizeof *c);
    bool kept = false;
    if (!c)
        return XE_NOMEM;
    enum xe_status status = xe_table_close_gate(t);
    if (status == XE_OK) {
        int64_t before = atomic_load_explicit(&t->bytes, memory_order_relaxed);
        int64_t contents = atomic_load_explicit(&t->contents, memory_order_relaxed);
        struct xe_directory *fresh = xe_directory_new(t);
        status = fresh ? XE_OK : XE_NOMEM;
        if (fresh) {
            if (n)
                *n = xe_table_size(t);
            xe_log_publish(t, slot);
            xe_table_account(t, XE_TABLE_BYTES - before);
            xe_table_account_contents(t, -contents);
            c->directory = atomic_load_explicit(&t->directory, memory_order_relaxed);
            /* Sequentially consistent: whoever has fixed the table and then still saw the old
             * directory finds it kept. Release: pairs with xe_directory_find(). */
            atomic_store_explicit(&t->directory, fresh, memory_order_seq_cst);
            kept = xe_table_keep_cleared(t, c);
        }
        xe_table_open_gate(t);
    }
    if (status != XE_OK)
        xe_cb.free(c);
    else if (!kept)
        xe_table_reclaim_cleared(c);
    return status;
}

enum xe_status xe_table_clear(struct xe_table *t, struct xe_epoch_slot *slot, uint64_t *n)
{
    if (XE_LIKELY(!t->log))
        return clear(t, slot, n);
    const struct xe_log_change change = {.op = XE_LOG_CLEAR};
    struct xe_log_write write;
    enum xe_status status = xe_log_begin(t, slot, &change, &write);
    return status == XE_OK ? xe_log_end(t, slot, clear(t, slot, n)) : status;
}

/* --- Reading ------------------------------------------------------------ */

/* The record of a key, and the image that it is in. */
static inline enum xe_status find_record(struct xe_table *t, const struct xe_key *key,
                                         struct xe_image **img, uint32_t *off)
{
    struct xe_place place;
    if (XE_UNLIKELY(t->kind == XE_ORDERED))
        return xe_order_find_record(t, key, img, off);
    for (int tries = 0; tries < XE_BATCH_TRIES; tries++) {
        uint64_t batch = xe_batch_begin(t);
        *img = xe_segment_image(xe_directory_find(t, key->hash));
        bool found = xe_find(*img, key, &place);
        *off = found ? place.off : 0;
        if (XE_LIKELY(xe_batch_unchanged(t, batch)))
            return found ? XE_OK : XE_ABSENT;
        xe_cpu_relax();
    }
    return XE_RETRY;
}

enum xe_status xe_table_find_record(struct xe_table *t, const struct xe_key *key,
                                    const uint8_t **out)
{
    struct xe_image *img;
    uint32_t off;
    enum xe_status status = find_record(t, key, &img, &off);
    if (XE_LIKELY(status == XE_OK))
        *out = xe_image_record(img, off);
    return status;
}

enum xe_status xe_table_find(struct xe_table *t, const struct xe_key *key, struct xe_view *out)
{
    const uint8_t *rec;
    enum xe_status status = xe_table_find_record(t, key, &rec);
    if (status == XE_OK)
        xe_record_view(rec, out);
    return status;
}

static void version_of(const struct xe_image *img, uint32_t off, struct xe_version *out)
{
    const uint8_t *rec = xe_image_record(img, off);
    uint32_t header = xe_load32(rec);
    /* A rebuild moves a descriptor, but not its blob. */
    if (header & XE_REC_BLOB)
        *out = (struct xe_version){.image = xe_record_blob(rec, header)};
    else
        *out = (struct xe_version){.image = img, .off = off};
}

enum xe_status xe_table_find_version(struct xe_table *t, const struct xe_key *key,
                                     struct xe_view *out, struct xe_version *version)
{
    struct xe_image *img;
    uint32_t off;
    enum xe_status status = find_record(t, key, &img, &off);
    if (status == XE_OK) {
        xe_record_view(xe_image_record(img, off), out);
        version_of(img, off, version);
    }
    return status;
}

/* Each step of all keys before the next step of any: their cache misses overlap. */
static void find_many_once(struct xe_table *t, const struct xe_key *keys, uint32_t n,
                           struct xe_view *views, bool *found)
{
    struct xe_segment *segments[XE_FIND_MANY];
    struct xe_image *images[XE_FIND_MANY];
    for (uint32_t i = 0; i < n; i++) {
        segments[i] = xe_directory_find(t, keys[i].hash);
        __builtin_prefetch(segments[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        images[i] = xe_segment_image(segments[i]);
        __builtin_prefetch(images[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(xe_image_home(images[i], keys[i].hash));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t link;
        struct xe_bucket *b = xe_image_home(images[i], keys[i].hash);
        uint32_t matches = xe_find_matches(b, (uint8_t)keys[i].hash, &link);
        if (matches)
            __builtin_prefetch(xe_image_record(
                images[i], __atomic_load_n(&b->off[__builtin_ctz(matches)], __ATOMIC_RELAXED)));
    }
    for (uint32_t i = 0; i < n; i++) {
        struct xe_place place;
        found[i] = xe_find(images[i], &keys[i], &place);
        if (found[i])
            xe_record_view(xe_image_record(images[i], place.off), &views[i]);
    }
}

enum xe_status xe_table_find_many(struct xe_table *t, const struct xe_key *keys, uint32_t n,
                                  struct xe_view *views, bool *found)
{
    XE_ASSERT(n <= XE_FIND_MANY);
    if (t->kind == XE_ORDERED)
        return xe_order_find_many(t, keys, n, views, found);
    for (int tries = 0; tries < XE_BATCH_TRIES; tries++) {
        uint64_t batch = xe_batch_begin(t);
        find_many_once(t, keys, n, views, found);
        if (XE_LIKELY(xe_batch_unchanged(t, batch)))
            return XE_OK;
        xe_cpu_relax();
    }
    return XE_RETRY;
}

/* --- Writing ------------------------------------------------------------ */

/* The place of a key in the image of a locked segment. */
static inline bool find_in(const struct xe_table *t, const struct xe_image *img,
                           const struct xe_key *key, struct xe_place *place)
{
    return t->kind == XE_ORDERED ? xe_leaves_find(img, key, place) : xe_find(img, key, place);
}

/* The segment of a key among the locked ones, which are in order; the others are released. */
static struct xe_segment *keep_one(const struct xe_table *t, struct xe_segment *const *locked,
                                   uint32_t n, const struct xe_key *key)
{
    uint32_t kept = 0;
    for (uint32_t i = 1; i < n; i++)
        if (t->kind == XE_ORDERED ? xe_order_is_behind(locked[i], key)
                                  : locked[i]->lo <= key->hash)
            kept = i;
    for (uint32_t i = 0; i < n; i++)
        if (i != kept)
            xe_lock_release(&locked[i]->lock);
    return locked[kept];
}

void xe_table_run_clock(struct xe_epoch_slot *slot)
{
    uint64_t until = xe_epoch_now() + CLOCK_STEPS;
    /* Our own section holds the clock back first of all; then others may, or they may
     * advance it themselves just now. */
    for (int i = 0; i < 2 * CLOCK_STEPS && xe_epoch_now() < until; i++) {
        xe_epoch_refresh(slot);
        xe_epoch_try_advance();
    }
}

/* Whether a group of a bag's objects has made a chain of buckets long, that would be short if
 * they were alone in their segment. */
static bool is_chain_long(const struct xe_table *t, const struct xe_segment *s,
                          const struct xe_image *img, uint64_t hash)
{
    enum { CHAIN_MAX = 6 };
    if (!xe_kind_is_bag(t->kind))
        return false;
    const struct xe_bucket *b = xe_image_home(img, hash);
    uint32_t n = 1;
    for (; b->link && n <= CHAIN_MAX; n++)
        b = xe_image_linked(img, b->link);
    return n > CHAIN_MAX && xe_bag_group_mask(t, s->lo, s->hi);
}

/* Whether the image has a place in its index for a key, or has got one. */
static bool has_place(const struct xe_table *t, struct xe_image *img, const struct xe_key *key)
{
    struct xe_place place;
    if (t->kind != XE_ORDERED)
        return xe_image_has_room(img, 1) && xe_image_reserve_places(img, key->hash, 1);
    xe_leaves_find(img, key, &place);
    return xe_leaves_has_place(img, &place);
}

enum xe_status xe_table_make_room(struct xe_table *t, struct xe_epoch_slot *slot,
                                  struct xe_segment **s, const struct xe_key *key,
                                  uint32_t units, bool is_new, uint32_t *off)
{
    for (int tries = 0; tries < ROOM_TRIES; tries++) {
        struct xe_image *img = xe_segment_image(*s);
        bool group = tries == 0 && is_chain_long(t, *s, img, key->hash);
        if (group)
            ;
        else if (!is_new || has_place(t, img, key)) {
            if (XE_LIKELY((*off = xe_image_alloc(img, units)) != 0))
                return XE_OK;
            if (xe_image_has_retired(img)) {
                xe_table_run_clock(slot);
                if ((*off = xe_image_alloc(img, units)) != 0)
                    return XE_OK;
            }
        }
        struct xe_arrival arrival = {.hash = key->hash, .units = units, .key = key};
        struct xe_segment *out[XE_REBUILD_PARTS];
        uint32_t n_out;
        /* A rebuild that did not help would not help again: more segments may. */
        enum xe_split split = group       ? XE_SPLIT_GROUP
                              : tries > 0 ? XE_SPLIT_HALF
                                          : XE_SPLIT_NO;
        enum xe_status status = xe_rebuild(t, slot, *s, &arrival, 1, split, out, &n_out);
        if (status != XE_OK)
            return status;
        *s = keep_one(t, out, n_out, key);
    }
    return XE_LIMIT;
}

/* Not inline: the compiler warns then that the slot keeps the address of a local variable, for it does
 * not see that xe_log_end() is always called. */
__attribute__((noinline)) enum xe_status
xe_log_begin(struct xe_table *t, struct xe_epoch_slot *slot, const struct xe_log_change *change,
             struct xe_log_write *write)
{
    write->record = NULL;
    write->place = 0;
    write->published = false;
    enum xe_status status = xe_cb.log_begin(t->log, change, write);
    if (status == XE_OK)
        slot->logging = write;
    return status;
}

uint64_t xe_log_publish_numbered(struct xe_table *t, struct xe_epoch_slot *slot, uint64_t n)
{
    /* Whoever has it is about to release it: it waits for nothing but the log. */
    while (!xe_lock_take(&t->number_lock, NULL))
        ;
    uint64_t first = t->number;
    t->number += n;
    xe_log_publish(t, slot);
    xe_lock_release(&t->number_lock);
    return first;
}

/* The record is in no bucket any more. */
static void drop_record(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_image *img,
                        uint32_t off)
{
    const uint8_t *rec = xe_image_record(img, off);
    uint32_t header = xe_load32(rec);
    if (XE_UNLIKELY(header & XE_REC_BLOB)) {
        struct xe_blob *b = xe_record_blob(rec, header);
        xe_table_account_contents(t, -(int64_t)b->bytes);
        xe_blob_retire(slot, b);
    }
    xe_image_retire(img, off);
}

void xe_table_drop(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_image *img,
                   struct xe_place *place)
{
    uint32_t old = place->off;
    if (t->kind == XE_ORDERED)
        xe_leaves_remove(img, place);
    else
        xe_image_remove(img, place);
    drop_record(t, slot, img, old);
}

void xe_table_drop_from(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                        struct xe_place *place)
{
    struct xe_image *img = xe_segment_image(s);
    if (t->kind != XE_ORDERED) {
        xe_segment_writes(s);
        xe_log_publish(t, slot);
        xe_table_drop(t, slot, img, place);
        return;
    }
    xe_segment_changes(s);
    xe_log_publish(t, slot);
    xe_table_drop(t, slot, img, place);
    xe_segment_changed(s);
    xe_order_counted(s, xe_image_count(img));
}

enum xe_status xe_table_write_record(struct xe_image *img, const struct xe_prepared *p, uint32_t off)
{
    if (p->object->n_handles && !p->blob && !xe_image_need_env(img)) {
        xe_image_unalloc(img, off, p->units);
        return XE_NOMEM;
    }
    xe_record_write(xe_image_record(img, off), p, img->env);
    return XE_OK;
}

static void replace_ordered(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_image *img,
                            uint32_t off, struct xe_place *place)
{
    uint32_t old = place->off;
    xe_leaves_replace(img, place, off);
    drop_record(t, slot, img, old);
}

void xe_table_publish(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_image *img,
                      const struct xe_prepared *p, uint32_t off, struct xe_place *place)
{
    xe_image_count_in(img, xe_image_record(img, off));
    if (p->blob)
        xe_table_account_contents(t, (int64_t)p->blob->bytes);
    if (t->kind == XE_ORDERED) {
        if (place->off)
            replace_ordered(t, slot, img, off, place);
        else
            xe_leaves_add(img, &p->key, place, off);
    } else if (place) {
        uint32_t old = place->off;
        xe_image_replace(place, off);
        drop_record(t, slot, img, old);
    } else {
        xe_image_add(img, p->key.hash, off);
    }
}

static bool is_contended(const struct xe_segment *s)
{
    return atomic_load_explicit(&s->heat, memory_order_relaxed) > HEAT_SPLIT &&
           xe_image_count(xe_segment_image(s)) >=
               2 * XE_SEGMENT_OBJECTS_MIN;
}

/* Splits a segment that is fought for. Releases the lock. */
static void split_contended(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s)
{
    struct xe_segment *out[XE_REBUILD_PARTS];
    uint32_t n_out;
    atomic_store_explicit(&t->contended, true, memory_order_relaxed);
    /* It is as good without, when there is no memory for it. */
    if (xe_rebuild(t, slot, s, NULL, 0, XE_SPLIT_HALF, out, &n_out) != XE_OK) {
        out[0] = s;
        n_out = 1;
    }
    for (uint32_t i = 0; i < n_out; i++) {
        /* Not to be merged at once. */
        atomic_store_explicit(&out[i]->heat, HEAT_UP, memory_order_relaxed);
        xe_lock_release(&out[i]->lock);
    }
}

/* Ends a write on the locked segment. */
void xe_table_finish(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                     bool less)
{
    struct xe_image *img = xe_segment_image(s);
    bool contended = is_contended(s), quiet = xe_segment_is_quiet(s, img);
    if (XE_UNLIKELY(contended)) {
        split_contended(t, slot, s);
    } else if (XE_UNLIKELY(quiet || (less && xe_image_is_sparse(img)) ||
                           xe_image_is_littered(img))) {
        if (quiet)
            atomic_store_explicit(&s->heat, 0, memory_order_relaxed);
        xe_rebuild_shrink(t, slot, s);
    } else {
        xe_lock_release(&s->lock);
    }
}

enum xe_status xe_table_store(struct xe_table *t, struct xe_epoch_slot *slot,
                              struct xe_segment *s, const struct xe_prepared *p,
                              struct xe_place *place)
{
    uint32_t off;
    if (t->kind == XE_ORDERED)
        return xe_order_store(t, slot, s, p, place);
    enum xe_status status = xe_segment_own(t, slot, s, place) ? XE_OK : XE_NOMEM;
    struct xe_image *before = xe_segment_image(s);
    if (XE_LIKELY(status == XE_OK))
        status = xe_table_make_room(t, slot, &s, &p->key, p->units, !place, &off);
    struct xe_image *img = xe_segment_image(s);
    if (XE_LIKELY(status == XE_OK)) {
        if (place && XE_UNLIKELY(img != before))
            xe_find(img, &p->key, place);
        status = xe_table_write_record(img, p, off);
    }
    if (XE_LIKELY(status == XE_OK)) {
        if (t->kind == XE_SET)
            xe_segment_writes(s);
        else
            xe_segment_changes(s);
        if (XE_UNLIKELY(t->log && p->in_bag))
            xe_record_number(xe_image_record(img, off), xe_log_publish_numbered(t, slot, 1));
        else
            xe_log_publish(t, slot);
        xe_table_publish(t, slot, img, p, off, place);
        if (t->kind != XE_SET)
            xe_segment_changed(s);
    }
    xe_table_finish(t, slot, s, place && status == XE_OK);
    return status;
}

/* Begins a write: the gate, the segment's lock. */
static enum xe_status write_lock(struct xe_table *t, struct xe_epoch_slot *slot,
                                 const struct xe_key *key, struct xe_segment **s)
{
    enum xe_status status = xe_table_write_begin(t, slot);
    if (XE_UNLIKELY(status != XE_OK))
        return status;
    *s = xe_segment_acquire_key(t, key);
    return XE_LIKELY(*s != NULL) ? XE_OK : XE_RETRY;
}

enum xe_status xe_table_put(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_prepared *p,
                            enum xe_put mode)
{
    if (XE_LIKELY(!t->log))
        return xe_table_put_prepared(t, slot, p, mode);
    const struct xe_log_change change = {.op = XE_LOG_PUT, .objects = p, .n = 1};
    struct xe_log_write write;
    enum xe_status status = xe_log_begin(t, slot, &change, &write);
    return status == XE_OK ? xe_log_end(t, slot, xe_table_put_prepared(t, slot, p, mode)) : status;
}

static bool is_version(const struct xe_image *img, uint32_t off, const struct xe_version *seen)
{
    struct xe_version now;
    version_of(img, off, &now);
    return now.image == seen->image && now.off == seen->off;
}

static enum xe_status replace(struct xe_table *t, struct xe_epoch_slot *slot,
                              struct xe_prepared *p, const struct xe_version *seen)
{
    struct xe_segment *s;
    struct xe_place place;
    enum xe_status status = write_lock(t, slot, &p->key, &s);
    if (status != XE_OK)
        return status;
    struct xe_image *img = xe_segment_image(s);
    if (find_in(t, img, &p->key, &place) && is_version(img, place.off, seen))
        return xe_table_store(t, slot, s, p, &place);
    xe_table_finish(t, slot, s, false);
    return XE_ABSENT;
}

enum xe_status xe_table_replace(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_prepared *p, const struct xe_version *seen)
{
    if (XE_LIKELY(!t->log))
        return replace(t, slot, p, seen);
    const struct xe_log_change change = {.op = XE_LOG_PUT, .objects = p, .n = 1};
    struct xe_log_write write;
    enum xe_status status = xe_log_begin(t, slot, &change, &write);
    return status == XE_OK ? xe_log_end(t, slot, replace(t, slot, p, seen)) : status;
}

static enum xe_status remove_found(struct xe_table *t, struct xe_epoch_slot *slot,
                                   const struct xe_key *key, const struct xe_version *seen,
                                   struct xe_view *out)
{
    struct xe_segment *s;
    struct xe_place place;
    enum xe_status status = write_lock(t, slot, key, &s);
    if (XE_UNLIKELY(status != XE_OK))
        return status;
    struct xe_image *img = xe_segment_image(s);
    if (!find_in(t, img, key, &place) || (seen && !is_version(img, place.off, seen))) {
        xe_table_finish(t, slot, s, false);
        return XE_ABSENT;
    }
    if (XE_UNLIKELY(!xe_segment_own(t, slot, s, &place))) {
        xe_table_finish(t, slot, s, false);
        return XE_NOMEM;
    }
    if (out)
        xe_record_view(xe_image_record(xe_segment_image(s), place.off), out);
    status = xe_table_bury_if_fixed(t, slot, key);
    if (XE_LIKELY(status == XE_OK))
        xe_table_drop_from(t, slot, s, &place);
    xe_table_finish(t, slot, s, status == XE_OK);
    return status;
}

/* What is told to the log is the key as it is stored: it may be another term than the one that it
 * was found by. */
static enum xe_status remove_logged(struct xe_table *t, struct xe_epoch_slot *slot,
                                    const struct xe_key *key, const struct xe_version *seen,
                                    struct xe_view *out)
{
    struct xe_view view;
    struct xe_log_write write;
    const struct xe_log_change change = {.op = XE_LOG_DELETE, .view = &view};
    enum xe_status status = xe_table_find(t, key, &view);
    if (status == XE_OK)
        status = xe_log_begin(t, slot, &change, &write);
    if (status == XE_OK)
        status = xe_log_end(t, slot, remove_found(t, slot, key, seen, out));
    return status;
}

enum xe_status xe_table_remove(struct xe_table *t, struct xe_epoch_slot *slot,
                               const struct xe_key *key, const struct xe_version *seen,
                               struct xe_view *out)
{
    return XE_LIKELY(!t->log) ? remove_found(t, slot, key, seen, out)
                              : remove_logged(t, slot, key, seen, out);
}

enum xe_status xe_table_update(struct xe_table *t, struct xe_epoch_slot *slot,
                               const struct xe_key *key, xe_update_fn update, void *arg)
{
    struct xe_segment *s;
    struct xe_place place;
    struct xe_view view;
    struct xe_object object;
    struct xe_prepared p;
    if (XE_UNLIKELY(t->log != NULL))
        return XE_LIMIT;
    enum xe_status status = write_lock(t, slot, key, &s);
    if (XE_UNLIKELY(status != XE_OK))
        return status;
    if (!find_in(t, xe_segment_image(s), key, &place)) {
        xe_table_finish(t, slot, s, false);
        return XE_ABSENT;
    }
    /* First: the new object may be made of the stored one. */
    if (XE_UNLIKELY(!xe_segment_own(t, slot, s, &place))) {
        xe_table_finish(t, slot, s, false);
        return XE_NOMEM;
    }
    xe_record_view(xe_image_record(xe_segment_image(s), place.off), &view);
    if (view.blob) {
        status = XE_LIMIT;
    } else if (update(arg, &view, &object) == XE_UPDATE_KEEP) {
        status = XE_EXISTS;
    } else if (!xe_record_fits_inline(&object)) {
        status = XE_LIMIT;
    } else {
        p.key = *key;
        xe_record_prepare_inline(&object, &p);
        return xe_table_store(t, slot, s, &p, &place);
    }
    xe_table_finish(t, slot, s, false);
    return status;
}

/* --- Sums -------------------------------------------------------------- */

void xe_table_stats(const struct xe_table *t, struct xe_table_stats *out)
{
    const struct xe_segment *s =
        t->kind == XE_ORDERED ? xe_order_edge(t, false) : xe_directory_find(t, 0);
    *out = (struct xe_table_stats){.bytes = xe_table_bytes(t)};
    while (s) {
        const struct xe_image *img = xe_segment_image(s);
        out->objects += xe_image_count(img);
        out->image_bytes += img->bytes;
        out->segments++;
        if (t->kind == XE_ORDERED)
            s = xe_order_right(t, s);
        else
            s = s->hi == UINT64_MAX ? NULL : xe_directory_find(t, s->hi + 1);
    }
}

uint64_t xe_table_size(const struct xe_table *t)
{
    struct xe_table_stats stats;
    uint64_t n;
    if (t->kind == XE_ORDERED && xe_order_count_all(t, &n) == XE_OK)
        return n;
    xe_table_stats(t, &stats);
    return stats.objects;
}

static uint64_t load_bytes(const _Atomic int64_t *sum)
{
    int64_t bytes = atomic_load_explicit(sum, memory_order_relaxed);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

uint64_t xe_table_bytes(const struct xe_table *t)
{
    const struct xe_table *graves = atomic_load_explicit(&t->graves, memory_order_acquire);
    uint64_t bytes = load_bytes(&t->bytes) + load_bytes(&t->contents);
    if (XE_UNLIKELY(t->is_snapshot))
        bytes += xe_snapshot_bytes(t);
    return bytes + (graves ? load_bytes(&graves->bytes) + load_bytes(&graves->contents) : 0);
}

uint64_t xe_table_bytes_all(void)
{
    return load_bytes(&xe_core_the->bytes);
}

uint64_t xe_table_segments(const struct xe_table *t)
{
    const struct xe_directory *d = atomic_load_explicit(&t->directory, memory_order_acquire);
    return atomic_load_explicit(&d->n_segments, memory_order_relaxed);
}
