/*
 * etf_write.c - stored objects to the external term format.
 *
 * Nodes come in the order in which their terms are written, so they are written as they are read,
 * by one loop over a stack of frames, which say how many nodes a container still has and what
 * belongs between them. Two things are in another order. A list has its end, [], behind its
 * elements. A map has its values behind its keys: where one of these is packed it is taken from
 * there as the other is met; where neither is, there are two cursors.
 *
 * To find the second cursor the keys are skipped, which would take quadratic time where maps are
 * keys of maps, so those are decoded from some depth on, as is all that is rare.
 */
#include "etf_internal.h"
#include "key.h"

enum {
    SMALL_FRAMES = 32,
    KEY_DEPTH_MAX = 8,  /* maps one in the key of the other that are written in place */
    BYTES_PER_WORD = 8, /* of larger binaries, for the budget */
    FIRST_ROOM = 4096,
};

/* What the next node of a frame is. */
enum what {
    ELEMENT,    /* of a tuple, or of a list that has a tail; that tail */
    LIST,       /* an element of a list that ends with [] */
    VALUE,      /* of a map whose keys are packed */
    KEY_FIRST,  /* of a map whose values are packed */
    KEY,        /* likewise, and the last key has no value yet */
    PAIR_FIRST, /* a key of a map of which nothing is packed: the cursor is at its keys */
    PAIR_VALUE, /* likewise; the cursor is at the keys, and to change places with the other one */
    PAIR_KEY,   /* likewise, at the values */
};

struct frame {
    enum what what;
    unsigned width;         /* of what is packed */
    uint64_t left;          /* nodes that are still to be written */
    const uint8_t *packed;  /* VALUE: the next key. KEY: the next value */
    struct xe_cursor other; /* PAIR_* */
};

struct walk {
    struct xe_etf_writer *w;
    struct xe_cursor c;
    enum xe_etf_status status;
    uint64_t budget;
    bool made; /* terms, in the writer's environment */
    unsigned key_depth;
    struct frame *frames;
    size_t n_frames, cap_frames;
    struct frame small[SMALL_FRAMES];
};

/* The buffer. */

static void free_bytes(struct xe_etf_writer *w)
{
    if (w->bytes && w->bytes != w->lent)
        enif_free(w->bytes);
}

bool xe_etf_reserve_more(struct xe_etf_writer *w, size_t n)
{
    size_t cap = w->cap < FIRST_ROOM ? FIRST_ROOM : w->cap * 2;
    if (n > SIZE_MAX / 4 || w->len > SIZE_MAX / 4)
        return false;
    if (cap < w->len + n)
        cap = w->len + n;
    uint8_t *bytes = enif_alloc(cap);
    if (!bytes)
        return false;
    if (w->bytes)
        memcpy(bytes, w->bytes, w->len);
    free_bytes(w);
    w->bytes = bytes;
    w->cap = cap;
    return true;
}

void xe_etf_writer_clear(struct xe_etf_writer *w)
{
    free_bytes(w);
    if (w->env)
        enif_free_env(w->env);
    xe_etf_writer_init(w);
}

static inline bool has_env(struct xe_etf_writer *w)
{
    return XE_LIKELY(w->env) || (w->env = enif_alloc_env());
}

/* Leaves. */

static inline bool put_big(struct xe_etf_writer *w, bool negative, const uint8_t *magnitude,
                           size_t size)
{
    if (!xe_etf_reserve(w, ETF_HEAD_MAX + size))
        return false;
    if (XE_LIKELY(size <= UINT8_MAX)) {
        etf_put_byte(w, ETF_BIG_SMALL);
        etf_put_byte(w, (unsigned)size);
    } else {
        etf_put_head(w, ETF_BIG, (uint32_t)size);
    }
    etf_put_byte(w, negative);
    memcpy(w->bytes + w->len, magnitude, size);
    w->len += size;
    return true;
}

bool etf_put_integer(struct xe_etf_writer *w, int64_t i)
{
    if (!xe_etf_reserve(w, ETF_HEAD_MAX))
        return false;
    if (i >= 0 && i <= UINT8_MAX) {
        etf_put_byte(w, ETF_INT8);
        etf_put_byte(w, (unsigned)i);
        return true;
    }
    if (XE_LIKELY(i == (int32_t)i)) {
        etf_put_head(w, ETF_INT32, (uint32_t)i);
        return true;
    }
    uint64_t magnitude = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    return put_big(w, i < 0, (const uint8_t *)&magnitude, xe_term_width(magnitude));
}

enum xe_etf_status etf_put_binary(struct xe_etf_writer *w, const uint8_t *bytes, size_t size)
{
    if (size > UINT32_MAX)
        return XE_ETF_LIMIT;
    if (!xe_etf_reserve(w, ETF_HEAD_MAX + size))
        return XE_ETF_NOMEM;
    etf_put_head(w, ETF_BINARY, (uint32_t)size);
    memcpy(w->bytes + w->len, bytes, size);
    w->len += size;
    return XE_ETF_OK;
}

/* What enif_term_to_binary() makes of it, without the version. */
static enum xe_etf_status put_external(struct xe_etf_writer *w, ERL_NIF_TERM t)
{
    ErlNifBinary ext;
    if (!enif_term_to_binary(w->env, t, &ext))
        return XE_ETF_LIMIT;
    bool ok = xe_etf_reserve(w, ext.size);
    if (ok) {
        XE_ASSERT(ext.data[0] == XE_ETF_VERSION);
        memcpy(w->bytes + w->len, ext.data + 1, ext.size - 1);
        w->len += ext.size - 1;
    }
    enif_release_binary(&ext);
    return ok ? XE_ETF_OK : XE_ETF_NOMEM;
}

static __attribute__((noinline)) enum xe_etf_status put_other_immediate(struct xe_etf_writer *w,
                                                                        ERL_NIF_TERM t)
{
    ErlNifSInt64 i;
    bool ok;
    if (t == xe_term_traits.nil) {
        if ((ok = xe_etf_reserve(w, 1)))
            etf_put_byte(w, ETF_NIL);
    } else if (enif_is_atom(w->env, t)) {
        ok = etf_put_new_atom(w, t);
    } else if (enif_get_int64(w->env, t, &i)) {
        ok = etf_put_integer(w, i);
    } else {
        return put_external(w, t);
    }
    return ok ? XE_ETF_OK : XE_ETF_NOMEM;
}

static inline enum xe_etf_status put_immediate(struct xe_etf_writer *w, ERL_NIF_TERM t)
{
    ErlNifSInt64 i;
    if ((t & 15) == xe_term_traits.small_tag) {
        if (XE_LIKELY(enif_get_int64(w->env, t, &i)))
            return etf_put_integer(w, i) ? XE_ETF_OK : XE_ETF_NOMEM;
        return put_other_immediate(w, t);
    }
    const struct etf_atom_form *f = etf_atom_form_of(t);
    /* Pairs with the store-release in remember(). */
    if (XE_LIKELY(atomic_load_explicit(&f->atom, memory_order_acquire) == t) &&
        xe_etf_reserve(w, ETF_ATOM_CACHED)) {
        memcpy(w->bytes + w->len, f->bytes, ETF_ATOM_CACHED);
        w->len += f->len;
        return XE_ETF_OK;
    }
    return put_other_immediate(w, t);
}

enum xe_etf_status etf_put_immediate(struct xe_etf_writer *w, ERL_NIF_TERM word)
{
    return put_immediate(w, word);
}

/* A term that is made or kept by a handle. */
enum xe_etf_status etf_put_term(struct xe_etf_writer *w, ERL_NIF_TERM term, uint64_t *budget)
{
    ErlNifBinary bin;
    if (!enif_inspect_binary(w->env, term, &bin))
        return put_external(w, term);
    if (bin.size / BYTES_PER_WORD > *budget)
        return XE_ETF_BUDGET;
    *budget -= bin.size / BYTES_PER_WORD;
    return etf_put_binary(w, bin.data, bin.size);
}

/* The walk. Its functions return false when something has gone wrong, and say in `status` what. */

static inline bool check(struct walk *k, enum xe_etf_status status)
{
    k->status = status;
    return XE_LIKELY(status == XE_ETF_OK);
}

static inline bool room(struct walk *k, size_t n)
{
    return XE_LIKELY(xe_etf_reserve(k->w, n)) || check(k, XE_ETF_NOMEM);
}

static inline bool put_head(struct walk *k, unsigned tag, uint64_t size)
{
    if (XE_UNLIKELY(size > UINT32_MAX))
        return check(k, XE_ETF_LIMIT);
    if (!room(k, ETF_HEAD_MAX))
        return false;
    etf_put_head(k->w, tag, (uint32_t)size);
    return true;
}

static inline bool put_tuple_head(struct walk *k, uint64_t arity)
{
    if (XE_UNLIKELY(arity > UINT8_MAX))
        return put_head(k, ETF_TUPLE, arity);
    if (!room(k, 2))
        return false;
    etf_put_byte(k->w, ETF_TUPLE_SMALL);
    etf_put_byte(k->w, (unsigned)arity);
    return true;
}

static inline bool put_nil(struct walk *k)
{
    if (!room(k, 1))
        return false;
    etf_put_byte(k->w, ETF_NIL);
    return true;
}

static inline bool write_packed(struct walk *k, const uint8_t *p, unsigned width)
{
    return check(k, put_immediate(k->w, xe_term_packed(p, width)));
}

static struct frame *push(struct walk *k, enum what what, uint64_t left)
{
    if (XE_UNLIKELY(k->n_frames == k->cap_frames)) {
        struct frame *frames = xe_term_grow(k->frames, k->small, k->n_frames, k->n_frames + 1,
                                            sizeof *frames, 0, &k->cap_frames);
        if (!frames) {
            k->status = XE_ETF_NOMEM;
            return NULL;
        }
        k->frames = frames;
    }
    struct frame *f = &k->frames[k->n_frames++];
    f->what = what;
    f->left = left;
    return f;
}

/* The node at the cursor by way of a term. */
static __attribute__((noinline)) bool write_by_term(struct walk *k)
{
    struct xe_extent x = {0, 0, 0};
    ERL_NIF_TERM t;
    if (xe_node_decode(k->w->env, &k->c, &t) != XE_TERM_OK)
        return check(k, XE_ETF_NOMEM);
    k->made = true;
    xe_node_skip(&k->c, UINT64_MAX, &x);
    return check(k, etf_put_term(k->w, t, &k->budget));
}

static bool write_handle(struct walk *k)
{
    ERL_NIF_TERM t = xe_load64(k->c.handles);
    k->c.handles += 8;
    k->made = true; /* a binary that begins within a byte is moved to be seen */
    return check(k, etf_put_term(k->w, t, &k->budget));
}

/* Both columns are packed. */
static bool write_packed_map(struct walk *k, uint64_t n, const uint8_t *keys, unsigned kw,
                             const uint8_t *values, unsigned vw)
{
    for (; n > 0; n--, keys += kw, values += vw)
        if (!write_packed(k, keys, kw) || !write_packed(k, values, vw))
            return false;
    return true;
}

/* Neither column is packed, and the cursor is at the first key. */
static bool push_pairs(struct walk *k, uint64_t n)
{
    struct frame *f = push(k, PAIR_FIRST, 2 * n);
    struct xe_extent x = {0, 0, 0};
    if (!f)
        return false;
    f->other = k->c;
    while (n-- > 0)
        xe_node_skip(&f->other, UINT64_MAX, &x);
    return true;
}

static bool write_map(struct walk *k, bool has_shape)
{
    struct xe_cursor start = k->c;
    uint64_t n = xe_cursor_varint(&k->c);
    unsigned kw = *k->c.p >> 4, vw = *k->c.p & 15;
    const uint8_t *keys = k->c.p + 1, *values = keys + n * kw;
    if (XE_UNLIKELY(!kw && !vw && k->key_depth >= KEY_DEPTH_MAX)) {
        k->c = start;
        k->c.p--;
        return write_by_term(k);
    }
    k->c.p = values + n * vw;
    if (has_shape) {
        uint64_t nodes = xe_cursor_varint(&k->c);
        k->c.p += 4 * nodes; /* two bitmaps each */
    }
    if (!put_head(k, ETF_MAP, n))
        return false;
    if (kw && vw)
        return write_packed_map(k, n, keys, kw, values, vw);
    if (!kw && !vw)
        return push_pairs(k, n);
    struct frame *f = push(k, kw ? VALUE : KEY_FIRST, n);
    if (!f)
        return false;
    f->packed = kw ? keys : values;
    f->width = kw ? kw : vw;
    return true;
}

static bool write_content(struct walk *k, enum xe_node_kind kind, unsigned param)
{
    struct xe_etf_writer *w = k->w;
    uint64_t size = xe_cursor_varint(&k->c);
    const uint8_t *bytes = k->c.p;
    k->c.p += size;
    if (XE_LIKELY(kind == XE_NODE_BIN))
        return check(k, etf_put_binary(w, bytes, size));
    if (size > UINT32_MAX)
        return check(k, XE_ETF_LIMIT);
    if (kind == XE_NODE_BIG)
        return check(k, put_big(w, param, bytes, size) ? XE_ETF_OK : XE_ETF_NOMEM);
    XE_ASSERT(kind == XE_NODE_BITS);
    if (!room(k, ETF_HEAD_MAX + size))
        return false;
    etf_put_head(w, ETF_BITS, (uint32_t)size);
    etf_put_byte(w, param);
    memcpy(w->bytes + w->len, bytes, size);
    w->len += size;
    return true;
}

static bool write_float(struct walk *k)
{
    uint64_t bits = __builtin_bswap64(xe_load64(k->c.p));
    k->c.p += sizeof bits;
    if (!room(k, 1 + sizeof bits))
        return false;
    etf_put_byte(k->w, ETF_FLOAT_NEW);
    memcpy(k->w->bytes + k->w->len, &bits, sizeof bits);
    k->w->len += sizeof bits;
    return true;
}

static bool write_vector(struct walk *k, bool list, unsigned width)
{
    uint64_t n = xe_cursor_varint(&k->c);
    if (!(list ? put_head(k, ETF_LIST, n) : put_tuple_head(k, n)))
        return false;
    const uint8_t *p = k->c.p;
    k->c.p += n * width;
    for (; n > 0; n--, p += width)
        if (!write_packed(k, p, width))
            return false;
    return !list || put_nil(k);
}

/* Nodes seldom met. */
static __attribute__((noinline)) bool write_other(struct walk *k, enum xe_node_kind kind)
{
    switch (kind) {
    case XE_NODE_EXT:
        k->c.p += k->c.in_key ? XE_TERM_HASH_BYTES : 0;
        return write_handle(k);
    case XE_NODE_EXTBIN:
        xe_cursor_varint(&k->c);
        k->c.p += XE_TERM_DIGEST_BYTES;
        return write_handle(k);
    default:
        XE_ASSERT(kind == XE_NODE_REF);
        k->c.p--;
        return write_by_term(k);
    }
}

/* The node at the cursor; of a container only its head, and a frame. */
static inline bool write_node(struct walk *k)
{
    unsigned tag = *k->c.p++, param = tag & 7;
    enum xe_node_kind kind = tag >> 3;
    const uint8_t *p = k->c.p;
    uint64_t n;
    XE_ASSERT(p <= k->c.end);
    switch (kind) {
    case XE_NODE_IMM:
        k->c.p += param + 1;
        return write_packed(k, p, param + 1);
    case XE_NODE_BIN:
    case XE_NODE_BITS:
    case XE_NODE_BIG:
        return write_content(k, kind, param);
    case XE_NODE_FLOAT:
        return write_float(k);
    case XE_NODE_TUPLE_IMM:
    case XE_NODE_LIST_IMM:
        return write_vector(k, kind == XE_NODE_LIST_IMM, param + 1);
    case XE_NODE_TUPLE:
        n = xe_cursor_varint(&k->c);
        return put_tuple_head(k, n) && push(k, ELEMENT, n);
    case XE_NODE_LIST:
    case XE_NODE_ILIST:
        n = xe_cursor_varint(&k->c);
        return put_head(k, ETF_LIST, n) &&
               (kind == XE_NODE_LIST ? push(k, LIST, n) : push(k, ELEMENT, n + 1));
    case XE_NODE_MAP:
        return write_map(k, param);
    default:
        return write_other(k, kind);
    }
}

static void swap_cursors(struct walk *k, struct frame *f)
{
    struct xe_cursor c = k->c;
    k->c = f->other;
    f->other = c;
}

/* The container on top, whose nodes have all been written. */
static bool finish(struct walk *k)
{
    const struct frame *f = &k->frames[--k->n_frames];
    if (f->what == LIST)
        return put_nil(k);
    return f->what != KEY || write_packed(k, f->packed, f->width);
}

/* The next node of the container on top, behind what belongs between it and the last one. */
static inline bool write_next(struct walk *k)
{
    struct frame *f = &k->frames[k->n_frames - 1];
    const uint8_t *packed = f->packed;
    /* Nothing comes behind the last node but for a list and packed values. */
    bool is_last = f->left-- == 1;
    switch (f->what) {
    case ELEMENT:
        k->n_frames -= is_last;
        break;
    case VALUE:
        f->packed += f->width;
        k->n_frames -= is_last;
        return write_packed(k, packed, f->width) && write_node(k);
    case KEY_FIRST:
        f->what = KEY;
        break;
    case KEY:
        f->packed += f->width;
        return write_packed(k, packed, f->width) && write_node(k);
    case PAIR_FIRST:
        f->what = PAIR_VALUE;
        k->key_depth++;
        break;
    case PAIR_KEY:
        f->what = PAIR_VALUE;
        k->key_depth++;
        swap_cursors(k, f);
        break;
    case PAIR_VALUE:
        f->what = PAIR_KEY;
        k->key_depth--;
        swap_cursors(k, f);
        k->n_frames -= is_last;
        break;
    case LIST:
        break;
    }
    return write_node(k);
}

/* The terms of the next n nodes. */
static bool write_nodes(struct walk *k, uint64_t n)
{
    for (; n > 0; n--) {
        if (!write_node(k))
            return false;
        while (k->n_frames)
            if (!(k->frames[k->n_frames - 1].left ? write_next(k) : finish(k)))
                return false;
    }
    return true;
}

/* Objects. */

static void walk_init(struct walk *k, struct xe_etf_writer *w, uint64_t budget)
{
    k->w = w;
    k->status = XE_ETF_OK;
    k->budget = budget;
    k->made = false;
    k->key_depth = 0;
    k->frames = k->small;
    k->n_frames = 0;
    k->cap_frames = SMALL_FRAMES;
}

static enum xe_etf_status walk_end(struct walk *k)
{
    if (XE_UNLIKELY(k->frames != k->small))
        enif_free(k->frames);
    if (XE_UNLIKELY(k->made))
        enif_clear_env(k->w->env);
    return k->status;
}

static __attribute__((noinline)) bool write_order_key(struct walk *k, const struct xe_view *v)
{
    struct xe_order_key key;
    xe_term_order_key(v, &key);
    return check(k, etf_put_order_key(k->w, &key, &k->budget, &k->made));
}

/* The key, where the body does not have it. */
static inline bool write_key(struct walk *k, const struct xe_view *v)
{
    if (XE_UNLIKELY(v->flags & XE_REC_ORDER))
        return write_order_key(k, v);
    xe_cursor_key(&k->c, v);
    return write_nodes(k, 1);
}

/* The elements of a body that is not flat, whose cursor is at its first node. */
static bool write_elements(struct walk *k, const struct xe_view *v, const struct xe_body *b,
                           uint64_t keypos)
{
    struct xe_extent x = {0, 0, 0};
    struct xe_cursor key = k->c;
    if (b->has_key)
        xe_node_skip(&k->c, UINT64_MAX, &x);
    if (!put_tuple_head(k, b->arity) || !write_nodes(k, keypos - 1))
        return false;
    struct xe_cursor rest = k->c;
    k->c = key;
    if (!(b->has_key ? write_nodes(k, 1) : write_key(k, v)))
        return false;
    k->c = rest;
    return write_nodes(k, b->arity - keypos);
}

static bool write_flat(struct walk *k, const struct xe_view *v, const uint8_t *body,
                       uint64_t keypos)
{
    unsigned arity = body[0] >> 3 & 15, width = (body[0] & 7) + 1, i = 1;
    const uint8_t *p = body + 1;
    if (!put_tuple_head(k, arity))
        return false;
    for (; i < keypos; i++, p += width)
        if (!write_packed(k, p, width))
            return false;
    if (!write_key(k, v))
        return false;
    for (; i < arity; i++, p += width)
        if (!write_packed(k, p, width))
            return false;
    return true;
}

static bool write_expanded(struct walk *k, const struct xe_view *v, int keypos);

/* An object, or its key (keypos is 0). */
static inline bool write_any(struct walk *k, const struct xe_view *v, int keypos)
{
    const uint8_t *body = xe_term_body(v);
    if (body[0] & XE_TERM_BODY_FLAT)
        return keypos ? write_flat(k, v, body, (uint64_t)keypos) : write_key(k, v);
    if (!keypos && !(body[0] & XE_TERM_BODY_KEY))
        return write_key(k, v);
    if (XE_UNLIKELY(body[0] & XE_TERM_BODY_COMPRESSED))
        return write_expanded(k, v, keypos);
    struct xe_body b = xe_cursor_body(&k->c, v);
    return keypos ? write_elements(k, v, &b, (uint64_t)keypos) : write_nodes(k, 1);
}

static __attribute__((noinline)) bool write_expanded(struct walk *k, const struct xe_view *v,
                                                     int keypos)
{
    struct xe_expanded x;
    uint64_t budget = XE_TERM_NO_BUDGET; /* it has been charged for */
    enum xe_term_status status = xe_term_expand(&x, v, &budget);
    if (status != XE_TERM_OK)
        return check(k, (enum xe_etf_status)status);
    bool ok = write_any(k, &x.view, keypos);
    xe_expanded_clear(&x);
    return ok;
}

/* What is written is written as a whole. *len: to go back to. */
static enum xe_etf_status begin(struct walk *k, struct xe_etf_writer *w, uint64_t words,
                                uint64_t budget, size_t *len)
{
    *len = w->len;
    if (words > budget)
        return XE_ETF_BUDGET;
    if (!has_env(w))
        return XE_ETF_NOMEM;
    walk_init(k, w, budget - words);
    return XE_ETF_OK;
}

static enum xe_etf_status end(struct walk *k, size_t len)
{
    if (XE_UNLIKELY(walk_end(k) != XE_ETF_OK))
        k->w->len = len;
    return k->status;
}

enum xe_etf_status xe_etf_write_object(struct xe_etf_writer *w, const struct xe_view *v, int keypos,
                                       uint64_t budget)
{
    struct walk k;
    size_t len;
    enum xe_etf_status status = begin(&k, w, xe_term_object_words(v), budget, &len);
    if (status != XE_ETF_OK)
        return status;
    write_any(&k, v, keypos);
    return end(&k, len);
}

enum xe_etf_status xe_etf_write_key(struct xe_etf_writer *w, const struct xe_view *v,
                                    uint64_t budget)
{
    struct walk k;
    size_t len;
    uint64_t words = xe_term_key_words(v);
    if (xe_term_is_compressed(v))
        words += xe_term_expanding_words(v);
    enum xe_etf_status status = begin(&k, w, words, budget, &len);
    if (status != XE_ETF_OK)
        return status;
    write_any(&k, v, 0);
    return end(&k, len);
}

enum xe_etf_status xe_etf_write_encoded_key(struct xe_etf_writer *w, const struct xe_encoder *e,
                                            bool ordered, uint64_t budget)
{
    struct walk k;
    size_t len;
    struct xe_order_key key;
    enum xe_etf_status status = begin(&k, w, xe_cost_key_bytes(e->klen), budget, &len);
    if (status != XE_ETF_OK)
        return status;
    if (ordered) {
        xe_key_of_encoder(e, &key);
        k.status = etf_put_order_key(w, &key, &k.budget, &k.made);
    } else {
        k.c = (struct xe_cursor){.p = e->bytes,
                                 .end = e->bytes + e->klen,
                                 .handles = (const uint8_t *)e->handles,
                                 .in_key = true};
        write_nodes(&k, 1);
    }
    return end(&k, len);
}

enum xe_etf_status xe_etf_write_term(struct xe_etf_writer *w, ERL_NIF_TERM term)
{
    if (!has_env(w))
        return XE_ETF_NOMEM;
    return xe_term_is_immediate(term) ? put_immediate(w, term) : put_external(w, term);
}
