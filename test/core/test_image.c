/*
 * test_image.c - images: buckets and their chains, the ring of retired slots.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "image_rows.h"

/* --- Buckets ------------------------------------------------------------- */

static void home_of(uint64_t lo, uint64_t hi, uint32_t count)
{
    struct xe_image *img = image_for(lo, hi, count, count * 3);
    uint64_t width = hi - lo, last = 0;
    assert_int_equal(img->room, count);
    for (uint32_t i = 0; i <= 1000; i++) {
        uint64_t hash = lo + (uint64_t)((unsigned __int128)width * i / 1000);
        uint64_t home = (uint64_t)(xe_image_home(img, hash) - xe_image_buckets(img));
        assert_true(home >= last && home < img->nbuckets);
        last = home;
    }
    /* All buckets are used, if there are hashes enough. */
    assert_true(width < img->nbuckets || last == img->nbuckets - 1);
    xe_image_unref(img);
}

static void homes_are_in_the_order_of_hashes_and_within_the_image(void **state)
{
    (void)state;
    home_of(0, UINT64_MAX, 1000);
    home_of(0, UINT64_MAX, 1);
    home_of(UINT64_MAX, UINT64_MAX, 500);
    home_of(0, 0, 500);
    home_of(UINT64_MAX - 30, UINT64_MAX, 600);
    home_of(5, 5 + 36, 600);
    home_of(1ull << 63, UINT64_MAX, 1000);
    home_of(1, (1ull << 40) + 3, 777);
}

static void keys_with_the_same_fingerprint_are_told_apart(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 100, 400);
    for (uint32_t n = 0; n < 15; n++)
        assert_true(add(img, n, (uint64_t)n << 20 | 0x55));
    for (uint32_t n = 0; n < 15; n++)
        assert_true(finds(img, n, (uint64_t)n << 20 | 0x55));
    assert_false(finds(img, 20, 0x55));
    assert_false(finds(img, 3, 0x56));
    xe_image_unref(img);
}

static void a_full_bucket_is_continued_in_a_chain(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 500, 2500);
    enum { N = 170 };
    for (uint32_t n = 0; n < N; n++)
        assert_true(add(img, n, n));
    for (uint32_t n = 0; n < N; n++)
        assert_true(finds(img, n, n));
    assert_int_equal(img->count, N);
    uint32_t chain = 1;
    for (struct xe_bucket *b = xe_image_home(img, 0); b->link; b = xe_image_linked(img, b->link))
        chain++;
    assert_int_equal(chain, (N + XE_BUCKET_PLACES - 1) / XE_BUCKET_PLACES);
    xe_image_unref(img);
}

static void a_chain_ends_where_the_room_does(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 40, 120);
    uint32_t n = 0;
    while (add(img, n, 9))
        assert_true(++n < KEYS);
    assert_true(n >= 40);
    assert_true(img->top <= img->bottom);
    for (uint32_t i = 0; i < n; i++)
        assert_true(finds(img, i, 9));
    xe_image_unref(img);
}

static void places_are_reserved_for_several_at_once(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 500, 2000);
    for (uint32_t n = 0; n < 15; n++)
        add(img, n, 1);
    uint32_t bottom = img->bottom;
    assert_true(xe_image_reserve_places(img, 1, 5));
    assert_int_equal(img->bottom, bottom);
    assert_true(xe_image_reserve_places(img, 1, 6));
    assert_int_equal(img->bottom, bottom - XE_BUCKET_BYTES / XE_UNIT);
    assert_true(xe_image_reserve_places(img, 1, 25));
    assert_int_equal(img->bottom, bottom - XE_BUCKET_BYTES / XE_UNIT);
    assert_false(xe_image_reserve_places(img, 1, 5000));
    xe_image_unref(img);
}

static void an_emptied_place_is_used_again(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 100, 4000);
    uint32_t bottom = img->bottom;
    for (uint32_t n = 0; n < XE_BUCKET_PLACES; n++)
        add(img, n, 3);
    for (uint32_t n = 20; n < 500; n++) {
        take_out(img, n - 13, 3);
        assert_true(add(img, n, 3));
        assert_false(finds(img, n - 13, 3));
        for (uint32_t k = n - 12; k <= n; k++)
            assert_true(finds(img, k, 3));
    }
    assert_int_equal(img->bottom, bottom);
    assert_int_equal(img->count, XE_BUCKET_PLACES);
    xe_image_unref(img);
}

static void the_empty_image_finds_nothing_and_is_never_freed(void **state)
{
    (void)state;
    assert_true(xe_image_is_empty(xe_image_empty));
    assert_false(finds(xe_image_empty, 1, 0));
    assert_false(finds(xe_image_empty, 1, UINT64_MAX));
    assert_false(xe_image_has_room(xe_image_empty, 1));
    assert_true(xe_image_is_valid(xe_image_empty, SEED));
    for (int i = 0; i < 3; i++)
        xe_image_unref(xe_image_empty);
    struct xe_image_cursor cursor = {0};
    assert_int_equal(xe_image_next(xe_image_empty, &cursor), 0);
}

static void a_cursor_sees_every_record_once_and_then_the_end(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 300, 3000);
    struct xe_image_cursor cursor = {0};
    uint8_t seen[200] = {0};
    for (uint32_t n = 0; n < 200; n++)
        add(img, n, n % 3 ? n : (uint64_t)n << 56);
    for (uint32_t off; (off = xe_image_next(img, &cursor));) {
        uint64_t n;
        memcpy(&n, xe_image_record(img, off) + XE_HDR_BYTES, sizeof n);
        seen[n]++;
    }
    for (uint32_t n = 0; n < 200; n++)
        assert_int_equal(seen[n], 1);
    assert_int_equal(xe_image_next(img, &cursor), 0);
    assert_int_equal(xe_image_next(img, &cursor), 0);
    xe_image_unref(img);
}

/* --- The ring ------------------------------------------------------------ */

/* A section that another thread holds open. */
struct holder {
    pthread_t thread;
    pthread_barrier_t gate; /* entered; then: may leave; then: has left */
};

static void *hold(void *arg)
{
    struct holder *h = arg;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    pthread_barrier_wait(&h->gate);
    pthread_barrier_wait(&h->gate);
    xe_epoch_leave(slot);
    pthread_barrier_wait(&h->gate);
    return NULL;
}

static void holder_start(struct holder *h)
{
    pthread_barrier_init(&h->gate, NULL, 2);
    assert_int_equal(pthread_create(&h->thread, NULL, hold, h), 0);
    pthread_barrier_wait(&h->gate);
}

static void holder_stop(struct holder *h)
{
    pthread_barrier_wait(&h->gate);
    pthread_barrier_wait(&h->gate);
    pthread_join(h->thread, NULL);
    pthread_barrier_destroy(&h->gate);
}

static void advance(uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        assert_true(xe_epoch_try_advance());
}

/* An image with no room but for what is retired: one slot of `units`. */
static struct xe_image *full_image(uint32_t units, uint32_t *off)
{
    struct xe_image *img = image_for(0, UINT64_MAX, 16, 64);
    struct xe_object o = {
        .bytes = (const uint8_t *)numbers, .klen = 8, .len = units * XE_UNIT - XE_HDR_BYTES};
    struct xe_prepared p = {.key = numbered(0, 0), .object = &o, .units = units};
    *off = xe_image_alloc(img, units);
    xe_record_write(xe_image_record(img, *off), &p, NULL);
    xe_image_count_in(img, xe_image_record(img, *off));
    assert_true(xe_image_alloc(img, img->bottom - img->top) != 0);
    return img;
}

static void i1_a_retired_slot_is_used_when_the_clock_is_two_past_its_stamp(void **state)
{
    (void)state;
    uint32_t off;
    struct xe_image *img = full_image(3, &off);
    assert_false(xe_image_has_retired(img));
    xe_image_retire(img, off);
    assert_true(xe_image_has_retired(img));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(xe_image_alloc(img, 3), 0);
        advance(1);
    }
    assert_int_equal(xe_image_alloc(img, 3), off);
    assert_int_equal(xe_image_alloc(img, 3), 0);
    xe_image_unref(img);
}

static void i1_a_retired_slot_is_not_used_while_a_reader_may_hold_it(void **state)
{
    (void)state;
    uint32_t off;
    struct holder h;
    struct xe_image *img = full_image(3, &off);
    holder_start(&h);
    xe_image_retire(img, off);
    for (uint32_t i = 0; i < 10; i++) {
        xe_epoch_try_advance();
        assert_int_equal(xe_image_alloc(img, 3), 0);
    }
    holder_stop(&h);
    advance(3);
    assert_int_equal(xe_image_alloc(img, 3), off);
    xe_image_unref(img);
}

/* The ring keeps nine bits of a stamp. */
static void i1_an_age_of_more_than_512_may_make_a_slot_look_younger_but_never_older(void **state)
{
    (void)state;
    uint32_t off;
    struct xe_image *img = full_image(3, &off);
    xe_image_retire(img, off);
    uint64_t stamp = xe_epoch_stamp();
    for (uint32_t age = 0; age < 1600; age++) {
        uint32_t got = xe_image_alloc(img, 3);
        assert_true(got == 0 || xe_epoch_is_ripe(stamp));
        if (got) {
            xe_image_retire(img, got);
            stamp = xe_epoch_stamp();
            /* Let it grow old: by more every time, through all remainders. */
            advance(500 + age % 40);
        }
        advance(1);
    }
    xe_image_unref(img);
}

static void what_is_left_of_a_retired_slot_can_be_used_too(void **state)
{
    (void)state;
    uint32_t off;
    struct xe_image *img = full_image(10, &off);
    xe_image_retire(img, off);
    advance(3);
    assert_int_equal(xe_image_alloc(img, 4), off);
    assert_int_equal(xe_image_alloc(img, 4), off + 4);
    assert_int_equal(xe_image_alloc(img, 4), 0);
    assert_int_equal(xe_image_alloc(img, 2), off + 8);
    assert_int_equal(xe_image_alloc(img, 1), 0);
    xe_image_unref(img);
}

static void a_slot_that_is_too_small_does_not_hide_the_next_one(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 100, 400);
    struct xe_place place = {0};
    add(img, 1, 1);
    struct xe_key key = numbered(1, 1);
    assert_true(xe_find(img, &key, &place));
    uint32_t large = xe_image_alloc(img, 8);
    assert_true(xe_image_alloc(img, img->bottom - img->top) != 0);
    xe_image_retire(img, place.off);
    xe_image_unalloc(img, large, 8);
    advance(3);
    assert_int_equal(xe_image_alloc(img, 8), large);
    assert_int_equal(xe_image_alloc(img, 3), place.off);
    xe_image_unref(img);
}

static void a_full_ring_loses_slots_and_nothing_else(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 400, 1600);
    for (uint32_t n = 0; n < 300; n++)
        add(img, n, (uint64_t)n << 54);
    for (uint32_t n = 0; n < 300; n++)
        take_out(img, n, (uint64_t)n << 54);
    assert_int_equal(img->ring_len, img->ring_cap);
    assert_int_equal(img->live, 0);
    assert_true(xe_image_is_valid(img, SEED));
    advance(3);
    assert_true(xe_image_alloc(img, img->bottom - img->top) != 0);
    uint32_t n = 0;
    while (xe_image_alloc(img, 3))
        n++;
    assert_int_equal(n, img->ring_cap);
    xe_image_unref(img);
}

static void what_was_never_published_is_free_at_once(void **state)
{
    (void)state;
    struct xe_image *img = image_for(0, UINT64_MAX, 100, 400);
    uint32_t top = img->top;
    uint32_t a = xe_image_alloc(img, 3), b = xe_image_alloc(img, 5), c = xe_image_alloc(img, 7);
    xe_image_unalloc(img, b, 5);
    assert_int_equal(xe_image_alloc(img, 5), b);
    xe_image_unalloc(img, c, 7);
    xe_image_unalloc(img, b, 5);
    xe_image_unalloc(img, a, 3);
    assert_int_equal(img->top, top);
    xe_image_unref(img);
}

/* test_image [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(homes_are_in_the_order_of_hashes_and_within_the_image),
        TEST(keys_with_the_same_fingerprint_are_told_apart),
        TEST(a_full_bucket_is_continued_in_a_chain),
        TEST(a_chain_ends_where_the_room_does),
        TEST(places_are_reserved_for_several_at_once),
        TEST(an_emptied_place_is_used_again),
        TEST(the_empty_image_finds_nothing_and_is_never_freed),
        TEST(a_cursor_sees_every_record_once_and_then_the_end),
        TEST(i1_a_retired_slot_is_used_when_the_clock_is_two_past_its_stamp),
        TEST(i1_a_retired_slot_is_not_used_while_a_reader_may_hold_it),
        TEST(i1_an_age_of_more_than_512_may_make_a_slot_look_younger_but_never_older),
        TEST(what_is_left_of_a_retired_slot_can_be_used_too),
        TEST(a_slot_that_is_too_small_does_not_hide_the_next_one),
        TEST(a_full_ring_loses_slots_and_nothing_else),
        TEST(what_was_never_published_is_free_at_once),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
