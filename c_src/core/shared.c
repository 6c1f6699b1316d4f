/*
 * shared.c - see shared.h.
 */
#include "shared.h"

/* The layout of struct xe_core_shared. */
#ifndef XE_CORE_SHARED_VERSION
#define XE_CORE_SHARED_VERSION 1
#endif

/* Static: the library stays in memory for good (c_src/Makefile), and this cannot fail. */
static struct xe_core_shared own = {.version = XE_CORE_SHARED_VERSION};
struct xe_core_shared *xe_core_the = &own;

void *xe_core_domain(void)
{
    return xe_core_the;
}

bool xe_core_adopt(void *domain)
{
    struct xe_core_shared *other = domain;
    if (other == NULL || other->version != XE_CORE_SHARED_VERSION)
        return false;
    /* Once this copy counts elsewhere it must not change over: its sums would be torn. */
    if (xe_core_the != &own)
        return xe_core_the == other;
    xe_core_the = other;
    return true;
}
