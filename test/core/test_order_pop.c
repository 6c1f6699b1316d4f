/*
 * test_order_pop.c - taking the first and the last object of a table whose segments have been left
 * without objects, and are fought for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "order_internal.h"
#include "support.h"

enum { KEYS = 2000, SEGMENT_OBJECTS = 16 };

static void add(struct xe_table *t, uint32_t i)
{
    struct object x;
    struct xe_prepared p;
    object_make(&x, KEY(KEY_WORD, i), i);
    assert_int_equal(xe_table_prepare(t, &x.o, &p), XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_int_equal(xe_table_put(t, slot, &p, XE_PUT), XE_OK);
    xe_epoch_leave(slot);
    object_free(&x);
}

/* As if others waited for all the time: too warm to be merged, not warm enough to be split. Returns
 * how many segments there are. */
static uint32_t heat_all(struct xe_table *t)
{
    uint32_t n = 0;
    for (struct xe_segment *s = xe_order_edge(t, false); s; s = xe_order_right(t, s), n++)
        atomic_store(&s->heat, HEAT_UP);
    return n;
}

static enum xe_status pop(struct xe_table *t, bool last)
{
    struct xe_view view;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    heat_all(t);
    enum xe_status status = xe_order_pop(t, slot, last, &view);
    xe_epoch_leave(slot);
    return status;
}

/* Takes all from one end, which is looked for behind ever more segments without objects. */
static void takes_all(bool last)
{
    struct xe_table *t = xe_table_new(&(struct xe_table_config){
        .seed = 1, .kind = XE_ORDERED, .max_objects = SEGMENT_OBJECTS, .hot = true});
    assert_non_null(t);
    for (uint32_t i = 0; i < KEYS; i++)
        add(t, i);
    uint32_t segments = heat_all(t), again = 0;
    assert_true(segments > 64);
    for (uint32_t n = 0; n < KEYS;) {
        enum xe_status status = pop(t, last);
        assert_true(status == XE_OK || status == XE_RETRY);
        n += status == XE_OK;
        again += status == XE_RETRY;
        assert_true(again <= segments);
    }
    enum xe_status status;
    while ((status = pop(t, last)) == XE_RETRY)
        assert_true(++again <= segments);
    assert_int_equal(status, XE_ABSENT);
    assert_int_equal(xe_table_size(t), 0);
    xe_table_delete(t);
}

static void pops_get_past_segments_without_objects(void **state)
{
    (void)state;
    takes_all(false);
    takes_all(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pops_get_past_segments_without_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
