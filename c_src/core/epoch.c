/*
 * epoch.c - the clock, the slots and the limbos.
 *
 * The reader's side is inline in epoch.h. Everything here is rare: a thread's
 * first section, and what is done once per rebuild, blob or table.
 *
 * Why it holds
 *
 *   An advance from g to g+1 is: load the clock (g); the barrier; look at all
 *   slots, give up unless each is 0 or g; compare-and-swap the clock to g+1.
 *   The barrier happens on every thread at some point of its program, after the
 *   clock was seen at g: stores before that point are visible to the scan.
 *
 *   (1) A section whose store came before the barrier's point is seen. Its value
 *       was loaded from the clock and is at most g: the advance happens only if
 *       it is g exactly, or the section is over. The advance after that has a
 *       barrier of its own, later than this point, and fails until the section
 *       is left. Hence E2: once the store is made, one advance can be under way
 *       that missed it, and no second. A store that comes late, with an old
 *       value, is not g, and blocks all the same.
 *   (2) A stamp is g+1 where g is the clock loaded after the unlinking store.
 *       The advance from g+1 to g+2 has its barrier after that load, so when
 *       the clock shows g+2, the unlinking store is visible everywhere (E1).
 *   (3) A section that can hold the thing loaded its pointer before (2), so its
 *       slot was stored before the barrier of the advance to g+3, with a value
 *       of g+1 at most. That advance waits for it. The thing is freed when the
 *       clock is at stamp+2 = g+3 (E3).
 *   (4) The scan loads slots with acquire, leaving stores with release, and the
 *       clock passes on what an advance acquired (compare-and-swap with
 *       acq_rel): a free comes after the last access of every section it waited
 *       for.
 *
 *   In the fenced variant a full fence after the slot's store takes the place of
 *   the barrier's point: a scan that misses the store comes, as a whole, before
 *   the section's first load. (2) then holds because the clock cannot reach g+2
 *   before the unlinking section is left, and leaving is a release; a retire
 *   outside of sections gets a fence of its own.
 *
 * Differences from Fraser: a stamp per thing instead of three lists per thread,
 * so that the ring of an image can use the same clock; and one epoch more of
 * delay, which spares writers a fence between unlinking and stamping.
 */
#include "epoch.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__) && !defined(XE_NO_MEMBARRIER) && !XE_EPOCH_TSAN
#define USE_MEMBARRIER 1
#include <linux/membarrier.h>
#include <sys/syscall.h>
#else
#define USE_MEMBARRIER 0
#endif

enum {
    LAYOUT = 4, /* of struct xe_epoch_domain and all it leads to */
    SWEEP_BATCH = 64,
    ADVANCES_PER_SWEEP = 3, /* what makes a thing ripe that was retired just now */
    SPINS = 200,
    YIELDS = 20,
    SLEEP_NS_MIN = 20000,
    SLEEP_NS_MAX = 1000000,
};

struct xe_epoch_domain *xe_epoch_the;
XE_EPOCH_TLS __thread struct xe_epoch_slot *xe_epoch_self;

/* Tells this copy of the library that a thread has ended. */
static pthread_key_t thread_end;

/* --- Barriers and waiting ------------------------------------------------ */

static bool register_membarrier(void)
{
#if USE_MEMBARRIER
    long had = syscall(__NR_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    return had > 0 && (had & MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0 &&
           syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#else
    return false;
#endif
}

bool xe_epoch_heavy_barrier(void)
{
#if XE_EPOCH_TSAN
    atomic_fetch_add_explicit(&xe_epoch_the->n_slots, 0, memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
#if USE_MEMBARRIER
    if (!xe_epoch_the->fenced)
        return syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
#endif
    return true;
}

static uint64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The n-th pause of a wait for other threads: they are awaited by polling,
 * since a section must not pay for announcing its end. */
static void backoff(uint32_t n)
{
    if (n < SPINS) {
        xe_cpu_relax();
    } else if (n < SPINS + YIELDS) {
        sched_yield();
    } else {
        uint32_t ns = SLEEP_NS_MIN * (n - SPINS - YIELDS + 1);
        struct timespec t = {0, ns < SLEEP_NS_MAX ? ns : SLEEP_NS_MAX};
        nanosleep(&t, NULL);
    }
}

/* --- The domain ---------------------------------------------------------- */

/* Marks the layout and the variant: a reader without a fence must not share
 * slots with an advancing side without membarrier. */
static uint64_t version(void)
{
    return (uint64_t)LAYOUT * 2 + USE_MEMBARRIER;
}

static void *map_slots(void)
{
    void *p = mmap(NULL, XE_EPOCH_SLOTS_MAX * sizeof(struct xe_epoch_slot),
                   PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static bool init_lane(struct xe_reclaim_lane *lane, const pthread_condattr_t *monotonic)
{
    lane->jobs_tail = &lane->jobs;
    return pthread_mutex_init(&lane->lock, NULL) == 0 &&
           pthread_cond_init(&lane->work, monotonic) == 0 &&
           pthread_cond_init(&lane->done, monotonic) == 0;
}

static bool init_locks(struct xe_epoch_domain *d)
{
    pthread_condattr_t monotonic;
    if (pthread_condattr_init(&monotonic) != 0)
        return false;
#ifndef __APPLE__ /* which has timed waits of its own (reclaim.c) */
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
#endif
    bool ok = pthread_mutex_init(&d->sweep, NULL) == 0;
    for (int i = 0; ok && i < XE_RECLAIM_LANES; i++)
        ok = init_lane(&d->lanes[i], &monotonic);
    pthread_condattr_destroy(&monotonic);
    return ok;
}

/* A slot survives its thread with its limbo, which the next owner or a sweep
 * empties. */
static void detach(void *arg)
{
    struct xe_epoch_slot *slot = arg;
    xe_epoch_self = NULL;
    /* Release: pairs with the acquire in take_slot(). */
    atomic_store_explicit(&slot->owner, 0, memory_order_release);
}

enum xe_status xe_epoch_init(void)
{
    if (xe_epoch_the != NULL)
        return XE_OK;
    struct xe_epoch_domain *d = aligned_alloc(XE_CACHE_LINE, sizeof *d);
    if (d == NULL)
        return XE_NOMEM;
    memset(d, 0, sizeof *d);
    d->slots = map_slots();
    if (d->slots == NULL || !init_locks(d) || pthread_key_create(&thread_end, detach) != 0) {
        if (d->slots != NULL)
            munmap(d->slots, XE_EPOCH_SLOTS_MAX * sizeof *d->slots);
        free(d);
        return XE_NOMEM;
    }
    d->version = version();
    d->clock = 4; /* 0 is a slot outside of sections; stamps may be counted back from */
    d->fenced = !register_membarrier();
    xe_epoch_the = d;
    return XE_OK;
}

void *xe_epoch_domain(void)
{
    return xe_epoch_the;
}

bool xe_epoch_adopt(void *domain)
{
    struct xe_epoch_domain *d = domain;
    if (xe_epoch_the != NULL || d == NULL)
        return xe_epoch_the == d && d != NULL;
    if (d->version != version())
        return false;
    if (pthread_key_create(&thread_end, detach) != 0)
        return false;
    xe_epoch_the = d;
    return true;
}

/* --- Slots --------------------------------------------------------------- */

static uint32_t slot_count(void)
{
    /* Acquire: pairs with the count in take_slot(). */
    return atomic_load_explicit(&xe_epoch_the->n_slots, memory_order_acquire);
}

/* The same in all copies of the library; never 0. */
static uint64_t this_thread(void)
{
    return (uint64_t)(uintptr_t)pthread_self();
}

/* The slot that the calling thread took in another copy of the library. It ends with the
 * thread: that copy sees to it. */
static struct xe_epoch_slot *own_slot(void)
{
    uint64_t self = this_thread();
    uint32_t n = slot_count();
    for (uint32_t i = 0; i < n; i++) {
        struct xe_epoch_slot *slot = &xe_epoch_the->slots[i];
        /* Relaxed: only the thread itself sets this. */
        if (atomic_load_explicit(&slot->owner, memory_order_relaxed) == self)
            return slot;
    }
    return NULL;
}

static struct xe_epoch_slot *take_slot(void)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    uint64_t self = this_thread();
    for (uint32_t i = 0; i < XE_EPOCH_SLOTS_MAX; i++) {
        struct xe_epoch_slot *slot = &d->slots[i];
        uint64_t none = 0;
        /* Acquire: pairs with the release in detach(). */
        if (atomic_load_explicit(&slot->owner, memory_order_relaxed) != 0 ||
            !atomic_compare_exchange_strong_explicit(&slot->owner, &none, self,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        /* Before the slot's first section: a scan that must see the section
         * sees the count. acq_rel: pairs with xe_epoch_is_idle(). */
        uint32_t n = atomic_load_explicit(&d->n_slots, memory_order_relaxed);
        while (n <= i && !atomic_compare_exchange_weak_explicit(
                             &d->n_slots, &n, i + 1, memory_order_acq_rel, memory_order_relaxed))
            ;
        return slot;
    }
    return NULL;
}

struct xe_epoch_slot *xe_epoch_attach(void)
{
    struct xe_epoch_slot *slot = own_slot();
    if (slot != NULL) {
        xe_epoch_self = slot;
        return slot;
    }
    /* More living threads than slots: one has to end first. */
    for (uint32_t n = 0; (slot = take_slot()) == NULL; n++)
        backoff(n);
    xe_epoch_self = slot;
    /* Failing, it only means that the slot is not reused, but by a thread with the same
     * number. */
    (void)pthread_setspecific(thread_end, slot);
    return slot;
}

/* --- The clock ----------------------------------------------------------- */

/* Whether no open section that can be seen was entered before the clock stood at `now`. */
static bool all_are_at(const struct xe_epoch_domain *d, uint64_t now)
{
    uint32_t n = slot_count();
    for (uint32_t i = 0; i < n; i++) {
        /* Acquire: pairs with the release in xe_epoch_leave(), see (4). */
        uint64_t e = atomic_load_explicit(&d->slots[i].epoch, memory_order_acquire);
        if (e != 0 && e != now)
            return false;
    }
    return true;
}

bool xe_epoch_try_advance(void)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    uint64_t now = atomic_load_explicit(&d->clock, memory_order_acquire);
    /* The first look spares a barrier that would be for nothing: it interrupts all cores. */
    if (!all_are_at(d, now) || !xe_epoch_heavy_barrier() || !all_are_at(d, now))
        return false;
    /* Release: pairs with the acquire in xe_epoch_enter() and xe_epoch_now().
     * Acquire: passes on what earlier advances acquired. Failing, somebody else
     * has advanced it. */
    atomic_compare_exchange_strong_explicit(&d->clock, &now, now + 1, memory_order_acq_rel,
                                            memory_order_relaxed);
    return true;
}

void xe_epoch_synchronize(void)
{
    XE_ASSERT(xe_epoch_self == NULL ||
              atomic_load_explicit(&xe_epoch_self->epoch, memory_order_relaxed) == 0);
    xe_epoch_light_barrier();
    uint64_t stamp = xe_epoch_stamp();
    for (uint32_t n = 0; !xe_epoch_is_ripe(stamp);)
        n = xe_epoch_try_advance() ? 0 : (backoff(n), n + 1);
}

bool xe_epoch_quiesce_writers(const void *table, uint64_t max_ns)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    uint64_t deadline = monotonic_ns() + max_ns;
    /* A writer either made its store before the barrier's point, and is seen
     * below, or looks at the gate after it, and finds it closed. */
    if (!xe_epoch_heavy_barrier())
        return false;
    uint32_t n = slot_count();
    for (uint32_t i = 0; i < n; i++) {
        /* Acquire: pairs with the release in xe_epoch_write_leave(). Seen once
         * without the table is enough: a later section met the closed gate. */
        for (uint32_t k = 0;
             atomic_load_explicit(&d->slots[i].writing, memory_order_acquire) == table; k++) {
            if (monotonic_ns() >= deadline)
                return false;
            backoff(k);
        }
    }
    return true;
}

/* --- Limbo --------------------------------------------------------------- */

static void limbo_lock(struct xe_epoch_slot *slot)
{
    /* Acquire: pairs with the release in limbo_unlock(). Held for a few dozen
     * instructions, by the owner or the one sweep. */
    for (uint32_t n = 0; atomic_exchange_explicit(&slot->lock, 1, memory_order_acquire) != 0; n++)
        backoff(n);
}

static void limbo_unlock(struct xe_epoch_slot *slot)
{
    atomic_store_explicit(&slot->lock, 0, memory_order_release);
}

static void limbo_append(struct xe_epoch_slot *slot, struct xe_retired *r)
{
    if (slot->head == NULL)
        slot->tail = &slot->head;
    *slot->tail = r;
    slot->tail = &r->next;
    slot->bytes += r->bytes;
}

/* Takes up to `max` things off the old end that are ripe when the clock is at
 * `now`. Their bytes count as waiting until limbo_freed(). */
static struct xe_retired *limbo_take(struct xe_epoch_slot *slot, uint64_t now, uint32_t max)
{
    struct xe_retired *first = slot->head, **end = &slot->head;
    for (uint32_t i = 0; i < max && *end != NULL && now >= (*end)->epoch + 2; i++)
        end = &(*end)->next;
    if (end == &slot->head)
        return NULL;
    slot->head = *end;
    *end = NULL;
    return first;
}

/* Returns the bytes that are free now. */
static size_t free_chain(struct xe_retired *r)
{
    size_t bytes = 0;
    while (r != NULL) {
        struct xe_retired *next = r->next;
        bytes += r->bytes;
        r->free(r);
        r = next;
    }
    return bytes;
}

static void wake_reclaimer(void)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    struct xe_reclaim_lane *lane = &d->lanes[XE_RECLAIM_MEMORY];
    pthread_mutex_lock(&lane->lock);
    atomic_store_explicit(&d->asleep, 0, memory_order_relaxed);
    pthread_cond_broadcast(&lane->work);
    pthread_mutex_unlock(&lane->lock);
}

/* Frees a batch of this thread's own things. A free that retires something gets
 * here again: then the outer call goes on with the work. */
static void free_some(struct xe_epoch_slot *slot)
{
    uint64_t now = xe_epoch_now();
    struct xe_retired *ripe = NULL;
    limbo_lock(slot);
    if ((slot->freeing & 1) == 0 &&
        (ripe = limbo_take(slot, now, XE_EPOCH_FREE_BATCH)) != NULL)
        slot->freeing++;
    limbo_unlock(slot);
    if (ripe == NULL)
        return;
    size_t freed = free_chain(ripe);
    limbo_lock(slot);
    slot->bytes -= freed;
    slot->freeing++;
    limbo_unlock(slot);
}

void xe_epoch_retire(struct xe_epoch_slot *slot, struct xe_retired *r)
{
    XE_ASSERT(slot == xe_epoch_self);
    if (r->bytes == 0)
        r->bytes = 1; /* a limbo with something in it never counts as empty */
    size_t bytes = r->bytes;
    r->next = NULL;
    xe_epoch_light_barrier();
    r->epoch = xe_epoch_stamp();
    limbo_lock(slot);
    limbo_append(slot, r);
    limbo_unlock(slot);
    /* Relaxed: ordered by the limbo's lock, see xe_epoch_is_idle(). */
    if (atomic_load_explicit(&xe_epoch_the->asleep, memory_order_relaxed) != 0)
        wake_reclaimer();

    slot->since_bytes += bytes;
    slot->since_count++;
    if (slot->since_count >= XE_EPOCH_ADVANCE_COUNT ||
        slot->since_bytes >= XE_EPOCH_ADVANCE_BYTES) {
        slot->since_count = 0;
        slot->since_bytes = 0;
        xe_epoch_try_advance();
    }
    free_some(slot);
}

bool xe_epoch_is_idle(void)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    /*
     * A retire that is missed here sees the caller's stores: either it locked
     * its limbo after this looked at it, or its slot was counted after this
     * read the count. acq_rel: pairs with the count in take_slot().
     */
    uint32_t n = atomic_fetch_add_explicit(&d->n_slots, 0, memory_order_acq_rel);
    for (uint32_t i = 0; i < n; i++) {
        limbo_lock(&d->slots[i]);
        size_t bytes = d->slots[i].bytes;
        limbo_unlock(&d->slots[i]);
        if (bytes != 0)
            return false;
    }
    return true;
}

static size_t sweep_slot(struct xe_epoch_slot *slot, uint64_t now)
{
    for (size_t freed = 0;;) {
        limbo_lock(slot);
        slot->bytes -= freed;
        size_t waiting = slot->bytes;
        struct xe_retired *ripe = limbo_take(slot, now, SWEEP_BATCH);
        limbo_unlock(slot);
        if (ripe == NULL)
            return waiting;
        freed = free_chain(ripe);
    }
}

size_t xe_epoch_collect(void)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    size_t waiting = 0;
    pthread_mutex_lock(&d->sweep);
    if (!xe_epoch_is_idle()) {
        for (int i = 0; i < ADVANCES_PER_SWEEP && xe_epoch_try_advance(); i++)
            ;
        uint64_t now = xe_epoch_now();
        uint32_t n = slot_count();
        for (uint32_t i = 0; i < n; i++)
            waiting += sweep_slot(&d->slots[i], now);
    }
    pthread_mutex_unlock(&d->sweep);
    return waiting;
}

void xe_epoch_settle(void)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    /* The lock: a sweep frees under it. */
    pthread_mutex_lock(&d->sweep);
    uint32_t n = slot_count();
    for (uint32_t i = 0; i < n; i++) {
        struct xe_epoch_slot *slot = &d->slots[i];
        uint32_t first = 0, seen;
        for (uint32_t k = 0;; k++) {
            limbo_lock(slot);
            seen = slot->freeing;
            limbo_unlock(slot);
            if (k == 0)
                first = seen;
            if ((seen & 1) == 0 || seen != first)
                break;
            backoff(k);
        }
    }
    pthread_mutex_unlock(&d->sweep);
}

void xe_epoch_shutdown(void)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    if (d == NULL)
        return;
    while (!xe_epoch_is_idle())
        xe_epoch_collect();
    pthread_key_delete(thread_end);
    for (int i = 0; i < XE_RECLAIM_LANES; i++) {
        pthread_cond_destroy(&d->lanes[i].done);
        pthread_cond_destroy(&d->lanes[i].work);
        pthread_mutex_destroy(&d->lanes[i].lock);
    }
    pthread_mutex_destroy(&d->sweep);
    munmap(d->slots, XE_EPOCH_SLOTS_MAX * sizeof *d->slots);
    free(d);
    xe_epoch_self = NULL;
    xe_epoch_the = NULL;
}
