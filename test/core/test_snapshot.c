/*
 * test_snapshot.c - snapshots: what they have, while their source changes in every way; what they
 * cost; and allocations that fail.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "reclaim.h"
#include "support_bag.h"
#include "support_snapshot.h"
#include "table_internal.h"

/* --- Tables ----------------------------------------------------------------- */

static uint32_t key_of(uint32_t i)
{
    uint32_t kind = i % KEY_KINDS;
    return KEY(kind, kind == KEY_TINY ? i / KEY_KINDS % 256 : i);
}

/* No giants, which take long. */
static uint64_t value_of(uint64_t n)
{
    uint32_t kind = n % VALUE_KINDS;
    return VALUE(kind == VALUE_GIANT ? VALUE_LARGE : kind, n);
}

static struct xe_table *filled(enum xe_kind kind, uint32_t max_objects, uint32_t n)
{
    struct xe_table *t = kind_new(kind, max_objects);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(any_put(t, key_of(i), value_of(i), XE_PUT), XE_OK);
    return t;
}

static struct xe_table *taken(struct xe_table *t)
{
    struct xe_table *s = NULL;
    assert_int_equal(snapshot_of(t, &s), XE_OK);
    assert_true(xe_table_is_snapshot(s));
    return s;
}

static void end(struct xe_table *t)
{
    xe_table_delete(t);
    xe_reclaim_drain();
}

static uint64_t bytes_of(struct xe_table *t)
{
    return stats_of(t).bytes;
}

/* --- What a snapshot has ------------------------------------------------------ */

static void for_kinds(void (*f)(enum xe_kind kind))
{
    for (int kind = 0; kind < TABLE_KINDS; kind++)
        f((enum xe_kind)kind);
}

static void has_all(enum xe_kind kind)
{
    struct xe_table *t = filled(kind, 16, 1000), *s = taken(t);
    assert_true(same_digest(digest_of(t), digest_of(s)));
    assert_true(reads_agree(s) && is_valid(s) && is_valid(t));
    assert_int_equal(stats_of(s).segments, stats_of(t).segments);
    end(s);
    assert_true(reads_agree(t) && is_valid(t));
    end(t);
}

static void g9_a_snapshot_has_what_the_table_has(void **state)
{
    (void)state;
    for_kinds(has_all);
}

static void of_empty(enum xe_kind kind)
{
    struct xe_table *t = kind_new(kind, 0), *s = taken(t);
    assert_int_equal(any_put(t, key_of(1), value_of(1), XE_PUT), XE_OK);
    assert_int_equal(digest_of(s).objects, 0);
    assert_true(reads_agree(s) && is_valid(s) && is_valid(t));
    assert_int_equal(any_member(s, key_of(1)), XE_ABSENT);
    end(t);
    assert_int_equal(digest_of(s).objects, 0);
    end(s);
}

static void g9_a_snapshot_of_an_empty_table_stays_empty(void **state)
{
    (void)state;
    for_kinds(of_empty);
}

/* More than one chunk of an ordered directory, and a hashed one with slots for many segments. */
static void of_many_segments(enum xe_kind kind)
{
    enum { MANY = 6000 };
    struct xe_table *t = kind_new(kind, 8);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(any_put(t, short_key(i), number(i), XE_PUT), XE_OK);
    struct xe_table *s = taken(t);
    struct digest d = digest_of(t);
    assert_in_range(stats_of(s).segments, 400, MANY);
    assert_int_equal(any_clear(t), XE_OK);
    assert_true(reads_agree(s) && is_valid(s) && same_digest(digest_of(s), d));
    end(t);
    assert_true(reads_agree(s) && is_valid(s) && same_digest(digest_of(s), d));
    end(s);
}

static void g9_a_snapshot_of_many_segments_can_be_read(void **state)
{
    (void)state;
    for_kinds(of_many_segments);
}

/* A key with so many objects that their run is read with all locks, in a table. */
static void g9_a_long_run_of_a_bag_can_be_read(void **state)
{
    (void)state;
    for (int kind = XE_BAG; kind <= XE_DUPLICATE_BAG; kind++) {
        enum { LONG_RUN = 3000 };
        struct xe_table *t = kind_new((enum xe_kind)kind, 16);
        for (uint32_t i = 0; i < LONG_RUN; i++)
            assert_int_equal(any_put(t, short_key(1), number(i), XE_PUT), XE_OK);
        struct xe_table *s = taken(t);
        assert_int_equal(any_remove(t, short_key(1)), XE_OK);
        assert_int_equal(bag_count(s, short_key(1)), LONG_RUN);
        assert_true(reads_agree(s));
        assert_int_equal(any_member(t, short_key(1)), XE_ABSENT);
        end(t);
        end(s);
    }
}

/* The successor of an object goes to another segment, mostly: both images were shared. */
static void g9_replacing_in_a_duplicate_bag_leaves_snapshots_alone(void **state)
{
    (void)state;
    enum { GROUP = 300 };
    struct xe_table *t = kind_new(XE_DUPLICATE_BAG, 16);
    for (uint32_t i = 0; i < GROUP; i++)
        assert_int_equal(any_put(t, short_key(1), number(i), XE_PUT), XE_OK);
    for (uint32_t i = 0; i < GROUP; i++) {
        struct xe_table *s = taken(t);
        struct digest d = digest_of(s);
        memory_fail_at(i % 8);
        enum xe_status status = bag_replace(t, short_key(1), i, number(i), number(GROUP + i));
        bool failed = memory_fail_never() > 0;
        assert_int_equal(status, failed ? XE_NOMEM : XE_OK);
        assert_true(same_digest(digest_of(s), d) && same_digest(digest_of(t), d) == failed);
        if (failed)
            assert_int_equal(bag_replace(t, short_key(1), i, number(i), number(GROUP + i)),
                             XE_OK);
        assert_true(same_digest(digest_of(s), d) && reads_agree(s) && is_valid(t));
        end(s);
    }
    assert_int_equal(bag_count(t, short_key(1)), GROUP);
    end(t);
}

/* --- What cannot be done -------------------------------------------------------- */

static void refuses(enum xe_kind kind)
{
    struct xe_table *t = filled(kind, 16, 100), *s = taken(t);
    struct digest d = digest_of(s);
    uint32_t keys[2] = {key_of(1), key_of(1000)};
    uint64_t values[2] = {number(1), number(2)};
    assert_int_equal(any_put(s, key_of(1000), number(1), XE_PUT), XE_FROZEN);
    assert_int_equal(put_list(s, keys, values, 2, XE_PUT), XE_FROZEN);
    assert_int_equal(any_remove(s, key_of(1)), XE_FROZEN);
    assert_int_equal(any_clear(s), XE_FROZEN);
    if (!xe_kind_is_bag(kind)) {
        assert_int_equal(any_update(s, key_of(1), true), XE_FROZEN);
        assert_int_equal(any_update(s, key_of(1), false), XE_FROZEN);
        assert_int_equal(any_replace(s, key_of(1), number(1)), XE_FROZEN);
    }
    if (kind == XE_ORDERED)
        assert_int_equal(any_pop(s, false), XE_FROZEN);
    assert_true(same_digest(digest_of(s), d) && same_digest(digest_of(t), d));
    end(s);
    end(t);
}

static void g9_a_snapshot_cannot_be_changed(void **state)
{
    (void)state;
    for_kinds(refuses);
}

static void none_of_a_dead_table(void **state)
{
    (void)state;
    struct xe_table *t = filled(XE_SET, 16, 10), *s;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    xe_table_delete(t);
    assert_int_equal(xe_table_snapshot(t, slot, false, &s), XE_DEAD);
    xe_epoch_leave(slot);
}

static void none_while_the_gate_is_closed(void **state)
{
    (void)state;
    struct xe_table *t = filled(XE_SET, 16, 10), *s;
    assert_int_equal(xe_table_close_gate(t), XE_OK);
    assert_int_equal(snapshot_of(t, &s), XE_RETRY);
    xe_table_open_gate(t);
    end(taken(t));
    end(t);
}

/* --- Lives --------------------------------------------------------------------- */

static void outlives(enum xe_kind kind)
{
    struct xe_table *t = filled(kind, 16, 500), *s = taken(t), *s2 = taken(s), *s3;
    struct digest d = digest_of(t);
    for (uint32_t i = 0; i < 250; i++)
        assert_int_equal(any_remove(t, key_of(i)), XE_OK);
    s3 = taken(t);
    struct digest half = digest_of(t);
    end(t);
    assert_true(same_digest(digest_of(s), d) && same_digest(digest_of(s2), d));
    end(s);
    assert_true(same_digest(digest_of(s2), d) && reads_agree(s2) && is_valid(s2));
    assert_true(same_digest(digest_of(s3), half) && reads_agree(s3) && is_valid(s3));
    end(s2);
    assert_true(same_digest(digest_of(s3), half) && reads_agree(s3) && is_valid(s3));
    end(s3);
}

static void g9_snapshots_outlive_the_table_and_each_other(void **state)
{
    (void)state;
    for_kinds(outlives);
}

static bool is_own(const struct xe_table *t)
{
    return !xe_image_is_shared(xe_segment_image(xe_directory_find(t, 0)));
}

static void writes_in_place_again(void **state)
{
    (void)state;
    struct xe_table *t = filled(XE_SET, 0, 100), *s = taken(t);
    const struct xe_image *shared = xe_segment_image(xe_directory_find(t, 0));
    assert_false(is_own(t));
    end(s);
    assert_true(is_own(t));
    assert_int_equal(any_put(t, KEY(KEY_WORD, 6), number(1), XE_PUT), XE_OK);
    assert_ptr_equal(xe_segment_image(xe_directory_find(t, 0)), shared);
    s = taken(t);
    assert_int_equal(any_put(t, KEY(KEY_WORD, 6), number(2), XE_PUT), XE_OK);
    assert_ptr_not_equal(xe_segment_image(xe_directory_find(t, 0)), shared);
    assert_true(is_valid(t) && is_valid(s));
    end(s);
    end(t);
}

/* What changes nothing makes no copies. */
static void no_copies_without_a_change(void **state)
{
    (void)state;
    struct xe_table *t = filled(XE_SET, 0, 100), *s = taken(t);
    const struct xe_image *shared = xe_segment_image(xe_directory_find(t, 0));
    assert_int_equal(any_put(t, key_of(5), number(1), XE_PUT_NEW), XE_EXISTS);
    assert_int_equal(any_remove(t, short_key(100000)), XE_ABSENT);
    assert_int_equal(any_update(t, short_key(100000), true), XE_ABSENT);
    assert_ptr_equal(xe_segment_image(xe_directory_find(t, 0)), shared);
    end(s);
    end(t);
}

/* Marks (scan.h) are of objects: taking a snapshot changes none, and nor does copying an image. */
static void marks_stay_good(void **state)
{
    (void)state;
    static struct xe_chunk of_table, of_snapshot;
    struct xe_table *t = filled(XE_SET, 0, 100), *s = taken(t);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_scan_hashes(t, 0, 1, &of_table), XE_OK);
    assert_int_equal(xe_scan_hashes(s, 0, 1, &of_snapshot), XE_OK);
    xe_epoch_leave(slot);
    assert_true(of_table.mark.segment && of_snapshot.mark.segment);
    end(taken(t));
    assert_true(xe_scan_is_unchanged(t, 0, &of_table.mark));
    assert_false(xe_scan_is_unchanged(s, 0, &of_table.mark));
    assert_int_equal(any_put(t, KEY(KEY_WORD, 6), number(1), XE_PUT), XE_OK);
    assert_false(xe_scan_is_unchanged(t, 0, &of_table.mark));
    assert_true(xe_scan_is_unchanged(s, 0, &of_snapshot.mark));
    end(s);
    end(t);
}

static void a_fixed_table_can_have_one(void **state)
{
    (void)state;
    struct xe_table *t = filled(XE_SET, 16, 200);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_fix(t), XE_OK);
    xe_epoch_leave(slot);
    struct xe_table *s = taken(t);
    struct digest d = digest_of(s);
    assert_int_equal(any_remove(t, key_of(7)), XE_OK);
    assert_int_equal(any_clear(t), XE_OK);
    slot = xe_epoch_enter();
    xe_table_unfix(t);
    assert_int_equal(xe_table_fix(s), XE_OK);
    xe_table_unfix(s);
    xe_epoch_leave(slot);
    xe_reclaim_drain();
    assert_true(same_digest(digest_of(s), d) && reads_agree(s));
    end(s);
    end(t);
}

/* --- Who frees ------------------------------------------------------------------- */

/* The reclaimer is stopped in a job that has had its grace period together with that of a
 * snapshot, which is next. */
static struct scene {
    struct xe_reclaim_job first, before, behind;
    struct xe_table *t;
    uint64_t epoch; /* of the reader */
    struct memory_use use;
    _Atomic int step;
} scene;

static void await_step(int step)
{
    while (atomic_load(&scene.step) < step)
        sched_yield();
}

/* What is pushed meanwhile has one grace period together. */
static void run_first(struct xe_reclaim_job *job)
{
    (void)job;
    atomic_store(&scene.step, 1);
    await_step(2);
}

/* The table leaves the image to the snapshot, when somebody has found it in the table. */
static void run_before(struct xe_reclaim_job *job)
{
    (void)job;
    atomic_store(&scene.step, 3);
    await_step(4);
    CHECK(any_put(scene.t, short_key(2), number(2), XE_PUT) == XE_OK);
    memory_in_use(&scene.use);
    CHECK(xe_epoch_now() == scene.epoch && xe_epoch_is_idle());
}

static void run_behind(struct xe_reclaim_job *job)
{
    (void)job;
    atomic_store(&scene.step, 5);
}

static void e1_the_last_holder_waits_for_readers_of_the_table(void **state)
{
    (void)state;
    const uint64_t value = VALUE(VALUE_TERMS, 1);
    struct xe_table *t = kind_new(XE_SET, 0);
    struct lookup l;
    struct xe_view view;
    struct memory_use use;
    assert_int_equal(any_put(t, short_key(1), value, XE_PUT), XE_OK);
    struct xe_table *s = taken(t);
    lookup_make(&l, t->seed, short_key(1));
    xe_reclaim_drain();
    scene = (struct scene){.t = t, .first.run = run_first, .before.run = run_before,
                           .behind.run = run_behind};
    xe_reclaim_push(&scene.first);
    await_step(1);
    xe_reclaim_push(&scene.before);
    xe_table_delete(s);
    xe_reclaim_push(&scene.behind);
    atomic_store(&scene.step, 2);
    await_step(3);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_find(t, &l.key, &view), XE_OK);
    scene.epoch = xe_epoch_now();
    atomic_store(&scene.step, 4);
    /* Until the reclaimer waits for this section, or has not done so. */
    while (xe_epoch_now() == scene.epoch && atomic_load(&scene.step) < 5)
        sched_yield();
    memory_in_use(&use);
    bool is_there = use.envs == scene.use.envs && view_is(&view, short_key(1), value);
    xe_epoch_leave(slot);
    assert_true(is_there);
    xe_reclaim_drain();
    memory_in_use(&use);
    assert_int_equal(use.envs, scene.use.envs - 1);
    lookup_free(&l);
    end(t);
}

/* --- What it costs --------------------------------------------------------------- */

static void costs(enum xe_kind kind)
{
    uint64_t nothing = xe_table_bytes_all();
    struct xe_table *t = kind_new(kind, 0);
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(any_put(t, short_key(i), number(i), XE_PUT), XE_OK);
    xe_reclaim_drain();
    uint64_t before = bytes_of(t);
    struct xe_table *s = taken(t);
    uint64_t small = bytes_of(s);
    assert_int_equal(bytes_of(t), before);
    assert_in_range(small, 1000, before / 10);
    assert_int_equal(xe_table_bytes_all() - nothing, before + small);
    /* A change copies one image. */
    assert_int_equal(any_put(t, short_key(1), VALUE(VALUE_NUMBER, 77777), XE_PUT), XE_OK);
    xe_reclaim_drain();
    uint64_t one = bytes_of(s);
    assert_in_range(one, small + 5000, small + XE_IMAGE_BYTES_MAX);
    assert_in_range(xe_table_bytes_all() - nothing, bytes_of(t) + one - 8, bytes_of(t) + one);
    /* Of all that the table has left, two snapshots have half each. */
    struct xe_table *s2 = taken(s);
    assert_int_equal(any_clear(t), XE_OK);
    xe_reclaim_drain();
    assert_in_range(bytes_of(s), before / 3, before * 2 / 3);
    assert_in_range(bytes_of(s2), before / 3, before * 2 / 3);
    assert_in_range(xe_table_bytes_all() - nothing, bytes_of(t) + bytes_of(s) + bytes_of(s2),
                    bytes_of(t) + bytes_of(s) + bytes_of(s2) + 1000);
    end(s2);
    assert_in_range(bytes_of(s), before, before + before / 10);
    assert_int_equal(xe_table_bytes_all() - nothing, bytes_of(t) + bytes_of(s));
    end(t);
    assert_int_equal(xe_table_bytes_all() - nothing, bytes_of(s));
    end(s);
    assert_int_equal(xe_table_bytes_all(), nothing);
}

static void what_only_snapshots_have_is_counted_for_them(void **state)
{
    (void)state;
    for_kinds(costs);
}

static void costs_blobs(enum xe_kind kind)
{
    enum { BLOBS = 20, BLOB = 50000 };
    uint64_t nothing = xe_table_bytes_all();
    struct xe_table *t = kind_new(kind, 0);
    struct xe_table *s;
    for (uint32_t i = 0; i < BLOBS; i++)
        assert_int_equal(any_put(t, KEY(KEY_HUGE, i), number(i), XE_PUT), XE_OK);
    s = taken(t);
    uint64_t before = bytes_of(t), small = bytes_of(s);
    /* The descriptors are copied, the blobs are shared. */
    assert_int_equal(any_put(t, short_key(1), number(1), XE_PUT), XE_OK);
    xe_reclaim_drain();
    assert_in_range(bytes_of(s), small, small + 20000);
    for (uint32_t i = 0; i < BLOBS; i++)
        assert_int_equal(any_remove(t, KEY(KEY_HUGE, i)), XE_OK);
    xe_reclaim_drain();
    assert_in_range(bytes_of(s), before - 4000, before + small + 4000);
    assert_int_equal(xe_table_bytes_all() - nothing, bytes_of(t) + bytes_of(s));
    assert_true(reads_agree(s) && is_valid(t));
    end(s);
    for (uint32_t i = 0; i < BLOBS; i++)
        assert_int_equal(any_put(t, KEY(KEY_HUGE, i), number(i), XE_PUT), XE_OK);
    s = taken(t);
    end(t);
    assert_in_range(bytes_of(s), before - 4000, before + small + 4000);
    assert_int_equal(xe_table_bytes_all() - nothing, bytes_of(s));
    end(s);
    assert_int_equal(xe_table_bytes_all(), nothing);
}

/* The table has written since, so its last images were never shared, but their blobs are. */
static void costs_blobs_of_copies(enum xe_kind kind, bool clear)
{
    enum { BLOBS = 20 };
    uint64_t nothing = xe_table_bytes_all();
    struct xe_table *t = kind_new(kind, 0);
    for (uint32_t i = 0; i < BLOBS; i++)
        assert_int_equal(any_put(t, KEY(KEY_HUGE, i), number(i), XE_PUT), XE_OK);
    struct xe_table *s = taken(t);
    uint64_t before = bytes_of(t), small = bytes_of(s);
    assert_int_equal(any_put(t, short_key(1), number(1), XE_PUT), XE_OK);
    if (clear)
        assert_int_equal(any_clear(t), XE_OK);
    else
        xe_table_delete(t);
    xe_reclaim_drain();
    assert_in_range(bytes_of(s), before - 4000, before + small + 4000);
    if (clear)
        end(t);
    assert_int_equal(xe_table_bytes_all() - nothing, bytes_of(s));
    end(s);
    assert_int_equal(xe_table_bytes_all(), nothing);
}

static void blobs_that_only_snapshots_have_are_counted_for_them(void **state)
{
    (void)state;
    for_kinds(costs_blobs);
    for (int clear = 0; clear < 2; clear++)
        for (int kind = 0; kind < TABLE_KINDS; kind++)
            costs_blobs_of_copies((enum xe_kind)kind, clear);
}

/* --- Random changes ---------------------------------------------------------------- */

enum { KEYS = 700, STEPS = 6000, SNAPSHOTS = 4, CHECK_EVERY = 500 };

/* A table, another one that is changed as it is and never had a snapshot, and snapshots with what
 * they had when they were taken. */
struct world {
    struct xe_table *t, *twin;
    struct rng rng;
    bool failing;
    uint64_t next;
    struct {
        struct xe_table *t;
        struct digest has;
    } snapshot[SNAPSHOTS];
};

static bool goes_on(struct world *w, enum xe_status status)
{
    memory_fail_never();
    assert_true(status == XE_OK || status == XE_ABSENT || status == XE_EXISTS ||
                status == XE_LIMIT || (w->failing && status == XE_NOMEM));
    return status != XE_NOMEM;
}

static void begin_failing(struct world *w)
{
    if (w->failing)
        memory_fail_rate(100, &w->rng);
}

/* One call on the table, and on its twin if it succeeds. */
#define BOTH(w, call)                                                                             \
    do {                                                                                          \
        struct xe_table *t = (w)->t;                                                              \
        begin_failing(w);                                                                         \
        enum xe_status status = (call);                                                           \
        if (!goes_on(w, status))                                                                  \
            break;                                                                                \
        t = (w)->twin;                                                                            \
        assert_int_equal((call), status);                                                         \
    } while (0)

static void step_list(struct world *w)
{
    static uint32_t keys[300];
    static uint64_t values[300];
    uint32_t n = 2 + rng_below(&w->rng, rng_chance(&w->rng, 1, 10) ? 298 : 10);
    enum xe_put mode = rng_chance(&w->rng, 1, 4) ? XE_PUT_NEW : XE_PUT;
    for (uint32_t i = 0; i < n; i++) {
        keys[i] = key_of(rng_below(&w->rng, KEYS));
        values[i] = value_of(w->next++);
    }
    BOTH(w, put_list(t, keys, values, n, mode));
}

static void step_change(struct world *w)
{
    uint32_t key = key_of(rng_below(&w->rng, KEYS));
    uint64_t value = value_of(w->next++);
    uint64_t other = value_of(rng_below(&w->rng, (uint32_t)w->next));
    bool is_bag = xe_kind_is_bag(w->t->kind), coin = rng_chance(&w->rng, 1, 2);
    switch (rng_below(&w->rng, 12)) {
    case 0:
    case 1:
    case 2:
        BOTH(w, any_put(t, key, value, coin ? XE_PUT : XE_PUT_NEW));
        break;
    case 3:
    case 4:
        BOTH(w, any_remove(t, key));
        break;
    case 5:
    case 6:
        if (is_bag)
            BOTH(w, any_put(t, key_of(7), value, XE_PUT));
        else
            BOTH(w, any_update(t, key, coin));
        break;
    case 7:
        if (is_bag)
            BOTH(w, bag_remove(t, key, other));
        else
            BOTH(w, any_replace(t, key, value));
        break;
    case 8:
        if (w->t->kind == XE_ORDERED)
            BOTH(w, any_pop(t, coin));
        else if (w->t->kind == XE_SET)
            BOTH(w, put_plain(t, key, small_value(w->next), XE_PUT));
        break;
    default:
        if (rng_chance(&w->rng, 1, 4))
            step_list(w);
    }
}

/* Takes a snapshot, of the table or of a snapshot, or ends one. */
static void step_snapshot(struct world *w)
{
    uint32_t i = rng_below(&w->rng, SNAPSHOTS), j = rng_below(&w->rng, SNAPSHOTS);
    if (w->snapshot[i].t) {
        assert_true(same_digest(digest_of(w->snapshot[i].t), w->snapshot[i].has));
        xe_table_delete(w->snapshot[i].t);
        w->snapshot[i].t = NULL;
        return;
    }
    struct xe_table *of = w->snapshot[j].t && rng_chance(&w->rng, 1, 3) ? w->snapshot[j].t : w->t;
    struct xe_table *s;
    begin_failing(w);
    enum xe_status status = snapshot_of(of, &s);
    if (!goes_on(w, status))
        return;
    assert_int_equal(status, XE_OK);
    w->snapshot[i].t = s;
    w->snapshot[i].has = digest_of(of);
}

static void check(struct world *w)
{
    xe_reclaim_drain();
    assert_true(is_valid(w->t));
    assert_true(same_digest(digest_of(w->t), digest_of(w->twin)));
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        if (!w->snapshot[i].t)
            continue;
        assert_true(is_valid(w->snapshot[i].t));
        assert_true(reads_agree(w->snapshot[i].t));
        assert_true(same_digest(digest_of(w->snapshot[i].t), w->snapshot[i].has));
    }
}

static void run_random(enum xe_kind kind, uint32_t max_objects, bool failing)
{
    static struct world w;
    uint64_t nothing = xe_table_bytes_all();
    memset(&w, 0, sizeof w);
    w.t = kind_new(kind, max_objects);
    w.twin = kind_new(kind, max_objects);
    w.rng = rng_for(0x5a70 + kind * 100 + max_objects + failing);
    w.failing = failing;
    for (uint32_t i = 0; i < STEPS; i++) {
        if (rng_chance(&w.rng, 1, 30))
            step_snapshot(&w);
        else if (rng_chance(&w.rng, 1, 1000))
            BOTH(&w, any_clear(t));
        else
            step_change(&w);
        if (i % CHECK_EVERY == CHECK_EVERY - 1)
            check(&w);
    }
    xe_table_delete(w.t);
    for (uint32_t i = 0; i < SNAPSHOTS; i++)
        if (w.snapshot[i].t) {
            xe_reclaim_drain();
            assert_true(same_digest(digest_of(w.snapshot[i].t), w.snapshot[i].has));
            xe_table_delete(w.snapshot[i].t);
        }
    end(w.twin);
    assert_int_equal(xe_table_bytes_all(), nothing);
}

#define RANDOM(name, kind)                                                                        \
    static void g9_snapshots_of_##name##_stay_as_they_are(void **state)                           \
    {                                                                                             \
        (void)state;                                                                              \
        run_random(kind, 16, false);                                                              \
        run_random(kind, 0, false);                                                               \
    }                                                                                             \
    static void g5_g9_snapshots_of_##name##_stay_so_when_allocations_fail(void **state)           \
    {                                                                                             \
        (void)state;                                                                              \
        run_random(kind, 16, true);                                                               \
    }
RANDOM(sets, XE_SET)
RANDOM(bags, XE_BAG)
RANDOM(duplicate_bags, XE_DUPLICATE_BAG)
RANDOM(ordered_sets, XE_ORDERED)

/* --- Every single allocation -------------------------------------------------------- */

static void taken_at_each_failure(enum xe_kind kind)
{
    struct xe_table *t = filled(kind, 8, 900), *s;
    struct digest d = digest_of(t);
    struct memory_use before, after;
    for (uint64_t n = 0;; n++) {
        assert_true(n < 10000);
        xe_reclaim_drain();
        memory_in_use(&before);
        memory_fail_at(n);
        enum xe_status status = snapshot_of(t, &s);
        if (memory_fail_never() == 0)
            break;
        assert_int_equal(status, XE_NOMEM);
        memory_in_use(&after);
        assert_memory_equal(&before, &after, sizeof before);
        assert_true(same_digest(digest_of(t), d) && is_valid(t));
    }
    assert_true(same_digest(digest_of(s), d));
    end(s);
    end(t);
}

static void g5_a_snapshot_that_cannot_be_made_leaves_nothing(void **state)
{
    (void)state;
    for_kinds(taken_at_each_failure);
}

/* One write on a table that shares all of its images, whichever allocation fails: it succeeds, or
 * it has changed nothing. */
static void fails_each(enum xe_kind kind, enum xe_status (*call)(struct xe_table *t))
{
    struct xe_table *t = filled(kind, 8, 300), *s = taken(t);
    struct digest had = digest_of(t), has;
    for (uint64_t n = 0;; n++) {
        assert_true(n < 10000);
        memory_fail_at(n);
        enum xe_status status = call(t);
        bool failed = memory_fail_never() != 0;
        assert_true(status == XE_OK || (failed && status == XE_NOMEM));
        has = digest_of(t);
        assert_true(is_valid(t) && same_digest(digest_of(s), had));
        assert_true(same_digest(has, had) == (status == XE_NOMEM));
        if (!failed)
            break;
        end(t);
        end(s);
        t = filled(kind, 8, 300);
        s = taken(t);
    }
    end(t);
    end(s);
}

static enum xe_status remove_one(struct xe_table *t)
{
    return any_remove(t, key_of(12));
}

static enum xe_status put_one(struct xe_table *t)
{
    return any_put(t, key_of(12), number(4711), XE_PUT);
}

static enum xe_status put_new(struct xe_table *t)
{
    return any_put(t, key_of(1200), VALUE(VALUE_TERMS, 4711), XE_PUT_NEW);
}

static enum xe_status put_list_of_all(struct xe_table *t)
{
    enum { N = 60 };
    uint32_t keys[N];
    uint64_t values[N];
    for (uint32_t i = 0; i < N; i++) {
        keys[i] = key_of(i * 7);
        values[i] = value_of(1000 + i);
    }
    return put_list(t, keys, values, N, XE_PUT);
}

static enum xe_status pop(struct xe_table *t)
{
    return any_pop(t, true);
}

static enum xe_status update(struct xe_table *t)
{
    return any_update(t, KEY(KEY_WORD, 90), true);
}

static void each_write_fails(enum xe_kind kind)
{
    fails_each(kind, remove_one);
    fails_each(kind, put_one);
    fails_each(kind, put_new);
    fails_each(kind, put_list_of_all);
    if (!xe_kind_is_bag(kind))
        fails_each(kind, update);
    if (kind == XE_ORDERED)
        fails_each(kind, pop);
}

static void g5_a_write_beside_a_snapshot_succeeds_or_changes_nothing(void **state)
{
    (void)state;
    for_kinds(each_write_fails);
}

/* test_snapshot [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(g9_a_snapshot_has_what_the_table_has),
        TEST(g9_a_snapshot_of_an_empty_table_stays_empty),
        TEST(g9_a_snapshot_of_many_segments_can_be_read),
        TEST(g9_a_long_run_of_a_bag_can_be_read),
        TEST(g9_replacing_in_a_duplicate_bag_leaves_snapshots_alone),
        TEST(g9_a_snapshot_cannot_be_changed),
        TEST(none_of_a_dead_table),
        TEST(none_while_the_gate_is_closed),
        TEST(g9_snapshots_outlive_the_table_and_each_other),
        TEST(writes_in_place_again),
        TEST(no_copies_without_a_change),
        TEST(marks_stay_good),
        TEST(a_fixed_table_can_have_one),
        TEST(e1_the_last_holder_waits_for_readers_of_the_table),
        TEST(what_only_snapshots_have_is_counted_for_them),
        TEST(blobs_that_only_snapshots_have_are_counted_for_them),
        TEST(g9_snapshots_of_sets_stay_as_they_are),
        TEST(g9_snapshots_of_bags_stay_as_they_are),
        TEST(g9_snapshots_of_duplicate_bags_stay_as_they_are),
        TEST(g9_snapshots_of_ordered_sets_stay_as_they_are),
        TEST(g5_g9_snapshots_of_sets_stay_so_when_allocations_fail),
        TEST(g5_g9_snapshots_of_bags_stay_so_when_allocations_fail),
        TEST(g5_g9_snapshots_of_duplicate_bags_stay_so_when_allocations_fail),
        TEST(g5_g9_snapshots_of_ordered_sets_stay_so_when_allocations_fail),
        TEST(g5_a_snapshot_that_cannot_be_made_leaves_nothing),
        TEST(g5_a_write_beside_a_snapshot_succeeds_or_changes_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("snapshots", tests, NULL, NULL);
}
