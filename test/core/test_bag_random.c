/*
 * test_bag_random.c - random operations on bags beside a model: with memory, and with allocations
 * that fail.
 *
 * The model is the list of each key's values in the order of their insertion. Keys are few, so
 * that groups are from one object to thousands. XETS_STEPS sets the operations of a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "reclaim.h"
#include "support_bag.h"

enum {
    KEYS = 60,
    BIG_KEYS = 4, /* of them, those with large groups */
    POOL = 2500,  /* values */
#ifdef __SANITIZE_ADDRESS__
    STEPS = 1500,
#else
    STEPS = 4000,
#endif
    LIST_MAX = 400,
    SMALL_GROUP = 60,   /* looked at after every operation, larger ones now and then */
    CHECK_EVERY = 1000, /* operations between two looks at everything */
};

struct world {
    struct xe_table *t;
    struct rng rng;
    enum xe_kind kind;
    uint64_t base; /* bytes of the empty table */
    bool failing;  /* allocations may fail */
    uint32_t rate; /* in 1024ths */
    struct group model[KEYS];
};

static uint64_t pool[POOL];

/* --- Drawing ------------------------------------------------------------- */

/* Keys of all kinds; the first ones, whose groups are large, are of the common ones. */
static uint32_t key_of(uint32_t i)
{
    return i < BIG_KEYS ? KEY(i % 2 ? KEY_WORD : KEY_SHORT, i) : KEY(i % KEY_KINDS, i);
}

static uint32_t draw_key(struct world *w)
{
    return rng_below(&w->rng, rng_chance(&w->rng, 1, 3) ? BIG_KEYS : KEYS);
}

static uint64_t draw_value(struct world *w)
{
    /* Some again and again. */
    uint64_t value = pool[rng_below(&w->rng, rng_chance(&w->rng, 1, 4) ? 20 : POOL)];
    bool loose = value >> 56 == VALUE_LOOSE;
    return loose && rng_chance(&w->rng, 1, 2) ? value | LOOSE_OTHER : value;
}

/* One of the group's, if it has any. */
static uint64_t draw_member(struct world *w, uint32_t i)
{
    const struct group *g = &w->model[i];
    return g->n && rng_chance(&w->rng, 3, 4) ? g->at[rng_below(&w->rng, g->n)] : draw_value(w);
}

/* --- Comparing ----------------------------------------------------------- */

/* Whether the status is one of failed memory, in a run that allows for it. */
static bool is_failure(const struct world *w, enum xe_status status)
{
    return w->failing && status == XE_NOMEM;
}

static enum xe_status or_absent(const struct group *g)
{
    return g->n ? XE_OK : XE_ABSENT;
}

static void check_key(struct world *w, uint32_t i)
{
    const struct group *g = &w->model[i];
    enum xe_status status = bag_find(w->t, key_of(i), UINT32_MAX, g->at, g->n);
    if (!is_failure(w, status))
        assert_int_equal(status, or_absent(g));
}

static void check_changed(struct world *w, uint32_t i)
{
    if (w->model[i].n <= SMALL_GROUP || rng_chance(&w->rng, 1, 20))
        check_key(w, i);
}

static void check_all(struct world *w)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        check_key(w, i);
        n += w->model[i].n;
    }
    assert_int_equal(stats_of(w->t).objects, n);
    assert_true(is_valid(w->t));
}

/* --- Operations ---------------------------------------------------------- */

static void step_put(struct world *w, enum xe_put mode)
{
    uint32_t i = draw_key(w);
    struct group *g = &w->model[i];
    uint64_t value = draw_member(w, i);
    enum xe_status status = bag_put(w->t, key_of(i), value, mode);
    bool exists = mode == XE_PUT_NEW ? g->n != 0 : w->kind == XE_BAG && group_has(g, value);
    if (!is_failure(w, status))
        assert_int_equal(status, exists ? XE_EXISTS : XE_OK);
    if (status == XE_OK)
        group_add(g, w->kind, value);
    check_changed(w, i);
}

static void step_put_list(struct world *w, enum xe_put mode)
{
    static uint32_t chosen[LIST_MAX], keys[LIST_MAX];
    static uint64_t values[LIST_MAX];
    uint32_t n = rng_below(&w->rng, rng_chance(&w->rng, 1, 4) ? LIST_MAX : 8);
    uint32_t one = rng_chance(&w->rng, 1, 3) ? draw_key(w) : KEYS;
    bool exists = false;
    for (uint32_t k = 0; k < n; k++) {
        chosen[k] = one < KEYS ? one : draw_key(w);
        for (uint32_t tries = 0; mode == XE_PUT_NEW && tries < 20; tries++)
            if (one == KEYS && w->model[chosen[k]].n)
                chosen[k] = draw_key(w);
        keys[k] = key_of(chosen[k]);
        values[k] = draw_member(w, chosen[k]);
        exists |= w->model[chosen[k]].n != 0;
    }
    enum xe_status status = put_list(w->t, keys, values, n, mode);
    if (!is_failure(w, status))
        assert_int_equal(status, mode == XE_PUT_NEW && exists ? XE_EXISTS : XE_OK);
    for (uint32_t k = 0; k < n && status == XE_OK; k++)
        group_add(&w->model[chosen[k]], w->kind, values[k]);
    for (uint32_t k = 0; k < n; k++)
        if (k == 0 || chosen[k] != chosen[k - 1])
            check_changed(w, chosen[k]);
}

/* G7: never for lack of memory; but an object that needs a blob cannot even be looked for. */
static void step_remove(struct world *w)
{
    uint32_t i = draw_key(w);
    uint64_t value = draw_member(w, i);
    bool had = group_has(&w->model[i], value);
    enum xe_status status = bag_remove(w->t, key_of(i), value);
    if (!is_failure(w, status))
        assert_int_equal(status, had ? XE_OK : XE_ABSENT);
    if (status == XE_OK)
        group_remove(&w->model[i], value);
    check_changed(w, i);
}

static void step_replace(struct world *w)
{
    uint32_t i = draw_key(w);
    struct group *g = &w->model[i];
    uint32_t at = rng_below(&w->rng, g->n + 1);
    uint64_t old = at < g->n && rng_chance(&w->rng, 7, 8) ? g->at[at] : draw_member(w, i);
    uint64_t value = draw_member(w, i);
    enum xe_status status = bag_replace(w->t, key_of(i), at, old, value);
    if (!is_failure(w, status))
        assert_int_equal(status,
                         at < g->n && values_equal(g->at[at], old) ? XE_OK : XE_ABSENT);
    if (status == XE_OK)
        g->at[at] = value;
    check_changed(w, i);
}

static void step_take(struct world *w)
{
    uint32_t i = draw_key(w);
    struct group *g = &w->model[i];
    uint32_t most = rng_chance(&w->rng, 1, 3) ? rng_below(&w->rng, 2 * g->n + 2) : UINT32_MAX;
    if (i < BIG_KEYS && rng_chance(&w->rng, 9, 10))
        most = g->n ? rng_below(&w->rng, g->n) : 0;
    enum xe_status status = bag_take(w->t, key_of(i), most, g->at, g->n);
    if (!is_failure(w, status))
        assert_int_equal(status, g->n > most ? XE_LIMIT : or_absent(g));
    if (status == XE_OK)
        g->n = 0;
    check_changed(w, i);
}

static void step_drop(struct world *w)
{
    uint32_t i = draw_key(w);
    if (i < BIG_KEYS && rng_chance(&w->rng, 9, 10))
        return;
    assert_int_equal(bag_drop(w->t, key_of(i)), or_absent(&w->model[i])); /* G7 */
    w->model[i].n = 0;
    check_key(w, i);
}

static void step_find(struct world *w)
{
    uint32_t i = draw_key(w), most = rng_below(&w->rng, 200);
    const struct group *g = &w->model[i];
    enum xe_status status = bag_find(w->t, key_of(i), most, g->at, g->n);
    if (!is_failure(w, status))
        assert_int_equal(status, g->n > most ? XE_LIMIT : or_absent(g));
    assert_int_equal(bag_member(w->t, key_of(i)), or_absent(g));
}

/* What a scan has seen of each key; in a segment the objects of a key come in their order, so
 * that they are a part of the key's list. */
struct seen {
    struct world *w;
    uint32_t n[KEYS], at[KEYS];
};

static void visit(void *arg, const struct xe_view *view)
{
    struct seen *seen = arg;
    uint32_t key = view_key(view), i = 0;
    while (key_of(i) != key)
        i++;
    const struct group *g = &seen->w->model[i];
    seen->n[i]++;
    if (g->n > SMALL_GROUP)
        return;
    while (seen->at[i] < g->n && !view_is(view, key, g->at[seen->at[i]]))
        seen->at[i]++;
    assert_in_range(seen->at[i]++, 0, g->n - 1);
}

static void step_scan(struct world *w)
{
    struct seen seen = {.w = w};
    uint64_t position = 0;
    for (bool more = true; more;) {
        more = scan_some(w->t, &position, XE_CHUNK_MAX, visit, &seen);
        memset(seen.at, 0, sizeof seen.at);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(seen.n[i], w->model[i].n);
}

static void step_clear(struct world *w)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_clear(w->t, slot, NULL);
    xe_epoch_leave(slot);
    assert_true(status == XE_OK || is_failure(w, status));
    if (status != XE_OK)
        return;
    for (uint32_t i = 0; i < KEYS; i++)
        w->model[i].n = 0;
    assert_int_equal(stats_of(w->t).bytes, w->base);
}

static void step(struct world *w)
{
    uint32_t d = rng_below(&w->rng, 1000);
    if (w->failing)
        memory_fail_rate(w->rate, &w->rng);
    if (d < 350)
        step_put(w, XE_PUT);
    else if (d < 420)
        step_put(w, XE_PUT_NEW);
    else if (d < 600)
        step_remove(w);
    else if (d < 660)
        step_take(w);
    else if (d < 700)
        step_drop(w);
    else if (d < 740 && w->kind == XE_DUPLICATE_BAG)
        step_replace(w);
    else if (d < 800)
        step_find(w);
    else if (d < 920)
        step_put_list(w, XE_PUT);
    else if (d < 980)
        step_put_list(w, XE_PUT_NEW);
    else if (d < 999)
        step_scan(w);
    else
        step_clear(w);
    memory_fail_never();
}

/* --- Runs ---------------------------------------------------------------- */

static uint32_t steps(void)
{
    const char *given = getenv("XETS_STEPS");
    return given ? (uint32_t)strtoul(given, NULL, 0) : STEPS;
}

static void begin(struct world *w, enum xe_kind kind, uint32_t max_objects, uint32_t rate)
{
    struct rng r = rng_for(0x9001);
    *w = (struct world){.rng = rng_for(max_objects * 8 + kind + rate),
                        .t = bag_new(kind, max_objects), .kind = kind,
                        .failing = rate != 0, .rate = rate};
    w->base = stats_of(w->t).bytes;
    if (!pool[0])
        values_draw(&r, pool, POOL);
}

static void end(struct world *w)
{
    w->failing = false;
    check_all(w);
    memory_fail_from(0);
    for (uint32_t i = 0; i < KEYS; i++) {
        assert_int_equal(bag_drop(w->t, key_of(i)), or_absent(&w->model[i]));
        group_free(&w->model[i]);
    }
    memory_fail_never();
    check_all(w);
    xe_table_delete(w->t);
}

static void run(enum xe_kind kind, uint32_t max_objects, uint32_t rate)
{
    static struct world w;
    begin(&w, kind, max_objects, rate);
    for (uint32_t n = 1; n <= steps(); n++) {
        step(&w);
        if (n % CHECK_EVERY == 0)
            check_all(&w);
    }
    end(&w);
}

static void a_bag_agrees_with_a_model(void **state)
{
    (void)state;
    run(XE_BAG, 0, 0);
    run(XE_BAG, 16, 0);
}

static void a_duplicate_bag_agrees_with_a_model(void **state)
{
    (void)state;
    run(XE_DUPLICATE_BAG, 0, 0);
    run(XE_DUPLICATE_BAG, 16, 0);
}

static void g5_g7_when_allocations_fail_a_bag_agrees_with_the_model(void **state)
{
    (void)state;
    run(XE_BAG, 0, 40);
    run(XE_BAG, 16, 20);
    run(XE_BAG, 32, 500);
}

static void g5_g7_when_allocations_fail_a_duplicate_bag_agrees_with_the_model(void **state)
{
    (void)state;
    run(XE_DUPLICATE_BAG, 0, 40);
    run(XE_DUPLICATE_BAG, 16, 20);
    run(XE_DUPLICATE_BAG, 32, 500);
}

/* --- Every single allocation --------------------------------------------- */

/* Fails the n-th allocation of one call, for all n, until the call makes do. */
static void fail_each(struct world *w, void (*call)(struct world *))
{
    for (uint64_t n = 0;; n++) {
        struct rng before = w->rng;
        assert_true(n < 10000);
        w->failing = true;
        memory_fail_at(n);
        call(w);
        uint64_t failed = memory_fail_never();
        w->failing = false;
        check_all(w);
        if (!failed)
            return;
        w->rng = before;
    }
}

static void put_long_list(struct world *w)
{
    enum { N = 600 };
    static uint32_t chosen[N], keys[N];
    static uint64_t values[N];
    for (uint32_t i = 0; i < N; i++) {
        chosen[i] = i % 2 ? 0 : i % KEYS;
        keys[i] = key_of(chosen[i]);
        values[i] = draw_value(w);
    }
    enum xe_status status = put_list(w->t, keys, values, N, XE_PUT);
    assert_true(status == XE_OK || is_failure(w, status));
    for (uint32_t i = 0; i < N && status == XE_OK; i++)
        group_add(&w->model[chosen[i]], w->kind, values[i]);
}

static void put_forty(struct world *w)
{
    for (uint32_t i = 0; i < 40; i++)
        step_put(w, i % 4 ? XE_PUT : XE_PUT_NEW);
}

static void take_the_largest(struct world *w)
{
    struct group *g = &w->model[0];
    enum xe_status status = bag_take(w->t, key_of(0), UINT32_MAX, g->at, g->n);
    assert_true(status == or_absent(g) || is_failure(w, status));
    if (status == XE_OK)
        g->n = 0;
}

static void find_the_largest(struct world *w)
{
    const struct group *g = &w->model[0];
    enum xe_status status = bag_find(w->t, key_of(0), UINT32_MAX, g->at, g->n);
    assert_true(status == XE_OK || is_failure(w, status));
    assert_int_equal(bag_member(w->t, key_of(0)), XE_OK);
}

static void remove_and_drop_forty(struct world *w)
{
    for (uint32_t i = 0; i < 40; i++) {
        step_remove(w);
        step_drop(w);
    }
}

static void scenario(void (*before)(struct world *), void (*call)(struct world *))
{
    for (uint32_t k = XE_BAG; k <= XE_DUPLICATE_BAG; k++) {
        static struct world w;
        begin(&w, (enum xe_kind)k, 16, 0);
        if (before)
            before(&w);
        fail_each(&w, call);
        end(&w);
    }
}

static void g5_a_list_write_that_fails_at_any_allocation_changes_nothing(void **state)
{
    (void)state;
    scenario(NULL, put_long_list);
    scenario(put_long_list, put_long_list);
}

static void g5_a_write_that_fails_at_any_allocation_changes_nothing(void **state)
{
    (void)state;
    scenario(NULL, put_forty);
    scenario(put_long_list, put_forty);
}

static void g5_taking_fails_at_any_allocation_without_a_change(void **state)
{
    (void)state;
    scenario(put_long_list, take_the_largest);
}

static void finding_fails_at_any_allocation_without_an_answer(void **state)
{
    (void)state;
    scenario(put_long_list, find_the_largest);
}

static void g7_removing_works_whichever_allocation_fails(void **state)
{
    (void)state;
    scenario(put_long_list, remove_and_drop_forty);
}

static void g5_clearing_fails_at_any_allocation_without_a_change(void **state)
{
    (void)state;
    scenario(put_long_list, step_clear);
}

/* test_bag_random [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bag_agrees_with_a_model),
        TEST(a_duplicate_bag_agrees_with_a_model),
        TEST(g5_g7_when_allocations_fail_a_bag_agrees_with_the_model),
        TEST(g5_g7_when_allocations_fail_a_duplicate_bag_agrees_with_the_model),
        TEST(g5_a_list_write_that_fails_at_any_allocation_changes_nothing),
        TEST(g5_a_write_that_fails_at_any_allocation_changes_nothing),
        TEST(g5_taking_fails_at_any_allocation_without_a_change),
        TEST(finding_fails_at_any_allocation_without_an_answer),
        TEST(g7_removing_works_whichever_allocation_fails),
        TEST(g5_clearing_fails_at_any_allocation_without_a_change),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("bags, random", tests, NULL, NULL);
}
