/*
 * calls_verify.c - calls about directories that nobody has open: verifying, destroying.
 *
 * Verifying reads all that there is, step by step: durable_verify_open, then durable_verify until it
 * says what it has found. The directory is locked meanwhile: what somebody writes to it would look
 * like damage. What is open is a resource; is it forgotten, because its process is dead,
 * the reclaimer closes it.
 */
#include <limits.h>

#include "../core/reclaim.h"
#include "call.h"
#include "durable.h"

struct verification {
    struct xe_reclaim_job job;
    struct xe_io_dir dir;
    struct xe_file *lock;
    struct xe_replay *replay;
};

/* NULL while a call has it, and when it has ended. */
struct handle {
    _Atomic(struct verification *) at;
};

static ErlNifResourceType *type;

static void verification_end(struct xe_reclaim_job *job)
{
    struct verification *v = (struct verification *)job; /* its first member */
    struct xe_io_error ignored;
    xe_replay_close(v->replay);
    xe_file_close(v->lock, &ignored);
    xe_io_let_go(&v->dir);
    enif_free(v);
}

static void destroy(ErlNifEnv *env, void *obj)
{
    struct verification *v = atomic_load_explicit(&((struct handle *)obj)->at, memory_order_acquire);
    (void)env;
    if (v) {
        v->job.run = verification_end;
        xe_reclaim_push_io(&v->job);
    }
}

static ERL_NIF_TERM make_error(ErlNifEnv *env, const struct xe_io_error *error)
{
    return enif_make_tuple2(env, xe_am.error, xe_durable_make_error(env, error));
}

/* durable_verify_open(Dir) -> {ok, Verification} | {error, Error} */
ERL_NIF_TERM durable_verify_open_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    char dir[PATH_MAX];
    struct xe_io_error error = {0};
    (void)argc;
    if (!xe_durable_get_path(env, argv[0], dir))
        return enif_make_badarg(env);
    struct verification *v = enif_alloc(sizeof *v);
    struct handle *h = v ? enif_alloc_resource(type, sizeof *h) : NULL;
    if (!h) {
        if (v)
            enif_free(v);
        return xe_call_raise(env, XE_CALL_LIMIT);
    }
    *v = (struct verification){.replay = NULL};
    if (xe_io_hold(&xe_io_system, dir, &v->dir, &error) &&
        xe_replay_lock(&v->dir.io, dir, &v->lock, &error))
        v->replay = xe_replay_open(&v->dir.io, dir, false, &error);
    atomic_init(&h->at, v->replay ? v : NULL);
    if (!v->replay)
        verification_end(&v->job);
    ERL_NIF_TERM term = enif_make_resource(env, h);
    enif_release_resource(h);
    return error.code ? make_error(env, &error) : enif_make_tuple2(env, xe_am.ok, term);
}

/* durable_verify(Verification) -> more | ok | {error, Error} */
ERL_NIF_TERM durable_verify_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void *obj;
    struct xe_io_error error = {0};
    (void)argc;
    if (!enif_get_resource(env, argv[0], type, &obj))
        return enif_make_badarg(env);
    struct handle *h = obj;
    /* Acquire: pairs with the store below. */
    struct verification *v = atomic_exchange_explicit(&h->at, NULL, memory_order_acquire);
    if (!v)
        return enif_make_badarg(env);
    enum xe_replay_status status = xe_replay_verify(v->replay, &error);
    if (status == XE_REPLAY_MORE) {
        atomic_store_explicit(&h->at, v, memory_order_release);
        return xe_am.more;
    }
    verification_end(&v->job);
    return status == XE_REPLAY_END ? xe_am.ok : make_error(env, &error);
}

/* durable_destroy(Dir) -> ok | {error, Error} */
ERL_NIF_TERM durable_destroy_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    char dir[PATH_MAX];
    struct xe_io_error error = {0};
    (void)argc;
    if (!xe_durable_get_path(env, argv[0], dir))
        return enif_make_badarg(env);
    return xe_journal_destroy(&xe_io_system, dir, &error) ? xe_am.ok : make_error(env, &error);
}

bool xe_verify_open_types(ErlNifEnv *env, ErlNifResourceFlags flags)
{
    type = enif_open_resource_type(env, NULL, "xets_verification", destroy, flags, NULL);
    return type;
}
