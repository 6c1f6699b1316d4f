/*
 * dump.h - the objects of a snapshot into a file of records (core/tablefile.h).
 *
 * A record of the file is some objects, one behind the other, in the external term format (etf.h):
 * as many as RECORD_BYTES take (dump.c), or one larger one. They come in the order of the table; in
 * a bag those of one key come in the order in which they were inserted.
 *
 * A snapshot does not change, and only the process that has made it ends it. So that process may
 * read what it has outside of sections, as long as the call has the identifier.
 */
#ifndef XE_DUMP_H
#define XE_DUMP_H

#include "../core/scan.h"
#include "../core/tablefile.h"
#include "etf.h"
#include "owner.h"

struct xe_dump {
    struct xe_etf_writer writer;
    uint64_t objects;  /* written so far, or about to be */
    uint64_t position; /* in tables of hashes: the next one's */
    bool is_done;
    bool has_flat; /* file_flat.h is usable */
    struct xe_chunk chunk;
};

enum xe_dump_status {
    XE_DUMP_MORE,
    XE_DUMP_DONE,   /* all objects are written */
    XE_DUMP_FAILED, /* *error says why; also of an object that the format has no way to write */
    XE_DUMP_BADARG, /* it is no snapshot of the calling process */
};

/* Opens a section for a snapshot of the calling process. */
bool xe_dump_use(ErlNifEnv *env, ERL_NIF_TERM snapshot, struct xe_use *use);

void xe_dump_begin(struct xe_dump *d, ErlNifEnv *env);
void xe_dump_end(struct xe_dump *d);

/* Writes some more objects: about a MiB, or a larger one, or a key's in a bag. On a dirty
 * scheduler. O(what it writes). */
enum xe_dump_status xe_dump_some(struct xe_dump *d, ErlNifEnv *env, ERL_NIF_TERM snapshot,
                                 struct xe_tablefile_writer *out, struct xe_io_error *error);

#endif
