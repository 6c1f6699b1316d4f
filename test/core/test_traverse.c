/*
 * test_traverse.c - going through tables of all kinds: the next key, fixing, slots.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "reclaim.h"
#include "support_bag.h"
#include "table_internal.h"

enum { KINDS = 3 }; /* XE_SET, XE_BAG, XE_DUPLICATE_BAG */

/* --- Calls --------------------------------------------------------------- */

static enum xe_status add(struct xe_table *t, uint32_t key, uint64_t value)
{
    return t->kind == XE_SET ? put(t, key, value, XE_PUT) : bag_put(t, key, value, XE_PUT);
}

/* All objects of a key. */
static enum xe_status drop(struct xe_table *t, uint32_t key)
{
    return t->kind == XE_SET ? remove_key(t, key) : bag_drop(t, key);
}

#define NO_KEY UINT32_MAX

/* The key behind another one, or the first one; NO_KEY: there is none. */
static uint32_t next_key(struct xe_table *t, uint32_t after)
{
    struct lookup l;
    struct xe_view view;
    lookup_make(&l, xe_table_seed(t), after == NO_KEY ? 0 : after);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_next(t, after == NO_KEY ? NULL : &l.key, UINT32_MAX, &view);
    uint32_t key = status == XE_OK ? view_key(&view) : NO_KEY;
    xe_epoch_leave(slot);
    lookup_free(&l);
    CHECK(status == XE_OK || status == XE_ABSENT);
    return key;
}

static enum xe_status may_go_on(struct xe_table *t, uint32_t key)
{
    struct lookup l;
    lookup_make(&l, xe_table_seed(t), key);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_may_go_on(t, slot, &l.key, false);
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

static enum xe_status fix(struct xe_table *t)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_fix(t);
    xe_epoch_leave(slot);
    return status;
}

static void unfix(struct xe_table *t)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    xe_table_unfix(t);
    xe_epoch_leave(slot);
}

static enum xe_status clear(struct xe_table *t)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_clear(t, slot, NULL);
    xe_epoch_leave(slot);
    return status;
}

static uint64_t slots_of(struct xe_table *t)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    uint64_t n = xe_table_slots(t);
    xe_epoch_leave(slot);
    return n;
}

/* --- The next key -------------------------------------------------------- */

enum { KEYS = 1400 };

static uint32_t key_of(uint32_t i)
{
    uint32_t kind = i % KEY_KINDS;
    return KEY(kind, kind == KEY_TINY ? i / KEY_KINDS % 256 : i);
}

/* How many objects of a bag have the key. */
static uint32_t size_of(const struct xe_table *t, uint32_t i)
{
    return t->kind == XE_SET ? 1 : i % 300 == 7 ? 150 : 1 + i % 3;
}

static struct xe_table *table_of_keys(enum xe_kind kind, uint32_t max_objects)
{
    struct xe_table *t = bag_new(kind, max_objects);
    for (uint32_t i = 0; i < KEYS; i++)
        for (uint32_t k = 0; k < size_of(t, i); k++)
            assert_int_equal(add(t, key_of(i), number(k)), XE_OK);
    return t;
}

/* The keys of a table in its order; each comes once. Returns their number. */
static uint32_t walk(struct xe_table *t, uint32_t *keys, uint32_t most)
{
    uint32_t n = 0;
    for (uint32_t key = next_key(t, NO_KEY); key != NO_KEY; key = next_key(t, key)) {
        assert_in_range(n, 0, most - 1);
        keys[n++] = key;
    }
    return n;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void next_visits_each_key_once(void **state)
{
    (void)state;
    static uint32_t keys[KEYS + 1], expected[KEYS];
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 64);
        uint32_t n = walk(t, keys, KEYS + 1);
        assert_int_equal(n, KEYS);
        for (uint32_t i = 0; i < KEYS; i++)
            expected[i] = key_of(i);
        qsort(keys, n, sizeof *keys, compare_u32);
        qsort(expected, n, sizeof *expected, compare_u32);
        assert_memory_equal(keys, expected, sizeof expected);
        xe_table_delete(t);
    }
}

static void the_order_depends_neither_on_segments_nor_on_what_else_was_there(void **state)
{
    (void)state;
    static uint32_t first[KEYS + 1], second[KEYS + 1];
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 16);
        assert_int_equal(walk(t, first, KEYS + 1), KEYS);
        for (uint32_t i = 0; i < KEYS; i++)
            add(t, short_key(100000 + i), number(1));
        for (uint32_t i = 0; i < KEYS; i++)
            assert_int_equal(drop(t, short_key(100000 + i)), XE_OK);
        assert_int_equal(walk(t, second, KEYS + 1), KEYS);
        assert_memory_equal(first, second, KEYS * sizeof *first);
        xe_table_delete(t);
        t = table_of_keys((enum xe_kind)kind, 0);
        assert_int_equal(walk(t, second, KEYS + 1), KEYS);
        assert_memory_equal(first, second, KEYS * sizeof *first);
        xe_table_delete(t);
    }
}

static void an_empty_table_has_no_next_key(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 0);
        assert_int_equal(next_key(t, NO_KEY), NO_KEY);
        assert_int_equal(next_key(t, short_key(1)), NO_KEY);
        assert_int_equal(add(t, short_key(1), number(1)), XE_OK);
        assert_int_equal(next_key(t, NO_KEY), short_key(1));
        assert_int_equal(next_key(t, short_key(1)), NO_KEY);
        assert_int_equal(drop(t, short_key(1)), XE_OK);
        assert_int_equal(next_key(t, NO_KEY), NO_KEY);
        xe_table_delete(t);
    }
}

/* Every second key of the order is removed: the one behind it comes next. */
static void a_walk_goes_on_from_keys_that_are_not_there(void **state)
{
    (void)state;
    static uint32_t keys[KEYS + 1];
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 16);
        uint32_t n = walk(t, keys, KEYS + 1);
        for (uint32_t i = 0; i < n; i += 2)
            assert_int_equal(drop(t, keys[i]), XE_OK);
        assert_int_equal(next_key(t, NO_KEY), keys[1]);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t behind = i % 2 ? i + 2 : i + 1;
            assert_int_equal(next_key(t, keys[i]), behind < n ? keys[behind] : NO_KEY);
        }
        xe_table_delete(t);
    }
}

/* Between two steps keys come and go in such numbers that segments split and merge. */
static void a_walk_meets_every_key_that_is_there_throughout(void **state)
{
    (void)state;
    enum { STABLE = 300, CHURN = 3000, STEP = 12 };
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 16);
        struct rng r = rng_for(41 + kind);
        static uint8_t seen[STABLE];
        uint64_t splits = 0, merges = 0, segments = 1;
        memset(seen, 0, sizeof seen);
        for (uint32_t i = 0; i < STABLE; i++)
            assert_int_equal(add(t, short_key(i), number(i)), XE_OK);
        uint32_t key = next_key(t, NO_KEY);
        for (uint32_t step = 0; key != NO_KEY; step++) {
            if (key < STABLE)
                assert_int_equal(seen[key]++, 0);
            else
                drop(t, key);
            for (uint32_t i = 0; i < STEP; i++) {
                uint32_t other = short_key(STABLE + rng_below(&r, CHURN));
                if (step / 100 % 2 == 0)
                    add(t, other, number(step));
                else
                    for (uint32_t k = 0; k < 3; k++)
                        drop(t, STABLE + (other + k) % CHURN);
            }
            key = next_key(t, key);
            uint64_t now = stats_of(t).segments;
            splits += now > segments;
            merges += now < segments;
            segments = now;
        }
        for (uint32_t i = 0; i < STABLE; i++)
            assert_int_equal(seen[i], 1);
        assert_true(splits > 10 && merges > 10);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* They have one hash, in a bag one half of it: their terms decide. */
static void twins_come_one_by_one(void **state)
{
    (void)state;
    enum { TWINS = 90 };
    for (uint32_t kind = 0; kind < KINDS; kind++)
        for (uint32_t twin = KEY_TWIN; twin <= KEY_HUGE_TWIN; twin++) {
            struct xe_table *t = bag_new((enum xe_kind)kind, 16);
            for (uint32_t i = TWINS; i-- > 0;)
                for (uint32_t k = 0; k < (kind == XE_SET ? 1 : 3); k++)
                    assert_int_equal(add(t, KEY(twin, i), number(k)), XE_OK);
            assert_int_equal(next_key(t, NO_KEY), KEY(twin, 0));
            for (uint32_t i = 0; i < TWINS; i++) {
                assert_int_equal(next_key(t, KEY(twin, i)),
                                 i + 1 < TWINS ? KEY(twin, i + 1) : NO_KEY);
                drop(t, KEY(twin, i));
                assert_int_equal(next_key(t, KEY(twin, i)),
                                 i + 1 < TWINS ? KEY(twin, i + 1) : NO_KEY);
            }
            xe_table_delete(t);
        }
}

struct hashed {
    uint64_t hash;
    uint32_t key;
};

static int compare_hashed(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

/* Two keys with the same high half of a hash; of so many there are some. */
static void find_collision(const struct xe_table *t, uint32_t *first, uint32_t *second)
{
    enum { MANY = 400000 };
    struct hashed *all = malloc(MANY * sizeof *all);
    assert_non_null(all);
    for (uint32_t i = 0; i < MANY; i++) {
        struct lookup l;
        lookup_make(&l, xe_table_seed(t), short_key(i));
        all[i] = (struct hashed){l.key.hash & XE_BAG_KEY_HASH, short_key(i)};
        lookup_free(&l);
    }
    qsort(all, MANY, sizeof *all, compare_hashed);
    uint32_t i = 1;
    while (i < MANY && all[i].hash != all[i - 1].hash)
        i++;
    assert_in_range(i, 1, MANY - 1);
    *first = all[i - 1].key;
    *second = all[i].key;
    free(all);
}

/* Their objects are in one run, in a bag anywhere among each other. */
static void keys_with_one_half_of_a_hash_are_told_apart(void **state)
{
    (void)state;
    enum { SIZE = 200 };
    static uint64_t values[SIZE];
    for (uint32_t kind = XE_BAG; kind <= XE_DUPLICATE_BAG; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 16);
        uint32_t a, b;
        find_collision(t, &a, &b);
        for (uint32_t i = 0; i < SIZE; i++) {
            values[i] = number(i);
            assert_int_equal(add(t, a, values[i]), XE_OK);
        }
        assert_int_equal(bag_member(t, b), XE_ABSENT);
        assert_int_equal(next_key(t, NO_KEY), a);
        assert_int_equal(next_key(t, a), NO_KEY);
        uint32_t behind = next_key(t, b);
        assert_true(behind == a || behind == NO_KEY);
        assert_int_equal(bag_put(t, b, values[0], XE_PUT_NEW), XE_OK);
        for (uint32_t i = 1; i < SIZE; i++)
            assert_int_equal(add(t, b, values[i]), XE_OK);
        assert_int_equal(next_key(t, NO_KEY), behind == a ? b : a);
        assert_int_equal(next_key(t, b), behind);
        assert_int_equal(next_key(t, a), behind == a ? NO_KEY : b);
        assert_int_equal(fix(t), XE_OK);
        assert_int_equal(bag_take(t, a, SIZE, values, SIZE), XE_OK);
        assert_int_equal(next_key(t, NO_KEY), b);
        assert_int_equal(next_key(t, a), behind == a ? NO_KEY : b);
        assert_int_equal(may_go_on(t, a), XE_OK);
        assert_int_equal(bag_find(t, b, SIZE, values, SIZE), XE_OK);
        assert_int_equal(clear(t), XE_OK);
        assert_int_equal(may_go_on(t, b), XE_OK);
        unfix(t);
        xe_table_delete(t);
    }
}

/* --- Limits -------------------------------------------------------------- */

static enum xe_status next_within(struct xe_table *t, uint32_t after, uint32_t most)
{
    struct lookup l;
    struct xe_view view;
    lookup_make(&l, xe_table_seed(t), after);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_next(t, &l.key, most, &view);
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

static void a_step_over_or_to_a_large_group_may_be_too_long(void **state)
{
    (void)state;
    enum { SIZE = 1000, FEW = 10 };
    struct xe_table *t = bag_new(XE_BAG, 16);
    static uint32_t keys[4];
    for (uint32_t k = 0; k < 3; k++)
        assert_int_equal(add(t, short_key(k), number(k)), XE_OK);
    assert_int_equal(walk(t, keys, 4), 3);
    for (uint32_t i = 3; i < SIZE; i++)
        assert_int_equal(add(t, keys[1], number(i)), XE_OK);
    assert_int_equal(next_within(t, keys[0], FEW), XE_LIMIT);
    assert_int_equal(next_within(t, keys[1], FEW), XE_LIMIT);
    assert_int_equal(next_within(t, keys[2], FEW), XE_ABSENT);
    assert_int_equal(next_within(t, keys[0], 2 * SIZE), XE_OK);
    assert_int_equal(next_key(t, keys[0]), keys[1]);
    assert_int_equal(next_key(t, keys[1]), keys[2]);
    xe_table_delete(t);
}

/* --- Borders ------------------------------------------------------------- */

/* What is behind a key with this hash. */
static enum xe_status next_behind_hash(struct xe_table *t, uint64_t hash, struct xe_view *view)
{
    struct lookup l;
    lookup_make(&l, xe_table_seed(t), short_key(0));
    l.key.hash = hash;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_next(t, &l.key, UINT32_MAX, view);
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

static void the_first_and_the_last_hash_are_positions(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++)
        for (uint32_t n = 0; n <= 500; n += 100) {
            struct xe_table *t = bag_new((enum xe_kind)kind, 16);
            struct xe_view view;
            for (uint32_t i = 1; i <= n; i++)
                add(t, short_key(i), number(i));
            assert_int_equal(next_behind_hash(t, 0, &view), n ? XE_OK : XE_ABSENT);
            assert_int_equal(next_behind_hash(t, UINT64_MAX, &view), XE_ABSENT);
            xe_table_delete(t);
        }
}

/* Stores an object of a bag at a given place in the run of its key; the fingerprint stays. */
static void put_at(struct xe_table *t, uint32_t key, uint64_t value, uint32_t low)
{
    struct object x;
    struct xe_prepared p;
    object_make(&x, key, value);
    assert_int_equal(xe_table_prepare(t, &x.o, &p), XE_OK);
    p.tail.low = (low & 0xffffff00) | (p.tail.low & 0xff);
    p.key.hash = (p.key.hash & XE_BAG_KEY_HASH) | p.tail.low;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_bag_put(t, slot, &p, XE_PUT, false), XE_OK);
    xe_epoch_leave(slot);
    object_free(&x);
}

static void the_first_and_the_last_hashes_of_a_run_belong_to_it(void **state)
{
    (void)state;
    enum { N = 120 };
    for (uint32_t kind = XE_BAG; kind <= XE_DUPLICATE_BAG; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 16);
        static uint64_t values[N];
        for (uint32_t k = 1; k <= 3; k++)
            for (uint32_t i = 0; i < N; i++) {
                values[i] = number(i);
                put_at(t, short_key(k), values[i],
                       i == 0       ? 0
                       : i == N - 1 ? UINT32_MAX
                                    : i * (UINT32_MAX / N));
            }
        assert_true(is_valid(t));
        uint32_t key = NO_KEY;
        for (uint32_t k = 1; k <= 3; k++) {
            assert_int_equal(bag_find(t, short_key(k), N, values, N), XE_OK);
            key = next_key(t, key);
            assert_int_not_equal(key, NO_KEY);
        }
        assert_int_equal(next_key(t, key), NO_KEY);
        assert_int_equal(bag_take(t, short_key(2), N, values, N), XE_OK);
        assert_int_equal(bag_member(t, short_key(2)), XE_ABSENT);
        assert_int_equal(stats_of(t).objects, 2 * N);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* --- Fixing -------------------------------------------------------------- */

static void keys_removed_from_a_fixed_table_are_remembered_until_it_is_not(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 64);
        uint32_t never = short_key(999999), before = key_of(0);
        assert_int_equal(drop(t, before), XE_OK);
        assert_int_equal(may_go_on(t, before), XE_ABSENT);
        assert_int_equal(fix(t), XE_OK);
        for (uint32_t i = 1; i < KEYS; i++)
            if (i % 3) {
                assert_int_equal(drop(t, key_of(i)), XE_OK);
                assert_int_equal(drop(t, key_of(i)), XE_ABSENT);
            }
        for (uint32_t i = 1; i < KEYS; i++)
            assert_int_equal(may_go_on(t, key_of(i)), XE_OK);
        assert_int_equal(may_go_on(t, never), XE_ABSENT);
        assert_int_equal(may_go_on(t, before), XE_ABSENT);
        assert_true(is_valid(t));
        unfix(t);
        for (uint32_t i = 1; i < KEYS; i++)
            assert_int_equal(may_go_on(t, key_of(i)), i % 3 ? XE_ABSENT : XE_OK);
        /* Nor does the next fixing bring them back. */
        assert_int_equal(fix(t), XE_OK);
        assert_int_equal(may_go_on(t, key_of(1)), XE_ABSENT);
        unfix(t);
        xe_table_delete(t);
    }
}

static void a_key_is_remembered_when_its_last_object_is_removed(void **state)
{
    (void)state;
    for (uint32_t kind = XE_BAG; kind <= XE_DUPLICATE_BAG; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 0);
        uint64_t values[2] = {number(1), VALUE(VALUE_LARGE, 1)};
        assert_int_equal(fix(t), XE_OK);
        for (uint32_t i = 0; i < 2; i++)
            assert_int_equal(add(t, KEY(KEY_HUGE_TWIN, 1), values[i]), XE_OK);
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(bag_remove(t, KEY(KEY_HUGE_TWIN, 1), values[i]), XE_OK);
            assert_int_equal(may_go_on(t, KEY(KEY_HUGE_TWIN, 1)), XE_OK);
        }
        assert_int_equal(may_go_on(t, KEY(KEY_HUGE_TWIN, 2)), XE_ABSENT);
        unfix(t);
        assert_int_equal(may_go_on(t, KEY(KEY_HUGE_TWIN, 1)), XE_ABSENT);
        xe_table_delete(t);
    }
}

static void a_table_that_is_cleared_while_fixed_remembers_all_it_had(void **state)
{
    (void)state;
    enum { CLEARS = 4, EACH = 200 };
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 16);
        struct memory_use before, after;
        assert_int_equal(clear(t), XE_OK);
        xe_reclaim_drain();
        memory_in_use(&before);
        assert_int_equal(fix(t), XE_OK);
        for (uint32_t c = 0; c < CLEARS; c++) {
            for (uint32_t i = 0; i < EACH; i++)
                for (uint32_t k = 0; k < (kind == XE_SET ? 1 : 3); k++)
                    assert_int_equal(add(t, key_of(c * EACH + i), VALUE(VALUE_TERMS, k)), XE_OK);
            /* One that is in no directory any more. */
            assert_int_equal(drop(t, key_of(c * EACH)), XE_OK);
            assert_int_equal(clear(t), XE_OK);
            assert_int_equal(stats_of(t).objects, 0);
        }
        xe_reclaim_drain();
        for (uint32_t i = 0; i < CLEARS * EACH; i++)
            assert_int_equal(may_go_on(t, key_of(i)), XE_OK);
        assert_int_equal(may_go_on(t, short_key(999999)), XE_ABSENT);
        assert_int_equal(next_key(t, key_of(0)), NO_KEY);
        unfix(t);
        for (uint32_t i = 0; i < CLEARS * EACH; i++)
            assert_int_equal(may_go_on(t, key_of(i)), XE_ABSENT);
        xe_reclaim_drain();
        memory_in_use(&after);
        assert_memory_equal(&before, &after, sizeof before);
        xe_table_delete(t);
    }
}

static void what_is_remembered_is_counted_and_given_back(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        xe_reclaim_drain();
        struct xe_table *t = bag_new((enum xe_kind)kind, 0);
        struct memory_use before, fixed, after;
        uint64_t bytes = stats_of(t).bytes, all = xe_table_bytes_all();
        memory_in_use(&before);
        assert_int_equal(fix(t), XE_OK);
        for (uint32_t i = 0; i < 2000; i++) {
            assert_int_equal(add(t, KEY(i % 3 ? KEY_SHORT : KEY_TWIN, i), number(i)), XE_OK);
            assert_int_equal(drop(t, KEY(i % 3 ? KEY_SHORT : KEY_TWIN, i)), XE_OK);
        }
        memory_in_use(&fixed);
        assert_in_range(stats_of(t).bytes, bytes + 2000 * 16, bytes + 2000 * 200);
        assert_in_range(xe_table_bytes_all(), all + 2000 * 16, all + 2000 * 200);
        assert_in_range(fixed.terms, before.terms + 600, before.terms + 2000);
        unfix(t);
        assert_in_range(stats_of(t).bytes, bytes, bytes + 4096);
        assert_int_equal(clear(t), XE_OK);
        xe_reclaim_drain();
        memory_in_use(&after);
        assert_memory_equal(&before, &after, sizeof before);
        assert_int_equal(xe_table_bytes_all(), all);
        xe_table_delete(t);
    }
}

static void a_table_deleted_while_fixed_takes_along_what_it_remembers(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 16);
        assert_int_equal(fix(t), XE_OK);
        for (uint32_t i = 0; i < KEYS / 2; i++)
            assert_int_equal(drop(t, key_of(i)), XE_OK);
        assert_int_equal(clear(t), XE_OK);
        assert_int_equal(add(t, key_of(1), number(1)), XE_OK);
        xe_table_delete(t);
        /* The end of the test sees to it that nothing is left. */
    }
}

static void g7_without_memory_a_key_is_removed_and_not_remembered(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++)
        for (uint64_t at = 0, failed = 1; failed; at++) {
            struct xe_table *t = bag_new((enum xe_kind)kind, 16);
            for (uint32_t i = 0; i < 40; i++)
                assert_int_equal(add(t, KEY(i % 2 ? KEY_TWIN : KEY_HUGE, i), number(i)), XE_OK);
            assert_int_equal(fix(t), XE_OK);
            memory_fail_at(at);
            for (uint32_t i = 0; i < 40; i++)
                assert_int_equal(drop(t, KEY(i % 2 ? KEY_TWIN : KEY_HUGE, i)), XE_OK);
            failed = memory_fail_never();
            uint32_t forgotten = 0;
            for (uint32_t i = 0; i < 40; i++)
                forgotten += may_go_on(t, KEY(i % 2 ? KEY_TWIN : KEY_HUGE, i)) == XE_ABSENT;
            assert_in_range(forgotten, 0, failed);
            assert_int_equal(stats_of(t).objects, 0);
            assert_true(is_valid(t));
            unfix(t);
            xe_table_delete(t);
        }
}

static void while_a_writer_is_at_work_a_table_cannot_be_fixed(void **state)
{
    (void)state;
    struct xe_table *t = bag_new(XE_SET, 0);
    add(t, short_key(1), number(1));
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_write_begin(t, slot), XE_OK);
    assert_int_equal(xe_table_fix(t), XE_RETRY);
    xe_epoch_leave(slot);
    /* Nothing is remembered of a table that was not fixed. */
    assert_int_equal(drop(t, short_key(1)), XE_OK);
    assert_int_equal(may_go_on(t, short_key(1)), XE_ABSENT);
    assert_int_equal(fix(t), XE_OK);
    unfix(t);
    xe_table_delete(t);
}

static void while_a_table_is_being_cleared_nobody_is_told_that_a_key_was_never_there(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 0);
        add(t, short_key(1), number(1));
        assert_int_equal(fix(t), XE_OK);
        assert_int_equal(xe_table_close_gate(t), XE_OK);
        assert_int_equal(may_go_on(t, short_key(1)), XE_OK);
        assert_int_equal(may_go_on(t, short_key(2)), XE_RETRY);
        xe_table_open_gate(t);
        assert_int_equal(may_go_on(t, short_key(2)), XE_ABSENT);
        unfix(t);
        xe_table_delete(t);
    }
}

static void a_removal_that_ends_after_the_fixing_is_forgotten_by_the_next(void **state)
{
    (void)state;
    struct xe_table *t = bag_new(XE_SET, 0);
    struct lookup l;
    lookup_make(&l, xe_table_seed(t), short_key(1));
    assert_int_equal(fix(t), XE_OK);
    unfix(t);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_bury(t, slot, &l.key), XE_OK);
    xe_epoch_leave(slot);
    assert_int_equal(may_go_on(t, short_key(1)), XE_ABSENT);
    assert_int_equal(fix(t), XE_OK);
    assert_int_equal(may_go_on(t, short_key(1)), XE_ABSENT);
    unfix(t);
    lookup_free(&l);
    xe_table_delete(t);
}

/* --- Slots --------------------------------------------------------------- */

struct seen {
    uint32_t keys[KEYS]; /* objects of each */
    uint32_t n;
};

static void visit(void *arg, const struct xe_view *view)
{
    struct seen *seen = arg;
    uint32_t key = view_key(view), i = 0;
    while (i < KEYS && key_of(i) != key)
        i++;
    if (i < KEYS)
        seen->keys[i]++;
    seen->n++;
}

/* All slots together; each key is in one slot only. */
static void check_slots(struct xe_table *t, uint64_t n_slots)
{
    static struct seen all, one;
    memset(&all, 0, sizeof all);
    for (uint64_t i = 0; i < n_slots; i++) {
        memset(&one, 0, sizeof one);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_table_scan_slot(t, n_slots, i, visit, &one) == XE_OK);
        xe_epoch_leave(slot);
        for (uint32_t k = 0; k < KEYS; k++) {
            assert_true(!one.keys[k] || !all.keys[k]);
            all.keys[k] += one.keys[k];
        }
        all.n += one.n;
    }
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(all.keys[i], size_of(t, i));
    assert_int_equal(all.n, stats_of(t).objects);
}

static void all_slots_together_are_the_table(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 64);
        uint64_t n = slots_of(t);
        assert_true(n > 1 && (n & (n - 1)) == 0);
        for (uint64_t others = 1; others <= 4 * n; others *= 2)
            check_slots(t, others);
        xe_table_delete(t);
    }
}

static void the_slots_of_a_fixed_table_stay_as_many(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 64);
        assert_int_equal(fix(t), XE_OK);
        uint64_t n = slots_of(t);
        for (uint32_t i = 0; i < 10 * KEYS; i++)
            assert_int_equal(add(t, short_key(100000 + i), number(i)), XE_OK);
        assert_int_equal(slots_of(t), n);
        check_slots(t, n);
        unfix(t);
        assert_true(slots_of(t) > n);
        assert_int_equal(fix(t), XE_OK);
        n = slots_of(t);
        for (uint32_t i = 0; i < 10 * KEYS; i++)
            assert_int_equal(drop(t, short_key(100000 + i)), XE_OK);
        assert_int_equal(slots_of(t), n);
        check_slots(t, n);
        assert_int_equal(clear(t), XE_OK);
        assert_int_equal(slots_of(t), n);
        unfix(t);
        assert_int_equal(slots_of(t), 1);
        xe_table_delete(t);
    }
}

/* test_traverse [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(next_visits_each_key_once),
        TEST(the_order_depends_neither_on_segments_nor_on_what_else_was_there),
        TEST(an_empty_table_has_no_next_key),
        TEST(a_walk_goes_on_from_keys_that_are_not_there),
        TEST(a_walk_meets_every_key_that_is_there_throughout),
        TEST(twins_come_one_by_one),
        TEST(keys_with_one_half_of_a_hash_are_told_apart),
        TEST(a_step_over_or_to_a_large_group_may_be_too_long),
        TEST(the_first_and_the_last_hash_are_positions),
        TEST(the_first_and_the_last_hashes_of_a_run_belong_to_it),
        TEST(keys_removed_from_a_fixed_table_are_remembered_until_it_is_not),
        TEST(a_key_is_remembered_when_its_last_object_is_removed),
        TEST(a_table_that_is_cleared_while_fixed_remembers_all_it_had),
        TEST(what_is_remembered_is_counted_and_given_back),
        TEST(a_table_deleted_while_fixed_takes_along_what_it_remembers),
        TEST(g7_without_memory_a_key_is_removed_and_not_remembered),
        TEST(while_a_writer_is_at_work_a_table_cannot_be_fixed),
        TEST(while_a_table_is_being_cleared_nobody_is_told_that_a_key_was_never_there),
        TEST(a_removal_that_ends_after_the_fixing_is_forgotten_by_the_next),
        TEST(all_slots_together_are_the_table),
        TEST(the_slots_of_a_fixed_table_stay_as_many),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("traversal", tests, NULL, NULL);
}
