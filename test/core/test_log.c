/*
 * test_log.c - tables with a log: what is told of each write, and that the log made again is the
 * table (log.h).
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "order.h"
#include "support_bag.h"
#include "support_log.h"
#include "support_snapshot.h"
#include "table_internal.h"

enum { KEYS = 60, STEPS = 3000, LIST = 40, MANY = 1500, CAP = 200000 };

static const enum xe_kind kinds[] = {XE_SET, XE_BAG, XE_DUPLICATE_BAG, XE_ORDERED};

static struct xe_table *logged_new(struct log *log, enum xe_kind kind)
{
    struct xe_table *t = kind_new(kind, 16);
    log_start(log, t, CAP);
    return t;
}

static void end(struct xe_table *t, struct log *log)
{
    xe_table_delete(t);
    xe_reclaim_drain();
    log_free(log);
}

/* A change that must be the last one told. */
static const struct logged *last(const struct log *log, uint64_t n, enum xe_log_op op)
{
    assert_int_equal(log->n, n);
    assert_int_equal(log->open, 0);
    assert_int_equal(log->at[n - 1]->op, op);
    return log->at[n - 1];
}

static bool is_value(const struct logged_object *o, uint32_t key, uint64_t value)
{
    struct xe_view view = {.key = o->bytes, .klen = o->klen, .body = o->bytes + o->klen,
                           .blen = o->len - o->klen, .flags = o->flags};
    return view_is(&view, key, value);
}

/* --- What is told ----------------------------------------------------------- */

static void what_is_inserted_is_told_once(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 4; k++) {
        struct log log;
        struct xe_table *t = logged_new(&log, kinds[k]);
        uint32_t keys[] = {short_key(1), short_key(2), short_key(3)};
        uint64_t values[] = {number(11), number(12), number(13)};
        assert_int_equal(any_put(t, keys[0], number(1), XE_PUT), XE_OK);
        assert_true(is_value(&last(&log, 1, XE_LOG_PUT)->objects[0], keys[0], number(1)));
        assert_int_equal(put_list(t, keys, values, 3, XE_PUT), XE_OK);
        const struct logged *l = last(&log, 2, XE_LOG_PUT);
        assert_int_equal(l->n, 3);
        for (uint32_t i = 0; i < 3; i++)
            assert_true(is_value(&l->objects[i], keys[i], values[i]));
        end(t, &log);
    }
}

static void what_changes_nothing_is_not_told(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 4; k++) {
        struct log log;
        struct xe_table *t = logged_new(&log, kinds[k]);
        uint32_t keys[] = {short_key(2), short_key(1)};
        uint64_t values[] = {number(2), number(3)};
        assert_int_equal(any_put(t, short_key(1), number(1), XE_PUT), XE_OK);
        assert_int_equal(any_put(t, short_key(1), number(2), XE_PUT_NEW), XE_EXISTS);
        assert_int_equal(put_list(t, keys, values, 2, XE_PUT_NEW), XE_EXISTS);
        assert_int_equal(any_remove(t, short_key(2)), XE_ABSENT);
        if (kinds[k] == XE_BAG)
            assert_int_equal(bag_put(t, short_key(1), number(1), XE_PUT), XE_EXISTS);
        if (xe_kind_is_bag(kinds[k])) {
            assert_int_equal(bag_remove(t, short_key(1), number(2)), XE_ABSENT);
            assert_int_equal(bag_take(t, short_key(1), 0, NULL, 0), XE_LIMIT);
        }
        last(&log, 1, XE_LOG_PUT);
        end(t, &log);
    }
}

static void deleting_tells_the_key(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 4; k++) {
        struct log log;
        struct xe_table *t = logged_new(&log, kinds[k]);
        assert_int_equal(any_put(t, KEY(KEY_TWIN, 7), number(1), XE_PUT), XE_OK);
        assert_int_equal(any_remove(t, KEY(KEY_TWIN, 7)), XE_OK);
        const struct logged *l = last(&log, 2, XE_LOG_DELETE);
        assert_int_equal(l->objects[0].terms[0], KEY(KEY_TWIN, 7));
        end(t, &log);
    }
}

static void a_group_of_many_segments_goes_as_one_change(void **state)
{
    (void)state;
    for (uint32_t k = 1; k < 3; k++) {
        struct log log;
        struct xe_table *t = logged_new(&log, kinds[k]);
        for (uint32_t i = 0; i < MANY; i++)
            assert_int_equal(bag_put(t, short_key(1), number(i), XE_PUT), XE_OK);
        for (uint32_t i = 0; k == 2 && i < MANY; i++)
            assert_int_equal(bag_put(t, short_key(1), number(0), XE_PUT), XE_OK);
        uint64_t n = log.n;
        assert_true(xe_table_segments(t) > 4);
        assert_int_equal(bag_remove(t, short_key(1), number(0)), XE_OK);
        last(&log, n + 1, XE_LOG_DELETE_OBJECT);
        assert_int_equal(bag_drop(t, short_key(1)), XE_OK);
        last(&log, n + 2, XE_LOG_DELETE);
        assert_int_equal(digest_of(t).objects, 0);
        end(t, &log);
    }
}

static void taking_the_first_or_last_tells_its_key(void **state)
{
    (void)state;
    struct log log;
    struct xe_table *t = logged_new(&log, XE_ORDERED);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(any_put(t, KEY(KEY_TINY, i), number(i), XE_PUT), XE_OK);
    assert_int_equal(any_pop(t, false), XE_OK);
    assert_int_equal(last(&log, 101, XE_LOG_DELETE)->objects[0].bytes[0], 0);
    assert_int_equal(any_pop(t, true), XE_OK);
    assert_int_equal(last(&log, 102, XE_LOG_DELETE)->objects[0].bytes[0], 99);
    assert_int_equal(any_clear(t), XE_OK);
    last(&log, 103, XE_LOG_CLEAR);
    assert_int_equal(any_pop(t, true), XE_ABSENT);
    last(&log, 103, XE_LOG_CLEAR);
    end(t, &log);
}

/* What becomes of an object would not be known before its segment is locked. */
static void objects_are_not_changed_in_place(void **state)
{
    (void)state;
    static const enum xe_kind unique[] = {XE_SET, XE_ORDERED};
    for (uint32_t k = 0; k < 2; k++) {
        struct log log;
        struct xe_table *t = logged_new(&log, unique[k]);
        assert_int_equal(any_put(t, short_key(1), number(1), XE_PUT), XE_OK);
        assert_int_equal(any_update(t, short_key(1), true), XE_LIMIT);
        assert_int_equal(any_update(t, short_key(1), false), XE_LIMIT);
        assert_int_equal(any_replace(t, short_key(1), number(2)), XE_OK);
        assert_true(is_value(&last(&log, 2, XE_LOG_PUT)->objects[0], short_key(1), number(2)));
        end(t, &log);
    }
}

static void of_equal_objects_the_place_of_the_replaced_one_is_told(void **state)
{
    (void)state;
    struct log log;
    struct xe_table *t = logged_new(&log, XE_DUPLICATE_BAG);
    static const uint32_t objects[] = {1, 2, 1, 1, 2};
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(bag_put(t, short_key(1), number(objects[i]), XE_PUT), XE_OK);
    assert_int_equal(bag_replace(t, short_key(1), 3, number(1), number(9)), XE_OK);
    const struct logged *l = last(&log, 6, XE_LOG_REPLACE);
    assert_int_equal(l->place, 2);
    assert_true(is_value(&l->objects[0], short_key(1), number(9)));
    assert_true(is_value(&l->objects[1], short_key(1), number(1)));
    end(t, &log);
}

static void w3_what_the_log_refuses_has_changed_nothing(void **state)
{
    (void)state;
    static const enum xe_status refusals[] = {XE_RETRY, XE_NOMEM, XE_LARGE, XE_FAILED};
    for (uint32_t k = 0; k < 4; k++) {
        struct log log;
        struct xe_table *t = logged_new(&log, kinds[k]);
        uint32_t keys[] = {short_key(1), short_key(2)};
        uint64_t values[] = {number(1), number(2)};
        assert_int_equal(put_list(t, keys, values, 2, XE_PUT), XE_OK);
        struct digest had = digest_in_order_of(t);
        for (uint32_t i = 0; i < 4; i++) {
            log.refuse = refusals[i];
            assert_int_equal(any_put(t, keys[0], VALUE(VALUE_LARGE, 1), XE_PUT), refusals[i]);
            assert_int_equal(put_list(t, keys, values, 2, XE_PUT), refusals[i]);
            assert_int_equal(any_remove(t, keys[0]), refusals[i]);
            assert_int_equal(any_clear(t), refusals[i]);
            if (kinds[k] == XE_ORDERED)
                assert_int_equal(any_pop(t, true), refusals[i]);
            if (xe_kind_is_bag(kinds[k]))
                assert_int_equal(bag_remove(t, keys[0], values[0]), refusals[i]);
            else
                assert_int_equal(any_replace(t, keys[0], number(3)), refusals[i]);
            if (kinds[k] == XE_DUPLICATE_BAG)
                assert_int_equal(bag_replace(t, keys[0], 0, values[0], number(3)), refusals[i]);
        }
        assert_true(same_digest(digest_in_order_of(t), had) && is_valid(t));
        last(&log, 1, XE_LOG_PUT);
        end(t, &log);
    }
}

/* --- Made again -------------------------------------------------------------- */

struct world {
    struct log log;
    struct xe_table *t;
    struct rng rng;
    uint64_t pool[50];
};

static uint32_t draw_key(struct world *w)
{
    uint32_t kind = rng_below(&w->rng, KEY_KINDS), n = rng_below(&w->rng, KEYS);
    return rng_chance(&w->rng, 1, 3) ? short_key(n % 3) : KEY(kind, n);
}

static uint64_t draw_value(struct world *w)
{
    return w->pool[rng_below(&w->rng, 50)];
}

static void step_list(struct world *w)
{
    uint32_t keys[LIST], n = 1 + rng_below(&w->rng, LIST);
    uint64_t values[LIST];
    for (uint32_t i = 0; i < n; i++) {
        keys[i] = draw_key(w);
        values[i] = draw_value(w);
    }
    put_list(w->t, keys, values, n, rng_chance(&w->rng, 1, 4) ? XE_PUT_NEW : XE_PUT);
}

static void step_of_kind(struct world *w)
{
    uint32_t key = draw_key(w);
    switch (w->t->kind) {
    case XE_SET:
        any_replace(w->t, key, draw_value(w));
        break;
    case XE_ORDERED:
        any_pop(w->t, rng_chance(&w->rng, 1, 2));
        break;
    case XE_DUPLICATE_BAG:
        for (int i = 0; i < 4; i++)
            bag_replace(w->t, key, rng_below(&w->rng, 20), draw_value(w), draw_value(w));
        /* fall through */
    case XE_BAG:
        bag_remove(w->t, key, draw_value(w));
        break;
    }
}

static void step(struct world *w)
{
    uint32_t d = rng_below(&w->rng, 1000);
    if (d < 500)
        any_put(w->t, draw_key(w), draw_value(w), d < 50 ? XE_PUT_NEW : XE_PUT);
    else if (d < 600)
        step_list(w);
    else if (d < 700)
        any_remove(w->t, draw_key(w));
    else if (d < 999)
        step_of_kind(w);
    else
        any_clear(w->t);
}

static void check_made_again(struct world *w, uint64_t n, const struct xe_table *like)
{
    struct xe_table_config config = {.seed = rng_next(&w->rng), .kind = like->kind,
                                     .max_objects = 16};
    struct xe_table *again = xe_table_new(&config);
    log_replay(&w->log, n, again);
    assert_true(same_objects((struct xe_table *)like, again) && is_valid(again));
    xe_table_delete(again);
}

/* At some steps a snapshot tells what the table was; the log up to there gives that. */
static void run(enum xe_kind kind, uint64_t purpose, bool failing)
{
    enum { SNAPSHOTS = 4 };
    static struct world world;
    struct world *w = &world;
    struct xe_table *snapshots[SNAPSHOTS];
    uint64_t n[SNAPSHOTS];
    struct rng failures = rng_for(purpose + 100);
    w->rng = rng_for(purpose);
    values_draw(&w->rng, w->pool, 50);
    w->t = logged_new(&w->log, kind);
    for (int i = 0; i < SNAPSHOTS; i++) {
        for (int s = 0; s < STEPS / SNAPSHOTS; s++) {
            if (failing)
                memory_fail_rate(20, &failures);
            if (failing && s % 100 == 0)
                w->log.refuse = s % 200 ? XE_RETRY : XE_OK;
            step(w);
        }
        memory_fail_never();
        w->log.refuse = XE_OK;
        assert_int_equal(snapshot_of(w->t, &snapshots[i]), XE_OK);
        n[i] = w->log.n;
    }
    assert_true(n[0] > 10 && is_valid(w->t));
    for (int i = 0; i < SNAPSHOTS; i++) {
        check_made_again(w, n[i], snapshots[i]);
        xe_table_delete(snapshots[i]);
    }
    check_made_again(w, w->log.n, w->t);
    end(w->t, &w->log);
}

static void w2_a_log_made_again_gives_the_table(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 4; k++)
        run(kinds[k], 400 + k, false);
}

static void w2_what_failed_is_not_in_the_log(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 4; k++)
        run(kinds[k], 500 + k, true);
}

/* A table that was filled before it got its log, as one that is recovered. */
static void what_is_inserted_comes_behind_what_was_there_before_the_log(void **state)
{
    (void)state;
    struct xe_table *t = kind_new(XE_DUPLICATE_BAG, 16);
    struct log log;
    uint64_t all[200];
    for (uint32_t i = 0; i < 200; i++) {
        all[i] = number(i);
        if (i == 100)
            log_start(&log, t, CAP);
        assert_int_equal(bag_put(t, short_key(1), number(i), XE_PUT), XE_OK);
    }
    assert_int_equal(bag_find(t, short_key(1), UINT32_MAX, all, 200), XE_OK);
    assert_int_equal(log.n, 100);
    end(t, &log);
}

/* --- The instant of a snapshot ------------------------------------------------ */

struct instant {
    struct xe_table *t;
    uint64_t n, calls;
};

static void at_instant(void *arg)
{
    struct instant *i = arg;
    assert_int_equal(atomic_load(&i->t->gate), GATE_CLOSED);
    i->calls++;
    i->n = ((struct log *)xe_table_log(i->t))->n;
}

static void the_instant_of_a_snapshot_is_told_in_the_gate(void **state)
{
    (void)state;
    struct log log;
    struct xe_table *t = logged_new(&log, XE_SET), *s;
    struct instant instant = {.t = t};
    assert_int_equal(any_put(t, short_key(1), number(1), XE_PUT), XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_snapshot_at(t, slot, false, at_instant, &instant, &s), XE_OK);
    xe_epoch_leave(slot);
    assert_int_equal(any_put(t, short_key(2), number(1), XE_PUT), XE_OK);
    assert_int_equal(instant.calls, 1);
    assert_int_equal(instant.n, 1);
    assert_int_equal(digest_of(s).objects, 1);
    assert_null(xe_table_log(s));
    xe_table_delete(s);
    end(t, &log);
}

/* --- The end ---------------------------------------------------------------- */

enum { PATIENCE_S = 60 };

/* What stands still until it is told to go on. */
static _Atomic bool stands_still, may_go_on;

static void stand_still(void)
{
    stands_still = true;
    while (!may_go_on)
        sched_yield();
}

/* Of a log whose disk does not answer. */
static void (*log_gone)(void *log);

static void gone_later(void *log)
{
    stand_still();
    log_gone(log);
}

static void free_later(struct xe_reclaim_job *job)
{
    (void)job;
    stand_still();
}

/* Whether it comes to that. */
static bool eventually(bool (*is_so)(const void *of), const void *of)
{
    time_t limit = time(NULL) + PATIENCE_S;
    while (!is_so(of) && time(NULL) < limit)
        sched_yield();
    return is_so(of);
}

static bool is_set(const void *of)
{
    return *(const _Atomic bool *)of;
}

static bool is_all_there_is(const void *bytes)
{
    return xe_table_bytes_all() == *(const uint64_t *)bytes;
}

/* Of the table itself, too, and of one that is deleted later. */
static void memory_is_freed_while_the_log_is_being_closed(void **state)
{
    (void)state;
    uint64_t before = xe_table_bytes_all();
    struct log log;
    struct xe_table *t = logged_new(&log, XE_SET), *plain = kind_new(XE_SET, 16);
    log_gone = log.calls.gone;
    log.calls.gone = gone_later;
    stands_still = may_go_on = false;
    fill_table(t, MANY);
    fill_table(plain, MANY);
    xe_table_delete(t);
    assert_true(eventually(is_set, &stands_still));
    xe_table_delete(plain);
    bool freed = eventually(is_all_there_is, &before), closed = log.gone;
    may_go_on = true;
    xe_reclaim_drain();
    log_free(&log);
    assert_true(freed);
    assert_false(closed);
}

static void a_log_is_closed_while_memory_is_being_freed(void **state)
{
    (void)state;
    struct log log;
    struct xe_table *t = logged_new(&log, XE_SET);
    struct xe_reclaim_job job = {NULL, free_later};
    stands_still = may_go_on = false;
    fill_table(t, MANY);
    xe_reclaim_push(&job);
    assert_true(eventually(is_set, &stands_still));
    xe_table_delete(t);
    bool closed = eventually(is_set, &log.gone);
    may_go_on = true;
    xe_reclaim_drain();
    log_free(&log);
    assert_true(closed);
}

/* test_log [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_inserted_is_told_once),
        TEST(what_changes_nothing_is_not_told),
        TEST(deleting_tells_the_key),
        TEST(a_group_of_many_segments_goes_as_one_change),
        TEST(taking_the_first_or_last_tells_its_key),
        TEST(objects_are_not_changed_in_place),
        TEST(of_equal_objects_the_place_of_the_replaced_one_is_told),
        TEST(w3_what_the_log_refuses_has_changed_nothing),
        TEST(w2_a_log_made_again_gives_the_table),
        TEST(w2_what_failed_is_not_in_the_log),
        TEST(what_is_inserted_comes_behind_what_was_there_before_the_log),
        TEST(the_instant_of_a_snapshot_is_told_in_the_gate),
        TEST(memory_is_freed_while_the_log_is_being_closed),
        TEST(a_log_is_closed_while_memory_is_being_freed),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
