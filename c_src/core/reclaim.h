/*
 * reclaim.h - threads that end what should not be ended on a scheduler.
 *
 * They run jobs a grace period after these were pushed, in two lanes with a
 * thread each, of which neither waits for the other:
 *
 *   XE_RECLAIM_MEMORY  frees memory (a table of a million images to take apart),
 *                      and sweeps the limbos of threads that have gone quiet. Its
 *                      jobs never wait for a device.
 *   XE_RECLAIM_IO      closes files, and may stand still for as long as a disk does.
 *
 * With nothing to do they sleep, and nothing polls.
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
 * Starts the threads of this copy of the library; NULL: POSIX threads. If threads
 * of another copy serve the same domain, each ends after the job it is at, and the
 * one of this copy goes on with the queue. False: one could not be made; another
 * call starts what is missing.
 */
bool xe_reclaim_start(const struct xe_reclaim_threads *threads);
/* Ends the threads of this copy and joins them. What is still queued stays so for
 * whoever starts next. */
void xe_reclaim_stop(void);
/* The same without waiting: each ends by itself after the job it is at. The library
 * stays in memory. */
void xe_reclaim_dismiss(void);

/* Runs job->run(job) on the lane's thread after a grace period that began after
 * this call, in the order of the pushes. Never blocks; may be called in a section.
 * `run` is called outside of sections and may free the job. */
void xe_reclaim_push(struct xe_reclaim_job *job);    /* XE_RECLAIM_MEMORY */
void xe_reclaim_push_io(struct xe_reclaim_job *job); /* XE_RECLAIM_IO */

/* Waits until all that was pushed or retired before the call is done and freed, in both
 * lanes, and what the jobs of XE_RECLAIM_IO have pushed. Without a running thread the
 * caller does the work. Never inside a section, in a job, in a free, or on a scheduler. */
void xe_reclaim_drain(void);

#endif
