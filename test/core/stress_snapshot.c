/*
 * stress_snapshot.c - snapshots that are taken, read and dropped under many threads which write
 * (G9).
 *
 * Writers move money between accounts of their own by list writes, so that the sum of all is the
 * same at every instant. In bags they add a pair of objects at a time. Others write beside that
 * what nobody counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "order.h"
#include "reclaim.h"
#include "stress.h"
#include "support_snapshot.h"
#include "table_internal.h"

enum { ACCOUNTS = 200, BALANCE = 1000, WRITERS = 2, NOISE = 100000, KEPT = 3 };

static uint32_t rounds(void)
{
    return scaled(OPERATIONS / 10);
}

/* --- Rows of any table ----------------------------------------------------- */

struct entry {
    uint8_t bytes[16 + XE_READ_SLACK];
    struct xe_object o;
};

/* Keys in the order of their numbers. */
static void entry_make(struct entry *e, const struct xe_table *t, struct xe_prepared *p,
                       uint64_t key, uint64_t value)
{
    uint64_t order = __builtin_bswap64(key);
    memset(e->bytes, 0, sizeof e->bytes);
    memcpy(e->bytes, &order, 8);
    memcpy(e->bytes + 8, &value, 8);
    e->o = (struct xe_object){
        .bytes = e->bytes, .klen = 8, .len = 16, .identity = key * 31 + value};
    CHECK(xe_table_prepare(t, &e->o, p) == XE_OK);
}

static uint64_t key_in(const struct xe_view *view)
{
    return __builtin_bswap64(xe_load64(view->key));
}

static void put_pair(struct xe_table *t, const uint64_t *keys, const uint64_t *values)
{
    struct entry e[2];
    struct xe_prepared p[2];
    enum xe_status status;
    do {
        for (int i = 0; i < 2; i++)
            entry_make(&e[i], t, &p[i], keys[i], values[i]);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_put_many(t, slot, p, 2, XE_PUT, false);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    CHECK(status == XE_OK);
}

static struct xe_table *take_snapshot(struct xe_table *t, bool patient)
{
    struct xe_table *s;
    enum xe_status status;
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_snapshot(t, slot, patient, &s);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    CHECK(status == XE_OK);
    return s;
}

/* --- Writers ----------------------------------------------------------------- */

static void transfer(struct worker *w)
{
    uint64_t balance[ACCOUNTS];
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        balance[i] = BALANCE;
    for (uint32_t n = 0; n < rounds(); n++) {
        uint32_t a = rng_below(&w->rng, ACCOUNTS), b = rng_below(&w->rng, ACCOUNTS);
        uint64_t amount = rng_below(&w->rng, balance[a] + 1);
        if (a == b)
            continue;
        balance[a] -= amount;
        balance[b] += amount;
        put_pair(w->t, (uint64_t[]){w->id * ACCOUNTS + a, w->id * ACCOUNTS + b},
                 (uint64_t[]){balance[a], balance[b]});
    }
    writer_done();
}

/* The pair of key k has key k + 1. */
static void add_pairs(struct worker *w)
{
    for (uint32_t n = 0; n < rounds() / 2; n++) {
        uint64_t key = 2 * (uint64_t)rng_below(&w->rng, ACCOUNTS);
        uint64_t value = (uint64_t)w->id << 32 | n;
        put_pair(w->t, (uint64_t[]){key, key + 1}, (uint64_t[]){value, value});
    }
    writer_done();
}

static enum xe_update one_more(void *arg, const struct xe_view *view, struct xe_object *out)
{
    struct entry *e = arg;
    memcpy(e->bytes, view->key, 16);
    e->bytes[8]++;
    *out = (struct xe_object){.bytes = e->bytes, .klen = 8, .len = 16};
    return XE_UPDATE_REPLACE;
}

static bool patch_byte(void *arg, const struct xe_view *view, struct xe_patch *out)
{
    (void)arg;
    *out = (struct xe_patch){.at = view->body, .width = 1, .word = (uint8_t)(view->body[0] + 1)};
    return true;
}

/* Puts, updates and removes what nobody counts. */
static void make_noise(struct worker *w)
{
    struct entry e, more;
    struct xe_prepared p;
    bool is_bag = xe_kind_is_bag(w->t->kind);
    while (atomic_load(&writing)) {
        uint64_t key = NOISE + rng_below(&w->rng, 400);
        entry_make(&e, w->t, &p, key, rng_below(&w->rng, 1000));
        struct xe_epoch_slot *slot = xe_epoch_enter();
        switch (rng_below(&w->rng, 4)) {
        case 0:
            if (is_bag)
                xe_bag_remove(w->t, slot, &p, false, NULL);
            else
                xe_table_remove(w->t, slot, &p.key, NULL, NULL);
            break;
        case 1:
            if (is_bag)
                xe_bag_take(w->t, slot, &p.key, UINT32_MAX, NULL, NULL, false, NULL);
            else
                xe_table_update(w->t, slot, &p.key, one_more, &more);
            break;
        case 2:
            if (!is_bag) {
                xe_table_patch(w->t, slot, &p.key, patch_byte, NULL);
                break;
            }
            /* fall through */
        default:
            if (is_bag)
                xe_bag_put(w->t, slot, &p, XE_PUT, false);
            else
                xe_table_put(w->t, slot, &p, XE_PUT);
        }
        xe_epoch_leave(slot);
    }
}

/* The same for objects in blobs and such with terms, of keys that are behind all others. What this
 * worker has put nobody else takes out, so the last object of an ordered table is one of them. */
static void make_heavy_noise(struct worker *w)
{
    static const enum value_kind kinds[] = {VALUE_LARGE, VALUE_TERMS, VALUE_PIN, VALUE_PIN_LARGE,
                                            VALUE_MEDIUM};
    for (uint64_t n = 0; atomic_load(&writing); n++) {
        uint32_t key = short_key(rng_below(&w->rng, 100));
        bool is_in = any_put(w->t, key, VALUE(kinds[n % 5], n), XE_PUT) == XE_OK;
        if (w->t->kind == XE_ORDERED && is_in && rng_chance(&w->rng, 1, 4))
            any_pop(w->t, true);
        else if (rng_chance(&w->rng, 1, 2))
            any_remove(w->t, key);
    }
}

/* --- Snapshots ----------------------------------------------------------------- */

struct sums {
    uint64_t accounts, money;
    uint64_t pairs[2]; /* objects of even keys, and of odd ones */
};

static void add_up(void *arg, const struct xe_view *view)
{
    struct sums *sums = arg;
    uint64_t key = view->klen == 8 ? key_in(view) : NOISE;
    if (key >= NOISE)
        return;
    sums->accounts++;
    sums->money += xe_load64(view->body);
    sums->pairs[key & 1]++;
}

static struct sums sums_of(struct xe_table *t)
{
    struct sums sums = {0};
    uint64_t position = 0;
    if (t->kind != XE_ORDERED) {
        while (scan_some(t, &position, 100, add_up, &sums))
            ;
        return sums;
    }
    struct xe_epoch_slot *slot = xe_epoch_enter();
    uint64_t n = xe_table_size(t);
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *rec;
        struct xe_view view;
        CHECK(xe_order_nth(t, i, &rec) == XE_OK);
        xe_record_view(rec, &view);
        add_up(&sums, &view);
    }
    xe_epoch_leave(slot);
    return sums;
}

static void check_sums(struct xe_table *s)
{
    struct sums sums = sums_of(s);
    if (xe_kind_is_bag(s->kind)) {
        CHECK(sums.pairs[0] == sums.pairs[1]);
    } else {
        CHECK(sums.accounts == WRITERS * ACCOUNTS);
        CHECK(sums.money == (uint64_t)WRITERS * ACCOUNTS * BALANCE);
    }
}

/* Snapshots of the one table of a test, which a thread takes and another one drops. */
static _Atomic(struct xe_table *) kept[KEPT];

static void drop_one(struct xe_table *s)
{
    if (s)
        xe_table_delete(s);
}

static void take_snapshots(struct worker *w)
{
    while (atomic_load(&writing)) {
        struct xe_table *s = take_snapshot(w->t, rng_chance(&w->rng, 1, 2));
        struct digest had = digest_of(s);
        check_sums(s);
        if (rng_chance(&w->rng, 1, 3)) {
            struct xe_table *again = take_snapshot(s, false);
            xe_table_delete(s);
            s = again;
        }
        CHECK(same_digest(digest_of(s), had));
        drop_one(atomic_exchange(&kept[rng_below(&w->rng, KEPT)], s));
    }
}

/* Whoever takes one out of the place has it alone. */
static void read_snapshots(struct worker *w)
{
    while (atomic_load(&writing)) {
        struct xe_table *s = atomic_exchange(&kept[rng_below(&w->rng, KEPT)], NULL);
        if (!s) {
            sched_yield();
            continue;
        }
        struct digest had = digest_of(s);
        check_sums(s);
        sched_yield();
        CHECK(same_digest(digest_of(s), had));
        xe_table_delete(s);
    }
}

static void run_kind(enum xe_kind kind)
{
    struct xe_table *t = kind_new(kind, 32);
    bool is_bag = xe_kind_is_bag(kind);
    for (uint64_t i = 0; !is_bag && i < WRITERS * ACCOUNTS; i += 2)
        put_pair(t, (uint64_t[]){i, i + 1}, (uint64_t[]){BALANCE, BALANCE});
    for (int i = 0; i < WRITERS; i++)
        add_worker(t, is_bag ? add_pairs : transfer, true);
    add_worker(t, make_noise, false);
    add_worker(t, make_heavy_noise, false);
    add_worker(t, take_snapshots, false);
    add_worker(t, take_snapshots, false);
    add_worker(t, read_snapshots, false);
    run_workers();
    assert_true(is_valid(t));
    check_sums(t);
    struct xe_table *s = take_snapshot(t, true);
    struct digest had = digest_of(s);
    xe_table_delete(t);
    xe_reclaim_drain();
    assert_true(same_digest(digest_of(s), had) && is_valid(s));
    check_sums(s);
    xe_table_delete(s);
    for (int i = 0; i < KEPT; i++)
        drop_one(atomic_exchange(&kept[i], NULL));
    xe_reclaim_drain();
    assert_int_equal(xe_table_bytes_all(), 0);
}

static void g9_of_a_set_no_snapshot_has_half_a_transfer(void **state)
{
    (void)state;
    run_kind(XE_SET);
}

static void g9_of_an_ordered_set_no_snapshot_has_half_a_transfer(void **state)
{
    (void)state;
    run_kind(XE_ORDERED);
}

static void g9_of_a_bag_no_snapshot_has_half_a_pair(void **state)
{
    (void)state;
    run_kind(XE_BAG);
}

static void g9_of_a_duplicate_bag_no_snapshot_has_half_a_pair(void **state)
{
    (void)state;
    run_kind(XE_DUPLICATE_BAG);
}

/* stress_snapshot [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(g9_of_a_set_no_snapshot_has_half_a_transfer),
        TEST(g9_of_an_ordered_set_no_snapshot_has_half_a_transfer),
        TEST(g9_of_a_bag_no_snapshot_has_half_a_pair),
        TEST(g9_of_a_duplicate_bag_no_snapshot_has_half_a_pair),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("snapshots, stress", tests, NULL, NULL);
}
