/*
 * plan_internal.h - what the files of the planner share: plan_bind.c, what a clause says of its
 * keys, and plan.c, what becomes of it.
 */
#ifndef XE_PLAN_INTERNAL_H
#define XE_PLAN_INTERNAL_H

#include "plan.h"

struct planning {
    ErlNifEnv *env;
    const struct xe_form *form;
    uint64_t left; /* of the budget: terms that may still be looked at */
    enum xe_result result;
};

static inline bool planning_is_ordered(const struct planning *p)
{
    return p->form->kind == XE_ORDERED;
}

/* Takes work off the budget: that of looking at so many terms. False: there is not so much left, or
 * all has failed before. */
static inline bool planning_charge(struct planning *p, uint64_t terms)
{
    if (XE_UNLIKELY(terms > p->left) && p->result == XE_CALL_OK)
        p->result = XE_CALL_BUDGET;
    if (XE_UNLIKELY(p->result != XE_CALL_OK))
        return false;
    p->left -= p->left == XE_TERM_NO_BUDGET ? 0 : terms;
    return true;
}

/* What guards say of a variable. Terms are 0 where they say nothing. */
struct bounds {
    ERL_NIF_TERM point;    /* what it is; in an ordered table by == */
    ERL_NIF_TERM from, to; /* in an ordered table: between which terms it is */
    bool from_exclusive, to_exclusive;
    bool none; /* it can be nothing */
};

/* The key of a head, filled with what guards say. */
struct filled {
    /* A term, if it is not open. Else all that is bound from the left to the right, and '_' from
     * the first place on that is not: that alone, if nothing is. */
    ERL_NIF_TERM key;
    bool open;
    /* What is known of that place. In a part of the key, only terms that have no '_' in them, nor
     * anything else that stands for more than itself in a head. */
    struct bounds next;
    bool none; /* no key will do */
};

/* Fills a key. `instead`, if it is not 0, is put at the open place. */
void planning_fill(struct planning *p, ERL_NIF_TERM key, ERL_NIF_TERM guards, ERL_NIF_TERM instead,
                   struct filled *out);

/* Charges for a term what comparing it with another one may take: *work. */
bool planning_weigh(struct planning *p, ERL_NIF_TERM t, uint64_t *work);

#endif
