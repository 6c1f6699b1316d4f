/*
 * calls_file.c - calls of files of tables: src/xets_tabfile.erl goes through one step by step.
 *
 * All run on dirty IO schedulers, and each does a bounded piece of work. What is open is a resource,
 * used by one call at a time. Is it forgotten, above all because its process is dead, it is closed
 * by the reclaimer, off the schedulers; and what was written of a file that is not whole is removed.
 *
 * A file is written under another name in the same directory, and renamed when it is whole. That
 * name is drawn at random, and the file a new one: of several who write the same file each writes
 * his own, and who can make files in the directory cannot have another one written over by a link.
 */
#include <erl_nif.h>
/* erl_errno_id() is the emulator's list of names of errno, in the header for drivers. */
#include <erl_driver.h>
#include <errno.h>
#include <stdio.h>

#include "../core/reclaim.h"
#include "../core/tablefile.h"
#include "call.h"
#include "dump.h"
#include "files.h"
#include "fill.h"

/* Names of new files, in the directory of theirs: long enough that none is guessed, and as short as
 * that, for a path has a limit. */
#define NEW_NAME ".xets-%016llx"

enum {
    NAMES = 100,              /* that are tried for a new file */
    NAME_BYTES = 32,          /* of one */
    SOME_BYTES = 1024 * 1024, /* of objects that are read by one call */
};

/* A file that is being written. */
struct output {
    struct xe_reclaim_job job;
    struct xe_tablefile_writer *writer; /* NULL: somebody else writes it, or nobody any more */
    struct xe_file *file;               /* that somebody else writes */
    struct xe_dump *dump;
    bool sync;
    bool is_new; /* there is a file that has to be renamed, or removed */
    char *path, *new_path;
};

/* A file that is being read. */
struct input {
    struct xe_reclaim_job job;
    struct xe_tablefile_reader *reader;
    struct xe_tablefile_block block;
    const uint8_t *first; /* byte of the block, which is at block.offset of the file */
    const uint8_t *record; /* the one that objects are read of, or NULL */
    size_t size, at;
    bool is_read; /* to its end */
    struct xe_fill fill;
};

/* The resources: NULL while a call has what is behind it, and when it is closed. */
struct handle {
    _Atomic(void *) at;
};

static ErlNifResourceType *output_type, *input_type;

/* --- Handles ------------------------------------------------------------ */

/* What is behind a resource, for this call alone. NULL: it is none, or is used, or closed. */
static void *take(ErlNifEnv *env, ERL_NIF_TERM term, ErlNifResourceType *type, struct handle **h)
{
    void *obj;
    if (!enif_get_resource(env, term, type, &obj))
        return NULL;
    *h = obj;
    /* Acquire: pairs with give_back(). */
    return atomic_exchange_explicit(&(*h)->at, NULL, memory_order_acquire);
}

static void give_back(struct handle *h, void *it)
{
    atomic_store_explicit(&h->at, it, memory_order_release);
}

/* A resource for what is open; NULL: out of memory. */
static struct handle *handle_new(ErlNifResourceType *type, void *it)
{
    struct handle *h = enif_alloc_resource(type, sizeof *h);
    if (h)
        atomic_init(&h->at, it);
    return h;
}

static ERL_NIF_TERM handle_term(ErlNifEnv *env, struct handle *h)
{
    ERL_NIF_TERM term = enif_make_resource(env, h);
    enif_release_resource(h);
    return term;
}

/* --- Errors ------------------------------------------------------------- */

/* {error, {Code, Offset, Reason}} */
static ERL_NIF_TERM make_failure(ErlNifEnv *env, const char *code, uint64_t offset,
                                 const char *reason)
{
    ERL_NIF_TERM text = xe_am.none;
    if (reason) {
        size_t n = strlen(reason);
        memcpy(enif_make_new_binary(env, n, &text), reason, n);
    }
    return enif_make_tuple2(
        env, xe_am.error,
        enif_make_tuple3(env, enif_make_atom(env, code),
                         offset == XE_IO_NOWHERE ? xe_am.none : enif_make_uint64(env, offset),
                         text));
}

static ERL_NIF_TERM make_error(ErlNifEnv *env, const struct xe_io_error *error)
{
    const char *code = error->code > 0 ? erl_errno_id(error->code) : xe_io_code_name(error->code);
    return make_failure(env, code, error->offset, error->reason);
}

static ERL_NIF_TERM make_ok(ErlNifEnv *env, ERL_NIF_TERM result)
{
    return enif_make_tuple2(env, xe_am.ok, result);
}

/* --- Paths -------------------------------------------------------------- */

/* The path in a binary, and so many bytes more, to be freed by enif_free(). NULL: it is none, or
 * out of memory. */
static char *get_path(ErlNifEnv *env, ERL_NIF_TERM term, size_t more)
{
    ErlNifBinary bin;
    if (!enif_inspect_binary(env, term, &bin) || !bin.size || memchr(bin.data, 0, bin.size))
        return NULL;
    char *path = enif_alloc(bin.size + more + 1);
    if (path) {
        memcpy(path, bin.data, bin.size);
        path[bin.size] = 0;
    }
    return path;
}

static ERL_NIF_TERM make_path(ErlNifEnv *env, const char *path)
{
    ERL_NIF_TERM term;
    size_t n = strlen(path);
    memcpy(enif_make_new_binary(env, n, &term), path, n);
    return term;
}

/* --- Writing ------------------------------------------------------------ */

/* Closes a file that has not become whole, and removes it. */
static void output_end(struct output *o)
{
    struct xe_io_error ignored;
    xe_tablefile_abort(o->writer);
    xe_file_close(o->file, &ignored);
    if (o->is_new)
        xe_io_unlink(&xe_io_system, o->new_path, &ignored);
    if (o->dump) {
        xe_dump_end(o->dump);
        enif_free(o->dump);
    }
    enif_free(o->path);
    if (o->new_path)
        enif_free(o->new_path);
    enif_free(o);
}

static void output_reclaim(struct xe_reclaim_job *job)
{
    output_end((struct output *)job); /* its first member */
}

static void output_destroy(ErlNifEnv *env, void *obj)
{
    struct handle *h = obj;
    struct output *o = atomic_load_explicit(&h->at, memory_order_acquire);
    (void)env;
    if (o) {
        o->job.run = output_reclaim;
        xe_reclaim_push_io(&o->job);
    }
}

/* Makes the file under the name that was drawn: a writer's, or (no metadata) an empty one. */
static bool make_file(struct output *o, const ErlNifBinary *meta, struct xe_io_error *error)
{
    const struct xe_tablefile_options options = {
        .kind = XE_TABLEFILE_TABLE, .atomic = false, .sync = o->sync, .exclusive = true};
    if (meta)
        o->writer = xe_tablefile_create(&xe_io_system, o->new_path, &options, meta->data,
                                        meta->size, error);
    else if (!xe_io_open(&xe_io_system, o->new_path,
                         XE_IO_WRITABLE | XE_IO_CREATE | XE_IO_EXCLUSIVE, &o->file, error))
        o->file = NULL;
    o->is_new = o->writer || o->file;
    return o->is_new;
}

/* Makes the file, and the dump into it, if it has metadata: else somebody else writes it. */
static bool output_begin(ErlNifEnv *env, struct output *o, const ErlNifBinary *meta,
                         struct xe_io_error *error)
{
    const char *slash = strrchr(o->path, '/');
    size_t dir = slash ? (size_t)(slash - o->path) + 1 : 0;
    memcpy(o->new_path, o->path, dir);
    if (meta && !(o->dump = enif_alloc(sizeof *o->dump)))
        return xe_io_no_memory(error, o->path);
    if (meta)
        xe_dump_begin(o->dump, env);
    for (int i = 0; i < NAMES; i++) {
        unsigned long long drawn = xe_io_system.random(&xe_io_system);
        snprintf(o->new_path + dir, NAME_BYTES, NEW_NAME, drawn);
        if (make_file(o, meta, error))
            return true;
        if (error->code != EEXIST)
            break;
    }
    return false;
}

/* file_write(Path, Metadata | none, Sync) -> {ok, {Output, NewPath}} | {error, Error} */
ERL_NIF_TERM file_write_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    ErlNifBinary meta;
    struct xe_io_error error = {0};
    bool has_meta = enif_inspect_binary(env, argv[1], &meta);
    (void)argc;
    if (!enif_is_binary(env, argv[0]) || (!has_meta && argv[1] != xe_am.none))
        return enif_make_badarg(env);
    struct output *o = enif_alloc(sizeof *o);
    if (!o)
        return xe_call_raise(env, XE_CALL_LIMIT);
    *o = (struct output){.sync = argv[2] == xe_am.yes,
                         .path = get_path(env, argv[0], 0),
                         .new_path = get_path(env, argv[0], NAME_BYTES)};
    struct handle *h = handle_new(output_type, NULL);
    bool begun = o->path && o->new_path && h &&
                 output_begin(env, o, has_meta ? &meta : NULL, &error);
    if (!begun) {
        output_end(o);
        if (h)
            enif_release_resource(h);
        return error.code ? make_error(env, &error) : enif_make_badarg(env);
    }
    ERL_NIF_TERM path = make_path(env, o->new_path);
    give_back(h, o);
    return make_ok(env, enif_make_tuple2(env, handle_term(env, h), path));
}

/* file_seed(Snapshot) -> that of its hashes: objects that come in their order are soon stored in a
 * table with the same seed. */
ERL_NIF_TERM file_seed_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct xe_use use;
    (void)argc;
    if (!xe_dump_use(env, argv[0], &use))
        return enif_make_badarg(env);
    ERL_NIF_TERM seed = enif_make_uint64(env, use.table->seed);
    xe_use_end(&use);
    return seed;
}

/* file_dump(Output, Snapshot) -> more | ok | {error, Error} */
ERL_NIF_TERM file_dump_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct handle *h;
    struct xe_io_error error = {0};
    struct output *o = take(env, argv[0], output_type, &h);
    enum xe_dump_status status = XE_DUMP_BADARG;
    (void)argc;
    if (!o)
        return enif_make_badarg(env);
    if (o->writer)
        status = xe_dump_some(o->dump, env, argv[1], o->writer, &error);
    give_back(h, o);
    switch (status) {
    case XE_DUMP_MORE:
        return xe_am.more;
    case XE_DUMP_DONE:
        return xe_am.ok;
    case XE_DUMP_FAILED:
        return make_error(env, &error);
    case XE_DUMP_BADARG:
        break;
    }
    return enif_make_badarg(env);
}

/* The new file takes its place. */
static bool publish(struct output *o, struct xe_io_error *error)
{
    struct xe_tablefile_writer *writer = o->writer;
    o->writer = NULL;
    if (!(writer ? xe_tablefile_finish(writer, error)
                 : !o->sync || xe_file_sync(o->file, false, error)) ||
        !xe_io_rename(&xe_io_system, o->new_path, o->path, error))
        return false;
    o->is_new = false;
    if (!o->sync)
        return true;
    char *dir = xe_io_parent(o->path);
    bool synced = dir ? xe_io_sync_dir(&xe_io_system, dir, error) : xe_io_no_memory(error, o->path);
    if (dir)
        xe_cb.free(dir);
    return synced;
}

/* file_finish(Output) -> ok | {error, Error} */
ERL_NIF_TERM file_finish_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct handle *h;
    struct xe_io_error error = {0};
    struct output *o = take(env, argv[0], output_type, &h);
    (void)argc;
    if (!o)
        return enif_make_badarg(env);
    bool ok = publish(o, &error);
    output_end(o);
    return ok ? xe_am.ok : make_error(env, &error);
}

/* file_abort(Output) -> ok, also if it has been closed. */
ERL_NIF_TERM file_abort_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct handle *h;
    struct output *o = take(env, argv[0], output_type, &h);
    (void)argc;
    if (o)
        output_end(o);
    return xe_am.ok;
}

/* --- Reading ------------------------------------------------------------ */

static void input_end(struct input *in)
{
    xe_tablefile_close(in->reader);
    xe_fill_end(&in->fill);
    enif_free(in);
}

static void input_reclaim(struct xe_reclaim_job *job)
{
    input_end((struct input *)job); /* its first member */
}

static void input_destroy(ErlNifEnv *env, void *obj)
{
    struct handle *h = obj;
    struct input *in = atomic_load_explicit(&h->at, memory_order_acquire);
    (void)env;
    if (in) {
        in->job.run = input_reclaim;
        xe_reclaim_push_io(&in->job);
    }
}

static ERL_NIF_TERM make_meta(ErlNifEnv *env, const struct xe_tablefile_info *info)
{
    ERL_NIF_TERM term;
    memcpy(enif_make_new_binary(env, info->meta_bytes, &term), info->meta, info->meta_bytes);
    return term;
}

/* file_read(Path) -> {ok, {Input, Metadata}} | {error, Error} */
ERL_NIF_TERM file_read_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    enum { KIND_OFFSET = 12 };
    struct xe_tablefile_info info;
    struct xe_io_error error;
    char *path = get_path(env, argv[0], 0);
    (void)argc;
    if (!path)
        return enif_make_badarg(env);
    struct xe_tablefile_reader *reader = xe_tablefile_open(&xe_io_system, path, &error);
    enif_free(path);
    if (!reader)
        return make_error(env, &error);
    xe_tablefile_info(reader, &info);
    if (info.kind != XE_TABLEFILE_TABLE) {
        xe_tablefile_close(reader);
        return make_failure(env, "damaged", KIND_OFFSET, "another kind of file");
    }
    struct input *in = enif_alloc(sizeof *in);
    struct handle *h = in ? handle_new(input_type, NULL) : NULL;
    if (in)
        *in = (struct input){.reader = reader};
    if (!h || !xe_fill_begin(&in->fill)) {
        if (h)
            enif_release_resource(h);
        if (in)
            enif_free(in);
        xe_tablefile_close(reader);
        return xe_call_raise(env, XE_CALL_LIMIT);
    }
    in->fill.external = info.bytes;
    ERL_NIF_TERM meta = make_meta(env, &info);
    give_back(h, in);
    return make_ok(env, enif_make_tuple2(env, handle_term(env, h), meta));
}

/* Goes to the next record, of the next block if need be. */
static enum xe_tablefile_status next_record(struct input *in, struct xe_io_error *error)
{
    in->at = 0;
    in->record = in->first ? xe_tablefile_record(&in->block, &in->size) : NULL;
    while (!in->record) {
        enum xe_tablefile_status status = xe_tablefile_next(in->reader, &in->block, error);
        in->first = NULL;
        if (status != XE_TABLEFILE_OK)
            return status;
        in->first = in->block.at;
        in->record = xe_tablefile_record(&in->block, &in->size);
    }
    return XE_TABLEFILE_OK;
}

/* What was found at the object that comes next. */
static ERL_NIF_TERM make_found(ErlNifEnv *env, const struct input *in, enum xe_fill_status status)
{
    uint64_t offset = in->block.offset + (uint64_t)(in->record + in->at - in->first);
    switch (status) {
    case XE_FILL_RETRY:
        return xe_call_raise(env, XE_CALL_RETRY);
    case XE_FILL_NOMEM:
        return xe_call_raise(env, XE_CALL_LIMIT);
    case XE_FILL_BAD:
        return make_failure(env, "damaged", offset, "no object");
    case XE_FILL_NO_OBJECT:
        return make_failure(env, "no_object", offset, "no object with a key");
    default:
        return enif_make_badarg(env);
    }
}

/* The file was read to its end, and is valid. */
static ERL_NIF_TERM load_end(ErlNifEnv *env, struct input *in, ERL_NIF_TERM table)
{
    enum xe_fill_status status = xe_fill_flush(&in->fill, env, table);
    in->is_read = true;
    if (status == XE_FILL_RETRY && xe_call_owes())
        return xe_am.more;
    return status == XE_FILL_OK ? make_ok(env, enif_make_uint64(env, in->fill.objects))
                                : make_found(env, in, status);
}

/* More objects into the table. */
static ERL_NIF_TERM load(ErlNifEnv *env, struct input *in, ERL_NIF_TERM table)
{
    struct xe_io_error error;
    size_t left = SOME_BYTES;
    if (in->is_read)
        return load_end(env, in, table);
    while (left > 0) {
        if (!in->record || in->at == in->size) {
            enum xe_tablefile_status next = next_record(in, &error);
            if (next == XE_TABLEFILE_LAST)
                return load_end(env, in, table);
            if (next == XE_TABLEFILE_FAILED)
                return make_error(env, &error);
        }
        size_t before = in->at;
        enum xe_fill_status status =
            xe_fill_some(&in->fill, env, table, in->record, in->size, left, &in->at);
        if (status == XE_FILL_RETRY && xe_call_owes())
            return xe_am.more; /* first what was stored is waited for */
        if (status != XE_FILL_OK)
            return make_found(env, in, status);
        left -= left < in->at - before ? left : in->at - before;
    }
    return xe_am.more;
}

/* file_load(Input, TableIdentifier, Expected) -> more | {ok, Objects} | {error, Error}, each of which
 * may come as what has to be waited for, as from XE_CALL_WRITE. So many objects
 * are expected in an empty table. */
ERL_NIF_TERM file_load_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct handle *h;
    struct input *in = take(env, argv[0], input_type, &h);
    ErlNifUInt64 expected;
    (void)argc;
    if (!in)
        return enif_make_badarg(env);
    if (!in->first && enif_get_uint64(env, argv[2], &expected))
        in->fill.expected = expected;
    ERL_NIF_TERM result = load(env, in, argv[1]);
    give_back(h, in);
    return xe_call_answer_part(env, result); /* the table may be a durable one */
}

/* file_close(Input) -> ok, also if it has been closed. */
ERL_NIF_TERM file_close_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    struct handle *h;
    struct input *in = take(env, argv[0], input_type, &h);
    (void)argc;
    if (in)
        input_end(in);
    return xe_am.ok;
}

bool xe_files_open(ErlNifEnv *env, ErlNifResourceFlags flags)
{
    output_type = enif_open_resource_type(env, NULL, "xets_output", output_destroy, flags, NULL);
    input_type = enif_open_resource_type(env, NULL, "xets_input", input_destroy, flags, NULL);
    return output_type && input_type;
}
