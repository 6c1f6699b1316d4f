/*
 * test_batch.c - list writes, by what table.h promises.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support.h"
#include "table_internal.h"

enum { LIST = 3000 };
static uint32_t list_keys[LIST];
static uint64_t list_values[LIST];

static void g2_of_equal_keys_in_a_list_the_last_wins(void **state)
{
    (void)state;
    struct xe_table *t = table_new(64, false);
    for (uint32_t i = 0; i < LIST; i++) {
        list_keys[i] = KEY(i % 4 == 0 ? KEY_TWIN : KEY_SHORT, i % 100);
        list_values[i] = VALUE(i % 7 == 0 ? VALUE_LARGE : VALUE_SMALL, i);
    }
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT), XE_OK);
    for (uint32_t i = LIST - 100; i < LIST; i++)
        assert_int_equal(look(t, list_keys[i], list_values[i]), XE_OK);
    assert_int_equal(stats_of(t).objects, 100);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void g2_who_meets_a_list_write_retries(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    struct lookup l;
    struct xe_view view;
    bool found;
    put(t, short_key(1), small_value(1), XE_PUT);
    lookup_make(&l, xe_table_seed(t), short_key(1));
    struct xe_epoch_slot *slot = xe_epoch_enter();
    atomic_fetch_add(&t->batch, 1);
    assert_int_equal(xe_table_find(t, &l.key, &view), XE_RETRY);
    assert_int_equal(xe_table_find_many(t, &l.key, 1, &view, &found), XE_RETRY);
    atomic_fetch_add(&t->batch, 1);
    assert_int_equal(xe_table_find(t, &l.key, &view), XE_OK);
    xe_epoch_leave(slot);
    lookup_free(&l);
    xe_table_delete(t);
}

static void g6_a_list_write_that_does_not_get_a_lock_changes_nothing(void **state)
{
    (void)state;
    struct xe_table *t = table_new(16, false);
    fill_table(t, 100);
    for (uint32_t i = 0; i < LIST; i++) {
        list_keys[i] = short_key(i);
        list_values[i] = VALUE(i % 10 ? VALUE_SMALL : VALUE_LARGE, 1000 + i);
    }
    uint64_t bytes = stats_of(t).bytes;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    struct xe_segment *s = xe_segment_acquire(t, UINT64_MAX);
    xe_epoch_leave(slot);
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT), XE_RETRY);
    xe_lock_release(&s->lock);
    assert_true(xe_lock_try(&t->list_lock));
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT), XE_RETRY);
    xe_lock_release(&t->list_lock);
    assert_int_equal(stats_of(t).bytes, bytes);
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(look(t, short_key(i), small_value(i)), i < 100 ? XE_OK : XE_ABSENT);
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT), XE_OK);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void a_list_of_new_objects_is_stored_whole_or_not_at_all(void **state)
{
    (void)state;
    struct xe_table *t = table_new(64, false);
    for (uint32_t i = 0; i < LIST; i++) {
        list_keys[i] = short_key(i);
        list_values[i] = VALUE(i % 50 == 0  ? VALUE_LARGE
                               : i % 9 == 0 ? VALUE_TERMS
                                            : VALUE_SMALL,
                               i);
    }
    put(t, short_key(LIST / 2), small_value(1), XE_PUT);
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT_NEW), XE_EXISTS);
    assert_int_equal(stats_of(t).objects, 1);
    remove_key(t, short_key(LIST / 2));
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT_NEW), XE_OK);
    for (uint32_t i = 0; i < LIST; i++)
        assert_int_equal(look(t, list_keys[i], list_values[i]), XE_OK);
    assert_int_equal(stats_of(t).objects, LIST);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void a_list_may_be_empty(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    assert_int_equal(put_list(t, NULL, NULL, 0, XE_PUT), XE_OK);
    assert_int_equal(put_list(t, NULL, NULL, 0, XE_PUT_NEW), XE_OK);
    xe_table_delete(t);
}

/* What records take of the images. */
static uint64_t units_taken(struct xe_table *t)
{
    uint64_t position = 0, sum = 0;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    do {
        const struct xe_segment *s = xe_directory_find(t, position);
        sum += xe_segment_image(s)->top;
        position = s->hi + 1;
    } while (position);
    xe_epoch_leave(slot);
    return sum;
}

static void a_list_that_fails_gives_back_the_room_it_took(void **state)
{
    (void)state;
    enum { N = 20 };
    struct xe_table *t = table_new(16, false);
    fill_table(t, 200);
    uint64_t before = units_taken(t);
    /* The environment for the one term cannot be had, wherever in the list it is. */
    memory_fail_from(0);
    for (uint32_t term = 0; term < N; term++) {
        for (uint32_t i = 0; i < N; i++) {
            list_keys[i] = short_key(i);
            list_values[i] = VALUE(i == term ? VALUE_TERMS : VALUE_SMALL, 1000 + i);
        }
        assert_int_equal(put_list(t, list_keys, list_values, N, XE_PUT), XE_NOMEM);
        assert_int_equal(units_taken(t), before);
    }
    memory_fail_never();
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(look(t, short_key(i), small_value(i)), XE_OK);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void a_write_that_fails_gives_back_the_room_it_took(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    struct object x;
    struct xe_prepared p;
    fill_table(t, 10);
    uint64_t before = units_taken(t);
    object_make(&x, short_key(3), VALUE(VALUE_TERMS, 1));
    assert_int_equal(xe_record_prepare(xe_table_seed(t), &x.o, &p), XE_OK);
    memory_fail_from(0);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_put(t, slot, &p, XE_PUT), XE_NOMEM);
    xe_epoch_leave(slot);
    memory_fail_never();
    assert_int_equal(units_taken(t), before);
    object_free(&x);
    xe_table_delete(t);
}

static void lists_overwrite_and_add(void **state)
{
    (void)state;
    struct xe_table *t = table_new(64, false);
    struct rng r = rng_for(11);
    static uint64_t now[LIST];
    for (uint32_t round = 0; round < 30; round++) {
        uint32_t n = 1 + rng_below(&r, round % 3 ? 20 : 600);
        for (uint32_t i = 0; i < n; i++) {
            list_keys[i] = short_key(rng_below(&r, LIST));
            list_values[i] = VALUE(rng_below(&r, VALUE_KINDS), round * LIST + i);
            if (list_values[i] >> 56 == VALUE_GIANT)
                list_values[i] = small_value(i);
        }
        assert_int_equal(put_list(t, list_keys, list_values, n, XE_PUT), XE_OK);
        for (uint32_t i = 0; i < n; i++)
            now[list_keys[i]] = list_values[i] + 1;
        assert_true(is_valid(t));
    }
    for (uint32_t k = 0; k < LIST; k++)
        assert_int_equal(look(t, k, now[k] - 1), now[k] ? XE_OK : XE_ABSENT);
    xe_table_delete(t);
}

/* test_batch [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(g2_of_equal_keys_in_a_list_the_last_wins),
        TEST(g2_who_meets_a_list_write_retries),
        TEST(g6_a_list_write_that_does_not_get_a_lock_changes_nothing),
        TEST(a_list_of_new_objects_is_stored_whole_or_not_at_all),
        TEST(a_list_may_be_empty),
        TEST(a_list_that_fails_gives_back_the_room_it_took),
        TEST(a_write_that_fails_gives_back_the_room_it_took),
        TEST(lists_overwrite_and_add),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("lists", tests, NULL, NULL);
}
