/*
 * stress_log.c - tables with a log under many threads: whoever has seen a change publishes with a
 * larger number (W1), and the log made again gives the table (W2), whatever the threads did at the
 * same time.
 *
 * Each object says which write it came from. So who reads it knows that write, and afterwards its
 * own number can be compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "order.h"
#include "stress.h"
#include "support_bag.h"
#include "support_log.h"
#include "support_snapshot.h"
#include "table_internal.h"

enum { WRITERS = 3, KEYS = 8, LIST = 5 };

static struct log the_log;
static _Atomic uint64_t *numbers; /* of writes, plus one; by the identifier of the write */
static _Atomic uint32_t next_id;

static uint32_t ids_of(uint32_t writes)
{
    return writes * WRITERS * LIST;
}

/* The identifier of the write that an object came from. */
static uint32_t id_in(const uint8_t *bytes, size_t klen)
{
    uint64_t id;
    memcpy(&id, bytes + klen, sizeof id);
    return (uint32_t)id;
}

static void note_numbers(struct log *log, const struct logged *l, uint64_t number)
{
    (void)log;
    for (uint32_t i = 0; l->op == XE_LOG_PUT && i < l->n; i++)
        atomic_store(&numbers[id_in(l->objects[i].bytes, l->objects[i].klen)], number + 1);
}

/* An object of 8 bytes that are an identifier. */
struct thing {
    uint8_t bytes[16 + XE_READ_SLACK];
    struct xe_object o;
};

static void thing_make(struct thing *x, uint64_t key, uint32_t id)
{
    memset(x, 0, sizeof *x);
    uint64_t word = __builtin_bswap64(key), value = id;
    memcpy(x->bytes, &word, 8);
    memcpy(x->bytes + 8, &value, 8);
    x->o = (struct xe_object){.bytes = x->bytes, .klen = 8, .len = 16,
                              .identity = XXH3_64bits(x->bytes, 16)};
}

/* The newest write that can be seen of a key. */
static uint32_t see(struct xe_table *t, uint64_t key)
{
    struct thing x;
    struct xe_prepared p;
    struct xe_run run;
    struct xe_view view;
    uint32_t id = 0;
    thing_make(&x, key, 0);
    CHECK(xe_table_prepare(t, &x.o, &p) == XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    if (xe_kind_is_bag(t->kind)) {
        xe_run_begin(&run);
        if (xe_bag_find(t, slot, &p.key, UINT32_MAX, true, &run) == XE_OK) {
            xe_record_view(run.at[run.n - 1].rec, &view);
            id = id_in(view.key, view.klen);
        }
        xe_run_end(&run);
    } else if (xe_table_find(t, &p.key, &view) == XE_OK) {
        id = id_in(view.key, view.klen);
    }
    xe_epoch_leave(slot);
    return id;
}

static enum xe_status write_things(struct xe_table *t, struct thing *things, uint32_t n)
{
    struct xe_prepared p[LIST];
    for (uint32_t i = 0; i < n; i++)
        CHECK(xe_table_prepare(t, &things[i].o, &p[i]) == XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status;
    if (n > 1)
        status = xe_table_put_many(t, slot, p, n, XE_PUT, true);
    else if (xe_kind_is_bag(t->kind))
        status = xe_bag_put(t, slot, p, XE_PUT, true);
    else
        status = xe_table_put(t, slot, p, XE_PUT);
    xe_epoch_leave(slot);
    return status;
}

static void put_some(struct worker *w)
{
    struct thing things[LIST];
    uint64_t key = rng_below(&w->rng, KEYS);
    uint32_t n = rng_chance(&w->rng, 1, 3) ? 2 + rng_below(&w->rng, LIST - 1) : 1;
    uint32_t seen = see(w->t, key), first = atomic_fetch_add(&next_id, n);
    for (uint32_t i = 0; i < n; i++)
        thing_make(&things[i], i ? rng_below(&w->rng, KEYS) : key, first + i);
    while (write_things(w->t, things, n) == XE_RETRY)
        sched_yield();
    uint64_t mine = atomic_load(&numbers[first]);
    CHECK(mine != 0);
    if (seen)
        CHECK(atomic_load(&numbers[seen]) < mine);
}

static void remove_some(struct worker *w)
{
    struct thing x;
    struct xe_prepared p;
    struct xe_view view;
    uint64_t key = rng_below(&w->rng, KEYS);
    uint32_t seen = see(w->t, key), d = rng_below(&w->rng, 100);
    thing_make(&x, key, seen);
    CHECK(xe_table_prepare(w->t, &x.o, &p) == XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    if (d == 0)
        xe_table_clear(w->t, slot, NULL);
    else if (w->t->kind == XE_ORDERED && d < 50)
        xe_order_pop(w->t, slot, d < 25, &view);
    else if (!xe_kind_is_bag(w->t->kind))
        xe_table_remove(w->t, slot, &p.key, NULL, NULL);
    else if (d < 3)
        xe_bag_take(w->t, slot, &p.key, UINT32_MAX, NULL, NULL, true, NULL);
    else
        xe_bag_remove(w->t, slot, &p, true, NULL);
    xe_epoch_leave(slot);
}

static uint32_t n_writes(void)
{
    return scaled(OPERATIONS) / 20;
}

static void work(struct worker *w)
{
    for (uint32_t i = n_writes(); i--;)
        if (rng_chance(&w->rng, 1, 6))
            remove_some(w);
        else
            put_some(w);
    writer_done();
}

static void run_kind(enum xe_kind kind)
{
    struct xe_table *t = kind_new(kind, 16), *again;
    uint32_t n = ids_of(n_writes());
    next_id = 1;
    CHECK(numbers = calloc(n + 1, sizeof *numbers));
    log_start(&the_log, t, (uint64_t)n_writes() * WRITERS);
    the_log.seen = note_numbers;
    for (int i = 0; i < WRITERS; i++)
        add_worker(t, work, true);
    run_workers();
    again = kind_new(kind, 0);
    log_replay(&the_log, the_log.n, again);
    assert_true(same_objects(t, again));
    assert_true(is_valid(t) && is_valid(again));
    assert_true(the_log.n > n_writes());
    xe_table_delete(t);
    xe_table_delete(again);
    xe_reclaim_drain();
    log_free(&the_log);
    free(numbers);
}

static void w1_w2_of_a_set(void **state)
{
    (void)state;
    run_kind(XE_SET);
}

static void w1_w2_of_a_bag(void **state)
{
    (void)state;
    run_kind(XE_BAG);
}

static void w1_w2_of_a_duplicate_bag(void **state)
{
    (void)state;
    run_kind(XE_DUPLICATE_BAG);
}

static void w1_w2_of_an_ordered_set(void **state)
{
    (void)state;
    run_kind(XE_ORDERED);
}

/* stress_log [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(w1_w2_of_a_set),
        TEST(w1_w2_of_a_bag),
        TEST(w1_w2_of_a_duplicate_bag),
        TEST(w1_w2_of_an_ordered_set),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("logs, stress", tests, NULL, NULL);
}
