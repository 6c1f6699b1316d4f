/*
 * key_encode.c - keys of ordered tables to order bytes and restore bytes (key.h).
 *
 * Terms are written from left to right by one loop over a stack of frames: the elements of a tuple
 * that are still to be written, or the tail of a list. A frame is popped before its last term is
 * written. Every frame has at least a byte of its own, so XE_KEY_BYTES_MAX bounds the stack as well
 * as the work.
 *
 * A leaf may be written beyond that limit. Whether a key is too long is looked at before each term
 * and at the end, and it is cut to what it would be if each byte had been looked at.
 */
#include "key_internal.h"
#include "term_native.h"

enum {
    SMALL_FRAMES = 16,
    SMALL_RESTORE = 512,
    BITS_END = 2,    /* bytes behind the content of a bit string */
    NUMBER_MAX = 24, /* bytes of a number of up to 64 bits, and what one store may overwrite */
    LIMIT = XE_KEY_BYTES_MAX,
};

struct frame {
    const ERL_NIF_TERM *next; /* NULL: the tail */
    union {
        size_t left; /* never 0 */
        ERL_NIF_TERM tail;
    };
};

struct walk {
    struct xe_encoder *e;
    bool cut;
    uint64_t integers; /* numbers since the last entry that might be a float and are not */
    uint8_t *restore;
    size_t restore_len, cap_restore;
    struct frame *frames;
    size_t n_frames, cap_frames;
    struct frame small_frames[SMALL_FRAMES];
    uint8_t small_restore[SMALL_RESTORE];
};

static inline void walk_init(struct walk *w, struct xe_encoder *e)
{
    w->e = e;
    w->cut = false;
    w->integers = 0;
    w->restore = w->small_restore;
    w->restore_len = 0;
    w->cap_restore = SMALL_RESTORE;
    w->frames = w->small_frames;
    w->n_frames = 0;
    w->cap_frames = SMALL_FRAMES;
}

static inline void walk_clear(struct walk *w)
{
    if (XE_UNLIKELY(w->restore != w->small_restore))
        enif_free(w->restore);
    if (XE_UNLIKELY(w->frames != w->small_frames))
        enif_free(w->frames);
}

/* Restore entries. */

static bool put_entry(struct walk *w, uint64_t v)
{
    if (XE_UNLIKELY(w->restore_len + XE_TERM_VARINT_MAX > w->cap_restore)) {
        uint8_t *grown = xe_term_grow(w->restore, w->small_restore, w->restore_len,
                                      w->restore_len + XE_TERM_VARINT_MAX, 1, 0, &w->cap_restore);
        if (!grown)
            return fail(w->e, XE_TERM_NOMEM);
        w->restore = grown;
    }
    for (; v >= 0x80; v >>= 7)
        w->restore[w->restore_len++] = (uint8_t)(v | 0x80);
    w->restore[w->restore_len++] = (uint8_t)v;
    w->integers = 0;
    return true;
}

static bool restore_atom(struct walk *w, ERL_NIF_TERM atom)
{
    return put_entry(w, xe_key_atom_entry(atom));
}

static bool restore_float(struct walk *w, bool negative_zero)
{
    return put_entry(w, w->integers << 2 | (uint64_t)negative_zero << 1 | 1);
}

/* Numbers. */

static inline void put_be(struct xe_encoder *e, uint64_t v, unsigned size, uint64_t flip)
{
    for (v ^= flip; size > 0; size--)
        put_byte(e, v >> 8 * (size - 1));
}

static inline void put_fraction(struct xe_encoder *e, uint64_t fraction, uint64_t flip)
{
    unsigned groups = xe_key_groups(xe_key_fraction_bits(fraction));
    uint64_t word = __builtin_bswap64(xe_key_first_groups(fraction, groups) ^ flip);
    memcpy(e->bytes + e->len, &word, 8);
    if (XE_UNLIKELY(groups > 8)) {
        uint64_t rest = (fraction & 0xfe) | (groups > 9);
        e->bytes[e->len + 8] = (uint8_t)(rest ^ flip);
        e->bytes[e->len + 9] = (uint8_t)(fraction << 7 ^ flip);
    }
    e->len += groups;
}

/* The tag, and the exponent as far as the tag does not say it. Below KEY_EXPONENT_HUGE only. */
static inline void put_exponent(struct xe_encoder *e, int exponent, uint64_t flip)
{
    int x = exponent < 0 ? KEY_FRACTION : exponent <= 63 ? KEY_EXPONENT_0 + exponent : KEY_LARGE;
    put_byte(e, (uint64_t)(flip ? KEY_ZERO - x : KEY_ZERO + x));
    if (x == KEY_FRACTION)
        put_be(e, (uint64_t)(exponent + KEY_EXPONENT_BIAS), 2, flip);
    else if (x == KEY_LARGE)
        put_be(e, (uint64_t)exponent, 2, flip);
}

static inline bool put_integer(struct walk *w, bool negative, uint64_t magnitude)
{
    struct xe_encoder *e = w->e;
    if (!reserve(e, NUMBER_MAX))
        return false;
    if (magnitude == 0) {
        put_byte(e, KEY_ZERO);
        w->integers++;
        return true;
    }
    unsigned exponent = 63 - (unsigned)__builtin_clzll(magnitude);
    uint64_t fraction = exponent ? magnitude << (64 - exponent) : 0;
    uint64_t flip = negative ? UINT64_MAX : 0;
    put_exponent(e, (int)exponent, flip);
    put_fraction(e, fraction, flip);
    w->integers += key_fits_double(exponent, xe_key_fraction_bits(fraction));
    return true;
}

static inline bool put_small(struct walk *w, ErlNifSInt64 i)
{
    return put_integer(w, i < 0, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
}

static bool put_float(struct walk *w, uint64_t bits)
{
    struct xe_encoder *e = w->e;
    uint64_t flip = bits >> 63 ? UINT64_MAX : 0, fraction = bits << 12;
    int exponent = (int)(bits >> 52 & 0x7ff) - DOUBLE_EXPONENT_MAX;
    if (!charge(e, XE_COST_FLOAT) || !reserve(e, NUMBER_MAX))
        return false;
    if (bits << 1 == 0) {
        put_byte(e, KEY_ZERO);
        if (XE_UNLIKELY(flip) && xe_term_traits.zeros_equal)
            e->flags |= XE_REC_LOOSE;
        return restore_float(w, flip);
    }
    if (exponent < DOUBLE_EXPONENT_MIN) { /* subnormal: it has no leading 1 yet */
        int shift = __builtin_clzll(fraction) + 1;
        fraction = shift < 64 ? fraction << shift : 0;
        exponent = DOUBLE_EXPONENT_MIN - shift;
    }
    put_exponent(e, exponent, flip);
    put_fraction(e, fraction, flip);
    return !key_is_integral(exponent, xe_key_fraction_bits(fraction)) || restore_float(w, false);
}

/* A bignum; its magnitude is little-endian and has no leading zeros. */
struct big {
    const uint8_t *bytes;
    uint64_t exponent; /* the number of its highest bit */
    uint64_t flip;
};

/* Seven bits of it, the lowest of them bit `low`; those below bit 0 are 0. */
static unsigned big_bits(const struct big *b, int64_t low)
{
    if (low < 0)
        return (unsigned)b->bytes[0] << -low & 0x7f;
    const uint8_t *p = b->bytes + low / 8;
    unsigned next = (uint64_t)low / 8 < b->exponent / 8 ? p[1] : 0;
    return (p[0] | next << 8) >> low % 8 & 0x7f;
}

static bool put_big_fraction(struct walk *w, const struct big *b)
{
    struct xe_encoder *e = w->e;
    uint64_t lowest = 0;
    while (b->bytes[lowest] == 0)
        lowest++;
    lowest = lowest * 8 + (unsigned)__builtin_ctz(b->bytes[lowest]);
    uint64_t bits = b->exponent - lowest;
    unsigned groups = xe_key_groups(bits);
    if (!reserve(e, groups))
        return false;
    for (unsigned i = 1; i <= groups; i++) {
        unsigned group = big_bits(b, (int64_t)b->exponent - 7 * (int64_t)i);
        put_byte(e, (group << 1 | (i < groups)) ^ b->flip);
    }
    w->integers += key_fits_double((int64_t)b->exponent, bits);
    return true;
}

static bool put_big(struct walk *w, bool negative, const uint8_t *magnitude, size_t size)
{
    struct xe_encoder *e = w->e;
    if (size <= 8) {
        uint64_t u = 0;
        memcpy(&u, magnitude, size);
        return charge(e, xe_cost_big(8)) && put_integer(w, negative, u);
    }
    unsigned top = 31 - (unsigned)__builtin_clz(magnitude[size - 1]);
    struct big b = {magnitude, (uint64_t)(size - 1) * 8 + top, negative ? UINT64_MAX : 0};
    if (!reserve(e, NUMBER_MAX))
        return false;
    if (b.exponent < XE_KEY_EXPONENT_MAX) {
        put_exponent(e, (int)b.exponent, b.flip);
        return charge(e, xe_cost_big(size)) && put_big_fraction(w, &b);
    }
    put_exponent(e, KEY_EXPONENT_HUGE, b.flip);
    put_be(e, b.exponent, 4, b.flip);
    w->cut = true;
    return true;
}

/* An integer that is no immediate. */
static bool put_boxed_integer(struct walk *w, ERL_NIF_TERM t)
{
    struct xe_encoder *e = w->e;
    ErlNifSInt64 i;
    ErlNifUInt64 u;
    ErlNifBinary ext;
    const uint8_t *magnitude;
    bool negative;
    if (enif_get_int64(e->env, t, &i))
        return charge(e, xe_cost_big(8)) && put_small(w, i);
    if (enif_get_uint64(e->env, t, &u))
        return charge(e, xe_cost_big(8)) && put_integer(w, false, u);
    if (!xe_encoder_externalize(e, t, &ext))
        return false;
    size_t size = xe_term_inspect_big(&ext, &magnitude, &negative);
    bool ok = charge_work(e, size / 8) && put_big(w, negative, magnitude, size);
    enif_release_binary(&ext);
    return ok;
}

/* Other leaves. */

static bool put_atom(struct walk *w, ERL_NIF_TERM atom)
{
    struct xe_encoder *e = w->e;
    uint8_t room[XE_KEY_ATOM_MAX];
    size_t len;
    const uint8_t *bytes = xe_key_atom(e->env, atom, room, &len);
    if (!bytes)
        return fail(e, XE_TERM_NOMEM);
    if (!reserve(e, len))
        return false;
    put_bytes(e, bytes, len);
    return restore_atom(w, atom);
}

/* From the first one on, which is not there as a rule. */
static inline size_t count_zeros(const uint8_t *bytes, size_t size)
{
    const uint8_t *end = bytes + size, *p = memchr(bytes, 0, size);
    size_t zeros = 0;
    for (; p && p < end; p++)
        zeros += *p == 0;
    return zeros;
}

/* As many as may count. */
static bool put_escaped(struct xe_encoder *e, const uint8_t *bytes, size_t size)
{
    size_t room = e->len <= LIMIT ? LIMIT + 1 - e->len : 0;
    if (size > room)
        size = room;
    size_t zeros = count_zeros(bytes, size);
    if (!reserve(e, size + zeros + BITS_END))
        return false;
    if (XE_LIKELY(!zeros)) {
        put_bytes(e, bytes, size);
        return true;
    }
    for (size_t i = 0; i < size; i++) {
        put_byte(e, bytes[i]);
        if (bytes[i] == 0)
            put_byte(e, 0xff);
    }
    return true;
}

/* A bit string but for its tag; `last` bits (1-8) count of the last byte. */
static bool put_content(struct xe_encoder *e, const uint8_t *bytes, size_t size, unsigned last)
{
    if (!put_escaped(e, bytes, size) || !reserve(e, BITS_END))
        return false;
    put_byte(e, 0);
    put_byte(e, last);
    return true;
}

static inline bool put_tag_byte(struct xe_encoder *e, unsigned tag)
{
    if (!reserve(e, 1))
        return false;
    put_byte(e, tag);
    return true;
}

static bool put_binary(struct walk *w, const ErlNifBinary *bin)
{
    struct xe_encoder *e = w->e;
    return charge(e, xe_cost_binary(bin->size)) && put_tag_byte(e, KEY_BITS) &&
           put_content(e, bin->data, bin->size, 8);
}

static bool put_bit_string(struct xe_encoder *e, const uint8_t *bytes, size_t size, unsigned bits)
{
    uint8_t last = (uint8_t)(bytes[size - 1] & 0xff00 >> bits);
    return charge_work(e, size / 8) && charge(e, xe_cost_bits(size)) && put_tag_byte(e, KEY_BITS) &&
           put_escaped(e, bytes, size - 1) && put_content(e, &last, 1, bits);
}

/* A bit string that is no binary. erl_nif shows its contents in external format only. */
static bool put_bits(struct walk *w, ERL_NIF_TERM t)
{
    struct xe_encoder *e = w->e;
    ErlNifBinary ext;
    const uint8_t *bytes;
    uint8_t copy[XE_TERM_BIN_VALUE_MAX];
    struct xe_bits b;
    unsigned bits;
    if (xe_native_has(XE_NATIVE_BITS) && xe_native_bits(&xe_native, t, &b) &&
        b.size <= sizeof copy) {
        xe_bits_copy(&b, copy);
        return put_bit_string(e, copy, b.size, b.bits);
    }
    if (!xe_encoder_externalize(e, t, &ext))
        return false;
    size_t size = xe_term_inspect_bits(&ext, &bytes, &bits);
    bool ok = put_bit_string(e, bytes, size, bits);
    enif_release_binary(&ext);
    return ok;
}

/* A kind without an order form. */
static bool put_cut(struct walk *w, unsigned tag)
{
    w->cut = true;
    return put_tag_byte(w->e, tag);
}

/* The tag of a kind that is not known here: where it stands is asked. */
static unsigned tag_of_other(ErlNifEnv *env, ERL_NIF_TERM t)
{
    if (enif_compare(t, enif_make_tuple(env, 0)) < 0)
        return KEY_BELOW_TUPLES;
    return enif_compare(t, enif_make_new_map(env)) < 0 ? KEY_ABOVE_TUPLES : KEY_ABOVE_ALL;
}

static bool put_map(struct walk *w, ERL_NIF_TERM t)
{
    size_t size = 0;
    enif_get_map_size(w->e->env, t, &size);
    if (size == 0)
        return charge(w->e, xe_cost_map(0)) && put_tag_byte(w->e, KEY_MAP_EMPTY);
    if (!reserve(w->e, 5))
        return false;
    put_byte(w->e, KEY_MAP);
    put_be(w->e, size, 4, 0);
    w->cut = true;
    return true;
}

static __attribute__((noinline)) bool put_other(struct walk *w, ERL_NIF_TERM t)
{
    double d = 0;
    uint64_t bits;
    switch (enif_term_type(w->e->env, t)) {
    case ERL_NIF_TERM_TYPE_FLOAT:
        enif_get_double(w->e->env, t, &d);
        memcpy(&bits, &d, sizeof bits);
        return put_float(w, bits);
    case ERL_NIF_TERM_TYPE_INTEGER:
        return put_boxed_integer(w, t);
    case ERL_NIF_TERM_TYPE_BITSTRING:
        return put_bits(w, t);
    case ERL_NIF_TERM_TYPE_MAP:
        return put_map(w, t);
    case ERL_NIF_TERM_TYPE_REFERENCE:
        return put_cut(w, KEY_REFERENCE);
    case ERL_NIF_TERM_TYPE_FUN:
        return put_cut(w, KEY_FUN);
    case ERL_NIF_TERM_TYPE_PORT:
        return put_cut(w, KEY_PORT);
    case ERL_NIF_TERM_TYPE_PID:
        return put_cut(w, KEY_PID);
    default:
        return put_cut(w, tag_of_other(w->e->env, t));
    }
}

static inline bool put_immediate(struct walk *w, ERL_NIF_TERM t)
{
    ErlNifEnv *env = w->e->env;
    ErlNifSInt64 i;
    if (t == xe_term_traits.nil)
        return put_tag_byte(w->e, KEY_NIL);
    if ((t & 15) != xe_term_traits.small_tag && enif_is_atom(env, t))
        return put_atom(w, t);
    if (enif_get_int64(env, t, &i))
        return put_small(w, i);
    return enif_is_atom(env, t) ? put_atom(w, t) : put_other(w, t);
}

/* Containers. */

static bool grow_frames(struct walk *w)
{
    struct frame *frames = xe_term_grow(w->frames, w->small_frames, w->n_frames, w->n_frames + 1,
                                        sizeof *frames, 0, &w->cap_frames);
    if (!frames)
        return fail(w->e, XE_TERM_NOMEM);
    w->frames = frames;
    return true;
}

static inline bool push_frame(struct walk *w, struct frame f)
{
    if (XE_UNLIKELY(w->n_frames == w->cap_frames) && !grow_frames(w))
        return false;
    w->frames[w->n_frames++] = f;
    return true;
}

static inline ERL_NIF_TERM take(struct walk *w)
{
    struct frame *f = &w->frames[w->n_frames - 1];
    if (!f->next) {
        w->n_frames--;
        return f->tail;
    }
    w->n_frames -= --f->left == 0;
    return *f->next++;
}

/* The tag of a tuple, of which `n` elements are to be written. */
static inline bool put_tuple(struct walk *w, const ERL_NIF_TERM *elements, size_t n, size_t arity)
{
    struct xe_encoder *e = w->e;
    /* A larger one is cut. */
    if ((arity <= LIMIT && !charge(e, xe_cost_tuple(arity))) || !reserve(e, 5))
        return false;
    if (XE_LIKELY(arity < KEY_TUPLE_LARGE - KEY_TUPLE)) {
        put_byte(e, KEY_TUPLE + arity);
    } else {
        put_byte(e, KEY_TUPLE_LARGE);
        put_be(e, arity, 4, 0);
    }
    return n == 0 || push_frame(w, (struct frame){.next = elements, .left = n});
}

static inline bool put_cell(struct walk *w, ERL_NIF_TERM head, ERL_NIF_TERM tail)
{
    /* The head goes on top: it is taken at once. */
    return charge(w->e, XE_COST_CONS) && put_tag_byte(w->e, KEY_LIST) &&
           push_frame(w, (struct frame){.tail = tail}) &&
           push_frame(w, (struct frame){.tail = head});
}

/* The same of kinds that are native. False, with *known false: it is none of them. */
static inline bool put_native(struct walk *w, ERL_NIF_TERM t, bool *known)
{
    const struct xe_native *n = &xe_native;
    const uint64_t *at = xe_term_at(t);
    *known = true;
    if (xe_term_is_list_cell(t)) {
        if (xe_native_has(XE_NATIVE_LIST))
            return put_cell(w, at[0], at[1]);
    } else {
        uint64_t subtag = at[0] & XE_SUBTAG_MASK, arity = at[0] >> XE_ARITY_SHIFT;
        ErlNifBinary bin = {.data = (unsigned char *)(at + 2)};
        if (subtag == 0)
            return put_tuple(w, at + 1, arity, arity);
        if (xe_native_is_binary(at, &bin.size))
            return put_binary(w, &bin);
        if (at[0] == n->flonum && xe_native_has(XE_NATIVE_FLOAT))
            return put_float(w, at[1]);
        if ((subtag == n->positive || subtag == n->negative) && xe_native_has(XE_NATIVE_BIG)) {
            size_t size = 8 * arity - (size_t)__builtin_clzll(at[arity]) / 8;
            return charge_work(w->e, size / 8) &&
                   put_big(w, subtag == n->negative, (const uint8_t *)(at + 1), size);
        }
    }
    *known = false;
    return false;
}

static inline bool put_boxed(struct walk *w, ERL_NIF_TERM t)
{
    ErlNifEnv *env = w->e->env;
    const ERL_NIF_TERM *elements;
    ERL_NIF_TERM head, tail;
    ErlNifBinary bin;
    int arity;
    if (xe_native_has(XE_NATIVE_TUPLE)) {
        bool known, ok = put_native(w, t, &known);
        if (XE_LIKELY(known))
            return ok;
    }
    if ((t & 3) == xe_term_traits.list_tag && enif_get_list_cell(env, t, &head, &tail))
        return put_cell(w, head, tail);
    if (enif_get_tuple(env, t, &arity, &elements))
        return put_tuple(w, elements, (size_t)arity, (size_t)arity);
    if (enif_inspect_binary(env, t, &bin))
        return put_binary(w, &bin);
    return put_other(w, t);
}

static inline bool put_term(struct walk *w, ERL_NIF_TERM t)
{
    if (XE_UNLIKELY(w->e->len >= LIMIT)) {
        w->cut = true;
        return true;
    }
    return xe_term_is_immediate(t) ? put_immediate(w, t) : put_boxed(w, t);
}

/* Writes what the frames have left, and cuts what is too long. */
static bool put_rest(struct walk *w)
{
    while (w->n_frames && !w->cut)
        if (!put_term(w, take(w)))
            return false;
    if (XE_UNLIKELY(w->e->len > LIMIT)) {
        w->e->len = LIMIT;
        w->cut = true;
    }
    return true;
}

/* Keys. */

/* The end of a key that has its order bytes. */
static bool finish(struct walk *w, ERL_NIF_TERM key)
{
    struct xe_encoder *e = w->e;
    e->klen = e->len;
    if (XE_UNLIKELY(w->cut)) {
        e->words = 0; /* what was counted of it is not made of bytes */
        return xe_encoder_add_handle(e, key, 0);
    }
    if (w->restore_len == 0)
        return true;
    if (!reserve(e, w->restore_len))
        return false;
    put_bytes(e, w->restore, w->restore_len);
    return true;
}

enum xe_term_status xe_key_encode_any(struct xe_encoder *e, ERL_NIF_TERM key)
{
    struct walk w;
    walk_init(&w, e);
    if (put_term(&w, key) && put_rest(&w) && finish(&w, key))
        e->n_key_handles = e->n_handles;
    walk_clear(&w);
    return e->status;
}

enum xe_term_status xe_key_encode(struct xe_encoder *e, ERL_NIF_TERM key)
{
    struct xe_key short_key;
    struct xe_key_rest rest;
    if (!xe_key_short(e->env, key, &short_key, &rest))
        return xe_key_encode_any(e, key);
    if (charge(e, rest.heap)) {
        xe_key_short_put(&short_key, &rest, e->bytes);
        e->klen = short_key.klen;
        e->len = e->klen + rest.restore_len;
    }
    return e->status;
}

/* What a copy of the term takes is known only when all of it has been gone through, which
 * encoding it as a value does. */
bool xe_key_weigh(struct xe_encoder *e, ERL_NIF_TERM term, uint64_t *words, uint64_t *pinned)
{
    struct xe_encoder copy;
    xe_encoder_init(&copy, e->env, xe_encoder_left(e));
    bool ok = xe_term_encode_nodes(&copy, &term, 1) || fail(e, copy.status);
    *words = copy.words;
    *pinned = copy.pinned + 8 * copy.words;
    xe_encoder_clear(&copy);
    return ok;
}

static __attribute__((noinline)) enum xe_term_status weigh(struct xe_encoder *e)
{
    uint64_t words;
    if (xe_key_weigh(e, e->handles[0], &words, &e->pinned) && charge(e, words) &&
        reserve(e, XE_TERM_VARINT_MAX))
        put_varint(e, words);
    return e->status;
}

enum xe_term_status xe_key_encode_to_store(struct xe_encoder *e, ERL_NIF_TERM key)
{
    enum xe_term_status status = xe_key_encode(e, key);
    return XE_LIKELY(status != XE_TERM_OK || !e->n_handles) ? status : weigh(e);
}

/* Prefixes. */

/* The end of a prefix that was written unless `ok` is false; klen is still to be set if it is 0. */
static enum xe_term_status finish_prefix(struct walk *w, bool ok, bool *exact)
{
    struct xe_encoder *e = w->e;
    ok = ok && put_rest(w);
    *exact = ok && !w->cut;
    if (e->klen == 0 || e->klen > e->len)
        e->klen = e->len;
    walk_clear(w);
    return e->status;
}

enum xe_term_status xe_key_prefix_tuple(struct xe_encoder *e, const ERL_NIF_TERM *elements,
                                        size_t n, size_t arity, bool *exact)
{
    struct walk w;
    XE_ASSERT(n <= arity);
    walk_init(&w, e);
    return finish_prefix(&w, put_tuple(&w, elements, n, arity), exact);
}

enum xe_term_status xe_key_prefix_list(struct xe_encoder *e, ERL_NIF_TERM list, bool *exact)
{
    struct walk w;
    ERL_NIF_TERM head;
    bool ok = true, empty = list == xe_term_traits.nil;
    walk_init(&w, e);
    while (ok && !w.cut && enif_get_list_cell(e->env, list, &head, &list)) {
        w.cut = e->len >= LIMIT;
        ok = w.cut || (charge(e, XE_COST_CONS) && put_tag_byte(e, KEY_LIST) && put_term(&w, head) &&
                       put_rest(&w));
    }
    enum xe_term_status status = finish_prefix(&w, ok, exact);
    *exact = *exact && !empty;
    return status;
}

enum xe_term_status xe_key_prefix_binary(struct xe_encoder *e, const ErlNifBinary *bin, bool *exact)
{
    struct walk w;
    walk_init(&w, e);
    bool ok = put_binary(&w, bin);
    if (ok)
        e->klen = e->len - BITS_END;
    return finish_prefix(&w, ok, exact);
}

enum xe_term_status xe_key_prefix_open(struct xe_encoder *e, ERL_NIF_TERM key, ERL_NIF_TERM open,
                                       bool *exact)
{
    struct walk w;
    walk_init(&w, e);
    bool ok = put_term(&w, key);
    while (ok && w.n_frames && !w.cut) {
        ERL_NIF_TERM t = take(&w);
        if (t == open)
            w.n_frames = 0;
        else
            ok = put_term(&w, t);
    }
    return finish_prefix(&w, ok, exact);
}
