/*
 * test_bag.c - bags: several objects a key, groups of one to a hundred thousand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support_bag.h"
#include "table_internal.h"

/* A chain is looked at before an object is added, so one bucket more may come; and the other
 * objects of a bucket's range may be in the chain. */
enum { CHAIN = 8 };

static const enum xe_kind kinds[] = {XE_BAG, XE_DUPLICATE_BAG};

/* --- Single calls -------------------------------------------------------- */

static void an_empty_bag_has_no_key(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 2; k++) {
        struct xe_table *t = bag_new(kinds[k], 0);
        assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, NULL, 0), XE_ABSENT);
        assert_int_equal(bag_take(t, short_key(1), UINT32_MAX, NULL, 0), XE_ABSENT);
        assert_int_equal(bag_drop(t, short_key(1)), XE_ABSENT);
        assert_int_equal(bag_member(t, short_key(1)), XE_ABSENT);
        assert_int_equal(bag_remove(t, short_key(1), number(1)), XE_ABSENT);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

static void objects_come_in_the_order_of_their_insertion(void **state)
{
    (void)state;
    enum { N = 3000 };
    static uint64_t values[N];
    for (uint32_t k = 0; k < 2; k++) {
        struct xe_table *t = bag_new(kinds[k], 64);
        for (uint32_t i = 0; i < N; i++) {
            values[i] = number(1000000 + i);
            assert_int_equal(bag_put(t, short_key(1), values[i], XE_PUT), XE_OK);
            if ((i & (i + 1)) == 0)
                assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, values, i + 1), XE_OK);
        }
        assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, values, N), XE_OK);
        assert_int_equal(bag_take(t, short_key(1), UINT32_MAX, values, N), XE_OK);
        assert_int_equal(bag_member(t, short_key(1)), XE_ABSENT);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* One of each kind of value, and of loose ones both that are equal. */
static const uint64_t one_of_each[] = {
    VALUE(VALUE_NUMBER, 777),  VALUE(VALUE_EMPTY, 0), VALUE(VALUE_MEDIUM, 1),
    VALUE(VALUE_LARGE, 2),     VALUE(VALUE_GIANT, 3), VALUE(VALUE_TERMS, 4),
    VALUE(VALUE_PIN, 5),       VALUE(VALUE_PIN_LARGE, 6),
    VALUE(VALUE_LOOSE, 7),     VALUE(VALUE_LOOSE, 7) | LOOSE_OTHER,
};
enum { EACH = sizeof one_of_each / sizeof *one_of_each };

static void a_bag_keeps_one_of_equal_objects_the_first(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KEY_KINDS; kind++) {
        struct xe_table *t = bag_new(XE_BAG, 0);
        for (uint32_t round = 0; round < 3; round++)
            for (uint32_t i = 0; i < EACH; i++)
                assert_int_equal(bag_put(t, KEY(kind, 1), one_of_each[i], XE_PUT),
                                 round || i == EACH - 1 ? XE_EXISTS : XE_OK);
        assert_int_equal(bag_find(t, KEY(kind, 1), UINT32_MAX, one_of_each, EACH - 1), XE_OK);
        for (uint32_t i = 0; i < EACH; i++)
            assert_int_equal(bag_remove(t, KEY(kind, 1), one_of_each[i]),
                             i == EACH - 1 ? XE_ABSENT : XE_OK);
        assert_int_equal(bag_member(t, KEY(kind, 1)), XE_ABSENT);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

static void a_duplicate_bag_keeps_all_and_removes_all_that_are_equal(void **state)
{
    (void)state;
    enum { ROUNDS = 3 };
    for (uint32_t kind = 0; kind < KEY_KINDS; kind++) {
        struct xe_table *t = bag_new(XE_DUPLICATE_BAG, 0);
        uint64_t values[ROUNDS * EACH];
        uint32_t n = 0;
        for (uint32_t i = 0; i < ROUNDS * EACH; i++) {
            values[n++] = one_of_each[i % EACH];
            assert_int_equal(bag_put(t, KEY(kind, 1), values[i], XE_PUT), XE_OK);
        }
        assert_int_equal(bag_find(t, KEY(kind, 1), UINT32_MAX, values, n), XE_OK);
        /* The loose ones go together, by either. */
        assert_int_equal(bag_remove(t, KEY(kind, 1), one_of_each[EACH - 1]), XE_OK);
        assert_int_equal(bag_remove(t, KEY(kind, 1), one_of_each[EACH - 2]), XE_ABSENT);
        assert_int_equal(bag_remove(t, KEY(kind, 1), one_of_each[0]), XE_OK);
        for (uint32_t i = n = 0; i < ROUNDS * EACH; i++)
            if (i % EACH && i % EACH < EACH - 2)
                values[n++] = one_of_each[i % EACH];
        assert_int_equal(bag_find(t, KEY(kind, 1), UINT32_MAX, values, n), XE_OK);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

static void put_new_stores_the_first_object_of_a_key(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 2; k++) {
        struct xe_table *t = bag_new(kinds[k], 16);
        for (uint32_t i = 0; i < 500; i++)
            assert_int_equal(bag_put(t, short_key(7), number(5000 + i), XE_PUT), XE_OK);
        /* Also where the group is in many segments, and the object of another than the first. */
        for (uint32_t i = 0; i < 50; i++)
            assert_int_equal(bag_put(t, short_key(7), VALUE(VALUE_LARGE, i), XE_PUT_NEW),
                             XE_EXISTS);
        assert_int_equal(bag_drop(t, short_key(7)), XE_OK);
        for (uint32_t i = 0; i < 50; i++) {
            uint64_t value = VALUE(VALUE_LARGE, i);
            assert_int_equal(bag_put(t, short_key(7), value, XE_PUT_NEW), XE_OK);
            assert_int_equal(bag_take(t, short_key(7), 1, &value, 1), XE_OK);
        }
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

static void twins_are_keys_of_their_own(void **state)
{
    (void)state;
    enum { TWINS = 40 };
    for (uint32_t kind = KEY_TWIN; kind <= KEY_HUGE_TWIN; kind++) {
        struct xe_table *t = bag_new(XE_BAG, 16);
        uint64_t values[2];
        for (uint32_t round = 0; round < 2; round++)
            for (uint32_t i = 0; i < TWINS; i++)
                assert_int_equal(
                    bag_put(t, KEY(kind, i), number(900 + 2 * i + round), XE_PUT), XE_OK);
        for (uint32_t i = 0; i < TWINS; i++) {
            values[0] = number(900 + 2 * i);
            values[1] = number(901 + 2 * i);
            assert_int_equal(bag_put(t, KEY(kind, i), number(1), XE_PUT_NEW), XE_EXISTS);
            assert_int_equal(bag_take(t, KEY(kind, i), 2, values, 2), XE_OK);
            assert_int_equal(bag_put(t, KEY(kind, i), number(1), XE_PUT_NEW), XE_OK);
        }
        assert_int_equal(stats_of(t).objects, TWINS);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* --- Limits -------------------------------------------------------------- */

static bool accept_as_told(void *arg, const struct xe_run *run)
{
    return run->n > 0 && *(const bool *)arg;
}

static enum xe_status take_if(struct xe_table *t, uint32_t key, bool accepted, uint32_t *n)
{
    struct finding f;
    finding_begin(&f, t, key);
    enum xe_status status = xe_bag_take(t, f.slot, &f.lookup.key, UINT32_MAX, accept_as_told,
                                        &accepted, false, &f.run);
    *n = f.run.n;
    finding_end(&f);
    return status;
}

static void more_than_most_is_not_found_and_not_taken(void **state)
{
    (void)state;
    enum { N = 300 };
    static uint64_t values[N];
    struct xe_table *t = bag_new(XE_DUPLICATE_BAG, 16);
    for (uint32_t i = 0; i < N; i++) {
        values[i] = number(i / 2);
        assert_int_equal(bag_put(t, short_key(1), values[i], XE_PUT), XE_OK);
        assert_int_equal(bag_find(t, short_key(1), i, values, i), XE_LIMIT);
        assert_int_equal(bag_take(t, short_key(1), i, values, i), XE_LIMIT);
        assert_int_equal(bag_find(t, short_key(1), i + 1, values, i + 1), XE_OK);
    }
    assert_int_equal(bag_member(t, short_key(1)), XE_OK);
    assert_int_equal(bag_take(t, short_key(1), N, values, N), XE_OK);
    assert_int_equal(bag_find(t, short_key(1), 0, values, 0), XE_ABSENT);
    xe_table_delete(t);
}

static void what_is_not_accepted_stays(void **state)
{
    (void)state;
    struct xe_table *t = bag_new(XE_BAG, 16);
    for (uint32_t size = 0; size <= 200; size += 40) {
        uint32_t n;
        for (uint32_t i = 0; i < size; i++)
            assert_int_equal(bag_put(t, short_key(1), number(7000 + i), XE_PUT), XE_OK);
        assert_int_equal(take_if(t, short_key(1), false, &n), size ? XE_LIMIT : XE_ABSENT);
        assert_int_equal(n, size);
        assert_int_equal(bag_count(t, short_key(1)), size);
        assert_int_equal(take_if(t, short_key(1), true, &n), size ? XE_OK : XE_ABSENT);
        assert_int_equal(n, size);
        assert_int_equal(bag_count(t, short_key(1)), 0);
    }
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* --- Locks --------------------------------------------------------------- */

static void g6_without_its_locks_a_call_retries_and_leaves_none(void **state)
{
    (void)state;
    enum { N = 400 };
    struct xe_table *t = bag_new(XE_DUPLICATE_BAG, 16);
    struct lookup l;
    uint32_t key = short_key(3);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(bag_put(t, key, number(i), XE_PUT), XE_OK);
    lookup_make(&l, xe_table_seed(t), key);
    uint64_t lo = l.key.hash & XE_BAG_KEY_HASH, hi = lo | ~XE_BAG_KEY_HASH;
    for (uint32_t i = 0; i < 3; i++) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        struct xe_segment *s = xe_segment_acquire(t, i == 0   ? lo
                                                     : i == 1 ? lo + (hi - lo) / 2
                                                              : hi);
        xe_epoch_leave(slot);
        /* Too many segments to be read without locks. */
        assert_int_equal(bag_find(t, key, UINT32_MAX, NULL, 0), XE_RETRY);
        assert_int_equal(bag_take(t, key, UINT32_MAX, NULL, 0), XE_RETRY);
        assert_int_equal(bag_drop(t, key), XE_RETRY);
        /* But it is seen that there is one. */
        assert_int_equal(bag_put(t, key, number(1), XE_PUT_NEW), XE_EXISTS);
        assert_int_equal(bag_member(t, key), XE_OK);
        assert_int_equal(bag_find(t, key, 10, NULL, 0), XE_LIMIT);
        xe_lock_release(&s->lock);
        assert_true(is_valid(t));
    }
    assert_true(xe_lock_try(&t->list_lock));
    assert_int_equal(bag_drop(t, key), XE_RETRY);
    xe_lock_release(&t->list_lock);
    assert_true(is_valid(t));
    assert_int_equal(xe_table_close_gate(t), XE_OK);
    assert_int_equal(bag_drop(t, key), XE_RETRY);
    assert_int_equal(bag_put(t, key, number(1), XE_PUT), XE_RETRY);
    xe_table_open_gate(t);
    assert_int_equal(bag_count(t, key), N);
    lookup_free(&l);
    xe_table_delete(t);
}

static void what_was_found_or_taken_keeps_nobody_from_the_gate(void **state)
{
    (void)state;
    enum { N = 400 };
    struct xe_table *t = bag_new(XE_BAG, 16);
    struct lookup l;
    struct xe_run run;
    struct xe_view view;
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(bag_put(t, short_key(1), number(i), XE_PUT), XE_OK);
    lookup_make(&l, xe_table_seed(t), short_key(1));
    for (uint32_t takes = 0; takes < 2; takes++) {
        xe_run_begin(&run);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        assert_int_equal(
            takes ? xe_bag_take(t, slot, &l.key, UINT32_MAX, NULL, NULL, false, &run)
                  : xe_bag_find(t, slot, &l.key, UINT32_MAX, false, &run),
            XE_OK);
        assert_int_equal(xe_table_fix(t), XE_OK);
        xe_table_unfix(t);
        if (takes)
            assert_int_equal(xe_table_clear(t, slot, NULL), XE_OK);
        /* And it is still there to be read. */
        assert_int_equal(run.n, N);
        for (uint32_t i = 0; i < N; i++) {
            xe_record_view(run.at[i].rec, &view);
            assert_true(view_is(&view, short_key(1), number(i)));
        }
        xe_epoch_leave(slot);
        xe_run_end(&run);
    }
    lookup_free(&l);
    xe_table_delete(t);
}

/* A reader that finds a version odd, or the batch word, looks again and then takes the locks. */
static void g8_what_is_being_changed_is_read_under_its_locks(void **state)
{
    (void)state;
    struct xe_table *t = bag_new(XE_BAG, 0);
    uint64_t value = number(1);
    assert_int_equal(bag_put(t, short_key(1), value, XE_PUT), XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    struct xe_segment *s = xe_segment_acquire(t, 0);
    xe_epoch_leave(slot);
    assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, &value, 1), XE_OK);
    xe_segment_changes(s);
    assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, &value, 1), XE_RETRY);
    assert_int_equal(bag_member(t, short_key(1)), XE_RETRY);
    xe_segment_changed(s);
    assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, &value, 1), XE_OK);
    atomic_fetch_add(&t->batch, 1);
    assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, &value, 1), XE_RETRY);
    atomic_fetch_add(&t->batch, 1);
    assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, &value, 1), XE_OK);
    xe_lock_release(&s->lock);
    xe_table_delete(t);
}

/* Called when a change is about to be published: whoever reads now must not take what it sees
 * for one state. */
struct odd_log {
    struct log_calls calls;
    struct xe_table *t;
};

static enum xe_status begin_nothing(void *log, const struct xe_log_change *change,
                                    struct xe_log_write *write)
{
    (void)log;
    (void)change;
    (void)write;
    return XE_OK;
}

static void end_nothing(void *log, struct xe_log_write *write)
{
    (void)log;
    (void)write;
}

static void check_odd(void *arg, struct xe_log_write *write)
{
    const struct xe_table *t = ((struct odd_log *)arg)->t;
    (void)write;
    bool odd = atomic_load(&t->batch) & 1;
    uint64_t position = 0;
    do {
        const struct xe_segment *s = xe_directory_find(t, position);
        odd |= atomic_load(&s->version) & 1;
        position = s->hi + 1;
    } while (position);
    CHECK(odd);
}

static void g8_whatever_is_being_changed_is_marked_before_and_not_after(void **state)
{
    (void)state;
    enum { N = 100 };
    for (uint32_t k = 0; k < 2; k++) {
        static struct odd_log log;
        log = (struct odd_log){.calls = {begin_nothing, check_odd, end_nothing, NULL}};
        struct xe_table *t = bag_new(kinds[k], 16);
        uint32_t keys[N];
        uint64_t values[N];
        log.t = t;
        xe_table_set_log(t, &log);
        for (uint32_t i = 0; i < N; i++) {
            keys[i] = short_key(1);
            values[i] = number(N + i);
            assert_int_equal(bag_put(t, short_key(1), number(i), i ? XE_PUT : XE_PUT_NEW), XE_OK);
        }
        assert_int_equal(put_list(t, keys, values, N, XE_PUT), XE_OK);
        for (uint32_t i = 0; i < N / 2; i++)
            assert_int_equal(bag_remove(t, short_key(1), number(i)), XE_OK);
        assert_int_equal(bag_drop(t, short_key(1)), XE_OK);
        uint64_t position = 0;
        struct xe_epoch_slot *slot = xe_epoch_enter();
        do {
            const struct xe_segment *s = xe_directory_find(t, position);
            assert_int_equal(atomic_load(&s->version) & 1, 0);
            position = s->hi + 1;
        } while (position);
        xe_epoch_leave(slot);
        xe_table_delete(t);
    }
}

/* Its image is frozen at the moment when it moved; what is read beside it is not. */
static void g8_a_segment_that_has_moved_is_never_read_as_the_present(void **state)
{
    (void)state;
    struct xe_table *t = bag_new(XE_BAG, 16);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    const struct xe_segment *s = xe_directory_find(t, 0);
    for (uint32_t i = 0; xe_table_segments(t) == 1; i++) {
        struct object x;
        struct xe_prepared p;
        object_make(&x, short_key(i), number(i));
        assert_int_equal(xe_table_prepare(t, &x.o, &p), XE_OK);
        assert_int_equal(xe_bag_put(t, slot, &p, XE_PUT, false), XE_OK);
        object_free(&x);
    }
    assert_int_equal(s->state, SEGMENT_MOVED);
    assert_int_equal(atomic_load(&s->version) & 1, 1);
    xe_epoch_leave(slot);
    xe_table_delete(t);
}

/* --- Lists --------------------------------------------------------------- */

enum { LIST = 4000 };
static uint32_t list_keys[LIST];
static uint64_t list_values[LIST];

static void of_equal_objects_in_a_list_a_bag_gets_the_first(void **state)
{
    (void)state;
    static uint64_t pool[200];
    struct rng r = rng_for(31);
    values_draw(&r, pool, 200);
    for (uint32_t k = 0; k < 2; k++) {
        struct xe_table *t = bag_new(kinds[k], 64);
        struct group model[3] = {{0}};
        for (uint32_t i = 0; i < LIST; i++) {
            list_keys[i] = short_key(i % 3);
            list_values[i] = pool[rng_below(&r, 200)];
            if (list_values[i] >> 56 == VALUE_LOOSE && rng_chance(&r, 1, 2))
                list_values[i] |= LOOSE_OTHER;
            group_add(&model[i % 3], kinds[k], list_values[i]);
        }
        assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT_NEW), XE_OK);
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(bag_find(t, short_key(i), UINT32_MAX, model[i].at, model[i].n), XE_OK);
        assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT_NEW), XE_EXISTS);
        /* Once more: a bag has them already. */
        assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT), XE_OK);
        for (uint32_t i = 0; i < LIST; i++)
            group_add(&model[i % 3], kinds[k], list_values[i]);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(bag_take(t, short_key(i), UINT32_MAX, model[i].at, model[i].n), XE_OK);
            group_free(&model[i]);
        }
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

static void a_list_of_new_keys_looks_at_the_whole_group_of_each(void **state)
{
    (void)state;
    struct xe_table *t = bag_new(XE_DUPLICATE_BAG, 16);
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(bag_put(t, short_key(5), number(i), XE_PUT), XE_OK);
    /* Wherever in the group the one object is that is left, and whatever is listed. */
    for (uint32_t left = 0; left < 300; left += 23) {
        assert_int_equal(bag_drop(t, short_key(5)), XE_OK);
        for (uint32_t i = 0; i < 300; i++)
            bag_put(t, short_key(5), number(i), XE_PUT);
        for (uint32_t i = 0; i < 300; i++)
            if (i != left)
                bag_remove(t, short_key(5), number(i));
        for (uint32_t i = 0; i < 8; i++) {
            list_keys[i] = short_key(i);
            list_values[i] = VALUE(VALUE_TERMS, 100 + i);
        }
        assert_int_equal(put_list(t, list_keys, list_values, 8, XE_PUT_NEW), XE_EXISTS);
        assert_int_equal(bag_remove(t, short_key(5), number(left)), XE_OK);
        assert_int_equal(put_list(t, list_keys, list_values, 8, XE_PUT_NEW), XE_OK);
        for (uint32_t i = 0; i < 8; i++)
            assert_int_equal(bag_drop(t, short_key(i)), XE_OK);
        bag_put(t, short_key(5), number(left), XE_PUT);
        assert_true(is_valid(t));
    }
    xe_table_delete(t);
}

/* --- Large groups -------------------------------------------------------- */

enum { LARGE_GROUP = 100000 };

/* Objects of the image's smallest size, and some others. */
static uint64_t large_value(uint32_t i)
{
    return VALUE(i % 1000 == 17 ? VALUE_LARGE : VALUE_NUMBER, i);
}

static void a_group_of_a_hundred_thousand_is_a_run_of_ordinary_segments(void **state)
{
    (void)state;
    static uint64_t values[LARGE_GROUP];
    for (uint32_t k = 0; k < 2; k++) {
        struct xe_table *t = bag_new(kinds[k], 0);
        struct memory_use before, after;
        for (uint32_t i = 0; i < 1000; i++)
            assert_int_equal(bag_put(t, short_key(1000 + i), number(i), XE_PUT), XE_OK);
        memory_in_use(&before);
        uint64_t bytes = stats_of(t).bytes;
        for (uint32_t i = 0; i < LARGE_GROUP; i++) {
            values[i] = large_value(i);
            assert_int_equal(bag_put(t, short_key(1), values[i], XE_PUT), XE_OK);
        }
        struct shape shape = shape_of(t);
        assert_in_range(shape.chain, 1, CHAIN);
        assert_in_range(shape.segments, LARGE_GROUP / 1000, LARGE_GROUP / 300);
        if (kinds[k] == XE_BAG)
            for (uint32_t i = 0; i < LARGE_GROUP; i += 997)
                assert_int_equal(bag_put(t, short_key(1), values[i], XE_PUT), XE_EXISTS);
        uint32_t kept = 0;
        for (uint32_t i = 0; i < LARGE_GROUP; i++)
            if (i % 3 == 0)
                assert_int_equal(bag_remove(t, short_key(1), values[i]), XE_OK);
            else
                values[kept++] = values[i];
        assert_int_equal(bag_remove(t, short_key(1), large_value(0)), XE_ABSENT);
        assert_in_range(shape_of(t).chain, 1, CHAIN);
        assert_true(is_valid(t));
        assert_int_equal(bag_take(t, short_key(1), UINT32_MAX, values, kept), XE_OK);
        assert_true(is_valid(t));
        assert_int_equal(stats_of(t).objects, 1000);
        assert_in_range(stats_of(t).bytes, 0, 2 * bytes);
        xe_reclaim_drain();
        memory_in_use(&after);
        assert_in_range(after.blocks, 0, before.blocks + 50);
        assert_in_range(after.page_bytes, 0, 2 * before.page_bytes + 65536);
        xe_table_delete(t);
    }
}

static void many_equal_objects_are_a_group_of_their_own(void **state)
{
    (void)state;
    enum { COPIES = 5000, OTHERS = 3000 };
    struct xe_table *t = bag_new(XE_DUPLICATE_BAG, 0);
    for (uint32_t i = 0; i < COPIES; i++) {
        assert_int_equal(bag_put(t, short_key(1), VALUE(VALUE_LOOSE, 5) | (i % 2 ? LOOSE_OTHER : 0),
                                 XE_PUT),
                         XE_OK);
        if (i < OTHERS)
            assert_int_equal(bag_put(t, short_key(1), number(1000 + i), XE_PUT), XE_OK);
        if (i % 50 == 0)
            assert_in_range(shape_of(t).chain, 1, CHAIN);
    }
    assert_int_equal(bag_count(t, short_key(1)), COPIES + OTHERS);
    assert_true(is_valid(t));
    assert_int_equal(bag_remove(t, short_key(1), VALUE(VALUE_LOOSE, 5)), XE_OK);
    assert_int_equal(bag_count(t, short_key(1)), OTHERS);
    assert_int_equal(bag_remove(t, short_key(1), VALUE(VALUE_LOOSE, 5)), XE_ABSENT);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void many_middling_groups_leave_chains_short(void **state)
{
    (void)state;
    enum { GROUPS = 60, SIZE = 400 };
    for (uint32_t k = 0; k < 2; k++) {
        struct xe_table *t = bag_new(kinds[k], 0);
        for (uint32_t i = 0; i < SIZE; i++)
            for (uint32_t g = 0; g < GROUPS; g++)
                assert_int_equal(bag_put(t, short_key(g), number(1000 + i), XE_PUT), XE_OK);
        struct shape shape = shape_of(t);
        assert_in_range(shape.chain, 1, CHAIN);
        assert_in_range(shape.segments, GROUPS * SIZE / 1000, 3 * GROUPS);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* Units and hash of an object's record. */
static uint32_t units_of(const struct xe_table *t, uint32_t key, uint64_t value, uint64_t *hash)
{
    struct object x;
    struct xe_prepared p;
    object_make(&x, key, value);
    assert_int_equal(xe_table_prepare(t, &x.o, &p), XE_OK);
    *hash = p.key.hash;
    uint32_t units = p.units;
    xe_record_unprepare(&p);
    object_free(&x);
    return units;
}

/* The median is at the end then, where there is no next object. */
static void a_range_whose_last_object_weighs_most_is_divided(void **state)
{
    (void)state;
    enum { HEAVY = 225, LIGHT = 6 };
    struct xe_table *t = bag_new(XE_DUPLICATE_BAG, 16);
    uint32_t key = KEY(KEY_TINY, 1), n = 1;
    uint64_t heavy = VALUE(VALUE_MEDIUM, 0), light = VALUE(VALUE_SMALL, 0), last, hash;
    while (units_of(t, key, heavy, &last) < HEAVY || last << 32 < 0xf0000000ull << 32)
        heavy++;
    while (units_of(t, key, light, &hash) > LIGHT || hash >= last)
        light++;
    assert_int_equal(bag_put(t, key, heavy, XE_PUT), XE_OK);
    for (; stats_of(t).segments == 1; n++)
        assert_int_equal(bag_put(t, key, light, XE_PUT), XE_OK);
    assert_in_range(n, 5, 20);
    assert_true(is_valid(t));
    for (; n < 1000; n++)
        assert_int_equal(bag_put(t, key, light, XE_PUT), XE_OK);
    assert_int_equal(bag_count(t, key), 1000);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* Cut at the border of a group, a segment's larger part may be as large as it was: here too large
 * for an image, but not for two. */
static void a_list_has_room_wherever_the_groups_are(void **state)
{
    (void)state;
    enum { MOST = 300, THERE = 6000, ALL = 17000 };
    for (uint32_t round = 0; round < 40; round++) {
        struct xe_table *t = bag_new(kinds[round % 2], 0);
        static uint64_t values[MOST];
        uint32_t n = 0, there = 0;
        uint64_t hash;
        for (uint32_t units = 0; units < ALL; n++) {
            values[n] = VALUE(VALUE_MEDIUM, 1000 * round + n);
            list_keys[n] = short_key(1);
            units += units_of(t, short_key(1), values[n], &hash);
            there = units < THERE ? n : there;
        }
        assert_int_equal(bag_put(t, short_key(1000 + round), number(1), XE_PUT), XE_OK);
        for (uint32_t i = 0; i < there; i++)
            assert_int_equal(bag_put(t, short_key(1), values[i], XE_PUT), XE_OK);
        assert_int_equal(put_list(t, list_keys, values + there, n - there, XE_PUT), XE_OK);
        assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, values, n), XE_OK);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* Objects that hashes cannot tell apart can be no more than one image holds. */
static enum xe_status put_with_identity(struct xe_table *t, uint64_t value, uint64_t identity)
{
    struct object x;
    struct xe_prepared p;
    object_make(&x, short_key(1), value);
    x.o.identity = identity;
    assert_int_equal(xe_table_prepare(t, &x.o, &p), XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_bag_put(t, slot, &p, XE_PUT, false);
    xe_epoch_leave(slot);
    if (status != XE_OK)
        xe_record_unprepare(&p);
    object_free(&x);
    return status;
}

static void objects_with_one_hash_fill_one_segment_and_no_more(void **state)
{
    (void)state;
    static uint64_t values[XE_IMAGE_OBJECTS_MAX + 1];
    struct xe_table *t = bag_new(XE_BAG, 0);
    uint32_t n = 0;
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(bag_put(t, short_key(100 + i), number(i), XE_PUT), XE_OK);
    for (enum xe_status status = XE_OK; status == XE_OK;) {
        assert_in_range(n, 0, XE_IMAGE_OBJECTS_MAX);
        /* They are compared, so they are not mistaken for each other. */
        values[n] = number(n);
        status = put_with_identity(t, values[n], 4711);
        if (n)
            assert_int_equal(put_with_identity(t, values[n / 2], 4711), XE_EXISTS);
        n += status == XE_OK;
        assert_true(status == XE_OK || status == XE_LIMIT);
    }
    assert_in_range(n, 1000, XE_IMAGE_OBJECTS_MAX);
    assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, values, n), XE_OK);
    assert_true(is_valid(t));
    assert_int_equal(bag_take(t, short_key(1), UINT32_MAX, values, n), XE_OK);
    assert_int_equal(stats_of(t).objects, 100);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* Equal ones of a duplicate bag may be in many segments. */
static void removing_an_object_tells_how_many_went(void **state)
{
    (void)state;
    enum { EQUAL = 2500 };
    struct xe_table *bag = bag_new(XE_BAG, 0), *t = bag_new(XE_DUPLICATE_BAG, 0);
    assert_int_equal(bag_put(bag, short_key(1), number(1), XE_PUT), XE_OK);
    assert_int_equal(bag_remove_counted(bag, short_key(1), number(1)), 1);
    assert_int_equal(bag_remove_counted(bag, short_key(1), number(1)), 0);
    for (uint32_t i = 0; i < EQUAL; i++) {
        assert_int_equal(bag_put(t, short_key(1), number(1), XE_PUT), XE_OK);
        assert_int_equal(bag_put(t, short_key(1), number(2 + i / 3), XE_PUT), XE_OK);
    }
    assert_int_equal(bag_remove_counted(t, short_key(1), number(2)), 3);
    assert_int_equal(bag_remove_counted(t, short_key(1), number(1)), EQUAL);
    assert_int_equal(bag_remove_counted(t, short_key(1), number(1)), 0);
    assert_int_equal(bag_count(t, short_key(1)), EQUAL - 3);
    xe_table_delete(bag);
    xe_table_delete(t);
}

/* test_bag [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_bag_has_no_key),
        TEST(objects_come_in_the_order_of_their_insertion),
        TEST(a_bag_keeps_one_of_equal_objects_the_first),
        TEST(a_duplicate_bag_keeps_all_and_removes_all_that_are_equal),
        TEST(put_new_stores_the_first_object_of_a_key),
        TEST(twins_are_keys_of_their_own),
        TEST(more_than_most_is_not_found_and_not_taken),
        TEST(what_is_not_accepted_stays),
        TEST(g6_without_its_locks_a_call_retries_and_leaves_none),
        TEST(what_was_found_or_taken_keeps_nobody_from_the_gate),
        TEST(g8_what_is_being_changed_is_read_under_its_locks),
        TEST(g8_whatever_is_being_changed_is_marked_before_and_not_after),
        TEST(g8_a_segment_that_has_moved_is_never_read_as_the_present),
        TEST(of_equal_objects_in_a_list_a_bag_gets_the_first),
        TEST(a_list_of_new_keys_looks_at_the_whole_group_of_each),
        TEST(a_group_of_a_hundred_thousand_is_a_run_of_ordinary_segments),
        TEST(many_equal_objects_are_a_group_of_their_own),
        TEST(many_middling_groups_leave_chains_short),
        TEST(a_range_whose_last_object_weighs_most_is_divided),
        TEST(a_list_has_room_wherever_the_groups_are),
        TEST(objects_with_one_hash_fill_one_segment_and_no_more),
        TEST(removing_an_object_tells_how_many_went),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("bags", tests, NULL, NULL);
}
