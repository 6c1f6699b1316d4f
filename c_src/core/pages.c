/*
 * pages.c - granules out of mapped areas, first fit from the lowest area.
 *
 *   arena    a lock, a tree of hints, areas 0, 1, 2, ...
 *   area     2 MiB of address space, aligned to its size: 4,096 granules (area.h),
 *            found from an address through a map of its upper bits
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
 * misled, so there is at most one such search per allocation on average.
 *
 * Why it is our own: images live by being replaced by larger ones, and die by
 * being replaced by smaller ones, all over the address space.
 * test/core/bench_pages.c does just that (256 MiB, one thread, images of 9-64
 * KiB growing by 1.2-1.4, then 90 % deleted at random); medians of five, x86-64,
 * Linux 6.18, glibc 2.36, mimalloc 2.0.9:
 *
 *                 alloc + free, ns      with page  resident /  given back
 *                 growing  shrinking    faults, us  asked for   itself   asked
 *      pages          404       1885          1.2      1.096     89 %
 *      malloc         780        934          3.1      1.058      1 %    88 %
 *      mimalloc       337        777          2.6      1.092     -6 %    -6 %
 *      (all that the table no longer needs: 91 %)
 *
 * "asked": by malloc_trim(), which goes through the whole process's heap under
 * its locks, or mi_collect(true). Shrinking costs us what giving back costs.
 * With 1 GiB ours is at 1.089 and gives 90 % back.
 *
 * The sizes, in the same benchmark without huge pages: granules of 128 / 256 /
 * 512 / 1024 bytes give 1.091 / 1.090 / 1.090 / 1.094 and ever shorter searches
 * (510 to 350 ns), so 512 is the largest that costs nothing; areas of 1 / 2 / 4
 * MiB give 1.096 / 1.090 / 1.092 and longer searches; the best fit in an area in
 * place of the first gives 1.093 and 20 % more time.
 *
 * Huge pages: from its ninth area on an arena asks for them. Touching 4 KiB for
 * the first time takes 280 instead of 1,600 ns, a dependent load somewhere in 512
 * MiB 163 instead of 187. The price is that the newest area is resident as a
 * whole; it counts so in `mapped`.
 */
#include "pages.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "area.h"

enum {
    LAYOUT = 1,                      /* of struct domain and all it leads to */
    LARGE_BYTES = XE_AREA_BYTES / 2, /* more than that: a mapping of its own */
    ARENAS_MAX = 16,
    AREAS_MIN = 16,        /* room in a new arena's table of areas */
    HUGE_AFTER = 8,        /* areas of an arena: from there on in huge pages */
    TRIM_SLACK_PAGES = 64, /* idle pages that are nobody's concern */
    ADDRESS_BITS = 48,
    LEAF_SHIFT = 12,
    LEAF_SIZE = 1 << LEAF_SHIFT,
    ROOT_SIZE = 1 << (ADDRESS_BITS - XE_AREA_SHIFT - LEAF_SHIFT),
};

/*
 * `hint` is a tournament tree over the areas: hint[cap + i] is at least the
 * longest free run of area i, hint[k] the larger of hint[2k] and hint[2k+1].
 */
struct xe_arena {
    _Alignas(XE_CACHE_LINE) pthread_mutex_t lock;
    struct xe_area **areas; /* [cap], with holes where an area was unmapped */
    uint16_t *hint;      /* [2 * cap] */
    uint32_t cap;        /* a power of two */
    uint32_t top;        /* areas[top..] are NULL */
    uint32_t n_areas;
    struct xe_area *empty;  /* the one area kept without a use */
    size_t used;         /* granules handed out */
    size_t resident;     /* pages touched */
    size_t idle;         /* of them, wholly free */
    size_t trim_floor;   /* idle pages that the last trim could not give back */
    uint32_t trim_at;    /* while trimming: the next area to look at is below */
};

typedef _Atomic(struct xe_area *) map_entry;

struct domain {
    uint64_t version; /* LAYOUT; first, so that every copy can read it */
    enum xe_area_huge huge;
    uint32_t n_arenas;
    size_t system_page;
    _Atomic uint32_t next_arena;
    _Atomic size_t large; /* bytes in mappings of their own */
    struct xe_arena arenas[ARENAS_MAX];
    _Atomic(map_entry *) map[ROOT_SIZE]; /* address >> XE_AREA_SHIFT -> area */
};

static _Atomic(struct domain *) the_domain;
static _Atomic(bool (*)(void)) fail_hook;
static __thread uint32_t my_arena; /* one more than its index; 0: none yet */

static bool must_fail(void)
{
    bool (*fail)(void) = atomic_load_explicit(&fail_hook, memory_order_relaxed);
    return XE_UNLIKELY(fail != NULL) && fail();
}

/* --- Area map: from an address to its area ------------------------------- */

static map_entry *map_slot(struct domain *d, const void *p, bool create)
{
    uintptr_t key = (uintptr_t)p >> XE_AREA_SHIFT;
    if (key >> (ADDRESS_BITS - XE_AREA_SHIFT) != 0)
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

static struct xe_area *area_of(struct domain *d, const void *p)
{
    /* Relaxed: whoever owns an allocation got it from somebody who saw its area. */
    return atomic_load_explicit(map_slot(d, p, false), memory_order_relaxed);
}

/* --- Hints --------------------------------------------------------------- */

static void hint_set(struct xe_arena *a, uint32_t index, uint32_t run)
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
static uint32_t hint_first(const struct xe_arena *a, uint32_t n)
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

static bool arena_widen(struct xe_arena *a)
{
    uint32_t cap = a->cap == 0 ? AREAS_MIN : 2 * a->cap;
    struct xe_area **areas = calloc(cap, sizeof *areas);
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

/* Adds what an area contributes to its arena's sums, or takes it off: around
 * every change of the area. */
static void count_in(struct xe_arena *a, const struct xe_area *ar)
{
    a->resident += ar->resident;
    a->idle += ar->idle;
}

static void count_out(struct xe_arena *a, const struct xe_area *ar)
{
    a->resident -= ar->resident;
    a->idle -= ar->idle;
}

/* A new area that can be found by its address. */
static struct xe_area *new_area(struct domain *d, bool huge)
{
    struct xe_area *ar = must_fail() ? NULL : xe_area_new(d->huge, huge);
    map_entry *entry = ar == NULL ? NULL : map_slot(d, ar->base, true);
    if (entry != NULL) {
        atomic_store_explicit(entry, ar, memory_order_relaxed);
    } else if (ar != NULL) {
        xe_area_delete(ar);
        ar = NULL;
    }
    return ar;
}

/* Of an area that its arena has let go of: without its lock. */
static void delete_area(struct domain *d, struct xe_area *ar)
{
    if (ar == NULL)
        return;
    atomic_store_explicit(map_slot(d, ar->base, false), NULL, memory_order_relaxed);
    xe_area_delete(ar);
}

/* Adds an area at the lowest free index; UINT32_MAX when out of memory. */
static uint32_t arena_grow(struct domain *d, struct xe_arena *a)
{
    uint32_t i = 0;
    while (i < a->top && a->areas[i] != NULL)
        i++;
    if (i == a->cap && !arena_widen(a))
        return UINT32_MAX;
    struct xe_area *ar = new_area(d, a->n_areas >= HUGE_AFTER);
    if (ar == NULL)
        return UINT32_MAX;
    ar->arena = a;
    ar->index = i;
    a->areas[i] = ar;
    a->empty = ar;
    a->n_areas++;
    count_in(a, ar);
    if (i == a->top)
        a->top++;
    hint_set(a, i, XE_AREA_GRANULES);
    return i;
}

static struct xe_area *arena_let_go(struct xe_arena *a, struct xe_area *ar)
{
    a->areas[ar->index] = NULL;
    a->n_areas--;
    count_out(a, ar);
    hint_set(a, ar->index, 0);
    while (a->top > 0 && a->areas[a->top - 1] == NULL)
        a->top--;
    return ar;
}

/* --- Allocating ---------------------------------------------------------- */

/* Under the arena's lock. */
static void *arena_alloc(struct domain *d, struct xe_arena *a, uint32_t n, bool grow)
{
    for (;;) {
        uint32_t i = hint_first(a, n), longest;
        if (i == UINT32_MAX && (!grow || (i = arena_grow(d, a)) == UINT32_MAX))
            return NULL;
        struct xe_area *ar = a->areas[i];
        uint32_t pos = xe_area_find(ar, n, &longest);
        if (pos == XE_AREA_GRANULES) {
            hint_set(a, i, longest);
            continue;
        }
        if (ar == a->empty)
            a->empty = NULL;
        count_out(a, ar);
        void *p = xe_area_take(ar, pos, n);
        count_in(a, ar);
        a->used += n;
        return p;
    }
}

/* Locks an arena for the calling thread: its own, or, where that is busy, another
 * one, which then is its own. */
static struct xe_arena *lock_arena(struct domain *d)
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
        struct xe_arena *a = &d->arenas[i];
        for (uint32_t k = 0; k < a->top; k++)
            delete_area(d, a->areas[k]);
        free(a->areas);
        free(a->hint);
        pthread_mutex_destroy(&a->lock);
    }
    for (uint32_t i = 0; i < ROOT_SIZE; i++)
        free(atomic_load_explicit(&d->map[i], memory_order_relaxed));
    free(d);
}

static struct domain *domain_new(void)
{
    struct domain *d = NULL;
    if (posix_memalign((void **)&d, XE_CACHE_LINE, sizeof *d) != 0)
        return NULL;
    memset(d, 0, sizeof *d);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    d->version = LAYOUT;
    d->huge = xe_area_huge_pages();
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

/* An area has become empty: one may stay, the lower. Returns the one to delete. */
static struct xe_area *arena_emptied(struct xe_arena *a, struct xe_area *ar)
{
    struct xe_area *other = a->empty;
    if (other == NULL || other == ar) {
        a->empty = ar;
        return NULL;
    }
    a->empty = other->index < ar->index ? other : ar;
    return arena_let_go(a, a->empty == ar ? other : ar);
}

/*
 * Gives back the idle stretches of one area, under the arena's lock, which it
 * drops meanwhile. Others may use the area then, and trim what has become idle.
 */
static void area_trim(struct xe_arena *a, struct xe_area *ar)
{
    struct xe_area_run runs[XE_AREA_RUNS_MAX];
    count_out(a, ar);
    uint32_t n = xe_area_hide(ar, runs);
    count_in(a, ar);
    if (n == 0)
        return;
    if (a->empty == ar)
        a->empty = NULL;
    bool was_huge = xe_area_leave_huge(ar);
    pthread_mutex_unlock(&a->lock);
    if (was_huge)
        xe_area_ask_small(ar);
    xe_area_give_back(ar, runs, n);
    pthread_mutex_lock(&a->lock);
    count_out(a, ar);
    xe_area_unhide(ar, runs, n);
    count_in(a, ar);
    hint_set(a, ar->index, xe_area_longest(ar));
}

/*
 * Trims the next area from above if more than a quarter of what is in use lies
 * idle, until it is less than an eighth: one area per call, so that no free
 * takes long. What is left after a pass over all areas is in stretches too
 * short, and does not count the next time. Returns an area to delete, or NULL.
 */
static struct xe_area *arena_trim(struct xe_arena *a)
{
    size_t busy = a->resident - a->idle;
    struct xe_area *unneeded = NULL;
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
        struct xe_area *ar = a->areas[--a->trim_at];
        if (ar == NULL || ar->idle < XE_AREA_RUN_MIN)
            continue;
        area_trim(a, ar);
        if (ar->free == XE_AREA_GRANULES)
            unneeded = arena_emptied(a, ar);
        break;
    }
    if (a->trim_at == 0)
        a->trim_floor = a->idle;
    else if (a->idle <= busy / 8)
        a->trim_at = 0;
    return unneeded;
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
    struct xe_arena *a = lock_arena(d);
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
    struct xe_area *ar = area_of(d, p), *unneeded = NULL, *trimmed;
    struct xe_arena *a = ar->arena;
    uint32_t pos = (uint32_t)((size_t)((uint8_t *)p - ar->base) / XE_PAGES_GRANULE);
    uint32_t n = (uint32_t)(got / XE_PAGES_GRANULE);
    XE_ASSERT(got % XE_PAGES_GRANULE == 0 && got > 0);
    xe_area_mark_free(p, got);
    pthread_mutex_lock(&a->lock);
    count_out(a, ar);
    uint32_t run = xe_area_put(ar, pos, n);
    count_in(a, ar);
    a->used -= n;
    if (run > a->hint[a->cap + ar->index])
        hint_set(a, ar->index, run);
    if (ar->free == XE_AREA_GRANULES)
        unneeded = arena_emptied(a, ar);
    trimmed = arena_trim(a);
    pthread_mutex_unlock(&a->lock);
    delete_area(d, unneeded);
    delete_area(d, trimmed);
}

void xe_pages_stats(struct xe_pages_stats *out)
{
    struct domain *d = domain_get();
    memset(out, 0, sizeof *out);
    if (d == NULL)
        return;
    out->mapped = out->used = atomic_load_explicit(&d->large, memory_order_relaxed);
    for (uint32_t i = 0; i < d->n_arenas; i++) {
        struct xe_arena *a = &d->arenas[i];
        pthread_mutex_lock(&a->lock);
        out->mapped += a->resident * XE_AREA_PAGE_BYTES;
        out->used += a->used * XE_PAGES_GRANULE;
        pthread_mutex_unlock(&a->lock);
    }
}

/* --- Validity ------------------------------------------------------------ */

#ifdef XE_DEBUG
static bool hints_are_valid(const struct xe_arena *a)
{
    for (uint32_t i = 0; i < a->cap; i++)
        if (a->areas[i] == NULL ? a->hint[a->cap + i] != 0
                                : a->hint[a->cap + i] < xe_area_longest(a->areas[i]))
            return false;
    for (uint32_t k = 1; k < a->cap; k++) {
        uint16_t l = a->hint[2 * k], r = a->hint[2 * k + 1];
        if (a->hint[k] != (l > r ? l : r))
            return false;
    }
    return true;
}

static bool arena_is_valid(struct domain *d, const struct xe_arena *a)
{
    size_t used = 0, resident = 0, idle = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->cap; i++) {
        const struct xe_area *ar = a->areas[i];
        if (ar == NULL)
            continue;
        if (!xe_area_is_valid(ar) || ar->arena != a || ar->index != i || i >= a->top ||
            area_of(d, ar->base) != ar || area_of(d, ar->base + XE_AREA_BYTES - 1) != ar ||
            (ar->free == XE_AREA_GRANULES) != (ar == a->empty))
            return false;
        n++;
        used += XE_AREA_GRANULES - ar->free;
        resident += ar->resident;
        idle += ar->idle;
    }
    return n == a->n_areas && used == a->used && idle == a->idle && resident == a->resident &&
           hints_are_valid(a);
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
