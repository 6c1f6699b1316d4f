/*
 * test_table_random.c - random operations on a table beside a model: with memory, and with
 * allocations that fail.
 *
 * The model is an array: keys are drawn from a fixed set, and it holds for each of them the
 * value it should have. XETS_STEPS sets the operations of a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "reclaim.h"
#include "support.h"

enum {
    KEYS = 2000,
    STEPS = 12000,
    LIST_MAX = 300,
    CHECK_EVERY = 1000, /* operations between two looks at everything */
};

#define NONE UINT64_MAX

struct world {
    struct xe_table *t;
    struct rng rng;
    uint64_t base;        /* bytes of the empty table */
    bool failing;         /* allocations may fail */
    uint32_t rate;        /* in 1024ths */
    uint64_t next;        /* makes values differ */
    uint64_t model[KEYS]; /* NONE: absent */
};

/* --- Drawing ------------------------------------------------------------- */

/* Most keys are short, some of every other kind. */
static uint32_t key_of(uint32_t i)
{
    switch (i % 20) {
    case 0:
        return KEY(KEY_LONG, i);
    case 1:
        return i % 40 == 1 ? KEY(KEY_HUGE, i % 400) : KEY(KEY_WORD, i);
    case 2:
    case 3:
        return KEY(KEY_TWIN, i);
    case 4:
        return i % 40 == 4 ? KEY(KEY_HUGE_TWIN, i) : KEY(KEY_TINY, i % 256);
    default:
        return KEY(KEY_SHORT, i);
    }
}

/* One number of several for the same key. */
static uint32_t canonical(uint32_t i)
{
    if (i % 20 == 1 && i % 40 == 1)
        return i % 400;
    if (i % 20 == 4 && i % 40 != 4) {
        static uint32_t first[256];
        uint32_t k = i % 256;
        for (uint32_t j = 4; !first[k]; j += 20)
            if (j % 40 != 4 && j % 256 == k)
                first[k] = j;
        return first[k];
    }
    return i;
}

static uint32_t draw_key(struct world *w)
{
    /* Half of all operations on a tenth of the keys. */
    uint32_t i = rng_below(&w->rng, rng_chance(&w->rng, 1, 2) ? KEYS / 10 : KEYS);
    return canonical(i);
}

static uint64_t draw_value(struct world *w)
{
    uint32_t d = rng_below(&w->rng, 400);
    uint64_t kind = d < 250   ? VALUE_SMALL
                    : d < 290 ? VALUE_EMPTY
                    : d < 320 ? VALUE_MEDIUM
                    : d < 340 ? VALUE_LARGE
                    : d < 341 ? VALUE_GIANT
                    : d < 370 ? VALUE_TERMS
                    : d < 380 ? VALUE_PIN
                    : d < 385 ? VALUE_PIN_LARGE
                              : VALUE_LOOSE;
    return VALUE(kind, ++w->next);
}

/* --- Comparing ----------------------------------------------------------- */

static bool agrees(struct world *w, uint32_t i)
{
    uint64_t value = w->model[i];
    return look(w->t, key_of(i), value) == (value == NONE ? XE_ABSENT : XE_OK);
}

static void check_all(struct world *w)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        if (canonical(i) != i)
            continue;
        assert_true(agrees(w, i));
        n += w->model[i] != NONE;
    }
    assert_int_equal(stats_of(w->t).objects, n);
    assert_true(is_valid(w->t));
}

/* Whether the status is one of failed memory, in a run that allows for it. */
static bool is_failure(const struct world *w, enum xe_status status)
{
    return w->failing && status == XE_NOMEM;
}

/* --- Operations ---------------------------------------------------------- */

static void step_put(struct world *w, enum xe_put mode)
{
    uint32_t i = draw_key(w);
    uint64_t value = draw_value(w);
    bool plain = rng_chance(&w->rng, 1, 2);
    enum xe_status status = (plain ? put_plain : put)(w->t, key_of(i), value, mode);
    bool there = w->model[i] != NONE;
    if (is_failure(w, status))
        assert_true(agrees(w, i)); /* G5 */
    else if (mode == XE_PUT_NEW && there)
        assert_int_equal(status, XE_EXISTS);
    else
        assert_int_equal(status, XE_OK);
    if (status == XE_OK)
        w->model[i] = value;
}

static void step_remove(struct world *w)
{
    uint32_t i = draw_key(w);
    /* G7: never for lack of memory. */
    assert_int_equal(remove_key(w->t, key_of(i)), w->model[i] == NONE ? XE_ABSENT : XE_OK);
    w->model[i] = NONE;
}

static void step_find(struct world *w)
{
    assert_true(agrees(w, draw_key(w)));
}

static void step_replace(struct world *w)
{
    uint32_t i = draw_key(w);
    uint64_t value = draw_value(w);
    struct object x;
    struct xe_prepared p;
    struct lookup l;
    struct xe_view view;
    struct xe_version version;
    object_make(&x, key_of(i), value);
    lookup_make(&l, xe_table_seed(w->t), key_of(i));
    if (xe_record_prepare(xe_table_seed(w->t), &x.o, &p) == XE_OK) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        enum xe_status status = xe_table_find_version(w->t, &l.key, &view, &version);
        assert_int_equal(status, w->model[i] == NONE ? XE_ABSENT : XE_OK);
        if (status == XE_OK && (status = xe_table_replace(w->t, slot, &p, &version)) == XE_OK)
            w->model[i] = value;
        else
            xe_record_unprepare(&p);
        xe_epoch_leave(slot);
        assert_true(status == XE_OK || status == XE_ABSENT || is_failure(w, status));
    }
    lookup_free(&l);
    object_free(&x);
    assert_true(agrees(w, i));
}

static enum xe_update store_given(void *arg, const struct xe_view *view, struct xe_object *out)
{
    (void)view;
    *out = ((struct object *)arg)->o;
    return XE_UPDATE_REPLACE;
}

static void step_update(struct world *w)
{
    uint32_t i = draw_key(w);
    uint64_t value = draw_value(w);
    struct object x;
    struct lookup l;
    object_make(&x, key_of(i), value);
    lookup_make(&l, xe_table_seed(w->t), key_of(i));
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_update(w->t, slot, &l.key, store_given, &x);
    xe_epoch_leave(slot);
    if (status == XE_OK)
        w->model[i] = value;
    else
        assert_true(status == XE_LIMIT || is_failure(w, status) ||
                    (status == XE_ABSENT && w->model[i] == NONE));
    lookup_free(&l);
    object_free(&x);
    assert_true(agrees(w, i));
}

/* Writes the first bytes of the body as they are: a new record all the same. */
static bool patch_nothing(void *arg, const struct xe_view *view, struct xe_patch *out)
{
    struct rng *r = arg;
    size_t width = view->blen < 8 ? view->blen : 8;
    *out = (struct xe_patch){.at = view->body, .width = 1 + rng_below(r, width ? width : 1)};
    memcpy(&out->word, view->body, 8);
    return view->blen != 0 && rng_chance(r, 7, 8);
}

static void step_patch(struct world *w)
{
    uint32_t i = draw_key(w);
    struct lookup l;
    lookup_make(&l, xe_table_seed(w->t), key_of(i));
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_patch(w->t, slot, &l.key, patch_nothing, &w->rng);
    xe_epoch_leave(slot);
    assert_true(w->model[i] == NONE ? status == XE_ABSENT : status == XE_OK || status == XE_LIMIT);
    lookup_free(&l);
    assert_true(agrees(w, i));
}

static void step_put_list(struct world *w, enum xe_put mode)
{
    static uint32_t chosen[LIST_MAX], keys[LIST_MAX];
    static uint64_t values[LIST_MAX];
    uint32_t n = rng_below(&w->rng, rng_chance(&w->rng, 1, 4) ? LIST_MAX : 6);
    bool exists = false;
    for (uint32_t k = 0; k < n; k++) {
        chosen[k] = draw_key(w);
        if (mode == XE_PUT_NEW && w->model[chosen[k]] != NONE && rng_chance(&w->rng, 9, 10))
            for (uint32_t tries = 0; tries < 20 && w->model[chosen[k]] != NONE; tries++)
                chosen[k] = draw_key(w);
        keys[k] = key_of(chosen[k]);
        values[k] = draw_value(w);
        exists |= w->model[chosen[k]] != NONE;
    }
    enum xe_status status = put_list(w->t, keys, values, n, mode);
    if (status == XE_OK)
        for (uint32_t k = 0; k < n; k++)
            w->model[chosen[k]] = values[k]; /* the last of equal keys wins */
    else
        assert_true(is_failure(w, status) || (status == XE_EXISTS && exists));
    assert_false(status == XE_OK && mode == XE_PUT_NEW && exists);
    for (uint32_t k = 0; k < n; k++)
        assert_true(agrees(w, chosen[k]));
}

static void step_find_many(struct world *w)
{
    static struct lookup l[XE_FIND_MANY];
    static struct xe_key keys[XE_FIND_MANY];
    struct xe_view views[XE_FIND_MANY];
    bool found[XE_FIND_MANY];
    uint32_t chosen[XE_FIND_MANY], n = 1 + rng_below(&w->rng, XE_FIND_MANY);
    for (uint32_t k = 0; k < n; k++) {
        chosen[k] = draw_key(w);
        lookup_make(&l[k], xe_table_seed(w->t), key_of(chosen[k]));
        const struct xe_object *o = &l[k].object.o;
        xe_key_init(&keys[k], xe_table_seed(w->t), o->bytes, o->klen, o->handles, o->n_key_handles);
    }
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_find_many(w->t, keys, n, views, found), XE_OK);
    for (uint32_t k = 0; k < n; k++) {
        uint64_t value = w->model[chosen[k]];
        assert_int_equal(found[k], value != NONE);
        assert_true(!found[k] || view_is(&views[k], key_of(chosen[k]), value));
    }
    xe_epoch_leave(slot);
    for (uint32_t k = 0; k < n; k++)
        lookup_free(&l[k]);
}

static void count_visit(void *arg, const struct xe_view *view)
{
    (void)view;
    ++*(uint64_t *)arg;
}

static void step_scan(struct world *w)
{
    uint64_t position = 0, n = 0, expected = 0;
    while (scan_some(w->t, &position, XE_CHUNK_MAX, count_visit, &n))
        ;
    for (uint32_t i = 0; i < KEYS; i++)
        expected += w->model[i] != NONE;
    assert_int_equal(n, expected);
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
        w->model[i] = NONE;
    assert_int_equal(stats_of(w->t).bytes, w->base);
}

static void step(struct world *w)
{
    uint32_t d = rng_below(&w->rng, 1000);
    if (w->failing)
        memory_fail_rate(w->rate, &w->rng);
    if (d < 300)
        step_put(w, XE_PUT);
    else if (d < 400)
        step_put(w, XE_PUT_NEW);
    else if (d < 600)
        step_remove(w);
    else if (d < 680)
        step_find(w);
    else if (d < 780)
        step_replace(w);
    else if (d < 850)
        step_update(w);
    else if (d < 880)
        step_patch(w);
    else if (d < 930)
        step_put_list(w, XE_PUT);
    else if (d < 960)
        step_put_list(w, XE_PUT_NEW);
    else if (d < 989)
        step_find_many(w);
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

static void remove_all(struct world *w)
{
    enum { SMALL_IMAGE = 1024, SLOTS = 64 };
    for (uint32_t i = 0; i < KEYS; i++) {
        if (canonical(i) == i)
            assert_int_equal(remove_key(w->t, key_of(i)), w->model[i] == NONE ? XE_ABSENT : XE_OK);
        w->model[i] = NONE;
    }
}

static void run(uint32_t max_objects, bool hot, uint32_t rate)
{
    static struct world w;
    w = (struct world){.rng = rng_for(max_objects * 4 + hot * 2 + rate),
                       .t = table_new(max_objects, hot),
                       .failing = rate != 0,
                       .rate = rate};
    w.base = stats_of(w.t).bytes;
    for (uint32_t i = 0; i < KEYS; i++)
        w.model[i] = NONE;
    for (uint32_t n = 1; n <= steps(); n++) {
        step(&w);
        if (n % CHECK_EVERY == 0)
            check_all(&w);
    }
    check_all(&w);
    if (rate)
        memory_fail_from(0);
    remove_all(&w);
    memory_fail_never();
    check_all(&w);
    xe_table_delete(w.t);
}

static void a_table_agrees_with_a_model(void **state)
{
    (void)state;
    run(0, false, 0);
}

static void a_table_of_tiny_segments_agrees_with_a_model(void **state)
{
    (void)state;
    run(16, false, 0);
}

static void a_table_of_small_segments_that_expects_contention_agrees_with_a_model(void **state)
{
    (void)state;
    run(64, true, 0);
}

static void g5_g7_when_allocations_fail_now_and_then_the_table_agrees_with_the_model(void **state)
{
    (void)state;
    run(0, false, 40);
    run(16, false, 20);
}

static void g5_g7_when_most_allocations_fail_the_table_agrees_with_the_model(void **state)
{
    (void)state;
    run(32, false, 600);
}

/* --- Every single allocation --------------------------------------------- */

enum { SCENARIO_KEYS = 400 };

/* Fails the n-th allocation of one call, for all n, until the call makes do. */
static void fail_each(struct world *w, void (*call)(struct world *))
{
    for (uint64_t n = 0;; n++) {
        assert_true(n < 10000);
        w->failing = true;
        memory_fail_at(n);
        uint64_t model = w->next;
        call(w);
        assert_true(w->next >= model);
        if (memory_fail_never() == 0)
            return;
        assert_true(is_valid(w->t));
    }
}

static uint32_t list_keys[SCENARIO_KEYS];
static uint64_t list_values[SCENARIO_KEYS];

/* A list for which segments must be split, and that has all kinds of objects. */
static void put_long_list(struct world *w)
{
    for (uint32_t i = 0; i < SCENARIO_KEYS; i++) {
        list_keys[i] = key_of(canonical(i));
        list_values[i] = VALUE(i % VALUE_KINDS, w->next + i);
        if (i % VALUE_KINDS == VALUE_GIANT)
            list_values[i] = VALUE(VALUE_LARGE, w->next + i);
    }
    enum xe_status status = put_list(w->t, list_keys, list_values, SCENARIO_KEYS, XE_PUT);
    assert_true(status == XE_OK || status == XE_NOMEM);
    if (status == XE_OK)
        for (uint32_t i = 0; i < SCENARIO_KEYS; i++)
            w->model[canonical(i)] = list_values[i];
    w->next += SCENARIO_KEYS;
    for (uint32_t i = 0; i < SCENARIO_KEYS; i++)
        assert_true(agrees(w, canonical(i)));
}

static void put_hundred(struct world *w)
{
    for (uint32_t i = 0; i < 100; i++)
        step_put(w, XE_PUT);
}

static void remove_hundred(struct world *w)
{
    for (uint32_t i = 0; i < 100; i++)
        step_remove(w);
}

static void scenario(void (*before)(struct world *), void (*call)(struct world *))
{
    static struct world w;
    w = (struct world){.rng = rng_for(99), .t = table_new(16, false)};
    w.base = stats_of(w.t).bytes;
    for (uint32_t i = 0; i < KEYS; i++)
        w.model[i] = NONE;
    if (before)
        before(&w);
    fail_each(&w, call);
    check_all(&w);
    xe_table_delete(w.t);
}

static void g5_a_list_write_that_fails_at_any_allocation_changes_nothing(void **state)
{
    (void)state;
    scenario(NULL, put_long_list);
    scenario(put_hundred, put_long_list);
}

static void g5_a_write_that_fails_at_any_allocation_changes_nothing(void **state)
{
    (void)state;
    scenario(NULL, put_hundred);
}

static void g7_removing_works_whichever_allocation_fails(void **state)
{
    (void)state;
    scenario(put_long_list, remove_hundred);
}

static void g5_clearing_fails_at_any_allocation_without_a_change(void **state)
{
    (void)state;
    scenario(put_long_list, step_clear);
}

static void a_table_that_cannot_be_made_leaves_nothing(void **state)
{
    (void)state;
    struct xe_table_config config = {.seed = 1};
    uint64_t before = xe_table_bytes_all();
    for (uint64_t n = 0;; n++) {
        memory_fail_at(n);
        struct xe_table *t = xe_table_new(&config);
        memory_fail_never();
        if (t) {
            xe_table_delete(t);
            xe_reclaim_drain();
        }
        assert_int_equal(xe_table_bytes_all(), before);
        if (t)
            return;
    }
}

/* test_table_random [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_table_agrees_with_a_model),
        TEST(a_table_of_tiny_segments_agrees_with_a_model),
        TEST(a_table_of_small_segments_that_expects_contention_agrees_with_a_model),
        TEST(g5_g7_when_allocations_fail_now_and_then_the_table_agrees_with_the_model),
        TEST(g5_g7_when_most_allocations_fail_the_table_agrees_with_the_model),
        TEST(g5_a_list_write_that_fails_at_any_allocation_changes_nothing),
        TEST(g5_a_write_that_fails_at_any_allocation_changes_nothing),
        TEST(g7_removing_works_whichever_allocation_fails),
        TEST(g5_clearing_fails_at_any_allocation_without_a_change),
        TEST(a_table_that_cannot_be_made_leaves_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("table, random", tests, NULL, NULL);
}
