/*
 * stress.h - what the stress tests share: workers, and rows that can be checked.
 *
 * Every test has a bounded number of operations; XETS_SCALE multiplies it. Segments are small, so
 * that splits and merges happen all the time. Run the tests with ThreadSanitizer too.
 */
#ifndef STRESS_H
#define STRESS_H

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "support.h"

#if XE_EPOCH_TSAN || defined(__SANITIZE_ADDRESS__)
enum { OPERATIONS = 80000 };
#else
enum { OPERATIONS = 1000000 };
#endif

static inline uint32_t scaled(uint32_t n)
{
    const char *scale = getenv("XETS_SCALE");
    return scale ? n * (uint32_t)strtoul(scale, NULL, 0) : n;
}

/* --- Threads ------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    void (*run)(struct worker *);
    struct xe_table *t;
    uint32_t id;
    struct rng rng;
};

enum { WORKERS_MAX = 8 };
static struct worker workers[WORKERS_MAX];
static uint32_t n_workers;
static _Atomic uint32_t writing; /* workers that others wait for: while they run, all run */

static void *start(void *arg)
{
    struct worker *w = arg;
    w->run(w);
    return NULL;
}

static inline void add_worker(struct xe_table *t, void (*run)(struct worker *), bool is_writer)
{
    uint32_t id = n_workers++;
    CHECK(id < WORKERS_MAX);
    workers[id] = (struct worker){.run = run, .t = t, .id = id, .rng = rng_for(1000 + id)};
    if (is_writer)
        atomic_fetch_add(&writing, 1);
}

static inline void run_workers(void)
{
    for (uint32_t i = 0; i < n_workers; i++)
        CHECK(pthread_create(&workers[i].thread, NULL, start, &workers[i]) == 0);
    for (uint32_t i = 0; i < n_workers; i++)
        pthread_join(workers[i].thread, NULL);
    n_workers = 0;
}

static inline void writer_done(void)
{
    atomic_fetch_sub(&writing, 1);
}

/* --- Rows: small objects that can be checked ----------------------------- */

struct body {
    uint64_t check; /* a function of the key */
    uint64_t count;
};

struct row {
    uint8_t bytes[8 + sizeof(struct body) + XE_READ_SLACK];
    struct xe_object o;
    struct xe_prepared p;
};

static inline uint64_t check_of(uint64_t key)
{
    return key * 0x9e3779b97f4a7c15u + 12345;
}

static inline void row_make(struct row *r, const struct xe_table *t, uint64_t key, uint64_t count)
{
    struct body body = {.check = check_of(key), .count = count};
    memset(r->bytes, 0, sizeof r->bytes);
    memcpy(r->bytes, &key, 8);
    memcpy(r->bytes + 8, &body, sizeof body);
    r->o = (struct xe_object){.bytes = r->bytes, .klen = 8, .len = 8 + sizeof body};
    CHECK(xe_record_prepare(xe_table_seed(t), &r->o, &r->p) == XE_OK);
}

/* What a view shows, which must be whole. */
static inline uint64_t count_in(const struct xe_view *view)
{
    uint64_t key;
    struct body body;
    CHECK(view->klen == 8 && view->blen == sizeof body);
    memcpy(&key, view->key, 8);
    memcpy(&body, view->body, sizeof body);
    CHECK(body.check == check_of(key));
    return body.count;
}

static inline enum xe_status row_put(struct xe_table *t, uint64_t key, uint64_t count,
                                     enum xe_put mode)
{
    struct row r;
    enum xe_status status;
    row_make(&r, t, key, count);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_put(t, slot, &r.p, mode);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    return status;
}

static inline enum xe_status row_remove(struct xe_table *t, uint64_t key)
{
    struct row r;
    enum xe_status status;
    row_make(&r, t, key, 0);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_remove(t, slot, &r.p.key, NULL, NULL);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    return status;
}

static inline enum xe_status row_find(struct xe_table *t, uint64_t key, uint64_t *count)
{
    struct row r;
    struct xe_view view;
    enum xe_status status;
    row_make(&r, t, key, 0);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_find(t, &r.p.key, &view);
        if (status == XE_OK)
            *count = count_in(&view);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    return status;
}

#endif
