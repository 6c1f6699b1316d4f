/*
 * key_atom.c - the order bytes of atoms.
 *
 * To get an atom's text takes longer than all the rest of a short key. So the order bytes of short
 * atoms are remembered, in a table whose places are filled once and never change: an atom lives as
 * long as the VM. Each atom has two places, in one cache line; where others have taken them, the
 * text is got each time.
 */
#include "key_internal.h"

enum {
    CACHE_LINES = 512,
    CACHED_BYTES = 23,
    LATIN1_MAX = 256, /* with the NUL */
    EXT_ATOM_UTF8 = 118,
    EXT_SMALL_ATOM_UTF8 = 119,
};

/* What a place says instead of an atom; no immediate's word is one of these. */
enum { EMPTY = 0, BEING_FILLED = 1 };

struct place {
    _Atomic uint64_t atom;
    uint8_t len;
    uint8_t bytes[CACHED_BYTES];
};

_Static_assert(2 * sizeof(struct place) == XE_CACHE_LINE, "both places are in one cache line");

static _Alignas(XE_CACHE_LINE) struct place cache[CACHE_LINES][2];

static inline struct place *places_of(ERL_NIF_TERM atom)
{
    return cache[atom * 0x9e3779b97f4a7c15 >> 55];
}

_Static_assert(CACHE_LINES == 1 << (64 - 55), "the hash has as many bits as there are lines");

static void remember(ERL_NIF_TERM atom, const uint8_t *bytes, size_t len)
{
    struct place *p = places_of(atom);
    for (int i = 0; len <= CACHED_BYTES && i < 2; i++, p++) {
        uint64_t found = EMPTY;
        /* Relaxed: who fills a place writes into memory that nobody reads before. */
        if (atomic_compare_exchange_strong_explicit(&p->atom, &found, BEING_FILLED,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            memcpy(p->bytes, bytes, len);
            p->len = (uint8_t)len;
            /* Pairs with the load-acquire in xe_key_atom(). */
            atomic_store_explicit(&p->atom, atom, memory_order_release);
            return;
        }
        if (found == atom)
            return;
    }
}

/* A character of UTF-8, escaped; where the next one goes. */
static inline uint8_t *put_escaped(uint8_t *out, uint8_t byte)
{
    if (XE_UNLIKELY(byte <= 1)) {
        *out++ = 1;
        byte++;
    }
    *out++ = byte;
    return out;
}

static uint8_t *put_latin1(uint8_t *out, const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x80) {
            out = put_escaped(out, text[i]);
        } else {
            *out++ = (uint8_t)(0xc0 | text[i] >> 6);
            *out++ = (uint8_t)(0x80 | (text[i] & 0x3f));
        }
    }
    return out;
}

/* enif_get_atom() up to OTP 25 knows Latin-1 only; any text is in the external format. */
static uint8_t *put_other(ErlNifEnv *env, ERL_NIF_TERM atom, uint8_t *out)
{
    ErlNifBinary ext;
    if (!enif_term_to_binary(env, atom, &ext))
        return NULL;
    XE_ASSERT(ext.data[1] == EXT_ATOM_UTF8 || ext.data[1] == EXT_SMALL_ATOM_UTF8);
    for (size_t i = ext.data[1] == EXT_ATOM_UTF8 ? 4 : 3; i < ext.size; i++)
        out = put_escaped(out, ext.data[i]);
    enif_release_binary(&ext);
    return out;
}

static __attribute__((noinline)) const uint8_t *write_atom(ErlNifEnv *env, ERL_NIF_TERM atom,
                                                           uint8_t *room, size_t *len)
{
    char latin1[LATIN1_MAX];
    uint8_t *p = room;
    *p++ = KEY_ATOM;
    int size = enif_get_atom(env, atom, latin1, sizeof latin1, ERL_NIF_LATIN1);
    p = size > 0 ? put_latin1(p, (const uint8_t *)latin1, (size_t)size - 1)
                 : put_other(env, atom, p);
    if (!p)
        return NULL;
    *p++ = 0;
    *len = (size_t)(p - room);
    XE_ASSERT(*len <= XE_KEY_ATOM_MAX);
    remember(atom, room, *len);
    return room;
}

const uint8_t *xe_key_atom(ErlNifEnv *env, ERL_NIF_TERM atom, uint8_t *room, size_t *len)
{
    const struct place *p = places_of(atom);
    for (int i = 0; i < 2; i++, p++) {
        /* Pairs with the store-release in remember(). */
        if (XE_LIKELY(atomic_load_explicit(&p->atom, memory_order_acquire) == atom)) {
            *len = p->len;
            return p->bytes;
        }
    }
    return write_atom(env, atom, room, len);
}
