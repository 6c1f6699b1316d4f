/*
 * epoch.h - safe memory reclamation: readers never lock.
 *
 * Epoch-based reclamation after Fraser ("Practical lock-freedom", 2004), with
 * the asymmetric fence of liburcu's memb flavour: a section is entered by a
 * plain store, and the side that advances the clock pays for the ordering with
 * membarrier(PRIVATE_EXPEDITED). Where the system has no membarrier the reader
 * pays with a full fence instead (`fenced`), as it does under ThreadSanitizer.
 *
 * Guarantees (referred to from code and tests)
 *   E1  What is retired carries a stamp, and is freed only when the clock has
 *       reached stamp+2. The clock does not pass the stamp before the store
 *       that made the thing unreachable is visible to everybody.
 *   E2  While a section is open during whose entry the clock stood at s, the
 *       clock is at most s+1.
 *   E3  So whatever a section could reach when it was entered, or has reached
 *       since, is neither freed nor overwritten before the section is left.
 *   E4  When xe_epoch_quiesce_writers(t) returns true, no write section on `t`
 *       that began before the caller's last store is still open.
 *
 * A thread takes a slot (a cache line it alone writes) on its first section;
 * slots are never freed, but reused after their thread has ended. Its sections in
 * different copies of the library have one slot: upgrades do not use slots up.
 *
 * Why it holds is argued in epoch.c and checked by test/model/epoch.pml.
 */
#ifndef XE_EPOCH_H
#define XE_EPOCH_H

#include <pthread.h>

#include "core.h"

/* Compile-time choice of the fenced variant. gcc's ThreadSanitizer knows
 * neither membarrier nor fences, so there the reader's store is an exchange. */
#if defined(__SANITIZE_THREAD__)
#define XE_EPOCH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define XE_EPOCH_TSAN 1
#endif
#endif
#ifndef XE_EPOCH_TSAN
#define XE_EPOCH_TSAN 0
#endif

enum {
    XE_EPOCH_SLOTS_MAX = 4096,        /* threads; the BEAM has at most 3 x 1024 and a few */
    XE_EPOCH_FREE_BATCH = 8,          /* things one retire frees at most */
    XE_EPOCH_ADVANCE_COUNT = 32,      /* retires ... */
    XE_EPOCH_ADVANCE_BYTES = 1 << 18, /* ... or bytes between two tries to advance */
};

/* Embedded in everything that is retired. */
struct xe_retired {
    struct xe_retired *next;
    void (*free)(struct xe_retired *);
    uint64_t epoch; /* its stamp */
    size_t bytes;   /* what freeing it gives back, for pacing */
};

struct xe_epoch_slot {
    _Alignas(XE_CACHE_LINE) _Atomic uint64_t epoch; /* 0 outside of sections */
    _Atomic(const void *) writing;                  /* the table of a write section */
    _Atomic uint64_t owner;                         /* the living thread that has it, or 0 */
    struct xe_log_write *logging; /* what the write section writes to its table's log (log.h) */
    /* The user's: what a call of this thread has published in a log, and must wait for
     * (c_src/beam/durable.h). */
    void *owed;
    uint64_t owed_number;
    /* Limbo: what this thread retired, oldest first. Under `lock`: the
     * reclaimer thread sweeps the limbo of threads that have gone quiet. */
    _Alignas(XE_CACHE_LINE) _Atomic uint32_t lock;
    uint32_t freeing; /* odd while the owner frees what it took out of its limbo */
    struct xe_retired *head, **tail;
    size_t bytes;       /* waiting, or being freed */
    size_t since_bytes; /* retired since the last try to advance */
    uint32_t since_count;
};

_Static_assert(sizeof(struct xe_epoch_slot) == 2 * XE_CACHE_LINE,
               "readers and limbo have a line each");

/* The reclaimer's lanes: each has jobs, and a thread that runs them (reclaim.h). */
enum { XE_RECLAIM_MEMORY, XE_RECLAIM_IO, XE_RECLAIM_LANES };

/* What one thread of the reclaimer serves (reclaim.c). */
struct xe_reclaim_lane {
    pthread_mutex_t lock;
    pthread_cond_t work;         /* there may be something to do */
    pthread_cond_t done;         /* a drain's mark was reached, or nobody serves any more */
    struct xe_reclaim_job *jobs; /* pushed, oldest first */
    struct xe_reclaim_job **jobs_tail;
    struct xe_reclaim_job *ready; /* taken off `jobs`, their grace period over */
    uint64_t generation;          /* raised by every thread that starts to serve */
    bool serving;                 /* somebody does: a thread, or a drain without one */
};

/* All state of the process, shared by all copies of this library. */
struct xe_epoch_domain {
    uint64_t version; /* XE_EPOCH_VERSION; first, so that every copy can read it */
    _Alignas(XE_CACHE_LINE) _Atomic uint64_t clock;
    _Atomic uint32_t asleep; /* the reclaimer waits for a retire (reclaim.c) */
    bool fenced;             /* readers pay for the ordering: no membarrier */
    _Alignas(XE_CACHE_LINE) struct xe_epoch_slot *slots; /* XE_EPOCH_SLOTS_MAX, touched as used */
    _Atomic uint32_t n_slots;                            /* of them, how many were ever used */
    pthread_mutex_t sweep;                               /* held by the one sweep at a time */
    struct xe_reclaim_lane lanes[XE_RECLAIM_LANES];
};

#define XE_EPOCH_HIDDEN __attribute__((visibility("hidden")))
/* A dlopen'ed library may use a few bytes of glibc's static TLS: one load
 * instead of a call (0.65 against 2.0 ns for a whole section). */
#if defined(__GLIBC__)
#define XE_EPOCH_TLS __attribute__((tls_model("initial-exec")))
#else
#define XE_EPOCH_TLS
#endif

extern XE_EPOCH_HIDDEN struct xe_epoch_domain *xe_epoch_the;
extern XE_EPOCH_HIDDEN XE_EPOCH_TLS __thread struct xe_epoch_slot *xe_epoch_self;

/* Before everything else. XE_NOMEM leaves nothing behind. Idempotent. */
enum xe_status xe_epoch_init(void);
/* The state, for another copy of the library; what that copy calls instead of
 * init. False: the other copy has another layout. */
void *xe_epoch_domain(void);
bool xe_epoch_adopt(void *domain);
/* Tests: frees what waits and the domain itself. No other thread is inside the
 * core, no reclaimer runs, and every thread but the caller that ever entered a
 * section has ended. */
void xe_epoch_shutdown(void);

/* Gives the calling thread its slot. */
struct xe_epoch_slot *xe_epoch_attach(void);

/*
 * Orders a store of this thread (made just before) with its loads after it, in
 * the eyes of a thread that calls the barrier of the advancing side between a
 * store and loads of its own. With membarrier that costs the compiler's good
 * behaviour only. Pairs with xe_epoch_heavy_barrier(). Under ThreadSanitizer the
 * store must be an exchange.
 */
static inline void xe_epoch_light_barrier(void)
{
#if !XE_EPOCH_TSAN
    if (XE_UNLIKELY(xe_epoch_the->fenced))
        atomic_thread_fence(memory_order_seq_cst);
#endif
    atomic_signal_fence(memory_order_seq_cst);
}

/*
 * The expensive half of xe_epoch_light_barrier(). False: the system refused
 * (the call may lack memory), and nothing is ordered.
 */
bool xe_epoch_heavy_barrier(void);

/* Enters / leaves a section. Sections do not nest. Cost: about 1 ns. */
static inline struct xe_epoch_slot *xe_epoch_enter(void)
{
    struct xe_epoch_slot *slot = xe_epoch_self;
    if (XE_UNLIKELY(slot == NULL))
        slot = xe_epoch_attach();
    XE_ASSERT(atomic_load_explicit(&slot->epoch, memory_order_relaxed) == 0);
    /* Acquire: pairs with the release of the clock in xe_epoch_try_advance(), so
     * that a section entered at e sees everything unlinked before e began. The
     * clock may move on before the store: a value from the past only makes the
     * section hold it back more. */
    uint64_t now = atomic_load_explicit(&xe_epoch_the->clock, memory_order_acquire);
#if XE_EPOCH_TSAN
    atomic_exchange_explicit(&slot->epoch, now, memory_order_seq_cst);
#else
    atomic_store_explicit(&slot->epoch, now, memory_order_relaxed);
#endif
    xe_epoch_light_barrier();
    return slot;
}

static inline void xe_epoch_leave(struct xe_epoch_slot *slot)
{
    /* Release, both: pair with the acquire loads in quiesce_writers() and
     * try_advance(); what the section read or wrote is over when they see it. */
    atomic_store_explicit(&slot->writing, NULL, memory_order_release);
    atomic_store_explicit(&slot->epoch, 0, memory_order_release);
}

/* The clock now. To compare with stamps; a stamp is what xe_epoch_stamp() gives. */
static inline uint64_t xe_epoch_now(void)
{
    /* Acquire: pairs with the release in try_advance(): whoever sees the clock
     * at stamp+2 comes after all sections that could use the stamped thing. */
    return atomic_load_explicit(&xe_epoch_the->clock, memory_order_acquire);
}

/*
 * Stamps what is retired inside an image. Call it after the store that makes
 * the thing unreachable, in the same section. The store may still wait in a
 * store buffer when the clock is read, so the stamp is one more than the clock:
 * the clock does not pass it while the section is open (E2).
 */
static inline uint64_t xe_epoch_stamp(void)
{
    return xe_epoch_now() + 1;
}

/* Whether what carries this stamp may be freed or overwritten (E1). */
static inline bool xe_epoch_is_ripe(uint64_t stamp)
{
    return xe_epoch_now() >= stamp + 2;
}

/*
 * Makes this thread's section a write section on `table`: one relaxed store,
 * made before the caller looks at the table's gate. Pairs with
 * xe_epoch_quiesce_writers(). Ends with xe_epoch_write_leave() or _leave().
 */
static inline void xe_epoch_write_enter(struct xe_epoch_slot *slot, const void *table)
{
#if XE_EPOCH_TSAN
    atomic_exchange_explicit(&slot->writing, table, memory_order_seq_cst);
#else
    atomic_store_explicit(&slot->writing, table, memory_order_relaxed);
#endif
    xe_epoch_light_barrier();
}

static inline void xe_epoch_write_leave(struct xe_epoch_slot *slot)
{
    /* Release: pairs with the acquire load in quiesce_writers(). */
    atomic_store_explicit(&slot->writing, NULL, memory_order_release);
}

/*
 * Moves an open section up to the present. Only for a writer that holds
 * nothing but pointers protected by a segment lock.
 */
static inline void xe_epoch_refresh(struct xe_epoch_slot *slot)
{
    uint64_t now = atomic_load_explicit(&xe_epoch_the->clock, memory_order_acquire);
    /* Release: to the advancing side this is a leave and an enter in one. */
#if XE_EPOCH_TSAN
    atomic_exchange_explicit(&slot->epoch, now, memory_order_seq_cst);
#else
    atomic_store_explicit(&slot->epoch, now, memory_order_release);
#endif
    xe_epoch_light_barrier();
}

/* Tries to advance the clock by one; false if an open section forbids it. */
bool xe_epoch_try_advance(void);

/* Hands `r` (already unreachable for new sections) over; r->free(r) is called
 * after its grace period, on this thread inside a later retire, or on the
 * reclaimer thread. Frees a bounded number of older things on the way. Inside
 * or outside of a section; `slot` is the calling thread's. A free may retire, but
 * not wait. */
void xe_epoch_retire(struct xe_epoch_slot *slot, struct xe_retired *r);

/* One sweep over the limbo of all threads. Returns the bytes still waiting.
 * Never inside a section. */
size_t xe_epoch_collect(void);

/* Waits for a grace period. Never inside a section, never on a scheduler. */
void xe_epoch_synchronize(void);

/* E4. The caller has closed the gate. Waits at most `max_ns`; false if a write
 * section was still open then. */
bool xe_epoch_quiesce_writers(const void *table, uint64_t max_ns);

/* Whether nothing waits in any limbo. Ordered after the caller's stores: a retire
 * that this misses sees them (reclaim.c goes to sleep by it). */
bool xe_epoch_is_idle(void);
/* Waits until no thread frees what it had taken out of its limbo before. */
void xe_epoch_settle(void);

#endif
