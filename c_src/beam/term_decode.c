/*
 * term_decode.c - stored bytes to terms: where it can be, natively (term_native.h); here by
 * documented erl_nif calls, but for references, which none of them makes.
 *
 * Nodes are read in order by one loop over two stacks: finished terms, and
 * frames for the containers whose elements are being read. When the last element of a
 * container is there, its elements are the top of the stack of terms, and are
 * replaced by the container. Both stacks start on the C stack.
 *
 * A frame reserves room for all its terms when it is pushed, so pushing a
 * single term needs no check.
 *
 * The bytes come from our own memory: a cursor is checked by asserts only.
 */
#include "key.h"
#include "term_internal.h"
#include "term_native.h"

enum {
    SMALL_VALUES = 192,
    SMALL_FRAMES = 32,
    EXT_MAGIC = 131, /* of the external term format, and its tags */
    EXT_BITS = 77,
    EXT_LARGE_BIG = 111,
    EXT_SMALL_MAX = 512, /* bytes of external format built on the C stack */
};

struct frame {
    uint64_t left; /* nodes still to be read */
    uint64_t n;    /* elements; of a map: pairs */
    enum xe_node_kind kind;
    bool swapped; /* map: its values stand below its keys */
};

struct decoder {
    struct xe_cursor c;
    ErlNifEnv *env;
    ERL_NIF_TERM *values;
    size_t n_values, cap_values;
    struct frame *frames;
    size_t n_frames, cap_frames;
    struct frame small_frames[SMALL_FRAMES];
    ERL_NIF_TERM small_values[SMALL_VALUES];
};

static void decoder_init(struct decoder *d, ErlNifEnv *env)
{
    d->env = env;
    d->values = d->small_values;
    d->n_values = 0;
    d->cap_values = SMALL_VALUES;
    d->frames = d->small_frames;
    d->n_frames = 0;
    d->cap_frames = SMALL_FRAMES;
}

static void decoder_clear(struct decoder *d)
{
    if (d->values != d->small_values)
        enif_free(d->values);
    if (d->frames != d->small_frames)
        enif_free(d->frames);
}

static __attribute__((noinline)) bool grow_values(struct decoder *d, size_t n)
{
    ERL_NIF_TERM *values = xe_term_grow(d->values, d->small_values, d->n_values, d->n_values + n,
                                        sizeof *values, 0, &d->cap_values);
    if (!values)
        return false;
    d->values = values;
    return true;
}

static inline bool reserve_values(struct decoder *d, uint64_t n)
{
    return XE_LIKELY(d->n_values + n <= d->cap_values) || grow_values(d, n);
}

static inline void push(struct decoder *d, ERL_NIF_TERM t)
{
    XE_ASSERT(d->n_values < d->cap_values);
    d->values[d->n_values++] = t;
}

/* A container of which `n` values were or will be pushed, the last `left` of them by nodes. */
static bool push_frame(struct decoder *d, enum xe_node_kind kind, uint64_t n, uint64_t left)
{
    if (XE_UNLIKELY(d->n_frames == d->cap_frames)) {
        struct frame *frames = xe_term_grow(d->frames, d->small_frames, d->n_frames,
                                            d->n_frames + 1, sizeof *frames, 0, &d->cap_frames);
        if (!frames)
            return false;
        d->frames = frames;
    }
    d->frames[d->n_frames++] = (struct frame){.left = left, .n = n, .kind = kind};
    return true;
}

/* Leaves. */

static ERL_NIF_TERM make_binary(ErlNifEnv *env, const uint8_t *bytes, size_t size)
{
    ERL_NIF_TERM t;
    memcpy(enif_make_new_binary(env, size, &t), bytes, size);
    return t;
}

/* From external format: magic, tag, size in four bytes, one more byte, content. */
static bool make_external(ErlNifEnv *env, uint8_t tag, uint8_t byte, const uint8_t *bytes,
                          size_t size, ERL_NIF_TERM *out)
{
    uint8_t small[EXT_SMALL_MAX], *ext = small;
    if (size + 7 > sizeof small && !(ext = enif_alloc(size + 7)))
        return false;
    ext[0] = EXT_MAGIC;
    ext[1] = tag;
    for (int i = 0; i < 4; i++)
        ext[2 + i] = (uint8_t)(size >> (24 - 8 * i));
    ext[6] = byte;
    memcpy(ext + 7, bytes, size);
    size_t used = enif_binary_to_term(env, ext, size + 7, out, 0);
    if (ext != small)
        enif_free(ext);
    return used > 0;
}

bool xe_term_make_bits(ErlNifEnv *env, unsigned bits, const uint8_t *bytes, size_t size,
                       ERL_NIF_TERM *out)
{
    return make_external(env, EXT_BITS, (uint8_t)bits, bytes, size, out);
}

bool xe_term_make_big(ErlNifEnv *env, bool negative, const uint8_t *magnitude, size_t size,
                      ERL_NIF_TERM *out)
{
    if (size <= 8) {
        uint64_t u = xe_term_packed(magnitude, (unsigned)size);
        if (!negative || u <= (uint64_t)1 << 63) {
            *out =
                negative ? enif_make_int64(env, (ErlNifSInt64)(0 - u)) : enif_make_uint64(env, u);
            return true;
        }
    }
    return make_external(env, EXT_LARGE_BIG, negative, magnitude, size, out);
}

/* Containers. */

static ERL_NIF_TERM make_improper(ErlNifEnv *env, const ERL_NIF_TERM *elements, uint64_t n)
{
    ERL_NIF_TERM t = elements[n];
    while (n-- > 0)
        t = enif_make_list_cell(env, elements[n], t);
    return t;
}

static ERL_NIF_TERM make_map(ErlNifEnv *env, ERL_NIF_TERM *keys, ERL_NIF_TERM *values, size_t n)
{
    ERL_NIF_TERM t = 0;
    int distinct = enif_make_map_from_arrays(env, keys, values, n, &t);
    XE_ASSERT(distinct);
    (void)distinct;
    return t;
}

/* Replaces the values of the finished container on top by the container. */
static inline void finish(struct decoder *d, const struct frame *f)
{
    uint64_t n = f->n;
    uint64_t used = f->kind == XE_NODE_MAP ? 2 * n : n + (f->kind == XE_NODE_ILIST);
    ERL_NIF_TERM *top = d->values + d->n_values - used, t;
    XE_ASSERT(used <= d->n_values);
    switch (f->kind) {
    case XE_NODE_TUPLE:
        t = enif_make_tuple_from_array(d->env, top, (unsigned)n);
        break;
    case XE_NODE_LIST:
        t = enif_make_list_from_array(d->env, top, (unsigned)n);
        break;
    case XE_NODE_ILIST:
        t = make_improper(d->env, top, n);
        break;
    default:
        t = make_map(d->env, top + (f->swapped ? n : 0), top + (f->swapped ? 0 : n), n);
    }
    d->n_values -= used;
    push(d, t);
}

/* Nodes. Each pushes a value, or a frame whose end will. */

static inline bool unpack(struct decoder *d, uint64_t n, unsigned width)
{
    if (!reserve_values(d, n + 1))
        return false;
    const uint8_t *p = d->c.p;
    ERL_NIF_TERM *values = d->values + d->n_values;
    XE_ASSERT(n * width <= (size_t)(d->c.end - p));
    for (uint64_t i = 0; i < n; i++, p += width)
        values[i] = xe_term_packed(p, width);
    d->c.p = p;
    d->n_values += n;
    return true;
}

static bool read_map(struct decoder *d, unsigned tag)
{
    uint64_t n = xe_cursor_varint(&d->c);
    unsigned kw = *d->c.p >> 4, vw = *d->c.p & 15;
    d->c.p++;
    uint64_t left = (kw ? 0 : n) + (vw ? 0 : n);
    if (!reserve_values(d, 2 * n + 1) || !push_frame(d, XE_NODE_MAP, n, left))
        return false;
    d->frames[d->n_frames - 1].swapped = !kw && vw;
    if ((kw && !unpack(d, n, kw)) || (vw && !unpack(d, n, vw)))
        return false;
    xe_cursor_pass_shape(&d->c, tag);
    return true;
}

static ERL_NIF_TERM read_ext(struct decoder *d)
{
    ERL_NIF_TERM t = enif_make_copy(d->env, xe_load64(d->c.handles));
    d->c.handles += 8;
    return t;
}

static ERL_NIF_TERM read_float(struct decoder *d)
{
    double x;
    memcpy(&x, d->c.p, sizeof x);
    d->c.p += sizeof x;
    return enif_make_double(d->env, x);
}

/* There are such nodes only where references are native: there is no documented way to make one. */
static ERL_NIF_TERM read_ref(struct decoder *d)
{
    ERL_NIF_TERM words[XE_REF_WORDS] = {xe_term_traits.nil, xe_term_traits.nil};
    XE_ASSERT(xe_native.ref);
    ERL_NIF_TERM t = enif_make_tuple_from_array(d->env, words, XE_REF_WORDS);
    uint64_t *at = xe_term_at(t);
    memcpy(at + 1, d->c.p, 8 * XE_REF_WORDS);
    at[0] = xe_native.ref;
    d->c.p += 8 * XE_REF_WORDS;
    return t;
}

/* Kinds seldom met. */
static __attribute__((noinline)) bool read_other(struct decoder *d, enum xe_node_kind kind,
                                                 unsigned param)
{
    ERL_NIF_TERM t = 0;
    if (kind == XE_NODE_EXT) {
        t = read_ext(d);
        d->c.p += d->c.in_key ? XE_TERM_HASH_BYTES : 0;
    } else if (kind == XE_NODE_FLOAT) {
        t = read_float(d);
    } else if (kind == XE_NODE_REF) {
        XE_ASSERT(param == XE_REF_WORDS - 1);
        t = read_ref(d);
    } else {
        uint64_t size = xe_cursor_varint(&d->c);
        if (kind == XE_NODE_EXTBIN) {
            t = read_ext(d);
            size = XE_TERM_DIGEST_BYTES;
        } else if (kind == XE_NODE_BITS) {
            if (!xe_term_make_bits(d->env, param, d->c.p, size, &t))
                return false;
        } else {
            XE_ASSERT(kind == XE_NODE_BIG);
            if (!xe_term_make_big(d->env, param, d->c.p, size, &t))
                return false;
        }
        d->c.p += size;
    }
    push(d, t);
    return true;
}

static inline bool read_node(struct decoder *d)
{
    unsigned tag = *d->c.p++, param = tag & 7;
    enum xe_node_kind kind = tag >> 3;
    ERL_NIF_TERM t;
    uint64_t n;
    XE_ASSERT(d->c.p <= d->c.end);
    switch (kind) {
    case XE_NODE_IMM:
        push(d, xe_term_packed(d->c.p, param + 1));
        d->c.p += param + 1;
        return true;
    case XE_NODE_TUPLE_IMM:
    case XE_NODE_LIST_IMM:
        n = xe_cursor_varint(&d->c);
        if (!unpack(d, n, param + 1))
            return false;
        d->n_values -= n;
        t = kind == XE_NODE_TUPLE_IMM
                ? enif_make_tuple_from_array(d->env, d->values + d->n_values, (unsigned)n)
                : enif_make_list_from_array(d->env, d->values + d->n_values, (unsigned)n);
        push(d, t);
        return true;
    case XE_NODE_TUPLE:
    case XE_NODE_LIST:
    case XE_NODE_ILIST:
        n = xe_cursor_varint(&d->c);
        uint64_t left = n + (kind == XE_NODE_ILIST);
        return reserve_values(d, left) && push_frame(d, kind, n, left);
    case XE_NODE_BIN:
        n = xe_cursor_varint(&d->c);
        XE_ASSERT(n <= (size_t)(d->c.end - d->c.p));
        push(d, make_binary(d->env, d->c.p, n));
        d->c.p += n;
        return true;
    case XE_NODE_MAP:
        return read_map(d, tag);
    default:
        return read_other(d, kind, param);
    }
}

/* Reads `n` nodes onto the stack of values. False: out of memory. */
static bool read_nodes(struct decoder *d, uint64_t n)
{
    if (!reserve_values(d, n))
        return false;
    for (; n > 0; n--) {
        if (!read_node(d))
            return false;
        while (d->n_frames) {
            struct frame *f = &d->frames[d->n_frames - 1];
            if (f->left == 0) {
                d->n_frames--;
                finish(d, f);
            } else {
                f->left--;
                if (!read_node(d))
                    return false;
            }
        }
    }
    return true;
}

/* One term at the decoder's cursor. Ends the decoder. */
static enum xe_term_status read_term(struct decoder *d, ERL_NIF_TERM *out)
{
    bool ok = read_nodes(d, 1);
    if (ok)
        *out = d->values[0];
    decoder_clear(d);
    return ok ? XE_TERM_OK : XE_TERM_NOMEM;
}

enum xe_term_status xe_node_decode_portably(ErlNifEnv *env, const struct xe_cursor *c,
                                            ERL_NIF_TERM *out)
{
    struct decoder d;
    d.c = *c;
    decoder_init(&d, env);
    return read_term(&d, out);
}

enum xe_term_status xe_node_decode(ErlNifEnv *env, const struct xe_cursor *c, ERL_NIF_TERM *out)
{
    return xe_native_has(XE_NATIVE_TUPLE) ? xe_native_decode(env, c, out)
                                          : xe_node_decode_portably(env, c, out);
}

/* Skipping. */

bool xe_node_skip(struct xe_cursor *c, uint64_t max_nodes, struct xe_extent *x)
{
    uint64_t n, left = 1;
    while (left > 0) {
        if (x->nodes++ >= max_nodes)
            return false;
        left--;
        unsigned tag = *c->p++, width = (tag & 7) + 1;
        switch (tag >> 3) {
        case XE_NODE_IMM:
            c->p += width;
            break;
        case XE_NODE_TUPLE_IMM:
            n = xe_cursor_varint(c);
            x->words += xe_cost_tuple(n);
            c->p += n * width;
            break;
        case XE_NODE_LIST_IMM:
            n = xe_cursor_varint(c);
            x->words += XE_COST_CONS * n;
            c->p += n * width;
            break;
        case XE_NODE_TUPLE:
            n = xe_cursor_varint(c);
            x->words += xe_cost_tuple(n);
            left += n;
            break;
        case XE_NODE_LIST:
        case XE_NODE_ILIST:
            n = xe_cursor_varint(c);
            x->words += XE_COST_CONS * n;
            left += n + (tag >> 3 == XE_NODE_ILIST);
            break;
        case XE_NODE_BIN:
            n = xe_cursor_varint(c);
            x->words += xe_cost_binary(n);
            x->larger += n > XE_TERM_BIN_VALUE_MAX ? n : 0;
            c->p += n;
            break;
        case XE_NODE_BITS:
            n = xe_cursor_varint(c);
            x->words += xe_cost_bits(n);
            c->p += n;
            break;
        case XE_NODE_FLOAT:
            x->words += XE_COST_FLOAT;
            c->p += 8;
            break;
        case XE_NODE_BIG:
            n = xe_cursor_varint(c);
            x->words += xe_cost_big(n);
            c->p += n;
            break;
        case XE_NODE_MAP:
            n = xe_cursor_varint(c);
            x->words += xe_cost_map(n);
            unsigned kw = *c->p >> 4, vw = *c->p & 15;
            c->p += 1 + n * (kw + vw);
            x->words += xe_cost_inner(n, xe_cursor_pass_shape(c, tag));
            left += (kw ? 0 : n) + (vw ? 0 : n);
            break;
        case XE_NODE_REF:
            x->words += 1 + width;
            c->p += 8 * width;
            break;
        case XE_NODE_EXTBIN:
            xe_cursor_varint(c);
            x->words += XE_COST_EXT;
            c->p += XE_TERM_DIGEST_BYTES;
            c->handles += 8;
            break;
        default:
            XE_ASSERT(tag >> 3 == XE_NODE_EXT);
            x->words += XE_COST_EXT;
            c->p += c->in_key ? XE_TERM_HASH_BYTES : 0;
            c->handles += 8;
        }
        XE_ASSERT(c->p <= c->end);
    }
    return true;
}

/* Objects. */

const uint8_t *xe_term_behind_restore(const uint8_t *body)
{
    size_t size = *body & 0x7f;
    for (unsigned shift = 7; *body++ & 0x80; shift += 7)
        size |= (size_t)(*body & 0x7f) << shift;
    return body + size;
}

int xe_term_arity(const struct xe_view *v)
{
    struct xe_cursor c;
    const uint8_t *body = xe_term_body(v);
    if (body[0] & XE_TERM_BODY_FLAT)
        return body[0] >> 3 & 15;
    return (int)xe_cursor_body(&c, v).arity;
}

/* Compressed bodies: each decoding function starts over with the object expanded. */

static enum xe_term_status decode_any(ErlNifEnv *env, const struct xe_view *v, int keypos,
                                      ERL_NIF_TERM key, ERL_NIF_TERM tail, uint64_t budget,
                                      ERL_NIF_TERM *out);

static __attribute__((noinline)) enum xe_term_status
expand_and_decode_object(ErlNifEnv *env, const struct xe_view *v, int keypos, ERL_NIF_TERM key,
                         ERL_NIF_TERM tail, uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_expanded x;
    enum xe_term_status status = xe_term_expand(&x, v, &budget);
    if (status == XE_TERM_OK) {
        status = decode_any(env, &x.view, keypos, key, tail, budget, out);
        xe_expanded_clear(&x);
    }
    return status;
}

static __attribute__((noinline)) enum xe_term_status
expand_and_decode_element(ErlNifEnv *env, const struct xe_view *v, int keypos, int pos,
                          ERL_NIF_TERM key, uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_expanded x;
    enum xe_term_status status = xe_term_expand(&x, v, &budget);
    if (status == XE_TERM_OK) {
        status = xe_term_decode_element(env, &x.view, keypos, pos, key, budget, out);
        xe_expanded_clear(&x);
    }
    return status;
}

static __attribute__((noinline)) enum xe_term_status
expand_and_decode_key(ErlNifEnv *env, const struct xe_view *v, uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_expanded x;
    enum xe_term_status status = xe_term_expand(&x, v, &budget);
    if (status == XE_TERM_OK) {
        status = xe_term_decode_key(env, &x.view, budget, out);
        xe_expanded_clear(&x);
    }
    return status;
}

/* 0 where memory is short, too: the object then has to be decoded as a whole, which tells. */
static __attribute__((noinline)) ERL_NIF_TERM expand_and_find_immediate(const struct xe_view *v,
                                                                        int keypos, int pos)
{
    struct xe_expanded x;
    uint64_t budget = XE_TERM_NO_BUDGET;
    if (xe_term_expand(&x, v, &budget) != XE_TERM_OK)
        return 0;
    ERL_NIF_TERM t = xe_term_immediate_element(&x.view, keypos, pos);
    xe_expanded_clear(&x);
    return t;
}

static inline bool body_has_key(const struct xe_view *v)
{
    const uint8_t *body = xe_term_body(v);
    return !(body[0] & XE_TERM_BODY_FLAT) && (body[0] & XE_TERM_BODY_KEY);
}

/* Keys of ordered tables. */

void xe_term_order_key(const struct xe_view *v, struct xe_order_key *key)
{
    key->bytes = v->key;
    key->len = (uint32_t)v->klen;
    key->restore = v->body;
    key->restore_len = 0;
    if (v->flags & XE_REC_RESTORE) {
        struct xe_cursor c = {.p = v->body, .end = v->body + v->blen};
        key->restore_len = (uint32_t)xe_cursor_varint(&c);
        key->restore = c.p;
    }
    key->term = v->n_key_handles ? xe_load64(v->handles) : 0;
}

bool xe_term_is_key_of(const struct xe_encoder *e, const struct xe_view *v)
{
    struct xe_order_key given, stored;
    if (e->n_handles)
        return false;
    xe_key_of_encoder(e, &given);
    xe_term_order_key(v, &stored);
    return xe_key_is_same_term(&given, &stored);
}

static __attribute__((noinline)) enum xe_term_status
decode_ordered_key(ErlNifEnv *env, const struct xe_view *v, uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_order_key key;
    xe_term_order_key(v, &key);
    return xe_key_decode(env, &key, budget, out);
}

uint64_t xe_term_key_words(const struct xe_view *v)
{
    if (XE_LIKELY(!(v->flags & XE_REC_ORDER)))
        return xe_cost_key_bytes(v->klen);
    struct xe_order_key key;
    xe_term_order_key(v, &key);
    return xe_key_words(&key);
}

enum xe_term_status xe_term_decode_key(ErlNifEnv *env, const struct xe_view *v, uint64_t budget,
                                       ERL_NIF_TERM *out)
{
    struct xe_cursor c;
    if (XE_UNLIKELY(v->flags & XE_REC_ORDER))
        return decode_ordered_key(env, v, budget, out);
    if (body_has_key(v)) {
        if (XE_UNLIKELY(xe_term_is_compressed(v)))
            return expand_and_decode_key(env, v, budget, out);
        xe_cursor_body(&c, v);
    } else if (v->key[0] >> 3 == XE_NODE_IMM) {
        *out = xe_term_packed(v->key + 1, (v->key[0] & 7) + 1);
        return XE_TERM_OK;
    } else {
        xe_cursor_key(&c, v);
    }
    return xe_cost_key_bytes(v->klen) > budget ? XE_TERM_BUDGET : xe_node_decode(env, &c, out);
}

/* All elements of a body that is not flat. Without `key` the body has it. */
static bool read_elements(struct decoder *d, const struct xe_body *b, uint64_t keypos,
                          ERL_NIF_TERM key)
{
    if (!reserve_values(d, b->arity + 1))
        return false;
    if (b->has_key) {
        if (!read_nodes(d, 1))
            return false;
        key = d->values[--d->n_values];
    }
    if (!read_nodes(d, keypos - 1))
        return false;
    push(d, key);
    return read_nodes(d, b->arity - keypos);
}

static enum xe_term_status decode_body_portably(ErlNifEnv *env, const struct xe_cursor *c,
                                                const struct xe_body *b, int keypos,
                                                ERL_NIF_TERM key, ERL_NIF_TERM *out)
{
    struct decoder d;
    d.c = *c;
    decoder_init(&d, env);
    bool ok = read_elements(&d, b, (uint64_t)keypos, key);
    if (ok)
        *out = enif_make_tuple_from_array(env, d.values, (unsigned)b->arity);
    decoder_clear(&d);
    return ok ? XE_TERM_OK : XE_TERM_NOMEM;
}

uint64_t xe_term_object_words(const struct xe_view *v)
{
    uint64_t key = xe_term_key_words(v);
    const uint8_t *body = xe_term_body(v);
    if (body[0] & XE_TERM_BODY_FLAT)
        return key + 1 + (body[0] >> 3 & 15);
    struct xe_cursor c;
    key += xe_cursor_body(&c, v).words;
    return XE_UNLIKELY(xe_term_is_compressed(v)) ? key + xe_term_expanding_words(v) : key;
}

/* With a `tail`: [Object | tail]. */
static enum xe_term_status decode_flat(ErlNifEnv *env, const struct xe_view *v, int keypos,
                                       ERL_NIF_TERM key, ERL_NIF_TERM tail, uint64_t budget,
                                       ERL_NIF_TERM *out)
{
    if (!key) {
        enum xe_term_status status = xe_term_decode_key(env, v, budget, &key);
        if (status != XE_TERM_OK)
            return status;
    }
    *out = xe_term_make_flat(env, xe_term_body(v), keypos, key, tail);
    return XE_TERM_OK;
}

static enum xe_term_status decode_nodes(ErlNifEnv *env, const struct xe_view *v, int keypos,
                                        ERL_NIF_TERM key, ERL_NIF_TERM tail, uint64_t budget,
                                        ERL_NIF_TERM *out)
{
    struct xe_cursor c, key_bytes;
    struct xe_body b = xe_cursor_body(&c, v);
    enum xe_term_status status;
    bool native = xe_native_has(XE_NATIVE_TUPLE);
    if (b.words > budget)
        return XE_TERM_BUDGET;
    if (!key && !b.has_key) {
        bool is_node = v->key[0] >> 3 != XE_NODE_IMM && !(v->flags & XE_REC_ORDER);
        if (XE_LIKELY(native && is_node)) {
            if (xe_cost_key_bytes(v->klen) > budget - b.words)
                return XE_TERM_BUDGET;
            xe_cursor_key(&key_bytes, v);
        } else if ((status = xe_term_decode_key(env, v, budget - b.words, &key)) != XE_TERM_OK) {
            return status;
        }
    }
    if (XE_LIKELY(native))
        status = xe_native_decode_body(env, &c, &b, &key_bytes, keypos, key, out);
    else
        status = decode_body_portably(env, &c, &b, keypos, key, out);
    if (status == XE_TERM_OK && tail)
        *out = enif_make_list_cell(env, *out, tail);
    return status;
}

static enum xe_term_status decode_any(ErlNifEnv *env, const struct xe_view *v, int keypos,
                                      ERL_NIF_TERM key, ERL_NIF_TERM tail, uint64_t budget,
                                      ERL_NIF_TERM *out)
{
    if (xe_term_body(v)[0] & XE_TERM_BODY_FLAT)
        return decode_flat(env, v, keypos, key, tail, budget, out);
    if (!key && (v->flags & XE_REC_ORDER) && !body_has_key(v)) {
        enum xe_term_status status = decode_ordered_key(env, v, budget, &key);
        if (status != XE_TERM_OK)
            return status;
        budget -= xe_term_key_words(v); /* no more than it: that was asked first */
    }
    if (XE_LIKELY(xe_native_decode_small(env, v, keypos, key, tail, budget, out)))
        return XE_TERM_OK;
    if (XE_UNLIKELY(xe_term_is_compressed(v)))
        return expand_and_decode_object(env, v, keypos, key, tail, budget, out);
    return decode_nodes(env, v, keypos, key, tail, budget, out);
}

enum xe_term_status xe_term_decode_any_object(ErlNifEnv *env, const struct xe_view *v, int keypos,
                                              ERL_NIF_TERM key, uint64_t budget, ERL_NIF_TERM *out)
{
    return decode_any(env, v, keypos, key, 0, budget, out);
}

enum xe_term_status xe_term_decode_listed(ErlNifEnv *env, const struct xe_view *v, int keypos,
                                          ERL_NIF_TERM key, ERL_NIF_TERM tail, uint64_t budget,
                                          ERL_NIF_TERM *out)
{
    return decode_any(env, v, keypos, key, tail, budget, out);
}

/* Moves the cursor from the first node of a body to that of element `pos`. */
static bool find_element(struct xe_cursor *c, const struct xe_body *b, int keypos, int pos,
                         uint64_t max_nodes, struct xe_extent *x)
{
    int before = pos - 1 - (keypos < pos) + b->has_key;
    bool ok = true;
    for (int i = 0; ok && i < before; i++)
        ok = xe_node_skip(c, max_nodes, x);
    return ok;
}

/* Whether element `pos`, at the cursor, may be decoded. Asked only for objects that are
 * larger than the budget as a whole. */
static bool element_is_within(struct xe_cursor c, uint64_t budget, uint64_t skipped)
{
    struct xe_extent x = {0, skipped, 0};
    return xe_node_skip(&c, budget, &x) && x.words <= budget;
}

enum xe_term_status xe_term_decode_element(ErlNifEnv *env, const struct xe_view *v, int keypos,
                                           int pos, ERL_NIF_TERM key, uint64_t budget,
                                           ERL_NIF_TERM *out)
{
    if (pos == keypos) {
        if (!key || body_has_key(v))
            return xe_term_decode_key(env, v, budget, out);
        *out = key;
        return XE_TERM_OK;
    }
    const uint8_t *body = xe_term_body(v);
    if (body[0] & XE_TERM_BODY_FLAT) {
        unsigned width = (body[0] & 7) + 1;
        int index = pos - 1 - (keypos < pos);
        *out = xe_term_packed(body + 1 + (unsigned)index * width, width);
        return XE_TERM_OK;
    }
    if (XE_UNLIKELY(xe_term_is_compressed(v)))
        return expand_and_decode_element(env, v, keypos, pos, key, budget, out);
    struct xe_cursor c;
    struct xe_body b = xe_cursor_body(&c, v);
    struct xe_extent x = {0, 0, 0};
    if (!find_element(&c, &b, keypos, pos, budget, &x) ||
        (b.words > budget && !element_is_within(c, budget, x.nodes)))
        return XE_TERM_BUDGET;
    return xe_node_decode(env, &c, out);
}

ERL_NIF_TERM xe_term_immediate_element(const struct xe_view *v, int keypos, int pos)
{
    struct xe_cursor c;
    struct xe_extent x = {0, 0, 0};
    ERL_NIF_TERM t;
    if (pos != keypos && (xe_term_body(v)[0] & XE_TERM_BODY_FLAT)) {
        xe_term_decode_element(NULL, v, keypos, pos, 0, XE_TERM_NO_BUDGET, &t);
        return t;
    }
    if (pos == keypos) {
        if (v->flags & XE_REC_ORDER)
            return 0;
        xe_cursor_key(&c, v);
    } else if (XE_UNLIKELY(xe_term_is_compressed(v))) {
        return expand_and_find_immediate(v, keypos, pos);
    } else {
        struct xe_body b = xe_cursor_body(&c, v);
        find_element(&c, &b, keypos, pos, UINT64_MAX, &x);
    }
    return *c.p >> 3 == XE_NODE_IMM ? xe_term_packed(c.p + 1, (*c.p & 7u) + 1) : 0;
}

/* With its key first, whatever its position: enough for comparing. */
static bool decode_for_compare(ErlNifEnv *env, const struct xe_view *v, ERL_NIF_TERM *out)
{
    return xe_term_decode_any_object(env, v, 1, 0, XE_TERM_NO_BUDGET, out) == XE_TERM_OK;
}

bool xe_term_object_equal(const struct xe_view *stored, const struct xe_view *given)
{
    ERL_NIF_TERM a, b;
    struct xe_view like = *given;
    /* Which table the given one is for, only the stored one tells. */
    like.flags |= stored->flags & XE_REC_ORDER;
    if (xe_term_arity(stored) != xe_term_arity(given))
        return false;
    ErlNifEnv *env = enif_alloc_env();
    bool equal = env && decode_for_compare(env, stored, &a) && decode_for_compare(env, &like, &b) &&
                 enif_is_identical(a, b);
    if (env)
        enif_free_env(env);
    return equal;
}
