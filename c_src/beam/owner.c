/*
 * owner.c - see owner.h.
 */
#include "owner.h"

#include <sys/random.h>
#include <time.h>

#include "call.h"
#include "durable.h"
#include "estate.h"
#include "hooks.h"
#include "registry.h"

/* Marks the pid in the word of a table that is MOVING: a pid is an immediate, so the two low bits
 * of its term are set (xe_term_is_immediate()). */
enum { MOVING_BIT = 1 };

/* How often a call looks whether a table has left MOVING: some tens of microseconds, while that
 * takes one or two unless the system has interrupted the thread. */
enum { MOVING_SPINS = 500 };

/* The state of a snapshot: no pid's term. */
enum { SNAPSHOT = 1 };

static ErlNifResourceType *identifier_type;

static bool is_owned(ERL_NIF_TERM state)
{
    return state & MOVING_BIT;
}

static ERL_NIF_TERM state_of(const struct xe_owned *table)
{
    /* Acquire: pairs with the release stores of all who change it. */
    return atomic_load_explicit(&table->owner, memory_order_acquire);
}

ERL_NIF_TERM xe_owner_pid(const struct xe_owned *table)
{
    ERL_NIF_TERM state = state_of(table);
    if (state == SNAPSHOT)
        return table->maker;
    return state ? state | MOVING_BIT : 0;
}

ERL_NIF_TERM xe_owner_term(ErlNifEnv *env, const struct xe_owned *table)
{
    return enif_make_resource(env, (void *)(uintptr_t)table);
}

ERL_NIF_TERM xe_owner_handle(ErlNifEnv *env, const struct xe_owned *table)
{
    /* Relaxed: a name says nothing about anything else. */
    return table->is.named ? atomic_load_explicit(&table->name, memory_order_relaxed)
                           : xe_owner_term(env, table);
}

static bool lives(ErlNifEnv *env, ERL_NIF_TERM term)
{
    ErlNifPid pid = {.pid = term};
    return enif_is_process_alive(env, &pid);
}

/* --- Transitions -------------------------------------------------------- */

/* One of those who try makes the transition. acq_rel: it comes after what the one before did. */
static bool swap_state(struct xe_owned *table, ERL_NIF_TERM from, ERL_NIF_TERM to)
{
    return atomic_compare_exchange_strong_explicit(&table->owner, &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static bool begin_move(struct xe_owned *table, ERL_NIF_TERM from)
{
    return swap_state(table, from, from & ~(ERL_NIF_TERM)MOVING_BIT);
}

static void end_move(struct xe_owned *table, ERL_NIF_TERM state)
{
    atomic_store_explicit(&table->owner, state, memory_order_release);
}

/* Whether the registry has the table, with a reference. Otherwise only terms refer to it. */
static bool is_registered(const struct xe_owned *table)
{
    return !table->maker && !table->hidden;
}

/* What is left to do for who has made the table DEAD. */
static void bury(struct xe_owned *table)
{
    /* The estate drops a reference in the end. */
    if (is_registered(table))
        xe_registry_remove(table);
    else
        enif_keep_resource(table);
    xe_estate_end(table->estate);
}

bool xe_owner_end(struct xe_owned *table)
{
    ERL_NIF_TERM state = state_of(table);
    if (!is_owned(state) || !swap_state(table, state, 0))
        return false;
    bury(table);
    return true;
}

/* {'ETS-TRANSFER', Table, From, Data}, in an environment of its own. */
static void tell_heir(ErlNifEnv *env, const struct xe_owned *table, const struct xe_heir *heir,
                      ERL_NIF_TERM from)
{
    ErlNifEnv *message = enif_alloc_env();
    if (!message)
        return;
    ERL_NIF_TERM data = heir->env ? enif_make_copy(message, heir->data) : heir->data;
    enif_send(env, &heir->pid, message,
              enif_make_tuple4(message, xe_am.ets_transfer, xe_owner_handle(message, table), from,
                               data));
    enif_free_env(message);
}

/* The owner is dead: completes its exit, unless somebody else does. */
static void complete_exit(ErlNifEnv *env, struct xe_owned *table, ERL_NIF_TERM owner)
{
    while (begin_move(table, owner)) {
        xe_hook(env, "xets_exit_moving");
        struct xe_heir *heir = xe_estate_inherit(env, table->estate, owner);
        end_move(table, heir ? heir->pid.pid : 0);
        xe_hook(env, heir ? "xets_exit_owned" : "xets_exit_dead");
        if (!heir) {
            bury(table);
            break;
        }
        if (heir->told)
            tell_heir(env, table, heir, owner);
        owner = heir->pid.pid;
        xe_heir_drop(heir);
        /* Whoever heard of the heir's end before now may have found the table MOVING. */
        if (xe_estate_watches(table->estate, owner) && lives(env, owner))
            break;
    }
}

enum xe_give xe_owner_give(ErlNifEnv *env, struct xe_use *use, const ErlNifPid *to,
                           ERL_NIF_TERM gift)
{
    struct xe_owned *table = use->table;
    ErlNifPid self;
    enif_self(env, &self);
    xe_hook(env, "xets_give");
    enum xe_give result = xe_estate_give(env, table->estate, to, begin_move, self.pid);
    if (result != XE_GIVEN)
        return result;
    xe_hook(env, "xets_give_moving");
    end_move(table, to->pid);
    xe_hook(env, "xets_give_owned");
    enif_send(env, to, NULL,
              enif_make_tuple4(env, xe_am.ets_transfer, xe_owner_handle(env, table), self.pid,
                               gift));
    /* As in complete_exit(). */
    if (!xe_estate_watches(table->estate, to->pid) || !lives(env, to->pid))
        complete_exit(env, table, to->pid);
    return XE_GIVEN;
}

static void owner_down(ErlNifEnv *env, void *obj, ErlNifPid *pid, ErlNifMonitor *monitor)
{
    struct xe_owned *table = obj;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    ERL_NIF_TERM owner = xe_estate_down(env, table->estate, pid, monitor);
    if (owner)
        complete_exit(env, table, owner);
    xe_epoch_leave(slot);
}

static void owner_destroy(ErlNifEnv *env, void *obj)
{
    struct xe_owned *table = obj;
    (void)env;
    if (!is_registered(table) && state_of(table) != 0)
        xe_estate_collected(table->estate);
    else if (table->estate)
        xe_estate_free(table->estate);
}

/* --- Using a table ------------------------------------------------------ */

static bool may(const struct xe_owned *table, ERL_NIF_TERM self, enum xe_need need)
{
    /* Relaxed: who is told of a change by the one who made it sees it. */
    enum xe_access access = atomic_load_explicit(&table->access, memory_order_relaxed);
    switch (need) {
    case XE_NEED_NOTHING:
        return true;
    case XE_NEED_READ:
        return access != XE_PRIVATE;
    case XE_NEED_END:
        return table->maker ? table->maker == self : access == XE_PUBLIC;
    case XE_NEED_WRITE:
        return access == XE_PUBLIC;
    case XE_NEED_OWNER:
        break;
    }
    return false;
}

/* The state of a table whose owner lives, or that has none: MOVING only if it stays so for long. */
static ERL_NIF_TERM settle(ErlNifEnv *env, struct xe_owned *table)
{
    for (unsigned spins = 0;;) {
        ERL_NIF_TERM state = state_of(table);
        if (XE_LIKELY(is_owned(state))) {
            if (XE_LIKELY(state == SNAPSHOT || lives(env, state)))
                return state;
            complete_exit(env, table, state);
        } else if (state == 0) {
            return state;
        } else if (++spins > MOVING_SPINS) {
            xe_hook_tell(env, "xets_waits");
            return state;
        } else {
            xe_cpu_relax();
        }
    }
}

/* What another process than the owner has to pass. */
static bool check_stranger(ErlNifEnv *env, const struct xe_use *use, ERL_NIF_TERM self,
                           enum xe_need need)
{
    ERL_NIF_TERM state = settle(env, use->table);
    if (XE_LIKELY(is_owned(state)))
        return state == self || may(use->table, self, need);
    if (state != 0)
        enif_raise_exception(env, xe_am.xets_retry);
    return false;
}

bool xe_use_begin(ErlNifEnv *env, ERL_NIF_TERM term, enum xe_need need, struct xe_use *use)
{
    void *obj;
    ErlNifPid self;
    struct xe_owned *table = NULL;
    use->slot = xe_epoch_enter();
    /* Only atoms are in the registry. */
    if (xe_term_is_immediate(term))
        table = xe_registry_find(term);
    else if (enif_get_resource(env, term, identifier_type, &obj))
        table = obj;
    if (XE_LIKELY(table != NULL)) {
        use->table = table;
        enif_self(env, &self);
        if (XE_LIKELY(state_of(table) == self.pid) || check_stranger(env, use, self.pid, need))
            return true;
    }
    xe_epoch_leave(use->slot);
    return false;
}

enum xe_begin xe_use_again(ErlNifEnv *env, ERL_NIF_TERM identifier, enum xe_need need,
                           struct xe_use *use)
{
    void *obj;
    ErlNifPid self;
    ERL_NIF_TERM state = 0;
    use->slot = xe_epoch_enter();
    if (XE_LIKELY(enif_get_resource(env, identifier, identifier_type, &obj))) {
        use->table = obj;
        enif_self(env, &self);
        state = state_of(use->table);
        if (XE_LIKELY(state == self.pid))
            return XE_BEGUN;
        state = settle(env, use->table);
        if (is_owned(state) && (state == self.pid || may(use->table, self.pid, need)))
            return XE_BEGUN;
    }
    xe_epoch_leave(use->slot);
    return state == 0 || is_owned(state) ? XE_BEGIN_REFUSED : XE_BEGIN_MOVING;
}

enum xe_life xe_owner_life(ErlNifEnv *env, struct xe_owned *table)
{
    ERL_NIF_TERM state = settle(env, table);
    return state == 0 ? XE_IS_DEAD : is_owned(state) ? XE_LIVES : XE_IS_MOVING;
}

bool xe_owner_is_identifier(ErlNifEnv *env, ERL_NIF_TERM term)
{
    void *obj;
    return enif_get_resource(env, term, identifier_type, &obj);
}

/* --- The beginning of a table, and its name ----------------------------- */

static uint64_t random_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
        return seed;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ((uint64_t)ts.tv_nsec << 32 | (uint64_t)(uintptr_t)&seed >> 4) * 0x9e3779b97f4a7c15ull;
}

/* Makes a name free whose table has lost its owner. False: that cannot be said yet. */
static bool settle_name(ErlNifEnv *env, ERL_NIF_TERM name)
{
    struct xe_owned *table = xe_registry_find(name);
    return !table || xe_owner_life(env, table) != XE_IS_MOVING;
}

static enum xe_create create_of_naming(enum xe_naming naming)
{
    switch (naming) {
    case XE_NAMED:
        return XE_CREATED;
    case XE_NAME_NOMEM:
        return XE_CREATE_NOMEM;
    default:
        return XE_CREATE_EXISTS;
    }
}

bool xe_owner_get_kind(ERL_NIF_TERM type, enum xe_kind *out)
{
    const ERL_NIF_TERM types[] = {[XE_SET] = xe_am.set,
                                  [XE_BAG] = xe_am.bag,
                                  [XE_DUPLICATE_BAG] = xe_am.duplicate_bag,
                                  [XE_ORDERED] = xe_am.ordered_set};
    for (unsigned kind = 0; kind < sizeof types / sizeof types[0]; kind++)
        if (types[kind] == type) {
            *out = (enum xe_kind)kind;
            return true;
        }
    return false;
}

/* The resource of a table, but for the core's table. */
static struct xe_owned *owned_alloc(const struct xe_settings *settings, enum xe_kind kind)
{
    struct xe_owned *table = enif_alloc_resource(identifier_type, sizeof *table);
    if (!table)
        return NULL;
    atomic_init(&table->owner, 0);
    table->maker = 0;
    table->core = NULL;
    table->place = 0;
    table->keypos = settings->keypos;
    table->kind = kind;
    table->compressed = settings->compressed;
    table->hidden = false;
    atomic_init(&table->access, (uint8_t)settings->access);
    atomic_init(&table->name, settings->name);
    table->is = *settings;
    table->estate = xe_estate_new(table);
    if (!table->estate) {
        enif_release_resource(table);
        return NULL;
    }
    return table;
}

/* A table that nobody can reach yet. The reference that enif_alloc_resource() gives is the
 * registry's; the reclaimer drops it in the end (estate.c). */
static struct xe_owned *owned_new(const struct xe_settings *settings)
{
    struct xe_table_config config = {
        .seed = settings->seed ? settings->seed : random_seed(),
        .hot = settings->write_concurrency != xe_am.no,
    };
    if (!xe_owner_get_kind(settings->type, &config.kind))
        return NULL;
    struct xe_owned *table = owned_alloc(settings, config.kind);
    if (!table)
        return NULL;
    table->core = xe_table_new(&config);
    if (!table->core) {
        enif_release_resource(table);
        return NULL;
    }
    table->seed = config.seed;
    return table;
}

/* Lets others see a table of the calling process. */
static enum xe_create publish(ErlNifEnv *env, struct xe_epoch_slot *slot, struct xe_owned *table,
                              const ErlNifPid *self)
{
    /* A process that is being killed cannot be monitored any more; nobody sees what it gets. */
    if (!xe_estate_watch(env, table->estate, self))
        return XE_CREATE_EXISTS;
    if (!table->is.named)
        return XE_CREATED;
    if (!settle_name(env, table->is.name))
        return XE_CREATE_RETRY;
    return create_of_naming(xe_registry_name(slot, table));
}

enum xe_create xe_owner_create(ErlNifEnv *env, const struct xe_settings *settings,
                               struct xe_heir *heir, ERL_NIF_TERM *out)
{
    ErlNifPid self;
    struct xe_owned *table = owned_new(settings);
    if (!table || !xe_registry_add(table)) {
        if (heir)
            xe_heir_drop(heir);
        if (table) {
            xe_table_delete(table->core);
            enif_release_resource(table);
        }
        return XE_CREATE_NOMEM;
    }
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enif_self(env, &self);
    if (heir)
        xe_estate_set_heir(env, table->estate, heir);
    /* Release: the table is complete. Pairs with state_of(). */
    end_move(table, self.pid);
    enum xe_create result = publish(env, slot, table, &self);
    *out = xe_owner_handle(env, table);
    if (result != XE_CREATED)
        xe_owner_end(table);
    xe_epoch_leave(slot);
    return result;
}

enum xe_create xe_owner_prepare(ErlNifEnv *env, const struct xe_settings *settings,
                                ERL_NIF_TERM *out)
{
    ErlNifPid self;
    struct xe_owned *table = owned_new(settings);
    if (!table)
        return XE_CREATE_NOMEM;
    table->hidden = true;
    /* Release: the table is complete. Pairs with state_of(). */
    end_move(table, enif_self(env, &self)->pid);
    *out = xe_owner_term(env, table);
    enif_release_resource(table);
    return XE_CREATED;
}

enum xe_create xe_owner_show(ErlNifEnv *env, struct xe_use *use, struct xe_heir *heir,
                             ERL_NIF_TERM *out)
{
    ErlNifPid self;
    struct xe_owned *table = use->table;
    if (!xe_registry_add(table)) {
        if (heir)
            xe_heir_drop(heir);
        return XE_CREATE_NOMEM;
    }
    /* The registry's reference. */
    enif_keep_resource(table);
    table->hidden = false;
    xe_durable_shown(table);
    enif_self(env, &self);
    if (heir)
        xe_estate_set_heir(env, table->estate, heir);
    enum xe_create result = publish(env, use->slot, table, &self);
    *out = xe_owner_handle(env, table);
    if (result != XE_CREATED)
        xe_owner_end(table);
    return result;
}

enum xe_status xe_owner_snapshot(ErlNifEnv *env, struct xe_use *use, bool patient,
                                 ERL_NIF_TERM *out)
{
    return xe_owner_snapshot_at(env, use, patient, NULL, NULL, out);
}

enum xe_status xe_owner_snapshot_at(ErlNifEnv *env, struct xe_use *use, bool patient,
                                    void (*instant)(void *arg), void *arg, ERL_NIF_TERM *out)
{
    const struct xe_owned *of = use->table;
    ErlNifPid self;
    struct xe_settings settings = of->is;
    settings.name = atomic_load_explicit(&of->name, memory_order_relaxed);
    settings.named = false;
    settings.access = XE_PROTECTED;
    struct xe_owned *table = owned_alloc(&settings, of->kind);
    if (!table)
        return XE_NOMEM;
    table->seed = of->seed;
    enum xe_status status = xe_table_snapshot_at(of->core, use->slot, patient, instant, arg, &table->core);
    if (status == XE_OK) {
        table->maker = enif_self(env, &self)->pid;
        /* Release: the snapshot is complete. Pairs with state_of(). */
        end_move(table, SNAPSHOT);
        *out = xe_owner_term(env, table);
    }
    /* From here on only terms refer to it. */
    enif_release_resource(table);
    return status;
}

enum xe_create xe_owner_rename(ErlNifEnv *env, struct xe_use *use, ERL_NIF_TERM name)
{
    if (use->table->is.named && !settle_name(env, name))
        return XE_CREATE_RETRY;
    return create_of_naming(xe_registry_rename(env, use->slot, use->table, name));
}

/* --- Loading ------------------------------------------------------------ */

bool xe_owner_open(ErlNifEnv *env, ErlNifResourceFlags flags)
{
    ErlNifResourceTypeInit init = {.dtor = owner_destroy, .down = owner_down};
    identifier_type = enif_open_resource_type_x(env, "xets_table", &init, flags, NULL);
    return identifier_type && xe_registry_open();
}

void *xe_owner_registry(void)
{
    return xe_registry_domain();
}

bool xe_owner_adopt(void *from)
{
    return xe_registry_adopt(from);
}
