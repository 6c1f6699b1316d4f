/*
 * match_ops.c - runs guards and bodies: a machine with a stack of values.
 *
 * An expression that has no value, such as the head of something that is no list, makes a clause
 * fail if it is in a guard. In a body its value is the atom 'EXIT'.
 */
#include "atoms.h"
#include "match_internal.h"

/* What an expression without a value comes to. */
static inline enum xe_step give_up(const struct xe_matcher *m, struct xe_value *out)
{
    if (!m->in_body)
        return XE_STEP_FAIL;
    *out = xe_value_of_term(xe_am.exited);
    return XE_STEP_OK;
}

/* The term that a value is within a new term, which has to be of one environment. */
static enum xe_step part_of(struct xe_matcher *m, const struct xe_value *v, ERL_NIF_TERM *out)
{
    if (m->to_result)
        return xe_value_result(m, v, out);
    if (!xe_value_is_term(v))
        return xe_value_term(m, v, out);
    ErlNifEnv *env = xe_matcher_scratch(m);
    return env ? xe_value_copy_term(m, env, v->term, out) : XE_STEP_ERROR;
}

static struct xe_value built(const struct xe_matcher *m, ERL_NIF_TERM t)
{
    return m->to_result ? xe_value_of_term(t) : xe_value_of_foreign(t);
}

/* The environment for new terms. */
static ErlNifEnv *begin_building(struct xe_matcher *m, uint64_t words)
{
    if (xe_match_charge(m, words) != XE_STEP_OK)
        return NULL;
    if (m->to_result)
        return m->env;
    m->scratch_words += words;
    return xe_matcher_scratch(m);
}

/* The values become terms in place: a value is no smaller. */
static enum xe_step parts_of(struct xe_matcher *m, struct xe_value *values, uint32_t n)
{
    ERL_NIF_TERM *terms = (ERL_NIF_TERM *)values, t;
    for (uint32_t i = 0; i < n; i++) {
        if (part_of(m, &values[i], &t) != XE_STEP_OK)
            return XE_STEP_ERROR;
        memcpy(&terms[i], &t, sizeof t);
    }
    return XE_STEP_OK;
}

static enum xe_step make_tuple(struct xe_matcher *m, struct xe_value *values, uint32_t n)
{
    ErlNifEnv *env = begin_building(m, 1 + n);
    if (!env || parts_of(m, values, n) != XE_STEP_OK)
        return XE_STEP_ERROR;
    values[0] = built(m, enif_make_tuple_from_array(env, (const ERL_NIF_TERM *)values, n));
    return XE_STEP_OK;
}

static enum xe_step make_list(struct xe_matcher *m, struct xe_value *values, uint32_t n)
{
    ErlNifEnv *env = begin_building(m, 2 * (uint64_t)n);
    ERL_NIF_TERM t, list;
    if (!env || part_of(m, &values[n], &list) != XE_STEP_OK)
        return XE_STEP_ERROR;
    while (n-- > 0) {
        if (part_of(m, &values[n], &t) != XE_STEP_OK)
            return XE_STEP_ERROR;
        list = enif_make_list_cell(env, t, list);
    }
    values[0] = built(m, list);
    return XE_STEP_OK;
}

static enum xe_step make_map(struct xe_matcher *m, const struct xe_op *keys,
                             struct xe_value *values, uint32_t n)
{
    ErlNifEnv *env = begin_building(m, 4 * (uint64_t)n);
    ERL_NIF_TERM key, value, map;
    if (!env)
        return XE_STEP_ERROR;
    map = enif_make_new_map(env);
    for (uint32_t i = 0; i < n; i++) {
        struct xe_value constant = xe_value_of_term(keys[i].word);
        if (part_of(m, &constant, &key) != XE_STEP_OK ||
            part_of(m, &values[i], &value) != XE_STEP_OK)
            return XE_STEP_ERROR;
        enif_make_map_put(env, map, key, value, &map);
    }
    values[0] = built(m, map);
    return XE_STEP_OK;
}

/* `and`, `or`: all operands have to be boolean. `deciding` is the value of one that decides. */
static bool combine(const struct xe_value *values, uint32_t n, ERL_NIF_TERM deciding,
                    ERL_NIF_TERM other, struct xe_value *out)
{
    ERL_NIF_TERM result = other;
    for (uint32_t i = 0; i < n; i++) {
        if (values[i].kind != XE_VALUE_TERM)
            return false;
        if (values[i].term == deciding)
            result = deciding;
        else if (values[i].term != other)
            return false;
    }
    *out = xe_value_of_term(result);
    return true;
}

static bool is_atom(const struct xe_value *v, ERL_NIF_TERM atom)
{
    return v->kind == XE_VALUE_TERM && v->term == atom;
}

/* A variable of a body is made a term once, however often the result has it. */
static enum xe_step load_variable(struct xe_matcher *m, struct xe_var *var, struct xe_value *out)
{
    xe_value_copy(out, &var->value);
    if (XE_LIKELY(out->kind == XE_VALUE_TERM))
        return XE_STEP_OK;
    if (!m->to_result)
        return xe_value_settle(m, out);
    if (!var->result && xe_value_result(m, &var->value, &var->result) != XE_STEP_OK)
        return XE_STEP_ERROR;
    *out = xe_value_of_term(var->result);
    return XE_STEP_OK;
}

static enum xe_step load_self(struct xe_matcher *m, struct xe_value *out)
{
    ErlNifPid self;
    if (!enif_self(m->env, &self))
        return xe_match_error(m, XE_MATCHED_OTHER);
    *out = xe_value_of_term(enif_make_pid(m->env, &self));
    return XE_STEP_OK;
}

enum xe_step xe_match_ops(struct xe_matcher *m, uint32_t at)
{
    const struct xe_op *ops = m->program->ops, *op = ops + at;
    struct xe_value *top = m->values; /* behind the last value */
    enum xe_step step;
    for (;; op++) {
        switch (op->code) {
        case XE_OP_TERM:
            xe_value_set(top++, op->word);
            continue;
        case XE_OP_FLOAT:
            top->kind = XE_VALUE_FLOAT;
            top++->term = op->word; /* the same bits */
            continue;
        case XE_OP_VAR:
            step = load_variable(m, &m->vars[op->var], top++);
            break;
        case XE_OP_OBJECT:
            top++->kind = XE_VALUE_OBJECT;
            continue;
        case XE_OP_SELF:
            step = load_self(m, top++);
            break;
        case XE_OP_TUPLE:
            top -= op->n;
            step = make_tuple(m, top++, op->n);
            break;
        case XE_OP_LIST:
            top -= op->n + 1;
            step = make_list(m, top++, op->n);
            break;
        case XE_OP_MAP:
            top -= op->n;
            step = make_map(m, op + 1, top++, op->n);
            op += op->n;
            break;
        case XE_OP_AND:
        case XE_OP_OR:
            top -= op->n;
            step = combine(top, op->n, op->code == XE_OP_AND ? xe_am.no : xe_am.yes,
                           op->code == XE_OP_AND ? xe_am.yes : xe_am.no, top)
                       ? XE_STEP_OK
                       : give_up(m, top);
            top++;
            break;
        case XE_OP_ANDALSO:
        case XE_OP_ORELSE:
            if (is_atom(top - 1, op->code == XE_OP_ANDALSO ? xe_am.yes : xe_am.no)) {
                top--;
                continue;
            }
            step = XE_STEP_OK;
            if (!is_atom(top - 1, op->code == XE_OP_ANDALSO ? xe_am.no : xe_am.yes))
                step = give_up(m, top - 1);
            op = ops + op->n - 1;
            break;
        case XE_OP_CALL:
            top -= op->var;
            step = xe_match_call(m, op->n, top);
            if (step == XE_STEP_FAIL)
                step = give_up(m, top);
            top++;
            break;
        case XE_OP_CHECK:
            step = xe_step_of_bool(is_atom(--top, xe_am.yes));
            break;
        default:
            XE_ASSERT(op->code == XE_OP_HEAD_END || op->code == XE_OP_RETURN);
            return XE_STEP_OK;
        }
        if (XE_UNLIKELY(step != XE_STEP_OK))
            return step;
    }
}
