/*
 * call_key.c - see call_key.h.
 */
#include "call_key.h"

#include "term_internal.h"

bool xe_call_is_light(struct xe_encoder *e)
{
    uint64_t words, pinned;
    e->budget = e->words + XE_CALL_SECTION_WORDS;
    return xe_key_weigh(e, e->handles[0], &words, &pinned) &&
           pinned / 8 <= XE_CALL_SECTION_WORDS;
}

/* The section must not stay open so long: the key is encoded outside, for a table of this kind. */
enum xe_result xe_call_open_again(ErlNifEnv *env, ERL_NIF_TERM table, enum xe_need need,
                                  ERL_NIF_TERM term, uint64_t budget, struct xe_use *use,
                                  struct xe_encoder *e)
{
    enum xe_kind kind = use->table->kind;
    xe_use_end(use);
    enum xe_result result = xe_call_encode_key(e, env, kind, term, budget, false);
    if (result != XE_CALL_OK)
        return result;
    if (!xe_use_begin(env, table, need, use)) {
        result = XE_CALL_BADARG;
    } else if (use->table->kind != kind) {
        /* Another table has the name by now: the call starts over. */
        xe_use_end(use);
        result = XE_CALL_RETRY;
    }
    if (result != XE_CALL_OK)
        xe_call_key_end(e, kind, term);
    return result;
}
