/*
 * bag_hash.c - how objects of bags are hashed and numbered. bag.c draws the hash.
 */
#include "order.h"
#include "shared.h"
#include "table_internal.h"

/* Bits to tell equal objects apart. Any will do; a counter spreads best. */
static uint32_t next_spread(void)
{
    static _Thread_local uint32_t n;
    return n++ * 0x9e3779b1u >> 20;
}

static uint64_t mix(uint64_t identity, uint64_t seed)
{
    uint64_t x = (identity ^ seed) * 0x9e3779b97f4a7c15ull;
    return (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
}

enum xe_status xe_table_prepare(const struct xe_table *t, const struct xe_object *o,
                                struct xe_prepared *p)
{
    if (t->kind == XE_ORDERED) {
        xe_key_init_order(&p->key, o->bytes, o->klen, o->handles, o->n_key_handles);
        return xe_record_prepare_keyed(o, p);
    }
    enum xe_status status = xe_record_prepare(t->seed, o, p);
    if (t->kind == XE_SET || status != XE_OK)
        return status;
    uint64_t identity = mix(o->identity, t->seed);
    uint32_t low = (uint32_t)(identity >> 32) & ~(uint32_t)XE_BAG_KEY_PRINT;
    if (t->kind == XE_DUPLICATE_BAG)
        low = (low & ~XE_BAG_SPREAD) | next_spread() << 8;
    p->in_bag = true;
    p->tail = (struct xe_bag_tail){.low = low | xe_bag_key_print(p->key.hash),
                                   .sequence = {0, (uint32_t)identity & 0xffff0000u}};
    p->key.hash = (p->key.hash & XE_BAG_KEY_HASH) | p->tail.low;
    p->units += sizeof p->tail / XE_RECORD_ALIGN;
    return XE_OK;
}

void xe_bag_number_as(struct xe_prepared *p, uint64_t sequence)
{
    p->tail.sequence[0] = (uint32_t)sequence;
    p->tail.sequence[1] =
        (p->tail.sequence[1] & 0xffff0000u) | (uint32_t)(sequence >> 32 & 0xffff);
}

void xe_bag_number(struct xe_prepared *p)
{
    xe_bag_number_as(p, xe_core_sequence((uint32_t)(p->key.hash >> 32), 1));
}

uint32_t xe_bag_print_shift(const struct xe_table *t, uint64_t lo, uint64_t hi)
{
    return t->kind == XE_BAG && ((lo ^ hi) & XE_BAG_KEY_HASH) == 0 ? 8 : 0;
}
