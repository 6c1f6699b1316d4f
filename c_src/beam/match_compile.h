/*
 * match_compile.h - what compiling heads and compiling expressions share.
 */
#ifndef XE_MATCH_COMPILE_H
#define XE_MATCH_COMPILE_H

#include "match_internal.h"

enum {
    XE_BUILD_ITEMS = 64, /* of each array, and clauses, on the C stack */
    XE_BUILD_CLAUSES = 4,
    /* A head with a variable of a number from about here on makes ets rename variables everywhere,
     * in constants, too. */
    XE_MATCH_RENUMBERED = 20,
    XE_BUILD_CONSTANT_WORDS = 4096, /* of all constants: looking at them takes as long as that */
};

struct xe_build_var {
    uint32_t number;
    uint32_t uses; /* in the head, but for the first, in ops and in tests */
    uint32_t tests;
};

struct xe_waiting {
    uint32_t pattern;
    ERL_NIF_TERM term;
};

/* A program that is being made. */
struct xe_build {
    ErlNifEnv *env;
    const struct xe_form *form;
    enum xe_compiled status;   /* once something failed, why */
    bool renumbered, literals; /* see XE_MATCH_RENUMBERED; there are terms that it would change */
    uint32_t n_clauses, n_patterns, n_tests, n_checks, n_ops, n_waiting, n_vars;
    uint32_t most_vars, most_values, most_pending;
    uint32_t clause_containers;
    uint32_t n_terms;         /* of guards and bodies, those of which nothing is left as well */
    uint32_t words;           /* of constants */
    uint32_t work, most_body; /* see xe_program */
    uint32_t n_values; /* on the stack at this op */
    size_t cap_patterns, cap_tests, cap_checks, cap_ops, cap_waiting;
    struct xe_pattern *patterns;
    struct xe_test *tests;
    struct xe_check *checks;
    struct xe_op *ops;
    struct xe_waiting *waiting;
    struct xe_clause *clauses;
    struct xe_build_var vars[XE_MATCH_VARS_MAX];
    struct xe_pattern small_patterns[XE_BUILD_ITEMS];
    struct xe_test small_tests[XE_BUILD_ITEMS];
    struct xe_check small_checks[XE_BUILD_ITEMS];
    struct xe_op small_ops[XE_BUILD_ITEMS];
    struct xe_waiting small_waiting[XE_BUILD_ITEMS];
    struct xe_clause small_clauses[XE_BUILD_CLAUSES];
};

/* What an immediate means in a specification. */
struct xe_word {
    enum {
        XE_WORD_OTHER,
        XE_WORD_VARIABLE,
        XE_WORD_ANY,
        XE_WORD_OBJECT,
        XE_WORD_BINDINGS,
    } kind;
    uint32_t number;
};

/* What the finished program asks at a glance. */
void xe_match_make_glance(struct xe_program *p);

/* All return false when the build has failed. */
bool xe_match_fail(struct xe_build *b, enum xe_compiled why);
/* Whether a constant is small enough. */
bool xe_match_weigh(struct xe_build *b, ERL_NIF_TERM constant);
bool xe_match_word(struct xe_build *b, ERL_NIF_TERM word, struct xe_word *out);
bool xe_match_emit(struct xe_build *b, struct xe_op op);
bool xe_match_add_test(struct xe_build *b, struct xe_test test);
struct xe_build_var *xe_match_variable(struct xe_build *b, uint32_t number);

bool xe_match_compile_guards(struct xe_build *b, ERL_NIF_TERM guards, struct xe_clause *clause);
bool xe_match_compile_body(struct xe_build *b, ERL_NIF_TERM body, struct xe_clause *clause);

#endif
