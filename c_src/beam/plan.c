/*
 * plan.c - see plan.h.
 *
 * Each clause gives a point, a range or everything (plan_bind.c says what its key is), and they are
 * united one after the other: points in an array, ranges in the two ends of the plan.
 *
 * An end of a range is a place between keys: before or behind all that have its bytes. So ends of
 * all kinds are compared in the same way, and the bytes of a prefix serve as well as those of a
 * key. Bytes that are cut (key.h) do not tell what is greater than the term from what is less:
 * a whole key has its handle for that, and a prefix ends where all keys with these bytes do.
 */
#include "plan_internal.h"

#include <stdlib.h>

#include "call_key.h"
#include "key.h"

/* A plan in the making. */
struct uniting {
    struct planning planning;
    struct xe_plan *plan;
    unsigned cap_points;
    bool ranges; /* the ends of the plan are those of a range */
};

static bool give_up(struct planning *p, enum xe_result result)
{
    if (p->result == XE_CALL_OK)
        p->result = result;
    return false;
}

/* --- Ends --------------------------------------------------------------- */

static uint8_t *end_bytes(struct xe_plan_end *end)
{
    return end->large ? end->large : end->small;
}

static void end_clear(struct xe_plan_end *end)
{
    enif_free(end->large);
    end->large = NULL;
    end->bounded = false;
}

/* Order bytes of a pattern that begins as some keys do, or of a whole key. */
static bool encode(struct planning *p, struct xe_encoder *e, ERL_NIF_TERM term, bool whole,
                   bool *exact)
{
    xe_encoder_init(e, p->env, p->left);
    enum xe_term_status status =
        whole ? xe_key_encode(e, term) : xe_key_prefix_open(e, term, xe_am.any, exact);
    if (status == XE_TERM_OK && p->left != XE_TERM_NO_BUDGET) {
        p->left = xe_encoder_left(e);
        if (e->n_handles && !xe_call_is_light(e))
            status = XE_TERM_BUDGET;
    }
    if (status == XE_TERM_OK)
        return true;
    xe_encoder_clear(e);
    return give_up(p, xe_call_of_term(status));
}

static bool end_set(struct planning *p, struct xe_plan_end *end, const struct xe_encoder *e)
{
    end->len = e->klen;
    if (end->len > XE_PLAN_SMALL_BYTES) {
        end->large = enif_alloc(end->len + XE_READ_SLACK);
        if (!end->large)
            return give_up(p, XE_CALL_LIMIT);
    }
    memcpy(end_bytes(end), e->bytes, end->len);
    memset(end_bytes(end) + end->len, 0, XE_READ_SLACK);
    end->bounded = true;
    return true;
}

/* At a whole key. An upper end that is exclusive is before it, a lower one behind. */
static bool end_at_key(struct planning *p, struct xe_plan_end *end, ERL_NIF_TERM key,
                       bool exclusive, bool upper)
{
    struct xe_encoder e;
    if (!encode(p, &e, key, true, NULL))
        return false;
    end->pattern = key;
    end->exclusive = exclusive;
    end->behind = exclusive != upper;
    end->handle = e.n_handles ? key : 0;
    bool ok = end_set(p, end, &e);
    xe_encoder_clear(&e);
    return ok;
}

/* At the keys that begin as a pattern does. Of those with a prefix that is cut, some are less and
 * some greater than it: none is left out. */
static bool end_at_prefix(struct planning *p, struct xe_plan_end *end, ERL_NIF_TERM pattern,
                          bool exclusive, bool upper)
{
    struct xe_encoder e;
    bool exact;
    if (!encode(p, &e, pattern, false, &exact))
        return false;
    end->pattern = pattern;
    end->exclusive = exclusive && exact;
    end->behind = false;
    end->handle = 0;
    bool ok = end_set(p, end, &e);
    xe_encoder_clear(&e);
    if (ok && end->exclusive != upper)
        xe_key_bytes_behind(end_bytes(end), &end->len);
    return ok;
}

/* The sign of a place between keys against another one. */
static int end_compare(struct xe_plan_end *a, struct xe_plan_end *b)
{
    int c = memcmp(end_bytes(a), end_bytes(b), a->len < b->len ? a->len : b->len);
    if (c)
        return c;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    /* Bytes alone stand before the cut keys that have them. */
    if (a->handle && b->handle)
        c = enif_compare(a->handle, b->handle);
    else
        c = (a->handle != 0) - (b->handle != 0);
    return c ? c : a->behind - b->behind;
}

/* Makes an end that of what had it and what ends at `other`, whose memory it takes. */
static void end_widen(struct xe_plan_end *end, struct xe_plan_end *other, bool upper)
{
    if (end->bounded && other->bounded && (end_compare(other, end) > 0) != upper) {
        end_clear(other);
    } else if (end->bounded) {
        end_clear(end);
        *end = *other; /* if that is not bounded, neither is this any more */
    } else {
        end_clear(other);
    }
}

static const struct xe_key *end_finish(struct xe_plan_end *end)
{
    if (!end->bounded)
        return NULL;
    xe_key_init_order(&end->key, end_bytes(end), end->len, &end->handle, end->handle != 0);
    return &end->key;
}

/* --- Uniting ------------------------------------------------------------ */

static bool unite_point(struct uniting *u, ERL_NIF_TERM key)
{
    struct xe_plan *plan = u->plan;
    if (plan->n_points == u->cap_points) {
        ERL_NIF_TERM *grown = enif_alloc(2 * u->cap_points * sizeof *grown);
        if (!grown)
            return give_up(&u->planning, XE_CALL_LIMIT);
        memcpy(grown, plan->points, plan->n_points * sizeof *grown);
        if (plan->points != plan->small_points)
            enif_free(plan->points);
        plan->points = grown;
        u->cap_points *= 2;
    }
    plan->points[plan->n_points++] = key;
    return true;
}

/* Takes the ends' memory. */
static void unite_range(struct uniting *u, struct xe_plan_end *from, struct xe_plan_end *to)
{
    if (u->ranges) {
        end_widen(&u->plan->from, from, false);
        end_widen(&u->plan->to, to, true);
    } else {
        u->plan->from = *from;
        u->plan->to = *to;
        u->ranges = true;
    }
}

/* Keys between two terms, or one of them only. */
static bool unite_keys(struct uniting *u, const struct bounds *b)
{
    struct planning *p = &u->planning;
    struct xe_plan_end from = {0}, to = {0};
    if ((b->from && !end_at_key(p, &from, b->from, b->from_exclusive, false)) ||
        (b->to && !end_at_key(p, &to, b->to, b->to_exclusive, true))) {
        end_clear(&from);
        return false;
    }
    unite_range(u, &from, &to);
    return true;
}

/* Keys that begin in the same way, with what comes next between two terms. */
static bool unite_prefix(struct uniting *u, ERL_NIF_TERM key, ERL_NIF_TERM guards,
                         const struct filled *filled)
{
    struct planning *p = &u->planning;
    const struct bounds *b = &filled->next;
    struct xe_plan_end from = {0}, to = {0};
    struct filled least = *filled, greatest = *filled;
    if (b->from)
        planning_fill(p, key, guards, b->from, &least);
    if (b->to)
        planning_fill(p, key, guards, b->to, &greatest);
    if (p->result != XE_CALL_OK ||
        !end_at_prefix(p, &from, least.key, b->from && b->from_exclusive, false) ||
        !end_at_prefix(p, &to, greatest.key, b->to && b->to_exclusive, true)) {
        end_clear(&from);
        return false;
    }
    unite_range(u, &from, &to);
    return true;
}

/* False: any key will do, or all has failed. */
static bool unite_clause(struct uniting *u, ERL_NIF_TERM clause)
{
    struct planning *p = &u->planning;
    const ERL_NIF_TERM *parts, *head;
    struct filled filled;
    int n, arity;
    if (!enif_get_tuple(p->env, clause, &n, &parts) || n != 3 ||
        !enif_get_tuple(p->env, parts[0], &arity, &head))
        return false;
    if (arity < p->form->keypos)
        return true; /* no object is so small */
    ERL_NIF_TERM key = head[p->form->keypos - 1];
    planning_fill(p, key, parts[1], 0, &filled);
    if (p->result != XE_CALL_OK)
        return false;
    if (filled.none)
        return true;
    if (!filled.open)
        return unite_point(u, filled.key);
    if (!planning_is_ordered(p))
        return false;
    if (filled.key != xe_am.any)
        return unite_prefix(u, key, parts[1], &filled);
    return (filled.next.from || filled.next.to) && unite_keys(u, &filled.next);
}

/* --- Points ------------------------------------------------------------- */

static int compare_equal(const void *a, const void *b)
{
    return enif_compare(*(const ERL_NIF_TERM *)a, *(const ERL_NIF_TERM *)b);
}

/* Points that are equal, but not identical, by a hash that is the same in every life of the
 * program: who has seen some of the points goes on from their number, after a restart, too. */
static int compare_identical(const void *a, const void *b)
{
    ERL_NIF_TERM x = *(const ERL_NIF_TERM *)a, y = *(const ERL_NIF_TERM *)b;
    int c = enif_compare(x, y);
    if (c)
        return c;
    ErlNifUInt64 h = enif_hash(ERL_NIF_PHASH2, x, 0), i = enif_hash(ERL_NIF_PHASH2, y, 0);
    return (h > i) - (h < i);
}

/* Sorting takes so many comparisons of each point. */
static bool charge_for_sorting(struct planning *p, const ERL_NIF_TERM *points, unsigned n)
{
    uint64_t work, all = 0;
    for (unsigned i = 0; i < n && planning_weigh(p, points[i], &work); i++)
        all += work;
    return planning_charge(p, all * (32 - (unsigned)__builtin_clz(n)));
}

/* Whether a point is one of those before it, which are sorted as it is. */
static bool is_repeated(const ERL_NIF_TERM *points, unsigned n, ERL_NIF_TERM key, bool ordered)
{
    if (n == 0 || ordered)
        return n > 0 && enif_compare(points[n - 1], key) == 0;
    while (n-- > 0 && compare_identical(&points[n], &key) == 0)
        if (enif_is_identical(points[n], key))
            return true;
    return false;
}

/* Sorts the points and leaves out what is there more than once. */
static bool sort_points(struct uniting *u)
{
    struct xe_plan *plan = u->plan;
    bool ordered = planning_is_ordered(&u->planning);
    unsigned n = plan->n_points;
    if (n < 2)
        return true;
    if (!charge_for_sorting(&u->planning, plan->points, n))
        return false;
    qsort(plan->points, n, sizeof *plan->points, ordered ? compare_equal : compare_identical);
    plan->n_points = 0;
    for (unsigned i = 0; i < n; i++)
        if (!is_repeated(plan->points, plan->n_points, plan->points[i], ordered))
            plan->points[plan->n_points++] = plan->points[i];
    return true;
}

/* --- Plans -------------------------------------------------------------- */

/* With ranges, sorted points are the range from the first to the last of them. */
static bool decide(struct uniting *u)
{
    struct xe_plan *plan = u->plan;
    if (!sort_points(u))
        return false;
    if (u->ranges && plan->n_points) {
        struct bounds b = {.from = plan->points[0], .to = plan->points[plan->n_points - 1]};
        if (!unite_keys(u, &b))
            return false;
    }
    if (u->ranges)
        plan->kind = plan->from.bounded || plan->to.bounded ? XE_PLAN_RANGE : XE_PLAN_SCAN;
    else
        plan->kind = plan->n_points ? XE_PLAN_POINTS : XE_PLAN_NOTHING;
    plan->range = (struct xe_range){.from = end_finish(&plan->from),
                                    .to = end_finish(&plan->to),
                                    .from_exclusive = plan->from.behind,
                                    .to_exclusive = !plan->to.behind};
    return true;
}

static void plan_init(struct xe_plan *plan)
{
    plan->kind = XE_PLAN_SCAN;
    plan->points = plan->small_points;
    plan->n_points = 0;
    plan->range = (struct xe_range){0};
    plan->from.bounded = plan->to.bounded = false;
    plan->from.behind = plan->to.behind = false;
    plan->from.large = plan->to.large = NULL;
}

enum xe_result xe_plan_make(ErlNifEnv *env, ERL_NIF_TERM spec, const struct xe_form *form,
                            uint64_t budget, struct xe_plan *out)
{
    enum { WORDS_OF_A_TERM = 2, CLAUSE_COSTS = 8 };
    uint64_t left = budget == XE_TERM_NO_BUDGET ? budget : budget / WORDS_OF_A_TERM;
    struct uniting u = {{env, form, left, XE_CALL_OK}, out, XE_PLAN_SMALL_POINTS, false};
    ERL_NIF_TERM clause;
    bool narrows = true;
    plan_init(out);
    while (narrows && enif_get_list_cell(env, spec, &clause, &spec))
        narrows = planning_charge(&u.planning, CLAUSE_COSTS) && unite_clause(&u, clause);
    if (narrows && spec == xe_call_nil)
        decide(&u);
    if (u.planning.result != XE_CALL_OK)
        xe_plan_clear(out);
    return u.planning.result;
}

void xe_plan_clear(struct xe_plan *plan)
{
    if (plan->points != plan->small_points)
        enif_free(plan->points);
    end_clear(&plan->from);
    end_clear(&plan->to);
    plan->points = plan->small_points;
    plan->n_points = 0;
}

/* --- Explaining --------------------------------------------------------- */

static ERL_NIF_TERM explain_end(ErlNifEnv *env, const struct xe_plan_end *end)
{
    return end->bounded ? enif_make_tuple2(env, end->exclusive ? xe_am.exclusive : xe_am.inclusive,
                                           end->pattern)
                        : xe_am.unbounded;
}

static ERL_NIF_TERM explain_kind(enum xe_plan_kind kind)
{
    switch (kind) {
    case XE_PLAN_NOTHING:
        return xe_am.nothing;
    case XE_PLAN_POINTS:
        return xe_am.point;
    case XE_PLAN_RANGE:
        return xe_am.range;
    default:
        return xe_am.scan;
    }
}

ERL_NIF_TERM xe_plan_explain(ErlNifEnv *env, const struct xe_plan *plan)
{
    ERL_NIF_TERM map = enif_make_new_map(env);
    enif_make_map_put(env, map, xe_am.plan, explain_kind(plan->kind), &map);
    if (plan->kind == XE_PLAN_POINTS) {
        ERL_NIF_TERM keys = enif_make_list_from_array(env, plan->points, plan->n_points);
        enif_make_map_put(env, map, xe_am.keys, keys, &map);
    } else if (plan->kind == XE_PLAN_RANGE) {
        enif_make_map_put(env, map, xe_am.from, explain_end(env, &plan->from), &map);
        enif_make_map_put(env, map, xe_am.to, explain_end(env, &plan->to), &map);
    }
    return map;
}
