/*
 * etf_read.c - external terms to stored objects.
 *
 * Terms are read in the order in which they stand by one loop over a stack of frames, each of them
 * the terms that a container still has. Of a container the elements in front that are immediates
 * are gathered; if it has no others it is packed. A map is gone through twice, once for its keys
 * and for where its values are, which are then read in the order of the map (etf_keys.c).
 *
 * The bytes are not trusted: no size counts before what it tells of has been seen to be there, and
 * what is there in fewer bytes than its size says is no term.
 *
 * What is not read in place is made as a term and encoded: a map, a reference or a fun by itself,
 * and the whole object where a term is not in the form in which it is written, where whether it is
 * an immediate is not told by its tag, where zeros have signs. So there are two ways to fail: with
 * a status, or without one, which means: read it as a whole. That says then what was wrong, too.
 */
#include "etf_internal.h"
#include "key.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    SMALL_FRAMES = 32,
    SMALL_VALUES = 64,
    MAP_DEPTH_MAX = 8,       /* maps one in the other that are gone through twice */
    BIG_BYTES_MAX = 1 << 16, /* whether there are larger integers, the release says */
    BYTES_PER_WORD = 8,      /* of terms that are made, for the budget */
    FIRST_WORDS = 256,
};

/* What the terms of a frame are. */
enum what { ELEMENT, LIST, VALUE };

struct frame {
    enum what what;
    uint64_t left;
    union {
        size_t tag_at; /* LIST: where the tag of its node is */
        size_t index;  /* VALUE: in walk.values, of the next */
    };
    size_t base;          /* VALUE: the first index */
    const uint8_t *after; /* VALUE: where the map ends */
};

struct walk {
    struct xe_etf_reader *r;
    struct xe_encoder *e;
    const uint8_t *p, *end;
    unsigned map_depth;
    struct frame *frames;
    size_t n_frames, cap_frames;
    const uint8_t **values; /* where values of maps begin */
    size_t n_values, cap_values;
    struct frame small_frames[SMALL_FRAMES];
    const uint8_t *small_values[SMALL_VALUES];
};

static inline void walk_init(struct walk *k, struct xe_etf_reader *r, struct xe_encoder *e,
                             const uint8_t *bytes, size_t size)
{
    k->r = r;
    k->e = e;
    k->p = bytes;
    k->end = bytes + size;
    k->map_depth = 0;
    k->frames = k->small_frames;
    k->n_frames = 0;
    k->cap_frames = SMALL_FRAMES;
    k->values = k->small_values;
    k->n_values = 0;
    k->cap_values = SMALL_VALUES;
}

static inline void walk_clear(struct walk *k)
{
    if (XE_UNLIKELY(k->frames != k->small_frames))
        enif_free(k->frames);
    if (XE_UNLIKELY(k->values != k->small_values))
        enif_free(k->values);
}

/* Bytes that are there from the cursor on. */
static inline size_t room(const struct walk *k)
{
    return (size_t)(k->end - k->p);
}

static struct frame *push(struct walk *k, enum what what, uint64_t left)
{
    if (XE_UNLIKELY(k->n_frames == k->cap_frames)) {
        struct frame *frames = xe_term_grow(k->frames, k->small_frames, k->n_frames,
                                            k->n_frames + 1, sizeof *frames, 0, &k->cap_frames);
        if (!frames) {
            fail(k->e, XE_TERM_NOMEM);
            return NULL;
        }
        k->frames = frames;
    }
    struct frame *f = &k->frames[k->n_frames++];
    f->what = what;
    f->left = left;
    return f;
}

/* Nodes. */

static inline bool put_count(struct xe_encoder *e, enum xe_node_kind kind, unsigned param,
                             uint64_t count, size_t behind)
{
    if (!reserve(e, 1 + XE_TERM_VARINT_MAX + behind))
        return false;
    put_tag(e, kind, param);
    put_varint(e, count);
    return true;
}

static inline bool put_word(struct xe_encoder *e, uint64_t word)
{
    unsigned width = xe_term_width(word);
    if (!reserve(e, 1 + sizeof word))
        return false;
    put_tag(e, XE_NODE_IMM, width - 1);
    put_packed(e, word, width);
    return true;
}

static bool put_words(struct xe_encoder *e, const uint64_t *words, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (!put_word(e, words[i]))
            return false;
    return true;
}

static bool put_words_packed(struct xe_encoder *e, enum xe_node_kind kind, const uint64_t *words,
                             uint64_t n, uint64_t any)
{
    unsigned width = xe_term_width(any);
    if (!put_count(e, kind, width - 1, n, n * width))
        return false;
    put_vector(e, words, n, width);
    return true;
}

/* Immediates. */

/* What a term is. ODD: this is not told here, or it is no term. */
enum kind { ODD, BOXED, IMMEDIATE };

/* An integer of up to 8 bytes at the cursor. */
static inline enum kind read_short_big(struct walk *k, uint64_t *word)
{
    const uint8_t *p = k->p;
    uint64_t u = 0;
    size_t n;
    if (room(k) < 3 || (n = p[1]) > room(k) - 3 || p[2] > 1 || n == 0)
        return ODD;
    if (n > 8)
        return BOXED;
    memcpy(&u, p + 3, n);
    if (u <= (uint64_t)1 << 60) {
        *word = enif_make_int64(k->e->env, p[2] ? -(ErlNifSInt64)u : (ErlNifSInt64)u);
        if (xe_term_is_immediate(*word)) {
            k->p = p + 3 + n;
            return IMMEDIATE;
        }
    }
    return BOXED;
}

/* An atom at the cursor, whose text is behind `head` bytes. */
static inline enum kind read_atom(struct walk *k, size_t head, uint64_t *word)
{
    const uint8_t *p = k->p;
    if (room(k) < head)
        return ODD;
    size_t len = head == 2 ? p[1] : etf_load16(p + 1);
    if (room(k) - head < len)
        return ODD;
    k->p = p + head + len;
    return etf_find_atom(k->r, k->e->env, p + head, len, word) ||
                   (etf_make_term(k->r, k->e->env, p, head + len, word) == XE_ETF_OK)
               ? IMMEDIATE
               : ODD;
}

/* The immediate at the cursor, which is moved behind it. */
static inline enum kind read_immediate(struct walk *k, uint64_t *word)
{
    const uint8_t *p = k->p;
    if (XE_UNLIKELY(p == k->end))
        return ODD;
    switch (p[0]) {
    case ETF_INT8:
        if (room(k) < 2)
            return ODD;
        *word = enif_make_int(k->e->env, p[1]);
        k->p = p + 2;
        return IMMEDIATE;
    case ETF_INT32:
        if (room(k) < 5)
            return ODD;
        *word = enif_make_int(k->e->env, (int32_t)etf_load32(p + 1));
        k->p = p + 5;
        return IMMEDIATE;
    case ETF_BIG_SMALL:
        return read_short_big(k, word);
    case ETF_ATOM_UTF8_SMALL:
    case ETF_ATOM_SMALL:
        return read_atom(k, 2, word);
    case ETF_ATOM_UTF8:
    case ETF_ATOM:
        return read_atom(k, 3, word);
    case ETF_NIL:
        *word = xe_term_traits.nil;
        k->p = p + 1;
        return IMMEDIATE;
    case ETF_PID:
    case ETF_PID_NEW:
    case ETF_PORT:
    case ETF_PORT_NEW:
    case ETF_PORT_V4:
        return ODD; /* this VM's are */
    case ETF_STRING:
        return room(k) >= 3 && etf_load16(p + 1) ? BOXED : ODD; /* an empty one is [] */
    default:
        return BOXED;
    }
}

static bool grow_words(struct xe_etf_reader *r, size_t used)
{
    size_t cap = r->cap_words ? r->cap_words * 2 : FIRST_WORDS;
    uint64_t *words = enif_alloc(cap * sizeof *words);
    if (!words)
        return false;
    if (r->words) {
        memcpy(words, r->words, used * sizeof *words);
        enif_free(r->words);
    }
    r->words = words;
    r->cap_words = cap;
    return true;
}

/* The terms in front of the next n that are immediates: how many, and their "or". */
static bool gather(struct walk *k, uint64_t n, uint64_t *count, uint64_t *any)
{
    struct xe_etf_reader *r = k->r;
    uint64_t i = 0, some = 0;
    enum kind kind = IMMEDIATE;
    for (; i < n; i++) {
        if (XE_UNLIKELY(i == r->cap_words) && !grow_words(r, i))
            return fail(k->e, XE_TERM_NOMEM);
        kind = read_immediate(k, &r->words[i]);
        if (kind != IMMEDIATE)
            break;
        some |= r->words[i];
    }
    *count = i;
    *any = some;
    return kind != ODD;
}

/* Leaves. */

/* The term at the cursor, made and then encoded. Compressing may have to begin anew. */
static __attribute__((noinline)) bool emit_made(struct walk *k)
{
    struct xe_encoder *e = k->e;
    ERL_NIF_TERM t;
    size_t size = e->compress ? 0 : xe_etf_size(k->p, room(k));
    if (!size || !charge_work(e, size / BYTES_PER_WORD))
        return false;
    enum xe_etf_status status = etf_make_term(k->r, e->env, k->p, size, &t);
    if (status != XE_ETF_OK)
        return status == XE_ETF_NOMEM && fail(e, XE_TERM_NOMEM);
    k->p += size;
    return xe_term_encode_nodes(e, &t, 1);
}

static bool emit_large_binary(struct walk *k, const uint8_t *bytes, size_t size)
{
    ERL_NIF_TERM t;
    if (k->e->in_key || k->e->compress || !charge_work(k->e, size / BYTES_PER_WORD))
        return false;
    memcpy(enif_make_new_binary(k->e->env, size, &t), bytes, size);
    return xe_term_encode_nodes(k->e, &t, 1);
}

static bool emit_binary(struct walk *k)
{
    struct xe_encoder *e = k->e;
    const uint8_t *p = k->p;
    size_t size;
    if (room(k) < 5 || (size = etf_load32(p + 1)) > room(k) - 5)
        return false;
    k->p = p + 5 + size;
    if (size > (e->in_key ? XE_TERM_BIN_KEY_MAX : XE_TERM_BIN_VALUE_MAX))
        return emit_large_binary(k, p + 5, size);
    if (!charge(e, xe_cost_binary(size)) || !put_count(e, XE_NODE_BIN, 0, size, size))
        return false;
    put_bytes(e, p + 5, size);
    return true;
}

/* No small integer. */
static bool emit_big(struct walk *k)
{
    struct xe_encoder *e = k->e;
    const uint8_t *p = k->p;
    size_t head = p[0] == ETF_BIG_SMALL ? 3 : 6;
    if (room(k) < head)
        return false;
    size_t size = head == 3 ? p[1] : etf_load32(p + 1);
    unsigned sign = p[head - 1];
    if (size < 8 || size > BIG_BYTES_MAX || size > room(k) - head || sign > 1 ||
        p[head + size - 1] == 0 || (size == 8 && head != 3))
        return false;
    if (!charge(e, xe_cost_big(size)) || !put_count(e, XE_NODE_BIG, sign, size, size))
        return false;
    put_bytes(e, p + head, size);
    k->p = p + head + size;
    return true;
}

static bool emit_float(struct walk *k)
{
    const uint64_t exponent = 0x7ff0000000000000, negative_zero = 0x8000000000000000;
    struct xe_encoder *e = k->e;
    if (room(k) < 9)
        return false;
    uint64_t bits = __builtin_bswap64(xe_load64(k->p + 1));
    if ((bits & exponent) == exponent || bits == negative_zero)
        return false;
    if (!charge(e, XE_COST_FLOAT) || !reserve(e, 9))
        return false;
    put_tag(e, XE_NODE_FLOAT, 0);
    put_packed(e, bits, 8);
    k->p += 9;
    return true;
}

/* Containers. */

static bool emit_tuple(struct walk *k)
{
    struct xe_encoder *e = k->e;
    const uint8_t *p = k->p;
    size_t head = p[0] == ETF_TUPLE_SMALL ? 2 : 5;
    uint64_t n, count, any;
    if (room(k) < head || (n = head == 2 ? p[1] : etf_load32(p + 1)) > room(k) - head)
        return false;
    k->p = p + head;
    if (!charge(e, xe_cost_tuple(n)) || !gather(k, n, &count, &any))
        return false;
    if (count == n)
        return put_words_packed(e, XE_NODE_TUPLE_IMM, k->r->words, n, any);
    return put_count(e, XE_NODE_TUPLE, 0, n, 0) && put_words(e, k->r->words, count) &&
           push(k, ELEMENT, n - count);
}

/* A list that is the tail of another one is a part of it. */
static inline bool is_list_tag(unsigned tag)
{
    return tag == ETF_LIST || tag == ETF_STRING;
}

static bool emit_list(struct walk *k)
{
    struct xe_encoder *e = k->e;
    uint64_t n, count, any;
    if (room(k) < 5 || (n = etf_load32(k->p + 1)) >= room(k) - 5 || n == 0)
        return false;
    k->p += 5;
    if (!charge(e, XE_COST_CONS * n) || !gather(k, n, &count, &any) || k->p == k->end)
        return false;
    if (count < n) {
        size_t tag_at = e->len;
        struct frame *f = push(k, LIST, n - count);
        if (!f)
            return false;
        f->tag_at = tag_at;
        return put_count(e, XE_NODE_LIST, 0, n, 0) && put_words(e, k->r->words, count);
    }
    if (*k->p == ETF_NIL) {
        k->p++;
        return put_words_packed(e, XE_NODE_LIST_IMM, k->r->words, n, any);
    }
    return !is_list_tag(*k->p) && put_count(e, XE_NODE_ILIST, 0, n, 0) &&
           put_words(e, k->r->words, n) && push(k, ELEMENT, 1);
}

/* A list of bytes. */
static bool emit_string(struct walk *k)
{
    struct xe_encoder *e = k->e;
    const uint8_t *p = k->p + 3;
    size_t n = etf_load16(k->p + 1);
    uint64_t any = 0;
    if (n > room(k) - 3 || !charge(e, XE_COST_CONS * n))
        return false;
    for (size_t i = 0; i < n; i++)
        any |= enif_make_int(e->env, p[i]);
    unsigned width = xe_term_width(any);
    if (!put_count(e, XE_NODE_LIST_IMM, width - 1, n, n * width))
        return false;
    for (size_t i = 0; i < n; i++)
        put_packed(e, enif_make_int(e->env, p[i]), width);
    k->p = p + n;
    return true;
}

/* A map on its way. */
struct map {
    bool packed; /* its values are immediates */
    uint64_t any;
    struct etf_key_list keys;
    uint64_t words[ETF_KEYS_MAX]; /* values, as far as they are immediates */
    const uint8_t *values[ETF_KEYS_MAX];
};

/* The bytes of a key, most of which are atoms or binaries. */
static inline size_t key_size(const struct walk *k)
{
    const uint8_t *p = k->p;
    if (room(k) >= 2 && p[0] == ETF_ATOM_UTF8_SMALL)
        return 2 + (size_t)p[1] <= room(k) ? 2 + (size_t)p[1] : 0;
    return xe_etf_size(p, room(k));
}

/* False: something is missing, or is not told here. */
static bool survey_map(struct walk *k, struct map *m)
{
    struct etf_key_list *keys = &m->keys;
    m->any = keys->bytes = 0;
    m->packed = true;
    for (uint32_t i = 0; i < keys->n; i++) {
        keys->at[i] = k->p;
        keys->sizes[i] = key_size(k);
        if (!keys->sizes[i])
            return false;
        keys->bytes += keys->sizes[i];
        k->p += keys->sizes[i];
        m->values[i] = k->p;
        enum kind kind = read_immediate(k, &m->words[i]);
        if (kind == IMMEDIATE) {
            m->any |= m->words[i];
            continue;
        }
        size_t size = kind == BOXED ? xe_etf_size(k->p, room(k)) : 0;
        if (!size)
            return false;
        k->p += size;
        m->packed = false;
    }
    return true;
}

static bool push_values(struct walk *k, const struct map *m, const uint8_t *order)
{
    uint32_t n = m->keys.n;
    if (XE_UNLIKELY(k->n_values + n > k->cap_values)) {
        const uint8_t **values = xe_term_grow(k->values, k->small_values, k->n_values,
                                              k->n_values + n, sizeof *values, 0, &k->cap_values);
        if (!values)
            return fail(k->e, XE_TERM_NOMEM);
        k->values = values;
    }
    struct frame *f = push(k, VALUE, n);
    if (!f)
        return false;
    f->index = f->base = k->n_values;
    f->after = k->p;
    for (uint32_t i = 0; i < n; i++)
        k->values[k->n_values++] = m->values[order[i]];
    k->map_depth++;
    return true;
}

static bool put_map(struct walk *k, const struct map *m, const struct etf_keys *keys)
{
    struct xe_encoder *e = k->e;
    uint32_t n = keys->n;
    unsigned vw = m->packed ? xe_term_width(m->any) : 0;
    if (!charge(e, xe_cost_map(n) + keys->words) ||
        !put_count(e, XE_NODE_MAP, 0, n, 1 + (size_t)keys->n_stored + n * vw))
        return false;
    put_byte(e, (unsigned)keys->width << 4 | vw);
    if (keys->width)
        put_bytes(e, keys->stored, keys->n_stored);
    for (uint32_t i = 0; vw && i < n; i++)
        put_packed(e, m->words[keys->order[i]], vw);
    if (!keys->width)
        put_bytes(e, keys->stored, keys->n_stored);
    return m->packed || push_values(k, m, keys->order);
}

static __attribute__((noinline)) bool emit_map(struct walk *k)
{
    static const struct etf_keys none = {.width = 1};
    struct map m;
    const uint8_t *start = k->p;
    if (room(k) < 5)
        return false;
    m.keys.n = etf_load32(start + 1);
    if (m.keys.n > ETF_KEYS_MAX || k->map_depth == MAP_DEPTH_MAX)
        return emit_made(k);
    k->p += 5;
    if (!survey_map(k, &m))
        return false;
    const struct etf_keys *keys = m.keys.n ? etf_keys_of(k->r, k->e->env, &m.keys) : &none;
    if (keys)
        return put_map(k, &m, keys);
    k->p = start;
    return emit_made(k);
}

/* The term at the cursor; of a container only its head, what of it is gathered, and a frame. */
static inline bool emit(struct walk *k)
{
    uint64_t word;
    enum kind kind = read_immediate(k, &word);
    if (kind == IMMEDIATE)
        return put_word(k->e, word);
    if (kind == ODD)
        return false;
    switch (*k->p) {
    case ETF_TUPLE_SMALL:
    case ETF_TUPLE:
        return emit_tuple(k);
    case ETF_LIST:
        return emit_list(k);
    case ETF_STRING:
        return emit_string(k);
    case ETF_BINARY:
        return emit_binary(k);
    case ETF_FLOAT_NEW:
        return emit_float(k);
    case ETF_BIG_SMALL:
    case ETF_BIG:
        return emit_big(k);
    case ETF_MAP:
        return emit_map(k);
    case ETF_BITS:
    case ETF_REFERENCE:
    case ETF_REFERENCE_NEW:
    case ETF_REFERENCE_NEWER:
    case ETF_FUN:
    case ETF_EXPORT:
        return emit_made(k);
    default:
        return false;
    }
}

/* The list on top has all its elements: what follows is its tail. */
static bool end_list(struct walk *k)
{
    size_t tag_at = k->frames[--k->n_frames].tag_at;
    if (k->p == k->end || is_list_tag(*k->p))
        return false;
    if (*k->p == ETF_NIL) {
        k->p++;
        return true;
    }
    k->e->bytes[tag_at] = XE_NODE_ILIST << 3;
    return emit(k);
}

static void end_map(struct walk *k)
{
    const struct frame *f = &k->frames[--k->n_frames];
    k->p = f->after;
    k->n_values = f->base;
    k->map_depth--;
}

/* The next term of the container on top. */
static inline bool emit_next(struct walk *k)
{
    struct frame *f = &k->frames[k->n_frames - 1];
    if (f->left == 0) {
        if (f->what == LIST)
            return end_list(k);
        end_map(k);
        return true;
    }
    f->left--;
    if (f->what == ELEMENT)
        k->n_frames -= f->left == 0;
    else if (f->what == VALUE)
        k->p = k->values[f->index++];
    return emit(k);
}

/* Nodes of the next n terms. */
static bool emit_terms(struct walk *k, uint64_t n)
{
    for (; n > 0; n--) {
        if (!emit(k))
            return false;
        while (k->n_frames)
            if (!emit_next(k))
                return false;
    }
    return true;
}

static bool skip_terms(struct walk *k, uint64_t n)
{
    for (; n > 0; n--) {
        size_t size = xe_etf_size(k->p, room(k));
        if (!size)
            return false;
        k->p += size;
    }
    return true;
}

/* Keys. */

/* The key of an ordered table is made as a term, the commonest ones by hand. False: as above. */
static bool make_key(struct walk *k, ERL_NIF_TERM *out)
{
    ErlNifEnv *env = k->e->env;
    const uint8_t *p = k->p;
    uint64_t word, n;
    enum kind kind = read_immediate(k, &word);
    if (kind == ODD)
        return false;
    if (kind == IMMEDIATE) {
        *out = word;
        return true;
    }
    if (p[0] == ETF_BINARY && room(k) >= 5 && etf_load32(p + 1) <= room(k) - 5) {
        size_t size = etf_load32(p + 1);
        memcpy(enif_make_new_binary(env, size, out), p + 5, size);
        k->p = p + 5 + size;
        return true;
    }
    if (p[0] == ETF_TUPLE_SMALL && room(k) >= 2 && p[1] > 0) {
        uint64_t any;
        k->p = p + 2;
        if (!gather(k, p[1], &n, &any))
            return false;
        if (n == p[1]) {
            *out = enif_make_tuple_from_array(env, k->r->words, (unsigned)n);
            return true;
        }
        k->p = p;
    }
    size_t size = xe_etf_size(p, room(k));
    if (!size || etf_make_term(k->r, env, p, size, out) != XE_ETF_OK)
        return false;
    k->p = p + size;
    return true;
}

/* The key at the cursor. */
static inline bool put_key(struct walk *k)
{
    struct xe_encoder *e = k->e;
    ERL_NIF_TERM key;
    if (XE_UNLIKELY(e->ordered))
        return make_key(k, &key) && xe_term_put_key(e, key);
    e->in_key = true;
    bool ok = emit_terms(k, 1);
    e->in_key = false;
    e->klen = e->len;
    e->n_key_handles = e->n_handles;
    return ok && !e->neg_zero && e->n_handles <= XE_TERM_KEY_HANDLES_MAX;
}

/* Objects. */

static bool put_flat(struct xe_encoder *e, const uint64_t *words, unsigned arity)
{
    uint64_t any = 3;
    for (unsigned i = 0; i < arity - 1; i++)
        any |= words[i];
    unsigned width = xe_term_width(any);
    if (!charge(e, xe_cost_tuple(arity)) || !reserve(e, 1 + arity * width))
        return false;
    put_byte(e, XE_TERM_BODY_FLAT | arity << 3 | (width - 1));
    put_vector(e, words, arity - 1, width);
    return true;
}

/* The elements of an object but its key that have been read, before what has not. */
struct front {
    unsigned n;
    const uint8_t *next; /* the first one that has not been read and stands before the key,
                          * if there is one */
    const uint8_t *behind_key;
    uint64_t words[XE_TERM_FLAT_ARITY_MAX];
};

static bool put_nodes_body(struct walk *k, const struct front *f, uint64_t arity, uint64_t keypos)
{
    struct xe_encoder *e = k->e;
    size_t mark = 0;
    uint64_t words = e->words, rest = arity - 1 - f->n;
    if (!xe_term_begin_body(e, arity, false, &mark) || !charge(e, xe_cost_tuple(arity)) ||
        !put_words(e, f->words, f->n))
        return false;
    if (f->n < keypos - 1) {
        k->p = f->next;
        if (!emit_terms(k, keypos - 1 - f->n))
            return false;
        k->p = f->behind_key;
        rest = arity - keypos;
    }
    return emit_terms(k, rest) && xe_term_end_body(e, mark, e->words - words);
}

static inline enum kind read_front(struct walk *k, struct front *f, uint64_t n)
{
    enum kind kind = IMMEDIATE;
    while (f->n < n && (kind = read_immediate(k, &f->words[f->n])) == IMMEDIATE)
        f->n++;
    return kind;
}

/* Key and body of the object with the elements that are at the cursor. */
static inline bool put_object(struct walk *k, uint64_t arity, uint64_t keypos)
{
    const unsigned max = XE_TERM_FLAT_ARITY_MAX;
    struct front f;
    f.n = 0;
    if (read_front(k, &f, keypos - 1 < max ? keypos - 1 : max) == ODD)
        return false;
    f.next = k->p;
    if (!skip_terms(k, keypos - 1 - f.n) || !put_key(k))
        return false;
    f.behind_key = k->p;
    k->e->body_at = k->e->len;
    if (f.n == keypos - 1 && arity <= max) {
        if (read_front(k, &f, arity - 1) == ODD)
            return false;
        if (f.n == arity - 1)
            return put_flat(k->e, f.words, (unsigned)arity);
    }
    return put_nodes_body(k, &f, arity, keypos);
}

static bool finish_object(struct walk *k)
{
    struct xe_encoder *e = k->e;
    bool done;
    if (e->identify) {
        if (e->flags & XE_REC_LOOSE)
            return false;
        e->identity = XXH3_64bits_withSeed(e->bytes, e->len, e->identity);
    }
    return !e->compress || xe_term_compress(e, &done);
}

static bool read_in_place(struct walk *k, uint64_t keypos)
{
    size_t head = room(k) && *k->p == ETF_TUPLE ? 5 : 2;
    if (room(k) < head || (*k->p != ETF_TUPLE_SMALL && *k->p != ETF_TUPLE))
        return false;
    uint64_t arity = head == 2 ? k->p[1] : etf_load32(k->p + 1);
    if (arity < keypos || arity > room(k) - head)
        return false;
    k->p += head;
    return put_object(k, arity, keypos) && finish_object(k);
}

/* The encoder as it was given. */
static void encoder_reset(struct xe_encoder *e, uint64_t budget)
{
    bool identify = e->identify, compress = e->compress, ordered = e->ordered, brief = e->brief;
    e->budget = budget;
    xe_encoder_clear(e);
    e->identify = identify;
    e->compress = compress;
    e->ordered = ordered;
    e->brief = brief;
}

/* The term at the beginning of the bytes, by enif_binary_to_term. */
static enum xe_etf_status make_whole(struct xe_etf_reader *r, const struct xe_encoder *e,
                                     const uint8_t *bytes, size_t size, ERL_NIF_TERM *out,
                                     size_t *used)
{
    *used = xe_etf_size(bytes, size);
    if (!*used)
        return XE_ETF_BAD;
    if (*used / BYTES_PER_WORD > e->budget)
        return XE_ETF_BUDGET;
    return etf_make_term(r, e->env, bytes, *used, out);
}

static __attribute__((noinline)) enum xe_etf_status read_whole(struct xe_etf_reader *r,
                                                               struct xe_encoder *e,
                                                               const uint8_t *bytes, size_t size,
                                                               int keypos, size_t *used)
{
    ERL_NIF_TERM t;
    const ERL_NIF_TERM *elements;
    int arity;
    enum xe_etf_status status = make_whole(r, e, bytes, size, &t, used);
    if (status != XE_ETF_OK)
        return status;
    if (!enif_get_tuple(e->env, t, &arity, &elements) || arity < keypos)
        return XE_ETF_NO_OBJECT;
    return (enum xe_etf_status)xe_term_encode_object(e, elements, arity, keypos);
}

enum xe_etf_status xe_etf_read_object(struct xe_etf_reader *r, struct xe_encoder *e,
                                      const uint8_t *bytes, size_t size, int keypos, size_t *used)
{
    struct walk k;
    uint64_t budget = e->budget;
    walk_init(&k, r, e, bytes, size);
    bool ok = read_in_place(&k, (uint64_t)keypos);
    walk_clear(&k);
    *used = (size_t)(k.p - bytes);
    if (XE_LIKELY(ok))
        return XE_ETF_OK;
    if (e->status != XE_TERM_OK)
        return (enum xe_etf_status)e->status;
    encoder_reset(e, budget);
    return read_whole(r, e, bytes, size, keypos, used);
}

static bool read_key_in_place(struct walk *k)
{
    ERL_NIF_TERM key;
    if (k->e->ordered)
        return make_key(k, &key) && xe_key_encode(k->e, key) == XE_TERM_OK;
    return put_key(k);
}

enum xe_etf_status xe_etf_read_key(struct xe_etf_reader *r, struct xe_encoder *e,
                                   const uint8_t *bytes, size_t size, size_t *used)
{
    struct walk k;
    ERL_NIF_TERM t;
    uint64_t budget = e->budget;
    walk_init(&k, r, e, bytes, size);
    bool ok = read_key_in_place(&k);
    walk_clear(&k);
    *used = (size_t)(k.p - bytes);
    if (XE_LIKELY(ok))
        return XE_ETF_OK;
    if (e->status != XE_TERM_OK)
        return (enum xe_etf_status)e->status;
    encoder_reset(e, budget);
    enum xe_etf_status status = make_whole(r, e, bytes, size, &t, used);
    if (status != XE_ETF_OK)
        return status;
    return (enum xe_etf_status)(e->ordered ? xe_key_encode(e, t) : xe_term_encode_key(e, t));
}

/* Readers. */

struct xe_etf_reader *xe_etf_reader_new(bool safe)
{
    struct xe_etf_reader *r = enif_alloc(sizeof *r);
    if (r) {
        memset(r, 0, sizeof *r);
        r->safe = safe;
    }
    return r;
}

void xe_etf_reader_free(struct xe_etf_reader *r)
{
    if (!r)
        return;
    if (r->scratch)
        enif_free(r->scratch);
    if (r->words)
        enif_free(r->words);
    enif_free(r);
}
