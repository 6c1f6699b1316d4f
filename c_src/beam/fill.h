/*
 * fill.h - objects in the external term format into a table.
 *
 * They are read (etf.h), and those that are plain (no handles, small enough for an image, of no
 * bag) are collected as records, some thousand of them, put in the order of their hashes, and stored by
 * xe_table_fill(). Others are stored at once. No terms are made but of what etf.h cannot read in place.
 *
 * Each is a write of its own: others may see the table with some of them. Of objects with the same key
 * the last one stays; in a bag they are stored in their order.
 */
#ifndef XE_FILL_H
#define XE_FILL_H

#include "call.h"
#include "etf.h"

enum {
    XE_FILL_OBJECTS = 16384,    /* that are collected */
    XE_FILL_BYTES = 512 * 1024, /* of their records */
};
#define XE_FILL_AS_SO_FAR UINT64_MAX

struct xe_fill {
    struct xe_etf_reader *reader;
    ErlNifEnv *env;   /* of terms that have to be made */
    uint64_t objects; /* read so far */
    struct xe_form form; /* of the table, once it is known; keypos is 0 before */
    uint64_t seed;
    /* The caller's to set: objects that will come, if the table is empty, and of how many bytes;
     * XE_FILL_AS_SO_FAR: as many as these bytes have, if they are like those read so far. */
    uint64_t expected, external;
    uint64_t read; /* bytes of objects, so far */
    uint64_t position; /* up to which hash there is room for them */
    uint64_t slack;    /* so far apart are hashes that may come in any order */
    bool has_flat;       /* file_flat.h is usable */
    /* What is collected, and how many of them are stored already. */
    size_t n, stored, len;
    struct xe_fill_item *items, *other;
    uint8_t *bytes;
};

enum xe_fill_status {
    XE_FILL_OK,
    XE_FILL_RETRY,     /* something could not be stored now: yield, and call again */
    XE_FILL_NOMEM,     /* nor ever: out of memory */
    XE_FILL_BADARG,    /* no such table, or the caller may not write to it */
    XE_FILL_BAD,       /* the next bytes are no object */
    XE_FILL_NO_OBJECT, /* they are a tuple without a key, or no tuple */
};

/* What a status of the core means here. */
static inline enum xe_fill_status xe_fill_of_core(enum xe_status status)
{
    switch (status) {
    case XE_OK:
        return XE_FILL_OK;
    case XE_RETRY:
        return XE_FILL_RETRY;
    case XE_NOMEM:
    case XE_LIMIT:
        return XE_FILL_NOMEM;
    default:
        return XE_FILL_BADARG;
    }
}

/* What the status of reading an object means here. */
static inline enum xe_fill_status xe_fill_of_etf(enum xe_etf_status status)
{
    switch (status) {
    case XE_ETF_OK:
        return XE_FILL_OK;
    case XE_ETF_BAD:
        return XE_FILL_BAD;
    case XE_ETF_NO_OBJECT:
        return XE_FILL_NO_OBJECT;
    default:
        return XE_FILL_NOMEM;
    }
}

/* False: out of memory. */
bool xe_fill_begin(struct xe_fill *f);
void xe_fill_end(struct xe_fill *f);

/* Reads objects that begin at bytes[*at] until `most` bytes of them are read, or all. *at: where the
 * next one begins. The table is the same in all calls. On a dirty scheduler. O(what it reads). */
enum xe_fill_status xe_fill_some(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                                 const uint8_t *bytes, size_t size, size_t most, size_t *at);

/* Stores what is collected. */
enum xe_fill_status xe_fill_flush(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table);

#endif
