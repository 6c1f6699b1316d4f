/*
 * test_order_random.c - random operations on an ordered table beside a sorted array: with memory,
 * and with allocations that fail.
 *
 * Keys are drawn from a fixed set of strings, with long common beginnings, differences of a byte,
 * up to 64 KB, and strings that are told apart by handles only. XETS_STEPS sets the operations of
 * a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "order.h"
#include "support.h"

enum {
    KEYS = 3000,
    STEPS = 20000,
    LIST_MAX = 400,
    RUN_MAX = 300,
    READ_MAX = 512,
    CHECK_EVERY = 1500,
    VALUE_BYTES = 8,
};

struct text {
    uint8_t *bytes;
    size_t len;
    uint64_t handle; /* 0: none */
    uint64_t rank;   /* of the handle */
};

struct world {
    struct xe_table *t;
    struct rng rng;
    bool failing;
    void *env;
    struct text key[KEYS]; /* in order */
    uint64_t value[KEYS];  /* 0: absent */
    uint64_t next;
};

/* --- Keys ---------------------------------------------------------------- */

static int compare_texts(const void *a, const void *b)
{
    const struct text *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int c = memcmp(x->bytes, y->bytes, n);
    if (c)
        return c;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static struct text text_new(const void *bytes, size_t len)
{
    struct text x = {.bytes = calloc(1, len + XE_READ_SLACK), .len = len};
    CHECK(x.bytes);
    memcpy(x.bytes, bytes, len);
    return x;
}

/* A key of one of many sorts. */
static struct text draw_text(struct world *w, uint32_t i)
{
    static uint8_t b[65536];
    struct rng *r = &w->rng;
    size_t len = 0;
    memset(b, 'x', sizeof b);
    switch (i % 10) {
    case 0: /* short, any bytes, zeros among them */
        for (len = 1 + rng_below(r, 6); len < 2 || rng_chance(r, 1, 2); len++)
            ;
        for (size_t k = 0; k < len; k++)
            b[k] = (uint8_t)rng_below(r, rng_chance(r, 1, 2) ? 3 : 256);
        break;
    case 1: /* numbers behind a common beginning */
    case 2:
    case 3:
        len = (size_t)snprintf((char *)b, sizeof b, "user_event:%08u", rng_below(r, 100000));
        break;
    case 4: /* a byte differs somewhere */
        len = 40;
        b[rng_below(r, 40)] = (uint8_t)rng_below(r, 256);
        break;
    case 5: /* beyond what heads may leave out, and beyond an image */
        len = 200 + rng_below(r, 700);
        b[len - 1 - rng_below(r, 20)] = (uint8_t)rng_below(r, 256);
        break;
    case 6:
        len = i % 100 == 6 ? 1000 + rng_below(r, 64000) : 760 + rng_below(r, 20);
        b[len - 1] = (uint8_t)rng_below(r, 256);
        b[rng_below(r, (uint32_t)len)] = (uint8_t)rng_below(r, 256);
        break;
    case 7: /* four bytes */
        len = 4;
        b[0] = 1, b[1] = 2, b[2] = (uint8_t)rng_below(r, 256), b[3] = (uint8_t)rng_below(r, 256);
        break;
    default: { /* told apart by handles */
        size_t n = i % 100 == 8 ? 900 : 3;
        struct text x = text_new(b, n);
        x.bytes[0] = i % 3 == 0 ? 200 : 7;
        x.rank = 1 + rng_next(r) % 1000000;
        x.handle = terms_add(w->env, x.rank);
        return x;
    }
    }
    return text_new(b, len);
}

static void make_keys(struct world *w)
{
    uint32_t n = 0;
    w->env = terms_new();
    for (uint32_t i = 0; n < KEYS; i++) {
        struct text x = draw_text(w, i);
        bool is_new = true;
        for (uint32_t k = 0; k < n && is_new; k++)
            is_new = compare_texts(&x, &w->key[k]) != 0;
        if (is_new)
            w->key[n++] = x;
        else
            free(x.bytes);
    }
    qsort(w->key, KEYS, sizeof w->key[0], compare_texts);
}

static void key_init(struct world *w, struct xe_key *key, uint32_t i)
{
    struct text *x = &w->key[i];
    xe_key_init_order(key, x->bytes, x->len, &x->handle, x->handle != 0);
}

/* --- Objects ------------------------------------------------------------- */

struct made {
    struct xe_object o;
    uint8_t *bytes;
};

/* A value is a number, with more bytes behind it. */
static void make(struct world *w, struct made *m, uint32_t i, uint64_t value)
{
    struct text *x = &w->key[i];
    size_t more = value % 97 == 0 ? 1500 : value % 40;
    size_t len = x->len + VALUE_BYTES + more;
    m->bytes = calloc(1, len + XE_READ_SLACK);
    CHECK(m->bytes);
    memcpy(m->bytes, x->bytes, x->len);
    memcpy(m->bytes + x->len, &value, VALUE_BYTES);
    m->o = (struct xe_object){.bytes = m->bytes, .klen = x->len, .len = len,
                              .handles = &x->handle, .n_handles = x->handle != 0,
                              .n_key_handles = x->handle != 0, .pinned = 100};
}

static bool shows(const struct world *w, const struct xe_view *v, uint32_t i)
{
    return v->klen == w->key[i].len && memcmp(v->key, w->key[i].bytes, v->klen) == 0 &&
           v->n_key_handles == (w->key[i].handle != 0) &&
           (!v->n_key_handles || term_value(xe_load64(v->handles)) == w->key[i].rank) &&
           v->blen >= VALUE_BYTES && xe_load64(v->body) == w->value[i];
}

static bool shows_record(const struct world *w, const uint8_t *rec, uint32_t i)
{
    struct xe_view v;
    xe_record_view(rec, &v);
    return shows(w, &v, i);
}

/* Whether the status is one of failed memory, in a run that allows for it. */
static bool is_failure(const struct world *w, enum xe_status status)
{
    return w->failing && status == XE_NOMEM;
}

/* --- Operations ---------------------------------------------------------- */

static void do_put(struct world *w, uint32_t i, enum xe_put mode)
{
    struct made m;
    struct xe_prepared p;
    uint64_t value = ++w->next;
    make(w, &m, i, value);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_prepare(w->t, &m.o, &p);
    if (status == XE_OK && (status = xe_table_put(w->t, slot, &p, mode)) != XE_OK)
        xe_record_unprepare(&p);
    xe_epoch_leave(slot);
    free(m.bytes);
    if (is_failure(w, status))
        return;
    CHECK(status == (mode == XE_PUT_NEW && w->value[i] ? XE_EXISTS : XE_OK));
    if (status == XE_OK)
        w->value[i] = value;
}

static void do_list(struct world *w)
{
    static struct made m[LIST_MAX];
    static struct xe_prepared p[LIST_MAX];
    static uint32_t at[LIST_MAX];
    uint32_t n = 1 + rng_below(&w->rng, LIST_MAX - 1), first = rng_below(&w->rng, KEYS);
    bool run = rng_chance(&w->rng, 1, 2), exists = false;
    enum xe_put mode = rng_chance(&w->rng, 1, 3) ? XE_PUT_NEW : XE_PUT;
    enum xe_status status = XE_OK;
    uint32_t prepared = 0;
    uint64_t base = w->next;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    for (uint32_t k = 0; k < n; k++) {
        at[k] = run ? (first + k) % KEYS : rng_below(&w->rng, KEYS);
        exists |= w->value[at[k]] != 0;
        make(w, &m[k], at[k], base + k + 1);
    }
    w->next += n;
    for (; prepared < n && status == XE_OK; prepared++)
        status = xe_table_prepare(w->t, &m[prepared].o, &p[prepared]);
    if (status != XE_OK)
        prepared--;
    if (status == XE_OK)
        status = xe_table_put_many(w->t, slot, p, n, mode, false);
    for (uint32_t k = 0; status != XE_OK && k < prepared; k++)
        xe_record_unprepare(&p[k]);
    xe_epoch_leave(slot);
    for (uint32_t k = 0; k < n; k++)
        free(m[k].bytes);
    if (is_failure(w, status))
        return;
    CHECK(status == (mode == XE_PUT_NEW && exists ? XE_EXISTS : XE_OK));
    for (uint32_t k = 0; status == XE_OK && k < n; k++)
        w->value[at[k]] = base + k + 1;
}

static void do_remove(struct world *w, uint32_t i)
{
    struct xe_key key;
    struct xe_view v;
    key_init(w, &key, i);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_remove(w->t, slot, &key, NULL, &v);
    CHECK(status == (w->value[i] ? XE_OK : XE_ABSENT));
    CHECK(status != XE_OK || shows(w, &v, i));
    xe_epoch_leave(slot);
    w->value[i] = 0;
}

static int64_t edge(const struct world *w, bool last)
{
    for (uint32_t k = 0; k < KEYS; k++)
        if (w->value[last ? KEYS - 1 - k : k])
            return last ? KEYS - 1 - k : k;
    return -1;
}

static void do_pop(struct world *w, bool last)
{
    struct xe_view v;
    int64_t i = edge(w, last);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_order_pop(w->t, slot, last, &v);
    CHECK(status == (i < 0 ? XE_ABSENT : XE_OK));
    CHECK(i < 0 || shows(w, &v, (uint32_t)i));
    xe_epoch_leave(slot);
    if (i >= 0)
        w->value[i] = 0;
}

static void check_key(struct world *w, uint32_t i)
{
    struct xe_key key;
    struct xe_view v;
    uint64_t rank, below = 0;
    key_init(w, &key, i);
    for (uint32_t k = 0; k < i; k++)
        below += w->value[k] != 0;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK(xe_table_find(w->t, &key, &v) == (w->value[i] ? XE_OK : XE_ABSENT));
    CHECK(!w->value[i] || shows(w, &v, i));
    CHECK(xe_order_rank(w->t, &key, &rank) == (w->value[i] ? XE_OK : XE_ABSENT));
    CHECK(rank == below);
    xe_epoch_leave(slot);
}

static void do_nth(struct world *w)
{
    uint64_t n = 0, i = rng_below(&w->rng, KEYS + 10);
    uint32_t k = 0;
    const uint8_t *rec;
    for (; k < KEYS && (!w->value[k] || n++ < i); k++)
        ;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK(xe_order_nth(w->t, i, &rec) == (k < KEYS ? XE_OK : XE_ABSENT));
    CHECK(k == KEYS || shows_record(w, rec, k));
    xe_epoch_leave(slot);
}

/* Reads a range piece by piece, and counts it. */
static void check_range(struct world *w, struct xe_range *range, int64_t lo, int64_t hi,
                        uint32_t piece)
{
    const uint8_t *recs[READ_MAX];
    struct xe_key last;
    uint64_t handle, n, all = 0;
    uint32_t found;
    bool reverse = range->reverse;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    for (int64_t k = lo; k <= hi; k++)
        all += w->value[k] != 0;
    CHECK(xe_order_count(w->t, range, &n) == XE_OK);
    CHECK(n == all);
    int64_t k = reverse ? hi : lo;
    do {
        CHECK(xe_order_read(w->t, range, piece, recs, &found) == XE_OK);
        for (uint32_t j = 0; j < found; j++, k += reverse ? -1 : 1) {
            while (k >= lo && k <= hi && !w->value[k])
                k += reverse ? -1 : 1;
            CHECK(k >= lo && k <= hi);
            CHECK(shows_record(w, recs[j], (uint32_t)k));
        }
        if (found) {
            struct xe_view v;
            xe_record_view(recs[found - 1], &v);
            xe_key_of_view(&last, &v, &handle);
            *(reverse ? &range->to : &range->from) = &last;
            *(reverse ? &range->to_exclusive : &range->from_exclusive) = true;
        }
    } while (found == piece);
    for (; k >= lo && k <= hi; k += reverse ? -1 : 1)
        CHECK(w->value[k] == 0);
    xe_epoch_leave(slot);
}

static void do_range(struct world *w)
{
    struct rng *r = &w->rng;
    struct xe_key from, to;
    uint32_t a = rng_below(r, KEYS), b = rng_below(r, KEYS);
    int64_t lo = 0, hi = KEYS - 1;
    struct xe_range range = {.reverse = rng_chance(r, 1, 2)};
    if (rng_chance(r, 3, 4)) {
        key_init(w, &from, a);
        range.from = &from;
        range.from_exclusive = rng_chance(r, 1, 2);
        lo = a + (int64_t)range.from_exclusive;
    }
    if (rng_chance(r, 3, 4)) {
        key_init(w, &to, b);
        range.to = &to;
        range.to_exclusive = rng_chance(r, 1, 2);
        hi = (int64_t)b - range.to_exclusive;
    }
    check_range(w, &range, lo, hi, 1 + rng_below(r, rng_chance(r, 1, 2) ? 5 : READ_MAX - 1));
}

static void do_clear(struct world *w)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_clear(w->t, slot, NULL);
    xe_epoch_leave(slot);
    if (status == XE_OK)
        memset(w->value, 0, sizeof w->value);
}

/* Bytes without a handle stand before or behind all keys with these bytes. */
static void do_bytes_range(struct world *w)
{
    struct xe_key from, to;
    uint32_t a = rng_below(&w->rng, KEYS);
    struct text *x = &w->key[a];
    int64_t lo = a, hi = a;
    while (lo > 0 && w->key[lo - 1].len == x->len &&
           memcmp(w->key[lo - 1].bytes, x->bytes, x->len) == 0)
        lo--;
    while (hi + 1 < KEYS && w->key[hi + 1].len == x->len &&
           memcmp(w->key[hi + 1].bytes, x->bytes, x->len) == 0)
        hi++;
    xe_key_init_order(&from, x->bytes, x->len, NULL, 0);
    xe_key_init_order(&to, x->bytes, x->len, NULL, 0);
    struct xe_range range = {.from = &from, .to = &to, .reverse = rng_chance(&w->rng, 1, 2)};
    check_range(w, &range, lo, hi, 1 + rng_below(&w->rng, 50));
}

static void check_all(struct world *w)
{
    struct xe_range up = {0}, down = {.reverse = true};
    for (uint32_t i = 0; i < KEYS; i += 7)
        check_key(w, i);
    check_range(w, &up, 0, KEYS - 1, READ_MAX);
    check_range(w, &down, 0, KEYS - 1, READ_MAX);
    CHECK(is_valid(w->t));
}

static void step(struct world *w)
{
    struct rng *r = &w->rng;
    uint32_t i = rng_below(r, KEYS), d = rng_below(r, 1000);
    if (d < 400) {
        do_put(w, i, rng_chance(r, 1, 5) ? XE_PUT_NEW : XE_PUT);
    } else if (d < 420) {
        bool up = rng_chance(r, 1, 2);
        for (uint32_t k = 0, n = rng_below(r, RUN_MAX); k < n && i + k < KEYS; k++)
            do_put(w, up ? i + k : KEYS - 1 - i - k, XE_PUT);
    } else if (d < 450) {
        do_list(w);
    } else if (d < 700) {
        do_remove(w, i);
    } else if (d < 712) {
        for (uint32_t k = 0, n = rng_below(r, RUN_MAX); k < n && i + k < KEYS; k++)
            do_remove(w, i + k);
    } else if (d < 760) {
        bool last = rng_chance(r, 1, 2);
        for (uint32_t k = 0, n = rng_below(r, 40); k < n; k++)
            do_pop(w, last);
    } else if (d < 900) {
        check_key(w, i);
    } else if (d < 950) {
        do_nth(w);
    } else if (d < 985) {
        do_range(w);
    } else if (d < 999) {
        do_bytes_range(w);
    } else {
        do_clear(w);
    }
}

static void run(uint64_t purpose, uint32_t max_objects, bool failing)
{
    static struct world world;
    struct world *w = &world;
    const char *steps = getenv("XETS_STEPS");
    uint32_t n = steps ? (uint32_t)atoi(steps) : STEPS;
    struct xe_table_config config = {.seed = 1, .kind = XE_ORDERED, .max_objects = max_objects};
    memset(w, 0, sizeof *w);
    w->rng = rng_for(purpose);
    w->failing = failing;
    make_keys(w);
    w->t = xe_table_new(&config);
    CHECK(w->t);
    for (uint32_t i = 0; i < n; i++) {
        if (failing)
            memory_fail_rate(i / 1000 % 3 == 2 ? 0 : 60, &w->rng);
        step(w);
        memory_fail_never();
        if (i % CHECK_EVERY == 0)
            check_all(w);
    }
    check_all(w);
    xe_table_delete(w->t);
    for (uint32_t i = 0; i < KEYS; i++)
        free(w->key[i].bytes);
    terms_free(w->env);
}

static void with_small_segments(void **state)
{
    run(1, 16, false);
}

static void with_segments(void **state)
{
    run(2, 0, false);
}

static void with_failing_memory(void **state)
{
    run(3, 16, true);
    run(4, 0, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(with_small_segments),
        TEST(with_segments),
        TEST(with_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
