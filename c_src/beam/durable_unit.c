/*
 * durable_unit.c - see durable_unit.h.
 */
#include "durable_unit.h"

#include "../core/order.h"
#include "file_flat.h"

enum { PUT = 1, DELETE = 2, REMOVE = 3, REPLACE = 4, CLEAR = 5 };

enum {
    PLACE_BYTES = 4,
};

/* --- Writing -------------------------------------------------------------- */

static enum xe_etf_status write_prepared(struct xe_etf_writer *w, const struct xe_prepared *p,
                                         const struct xe_unit_form *form, uint64_t budget)
{
    struct xe_view view;
    xe_object_view(p->object, &view);
    view.flags |= p->key.flags & XE_REC_ORDER;
    if (form->has_flat && xe_flat_write_view(w, form->kind, &view, form->keypos))
        return XE_ETF_OK;
    return xe_etf_write_object(w, &view, form->keypos, budget);
}

static enum xe_etf_status write_objects(struct xe_etf_writer *w, const struct xe_log_change *change,
                                        const struct xe_unit_form *form, uint64_t budget)
{
    enum xe_etf_status status = XE_ETF_OK;
    size_t begin = w->len;
    for (size_t i = 0; i < change->n && status == XE_ETF_OK; i++) {
        uint64_t used = (w->len - begin) / 8;
        status = used > budget
                     ? XE_ETF_BUDGET
                     : write_prepared(w, &change->objects[i], form,
                                      budget == XE_TERM_NO_BUDGET ? budget : budget - used);
    }
    return status;
}

static uint8_t code_of(enum xe_log_op op)
{
    switch (op) {
    case XE_LOG_PUT:
        return PUT;
    case XE_LOG_DELETE:
        return DELETE;
    case XE_LOG_DELETE_OBJECT:
        return REMOVE;
    case XE_LOG_REPLACE:
        return REPLACE;
    case XE_LOG_CLEAR:
        break;
    }
    return CLEAR;
}

static enum xe_status of_etf(enum xe_etf_status status)
{
    switch (status) {
    case XE_ETF_OK:
        return XE_OK;
    case XE_ETF_BUDGET:
        return XE_LARGE;
    case XE_ETF_NOMEM:
        return XE_NOMEM;
    default:
        return XE_LIMIT;
    }
}

enum xe_status xe_unit_write(struct xe_etf_writer *w, const struct xe_log_change *change,
                             const struct xe_unit_form *form, uint64_t budget)
{
    enum xe_etf_status status = XE_ETF_OK;
    if (!xe_etf_reserve(w, 1 + PLACE_BYTES))
        return XE_NOMEM;
    w->bytes[w->len++] = code_of(change->op);
    if (change->op == XE_LOG_REPLACE) {
        memset(w->bytes + w->len, 0, PLACE_BYTES);
        w->len += PLACE_BYTES;
        status = write_prepared(w, change->old, form, budget);
    }
    if (status == XE_ETF_OK)
        status = change->op == XE_LOG_DELETE ? xe_etf_write_key(w, change->view, budget)
                                             : write_objects(w, change, form, budget);
    return of_etf(status);
}

void xe_unit_complete(uint8_t *unit, const struct xe_log_write *write)
{
    uint32_t place = write->place;
    if (unit[0] == REPLACE)
        memcpy(unit + 1, &place, PLACE_BYTES);
}

/* --- Doing it again --------------------------------------------------------- */

/* What is removed may not be there. */
static enum xe_fill_status of_core(enum xe_status status)
{
    return xe_fill_of_core(status == XE_ABSENT ? XE_OK : status);
}

/* The terms of a unit, one after the other. */
struct reading {
    struct xe_fill *fill;
    struct xe_use *use;
    const uint8_t *bytes;
    size_t size, at;
};

/* The key of what has been encoded. */
static void init_key(struct xe_key *key, const struct xe_owned *t, const struct xe_encoder *e)
{
    if (t->kind == XE_ORDERED)
        xe_key_init_order(key, e->bytes, e->klen, e->handles, e->n_key_handles);
    else
        xe_key_init(key, t->seed, e->bytes, e->klen, e->handles, e->n_key_handles);
}

static enum xe_fill_status delete_key(struct reading *r)
{
    struct xe_encoder e;
    struct xe_key key;
    size_t used;
    const struct xe_owned *t = r->use->table;
    struct xe_form form = xe_call_form(t);
    xe_call_encoder(&e, r->fill->env, &form, XE_TERM_NO_BUDGET);
    enum xe_fill_status status = xe_fill_of_etf(xe_etf_read_key(
        r->fill->reader, &e, r->bytes + r->at, r->size - r->at, &used));
    if (status == XE_FILL_OK) {
        init_key(&key, t, &e);
        status = of_core(xe_kind_is_bag(t->kind)
                             ? xe_bag_take(t->core, r->use->slot, &key, UINT32_MAX, NULL, NULL,
                                           true, NULL)
                             : xe_table_remove(t->core, r->use->slot, &key, NULL, NULL));
        r->at += used;
    }
    xe_encoder_clear(&e);
    return status;
}

/* An object that is read, and prepared for the table. Not to be moved. */
struct object {
    struct xe_encoder e;
    struct xe_object o;
    struct xe_prepared p;
    bool is_prepared;
};

static enum xe_fill_status object_read(struct reading *r, struct object *x)
{
    size_t used;
    const struct xe_owned *t = r->use->table;
    struct xe_form form = xe_call_form(t);
    xe_call_encoder(&x->e, r->fill->env, &form, XE_TERM_NO_BUDGET);
    x->is_prepared = false;
    enum xe_fill_status status = xe_fill_of_etf(xe_etf_read_object(
        r->fill->reader, &x->e, r->bytes + r->at, r->size - r->at, t->keypos, &used));
    if (status != XE_FILL_OK)
        return status;
    r->at += used;
    xe_term_object(&x->e, &x->o);
    x->is_prepared = xe_table_prepare(t->core, &x->o, &x->p) == XE_OK;
    return x->is_prepared ? XE_FILL_OK : XE_FILL_NOMEM;
}

static void object_end(struct object *x, bool is_stored)
{
    if (x->is_prepared && !is_stored)
        xe_record_unprepare(&x->p);
    xe_encoder_clear(&x->e);
}

static enum xe_fill_status remove_object(struct reading *r)
{
    struct object x;
    enum xe_fill_status status = object_read(r, &x);
    if (status == XE_FILL_OK)
        status = of_core(xe_bag_remove(r->use->table->core, r->use->slot, &x.p, true, NULL));
    object_end(&x, false);
    return status;
}

/* The number of the object of a key that is equal to `old`, and before which `place` others are. */
static enum xe_status find_place(struct reading *r, const struct object *old, uint32_t place,
                                 uint64_t *number)
{
    struct xe_key key;
    struct xe_run run;
    struct xe_view view;
    init_key(&key, r->use->table, &old->e);
    xe_run_begin(&run);
    enum xe_status status =
        xe_bag_find(r->use->table->core, r->use->slot, &key, UINT32_MAX, true, &run);
    bool found = false;
    for (uint32_t i = 0; status == XE_OK && !found && i < run.n; i++) {
        xe_record_view(run.at[i].rec, &view);
        if (xe_record_equal(&view, &old->o) && place-- == 0) {
            *number = run.at[i].sequence;
            found = true;
        }
    }
    xe_run_end(&run);
    return status == XE_OK && !found ? XE_ABSENT : status;
}

static enum xe_fill_status replace_object(struct reading *r)
{
    struct object old, new = {.is_prepared = false};
    uint32_t place;
    uint64_t number = 0;
    enum xe_status done = XE_RETRY;
    if (r->size - r->at < PLACE_BYTES || r->use->table->kind != XE_DUPLICATE_BAG)
        return XE_FILL_BAD;
    memcpy(&place, r->bytes + r->at, PLACE_BYTES);
    r->at += PLACE_BYTES;
    enum xe_fill_status status = object_read(r, &old);
    if (status == XE_FILL_OK) {
        status = object_read(r, &new);
        if (status == XE_FILL_OK) {
            done = find_place(r, &old, place, &number);
            if (done == XE_OK)
                done = xe_bag_replace(r->use->table->core, r->use->slot, &old.p, number, &new.p,
                                      true);
            status = of_core(done);
        }
        object_end(&new, done == XE_OK);
    }
    object_end(&old, false);
    return status;
}

/* A change that is no PUT, as a whole. Section open. */
static enum xe_fill_status do_one(struct reading *r)
{
    enum xe_fill_status status = XE_FILL_BAD;
    bool is_bag = xe_kind_is_bag(r->use->table->kind);
    r->at = 1;
    switch (r->bytes[0]) {
    case DELETE:
        status = delete_key(r);
        break;
    case REMOVE:
        status = is_bag ? remove_object(r) : XE_FILL_BAD;
        break;
    case REPLACE:
        status = replace_object(r);
        break;
    case CLEAR:
        status = of_core(xe_table_clear(r->use->table->core, r->use->slot, NULL));
        break;
    }
    return status == XE_FILL_OK && r->at != r->size ? XE_FILL_BAD : status;
}

/* The same in a section, behind all that has been collected. */
static enum xe_fill_status do_section(struct reading *r, ErlNifEnv *env, ERL_NIF_TERM table)
{
    struct xe_use use;
    enum xe_fill_status status = xe_fill_flush(r->fill, env, table);
    if (status != XE_FILL_OK)
        return status;
    if (xe_use_again(env, table, XE_NEED_WRITE, &use) != XE_BEGUN)
        return XE_FILL_BADARG;
    r->use = &use;
    status = do_one(r);
    xe_use_end(&use);
    enif_clear_env(r->fill->env);
    return status;
}

enum xe_fill_status xe_unit_do(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                               const uint8_t *unit, size_t size, size_t most, size_t *at)
{
    struct reading r = {.fill = f, .bytes = unit, .size = size};
    if (size < 2 && !(size == 1 && unit[0] == CLEAR))
        return XE_FILL_BAD;
    if (unit[0] == PUT) {
        *at = *at ? *at : 1;
        return xe_fill_some(f, env, table, unit, size, most, at);
    }
    enum xe_fill_status status = do_section(&r, env, table);
    if (status == XE_FILL_OK)
        *at = r.at;
    return status;
}
