/*
 * registry.c - see registry.h.
 */
#include "registry.h"

#include <pthread.h>

#include "hooks.h"

enum { NAMES_MIN = 64, BLOCK_MIN = 64, BLOCKS = 26, REGISTRY_VERSION = 2 };

struct name {
    _Atomic ERL_NIF_TERM atom; /* 0: never used; stays when the name is free again */
    _Atomic(struct xe_owned *) table;
};

struct names {
    uint64_t mask;
    uint64_t used; /* entries with an atom */
    struct xe_retired retired;
    struct name at[];
};

/* A table, or (number of the next free place + 1) << 1 | 1. */
typedef _Atomic uintptr_t place;

struct registry {
    uint64_t version;
    pthread_mutex_t lock; /* of all changes */
    _Atomic(struct names *) names;
    _Atomic(place *) block[BLOCKS];
    _Atomic uint32_t places;
    uintptr_t free; /* as in a place; 1: none */
    _Atomic uint64_t tables;
};

static struct registry *registry;

/* --- Names -------------------------------------------------------------- */

static uint64_t spread_atom(ERL_NIF_TERM atom)
{
    return (atom * 0x9e3779b97f4a7c15ull) >> 32;
}

static struct names *names_new(uint64_t size)
{
    size_t bytes = sizeof(struct names) + size * sizeof(struct name);
    struct names *n = enif_alloc(bytes);
    if (!n)
        return NULL;
    memset(n, 0, bytes);
    n->mask = size - 1;
    return n;
}

/* The entry of `atom`, or the empty one where it would be. There always is one. */
static struct name *names_find(struct names *n, ERL_NIF_TERM atom)
{
    for (uint64_t i = spread_atom(atom);; i++) {
        struct name *entry = &n->at[i & n->mask];
        /* Acquire: pairs with the release store in names_entry(). */
        ERL_NIF_TERM have = atomic_load_explicit(&entry->atom, memory_order_acquire);
        if (have == atom || have == 0)
            return entry;
    }
}

static void names_free(struct xe_retired *r)
{
    enif_free((char *)r - offsetof(struct names, retired));
}

/* A copy without the names that are free. */
static struct names *names_grow(struct xe_epoch_slot *slot, struct names *old)
{
    uint64_t live = 0;
    for (uint64_t i = 0; i <= old->mask; i++)
        live += atomic_load_explicit(&old->at[i].table, memory_order_relaxed) != NULL;
    uint64_t size = NAMES_MIN;
    while (size < 4 * (live + 1))
        size *= 2;
    struct names *n = names_new(size);
    if (!n)
        return NULL;
    for (uint64_t i = 0; i <= old->mask; i++) {
        struct xe_owned *table = atomic_load_explicit(&old->at[i].table, memory_order_relaxed);
        if (!table)
            continue;
        ERL_NIF_TERM atom = atomic_load_explicit(&old->at[i].atom, memory_order_relaxed);
        struct name *entry = names_find(n, atom);
        atomic_init(&entry->atom, atom);
        atomic_init(&entry->table, table);
        n->used++;
    }
    /* Release: the copy is complete. Pairs with xe_registry_find(). */
    atomic_store_explicit(&registry->names, n, memory_order_release);
    old->retired.free = names_free;
    old->retired.bytes = sizeof *old + (old->mask + 1) * sizeof(struct name);
    xe_epoch_retire(slot, &old->retired);
    return n;
}

/* The entry for a name that is to be set. Under the lock. NULL: out of memory. */
static struct name *names_entry(struct xe_epoch_slot *slot, ERL_NIF_TERM atom)
{
    struct names *n = atomic_load_explicit(&registry->names, memory_order_relaxed);
    if (2 * (n->used + 1) > n->mask && !(n = names_grow(slot, n)))
        return NULL;
    struct name *entry = names_find(n, atom);
    if (atomic_load_explicit(&entry->atom, memory_order_relaxed) == 0) {
        n->used++;
        /* Release: pairs with names_find(). */
        atomic_store_explicit(&entry->atom, atom, memory_order_release);
    }
    return entry;
}

/* Frees the entry of a name, if it is still the table's. Under the lock. */
static void names_clear(ERL_NIF_TERM atom, const struct xe_owned *table)
{
    struct names *n = atomic_load_explicit(&registry->names, memory_order_relaxed);
    struct name *entry = names_find(n, atom);
    if (atomic_load_explicit(&entry->table, memory_order_relaxed) == table)
        atomic_store_explicit(&entry->table, NULL, memory_order_release);
}

/* Lets a name point to the table. Under the lock. */
static enum xe_naming names_set(struct xe_epoch_slot *slot, ERL_NIF_TERM atom,
                                struct xe_owned *table)
{
    struct name *entry = names_entry(slot, atom);
    if (!entry)
        return XE_NAME_NOMEM;
    struct xe_owned *had = atomic_load_explicit(&entry->table, memory_order_relaxed);
    /* Whoever ends a table may not have come to its name yet. */
    if (had && !xe_owned_is_dead(had))
        return XE_NAME_TAKEN;
    /* Release: the table is complete. Pairs with xe_registry_find(). */
    atomic_store_explicit(&entry->table, table, memory_order_release);
    return XE_NAMED;
}

struct xe_owned *xe_registry_find(ERL_NIF_TERM atom)
{
    /* Acquire, all: pair with names_grow(), names_set() and xe_registry_rename(). */
    struct names *n = atomic_load_explicit(&registry->names, memory_order_acquire);
    struct xe_owned *table =
        atomic_load_explicit(&names_find(n, atom)->table, memory_order_acquire);
    if (XE_LIKELY(table != NULL) &&
        XE_UNLIKELY(atomic_load_explicit(&table->name, memory_order_acquire) != atom))
        return NULL;
    return table;
}

enum xe_naming xe_registry_name(struct xe_epoch_slot *slot, struct xe_owned *table)
{
    ERL_NIF_TERM name = atomic_load_explicit(&table->name, memory_order_relaxed);
    pthread_mutex_lock(&registry->lock);
    /* Under the lock, as in xe_registry_rename(). */
    enum xe_naming result =
        xe_owned_is_dead(table) ? XE_NAME_DEAD : names_set(slot, name, table);
    pthread_mutex_unlock(&registry->lock);
    return result;
}

enum xe_naming xe_registry_rename(ErlNifEnv *env, struct xe_epoch_slot *slot,
                                  struct xe_owned *table, ERL_NIF_TERM name)
{
    (void)env;
    enum xe_naming result = XE_NAMED;
    pthread_mutex_lock(&registry->lock);
    ERL_NIF_TERM old = atomic_load_explicit(&table->name, memory_order_relaxed);
    /* Under the lock: whoever ends the table comes here for its name only afterwards. */
    if (xe_owned_is_dead(table))
        result = XE_NAME_DEAD;
    else if (table->is.named)
        result = names_set(slot, name, table);
    if (result == XE_NAMED) {
        xe_hook(env, "xets_renaming");
        /* Release: from here on the new name is good, and the old one is not. */
        atomic_store_explicit(&table->name, name, memory_order_release);
        xe_hook(env, "xets_renamed");
        if (table->is.named)
            names_clear(old, table);
    }
    pthread_mutex_unlock(&registry->lock);
    return result;
}

/* --- All tables --------------------------------------------------------- */

/* Block b begins with place (2^b - 1) * BLOCK_MIN, and has 2^b * BLOCK_MIN places. */
static uint32_t block_of(uint32_t number, uint32_t *index)
{
    uint32_t b = 31 - (uint32_t)__builtin_clz(number / BLOCK_MIN + 1);
    *index = number - ((1u << b) - 1) * BLOCK_MIN;
    return b;
}

static place *place_at(uint32_t number)
{
    uint32_t index, b = block_of(number, &index);
    /* Acquire: pairs with place_new(). */
    return atomic_load_explicit(&registry->block[b], memory_order_acquire) + index;
}

/* A place that no table has had. Under the lock. NULL: out of memory. */
static place *place_new(uint32_t *number)
{
    uint32_t n = atomic_load_explicit(&registry->places, memory_order_relaxed);
    uint32_t index, b = block_of(n, &index);
    if (b >= BLOCKS)
        return NULL;
    if (!atomic_load_explicit(&registry->block[b], memory_order_relaxed)) {
        size_t places = (size_t)BLOCK_MIN << b;
        place *block = enif_alloc(places * sizeof *block);
        if (!block)
            return NULL;
        atomic_store_explicit(&registry->block[b], block, memory_order_release);
    }
    *number = n;
    atomic_init(place_at(n), 1);
    /* Release: pairs with xe_registry_places(). */
    atomic_store_explicit(&registry->places, n + 1, memory_order_release);
    return place_at(n);
}

bool xe_registry_add(struct xe_owned *table)
{
    place *p;
    pthread_mutex_lock(&registry->lock);
    if (registry->free != 1) {
        table->place = (uint32_t)(registry->free >> 1) - 1;
        p = place_at(table->place);
        registry->free = atomic_load_explicit(p, memory_order_relaxed);
    } else {
        p = place_new(&table->place);
    }
    if (p) {
        /* Release: the table is complete. Pairs with xe_registry_at(). */
        atomic_store_explicit(p, (uintptr_t)table, memory_order_release);
        atomic_fetch_add_explicit(&registry->tables, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&registry->lock);
    return p != NULL;
}

void xe_registry_remove(struct xe_owned *table)
{
    pthread_mutex_lock(&registry->lock);
    if (table->is.named)
        names_clear(atomic_load_explicit(&table->name, memory_order_relaxed), table);
    atomic_store_explicit(place_at(table->place), registry->free, memory_order_release);
    registry->free = ((uintptr_t)table->place + 1) << 1 | 1;
    atomic_fetch_sub_explicit(&registry->tables, 1, memory_order_relaxed);
    pthread_mutex_unlock(&registry->lock);
}

uint64_t xe_registry_count(void)
{
    return atomic_load_explicit(&registry->tables, memory_order_relaxed);
}

uint32_t xe_registry_places(void)
{
    return atomic_load_explicit(&registry->places, memory_order_acquire);
}

struct xe_owned *xe_registry_at(uint32_t number)
{
    uintptr_t at = atomic_load_explicit(place_at(number), memory_order_acquire);
    return at & 1 ? NULL : (struct xe_owned *)at;
}

/* --- Loading ------------------------------------------------------------ */

bool xe_registry_open(void)
{
    if (registry)
        return true;
    struct registry *r = enif_alloc(sizeof *r);
    struct names *names = names_new(NAMES_MIN);
    if (!r || !names) {
        if (r)
            enif_free(r);
        if (names)
            enif_free(names);
        return false;
    }
    memset(r, 0, sizeof *r);
    r->version = REGISTRY_VERSION;
    r->free = 1;
    pthread_mutex_init(&r->lock, NULL);
    atomic_init(&r->names, names);
    registry = r;
    return true;
}

void *xe_registry_domain(void)
{
    return registry;
}

bool xe_registry_adopt(void *domain)
{
    struct registry *other = domain;
    if (!other || other->version != REGISTRY_VERSION || (registry && registry != other))
        return false;
    registry = other;
    return true;
}
