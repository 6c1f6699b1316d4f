/*
 * shared.c - see shared.h.
 */
#include "shared.h"

#include "order_internal.h"
#include "table_internal.h"

/*
 * The layout of struct xe_core_shared and of all that tables are made of. The number is to be
 * raised with any change of either; the sizes catch most of what is forgotten.
 */
#define MIX(so_far, n) (((so_far) ^ (n)) * 0x100000001b3ull)
#define OF_TABLE MIX(MIX(6ull, sizeof(struct xe_table)), sizeof(struct xe_segment))
#define OF_DIRECTORY MIX(MIX(OF_TABLE, sizeof(struct xe_directory)), sizeof(struct xe_leaf))
#define OF_ORDER MIX(MIX(OF_DIRECTORY, sizeof(struct xe_order_chunk)), XE_ORDER_CHUNK)
#define LAYOUT MIX(MIX(OF_ORDER, sizeof(struct xe_image)), XE_SEGMENT_OBJECTS_MAX)

/* Static: the library stays in memory for good (c_src/Makefile), and this cannot fail. */
static struct xe_core_shared own = {.version = LAYOUT};
struct xe_core_shared *xe_core_the = &own;

void *xe_core_domain(void)
{
    return xe_core_the;
}

bool xe_core_adopt(void *domain)
{
    struct xe_core_shared *other = domain;
    if (other == NULL || other->version != LAYOUT)
        return false;
    /* Once this copy counts elsewhere it must not change over: its sums would be torn. */
    if (xe_core_the != &own)
        return xe_core_the == other;
    xe_core_the = other;
    return true;
}
