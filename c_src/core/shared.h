/*
 * shared.h - counters of the process that belong to no table.
 *
 * A second copy of this library (of another release, loaded beside the first) has globals of
 * its own. What all copies must count together is here, in the memory of the first, which
 * stays: a copy that adopts it goes on counting where the others are.
 */
#ifndef XE_SHARED_H
#define XE_SHARED_H

#include "core.h"

enum { XE_SHARED_STRIPES = 64 };

/* On a cache line of its own: threads that count on different stripes do not meet. */
struct xe_shared_counter {
    _Alignas(XE_CACHE_LINE) _Atomic uint64_t n;
};

struct xe_core_shared {
    uint64_t version; /* of this layout; first, so that every copy can read it */
    _Alignas(XE_CACHE_LINE) _Atomic int64_t bytes; /* of all tables */
    _Atomic uint64_t segments; /* made so far */
    struct xe_shared_counter sequence[XE_SHARED_STRIPES];
};

_Static_assert(sizeof(struct xe_core_shared) == (2 + XE_SHARED_STRIPES) * XE_CACHE_LINE,
               "every counter has a line");

extern __attribute__((visibility("hidden"))) struct xe_core_shared *xe_core_the;

/* The counters, for another copy of the library, and what that copy calls before it makes
 * tables. False: the other copy has another layout. */
void *xe_core_domain(void);
bool xe_core_adopt(void *domain);

/* Adds to the bytes of all tables. */
static inline void xe_core_account(int64_t bytes)
{
    /* Relaxed: a sum that promises no instant. */
    atomic_fetch_add_explicit(&xe_core_the->bytes, bytes, memory_order_relaxed);
}

/* A number, not 0, that no segment has had before. At a million a second they last for half a
 * million years. */
static inline uint64_t xe_core_segment(void)
{
    /* Relaxed: as below. */
    return atomic_fetch_add_explicit(&xe_core_the->segments, 1, memory_order_relaxed) + 1;
}

/* Takes `n` numbers in a row of a stripe, and returns the first: no number of a stripe is
 * given twice, and a later call gets larger ones. */
static inline uint64_t xe_core_sequence(uint32_t stripe, uint64_t n)
{
    /* Relaxed: the order of additions to one counter is all that is promised. */
    return atomic_fetch_add_explicit(&xe_core_the->sequence[stripe % XE_SHARED_STRIPES].n, n,
                                     memory_order_relaxed);
}

#endif
