/*
 * match_nif.c - lets xets_match_engine_tests run match specifications on objects as they are
 * stored, without a table.
 *
 * Like term_nif.c it stands between c_src/beam and the emulator's allocator.
 */
#include "nif_lib.h"

#include <time.h>

#include "../c_src/beam/match.h"
#include "nif_object.h"

static bool store_term(ErlNifEnv *env, struct stored *s, ERL_NIF_TERM object,
                       const struct xe_form *form)
{
    struct xe_encoder e;
    struct xe_object o;
    const ERL_NIF_TERM *elements;
    int arity;
    long failing = until_failure;
    until_failure = -1;
    xe_call_encoder(&e, env, form, XE_TERM_NO_BUDGET);
    bool ok = enif_get_tuple(env, object, &arity, &elements) && arity >= form->keypos &&
              xe_term_encode_object(&e, elements, arity, form->keypos) == XE_TERM_OK;
    if (ok) {
        xe_term_object(&e, &o);
        store(s, &o, form->kind == XE_ORDERED);
    }
    xe_encoder_clear(&e);
    until_failure = failing;
    return ok;
}

static ERL_NIF_TERM atom(ErlNifEnv *env, const char *text)
{
    return enif_make_atom(env, text);
}

static bool is(ErlNifEnv *env, ERL_NIF_TERM t, const char *text)
{
    return t == atom(env, text);
}

/* {Kind, KeyPos, Compressed} */
static bool get_form(ErlNifEnv *env, ERL_NIF_TERM t, struct xe_form *form)
{
    const ERL_NIF_TERM *parts;
    int arity;
    if (!enif_get_tuple(env, t, &arity, &parts) || arity != 3 ||
        !enif_get_int(env, parts[1], &form->keypos))
        return false;
    form->kind = is(env, parts[0], "ordered_set") ? XE_ORDERED
                 : is(env, parts[0], "bag")       ? XE_BAG
                                                  : XE_SET;
    form->compressed = is(env, parts[2], "true");
    return true;
}

static ERL_NIF_TERM make_outcome(ErlNifEnv *env, enum xe_matched matched, enum xe_match_want want,
                                 ERL_NIF_TERM result)
{
    switch (matched) {
    case XE_MATCHED:
        return want == XE_WANT_TRUE ? atom(env, "yes")
                                    : enif_make_tuple2(env, atom(env, "yes"), result);
    case XE_MATCHED_NOT:
        return atom(env, "no");
    case XE_MATCHED_BUDGET:
        return atom(env, "budget");
    case XE_MATCHED_NOMEM:
        return atom(env, "nomem");
    default:
        return atom(env, "other");
    }
}

/* Whether a glance at the object, if it may be taken, tells what a run has told. */
static bool glance_agrees(const struct xe_program *p, const struct xe_view *view,
                          enum xe_match_want want, enum xe_matched matched)
{
    const struct xe_glance *g = xe_program_glance(p);
    if (!g || (view->flags & XE_REC_RESTORE) || !(view->body[0] & XE_TERM_BODY_FLAT) ||
        (matched != XE_MATCHED && matched != XE_MATCHED_NOT))
        return true;
    if (want == XE_WANT_TRUE && !g->counts)
        return true;
    enum xe_glanced glanced = xe_glance_at(g, view->body);
    return glanced == XE_GLANCE_RUN || (glanced == XE_GLANCE_MATCHES) == (matched == XE_MATCHED);
}

static ERL_NIF_TERM run_one(ErlNifEnv *env, const struct xe_program *p, struct xe_matcher *m,
                            ERL_NIF_TERM object, const struct xe_form *form,
                            enum xe_match_want want)
{
    struct stored s;
    ERL_NIF_TERM result = 0;
    if (!store_term(env, &s, object, form))
        return atom(env, "no_object");
    enum xe_matched matched = xe_matcher_run(m, &s.view, want, &result);
    bool agrees = glance_agrees(p, &s.view, want, matched);
    /* What was returned must not lean on what was stored. */
    memset(s.bytes, 0xee, s.view.klen + s.view.blen);
    discard(&s);
    return !agrees ? atom(env, "glanced_wrong") : make_outcome(env, matched, want, result);
}

static enum xe_match_want get_want(ErlNifEnv *env, ERL_NIF_TERM t)
{
    return is(env, t, "true") ? XE_WANT_TRUE : XE_WANT_RESULT;
}

/* The functions of xets_match_nif. */

/* run(Spec, Objects, Form, Want, Budget) -> [Outcome] | rejected | nomem */
NIF(run)
{
    struct xe_form form;
    struct xe_program *p;
    ERL_NIF_TERM head, tail = argv[1], out = enif_make_list(env, 0);
    enum xe_match_want want = get_want(env, argv[3]);
    UNUSED_ARGS;
    if (!get_form(env, argv[2], &form))
        return enif_make_badarg(env);
    switch (xe_program_compile(env, argv[0], &form, &p)) {
    case XE_COMPILED:
        break;
    case XE_COMPILED_NOT:
        return atom(env, "rejected");
    default:
        return atom(env, "nomem");
    }
    struct xe_matcher *m = xe_matcher_new(env, p, get_budget(env, argv[4]));
    while (m && enif_get_list_cell(env, tail, &head, &tail))
        out = enif_make_list_cell(env, run_one(env, p, m, head, &form, want), out);
    xe_matcher_free(m);
    xe_program_free(p);
    if (!m)
        return atom(env, "nomem");
    enif_make_reverse_list(env, out, &out);
    return out;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* measure(Spec, Object, Form, Want, N) -> nanoseconds for a run on one object */
NIF(measure)
{
    struct xe_form form;
    struct xe_program *p;
    struct stored s;
    ERL_NIF_TERM result;
    long n;
    enum xe_match_want want = get_want(env, argv[3]);
    UNUSED_ARGS;
    if (!get_form(env, argv[2], &form) || !enif_get_long(env, argv[4], &n) ||
        xe_program_compile(env, argv[0], &form, &p) != XE_COMPILED)
        return enif_make_badarg(env);
    struct xe_matcher *m = xe_matcher_new(env, p, XE_TERM_NO_BUDGET);
    double ns = 0;
    if (m && store_term(env, &s, argv[1], &form)) {
        double start = seconds();
        for (long i = 0; i < n; i++)
            xe_matcher_run(m, &s.view, want, &result);
        ns = (seconds() - start) * 1e9 / (double)n;
        discard(&s);
    }
    xe_matcher_free(m);
    xe_program_free(p);
    return enif_make_double(env, ns);
}

static int load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    (void)priv;
    if (!nif_alloc_init())
        return 1;
    xe_native_init(env, info);
    xe_atoms_init(env);
    return xe_term_init(env) ? 0 : 1;
}

static ErlNifFunc functions[] = {
    {"run", 5, run, 0},
    {"measure", 5, measure, 0},
    {"fail_after", 1, fail_after, 0},
};

ERL_NIF_INIT(xets_match_nif, functions, load, NULL, NULL, NULL)
