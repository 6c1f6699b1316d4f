/*
 * support_bag.h - what the tests of bags share: calls in sections of their own, and a model of a
 * bag as the list of its values for each key.
 *
 * Objects are known by two numbers (support.h). What a call finds is compared inside its section.
 */
#ifndef SUPPORT_BAG_H
#define SUPPORT_BAG_H

#include "support.h"

/* --- Calls --------------------------------------------------------------- */

struct xe_table *bag_new(enum xe_kind kind, uint32_t max_objects);

enum xe_status bag_put(struct xe_table *t, uint32_t key, uint64_t value, enum xe_put mode);
enum xe_status bag_remove(struct xe_table *t, uint32_t key, uint64_t value);
/* The same; how many objects went. */
uint32_t bag_remove_counted(struct xe_table *t, uint32_t key, uint64_t value);
/* Replaces the object at a place of the key's group, if it is equal to `old`. */
enum xe_status bag_replace(struct xe_table *t, uint32_t key, uint32_t at, uint64_t old,
                           uint64_t value);
enum xe_status bag_member(struct xe_table *t, uint32_t key);

/* XE_OK: exactly these n values were found, in this order; XE_EXISTS: others were. */
enum xe_status bag_find(struct xe_table *t, uint32_t key, uint32_t most, const uint64_t *values,
                        uint32_t n);
/* The same of those that are removed. */
enum xe_status bag_take(struct xe_table *t, uint32_t key, uint32_t most, const uint64_t *values,
                        uint32_t n);
/* Removes all of a key without looking at them. */
enum xe_status bag_drop(struct xe_table *t, uint32_t key);
/* How many there are; only their number is looked at. */
uint32_t bag_count(struct xe_table *t, uint32_t key);

/* A section for calls that find objects of a key, which may be looked at until it ends. */
struct finding {
    struct lookup lookup;
    struct xe_run run;
    struct xe_epoch_slot *slot;
};
void finding_begin(struct finding *f, struct xe_table *t, uint32_t key);
void finding_end(struct finding *f);

/* --- Structure ----------------------------------------------------------- */

struct shape {
    uint64_t segments; /* of the table */
    uint32_t chain;    /* buckets in the longest chain */
    uint32_t objects;  /* in the largest segment */
};
struct shape shape_of(struct xe_table *t);

/* --- Values -------------------------------------------------------------- */

/* Fills a pool with n values of all kinds of which no two are equal with any key; of giants there
 * are few. */
void values_draw(struct rng *r, uint64_t *pool, uint32_t n);

/* --- The model ----------------------------------------------------------- */

/* The values of one key, in the order of their insertion. */
struct group {
    uint64_t *at;
    uint32_t n, cap;
};

/* Values of which no two are equal. */
static inline uint64_t number(uint32_t n)
{
    return VALUE(VALUE_NUMBER, n);
}

/* Whether two values are equal, with the same key. */
static inline bool values_equal(uint64_t a, uint64_t b)
{
    bool loose = a >> 56 == VALUE_LOOSE;
    return loose ? (a | LOOSE_OTHER) == (b | LOOSE_OTHER) : a == b;
}

bool group_has(const struct group *g, uint64_t value);
/* Adds it; not to a bag that has it. */
void group_add(struct group *g, enum xe_kind kind, uint64_t value);
/* Removes all equal ones; how many. */
uint32_t group_remove(struct group *g, uint64_t value);
void group_free(struct group *g);

#endif
