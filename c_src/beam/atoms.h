/*
 * atoms.h - the atoms that the NIF makes or compares with, made once at load.
 */
#ifndef XE_ATOMS_H
#define XE_ATOMS_H

#include <erl_nif.h>

/* X(C name, text) */
#define XE_ATOMS(X)                                                                               \
    X(absent, "absent")                                                                           \
    X(bag, "bag")                                                                                 \
    X(busy, "busy")                                                                               \
    X(bytes, "bytes")                                                                             \
    X(closed, "closed")                                                                           \
    X(closing, "closing")                                                                         \
    X(disk, "disk")                                                                               \
    X(done, "done")                                                                               \
    X(duplicate_bag, "duplicate_bag")                                                             \
    X(end_of_table, "$end_of_table")                                                              \
    X(error, "error")                                                                             \
    X(failed, "failed")                                                                           \
    X(exited, "EXIT")                                                                             \
    X(ets_transfer, "ETS-TRANSFER")                                                               \
    X(no, "false")                                                                                \
    X(hash, "hash")                                                                               \
    X(image_bytes, "image_bytes")                                                                 \
    X(key, "key")                                                                                 \
    X(last, "last")                                                                               \
    X(mapped, "mapped")                                                                           \
    X(memory, "memory")                                                                           \
    X(opening, "opening")                                                                         \
    X(os, "os")                                                                                   \
    X(checkpoint, "checkpoint")                                                                   \
    X(wait, "wait")                                                                               \
    X(more, "more")                                                                               \
    X(native_terms, "native_terms")                                                               \
    X(none, "none")                                                                               \
    X(objects, "objects")                                                                         \
    X(ok, "ok")                                                                                   \
    X(ordered_set, "ordered_set")                                                                 \
    X(other, "other")                                                                             \
    X(portable, "portable")                                                                       \
    X(private, "private")                                                                         \
    X(protected, "protected")                                                                     \
    X(public, "public")                                                                           \
    X(salvage, "salvage")                                                                         \
    X(segments, "segments")                                                                       \
    X(set, "set")                                                                                 \
    X(slow, "slow")                                                                               \
    X(start, "start")                                                                             \
    X(stopped, "stopped")                                                                         \
    X(system_limit, "system_limit")                                                               \
    X(tables, "tables")                                                                           \
    X(terms, "terms")                                                                             \
    X(yes, "true")                                                                               \
    X(unchanged, "unchanged")                                                                     \
    X(undefined, "undefined")                                                                     \
    X(used, "used")                                                                               \
    X(xets_retry, "xets_retry")                                                                   \
    X(xets_room, "xets_room")                                                                     \
    X(xets_wait, "xets_wait")                                                                     \
    XE_ATOMS_PLAN(X)

/* Of match specifications and plans for them. */
#define XE_ATOMS_PLAN(X)                                                                          \
    X(any, "_")                                                                                   \
    X(and, "and")                                                                                 \
    X(and_also, "andalso")                                                                        \
    X(constant, "const")                                                                          \
    X(engine, "engine")                                                                           \
    X(equal, "==")                                                                                \
    X(ets, "ets")                                                                                 \
    X(exclusive, "exclusive")                                                                     \
    X(from, "from")                                                                               \
    X(greater, ">")                                                                               \
    X(greater_equal, ">=")                                                                        \
    X(identical, "=:=")                                                                           \
    X(inclusive, "inclusive")                                                                     \
    X(keys, "keys")                                                                               \
    X(less, "<")                                                                                  \
    X(less_equal, "=<")                                                                           \
    X(native, "native")                                                                           \
    X(nothing, "nothing")                                                                         \
    X(plan, "plan")                                                                               \
    X(point, "point")                                                                             \
    X(range, "range")                                                                             \
    X(scan, "scan")                                                                               \
    X(to, "to")                                                                                   \
    X(unbounded, "unbounded")

#define XE_ATOM_FIELD(name, text) ERL_NIF_TERM name;
struct xe_atoms {
    XE_ATOMS(XE_ATOM_FIELD)
};
#undef XE_ATOM_FIELD

extern struct xe_atoms xe_am;

void xe_atoms_init(ErlNifEnv *env);

#endif
