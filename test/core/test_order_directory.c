/*
 * test_order_directory.c - the directory of ordered tables: which segment a key belongs to, its
 * neighbours, and how many objects are before it, against a sorted array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support_order_directory.h"

/* --- The model: all keys there are, sorted, and which of them are fences -- */

enum { KEYS = 3000, COUNT_MAX = 2000 };

struct model {
    struct xe_table *t;
    struct rng rng;
    void *env; /* of the keys' handles */
    struct order_key key[KEYS];
    struct xe_segment *at[KEYS]; /* the segment that begins there; of key 0: at no key */
    uint32_t segments;
};

static int key_compare(const void *a, const void *b)
{
    const struct order_key *x = a, *y = b;
    int c = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);
    if (c)
        return c;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    if (!x->has_handle || !y->has_handle)
        return x->has_handle - y->has_handle;
    uint64_t v = term_value(x->handle), w = term_value(y->handle);
    return (v > w) - (v < w);
}

/* Families of keys with first bytes in common, more than a head's and fewer, and few different
 * bytes behind: so many share their head, or are another's first bytes. */
static void key_draw(struct model *m, struct order_key *k)
{
    static const char *const families[] = {"", "", "m", "user:0000", "user:0001",
                                           "a rather long beginning of many keys/"};
    static const uint8_t alphabet[] = {0, 1, 'a', 'b', 'm', 0xff, 0xff, 0xff};
    const char *family = families[rng_below(&m->rng, sizeof families / sizeof *families)];
    size_t n = strlen(family), more = rng_below(&m->rng, 14);
    memset(k, 0, sizeof *k);
    memcpy(k->bytes, family, n);
    for (size_t i = 0; i < more; i++)
        k->bytes[n + i] = alphabet[rng_below(&m->rng, sizeof alphabet)];
    k->len = (uint32_t)(n + more);
    memset(k->bytes + k->len, 0xee, XE_READ_SLACK);
    if (rng_chance(&m->rng, 1, 4)) {
        /* Of few keys, so that many differ only by it. */
        memset(k->bytes, 'm', sizeof k->bytes);
        k->len = 9 + rng_below(&m->rng, 2);
        k->has_handle = rng_chance(&m->rng, 19, 20);
        if (k->has_handle)
            k->handle = terms_add(m->env, rng_below(&m->rng, 1000));
    }
}

/* Key 0 stands below all: that of the first segment. */
static void keys_make(struct model *m)
{
    uint32_t n = 1;
    while (n < KEYS) {
        while (n < KEYS)
            key_draw(m, &m->key[n++]);
        qsort(m->key + 1, n - 1, sizeof *m->key, key_compare);
        uint32_t kept = 2;
        for (uint32_t i = 2; i < n; i++)
            if (key_compare(&m->key[kept - 1], &m->key[i]) != 0)
                m->key[kept++] = m->key[i];
        n = kept;
    }
}

static struct model *model_new(uint64_t purpose)
{
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->rng = rng_for(purpose);
    m->env = terms_new();
    m->t = order_table_new();
    assert_non_null(m->t);
    keys_make(m);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    m->at[0] = xe_order_edge(m->t, false);
    xe_epoch_leave(slot);
    m->segments = 1;
    return m;
}

static void model_free(struct model *m)
{
    xe_table_delete(m->t);
    terms_free(m->env);
    free(m);
}

/* The fence that is not above key i. */
static uint32_t fence_of(const struct model *m, uint32_t i)
{
    while (!m->at[i])
        i--;
    return i;
}

/* The fence above key i; KEYS: there is none. */
static uint32_t fence_above(const struct model *m, uint32_t i)
{
    for (i++; i < KEYS && !m->at[i]; i++)
        ;
    return i;
}

static bool same_bytes(const struct order_key *a, const struct order_key *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* The last key that is below what stands behind all keys with the bytes of key i. */
static uint32_t last_with_bytes(const struct model *m, uint32_t i)
{
    uint32_t last = i;
    while (i && !m->key[i].has_handle && last + 1 < KEYS &&
           same_bytes(&m->key[last + 1], &m->key[i]))
        last++;
    return last;
}

/* --- Comparing ------------------------------------------------------------ */

static void assert_finds(struct model *m, uint32_t i, uint64_t before)
{
    struct xe_key key;
    struct xe_segment *s;
    uint64_t n;
    order_key_init(&key, &m->key[i]);
    CHECK(xe_order_segment(m->t, &key) == m->at[fence_of(m, i)]);
    CHECK(xe_order_count_before(m->t, &key, &s, &n) == XE_OK);
    CHECK(s == m->at[fence_of(m, i)]);
    CHECK(n == before);
    key.flags |= XE_ORDER_BEHIND;
    CHECK(xe_order_segment(m->t, &key) == m->at[fence_of(m, last_with_bytes(m, i))]);
}

static void assert_has_objects(struct model *m, const struct xe_segment *of, uint64_t before)
{
    uint32_t rest, count = count_of(of);
    struct xe_segment *s;
    for (uint32_t k = 0; k < 2 && count; k++) {
        uint32_t i = k ? count - 1 : 0;
        CHECK(xe_order_segment_at(m->t, before + i, &s, &rest) == XE_OK);
        CHECK(s == of);
        CHECK(rest == i);
    }
}

/* All that the directory can be asked, `sample` of the keys that are no fences. */
static void assert_is_model(struct model *m, uint32_t sample)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    struct xe_segment *last = NULL, *s;
    uint64_t before = 0, count = 0, n;
    uint32_t rest;
    for (uint32_t i = 0; i < KEYS; i++) {
        if (m->at[i]) {
            before += count;
            count = count_of(m->at[i]);
            CHECK(xe_order_left(m->t, m->at[i]) == last);
            if (last)
                CHECK(xe_order_right(m->t, last) == m->at[i]);
            assert_has_objects(m, m->at[i], before);
            last = m->at[i];
        }
        if (i && (m->at[i] || rng_chance(&m->rng, sample, KEYS)))
            assert_finds(m, i, before);
    }
    CHECK(!xe_order_right(m->t, last));
    CHECK(xe_order_edge(m->t, false) == m->at[0]);
    CHECK(xe_order_edge(m->t, true) == last);
    CHECK(xe_order_count_before(m->t, NULL, &s, &n) == XE_OK);
    CHECK(!s);
    CHECK(n == before + count);
    CHECK(xe_order_segment_at(m->t, n, &s, &rest) == XE_ABSENT);
    CHECK(xe_table_segments(m->t) == m->segments);
    xe_epoch_leave(slot);
    CHECK(order_is_valid(m->t));
}

/* --- Changing ------------------------------------------------------------- */

/* One replacement: of segments by others, at these keys. */
struct step {
    struct xe_segment *from[8], *to[XE_REBUILD_PARTS];
    uint32_t from_at[8], to_at[XE_REBUILD_PARTS];
    uint32_t n_from, n_to;
};

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Of the segment of key i and those after it n_from become up to n_to, at random keys. */
static void step_draw(struct model *m, struct step *w, uint32_t i, uint32_t n_from, uint32_t n_to)
{
    uint32_t end = fence_of(m, i);
    w->n_from = w->n_to = 0;
    for (; w->n_from < n_from && end < KEYS; end = fence_above(m, end)) {
        w->from_at[w->n_from] = end;
        w->from[w->n_from++] = m->at[end];
    }
    w->to_at[w->n_to++] = w->from_at[0];
    for (uint32_t tries = 0; tries < 2 * n_to && w->n_to < n_to && end - w->to_at[0] > 1; tries++) {
        uint32_t at = w->to_at[0] + 1 + rng_below(&m->rng, end - w->to_at[0] - 1), k = 0;
        while (k < w->n_to && w->to_at[k] != at)
            k++;
        if (k == w->n_to)
            w->to_at[w->n_to++] = at;
    }
    qsort(w->to_at, w->n_to, sizeof *w->to_at, compare_numbers);
}

static void step_make(struct model *m, struct step *w)
{
    for (uint32_t i = 0; i < w->n_to; i++) {
        const struct order_key *fence = w->to_at[i] ? &m->key[w->to_at[i]] : NULL;
        w->to[i] = counted_segment(m->t, fence, rng_below(&m->rng, COUNT_MAX), true);
        CHECK(w->to[i]);
    }
}

static enum xe_status step_run(struct model *m, struct step *w)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    for (uint32_t i = 0; i < w->n_from; i++)
        CHECK(xe_lock_try(&w->from[i]->lock));
    enum xe_status status = segments_replace(m->t, slot, w->from, w->n_from, w->to, w->n_to);
    if (status == XE_OK) {
        for (uint32_t i = 0; i < w->n_from; i++) {
            CHECK(w->from[i]->state == SEGMENT_MOVED);
            CHECK((atomic_load(&w->from[i]->version) & 1) == 1);
            m->at[w->from_at[i]] = NULL;
        }
        for (uint32_t i = 0; i < w->n_to; i++)
            m->at[w->to_at[i]] = w->to[i];
        m->segments += w->n_to - w->n_from;
    } else {
        for (uint32_t i = 0; i < w->n_from; i++)
            xe_lock_release(&w->from[i]->lock);
    }
    xe_epoch_leave(slot);
    return status;
}

static void replace(struct model *m, uint32_t i, uint32_t n_from, uint32_t n_to)
{
    struct step w;
    step_draw(m, &w, i, n_from, n_to);
    step_make(m, &w);
    CHECK(step_run(m, &w) == XE_OK);
}

/* What it has besides tells from a table that was never anything else. */
static void assert_is_back_at(struct model *m, uint64_t base)
{
    struct step w = {.n_from = 1, .n_to = 1};
    w.from[0] = m->at[0];
    w.to[0] = xe_order_segment_new(m->t, NULL, xe_image_empty, true);
    CHECK(w.to[0]);
    CHECK(step_run(m, &w) == XE_OK);
    CHECK(m->segments == 1);
    CHECK(xe_table_bytes(m->t) == base);
}

/* --- Tests ---------------------------------------------------------------- */

static void an_empty_table_has_one_segment_for_all_keys(void **state)
{
    (void)state;
    struct model *m = model_new(1);
    assert_is_model(m, KEYS);
    model_free(m);
}

static void random_splits_and_merges_find_what_a_sorted_array_finds(void **state)
{
    (void)state;
    enum { STEPS = 1200 };
    struct model *m = model_new(2);
    for (uint32_t n = 0; n < STEPS; n++) {
        bool grow = n / 200 % 2 == 0;
        uint32_t i = rng_below(&m->rng, KEYS);
        if (rng_chance(&m->rng, grow ? 3 : 1, 4))
            replace(m, i, 1 + rng_below(&m->rng, 2), 1 + rng_below(&m->rng, 6));
        else
            replace(m, i, 2 + rng_below(&m->rng, 6), 1);
        if (rng_chance(&m->rng, 1, 8))
            replace(m, i, 1, 2 + rng_below(&m->rng, XE_REBUILD_PARTS - 1));
        if (n % 40 == 0)
            assert_is_model(m, 200);
    }
    assert_is_model(m, KEYS);
    model_free(m);
}

static void every_key_a_fence_and_back_leaves_no_bytes(void **state)
{
    (void)state;
    struct model *m = model_new(3);
    uint64_t base = xe_table_bytes(m->t);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t n = 0; m->segments < KEYS && n < 40 * KEYS; n++) {
            uint32_t i = round == 0 ? rng_below(&m->rng, KEYS) : round == 1 ? n % KEYS
                                                                             : KEYS - 1 - n % KEYS;
            if (!m->at[i])
                replace(m, i, 1, round == 0 ? XE_REBUILD_PARTS : 2);
        }
        assert_int_equal(m->segments, KEYS);
        assert_is_model(m, 0);
        for (uint32_t n = 0; m->segments > 1; n++) {
            uint32_t last = fence_of(m, KEYS - 1);
            uint32_t i = round == 0 ? rng_below(&m->rng, last) : round == 1 ? 0 : last - 1;
            replace(m, i, 2 + rng_below(&m->rng, 3), 1);
            if (n % 400 == 0)
                assert_is_model(m, 20);
        }
        assert_is_back_at(m, base);
    }
    model_free(m);
}

/* As ascending inserts split them. */
static void chunks_split_and_become_one_again(void **state)
{
    (void)state;
    struct model *m = model_new(4);
    const struct xe_order_top *top;
    for (uint32_t i = 1; i < 1000; i++) {
        struct step w = {.n_from = 1, .n_to = 2, .to_at = {fence_of(m, i), i}};
        w.from_at[0] = w.to_at[0];
        w.from[0] = m->at[w.to_at[0]];
        step_make(m, &w);
        assert_int_equal(step_run(m, &w), XE_OK);
    }
    assert_is_model(m, 100);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    top = xe_order_top_now(m->t);
    CHECK(top->n >= 1000 / XE_ORDER_CHUNK && top->n <= 1000 / (XE_ORDER_CHUNK / 2) + 1);
    xe_epoch_leave(slot);
    while (m->segments > 100) {
        replace(m, rng_below(&m->rng, 900), 2, 1);
        CHECK(order_is_valid(m->t));
    }
    assert_is_model(m, 100);
    slot = xe_epoch_enter();
    top = xe_order_top_now(m->t);
    CHECK(top->n <= 2 * 100 / (XE_ORDER_CHUNK_LOW / 2));
    xe_epoch_leave(slot);
    model_free(m);
}

static void a_segment_that_has_moved_still_has_neighbours(void **state)
{
    (void)state;
    struct model *m = model_new(5);
    struct step w;
    replace(m, 0, 1, XE_REBUILD_PARTS);
    uint32_t a = fence_above(m, KEYS / 2), b = fence_above(m, a), c = fence_above(m, b);
    struct xe_segment *moved = m->at[b];
    struct xe_epoch_slot *slot = xe_epoch_enter();
    /* One section, so that it stays where it is. */
    w = (struct step){.n_from = 2, .n_to = 1, .from = {m->at[a], m->at[b]}, .from_at = {a, b},
                      .to_at = {a}};
    step_make(m, &w);
    for (uint32_t i = 0; i < 2; i++)
        CHECK(xe_lock_try(&w.from[i]->lock));
    CHECK(segments_replace(m->t, slot, w.from, 2, w.to, 1) == XE_OK);
    m->at[a] = w.to[0];
    m->at[b] = NULL;
    m->segments--;
    CHECK(xe_order_left(m->t, moved) == m->at[a]);
    CHECK(xe_order_right(m->t, moved) == m->at[c]);
    xe_epoch_leave(slot);
    assert_is_model(m, 100);
    model_free(m);
}

static void counts_follow_writes(void **state)
{
    (void)state;
    struct model *m = model_new(6);
    replace(m, 0, 1, XE_REBUILD_PARTS);
    replace(m, KEYS - 1, 1, XE_REBUILD_PARTS);
    for (uint32_t n = 0; n < 500; n++) {
        uint32_t i = fence_of(m, rng_below(&m->rng, KEYS));
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_lock_try(&m->at[i]->lock));
        count_write(m->at[i], rng_below(&m->rng, XE_IMAGE_OBJECTS_MAX + 1));
        xe_lock_release(&m->at[i]->lock);
        xe_epoch_leave(slot);
        if (n % 50 == 0) {
            assert_is_model(m, 20);
            replace(m, rng_below(&m->rng, KEYS), 1, 40);
        }
    }
    model_free(m);
}

static void a_directory_that_is_locked_is_to_be_retried(void **state)
{
    (void)state;
    struct model *m = model_new(7);
    struct step w;
    struct xe_segment *s;
    uint32_t rest;
    uint64_t n;
    replace(m, 0, 1, 20);
    step_draw(m, &w, KEYS / 2, 1, 3);
    step_make(m, &w);
    assert_true(xe_lock_try(&m->t->directory_lock));
    assert_int_equal(step_run(m, &w), XE_RETRY);
    /* A change under way: no sum can be made without the lock. */
    xe_order_shape_changes(m->t);
    assert_int_equal(xe_order_count_before(m->t, NULL, &s, &n), XE_RETRY);
    assert_int_equal(xe_order_segment_at(m->t, 0, &s, &rest), XE_RETRY);
    xe_lock_release(&m->t->directory_lock);
    assert_int_equal(xe_order_count_before(m->t, NULL, &s, &n), XE_OK);
    xe_order_shape_changed(m->t);
    assert_int_equal(step_run(m, &w), XE_OK);
    assert_is_model(m, 100);
    model_free(m);
}

static void g5_a_replacement_without_memory_changes_nothing(void **state)
{
    (void)state;
    struct model *m = model_new(8);
    uint64_t failed = 0;
    for (uint32_t round = 0; round < 60; round++) {
        struct step w;
        bool grow = round < 30;
        step_draw(m, &w, rng_below(&m->rng, KEYS), grow ? 1 : 8,
                  grow ? XE_REBUILD_PARTS : 1 + rng_below(&m->rng, 2));
        step_make(m, &w);
        uint64_t bytes = xe_table_bytes(m->t);
        enum xe_status status = XE_NOMEM;
        for (uint64_t n = 0; status == XE_NOMEM; n++) {
            memory_fail_at(n);
            status = step_run(m, &w);
            uint64_t n_failed = memory_fail_never();
            assert_int_equal(n_failed, status == XE_NOMEM);
            failed += n_failed;
            if (status != XE_NOMEM)
                break;
            assert_int_equal(xe_table_bytes(m->t), bytes);
            for (uint32_t i = 0; i < w.n_from; i++)
                assert_int_equal(atomic_load(&w.from[i]->version) & 1, 0);
        }
        assert_int_equal(status, XE_OK);
        assert_is_model(m, 50);
    }
    assert_true(failed > 100);
    model_free(m);
}

static void g5_tables_and_segments_without_memory_leave_nothing(void **state)
{
    (void)state;
    struct model *m = model_new(9);
    struct xe_table *t = NULL;
    struct xe_segment *s = NULL;
    uint32_t with_handle = 1;
    while (!m->key[with_handle].has_handle)
        with_handle++;
    for (uint64_t n = 0; !t; n++) {
        memory_fail_at(n);
        t = order_table_new();
        assert_int_equal(memory_fail_never(), t ? 0 : 1);
    }
    xe_table_delete(t);
    uint64_t bytes = xe_table_bytes(m->t);
    for (uint64_t n = 0; !s; n++) {
        memory_fail_at(n);
        s = counted_segment(m->t, &m->key[with_handle], 0, false);
        assert_int_equal(memory_fail_never(), s ? 0 : 1);
        assert_true(s || xe_table_bytes(m->t) == bytes);
    }
    counted_discard(m->t, s);
    assert_int_equal(xe_table_bytes(m->t), bytes);
    model_free(m);
}

/* test_order_directory [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_table_has_one_segment_for_all_keys),
        TEST(random_splits_and_merges_find_what_a_sorted_array_finds),
        TEST(every_key_a_fence_and_back_leaves_no_bytes),
        TEST(chunks_split_and_become_one_again),
        TEST(a_segment_that_has_moved_still_has_neighbours),
        TEST(counts_follow_writes),
        TEST(a_directory_that_is_locked_is_to_be_retried),
        TEST(g5_a_replacement_without_memory_changes_nothing),
        TEST(g5_tables_and_segments_without_memory_leave_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("order_directory", tests, NULL, NULL);
}
