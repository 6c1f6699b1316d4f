/*
 * key_decode.c - order bytes and restore bytes (key.h) to terms.
 *
 * Bytes are read from left to right by one loop over two stacks: finished terms, and frames for
 * the containers that are being read. Both start on the C stack. Every frame has at least a byte
 * of its own, so XE_KEY_BYTES_MAX bounds both.
 *
 * The bytes come from our own memory: they are checked by asserts only.
 */
#include "key_internal.h"
#include "term_native.h"

enum {
    SMALL_VALUES = 64,
    SMALL_FRAMES = 16,
    BIG_BYTES_MAX = XE_KEY_EXPONENT_MAX / 8,
    SMALL_BITS = 256, /* bytes of a bit string gathered on the C stack */
};

/* A tuple with elements, or a list. */
struct frame {
    size_t base;                      /* where its values start */
    size_t left;                      /* of a tuple: elements still to be read, not 0 */
    enum { TUPLE, HEAD, TAIL } reads; /* of a list: the head, or the tail, of its last cell */
};

struct decoder {
    ErlNifEnv *env;
    const uint8_t *p, *end;
    const uint8_t *restore, *restore_end;
    uint64_t integers; /* numbers since the last entry that might be floats and are not */
    ERL_NIF_TERM *values;
    size_t n_values, cap_values;
    struct frame *frames;
    size_t n_frames, cap_frames;
    struct frame small_frames[SMALL_FRAMES];
    ERL_NIF_TERM small_values[SMALL_VALUES];
};

static void decoder_init(struct decoder *d, ErlNifEnv *env, const struct xe_order_key *key)
{
    d->env = env;
    d->p = key->bytes;
    d->end = key->bytes + key->len;
    d->restore = key->restore;
    d->restore_end = key->restore + key->restore_len;
    d->integers = 0;
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

static bool push_value(struct decoder *d, ERL_NIF_TERM t)
{
    if (XE_UNLIKELY(d->n_values == d->cap_values)) {
        ERL_NIF_TERM *values = xe_term_grow(d->values, d->small_values, d->n_values,
                                            d->n_values + 1, sizeof *values, 0, &d->cap_values);
        if (!values)
            return false;
        d->values = values;
    }
    d->values[d->n_values++] = t;
    return true;
}

static bool push_frame(struct decoder *d, struct frame f)
{
    if (XE_UNLIKELY(d->n_frames == d->cap_frames)) {
        struct frame *frames = xe_term_grow(d->frames, d->small_frames, d->n_frames,
                                            d->n_frames + 1, sizeof *frames, 0, &d->cap_frames);
        if (!frames)
            return false;
        d->frames = frames;
    }
    f.base = d->n_values;
    d->frames[d->n_frames++] = f;
    return true;
}

/* Restore entries. */

static uint64_t read_varint(const uint8_t **p)
{
    uint64_t v = 0;
    unsigned shift = 0;
    for (; **p & 0x80; shift += 7)
        v |= (uint64_t)(*(*p)++ & 0x7f) << shift;
    return v | (uint64_t) * (*p)++ << shift;
}

static ERL_NIF_TERM restore_atom(struct decoder *d)
{
    XE_ASSERT(d->restore < d->restore_end);
    d->integers = 0;
    return read_varint(&d->restore) >> 1 << 2 | 3;
}

/* Whether a number that might be a float is one, and whether it is -0.0 if it is 0. */
static bool restore_float(struct decoder *d, bool *negative_zero)
{
    const uint8_t *p = d->restore;
    if (p < d->restore_end) {
        uint64_t v = read_varint(&p);
        if ((v & 1) && v >> 2 == d->integers) {
            *negative_zero = v & 2;
            d->restore = p;
            d->integers = 0;
            return true;
        }
    }
    d->integers++;
    return false;
}

/* Numbers. */

struct number {
    bool negative;
    int exponent;
    unsigned n_groups, bits; /* of the fraction, up to the last 1 */
    uint64_t fraction;       /* its highest 64 bits */
    const uint8_t *groups;
};

static inline uint64_t read_be(struct decoder *d, unsigned size, uint8_t flip)
{
    uint64_t v = 0;
    for (; size > 0; size--)
        v = v << 8 | (uint8_t)(*d->p++ ^ flip);
    return v;
}

static inline uint8_t group_at(const struct number *n, unsigned i)
{
    return (n->groups[i] ^ (n->negative ? 0xff : 0)) >> 1;
}

static inline void read_fraction(struct decoder *d, struct number *n)
{
    uint8_t flip = n->negative ? 0xff : 0, byte;
    int shift = 57;
    n->groups = d->p;
    n->fraction = 0;
    do {
        byte = *d->p++ ^ flip;
        uint64_t group = byte >> 1;
        if (shift > -7)
            n->fraction |= shift >= 0 ? group << shift : group >> -shift;
        shift -= 7;
    } while (byte & 1);
    n->n_groups = (unsigned)(d->p - n->groups);
    n->bits = byte ? 7 * n->n_groups + 1 - (unsigned)__builtin_ctz(byte) : 0;
}

static ERL_NIF_TERM make_float(ErlNifEnv *env, const struct number *n)
{
    uint64_t bits = n->fraction >> 12;
    double d;
    if (n->exponent >= DOUBLE_EXPONENT_MIN)
        bits |= (uint64_t)(n->exponent + DOUBLE_EXPONENT_MAX) << DOUBLE_FRACTION_BITS;
    else
        bits = (bits | (uint64_t)1 << DOUBLE_FRACTION_BITS) >> (DOUBLE_EXPONENT_MIN - n->exponent);
    bits |= (uint64_t)n->negative << 63;
    memcpy(&d, &bits, sizeof d);
    return enif_make_double(env, d);
}

static bool make_large_integer(ErlNifEnv *env, const struct number *n, ERL_NIF_TERM *out)
{
    uint8_t magnitude[BIG_BYTES_MAX + 2] = {0};
    unsigned exponent = (unsigned)n->exponent;
    XE_ASSERT(exponent < XE_KEY_EXPONENT_MAX);
    magnitude[exponent / 8] = (uint8_t)(1 << exponent % 8);
    for (unsigned i = 0; i < n->n_groups; i++) {
        int low = (int)exponent - 7 * (int)(i + 1);
        unsigned group = group_at(n, i);
        if (low < 0) {
            magnitude[0] |= (uint8_t)(group >> -low);
        } else {
            magnitude[low / 8] |= (uint8_t)(group << low % 8);
            magnitude[low / 8 + 1] |= (uint8_t)(group << low % 8 >> 8);
        }
    }
    return xe_term_make_big(env, n->negative, magnitude, exponent / 8 + 1, out);
}

static bool make_integer(ErlNifEnv *env, const struct number *n, ERL_NIF_TERM *out)
{
    if (n->exponent > 63)
        return make_large_integer(env, n, out);
    uint64_t u = (uint64_t)1 << n->exponent | (n->exponent ? n->fraction >> (64 - n->exponent) : 0);
    if (XE_LIKELY(u <= INT64_MAX)) {
        *out = enif_make_int64(env, n->negative ? -(ErlNifSInt64)u : (ErlNifSInt64)u);
        return true;
    }
    return xe_term_make_big(env, n->negative, (const uint8_t *)&u, sizeof u, out);
}

static bool read_zero(struct decoder *d, ERL_NIF_TERM *out)
{
    bool negative = false;
    *out = restore_float(d, &negative) ? enif_make_double(d->env, negative ? -0.0 : 0.0)
                                       : enif_make_int(d->env, 0);
    return true;
}

static bool read_number(struct decoder *d, unsigned tag, ERL_NIF_TERM *out)
{
    struct number n;
    bool unused;
    if (tag == KEY_ZERO)
        return read_zero(d, out);
    n.negative = tag < KEY_ZERO;
    unsigned x = n.negative ? KEY_ZERO - tag : tag - KEY_ZERO;
    uint8_t flip = n.negative ? 0xff : 0;
    if (XE_LIKELY(x >= KEY_EXPONENT_0 && x != KEY_LARGE))
        n.exponent = (int)x - KEY_EXPONENT_0;
    else if (x == KEY_FRACTION)
        n.exponent = (int)read_be(d, 2, flip) - KEY_EXPONENT_BIAS;
    else
        n.exponent = (int)read_be(d, 2, flip);
    read_fraction(d, &n);
    if (key_is_integral(n.exponent, n.bits) &&
        (!key_fits_double(n.exponent, n.bits) || !restore_float(d, &unused)))
        return make_integer(d->env, &n, out);
    *out = make_float(d->env, &n);
    return true;
}

/* Bit strings. */

/* Where the content ends that the cursor stands at, and its size. */
static const uint8_t *find_end(const struct decoder *d, size_t *size)
{
    const uint8_t *p = d->p;
    size_t zeros = 0;
    for (;; p += 2, zeros++) {
        p = memchr(p, 0, (size_t)(d->end - p));
        XE_ASSERT(p && p + 1 < d->end);
        if (p[1] != 0xff)
            break;
    }
    *size = (size_t)(p - d->p) - zeros;
    return p;
}

static void unescape(uint8_t *out, const uint8_t *p, size_t size, size_t escaped)
{
    if (XE_LIKELY(size == escaped)) {
        memcpy(out, p, size);
        return;
    }
    for (size_t i = 0; i < size; i++) {
        out[i] = *p;
        p += *p ? 1 : 2;
    }
}

static bool read_bits(struct decoder *d, ERL_NIF_TERM *out)
{
    size_t size;
    const uint8_t *end = find_end(d, &size), *content = d->p;
    unsigned last = end[1];
    d->p = end + 2;
    if (XE_LIKELY(last == 8 && size == (size_t)(end - content))) {
        *out = xe_native_make_binary(d->env, content, size);
        return true;
    }
    if (last == 8) {
        unescape(enif_make_new_binary(d->env, size, out), content, size, (size_t)(end - content));
        return true;
    }
    uint8_t small[SMALL_BITS], *bytes = small;
    if (size > sizeof small && !(bytes = enif_alloc(size)))
        return false;
    unescape(bytes, content, size, (size_t)(end - content));
    bool ok = xe_term_make_bits(d->env, last, bytes, size, out);
    if (bytes != small)
        enif_free(bytes);
    return ok;
}

/* Terms. */

static ERL_NIF_TERM read_atom(struct decoder *d)
{
    d->p = (const uint8_t *)memchr(d->p, 0, (size_t)(d->end - d->p)) + 1;
    return restore_atom(d);
}

/* What does not begin a tuple with elements, or a list. */
static bool read_leaf(struct decoder *d, unsigned tag, ERL_NIF_TERM *out)
{
    if (tag < KEY_ATOM)
        return read_number(d, tag, out);
    switch (tag) {
    case KEY_ATOM:
        *out = read_atom(d);
        return true;
    case KEY_TUPLE:
        *out = enif_make_tuple(d->env, 0);
        return true;
    case KEY_MAP_EMPTY:
        *out = enif_make_new_map(d->env);
        return true;
    case KEY_NIL:
        *out = xe_term_traits.nil;
        return true;
    default:
        XE_ASSERT(tag == KEY_BITS);
        return read_bits(d, out);
    }
}

static ERL_NIF_TERM make_list(struct decoder *d, size_t base, ERL_NIF_TERM tail)
{
    if (XE_LIKELY(tail == xe_term_traits.nil))
        return enif_make_list_from_array(d->env, d->values + base, (unsigned)(d->n_values - base));
    for (size_t i = d->n_values; i > base; i--)
        tail = enif_make_list_cell(d->env, d->values[i - 1], tail);
    return tail;
}

/*
 * A term has been read: gives it to the container on top, and a container that is complete to the
 * next. False: out of memory. When no frame is left, *t is the whole term.
 */
static bool give(struct decoder *d, ERL_NIF_TERM *t)
{
    while (d->n_frames) {
        struct frame *f = &d->frames[d->n_frames - 1];
        if (f->reads == TAIL) {
            *t = make_list(d, f->base, *t);
        } else {
            if (!push_value(d, *t))
                return false;
            if (f->reads == HEAD) {
                f->reads = TAIL;
                return true;
            }
            if (--f->left > 0)
                return true;
            *t = enif_make_tuple_from_array(d->env, d->values + f->base,
                                            (unsigned)(d->n_values - f->base));
        }
        d->n_values = f->base;
        d->n_frames--;
    }
    return true;
}

/* A cell: the next one of the list on top if a tail is to be read, else a list of its own. */
static inline bool read_cell(struct decoder *d)
{
    struct frame *top = d->frames + d->n_frames;
    if (d->n_frames && top[-1].reads == TAIL) {
        top[-1].reads = HEAD;
        return true;
    }
    return push_frame(d, (struct frame){.reads = HEAD});
}

static bool read_key(struct decoder *d, ERL_NIF_TERM *out)
{
    bool ok;
    do {
        XE_ASSERT(d->p < d->end);
        unsigned tag = *d->p++;
        if (tag > KEY_TUPLE && tag < KEY_TUPLE_LARGE)
            ok = push_frame(d, (struct frame){.reads = TUPLE, .left = tag - KEY_TUPLE});
        else if (tag == KEY_TUPLE_LARGE)
            ok = push_frame(d, (struct frame){.reads = TUPLE, .left = read_be(d, 4, 0)});
        else if (tag == KEY_LIST)
            ok = read_cell(d);
        else
            ok = read_leaf(d, tag, out) && give(d, out);
    } while (ok && d->n_frames);
    XE_ASSERT(!ok || (d->p == d->end && d->restore == d->restore_end));
    return ok;
}

uint64_t xe_key_words(const struct xe_order_key *key)
{
    const uint8_t *p = key->restore;
    if (XE_UNLIKELY(key->term)) {
        XE_ASSERT(key->restore_len > 0);
        return read_varint(&p);
    }
    /* Most keys, whose words are few: numbers of up to 64 bits, bit strings. */
    unsigned tag = key->bytes[0];
    if (tag < KEY_ATOM && tag != KEY_ZERO + KEY_LARGE && tag != KEY_ZERO - KEY_LARGE)
        return xe_cost_big(8);
    if (tag == KEY_BITS)
        return 8 + key->len / 8;
    return (uint64_t)XE_KEY_WORDS_PER_BYTE * key->len;
}

enum xe_term_status xe_key_decode(ErlNifEnv *env, const struct xe_order_key *key, uint64_t budget,
                                  ERL_NIF_TERM *out)
{
    struct decoder d;
    if (xe_key_words(key) > budget)
        return XE_TERM_BUDGET;
    if (XE_UNLIKELY(key->term)) {
        *out = enif_make_copy(env, key->term);
        return XE_TERM_OK;
    }
    decoder_init(&d, env, key);
    bool ok = read_key(&d, out);
    decoder_clear(&d);
    return ok ? XE_TERM_OK : XE_TERM_NOMEM;
}

int64_t xe_key_arity(const struct xe_order_key *key)
{
    const uint8_t *p = key->bytes;
    if (p[0] < KEY_TUPLE || p[0] > KEY_TUPLE_LARGE)
        return -1;
    if (p[0] < KEY_TUPLE_LARGE)
        return p[0] - KEY_TUPLE;
    return (int64_t)p[1] << 24 | p[2] << 16 | p[3] << 8 | p[4];
}
