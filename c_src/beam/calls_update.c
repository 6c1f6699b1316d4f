/*
 * calls_update.c - update_counter and update_element.
 *
 * A counter is read, computed and stored under the lock of its segment. Elements are
 * replaced by compare-and-swap on the version seen, for encoding the new ones may take long.
 *
 * Arithmetic here is that of 64-bit integers. Where it does not suffice update_counter
 * answers {slow, Object}, and xets_counter.erl computes and stores with replace/3.
 */
#include <limits.h>
#include <stdlib.h>

#include "call_key.h"

enum { OPS_MAX = 16 };

/* Where update_counter stands. */
enum outcome {
    DONE,
    WRONG, /* badarg */
    SLOW,  /* integers too large for this way */
    BUSY,  /* changed meanwhile */
    LARGE, /* too much for a normal scheduler */
};

/* {Pos, Incr} or {Pos, Incr, Threshold, SetValue} */
struct op {
    int pos;
    bool bounded;
    int64_t incr, threshold, set;
};

struct counter {
    ErlNifEnv *env;
    uint64_t budget;
    int keypos;
    struct op ops[OPS_MAX];
    int64_t results[OPS_MAX];
    int n;
    bool list; /* the result is a list */
    ERL_NIF_TERM patched; /* the result of count_flat(), or 0 */
    struct xe_encoder e; /* of the new object; in use if `encoding` */
    bool encoding;
    bool compress; /* the table is compressed */
    bool unlocked; /* the object is not one for count_locked() */
    enum outcome outcome;
};

/* --- Operations --------------------------------------------------------- */

static enum outcome get_integer(ErlNifEnv *env, ERL_NIF_TERM term, int64_t *out)
{
    ErlNifSInt64 i;
    if (XE_LIKELY(xe_term_get_int64(env, term, &i))) {
        *out = i;
        return DONE;
    }
    return enif_term_type(env, term) == ERL_NIF_TERM_TYPE_INTEGER ? SLOW : WRONG;
}

static enum outcome worse(enum outcome a, enum outcome b)
{
    return a == WRONG || b == WRONG ? WRONG : a == SLOW || b == SLOW ? SLOW : DONE;
}

static enum outcome get_op(ErlNifEnv *env, ERL_NIF_TERM term, int keypos, struct op *op)
{
    const ERL_NIF_TERM *is;
    int n;
    if (!enif_get_tuple(env, term, &n, &is) || (n != 2 && n != 4))
        return WRONG;
    if (!enif_get_int(env, is[0], &op->pos) || op->pos < 1 || op->pos == keypos)
        return WRONG;
    op->bounded = n == 4;
    enum outcome o = get_integer(env, is[1], &op->incr);
    if (n == 4) {
        o = worse(o, get_integer(env, is[2], &op->threshold));
        o = worse(o, get_integer(env, is[3], &op->set));
    }
    return o;
}

/* Incr, one operation, or a list of them. */
static enum outcome get_ops(struct counter *c, ERL_NIF_TERM term)
{
    ERL_NIF_TERM op;
    enum outcome o = DONE;
    c->list = false;
    c->n = 1;
    /* No object has an element behind the last position there can be. */
    c->ops[0].pos = c->keypos < INT_MAX ? c->keypos + 1 : INT_MAX;
    c->ops[0].bounded = false;
    ErlNifSInt64 incr;
    if (XE_LIKELY(xe_term_get_int64(c->env, term, &incr))) {
        c->ops[0].incr = incr;
        return DONE;
    }
    if (enif_is_number(c->env, term))
        return get_integer(c->env, term, &c->ops[0].incr);
    if (enif_is_tuple(c->env, term))
        return get_op(c->env, term, c->keypos, &c->ops[0]);
    c->list = true;
    c->n = 0;
    struct op rest;
    for (int i = 0; enif_get_list_cell(c->env, term, &op, &term); i++) {
        if (i == XE_CALL_INLINE_MAX && c->budget != XE_TERM_NO_BUDGET)
            return LARGE;
        struct op *to = c->n < OPS_MAX ? &c->ops[c->n] : &rest;
        o = worse(o, get_op(c->env, op, c->keypos, to));
        if (c->n < OPS_MAX)
            c->n++;
        else
            o = worse(o, SLOW);
        if (o == WRONG)
            return o;
    }
    return enif_is_empty_list(c->env, term) ? o : WRONG;
}

static enum outcome apply(const struct op *op, int64_t old, int64_t *new)
{
    if (__builtin_add_overflow(old, op->incr, new))
        return SLOW;
    if (op->bounded && (op->incr < 0 ? *new < op->threshold : *new > op->threshold))
        *new = op->set;
    return DONE;
}

/* --- Counters in a stored object ---------------------------------------- */

/* The elements that change, ascending. */
struct changes {
    int positions[OPS_MAX];
    int64_t values[OPS_MAX];
    int n;
};

/* The entry for `pos`; a new one holds what is stored. */
static enum outcome change_at(struct counter *c, const struct xe_view *view, struct changes *to,
                              int pos, int *at)
{
    int i = to->n;
    while (i && to->positions[i - 1] >= pos)
        i--;
    *at = i;
    if (i < to->n && to->positions[i] == pos)
        return DONE;
    ERL_NIF_TERM element = xe_term_immediate_element(view, c->keypos, pos);
    ErlNifSInt64 value;
    if (!element)
        return SLOW;
    if (!xe_term_get_int64(c->env, element, &value))
        return WRONG;
    memmove(&to->positions[i + 1], &to->positions[i], (size_t)(to->n - i) * sizeof(int));
    memmove(&to->values[i + 1], &to->values[i], (size_t)(to->n - i) * sizeof(int64_t));
    to->positions[i] = pos;
    to->values[i] = value;
    to->n++;
    return DONE;
}

/* Whether an element other than the one at `at` fills the width. Else the width has to change
 * with that one: equal objects have equal bytes. */
static bool is_width_needed(const uint8_t *body, unsigned arity, unsigned width, const uint8_t *at)
{
    const uint8_t *p = body + 1;
    for (unsigned i = 1; i < arity; i++, p += width)
        if (p != at && p[width - 1] != 0)
            return true;
    return false;
}

/* The common case: one operation, on an object that is flat before and after. Only the bytes
 * of one element change. False: not that case, or there is something to complain of. */
static bool count_flat(void *arg, const struct xe_view *view, struct xe_patch *out)
{
    struct counter *c = arg;
    const uint8_t *body = xe_term_body(view);
    unsigned arity = body[0] >> 3 & 15, width = (body[0] & 7) + 1;
    int pos = c->ops[0].pos;
    ErlNifSInt64 old;
    if (!(body[0] & XE_TERM_BODY_FLAT) || pos > (int)arity)
        return false;
    const uint8_t *at = body + 1 + (unsigned)(pos - 1 - (pos > c->keypos)) * width;
    if (!xe_term_get_int64(c->env, xe_term_packed(at, width), &old) ||
        apply(&c->ops[0], old, &c->results[0]) != DONE)
        return false;
    ERL_NIF_TERM new = xe_term_make_int64(c->env, c->results[0]);
    *out = (struct xe_patch){.at = at, .width = width, .word = new};
    c->patched = new;
    return xe_term_is_immediate(new) &&
           (xe_term_width(new) == width ||
            (xe_term_width(new) < width && is_width_needed(body, arity, width, at)));
}

static enum outcome of_term(enum xe_term_status status)
{
    return status == XE_TERM_OK ? DONE : status == XE_TERM_BUDGET ? LARGE : SLOW;
}

/* Computes, and encodes the new object into c->e. */
static enum outcome count(struct counter *c, const struct xe_view *view)
{
    struct changes changes;
    ERL_NIF_TERM terms[OPS_MAX];
    int arity = xe_term_arity(view);
    changes.n = 0;
    for (int i = 0; i < c->n; i++)
        if (c->ops[i].pos > arity)
            return WRONG;
    for (int i = 0; i < c->n; i++) {
        int at;
        enum outcome o = change_at(c, view, &changes, c->ops[i].pos, &at);
        if (o == DONE)
            o = apply(&c->ops[i], changes.values[at], &c->results[i]);
        if (o != DONE)
            return o;
        changes.values[at] = c->results[i];
    }
    for (int i = 0; i < changes.n; i++)
        terms[i] = xe_term_make_int64(c->env, changes.values[i]);
    if (c->encoding)
        xe_encoder_clear(&c->e);
    c->encoding = true;
    xe_encoder_init(&c->e, c->env, c->budget);
    c->e.compress = c->compress;
    return of_term(
        xe_term_replace(&c->e, view, c->keypos, changes.positions, terms, changes.n));
}

static enum outcome count_expanded(struct counter *c, const struct xe_view *view)
{
    struct xe_expanded x;
    uint64_t budget = c->budget;
    enum outcome o = of_term(xe_term_expand(&x, view, &budget));
    if (o == DONE) {
        o = count(c, &x.view);
        xe_expanded_clear(&x);
    }
    return o;
}

static enum xe_update count_locked(void *arg, const struct xe_view *view, struct xe_object *out)
{
    struct counter *c = arg;
    /* A small block may stand for much. */
    if (XE_UNLIKELY(xe_term_is_compressed(view))) {
        c->unlocked = true;
        return XE_UPDATE_KEEP;
    }
    c->outcome = count(c, view);
    if (c->outcome != DONE || c->n == 0)
        return XE_UPDATE_KEEP;
    xe_term_object(&c->e, out);
    return XE_UPDATE_REPLACE;
}

/* The same without the lock, for objects in blobs and compressed ones. */
static enum xe_status count_unlocked(struct counter *c, struct xe_use *use,
                                     const struct xe_key *key)
{
    struct xe_view view;
    struct xe_version version;
    struct xe_object o;
    struct xe_prepared p;
    enum xe_status status = xe_table_find_version(use->table->core, key, &view, &version);
    if (status != XE_OK)
        return status;
    c->outcome = xe_term_object_words(&view) > c->budget ? LARGE : count_expanded(c, &view);
    if (c->outcome != DONE || c->n == 0)
        return XE_EXISTS;
    xe_term_object(&c->e, &o);
    status = xe_table_prepare(use->table->core, &o, &p);
    if (status != XE_OK)
        return status;
    status = xe_table_replace(use->table->core, use->slot, &p, &version);
    if (status != XE_OK)
        xe_record_unprepare(&p);
    c->outcome = status == XE_ABSENT ? BUSY : DONE;
    return status == XE_ABSENT ? XE_EXISTS : status;
}

/* --- Counters in a default object --------------------------------------- */

static enum outcome count_default(struct counter *c, ERL_NIF_TERM *elements, int arity)
{
    for (int i = 0; i < c->n; i++) {
        int64_t old;
        if (c->ops[i].pos > arity)
            return WRONG;
        ERL_NIF_TERM *element = &elements[c->ops[i].pos - 1];
        enum outcome o = get_integer(c->env, *element, &old);
        if (o == DONE)
            o = apply(&c->ops[i], old, &c->results[i]);
        if (o != DONE)
            return o;
        *element = xe_term_make_int64(c->env, c->results[i]);
    }
    return DONE;
}

/* A copy of the default's elements with the key in its place; to be freed. */
static ERL_NIF_TERM *copy_default(ErlNifEnv *env, ERL_NIF_TERM term, int keypos, ERL_NIF_TERM key,
                                  int *arity)
{
    const ERL_NIF_TERM *elements;
    enif_get_tuple(env, term, arity, &elements);
    ERL_NIF_TERM *copy = enif_alloc((size_t)*arity * sizeof *copy);
    if (copy) {
        memcpy(copy, elements, (size_t)*arity * sizeof *copy);
        copy[keypos - 1] = key;
    }
    return copy;
}

static bool is_default(ErlNifEnv *env, ERL_NIF_TERM term, int keypos)
{
    const ERL_NIF_TERM *elements;
    int arity;
    return enif_get_tuple(env, term, &arity, &elements) && arity >= keypos;
}

/* Inserts a new object. XE_EXISTS: there is one by now. */
static enum xe_result insert_elements(ErlNifEnv *env, struct xe_use *use,
                                      const ERL_NIF_TERM *elements, int arity, uint64_t budget,
                                      enum xe_status *status)
{
    struct xe_encoder e;
    struct xe_object o;
    struct xe_prepared p;
    struct xe_form form = xe_call_form(use->table);
    xe_call_encoder(&e, env, &form, budget);
    enum xe_result result =
        xe_call_of_term(xe_term_encode_object(&e, elements, arity, use->table->keypos));
    if (result == XE_CALL_OK) {
        xe_term_object(&e, &o);
        *status = xe_table_prepare(use->table->core, &o, &p);
        if (*status == XE_OK) {
            *status = xe_table_put(use->table->core, use->slot, &p, XE_PUT_NEW);
            if (*status != XE_OK)
                xe_record_unprepare(&p);
        }
        if (*status != XE_OK && *status != XE_EXISTS)
            result = xe_call_of_core(*status);
    }
    xe_encoder_clear(&e);
    return result;
}

static enum xe_result insert_counted(struct counter *c, struct xe_use *use, ERL_NIF_TERM key,
                                     ERL_NIF_TERM default_object, uint64_t budget)
{
    int arity;
    enum xe_status status = XE_OK;
    enum xe_result result = XE_CALL_OK;
    ERL_NIF_TERM *elements = copy_default(c->env, default_object, c->keypos, key, &arity);
    if (!elements)
        return XE_CALL_LIMIT;
    c->outcome = count_default(c, elements, arity);
    if (c->outcome == DONE)
        result = insert_elements(c->env, use, elements, arity, budget, &status);
    if (result == XE_CALL_OK && status == XE_EXISTS)
        c->outcome = BUSY;
    enif_free(elements);
    return result;
}

/* --- update_counter ----------------------------------------------------- */

static ERL_NIF_TERM make_results(struct counter *c)
{
    ERL_NIF_TERM terms[OPS_MAX];
    if (XE_LIKELY(c->patched && !c->list))
        return c->patched;
    for (int i = 0; i < c->n; i++)
        terms[i] = xe_term_make_int64(c->env, c->results[i]);
    return c->list ? enif_make_list_from_array(c->env, terms, (unsigned)c->n) : terms[0];
}

/* {slow, Object} or {slow, absent} */
static enum xe_result answer_slow(struct counter *c, struct xe_use *use, const struct xe_key *key,
                                  ERL_NIF_TERM term, const struct xe_encoder *encoded,
                                  bool has_default, uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_view view;
    ERL_NIF_TERM object = xe_am.absent;
    enum xe_status status = xe_table_find(use->table->core, key, &view);
    if (status == XE_ABSENT && !has_default)
        return XE_CALL_BADARG;
    if (status != XE_OK && status != XE_ABSENT)
        return xe_call_of_core(status);
    enum xe_result result = XE_CALL_OK;
    if (status == XE_OK)
        result = xe_call_of_term(xe_term_decode_object(c->env, &view, c->keypos,
                                                       xe_call_key_of(&view, term, encoded),
                                                       budget, &object));
    *out = enif_make_tuple2(c->env, xe_am.slow, object);
    return result;
}

/* One try. c->outcome says what came of it when the result is XE_CALL_OK. */
static enum xe_result count_once(struct counter *c, struct xe_use *use, const struct xe_key *key,
                                 const ERL_NIF_TERM argv[], bool has_default, uint64_t budget)
{
    enum xe_status status = XE_LIMIT;
    if (XE_LIKELY(c->n == 1))
        status = xe_table_patch(use->table->core, use->slot, key, count_flat, c);
    if (XE_LIKELY(status == XE_OK))
        return XE_CALL_OK;
    c->patched = 0;
    c->unlocked = false;
    if (status == XE_LIMIT)
        status = xe_table_update(use->table->core, use->slot, key, count_locked, c);
    if (status == XE_LIMIT || c->unlocked)
        status = count_unlocked(c, use, key);
    if (status == XE_ABSENT && has_default)
        return insert_counted(c, use, argv[1], argv[3], budget);
    if (XE_LIKELY(status == XE_OK || status == XE_EXISTS))
        return XE_CALL_OK;
    return xe_call_of_core(status);
}

static enum xe_result count_in(struct counter *c, struct xe_use *use, const ERL_NIF_TERM argv[],
                               const struct xe_encoder *encoded, bool has_default, uint64_t budget,
                               ERL_NIF_TERM *out)
{
    struct xe_key key;
    xe_call_key(&key, use->table, argv[1], encoded);
    c->keypos = use->table->keypos;
    c->compress = use->table->compressed;
    if (xe_kind_is_bag(use->table->kind))
        return XE_CALL_BADARG;
    if (has_default && !is_default(c->env, argv[3], c->keypos))
        return XE_CALL_BADARG;
    c->outcome = get_ops(c, argv[2]);
    for (int i = 0; c->outcome == DONE && i < XE_CALL_TRIES; i++) {
        enum xe_result result = count_once(c, use, &key, argv, has_default, budget);
        if (result != XE_CALL_OK)
            return result;
        if (XE_LIKELY(c->outcome == DONE)) {
            *out = make_results(c);
            return XE_CALL_OK;
        }
        if (c->outcome == BUSY)
            c->outcome = DONE;
    }
    if (c->outcome == SLOW)
        return answer_slow(c, use, &key, argv[1], encoded, has_default, budget, out);
    return c->outcome == WRONG   ? XE_CALL_BADARG
           : c->outcome == LARGE ? XE_CALL_BUDGET
                                 : XE_CALL_RETRY;
}

static enum xe_result counter_call(ErlNifEnv *env, const ERL_NIF_TERM argv[], bool has_default,
                                   uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_encoder e;
    struct counter c;
    struct xe_use use;
    c.env = env;
    c.budget = budget;
    enum xe_result result = xe_call_open(env, argv[0], XE_NEED_WRITE, argv[1], budget, &use, &e);
    if (XE_LIKELY(result == XE_CALL_OK)) {
        c.encoding = false;
        c.patched = 0;
        result = count_in(&c, &use, argv, &e, has_default, budget, out);
        xe_call_close(&use, argv[1], &e);
        if (c.encoding)
            xe_encoder_clear(&c.e);
    }
    return result;
}

static enum xe_result update_counter(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                     ERL_NIF_TERM *out)
{
    return counter_call(env, argv, false, budget, out);
}
XE_CALL_WRITE(update_counter, 3)

static enum xe_result update_counter_default(ErlNifEnv *env, const ERL_NIF_TERM argv[],
                                             uint64_t budget, ERL_NIF_TERM *out)
{
    return counter_call(env, argv, true, budget, out);
}
XE_CALL_WRITE(update_counter_default, 4)

/* --- update_element ----------------------------------------------------- */

/* The elements to be set, in the end ascending by position, of several for one position the
 * last. */
struct elements {
    int *positions;
    ERL_NIF_TERM *terms;
    int n, cap;
    bool unsorted;
    int small_positions[OPS_MAX];
    ERL_NIF_TERM small_terms[OPS_MAX];
};

static void elements_clear(struct elements *s)
{
    if (s->positions != s->small_positions)
        enif_free(s->positions);
}

static bool elements_grow(struct elements *s)
{
    int cap = 4 * s->cap;
    char *p = enif_alloc((size_t)cap * (sizeof(ERL_NIF_TERM) + sizeof(int)));
    if (!p)
        return false;
    /* One allocation; the terms behind the positions, 8-byte aligned as cap is even. */
    int *positions = (int *)(void *)p;
    ERL_NIF_TERM *terms = (ERL_NIF_TERM *)(void *)(p + (size_t)cap * sizeof(int));
    memcpy(positions, s->positions, (size_t)s->n * sizeof *positions);
    memcpy(terms, s->terms, (size_t)s->n * sizeof *terms);
    elements_clear(s);
    s->positions = positions;
    s->terms = terms;
    s->cap = cap;
    return true;
}

static enum xe_result elements_add(struct elements *s, int pos, ERL_NIF_TERM term)
{
    if (s->n && s->positions[s->n - 1] == pos) {
        s->terms[s->n - 1] = term;
        return XE_CALL_OK;
    }
    if (s->n == s->cap && !elements_grow(s))
        return XE_CALL_LIMIT;
    if (s->n && s->positions[s->n - 1] > pos)
        s->unsorted = true;
    s->positions[s->n] = pos;
    s->terms[s->n++] = term;
    return XE_CALL_OK;
}

struct element {
    int pos, order;
    ERL_NIF_TERM term;
};

static int by_position(const void *x, const void *y)
{
    const struct element *a = x, *b = y;
    return a->pos != b->pos ? (a->pos < b->pos ? -1 : 1) : a->order - b->order;
}

static enum xe_result elements_sort(struct elements *s)
{
    struct element small[OPS_MAX], *all = small;
    int n = s->n;
    if (!s->unsorted)
        return XE_CALL_OK;
    if (n > OPS_MAX && !(all = enif_alloc((size_t)n * sizeof *all)))
        return XE_CALL_LIMIT;
    for (int i = 0; i < n; i++)
        all[i] = (struct element){s->positions[i], i, s->terms[i]};
    qsort(all, (size_t)n, sizeof *all, by_position);
    s->n = 0;
    for (int i = 0; i < n; i++)
        elements_add(s, all[i].pos, all[i].term);
    if (all != small)
        enif_free(all);
    return XE_CALL_OK;
}

static enum xe_result elements_get(ErlNifEnv *env, ERL_NIF_TERM spec, int keypos, int arity,
                                   uint64_t budget, struct elements *s)
{
    ERL_NIF_TERM one = spec, rest = spec;
    bool single = enif_is_tuple(env, spec);
    *s = (struct elements){.cap = OPS_MAX};
    s->positions = s->small_positions;
    s->terms = s->small_terms;
    for (int i = 0; single || enif_get_list_cell(env, rest, &one, &rest); i++) {
        const ERL_NIF_TERM *is;
        int n, pos;
        if (i == XE_CALL_INLINE_MAX && budget != XE_TERM_NO_BUDGET)
            return XE_CALL_BUDGET;
        if (!enif_get_tuple(env, one, &n, &is) || n != 2 || !enif_get_int(env, is[0], &pos) ||
            pos < 1 || pos == keypos || pos > arity)
            return XE_CALL_BADARG;
        enum xe_result result = elements_add(s, pos, is[1]);
        if (single || result != XE_CALL_OK)
            return result;
    }
    return enif_is_empty_list(env, rest) ? elements_sort(s) : XE_CALL_BADARG;
}

/* One try: XE_EXISTS if the object changed meanwhile. */
static enum xe_result set_once(ErlNifEnv *env, struct xe_use *use, const struct xe_key *key,
                               ERL_NIF_TERM spec, uint64_t budget, enum xe_status *status)
{
    struct xe_view view;
    struct xe_version version;
    struct elements s;
    struct xe_encoder e;
    struct xe_object o;
    struct xe_prepared p;
    int keypos = use->table->keypos;
    *status = xe_table_find_version(use->table->core, key, &view, &version);
    if (*status != XE_OK)
        return *status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(*status);
    enum xe_result result = elements_get(env, spec, keypos, xe_term_arity(&view), budget, &s);
    xe_encoder_init(&e, env, budget);
    e.compress = use->table->compressed;
    if (result == XE_CALL_OK && s.n > 0) {
        result =
            xe_call_of_term(xe_term_replace(&e, &view, keypos, s.positions, s.terms, s.n));
        if (result == XE_CALL_OK) {
            xe_term_object(&e, &o);
            *status = xe_table_prepare(use->table->core, &o, &p);
            if (*status == XE_OK) {
                *status = xe_table_replace(use->table->core, use->slot, &p, &version);
                if (*status != XE_OK)
                    xe_record_unprepare(&p);
            }
            if (*status == XE_ABSENT)
                *status = XE_EXISTS;
            else
                result = xe_call_of_core(*status);
        }
    }
    xe_encoder_clear(&e);
    elements_clear(&s);
    return result;
}

static enum xe_result insert_set(ErlNifEnv *env, struct xe_use *use, const ERL_NIF_TERM argv[],
                                 uint64_t budget, enum xe_status *status)
{
    struct elements s;
    int arity, keypos = use->table->keypos;
    ERL_NIF_TERM *elements = copy_default(env, argv[3], keypos, argv[1], &arity);
    if (!elements)
        return XE_CALL_LIMIT;
    enum xe_result result = elements_get(env, argv[2], keypos, arity, budget, &s);
    if (result == XE_CALL_OK) {
        for (int i = 0; i < s.n; i++)
            elements[s.positions[i] - 1] = s.terms[i];
        result = insert_elements(env, use, elements, arity, budget, status);
    }
    elements_clear(&s);
    enif_free(elements);
    return result;
}

static enum xe_result set_in(ErlNifEnv *env, struct xe_use *use, const ERL_NIF_TERM argv[],
                             const struct xe_encoder *e, bool has_default, uint64_t budget,
                             ERL_NIF_TERM *out)
{
    struct xe_key key;
    enum xe_status status;
    if (xe_kind_is_bag(use->table->kind) ||
        (has_default && !is_default(env, argv[3], use->table->keypos)))
        return XE_CALL_BADARG;
    xe_call_key(&key, use->table, argv[1], e);
    for (int i = 0; i < XE_CALL_TRIES; i++) {
        enum xe_result result = set_once(env, use, &key, argv[2], budget, &status);
        if (result == XE_CALL_OK && status == XE_ABSENT && has_default)
            result = insert_set(env, use, argv, budget, &status);
        if (result != XE_CALL_OK)
            return result;
        *out = xe_call_bool(status != XE_ABSENT);
        if (status != XE_EXISTS)
            return XE_CALL_OK;
    }
    return XE_CALL_RETRY;
}

static enum xe_result element_call(ErlNifEnv *env, const ERL_NIF_TERM argv[], bool has_default,
                                   uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_encoder e;
    struct xe_use use;
    enum xe_result result = xe_call_open(env, argv[0], XE_NEED_WRITE, argv[1], budget, &use, &e);
    if (XE_LIKELY(result == XE_CALL_OK)) {
        result = set_in(env, &use, argv, &e, has_default, budget, out);
        xe_call_close(&use, argv[1], &e);
    }
    return result;
}

static enum xe_result update_element(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                     ERL_NIF_TERM *out)
{
    return element_call(env, argv, false, budget, out);
}
XE_CALL_WRITE(update_element, 3)

static enum xe_result update_element_default(ErlNifEnv *env, const ERL_NIF_TERM argv[],
                                             uint64_t budget, ERL_NIF_TERM *out)
{
    return element_call(env, argv, true, budget, out);
}
XE_CALL_WRITE(update_element_default, 4)
