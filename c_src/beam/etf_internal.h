/*
 * etf_internal.h - what writing and reading of the external term format share.
 */
#ifndef XE_ETF_INTERNAL_H
#define XE_ETF_INTERNAL_H

#include "etf.h"
#include "term_internal.h"

/* Tags. Those of nodes, ports, pids and references come in a form for each time that they grew. */
enum {
    ETF_FLOAT_NEW = 70,
    ETF_BITS = 77,
    ETF_PID_NEW = 88,
    ETF_PORT_NEW = 89,
    ETF_REFERENCE_NEWER = 90,
    ETF_INT8 = 97,
    ETF_INT32 = 98,
    ETF_FLOAT = 99,
    ETF_ATOM = 100, /* Latin-1, as ETF_ATOM_SMALL */
    ETF_REFERENCE = 101,
    ETF_PORT = 102,
    ETF_PID = 103,
    ETF_TUPLE_SMALL = 104,
    ETF_TUPLE = 105,
    ETF_NIL = 106,
    ETF_STRING = 107,
    ETF_LIST = 108,
    ETF_BINARY = 109,
    ETF_BIG_SMALL = 110,
    ETF_BIG = 111,
    ETF_FUN = 112,
    ETF_EXPORT = 113,
    ETF_REFERENCE_NEW = 114,
    ETF_ATOM_SMALL = 115,
    ETF_MAP = 116,
    ETF_ATOM_UTF8 = 118,
    ETF_ATOM_UTF8_SMALL = 119,
    ETF_PORT_V4 = 120,
};

enum {
    ETF_HEAD_MAX = 6, /* bytes of a tag, a size and a byte more */
    ETF_ATOM_BYTES_MAX = 3 + 255 * 4,
    ETF_ATOM_CACHED = 55, /* bytes of a form, or of a text, that are remembered */
    ETF_KEYS_MAX = 32,    /* keys of a map that are remembered */
};

static inline uint32_t etf_load16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t etf_load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __builtin_bswap32(v);
}

static inline void etf_store32(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

/* Writing atoms. The words of atoms to their forms, for all writers of the process. */
struct etf_atom_form {
    _Atomic uint64_t atom;
    uint8_t len;
    uint8_t bytes[ETF_ATOM_CACHED];
};

enum { ETF_ATOM_FORMS = 1024 };

extern struct etf_atom_form etf_atom_forms[ETF_ATOM_FORMS];

static inline struct etf_atom_form *etf_atom_form_of(ERL_NIF_TERM atom)
{
    return &etf_atom_forms[atom * 0x9e3779b97f4a7c15 >> 54];
}

_Static_assert(ETF_ATOM_FORMS == 1 << (64 - 54), "the hash has as many bits as there are places");
_Static_assert(sizeof(struct etf_atom_form) == XE_CACHE_LINE, "a place is a cache line");

/* The form of an atom that is not remembered, which it is then if it is short. False: out of
 * memory. */
bool etf_put_new_atom(struct xe_etf_writer *w, ERL_NIF_TERM atom);

/* For the integers, floats and binaries of all writers: room has been seen to. */
static inline void etf_put_byte(struct xe_etf_writer *w, unsigned byte)
{
    w->bytes[w->len++] = (uint8_t)byte;
}

static inline void etf_put_head(struct xe_etf_writer *w, unsigned tag, uint32_t size)
{
    w->bytes[w->len] = (uint8_t)tag;
    etf_store32(w->bytes + w->len + 1, size);
    w->len += 5;
}

/* Writing: a word of an immediate; a term that may be anything, its size taken off *budget. */
enum xe_etf_status etf_put_immediate(struct xe_etf_writer *w, ERL_NIF_TERM word);
enum xe_etf_status etf_put_term(struct xe_etf_writer *w, ERL_NIF_TERM term, uint64_t *budget);
enum xe_etf_status etf_put_binary(struct xe_etf_writer *w, const uint8_t *bytes, size_t size);
bool etf_put_integer(struct xe_etf_writer *w, int64_t i);

/* A key of an ordered table. *made: a term has been made for it, in the writer's environment. */
struct xe_order_key;
enum xe_etf_status etf_put_order_key(struct xe_etf_writer *w, const struct xe_order_key *key,
                                     uint64_t *budget, bool *made);

/* What a reader remembers: atoms by their texts in UTF-8, ... */
struct etf_atom_text {
    uint64_t atom; /* 0: a place that is free */
    uint8_t len;
    uint8_t text[ETF_ATOM_CACHED];
};

/* ... and the keys of maps. */
struct etf_keys {
    uint64_t missed;   /* the hash of the last ones that were looked for and are not these */
    uint32_t n;        /* 0: a place that is free */
    uint32_t words;    /* what decoding them takes */
    uint16_t n_stored; /* bytes */
    uint8_t width;     /* what is stored is packed; 0: nodes */
    uint8_t order[ETF_KEYS_MAX]; /* the first key of the map is that of this number */
    uint16_t sizes[ETF_KEYS_MAX];
    uint8_t external[320]; /* one after the other */
    uint8_t stored[320];
};

/* Keys as they are met. */
struct etf_key_list {
    uint32_t n;
    uint64_t bytes; /* the sum of the sizes */
    size_t sizes[ETF_KEYS_MAX];
    const uint8_t *at[ETF_KEYS_MAX];
};

enum { ETF_ATOM_TEXTS = 256, ETF_KEY_LISTS = 64 };

struct xe_etf_reader {
    bool safe;
    uint8_t *scratch; /* bytes of terms that are made */
    size_t cap_scratch;
    uint64_t *words; /* elements of a container that may be packed */
    size_t cap_words;
    struct etf_atom_text texts[ETF_ATOM_TEXTS];
    struct etf_keys keys[ETF_KEY_LISTS];
};

/* The atom of the form at p, whose text of `len` bytes is behind `head`. False: it is none, or,
 * where it is `safe`, not yet. */
bool etf_find_atom(struct xe_etf_reader *r, ErlNifEnv *env, const uint8_t *p, size_t head,
                   size_t len, ERL_NIF_TERM *out);

/* These keys, 1 to ETF_KEYS_MAX. They stay what they are until the next call. NULL: they are not
 * known, or are none that a map has; then the map is to be made. */
const struct etf_keys *etf_keys_of(struct xe_etf_reader *r, ErlNifEnv *env,
                                   const struct etf_key_list *l);

/* The term at the beginning of bytes[0..size), of exactly that size. */
enum xe_etf_status etf_make_term(struct xe_etf_reader *r, ErlNifEnv *env, const uint8_t *bytes,
                                 size_t size, ERL_NIF_TERM *out);

#endif
