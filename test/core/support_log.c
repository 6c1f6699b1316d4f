/*
 * support_log.c - see support_log.h.
 */
#include "support_log.h"

#include <sched.h>
#include <stdlib.h>

#include "order.h"
#include "support_snapshot.h"
#include "table_internal.h"

/* --- What is told --------------------------------------------------------- */

static void store_view(struct logged_object *to, const struct xe_view *v)
{
    *to = (struct logged_object){.klen = v->klen, .len = v->klen + v->blen,
                                 .n_handles = v->n_handles, .n_key_handles = v->n_key_handles,
                                 .flags = v->flags & XE_REC_GIVEN};
    CHECK(to->bytes = calloc(1, to->len + XE_READ_SLACK));
    memcpy(to->bytes, v->key, v->klen);
    memcpy(to->bytes + v->klen, v->body, v->blen);
    for (uint32_t i = 0; i < v->n_handles; i++)
        to->terms[i] = term_value(xe_load64(v->handles + 8 * (size_t)i));
}

static void store_object(struct logged_object *to, const struct xe_object *o)
{
    struct xe_view view;
    xe_object_view(o, &view);
    store_view(to, &view);
    to->pinned = o->pinned;
    to->identity = o->identity;
}

static enum xe_status begin(void *arg, const struct xe_log_change *change,
                            struct xe_log_write *write)
{
    struct log *log = arg;
    struct logged *l;
    atomic_fetch_add(&log->begun, 1);
    if (log->refuse != XE_OK)
        return log->refuse;
    CHECK((change->op == XE_LOG_REPLACE) == (change->old != NULL));
    CHECK((change->op == XE_LOG_DELETE) == (change->view != NULL));
    CHECK((change->n > 0) == (change->op != XE_LOG_DELETE && change->op != XE_LOG_CLEAR));
    CHECK(l = calloc(1, sizeof *l));
    CHECK(l->objects = calloc(change->n + 1, sizeof *l->objects));
    l->op = change->op;
    l->n = (uint32_t)change->n;
    for (size_t i = 0; i < change->n; i++)
        store_object(&l->objects[i], change->objects[i].object);
    if (change->old)
        store_object(&l->objects[l->n], change->old->object);
    if (change->view)
        store_view(&l->objects[0], change->view);
    write->record = l;
    atomic_fetch_add(&log->open, 1);
    return XE_OK;
}

static void publish(void *arg, struct xe_log_write *write)
{
    struct log *log = arg;
    struct logged *l = write->record;
    uint64_t number = atomic_fetch_add(&log->n, 1);
    CHECK(number < log->cap);
    l->place = write->place;
    if (log->seen)
        log->seen(log, l, number);
    atomic_store(&log->at[number], l);
}

static void logged_free(struct logged *l)
{
    for (uint32_t i = 0; i <= l->n; i++)
        free(l->objects[i].bytes);
    free(l->objects);
    free(l);
}

static void end(void *arg, struct xe_log_write *write)
{
    struct log *log = arg;
    if (!write->published)
        logged_free(write->record);
    atomic_fetch_sub(&log->open, 1);
}

static void gone(void *arg)
{
    struct log *log = arg;
    CHECK(log->open == 0 && !log->gone);
    log->gone = true;
}

void log_start(struct log *log, struct xe_table *t, uint64_t cap)
{
    *log = (struct log){.calls = {begin, publish, end, gone}, .cap = cap};
    CHECK(log->at = calloc(cap, sizeof *log->at));
    xe_table_set_log(t, log);
}

void log_free(struct log *log)
{
    CHECK(log->gone);
    for (uint64_t i = 0; i < log->n; i++)
        logged_free(log->at[i]);
    free(log->at);
}

/* --- Doing it again -------------------------------------------------------- */

/* An object with terms of its own, prepared for a table. */
struct again {
    struct xe_object o;
    struct xe_prepared p;
    uint64_t handles[8];
    void *env;
};

static void again_make(struct again *a, const struct xe_table *t, const struct logged_object *l)
{
    a->env = terms_new();
    for (uint32_t i = 0; i < l->n_handles; i++)
        a->handles[i] = terms_add(a->env, l->terms[i]);
    a->o = (struct xe_object){.bytes = l->bytes, .klen = l->klen, .len = l->len,
                              .handles = a->handles, .n_handles = l->n_handles,
                              .n_key_handles = l->n_key_handles, .pinned = l->pinned,
                              .identity = l->identity, .flags = l->flags};
    CHECK(xe_table_prepare(t, &a->o, &a->p) == XE_OK);
}

static void again_free(struct again *a, bool stored)
{
    if (!stored)
        xe_record_unprepare(&a->p);
    terms_free(a->env);
}

static void put_again(struct xe_table *t, struct xe_epoch_slot *slot, const struct logged *l)
{
    struct again *a = calloc(l->n, sizeof *a);
    struct xe_prepared *p = calloc(l->n, sizeof *p);
    CHECK(a && p);
    for (uint32_t i = 0; i < l->n; i++) {
        again_make(&a[i], t, &l->objects[i]);
        /* Where it stays: keys point into themselves. */
        xe_record_unprepare(&a[i].p);
        CHECK(xe_table_prepare(t, &a[i].o, &p[i]) == XE_OK);
    }
    /* A list may have been of objects that a bag had already. */
    if (l->n > 1 || t->kind == XE_BAG)
        CHECK(xe_table_put_many(t, slot, p, l->n, XE_PUT, true) == XE_OK);
    else if (xe_kind_is_bag(t->kind))
        CHECK(xe_bag_put(t, slot, p, XE_PUT, true) == XE_OK);
    else
        CHECK(xe_table_put(t, slot, p, XE_PUT) == XE_OK);
    for (uint32_t i = 0; i < l->n; i++)
        again_free(&a[i], true);
    free(a);
    free(p);
}

static void delete_again(struct xe_table *t, struct xe_epoch_slot *slot, const struct logged *l)
{
    struct again a;
    struct xe_key key;
    again_make(&a, t, &l->objects[0]);
    const struct xe_object *o = &a.o;
    if (t->kind == XE_ORDERED)
        xe_key_init_order(&key, o->bytes, o->klen, o->handles, o->n_key_handles);
    else
        xe_key_init(&key, t->seed, o->bytes, o->klen, o->handles, o->n_key_handles);
    if (xe_kind_is_bag(t->kind))
        CHECK(xe_bag_take(t, slot, &key, UINT32_MAX, NULL, NULL, true, NULL) == XE_OK);
    else
        CHECK(xe_table_remove(t, slot, &key, NULL, NULL) == XE_OK);
    again_free(&a, false);
}

static void remove_again(struct xe_table *t, struct xe_epoch_slot *slot, const struct logged *l)
{
    struct again a;
    again_make(&a, t, &l->objects[0]);
    CHECK(xe_bag_remove(t, slot, &a.p, true, NULL) == XE_OK);
    again_free(&a, false);
}

static void replace_again(struct xe_table *t, struct xe_epoch_slot *slot, const struct logged *l)
{
    struct again old, new;
    struct xe_run run;
    struct xe_key key;
    uint32_t before = 0, i;
    again_make(&old, t, &l->objects[1]);
    again_make(&new, t, &l->objects[0]);
    xe_key_init(&key, t->seed, old.o.bytes, old.o.klen, old.o.handles, old.o.n_key_handles);
    xe_run_begin(&run);
    CHECK(xe_bag_find(t, slot, &key, UINT32_MAX, true, &run) == XE_OK);
    for (i = 0; i < run.n; i++) {
        struct xe_view view;
        xe_record_view(run.at[i].rec, &view);
        if (xe_record_equal(&view, &old.o) && before++ == l->place)
            break;
    }
    CHECK(i < run.n);
    CHECK(xe_bag_replace(t, slot, &old.p, run.at[i].sequence, &new.p, true) == XE_OK);
    xe_run_end(&run);
    again_free(&old, false);
    again_free(&new, true);
}

void log_replay(const struct log *log, uint64_t n, struct xe_table *t)
{
    for (uint64_t i = 0; i < n; i++) {
        const struct logged *l = log->at[i];
        struct xe_epoch_slot *slot = xe_epoch_enter();
        switch (l->op) {
        case XE_LOG_PUT:
            put_again(t, slot, l);
            break;
        case XE_LOG_DELETE:
            delete_again(t, slot, l);
            break;
        case XE_LOG_DELETE_OBJECT:
            remove_again(t, slot, l);
            break;
        case XE_LOG_REPLACE:
            replace_again(t, slot, l);
            break;
        case XE_LOG_CLEAR:
            CHECK(xe_table_clear(t, slot, NULL) == XE_OK);
            break;
        }
        xe_epoch_leave(slot);
    }
}

bool same_objects(struct xe_table *a, struct xe_table *b)
{
    return same_digest(digest_in_order_of(a), digest_in_order_of(b));
}
