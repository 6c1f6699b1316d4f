/*
 * durable.h - tables that are kept in a directory.
 *
 *   xe_table (core) --log--> xe_durable --> xe_journal (core) --> files
 *
 * A durable table is a table with a log (core/log.h) which is a journal in a directory. What is
 * here joins the two: it makes bytes of changes (durable_unit.h), counts what the journal has
 * grown by, lets processes wait, and keeps track of which directories this VM has open.
 *
 * A call that has changed something waits until the change has reached the level that the table was
 * opened with. No scheduler does: the NIF raises {xets_wait, Log, Number, Result}, and src/xets.erl
 * hands that to xets_durable:wait/3, which asks (Log, Number) whether it is so by now, and else
 * receives the message that the journal's thread sends. Calls of other tables pay for one look at
 * a word of their epoch slot. A call that finds no room in the journal's buffer has changed nothing;
 * it raises {xets_room, Log, Bytes}, and is made again when xets_durable:await_room/2 returns.
 *
 * States of a directory in this VM. Between two of them stands who may do something
 *
 *   OPENING   recovered by the process that opens it, step by step, into a table that is hidden; in
 *             the end it is the log of that, which the end of the process still ends
 *   OPEN      the log of a table that is shown
 *   CLOSING   the table is gone, or that process: the reclaimer's thread for what may wait for a
 *             disk writes and syncs what there is, and unlocks the directory, of one table after the
 *             other. Who wants to open it gets a message afterwards.
 *   (closed)  not in the list
 */
#ifndef XE_DURABLE_H
#define XE_DURABLE_H

#include <erl_nif.h>
#include <pthread.h>
#include <sys/types.h>

#include "../core/journal.h"
#include "../core/log.h"
#include "../core/reclaim.h"
#include "../core/tablefile.h"
#include "durable_unit.h"
#include "fill.h"
#include "owner.h"

/* A process that is told when a directory is closed. */
struct xe_listener {
    struct xe_listener *next;
    ErlNifPid pid;
    ErlNifEnv *env;
    ERL_NIF_TERM ref;
};

/* Where recovering is. */
enum xe_durable_part {
    XE_DURABLE_CHECKPOINT,
    XE_DURABLE_JOURNAL,
    XE_DURABLE_REST, /* storing what is left of both */
};

/* What salvaging has passed over. */
struct xe_durable_lost {
    uint64_t bytes;   /* of the checkpoint */
    uint64_t records; /* of either, that are whole but say nothing */
};

/* When a write returns. */
enum xe_durable_level {
    XE_DURABLE_MEMORY, /* at once: what it wrote is in the journal's buffer; while nobody watches
                        * for the end of the emulator, as the next */
    XE_DURABLE_OS,
    XE_DURABLE_DISK,
};

struct xe_durable {
    /* Fixed, once it is open. */
    struct xe_journal *journal;
    enum xe_durable_level level; /* that was asked for; see xe_durable_level() */
    struct xe_unit_form form;
    uint64_t after;         /* bytes of journal at which a checkpoint is due; 0: when there are more
                             * than the table has */
    char *dir; /* its path when it was opened: for messages */
    uint8_t *meta; /* what the files say of the table */
    size_t meta_bytes;
    dev_t device; /* of the directory: whatever its path, this is it */
    ino_t inode;
    ErlNifPid opener;
    /* For one call at a time: who has not got `is_busy` does not touch them. */
    _Atomic bool is_busy;
    struct xe_fill fill;
    bool salvage;         /* damage is passed over */
    struct xe_durable_lost lost;
    enum xe_durable_part part;
    const uint8_t *bytes; /* the record, or unit, that is being read */
    size_t size, at;
    bool is_done; /* with that */
    struct xe_tablefile_block block;
    const uint8_t *first;  /* byte of the block, which is at block.offset of the checkpoint */
    uint64_t segment, offset; /* where the unit is */
    bool is_read;     /* all is there that there was */
    bool is_attached; /* it is the log of a core's table, and is closed when that is gone */
    /* While it is open. */
    _Atomic uint64_t sum_before; /* xe_journal_sum() when the last checkpoint was begun, less what has
                                  * been read since then of changes behind it */
    _Atomic uint64_t due;        /* with so many bytes more somebody is told that one is due */
    _Atomic bool may_be_due;     /* whether it is worth looking: so many may be there */
    _Atomic bool is_checkpointing;
    _Atomic int64_t checkpoint_time; /* of the last one, in seconds of the system's time; 0: none */
    /* Under the lock of the list. */
    struct xe_durable *next;
    struct xe_owned *table; /* that is shown, with a reference; NULL before and after */
    /* Under its own lock, which comes behind that of the list. */
    pthread_mutex_t lock;
    pthread_cond_t unused;
    uint32_t users; /* calls that keep the journal open */
    struct xe_listener *listeners;
    bool is_closing, is_closed;
    struct xe_io_error close_error; /* code 0: none */
    struct xe_reclaim_job job;
};

/* The log of a core's table, and what Erlang has of it: a resource, which lives as long as
 * either. */
struct xe_log {
    struct xe_durable *durable;
};

/* Opens the resource types, those of calls_durable.c and calls_verify.c too; takes over those of an
 * older copy. */
bool xe_durable_open_types(ErlNifEnv *env, ErlNifResourceFlags flags);
bool xe_verify_open_types(ErlNifEnv *env, ErlNifResourceFlags flags);
bool xe_durable_start(ErlNifEnv *env, ErlNifResourceFlags flags);
/* The list of open directories, for another copy of the library, and what that calls. */
void *xe_durable_domain(void);
bool xe_durable_adopt(void *domain);

/* The core's callbacks (core/log.h). */
enum xe_status xe_durable_log_begin(void *log, const struct xe_log_change *change,
                                    struct xe_log_write *write);
void xe_durable_log_publish(void *log, struct xe_log_write *write);
void xe_durable_log_end(void *log, struct xe_log_write *write);
void xe_durable_log_gone(void *log);

/* The call has ended a table: if it is durable, it owes its caller to wait until it is closed.
 * Inside a section. */
void xe_durable_owe_closing(struct xe_table *t);

/* The log that a term names. */
struct xe_log *xe_durable_get(ErlNifEnv *env, ERL_NIF_TERM term);

/* A new log for a directory whose journal is open, which it takes over: NULL, out of memory, if it
 * does not. To be released. */
struct xe_log *xe_durable_new(ErlNifEnv *env, struct xe_journal *journal, const char *dir,
                              const uint8_t *meta, size_t meta_bytes);
/* Makes it the log of a table, which is still hidden: without a reference to that, which goes with
 * the process that has it. */
void xe_durable_attach(struct xe_log *log, struct xe_table *core);
/* The table, if it is durable, is no longer hidden. Inside a section. */
void xe_durable_shown(struct xe_owned *table);
/* Writes, syncs and unlocks. By the reclaimer, `env` NULL, or on a dirty scheduler before it is
 * attached. */
void xe_durable_close(ErlNifEnv *env, struct xe_durable *d);

/* What holds a directory in this VM. Completes the exit of an owner that is dead. */
enum xe_holder {
    XE_HOLDER_NONE,    /* it does not, or not any more */
    XE_HOLDER_TABLE,   /* *handle: its name or identifier */
    XE_HOLDER_OPENING, /* another process opens it */
    XE_HOLDER_CLOSING, /* the caller gets {Ref, closed} */
    XE_HOLDER_NOMEM,
};
enum xe_holder xe_durable_holder(ErlNifEnv *env, const char *dir, ERL_NIF_TERM ref,
                                 ERL_NIF_TERM *handle);

/* Whether what was published with a number, and all before it, has reached a level. */
enum xe_reaching {
    XE_REACHED,
    XE_REACHING,     /* the process gets {Ref, ok}, or {Ref, failed | closed}: ask again */
    XE_REACH_FAILED, /* it never will: *error says why */
    XE_REACH_NOMEM,
};
/* All that was published so far: for `ticket`. */
#define XE_DURABLE_ALL (UINT64_MAX - 1)
enum xe_reaching xe_durable_wait(struct xe_durable *d, uint64_t ticket,
                                 enum xe_durable_level level, const ErlNifPid *pid,
                                 ERL_NIF_TERM ref, struct xe_io_error *error);
/* The same for the end: whether it is closed, and has kept all. */
enum xe_reaching xe_durable_listen(struct xe_durable *d, const ErlNifPid *pid, ERL_NIF_TERM ref,
                                   struct xe_io_error *error);
/* Waits until there is room for a unit of so many bytes: XE_REACHED, and XE_REACHING: the process
 * gets {Ref, ok | failed}. Either way it is worth trying then; XE_REACH_NOMEM. */
enum xe_reaching xe_durable_await_room(struct xe_durable *d, size_t bytes, const ErlNifPid *pid,
                                       ERL_NIF_TERM ref);

/* Keeps the directory from being closed until xe_durable_let_go(): not for long. False: it is
 * closing, or closed, and may be another table's by now. */
bool xe_durable_hold(struct xe_durable *d);
void xe_durable_let_go(struct xe_durable *d);
/* Whether it could be held. */
bool xe_durable_is_open(struct xe_durable *d);

/* Somebody will flush all journals when the emulator stops (journal_drv.c); or not any more, unless
 * somebody else does: from then on no write returns whose change is only in memory. Who leaves
 * flushes once more after that. */
void xe_durable_watch(void);
void xe_durable_unwatch(void);
/* A flush is given up when the writing thread has got nothing done for so long: as much as a disk
 * may take for one request. */
#define XE_DURABLE_FLUSH_NS (UINT64_C(30) * 1000 * 1000 * 1000)
/* The level at which writes return now. */
enum xe_durable_level xe_durable_level(const struct xe_durable *d);

/* What the journal says of itself, and why nothing is kept any more; code 0: that is not so. False:
 * it is closed. */
bool xe_durable_info(struct xe_durable *d, struct xe_journal_info *out,
                     struct xe_io_error *error);
/* The memory that a log takes; 0 without one, or if it is closed. */
uint64_t xe_durable_memory(struct xe_log *log);
/* The table, with a reference. NULL: it is gone, or hidden. */
struct xe_owned *xe_durable_table(struct xe_durable *d);
/* Tells the journal that a checkpoint has been written, if it is open still. */
void xe_durable_checkpointed(struct xe_durable *d, uint64_t s);

/* The path in a binary, which has room for PATH_MAX bytes. False: it is none. */
bool xe_durable_get_path(ErlNifEnv *env, ERL_NIF_TERM term, char *path);

/* {Code, Operation, Path, Offset | none, Reason | none} */
ERL_NIF_TERM xe_durable_make_error(ErlNifEnv *env, const struct xe_io_error *error);

/* Whether a checkpoint is due, and nobody has been told of late. Not of a table that is gone. */
bool xe_durable_is_due(struct xe_durable *d);
/* What the journal has is counted from now on. */
void xe_durable_grown_anew(struct xe_durable *d);
/* So much of it, in this segment, has been read by recovering. */
void xe_durable_has_read(struct xe_durable *d, uint64_t segment, size_t bytes);

#endif
