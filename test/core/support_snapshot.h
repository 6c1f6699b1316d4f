/*
 * support_snapshot.h - what the tests of snapshots share: calls on tables of all kinds, and what a
 * table has, as a number.
 *
 * Objects are known by two numbers (support.h).
 */
#ifndef SUPPORT_SNAPSHOT_H
#define SUPPORT_SNAPSHOT_H

#include "support.h"

/* All kinds of tables. */
enum { TABLE_KINDS = 4 };

struct xe_table *kind_new(enum xe_kind kind, uint32_t max_objects);

/* --- Calls in sections of their own, for tables of any kind ---------------- */

enum xe_status any_put(struct xe_table *t, uint32_t key, uint64_t value, enum xe_put mode);
/* All objects of a key. */
enum xe_status any_remove(struct xe_table *t, uint32_t key);
/* Whether there is one: XE_OK or XE_ABSENT. */
enum xe_status any_member(struct xe_table *t, uint32_t key);
enum xe_status any_clear(struct xe_table *t);
enum xe_status any_pop(struct xe_table *t, bool last);
/* Changes a byte of an object's body in a table with one object a key: as a counter is, with
 * `patch` first; by a version of it that was seen before. */
enum xe_status any_update(struct xe_table *t, uint32_t key, bool patch);
enum xe_status any_replace(struct xe_table *t, uint32_t key, uint64_t value);

enum xe_status snapshot_of(struct xe_table *t, struct xe_table **out);

/* --- What a table has ------------------------------------------------------- */

struct digest {
    uint64_t objects;
    uint64_t sum; /* of hashes of all objects; in an ordered table of their places, too */
};
struct digest digest_of(struct xe_table *t);
/* The same, and in a bag the sum has the order of each key's objects, too. */
struct digest digest_in_order_of(struct xe_table *t);
bool same_digest(struct digest a, struct digest b);

/* Whether all ways to read the table find the same objects. */
bool reads_agree(struct xe_table *t);

#endif
