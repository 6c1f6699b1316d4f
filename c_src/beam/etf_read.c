/*
 * etf_read.c - external terms to nodes.
 *
 * Terms are read in the order in which they stand by one loop over a stack of frames, each of them
 * the terms that a container still has. Of a container the elements in front that are immediates
 * are gathered; if it has no others it is packed. A map is gone through twice, once for its keys
 * and for where its values are, which are then read in the order of the map (etf_map_keys.c).
 *
 * What is not read in place is made as a term and encoded: a map, a reference or a fun by itself,
 * and the whole object where a term is not in the form in which it is written, where whether it is
 * an immediate is not told by its tag, where a zero is negative.
 */
#include "etf_walk.h"

enum {
    MAP_DEPTH_MAX = 8,       /* maps one in the other that are gone through twice */
    BIG_BYTES_MAX = 1 << 16, /* whether there are larger integers, the release says */
    FIRST_WORDS = 256,
};

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

static bool put_words_packed(struct xe_encoder *e, enum xe_node_kind kind, const uint64_t *words,
                             uint64_t n, uint64_t any)
{
    unsigned width = xe_term_width(any);
    if (!put_count(e, kind, width - 1, n, n * width))
        return false;
    put_vector(e, words, n, width);
    return true;
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

bool etf_gather(struct walk *k, uint64_t n, uint64_t *count, uint64_t *any)
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
    if (room(k) < head || (n = head == 2 ? p[1] : etf_load32(p + 1)) > room(k) - head ||
        n > TUPLE_MAX)
        return false;
    k->p = p + head;
    if (!charge(e, xe_cost_tuple(n)) || !etf_gather(k, n, &count, &any))
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
    if (!charge(e, XE_COST_CONS * n) || !etf_gather(k, n, &count, &any) || k->p == k->end)
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

bool etf_emit_terms(struct walk *k, uint64_t n)
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
