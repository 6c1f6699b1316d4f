/*
 * reclaim.c - the reclaimer: jobs after a grace period, sweeps, sleep.
 *
 * All its state is in the epoch's domain, so that another copy of the library
 * can go on with the queue. Of several threads the newest serves: starting, it
 * raises `generation`, and waits until the one before it, which sees that, has
 * cleared `serving`.
 *
 * Jobs go from `jobs` to `ready` together, with one grace period for all, and
 * are taken off `ready` one by one, so that stopping costs one job at most.
 *
 * Falling asleep without missing a retire: raise `asleep`, then look at all
 * limbos. A retire either put its thing there before that look, or sees `asleep`
 * (xe_epoch_is_idle() says why) and clears it under the lock; the sleeper waits,
 * under the lock, only while it is still raised.
 */
#include "reclaim.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "epoch.h"

enum { SWEEP_NS = 20 * 1000 * 1000 };

/*
 * This copy's threads are numbered, since one that was let go may still be at its last job
 * when the next is started. `stopped` is under the domain's lock; the rest belongs to the caller
 * of start, stop and dismiss.
 */
static struct xe_reclaim_threads ops;
static void *thread;
static bool started;
static uintptr_t newest;  /* thread of this copy */
static uintptr_t stopped; /* threads up to this one are to end */

/* A thread's right to serve. */
struct service {
    uintptr_t number;    /* among the threads of this copy */
    uint64_t generation; /* among those of all copies */
};

static struct timespec monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t;
}

static struct timespec plus_ns(struct timespec t, long ns)
{
    t.tv_nsec += ns;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static bool is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/* --- Serving ------------------------------------------------------------- */

/*
 * Runs one job, if there is one. Called under the lock by whoever has set
 * `serving`; drops the lock meanwhile.
 */
static bool run_one(struct xe_epoch_domain *d)
{
    if (d->ready == NULL && d->jobs != NULL) {
        struct xe_reclaim_job *batch = d->jobs;
        d->jobs = NULL;
        d->jobs_tail = &d->jobs;
        pthread_mutex_unlock(&d->lock);
        xe_epoch_synchronize();
        pthread_mutex_lock(&d->lock);
        d->ready = batch;
    }
    struct xe_reclaim_job *job = d->ready;
    if (job == NULL)
        return false;
    d->ready = job->next;
    pthread_mutex_unlock(&d->lock);
    job->run(job);
    pthread_mutex_lock(&d->lock);
    return true;
}

static bool may_serve(const struct xe_epoch_domain *d, const struct service *me)
{
    return me->number > stopped && me->generation == d->generation;
}

static bool has_job(const struct xe_epoch_domain *d)
{
    return d->ready != NULL || d->jobs != NULL;
}

/* Waits for a job until the next sweep is due. */
static void sleep_short(struct xe_epoch_domain *d, const struct timespec *next_sweep)
{
#ifdef __APPLE__
    struct timespec most = {0, SWEEP_NS};
    (void)next_sweep;
    pthread_cond_timedwait_relative_np(&d->work, &d->lock, &most);
#else
    pthread_cond_timedwait(&d->work, &d->lock, next_sweep);
#endif
}

/* Sleeps until there is a job, something is retired, or serving is over. */
static void sleep_long(struct xe_epoch_domain *d, const struct service *me)
{
    /* Relaxed, all: see xe_epoch_is_idle(). */
    atomic_store_explicit(&d->asleep, 1, memory_order_relaxed);
    pthread_mutex_unlock(&d->lock);
    bool idle = xe_epoch_is_idle();
    pthread_mutex_lock(&d->lock);
    while (idle && may_serve(d, me) && !has_job(d) &&
           atomic_load_explicit(&d->asleep, memory_order_relaxed) != 0)
        pthread_cond_wait(&d->work, &d->lock);
    atomic_store_explicit(&d->asleep, 0, memory_order_relaxed);
}

static void serve(struct xe_epoch_domain *d, const struct service *me)
{
    struct timespec next_sweep = monotonic();
    while (may_serve(d, me)) {
        bool busy = run_one(d);
        if (busy && is_before(monotonic(), next_sweep))
            continue;
        pthread_mutex_unlock(&d->lock);
        size_t waiting = xe_epoch_collect();
        pthread_mutex_lock(&d->lock);
        next_sweep = plus_ns(monotonic(), SWEEP_NS);
        if (has_job(d) || !may_serve(d, me))
            continue;
        if (waiting == 0)
            sleep_long(d, me);
        else
            sleep_short(d, &next_sweep);
    }
}

static void *body(void *arg)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    pthread_mutex_lock(&d->lock);
    struct service me = {(uintptr_t)arg, ++d->generation};
    pthread_cond_broadcast(&d->work);
    while (d->serving && may_serve(d, &me))
        pthread_cond_wait(&d->work, &d->lock);
    if (may_serve(d, &me)) {
        d->serving = true;
        serve(d, &me);
        d->serving = false;
        pthread_cond_broadcast(&d->work);
        pthread_cond_broadcast(&d->done);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* --- Starting and stopping ----------------------------------------------- */

/* Signals are for the threads of the program that loaded us. */
static bool posix_start(void **handle, void *(*f)(void *), void *arg)
{
    sigset_t all, old;
    pthread_t *t = malloc(sizeof *t);
    if (t == NULL)
        return false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(t, NULL, f, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error != 0) {
        free(t);
        return false;
    }
    *handle = t;
    return true;
}

static void posix_join(void *handle)
{
    pthread_t *t = handle;
    pthread_join(*t, NULL);
    free(t);
}

static void posix_detach(void *handle)
{
    pthread_t *t = handle;
    pthread_detach(*t);
    free(t);
}

bool xe_reclaim_start(const struct xe_reclaim_threads *threads)
{
    static const struct xe_reclaim_threads posix = {posix_start, posix_join, posix_detach};
    XE_ASSERT(!started);
    ops = threads == NULL ? posix : *threads;
    started = ops.start(&thread, body, (void *)++newest);
    return started;
}

static void tell_to_end(struct xe_epoch_domain *d)
{
    pthread_mutex_lock(&d->lock);
    stopped = newest;
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->lock);
}

void xe_reclaim_stop(void)
{
    if (!started)
        return;
    tell_to_end(xe_epoch_the);
    ops.join(thread);
    started = false;
}

void xe_reclaim_dismiss(void)
{
    if (!started)
        return;
    tell_to_end(xe_epoch_the);
    ops.detach(thread);
    started = false;
}

/* --- Pushing and draining ------------------------------------------------ */

void xe_reclaim_push(struct xe_reclaim_job *job)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    job->next = NULL;
    pthread_mutex_lock(&d->lock);
    *d->jobs_tail = job;
    d->jobs_tail = &job->next;
    pthread_cond_broadcast(&d->work);
    pthread_mutex_unlock(&d->lock);
}

/* The mark that a drain pushes behind all jobs there are. */
struct mark {
    struct xe_reclaim_job job;
    bool reached;
};

static void reach_mark(struct xe_reclaim_job *job)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    struct mark *mark = (struct mark *)job;
    /* The mark's grace period has made ripe all that was retired before it. */
    xe_epoch_collect();
    xe_epoch_settle();
    pthread_mutex_lock(&d->lock);
    mark->reached = true;
    pthread_cond_broadcast(&d->done);
    pthread_mutex_unlock(&d->lock);
}

void xe_reclaim_drain(void)
{
    struct xe_epoch_domain *d = xe_epoch_the;
    struct mark mark = {{NULL, reach_mark}, false};
    xe_reclaim_push(&mark.job);
    pthread_mutex_lock(&d->lock);
    while (!mark.reached) {
        if (d->serving) {
            pthread_cond_wait(&d->done, &d->lock);
            continue;
        }
        d->serving = true;
        while (!mark.reached && run_one(d))
            ;
        d->serving = false;
        pthread_cond_broadcast(&d->work);
        pthread_cond_broadcast(&d->done);
    }
    pthread_mutex_unlock(&d->lock);
}
