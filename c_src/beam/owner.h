/*
 * owner.h - tables as processes see them: identifiers, names, rights, owners.
 *
 *   identifier --> struct xe_owned (a resource) --> xe_table (core)
 *   name --(registry.h)--^           |
 *                                    '--> xe_estate (estate.h): monitors, heir, fixations
 *
 * Guarantees (referred to from code and tests)
 *   O1  Who has seen the death of a process finds no table of it: it is the heir's, or gone and its
 *       name free. Only the message to the heir, and what nobody asks for, may come later.
 *   O2  Every change of owner is made once, and told once.
 *   O3  A table has one name at any time, and a name one table.
 *   O4  A heir is a process and not a pid; fixations are those of living processes.
 *
 * States of a table, in one word
 *
 *   OWNED(p)     the table can be used; p is its owner: the term of p
 *   MOVING(p)    it passes from p to another process, or to none: the same, marked
 *   DEAD         it cannot be used; its name is free; its memory is with the reclaimer: 0
 *   SNAPSHOT     it can be read by any process, and written by none: 1
 *
 *   from       to         by
 *   OWNED(p)   MOVING(p)  give_away/3, called by p; whoever finds p dead
 *   OWNED(p)   DEAD       delete/1; new/2, when the name is taken
 *   MOVING(p)  OWNED(q)   whoever made it MOVING: q is the receiver, or a living heir
 *   MOVING(p)  DEAD       whoever made it MOVING: p is dead, and has no living heir
 *   SNAPSHOT   DEAD       delete/1, called by the process that made it
 *
 * A table that is recovered from its files (durable.h) is OWNED, but hidden until that is done: only
 * the process that recovers it has its identifier, and the garbage collection of that ends it.
 *
 * The transitions from OWNED are compare-and-swaps, so that each is made once, whoever comes
 * first, and what belongs to it is done once: the message to a heir is sent by the
 * process that moved the table. In MOVING no code runs that can be interrupted by an exit of the
 * process, and nothing is waited for but the lock of the estate, so others wait for it to end.
 *
 * The monitor of an exiting process fires late: after its links and its names are gone.
 * So every access by another process checks that the owner lives, and whoever finds it
 * dead completes its exit; nobody sees a table of a process whose death it has seen. Who has
 * become the owner may have died before, and what looked at the table then may have found it
 * MOVING. So whoever moves a table looks again, and completes that exit too.
 *
 * The registry holds one reference to the resource as long as the table lives. What an
 * epoch section has found alive (the resource, the core's table) lives until it is left.
 *
 * Snapshots have no owner whose death would end them, no name, and no place in the registry: only
 * identifiers refer to them, and the garbage collection of the last one ends a snapshot. So whoever
 * uses one has a reference by the term that it was called with.
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
    uint64_t seed; /* of the hashes; 0: one is drawn */
};

/* The kind that a type's name stands for. False: it is none. */
bool xe_owner_get_kind(ERL_NIF_TERM type, enum xe_kind *out);

struct xe_estate;
struct xe_heir;

/* The resource behind a table identifier. Small: its size counts for the garbage
 * collection of every process that holds one. What is not atomic is fixed. */
struct xe_owned {
    _Atomic ERL_NIF_TERM owner; /* the state */
    int keypos;
    enum xe_kind kind;
    bool compressed;
    bool hidden; /* it is being filled, and known to its owner's process alone */
    _Atomic uint8_t access; /* enum xe_access */
    struct xe_table *core;
    uint64_t seed;             /* of the core's table */
    ERL_NIF_TERM maker;        /* of a snapshot: the pid of the process that took it; else 0 */
    _Atomic ERL_NIF_TERM name; /* under the registry's lock */
    struct xe_estate *estate;
    uint32_t place;        /* in the registry */
    struct xe_settings is; /* but for name and access: as they were in the beginning */
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

/* Rights a call needs. To end a table is to write it, but for snapshots. */
enum xe_need { XE_NEED_NOTHING, XE_NEED_READ, XE_NEED_WRITE, XE_NEED_OWNER, XE_NEED_END };

/*
 * Opens a section and finds the table of an identifier or a name. False: no such table,
 * or no right to it; the section is closed then. Or the table is on the way from one owner
 * to another for longer than the call can wait: then the exception xets_retry is pending in `env`,
 * and is what the NIF ends with, whatever it returns (xe_call_raise() does not replace it).
 * O(1).
 */
bool xe_use_begin(ErlNifEnv *env, ERL_NIF_TERM table, enum xe_need need, struct xe_use *use);

/* The same for an identifier, by a call that has done something which its result has to tell:
 * nothing is raised. */
enum xe_begin { XE_BEGUN, XE_BEGIN_REFUSED, XE_BEGIN_MOVING };
enum xe_begin xe_use_again(ErlNifEnv *env, ERL_NIF_TERM identifier, enum xe_need need,
                           struct xe_use *use);

static inline void xe_use_end(struct xe_use *use)
{
    xe_epoch_leave(use->slot);
}

/* Whether a term is the identifier of a table, be it dead. */
bool xe_owner_is_identifier(ErlNifEnv *env, ERL_NIF_TERM term);

/* Inside a section: whether a table of the registry lives, and so does its owner. Completes the
 * exit of an owner that is dead. */
enum xe_life { XE_LIVES, XE_IS_DEAD, XE_IS_MOVING };
enum xe_life xe_owner_life(ErlNifEnv *env, struct xe_owned *table);

enum xe_create {
    XE_CREATED,
    XE_CREATE_EXISTS, /* the name is taken */
    XE_CREATE_NOMEM,
    XE_CREATE_RETRY, /* the name is of a table on the way from one owner to another */
};

/* A new table owned by the calling process; `heir`, which may be NULL, is the table's. *out:
 * its name or its identifier. */
enum xe_create xe_owner_create(ErlNifEnv *env, const struct xe_settings *settings,
                               struct xe_heir *heir, ERL_NIF_TERM *out);

/*
 * The same in two steps, for a table that is filled before others may see it. In between it is that
 * of the calling process, which uses it by its identifier (*out) and tells it to nobody; when that
 * is forgotten the table goes. Showing it, with a use that is open, gives what
 * xe_owner_create() gives.
 */
enum xe_create xe_owner_prepare(ErlNifEnv *env, const struct xe_settings *settings,
                                ERL_NIF_TERM *out);
enum xe_create xe_owner_show(ErlNifEnv *env, struct xe_use *use, struct xe_heir *heir,
                             ERL_NIF_TERM *out);

/* Ends the table. False: somebody else ends or moves it, or has done so. Inside a section. */
bool xe_owner_end(struct xe_owned *table);

/* A snapshot of the table that is used. *out: its identifier. `patient`: on a dirty scheduler. XE_OK,
 * XE_RETRY, XE_NOMEM, XE_DEAD. */
enum xe_status xe_owner_snapshot(ErlNifEnv *env, struct xe_use *use, bool patient,
                                 ERL_NIF_TERM *out);

/* The same; calls `instant` at that instant, in the gate (core/table.h). */
enum xe_status xe_owner_snapshot_at(ErlNifEnv *env, struct xe_use *use, bool patient,
                                    void (*instant)(void *arg), void *arg, ERL_NIF_TERM *out);

/* Gives a table of the calling process to another one, and tells that with `gift`. Inside a
 * section. */
enum xe_give {
    XE_GIVEN,
    XE_GIVE_DEAD, /* the receiver is */
    XE_GIVE_LOST, /* the table is not the caller's any more, or not at all */
};
enum xe_give xe_owner_give(ErlNifEnv *env, struct xe_use *use, const ErlNifPid *to,
                           ERL_NIF_TERM gift);

/* Gives a table another name. XE_CREATE_EXISTS: that is taken. Inside a section. */
enum xe_create xe_owner_rename(ErlNifEnv *env, struct xe_use *use, ERL_NIF_TERM name);

static inline bool xe_owned_is_dead(const struct xe_owned *table)
{
    /* Acquire: pairs with the stores of the state. */
    return atomic_load_explicit(&table->owner, memory_order_acquire) == 0;
}

/* The owner, or the last one that the table had; of a snapshot who made it; 0: none. */
ERL_NIF_TERM xe_owner_pid(const struct xe_owned *table);

/* The identifier's term; and what new/2 returned, or would if the table were made now. */
ERL_NIF_TERM xe_owner_term(ErlNifEnv *env, const struct xe_owned *table);
ERL_NIF_TERM xe_owner_handle(ErlNifEnv *env, const struct xe_owned *table);

#endif
