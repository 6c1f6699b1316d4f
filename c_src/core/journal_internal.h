/*
 * journal_internal.h - what the files of the journal share: the journal itself, and who serves it.
 *
 * The buffer is a ring of `tail` - `consumed` bytes; positions only grow, and a unit's ticket is
 * the position behind it. Room is counted before it is placed: `reserved` is the sum of what was
 * reserved and not given back, and never more than a buffer ahead of `consumed`. A unit gets its
 * place when it is committed, by one addition to `tail`: so the order of the commits is that of the
 * places, and of the numbers, which the writer gives out as it goes along.
 *
 *   consumed         first without a word      tail        reserved    consumed + size
 *      | written by the writer | being filled | | promised, no place yet |
 *
 * A place begins with the word of its record's header, stored last: as long as it is 0, the unit
 * is being copied, and the writer stops before it. What it has written it fills with zeros.
 *
 *   of a unit: the record as in the segment, its header still to be made but for the first word
 *   of a large one: two words, its bytes with LARGE_TAG, and where the record is
 */
#ifndef XE_JOURNAL_INTERNAL_H
#define XE_JOURNAL_INTERNAL_H

#include <pthread.h>

#include "journal_files.h"

enum {
    XE_LARGE_ENTRY = 16,        /* bytes of the ring */
    XE_JOURNAL_BATCH = 1 << 20, /* bytes that are written by one call, unless a record is larger */
    XE_JOURNAL_MUCH = 16,       /* a part of the ring that is not put off */
};
#define XE_LARGE_TAG (UINT64_C(0x4c) << 56)
#define XE_LARGE_IN_FLIGHT ((uint64_t)256 << 20)

/* Whether the writer is to come: it is in one of the domain's lists, or about to be. */
enum xe_wanted {
    XE_WANTED_NOT,
    XE_WANTED_LATER,
    XE_WANTED_NOW,
};

struct xe_waiters {
    struct xe_journal_waiter *head;
};

struct xe_journal {
    /* Who commits. */
    _Alignas(XE_CACHE_LINE) _Atomic uint64_t tail;
    _Atomic uint64_t commits;
    _Atomic uint64_t large_sum; /* bytes of the records of large units that the ring has not had */
    _Atomic uint32_t wanted;    /* enum xe_wanted */
    /* Who reserves. */
    _Alignas(XE_CACHE_LINE) _Atomic uint64_t reserved;
    _Atomic uint64_t large; /* bytes of large units that are not written */
    /* The writer. */
    _Alignas(XE_CACHE_LINE) _Atomic uint64_t consumed;
    _Atomic uint32_t failed;
    _Atomic uint32_t room_wanted; /* somebody waits for room */

    uint8_t *ring;
    uint64_t size; /* a power of two */
    uint64_t base; /* number of the last change before the first commit */
    void *memory;  /* that this is in */

    pthread_mutex_t lock;
    /* Under it. */
    struct xe_waiters waiters[XE_JOURNAL_LEVELS], for_room;
    _Atomic uint64_t reached[XE_JOURNAL_LEVELS]; /* tickets; may be read by anybody */
    uint64_t number[XE_JOURNAL_LEVELS];  /* of the last change there; changed by the writer only */
    uint64_t flush_to;                   /* the ticket up to which a flush wants it synced */
    uint64_t bytes;                      /* of records, since the last checkpoint */
    struct xe_io_error error;            /* once `failed` */
    uint64_t checkpoint;                 /* S */
    uint64_t n_segments;

    /* The writer's, and before and after it the opener's. */
    struct xe_io_dir dir; /* by which all files are opened */
    struct xe_journal_files files;
    struct xe_replay *replay;
    uint64_t trimmed;     /* S that was done last */
    uint64_t prepared_in; /* the segment in which the next one was made, or tried */
    bool begun;
    /* Of those who were told of the last sync: see gather(). */
    uint32_t told;
    uint64_t told_at;    /* commits by then */
    bool will_come_back; /* to write again, as those before them did */
    uint64_t sync_ns;    /* that a sync takes, of late */

    /* Under the lock of the domain. */
    bool closing, closed, clean; /* no files any more; and all was well */
    bool is_queued, is_late;     /* in these lists */
    uint64_t late_until;         /* time at which it goes to the queue */
    struct xe_journal *next_queued, *next_late, *next_open;
};

/* All journals of the process, for all copies of this library (shared.h). */
struct xe_journal_domain {
    uint64_t version; /* of the layout of this and of journals; first, so that all can read it */
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct xe_journal *open, *queue, *queue_last;
    struct xe_journal *late, *late_last; /* who is queued first comes first */
    _Atomic uint64_t queueings; /* so far; may be read by anybody */
    struct xe_journal *serving; /* somebody is at work on it; NULL: nobody is on any */
    uint64_t threads;           /* started so far, by all copies */
    uint64_t server;            /* the one that serves; 0: none */
    _Atomic uint64_t steps;     /* of writing that were done so far: whether it gets on */
};
extern __attribute__((visibility("hidden"))) struct xe_journal_domain *xe_journal_the;

/* Of a clock that nobody sets. */
uint64_t xe_journal_now(void);
/* The writer's work on a journal that was taken from the queue (journal_write.c). */
void xe_journal_serve(struct xe_journal *j);
/* Has the journal served, now or a little later. */
void xe_journal_queue(struct xe_journal *j);
void xe_journal_queue_late(struct xe_journal *j);
/* It fails for good; everybody is told. */
void xe_journal_fail(struct xe_journal *j, const struct xe_io_error *error);

#endif
