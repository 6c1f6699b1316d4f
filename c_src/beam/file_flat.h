/*
 * file_flat.h - objects of small integers only, between what is stored of them and the external term
 * format, without detours. They are what many large tables have most of.
 *
 *   external   104, arity, and for each element 97 and a byte, or 98 and four, the highest first
 *
 * What is written is what etf.h writes, and what is read is what it reads; integers of more than 32
 * bits, and all else, are left to it.
 */
#ifndef XE_FILE_FLAT_H
#define XE_FILE_FLAT_H

#include "call.h"
#include "etf.h"
#include "key_small.h"

enum {
    FLAT_TUPLE = 104,
    FLAT_BYTE = 97,
    FLAT_INTEGER = 98,
    FLAT_ELEMENT_MAX = 5,
    FLAT_SMALL_TAG = 15, /* the low bits of a small integer's word (xe_flat_is_usable()) */
    FLAT_SMALL_SHIFT = 4,
};

static inline uint64_t xe_flat_word(int64_t i)
{
    return (uint64_t)i << FLAT_SMALL_SHIFT | FLAT_SMALL_TAG;
}

/* Whether small integers are such words, and other immediates are not: else all is left to etf.h. */
static inline bool xe_flat_is_usable(ErlNifEnv *env)
{
    static const int samples[] = {0, 1, -1, 4711, INT32_MAX, INT32_MIN};
    ERL_NIF_TERM others[] = {xe_am.yes, enif_make_list(env, 0)};
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        if (enif_make_int(env, samples[i]) != xe_flat_word(samples[i]))
            return false;
    return (others[0] & FLAT_SMALL_TAG) != FLAT_SMALL_TAG &&
           (others[1] & FLAT_SMALL_TAG) != FLAT_SMALL_TAG;
}

/* Whether a word is that of a small integer of at most 32 bits. */
static inline bool xe_flat_is_int(uint64_t word, int64_t *out)
{
    *out = (int64_t)word >> FLAT_SMALL_SHIFT;
    return (word & FLAT_SMALL_TAG) == FLAT_SMALL_TAG && *out == (int32_t)*out;
}

/* --- Writing ------------------------------------------------------------ */

static inline uint8_t *xe_flat_put(uint8_t *to, int64_t i)
{
    if (0 <= i && i <= UINT8_MAX) {
        to[0] = FLAT_BYTE;
        to[1] = (uint8_t)i;
        return to + 2;
    }
    uint32_t big = __builtin_bswap32((uint32_t)i);
    to[0] = FLAT_INTEGER;
    memcpy(to + 1, &big, 4);
    return to + FLAT_ELEMENT_MAX;
}

/* A key of a table of that kind. */
static inline bool xe_flat_key(enum xe_kind kind, const uint8_t *key, size_t klen, int64_t *out)
{
    if (kind == XE_ORDERED)
        return xe_key_to_small(key, klen, out) && *out == (int32_t)*out;
    return key[0] >> 3 == XE_NODE_IMM &&
           xe_flat_is_int(xe_term_packed(key + 1, (unsigned)klen - 1), out);
}

/* An object of a flat body, behind what is in the writer, where there is room for it. False: it is
 * not of that kind. */
static inline bool xe_flat_write(struct xe_etf_writer *w, enum xe_kind kind, const uint8_t *key_at,
                                 size_t klen, const uint8_t *body, int keypos)
{
    int64_t i;
    if (!xe_etf_reserve(w, 2 + XE_TERM_FLAT_ARITY_MAX * FLAT_ELEMENT_MAX) ||
        !xe_flat_key(kind, key_at, klen, &i))
        return false;
    int arity = body[0] >> 3 & 15;
    unsigned width = (body[0] & 7) + 1;
    int64_t key = i;
    uint8_t *to = w->bytes + w->len;
    *to++ = FLAT_TUPLE;
    *to++ = (uint8_t)arity;
    body++;
    for (int pos = 1; pos <= arity; pos++) {
        if (pos == keypos) {
            i = key;
        } else {
            if (!xe_flat_is_int(xe_term_packed(body, width), &i))
                return false;
            body += width;
        }
        to = xe_flat_put(to, i);
    }
    w->len = (size_t)(to - w->bytes);
    return true;
}

/* The same of a record. */
static inline bool xe_flat_write_record(struct xe_etf_writer *w, enum xe_kind kind,
                                        const uint8_t *rec, int keypos)
{
    const uint8_t *body = xe_call_flat_body(rec);
    return body && xe_flat_write(w, kind, rec + XE_HDR_BYTES, xe_record_klen(xe_load32(rec)), body,
                                 keypos);
}

/* The same of a view, stored or on its way in. */
static inline bool xe_flat_write_view(struct xe_etf_writer *w, enum xe_kind kind,
                                      const struct xe_view *v, int keypos)
{
    return !v->n_handles && !(v->flags & XE_REC_RESTORE) && (v->body[0] & XE_TERM_BODY_FLAT) &&
           xe_flat_write(w, kind, v->key, v->klen, v->body, keypos);
}

/* --- Reading ------------------------------------------------------------ */

/* The words of an object's elements, and where it ends; NULL: it is not of that kind. */
static inline const uint8_t *xe_flat_read(const uint8_t *from, size_t size, uint64_t *words,
                                          int *arity)
{
    if (size < 2 + XE_TERM_FLAT_ARITY_MAX * FLAT_ELEMENT_MAX || from[0] != FLAT_TUPLE ||
        from[1] == 0 || from[1] > XE_TERM_FLAT_ARITY_MAX)
        return NULL;
    *arity = from[1];
    from += 2;
    for (int i = 0; i < *arity; i++) {
        int64_t value;
        if (from[0] == FLAT_BYTE) {
            value = from[1];
            from += 2;
        } else if (from[0] == FLAT_INTEGER) {
            uint32_t big;
            memcpy(&big, from + 1, 4);
            value = (int32_t)__builtin_bswap32(big);
            from += FLAT_ELEMENT_MAX;
        } else {
            return NULL;
        }
        words[i] = xe_flat_word(value);
    }
    return from;
}

/* The bytes that a record of such an object may take, and as many more as are written at once. */
enum { XE_FLAT_RECORD_MAX = XE_HDR_BYTES + 16 + 1 + 8 * XE_TERM_FLAT_ARITY_MAX + 8 };

/* Makes the record of an object of these words, and the hash of its key in a set. Returns the
 * record's size. */
static inline size_t xe_flat_record(uint8_t *rec, enum xe_kind kind, uint64_t seed,
                                    const uint64_t *words, int arity, int keypos, uint64_t *hash)
{
    uint64_t any = 0, word = words[keypos - 1], w0, w1;
    uint32_t klen;
    for (int i = 0; i < arity; i++)
        any |= i == keypos - 1 ? 0 : words[i];
    if (kind == XE_ORDERED) {
        klen = xe_key_small((int64_t)word >> FLAT_SMALL_SHIFT, &w0, &w1);
        w0 = __builtin_bswap64(w0);
        w1 = __builtin_bswap64(w1);
        *hash = 0;
    } else {
        unsigned width = xe_term_width(word);
        klen = 1 + width;
        w0 = word << 8 | (unsigned)XE_NODE_IMM << 3 | (width - 1);
        w1 = word >> 56;
        *hash = xe_key_hash_words(w0, w1, seed);
    }
    /* Each behind what the one before has written too much of. */
    memcpy(rec + XE_HDR_BYTES, &w0, 8);
    memcpy(rec + XE_HDR_BYTES + 8, &w1, 8);
    unsigned width = xe_term_width(any);
    uint8_t *p = rec + XE_HDR_BYTES + klen;
    *p++ = (uint8_t)(XE_TERM_BODY_FLAT | arity << 3 | (width - 1));
    for (int i = 0; i < arity; i++)
        if (i != keypos - 1) {
            memcpy(p, &words[i], 8);
            p += width;
        }
    uint32_t zero = 0, units = (uint32_t)(p - rec + XE_RECORD_ALIGN - 1) / XE_RECORD_ALIGN;
    uint32_t header = units | klen << XE_HDR_KLEN_SHIFT | (kind == XE_ORDERED ? XE_REC_ORDER : 0);
    memcpy(p, &zero, 4);
    memcpy(rec, &header, XE_HDR_BYTES);
    return (size_t)units * XE_RECORD_ALIGN;
}

#endif
