/*
 * nif.c - the function table; loading, upgrading and unloading the library.
 *
 * A release upgrade loads the library of the new release beside that of the old one: a second
 * copy, with globals of its own. Both serve calls until the old code is purged, on the same
 * tables. Everything they share was made by the first copy, and is reached from `struct shared`,
 * the module's private data: the epochs, the pages, the core's counters, the registry of
 * tables, and which kinds of terms are native.
 *
 * Guarantees (referred to from tests)
 *   U1  An upgrade keeps every table, also while processes use them, on whatever scheduler.
 *   U2  Each of the things shared has a layout with a version. A copy that finds another
 *       version refuses to load, and leaves what is shared as it was; the old code stays.
 *   U3  What a copy has retired, queued or given to the emulator stays good after its
 *       module was purged: the library is linked with -z nodelete. So each copy keeps some
 *       hundred KiB, and 16 bytes of the C library's room for thread-local variables, which
 *       is enough for a hundred copies; the next one refuses to load.
 *   U4  One thread serves each lane of the reclaimer, and one the journals, that of the newest
 *       copy; those of older ones end by themselves. Unloading waits for nothing.
 *   U5  Which kinds of terms are native is decided by the first copy, for all: equal keys must
 *       have equal bytes.
 */
#include <pthread.h>

#include "../core/journal.h"
#include "../core/pages.h"
#include "../core/reclaim.h"
#include "../core/shared.h"
#include "call.h"
#include "durable.h"
#include "estate.h"
#include "files.h"
#include "term_native.h"

/*
 * To be raised with any change of what two copies share and no other version covers: what
 * stored terms look like, what a state of a table means. The sizes catch most of what is forgotten.
 */
#ifndef XE_NIF_LAYOUT
#define XE_NIF_LAYOUT 6
#endif

enum {
    SHARED_VERSION =
        XE_NIF_LAYOUT << 20 ^ sizeof(struct xe_owned) << 10 ^ sizeof(struct xe_settings) ^
        sizeof(struct xe_estate) << 5 ^ sizeof(struct xe_fixer) ^ sizeof(struct xe_native) << 2
};

/* What load and upgrade return when they refuse; src/xets.erl says it in words. */
enum { LOADED = 0, LOAD_FAILED = 1, LOAD_OTHER_LAYOUT = 2 };

struct shared {
    uint64_t version; /* first, so that every copy can read it */
    void *epochs;
    void *pages;
    void *core;
    void *registry;
    void *journals;
    void *durables;
    struct xe_native native; /* decided once: stored terms depend on it */
};

/* --- The core's callbacks ----------------------------------------------- */

static void *env_new(void)
{
    return enif_alloc_env();
}

static void env_free(void *env)
{
    enif_free_env(env);
}

static uint64_t ext_move(void *env, uint64_t handle)
{
    return enif_make_copy(env, handle);
}

static bool ext_equal(uint64_t a, uint64_t b)
{
    return enif_is_identical(a, b);
}

static int ext_compare(uint64_t a, uint64_t b)
{
    return enif_compare(a, b);
}

static const struct xe_callbacks callbacks = {
    .alloc = enif_alloc,
    .free = enif_free,
    .env_new = env_new,
    .env_free = env_free,
    .ext_move = ext_move,
    .ext_equal = ext_equal,
    .ext_compare = ext_compare,
    .object_equal = xe_term_object_equal,
    .log_begin = xe_durable_log_begin,
    .log_publish = xe_durable_log_publish,
    .log_end = xe_durable_log_end,
    .log_gone = xe_durable_log_gone,
};

ERL_NIF_TERM xe_call_nil;

/* --- Errors ------------------------------------------------------------- */

ERL_NIF_TERM xe_call_raise(ErlNifEnv *env, enum xe_result result)
{
    switch (result) {
    case XE_CALL_RETRY:
        return enif_raise_exception(env, xe_am.xets_retry);
    case XE_CALL_LIMIT:
        return enif_raise_exception(env, xe_am.system_limit);
    default:
        /* xe_use_begin() may have raised xets_retry already. */
        return enif_has_pending_exception(env, NULL) ? xe_call_nil : enif_make_badarg(env);
    }
}

/* --- Loading ------------------------------------------------------------ */

/* How often this copy is loaded: a module that is loaded again from the same file shares
 * the copy, and the reclaimer goes with the last one. Under the lock: unloading happens on
 * whichever thread drops the last reference to the code. */
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
static int loaded;

/* This copy's, if it is the first one. */
static struct shared own;

static bool start_reclaimer(void)
{
    pthread_mutex_lock(&loading);
    bool ok = loaded > 0 || (xe_reclaim_start(NULL) && xe_journal_start(NULL));
    loaded += ok;
    pthread_mutex_unlock(&loading);
    return ok;
}

static int start(ErlNifEnv *env, ErlNifResourceFlags flags)
{
    xe_atoms_init(env);
    xe_call_nil = enif_make_list_from_array(env, NULL, 0);
    bool ok = xe_core_init(&callbacks) == XE_OK && xe_term_init(env) && xe_owner_open(env, flags) &&
              xe_files_open(env, flags) && xe_durable_open_types(env, flags) && start_reclaimer();
    return ok ? LOADED : LOAD_FAILED;
}

static int load(ErlNifEnv *env, void **priv, ERL_NIF_TERM arg)
{
    xe_native_init(env, arg);
    int status = start(env, ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER);
    own = (struct shared){SHARED_VERSION,      xe_epoch_domain(),   xe_pages_domain(),
                          xe_core_domain(),    xe_owner_registry(), xe_journal_domain(),
                          xe_durable_domain(), xe_native};
    *priv = &own;
    return status;
}

static bool adopt(const struct shared *shared)
{
    return shared->version == SHARED_VERSION && xe_epoch_adopt(shared->epochs) &&
           xe_pages_adopt(shared->pages) && xe_core_adopt(shared->core) &&
           xe_owner_adopt(shared->registry) && xe_journal_adopt(shared->journals) &&
           xe_durable_adopt(shared->durables);
}

static int upgrade(ErlNifEnv *env, void **priv, void **old, ERL_NIF_TERM arg)
{
    (void)arg;
    if (!adopt(*old))
        return LOAD_OTHER_LAYOUT;
    xe_native_adopt(&((const struct shared *)*old)->native);
    *priv = *old;
    return start(env, ERL_NIF_RT_TAKEOVER);
}

/* All schedulers stand still meanwhile: it does not wait for the reclaimer, which may be taking
 * a large table apart, or waiting for a disk. */
static void unload(ErlNifEnv *env, void *priv)
{
    (void)env;
    (void)priv;
    pthread_mutex_lock(&loading);
    if (--loaded == 0) {
        xe_reclaim_dismiss();
        xe_journal_dismiss();
    }
    pthread_mutex_unlock(&loading);
}

#define XE_NIF(name, arity) {#name "_nif", arity, name##_nif, 0},

#define XE_NIF_IO(name, arity) {#name "_nif", arity, name##_nif, ERL_NIF_DIRTY_JOB_IO_BOUND},

static ErlNifFunc functions[] = {
    {"delete_nif", 1, delete_table_nif, 0},
    {"info_nif", 0, info_all_nif, 0},
    {"rename_nif", 2, rename_table_nif, 0},
    {"lookup_element_nif", 4, lookup_element_default_nif, 0},
    {"update_counter_nif", 4, update_counter_default_nif, 0},
    {"update_element_nif", 4, update_element_default_nif, 0},
    XE_NIF(new, 2)
    XE_NIF(info, 1)
    XE_NIF(size, 1)
    XE_NIF(stats, 1)
    XE_NIF(whereis, 1)
    XE_NIF(snapshot, 1)
    XE_NIF(delete_all_objects, 1)
    XE_NIF(delete_count_all, 1)
    XE_NIF(all, 0)
    XE_NIF(give_away, 3)
    XE_NIF(setopts, 3)
    XE_NIF(safe_fixtable, 2)
    XE_NIF(fixed, 1)
    XE_NIF(fixers, 1)
    XE_NIF(lookup, 2)
    XE_NIF(lookup_element, 3)
    XE_NIF(lookup_elements, 3)
    XE_NIF(lookup_many, 2)
    XE_NIF(member, 2)
    XE_NIF(first, 1)
    XE_NIF(first_lookup, 1)
    XE_NIF(last, 1)
    XE_NIF(last_lookup, 1)
    XE_NIF(next, 2)
    XE_NIF(next_lookup, 2)
    XE_NIF(prev, 2)
    XE_NIF(prev_lookup, 2)
    XE_NIF(slot, 2)
    XE_NIF(tab2list, 1)
    XE_NIF(insert, 2)
    XE_NIF(insert_new, 2)
    XE_NIF(put_new, 2)
    XE_NIF(replace, 3)
    XE_NIF(delete, 2)
    XE_NIF(delete_many, 2)
    XE_NIF(take_many, 2)
    XE_NIF(delete_object, 2)
    XE_NIF(take, 2)
    XE_NIF(update_counter, 3)
    XE_NIF(update_element, 3)
    XE_CALLS_ORDER(XE_NIF)
    XE_CALLS_MATCH(XE_NIF)
    XE_CALLS_EXPLAIN(XE_NIF)
    XE_CALLS_FILE_SEED(XE_NIF)
    XE_CALLS_FILE(XE_NIF_IO)
    XE_CALLS_DURABLE(XE_NIF)
    XE_CALLS_DURABLE_IO(XE_NIF_IO)
};

ERL_NIF_INIT(xets, functions, load, NULL, upgrade, unload)
