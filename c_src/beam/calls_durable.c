/*
 * calls_durable.c - calls about tables that are kept in a directory: opening, waiting, checkpoints.
 *
 * src/xets_durable.erl puts them together. A table is opened so:
 *
 *   durable_open      opens the journal, and locks the directory
 *   durable_prepare   makes a hidden table (owner.h)
 *   durable_replay    some of what the files have, into that table; until it is all
 *   durable_attach    from now on what is written to the table goes to the journal
 *   durable_show      the table is there
 *
 * A checkpoint is a snapshot in a file: checkpoint_begin, checkpoint_write until it is all.
 * Whatever takes long is cut into pieces of about a MiB, on dirty schedulers.
 */
#define _GNU_SOURCE /* dladdr() */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>

#include "call.h"
#include "dump.h"
#include "durable.h"
#include "durable_unit.h"
#include "estate.h"
#include "file_flat.h"

enum { SOME_BYTES = 1024 * 1024 };

static ErlNifResourceType *job_type;

static ERL_NIF_TERM make_ok(ErlNifEnv *env, ERL_NIF_TERM result)
{
    return enif_make_tuple2(env, xe_am.ok, result);
}

static ERL_NIF_TERM make_error(ErlNifEnv *env, const struct xe_io_error *error)
{
    return enif_make_tuple2(env, xe_am.error, xe_durable_make_error(env, error));
}

bool xe_durable_get_path(ErlNifEnv *env, ERL_NIF_TERM term, char *path)
{
    ErlNifBinary bin;
    if (!enif_inspect_binary(env, term, &bin) || bin.size == 0 || bin.size >= PATH_MAX ||
        memchr(bin.data, 0, bin.size))
        return false;
    memcpy(path, bin.data, bin.size);
    path[bin.size] = 0;
    return true;
}

static bool get_level(ERL_NIF_TERM term, enum xe_durable_level *out)
{
    *out = term == xe_am.memory ? XE_DURABLE_MEMORY
           : term == xe_am.disk ? XE_DURABLE_DISK
                                : XE_DURABLE_OS;
    return *out != XE_DURABLE_OS || term == xe_am.os;
}

/* The log, for this call alone. NULL: it is none, or is used by another call. */
static struct xe_durable *take(ErlNifEnv *env, ERL_NIF_TERM term)
{
    struct xe_log *log = xe_durable_get(env, term);
    /* Acquire: pairs with give_back(). */
    return log && !atomic_exchange_explicit(&log->durable->is_busy, true, memory_order_acquire)
               ? log->durable
               : NULL;
}

static void give_back(struct xe_durable *d)
{
    atomic_store_explicit(&d->is_busy, false, memory_order_release);
}

/* --- Opening ------------------------------------------------------------------ */

/* When the checkpoint was written. The first one has no changes, and nobody has asked for it. */
static void note_time(struct xe_durable *d, const char *path, uint64_t s)
{
    struct stat st;
    if (s > 0 && stat(path, &st) == 0)
        atomic_store_explicit(&d->checkpoint_time, (int64_t)st.st_mtime, memory_order_relaxed);
}

/* {Log, Metadata, the path of what has them}. False: out of memory. */
static bool make_opened(ErlNifEnv *env, struct xe_log *log, const char *dir,
                        const struct xe_replay_meta *had, ERL_NIF_TERM *out)
{
    ERL_NIF_TERM meta, file;
    char *path = had->of_segment ? xe_journal_segment_path(dir, had->number)
                                 : xe_journal_checkpoint_path(dir, had->number);
    if (!path)
        return false;
    memcpy(enif_make_new_binary(env, had->n, &meta), had->bytes, had->n);
    memcpy(enif_make_new_binary(env, strlen(path), &file), path, strlen(path));
    if (!had->of_segment)
        note_time(log->durable, path, had->number);
    xe_cb.free(path);
    *out = enif_make_tuple3(env, enif_make_resource(env, log), meta, file);
    return true;
}

/* Takes the journal over, and goes to where it is read. *out: see make_opened(). */
static bool begin_reading(ErlNifEnv *env, struct xe_journal *journal,
                          const struct xe_journal_options *options, enum xe_durable_level level,
                          uint64_t after, ERL_NIF_TERM *out, struct xe_io_error *error)
{
    const char *dir = options->dir;
    struct xe_tablefile_info info;
    struct xe_replay_meta meta;
    struct xe_io_error ignored;
    uint64_t s;
    const struct xe_tablefile_reader *checkpoint =
        xe_replay_checkpoint(xe_journal_replay(journal), &s);
    xe_replay_meta(xe_journal_replay(journal), &meta);
    struct xe_log *log = xe_durable_new(env, journal, dir, meta.bytes, meta.n);
    if (!log) {
        xe_journal_close(journal, &ignored);
        return xe_io_no_memory(error, dir);
    }
    struct xe_durable *d = log->durable;
    d->level = level;
    d->after = after;
    d->segment = UINT64_MAX; /* none */
    xe_durable_grown_anew(d);
    d->part = checkpoint ? XE_DURABLE_CHECKPOINT : XE_DURABLE_JOURNAL;
    d->is_done = true;
    d->salvage = options->salvage;
    bool ok = xe_fill_begin(&d->fill);
    if (checkpoint) {
        xe_tablefile_info(checkpoint, &info);
        d->fill.expected = XE_FILL_AS_SO_FAR;
        d->fill.external = info.bytes;
    }
    if (!ok || !make_opened(env, log, dir, &meta, out)) {
        if (!ok)
            d->fill = (struct xe_fill){.n = 0};
        xe_durable_close(env, d);
        ok = xe_io_no_memory(error, dir);
    }
    enif_release_resource(log);
    return ok;
}

/* durable_open(Dir, Metadata | salvage, Level, After) -> {ok, {Log, Metadata, Path}} | {error, Error} */
ERL_NIF_TERM durable_open_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    char dir[PATH_MAX];
    ErlNifBinary meta = {.size = 0};
    enum xe_durable_level level;
    ErlNifUInt64 after;
    struct xe_io_error error = {0};
    ERL_NIF_TERM result = 0;
    (void)argc;
    bool salvage = argv[1] == xe_am.salvage;
    if (!xe_durable_get_path(env, argv[0], dir) ||
        !(salvage || enif_inspect_binary(env, argv[1], &meta)) || meta.size > XE_JOURNAL_META ||
        !get_level(argv[2], &level) || !enif_get_uint64(env, argv[3], &after))
        return enif_make_badarg(env);
    const struct xe_journal_options options = {.io = &xe_io_system, .dir = dir, .create = !salvage,
                                               .meta = meta.data, .meta_bytes = meta.size,
                                               .salvage = salvage};
    struct xe_journal *journal = xe_journal_open(&options, &error);
    if (!journal || !begin_reading(env, journal, &options, level, after, &result, &error))
        return make_error(env, &error);
    return make_ok(env, result);
}

/* durable_seed() -> for the hashes of a table that is made. */
ERL_NIF_TERM durable_seed_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    (void)argv;
    return enif_make_uint64(env, xe_io_system.random(&xe_io_system));
}

enum step {
    STEP_MORE,
    STEP_PAUSE, /* that was long enough for one call */
    STEP_DONE,
    STEP_FAILED,
};

/* After damage of the checkpoint: goes behind it, if that is allowed. */
static enum xe_tablefile_status pass_over(struct xe_durable *d, struct xe_tablefile_reader *reader,
                                          struct xe_io_error *error)
{
    enum xe_tablefile_status status = XE_TABLEFILE_MORE;
    if (!d->salvage || error->code != XE_IO_DAMAGED)
        return XE_TABLEFILE_FAILED;
    while (status == XE_TABLEFILE_MORE)
        status = xe_tablefile_salvage(reader, &d->lost.bytes, error);
    return status;
}

/* The next record of the checkpoint. */
static enum step next_record(struct xe_durable *d, struct xe_io_error *error)
{
    uint64_t s;
    struct xe_tablefile_reader *reader =
        xe_replay_checkpoint(xe_journal_replay(d->journal), &s);
    while (!(d->bytes = xe_tablefile_record(&d->block, &d->size))) {
        enum xe_tablefile_status status = xe_tablefile_next(reader, &d->block, error);
        if (status == XE_TABLEFILE_FAILED) {
            status = pass_over(d, reader, error);
            d->block.records = 0;
        }
        if (status != XE_TABLEFILE_OK)
            return status == XE_TABLEFILE_LAST ? STEP_DONE : STEP_FAILED;
        d->first = d->block.at;
    }
    return STEP_MORE;
}

/* The next unit of the journal. */
static enum step next_unit(struct xe_durable *d, struct xe_io_error *error)
{
    struct xe_replay_unit unit;
    d->bytes = NULL;
    switch (xe_replay_next(xe_journal_replay(d->journal), &unit, error)) {
    case XE_REPLAY_UNIT:
        d->bytes = unit.bytes;
        d->size = unit.n;
        xe_durable_has_read(d, unit.segment, unit.n);
        d->offset = unit.offset;
        return STEP_MORE;
    case XE_REPLAY_MORE:
        return STEP_PAUSE;
    case XE_REPLAY_END:
        return STEP_DONE;
    default:
        return STEP_FAILED;
    }
}

/* What is being read could not be done; bytes that are whole, but mean nothing, are damage. */
static enum step fail_step(struct xe_durable *d, enum xe_fill_status status,
                           struct xe_io_error *error)
{
    bool is_unit = d->part == XE_DURABLE_JOURNAL;
    uint64_t s;
    xe_replay_checkpoint(xe_journal_replay(d->journal), &s);
    char *path = is_unit ? xe_journal_segment_path(d->dir, d->segment)
                         : xe_journal_checkpoint_path(d->dir, s);
    if (path && (status == XE_FILL_BAD || status == XE_FILL_NO_OBJECT))
        xe_io_fail(error, XE_IO_DAMAGED, XE_IO_READ, path,
                   (is_unit ? d->offset : d->block.offset + (uint64_t)(d->bytes - d->first)) +
                       d->at,
                   is_unit ? "no change of a table" : "no object of a table");
    else
        xe_io_no_memory(error, path ? path : d->dir);
    if (path)
        xe_cb.free(path);
    return STEP_FAILED;
}

/* Some of what is being read, into the table. */
static enum xe_fill_status do_some(struct xe_durable *d, ErlNifEnv *env, ERL_NIF_TERM table,
                                   size_t most)
{
    switch (d->part) {
    case XE_DURABLE_CHECKPOINT:
        return xe_fill_some(&d->fill, env, table, d->bytes, d->size, most, &d->at);
    case XE_DURABLE_JOURNAL:
        return xe_unit_do(&d->fill, env, table, d->bytes, d->size, most, &d->at);
    default:
        return xe_fill_flush(&d->fill, env, table);
    }
}

/* Goes to what comes next. STEP_DONE: nothing. */
static enum step go_on(struct xe_durable *d, struct xe_io_error *error)
{
    enum step step = STEP_DONE;
    d->at = 0;
    if (d->part == XE_DURABLE_CHECKPOINT) {
        step = next_record(d, error);
        if (step == STEP_DONE)
            d->part = XE_DURABLE_JOURNAL;
    }
    if (d->part == XE_DURABLE_JOURNAL && step == STEP_DONE) {
        step = next_unit(d, error);
        if (step == STEP_DONE) {
            d->part = XE_DURABLE_REST;
            return STEP_MORE;
        }
    }
    return step;
}

/* Reads, and does again, about SOME_BYTES. */
static enum step replay(struct xe_durable *d, ErlNifEnv *env, ERL_NIF_TERM table,
                        struct xe_io_error *error)
{
    for (size_t left = SOME_BYTES; left > 0;) {
        if (d->is_done) {
            enum step step = go_on(d, error);
            if (step != STEP_MORE)
                return step == STEP_PAUSE ? STEP_MORE : step;
            d->is_done = false;
        }
        size_t before = d->at;
        enum xe_fill_status status = do_some(d, env, table, left);
        if (status == XE_FILL_RETRY)
            return STEP_MORE;
        bool is_bad = status == XE_FILL_BAD || status == XE_FILL_NO_OBJECT;
        d->lost.records += is_bad && d->salvage;
        if (status != XE_FILL_OK && !(is_bad && d->salvage))
            return fail_step(d, status, error);
        d->is_done = is_bad || d->part == XE_DURABLE_REST || d->at == d->size;
        left -= left < d->at - before + 1 ? left : d->at - before + 1;
    }
    return STEP_MORE;
}

/* durable_replay(Log, Table) -> more | ok | {error, Error} */
ERL_NIF_TERM durable_replay_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct xe_io_error error = {0};
    struct xe_durable *d = take(env, argv[0]);
    (void)argc;
    if (!d)
        return enif_make_badarg(env);
    enum step step = d->is_read ? STEP_DONE : replay(d, env, argv[1], &error);
    d->is_read = step == STEP_DONE;
    give_back(d);
    return step == STEP_MORE ? xe_am.more : step == STEP_DONE ? xe_am.ok : make_error(env, &error);
}

/* durable_lost(Log) -> {Changes, Bytes, Segments, Checkpoint, CheckpointBytes, Records}, before it
 * is attached. Checkpoint: whether it was lost. */
ERL_NIF_TERM durable_lost_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct xe_replay_lost lost;
    struct xe_durable *d = take(env, argv[0]);
    (void)argc;
    if (!d)
        return enif_make_badarg(env);
    bool is_read = d->is_read && !d->is_attached;
    if (is_read)
        xe_replay_lost(xe_journal_replay(d->journal), &lost);
    give_back(d);
    return is_read ? enif_make_tuple6(env, enif_make_uint64(env, lost.changes),
                                      enif_make_uint64(env, lost.bytes),
                                      enif_make_uint64(env, lost.segments),
                                      lost.checkpoint ? xe_am.yes : xe_am.no,
                                      enif_make_uint64(env, d->lost.bytes),
                                      enif_make_uint64(env, d->lost.records))
                   : enif_make_badarg(env);
}

/* durable_attach(Log, Table) -> ok | {error, Error} */
ERL_NIF_TERM durable_attach_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct xe_use use;
    struct xe_io_error error = {0};
    struct xe_log *log = xe_durable_get(env, argv[0]);
    struct xe_durable *d = take(env, argv[0]);
    (void)argc;
    if (!d)
        return enif_make_badarg(env);
    /* Not in a section: it may wait for the disk. */
    bool ok = d->is_read && xe_journal_begin(d->journal, &error);
    bool begun = ok && xe_use_again(env, argv[1], XE_NEED_WRITE, &use) == XE_BEGUN;
    if (begun) {
        ok = use.table->hidden && !xe_table_log(use.table->core);
        if (ok) {
            d->form = (struct xe_unit_form){.kind = use.table->kind,
                                            .keypos = use.table->keypos,
                                            .has_flat = xe_flat_is_usable(env)};
            d->is_attached = true;
            xe_durable_attach(log, use.table->core);
            xe_fill_end(&d->fill);
            d->fill = (struct xe_fill){.n = 0};
        }
        xe_use_end(&use);
    }
    give_back(d);
    return begun && ok ? xe_am.ok : error.code ? make_error(env, &error) : enif_make_badarg(env);
}

/* durable_close(Log) -> ok: one that is no table's. */
ERL_NIF_TERM durable_close_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct xe_durable *d = take(env, argv[0]);
    (void)argc;
    if (!d)
        return enif_make_badarg(env);
    if (!d->is_attached && xe_durable_is_open(d))
        xe_durable_close(env, d);
    give_back(d);
    return xe_am.ok;
}

/* durable_holder(Dir, Ref) -> none | opening | closing | {ok, Table} */
ERL_NIF_TERM durable_holder_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    char dir[PATH_MAX];
    ERL_NIF_TERM handle;
    (void)argc;
    if (!xe_durable_get_path(env, argv[0], dir))
        return enif_make_badarg(env);
    switch (xe_durable_holder(env, dir, argv[1], &handle)) {
    case XE_HOLDER_TABLE:
        return make_ok(env, handle);
    case XE_HOLDER_OPENING:
        return xe_am.opening;
    case XE_HOLDER_CLOSING:
        return xe_am.closing;
    case XE_HOLDER_NOMEM:
        return xe_call_raise(env, XE_CALL_LIMIT);
    case XE_HOLDER_NONE:
        break;
    }
    return xe_am.none;
}

/* --- Waiting -------------------------------------------------------------------- */

static ERL_NIF_TERM answer_waiting(ErlNifEnv *env, enum xe_reaching reaching,
                                   const struct xe_io_error *error)
{
    switch (reaching) {
    case XE_REACHED:
        return xe_am.ok;
    case XE_REACHING:
        return xe_am.wait;
    case XE_REACH_FAILED:
        return make_error(env, error);
    default:
        return xe_call_raise(env, XE_CALL_LIMIT);
    }
}

static ERL_NIF_TERM wait_for(ErlNifEnv *env, struct xe_durable *d, uint64_t ticket,
                             enum xe_durable_level level, ERL_NIF_TERM ref)
{
    ErlNifPid self;
    struct xe_io_error error = {0};
    if (xe_durable_is_due(d))
        return xe_am.checkpoint;
    enum xe_reaching reaching =
        xe_durable_wait(d, ticket, level, enif_self(env, &self), ref, &error);
    return answer_waiting(env, reaching, &error);
}

/* durable_wait(Log, Ticket | sync | closed, Ref) -> ok | checkpoint | wait | {error, Error}. Of
 * these `wait': a message comes, {Ref, ok}, or {Ref, failed | closed}: then ask again. `checkpoint':
 * one is due, which nobody else is told until the journal has grown by an eighth; after that ask
 * again. */
ERL_NIF_TERM durable_wait_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    ErlNifUInt64 ticket;
    ErlNifPid self;
    struct xe_io_error error = {0};
    struct xe_log *log = xe_durable_get(env, argv[0]);
    (void)argc;
    if (!log || !enif_is_ref(env, argv[2]))
        return enif_make_badarg(env);
    struct xe_durable *d = log->durable;
    if (enif_get_uint64(env, argv[1], &ticket))
        return wait_for(env, d, ticket, xe_durable_level(d), argv[2]);
    if (argv[1] != xe_am.closed)
        return wait_for(env, d, XE_DURABLE_ALL, XE_DURABLE_DISK, argv[2]);
    enum xe_reaching closing = xe_durable_listen(d, enif_self(env, &self), argv[2], &error);
    return answer_waiting(env, closing, &error);
}

/* durable_await_room(Log, Bytes, Ref) -> ok | wait: a message comes, {Ref, _}. Then there may be
 * room. */
ERL_NIF_TERM durable_await_room_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    ErlNifUInt64 bytes;
    ErlNifPid self;
    struct xe_log *log = xe_durable_get(env, argv[0]);
    (void)argc;
    if (!log || !enif_get_uint64(env, argv[1], &bytes) || !enif_is_ref(env, argv[2]))
        return enif_make_badarg(env);
    switch (xe_durable_await_room(log->durable, (size_t)bytes, enif_self(env, &self), argv[2])) {
    case XE_REACHED:
        return xe_am.ok;
    case XE_REACHING:
        return xe_am.wait;
    default:
        return xe_call_raise(env, XE_CALL_LIMIT);
    }
}

/* durable_flush() -> whether all journals are written and synced, as far as they went. On a dirty
 * scheduler. */
ERL_NIF_TERM durable_flush_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)env;
    (void)argc;
    (void)argv;
    return xe_journal_flush(XE_DURABLE_FLUSH_NS) ? xe_am.yes : xe_am.no;
}

/* durable_library() -> the file of this library, as the system has loaded it: which is the driver,
 * too (journal_drv.c). */
ERL_NIF_TERM durable_library_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    Dl_info info;
    ERL_NIF_TERM path;
    (void)argc;
    (void)argv;
    if (!dladdr(&xe_am, &info) || !info.dli_fname)
        return enif_make_badarg(env);
    size_t n = strlen(info.dli_fname);
    unsigned char *bytes = enif_make_new_binary(env, n, &path);
    if (!bytes)
        return xe_call_raise(env, XE_CALL_LIMIT);
    memcpy(bytes, info.dli_fname, n);
    return path;
}

static ERL_NIF_TERM log_of(ErlNifEnv *env, const struct xe_use *use)
{
    struct xe_log *log = xe_table_log(use->table->core);
    return log ? enif_make_resource(env, log) : xe_am.no;
}

/* durable_log(Table) -> Log | false | undefined */
static enum xe_result durable_log(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                  ERL_NIF_TERM *out)
{
    struct xe_use use;
    enum xe_result result;
    (void)budget;
    if (!xe_call_ask(env, argv[0], &use, &result, out))
        return result;
    *out = log_of(env, &use);
    xe_use_end(&use);
    return XE_CALL_OK;
}
XE_CALL(durable_log, 1)

/* durable_log_to_read(Table) -> Log | false: for who may read the table. */
static enum xe_result durable_log_to_read(ErlNifEnv *env, const ERL_NIF_TERM argv[],
                                          uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_use use;
    (void)budget;
    if (!xe_use_begin(env, argv[0], XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    *out = log_of(env, &use);
    xe_use_end(&use);
    return XE_CALL_OK;
}
XE_CALL(durable_log_to_read, 1)

/* durable_info(Log) -> {Level, Number, Written, Synced, Bytes, CheckpointTime | none,
 * Error | none} | closed */
ERL_NIF_TERM durable_info_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct xe_journal_info info;
    struct xe_io_error error;
    struct xe_log *log = xe_durable_get(env, argv[0]);
    (void)argc;
    if (!log)
        return enif_make_badarg(env);
    struct xe_durable *d = log->durable;
    if (!xe_durable_info(d, &info, &error))
        return xe_am.closed;
    int64_t time = atomic_load_explicit(&d->checkpoint_time, memory_order_relaxed);
    static ERL_NIF_TERM *const levels[] = {&xe_am.memory, &xe_am.os, &xe_am.disk};
    return enif_make_tuple7(
        env, *levels[xe_durable_level(d)], enif_make_uint64(env, info.number),
        enif_make_uint64(env, info.written), enif_make_uint64(env, info.synced),
        enif_make_uint64(env, info.bytes), time ? enif_make_int64(env, time) : xe_am.none,
        error.code ? xe_durable_make_error(env, &error) : xe_am.none);
}

/* --- The table -------------------------------------------------------------------- */

/* durable_show(Table, Settings) -> the table, as new/2 returns it. */
static enum xe_result durable_show(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                   ERL_NIF_TERM *out)
{
    struct xe_use use;
    struct xe_heir *heir;
    enum xe_result result = xe_call_get_heir(env, argv[1], budget, &heir);
    if (result != XE_CALL_OK)
        return result;
    if (xe_use_again(env, argv[0], XE_NEED_WRITE, &use) != XE_BEGUN || !use.table->hidden) {
        if (heir)
            xe_heir_drop(heir);
        return XE_CALL_BADARG;
    }
    result = xe_call_of_create(xe_owner_show(env, &use, heir, out));
    xe_use_end(&use);
    return result;
}
XE_CALL(durable_show, 2)

/* --- Checkpoints -------------------------------------------------------------------- */

/* A checkpoint that is being written: a resource. */
struct job {
    struct xe_reclaim_job job;
    struct xe_log *log; /* with a reference */
    struct xe_tablefile_writer *writer;
    struct xe_dump dump;
    uint64_t number; /* of the last change that it has */
    bool is_backup;  /* the journal has nothing to do with it */
    struct xe_io_dir dir; /* of a backup; that of a checkpoint is the journal's */
};

/* NULL while a call has it, and when it has ended. */
struct handle {
    _Atomic(struct job *) job;
};

/* Whether the job may write: a checkpoint only as long as the directory is that table's. Then it stays
 * so until let_go(). */
static bool hold(struct job *job)
{
    return job->is_backup || xe_durable_hold(job->log->durable);
}

static void let_go(struct job *job)
{
    if (!job->is_backup)
        xe_durable_let_go(job->log->durable);
}

static bool fail_closed(const char *dir, struct xe_io_error *error)
{
    return xe_io_fail(error, XE_IO_CLOSED, XE_IO_OPEN, dir, XE_IO_NOWHERE, "the table is closed");
}

/* What is left of a file that has not become whole is removed, or else by who opens the directory
 * next. */
static void job_end(struct job *job)
{
    struct xe_durable *d = job->log->durable;
    if (job->writer && hold(job)) {
        xe_tablefile_abort(job->writer);
        let_go(job);
    } else {
        xe_tablefile_leave(job->writer);
    }
    xe_io_let_go(&job->dir);
    xe_dump_end(&job->dump);
    if (!job->is_backup)
        atomic_store_explicit(&d->is_checkpointing, false, memory_order_release);
    enif_release_resource(job->log);
    enif_free(job);
}

static void job_reclaim(struct xe_reclaim_job *of)
{
    job_end((struct job *)of); /* its first member */
}

static void job_destroy(ErlNifEnv *env, void *obj)
{
    struct job *job = atomic_load_explicit(&((struct handle *)obj)->job, memory_order_acquire);
    (void)env;
    if (job) {
        job->job.run = job_reclaim;
        xe_reclaim_push_io(&job->job);
    }
}

/* In the gate: nothing is being committed. */
static void note_number(void *arg)
{
    struct job *job = arg;
    struct xe_durable *d = job->log->durable;
    job->number = xe_journal_number(d->journal);
    if (!job->is_backup)
        xe_durable_grown_anew(d);
}

/* The snapshot, and the number of its instant. */
static enum xe_status take_snapshot(ErlNifEnv *env, struct job *job, ERL_NIF_TERM *snapshot)
{
    struct xe_use use = {.table = xe_durable_table(job->log->durable)};
    if (!use.table)
        return XE_DEAD;
    use.slot = xe_epoch_enter();
    enum xe_status status = xe_owned_is_dead(use.table)
                                ? XE_DEAD
                                : xe_owner_snapshot_at(env, &use, true, note_number, job, snapshot);
    xe_use_end(&use);
    enif_release_resource(use.table);
    return status;
}

/* Takes the snapshot, and makes the file. `dir`: where. */
static bool job_begin(ErlNifEnv *env, struct job *job, const char *dir, ERL_NIF_TERM *snapshot,
                      struct xe_io_error *error)
{
    const struct xe_durable *d = job->log->durable;
    const struct xe_tablefile_options options = {
        .kind = XE_TABLEFILE_CHECKPOINT,
        .atomic = true,
        .sync = true,
        .exclusive = job->is_backup}; /* the directory may be somebody else's, too */
    if (job->is_backup && !xe_io_hold(&xe_io_system, dir, &job->dir, error))
        return false;
    enum xe_status status = take_snapshot(env, job, snapshot);
    if (status == XE_DEAD)
        return fail_closed(dir, error);
    if (status != XE_OK)
        return xe_io_fail(error, status == XE_RETRY ? EAGAIN : ENOMEM, XE_IO_MEMORY, dir,
                          XE_IO_NOWHERE, NULL);
    char *path = xe_journal_checkpoint_path(dir, job->number);
    if (!path)
        return xe_io_no_memory(error, dir);
    bool is_held = hold(job);
    if (is_held) {
        const struct xe_io_dir *in = job->is_backup ? &job->dir : xe_journal_dir(d->journal);
        job->writer = xe_tablefile_create(&in->io, path, &options, d->meta, d->meta_bytes, error);
        let_go(job);
    } else {
        fail_closed(dir, error);
    }
    xe_cb.free(path);
    return job->writer;
}

/* checkpoint_begin(Log, Dir | none) -> {ok, {Job, Snapshot}} | busy | {error, Error}. With a
 * directory, which is there, and empty, it is a backup. */
ERL_NIF_TERM checkpoint_begin_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    char dir[PATH_MAX];
    struct xe_io_error error = {0};
    ERL_NIF_TERM snapshot;
    struct xe_log *log = xe_durable_get(env, argv[0]);
    bool is_backup = enif_is_binary(env, argv[1]);
    (void)argc;
    if (!log || (is_backup && !xe_durable_get_path(env, argv[1], dir)))
        return enif_make_badarg(env);
    if (!is_backup &&
        atomic_exchange_explicit(&log->durable->is_checkpointing, true, memory_order_acq_rel))
        return xe_am.busy;
    struct job *job = enif_alloc(sizeof *job);
    struct handle *h = job ? enif_alloc_resource(job_type, sizeof *h) : NULL;
    if (!h) {
        if (job)
            enif_free(job);
        if (!is_backup)
            atomic_store_explicit(&log->durable->is_checkpointing, false, memory_order_release);
        return xe_call_raise(env, XE_CALL_LIMIT);
    }
    *job = (struct job){.log = log, .is_backup = is_backup};
    xe_dump_begin(&job->dump, env);
    enif_keep_resource(log);
    bool ok = job_begin(env, job, is_backup ? dir : log->durable->dir, &snapshot, &error);
    atomic_init(&h->job, ok ? job : NULL);
    if (!ok)
        job_end(job);
    ERL_NIF_TERM term = enif_make_resource(env, h);
    enif_release_resource(h);
    return ok ? make_ok(env, enif_make_tuple2(env, term, snapshot)) : make_error(env, &error);
}

/* Held. */
static bool job_finish(struct job *job, struct xe_io_error *error)
{
    struct xe_tablefile_writer *writer = job->writer;
    job->writer = NULL;
    if (!xe_tablefile_finish(writer, error))
        return false;
    if (!job->is_backup)
        xe_durable_checkpointed(job->log->durable, job->number);
    return true;
}

/* checkpoint_write(Job, Snapshot) -> more | ok | {error, Error} */
ERL_NIF_TERM checkpoint_write_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void *obj;
    struct xe_io_error error = {0};
    (void)argc;
    if (!enif_get_resource(env, argv[0], job_type, &obj))
        return enif_make_badarg(env);
    struct handle *h = obj;
    /* Acquire: pairs with the store below. */
    struct job *job = atomic_exchange_explicit(&h->job, NULL, memory_order_acquire);
    if (!job)
        return enif_make_badarg(env);
    enum xe_dump_status status = XE_DUMP_FAILED;
    bool ok = hold(job);
    if (ok) {
        status = xe_dump_some(&job->dump, env, argv[1], job->writer, &error);
        ok = status == XE_DUMP_DONE && job_finish(job, &error);
        let_go(job);
    } else {
        fail_closed(job->log->durable->dir, &error);
    }
    if (status == XE_DUMP_MORE) {
        atomic_store_explicit(&h->job, job, memory_order_release);
        return xe_am.more;
    }
    job_end(job);
    return ok ? xe_am.ok : error.code ? make_error(env, &error) : enif_make_badarg(env);
}

bool xe_durable_open_types(ErlNifEnv *env, ErlNifResourceFlags flags)
{
    job_type = enif_open_resource_type(env, NULL, "xets_checkpoint", job_destroy, flags, NULL);
    return job_type && xe_verify_open_types(env, flags) && xe_durable_start(env, flags);
}
