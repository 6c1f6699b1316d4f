/*
 * nif_lib.h - what the native libraries of the tests share: the frame of their functions, and
 * terms in and out. Included once, before anything else.
 */
#include "nif_alloc.h"

#include <string.h>

#include "../c_src/beam/term.h"
#include "../c_src/beam/term_native.h"

#define NIF(name) static ERL_NIF_TERM name(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
#define UNUSED_ARGS ((void)argc, (void)argv)

/* No integer: no budget. */
static inline uint64_t get_budget(ErlNifEnv *env, ERL_NIF_TERM t)
{
    ErlNifUInt64 budget;
    return enif_get_uint64(env, t, &budget) ? budget : XE_TERM_NO_BUDGET;
}

static inline int get_int(ErlNifEnv *env, ERL_NIF_TERM t)
{
    int i = 0;
    enif_get_int(env, t, &i);
    return i;
}

static inline ERL_NIF_TERM make_bool(ErlNifEnv *env, bool b)
{
    return enif_make_atom(env, b ? "true" : "false");
}

static inline ERL_NIF_TERM make_bytes(ErlNifEnv *env, const uint8_t *bytes, size_t size)
{
    ERL_NIF_TERM t;
    memcpy(enif_make_new_binary(env, size, &t), bytes, size);
    return t;
}

static inline ERL_NIF_TERM make_status(ErlNifEnv *env, enum xe_term_status status)
{
    return enif_make_atom(env, status == XE_TERM_OK       ? "ok"
                               : status == XE_TERM_BUDGET ? "budget"
                                                          : "nomem");
}

static inline ERL_NIF_TERM make_result(ErlNifEnv *env, enum xe_term_status status, ERL_NIF_TERM t)
{
    return status == XE_TERM_OK ? enif_make_tuple2(env, make_status(env, status), t)
                                : make_status(env, status);
}

/* fail_after(N): N more allocations succeed, then all fail; negative: none fails. The number
 * of blocks allocated and not freed. */
NIF(fail_after)
{
    UNUSED_ARGS;
    until_failure = get_int(env, argv[0]);
    return enif_make_long(env, live_blocks);
}
