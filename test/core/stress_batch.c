/*
 * stress_batch.c - list writes under many threads: nobody sees a part of one (G2).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stress.h"

/* --- G2: lists ----------------------------------------------------------- */

/* Group g has the keys g * GROUP ... and one writer, who raises the counts of all of them at
 * once. Group 1 is long, so that it takes a while to publish. */
enum { GROUP = 1000, SHORT = 4, LONG = 300 };

static uint32_t group_size(uint32_t g)
{
    return g % 2 ? LONG : SHORT;
}

static void put_group(struct xe_table *t, uint32_t g, uint64_t n)
{
    static _Thread_local struct row rows[LONG];
    struct xe_prepared *p = malloc(LONG * sizeof *p);
    uint32_t size = group_size(g);
    enum xe_status status;
    CHECK(p != NULL);
    for (uint32_t i = 0; i < size; i++) {
        row_make(&rows[i], t, g * GROUP + i, n);
        CHECK(xe_record_prepare(xe_table_seed(t), &rows[i].o, &p[i]) == XE_OK);
    }
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_put_many(t, slot, p, size, XE_PUT, n % 2);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    CHECK(status == XE_OK);
    free(p);
}

static void write_groups(struct worker *w)
{
    uint32_t size = group_size(w->id);
    for (uint64_t n = 1; n <= scaled(OPERATIONS) / size / 2; n++)
        put_group(w->t, w->id, n);
    writer_done();
}

enum { GROUPS = 2 };

/* One after the other: what is read later is not older. */
static void read_groups(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint32_t g = rng_below(&w->rng, GROUPS), size = group_size(g);
        uint64_t first, second;
        uint32_t a = rng_below(&w->rng, size), b = rng_below(&w->rng, size);
        CHECK(row_find(w->t, g * GROUP + a, &first) == XE_OK);
        CHECK(row_find(w->t, g * GROUP + b, &second) == XE_OK);
        CHECK(second >= first);
    }
}

/* All at one instant: all are as old. */
static void read_groups_at_once(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint32_t g = rng_below(&w->rng, GROUPS);
        struct row rows[SHORT];
        struct xe_key keys[SHORT];
        struct xe_view views[SHORT];
        bool found[SHORT];
        for (uint32_t i = 0; i < SHORT; i++) {
            row_make(&rows[i], w->t, g * GROUP + rng_below(&w->rng, group_size(g)), 0);
            xe_key_init(&keys[i], xe_table_seed(w->t), rows[i].bytes, 8, NULL, 0);
        }
        struct xe_epoch_slot *slot = xe_epoch_enter();
        if (xe_table_find_many(w->t, keys, SHORT, views, found) == XE_OK)
            for (uint32_t i = 0; i < SHORT; i++) {
                CHECK(found[i]);
                CHECK(count_in(&views[i]) == count_in(&views[0]));
            }
        xe_epoch_leave(slot);
    }
}

static void bystander(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint64_t key = 50000 + rng_below(&w->rng, 2000);
        if (rng_chance(&w->rng, 1, 2))
            CHECK(row_put(w->t, key, 1, XE_PUT) == XE_OK);
        else
            row_remove(w->t, key);
    }
}

static void g2_nobody_sees_a_part_of_a_list(void **state)
{
    (void)state;
    struct xe_table *t = table_new(32, false);
    for (uint32_t g = 0; g < GROUPS; g++)
        put_group(t, g, 0);
    for (uint32_t g = 0; g < GROUPS; g++)
        add_worker(t, write_groups, true);
    add_worker(t, read_groups, false);
    add_worker(t, read_groups, false);
    add_worker(t, read_groups_at_once, false);
    add_worker(t, bystander, false);
    run_workers();
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* Lists of new objects: one of those who insert the same list wins. */
enum { CONTESTED = 40, ROUNDS_OF_NEW = 10000 };
static _Atomic uint32_t winners[ROUNDS_OF_NEW];

static void insert_lists(struct worker *w)
{
    static _Thread_local struct row rows[CONTESTED];
    struct xe_prepared *p = malloc(CONTESTED * sizeof *p);
    uint32_t rounds = OPERATIONS / 100;
    CHECK(p != NULL && rounds <= ROUNDS_OF_NEW);
    for (uint32_t n = 0; n < rounds; n++) {
        enum xe_status status;
        for (uint32_t i = 0; i < CONTESTED; i++) {
            /* Each from another end. */
            uint32_t k = w->id % 2 ? i : CONTESTED - 1 - i;
            row_make(&rows[i], w->t, (uint64_t)n * CONTESTED + k, w->id);
            CHECK(xe_record_prepare(xe_table_seed(w->t), &rows[i].o, &p[i]) == XE_OK);
        }
        do {
            struct xe_epoch_slot *slot = xe_epoch_enter();
            status = xe_table_put_many(w->t, slot, p, CONTESTED, XE_PUT_NEW, false);
            xe_epoch_leave(slot);
        } while (status == XE_RETRY && sched_yield() == 0);
        CHECK(status == XE_OK || status == XE_EXISTS);
        if (status == XE_OK)
            CHECK(atomic_exchange(&winners[n], w->id + 1) == 0);
        uint64_t by, first = 0;
        for (uint32_t k = 0; k < CONTESTED; k++) {
            CHECK(row_find(w->t, (uint64_t)n * CONTESTED + k, &by) == XE_OK);
            CHECK(k == 0 || by == first);
            first = by;
        }
        CHECK(status != XE_OK || first == w->id);
    }
    free(p);
    writer_done();
}

static void g2_of_equal_lists_of_new_objects_one_is_stored(void **state)
{
    (void)state;
    struct xe_table *t = table_new(32, false);
    for (uint32_t i = 0; i < 3; i++)
        add_worker(t, insert_lists, true);
    run_workers();
    assert_int_equal(stats_of(t).objects, OPERATIONS / 100 * CONTESTED);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* stress_batch [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(g2_nobody_sees_a_part_of_a_list),
        TEST(g2_of_equal_lists_of_new_objects_one_is_stored),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("lists, stress", tests, NULL, NULL);
}
