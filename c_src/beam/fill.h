/*
 * fill.h - objects in the external term format into a table.
 *
 * They are read (etf.h) and stored as they come, some hundred in one section; no terms are made but
 * of what etf.h cannot read in place. Each is a write of its own: others may see the table with
 * some of them.
 */
#ifndef XE_FILL_H
#define XE_FILL_H

#include "call.h"
#include "etf.h"

struct xe_fill {
    struct xe_etf_reader *reader;
    ErlNifEnv *env; /* of terms that have to be made */
    uint64_t objects; /* stored so far */
};

enum xe_fill_status {
    XE_FILL_OK,
    XE_FILL_RETRY,     /* the next object could not be stored now: yield, and go on with it */
    XE_FILL_NOMEM,     /* nor ever: out of memory */
    XE_FILL_BADARG,    /* no such table, or the caller may not write to it */
    XE_FILL_BAD,       /* the next bytes are no object */
    XE_FILL_NO_OBJECT, /* they are a tuple without a key, or no tuple */
};

/* False: out of memory. */
bool xe_fill_begin(struct xe_fill *f);
void xe_fill_end(struct xe_fill *f);

/* Stores objects that begin at bytes[*at] until `most` bytes of them are read, or all. *at: where the
 * next one begins. On a dirty scheduler. O(what it reads). */
enum xe_fill_status xe_fill_some(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                                 const uint8_t *bytes, size_t size, size_t most, size_t *at);

#endif
