/*
 * test_image_build.c - making images: plans and their limits, filling, stretching; and the
 * walker that checks them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "image_rows.h"

/* --- Building ------------------------------------------------------------ */

static void a_plan_that_is_too_large_is_a_limit(void **state)
{
    (void)state;
    struct xe_image_plan plan = {
        .lo = 0, .hi = UINT64_MAX, .count = 10, .units = XE_IMAGE_BYTES_MAX / XE_UNIT};
    struct xe_image *img;
    assert_int_equal(xe_image_new(&plan, &img), XE_LIMIT);
    plan = (struct xe_image_plan){.hi = UINT64_MAX, .count = XE_IMAGE_OBJECTS_MAX + 1, .units = 1};
    assert_int_equal(xe_image_new(&plan, &img), XE_LIMIT);
    plan.count = XE_IMAGE_OBJECTS_MAX;
    assert_int_equal(xe_image_new(&plan, &img), XE_OK);
    assert_true(img->bytes >= xe_image_plan_bytes(&plan));
    xe_image_unref(img);
}

static void the_largest_image_can_be_used_to_the_last_unit(void **state)
{
    (void)state;
    struct xe_image_plan plan = {.lo = 0, .hi = UINT64_MAX, .count = 1, .units = 1};
    struct xe_image *img;
    plan.units = (uint32_t)(XE_IMAGE_BYTES_MAX - xe_image_plan_bytes(&plan)) / XE_UNIT;
    assert_int_equal(xe_image_new(&plan, &img), XE_OK);
    assert_true(img->bytes <= XE_IMAGE_BYTES_MAX);
    while (img->bottom - img->top > 19)
        assert_true(xe_image_alloc(img, 3) != 0);
    /* The bucket at the very end, and the record before it. */
    for (uint32_t n = 0; n < XE_BUCKET_PLACES; n++) {
        uint32_t off = img->top - 3;
        xe_image_add(img, n, off);
    }
    assert_true(xe_image_reserve_places(img, 0, 1));
    xe_image_add(img, 0, img->top - 3);
    struct xe_bucket *more = xe_image_linked(img, xe_image_home(img, 0)->link);
    assert_true((uint8_t *)(more + 1) <= (uint8_t *)img + img->ring_at);
    assert_int_equal(more->off[0], img->top - 3);
    xe_image_unref(img);
}

static void an_image_without_memory_leaves_nothing(void **state)
{
    (void)state;
    struct xe_image_plan plan = {.hi = UINT64_MAX, .count = 100, .units = 400, .ext = true};
    struct xe_image *img = NULL;
    for (uint64_t n = 0; !img; n++) {
        memory_fail_at(n);
        enum xe_status status = xe_image_new(&plan, &img);
        assert_int_equal(status, memory_fail_never() ? XE_NOMEM : XE_OK);
    }
    assert_non_null(img->env);
    xe_image_unref(img);
}

/* The image of some objects, in the order of their keys' numbers. */
static struct xe_image *image_with(const uint32_t *keys, const uint64_t *values, uint32_t n)
{
    struct xe_image *img = image_for(0, UINT64_MAX, n, 12000);
    for (uint32_t i = 0; i < n; i++) {
        struct object x;
        struct xe_prepared p;
        object_make(&x, keys[i], values[i]);
        assert_int_equal(xe_record_prepare(SEED, &x.o, &p), XE_OK);
        assert_true(!x.o.n_handles || xe_image_need_env(img));
        assert_true(xe_image_reserve_places(img, p.key.hash, 1));
        uint32_t off = xe_image_alloc(img, p.units);
        assert_true(off != 0);
        xe_record_write(xe_image_record(img, off), &p, img->env);
        xe_image_count_in(img, xe_image_record(img, off));
        xe_image_add(img, p.key.hash, off);
        object_free(&x);
    }
    return img;
}

static uint32_t list(const struct xe_image *img, struct xe_image_entry *at)
{
    struct xe_image_cursor cursor = {0};
    uint32_t n = 0;
    for (uint32_t off; (off = xe_image_next(img, &cursor)); n++) {
        const uint8_t *rec = xe_image_record(img, off);
        at[n] = (struct xe_image_entry){.hash = xe_record_hash(rec, SEED), .rec = rec};
    }
    return n;
}

static bool shows(const struct xe_image *img, uint32_t key, uint64_t value)
{
    struct lookup l;
    struct xe_place place;
    struct xe_view view;
    lookup_make(&l, SEED, key);
    bool found = xe_find(img, &l.key, &place);
    if (found)
        xe_record_view(xe_image_record(img, place.off), &view);
    found = found && view_is(&view, key, value);
    lookup_free(&l);
    return found;
}

static void a_filled_image_has_what_the_other_had(void **state)
{
    (void)state;
    enum { N = 200 };
    static uint32_t keys[N];
    static uint64_t values[N];
    static struct xe_image_entry entries[N];
    for (uint32_t i = 0; i < N; i++) {
        keys[i] = KEY(i % 7 == 0 ? KEY_TWIN : i % 11 == 0 ? KEY_LONG : KEY_SHORT, i);
        values[i] = VALUE(i % 5 == 0 ? VALUE_TERMS : i % 17 == 0 ? VALUE_PIN : VALUE_SMALL, i);
    }
    struct xe_image *from = image_with(keys, values, N);
    assert_true(xe_image_is_valid(from, SEED));
    assert_int_equal(list(from, entries), N);
    struct xe_image_plan plan = {.hi = UINT64_MAX, .count = N, .units = from->live, .ext = true};
    struct xe_image *to;
    assert_int_equal(xe_image_new(&plan, &to), XE_OK);
    assert_true(xe_image_fill(to, entries, N));
    assert_true(xe_image_is_valid(to, SEED));
    /* The old image may go: its terms were copied. */
    assert_int_equal(to->live, from->live);
    assert_int_equal(to->pinned_live, from->pinned_live);
    xe_image_unref(from);
    for (uint32_t i = 0; i < N; i++)
        assert_true(shows(to, keys[i], values[i]));
    xe_image_unref(to);
}

/* The image longer by `units`; the other one goes. */
static struct xe_image *stretched(struct xe_image *img, uint32_t units, uint32_t spare)
{
    struct xe_image *longer;
    size_t bytes = xe_image_stretch_bytes(img, units, spare);
    assert_int_equal(xe_image_stretch(img, units, spare, &longer), XE_OK);
    assert_true(longer->bytes >= bytes);
    xe_image_unref(img);
    return longer;
}

static void a_stretched_image_has_what_it_had_and_room_for_more(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 300, 1000);
    uint32_t n = 0, top;
    /* Every chain that there can be: none, short ones, one of many buckets. */
    while (n < 150 && add(img, n, n % 3 ? (uint64_t)n << 56 : 0))
        n++;
    for (uint32_t round = 0; round < 4; round++) {
        top = img->top;
        img = stretched(img, 200, round * 20);
        assert_int_equal(img->top, top);
        assert_true(img->bottom - img->top >= 200);
        assert_int_equal(img->count, n);
        for (uint32_t i = 0; i < n; i++)
            assert_true(finds(img, i, i % 3 ? (uint64_t)i << 56 : 0));
        for (uint32_t end = n + 60; n < end; n++)
            assert_true(add(img, n, n % 3 ? (uint64_t)n << 56 : 0));
    }
    for (uint32_t i = 0; i < n; i++)
        assert_true(finds(img, i, i % 3 ? (uint64_t)i << 56 : 0));
    xe_image_unref(img);
}

static void what_was_retired_is_free_in_a_stretched_image(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 100, 400);
    struct xe_key key = numbered(3, 3ull << 60);
    struct xe_place place = {0};
    for (uint32_t n = 0; n < 10; n++)
        add(img, n, (uint64_t)n << 60);
    assert_int_equal(xe_image_waste(img), 0);
    assert_true(xe_find(img, &key, &place));
    take_out(img, 3, 3ull << 60);
    assert_int_equal(xe_image_waste(img), 3);
    assert_int_not_equal(xe_image_alloc(img, 3), place.off);
    img = stretched(img, 0, 10);
    assert_int_equal(xe_image_alloc(img, 3), place.off);
    xe_image_unref(img);
}

static void stretching_has_its_limit(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 100, 400), *longer = NULL;
    uint32_t most = (uint32_t)(XE_IMAGE_BYTES_MAX - xe_image_stretch_bytes(img, 0, 50)) / XE_UNIT;
    assert_int_equal(xe_image_stretch(img, most + 1, 50, &longer), XE_LIMIT);
    memory_fail_from(0);
    assert_int_equal(xe_image_stretch(img, most, 50, &longer), XE_NOMEM);
    memory_fail_never();
    img = stretched(img, most, 50);
    assert_true(img->bytes <= XE_IMAGE_BYTES_MAX);
    assert_true(img->bottom - img->top >= most);
    xe_image_unref(img);
}

static void filling_ends_when_there_is_no_room(void **state)
{
    (void)state;
    enum { N = 200 };
    static uint32_t keys[N];
    static uint64_t values[N];
    static struct xe_image_entry entries[N];
    for (uint32_t i = 0; i < N; i++) {
        keys[i] = KEY(KEY_SHORT, i);
        values[i] = VALUE(VALUE_SMALL, i);
    }
    struct xe_image *from = image_with(keys, values, N);
    list(from, entries);
    uint32_t failed = 0;
    for (uint32_t less = 0; less < from->live; less += 7) {
        struct xe_image_plan plan = {.hi = UINT64_MAX, .count = N, .units = from->live - less};
        struct xe_image *to;
        assert_int_equal(xe_image_new(&plan, &to), XE_OK);
        if (xe_image_fill(to, entries, N))
            assert_true(xe_image_is_valid(to, SEED));
        else
            failed++;
        xe_image_unref(to);
    }
    assert_true(failed > 0);
    xe_image_unref(from);
}

static void terms_that_were_removed_or_unwritten_count_as_litter(void **state)
{
    (void)state;
    uint32_t key = KEY(KEY_SHORT, 1);
    uint64_t value = VALUE(VALUE_PIN, 3);
    struct xe_image *img = image_with(&key, &value, 1);
    struct xe_image_entry entry;
    list(img, &entry);
    uint32_t off = (uint32_t)(entry.rec - (const uint8_t *)img) / XE_UNIT,
             pinned = img->pinned_live;
    assert_true(pinned > 0 && img->pinned_dead == 0);
    assert_false(xe_image_is_littered(img));
    xe_image_unwrite(img, off);
    assert_int_equal(img->pinned_dead, pinned);
    img->pinned_dead = 0;
    xe_image_retire(img, off);
    assert_int_equal(img->pinned_dead, pinned);
    assert_int_equal(img->pinned_live, 0);
    img->pinned_dead = 65;
    assert_true(xe_image_is_littered(img));
    img->pinned_live = 65;
    assert_false(xe_image_is_littered(img));
    xe_image_unref(img);
}

/* --- Validity ------------------------------------------------------------ */

static void a_walk_sees_what_is_wrong(void **state)
{
    (void)state;
    uint32_t keys[3] = {KEY(KEY_SHORT, 1), KEY(KEY_SHORT, 2), KEY(KEY_SHORT, 3)};
    uint64_t values[3] = {1, 2, 3};
    struct xe_image *img = image_with(keys, values, 3);
    struct xe_bucket *b = xe_image_buckets(img);
    assert_true(xe_image_is_valid(img, SEED));
    assert_false(xe_image_is_valid(img, SEED + 1));
    img->live++;
    assert_false(xe_image_is_valid(img, SEED));
    img->live--;
    b->fp[0]++;
    assert_false(xe_image_is_valid(img, SEED));
    b->fp[0]--;
    uint16_t off = b->off[0];
    b->off[0] = b->off[1];
    assert_false(xe_image_is_valid(img, SEED));
    b->off[0] = 0;
    assert_false(xe_image_is_valid(img, SEED));
    b->off[0] = off;
    assert_true(xe_image_is_valid(img, SEED));
    xe_image_unref(img);
}

/* test_image_build [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plan_that_is_too_large_is_a_limit),
        TEST(the_largest_image_can_be_used_to_the_last_unit),
        TEST(an_image_without_memory_leaves_nothing),
        TEST(a_filled_image_has_what_the_other_had),
        TEST(a_stretched_image_has_what_it_had_and_room_for_more),
        TEST(what_was_retired_is_free_in_a_stretched_image),
        TEST(stretching_has_its_limit),
        TEST(filling_ends_when_there_is_no_room),
        TEST(terms_that_were_removed_or_unwritten_count_as_litter),
        TEST(a_walk_sees_what_is_wrong),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("image, building", tests, NULL, NULL);
}
