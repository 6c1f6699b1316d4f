/*
 * match_run.c - who runs a program on objects, one after the other.
 */
#include "atoms.h"
#include "match_internal.h"

struct xe_matcher *xe_matcher_new(ErlNifEnv *env, const struct xe_program *p, uint64_t budget)
{
    size_t vars = p->most_vars * sizeof(struct xe_var);
    size_t values = (p->most_values + 1) * sizeof(struct xe_value);
    size_t pending = p->most_pending * sizeof(struct xe_pending);
    struct xe_matcher *m = enif_alloc(sizeof *m + vars + values + pending);
    if (!m)
        return NULL;
    memset(m, 0, offsetof(struct xe_matcher, expanded));
    uint8_t *at = (uint8_t *)m + sizeof *m;
    m->env = env;
    m->program = p;
    m->left = budget;
    m->vars = (struct xe_var *)at;
    m->values = (struct xe_value *)(at + vars);
    m->pending = (struct xe_pending *)(at + vars + values);
    return m;
}

void xe_matcher_free(struct xe_matcher *m)
{
    if (!m)
        return;
    if (m->scratch)
        enif_free_env(m->scratch);
    enif_free(m);
}

uint64_t xe_matcher_left(const struct xe_matcher *m)
{
    return m->left;
}

/* The result, as what was asked for. */
static enum xe_step finish(struct xe_matcher *m, struct xe_value *v, enum xe_match_want want,
                           ERL_NIF_TERM *out)
{
    if (want == XE_WANT_TRUE)
        return xe_step_of_bool(v->kind == XE_VALUE_TERM && v->term == xe_am.yes);
    return xe_value_result(m, v, out);
}

static enum xe_step run_body(struct xe_matcher *m, const struct xe_clause *clause,
                             enum xe_match_want want, ERL_NIF_TERM *out)
{
    struct xe_value v;
    switch (clause->body_kind) {
    case XE_BODY_TERM:
        *out = m->program->ops[clause->body].word;
        return xe_step_of_bool(want == XE_WANT_RESULT || *out == xe_am.yes);
    case XE_BODY_OBJECT:
        v.kind = XE_VALUE_OBJECT;
        break;
    default:
        m->in_body = true;
        m->to_result = want == XE_WANT_RESULT;
        enum xe_step step = xe_match_ops(m, clause->body);
        m->in_body = m->to_result = false;
        if (step != XE_STEP_OK)
            return step;
        v = m->values[0];
    }
    return finish(m, &v, want, out);
}

/* Begins with an object. False: error. */
static bool begin(struct xe_matcher *m, const struct xe_view *view)
{
    m->view = view;
    m->key.kind = XE_VALUE_NONE;
    m->object = m->scratch_object = 0;
    m->body = xe_term_body(view);
    if (XE_UNLIKELY(m->scratch_words > XE_MATCH_SCRATCH_WORDS)) {
        enif_clear_env(m->scratch);
        m->scratch_words = 0;
    }
    return xe_match_charge(m, m->program->object_words) == XE_STEP_OK;
}

static enum xe_step run_clauses(struct xe_matcher *m, enum xe_match_want want, ERL_NIF_TERM *out)
{
    const struct xe_clause *clause = m->program->clauses;
    for (uint32_t i = 0; i < m->program->n_clauses; i++, clause++) {
        enum xe_step step = xe_match_head(m, clause);
        if (step == XE_STEP_OK && clause->guarded)
            step = xe_match_ops(m, clause->guards);
        if (step == XE_STEP_OK)
            return run_body(m, clause, want, out);
        if (XE_UNLIKELY(step == XE_STEP_ERROR))
            return step;
    }
    return XE_STEP_FAIL;
}

/* A compressed body is expanded once for all that is done with the object. */
static __attribute__((noinline)) enum xe_step
run_compressed(struct xe_matcher *m, enum xe_match_want want, ERL_NIF_TERM *out)
{
    enum xe_term_status status = xe_term_expand(&m->expanded, m->view, &m->left);
    if (status != XE_TERM_OK)
        return xe_match_error(m, status == XE_TERM_BUDGET ? XE_MATCHED_BUDGET : XE_MATCHED_NOMEM);
    m->view = &m->expanded.view;
    m->body = xe_term_body(m->view);
    enum xe_step step = run_clauses(m, want, out);
    xe_expanded_clear(&m->expanded);
    return step;
}

enum xe_matched xe_matcher_run(struct xe_matcher *m, const struct xe_view *view,
                               enum xe_match_want want, ERL_NIF_TERM *out)
{
    if (!begin(m, view))
        return m->error;
    enum xe_step step = XE_UNLIKELY(xe_term_is_compressed(view)) ? run_compressed(m, want, out)
                                                                 : run_clauses(m, want, out);
    if (XE_UNLIKELY(step == XE_STEP_ERROR))
        return m->error;
    return step == XE_STEP_OK ? XE_MATCHED : XE_MATCHED_NOT;
}
