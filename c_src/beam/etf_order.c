/*
 * etf_order.c - in which order a map is gone through, told by its keys.
 *
 * That order is stored (term.h), and every release has its own: that of the terms, of the numbers
 * of atoms, of hashes. It depends on nothing but the keys. So it is learnt from a map that is made
 * once of the keys in question, and remembered by them: the objects of a table have a few sets of
 * keys, written in the same order each time.
 */
#include "etf_internal.h"

static struct etf_order *place_of(struct xe_etf_reader *r, const uint64_t *keys, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++)
        h = (h ^ keys[i]) * 0x9e3779b97f4a7c15;
    return &r->orders[(h ^ h >> 32) % ETF_ORDERS];
}

/* The order of a map from keys to where they stand among them. False: they are not distinct. */
static bool learn(struct etf_order *o, ErlNifEnv *env, const uint64_t *keys, uint32_t n)
{
    ERL_NIF_TERM values[ETF_ORDER_KEYS_MAX], map, key, value;
    ErlNifMapIterator it;
    unsigned index;
    memcpy(o->keys, keys, n * sizeof *keys);
    for (uint32_t i = 0; i < n; i++)
        values[i] = enif_make_uint(env, i);
    if (!enif_make_map_from_arrays(env, (ERL_NIF_TERM *)o->keys, values, n, &map) ||
        !enif_map_iterator_create(env, map, &it, ERL_NIF_MAP_ITERATOR_FIRST))
        return false;
    uint32_t i = 0;
    for (; i < n && enif_map_iterator_get_pair(env, &it, &key, &value); i++) {
        enif_get_uint(env, value, &index);
        o->at[i] = (uint8_t)index;
        enif_map_iterator_next(env, &it);
    }
    enif_map_iterator_destroy(env, &it);
    return i == n;
}

const struct etf_order *etf_order_of(struct xe_etf_reader *r, ErlNifEnv *env, const uint64_t *keys,
                                     uint32_t n)
{
    struct etf_order *o = place_of(r, keys, n);
    if (XE_LIKELY(o->n == n && memcmp(o->keys, keys, n * sizeof *keys) == 0))
        return o;
    o->n = learn(o, env, keys, n) ? n : 0;
    return o->n ? o : NULL;
}
