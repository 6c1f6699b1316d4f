/*
 * plan_bind.c - what a clause of a match specification says of its keys.
 *
 *     {{{'$1', '$2', '_'}, '_'}, [{'=:=', '$1', user}, {'>', 5, '$2'}], ['$_']}
 *
 * Of the key's pattern and the guards it makes {user, '_', '_'}, open at its second element, which
 * is less than 5. All conjuncts of the guards have to be true for an object to match, so any of
 * them may narrow, whatever the others are. Where it is not certain what a pattern or an
 * expression stands for, it is taken as one that may be anything.
 *
 * Functions that call themselves go DEPTH_MAX levels down at most: what lies deeper is not seen.
 */
#include "plan_internal.h"

#include "key.h"
#include "term_internal.h"

enum {
    DEPTH_MAX = 64,      /* levels of terms, and of conjunctions */
    FILL_DEPTH_MAX = 8,  /* levels of terms that are made anew */
    FILL_ARITY_MAX = 64, /* of tuples that are */
};

/* --- Traits of terms ---------------------------------------------------- */

enum {
    HAS_OPEN = 1,   /* stands for more than itself in a head: '_', or what may be a variable */
    HAS_VALUE = 2,  /* is evaluated in a guard: what may be a variable, '$_', '$$' */
    HAS_NUMBER = 4, /* may be == to something that it is not =:= to */
    HAS_TUPLE = 8,
    HAS_MAP = 16,
    HAS_UNSEEN = 32, /* is nested too deeply to tell */
    HAS_HEAVY = 64,  /* is larger than it was charged for */
};

/* A few more are taken for variables than are: those of numbers beyond all limits. */
static unsigned traits_of_atom(struct planning *p, ERL_NIF_TERM atom)
{
    char text[256];
    if (atom == xe_am.any)
        return HAS_OPEN;
    if (enif_get_atom(p->env, atom, text, sizeof text, ERL_NIF_LATIN1) < 3 || text[0] != '$')
        return 0;
    if (text[1 + strspn(text + 1, "0123456789")] == 0)
        return text[1] != '0' || text[2] == 0 ? HAS_OPEN | HAS_VALUE : 0;
    return (text[1] == '_' || text[1] == '$') && text[2] == 0 ? HAS_VALUE : 0;
}

static unsigned traits_of(struct planning *p, ERL_NIF_TERM t, unsigned depth);

static unsigned traits_of_map(struct planning *p, ERL_NIF_TERM map, unsigned depth)
{
    ErlNifMapIterator iterator;
    ERL_NIF_TERM key, value;
    unsigned traits = HAS_MAP;
    if (!enif_map_iterator_create(p->env, map, &iterator, ERL_NIF_MAP_ITERATOR_FIRST))
        return traits | HAS_UNSEEN;
    while (enif_map_iterator_get_pair(p->env, &iterator, &key, &value) && planning_charge(p, 1)) {
        traits |= traits_of(p, key, depth + 1) | traits_of(p, value, depth + 1);
        enif_map_iterator_next(p->env, &iterator);
    }
    enif_map_iterator_destroy(p->env, &iterator);
    return traits;
}

static unsigned traits_of_bits(struct planning *p, ERL_NIF_TERM t)
{
    enum { BYTES_PER_WORD = 64 }; /* compared in the time that a word takes */
    ErlNifBinary bin;
    if (!enif_inspect_binary(p->env, t, &bin))
        return HAS_HEAVY;
    planning_charge(p, bin.size / BYTES_PER_WORD);
    return 0;
}

static unsigned traits_of_leaf(struct planning *p, ERL_NIF_TERM t)
{
    switch (enif_term_type(p->env, t)) {
    case ERL_NIF_TERM_TYPE_ATOM:
        return traits_of_atom(p, t);
    case ERL_NIF_TERM_TYPE_BITSTRING:
        return traits_of_bits(p, t);
    case ERL_NIF_TERM_TYPE_LIST: /* [] */
    case ERL_NIF_TERM_TYPE_PID:
    case ERL_NIF_TERM_TYPE_PORT:
    case ERL_NIF_TERM_TYPE_REFERENCE:
        return 0;
    default:
        return HAS_NUMBER; /* a fun may have some in it */
    }
}

static unsigned traits_of(struct planning *p, ERL_NIF_TERM t, unsigned depth)
{
    const ERL_NIF_TERM *elements;
    ERL_NIF_TERM head;
    unsigned traits = 0;
    int arity;
    if (depth > DEPTH_MAX || !planning_charge(p, 1))
        return HAS_UNSEEN;
    while (enif_get_list_cell(p->env, t, &head, &t)) {
        if (!planning_charge(p, 1))
            return HAS_UNSEEN;
        traits |= traits_of(p, head, depth + 1);
    }
    if (enif_get_tuple(p->env, t, &arity, &elements)) {
        traits |= HAS_TUPLE;
        for (int i = 0; i < arity && p->result == XE_CALL_OK; i++)
            traits |= traits_of(p, elements[i], depth + 1);
        return traits;
    }
    return traits | (enif_is_map(p->env, t) ? traits_of_map(p, t, depth) : traits_of_leaf(p, t));
}

/* Whether a term stands for itself alone in a head. Maps match larger ones; '$_' and '$$' are atoms
 * like others there. */
static bool are_bound(unsigned traits)
{
    return !(traits & (HAS_OPEN | HAS_MAP | HAS_UNSEEN));
}

static bool is_bound(struct planning *p, ERL_NIF_TERM t)
{
    return are_bound(traits_of(p, t, 0));
}

bool planning_weigh(struct planning *p, ERL_NIF_TERM t, uint64_t *work)
{
    uint64_t before = p->left, words, pinned;
    struct xe_encoder e;
    if (p->left != XE_TERM_NO_BUDGET && traits_of(p, t, 0) & (HAS_UNSEEN | HAS_HEAVY) &&
        p->result == XE_CALL_OK) {
        xe_encoder_init(&e, p->env, p->left);
        if (!xe_key_weigh(&e, t, &words, &pinned))
            p->result = xe_call_of_term(e.status);
        planning_charge(p, words + pinned / 8);
    }
    *work = before - p->left;
    return p->result == XE_CALL_OK;
}

/* --- Constants of guards ------------------------------------------------ */

static ERL_NIF_TERM constant(struct planning *p, ERL_NIF_TERM t, unsigned depth);

/* {const, Term}, or {{...}}: any other tuple is a call. */
static ERL_NIF_TERM constant_of_tuple(struct planning *p, const ERL_NIF_TERM *elements, int arity,
                                      unsigned depth)
{
    ERL_NIF_TERM made[FILL_ARITY_MAX];
    if (arity == 2 && elements[0] == xe_am.constant)
        return elements[1];
    if (arity != 1 || !enif_get_tuple(p->env, elements[0], &arity, &elements) ||
        arity > FILL_ARITY_MAX)
        return 0;
    for (int i = 0; i < arity; i++)
        if (!(made[i] = constant(p, elements[i], depth + 1)))
            return 0;
    return enif_make_tuple_from_array(p->env, made, (unsigned)arity);
}

static ERL_NIF_TERM constant_of_list(struct planning *p, ERL_NIF_TERM t, unsigned depth)
{
    ERL_NIF_TERM head, element, reversed = xe_call_nil;
    unsigned traits = traits_of(p, t, 0);
    if (!(traits & (HAS_TUPLE | HAS_UNSEEN)))
        return traits & HAS_VALUE ? 0 : t;
    while (enif_get_list_cell(p->env, t, &head, &t)) {
        if (!(element = constant(p, head, depth + 1)))
            return 0;
        reversed = enif_make_list_cell(p->env, element, reversed);
    }
    ERL_NIF_TERM list = constant(p, t, depth + 1);
    while (list && enif_get_list_cell(p->env, reversed, &element, &reversed))
        list = enif_make_list_cell(p->env, element, list);
    return list;
}

/* The value of an expression that is a constant; 0: it is none, or none of the plain ones. */
static ERL_NIF_TERM constant(struct planning *p, ERL_NIF_TERM t, unsigned depth)
{
    const ERL_NIF_TERM *elements;
    int arity;
    if (depth > FILL_DEPTH_MAX || !planning_charge(p, 1))
        return 0;
    if (enif_is_atom(p->env, t))
        return traits_of_atom(p, t) & HAS_VALUE ? 0 : t;
    if (enif_get_tuple(p->env, t, &arity, &elements))
        return constant_of_tuple(p, elements, arity, depth);
    if (enif_is_list(p->env, t))
        return t == xe_call_nil ? t : constant_of_list(p, t, depth);
    /* Whether the keys of a map are evaluated is not for us to say. */
    if (enif_is_map(p->env, t) && traits_of(p, t, 0) & (HAS_VALUE | HAS_TUPLE | HAS_UNSEEN))
        return 0;
    return t;
}

/* --- Bounds of variables ------------------------------------------------ */

/* The sign of a term against another one. 0, too, if it takes too long: all is given up then. */
static int compare(struct planning *p, ERL_NIF_TERM a, ERL_NIF_TERM b)
{
    uint64_t work;
    return planning_weigh(p, a, &work) ? enif_compare(a, b) : 0;
}

static void bound_from(struct planning *p, struct bounds *b, ERL_NIF_TERM t, bool exclusive)
{
    int c = b->from ? compare(p, t, b->from) : 1;
    if (c < 0)
        return;
    b->from = t;
    b->from_exclusive = exclusive || (c == 0 && b->from_exclusive);
}

static void bound_to(struct planning *p, struct bounds *b, ERL_NIF_TERM t, bool exclusive)
{
    int c = b->to ? compare(p, t, b->to) : -1;
    if (c > 0)
        return;
    b->to = t;
    b->to_exclusive = exclusive || (c == 0 && b->to_exclusive);
}

/* It is == to a constant, or =:= if `exactly`. */
static void bound_point(struct planning *p, struct bounds *b, ERL_NIF_TERM t, bool exactly)
{
    uint64_t work;
    if (planning_is_ordered(p)) {
        bound_from(p, b, t, false);
        bound_to(p, b, t, false);
    } else if (!exactly && (traits_of(p, t, 0) & (HAS_NUMBER | HAS_UNSEEN))) {
        return; /* 1 == 1.0, which is another key */
    } else if (!b->point) {
        b->point = t;
    } else if (planning_weigh(p, t, &work) && !enif_is_identical(b->point, t)) {
        b->none = true;
    }
}

/* The same relation with its operands exchanged. */
static ERL_NIF_TERM flipped(ERL_NIF_TERM relation)
{
    return relation == xe_am.greater         ? xe_am.less
           : relation == xe_am.less          ? xe_am.greater
           : relation == xe_am.greater_equal ? xe_am.less_equal
           : relation == xe_am.less_equal    ? xe_am.greater_equal
                                             : relation;
}

/* Whether keys of such a table are found by it. */
static bool is_relation(struct planning *p, ERL_NIF_TERM t)
{
    return t == xe_am.identical || t == xe_am.equal ||
           (planning_is_ordered(p) && (t == xe_am.greater || t == xe_am.less ||
                                       t == xe_am.greater_equal || t == xe_am.less_equal));
}

static void bound(struct planning *p, struct bounds *b, ERL_NIF_TERM relation, ERL_NIF_TERM t)
{
    if (relation == xe_am.identical || relation == xe_am.equal)
        bound_point(p, b, t, relation == xe_am.identical);
    else if (relation == xe_am.greater || relation == xe_am.greater_equal)
        bound_from(p, b, t, relation == xe_am.greater);
    else
        bound_to(p, b, t, relation == xe_am.less);
}

static void bound_by_guard(struct planning *p, struct bounds *b, ERL_NIF_TERM variable,
                           ERL_NIF_TERM guard, unsigned depth)
{
    const ERL_NIF_TERM *is;
    ERL_NIF_TERM t = 0;
    int arity;
    while (depth <= DEPTH_MAX && enif_get_tuple(p->env, guard, &arity, &is) && arity >= 2 &&
           planning_charge(p, (uint64_t)arity)) {
        if (is[0] == xe_am.and_also || is[0] == xe_am.and) {
            for (int i = 1; i < arity - 1; i++)
                bound_by_guard(p, b, variable, is[i], depth + 1);
            guard = is[arity - 1]; /* they are nested at this end, mostly */
            continue;
        }
        if (arity == 3 && is_relation(p, is[0]) && (is[1] == variable) != (is[2] == variable))
            t = constant(p, is[is[1] == variable ? 2 : 1], 0);
        if (t)
            bound(p, b, is[1] == variable ? is[0] : flipped(is[0]), t);
        return;
    }
}

static void bounds_of(struct planning *p, ERL_NIF_TERM variable, ERL_NIF_TERM guards,
                      struct bounds *b)
{
    ERL_NIF_TERM guard;
    *b = (struct bounds){0};
    while (enif_get_list_cell(p->env, guards, &guard, &guards) && planning_charge(p, 1))
        bound_by_guard(p, b, variable, guard, 0);
    if (!b->from || !b->to)
        return;
    int c = compare(p, b->from, b->to);
    b->none = c > 0 || (c == 0 && (b->from_exclusive || b->to_exclusive));
    if (c == 0)
        b->point = b->from;
}

/* --- Keys --------------------------------------------------------------- */

struct filling {
    struct planning *p;
    ERL_NIF_TERM guards, instead;
    struct filled *out;
};

static ERL_NIF_TERM fill(struct filling *f, ERL_NIF_TERM t, unsigned depth);

/* The key is open here. */
static ERL_NIF_TERM leave_open(struct filling *f)
{
    f->out->open = true;
    return f->instead ? f->instead : xe_am.any;
}

static ERL_NIF_TERM fill_variable(struct filling *f, ERL_NIF_TERM variable, unsigned depth)
{
    struct bounds *b = &f->out->next;
    bounds_of(f->p, variable, f->guards, b);
    f->out->none |= b->none;
    if (b->point && (depth == 0 || is_bound(f->p, b->point))) {
        ERL_NIF_TERM point = b->point;
        *b = (struct bounds){0};
        return point;
    }
    if (depth > 0 && b->from && !is_bound(f->p, b->from))
        b->from = 0;
    if (depth > 0 && b->to && !is_bound(f->p, b->to))
        b->to = 0;
    return leave_open(f);
}

static ERL_NIF_TERM fill_tuple(struct filling *f, const ERL_NIF_TERM *elements, int arity,
                               unsigned depth)
{
    ERL_NIF_TERM made[FILL_ARITY_MAX];
    planning_charge(f->p, (uint64_t)arity);
    for (int i = 0; i < arity; i++)
        made[i] = fill(f, elements[i], depth + 1);
    return enif_make_tuple_from_array(f->p->env, made, (unsigned)arity);
}

static ERL_NIF_TERM fill_list(struct filling *f, ERL_NIF_TERM t, unsigned depth)
{
    ErlNifEnv *env = f->p->env;
    ERL_NIF_TERM head, element, reversed = xe_call_nil;
    while (!f->out->open && enif_get_list_cell(env, t, &head, &t))
        reversed = enif_make_list_cell(env, fill(f, head, depth + 1), reversed);
    ERL_NIF_TERM list = fill(f, t, depth + 1);
    while (enif_get_list_cell(env, reversed, &element, &reversed))
        list = enif_make_list_cell(env, element, list);
    return list;
}

static ERL_NIF_TERM fill(struct filling *f, ERL_NIF_TERM t, unsigned depth)
{
    struct planning *p = f->p;
    const ERL_NIF_TERM *elements;
    ERL_NIF_TERM head, tail;
    int arity;
    if (f->out->open)
        return xe_am.any;
    unsigned traits = traits_of(p, t, 0);
    if (are_bound(traits))
        return t;
    if (enif_is_atom(p->env, t) && t != xe_am.any && p->result == XE_CALL_OK)
        return fill_variable(f, t, depth);
    if (depth < FILL_DEPTH_MAX && enif_get_tuple(p->env, t, &arity, &elements) &&
        arity <= FILL_ARITY_MAX)
        return fill_tuple(f, elements, arity, depth);
    if (depth < FILL_DEPTH_MAX && enif_get_list_cell(p->env, t, &head, &tail))
        return fill_list(f, t, depth);
    return leave_open(f);
}

void planning_fill(struct planning *p, ERL_NIF_TERM key, ERL_NIF_TERM guards, ERL_NIF_TERM instead,
                   struct filled *out)
{
    struct filling f = {p, guards, instead, out};
    *out = (struct filled){0};
    out->key = fill(&f, key, 0);
}
