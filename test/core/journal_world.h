/*
 * journal_world.h - a table for the tests of journals, whose state is the units that were written:
 * on a simulated disk, without a writing thread. xe_journal_run() does its work when a test says
 * so, and every test is the same each time. For one program each, which includes it once.
 */
#ifndef JOURNAL_WORLD_H
#define JOURNAL_WORLD_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "journal_format.h"
#include "replay.h"
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
static inline size_t unit_make(uint64_t seed, uint8_t *to)
{
    struct rng r = {seed};
    uint32_t kind = rng_below(&r, 40);
    size_t n = rng_below(&r, kind == 0 ? UNIT_MAX : kind < 4 ? BUFFER : 100);
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(rng_next(&r) >> 56);
    return n;
}

static inline void done(struct xe_journal_waiter *w, enum xe_status status)
{
    struct waiting *x = (struct waiting *)w;
    CHECK(!x->told);
    x->told = true;
    if (status == XE_OK && x->number > x->world->acked[x->level])
        x->world->acked[x->level] = x->number;
}

static inline void await(struct world *w, uint64_t ticket, uint64_t number,
                         enum xe_journal_level level)
{
    struct waiting *x = &w->waiting[w->n_waiting++];
    CHECK(w->n_waiting < WAITERS);
    *x = (struct waiting){.w.done = done, .world = w, .number = number, .level = level};
    enum xe_status status = xe_journal_await(w->j, ticket, level, &x->w);
    if (status != XE_RETRY)
        done(&x->w, status);
}

/* Everybody who waits has been told, once. */
static inline void check_told(struct world *w)
{
    for (uint32_t i = 0; i < w->n_waiting; i++)
        assert_true(w->waiting[i].told);
    w->n_waiting = 0;
}

static inline struct xe_journal_options options_of(struct world *w, bool create)
{
    return (struct xe_journal_options){.io = sim_io(w->s),
                                       .dir = DIR,
                                       .create = create,
                                       .meta = META,
                                       .meta_bytes = sizeof META,
                                       .buffer_bytes = BUFFER,
                                       .segment_bytes = SEGMENT};
}

static inline void notify_later(struct xe_journal *j)
{
#if XE_EPOCH_TSAN /* knows no fences */
    static _Atomic int all;
    atomic_fetch_add_explicit(&all, 1, memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
    xe_journal_notify_later(j);
}

/* Writes one unit. False: the journal has failed. */
static inline bool put_unit(struct world *w)
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
    if (rng_chance(&w->rng, 1, 2))
        notify_later(w->j);
    else
        xe_journal_notify(w->j);
    w->last++;
    w->seeds[w->last] = seed;
    assert_int_equal(xe_journal_number(w->j), w->last);
    if (rng_chance(&w->rng, 1, 2))
        await(w, ticket, w->last, rng_below(&w->rng, XE_JOURNAL_LEVELS));
    return true;
}

/* A checkpoint has one record: its number. */
static inline bool put_checkpoint(struct world *w)
{
    struct xe_tablefile_options how = {
        .kind = XE_TABLEFILE_CHECKPOINT, .atomic = true, .sync = true};
    uint64_t s = xe_journal_number(w->j);
    char *path = xe_journal_checkpoint_path(DIR, s);
    struct xe_tablefile_writer *t =
        xe_tablefile_create(&xe_journal_dir(w->j)->io, path, &how, META, sizeof META, &w->error);
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
static inline uint64_t read_checkpoint(struct xe_replay *r, struct xe_io_error *error)
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
static inline enum xe_replay_status replay(struct world *w, struct xe_replay *r, uint64_t *v,
                                           struct xe_io_error *error)
{
    struct xe_replay_unit u;
    enum xe_replay_status status;
    *v = read_checkpoint(r, error);
    if (*v == UINT64_MAX)
        return XE_REPLAY_FAILED;
    while ((status = replay_next(r, &u, error)) == XE_REPLAY_UNIT) {
        assert_int_equal(u.number, ++*v);
        assert_true(u.number <= w->last);
        assert_int_equal(u.n, unit_make(w->seeds[u.number], unit));
        assert_memory_equal(u.bytes, unit, u.n);
    }
    return status;
}

/* Opens, and replays. *v: the state found. */
static inline bool open_table(struct world *w, uint64_t *v)
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

static inline bool close_table(struct world *w)
{
    uint64_t last = w->last;
    bool ok = xe_journal_close(w->j, &w->error);
    w->j = NULL;
    check_told(w);
    if (ok)
        w->acked[XE_JOURNAL_OS] = w->acked[XE_JOURNAL_DISK] = last;
    return ok;
}

static inline void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    w->s = sim_new(seed);
    w->rng = rng_for(seed + 77);
}

static inline struct world *world_open(uint64_t seed)
{
    struct world *w = malloc(sizeof *w);
    uint64_t v;
    world_init(w, seed);
    assert_true(open_table(w, &v));
    assert_int_equal(v, 0);
    return w;
}

static inline void world_end(struct world *w)
{
    if (w->j)
        close_table(w);
    sim_free(w->s);
    free(w);
}

static inline void put_units(struct world *w, uint32_t n)
{
    for (uint64_t last = w->last + n; w->last < last;)
        assert_true(put_unit(w));
}

#endif
