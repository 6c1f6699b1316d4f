/*
 * match.h - match specifications over stored objects.
 *
 * A specification is compiled to a program, which runs on the bytes of an object (term.h): nothing
 * is decoded but what a guard or a body needs as a term. What it answers is what ets answers, for
 * all that it accepts; a specification that is not among that, be it valid or not, is the affair
 * of ets:match_spec_run/2, through src/xets_match.erl.
 */
#ifndef XE_MATCH_H
#define XE_MATCH_H

#include "call.h"

/* Immutable. Its constants are terms of the environment it was compiled in. */
struct xe_program;

enum xe_compiled {
    XE_COMPILED,
    XE_COMPILED_NOT, /* rarer than what is done here, or no specification at all */
    XE_COMPILED_NOMEM,
};

/* `form` is that of the tables whose objects it is for. O(size of the specification). */
enum xe_compiled xe_program_compile(ErlNifEnv *env, ERL_NIF_TERM spec, const struct xe_form *form,
                                    struct xe_program **out);
void xe_program_free(struct xe_program *p);

enum xe_matched {
    XE_MATCHED_NOT,
    XE_MATCHED,
    XE_MATCHED_BUDGET, /* more words than allowed here: do it on a dirty scheduler */
    XE_MATCHED_NOMEM,
    /* An expression met what is not computed here, such as a large integer. The caller drops what
     * the run has found so far, changes nothing for this object, and starts over through ets. */
    XE_MATCHED_OTHER,
};

/* What is asked of an object. */
enum xe_match_want {
    XE_WANT_TRUE,   /* whether the result is `true`: to count, to delete */
    XE_WANT_RESULT, /* the result of the first clause that matches */
};

/* One who runs a program on objects, one after the other. */
struct xe_matcher;

/* Results are terms of `env`, in which the program has been compiled; {self} is its process. NULL:
 * out of memory. `budget`: words, for all objects together. */
struct xe_matcher *xe_matcher_new(ErlNifEnv *env, const struct xe_program *p, uint64_t budget);
void xe_matcher_free(struct xe_matcher *m);

/* `view` is read during the call only. *out is the result if it matches and the result is wanted.
 * O(size of the object), and mostly of what the heads look at. */
enum xe_matched xe_matcher_run(struct xe_matcher *m, const struct xe_view *view,
                               enum xe_match_want want, ERL_NIF_TERM *out);
/* What is left of the budget; and takes work off it. False: that is more than is left. */
uint64_t xe_matcher_left(const struct xe_matcher *m);
bool xe_matcher_charge(struct xe_matcher *m, uint64_t words);

#endif
