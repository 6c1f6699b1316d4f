/*
 * area.h - one area of pages.c: 2 MiB of address space and the state of its granules.
 *
 *   granule  512 bytes, the unit of allocation
 *   page     4 KiB, 8 granules, the unit of giving back (the system's own pages
 *            may be larger: then stretches are cut to whole ones of those)
 *
 * Everything here is under the lock of the arena that has the area, but for
 * making, deleting and xe_area_give_back(). The counts `resident` and `idle`
 * change with xe_area_take, _put, _hide and _unhide; the arena keeps their sums.
 */
#ifndef XE_AREA_H
#define XE_AREA_H

#include "core.h"
#include "pages.h"

enum {
    XE_AREA_SHIFT = 21,
    XE_AREA_BYTES = 1 << XE_AREA_SHIFT,
    XE_AREA_GRANULES = XE_AREA_BYTES / XE_PAGES_GRANULE,
    XE_AREA_PAGE_BYTES = 4096,
    XE_AREA_PAGES = XE_AREA_BYTES / XE_AREA_PAGE_BYTES,
    XE_AREA_RUN_MIN = 4,   /* pages; shorter stretches are not worth a call */
    XE_AREA_RUNS_MAX = 64, /* calls for one area at a time */
};

struct xe_area {
    uint64_t used[XE_AREA_GRANULES / 64];  /* a bit per granule */
    uint64_t touched[XE_AREA_PAGES / 64];  /* a bit per page that the system had to give */
    uint8_t *base;
    struct xe_arena *arena; /* pages.c: whose it is, and where there */
    uint32_t index;
    uint32_t free;     /* granules */
    uint32_t resident; /* pages touched */
    uint32_t idle;     /* of them, wholly free */
    bool huge;         /* the system gives it as one page, on the first touch */
};

/* A stretch of pages. */
struct xe_area_run {
    uint32_t page, n;
};

/* Transparent huge pages: whether they exist in the size of an area, and come
 * without being asked for. */
enum xe_area_huge { XE_AREA_HUGE_NEVER, XE_AREA_HUGE_ASKED, XE_AREA_HUGE_ALWAYS };
enum xe_area_huge xe_area_huge_pages(void);

/* A free area, with huge pages if wanted and possible. NULL when out of memory. */
struct xe_area *xe_area_new(enum xe_area_huge system, bool want_huge);
void xe_area_delete(struct xe_area *ar);

/* The lowest free run of `n` granules; XE_AREA_GRANULES, and the longest run, if
 * there is none. */
uint32_t xe_area_find(const struct xe_area *ar, uint32_t n, uint32_t *longest);
uint32_t xe_area_longest(const struct xe_area *ar);

/* Takes a free run; returns its address. */
void *xe_area_take(struct xe_area *ar, uint32_t pos, uint32_t n);
/* Frees a run; returns the length of the free run that it is part of now. */
uint32_t xe_area_put(struct xe_area *ar, uint32_t pos, uint32_t n);

/* For memory that xe_area_put() is about to get. Needs no lock. */
void xe_area_mark_free(void *p, size_t bytes);

/*
 * Giving back in three steps, so that the calls to the system are made without
 * the lock: hidden stretches count as used and not as idle, so nobody takes them
 * and the area does not get empty. Hiding returns the number of stretches.
 */
uint32_t xe_area_hide(struct xe_area *ar, struct xe_area_run runs[XE_AREA_RUNS_MAX]);
void xe_area_give_back(struct xe_area *ar, const struct xe_area_run *runs, uint32_t n);
void xe_area_unhide(struct xe_area *ar, const struct xe_area_run *runs, uint32_t n);
/* Huge pages would come back by themselves, whole: before the first giving back.
 * Under the lock, true once; then xe_area_ask_small() without it. */
bool xe_area_leave_huge(struct xe_area *ar);
void xe_area_ask_small(const struct xe_area *ar);

#ifdef XE_DEBUG
bool xe_area_is_valid(const struct xe_area *ar);
#endif

#endif
