/*
 * estate.c - see estate.h.
 */
#include "estate.h"

#include "call.h"
#include "hooks.h"

static void lock(struct xe_estate *e)
{
    pthread_mutex_lock(&e->lock);
}

static void unlock(struct xe_estate *e)
{
    pthread_mutex_unlock(&e->lock);
}

static bool lives(ErlNifEnv *env, ERL_NIF_TERM term)
{
    ErlNifPid pid = {.pid = term};
    return enif_is_process_alive(env, &pid);
}

/* --- The estate --------------------------------------------------------- */

struct xe_estate *xe_estate_new(struct xe_owned *table)
{
    struct xe_estate *e = enif_alloc(sizeof *e);
    if (!e)
        return NULL;
    memset(e, 0, sizeof *e);
    pthread_mutex_init(&e->lock, NULL);
    e->table = table;
    return e;
}

void xe_estate_free(struct xe_estate *e)
{
    pthread_mutex_destroy(&e->lock);
    enif_free(e);
}

/* On the reclaimer's thread: thousands of processes may have fixed the table. */
static void dissolve(struct xe_reclaim_job *job)
{
    struct xe_estate *e = (void *)((uintptr_t)job - offsetof(struct xe_estate, job));
    struct xe_fixer *fixer;
    xe_hook(NULL, "xets_dissolving");
    while ((fixer = e->fixing.root)) {
        xe_fixing_remove(&e->fixing, fixer);
        enif_demonitor_process(NULL, e->table, &fixer->monitor);
        enif_free(fixer);
    }
    if (e->watched)
        enif_demonitor_process(NULL, e->table, &e->monitor);
    if (e->heir && e->heir->watched)
        enif_demonitor_process(NULL, e->table, &e->heir->monitor);
    if (e->heir)
        xe_heir_drop(e->heir);
    e->heir = NULL;
    enif_release_resource(e->table);
}

void xe_estate_end(struct xe_estate *e)
{
    lock(e);
    e->ended = true;
    unlock(e);
    xe_table_delete(e->table->core);
    e->job.run = dissolve;
    xe_reclaim_push(&e->job);
}

/* The monitors have gone with the resource. */
static void dissolve_collected(struct xe_reclaim_job *job)
{
    struct xe_estate *e = (void *)((uintptr_t)job - offsetof(struct xe_estate, job));
    struct xe_fixer *fixer;
    while ((fixer = e->fixing.root)) {
        xe_fixing_remove(&e->fixing, fixer);
        enif_free(fixer);
    }
    xe_estate_free(e);
}

void xe_estate_collected(struct xe_estate *e)
{
    xe_table_delete(e->table->core);
    e->job.run = dissolve_collected;
    xe_reclaim_push(&e->job);
}

/* --- The owner ---------------------------------------------------------- */

bool xe_estate_watch(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *owner)
{
    lock(e);
    bool watched = enif_monitor_process(env, e->table, owner, &e->monitor) == 0;
    e->watched = watched;
    e->owner = owner->pid;
    unlock(e);
    return watched;
}

bool xe_estate_watches(struct xe_estate *e, ERL_NIF_TERM owner)
{
    lock(e);
    bool watches = e->watched && e->owner == owner;
    unlock(e);
    return watches;
}

enum xe_give xe_estate_give(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *to,
                            bool (*move)(struct xe_owned *table, ERL_NIF_TERM from),
                            ERL_NIF_TERM from)
{
    ErlNifMonitor monitor, ended;
    enum xe_give result = XE_GIVEN;
    bool was_watched = false;
    lock(e);
    if (e->ended) {
        result = XE_GIVE_LOST;
    } else if (enif_monitor_process(env, e->table, to, &monitor) != 0) {
        result = XE_GIVE_DEAD;
    } else if (!move(e->table, from)) {
        result = XE_GIVE_LOST;
        was_watched = true;
        ended = monitor;
    } else {
        was_watched = e->watched;
        ended = e->monitor;
        e->monitor = monitor;
        e->watched = true;
        e->owner = to->pid;
    }
    unlock(e);
    if (was_watched)
        enif_demonitor_process(env, e->table, &ended);
    return result;
}

/* --- The heir ----------------------------------------------------------- */

struct xe_heir *xe_heir_new(const ErlNifPid *pid, bool told, ERL_NIF_TERM data)
{
    struct xe_heir *heir = enif_alloc(sizeof *heir);
    if (!heir)
        return NULL;
    atomic_init(&heir->references, 1);
    heir->pid = *pid;
    heir->told = told;
    heir->watched = false;
    heir->env = NULL;
    heir->data = data;
    if (!xe_term_is_immediate(data)) {
        heir->env = enif_alloc_env();
        if (!heir->env) {
            enif_free(heir);
            return NULL;
        }
        heir->data = enif_make_copy(heir->env, data);
    }
    return heir;
}

void xe_heir_drop(struct xe_heir *heir)
{
    /* acq_rel: whoever drops the last one frees what others have read. */
    if (atomic_fetch_sub_explicit(&heir->references, 1, memory_order_acq_rel) > 1)
        return;
    if (heir->env)
        enif_free_env(heir->env);
    enif_free(heir);
}

void xe_estate_set_heir(ErlNifEnv *env, struct xe_estate *e, struct xe_heir *heir)
{
    struct xe_heir *old = heir;
    ErlNifMonitor ended;
    bool was_watched = false, is_dead = false;
    lock(e);
    if (!e->ended) {
        old = e->heir;
        if (old && old->watched) {
            was_watched = true;
            ended = old->monitor;
            old->watched = false;
        }
        if (heir) {
            is_dead = enif_monitor_process(env, e->table, &heir->pid, &heir->monitor) != 0;
            heir->watched = !is_dead;
        }
        e->heir = is_dead ? NULL : heir;
    }
    unlock(e);
    if (was_watched)
        enif_demonitor_process(env, e->table, &ended);
    if (is_dead)
        xe_heir_drop(heir);
    if (old)
        xe_heir_drop(old);
}

ERL_NIF_TERM xe_estate_heir(struct xe_estate *e)
{
    lock(e);
    ERL_NIF_TERM pid = e->heir && !e->ended ? e->heir->pid.pid : xe_am.none;
    unlock(e);
    return pid;
}

struct xe_heir *xe_estate_inherit(ErlNifEnv *env, struct xe_estate *e, ERL_NIF_TERM dead)
{
    ErlNifMonitor ended;
    bool was_watched = false;
    lock(e);
    struct xe_heir *heir = e->heir;
    if (heir && heir->watched && heir->pid.pid != dead && lives(env, heir->pid.pid)) {
        was_watched = e->watched;
        ended = e->monitor;
        e->owner = heir->pid.pid;
        e->monitor = heir->monitor;
        e->watched = true;
        /* It stays the heir, for when it gives the table away. */
        heir->watched =
            enif_monitor_process(env, e->table, &heir->pid, &heir->monitor) == 0;
        atomic_fetch_add_explicit(&heir->references, 1, memory_order_relaxed);
    } else {
        heir = NULL;
    }
    unlock(e);
    if (was_watched)
        enif_demonitor_process(env, e->table, &ended);
    return heir;
}

/* --- Fixations ---------------------------------------------------------- */

/* Walks and prunings let others have the lock after so many processes. */
enum { FIXERS_AT_ONCE = 64 };

/* Takes a process out, which has no fixation any more. Under the lock. */
static void take_out(struct xe_estate *e, struct xe_fixer *fixer)
{
    xe_fixing_remove(&e->fixing, fixer);
    if (e->fixing.n == 0)
        xe_table_unfix(e->table->core);
}

/* Ends the monitor of a process that is taken out. Without the lock. */
static void discard(ErlNifEnv *env, struct xe_estate *e, struct xe_fixer *fixer)
{
    enif_demonitor_process(env, e->table, &fixer->monitor);
    enif_free(fixer);
}

/* Takes a process in, which is watched. Under the lock. */
static enum xe_status take_in(struct xe_estate *e, struct xe_fixer *fixer)
{
    if (e->fixing.n == 0) {
        enum xe_status status = xe_table_fix(e->table->core);
        if (status != XE_OK)
            return status;
        e->fixing.since = enif_monotonic_time(ERL_NIF_NSEC);
        e->fixing.offset = enif_time_offset(ERL_NIF_NSEC);
    }
    xe_fixing_insert(&e->fixing, fixer);
    return XE_OK;
}

/* The same for one that is not watched. *left: what is to be discarded. */
static enum xe_status add(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *pid,
                          struct xe_fixer **left)
{
    struct xe_fixer *fixer = enif_alloc(sizeof *fixer);
    if (!fixer)
        return XE_NOMEM;
    /* A process that is being killed cannot be monitored; nobody sees what it gets. */
    if (enif_monitor_process(env, e->table, pid, &fixer->monitor) != 0) {
        enif_free(fixer);
        return XE_OK;
    }
    fixer->pid = pid->pid;
    fixer->count = 1;
    enum xe_status status = take_in(e, fixer);
    if (status != XE_OK)
        *left = fixer;
    return status;
}

enum xe_status xe_estate_fix(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *pid)
{
    enum xe_status status = XE_OK;
    struct xe_fixer *left = NULL;
    lock(e);
    struct xe_fixer *fixer = xe_fixing_find(&e->fixing, pid->pid);
    if (e->ended)
        status = XE_DEAD;
    else if (fixer)
        fixer->count++;
    else
        status = add(env, e, pid, &left);
    unlock(e);
    if (left)
        discard(env, e, left);
    return status;
}

enum xe_status xe_estate_unfix(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *pid)
{
    enum xe_status status = XE_OK;
    /* The core may move the section up to the present. */
    enif_keep_resource(e->table);
    lock(e);
    struct xe_fixer *fixer = xe_fixing_find(&e->fixing, pid->pid);
    if (e->ended) {
        status = XE_DEAD;
        fixer = NULL;
    } else if (fixer && --fixer->count == 0) {
        take_out(e, fixer);
    } else {
        fixer = NULL;
    }
    unlock(e);
    if (fixer)
        discard(env, e, fixer);
    enif_release_resource(e->table);
    return status;
}

/* The processes that were found dead, to be discarded without the lock. */
struct dead {
    struct xe_fixer *fixer[FIXERS_AT_ONCE];
    unsigned n;
};

static void discard_dead(ErlNifEnv *env, struct xe_estate *e, struct dead *dead)
{
    for (unsigned i = 0; i < dead->n; i++)
        discard(env, e, dead->fixer[i]);
    dead->n = 0;
}

/* Takes out some processes that are dead, until one is met that lives. XE_RETRY: there may be
 * more. */
static enum xe_status prune_some(ErlNifEnv *env, struct xe_estate *e)
{
    struct dead dead = {.n = 0};
    enum xe_status status = XE_RETRY;
    lock(e);
    while (status == XE_RETRY && dead.n < FIXERS_AT_ONCE) {
        struct xe_fixer *fixer = e->ended ? NULL : e->fixing.root;
        if (!fixer) {
            status = XE_ABSENT;
        } else if (lives(env, fixer->pid)) {
            status = XE_OK;
        } else {
            dead.fixer[dead.n++] = fixer;
            take_out(e, fixer);
        }
    }
    unlock(e);
    discard_dead(env, e, &dead);
    return status;
}

enum xe_status xe_estate_is_fixed(ErlNifEnv *env, struct xe_estate *e)
{
    enum { ROUNDS = 8 };
    enum xe_status status = XE_RETRY;
    enif_keep_resource(e->table);
    for (unsigned i = 0; i < ROUNDS && status == XE_RETRY; i++)
        status = prune_some(env, e);
    enif_release_resource(e->table);
    return status;
}

/* Some of the living processes after *last, and how often each has fixed the table. */
struct listing {
    ERL_NIF_TERM last;
    ErlNifTime since, offset;
    struct dead dead;
    ERL_NIF_TERM pid[FIXERS_AT_ONCE];
    uint64_t count[FIXERS_AT_ONCE];
    unsigned n;
};

/* False: that were all. */
static bool list_some(ErlNifEnv *env, struct xe_estate *e, struct listing *l)
{
    bool more = true;
    lock(e);
    l->since = e->fixing.since;
    l->offset = e->fixing.offset;
    for (l->n = 0; more && l->n + l->dead.n < FIXERS_AT_ONCE;) {
        struct xe_fixer *fixer = e->ended ? NULL : xe_fixing_after(&e->fixing, l->last);
        more = fixer != NULL;
        if (!more)
            continue;
        l->last = fixer->pid;
        if (lives(env, fixer->pid)) {
            l->pid[l->n] = fixer->pid;
            l->count[l->n++] = fixer->count;
        } else {
            l->dead.fixer[l->dead.n++] = fixer;
            take_out(e, fixer);
        }
    }
    unlock(e);
    return more;
}

bool xe_estate_list_fixers(ErlNifEnv *env, struct xe_estate *e, ErlNifTime *since,
                           ErlNifTime *offset, ERL_NIF_TERM *out)
{
    struct listing l = {.last = 0, .dead = {.n = 0}};
    bool more = true, any = false;
    *out = xe_call_nil;
    enif_keep_resource(e->table);
    while (more) {
        more = list_some(env, e, &l);
        discard_dead(env, e, &l.dead);
        for (unsigned i = 0; i < l.n; i++) {
            ERL_NIF_TERM count = enif_make_uint64(env, l.count[i]);
            *out = enif_make_list_cell(env, enif_make_tuple2(env, l.pid[i], count), *out);
        }
        if (l.n > 0) {
            any = true;
            *since = l.since;
            *offset = l.offset;
        }
    }
    enif_release_resource(e->table);
    return any;
}

/* --- Monitors ----------------------------------------------------------- */

ERL_NIF_TERM xe_estate_down(ErlNifEnv *env, struct xe_estate *e, const ErlNifPid *pid,
                            const ErlNifMonitor *monitor)
{
    ERL_NIF_TERM owner = 0;
    struct xe_fixer *fixer = NULL;
    (void)env;
    lock(e);
    if (e->ended) {
        /* the reclaimer has it */
    } else if (e->watched && enif_compare_monitors(monitor, &e->monitor) == 0) {
        e->watched = false;
        owner = e->owner;
    } else if (e->heir && e->heir->watched &&
               enif_compare_monitors(monitor, &e->heir->monitor) == 0) {
        e->heir->watched = false;
    } else {
        fixer = xe_fixing_find(&e->fixing, pid->pid);
        if (fixer && enif_compare_monitors(monitor, &fixer->monitor) == 0)
            take_out(e, fixer);
        else
            fixer = NULL;
    }
    unlock(e);
    if (fixer)
        enif_free(fixer);
    return owner;
}
