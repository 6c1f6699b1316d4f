/*
 * journal_write.c - the way of a unit: from its room through the ring to the disk, and back to who
 * waits for it. See journal_internal.h for the ring.
 */
#include <errno.h>
#include <sched.h>
#include <time.h>

#include "journal_internal.h"

enum {
    FEW = 5, /* who wait: for fewer nobody else waits */
    NAPS = 8, /* for less it is not worth to sleep */
    NAP_NS = 50000,
};

static _Atomic uint64_t *word_at(const struct xe_journal *j, uint64_t position)
{
    return (_Atomic uint64_t *)(void *)(j->ring + (position & (j->size - 1)));
}

/* --- Reserving ------------------------------------------------------------------- */

static bool is_large(const struct xe_journal *j, size_t n)
{
    return n > j->size / 4 - XE_UNIT_HEADER - 8;
}

static uint64_t ring_bytes(const struct xe_journal *j, size_t n)
{
    return is_large(j, n) ? XE_LARGE_ENTRY : xe_unit_bytes(n);
}

/* Adds to a sum unless that makes it exceed a limit. One unit alone never does. */
static bool take(_Atomic uint64_t *sum, uint64_t n, uint64_t limit, bool or_alone)
{
    uint64_t was = atomic_load_explicit(sum, memory_order_relaxed);
    do {
        if (was + n > limit && !(or_alone && was == 0))
            return false;
        /* Seq_cst: pairs with xe_journal_await_room(). */
    } while (!atomic_compare_exchange_weak_explicit(sum, &was, was + n, memory_order_seq_cst,
                                                    memory_order_relaxed));
    return true;
}

static bool take_ring(struct xe_journal *j, uint64_t bytes)
{
    /* Acquire: pairs with the store in consume(): what was there has been filled with zeros. Who
     * commits later may get a place that was free by then only, by the addition of who reserved
     * it: that comes before in the order of the commits, and is seen with it. */
    uint64_t consumed = atomic_load_explicit(&j->consumed, memory_order_seq_cst);
    /* The writer had these lines last, and they are wanted under a lock. */
    const uint8_t *place = j->ring + (atomic_load_explicit(&j->tail, memory_order_relaxed) &
                                      (j->size - 1));
    xe_prefetch_write(place);
    xe_prefetch_write(place + XE_CACHE_LINE);
    return take(&j->reserved, bytes, consumed + j->size, false);
}

static void want_service(struct xe_journal *j)
{
    if (atomic_load_explicit(&j->room_wanted, memory_order_seq_cst))
        xe_journal_notify(j);
}

enum xe_status xe_journal_reserve(struct xe_journal *j, size_t n, struct xe_journal_room *room)
{
    *room = (struct xe_journal_room){.bytes = n};
    if (n > XE_UNIT_MAX)
        return XE_LIMIT;
    /* Acquire: pairs with xe_journal_fail(); who misses it waits in vain later. */
    if (atomic_load_explicit(&j->failed, memory_order_acquire))
        return XE_FAILED;
    if (!is_large(j, n))
        return take_ring(j, xe_unit_bytes(n)) ? XE_OK : XE_RETRY;
    if (!take(&j->large, n, XE_LARGE_IN_FLIGHT, true))
        return XE_RETRY;
    enum xe_status status = take_ring(j, XE_LARGE_ENTRY) ? XE_OK : XE_RETRY;
    uint8_t *record = status == XE_OK ? xe_cb.alloc((size_t)xe_unit_bytes(n)) : NULL;
    if (record) {
        room->large = record + XE_UNIT_HEADER;
        return XE_OK;
    }
    if (status == XE_OK) {
        status = XE_NOMEM;
        atomic_fetch_sub_explicit(&j->reserved, XE_LARGE_ENTRY, memory_order_seq_cst);
    }
    atomic_fetch_sub_explicit(&j->large, n, memory_order_seq_cst);
    want_service(j);
    return status;
}

void xe_journal_cancel(struct xe_journal *j, struct xe_journal_room *room)
{
    uint64_t bytes = ring_bytes(j, room->bytes);
    if (room->large) {
        xe_cb.free((uint8_t *)room->large - XE_UNIT_HEADER);
        atomic_fetch_sub_explicit(&j->large, room->bytes, memory_order_seq_cst);
    }
    atomic_fetch_sub_explicit(&j->reserved, bytes, memory_order_seq_cst);
    want_service(j);
}

/* --- Committing ------------------------------------------------------------------ */

static void copy_in(struct xe_journal *j, uint64_t position, const void *bytes, size_t n)
{
    size_t at = position & (j->size - 1), first = j->size - at < n ? j->size - at : n;
    memcpy(j->ring + at, bytes, first);
    memcpy(j->ring, (const uint8_t *)bytes + first, n - first);
}

uint64_t xe_journal_commit(struct xe_journal *j, struct xe_journal_room *room, const void *bytes,
                           size_t n)
{
    XE_ASSERT(n <= room->bytes);
    uint64_t size = room->large ? XE_LARGE_ENTRY : xe_unit_bytes(n), word = XE_UNIT_TAG | n;
    /* Acq_rel: see take_ring(). */
    uint64_t at = atomic_fetch_add_explicit(&j->tail, size, memory_order_acq_rel);
    if (XE_UNLIKELY(room->large))
        atomic_fetch_add_explicit(&j->large_sum, xe_unit_bytes(n) - XE_LARGE_ENTRY,
                                  memory_order_relaxed);
    atomic_fetch_add_explicit(&j->commits, 1, memory_order_release); /* see xe_journal_sum() */
    if (room->large) {
        if (n && bytes != room->large)
            memcpy(room->large, bytes, n);
        uint8_t *record = (uint8_t *)room->large - XE_UNIT_HEADER;
        xe_store64(record + 8, room->bytes);
        memcpy(j->ring + ((at + 8) & (j->size - 1)), &record, sizeof record);
        word = XE_LARGE_TAG | n;
    } else {
        copy_in(j, at + XE_UNIT_HEADER, bytes, n);
        /* Who waits for it is told by the writer, who comes for this unit. */
        uint64_t more = xe_unit_bytes(room->bytes) - size;
        if (more)
            atomic_fetch_sub_explicit(&j->reserved, more, memory_order_seq_cst);
    }
    /* Release: pairs with the load in write_all(). */
    atomic_store_explicit(word_at(j, at), word, memory_order_release);
    return at + size;
}

void xe_journal_notify(struct xe_journal *j)
{
    /* Seq_cst, here and in serve_one(): who finds it set comes before the server's
     * exchange, and so does the unit that this thread has committed. */
    if (atomic_exchange_explicit(&j->wanted, XE_WANTED_NOW, memory_order_seq_cst) != XE_WANTED_NOW)
        xe_journal_queue(j);
}

/* Whether what is committed is worth a call of its own, or somebody waits for its room. */
static bool is_urgent(struct xe_journal *j)
{
    /* Relaxed: who sees too little waits a little longer. */
    return atomic_load_explicit(&j->tail, memory_order_relaxed) -
                   atomic_load_explicit(&j->consumed, memory_order_relaxed) >=
               j->size / XE_JOURNAL_MUCH ||
           atomic_load_explicit(&j->large, memory_order_relaxed) ||
           atomic_load_explicit(&j->room_wanted, memory_order_relaxed);
}

void xe_journal_notify_later(struct xe_journal *j)
{
    /* Relaxed, behind a fence that pairs with that in serve_one(): who finds it set comes before the
     * server's exchange, and its unit is seen behind that. */
    uint32_t wanted = atomic_load_explicit(&j->wanted, memory_order_relaxed);
    if (wanted == XE_WANTED_NOW)
        return;
    if (XE_UNLIKELY(is_urgent(j)))
        xe_journal_notify(j);
    else if (XE_UNLIKELY(wanted == XE_WANTED_NOT) &&
             atomic_compare_exchange_strong_explicit(&j->wanted, &wanted, XE_WANTED_LATER,
                                                     memory_order_seq_cst, memory_order_relaxed))
        xe_journal_queue_late(j);
}

uint64_t xe_journal_number(const struct xe_journal *j)
{
    return j->base + atomic_load_explicit(&j->commits, memory_order_acquire);
}

/* What is in the ring of each is counted by `tail`, so that small units pay for nothing more. */
uint64_t xe_journal_sum(const struct xe_journal *j)
{
    /* Acquire: pairs with the addition in xe_journal_commit(). So nothing is taken off that has not
     * been added. */
    uint64_t headers = XE_UNIT_HEADER * atomic_load_explicit(&j->commits, memory_order_acquire);
    return atomic_load_explicit(&j->tail, memory_order_relaxed) +
           atomic_load_explicit(&j->large_sum, memory_order_relaxed) - headers;
}

uint64_t xe_journal_last(const struct xe_journal *j)
{
    return atomic_load_explicit(&j->tail, memory_order_acquire);
}

/* --- Waiting ----------------------------------------------------------------------- */

static void tell(struct xe_journal_waiter *w, enum xe_status status)
{
    while (w) {
        struct xe_journal_waiter *next = w->next;
        w->done(w, status);
        w = next;
    }
}

/* Takes those off a list whose ticket is reached, and puts them before `to`. */
static struct xe_journal_waiter *take_reached(struct xe_waiters *of, uint64_t ticket,
                                              struct xe_journal_waiter *to)
{
    for (struct xe_journal_waiter **p = &of->head, *w; (w = *p) != NULL;) {
        if (w->ticket > ticket) {
            p = &w->next;
            continue;
        }
        *p = w->next;
        w->next = to;
        to = w;
    }
    return to;
}

static uint64_t reached(const struct xe_journal *j, enum xe_journal_level level)
{
    /* Acquire: pairs with reach(). */
    return atomic_load_explicit(&j->reached[level], memory_order_acquire);
}

/* Under the lock. */
static void reach(struct xe_journal *j, enum xe_journal_level level, uint64_t ticket)
{
    atomic_store_explicit(&j->reached[level], ticket, memory_order_release);
}

bool xe_journal_has_reached(const struct xe_journal *j, uint64_t ticket,
                            enum xe_journal_level level)
{
    return reached(j, level) >= ticket;
}

enum xe_status xe_journal_await(struct xe_journal *j, uint64_t ticket, enum xe_journal_level level,
                                struct xe_journal_waiter *w)
{
    enum xe_status status = XE_RETRY;
    pthread_mutex_lock(&j->lock);
    if (reached(j, level) >= ticket) {
        status = XE_OK;
    } else if (atomic_load_explicit(&j->failed, memory_order_relaxed)) {
        status = XE_FAILED;
    } else {
        w->ticket = ticket;
        w->next = j->waiters[level].head;
        j->waiters[level].head = w;
    }
    pthread_mutex_unlock(&j->lock);
    if (status == XE_RETRY)
        xe_journal_notify(j);
    return status;
}

static bool has_room(struct xe_journal *j, size_t n)
{
    uint64_t reserved = atomic_load_explicit(&j->reserved, memory_order_seq_cst);
    uint64_t consumed = atomic_load_explicit(&j->consumed, memory_order_seq_cst);
    uint64_t large = atomic_load_explicit(&j->large, memory_order_seq_cst);
    return reserved + ring_bytes(j, n) <= consumed + j->size &&
           (!is_large(j, n) || large == 0 || large + n <= XE_LARGE_IN_FLIGHT);
}

enum xe_status xe_journal_await_room(struct xe_journal *j, size_t n, struct xe_journal_waiter *w)
{
    enum xe_status status = XE_RETRY;
    pthread_mutex_lock(&j->lock);
    /* Before has_room(): who gives room back does so before it looks whether it is wanted. */
    atomic_store_explicit(&j->room_wanted, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&j->failed, memory_order_relaxed)) {
        status = XE_FAILED;
    } else if (has_room(j, n)) {
        status = XE_OK;
    } else {
        w->next = j->for_room.head;
        j->for_room.head = w;
    }
    pthread_mutex_unlock(&j->lock);
    if (status == XE_RETRY &&
        atomic_load_explicit(&j->wanted, memory_order_relaxed) == XE_WANTED_LATER)
        xe_journal_notify(j);
    return status;
}

/* Those who wait for room, if there is something new for them. Under the lock. */
static struct xe_journal_waiter *take_for_room(struct xe_journal *j)
{
    struct xe_journal_waiter *all = j->for_room.head;
    j->for_room.head = NULL;
    atomic_store_explicit(&j->room_wanted, 0, memory_order_seq_cst);
    return all;
}

bool xe_journal_error(struct xe_journal *j, struct xe_io_error *error)
{
    pthread_mutex_lock(&j->lock);
    bool failed = atomic_load_explicit(&j->failed, memory_order_relaxed);
    if (failed)
        *error = j->error;
    pthread_mutex_unlock(&j->lock);
    return failed;
}

void xe_journal_fail(struct xe_journal *j, const struct xe_io_error *error)
{
    pthread_mutex_lock(&j->lock);
    if (!atomic_load_explicit(&j->failed, memory_order_relaxed))
        j->error = *error;
    /* Release: pairs with the load in xe_journal_reserve(). */
    atomic_store_explicit(&j->failed, 1, memory_order_release);
    struct xe_journal_waiter *all = take_for_room(j);
    for (int level = 0; level < XE_JOURNAL_LEVELS; level++)
        all = take_reached(&j->waiters[level], UINT64_MAX, all);
    pthread_mutex_unlock(&j->lock);
    tell(all, XE_FAILED);
}

/* --- Writing ------------------------------------------------------------------------- */

/* Gives a part of the ring back, which is written, or will never be. */
static void consume(struct xe_journal *j, uint64_t to)
{
    uint64_t from = atomic_load_explicit(&j->consumed, memory_order_relaxed);
    size_t at = from & (j->size - 1), n = to - from, first = j->size - at < n ? j->size - at : n;
    memset(j->ring + at, 0, first);
    memset(j->ring, 0, n - first);
    /* Release, at least: pairs with the load in take_ring(). */
    atomic_store_explicit(&j->consumed, to, memory_order_seq_cst);
}

/* For who looks whether the writer gets on, see xe_journal_flush(). */
static void made_a_step(void)
{
    atomic_fetch_add_explicit(&xe_journal_the->steps, 1, memory_order_relaxed);
}

/* Units were written up to a position. */
static void written(struct xe_journal *j, uint64_t to, uint64_t number, uint64_t bytes)
{
    made_a_step();
    consume(j, to);
    pthread_mutex_lock(&j->lock);
    reach(j, XE_JOURNAL_OS, to);
    j->number[XE_JOURNAL_OS] = number;
    j->bytes += bytes;
    struct xe_journal_waiter *told = take_reached(&j->waiters[XE_JOURNAL_OS], to, NULL);
    struct xe_journal_waiter *for_room = take_for_room(j);
    pthread_mutex_unlock(&j->lock);
    tell(told, XE_OK);
    tell(for_room, XE_OK);
}

/* The checksum of bytes in the ring, which may go over its end. */
static uint64_t ring_checksum(const struct xe_journal *j, uint64_t position, size_t n,
                              uint64_t seed)
{
    size_t at = position & (j->size - 1);
    if (j->size - at >= n)
        return xe_checksum(seed, j->ring + at, n);
    XXH3_state_t state;
    XXH3_64bits_reset_withSeed(&state, seed);
    XXH3_64bits_update(&state, j->ring + at, j->size - at);
    XXH3_64bits_update(&state, j->ring, n - (j->size - at));
    return XXH3_64bits_digest(&state);
}

/* What is gathered for one call. */
struct batch {
    uint64_t from, to; /* positions in the ring */
    uint64_t number;   /* of the last unit */
};

static bool write_batch(struct xe_journal *j, struct batch *b, struct xe_io_error *error)
{
    struct xe_segment_file *s = &j->files.current;
    size_t at = b->from & (j->size - 1), n = b->to - b->from;
    size_t first = j->size - at < n ? j->size - at : n;
    struct iovec v[2] = {{j->ring + at, first}, {j->ring, n - first}};
    if (n == 0)
        return true;
    if (!xe_file_writev(s->file, v, 2, s->offset, error))
        return false;
    s->offset += n;
    written(j, b->to, b->number, n);
    b->from = b->to;
    return true;
}

/* Goes on in the next segment if a record has no room in this one; what was gathered comes first.
 */
static bool have_room(struct xe_journal *j, struct batch *b, uint64_t bytes,
                      struct xe_io_error *error)
{
    if (xe_files_have_room(&j->files, b->to - b->from + bytes))
        return true;
    if (!write_batch(j, b, error))
        return false;
    while (!xe_files_have_room(&j->files, bytes))
        if (!xe_files_rotate(&j->files, bytes, b->number, error))
            return false;
    return true;
}

static bool add_small(struct xe_journal *j, struct batch *b, uint64_t n, struct xe_io_error *error)
{
    uint8_t header[XE_UNIT_HEADER];
    if (!have_room(j, b, xe_unit_bytes(n), error))
        return false;
    uint64_t salt = j->files.current.salt, at = b->to;
    uint64_t check = ring_checksum(j, at + XE_UNIT_HEADER, n, salt);
    xe_unit_seal(header, n, ++b->number, j->number[XE_JOURNAL_DISK], check, salt);
    copy_in(j, at, header, sizeof header);
    b->to += xe_unit_bytes(n);
    return b->to - b->from < XE_JOURNAL_BATCH || write_batch(j, b, error);
}

static void free_large(struct xe_journal *j, uint8_t *record)
{
    uint64_t reserved = xe_load64(record + 8);
    xe_cb.free(record);
    atomic_fetch_sub_explicit(&j->large, reserved, memory_order_seq_cst);
}

static uint8_t *large_at(const struct xe_journal *j, uint64_t position)
{
    uint8_t *record;
    memcpy(&record, j->ring + ((position + 8) & (j->size - 1)), sizeof record);
    return record;
}

static bool add_large(struct xe_journal *j, struct batch *b, uint64_t n, struct xe_io_error *error)
{
    struct xe_segment_file *s = &j->files.current;
    uint64_t bytes = xe_unit_bytes(n);
    uint8_t *record = large_at(j, b->to);
    if (!write_batch(j, b, error) || !have_room(j, b, bytes, error))
        return false;
    uint64_t reserved = xe_load64(record + 8);
    uint64_t check = xe_checksum(s->salt, record + XE_UNIT_HEADER, n);
    xe_unit_seal(record, n, b->number + 1, j->number[XE_JOURNAL_DISK], check, s->salt);
    memset(record + XE_UNIT_HEADER + n, 0, bytes - XE_UNIT_HEADER - n);
    bool ok = xe_file_write(s->file, record, bytes, s->offset, error);
    xe_store64(record + 8, reserved);
    if (!ok)
        return false;
    s->offset += bytes;
    b->number++;
    free_large(j, record);
    b->from = b->to = b->to + XE_LARGE_ENTRY;
    written(j, b->to, b->number, bytes);
    return true;
}

/* Writes all units that are whole, up to the first that is not. */
static bool write_all(struct xe_journal *j, struct xe_io_error *error)
{
    uint64_t from = atomic_load_explicit(&j->consumed, memory_order_relaxed);
    /* No more than there is now, so that others have their turn. */
    uint64_t end = atomic_load_explicit(&j->tail, memory_order_seq_cst);
    struct batch b = {from, from, j->number[XE_JOURNAL_OS]};
    while (b.to < end) {
        /* Acquire: pairs with the store in xe_journal_commit(). */
        uint64_t word = atomic_load_explicit(word_at(j, b.to), memory_order_acquire);
        uint64_t n = word & XE_UNIT_MAX;
        if (word == 0)
            break;
        if (!((word & XE_LARGE_TAG) == XE_LARGE_TAG ? add_large(j, &b, n, error)
                                                    : add_small(j, &b, n, error)))
            return false;
    }
    return write_batch(j, &b, error);
}

/* After a failure: what comes is let go of. */
static void drop_all(struct xe_journal *j)
{
    uint64_t at = atomic_load_explicit(&j->consumed, memory_order_relaxed);
    uint64_t end = atomic_load_explicit(&j->tail, memory_order_seq_cst), word;
    while (at < end && (word = atomic_load_explicit(word_at(j, at), memory_order_acquire)) != 0) {
        bool large = (word & XE_LARGE_TAG) == XE_LARGE_TAG;
        if (large)
            free_large(j, large_at(j, at));
        at += large ? XE_LARGE_ENTRY : xe_unit_bytes(word & XE_UNIT_MAX);
    }
    consume(j, at);
}

/* --- Syncing and tidying --------------------------------------------------------------- */

/* Whether somebody waits for a sync of what is written. */
static bool wants_sync(struct xe_journal *j)
{
    pthread_mutex_lock(&j->lock);
    uint64_t synced = reached(j, XE_JOURNAL_DISK);
    bool wants = synced < j->flush_to && synced < reached(j, XE_JOURNAL_OS);
    for (struct xe_journal_waiter *w = j->waiters[XE_JOURNAL_DISK].head; w && !wants; w = w->next)
        wants = w->ticket <= reached(j, XE_JOURNAL_OS);
    pthread_mutex_unlock(&j->lock);
    return wants;
}

/* So many are told now of a sync that took so long. */
static void note_told(struct xe_journal *j, const struct xe_journal_waiter *w, uint64_t ns)
{
    uint64_t commits = atomic_load_explicit(&j->commits, memory_order_relaxed);
    bool came_back = commits - j->told_at >= j->told / 2;
    j->told = 0;
    for (; w; w = w->next)
        j->told++;
    j->told_at = commits;
    j->will_come_back = came_back && j->told >= FEW;
    j->sync_ns = j->sync_ns - j->sync_ns / 8 + ns / 8;
}

/*
 * Who has been told of a sync writes again, perhaps, at once. If the next sync begins with the first of
 * them, or with those only who wrote during the last one, there are two groups, and each waits for
 * a sync of the other. So the writer waits for as many as it has told: half the time of a sync at
 * most, and only if that is what those before them did. (PostgreSQL's commit_delay and
 * commit_siblings, but that nobody has to set them.)
 */
static void gather(struct xe_journal *j)
{
    static const struct timespec nap = {0, NAP_NS};
    bool has_work = atomic_load_explicit(&j->tail, memory_order_relaxed) !=
                    atomic_load_explicit(&j->consumed, memory_order_relaxed);
    if (!j->will_come_back || !has_work)
        return;
    j->will_come_back = false;
    uint64_t begun = xe_journal_now(), most = j->sync_ns / 2;
    uint64_t others = atomic_load_explicit(&xe_journal_the->queueings, memory_order_relaxed);
    while (atomic_load_explicit(&j->commits, memory_order_relaxed) - j->told_at < j->told &&
           /* one of them is this journal's */
           atomic_load_explicit(&xe_journal_the->queueings, memory_order_relaxed) - others < 2 &&
           xe_journal_now() - begun < most) {
        if (most > NAPS * NAP_NS)
            nanosleep(&nap, NULL);
        else
            sched_yield(); /* to sleep takes too long */
    }
}

static bool sync_all(struct xe_journal *j, struct xe_io_error *error)
{
    uint64_t begun = xe_journal_now();
    if (!xe_files_sync(&j->files, error))
        return false;
    uint64_t took = xe_journal_now() - begun;
    made_a_step();
    pthread_mutex_lock(&j->lock);
    uint64_t synced = reached(j, XE_JOURNAL_OS);
    reach(j, XE_JOURNAL_DISK, synced);
    j->number[XE_JOURNAL_DISK] = j->number[XE_JOURNAL_OS];
    struct xe_journal_waiter *told = take_reached(&j->waiters[XE_JOURNAL_DISK], synced, NULL);
    pthread_mutex_unlock(&j->lock);
    note_told(j, told, took);
    tell(told, XE_OK);
    return true;
}

/* What is not urgent, and no reason to fail: a next segment, and what a checkpoint makes needless.
 */
static void tidy(struct xe_journal *j)
{
    struct xe_io_error ignored;
    struct xe_segment_file *s = &j->files.current;
    pthread_mutex_lock(&j->lock);
    uint64_t checkpoint = j->checkpoint;
    pthread_mutex_unlock(&j->lock);
    /* Once each: what fails now is done by the next checkpoint, or when it is needed. */
    if (checkpoint > j->trimmed)
        xe_files_trim(&j->files, checkpoint, &ignored);
    j->trimmed = checkpoint;
    if (s->offset > s->bytes / 2 && s->number != j->prepared_in)
        xe_files_prepare(&j->files, 0, &ignored);
    if (s->offset > s->bytes / 2)
        j->prepared_in = s->number;
    pthread_mutex_lock(&j->lock);
    j->n_segments = j->files.n_full + 1;
    pthread_mutex_unlock(&j->lock);
}

static void finish(struct xe_journal *j)
{
    struct xe_io_error error;
    bool ok = !atomic_load_explicit(&j->failed, memory_order_relaxed);
    if (ok && j->begun) {
        ok = sync_all(j, &error) && xe_files_finish(&j->files, j->number[XE_JOURNAL_OS], &error);
        if (!ok)
            xe_journal_fail(j, &error);
    }
    if (ok)
        xe_io_fail(&error, XE_IO_CLOSED, XE_IO_CLOSE, j->files.dir, XE_IO_NOWHERE, NULL);
    xe_replay_close(j->replay);
    j->replay = NULL;
    xe_files_close(&j->files);
    if (ok)
        xe_journal_fail(j, &error);
    pthread_mutex_lock(&xe_journal_the->lock);
    j->clean = ok;
    j->closed = true;
    pthread_mutex_unlock(&xe_journal_the->lock);
}

void xe_journal_serve(struct xe_journal *j)
{
    struct xe_io_error error;
    pthread_mutex_lock(&xe_journal_the->lock);
    struct xe_journal *next = xe_journal_the->queue;
    bool closing = j->closing, closed = j->closed;
    bool others_wait = next && (next != j || j->next_queued);
    pthread_mutex_unlock(&xe_journal_the->lock);
    bool works = j->begun && !atomic_load_explicit(&j->failed, memory_order_relaxed);
    if (works && !closing && !others_wait)
        gather(j);
    if (works && !(write_all(j, &error) && (!wants_sync(j) || sync_all(j, &error)))) {
        xe_journal_fail(j, &error);
        works = false;
    }
    if (works)
        tidy(j);
    else
        drop_all(j);
    if (closing && !closed)
        finish(j);
    made_a_step();
    pthread_mutex_lock(&j->lock);
    struct xe_journal_waiter *for_room = take_for_room(j);
    pthread_mutex_unlock(&j->lock);
    tell(for_room, works ? XE_OK : XE_FAILED);
}
