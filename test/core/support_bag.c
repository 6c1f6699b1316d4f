/*
 * support_bag.c - see support_bag.h.
 */
#include "support_bag.h"

#include <stdlib.h>

#include "table_internal.h"

/* --- Calls --------------------------------------------------------------- */

struct xe_table *bag_new(enum xe_kind kind, uint32_t max_objects)
{
    struct rng r = rng_for(0xba6);
    struct xe_table_config config = {.seed = rng_next(&r), .kind = kind,
                                     .max_objects = max_objects};
    struct xe_table *t = xe_table_new(&config);
    CHECK(t != NULL);
    return t;
}

static enum xe_status put_to_bag(struct xe_table *t, struct xe_epoch_slot *slot,
                                 struct xe_prepared *p, enum xe_put mode)
{
    return xe_bag_put(t, slot, p, mode, false);
}

enum xe_status bag_put(struct xe_table *t, uint32_t key, uint64_t value, enum xe_put mode)
{
    return put_by(put_to_bag, t, key, value, mode);
}

static enum xe_status remove_object(struct xe_table *t, uint32_t key, uint64_t value,
                                    uint32_t *removed)
{
    struct object x;
    struct xe_prepared p;
    object_make(&x, key, value);
    enum xe_status status = xe_table_prepare(t, &x.o, &p);
    if (status == XE_OK) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_bag_remove(t, slot, &p, false, removed);
        xe_epoch_leave(slot);
        xe_record_unprepare(&p);
    }
    object_free(&x);
    return status;
}

enum xe_status bag_remove(struct xe_table *t, uint32_t key, uint64_t value)
{
    return remove_object(t, key, value, NULL);
}

uint32_t bag_remove_counted(struct xe_table *t, uint32_t key, uint64_t value)
{
    uint32_t n = UINT32_MAX;
    enum xe_status status = remove_object(t, key, value, &n);
    CHECK(status == (n ? XE_OK : XE_ABSENT));
    return n;
}

void finding_begin(struct finding *f, struct xe_table *t, uint32_t key)
{
    lookup_make(&f->lookup, xe_table_seed(t), key);
    xe_run_begin(&f->run);
    f->slot = xe_epoch_enter();
}

void finding_end(struct finding *f)
{
    xe_epoch_leave(f->slot);
    xe_run_end(&f->run);
    lookup_free(&f->lookup);
}

/* The number of the object at a place of a group. */
static enum xe_status find_number(struct xe_table *t, uint32_t key, uint32_t at, uint64_t *number)
{
    struct finding f;
    finding_begin(&f, t, key);
    enum xe_status status = xe_bag_find(t, f.slot, &f.lookup.key, UINT32_MAX, false, &f.run);
    if (status == XE_OK && at >= f.run.n)
        status = XE_ABSENT;
    if (status == XE_OK)
        *number = f.run.at[at].sequence;
    finding_end(&f);
    return status;
}

enum xe_status bag_replace(struct xe_table *t, uint32_t key, uint32_t at, uint64_t old,
                           uint64_t value)
{
    struct object x, y;
    struct xe_prepared was, p;
    uint64_t number;
    enum xe_status status = find_number(t, key, at, &number);
    if (status != XE_OK)
        return status;
    object_make(&x, key, old);
    object_make(&y, key, value);
    status = xe_table_prepare(t, &x.o, &was);
    if (status == XE_OK) {
        status = xe_table_prepare(t, &y.o, &p);
        if (status == XE_OK) {
            struct xe_epoch_slot *slot = xe_epoch_enter();
            status = xe_bag_replace(t, slot, &was, number, &p, false);
            xe_epoch_leave(slot);
            if (status != XE_OK)
                xe_record_unprepare(&p);
        }
        xe_record_unprepare(&was);
    }
    object_free(&x);
    object_free(&y);
    return status;
}

enum xe_status bag_member(struct xe_table *t, uint32_t key)
{
    struct lookup l;
    lookup_make(&l, xe_table_seed(t), key);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_bag_member(t, slot, &l.key, false);
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

static bool run_is(const struct xe_run *run, uint32_t key, const uint64_t *values, uint32_t n)
{
    bool same = run->n == n;
    for (uint32_t i = 0; same && i < n; i++) {
        struct xe_view view;
        xe_record_view(run->at[i].rec, &view);
        same = view_is(&view, key, values[i]);
    }
    return same;
}

static enum xe_status find_or_take(struct xe_table *t, uint32_t key, uint32_t most, bool takes,
                                   const uint64_t *values, uint32_t n)
{
    struct finding f;
    finding_begin(&f, t, key);
    enum xe_status status =
        takes ? xe_bag_take(t, f.slot, &f.lookup.key, most, NULL, NULL, false, &f.run)
              : xe_bag_find(t, f.slot, &f.lookup.key, most, false, &f.run);
    if (status == XE_OK && !run_is(&f.run, key, values, n))
        status = XE_EXISTS;
    finding_end(&f);
    return status;
}

enum xe_status bag_find(struct xe_table *t, uint32_t key, uint32_t most, const uint64_t *values,
                        uint32_t n)
{
    return find_or_take(t, key, most, false, values, n);
}

enum xe_status bag_take(struct xe_table *t, uint32_t key, uint32_t most, const uint64_t *values,
                        uint32_t n)
{
    return find_or_take(t, key, most, true, values, n);
}

enum xe_status bag_drop(struct xe_table *t, uint32_t key)
{
    struct lookup l;
    lookup_make(&l, xe_table_seed(t), key);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status =
        xe_bag_take(t, slot, &l.key, UINT32_MAX, NULL, NULL, false, NULL);
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

uint32_t bag_count(struct xe_table *t, uint32_t key)
{
    struct finding f;
    finding_begin(&f, t, key);
    enum xe_status status = xe_bag_find(t, f.slot, &f.lookup.key, UINT32_MAX, false, &f.run);
    uint32_t n = f.run.n;
    CHECK(status == (n ? XE_OK : XE_ABSENT));
    finding_end(&f);
    return n;
}

/* --- Structure ----------------------------------------------------------- */

static uint32_t longest_chain(const struct xe_image *img)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < img->nbuckets; i++) {
        const struct xe_bucket *b = xe_image_buckets(img) + i;
        uint32_t n = 1;
        for (; b->link; b = xe_image_linked(img, b->link))
            n++;
        longest = n > longest ? n : longest;
    }
    return longest;
}

struct shape shape_of(struct xe_table *t)
{
    struct shape shape = {0};
    uint64_t position = 0;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    do {
        const struct xe_segment *s = xe_directory_find(t, position);
        const struct xe_image *img = xe_segment_image(s);
        uint32_t chain = longest_chain(img), objects = atomic_load(&img->count);
        shape.segments++;
        shape.chain = chain > shape.chain ? chain : shape.chain;
        shape.objects = objects > shape.objects ? objects : shape.objects;
        position = s->hi + 1;
    } while (position);
    xe_epoch_leave(slot);
    return shape;
}

/* --- Values -------------------------------------------------------------- */

static uint64_t value_draw(struct rng *r)
{
    uint64_t n = rng_next(r) >> 24;
    uint32_t d = rng_below(r, 1000);
    uint64_t kind = d < 700   ? VALUE_SMALL
                    : d < 760 ? VALUE_MEDIUM
                    : d < 780 ? VALUE_LARGE
                    : d < 781 ? VALUE_GIANT
                    : d < 860 ? VALUE_TERMS
                    : d < 880 ? VALUE_PIN
                    : d < 885 ? VALUE_PIN_LARGE
                              : VALUE_LOOSE;
    return VALUE(kind, n);
}

static uint64_t identity_with_key(uint64_t value)
{
    struct object x;
    object_make(&x, short_key(0), value);
    uint64_t identity = x.o.identity;
    object_free(&x);
    return identity;
}

void values_draw(struct rng *r, uint64_t *pool, uint32_t n)
{
    uint64_t *taken = malloc(n * sizeof *taken);
    CHECK(taken != NULL);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t value = i ? value_draw(r) : VALUE(VALUE_EMPTY, 0);
        /* Short bodies may be the same. */
        uint64_t identity = identity_with_key(value);
        uint32_t k = 0;
        while (k < i && taken[k] != identity)
            k++;
        if (k < i) {
            i--;
            continue;
        }
        pool[i] = value;
        taken[i] = identity;
    }
    free(taken);
}

/* --- The model ----------------------------------------------------------- */

bool group_has(const struct group *g, uint64_t value)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (values_equal(g->at[i], value))
            return true;
    return false;
}

void group_add(struct group *g, enum xe_kind kind, uint64_t value)
{
    if (kind == XE_BAG && group_has(g, value))
        return;
    if (g->n == g->cap) {
        g->cap = g->cap ? 2 * g->cap : 16;
        g->at = realloc(g->at, g->cap * sizeof *g->at);
        CHECK(g->at != NULL);
    }
    g->at[g->n++] = value;
}

uint32_t group_remove(struct group *g, uint64_t value)
{
    uint32_t kept = 0, n = g->n;
    for (uint32_t i = 0; i < n; i++)
        if (!values_equal(g->at[i], value))
            g->at[kept++] = g->at[i];
    g->n = kept;
    return n - kept;
}

void group_free(struct group *g)
{
    free(g->at);
    *g = (struct group){0};
}
