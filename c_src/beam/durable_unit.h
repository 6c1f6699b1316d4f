/*
 * durable_unit.h - what a journal has of one change of a table (core/log.h), as bytes, and the
 * change made again.
 *
 *   unit     byte 0   then
 *   PUT      1        the objects, one behind the other
 *   DELETE   2        a key: what has it goes
 *   REMOVE   3        an object: what is equal (=:=) to it goes
 *   REPLACE  4        4 bytes, little-endian: n; an object, and another one with the same key: the
 *                     second one takes the place of the one before which n are that are equal to
 *                     the first
 *   CLEAR    5        nothing: all objects go
 *
 * Objects and keys are in the external term format (etf.h), without its version byte. A unit ends
 * where its last term does: how long it is, and whether it is whole, is the journal's to know.
 */
#ifndef XE_DURABLE_UNIT_H
#define XE_DURABLE_UNIT_H

#include "../core/log.h"
#include "../core/table.h"
#include "etf.h"
#include "fill.h"

/* Of the table whose changes they are. */
struct xe_unit_form {
    enum xe_kind kind;
    int keypos;
    bool has_flat; /* file_flat.h is usable */
};

/* Puts the bytes of a change behind what the writer has. XE_OK, XE_NOMEM, XE_LIMIT, XE_LARGE: it
 * has more than `budget`. What is known only when it is published is filled in by
 * xe_unit_complete(). */
enum xe_status xe_unit_write(struct xe_etf_writer *w, const struct xe_log_change *change,
                             const struct xe_unit_form *form, uint64_t budget);
void xe_unit_complete(uint8_t *unit, const struct xe_log_write *write);

/* Makes the change in a table that has no log, which nobody else writes, and which is the
 * caller's. Objects that are put may be collected only (fill.h), for xe_fill_flush() to store them. *at: what of the unit has been done, from 0; it has been done as a whole when that is
 * its size. A part of a unit is done at least, about `most` bytes of it if it has more. What is to
 * go and is not there has gone: the release that wrote may have held other terms to be equal. */
enum xe_fill_status xe_unit_do(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                               const uint8_t *unit, size_t size, size_t most, size_t *at);

#endif
