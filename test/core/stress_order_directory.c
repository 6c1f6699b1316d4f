/*
 * stress_order_directory.c - the directory of ordered tables under many threads: segments are
 * split and merged, their objects counted, keys looked for and counts added up, all at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stress.h"
#include "support_order_directory.h"

enum {
    KEYS = 4096,       /* numbers: keys have four bytes behind a few that all have in common */
    OBJECTS = 2000,    /* of a segment, at most */
    LOW = 100,         /* segments; the threads that change their number turn round there... */
    HIGH = 600,        /* and there */
    CHANGES = OPERATIONS / 10,
};

/* Objects that writers have begun to add, and those that they have added. */
static _Atomic uint64_t begun, added;
static _Atomic uint32_t turns;

static void number_key(struct order_key *k, uint32_t n)
{
    memset(k, 0, sizeof *k);
    memcpy(k->bytes, "key:", 4);
    for (int i = 0; i < 4; i++)
        k->bytes[4 + i] = (uint8_t)(n >> (24 - 8 * i));
    k->len = 8;
}

/* Where a segment begins: 0, or the number of its fence. */
static uint32_t number_of(const struct xe_segment *s)
{
    uint32_t n = 0;
    if (!s->fence)
        return 0;
    CHECK(s->fence->len == 8);
    for (int i = 0; i < 4; i++)
        n = n << 8 | s->fence->bytes[4 + i];
    return n;
}

static struct xe_segment *segment_of(struct xe_table *t, uint32_t n)
{
    struct order_key k;
    struct xe_key key;
    number_key(&k, n);
    order_key_init(&key, &k);
    return xe_order_segment(t, &key);
}

/* A live segment, locked; NULL: not to be had. */
static struct xe_segment *lock_segment(struct xe_segment *s)
{
    if (!s || !xe_lock_try(&s->lock))
        return NULL;
    if (s->state == SEGMENT_LIVE)
        return s;
    xe_lock_release(&s->lock);
    return NULL;
}

/* --- Changing the directory ----------------------------------------------- */

/* Up to n locked segments that are neighbours. */
static uint32_t lock_some(struct xe_table *t, uint32_t at, uint32_t n, struct xe_segment **out)
{
    uint32_t locked = 0;
    struct xe_segment *s = lock_segment(segment_of(t, at));
    while (s) {
        out[locked++] = s;
        /* A live one that we have locked stays, and so does where its right neighbour begins. */
        struct xe_segment *right = locked < n ? xe_order_right(t, s) : NULL;
        s = lock_segment(right);
    }
    return locked;
}

static void unlock(struct xe_segment *const *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        xe_lock_release(&s[i]->lock);
}

/* n segments with all the objects of `from`; those in the middle of the range are cut. */
static uint32_t make_segments(struct xe_table *t, struct xe_segment *const *from, uint32_t n_from,
                              uint32_t n, struct xe_segment **to)
{
    struct xe_segment *right = xe_order_right(t, from[n_from - 1]);
    uint32_t lo = number_of(from[0]), width = (right ? number_of(right) : KEYS) - lo, sum = 0;
    n = n < width ? n : width;
    for (uint32_t i = 0; i < n_from; i++)
        sum += count_of(from[i]);
    for (uint32_t i = 0; i < n; i++) {
        struct order_key k;
        number_key(&k, lo + width * i / n);
        to[i] = counted_segment(t, i || from[0]->fence ? &k : NULL,
                                sum * (i + 1) / n - sum * i / n, true);
        CHECK(to[i]);
    }
    return n;
}

static void change_some(struct worker *w, uint32_t n_from, uint32_t n_to)
{
    struct xe_segment *from[8], *to[XE_REBUILD_PARTS];
    struct xe_epoch_slot *slot = xe_epoch_enter();
    uint32_t locked = lock_some(w->t, rng_below(&w->rng, KEYS), n_from, from), sum = 0;
    for (uint32_t i = 0; i < locked; i++)
        sum += count_of(from[i]);
    if (locked && sum <= OBJECTS) {
        uint32_t n = make_segments(w->t, from, locked, n_to, to);
        if (segments_replace(w->t, slot, from, locked, to, n) != XE_OK) {
            for (uint32_t i = 0; i < n; i++)
                counted_discard(w->t, to[i]);
            unlock(from, locked);
        }
    } else {
        unlock(from, locked);
    }
    xe_epoch_leave(slot);
}

static void change(struct worker *w)
{
    bool grow = true;
    for (uint32_t n = scaled(CHANGES); n--;) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        uint64_t segments = xe_table_segments(w->t);
        xe_epoch_leave(slot);
        bool grew = grow;
        grow = segments < LOW || (grow && segments < HIGH);
        if (grow != grew)
            atomic_fetch_add(&turns, 1);
        if (!grow)
            change_some(w, 2 + rng_below(&w->rng, 6), 1);
        else if (rng_chance(&w->rng, 1, 20))
            change_some(w, 1, XE_REBUILD_PARTS);
        else
            change_some(w, 1 + rng_below(&w->rng, 2), 2 + rng_below(&w->rng, 4));
    }
    writer_done();
}

/* --- Writing and reading --------------------------------------------------- */

static void add_objects(struct worker *w)
{
    while (atomic_load(&writing)) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        struct xe_segment *s = lock_segment(segment_of(w->t, rng_below(&w->rng, KEYS)));
        /* Few, so that those that are merged do not have too many. */
        /* The first segment has the image that all empty ones share until it is replaced. */
        if (s && !xe_image_is_empty(xe_segment_image(s)) && count_of(s) < OBJECTS / 16) {
            atomic_fetch_add(&begun, 1);
            count_write(s, count_of(s) + 1);
            atomic_fetch_add(&added, 1);
        }
        if (s)
            xe_lock_release(&s->lock);
        xe_epoch_leave(slot);
    }
}

static void find_segments(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint32_t n = rng_below(&w->rng, KEYS), steps = 0;
        struct xe_epoch_slot *slot = xe_epoch_enter();
        struct xe_segment *s = segment_of(w->t, n), *right = xe_order_right(w->t, s);
        CHECK(number_of(s) <= n);
        /* If it has not moved since, its range ends where the next one begins. */
        bool moved = atomic_load(&s->version) & 1;
        CHECK(moved || !right || number_of(right) > n);
        for (; right && steps < 10; steps++, s = right, right = xe_order_right(w->t, s)) {
            CHECK(number_of(right) > number_of(s));
            struct xe_segment *left = xe_order_left(w->t, right);
            CHECK(left && number_of(left) < number_of(right));
        }
        CHECK(!xe_order_edge(w->t, false)->fence);
        xe_epoch_leave(slot);
    }
}

/* Whatever moves, all that was added before is counted, and nothing twice. */
static void add_up(struct worker *w)
{
    while (atomic_load(&writing)) {
        struct order_key k;
        struct xe_key key;
        struct xe_segment *s;
        uint64_t sum, before, least = atomic_load(&added);
        uint32_t rest, n = rng_below(&w->rng, KEYS);
        number_key(&k, n);
        order_key_init(&key, &k);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        enum xe_status status = xe_order_count_before(w->t, NULL, &s, &sum);
        uint64_t most = atomic_load(&begun);
        CHECK(status == XE_RETRY || (sum >= least && sum <= most));
        status = xe_order_count_before(w->t, &key, &s, &before);
        most = atomic_load(&begun);
        CHECK(status == XE_RETRY || (before <= most && number_of(s) <= n));
        if (least) {
            status = xe_order_segment_at(w->t, least - 1, &s, &rest);
            CHECK(status == XE_RETRY || (status == XE_OK && rest < OBJECTS));
        }
        xe_epoch_leave(slot);
    }
}

static void keys_are_found_and_objects_counted_while_chunks_split(void **state)
{
    (void)state;
    struct xe_table *t = order_table_new();
    struct xe_segment *s;
    uint64_t sum;
    assert_non_null(t);
    atomic_store(&begun, 0);
    atomic_store(&added, 0);
    atomic_store(&turns, 0);
    add_worker(t, change, true);
    add_worker(t, change, true);
    add_worker(t, add_objects, false);
    add_worker(t, add_objects, false);
    add_worker(t, find_segments, false);
    add_worker(t, add_up, false);
    run_workers();
    assert_true(order_is_valid(t));
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_order_count_before(t, NULL, &s, &sum), XE_OK);
    xe_epoch_leave(slot);
    assert_int_equal(sum, atomic_load(&added));
    assert_true(sum > 1000);
    assert_true(atomic_load(&turns) >= 4);
    xe_table_delete(t);
}

/* --- Moving cells ----------------------------------------------------------- */

enum { STEADY = 3, STEP = KEYS / 4 }; /* segments that stay, and the keys of each */

/* Between one segment and so many behind the steady ones, whose cells move each time. */
static void move_cells(struct worker *w)
{
    struct xe_segment *from[XE_ORDER_CELLS_FEW], *to[XE_ORDER_CELLS_FEW];
    for (uint32_t n = scaled(CHANGES); n--;) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        uint32_t n_from = lock_some(w->t, STEADY * STEP, XE_ORDER_CELLS_FEW, from);
        uint32_t n_to = n_from == 1 ? XE_ORDER_CELLS_FEW : 1;
        CHECK(n_from && make_segments(w->t, from, n_from, n_to, to) == n_to);
        const struct xe_order_counts *before = xe_order_top_counts(xe_order_top_now(w->t))[0];
        enum xe_status status;
        while ((status = segments_replace(w->t, slot, from, n_from, to, n_to)) == XE_RETRY)
            sched_yield();
        CHECK(status == XE_OK);
        CHECK(xe_order_top_counts(xe_order_top_now(w->t))[0] != before);
        xe_epoch_leave(slot);
    }
    writer_done();
}

/* Nobody else writes there: what has been written is what is counted, at once. */
static void count_steady(struct worker *w)
{
    uint32_t written[STEADY] = {0};
    for (uint32_t n = 0; atomic_load(&writing); n++) {
        uint32_t at = n % STEADY, count = (written[at] + 1) % OBJECTS;
        struct order_key k;
        struct xe_key key;
        struct xe_segment *found;
        uint64_t before, expected = 0;
        struct xe_epoch_slot *slot = xe_epoch_enter();
        struct xe_segment *s = lock_segment(segment_of(w->t, at * STEP));
        CHECK(s);
        count_write(s, count);
        xe_lock_release(&s->lock);
        written[at] = count;
        for (uint32_t i = 0; i < STEADY; i++)
            expected += written[i];
        number_key(&k, STEADY * STEP);
        order_key_init(&key, &k);
        enum xe_status status = xe_order_count_before(w->t, &key, &found, &before);
        CHECK(status == XE_RETRY || before == expected);
        xe_epoch_leave(slot);
    }
}

static void no_count_is_lost_while_cells_move(void **state)
{
    (void)state;
    struct xe_table *t = order_table_new();
    struct xe_segment *s[STEADY + 1], *first;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(lock_some(t, 0, 1, &first), 1);
    assert_int_equal(make_segments(t, &first, 1, STEADY + 1, s), STEADY + 1);
    assert_int_equal(segments_replace(t, slot, &first, 1, s, STEADY + 1), XE_OK);
    xe_epoch_leave(slot);
    add_worker(t, move_cells, true);
    add_worker(t, count_steady, false);
    run_workers();
    assert_true(order_is_valid(t));
    xe_table_delete(t);
}

/* stress_order_directory [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_are_found_and_objects_counted_while_chunks_split),
        TEST(no_count_is_lost_while_cells_move),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("order_directory_stress", tests, NULL, NULL);
}
