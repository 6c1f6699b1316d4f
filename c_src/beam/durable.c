/*
 * durable.c - see durable.h.
 */
#include "durable.h"

/* Its ErlDrv functions: erl_errno_id(), the names of errno, in the header for drivers. */
#include <erl_driver.h>
#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "call.h"
#include "durable_unit.h"
#include "hooks.h"

enum {
    LIST_VERSION = 4,
    LOOKS = 10,                /* see look_later() */
    DUE_BYTES = 16 * 1024 * 1024, /* of changes: fewer are no reason for a checkpoint */
    SEGMENT_BYTES = 65536,        /* that a segment of the journal counts for when it is read: each
                                   * opening begins one */
};

/* For the number of a change, which is never as large: the end of all; and with the bytes of one
 * that the journal's buffer had no room for, so that it has not happened. */
#define CLOSED UINT64_MAX
#define ROOM_FOR (UINT64_C(1) << 63)

/* The bytes of a change, and room for them in the journal. It is where the write section has room
 * for it, with the bytes, if they are few. */
struct unit {
    struct xe_etf_writer writer;
    struct xe_journal_room room;
    uint64_t ticket;
    uint8_t first[];
};
enum { FIRST_BYTES = XE_LOG_OWN - sizeof(struct unit) };

/* All directories that this VM has open. */
struct list {
    uint64_t version;
    pthread_mutex_t lock;
    struct xe_durable *first;
    _Atomic uint32_t watchers; /* who will flush all journals when the emulator stops */
};

static struct list own = {.version = LIST_VERSION, .lock = PTHREAD_MUTEX_INITIALIZER};
static struct list *the = &own;
static ErlNifResourceType *log_type;

/* --- Units ------------------------------------------------------------------ */

static struct xe_durable *durable_of(void *log)
{
    return ((struct xe_log *)log)->durable;
}

/* What the call of this thread has to wait for, or to tell. The section is open, so the log is
 * there; the reference keeps it until the call ends. */
static void owe(struct xe_log *log, uint64_t number)
{
    struct xe_epoch_slot *slot = xe_epoch_self;
    if (slot->owed != log) {
        if (slot->owed)
            enif_release_resource(slot->owed);
        enif_keep_resource(log);
        slot->owed = log;
    }
    slot->owed_number = number;
}

static bool is_room(uint64_t number)
{
    return number != CLOSED && number & ROOM_FOR;
}

/* There is no room in the buffer: nothing is worth trying before there is. If the call has changed
 * something already, it tells that, and comes back. */
static void owe_room(struct xe_log *log, size_t bytes)
{
    if (!xe_epoch_self->owed)
        owe(log, ROOM_FOR | bytes);
}

/* Words that the calling thread may spend. */
static uint64_t budget_of_thread(void)
{
    return enif_thread_type() == ERL_NIF_THR_NORMAL_SCHEDULER ? XE_TERM_BUDGET_WORDS
                                                              : XE_TERM_NO_BUDGET;
}

enum xe_status xe_durable_log_begin(void *log, const struct xe_log_change *change,
                                    struct xe_log_write *write)
{
    struct xe_durable *d = durable_of(log);
    struct unit *unit = (struct unit *)(void *)write->own;
    xe_etf_writer_init_with(&unit->writer, unit->first, FIRST_BYTES);
    enum xe_status status = xe_unit_write(&unit->writer, change, &d->form, budget_of_thread());
    if (status == XE_OK)
        status = xe_journal_reserve(d->journal, unit->writer.len, &unit->room);
    if (XE_UNLIKELY(status == XE_RETRY))
        owe_room(log, unit->writer.len);
    if (status == XE_OK) {
        if (unit->room.large)
            memcpy(unit->room.large, unit->writer.bytes, unit->writer.len);
        write->record = unit;
    } else {
        xe_etf_writer_clear(&unit->writer);
    }
    return status;
}

void xe_durable_log_publish(void *log, struct xe_log_write *write)
{
    struct xe_durable *d = durable_of(log);
    struct unit *unit = write->record;
    xe_unit_complete(unit->room.large ? unit->room.large : unit->writer.bytes, write);
    unit->ticket =
        xe_journal_commit(d->journal, &unit->room, unit->writer.bytes, unit->writer.len);
}

void xe_durable_watch(void)
{
    atomic_fetch_add_explicit(&the->watchers, 1, memory_order_seq_cst);
}

void xe_durable_unwatch(void)
{
    atomic_fetch_sub_explicit(&the->watchers, 1, memory_order_seq_cst);
}

enum xe_durable_level xe_durable_level(const struct xe_durable *d)
{
    if (d->level != XE_DURABLE_MEMORY)
        return d->level;
    /* Pairs with that of xe_journal_flush(): who is not seen to have left will see, when it
     * flushes, what this thread has committed. And see xe_durable_log_end(). */
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&the->watchers, memory_order_relaxed) ? XE_DURABLE_MEMORY
                                                                     : XE_DURABLE_OS;
}

/* Bytes of changes since the last checkpoint was begun. While the journal is there. */
static uint64_t grown_of(const struct xe_durable *d)
{
    /* Relaxed, all of these: sums that decide nothing but when. */
    return xe_journal_sum(d->journal) - atomic_load_explicit(&d->sum_before, memory_order_relaxed);
}

/* Whether a checkpoint is due. Inside a section in which the table was not dead yet: then all of it
 * is there, and the journal. */
static bool is_due_here(struct xe_durable *d)
{
    uint64_t grown = grown_of(d);
    if (XE_LIKELY(grown < atomic_load_explicit(&d->due, memory_order_relaxed)))
        return false;
    atomic_store_explicit(&d->may_be_due, true, memory_order_relaxed);
    if (atomic_load_explicit(&d->is_checkpointing, memory_order_relaxed))
        return false;
    return d->after || (d->table && grown > xe_table_bytes(d->table->core));
}

/* Anywhere. */
static bool is_due(struct xe_durable *d)
{
    if (XE_LIKELY(!atomic_load_explicit(&d->may_be_due, memory_order_relaxed)) ||
        !xe_durable_hold(d))
        return false;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    bool is = d->table && !xe_owned_is_dead(d->table) && is_due_here(d);
    xe_epoch_leave(slot);
    xe_durable_let_go(d);
    return is;
}

void xe_durable_owe_closing(struct xe_table *t)
{
    struct xe_log *log = xe_table_log(t);
    if (log)
        owe(log, CLOSED);
}

void xe_durable_log_end(void *log, struct xe_log_write *write)
{
    struct xe_durable *d = durable_of(log);
    struct unit *unit = write->record;
    if (!write->published) {
        xe_journal_cancel(d->journal, &unit->room);
    } else {
        bool waits = xe_durable_level(d) != XE_DURABLE_MEMORY;
        if (waits)
            xe_journal_notify(d->journal);
        else
            xe_journal_notify_later(d->journal); /* behind the fence of xe_durable_level() */
        if (is_due_here(d) || waits)
            owe(log, unit->ticket);
    }
    xe_etf_writer_clear(&unit->writer);
}

bool xe_durable_is_due(struct xe_durable *d)
{
    if (!is_due(d) || !xe_durable_hold(d))
        return false;
    /* Who is told may be gone before it does anything about it. */
    uint64_t grown = grown_of(d), due = atomic_load_explicit(&d->due, memory_order_relaxed);
    bool is = grown >= due && atomic_compare_exchange_strong_explicit(
                                  &d->due, &due, grown + grown / 8 + 1, memory_order_relaxed,
                                  memory_order_relaxed);
    xe_durable_let_go(d);
    return is;
}

void xe_durable_grown_anew(struct xe_durable *d)
{
    atomic_store_explicit(&d->sum_before, xe_journal_sum(d->journal), memory_order_relaxed);
    atomic_store_explicit(&d->due, d->after ? d->after : DUE_BYTES, memory_order_relaxed);
    atomic_store_explicit(&d->may_be_due, false, memory_order_relaxed);
}

void xe_durable_has_read(struct xe_durable *d, uint64_t segment, size_t bytes)
{
    bool is_next = segment != d->segment && !d->after;
    d->segment = segment;
    atomic_store_explicit(&d->may_be_due, true, memory_order_relaxed);
    atomic_fetch_sub_explicit(&d->sum_before, bytes + (is_next ? SEGMENT_BYTES : 0),
                              memory_order_relaxed);
}

/* --- The list ---------------------------------------------------------------- */

struct xe_log *xe_durable_get(ErlNifEnv *env, ERL_NIF_TERM term)
{
    void *obj;
    return enif_get_resource(env, term, log_type, &obj) ? obj : NULL;
}

static void free_durable(struct xe_durable *d)
{
    pthread_cond_destroy(&d->unused);
    pthread_mutex_destroy(&d->lock);
    if (d->dir)
        enif_free(d->dir);
    enif_free(d);
}

/* All but the journal. NULL: out of memory. */
static struct xe_durable *durable_alloc(const char *dir, const uint8_t *meta, size_t meta_bytes)
{
    size_t n = strlen(dir) + 1;
    struct xe_durable *d = enif_alloc(sizeof *d);
    if (!d)
        return NULL;
    *d = (struct xe_durable){.dir = enif_alloc(n + meta_bytes), .meta_bytes = meta_bytes};
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->unused, NULL);
    if (!d->dir) {
        free_durable(d);
        return NULL;
    }
    d->meta = (uint8_t *)memcpy(d->dir, dir, n) + n;
    memcpy(d->meta, meta, meta_bytes);
    return d;
}

struct xe_log *xe_durable_new(ErlNifEnv *env, struct xe_journal *journal, const char *dir,
                              const uint8_t *meta, size_t meta_bytes)
{
    struct xe_durable *d = durable_alloc(dir, meta, meta_bytes);
    struct xe_log *log = d ? enif_alloc_resource(log_type, sizeof *log) : NULL;
    if (!log) {
        if (d)
            free_durable(d);
        return NULL;
    }
    log->durable = d;
    d->journal = journal;
    d->device = xe_journal_dir(journal)->device;
    d->inode = xe_journal_dir(journal)->inode;
    enif_self(env, &d->opener);
    pthread_mutex_lock(&the->lock);
    d->next = the->first;
    the->first = d;
    pthread_mutex_unlock(&the->lock);
    return log;
}

void xe_durable_attach(struct xe_log *log, struct xe_table *core)
{
    enif_keep_resource(log);
    xe_table_set_log(core, log);
}

void xe_durable_shown(struct xe_owned *table)
{
    struct xe_log *log = xe_table_log(table->core);
    if (!log)
        return;
    /* take_off() comes after the section. */
    enif_keep_resource(table);
    pthread_mutex_lock(&the->lock);
    log->durable->table = table;
    pthread_mutex_unlock(&the->lock);
}

static struct xe_durable *find(const struct stat *st)
{
    struct xe_durable *d = the->first;
    while (d && (d->device != st->st_dev || d->inode != st->st_ino))
        d = d->next;
    return d;
}

/* Whether a table lives that somebody has, and what new/2 returned for it. */
static bool is_living(ErlNifEnv *env, struct xe_owned *table, ERL_NIF_TERM *handle)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    bool lives = xe_owner_life(env, table) != XE_IS_DEAD;
    if (lives)
        *handle = xe_owner_handle(env, table);
    xe_epoch_leave(slot);
    return lives;
}

/* Of a directory whose table, or opener, is gone. */
static enum xe_holder holder_of(enum xe_reaching closing)
{
    switch (closing) {
    case XE_REACHING:
        return XE_HOLDER_CLOSING;
    case XE_REACH_NOMEM:
        return XE_HOLDER_NOMEM;
    default:
        return XE_HOLDER_NONE;
    }
}

enum xe_holder xe_durable_holder(ErlNifEnv *env, const char *dir, ERL_NIF_TERM ref,
                                 ERL_NIF_TERM *handle)
{
    struct stat st;
    struct xe_io_error ignored;
    ErlNifPid self;
    if (stat(dir, &st) != 0)
        return XE_HOLDER_NONE;
    pthread_mutex_lock(&the->lock);
    struct xe_durable *d = find(&st);
    struct xe_owned *table = d ? d->table : NULL;
    if (table)
        enif_keep_resource(table);
    pthread_mutex_unlock(&the->lock);
    bool lives = table && is_living(env, table, handle);
    if (table)
        enif_release_resource(table);
    if (lives)
        return XE_HOLDER_TABLE;
    /* Looked for again: it may have been closed meanwhile. */
    pthread_mutex_lock(&the->lock);
    d = find(&st);
    enum xe_holder holder = XE_HOLDER_NONE;
    if (d && !d->table && xe_durable_is_open(d) && enif_is_process_alive(env, &d->opener))
        holder = XE_HOLDER_OPENING;
    else if (d)
        holder = holder_of(xe_durable_listen(d, enif_self(env, &self), ref, &ignored));
    pthread_mutex_unlock(&the->lock);
    return holder;
}

/* --- The journal, as long as it is open ----------------------------------------- */

bool xe_durable_hold(struct xe_durable *d)
{
    pthread_mutex_lock(&d->lock);
    bool is_open = !d->is_closing;
    d->users += is_open;
    pthread_mutex_unlock(&d->lock);
    return is_open;
}

void xe_durable_let_go(struct xe_durable *d)
{
    pthread_mutex_lock(&d->lock);
    if (--d->users == 0)
        pthread_cond_broadcast(&d->unused);
    pthread_mutex_unlock(&d->lock);
}

bool xe_durable_is_open(struct xe_durable *d)
{
    pthread_mutex_lock(&d->lock);
    bool is_open = !d->is_closing;
    pthread_mutex_unlock(&d->lock);
    return is_open;
}

/* --- Calls that wait ---------------------------------------------------------- */

/*
 * What the operating system shall have it has within a few microseconds, while the journal's thread
 * is awake: so the process looks a few times, each time after others have run, before it sleeps
 * until there is a message. Making, sending and receiving that takes longer than the writing.
 */

/* What a call that has to wait goes on with. */
enum { ARG_LOG, ARG_NUMBER, ARG_RESULT, ARG_LOOKS, N_ARGS };

static ERL_NIF_TERM raise_wait(ErlNifEnv *env, const ERL_NIF_TERM argv[])
{
    return enif_raise_exception(env, enif_make_tuple4(env, xe_am.xets_wait, argv[ARG_LOG],
                                                      argv[ARG_NUMBER], argv[ARG_RESULT]));
}

static bool has_reached(struct xe_durable *d, uint64_t ticket)
{
    bool has = xe_durable_hold(d);
    if (has) {
        has = xe_journal_has_reached(d->journal, ticket, XE_JOURNAL_OS);
        xe_durable_let_go(d);
    }
    return has;
}

static ERL_NIF_TERM look_again(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* Lets other processes run before it looks again, or has the process sleep. */
static ERL_NIF_TERM look_later(ErlNifEnv *env, const ERL_NIF_TERM argv[], int looks)
{
    if (looks == LOOKS)
        return raise_wait(env, argv);
    ERL_NIF_TERM args[N_ARGS] = {argv[ARG_LOG], argv[ARG_NUMBER], argv[ARG_RESULT],
                                 enif_make_int(env, looks + 1)};
    enif_consume_timeslice(env, 100);
    return enif_schedule_nif(env, "durable_look", 0, look_again, N_ARGS, args);
}

static ERL_NIF_TERM look_again(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    ErlNifUInt64 ticket;
    int looks;
    struct xe_log *log = xe_durable_get(env, argv[ARG_LOG]);
    (void)argc;
    if (!log || !enif_get_uint64(env, argv[ARG_NUMBER], &ticket) ||
        !enif_get_int(env, argv[ARG_LOOKS], &looks))
        return raise_wait(env, argv);
    return has_reached(log->durable, ticket) ? argv[ARG_RESULT] : look_later(env, argv, looks);
}

/* Whether it is worth looking. A checkpoint that is due is for who waits to make. */
static bool is_soon(struct xe_durable *d, uint64_t number)
{
    return number != CLOSED && d->level != XE_DURABLE_DISK && !is_due(d) &&
           enif_thread_type() == ERL_NIF_THR_NORMAL_SCHEDULER;
}

/* The call has changed what has a number, and returns a result. */
static ERL_NIF_TERM answer_changed(ErlNifEnv *env, struct xe_log *log, uint64_t number,
                                   ERL_NIF_TERM out)
{
    ERL_NIF_TERM ticket = number == CLOSED ? xe_am.closed : enif_make_uint64(env, number);
    const ERL_NIF_TERM args[N_ARGS] = {enif_make_resource(env, log), ticket, out};
    return is_soon(log->durable, number) ? look_later(env, args, 0) : raise_wait(env, args);
}

ERL_NIF_TERM xe_call_answer_owing(ErlNifEnv *env, enum xe_result result, const ERL_NIF_TERM *out)
{
    struct xe_epoch_slot *slot = xe_epoch_self;
    struct xe_log *log = slot->owed;
    uint64_t number = slot->owed_number;
    bool had_no_room = is_room(number);
    slot->owed = NULL;
    ERL_NIF_TERM answer;
    if (result == XE_CALL_RETRY && had_no_room)
        answer = enif_raise_exception(
            env, enif_make_tuple3(env, xe_am.xets_room, enif_make_resource(env, log),
                                  enif_make_uint64(env, number & ~ROOM_FOR)));
    else if (result != XE_CALL_OK)
        answer = xe_call_raise(env, result);
    else
        /* There may have been room at the next attempt. */
        answer = had_no_room ? *out : answer_changed(env, log, number, *out);
    enif_release_resource(log);
    return answer;
}

ERL_NIF_TERM xe_call_answer_part(ErlNifEnv *env, ERL_NIF_TERM result)
{
    struct xe_epoch_slot *slot = xe_epoch_self;
    if (!enif_is_exception(env, result)) {
        bool had_no_room = xe_call_owes() && is_room(slot->owed_number) && result == xe_am.more;
        return xe_call_answer(env, had_no_room ? XE_CALL_RETRY : XE_CALL_OK, &result);
    }
    if (xe_call_owes()) {
        enif_release_resource(slot->owed);
        slot->owed = NULL;
    }
    return result;
}

/* --- Waiting ------------------------------------------------------------------ */

/* A process that is told when the journal has reached what it waits for. */
struct waiter {
    struct xe_journal_waiter of;
    ErlNifPid pid;
    ErlNifEnv *env;
    ERL_NIF_TERM ref;
};

static void waiter_free(struct waiter *w)
{
    enif_free_env(w->env);
    enif_free(w);
}

/* {Ref, ok | failed}. On the journal's thread. */
static void reached(struct xe_journal_waiter *of, enum xe_status status)
{
    struct waiter *w = (void *)((uintptr_t)of - offsetof(struct waiter, of));
    xe_hook(NULL, "journal_tells");
    enif_send(NULL, &w->pid, w->env,
              enif_make_tuple2(w->env, w->ref, status == XE_OK ? xe_am.ok : xe_am.failed));
    waiter_free(w);
}

static struct waiter *waiter_new(const ErlNifPid *pid, ERL_NIF_TERM ref)
{
    struct waiter *w = enif_alloc(sizeof *w);
    if (!w || !(w->env = enif_alloc_env())) {
        if (w)
            enif_free(w);
        return NULL;
    }
    w->of = (struct xe_journal_waiter){.done = reached};
    w->pid = *pid;
    w->ref = enif_make_copy(w->env, ref);
    return w;
}

/* The journal is held. */
static enum xe_reaching await(struct xe_durable *d, uint64_t ticket, enum xe_durable_level level,
                              const ErlNifPid *pid, ERL_NIF_TERM ref, struct xe_io_error *error)
{
    /* From here on it may be told, and freed, at any time. */
    struct waiter *w = waiter_new(pid, ref);
    if (!w)
        return XE_REACH_NOMEM;
    if (ticket == XE_DURABLE_ALL)
        ticket = xe_journal_last(d->journal);
    switch (xe_journal_await(d->journal, ticket,
                             level == XE_DURABLE_DISK ? XE_JOURNAL_DISK : XE_JOURNAL_OS, &w->of)) {
    case XE_RETRY:
        return XE_REACHING;
    case XE_OK:
        waiter_free(w);
        return XE_REACHED;
    default:
        waiter_free(w);
        xe_journal_error(d->journal, error);
        return XE_REACH_FAILED;
    }
}

enum xe_reaching xe_durable_wait(struct xe_durable *d, uint64_t ticket,
                                 enum xe_durable_level level, const ErlNifPid *pid,
                                 ERL_NIF_TERM ref, struct xe_io_error *error)
{
    if (level == XE_DURABLE_MEMORY)
        return XE_REACHED;
    if (!xe_durable_hold(d))
        return xe_durable_listen(d, pid, ref, error);
    enum xe_reaching reaching = await(d, ticket, level, pid, ref, error);
    xe_durable_let_go(d);
    return reaching;
}

enum xe_reaching xe_durable_await_room(struct xe_durable *d, size_t bytes, const ErlNifPid *pid,
                                       ERL_NIF_TERM ref)
{
    /* Without a journal there is nothing to wait for: the next attempt tells why. */
    if (!xe_durable_hold(d))
        return XE_REACHED;
    struct waiter *w = waiter_new(pid, ref);
    enum xe_reaching reaching = XE_REACH_NOMEM;
    if (w) {
        bool waits = xe_journal_await_room(d->journal, bytes, &w->of) == XE_RETRY;
        reaching = waits ? XE_REACHING : XE_REACHED;
        if (!waits)
            waiter_free(w);
    }
    xe_durable_let_go(d);
    return reaching;
}

enum xe_reaching xe_durable_listen(struct xe_durable *d, const ErlNifPid *pid, ERL_NIF_TERM ref,
                                   struct xe_io_error *error)
{
    struct xe_listener *l = enif_alloc(sizeof *l);
    if (!l || !(l->env = enif_alloc_env())) {
        if (l)
            enif_free(l);
        return XE_REACH_NOMEM;
    }
    l->pid = *pid;
    l->ref = enif_make_copy(l->env, ref);
    pthread_mutex_lock(&d->lock);
    bool is_closed = d->is_closed;
    if (is_closed) {
        *error = d->close_error;
    } else {
        l->next = d->listeners;
        d->listeners = l;
    }
    pthread_mutex_unlock(&d->lock);
    if (!is_closed)
        return XE_REACHING;
    enif_free_env(l->env);
    enif_free(l);
    return error->code ? XE_REACH_FAILED : XE_REACHED;
}

static void tell_listeners(ErlNifEnv *env, struct xe_listener *l)
{
    while (l) {
        struct xe_listener *next = l->next;
        enif_send(env, &l->pid, l->env, enif_make_tuple2(l->env, l->ref, xe_am.closed));
        enif_free_env(l->env);
        enif_free(l);
        l = next;
    }
}

/* --- The end ----------------------------------------------------------------- */

/* Nobody waits for the journal from now on who does not already. */
static void begin_closing(struct xe_durable *d)
{
    pthread_mutex_lock(&d->lock);
    d->is_closing = true;
    pthread_mutex_unlock(&d->lock);
}

static void take_off(struct xe_durable *d)
{
    struct xe_durable **at;
    pthread_mutex_lock(&the->lock);
    for (at = &the->first; *at != d; at = &(*at)->next)
        ;
    *at = d->next;
    struct xe_owned *table = d->table;
    d->table = NULL;
    pthread_mutex_unlock(&the->lock);
    if (table)
        enif_release_resource(table);
}

void xe_durable_close(ErlNifEnv *env, struct xe_durable *d)
{
    struct xe_io_error error = {0};
    xe_hook(env, "durable_closing");
    begin_closing(d);
    pthread_mutex_lock(&d->lock);
    while (d->users)
        pthread_cond_wait(&d->unused, &d->lock);
    pthread_mutex_unlock(&d->lock);
    xe_fill_end(&d->fill);
    bool ok = xe_journal_close(d->journal, &error);
    take_off(d);
    pthread_mutex_lock(&d->lock);
    d->is_closed = true;
    if (!ok)
        d->close_error = error;
    struct xe_listener *listeners = d->listeners;
    d->listeners = NULL;
    pthread_mutex_unlock(&d->lock);
    tell_listeners(env, listeners);
}

void xe_durable_log_gone(void *log)
{
    xe_durable_close(NULL, durable_of(log));
    enif_release_resource(log);
}

static void close_abandoned(struct xe_reclaim_job *job)
{
    struct xe_durable *d = (void *)((uintptr_t)job - offsetof(struct xe_durable, job));
    xe_durable_close(NULL, d);
    free_durable(d);
}

/* Nobody knows the log any more. If it has never been that of a core's table its journal is
 * open. */
static void log_destroy(ErlNifEnv *env, void *obj)
{
    struct xe_durable *d = ((struct xe_log *)obj)->durable;
    (void)env;
    if (d->is_closed) {
        free_durable(d);
        return;
    }
    begin_closing(d);
    d->job.run = close_abandoned;
    xe_reclaim_push_io(&d->job);
}

bool xe_durable_info(struct xe_durable *d, struct xe_journal_info *out,
                     struct xe_io_error *error)
{
    if (!xe_durable_hold(d))
        return false;
    xe_journal_info(d->journal, out);
    if (!xe_journal_error(d->journal, error))
        error->code = 0;
    xe_durable_let_go(d);
    return true;
}

uint64_t xe_durable_memory(struct xe_log *log)
{
    if (XE_LIKELY(!log) || !xe_durable_hold(log->durable))
        return 0;
    uint64_t bytes = sizeof *log->durable + xe_journal_memory(log->durable->journal);
    xe_durable_let_go(log->durable);
    return bytes;
}

struct xe_owned *xe_durable_table(struct xe_durable *d)
{
    pthread_mutex_lock(&the->lock);
    struct xe_owned *table = d->table;
    if (table)
        enif_keep_resource(table);
    pthread_mutex_unlock(&the->lock);
    return table;
}

void xe_durable_checkpointed(struct xe_durable *d, uint64_t number)
{
    if (!xe_durable_hold(d))
        return;
    xe_journal_checkpointed(d->journal, number);
    xe_durable_let_go(d);
    atomic_store_explicit(&d->checkpoint_time, (int64_t)time(NULL), memory_order_relaxed);
}

/* --- Errors ------------------------------------------------------------------- */

static ERL_NIF_TERM make_text(ErlNifEnv *env, const char *text)
{
    ERL_NIF_TERM term;
    size_t n = strlen(text);
    memcpy(enif_make_new_binary(env, n, &term), text, n);
    return term;
}

ERL_NIF_TERM xe_durable_make_error(ErlNifEnv *env, const struct xe_io_error *error)
{
    const char *code = error->code > 0 ? erl_errno_id(error->code) : xe_io_code_name(error->code);
    return enif_make_tuple5(
        env, enif_make_atom(env, code), make_text(env, xe_io_op_name(error->op)),
        make_text(env, error->path),
        error->offset == XE_IO_NOWHERE ? xe_am.none : enif_make_uint64(env, error->offset),
        error->reason ? make_text(env, error->reason) : xe_am.none);
}

/* --- Loading ------------------------------------------------------------------ */

bool xe_durable_start(ErlNifEnv *env, ErlNifResourceFlags flags)
{
    log_type = enif_open_resource_type(env, NULL, "xets_log", log_destroy, flags, NULL);
    return log_type;
}

void *xe_durable_domain(void)
{
    return the;
}

bool xe_durable_adopt(void *domain)
{
    struct list *list = domain;
    if (!list || list->version != LIST_VERSION)
        return false;
    the = list;
    return true;
}
