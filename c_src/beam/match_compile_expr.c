/*
 * match_compile_expr.c - match specifications to programs: guards and bodies.
 *
 * Expressions are written in postfix order: operands, then the operation. Constructors whose
 * operands are constants are made at once.
 *
 * Guards under `and` and `andalso` at the top are guards of their own: all of them have to be true,
 * and one that fails makes the clause fail, either way.
 *
 * Of a body only the last expression counts; what stands before it is compiled, for it may be
 * wrong, and dropped, for it has no effect.
 */
#include "match_compile.h"

enum { NAME_MAX_BYTES = 16 };

static bool compile(struct xe_build *b, ERL_NIF_TERM t, unsigned depth);

static bool is_not(struct xe_build *b)
{
    return xe_match_fail(b, XE_COMPILED_NOT);
}

/* An op that takes `operands` values off the stack and puts one on it. */
static bool emit(struct xe_build *b, struct xe_op op, uint32_t operands)
{
    b->n_values = b->n_values - operands + 1;
    if (b->most_values < b->n_values)
        b->most_values = b->n_values;
    return xe_match_emit(b, op);
}

static bool emit_term(struct xe_build *b, ERL_NIF_TERM t)
{
    return emit(b, (struct xe_op){.code = XE_OP_TERM, .word = t}, 0);
}

/* Functions. */

struct function {
    const char *name;
    uint8_t arity, fn;
};

/* Sorted. All of them are known to the releases from 25 on. */
static const struct function functions[] = {
    {"*", 2, XE_FN_TIMES},
    {"+", 1, XE_FN_POSITIVE},
    {"+", 2, XE_FN_PLUS},
    {"-", 1, XE_FN_NEGATE},
    {"-", 2, XE_FN_MINUS},
    {"/", 2, XE_FN_DIVIDE},
    {"/=", 2, XE_FN_NE},
    {"<", 2, XE_FN_LT},
    {"=/=", 2, XE_FN_IS_NOT},
    {"=:=", 2, XE_FN_IS},
    {"=<", 2, XE_FN_LE},
    {"==", 2, XE_FN_EQ},
    {">", 2, XE_FN_GT},
    {">=", 2, XE_FN_GE},
    {"abs", 1, XE_FN_ABS},
    {"band", 2, XE_FN_BAND},
    {"bit_size", 1, XE_FN_BIT_SIZE},
    {"bnot", 1, XE_FN_BNOT},
    {"bor", 2, XE_FN_BOR},
    {"bsl", 2, XE_FN_BSL},
    {"bsr", 2, XE_FN_BSR},
    {"bxor", 2, XE_FN_BXOR},
    {"byte_size", 1, XE_FN_BYTE_SIZE},
    {"div", 2, XE_FN_DIV},
    {"element", 2, XE_FN_ELEMENT},
    {"float", 1, XE_FN_FLOAT},
    {"hd", 1, XE_FN_HD},
    {"is_atom", 1, XE_FN_IS_ATOM},
    {"is_binary", 1, XE_FN_IS_BINARY},
    {"is_float", 1, XE_FN_IS_FLOAT},
    {"is_function", 1, XE_FN_IS_FUNCTION},
    {"is_integer", 1, XE_FN_IS_INTEGER},
    {"is_list", 1, XE_FN_IS_LIST},
    {"is_map", 1, XE_FN_IS_MAP},
    {"is_map_key", 2, XE_FN_IS_MAP_KEY},
    {"is_number", 1, XE_FN_IS_NUMBER},
    {"is_pid", 1, XE_FN_IS_PID},
    {"is_port", 1, XE_FN_IS_PORT},
    {"is_record", 3, XE_FN_IS_RECORD},
    {"is_reference", 1, XE_FN_IS_REFERENCE},
    {"is_tuple", 1, XE_FN_IS_TUPLE},
    {"length", 1, XE_FN_LENGTH},
    {"map_get", 2, XE_FN_MAP_GET},
    {"map_size", 1, XE_FN_MAP_SIZE},
    {"not", 1, XE_FN_NOT},
    {"rem", 2, XE_FN_REM},
    {"round", 1, XE_FN_ROUND},
    {"size", 1, XE_FN_SIZE},
    {"tl", 1, XE_FN_TL},
    {"trunc", 1, XE_FN_TRUNC},
    {"xor", 2, XE_FN_XOR},
};

static const struct function *find_function(const char *name, int arity)
{
    size_t low = 0, high = sizeof functions / sizeof functions[0];
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, functions[middle].name);
        if (order == 0)
            order = arity - functions[middle].arity;
        if (order == 0)
            return &functions[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* Floats among the operands of a call, which are compared and calculated with as such. */
static void unpack_floats(struct xe_build *b, uint32_t from)
{
    double d;
    for (struct xe_op *op = b->ops + from; op < b->ops + b->n_ops; op++)
        if (op->code == XE_OP_TERM && enif_get_double(b->env, op->word, &d)) {
            op->code = XE_OP_FLOAT;
            memcpy(&op->word, &d, sizeof d);
        }
}

static bool compile_operands(struct xe_build *b, const ERL_NIF_TERM *operands, int n,
                             unsigned depth)
{
    for (int i = 0; i < n; i++)
        if (!compile(b, operands[i], depth))
            return false;
    return true;
}

/* andalso and orelse: an operand that decides is the value, the last one is in any case. */
static bool compile_short(struct xe_build *b, enum xe_op_code code, const ERL_NIF_TERM *operands,
                          int n, unsigned depth)
{
    uint32_t last = 0;
    for (int i = 0; i < n; i++) {
        if (!compile(b, operands[i], depth))
            return false;
        if (i == n - 1)
            break;
        /* Until all are there, n is the op before this one. */
        if (!xe_match_emit(b, (struct xe_op){.code = (uint8_t)code, .n = last}))
            return false;
        last = b->n_ops - 1;
        b->n_values--;
    }
    while (last) {
        uint32_t before = b->ops[last].n;
        b->ops[last].n = b->n_ops;
        last = before;
    }
    return true;
}

/* {const, Term} */
static bool compile_const(struct xe_build *b, ERL_NIF_TERM t)
{
    struct xe_word w = {.kind = XE_WORD_OTHER};
    if (xe_term_is_immediate(t) && !xe_match_word(b, t, &w))
        return false;
    b->literals |= !xe_term_is_immediate(t) || w.kind == XE_WORD_VARIABLE;
    return xe_match_weigh(b, t) && emit_term(b, t);
}

static bool compile_call(struct xe_build *b, const ERL_NIF_TERM *tuple, int arity, unsigned depth)
{
    char name[NAME_MAX_BYTES];
    int n = arity - 1;
    uint32_t from = b->n_ops;
    if (enif_get_atom(b->env, tuple[0], name, sizeof name, ERL_NIF_LATIN1) == 0)
        return is_not(b);
    const struct function *f = find_function(name, n);
    if (f) {
        if (!compile_operands(b, tuple + 1, n, depth))
            return false;
        unpack_floats(b, from);
        return emit(b, (struct xe_op){.code = XE_OP_CALL, .n = f->fn, .var = (uint32_t)n},
                    (uint32_t)n);
    }
    if (strcmp(name, "const") == 0)
        return n == 1 ? compile_const(b, tuple[1]) : is_not(b);
    if (strcmp(name, "self") == 0)
        return n == 0 ? emit(b, (struct xe_op){.code = XE_OP_SELF}, 0) : is_not(b);
    if (n == 0)
        return is_not(b);
    if (strcmp(name, "and") == 0 || strcmp(name, "or") == 0)
        return compile_operands(b, tuple + 1, n, depth) &&
               emit(b,
                    (struct xe_op){.code = name[0] == 'a' ? XE_OP_AND : XE_OP_OR, .n = (uint32_t)n},
                    (uint32_t)n);
    if (strcmp(name, "andalso") == 0)
        return compile_short(b, XE_OP_ANDALSO, tuple + 1, n, depth);
    if (strcmp(name, "orelse") == 0)
        return compile_short(b, XE_OP_ORELSE, tuple + 1, n, depth);
    return is_not(b);
}

/* Constructors. */

/* Whether the last n ops, from `from` on, are constants; they are taken back into `terms`. */
static bool take_constants(struct xe_build *b, uint32_t from, uint32_t n, ERL_NIF_TERM *terms,
                           uint32_t max)
{
    if (b->n_ops - from != n || n > max)
        return false;
    if (b->words + 2 * n > XE_BUILD_CONSTANT_WORDS)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (b->ops[from + i].code != XE_OP_TERM)
            return false;
        terms[i] = b->ops[from + i].word;
    }
    b->n_ops = from;
    b->n_values -= n;
    b->words += 2 * n;
    return true;
}

enum { FOLDED_MAX = 32 };

static bool compile_tuple(struct xe_build *b, ERL_NIF_TERM tuple, unsigned depth)
{
    ERL_NIF_TERM terms[FOLDED_MAX];
    const ERL_NIF_TERM *elements;
    int arity;
    uint32_t from = b->n_ops;
    if (!enif_get_tuple(b->env, tuple, &arity, &elements))
        return is_not(b);
    if (!compile_operands(b, elements, arity, depth))
        return false;
    uint32_t n = (uint32_t)arity;
    if (take_constants(b, from, n, terms, FOLDED_MAX))
        return emit_term(b, enif_make_tuple_from_array(b->env, terms, n));
    return emit(b, (struct xe_op){.code = XE_OP_TUPLE, .n = n}, n);
}

static ERL_NIF_TERM make_list(ErlNifEnv *env, const ERL_NIF_TERM *terms, uint32_t n)
{
    ERL_NIF_TERM list = terms[n];
    while (n-- > 0)
        list = enif_make_list_cell(env, terms[n], list);
    return list;
}

static bool compile_list(struct xe_build *b, ERL_NIF_TERM list, unsigned depth)
{
    ERL_NIF_TERM terms[FOLDED_MAX], head;
    uint32_t n = 0, from = b->n_ops;
    for (; enif_get_list_cell(b->env, list, &head, &list); n++)
        if (!compile(b, head, depth))
            return false;
    if (!compile(b, list, depth))
        return false;
    if (take_constants(b, from, n + 1, terms, FOLDED_MAX))
        return emit_term(b, make_list(b->env, terms, n));
    return emit(b, (struct xe_op){.code = XE_OP_LIST, .n = n}, n + 1);
}

/* Keys are expressions as well, but only those that are what they say are done here. */
static bool is_plain_key(struct xe_build *b, ERL_NIF_TERM key)
{
    struct xe_word w;
    if (xe_term_is_immediate(key))
        return (xe_match_word(b, key, &w) && w.kind <= XE_WORD_OTHER) || is_not(b);
    return enif_is_number(b->env, key) || enif_is_binary(b->env, key) || is_not(b);
}

static bool emit_keys(struct xe_build *b, ERL_NIF_TERM map)
{
    ErlNifMapIterator it;
    ERL_NIF_TERM key, value;
    if (!enif_map_iterator_create(b->env, map, &it, ERL_NIF_MAP_ITERATOR_FIRST))
        return xe_match_fail(b, XE_COMPILED_NOMEM);
    bool ok = true;
    while (ok && enif_map_iterator_get_pair(b->env, &it, &key, &value)) {
        ok = xe_match_emit(b, (struct xe_op){.code = XE_OP_KEY, .word = key});
        enif_map_iterator_next(b->env, &it);
    }
    enif_map_iterator_destroy(b->env, &it);
    return ok;
}

static bool compile_map(struct xe_build *b, ERL_NIF_TERM map, unsigned depth)
{
    ErlNifMapIterator it;
    ERL_NIF_TERM key, value;
    size_t size;
    enif_get_map_size(b->env, map, &size);
    if (size > FOLDED_MAX)
        return is_not(b);
    if (size == 0)
        return emit_term(b, map);
    if (!enif_map_iterator_create(b->env, map, &it, ERL_NIF_MAP_ITERATOR_FIRST))
        return xe_match_fail(b, XE_COMPILED_NOMEM);
    bool ok = true;
    while (ok && enif_map_iterator_get_pair(b->env, &it, &key, &value)) {
        ok = is_plain_key(b, key) && compile(b, value, depth);
        enif_map_iterator_next(b->env, &it);
    }
    enif_map_iterator_destroy(b->env, &it);
    return ok && emit(b, (struct xe_op){.code = XE_OP_MAP, .n = (uint32_t)size}, (uint32_t)size) &&
           emit_keys(b, map);
}

/* Atoms and other immediates. */

static bool use_variable(struct xe_build *b, struct xe_build_var *var)
{
    if (!var)
        return is_not(b);
    var->uses++;
    return emit(b, (struct xe_op){.code = XE_OP_VAR, .var = (uint32_t)(var - b->vars)}, 0);
}

/* '$$': all variables by their numbers. */
static bool compile_bindings(struct xe_build *b)
{
    uint32_t below = 0;
    for (uint32_t n = 0; n < b->n_vars; n++) {
        struct xe_build_var *next = NULL;
        for (uint32_t i = 0; i < b->n_vars; i++)
            if (b->vars[i].number >= below && (!next || b->vars[i].number < next->number))
                next = &b->vars[i];
        below = next->number + 1;
        if (!use_variable(b, next))
            return false;
    }
    return emit_term(b, xe_term_traits.nil) &&
           (b->n_vars == 0 ||
            emit(b, (struct xe_op){.code = XE_OP_LIST, .n = b->n_vars}, b->n_vars + 1));
}

static bool compile_word(struct xe_build *b, ERL_NIF_TERM word)
{
    struct xe_word w;
    if (!xe_match_word(b, word, &w))
        return false;
    switch (w.kind) {
    case XE_WORD_VARIABLE:
        return use_variable(b, xe_match_variable(b, w.number));
    case XE_WORD_OBJECT:
        return emit(b, (struct xe_op){.code = XE_OP_OBJECT}, 0);
    case XE_WORD_BINDINGS:
        return compile_bindings(b);
    default:
        return emit_term(b, word);
    }
}

static bool compile(struct xe_build *b, ERL_NIF_TERM t, unsigned depth)
{
    const ERL_NIF_TERM *elements;
    int arity;
    if (++b->n_terms > XE_MATCH_PATTERNS_MAX)
        return is_not(b);
    if (xe_term_is_immediate(t))
        return compile_word(b, t);
    if (depth == XE_MATCH_NESTING_MAX)
        return is_not(b);
    if (enif_get_tuple(b->env, t, &arity, &elements)) {
        if (arity == 1 && enif_is_tuple(b->env, elements[0]))
            return compile_tuple(b, elements[0], depth + 1);
        return arity > 0 ? compile_call(b, elements, arity, depth + 1) : is_not(b);
    }
    if (enif_is_list(b->env, t))
        return compile_list(b, t, depth + 1);
    if (enif_is_map(b->env, t))
        return compile_map(b, t, depth + 1);
    return xe_match_weigh(b, t) && emit_term(b, t);
}

/* Guards. */

/* What a comparison is with its operands the other way round. */
static uint32_t turned(uint32_t fn)
{
    switch (fn) {
    case XE_FN_LT:
        return XE_FN_GT;
    case XE_FN_LE:
        return XE_FN_GE;
    case XE_FN_GT:
        return XE_FN_LT;
    case XE_FN_GE:
        return XE_FN_LE;
    default:
        return fn;
    }
}

/* Makes a test of {Comparison, Variable, SmallInteger}, in either order. *done: that is the guard.
 */
static bool end_test(struct xe_build *b, uint32_t from, bool *done)
{
    const struct xe_op *op = b->ops + from;
    *done = false;
    if (b->n_ops - from != 3 || op[2].code != XE_OP_CALL || op[2].n > XE_FN_IS_NOT)
        return true;
    bool first = op[0].code == XE_OP_VAR;
    const struct xe_op *var = first ? op : op + 1, *constant = first ? op + 1 : op;
    if (var->code != XE_OP_VAR || constant->code != XE_OP_TERM || !xe_word_is_small(constant->word))
        return true;
    *done = true;
    b->n_ops = from;
    b->vars[var->var].tests++;
    return xe_match_add_test(b, (struct xe_test){.var = var->var,
                                                 .fn = first ? op[2].n : turned(op[2].n),
                                                 .word = constant->word});
}

static bool end_guard(struct xe_build *b, uint32_t from)
{
    bool done;
    b->n_values = 0;
    return end_test(b, from, &done) &&
           (done || xe_match_emit(b, (struct xe_op){.code = XE_OP_CHECK}));
}

static bool is_conjunction(struct xe_build *b, const ERL_NIF_TERM *tuple, int arity)
{
    char name[NAME_MAX_BYTES];
    return arity > 1 && enif_get_atom(b->env, tuple[0], name, sizeof name, ERL_NIF_LATIN1) > 0 &&
           (strcmp(name, "and") == 0 || strcmp(name, "andalso") == 0);
}

static bool compile_guard(struct xe_build *b, ERL_NIF_TERM guard, unsigned depth)
{
    const ERL_NIF_TERM *elements;
    int arity;
    uint32_t from = b->n_ops;
    if (depth < XE_MATCH_NESTING_MAX && enif_get_tuple(b->env, guard, &arity, &elements) &&
        is_conjunction(b, elements, arity)) {
        for (int i = 1; i < arity; i++)
            if (!compile_guard(b, elements[i], depth + 1))
                return false;
        return true;
    }
    return compile(b, guard, depth) && end_guard(b, from);
}

bool xe_match_compile_guards(struct xe_build *b, ERL_NIF_TERM guards, struct xe_clause *clause)
{
    ERL_NIF_TERM guard;
    clause->guards = b->n_ops;
    clause->tests = b->n_tests;
    while (enif_get_list_cell(b->env, guards, &guard, &guards))
        if (!compile_guard(b, guard, 0))
            return false;
    if (guards != xe_term_traits.nil)
        return is_not(b);
    clause->guarded = b->n_ops > clause->guards;
    clause->n_tests = b->n_tests - clause->tests;
    return xe_match_emit(b, (struct xe_op){.code = XE_OP_HEAD_END});
}

/* Bodies. */

bool xe_match_compile_body(struct xe_build *b, ERL_NIF_TERM body, struct xe_clause *clause)
{
    ERL_NIF_TERM expression;
    uint32_t n = 0;
    clause->body = b->n_ops;
    for (; enif_get_list_cell(b->env, body, &expression, &body); n++) {
        b->n_ops = clause->body;
        b->n_values = 0;
        if (!compile(b, expression, 0))
            return false;
    }
    if (n == 0 || body != xe_term_traits.nil)
        return is_not(b);
    b->n_values = 0;
    clause->body_kind = XE_BODY_OPS;
    if (b->n_ops == clause->body + 1) {
        if (b->ops[clause->body].code == XE_OP_TERM)
            clause->body_kind = XE_BODY_TERM;
        else if (b->ops[clause->body].code == XE_OP_OBJECT)
            clause->body_kind = XE_BODY_OBJECT;
    }
    return xe_match_emit(b, (struct xe_op){.code = XE_OP_RETURN});
}
