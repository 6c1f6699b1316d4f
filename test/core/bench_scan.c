/*
 * bench_scan.c - what it costs to read all objects of a table, chunk by chunk, without a BEAM.
 *
 * Objects have a key of 8 bytes and a body of 24, as rows of a few small elements have; they were
 * inserted at random. Figures are medians of several runs, in nanoseconds of the thread's CPU time
 * per object: for chunks alone, and with a look at each object's body.
 *
 * bench_scan [objects]   default 1,000,000
 * bench_scan --small     a moment, all results checked: a test
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "scan.h"
#include "support.h"

enum { RUNS = 5, BODY = 24, LEAST = 1000 };

static uint32_t n_objects = 1000000;

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* --- Tables -------------------------------------------------------------- */

static void insert(struct xe_table *t, enum xe_kind kind, uint64_t key, uint64_t value)
{
    uint8_t bytes[8 + BODY + XE_READ_SLACK] = {0};
    struct xe_object o = {.bytes = bytes, .klen = 8, .len = 8 + BODY, .identity = value};
    struct xe_prepared p;
    memcpy(bytes, &key, 8);
    memcpy(bytes + 8, &value, 8);
    CHECK(xe_table_prepare(t, &o, &p) == XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK((xe_kind_is_bag(kind) ? xe_bag_put(t, slot, &p, XE_PUT, true)
                                : xe_table_put(t, slot, &p, XE_PUT)) == XE_OK);
    xe_epoch_leave(slot);
}

/* Of a bag: `group` objects for each key. */
static struct xe_table *filled(enum xe_kind kind, uint32_t group)
{
    struct xe_table_config config = {.seed = 99, .kind = kind};
    struct xe_table *t = xe_table_new(&config);
    CHECK(t != NULL);
    for (uint64_t i = 0; i < n_objects; i++) {
        /* Each number below n_objects, which is no multiple of the prime, once. */
        uint64_t number = i * 1000003 % n_objects;
        insert(t, kind, number / group, number);
    }
    return t;
}

/* --- Scans --------------------------------------------------------------- */

struct sum {
    uint64_t objects, values;
};

static void add(struct sum *sum, const struct xe_chunk *chunk, bool look)
{
    sum->objects += chunk->n;
    for (uint32_t i = 0; look && i < chunk->n; i++) {
        struct xe_view view;
        xe_chunk_ahead(chunk, i);
        xe_record_view(chunk->recs[i], &view);
        sum->values += xe_load64(view.body);
    }
}

static void scan_hashes(struct xe_table *t, bool look, struct sum *sum)
{
    static struct xe_chunk chunk;
    chunk.next = 0;
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_scan_hashes(t, chunk.next, LEAST, &chunk) == XE_OK);
        add(sum, &chunk, look);
        xe_epoch_leave(slot);
    } while (chunk.more);
}

static void scan_range(struct xe_table *t, bool look, struct sum *sum)
{
    static struct xe_chunk chunk;
    uint8_t bytes[8 + XE_READ_SLACK] = {0};
    struct xe_key key;
    struct xe_range range = {.from_exclusive = true};
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_scan_range(t, &range, LEAST, &chunk) == XE_OK);
        add(sum, &chunk, look);
        if (chunk.n) {
            struct xe_view view;
            xe_record_view(chunk.recs[chunk.n - 1], &view);
            memcpy(bytes, view.key, 8);
            xe_key_init_order(&key, bytes, 8, NULL, 0);
            range.from = &key;
        }
        xe_epoch_leave(slot);
    } while (chunk.more);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double scan_ns(struct xe_table *t, enum xe_kind kind, bool look)
{
    double ns[RUNS];
    for (uint32_t i = 0; i < RUNS; i++) {
        struct sum sum = {0};
        double start = cpu_ns();
        if (kind == XE_ORDERED)
            scan_range(t, look, &sum);
        else
            scan_hashes(t, look, &sum);
        ns[i] = (cpu_ns() - start) / n_objects;
        CHECK(sum.objects == n_objects);
        CHECK(!look || sum.values == (uint64_t)n_objects * (n_objects - 1) / 2);
    }
    qsort(ns, RUNS, sizeof *ns, compare);
    return ns[RUNS / 2];
}

static void measure(const char *name, enum xe_kind kind, uint32_t group)
{
    struct xe_table *t = filled(kind, group);
    double chunks = scan_ns(t, kind, false), looks = scan_ns(t, kind, true);
    printf("%-34s %6.1f ns chunks, %6.1f ns with a look\n", name, chunks, looks);
    xe_table_delete(t);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--small") == 0)
        n_objects = 20000;
    else if (argc > 1)
        n_objects = (uint32_t)strtoul(argv[1], NULL, 0);
    if (n_objects == 0) {
        fprintf(stderr, "usage: bench_scan [--small | objects]\n");
        return 2;
    }
    core_start();
    printf("%u objects; CPU time of each, median\n", n_objects);
    measure("set", XE_SET, 1);
    measure("ordered", XE_ORDERED, 1);
    measure("bag, 1 object a key", XE_BAG, 1);
    measure("bag, 5 objects a key", XE_BAG, 5);
    measure("bag, all of one key", XE_BAG, n_objects);
    measure("duplicate bag, 5 objects a key", XE_DUPLICATE_BAG, 5);
    return core_stop() ? 0 : 1;
}
