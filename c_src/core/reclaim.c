/*
 * reclaim.c - the reclaimer: jobs after a grace period, sweeps, sleep.
 *
 * All its state is in the epoch's domain, so that another copy of the library
 * can go on with the queues. Of several threads of a lane the newest serves:
 * starting, it raises `generation`, and waits until the one before it, which sees
 * that, has cleared `serving`.
 *
 * Jobs go from `jobs` to `ready` together, with one grace period for all, and
 * are taken off `ready` one by one, so that stopping costs one job at most.
 *
 * Falling asleep without missing a retire: raise `asleep`, then look at all
 * limbos. A retire either put its thing there before that look, or sees `asleep`
 * (xe_epoch_is_idle() says why) and clears it under the lock; the sleeper waits,
 * under the lock, only while it is still raised. Only the lane that sweeps does.
 */
#include "reclaim.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "epoch.h"

enum { SWEEP_NS = 20 * 1000 * 1000 };

/*
 * This copy's threads of a lane. They are numbered, since one that was let go may still be at its
 * last job when the next is started. `stopped` is under the lane's lock; the rest belongs to the
 * caller of start, stop and dismiss.
 */
struct crew {
    void *(*body)(void *number);
    void *thread;
    bool started;
    uintptr_t newest;  /* thread */
    uintptr_t stopped; /* threads up to this one are to end */
};

static void *memory_body(void *number);
static void *io_body(void *number);

static struct crew crews[XE_RECLAIM_LANES] = {[XE_RECLAIM_MEMORY] = {.body = memory_body},
                                              [XE_RECLAIM_IO] = {.body = io_body}};
static struct xe_reclaim_threads ops;

/* A thread's right to serve. */
struct service {
    const struct crew *crew;
    uintptr_t number;    /* in the crew */
    uint64_t generation; /* among the lane's threads of all copies */
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
static bool run_one(struct xe_reclaim_lane *lane)
{
    if (lane->ready == NULL && lane->jobs != NULL) {
        struct xe_reclaim_job *batch = lane->jobs;
        lane->jobs = NULL;
        lane->jobs_tail = &lane->jobs;
        pthread_mutex_unlock(&lane->lock);
        xe_epoch_synchronize();
        pthread_mutex_lock(&lane->lock);
        lane->ready = batch;
    }
    struct xe_reclaim_job *job = lane->ready;
    if (job == NULL)
        return false;
    lane->ready = job->next;
    pthread_mutex_unlock(&lane->lock);
    job->run(job);
    pthread_mutex_lock(&lane->lock);
    return true;
}

static bool may_serve(const struct xe_reclaim_lane *lane, const struct service *me)
{
    return me->number > me->crew->stopped && me->generation == lane->generation;
}

static bool has_job(const struct xe_reclaim_lane *lane)
{
    return lane->ready != NULL || lane->jobs != NULL;
}

/* Waits for a job until the next sweep is due. */
static void sleep_short(struct xe_reclaim_lane *lane, const struct timespec *next_sweep)
{
#ifdef __APPLE__
    struct timespec most = {0, SWEEP_NS};
    (void)next_sweep;
    pthread_cond_timedwait_relative_np(&lane->work, &lane->lock, &most);
#else
    pthread_cond_timedwait(&lane->work, &lane->lock, next_sweep);
#endif
}

/* Sleeps until there is a job, something is retired, or serving is over. */
static void sleep_long(struct xe_reclaim_lane *lane, const struct service *me)
{
    _Atomic uint32_t *asleep = &xe_epoch_the->asleep;
    /* Relaxed, all: see xe_epoch_is_idle(). */
    atomic_store_explicit(asleep, 1, memory_order_relaxed);
    pthread_mutex_unlock(&lane->lock);
    bool idle = xe_epoch_is_idle();
    pthread_mutex_lock(&lane->lock);
    while (idle && may_serve(lane, me) && !has_job(lane) &&
           atomic_load_explicit(asleep, memory_order_relaxed) != 0)
        pthread_cond_wait(&lane->work, &lane->lock);
    atomic_store_explicit(asleep, 0, memory_order_relaxed);
}

static void serve_memory(struct xe_reclaim_lane *lane, const struct service *me)
{
    struct timespec next_sweep = monotonic();
    while (may_serve(lane, me)) {
        bool busy = run_one(lane);
        if (busy && is_before(monotonic(), next_sweep))
            continue;
        pthread_mutex_unlock(&lane->lock);
        size_t waiting = xe_epoch_collect();
        pthread_mutex_lock(&lane->lock);
        next_sweep = plus_ns(monotonic(), SWEEP_NS);
        if (has_job(lane) || !may_serve(lane, me))
            continue;
        if (waiting == 0)
            sleep_long(lane, me);
        else
            sleep_short(lane, &next_sweep);
    }
}

static void serve_io(struct xe_reclaim_lane *lane, const struct service *me)
{
    while (may_serve(lane, me))
        if (!run_one(lane))
            pthread_cond_wait(&lane->work, &lane->lock);
}

/* The life of a thread. */
static void *serve(int which, void *number,
                   void (*jobs)(struct xe_reclaim_lane *, const struct service *))
{
    struct xe_reclaim_lane *lane = &xe_epoch_the->lanes[which];
    pthread_mutex_lock(&lane->lock);
    struct service me = {&crews[which], (uintptr_t)number, ++lane->generation};
    pthread_cond_broadcast(&lane->work);
    while (lane->serving && may_serve(lane, &me))
        pthread_cond_wait(&lane->work, &lane->lock);
    if (may_serve(lane, &me)) {
        lane->serving = true;
        jobs(lane, &me);
        lane->serving = false;
        pthread_cond_broadcast(&lane->work);
        pthread_cond_broadcast(&lane->done);
    }
    pthread_mutex_unlock(&lane->lock);
    return NULL;
}

static void *memory_body(void *number)
{
    return serve(XE_RECLAIM_MEMORY, number, serve_memory);
}

static void *io_body(void *number)
{
    return serve(XE_RECLAIM_IO, number, serve_io);
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
    bool all = true;
    ops = threads == NULL ? posix : *threads;
    for (struct crew *crew = crews; crew < crews + XE_RECLAIM_LANES; crew++) {
        if (!crew->started)
            crew->started = ops.start(&crew->thread, crew->body, (void *)++crew->newest);
        all = all && crew->started;
    }
    return all;
}

/* Has the threads of this copy end, and gives each away. */
static void end(void (*give)(void *handle))
{
    for (int i = 0; i < XE_RECLAIM_LANES; i++) {
        if (!crews[i].started)
            continue;
        struct xe_reclaim_lane *lane = &xe_epoch_the->lanes[i];
        pthread_mutex_lock(&lane->lock);
        crews[i].stopped = crews[i].newest;
        pthread_cond_broadcast(&lane->work);
        pthread_mutex_unlock(&lane->lock);
        give(crews[i].thread);
        crews[i].started = false;
    }
}

void xe_reclaim_stop(void)
{
    end(ops.join);
}

void xe_reclaim_dismiss(void)
{
    end(ops.detach);
}

/* --- Pushing and draining ------------------------------------------------ */

static void push(struct xe_reclaim_lane *lane, struct xe_reclaim_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&lane->lock);
    *lane->jobs_tail = job;
    lane->jobs_tail = &job->next;
    pthread_cond_broadcast(&lane->work);
    pthread_mutex_unlock(&lane->lock);
}

void xe_reclaim_push(struct xe_reclaim_job *job)
{
    push(&xe_epoch_the->lanes[XE_RECLAIM_MEMORY], job);
}

void xe_reclaim_push_io(struct xe_reclaim_job *job)
{
    push(&xe_epoch_the->lanes[XE_RECLAIM_IO], job);
}

/* The mark that a drain pushes behind all jobs that there are in a lane. */
struct mark {
    struct xe_reclaim_job job;
    struct xe_reclaim_lane *lane;
    bool reached;
};

static void reach_mark(struct xe_reclaim_job *job)
{
    struct mark *mark = (struct mark *)job;
    struct xe_reclaim_lane *lane = mark->lane;
    pthread_mutex_lock(&lane->lock);
    mark->reached = true;
    pthread_cond_broadcast(&lane->done);
    pthread_mutex_unlock(&lane->lock);
}

static void drain(struct xe_reclaim_lane *lane)
{
    struct mark mark = {{NULL, reach_mark}, lane, false};
    push(lane, &mark.job);
    pthread_mutex_lock(&lane->lock);
    while (!mark.reached) {
        if (lane->serving) {
            pthread_cond_wait(&lane->done, &lane->lock);
            continue;
        }
        lane->serving = true;
        while (!mark.reached && run_one(lane))
            ;
        lane->serving = false;
        pthread_cond_broadcast(&lane->work);
        pthread_cond_broadcast(&lane->done);
    }
    pthread_mutex_unlock(&lane->lock);
}

void xe_reclaim_drain(void)
{
    drain(&xe_epoch_the->lanes[XE_RECLAIM_IO]);
    drain(&xe_epoch_the->lanes[XE_RECLAIM_MEMORY]);
    /* The marks' grace periods have made ripe all that was retired before them. */
    xe_epoch_collect();
    xe_epoch_settle();
}
