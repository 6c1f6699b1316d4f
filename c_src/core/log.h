/*
 * log.h - tables whose writes are written down: what such a table asks of its log.
 *
 * The core knows neither files nor formats. A table with a log (xe_table_set_log()) tells it, by
 * callbacks, each thing that becomes of its objects:
 *
 *   log_begin    what is going to be written. Before any lock is taken, so here bytes are made,
 *                room is reserved, and everything that can fail does.
 *   log_publish  it is about to be seen: with the locks of its segments held, or in the closed
 *                gate, just before the first store that readers can see. The log gives the change its
 *                number here. Quick, never waits, never fails.
 *   log_end      the write is over. Not published: nothing has changed.
 *   log_gone     the table is gone, and all that wrote to it have ended. May wait for a disk: the
 *                table's memory is freed meanwhile.
 *
 * Guarantees (referred to from code and tests)
 *   W1  Whoever has seen a change, or heard of it, publishes with a larger number: a change has its
 *       number before it can be seen.
 *   W2  Changes made to an empty table again, one by one and in the order of their numbers, make a
 *       table with the same objects; in bags those of a key in the same order. So each beginning of
 *       a log is a state that the table has had, a list write being one change.
 *   W3  What log_begin refuses has changed nothing.
 *
 * For W2 what is told says what happens, and not what was asked for: an insertion that
 * finds a key there is no change, an update is the object that came of it, what is taken out of an
 * ordered table is the key that was there. The objects of a bag's key are ordered by numbers
 * that are taken before objects are published, under the lock of one of perhaps several segments;
 * in a table with a log they are taken together with the log's (xe_log_publish_numbered()).
 */
#ifndef XE_LOG_H
#define XE_LOG_H

#include <stddef.h>

#include "core.h"

struct xe_prepared;
struct xe_view;

enum xe_log_op {
    XE_LOG_PUT,           /* objects[0..n) are stored as one list write, or as one object */
    XE_LOG_DELETE,        /* what has the key of `view` goes */
    XE_LOG_DELETE_OBJECT, /* bags: what is equal to objects[0] goes */
    XE_LOG_REPLACE,       /* duplicate bags: objects[0] takes the place of one that is equal to
                           * `old`; of those the one that xe_log_write.place says */
    XE_LOG_CLEAR,         /* all objects go */
};

struct xe_log_change {
    enum xe_log_op op;
    const struct xe_prepared *objects;
    size_t n;
    const struct xe_prepared *old;
    const struct xe_view *view; /* of an object that is stored, until log_begin returns */
};

/* Of a write section to a table with a log: from log_begin to log_end. */
enum { XE_LOG_OWN = 1024 };
struct xe_log_write {
    void *record; /* the log's own, for what log_begin has made; perhaps in `own` */
    /* What is known at log_publish only. XE_LOG_REPLACE: how many equal objects come before the one
     * that is replaced. */
    uint32_t place;
    bool published;
    _Alignas(max_align_t) uint8_t own[XE_LOG_OWN]; /* room for that */
};

#endif
