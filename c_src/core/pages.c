/*
 * pages.c - granules out of mapped areas, first fit from the lowest area.
 *
 *   arena    a lock, a tree of hints, areas 0, 1, 2, ...
 *   area     2 MiB of address space, aligned to its size: 4,096 granules. Its
 *            bitmaps lie apart from it and are found through a map of addresses,
 *            so that 32 images of 64 KiB fill it to the last byte
 *   granule  512 bytes, the unit of allocation
 *   page     4 KiB, 8 granules, the unit of giving back
 *
 * A thread allocates from its arena, another one if that is busy; freeing finds
 * the arena through the area. Within an arena the lowest area that has room is
 * used, and in it the lowest run of granules: so the high areas drain when less
 * is in use. One empty area stays, others are unmapped; if more than a quarter
 * of an arena's busy memory lies idle in whole pages, stretches of at least 16
 * KiB are given back by madvise(), area by area from above, one area per free.
 *
 * Finding the area is a walk down a tree of upper bounds (`hint`), whatever their
 * number. A bound that promised too much is corrected by the search that it
 * misled, so that each allocation pays for one such search at most.
 *
 * Why it is our own: images live by being replaced by larger ones, and die by
 * being replaced by smaller ones, all over the address space.
 * test/core/bench_pages.c does just that (256 MiB, one thread, images of 9-64
 * KiB growing by 1.2-1.4, then 90 % deleted at random); medians of five, x86-64,
 * Linux 6.18, glibc 2.36, mimalloc 2.0.9:
 *
 *                 alloc + free, ns      with page  resident /  given back
 *                 growing  shrinking    faults, us  asked for   itself   asked
 *      pages          371       1809          1.2      1.096     89 %
 *      malloc         705        875          2.9      1.058      1 %    88 %
 *      mimalloc       314        779          2.5      1.093     -6 %    -6 %
 *      (all that the table no longer needs: 91 %)
 *
 * "asked": by malloc_trim(), which goes through the whole process's heap under
 * its locks, or mi_collect(true). Shrinking costs us what giving back costs.
 * With 1 GiB: 436 ns growing, 1.089, 90 %.
 *
 * The sizes, in the same benchmark: granules of 128 / 256 / 512 / 1024 bytes give
 * 1.091 / 1.090 / 1.090 / 1.094 and ever shorter searches (510 to 350 ns), so
 * 512 is the largest that costs nothing; areas of 1 / 2 / 4 MiB give 1.096 /
 * 1.090 / 1.092 and longer searches; the best fit in an area in place of the
 * first gives 1.093 and 20 % more time.
 *
 * Huge pages: from its ninth area on an arena asks for them. Touching 4 KiB for
 * the first time takes 280 instead of 1,600 ns, a dependent load somewhere in 512
 * MiB 163 instead of 187. The price is that the newest area is resident as a
 * whole; it counts so in `mapped`.
 */
#include "pages.h"

#include <pthread.h>
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
#define MARK_FREE(p, bytes) ((void)0)
#define MARK_USED(p, bytes) ((void)0)
#endif

enum {
    LAYOUT = 1, /* of struct domain and all it leads to */
    AREA_SHIFT = 21,
    AREA_BYTES = 1 << AREA_SHIFT,
    AREA_GRANULES = AREA_BYTES / XE_PAGES_GRANULE,
    AREA_WORDS = AREA_GRANULES / 64,
    PAGE_BYTES = 4096, /* the unit of giving back; the system's may be larger */
    PAGE_GRANULES = PAGE_BYTES / XE_PAGES_GRANULE,
    AREA_PAGES = AREA_BYTES / PAGE_BYTES,
    LARGE_BYTES = AREA_BYTES / 2, /* more than that: a mapping of its own */
    ARENAS_MAX = 16,
    AREAS_MIN = 16,      /* room in a new arena's table of areas */
    TRIM_RUN_PAGES = 4,  /* shorter stretches are not worth a call */
    TRIM_RUNS_MAX = 64,  /* calls per freed allocation */
    TRIM_SLACK_PAGES = 64,
    HUGE_AFTER = 8, /* areas of an arena: from there on in huge pages */
    ADDRESS_BITS = 48,
    LEAF_SHIFT = 12,
    ROOT_SIZE = 1 << (ADDRESS_BITS - AREA_SHIFT - LEAF_SHIFT),
    LEAF_SIZE = 1 << LEAF_SHIFT,
};

_Static_assert(PAGE_GRANULES == 8, "a page is one byte of the bitmap");

struct area {
    uint64_t used[AREA_WORDS];        /* a bit per granule */
    uint64_t touched[AREA_PAGES / 64]; /* a bit per page that the system had to give */
    uint8_t *base;
    struct arena *arena;
    uint32_t index; /* in its arena */
    uint32_t free;  /* granules */
    uint32_t idle;  /* pages touched and wholly free */
    bool huge;      /* the system gives it as one page, on the first touch */
};

/*
 * `hint` is a tournament tree over the areas: hint[hint_cap + i] is at least the
 * longest free run of area i, hint[k] the larger of hint[2k] and hint[2k+1].
 */
struct arena {
    _Alignas(XE_CACHE_LINE) pthread_mutex_t lock;
    struct area **areas; /* [cap], with holes where an area was unmapped */
    uint16_t *hint;      /* [2 * cap] */
    uint32_t cap;        /* a power of two */
    uint32_t top;        /* areas[top..] are NULL */
    uint32_t n_areas;
    struct area *empty;  /* the one area kept without a use */
    size_t used;         /* granules handed out */
    size_t resident;     /* pages touched */
    size_t idle;         /* of them, wholly free */
    size_t trim_floor;   /* idle pages that the last trim could not give back */
    uint32_t trim_at;    /* while trimming: the next area to look at is below */
};

typedef _Atomic(struct area *) map_entry;

/* Transparent huge pages: whether they exist, and come without being asked for. */
enum huge { HUGE_NEVER, HUGE_ASKED, HUGE_ALWAYS };

struct domain {
    uint64_t version; /* LAYOUT; first, so that every copy can read it */
    enum huge huge;
    uint32_t n_arenas;
    size_t system_page;
    _Atomic uint32_t next_arena;
    _Atomic size_t large; /* bytes in mappings of their own */
    struct arena arenas[ARENAS_MAX];
    _Atomic(map_entry *) map[ROOT_SIZE]; /* address >> AREA_SHIFT -> area */
};

static _Atomic(struct domain *) the_domain;
static _Atomic(bool (*)(void)) fail_hook;
static __thread uint32_t my_arena; /* one more than its index; 0: none yet */

static bool must_fail(void)
{
    bool (*fail)(void) = atomic_load_explicit(&fail_hook, memory_order_relaxed);
    return XE_UNLIKELY(fail != NULL) && fail();
}

/* --- Bits ---------------------------------------------------------------- */

/* The first granule at or after `pos` whose bit differs from `flip`'s. */
static uint32_t next_bit(const struct area *ar, uint32_t pos, uint64_t flip)
{
    uint32_t w = pos / 64;
    if (w >= AREA_WORDS)
        return AREA_GRANULES;
    uint64_t bits = (ar->used[w] ^ flip) & (UINT64_MAX << (pos % 64));
    while (bits == 0) {
        if (++w == AREA_WORDS)
            return AREA_GRANULES;
        bits = ar->used[w] ^ flip;
    }
    return w * 64 + (uint32_t)__builtin_ctzll(bits);
}

static uint32_t next_free(const struct area *ar, uint32_t pos)
{
    return next_bit(ar, pos, UINT64_MAX);
}

static uint32_t next_used(const struct area *ar, uint32_t pos)
{
    return next_bit(ar, pos, 0);
}

/* Where the free run that ends before `pos` begins. */
static uint32_t run_start(const struct area *ar, uint32_t pos)
{
    while (pos > 0) {
        uint32_t w = (pos - 1) / 64, up = 63 - (pos - 1) % 64;
        uint64_t bits = ar->used[w] << up;
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

static bool page_is_free(const struct area *ar, uint32_t page)
{
    return ((ar->used[page / 8] >> (8 * (page % 8))) & 0xff) == 0;
}

static bool page_is_touched(const struct area *ar, uint32_t page)
{
    return ((ar->touched[page / 64] >> (page % 64)) & 1) != 0;
}

/* --- Area map: from an address to its area ------------------------------- */

static map_entry *map_slot(struct domain *d, const void *p, bool create)
{
    uintptr_t key = (uintptr_t)p >> AREA_SHIFT;
    if (key >> (ADDRESS_BITS - AREA_SHIFT) != 0)
        return NULL;
    _Atomic(map_entry *) *root = &d->map[key >> LEAF_SHIFT];
    /* Acquire: pairs with the release of the leaf below. */
    map_entry *leaf = atomic_load_explicit(root, memory_order_acquire);
    if (leaf == NULL && create) {
        map_entry *fresh = calloc(LEAF_SIZE, sizeof *fresh);
        if (fresh == NULL)
            return NULL;
        if (atomic_compare_exchange_strong_explicit(root, &leaf, fresh, memory_order_acq_rel,
                                                    memory_order_acquire))
            leaf = fresh;
        else
            free(fresh);
    }
    return leaf == NULL ? NULL : &leaf[key & (LEAF_SIZE - 1)];
}

static struct area *area_of(struct domain *d, const void *p)
{
    /* Relaxed: whoever owns an allocation got it from somebody who saw its area. */
    return atomic_load_explicit(map_slot(d, p, false), memory_order_relaxed);
}

/* --- Hints --------------------------------------------------------------- */

static void hint_set(struct arena *a, uint32_t index, uint32_t run)
{
    uint32_t k = a->cap + index;
    a->hint[k] = (uint16_t)run;
    for (k /= 2; k > 0; k /= 2) {
        uint16_t l = a->hint[2 * k], r = a->hint[2 * k + 1], max = l > r ? l : r;
        if (a->hint[k] == max)
            return;
        a->hint[k] = max;
    }
}

/* The lowest area that may have a free run of `n`; UINT32_MAX if none. */
static uint32_t hint_first(const struct arena *a, uint32_t n)
{
    if (a->cap == 0 || a->hint[1] < n)
        return UINT32_MAX;
    uint32_t k = 1;
    while (k < a->cap) {
        k *= 2;
        if (a->hint[k] < n)
            k++;
    }
    return k - a->cap;
}

static bool arena_widen(struct arena *a)
{
    uint32_t cap = a->cap == 0 ? AREAS_MIN : 2 * a->cap;
    struct area **areas = calloc(cap, sizeof *areas);
    uint16_t *hint = calloc(2 * (size_t)cap, sizeof *hint);
    if (areas == NULL || hint == NULL) {
        free(areas);
        free(hint);
        return false;
    }
    for (uint32_t i = 0; i < a->cap; i++) {
        areas[i] = a->areas[i];
        hint[cap + i] = a->hint[a->cap + i];
    }
    for (uint32_t k = cap - 1; k > 0; k--)
        hint[k] = hint[2 * k] > hint[2 * k + 1] ? hint[2 * k] : hint[2 * k + 1];
    free(a->areas);
    free(a->hint);
    a->areas = areas;
    a->hint = hint;
    a->cap = cap;
    return true;
}

/* --- Areas --------------------------------------------------------------- */

static void *map_aligned(void)
{
    if (must_fail())
        return NULL;
    uint8_t *p = mmap(NULL, 2 * (size_t)AREA_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    uint8_t *base = (uint8_t *)(((uintptr_t)p + AREA_BYTES - 1) & ~((uintptr_t)AREA_BYTES - 1));
    if (base != p)
        munmap(p, (size_t)(base - p));
    if (base != p + AREA_BYTES)
        munmap(base + AREA_BYTES, (size_t)(p + AREA_BYTES - base));
    return base;
}

/* Asks for small pages in an area from here on. */
static void ask_small(const struct area *ar)
{
#ifdef MADV_NOHUGEPAGE
    madvise(ar->base, AREA_BYTES, MADV_NOHUGEPAGE);
#else
    (void)ar;
#endif
}

/*
 * A new area of an arena that is small still gets small pages, so that a small
 * table costs what it uses.
 */
static void choose_page_size(const struct domain *d, struct area *ar, bool huge)
{
#ifdef MADV_HUGEPAGE
    if (huge && d->huge != HUGE_NEVER && madvise(ar->base, AREA_BYTES, MADV_HUGEPAGE) == 0) {
        ar->huge = true;
        ar->idle = AREA_PAGES;
        memset(ar->touched, 0xff, sizeof ar->touched);
    }
#endif
    if (!huge && d->huge == HUGE_ALWAYS)
        ask_small(ar);
}

static struct area *area_new(struct domain *d, bool huge)
{
    uint8_t *base = map_aligned();
    if (base == NULL)
        return NULL;
    map_entry *entry = map_slot(d, base, true);
    struct area *ar = entry == NULL ? NULL : calloc(1, sizeof *ar);
    if (ar == NULL) {
        munmap(base, AREA_BYTES);
        return NULL;
    }
    ar->base = base;
    ar->free = AREA_GRANULES;
    choose_page_size(d, ar, huge);
    MARK_FREE(base, AREA_BYTES);
    atomic_store_explicit(entry, ar, memory_order_relaxed);
    return ar;
}

/* Of an area that its arena has let go of: without its lock. */
static void area_delete(struct domain *d, struct area *ar)
{
    atomic_store_explicit(map_slot(d, ar->base, false), NULL, memory_order_relaxed);
    MARK_USED(ar->base, AREA_BYTES);
    munmap(ar->base, AREA_BYTES);
    free(ar);
}

/* Adds an area at the lowest free index; UINT32_MAX when out of memory. */
static uint32_t arena_grow(struct domain *d, struct arena *a)
{
    uint32_t i = 0;
    while (i < a->top && a->areas[i] != NULL)
        i++;
    if (i == a->cap && !arena_widen(a))
        return UINT32_MAX;
    struct area *ar = area_new(d, a->n_areas >= HUGE_AFTER);
    if (ar == NULL)
        return UINT32_MAX;
    ar->arena = a;
    ar->index = i;
    a->areas[i] = ar;
    a->empty = ar;
    a->n_areas++;
    a->idle += ar->idle;
    a->resident += ar->idle;
    if (i == a->top)
        a->top++;
    hint_set(a, i, AREA_GRANULES);
    return i;
}

static struct area *arena_let_go(struct arena *a, struct area *ar)
{
    a->areas[ar->index] = NULL;
    a->n_areas--;
    hint_set(a, ar->index, 0);
    while (a->top > 0 && a->areas[a->top - 1] == NULL)
        a->top--;
    for (uint32_t w = 0; w < AREA_PAGES / 64; w++)
        a->resident -= (uint32_t)__builtin_popcountll(ar->touched[w]);
    a->idle -= ar->idle;
    return ar;
}

/* --- Allocating ---------------------------------------------------------- */

/* The lowest free run of `n`; AREA_GRANULES, and the longest run, if none. */
static uint32_t area_find(const struct area *ar, uint32_t n, uint32_t *longest)
{
    uint32_t max = 0;
    for (uint32_t pos = next_free(ar, 0); pos < AREA_GRANULES;) {
        uint32_t end = next_used(ar, pos);
        if (end - pos >= n)
            return pos;
        if (end - pos > max)
            max = end - pos;
        pos = next_free(ar, end);
    }
    *longest = max;
    return AREA_GRANULES;
}

static void *area_take(struct arena *a, struct area *ar, uint32_t pos, uint32_t n)
{
    if (ar == a->empty)
        a->empty = NULL;
    for (uint32_t page = pos / PAGE_GRANULES; page <= (pos + n - 1) / PAGE_GRANULES; page++) {
        if (!page_is_free(ar, page))
            continue;
        if (page_is_touched(ar, page)) {
            a->idle--;
            ar->idle--;
        } else {
            set_bits(ar->touched, page, 1, true);
            a->resident++;
        }
    }
    set_bits(ar->used, pos, n, true);
    ar->free -= n;
    a->used += n;
    void *p = ar->base + (size_t)pos * XE_PAGES_GRANULE;
    MARK_USED(p, (size_t)n * XE_PAGES_GRANULE);
    return p;
}

/* Under the arena's lock. */
static void *arena_alloc(struct domain *d, struct arena *a, uint32_t n, bool grow)
{
    for (;;) {
        uint32_t i = hint_first(a, n), longest;
        if (i == UINT32_MAX && (!grow || (i = arena_grow(d, a)) == UINT32_MAX))
            return NULL;
        uint32_t pos = area_find(a->areas[i], n, &longest);
        if (pos < AREA_GRANULES)
            return area_take(a, a->areas[i], pos, n);
        hint_set(a, i, longest);
    }
}

/* Locks an arena for the calling thread: its own, or, where that is busy, another
 * one, which then is its own. */
static struct arena *lock_arena(struct domain *d)
{
    if (my_arena == 0)
        my_arena = 1 + atomic_fetch_add_explicit(&d->next_arena, 1, memory_order_relaxed) %
                           d->n_arenas;
    uint32_t mine = my_arena - 1;
    for (uint32_t k = 0; k < d->n_arenas; k++) {
        uint32_t i = (mine + k) % d->n_arenas;
        if (pthread_mutex_trylock(&d->arenas[i].lock) == 0) {
            my_arena = i + 1;
            return &d->arenas[i];
        }
    }
    pthread_mutex_lock(&d->arenas[mine].lock);
    return &d->arenas[mine];
}

/* The system has no more memory: a hole in any arena will do. */
static void *alloc_anywhere(struct domain *d, uint32_t n)
{
    void *p = NULL;
    for (uint32_t i = 0; p == NULL && i < d->n_arenas; i++) {
        pthread_mutex_lock(&d->arenas[i].lock);
        p = arena_alloc(d, &d->arenas[i], n, false);
        pthread_mutex_unlock(&d->arenas[i].lock);
    }
    return p;
}

static void *large_alloc(struct domain *d, size_t bytes, size_t *got)
{
    size_t size = (bytes + d->system_page - 1) & ~(d->system_page - 1);
    if (size < bytes || must_fail())
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    atomic_fetch_add_explicit(&d->large, size, memory_order_relaxed);
    *got = size;
    return p;
}

/* --- The domain ---------------------------------------------------------- */

static void domain_delete(struct domain *d)
{
    for (uint32_t i = 0; i < d->n_arenas; i++) {
        struct arena *a = &d->arenas[i];
        for (uint32_t k = 0; k < a->top; k++)
            if (a->areas[k] != NULL)
                area_delete(d, a->areas[k]);
        free(a->areas);
        free(a->hint);
        pthread_mutex_destroy(&a->lock);
    }
    for (uint32_t i = 0; i < ROOT_SIZE; i++)
        free(atomic_load_explicit(&d->map[i], memory_order_relaxed));
    free(d);
}

static enum huge huge_pages(void)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/";
    char name[sizeof path + 16], mode[64] = "";
    size_t size = 0;
    snprintf(name, sizeof name, "%shpage_pmd_size", path);
    FILE *f = fopen(name, "re");
    if (f == NULL)
        return HUGE_NEVER;
    int n = fscanf(f, "%zu", &size);
    fclose(f);
    snprintf(name, sizeof name, "%senabled", path);
    if (n != 1 || size != AREA_BYTES || (f = fopen(name, "re")) == NULL)
        return HUGE_NEVER;
    if (fgets(mode, sizeof mode, f) == NULL)
        mode[0] = 0;
    fclose(f);
    return strstr(mode, "[always]") != NULL    ? HUGE_ALWAYS
           : strstr(mode, "[madvise]") != NULL ? HUGE_ASKED
                                               : HUGE_NEVER;
}

static struct domain *domain_new(void)
{
    struct domain *d = NULL;
    if (posix_memalign((void **)&d, XE_CACHE_LINE, sizeof *d) != 0)
        return NULL;
    memset(d, 0, sizeof *d);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    d->version = LAYOUT;
    d->huge = huge_pages();
    d->system_page = (size_t)sysconf(_SC_PAGESIZE);
    d->n_arenas = cores < 1 ? 1 : cores > ARENAS_MAX ? ARENAS_MAX : (uint32_t)cores;
    for (uint32_t i = 0; i < d->n_arenas; i++)
        pthread_mutex_init(&d->arenas[i].lock, NULL);
    return d;
}

static struct domain *domain_get(void)
{
    /* Acquire: pairs with the release below. */
    struct domain *d = atomic_load_explicit(&the_domain, memory_order_acquire);
    if (XE_LIKELY(d != NULL))
        return d;
    struct domain *fresh = domain_new();
    if (fresh == NULL)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(&the_domain, &d, fresh, memory_order_acq_rel,
                                                memory_order_acquire))
        return fresh;
    domain_delete(fresh);
    return d;
}

void *xe_pages_domain(void)
{
    return domain_get();
}

bool xe_pages_adopt(void *domain)
{
    struct domain *other = domain, *none = NULL;
    if (other == NULL || other->version != LAYOUT)
        return false;
    return atomic_compare_exchange_strong_explicit(&the_domain, &none, other, memory_order_acq_rel,
                                                   memory_order_acquire) ||
           none == other;
}

void xe_pages_shutdown(void)
{
    struct domain *d = atomic_load_explicit(&the_domain, memory_order_acquire);
    if (d == NULL)
        return;
    domain_delete(d);
    atomic_store_explicit(&the_domain, NULL, memory_order_release);
}

void xe_pages_set_failure(bool (*fail)(void))
{
    atomic_store_explicit(&fail_hook, fail, memory_order_relaxed);
}

/* --- Giving back --------------------------------------------------------- */

struct run {
    uint32_t page, n;
};

/* The stretches of touched, wholly free pages of an area that are worth a call. */
static uint32_t idle_runs(const struct domain *d, const struct area *ar, struct run *runs)
{
    uint32_t n = 0, unit = (uint32_t)(d->system_page / PAGE_BYTES);
    for (uint32_t page = 0; page < AREA_PAGES && n < TRIM_RUNS_MAX;) {
        uint32_t from = page;
        while (page < AREA_PAGES && page_is_free(ar, page) && page_is_touched(ar, page))
            page++;
        uint32_t start = (from + unit - 1) / unit * unit, end = page / unit * unit;
        if (end >= start + TRIM_RUN_PAGES)
            runs[n++] = (struct run){start, end - start};
        page = page == from ? page + 1 : page;
    }
    return n;
}

/* An area has become empty: one may stay, the lower. Returns the one to delete. */
static struct area *arena_emptied(struct arena *a, struct area *ar)
{
    struct area *other = a->empty;
    if (other == NULL || other == ar) {
        a->empty = ar;
        return NULL;
    }
    a->empty = other->index < ar->index ? other : ar;
    return arena_let_go(a, a->empty == ar ? other : ar);
}

/*
 * Gives back the idle stretches of one area. Under the arena's lock, which it
 * drops meanwhile: the stretches count as used, so nobody takes them, and the
 * area does not count as empty.
 */
static void area_trim(struct domain *d, struct arena *a, struct area *ar)
{
    struct run runs[TRIM_RUNS_MAX];
    uint32_t n = idle_runs(d, ar, runs), longest = 0;
    if (n == 0)
        return;
    if (a->empty == ar)
        a->empty = NULL;
    for (uint32_t i = 0; i < n; i++) {
        set_bits(ar->used, runs[i].page * PAGE_GRANULES, runs[i].n * PAGE_GRANULES, true);
        ar->free -= runs[i].n * PAGE_GRANULES;
        ar->idle -= runs[i].n;
        a->idle -= runs[i].n;
    }
    bool was_huge = ar->huge;
    ar->huge = false;
    pthread_mutex_unlock(&a->lock);
    if (was_huge)
        ask_small(ar); /* or khugepaged makes it whole again */
    for (uint32_t i = 0; i < n; i++)
        madvise(ar->base + (size_t)runs[i].page * PAGE_BYTES, (size_t)runs[i].n * PAGE_BYTES,
                MADV_DONTNEED);
    pthread_mutex_lock(&a->lock);
    for (uint32_t i = 0; i < n; i++) {
        set_bits(ar->used, runs[i].page * PAGE_GRANULES, runs[i].n * PAGE_GRANULES, false);
        set_bits(ar->touched, runs[i].page, runs[i].n, false);
        ar->free += runs[i].n * PAGE_GRANULES;
        a->resident -= runs[i].n;
    }
    area_find(ar, AREA_GRANULES + 1, &longest);
    hint_set(a, ar->index, longest);
}

/*
 * Trims the next area from above if more than a quarter of what is in use lies
 * idle, until it is less than an eighth: one area per call, so that no free
 * takes long. What is left after a pass over all areas is in stretches too
 * short, and does not count the next time. Returns an area to delete, or NULL.
 */
static struct area *arena_trim(struct domain *d, struct arena *a)
{
    size_t busy = a->resident - a->idle;
    struct area *unneeded = NULL;
    if (a->trim_at == 0) {
        if (a->idle < a->trim_floor)
            a->trim_floor = a->idle;
        if (a->idle - a->trim_floor <= busy / 4 + TRIM_SLACK_PAGES)
            return NULL;
        a->trim_at = a->top;
    }
    if (a->trim_at > a->top)
        a->trim_at = a->top;
    while (a->trim_at > 0) {
        struct area *ar = a->areas[--a->trim_at];
        if (ar == NULL || ar->idle < TRIM_RUN_PAGES)
            continue;
        area_trim(d, a, ar);
        if (ar->free == AREA_GRANULES)
            unneeded = arena_emptied(a, ar);
        break;
    }
    if (a->trim_at == 0)
        a->trim_floor = a->idle;
    else if (a->idle <= busy / 8)
        a->trim_at = 0;
    return unneeded;
}

static void area_put(struct arena *a, struct area *ar, uint32_t pos, uint32_t n)
{
    XE_ASSERT(next_free(ar, pos) >= pos + n);
    set_bits(ar->used, pos, n, false);
    ar->free += n;
    a->used -= n;
    for (uint32_t page = pos / PAGE_GRANULES; page <= (pos + n - 1) / PAGE_GRANULES; page++) {
        if (page_is_free(ar, page)) {
            ar->idle++;
            a->idle++;
        }
    }
    uint32_t run = next_used(ar, pos + n) - run_start(ar, pos);
    if (run > a->hint[a->cap + ar->index])
        hint_set(a, ar->index, run);
}

/* --- Interface ----------------------------------------------------------- */

void *xe_pages_alloc(size_t bytes, size_t *got)
{
    struct domain *d = domain_get();
    if (d == NULL || must_fail())
        return NULL;
    if (bytes > LARGE_BYTES)
        return large_alloc(d, bytes, got);
    uint32_t n = (uint32_t)((bytes + XE_PAGES_GRANULE - 1) / XE_PAGES_GRANULE);
    n = n == 0 ? 1 : n;
    struct arena *a = lock_arena(d);
    void *p = arena_alloc(d, a, n, true);
    pthread_mutex_unlock(&a->lock);
    if (p == NULL)
        p = alloc_anywhere(d, n);
    if (p != NULL)
        *got = (size_t)n * XE_PAGES_GRANULE;
    return p;
}

void xe_pages_free(void *p, size_t got)
{
    struct domain *d = domain_get();
    if (got > LARGE_BYTES) {
        munmap(p, got);
        atomic_fetch_sub_explicit(&d->large, got, memory_order_relaxed);
        return;
    }
    struct area *ar = area_of(d, p), *unneeded = NULL, *trimmed;
    struct arena *a = ar->arena;
    uint32_t pos = (uint32_t)((size_t)((uint8_t *)p - ar->base) / XE_PAGES_GRANULE);
    XE_ASSERT(got % XE_PAGES_GRANULE == 0 && got > 0);
    MARK_FREE(p, got);
    pthread_mutex_lock(&a->lock);
    area_put(a, ar, pos, (uint32_t)(got / XE_PAGES_GRANULE));
    if (ar->free == AREA_GRANULES)
        unneeded = arena_emptied(a, ar);
    trimmed = arena_trim(d, a);
    pthread_mutex_unlock(&a->lock);
    if (unneeded != NULL)
        area_delete(d, unneeded);
    if (trimmed != NULL)
        area_delete(d, trimmed);
}

void xe_pages_stats(struct xe_pages_stats *out)
{
    struct domain *d = domain_get();
    memset(out, 0, sizeof *out);
    if (d == NULL)
        return;
    out->mapped = out->used = atomic_load_explicit(&d->large, memory_order_relaxed);
    for (uint32_t i = 0; i < d->n_arenas; i++) {
        struct arena *a = &d->arenas[i];
        pthread_mutex_lock(&a->lock);
        out->mapped += a->resident * PAGE_BYTES;
        out->used += a->used * XE_PAGES_GRANULE;
        pthread_mutex_unlock(&a->lock);
    }
}

/* --- Validity ------------------------------------------------------------ */

#ifdef XE_DEBUG
static bool area_is_valid(struct domain *d, const struct arena *a, const struct area *ar)
{
    uint32_t used = 0, idle = 0, longest = 0;
    for (uint32_t w = 0; w < AREA_WORDS; w++)
        used += (uint32_t)__builtin_popcountll(ar->used[w]);
    for (uint32_t page = 0; page < AREA_PAGES; page++) {
        if (!page_is_free(ar, page) && !page_is_touched(ar, page))
            return false;
        idle += page_is_free(ar, page) && page_is_touched(ar, page);
    }
    area_find(ar, AREA_GRANULES + 1, &longest);
    return ar->arena == a && a->areas[ar->index] == ar && area_of(d, ar->base) == ar &&
           area_of(d, ar->base + AREA_BYTES - 1) == ar && ar->free == AREA_GRANULES - used &&
           ar->idle == idle && a->hint[a->cap + ar->index] >= longest &&
           (used != 0 || a->empty == ar);
}

static bool arena_is_valid(struct domain *d, const struct arena *a)
{
    size_t used = 0, resident = 0, idle = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->cap; i++) {
        const struct area *ar = a->areas[i];
        if (ar == NULL) {
            if (a->hint[a->cap + i] != 0)
                return false;
            continue;
        }
        if (ar->index != i || i >= a->top || !area_is_valid(d, a, ar))
            return false;
        n++;
        used += AREA_GRANULES - ar->free;
        idle += ar->idle;
        for (uint32_t w = 0; w < AREA_PAGES / 64; w++)
            resident += (uint32_t)__builtin_popcountll(ar->touched[w]);
    }
    for (uint32_t k = 1; k < a->cap; k++)
        if (a->hint[k] < a->hint[2 * k] || a->hint[k] < a->hint[2 * k + 1] ||
            (a->hint[k] != a->hint[2 * k] && a->hint[k] != a->hint[2 * k + 1]))
            return false;
    return n == a->n_areas && used == a->used && idle == a->idle && resident == a->resident &&
           (a->empty == NULL || a->empty->free == AREA_GRANULES);
}

bool xe_pages_is_valid(void)
{
    struct domain *d = domain_get();
    bool ok = d != NULL;
    for (uint32_t i = 0; ok && i < d->n_arenas; i++) {
        pthread_mutex_lock(&d->arenas[i].lock);
        ok = arena_is_valid(d, &d->arenas[i]);
        pthread_mutex_unlock(&d->arenas[i].lock);
    }
    return ok;
}
#endif
