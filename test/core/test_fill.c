/*
 * test_fill.c - many objects stored segment by segment, room for them before, and the order that makes
 * it fast.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "order_internal.h"
#include "support_bag.h"
#include "support_log.h"

enum { MANY = 6000, REC_BYTES = XE_RECORD_INLINE_MAX + XE_READ_SLACK };

/* --- Objects as records --------------------------------------------------- */

struct plain {
    struct xe_fill_item items[MANY], other[MANY];
    uint32_t keys[MANY];
    uint64_t values[MANY];
    uint8_t recs[MANY][REC_BYTES];
    uint32_t n;
};

/* Keys and bodies of all sizes that fit a record. */
static uint32_t key_at(uint32_t i)
{
    static const enum key_kind kinds[] = {KEY_SHORT, KEY_WORD, KEY_SHORT, KEY_LONG};
    return KEY(kinds[i % 4], i);
}

static uint64_t value_at(uint32_t i, uint32_t round)
{
    static const enum value_kind kinds[] = {VALUE_SMALL, VALUE_NUMBER, VALUE_EMPTY, VALUE_SMALL,
                                            VALUE_MEDIUM};
    return VALUE(kinds[i % 5], (uint64_t)round * MANY + i);
}

static void add(struct plain *p, const struct xe_table *t, uint32_t key, uint64_t value)
{
    struct object x;
    uint8_t *rec = p->recs[p->n];
    object_make(&x, key, value);
    if (!x.o.n_handles && xe_record_fits_inline(&x.o)) {
        uint32_t units = (uint32_t)(XE_HDR_BYTES + x.o.len + XE_RECORD_ALIGN - 1) / XE_RECORD_ALIGN;
        uint32_t header = units | (uint32_t)x.o.klen << XE_HDR_KLEN_SHIFT |
                          (t->kind == XE_ORDERED ? XE_REC_ORDER : 0);
        memset(rec, 0, REC_BYTES);
        memcpy(rec, &header, XE_HDR_BYTES);
        memcpy(rec + XE_HDR_BYTES, x.o.bytes, x.o.len);
        p->items[p->n] = (struct xe_fill_item){
            .hash = xe_key_hash(rec + XE_HDR_BYTES, x.o.klen, t->seed), .rec = rec};
        p->keys[p->n] = key;
        p->values[p->n++] = value;
    }
    object_free(&x);
}

static struct plain *plain_new(const struct xe_table *t, uint32_t from, uint32_t to, uint32_t round)
{
    struct plain *p = malloc(sizeof *p);
    p->n = 0;
    for (uint32_t i = from; i < to; i++)
        add(p, t, key_at(i), value_at(i, round));
    return p;
}

/* Whether the table has exactly these objects under their keys. */
static void check_all(struct xe_table *t, const struct plain *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        struct lookup l;
        struct xe_view view;
        lookup_make(&l, xe_table_seed(t), p->keys[i]);
        if (t->kind == XE_ORDERED)
            xe_key_init_order(&l.key, l.object.o.bytes, l.object.o.klen, NULL, 0);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        assert_int_equal(xe_table_find(t, &l.key, &view), XE_OK);
        assert_true(view_is(&view, p->keys[i], p->values[i]));
        xe_epoch_leave(slot);
        lookup_free(&l);
    }
}

/* All of them, so many in one section. */
static void fill(struct xe_table *t, const struct plain *p, size_t each)
{
    for (size_t at = 0, done; at < p->n; at += done) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        size_t n = p->n - at < each ? p->n - at : each;
        assert_int_equal(xe_table_fill(t, slot, p->items + at, n, &done), XE_OK);
        assert_int_equal(done, n);
        xe_epoch_leave(slot);
    }
}

static enum xe_status expect(struct xe_table *t, uint64_t objects, uint32_t units)
{
    uint64_t position = 0;
    enum xe_status status = XE_OK;
    for (bool more = true; more && status == XE_OK;) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_expect(t, slot, objects, units, &position, &more);
        xe_epoch_leave(slot);
    }
    return status;
}

static const enum xe_kind kinds[] = {XE_SET, XE_ORDERED};
static const uint32_t limits[] = {16, 100, 0};

/* --- Filling --------------------------------------------------------------- */

static void tables_are_filled_in_any_order(void **state)
{
    (void)state;
    static const size_t sections[] = {1, 77, MANY};
    for (uint32_t k = 0; k < 2; k++)
        for (uint32_t limit = 0; limit < 3; limit++)
            for (uint32_t variant = 0; variant < 6; variant++) {
                struct xe_table *t = bag_new(kinds[k], limits[limit]);
                struct plain *p = plain_new(t, 0, MANY, 0);
                if (variant % 2 && kinds[k] == XE_SET)
                    xe_table_fill_sort(p->items, p->other, p->n, variant == 1 ? UINT64_MAX / 100 : 0);
                fill(t, p, sections[variant / 2]);
                assert_true(is_valid(t));
                assert_int_equal(stats_of(t).objects, p->n);
                check_all(t, p);
                free(p);
                xe_table_delete(t);
            }
}

static void what_is_there_is_replaced(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 2; k++) {
        struct xe_table *t = bag_new(kinds[k], 64);
        struct plain *old = plain_new(t, 0, MANY, 0);
        struct plain *new = plain_new(t, MANY / 3, MANY, 1);
        fill(t, old, 500);
        fill(t, new, 500);
        /* And what comes twice. */
        fill(t, new, 500);
        assert_true(is_valid(t));
        check_all(t, new);
        free(old);
        free(new);
        xe_table_delete(t);
    }
}

static void a_snapshot_stays_as_it_is(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 2; k++) {
        struct xe_table *t = bag_new(kinds[k], 0), *s;
        struct plain *old = plain_new(t, 0, MANY / 2, 0);
        struct plain *new = plain_new(t, 0, MANY, 1);
        size_t done;
        fill(t, old, 500);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        assert_int_equal(xe_table_snapshot(t, slot, true, &s), XE_OK);
        xe_epoch_leave(slot);
        fill(t, new, 500);
        check_all(t, new);
        check_all(s, old);
        assert_int_equal(stats_of(s).objects, old->n);
        slot = xe_epoch_enter();
        assert_int_equal(xe_table_fill(s, slot, new->items, 1, &done), XE_FROZEN);
        assert_int_equal(done, 0);
        xe_epoch_leave(slot);
        assert_true(is_valid(t) && is_valid(s));
        free(old);
        free(new);
        xe_table_delete(s);
        xe_table_delete(t);
    }
}

/* --- Room ------------------------------------------------------------------ */

/* Room for all: filling makes no segment more, or hardly one. */
static void a_log_is_told_of_each_object(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct xe_table_config config = {.seed = 1, .kind = kind ? XE_ORDERED : XE_SET};
        struct xe_table *t = xe_table_new(&config), *again = xe_table_new(&config);
        struct plain *p = plain_new(t, 0, 500, 1);
        struct log log;
        log_start(&log, t, 500);
        fill(t, p, 100);
        assert_int_equal(log.n, p->n);
        log_replay(&log, log.n, again);
        check_all(again, p);
        free(p);
        xe_table_delete(t);
        xe_table_delete(again);
        xe_reclaim_drain();
        log_free(&log);
    }
}

static void there_is_room_for_what_is_expected(void **state)
{
    (void)state;
    for (uint32_t limit = 0; limit < 3; limit++) {
        struct xe_table *t = bag_new(XE_SET, limits[limit]);
        struct plain *p = plain_new(t, 0, 0, 0);
        uint64_t units = 0;
        for (uint32_t i = 0; i < MANY; i++)
            add(p, t, KEY(KEY_WORD, i), VALUE(VALUE_NUMBER, i));
        for (uint32_t i = 0; i < p->n; i++)
            units += xe_record_units(xe_load32(p->items[i].rec));
        assert_int_equal(expect(t, p->n, (uint32_t)(units / p->n)), XE_OK);
        uint64_t segments = xe_table_segments(t);
        assert_true(is_valid(t));
        assert_true(segments > 1);
        fill(t, p, 1000);
        assert_true(xe_table_segments(t) <= segments * 3 / 2);
        assert_true(is_valid(t));
        check_all(t, p);
        free(p);
        xe_table_delete(t);
    }
}

static void expectations_may_be_wrong(void **state)
{
    (void)state;
    static const uint64_t objects[] = {0, 1, 100, 100000};
    static const uint32_t units[] = {1, 6, XE_RECORD_INLINE_MAX / XE_RECORD_ALIGN};
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t u = 0; u < 3; u++) {
            struct xe_table *t = bag_new(XE_SET, 0);
            assert_int_equal(expect(t, objects[i], units[u]), XE_OK);
            assert_true(is_valid(t));
            assert_int_equal(stats_of(t).objects, 0);
            struct plain *p = plain_new(t, 0, 500, 0);
            fill(t, p, 1000);
            assert_true(is_valid(t));
            check_all(t, p);
            /* Also of a table that has some. */
            assert_int_equal(expect(t, objects[i], units[u]), XE_OK);
            assert_true(is_valid(t));
            check_all(t, p);
            free(p);
            xe_table_delete(t);
        }
}

/* --- Without memory ---------------------------------------------------------- */

static void what_is_done_is_stored_when_memory_fails(void **state)
{
    (void)state;
    struct rng r = rng_for(23);
    for (uint32_t k = 0; k < 2; k++) {
        struct xe_table *t = bag_new(kinds[k], 64);
        struct plain *p = plain_new(t, 0, MANY, 0);
        size_t at = 0;
        uint32_t failed = 0;
        memory_fail_rate(10, &r);
        if (kinds[k] == XE_SET)
            while (expect(t, MANY, 10) == XE_NOMEM)
                failed++;
        while (at < p->n) {
            size_t done, n = p->n - at < 100 ? p->n - at : 100;
            struct xe_epoch_slot *slot = xe_epoch_enter();
            enum xe_status status = xe_table_fill(t, slot, p->items + at, n, &done);
            xe_epoch_leave(slot);
            assert_true(status == (done == n ? XE_OK : XE_NOMEM));
            failed += status != XE_OK;
            at += done;
            if (status != XE_OK)
                assert_true(is_valid(t));
        }
        assert_true(memory_fail_never() > 0);
        assert_true(failed > 0);
        check_all(t, p);
        free(p);
        xe_table_delete(t);
    }
}

/* --- Order ----------------------------------------------------------------- */

static void hashes_are_put_in_order(void **state)
{
    (void)state;
    static struct xe_fill_item items[MANY], other[MANY];
    struct rng r = rng_for(24);
    for (uint32_t variant = 0; variant < 7; variant++)
        for (size_t n = 0; n <= MANY; n = n * 3 + 1) {
            uint64_t sum = 0;
            for (size_t i = 0; i < n; i++) {
                uint64_t random = rng_next(&r);
                items[i].hash = variant == 0   ? random
                                : variant == 1 ? i
                                : variant == 2 ? i * 100 + random % 500
                                : variant == 3 ? UINT64_MAX - i
                                : variant == 4 ? 7
                                : variant == 5 ? random & 0xffff
                                               : random << 40 | (i & 3);
                items[i].rec = (const uint8_t *)(uintptr_t)items[i].hash;
                sum += items[i].hash;
            }
            xe_table_fill_sort(items, other, n, variant == 2 ? 50 : 0);
            for (size_t i = 0; i < n; i++) {
                assert_true(i == 0 || items[i - 1].hash <= items[i].hash + (variant == 2 ? 50 : 0));
                assert_ptr_equal(items[i].rec, (const uint8_t *)(uintptr_t)items[i].hash);
                sum -= items[i].hash;
            }
            assert_int_equal(sum, 0);
        }
}

/* test_fill [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(tables_are_filled_in_any_order),
        TEST(what_is_there_is_replaced),
        TEST(a_snapshot_stays_as_it_is),
        TEST(a_log_is_told_of_each_object),
        TEST(there_is_room_for_what_is_expected),
        TEST(expectations_may_be_wrong),
        TEST(what_is_done_is_stored_when_memory_fails),
        TEST(hashes_are_put_in_order),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("filling", tests, NULL, NULL);
}
