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

/*
 * What a program of one clause asks of flat objects (term.h), if that is no more than that a few
 * elements are in ranges of words: whether they match is then told without a branch that depends on
 * them, which is worth it where every other object of a long scan matches. A glance is enough for
 * nearly all of them; the others are to be run.
 */
struct xe_glance_range {
    uint64_t low, span; /* words from low to low + span */
    bool outside;       /* not in it */
    bool of_small;      /* other words than those of small integers are to be run */
    uint8_t index;      /* of the element in the body */
};

enum { XE_GLANCE_RANGES = 4 };

struct xe_glance {
    uint8_t arity;
    uint8_t n;
    bool counts; /* the result of what matches is `true` */
    struct xe_glance_range ranges[XE_GLANCE_RANGES];
};

/* NULL: all objects are to be run. */
const struct xe_glance *xe_program_glance(const struct xe_program *p);

enum xe_glanced { XE_GLANCE_NOT = 0, XE_GLANCE_MATCHES = 1, XE_GLANCE_RUN };

/* At a body that is flat, with nothing before it that restores the key. */
static inline enum xe_glanced xe_glance_at(const struct xe_glance *g, const uint8_t *body)
{
    const unsigned width = (body[0] & 7) + 1;
    const uint64_t mask = UINT64_MAX >> (64 - 8 * width);
    unsigned matches = (body[0] >> 3 & 15) == g->arity;
    if (XE_UNLIKELY(!matches))
        return XE_GLANCE_NOT;
    for (unsigned i = 0; i < g->n; i++) {
        const struct xe_glance_range *r = &g->ranges[i];
        uint64_t word = xe_load64(body + 1 + r->index * width) & mask;
        if (XE_UNLIKELY(r->of_small && (word & 15) != (r->low & 15)))
            return XE_GLANCE_RUN;
        matches &= (word - r->low <= r->span) != r->outside;
    }
    return matches ? XE_GLANCE_MATCHES : XE_GLANCE_NOT;
}

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
/* What is left of the budget. */
uint64_t xe_matcher_left(const struct xe_matcher *m);

#endif
