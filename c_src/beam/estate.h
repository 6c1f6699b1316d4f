/*
 * estate.h - what a table has to do with processes beside its owner's word: monitors, the
 * heir, fixations.
 *
 * All under one lock, held for O(1) or O(log n), and for XE_LOCK_WAIT_NS where the core waits
 * that long, and never while terms are copied. While it is
 * held monitors are made, so that one that fires at once finds what it belongs to.
 *
 * A heir is a process, not a pid: it is known by its monitor. When that has fired nobody
 * inherits, whoever has the pid by then; and a heir that inherits is watched by the same
 * monitor as the owner.
 */
#ifndef XE_ESTATE_H
#define XE_ESTATE_H

#include <pthread.h>

#include "../core/reclaim.h"
#include "fixing.h"
#include "owner.h"

/* A heir. But for the monitor it never changes, so that its data can be copied without the lock by
 * who holds a reference. */
struct xe_heir {
    _Atomic uint32_t references;
    ErlNifPid pid;
    bool told;           /* gets a message when it inherits */
    ErlNifEnv *env;      /* of `data`; NULL: that is an immediate */
    ERL_NIF_TERM data;
    bool watched;        /* the monitor has not fired: the process is there */
    ErlNifMonitor monitor;
};

struct xe_estate {
    pthread_mutex_t lock;
    bool ended; /* the table is dead: what is here is the reclaimer's */
    bool watched;
    ErlNifMonitor monitor; /* of `owner`, if it is watched */
    ERL_NIF_TERM owner;
    struct xe_heir *heir;
    struct xe_fixing fixing;
    struct xe_owned *table;
    struct xe_reclaim_job job;
};

/* The estate of a new table. NULL: out of memory. */
struct xe_estate *xe_estate_new(struct xe_owned *table);
/* Frees an estate that has nothing in it any more. */
void xe_estate_free(struct xe_estate *e);
/* The resource of a snapshot is being destroyed: gives the core's table and the estate to the
 * reclaimer, which does not touch the resource any more. */
void xe_estate_collected(struct xe_estate *e);
/* The table has died: ends it in the core, and gives all that the estate has, and at last the
 * registry's reference to the table, to the reclaimer. */
void xe_estate_end(struct xe_estate *e);

/* --- The owner ---------------------------------------------------------- */

/* Watches the first owner. False: it is being killed. */
bool xe_estate_watch(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *owner);
/* Watches another owner, who becomes it if `move` says so under the lock. */
enum xe_give xe_estate_give(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *to,
                            bool (*move)(struct xe_owned *table, ERL_NIF_TERM from),
                            ERL_NIF_TERM from);
/* Whether this is the owner and has not been seen to end. */
bool xe_estate_watches(struct xe_estate *e, ERL_NIF_TERM owner);

/* --- The heir ----------------------------------------------------------- */

/* A heir with a copy of its data; `told` false: without. NULL: out of memory. */
struct xe_heir *xe_heir_new(const ErlNifPid *pid, bool told, ERL_NIF_TERM data);
void xe_heir_drop(struct xe_heir *heir);

/* Sets the heir, and takes it over; NULL, or one that is dead already: there is none. */
void xe_estate_set_heir(ErlNifEnv *env, struct xe_estate *e, struct xe_heir *heir);
/* The heir's pid, also if it is dead meanwhile, or `none`. */
ERL_NIF_TERM xe_estate_heir(struct xe_estate *e);

/* Makes the heir of a dead owner the one that is watched as the owner. Returns it, with a
 * reference for the caller; NULL: there is none that lives. */
struct xe_heir *xe_estate_inherit(ErlNifEnv *env, struct xe_estate *e, ERL_NIF_TERM dead);

/* --- Fixations ---------------------------------------------------------- */

/* Adds a fixation of a process, or takes one away, if it has any. Inside a section. XE_OK,
 * XE_NOMEM, XE_RETRY, XE_DEAD. O(log n); the first one waits for writers, as long as a call may. */
enum xe_status xe_estate_fix(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *pid);
enum xe_status xe_estate_unfix(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *pid);

/* Whether a process has fixed the table, be it dead. */
static inline bool xe_estate_has_fixers(struct xe_estate *e)
{
    /* Relaxed: who fixed the table itself, or was told of it, sees it. */
    return atomic_load_explicit(&e->fixing.n, memory_order_relaxed) > 0;
}
/* Whether a living process has fixed the table: XE_OK, XE_ABSENT. Fixations of dead ones that it
 * comes upon are taken away; XE_RETRY: as many as one call may. Inside a section. Amortised
 * O(log n). */
enum xe_status xe_estate_is_fixed(ErlNifEnv *env, struct xe_estate *e);
/* Roughly how many processes have fixed it. For scheduling decisions. */
static inline uint32_t xe_estate_fixers(struct xe_estate *e)
{
    return atomic_load_explicit(&e->fixing.n, memory_order_relaxed);
}
/* Those living processes with their counts, [{Pid, Count}], and since when (monotonic, and its
 * offset to the system's time then). False: there are none. Inside a section. Not of one instant.
 * O(n log n). */
bool xe_estate_list_fixers(ErlNifEnv *env, struct xe_estate *e, ErlNifTime *since,
                           ErlNifTime *offset, ERL_NIF_TERM *out);

/* --- Monitors ----------------------------------------------------------- */

/* A monitor has fired. Returns the owner, if it was the owner's, else 0. Inside a section. */
ERL_NIF_TERM xe_estate_down(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *pid,
                            const ErlNifMonitor *monitor);

#endif
