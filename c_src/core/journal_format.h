/*
 * journal_format.h - the bytes of a journal's directory (journal.h), for who reads and who writes.
 */
#ifndef XE_JOURNAL_FORMAT_H
#define XE_JOURNAL_FORMAT_H

#include "checksum.h"
#include "journal.h"

enum {
    XE_SEGMENT_VERSION = 2,
    XE_SEGMENT_HEADER = 64,
    XE_SEGMENT_SECOND = XE_IO_SECTOR,   /* where the header is once more */
    XE_SEGMENT_MARK = 2 * XE_IO_SECTOR, /* written at a time when headers must not be touched */
    XE_SEGMENT_MARK_BYTES = 32,
    XE_SEGMENT_RECORDS = 4096,
    XE_UNIT_HEADER = 40,
    XE_NAME_BYTES = 32,
};

#define XE_UNIT_TAG (UINT64_C(0x4a) << 56)
#define XE_UNIT_MAX ((UINT64_C(1) << 48) - 1)
#define XE_MARK_TAG UINT64_C(0x00004445534f4c43) /* "CLOSED" */

_Static_assert(XE_SEGMENT_MARK + XE_SEGMENT_MARK_BYTES <= XE_SEGMENT_RECORDS,
               "nothing shares a sector with the header, or with the mark");
_Static_assert(XE_SEGMENT_HEADER + XE_JOURNAL_META == XE_IO_SECTOR,
               "a header and its metadata are in one sector");

/* Bytes of a record in its segment. */
static inline uint64_t xe_unit_bytes(uint64_t n)
{
    return (XE_UNIT_HEADER + n + 7) & ~(uint64_t)7;
}

static inline void xe_unit_seal(uint8_t *header, uint64_t n, uint64_t number, uint64_t synced,
                                  uint64_t check, uint64_t salt)
{
    xe_store64(header, XE_UNIT_TAG | n);
    xe_store64(header + 8, number);
    xe_store64(header + 16, synced);
    xe_store64(header + 24, check);
    xe_store64(header + 32, xe_checksum(salt, header, 32));
}

/* The names of a directory's files. */
enum xe_journal_name {
    XE_NAME_LOCK,
    XE_NAME_CHECKPOINT,
    XE_NAME_SEGMENT,
    XE_NAME_SPARE,
    XE_NAME_NEW,
    XE_NAME_OTHER, /* not of ours */
};
enum xe_journal_name xe_journal_name(const char *name, uint64_t *number);
/* The path of one, to be freed; NULL: out of memory. */
char *xe_journal_path(const char *dir, const char *prefix, uint64_t number);

#define XE_PREFIX_CHECKPOINT "checkpoint-"
#define XE_PREFIX_SEGMENT "journal-"
#define XE_PREFIX_SPARE "spare-"
#define XE_SUFFIX_NEW ".new"

/* Numbers in ascending order. */
struct xe_numbers {
    uint64_t *at;
    uint32_t n, cap;
};

/* What is in a directory: the numbers in the names, by kind. */
struct xe_journal_listing {
    struct xe_numbers segments, checkpoints;
    struct xe_numbers spares, news; /* unfinished ones of both */
    bool foreign;                   /* there are files that are none of ours */
};
bool xe_journal_list(const struct xe_io *io, const char *dir, struct xe_journal_listing *out,
                     struct xe_io_error *error);
void xe_journal_listing_free(struct xe_journal_listing *l);

/* The two headers of a segment, with metadata, and no mark: XE_SEGMENT_RECORDS bytes. And a
 * mark. */
void xe_segment_header(uint8_t *to, uint64_t number, uint64_t salt, uint64_t bytes,
                       const void *meta, size_t meta_bytes);
void xe_segment_mark(uint8_t *to, uint64_t salt, uint64_t last, uint64_t bytes);

/* What a replay has read of a segment. */
struct xe_replay_segment {
    uint64_t end;  /* of the records that count */
    uint64_t last; /* number of the last of them */
    bool closed;   /* it has a mark */
};

/* How a replay has ended. */
struct xe_replay_outcome {
    const struct xe_journal_listing *files;
    uint32_t needed; /* segments, from the first on, that the state may be of */
    const struct xe_replay_segment *ends; /* of each segment */
    uint64_t synced;                      /* changes that are known to be on the disk */
    uint64_t bytes;                       /* of the records behind the checkpoint */
};
void xe_replay_outcome(const struct xe_replay *r, struct xe_replay_outcome *out);

#endif
