/*
 * test_pages.c - what pages.h promises, with the walker after every step that
 * may break something.
 *
 * Every allocation is stamped at both ends of each granule, so that two that
 * overlap are found out; AddressSanitizer knows which granules are free.
 *
 * test_pages [seed]
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "pages.h"

enum { KIB = 1024, MIB = 1024 * 1024, AREA = 2 * MIB, SMALL_MAX = AREA / 2 };

static uint64_t seed = 1;

static uint64_t next_random(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int tear_down(void **state)
{
    (void)state;
    xe_pages_set_failure(NULL);
    xe_pages_shutdown();
    return 0;
}

/* --- Stamped allocations ------------------------------------------------- */

struct piece {
    unsigned char *p;
    size_t got;
    uint64_t stamp;
};

static void stamp(struct piece *x, uint64_t value)
{
    x->stamp = value;
    for (size_t i = 0; i < x->got; i += XE_PAGES_GRANULE) {
        memcpy(x->p + i, &value, 8);
        memcpy(x->p + i + XE_PAGES_GRANULE - 8, &value, 8);
    }
}

static bool is_intact(const struct piece *x)
{
    for (size_t i = 0; i < x->got; i += XE_PAGES_GRANULE)
        if (xe_load64(x->p + i) != x->stamp ||
            xe_load64(x->p + i + XE_PAGES_GRANULE - 8) != x->stamp)
            return false;
    return true;
}

static bool take(struct piece *x, size_t bytes, uint64_t value)
{
    x->p = xe_pages_alloc(bytes, &x->got);
    if (x->p == NULL)
        return false;
    stamp(x, value);
    return true;
}

static void give(struct piece *x)
{
    xe_pages_free(x->p, x->got);
    x->p = NULL;
}

static struct xe_pages_stats stats(void)
{
    struct xe_pages_stats s;
    xe_pages_stats(&s);
    return s;
}

/* 9-64 KiB mostly, as images are; some small ones; now and then a large one. */
static size_t random_size(uint64_t *s)
{
    uint64_t r = next_random(s);
    switch (r % 16) {
    case 0:
        return 1 + (r >> 8) % (1100 * KIB);
    case 1:
    case 2:
        return 1 + (r >> 8) % (4 * KIB);
    default:
        return 9 * KIB + (r >> 8) % (55 * KIB);
    }
}

/* --- Single allocations -------------------------------------------------- */

static void a_size_is_rounded_up_to_granules(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,        1,         511,           512,       513,
                                   9 * KIB,  64 * KIB,  SMALL_MAX - 1, SMALL_MAX, SMALL_MAX + 1,
                                   5 * MIB,  5 * MIB + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct piece x;
        assert_true(take(&x, sizes[i], i));
        assert_true(x.got >= sizes[i] && x.got > 0);
        assert_true(x.got % XE_PAGES_GRANULE == 0);
        assert_true((uintptr_t)x.p % XE_CACHE_LINE == 0);
        assert_true(sizes[i] > SMALL_MAX || x.got < sizes[i] + XE_PAGES_GRANULE + (sizes[i] == 0));
        assert_true(stats().used == x.got);
        assert_true(xe_pages_is_valid());
        give(&x);
        assert_true(stats().used == 0);
        assert_true(xe_pages_is_valid());
    }
}

static void an_absurd_size_is_refused(void **state)
{
    (void)state;
    size_t got;
    assert_null(xe_pages_alloc(SIZE_MAX, &got));
    assert_null(xe_pages_alloc(SIZE_MAX - 4096, &got));
    assert_null(xe_pages_alloc(SIZE_MAX / 2, &got));
    assert_true(stats().used == 0);
}

static void the_lowest_hole_that_fits_is_taken(void **state)
{
    (void)state;
    struct piece x[8], y;
    for (size_t i = 0; i < 8; i++)
        assert_true(take(&x[i], 10 * KIB, i));
    for (size_t i = 1; i < 8; i++)
        assert_ptr_equal(x[i].p, x[i - 1].p + 10 * KIB);
    unsigned char *low = x[2].p, *high = x[5].p;
    give(&x[5]);
    give(&x[2]);
    assert_true(take(&y, 9 * KIB, 100));
    assert_ptr_equal(y.p, low);
    assert_true(take(&x[5], 10 * KIB, 101));
    assert_ptr_equal(x[5].p, high);
    assert_true(take(&x[2], KIB, 102));
    assert_ptr_equal(x[2].p, low + 9 * KIB);
    give(&y);
    for (size_t i = 0; i < 8; i++)
        give(&x[i]);
    assert_true(xe_pages_is_valid());
}

static void neighbouring_holes_become_one(void **state)
{
    (void)state;
    static const size_t orders[][3] = {{2, 3, 4}, {4, 3, 2}, {2, 4, 3}, {3, 2, 4}};
    for (size_t k = 0; k < 4; k++) {
        struct piece x[7], y;
        for (size_t i = 0; i < 7; i++)
            assert_true(take(&x[i], 33 * KIB, i));
        unsigned char *at = x[2].p;
        for (size_t i = 0; i < 3; i++) {
            give(&x[orders[k][i]]);
            assert_true(xe_pages_is_valid());
        }
        assert_true(take(&y, 99 * KIB, 100));
        assert_ptr_equal(y.p, at);
        assert_true(is_intact(&x[1]) && is_intact(&x[5]));
        give(&y);
        give(&x[0]), give(&x[1]), give(&x[5]), give(&x[6]);
    }
}

static void an_area_is_used_to_the_last_granule(void **state)
{
    (void)state;
    enum { N = 2 * AREA / (64 * KIB) };
    struct piece x[N];
    for (size_t i = 0; i < N; i++)
        assert_true(take(&x[i], 64 * KIB, i));
    for (size_t i = 1; i < N / 2; i++)
        assert_ptr_equal(x[i].p, x[0].p + i * 64 * KIB);
    assert_true(stats().mapped == 2 * AREA);
    for (size_t i = 0; i < N; i++)
        assert_true(is_intact(&x[i]));
    for (size_t i = 0; i < N; i++)
        give(&x[i]);
    assert_true(xe_pages_is_valid());
}

/* --- Giving back --------------------------------------------------------- */

static void only_touched_pages_count_as_mapped(void **state)
{
    (void)state;
    struct piece x;
    assert_true(stats().mapped == 0);
    assert_true(take(&x, 10 * KIB, 1));
    assert_true(stats().mapped == 12 * KIB);
    give(&x);
    assert_true(take(&x, 5 * MIB, 2));
    assert_true(stats().mapped == 12 * KIB + 5 * MIB);
    give(&x);
    assert_true(stats().mapped == 12 * KIB);
}

static void empty_areas_are_unmapped_but_one(void **state)
{
    (void)state;
    enum { N = 1024 };
    struct piece x[N];
    for (size_t i = 0; i < N; i++)
        assert_true(take(&x[i], 64 * KIB, i));
    assert_true(stats().mapped >= 64 * MIB);
    for (size_t i = 0; i < N; i++) {
        assert_true(is_intact(&x[i]));
        give(&x[i]);
        if (i % 64 == 0)
            assert_true(xe_pages_is_valid());
    }
    assert_true(stats().used == 0);
    assert_true(stats().mapped <= AREA);
}

static void holes_of_sparse_areas_are_given_back(void **state)
{
    (void)state;
    enum { N = 2000 };
    static struct piece x[N];
    uint64_t s = seed;
    for (size_t i = 0; i < N; i++)
        assert_true(take(&x[i], 9 * KIB + next_random(&s) % (55 * KIB), i));
    size_t before = stats().mapped;
    assert_true(stats().used > before * 9 / 10);
    for (size_t i = 0; i < N; i++) {
        if (next_random(&s) % 10 != 0)
            give(&x[i]);
        if (i % 100 == 0)
            assert_true(xe_pages_is_valid());
    }
    assert_true(xe_pages_is_valid());
    assert_true(stats().used < before * 15 / 100);
    assert_true(stats().mapped < before * 25 / 100);
    for (size_t i = 0; i < N; i++) {
        if (x[i].p == NULL)
            continue;
        assert_true(is_intact(&x[i]));
        give(&x[i]);
    }
    assert_true(stats().used == 0 && stats().mapped <= AREA);
}

/* Pages of [p, p + bytes) that the system has given. */
static size_t resident(unsigned char *p, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;
    static unsigned char in_core[AREA / 4096];
    assert_int_equal(mincore(p, bytes, in_core), 0);
    for (size_t i = 0; i < bytes / page; i++)
        n += in_core[i] & 1;
    return n * page;
}

static void what_is_given_back_is_no_longer_resident(void **state)
{
    (void)state;
    enum { N = AREA / (64 * KIB) };
    struct piece x[N];
    for (size_t i = 0; i < N; i++)
        assert_true(take(&x[i], 64 * KIB, i));
    assert_true(resident(x[0].p, AREA) == AREA);
    for (size_t i = 1; i < N - 1; i++)
        give(&x[i]);
    assert_true(resident(x[0].p, AREA) == stats().mapped);
    assert_true(stats().mapped < AREA / 4);
    assert_true(is_intact(&x[0]) && is_intact(&x[N - 1]));
    give(&x[0]);
    give(&x[N - 1]);
}

static void a_table_that_stays_the_same_size_gives_nothing_back(void **state)
{
    (void)state;
    enum { N = 1000 };
    static struct piece x[N];
    uint64_t s = seed;
    size_t fallen = 0;
    for (size_t i = 0; i < N; i++)
        assert_true(take(&x[i], 9 * KIB + next_random(&s) % (55 * KIB), i));
    for (size_t i = 0; i < 20 * N; i++) {
        struct piece *old = &x[next_random(&s) % N], fresh;
        assert_true(take(&fresh, 9 * KIB + next_random(&s) % (55 * KIB), i));
        assert_true(is_intact(old));
        size_t before = stats().mapped;
        give(old);
        *old = fresh;
        fallen += stats().mapped < before;
    }
    /* What would be given back would have to be asked for again. */
    assert_true(fallen < N / 100);
    for (size_t i = 0; i < N; i++)
        give(&x[i]);
}

/* --- A long random life --------------------------------------------------- */

static void random_operations_keep_everything_valid(void **state)
{
    (void)state;
    enum { N = 600, OPS = 15000 };
    static struct piece x[N];
    uint64_t s = seed;
    size_t used = 0;
    memset(x, 0, sizeof x);
    for (size_t i = 0; i < OPS; i++) {
        struct piece *one = &x[next_random(&s) % N];
        /* The population swells and shrinks. */
        bool grow = (i / 2000) % 2 == 0 ? next_random(&s) % 4 != 0 : next_random(&s) % 4 == 0;
        if (one->p != NULL && !grow) {
            assert_true(is_intact(one));
            used -= one->got;
            give(one);
        } else if (one->p == NULL && grow) {
            assert_true(take(one, random_size(&s), i));
            used += one->got;
        }
        assert_true(stats().used == used);
        if (i % 64 == 0)
            assert_true(xe_pages_is_valid());
    }
    for (size_t i = 0; i < N; i++)
        if (x[i].p != NULL)
            give(&x[i]);
    assert_true(xe_pages_is_valid());
    assert_true(stats().used == 0);
}

/* --- Failing allocations -------------------------------------------------- */

static _Atomic uint32_t asked, fail_at;

static bool fail_once(void)
{
    return ++asked == fail_at;
}

static bool fail_always(void)
{
    return true;
}

static uint64_t fail_seed;

static bool fail_sometimes(void)
{
    return next_random(&fail_seed) % 8 == 0;
}

static void a_failure_leaves_everything_as_it_was(void **state)
{
    (void)state;
    enum { N = 40 };
    for (uint32_t at = 1; at < 60; at++) {
        struct piece x[N];
        asked = 0;
        fail_at = at;
        xe_pages_set_failure(fail_once);
        for (size_t i = 0; i < N; i++) {
            struct xe_pages_stats before = stats();
            uint32_t was = asked;
            if (!take(&x[i], i % 8 == 7 ? 3 * MIB : 64 * KIB, i)) {
                assert_true(was < at && asked >= at);
                assert_true(stats().used == before.used && stats().mapped == before.mapped);
            }
            assert_true(xe_pages_is_valid());
        }
        xe_pages_set_failure(NULL);
        for (size_t i = 0; i < N; i++) {
            if (x[i].p == NULL)
                continue;
            assert_true(is_intact(&x[i]));
            give(&x[i]);
        }
        assert_true(xe_pages_is_valid() && stats().used == 0);
        xe_pages_shutdown();
    }
}

static void nothing_is_handed_out_while_all_fails(void **state)
{
    (void)state;
    struct piece x;
    xe_pages_set_failure(fail_always);
    assert_false(take(&x, 100, 1));
    assert_false(take(&x, 5 * MIB, 1));
    xe_pages_set_failure(NULL);
    assert_true(take(&x, 100, 1));
    give(&x);
}

/* Of two questions, one about an allocation and one about the mapping it needs. */
static bool fail_mapping(void)
{
    return ++asked % 2 == 0;
}

static void *take_two_and_give_one(void *arg)
{
    struct piece *x = arg, y;
    if (!take(&y, SMALL_MAX, 0) || !take(x, SMALL_MAX, 1))
        abort();
    give(&y);
    return NULL;
}

/* Threads get their arenas in turn, so one of two has another than this one. */
static void without_new_areas_the_holes_of_others_are_used(void **state)
{
    (void)state;
    struct piece x[2], y[3];
    for (int i = 0; i < 2; i++) {
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, take_two_and_give_one, &x[i]), 0);
        pthread_join(t, NULL);
    }
    asked = 0;
    xe_pages_set_failure(fail_mapping);
    assert_true(take(&y[0], SMALL_MAX, 2));
    asked = 0;
    assert_true(take(&y[1], SMALL_MAX, 3));
    asked = 0;
    assert_false(take(&y[2], SMALL_MAX, 4));
    for (int i = 0; i < 2; i++) {
        assert_true(is_intact(&x[i]) && is_intact(&y[i]));
        give(&x[i]);
        give(&y[i]);
    }
    assert_true(xe_pages_is_valid());
}

static void random_failures_keep_everything_valid(void **state)
{
    (void)state;
    enum { N = 200, OPS = 10000 };
    static struct piece x[N];
    uint64_t s = seed;
    size_t failed = 0;
    memset(x, 0, sizeof x);
    fail_seed = seed;
    xe_pages_set_failure(fail_sometimes);
    for (size_t i = 0; i < OPS; i++) {
        struct piece *one = &x[next_random(&s) % N];
        if (one->p != NULL) {
            assert_true(is_intact(one));
            give(one);
        } else {
            failed += !take(one, random_size(&s), i);
        }
        if (i % 64 == 0)
            assert_true(xe_pages_is_valid());
    }
    xe_pages_set_failure(NULL);
    assert_true(failed > OPS / 50);
    for (size_t i = 0; i < N; i++)
        if (x[i].p != NULL)
            give(&x[i]);
    assert_true(xe_pages_is_valid() && stats().used == 0);
}

/* --- Threads -------------------------------------------------------------- */

enum { THREADS = 4, SHARED = 256, THREAD_OPS = 4000 };

static struct {
    pthread_mutex_t lock;
    struct piece piece;
} shared[SHARED];

static _Atomic uint32_t broken;

/* Puts its own allocation in the place of another thread's, and frees that. */
static void *exchange(void *arg)
{
    uint64_t s = seed + (uintptr_t)arg;
    for (uint64_t i = 0; i < THREAD_OPS; i++) {
        size_t k = next_random(&s) % SHARED;
        struct piece fresh = {NULL, 0, 0}, old;
        if (next_random(&s) % 8 != 0 &&
            !take(&fresh, random_size(&s), i * THREADS + (uintptr_t)arg))
            abort();
        pthread_mutex_lock(&shared[k].lock);
        old = shared[k].piece;
        shared[k].piece = fresh;
        pthread_mutex_unlock(&shared[k].lock);
        if (old.p != NULL) {
            broken += !is_intact(&old);
            give(&old);
        }
    }
    return NULL;
}

static void one_thread_frees_what_another_took(void **state)
{
    (void)state;
    pthread_t t[THREADS];
    size_t used = 0;
    for (size_t i = 0; i < SHARED; i++)
        pthread_mutex_init(&shared[i].lock, NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, exchange, (void *)i), 0);
    for (int i = 0; i < 200; i++) {
        (void)stats();
        sched_yield();
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(broken, 0);
    assert_true(xe_pages_is_valid());
    for (size_t i = 0; i < SHARED; i++)
        used += shared[i].piece.p != NULL ? shared[i].piece.got : 0;
    assert_true(stats().used == used);
    for (size_t i = 0; i < SHARED; i++) {
        if (shared[i].piece.p != NULL)
            give(&shared[i].piece);
        pthread_mutex_destroy(&shared[i].lock);
    }
    assert_true(xe_pages_is_valid() && stats().used == 0);
}

/* --- Another copy of the library ------------------------------------------ */

static void a_domain_is_adopted_once_and_by_layout(void **state)
{
    (void)state;
    _Alignas(XE_CACHE_LINE) uint64_t other_layout[8] = {UINT64_MAX};
    void *domain = xe_pages_domain();
    assert_non_null(domain);
    assert_true(xe_pages_adopt(domain));
    assert_false(xe_pages_adopt(other_layout));
    assert_false(xe_pages_adopt(NULL));
    assert_ptr_equal(xe_pages_domain(), domain);
}

#define TEST(f) cmocka_unit_test_teardown(f, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_size_is_rounded_up_to_granules),
        TEST(an_absurd_size_is_refused),
        TEST(the_lowest_hole_that_fits_is_taken),
        TEST(neighbouring_holes_become_one),
        TEST(an_area_is_used_to_the_last_granule),
        TEST(only_touched_pages_count_as_mapped),
        TEST(empty_areas_are_unmapped_but_one),
        TEST(holes_of_sparse_areas_are_given_back),
        TEST(what_is_given_back_is_no_longer_resident),
        TEST(a_table_that_stays_the_same_size_gives_nothing_back),
        TEST(random_operations_keep_everything_valid),
        TEST(a_failure_leaves_everything_as_it_was),
        TEST(nothing_is_handed_out_while_all_fails),
        TEST(without_new_areas_the_holes_of_others_are_used),
        TEST(random_failures_keep_everything_valid),
        TEST(one_thread_frees_what_another_took),
        TEST(a_domain_is_adopted_once_and_by_layout),
    };
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %" PRIu64 "\n", seed);
    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
