/*
 * calls_explain.c - what is planned for a match specification, and who runs it.
 */
#include "match.h"
#include "plan.h"

/* `native`, if it is run on stored bytes, else `ets`. */
static enum xe_result get_engine(ErlNifEnv *env, ERL_NIF_TERM spec, const struct xe_form *form,
                                 ERL_NIF_TERM *engine)
{
    struct xe_program *program;
    enum xe_compiled compiled = xe_program_compile(env, spec, form, &program);
    if (compiled == XE_COMPILED_NOMEM)
        return XE_CALL_LIMIT;
    if (compiled == XE_COMPILED)
        xe_program_free(program);
    *engine = compiled == XE_COMPILED ? xe_am.native : xe_am.ets;
    return XE_CALL_OK;
}

/* (Table, MatchSpec) */
static enum xe_result explain(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                              ERL_NIF_TERM *out)
{
    struct xe_use use;
    struct xe_plan plan;
    ERL_NIF_TERM engine;
    if (!xe_use_begin(env, argv[0], XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    struct xe_form form = xe_call_form(use.table);
    xe_use_end(&use);
    enum xe_result result = xe_plan_make(env, argv[1], &form, budget, &plan);
    if (result == XE_CALL_OK)
        result = get_engine(env, argv[1], &form, &engine);
    if (result == XE_CALL_OK)
        enif_make_map_put(env, xe_plan_explain(env, &plan), xe_am.engine, engine, out);
    xe_plan_clear(&plan);
    return result;
}
XE_CALL(explain, 2)
