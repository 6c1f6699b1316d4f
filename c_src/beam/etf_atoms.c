/*
 * etf_atoms.c - atoms to their external form, and back.
 *
 * To get the text of an atom, or the atom of a text, takes longer than all the rest of a small
 * object. Writers share a table whose places are filled once and never change: an atom lives as
 * long as the VM. An atom has one place; where another has taken it, its form is got each time.
 * Each reader has a table of its own, and the last atom of a place has it.
 */
#include "etf_internal.h"

/* What a place says instead of an atom; no immediate's word is one of these. */
enum { EMPTY = 0, BEING_FILLED = 1 };

enum { ATOM_CHARACTERS_MAX = 255 };

_Alignas(XE_CACHE_LINE) struct etf_atom_form etf_atom_forms[ETF_ATOM_FORMS];

static void remember(ERL_NIF_TERM atom, const uint8_t *bytes, size_t len)
{
    struct etf_atom_form *f = etf_atom_form_of(atom);
    uint64_t found = EMPTY;
    /* Relaxed: who fills a place writes into memory that nobody reads before. */
    if (len > ETF_ATOM_CACHED ||
        !atomic_compare_exchange_strong_explicit(&f->atom, &found, BEING_FILLED,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    memcpy(f->bytes, bytes, len);
    f->len = (uint8_t)len;
    /* Pairs with the load-acquire in etf_put_immediate(). */
    atomic_store_explicit(&f->atom, atom, memory_order_release);
}

/* The form in UTF-8 out of that in Latin-1, of which this is the text. Returns its size. */
static size_t from_latin1(uint8_t *out, const uint8_t *text, size_t len)
{
    uint8_t *p = out + 3;
    for (size_t i = 0; i < len; i++) {
        if (text[i] >= 0x80)
            *p++ = (uint8_t)(0xc0 | text[i] >> 6);
        *p++ = text[i] < 0x80 ? text[i] : (uint8_t)(0x80 | (text[i] & 0x3f));
    }
    size_t size = (size_t)(p - out) - 3;
    if (size > UINT8_MAX) {
        out[0] = ETF_ATOM_UTF8;
        out[1] = (uint8_t)(size >> 8);
        out[2] = (uint8_t)size;
        return 3 + size;
    }
    out[0] = ETF_ATOM_UTF8_SMALL;
    out[1] = (uint8_t)size;
    memmove(out + 2, out + 3, size);
    return 2 + size;
}

/* The form of an atom, from what enif_term_to_binary() makes of it. Up to OTP 25 that is Latin-1
 * wherever it can be, which is not what later releases write. */
static size_t form_of(uint8_t *out, const ErlNifBinary *ext)
{
    const uint8_t *p = ext->data + 1;
    if (p[0] == ETF_ATOM)
        return from_latin1(out, p + 3, etf_load16(p + 1));
    if (p[0] == ETF_ATOM_SMALL)
        return from_latin1(out, p + 2, p[1]);
    XE_ASSERT(p[0] == ETF_ATOM_UTF8 || p[0] == ETF_ATOM_UTF8_SMALL);
    memcpy(out, p, ext->size - 1);
    return ext->size - 1;
}

bool etf_put_new_atom(struct xe_etf_writer *w, ERL_NIF_TERM atom)
{
    ErlNifBinary ext;
    if (!xe_etf_reserve(w, ETF_ATOM_BYTES_MAX) || !enif_term_to_binary(w->env, atom, &ext))
        return false;
    uint8_t *out = w->bytes + w->len;
    size_t len = form_of(out, &ext);
    enif_release_binary(&ext);
    remember(atom, out, len);
    w->len += len;
    return true;
}

/* Reading. */

static inline size_t place_of(const uint8_t *text, size_t len)
{
    uint64_t head = 0, tail = 0;
    memcpy(&head, text, len < 8 ? len : 8);
    if (len > 8)
        memcpy(&tail, text + len - 8, 8);
    uint64_t h = (head ^ (tail << 23 | tail >> 41) ^ len) * 0x9e3779b97f4a7c15;
    return (h ^ h >> 32) % ETF_ATOM_TEXTS;
}

static bool is_ascii(const uint8_t *text, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= text[i];
    return any < 0x80;
}

/* Of those that have something that is not ASCII erl_nif makes some in some releases only. */
static bool make_atom(struct xe_etf_reader *r, ErlNifEnv *env, const uint8_t *p, size_t head,
                      size_t len, bool ascii, ERL_NIF_TERM *out)
{
    const char *text = (const char *)p + head;
    if (!ascii || len > ATOM_CHARACTERS_MAX)
        return etf_make_term(r, env, p, head + len, out) == XE_ETF_OK;
    if (r->safe)
        return enif_make_existing_atom_len(env, text, len, out, ERL_NIF_LATIN1);
    *out = enif_make_atom_len(env, text, len);
    return true;
}

bool etf_find_atom(struct xe_etf_reader *r, ErlNifEnv *env, const uint8_t *p, size_t head,
                   size_t len, ERL_NIF_TERM *out)
{
    const uint8_t *text = p + head;
    bool latin1 = p[0] == ETF_ATOM || p[0] == ETF_ATOM_SMALL;
    /* The same bytes of Latin-1 may be another text in UTF-8. */
    if (XE_UNLIKELY(latin1) && !is_ascii(text, len))
        return make_atom(r, env, p, head, len, false, out);
    struct etf_atom_text *t = &r->texts[place_of(text, len)];
    if (XE_LIKELY(t->atom && t->len == len && memcmp(t->text, text, len) == 0)) {
        *out = t->atom;
        return true;
    }
    if (!make_atom(r, env, p, head, len, latin1 || is_ascii(text, len), out))
        return false;
    if (len <= ETF_ATOM_CACHED) {
        t->atom = *out;
        t->len = (uint8_t)len;
        memcpy(t->text, text, len);
    }
    return true;
}
