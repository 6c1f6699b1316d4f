/*
 * key_atom.c - the order bytes of atoms.
 *
 * To get an atom's text takes longer than all the rest of a short key. So the order bytes of atoms
 * of up to 38 characters are remembered, in a table whose places are filled once and never change:
 * an atom lives as long as the VM. Each atom has two places; where others have taken them, the text
 * is got each time.
 */
#include "key_internal.h"

enum {
    LATIN1_MAX = 256, /* with the NUL */
    EXT_ATOM_UTF8 = 118,
    EXT_SMALL_ATOM_UTF8 = 119,
};

/* What a place says instead of an atom; no immediate's word is one of these. */
enum { EMPTY = 0, BEING_FILLED = 1 };

_Alignas(XE_CACHE_LINE) struct xe_key_atom xe_key_atoms[XE_KEY_ATOM_PAIRS][2];

static void fill(struct xe_key_atom *p, const uint8_t *bytes, size_t len, uint64_t entry)
{
    for (size_t i = 0; i < XE_KEY_ATOM_WORDS; i++)
        p->words[i] = xe_order_head(bytes, len, 8 * i);
    p->len = (uint8_t)len;
    p->restore = 0;
    p->restore_len = 0;
    for (; entry >= 0x80; entry >>= 7)
        p->restore |= (uint32_t)((entry & 0x7f) | 0x80) << 8 * p->restore_len++;
    p->restore |= (uint32_t)entry << 8 * p->restore_len++;
}

static void remember(ERL_NIF_TERM atom, const uint8_t *bytes, size_t len)
{
    struct xe_key_atom *p = xe_key_atom_places(atom);
    uint64_t entry = xe_key_atom_entry(atom);
    bool fits = len <= 8 * XE_KEY_ATOM_WORDS && entry < (uint64_t)1 << 4 * 7;
    for (int i = 0; fits && i < 2; i++, p++) {
        uint64_t found = EMPTY;
        /* Relaxed: who fills a place writes into memory that nobody reads before. */
        if (atomic_compare_exchange_strong_explicit(&p->atom, &found, BEING_FILLED,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            fill(p, bytes, len, entry);
            /* Pairs with the load-acquire in xe_key_atom_remembered(). */
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
    const struct xe_key_atom *p = xe_key_atom_remembered(atom);
    if (XE_UNLIKELY(!p))
        return write_atom(env, atom, room, len);
    for (int i = 0; i < XE_KEY_ATOM_WORDS; i++) {
        uint64_t bytes = __builtin_bswap64(p->words[i]);
        memcpy(room + 8 * i, &bytes, 8);
    }
    *len = p->len;
    return room;
}
