/*
 * match_call.c - the functions that guards and bodies may call.
 *
 * What ets computes with integers beyond the small ones is left to it: XE_MATCHED_OTHER.
 */
#include <math.h>

#include "atoms.h"
#include "match_internal.h"

static enum xe_step set_bool(struct xe_value *out, bool b)
{
    xe_value_set(out, b ? xe_am.yes : xe_am.no);
    return XE_STEP_OK;
}

static enum xe_step set_integer(struct xe_matcher *m, struct xe_value *out, int64_t i)
{
    if (!xe_fits_small(i))
        return xe_match_error(m, XE_MATCHED_OTHER);
    xe_value_set(out, xe_word_of(i));
    return XE_STEP_OK;
}

/* As the emulator does, infinities and NaN are no results. */
static enum xe_step set_double(struct xe_value *out, double d)
{
    if (!isfinite(d))
        return XE_STEP_FAIL;
    out->kind = XE_VALUE_FLOAT;
    out->d = d;
    return XE_STEP_OK;
}

/* Comparisons. */

enum xe_step xe_match_compare(struct xe_matcher *m, enum xe_function fn, struct xe_value *a,
                              struct xe_value *b, bool *out)
{
    int order;
    if (fn >= XE_FN_IS) {
        enum xe_step step = xe_value_identical(m, a, b);
        *out = (step == XE_STEP_OK) == (fn == XE_FN_IS);
        return step == XE_STEP_ERROR ? step : XE_STEP_OK;
    }
    if (xe_value_compare(m, a, b, &order) != XE_STEP_OK)
        return XE_STEP_ERROR;
    switch (fn) {
    case XE_FN_EQ:
        *out = order == 0;
        break;
    case XE_FN_NE:
        *out = order != 0;
        break;
    case XE_FN_LT:
        *out = order < 0;
        break;
    case XE_FN_LE:
        *out = order <= 0;
        break;
    case XE_FN_GT:
        *out = order > 0;
        break;
    default:
        *out = order >= 0;
    }
    return XE_STEP_OK;
}

/* Numbers. */

struct number {
    enum { NONE, SMALL, DOUBLE, LARGE } kind;
    int64_t i;
    double d;
};

static struct number number_of(const struct xe_matcher *m, const struct xe_value *v)
{
    struct number n = {.kind = NONE};
    if (xe_value_is_small(v)) {
        n.kind = SMALL;
        n.i = xe_small_of(v->term);
        n.d = (double)n.i;
    } else if (v->kind == XE_VALUE_FLOAT) {
        n.kind = DOUBLE;
        n.d = v->d;
    } else if (xe_value_is_term(v) && enif_get_double(m->env, v->term, &n.d)) {
        n.kind = DOUBLE;
    } else if (xe_value_type(m, v) == XE_TYPE_INTEGER) {
        n.kind = LARGE;
    }
    return n;
}

static enum xe_step calculate_doubles(enum xe_function fn, double a, double b, struct xe_value *out)
{
    switch (fn) {
    case XE_FN_PLUS:
        return set_double(out, a + b);
    case XE_FN_MINUS:
        return set_double(out, a - b);
    case XE_FN_TIMES:
        return set_double(out, a * b);
    default:
        return b == 0 ? XE_STEP_FAIL : set_double(out, a / b);
    }
}

static enum xe_step calculate_smalls(struct xe_matcher *m, enum xe_function fn, int64_t a,
                                     int64_t b, struct xe_value *out)
{
    int64_t product;
    switch (fn) {
    case XE_FN_PLUS:
        return set_integer(m, out, a + b);
    case XE_FN_MINUS:
        return set_integer(m, out, a - b);
    default:
        if (__builtin_mul_overflow(a, b, &product))
            return xe_match_error(m, XE_MATCHED_OTHER);
        return set_integer(m, out, product);
    }
}

static enum xe_step shift(struct xe_matcher *m, int64_t i, int64_t left, struct xe_value *out)
{
    if (left <= 0) {
        int64_t right = left < -63 ? 63 : -left;
        return set_integer(m, out, i >> right);
    }
    if (i == 0)
        return set_integer(m, out, 0);
    int64_t shifted = left < 60 ? (int64_t)((uint64_t)i << left) : 0;
    if (left >= 60 || shifted >> left != i)
        return xe_match_error(m, XE_MATCHED_OTHER);
    return set_integer(m, out, shifted);
}

static enum xe_step integers(struct xe_matcher *m, enum xe_function fn, int64_t a, int64_t b,
                             struct xe_value *out)
{
    switch (fn) {
    case XE_FN_DIV:
        return b == 0 ? XE_STEP_FAIL : set_integer(m, out, a / b);
    case XE_FN_REM:
        return b == 0 ? XE_STEP_FAIL : set_integer(m, out, a % b);
    case XE_FN_BAND:
        return set_integer(m, out, a & b);
    case XE_FN_BOR:
        return set_integer(m, out, a | b);
    case XE_FN_BXOR:
        return set_integer(m, out, a ^ b);
    case XE_FN_BSL:
        return shift(m, a, b, out);
    default:
        return shift(m, a, -b, out);
    }
}

/* Of two small integers, but for `/`. */
static inline enum xe_step call_smalls(struct xe_matcher *m, enum xe_function fn,
                                       struct xe_value *args)
{
    int64_t a = xe_small_of(args[0].term), b = xe_small_of(args[1].term);
    switch (fn) {
    case XE_FN_EQ:
    case XE_FN_IS:
        return set_bool(args, a == b);
    case XE_FN_NE:
    case XE_FN_IS_NOT:
        return set_bool(args, a != b);
    case XE_FN_LT:
        return set_bool(args, a < b);
    case XE_FN_LE:
        return set_bool(args, a <= b);
    case XE_FN_GT:
        return set_bool(args, a > b);
    case XE_FN_GE:
        return set_bool(args, a >= b);
    case XE_FN_PLUS:
    case XE_FN_MINUS:
    case XE_FN_TIMES:
        return calculate_smalls(m, fn, a, b, args);
    default:
        return integers(m, fn, a, b, args);
    }
}

/* + - * / */
static enum xe_step calculate(struct xe_matcher *m, enum xe_function fn, struct xe_value *args)
{
    struct number a = number_of(m, &args[0]), b = number_of(m, &args[1]);
    if (a.kind == NONE || b.kind == NONE)
        return XE_STEP_FAIL;
    if (a.kind == LARGE || b.kind == LARGE)
        return xe_match_error(m, XE_MATCHED_OTHER);
    if (fn == XE_FN_DIVIDE || a.kind == DOUBLE || b.kind == DOUBLE)
        return calculate_doubles(fn, a.d, b.d, args);
    return calculate_smalls(m, fn, a.i, b.i, args);
}

/* div rem band bor bxor bsl bsr */
static enum xe_step calculate_integers(struct xe_matcher *m, enum xe_function fn,
                                       struct xe_value *args)
{
    struct number a = number_of(m, &args[0]), b = number_of(m, &args[1]);
    if ((a.kind != SMALL && a.kind != LARGE) || (b.kind != SMALL && b.kind != LARGE))
        return XE_STEP_FAIL;
    if (a.kind == LARGE || b.kind == LARGE)
        return xe_match_error(m, XE_MATCHED_OTHER);
    return integers(m, fn, a.i, b.i, args);
}

static enum xe_step to_integer(struct xe_matcher *m, double d, struct xe_value *out)
{
    const double limit = 4e17; /* below the least double that is no small integer */
    if (!(d > -limit && d < limit))
        return xe_match_error(m, XE_MATCHED_OTHER);
    return set_integer(m, out, (int64_t)d);
}

static enum xe_step calculate_unary(struct xe_matcher *m, enum xe_function fn, struct xe_value *out)
{
    struct number a = number_of(m, out);
    if (a.kind == NONE)
        return XE_STEP_FAIL;
    if (a.kind == LARGE)
        return fn == XE_FN_POSITIVE || fn == XE_FN_ROUND || fn == XE_FN_TRUNC
                   ? XE_STEP_OK
                   : xe_match_error(m, XE_MATCHED_OTHER);
    bool is_small = a.kind == SMALL;
    switch (fn) {
    case XE_FN_BNOT:
        return is_small ? set_integer(m, out, ~a.i) : XE_STEP_FAIL;
    case XE_FN_NEGATE:
        if (is_small)
            return set_integer(m, out, -a.i);
        /* Releases differ in what becomes of the sign of zero, here and of abs(). */
        return a.d == 0 ? xe_match_error(m, XE_MATCHED_OTHER) : set_double(out, -a.d);
    case XE_FN_ABS:
        if (is_small)
            return set_integer(m, out, a.i < 0 ? -a.i : a.i);
        return a.d == 0 ? xe_match_error(m, XE_MATCHED_OTHER) : set_double(out, fabs(a.d));
    case XE_FN_FLOAT:
        return set_double(out, a.d);
    case XE_FN_ROUND:
        return is_small ? XE_STEP_OK : to_integer(m, round(a.d), out);
    case XE_FN_TRUNC:
        return is_small ? XE_STEP_OK : to_integer(m, a.d, out);
    default:
        return XE_STEP_OK;
    }
}

/* Booleans. */

static bool boolean_of(const struct xe_value *v, bool *out)
{
    *out = v->kind == XE_VALUE_TERM && v->term == xe_am.yes;
    return *out || (v->kind == XE_VALUE_TERM && v->term == xe_am.no);
}

static enum xe_step exclusive_or(struct xe_value *args)
{
    bool a, b;
    if (!boolean_of(&args[0], &a) || !boolean_of(&args[1], &b))
        return XE_STEP_FAIL;
    return set_bool(args, a != b);
}

static enum xe_step negate(struct xe_value *arg)
{
    bool b;
    return boolean_of(arg, &b) ? set_bool(arg, !b) : XE_STEP_FAIL;
}

/* Types. */

static enum xe_step is_type(const struct xe_matcher *m, enum xe_function fn, struct xe_value *arg)
{
    enum xe_value_type type = xe_value_type(m, arg);
    switch (fn) {
    case XE_FN_IS_ATOM:
        return set_bool(arg, type == XE_TYPE_ATOM);
    case XE_FN_IS_BINARY:
        return set_bool(arg, type == XE_TYPE_BINARY);
    case XE_FN_IS_FLOAT:
        return set_bool(arg, type == XE_TYPE_FLOAT);
    case XE_FN_IS_FUNCTION:
        return set_bool(arg, type == XE_TYPE_FUN);
    case XE_FN_IS_INTEGER:
        return set_bool(arg, type == XE_TYPE_INTEGER);
    case XE_FN_IS_LIST:
        return set_bool(arg, type == XE_TYPE_LIST);
    case XE_FN_IS_MAP:
        return set_bool(arg, type == XE_TYPE_MAP);
    case XE_FN_IS_NUMBER:
        return set_bool(arg, type == XE_TYPE_INTEGER || type == XE_TYPE_FLOAT);
    case XE_FN_IS_PID:
        return set_bool(arg, type == XE_TYPE_PID);
    case XE_FN_IS_PORT:
        return set_bool(arg, type == XE_TYPE_PORT);
    case XE_FN_IS_REFERENCE:
        return set_bool(arg, type == XE_TYPE_REFERENCE);
    default:
        return set_bool(arg, type == XE_TYPE_TUPLE);
    }
}

/* Containers. */

/* What stands behind the tag of a node: a size, an arity, a length. */
static uint64_t node_size(const struct xe_matcher *m, const struct xe_value *v)
{
    struct xe_cursor c = xe_value_cursor(m, v);
    c.p++;
    return xe_cursor_varint(&c);
}

static uint64_t arity_of(const struct xe_matcher *m, const struct xe_value *tuple)
{
    const ERL_NIF_TERM *elements;
    int arity = 0;
    if (tuple->kind == XE_VALUE_OBJECT)
        return (uint64_t)xe_term_arity(m->view);
    if (tuple->kind == XE_VALUE_NODE)
        return node_size(m, tuple);
    enif_get_tuple(m->env, tuple->term, &arity, &elements);
    return (uint64_t)arity;
}

/* Element i of a tuple, from 0, which it has. */
static enum xe_step element_of(struct xe_matcher *m, const struct xe_value *tuple, uint64_t i,
                               struct xe_value *out)
{
    const ERL_NIF_TERM *elements;
    int arity;
    if (!xe_value_is_term(tuple)) {
        enum xe_step step = xe_value_element(m, tuple, i, out);
        return step == XE_STEP_OK ? xe_value_settle(m, out) : step;
    }
    enif_get_tuple(m->env, tuple->term, &arity, &elements);
    *out = tuple->kind == XE_VALUE_FOREIGN ? xe_value_of_foreign(elements[i])
                                           : xe_value_of_term(elements[i]);
    return XE_STEP_OK;
}

static enum xe_step element(struct xe_matcher *m, struct xe_value *args)
{
    struct xe_value tuple = args[1];
    if (!xe_value_is_small(&args[0]) || xe_value_type(m, &tuple) != XE_TYPE_TUPLE)
        return XE_STEP_FAIL;
    int64_t i = xe_small_of(args[0].term);
    if (i < 1 || (uint64_t)i > arity_of(m, &tuple))
        return XE_STEP_FAIL;
    return element_of(m, &tuple, (uint64_t)i - 1, args);
}

/* {is_record, Term, Tag, Size} */
static enum xe_step is_record(struct xe_matcher *m, struct xe_value *args)
{
    struct xe_value tag;
    if (xe_value_type(m, &args[1]) != XE_TYPE_ATOM || !xe_value_is_small(&args[2]))
        return XE_STEP_FAIL;
    if (xe_value_type(m, &args[0]) != XE_TYPE_TUPLE)
        return set_bool(args, false);
    uint64_t arity = arity_of(m, &args[0]);
    if (arity == 0 || (int64_t)arity != xe_small_of(args[2].term))
        return set_bool(args, false);
    if (element_of(m, &args[0], 0, &tag) != XE_STEP_OK)
        return XE_STEP_ERROR;
    return set_bool(args, tag.kind == XE_VALUE_TERM && tag.term == args[1].term);
}

static enum xe_step head_or_tail(struct xe_matcher *m, bool head, struct xe_value *arg)
{
    ERL_NIF_TERM t, cell[2];
    if (xe_value_type(m, arg) != XE_TYPE_LIST || xe_value_is_word(arg))
        return XE_STEP_FAIL;
    if (head && arg->kind == XE_VALUE_NODE) {
        struct xe_cursor c = xe_value_cursor(m, arg);
        unsigned tag = *c.p++;
        xe_cursor_varint(&c);
        if (tag >> 3 == XE_NODE_LIST_IMM)
            *arg = xe_value_of_term(xe_term_packed(c.p, (tag & 7) + 1));
        else
            xe_value_load(&c, arg);
        return XE_STEP_OK;
    }
    if (xe_value_term(m, arg, &t) != XE_STEP_OK)
        return XE_STEP_ERROR;
    if (!enif_get_list_cell(m->env, t, &cell[0], &cell[1]))
        return XE_STEP_FAIL;
    t = cell[!head];
    *arg = arg->kind == XE_VALUE_TERM ? xe_value_of_term(t) : xe_value_of_foreign(t);
    return XE_STEP_OK;
}

static enum xe_step length(struct xe_matcher *m, struct xe_value *arg)
{
    unsigned n;
    if (xe_value_type(m, arg) != XE_TYPE_LIST)
        return XE_STEP_FAIL;
    if (arg->kind == XE_VALUE_NODE)
        return *arg->p >> 3 == XE_NODE_ILIST ? XE_STEP_FAIL
                                             : set_integer(m, arg, (int64_t)node_size(m, arg));
    if (!enif_get_list_length(m->env, arg->term, &n))
        return XE_STEP_FAIL;
    return xe_match_charge(m, n / 8) == XE_STEP_OK ? set_integer(m, arg, n) : XE_STEP_ERROR;
}

/* How sizes of bit strings are told. */
enum unit { BITS, BYTES, WHOLE_BYTES };

/* The size of a term in bytes, and how many bits of the last one count. That of a bit string shows
 * in its external format only. */
static enum xe_step measure_bits(struct xe_matcher *m, ERL_NIF_TERM t, uint64_t *bytes,
                                 unsigned *bits)
{
    ErlNifBinary bin;
    const uint8_t *content;
    if (enif_inspect_binary(m->env, t, &bin)) {
        *bytes = bin.size;
        return XE_STEP_OK;
    }
    /* Nobody knows how large that is before it is there. */
    if (xe_match_charge(m, XE_TERM_BUDGET_WORDS) != XE_STEP_OK)
        return XE_STEP_ERROR;
    if (!enif_term_to_binary(m->env, t, &bin))
        return xe_match_error(m, XE_MATCHED_NOMEM);
    *bytes = xe_term_inspect_bits(&bin, &content, bits);
    enif_release_binary(&bin);
    return XE_STEP_OK;
}

static enum xe_step bits_size(struct xe_matcher *m, enum unit unit, struct xe_value *arg)
{
    uint64_t bytes;
    unsigned bits = 8;
    if (arg->kind == XE_VALUE_NODE) {
        bytes = node_size(m, arg);
        bits = *arg->p >> 3 == XE_NODE_BITS ? *arg->p & 7 : 8;
    } else if (measure_bits(m, arg->term, &bytes, &bits) != XE_STEP_OK) {
        return XE_STEP_ERROR;
    }
    switch (unit) {
    case BITS:
        return set_integer(m, arg, (int64_t)(8 * bytes - (8 - bits)));
    case BYTES:
        return set_integer(m, arg, (int64_t)bytes);
    default:
        return set_integer(m, arg, (int64_t)(bytes - (bits < 8)));
    }
}

static enum xe_step size(struct xe_matcher *m, enum xe_function fn, struct xe_value *arg)
{
    enum xe_value_type type = xe_value_type(m, arg);
    if (type == XE_TYPE_TUPLE && fn == XE_FN_SIZE)
        return set_integer(m, arg, (int64_t)arity_of(m, arg));
    if (type != XE_TYPE_BINARY && type != XE_TYPE_BITS)
        return XE_STEP_FAIL;
    return bits_size(m, fn == XE_FN_SIZE ? WHOLE_BYTES : fn == XE_FN_BYTE_SIZE ? BYTES : BITS, arg);
}

static enum xe_step map_size(struct xe_matcher *m, struct xe_value *arg)
{
    uint64_t n;
    return xe_value_map_size(m, arg, &n) ? set_integer(m, arg, (int64_t)n) : XE_STEP_FAIL;
}

/* {map_get, Key, Map} and {is_map_key, Key, Map} */
static enum xe_step look_up(struct xe_matcher *m, enum xe_function fn, struct xe_value *args)
{
    struct xe_value value;
    uint64_t n;
    if (!xe_value_map_size(m, &args[1], &n))
        return XE_STEP_FAIL;
    enum xe_step step = xe_value_map_get(m, &args[1], &args[0], &value);
    if (step == XE_STEP_ERROR)
        return step;
    if (fn == XE_FN_IS_MAP_KEY)
        return set_bool(args, step == XE_STEP_OK);
    if (step == XE_STEP_OK)
        xe_value_copy(args, &value);
    return step;
}

static enum xe_step call_binary(struct xe_matcher *m, enum xe_function fn, struct xe_value *args)
{
    bool holds;
    if (fn <= XE_FN_BSR && fn != XE_FN_DIVIDE && xe_value_is_small(&args[0]) &&
        xe_value_is_small(&args[1]))
        return call_smalls(m, fn, args);
    if (fn <= XE_FN_IS_NOT)
        return xe_match_compare(m, fn, &args[0], &args[1], &holds) == XE_STEP_OK
                   ? set_bool(args, holds)
                   : XE_STEP_ERROR;
    if (fn <= XE_FN_DIVIDE)
        return calculate(m, fn, args);
    if (fn <= XE_FN_BSR)
        return calculate_integers(m, fn, args);
    if (fn == XE_FN_XOR)
        return exclusive_or(args);
    return fn == XE_FN_ELEMENT ? element(m, args) : look_up(m, fn, args);
}

static enum xe_step call_unary(struct xe_matcher *m, enum xe_function fn, struct xe_value *arg)
{
    if (fn >= XE_FN_IS_ATOM)
        return is_type(m, fn, arg);
    if (fn == XE_FN_NOT)
        return negate(arg);
    if (fn <= XE_FN_FLOAT)
        return calculate_unary(m, fn, arg);
    switch (fn) {
    case XE_FN_HD:
    case XE_FN_TL:
        return head_or_tail(m, fn == XE_FN_HD, arg);
    case XE_FN_LENGTH:
        return length(m, arg);
    case XE_FN_MAP_SIZE:
        return map_size(m, arg);
    default:
        return size(m, fn, arg);
    }
}

enum xe_step xe_match_call(struct xe_matcher *m, enum xe_function fn, struct xe_value *args)
{
    if (fn <= XE_FN_BINARY_LAST)
        return call_binary(m, fn, args);
    return fn <= XE_FN_UNARY_LAST ? call_unary(m, fn, args) : is_record(m, args);
}
