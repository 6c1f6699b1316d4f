/*
 * owner.h - tables as processes see them: identifiers, names, rights, owners.
 *
 *   identifier --> struct xe_owned (a resource) --> xe_table (core)
 *   name --(registry)--^
 *
 * States of a table
 *
 *   OWNED(p)   the table can be used; p is its owner
 *   DEAD       it cannot; its name is free; its memory is with the reclaimer
 *
 *   from    to    by
 *   OWNED   DEAD  delete/1; the monitor of p; anybody who finds p dead
 *
 * There is one transition and it is one compare-and-swap of the state, so it is
 * made once, whoever comes first.
 *
 * The monitor of an exiting process fires late: after its links and its names are gone.
 * So every access by another process checks that the owner lives, and whoever finds it
 * dead completes its exit; nobody sees a table of a process whose death it has seen.
 *
 * The registry holds one reference to the resource as long as the table lives. What an
 * epoch section has found alive (the resource, the core's table) lives until it is left.
 */
#ifndef XE_OWNER_H
#define XE_OWNER_H

#include <erl_nif.h>

#include "../core/table.h"

enum xe_access { XE_PRIVATE, XE_PROTECTED, XE_PUBLIC };

/* What new/2 was asked for, and info/1 reports. */
struct xe_settings {
    ERL_NIF_TERM name;
    ERL_NIF_TERM type;
    enum xe_access access;
    bool named;
    int keypos;
    ERL_NIF_TERM write_concurrency;
    bool read_concurrency;
    bool decentralized_counters;
    bool compressed;
};

enum xe_owned_state { XE_DEAD_TABLE, XE_OWNED };

/* The resource behind a table identifier. Small: its size counts for the garbage
 * collection of every process that holds one. All but the state is fixed. */
struct xe_owned {
    _Atomic uint32_t state;
    int keypos;
    enum xe_kind kind;
    bool compressed;
    struct xe_table *core;
    uint64_t seed;      /* of the core's table */
    ERL_NIF_TERM owner; /* a local pid */
    struct xe_settings is;
    bool monitored;
    ErlNifMonitor monitor;
    struct xe_retired retired;
};

/* Opens the resource type; takes over the one of an older copy of the library. */
bool xe_owner_open(ErlNifEnv *env, ErlNifResourceFlags flags);
/* The registry, to be handed to a newer copy of the library, and taken over from an
 * older one. */
void *xe_owner_registry(void);
bool xe_owner_adopt(void *registry);

/* A use of a table by a call: an open epoch section, and what it found. */
struct xe_use {
    struct xe_epoch_slot *slot;
    struct xe_owned *table;
};

/* Rights a call needs. */
enum xe_need { XE_NEED_NOTHING, XE_NEED_READ, XE_NEED_WRITE, XE_NEED_OWNER };

/* Opens a section and finds the table of an identifier or a name. False: no such table,
 * or no right to it; the section is closed then. O(1). */
bool xe_use_begin(ErlNifEnv *env, ERL_NIF_TERM table, enum xe_need need, struct xe_use *use);
static inline void xe_use_end(struct xe_use *use)
{
    xe_epoch_leave(use->slot);
}

/* Whether a term is the identifier of a table, be it dead. */
bool xe_owner_is_identifier(ErlNifEnv *env, ERL_NIF_TERM term);

enum xe_create {
    XE_CREATED,
    XE_CREATE_EXISTS, /* the name is taken */
    XE_CREATE_NOMEM,
};

/* A new table owned by the calling process. *out: its name or its identifier. */
enum xe_create xe_owner_create(ErlNifEnv *env, const struct xe_settings *settings,
                               ERL_NIF_TERM *out);

/* Ends the table. False: somebody else does it or has done it. Inside a section. */
bool xe_owner_bury(ErlNifEnv *env, struct xe_epoch_slot *slot, struct xe_owned *table);

/* The identifier's term. */
ERL_NIF_TERM xe_owner_term(ErlNifEnv *env, const struct xe_owned *table);

/* Living tables. */
uint64_t xe_owner_count(void);

#endif
