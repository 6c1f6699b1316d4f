/*
 * stress_journal.c - many threads write units and wait for them, while the writing thread serves
 * them, checkpoints are made, and the disk fails.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "journal.h"
#include "replay.h"
#include "sim_io.h"
#include "stress.h"

#define DIR "/table"

enum {
    WRITERS = 4,
    UNITS = OPERATIONS / 50, /* of each */
    FILLER = 3000,
};

static struct stage {
    struct sim *s;
    struct xe_journal *j;
    pthread_rwlock_t gate;
    _Atomic uint64_t acked[WRITERS][XE_JOURNAL_LEVELS]; /* one more than the index of a unit */
    _Atomic uint64_t committed[WRITERS];
    _Atomic uint32_t running;
} stage;

/* A thread that waits. */
struct sleeper {
    struct xe_journal_waiter w;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool told;
    enum xe_status status;
};

static void wake(struct xe_journal_waiter *w, enum xe_status status)
{
    struct sleeper *x = (struct sleeper *)w;
    pthread_mutex_lock(&x->lock);
    x->told = true;
    x->status = status;
    pthread_cond_signal(&x->wake);
    pthread_mutex_unlock(&x->lock);
}

static void sleeper_init(struct sleeper *x)
{
    *x = (struct sleeper){.w.done = wake};
    pthread_mutex_init(&x->lock, NULL);
    pthread_cond_init(&x->wake, NULL);
}

/* What a call that may have to wait has come to. */
static enum xe_status outcome(struct sleeper *x, enum xe_status status)
{
    if (status != XE_RETRY)
        return status;
    pthread_mutex_lock(&x->lock);
    while (!x->told)
        pthread_cond_wait(&x->wake, &x->lock);
    x->told = false;
    status = x->status;
    pthread_mutex_unlock(&x->lock);
    return status;
}

static enum xe_status reserve(struct sleeper *x, size_t n, struct xe_journal_room *room)
{
    enum xe_status status;
    while ((status = xe_journal_reserve(stage.j, n, room)) == XE_RETRY) {
        status = outcome(x, xe_journal_await_room(stage.j, n, &x->w));
        if (status == XE_FAILED)
            break;
    }
    return status;
}

/* A unit: who wrote it, its index, and bytes that follow from both. */
static size_t unit_make(uint32_t id, uint64_t index, uint8_t *to)
{
    struct rng r = {(uint64_t)id << 32 | index};
    size_t n = 12 + rng_below(&r, rng_chance(&r, 1, 50) ? FILLER : 80);
    memcpy(to, &id, 4);
    memcpy(to + 4, &index, 8);
    for (size_t i = 12; i < n; i++)
        to[i] = (uint8_t)(rng_next(&r) >> 56);
    return n;
}

static void write_units(struct worker *w)
{
    uint8_t unit[12 + FILLER];
    struct sleeper x;
    sleeper_init(&x);
    for (uint64_t i = 0; i < scaled(UNITS); i++) {
        struct xe_journal_room room;
        size_t n = unit_make(w->id, i, unit);
        enum xe_status status = reserve(&x, n, &room);
        if (status == XE_FAILED)
            break;
        CHECK(status == XE_OK);
        if (room.large)
            memcpy(room.large, unit, n);
        pthread_rwlock_rdlock(&stage.gate);
        uint64_t ticket = xe_journal_commit(stage.j, &room, room.large ? room.large : unit, n);
        pthread_rwlock_unlock(&stage.gate);
        if (rng_chance(&w->rng, 1, 2)) {
            atomic_thread_fence(memory_order_seq_cst);
            xe_journal_notify_later(stage.j);
        } else {
            xe_journal_notify(stage.j);
        }
        atomic_store(&stage.committed[w->id], i + 1);
        if (rng_chance(&w->rng, 1, 8))
            continue;
        enum xe_journal_level level = rng_below(&w->rng, XE_JOURNAL_LEVELS);
        status = outcome(&x, xe_journal_await(stage.j, ticket, level, &x.w));
        if (status == XE_OK)
            atomic_store(&stage.acked[w->id][level], i + 1);
        else
            CHECK(status == XE_FAILED);
    }
    atomic_fetch_sub(&stage.running, 1);
}

static void make_checkpoints(struct worker *w)
{
    struct xe_tablefile_options how = {
        .kind = XE_TABLEFILE_CHECKPOINT, .atomic = true, .sync = true};
    struct xe_io_error error;
    while (atomic_load(&stage.running) > 0) {
        pthread_rwlock_wrlock(&stage.gate);
        uint64_t s = xe_journal_number(stage.j);
        pthread_rwlock_unlock(&stage.gate);
        char *path = xe_journal_checkpoint_path(DIR, s);
        struct xe_tablefile_writer *t =
            xe_tablefile_create(sim_io(stage.s), path, &how, "", 0, &error);
        xe_cb.free(path);
        if (t && xe_tablefile_finish(t, &error))
            xe_journal_checkpointed(stage.j, s);
        struct xe_journal_info info;
        xe_journal_info(stage.j, &info);
        CHECK(info.synced <= info.written);
        if (rng_chance(&w->rng, 1, 4))
            CHECK(xe_journal_flush(UINT64_C(10000000000)));
        sched_yield();
    }
}

static struct xe_journal *open_journal(void)
{
    struct xe_io_error error;
    struct xe_journal_options o = {.io = sim_io(stage.s),
                                   .dir = DIR,
                                   .create = true,
                                   .meta = "",
                                   .buffer_bytes = 8192,
                                   .segment_bytes = 65536};
    return xe_journal_open(&o, &error);
}

static void stage_begin(uint64_t seed)
{
    struct xe_io_error error;
    struct xe_replay_unit u;
    memset(&stage, 0, sizeof stage);
    stage.s = sim_new(seed);
    stage.running = WRITERS;
    pthread_rwlock_init(&stage.gate, NULL);
    stage.j = open_journal();
    CHECK(stage.j);
    CHECK(replay_next(xe_journal_replay(stage.j), &u, &error) == XE_REPLAY_END);
    CHECK(xe_journal_begin(stage.j, &error));
}

/* Replays: of each writer, units in their order without a gap, up to what it was told at least. */
static void check_replay(bool all, enum xe_journal_level level)
{
    struct xe_io_error error;
    struct xe_replay_unit u;
    enum xe_replay_status status;
    uint64_t seen[WRITERS] = {0};
    uint8_t unit[12 + FILLER];
    bool checkpointed = false;
    struct xe_replay *r = xe_replay_open(sim_io(stage.s), DIR, false, &error);
    CHECK(r);
    uint64_t s;
    xe_replay_checkpoint(r, &s);
    checkpointed = s > 0;
    while ((status = replay_next(r, &u, &error)) == XE_REPLAY_UNIT) {
        uint32_t id;
        uint64_t index;
        memcpy(&id, u.bytes, 4);
        memcpy(&index, u.bytes + 4, 8);
        CHECK(id < WRITERS && (index == seen[id] || (seen[id] == 0 && checkpointed)));
        CHECK(u.n == unit_make(id, index, unit) && memcmp(u.bytes, unit, u.n) == 0);
        seen[id] = index + 1;
    }
    CHECK(status == XE_REPLAY_END);
    for (int i = 0; i < WRITERS; i++) {
        CHECK(seen[i] <= stage.committed[i] + 1);
        CHECK((seen[i] == 0 && checkpointed) || seen[i] >= stage.acked[i][level]);
        CHECK(!all || (seen[i] == 0 && checkpointed) || seen[i] == scaled(UNITS));
    }
    xe_replay_close(r);
}

static void run_writers(void (*other)(struct worker *))
{
    for (int i = 0; i < WRITERS; i++)
        add_worker(NULL, write_units, false);
    if (other)
        add_worker(NULL, other, false);
    run_workers();
}

static void stage_end(void)
{
    pthread_rwlock_destroy(&stage.gate);
    sim_free(stage.s);
}

static void all_units_are_there_in_the_order_of_their_writers(void **state)
{
    struct xe_io_error error;
    (void)state;
    assert_true(xe_journal_start(NULL));
    stage_begin(1);
    run_writers(NULL);
    assert_true(xe_journal_close(stage.j, &error));
    xe_journal_stop();
    check_replay(true, XE_JOURNAL_OS);
    stage_end();
}

static void checkpoints_are_made_meanwhile(void **state)
{
    struct xe_io_error error;
    (void)state;
    assert_true(xe_journal_start(NULL));
    stage_begin(2);
    run_writers(make_checkpoints);
    assert_true(xe_journal_close(stage.j, &error));
    xe_journal_stop();
    check_replay(true, XE_JOURNAL_OS);
    stage_end();
}

static void what_was_acknowledged_outlives_a_loss_of_power(void **state)
{
    (void)state;
    for (uint64_t seed = 3; seed < 8; seed++) {
        struct xe_io_error error;
        assert_true(xe_journal_start(NULL));
        stage_begin(seed);
        sim_crash(stage.s, 200 + 100 * seed);
        run_writers(seed % 2 ? make_checkpoints : NULL);
        assert_false(xe_journal_close(stage.j, &error));
        xe_journal_stop();
        sim_power_off(stage.s);
        check_replay(false, XE_JOURNAL_DISK);
        stage_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_units_are_there_in_the_order_of_their_writers),
        TEST(checkpoints_are_made_meanwhile),
        TEST(what_was_acknowledged_outlives_a_loss_of_power),
    };
    return cmocka_run_group_tests_name("journal stress", tests, NULL, NULL);
}
