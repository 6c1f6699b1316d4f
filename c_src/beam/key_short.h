/*
 * key_short.h - short keys of ordered tables: order bytes and restore bytes (key.h) made in
 * registers.
 *
 * Most keys are small integers, atoms, binaries of some twenty bytes, or tuples of these. Their
 * order bytes fit the XE_ORDER_WORDS words by which the core looks for them, the first byte of
 * each word highest. Bytes that are stored one by one, by steps that each look what comes next, and
 * then loaded as words again, cost more than the search.
 *
 * Short are, if they have up to XE_ORDER_SHORT order bytes and eight restore bytes:
 *
 *   - small integers (key_small.h) and [],
 *   - atoms whose order bytes are remembered (key_atom.c),
 *   - binaries on the heap without a byte 00, which would have to be escaped,
 *   - tuples of these.
 */
#ifndef XE_KEY_SHORT_H
#define XE_KEY_SHORT_H

#include "../core/order.h"
#include "key_small.h"
#include "term_internal.h"
#include "term_native.h"

enum { XE_KEY_SHORT_RESTORE = 8 };

/* What a short key has beside its order bytes. */
struct xe_key_rest {
    uint64_t restore; /* restore bytes, the first one lowest */
    uint32_t restore_len;
    uint32_t heap; /* words that the term takes */
};

/* xe_key_short() for any term but a small integer. */
bool xe_key_short_other(ERL_NIF_TERM term, struct xe_key *key, struct xe_key_rest *rest);

/* The words of a short key, and their length (klen); what else a key has comes with its bytes. False:
 * it is not short. O(1). */
static inline __attribute__((always_inline)) bool
xe_key_short(ErlNifEnv *env, ERL_NIF_TERM term, struct xe_key *key, struct xe_key_rest *rest)
{
    ErlNifSInt64 i = 0;
    if (!xe_term_get_small(env, term, &i))
        return xe_key_short_other(term, key, rest);
    key->klen = xe_key_small(i, &key->words[0], &key->words[1]);
    key->words[2] = key->words[3] = key->words[4] = 0;
    *rest = (struct xe_key_rest){0};
    return true;
}

/* Gives a short key its bytes, and writes behind them its restore bytes: XE_ORDER_SHORT and
 * XE_KEY_SHORT_RESTORE bytes from `to` on are written over. */
static inline void xe_key_short_put(struct xe_key *key, const struct xe_key_rest *rest, uint8_t *to)
{
    xe_key_set_order(key, to, key->klen, NULL, 0);
    key->hash = key->words[0];
    for (int i = 0; i < XE_ORDER_WORDS; i++) {
        uint64_t bytes = __builtin_bswap64(key->words[i]);
        memcpy(to + 8 * i, &bytes, 8);
    }
    memcpy(to + key->klen, &rest->restore, XE_KEY_SHORT_RESTORE);
}

#endif
