/*
 * support_log.h - a log of a table (log.h) in memory, and how tables are made of it again.
 *
 * Objects are kept as bytes and the values of their terms, so that a log can be replayed on a table
 * with another seed.
 */
#ifndef SUPPORT_LOG_H
#define SUPPORT_LOG_H

#include "log.h"
#include "support.h"

struct logged_object {
    uint8_t *bytes;
    size_t klen, len;
    uint64_t terms[8];
    uint32_t n_handles, n_key_handles, flags;
    uint64_t pinned, identity;
};

struct logged {
    enum xe_log_op op;
    uint32_t n, place;
    struct logged_object *objects; /* n, and behind them `old` of XE_LOG_REPLACE */
};

struct log {
    struct log_calls calls;
    _Atomic(struct logged *) *at; /* in the order of their numbers, which count from 0 */
    _Atomic uint64_t n;
    uint64_t cap;
    _Atomic bool gone; /* the table is */
    _Atomic uint32_t begun, open; /* writes that were begun, and those that have not ended */
    enum xe_status refuse;        /* what log_begin answers, if it is not XE_OK */
    /* Called with the number of a change, where it is published. */
    void (*seen)(struct log *log, const struct logged *change, uint64_t number);
};

/* A log for at most `cap` changes, and its table, which is still empty. */
void log_start(struct log *log, struct xe_table *t, uint64_t cap);
/* The table has been deleted. */
void log_free(struct log *log);

/* Makes the first n changes of a log again. */
void log_replay(const struct log *log, uint64_t n, struct xe_table *t);

/* Whether both tables have the same objects, in bags those of each key in the same order. */
bool same_objects(struct xe_table *a, struct xe_table *b);

#endif
