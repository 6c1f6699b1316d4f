/*
 * calls_tables.c - calls about tables as such: creation, deletion, information.
 */
#include "../core/pages.h"
#include "call.h"
#include "durable.h"
#include "estate.h"
#include "registry.h"
#include "term_native.h"

static ERL_NIF_TERM make_access(const struct xe_owned *t)
{
    enum xe_access access = atomic_load_explicit(&t->access, memory_order_relaxed);
    return access == XE_PUBLIC    ? xe_am.public
           : access == XE_PRIVATE ? xe_am.private
                                  : xe_am.protected;
}

/* {Type, Access, Named, KeyPos, Heir, Write, Read, Counters, Compressed}: checked by
 * xets:new/2 already. With a seed behind them from src/xets_tabfile.erl. */
static bool get_settings(ErlNifEnv *env, ERL_NIF_TERM name, ERL_NIF_TERM term,
                         struct xe_settings *s)
{
    const ERL_NIF_TERM *is;
    enum xe_kind kind;
    ErlNifUInt64 seed = 0;
    int n;
    if (!enif_is_atom(env, name) || !enif_get_tuple(env, term, &n, &is) || n < 9 || n > 10 ||
        (n == 10 && !enif_get_uint64(env, is[9], &seed)))
        return false;
    s->seed = seed;
    s->name = name;
    s->type = is[0];
    s->named = is[2] == xe_am.yes;
    s->write_concurrency = is[5];
    s->read_concurrency = is[6] == xe_am.yes;
    s->decentralized_counters = is[7] == xe_am.yes;
    s->compressed = is[8] == xe_am.yes;
    return xe_owner_get_kind(s->type, &kind) && xe_call_get_access(is[1], &s->access) &&
           enif_get_int(env, is[3], &s->keypos) && s->keypos >= 1;
}

/* What get_settings() leaves out, for it has checked the tuple. */
static ERL_NIF_TERM heir_of(ErlNifEnv *env, ERL_NIF_TERM settings)
{
    const ERL_NIF_TERM *is;
    int n;
    return enif_get_tuple(env, settings, &n, &is) ? is[4] : xe_am.none;
}

static enum xe_result new(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                          ERL_NIF_TERM *out)
{
    struct xe_settings settings;
    struct xe_heir *heir;
    if (!get_settings(env, argv[0], argv[1], &settings))
        return XE_CALL_BADARG;
    enum xe_result result = xe_call_get_heir(env, heir_of(env, argv[1]), budget, &heir);
    if (result != XE_CALL_OK)
        return result;
    return xe_call_of_create(xe_owner_create(env, &settings, heir, out));
}
XE_CALL(new, 2)

/* durable_prepare(Name, Settings): a table that is hidden (owner.h); its heir comes later. */
static enum xe_result durable_prepare(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                      ERL_NIF_TERM *out)
{
    struct xe_settings settings;
    (void)budget;
    if (!get_settings(env, argv[0], argv[1], &settings))
        return XE_CALL_BADARG;
    return xe_call_of_create(xe_owner_prepare(env, &settings, out));
}
XE_CALL(durable_prepare, 2)

static enum xe_result delete_table(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                   ERL_NIF_TERM *out)
{
    struct xe_use use;
    (void)budget;
    if (!xe_use_begin(env, argv[0], XE_NEED_END, &use))
        return XE_CALL_BADARG;
    bool mine = xe_owner_end(use.table);
    if (mine)
        xe_durable_owe_closing(use.table->core);
    bool dead = xe_owned_is_dead(use.table);
    xe_use_end(&use);
    *out = xe_am.yes;
    return mine ? XE_CALL_OK : dead ? XE_CALL_BADARG : XE_CALL_RETRY;
}
XE_CALL_WRITE(delete_table, 1)

static enum xe_result delete_all_objects(ErlNifEnv *env, const ERL_NIF_TERM argv[],
                                         uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_use use;
    (void)budget;
    if (!xe_use_begin(env, argv[0], XE_NEED_WRITE, &use))
        return XE_CALL_BADARG;
    enum xe_status status = xe_table_clear(use.table->core, use.slot, NULL);
    xe_use_end(&use);
    *out = xe_am.yes;
    return xe_call_of_core(status);
}
XE_CALL_WRITE(delete_all_objects, 1)

/* Segments that are gone through with the gate closed, on a normal scheduler. */
enum { GATED_INLINE = 250 };

/* The same, and how many they were. */
static enum xe_result delete_count_all(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                       ERL_NIF_TERM *out)
{
    struct xe_use use;
    uint64_t n = 0;
    bool patient = xe_call_is_patient(budget);
    if (!xe_use_begin(env, argv[0], XE_NEED_WRITE, &use))
        return XE_CALL_BADARG;
    enum xe_result result = XE_CALL_BUDGET;
    if (patient || xe_table_segments(use.table->core) <= GATED_INLINE)
        result = xe_call_of_core(xe_table_clear(use.table->core, use.slot, &n));
    xe_use_end(&use);
    *out = enif_make_uint64(env, n);
    return result;
}
XE_CALL_WRITE(delete_count_all, 1)

static enum xe_result snapshot(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                               ERL_NIF_TERM *out)
{
    struct xe_use use;
    bool patient = xe_call_is_patient(budget);
    if (!xe_use_begin(env, argv[0], XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    enum xe_status status = XE_RETRY;
    if (patient || xe_table_segments(use.table->core) <= GATED_INLINE)
        status = xe_owner_snapshot(env, &use, patient, out);
    xe_use_end(&use);
    /* Off the normal schedulers there is time to wait for the writes under way. */
    return status == XE_RETRY && !patient ? XE_CALL_BUDGET : xe_call_of_core(status);
}
XE_CALL(snapshot, 1)

static enum xe_result whereis(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                              ERL_NIF_TERM *out)
{
    struct xe_use use;
    (void)budget;
    if (!enif_is_atom(env, argv[0]))
        return XE_CALL_BADARG;
    *out = xe_am.undefined;
    if (xe_use_begin(env, argv[0], XE_NEED_NOTHING, &use)) {
        *out = xe_owner_term(env, use.table);
        xe_use_end(&use);
    }
    return XE_CALL_OK;
}
XE_CALL(whereis, 1)

/* Walking the segments of a large table takes longer than a normal scheduler should. */
static bool is_large(const struct xe_use *use)
{
    enum { SEGMENTS_INLINE = 4000 };
    return xe_table_segments(use->table->core) > SEGMENTS_INLINE;
}

/* The same for adding up what it takes: of a snapshot's segments every record may be looked at. */
static bool is_large_to_weigh(const struct xe_use *use)
{
    enum { SEGMENTS_INLINE = 16 };
    const struct xe_table *core = use->table->core;
    return xe_table_is_snapshot(core) && xe_table_segments(core) > SEGMENTS_INLINE;
}

static enum xe_result info(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                           ERL_NIF_TERM *out)
{
    struct xe_use use;
    enum xe_result asked;
    if (!xe_call_ask(env, argv[0], &use, &asked, out))
        return asked;
    const struct xe_owned *t = use.table;
    ERL_NIF_TERM owner = xe_owner_pid(t);
    bool large = budget != XE_TERM_NO_BUDGET && is_large_to_weigh(&use);
    if (!owner || large) {
        xe_use_end(&use);
        return large ? XE_CALL_BUDGET : XE_CALL_OK;
    }
    uint64_t bytes = xe_table_bytes(t->core) + sizeof *t + sizeof *t->estate +
                     xe_durable_memory(xe_table_log(t->core));
    ERL_NIF_TERM facts[] = {
        xe_owner_term(env, t),
        atomic_load_explicit(&t->name, memory_order_relaxed),
        xe_call_bool(t->is.named),
        owner,
        make_access(t),
        t->is.type,
        enif_make_int(env, t->is.keypos),
        xe_am.undefined, /* the size is size/1's */
        enif_make_uint64(env, (bytes + 7) / 8),
        xe_estate_heir(t->estate),
        xe_call_bool(t->is.read_concurrency),
        t->is.write_concurrency,
        xe_call_bool(t->is.decentralized_counters),
        xe_call_bool(t->is.compressed),
        enif_make_uint64(env, bytes),
        xe_call_bool(xe_table_is_snapshot(t->core)),
    };
    xe_use_end(&use);
    *out = enif_make_tuple_from_array(env, facts, sizeof facts / sizeof facts[0]);
    return XE_CALL_OK;
}
XE_CALL(info, 1)

static enum xe_result size(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                           ERL_NIF_TERM *out)
{
    struct xe_use use;
    enum xe_result asked;
    if (!xe_call_ask(env, argv[0], &use, &asked, out))
        return asked;
    bool large = budget != XE_TERM_NO_BUDGET && is_large(&use);
    if (!large)
        *out = enif_make_uint64(env, xe_table_size(use.table->core));
    xe_use_end(&use);
    return large ? XE_CALL_BUDGET : XE_CALL_OK;
}
XE_CALL(size, 1)

static ERL_NIF_TERM make_map(ErlNifEnv *env, ERL_NIF_TERM *keys, const uint64_t *values, size_t n)
{
    ERL_NIF_TERM map, terms[8];
    for (size_t i = 0; i < n; i++)
        terms[i] = enif_make_uint64(env, values[i]);
    enif_make_map_from_arrays(env, keys, terms, n, &map);
    return map;
}

static enum xe_result stats(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                            ERL_NIF_TERM *out)
{
    struct xe_use use;
    struct xe_table_stats s;
    enum xe_result asked;
    if (!xe_call_ask(env, argv[0], &use, &asked, out))
        return asked;
    bool large =
        budget != XE_TERM_NO_BUDGET && (is_large(&use) || is_large_to_weigh(&use));
    if (!large)
        xe_table_stats(use.table->core, &s);
    xe_use_end(&use);
    if (large)
        return XE_CALL_BUDGET;
    ERL_NIF_TERM keys[] = {xe_am.objects, xe_am.bytes, xe_am.segments, xe_am.image_bytes};
    uint64_t values[] = {s.objects, s.bytes, s.segments, s.image_bytes};
    *out = make_map(env, keys, values, 4);
    return XE_CALL_OK;
}
XE_CALL(stats, 1)

static enum xe_result info_all(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                               ERL_NIF_TERM *out)
{
    struct xe_pages_stats pages;
    (void)argv;
    (void)budget;
    xe_pages_stats(&pages);
    ERL_NIF_TERM keys[] = {xe_am.tables, xe_am.bytes, xe_am.mapped, xe_am.used};
    uint64_t values[] = {xe_registry_count(), xe_table_bytes_all() + xe_journal_memory_all(),
                         pages.mapped, pages.used};
    ERL_NIF_TERM map = make_map(env, keys, values, 4);
    uint32_t kinds = xe_native.kinds;
    enif_make_map_put(env, map, xe_am.terms, kinds ? xe_am.native : xe_am.portable, &map);
    enif_make_map_put(env, map, xe_am.native_terms, xe_native_names(env, kinds), out);
    return XE_CALL_OK;
}
XE_CALL(info_all, 0)
