/*
 * fixing.h - which processes have fixed a table, and how often each.
 *
 * A treap (Seidel and Aragon, "Randomized search trees", 1996) ordered by pid, its heap order
 * being a hash of the pid: every operation is O(log n) with no rebuilding, and a walk can
 * go on from a pid that has gone. Each entry has a monitor on its process, because one that
 * ends takes its fixations with it.
 *
 * The structure has no lock: all is under that of the table's estate (estate.h).
 */
#ifndef XE_FIXING_H
#define XE_FIXING_H

#include <erl_nif.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct xe_fixer {
    ERL_NIF_TERM pid;
    uint64_t count; /* of its fixations; not 0 */
    ErlNifMonitor monitor;
    struct xe_fixer *child[2]; /* pids that are less, and greater */
};

struct xe_fixing {
    struct xe_fixer *root;
    _Atomic uint32_t n; /* may be read without the lock, to learn whether it is worth taking */
    ErlNifTime since;  /* when the first of those that follow one another came; monotonic, ns */
    ErlNifTime offset; /* of the time, then */
};

struct xe_fixer *xe_fixing_find(const struct xe_fixing *f, ERL_NIF_TERM pid);
/* The first whose pid is greater; NULL: there is none. */
struct xe_fixer *xe_fixing_after(const struct xe_fixing *f, ERL_NIF_TERM pid);
/* Takes in a fixer whose pid is not there. */
void xe_fixing_insert(struct xe_fixing *f, struct xe_fixer *fixer);
/* Takes out one that is there. */
void xe_fixing_remove(struct xe_fixing *f, struct xe_fixer *fixer);

#endif
