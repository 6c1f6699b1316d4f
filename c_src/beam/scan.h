/*
 * scan.h - the objects that a plan lets through, chunk by chunk.
 *
 * A chunk is read inside one section, and between two of them nothing is held but a position: the
 * number of a point, a hash, or a key. So a scan meets every object that is there throughout
 * exactly once (core/scan.h), in an ordered table in the order of keys.
 *
 * Who visits an object says what comes of it: a term, which is kept in the order of the scan, or
 * nothing. Objects in blobs are pinned inside the section and visited behind it, for that may
 * take long.
 */
#ifndef XE_BEAM_SCAN_H
#define XE_BEAM_SCAN_H

#include "../core/scan.h"
#include "plan.h"

/* What comes of the object of a view: *out, which is 0 before. `key` is its key's term if that is
 * at hand, else 0. Anything but XE_CALL_OK ends the chunk, of which nothing is kept then. */
typedef enum xe_result (*xe_scan_fn)(void *arg, const struct xe_view *view, ERL_NIF_TERM key,
                                     ERL_NIF_TERM *out);

enum { XE_SCAN_KEPT_SMALL = 64 };

/* Terms, in order. */
struct xe_kept {
    ERL_NIF_TERM *at;
    size_t n, cap;
    ERL_NIF_TERM small[XE_SCAN_KEPT_SMALL];
};

/* An object in a blob that is still to be visited. */
struct xe_held {
    struct xe_view view; /* pinned */
    size_t place;        /* in what is kept */
};

struct xe_scan {
    ErlNifEnv *env;
    ERL_NIF_TERM table; /* its identifier: whatever becomes of its name */
    enum xe_need need;
    uint64_t budget;
    struct xe_form form;
    bool is_planned;
    struct xe_plan plan;
    bool reverse; /* an ordered table, from its end */
    bool counted; /* the caller's to set: what comes of objects is only counted, in kept.n */
    bool whole;   /* likewise: it goes to the end, so that it is known early how much it is */
    bool marked;  /* for folds: in an ordered table, the key of the last object is wanted in any
                   * case; in a bag, the objects of a key one after the other */
    bool weighed;
    bool is_done; /* there is nothing behind the position */
    const struct xe_glance *glance; /* likewise, or NULL: what no glance lets through is passed over */
    uint64_t room; /* in an ordered table a chunk ends when so many are kept */
    uint64_t looked; /* at so many objects */
    /* The position. */
    unsigned point;
    uint64_t hash;
    ERL_NIF_TERM key; /* that of the last object; 0: at the start */
    struct xe_kept kept;
    struct xe_held *held;
    uint32_t n_held, cap_held;
    uint64_t chunk_hash; /* where the last chunk began */
    struct xe_chunk chunk;
};

/* Plans a scan of the objects that a match specification may match; 0: of all. XE_CALL_OK: to be
 * ended by xe_scan_end(). */
enum xe_result xe_scan_begin(struct xe_scan *s, ErlNifEnv *env, ERL_NIF_TERM table,
                             enum xe_need need, ERL_NIF_TERM spec, bool reverse, uint64_t budget);
void xe_scan_end(struct xe_scan *s);

/*
 * Positions as terms: `start`, `done`, `last` (done, and it is known that there can be nothing
 * behind: all points have been seen), {point, I}, {hash, H}, {key, K}. From a caller any term may
 * come. XE_CALL_BADARG: it is no position of this scan.
 */
enum xe_result xe_scan_go_to(struct xe_scan *s, ERL_NIF_TERM position);
ERL_NIF_TERM xe_scan_position(const struct xe_scan *s);

/*
 * Visits the next chunk: about `least` objects, or one point. XE_CALL_OK may have visited nothing,
 * with is_done unset, when it has to be tried again. XE_CALL_BUDGET: there are too many objects
 * for a normal scheduler; on a dirty one a killed process gets XE_CALL_BADARG.
 * But for XE_CALL_OK the position, and what is kept, are as before.
 */
enum xe_result xe_scan_next(struct xe_scan *s, uint32_t least, xe_scan_fn fn, void *arg);

/* Opens a section, for the table of a scan that has begun. XE_CALL_RETRY: the table is on its way
 * from one owner to another; nothing is raised then. */
enum xe_result xe_scan_use(const struct xe_scan *s, struct xe_use *use);

/* What is kept, from one on, as a list. */
ERL_NIF_TERM xe_scan_list(const struct xe_scan *s, size_t from, size_t to);

/* What becomes of the result of a step that may be tried again. On a dirty scheduler a killed
 * process goes on: nobody wants the result. And what is to be tried again is tried there, for a
 * call that starts again may never end while others write. */
enum xe_result xe_scan_persist(ErlNifEnv *env, uint64_t budget, enum xe_result result);

#endif
