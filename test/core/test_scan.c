/*
 * test_scan.c - chunks of tables of all kinds, and what their marks tell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "order_internal.h"
#include "support_bag.h"

enum { HASH_KINDS = 3, KINDS = 4 }; /* XE_SET, XE_BAG, XE_DUPLICATE_BAG; XE_ORDERED */
enum { KEYS = 1400 };

/* --- Tables -------------------------------------------------------------- */

static uint32_t key_of(uint32_t i)
{
    static const enum key_kind kinds[] = {KEY_SHORT, KEY_TWIN, KEY_LONG, KEY_WORD};
    return KEY(kinds[i % 4], i);
}

/* How many objects of a bag have key i. */
static uint32_t size_of(const struct xe_table *t, uint32_t i)
{
    if (!xe_kind_is_bag(t->kind))
        return 1;
    return i == 77 ? 3000 : i % 300 == 7 ? 150 : 1 + i % 3;
}

static enum xe_status add(struct xe_table *t, uint32_t key, uint64_t value)
{
    struct object x;
    struct xe_prepared p;
    if (xe_kind_is_bag(t->kind))
        return bag_put(t, key, value, XE_PUT);
    object_make(&x, key, value);
    enum xe_status status = xe_table_prepare(t, &x.o, &p);
    CHECK(status == XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    status = xe_table_put(t, slot, &p, XE_PUT);
    xe_epoch_leave(slot);
    object_free(&x);
    return status;
}

/* A key of the table, in memory of its own. */
static void key_make(struct lookup *l, const struct xe_table *t, uint32_t key)
{
    lookup_make(l, xe_table_seed(t), key);
    if (t->kind == XE_ORDERED)
        xe_key_init_order(&l->key, l->object.o.bytes, l->object.o.klen, l->object.o.handles,
                          l->object.o.n_key_handles);
}

/* All objects of a key. */
static enum xe_status drop(struct xe_table *t, uint32_t key)
{
    struct lookup l;
    if (xe_kind_is_bag(t->kind))
        return bag_drop(t, key);
    key_make(&l, t, key);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_remove(t, slot, &l.key, NULL, NULL);
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

static struct xe_table *table_of_keys(enum xe_kind kind, uint32_t max_objects)
{
    struct xe_table *t = bag_new(kind, max_objects);
    for (uint32_t i = 0; i < KEYS; i++)
        for (uint32_t k = 0; k < size_of(t, i); k++)
            assert_int_equal(add(t, key_of(i), number(k)), XE_OK);
    /* In a bag the places of those removed are taken by others, which come later in their order. */
    for (int again = 0; again < 2 && xe_kind_is_bag(kind); again++)
        for (uint32_t i = 0; i < KEYS; i++)
            for (uint32_t k = 0; k < size_of(t, i); k += 3)
                assert_int_equal(again ? add(t, key_of(i), number(k))
                                       : bag_remove(t, key_of(i), number(k)), XE_OK);
    return t;
}

/* --- Chunks of tables of hashes ------------------------------------------ */

struct seen {
    uint32_t n;             /* chunks */
    uint32_t objects[KEYS]; /* of each key */
    uint32_t chunk[KEYS];   /* in which one it was last, from 1 */
    uint64_t place[KEYS];   /* and the last place there */
    bool in_order, together;
};

/* The key's index, of those of table_of_keys(); KEYS: another key. */
static uint32_t index_of(const struct xe_view *view)
{
    uint32_t i = view_key(view) & 0xffffff;
    return i < KEYS && view_key(view) == key_of(i) ? i : KEYS;
}

/* Its place among those of its key, in a bag. */
static uint64_t place_of(const uint8_t *rec)
{
    uint32_t header = xe_load32(rec);
    struct xe_bag_tail tail = {.low = 0};
    if (header & XE_REC_BAG)
        tail = xe_record_tail(rec, header);
    return xe_tail_sequence(&tail);
}

/* Takes a chunk in. Whether its predecessor ended where a segment did is `at_border`. */
static void see(struct seen *seen, const struct xe_chunk *chunk, bool at_border)
{

    seen->n++;
    for (uint32_t k = 0; k < chunk->n; k++) {
        struct xe_view view;
        xe_record_view(chunk->recs[k], &view);
        uint32_t i = index_of(&view);
        if (i == KEYS)
            continue;
        uint64_t at = place_of(chunk->recs[k]);
        bool again = seen->chunk[i] == seen->n;
        seen->in_order &= !again || at > seen->place[i];
        seen->together &= again || !seen->chunk[i] || at_border;
        seen->chunk[i] = seen->n;
        seen->place[i] = at;
        seen->objects[i]++;
    }
}

/* Reads all chunks with at least `least` objects; `between` is called between them. */
static void see_all(struct xe_table *t, uint32_t least, struct seen *seen,
                    void (*between)(struct xe_table *t))
{
    static struct xe_chunk chunk;
    uint64_t position = 0;
    bool at_border = true;
    *seen = (struct seen){.in_order = true, .together = true};
    for (bool more = true; more;) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_scan_hashes(t, position, least, &chunk) == XE_OK);
        uint64_t end = xe_directory_find(t, position)->hi;
        CHECK(chunk.next - 1 <= end && chunk.next - 1 >= position);
        CHECK(chunk.n <= XE_CHUNK_MAX && (chunk.n >= least || chunk.next == end + 1));
        CHECK(chunk.more == (chunk.next != 0));
        see(seen, &chunk, at_border);
        at_border = chunk.next == end + 1;
        xe_epoch_leave(slot);
        position = chunk.next;
        more = chunk.more;
        if (between)
            between(t);
    }
}

static void g4_chunks_of_any_size_together_are_the_table(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 9, 100, XE_CHUNK_MAX}, limits[] = {16, 64, 0};
    static struct seen seen;
    for (uint32_t kind = 0; kind < HASH_KINDS; kind++) {
        for (uint32_t limit = 0; limit < 3; limit++) {
            struct xe_table *t = table_of_keys((enum xe_kind)kind, limits[limit]);
            for (uint32_t i = 0; i < 5; i++) {
                see_all(t, sizes[i], &seen, NULL);
                assert_true(seen.n >= xe_table_segments(t) + (sizes[i] <= 1));
                for (uint32_t k = 0; k < KEYS; k++)
                    assert_int_equal(seen.objects[k], size_of(t, k));
                /* In a segment, the objects of a bag's key: in one chunk, as inserted. */
                assert_true(seen.in_order);
                assert_true(seen.together);
            }
            xe_table_delete(t);
        }
    }
}

/* --- A key's objects in two chains of an image --------------------------- */

enum { BORDERS = 10000 };

/* Where chains begin. */
static uint64_t borders[BORDERS];

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint32_t find_borders(struct xe_table *t)
{
    uint32_t n = 0;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    for (uint64_t at = 0, more = true; more;) {
        const struct xe_segment *s = xe_directory_find(t, at);
        const struct xe_image *img = xe_segment_image(s);
        for (uint32_t home = 1; home < img->nbuckets && n < BORDERS; home++)
            borders[n++] = img->lo + (uint64_t)((((unsigned __int128)home << 64) + img->mult - 1) /
                                                img->mult);
        at = s->hi + 1;
        more = at != 0;
    }
    xe_epoch_leave(slot);
    qsort(borders, n, sizeof *borders, compare_u64);
    return n;
}

/* The border of chains among the hashes of a key, in the middle of them; 0: there is none. */
static uint64_t border_in(uint64_t hash, uint32_t n)
{
    uint32_t low = 0, end = n;
    while (low < end) {
        uint32_t middle = low + (end - low) / 2;
        if (borders[middle] >> 32 < hash >> 32)
            low = middle + 1;
        else
            end = middle;
    }
    uint32_t part = low < n ? (uint32_t)borders[low] >> 30 : 0;
    return low < n && borders[low] >> 32 == hash >> 32 && (part == 1 || part == 2) ? borders[low]
                                                                                   : 0;
}

static void put_number(struct xe_table *t, uint64_t key, uint64_t identity)
{
    uint8_t bytes[16 + XE_READ_SLACK] = {0};
    struct xe_object o = {.bytes = bytes, .klen = 8, .len = 16, .identity = identity * 0x9e3779b97f4a7c15u};
    struct xe_prepared p;
    memcpy(bytes, &key, 8);
    memcpy(bytes + 8, &identity, 8);
    assert_int_equal(xe_table_prepare(t, &o, &p), XE_OK);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_bag_put(t, slot, &p, XE_PUT, true);
    xe_epoch_leave(slot);
    assert_int_equal(status, XE_OK);
}

/* How many objects of a key are on each side of a border; false: not in the order of insertion. */
static bool count_sides(struct xe_table *t, uint64_t key, uint64_t border, uint32_t sides[2])
{
    static struct xe_chunk chunk;
    uint64_t next = 0;
    bool in_order = true;
    sides[0] = sides[1] = 0;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK(xe_scan_hashes(t, border & XE_BAG_KEY_HASH, 1, &chunk) == XE_OK);
    for (uint32_t i = 0; i < chunk.n; i++) {
        struct xe_view view;
        xe_record_view(chunk.recs[i], &view);
        if (xe_load64(view.key) != key)
            continue;
        sides[xe_record_hash(chunk.recs[i], t->seed) >= border]++;
        in_order &= xe_load64(view.body) == next++;
    }
    xe_epoch_leave(slot);
    return in_order;
}

/* Such keys are rare: one is looked for. */
static void objects_of_a_key_in_two_chains_come_in_order(void **state)
{
    (void)state;
    enum { OTHERS = 60000, EACH = 16 };
    struct xe_table *t = bag_new(XE_BAG, 0);
    for (uint64_t i = 0; i < OTHERS; i++)
        put_number(t, i, i);
    uint32_t n = find_borders(t), sides[2] = {0}, found = 0;
    for (uint64_t key = OTHERS; found == 0; key++) {
        uint8_t bytes[8 + XE_READ_SLACK] = {0};
        struct xe_key k;
        memcpy(bytes, &key, 8);
        xe_key_init(&k, xe_table_seed(t), bytes, 8, NULL, 0);
        uint64_t border = border_in(k.hash, n);
        if (!border)
            continue;
        for (uint64_t i = 0; i < EACH; i++)
            put_number(t, key, i);
        assert_true(count_sides(t, key, border, sides));
        assert_int_equal(sides[0] + sides[1], EACH);
        /* If its segment was rebuilt for them, the border may be elsewhere. */
        n = find_borders(t);
        found = border_in(k.hash, n) == border && sides[0] && sides[1];
    }
    xe_table_delete(t);
}

static void groups_hold_the_objects_of_a_key_together(void **state)
{
    (void)state;
    static struct xe_chunk chunk;
    static struct seen seen;
    for (uint32_t kind = XE_BAG; kind < HASH_KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 0);
        seen = (struct seen){.in_order = true, .together = true};
        chunk.next = 0;
        do {
            struct xe_epoch_slot *slot = xe_epoch_enter();
            CHECK(xe_scan_groups(t, chunk.next, 100, &chunk) == XE_OK);
            see(&seen, &chunk, true);
            /* Halves of hashes that have come do not come again. */
            for (uint32_t i = 1; i < chunk.n; i++)
                CHECK(xe_record_hash(chunk.recs[i - 1], t->seed) >> 32 <=
                      xe_record_hash(chunk.recs[i], t->seed) >> 32);
            xe_epoch_leave(slot);
        } while (chunk.more);
        for (uint32_t k = 0; k < KEYS; k++)
            assert_int_equal(seen.objects[k], size_of(t, k));
        assert_true(seen.in_order);
        xe_table_delete(t);
    }
}

static void an_empty_table_has_one_chunk_without_objects(void **state)
{
    (void)state;
    static struct seen seen;
    for (uint32_t kind = 0; kind < HASH_KINDS; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 0);
        see_all(t, 1, &seen, NULL);
        assert_int_equal(seen.n, 1);
        xe_table_delete(t);
    }
}

/* How many objects have a hash in a range, and how many chunks find there. */
static void count_between(struct xe_table *t, uint64_t lo, uint64_t hi, uint32_t least,
                          uint32_t *expected, uint32_t *found)
{
    static struct xe_chunk chunk;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    *expected = *found = 0;
    for (uint64_t at = 0, more = true; more; at = chunk.next, more = chunk.more) {
        CHECK(xe_scan_hashes(t, at, XE_CHUNK_MAX, &chunk) == XE_OK);
        for (uint32_t i = 0; i < chunk.n; i++) {
            uint64_t hash = xe_record_hash(chunk.recs[i], t->seed);
            *expected += lo <= hash && hash <= hi;
        }
    }
    for (uint64_t at = lo, more = true; more; at = chunk.next, more = chunk.more) {
        CHECK(xe_scan_between(t, at, hi, least, &chunk) == XE_OK);
        for (uint32_t i = 0; i < chunk.n; i++) {
            uint64_t hash = xe_record_hash(chunk.recs[i], t->seed);
            CHECK(at <= hash && hash <= hi && hash <= chunk.next - 1);
        }
        *found += chunk.n;
    }
    xe_epoch_leave(slot);
}

static void chunks_begin_and_end_at_any_hash(void **state)
{
    (void)state;
    struct rng rng = rng_for(0x5ca);
    for (uint32_t kind = 0; kind < HASH_KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, kind == XE_SET ? 300 : 64);
        for (uint32_t i = 0; i < 60; i++) {
            uint64_t a = rng_next(&rng), b = i % 2 ? rng_next(&rng) : a + rng_below(&rng, 1u << 30);
            uint64_t lo = a < b ? a : b, hi = i % 7 == 0 ? UINT64_MAX : a < b ? b : a;
            uint32_t expected, found;
            count_between(t, lo, hi, rng_below(&rng, 200), &expected, &found);
            assert_int_equal(found, expected);
        }
        xe_table_delete(t);
    }
}

static uint32_t extra, rounds;

/* Splits segments, and merges them again. */
static void grow_and_shrink(struct xe_table *t)
{
    enum { EXTRA = 6000 };
    bool grow = rounds++ % 2 == 0;
    if (rounds > 24)
        return;
    for (uint32_t i = 0; i < EXTRA; i++) {
        uint32_t key = short_key(100000 + i);
        CHECK((grow ? add(t, key, number(0)) : drop(t, key)) == XE_OK);
        extra += grow;
    }
}

static void g4_a_scan_goes_on_after_splits_and_merges(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 30, XE_CHUNK_MAX};
    static struct seen seen;
    for (uint32_t kind = 0; kind < HASH_KINDS; kind++) {
        for (uint32_t i = 0; i < 3; i++) {
            struct xe_table *t = table_of_keys((enum xe_kind)kind, 100);
            extra = rounds = 0;
            see_all(t, sizes[i], &seen, grow_and_shrink);
            assert_true(rounds > 6);
            for (uint32_t k = 0; k < KEYS; k++)
                assert_int_equal(seen.objects[k], size_of(t, k));
            assert_true(seen.in_order);
            xe_table_delete(t);
        }
    }
}

/* --- Chunks of ordered tables -------------------------------------------- */

static void assert_chunks_are(struct xe_table *t, const uint32_t *keys, uint32_t n, bool reverse,
                              uint32_t most)
{
    static struct xe_chunk chunk;
    static uint8_t bytes[1024 + XE_READ_SLACK];
    struct xe_key at;
    struct xe_range range = {.reverse = reverse, .from_exclusive = true, .to_exclusive = true};
    uint64_t handle;
    void *env = terms_new();
    uint32_t i = 0, chunks = 0;
    for (bool more = true; more; chunks++) {
        struct xe_view view;
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_scan_range(t, &range, most, &chunk) == XE_OK);
        CHECK(chunk.n <= most && (chunk.n || !chunk.more));
        for (uint32_t k = 0; k < chunk.n; k++, i++) {
            xe_record_view(chunk.recs[k], &view);
            CHECK(i < n && view_key(&view) == keys[reverse ? n - 1 - i : i]);
        }
        if (chunk.n) {
            memcpy(bytes, view.key, view.klen);
            handle = view.n_key_handles ? xe_cb.ext_move(env, xe_load64(view.handles)) : 0;
            xe_key_init_order(&at, bytes, view.klen, &handle, view.n_key_handles);
            *(reverse ? &range.to : &range.from) = &at;
        }
        more = chunk.more;
        xe_epoch_leave(slot);
    }
    assert_int_equal(i, n);
    assert_true(chunks > n / most);
    terms_free(env);
}

/* The keys of an ordered table, in order. */
static uint32_t keys_in_order(struct xe_table *t, uint32_t *keys)
{
    static const uint8_t *recs[KEYS];
    uint32_t n;
    struct xe_range all = {.from = NULL};
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK(xe_order_read(t, &all, KEYS, recs, &n) == XE_OK);
    for (uint32_t i = 0; i < n; i++) {
        struct xe_view view;
        xe_record_view(recs[i], &view);
        keys[i] = view_key(&view);
    }
    xe_epoch_leave(slot);
    return n;
}

static void s2_chunks_of_an_ordered_table_are_its_objects_in_order(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 7, 60, XE_CHUNK_MAX};
    static uint32_t keys[KEYS];
    struct xe_table *t = table_of_keys(XE_ORDERED, 32);
    assert_int_equal(keys_in_order(t, keys), KEYS);
    for (int shrunk = 0; shrunk < 2; shrunk++) {
        uint32_t n = keys_in_order(t, keys);
        for (uint32_t i = 0; i < 4; i++) {
            assert_chunks_are(t, keys, n, false, sizes[i]);
            assert_chunks_are(t, keys, n, true, sizes[i]);
        }
        /* Segments without an object, or with few, are passed over. */
        for (uint32_t i = 100; i < 1300 && !shrunk; i++)
            assert_int_equal(drop(t, keys[i]), XE_OK);
    }
    xe_table_delete(t);
}

static void a_chunk_of_an_ordered_table_ends_with_the_range(void **state)
{
    (void)state;
    static struct xe_chunk chunk;
    static uint32_t keys[KEYS];
    struct rng rng = rng_for(0x5cb);
    struct xe_table *t = table_of_keys(XE_ORDERED, 0);
    assert_int_equal(keys_in_order(t, keys), KEYS);
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t a = rng_below(&rng, KEYS), b = a + rng_below(&rng, KEYS - a);
        struct lookup from, to;
        key_make(&from, t, keys[a]);
        key_make(&to, t, keys[b]);
        struct xe_range range = {.from = &from.key, .to = &to.key, .from_exclusive = i % 2,
                                 .to_exclusive = i % 3 == 0, .reverse = i % 5 < 2};
        uint32_t n = 0, expected = b + 1 - a - i % 2;
        expected -= expected && i % 3 == 0;
        struct xe_epoch_slot *slot = xe_epoch_enter();
        const struct xe_segment *first = xe_order_segment(t, &from.key),
                                *last = xe_order_segment(t, &to.key);
        CHECK(xe_scan_range(t, &range, XE_CHUNK_MAX, &chunk) == XE_OK);
        n = chunk.n;
        CHECK(first != last || !chunk.more);
        xe_epoch_leave(slot);
        assert_true(n <= expected && (first != last || n == expected));
        lookup_free(&from);
        lookup_free(&to);
    }
    xe_table_delete(t);
}

/* --- Marks --------------------------------------------------------------- */

/* The chunk of a key, as it was marked. */
struct marked {
    struct lookup l;
    uint64_t position;
    struct xe_mark mark;
};

static void mark(struct marked *m, struct xe_table *t, uint32_t key)
{
    static struct xe_chunk chunk;
    struct xe_range range = {.from = &m->l.key};
    key_make(&m->l, t, key);
    m->position = m->l.key.hash & (t->kind == XE_SET ? UINT64_MAX : XE_BAG_KEY_HASH);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    CHECK((t->kind == XE_ORDERED ? xe_scan_range(t, &range, 1, &chunk)
                                 : xe_scan_hashes(t, m->position, 1, &chunk)) == XE_OK);
    m->mark = chunk.mark;
    xe_epoch_leave(slot);
}

static bool is_unchanged(struct marked *m, struct xe_table *t)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    bool same = t->kind == XE_ORDERED ? xe_scan_is_unchanged_at(t, &m->l.key, &m->mark)
                                      : xe_scan_is_unchanged(t, m->position, &m->mark);
    if (t->kind == XE_ORDERED) {
        uint64_t place = xe_scan_place(t, &m->l.key);
        CHECK(xe_scan_is_unchanged_in(t, place, &m->mark) == same);
        CHECK(!xe_scan_is_unchanged_in(t, UINT64_MAX, &m->mark));
    }
    xe_epoch_leave(slot);
    return same;
}

static enum xe_update replace_by(void *arg, const struct xe_view *view, struct xe_object *out)
{
    const struct object *x = arg;
    (void)view;
    *out = x->o;
    return XE_UPDATE_REPLACE;
}

static enum xe_update keep(void *arg, const struct xe_view *view, struct xe_object *out)
{
    (void)arg;
    (void)view;
    (void)out;
    return XE_UPDATE_KEEP;
}

static bool patch_body(void *arg, const struct xe_view *view, struct xe_patch *out)
{
    (void)arg;
    *out = (struct xe_patch){.at = view->body, .width = 8, .word = 12345};
    return true;
}

/* Writes to key 0, whose object is there, and what is not a change. */
enum write {
    PUT,
    PUT_PLAIN,
    PUT_LIST,
    UPDATE,
    PATCH,
    REPLACE,
    REMOVE,
    CLEAR,
    WRITES,
    PUT_THAT_IS_NO_NEW = WRITES,
    REMOVE_ABSENT,
    REMOVE_OTHER_VERSION,
    KEEP,
    LIST_THAT_IS_NO_NEW,
    READ,
    NO_WRITES_END,
};

static enum xe_status do_write(struct xe_table *t, struct xe_epoch_slot *slot,
                               struct xe_prepared *p, struct object *x, const struct xe_key *other,
                               enum write how)
{
    struct xe_view view;
    struct xe_version version = {0};
    enum xe_status status;
    switch (how) {
    case PUT:
        return xe_table_put(t, slot, p, XE_PUT);
    case PUT_LIST:
        return xe_table_put_many(t, slot, p, 1, XE_PUT, false);
    case UPDATE:
        return xe_table_update(t, slot, &p->key, replace_by, x);
    case PATCH:
        return xe_table_patch(t, slot, &p->key, patch_body, NULL);
    case REPLACE:
        status = xe_table_find_version(t, &p->key, &view, &version);
        return status == XE_OK ? xe_table_replace(t, slot, p, &version) : status;
    case REMOVE:
        return xe_table_remove(t, slot, &p->key, NULL, &view);
    case CLEAR:
        return xe_table_clear(t, slot, NULL);
    case PUT_THAT_IS_NO_NEW:
        return xe_table_put(t, slot, p, XE_PUT_NEW) == XE_EXISTS ? XE_OK : XE_ABSENT;
    case REMOVE_ABSENT:
        return xe_table_remove(t, slot, other, NULL, NULL) == XE_ABSENT ? XE_OK : XE_ABSENT;
    case REMOVE_OTHER_VERSION:
        status = xe_table_remove(t, slot, &p->key, &version, NULL);
        return status == XE_ABSENT ? XE_OK : XE_EXISTS;
    case KEEP:
        return xe_table_update(t, slot, &p->key, keep, NULL) == XE_EXISTS ? XE_OK : XE_ABSENT;
    case LIST_THAT_IS_NO_NEW:
        status = xe_table_put_many(t, slot, p, 1, XE_PUT_NEW, false);
        return status == XE_EXISTS ? XE_OK : XE_ABSENT;
    default:
        return xe_table_find(t, &p->key, &view);
    }
}

static enum xe_status write_to(struct xe_table *t, uint32_t key, enum write how)
{
    struct object x;
    struct xe_prepared p;
    struct lookup absent;
    uint8_t rec[XE_HDR_BYTES + 64 + XE_READ_SLACK] = {0};
    object_make(&x, key, number(7));
    key_make(&absent, t, key + 50000);
    CHECK(xe_table_prepare(t, &x.o, &p) == XE_OK && p.units * XE_UNIT < 64);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status;
    if (how == PUT_PLAIN) {
        xe_record_write(rec, &p, NULL);
        status = xe_table_put_plain(t, slot, &p.key, rec, XE_HDR_BYTES + x.o.len, XE_PUT);
    } else {
        status = do_write(t, slot, &p, &x, &absent.key, how);
    }
    xe_epoch_leave(slot);
    lookup_free(&absent);
    object_free(&x);
    return status;
}

static const enum xe_kind one_a_key[] = {XE_SET, XE_ORDERED};

static void every_write_changes_a_mark(void **state)
{
    (void)state;
    uint32_t key = KEY(KEY_WORD, 3);
    for (uint32_t kind = 0; kind < 2; kind++) {
        struct xe_table *t = table_of_keys(one_a_key[kind], 64);
        for (int how = 0; how < WRITES; how++) {
            struct marked m;
            /* With room for it, and without. */
            for (uint32_t times = 0; times < (how == CLEAR || how == REMOVE ? 1 : 200); times++) {
                mark(&m, t, key);
                assert_true(is_unchanged(&m, t));
                enum xe_status status = write_to(t, key, (enum write)how);
                /* Where there is no room a patch changes nothing. */
                assert_true(status == XE_OK || (how == PATCH && status == XE_LIMIT));
                assert_int_equal(is_unchanged(&m, t), status != XE_OK);
                lookup_free(&m.l);
            }
            assert_int_equal(add(t, key, number(1)), XE_OK);
        }
        xe_table_delete(t);
    }
}

static void inserting_changes_a_mark(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 64);
        for (uint32_t i = 0; i < 500; i++) {
            struct marked m;
            mark(&m, t, KEY(KEY_WORD, KEYS + i));
            assert_int_equal(add(t, KEY(KEY_WORD, KEYS + i), number(0)), XE_OK);
            assert_false(is_unchanged(&m, t));
            lookup_free(&m.l);
        }
        xe_table_delete(t);
    }
}

static void what_changes_nothing_changes_no_mark(void **state)
{
    (void)state;
    uint32_t key = KEY(KEY_WORD, 3);
    for (uint32_t kind = 0; kind < 2; kind++) {
        struct xe_table *t = table_of_keys(one_a_key[kind], 64);
        struct marked m;
        mark(&m, t, key);
        for (int how = WRITES; how < NO_WRITES_END; how++) {
            assert_int_equal(write_to(t, key, (enum write)how), XE_OK);
            assert_true(is_unchanged(&m, t));
        }
        lookup_free(&m.l);
        xe_table_delete(t);
    }
}

static void every_write_to_a_bag_changes_a_mark(void **state)
{
    (void)state;
    uint32_t key = KEY(KEY_WORD, 3);
    uint64_t value = number(1000);
    for (uint32_t kind = XE_BAG; kind <= XE_DUPLICATE_BAG; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 64);
        for (int how = 0; how < 4; how++) {
            struct marked m;
            mark(&m, t, key);
            if (how == 0)
                assert_int_equal(bag_put(t, key, value, XE_PUT), XE_OK);
            else if (how == 1)
                assert_int_equal(bag_remove(t, key, value), XE_OK);
            else if (how == 2)
                assert_int_equal(put_list(t, &key, &value, 1, XE_PUT), XE_OK);
            else
                assert_int_equal(bag_drop(t, key), XE_OK);
            assert_false(is_unchanged(&m, t));
            lookup_free(&m.l);
        }
        /* Not there: nothing is removed. */
        struct marked m;
        mark(&m, t, key);
        assert_int_equal(bag_remove(t, key, value), XE_ABSENT);
        assert_int_equal(bag_member(t, key), XE_ABSENT);
        assert_true(is_unchanged(&m, t));
        lookup_free(&m.l);
        xe_table_delete(t);
    }
}

static void taking_the_first_object_changes_its_mark(void **state)
{
    (void)state;
    static uint32_t keys[KEYS];
    struct xe_table *t = table_of_keys(XE_ORDERED, 64);
    assert_int_equal(keys_in_order(t, keys), KEYS);
    for (uint32_t i = 0; i < 100; i++) {
        struct marked first, last;
        struct xe_view view;
        mark(&first, t, keys[i]);
        mark(&last, t, keys[KEYS - 1]);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        CHECK(xe_order_pop(t, slot, false, &view) == XE_OK && view_key(&view) == keys[i]);
        xe_epoch_leave(slot);
        assert_false(is_unchanged(&first, t));
        assert_true(is_unchanged(&last, t));
        lookup_free(&first.l);
        lookup_free(&last.l);
    }
    xe_table_delete(t);
}

/* As far as they are not merged for it. */
static void writes_to_other_segments_change_no_mark(void **state)
{
    (void)state;
    enum { SOME = 300 };
    static struct marked m[SOME];
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 100);
        uint32_t changed = 0;
        for (uint32_t i = 0; i < SOME; i++)
            mark(&m[i], t, key_of(i));
        assert_int_equal(add(t, key_of(0), number(5000)), XE_OK);
        assert_false(is_unchanged(&m[0], t));
        for (uint32_t i = 0; i < SOME; i++)
            changed += !is_unchanged(&m[i], t);
        assert_in_range(changed, 1, SOME / 2);
        for (uint32_t i = 0; i < SOME; i++)
            lookup_free(&m[i].l);
        xe_table_delete(t);
    }
}

/* Many come and go: the segment that has the key in the end is another one. */
static void a_segment_that_was_replaced_is_another_one(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = bag_new((enum xe_kind)kind, 64);
        struct marked empty, one;
        mark(&empty, t, short_key(0));
        assert_int_equal(add(t, short_key(0), number(0)), XE_OK);
        mark(&one, t, short_key(0));
        for (uint32_t i = 1; i < 2000; i++)
            assert_int_equal(add(t, short_key(i), number(0)), XE_OK);
        assert_false(is_unchanged(&one, t));
        for (uint32_t i = 1; i < 2000; i++)
            assert_int_equal(drop(t, short_key(i)), XE_OK);
        assert_false(is_unchanged(&one, t));
        assert_false(is_unchanged(&empty, t));
        lookup_free(&empty.l);
        lookup_free(&one.l);
        xe_table_delete(t);
    }
}

/* What a write that is under way has published may be read, or not. */
static void a_chunk_that_is_read_while_a_lock_is_held_never_counts_as_unchanged(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        struct xe_table *t = table_of_keys((enum xe_kind)kind, 64);
        struct marked before, meanwhile;
        mark(&before, t, key_of(0));
        struct xe_epoch_slot *slot = xe_epoch_enter();
        struct xe_segment *s = xe_segment_acquire_key(t, &before.l.key);
        xe_epoch_leave(slot);
        mark(&meanwhile, t, key_of(0));
        assert_true(is_unchanged(&before, t));
        assert_false(is_unchanged(&meanwhile, t));
        xe_lock_release(&s->lock);
        assert_true(is_unchanged(&before, t));
        assert_false(is_unchanged(&meanwhile, t));
        lookup_free(&before.l);
        lookup_free(&meanwhile.l);
        xe_table_delete(t);
    }
}

/* --- Runs ---------------------------------------------------------------- */

/* All objects of a key, in however many segments they are, as a lookup finds them. */
static void a_run_has_the_objects_of_a_key_in_their_order(void **state)
{
    (void)state;
    static const uint32_t limits[] = {16, 64, 0};
    for (uint32_t kind = 0; kind < 2; kind++)
        for (uint32_t limit = 0; limit < 3; limit++) {
            struct xe_table *t = table_of_keys(kind ? XE_BAG : XE_DUPLICATE_BAG, limits[limit]);
            for (uint32_t i = 0; i < KEYS; i += i == 77 ? 1 : 7) {
                struct finding f;
                struct xe_run run;
                finding_begin(&f, t, key_of(i));
                xe_run_begin(&run);
                CHECK(xe_bag_find(t, f.slot, &f.lookup.key, UINT32_MAX, true, &f.run) == XE_OK);
                CHECK(xe_scan_run(t, f.lookup.key.hash, &run) == XE_OK);
                uint32_t found = 0;
                for (uint32_t k = 0; k < run.n; k++)
                    if (found < f.run.n && run.at[k].rec == f.run.at[found].rec)
                        found++;
                CHECK(found == f.run.n && found == size_of(t, i));
                xe_run_end(&run);
                finding_end(&f);
            }
            xe_table_delete(t);
        }
}

static void a_run_fails_without_memory(void **state)
{
    (void)state;
    struct xe_table *t = table_of_keys(XE_BAG, 64);
    struct finding f;
    struct xe_run run;
    enum xe_status status;
    uint64_t at = 0;
    finding_begin(&f, t, key_of(77));
    do {
        xe_run_begin(&run);
        memory_fail_at(at++);
        status = xe_scan_run(t, f.lookup.key.hash, &run);
        xe_run_end(&run);
        CHECK(memory_fail_never() == (status == XE_NOMEM));
    } while (status == XE_NOMEM);
    finding_end(&f);
    assert_int_equal(status, XE_OK);
    assert_true(at > 3);
    xe_table_delete(t);
}

/* test_scan [pattern]: the tests whose names match. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(g4_chunks_of_any_size_together_are_the_table),
        TEST(objects_of_a_key_in_two_chains_come_in_order),
        TEST(groups_hold_the_objects_of_a_key_together),
        TEST(a_run_has_the_objects_of_a_key_in_their_order),
        TEST(a_run_fails_without_memory),
        TEST(an_empty_table_has_one_chunk_without_objects),
        TEST(chunks_begin_and_end_at_any_hash),
        TEST(g4_a_scan_goes_on_after_splits_and_merges),
        TEST(s2_chunks_of_an_ordered_table_are_its_objects_in_order),
        TEST(a_chunk_of_an_ordered_table_ends_with_the_range),
        TEST(every_write_changes_a_mark),
        TEST(inserting_changes_a_mark),
        TEST(what_changes_nothing_changes_no_mark),
        TEST(every_write_to_a_bag_changes_a_mark),
        TEST(taking_the_first_object_changes_its_mark),
        TEST(writes_to_other_segments_change_no_mark),
        TEST(a_segment_that_was_replaced_is_another_one),
        TEST(a_chunk_that_is_read_while_a_lock_is_held_never_counts_as_unchanged),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
