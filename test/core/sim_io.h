/*
 * sim_io.h - a disk in memory that does what D1-D4 of io.h allow, drawn from a seed.
 *
 * Names and files are kept twice: as the system shows them, and as they are on the disk. Calls are
 * counted, and any of them can be made to fail, or to be the last before the process or the power
 * goes. Calls may come from any thread.
 */
#ifndef SIM_IO_H
#define SIM_IO_H

#include "io.h"

struct sim;

struct sim *sim_new(uint64_t seed);
/* No file is open. */
void sim_free(struct sim *s);
const struct xe_io *sim_io(struct sim *s);

/* --- What goes wrong -------------------------------------------------------- */

/* How many calls there were. A call's number is the number of calls before it. */
uint64_t sim_calls(struct sim *s);
/* The first call of this number or a larger one fails with an errno, with `after` all of them: a
 * write after it has written a part, a sync as D4 says. UINT64_MAX: none. Only operations whose bit
 * is in `ops` fail so; 0: all do. */
void sim_fail(struct sim *s, uint64_t call, int code, bool after, uint32_t ops);
/* Whether one has failed for that reason. */
bool sim_has_failed(struct sim *s);
/* From this call on everything fails, and nothing has an effect but that a write may be done in
 * part. */
void sim_crash(struct sim *s, uint64_t call);
bool sim_has_crashed(struct sim *s);
/* Reads and writes are cut short, and interrupted, one in `n` times each, n > 1. 0: never. */
void sim_short(struct sim *s, uint32_t n);
/* No more than so many bytes in all files together. */
void sim_capacity(struct sim *s, uint64_t bytes);

/* What is left after the process has died (D3), or the power has gone (D1, D2). Files that are open
 * stay so, and fail. */
void sim_kill(struct sim *s);
void sim_power_off(struct sim *s);

/* --- Looking, and laying hands on it ---------------------------------------- */

/* The contents that the system shows, to be changed in place; NULL: there is no such file. */
uint8_t *sim_bytes(struct sim *s, const char *path, size_t *n);
/* Makes a file, or replaces it, in the cache and on the disk. */
void sim_put(struct sim *s, const char *path, const void *bytes, size_t n);
/* Removes a file likewise. */
void sim_remove(struct sim *s, const char *path);
/* The i-th name in all directories, in the order in which they were made; NULL: there are fewer. */
const char *sim_name(struct sim *s, uint32_t i);
/* A disk with the same directories and files, of which nothing is open, all of it synced. */
struct sim *sim_copy(struct sim *s, uint64_t seed);

#endif
