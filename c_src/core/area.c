/*
 * area.c - bitmaps of granules and pages, and the calls to the system.
 *
 * Two bitmaps: `used` has a bit per granule, `touched` a bit per page. A page
 * is idle if it was touched and none of its granules is used. Nothing about an
 * area lies in it, so images of 64 KiB fill it to the last byte, and looking
 * for room touches no line of the data.
 */
#include "area.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* AddressSanitizer takes a touch of a free granule for what it is. */
#if defined(__SANITIZE_ADDRESS__)
#define KNOWN_TO_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KNOWN_TO_ASAN 1
#endif
#endif
#ifdef KNOWN_TO_ASAN
#include <sanitizer/asan_interface.h>
#define MARK_FREE(p, bytes) ASAN_POISON_MEMORY_REGION(p, bytes)
#define MARK_USED(p, bytes) ASAN_UNPOISON_MEMORY_REGION(p, bytes)
#else
#define MARK_FREE(p, bytes) ((void)(p), (void)(bytes))
#define MARK_USED(p, bytes) ((void)(p), (void)(bytes))
#endif

enum {
    PAGE_GRANULES = XE_AREA_PAGE_BYTES / XE_PAGES_GRANULE,
    WORDS = XE_AREA_GRANULES / 64,
    PAGE_WORDS = XE_AREA_PAGES / 64,
};

_Static_assert(PAGE_GRANULES == 8, "a page is one byte of `used`");

/* --- Bits ---------------------------------------------------------------- */

/* The first granule at or after `pos` whose bit differs from `flip`'s. */
static uint32_t next_bit(const struct xe_area *ar, uint32_t pos, uint64_t flip)
{
    uint32_t w = pos / 64;
    if (w >= WORDS)
        return XE_AREA_GRANULES;
    uint64_t bits = (ar->used[w] ^ flip) & (UINT64_MAX << (pos % 64));
    while (bits == 0) {
        if (++w == WORDS)
            return XE_AREA_GRANULES;
        bits = ar->used[w] ^ flip;
    }
    return w * 64 + (uint32_t)__builtin_ctzll(bits);
}

static uint32_t next_free(const struct xe_area *ar, uint32_t pos)
{
    return next_bit(ar, pos, UINT64_MAX);
}

static uint32_t next_used(const struct xe_area *ar, uint32_t pos)
{
    return next_bit(ar, pos, 0);
}

/* Where the free run that ends before `pos` begins. */
static uint32_t run_start(const struct xe_area *ar, uint32_t pos)
{
    while (pos > 0) {
        uint32_t w = (pos - 1) / 64, above = 63 - (pos - 1) % 64;
        uint64_t bits = ar->used[w] << above;
        if (bits != 0)
            return pos - (uint32_t)__builtin_clzll(bits);
        pos = w * 64;
    }
    return 0;
}

static void set_bits(uint64_t *words, uint32_t pos, uint32_t n, bool on)
{
    while (n > 0) {
        uint32_t in = pos % 64, k = 64 - in < n ? 64 - in : n;
        uint64_t mask = (k == 64 ? UINT64_MAX : (UINT64_C(1) << k) - 1) << in;
        if (on)
            words[pos / 64] |= mask;
        else
            words[pos / 64] &= ~mask;
        pos += k;
        n -= k;
    }
}

static bool page_is_free(const struct xe_area *ar, uint32_t page)
{
    return ((ar->used[page / 8] >> (8 * (page % 8))) & 0xff) == 0;
}

static bool page_is_touched(const struct xe_area *ar, uint32_t page)
{
    return ((ar->touched[page / 64] >> (page % 64)) & 1) != 0;
}

/* --- Huge pages ---------------------------------------------------------- */

enum xe_area_huge xe_area_huge_pages(void)
{
    char mode[64] = "";
    size_t size = 0;
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "re");
    if (f == NULL)
        return XE_AREA_HUGE_NEVER;
    int n = fscanf(f, "%zu", &size);
    fclose(f);
    if (n != 1 || size != XE_AREA_BYTES)
        return XE_AREA_HUGE_NEVER;
    f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    if (f == NULL)
        return XE_AREA_HUGE_NEVER;
    if (fgets(mode, sizeof mode, f) == NULL)
        mode[0] = 0;
    fclose(f);
    return strstr(mode, "[always]") != NULL    ? XE_AREA_HUGE_ALWAYS
           : strstr(mode, "[madvise]") != NULL ? XE_AREA_HUGE_ASKED
                                               : XE_AREA_HUGE_NEVER;
}

void xe_area_ask_small(const struct xe_area *ar)
{
#ifdef MADV_NOHUGEPAGE
    madvise(ar->base, XE_AREA_BYTES, MADV_NOHUGEPAGE);
#else
    (void)ar;
#endif
}

static bool ask_huge(const struct xe_area *ar)
{
#ifdef MADV_HUGEPAGE
    return madvise(ar->base, XE_AREA_BYTES, MADV_HUGEPAGE) == 0;
#else
    (void)ar;
    return false;
#endif
}

bool xe_area_leave_huge(struct xe_area *ar)
{
    bool was = ar->huge;
    ar->huge = false;
    return was;
}

/* --- Making and deleting ------------------------------------------------- */

static uint8_t *map_aligned(void)
{
    uint8_t *p = mmap(NULL, 2 * (size_t)XE_AREA_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)p % XE_AREA_BYTES;
    if (before != 0)
        munmap(p, before);
    munmap(p + before + XE_AREA_BYTES, XE_AREA_BYTES - before);
    return p + before;
}

struct xe_area *xe_area_new(enum xe_area_huge system, bool want_huge)
{
    struct xe_area *ar = calloc(1, sizeof *ar);
    uint8_t *base = ar == NULL ? NULL : map_aligned();
    if (base == NULL) {
        free(ar);
        return NULL;
    }
    ar->base = base;
    ar->free = XE_AREA_GRANULES;
    if (want_huge && system != XE_AREA_HUGE_NEVER && ask_huge(ar)) {
        ar->huge = true;
        ar->resident = ar->idle = XE_AREA_PAGES;
        memset(ar->touched, 0xff, sizeof ar->touched);
    } else if (system == XE_AREA_HUGE_ALWAYS) {
        xe_area_ask_small(ar);
    }
    MARK_FREE(base, XE_AREA_BYTES);
    return ar;
}

void xe_area_delete(struct xe_area *ar)
{
    MARK_USED(ar->base, XE_AREA_BYTES);
    munmap(ar->base, XE_AREA_BYTES);
    free(ar);
}

/* --- Taking and putting -------------------------------------------------- */

uint32_t xe_area_find(const struct xe_area *ar, uint32_t n, uint32_t *longest)
{
    uint32_t max = 0;
    for (uint32_t pos = next_free(ar, 0); pos < XE_AREA_GRANULES;) {
        uint32_t end = next_used(ar, pos);
        if (end - pos >= n)
            return pos;
        if (end - pos > max)
            max = end - pos;
        pos = next_free(ar, end);
    }
    *longest = max;
    return XE_AREA_GRANULES;
}

uint32_t xe_area_longest(const struct xe_area *ar)
{
    uint32_t longest = 0;
    xe_area_find(ar, XE_AREA_GRANULES + 1, &longest);
    return longest;
}

void *xe_area_take(struct xe_area *ar, uint32_t pos, uint32_t n)
{
    XE_ASSERT(next_used(ar, pos) >= pos + n);
    for (uint32_t page = pos / PAGE_GRANULES; page <= (pos + n - 1) / PAGE_GRANULES; page++) {
        if (!page_is_free(ar, page))
            continue;
        if (page_is_touched(ar, page)) {
            ar->idle--;
        } else {
            set_bits(ar->touched, page, 1, true);
            ar->resident++;
        }
    }
    set_bits(ar->used, pos, n, true);
    ar->free -= n;
    void *p = ar->base + (size_t)pos * XE_PAGES_GRANULE;
    MARK_USED(p, (size_t)n * XE_PAGES_GRANULE);
    return p;
}

void xe_area_mark_free(void *p, size_t bytes)
{
    MARK_FREE(p, bytes);
}

uint32_t xe_area_put(struct xe_area *ar, uint32_t pos, uint32_t n)
{
    XE_ASSERT(next_free(ar, pos) >= pos + n);
    set_bits(ar->used, pos, n, false);
    ar->free += n;
    for (uint32_t page = pos / PAGE_GRANULES; page <= (pos + n - 1) / PAGE_GRANULES; page++)
        ar->idle += page_is_free(ar, page);
    return next_used(ar, pos + n) - run_start(ar, pos);
}

/* --- Giving back --------------------------------------------------------- */

/* The stretches of idle pages that are worth a call. */
static uint32_t idle_runs(const struct xe_area *ar, struct xe_area_run *runs)
{
    uint32_t n = 0, unit = (uint32_t)sysconf(_SC_PAGESIZE) / XE_AREA_PAGE_BYTES;
    for (uint32_t page = 0; page < XE_AREA_PAGES && n < XE_AREA_RUNS_MAX; page++) {
        uint32_t from = page;
        while (page < XE_AREA_PAGES && page_is_free(ar, page) && page_is_touched(ar, page))
            page++;
        uint32_t start = (from + unit - 1) / unit * unit, end = page / unit * unit;
        if (end >= start + XE_AREA_RUN_MIN)
            runs[n++] = (struct xe_area_run){start, end - start};
    }
    return n;
}

uint32_t xe_area_hide(struct xe_area *ar, struct xe_area_run runs[XE_AREA_RUNS_MAX])
{
    uint32_t n = idle_runs(ar, runs);
    for (uint32_t i = 0; i < n; i++) {
        set_bits(ar->used, runs[i].page * PAGE_GRANULES, runs[i].n * PAGE_GRANULES, true);
        ar->free -= runs[i].n * PAGE_GRANULES;
        ar->idle -= runs[i].n;
    }
    return n;
}

void xe_area_give_back(struct xe_area *ar, const struct xe_area_run *runs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        madvise(ar->base + (size_t)runs[i].page * XE_AREA_PAGE_BYTES,
                (size_t)runs[i].n * XE_AREA_PAGE_BYTES, MADV_DONTNEED);
}

void xe_area_unhide(struct xe_area *ar, const struct xe_area_run *runs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        set_bits(ar->used, runs[i].page * PAGE_GRANULES, runs[i].n * PAGE_GRANULES, false);
        set_bits(ar->touched, runs[i].page, runs[i].n, false);
        ar->free += runs[i].n * PAGE_GRANULES;
        ar->resident -= runs[i].n;
    }
}

/* --- Validity ------------------------------------------------------------ */

#ifdef XE_DEBUG
bool xe_area_is_valid(const struct xe_area *ar)
{
    uint32_t used = 0, resident = 0, idle = 0;
    for (uint32_t w = 0; w < WORDS; w++)
        used += (uint32_t)__builtin_popcountll(ar->used[w]);
    for (uint32_t w = 0; w < PAGE_WORDS; w++)
        resident += (uint32_t)__builtin_popcountll(ar->touched[w]);
    for (uint32_t page = 0; page < XE_AREA_PAGES; page++) {
        if (!page_is_free(ar, page) && !page_is_touched(ar, page))
            return false;
        idle += page_is_free(ar, page) && page_is_touched(ar, page);
    }
    return ar->free == XE_AREA_GRANULES - used && ar->resident == resident && ar->idle == idle;
}
#endif
