/*
 * test_journal.c - journals on a disk that fails, tears and forgets: what is found again is what
 * was acknowledged, and nothing that was not written (J1-J4); the clauses of the format.
 *
 * There is no writing thread here: xe_journal_run() does its work when a test says so, and every
 * test is the same each time.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "journal_format.h"
#include "sim_io.h"
#include "support.h"

#define DIR "/table"
static const char META[] = "set";

enum {
    UNITS_MAX = 400,
    BUFFER = 4096,
    SEGMENT = 4 * 4096,
    UNIT_MAX = 3 * SEGMENT,
    WAITERS = 2 * UNITS_MAX,
};

/* --- A table whose state is the units that were written ------------------------------ */

struct world;

struct waiting {
    struct xe_journal_waiter w;
    struct world *world;
    uint64_t number;
    enum xe_journal_level level;
    bool told;
};

struct world {
    struct sim *s;
    struct rng rng;
    struct xe_journal *j;
    uint64_t seeds[UNITS_MAX]; /* of each unit, by its number */
    uint64_t last;             /* number of the last unit written */
    uint64_t acked[XE_JOURNAL_LEVELS];
    struct waiting waiting[WAITERS];
    uint32_t n_waiting;
    struct xe_io_error error;
};

static uint8_t unit[UNIT_MAX];

/* A unit's bytes come from its seed: mostly small, some too large for the buffer, some for a
 * segment. */
static size_t unit_make(uint64_t seed, uint8_t *to)
{
    struct rng r = {seed};
    uint32_t kind = rng_below(&r, 40);
    size_t n = rng_below(&r, kind == 0 ? UNIT_MAX : kind < 4 ? BUFFER : 100);
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(rng_next(&r) >> 56);
    return n;
}

static void done(struct xe_journal_waiter *w, enum xe_status status)
{
    struct waiting *x = (struct waiting *)w;
    CHECK(!x->told);
    x->told = true;
    if (status == XE_OK && x->number > x->world->acked[x->level])
        x->world->acked[x->level] = x->number;
}

static void await(struct world *w, uint64_t ticket, uint64_t number, enum xe_journal_level level)
{
    struct waiting *x = &w->waiting[w->n_waiting++];
    CHECK(w->n_waiting < WAITERS);
    *x = (struct waiting){.w.done = done, .world = w, .number = number, .level = level};
    enum xe_status status = xe_journal_await(w->j, ticket, level, &x->w);
    if (status != XE_RETRY)
        done(&x->w, status);
}

/* Everybody who waits has been told, once. */
static void check_told(struct world *w)
{
    for (uint32_t i = 0; i < w->n_waiting; i++)
        assert_true(w->waiting[i].told);
    w->n_waiting = 0;
}

static struct xe_journal_options options_of(struct world *w, bool create)
{
    return (struct xe_journal_options){.io = sim_io(w->s),
                                       .dir = DIR,
                                       .create = create,
                                       .meta = META,
                                       .meta_bytes = sizeof META,
                                       .buffer_bytes = BUFFER,
                                       .segment_bytes = SEGMENT};
}

/* Writes one unit. False: the journal has failed. */
static bool put_unit(struct world *w)
{
    struct xe_journal_room room;
    enum xe_status status;
    uint64_t seed = rng_next(&w->rng);
    size_t n = unit_make(seed, unit), more = rng_below(&w->rng, 20);
    while ((status = xe_journal_reserve(w->j, n + more, &room)) == XE_RETRY)
        xe_journal_run();
    if (status == XE_FAILED)
        return false;
    assert_int_equal(status, XE_OK);
    if (rng_chance(&w->rng, 1, 10)) {
        xe_journal_cancel(w->j, &room);
        return true;
    }
    if (room.large)
        memcpy(room.large, unit, n);
    uint64_t ticket = xe_journal_commit(w->j, &room, room.large ? room.large : unit, n);
    xe_journal_notify(w->j);
    w->last++;
    w->seeds[w->last] = seed;
    assert_int_equal(xe_journal_number(w->j), w->last);
    if (rng_chance(&w->rng, 1, 2))
        await(w, ticket, w->last, rng_below(&w->rng, XE_JOURNAL_LEVELS));
    return true;
}

/* A checkpoint has one record: its number. */
static bool put_checkpoint(struct world *w)
{
    struct xe_tablefile_options how = {XE_TABLEFILE_CHECKPOINT, true, true};
    uint64_t s = xe_journal_number(w->j);
    char *path = xe_journal_checkpoint_path(DIR, s);
    struct xe_tablefile_writer *t =
        xe_tablefile_create(sim_io(w->s), path, &how, META, sizeof META, &w->error);
    bool ok = t && xe_tablefile_put(t, &s, sizeof s, &w->error);
    xe_cb.free(path);
    if (!ok)
        xe_tablefile_abort(t);
    else
        ok = xe_tablefile_finish(t, &w->error);
    if (!ok)
        return false;
    w->acked[XE_JOURNAL_DISK] = s;
    xe_journal_checkpointed(w->j, s);
    return true;
}

/* Reads the checkpoint. Its S; UINT64_MAX: it failed. */
static uint64_t read_checkpoint(struct xe_replay *r, struct xe_io_error *error)
{
    struct xe_tablefile_block b;
    struct xe_tablefile_info info;
    uint64_t s;
    size_t n;
    struct xe_tablefile_reader *t = xe_replay_checkpoint(r, &s);
    enum xe_tablefile_status status;
    xe_tablefile_info(t, &info);
    assert_true(info.meta_bytes == sizeof META && memcmp(info.meta, META, sizeof META) == 0);
    while ((status = xe_tablefile_next(t, &b, error)) == XE_TABLEFILE_OK) {
        const uint8_t *p = xe_tablefile_record(&b, &n);
        assert_true(n == sizeof s && xe_load64(p) == s);
    }
    return status == XE_TABLEFILE_LAST ? s : UINT64_MAX;
}

/* Replays: every unit must be the one that was written with its number. */
static enum xe_replay_status replay(struct world *w, struct xe_replay *r, uint64_t *v,
                                    struct xe_io_error *error)
{
    struct xe_replay_unit u;
    enum xe_replay_status status;
    *v = read_checkpoint(r, error);
    if (*v == UINT64_MAX)
        return XE_REPLAY_FAILED;
    while ((status = xe_replay_next(r, &u, error)) == XE_REPLAY_UNIT) {
        assert_int_equal(u.number, ++*v);
        assert_true(u.number <= w->last);
        assert_int_equal(u.n, unit_make(w->seeds[u.number], unit));
        assert_memory_equal(u.bytes, unit, u.n);
    }
    return status;
}

/* Opens, and replays. *v: the state found. */
static bool open_table(struct world *w, uint64_t *v)
{
    struct xe_journal_options o = options_of(w, true);
    w->j = xe_journal_open(&o, &w->error);
    if (!w->j)
        return false;
    struct xe_io_error closing;
    if (replay(w, xe_journal_replay(w->j), v, &w->error) == XE_REPLAY_END &&
        xe_journal_begin(w->j, &w->error)) {
        w->last = *v;
        return true;
    }
    xe_journal_close(w->j, &closing);
    w->j = NULL;
    return false;
}

static bool close_table(struct world *w)
{
    uint64_t last = w->last;
    bool ok = xe_journal_close(w->j, &w->error);
    w->j = NULL;
    check_told(w);
    if (ok)
        w->acked[XE_JOURNAL_OS] = w->acked[XE_JOURNAL_DISK] = last;
    return ok;
}

static void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->s = sim_new(seed);
    w->rng = rng_for(seed + 77);
}

/* A few steps of a program's life. Stops when something fails. */
static void live(struct world *w, uint32_t steps)
{
    uint64_t v;
    while (w->j && steps-- > 0 && w->last + 1 < UNITS_MAX) {
        uint32_t what = rng_below(&w->rng, 40);
        bool ok = true;
        if (what == 0)
            ok = close_table(w) && open_table(w, &v);
        else if (what < 3)
            ok = put_checkpoint(w);
        else if (what < 12)
            xe_journal_run();
        else
            ok = put_unit(w);
        if (!ok)
            return;
    }
}

/* --- Every crash point ---------------------------------------------------------------- */

enum end { KILLED, POWER_LOST, FAILED_AND_KILLED, FAILED_AND_POWER_LOST, ENDS };

/* After a crash: what is found is a state that the acknowledgements allow. */
static void recover(struct world *w, bool power)
{
    uint64_t v = 0, committed = w->last, os = w->acked[XE_JOURNAL_OS];
    uint64_t disk = w->acked[XE_JOURNAL_DISK];
    assert_true(open_table(w, &v));
    assert_true(v <= committed);
    assert_true(v >= disk);        /* J2 */
    assert_true(power || v >= os); /* J1 */
    w->acked[XE_JOURNAL_OS] = w->acked[XE_JOURNAL_DISK] = v;
}

static void end_life(struct world *w)
{
    struct xe_io_error error;
    if (rng_chance(&w->rng, 1, 2))
        sim_crash(w->s, 0);
    if (w->j && xe_journal_close(w->j, &error))
        w->acked[XE_JOURNAL_OS] = w->acked[XE_JOURNAL_DISK] = w->last;
    w->j = NULL;
    check_told(w);
}

/* A life that ends at a call of the disk, several times on the same disk. */
static bool crash_at(uint64_t seed, uint64_t call, enum end end, int code)
{
    struct world *w = malloc(sizeof *w);
    struct xe_io_error error;
    uint64_t v;
    bool reached = false;
    world_init(w, seed);
    sim_short(w->s, seed % 3 ? 7 : 0);
    for (int life = 0; life < 3; life++) {
        bool power = end == POWER_LOST || end == FAILED_AND_POWER_LOST;
        uint64_t at = sim_calls(w->s) + (life == 0 ? call : rng_below(&w->rng, 60));
        if (end == KILLED || end == POWER_LOST)
            sim_crash(w->s, at);
        else
            sim_fail(w->s, at, code, rng_chance(&w->rng, 1, 2), 0);
        if (w->j || open_table(w, &v))
            live(w, 60);
        if (life == 0)
            reached = sim_has_crashed(w->s) || sim_has_failed(w->s);
        end_life(w);
        if (end == FAILED_AND_KILLED || end == FAILED_AND_POWER_LOST) {
            /* Opened again where the system has still what the disk may not have (D4). */
            sim_kill(w->s);
            recover(w, false);
            live(w, 20);
            end_life(w);
        }
        if (power)
            sim_power_off(w->s);
        else
            sim_kill(w->s);
        recover(w, power);
    }
    live(w, 10);
    if (w->j)
        assert_true(close_table(w));
    assert_true(xe_journal_verify(sim_io(w->s), DIR, &error));
    assert_true(xe_journal_destroy(sim_io(w->s), DIR, &error));
    assert_null(sim_name(w->s, 0));
    sim_free(w->s);
    free(w);
    return reached;
}

#if defined(__SANITIZE_ADDRESS__)
enum { RUNS = 1500 };
#else
enum { RUNS = 6000 };
#endif

static void run_crashes(enum end end, int code)
{
    uint64_t seed = 0;
    for (uint32_t n = 0; n < RUNS / ENDS;) {
        /* The calls of a life, one after the other, up to its end; then another life. */
        for (uint64_t call = seed % 3; n < RUNS / ENDS; call += 3, n++)
            if (!crash_at(seed * ENDS + end, call, end, code))
                break;
        n++;
        seed++;
    }
}

static void killed_at_any_call(void **state)
{
    (void)state;
    run_crashes(KILLED, 0);
}

static void without_power_at_any_call(void **state)
{
    (void)state;
    run_crashes(POWER_LOST, 0);
}

static void after_an_error_at_any_call(void **state)
{
    (void)state;
    run_crashes(FAILED_AND_KILLED, EIO);
}

static void after_a_full_disk_and_without_power(void **state)
{
    (void)state;
    run_crashes(FAILED_AND_POWER_LOST, ENOSPC);
}

/* --- One behaviour each ------------------------------------------------------------------ */

static struct world *world_open(uint64_t seed)
{
    struct world *w = malloc(sizeof *w);
    uint64_t v;
    world_init(w, seed);
    assert_true(open_table(w, &v));
    assert_int_equal(v, 0);
    return w;
}

static void world_end(struct world *w)
{
    if (w->j)
        close_table(w);
    sim_free(w->s);
    free(w);
}

static void put_units(struct world *w, uint32_t n)
{
    for (uint64_t last = w->last + n; w->last < last;)
        assert_true(put_unit(w));
}

static void a_closed_table_is_found_as_it_was(void **state)
{
    struct world *w = world_open(1);
    uint64_t v;
    (void)state;
    put_units(w, 100);
    assert_true(close_table(w));
    sim_power_off(w->s);
    assert_true(open_table(w, &v));
    assert_int_equal(v, 100);
    world_end(w);
}

static void opening_and_closing_leaves_nothing_behind(void **state)
{
    struct world *w = world_open(2);
    uint64_t v;
    uint32_t n = 0;
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_true(close_table(w) && open_table(w, &v));
    assert_true(close_table(w));
    while (sim_name(w->s, n))
        n++;
    assert_int_equal(n, 3); /* the directory, LOCK, the first checkpoint */
    world_end(w);
}

static void nothing_is_acknowledged_after_a_failure(void **state)
{
    static const enum xe_io_op ops[] = {XE_IO_WRITE, XE_IO_SYNC};
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct world *w = world_open(3 + i);
        struct xe_io_error error;
        struct xe_journal_room room;
        put_units(w, 5);
        await(w, xe_journal_last(w->j), w->last, XE_JOURNAL_DISK);
        xe_journal_run();
        assert_int_equal(w->acked[XE_JOURNAL_DISK], 5);
        assert_int_equal(xe_journal_reserve(w->j, 10, &room), XE_OK);
        sim_fail(w->s, 0, EIO, false, UINT32_C(1) << ops[i]);
        put_units(w, 1);
        await(w, xe_journal_last(w->j), w->last, XE_JOURNAL_DISK);
        xe_journal_run();
        assert_true(sim_has_failed(w->s));
        assert_int_equal(w->acked[XE_JOURNAL_DISK], 5);
        /* Who has reserved goes on as if nothing were; nobody is told of success. */
        uint64_t ticket = xe_journal_commit(w->j, &room, "0123456789", 10);
        w->last++;
        await(w, ticket, w->last, XE_JOURNAL_OS);
        xe_journal_run();
        assert_int_not_equal(w->acked[XE_JOURNAL_OS], w->last);
        assert_int_equal(xe_journal_reserve(w->j, 10, &room), XE_FAILED);
        assert_true(xe_journal_error(w->j, &error));
        assert_true(error.code == EIO && error.op == ops[i]);
        assert_false(close_table(w));
        assert_int_equal(w->error.code, EIO);
        world_end(w);
    }
}

static void who_waits_for_room_is_told(void **state)
{
    struct world *w = world_open(5);
    struct xe_journal_room rooms[BUFFER / 48 + 1], room;
    struct waiting x = {.w.done = done, .world = w}, y = {.w.done = done, .world = w};
    uint32_t n = 0;
    (void)state;
    while (xe_journal_reserve(w->j, 8, &rooms[n]) == XE_OK)
        n++;
    assert_int_equal(n, BUFFER / 48);
    assert_int_equal(xe_journal_await_room(w->j, 8, &x.w), XE_RETRY);
    xe_journal_cancel(w->j, &rooms[--n]);
    xe_journal_run();
    assert_true(x.told);
    assert_int_equal(xe_journal_await_room(w->j, 8, &x.w), XE_OK);
    assert_int_equal(xe_journal_reserve(w->j, 8, &rooms[n++]), XE_OK);
    assert_int_equal(xe_journal_await_room(w->j, 8, &y.w), XE_RETRY);
    assert_int_equal(xe_journal_reserve(w->j, 8, &room), XE_RETRY);
    xe_journal_run();
    assert_false(y.told);
    while (n > 0)
        xe_journal_commit(w->j, &rooms[--n], "12345678", 8);
    xe_journal_notify(w->j);
    xe_journal_run();
    assert_true(y.told);
    assert_int_equal(xe_journal_reserve(w->j, 8, &room), XE_OK);
    xe_journal_cancel(w->j, &room);
    world_end(w);
}

static void a_unit_is_written_when_all_before_it_are_there(void **state)
{
    struct world *w = world_open(6);
    struct xe_journal_room room[3];
    struct xe_journal_info info;
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(xe_journal_reserve(w->j, 10, &room[i]), XE_OK);
    xe_journal_commit(w->j, &room[2], "cc", 2);
    xe_journal_notify(w->j);
    uint64_t ticket = xe_journal_commit(w->j, &room[0], "a", 1);
    await(w, ticket, 2, XE_JOURNAL_DISK);
    xe_journal_run();
    assert_int_equal(w->acked[XE_JOURNAL_DISK], 2);
    xe_journal_cancel(w->j, &room[1]);
    xe_journal_info(w->j, &info);
    assert_true(info.number == 2 && info.written == 2 && info.synced == 2);
    assert_true(info.bytes == 2 * 48 && info.segments == 1 && info.checkpoint == 0);
    world_end(w);
}

static void a_checkpoint_makes_segments_needless(void **state)
{
    struct world *w = world_open(7);
    struct xe_journal_info info;
    uint64_t v;
    (void)state;
    for (uint32_t n = 300; n > 0; n = n > 80 ? 80 : 0) {
        put_units(w, n);
        xe_journal_run();
        xe_journal_info(w->j, &info);
        assert_true(n < 300 || info.segments > 2);
        assert_true(put_checkpoint(w));
        xe_journal_run();
        xe_journal_info(w->j, &info);
        assert_true(info.segments == 1 && info.checkpoint == w->last && info.bytes == 0);
    }
    assert_true(close_table(w) && open_table(w, &v));
    assert_int_equal(v, 380);
    world_end(w);
}

static void a_directory_has_one_journal(void **state)
{
    struct world *w = world_open(8);
    struct xe_journal_options o = options_of(w, true);
    struct xe_io_error error;
    struct xe_journal_room room, early;
    uint64_t owner, v;
    (void)state;
    o.owner = 4711;
    assert_null(xe_journal_open(&o, &error));
    assert_int_equal(error.code, XE_IO_LOCKED);
    assert_false(xe_journal_destroy(sim_io(w->s), DIR, &error));
    assert_int_equal(error.code, XE_IO_LOCKED);
    assert_true(xe_journal_holder(sim_io(w->s), DIR, &owner));
    assert_int_equal(owner, 0);
    put_units(w, 10);
    assert_int_equal(xe_journal_reserve(w->j, 3, &early), XE_OK);
    /* Taken over: all that was committed is there, and the other one is told that it is closed. */
    assert_true(xe_journal_seize(sim_io(w->s), DIR, &error));
    assert_false(xe_journal_holder(sim_io(w->s), DIR, &owner));
    assert_int_equal(xe_journal_reserve(w->j, 1, &room), XE_FAILED);
    xe_journal_commit(w->j, &early, "abc", 3);
    xe_journal_notify(w->j);
    assert_true(xe_journal_error(w->j, &error) && error.code == XE_IO_CLOSED);
    assert_true(xe_journal_close(w->j, &error));
    assert_true(open_table(w, &v));
    assert_int_equal(v, 10);
    assert_true(close_table(w));
    assert_false(xe_journal_seize(sim_io(w->s), DIR, &error));
    world_end(w);
}

static void a_missing_table_is_made_only_when_asked_for(void **state)
{
    struct world *w = malloc(sizeof *w);
    struct xe_io_error error;
    (void)state;
    world_init(w, 9);
    struct xe_journal_options o = options_of(w, false);
    assert_null(xe_journal_open(&o, &error));
    assert_int_equal(error.code, ENOENT);
    assert_true(xe_io_mkdir(sim_io(w->s), DIR, &error));
    assert_null(xe_journal_open(&o, &error));
    assert_int_equal(error.code, ENOENT);
    world_end(w);
}

static void allocations_may_fail(void **state)
{
    bool failing = true;
    (void)state;
    for (uint64_t i = 0; failing; i++) {
        struct world *w = malloc(sizeof *w);
        uint64_t v;
        world_init(w, 10);
        memory_fail_at(i);
        bool ok = open_table(w, &v);
        assert_true(ok || w->error.code == ENOMEM);
        struct xe_journal_room room;
        if (ok) {
            enum xe_status status = xe_journal_reserve(w->j, 2 * BUFFER, &room);
            assert_true(status == XE_OK || status == XE_NOMEM);
            if (status == XE_OK)
                xe_journal_cancel(w->j, &room);
        }
        failing = memory_fail_never() > 0;
        world_end(w);
    }
}

static void the_systems_files_serve_as_well(void **state)
{
    char at[] = "/tmp/xets_test_journal_XXXXXX";
    struct xe_io_error error;
    struct xe_replay_unit u;
    struct xe_journal_room room;
    (void)state;
    assert_non_null(mkdtemp(at));
    char *dir = xe_io_join(at, "table");
    struct xe_journal_options o = {.io = &xe_io_system, .dir = dir, .create = true, .meta = ""};
    o.segment_bytes = 1 << 16;
    for (uint64_t n = 0; n < 3000; n += 1000) {
        uint64_t seen = 0;
        struct xe_journal *j = xe_journal_open(&o, &error);
        assert_non_null(j);
        assert_null(xe_journal_open(&o, &error));
        assert_int_equal(error.code, XE_IO_LOCKED);
        while (xe_replay_next(xe_journal_replay(j), &u, &error) == XE_REPLAY_UNIT)
            assert_true(u.n == 8 && xe_load64(u.bytes) == ++seen);
        assert_int_equal(seen, n);
        assert_true(xe_journal_begin(j, &error));
        for (uint64_t i = n + 1; i <= n + 1000; i++) {
            assert_int_equal(xe_journal_reserve(j, 8, &room), XE_OK);
            xe_journal_commit(j, &room, &i, 8);
            xe_journal_notify(j);
        }
        assert_true(xe_journal_close(j, &error));
    }
    assert_true(xe_journal_verify(&xe_io_system, dir, &error));
    assert_true(xe_journal_destroy(&xe_io_system, dir, &error));
    assert_true(xe_io_rmdir(&xe_io_system, at, &error));
    xe_cb.free(dir);
}

/* --- Damage ------------------------------------------------------------------------------- */

/* Opens a copy of the disk, changed by damage, and returns whether it was refused. If not, the
 * state must be one that was: *v. */
static bool refused(struct world *w, struct sim *s, uint64_t *v, struct xe_io_error *error)
{
    struct xe_replay *r = xe_replay_open(sim_io(s), DIR, false, error);
    if (!r)
        return true;
    bool failed = replay(w, r, v, error) == XE_REPLAY_FAILED;
    xe_replay_close(r);
    return failed;
}

/* Every byte flipped, and every truncation, of every file of a small table. */
static void damage_all(struct world *w, bool closed, uint64_t disk, uint64_t last)
{
    struct xe_io_error error;
    for (uint32_t i = 0; sim_name(w->s, i); i++) {
        size_t n, m;
        uint64_t v;
        const char *path = sim_name(w->s, i);
        if (!sim_bytes(w->s, path, &n) || strstr(path, "LOCK"))
            continue;
        struct sim *s = sim_copy(w->s, 1);
        uint8_t *bytes = sim_bytes(s, path, &m);
        for (size_t at = 0; at<n; at += n> 8192 && at > 6000 ? 97 : 1) {
            bytes[at] ^= 0x21;
            if (!refused(w, s, &v, &error))
                assert_true(closed ? v == last : v >= disk && v <= last);
            else
                assert_true(error.code < 0 && error.path[0] && error.reason);
            bytes[at] ^= 0x21;
        }
        for (size_t len = 0; len<n; len += n> 8192 ? 131 : 1) {
            struct sim *cut = sim_copy(w->s, 1);
            sim_put(cut, path, bytes, len);
            if (!refused(w, cut, &v, &error))
                assert_true(closed ? v == last : v >= disk && v <= last);
            sim_free(cut);
        }
        sim_free(s);
    }
}

static void small_unit(struct world *w, uint64_t level)
{
    struct xe_journal_room room;
    uint64_t seed = 0;
    size_t n = BUFFER;
    while (n > 60)
        n = unit_make(seed = rng_next(&w->rng), unit);
    assert_int_equal(xe_journal_reserve(w->j, n, &room), XE_OK);
    uint64_t ticket = xe_journal_commit(w->j, &room, unit, n);
    w->seeds[++w->last] = seed;
    await(w, ticket, w->last, level);
    xe_journal_run();
}

static void no_damage_of_a_closed_table_goes_unseen(void **state)
{
    struct world *w = world_open(20);
    uint64_t v;
    (void)state;
    for (int i = 0; i < 3; i++)
        small_unit(w, XE_JOURNAL_OS);
    assert_true(put_checkpoint(w));
    assert_true(close_table(w) && open_table(w, &v));
    for (int i = 0; i < 5; i++)
        small_unit(w, XE_JOURNAL_DISK);
    assert_true(close_table(w));
    damage_all(w, true, w->last, w->last);
    world_end(w);
}

/* All but the last unit: that nobody says to have been synced. */
static void no_damage_of_a_killed_table_makes_it_wrong(void **state)
{
    struct world *w = world_open(21), *killed;
    (void)state;
    for (int i = 0; i < 6; i++)
        small_unit(w, XE_JOURNAL_DISK);
    killed = malloc(sizeof *killed);
    *killed = *w;
    killed->j = NULL;
    killed->s = sim_copy(w->s, 2);
    damage_all(killed, false, 5, 6);
    world_end(killed);
    world_end(w);
}

/* A killed table of six units, and where the records of its segment are. */
struct cut {
    struct world *w;
    uint8_t *bytes;
    size_t n;
    uint64_t salt;
    uint8_t *at[7];
};

static void cut_make(struct cut *c)
{
    struct world *w = world_open(22);
    for (int i = 0; i < 6; i++)
        small_unit(w, XE_JOURNAL_DISK);
    c->w = malloc(sizeof *c->w);
    *c->w = *w;
    c->w->j = NULL;
    c->w->s = sim_copy(w->s, 2);
    world_end(w);
    c->bytes = sim_bytes(c->w->s, DIR "/journal-0000000000000001", &c->n);
    assert_non_null(c->bytes);
    c->salt = xe_load64(c->bytes + 16);
    c->at[0] = c->bytes + XE_SEGMENT_RECORDS;
    for (int i = 0; i < 6; i++)
        c->at[i + 1] = c->at[i] + xe_unit_bytes(xe_load64(c->at[i]) & XE_UNIT_MAX);
}

/* Changes a field of a record, with the right checksum. */
static void reseal(struct cut *c, int i, size_t field, uint64_t value)
{
    xe_store64(c->at[i] + field, value);
    xe_store64(c->at[i] + 32, xe_checksum(c->salt, c->at[i], 32));
}

static void cut_refused(struct cut *c, size_t offset)
{
    struct xe_io_error error = {0};
    uint64_t v;
    assert_true(refused(c->w, c->w->s, &v, &error));
    assert_int_equal(error.code, XE_IO_DAMAGED);
    assert_int_equal(error.offset, offset);
    assert_string_equal(error.path, DIR "/journal-0000000000000001");
    assert_false(xe_journal_verify(sim_io(c->w->s), DIR, &error));
    assert_int_equal(error.offset, offset);
    world_end(c->w);
}

static void cut_ends(struct cut *c, uint64_t expected)
{
    struct xe_io_error error = {0};
    uint64_t v;
    assert_false(refused(c->w, c->w->s, &v, &error));
    assert_int_equal(v, expected);
    world_end(c->w);
}

static void s1_one_of_two_headers_is_enough(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    c.bytes[20]++;
    cut_ends(&c, 6);
    cut_make(&c);
    c.bytes[XE_SEGMENT_SECOND + 20]++;
    cut_ends(&c, 6);
    cut_make(&c);
    c.bytes[20]++;
    c.bytes[XE_SEGMENT_SECOND + 20]++;
    cut_refused(&c, 0);
}

static void r1_to_r4_a_record_that_does_not_count_ends_the_replay(void **state)
{
    struct cut c;
    (void)state;
    for (int i = 0; i < 5; i++) {
        cut_make(&c);
        if (i == 0)
            reseal(&c, 5, 0, xe_load64(c.at[5]) ^ (UINT64_C(1) << 48)); /* R1 */
        else if (i == 1)
            reseal(&c, 5, 0, XE_UNIT_TAG | c.n); /* R2: not in the file */
        else if (i == 2)
            reseal(&c, 5, 24, 0); /* R2: its checksum */
        else if (i == 3)
            reseal(&c, 5, 16, 6); /* R3 */
        else
            reseal(&c, 5, 8, 8); /* R4 */
        cut_ends(&c, 5);
    }
}

static void c2_without_a_checkpoint_there_is_no_state(void **state)
{
    struct cut c;
    struct xe_io_error error;
    uint64_t v;
    (void)state;
    cut_make(&c);
    sim_remove(c.w->s, DIR "/checkpoint-0000000000000000");
    assert_true(refused(c.w, c.w->s, &v, &error));
    assert_int_equal(error.code, XE_IO_DAMAGED);
    world_end(c.w);
}

static void c3_what_was_synced_is_missed(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    c.at[3][XE_UNIT_HEADER - 1]++; /* later ones say that it was synced */
    cut_refused(&c, (size_t)(c.at[3] - c.bytes));
    cut_make(&c);
    c.at[5][XE_UNIT_HEADER - 1]++; /* nobody says so of the last one */
    cut_ends(&c, 5);
}

static void c4_what_was_closed_is_missed(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    xe_segment_mark(c.bytes + XE_SEGMENT_MARK, c.salt, 6, c.n);
    c.at[5][XE_UNIT_HEADER - 1]++;
    cut_refused(&c, (size_t)(c.at[5] - c.bytes));
}

/* --- Salvaging ------------------------------------------------------------------------------ */

static void all_other_records_are_salvaged(void **state)
{
    (void)state;
    for (int bad = 0; bad < 6; bad++) {
        struct cut c;
        struct xe_io_error error;
        struct xe_replay_unit u;
        struct xe_replay_lost lost;
        uint64_t found = 0, s;
        cut_make(&c);
        c.at[bad][33]++;
        struct xe_replay *r = xe_replay_open(sim_io(c.w->s), DIR, true, &error);
        assert_non_null(xe_replay_checkpoint(r, &s));
        while (xe_replay_next(r, &u, &error) == XE_REPLAY_UNIT) {
            found++;
            assert_true(u.number != (uint64_t)bad + 1);
            assert_int_equal(u.n, unit_make(c.w->seeds[u.number], unit));
            assert_memory_equal(u.bytes, unit, u.n);
        }
        assert_int_equal(found, 5);
        xe_replay_lost(r, &lost);
        assert_int_equal(lost.changes, bad < 5 ? 1 : 0); /* of the last nobody knows */
        assert_true(lost.bytes >= 32 && lost.bytes <= 120 && lost.segments == 0);
        assert_int_equal(xe_replay_number(r), bad < 5 ? 6 : 5);
        xe_replay_close(r);
        world_end(c.w);
    }
}

static void a_salvaged_table_is_whole_after_a_checkpoint(void **state)
{
    struct cut c;
    struct xe_journal_options o;
    struct xe_replay_unit u;
    uint64_t v;
    (void)state;
    cut_make(&c);
    c.at[2][33]++;
    struct world *w = c.w;
    assert_false(open_table(w, &v));
    o = options_of(w, false);
    o.salvage = true;
    w->j = xe_journal_open(&o, &w->error);
    assert_non_null(w->j);
    while (xe_replay_next(xe_journal_replay(w->j), &u, &w->error) == XE_REPLAY_UNIT)
        ;
    assert_true(xe_journal_begin(w->j, &w->error));
    assert_int_equal(xe_journal_number(w->j), 6);
    assert_true(put_checkpoint(w));
    put_units(w, 3);
    assert_true(close_table(w) && open_table(w, &v));
    assert_int_equal(v, 9);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_closed_table_is_found_as_it_was),
        TEST(opening_and_closing_leaves_nothing_behind),
        TEST(nothing_is_acknowledged_after_a_failure),
        TEST(who_waits_for_room_is_told),
        TEST(a_unit_is_written_when_all_before_it_are_there),
        TEST(a_checkpoint_makes_segments_needless),
        TEST(a_directory_has_one_journal),
        TEST(a_missing_table_is_made_only_when_asked_for),
        TEST(allocations_may_fail),
        TEST(the_systems_files_serve_as_well),
        TEST(no_damage_of_a_closed_table_goes_unseen),
        TEST(no_damage_of_a_killed_table_makes_it_wrong),
        TEST(s1_one_of_two_headers_is_enough),
        TEST(r1_to_r4_a_record_that_does_not_count_ends_the_replay),
        TEST(c2_without_a_checkpoint_there_is_no_state),
        TEST(c3_what_was_synced_is_missed),
        TEST(c4_what_was_closed_is_missed),
        TEST(all_other_records_are_salvaged),
        TEST(a_salvaged_table_is_whole_after_a_checkpoint),
        TEST(killed_at_any_call),
        TEST(without_power_at_any_call),
        TEST(after_an_error_at_any_call),
        TEST(after_a_full_disk_and_without_power),
    };
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
