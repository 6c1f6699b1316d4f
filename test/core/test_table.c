/*
 * test_table.c - the operations of tables, by what table.h promises.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "reclaim.h"
#include "support.h"

static int set_up(void **state)
{
    (void)state;
    core_start();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    memory_fail_never();
    return core_stop() ? 0 : -1;
}

static uint32_t short_key(uint32_t n)
{
    return KEY(KEY_SHORT, n);
}

static uint64_t small_value(uint64_t n)
{
    return VALUE(VALUE_SMALL, n);
}

/* Keys 0..n-1, each with the value of its number. */
static void fill_table(struct xe_table *t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(put(t, short_key(i), small_value(i), XE_PUT_NEW), XE_OK);
}

static void shuffle(uint32_t *a, uint32_t n, struct rng *r)
{
    for (uint32_t i = 0; i < n; i++)
        a[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = rng_below(r, i), x = a[i - 1];
        a[i - 1] = a[j];
        a[j] = x;
    }
}

/* --- Single objects -------------------------------------------------------- */

static void a_new_table_is_empty(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    assert_int_equal(look(t, short_key(1), 0), XE_ABSENT);
    assert_int_equal(remove_key(t, short_key(1)), XE_ABSENT);
    struct xe_table_stats s = stats_of(t);
    assert_int_equal(s.objects, 0);
    assert_int_equal(s.segments, 1);
    assert_int_equal(s.image_bytes, 0);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void put_inserts_and_replaces(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    assert_int_equal(put(t, short_key(1), small_value(1), XE_PUT), XE_OK);
    assert_int_equal(look(t, short_key(1), small_value(1)), XE_OK);
    assert_int_equal(put(t, short_key(1), small_value(2), XE_PUT), XE_OK);
    assert_int_equal(look(t, short_key(1), small_value(2)), XE_OK);
    assert_int_equal(stats_of(t).objects, 1);
    xe_table_delete(t);
}

static void a_plain_put_is_a_put(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    static const uint64_t values[] = {VALUE(VALUE_SMALL, 1), VALUE(VALUE_TERMS, 2),
                                      VALUE(VALUE_LARGE, 3), VALUE(VALUE_LOOSE, 4)};
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(put(t, short_key(i), values[i], XE_PUT), XE_OK);
        for (uint32_t k = 0; k < 100; k++)
            assert_int_equal(put_plain(t, short_key(i), small_value(k), XE_PUT), XE_OK);
        assert_int_equal(look(t, short_key(i), small_value(99)), XE_OK);
        assert_int_equal(put_plain(t, short_key(i), small_value(1), XE_PUT_NEW), XE_EXISTS);
        assert_int_equal(put_plain(t, short_key(i), VALUE(VALUE_LOOSE, 9), XE_PUT), XE_OK);
        assert_int_equal(look(t, short_key(i), VALUE(VALUE_LOOSE, 9)), XE_OK);
        assert_int_equal(put_plain(t, short_key(10 + i), VALUE(VALUE_LOOSE, 9), XE_PUT_NEW), XE_OK);
        assert_int_equal(look(t, short_key(10 + i), VALUE(VALUE_LOOSE, 9)), XE_OK);
    }
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void put_new_leaves_what_is_there(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    assert_int_equal(put(t, short_key(1), small_value(1), XE_PUT_NEW), XE_OK);
    assert_int_equal(put(t, short_key(1), small_value(2), XE_PUT_NEW), XE_EXISTS);
    assert_int_equal(look(t, short_key(1), small_value(1)), XE_OK);
    xe_table_delete(t);
}

static void remove_shows_what_it_removed(void **state)
{
    (void)state;
    static const uint64_t values[] = {VALUE(VALUE_SMALL, 5), VALUE(VALUE_LARGE, 5),
                                      VALUE(VALUE_TERMS, 5), VALUE(VALUE_PIN_LARGE, 5)};
    struct xe_table *t = table_new(0, false);
    for (size_t i = 0; i < 4; i++) {
        struct lookup l;
        struct xe_view view;
        assert_int_equal(put(t, short_key(1), values[i], XE_PUT), XE_OK);
        lookup_make(&l, xe_table_seed(t), short_key(1));
        struct xe_epoch_slot *slot = xe_epoch_enter();
        assert_int_equal(xe_table_remove(t, slot, &l.key, NULL, &view), XE_OK);
        assert_true(view_is(&view, short_key(1), values[i]));
        xe_epoch_leave(slot);
        lookup_free(&l);
        assert_int_equal(look(t, short_key(1), values[i]), XE_ABSENT);
    }
    xe_table_delete(t);
}

static void every_kind_of_key_and_value_comes_back_as_it_was(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    for (uint32_t k = 0; k < KEY_KINDS; k++)
        for (uint64_t v = 0; v < VALUE_KINDS; v++)
            for (uint32_t n = 0; n < 5; n++)
                assert_int_equal(put(t, KEY(k, v * 5 + n), VALUE(v, n), XE_PUT_NEW), XE_OK);
    for (uint32_t k = 0; k < KEY_KINDS; k++)
        for (uint64_t v = 0; v < VALUE_KINDS; v++)
            for (uint32_t n = 0; n < 5; n++)
                assert_int_equal(look(t, KEY(k, v * 5 + n), VALUE(v, n)), XE_OK);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void a_key_of_no_bytes_is_a_key(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    uint8_t bytes[1 + XE_READ_SLACK] = {7};
    struct xe_object o = {.bytes = bytes, .klen = 0, .len = 1};
    struct xe_prepared p;
    struct xe_view view;
    assert_int_equal(xe_record_prepare(xe_table_seed(t), &o, &p), XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_put(t, slot, &p, XE_PUT_NEW), XE_OK);
    assert_int_equal(xe_table_put(t, slot, &p, XE_PUT_NEW), XE_EXISTS);
    assert_int_equal(xe_table_find(t, &p.key, &view), XE_OK);
    assert_int_equal(view.body[0], 7);
    xe_epoch_leave(slot);
    xe_table_delete(t);
}

static void huge_keys_that_differ_in_the_last_byte_are_two(void **state)
{
    (void)state;
    enum { LEN = 65536 };
    struct xe_table *t = table_new(0, false);
    for (uint8_t last = 0; last < 2; last++) {
        uint8_t *bytes = calloc(1, LEN + XE_READ_SLACK);
        struct xe_object o = {.bytes = bytes, .klen = LEN, .len = LEN};
        struct xe_prepared p;
        bytes[LEN - 1] = last;
        assert_int_equal(xe_record_prepare(xe_table_seed(t), &o, &p), XE_OK);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        assert_int_equal(xe_table_put(t, slot, &p, XE_PUT_NEW), XE_OK);
        xe_epoch_leave(slot);
        free(bytes);
    }
    assert_int_equal(stats_of(t).objects, 2);
    xe_table_delete(t);
}

static void a_key_with_the_bytes_of_a_digest_is_not_the_huge_key(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    struct lookup l;
    uint8_t bytes[24 + XE_READ_SLACK] = {0};
    struct xe_view view;
    assert_int_equal(put(t, KEY(KEY_HUGE, 1), small_value(1), XE_PUT_NEW), XE_OK);
    lookup_make(&l, xe_table_seed(t), KEY(KEY_HUGE, 1));
    assert_int_equal(l.key.klen, 24);
    memcpy(bytes, l.key.bytes, 24);
    struct xe_key key;
    xe_key_init(&key, xe_table_seed(t), bytes, 24, NULL, 0);
    assert_int_equal(key.hash, l.key.hash);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_find(t, &key, &view), XE_ABSENT);
    xe_epoch_leave(slot);
    lookup_free(&l);
    xe_table_delete(t);
}

static void loose_objects_are_equal_when_the_callback_says_so(void **state)
{
    (void)state;
    struct object a, b, c;
    struct xe_view view;
    object_make(&a, short_key(1), VALUE(VALUE_LOOSE, 1));
    object_make(&b, short_key(1), VALUE(VALUE_LOOSE, 1));
    object_make(&c, short_key(1), VALUE(VALUE_LOOSE, 1));
    b.bytes[b.o.len - 1] ^= 0x80;
    c.bytes[c.o.len - 1] ^= 0x01;
    xe_object_view(&a.o, &view);
    assert_true(xe_record_equal(&view, &a.o));
    assert_true(xe_record_equal(&view, &b.o));
    assert_false(xe_record_equal(&view, &c.o));
    b.o.flags = 0;
    view.flags = 0;
    assert_false(xe_record_equal(&view, &b.o));
    object_free(&a);
    object_free(&b);
    object_free(&c);
}

/* --- Versions and updates ---------------------------------------------------- */

struct found {
    struct lookup l;
    struct xe_view view;
    struct xe_version version;
};

/* Inside a section. */
static enum xe_status find_version(struct xe_table *t, uint32_t key, struct found *f)
{
    lookup_make(&f->l, xe_table_seed(t), key);
    return xe_table_find_version(t, &f->l.key, &f->view, &f->version);
}

static enum xe_status replace(struct xe_table *t, struct xe_epoch_slot *slot, uint32_t key,
                              uint64_t value, const struct xe_version *seen)
{
    struct object x;
    struct xe_prepared p;
    object_make(&x, key, value);
    enum xe_status status = xe_record_prepare(xe_table_seed(t), &x.o, &p);
    if (status == XE_OK && (status = xe_table_replace(t, slot, &p, seen)) != XE_OK)
        xe_record_unprepare(&p);
    object_free(&x);
    return status;
}

/* Adds 1 to the first 4 bytes of the body, unless they are 99. */
static bool patch_count(void *arg, const struct xe_view *view, struct xe_patch *out)
{
    uint32_t count = xe_load32(view->body);
    CHECK(view->blob == NULL && view->n_handles == 0);
    ++*(uint32_t *)arg;
    *out = (struct xe_patch){.at = view->body, .width = 4, .word = count + 1};
    return count != 99;
}

static void a_patch_changes_a_few_bytes_or_nothing(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    uint8_t bytes[20 + XE_READ_SLACK] = {1, 2, 3, 4, 5};
    struct xe_object o = {.bytes = bytes, .klen = 5, .len = 13};
    struct xe_prepared p;
    struct xe_view view;
    uint32_t calls = 0;
    memcpy(bytes + 9, "rest", 4);
    assert_int_equal(xe_record_prepare(xe_table_seed(t), &o, &p), XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_patch(t, slot, &p.key, patch_count, &calls), XE_ABSENT);
    assert_int_equal(calls, 0);
    assert_int_equal(xe_table_put(t, slot, &p, XE_PUT), XE_OK);
    enum xe_status status = XE_OK;
    for (uint32_t done = 0; done < 99; done += status == XE_OK) {
        status = xe_table_patch(t, slot, &p.key, patch_count, &calls);
        /* Without room it is for others to make some. */
        if (status == XE_LIMIT)
            for (int i = 0; i < 3; i++) {
                xe_epoch_refresh(slot);
                xe_epoch_try_advance();
            }
    }
    assert_int_equal(xe_table_patch(t, slot, &p.key, patch_count, &calls), XE_LIMIT);
    assert_int_equal(xe_table_find(t, &p.key, &view), XE_OK);
    assert_int_equal(xe_load32(view.body), 99);
    assert_memory_equal(view.body + 4, "rest", 4);
    xe_epoch_leave(slot);
    put(t, short_key(1), VALUE(VALUE_LARGE, 1), XE_PUT);
    put(t, short_key(2), VALUE(VALUE_TERMS, 1), XE_PUT);
    for (uint32_t k = 1; k <= 2; k++) {
        struct lookup l;
        lookup_make(&l, xe_table_seed(t), short_key(k));
        calls = 0;
        slot = xe_epoch_enter();
        assert_int_equal(xe_table_patch(t, slot, &l.key, patch_count, &calls), XE_LIMIT);
        xe_epoch_leave(slot);
        assert_int_equal(calls, 0);
        lookup_free(&l);
    }
    xe_table_delete(t);
}

static void replace_stores_only_over_the_version_seen(void **state)
{
    (void)state;
    static const uint64_t kinds[] = {VALUE_SMALL, VALUE_LARGE, VALUE_TERMS, VALUE_PIN_LARGE};
    struct xe_table *t = table_new(0, false);
    for (size_t i = 0; i < 4; i++) {
        uint64_t first = VALUE(kinds[i], 1), second = VALUE(kinds[i], 2);
        struct found f;
        assert_int_equal(put(t, short_key(1), first, XE_PUT), XE_OK);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        assert_int_equal(find_version(t, short_key(1), &f), XE_OK);
        assert_int_equal(replace(t, slot, short_key(1), second, &f.version), XE_OK);
        assert_int_equal(replace(t, slot, short_key(1), first, &f.version), XE_ABSENT);
        assert_int_equal(xe_table_remove(t, slot, &f.l.key, &f.version, NULL), XE_ABSENT);
        xe_epoch_leave(slot);
        lookup_free(&f.l);
        assert_int_equal(look(t, short_key(1), second), XE_OK);
    }
    xe_table_delete(t);
}

static void a_blob_has_the_same_version_after_a_rebuild(void **state)
{
    (void)state;
    struct xe_table *t = table_new(16, false);
    struct found f;
    assert_int_equal(put(t, short_key(5000), VALUE(VALUE_LARGE, 1), XE_PUT), XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(find_version(t, short_key(5000), &f), XE_OK);
    for (uint32_t i = 0; i < 500; i++) {
        struct object x;
        struct xe_prepared p;
        object_make(&x, short_key(i), small_value(i));
        assert_int_equal(xe_record_prepare(xe_table_seed(t), &x.o, &p), XE_OK);
        assert_int_equal(xe_table_put(t, slot, &p, XE_PUT), XE_OK);
        object_free(&x);
    }
    assert_int_equal(xe_table_remove(t, slot, &f.l.key, &f.version, NULL), XE_OK);
    xe_epoch_leave(slot);
    lookup_free(&f.l);
    xe_table_delete(t);
}

struct change {
    enum xe_update answer;
    struct object object;
    uint32_t calls;
};

static enum xe_update change(void *arg, const struct xe_view *view, struct xe_object *out)
{
    struct change *c = arg;
    CHECK(view->blob == NULL);
    c->calls++;
    *out = c->object.o;
    return c->answer;
}

static enum xe_status update(struct xe_table *t, uint32_t key, uint64_t value,
                             enum xe_update answer, uint32_t *calls)
{
    struct change c = {.answer = answer};
    struct lookup l;
    object_make(&c.object, key, value);
    lookup_make(&l, xe_table_seed(t), key);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_update(t, slot, &l.key, change, &c);
    xe_epoch_leave(slot);
    object_free(&c.object);
    lookup_free(&l);
    *calls = c.calls;
    return status;
}

static void update_replaces_keeps_or_declines(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    uint32_t key = short_key(1), calls;
    assert_int_equal(update(t, key, small_value(1), XE_UPDATE_REPLACE, &calls), XE_ABSENT);
    assert_int_equal(calls, 0);
    put(t, key, small_value(0), XE_PUT);
    assert_int_equal(update(t, key, small_value(1), XE_UPDATE_REPLACE, &calls), XE_OK);
    assert_int_equal(look(t, key, small_value(1)), XE_OK);
    assert_int_equal(update(t, key, small_value(2), XE_UPDATE_KEEP, &calls), XE_EXISTS);
    assert_int_equal(look(t, key, small_value(1)), XE_OK);
    assert_int_equal(update(t, key, VALUE(VALUE_LARGE, 1), XE_UPDATE_REPLACE, &calls), XE_LIMIT);
    assert_int_equal(look(t, key, small_value(1)), XE_OK);
    put(t, key, VALUE(VALUE_LARGE, 1), XE_PUT);
    assert_int_equal(update(t, key, small_value(1), XE_UPDATE_REPLACE, &calls), XE_LIMIT);
    assert_int_equal(calls, 0);
    xe_table_delete(t);
}

/* --- Many keys at once -------------------------------------------------------- */

static void find_many_tells_which_are_there(void **state)
{
    (void)state;
    struct xe_table *t = table_new(16, false);
    struct lookup l[XE_FIND_MANY];
    struct xe_key keys[XE_FIND_MANY];
    struct xe_view views[XE_FIND_MANY];
    bool found[XE_FIND_MANY];
    fill_table(t, 1000);
    for (uint32_t from = 0; from < 1200; from += XE_FIND_MANY) {
        for (uint32_t i = 0; i < XE_FIND_MANY; i++) {
            lookup_make(&l[i], xe_table_seed(t), short_key(from + i));
            keys[i] = l[i].key;
        }
        struct xe_epoch_slot *slot = xe_epoch_enter();
        assert_int_equal(xe_table_find_many(t, keys, XE_FIND_MANY, views, found), XE_OK);
        for (uint32_t i = 0; i < XE_FIND_MANY; i++) {
            assert_int_equal(found[i], from + i < 1000);
            if (found[i])
                assert_true(view_is(&views[i], short_key(from + i), small_value(from + i)));
        }
        xe_epoch_leave(slot);
        for (uint32_t i = 0; i < XE_FIND_MANY; i++)
            lookup_free(&l[i]);
    }
    xe_table_delete(t);
}

enum { LIST = 3000 };
static uint32_t list_keys[LIST];
static uint64_t list_values[LIST];

static void g2_of_equal_keys_in_a_list_the_last_wins(void **state)
{
    (void)state;
    struct xe_table *t = table_new(64, false);
    for (uint32_t i = 0; i < LIST; i++) {
        list_keys[i] = KEY(i % 4 == 0 ? KEY_TWIN : KEY_SHORT, i % 100);
        list_values[i] = VALUE(i % 7 == 0 ? VALUE_LARGE : VALUE_SMALL, i);
    }
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT), XE_OK);
    for (uint32_t i = LIST - 100; i < LIST; i++)
        assert_int_equal(look(t, list_keys[i], list_values[i]), XE_OK);
    assert_int_equal(stats_of(t).objects, 100);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void a_list_of_new_objects_is_stored_whole_or_not_at_all(void **state)
{
    (void)state;
    struct xe_table *t = table_new(64, false);
    for (uint32_t i = 0; i < LIST; i++) {
        list_keys[i] = short_key(i);
        list_values[i] = VALUE(i % 50 == 0 ? VALUE_LARGE : i % 9 == 0 ? VALUE_TERMS : VALUE_SMALL, i);
    }
    put(t, short_key(LIST / 2), small_value(1), XE_PUT);
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT_NEW), XE_EXISTS);
    assert_int_equal(stats_of(t).objects, 1);
    remove_key(t, short_key(LIST / 2));
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT_NEW), XE_OK);
    for (uint32_t i = 0; i < LIST; i++)
        assert_int_equal(look(t, list_keys[i], list_values[i]), XE_OK);
    assert_int_equal(stats_of(t).objects, LIST);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void a_list_may_be_empty(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    assert_int_equal(put_list(t, NULL, NULL, 0, XE_PUT), XE_OK);
    assert_int_equal(put_list(t, NULL, NULL, 0, XE_PUT_NEW), XE_OK);
    xe_table_delete(t);
}

static void lists_overwrite_and_add(void **state)
{
    (void)state;
    struct xe_table *t = table_new(64, false);
    struct rng r = rng_for(11);
    static uint64_t now[LIST];
    for (uint32_t round = 0; round < 30; round++) {
        uint32_t n = 1 + rng_below(&r, round % 3 ? 20 : 600);
        for (uint32_t i = 0; i < n; i++) {
            list_keys[i] = short_key(rng_below(&r, LIST));
            list_values[i] = VALUE(rng_below(&r, VALUE_KINDS), round * LIST + i);
            if (list_values[i] >> 56 == VALUE_GIANT)
                list_values[i] = small_value(i);
        }
        assert_int_equal(put_list(t, list_keys, list_values, n, XE_PUT), XE_OK);
        for (uint32_t i = 0; i < n; i++)
            now[list_keys[i]] = list_values[i] + 1;
        assert_true(is_valid(t));
    }
    for (uint32_t k = 0; k < LIST; k++)
        assert_int_equal(look(t, k, now[k] - 1), now[k] ? XE_OK : XE_ABSENT);
    xe_table_delete(t);
}

/* --- Growing and shrinking ----------------------------------------------------- */

struct walked {
    uint8_t *seen;
    uint32_t n;
};

static void visit(void *arg, const struct xe_view *view)
{
    struct walked *w = arg;
    w->seen[view_key(view) & 0xffffff]++;
    w->n++;
}

static void g4_a_scan_visits_every_object_once(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct xe_table *t = table_new(64, false);
    struct walked w = {.seen = calloc(N, 1)};
    uint64_t position = 0, last = 0;
    fill_table(t, N);
    assert_true(xe_table_segments(t) > N / 64);
    for (bool more = true; more;) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        more = xe_table_scan(t, &position, visit, &w);
        xe_epoch_leave(slot);
        assert_true(!more || position > last);
        last = position;
    }
    assert_int_equal(w.n, N);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(w.seen[i], 1);
    free(w.seen);
    xe_table_delete(t);
}

static void g4_a_scan_goes_on_after_splits_and_merges(void **state)
{
    (void)state;
    enum { N = 4000, EXTRA = 6000 };
    struct xe_table *t = table_new(32, false);
    struct walked w = {.seen = calloc(N + EXTRA, 1)};
    uint64_t position = 0;
    uint32_t extra = 0;
    fill_table(t, N);
    for (bool more = true, adding = true; more;) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        more = xe_table_scan(t, &position, visit, &w);
        xe_epoch_leave(slot);
        /* Keys that are not there throughout come and go meanwhile. */
        for (uint32_t i = 0; i < 100; i++) {
            if (adding)
                put(t, short_key(N + extra++), small_value(1), XE_PUT);
            else
                remove_key(t, short_key(N + --extra));
            adding = extra == EXTRA ? false : extra == 0 ? true : adding;
        }
    }
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(w.seen[i], 1);
    free(w.seen);
    xe_table_delete(t);
}

/* What is left when everything has been removed: one small image and a few slots. */
static void assert_is_back_at(struct xe_table *t, uint64_t base)
{
    enum { SMALL_IMAGE = 1024, SLOTS = 64 };
    struct xe_table_stats s = stats_of(t);
    assert_true(is_valid(t));
    assert_int_equal(s.objects, 0);
    assert_int_equal(s.segments, 1);
    assert_true(s.image_bytes <= SMALL_IMAGE);
    assert_true(s.bytes <= base + SMALL_IMAGE + SLOTS);
}

static void memory_comes_back_when_all_is_removed_in_any_order(void **state)
{
    (void)state;
    enum { N = 30000 };
    static uint32_t order[N];
    struct rng r = rng_for(12);
    for (uint32_t round = 0; round < 3; round++) {
        struct xe_table *t = table_new(round == 1 ? 16 : 0, false);
        uint64_t base = stats_of(t).bytes;
        fill_table(t, N);
        shuffle(order, N, &r);
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(remove_key(t, short_key(round == 2 ? i : order[i])), XE_OK);
        assert_is_back_at(t, base);
        xe_table_delete(t);
    }
}

struct collect {
    uint32_t *keys;
    uint32_t n;
};

static void collect(void *arg, const struct xe_view *view)
{
    struct collect *c = arg;
    c->keys[c->n++] = view_key(view);
}

/* As a program does that goes over a table and deletes what it finds. */
static void memory_comes_back_when_all_is_removed_in_the_order_of_a_scan(void **state)
{
    (void)state;
    enum { N = 30000 };
    struct collect c = {.keys = malloc(N * sizeof *c.keys)};
    for (int backward = 0; backward < 2; backward++) {
        struct xe_table *t = table_new(64, false);
        uint64_t base = stats_of(t).bytes, position = 0;
        fill_table(t, N);
        c.n = 0;
        for (bool more = true; more;) {
            struct xe_epoch_slot *slot = xe_epoch_enter();
            more = xe_table_scan(t, &position, collect, &c);
            xe_epoch_leave(slot);
        }
        assert_int_equal(c.n, N);
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(remove_key(t, c.keys[backward ? N - 1 - i : i]), XE_OK);
        assert_is_back_at(t, base);
        xe_table_delete(t);
    }
    free(c.keys);
}

static void memory_comes_back_when_objects_become_smaller(void **state)
{
    (void)state;
    enum { N = 3000 };
    struct xe_table *t = table_new(0, false);
    for (int plain = 0; plain < 2; plain++) {
        for (uint32_t i = 0; i < N; i++)
            put(t, short_key(i), VALUE(VALUE_MEDIUM, i), XE_PUT);
        uint64_t large = stats_of(t).image_bytes;
        for (uint32_t i = 0; i < N; i++)
            (plain ? put_plain : put)(t, short_key(i), VALUE(VALUE_EMPTY, i), XE_PUT);
        assert_true(stats_of(t).image_bytes < large / 4);
        assert_true(is_valid(t));
    }
    xe_table_delete(t);
}

/* Images that were made for few large objects have bytes for more small ones than a
 * rebuild can take. */
static void small_objects_may_come_in_the_place_of_large_ones(void **state)
{
    (void)state;
    enum { LARGE = 2000, EACH = 28 };
    struct xe_table *t = table_new(XE_SEGMENT_OBJECTS_MAX, false);
    uint32_t n = 0;
    for (uint32_t i = 0; i < LARGE; i++)
        put(t, short_key(i), VALUE(VALUE_MEDIUM, i), XE_PUT);
    for (uint32_t i = 0; i < LARGE; i++) {
        assert_int_equal(put(t, short_key(i), VALUE(VALUE_EMPTY, 0), XE_PUT), XE_OK);
        for (uint32_t j = 0; j < 3; j++)
            xe_epoch_try_advance();
        for (uint32_t j = 0; j < EACH; j++)
            assert_int_equal(put(t, KEY(KEY_WORD, n++), VALUE(VALUE_EMPTY, 0), XE_PUT), XE_OK);
    }
    assert_true(is_valid(t));
    for (uint32_t i = 0; i < n; i += 7)
        assert_int_equal(look(t, KEY(KEY_WORD, i), VALUE(VALUE_EMPTY, 0)), XE_OK);
    xe_table_delete(t);
}

static void deleting_a_few_of_a_small_table_does_not_rebuild_each_time(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    uint32_t rebuilds = 0;
    uint64_t image = 0;
    fill_table(t, 60);
    for (uint32_t i = 0; i < 60; i++) {
        struct found f;
        remove_key(t, short_key(i));
        struct xe_epoch_slot *slot = xe_epoch_enter();
        if (i < 59) {
            assert_int_equal(find_version(t, short_key(59), &f), XE_OK);
            rebuilds += (uintptr_t)f.version.image != image;
            image = (uintptr_t)f.version.image;
            lookup_free(&f.l);
        }
        xe_epoch_leave(slot);
    }
    assert_true(rebuilds <= 8);
    xe_table_delete(t);
}

/* --- EXT terms ------------------------------------------------------------------- */

static void overwriting_terms_does_not_keep_the_old_ones(void **state)
{
    (void)state;
    enum { KEYS = 20, ROUNDS = 300 };
    struct xe_table *t = table_new(0, false);
    struct memory_use use;
    for (uint32_t i = 0; i < KEYS * ROUNDS; i++)
        assert_int_equal(put(t, short_key(i % KEYS), VALUE(VALUE_PIN, i), XE_PUT), XE_OK);
    xe_reclaim_drain();
    memory_in_use(&use);
    /* The live ones, and not more dead ones than pin a MiB: 32 KiB each. */
    assert_true(use.terms < KEYS + (1 << 20) / 32768 * 4);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void removing_terms_does_not_keep_them(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    struct memory_use use;
    for (uint32_t i = 0; i < 3000; i++) {
        assert_int_equal(put(t, short_key(1), VALUE(VALUE_PIN, i), XE_PUT), XE_OK);
        assert_int_equal(remove_key(t, short_key(1)), XE_OK);
    }
    xe_reclaim_drain();
    memory_in_use(&use);
    assert_true(use.terms < 64);
    xe_table_delete(t);
}

/* Keys with the same bytes and other handles have the same hash. */
static void hundreds_of_equal_hashes_in_one_segment_work(void **state)
{
    (void)state;
    enum { N = 700 };
    struct xe_table *t = table_new(0, false);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(put(t, KEY(KEY_TWIN, i), VALUE(VALUE_EMPTY, 0), XE_PUT_NEW), XE_OK);
        assert_int_equal(put(t, short_key(i), small_value(i), XE_PUT_NEW), XE_OK);
    }
    assert_true(is_valid(t));
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(look(t, KEY(KEY_TWIN, i), VALUE(VALUE_EMPTY, 0)), XE_OK);
        assert_int_equal(put(t, KEY(KEY_TWIN, i), small_value(i), XE_PUT), XE_OK);
    }
    for (uint32_t i = 0; i < N; i += 2)
        assert_int_equal(remove_key(t, KEY(KEY_TWIN, i)), XE_OK);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(look(t, KEY(KEY_TWIN, i), small_value(i)), i % 2 ? XE_OK : XE_ABSENT);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

static void too_many_equal_hashes_are_a_limit_and_change_nothing(void **state)
{
    (void)state;
    enum { N = 6000 };
    struct xe_table *t = table_new(0, false);
    uint32_t n = 0;
    enum xe_status status;
    while ((status = put(t, KEY(KEY_TWIN, n), VALUE(VALUE_EMPTY, 0), XE_PUT_NEW)) == XE_OK)
        assert_true(++n < N);
    assert_int_equal(status, XE_LIMIT);
    assert_true(n >= 1000);
    assert_true(is_valid(t));
    for (uint32_t i = 0; i < LIST; i++) {
        list_keys[i] = KEY(KEY_TWIN, N + i);
        list_values[i] = VALUE(VALUE_EMPTY, 0);
    }
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT), XE_LIMIT);
    assert_true(is_valid(t));
    assert_int_equal(stats_of(t).objects, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(remove_key(t, KEY(KEY_TWIN, i)), XE_OK);
    assert_int_equal(put_list(t, list_keys, list_values, LIST, XE_PUT), XE_LIMIT);
    assert_int_equal(put_list(t, list_keys, list_values, 1000, XE_PUT), XE_OK);
    assert_true(is_valid(t));
    xe_table_delete(t);
}

/* --- Blobs ------------------------------------------------------------------------- */

static void a_pinned_blob_outlives_its_object_and_its_table(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    uint64_t value = VALUE(VALUE_PIN_LARGE, 3);
    struct found f;
    assert_int_equal(put(t, short_key(1), value, XE_PUT), XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(find_version(t, short_key(1), &f), XE_OK);
    xe_blob_pin(f.view.blob);
    xe_epoch_leave(slot);
    assert_int_equal(remove_key(t, short_key(1)), XE_OK);
    xe_table_delete(t);
    xe_reclaim_drain();
    assert_true(view_is(&f.view, short_key(1), value));
    xe_blob_unpin(f.view.blob);
    lookup_free(&f.l);
}

static void blobs_are_counted_while_they_are_in_the_table(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    put(t, short_key(2), small_value(1), XE_PUT);
    uint64_t base = stats_of(t).bytes;
    put(t, short_key(1), VALUE(VALUE_GIANT, 1), XE_PUT);
    assert_true(stats_of(t).bytes > base + 65536);
    put(t, short_key(1), VALUE(VALUE_GIANT, 2), XE_PUT);
    assert_true(stats_of(t).bytes > base + 65536);
    put(t, short_key(1), small_value(2), XE_PUT);
    assert_int_equal(stats_of(t).bytes, base);
    put(t, short_key(1), VALUE(VALUE_GIANT, 1), XE_PUT);
    remove_key(t, short_key(1));
    assert_int_equal(stats_of(t).bytes, base);
    xe_table_delete(t);
}

/* --- Clear, gate, delete -------------------------------------------------------------- */

static enum xe_status clear(struct xe_table *t)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_clear(t);
    xe_epoch_leave(slot);
    return status;
}

static void clear_leaves_an_empty_table(void **state)
{
    (void)state;
    struct xe_table *t = table_new(64, false);
    uint64_t base = stats_of(t).bytes;
    for (uint32_t round = 0; round < 3; round++) {
        fill_table(t, 3000);
        put(t, short_key(9000), VALUE(VALUE_LARGE, 1), XE_PUT);
        put(t, short_key(9001), VALUE(VALUE_TERMS, 1), XE_PUT);
        assert_int_equal(clear(t), XE_OK);
        assert_int_equal(stats_of(t).objects, 0);
        assert_int_equal(stats_of(t).bytes, base);
        assert_true(is_valid(t));
    }
    xe_table_delete(t);
}

static void writers_retry_while_the_gate_is_closed(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    uint32_t key = short_key(1);
    uint64_t value = VALUE(VALUE_LARGE, 1);
    put(t, short_key(2), small_value(2), XE_PUT);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_close_gate(t), XE_OK);
    assert_int_equal(xe_table_close_gate(t), XE_RETRY);
    xe_epoch_leave(slot);
    assert_int_equal(put(t, key, value, XE_PUT), XE_RETRY);
    assert_int_equal(remove_key(t, short_key(2)), XE_RETRY);
    assert_int_equal(put_list(t, &key, &value, 1, XE_PUT), XE_RETRY);
    assert_int_equal(clear(t), XE_RETRY);
    assert_int_equal(look(t, short_key(2), small_value(2)), XE_OK);
    xe_table_open_gate(t);
    assert_int_equal(put(t, key, value, XE_PUT), XE_OK);
    xe_table_delete(t);
}

static void writers_that_are_late_learn_that_the_table_is_dead(void **state)
{
    (void)state;
    struct xe_table *t = table_new(0, false);
    put(t, short_key(2), small_value(2), XE_PUT);
    struct lookup l;
    struct object x;
    struct xe_prepared p;
    lookup_make(&l, xe_table_seed(t), short_key(2));
    object_make(&x, short_key(3), VALUE(VALUE_LARGE, 1));
    assert_int_equal(xe_record_prepare(xe_table_seed(t), &x.o, &p), XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    xe_table_delete(t);
    assert_int_equal(xe_table_put(t, slot, &p, XE_PUT), XE_DEAD);
    assert_int_equal(xe_table_remove(t, slot, &l.key, NULL, NULL), XE_DEAD);
    assert_int_equal(xe_table_clear(t), XE_DEAD);
    xe_epoch_leave(slot);
    xe_record_unprepare(&p);
    object_free(&x);
    lookup_free(&l);
}

static uint64_t count_call(void *arg)
{
    return ++*(uint64_t *)arg;
}

static void every_write_that_happens_takes_a_number(void **state)
{
    (void)state;
    uint64_t calls = 0;
    uint32_t keys[2] = {short_key(1), short_key(2)};
    uint64_t values[2] = {small_value(1), small_value(2)};
    struct xe_table_config config = {.seed = 1, .sequence = count_call, .sequence_arg = &calls};
    struct xe_table *t = xe_table_new(&config);
    put_list(t, keys, values, 2, XE_PUT);
    assert_int_equal(calls, 2);
    put(t, keys[0], values[0], XE_PUT);
    assert_int_equal(calls, 3);
    put(t, keys[0], values[0], XE_PUT_NEW);
    remove_key(t, short_key(3));
    assert_int_equal(calls, 3);
    remove_key(t, keys[0]);
    assert_int_equal(calls, 4);
    xe_table_delete(t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* test_table [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_table_is_empty),
        TEST(put_inserts_and_replaces),
        TEST(a_plain_put_is_a_put),
        TEST(put_new_leaves_what_is_there),
        TEST(remove_shows_what_it_removed),
        TEST(every_kind_of_key_and_value_comes_back_as_it_was),
        TEST(a_key_of_no_bytes_is_a_key),
        TEST(huge_keys_that_differ_in_the_last_byte_are_two),
        TEST(a_key_with_the_bytes_of_a_digest_is_not_the_huge_key),
        TEST(loose_objects_are_equal_when_the_callback_says_so),
        TEST(replace_stores_only_over_the_version_seen),
        TEST(a_blob_has_the_same_version_after_a_rebuild),
        TEST(update_replaces_keeps_or_declines),
        TEST(a_patch_changes_a_few_bytes_or_nothing),
        TEST(find_many_tells_which_are_there),
        TEST(g2_of_equal_keys_in_a_list_the_last_wins),
        TEST(a_list_of_new_objects_is_stored_whole_or_not_at_all),
        TEST(a_list_may_be_empty),
        TEST(lists_overwrite_and_add),
        TEST(g4_a_scan_visits_every_object_once),
        TEST(g4_a_scan_goes_on_after_splits_and_merges),
        TEST(memory_comes_back_when_all_is_removed_in_any_order),
        TEST(memory_comes_back_when_all_is_removed_in_the_order_of_a_scan),
        TEST(memory_comes_back_when_objects_become_smaller),
        TEST(small_objects_may_come_in_the_place_of_large_ones),
        TEST(deleting_a_few_of_a_small_table_does_not_rebuild_each_time),
        TEST(overwriting_terms_does_not_keep_the_old_ones),
        TEST(removing_terms_does_not_keep_them),
        TEST(hundreds_of_equal_hashes_in_one_segment_work),
        TEST(too_many_equal_hashes_are_a_limit_and_change_nothing),
        TEST(a_pinned_blob_outlives_its_object_and_its_table),
        TEST(blobs_are_counted_while_they_are_in_the_table),
        TEST(clear_leaves_an_empty_table),
        TEST(writers_retry_while_the_gate_is_closed),
        TEST(writers_that_are_late_learn_that_the_table_is_dead),
        TEST(every_write_that_happens_takes_a_number),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
