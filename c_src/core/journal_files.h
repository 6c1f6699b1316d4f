/*
 * journal_files.h - the files of a journal that is being written: which segment is, which are
 * needed, and which can go. For one thread at a time.
 */
#ifndef XE_JOURNAL_FILES_H
#define XE_JOURNAL_FILES_H

#include "journal_format.h"

/* A segment with its name and headers on the disk. */
struct xe_segment_file {
    struct xe_file *file;
    uint64_t number, salt, bytes;
    uint64_t offset; /* where the next record goes */
};

/* A segment that is full, or from an earlier time, and the largest number that it may have. */
struct xe_segment_full {
    uint64_t number, last;
};

struct xe_journal_files {
    const struct xe_io *io;
    char *dir;
    struct xe_file *lock;
    bool made_lock; /* the file was not there before */
    uint64_t segment_bytes; /* of those behind the first few, which are smaller */
    uint64_t grown;         /* bytes of the last one that was begun */
    uint8_t meta[XE_JOURNAL_META]; /* what each segment says of the table */
    size_t meta_bytes;
    struct xe_segment_file current;
    struct xe_segment_file spare; /* the next one, if spare.file is not NULL */
    struct xe_file *unsynced;     /* the one before, as long as not all of it is synced; or NULL */
    struct xe_segment_full *full; /* ascending */
    uint32_t n_full, cap_full;
    uint64_t next;     /* number of the segment that is made next */
    uint64_t reusable; /* spare-N is there, of segment_bytes; 0: none is */
};

bool xe_files_lock(struct xe_journal_files *f, struct xe_io_error *error);
/* Removes the LOCK again that was made for what is not to be opened. */
void xe_files_unmake_lock(struct xe_journal_files *f);
/* Closes everything; the lock last. */
void xe_files_close(struct xe_journal_files *f);

/* After a replay: syncs what was read, removes what was not needed for it, and begins a segment. */
bool xe_files_begin(struct xe_journal_files *f, const struct xe_replay *r,
                    struct xe_io_error *error);

/* Makes the next segment ready, for a record of so many bytes, if there is none. */
bool xe_files_prepare(struct xe_journal_files *f, uint64_t record_bytes, struct xe_io_error *error);
/* Goes on in the next segment; `last` is the last number in the current one. */
bool xe_files_rotate(struct xe_journal_files *f, uint64_t record_bytes, uint64_t last,
                     struct xe_io_error *error);
static inline bool xe_files_have_room(const struct xe_journal_files *f, uint64_t record_bytes)
{
    return record_bytes <= f->current.bytes - f->current.offset;
}
/* Syncs all records that were written. */
bool xe_files_sync(struct xe_journal_files *f, struct xe_io_error *error);
/* Marks the end, after a sync, and cuts off what was not needed. */
bool xe_files_finish(struct xe_journal_files *f, uint64_t last, struct xe_io_error *error);
/* There is a checkpoint S: older ones go, and the segments that it makes needless. */
bool xe_files_trim(struct xe_journal_files *f, uint64_t s, struct xe_io_error *error);

/* Removes files by their numbers. */
bool xe_files_remove(const struct xe_io *io, const char *dir, const char *prefix,
                     const char *suffix, const struct xe_numbers *numbers, uint32_t from,
                     uint32_t to, struct xe_io_error *error);

#endif
