/*
 * calls_bag.c - what calls that look for a key do in a bag, where several objects have it.
 *
 * The objects of a key are read or removed at one instant, and decoded afterwards, inside the
 * same section: what was removed stays readable until it is left. A section that decodes a large
 * group holds back the reuse of memory for as long.
 */
#include "call.h"

/* Of a normal scheduler; on a dirty one there is no limit. */
static uint32_t most_objects(uint64_t budget)
{
    return budget == XE_TERM_NO_BUDGET ? UINT32_MAX : XE_CALL_INLINE_MAX;
}

/* Whether decoding the run takes no more words than the budget. A few records inside of images do
 * not: a byte of them is at most three words. */
static bool is_within(void *arg, const struct xe_run *run)
{
    enum { FEW = XE_TERM_BUDGET_WORDS / (3 * XE_RECORD_INLINE_MAX) };
    uint64_t left = *(const uint64_t *)arg;
    for (uint32_t i = 0; left != XE_TERM_NO_BUDGET && i < run->n; i++) {
        struct xe_view view;
        if (run->n <= FEW && !(xe_load32(run->at[i].rec) & XE_REC_BLOB))
            continue;
        xe_record_view(run->at[i].rec, &view);
        uint64_t words = xe_term_object_words(&view);
        if (words > left)
            return false;
        left -= words;
    }
    return true;
}

/* The object of a record. */
static inline enum xe_result decode(ErlNifEnv *env, const uint8_t *rec, int keypos,
                                    ERL_NIF_TERM key, ERL_NIF_TERM *out)
{
    const uint8_t *body = xe_call_flat_body(rec);
    if (XE_LIKELY(body && key)) {
        ERL_NIF_TERM elements[XE_TERM_FLAT_ARITY_MAX];
        unsigned arity = xe_term_unpack_flat(body, keypos, key, elements);
        *out = enif_make_tuple_from_array(env, elements, arity);
        return XE_CALL_OK;
    }
    struct xe_view view;
    xe_record_view(rec, &view);
    return xe_call_decode(env, &view, keypos, key, NULL, XE_TERM_NO_BUDGET, out);
}

/* From the last one to the first, so that the list needs no reversing. */
static enum xe_result list_run(ErlNifEnv *env, const struct xe_run *run, int keypos,
                               ERL_NIF_TERM term, xe_view_fn fn, const void *arg,
                               ERL_NIF_TERM *out)
{
    ERL_NIF_TERM list = xe_call_nil, made;
    for (uint32_t i = run->n; i-- > 0;) {
        struct xe_view view;
        enum xe_result result;
        if (!fn) {
            result = decode(env, run->at[i].rec, keypos, term, &made);
        } else {
            xe_record_view(run->at[i].rec, &view);
            result = fn(env, &view, keypos, term, arg, XE_TERM_NO_BUDGET, &made);
        }
        if (result != XE_CALL_OK)
            return result;
        list = enif_make_list_cell(env, made, list);
    }
    *out = list;
    return XE_CALL_OK;
}

/* What a status means for a call on a run. */
static enum xe_result of_run(enum xe_status status, uint64_t budget)
{
    if (status == XE_LIMIT && budget != XE_TERM_NO_BUDGET)
        return XE_CALL_BUDGET;
    return status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(status);
}

enum xe_result xe_call_bag_list(ErlNifEnv *env, struct xe_use *use, const struct xe_key *key,
                                ERL_NIF_TERM term, xe_view_fn fn, const void *arg,
                                uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_run run;
    xe_run_begin(&run);
    enum xe_status status = xe_bag_find(use->table->core, use->slot, key, most_objects(budget),
                                        xe_call_is_patient(budget), &run);
    if (status == XE_OK && !is_within(&budget, &run))
        status = XE_LIMIT;
    enum xe_result result = of_run(status, budget);
    *out = xe_call_nil;
    if (status == XE_OK)
        result = list_run(env, &run, use->table->keypos, term, fn, arg, out);
    xe_run_end(&run);
    return result;
}

enum xe_result xe_call_bag_take(ErlNifEnv *env, struct xe_use *use, const struct xe_key *key,
                                ERL_NIF_TERM term, uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_run run;
    xe_run_begin(&run);
    enum xe_status status =
        xe_bag_take(use->table->core, use->slot, key, most_objects(budget), is_within, &budget,
                    xe_call_is_patient(budget), &run);
    enum xe_result result = of_run(status, budget);
    *out = xe_call_nil;
    if (status == XE_OK)
        result = list_run(env, &run, use->table->keypos, term, NULL, NULL, out);
    xe_run_end(&run);
    return result;
}

enum xe_result xe_call_bag_delete(struct xe_use *use, const struct xe_key *key, uint64_t budget)
{
    enum xe_status status = xe_bag_take(use->table->core, use->slot, key, most_objects(budget),
                                        NULL, NULL, xe_call_is_patient(budget), NULL);
    return of_run(status, budget);
}
