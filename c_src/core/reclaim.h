/*
 * reclaim.h - one thread that frees what should not be freed on a scheduler.
 *
 * It runs jobs (a table of a million images to take apart) a grace period after
 * they were pushed, and sweeps the limbos of threads that have gone quiet. With
 * nothing to do it sleeps, and nothing polls.
 */
#ifndef XE_RECLAIM_H
#define XE_RECLAIM_H

#include "core.h"

/* Embedded in what the job works on. */
struct xe_reclaim_job {
    struct xe_reclaim_job *next;
    void (*run)(struct xe_reclaim_job *);
};

/* How to start a thread, and to join it or to let it go. */
struct xe_reclaim_threads {
    bool (*start)(void **handle, void *(*body)(void *), void *arg);
    void (*join)(void *handle);
    void (*detach)(void *handle);
};

/*
 * Starts the thread of this copy of the library; NULL: a POSIX thread. If a
 * thread of another copy serves the same domain, it ends after the job it is
 * at, and this one goes on with the queue. False: the thread could not be made.
 */
bool xe_reclaim_start(const struct xe_reclaim_threads *threads);
/* Ends the thread of this copy and joins it. What is still queued stays so for
 * whoever starts next. */
void xe_reclaim_stop(void);
/* The same without waiting: the thread ends by itself after the job it is at. The library
 * stays in memory. */
void xe_reclaim_dismiss(void);

/* Runs job->run(job) on the thread after a grace period that began after this
 * call, in the order of the pushes. Never blocks; may be called in a section.
 * `run` is called outside of sections and may free the job. */
void xe_reclaim_push(struct xe_reclaim_job *job);

/* Waits until all that was pushed or retired before the call is freed. Without a
 * running thread the caller does the work. Never inside a section, in a job, in
 * a free, or on a scheduler. */
void xe_reclaim_drain(void);

#endif
