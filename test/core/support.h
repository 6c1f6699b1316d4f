/*
 * support.h - what the tests of tables and images share: the callbacks of the core over byte
 * strings, with failures; numbers drawn from a seed; objects that are known by two numbers.
 *
 * An environment of these tests owns its handles: freeing it poisons and frees them, so a handle
 * that is used too late stops the program, by its canary or by AddressSanitizer.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include "image.h"
#include "record.h"
#include "scan.h"
#include "table.h"

/* Stops the program; for what cmocka's assertions cannot be used for: other threads. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            check_failed(#cond, __FILE__, __LINE__);                                               \
    } while (0)
_Noreturn void check_failed(const char *what, const char *file, int line);

/* --- Random numbers ------------------------------------------------------ */

struct rng {
    uint64_t state;
};

/* The seed of this run: XETS_SEED, or always the same. Printed when it is first asked for. */
uint64_t run_seed(void);
/* A generator of its own for each purpose, derived from the seed of the run. */
struct rng rng_for(uint64_t purpose);
uint64_t rng_next(struct rng *r);
/* Below n, which is at most 2^32. */
uint32_t rng_below(struct rng *r, uint64_t n);
bool rng_chance(struct rng *r, uint32_t of, uint32_t in);

/* --- Memory -------------------------------------------------------------- */

/* What the log of a table begins with: what is called for it. */
struct log_calls {
    enum xe_status (*begin)(void *log, const struct xe_log_change *change,
                            struct xe_log_write *write);
    void (*publish)(void *log, struct xe_log_write *write);
    void (*end)(void *log, struct xe_log_write *write);
    void (*gone)(void *log); /* NULL: nothing */
};

/* The callbacks, epochs and the reclaimer. Stopping tells whether all memory came back. */
void core_start(void);
bool core_stop(void);

/* The same for cmocka. */
int set_up(void **state);
int tear_down(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* What is in use of all that the core can ask for. */
struct memory_use {
    int64_t blocks, envs, handles, terms;
    uint64_t page_bytes;
};
void memory_in_use(struct memory_use *out);

/*
 * Which allocations fail, of blocks, environments and pages together. `at`: one, the n-th from
 * now (0 is the next); `from`: the n-th and all after it; `rate`: each with a probability of
 * n/1024.
 */
void memory_fail_at(uint64_t n);
void memory_fail_from(uint64_t n);
void memory_fail_rate(uint32_t n, struct rng *r);
/* None from now on. Returns how many have failed since one of the above. */
uint64_t memory_fail_never(void);

/* --- Terms --------------------------------------------------------------- */

/* A new environment, and a new handle in it: terms are equal when their values are. */
void *terms_new(void);
uint64_t terms_add(void *env, uint64_t value);
void terms_free(void *env);
/* The value of the term that a handle names. */
uint64_t term_value(uint64_t handle);

/* --- Objects that are known by two numbers ------------------------------- */

/* Bits 24 and up of a key's number: what kind of key. */
enum key_kind {
    KEY_SHORT,     /* 5..24 bytes */
    KEY_TINY,      /* one byte; 256 of them */
    KEY_LONG,      /* 100..768 bytes */
    KEY_HUGE,      /* 769..65,536 bytes, kept as a digest */
    KEY_TWIN,      /* all with the same bytes, each with another handle */
    KEY_HUGE_TWIN, /* the same, and kept as a digest */
    KEY_WORD,      /* 5 bytes */
    KEY_KINDS,
};
#define KEY(kind, n) ((uint32_t)(kind) << 24 | (uint32_t)(n))

/* Bits 56 and up of a value's number: what kind of body. */
enum value_kind {
    VALUE_SMALL, /* 1..40 bytes */
    VALUE_EMPTY,
    VALUE_MEDIUM,    /* 41..900 bytes */
    VALUE_LARGE,     /* 1,025..65,536 bytes, in a blob */
    VALUE_GIANT,     /* up to 1 MiB */
    VALUE_TERMS,     /* 1..3 handles which pin a few bytes */
    VALUE_PIN,       /* a handle that pins up to 65,535 bytes */
    VALUE_PIN_LARGE, /* a handle that pins more, in a blob */
    VALUE_LOOSE,     /* equal to others of the same bytes but for the highest bits */
    VALUE_NUMBER,    /* 8 bytes, and no two of them the same */
    VALUE_KINDS,
};
#define VALUE(kind, n) ((uint64_t)(kind) << 56 | (uint64_t)(n))
/* Makes of a loose value the other one that is equal to it. */
#define LOOSE_OTHER (UINT64_C(1) << 47)

/* An object ready for the core, in memory and an environment of its own. Its identity is a hash
 * that equal objects share. */
struct object {
    struct xe_object o;
    uint8_t *bytes;
    void *env;
    uint64_t handles[8];
};
void object_make(struct object *x, uint32_t key, uint64_t value);
void object_free(struct object *x);

/* A key to look for. */
struct lookup {
    struct xe_key key;
    struct object object;
};
void lookup_make(struct lookup *l, uint64_t seed, uint32_t key);
void lookup_free(struct lookup *l);

/* Whether a view shows exactly this object. */
bool view_is(const struct xe_view *view, uint32_t key, uint64_t value);
/* The key's number, from its bytes and handles. */
uint32_t view_key(const struct xe_view *view);

/* The most common ones. */
static inline uint32_t short_key(uint32_t n)
{
    return KEY(KEY_SHORT, n);
}

static inline uint64_t small_value(uint64_t n)
{
    return VALUE(VALUE_SMALL, n);
}

/* --- Calls in sections of their own -------------------------------------- */

enum xe_status put(struct xe_table *t, uint32_t key, uint64_t value, enum xe_put mode);
/* The same by another of the core's calls. */
typedef enum xe_status (*put_fn)(struct xe_table *, struct xe_epoch_slot *, struct xe_prepared *,
                                 enum xe_put);
enum xe_status put_by(put_fn call, struct xe_table *t, uint32_t key, uint64_t value,
                      enum xe_put mode);
/* By xe_table_put_plain(), where the object is one that may go there. */
enum xe_status put_plain(struct xe_table *t, uint32_t key, uint64_t value, enum xe_put mode);
enum xe_status put_list(struct xe_table *t, const uint32_t *keys, const uint64_t *values, size_t n,
                        enum xe_put mode);
enum xe_status remove_key(struct xe_table *t, uint32_t key);
/* XE_OK: it is there with this value; XE_ABSENT; XE_EXISTS: it has another value. */
enum xe_status look(struct xe_table *t, uint32_t key, uint64_t value);
bool is_valid(struct xe_table *t);
/* Shows the objects of a chunk with at least `least` of a table of hashes, and goes on behind it.
 * False: that was the last one. */
bool scan_some(struct xe_table *t, uint64_t *position, uint32_t least, xe_visit_fn visit,
               void *arg);
struct xe_table_stats stats_of(struct xe_table *t);
struct xe_table *table_new(uint32_t max_objects, bool hot);
/* Puts the short keys 0..n-1, each with the small value of its number. */
void fill_table(struct xe_table *t, uint32_t n);

#endif
