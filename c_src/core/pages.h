/*
 * pages.h - memory for images, given back to the system.
 */
#ifndef XE_PAGES_H
#define XE_PAGES_H

#include "core.h"

enum { XE_PAGES_GRANULE = 512 };

/* At least `bytes` bytes, 64-byte aligned, not zeroed; *got receives the real
 * size, a multiple of XE_PAGES_GRANULE. NULL when out of memory. */
void *xe_pages_alloc(size_t bytes, size_t *got);
/* `got` as xe_pages_alloc gave it. */
void xe_pages_free(void *p, size_t got);

struct xe_pages_stats {
    size_t mapped; /* bytes of pages that the system had to give, less what it got back */
    size_t used;   /* bytes handed out */
};
void xe_pages_stats(struct xe_pages_stats *out);

/* The state of the process, for another copy of the library, and what that copy
 * calls before its first allocation. False: the other copy has another layout. */
void *xe_pages_domain(void);
bool xe_pages_adopt(void *domain);

/* Tests: allocations, and the mappings they need, fail whenever `fail` says so.
 * NULL: never. */
void xe_pages_set_failure(bool (*fail)(void));
/* Tests: unmaps everything. Nothing is in use and no other thread is here. */
void xe_pages_shutdown(void);
#ifdef XE_DEBUG
/* Walks everything: O(areas). While no other thread is here. */
bool xe_pages_is_valid(void);
#endif

#endif
