/*
 * test_leaves.c - the sorted leaves of one image, beside a list of what is in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "leaves.h"
#include "order.h"
#include "support.h"

enum { MAX = 900, BYTES = 1200 };

/* Keys in order, of which some are in the image. */
static struct key_text {
    uint8_t bytes[BYTES + XE_READ_SLACK];
    size_t len;
    bool there;
    uint32_t off;
} texts[MAX];

static uint32_t n_texts;
static struct xe_image *img;

static int compare_texts(const void *a, const void *b)
{
    const struct key_text *x = a, *y = b;
    int c = memcmp(x->bytes, y->bytes, x->len < y->len ? x->len : y->len);
    return c ? c : (x->len > y->len) - (x->len < y->len);
}

static void text(const void *bytes, size_t len)
{
    CHECK(n_texts < MAX && len <= BYTES);
    struct key_text *x = &texts[n_texts++];
    memset(x, 0, sizeof *x);
    memcpy(x->bytes, bytes, len);
    x->len = len;
}

/* A number behind so many bytes that all have in common. */
static void text_of(size_t beginning, uint32_t n)
{
    uint8_t b[BYTES];
    uint32_t big = __builtin_bswap32(n);
    memset(b, 'b', beginning);
    memcpy(b + beginning, &big, 4);
    text(b, beginning + 4);
}

/* Puts the keys in order, each once. */
static void texts_done(void)
{
    uint32_t n = 0;
    qsort(texts, n_texts, sizeof *texts, compare_texts);
    for (uint32_t i = 0; i < n_texts; i++)
        if (i == 0 || compare_texts(&texts[n - 1], &texts[i]) != 0)
            texts[n++] = texts[i];
    n_texts = n;
}

static void image_begin(uint32_t leaves, uint32_t units)
{
    struct xe_image_plan plan = {.ordered = true, .count = MAX, .units = units, .spare = MAX,
                                 .leaves = leaves};
    assert_int_equal(xe_image_new(&plan, &img), XE_OK);
}

static void image_end(void)
{
    xe_image_drop_blobs(img);
    xe_image_unref(img);
    n_texts = 0;
}

static struct xe_key key_of(uint32_t i)
{
    struct xe_key key;
    xe_key_init_order(&key, texts[i].bytes, texts[i].len, NULL, 0);
    return key;
}

/* A record with the key alone, that nobody finds yet; 0: no room. */
static uint32_t write_record(uint32_t i)
{
    struct xe_object o = {.bytes = texts[i].bytes, .klen = texts[i].len, .len = texts[i].len};
    struct xe_prepared p = {.key = key_of(i)};
    assert_int_equal(xe_record_prepare_keyed(&o, &p), XE_OK);
    uint32_t off = xe_image_alloc(img, p.units);
    if (!off) {
        xe_record_unprepare(&p);
        return 0;
    }
    xe_record_write(xe_image_record(img, off), &p, NULL);
    xe_image_count_in(img, xe_image_record(img, off));
    return off;
}

static void add_reserved(uint32_t i)
{
    struct xe_key key = key_of(i);
    struct xe_place place;
    assert_false(xe_leaves_find(img, &key, &place));
    uint32_t off = write_record(i);
    assert_true(off != 0);
    xe_leaves_add(img, &key, &place, off);
    texts[i].there = true;
    texts[i].off = off;
}

static void add(uint32_t i)
{
    struct xe_key key = key_of(i);
    struct xe_place place;
    xe_leaves_find(img, &key, &place);
    assert_true(!xe_leaves_is_full(img, &place) || xe_leaves_reserve(img, 1));
    add_reserved(i);
}

static void take_out(uint32_t i)
{
    struct xe_key key = key_of(i);
    struct xe_place place;
    assert_true(xe_leaves_find(img, &key, &place));
    assert_int_equal(place.off, texts[i].off);
    xe_leaves_remove(img, &place);
    xe_image_retire(img, place.off);
    texts[i].there = false;
}

static void check_key(uint32_t i, uint32_t below)
{
    struct xe_key key = key_of(i);
    struct xe_place place;
    bool there = texts[i].there;
    assert_true(xe_leaves_find(img, &key, &place) == there);
    assert_true(!there || place.off == texts[i].off);
    assert_int_equal(xe_leaves_rank(img, &place), below);
    assert_int_equal(xe_leaves_lookup(img, &key), place.off);
    assert_true(!there || place.off == texts[i].off);
    xe_leaves_bound(img, &key, false, &place);
    assert_int_equal(xe_leaves_rank(img, &place), below);
    assert_true(!there || xe_leaves_forward(img, &place) == texts[i].off);
    xe_leaves_bound(img, &key, true, &place);
    assert_int_equal(xe_leaves_rank(img, &place), below + there);
    assert_true(!there || xe_leaves_backward(img, &place) == texts[i].off);
    if (there) {
        xe_leaves_nth(img, below, &place);
        assert_int_equal(xe_leaves_forward(img, &place), texts[i].off);
    }
}

/* Everything is where it belongs, seen from all sides. */
static void check(void)
{
    struct xe_place up, down;
    uint32_t below = 0;
    assert_true(xe_leaves_are_valid(img));
    xe_leaves_edge(img, false, &up);
    for (uint32_t i = 0; i < n_texts; i++) {
        check_key(i, below);
        assert_true(!texts[i].there || xe_leaves_forward(img, &up) == texts[i].off);
        below += texts[i].there;
    }
    assert_int_equal(xe_leaves_forward(img, &up), 0);
    assert_int_equal(img->count, below);
    xe_leaves_edge(img, true, &down);
    assert_int_equal(xe_leaves_rank(img, &down), below);
    for (uint32_t i = n_texts; i-- > 0;)
        assert_true(!texts[i].there || xe_leaves_backward(img, &down) == texts[i].off);
    assert_int_equal(xe_leaves_backward(img, &down), 0);
    xe_leaves_nth(img, below, &up);
    assert_int_equal(xe_leaves_forward(img, &up), 0);
}

static uint32_t full_leaves(uint32_t n)
{
    return (n + XE_LEAF_PLACES - 1) / XE_LEAF_PLACES;
}

static void shuffle(struct rng *r, uint32_t *at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = rng_below(r, i + 1);
        at[i] = at[k];
        at[k] = i;
    }
}

/* Adds all keys, in any order. */
static void add_all(uint64_t purpose)
{
    static uint32_t order[MAX];
    struct rng r = rng_for(purpose);
    shuffle(&r, order, n_texts);
    for (uint32_t i = 0; i < n_texts; i++)
        add(order[i]);
}

/* --- Filling, and adding in order ------------------------------------------- */

static void fill(uint32_t n)
{
    static uint16_t offs[MAX];
    uint32_t k = 0;
    for (uint32_t i = 0; i < n_texts && k < n; i += 2) {
        texts[i].off = write_record(i);
        texts[i].there = true;
        offs[k++] = (uint16_t)texts[i].off;
    }
    assert_int_equal(k, n);
    xe_leaves_fill(img, offs, n);
    img->count = n; /* as xe_image_fill() does */
}

static void numbers(size_t beginning, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        text_of(beginning, i * 7);
    texts_done();
    assert_int_equal(n_texts, n);
}

static void what_is_filled_in_is_found(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, XE_LEAF_FILL, XE_LEAF_FILL + 1, 300};
    for (uint32_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (size_t beginning = 0; beginning <= 120; beginning += 60) {
            numbers(beginning, 600);
            image_begin((sizes[k] + XE_LEAF_FILL - 1) / XE_LEAF_FILL, 11000);
            fill(sizes[k]);
            check();
            image_end();
        }
}

static void keys_in_order_leave_full_leaves(void **state)
{
    (void)state;
    enum { N = 620 };
    for (uint32_t up = 0; up < 2; up++) {
        numbers(10, N);
        image_begin(full_leaves(N), 8 * N);
        for (uint32_t i = 0; i < N; i++)
            add(up ? i : N - 1 - i);
        assert_int_equal(img->n_leaves, full_leaves(N));
        check();
        image_end();
    }
}

/* Between two others, upwards or downwards. */
static void a_run_in_the_middle_leaves_few_leaves(void **state)
{
    (void)state;
    enum { N = 700, BASE = 100 };
    for (uint32_t up = 0; up < 2; up++) {
        numbers(3, N);
        image_begin(20, 8 * N);
        for (uint32_t i = 0; i < BASE; i++)
            add(i % 2 ? N - 1 - i / 2 : i / 2);
        uint32_t before = img->n_leaves;
        for (uint32_t i = 0; i < N - BASE; i++)
            add(up ? BASE / 2 + i : N - 1 - BASE / 2 - i);
        /* Downwards, what stands before the run stays in the leaf that is cut: half of it at most. */
        uint32_t each = up ? XE_LEAF_PLACES : XE_LEAF_SPLIT;
        assert_true(img->n_leaves <= before + (N - BASE) / each + 2);
        check();
        image_end();
    }
}

/* Added and removed in any order, until nothing is left; and again, in the leaves left free. */
static void to_empty_and_back(void **state)
{
    (void)state;
    static uint32_t order[MAX];
    struct rng r = rng_for(1);
    numbers(20, 500);
    image_begin(20, 9000);
    for (uint32_t round = 0; round < 2; round++) {
        shuffle(&r, order, n_texts);
        for (uint32_t i = 0; i < n_texts; i++) {
            add(order[i]);
            if (i % 50 == 0)
                check();
        }
        /* Random keys leave them half full, at least. */
        assert_true(img->n_leaves <= n_texts / XE_LEAF_SPLIT + 1);
        shuffle(&r, order, n_texts);
        for (uint32_t i = 0; i < n_texts; i++) {
            take_out(order[i]);
            if (i % 50 == 0)
                check();
        }
        assert_int_equal(img->n_leaves, 0);
        check();
    }
    image_end();
}

/* --- Heads -------------------------------------------------------------------- */

/* All begin alike until a key comes, first or last, that begins otherwise. */
static void a_key_may_begin_otherwise(void **state)
{
    (void)state;
    static const char *const others[] = {"", "a", "bbbb", "bbbbba", "bbbbbbbbbbba", "bbbbbc", "c"};
    for (uint32_t k = 0; k < sizeof others / sizeof *others; k++)
        for (uint32_t n = 1; n <= 400; n = n * 3 + 1) {
            uint32_t at = 0;
            for (uint32_t i = 0; i < n; i++)
                text_of(30, i);
            text(others[k], strlen(others[k]));
            texts_done();
            image_begin(10, 9000);
            while (texts[at].len != strlen(others[k]))
                at++;
            for (uint32_t i = 0; i < n_texts; i++)
                if (i != at)
                    add(i);
            assert_true(n == 1 || img->skip >= 30);
            check();
            add(at);
            assert_true(img->skip <= strlen(others[k]));
            check();
            take_out(at);
            check();
            image_end();
        }
}

/* Heads tie where keys are the same for longer than a head, or end in zeros. */
static void of_equal_heads_the_keys_decide(void **state)
{
    (void)state;
    static const uint8_t zeros[12] = {0};
    for (uint32_t i = 0; i < 200; i++) {
        uint8_t b[40];
        memset(b, 'z', sizeof b);
        b[0] = (uint8_t)(i % 2);
        b[20 + i % 16] = (uint8_t)(i * 5);
        text(b, 24 + i % 16);
        text(zeros, i % 12);
    }
    texts_done();
    image_begin(12, 9000);
    add_all(2);
    check();
    for (uint32_t i = 0; i < n_texts; i += 3)
        take_out(i);
    check();
    image_end();
}

/* Longer than an image holds, and longer than heads may reach. */
static void keys_are_told_apart_where_their_bytes_are_cut(void **state)
{
    (void)state;
    static const size_t at[] = {0, 200, 239, 240, 241, 255, 256, 257, 500, 767};
    uint8_t b[BYTES];
    for (uint32_t k = 0; k < sizeof at / sizeof *at; k++)
        for (uint32_t i = 0; i < 12; i++) {
            memset(b, 'm', sizeof b);
            b[at[k]] = (uint8_t)('a' + 2 * i);
            text(b, 768 + i % 3 * 100);
        }
    texts_done();
    image_begin(6, 12000);
    assert_true(n_texts > 100);
    add_all(3);
    check();
    image_end();
}

/* --- Room ------------------------------------------------------------------------ */

static void stretching_keeps_everything(void **state)
{
    (void)state;
    struct xe_image *small;
    numbers(40, 700);
    image_begin(3, 4500);
    for (uint32_t i = 0; i < 250; i++)
        add(i * 3 % n_texts);
    for (uint32_t i = 0; i < 200; i += 2)
        take_out(i * 3 % n_texts);
    check();
    /* Leaves that came later lie behind the records, and one of them is free. */
    assert_true(img->bottom * XE_UNIT < img->ring_at);
    small = img;
    assert_int_equal(xe_image_stretch(small, 8000, MAX, &img), XE_OK);
    assert_int_equal(img->count, 150);
    check();
    for (uint32_t i = 0; i < n_texts; i++)
        if (!texts[i].there)
            add(i);
    check();
    xe_image_unref(small);
    image_end();
}

static void leaves_are_not_reserved_without_room(void **state)
{
    (void)state;
    numbers(0, 10);
    image_begin(2, 100);
    assert_true(xe_leaves_reserve(img, 2));
    assert_false(xe_leaves_reserve(img, img->cap_leaves + 1));
    uint32_t bottom = img->bottom;
    assert_true(xe_leaves_reserve(img, 2));
    assert_int_equal(img->bottom, bottom);
    assert_false(xe_leaves_reserve(xe_image_empty, 1));
    image_end();
}

/* As reserve_leaves() of batch.c. */
static uint32_t leaves_for_batch(const uint32_t *batch, uint32_t n)
{
    uint32_t leaves = 0, leaf = 0, of_leaf = 0;
    if (img->count == 0)
        return full_leaves(n);
    for (uint32_t i = 0; i < n; i++) {
        struct xe_key key = key_of(batch[i]);
        struct xe_place place;
        assert_false(xe_leaves_find(img, &key, &place));
        if (place.leaf != leaf) {
            leaves += xe_leaves_for(xe_leaves_count(img, leaf), of_leaf);
            leaf = place.leaf;
            of_leaf = 0;
        }
        of_leaf++;
    }
    return leaves + xe_leaves_for(xe_leaves_count(img, leaf), of_leaf);
}

/* New keys in order: from some places on, as many as `dense` in 16. */
static uint32_t draw_batch(struct rng *r, uint32_t dense, uint32_t *batch)
{
    uint32_t n = 0, at = rng_below(r, n_texts), end = at + 1 + rng_below(r, n_texts - at);
    for (; at < end; at++) {
        if (!texts[at].there && rng_chance(r, dense, 16))
            batch[n++] = at;
        if (rng_chance(r, 1, 100))
            at += rng_below(r, 100);
    }
    return n;
}

static void what_a_batch_reserves_suffices(void **state)
{
    (void)state;
    static uint32_t batch[MAX];
    uint32_t checked = 0;
    for (uint32_t round = 0; round < 600; round++) {
        struct rng r = rng_for(100 + round);
        numbers(4, MAX);
        image_begin(30, 11000);
        /* Something to begin with: in order, or anywhere, or nothing. */
        uint32_t first = rng_below(&r, 4) * 100, start = rng_below(&r, MAX);
        bool run = rng_chance(&r, 1, 2), up = rng_chance(&r, 1, 2);
        for (uint32_t i = 0; i < first; i++) {
            uint32_t k = run ? (start + (up ? i : MAX - i)) % MAX : rng_below(&r, MAX);
            if (!texts[k].there)
                add(k);
        }
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t n = draw_batch(&r, 1 + rng_below(&r, 16), batch);
            uint32_t leaves = leaves_for_batch(batch, n), before = img->n_leaves;
            if (!xe_leaves_reserve(img, leaves))
                break;
            for (uint32_t k = 0; k < n; k++)
                add_reserved(batch[k]);
            assert_true(img->n_leaves - before <= leaves);
            checked += n > 0;
            if (rng_chance(&r, 1, 2))
                for (uint32_t k = 0; k < MAX; k += 1 + rng_below(&r, 5))
                    if (texts[k].there)
                        take_out(k);
        }
        assert_true(xe_leaves_are_valid(img));
        if (round % 20 == 0)
            check();
        image_end();
    }
    assert_true(checked > 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_filled_in_is_found),
        TEST(keys_in_order_leave_full_leaves),
        TEST(a_run_in_the_middle_leaves_few_leaves),
        TEST(to_empty_and_back),
        TEST(a_key_may_begin_otherwise),
        TEST(of_equal_heads_the_keys_decide),
        TEST(keys_are_told_apart_where_their_bytes_are_cut),
        TEST(stretching_keeps_everything),
        TEST(leaves_are_not_reserved_without_room),
        TEST(what_a_batch_reserves_suffices),
    };
    return cmocka_run_group_tests_name("leaves", tests, NULL, NULL);
}
