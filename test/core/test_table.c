/*
 * test_table.c - the operations of tables, by what table.h promises.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "read.h"
#include "reclaim.h"
#include "support.h"

/* --- Single objects ------------------------------------------------------ */

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

/* --- Versions and updates ------------------------------------------------ */

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

/* --- Many keys at once --------------------------------------------------- */

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

/* --- Blobs --------------------------------------------------------------- */

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

/* --- Short keys ---------------------------------------------------------- */

/* Inside a section. */
static void assert_reads_the_same(struct xe_table *t, const uint8_t *bytes, uint32_t klen)
{
    struct xe_key key;
    struct xe_short_key short_form;
    uint64_t words[2] = {0, 0};
    const uint8_t *rec = NULL, *read = NULL;
    memcpy(words, bytes, klen);
    xe_key_init(&key, xe_table_seed(t), bytes, klen, NULL, 0);
    xe_short_key_init(&short_form, xe_table_seed(t), words[0], words[1], klen);
    assert_int_equal(short_form.hash, key.hash);
    enum xe_status status = xe_table_find_record(t, &key, &rec);
    assert_int_equal(xe_read_short(t, &short_form, &read), status);
    assert_ptr_equal(read, rec);
}

static void the_read_path_for_short_keys_finds_what_the_other_one_finds(void **state)
{
    (void)state;
    enum { N = 3000 };
    struct xe_table *t = table_new(64, false);
    struct rng r = rng_for(15);
    uint8_t keys[N][16 + XE_READ_SLACK];
    uint32_t lengths[N];
    struct xe_epoch_slot *slot = xe_epoch_enter();
    for (uint32_t i = 0; i < N; i++) {
        /* Few different bytes, so that keys differ in their lengths only, too. */
        lengths[i] = 1 + rng_below(&r, 16);
        for (uint32_t k = 0; k < sizeof keys[i]; k++)
            keys[i][k] = (uint8_t)(rng_chance(&r, 1, 3) ? rng_next(&r) : 0);
        struct xe_object o = {.bytes = keys[i], .klen = lengths[i], .len = 16};
        struct xe_prepared p;
        assert_int_equal(xe_record_prepare(xe_table_seed(t), &o, &p), XE_OK);
        if (i % 2)
            assert_int_equal(xe_table_put(t, slot, &p, XE_PUT), XE_OK);
    }
    for (uint32_t i = 0; i < N; i++)
        for (uint32_t klen = 1; klen <= 16; klen++)
            assert_reads_the_same(t, keys[i], klen);
    xe_epoch_leave(slot);
    xe_table_delete(t);
}

/* --- Clear, gate, delete ------------------------------------------------- */

static enum xe_status clear(struct xe_table *t)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    uint64_t n, size = xe_table_size(t);
    enum xe_status status = xe_table_clear(t, slot, &n);
    xe_epoch_leave(slot);
    assert_true(status != XE_OK || n == size);
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
    assert_int_equal(xe_table_clear(t, slot, NULL), XE_DEAD);
    xe_epoch_leave(slot);
    xe_record_unprepare(&p);
    object_free(&x);
    lookup_free(&l);
}

struct linger {
    struct xe_table *t;
    struct xe_epoch_slot *slot;
    bool stayed;
};

/* What a write does that waits for the clock, and then a long time more. */
static enum xe_update linger(void *arg, const struct xe_view *view, struct xe_object *out)
{
    enum { YIELDS = 2000 };
    struct linger *l = arg;
    struct memory_use before, now;
    (void)view;
    (void)out;
    xe_table_delete(l->t);
    memory_in_use(&before);
    l->stayed = true;
    for (uint32_t i = 0; i < YIELDS && l->stayed; i++) {
        xe_epoch_refresh(l->slot);
        xe_epoch_try_advance();
        sched_yield();
        memory_in_use(&now);
        l->stayed = now.blocks == before.blocks;
    }
    return XE_UPDATE_KEEP;
}

static void a_deleted_table_stays_for_writers_that_moved_their_section(void **state)
{
    (void)state;
    struct linger l = {.t = table_new(0, false)};
    struct lookup key;
    put(l.t, short_key(1), small_value(1), XE_PUT);
    lookup_make(&key, xe_table_seed(l.t), short_key(1));
    l.slot = xe_epoch_enter();
    assert_int_equal(xe_table_update(l.t, l.slot, &key.key, linger, &l), XE_EXISTS);
    xe_epoch_leave(l.slot);
    assert_true(l.stayed);
    lookup_free(&key);
}

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
        TEST(a_pinned_blob_outlives_its_object_and_its_table),
        TEST(blobs_are_counted_while_they_are_in_the_table),
        TEST(the_read_path_for_short_keys_finds_what_the_other_one_finds),
        TEST(clear_leaves_an_empty_table),
        TEST(writers_retry_while_the_gate_is_closed),
        TEST(writers_that_are_late_learn_that_the_table_is_dead),
        TEST(a_deleted_table_stays_for_writers_that_moved_their_section),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
