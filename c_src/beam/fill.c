/*
 * fill.c - see fill.h.
 */
#include "fill.h"

#include "call_key.h"
#include "file_flat.h"

enum {
    SECTION_OBJECTS = 1024,   /* that are stored in one section */
    SECTION_READ = 64 * 1024, /* bytes of objects that are read before the environment is cleared */
    CHAIN_OBJECTS = 64,       /* a chain of buckets has hardly as many */
    RECORD_PER_BYTE = 8,      /* of the external format: a [] has 1, and a word beside a large one */
};

bool xe_fill_begin(struct xe_fill *f)
{
    *f = (struct xe_fill){
        .reader = xe_etf_reader_new(false),
        .env = enif_alloc_env(),
        .items = enif_alloc(XE_FILL_OBJECTS * sizeof *f->items),
        .other = enif_alloc(XE_FILL_OBJECTS * sizeof *f->other),
        .bytes = enif_alloc(XE_FILL_BYTES + XE_READ_SLACK),
    };
    if (f->reader && f->env && f->items && f->other && f->bytes) {
        f->has_flat = xe_flat_is_usable(f->env);
        return true;
    }
    xe_fill_end(f);
    return false;
}

void xe_fill_end(struct xe_fill *f)
{
    void *parts[] = {f->items, f->other, f->bytes};
    for (int i = 0; i < 3; i++)
        if (parts[i])
            enif_free(parts[i]);
    if (f->reader)
        xe_etf_reader_free(f->reader);
    if (f->env)
        enif_free_env(f->env);
}

/* In a bag the object may be there. */
static enum xe_fill_status of_core(enum xe_status status)
{
    return xe_fill_of_core(status == XE_EXISTS ? XE_OK : status);
}

/* Opens a section for the table. */
static enum xe_fill_status use_begin(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                                     struct xe_use *use)
{
    switch (xe_use_again(env, table, XE_NEED_WRITE, use)) {
    case XE_BEGUN:
        break;
    case XE_BEGIN_MOVING:
        return XE_FILL_RETRY;
    case XE_BEGIN_REFUSED:
        return XE_FILL_BADARG;
    }
    if (XE_UNLIKELY(!f->form.keypos)) {
        f->form = xe_call_form(use->table);
        f->seed = use->table->seed;
    }
    if (XE_LIKELY(xe_form_is(&f->form, use->table) && f->seed == use->table->seed))
        return XE_FILL_OK;
    xe_use_end(use);
    return XE_FILL_BADARG;
}

/* --- Plain objects ------------------------------------------------------ */

/* Room in an empty table for all that is expected, if it is like what has come so far. */
static enum xe_fill_status expect(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table)
{
    uint32_t units = (uint32_t)(f->len / f->n / XE_RECORD_ALIGN);
    enum xe_fill_status status = XE_FILL_OK;
    if (f->expected == XE_FILL_AS_SO_FAR)
        f->expected = (uint64_t)((double)f->external / (double)f->read * (double)f->objects);
    /* Who has made up the number gets no more memory than the file has bytes for. */
    uint64_t most = f->external * RECORD_PER_BYTE / (units * XE_RECORD_ALIGN);
    f->expected = f->expected < most ? f->expected : most;
    bool more = f->expected > f->n && f->form.kind == XE_SET;
    while (more && status == XE_FILL_OK) {
        struct xe_use use;
        status = use_begin(f, env, table, &use);
        if (status != XE_FILL_OK)
            break;
        if (f->position || xe_table_size(use.table->core) == 0)
            status = of_core(xe_table_expect(use.table->core, use.slot, f->expected,
                                             units, &f->position, &more));
        else
            more = false;
        xe_use_end(&use);
    }
    /* It is a guess: whether there is memory for the objects they find out themselves. */
    if (status == XE_FILL_NOMEM)
        status = XE_FILL_OK;
    if (status == XE_FILL_OK) {
        /* In a table they come chain by chain, which have no order of their own. */
        f->slack = f->expected > CHAIN_OBJECTS ? UINT64_MAX / f->expected * CHAIN_OBJECTS : 0;
        f->expected = 0;
    }
    return status;
}

enum xe_fill_status xe_fill_flush(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table)
{
    enum xe_fill_status status = f->n && f->expected ? expect(f, env, table) : XE_FILL_OK;
    if (status == XE_FILL_OK && f->stored == 0 && f->n > 0 && f->form.kind == XE_SET)
        xe_table_fill_sort(f->items, f->other, f->n, f->slack);
    while (f->stored < f->n && status == XE_FILL_OK) {
        struct xe_use use;
        size_t n = f->n - f->stored, done = 0;
        status = use_begin(f, env, table, &use);
        if (status != XE_FILL_OK)
            break;
        n = n < SECTION_OBJECTS ? n : SECTION_OBJECTS;
        status = of_core(
            xe_table_fill(use.table->core, use.slot, f->items + f->stored, n, &done));
        xe_use_end(&use);
        f->stored += done;
    }
    if (f->stored == f->n)
        f->stored = f->n = f->len = 0;
    return status;
}

static bool is_plain(const struct xe_fill *f, const struct xe_object *o)
{
    return !o->n_handles && !xe_kind_is_bag(f->form.kind) && xe_record_fits_inline(o);
}

_Static_assert((int)XE_FLAT_RECORD_MAX <= (int)XE_RECORD_INLINE_MAX, "there is room for one");

static bool has_room(const struct xe_fill *f)
{
    return f->n < XE_FILL_OBJECTS && XE_FILL_BYTES - f->len >= XE_RECORD_INLINE_MAX;
}

/* Adds the record of a plain object, for which there is room. */
static void collect(struct xe_fill *f, const struct xe_object *o)
{
    uint8_t *rec = f->bytes + f->len;
    size_t units = (XE_HDR_BYTES + o->len + XE_RECORD_ALIGN - 1) / XE_RECORD_ALIGN;
    bool ordered = f->form.kind == XE_ORDERED;
    uint32_t header = (uint32_t)units | (uint32_t)o->klen << XE_HDR_KLEN_SHIFT |
                      (o->flags & XE_REC_GIVEN) | (ordered ? XE_REC_ORDER : 0);
    memset(rec + (units - 1) * XE_RECORD_ALIGN, 0, XE_RECORD_ALIGN);
    memcpy(rec, &header, XE_HDR_BYTES);
    memcpy(rec + XE_HDR_BYTES, o->bytes, o->len);
    f->items[f->n++] = (struct xe_fill_item){
        .hash = ordered ? 0 : xe_key_hash(o->bytes, o->klen, f->seed), .rec = rec};
    f->len += units * XE_RECORD_ALIGN;
}

/* The same of the object that comes next, if it is of small integers. Returns its end, or NULL. */
static inline const uint8_t *collect_flat(struct xe_fill *f, const uint8_t *bytes, size_t size)
{
    uint64_t words[XE_TERM_FLAT_ARITY_MAX], hash;
    int arity;
    const uint8_t *end = f->has_flat ? xe_flat_read(bytes, size, words, &arity) : NULL;
    if (!end || arity < f->form.keypos || xe_kind_is_bag(f->form.kind))
        return NULL;
    uint8_t *rec = f->bytes + f->len;
    f->len += xe_flat_record(rec, f->form.kind, f->seed, words, arity, f->form.keypos, &hash);
    f->items[f->n++] = (struct xe_fill_item){.hash = hash, .rec = rec};
    f->objects++;
    return end;
}

/* --- Others ------------------------------------------------------------- */

static enum xe_fill_status put(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                               const struct xe_object *o)
{
    struct xe_use use;
    struct xe_prepared p;
    enum xe_fill_status begun = use_begin(f, env, table, &use);
    if (begun != XE_FILL_OK)
        return begun;
    struct xe_table *core = use.table->core;
    enum xe_status status = xe_table_prepare(core, o, &p);
    if (status == XE_OK) {
        status = xe_kind_is_bag(f->form.kind) ? xe_bag_put(core, use.slot, &p, XE_PUT, true)
                                              : xe_table_put(core, use.slot, &p, XE_PUT);
        if (status != XE_OK)
            xe_record_unprepare(&p);
    }
    xe_use_end(&use);
    return of_core(status);
}

/* Behind all that are collected, of which one may have its key. */
static enum xe_fill_status put_behind(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                                      const struct xe_object *o)
{
    enum xe_fill_status flushed = f->n ? xe_fill_flush(f, env, table) : XE_FILL_OK;
    return flushed == XE_FILL_OK ? put(f, env, table, o) : flushed;
}

/* --- Objects ------------------------------------------------------------ */

/* The next object. */
static inline enum xe_fill_status fill_one(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                                           const uint8_t *bytes, size_t size, size_t *at)
{
    struct xe_encoder e;
    struct xe_object o;
    size_t used;
    if (XE_UNLIKELY(!has_room(f))) {
        enum xe_fill_status flushed = xe_fill_flush(f, env, table);
        if (flushed != XE_FILL_OK)
            return flushed;
    }
    const uint8_t *end = collect_flat(f, bytes + *at, size - *at);
    if (XE_LIKELY(end)) {
        f->read += (size_t)(end - bytes) - *at;
        *at = (size_t)(end - bytes);
        return XE_FILL_OK;
    }
    xe_call_encoder(&e, f->env, &f->form, XE_TERM_NO_BUDGET);
    enum xe_fill_status status = xe_fill_of_etf(
        xe_etf_read_object(f->reader, &e, bytes + *at, size - *at, f->form.keypos, &used));
    if (XE_LIKELY(status == XE_FILL_OK)) {
        xe_term_object(&e, &o);
        if (XE_LIKELY(is_plain(f, &o)))
            collect(f, &o);
        else
            status = put_behind(f, env, table, &o);
    }
    if (XE_LIKELY(status == XE_FILL_OK)) {
        f->objects++;
        f->read += used;
        *at += used;
    }
    if (XE_UNLIKELY(e.bytes != e.small || e.handles != e.small_handles))
        xe_encoder_clear(&e);
    return status;
}

/* Learns the form of the table. */
static enum xe_fill_status know_table(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table)
{
    struct xe_use use;
    if (XE_LIKELY(f->form.keypos))
        return XE_FILL_OK;
    enum xe_fill_status status = use_begin(f, env, table, &use);
    if (status == XE_FILL_OK)
        xe_use_end(&use);
    return status;
}

enum xe_fill_status xe_fill_some(struct xe_fill *f, ErlNifEnv *env, ERL_NIF_TERM table,
                                 const uint8_t *bytes, size_t size, size_t most, size_t *at)
{
    enum xe_fill_status status = know_table(f, env, table);
    size_t end = size - *at < most ? size : *at + most;
    while (*at < end && status == XE_FILL_OK) {
        size_t pause = end - *at < SECTION_READ ? end : *at + SECTION_READ;
        while (*at < pause && status == XE_FILL_OK)
            status = fill_one(f, env, table, bytes, size, at);
        enif_clear_env(f->env);
    }
    return status;
}
