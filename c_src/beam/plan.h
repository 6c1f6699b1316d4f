/*
 * plan.h - which objects a match specification can match at all, told by their keys.
 *
 * A plan only narrows: every pattern and guard still runs on what it lets through. A clause binds
 * the key by its head (a key without variables), or by guards on the variable that is the key in
 * the head, under `andalso` and `and` and in either order of operands:
 *
 *   =:=                   a point
 *   ==                    a point if its constant has no number in it; in an ordered table always
 *   > >= < =<             a range, in an ordered table
 *   a head whose key is a tuple or list that is bound up to some place in it, from left to
 *   right, where it has a variable or '_': a range, in an ordered table; guards on that variable
 *   narrow it further. Variables that guards bind to a point are bound here, too
 *
 * The plan of several clauses is what any of them lets through: all points, or the range from the
 * least end to the greatest, or everything. Clauses that let nothing through do not count.
 *
 * What is not seen, and so does not narrow: constants and patterns nested deeper than a few dozen
 * levels; maps in keys of heads, which match larger maps, too; calls in guards, even of constants.
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

enum {
    XE_PLAN_SMALL_POINTS = 4, /* so many, and ends of so many bytes, are kept in the plan itself */
    XE_PLAN_SMALL_BYTES = 48,
};

/* An end of a range: just before the keys with these order bytes, or just behind them. */
struct xe_plan_end {
    bool bounded;
    bool behind;
    bool exclusive;       /* what explain tells of the pattern */
    ERL_NIF_TERM pattern; /* a key; '_' in it stands for whatever there is from there on */
    ERL_NIF_TERM handle;  /* the term of a cut key; 0: bytes are all there is */
    size_t len;
    uint8_t *large; /* NULL: the bytes are in `small` */
    uint8_t small[XE_PLAN_SMALL_BYTES + XE_READ_SLACK];
    struct xe_key key; /* when the plan is made */
};

/* Not to be moved: it points into itself. Its terms are those of the environment it was made in. */
struct xe_plan {
    enum xe_plan_kind kind;
    /* POINTS: keys, ascending, each once by =:=, in an ordered table by ==. */
    ERL_NIF_TERM *points;
    unsigned n_points;
    /* RANGE: for xe_order_read() and the like. Not `reverse`. One end at least is bounded. */
    struct xe_range range;
    struct xe_plan_end from, to;
    ERL_NIF_TERM small_points[XE_PLAN_SMALL_POINTS];
};

/*
 * Any term may be asked about; what is no specification is a scan, or whatever plan its clauses
 * have. XE_CALL_OK: to be ended by xe_plan_clear(), which may also be called, more than once,
 * after XE_CALL_BUDGET and XE_CALL_LIMIT (out of memory). The same specification has the same plan
 * in every call. O(size of the specification), and for each variable of a key that a guard binds
 * once more O(size of the guards).
 */
enum xe_result xe_plan_make(ErlNifEnv *env, ERL_NIF_TERM spec, const struct xe_form *form,
                            uint64_t budget, struct xe_plan *out);
void xe_plan_clear(struct xe_plan *plan);

/* #{plan => point, keys => [Key]} | #{plan => range, from => End, to => End} | #{plan => scan |
 * nothing}: see xets:explain/2, which adds who runs the specification. */
ERL_NIF_TERM xe_plan_explain(ErlNifEnv *env, const struct xe_plan *plan);

#endif
