/*
 * match_head.c - whether an object matches the head of a clause, and its variables.
 *
 * The elements of a tuple are looked at one after the other; those that are to be matched with
 * containers wait on a stack, as they do in ets: the order tells which of several equal terms a
 * variable is bound to. The stack needs room for each container of the clause once.
 */
#include "match_internal.h"

static enum xe_step match_float(const struct xe_matcher *m, uint64_t bits, const struct xe_value *v)
{
    double d = v->d;
    if (v->kind != XE_VALUE_FLOAT && !(xe_value_is_term(v) && enif_get_double(m->env, v->term, &d)))
        return XE_STEP_FAIL;
    return xe_step_of_bool(memcmp(&bits, &d, sizeof d) == 0);
}

/* What is left for later, unless it can be told from the first byte that it is in vain. */
static inline enum xe_step postpone(struct xe_matcher *m, const struct xe_pattern *p,
                                    const struct xe_value *v)
{
    if (xe_value_is_word(v))
        return XE_STEP_FAIL;
    m->pending[m->n_pending].pattern = p;
    m->pending[m->n_pending++].value = *v;
    return XE_STEP_OK;
}

static inline enum xe_step match_value(struct xe_matcher *m, const struct xe_pattern *p,
                                       struct xe_value *v)
{
    struct xe_value constant;
    switch (p->kind) {
    case XE_PATTERN_ANY:
        return XE_STEP_OK;
    case XE_PATTERN_BIND:
        xe_value_copy(&m->vars[p->var].value, v);
        m->vars[p->var].result = 0;
        return XE_STEP_OK;
    case XE_PATTERN_SAME:
        return xe_value_identical(m, &m->vars[p->var].value, v);
    default:
        break;
    }
    if (XE_UNLIKELY(v->kind == XE_VALUE_KEY) && xe_value_settle(m, v) != XE_STEP_OK)
        return XE_STEP_ERROR;
    switch (p->kind) {
    case XE_PATTERN_WORD:
        return xe_step_of_bool(v->kind == XE_VALUE_TERM && v->term == p->word);
    case XE_PATTERN_FLOAT:
        return match_float(m, p->word, v);
    case XE_PATTERN_TERM:
        constant = xe_value_of_term(p->word);
        return xe_value_identical(m, v, &constant);
    default:
        return postpone(m, p, v);
    }
}

/* A row of nodes, of which `needed` are looked at. The cursor is left behind the last. */
static enum xe_step match_nodes(struct xe_matcher *m, const struct xe_pattern *child,
                                uint32_t needed, struct xe_cursor *c)
{
    struct xe_value v;
    uint64_t nodes = 0;
    for (uint32_t i = 0; i < needed; i++, child++) {
        if (child->kind != XE_PATTERN_ANY) {
            xe_value_load(c, &v);
            enum xe_step step = match_value(m, child, &v);
            if (step != XE_STEP_OK)
                return step;
        }
        if (!xe_match_skip(m, c, &nodes))
            return xe_match_error(m, XE_MATCHED_BUDGET);
    }
    return xe_match_charge(m, nodes / 4);
}

static enum xe_step match_packed(struct xe_matcher *m, const struct xe_pattern *child,
                                 uint32_t needed, const uint8_t *p, unsigned width)
{
    for (uint32_t i = 0; i < needed; i++, child++, p += width) {
        struct xe_value v = xe_value_of_term(xe_term_packed(p, width));
        enum xe_step step = match_value(m, child, &v);
        if (step != XE_STEP_OK)
            return step;
    }
    return XE_STEP_OK;
}

static enum xe_step match_terms(struct xe_matcher *m, const struct xe_pattern *child,
                                uint32_t needed, const ERL_NIF_TERM *terms, bool foreign)
{
    for (uint32_t i = 0; i < needed; i++, child++) {
        struct xe_value v = foreign ? xe_value_of_foreign(terms[i]) : xe_value_of_term(terms[i]);
        enum xe_step step = match_value(m, child, &v);
        if (step != XE_STEP_OK)
            return step;
    }
    return XE_STEP_OK;
}

/* Tuples. */

/* The elements of the object, the key among them. */
static enum xe_step match_object(struct xe_matcher *m, const struct xe_pattern *p)
{
    const struct xe_pattern *children = m->program->patterns + p->first;
    uint32_t key = (uint32_t)m->program->keypos - 1;
    struct xe_cursor c = {0};
    uint64_t nodes = 0;
    struct xe_value v;
    bool flat = m->body[0] & XE_TERM_BODY_FLAT;
    unsigned width = (m->body[0] & 7) + 1;
    const uint8_t *packed = m->body + 1;
    if ((uint32_t)xe_term_arity(m->view) != p->n)
        return XE_STEP_FAIL;
    if (!flat && xe_cursor_body(&c, m->view).has_key && !xe_match_skip(m, &c, &nodes))
        return xe_match_error(m, XE_MATCHED_BUDGET);
    for (uint32_t i = 0; i < p->needed; i++) {
        if (i == key) {
            if (children[i].kind == XE_PATTERN_ANY)
                continue;
            xe_value_copy(&v, xe_matcher_key(m));
        } else if (flat) {
            v = xe_value_of_term(xe_term_packed(packed, width));
            packed += width;
        } else {
            xe_value_load(&c, &v);
            if (i + 1 < p->needed && !xe_match_skip(m, &c, &nodes))
                return xe_match_error(m, XE_MATCHED_BUDGET);
        }
        enum xe_step step = match_value(m, &children[i], &v);
        if (step != XE_STEP_OK)
            return step;
    }
    return xe_match_charge(m, nodes / 4);
}

static enum xe_step match_tuple(struct xe_matcher *m, const struct xe_pattern *p,
                                const struct xe_value *v)
{
    const struct xe_pattern *children = m->program->patterns + p->first;
    const ERL_NIF_TERM *elements;
    int arity;
    if (v->kind == XE_VALUE_OBJECT)
        return match_object(m, p);
    if (xe_value_is_term(v)) {
        if (!enif_get_tuple(m->env, v->term, &arity, &elements) || (uint32_t)arity != p->n)
            return XE_STEP_FAIL;
        return match_terms(m, children, p->needed, elements, v->kind == XE_VALUE_FOREIGN);
    }
    if (v->kind != XE_VALUE_NODE)
        return XE_STEP_FAIL;
    struct xe_cursor c = xe_value_cursor(m, v);
    unsigned tag = *c.p++;
    if ((tag >> 3 != XE_NODE_TUPLE_IMM && tag >> 3 != XE_NODE_TUPLE) ||
        xe_cursor_varint(&c) != p->n)
        return XE_STEP_FAIL;
    if (tag >> 3 == XE_NODE_TUPLE_IMM)
        return match_packed(m, children, p->needed, c.p, (tag & 7) + 1);
    return match_nodes(m, children, p->needed, &c);
}

/* Lists. */

static enum xe_step match_list_term(struct xe_matcher *m, const struct xe_pattern *p,
                                    ERL_NIF_TERM list, bool foreign)
{
    const struct xe_pattern *child = m->program->patterns + p->first;
    ERL_NIF_TERM head;
    for (uint32_t i = 0; i < p->n; i++, child++) {
        if (!enif_get_list_cell(m->env, list, &head, &list))
            return XE_STEP_FAIL;
        enum xe_step step = match_terms(m, child, 1, &head, foreign);
        if (step != XE_STEP_OK)
            return step;
    }
    return match_terms(m, child, 1, &list, foreign);
}

/* Whether the tail of a list of `length` nodes is told without decoding the list. */
static bool tail_is_told(const struct xe_pattern *tail, uint64_t length, uint64_t n)
{
    return tail->kind == XE_PATTERN_ANY || tail->kind == XE_PATTERN_WORD || length == n;
}

static enum xe_step match_list_node(struct xe_matcher *m, const struct xe_pattern *p,
                                    struct xe_cursor c, unsigned kind, unsigned width, uint64_t n)
{
    const struct xe_pattern *children = m->program->patterns + p->first, *tail = children + p->n;
    enum xe_step step = kind == XE_NODE_LIST_IMM ? match_packed(m, children, p->n, c.p, width)
                                                 : match_nodes(m, children, p->n, &c);
    if (step != XE_STEP_OK || tail->kind == XE_PATTERN_ANY)
        return step;
    if (n > p->n)
        return XE_STEP_FAIL; /* a WORD is to be the tail, and a cell is */
    struct xe_value v = xe_value_of_term(xe_term_traits.nil);
    if (kind == XE_NODE_ILIST)
        xe_value_load(&c, &v);
    return match_value(m, tail, &v);
}

static enum xe_step match_list(struct xe_matcher *m, const struct xe_pattern *p,
                               const struct xe_value *v)
{
    const struct xe_pattern *tail = m->program->patterns + p->first + p->n;
    ERL_NIF_TERM t;
    if (xe_value_is_term(v))
        return match_list_term(m, p, v->term, v->kind == XE_VALUE_FOREIGN);
    if (v->kind != XE_VALUE_NODE)
        return XE_STEP_FAIL;
    struct xe_cursor c = xe_value_cursor(m, v);
    unsigned tag = *c.p++, kind = tag >> 3;
    if (kind != XE_NODE_LIST_IMM && kind != XE_NODE_LIST && kind != XE_NODE_ILIST)
        return XE_STEP_FAIL;
    uint64_t length = xe_cursor_varint(&c);
    if (length < p->n)
        return XE_STEP_FAIL;
    if (tail_is_told(tail, length, p->n))
        return match_list_node(m, p, c, kind, (tag & 7) + 1, length);
    if (xe_value_term(m, v, &t) != XE_STEP_OK)
        return XE_STEP_ERROR;
    return match_list_term(m, p, t, true);
}

/* Maps. */

static enum xe_step match_map(struct xe_matcher *m, const struct xe_pattern *p,
                              const struct xe_value *v)
{
    const struct xe_pattern *child = m->program->patterns + p->first;
    struct xe_value map = *v;
    uint64_t size;
    if (!xe_value_map_size(m, &map, &size) || size < p->n)
        return XE_STEP_FAIL;
    for (uint32_t i = 0; i < p->n; i++, child += 2) {
        struct xe_value key = xe_value_of_term(child->word), value;
        enum xe_step step = xe_value_map_get(m, &map, &key, &value);
        if (step == XE_STEP_OK)
            step = match_value(m, child + 1, &value);
        if (step != XE_STEP_OK)
            return step;
    }
    return XE_STEP_OK;
}

/* What waits. */
static enum xe_step match_pending(struct xe_matcher *m)
{
    while (m->n_pending > 0) {
        struct xe_pending next = m->pending[--m->n_pending];
        enum xe_step step;
        switch (next.pattern->kind) {
        case XE_PATTERN_TUPLE:
            step = match_tuple(m, next.pattern, &next.value);
            break;
        case XE_PATTERN_LIST:
            step = match_list(m, next.pattern, &next.value);
            break;
        default:
            step = match_map(m, next.pattern, &next.value);
        }
        if (step != XE_STEP_OK) {
            m->n_pending = 0;
            return step;
        }
    }
    return XE_STEP_OK;
}

static inline bool small_holds(uint32_t fn, int64_t a, int64_t b)
{
    switch (fn) {
    case XE_FN_EQ:
    case XE_FN_IS:
        return a == b;
    case XE_FN_NE:
    case XE_FN_IS_NOT:
        return a != b;
    case XE_FN_LT:
        return a < b;
    case XE_FN_LE:
        return a <= b;
    case XE_FN_GT:
        return a > b;
    default:
        return a >= b;
    }
}

static __attribute__((noinline)) enum xe_step test_other(struct xe_matcher *m, uint32_t fn,
                                                         uint64_t word, const struct xe_value *v)
{
    struct xe_value value = *v, constant = xe_value_of_term(word);
    bool holds;
    if (xe_match_compare(m, fn, &value, &constant, &holds) != XE_STEP_OK)
        return XE_STEP_ERROR;
    return xe_step_of_bool(holds);
}

static inline enum xe_step test(struct xe_matcher *m, uint32_t fn, uint64_t word,
                                const struct xe_value *v)
{
    /* Words are in the order of their integers. */
    if (XE_LIKELY(xe_value_is_small(v)))
        return xe_step_of_bool(small_holds(fn, (int64_t)v->term, (int64_t)word));
    return test_other(m, fn, word, v);
}

static __attribute__((noinline)) enum xe_step
check_other(struct xe_matcher *m, const struct xe_check *check, const struct xe_value *v)
{
    struct xe_value value = *v;
    if (check->kind == XE_PATTERN_TEST)
        return test_other(m, check->var, check->word, v);
    return match_value(m, m->program->patterns + check->pattern, &value);
}

static inline enum xe_step check_word(struct xe_matcher *m, const struct xe_check *check,
                                      uint64_t word)
{
    struct xe_value v;
    if (check->kind == XE_PATTERN_WORD)
        return xe_step_of_bool(word == check->word);
    if (check->kind == XE_PATTERN_TEST && xe_word_is_small(word))
        return xe_step_of_bool(small_holds(check->var, (int64_t)word, (int64_t)check->word));
    if (check->kind == XE_PATTERN_BIND) {
        xe_value_set(&m->vars[check->var].value, word);
        return XE_STEP_OK;
    }
    xe_value_set(&v, word);
    return check_other(m, check, &v);
}

/* A flat object, by the checks of the clause. */
static inline enum xe_step match_flat(struct xe_matcher *m, const struct xe_clause *clause)
{
    const struct xe_pattern *head = m->program->patterns + clause->head;
    const unsigned arity = m->body[0] >> 3 & 15, width = (m->body[0] & 7) + 1;
    const uint64_t mask = UINT64_MAX >> (64 - 8 * width);
    const uint8_t *packed = m->body + 1;
    if (arity != head->n || clause->flat_never)
        return XE_STEP_FAIL;
    const struct xe_check *check = m->program->checks + clause->checks;
    const struct xe_check *end = check + clause->n_checks;
    for (; check < end; check++) {
        enum xe_step step;
        if (!check->is_key) {
            step = check_word(m, check, xe_load64(packed + check->index * width) & mask);
        } else {
            const struct xe_value *key = xe_matcher_key(m);
            step = XE_LIKELY(xe_value_is_word(key)) ? check_word(m, check, key->term)
                                                    : check_other(m, check, key);
        }
        if (step != XE_STEP_OK)
            return step;
    }
    return XE_LIKELY(m->n_pending == 0) ? XE_STEP_OK : match_pending(m);
}

static enum xe_step match_other(struct xe_matcher *m, const struct xe_clause *clause)
{
    const struct xe_pattern *head = m->program->patterns + clause->head;
    struct xe_value object = {.kind = XE_VALUE_OBJECT};
    enum xe_step step;
    switch (head->kind) {
    case XE_PATTERN_TUPLE:
        step = match_object(m, head);
        break;
    case XE_PATTERN_ANY:
    case XE_PATTERN_BIND:
        step = match_value(m, head, &object);
        break;
    default:
        return XE_STEP_FAIL; /* no tuple */
    }
    if (step == XE_STEP_OK)
        step = match_pending(m);
    const struct xe_test *next = m->program->tests + clause->tests;
    for (uint32_t i = 0; step == XE_STEP_OK && i < clause->n_tests; i++, next++)
        step = test(m, next->fn, next->word, &m->vars[next->var].value);
    return step;
}

enum xe_step xe_match_head(struct xe_matcher *m, const struct xe_clause *clause)
{
    m->n_pending = 0;
    if (clause->flat && XE_LIKELY(m->body[0] & XE_TERM_BODY_FLAT))
        return match_flat(m, clause);
    return match_other(m, clause);
}
