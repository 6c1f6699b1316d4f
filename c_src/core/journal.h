/*
 * journal.h - what makes a table durable: its changes in a file, in their order, before they are
 * acknowledged; and how its state is found again.
 *
 * A directory has one table:
 *   LOCK                  locked by who has the table open
 *   checkpoint-S          a file of records (tablefile.h): the state after the changes 1 to S
 *   journal-N             a segment of the journal, N = 1, 2, ...: changes in their order
 *   *.new, spare-N        unfinished; they mean nothing
 * (S and N: 16 digits, hexadecimal.) What the bytes of changes and records say is the user's.
 *
 * A segment, version 2. Numbers are little-endian. H(seed, bytes) is XXH3 of 64 bits.
 *
 *   header, at 0 and at 512       mark, at 1024             record, from 4096 on
 *    0  8  89 58 45 54             0  8  "CLOSED", 0, 0      0  8  its bytes n, and 4A in byte 7
 *          4A 0D 0A 1A             8  8  number of the       8  8  its number
 *    8  8  version, 2                    last change        16  8  the highest number that was
 *   16  8  salt                   16  8  bytes of the file         known synced when it was written
 *   24  8  N                      24  8  H(salt, 0-23)      24  8  H(salt, the n bytes)
 *   32  8  bytes of the file                                32  8  H(salt, bytes 0-31)
 *   40  8  metadata: m bytes                                40  n  the change, and 0 to 7 zeros
 *   48  8  H(salt, metadata)                                a record begins at a multiple of 8
 *   56  8  H(salt, 0-55)
 *   64  m  metadata, m <= 448: those of the checkpoints
 *
 *   What there is no word for before 4096 is 0; so is the place of the mark of a segment that has
 *   none.
 *
 * A segment is valid if and only if
 *   (S1) one of its headers has the right mark, checksums, and the N of the file's name, and the
 *        version is 2 (else: XE_IO_VERSION);
 *   (S2) the file has the bytes that the header says, or those that a mark says whose checksum is
 *        right: a segment is cut to what is used of it when it is closed.
 *   It gets its name when it has been written and synced like that, so a segment that is not valid
 *   is damaged.
 * A record is valid if and only if
 *   (R1) byte 7 is 4A, byte 6 is 0, bytes 32-39 are the checksum of those before;
 *   (R2) its n bytes are in the file, and bytes 24-31 are their checksum;
 *   (R3) its number is larger than the one that it says to be synced.
 *   It counts if also
 *   (R4) it is the first of its segment, or its number follows on that of a valid record before it.
 * The state is that of the checkpoint with the largest S, and of the records that count and whose
 * numbers follow on S without a gap, up to a number V. It is refused as damaged if
 *   (C1) a segment is not valid; (C2) the checkpoint is not, or has more than 448 bytes of
 *        metadata, or there is none;
 *   (C3) a valid record, wherever it is, says that more than V was synced;
 *   (C4) a mark says that more than V was in a segment that was closed.
 * Without C3 and C4 nothing that can still be read knows of a sync of what is missing behind V: it
 * is what a loss of power leaves out. (Damage, of a journal that was not closed, of the very last
 * units that were synced looks the same: nothing that came later tells of them.)
 * A directory is as it was written, as far as anything tells, if moreover
 *   (V1) both headers of each segment are the same, and all before 4096 is as said above, and
 *        behind each record that counts, but for the beginning of a mark that was being written; no
 *        segment is longer than its header says;
 *   (V2) a mark has the number of the last record of its segment that counts;
 *   (V3) no valid record says of one before it in its segment that it was synced, which is not
 *        valid.
 * The state does not need it: of what V1 asks for there is another copy, or no use; what V2 and V3
 * ask for besides C3 and C4 is in the checkpoint.
 *
 * Why it holds. Changes are written in the order of their numbers; a number counts as known synced
 * when the segment that has it and all before it have been synced. A new segment is begun at each
 * opening, after all that was read has been made safe, and all segments behind the last one read
 * removed: so what is behind V in its segment is never added to. Salts are drawn per segment:
 * what a recycled file had before is no record in it. D1 of io.h is assumed: appending to a sector
 * does not destroy what was in it.
 *
 * Guarantees
 *   J1. A change acknowledged at level `os` is there when the process dies.
 *   J2. A change acknowledged at level `disk` is there when the power goes.
 *   J3. What is there is the state after the changes 1 to V, for some V, or an error that names a
 *       file and an offset. Changes written as one unit are there together or not at all.
 *   J4. After a write or a sync that failed, nothing is acknowledged until it is opened again.
 *   J5. Files are made, renamed and removed in the directory that was locked, wherever it has been
 *       moved, and whatever has its path by then.
 *
 * Threads. Any number of threads write units: reserve, commit, notify. One thread of the process
 * writes and syncs for all journals, as many units as there are in one go, and tells those who
 * wait. All calls that touch files but for its work are for threads that may block.
 */
#ifndef XE_JOURNAL_H
#define XE_JOURNAL_H

#include "io.h"
#include "reclaim.h"
#include "tablefile.h"

struct xe_journal;
struct xe_replay;

/* --- The writing thread ---------------------------------------------------- */

/*
 * Starts the thread of this copy of the library; NULL: a POSIX thread. If a thread of another copy
 * serves the same journals, it ends after what it is at, and this one goes on. False: the thread
 * could not be made.
 */
bool xe_journal_start(const struct xe_reclaim_threads *threads);
/* Ends the thread of this copy and joins it, or (dismiss) lets it go. What is not written then is,
 * by who starts the next one, or calls xe_journal_run(), or closes. */
void xe_journal_stop(void);
void xe_journal_dismiss(void);
/* Does what there is to do for the thread, if there is none, or waits until it is done. */
void xe_journal_run(void);
/* Waits until the thread has written and synced all that was committed to any journal before, also
 * by others who are still copying it: for the end of the program. Without a thread, the calling one
 * does it. False: the thread has got nothing done for `max_ns`. What has failed is told by
 * xe_journal_error(). */
bool xe_journal_flush(uint64_t max_ns);

/* All journals of the process, for another copy of the library, and what that copy calls before it
 * opens one. False: the other copy has another layout. */
void *xe_journal_domain(void);
bool xe_journal_adopt(void *domain);

/* --- Opening --------------------------------------------------------------- */

enum { XE_JOURNAL_META = 448 };

struct xe_journal_options {
    const struct xe_io *io;
    const char *dir;
    /* Makes the directory, and a checkpoint of nothing with these metadata, if it is not there or
     * has nothing of a table. False: that is an error (ENOENT, XE_IO_NO_TABLE). */
    bool create;
    const void *meta;
    size_t meta_bytes; /* XE_JOURNAL_META at most */
    bool salvage;           /* see xe_replay_next() */
    size_t buffer_bytes;    /* 0: 4 MiB; else rounded up to a power of two */
    uint64_t segment_bytes; /* at most, but for a larger record; 0: 16 MiB */
};

/*
 * Locks the directory and makes ready to read it. Then: the records of the checkpoint, the replay
 * to its end, xe_journal_begin(). NULL: *error; the code is XE_IO_LOCKED if somebody has the table
 * open.
 */
struct xe_journal *xe_journal_open(const struct xe_journal_options *options,
                                   struct xe_io_error *error);
struct xe_replay *xe_journal_replay(struct xe_journal *j);
/* The directory (J5), until the journal is closed. */
const struct xe_io_dir *xe_journal_dir(const struct xe_journal *j);
/* After the end of the replay, which is freed: writing may begin, and numbers go on from it. */
bool xe_journal_begin(struct xe_journal *j, struct xe_io_error *error);

/*
 * Writes and syncs all that was committed, marks the end, and frees the journal, in whatever state;
 * everybody who waits has been told. No other call is under way, and none comes after. False: the
 * journal had failed, or has now.
 */
bool xe_journal_close(struct xe_journal *j, struct xe_io_error *error);

/* Removes all files of a table, and the directory if nothing else is in it. XE_IO_NO_TABLE: there
 * is none, and nothing was touched. */
bool xe_journal_destroy(const struct xe_io *io, const char *dir, struct xe_io_error *error);

/* --- Writing units --------------------------------------------------------- */

/* Room for one unit. */
struct xe_journal_room {
    size_t bytes; /* of the unit, at most */
    void *large;  /* NULL, or where the unit is to be written before it is committed */
};

/*
 * Reserves room for a unit of at most `n` bytes. XE_RETRY: there is none now, see
 * xe_journal_await_room(); XE_NOMEM; XE_FAILED: the journal has failed, see xe_journal_error().
 * Called before any lock is taken. room->large is set for units too large for the buffer.
 */
enum xe_status xe_journal_reserve(struct xe_journal *j, size_t n, struct xe_journal_room *room);
/* Gives it back. */
void xe_journal_cancel(struct xe_journal *j, struct xe_journal_room *room);
/*
 * Adds a unit, of `n` bytes that are copied (or are at room->large already), behind all that were
 * committed before. Under the lock that orders the changes; never waits, never fails. Returns its
 * ticket, to wait for it.
 */
uint64_t xe_journal_commit(struct xe_journal *j, struct xe_journal_room *room, const void *bytes,
                           size_t n);
/* Makes sure that what this thread has committed will be written. After the lock was let go. */
void xe_journal_notify(struct xe_journal *j);
/* The same for who waits for nothing: it is written together with what comes within the next
 * XE_JOURNAL_LATE_NS, or at once if that is much, somebody wants it or is in need of room. A fence
 * (seq_cst) of this thread stands between the commit and this. */
#define XE_JOURNAL_LATE_NS (UINT64_C(1) * 1000 * 1000)
void xe_journal_notify_later(struct xe_journal *j);

/* The number of the last change. While nothing commits (the gate is closed): the exact S of the
 * state that is in memory. */
uint64_t xe_journal_number(const struct xe_journal *j);
/* The bytes of all units committed so far, each up to seven more: for differences. */
uint64_t xe_journal_sum(const struct xe_journal *j);
/* The memory that it takes, but for what is soon written; and that of all of this process. */
uint64_t xe_journal_memory(const struct xe_journal *j);
uint64_t xe_journal_memory_all(void);

/* --- Waiting --------------------------------------------------------------- */

enum xe_journal_level {
    XE_JOURNAL_OS,   /* written: J1 */
    XE_JOURNAL_DISK, /* synced: J2 */
    XE_JOURNAL_LEVELS,
};

/* Somebody who waits. `done` is called once, with XE_OK or XE_FAILED, on the writing thread, or
 * where there is none, on one that closes or flushes; the memory is the waiter's again then. It must
 * not wait, nor open or close. */
struct xe_journal_waiter {
    struct xe_journal_waiter *next;
    void (*done)(struct xe_journal_waiter *w, enum xe_status status);
    uint64_t ticket;
};

/* Whether the unit is known to have reached the level: one load, and no more. */
bool xe_journal_has_reached(const struct xe_journal *j, uint64_t ticket,
                            enum xe_journal_level level);
/* Whether the unit has reached the level: XE_OK; XE_FAILED: it never will; XE_RETRY: `w` will be
 * told. A ticket that xe_journal_last() has given is reached when all units before are. */
enum xe_status xe_journal_await(struct xe_journal *j, uint64_t ticket, enum xe_journal_level level,
                                struct xe_journal_waiter *w);
/* Whether there is room for `n` bytes, or there will be: `w` is told when it is worth trying. */
enum xe_status xe_journal_await_room(struct xe_journal *j, size_t n, struct xe_journal_waiter *w);
/* The ticket of the last unit committed: to wait for all there are. */
uint64_t xe_journal_last(const struct xe_journal *j);
/* Whether the journal has failed, and why. */
bool xe_journal_error(struct xe_journal *j, struct xe_io_error *error);

struct xe_journal_info {
    uint64_t number, written, synced; /* the last changes committed, written and synced */
    uint64_t checkpoint;              /* S */
    uint64_t segments;                /* of the journal */
    uint64_t bytes; /* of records, written since the last checkpoint was finished, or read */
};
void xe_journal_info(struct xe_journal *j, struct xe_journal_info *out);

/* --- Checkpoints and backups ------------------------------------------------ */

/* The path of checkpoint S in a directory, to be freed by xe_cb.free; NULL: out of memory. Written
 * there, by xe_journal_dir(), with XE_TABLEFILE_CHECKPOINT, `atomic` and `sync`, it is valid; a
 * directory with nothing else is a backup. */
char *xe_journal_checkpoint_path(const char *dir, uint64_t s);
/* The same of segment N. */
char *xe_journal_segment_path(const char *dir, uint64_t n);
/* A checkpoint S has been written: older ones, and segments that it makes needless, are removed
 * or used again, soon. */
void xe_journal_checkpointed(struct xe_journal *j, uint64_t s);

/* --- Reading a directory ----------------------------------------------------- */

/* Locks a directory that is only read: whoever opens it is kept out until *lock is closed. False,
 * with XE_IO_LOCKED: somebody has it open. *lock is NULL, and all is well, where there is nothing to
 * lock, as in a backup that was never opened, or where the file system knows no locks. */
bool xe_replay_lock(const struct xe_io *io, const char *dir, struct xe_file **lock,
                    struct xe_io_error *error);

/* Reads without a lock: for who has it, or knows that nobody writes. `salvage`: see next(). The
 * code is XE_IO_NO_TABLE if the directory has neither checkpoints nor segments. */
struct xe_replay *xe_replay_open(const struct xe_io *io, const char *dir, bool salvage,
                                 struct xe_io_error *error);
void xe_replay_close(struct xe_replay *r);

/* The checkpoint, open, and its S. NULL: there is none, which only salvaging lets pass, and S is 0.
 * That takes the last one which can be opened. */
struct xe_tablefile_reader *xe_replay_checkpoint(struct xe_replay *r, uint64_t *s);

/* The metadata: of the checkpoint; when salvaging without one, of the last segment that can be
 * opened. */
struct xe_replay_meta {
    const uint8_t *bytes;
    size_t n; /* XE_JOURNAL_META at most */
    bool of_segment;
    uint64_t number; /* S, or N: of the file that has them, behind 64 other bytes */
};
void xe_replay_meta(const struct xe_replay *r, struct xe_replay_meta *out);

struct xe_replay_unit {
    uint64_t number;
    const uint8_t *bytes; /* until the next call */
    size_t n;
    uint64_t segment, offset; /* where they are: in which, and where in it */
};

enum xe_replay_status {
    XE_REPLAY_UNIT,
    XE_REPLAY_MORE, /* nothing yet */
    XE_REPLAY_END,
    XE_REPLAY_FAILED, /* *error: damaged, where; or what could not be read */
};

/*
 * The next change behind the checkpoint. A call looks through one segment at most, and then returns
 * XE_REPLAY_MORE: the next one goes on. When salvaging, damage is passed over: every valid record
 * that comes is returned whose number is larger than all before, and belongs to the segment that
 * it is in; what was lost is counted.
 */
enum xe_replay_status xe_replay_next(struct xe_replay *r, struct xe_replay_unit *out,
                                     struct xe_io_error *error);

struct xe_replay_lost {
    uint64_t changes;  /* whose numbers are known, and that are not there */
    uint64_t bytes;    /* passed over that were not empty */
    uint64_t segments; /* that could not be read at all */
    bool checkpoint;   /* the last one could not be opened, or there was none */
};
/* V so far; what was lost so far. */
uint64_t xe_replay_number(const struct xe_replay *r);
void xe_replay_lost(const struct xe_replay *r, struct xe_replay_lost *out);

/*
 * Reads all, checkpoint and changes, of a directory that nobody has open, instead of next():
 * XE_REPLAY_MORE: not yet, a call reads about XE_REPLAY_VERIFY bytes, or looks through one segment;
 * XE_REPLAY_END: all is as it was written (V1 to V3); XE_REPLAY_FAILED: see next(). `r` is new, and
 * not salvaging.
 */
enum { XE_REPLAY_VERIFY = 1 << 20 };
enum xe_replay_status xe_replay_verify(struct xe_replay *r, struct xe_io_error *error);

#endif
