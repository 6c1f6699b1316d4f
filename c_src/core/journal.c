/*
 * journal.c - opening and closing journals; the thread that serves them all.
 */
#include "journal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "journal_internal.h"

enum {
    BUFFER_BYTES = 4 << 20,
    BUFFER_MIN = 4096,
    SEGMENT_BYTES = 16 << 20,
    SEGMENT_MIN = 2 * XE_SEGMENT_RECORDS,
    PAUSE_NS = 200000,
    WATCH_NS = 50000,  /* see rest() */
    WATCH_LOOKS = 16,  /* between two looks at the clock */
    SECOND_NS = 1000 * 1000 * 1000,
};

/* Raised with any change of struct xe_journal, or of what it leads to; the sizes catch most. */
#define LAYOUT                                                                                     \
    (UINT64_C(5) << 32 | sizeof(struct xe_journal) << 16 | sizeof(struct xe_journal_domain))

/* Static: the library stays in memory for good (c_src/Makefile). */
static struct xe_journal_domain own = {
    .version = LAYOUT,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
    .done = PTHREAD_COND_INITIALIZER,
};
struct xe_journal_domain *xe_journal_the = &own;

/* The thread of this copy, and how to end it. */
static struct xe_reclaim_threads ops;
static void *thread;
static uint64_t me; /* 0: there is none */
static bool has_many_cores;

void *xe_journal_domain(void)
{
    return xe_journal_the;
}

bool xe_journal_adopt(void *domain)
{
    struct xe_journal_domain *other = domain;
    if (other == NULL || other->version != LAYOUT)
        return false;
    /* Journals that are open here must not be forgotten. */
    if (xe_journal_the != &own || own.open)
        return xe_journal_the == other;
    xe_journal_the = other;
    return true;
}

/* --- Queues ---------------------------------------------------------------------- */

uint64_t xe_journal_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* Under the lock of the domain. */
static void enqueue(struct xe_journal_domain *d, struct xe_journal *j)
{
    if (j->is_queued)
        return;
    j->is_queued = true;
    j->next_queued = NULL;
    if (d->queue)
        d->queue_last->next_queued = j;
    else
        d->queue = j;
    d->queue_last = j;
    atomic_fetch_add_explicit(&d->queueings, 1, memory_order_relaxed);
    pthread_cond_broadcast(&d->work);
}

void xe_journal_queue(struct xe_journal *j)
{
    pthread_mutex_lock(&xe_journal_the->lock);
    enqueue(xe_journal_the, j);
    pthread_mutex_unlock(&xe_journal_the->lock);
}

/* The same under the lock of the domain. */
static void want_service(struct xe_journal_domain *d, struct xe_journal *j)
{
    atomic_store_explicit(&j->wanted, XE_WANTED_NOW, memory_order_seq_cst);
    enqueue(d, j);
}

void xe_journal_queue_late(struct xe_journal *j)
{
    struct xe_journal_domain *d = xe_journal_the;
    uint64_t until = xe_journal_now() + XE_JOURNAL_LATE_NS;
    pthread_mutex_lock(&d->lock);
    if (!j->is_late) {
        j->is_late = true;
        j->late_until = until;
        j->next_late = NULL;
        if (d->late) {
            d->late_last->next_late = j;
        } else {
            d->late = j;
            pthread_cond_broadcast(&d->work); /* it sleeps for too long now */
        }
        d->late_last = j;
    }
    pthread_mutex_unlock(&d->lock);
}

/* Queues those that are not to be later than now. Under the lock. */
static void queue_due(struct xe_journal_domain *d, uint64_t now)
{
    while (d->late && d->late->late_until <= now) {
        struct xe_journal *j = d->late;
        d->late = j->next_late;
        j->is_late = false;
        /* Else it has been served, or whoever was in a hurry queues it. */
        if (atomic_load_explicit(&j->wanted, memory_order_relaxed) == XE_WANTED_LATER)
            enqueue(d, j);
    }
}

/* --- Serving --------------------------------------------------------------------- */

/* Under the lock, which is dropped meanwhile. Who closes the journal waits for it. */
static void serve(struct xe_journal_domain *d, struct xe_journal *j)
{
    d->serving = j;
    pthread_mutex_unlock(&d->lock);
    xe_journal_serve(j);
    pthread_mutex_lock(&d->lock);
    d->serving = NULL;
    pthread_cond_broadcast(&d->done);
}

/* Serves the first in the queue. */
static void serve_one(struct xe_journal_domain *d)
{
    struct xe_journal *j = d->queue;
    d->queue = j->next_queued;
    j->is_queued = false;
    /* See xe_journal_notify(). The fence pairs with that before xe_journal_notify_later(). */
    atomic_exchange_explicit(&j->wanted, XE_WANTED_NOT, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
    serve(d, j);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Looks for work without sleeping. The lock is dropped meanwhile. */
static void watch(struct xe_journal_domain *d, uint64_t until)
{
    uint64_t seen = atomic_load_explicit(&d->queueings, memory_order_relaxed);
    pthread_mutex_unlock(&d->lock);
    do {
        for (int i = 0; i < WATCH_LOOKS; i++) {
            if (atomic_load_explicit(&d->queueings, memory_order_relaxed) != seen)
                break;
            relax();
        }
        sched_yield(); /* to who will have work, if that is on this core */
    } while (atomic_load_explicit(&d->queueings, memory_order_relaxed) == seen &&
             xe_journal_now() < until);
    pthread_mutex_lock(&d->lock);
}

/* Sleeps until there is work, or has to be looked for again. */
static void sleep_for_work(struct xe_journal_domain *d)
{
    if (!d->late) {
        pthread_cond_wait(&d->work, &d->lock);
        return;
    }
#ifdef __APPLE__
    uint64_t now = xe_journal_now();
    uint64_t most = d->late->late_until > now ? d->late->late_until - now : 0;
    struct timespec t = {(time_t)(most / SECOND_NS), (long)(most % SECOND_NS)};
    pthread_cond_timedwait_relative_np(&d->work, &d->lock, &t);
#else
    uint64_t until = d->late->late_until;
    struct timespec t = {(time_t)(until / SECOND_NS), (long)(until % SECOND_NS)};
    pthread_cond_timedwait(&d->work, &d->lock, &t);
#endif
}

/*
 * Waits for work, under the lock. To be woken takes several times as long as what there is to do
 * then, so the thread stays awake for a while if the last work came within that while: for who
 * writes, waits, and writes again. *awake: whether it does.
 */
static void rest(struct xe_journal_domain *d, uint64_t number, bool *awake)
{
    uint64_t begun = xe_journal_now();
    if (*awake)
        watch(d, begun + WATCH_NS);
    if (!d->queue && !d->serving && d->server == number)
        sleep_for_work(d);
    *awake = has_many_cores && d->queue && xe_journal_now() - begun < WATCH_NS;
}

static void *body(void *arg)
{
    struct xe_journal_domain *d = xe_journal_the;
    uint64_t number = (uintptr_t)arg;
    bool awake = false;
    pthread_mutex_lock(&d->lock);
    while (d->server == number) {
        if (d->late)
            queue_due(d, xe_journal_now());
        if (d->serving)
            pthread_cond_wait(&d->done, &d->lock);
        else if (d->queue)
            serve_one(d);
        else
            rest(d, number, &awake);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* Signals are for the threads of the program that loaded us. */
static bool posix_start(void **handle, void *(*f)(void *), void *arg)
{
    sigset_t all, old;
    pthread_t *t = malloc(sizeof *t);
    if (!t)
        return false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int code = pthread_create(t, NULL, f, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code)
        free(t);
    else
        *handle = t;
    return code == 0;
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

/* Makes another thread the server, or none. */
static void set_server(uint64_t number)
{
    struct xe_journal_domain *d = xe_journal_the;
    pthread_mutex_lock(&d->lock);
    d->server = number;
    pthread_cond_broadcast(&d->work);
    pthread_cond_broadcast(&d->done);
    pthread_mutex_unlock(&d->lock);
}

static uint64_t server(void)
{
    pthread_mutex_lock(&xe_journal_the->lock);
    uint64_t number = xe_journal_the->server;
    pthread_mutex_unlock(&xe_journal_the->lock);
    return number;
}

/* Waiting for late journals goes by the clock that nobody sets. Before there is a thread of this
 * copy nobody waits like that. */
static void init_clock(void)
{
#ifndef __APPLE__
    static bool is_done;
    pthread_condattr_t attr;
    if (is_done)
        return;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_lock(&own.lock);
    pthread_cond_destroy(&own.work);
    pthread_cond_init(&own.work, &attr);
    pthread_mutex_unlock(&own.lock);
    pthread_condattr_destroy(&attr);
    is_done = true;
#endif
}

bool xe_journal_start(const struct xe_reclaim_threads *threads)
{
    static const struct xe_reclaim_threads posix = {posix_start, posix_join, posix_detach};
    XE_ASSERT(me == 0);
    ops = threads ? *threads : posix;
    has_many_cores = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    init_clock();
    uint64_t before = server();
    pthread_mutex_lock(&xe_journal_the->lock);
    me = ++xe_journal_the->threads;
    pthread_mutex_unlock(&xe_journal_the->lock);
    set_server(me);
    if (ops.start(&thread, body, (void *)(uintptr_t)me))
        return true;
    set_server(before);
    me = 0;
    return false;
}

void xe_journal_stop(void)
{
    if (me == 0)
        return;
    if (server() == me)
        set_server(0);
    ops.join(thread);
    me = 0;
}

void xe_journal_dismiss(void)
{
    if (me == 0)
        return;
    if (server() == me)
        set_server(0);
    ops.detach(thread);
    me = 0;
}

/* Serves, or waits for who does. Under the lock. False: there is nothing to wait for. */
static bool help(struct xe_journal_domain *d)
{
    if (!d->serving && (!d->queue || !d->server)) {
        if (!d->queue)
            return false;
        serve_one(d);
        return true;
    }
    pthread_cond_wait(&d->done, &d->lock);
    return true;
}

/* --- Flushing -------------------------------------------------------------------- */

/* Whether all is synced, or never will be, that was committed before somebody asked for it. Under
 * the lock of the domain, so that it is not closed meanwhile. */
static bool is_flushed(struct xe_journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool is = xe_journal_has_reached(j, j->flush_to, XE_JOURNAL_DISK) ||
              atomic_load_explicit(&j->failed, memory_order_relaxed);
    pthread_mutex_unlock(&j->lock);
    return is || j->closed;
}

static bool are_flushed(const struct xe_journal_domain *d)
{
    struct xe_journal *j = d->open;
    while (j && is_flushed(j))
        j = j->next_open;
    return !j;
}

/* Asks for all journals to be synced as far as they go now. Under the lock. */
static void want_flush(struct xe_journal_domain *d)
{
    for (struct xe_journal *j = d->open; j; j = j->next_open) {
        pthread_mutex_lock(&j->lock);
        j->flush_to = xe_journal_last(j);
        pthread_mutex_unlock(&j->lock);
        if (!is_flushed(j))
            want_service(d, j);
    }
}

/*
 * The thread writes, as ever: who waits for a journal is told by it, and by nobody whose thread the
 * program has other plans for. This one looks from time to time, and whether it gets on: time is no
 * measure of how much there is to write.
 */
bool xe_journal_flush(uint64_t max_ns)
{
    struct xe_journal_domain *d = xe_journal_the;
    const struct timespec pause = {0, PAUSE_NS};
    uint64_t waited = 0, steps = 0;
    bool ok;
    pthread_mutex_lock(&d->lock);
    /* Pairs with that of who commits, and then looks whether somebody will flush: if it has found
     * so, the unit is seen here. */
    atomic_thread_fence(memory_order_seq_cst);
    want_flush(d);
    while (!(ok = are_flushed(d))) {
        if (d->queue && !d->server && !d->serving) {
            serve_one(d);
            continue;
        }
        if (waited >= max_ns)
            break;
        pthread_mutex_unlock(&d->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&d->lock);
        uint64_t now = atomic_load_explicit(&d->steps, memory_order_relaxed);
        waited = now == steps ? waited + PAUSE_NS : 0;
        steps = now;
    }
    pthread_mutex_unlock(&d->lock);
    return ok;
}

/* --- Running --------------------------------------------------------------------- */

void xe_journal_run(void)
{
    pthread_mutex_lock(&xe_journal_the->lock);
    queue_due(xe_journal_the, UINT64_MAX);
    while (help(xe_journal_the))
        ;
    pthread_mutex_unlock(&xe_journal_the->lock);
}

static void register_journal(struct xe_journal *j)
{
    struct xe_journal_domain *d = xe_journal_the;
    pthread_mutex_lock(&d->lock);
    j->next_open = d->open;
    d->open = j;
    pthread_mutex_unlock(&d->lock);
}

static void unregister(struct xe_journal *j)
{
    pthread_mutex_lock(&xe_journal_the->lock);
    struct xe_journal **p = &xe_journal_the->open;
    while (*p != j)
        p = &(*p)->next_open;
    *p = j->next_open;
    pthread_mutex_unlock(&xe_journal_the->lock);
}

/* --- Opening ------------------------------------------------------------------------- */

/* Pages of zeros, which take memory only when something is written there. */
static uint8_t *ring_new(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* Of the ring what has been touched. */
uint64_t xe_journal_memory(const struct xe_journal *j)
{
    uint64_t used = atomic_load_explicit(&j->tail, memory_order_relaxed);
    return sizeof *j + XE_CACHE_LINE + (used < j->size ? used : j->size);
}

uint64_t xe_journal_memory_all(void)
{
    uint64_t sum = 0;
    pthread_mutex_lock(&xe_journal_the->lock);
    for (const struct xe_journal *j = xe_journal_the->open; j; j = j->next_open)
        sum += xe_journal_memory(j);
    pthread_mutex_unlock(&xe_journal_the->lock);
    return sum;
}

static struct xe_journal *journal_new(const struct xe_journal_options *o, struct xe_io_error *error)
{
    uint64_t size = BUFFER_MIN, want = o->buffer_bytes ? o->buffer_bytes : BUFFER_BYTES;
    size_t n = strlen(o->dir) + 1;
    while (size < want)
        size *= 2;
    uint8_t *memory = xe_cb.alloc(sizeof(struct xe_journal) + XE_CACHE_LINE);
    uint8_t *ring = ring_new(size);
    char *dir = xe_cb.alloc(n);
    if (!memory || !ring || !dir) {
        if (memory)
            xe_cb.free(memory);
        if (ring)
            munmap(ring, size);
        if (dir)
            xe_cb.free(dir);
        xe_io_no_memory(error, o->dir);
        return NULL;
    }
    uintptr_t at = ((uintptr_t)memory + XE_CACHE_LINE - 1) & ~(uintptr_t)(XE_CACHE_LINE - 1);
    struct xe_journal *j = (struct xe_journal *)at;
    uint64_t segment = o->segment_bytes ? o->segment_bytes : SEGMENT_BYTES;
    memset(j, 0, sizeof *j);
    memcpy(dir, o->dir, n);
    j->memory = memory;
    j->ring = ring;
    j->size = size;
    j->files.io = o->io;
    j->files.dir = dir;
    j->files.segment_bytes = segment < SEGMENT_MIN ? SEGMENT_MIN : segment;
    pthread_mutex_init(&j->lock, NULL);
    return j;
}

static void journal_free(struct xe_journal *j)
{
    xe_replay_close(j->replay);
    xe_files_close(&j->files);
    xe_io_let_go(&j->dir);
    pthread_mutex_destroy(&j->lock);
    munmap(j->ring, j->size);
    xe_cb.free(j->memory);
}

static bool make_dir(const struct xe_journal_options *o, struct xe_io_error *error)
{
    char *parent = xe_io_parent(o->dir);
    if (!parent)
        return xe_io_no_memory(error, o->dir);
    bool ok = xe_io_mkdir(o->io, o->dir, error) && xe_io_sync_dir(o->io, parent, error);
    xe_cb.free(parent);
    return ok;
}

/* A checkpoint of nothing. */
static bool make_first(const struct xe_journal_options *o, struct xe_io_error *error)
{
    struct xe_tablefile_options how = {
        .kind = XE_TABLEFILE_CHECKPOINT, .atomic = true, .sync = true};
    char *path = xe_journal_checkpoint_path(o->dir, 0);
    XE_ASSERT(o->meta_bytes <= XE_JOURNAL_META);
    if (!path)
        return xe_io_no_memory(error, o->dir);
    struct xe_tablefile_writer *w =
        xe_tablefile_create(o->io, path, &how, o->meta, o->meta_bytes, error);
    xe_cb.free(path);
    return w && xe_tablefile_finish(w, error);
}

static bool make_table(const struct xe_journal_options *o, struct xe_io_error *error)
{
    struct xe_journal_listing l;
    if (!xe_journal_list(o->io, o->dir, &l, error))
        return false;
    bool empty = l.checkpoints.n == 0 && l.segments.n == 0;
    xe_journal_listing_free(&l);
    return !empty || make_first(o, error);
}

/* The directory from here on is the one that is held. */
static bool open_files(struct xe_journal *j, const struct xe_journal_options *options,
                       struct xe_io_error *error)
{
    struct xe_journal_options o = *options;
    if (!xe_io_hold(options->io, o.dir, &j->dir, error))
        return false;
    o.io = j->files.io = &j->dir.io;
    if (!xe_files_lock(&j->files, error) || (o.create && !make_table(&o, error)))
        return false;
    j->replay = xe_replay_open(o.io, o.dir, o.salvage, error);
    return j->replay;
}

struct xe_journal *xe_journal_open(const struct xe_journal_options *o, struct xe_io_error *error)
{
    if (o->create && !make_dir(o, error))
        return NULL;
    struct xe_journal *j = journal_new(o, error);
    if (!j)
        return NULL;
    register_journal(j);
    if (open_files(j, o, error))
        return j;
    xe_files_unmake_lock(&j->files);
    unregister(j);
    journal_free(j);
    return NULL;
}

const struct xe_io_dir *xe_journal_dir(const struct xe_journal *j)
{
    return &j->dir;
}

struct xe_replay *xe_journal_replay(struct xe_journal *j)
{
    return j->replay;
}

bool xe_journal_begin(struct xe_journal *j, struct xe_io_error *error)
{
    struct xe_replay_outcome o;
    uint64_t s, number = xe_replay_number(j->replay);
    xe_replay_checkpoint(j->replay, &s);
    xe_replay_outcome(j->replay, &o);
    if (!xe_files_begin(&j->files, j->replay, error))
        return false;
    xe_replay_close(j->replay);
    j->replay = NULL;
    pthread_mutex_lock(&j->lock);
    j->base = j->number[XE_JOURNAL_OS] = j->number[XE_JOURNAL_DISK] = number;
    j->checkpoint = s;
    j->bytes = o.bytes;
    j->n_segments = j->files.n_full + 1;
    pthread_mutex_unlock(&j->lock);
    pthread_mutex_lock(&xe_journal_the->lock);
    j->begun = true;
    pthread_mutex_unlock(&xe_journal_the->lock);
    return true;
}

/* --- Closing ------------------------------------------------------------------------- */

/* Has the writer close the files, and waits for it. Under the lock of the domain. */
static void close_files(struct xe_journal *j)
{
    j->closing = true;
    while (!j->closed) {
        want_service(xe_journal_the, j);
        help(xe_journal_the);
    }
}

/* Nobody need come for it. Under the lock of the domain. */
static void take_off_late(struct xe_journal_domain *d, struct xe_journal *j)
{
    struct xe_journal *before = NULL, **at = &d->late;
    if (!j->is_late)
        return;
    while (*at != j) {
        before = *at;
        at = &before->next_late;
    }
    *at = j->next_late;
    if (d->late_last == j)
        d->late_last = before;
    j->is_late = false;
}

bool xe_journal_close(struct xe_journal *j, struct xe_io_error *error)
{
    struct xe_journal_domain *d = xe_journal_the;
    pthread_mutex_lock(&d->lock);
    close_files(j);
    /* Until nobody has it: somebody may have wanted it served after that. */
    while (j->is_queued || d->serving == j)
        if (!help(d))
            pthread_cond_wait(&d->done, &d->lock);
    take_off_late(d, j);
    bool clean = j->clean;
    pthread_mutex_unlock(&d->lock);
    if (!clean)
        xe_journal_error(j, error);
    unregister(j);
    journal_free(j);
    return clean;
}

/* --- All of a table -------------------------------------------------------------------- */

/* Checkpoints first: without them nothing is taken for a table that may be older than it was. */
static bool remove_all(const struct xe_io *io, const char *dir, const struct xe_journal_listing *l,
                       struct xe_io_error *error)
{
    return xe_files_remove(io, dir, XE_PREFIX_CHECKPOINT, "", &l->checkpoints, 0, l->checkpoints.n,
                           error) &&
           xe_files_remove(io, dir, XE_PREFIX_CHECKPOINT, XE_SUFFIX_NEW, &l->news, 0, l->news.n,
                           error) &&
           xe_io_sync_dir(io, dir, error) &&
           xe_files_remove(io, dir, XE_PREFIX_SEGMENT, "", &l->segments, 0, l->segments.n, error) &&
           xe_files_remove(io, dir, XE_PREFIX_SPARE, "", &l->spares, 0, l->spares.n, error);
}

static bool remove_dir(const struct xe_io_dir *held, const char *dir, bool foreign,
                       struct xe_io_error *error)
{
    const struct xe_io *io = held->base;
    if (foreign)
        return xe_io_sync_dir(&held->io, dir, error);
    char *parent = xe_io_parent(dir);
    if (!parent)
        return xe_io_no_memory(error, dir);
    bool ok = xe_io_rmdir(io, dir, error) && xe_io_sync_dir(io, parent, error);
    xe_cb.free(parent);
    return ok;
}

/* Whether there is a table, or what is left of one whose removal was cut short. */
static bool has_table(const struct xe_io *io, const char *dir, struct xe_io_error *error)
{
    struct xe_journal_listing l;
    if (!xe_journal_list(io, dir, &l, error))
        return false;
    bool has = l.checkpoints.n || l.segments.n || l.spares.n || l.news.n;
    xe_journal_listing_free(&l);
    return has || xe_io_fail(error, XE_IO_NO_TABLE, XE_IO_LIST, dir, XE_IO_NOWHERE, NULL);
}

static bool destroy_held(const struct xe_io_dir *held, const char *dir, struct xe_io_error *error)
{
    const struct xe_io *io = &held->io;
    bool made;
    struct xe_journal_listing l = {0};
    struct xe_io_error ignored;
    struct xe_file *lock = NULL;
    char *path = xe_io_join(dir, "LOCK");
    if (!path)
        return xe_io_no_memory(error, dir);
    bool ok = has_table(io, dir, error) && xe_io_lock(io, path, &lock, &made, error);
    if (ok) {
        ok = xe_journal_list(io, dir, &l, error) && remove_all(io, dir, &l, error) &&
             xe_io_unlink(io, path, error) && remove_dir(held, dir, l.foreign, error);
        xe_file_close(lock, &ignored);
    }
    xe_journal_listing_free(&l);
    xe_cb.free(path);
    return ok;
}

bool xe_journal_destroy(const struct xe_io *io, const char *dir, struct xe_io_error *error)
{
    struct xe_io_dir held;
    bool ok = xe_io_hold(io, dir, &held, error) && destroy_held(&held, dir, error);
    xe_io_let_go(&held);
    return ok;
}

void xe_journal_checkpointed(struct xe_journal *j, uint64_t s)
{
    pthread_mutex_lock(&j->lock);
    j->checkpoint = s > j->checkpoint ? s : j->checkpoint;
    j->bytes = 0;
    pthread_mutex_unlock(&j->lock);
    xe_journal_notify(j);
}

void xe_journal_info(struct xe_journal *j, struct xe_journal_info *out)
{
    pthread_mutex_lock(&j->lock);
    *out = (struct xe_journal_info){.number = xe_journal_number(j),
                                    .written = j->number[XE_JOURNAL_OS],
                                    .synced = j->number[XE_JOURNAL_DISK],
                                    .checkpoint = j->checkpoint,
                                    .segments = j->n_segments,
                                    .bytes = j->bytes};
    pthread_mutex_unlock(&j->lock);
}
