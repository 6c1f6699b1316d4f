/*
 * registry.h - which tables there are: all of them, and those that have a name.
 *
 * Both are read without a lock, inside an epoch section; changes are made under one lock
 * that is held O(1), or O(names) when the hash table of names grows.
 *
 * Names: a hash table with open addressing, keyed by the word of the atom. An entry alone says
 * nothing: a name is that of the table whose own `name` is the same. So renaming a named
 * table is one store, and nobody finds it under both names, or under none.
 *
 * All tables: an array in blocks, each twice as large as the one before, which never move. A
 * place in it that is free holds the number of the next free one.
 */
#ifndef XE_REGISTRY_H
#define XE_REGISTRY_H

#include "owner.h"

/* The registry of this process: made by the first copy of the library, adopted by later ones. */
bool xe_registry_open(void);
void *xe_registry_domain(void);
bool xe_registry_adopt(void *domain);

/* The table of a name; it may be dead. Inside a section. O(1). */
struct xe_owned *xe_registry_find(ERL_NIF_TERM name);

/* Takes a table in, and out again; the latter frees its name. It is called once, when the table
 * is dead. False: out of memory. */
bool xe_registry_add(struct xe_owned *table);
void xe_registry_remove(struct xe_owned *table);

/* What a name can be given by. */
enum xe_naming {
    XE_NAMED,
    XE_NAME_TAKEN,
    XE_NAME_NOMEM,
    XE_NAME_DEAD, /* the table has ended meanwhile */
};
/* Publishes a new table's name. */
enum xe_naming xe_registry_name(struct xe_epoch_slot *slot, struct xe_owned *table);
/* Gives a table another name. */
enum xe_naming xe_registry_rename(ErlNifEnv *env, struct xe_epoch_slot *slot,
                                  struct xe_owned *table, ERL_NIF_TERM name);

/* The number of tables. */
uint64_t xe_registry_count(void);
/* Places that tables have had so far, and the table at one of them, or NULL; it may be dead.
 * Whoever visits all places meets each table that is there throughout once. Inside a section. */
uint32_t xe_registry_places(void);
struct xe_owned *xe_registry_at(uint32_t place);

#endif
