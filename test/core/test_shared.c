/*
 * test_shared.c - the counters that all copies of the library share.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared.h"
#include "table.h"

enum { THREADS = 4, TAKES = 20000 };

static void a_number_is_taken_once(void **state)
{
    (void)state;
    uint64_t first = xe_core_sequence(5, 3);
    assert_int_equal(xe_core_sequence(5, 1), first + 3);
    assert_int_equal(xe_core_sequence(5 + XE_SHARED_STRIPES, 1), first + 4);
    assert_int_equal(xe_core_sequence(5, 0), first + 5);
}

static void stripes_count_by_themselves(void **state)
{
    (void)state;
    uint64_t first = xe_core_sequence(7, 1);
    xe_core_sequence(8, 100);
    assert_int_equal(xe_core_sequence(7, 0), first + 1);
}

static void *take_many(void *arg)
{
    uint64_t *last = arg;
    for (int i = 0; i < TAKES; i++) {
        uint64_t n = xe_core_sequence(9, 1);
        if (i > 0 && n <= *last)
            return NULL;
        *last = n;
    }
    return arg;
}

static void threads_take_each_number_once(void **state)
{
    (void)state;
    pthread_t thread[THREADS];
    uint64_t last[THREADS], first = xe_core_sequence(9, 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, take_many, &last[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        void *in_order;
        pthread_join(thread[i], &in_order);
        assert_non_null(in_order);
    }
    assert_int_equal(xe_core_sequence(9, 0), first + (uint64_t)THREADS * TAKES);
}

/* Last: afterwards this program counts in another place. */
static void counters_are_adopted_once_and_by_layout(void **state)
{
    (void)state;
    static struct xe_core_shared first, second, other_layout;
    struct xe_core_shared *own = xe_core_domain();
    first.version = second.version = own->version;
    other_layout.version = own->version + 1;
    first.bytes = 4711;
    assert_false(xe_core_adopt(NULL));
    assert_false(xe_core_adopt(&other_layout));
    assert_ptr_equal(xe_core_domain(), own);
    assert_true(xe_core_adopt(&first));
    assert_true(xe_core_adopt(&first));
    assert_false(xe_core_adopt(&second));
    assert_ptr_equal(xe_core_domain(), &first);
    xe_core_account(-11);
    assert_int_equal(xe_table_bytes_all(), 4700);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_taken_once),
        cmocka_unit_test(stripes_count_by_themselves),
        cmocka_unit_test(threads_take_each_number_once),
        cmocka_unit_test(counters_are_adopted_once_and_by_layout),
    };
    return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
