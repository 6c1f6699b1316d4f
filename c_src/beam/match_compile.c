/*
 * match_compile.c - match specifications to programs: heads (match_internal.h).
 *
 * Accepted is only what ets:match_spec_compile/1 accepts on every release from OTP 25 on; whatever
 * seems unusual is left to ets, which then tells the rare from the wrong.
 *
 * A head is walked with a stack of containers, in the order in which it is matched later: so it is
 * known at each place whether its variable has been bound before.
 */
#include "match_compile.h"

enum {
    VAR_DIGITS_MAX = 8,
    ATOM_TEXT_MAX = 256,
    OBJECT_WORDS = 1, /* what looking at an object costs in any case */
};

bool xe_match_fail(struct xe_build *b, enum xe_compiled why)
{
    b->status = why;
    return false;
}

/* Arrays. */

static bool grow(struct xe_build *b, void **array, const void *small, uint32_t used, uint32_t n,
                 size_t item, size_t *cap)
{
    if (used + (size_t)n <= *cap)
        return true;
    if (n > XE_MATCH_PATTERNS_MAX || used + n > XE_MATCH_PATTERNS_MAX)
        return xe_match_fail(b, XE_COMPILED_NOT);
    void *grown = xe_term_grow(*array, small, used, used + n, item, 0, cap);
    if (!grown)
        return xe_match_fail(b, XE_COMPILED_NOMEM);
    *array = grown;
    return true;
}

static bool add_patterns(struct xe_build *b, uint32_t n, uint32_t *first)
{
    *first = b->n_patterns;
    if (!grow(b, (void **)&b->patterns, b->small_patterns, b->n_patterns, n, sizeof *b->patterns,
              &b->cap_patterns))
        return false;
    memset(b->patterns + b->n_patterns, 0, n * sizeof *b->patterns);
    b->n_patterns += n;
    return true;
}

bool xe_match_emit(struct xe_build *b, struct xe_op op)
{
    if (!grow(b, (void **)&b->ops, b->small_ops, b->n_ops, 1, sizeof op, &b->cap_ops))
        return false;
    b->ops[b->n_ops++] = op;
    return true;
}

bool xe_match_add_test(struct xe_build *b, struct xe_test test)
{
    if (!grow(b, (void **)&b->tests, b->small_tests, b->n_tests, 1, sizeof test, &b->cap_tests))
        return false;
    b->tests[b->n_tests++] = test;
    return true;
}

static bool add_check(struct xe_build *b, struct xe_check check)
{
    if (!grow(b, (void **)&b->checks, b->small_checks, b->n_checks, 1, sizeof check,
              &b->cap_checks))
        return false;
    b->checks[b->n_checks++] = check;
    return true;
}

/* Atoms. */

/* The number of a variable; false: no variable, or one of a number that ets may take for another.
 */
static bool parse_variable(struct xe_build *b, const char *text, uint32_t *number, bool *is)
{
    size_t digits = strspn(text + 1, "0123456789");
    *is =
        text[0] == '$' && digits > 0 && text[1 + digits] == '\0' && (text[1] != '0' || digits == 1);
    *number = 0;
    if (!*is)
        return true;
    if (digits > VAR_DIGITS_MAX)
        return xe_match_fail(b, XE_COMPILED_NOT);
    for (const char *p = text + 1; *p; p++)
        *number = *number * 10 + (uint32_t)(*p - '0');
    return true;
}

bool xe_match_word(struct xe_build *b, ERL_NIF_TERM word, struct xe_word *out)
{
    char text[ATOM_TEXT_MAX];
    bool is_variable;
    out->kind = XE_WORD_OTHER;
    /* An atom that is not in Latin-1, or has no such text, is none of these. */
    if (xe_word_is_small(word) ||
        enif_get_atom(b->env, word, text, sizeof text, ERL_NIF_LATIN1) == 0)
        return true;
    if (!parse_variable(b, text, &out->number, &is_variable))
        return false;
    if (is_variable)
        out->kind = XE_WORD_VARIABLE;
    else if (strcmp(text, "_") == 0)
        out->kind = XE_WORD_ANY;
    else if (strcmp(text, "$_") == 0)
        out->kind = XE_WORD_OBJECT;
    else if (strcmp(text, "$$") == 0)
        out->kind = XE_WORD_BINDINGS;
    return true;
}

bool xe_match_weigh(struct xe_build *b, ERL_NIF_TERM constant)
{
    struct xe_encoder e;
    if (xe_term_is_immediate(constant))
        return true;
    xe_encoder_init(&e, b->env, XE_BUILD_CONSTANT_WORDS - b->words);
    xe_term_encode_nodes(&e, &constant, 1);
    enum xe_term_status status = e.status;
    b->words = XE_BUILD_CONSTANT_WORDS - (uint32_t)xe_encoder_left(&e);
    xe_encoder_clear(&e);
    if (status == XE_TERM_OK)
        return true;
    return xe_match_fail(b, status == XE_TERM_NOMEM ? XE_COMPILED_NOMEM : XE_COMPILED_NOT);
}

/* Variables of the clause. */

struct xe_build_var *xe_match_variable(struct xe_build *b, uint32_t number)
{
    for (uint32_t i = 0; i < b->n_vars; i++)
        if (b->vars[i].number == number)
            return &b->vars[i];
    return NULL;
}

static bool set_variable(struct xe_build *b, struct xe_pattern *p, uint32_t number)
{
    struct xe_build_var *var = xe_match_variable(b, number);
    /* Specifications with large numbers are renumbered by ets, constants included. */
    b->renumbered |= number >= XE_MATCH_RENUMBERED;
    if (var) {
        var->uses++;
        p->kind = XE_PATTERN_SAME;
    } else {
        if (b->n_vars == XE_MATCH_VARS_MAX)
            return xe_match_fail(b, XE_COMPILED_NOT);
        var = &b->vars[b->n_vars++];
        *var = (struct xe_build_var){.number = number};
        p->kind = XE_PATTERN_BIND;
    }
    p->var = (uint32_t)(var - b->vars);
    return true;
}

/* Heads. */

/* A container whose children are still to be made. */
static bool postpone(struct xe_build *b, uint32_t pattern, ERL_NIF_TERM term)
{
    if (!grow(b, (void **)&b->waiting, b->small_waiting, b->n_waiting, 1, sizeof *b->waiting,
              &b->cap_waiting))
        return false;
    b->waiting[b->n_waiting++] = (struct xe_waiting){pattern, term};
    b->clause_containers++;
    return true;
}

static bool set_word(struct xe_build *b, struct xe_pattern *p, ERL_NIF_TERM word)
{
    struct xe_word w;
    if (!xe_match_word(b, word, &w))
        return false;
    if (w.kind == XE_WORD_VARIABLE)
        return set_variable(b, p, w.number);
    p->kind = w.kind == XE_WORD_ANY ? XE_PATTERN_ANY : XE_PATTERN_WORD;
    p->word = word;
    return true;
}

/* The pattern at an index, of this term. */
static bool set_pattern(struct xe_build *b, uint32_t index, ERL_NIF_TERM term)
{
    struct xe_pattern *p = &b->patterns[index];
    double d;
    if (xe_term_is_immediate(term))
        return set_word(b, p, term);
    if (enif_is_tuple(b->env, term)) {
        p->kind = XE_PATTERN_TUPLE;
    } else if (enif_is_list(b->env, term)) {
        p->kind = XE_PATTERN_LIST;
    } else if (enif_is_map(b->env, term)) {
        p->kind = XE_PATTERN_MAP;
    } else {
        p->kind = XE_PATTERN_TERM;
        p->word = term;
        if (enif_get_double(b->env, term, &d)) {
            p->kind = XE_PATTERN_FLOAT;
            memcpy(&p->word, &d, sizeof d);
        }
        return true;
    }
    return postpone(b, index, term);
}

static bool set_tuple(struct xe_build *b, uint32_t index, ERL_NIF_TERM term)
{
    const ERL_NIF_TERM *elements;
    int arity;
    uint32_t first;
    enif_get_tuple(b->env, term, &arity, &elements);
    if (!add_patterns(b, (uint32_t)arity, &first))
        return false;
    b->patterns[index].n = (uint32_t)arity;
    b->patterns[index].first = first;
    for (int i = 0; i < arity; i++)
        if (!set_pattern(b, first + (uint32_t)i, elements[i]))
            return false;
    return true;
}

static bool set_list(struct xe_build *b, uint32_t index, ERL_NIF_TERM term)
{
    ERL_NIF_TERM head, tail = term;
    uint32_t n = 0, first;
    while (n <= XE_MATCH_PATTERNS_MAX && enif_get_list_cell(b->env, tail, &head, &tail))
        n++;
    if (!add_patterns(b, n + 1, &first))
        return false;
    b->patterns[index].n = n;
    b->patterns[index].first = first;
    for (tail = term; enif_get_list_cell(b->env, tail, &head, &tail); first++)
        if (!set_pattern(b, first, head))
            return false;
    return set_pattern(b, first, tail);
}

static bool set_map_key(struct xe_build *b, uint32_t index, ERL_NIF_TERM key)
{
    struct xe_word w = {.kind = XE_WORD_OTHER};
    if (xe_term_is_immediate(key) && !xe_match_word(b, key, &w))
        return false;
    if (w.kind == XE_WORD_VARIABLE || w.kind == XE_WORD_ANY)
        return xe_match_fail(b, XE_COMPILED_NOT);
    b->literals |= !xe_term_is_immediate(key);
    b->patterns[index].kind = XE_PATTERN_KEY;
    b->patterns[index].word = key;
    return xe_match_weigh(b, key);
}

static bool set_map(struct xe_build *b, uint32_t index, ERL_NIF_TERM term)
{
    ErlNifMapIterator it;
    ERL_NIF_TERM key, value;
    size_t size;
    uint32_t first;
    enif_get_map_size(b->env, term, &size);
    if (size > XE_MATCH_PATTERNS_MAX || !add_patterns(b, 2 * (uint32_t)size, &first))
        return b->status == XE_COMPILED ? xe_match_fail(b, XE_COMPILED_NOT) : false;
    b->patterns[index].n = (uint32_t)size;
    b->patterns[index].first = first;
    if (!enif_map_iterator_create(b->env, term, &it, ERL_NIF_MAP_ITERATOR_FIRST))
        return xe_match_fail(b, XE_COMPILED_NOMEM);
    bool ok = true;
    for (; ok && enif_map_iterator_get_pair(b->env, &it, &key, &value); first += 2) {
        ok = set_map_key(b, first, key) && set_pattern(b, first + 1, value);
        enif_map_iterator_next(b->env, &it);
    }
    enif_map_iterator_destroy(b->env, &it);
    return ok;
}

static bool compile_head(struct xe_build *b, ERL_NIF_TERM head, uint32_t *index)
{
    b->n_waiting = 0;
    b->clause_containers = 0;
    bool ok = add_patterns(b, 1, index) && set_pattern(b, *index, head);
    while (ok && b->n_waiting > 0) {
        struct xe_waiting next = b->waiting[--b->n_waiting];
        switch (b->patterns[next.pattern].kind) {
        case XE_PATTERN_TUPLE:
            ok = set_tuple(b, next.pattern, next.term);
            break;
        case XE_PATTERN_LIST:
            ok = set_list(b, next.pattern, next.term);
            break;
        default:
            ok = set_map(b, next.pattern, next.term);
        }
    }
    if (b->most_pending < b->clause_containers)
        b->most_pending = b->clause_containers;
    return ok;
}

/* Variables that nobody asks for are not bound; and how many children are looked at. */
static void tidy_patterns(struct xe_build *b, uint32_t from)
{
    for (uint32_t i = from; i < b->n_patterns; i++) {
        struct xe_pattern *p = &b->patterns[i];
        if (p->kind == XE_PATTERN_BIND && b->vars[p->var].uses == 0)
            p->kind = XE_PATTERN_ANY;
    }
    for (uint32_t i = from; i < b->n_patterns; i++) {
        struct xe_pattern *p = &b->patterns[i];
        if (p->kind != XE_PATTERN_TUPLE)
            continue;
        p->needed = p->n;
        while (p->needed > 0 && b->patterns[p->first + p->needed - 1].kind == XE_PATTERN_ANY)
            p->needed--;
    }
}

/* Checks: constants and tests come first, which are cheap and may fail; then variables in their
 * order. What is only tested need not be bound. */

static bool add_check_of(struct xe_build *b, const struct xe_pattern *head, uint32_t i,
                         enum xe_pattern_kind kind, uint32_t var, uint64_t word)
{
    uint32_t key = (uint32_t)b->form->keypos - 1;
    return add_check(b, (struct xe_check){.kind = (uint8_t)kind,
                                          .is_key = i == key,
                                          .index = (uint16_t)(i - (i > key)),
                                          .var = var,
                                          .pattern = head->first + i,
                                          .word = word});
}

static bool add_constants(struct xe_build *b, const struct xe_pattern *head)
{
    for (uint32_t i = 0; i < head->needed; i++) {
        const struct xe_pattern *p = &b->patterns[head->first + i];
        if (p->kind == XE_PATTERN_WORD && !add_check_of(b, head, i, p->kind, 0, p->word))
            return false;
    }
    return true;
}

/* The variables of a flat object's clause are bound at the top, or in a key that is a container:
 * then the clause has no checks. */
static bool add_tests(struct xe_build *b, const struct xe_pattern *head,
                      const struct xe_clause *clause)
{
    for (uint32_t j = clause->tests; j < b->n_tests; j++) {
        uint32_t i = 0;
        while (b->patterns[head->first + i].kind != XE_PATTERN_BIND ||
               b->patterns[head->first + i].var != b->tests[j].var)
            i++;
        if (!add_check_of(b, head, i, XE_PATTERN_TEST, b->tests[j].fn, b->tests[j].word))
            return false;
    }
    return true;
}

static bool add_variables(struct xe_build *b, const struct xe_pattern *head)
{
    for (uint32_t i = 0; i < head->needed; i++) {
        const struct xe_pattern *p = &b->patterns[head->first + i];
        bool bound = p->kind == XE_PATTERN_BIND && b->vars[p->var].uses > b->vars[p->var].tests;
        if ((bound || p->kind > XE_PATTERN_BIND) && p->kind != XE_PATTERN_WORD &&
            !add_check_of(b, head, i, p->kind, p->var, p->word))
            return false;
    }
    return true;
}

static bool tests_are_of_elements(const struct xe_build *b, const struct xe_pattern *head,
                                  const struct xe_clause *clause)
{
    for (uint32_t j = clause->tests; j < b->n_tests; j++) {
        bool found = false;
        for (uint32_t i = 0; i < head->needed; i++)
            found |= b->patterns[head->first + i].kind == XE_PATTERN_BIND &&
                     b->patterns[head->first + i].var == b->tests[j].var;
        if (!found)
            return false;
    }
    return true;
}

static bool make_checks(struct xe_build *b, struct xe_clause *clause)
{
    const struct xe_pattern *head = &b->patterns[clause->head];
    clause->checks = b->n_checks;
    if (head->kind != XE_PATTERN_TUPLE)
        return true;
    clause->flat = true;
    clause->flat_never = head->n > XE_TERM_FLAT_ARITY_MAX || head->n < (uint32_t)b->form->keypos;
    for (uint32_t i = 0; i < head->needed; i++)
        if (b->patterns[head->first + i].kind > XE_PATTERN_WORD &&
            i + 1 != (uint32_t)b->form->keypos)
            clause->flat_never = true;
    if (clause->flat_never)
        return true;
    clause->flat = tests_are_of_elements(b, head, clause);
    if (clause->flat &&
        !(add_constants(b, head) && add_tests(b, head, clause) && add_variables(b, head)))
        return false;
    clause->n_checks = b->n_checks - clause->checks;
    return true;
}

/* Clauses. */

static bool compile_clause(struct xe_build *b, ERL_NIF_TERM term, struct xe_clause *clause)
{
    const ERL_NIF_TERM *parts;
    int arity;
    uint32_t from = b->n_patterns;
    if (!enif_get_tuple(b->env, term, &arity, &parts) || arity != 3)
        return xe_match_fail(b, XE_COMPILED_NOT);
    memset(clause, 0, sizeof *clause);
    b->n_vars = 0;
    if (!compile_head(b, parts[0], &clause->head) ||
        !xe_match_compile_guards(b, parts[1], clause) ||
        !xe_match_compile_body(b, parts[2], clause))
        return false;
    tidy_patterns(b, from);
    /* A clause that fails; of bodies one runs. Of a head little is looked at, unless the object is
     * large, and charged for that. */
    b->work += 1 + clause->n_tests + (clause->body - clause->guards) + (b->n_patterns - from) / 8;
    if (b->most_body < b->n_ops - clause->body)
        b->most_body = b->n_ops - clause->body;
    if (b->most_vars < b->n_vars)
        b->most_vars = b->n_vars;
    return make_checks(b, clause);
}

static bool compile_clauses(struct xe_build *b, ERL_NIF_TERM spec)
{
    size_t length = 0;
    ERL_NIF_TERM head, tail = spec;
    while (length <= XE_MATCH_CLAUSES_MAX && enif_get_list_cell(b->env, tail, &head, &tail))
        length++;
    if (length == 0 || length > XE_MATCH_CLAUSES_MAX || tail != xe_term_traits.nil)
        return xe_match_fail(b, XE_COMPILED_NOT);
    if (length > XE_BUILD_CLAUSES) {
        b->clauses = enif_alloc(length * sizeof *b->clauses);
        if (!b->clauses)
            return xe_match_fail(b, XE_COMPILED_NOMEM);
    }
    while (enif_get_list_cell(b->env, spec, &head, &spec))
        if (!compile_clause(b, head, &b->clauses[b->n_clauses++]))
            return false;
    if (b->renumbered && b->literals)
        return xe_match_fail(b, XE_COMPILED_NOT);
    return true;
}

/* Programs. */

static void *put(uint8_t **at, const void *from, size_t n, size_t item)
{
    uint8_t *to = *at;
    memcpy(to, from, n * item);
    *at += n * item;
    return to;
}

static bool make_program(struct xe_build *b, struct xe_program **out)
{
    _Static_assert(sizeof(struct xe_program) % 8 == 0 && sizeof(struct xe_clause) % 4 == 0 &&
                       sizeof(struct xe_pattern) % 8 == 0 && sizeof(struct xe_op) % 8 == 0 &&
                       sizeof(struct xe_check) % 8 == 0 && sizeof(struct xe_test) % 8 == 0,
                   "the arrays lie behind each other");
    size_t size = sizeof **out + b->n_patterns * sizeof *b->patterns +
                  b->n_tests * sizeof *b->tests + b->n_ops * sizeof *b->ops +
                  b->n_checks * sizeof *b->checks + b->n_clauses * sizeof *b->clauses;
    struct xe_program *p = enif_alloc(size);
    if (!p)
        return xe_match_fail(b, XE_COMPILED_NOMEM);
    uint8_t *at = (uint8_t *)(p + 1);
    *p = (struct xe_program){
        .keypos = b->form->keypos,
        .n_clauses = b->n_clauses,
        .most_vars = b->most_vars,
        .most_values = b->most_values,
        .most_pending = b->most_pending,
        .object_words = OBJECT_WORDS + b->work + b->most_body,
        .constant_words = b->words,
    };
    p->patterns = put(&at, b->patterns, b->n_patterns, sizeof *b->patterns);
    p->tests = put(&at, b->tests, b->n_tests, sizeof *b->tests);
    p->checks = put(&at, b->checks, b->n_checks, sizeof *b->checks);
    p->ops = put(&at, b->ops, b->n_ops, sizeof *b->ops);
    p->clauses = put(&at, b->clauses, b->n_clauses, sizeof *b->clauses);
    xe_match_make_glance(p);
    *out = p;
    return true;
}

static void build_init(struct xe_build *b, ErlNifEnv *env, const struct xe_form *form)
{
    memset(b, 0, offsetof(struct xe_build, vars));
    b->env = env;
    b->form = form;
    b->status = XE_COMPILED;
    b->patterns = b->small_patterns;
    b->cap_patterns = XE_BUILD_ITEMS;
    b->ops = b->small_ops;
    b->cap_ops = XE_BUILD_ITEMS;
    b->tests = b->small_tests;
    b->cap_tests = XE_BUILD_ITEMS;
    b->checks = b->small_checks;
    b->cap_checks = XE_BUILD_ITEMS;
    b->waiting = b->small_waiting;
    b->cap_waiting = XE_BUILD_ITEMS;
    b->clauses = b->small_clauses;
}

static void build_clear(struct xe_build *b)
{
    if (b->patterns != b->small_patterns)
        enif_free(b->patterns);
    if (b->ops != b->small_ops)
        enif_free(b->ops);
    if (b->tests != b->small_tests)
        enif_free(b->tests);
    if (b->checks != b->small_checks)
        enif_free(b->checks);
    if (b->waiting != b->small_waiting)
        enif_free(b->waiting);
    if (b->clauses != b->small_clauses)
        enif_free(b->clauses);
}

enum xe_compiled xe_program_compile(ErlNifEnv *env, ERL_NIF_TERM spec, const struct xe_form *form,
                                    struct xe_program **out)
{
    struct xe_build b;
    /* Programs compute with the words of small integers. */
    if (!xe_term_traits.smalls)
        return XE_COMPILED_NOT;
    build_init(&b, env, form);
    if (compile_clauses(&b, spec))
        make_program(&b, out);
    build_clear(&b);
    return b.status;
}

void xe_program_free(struct xe_program *p)
{
    enif_free(p);
}
