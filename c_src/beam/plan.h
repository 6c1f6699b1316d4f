/*
 * plan.h - which objects a match specification can match at all, told by their keys.
 *
 * A plan only narrows: every pattern and guard still runs on what it lets through. A clause binds
 * the key by its head (a key without variables), or by guards on the variable that is the key in
 * the head, under `andalso` and in either order of operands:
 *
 *   =:=                   a point
 *   ==                    a point if its constant has no number in it; in an ordered table always
 *   > >= < =<             a range, in an ordered table
 *   a head whose key is a tuple or list of which the first elements are bound: a range, in an
 *   ordered table; guards on the variable that is the next element narrow it further
 *
 * The plan of several clauses is what any of them lets through: all points, or the range from the
 * least end to the greatest, or everything.
 */
#ifndef XE_PLAN_H
#define XE_PLAN_H

#include "../core/order.h"
#include "call.h"

enum xe_plan_kind {
    XE_PLAN_NOTHING, /* no key is let through */
    XE_PLAN_POINTS,
    XE_PLAN_RANGE,
    XE_PLAN_SCAN,
};

struct xe_plan {
    enum xe_plan_kind kind;
    /* POINTS: keys, each once; in an ordered table ascending, and each once by ==. */
    const ERL_NIF_TERM *points;
    unsigned n_points;
    /* RANGE: for xe_order_read() and the like. Not `reverse`. */
    struct xe_range range;
    /* What explain/2 tells, made by xe_plan_explain(). */
    struct xe_plan_memory *memory;
};

/* Any term may be asked about; what is no specification is a scan. XE_CALL_OK: to be ended by
 * xe_plan_clear(). XE_CALL_LIMIT: out of memory. O(size of the specification). */
enum xe_result xe_plan_make(ErlNifEnv *env, ERL_NIF_TERM spec, const struct xe_form *form,
                            struct xe_plan *out);
void xe_plan_clear(struct xe_plan *plan);

/* #{plan => point | range | scan | nothing, keys => [Key], from => ..., to => ...}: see
 * xets:explain/2. */
ERL_NIF_TERM xe_plan_explain(ErlNifEnv *env, const struct xe_plan *plan);

#endif
