/*
 * plan_nif.c - lets xets_plan_tests see plans (c_src/beam/plan.h): what they let through, under
 * budgets and failing allocations.
 */
#include "nif_lib.h"

#include "../c_src/core/order_internal.h"
#include "../c_src/beam/call_key.h"
#include "../c_src/beam/plan.h"

/* Those of c_src/beam/nif.c. */
ERL_NIF_TERM xe_call_nil;

ERL_NIF_TERM xe_call_raise(ErlNifEnv *env, enum xe_result result)
{
    (void)result;
    return enif_make_badarg(env);
}

static bool is_after(const struct xe_range *range, const struct xe_order_key_at *at)
{
    int c = range->from ? xe_order_compare(range->from, at) : -1;
    return c < 0 || (c == 0 && !range->from_exclusive);
}

static bool is_before(const struct xe_range *range, const struct xe_order_key_at *at)
{
    int c = range->to ? xe_order_compare(range->to, at) : 1;
    return c > 0 || (c == 0 && !range->to_exclusive);
}

/* As the core does it, with a key that is stored. */
static bool lies_in_range(ErlNifEnv *env, const struct xe_range *range, ERL_NIF_TERM term)
{
    struct xe_encoder e;
    struct xe_key key;
    xe_encoder_init(&e, env, XE_TERM_NO_BUDGET);
    xe_key_encode(&e, term);
    xe_key_init_order(&key, e.bytes, e.klen, e.handles, e.n_key_handles);
    struct xe_order_key_at at = xe_order_key_at(&key);
    bool lies = is_after(range, &at) && is_before(range, &at);
    xe_encoder_clear(&e);
    return lies;
}

static bool lies_in(ErlNifEnv *env, const struct xe_plan *plan, bool ordered, ERL_NIF_TERM key)
{
    bool lies = plan->kind == XE_PLAN_SCAN;
    if (plan->kind == XE_PLAN_RANGE)
        return ordered && lies_in_range(env, &plan->range, key);
    for (unsigned i = 0; plan->kind == XE_PLAN_POINTS && i < plan->n_points && !lies; i++)
        lies = ordered ? enif_compare(plan->points[i], key) == 0
                       : enif_is_identical(plan->points[i], key);
    return lies;
}

static bool get_form(ErlNifEnv *env, ERL_NIF_TERM t, struct xe_form *form)
{
    const ERL_NIF_TERM *is;
    int n;
    return enif_get_tuple(env, t, &n, &is) && n == 2 && xe_owner_get_kind(is[0], &form->kind) &&
           enif_get_int(env, is[1], &form->keypos);
}

/* plan(Spec, {Type, KeyPos}, Budget, Keys) -> {Explained, [whether a key is let through]} */
NIF(plan)
{
    struct xe_form form = {0};
    struct xe_plan plan;
    ERL_NIF_TERM key, keys = argv[3], lies = xe_call_nil;
    UNUSED_ARGS;
    if (!get_form(env, argv[1], &form))
        return enif_make_badarg(env);
    switch (xe_plan_make(env, argv[0], &form, get_budget(env, argv[2]), &plan)) {
    case XE_CALL_OK:
        break;
    case XE_CALL_BUDGET:
        return enif_make_atom(env, "budget");
    default:
        return enif_make_atom(env, "nomem");
    }
    while (enif_get_list_cell(env, keys, &key, &keys)) {
        bool is = lies_in(env, &plan, form.kind == XE_ORDERED, key);
        lies = enif_make_list_cell(env, make_bool(env, is), lies);
    }
    enif_make_reverse_list(env, lies, &lies);
    ERL_NIF_TERM explained = xe_plan_explain(env, &plan);
    xe_plan_clear(&plan);
    return enif_make_tuple2(env, explained, lies);
}

static int ext_compare(uint64_t a, uint64_t b)
{
    return enif_compare(a, b);
}

static int load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    (void)priv;
    if (!nif_alloc_init())
        return 1;
    xe_native_init(env, info);
    xe_atoms_init(env);
    xe_call_nil = enif_make_list(env, 0);
    xe_cb.ext_compare = ext_compare;
    return xe_term_init(env) ? 0 : 1;
}

static ErlNifFunc functions[] = {
    {"plan", 4, plan, 0},
    {"fail_after", 1, fail_after, 0},
};

ERL_NIF_INIT(xets_plan_nif, functions, load, NULL, NULL, NULL)
