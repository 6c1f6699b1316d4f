/*
 * etf_walk.h - a walk over external terms that writes nodes (etf_read.c), for what begins one at a
 * key or at the elements of an object (etf_object.c).
 *
 * The bytes are not trusted: no size counts before what it tells of has been seen to be there, and
 * what is there in fewer bytes than its size says is no term.
 *
 * There are two ways to fail: with a status in the encoder, and without one, which means that the
 * object, or the key, has to be read by way of its term. That says then what was wrong, too.
 */
#ifndef XE_ETF_WALK_H
#define XE_ETF_WALK_H

#include "etf_internal.h"

enum {
    SMALL_FRAMES = 32,
    SMALL_VALUES = 64,
    BYTES_PER_WORD = 8, /* of terms that are made, for the budget */
    TUPLE_MAX = (1 << 24) - 1, /* elements: whether there are larger tuples, the release says */
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

static inline bool put_words(struct xe_encoder *e, const uint64_t *words, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (!put_word(e, words[i]))
            return false;
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
    return etf_find_atom(k->r, k->e->env, p, head, len, word) ? IMMEDIATE : ODD;
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

/* The terms in front of the next n that are immediates, into the reader's words: how many, and
 * their "or". */
bool etf_gather(struct walk *k, uint64_t n, uint64_t *count, uint64_t *any);

/* Nodes of the next n terms. */
bool etf_emit_terms(struct walk *k, uint64_t n);

#endif
