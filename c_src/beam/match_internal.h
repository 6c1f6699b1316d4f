/*
 * match_internal.h - what compiling and running match specifications share.
 *
 * A program is four arrays, and clauses that say where in them their parts begin.
 *
 *   patterns   the head, as a tree: the children of a pattern lie side by side
 *   tests      guards that compare a variable with a small integer: they come before all others
 *   checks     head and tests once more, for flat objects: what is asked of each element, as one
 *              load and one comparison
 *   ops        other guards, and the body, for a machine with a stack of values
 *
 *   {{'$1', 500, '$2', {'$2', '_'}}, [{'>', '$1', 3}], ['$2']}
 *
 *   patterns   0  TUPLE 4, children from 1        tests    var 0 > 3
 *              1  BIND var 0                      checks   none: element 4 is to be a tuple, so no
 *              2  WORD 500                                 flat object matches. Without it:
 *              3  BIND var 1                               element 2 WORD 500, element 1 > 3,
 *              4  TUPLE 2, children from 5                 element 3 BIND var 1
 *              5  SAME var 1                      ops      HEAD_END, VAR 1, RETURN
 *              6  ANY
 *
 * Values are references to nodes as long as nobody needs the term. Terms that a guard needs are
 * made in an environment of the matcher's own; what is returned is made in the caller's.
 */
#ifndef XE_MATCH_INTERNAL_H
#define XE_MATCH_INTERNAL_H

#include "key.h"
#include "match.h"
#include "term_internal.h"

enum {
    XE_MATCH_VARS_MAX = 128,      /* variables of a clause */
    XE_MATCH_NESTING_MAX = 64,    /* of expressions: they are compiled by recursion */
    XE_MATCH_PATTERNS_MAX = 4096, /* of a program, and likewise ops, and terms that they are made
                                   * of: they are compiled at once */
    XE_MATCH_CLAUSES_MAX = 512,
    XE_MATCH_KEY_ARITY = 8, /* of a tuple that is made a node of an ordered table's key */
    XE_MATCH_KEY_NODE = 2 + 8 * XE_MATCH_KEY_ARITY + XE_READ_SLACK,
    XE_MATCH_SCRATCH_WORDS = 8192, /* that the matcher's environment may hold between two objects */
};

/* Patterns. */

enum xe_pattern_kind {
    XE_PATTERN_ANY,
    XE_PATTERN_BIND,  /* var */
    XE_PATTERN_SAME,  /* var */
    XE_PATTERN_WORD,  /* word: an immediate */
    XE_PATTERN_FLOAT, /* word: the bits. ets compares bits in heads, whatever =:= says of zeros */
    XE_PATTERN_TERM,  /* word: any other term without variables */
    XE_PATTERN_TUPLE, /* n children */
    XE_PATTERN_LIST,  /* n elements, then the tail */
    XE_PATTERN_MAP,   /* n pairs of a key, which is a KEY, and its value */
    XE_PATTERN_KEY,   /* word */
    XE_PATTERN_TEST,  /* of checks only: compares, as function `var` says, with `word` */
};

struct xe_pattern {
    uint8_t kind;
    uint32_t n;
    uint32_t needed; /* children up to the last one that is not ANY */
    union {
        uint32_t first; /* index of the first child */
        uint32_t var;
    };
    uint64_t word;
};

/* A guard. */
struct xe_test {
    uint32_t var, fn;
    uint64_t word; /* a small integer */
};

/* What is asked of an element of a flat object. */
struct xe_check {
    uint8_t kind; /* WORD, TEST, BIND, SAME or, of the key only, any other */
    bool is_key;
    uint16_t index; /* among the elements of the body */
    uint32_t var;
    uint32_t pattern;
    uint64_t word;
};

/* Expressions. */

enum xe_op_code {
    XE_OP_TERM,  /* word */
    XE_OP_FLOAT, /* word: its bits. Operands of calls */
    XE_OP_VAR,   /* var */
    XE_OP_OBJECT,
    XE_OP_SELF,
    XE_OP_TUPLE, /* of the n values on top */
    XE_OP_LIST,  /* of n elements and, on top of them, the tail */
    XE_OP_MAP,   /* of the n values on top; its keys are the words of the n ops behind, KEYs */
    XE_OP_KEY,
    XE_OP_AND, /* of n values */
    XE_OP_OR,
    XE_OP_ANDALSO, /* to op n, if the value on top decides */
    XE_OP_ORELSE,
    XE_OP_CALL,     /* n: xe_function */
    XE_OP_CHECK,    /* the end of a guard: it is to be `true` */
    XE_OP_HEAD_END, /* the end of the guards */
    XE_OP_RETURN,
};

struct xe_op {
    uint8_t code;
    uint32_t var;
    uint32_t n;
    uint64_t word;
};

enum xe_function {
    XE_FN_EQ, /* == */
    XE_FN_NE,
    XE_FN_LT,
    XE_FN_LE,
    XE_FN_GT,
    XE_FN_GE,
    XE_FN_IS, /* =:= */
    XE_FN_IS_NOT,
    XE_FN_PLUS,
    XE_FN_MINUS,
    XE_FN_TIMES,
    XE_FN_DIVIDE,
    XE_FN_DIV,
    XE_FN_REM,
    XE_FN_BAND,
    XE_FN_BOR,
    XE_FN_BXOR,
    XE_FN_BSL,
    XE_FN_BSR,
    XE_FN_XOR,
    XE_FN_ELEMENT,
    XE_FN_IS_MAP_KEY,
    XE_FN_MAP_GET,
    XE_FN_BINARY_LAST = XE_FN_MAP_GET,
    XE_FN_NOT,
    XE_FN_BNOT,
    XE_FN_NEGATE,
    XE_FN_POSITIVE,
    XE_FN_ABS,
    XE_FN_ROUND,
    XE_FN_TRUNC,
    XE_FN_FLOAT,
    XE_FN_HD,
    XE_FN_TL,
    XE_FN_LENGTH,
    XE_FN_SIZE,
    XE_FN_BYTE_SIZE,
    XE_FN_BIT_SIZE,
    XE_FN_MAP_SIZE,
    XE_FN_IS_ATOM,
    XE_FN_IS_BINARY,
    XE_FN_IS_FLOAT,
    XE_FN_IS_FUNCTION,
    XE_FN_IS_INTEGER,
    XE_FN_IS_LIST,
    XE_FN_IS_MAP,
    XE_FN_IS_NUMBER,
    XE_FN_IS_PID,
    XE_FN_IS_PORT,
    XE_FN_IS_REFERENCE,
    XE_FN_IS_TUPLE,
    XE_FN_UNARY_LAST = XE_FN_IS_TUPLE,
    XE_FN_IS_RECORD, /* of three */
};

/* Programs. */

/* What a body is, if that is told without running it. */
enum xe_body_kind { XE_BODY_OPS, XE_BODY_TERM, XE_BODY_OBJECT };

struct xe_clause {
    uint32_t head; /* its pattern */
    uint32_t checks, n_checks;
    uint32_t tests, n_tests;
    bool flat;       /* flat objects are matched by the checks */
    bool flat_never; /* none matches */
    bool guarded;    /* by ops */
    uint8_t body_kind;
    uint32_t guards; /* the first op */
    uint32_t body;
};

struct xe_program {
    int keypos;
    uint32_t n_clauses;
    uint32_t most_vars, most_values, most_pending; /* what running needs room for */
    uint32_t object_words;   /* what an object is charged for at least: as if all of it ran */
    uint32_t constant_words; /* of all constants */
    bool glances;
    struct xe_glance glance;
    const struct xe_clause *clauses;
    const struct xe_pattern *patterns;
    const struct xe_test *tests;
    const struct xe_check *checks;
    const struct xe_op *ops;
};

/* Values. */

enum xe_value_kind {
    XE_VALUE_NONE,
    XE_VALUE_TERM,    /* an immediate, or a term of the caller's environment */
    XE_VALUE_FOREIGN, /* a term of another one, to be copied if it is returned */
    XE_VALUE_FLOAT,
    XE_VALUE_NODE,
    XE_VALUE_KEY, /* the key of an ordered table, not decoded */
    XE_VALUE_OBJECT,
};

/* Where a node is. */
enum xe_place {
    XE_PLACE_BODY,
    XE_PLACE_KEY,     /* then it has the form that key bytes have */
    XE_PLACE_MATCHER, /* xe_matcher.key_node */
};

struct xe_value {
    uint8_t kind;
    uint8_t place; /* NODE */
    union {
        ERL_NIF_TERM term;
        double d;
        const uint8_t *p;
    };
    const uint8_t *handles; /* NODE: the next one */
};

/* A variable: its value, and the term that a body has made of it, if the value is none. */
struct xe_var {
    struct xe_value value;
    ERL_NIF_TERM result; /* or 0 */
};

struct xe_pending {
    const struct xe_pattern *pattern;
    struct xe_value value;
};

struct xe_matcher {
    ErlNifEnv *env;
    ErlNifEnv *scratch; /* made when it is needed first */
    uint64_t scratch_words;
    const struct xe_program *program;
    uint64_t left;
    enum xe_matched error; /* why a step answered XE_STEP_ERROR */
    bool in_body;
    bool to_result; /* what is built is part of the result */
    /* The object at hand. */
    const struct xe_view *view;
    const uint8_t *body;
    struct xe_value key; /* NONE: not looked at yet */
    ERL_NIF_TERM object; /* in `env`, or 0 */
    ERL_NIF_TERM scratch_object;
    struct xe_var *vars;
    struct xe_value *values;
    struct xe_pending *pending;
    uint32_t n_pending;
    uint8_t key_node[XE_MATCH_KEY_NODE]; /* made of the key of an ordered table */
    struct xe_expanded expanded;
};

/* What a step of a run says. FAIL: it does not match; of an expression, that it has no value. */
enum xe_step { XE_STEP_FAIL, XE_STEP_OK, XE_STEP_ERROR };

static inline enum xe_step xe_match_error(struct xe_matcher *m, enum xe_matched error)
{
    m->error = error;
    return XE_STEP_ERROR;
}

static inline enum xe_step xe_match_charge(struct xe_matcher *m, uint64_t words)
{
    if (XE_UNLIKELY(words > m->left))
        return xe_match_error(m, XE_MATCHED_BUDGET);
    m->left -= words;
    return XE_STEP_OK;
}

static inline enum xe_step xe_step_of_bool(bool b)
{
    return b ? XE_STEP_OK : XE_STEP_FAIL;
}

static inline struct xe_value xe_value_of_term(ERL_NIF_TERM t)
{
    return (struct xe_value){.kind = XE_VALUE_TERM, .term = t};
}

/* Fields are set one by one where it matters: a value that is copied as a whole right after parts
 * of it were stored waits for them to reach the cache. */
static inline void xe_value_set(struct xe_value *v, ERL_NIF_TERM t)
{
    v->kind = XE_VALUE_TERM;
    v->term = t;
}

static inline void xe_value_copy(struct xe_value *to, const struct xe_value *from)
{
    to->kind = from->kind;
    to->term = from->term;
    if (XE_UNLIKELY(from->kind == XE_VALUE_NODE)) {
        to->place = from->place;
        to->handles = from->handles;
    }
}

/* Of a term that is not the caller's, unless it is an immediate. */
static inline struct xe_value xe_value_of_foreign(ERL_NIF_TERM t)
{
    return (struct xe_value){.kind = xe_term_is_immediate(t) ? XE_VALUE_TERM : XE_VALUE_FOREIGN,
                             .term = t};
}

static inline bool xe_value_is_word(const struct xe_value *v)
{
    return v->kind == XE_VALUE_TERM && xe_term_is_immediate(v->term);
}

static inline bool xe_value_is_small(const struct xe_value *v)
{
    return v->kind == XE_VALUE_TERM && xe_word_is_small(v->term);
}

static inline bool xe_value_is_term(const struct xe_value *v)
{
    return v->kind == XE_VALUE_TERM || v->kind == XE_VALUE_FOREIGN;
}

_Static_assert(XE_MATCH_KEY_NODE >= 2 + XE_TERM_BIN_VALUE_MAX + XE_READ_SLACK,
               "so large may a binary be that is made a node");

/* match_value.c. A cursor stands at a node, `v` is set to its value; the cursor stays. */
void xe_value_load(const struct xe_cursor *c, struct xe_value *v);
/* A cursor at a NODE. */
static inline struct xe_cursor xe_value_cursor(const struct xe_matcher *m, const struct xe_value *v)
{
    struct xe_cursor c = {.p = v->p, .handles = v->handles, .in_key = v->place == XE_PLACE_KEY};
    if (XE_LIKELY(v->place == XE_PLACE_BODY))
        c.end = m->view->body + m->view->blen;
    else
        c.end = c.in_key ? m->view->key + m->view->klen : m->key_node + sizeof m->key_node;
    return c;
}

/* Moves the cursor past a node; `nodes` adds up. False: too many for the budget. */
static inline bool xe_match_skip(const struct xe_matcher *m, struct xe_cursor *c, uint64_t *nodes)
{
    unsigned tag = *c->p;
    if (tag >> 3 == XE_NODE_IMM) {
        c->p += 2 + (tag & 7);
    } else if (tag >> 3 == XE_NODE_BIN && c->p[1] < 0x80) {
        c->p += 2 + c->p[1];
    } else if (tag >> 3 == XE_NODE_FLOAT) {
        c->p += 9;
    } else {
        struct xe_extent x = {0, *nodes, 0};
        bool ok = xe_node_skip(c, m->left, &x);
        *nodes = x.nodes;
        return ok;
    }
    ++*nodes;
    return true;
}

/* The environment for what is not returned. NULL: out of memory. */
ErlNifEnv *xe_matcher_scratch(struct xe_matcher *m);
/* Loads the object's key into m->key, as a KEY if nothing else will do. The other is match_key.c's,
 * for ordered tables. */
void xe_matcher_load_key(struct xe_matcher *m);
void xe_matcher_load_ordered_key(struct xe_matcher *m);
static inline const struct xe_value *xe_matcher_key(struct xe_matcher *m)
{
    if (m->key.kind == XE_VALUE_NONE)
        xe_matcher_load_key(m);
    return &m->key;
}
/* A KEY is decoded, other values stay. */
enum xe_step xe_value_settle(struct xe_matcher *m, struct xe_value *v);
/* The term of a value: only to look at, or as a part of the result. */
enum xe_step xe_value_term(struct xe_matcher *m, const struct xe_value *v, ERL_NIF_TERM *out);
enum xe_step xe_value_result(struct xe_matcher *m, const struct xe_value *v, ERL_NIF_TERM *out);
/* A copy of a decoded term, or of a handle. */
enum xe_step xe_value_copy_term(struct xe_matcher *m, ErlNifEnv *env, ERL_NIF_TERM t,
                                ERL_NIF_TERM *out);
/* The type; a NODE or OBJECT is not decoded. The value must be settled. */
enum xe_value_type {
    XE_TYPE_ATOM,
    XE_TYPE_INTEGER,
    XE_TYPE_FLOAT,
    XE_TYPE_REFERENCE,
    XE_TYPE_FUN,
    XE_TYPE_PORT,
    XE_TYPE_PID,
    XE_TYPE_TUPLE,
    XE_TYPE_MAP,
    XE_TYPE_LIST, /* [] is one */
    XE_TYPE_BINARY,
    XE_TYPE_BITS,
    XE_TYPE_OTHER,
};
enum xe_value_type xe_value_type(const struct xe_matcher *m, const struct xe_value *v);
/* OK: a =:= b; FAIL: not. */
enum xe_step xe_value_identical(struct xe_matcher *m, struct xe_value *a, struct xe_value *b);
/* The order of the terms, as enif_compare(). */
enum xe_step xe_value_compare(struct xe_matcher *m, struct xe_value *a, struct xe_value *b,
                              int *order);
/* Element i (from 0) of a TUPLE node or of the object. FAIL: it has none. */
enum xe_step xe_value_element(struct xe_matcher *m, const struct xe_value *tuple, uint64_t i,
                              struct xe_value *out);
/* False: it is no map. */
bool xe_value_map_size(const struct xe_matcher *m, const struct xe_value *v, uint64_t *out);
/* What a map has for a key. FAIL: nothing. */
enum xe_step xe_value_map_get(struct xe_matcher *m, const struct xe_value *map,
                              const struct xe_value *key, struct xe_value *out);

/* match_head.c */
/* Head and tests. */
enum xe_step xe_match_head(struct xe_matcher *m, const struct xe_clause *clause);

/* match_call.c. The result takes the place of args[0]. */
enum xe_step xe_match_call(struct xe_matcher *m, enum xe_function fn, struct xe_value *args);
enum xe_step xe_match_compare(struct xe_matcher *m, enum xe_function fn, struct xe_value *a,
                              struct xe_value *b, bool *out);

/* match_expr.c: guards, and the body in `m->in_body`. The value is on the bottom of the stack. */
enum xe_step xe_match_ops(struct xe_matcher *m, uint32_t at);

#endif
