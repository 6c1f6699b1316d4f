/*
 * core.h - words that every file of the core shares.
 *
 * The core is a table engine over bytes. It knows nothing of the BEAM: what it
 * has to know about terms it asks through `struct xe_callbacks`, which
 * c_src/beam implements over enif_* and the core's tests over byte strings.
 *
 * Glossary
 *   table      a directory of segments (table.h)
 *   segment    a range of hashes with its writer lock and its current image
 *   image      one block of memory: index and records of one segment (image.h)
 *   record     the immutable bytes of one object inside an image (record.h)
 *   blob       a record too large for an image, in an allocation of its own
 *   EXT        a term kept as a handle into an environment instead of as bytes
 *   epoch      the clock of safe memory reclamation (epoch.h)
 *   rebuild    writing new images from an old one; the only thing that moves records
 *   snapshot   a table that keeps what another one had at an instant: it shares the images
 */
#ifndef XE_CORE_H
#define XE_CORE_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct xe_view; /* record.h */
struct xe_log_change; /* log.h */
struct xe_log_write;

/* Results of the core's calls. */
enum xe_status {
    XE_OK = 0,
    XE_ABSENT,  /* no object with that key */
    XE_EXISTS,  /* an object with that key is there already */
    XE_RETRY,   /* try again after yielding: a lock or the gate was not had in time */
    XE_NOMEM,   /* an allocation failed; the table is as it was */
    XE_LIMIT,   /* a limit of the format was reached; the table is as it was */
    XE_DEAD,    /* the table was deleted */
    XE_FROZEN,  /* the table is a snapshot: it does not change */
    XE_LARGE,   /* log_begin: too much for a thread that must not be held up; nothing has changed */
    XE_FAILED,  /* its files have failed: nothing more is kept (journal.h) */
};

/*
 * Assert levels: XE_ASSERT is always on in test builds and off in release
 * builds; XE_VALIDATE guards the walkers (`*_is_valid`), which cost O(n).
 */
#ifdef XE_DEBUG
#define XE_ASSERT(c) assert(c)
#else
#define XE_ASSERT(c) ((void)0)
#endif

#define XE_LIKELY(c) __builtin_expect(!!(c), 1)
#define XE_UNLIKELY(c) __builtin_expect(!!(c), 0)
#define XE_CACHE_LINE 64

/* A relaxation hint for spin loops. */
static inline void xe_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Loads a line that will be written soon. gcc makes a prefetch for reading of
 * __builtin_prefetch(p, 1) where it may not count on prefetchw, which all x86-64 processors take:
 * then a line that another core has written has to be asked for twice. */
static inline void xe_prefetch_write(const void *p)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
    __builtin_prefetch(p, 1);
#endif
}

static inline uint64_t xe_load64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t xe_load32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/*
 * What the core asks of its user. One set per process, given to xe_core_init().
 *
 * An `env` is an environment that holds EXT terms; a handle is a word that
 * names a term inside one. Environments only grow until they are freed.
 */
struct xe_callbacks {
    void *(*alloc)(size_t bytes); /* 8-byte aligned; NULL when out of memory */
    void (*free)(void *p);

    void *(*env_new)(void); /* NULL when out of memory */
    void (*env_free)(void *env);
    /* Copies the term `handle` into `env` and returns the new handle. O(1). */
    uint64_t (*ext_move)(void *env, uint64_t handle);
    /* Whether two handles name equal (=:=) terms. */
    bool (*ext_equal)(uint64_t a, uint64_t b);
    /* Their order as terms (<); 0: they are equal in it (==). */
    int (*ext_compare)(uint64_t a, uint64_t b);

    /*
     * Called only when two objects differ in bytes and one of them carries
     * XE_REC_LOOSE: whether they are equal (=:=) all the same.
     */
    bool (*object_equal)(const struct xe_view *stored, const struct xe_view *given);

    /* Of tables with a log: log.h. XE_OK, or XE_RETRY, XE_NOMEM, XE_LARGE, XE_FAILED. Without such
     * tables NULL. */
    enum xe_status (*log_begin)(void *log, const struct xe_log_change *change,
                                struct xe_log_write *write);
    void (*log_publish)(void *log, struct xe_log_write *write);
    void (*log_end)(void *log, struct xe_log_write *write);
    /* The table is gone, and nothing is told any more. On the reclaimer's thread that may wait for a
     * disk (reclaim.h). */
    void (*log_gone)(void *log);
};

/* The callbacks in use; set once by xe_core_init(), before any table is made. */
extern struct xe_callbacks xe_cb;

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the formats of the core are little-endian"
#endif

#endif
