/*
 * test_journal.c - journals on a disk that fails, tears and forgets: what is found again is what
 * was acknowledged, and nothing that was not written (J1-J4).
 */
#include <sched.h>

#include "journal_internal.h"
#include "journal_world.h"

/* Who does not wait but asks has been told, too. */
static void ask(struct world *w)
{
    uint64_t last = xe_journal_last(w->j);
    for (int level = 0; level < XE_JOURNAL_LEVELS; level++)
        if (xe_journal_has_reached(w->j, last, (enum xe_journal_level)level))
            w->acked[level] = w->last;
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
        if (w->j)
            ask(w);
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
    assert_true(replay_verify(sim_io(w->s), DIR, &error));
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

/* The next segment would not fit, but smaller ones do. */
static void a_nearly_full_disk_is_filled(void **state)
{
    struct world *w = world_open(60);
    struct xe_journal_room room;
    struct xe_journal_info info;
    struct xe_io_error error;
    enum xe_status status;
    uint64_t bytes = 0;
    (void)state;
    /* Two segments, and not quite a third one. */
    sim_capacity(w->s, 3 * SEGMENT);
    memset(unit, 'x', 500);
    while ((status = xe_journal_reserve(w->j, 500, &room)) == XE_OK) {
        xe_journal_commit(w->j, &room, unit, 500);
        xe_journal_notify(w->j);
        xe_journal_run();
        xe_journal_info(w->j, &info);
        bytes = info.written * 500;
    }
    assert_int_equal(status, XE_FAILED);
    assert_true(xe_journal_error(w->j, &error));
    assert_int_equal(error.code, ENOSPC);
    assert_true(bytes > 2 * (SEGMENT - XE_SEGMENT_RECORDS));
    assert_false(close_table(w));
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

/* A unit that nobody waits for. Its ticket. */
static uint64_t put_later(struct world *w, size_t n)
{
    struct xe_journal_room room;
    assert_int_equal(xe_journal_reserve(w->j, n, &room), XE_OK);
    uint64_t ticket = xe_journal_commit(w->j, &room, room.large ? room.large : unit, n);
    w->last++;
    notify_later(w->j);
    return ticket;
}

static enum xe_wanted wanted(const struct world *w)
{
    return (enum xe_wanted)atomic_load(&w->j->wanted);
}

static void what_nobody_waits_for_is_written_with_what_comes_next(void **state)
{
    struct world *w = world_open(13);
    struct xe_journal_info info;
    struct xe_io_error error;
    struct xe_replay_unit u;
    (void)state;
    uint64_t ticket = put_later(w, 8);
    assert_true(wanted(w) == XE_WANTED_LATER && w->j->is_late && !w->j->is_queued);
    put_later(w, 8);
    assert_true(wanted(w) == XE_WANTED_LATER);
    await(w, ticket, 1, XE_JOURNAL_OS); /* somebody does */
    assert_true(wanted(w) == XE_WANTED_NOW && w->j->is_queued);
    xe_journal_run();
    xe_journal_info(w->j, &info);
    assert_true(info.written == 2 && wanted(w) == XE_WANTED_NOT);
    put_later(w, 8);
    assert_true(close_table(w)); /* which writes it */
    struct xe_replay *r = xe_replay_open(sim_io(w->s), DIR, false, &error);
    for (uint64_t n = 1; n <= 3; n++)
        assert_true(replay_next(r, &u, &error) == XE_REPLAY_UNIT && u.number == n);
    assert_int_equal(replay_next(r, &u, &error), XE_REPLAY_END);
    xe_replay_close(r);
    world_end(w);
}

static void much_is_written_at_once(void **state)
{
    struct world *w = world_open(14);
    struct xe_journal_room rooms[BUFFER / 48 + 1];
    struct waiting x = {.w.done = done, .world = w};
    uint32_t n = 0;
    (void)state;
    while (n++ < BUFFER / XE_JOURNAL_MUCH / 48) {
        put_later(w, 8);
        assert_true(wanted(w) == XE_WANTED_LATER);
    }
    put_later(w, 8);
    assert_true(wanted(w) == XE_WANTED_NOW && w->j->is_queued);
    xe_journal_run();
    put_later(w, BUFFER); /* it takes little of the buffer only */
    assert_true(wanted(w) == XE_WANTED_NOW);
    xe_journal_run();
    /* Somebody waits for its room. */
    for (n = 0; xe_journal_reserve(w->j, 8, &rooms[n]) == XE_OK; n++)
        ;
    xe_journal_commit(w->j, &rooms[--n], unit, 8);
    notify_later(w->j);
    assert_true(wanted(w) == XE_WANTED_LATER);
    assert_int_equal(xe_journal_await_room(w->j, 8, &x.w), XE_RETRY);
    assert_true(wanted(w) == XE_WANTED_NOW);
    while (n > 0)
        xe_journal_cancel(w->j, &rooms[--n]);
    xe_journal_run();
    assert_true(x.told);
    world_end(w);
}

/* By the thread, in its own time; and again when it has gone to sleep. */
static void nobody_need_ask_for_what_comes_later(void **state)
{
    struct world *w = world_open(15);
    (void)state;
    assert_true(xe_journal_start(NULL));
    for (int i = 0; i < 5; i++) {
        uint64_t ticket = put_later(w, 8);
        while (!xe_journal_has_reached(w->j, ticket, XE_JOURNAL_OS))
            sched_yield();
    }
    xe_journal_stop();
    world_end(w);
}

static void the_bytes_of_units_are_summed_up(void **state)
{
    static const size_t sizes[] = {8, BUFFER, 0, 1, UNIT_MAX};
    struct world *w = world_open(16);
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t before = xe_journal_sum(w->j);
        put_later(w, sizes[i]);
        uint64_t more = xe_journal_sum(w->j) - before - sizes[i];
        assert_true(more < 8);
        xe_journal_run();
        assert_int_equal(xe_journal_sum(w->j), before + sizes[i] + more);
    }
    world_end(w);
}

static void many_who_wait_share_a_sync(void **state)
{
    enum { MANY = 50 };
    struct world *w = world_open(7);
    struct xe_journal_room room;
    (void)state;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(xe_journal_reserve(w->j, 8, &room), XE_OK);
        await(w, xe_journal_commit(w->j, &room, "12345678", 8), ++w->last, XE_JOURNAL_DISK);
        xe_journal_notify(w->j);
    }
    uint64_t calls = sim_calls(w->s);
    xe_journal_run();
    assert_int_equal(w->acked[XE_JOURNAL_DISK], MANY);
    /* One write, or two at the end of the buffer, and a sync. */
    assert_true(sim_calls(w->s) - calls <= 3);
    world_end(w);
}

/* Writes units that are waited for. */
static void put_awaited(struct world *w, uint32_t n)
{
    struct xe_journal_room room;
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(xe_journal_reserve(w->j, 8, &room), XE_OK);
        await(w, xe_journal_commit(w->j, &room, "12345678", 8), ++w->last, XE_JOURNAL_DISK);
    }
}

/* However long they take, if a sync takes longer: the writer finds all of them. */
static void who_writes_again_after_a_sync_is_waited_for(void **state)
{
    enum { MANY = 10 };
    struct world *w = world_open(17);
    (void)state;
    put_awaited(w, MANY);
    xe_journal_run();
    assert_true(w->j->will_come_back && w->j->told == MANY);
    w->j->sync_ns = UINT64_C(3600) * 1000 * 1000 * 1000;
    uint64_t calls = sim_calls(w->s);
    assert_true(xe_journal_start(NULL));
    put_awaited(w, MANY);
    while (!xe_journal_has_reached(w->j, xe_journal_last(w->j), XE_JOURNAL_DISK))
        sched_yield();
    xe_journal_stop();
    check_told(w);
    assert_int_equal(w->acked[XE_JOURNAL_DISK], 2 * MANY);
    assert_true(sim_calls(w->s) - calls <= 3); /* one or two writes, and one sync */
    world_end(w);
}

static void who_does_not_write_again_is_not_waited_for(void **state)
{
    enum { MANY = 10 };
    struct world *w = world_open(18);
    (void)state;
    put_awaited(w, MANY);
    xe_journal_run();
    assert_true(w->j->will_come_back);
    w->j->sync_ns = 0; /* this time no longer than that */
    put_awaited(w, MANY / 2 - 1);
    xe_journal_run();
    check_told(w);
    assert_false(w->j->will_come_back);
    put_awaited(w, MANY);
    xe_journal_run();
    assert_true(w->j->will_come_back);
    xe_journal_run();
    put_awaited(w, 1); /* few need nobody's company */
    xe_journal_run();
    assert_false(w->j->will_come_back);
    check_told(w);
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
    await(w, ticket, 2, XE_JOURNAL_OS);
    assert_false(xe_journal_has_reached(w->j, ticket, XE_JOURNAL_OS));
    xe_journal_run();
    assert_true(xe_journal_has_reached(w->j, ticket, XE_JOURNAL_OS));
    assert_false(xe_journal_has_reached(w->j, ticket, XE_JOURNAL_DISK));
    await(w, ticket, 2, XE_JOURNAL_DISK);
    xe_journal_run();
    assert_true(xe_journal_has_reached(w->j, ticket, XE_JOURNAL_DISK));
    assert_true(w->acked[XE_JOURNAL_OS] == 2 && w->acked[XE_JOURNAL_DISK] == 2);
    xe_journal_cancel(w->j, &room[1]);
    xe_journal_info(w->j, &info);
    assert_true(info.number == 2 && info.written == 2 && info.synced == 2);
    assert_true(info.bytes == 2 * 48 && info.segments == 1 && info.checkpoint == 0);
    world_end(w);
}

static void a_flush_makes_all_journals_safe(void **state)
{
    struct world *w = world_open(11);
    struct xe_journal_info info;
    uint64_t v;
    (void)state;
    put_units(w, 20);
    assert_true(xe_journal_flush(0));
    xe_journal_info(w->j, &info);
    assert_true(info.written == 20 && info.synced == 20);
    sim_crash(w->s, 0);
    assert_false(close_table(w));
    sim_power_off(w->s);
    assert_true(open_table(w, &v));
    assert_int_equal(v, 20);
    world_end(w);
}

/* Its place comes before that of a unit that is whole: neither can be written. */
static void a_flush_waits_for_what_is_being_copied(void **state)
{
    struct world *w = world_open(12);
    struct xe_journal_room room[2];
    struct xe_journal_info info;
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(xe_journal_reserve(w->j, 0, &room[i]), XE_OK);
    uint64_t at = atomic_fetch_add(&w->j->tail, xe_unit_bytes(0));
    atomic_fetch_add(&w->j->commits, 1);
    xe_journal_commit(w->j, &room[1], "", 0);
    assert_false(xe_journal_flush(1000000));
    xe_journal_info(w->j, &info);
    assert_true(info.number == 2 && info.written == 0);
    xe_store64(w->j->ring + at, XE_UNIT_TAG);
    assert_true(xe_journal_flush(0));
    xe_journal_info(w->j, &info);
    assert_true(info.written == 2 && info.synced == 2);
    world_end(w);
}

static void journals_are_adopted_by_layout_while_none_is_open(void **state)
{
    struct world *w = world_open(12);
    uint64_t *other = calloc(1, 1024);
    (void)state;
    assert_false(xe_journal_adopt(NULL));
    assert_false(xe_journal_adopt(other)); /* of no layout */
    memcpy(other, xe_journal_domain(), sizeof *other);
    assert_false(xe_journal_adopt(other)); /* one is open here */
    assert_true(xe_journal_adopt(xe_journal_domain()));
    free(other);
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
    uint64_t v;
    (void)state;
    assert_null(xe_journal_open(&o, &error));
    assert_int_equal(error.code, XE_IO_LOCKED);
    assert_false(xe_journal_destroy(sim_io(w->s), DIR, &error));
    assert_int_equal(error.code, XE_IO_LOCKED);
    put_units(w, 10);
    assert_true(close_table(w) && open_table(w, &v));
    assert_int_equal(v, 10);
    world_end(w);
}

/* Everything a journal does to its files, while its path is that of another one's. */
static void fill_and_checkpoint(struct world *w)
{
    for (int i = 0; i < 3; i++) {
        put_units(w, 30);
        xe_journal_run();
        assert_true(put_checkpoint(w));
        xe_journal_run();
    }
    put_units(w, 10);
}

/* The table at DIR has at least what was acknowledged. */
static void assert_kept(struct world *w)
{
    uint64_t v;
    assert_true(open_table(w, &v));
    assert_true(v >= w->acked[XE_JOURNAL_DISK]);
    assert_true(close_table(w));
}

static void a_directory_may_be_moved(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world *w = world_open(seed), *other = world_open(seed + 100);
        struct sim *s = w->s;
        struct xe_io_error error;
        uint64_t v;
        bool closed = seed % 2;
        assert_true(close_table(other));
        sim_free(other->s);
        other->s = s;
        fill_and_checkpoint(w);
        assert_true(xe_io_rename(sim_io(s), DIR, "/moved", &error));
        assert_true(open_table(other, &v));
        assert_int_equal(v, 0);
        put_units(other, 20);
        fill_and_checkpoint(w);
        fill_and_checkpoint(other);
        fill_and_checkpoint(w);
        if (!closed)
            sim_power_off(s);
        assert_int_equal(close_table(w), closed);
        assert_int_equal(close_table(other), closed);
        assert_kept(other);
        assert_true(xe_io_rename(sim_io(s), DIR, "/other", &error));
        assert_true(xe_io_rename(sim_io(s), "/moved", DIR, &error));
        assert_kept(w);
        free(other);
        world_end(w);
    }
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
    assert_int_equal(error.code, XE_IO_NO_TABLE);
    assert_false(xe_journal_destroy(sim_io(w->s), DIR, &error));
    assert_int_equal(error.code, XE_IO_NO_TABLE);
    assert_null(sim_name(w->s, 1)); /* no LOCK was left in the directory */
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
        while (replay_next(xe_journal_replay(j), &u, &error) == XE_REPLAY_UNIT)
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
    assert_true(replay_verify(&xe_io_system, dir, &error));
    assert_true(xe_journal_destroy(&xe_io_system, dir, &error));
    assert_true(xe_io_rmdir(&xe_io_system, at, &error));
    xe_cb.free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_closed_table_is_found_as_it_was),
        TEST(opening_and_closing_leaves_nothing_behind),
        TEST(a_nearly_full_disk_is_filled),
        TEST(nothing_is_acknowledged_after_a_failure),
        TEST(who_waits_for_room_is_told),
        TEST(what_nobody_waits_for_is_written_with_what_comes_next),
        TEST(much_is_written_at_once),
        TEST(nobody_need_ask_for_what_comes_later),
        TEST(the_bytes_of_units_are_summed_up),
        TEST(many_who_wait_share_a_sync),
        TEST(who_writes_again_after_a_sync_is_waited_for),
        TEST(who_does_not_write_again_is_not_waited_for),
        TEST(a_unit_is_written_when_all_before_it_are_there),
        TEST(a_flush_makes_all_journals_safe),
        TEST(a_flush_waits_for_what_is_being_copied),
        TEST(journals_are_adopted_by_layout_while_none_is_open),
        TEST(a_checkpoint_makes_segments_needless),
        TEST(a_directory_has_one_journal),
        TEST(a_directory_may_be_moved),
        TEST(a_missing_table_is_made_only_when_asked_for),
        TEST(allocations_may_fail),
        TEST(the_systems_files_serve_as_well),
        TEST(killed_at_any_call),
        TEST(without_power_at_any_call),
        TEST(after_an_error_at_any_call),
        TEST(after_a_full_disk_and_without_power),
    };
    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
