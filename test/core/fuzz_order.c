/*
 * fuzz_order.c - a libFuzzer target: operations and keys out of bytes, on an ordered table beside a
 * sorted array. `make -C c_src fuzz` builds it with libFuzzer; without it, it is a program that
 * replays inputs drawn from XETS_SEED, as many as its argument says.
 */
#include <stdio.h>
#include <stdlib.h>

#include "order.h"
#include "reclaim.h"
#include "support.h"

enum {
    KEY_MAX = 800,
    OBJECTS = 1500,
    LIST_MAX = 40,
    READ_MAX = 64,
    VALUE_BYTES = 8,
    LARGE = 1500, /* bytes of a body that goes into a blob */
};

struct name {
    uint8_t bytes[KEY_MAX + XE_READ_SLACK];
    uint32_t len;
    uint64_t rank; /* of its handle; 0: it has none */
};

struct pair {
    struct name name;
    uint64_t value;
};

static struct world {
    const uint8_t *in;
    size_t left;
    struct xe_table *t;
    struct pair at[OBJECTS]; /* in order */
    uint32_t n;
    uint64_t next;
} world;

/* --- The input ------------------------------------------------------------ */

static uint32_t byte(struct world *w)
{
    if (!w->left)
        return 0;
    w->left--;
    return *w->in++;
}

static void set_bytes(struct name *x, uint32_t beginning, uint8_t of, const void *bytes, uint32_t len)
{
    memset(x, 0, sizeof *x);
    memset(x->bytes, of, beginning);
    memcpy(x->bytes + beginning, bytes, len);
    x->len = beginning + len;
}

/* The key of a number in a family whose keys differ in another way each. */
static void name_numbered(struct name *x, uint32_t family, uint32_t n)
{
    static const uint16_t beginnings[] = {0, 30, 240, 770};
    uint8_t big[2] = {(uint8_t)(n >> 8), (uint8_t)n};
    if (family < 4) {
        set_bytes(x, beginnings[family], 'p', big, 2);
    } else if (family == 4) { /* only the length */
        set_bytes(x, n % 300 + 1, (uint8_t)(n >> 9), big, 0);
    } else { /* only the handle; no other key has these bytes */
        set_bytes(x, 31, 0xfe, big, 0);
        x->rank = n + 1;
    }
}

static void read_name(struct world *w, struct name *x)
{
    uint32_t family = byte(w) % 8, n;
    uint8_t raw[8];
    if (family >= 6) {
        n = 1 + byte(w) % 8;
        for (uint32_t i = 0; i < n; i++)
            raw[i] = (uint8_t)byte(w);
        set_bytes(x, family == 6 ? 0 : 20, 'p', raw, n);
    } else {
        n = byte(w) << 8;
        name_numbered(x, family, n | byte(w));
    }
}

/* --- The array ------------------------------------------------------------ */

static int compare(const struct name *a, const struct name *b)
{
    int c = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
    if (c)
        return c;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

/* How many keys of the array are below (with `behind`: or are it). */
static uint32_t below(const struct world *w, const struct name *x, bool behind)
{
    uint32_t low = 0, end = w->n;
    while (low < end) {
        uint32_t middle = low + (end - low) / 2;
        if (compare(&w->at[middle].name, x) < (int)behind)
            low = middle + 1;
        else
            end = middle;
    }
    return low;
}

static bool is_there(const struct world *w, const struct name *x, uint32_t i)
{
    return i < w->n && compare(&w->at[i].name, x) == 0;
}

static void array_put(struct world *w, const struct name *x, uint64_t value)
{
    uint32_t i = below(w, x, false);
    if (!is_there(w, x, i)) {
        memmove(&w->at[i + 1], &w->at[i], (w->n - i) * sizeof w->at[0]);
        w->at[i].name = *x;
        w->n++;
    }
    w->at[i].value = value;
}

static void array_remove(struct world *w, uint32_t i)
{
    w->n--;
    memmove(&w->at[i], &w->at[i + 1], (w->n - i) * sizeof w->at[0]);
}

/* --- Objects -------------------------------------------------------------- */

struct made {
    struct xe_object o;
    struct xe_key key;
    uint8_t bytes[KEY_MAX + LARGE + XE_READ_SLACK];
    void *env;
    uint64_t handle;
};

static void make(struct made *m, const struct name *x, uint64_t value)
{
    size_t body = value % 29 == 28 ? LARGE : VALUE_BYTES + value % 16;
    memset(m->bytes + x->len, 0, body);
    memcpy(m->bytes, x->bytes, x->len);
    memcpy(m->bytes + x->len, &value, VALUE_BYTES);
    m->env = x->rank ? terms_new() : NULL;
    m->handle = m->env ? terms_add(m->env, x->rank) : 0;
    m->o = (struct xe_object){.bytes = m->bytes, .klen = x->len, .len = x->len + body,
                              .handles = &m->handle, .n_handles = x->rank != 0,
                              .n_key_handles = x->rank != 0};
    xe_key_init_order(&m->key, m->bytes, x->len, &m->handle, x->rank != 0);
}

static void unmake(struct made *m)
{
    if (m->env)
        terms_free(m->env);
}

static bool shows(const struct xe_view *v, const struct pair *p)
{
    return v->klen == p->name.len && memcmp(v->key, p->name.bytes, v->klen) == 0 &&
           v->n_key_handles == (p->name.rank != 0) &&
           (!v->n_key_handles || term_value(xe_load64(v->handles)) == p->name.rank) &&
           v->blen >= VALUE_BYTES && xe_load64(v->body) == p->value;
}

static bool shows_record(const uint8_t *rec, const struct pair *p)
{
    struct xe_view v;
    xe_record_view(rec, &v);
    return shows(&v, p);
}

/* --- Operations ----------------------------------------------------------- */

/* n keys: all at once, or the only one. */
static void put_all(struct world *w, const struct name *x, uint32_t n, enum xe_put mode, bool list)
{
    static struct made m[LIST_MAX];
    struct xe_prepared p[LIST_MAX];
    enum xe_status status;
    bool exists = false;
    for (uint32_t i = 0; i < n; i++) {
        exists |= is_there(w, &x[i], below(w, &x[i], false));
        make(&m[i], &x[i], w->next + i);
        CHECK(xe_table_prepare(w->t, &m[i].o, &p[i]) == XE_OK);
    }
    struct xe_epoch_slot *slot = xe_epoch_enter();
    status = list ? xe_table_put_many(w->t, slot, p, n, mode, false)
                  : xe_table_put(w->t, slot, &p[0], mode);
    xe_epoch_leave(slot);
    CHECK(status == (mode == XE_PUT_NEW && exists ? XE_EXISTS : XE_OK));
    for (uint32_t i = 0; i < n; i++) {
        if (status == XE_OK)
            array_put(w, &x[i], w->next + i);
        else
            xe_record_unprepare(&p[i]);
        unmake(&m[i]);
    }
    w->next += n;
}

static void put_one(struct world *w, const struct name *x, enum xe_put mode)
{
    if (w->n < OBJECTS)
        put_all(w, x, 1, mode, false);
}

static void list_of(struct world *w)
{
    static struct name names[LIST_MAX];
    uint32_t n = 1 + byte(w) % LIST_MAX, how = byte(w), family = byte(w) % 6, first = byte(w) << 8;
    if (w->n + n > OBJECTS)
        return;
    first |= byte(w);
    for (uint32_t i = 0; i < n; i++) {
        if (how % 4 == 0)
            read_name(w, &names[i]);
        else
            name_numbered(&names[i], family, (first + i * (how % 4)) & 0xffff);
    }
    put_all(w, names, n, how & 128 ? XE_PUT_NEW : XE_PUT, true);
}

static void remove_one(struct world *w, const struct name *x)
{
    static struct made m;
    struct xe_view v;
    uint32_t i = below(w, x, false);
    bool there = is_there(w, x, i);
    make(&m, x, 0);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK(xe_table_remove(w->t, slot, &m.key, NULL, &v) == (there ? XE_OK : XE_ABSENT));
    CHECK(!there || shows(&v, &w->at[i]));
    xe_epoch_leave(slot);
    unmake(&m);
    if (there)
        array_remove(w, i);
}

/* Neighbouring keys, upwards or downwards. */
static void run_of(struct world *w, bool put)
{
    struct name x;
    uint32_t n = byte(w), how = byte(w), family = how % 6, at = byte(w) << 8;
    at |= byte(w);
    for (uint32_t i = 0; i < n; i++) {
        name_numbered(&x, family, (how & 128 ? at + i : at - i) & 0xffff);
        if (put)
            put_one(w, &x, XE_PUT);
        else
            remove_one(w, &x);
    }
}

static void pop(struct world *w, bool last)
{
    struct xe_view v;
    uint32_t i = last && w->n ? w->n - 1 : 0;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK(xe_order_pop(w->t, slot, last, &v) == (w->n ? XE_OK : XE_ABSENT));
    CHECK(!w->n || shows(&v, &w->at[i]));
    xe_epoch_leave(slot);
    if (w->n)
        array_remove(w, i);
}

static void look_for(struct world *w, const struct name *x)
{
    static struct made m;
    struct xe_view v;
    uint64_t rank;
    uint32_t i = below(w, x, false);
    enum xe_status expected = is_there(w, x, i) ? XE_OK : XE_ABSENT;
    make(&m, x, 0);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK(xe_table_find(w->t, &m.key, &v) == expected);
    CHECK(expected != XE_OK || shows(&v, &w->at[i]));
    CHECK(xe_order_rank(w->t, &m.key, &rank) == expected);
    CHECK(rank == i);
    xe_epoch_leave(slot);
    unmake(&m);
}

static void nth(struct world *w, uint32_t i)
{
    const uint8_t *rec;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK(xe_order_nth(w->t, i, &rec) == (i < w->n ? XE_OK : XE_ABSENT));
    CHECK(i >= w->n || shows_record(rec, &w->at[i]));
    xe_epoch_leave(slot);
}

/* Reads the objects low..end-1 of the array piece by piece. */
static void read_range(struct world *w, struct xe_range range, uint32_t low, uint32_t end,
                       uint32_t piece)
{
    const uint8_t *recs[READ_MAX];
    struct xe_key last;
    uint64_t handle, n;
    uint32_t found;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK(xe_order_count(w->t, &range, &n) == XE_OK);
    CHECK(n == (end > low ? end - low : 0));
    do {
        CHECK(xe_order_read(w->t, &range, piece, recs, &found) == XE_OK);
        for (uint32_t i = 0; i < found; i++) {
            CHECK(low < end);
            CHECK(shows_record(recs[i], &w->at[range.reverse ? --end : low++]));
        }
        if (found) {
            struct xe_view v;
            xe_record_view(recs[found - 1], &v);
            xe_key_of_view(&last, &v, &handle);
            *(range.reverse ? &range.to : &range.from) = &last;
            *(range.reverse ? &range.to_exclusive : &range.from_exclusive) = true;
        }
    } while (found == piece);
    CHECK(low >= end);
    xe_epoch_leave(slot);
}

static void some_range(struct world *w)
{
    static struct made from, to;
    struct name a, b;
    uint32_t how = byte(w), piece = 1 + byte(w) % READ_MAX;
    read_name(w, &a);
    read_name(w, &b);
    make(&from, &a, 0);
    make(&to, &b, 0);
    struct xe_range range = {.from = how & 1 ? &from.key : NULL, .to = how & 2 ? &to.key : NULL,
                             .from_exclusive = how & 4, .to_exclusive = how & 8,
                             .reverse = how & 16};
    read_range(w, range, range.from ? below(w, &a, range.from_exclusive) : 0,
               range.to ? below(w, &b, !range.to_exclusive) : w->n, piece);
    unmake(&from);
    unmake(&to);
}

static void clear(struct world *w)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK(xe_table_clear(w->t, slot, NULL) == XE_OK);
    xe_epoch_leave(slot);
    w->n = 0;
}

static void step(struct world *w)
{
    struct name x;
    uint32_t op = byte(w);
    switch (op % 16) {
    default:
        read_name(w, &x);
        put_one(w, &x, op % 16 == 0 ? XE_PUT_NEW : XE_PUT);
        break;
    case 5:
    case 6:
        read_name(w, &x);
        remove_one(w, &x);
        break;
    case 7:
        for (uint32_t n = byte(w) % 32; n; n--)
            pop(w, op & 128);
        break;
    case 8:
        read_name(w, &x);
        look_for(w, &x);
        break;
    case 9:
        nth(w, byte(w) * 4);
        break;
    case 10:
    case 11:
        some_range(w);
        break;
    case 12:
        list_of(w);
        break;
    case 13:
        run_of(w, true);
        break;
    case 14:
        run_of(w, false);
        break;
    case 15:
        if (op >= 0xf0)
            clear(w);
        else if (w->n) /* one that is there */
            look_for(w, &w->at[byte(w) % w->n].name);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t sizes[] = {8, 16, 100, 0};
    static bool started;
    struct world *w = &world;
    if (!started)
        core_start();
    started = true;
    w->in = data;
    w->left = size;
    w->n = 0;
    w->next = 1;
    struct xe_table_config config = {
        .seed = 1, .kind = XE_ORDERED, .max_objects = sizes[byte(w) % 4]};
    w->t = xe_table_new(&config);
    CHECK(w->t);
    while (w->left)
        step(w);
    read_range(w, (struct xe_range){0}, 0, w->n, READ_MAX);
    read_range(w, (struct xe_range){.reverse = true}, 0, w->n, 1);
    CHECK(is_valid(w->t));
    xe_table_delete(w->t);
    xe_reclaim_drain();
    return 0;
}

#ifndef XE_LIBFUZZER
int main(int argc, char **argv)
{
    static uint8_t input[2000];
    uint32_t n = argc > 1 ? (uint32_t)atoi(argv[1]) : 150;
    struct rng r = rng_for(1);
    while (n--) {
        size_t size = rng_below(&r, sizeof input);
        for (size_t i = 0; i < size; i++)
            input[i] = (uint8_t)rng_next(&r);
        LLVMFuzzerTestOneInput(input, size);
    }
    bool stopped = core_stop();
    puts(stopped ? "ok: fuzz_order" : "not ok: fuzz_order");
    return !stopped;
}
#endif
