/*
 * stress_order.c - ordered tables under many threads: what must hold whatever the others do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "order.h"
#include "stress.h"

/* --- Keys are numbers, written in one of some ways that keep their order --- */

enum style {
    PLAIN,  /* 8 bytes */
    SHARED, /* the same with a beginning that they have in common */
    HUGE,   /* with one so long that records have but the first bytes of it */
    HANDLE, /* no bytes that tell them apart: a handle does */
    LARGE,  /* plain; bodies are in blobs, of every third number */
    STYLES,
};

static enum style style;

enum {
    BEGINNING = 900,
    BEFORE = BEGINNING - 40, /* where the short beginning starts */
    KEY_AT = BEGINNING,
    BODY_MAX = 1500,
};

struct entry {
    uint8_t bytes[BEGINNING + 8 + BODY_MAX + XE_READ_SLACK];
    uint64_t number;
    void *env;
    uint64_t handle;
    struct xe_object o;
    struct xe_key key;
};

static size_t body_of(uint64_t number)
{
    return style == LARGE && number % 3 == 0 ? BODY_MAX : sizeof(struct body);
}

/* The key of a number, and an object with it. */
static void entry_make(struct entry *e, uint64_t number, uint64_t count)
{
    size_t from = style == HUGE ? 0 : style == SHARED ? BEFORE : KEY_AT;
    struct body body = {.check = check_of(number), .count = count};
    uint64_t written = style == HANDLE ? 0 : __builtin_bswap64(number);
    memset(e->bytes, 'k', KEY_AT);
    memcpy(e->bytes + KEY_AT, &written, 8);
    memset(e->bytes + KEY_AT + 8, (int)(number & 0xff), sizeof e->bytes - KEY_AT - 8);
    memcpy(e->bytes + KEY_AT + 8, &body, sizeof body);
    e->number = number;
    e->env = style == HANDLE ? terms_new() : NULL;
    e->handle = e->env ? terms_add(e->env, number) : 0;
    size_t klen = KEY_AT + 8 - from;
    xe_key_init_order(&e->key, e->bytes + from, klen, &e->handle, e->env != NULL);
    e->o = (struct xe_object){.bytes = e->bytes + from, .klen = klen,
                              .len = klen + body_of(number), .handles = &e->handle,
                              .n_handles = e->env != NULL, .n_key_handles = e->env != NULL};
}

static void entry_free(struct entry *e)
{
    if (e->env)
        terms_free(e->env);
}

/* What a view shows, which must be whole. */
static uint64_t number_in(const struct xe_view *view, uint64_t *count)
{
    uint64_t number;
    struct body body;
    CHECK(view->klen >= 8 && view->blen >= sizeof body);
    memcpy(&number, view->key + view->klen - 8, 8);
    number = style == HANDLE ? term_value(xe_load64(view->handles)) : __builtin_bswap64(number);
    CHECK(view->blen >= body_of(number) && view->blen <= body_of(number) + 3);
    memcpy(&body, view->body, sizeof body);
    CHECK(body.check == check_of(number));
    for (size_t i = sizeof body; i < body_of(number); i += 97)
        CHECK(view->body[i] == (uint8_t)number);
    *count = body.count;
    return number;
}

/* --- Operations ------------------------------------------------------------ */

static enum xe_status put_entry(struct xe_table *t, uint64_t number, uint64_t count,
                                enum xe_put mode)
{
    struct entry e;
    struct xe_prepared p;
    enum xe_status status;
    entry_make(&e, number, count);
    CHECK(xe_table_prepare(t, &e.o, &p) == XE_OK);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_put(t, slot, &p, mode);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    if (status != XE_OK)
        xe_record_unprepare(&p);
    entry_free(&e);
    return status;
}

static enum xe_status remove_entry(struct xe_table *t, uint64_t number)
{
    struct entry e;
    struct xe_view view;
    enum xe_status status;
    uint64_t count;
    entry_make(&e, number, 0);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_remove(t, slot, &e.key, NULL, &view);
        CHECK(status != XE_OK || number_in(&view, &count) == number);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    entry_free(&e);
    return status;
}

static enum xe_status find_entry(struct xe_table *t, uint64_t number, uint64_t *count)
{
    struct entry e;
    struct xe_view view;
    enum xe_status status;
    entry_make(&e, number, 0);
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_find(t, &e.key, &view);
        CHECK(status != XE_OK || number_in(&view, count) == number);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    entry_free(&e);
    return status;
}

enum { LIST_MAX = 100 };

/* The numbers first, first + step, ... as one list. */
static enum xe_status put_entries(struct xe_table *t, uint64_t first, uint32_t step, uint32_t n,
                                  uint64_t count, enum xe_put mode)
{
    static _Thread_local struct entry e[LIST_MAX];
    static _Thread_local struct xe_prepared p[LIST_MAX];
    enum xe_status status;
    for (uint32_t i = 0; i < n; i++) {
        entry_make(&e[i], first + (uint64_t)i * step, count);
        CHECK(xe_table_prepare(t, &e[i].o, &p[i]) == XE_OK);
    }
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_put_many(t, slot, p, n, mode, count % 2);
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    for (uint32_t i = 0; i < n; i++) {
        if (status != XE_OK)
            xe_record_unprepare(&p[i]);
        entry_free(&e[i]);
    }
    return status;
}

/* Up to n numbers of those from `from` to `to`, both included, in the direction of the reading. */
static uint32_t read_numbers(struct xe_table *t, uint64_t from, uint64_t to, bool reverse, uint32_t n,
                             uint64_t *out)
{
    struct entry lo, hi;
    const uint8_t *recs[LIST_MAX];
    uint32_t found;
    enum xe_status status;
    entry_make(&lo, from, 0);
    entry_make(&hi, to, 0);
    struct xe_range range = {.from = &lo.key, .to = &hi.key, .reverse = reverse};
    do {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_order_read(t, &range, n, recs, &found);
        for (uint32_t i = 0; status == XE_OK && i < found; i++) {
            struct xe_view view;
            uint64_t count;
            xe_record_view(recs[i], &view);
            out[i] = number_in(&view, &count);
            CHECK(out[i] >= from && out[i] <= to);
        }
        xe_epoch_leave(slot);
    } while (status == XE_RETRY && sched_yield() == 0);
    CHECK(status == XE_OK && found <= n);
    entry_free(&lo);
    entry_free(&hi);
    return found;
}

static struct xe_table *ordered_new(uint32_t max_objects, bool hot)
{
    struct xe_table_config config = {
        .seed = 1, .kind = XE_ORDERED, .max_objects = max_objects, .hot = hot};
    struct xe_table *t = xe_table_new(&config);
    CHECK(t != NULL);
    return t;
}

/* --- What is there throughout ---------------------------------------------- */

/* From 0 on all numbers are there, and only overwritten; then every EVERY-th, and others come and
 * go; at the end all of them again. */
enum {
    QUIET = 200,
    EVERY = 8,
    BUSY = 4000,
    NUMBERS = QUIET + BUSY + QUIET,
    RUN = 60,
};

static bool is_quiet(uint64_t n)
{
    return n < QUIET || n >= QUIET + BUSY;
}

static bool stays(uint64_t n)
{
    return is_quiet(n) || n % EVERY == 0;
}

static uint32_t operations(void)
{
    /* Keys with handles have an environment each, long ones as many bytes. */
    return scaled(OPERATIONS) / (style == PLAIN || style == SHARED ? 40 : 100);
}

static uint64_t busy_number(struct worker *w)
{
    return QUIET + rng_below(&w->rng, BUSY);
}

/* They come and go in waves, so that segments split and merge. */
static void churn(struct worker *w)
{
    bool grow = true;
    for (uint32_t i = operations(); i;) {
        uint64_t at = busy_number(w);
        uint32_t what = rng_below(&w->rng, 100);
        grow = rng_chance(&w->rng, 1, 200) ? !grow : grow;
        uint32_t run = what < 8 ? 1 + rng_below(&w->rng, RUN) : 1;
        bool up = what < 4, put = rng_chance(&w->rng, grow ? 3 : 1, 4);
        if (what >= 98 && at + EVERY * RUN < QUIET + BUSY) /* beside those that stay */
            CHECK(put_entries(w->t, at | 1, EVERY, RUN, i, XE_PUT) == XE_OK);
        for (uint32_t k = 0; k < run && i; k++, i--) {
            uint64_t n = up ? at + k : at - k;
            if (stays(n) || n < QUIET)
                continue;
            if (put)
                CHECK(put_entry(w->t, n, i, XE_PUT) == XE_OK);
            else
                remove_entry(w->t, n);
        }
    }
    writer_done();
}

static uint64_t staying_number(struct rng *r)
{
    uint64_t n;
    do
        n = rng_below(r, NUMBERS);
    while (!stays(n));
    return n;
}

static void overwrite(struct worker *w)
{
    for (uint64_t i = 1; atomic_load(&writing); i++)
        CHECK(put_entry(w->t, staying_number(&w->rng), i, XE_PUT) == XE_OK);
}

/* One writer raises the counts, so nobody sees one fall. */
static void find_staying(struct worker *w)
{
    uint64_t seen[NUMBERS] = {0}, count;
    while (atomic_load(&writing)) {
        uint64_t n = staying_number(&w->rng);
        CHECK(find_entry(w->t, n, &count) == XE_OK);
        CHECK(count >= seen[n]);
        seen[n] = count;
    }
}

/* What is passed over on the way from `at` to `next` must not be there throughout. */
static void check_step(uint64_t at, uint64_t next, bool reverse)
{
    CHECK(reverse ? next < at : next > at);
    for (uint64_t n = reverse ? at - 1 : at + 1; n != next; n += reverse ? UINT64_MAX : 1)
        CHECK(!stays(n));
}

/* From one end to the other, a piece at a time. */
static void traverse_once(struct xe_table *t, uint32_t piece, bool reverse)
{
    uint64_t from = 0, to = NUMBERS - 1, got[LIST_MAX];
    for (uint64_t at = reverse ? NUMBERS : UINT64_MAX;;) {
        uint32_t n = read_numbers(t, from, to, reverse, piece, got);
        for (uint32_t i = 0; i < n; i++) {
            if (at == UINT64_MAX)
                CHECK(got[i] == 0);
            else
                check_step(at, got[i], reverse);
            at = got[i];
        }
        if (at == (reverse ? 0 : NUMBERS - 1))
            return;
        CHECK(n == piece);
        *(reverse ? &to : &from) = reverse ? at - 1 : at + 1;
    }
}

static void traverse(struct worker *w)
{
    static const uint32_t pieces[] = {1, 3, 100};
    while (atomic_load(&writing))
        traverse_once(w->t, pieces[rng_below(&w->rng, 3)], rng_chance(&w->rng, 1, 2));
}

/* Ranks below all changes, and numbers of objects of ranges without changes, are exact. */
static void count_staying(struct worker *w)
{
    while (atomic_load(&writing)) {
        bool high = rng_chance(&w->rng, 1, 2);
        uint64_t base = high ? QUIET + BUSY : 0;
        uint32_t a = rng_below(&w->rng, QUIET), b = rng_below(&w->rng, QUIET);
        struct entry lo, hi;
        uint64_t n, rank, count;
        const uint8_t *rec;
        struct xe_view view;
        entry_make(&lo, base + a, 0);
        entry_make(&hi, base + b, 0);
        struct xe_range range = {.from = &lo.key, .to = &hi.key, .from_exclusive = b % 2,
                                 .to_exclusive = a % 2};
        int64_t expected = (int64_t)b - a + 1 - b % 2 - a % 2;
        struct xe_epoch_slot *slot = xe_epoch_enter();
        enum xe_status status = xe_order_count(w->t, &range, &n);
        CHECK(status == XE_RETRY || (int64_t)n == (expected > 0 ? expected : 0));
        status = xe_order_rank(w->t, &lo.key, &rank);
        CHECK(status == XE_RETRY || status == XE_OK);
        CHECK(status == XE_RETRY || (high ? rank >= QUIET + BUSY / EVERY + a : rank == a));
        status = xe_order_nth(w->t, b, &rec);
        CHECK(status == XE_RETRY || status == XE_OK);
        if (status == XE_OK) {
            xe_record_view(rec, &view);
            CHECK(number_in(&view, &count) == b);
        }
        xe_epoch_leave(slot);
        entry_free(&lo);
        entry_free(&hi);
    }
}

static void staying_among_churn(enum style how, uint32_t max_objects, bool hot)
{
    style = how;
    struct xe_table *t = ordered_new(max_objects, hot);
    for (uint64_t n = 0; n < NUMBERS; n++)
        if (stays(n))
            CHECK(put_entry(t, n, 0, XE_PUT_NEW) == XE_OK);
    add_worker(t, churn, true);
    add_worker(t, churn, true);
    add_worker(t, overwrite, false);
    add_worker(t, find_staying, false);
    add_worker(t, traverse, false);
    add_worker(t, traverse, false);
    add_worker(t, count_staying, false);
    run_workers();
    assert_true(is_valid(t));
    traverse_once(t, 100, false);
    traverse_once(t, 100, true);
    xe_table_delete(t);
}

static void what_stays_is_found_met_once_and_counted(void **state)
{
    (void)state;
    staying_among_churn(PLAIN, 16, false);
    staying_among_churn(SHARED, 16, true);
    staying_among_churn(PLAIN, 0, false);
}

static void what_stays_is_found_whatever_keys_are_made_of(void **state)
{
    (void)state;
    staying_among_churn(HANDLE, 16, false);
    staying_among_churn(HUGE, 16, false);
    staying_among_churn(LARGE, 16, true);
}

/* --- S1: one instant --------------------------------------------------------- */

/* Writer w has a stretch of numbers in which there is always one: it inserts another, and only then
 * removes the former. Now and then it fills the stretch, so that segments are split, which have no
 * object after that. */
enum { STRETCH = 1000, SPAN = 200, WALKERS = 2 };

static void move_token(struct worker *w)
{
    uint64_t base = (uint64_t)w->id * STRETCH, at = base;
    for (uint32_t i = scaled(OPERATIONS) / 10; i--;) {
        uint64_t next = base + (rng_chance(&w->rng, 1, 3) ? rng_below(&w->rng, SPAN)
                                                          : (at - base + 1) % SPAN);
        if (i % 1500 == 0) {
            for (uint64_t n = base; n < base + SPAN; n++)
                CHECK(put_entry(w->t, n, i, XE_PUT) == XE_OK);
            for (uint64_t n = base; n < base + SPAN; n++)
                CHECK(n == at || remove_entry(w->t, n) == XE_OK);
        }
        if (next == at)
            continue;
        CHECK(put_entry(w->t, next, i, XE_PUT_NEW) == XE_OK);
        CHECK(remove_entry(w->t, at) == XE_OK);
        at = next;
    }
    writer_done();
}

static void find_token(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint64_t base = (uint64_t)rng_below(&w->rng, WALKERS) * STRETCH, got;
        bool reverse = rng_chance(&w->rng, 1, 2);
        CHECK(read_numbers(w->t, base, base + SPAN - 1, reverse, 1, &got) == 1);
        /* An end beyond all of them. */
        CHECK(read_numbers(w->t, 0, WALKERS * STRETCH, reverse, 1, &got) == 1);
        CHECK(got / STRETCH == (reverse ? WALKERS - 1 : 0));
    }
}

static void s1_there_is_always_a_first_object(void **state)
{
    (void)state;
    style = PLAIN;
    struct xe_table *t = ordered_new(16, false);
    for (uint64_t i = 0; i < WALKERS; i++) {
        CHECK(put_entry(t, i * STRETCH, 0, XE_PUT_NEW) == XE_OK);
        add_worker(t, move_token, true);
    }
    for (uint32_t i = 0; i < 3; i++)
        add_worker(t, find_token, false);
    run_workers();
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* --- Popping ------------------------------------------------------------------ */

enum { POPPED = OPERATIONS / 10, INSERTERS = 2 };

static _Atomic uint8_t taken[POPPED];
static _Atomic uint32_t n_taken;
static bool only_popped; /* so what each takes comes in order */

static void pop_all(struct worker *w)
{
    bool last = w->id % 2;
    uint64_t before = last ? UINT64_MAX : 0, count;
    while (atomic_load(&n_taken) < POPPED) {
        struct xe_view view;
        struct xe_epoch_slot *slot = xe_epoch_enter();
        enum xe_status status = xe_order_pop(w->t, slot, last, &view);
        if (status == XE_OK) {
            uint64_t n = number_in(&view, &count);
            CHECK(n < POPPED && atomic_exchange(&taken[n], 1) == 0);
            CHECK(!only_popped || before == (last ? UINT64_MAX : 0) ||
                  (last ? n < before : n > before));
            before = n;
            atomic_fetch_add(&n_taken, 1);
        }
        xe_epoch_leave(slot);
        CHECK(status != XE_ABSENT || !only_popped || atomic_load(&n_taken) + 4 >= POPPED);
        if (status != XE_OK)
            sched_yield();
    }
    writer_done();
}

static void insert_to_pop(struct worker *w)
{
    /* One upwards, one downwards. */
    for (uint32_t i = 0; i < POPPED / INSERTERS; i++) {
        uint64_t k = w->id % 2 ? i : POPPED / INSERTERS - 1 - i;
        CHECK(put_entry(w->t, k * INSERTERS + w->id, 1, XE_PUT_NEW) == XE_OK);
    }
    writer_done();
}

static void pop_from(bool prefilled, uint32_t max_objects)
{
    style = PLAIN;
    struct xe_table *t = ordered_new(max_objects, false);
    memset((void *)taken, 0, sizeof taken);
    atomic_store(&n_taken, 0);
    only_popped = prefilled;
    for (uint64_t n = 0; prefilled && n < POPPED; n++)
        CHECK(put_entry(t, n, 0, XE_PUT_NEW) == XE_OK);
    for (uint32_t i = 0; !prefilled && i < INSERTERS; i++)
        add_worker(t, insert_to_pop, true);
    for (uint32_t i = 0; i < 4; i++)
        add_worker(t, pop_all, true);
    run_workers();
    assert_int_equal(atomic_load(&n_taken), POPPED);
    assert_int_equal(stats_of(t).objects, 0);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void each_object_is_popped_once(void **state)
{
    (void)state;
    pop_from(true, 16);
    pop_from(false, 16);
    pop_from(false, 0);
}

/* --- Keys in order --------------------------------------------------------------- */

/* Each thread inserts at a place of its own, upwards or downwards; others read what is there. */
enum { PLACES = 4, PER_PLACE = OPERATIONS / 40, APART = 1 << 20 };

static _Atomic uint32_t placed[PLACES]; /* how many are there */

static uint64_t placed_number(uint32_t place, uint32_t i)
{
    return (uint64_t)place * APART + (place % 2 ? PER_PLACE - 1 - i : i);
}

static void insert_in_order(struct worker *w)
{
    for (uint32_t i = 0; i < PER_PLACE; i++) {
        CHECK(put_entry(w->t, placed_number(w->id, i), i, XE_PUT_NEW) == XE_OK);
        atomic_store(&placed[w->id], i + 1);
    }
    writer_done();
}

static void find_placed(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint32_t place = rng_below(&w->rng, PLACES), n = atomic_load(&placed[place]);
        uint64_t count, got[LIST_MAX];
        if (n == 0)
            continue;
        uint32_t i = rng_below(&w->rng, n), back = i < LIST_MAX - 1 ? i : LIST_MAX - 1;
        CHECK(find_entry(w->t, placed_number(place, i), &count) == XE_OK && count == i);
        uint64_t a = placed_number(place, i - back), b = placed_number(place, i);
        uint32_t found = read_numbers(w->t, a < b ? a : b, a < b ? b : a, a > b, LIST_MAX, got);
        CHECK(found == back + 1);
        for (uint32_t k = 0; k < found; k++)
            CHECK(got[k] == placed_number(place, i - back + k));
    }
}

static void keys_in_order_at_several_places(void **state)
{
    (void)state;
    for (uint32_t how = 0; how < 2; how++) {
        style = how ? SHARED : PLAIN;
        struct xe_table *t = ordered_new(how ? 16 : 0, how);
        for (uint32_t i = 0; i < PLACES; i++) {
            atomic_store(&placed[i], 0);
            add_worker(t, insert_in_order, true);
        }
        add_worker(t, find_placed, false);
        add_worker(t, find_placed, false);
        run_workers();
        assert_int_equal(stats_of(t).objects, PLACES * PER_PLACE);
        assert_true(is_valid(t));
        xe_table_delete(t);
    }
}

/* --- G2: lists --------------------------------------------------------------------- */

/* Group g has the numbers g, g + GROUPS, ... so that the groups lie in each other's segments. */
enum { GROUPS = 2, LONG = 100 };

static void write_group(struct worker *w)
{
    for (uint64_t i = 1; i <= scaled(OPERATIONS) / 400; i++)
        CHECK(put_entries(w->t, w->id, GROUPS, LONG, i, XE_PUT) == XE_OK);
    writer_done();
}

static uint64_t member(struct rng *r, uint32_t g)
{
    return g + (uint64_t)rng_below(r, LONG) * GROUPS;
}

/* One after the other: what is read later is not older. */
static void read_group(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint32_t g = rng_below(&w->rng, GROUPS);
        uint64_t first, second;
        CHECK(find_entry(w->t, member(&w->rng, g), &first) == XE_OK);
        CHECK(find_entry(w->t, member(&w->rng, g), &second) == XE_OK);
        CHECK(second >= first);
    }
}

/* The count of an object of a group, read as the first one that is not below it, or by its place:
 * nothing comes or goes before it. False: to be tried again. */
static bool count_in_order(struct worker *w, uint64_t number, bool by_place, uint64_t *count)
{
    struct entry e;
    const uint8_t *rec;
    uint32_t found = 1;
    entry_make(&e, number, 0);
    struct xe_range range = {.from = &e.key};
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = by_place ? xe_order_nth(w->t, number, &rec)
                                     : xe_order_read(w->t, &range, 1, &rec, &found);
    if (status == XE_OK) {
        struct xe_view view;
        CHECK(found == 1);
        xe_record_view(rec, &view);
        CHECK(number_in(&view, count) == number);
    }
    CHECK(status == XE_OK || status == XE_RETRY);
    xe_epoch_leave(slot);
    entry_free(&e);
    return status == XE_OK;
}

/* As read_group(), by reads in order. */
static void read_group_in_order(struct worker *w)
{
    while (atomic_load(&writing)) {
        uint32_t g = rng_below(&w->rng, GROUPS);
        uint64_t first, second;
        if (count_in_order(w, member(&w->rng, g), rng_chance(&w->rng, 1, 2), &first) &&
            count_in_order(w, member(&w->rng, g), rng_chance(&w->rng, 1, 2), &second))
            CHECK(second >= first);
    }
}

/* All at one instant: all are as old. */
static void read_group_at_once(struct worker *w)
{
    enum { N = 6 };
    while (atomic_load(&writing)) {
        uint32_t g = rng_below(&w->rng, GROUPS);
        struct entry e[N];
        struct xe_key keys[N];
        struct xe_view views[N];
        bool found[N];
        uint64_t first, count;
        for (uint32_t i = 0; i < N; i++) {
            entry_make(&e[i], member(&w->rng, g), 0);
            keys[i] = e[i].key;
        }
        struct xe_epoch_slot *slot = xe_epoch_enter();
        if (xe_table_find_many(w->t, keys, N, views, found) == XE_OK)
            for (uint32_t i = 0; i < N; i++) {
                CHECK(found[i] && number_in(&views[i], &count) == e[i].number);
                first = i == 0 ? count : first;
                CHECK(count == first);
            }
        xe_epoch_leave(slot);
        for (uint32_t i = 0; i < N; i++)
            entry_free(&e[i]);
    }
}

/* Splits and merges the segments between and behind the groups. */
static void come_and_go(struct worker *w)
{
    uint64_t from = GROUPS * LONG;
    while (atomic_load(&writing)) {
        for (uint64_t n = from; n < from + 100; n++)
            CHECK(put_entry(w->t, n, 1, XE_PUT) == XE_OK);
        for (uint64_t n = from; n < from + 100; n++)
            CHECK(remove_entry(w->t, n) == XE_OK);
    }
}

static void lists(enum style how)
{
    style = how;
    struct xe_table *t = ordered_new(16, false);
    for (uint32_t g = 0; g < GROUPS; g++) {
        CHECK(put_entries(t, g, GROUPS, LONG, 0, XE_PUT_NEW) == XE_OK);
        add_worker(t, write_group, true);
    }
    add_worker(t, read_group, false);
    add_worker(t, read_group, false);
    add_worker(t, read_group_in_order, false);
    add_worker(t, read_group_at_once, false);
    add_worker(t, come_and_go, false);
    run_workers();
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void g2_nobody_sees_a_part_of_a_list(void **state)
{
    (void)state;
    lists(PLAIN);
    lists(HANDLE);
}

/* Lists of new objects that no segments are there for: one of those who insert the same wins. */
enum { CONTESTED = 40, ROUNDS = OPERATIONS / 1000 };
static _Atomic uint32_t winners[ROUNDS];

static void insert_lists(struct worker *w)
{
    for (uint32_t r = 0; r < ROUNDS; r++) {
        uint64_t first = (uint64_t)r * CONTESTED, count, by = 0;
        enum xe_status status = put_entries(w->t, first, 1, CONTESTED, w->id, XE_PUT_NEW);
        CHECK(status == XE_OK || status == XE_EXISTS);
        if (status == XE_OK)
            CHECK(atomic_exchange(&winners[r], w->id + 1) == 0);
        for (uint32_t k = 0; k < CONTESTED; k++) {
            CHECK(find_entry(w->t, first + k, &count) == XE_OK);
            CHECK(k == 0 || count == by);
            by = count;
        }
        CHECK(status != XE_OK || by == w->id);
    }
    writer_done();
}

static void g2_of_equal_lists_of_new_objects_one_is_stored(void **state)
{
    (void)state;
    style = SHARED;
    struct xe_table *t = ordered_new(32, false);
    for (uint32_t i = 0; i < 3; i++)
        add_worker(t, insert_lists, true);
    run_workers();
    assert_int_equal(stats_of(t).objects, ROUNDS * CONTESTED);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* stress_order [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(what_stays_is_found_met_once_and_counted),
        TEST(what_stays_is_found_whatever_keys_are_made_of),
        TEST(s1_there_is_always_a_first_object),
        TEST(each_object_is_popped_once),
        TEST(keys_in_order_at_several_places),
        TEST(g2_nobody_sees_a_part_of_a_list),
        TEST(g2_of_equal_lists_of_new_objects_one_is_stored),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("ordered tables, stress", tests, NULL, NULL);
}
