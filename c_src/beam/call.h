/*
 * call.h - what every call of the NIF has in common.
 *
 * A call is a function of its arguments and a budget of words. XE_CALL(name, arity) makes
 * the two NIFs of it: `name_nif` for normal schedulers, and the one it goes on with on a
 * dirty CPU scheduler, from the start, when it answers XE_CALL_BUDGET. Nothing has changed then.
 */
#ifndef XE_CALL_H
#define XE_CALL_H

#include <erl_nif.h>

#include "../core/table.h"
#include "atoms.h"
#include "owner.h"
#include "term.h"

enum xe_result {
    XE_CALL_OK,
    XE_CALL_BADARG,
    XE_CALL_RETRY,  /* raise xets_retry: src/xets.erl yields and calls again */
    XE_CALL_LIMIT,  /* raise system_limit */
    XE_CALL_BUDGET, /* too much for a normal scheduler */
};

/* Tries of a read-modify-write without a lock before the process yields. */
enum { XE_CALL_TRIES = 16 };

/* Objects or keys that one call handles on a normal scheduler. */
enum { XE_CALL_INLINE_MAX = 2000 };

/* [] */
extern ERL_NIF_TERM xe_call_nil;

ERL_NIF_TERM xe_call_raise(ErlNifEnv *env, enum xe_result result);

/* How a call ends that changes nothing. */
static inline ERL_NIF_TERM xe_call_answer_read(ErlNifEnv *env, enum xe_result result,
                                               const ERL_NIF_TERM *out)
{
    return XE_LIKELY(result == XE_CALL_OK) ? *out : xe_call_raise(env, result);
}

/* Whether what has been changed by the call under way is to be waited for. */
static inline bool xe_call_owes(void)
{
    const struct xe_epoch_slot *slot = xe_epoch_self;
    return slot && slot->owed;
}

/* How a call ends that may have changed a durable table, and so owes its caller to wait
 * (durable.h). */
ERL_NIF_TERM xe_call_answer_owing(ErlNifEnv *env, enum xe_result result, const ERL_NIF_TERM *out);
static inline ERL_NIF_TERM xe_call_answer(ErlNifEnv *env, enum xe_result result,
                                          const ERL_NIF_TERM *out)
{
    if (XE_UNLIKELY(xe_call_owes()))
        return xe_call_answer_owing(env, result, out);
    return xe_call_answer_read(env, result, out);
}

/* The same of a call that does a part of what it is asked for, and has a result already that may be
 * an exception: what a part has changed that failed nobody waits for. */
ERL_NIF_TERM xe_call_answer_part(ErlNifEnv *env, ERL_NIF_TERM result);

/* The native functions of a call, on normal schedulers and, where it takes more than their budget,
 * on dirty ones. */
#define XE_CALL_ANSWERED(name, arity, answer)                                                     \
    static ERL_NIF_TERM name##_dirty(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])         \
    {                                                                                             \
        ERL_NIF_TERM out;                                                                         \
        (void)argc;                                                                               \
        enum xe_result result = name(env, argv, XE_TERM_NO_BUDGET, &out);                         \
        return answer(env, result, &out);                                                         \
    }                                                                                             \
    ERL_NIF_TERM name##_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])                  \
    {                                                                                             \
        ERL_NIF_TERM out;                                                                         \
        (void)argc;                                                                               \
        enum xe_result result = name(env, argv, XE_TERM_BUDGET_WORDS, &out);                      \
        if (XE_UNLIKELY(result == XE_CALL_BUDGET))                                                \
            return enif_schedule_nif(env, #name, ERL_NIF_DIRTY_JOB_CPU_BOUND, name##_dirty,       \
                                     arity, argv);                                                \
        return answer(env, result, &out);                                                         \
    }
#define XE_CALL(name, arity) XE_CALL_ANSWERED(name, arity, xe_call_answer_read)
/* The same for calls that change tables. */
#define XE_CALL_WRITE(name, arity) XE_CALL_ANSWERED(name, arity, xe_call_answer)

static inline enum xe_result xe_call_of_term(enum xe_term_status status)
{
    return XE_LIKELY(status == XE_TERM_OK) ? XE_CALL_OK
           : status == XE_TERM_BUDGET      ? XE_CALL_BUDGET
                                           : XE_CALL_LIMIT;
}

/* What a core status that is none of the expected ones means for the call. */
static inline enum xe_result xe_call_of_core(enum xe_status status)
{
    switch (status) {
    case XE_OK:
        return XE_CALL_OK;
    case XE_RETRY:
        return XE_CALL_RETRY;
    case XE_NOMEM:
    case XE_LIMIT:
        return XE_CALL_LIMIT;
    case XE_LARGE:
        return XE_CALL_BUDGET;
    default:
        return XE_CALL_BADARG;
    }
}

static inline enum xe_result xe_call_of_create(enum xe_create created)
{
    switch (created) {
    case XE_CREATED:
        return XE_CALL_OK;
    case XE_CREATE_EXISTS:
        return XE_CALL_BADARG;
    case XE_CREATE_RETRY:
        return XE_CALL_RETRY;
    case XE_CREATE_NOMEM:
        break;
    }
    return XE_CALL_LIMIT;
}

/*
 * Opens the use of a table of which a call tells something that any process may ask. False: the
 * call ends with *result, and the answer is `undefined` where the term may name a table, but
 * none is there.
 */
static inline bool xe_call_ask(ErlNifEnv *env, ERL_NIF_TERM term, struct xe_use *use,
                               enum xe_result *result, ERL_NIF_TERM *out)
{
    bool may_name = enif_is_atom(env, term) || xe_owner_is_identifier(env, term);
    *result = may_name ? XE_CALL_OK : XE_CALL_BADARG;
    *out = xe_am.undefined;
    return may_name && xe_use_begin(env, term, XE_NEED_NOTHING, use);
}

static inline ERL_NIF_TERM xe_call_bool(bool b)
{
    return b ? xe_am.yes : xe_am.no;
}

/* What of a table says how its objects are encoded. */
struct xe_form {
    int keypos;
    enum xe_kind kind;
    bool compressed;
};

static inline struct xe_form xe_call_form(const struct xe_owned *t)
{
    return (struct xe_form){.keypos = t->keypos, .kind = t->kind, .compressed = t->compressed};
}

static inline bool xe_form_is(const struct xe_form *form, const struct xe_owned *t)
{
    return form->keypos == t->keypos && form->kind == t->kind && form->compressed == t->compressed;
}

/* An encoder for objects. */
static inline void xe_call_encoder(struct xe_encoder *e, ErlNifEnv *env, const struct xe_form *form,
                                   uint64_t budget)
{
    xe_encoder_init(e, env, budget);
    e->identify = xe_kind_is_bag(form->kind);
    e->compress = form->compressed;
    e->ordered = form->kind == XE_ORDERED;
}

/* Whether a call may wait for locks. */
static inline bool xe_call_is_patient(uint64_t budget)
{
    return budget == XE_TERM_NO_BUDGET;
}

/* The length of a proper list; XE_CALL_BUDGET past XE_CALL_INLINE_MAX, XE_CALL_BADARG if
 * improper. */
enum xe_result xe_call_list_length(ErlNifEnv *env, ERL_NIF_TERM list, uint64_t budget,
                                   unsigned *n);

/* What is done with a view: its result is the call's. */
typedef enum xe_result (*xe_view_fn)(ErlNifEnv *env, const struct xe_view *view, int keypos,
                                     ERL_NIF_TERM key, const void *arg, uint64_t budget,
                                     ERL_NIF_TERM *out);

/* The object of a view. */
enum xe_result xe_call_decode(ErlNifEnv *env, const struct xe_view *view, int keypos,
                              ERL_NIF_TERM key, const void *arg, uint64_t budget,
                              ERL_NIF_TERM *out);

/* The body of a record that has neither handles nor a blob, nor anything that restores its key;
 * else NULL. */
static inline const uint8_t *xe_call_plain_body(const uint8_t *rec)
{
    uint32_t header = xe_load32(rec);
    return header & (XE_REC_BLOB | XE_REC_EXT | XE_REC_RESTORE)
               ? NULL
               : rec + XE_HDR_BYTES + xe_record_klen(header);
}

/* The same, if it is flat. */
static inline const uint8_t *xe_call_flat_body(const uint8_t *rec)
{
    const uint8_t *body = xe_call_plain_body(rec);
    return body && (body[0] & XE_TERM_BODY_FLAT) ? body : NULL;
}

/* lookup/2, for calls that are made of it. */
enum xe_result xe_call_lookup(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                              ERL_NIF_TERM *out);

/*
 * Bags (calls_bag.c). `key` is the core's key of the term `term`, which `e` encodes. The section
 * is open, and stays so.
 */
/* The list of what `fn` (NULL: decoding them) makes of each object of the key, in the order of
 * insertion. */
enum xe_result xe_call_bag_list(ErlNifEnv *env, struct xe_use *use, const struct xe_key *key,
                                ERL_NIF_TERM term, xe_view_fn fn, const void *arg,
                                uint64_t budget, ERL_NIF_TERM *out);
/* The same for the objects themselves, which are removed. */
enum xe_result xe_call_bag_take(ErlNifEnv *env, struct xe_use *use, const struct xe_key *key,
                                ERL_NIF_TERM term, uint64_t budget, ERL_NIF_TERM *out);
/* Removes them. */
enum xe_result xe_call_bag_delete(struct xe_use *use, const struct xe_key *key, uint64_t budget);

/* Removes the object that is equal (=:=) to a term. *removed: how many they were. The section is
 * open, and stays so. */
enum xe_result xe_call_remove_object(ErlNifEnv *env, struct xe_use *use, ERL_NIF_TERM object,
                                     uint64_t budget, uint32_t *removed);

/* XE_CALL_BUDGET if copying a term takes too long for a normal scheduler. */
enum xe_result xe_call_gauge(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t budget);

/* A heir, as src/xets_options.erl gives it: none, or {Pid, Told, Data}. *out is NULL for none. */
enum xe_result xe_call_get_heir(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t budget,
                                struct xe_heir **out);
/* public, protected or private. */
bool xe_call_get_access(ERL_NIF_TERM term, enum xe_access *out);

/* The NIFs, by the file they are in. */
#define XE_CALLS_TABLES(X)                                                                        \
    X(new, 2)                                                                                     \
    X(delete_table, 1)                                                                            \
    X(info_all, 0)                                                                                \
    X(info, 1)                                                                                    \
    X(size, 1)                                                                                    \
    X(stats, 1)                                                                                   \
    X(whereis, 1)                                                                                 \
    X(snapshot, 1)                                                                                \
    X(delete_all_objects, 1)                                                                      \
    X(delete_count_all, 1)
#define XE_CALLS_OWNER(X)                                                                         \
    X(all, 0)                                                                                     \
    X(give_away, 3)                                                                               \
    X(setopts, 3)                                                                                 \
    X(rename_table, 2)                                                                            \
    X(safe_fixtable, 2)                                                                           \
    X(fixed, 1)                                                                                   \
    X(fixers, 1)
#define XE_CALLS_READ(X)                                                                          \
    X(lookup, 2)                                                                                  \
    X(lookup_element, 3)                                                                          \
    X(lookup_element_default, 4)                                                                  \
    X(lookup_elements, 3)                                                                         \
    X(lookup_many, 2)                                                                             \
    X(member, 2)
#define XE_CALLS_TRAVERSE(X)                                                                      \
    X(first, 1)                                                                                   \
    X(first_lookup, 1)                                                                            \
    X(last, 1)                                                                                    \
    X(last_lookup, 1)                                                                             \
    X(next, 2)                                                                                    \
    X(next_lookup, 2)                                                                             \
    X(prev, 2)                                                                                    \
    X(prev_lookup, 2)                                                                             \
    X(slot, 2)                                                                                    \
    X(tab2list, 1)
#define XE_CALLS_WRITE(X)                                                                         \
    X(insert, 2)                                                                                  \
    X(insert_new, 2)                                                                              \
    X(replace, 3)                                                                                 \
    X(put_new, 2)                                                                                 \
    X(delete, 2)                                                                                  \
    X(delete_many, 2)                                                                             \
    X(delete_object, 2)                                                                           \
    X(take, 2)                                                                                    \
    X(take_many, 2)
#define XE_CALLS_UPDATE(X)                                                                        \
    X(update_counter, 3)                                                                          \
    X(update_counter_default, 4)                                                                  \
    X(update_element, 3)                                                                          \
    X(update_element_default, 4)
#define XE_CALLS_ORDER(X)                                                                         \
    X(range, 5)                                                                                   \
    X(prefix, 5)                                                                                  \
    X(count, 4)                                                                                   \
    X(nth, 2)                                                                                     \
    X(rank, 2)                                                                                    \
    X(take_first, 1)                                                                              \
    X(take_last, 1)
#define XE_CALLS_MATCH(X)                                                                         \
    X(scan, 5)                                                                                    \
    X(update, 3)                                                                                  \
    X(candidates, 5)                                                                              \
    X(remove_object_count, 2)                                                                     \
    X(group, 2)                                                                                   \
    X(replace_in_group, 4)                                                                        \
    X(objects, 3)                                                                                 \
    X(unchanged, 2)
#define XE_CALLS_EXPLAIN(X) X(explain, 2)
#define XE_CALLS_FILE_SEED(X) X(file_seed, 1)
#define XE_CALLS_DURABLE(X)                                                                       \
    X(durable_prepare, 2)                                                                         \
    X(durable_show, 2)                                                                            \
    X(durable_log, 1)                                                                             \
    X(durable_log_to_read, 1)                                                                     \
    X(durable_wait, 3)                                                                            \
    X(durable_await_room, 3)                                                                      \
    X(durable_seed, 0)                                                                            \
    X(durable_info, 1)                                                                            \
    X(durable_library, 0)
/* On dirty schedulers for input and output. */
#define XE_CALLS_DURABLE_IO(X)                                                                    \
    X(durable_open, 4)                                                                            \
    X(durable_replay, 2)                                                                          \
    X(durable_attach, 2)                                                                          \
    X(durable_close, 1)                                                                           \
    X(durable_lost, 1)                                                                            \
    X(durable_verify_open, 1)                                                                     \
    X(durable_verify, 1)                                                                          \
    X(durable_destroy, 1)                                                                         \
    X(durable_flush, 0)                                                                           \
    X(durable_holder, 2)                                                                          \
    X(checkpoint_begin, 2)                                                                        \
    X(checkpoint_write, 2)
#define XE_CALLS_FILE(X)                                                                          \
    X(file_write, 3)                                                                              \
    X(file_dump, 2)                                                                               \
    X(file_finish, 1)                                                                             \
    X(file_abort, 1)                                                                              \
    X(file_read, 1)                                                                               \
    X(file_load, 3)                                                                               \
    X(file_close, 1)

#define XE_CALL_DECLARE(name, arity)                                                              \
    ERL_NIF_TERM name##_nif(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);
XE_CALLS_TABLES(XE_CALL_DECLARE)
XE_CALLS_OWNER(XE_CALL_DECLARE)
XE_CALLS_READ(XE_CALL_DECLARE)
XE_CALLS_TRAVERSE(XE_CALL_DECLARE)
XE_CALLS_WRITE(XE_CALL_DECLARE)
XE_CALLS_UPDATE(XE_CALL_DECLARE)
XE_CALLS_ORDER(XE_CALL_DECLARE)
XE_CALLS_MATCH(XE_CALL_DECLARE)
XE_CALLS_EXPLAIN(XE_CALL_DECLARE)
XE_CALLS_FILE_SEED(XE_CALL_DECLARE)
XE_CALLS_FILE(XE_CALL_DECLARE)
XE_CALLS_DURABLE(XE_CALL_DECLARE)
XE_CALLS_DURABLE_IO(XE_CALL_DECLARE)
#undef XE_CALL_DECLARE

#endif
