/*
 * dump.c - see dump.h.
 */
#include "dump.h"

#include <errno.h>

#include "call.h"
#include "file_flat.h"

enum {
    RECORD_BYTES = 128 * 1024, /* of objects; they become a block of their own */
    SOME_BYTES = 1024 * 1024,  /* in one call */
    CHUNK_OBJECTS = 512,
};

void xe_dump_begin(struct xe_dump *d, ErlNifEnv *env)
{
    xe_etf_writer_init(&d->writer);
    d->objects = d->position = 0;
    d->is_done = false;
    d->has_flat = xe_flat_is_usable(env);
}

void xe_dump_end(struct xe_dump *d)
{
    xe_etf_writer_clear(&d->writer);
}

/* --- Objects ------------------------------------------------------------ */

static bool fail(struct xe_io_error *error, enum xe_etf_status status)
{
    return xe_io_fail(error, status == XE_ETF_NOMEM ? ENOMEM : EFBIG, XE_IO_MEMORY, "",
                      XE_IO_NOWHERE, NULL);
}

static bool flush(struct xe_dump *d, struct xe_tablefile_writer *out, struct xe_io_error *error)
{
    bool ok = d->writer.len == 0 || xe_tablefile_put(out, d->writer.bytes, d->writer.len, error);
    d->writer.len = 0;
    return ok;
}

static enum xe_etf_status write_any(struct xe_dump *d, const uint8_t *rec, int keypos)
{
    struct xe_view view;
    if (XE_UNLIKELY(!xe_record_view_plain(rec, &view)))
        xe_record_view(rec, &view);
    return xe_etf_write_object(&d->writer, &view, keypos, XE_TERM_NO_BUDGET);
}

static inline bool write_object(struct xe_dump *d, const uint8_t *rec, const struct xe_form *form,
                                struct xe_tablefile_writer *out, struct xe_io_error *error)
{
    if (!d->has_flat || !xe_flat_write_record(&d->writer, form->kind, rec, form->keypos)) {
        enum xe_etf_status status = write_any(d, rec, form->keypos);
        if (XE_UNLIKELY(status != XE_ETF_OK))
            return fail(error, status);
    }
    d->objects++;
    return XE_LIKELY(d->writer.len < RECORD_BYTES) || flush(d, out, error);
}

/* --- Chunks ------------------------------------------------------------- */

bool xe_dump_use(ErlNifEnv *env, ERL_NIF_TERM snapshot, struct xe_use *use)
{
    ErlNifPid self;
    if (xe_use_again(env, snapshot, XE_NEED_READ, use) != XE_BEGUN)
        return false;
    enif_self(env, &self);
    if (use->table->maker == self.pid)
        return true;
    xe_use_end(use);
    return false;
}

/* The objects behind those that have been written, by their number. */
static enum xe_status read_ordered(struct xe_dump *d, struct xe_table *t)
{
    struct xe_view view;
    struct xe_key key;
    struct xe_range range = {.from = &key};
    const uint8_t *rec;
    uint64_t handle;
    d->chunk.n = 0;
    enum xe_status status = xe_order_nth(t, d->objects, &rec);
    d->is_done = status == XE_ABSENT;
    if (status != XE_OK)
        return d->is_done ? XE_OK : status;
    xe_record_view(rec, &view);
    xe_key_of_view(&key, &view, &handle);
    return xe_scan_range(t, &range, CHUNK_OBJECTS, &d->chunk);
}

/* In a bag a chunk may end in the middle of a key, where another segment begins: then it ends
 * before that key; and if it begins with it *run, which is empty else, has all objects of keys with
 * that half of the hash, in the order of their insertion. */
static enum xe_status read_hashes(struct xe_dump *d, struct xe_table *t, bool is_bag,
                                  struct xe_run *run)
{
    enum xe_status status = xe_scan_hashes(t, d->position, CHUNK_OBJECTS, &d->chunk);
    uint64_t half = d->chunk.next & XE_BAG_KEY_HASH, next = d->chunk.next;
    if (is_bag && status == XE_OK && d->chunk.more && half != next) {
        if (half > d->position) {
            status = xe_scan_between(t, d->position, half - 1, CHUNK_OBJECTS, &d->chunk);
            next = d->chunk.more ? d->chunk.next : half;
        } else {
            d->chunk.n = 0;
            status = xe_scan_run(t, half, run);
            next = half + (1ull << 32);
        }
        d->chunk.more = next != 0;
    }
    if (status == XE_OK) {
        d->position = next;
        d->is_done = !d->chunk.more;
    }
    return status;
}

static enum xe_status read_chunk(struct xe_dump *d, const struct xe_owned *table,
                                 struct xe_run *run)
{
    return table->kind == XE_ORDERED ? read_ordered(d, table->core)
                                     : read_hashes(d, table->core, xe_kind_is_bag(table->kind), run);
}

static bool write_chunk(struct xe_dump *d, const struct xe_run *run, const struct xe_form *form,
                        struct xe_tablefile_writer *out, struct xe_io_error *error)
{
    for (uint32_t i = 0; i < d->chunk.n; i++) {
        xe_chunk_ahead(&d->chunk, i);
        if (XE_UNLIKELY(!write_object(d, d->chunk.recs[i], form, out, error)))
            return false;
    }
    for (uint32_t i = 0; i < run->n; i++)
        if (!write_object(d, run->at[i].rec, form, out, error))
            return false;
    return true;
}

enum xe_dump_status xe_dump_some(struct xe_dump *d, ErlNifEnv *env, ERL_NIF_TERM snapshot,
                                 struct xe_tablefile_writer *out, struct xe_io_error *error)
{
    uint64_t records, before = xe_tablefile_written(out, &records);
    while (!d->is_done && xe_tablefile_written(out, &records) - before < SOME_BYTES) {
        struct xe_use use;
        struct xe_run run;
        if (!xe_dump_use(env, snapshot, &use))
            return XE_DUMP_BADARG;
        struct xe_form form = xe_call_form(use.table);
        xe_run_begin(&run);
        /* A snapshot is never being written: there is nothing to try again. */
        enum xe_status status = read_chunk(d, use.table, &run);
        xe_use_end(&use);
        bool ok = status == XE_OK ? write_chunk(d, &run, &form, out, error)
                                  : fail(error, XE_ETF_NOMEM);
        xe_run_end(&run);
        if (!ok)
            return XE_DUMP_FAILED;
    }
    if (!d->is_done)
        return XE_DUMP_MORE;
    return flush(d, out, error) ? XE_DUMP_DONE : XE_DUMP_FAILED;
}
