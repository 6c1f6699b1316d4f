/*
 * tablefile.h - many records in one file: what tab2file, checkpoints and backups write.
 *
 * A file has metadata of its user's, any number of records in their order, and an end that says
 * that they are all there. Records and metadata are bytes that mean nothing here.
 *
 * The format, version 2. Numbers are little-endian. H(seed, bytes) is XXH3 of 64 bits.
 *
 *   +--------+----------+---------+---------+- - - -+---------+-----+
 *   | header | metadata | block 0 | block 1 |       | block n | end |
 *   +--------+----------+---------+---------+- - - -+---------+-----+
 *
 *   header, 64 bytes          block: 40 bytes, then p bytes      end: 40 bytes, then 88 + m
 *    0  8  89 58 45 54         0  4  "DATA" or "HUGE"             0  4  "LAST"
 *          53 0D 0A 1A         4  4  records in it, r             4  4  0
 *    8  4  version, 2          8  8  p                            8  8  88 + m
 *   12  4  kind of file       16  8  number of the block         16  8  number of blocks before
 *   16  8  salt               24  8  H(salt, the p bytes)        24  8  H(salt, the 88 + m)
 *   24  8  metadata: m bytes  32  8  H(salt, bytes 0-31)         32  8  H(salt, bytes 0-31)
 *   32  8  H(salt, metadata)  40  p  the records                 40  8  records in the file
 *   40 16  0                                                     48  8  bytes of the file
 *   56  8  H(salt, bytes 0-55)                                   56  8  chain of the blocks
 *                                                                64  m  metadata, once more
 *                                                              64+m 64  header, once more
 *
 *   The p bytes of a DATA block are r times: 4 bytes n, n bytes. Those of a HUGE block are one
 *   record. The chain is 0 before the first block, and H(chain, bytes 0-39 of the block) behind it.
 *
 *   The kind of file and the salt are free: a salt is drawn for each file, so that bytes of another
 *   one that a disk may show are no block of this one.
 *
 * The header is valid if and only if
 *   (H1) the file has 64 bytes, and bytes 0-7 are as above (else: XE_IO_FOREIGN);
 *   (H2) bytes 56-63 are the checksum of those before (else: XE_IO_DAMAGED);
 *   (H3) the version is 2 (else: XE_IO_VERSION), and bytes 40-55 are 0;
 *   (H4) the m bytes are in the file, and bytes 32-39 are their checksum.
 * A block is valid if and only if
 *   (B1) bytes 0-3 are one of the three tags, and bytes 32-39 are the checksum of those before;
 *   (B2) its number is that of the blocks before it;
 *   (B3) its p bytes are in the file, and bytes 24-31 are their checksum;
 *   (B4) if it is DATA: r records fill the p bytes exactly; if it is HUGE: r is 1.
 * A file is valid if and only if
 *   (F1) its header is valid, and all of its blocks, the last of which is the end;
 *   (F2) the end's tag is the first LAST, and the file has no byte behind it;
 *   (F3) the end's counts, size and chain are those of the file; its bytes 4-7 are 0, its p is
 *        88 + m, and its metadata and header are those at the beginning.
 *
 * A reader checks a block before it shows any of it, and a length before it believes it: a checksum
 * covers each length, and none reaches behind the end of the file. So no damage makes it
 * allocate more than the file has bytes, nor read what is not there.
 *
 * Writers and readers work block by block, each call bounded by one block (of 64 KiB unless a
 * record is larger) and one call of the system or two, so that who must not take long can stop
 * between two calls. Neither is for two threads at once.
 */
#ifndef XE_TABLEFILE_H
#define XE_TABLEFILE_H

#include "io.h"

enum {
    XE_TABLEFILE_BLOCK = 64 * 1024, /* the writer ends a block before it has more bytes */
    XE_TABLEFILE_HEADER = 64,
    XE_TABLEFILE_FRAME = 40,
    XE_TABLEFILE_END = 24 + XE_TABLEFILE_HEADER, /* and the metadata */
};

enum xe_tablefile_kind {
    XE_TABLEFILE_TABLE = 1,      /* tab2file */
    XE_TABLEFILE_CHECKPOINT = 2, /* of a journal's directory, and backups (journal.h) */
};

/* --- Writing -------------------------------------------------------------- */

struct xe_tablefile_writer;

struct xe_tablefile_options {
    uint32_t kind;
    /*
     * Whether the file appears under its path only when it is whole: it is written as `path`.new
     * and renamed. Otherwise it is written in place.
     */
    bool atomic;
    /* Whether it outlives a loss of power when finish() has returned. */
    bool sync;
    /* What has the name that is written to is not removed, but an error: EEXIST. The file is a
     * new one in any case: nothing is written over another one, nor through a link. */
    bool exclusive;
};

/* Makes the file, and writes the header. The metadata are copied. */
struct xe_tablefile_writer *xe_tablefile_create(const struct xe_io *io, const char *path,
                                                const struct xe_tablefile_options *options,
                                                const void *meta, size_t meta_bytes,
                                                struct xe_io_error *error);

/*
 * Room for one record of at most `n` bytes, in the block that is being filled; that block is
 * written first if it has no more room. NULL: see *error. Then xe_tablefile_commit() adds the
 * record, of the first `n` bytes there, without fail; without it nothing is added. A size that is
 * not known is best asked for generously: what is left of it costs nothing but an earlier end of
 * the block. Above XE_TABLEFILE_BLOCK / 2 bytes the block is a larger one.
 */
void *xe_tablefile_room(struct xe_tablefile_writer *w, size_t n, struct xe_io_error *error);
void xe_tablefile_commit(struct xe_tablefile_writer *w, size_t n);
/* Both for a record that is there. A large one is not copied. */
bool xe_tablefile_put(struct xe_tablefile_writer *w, const void *record, size_t n,
                      struct xe_io_error *error);

/* How many bytes, and records, the file has so far. */
uint64_t xe_tablefile_written(const struct xe_tablefile_writer *w, uint64_t *records);

/* Writes the end, syncs and renames as asked for, and frees the writer. When it fails nothing is
 * left of the file, as after abort(), unless it was the last sync that failed, that of the
 * directory. */
bool xe_tablefile_finish(struct xe_tablefile_writer *w, struct xe_io_error *error);
/* Removes what was written, and frees the writer. NULL: nothing. */
void xe_tablefile_abort(struct xe_tablefile_writer *w);
/* Frees the writer, and touches nothing: its directory may be somebody else's by now. */
void xe_tablefile_leave(struct xe_tablefile_writer *w);

/* --- Reading -------------------------------------------------------------- */

struct xe_tablefile_reader;

/* What is known of a file before its records are read: of the header, and, if the file has a valid
 * end in its place, of that. The end tells how much there is to come, and proves nothing. */
struct xe_tablefile_info {
    uint32_t kind;
    uint64_t bytes; /* of the file */
    const uint8_t *meta;
    size_t meta_bytes;
    bool has_end;
    uint64_t records; /* 0 without an end */
};

/* Opens a file whose header is valid. */
struct xe_tablefile_reader *xe_tablefile_open(const struct xe_io *io, const char *path,
                                              struct xe_io_error *error);
/* Opens one to salvage it: the header and the metadata are those that the file ends with. */
struct xe_tablefile_reader *xe_tablefile_open_from_end(const struct xe_io *io, const char *path,
                                                       struct xe_io_error *error);
/* The metadata are the reader's. */
void xe_tablefile_info(const struct xe_tablefile_reader *r, struct xe_tablefile_info *out);
void xe_tablefile_close(struct xe_tablefile_reader *r);

enum xe_tablefile_status {
    XE_TABLEFILE_OK,
    XE_TABLEFILE_MORE,   /* only of salvage() */
    XE_TABLEFILE_LAST,   /* there are no more, and the file was valid as a whole */
    XE_TABLEFILE_FAILED, /* *error: the offset of the first byte of what is not valid, and why */
};

/* A valid block, until the next one is read or the reader is closed. */
struct xe_tablefile_block {
    uint64_t offset;  /* in the file, of the byte at `at`, while it is new */
    uint32_t records; /* that xe_tablefile_record() has not returned yet */
    bool huge;
    const uint8_t *at, *end;
};

enum xe_tablefile_status xe_tablefile_next(struct xe_tablefile_reader *r,
                                           struct xe_tablefile_block *out,
                                           struct xe_io_error *error);

/* The next record of a block, and its length; NULL: there is none. */
const uint8_t *xe_tablefile_record(struct xe_tablefile_block *b, size_t *n);

/*
 * After XE_TABLEFILE_FAILED by damage: looks for the next valid block behind it, whatever its
 * number. XE_TABLEFILE_OK: found, next() returns it; XE_TABLEFILE_MORE: not yet; a call looks
 * through XE_TABLEFILE_SALVAGE bytes at most; XE_TABLEFILE_LAST: there is none. next() is not to be
 * called any more. *lost grows by the bytes that were passed over. A file of which any were passed
 * over does not end with XE_TABLEFILE_LAST from next(), but with XE_TABLEFILE_FAILED at its end.
 */
enum { XE_TABLEFILE_SALVAGE = 1 << 20 };
enum xe_tablefile_status xe_tablefile_salvage(struct xe_tablefile_reader *r, uint64_t *lost,
                                              struct xe_io_error *error);

#endif
