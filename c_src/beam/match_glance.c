/*
 * match_glance.c - what a program asks of flat objects at a glance: see match.h.
 */
#include "atoms.h"
#include "match_compile.h"

/* The words of small integers next to each other. */
enum { STEP = 16 };

/* Those that compare so with a small integer. There may be none. */
static struct xe_glance_range range_of_test(enum xe_function fn, uint64_t word)
{
    const uint64_t least = xe_word_of(-((int64_t)1 << 59)),
                   most = xe_word_of(((int64_t)1 << 59) - 1);
    uint64_t low = least, high = most;
    bool none = false;
    switch (fn) {
    case XE_FN_LT:
        none = word == least;
        high = word - STEP;
        break;
    case XE_FN_LE:
        high = word;
        break;
    case XE_FN_GT:
        none = word == most;
        low = word + STEP;
        break;
    case XE_FN_GE:
        low = word;
        break;
    default: /* equal, or not */
        low = high = word;
    }
    if (none)
        return (struct xe_glance_range){.low = least, .span = most - least, .outside = true};
    return (struct xe_glance_range){
        .low = low, .span = high - low, .outside = fn == XE_FN_NE || fn == XE_FN_IS_NOT};
}

/* False: that is more than a glance. */
static bool add_check(struct xe_glance *g, const struct xe_check *check)
{
    struct xe_glance_range *r = &g->ranges[g->n];
    if (check->kind == XE_PATTERN_BIND)
        return true;
    if (check->is_key || g->n == XE_GLANCE_RANGES)
        return false;
    if (check->kind == XE_PATTERN_WORD) {
        *r = (struct xe_glance_range){.low = check->word};
    } else if (check->kind == XE_PATTERN_TEST) {
        *r = range_of_test(check->var, check->word);
        r->of_small = true;
    } else {
        return false;
    }
    r->index = (uint8_t)check->index;
    g->n++;
    return true;
}

void xe_match_make_glance(struct xe_program *p)
{
    const struct xe_clause *clause = p->clauses;
    const struct xe_check *check = p->checks + clause->checks;
    if (p->n_clauses != 1 || !clause->flat || clause->flat_never || clause->guarded)
        return;
    p->glance.arity = (uint8_t)p->patterns[clause->head].n;
    p->glance.counts = clause->body_kind == XE_BODY_TERM && p->ops[clause->body].word == xe_am.yes;
    for (uint32_t i = 0; i < clause->n_checks; i++)
        if (!add_check(&p->glance, &check[i]))
            return;
    p->glances = true;
}

const struct xe_glance *xe_program_glance(const struct xe_program *p)
{
    return p->glances ? &p->glance : NULL;
}
