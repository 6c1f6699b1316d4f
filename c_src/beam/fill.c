/*
 * fill.c - see fill.h.
 */
#include "fill.h"

enum {
    SECTION_BYTES = 16 * 1024, /* of objects that are stored in one section */
};

bool xe_fill_begin(struct xe_fill *f)
{
    f->reader = xe_etf_reader_new(false);
    f->env = enif_alloc_env();
    f->objects = 0;
    if (f->reader && f->env)
        return true;
    xe_fill_end(f);
    return false;
}

void xe_fill_end(struct xe_fill *f)
{
    if (f->reader)
        xe_etf_reader_free(f->reader);
    if (f->env)
        enif_free_env(f->env);
    f->reader = NULL;
    f->env = NULL;
}

static enum xe_fill_status of_etf(enum xe_etf_status status)
{
    switch (status) {
    case XE_ETF_OK:
        return XE_FILL_OK;
    case XE_ETF_BAD:
        return XE_FILL_BAD;
    case XE_ETF_NO_OBJECT:
        return XE_FILL_NO_OBJECT;
    default:
        return XE_FILL_NOMEM;
    }
}

static enum xe_fill_status of_core(enum xe_status status)
{
    switch (status) {
    case XE_OK:
    case XE_EXISTS: /* in a bag */
        return XE_FILL_OK;
    case XE_RETRY:
        return XE_FILL_RETRY;
    case XE_NOMEM:
    case XE_LIMIT:
        return XE_FILL_NOMEM;
    default:
        return XE_FILL_BADARG;
    }
}

/* Stores an object. Section open. */
static enum xe_status put(struct xe_use *use, const struct xe_encoder *e)
{
    struct xe_object o;
    struct xe_prepared p;
    struct xe_table *core = use->table->core;
    xe_term_object(e, &o);
    enum xe_status status = xe_table_prepare(core, &o, &p);
    if (status != XE_OK)
        return status;
    status = xe_kind_is_bag(use->table->kind)
                 ? xe_bag_put(core, use->slot, &p, XE_PUT, true)
                 : xe_table_put(core, use->slot, &p, XE_PUT);
    if (status != XE_OK)
        xe_record_unprepare(&p);
    return status;
}

/* The next object. Section open. */
static enum xe_fill_status fill_one(struct xe_fill *f, struct xe_use *use,
                                    const struct xe_form *form, const uint8_t *bytes, size_t size,
                                    size_t *at)
{
    struct xe_encoder e;
    size_t used;
    xe_call_encoder(&e, f->env, form, XE_TERM_NO_BUDGET);
    enum xe_fill_status status = of_etf(
        xe_etf_read_object(f->reader, &e, bytes + *at, size - *at, form->keypos, &used));
    if (XE_LIKELY(status == XE_FILL_OK))
        status = of_core(put(use, &e));
    if (XE_LIKELY(status == XE_FILL_OK)) {
        f->objects++;
        *at += used;
    }
    if (XE_UNLIKELY(e.bytes != e.small || e.handles != e.small_handles))
        xe_encoder_clear(&e);
    return status;
}

/* Some objects, in one section. */
static enum xe_fill_status fill_section(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                                        const uint8_t *bytes, size_t size, size_t most, size_t *at)
{
    struct xe_use use;
    enum xe_fill_status status = XE_FILL_OK;
    size_t end = most - *at < SECTION_BYTES ? most : *at + SECTION_BYTES;
    switch (xe_use_again(env, table, XE_NEED_WRITE, &use)) {
    case XE_BEGUN:
        break;
    case XE_BEGIN_MOVING:
        return XE_FILL_RETRY;
    case XE_BEGIN_REFUSED:
        return XE_FILL_BADARG;
    }
    struct xe_form form = xe_call_form(use.table);
    while (*at < end && status == XE_FILL_OK)
        status = fill_one(f, &use, &form, bytes, size, at);
    xe_use_end(&use);
    enif_clear_env(f->env);
    return status;
}

enum xe_fill_status xe_fill_some(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                                 const uint8_t *bytes, size_t size, size_t most, size_t *at)
{
    enum xe_fill_status status = XE_FILL_OK;
    most = size - *at < most ? size : *at + most;
    while (*at < most && status == XE_FILL_OK)
        status = fill_section(f, env, table, bytes, size, most, at);
    return status;
}
