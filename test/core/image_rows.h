/*
 * image_rows.h - what the tests of images share: records with hashes of their own choosing.
 *
 * An image does not ask where hashes come from; only xe_image_is_valid() does.
 */
#ifndef IMAGE_ROWS_H
#define IMAGE_ROWS_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "find.h"
#include "support.h"

enum { SEED = 7 };

static inline struct xe_image *image_for(uint64_t lo, uint64_t hi, uint32_t count, uint32_t units)
{
    struct xe_image_plan plan = {
        .lo = lo, .hi = hi, .count = count, .units = units, .spare = count / 8};
    struct xe_image *img;
    assert_int_equal(xe_image_new(&plan, &img), XE_OK);
    return img;
}

/* --- Records with hashes of their own choosing --------------------------- */

/* A key of 8 bytes, and a hash that has nothing to do with it. */
static inline struct xe_key key_with_hash(const uint64_t *bytes, uint64_t hash)
{
    struct xe_key key;
    xe_key_init(&key, SEED, (const uint8_t *)bytes, sizeof *bytes, NULL, 0);
    key.hash = hash;
    return key;
}

/* Keys stay where they are: XE_READ_SLACK bytes are readable behind each. */
enum { KEYS = 1000 };
static uint64_t numbers[KEYS + 4];

static inline struct xe_key numbered(uint32_t n, uint64_t hash)
{
    numbers[n] = n;
    return key_with_hash(&numbers[n], hash);
}

/* Adds key n with this hash; false: no room. */
static inline bool add(struct xe_image *img, uint32_t n, uint64_t hash)
{
    struct xe_key key = numbered(n, hash);
    struct xe_object o = {.bytes = key.bytes, .klen = 8, .len = 8};
    struct xe_prepared p = {.key = key, .object = &o, .units = 3};
    if (!xe_image_reserve_places(img, hash, 1))
        return false;
    uint32_t off = xe_image_alloc(img, p.units);
    if (!off)
        return false;
    xe_record_write(xe_image_record(img, off), &p, NULL);
    xe_image_count_in(img, xe_image_record(img, off));
    xe_image_add(img, hash, off);
    return true;
}

static inline bool finds(const struct xe_image *img, uint32_t n, uint64_t hash)
{
    struct xe_key key = numbered(n, hash);
    struct xe_place place;
    return xe_find(img, &key, &place);
}

static inline void take_out(struct xe_image *img, uint32_t n, uint64_t hash)
{
    struct xe_key key = numbered(n, hash);
    struct xe_place place;
    assert_true(xe_find(img, &key, &place));
    xe_image_remove(img, &place);
    xe_image_retire(img, place.off);
}

#endif
