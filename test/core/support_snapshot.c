/*
 * support_snapshot.c - see support_snapshot.h.
 */
#include "support_snapshot.h"

#include <stdio.h>

#include "order.h"
#include "support_bag.h"
#include "table_internal.h"

struct xe_table *kind_new(enum xe_kind kind, uint32_t max_objects)
{
    struct xe_table_config config = {.seed = 0x5eed, .kind = kind, .max_objects = max_objects};
    struct xe_table *t = xe_table_new(&config);
    CHECK(t != NULL);
    return t;
}

/* --- Calls ------------------------------------------------------------------ */

/* Prepares the key of a lookup for the kind of a table. */
static void key_make(struct lookup *l, const struct xe_table *t, uint32_t key)
{
    lookup_make(l, t->seed, key);
    const struct xe_object *o = &l->object.o;
    if (t->kind == XE_ORDERED)
        xe_key_init_order(&l->key, o->bytes, o->klen, o->handles, o->n_key_handles);
}

enum xe_status any_put(struct xe_table *t, uint32_t key, uint64_t value, enum xe_put mode)
{
    return xe_kind_is_bag(t->kind) ? bag_put(t, key, value, mode) : put(t, key, value, mode);
}

enum xe_status any_remove(struct xe_table *t, uint32_t key)
{
    struct lookup l;
    struct xe_view out;
    if (xe_kind_is_bag(t->kind))
        return bag_drop(t, key);
    key_make(&l, t, key);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_remove(t, slot, &l.key, NULL, &out);
    if (status == XE_OK)
        CHECK(view_key(&out) == key);
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

enum xe_status any_member(struct xe_table *t, uint32_t key)
{
    struct lookup l;
    const uint8_t *rec;
    if (xe_kind_is_bag(t->kind))
        return bag_member(t, key);
    key_make(&l, t, key);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_find_record(t, &l.key, &rec);
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

enum xe_status any_clear(struct xe_table *t)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_clear(t, slot, NULL);
    xe_epoch_leave(slot);
    return status;
}

enum xe_status any_pop(struct xe_table *t, bool last)
{
    struct xe_view out;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_order_pop(t, slot, last, &out);
    xe_epoch_leave(slot);
    return status;
}

/* An object made of a stored one, with a byte of its body changed. */
struct change {
    uint8_t bytes[XE_RECORD_INLINE_MAX + XE_READ_SLACK];
    uint64_t handles[8];
};

static enum xe_update change(void *arg, const struct xe_view *view, struct xe_object *out)
{
    struct change *c = arg;
    size_t len = view->klen + view->blen;
    if (view->flags & XE_REC_KEYBIG || len > XE_RECORD_INLINE_MAX || view->blen < 8)
        return XE_UPDATE_KEEP;
    memcpy(c->bytes, view->key, len);
    c->bytes[view->klen]++;
    for (uint32_t i = 0; i < view->n_handles; i++)
        c->handles[i] = xe_load64(view->handles + 8 * (size_t)i);
    *out = (struct xe_object){.bytes = c->bytes,
                              .klen = view->klen,
                              .len = len,
                              .handles = c->handles,
                              .n_handles = view->n_handles,
                              .n_key_handles = view->n_key_handles,
                              .flags = view->flags & XE_REC_GIVEN};
    return XE_UPDATE_REPLACE;
}

static bool change_byte(void *arg, const struct xe_view *view, struct xe_patch *out)
{
    (void)arg;
    if (view->blen < 8)
        return false;
    *out = (struct xe_patch){.at = view->body, .width = 1, .word = (uint8_t)(view->body[0] + 1)};
    return true;
}

enum xe_status any_update(struct xe_table *t, uint32_t key, bool patch)
{
    struct lookup l;
    struct change c;
    key_make(&l, t, key);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = XE_LIMIT;
    if (patch)
        status = xe_table_patch(t, slot, &l.key, change_byte, NULL);
    if (status == XE_LIMIT)
        status = xe_table_update(t, slot, &l.key, change, &c);
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

enum xe_status any_replace(struct xe_table *t, uint32_t key, uint64_t value)
{
    struct object x;
    struct xe_prepared p;
    struct xe_view view;
    struct xe_version seen;
    struct lookup l;
    key_make(&l, t, key);
    object_make(&x, key, value);
    enum xe_status status = xe_table_prepare(t, &x.o, &p);
    if (status == XE_OK) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_find_version(t, &l.key, &view, &seen);
        if (status == XE_OK)
            status = xe_table_replace(t, slot, &p, &seen);
        xe_epoch_leave(slot);
        if (status != XE_OK)
            xe_record_unprepare(&p);
    }
    object_free(&x);
    lookup_free(&l);
    return status;
}

enum xe_status snapshot_of(struct xe_table *t, struct xe_table **out)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_snapshot(t, slot, false, out);
    xe_epoch_leave(slot);
    return status;
}

/* --- What a table has --------------------------------------------------------- */

/* Of a body inside an image the last bytes may be anything. */
static uint64_t hash_of(const struct xe_view *v)
{
    size_t blen = v->blob ? v->blen : v->blen < XE_RECORD_ALIGN ? 0 : v->blen - XE_RECORD_ALIGN + 1;
    uint64_t hash = XXH3_64bits_withSeed(v->body, blen, XXH3_64bits(v->key, v->klen));
    for (uint32_t i = 0; i < v->n_handles; i++)
        hash = (hash ^ term_value(xe_load64(v->handles + 8 * (size_t)i))) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static void visit(void *arg, const struct xe_view *view)
{
    struct digest *d = arg;
    d->objects++;
    d->sum += hash_of(view);
}

enum { READ = 100 };

/* Reads all of an ordered table, from either end; the sum is that of pairs of a place and an
 * object. */
static struct digest read_in_order(struct xe_table *t, bool reverse)
{
    struct digest d = {0, 0};
    struct xe_range range = {.reverse = reverse};
    struct xe_key key;
    struct xe_view view;
    const uint8_t *recs[READ];
    uint64_t handle, size = xe_table_size(t);
    uint32_t found;
    do {
        CHECK(xe_order_read(t, &range, READ, recs, &found) == XE_OK);
        for (uint32_t i = 0; i < found; i++, d.objects++) {
            uint64_t place = reverse ? size - 1 - d.objects : d.objects;
            xe_record_view(recs[i], &view);
            d.sum += hash_of(&view) * (2 * place + 1);
        }
        if (found) {
            xe_key_of_view(&key, &view, &handle);
            *(reverse ? &range.to : &range.from) = &key;
            range.from_exclusive = range.to_exclusive = true;
        }
    } while (found == READ);
    return d;
}

struct digest digest_of(struct xe_table *t)
{
    struct digest d = {0, 0};
    uint64_t position = 0;
    if (t->kind != XE_ORDERED) {
        while (scan_some(t, &position, 100, visit, &d))
            ;
        return d;
    }
    struct xe_epoch_slot *slot = xe_epoch_enter();
    d = read_in_order(t, false);
    xe_epoch_leave(slot);
    return d;
}

bool same_digest(struct digest a, struct digest b)
{
    return a.objects == b.objects && a.sum == b.sum;
}

/* Each object by its key, or rank. */
static void find_in_order(struct xe_table *t, uint64_t n)
{
    for (uint64_t i = 0; i < n; i += 1 + i % 7) {
        const uint8_t *rec, *same;
        struct xe_view view;
        struct xe_key key;
        uint64_t handle, rank;
        CHECK(xe_order_nth(t, i, &rec) == XE_OK);
        xe_record_view(rec, &view);
        xe_key_of_view(&key, &view, &handle);
        CHECK(xe_order_rank(t, &key, &rank) == XE_OK && rank == i);
        CHECK(xe_table_find_record(t, &key, &same) == XE_OK && same == rec);
        struct xe_range below = {.to = &key, .to_exclusive = true};
        CHECK(xe_order_count(t, &below, &rank) == XE_OK && rank == i);
    }
}

/* All objects of each key, going from key to key. `in_order`: the sum is that of pairs of a place
 * among those of the key and an object. */
static struct digest find_by_keys(struct xe_table *t, struct xe_epoch_slot *slot, bool in_order)
{
    struct digest d = {0, 0};
    struct xe_view view, same;
    struct xe_key key;
    struct xe_run run;
    const struct xe_key *after = NULL;
    uint64_t handles[8];
    while (xe_table_next(t, after, UINT32_MAX, &view) == XE_OK) {
        for (uint32_t i = 0; i < view.n_key_handles; i++)
            handles[i] = xe_load64(view.handles + 8 * (size_t)i);
        xe_key_init(&key, t->seed, view.key, view.klen, handles, view.n_key_handles);
        after = &key;
        CHECK(xe_table_may_go_on(t, slot, &key, false) == XE_OK);
        if (t->kind == XE_SET) {
            bool found;
            CHECK(xe_table_find_many(t, &key, 1, &same, &found) == XE_OK && found);
            visit(&d, &same);
            continue;
        }
        xe_run_begin(&run);
        CHECK(xe_bag_find(t, slot, &key, UINT32_MAX, false, &run) == XE_OK);
        CHECK(xe_bag_member(t, slot, &key, false) == XE_OK);
        for (uint32_t i = 0; i < run.n; i++) {
            CHECK(i == 0 || run.at[i - 1].sequence < run.at[i].sequence);
            xe_record_view(run.at[i].rec, &same);
            d.objects++;
            d.sum += hash_of(&same) * (in_order ? 2 * i + 1 : 1);
        }
        xe_run_end(&run);
    }
    return d;
}

struct digest digest_in_order_of(struct xe_table *t)
{
    struct digest d = {0, 0};
    if (!xe_kind_is_bag(t->kind))
        return digest_of(t);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    d = find_by_keys(t, slot, true);
    xe_epoch_leave(slot);
    return d;
}

bool reads_agree(struct xe_table *t)
{
    struct digest all = digest_of(t), other = {0, 0};
    struct xe_epoch_slot *slot = xe_epoch_enter();
    bool same = xe_table_size(t) == all.objects;
    if (t->kind == XE_ORDERED) {
        find_in_order(t, all.objects);
        same = same && same_digest(read_in_order(t, true), all);
    } else {
        uint64_t slots = xe_table_slots(t);
        for (uint64_t i = 0; i < slots; i++)
            CHECK(xe_table_scan_slot(t, slots, i, visit, &other) == XE_OK);
        same = same && same_digest(other, all) && same_digest(find_by_keys(t, slot, false), all);
    }
    struct xe_table_stats stats;
    xe_table_stats(t, &stats);
    same = same && stats.objects == all.objects;
    xe_epoch_leave(slot);
    return same;
}
