/*
 * test_tablefile.c - files of records: what was written is read, and nothing else ever is.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "checksum.h"
#include "sim_io.h"
#include "support.h"
#include "tablefile.h"

#define PATH "/file"
static const char META[] = "what the user says of it";

enum {
    FRAME = XE_TABLEFILE_FRAME,
    FIRST = XE_TABLEFILE_HEADER + sizeof META, /* where the first block is */
    END = XE_TABLEFILE_END + sizeof META,
    LARGE = XE_TABLEFILE_BLOCK / 2,
};

/* --- Files of records that are known by their number ------------------------- */

/* The sizes of a file's records, and the seed that they and their bytes come from. */
struct shape {
    uint64_t seed;
    uint32_t n;
    uint32_t max; /* bytes of a record; every 16th has the limit `huge` */
    uint32_t huge;
};

static size_t record_make(const struct shape *of, uint32_t i, uint8_t *to)
{
    struct rng r = rng_for(of->seed * 1000 + i);
    size_t n = i % 16 == 15 && of->huge ? of->huge : rng_below(&r, of->max + 1);
    for (size_t k = 0; k < n; k++)
        to[k] = (uint8_t)(rng_next(&r) >> 56);
    return n;
}

static uint8_t record[4 * XE_TABLEFILE_BLOCK];

static bool write_records(struct xe_tablefile_writer *w, const struct shape *of,
                          struct xe_io_error *error)
{
    for (uint32_t i = 0; i < of->n; i++) {
        size_t n = record_make(of, i, record);
        if (i % 2) {
            if (!xe_tablefile_put(w, record, n, error))
                return false;
            continue;
        }
        /* Room that is not used costs nothing. */
        void *to = i % 4 ? xe_tablefile_room(w, n, error) : xe_tablefile_room(w, n + 700, error);
        if (!to)
            return false;
        memcpy(to, record, n);
        xe_tablefile_commit(w, n);
    }
    return true;
}

static bool write_as(struct sim *s, const struct shape *of, bool atomic, bool sync,
                     struct xe_io_error *error)
{
    struct xe_tablefile_options o = {
        .kind = XE_TABLEFILE_TABLE, .atomic = atomic, .sync = sync};
    struct xe_tablefile_writer *w =
        xe_tablefile_create(sim_io(s), PATH, &o, META, sizeof META, error);
    if (!w)
        return false;
    if (!write_records(w, of, error)) {
        xe_tablefile_abort(w);
        return false;
    }
    uint64_t records;
    assert_true(xe_tablefile_written(w, &records) >= FIRST);
    assert_int_equal(records, of->n);
    return xe_tablefile_finish(w, error);
}

static struct sim *disk_with(const struct shape *of)
{
    struct xe_io_error error;
    struct sim *s = sim_new(of->seed);
    assert_true(write_as(s, of, false, false, &error));
    return s;
}

/* Reads until it ends or fails. Every record that is read must be that of its number. */
static enum xe_tablefile_status read_all(struct xe_tablefile_reader *r, const struct shape *of,
                                         uint32_t *read, struct xe_io_error *error)
{
    struct xe_tablefile_block b;
    enum xe_tablefile_status status;
    for (*read = 0; (status = xe_tablefile_next(r, &b, error)) == XE_TABLEFILE_OK;) {
        size_t n;
        for (const uint8_t *p; (p = xe_tablefile_record(&b, &n)) != NULL; ++*read) {
            assert_true(*read < of->n);
            assert_int_equal(n, record_make(of, *read, record));
            assert_memory_equal(p, record, n);
        }
    }
    return status;
}

/* The status of opening a file and reading it. */
static enum xe_tablefile_status read_file(struct sim *s, const struct shape *of, uint32_t *read,
                                          struct xe_io_error *error)
{
    struct xe_tablefile_reader *r = xe_tablefile_open(sim_io(s), PATH, error);
    *read = 0;
    if (!r)
        return XE_TABLEFILE_FAILED;
    enum xe_tablefile_status status = read_all(r, of, read, error);
    xe_tablefile_close(r);
    return status;
}

static void assert_refused(struct sim *s, const struct shape *of, struct xe_io_error *error)
{
    uint32_t read;
    assert_int_equal(read_file(s, of, &read, error), XE_TABLEFILE_FAILED);
    assert_true(error->code < 0 && error->reason != NULL);
    assert_string_equal(error->path, PATH);
}

static const struct shape small = {1, 3, 20, 0}, mixed = {2, 40, 20000, 50000};

/* --- What is written is read -------------------------------------------------- */

static void records_are_read_as_they_were_written(void **state)
{
    static const struct shape shapes[] = {
        {1, 0, 0, 0},
        {2, 1, 0, 0},
        {3, 5000, 60, 0},
        {4, 50, LARGE, 0},
        {5, 33, 100, LARGE},
        {6, 33, 100, LARGE + 1},
        {7, 33, 100, XE_TABLEFILE_BLOCK + 1},
        {8, 33, LARGE, 3 * XE_TABLEFILE_BLOCK},
    };
    (void)state;
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct xe_io_error error;
        struct xe_tablefile_info info;
        uint32_t read;
        struct sim *s = sim_new(i);
        sim_short(s, 3);
        assert_true(write_as(s, &shapes[i], i % 2, i % 3, &error));
        struct xe_tablefile_reader *r = xe_tablefile_open(sim_io(s), PATH, &error);
        assert_non_null(r);
        xe_tablefile_info(r, &info);
        assert_true(info.kind == XE_TABLEFILE_TABLE && info.has_end);
        assert_int_equal(info.records, shapes[i].n);
        assert_int_equal(info.meta_bytes, sizeof META);
        assert_memory_equal(info.meta, META, sizeof META);
        assert_int_equal(read_all(r, &shapes[i], &read, &error), XE_TABLEFILE_LAST);
        assert_int_equal(read, shapes[i].n);
        xe_tablefile_close(r);
        sim_free(s);
    }
}

static void what_has_the_name_is_replaced_or_in_the_way(void **state)
{
    struct xe_io_error error;
    uint32_t read;
    struct sim *s = disk_with(&mixed);
    struct xe_tablefile_options o = {.kind = XE_TABLEFILE_TABLE, .exclusive = true};
    (void)state;
    assert_null(xe_tablefile_create(sim_io(s), PATH, &o, META, sizeof META, &error));
    assert_int_equal(error.code, EEXIST);
    assert_int_equal(read_file(s, &mixed, &read, &error), XE_TABLEFILE_LAST);
    /* A reader goes on with the file that it has opened. */
    struct xe_tablefile_reader *r = xe_tablefile_open(sim_io(s), PATH, &error);
    assert_true(write_as(s, &small, false, false, &error));
    assert_int_equal(read_all(r, &mixed, &read, &error), XE_TABLEFILE_LAST);
    xe_tablefile_close(r);
    assert_int_equal(read_file(s, &small, &read, &error), XE_TABLEFILE_LAST);
    sim_free(s);
}

static void a_block_has_no_more_than_its_limit(void **state)
{
    struct xe_io_error error;
    struct xe_tablefile_block b;
    const struct shape many = {9, 9000, 60, 0};
    struct sim *s = disk_with(&many);
    struct xe_tablefile_reader *r = xe_tablefile_open(sim_io(s), PATH, &error);
    uint32_t blocks = 0;
    (void)state;
    while (xe_tablefile_next(r, &b, &error) == XE_TABLEFILE_OK) {
        assert_true(b.end - b.at <= XE_TABLEFILE_BLOCK);
        blocks++;
    }
    assert_true(blocks > 3);
    xe_tablefile_close(r);
    sim_free(s);
}

static void room_that_is_not_committed_leaves_nothing(void **state)
{
    struct xe_io_error error;
    struct xe_tablefile_options o = {.kind = XE_TABLEFILE_TABLE};
    struct sim *s = sim_new(10);
    uint32_t read;
    (void)state;
    struct xe_tablefile_writer *w =
        xe_tablefile_create(sim_io(s), PATH, &o, META, sizeof META, &error);
    assert_non_null(xe_tablefile_room(w, LARGE + 1, &error));
    assert_non_null(xe_tablefile_room(w, 10, &error));
    assert_true(write_records(w, &small, &error));
    assert_non_null(xe_tablefile_room(w, 2 * LARGE, &error));
    assert_true(xe_tablefile_finish(w, &error));
    assert_int_equal(read_file(s, &small, &read, &error), XE_TABLEFILE_LAST);
    assert_int_equal(read, small.n);
    sim_free(s);
}

/* --- What was not written is never read ---------------------------------------- */

static void every_flipped_byte_is_found_where_it_is(void **state)
{
    struct sim *s = disk_with(&small);
    struct rng rng = rng_for(20);
    size_t n;
    uint8_t *bytes = sim_bytes(s, PATH, &n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct xe_io_error error;
        uint8_t was = bytes[i];
        bytes[i] ^= (uint8_t)(1 + rng_below(&rng, 255));
        assert_refused(s, &small, &error);
        assert_true(error.offset <= i && i - error.offset < END);
        bytes[i] = was;
    }
    sim_free(s);
}

static void every_flipped_byte_of_a_large_file_too(void **state)
{
    struct sim *s = disk_with(&mixed);
    struct rng rng = rng_for(21);
    size_t n;
    uint8_t *bytes = sim_bytes(s, PATH, &n);
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct xe_io_error error;
        size_t at = rng_next(&rng) % n;
        uint8_t was = bytes[at];
        bytes[at] ^= (uint8_t)(1 + rng_below(&rng, 255));
        assert_refused(s, &mixed, &error);
        assert_true(error.offset <= at);
        bytes[at] = was;
    }
    sim_free(s);
}

static void every_truncation_is_found(void **state)
{
    struct sim *whole = disk_with(&small), *s = sim_new(22);
    size_t n;
    uint8_t *bytes = sim_bytes(whole, PATH, &n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct xe_io_error error;
        sim_put(s, PATH, bytes, i);
        assert_refused(s, &small, &error);
        assert_true(error.offset <= i);
        assert_true(error.code == (i < XE_TABLEFILE_HEADER ? XE_IO_FOREIGN : XE_IO_DAMAGED));
    }
    sim_free(whole);
    sim_free(s);
}

/* Puts together parts of the file of a shape: from, to, from, to, ..., 0, 0. */
static void assemble(struct sim *s, struct sim *from, const size_t *parts)
{
    size_t n, len = 0;
    const uint8_t *bytes = sim_bytes(from, PATH, &n);
    uint8_t *out = malloc(4 * n);
    for (; parts[1]; parts += 2) {
        memcpy(out + len, bytes + parts[0], parts[1] - parts[0]);
        len += parts[1] - parts[0];
    }
    sim_put(s, PATH, out, len);
    free(out);
}

static void blocks_are_neither_lost_nor_moved_nor_added(void **state)
{
    struct xe_io_error error;
    const struct shape two = {23, 2, 0, 0};
    struct sim *from = sim_new(23), *s = sim_new(24);
    uint32_t read;
    size_t n, a = FIRST, b, c;
    (void)state;
    /* Two blocks of the same size, and the end. */
    struct xe_tablefile_options o = {.kind = XE_TABLEFILE_TABLE};
    struct xe_tablefile_writer *w =
        xe_tablefile_create(sim_io(from), PATH, &o, META, sizeof META, &error);
    memset(record, 1, LARGE + 1);
    assert_true(xe_tablefile_put(w, record, LARGE + 1, &error));
    assert_true(xe_tablefile_put(w, record, LARGE + 1, &error));
    assert_true(xe_tablefile_finish(w, &error));
    sim_bytes(from, PATH, &n);
    b = a + FRAME + LARGE + 1;
    c = b + FRAME + LARGE + 1;
    const size_t lost_first[] = {0, a, b, n, 0, 0}, lost_second[] = {0, b, c, n, 0, 0};
    const size_t swapped[] = {0, a, b, c, a, b, c, n, 0, 0}, twice[] = {0, b, a, n, 0, 0};
    const size_t no_end[] = {0, c, 0, 0}, ends[] = {0, n, c, n, 0, 0}, more[] = {0, n, a, b, 0, 0};
    const size_t *wrong[] = {lost_first, lost_second, swapped, twice, no_end, ends, more};
    for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct xe_tablefile_block block;
        enum xe_tablefile_status status;
        assemble(s, from, wrong[i]);
        struct xe_tablefile_reader *r = xe_tablefile_open(sim_io(s), PATH, &error);
        assert_non_null(r);
        while ((status = xe_tablefile_next(r, &block, &error)) == XE_TABLEFILE_OK)
            ;
        assert_int_equal(status, XE_TABLEFILE_FAILED);
        assert_int_equal(error.code, XE_IO_DAMAGED);
        xe_tablefile_close(r);
    }
    /* A block of another file, with the same number. */
    struct sim *other = disk_with(&small);
    size_t m;
    const uint8_t *bytes = sim_bytes(other, PATH, &m);
    sim_free(s);
    s = disk_with(&two);
    uint8_t *mine = sim_bytes(s, PATH, &n);
    memcpy(mine + FIRST, bytes + FIRST, FRAME);
    assert_int_equal(read_file(s, &two, &read, &error), XE_TABLEFILE_FAILED);
    assert_int_equal(error.offset, FIRST);
    sim_free(other);
    sim_free(from);
    sim_free(s);
}

/* --- The clauses, each broken alone: all checksums are right ------------------- */

struct sealed {
    struct sim *s;
    uint8_t *bytes;
    size_t n;
    uint64_t salt;
    uint8_t *block, *end; /* the one block, and the end, of the file of the shape `small` */
};

static void sealed_make(struct sealed *x)
{
    x->s = disk_with(&small);
    x->bytes = sim_bytes(x->s, PATH, &x->n);
    x->salt = xe_load64(x->bytes + 16);
    x->block = x->bytes + FIRST;
    x->end = x->bytes + x->n - FRAME - END;
}

static void seal_header(struct sealed *x)
{
    xe_store64(x->bytes + 56, xe_checksum(x->salt, x->bytes, 56));
}

static void seal_frame(struct sealed *x, uint8_t *at, size_t n)
{
    xe_store64(at + 24, xe_checksum(x->salt, at + FRAME, n));
    xe_store64(at + 32, xe_checksum(x->salt, at, 32));
}

static void refused(struct sealed *x, int code, uint64_t offset)
{
    struct xe_io_error error;
    assert_refused(x->s, &small, &error);
    assert_int_equal(error.code, code);
    assert_int_equal(error.offset, offset);
    sim_free(x->s);
}

static void h1_the_file_begins_with_its_mark(void **state)
{
    struct sealed x;
    (void)state;
    sealed_make(&x);
    x.bytes[1] = 'Y';
    seal_header(&x);
    refused(&x, XE_IO_FOREIGN, 0);
}

static void h3_the_version_is_2(void **state)
{
    struct sealed x;
    (void)state;
    sealed_make(&x);
    x.bytes[8] = 1;
    seal_header(&x);
    refused(&x, XE_IO_VERSION, 8);
}

static void h3_unused_bytes_are_0(void **state)
{
    struct sealed x;
    (void)state;
    sealed_make(&x);
    x.bytes[45] = 1;
    seal_header(&x);
    refused(&x, XE_IO_DAMAGED, 40);
}

static void h4_the_metadata_are_in_the_file(void **state)
{
    static const uint64_t lengths[] = {UINT64_MAX, 1 << 20, (uint64_t)1 << 62};
    struct sealed x;
    (void)state;
    for (int i = 0; i < 3; i++) {
        sealed_make(&x);
        xe_store64(x.bytes + 24, lengths[i]);
        seal_header(&x);
        refused(&x, XE_IO_DAMAGED, x.n);
    }
    sealed_make(&x);
    xe_store64(x.bytes + 24, sizeof META - 1);
    seal_header(&x);
    refused(&x, XE_IO_DAMAGED, XE_TABLEFILE_HEADER);
}

static void b1_a_block_has_one_of_three_tags(void **state)
{
    struct sealed x;
    (void)state;
    sealed_make(&x);
    memcpy(x.block, "data", 4);
    seal_frame(&x, x.block, (size_t)(x.end - x.block - FRAME));
    refused(&x, XE_IO_DAMAGED, FIRST);
}

static void b2_a_block_has_its_number(void **state)
{
    struct sealed x;
    (void)state;
    sealed_make(&x);
    x.block[16] = 1;
    seal_frame(&x, x.block, (size_t)(x.end - x.block - FRAME));
    refused(&x, XE_IO_DAMAGED, FIRST + 16);
}

static void b3_the_bytes_of_a_block_are_in_the_file(void **state)
{
    static const uint64_t lengths[] = {UINT64_MAX, 1 << 20, (uint64_t)1 << 62};
    struct sealed x;
    (void)state;
    for (int i = 0; i < 3; i++) {
        sealed_make(&x);
        xe_store64(x.block + 8, lengths[i]);
        seal_frame(&x, x.block, (size_t)(x.end - x.block - FRAME));
        refused(&x, XE_IO_DAMAGED, x.n);
    }
}

static void b4_records_fill_their_block(void **state)
{
    struct sealed x;
    (void)state;
    for (int i = 0; i < 4; i++) {
        sealed_make(&x);
        size_t p = (size_t)(x.end - x.block - FRAME);
        if (i == 0)
            x.block[4]++;
        else if (i == 1)
            x.block[4]--;
        else if (i == 2)
            xe_store32(x.block + FRAME, UINT32_MAX);
        else
            memcpy(x.block, "HUGE", 4);
        seal_frame(&x, x.block, p);
        uint64_t at = i == 2 ? FIRST + FRAME : i == 3 ? FIRST + 4 : FIRST + FRAME + p;
        if (i == 1) { /* behind the second of three records */
            size_t first = record_make(&small, 0, record), second = record_make(&small, 1, record);
            at = FIRST + FRAME + 4 + first + 4 + second;
        }
        refused(&x, XE_IO_DAMAGED, at);
    }
}

static void f3_the_end_tells_what_the_file_is(void **state)
{
    struct sealed x;
    (void)state;
    for (int i = 0; i < 6; i++) {
        sealed_make(&x);
        /* The counts, what is there once more, and the field that is 0. */
        static const size_t fields[] = {FRAME,      FRAME + 8,       FRAME + 16,
                                        FRAME + 24, FRAME + END - 1, 4};
        uint64_t at = (uint64_t)(x.end - x.bytes);
        x.end[fields[i]]++;
        seal_frame(&x, x.end, END);
        refused(&x, XE_IO_DAMAGED, at + (i == 4 ? FRAME + 24 : fields[i]));
    }
}

/* --- Salvaging ------------------------------------------------------------------- */

/* Reads all that can be had of a damaged file: which records, by comparing them with those of the
 * shape in their order. */
static uint32_t salvage_all(struct sim *s, const struct shape *of, uint64_t *lost)
{
    struct xe_io_error error;
    struct xe_tablefile_block b;
    enum xe_tablefile_status status = XE_TABLEFILE_OK;
    uint32_t found = 0, i = 0;
    struct xe_tablefile_reader *r = xe_tablefile_open(sim_io(s), PATH, &error);
    assert_non_null(r);
    for (*lost = 0; status != XE_TABLEFILE_LAST;) {
        status = xe_tablefile_next(r, &b, &error);
        if (status == XE_TABLEFILE_FAILED) {
            status = xe_tablefile_salvage(r, lost, &error);
            continue;
        }
        size_t n;
        for (const uint8_t *p; (p = xe_tablefile_record(&b, &n)) != NULL; found++) {
            do
                assert_true(i < of->n);
            while (record_make(of, i++, record) != n || memcmp(record, p, n) != 0);
        }
    }
    xe_tablefile_close(r);
    return found;
}

static void all_blocks_but_the_damaged_are_salvaged(void **state)
{
    struct sim *s = disk_with(&mixed);
    struct rng rng = rng_for(30);
    size_t n;
    uint8_t *bytes = sim_bytes(s, PATH, &n);
    uint64_t lost;
    (void)state;
    assert_int_equal(salvage_all(s, &mixed, &lost), mixed.n);
    assert_int_equal(lost, 0);
    for (int i = 0; i < 30; i++) {
        size_t at = FIRST + rng_next(&rng) % (n - FIRST);
        uint8_t was = bytes[at];
        bytes[at] ^= 0x55;
        uint32_t found = salvage_all(s, &mixed, &lost);
        /* A block has three records or more, unless it has one large one. */
        assert_true(found < mixed.n || at >= n - FRAME - END);
        assert_true(found + 10 > mixed.n && lost > 0 && lost < 2 * XE_TABLEFILE_BLOCK);
        bytes[at] = was;
    }
    sim_free(s);
}

/* Whatever its beginning has become, the end says what it was. */
static void a_file_may_be_opened_from_its_end(void **state)
{
    (void)state;
    struct sim *s = disk_with(&small);
    struct xe_io_error error;
    struct xe_tablefile_block b;
    size_t n;
    uint8_t *bytes = sim_bytes(s, PATH, &n);
    for (size_t at = 0; at < FIRST; at++) {
        struct xe_tablefile_info info;
        enum xe_tablefile_status status;
        bytes[at]++;
        assert_null(xe_tablefile_open(sim_io(s), PATH, &error));
        struct xe_tablefile_reader *r = xe_tablefile_open_from_end(sim_io(s), PATH, &error);
        assert_non_null(r);
        xe_tablefile_info(r, &info);
        assert_true(info.has_end && info.records == small.n);
        assert_int_equal(info.meta_bytes, sizeof META);
        assert_memory_equal(info.meta, META, sizeof META);
        while ((status = xe_tablefile_next(r, &b, &error)) == XE_TABLEFILE_OK)
            ;
        assert_int_equal(status, XE_TABLEFILE_LAST);
        xe_tablefile_close(r);
        bytes[at]--;
    }
    for (size_t at = n - END + 24; at < n; at++) {
        bytes[at]++;
        assert_null(xe_tablefile_open_from_end(sim_io(s), PATH, &error));
        assert_true(error.code < 0 && error.offset >= n - END + 24 && error.offset <= n);
        bytes[at]--;
    }
    for (size_t len = 0; len < n; len++) {
        struct sim *cut = sim_new(33);
        sim_put(cut, PATH, bytes, len);
        assert_null(xe_tablefile_open_from_end(sim_io(cut), PATH, &error));
        assert_true(error.code < 0);
        sim_free(cut);
    }
    sim_free(s);
}

static void a_truncated_file_is_salvaged_to_its_last_block(void **state)
{
    struct sim *whole = disk_with(&mixed), *s = sim_new(31);
    size_t n;
    uint64_t lost;
    uint32_t before = 0;
    uint8_t *bytes = sim_bytes(whole, PATH, &n);
    (void)state;
    for (size_t len = FIRST; len < n; len += n / 40) {
        sim_put(s, PATH, bytes, len);
        uint32_t found = salvage_all(s, &mixed, &lost);
        assert_true(found >= before);
        before = found;
    }
    assert_true(before > mixed.n - 12);
    sim_free(whole);
    sim_free(s);
}

static void long_damage_is_passed_over_in_steps(void **state)
{
    struct xe_io_error error;
    struct xe_tablefile_block b;
    const struct shape of = {32, 96, 100, 3 * XE_TABLEFILE_BLOCK};
    struct sim *s = disk_with(&of);
    size_t n;
    uint8_t *bytes = sim_bytes(s, PATH, &n);
    uint32_t steps = 0;
    uint64_t lost = 0;
    (void)state;
    assert_true(n > XE_TABLEFILE_SALVAGE + XE_TABLEFILE_BLOCK);
    memset(bytes + FIRST, 'x', n - FIRST);
    struct xe_tablefile_reader *r = xe_tablefile_open(sim_io(s), PATH, &error);
    assert_int_equal(xe_tablefile_next(r, &b, &error), XE_TABLEFILE_FAILED);
    while (xe_tablefile_salvage(r, &lost, &error) == XE_TABLEFILE_MORE)
        steps++;
    assert_int_equal(steps, (n - FIRST) / XE_TABLEFILE_SALVAGE);
    assert_int_equal(lost, n - FIRST);
    xe_tablefile_close(r);
    sim_free(s);
}

/* --- Faults ---------------------------------------------------------------------- */

static void writing_fails_at_every_call_without_a_trace(void **state)
{
    static const int codes[] = {EIO, ENOSPC};
    const struct shape of = {40, 12, 20000, 40000};
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        bool failing = true;
        for (uint64_t call = 0; failing; call++) {
            struct xe_io_error error = {0};
            struct sim *s = sim_new(call);
            uint32_t read;
            sim_fail(s, call, codes[i % 2], false, 0);
            bool ok = write_as(s, &of, i < 2, true, &error);
            failing = sim_has_failed(s);
            assert_true(ok == !failing);
            sim_fail(s, UINT64_MAX, 0, false, 0);
            if (ok || error.op == XE_IO_SYNC_DIR) {
                assert_int_equal(read_file(s, &of, &read, &error), XE_TABLEFILE_LAST);
            } else {
                assert_int_equal(error.code, codes[i % 2]);
                assert_true(sim_name(s, 0) == NULL);
            }
            sim_free(s);
        }
    }
}

static void reading_fails_at_every_call(void **state)
{
    struct sim *s = disk_with(&mixed);
    bool failing = true;
    (void)state;
    for (uint64_t i = 0; failing; i++) {
        struct xe_io_error error;
        uint32_t read;
        sim_fail(s, sim_calls(s) + i, EIO, false, 0);
        enum xe_tablefile_status status = read_file(s, &mixed, &read, &error);
        failing = sim_has_failed(s);
        /* Only closing may fail without a word. */
        assert_true(status == XE_TABLEFILE_LAST ? read == mixed.n : error.code == EIO && failing);
    }
    sim_free(s);
}

static void every_allocation_may_fail(void **state)
{
    const struct shape of = {41, 12, 20000, 140000};
    bool failing = true;
    (void)state;
    for (uint64_t i = 0; failing; i++) {
        struct xe_io_error error;
        uint32_t read;
        struct sim *s = sim_new(i);
        memory_fail_at(i);
        bool ok = write_as(s, &of, true, true, &error);
        assert_true(ok || (error.code == ENOMEM && error.op == XE_IO_MEMORY));
        failing = memory_fail_never() > 0;
        if (!failing) {
            bool reading = true;
            for (uint64_t k = 0; reading; k++) {
                memory_fail_at(k);
                enum xe_tablefile_status status = read_file(s, &of, &read, &error);
                reading = memory_fail_never() > 0;
                assert_true(reading ? status == XE_TABLEFILE_FAILED && error.code == ENOMEM
                                    : status == XE_TABLEFILE_LAST);
            }
        }
        sim_free(s);
    }
}

static void a_crash_leaves_the_old_file_or_the_new_one(void **state)
{
    const struct shape old = {50, 10, 2000, 0}, new = {51, 12, 2000, 40000};
    uint32_t olds = 0, news = 0;
    bool crashed = true;
    (void)state;
    for (uint64_t call = 0; crashed; call++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct xe_io_error error;
            uint32_t read;
            struct sim *s = sim_new(seed);
            assert_true(write_as(s, &old, true, true, &error));
            sim_crash(s, sim_calls(s) + call);
            bool ok = write_as(s, &new, true, true, &error);
            crashed = sim_has_crashed(s);
            sim_power_off(s);
            struct xe_tablefile_info info;
            struct xe_tablefile_reader *r = xe_tablefile_open(sim_io(s), PATH, &error);
            assert_non_null(r);
            xe_tablefile_info(r, &info);
            const struct shape *is = info.records == old.n ? &old : &new;
            assert_true(is == &new || !ok);
            assert_int_equal(read_all(r, is, &read, &error), XE_TABLEFILE_LAST);
            assert_int_equal(read, is->n);
            xe_tablefile_close(r);
            olds += is == &old;
            news += is == &new;
            sim_free(s);
        }
    }
    assert_true(olds > 0 && news > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_are_read_as_they_were_written),
        TEST(what_has_the_name_is_replaced_or_in_the_way),
        TEST(a_block_has_no_more_than_its_limit),
        TEST(room_that_is_not_committed_leaves_nothing),
        TEST(every_flipped_byte_is_found_where_it_is),
        TEST(every_flipped_byte_of_a_large_file_too),
        TEST(every_truncation_is_found),
        TEST(blocks_are_neither_lost_nor_moved_nor_added),
        TEST(h1_the_file_begins_with_its_mark),
        TEST(h3_the_version_is_2),
        TEST(h3_unused_bytes_are_0),
        TEST(h4_the_metadata_are_in_the_file),
        TEST(b1_a_block_has_one_of_three_tags),
        TEST(b2_a_block_has_its_number),
        TEST(b3_the_bytes_of_a_block_are_in_the_file),
        TEST(b4_records_fill_their_block),
        TEST(f3_the_end_tells_what_the_file_is),
        TEST(all_blocks_but_the_damaged_are_salvaged),
        TEST(a_file_may_be_opened_from_its_end),
        TEST(a_truncated_file_is_salvaged_to_its_last_block),
        TEST(long_damage_is_passed_over_in_steps),
        TEST(writing_fails_at_every_call_without_a_trace),
        TEST(reading_fails_at_every_call),
        TEST(every_allocation_may_fail),
        TEST(a_crash_leaves_the_old_file_or_the_new_one),
    };
    return cmocka_run_group_tests_name("tablefile", tests, NULL, NULL);
}
