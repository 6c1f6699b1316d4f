/*
 * calls_owner.c - calls about whose a table is: giving it away, heirs, names, fixations.
 */
#include "call.h"
#include "estate.h"
#include "registry.h"

/* --- Arguments ---------------------------------------------------------- */

bool xe_call_get_access(ERL_NIF_TERM term, enum xe_access *out)
{
    *out = term == xe_am.public ? XE_PUBLIC : term == xe_am.private ? XE_PRIVATE : XE_PROTECTED;
    return *out != XE_PROTECTED || term == xe_am.protected;
}

/* Encoding stops where the budget ends; nothing else in the interface of the emulator tells the
 * size of a term in bounded time. */
enum xe_result xe_call_gauge(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t budget)
{
    struct xe_encoder e;
    ERL_NIF_TERM elements[] = {xe_am.none, term};
    if (xe_term_is_immediate(term) || budget == XE_TERM_NO_BUDGET)
        return XE_CALL_OK;
    xe_encoder_init(&e, env, budget);
    enum xe_result result = xe_call_of_term(xe_term_encode_object(&e, elements, 2, 1));
    xe_encoder_clear(&e);
    return result;
}

enum xe_result xe_call_get_heir(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t budget,
                                struct xe_heir **out)
{
    const ERL_NIF_TERM *is;
    ErlNifPid pid;
    int n;
    *out = NULL;
    if (term == xe_am.none)
        return XE_CALL_OK;
    if (!enif_get_tuple(env, term, &n, &is) || n != 3 || !enif_get_local_pid(env, is[0], &pid))
        return XE_CALL_BADARG;
    enum xe_result result = xe_call_gauge(env, is[2], budget);
    if (result != XE_CALL_OK)
        return result;
    *out = xe_heir_new(&pid, is[1] == xe_am.yes, is[2]);
    return *out ? XE_CALL_OK : XE_CALL_LIMIT;
}

/* --- Owners and heirs --------------------------------------------------- */

static enum xe_result give_away(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                ERL_NIF_TERM *out)
{
    struct xe_use use;
    ErlNifPid self, to;
    if (!enif_get_local_pid(env, argv[1], &to) || to.pid == enif_self(env, &self)->pid)
        return XE_CALL_BADARG;
    /* The gift is copied, as any message. */
    enum xe_result result = xe_call_gauge(env, argv[2], budget);
    if (result != XE_CALL_OK)
        return result;
    if (!xe_use_begin(env, argv[0], XE_NEED_OWNER, &use))
        return XE_CALL_BADARG;
    enum xe_give given = xe_owner_give(env, &use, &to, argv[2]);
    xe_use_end(&use);
    *out = xe_am.yes;
    /* A table that is lost is gone, or somebody else's, when it is looked at again. */
    return given == XE_GIVEN ? XE_CALL_OK : given == XE_GIVE_LOST ? XE_CALL_RETRY : XE_CALL_BADARG;
}
XE_CALL(give_away, 3)

/* What is to be changed: a heir (`unchanged`, or as in xe_call_get_heir()), and an access
 * (`unchanged`, or as in xe_call_get_access()). */
static enum xe_result setopts(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                              ERL_NIF_TERM *out)
{
    struct xe_use use;
    struct xe_heir *heir = NULL;
    enum xe_access access = XE_PROTECTED;
    enum xe_result result = XE_CALL_OK;
    if (argv[2] != xe_am.unchanged && !xe_call_get_access(argv[2], &access))
        return XE_CALL_BADARG;
    if (argv[1] != xe_am.unchanged)
        result = xe_call_get_heir(env, argv[1], budget, &heir);
    if (result != XE_CALL_OK)
        return result;
    if (!xe_use_begin(env, argv[0], XE_NEED_OWNER, &use)) {
        if (heir)
            xe_heir_drop(heir);
        return XE_CALL_BADARG;
    }
    if (argv[2] != xe_am.unchanged)
        atomic_store_explicit(&use.table->access, (uint8_t)access, memory_order_relaxed);
    if (argv[1] != xe_am.unchanged)
        xe_estate_set_heir(env, use.table->estate, heir);
    xe_use_end(&use);
    *out = xe_am.yes;
    return XE_CALL_OK;
}
XE_CALL(setopts, 3)

/* --- Names -------------------------------------------------------------- */

static enum xe_result rename_table(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                   ERL_NIF_TERM *out)
{
    struct xe_use use;
    (void)budget;
    if (!enif_is_atom(env, argv[1]) || !xe_use_begin(env, argv[0], XE_NEED_WRITE, &use))
        return XE_CALL_BADARG;
    *out = use.table->is.named ? argv[1] : argv[0];
    enum xe_create renamed = xe_owner_rename(env, &use, argv[1]);
    xe_use_end(&use);
    return xe_call_of_create(renamed);
}
XE_CALL(rename_table, 2)

/* What all/0 tells of a table: nothing of one that has not got its name yet. */
static bool is_listed(ErlNifEnv *env, struct xe_owned *table, enum xe_result *result,
                      ERL_NIF_TERM *out)
{
    enum xe_life life = xe_owner_life(env, table);
    if (life == XE_IS_MOVING)
        *result = XE_CALL_RETRY;
    if (life != XE_LIVES)
        return false;
    *out = xe_owner_handle(env, table);
    return !table->is.named || xe_registry_find(*out) == table;
}

/* The tables at places from..to, before *list. */
static enum xe_result list_tables(ErlNifEnv *env, uint32_t from, uint32_t to, ERL_NIF_TERM *list)
{
    enum xe_result result = XE_CALL_OK;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    for (uint32_t i = from; i < to && result == XE_CALL_OK; i++) {
        struct xe_owned *table = xe_registry_at(i);
        ERL_NIF_TERM handle;
        if (table && is_listed(env, table, &result, &handle))
            *list = enif_make_list_cell(env, handle, *list);
    }
    xe_epoch_leave(slot);
    return result;
}

static enum xe_result all(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                          ERL_NIF_TERM *out)
{
    enum { TABLES_A_SECTION = 500 };
    enum xe_result result = XE_CALL_OK;
    uint32_t places = xe_registry_places();
    (void)argv;
    if (budget != XE_TERM_NO_BUDGET && places > XE_CALL_INLINE_MAX)
        return XE_CALL_BUDGET;
    *out = xe_call_nil;
    for (uint32_t from = 0; from < places && result == XE_CALL_OK; from += TABLES_A_SECTION) {
        uint32_t to = places - from > TABLES_A_SECTION ? from + TABLES_A_SECTION : places;
        result = list_tables(env, from, to, out);
    }
    return result;
}
XE_CALL(all, 0)

/* --- Fixations ---------------------------------------------------------- */

static enum xe_result safe_fixtable(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                    ERL_NIF_TERM *out)
{
    struct xe_use use;
    ErlNifPid self;
    (void)budget;
    bool fix = argv[1] == xe_am.yes;
    if ((!fix && argv[1] != xe_am.no) || !xe_use_begin(env, argv[0], XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    enif_self(env, &self);
    enum xe_status status = fix ? xe_estate_fix(env, use.table->estate, &self)
                                : xe_estate_unfix(env, use.table->estate, &self);
    xe_use_end(&use);
    *out = xe_am.yes;
    return xe_call_of_core(status);
}
XE_CALL(safe_fixtable, 2)

static enum xe_result fixed(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                            ERL_NIF_TERM *out)
{
    struct xe_use use;
    (void)budget;
    enum xe_result asked;
    if (!xe_call_ask(env, argv[0], &use, &asked, out))
        return asked;
    enum xe_status status = xe_estate_is_fixed(env, use.table->estate);
    xe_use_end(&use);
    *out = xe_call_bool(status == XE_OK);
    return status == XE_RETRY ? XE_CALL_RETRY : XE_CALL_OK;
}
XE_CALL(fixed, 1)

static enum xe_result fixers(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                             ERL_NIF_TERM *out)
{
    enum { FIXERS_INLINE = 500 };
    struct xe_use use;
    ErlNifTime since, offset;
    ERL_NIF_TERM list;
    enum xe_result asked;
    if (!xe_call_ask(env, argv[0], &use, &asked, out))
        return asked;
    bool large =
        budget != XE_TERM_NO_BUDGET && xe_estate_fixers(use.table->estate) > FIXERS_INLINE;
    if (!large && xe_estate_list_fixers(env, use.table->estate, &since, &offset, &list))
        *out = enif_make_tuple3(env, enif_make_int64(env, since), enif_make_int64(env, offset),
                                list);
    else
        *out = xe_am.no;
    xe_use_end(&use);
    return large ? XE_CALL_BUDGET : XE_CALL_OK;
}
XE_CALL(fixers, 1)
