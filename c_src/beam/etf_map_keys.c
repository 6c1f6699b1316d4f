/*
 * etf_map_keys.c - the keys of maps, and in which order a map is gone through.
 *
 * That order is stored (term.h), and every release has its own: that of the terms, of the numbers
 * of atoms, of hashes. It depends on nothing but the keys. So it is learnt from a map that is made
 * of the keys in question, and remembered, together with what is stored of the keys, by their
 * external form: the maps of a table have a few sets of keys, written in the same order each time.
 *
 * Learning takes several times as long as making the map, so keys are learnt when they are met for
 * the second time: where each map has keys of its own nothing is gained.
 */
#include "etf_internal.h"

static inline uint64_t hash_of(const struct etf_key_list *l)
{
    uint64_t h = l->n;
    for (uint32_t i = 0; i < l->n; i++) {
        uint64_t head = 0, tail = 0;
        size_t size = l->sizes[i];
        if (size >= 8) {
            head = xe_load64(l->at[i]);
            tail = xe_load64(l->at[i] + size - 8);
        } else {
            memcpy(&head, l->at[i], size);
        }
        h = (h ^ head ^ (tail << 31 | tail >> 33) ^ size) * 0x9e3779b97f4a7c15;
        h ^= h >> 32;
    }
    return h;
}

static bool are_those(const struct etf_keys *k, const struct etf_key_list *l)
{
    const uint8_t *p = k->external;
    if (k->n != l->n)
        return false;
    for (uint32_t i = 0; i < l->n; p += k->sizes[i++])
        if (k->sizes[i] != l->sizes[i] || memcmp(p, l->at[i], k->sizes[i]) != 0)
            return false;
    return true;
}

static bool make_keys(struct xe_etf_reader *r, ErlNifEnv *env, const struct etf_key_list *l,
                      ERL_NIF_TERM *keys)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (etf_make_term(r, env, l->at[i], l->sizes[i], &keys[i]) != XE_ETF_OK)
            return false;
    return true;
}

/* Puts the keys in the order of their map. False: they are not distinct. */
static bool put_in_order(struct etf_keys *k, ErlNifEnv *env, ERL_NIF_TERM *keys, uint32_t n)
{
    ERL_NIF_TERM values[ETF_KEYS_MAX], map, value;
    ErlNifMapIterator it;
    unsigned index = 0;
    for (uint32_t i = 0; i < n; i++)
        values[i] = enif_make_uint(env, i);
    if (!enif_make_map_from_arrays(env, keys, values, n, &map) ||
        !enif_map_iterator_create(env, map, &it, ERL_NIF_MAP_ITERATOR_FIRST))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        enif_map_iterator_get_pair(env, &it, &keys[i], &value);
        enif_get_uint(env, value, &index);
        k->order[i] = (uint8_t)index;
        enif_map_iterator_next(env, &it);
    }
    enif_map_iterator_destroy(env, &it);
    return true;
}

/* What is stored of the keys. False: something of it is no bytes, or there are too many. */
static bool store_keys(struct etf_keys *k, struct xe_encoder *e, const ERL_NIF_TERM *keys,
                       uint32_t n)
{
    uint64_t any;
    k->width = are_immediates(keys, n, &any) ? xe_term_width(any) : 0;
    if (k->width ? !reserve(e, n * k->width) : !xe_term_encode_nodes(e, keys, n))
        return false;
    if (k->width)
        put_vector(e, keys, n, k->width);
    if (e->n_handles || e->flags || e->len > sizeof k->stored)
        return false;
    memcpy(k->stored, e->bytes, e->len);
    k->n_stored = (uint16_t)e->len;
    k->words = (uint32_t)e->words;
    return true;
}

static bool learn(struct etf_keys *k, struct xe_etf_reader *r, ErlNifEnv *env,
                  const struct etf_key_list *l)
{
    ERL_NIF_TERM keys[ETF_KEYS_MAX];
    struct xe_encoder e;
    uint8_t *p = k->external;
    if (!make_keys(r, env, l, keys) || !put_in_order(k, env, keys, l->n))
        return false;
    xe_encoder_init(&e, env, XE_TERM_NO_BUDGET);
    bool ok = store_keys(k, &e, keys, l->n);
    xe_encoder_clear(&e);
    for (uint32_t i = 0; i < l->n; p += l->sizes[i++]) {
        memcpy(p, l->at[i], l->sizes[i]);
        k->sizes[i] = (uint16_t)l->sizes[i];
    }
    return ok;
}

const struct etf_keys *etf_keys_of(struct xe_etf_reader *r, ErlNifEnv *env,
                                   const struct etf_key_list *l)
{
    uint64_t hash = hash_of(l);
    struct etf_keys *k = &r->keys[hash % ETF_KEY_LISTS];
    if (XE_LIKELY(are_those(k, l)))
        return k;
    bool is_second = k->missed == hash;
    k->missed = hash;
    if (!is_second || l->bytes > sizeof k->external)
        return NULL;
    k->n = 0;
    if (learn(k, r, env, l))
        k->n = l->n;
    return k->n ? k : NULL;
}
