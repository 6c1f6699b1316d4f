/*
 * stress_scan.c - scans and marks while others write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scan.h"
#include "stress.h"

/* --- Objects of tables of all kinds -------------------------------------- */

static enum xe_kind kind;

static void object_of(struct row *r, const struct xe_table *t, uint64_t key, uint64_t count)
{
    row_make(r, t, key, count);
    /* Of an ordered table: numbers in order. */
    if (kind == XE_ORDERED) {
        uint64_t swapped = __builtin_bswap64(key);
        memcpy(r->bytes, &swapped, 8);
    }
    r->o.identity = check_of(key ^ count << 32);
    CHECK(xe_table_prepare(t, &r->o, &r->p) == XE_OK);
}

static uint64_t key_in(const struct xe_view *view)
{
    uint64_t key = xe_load64(view->key);
    return kind == XE_ORDERED ? __builtin_bswap64(key) : key;
}

static uint64_t count_of(const struct xe_view *view)
{
    struct body body;
    CHECK(view->klen == 8 && view->blen == sizeof body);
    memcpy(&body, view->body, sizeof body);
    CHECK(body.check == check_of(key_in(view)));
    return body.count;
}

static void put_object(struct xe_table *t, uint64_t key, uint64_t count)
{
    struct row r;
    enum xe_status status;
    object_of(&r, t, key, count);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_kind_is_bag(kind) ? xe_bag_put(t, slot, &r.p, XE_PUT, false)
                                      : xe_table_put(t, slot, &r.p, XE_PUT);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    CHECK(status == XE_OK || (kind == XE_BAG && status == XE_EXISTS));
}

static void remove_object(struct xe_table *t, uint64_t key, uint64_t count)
{
    struct row r;
    enum xe_status status;
    object_of(&r, t, key, count);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_kind_is_bag(kind) ? xe_bag_remove(t, slot, &r.p, false, NULL)
                                      : xe_table_remove(t, slot, &r.p.key, NULL, NULL);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    CHECK(status == XE_OK || status == XE_ABSENT);
}

/* --- G4, S2: what is met, and how often ---------------------------------- */

enum { STABLE = 300, FLICKER = 64, CHURN = 2000, KEYS = STABLE + FLICKER + CHURN };

/* Many come and go, in waves, so that segments split and merge. */
static void churn(struct worker *w)
{
    for (uint32_t n = scaled(OPERATIONS) / 2, wave = 0; n--;) {
        wave += n % (CHURN * 2) == 0;
        uint64_t key = STABLE + FLICKER + rng_below(&w->rng, CHURN);
        if (rng_chance(&w->rng, wave % 2 ? 3 : 1, 4))
            put_object(w->t, key, 0);
        else
            remove_object(w->t, key, 0);
    }
    writer_done();
}

/* A few are always being removed and inserted: to another place, in the end. */
static void flicker(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint64_t key = STABLE + rng_below(&w->rng, FLICKER);
        remove_object(w->t, key, 0);
        put_object(w->t, key, 0);
    }
}

static void overwrite(struct worker *w)
{
    for (uint64_t n = 1; atomic_load(&writing); n++)
        put_object(w->t, rng_below(&w->rng, STABLE), n);
}

static void see(const struct xe_chunk *chunk, uint32_t *seen)
{
    for (uint32_t i = 0; i < chunk->n; i++) {
        struct xe_view view;
        xe_chunk_ahead(chunk, i);
        xe_record_view(chunk->recs[i], &view);
        count_of(&view);
        CHECK(key_in(&view) < KEYS);
        seen[key_in(&view)]++;
    }
}

/* Reads the next chunk, in a section of its own. False: that was the last one. */
static bool scan_hashes(struct worker *w, uint32_t *seen, uint64_t *position)
{
    struct xe_chunk chunk;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_scan_hashes(w->t, *position, rng_below(&w->rng, 60), &chunk);
    if (status == XE_OK) {
        see(&chunk, seen);
        *position = chunk.next;
    }
    xe_epoch_leave(slot);
    return status != XE_OK || chunk.more;
}

/* The same of an ordered table, upwards. `at`: the last key, big end first; 0 before the first. */
static bool scan_range(struct worker *w, uint32_t *seen, uint8_t *at, bool *begun)
{
    struct xe_chunk chunk;
    struct xe_key key;
    struct xe_range range = {.from = *begun ? &key : NULL, .from_exclusive = true};
    xe_key_init_order(&key, at, 8, NULL, 0);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_scan_range(w->t, &range, 1 + rng_below(&w->rng, 60), &chunk);
    if (status == XE_OK) {
        see(&chunk, seen);
        if (chunk.n) {
            struct xe_view view;
            xe_record_view(chunk.recs[chunk.n - 1], &view);
            memcpy(at, view.key, 8);
            *begun = true;
        }
    }
    xe_epoch_leave(slot);
    return status != XE_OK || chunk.more;
}

/* With equal objects of a duplicate bag it is different: each is an object of its own. */
static void scan(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint32_t seen[KEYS] = {0};
        uint64_t position = 0;
        uint8_t at[8 + XE_READ_SLACK] = {0};
        bool begun = false;
        while (kind == XE_ORDERED ? scan_range(w, seen, at, &begun)
                                  : scan_hashes(w, seen, &position))
            ;
        for (uint32_t key = 0; key < KEYS; key++)
            CHECK(key < STABLE ? seen[key] == 1 : kind == XE_DUPLICATE_BAG || seen[key] <= 1);
    }
}

static void scan_among_churn(uint32_t max_objects)
{
    struct xe_table_config config = {.seed = 77, .kind = kind, .max_objects = max_objects};
    struct xe_table *t = xe_table_new(&config);
    CHECK(t != NULL);
    for (uint64_t key = 0; key < STABLE; key++)
        put_object(t, key, 0);
    add_worker(t, churn, true);
    add_worker(t, flicker, false);
    if (!xe_kind_is_bag(kind))
        add_worker(t, overwrite, false);
    add_worker(t, scan, false);
    add_worker(t, scan, false);
    run_workers();
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void g4_s2_what_stays_is_met_once_and_nothing_twice(void **state)
{
    (void)state;
    for (kind = XE_SET; kind <= XE_ORDERED; kind++)
        scan_among_churn(kind % 2 ? 100 : 24);
}

/* --- Marks --------------------------------------------------------------- */

enum { TOLD = 200 };

/* What was written to each key, as others are told afterwards. */
static _Atomic uint64_t told[TOLD];

/* Each key has one writer, and its counts rise. */
static void write_and_tell(struct worker *w)
{
    for (uint64_t n = 1; n < scaled(OPERATIONS) / 4; n++) {
        uint32_t key = rng_below(&w->rng, TOLD / 2) * 2 + w->id;
        put_object(w->t, key, n);
        if (xe_kind_is_bag(kind) && n > 1)
            remove_object(w->t, key, atomic_load_explicit(&told[key], memory_order_relaxed));
        /* Release: who is told knows that it is there. */
        atomic_store_explicit(&told[key], n, memory_order_release);
    }
    writer_done();
}

struct marked {
    struct xe_mark mark;
    uint64_t position;
    uint64_t count; /* of the key, the highest; 0: none */
};

static bool mark(struct xe_table *t, const struct xe_key *key, uint64_t number, struct marked *m)
{
    struct xe_chunk chunk;
    struct xe_range range = {.from = key};
    struct xe_epoch_slot *slot = xe_epoch_enter();
    m->position = key->hash & (kind == XE_SET ? UINT64_MAX : XE_BAG_KEY_HASH);
    enum xe_status status = kind == XE_ORDERED ? xe_scan_range(t, &range, 4, &chunk)
                                               : xe_scan_hashes(t, m->position, 4, &chunk);
    m->mark = chunk.mark;
    m->count = 0;
    for (uint32_t i = 0; status == XE_OK && i < chunk.n; i++) {
        struct xe_view view;
        xe_record_view(chunk.recs[i], &view);
        if (key_in(&view) == number && count_of(&view) > m->count)
            m->count = count_of(&view);
    }
    xe_epoch_leave(slot);
    return status == XE_OK;
}

static bool is_unchanged(struct xe_table *t, const struct xe_key *key, const struct marked *m)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    bool same = kind == XE_ORDERED ? xe_scan_is_unchanged_at(t, key, &m->mark)
                                   : xe_scan_is_unchanged(t, m->position, &m->mark);
    xe_epoch_leave(slot);
    return same;
}

/* Who is told of a write that is not in the chunk finds that it has changed. */
static void hear_and_ask(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint32_t number = rng_below(&w->rng, TOLD);
        struct row r;
        struct marked m;
        object_of(&r, w->t, number, 0);
        if (!mark(w->t, &r.p.key, number, &m))
            continue;
        for (uint32_t i = 0; i < 20; i++) {
            uint64_t heard = atomic_load_explicit(&told[number], memory_order_acquire);
            bool same = is_unchanged(w->t, &r.p.key, &m);
            CHECK(!same || heard <= m.count);
        }
    }
}

static void a_change_that_one_was_told_of_is_never_denied(void **state)
{
    (void)state;
    for (kind = XE_SET; kind <= XE_ORDERED; kind++) {
        struct xe_table_config config = {.seed = 78, .kind = kind, .max_objects = 40};
        struct xe_table *t = xe_table_new(&config);
        CHECK(t != NULL);
        memset(told, 0, sizeof told);
        add_worker(t, write_and_tell, true);
        add_worker(t, write_and_tell, true);
        add_worker(t, hear_and_ask, false);
        add_worker(t, hear_and_ask, false);
        run_workers();
        struct row r;
        struct marked m;
        object_of(&r, t, 1, 0);
        assert_true(mark(t, &r.p.key, 1, &m));
        assert_true(is_unchanged(t, &r.p.key, &m));
        xe_table_delete(t);
    }
}

/* stress_scan [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(g4_s2_what_stays_is_met_once_and_nothing_twice),
        TEST(a_change_that_one_was_told_of_is_never_denied),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("scan, stress", tests, NULL, NULL);
}
