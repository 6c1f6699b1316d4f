/*
 * scan.c - see scan.h.
 */
#include "scan.h"

#include <sched.h>

#include "call_key.h"
#include "match.h"

enum xe_result xe_scan_persist(ErlNifEnv *env, uint64_t budget, enum xe_result result)
{
    if (!xe_call_is_patient(budget))
        return result;
    if (!enif_is_current_process_alive(env))
        return XE_CALL_BADARG;
    if (result != XE_CALL_RETRY)
        return result;
    sched_yield();
    return XE_CALL_OK;
}

/* --- What is kept ------------------------------------------------------- */

static bool kept_reserve(struct xe_kept *k, size_t more)
{
    size_t need = k->n + more;
    if (XE_LIKELY(need <= k->cap))
        return true;
    size_t cap = need + need / 2;
    bool was_small = k->at == k->small;
    ERL_NIF_TERM *at = was_small ? enif_alloc(cap * sizeof *at)
                                 : enif_realloc(k->at, cap * sizeof *at);
    if (!at)
        return false;
    if (was_small)
        memcpy(at, k->small, k->n * sizeof *at);
    k->at = at;
    k->cap = cap;
    return true;
}

ERL_NIF_TERM xe_scan_list(const struct xe_scan *s, size_t from, size_t to)
{
    return enif_make_list_from_array(s->env, s->kept.at + from, (unsigned)(to - from));
}

/* --- Beginning and ending ----------------------------------------------- */

enum xe_result xe_scan_begin(struct xe_scan *s, ErlNifEnv *env, ERL_NIF_TERM table,
                             enum xe_need need, ERL_NIF_TERM spec, bool reverse, uint64_t budget)
{
    struct xe_use use;
    if (!xe_use_begin(env, table, need, &use))
        return XE_CALL_BADARG;
    s->form = xe_call_form(use.table);
    s->table = enif_is_atom(env, table) ? xe_owner_term(env, use.table) : table;
    xe_use_end(&use);
    s->env = env;
    s->need = need;
    s->budget = budget;
    s->reverse = reverse && s->form.kind == XE_ORDERED;
    s->counted = s->marked = s->whole = s->weighed = s->is_done = false;
    s->glance = NULL;
    s->room = UINT64_MAX;
    s->looked = s->hash = s->chunk_hash = 0;
    s->point = 0;
    s->key = 0;
    s->kept.at = s->kept.small;
    s->kept.n = 0;
    s->kept.cap = XE_SCAN_KEPT_SMALL;
    s->held = NULL;
    s->n_held = s->cap_held = 0;
    s->is_planned = spec;
    s->plan.kind = XE_PLAN_SCAN;
    enum xe_result result =
        spec ? xe_plan_make(env, spec, &s->form, budget, &s->plan) : XE_CALL_OK;
    XE_ASSERT(result != XE_CALL_OK || s->plan.kind != XE_PLAN_POINTS || s->plan.n_points > 0);
    return result;
}

void xe_scan_end(struct xe_scan *s)
{
    if (s->is_planned)
        xe_plan_clear(&s->plan);
    if (s->kept.at != s->kept.small)
        enif_free(s->kept.at);
    if (s->held)
        enif_free(s->held);
}

enum xe_result xe_scan_use(const struct xe_scan *s, struct xe_use *use)
{
    switch (xe_use_again(s->env, s->table, s->need, use)) {
    case XE_BEGUN:
        return XE_CALL_OK;
    case XE_BEGIN_MOVING:
        return XE_CALL_RETRY;
    case XE_BEGIN_REFUSED:
        break;
    }
    return XE_CALL_BADARG;
}

/* --- Positions ---------------------------------------------------------- */

ERL_NIF_TERM xe_scan_position(const struct xe_scan *s)
{
    bool points = s->plan.kind == XE_PLAN_POINTS;
    if (s->is_done)
        return points ? xe_am.last : xe_am.done;
    if (points)
        return enif_make_tuple2(s->env, xe_am.point, enif_make_uint(s->env, s->point));
    if (s->form.kind != XE_ORDERED)
        return enif_make_tuple2(s->env, xe_am.hash, enif_make_uint64(s->env, s->hash));
    return s->key ? enif_make_tuple2(s->env, xe_am.key, s->key) : xe_am.start;
}

enum xe_result xe_scan_go_to(struct xe_scan *s, ERL_NIF_TERM position)
{
    const ERL_NIF_TERM *parts;
    int arity;
    ErlNifUInt64 hash;
    bool points = s->plan.kind == XE_PLAN_POINTS;
    if (position == xe_am.start)
        return XE_CALL_OK;
    if (position == xe_am.done || position == xe_am.last) {
        s->is_done = true;
        return XE_CALL_OK;
    }
    if (!enif_get_tuple(s->env, position, &arity, &parts) || arity != 2)
        return XE_CALL_BADARG;
    if (points && parts[0] == xe_am.point)
        return enif_get_uint(s->env, parts[1], &s->point) && s->point < s->plan.n_points
                   ? XE_CALL_OK
                   : XE_CALL_BADARG;
    if (!points && s->form.kind != XE_ORDERED && parts[0] == xe_am.hash) {
        bool is_hash = enif_get_uint64(s->env, parts[1], &hash);
        s->hash = is_hash ? hash : 0;
        return is_hash ? XE_CALL_OK : XE_CALL_BADARG;
    }
    if (points || s->form.kind != XE_ORDERED || parts[0] != xe_am.key)
        return XE_CALL_BADARG;
    s->key = parts[1];
    return XE_CALL_OK;
}

/* --- How much it is ----------------------------------------------------- */

static enum xe_result weigh_range(struct xe_scan *s)
{
    struct xe_use use;
    uint64_t n = 0;
    enum xe_result result = xe_scan_use(s, &use);
    if (result != XE_CALL_OK)
        return result;
    result = xe_call_of_core(xe_order_count(use.table->core, &s->plan.range, &n));
    xe_use_end(&use);
    return result == XE_CALL_OK && n > XE_CALL_INLINE_MAX ? XE_CALL_BUDGET : result;
}

static enum xe_result weigh_all(struct xe_scan *s)
{
    enum { SEGMENTS_INLINE = 2 };
    struct xe_use use;
    enum xe_result result = xe_scan_use(s, &use);
    if (result != XE_CALL_OK)
        return result;
    uint64_t n = xe_table_segments(use.table->core);
    xe_use_end(&use);
    return n > SEGMENTS_INLINE ? XE_CALL_BUDGET : XE_CALL_OK;
}

/* XE_CALL_BUDGET if the rest of the scan is too much for a normal scheduler. */
static enum xe_result weigh(struct xe_scan *s)
{
    s->weighed = true;
    switch (s->plan.kind) {
    case XE_PLAN_NOTHING:
        break;
    case XE_PLAN_POINTS:
        return s->plan.n_points > XE_CALL_INLINE_MAX ? XE_CALL_BUDGET : XE_CALL_OK;
    case XE_PLAN_RANGE:
        return weigh_range(s);
    case XE_PLAN_SCAN:
        return weigh_all(s);
    }
    return XE_CALL_OK;
}

/* Whether it is too much by now. To weigh a range takes as long as to look at a few objects. So
 * that is done when the first ones have been seen; but before one of them is changed. */
static enum xe_result check_weight(struct xe_scan *s)
{
    if (xe_call_is_patient(s->budget))
        return XE_CALL_OK;
    if (s->looked > XE_CALL_INLINE_MAX)
        return XE_CALL_BUDGET;
    bool early = s->plan.kind != XE_PLAN_RANGE || s->need == XE_NEED_WRITE;
    return s->whole && !s->weighed && (early || s->looked > 0) ? weigh(s) : XE_CALL_OK;
}

/* --- Visiting ----------------------------------------------------------- */

static inline void keep(struct xe_scan *s, ERL_NIF_TERM term)
{
    if (!s->counted)
        s->kept.at[s->kept.n] = term;
    s->kept.n++;
}

/* Leaves an object for when the section is closed. */
static enum xe_result hold(struct xe_scan *s, const struct xe_view *view)
{
    if (s->n_held == s->cap_held) {
        uint32_t cap = s->cap_held ? 2 * s->cap_held : 16;
        struct xe_held *held = s->held ? enif_realloc(s->held, cap * sizeof *held)
                                       : enif_alloc(cap * sizeof *held);
        if (!held)
            return XE_CALL_LIMIT;
        s->held = held;
        s->cap_held = cap;
    }
    xe_blob_pin(view->blob);
    s->held[s->n_held++] = (struct xe_held){*view, s->kept.n};
    /* Its place; and what is counted as if it were kept, until that is known. */
    keep(s, 0);
    return XE_CALL_OK;
}

static inline enum xe_result visit(struct xe_scan *s, const struct xe_view *view,
                                   ERL_NIF_TERM key, xe_scan_fn fn, void *arg)
{
    ERL_NIF_TERM term = 0;
    if (XE_UNLIKELY(view->blob))
        return hold(s, view);
    enum xe_result result = fn(arg, view, key, &term);
    if (term)
        keep(s, term);
    return result;
}

/* Takes the places out that were left for objects of which nothing has come. */
static void close_gaps(struct xe_scan *s, size_t first)
{
    size_t n = first;
    for (size_t i = first; i < s->kept.n; i++)
        if (s->kept.at[i])
            s->kept.at[n++] = s->kept.at[i];
    s->kept.n = n;
}

/* Visits what is held, the section being closed; ends the chunk, which has had this result and
 * began when so many terms were kept. */
static enum xe_result end_chunk(struct xe_scan *s, size_t first, xe_scan_fn fn, void *arg,
                                enum xe_result result)
{
    bool gaps = s->n_held > 0;
    for (uint32_t i = 0; i < s->n_held; i++) {
        struct xe_held *h = &s->held[i];
        ERL_NIF_TERM term = 0;
        if (result == XE_CALL_OK)
            result = fn(arg, &h->view, 0, &term);
        if (s->counted)
            s->kept.n -= !term;
        else
            s->kept.at[h->place] = term;
        xe_blob_unpin(h->view.blob);
    }
    s->n_held = 0;
    if (result != XE_CALL_OK)
        s->kept.n = first;
    else if (gaps && !s->counted)
        close_gaps(s, first);
    return result;
}

static inline enum xe_glanced glance_at(const struct xe_scan *s, const uint8_t *rec)
{
    const uint8_t *body = s->glance ? xe_call_flat_body(rec) : NULL;
    return body ? xe_glance_at(s->glance, body) : XE_GLANCE_RUN;
}

/* Visits records of a chunk inside of the section; in an ordered table until there is no room.
 * *seen: how many of them, and `view` is the last one's. */
static enum xe_result visit_chunk(struct xe_scan *s, uint64_t room, xe_scan_fn fn, void *arg,
                                  struct xe_view *view, uint32_t *seen)
{
    const struct xe_chunk *c = &s->chunk;
    size_t end = room < c->n ? s->kept.n + (size_t)room : SIZE_MAX;
    bool counts = s->counted && s->glance && s->glance->counts;
    uint32_t i = 0;
    if (!s->counted && !kept_reserve(&s->kept, c->n))
        return XE_CALL_LIMIT;
    enum xe_result result = XE_CALL_OK;
    while (i < c->n && s->kept.n < end && result == XE_CALL_OK) {
        xe_chunk_ahead(c, i);
        const uint8_t *rec = c->recs[i++];
        enum xe_glanced glanced = glance_at(s, rec);
        /* What is told is added without a branch: NOT is 0, MATCHES is 1. */
        if (glanced == XE_GLANCE_NOT || (counts && glanced == XE_GLANCE_MATCHES)) {
            s->kept.n += glanced;
            continue;
        }
        if (XE_UNLIKELY(!xe_record_view_plain(rec, view)))
            xe_record_view(rec, view);
        result = visit(s, view, 0, fn, arg);
    }
    if (i > 0 && s->glance)
        xe_record_view(c->recs[i - 1], view);
    *seen = i;
    return result;
}

/* --- Points ------------------------------------------------------------- */

static enum xe_result visit_single(struct xe_scan *s, struct xe_use *use, const struct xe_key *key,
                                   ERL_NIF_TERM term, const struct xe_encoder *e, xe_scan_fn fn,
                                   void *arg)
{
    struct xe_view view;
    enum xe_status status = xe_table_find(use->table->core, key, &view);
    if (status != XE_OK)
        return status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(status);
    s->looked++;
    return visit(s, &view, xe_call_key_of(&view, term, e), fn, arg);
}

static enum xe_result visit_group(struct xe_scan *s, struct xe_use *use, const struct xe_key *key,
                                  ERL_NIF_TERM term, const struct xe_encoder *e, xe_scan_fn fn,
                                  void *arg)
{
    struct xe_run run;
    struct xe_view view;
    bool patient = xe_call_is_patient(s->budget);
    enum xe_result result = XE_CALL_OK;
    xe_run_begin(&run);
    enum xe_status status = xe_bag_find(use->table->core, use->slot, key,
                                        patient ? UINT32_MAX : XE_CALL_INLINE_MAX, patient, &run);
    if (status == XE_LIMIT && !patient)
        result = XE_CALL_BUDGET;
    else if (status != XE_ABSENT)
        result = xe_call_of_core(status);
    if (status == XE_OK && !s->counted && !kept_reserve(&s->kept, run.n))
        result = XE_CALL_LIMIT;
    for (uint32_t i = 0; status == XE_OK && i < run.n && result == XE_CALL_OK; i++) {
        xe_record_view(run.at[i].rec, &view);
        result = visit(s, &view, xe_call_reusable_key(term, e), fn, arg);
    }
    s->looked += status == XE_OK ? run.n : 0;
    xe_run_end(&run);
    return result;
}

static enum xe_result next_point(struct xe_scan *s, xe_scan_fn fn, void *arg)
{
    struct xe_use use;
    struct xe_encoder e;
    struct xe_key key;
    size_t first = s->kept.n;
    unsigned n = s->plan.n_points;
    ERL_NIF_TERM term = s->plan.points[s->reverse ? n - 1 - s->point : s->point];
    if (!s->counted && !kept_reserve(&s->kept, 1))
        return XE_CALL_LIMIT;
    enum xe_result result =
        xe_call_encode_key(&e, s->env, s->form.kind, term, s->budget, false);
    if (result != XE_CALL_OK)
        return result;
    result = xe_scan_use(s, &use);
    if (result == XE_CALL_OK) {
        xe_call_key(&key, use.table, term, &e);
        result = xe_kind_is_bag(s->form.kind) ? visit_group(s, &use, &key, term, &e, fn, arg)
                                              : visit_single(s, &use, &key, term, &e, fn, arg);
        xe_use_end(&use);
    }
    xe_call_key_end(&e, s->form.kind, term);
    result = end_chunk(s, first, fn, arg, result);
    if (result == XE_CALL_OK) {
        s->looked++;
        s->is_done = ++s->point == n;
    }
    return result;
}

/* --- Chunks ------------------------------------------------------------- */

static enum xe_result next_of_hashes(struct xe_scan *s, uint32_t least, xe_scan_fn fn, void *arg)
{
    struct xe_use use;
    struct xe_view view;
    uint32_t seen = 0;
    size_t first = s->kept.n;
    enum xe_result result = xe_scan_use(s, &use);
    if (result != XE_CALL_OK)
        return result;
    result = xe_call_of_core((s->marked ? xe_scan_groups : xe_scan_hashes)(use.table->core, s->hash,
                                                                           least, &s->chunk));
    if (result == XE_CALL_OK)
        result = visit_chunk(s, UINT64_MAX, fn, arg, &view, &seen);
    xe_use_end(&use);
    result = end_chunk(s, first, fn, arg, result);
    if (result == XE_CALL_OK) {
        s->chunk_hash = s->hash;
        s->looked += seen;
        s->hash = s->chunk.next;
        s->is_done = !s->chunk.more;
    }
    return result;
}

/* The rest of a range, from the position on. XE_CALL_OK: with a position, `e` holds its key. */
static enum xe_result rest_of_range(const struct xe_scan *s, struct xe_encoder *e,
                                    struct xe_key *key, struct xe_range *range)
{
    *range = s->plan.kind == XE_PLAN_RANGE ? s->plan.range : (struct xe_range){0};
    range->reverse = s->reverse;
    if (!s->key)
        return XE_CALL_OK;
    enum xe_result result = xe_call_encode_key(e, s->env, XE_ORDERED, s->key, s->budget, false);
    if (result != XE_CALL_OK)
        return result;
    xe_key_init_order(key, e->bytes, e->klen, e->handles, e->n_key_handles);
    if (s->reverse) {
        range->to = key;
        range->to_exclusive = true;
    } else {
        range->from = key;
        range->from_exclusive = true;
    }
    return XE_CALL_OK;
}

/* Inside of a section. *key: that of the last object that was visited. */
static enum xe_result visit_range(struct xe_scan *s, struct xe_table *t,
                                  const struct xe_range *range, uint32_t least, xe_scan_fn fn,
                                  void *arg, uint32_t *seen, ERL_NIF_TERM *key)
{
    struct xe_view view;
    uint64_t room = s->room == UINT64_MAX ? s->room : s->room - s->kept.n;
    enum xe_result result = xe_call_of_core(xe_scan_range(t, range, least, &s->chunk));
    if (result == XE_CALL_OK && s->chunk.n > 0)
        result = visit_chunk(s, room, fn, arg, &view, seen);
    /* Behind the last chunk nobody goes on. */
    bool goes_on = s->chunk.more || *seen < s->chunk.n || s->marked;
    if (result == XE_CALL_OK && *seen > 0 && goes_on)
        result = xe_call_of_term(xe_term_decode_key(s->env, &view, s->budget, key));
    return result;
}

static enum xe_result next_of_range(struct xe_scan *s, uint32_t least, xe_scan_fn fn, void *arg)
{
    struct xe_use use;
    struct xe_encoder e;
    struct xe_key after;
    struct xe_range range;
    ERL_NIF_TERM key = s->key;
    uint32_t seen = 0;
    size_t first = s->kept.n;
    enum xe_result result = rest_of_range(s, &e, &after, &range);
    if (result != XE_CALL_OK)
        return result;
    result = xe_scan_use(s, &use);
    if (result == XE_CALL_OK) {
        result = visit_range(s, use.table->core, &range, least, fn, arg, &seen, &key);
        xe_use_end(&use);
    }
    if (s->key)
        xe_call_key_end(&e, XE_ORDERED, s->key);
    result = end_chunk(s, first, fn, arg, result);
    if (result == XE_CALL_OK) {
        s->looked += seen;
        s->is_done = !s->chunk.more && seen == s->chunk.n;
        s->key = key;
    }
    return result;
}

/* A range is begun with few objects, if it is still to be weighed. */
static uint32_t first_chunk(const struct xe_scan *s, uint32_t least)
{
    enum { FEW = 256 };
    bool few = s->whole && !s->weighed && !xe_call_is_patient(s->budget);
    return few && least > FEW ? FEW : least;
}

enum xe_result xe_scan_next(struct xe_scan *s, uint32_t least, xe_scan_fn fn, void *arg)
{
    enum xe_result result;
    result = check_weight(s);
    if (result != XE_CALL_OK)
        return result;
    if (s->plan.kind == XE_PLAN_NOTHING) {
        s->is_done = true;
        return XE_CALL_OK;
    }
    if (s->plan.kind == XE_PLAN_POINTS)
        result = next_point(s, fn, arg);
    else if (s->form.kind == XE_ORDERED)
        result = next_of_range(s, first_chunk(s, least), fn, arg);
    else
        result = next_of_hashes(s, least, fn, arg);
    return xe_scan_persist(s->env, s->budget, result);
}
