/*
 * calls_explain.c - what is planned for a match specification.
 */
#include "plan.h"

/* (Table, MatchSpec) */
static enum xe_result explain(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                              ERL_NIF_TERM *out)
{
    struct xe_use use;
    struct xe_plan plan;
    if (!xe_use_begin(env, argv[0], XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    struct xe_form form = xe_call_form(use.table);
    xe_use_end(&use);
    enum xe_result result = xe_plan_make(env, argv[1], &form, budget, &plan);
    if (result != XE_CALL_OK)
        return result;
    *out = xe_plan_explain(env, &plan);
    xe_plan_clear(&plan);
    return XE_CALL_OK;
}
XE_CALL(explain, 2)
