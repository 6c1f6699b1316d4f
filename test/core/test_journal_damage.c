/*
 * test_journal_damage.c - damaged directories of journals are refused, or what they were: the
 * clauses of the format (journal.h), each broken alone; and what is salvaged.
 */
#include "journal_world.h"

/* --- Damage ------------------------------------------------------------------------------- */

/* Opens a copy of the disk, changed by damage, and returns whether it was refused. If not, the
 * state must be one that was: *v. */
static bool refused(struct world *w, struct sim *s, uint64_t *v, struct xe_io_error *error)
{
    struct xe_replay *r = xe_replay_open(sim_io(s), DIR, false, error);
    if (!r)
        return true;
    bool failed = replay(w, r, v, error) == XE_REPLAY_FAILED;
    xe_replay_close(r);
    return failed;
}

/* The bytes of a file from its beginning of which each has to be as it was, for somebody tells of
 * it: in the segment of a table that was not closed, of all but the last unit. */
static size_t told_of(const char *path, const uint8_t *bytes, size_t n, bool closed)
{
    size_t end = XE_SEGMENT_RECORDS, next = end;
    if (closed || !strstr(path, XE_PREFIX_SEGMENT))
        return n;
    while (xe_load64(bytes + next) != 0) {
        end = next;
        next += xe_unit_bytes(xe_load64(bytes + next) & XE_UNIT_MAX);
    }
    return end;
}

/* One byte is not what it was. */
static void byte_noticed(struct sim *s, const char *path, size_t at)
{
    struct xe_io_error error;
    assert_false(replay_verify(sim_io(s), DIR, &error));
    assert_true(error.code < 0 && error.reason);
    assert_string_equal(error.path, path);
    /* Of what is there twice, and what is 0, it is known which one. */
    bool is_mark = at >= XE_SEGMENT_MARK && at < XE_SEGMENT_MARK + XE_SEGMENT_MARK_BYTES;
    if (strstr(path, XE_PREFIX_SEGMENT) && at < XE_SEGMENT_RECORDS && !is_mark)
        assert_int_equal(error.offset, at);
}

/* Every byte flipped, and every truncation, of every file of a small table. */
static void damage_all(struct world *w, bool closed, uint64_t disk, uint64_t last)
{
    struct xe_io_error error;
    for (uint32_t i = 0; sim_name(w->s, i); i++) {
        size_t n, m;
        uint64_t v;
        const char *path = sim_name(w->s, i);
        if (!sim_bytes(w->s, path, &n) || strstr(path, "LOCK"))
            continue;
        struct sim *s = sim_copy(w->s, 1);
        uint8_t *bytes = sim_bytes(s, path, &m);
        size_t told = told_of(path, bytes, n, closed);
        assert_true(replay_verify(sim_io(s), DIR, &error));
        for (size_t at = 0; at<n; at += n> 8192 && at > 6000 ? 97 : 1) {
            bytes[at] ^= 0x21;
            if (!refused(w, s, &v, &error))
                assert_true(closed ? v == last : v >= disk && v <= last);
            else
                assert_true(error.code < 0 && error.path[0] && error.reason);
            if (at < told)
                byte_noticed(s, path, at);
            bytes[at] ^= 0x21;
        }
        for (size_t len = 0; len<n; len += n> 8192 ? 131 : 1) {
            struct sim *cut = sim_copy(w->s, 1);
            sim_put(cut, path, bytes, len);
            if (!refused(w, cut, &v, &error))
                assert_true(closed ? v == last : v >= disk && v <= last);
            sim_free(cut);
        }
        sim_free(s);
    }
}

static void small_unit(struct world *w, uint64_t level)
{
    struct xe_journal_room room;
    uint64_t seed = 0;
    size_t n = BUFFER;
    while (n > 60)
        n = unit_make(seed = rng_next(&w->rng), unit);
    assert_int_equal(xe_journal_reserve(w->j, n, &room), XE_OK);
    uint64_t ticket = xe_journal_commit(w->j, &room, unit, n);
    w->seeds[++w->last] = seed;
    await(w, ticket, w->last, level);
    xe_journal_run();
}

static void no_damage_of_a_closed_table_goes_unseen(void **state)
{
    struct world *w = world_open(20);
    uint64_t v;
    (void)state;
    for (int i = 0; i < 3; i++)
        small_unit(w, XE_JOURNAL_OS);
    assert_true(put_checkpoint(w));
    assert_true(close_table(w) && open_table(w, &v));
    for (int i = 0; i < 5; i++)
        small_unit(w, XE_JOURNAL_DISK);
    assert_true(close_table(w));
    damage_all(w, true, w->last, w->last);
    world_end(w);
}

/* All but the last unit: that nobody says to have been synced. */
static void no_damage_of_a_killed_table_makes_it_wrong(void **state)
{
    struct world *w = world_open(21), *killed;
    (void)state;
    for (int i = 0; i < 6; i++)
        small_unit(w, XE_JOURNAL_DISK);
    killed = malloc(sizeof *killed);
    *killed = *w;
    killed->j = NULL;
    killed->s = sim_copy(w->s, 2);
    damage_all(killed, false, 5, 6);
    world_end(killed);
    world_end(w);
}

/* A killed table of six units, and where the records of its segment are. */
struct cut {
    struct world *w;
    uint8_t *bytes;
    size_t n;
    uint64_t salt;
    uint8_t *at[7];
};

static void cut_make(struct cut *c)
{
    struct world *w = world_open(22);
    for (int i = 0; i < 6; i++)
        small_unit(w, XE_JOURNAL_DISK);
    c->w = malloc(sizeof *c->w);
    *c->w = *w;
    c->w->j = NULL;
    c->w->s = sim_copy(w->s, 2);
    world_end(w);
    c->bytes = sim_bytes(c->w->s, DIR "/journal-0000000000000001", &c->n);
    assert_non_null(c->bytes);
    c->salt = xe_load64(c->bytes + 16);
    c->at[0] = c->bytes + XE_SEGMENT_RECORDS;
    for (int i = 0; i < 6; i++)
        c->at[i + 1] = c->at[i] + xe_unit_bytes(xe_load64(c->at[i]) & XE_UNIT_MAX);
}

/* Changes a field of a record, with the right checksum. */
static void reseal(struct cut *c, int i, size_t field, uint64_t value)
{
    xe_store64(c->at[i] + field, value);
    xe_store64(c->at[i] + 32, xe_checksum(c->salt, c->at[i], 32));
}

static void cut_refused(struct cut *c, size_t offset)
{
    struct xe_io_error error = {0};
    uint64_t v;
    assert_true(refused(c->w, c->w->s, &v, &error));
    assert_int_equal(error.code, XE_IO_DAMAGED);
    assert_int_equal(error.offset, offset);
    assert_string_equal(error.path, DIR "/journal-0000000000000001");
    assert_false(replay_verify(sim_io(c->w->s), DIR, &error));
    assert_int_equal(error.offset, offset);
    world_end(c->w);
}

static void cut_ends(struct cut *c, uint64_t expected)
{
    struct xe_io_error error = {0};
    uint64_t v;
    assert_false(refused(c->w, c->w->s, &v, &error));
    assert_int_equal(v, expected);
    world_end(c->w);
}

static void s1_one_of_two_headers_is_enough(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    c.bytes[20]++;
    cut_ends(&c, 6);
    cut_make(&c);
    c.bytes[XE_SEGMENT_SECOND + 20]++;
    cut_ends(&c, 6);
    cut_make(&c);
    c.bytes[20]++;
    c.bytes[XE_SEGMENT_SECOND + 20]++;
    cut_refused(&c, 0);
}

static void set_header(struct cut *c, size_t field, uint64_t value)
{
    for (uint8_t *h = c->bytes; h <= c->bytes + XE_SEGMENT_SECOND; h += XE_SEGMENT_SECOND) {
        xe_store64(h + field, value);
        xe_store64(h + 56, xe_checksum(c->salt, h, 56));
    }
}

static void s1_the_version_is_2(void **state)
{
    struct cut c;
    struct xe_io_error error;
    uint64_t v;
    (void)state;
    cut_make(&c);
    set_header(&c, 8, 1);
    assert_true(refused(c.w, c.w->s, &v, &error));
    assert_true(error.code == XE_IO_VERSION && error.offset == 8);
    world_end(c.w);
}

static void s1_a_segment_has_its_number(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    set_header(&c, 24, 2);
    cut_refused(&c, 0);
}

static void s2_a_segment_has_all_its_bytes(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    set_header(&c, 32, c.n + 1);
    cut_refused(&c, c.n);
    cut_make(&c);
    set_header(&c, 32, c.n + 1);
    xe_segment_mark(c.bytes + XE_SEGMENT_MARK, c.salt, 6, c.n);
    cut_ends(&c, 6);
}

static void r1_to_r4_a_record_that_does_not_count_ends_the_replay(void **state)
{
    struct cut c;
    (void)state;
    for (int i = 0; i < 5; i++) {
        cut_make(&c);
        if (i == 0)
            reseal(&c, 5, 0, xe_load64(c.at[5]) ^ (UINT64_C(1) << 48)); /* R1 */
        else if (i == 1)
            reseal(&c, 5, 0, XE_UNIT_TAG | c.n); /* R2: not in the file */
        else if (i == 2)
            reseal(&c, 5, 24, 0); /* R2: its checksum */
        else if (i == 3)
            reseal(&c, 5, 16, 6); /* R3 */
        else
            reseal(&c, 5, 8, 8); /* R4 */
        cut_ends(&c, 5);
    }
}

static void c2_without_a_checkpoint_there_is_no_state(void **state)
{
    struct cut c;
    struct xe_io_error error;
    uint64_t v;
    (void)state;
    cut_make(&c);
    sim_remove(c.w->s, DIR "/checkpoint-0000000000000000");
    assert_true(refused(c.w, c.w->s, &v, &error));
    assert_int_equal(error.code, XE_IO_DAMAGED);
    world_end(c.w);
}

static void c3_what_was_synced_is_missed(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    c.at[3][XE_UNIT_HEADER - 1]++; /* later ones say that it was synced */
    cut_refused(&c, (size_t)(c.at[3] - c.bytes));
    cut_make(&c);
    c.at[5][XE_UNIT_HEADER - 1]++; /* nobody says so of the last one */
    cut_ends(&c, 5);
}

/* A segment of one record, as if one before it were missing. */
static void put_segment(struct cut *c, uint64_t number, uint64_t unit_number, uint64_t synced)
{
    static uint8_t bytes[XE_SEGMENT_RECORDS + XE_UNIT_HEADER];
    char *path = xe_journal_path(DIR, XE_PREFIX_SEGMENT, number);
    uint8_t *record = bytes + XE_SEGMENT_RECORDS;
    xe_segment_header(bytes, number, 1, sizeof bytes, META, sizeof META);
    xe_unit_seal(record, 0, unit_number, synced, xe_checksum(1, "", 0), 1);
    sim_put(c->w->s, path, bytes, sizeof bytes);
    xe_cb.free(path);
}

static void c3_what_a_lost_segment_had_is_missed(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    put_segment(&c, 3, 8, 7);
    cut_refused(&c, (size_t)(c.at[6] - c.bytes));
    cut_make(&c);
    put_segment(&c, 3, 8, 6); /* written, never synced: it ends before the gap */
    cut_ends(&c, 6);
    cut_make(&c);
    c.w->last = 7;
    put_segment(&c, 3, 7, 6); /* an empty segment may have been between */
    c.w->seeds[7] = 0;
    while (unit_make(c.w->seeds[7], unit) > 0)
        c.w->seeds[7]++;
    cut_ends(&c, 7);
}

static void c4_what_was_closed_is_missed(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    xe_segment_mark(c.bytes + XE_SEGMENT_MARK, c.salt, 6, c.n);
    c.at[5][XE_UNIT_HEADER - 1]++;
    cut_refused(&c, (size_t)(c.at[5] - c.bytes));
}

/* A checkpoint of all six units makes the segment needless, but not good. */
static void put_last_checkpoint(struct cut *c, const char *meta, size_t n)
{
    struct xe_tablefile_options how = {.kind = XE_TABLEFILE_CHECKPOINT};
    struct xe_io_error error;
    uint64_t s = 6;
    struct xe_tablefile_writer *t = xe_tablefile_create(
        sim_io(c->w->s), DIR "/checkpoint-0000000000000006", &how, meta, n, &error);
    assert_true(t && xe_tablefile_put(t, &s, sizeof s, &error) && xe_tablefile_finish(t, &error));
}

static void only_verifying_refuses(struct cut *c, size_t offset)
{
    struct xe_io_error error;
    assert_false(replay_verify(sim_io(c->w->s), DIR, &error));
    assert_int_equal(error.code, XE_IO_DAMAGED);
    assert_int_equal(error.offset, offset);
    cut_ends(c, 6);
}

static void c2_metadata_of_a_checkpoint_have_room_in_a_segment(void **state)
{
    static const char meta[XE_JOURNAL_META + 1];
    struct xe_io_error error;
    struct cut c;
    (void)state;
    cut_make(&c);
    put_last_checkpoint(&c, meta, sizeof meta);
    assert_null(xe_replay_open(sim_io(c.w->s), DIR, false, &error));
    assert_true(error.code == XE_IO_DAMAGED && error.offset == 24);
    world_end(c.w);
}

static void v1_padding_is_0(void **state)
{
    struct cut c;
    int i = 0;
    (void)state;
    cut_make(&c);
    while (xe_load64(c.at[i]) % 8 == 0)
        i++;
    c.at[i + 1][-1]++;
    only_verifying_refuses(&c, (size_t)(c.at[i + 1] - 1 - c.bytes));
}

static void v1_a_segment_is_no_longer_than_it_was_made(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    uint8_t *longer = calloc(c.n + 1, 1);
    memcpy(longer, c.bytes, c.n);
    sim_put(c.w->s, DIR "/journal-0000000000000001", longer, c.n + 1);
    free(longer);
    only_verifying_refuses(&c, c.n);
}

static void v1_a_mark_may_have_been_cut_short(void **state)
{
    for (size_t n = 0; n <= XE_SEGMENT_MARK_BYTES; n++) {
        struct cut c;
        struct xe_io_error error;
        uint8_t mark[XE_SEGMENT_MARK_BYTES];
        (void)state;
        cut_make(&c);
        xe_segment_mark(mark, c.salt, 6, (size_t)(c.at[6] - c.bytes));
        memcpy(c.bytes + XE_SEGMENT_MARK, mark, n);
        assert_true(replay_verify(sim_io(c.w->s), DIR, &error));
        cut_ends(&c, 6);
    }
}

static void v2_a_needless_segment_has_what_its_mark_says(void **state)
{
    struct cut c;
    (void)state;
    cut_make(&c);
    xe_segment_mark(c.bytes + XE_SEGMENT_MARK, c.salt, 6, c.n);
    put_last_checkpoint(&c, META, sizeof META);
    c.at[5][33]++;
    only_verifying_refuses(&c, (size_t)(c.at[5] - c.bytes));
}

static void v3_a_needless_segment_has_what_was_synced(void **state)
{
    (void)state;
    for (int bad = 0; bad < 5; bad++) {
        struct cut c;
        cut_make(&c);
        put_last_checkpoint(&c, META, sizeof META);
        c.at[bad][33]++;
        only_verifying_refuses(&c, (size_t)(c.at[bad] - c.bytes));
    }
}

/* --- Salvaging ------------------------------------------------------------------------------ */

static void units_say_where_they_are(void **state)
{
    struct cut c;
    struct xe_io_error error;
    struct xe_replay_unit u;
    (void)state;
    cut_make(&c);
    for (int salvage = 0; salvage < 2; salvage++) {
        uint32_t units = 0;
        struct xe_replay *r = xe_replay_open(sim_io(c.w->s), DIR, salvage, &error);
        assert_non_null(r);
        for (; replay_next(r, &u, &error) == XE_REPLAY_UNIT; units++) {
            size_t n;
            char *path = xe_journal_segment_path(DIR, u.segment);
            const uint8_t *file = sim_bytes(c.w->s, path, &n);
            assert_true(u.offset + u.n <= n);
            assert_memory_equal(file + u.offset, u.bytes, u.n);
            xe_cb.free(path);
        }
        assert_true(units > 0);
        xe_replay_close(r);
    }
    world_end(c.w);
}

/* What is locked is not read, and what is read is locked. */
static void who_reads_a_directory_may_lock_it(void **state)
{
    struct world *w = world_open(8);
    struct xe_file *lock;
    struct xe_io_error error;
    (void)state;
    assert_false(xe_replay_lock(sim_io(w->s), DIR, &lock, &error));
    assert_true(error.code == XE_IO_LOCKED && error.op == XE_IO_LOCK);
    put_units(w, 3);
    assert_true(close_table(w));
    assert_true(xe_replay_lock(sim_io(w->s), DIR, &lock, &error));
    assert_non_null(lock);
    struct xe_journal_options o = options_of(w, false);
    assert_null(xe_journal_open(&o, &w->error));
    assert_int_equal(w->error.code, XE_IO_LOCKED);
    assert_true(xe_file_close(lock, &error));
    /* Who may not write it locks it, too. */
    sim_fail(w->s, sim_calls(w->s), EACCES, false, 0);
    assert_true(xe_replay_lock(sim_io(w->s), DIR, &lock, &error));
    assert_true(sim_has_failed(w->s) && lock);
    assert_true(xe_file_close(lock, &error));
    /* A directory without a table has nothing to lock. */
    assert_true(xe_replay_lock(sim_io(w->s), "/none", &lock, &error));
    assert_null(lock);
    world_end(w);
}

static int (*lock_it)(const struct xe_io *io, struct xe_file *f, const char *name);
static uint32_t removals;

/* As if who had it had removed it before this call got it. */
static int lock_a_removed_one(const struct xe_io *io, struct xe_file *f, const char *name)
{
    struct xe_file *other;
    struct xe_io_error error;
    if (removals > 0) {
        removals--;
        assert_true(xe_io_unlink(f->io, f->path, &error));
        assert_true(xe_io_open(f->io, f->path, XE_IO_WRITABLE | XE_IO_CREATE, &other, &error));
        assert_true(xe_file_close(other, &error));
    }
    return lock_it(io, f, name);
}

static void a_lock_that_is_removed_meanwhile_is_not_taken(void **state)
{
    struct world *w = world_open(8);
    struct xe_file *lock, *other;
    struct xe_io_error error;
    bool made;
    (void)state;
    assert_true(close_table(w));
    struct xe_io io = *sim_io(w->s);
    lock_it = io.lock;
    io.lock = lock_a_removed_one;
    removals = 1;
    assert_true(xe_replay_lock(&io, DIR, &lock, &error));
    assert_non_null(lock);
    assert_false(xe_io_lock(sim_io(w->s), DIR "/LOCK", &other, &made, &error));
    assert_true(xe_file_close(lock, &error));
    world_end(w);
}

static void what_is_not_opened_is_left_without_a_lock(void **state)
{
    struct cut c;
    struct xe_io_error error;
    uint64_t v;
    size_t n;
    (void)state;
    cut_make(&c);
    c.bytes[20]++;
    c.bytes[XE_SEGMENT_SECOND + 20]++;
    sim_remove(c.w->s, DIR "/checkpoint-0000000000000000");
    for (int had = 0; had < 2; had++) {
        struct xe_journal_options o = options_of(c.w, false);
        if (had)
            sim_put(c.w->s, DIR "/LOCK", "", 0);
        else
            sim_remove(c.w->s, DIR "/LOCK");
        assert_false(open_table(c.w, &v));
        o.salvage = true;
        assert_null(xe_journal_open(&o, &error));
        assert_int_equal(sim_bytes(c.w->s, DIR "/LOCK", &n) != NULL, had);
    }
    world_end(c.w);
}

static void all_other_records_are_salvaged(void **state)
{
    (void)state;
    for (int bad = 0; bad < 6; bad++) {
        struct cut c;
        struct xe_io_error error;
        struct xe_replay_unit u;
        struct xe_replay_lost lost;
        uint64_t found = 0, s;
        cut_make(&c);
        c.at[bad][33]++;
        struct xe_replay *r = xe_replay_open(sim_io(c.w->s), DIR, true, &error);
        assert_non_null(xe_replay_checkpoint(r, &s));
        while (replay_next(r, &u, &error) == XE_REPLAY_UNIT) {
            found++;
            assert_true(u.number != (uint64_t)bad + 1);
            assert_int_equal(u.n, unit_make(c.w->seeds[u.number], unit));
            assert_memory_equal(u.bytes, unit, u.n);
        }
        assert_int_equal(found, 5);
        xe_replay_lost(r, &lost);
        assert_int_equal(lost.changes, bad < 5 ? 1 : 0); /* of the last nobody knows */
        assert_true(lost.bytes >= 32 && lost.bytes <= 120 && lost.segments == 0);
        assert_int_equal(xe_replay_number(r), bad < 5 ? 6 : 5);
        xe_replay_close(r);
        world_end(c.w);
    }
}

static void a_salvaged_table_is_whole_after_a_checkpoint(void **state)
{
    struct cut c;
    struct xe_journal_options o;
    struct xe_replay_unit u;
    uint64_t v;
    (void)state;
    cut_make(&c);
    c.at[2][33]++;
    struct world *w = c.w;
    assert_false(open_table(w, &v));
    o = options_of(w, false);
    o.salvage = true;
    w->j = xe_journal_open(&o, &w->error);
    assert_non_null(w->j);
    while (replay_next(xe_journal_replay(w->j), &u, &w->error) == XE_REPLAY_UNIT)
        ;
    assert_true(xe_journal_begin(w->j, &w->error));
    assert_int_equal(xe_journal_number(w->j), 6);
    assert_true(put_checkpoint(w));
    put_units(w, 3);
    assert_true(close_table(w) && open_table(w, &v));
    assert_int_equal(v, 9);
    world_end(w);
}

/* What of six units is salvaged. */
static uint64_t salvage(struct world *w, struct xe_replay_lost *lost, uint64_t *number)
{
    struct xe_io_error error;
    struct xe_replay_unit u;
    uint64_t found = 0;
    struct xe_replay *r = xe_replay_open(sim_io(w->s), DIR, true, &error);
    assert_non_null(r);
    while (replay_next(r, &u, &error) == XE_REPLAY_UNIT)
        found++;
    xe_replay_lost(r, lost);
    *number = xe_replay_number(r);
    xe_replay_close(r);
    return found;
}

static void a_segment_without_headers_is_lost_alone(void **state)
{
    struct cut c;
    struct xe_replay_lost lost;
    uint64_t number;
    (void)state;
    cut_make(&c);
    size_t n = c.n;
    uint8_t *copy = malloc(n);
    memcpy(copy, c.bytes, n);
    copy[20]++;
    copy[XE_SEGMENT_SECOND + 20]++;
    sim_put(c.w->s, DIR "/journal-0000000000000000", copy, n);
    free(copy);
    assert_int_equal(salvage(c.w, &lost, &number), 6);
    assert_true(lost.segments == 1 && lost.changes == 0 && number == 6);
    world_end(c.w);
}

/* What is salvaged of a table with another checkpoint, which is damaged. */
static void salvage_without(struct cut *c, const char *checkpoint, const char *bytes, size_t n)
{
    struct xe_io_error error;
    struct xe_replay_meta meta;
    struct xe_replay_lost lost;
    uint64_t s;
    sim_put(c->w->s, checkpoint, bytes, n);
    struct xe_replay *r = xe_replay_open(sim_io(c->w->s), DIR, true, &error);
    assert_non_null(r);
    xe_replay_meta(r, &meta);
    assert_true(meta.n == sizeof META && memcmp(meta.bytes, META, meta.n) == 0);
    bool is_older = xe_replay_checkpoint(r, &s) != NULL;
    assert_int_equal(meta.of_segment, !is_older);
    assert_int_equal(meta.number, is_older ? 0 : 1);
    assert_int_equal(s, 0);
    xe_replay_lost(r, &lost);
    assert_true(lost.checkpoint);
    xe_replay_close(r);
}

static void what_the_table_is_is_known_without_the_last_checkpoint(void **state)
{
    struct cut c;
    struct xe_io_error error;
    (void)state;
    cut_make(&c);
    salvage_without(&c, DIR "/checkpoint-0000000000000006", "damaged", 7);
    salvage_without(&c, DIR "/checkpoint-0000000000000000", "damaged", 7);
    /* One of two headers, and its metadata, is enough. */
    c.bytes[XE_SEGMENT_HEADER]++;
    salvage_without(&c, DIR "/checkpoint-0000000000000000", "", 0);
    c.bytes[XE_SEGMENT_SECOND + XE_SEGMENT_HEADER]++;
    assert_null(xe_replay_open(sim_io(c.w->s), DIR, true, &error));
    assert_int_equal(error.code, XE_IO_FOREIGN);
    world_end(c.w);
}

/* What a later release has written is not passed over. */
static void other_versions_are_not_salvaged(void **state)
{
    struct cut c;
    struct xe_io_error error;
    struct xe_replay_unit u;
    size_t n;
    (void)state;
    cut_make(&c);
    set_header(&c, 8, XE_SEGMENT_VERSION + 1);
    struct xe_replay *r = xe_replay_open(sim_io(c.w->s), DIR, true, &error);
    assert_non_null(r);
    assert_int_equal(replay_next(r, &u, &error), XE_REPLAY_FAILED);
    assert_int_equal(error.code, XE_IO_VERSION);
    xe_replay_close(r);
    world_end(c.w);
    cut_make(&c);
    uint8_t *h = sim_bytes(c.w->s, DIR "/checkpoint-0000000000000000", &n);
    h[8]++;
    xe_store64(h + 56, xe_checksum(xe_load64(h + 16), h, 56));
    assert_null(xe_replay_open(sim_io(c.w->s), DIR, true, &error));
    assert_int_equal(error.code, XE_IO_VERSION);
    world_end(c.w);
}

/* The next checkpoint must have a larger number than one that cannot be read. */
static void without_a_checkpoint_all_units_are_salvaged(void **state)
{
    struct cut c;
    struct xe_replay_lost lost;
    uint64_t number;
    (void)state;
    cut_make(&c);
    sim_put(c.w->s, DIR "/checkpoint-0000000000000009", "damaged", 7);
    assert_int_equal(salvage(c.w, &lost, &number), 6);
    assert_true(number == 9 && lost.changes == 3);
    sim_remove(c.w->s, DIR "/checkpoint-0000000000000009");
    sim_remove(c.w->s, DIR "/checkpoint-0000000000000000");
    assert_int_equal(salvage(c.w, &lost, &number), 6);
    assert_true(number == 6 && lost.changes == 0 && lost.checkpoint);
    world_end(c.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_damage_of_a_closed_table_goes_unseen),
        TEST(no_damage_of_a_killed_table_makes_it_wrong),
        TEST(s1_one_of_two_headers_is_enough),
        TEST(s1_the_version_is_2),
        TEST(s1_a_segment_has_its_number),
        TEST(s2_a_segment_has_all_its_bytes),
        TEST(r1_to_r4_a_record_that_does_not_count_ends_the_replay),
        TEST(c2_without_a_checkpoint_there_is_no_state),
        TEST(c3_what_was_synced_is_missed),
        TEST(c3_what_a_lost_segment_had_is_missed),
        TEST(c4_what_was_closed_is_missed),
        TEST(c2_metadata_of_a_checkpoint_have_room_in_a_segment),
        TEST(v1_padding_is_0),
        TEST(v1_a_segment_is_no_longer_than_it_was_made),
        TEST(v1_a_mark_may_have_been_cut_short),
        TEST(v2_a_needless_segment_has_what_its_mark_says),
        TEST(v3_a_needless_segment_has_what_was_synced),
        TEST(units_say_where_they_are),
        TEST(who_reads_a_directory_may_lock_it),
        TEST(a_lock_that_is_removed_meanwhile_is_not_taken),
        TEST(what_is_not_opened_is_left_without_a_lock),
        TEST(all_other_records_are_salvaged),
        TEST(a_salvaged_table_is_whole_after_a_checkpoint),
        TEST(a_segment_without_headers_is_lost_alone),
        TEST(what_the_table_is_is_known_without_the_last_checkpoint),
        TEST(other_versions_are_not_salvaged),
        TEST(without_a_checkpoint_all_units_are_salvaged),
    };
    return cmocka_run_group_tests_name("journal damage", tests, NULL, NULL);
}
