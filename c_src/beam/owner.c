/*
 * owner.c - see owner.h.
 *
 * The registry of names is a hash table with open addressing, keyed by the word of the
 * atom. Readers take no lock; writers take one, and publish a larger copy when it fills up.
 */
#include "owner.h"

#include <pthread.h>
#include <sys/random.h>
#include <time.h>

#include "atoms.h"
#include "term.h"

enum { NAMES_MIN = 64, REGISTRY_VERSION = 1 };

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

struct registry {
    uint64_t version;
    pthread_mutex_t lock; /* of changes to the names; held O(1), or O(names) to grow */
    _Atomic(struct names *) names;
    _Atomic uint64_t tables;
};

static struct registry *registry;
static ErlNifResourceType *identifier_type;

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
        struct xe_owned *id =
            atomic_load_explicit(&old->at[i].table, memory_order_relaxed);
        if (!id)
            continue;
        ERL_NIF_TERM atom = atomic_load_explicit(&old->at[i].atom, memory_order_relaxed);
        struct name *entry = names_find(n, atom);
        atomic_init(&entry->atom, atom);
        atomic_init(&entry->table, id);
        n->used++;
    }
    /* Release: the copy is complete. Pairs with find_named(). */
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

static struct xe_owned *find_named(ERL_NIF_TERM atom)
{
    /* Acquire, both: pair with names_grow() and name_take(). */
    struct names *n = atomic_load_explicit(&registry->names, memory_order_acquire);
    return atomic_load_explicit(&names_find(n, atom)->table, memory_order_acquire);
}

/* Frees a name, if it is still that of `id`. */
static void name_release(ERL_NIF_TERM atom, struct xe_owned *id)
{
    pthread_mutex_lock(&registry->lock);
    struct names *n = atomic_load_explicit(&registry->names, memory_order_relaxed);
    struct name *entry = names_find(n, atom);
    if (atomic_load_explicit(&entry->table, memory_order_relaxed) == id)
        atomic_store_explicit(&entry->table, NULL, memory_order_release);
    pthread_mutex_unlock(&registry->lock);
}

static enum xe_create name_take(struct xe_epoch_slot *slot, ERL_NIF_TERM atom,
                                struct xe_owned *id)
{
    enum xe_create result = XE_CREATED;
    pthread_mutex_lock(&registry->lock);
    struct name *entry = names_entry(slot, atom);
    struct xe_owned *had =
        entry ? atomic_load_explicit(&entry->table, memory_order_relaxed) : NULL;
    if (!entry)
        result = XE_CREATE_NOMEM;
    /* Whoever ends a table may not have come to its name yet. */
    else if (had && atomic_load_explicit(&had->state, memory_order_relaxed) == XE_OWNED)
        result = XE_CREATE_EXISTS;
    else
        /* Release: the table is complete. Pairs with find_named(). */
        atomic_store_explicit(&entry->table, id, memory_order_release);
    pthread_mutex_unlock(&registry->lock);
    return result;
}

/* --- The end of a table ------------------------------------------------- */

static void owned_free(struct xe_retired *r)
{
    enif_release_resource((char *)r - offsetof(struct xe_owned, retired));
}

bool xe_owner_bury(ErlNifEnv *env, struct xe_epoch_slot *slot, struct xe_owned *table)
{
    uint32_t owned = XE_OWNED;
    /* acq_rel: one of those who come here makes the transition. */
    if (!atomic_compare_exchange_strong_explicit(&table->state, &owned, XE_DEAD_TABLE,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return false;
    if (table->is.named)
        name_release(table->is.name, table);
    atomic_fetch_sub_explicit(&registry->tables, 1, memory_order_relaxed);
    if (table->monitored)
        enif_demonitor_process(env, table, &table->monitor);
    xe_table_delete(table->core);
    table->retired.free = owned_free;
    table->retired.bytes = sizeof *table;
    xe_epoch_retire(slot, &table->retired);
    return true;
}

static void owner_down(ErlNifEnv *env, void *obj, ErlNifPid *pid, ErlNifMonitor *monitor)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    (void)pid;
    (void)monitor;
    xe_owner_bury(env, slot, obj);
    xe_epoch_leave(slot);
}

/* --- Using a table ------------------------------------------------------ */

static bool may(const struct xe_owned *table, enum xe_need need)
{
    switch (need) {
    case XE_NEED_NOTHING:
        return true;
    case XE_NEED_READ:
        return table->is.access != XE_PRIVATE;
    case XE_NEED_WRITE:
        return table->is.access == XE_PUBLIC;
    case XE_NEED_OWNER:
        break;
    }
    return false;
}

static bool owner_lives(ErlNifEnv *env, const struct xe_owned *table)
{
    ErlNifPid owner = {.pid = table->owner};
    return enif_is_process_alive(env, &owner);
}

/* What another process than the owner has to pass. */
static bool check_stranger(ErlNifEnv *env, struct xe_use *use, enum xe_need need)
{
    if (XE_UNLIKELY(!owner_lives(env, use->table))) {
        xe_owner_bury(env, use->slot, use->table);
        return false;
    }
    return may(use->table, need);
}

bool xe_use_begin(ErlNifEnv *env, ERL_NIF_TERM term, enum xe_need need, struct xe_use *use)
{
    void *obj;
    ErlNifPid self;
    struct xe_owned *table = NULL;
    use->slot = xe_epoch_enter();
    /* Only atoms are in the registry. */
    if (xe_term_is_immediate(term))
        table = find_named(term);
    else if (enif_get_resource(env, term, identifier_type, &obj))
        table = obj;
    /* Acquire: pairs with the compare-and-swap in xe_owner_bury() and the release in
     * xe_owner_create(). */
    if (XE_LIKELY(table != NULL) &&
        XE_LIKELY(atomic_load_explicit(&table->state, memory_order_acquire) == XE_OWNED)) {
        use->table = table;
        enif_self(env, &self);
        if (XE_LIKELY(self.pid == table->owner) || check_stranger(env, use, need))
            return true;
    }
    xe_epoch_leave(use->slot);
    return false;
}

bool xe_owner_is_identifier(ErlNifEnv *env, ERL_NIF_TERM term)
{
    void *obj;
    return enif_get_resource(env, term, identifier_type, &obj);
}

/* --- The beginning of a table ------------------------------------------- */

static uint64_t random_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
        return seed;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ((uint64_t)ts.tv_nsec << 32 | (uint64_t)(uintptr_t)&seed >> 4) * 0x9e3779b97f4a7c15ull;
}

/* The owner of a named table that is gone makes its name free. */
static void bury_namesake(ErlNifEnv *env, struct xe_epoch_slot *slot, ERL_NIF_TERM name)
{
    struct xe_owned *table = find_named(name);
    if (table && !owner_lives(env, table))
        xe_owner_bury(env, slot, table);
}

/* A table that nobody can reach yet. The reference that enif_alloc_resource() gives is the
 * registry's; owned_free() drops it. */
static struct xe_owned *owned_new(const struct xe_settings *settings, ERL_NIF_TERM owner)
{
    struct xe_table_config config = {
        .seed = random_seed(),
        .kind = settings->type == xe_am.bag             ? XE_BAG
                : settings->type == xe_am.duplicate_bag ? XE_DUPLICATE_BAG
                                                        : XE_SET,
        .hot = settings->write_concurrency != xe_am.no,
    };
    struct xe_owned *table = enif_alloc_resource(identifier_type, sizeof *table);
    if (!table)
        return NULL;
    atomic_init(&table->state, XE_DEAD_TABLE);
    table->monitored = false;
    table->core = xe_table_new(&config);
    if (!table->core) {
        enif_release_resource(table);
        return NULL;
    }
    table->seed = config.seed;
    table->owner = owner;
    table->keypos = settings->keypos;
    table->kind = config.kind;
    table->compressed = settings->compressed;
    table->is = *settings;
    return table;
}

enum xe_create xe_owner_create(ErlNifEnv *env, const struct xe_settings *settings,
                               ERL_NIF_TERM *out)
{
    ErlNifPid self;
    struct xe_owned *table = owned_new(settings, enif_self(env, &self)->pid);
    if (!table)
        return XE_CREATE_NOMEM;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    atomic_fetch_add_explicit(&registry->tables, 1, memory_order_relaxed);
    /* Release: the table is complete. Pairs with xe_use_begin(). */
    atomic_store_explicit(&table->state, XE_OWNED, memory_order_release);
    /* A process that is being killed cannot be monitored any more; nobody sees what it gets. */
    table->monitored = enif_monitor_process(env, table, &self, &table->monitor) == 0;
    enum xe_create result = table->monitored ? XE_CREATED : XE_CREATE_EXISTS;
    if (table->monitored && settings->named) {
        bury_namesake(env, slot, settings->name);
        result = name_take(slot, settings->name, table);
    }
    *out = settings->named ? settings->name : enif_make_resource(env, table);
    if (result != XE_CREATED)
        xe_owner_bury(env, slot, table);
    xe_epoch_leave(slot);
    return result;
}

ERL_NIF_TERM xe_owner_term(ErlNifEnv *env, const struct xe_owned *table)
{
    return enif_make_resource(env, (void *)(uintptr_t)table);
}

uint64_t xe_owner_count(void)
{
    return atomic_load_explicit(&registry->tables, memory_order_relaxed);
}

/* --- Loading ------------------------------------------------------------ */

bool xe_owner_open(ErlNifEnv *env, ErlNifResourceFlags flags)
{
    ErlNifResourceTypeInit init = {.down = owner_down};
    identifier_type = enif_open_resource_type_x(env, "xets_table", &init, flags, NULL);
    if (!identifier_type)
        return false;
    if (registry)
        return true;
    registry = enif_alloc(sizeof *registry);
    struct names *names = names_new(NAMES_MIN);
    if (!registry || !names)
        return false;
    registry->version = REGISTRY_VERSION;
    pthread_mutex_init(&registry->lock, NULL);
    atomic_init(&registry->names, names);
    atomic_init(&registry->tables, 0);
    return true;
}

void *xe_owner_registry(void)
{
    return registry;
}

bool xe_owner_adopt(void *from)
{
    struct registry *other = from;
    if (!other || other->version != REGISTRY_VERSION || (registry && registry != other))
        return false;
    registry = other;
    return true;
}
