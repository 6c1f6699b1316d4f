/*
 * call_key.h - keys of calls: how a call opens the use of a table and gets the core's key of a
 * term.
 *
 * The kind of the table says how its keys are encoded, so the table has to be found first. An
 * immediate, or a short tuple of such, is the key of a hash table as two words, in registers: storing
 * bytes one by one and loading them as words again would cost as much as all the rest of a lookup.
 * Short keys of ordered tables are made as words, too (key_short.h). Any other key is encoded inside
 * of the section if that is soon done, else outside, and the table is looked for once more.
 *
 *     struct xe_use use;
 *     struct xe_encoder e;
 *     struct xe_key key;
 *     result = xe_call_open(env, table, XE_NEED_READ, term, budget, &use, &e);
 *     if (result == XE_CALL_OK) {
 *         xe_call_key(&key, use.table, term, &e);
 *         ...
 *         xe_call_close(&use, term, &e);
 *     }
 */
#ifndef XE_CALL_KEY_H
#define XE_CALL_KEY_H

#include "../core/order.h"
#include "call.h"
#include "key.h"
#include "key_short.h"
#include "term_native.h"

/* Words of a key that are encoded inside of a section. */
enum { XE_CALL_SECTION_WORDS = 4096 };

/* The key bytes of an immediate in a hash table, as two words. */
static inline uint64_t xe_call_word0(ERL_NIF_TERM term, unsigned width)
{
    return term << 8 | (unsigned)XE_NODE_IMM << 3 | (width - 1);
}

static inline uint64_t xe_call_word1(ERL_NIF_TERM term)
{
    return term >> 56;
}

/* The same of a tuple of immediates. Returns how many bytes of the words are the key's; 0: it is
 * none, or has more. */
static inline unsigned xe_call_tuple_words(ERL_NIF_TERM term, uint64_t *w0, uint64_t *w1)
{
    enum { HEAD = 2 }; /* the tag, and a byte for the arity */
    if (!xe_native_has(XE_NATIVE_TUPLE) || !xe_term_is_boxed(term))
        return 0;
    const uint64_t *at = xe_term_at(term);
    uint64_t arity = at[0] >> XE_ARITY_SHIFT, any = 0, all = 3;
    if ((at[0] & XE_SUBTAG_MASK) != 0 || arity == 0 || arity > XE_KEY_SHORT - HEAD)
        return 0;
    for (uint64_t i = 1; i <= arity; i++) {
        any |= at[i];
        all &= at[i];
    }
    unsigned width = xe_term_width(any);
    if (all != 3 || HEAD + arity * width > XE_KEY_SHORT)
        return 0;
    unsigned __int128 words = (unsigned)XE_NODE_TUPLE_IMM << 3 | (width - 1) | arity << 8;
    for (uint64_t i = 1, shift = 8 * HEAD; i <= arity; i++, shift += 8 * width)
        words |= (unsigned __int128)at[i] << shift;
    *w0 = (uint64_t)words;
    *w1 = (uint64_t)(words >> 64);
    return (unsigned)(HEAD + arity * width);
}

/* Whether a key is not encoded, because its words are made when they are needed. */
static inline bool xe_call_key_is_words(enum xe_kind kind, ERL_NIF_TERM term)
{
    return XE_LIKELY(xe_term_is_immediate(term)) && XE_LIKELY(kind != XE_ORDERED);
}

/* An encoder that is used for nothing but a key: the bytes at its beginning. */
static inline void xe_call_encoder_of(struct xe_encoder *e, size_t len)
{
    e->bytes = e->small;
    e->len = e->klen = len;
    e->handles = e->small_handles;
    e->n_handles = e->n_key_handles = 0;
    e->words = e->pinned = 0;
    e->neg_zero = false;
}

/* The same for one that is two words. */
static inline void xe_call_encode_words(struct xe_encoder *e, uint64_t w0, uint64_t w1, unsigned len)
{
    xe_call_encoder_of(e, len);
    memcpy(e->small, &w0, 8);
    memcpy(e->small + 8, &w1, 8);
}

/* The same with a short key of an ordered table, which gets its bytes. */
static inline void xe_call_encode_short(struct xe_encoder *e, struct xe_key *key,
                                        const struct xe_key_rest *rest)
{
    xe_call_encoder_of(e, key->klen);
    e->len += rest->restore_len;
    e->words = rest->heap;
    xe_key_short_put(key, rest, e->small);
}

/* Ends the use of an encoder with a key. */
static inline void xe_call_key_end(struct xe_encoder *e, enum xe_kind kind, ERL_NIF_TERM term)
{
    if (!xe_call_key_is_words(kind, term) &&
        XE_UNLIKELY(e->bytes != e->small || e->handles != e->small_handles))
        xe_encoder_clear(e);
}

/* Whether a cut key, which is compared as a term, is soon compared. */
bool xe_call_is_light(struct xe_encoder *e);

/* Encodes a key for a kind of tables. `brief`: XE_CALL_BUDGET also where its size cannot be told
 * before all of it is looked at. XE_CALL_OK: to be ended by xe_call_key_end(). */
static inline enum xe_result xe_call_encode_key(struct xe_encoder *e, ErlNifEnv *env,
                                                enum xe_kind kind, ERL_NIF_TERM term,
                                                uint64_t budget, bool brief)
{
    struct xe_key_rest rest;
    struct xe_key key;
    uint64_t w0, w1;
    unsigned len;
    if (xe_call_key_is_words(kind, term))
        return XE_CALL_OK;
    if (XE_LIKELY(kind != XE_ORDERED)) {
        const uint8_t *end;
        if ((len = xe_call_tuple_words(term, &w0, &w1)) > 0) {
            xe_call_encode_words(e, w0, w1, len);
            return XE_CALL_OK;
        }
        if ((end = xe_native_small_binary(e->small, term))) {
            xe_call_encoder_of(e, (size_t)(end - e->small));
            return XE_CALL_OK;
        }
    }
    if (XE_UNLIKELY(kind == XE_ORDERED) && xe_key_short(env, term, &key, &rest)) {
        xe_call_encode_short(e, &key, &rest);
        return XE_CALL_OK;
    }
    xe_encoder_init(e, env, budget);
    e->brief = brief;
    enum xe_term_status status = XE_LIKELY(kind != XE_ORDERED) ? xe_term_encode_boxed_key(e, term)
                                                               : xe_key_encode(e, term);
    if (XE_UNLIKELY(kind == XE_ORDERED && e->n_handles) && status == XE_TERM_OK &&
        budget != XE_TERM_NO_BUDGET && !xe_call_is_light(e))
        status = XE_TERM_BUDGET;
    if (XE_LIKELY(status == XE_TERM_OK))
        return XE_CALL_OK;
    xe_encoder_clear(e);
    return xe_call_of_term(status);
}

/* The rest of xe_call_open(), for a key that is not soon encoded. */
enum xe_result xe_call_open_again(ErlNifEnv *env, ERL_NIF_TERM table, enum xe_need need,
                                  ERL_NIF_TERM term, uint64_t budget, struct xe_use *use,
                                  struct xe_encoder *e);

/* Encodes a key for the table that is used. XE_CALL_OK: to be ended by xe_call_close(); else the
 * use has ended. */
static inline __attribute__((always_inline)) enum xe_result
xe_call_open_key(ErlNifEnv *env, ERL_NIF_TERM table, enum xe_need need, ERL_NIF_TERM term,
                 uint64_t budget, struct xe_use *use, struct xe_encoder *e)
{
    uint64_t words = budget < XE_CALL_SECTION_WORDS ? budget : XE_CALL_SECTION_WORDS;
    enum xe_result result = xe_call_encode_key(e, env, use->table->kind, term, words, true);
    if (XE_LIKELY(result == XE_CALL_OK))
        return XE_CALL_OK;
    if (result == XE_CALL_BUDGET)
        return xe_call_open_again(env, table, need, term, budget, use, e);
    xe_use_end(use);
    return result;
}

/* Opens the use of a table, and encodes a key for it. Ends as xe_call_open_key(). */
static inline __attribute__((always_inline)) enum xe_result
xe_call_open(ErlNifEnv *env, ERL_NIF_TERM table, enum xe_need need, ERL_NIF_TERM term,
             uint64_t budget, struct xe_use *use, struct xe_encoder *e)
{
    if (XE_UNLIKELY(!xe_use_begin(env, table, need, use)))
        return XE_CALL_BADARG;
    return xe_call_open_key(env, table, need, term, budget, use, e);
}

static inline void xe_call_close(struct xe_use *use, ERL_NIF_TERM term, struct xe_encoder *e)
{
    /* The table may be gone behind the section. */
    enum xe_kind kind = use->table->kind;
    xe_use_end(use);
    xe_call_key_end(e, kind, term);
}

/* The core's key of a term that is encoded. */
static inline void xe_call_key(struct xe_key *key, const struct xe_owned *t, ERL_NIF_TERM term,
                               const struct xe_encoder *e)
{
    if (XE_UNLIKELY(t->kind == XE_ORDERED)) {
        xe_key_init_order(key, e->bytes, e->klen, e->handles, e->n_key_handles);
    } else if (XE_LIKELY(xe_term_is_immediate(term))) {
        unsigned width = xe_term_width(term);
        xe_key_init_words(key, t->seed, xe_call_word0(term, width), xe_call_word1(term),
                          (const uint8_t *)key->words, 1 + width);
    } else {
        xe_key_init(key, t->seed, e->bytes, e->klen, e->handles, e->n_key_handles);
    }
}

/* The core's key of an encoded object. */
static inline void xe_call_object_key(struct xe_key *key, const struct xe_owned *t,
                                      const struct xe_object *o)
{
    if (XE_UNLIKELY(t->kind == XE_ORDERED))
        xe_key_init_order(key, o->bytes, o->klen, o->handles, o->n_key_handles);
    else
        xe_key_init(key, t->seed, o->bytes, o->klen, o->handles, o->n_key_handles);
}

/* The key term, for decoding an object of a hash table that has it to reuse; 0: the stored one may
 * differ by the sign of a zero, or have a process alias for a reference. */
static inline ERL_NIF_TERM xe_call_reusable_key(ERL_NIF_TERM term, const struct xe_encoder *e)
{
    return xe_term_is_immediate(term) ? term : xe_term_reusable_key(e, term);
}

/* The same for an object of any table; 0: the stored key is, or may be, another term that is
 * equal. */
static inline ERL_NIF_TERM xe_call_key_of(const struct xe_view *view, ERL_NIF_TERM term,
                                          const struct xe_encoder *e)
{
    if (XE_UNLIKELY(view->flags & XE_REC_ORDER))
        return xe_term_is_key_of(e, view) ? term : 0;
    return xe_call_reusable_key(term, e);
}

/* The same for an object that xe_call_plain_body() has a body of: nothing restores its key. */
static inline ERL_NIF_TERM xe_call_key_of_plain(enum xe_kind kind, ERL_NIF_TERM term,
                                                const struct xe_encoder *e)
{
    if (XE_UNLIKELY(kind == XE_ORDERED))
        return e->len == e->klen ? term : 0;
    return xe_call_reusable_key(term, e);
}

/* Prepares an encoded object with this key term for the core. */
static inline enum xe_status xe_call_prepare(const struct xe_owned *t, const struct xe_object *o,
                                             ERL_NIF_TERM key, struct xe_prepared *p)
{
    if (XE_LIKELY(xe_term_is_immediate(key) && t->kind == XE_SET) &&
        XE_LIKELY(xe_record_fits_inline(o))) {
        xe_call_key(&p->key, t, key, NULL);
        xe_record_prepare_inline(o, p);
        return XE_OK;
    }
    return xe_table_prepare(t->core, o, p);
}

#endif
