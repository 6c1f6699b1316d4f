/*
 * term_encode.c - terms to stored bytes: where a kind of terms is native (term_native.h) by
 * following the heap, and with documented erl_nif calls only where not. Both write the same.
 *
 * A term is written in the order of its nodes by one loop over a stack of
 * frames. A frame is a run of terms still to be written: the elements of a
 * tuple where they lie, the cells of a list, or terms gathered on a second
 * stack (the keys and values of a map, which have no address, and the elements
 * of short lists, which are read once that way). A frame is popped before its
 * last term is written, so terms nested through their last element, as lists
 * written as tuples, take no stack. Both stacks start on the C stack.
 *
 * A container is looked at as a whole before its first byte is written: the bitwise
 * "and" of its words tells whether all are immediates, the "or" how wide they are.
 *
 * Errors: the first one is kept in `status`, everything below it returns false.
 */
#include "term_leaf.h"

enum {
    SMALL_FRAMES = 24,
    SMALL_TERMS = 64,
    SHORT_TUPLE = 8,
    GATHER_MAX = 1024, /* elements of a list that are gathered; longer lists are walked twice */
};

struct xe_term_traits xe_term_traits;

/* Where the next term of a frame comes from. */
enum source { IN_PLACE, CELLS, NATIVE_CELLS, GATHERED };

struct frame {
    uint64_t left; /* terms still to be taken; never 0 */
    union {
        const ERL_NIF_TERM *next; /* IN_PLACE */
        ERL_NIF_TERM cell;        /* cells; what is no cell is taken as it is: the tail */
        size_t index;             /* GATHERED: in walk.terms */
    };
    size_t base; /* GATHERED: where the frame's part of walk.terms starts */
    enum source source;
};

struct walk {
    struct xe_encoder *e;
    struct frame *frames;
    size_t n_frames, cap_frames;
    ERL_NIF_TERM *terms;
    size_t n_terms, cap_terms;
    struct frame small_frames[SMALL_FRAMES];
    ERL_NIF_TERM small_terms[SMALL_TERMS];
};

/* Initialisation. */

static bool immediates_are_as_assumed(ErlNifEnv *env)
{
    ErlNifPid self;
    ERL_NIF_TERM immediates[] = {enif_make_int(env, 0),
                                 enif_make_int(env, -1),
                                 enif_make_int64(env, (ErlNifSInt64)1 << 58),
                                 enif_make_int64(env, -((ErlNifSInt64)1 << 58)),
                                 enif_make_atom(env, "false"),
                                 enif_make_list(env, 0),
                                 enif_self(env, &self) ? enif_make_pid(env, &self)
                                                       : enif_make_int(env, 1)};
    ERL_NIF_TERM others[] = {enif_make_tuple1(env, immediates[0]),
                             enif_make_list1(env, immediates[0]),
                             enif_make_double(env, 1.0),
                             enif_make_uint64(env, UINT64_MAX),
                             enif_make_new_map(env),
                             enif_make_ref(env),
                             enif_make_string(env, "a", ERL_NIF_LATIN1)};
    bool ok = enif_make_int(env, 0) == immediates[0] && enif_make_list(env, 0) == immediates[5];
    for (size_t i = 0; i < sizeof immediates / sizeof immediates[0]; i++)
        ok = ok && xe_term_is_immediate(immediates[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ok = ok && !xe_term_is_immediate(others[i]);
    return ok;
}

static bool smalls_are_as_assumed(ErlNifEnv *env)
{
    static const int64_t samples[] = {0, 1, -1, 4711, ((int64_t)1 << 59) - 1, -((int64_t)1 << 59)};
    ErlNifPid self;
    ERL_NIF_TERM others[] = {enif_make_atom(env, "true"), xe_term_traits.nil,
                             enif_self(env, &self) ? enif_make_pid(env, &self)
                                                   : xe_term_traits.nil};
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        if (enif_make_int64(env, samples[i]) != xe_word_of(samples[i]))
            return false;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (xe_word_is_small(others[i]))
            return false;
    return !xe_term_is_immediate(enif_make_int64(env, (int64_t)1 << 59));
}

bool xe_term_init(ErlNifEnv *env)
{
    xe_term_traits.nil = enif_make_list(env, 0);
    xe_term_traits.list_tag = enif_make_list1(env, xe_term_traits.nil) & 3;
    xe_term_traits.small_tag = enif_make_int(env, 0) & 15;
    xe_term_traits.smalls = smalls_are_as_assumed(env);
    xe_native_decode_init(env);
    xe_term_traits.zeros_equal =
        enif_is_identical(enif_make_double(env, 0.0), enif_make_double(env, -0.0));
    return immediates_are_as_assumed(env);
}

static inline bool put_immediate(struct xe_encoder *e, ERL_NIF_TERM t)
{
    if (!reserve(e, 9))
        return false;
    e->len = (size_t)(xe_put_immediate(e->bytes + e->len, t) - e->bytes);
    return true;
}

/* The two stacks. */

static inline struct frame *push_frame(struct walk *w, enum source source, uint64_t left)
{
    if (XE_UNLIKELY(w->n_frames == w->cap_frames)) {
        struct frame *frames = xe_term_grow(w->frames, w->small_frames, w->n_frames,
                                            w->n_frames + 1, sizeof *frames, 0, &w->cap_frames);
        if (!frames) {
            fail(w->e, XE_TERM_NOMEM);
            return NULL;
        }
        w->frames = frames;
    }
    struct frame *f = &w->frames[w->n_frames++];
    f->source = source;
    f->left = left;
    return f;
}

static inline bool reserve_terms(struct walk *w, size_t n)
{
    if (XE_LIKELY(w->n_terms + n <= w->cap_terms))
        return true;
    ERL_NIF_TERM *terms = xe_term_grow(w->terms, w->small_terms, w->n_terms, w->n_terms + n,
                                       sizeof *terms, 0, &w->cap_terms);
    if (!terms)
        return fail(w->e, XE_TERM_NOMEM);
    w->terms = terms;
    return true;
}

/* The last `n` gathered terms are to be written. */
static bool push_gathered(struct walk *w, size_t n)
{
    struct frame *f = push_frame(w, GATHERED, n);
    if (!f)
        return false;
    f->index = f->base = w->n_terms - n;
    return true;
}

static inline ERL_NIF_TERM take(struct walk *w)
{
    struct frame *f = &w->frames[w->n_frames - 1];
    ERL_NIF_TERM t;
    XE_ASSERT(f->left > 0);
    bool last = --f->left == 0;
    w->n_frames -= last;
    switch (f->source) {
    case IN_PLACE:
        return *f->next++;
    case NATIVE_CELLS:
        if (XE_UNLIKELY(!xe_term_is_list_cell(f->cell)))
            return f->cell;
        t = xe_term_at(f->cell)[0];
        f->cell = xe_term_at(f->cell)[1];
        return t;
    case CELLS:
        return enif_get_list_cell(w->e->env, f->cell, &t, &f->cell) ? t : f->cell;
    default:
        t = w->terms[f->index++];
        if (last)
            w->n_terms = f->base;
        return t;
    }
}

/* Nodes. */

static inline bool put_packed_tuple(struct xe_encoder *e, const ERL_NIF_TERM *elements,
                                    size_t arity, uint64_t any)
{
    unsigned width = xe_term_width(any);
    if (!put_header(e, XE_NODE_TUPLE_IMM, width - 1, arity, arity * width))
        return false;
    put_vector(e, elements, arity, width);
    return true;
}

static bool emit_tuple(struct walk *w, const ERL_NIF_TERM *elements, size_t arity)
{
    uint64_t any;
    if (!charge(w->e, xe_cost_tuple(arity)))
        return false;
    if (are_immediates(elements, arity, &any))
        return put_packed_tuple(w->e, elements, arity, any);
    struct frame *f = push_frame(w, IN_PLACE, arity);
    if (!f)
        return false;
    f->next = elements;
    return put_header(w->e, XE_NODE_TUPLE, 0, arity, 0);
}

/* What one walk over a list tells. */
struct list {
    uint64_t length, any, all;
    ERL_NIF_TERM tail;
    bool gathered; /* the elements are the last `length` of walk.terms */
};

/* Where lists are native. What is too long stops it early. */
static bool survey_cells(struct xe_encoder *e, ERL_NIF_TERM t, struct list *l)
{
    uint64_t limit = (e->budget - e->words) / XE_COST_CONS, n = 0, any = 0, all = 3;
    for (; xe_term_is_list_cell(t); t = xe_term_at(t)[1], n++) {
        if (XE_UNLIKELY(n == limit))
            return fail(e, XE_TERM_BUDGET);
        any |= xe_term_at(t)[0];
        all &= xe_term_at(t)[0];
    }
    *l = (struct list){.length = n, .any = any, .all = all, .tail = t};
    return charge(e, XE_COST_CONS * n);
}

static bool put_packed_cells(struct xe_encoder *e, ERL_NIF_TERM t, const struct list *l)
{
    unsigned width = xe_term_width(l->any);
    if (!put_header(e, XE_NODE_LIST_IMM, width - 1, l->length, l->length * width))
        return false;
    uint8_t *to = e->bytes + e->len;
    for (; xe_term_is_list_cell(t); t = xe_term_at(t)[1], to += width)
        memcpy(to, xe_term_at(t), 8);
    e->len += l->length * width;
    return true;
}

static bool emit_cells(struct walk *w, ERL_NIF_TERM t)
{
    struct list l;
    if (!survey_cells(w->e, t, &l))
        return false;
    bool proper = l.tail == xe_term_traits.nil;
    if (l.all == 3 && proper)
        return put_packed_cells(w->e, t, &l);
    struct frame *f = push_frame(w, NATIVE_CELLS, l.length + !proper);
    if (!f)
        return false;
    f->cell = t;
    return put_header(w->e, proper ? XE_NODE_LIST : XE_NODE_ILIST, 0, l.length, 0);
}

/* Charges for the cells as it goes, so that a long list stops it early. */
static bool survey_list(struct walk *w, ERL_NIF_TERM t, struct list *l)
{
    struct xe_encoder *e = w->e;
    size_t base = w->n_terms;
    uint64_t limit = (e->budget - e->words) / XE_COST_CONS, n = 0, any = 0, all = 3;
    ERL_NIF_TERM head, tail = t;
    while (enif_get_list_cell(e->env, tail, &head, &tail)) {
        if (XE_UNLIKELY(n == limit))
            return fail(e, XE_TERM_BUDGET);
        if (n++ < GATHER_MAX) {
            if (!reserve_terms(w, 2)) /* the second is for a tail */
                return false;
            w->terms[w->n_terms++] = head;
        }
        any |= head;
        all &= head;
    }
    l->length = n;
    l->any = any;
    l->all = all;
    l->tail = tail;
    l->gathered = n <= GATHER_MAX;
    if (!l->gathered)
        w->n_terms = base;
    return charge(e, XE_COST_CONS * n);
}

static bool emit_packed_list(struct walk *w, ERL_NIF_TERM t, const struct list *l)
{
    struct xe_encoder *e = w->e;
    unsigned width = xe_term_width(l->any);
    ERL_NIF_TERM head;
    if (!put_header(e, XE_NODE_LIST_IMM, width - 1, l->length, l->length * width))
        return false;
    if (l->gathered) {
        w->n_terms -= l->length;
        put_vector(e, w->terms + w->n_terms, l->length, width);
    } else {
        while (enif_get_list_cell(e->env, t, &head, &t))
            put_packed(e, head, width);
    }
    return true;
}

static bool emit_list(struct walk *w, ERL_NIF_TERM t)
{
    struct list l;
    if (!survey_list(w, t, &l))
        return false;
    bool proper = l.tail == xe_term_traits.nil;
    if (l.all == 3 && proper)
        return emit_packed_list(w, t, &l);
    if (!put_header(w->e, proper ? XE_NODE_LIST : XE_NODE_ILIST, 0, l.length, 0))
        return false;
    if (l.gathered) {
        if (!proper)
            w->terms[w->n_terms++] = l.tail;
        return push_gathered(w, l.length + !proper);
    }
    struct frame *f = push_frame(w, CELLS, l.length + !proper);
    if (!f)
        return false;
    f->cell = t;
    return true;
}

/* A map's node but for its keys and values that are no immediates; how wide the others are. The
 * shape has `nodes` words, or none. */
static bool put_map(struct xe_encoder *e, const ERL_NIF_TERM *keys, const ERL_NIF_TERM *values,
                    size_t n, const uint32_t *shape, size_t nodes, unsigned width[2])
{
    uint64_t any[2];
    width[0] = are_immediates(keys, n, &any[0]) ? xe_term_width(any[0]) : 0;
    width[1] = are_immediates(values, n, &any[1]) ? xe_term_width(any[1]) : 0;
    size_t behind = 1 + n * (width[0] + width[1]);
    if (!put_header(e, XE_NODE_MAP, nodes > 0, n,
                    behind + XE_TERM_VARINT_MAX + XE_TERM_SHAPE_BYTES * nodes))
        return false;
    put_byte(e, width[0] << 4 | width[1]);
    if (width[0])
        put_vector(e, keys, n, width[0]);
    if (width[1])
        put_vector(e, values, n, width[1]);
    if (nodes) {
        put_varint(e, nodes);
        put_bytes(e, shape, XE_TERM_SHAPE_BYTES * nodes);
    }
    return true;
}

/* Where maps are native. */
static bool emit_flat_map(struct walk *w, const uint64_t *at)
{
    size_t n = at[1];
    const ERL_NIF_TERM *keys = xe_term_at(at[2]) + 1, *values = at + 3;
    unsigned width[2];
    struct frame *f;
    if (!charge(w->e, xe_cost_map(n)) || !put_map(w->e, keys, values, n, NULL, 0, width))
        return false;
    if (!width[1]) {
        if (!(f = push_frame(w, IN_PLACE, n)))
            return false;
        f->next = values;
    }
    if (!width[0]) {
        if (!(f = push_frame(w, IN_PLACE, n)))
            return false;
        f->next = keys;
    }
    return true;
}

/* Gathers the keys, then the values. */
static bool gather_map(struct walk *w, ERL_NIF_TERM t, size_t n)
{
    ErlNifMapIterator it;
    ErlNifEnv *env = w->e->env;
    if (!enif_map_iterator_create(env, t, &it, ERL_NIF_MAP_ITERATOR_FIRST))
        return fail(w->e, XE_TERM_NOMEM);
    ERL_NIF_TERM *keys = w->terms + w->n_terms, *values = keys + n;
    for (size_t i = 0; i < n; i++) {
        enif_map_iterator_get_pair(env, &it, &keys[i], &values[i]);
        enif_map_iterator_next(env, &it);
    }
    enif_map_iterator_destroy(env, &it);
    return true;
}

/* The shape lies behind the values only until it is written. */
static bool emit_map(struct walk *w, ERL_NIF_TERM t)
{
    struct xe_encoder *e = w->e;
    size_t n = 0, nodes = 0;
    unsigned width[2];
    enif_get_map_size(e->env, t, &n);
    if (!charge(e, xe_cost_map(n)) || !reserve_terms(w, 3 * n))
        return false;
    ERL_NIF_TERM *keys = w->terms + w->n_terms, *values = keys + n;
    uint32_t *shape = (uint32_t *)(values + n);
    if (xe_native_has(XE_NATIVE_LARGE_MAP) && xe_term_header(t) != xe_native.flatmap)
        nodes = xe_native_gather(t, n, keys, values, shape);
    if ((!nodes && !gather_map(w, t, n)) || !charge(e, xe_cost_inner(n, nodes)) ||
        !put_map(e, keys, values, n, shape, nodes, width))
        return false;

    /* What is not packed stays on the stack of terms, to be written. */
    if (width[0] && !width[1])
        memmove(keys, values, n * sizeof *keys);
    size_t rest = (width[0] ? 0 : n) + (width[1] ? 0 : n);
    w->n_terms += rest;
    return rest == 0 || push_gathered(w, rest);
}

static __attribute__((noinline)) bool emit_other(struct walk *w, ERL_NIF_TERM t)
{
    struct xe_encoder *e = w->e;
    const ERL_NIF_TERM *elements;
    int arity;
    ErlNifBinary bin;
    double d = 0;
    uint64_t bits;
    switch (enif_term_type(e->env, t)) {
    case ERL_NIF_TERM_TYPE_LIST:
        return emit_list(w, t);
    case ERL_NIF_TERM_TYPE_TUPLE:
        return enif_get_tuple(e->env, t, &arity, &elements) &&
               emit_tuple(w, elements, (size_t)arity);
    case ERL_NIF_TERM_TYPE_MAP:
        return emit_map(w, t);
    case ERL_NIF_TERM_TYPE_FLOAT:
        enif_get_double(e->env, t, &d);
        memcpy(&bits, &d, sizeof bits);
        return xe_leaf_float(e, bits);
    case ERL_NIF_TERM_TYPE_INTEGER:
        return xe_leaf_big(e, t);
    case ERL_NIF_TERM_TYPE_BITSTRING:
        return enif_inspect_binary(e->env, t, &bin) ? xe_leaf_binary(e, t, &bin)
                                                    : xe_leaf_bits(e, t);
    default: /* external pids and ports, references, funs and whatever comes */
        return xe_leaf_ext(e, t, 0);
    }
}

/* Terms where they lie. */

static __attribute__((noinline)) bool emit_native_other(struct walk *w, ERL_NIF_TERM t)
{
    const struct xe_native *n = &xe_native;
    const uint64_t *at = xe_term_at(t);
    uint64_t subtag = at[0] & XE_SUBTAG_MASK;
    ErlNifBinary bin;
    if ((subtag == n->positive || subtag == n->negative) && xe_native_has(XE_NATIVE_BIG))
        return xe_leaf_native_big(w->e, at);
    if (xe_native_has(XE_NATIVE_REF) && xe_native_is_ref(at))
        return xe_leaf_native_ref(w->e, at);
    if (xe_native_has(XE_NATIVE_REF) && xe_native_is_alias(at))
        return xe_leaf_native_alias(w->e, t, at);
    if (xe_native_has(XE_NATIVE_BINARY) &&
        (subtag == n->heap_binary || at[0] == n->sub_binary || at[0] == n->shared_binary))
        return enif_inspect_binary(w->e->env, t, &bin) ? xe_leaf_binary(w->e, t, &bin)
                                                       : xe_leaf_native_bits(w->e, t);
    return emit_other(w, t);
}

static inline bool emit_native(struct walk *w, ERL_NIF_TERM t)
{
    const struct xe_native *n = &xe_native;
    if (xe_term_is_list_cell(t))
        return xe_native_has(XE_NATIVE_LIST) ? emit_cells(w, t) : emit_other(w, t);
    const uint64_t *at = xe_term_at(t), header = at[0];
    size_t size;
    if ((header & XE_SUBTAG_MASK) == 0)
        return emit_tuple(w, at + 1, header >> XE_ARITY_SHIFT);
    if (xe_native_is_binary(at, &size))
        return xe_leaf_heap_binary(w->e, at + 2, size);
    if (header == n->flatmap && xe_native_has(XE_NATIVE_MAP))
        return emit_flat_map(w, at);
    if (header == n->flonum && xe_native_has(XE_NATIVE_FLOAT))
        return xe_leaf_float(w->e, at[1]);
    return emit_native_other(w, t);
}

static inline bool emit(struct walk *w, ERL_NIF_TERM t)
{
    ErlNifEnv *env = w->e->env;
    const ERL_NIF_TERM *elements;
    int arity;
    ErlNifBinary bin;
    if (xe_term_is_immediate(t))
        return put_immediate(w->e, t);
    if (xe_native_has(XE_NATIVE_TUPLE))
        return emit_native(w, t);
    if ((t & 3) != xe_term_traits.list_tag) {
        if (enif_get_tuple(env, t, &arity, &elements))
            return emit_tuple(w, elements, (size_t)arity);
        if (enif_inspect_binary(env, t, &bin))
            return xe_leaf_binary(w->e, t, &bin);
    }
    return emit_other(w, t);
}

static __attribute__((noinline)) bool walk_nodes(struct xe_encoder *e, const ERL_NIF_TERM *terms,
                                                 size_t n)
{
    struct walk w;
    w.e = e;
    w.frames = w.small_frames;
    w.n_frames = 0;
    w.cap_frames = SMALL_FRAMES;
    w.terms = w.small_terms;
    w.n_terms = 0;
    w.cap_terms = SMALL_TERMS;

    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        ok = emit(&w, terms[i]);
        while (ok && w.n_frames)
            ok = emit(&w, take(&w));
    }
    XE_ASSERT(!ok || w.n_terms == 0);
    if (w.frames != w.small_frames)
        enif_free(w.frames);
    if (w.terms != w.small_terms)
        enif_free(w.terms);
    return ok;
}

bool xe_term_encode_nodes(struct xe_encoder *e, const ERL_NIF_TERM *terms, size_t n)
{
    return n == 0 || (!e->unusual && xe_native_encode_small(e, terms, n)) ||
           walk_nodes(e, terms, n);
}

/* Keys. */

/* For more handles than a record can count. What the encoder holds tells how
 * much the key keeps alive. */
static bool encode_key_as_ext(struct xe_encoder *e, ERL_NIF_TERM key)
{
    uint64_t pinned = e->pinned + 8 * e->words;
    e->len = 0;
    e->n_handles = 0;
    e->pinned = 0;
    return xe_leaf_put_ext(e, key, pinned);
}

static inline bool encode_native_key(struct xe_encoder *e, ERL_NIF_TERM key)
{
    if (xe_term_is_boxed(key)) {
        const uint64_t *at = xe_term_at(key);
        uint64_t subtag = at[0] & XE_SUBTAG_MASK, arity = at[0] >> XE_ARITY_SHIFT, any;
        size_t size;
        if (subtag == 0 && arity <= SHORT_TUPLE && are_immediates(at + 1, arity, &any))
            return charge(e, xe_cost_tuple(arity)) && put_packed_tuple(e, at + 1, arity, any);
        if (xe_native_is_binary(at, &size))
            return xe_leaf_heap_binary(e, at + 2, size);
    }
    return xe_term_encode_nodes(e, &key, 1);
}

/* The node of a key. The commonest kinds are written without a walk. */
static inline bool encode_key_node(struct xe_encoder *e, ERL_NIF_TERM key)
{
    const ERL_NIF_TERM *elements;
    int arity;
    uint64_t any;
    ErlNifBinary bin;
    if (xe_native_has(XE_NATIVE_TUPLE))
        return encode_native_key(e, key);
    if (enif_get_tuple(e->env, key, &arity, &elements)) {
        if (arity <= SHORT_TUPLE && are_immediates(elements, (size_t)arity, &any))
            return charge(e, xe_cost_tuple((uint64_t)arity)) &&
                   put_packed_tuple(e, elements, (size_t)arity, any);
    } else if (enif_inspect_binary(e->env, key, &bin)) {
        return xe_leaf_binary(e, key, &bin);
    }
    return xe_term_encode_nodes(e, &key, 1);
}

static bool encode_key(struct xe_encoder *e, ERL_NIF_TERM key)
{
    e->in_key = true;
    bool ok = encode_key_node(e, key);
    if (ok && XE_UNLIKELY(e->n_handles > XE_TERM_KEY_HANDLES_MAX))
        ok = encode_key_as_ext(e, key);
    e->in_key = false;
    e->klen = e->len;
    e->n_key_handles = e->n_handles;
    return ok;
}

enum xe_term_status xe_term_encode_boxed_key(struct xe_encoder *e, ERL_NIF_TERM key)
{
    encode_key(e, key);
    return e->status;
}
