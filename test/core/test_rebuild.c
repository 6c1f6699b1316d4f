/*
 * test_rebuild.c - what rebuilds are for: segments grow, split, shrink and merge, memory comes
 * back, dead terms go, and equal hashes stay together.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "reclaim.h"
#include "support.h"
#include "table_internal.h"

enum { LIST = 3000 };
static uint32_t list_keys[LIST];
static uint64_t list_values[LIST];

static void shuffle(uint32_t *a, uint32_t n, struct rng *r)
{
    for (uint32_t i = 0; i < n; i++)
        a[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = rng_below(r, i), x = a[i - 1];
        a[i - 1] = a[j];
        a[j] = x;
    }
}

/* --- Growing and shrinking ----------------------------------------------- */

struct walked {
    uint8_t *seen;
    uint32_t n;
};

static void visit(void *arg, const struct xe_view *view)
{
    struct walked *w = arg;
    w->seen[view_key(view) & 0xffffff]++;
    w->n++;
}

static void g4_a_scan_visits_every_object_once(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct xe_table *t = table_new(64, false);
    struct walked w = {.seen = calloc(N, 1)};
    uint64_t position = 0, last = 0;
    fill_table(t, N);
    assert_true(xe_table_segments(t) > N / 64);
    for (bool more = true; more;) {
        more = scan_some(t, &position, XE_CHUNK_MAX, visit, &w);
        assert_true(!more || position > last);
        last = position;
    }
    assert_int_equal(w.n, N);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(w.seen[i], 1);
    free(w.seen);
    xe_table_delete(t);
}

/* Keys that are not there throughout come and go meanwhile: few stay, so that what the scan
 * has behind it and what it has ahead become one segment. */
static void g4_a_scan_goes_on_after_splits_and_merges(void **state)
{
    (void)state;
    enum { N = 300, EXTRA = 9000 };
    struct xe_table *t = table_new(32, false);
    struct walked w = {.seen = calloc(N + EXTRA, 1)};
    uint64_t position = 0;
    uint32_t extra = 0, rounds = 0;
    fill_table(t, N);
    for (bool more = true, adding = true; more; rounds++) {
        more = scan_some(t, &position, XE_CHUNK_MAX, visit, &w);
        while (extra < EXTRA && adding)
            put(t, short_key(N + extra++), small_value(1), XE_PUT);
        while (extra && !adding)
            remove_key(t, short_key(N + --extra));
        adding = !adding;
    }
    assert_true(rounds > 20);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(w.seen[i], 1);
    free(w.seen);
    xe_table_delete(t);
}

/* What is left when everything has been removed: one small image and a few slots. */
static void assert_is_back_at(struct xe_table *t, uint64_t base)
{
    enum { SMALL_IMAGE = 1024, SLOTS = 64 };
    struct xe_table_stats s = stats_of(t);
    assert_true(is_valid(t));
    assert_int_equal(s.objects, 0);
    assert_int_equal(s.segments, 1);
    assert_true(s.image_bytes <= SMALL_IMAGE);
    assert_true(s.bytes <= base + SMALL_IMAGE + SLOTS);
}

static void memory_comes_back_when_all_is_removed_in_any_order(void **state)
{
    (void)state;
    enum { N = 30000 };
    static uint32_t order[N];
    struct rng r = rng_for(12);
    for (uint32_t round = 0; round < 3; round++) {
        struct xe_table *t = table_new(round == 1 ? 16 : 0, false);
        uint64_t base = stats_of(t).bytes;
        fill_table(t, N);
        shuffle(order, N, &r);
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(remove_key(t, short_key(round == 2 ? i : order[i])), XE_OK);
        assert_is_back_at(t, base);
        xe_table_delete(t);
    }
}

struct collect {
    uint32_t *keys;
    uint32_t n;
};

static void collect(void *arg, const struct xe_view *view)
{
    struct collect *c = arg;
    c->keys[c->n++] = view_key(view);
}

/* As a program does that goes over a table and deletes what it finds. */
static void memory_comes_back_when_all_is_removed_in_the_order_of_a_scan(void **state)
{
    (void)state;
    enum { N = 30000 };
    struct collect c = {.keys = malloc(N * sizeof *c.keys)};
    for (int backward = 0; backward < 2; backward++) {
        struct xe_table *t = table_new(64, false);
        uint64_t base = stats_of(t).bytes, position = 0;
        fill_table(t, N);
        c.n = 0;
        while (scan_some(t, &position, XE_CHUNK_MAX, collect, &c))
            ;
        assert_int_equal(c.n, N);
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(remove_key(t, c.keys[backward ? N - 1 - i : i]), XE_OK);
        assert_is_back_at(t, base);
        xe_table_delete(t);
    }
    free(c.keys);
}

/* By single writes, plain ones, and as a list. */
static void memory_comes_back_when_objects_become_smaller(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    for (int way = 0; way < 3; way++) {
        for (uint32_t i = 0; i < LIST; i++) {
            list_keys[i] = short_key(i);
            list_values[i] = VALUE(VALUE_EMPTY, 0);
            put(t, short_key(i), VALUE(VALUE_MEDIUM, i), XE_PUT);
        }
        uint64_t large = stats_of(t).image_bytes;
        for (uint32_t i = 0; i < LIST && way < 2; i++)
            (way ? put_plain : put)(t, list_keys[i], list_values[i], XE_PUT);
        for (uint32_t i = 0; i < LIST && way == 2; i += LIST / 10)
            put_list(t, list_keys + i, list_values + i, LIST / 10, XE_PUT);
        assert_true(stats_of(t).image_bytes < large / 4);
        assert_true(is_valid(t));
    }
    xe_table_delete(t);
}

/* Images that were made for few large objects have bytes for more small ones than a
 * rebuild can take. */
static void small_objects_may_come_in_the_place_of_large_ones(void **state)
{
    (void)state;
    enum { LARGE = 2000, EACH = 28 };
    struct xe_table *t = table_new(XE_SEGMENT_OBJECTS_MAX, false);
    uint32_t n = 0;
    for (uint32_t i = 0; i < LARGE; i++)
        put(t, short_key(i), VALUE(VALUE_MEDIUM, i), XE_PUT);
    for (uint32_t i = 0; i < LARGE; i++) {
        assert_int_equal(put(t, short_key(i), VALUE(VALUE_EMPTY, 0), XE_PUT), XE_OK);
        for (uint32_t j = 0; j < 3; j++)
            xe_epoch_try_advance();
        for (uint32_t j = 0; j < EACH; j++)
            assert_int_equal(put(t, KEY(KEY_WORD, n++), VALUE(VALUE_EMPTY, 0), XE_PUT), XE_OK);
    }
    assert_true(is_valid(t));
    for (uint32_t i = 0; i < n; i += 7)
        assert_int_equal(look(t, KEY(KEY_WORD, i), VALUE(VALUE_EMPTY, 0)), XE_OK);
    xe_table_delete(t);
}

static void deleting_a_few_of_a_small_table_does_not_rebuild_each_time(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    uint32_t rebuilds = 0;
    const void *image = NULL;
    fill_table(t, 60);
    for (uint32_t i = 0; i < 60; i++) {
        struct lookup l;
        struct xe_view view;
        struct xe_version version;
        remove_key(t, short_key(i));
        struct xe_epoch_slot *slot = xe_epoch_enter();
        if (i < 59) {
            lookup_make(&l, xe_table_seed(t), short_key(59));
            assert_int_equal(xe_table_find_version(t, &l.key, &view, &version), XE_OK);
            rebuilds += version.image != image;
            image = version.image;
            lookup_free(&l);
        }
        xe_epoch_leave(slot);
    }
    assert_true(rebuilds <= 8);
    xe_table_delete(t);
}

/* --- Contention ---------------------------------------------------------- */

/* Writes of which each finds the lock taken: they return in time (G6). */
static void fight_for(struct xe_table *t, uint32_t times)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    struct xe_segment *s = xe_segment_acquire(t, 0);
    xe_epoch_leave(slot);
    assert_non_null(s);
    for (uint32_t i = 0; i < times; i++)
        assert_int_equal(put(t, short_key(i), small_value(i), XE_PUT), XE_RETRY);
    xe_lock_release(&s->lock);
}

static void g6_a_segment_that_is_fought_for_splits_and_merges_when_it_is_quiet(void **state)
{
    (void)state;
    enum { N = 60 };
    struct xe_table *t = table_new(0, false);
    fill_table(t, N);
    fight_for(t, 3);
    put(t, short_key(1), small_value(1), XE_PUT);
    assert_int_equal(xe_table_segments(t), 1);
    fight_for(t, 5);
    put(t, short_key(1), small_value(1), XE_PUT);
    assert_int_equal(xe_table_segments(t), 2);
    assert_true(is_valid(t));
    for (uint32_t i = 0; i < 4000; i++)
        put(t, short_key(i % N), small_value(i % N), XE_PUT);
    assert_int_equal(xe_table_segments(t), 1);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(look(t, short_key(i), small_value(i)), XE_OK);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void a_segment_of_few_objects_does_not_split_however_it_is_fought_for(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, true);
    fill_table(t, 2 * XE_SEGMENT_OBJECTS_MIN - 1);
    fight_for(t, 20);
    put(t, short_key(1), small_value(1), XE_PUT);
    assert_int_equal(xe_table_segments(t), 1);
    xe_table_delete(t);
}

/* Without memory for a split the write happens all the same. */
static void g5_contention_without_memory_changes_nothing(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    fill_table(t, 60);
    fight_for(t, 20);
    memory_fail_from(0);
    assert_int_equal(remove_key(t, short_key(1)), XE_OK);
    memory_fail_never();
    assert_int_equal(xe_table_segments(t), 1);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* --- EXT terms ----------------------------------------------------------- */

static void overwriting_terms_does_not_keep_the_old_ones(void **state)
{
    (void)state;
    enum { KEYS = 20, ROUNDS = 300 };
    struct xe_table *t = table_new(0, false);
    struct memory_use use;
    for (uint32_t i = 0; i < KEYS * ROUNDS; i++)
        assert_int_equal(put(t, short_key(i % KEYS), VALUE(VALUE_PIN, i), XE_PUT), XE_OK);
    xe_reclaim_drain();
    memory_in_use(&use);
    /* The live ones, and not more dead ones than pin a MiB: 32 KiB each. */
    assert_true(use.terms < KEYS + (1 << 20) / 32768 * 4);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void removing_terms_does_not_keep_them(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    struct memory_use use;
    for (uint32_t i = 0; i < 3000; i++) {
        assert_int_equal(put(t, short_key(1), VALUE(VALUE_PIN, i), XE_PUT), XE_OK);
        assert_int_equal(remove_key(t, short_key(1)), XE_OK);
    }
    xe_reclaim_drain();
    memory_in_use(&use);
    assert_true(use.terms < 64);
    xe_table_delete(t);
}

/* Keys with the same bytes and other handles have the same hash. */
static void hundreds_of_equal_hashes_in_one_segment_work(void **state)
{
    (void)state;
    enum { N = 700 };
    struct xe_table *t = table_new(0, false);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(put(t, KEY(KEY_TWIN, i), VALUE(VALUE_EMPTY, 0), XE_PUT_NEW), XE_OK);
        assert_int_equal(put(t, short_key(i), small_value(i), XE_PUT_NEW), XE_OK);
    }
    assert_true(is_valid(t));
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(look(t, KEY(KEY_TWIN, i), VALUE(VALUE_EMPTY, 0)), XE_OK);
        assert_int_equal(put(t, KEY(KEY_TWIN, i), small_value(i), XE_PUT), XE_OK);
    }
    for (uint32_t i = 0; i < N; i += 2)
        assert_int_equal(remove_key(t, KEY(KEY_TWIN, i)), XE_OK);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(look(t, KEY(KEY_TWIN, i), small_value(i)), i % 2 ? XE_OK : XE_ABSENT);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* Their buckets are all chained to one, which takes of the room that was meant for records. */
static void a_chain_of_equal_hashes_leaves_room_for_one_more(void **state)
{
    (void)state;
    struct rng r = rng_for(13);
    for (uint32_t n = 20; n < 80; n++) {
        struct xe_table *t = table_new(16, false);
        /* Small tables have more room. */
        put(t, short_key(1), VALUE(VALUE_GIANT, 1), XE_PUT);
        put(t, short_key(2), VALUE(VALUE_GIANT, 2), XE_PUT);
        for (uint32_t i = 0; i < 20 * n; i++) {
            uint32_t key = KEY(KEY_TWIN, rng_below(&r, n));
            uint64_t value = VALUE(rng_chance(&r, 1, 2) ? VALUE_TERMS : VALUE_PIN_LARGE, i);
            if (rng_chance(&r, 1, 5))
                remove_key(t, key);
            else
                assert_int_equal(put(t, key, value, XE_PUT), XE_OK);
        }
        xe_table_delete(t);
    }
}

static void too_many_equal_hashes_are_a_limit_and_change_nothing(void **state)
{
    (void)state;
    enum { N = 6000 };
    struct xe_table *t = table_new(0, false);
    uint32_t n = 0;
    enum xe_status status;
    while ((status = put(t, KEY(KEY_TWIN, n), VALUE(VALUE_EMPTY, 0), XE_PUT_NEW)) == XE_OK)
        assert_true(++n < N);
    assert_int_equal(status, XE_LIMIT);
    assert_true(n >= 1000);
    assert_true(is_valid(t));
    for (uint32_t i = 0; i < LIST; i++) {
        list_keys[i] = KEY(KEY_TWIN, N + i);
        list_values[i] = VALUE(VALUE_EMPTY, 0);
    }
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT), XE_LIMIT);
    assert_true(is_valid(t));
    assert_int_equal(stats_of(t).objects, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(remove_key(t, KEY(KEY_TWIN, i)), XE_OK);
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT), XE_LIMIT);
    assert_int_equal(put_list(t, list_keys, list_values, 1000, XE_PUT), XE_OK);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* test_rebuild [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(g4_a_scan_visits_every_object_once),
        TEST(g4_a_scan_goes_on_after_splits_and_merges),
        TEST(memory_comes_back_when_all_is_removed_in_any_order),
        TEST(memory_comes_back_when_all_is_removed_in_the_order_of_a_scan),
        TEST(memory_comes_back_when_objects_become_smaller),
        TEST(small_objects_may_come_in_the_place_of_large_ones),
        TEST(deleting_a_few_of_a_small_table_does_not_rebuild_each_time),
        TEST(g6_a_segment_that_is_fought_for_splits_and_merges_when_it_is_quiet),
        TEST(a_segment_of_few_objects_does_not_split_however_it_is_fought_for),
        TEST(g5_contention_without_memory_changes_nothing),
        TEST(overwriting_terms_does_not_keep_the_old_ones),
        TEST(removing_terms_does_not_keep_them),
        TEST(hundreds_of_equal_hashes_in_one_segment_work),
        TEST(a_chain_of_equal_hashes_leaves_room_for_one_more),
        TEST(too_many_equal_hashes_are_a_limit_and_change_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
}
