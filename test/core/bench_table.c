/*
 * bench_table.c - what the operations of tables cost, without a BEAM.
 *
 * Objects are as small as they get: 4 bytes of key, 4 bytes of value, so 12-byte records.
 * Figures are medians of several runs, in nanoseconds of the thread's CPU time per operation:
 * other programs disturb it less than they do the time on the wall.
 *
 * bench_table [objects]   default 1,000,000; also prints bytes per object for several sizes
 * bench_table --small     a second, all results checked: a test
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "reclaim.h"
#include "support.h"

enum { RUNS = 5, HOT = 1000, THREADS = 2, LIST_MAX = 1000, ROUNDS = 1000000 };

static uint32_t n_objects = 1000000, rounds = ROUNDS;
static bool small;
static uint32_t *order; /* 0..n_objects-1, shuffled */

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* --- Objects ------------------------------------------------------------- */

struct pair {
    uint8_t bytes[8 + XE_READ_SLACK];
    struct xe_object o;
    struct xe_prepared p;
};

static void pair_make(struct pair *x, uint64_t seed, uint32_t key, uint32_t value)
{
    memcpy(x->bytes, &key, 4);
    memcpy(x->bytes + 4, &value, 4);
    x->o = (struct xe_object){.bytes = x->bytes, .klen = 4, .len = 8};
    CHECK(xe_record_prepare(seed, &x->o, &x->p) == XE_OK);
}

static void insert(struct xe_table *t, uint64_t seed, uint32_t key, uint32_t value,
                   enum xe_put mode)
{
    struct pair x;
    enum xe_status status;
    memset(x.bytes + 8, 0, XE_READ_SLACK);
    pair_make(&x, seed, key, value);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_put(t, slot, &x.p, mode);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    CHECK(status == XE_OK);
}

/* The value, or UINT32_MAX. */
static uint32_t find(struct xe_table *t, uint64_t seed, uint32_t key)
{
    uint8_t bytes[4 + XE_READ_SLACK];
    struct xe_key k;
    struct xe_view view;
    uint32_t value = UINT32_MAX;
    memset(bytes + 4, 0, XE_READ_SLACK);
    memcpy(bytes, &key, 4);
    xe_key_init(&k, seed, bytes, 4, NULL, 0);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    if (xe_table_find(t, &k, &view) == XE_OK)
        value = xe_load32(view.body);
    xe_epoch_leave(slot);
    return value;
}

static void take(struct xe_table *t, uint64_t seed, uint32_t key)
{
    struct pair x;
    enum xe_status status;
    memset(x.bytes + 8, 0, XE_READ_SLACK);
    pair_make(&x, seed, key, 0);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_remove(t, slot, &x.p.key, NULL, NULL);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    CHECK(status == XE_OK);
}

/* --- Cases ----------------------------------------------------------------------------
 * Each returns how many operations it made on a table that holds `n` objects, key i with the
 * value i, and leaves such a table behind.
 */

struct bench {
    struct xe_table *t;
    uint64_t seed;
    uint32_t n;
};

static uint32_t find_each(struct bench *b, uint32_t distinct)
{
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t key = distinct == b->n ? order[i % b->n] : i % distinct;
        CHECK(find(b->t, b->seed, key) == key);
    }
    return rounds;
}

static uint32_t find_one(struct bench *b)
{
    return find_each(b, 1);
}

static uint32_t find_hot(struct bench *b)
{
    return find_each(b, HOT);
}

static uint32_t find_random(struct bench *b)
{
    return find_each(b, b->n);
}

static uint32_t find_absent(struct bench *b)
{
    for (uint32_t i = 0; i < rounds; i++)
        CHECK(find(b->t, b->seed, b->n + order[i % b->n]) == UINT32_MAX);
    return rounds;
}

static uint32_t find_many(struct bench *b)
{
    static uint8_t bytes[XE_FIND_MANY][4 + XE_READ_SLACK];
    struct xe_key keys[XE_FIND_MANY];
    struct xe_view views[XE_FIND_MANY];
    bool found[XE_FIND_MANY];
    uint32_t calls = rounds / XE_FIND_MANY;
    for (uint32_t call = 0; call < calls; call++) {
        for (uint32_t i = 0; i < XE_FIND_MANY; i++) {
            memcpy(bytes[i], &order[(call * XE_FIND_MANY + i) % b->n], 4);
            xe_key_init(&keys[i], b->seed, bytes[i], 4, NULL, 0);
        }
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_table_find_many(b->t, keys, XE_FIND_MANY, views, found) == XE_OK);
        for (uint32_t i = 0; i < XE_FIND_MANY; i++)
            CHECK(found[i] && xe_load32(views[i].body) == xe_load32(bytes[i]));
        xe_epoch_leave(slot);
    }
    return calls * XE_FIND_MANY;
}

static uint32_t overwrite_each(struct bench *b, uint32_t distinct)
{
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t key = distinct == b->n ? order[i % b->n] : i % distinct;
        insert(b->t, b->seed, key, key, XE_PUT);
    }
    return rounds;
}

static uint32_t overwrite_hot(struct bench *b)
{
    return overwrite_each(b, HOT);
}

static uint32_t overwrite_random(struct bench *b)
{
    return overwrite_each(b, b->n);
}

static uint32_t remove_and_put(struct bench *b)
{
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t key = order[i % b->n];
        take(b->t, b->seed, key);
        insert(b->t, b->seed, key, key, XE_PUT_NEW);
    }
    return rounds;
}

static enum xe_update same_value(void *arg, const struct xe_view *view, struct xe_object *out)
{
    struct pair *x = arg;
    memcpy(x->bytes + 4, view->body, 4);
    *out = x->o;
    return XE_UPDATE_REPLACE;
}

static uint32_t update_hot(struct bench *b)
{
    struct pair x;
    memset(x.bytes, 0, sizeof x.bytes);
    for (uint32_t i = 0; i < rounds; i++) {
        pair_make(&x, b->seed, i % HOT, 0);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_table_update(b->t, slot, &x.p.key, same_value, &x) == XE_OK);
        xe_epoch_leave(slot);
    }
    return rounds;
}

static uint32_t put_lists(struct bench *b, uint32_t length)
{
    static struct pair pairs[LIST_MAX];
    static struct xe_prepared p[LIST_MAX];
    uint32_t calls = rounds / length;
    for (uint32_t call = 0; call < calls; call++) {
        for (uint32_t i = 0; i < length; i++) {
            uint32_t key = order[(call * length + i) % b->n];
            pair_make(&pairs[i], b->seed, key, key);
            CHECK(xe_record_prepare(b->seed, &pairs[i].o, &p[i]) == XE_OK);
        }
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_table_put_many(b->t, slot, p, length, XE_PUT, true) == XE_OK);
        xe_epoch_leave(slot);
    }
    return calls * length;
}

static uint32_t put_short_lists(struct bench *b)
{
    return put_lists(b, 10);
}

static uint32_t put_long_lists(struct bench *b)
{
    return put_lists(b, LIST_MAX);
}

static uint32_t scan_value(uint32_t key, uint32_t value)
{
    CHECK(key == value);
    return 1;
}

static void visit_pair(void *arg, const struct xe_view *view)
{
    *(uint32_t *)arg += scan_value(xe_load32(view->key), xe_load32(view->body));
}

static uint32_t scan(struct bench *b)
{
    uint32_t n = 0;
    uint64_t position = 0;
    while (scan_some(b->t, &position, XE_CHUNK_MAX, visit_pair, &n))
        ;
    CHECK(n == b->n);
    return n;
}

/* --- Two threads --------------------------------------------------------- */

struct mixer {
    struct bench *b;
    pthread_t thread;
    uint32_t id;
    double ns;
};

/* Nine finds to one overwrite, all over the table. */
static void *mix(void *arg)
{
    struct mixer *m = arg;
    struct bench *b = m->b;
    double start = cpu_ns();
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t key = order[((uint64_t)i * 7 + m->id * (b->n / THREADS)) % b->n];
        if (i % 10 == 0)
            insert(b->t, b->seed, key, key, XE_PUT);
        else
            CHECK(find(b->t, b->seed, key) == key);
    }
    m->ns = cpu_ns() - start;
    return NULL;
}

static double mixed_ns(struct bench *b)
{
    struct mixer m[THREADS];
    double ns = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        m[i] = (struct mixer){.b = b, .id = i};
        CHECK(pthread_create(&m[i].thread, NULL, mix, &m[i]) == 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(m[i].thread, NULL);
        ns += m[i].ns;
    }
    return ns / THREADS / rounds;
}

/* --- Measuring ----------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *name, double *ns, const char *unit)
{
    qsort(ns, RUNS, sizeof *ns, compare_doubles);
    printf("%-24s %8.1f %8.1f  %s\n", name, ns[RUNS / 2], ns[0], unit);
}

static void measure(struct bench *b, const char *name, uint32_t (*run)(struct bench *))
{
    double ns[RUNS];
    for (uint32_t i = 0; i < RUNS; i++) {
        double start = cpu_ns();
        uint32_t operations = run(b);
        ns[i] = (cpu_ns() - start) / operations;
    }
    report(name, ns, "ns per operation");
}

static void shuffle(void)
{
    struct rng r = rng_for(21);
    order = malloc(n_objects * sizeof *order);
    CHECK(order != NULL);
    for (uint32_t i = 0; i < n_objects; i++)
        order[i] = i;
    for (uint32_t i = n_objects; i > 1; i--) {
        uint32_t j = rng_below(&r, i), x = order[i - 1];
        order[i - 1] = order[j];
        order[j] = x;
    }
}

static struct bench filled(bool ascending, uint32_t n)
{
    struct bench b = {.t = table_new(0, false), .n = n};
    b.seed = xe_table_seed(b.t);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t key = ascending ? i : order[i];
        insert(b.t, b.seed, key, key, XE_PUT_NEW);
    }
    return b;
}

static void finish(struct bench *b)
{
    if (small) {
        CHECK(stats_of(b->t).objects == b->n);
        CHECK(is_valid(b->t));
        for (uint32_t i = 0; i < b->n; i++)
            CHECK(find(b->t, b->seed, i) == i);
    }
    xe_table_delete(b->t);
    xe_reclaim_drain();
}

static void measure_fill(const char *name, bool ascending)
{
    double ns[RUNS];
    for (uint32_t i = 0; i < RUNS; i++) {
        double start = cpu_ns();
        struct bench b = filled(ascending, n_objects);
        ns[i] = (cpu_ns() - start) / n_objects;
        finish(&b);
    }
    report(name, ns, "ns per object");
}

static void measure_removal(void)
{
    double ns[RUNS];
    for (uint32_t i = 0; i < RUNS; i++) {
        struct bench b = filled(false, n_objects);
        double start = cpu_ns();
        for (uint32_t k = 0; k < n_objects; k++)
            take(b.t, b.seed, order[n_objects - 1 - k]);
        ns[i] = (cpu_ns() - start) / n_objects;
        b.n = 0;
        CHECK(stats_of(b.t).objects == 0);
        finish(&b);
    }
    report("remove all", ns, "ns per object");
}

static void report_bytes(uint32_t n)
{
    struct bench b = filled(true, n);
    struct xe_table_stats s = stats_of(b.t);
    printf("%9u objects: %.2f bytes each, %.2f of them in images; %llu segments\n", n,
           (double)s.bytes / n, (double)s.image_bytes / n, (unsigned long long)s.segments);
    /* More than two thirds of it would be waste. */
    CHECK(s.bytes < 36 * (uint64_t)n + 100000);
    finish(&b);
}

static void measure_operations(void)
{
    struct bench b = filled(false, n_objects);
    double ns[RUNS];
    measure(&b, "find one", find_one);
    measure(&b, "find hot", find_hot);
    measure(&b, "find random", find_random);
    measure(&b, "find absent", find_absent);
    measure(&b, "find_many random", find_many);
    measure(&b, "overwrite hot", overwrite_hot);
    measure(&b, "overwrite random", overwrite_random);
    measure(&b, "remove and put", remove_and_put);
    measure(&b, "update hot", update_hot);
    measure(&b, "lists of 10", put_short_lists);
    measure(&b, "lists of 1000", put_long_lists);
    measure(&b, "scan", scan);
    for (uint32_t i = 0; i < RUNS; i++)
        ns[i] = mixed_ns(&b);
    report("two threads, 10% writes", ns, "ns per operation");
    finish(&b);
}

int main(int argc, char **argv)
{
    small = argc > 1 && strcmp(argv[1], "--small") == 0;
    if (small)
        rounds = n_objects = 20000;
    else if (argc > 1)
        n_objects = (uint32_t)strtoul(argv[1], NULL, 0);
    if (n_objects < HOT) {
        fprintf(stderr, "usage: bench_table [--small | objects, at least %d]\n", HOT);
        return 2;
    }
    core_start();
    shuffle();
    printf("%u objects; CPU time: median, best\n", n_objects);
    measure_fill("fill random", false);
    measure_fill("fill ascending", true);
    measure_removal();
    measure_operations();
    static const uint32_t tenths[] = {10, 12, 14, 17, 20};
    for (uint32_t i = 0; i < 5; i++)
        report_bytes(n_objects / 10 * tenths[i]);
    free(order);
    return core_stop() ? 0 : 1;
}
