/*
 * stress_table.c - tables under many threads: what must hold whatever the others do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stress.h"

/* --- G1, G3, G4: what is there throughout -------------------------------- */

enum { STABLE = 400, CHURN = 3000, CHURN_WORKERS = 2 };

static void churn(struct worker *w)
{
    /* Each has keys of its own; they come and go in waves, so that segments split and merge. */
    uint32_t base = STABLE + w->id * CHURN;
    for (uint32_t n = scaled(OPERATIONS), wave = 0; n--;) {
        wave += n % (CHURN * 2) == 0;
        uint64_t key = base + rng_below(&w->rng, CHURN);
        if (rng_chance(&w->rng, wave % 2 ? 3 : 1, 4))
            CHECK(row_put(w->t, key, n, XE_PUT) == XE_OK);
        else
            row_remove(w->t, key);
    }
    writer_done();
}

static void overwrite(struct worker *w)
{
    for (uint64_t n = 1; atomic_load(&writing); n++)
        CHECK(row_put(w->t, rng_below(&w->rng, STABLE), n, XE_PUT) == XE_OK);
}

/* One writer raises the counts, so nobody sees one fall. */
static void find_stable(struct worker *w)
{
    uint64_t seen[STABLE] = {0};
    while (atomic_load(&writing)) {
        uint32_t key = rng_below(&w->rng, STABLE);
        uint64_t count;
        CHECK(row_find(w->t, key, &count) == XE_OK);
        CHECK(count >= seen[key]);
        seen[key] = count;
    }
}

static void find_many_stable(struct worker *w)
{
    static struct row rows[XE_FIND_MANY];
    struct xe_key keys[XE_FIND_MANY];
    struct xe_view views[XE_FIND_MANY];
    bool found[XE_FIND_MANY];
    while (atomic_load(&writing)) {
        for (uint32_t i = 0; i < XE_FIND_MANY; i++) {
            row_make(&rows[i], w->t, rng_below(&w->rng, STABLE), 0);
            xe_key_init(&keys[i], xe_table_seed(w->t), rows[i].bytes, 8, NULL, 0);
        }
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_table_find_many(w->t, keys, XE_FIND_MANY, views, found) == XE_OK);
        for (uint32_t i = 0; i < XE_FIND_MANY; i++) {
            CHECK(found[i]);
            count_in(&views[i]);
        }
        xe_epoch_leave(slot);
    }
}

static void count_stable(void *arg, const struct xe_view *view)
{
    uint32_t *seen = arg;
    uint64_t key;
    count_in(view);
    memcpy(&key, view->key, 8);
    if (key < STABLE)
        seen[key]++;
}

static void scan_all(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint32_t seen[STABLE] = {0};
        uint64_t position = 0;
        while (scan_some(w->t, &position, XE_CHUNK_MAX, count_stable, seen))
            ;
        for (uint32_t key = 0; key < STABLE; key++)
            CHECK(seen[key] == 1);
    }
}

static void stable_among_churn(uint32_t max_objects, bool hot)
{
    struct xe_table *t = table_new(max_objects, hot);
    for (uint64_t key = 0; key < STABLE; key++)
        CHECK(row_put(t, key, 0, XE_PUT_NEW) == XE_OK);
    for (uint32_t i = 0; i < CHURN_WORKERS; i++)
        add_worker(t, churn, true);
    add_worker(t, overwrite, false);
    add_worker(t, find_stable, false);
    add_worker(t, find_many_stable, false);
    add_worker(t, scan_all, false);
    run_workers();
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void g3_g4_what_is_there_throughout_is_found_and_visited_once(void **state)
{
    (void)state;
    stable_among_churn(16, false);
    stable_among_churn(100, true);
}

/* --- Counters ------------------------------------------------------------ */

enum { COUNTERS = 5, OTHERS = 2000 };

static enum xe_update add_one(void *arg, const struct xe_view *view, struct xe_object *out)
{
    struct row *r = arg;
    uint64_t count = count_in(view) + 1;
    memcpy(r->bytes + 8 + offsetof(struct body, count), &count, 8);
    *out = r->o;
    return XE_UPDATE_REPLACE;
}

static bool patch_one(void *arg, const struct xe_view *view, struct xe_patch *out)
{
    (void)arg;
    *out = (struct xe_patch){
        .at = view->body + offsetof(struct body, count), .width = 8, .word = count_in(view) + 1};
    return true;
}

/* Reads, makes the new object, and stores it if nobody else was faster. */
static enum xe_status replace_one(struct xe_table *t, struct xe_epoch_slot *slot, struct row *r)
{
    struct xe_view view;
    struct xe_version version;
    struct xe_object o;
    enum xe_status status = xe_table_find_version(t, &r->p.key, &view, &version);
    if (status != XE_OK)
        return status;
    add_one(r, &view, &o);
    status = xe_table_replace(t, slot, &r->p, &version);
    /* Changed or moved meanwhile: once more. */
    return status == XE_ABSENT ? XE_RETRY : status;
}

static void count(struct worker *w)
{
    for (uint32_t n = scaled(OPERATIONS); n--;) {
        struct row r;
        enum xe_status status;
        row_make(&r, w->t, rng_below(&w->rng, COUNTERS), 0);
        do {
            struct xe_epoch_slot *slot = xe_epoch_enter();
            uint32_t way = n % 4;
            status = way == 0   ? xe_table_update(w->t, slot, &r.p.key, add_one, &r)
                     : way == 1 ? replace_one(w->t, slot, &r)
                                : xe_table_patch(w->t, slot, &r.p.key, patch_one, NULL);
            if (status == XE_LIMIT)
                status = xe_table_update(w->t, slot, &r.p.key, add_one, &r);
            xe_epoch_leave(slot);
        } while (status == XE_RETRY && sched_yield() == 0);
        CHECK(status == XE_OK);
    }
    writer_done();
}

static void g1_no_increment_is_lost(void **state)
{
    (void)state;
    enum { COUNTING = 3 };
    struct xe_table *t = table_new(64, true);
    uint64_t sum = 0, n;
    for (uint64_t key = 0; key < COUNTERS + OTHERS; key++)
        row_put(t, key, 0, XE_PUT);
    for (uint32_t i = 0; i < COUNTING; i++)
        add_worker(t, count, true);
    run_workers();
    for (uint64_t key = 0; key < COUNTERS; key++) {
        assert_int_equal(row_find(t, key, &n), XE_OK);
        sum += n;
    }
    assert_int_equal(sum, (uint64_t)COUNTING * scaled(OPERATIONS));
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* --- Keys that all want -------------------------------------------------- */

enum { WANTED = 50 };
static _Atomic int64_t balance[WANTED];

static void insert_and_remove(struct worker *w)
{
    for (uint32_t n = scaled(OPERATIONS); n--;) {
        uint32_t key = rng_below(&w->rng, WANTED);
        if (rng_chance(&w->rng, 1, 2)) {
            enum xe_status status = row_put(w->t, key, w->id, XE_PUT_NEW);
            CHECK(status == XE_OK || status == XE_EXISTS);
            if (status == XE_OK)
                atomic_fetch_add(&balance[key], 1);
        } else {
            enum xe_status status = row_remove(w->t, key);
            CHECK(status == XE_OK || status == XE_ABSENT);
            if (status == XE_OK)
                atomic_fetch_sub(&balance[key], 1);
        }
    }
    writer_done();
}

static void g1_every_insert_of_a_new_key_has_one_winner(void **state)
{
    (void)state;
    struct xe_table *t = table_new(16, false);
    uint64_t n;
    for (uint32_t i = 0; i < 4; i++)
        add_worker(t, insert_and_remove, true);
    run_workers();
    for (uint64_t key = 0; key < WANTED; key++)
        assert_int_equal(atomic_exchange(&balance[key], 0), row_find(t, key, &n) == XE_OK);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* --- Clear --------------------------------------------------------------- */

static _Atomic uint64_t written;

/* Writes the keys 0, 1, 2, ... */
static void write_in_order(struct worker *w)
{
    uint32_t n = scaled(OPERATIONS);
    for (uint64_t key = 0; key < n; key++) {
        CHECK(row_put(w->t, key, key, XE_PUT_NEW) == XE_OK);
        atomic_store(&written, key + 1);
    }
    writer_done();
}

static void clear_now_and_then(struct worker *w)
{
    for (uint64_t next = 0; atomic_load(&writing);) {
        if (atomic_load(&written) < next) {
            sched_yield();
            continue;
        }
        struct xe_epoch_slot *slot = xe_epoch_enter();
        enum xe_status status = xe_table_clear(w->t, slot, NULL);
        xe_epoch_leave(slot);
        CHECK(status == XE_OK || status == XE_RETRY);
        if (status == XE_OK)
            next = atomic_load(&written) + rng_below(&w->rng, 3000);
    }
}

static void find_recent(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint64_t last = atomic_load(&written), n;
        uint64_t key = last - rng_below(&w->rng, last < 5000 ? last + 1 : 5000);
        if (row_find(w->t, key, &n) == XE_OK)
            CHECK(n == key);
    }
}

/* The table is emptied at one instant: what is left are the last keys, without a gap. */
static void clearing_happens_at_one_instant(void **state)
{
    (void)state;
    struct xe_table *t = table_new(32, false);
    atomic_store(&written, 0);
    add_worker(t, write_in_order, true);
    add_worker(t, clear_now_and_then, false);
    add_worker(t, find_recent, false);
    run_workers();
    uint64_t last = scaled(OPERATIONS), left = stats_of(t).objects, n;
    for (uint64_t key = last - left; key < last; key++)
        assert_int_equal(row_find(t, key, &n), XE_OK);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* --- Deletion of a table that others are in ------------------------------ */

static _Atomic(struct xe_table *) current;

static void use_current(struct worker *w)
{
    for (uint32_t n = scaled(OPERATIONS); n--;) {
        struct row r;
        struct xe_view view;
        struct xe_epoch_slot *slot = xe_epoch_enter();
        struct xe_table *t = atomic_load(&current);
        row_make(&r, t, rng_below(&w->rng, 3000), 7);
        enum xe_status status = n % 3 == 0   ? xe_table_put(t, slot, &r.p, XE_PUT)
                                : n % 3 == 1 ? xe_table_remove(t, slot, &r.p.key, NULL, NULL)
                                             : xe_table_find(t, &r.p.key, &view);
        CHECK(status == XE_OK || status == XE_ABSENT || status == XE_DEAD || status == XE_RETRY);
        if (n % 3 == 2 && status == XE_OK)
            CHECK(count_in(&view) == 7);
        xe_epoch_leave(slot);
    }
    writer_done();
}

static void replace_current(struct worker *w)
{
    (void)w;
    while (atomic_load(&writing)) {
        struct xe_table *fresh = table_new(32, false);
        for (uint64_t key = 0; key < 200; key++)
            row_put(fresh, key, 7, XE_PUT);
        xe_table_delete(atomic_exchange(&current, fresh));
        sched_yield();
    }
}

static void a_table_is_deleted_while_others_are_in_it(void **state)
{
    (void)state;
    atomic_store(&current, table_new(32, false));
    for (uint32_t i = 0; i < 3; i++)
        add_worker(NULL, use_current, true);
    add_worker(NULL, replace_current, false);
    run_workers();
    xe_table_delete(atomic_load(&current));
}

/* --- Blobs and terms ----------------------------------------------------- */

enum { RICH = 60, KINDS = 4 };

static uint64_t rich_value(uint32_t key, uint32_t i)
{
    static const uint64_t kinds[KINDS] = {VALUE_LARGE, VALUE_TERMS, VALUE_PIN_LARGE, VALUE_PIN};
    return VALUE(kinds[i], key);
}

static void write_rich(struct worker *w)
{
    for (uint32_t n = scaled(OPERATIONS) / 10; n--;) {
        uint32_t key = KEY(n % 3 ? KEY_SHORT : KEY_TWIN, rng_below(&w->rng, RICH));
        uint64_t value = rich_value(key, rng_below(&w->rng, KINDS));
        enum xe_status status;
        do
            status =
                rng_chance(&w->rng, 1, 5) ? remove_key(w->t, key) : put(w->t, key, value, XE_PUT);
        while (status == XE_RETRY && sched_yield() == 0);
        CHECK(status == XE_OK || status == XE_ABSENT);
    }
    writer_done();
}

static bool is_rich(const struct xe_view *view, uint32_t key)
{
    for (uint32_t i = 0; i < KINDS; i++)
        if (view_is(view, key, rich_value(key, i)))
            return true;
    return false;
}

/* Looks at terms inside the section, and at blobs after it. */
static void read_rich(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint32_t key =
            KEY(rng_chance(&w->rng, 1, 2) ? KEY_SHORT : KEY_TWIN, rng_below(&w->rng, RICH));
        struct lookup l;
        struct xe_view view;
        lookup_make(&l, xe_table_seed(w->t), key);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        enum xe_status status = xe_table_find(w->t, &l.key, &view);
        bool blob = status == XE_OK && view.blob;
        if (blob)
            xe_blob_pin(view.blob);
        else if (status == XE_OK)
            CHECK(is_rich(&view, key));
        xe_epoch_leave(slot);
        if (blob) {
            CHECK(is_rich(&view, key));
            xe_blob_unpin(view.blob);
        }
        lookup_free(&l);
    }
}

static void terms_and_blobs_live_as_long_as_their_readers(void **state)
{
    (void)state;
    struct xe_table *t = table_new(16, false);
    add_worker(t, write_rich, true);
    add_worker(t, write_rich, true);
    add_worker(t, read_rich, false);
    add_worker(t, read_rich, false);
    run_workers();
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* stress_table [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(g3_g4_what_is_there_throughout_is_found_and_visited_once),
        TEST(g1_no_increment_is_lost),
        TEST(g1_every_insert_of_a_new_key_has_one_winner),
        TEST(clearing_happens_at_one_instant),
        TEST(a_table_is_deleted_while_others_are_in_it),
        TEST(terms_and_blobs_live_as_long_as_their_readers),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("table, stress", tests, NULL, NULL);
}
