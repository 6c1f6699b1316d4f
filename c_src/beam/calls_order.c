/*
 * calls_order.c - calls of ordered tables only: ranges, prefixes, ranks, pops.
 *
 * A range is read in chunks, each in a section of its own: between two of them nothing is held but
 * a copy of the last key, and one goes on behind it, whether it is still there or not. So what
 * is there throughout is met exactly once, in order (core/order.h, S2).
 */
#include "call_key.h"
#include "scan.h"
#include "term_internal.h"

enum { CHUNK = 128 };

/* src/xets.erl has them, too. */
enum {
    REVERSE = 1,
    FROM_EXCLUSIVE = 2,
    FROM_UNBOUNDED = 4,
    TO_EXCLUSIVE = 8,
    TO_UNBOUNDED = 16,
    GO_ON = 32, /* of a prefix: behind a key */
};

/* Order bytes of a key on this side of the table. */
struct key_copy {
    struct xe_key key;
    uint64_t handle;
    uint8_t bytes[XE_KEY_BYTES_MAX + XE_READ_SLACK];
};

/* What keys are to begin with. */
struct prefix {
    enum { OF_TUPLES, OF_LISTS, OF_BINARIES } kind;
    const ERL_NIF_TERM *elements;
    int n;
    ERL_NIF_TERM list;
    ErlNifBinary bin;
};

/* A list of objects that is being read. */
struct reading {
    ErlNifEnv *env;
    ERL_NIF_TERM table;
    uint64_t budget;
    uint64_t limit; /* objects that may still be listed */
    unsigned read;
    struct xe_range range; /* what is still to be read */
    struct key_copy last;  /* where to go on */
    const struct prefix *asked; /* of each key in the range; NULL: nothing is */
    ERL_NIF_TERM last_key;      /* 0: nothing is listed yet */
    ERL_NIF_TERM earlier;       /* what is listed, from its end, but for what is in `now` */
    ERL_NIF_TERM now[CHUNK];
    unsigned n_now;
};

static void reading_init(struct reading *r, ErlNifEnv *env, ERL_NIF_TERM table, uint64_t budget)
{
    r->env = env;
    r->table = table;
    r->budget = budget;
    r->limit = UINT64_MAX;
    r->read = 0;
    r->range = (struct xe_range){0};
    r->asked = NULL;
    r->last_key = 0;
    r->earlier = xe_call_nil;
    r->n_now = 0;
}

/* Opens the use of an ordered table. */
static bool use_begin(ErlNifEnv *env, ERL_NIF_TERM table, enum xe_need need, struct xe_use *use)
{
    if (!xe_use_begin(env, table, need, use))
        return false;
    if (XE_LIKELY(use->table->kind == XE_ORDERED))
        return true;
    xe_use_end(use);
    return false;
}

/* XE_CALL_OK: to be ended by key_end(). */
static enum xe_result encode_key(struct xe_encoder *e, ErlNifEnv *env, ERL_NIF_TERM term,
                                 uint64_t budget, struct xe_key *key)
{
    enum xe_result result = xe_call_encode_key(e, env, XE_ORDERED, term, budget, false);
    if (XE_LIKELY(result == XE_CALL_OK))
        xe_key_init_order(key, e->bytes, e->klen, e->handles, e->n_key_handles);
    return result;
}

static void key_end(struct xe_encoder *e)
{
    xe_call_key_end(e, XE_ORDERED, xe_call_nil); /* whatever the term was */
}

/* --- Listing objects ---------------------------------------------------- */

static enum xe_result decode(struct reading *r, const struct xe_view *view, int keypos,
                             ERL_NIF_TERM *object)
{
    uint64_t words = xe_term_object_words(view);
    if (words > r->budget)
        return XE_CALL_BUDGET;
    r->budget -= r->budget == XE_TERM_NO_BUDGET ? 0 : words;
    return xe_call_of_term(
        xe_term_decode_object(r->env, view, keypos, 0, XE_TERM_NO_BUDGET, object));
}

static ERL_NIF_TERM key_of(ErlNifEnv *env, ERL_NIF_TERM object, int keypos)
{
    const ERL_NIF_TERM *elements;
    int arity;
    enif_get_tuple(env, object, &arity, &elements);
    return elements[keypos - 1];
}

/* All records of a chunk: those with blobs, which are pinned then, when the section is left. */
static enum xe_result decode_some(struct reading *r, const struct xe_view *views, uint32_t n,
                                  bool blobs, int keypos, ERL_NIF_TERM *objects)
{
    enum xe_result result = XE_CALL_OK;
    for (uint32_t i = 0; i < n && result == XE_CALL_OK; i++)
        if (!views[i].blob == !blobs)
            result = decode(r, &views[i], keypos, &objects[i]);
    return result;
}

static bool begins_with(ErlNifEnv *env, ERL_NIF_TERM key, const struct prefix *p);

/* Adds n objects, at most CHUNK, to the list. */
static void list(struct reading *r, const ERL_NIF_TERM *objects, uint32_t n, int keypos)
{
    if (r->n_now + n > CHUNK) {
        for (unsigned i = 0; i < r->n_now; i++)
            r->earlier = enif_make_list_cell(r->env, r->now[i], r->earlier);
        r->n_now = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        ERL_NIF_TERM key = key_of(r->env, objects[i], keypos);
        if (r->asked && !begins_with(r->env, key, r->asked))
            continue;
        r->now[r->n_now++] = objects[i];
        r->last_key = key;
        r->limit -= r->limit != UINT64_MAX;
    }
}

/* The list as it is. */
static ERL_NIF_TERM listed(struct reading *r)
{
    ERL_NIF_TERM object, all = enif_make_list_from_array(r->env, r->now, r->n_now);
    while (enif_get_list_cell(r->env, r->earlier, &object, &r->earlier))
        all = enif_make_list_cell(r->env, object, all);
    return all;
}

/* The range goes on behind this key. If it has a handle, that is still to be set. */
static void go_on_behind(struct reading *r, const uint8_t *bytes, size_t len, uint32_t n_handles)
{
    XE_ASSERT(len <= XE_KEY_BYTES_MAX);
    memcpy(r->last.bytes, bytes, len);
    xe_key_init_order(&r->last.key, r->last.bytes, len, &r->last.handle, n_handles);
    if (r->range.reverse) {
        r->range.to = &r->last.key;
        r->range.to_exclusive = true;
    } else {
        r->range.from = &r->last.key;
        r->range.from_exclusive = true;
    }
}

/* Lists the next objects of the range. *more: there may be others; as it was if that fails. */
static enum xe_result read_chunk(struct reading *r, bool *more)
{
    struct xe_use use;
    struct xe_view views[CHUNK];
    const uint8_t *recs[CHUNK];
    ERL_NIF_TERM objects[CHUNK];
    uint32_t n = 0, most = r->limit < CHUNK ? (uint32_t)r->limit : CHUNK;
    if (!use_begin(r->env, r->table, XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    int keypos = use.table->keypos;
    enum xe_status status = xe_order_read(use.table->core, &r->range, most, recs, &n);
    if (status != XE_OK) {
        xe_use_end(&use);
        return xe_call_of_core(status);
    }
    for (uint32_t i = 0; i < n; i++) {
        xe_record_view(recs[i], &views[i]);
        if (views[i].blob)
            xe_blob_pin(views[i].blob);
    }
    enum xe_result result = decode_some(r, views, n, false, keypos, objects);
    if (n == most)
        go_on_behind(r, views[n - 1].key, views[n - 1].klen, views[n - 1].n_key_handles);
    xe_use_end(&use);
    if (result == XE_CALL_OK)
        result = decode_some(r, views, n, true, keypos, objects);
    for (uint32_t i = 0; i < n; i++)
        if (views[i].blob)
            xe_blob_unpin(views[i].blob);
    if (result != XE_CALL_OK)
        return result;
    /* The record's own handle has been left with the section. */
    if (n == most)
        r->last.handle = key_of(r->env, objects[n - 1], keypos);
    *more = n == most;
    r->read += n;
    list(r, objects, n, keypos);
    return XE_CALL_OK;
}

/* Lists what there is in the range, up to the limit. */
static enum xe_result read_range(struct reading *r)
{
    enum xe_result result = XE_CALL_OK;
    bool more = true;
    while (result == XE_CALL_OK && more && r->limit > 0) {
        if (r->read > XE_CALL_INLINE_MAX && !xe_call_is_patient(r->budget))
            return XE_CALL_BUDGET;
        result = xe_scan_persist(r->env, r->budget, read_chunk(r, &more));
    }
    return result;
}

/* --- Ranges ------------------------------------------------------------- */

/* A range as two terms and flags, and what the core makes of it. */
struct ends {
    struct xe_encoder from_encoder, to_encoder;
    struct xe_key from, to;
};

static enum xe_result ends_begin(struct ends *ends, ErlNifEnv *env, ERL_NIF_TERM from,
                                 ERL_NIF_TERM to, unsigned flags, uint64_t budget,
                                 struct xe_range *range)
{
    enum xe_result result = XE_CALL_OK;
    *range = (struct xe_range){.reverse = flags & REVERSE,
                               .from_exclusive = flags & FROM_EXCLUSIVE,
                               .to_exclusive = flags & TO_EXCLUSIVE};
    if (!(flags & FROM_UNBOUNDED)) {
        result = encode_key(&ends->from_encoder, env, from, budget, &ends->from);
        range->from = result == XE_CALL_OK ? &ends->from : NULL;
    }
    if (result == XE_CALL_OK && !(flags & TO_UNBOUNDED)) {
        result = encode_key(&ends->to_encoder, env, to, budget, &ends->to);
        range->to = result == XE_CALL_OK ? &ends->to : NULL;
    }
    return result;
}

static void ends_end(struct ends *ends, const struct xe_range *given)
{
    if (given->from)
        key_end(&ends->from_encoder);
    if (given->to)
        key_end(&ends->to_encoder);
}

/* Whether a table is one that may be read in order. */
static bool is_readable(ErlNifEnv *env, ERL_NIF_TERM table)
{
    struct xe_use use;
    bool is = use_begin(env, table, XE_NEED_READ, &use);
    if (is)
        xe_use_end(&use);
    return is;
}

/* `infinity', or a number. */
static bool get_limit(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t *limit)
{
    ErlNifUInt64 n;
    *limit = UINT64_MAX;
    if (enif_is_atom(env, term))
        return true;
    if (!enif_get_uint64(env, term, &n))
        return false;
    *limit = n;
    return true;
}

/* The list; {List, the last key in it} if there may be more than the limit. */
static ERL_NIF_TERM answer(struct reading *r)
{
    ERL_NIF_TERM all = listed(r);
    return r->limit == 0 && r->last_key ? enif_make_tuple2(r->env, all, r->last_key) : all;
}

/* (Table, From, To, Limit, Flags) */
static enum xe_result range(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                            ERL_NIF_TERM *out)
{
    struct reading r;
    struct ends ends;
    unsigned flags;
    reading_init(&r, env, argv[0], budget);
    if (!get_limit(env, argv[3], &r.limit) || !enif_get_uint(env, argv[4], &flags))
        return XE_CALL_BADARG;
    if (r.limit == 0 && !is_readable(env, argv[0]))
        return XE_CALL_BADARG;
    struct xe_range given;
    enum xe_result result = ends_begin(&ends, env, argv[1], argv[2], flags, budget, &given);
    r.range = given;
    if (result == XE_CALL_OK)
        result = read_range(&r);
    ends_end(&ends, &given);
    if (result == XE_CALL_OK)
        *out = answer(&r);
    return result;
}
XE_CALL(range, 5)

/* (Table, From, To, Flags) */
static enum xe_result count(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                            ERL_NIF_TERM *out)
{
    struct ends ends;
    struct xe_range given;
    struct xe_use use;
    unsigned flags;
    uint64_t n = 0;
    if (!enif_get_uint(env, argv[3], &flags))
        return XE_CALL_BADARG;
    enum xe_result result = ends_begin(&ends, env, argv[1], argv[2], flags, budget, &given);
    if (result == XE_CALL_OK && !use_begin(env, argv[0], XE_NEED_READ, &use)) {
        result = XE_CALL_BADARG;
    } else if (result == XE_CALL_OK) {
        result = xe_call_of_core(xe_order_count(use.table->core, &given, &n));
        xe_use_end(&use);
    }
    ends_end(&ends, &given);
    *out = enif_make_uint64(env, n);
    return result;
}
XE_CALL(count, 4)

/* --- Prefixes ----------------------------------------------------------- */

/* A proper list has an element: all lists are a range that src/xets.erl asks for. */
static bool get_prefix(ErlNifEnv *env, ERL_NIF_TERM term, struct prefix *p)
{
    unsigned length;
    p->kind = OF_TUPLES;
    if (enif_get_tuple(env, term, &p->n, &p->elements))
        return true;
    p->kind = OF_BINARIES;
    if (enif_inspect_binary(env, term, &p->bin))
        return true;
    p->kind = OF_LISTS;
    p->list = term;
    return enif_get_list_length(env, term, &length) && length > 0;
}

static bool tuple_begins_with(ErlNifEnv *env, ERL_NIF_TERM key, const struct prefix *p)
{
    const ERL_NIF_TERM *elements;
    int arity;
    if (!enif_get_tuple(env, key, &arity, &elements) || arity < p->n)
        return false;
    for (int i = 0; i < p->n; i++)
        if (enif_compare(elements[i], p->elements[i]) != 0)
            return false;
    return true;
}

static bool list_begins_with(ErlNifEnv *env, ERL_NIF_TERM key, ERL_NIF_TERM list)
{
    ERL_NIF_TERM head, asked;
    while (enif_get_list_cell(env, list, &asked, &list))
        if (!enif_get_list_cell(env, key, &head, &key) || enif_compare(head, asked) != 0)
            return false;
    return true;
}

/* A bit string that is no binary is to be had in external format only. */
static bool bits_begin_with(ErlNifEnv *env, ERL_NIF_TERM key, const ErlNifBinary *prefix)
{
    ErlNifBinary bin;
    const uint8_t *bytes;
    unsigned bits;
    if (enif_inspect_binary(env, key, &bin))
        return bin.size >= prefix->size && memcmp(bin.data, prefix->data, prefix->size) == 0;
    if (enif_term_type(env, key) != ERL_NIF_TERM_TYPE_BITSTRING ||
        !enif_term_to_binary(env, key, &bin))
        return false;
    bool begins = xe_term_inspect_bits(&bin, &bytes, &bits) > prefix->size &&
                  memcmp(bytes, prefix->data, prefix->size) == 0;
    enif_release_binary(&bin);
    return begins;
}

static bool begins_with(ErlNifEnv *env, ERL_NIF_TERM key, const struct prefix *p)
{
    switch (p->kind) {
    case OF_TUPLES:
        return tuple_begins_with(env, key, p);
    case OF_LISTS:
        return list_begins_with(env, key, p->list);
    default:
        return bits_begin_with(env, key, &p->bin);
    }
}

/* The keys that begin with a prefix, as a range. */
struct bounds {
    struct xe_encoder encoder;
    struct xe_key from, to;
    uint8_t end[XE_KEY_BYTES_MAX + XE_READ_SLACK];
};

/* Sets the range to what begins with the prefix, the tuples being of one size. */
static enum xe_result bounds_begin(struct bounds *b, struct reading *r, const struct prefix *p,
                                   size_t arity)
{
    struct xe_encoder *e = &b->encoder;
    enum xe_term_status status;
    bool exact;
    xe_encoder_init(e, r->env, r->budget);
    if (p->kind == OF_TUPLES)
        status = xe_key_prefix_tuple(e, p->elements, (size_t)p->n, arity, &exact);
    else if (p->kind == OF_LISTS)
        status = xe_key_prefix_list(e, p->list, &exact);
    else
        status = xe_key_prefix_binary(e, &p->bin, &exact);
    if (status != XE_TERM_OK) {
        xe_encoder_clear(e);
        return xe_call_of_term(status);
    }
    size_t end = e->klen;
    memcpy(b->end, e->bytes, end);
    xe_key_bytes_behind(b->end, &end);
    xe_key_init_order(&b->from, e->bytes, e->len, NULL, 0);
    xe_key_init_order(&b->to, b->end, end, NULL, 0);
    r->range = (struct xe_range){.from = &b->from,
                                 .to = &b->to,
                                 .to_exclusive = true,
                                 .reverse = r->range.reverse};
    r->asked = exact ? NULL : p;
    return XE_CALL_OK;
}

/* The keys with the prefix, and behind `after`, if it is not NULL. */
static enum xe_result read_bounds(struct reading *r, const struct prefix *p, size_t arity,
                                  const ERL_NIF_TERM *after)
{
    struct bounds b;
    struct xe_encoder e;
    struct xe_key key;
    enum xe_result result = bounds_begin(&b, r, p, arity);
    if (result != XE_CALL_OK)
        return result;
    if (after) {
        result = encode_key(&e, r->env, *after, r->budget, &key);
        if (result == XE_CALL_OK) {
            go_on_behind(r, e.bytes, e.klen, e.n_key_handles);
            r->last.handle = *after;
            key_end(&e);
        }
    }
    if (result == XE_CALL_OK)
        result = read_range(r);
    xe_encoder_clear(&b.encoder);
    return result;
}

/* The size of the first key from the least tuple of this size on, or, downwards, of the first one
 * below it. *found: -1 if that is no tuple, or there is none. */
static enum xe_result find_arity(struct reading *r, size_t arity, int64_t *found)
{
    struct xe_use use;
    struct xe_encoder e;
    struct xe_key key;
    struct xe_view view;
    struct xe_order_key order = {0};
    const uint8_t *rec;
    uint32_t n = 0;
    bool exact;
    *found = -1;
    xe_encoder_init(&e, r->env, XE_TERM_NO_BUDGET);
    enum xe_result result = xe_call_of_term(xe_key_prefix_tuple(&e, NULL, 0, arity, &exact));
    if (result == XE_CALL_OK && !use_begin(r->env, r->table, XE_NEED_READ, &use)) {
        result = XE_CALL_BADARG;
    } else if (result == XE_CALL_OK) {
        xe_key_init_order(&key, e.bytes, e.klen, NULL, 0);
        struct xe_range range = r->range.reverse ? (struct xe_range){.to = &key}
                                                 : (struct xe_range){.from = &key};
        range.reverse = range.to_exclusive = r->range.reverse;
        result = xe_call_of_core(xe_order_read(use.table->core, &range, 1, &rec, &n));
        if (result == XE_CALL_OK && n == 1) {
            xe_record_view(rec, &view);
            order.bytes = view.key;
            order.len = (uint32_t)view.klen;
            *found = xe_key_arity(&order);
        }
        xe_use_end(&use);
    }
    xe_encoder_clear(&e);
    return result;
}

/* Tuples are ordered by their sizes first: it goes from each size that keys have to the next. */
static enum xe_result read_tuples(struct reading *r, const struct prefix *p,
                                  const ERL_NIF_TERM *after)
{
    enum { LOOKING_COSTS = 32, ABOVE_SIZES = 1 << 24 };
    enum xe_result result = XE_CALL_OK;
    const ERL_NIF_TERM *elements;
    int arity;
    size_t at = r->range.reverse ? ABOVE_SIZES : (size_t)p->n;
    if (after && enif_get_tuple(r->env, *after, &arity, &elements)) {
        result = read_bounds(r, p, (size_t)arity, after);
        at = (size_t)arity + !r->range.reverse;
    }
    while (result == XE_CALL_OK && r->limit > 0) {
        int64_t found;
        if (r->read > XE_CALL_INLINE_MAX && !xe_call_is_patient(r->budget))
            return XE_CALL_BUDGET;
        r->read += LOOKING_COSTS;
        result = find_arity(r, at, &found);
        if (result == XE_CALL_OK && found < p->n)
            break;
        if (result == XE_CALL_OK) {
            result = read_bounds(r, p, (size_t)found, NULL);
            at = (size_t)found + !r->range.reverse;
        }
        result = xe_scan_persist(r->env, r->budget, result);
    }
    return result;
}

/* (Table, Prefix, Limit, Flags, After): After is used with GO_ON. */
static enum xe_result prefix(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                             ERL_NIF_TERM *out)
{
    struct reading r;
    struct prefix p;
    unsigned flags;
    reading_init(&r, env, argv[0], budget);
    if (!get_prefix(env, argv[1], &p) || !get_limit(env, argv[2], &r.limit) ||
        !enif_get_uint(env, argv[3], &flags))
        return XE_CALL_BADARG;
    const ERL_NIF_TERM *after = flags & GO_ON ? &argv[4] : NULL;
    if (after && !begins_with(env, *after, &p))
        return XE_CALL_BADARG;
    r.range.reverse = flags & REVERSE;
    enum xe_result result = p.kind == OF_TUPLES ? read_tuples(&r, &p, after)
                                                : read_bounds(&r, &p, 0, after);
    if (result == XE_CALL_OK)
        *out = answer(&r);
    return result;
}
XE_CALL(prefix, 5)

/* --- Positions ---------------------------------------------------------- */

/* The list of one object that a record holds. Ends the use. */
static enum xe_result decode_found(ErlNifEnv *env, struct xe_use *use, const struct xe_view *view,
                                   uint64_t budget, ERL_NIF_TERM *out)
{
    ERL_NIF_TERM object;
    int keypos = use->table->keypos;
    if (view->blob) {
        xe_blob_pin(view->blob);
        xe_use_end(use);
    }
    enum xe_result result = xe_call_decode(env, view, keypos, 0, NULL, budget, &object);
    if (view->blob)
        xe_blob_unpin(view->blob);
    else
        xe_use_end(use);
    if (result == XE_CALL_OK)
        *out = enif_make_list_cell(env, object, xe_call_nil);
    return result;
}

/* (Table, I): I counts from 1. */
static enum xe_result nth(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                          ERL_NIF_TERM *out)
{
    struct xe_use use;
    struct xe_view view;
    const uint8_t *rec;
    ErlNifUInt64 i;
    if (!enif_get_uint64(env, argv[1], &i) || i == 0)
        return XE_CALL_BADARG;
    if (!use_begin(env, argv[0], XE_NEED_READ, &use))
        return XE_CALL_BADARG;
    enum xe_status status = xe_order_nth(use.table->core, i - 1, &rec);
    if (status == XE_OK) {
        xe_record_view(rec, &view);
        return decode_found(env, &use, &view, budget, out);
    }
    xe_use_end(&use);
    *out = xe_call_nil;
    return status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(status);
}
XE_CALL(nth, 2)

static enum xe_result rank(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                           ERL_NIF_TERM *out)
{
    struct xe_encoder e;
    struct xe_key key;
    struct xe_use use;
    uint64_t n = 0;
    enum xe_status status = XE_OK;
    enum xe_result result = encode_key(&e, env, argv[1], budget, &key);
    if (result != XE_CALL_OK)
        return result;
    if (use_begin(env, argv[0], XE_NEED_READ, &use)) {
        status = xe_order_rank(use.table->core, &key, &n);
        result = status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(status);
        xe_use_end(&use);
    } else {
        result = XE_CALL_BADARG;
    }
    key_end(&e);
    *out = status == XE_ABSENT ? xe_am.undefined : enif_make_uint64(env, n + 1);
    return result;
}
XE_CALL(rank, 2)

/* --- Taking an end ------------------------------------------------------ */

/*
 * Whether the object that is about to be taken is small enough for this scheduler. Another one may
 * come before it meanwhile, and is taken whatever its size: it is not to be put back.
 */
static enum xe_result may_take(struct xe_use *use, bool last, uint64_t budget)
{
    struct xe_range range = {.reverse = last};
    struct xe_view view;
    const uint8_t *rec;
    uint32_t n = 0;
    if (xe_call_is_patient(budget))
        return XE_CALL_OK;
    enum xe_status status = xe_order_read(use->table->core, &range, 1, &rec, &n);
    if (status != XE_OK || n == 0)
        return xe_call_of_core(status);
    xe_record_view(rec, &view);
    return xe_term_object_words(&view) > budget ? XE_CALL_BUDGET : XE_CALL_OK;
}

static enum xe_result take_end(ErlNifEnv *env, ERL_NIF_TERM table, bool last, uint64_t budget,
                               ERL_NIF_TERM *out)
{
    struct xe_use use;
    struct xe_view view;
    if (!use_begin(env, table, XE_NEED_WRITE, &use))
        return XE_CALL_BADARG;
    enum xe_result result = may_take(&use, last, budget);
    enum xe_status status = XE_OK;
    if (result == XE_CALL_OK) {
        status = xe_order_pop(use.table->core, use.slot, last, &view);
        if (status == XE_OK)
            return decode_found(env, &use, &view, XE_TERM_NO_BUDGET, out);
        result = status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(status);
    }
    xe_use_end(&use);
    *out = xe_call_nil;
    return result;
}

static enum xe_result take_first(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                 ERL_NIF_TERM *out)
{
    return take_end(env, argv[0], false, budget, out);
}
XE_CALL_WRITE(take_first, 1)

static enum xe_result take_last(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                ERL_NIF_TERM *out)
{
    return take_end(env, argv[0], true, budget, out);
}
XE_CALL_WRITE(take_last, 1)
