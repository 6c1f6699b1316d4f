/*
 * stress_bag.c - bags, and the fixing of tables, under many threads: what is read of a key is one
 * state, and what was read can be gone on from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "stress.h"
#include "support_bag.h"

/* --- Entries: objects of a bag that can be checked ------------------------ */

/* What an entry says of itself; one object of a key for each `by` and `n`. */
struct said {
    uint64_t check; /* a function of the others */
    uint32_t by, generation;
    int64_t n;
};

struct entry {
    uint8_t bytes[8 + sizeof(struct said) + XE_READ_SLACK];
    struct xe_object o;
};

static uint64_t check_said(uint64_t key, const struct said *s)
{
    return check_of(check_of(check_of(key) + s->by) + s->generation) + (uint64_t)s->n;
}

static void entry_make(struct entry *e, const struct xe_table *t, struct xe_prepared *p,
                       uint64_t key, struct said said)
{
    said.check = check_said(key, &said);
    memset(e->bytes, 0, sizeof e->bytes);
    memcpy(e->bytes, &key, 8);
    memcpy(e->bytes + 8, &said, sizeof said);
    e->o = (struct xe_object){.bytes = e->bytes, .klen = 8, .len = 8 + sizeof said};
    e->o.identity = XXH3_64bits(e->bytes, e->o.len);
    CHECK(xe_table_prepare(t, &e->o, p) == XE_OK);
}

static struct said said_in(const struct xe_run *run, uint32_t i)
{
    struct xe_view view;
    struct said said;
    uint64_t key;
    xe_record_view(run->at[i].rec, &view);
    CHECK(view.klen == 8 && view.blen == sizeof said);
    memcpy(&key, view.key, 8);
    memcpy(&said, view.body, sizeof said);
    CHECK(said.check == check_said(key, &said));
    return said;
}

/* Until it is not XE_RETRY. */
static enum xe_status entry_put(struct xe_table *t, uint64_t key, struct said said,
                                enum xe_put mode)
{
    struct entry e;
    struct xe_prepared p;
    enum xe_status status;
    entry_make(&e, t, &p, key, said);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_bag_put(t, slot, &p, mode, said.n % 2 == 0);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    return status;
}

static enum xe_status entry_remove(struct xe_table *t, uint64_t key, struct said said)
{
    struct entry e;
    struct xe_prepared p;
    enum xe_status status;
    entry_make(&e, t, &p, key, said);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_bag_remove(t, slot, &p, said.n % 2 == 0, NULL);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    return status;
}

enum { LIST_MAX = 200 };

static enum xe_status entry_put_list(struct xe_table *t, uint64_t key, const struct said *said,
                                     uint32_t n)
{
    static _Thread_local struct entry entries[LIST_MAX];
    static _Thread_local struct xe_prepared p[LIST_MAX];
    enum xe_status status;
    CHECK(n <= LIST_MAX);
    for (uint32_t i = 0; i < n; i++)
        entry_make(&entries[i], t, &p[i], key, said[i]);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_put_many(t, slot, p, n, XE_PUT, said[0].n % 2 == 0);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    return status;
}

/* Finds or takes; `see` is shown the run inside the section, if it is not empty. */
typedef void (*look_fn)(void *arg, const struct xe_run *run);

static enum xe_status key_look(struct xe_table *t, uint64_t key, bool takes, look_fn see,
                               void *arg)
{
    static _Thread_local uint32_t turn;
    struct row r;
    struct xe_run run;
    enum xe_status status;
    row_make(&r, t, key, 0);
    xe_run_begin(&run);
    do {
        bool patient = ++turn % 4 == 0;
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = takes ? xe_bag_take(t, slot, &r.p.key, UINT32_MAX, NULL, NULL, patient, &run)
                       : xe_bag_find(t, slot, &r.p.key, UINT32_MAX, patient, &run);
        if (status == XE_OK)
            see(arg, &run);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    xe_run_end(&run);
    CHECK(status == XE_OK || status == XE_ABSENT);
    return status;
}

static enum xe_status key_drop(struct xe_table *t, uint64_t key)
{
    struct row r;
    enum xe_status status;
    row_make(&r, t, key, 0);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_bag_take(t, slot, &r.p.key, UINT32_MAX, NULL, NULL, false, NULL);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    return status;
}

/* Keys of others, that come and go in the same segments. */
static void bystander(struct worker *w)
{
    for (int64_t n = 0; atomic_load(&writing); n++) {
        uint64_t key = 1000 + rng_below(&w->rng, 500);
        if (rng_chance(&w->rng, 3, 4))
            entry_put(w->t, key, (struct said){.by = w->id, .n = n}, XE_PUT);
        else
            key_drop(w->t, key);
    }
}

/* --- Appending ------------------------------------------------------------ */

enum { APPENDERS = 2, APPENDED_MAX = 700 };

/* Each has a key; now and then it takes all, and begins anew with the next generation. */
static void append(struct worker *w)
{
    struct said list[16];
    uint32_t left = scaled(OPERATIONS) / 10;
    for (uint32_t generation = 0; left; generation++) {
        uint32_t most = 1 + rng_below(&w->rng, generation % 4 ? 60 : APPENDED_MAX);
        for (uint32_t n = 0; n < most && left;) {
            uint32_t k = 0, size = rng_chance(&w->rng, 1, 4) ? 1 + rng_below(&w->rng, 16) : 1;
            for (; k < size && left; k++, left--)
                list[k] = (struct said){.by = w->id, .generation = generation, .n = n++};
            if (k == 1)
                CHECK(entry_put(w->t, w->id, list[0], XE_PUT) == XE_OK);
            else
                CHECK(entry_put_list(w->t, w->id, list, k) == XE_OK);
        }
        CHECK(key_drop(w->t, w->id) == XE_OK);
    }
    writer_done();
}

struct prefix {
    uint32_t generation, n;
};

static void look_at_prefix(void *arg, const struct xe_run *run)
{
    struct prefix *last = arg, now = {said_in(run, 0).generation, run->n};
    for (uint32_t i = 0; i < run->n; i++) {
        struct said said = said_in(run, i);
        CHECK(said.generation == now.generation && said.n == i);
    }
    /* What is read later is not older. */
    CHECK(now.generation > last->generation ||
          (now.generation == last->generation && now.n >= last->n));
    *last = now;
}

static void read_prefixes(struct worker *w)
{
    struct prefix last[APPENDERS] = {{0, 0}};
    while (atomic_load(&writing)) {
        uint32_t key = rng_below(&w->rng, APPENDERS);
        key_look(w->t, key, false, look_at_prefix, &last[key]);
    }
}

static void g8_readers_see_a_prefix_of_what_one_writer_appends(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {16, 100, 0};
    for (uint32_t i = 0; i < 3; i++) {
        struct xe_table *t = bag_new(i % 2 ? XE_DUPLICATE_BAG : XE_BAG, sizes[i]);
        for (uint32_t k = 0; k < APPENDERS; k++)
            add_worker(t, append, true);
        add_worker(t, read_prefixes, false);
        add_worker(t, read_prefixes, false);
        add_worker(t, bystander, false);
        run_workers();
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* --- One order ------------------------------------------------------------ */

/* Two writers append to one key. Whatever the readers see, all of it must be on one line: of two
 * states one has all that the other has. */
enum { ORDER_WRITERS = 2, ORDER_READERS = 2, EACH = 80, STATES_MAX = 4096 };
#define ORDER_ROUNDS (OPERATIONS / 5000)

struct state {
    uint32_t seen[ORDER_WRITERS];
};

static pthread_barrier_t round_barrier;
static struct state states[ORDER_READERS * STATES_MAX];
static _Atomic uint32_t n_states;

static void write_rounds(struct worker *w)
{
    for (uint32_t round = 0; round < ORDER_ROUNDS; round++) {
        pthread_barrier_wait(&round_barrier);
        for (uint32_t n = 0; n < EACH; n++)
            CHECK(entry_put(w->t, round % 3, (struct said){.by = w->id, .n = n}, XE_PUT) == XE_OK);
        pthread_barrier_wait(&round_barrier);
    }
}

static void look_at_state(void *arg, const struct xe_run *run)
{
    struct state *state = arg;
    *state = (struct state){{0}};
    for (uint32_t i = 0; i < run->n; i++) {
        struct said said = said_in(run, i);
        /* Those of one writer come in its order. */
        CHECK(said.n == state->seen[said.by]);
        state->seen[said.by]++;
    }
}

static void read_rounds(struct worker *w)
{
    for (uint32_t round = 0; round < ORDER_ROUNDS; round++) {
        struct state last = {{0}}, now;
        pthread_barrier_wait(&round_barrier);
        for (bool all = false; !all;) {
            if (key_look(w->t, round % 3, false, look_at_state, &now) == XE_ABSENT)
                continue;
            all = now.seen[0] == EACH && now.seen[1] == EACH;
            if (memcmp(&now, &last, sizeof now) != 0)
                states[atomic_fetch_add(&n_states, 1)] = now;
            last = now;
        }
        pthread_barrier_wait(&round_barrier);
    }
}

static int compare_states(const void *a, const void *b)
{
    const struct state *x = a, *y = b;
    return x->seen[0] != y->seen[0] ? (x->seen[0] > y->seen[0]) - (x->seen[0] < y->seen[0])
                                    : (x->seen[1] > y->seen[1]) - (x->seen[1] < y->seen[1]);
}

/* The judge of the rounds; between them nobody else is at work. */
static void judge_rounds(struct worker *w)
{
    for (uint32_t round = 0; round < ORDER_ROUNDS; round++) {
        atomic_store(&n_states, 0);
        pthread_barrier_wait(&round_barrier);
        pthread_barrier_wait(&round_barrier);
        uint32_t n = atomic_load(&n_states);
        CHECK(n <= ORDER_READERS * STATES_MAX);
        qsort(states, n, sizeof *states, compare_states);
        for (uint32_t i = 1; i < n; i++)
            CHECK(states[i - 1].seen[1] <= states[i].seen[1]);
        CHECK(key_drop(w->t, round % 3) == XE_OK);
    }
}

static void g8_all_readers_see_two_writers_in_one_order(void **state)
{
    (void)state;
    struct xe_table *t = bag_new(XE_BAG, 24);
    pthread_barrier_init(&round_barrier, NULL, ORDER_WRITERS + ORDER_READERS + 1);
    for (uint32_t i = 0; i < ORDER_WRITERS; i++)
        add_worker(t, write_rounds, false);
    for (uint32_t i = 0; i < ORDER_READERS; i++)
        add_worker(t, read_rounds, false);
    add_worker(t, judge_rounds, false);
    run_workers();
    pthread_barrier_destroy(&round_barrier);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* --- Sums ----------------------------------------------------------------- */

/* Whoever changes a key's objects leaves their sum zero, and their number even. */
enum { SUM_KEYS = 3 };

static void add_and_take_pairs(struct worker *w)
{
    struct said list[LIST_MAX];
    int64_t n = 1;
    for (uint32_t left = scaled(OPERATIONS) / 40; left--;) {
        uint64_t key = rng_below(&w->rng, SUM_KEYS);
        uint32_t pairs = 1 + rng_below(&w->rng, rng_chance(&w->rng, 1, 8) ? LIST_MAX / 2 : 3);
        if (rng_chance(&w->rng, 1, 20)) {
            key_drop(w->t, key);
            continue;
        }
        for (uint32_t i = 0; i < 2 * pairs; i++) {
            list[i] = (struct said){.by = w->id, .generation = i, .n = i % 2 ? -n : n};
            n += i % 2;
        }
        CHECK(entry_put_list(w->t, key, list, 2 * pairs) == XE_OK);
    }
    writer_done();
}

static void look_at_sum(void *arg, const struct xe_run *run)
{
    int64_t sum = 0;
    (void)arg;
    for (uint32_t i = 0; i < run->n; i++)
        sum += said_in(run, i).n;
    CHECK(sum == 0 && run->n % 2 == 0);
}

static void read_sums(struct worker *w)
{
    while (atomic_load(&writing))
        key_look(w->t, rng_below(&w->rng, SUM_KEYS), rng_chance(&w->rng, 1, 200), look_at_sum,
                 NULL);
}

static void g2_g8_lists_and_takes_are_one_change_for_who_reads_a_key(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {16, 128};
    for (uint32_t i = 0; i < 2; i++) {
        struct xe_table *t = bag_new(i % 2 ? XE_BAG : XE_DUPLICATE_BAG, sizes[i]);
        add_worker(t, add_and_take_pairs, true);
        add_worker(t, add_and_take_pairs, true);
        add_worker(t, read_sums, false);
        add_worker(t, read_sums, false);
        add_worker(t, bystander, false);
        run_workers();
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* --- Taking --------------------------------------------------------------- */

/* Every object that was put is taken or removed once. */
enum { TAKE_KEYS = 4, TAKEN_MAX = OPERATIONS / 10 };
static _Atomic uint8_t taken[2][TAKEN_MAX];

static void take_note(uint32_t by, int64_t n)
{
    CHECK(by < 2 && n >= 0 && n < TAKEN_MAX);
    CHECK(atomic_fetch_add(&taken[by][n], 1) == 0);
}

static void produce(struct worker *w)
{
    for (int64_t n = 0; n < TAKEN_MAX; n++) {
        struct said said = {.by = w->id, .n = n};
        uint64_t key = rng_below(&w->rng, TAKE_KEYS);
        CHECK(entry_put(w->t, key, said, XE_PUT) == XE_OK);
        /* Some by the one who put them, unless somebody else was faster. */
        if (rng_chance(&w->rng, 1, 4) && entry_remove(w->t, key, said) == XE_OK)
            take_note(said.by, n);
    }
    writer_done();
}

static void look_at_taken(void *arg, const struct xe_run *run)
{
    (void)arg;
    for (uint32_t i = 0; i < run->n; i++) {
        struct said said = said_in(run, i);
        take_note(said.by, said.n);
    }
}

static void consume(struct worker *w)
{
    while (atomic_load(&writing)) {
        key_look(w->t, rng_below(&w->rng, TAKE_KEYS), true, look_at_taken, NULL);
        /* Groups are to grow now and then. */
        for (uint32_t i = rng_below(&w->rng, 40); i; i--)
            sched_yield();
    }
}

static void g8_every_object_is_taken_once(void **state)
{
    (void)state;
    for (uint32_t kind = XE_BAG; kind <= XE_DUPLICATE_BAG; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 16);
        memset((void *)taken, 0, sizeof taken);
        add_worker(t, produce, true);
        add_worker(t, produce, true);
        add_worker(t, consume, false);
        add_worker(t, consume, false);
        run_workers();
        for (uint64_t key = 0; key < TAKE_KEYS; key++)
            key_look(t, key, true, look_at_taken, NULL);
        for (uint32_t by = 0; by < 2; by++)
            for (uint32_t n = 0; n < TAKEN_MAX; n++)
                assert_int_equal(taken[by][n], 1);
        assert_int_equal(stats_of(t).objects, 0);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* --- New keys ------------------------------------------------------------- */

enum { NEW_ROUNDS = OPERATIONS / 20, NEW_WRITERS = 3 };
static _Atomic uint32_t winners[NEW_ROUNDS];

static void look_at_one(void *arg, const struct xe_run *run)
{
    CHECK(run->n == 1);
    *(struct said *)arg = said_in(run, 0);
}

/* Two keys at once, of which the second is another's first one. */
static enum xe_status put_new_pair(struct worker *w, uint32_t n)
{
    struct entry e[2];
    struct xe_prepared p[2];
    enum xe_status status;
    for (uint32_t i = 0; i < 2; i++)
        entry_make(&e[i], w->t, &p[i], i ? n ^ 1 : n, (struct said){.by = w->id, .n = n | 1});
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_put_many(w->t, slot, p, 2, XE_PUT_NEW, n % 8 == 2);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    return status;
}

static void put_new(struct worker *w)
{
    for (uint32_t n = 0; n < NEW_ROUNDS; n++) {
        struct said mine = {.by = w->id, .n = n}, first, second;
        bool pair = n / 2 % 2;
        enum xe_status status =
            pair ? put_new_pair(w, n) : entry_put(w->t, n, mine, XE_PUT_NEW);
        CHECK(status == XE_OK || status == XE_EXISTS);
        if (status == XE_OK)
            CHECK(atomic_exchange(&winners[pair ? n | 1 : n], 1) == 0);
        CHECK(key_look(w->t, n, false, look_at_one, &first) == XE_OK);
        if (!pair)
            CHECK((status == XE_OK) == (first.by == w->id));
        else
            CHECK(key_look(w->t, n ^ 1, false, look_at_one, &second) == XE_OK &&
                  first.by == second.by && (status != XE_OK || first.by == w->id));
    }
    writer_done();
}

static void of_new_objects_with_one_key_one_is_stored(void **state)
{
    (void)state;
    for (uint32_t kind = XE_BAG; kind <= XE_DUPLICATE_BAG; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 16);
        memset((void *)winners, 0, sizeof winners);
        for (uint32_t i = 0; i < NEW_WRITERS; i++)
            add_worker(t, put_new, true);
        run_workers();
        assert_int_equal(stats_of(t).objects, NEW_ROUNDS);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* --- Fixing --------------------------------------------------------------- */

enum { WALKED = 2000 };

static void change_keys(struct worker *w)
{
    for (uint32_t left = scaled(OPERATIONS) / 10, n = 0; left--; n++) {
        uint64_t key = rng_below(&w->rng, WALKED);
        bool adds = rng_chance(&w->rng, 1, 2);
        if (rng_chance(&w->rng, 1, 4000)) {
            struct xe_epoch_slot *slot = xe_epoch_enter();
            xe_table_clear(w->t, slot, NULL);
            xe_epoch_leave(slot);
        } else if (xe_table_seed(w->t) & 1) {
            struct said said = {.by = w->id, .n = n % 3};
            if (adds)
                entry_put(w->t, key, said, XE_PUT);
            else if (rng_chance(&w->rng, 1, 2))
                key_drop(w->t, key);
            else
                entry_remove(w->t, key, said);
        } else if (adds) {
            row_put(w->t, key, n, XE_PUT);
        } else {
            row_remove(w->t, key);
        }
    }
    writer_done();
}

/* The next key; whether the walk may go on from `*key` is asked first. */
static enum xe_status step(struct xe_table *t, bool begins, uint64_t *key)
{
    struct row r;
    struct xe_view view;
    enum xe_status status;
    row_make(&r, t, *key, 0);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = begins ? XE_OK : xe_table_may_go_on(t, slot, &r.p.key, false);
        /* It was there when it was read, and the table was fixed then. */
        CHECK(status == XE_OK || status == XE_RETRY);
        if (status == XE_OK)
            status = xe_table_next(t, begins ? NULL : &r.p.key, UINT32_MAX, &view);
        if (status == XE_OK)
            memcpy(key, view.key, 8);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    return status;
}

static void walk_fixed(struct worker *w)
{
    while (atomic_load(&writing)) {
        enum xe_status status;
        uint64_t key = 0;
        do {
            struct xe_epoch_slot *slot = xe_epoch_enter();
            status = xe_table_fix(w->t);
            xe_epoch_leave(slot);
        } while (status == XE_RETRY && sched_yield() == 0);
        CHECK(status == XE_OK);
        uint32_t steps = 0;
        for (status = step(w->t, true, &key); status == XE_OK; status = step(w->t, false, &key))
            CHECK(++steps <= WALKED);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        xe_table_unfix(w->t);
        xe_epoch_leave(slot);
    }
}

static void a_key_read_while_a_table_is_fixed_can_be_gone_on_from(void **state)
{
    (void)state;
    for (uint32_t kind = XE_SET; kind <= XE_DUPLICATE_BAG; kind++) {
        struct xe_table_config config = {.seed = kind == XE_SET ? 2 : 3,
                                         .kind = (enum xe_kind)kind, .max_objects = 32};
        struct xe_table *t = xe_table_new(&config);
        assert_non_null(t);
        add_worker(t, change_keys, true);
        add_worker(t, change_keys, true);
        add_worker(t, walk_fixed, false);
        run_workers();
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* --- Large groups that go at once ------------------------------------------ */

enum { LARGE_GROUP = LIST_MAX, LARGE_KEY = 7 };

static void put_and_drop(struct worker *w)
{
    struct said list[LARGE_GROUP];
    for (uint32_t generation = 0; generation < scaled(OPERATIONS) / 400; generation++) {
        for (uint32_t i = 0; i < LARGE_GROUP; i++)
            list[i] = (struct said){.by = w->id, .generation = generation, .n = i};
        CHECK(entry_put_list(w->t, LARGE_KEY, list, LARGE_GROUP) == XE_OK);
        CHECK(key_drop(w->t, LARGE_KEY) == XE_OK);
    }
    writer_done();
}

static void look_at_all(void *arg, const struct xe_run *run)
{
    uint32_t *last = arg, generation = said_in(run, 0).generation;
    CHECK(run->n == LARGE_GROUP && generation >= *last);
    for (uint32_t i = 0; i < LARGE_GROUP; i++) {
        struct said said = said_in(run, i);
        CHECK(said.n == i && said.generation == generation);
    }
    *last = generation;
}

static void read_all_or_nothing(struct worker *w)
{
    uint32_t last = 0;
    while (atomic_load(&writing))
        key_look(w->t, LARGE_KEY, false, look_at_all, &last);
}

static void g8_a_group_of_many_segments_goes_at_one_instant(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {16, 64, 0};
    for (uint32_t i = 0; i < 3; i++) {
        struct xe_table *t = bag_new(i % 2 ? XE_BAG : XE_DUPLICATE_BAG, sizes[i]);
        add_worker(t, put_and_drop, true);
        add_worker(t, read_all_or_nothing, false);
        add_worker(t, read_all_or_nothing, false);
        add_worker(t, bystander, false);
        run_workers();
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* stress_bag [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(g8_readers_see_a_prefix_of_what_one_writer_appends),
        TEST(g8_all_readers_see_two_writers_in_one_order),
        TEST(g2_g8_lists_and_takes_are_one_change_for_who_reads_a_key),
        TEST(g8_every_object_is_taken_once),
        TEST(of_new_objects_with_one_key_one_is_stored),
        TEST(a_key_read_while_a_table_is_fixed_can_be_gone_on_from),
        TEST(g8_a_group_of_many_segments_goes_at_one_instant),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("bags, stress", tests, NULL, NULL);
}
