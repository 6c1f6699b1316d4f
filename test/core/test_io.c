/*
 * test_io.c - files of the system, and whether the simulated disk is as bad as io.h allows, and no
 * worse.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim_io.h"
#include "support.h"

enum { SEEDS = 200, FILE_BYTES = 8 * XE_IO_SECTOR };

static const uint32_t ALL_OPS = 0;
#define ONLY(op) (UINT32_C(1) << (op))

/* --- On both ----------------------------------------------------------------- */

static char dir[] = "/tmp/xets_test_io_XXXXXX";

static struct xe_file *open_at(const struct xe_io *io, const char *path, unsigned flags)
{
    struct xe_file *f;
    struct xe_io_error error;
    return xe_io_open(io, path, flags, &f, &error) ? f : NULL;
}

static void close_file(struct xe_file *f)
{
    struct xe_io_error error;
    assert_true(xe_file_close(f, &error));
}

static void put_file(const struct xe_io *io, const char *path, const void *bytes, size_t n)
{
    struct xe_io_error error;
    struct xe_file *f = open_at(io, path, XE_IO_WRITABLE | XE_IO_CREATE | XE_IO_EMPTY);
    assert_non_null(f);
    assert_true(xe_file_write(f, bytes, n, 0, &error));
    close_file(f);
}

static size_t get_file(const struct xe_io *io, const char *path, void *to, size_t n)
{
    struct xe_io_error error;
    size_t got = SIZE_MAX;
    struct xe_file *f = open_at(io, path, 0);
    if (!f)
        return SIZE_MAX;
    assert_true(xe_file_read(f, to, n, 0, &got, &error));
    close_file(f);
    return got;
}

struct seen {
    uint32_t n;
    char names[8][32];
};

static int see(void *arg, const char *name)
{
    struct seen *s = arg;
    if (s->n == 8)
        return E2BIG;
    snprintf(s->names[s->n++], sizeof s->names[0], "%s", name);
    return 0;
}

static void files_are_read_as_they_were_written(const struct xe_io *io, const char *at)
{
    struct xe_io_error error;
    uint8_t out[300], in[300];
    size_t got;
    uint64_t size;
    char *path = xe_io_join(at, "a");
    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 7);
    struct xe_file *f = open_at(io, path, XE_IO_WRITABLE | XE_IO_CREATE | XE_IO_EXCLUSIVE);
    assert_non_null(f);
    struct iovec v[4] = {{out, 0}, {out, 100}, {out + 100, 50}, {out + 150, 150}};
    assert_true(xe_file_writev(f, v, 4, 10, &error));
    assert_true(xe_file_sync(f, true, &error) && xe_file_size(f, &size, &error));
    assert_int_equal(size, 310);
    assert_true(xe_file_read(f, in, 300, 10, &got, &error));
    assert_int_equal(got, 300);
    assert_memory_equal(in, out, 300);
    assert_true(xe_file_read(f, in, 300, 290, &got, &error));
    assert_int_equal(got, 20);
    assert_true(xe_file_read(f, in, 300, 1000, &got, &error));
    assert_int_equal(got, 0);
    assert_true(xe_file_allocate(f, 4096, &error) && xe_file_size(f, &size, &error));
    assert_int_equal(size, 4096);
    assert_true(xe_file_read(f, in, 300, 310, &got, &error));
    assert_true(got == 300 && in[0] == 0 && in[299] == 0);
    assert_true(xe_file_allocate(f, 100, &error) && xe_file_truncate(f, 12, &error));
    assert_true(xe_file_size(f, &size, &error));
    assert_int_equal(size, 12);
    close_file(f);
    assert_null(open_at(io, path, XE_IO_WRITABLE | XE_IO_CREATE | XE_IO_EXCLUSIVE));
    assert_true(xe_io_unlink(io, path, &error));
    xe_cb.free(path);
}

static void names_come_and_go(const struct xe_io *io, const char *at)
{
    struct xe_io_error error;
    struct seen seen = {0};
    char byte, *sub = xe_io_join(at, "sub"), *a = xe_io_join(sub, "a"), *b = xe_io_join(sub, "b");
    assert_true(xe_io_mkdir(io, sub, &error) && xe_io_mkdir(io, sub, &error));
    put_file(io, a, "a", 1);
    put_file(io, b, "b", 1);
    assert_true(xe_io_list(io, sub, see, &seen, &error));
    assert_int_equal(seen.n, 2);
    assert_true(xe_io_rename(io, a, b, &error));
    assert_int_equal(get_file(io, a, &byte, 1), SIZE_MAX);
    assert_int_equal(get_file(io, b, &byte, 1), 1);
    assert_int_equal(byte, 'a');
    assert_false(xe_io_rmdir(io, sub, &error));
    assert_int_equal(error.code, ENOTEMPTY);
    assert_true(xe_io_unlink(io, b, &error) && xe_io_unlink(io, b, &error));
    assert_true(xe_io_sync_dir(io, sub, &error) && xe_io_rmdir(io, sub, &error));
    assert_false(xe_io_list(io, sub, see, &seen, &error));
    assert_true(error.code == ENOENT && error.op == XE_IO_LIST);
    assert_string_equal(error.path, sub);
    xe_cb.free(sub);
    xe_cb.free(a);
    xe_cb.free(b);
}

static void a_lock_is_had_once(const struct xe_io *io, const char *at)
{
    struct xe_io_error error;
    struct xe_file *first, *second;
    bool made;
    char *path = xe_io_join(at, "LOCK");
    assert_true(xe_io_lock(io, path, &first, &made, &error));
    assert_true(made);
    assert_false(xe_io_lock(io, path, &second, &made, &error));
    assert_true(error.code == XE_IO_LOCKED && error.op == XE_IO_LOCK);
    /* Looking at the file does not drop the lock. */
    close_file(open_at(io, path, 0));
    assert_false(xe_io_lock(io, path, &second, &made, &error));
    close_file(first);
    assert_true(xe_io_lock(io, path, &first, &made, &error));
    assert_false(made);
    /* The lock on a file that is not there any more keeps nobody out. */
    assert_true(xe_io_unlink(io, path, &error));
    assert_true(xe_io_lock(io, path, &second, &made, &error));
    assert_true(made);
    assert_int_not_equal(xe_file_lock(io, first), 0);
    close_file(first);
    assert_true(xe_io_unlink(io, path, &error));
    close_file(second);
    xe_cb.free(path);
}

static void a_directory_is_held_wherever_it_is(const struct xe_io *io, const char *at)
{
    struct xe_io_error error;
    struct xe_io_dir held;
    struct xe_file *lock, *other;
    bool made;
    struct seen seen = {0};
    char byte, *sub = xe_io_join(at, "sub"), *old = xe_io_join(at, "old");
    char *a = xe_io_join(sub, "a"), *b = xe_io_join(sub, "b"), *moved = xe_io_join(old, "b");
    assert_true(xe_io_mkdir(io, sub, &error) && xe_io_hold(io, sub, &held, &error));
    assert_true(xe_io_rename(io, sub, old, &error) && xe_io_mkdir(io, sub, &error));
    put_file(io, a, "other", 5);
    /* By its old path it is this one, and not the one that has the path now. */
    assert_int_equal(get_file(&held.io, a, &byte, 1), SIZE_MAX);
    assert_true(xe_io_unlink(&held.io, a, &error));
    put_file(&held.io, a, "a", 1);
    assert_true(xe_io_rename(&held.io, a, b, &error) && xe_io_sync_dir(&held.io, sub, &error));
    assert_true(xe_io_list(&held.io, sub, see, &seen, &error));
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.names[0], "b");
    assert_int_equal(get_file(io, moved, &byte, 1), 1);
    assert_int_equal(byte, 'a');
    assert_int_equal(get_file(io, a, &byte, 1), 1);
    assert_int_equal(byte, 'o');
    assert_int_equal(get_file(io, b, &byte, 1), SIZE_MAX);
    /* All other paths are what they are. */
    assert_int_equal(get_file(&held.io, moved, &byte, 1), 1);
    assert_false(xe_io_rename(&held.io, b, moved, &error));
    assert_int_equal(error.code, EXDEV);
    /* A lock is one on a file, whose name is looked for where it was opened. */
    assert_true(xe_io_lock(&held.io, b, &lock, &made, &error) &&
                xe_io_lock(io, a, &other, &made, &error));
    close_file(other);
    assert_false(xe_io_lock(io, moved, &other, &made, &error));
    assert_int_equal(error.code, XE_IO_LOCKED);
    xe_io_let_go(&held);
    close_file(lock);
    assert_true(xe_io_unlink(io, a, &error) && xe_io_unlink(io, moved, &error));
    /* One that was removed takes no files, wherever its path leads. */
    assert_true(xe_io_hold(io, old, &held, &error) && xe_io_rmdir(io, old, &error));
    assert_true(xe_io_rename(io, sub, old, &error));
    assert_null(open_at(&held.io, moved, XE_IO_WRITABLE | XE_IO_CREATE));
    xe_io_let_go(&held);
    assert_true(xe_io_rmdir(io, old, &error));
    assert_false(xe_io_hold(io, old, &held, &error));
    assert_true(error.code == ENOENT && error.op == XE_IO_OPEN);
    assert_string_equal(error.path, old);
    char *paths[] = {sub, old, a, b, moved};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        xe_cb.free(paths[i]);
}

/* However its path is written. */
static void paths_begin_with_that_of_a_directory(const struct xe_io *io, const char *at)
{
    struct xe_io_error error;
    struct xe_io_dir held;
    char *sub = xe_io_join(at, "sub"), *slashes = xe_io_join(sub, "/");
    char *longer = xe_io_join(at, "subs"), *a = xe_io_join(slashes, "a"),
         *same = xe_io_join(sub, "a");
    char byte;
    assert_true(xe_io_mkdir(io, sub, &error) && xe_io_mkdir(io, longer, &error));
    assert_true(xe_io_hold(io, slashes, &held, &error));
    put_file(&held.io, a, "a", 1);
    assert_int_equal(get_file(&held.io, same, &byte, 1), 1);
    assert_int_equal(get_file(io, same, &byte, 1), 1);
    assert_true(xe_io_sync_dir(&held.io, sub, &error) && xe_io_sync_dir(&held.io, slashes, &error));
    assert_true(xe_io_unlink(&held.io, same, &error));
    /* Not one whose name only begins like it. */
    assert_true(xe_io_rmdir(&held.io, longer, &error));
    xe_io_let_go(&held);
    assert_true(xe_io_rmdir(io, sub, &error));
    char *paths[] = {sub, slashes, longer, a, same};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        xe_cb.free(paths[i]);
}

static void failures_say_what_and_where(const struct xe_io *io, const char *at)
{
    struct xe_io_error error = {0};
    struct xe_file *f;
    char *path = xe_io_join(at, "nothing/here");
    assert_false(xe_io_open(io, path, XE_IO_WRITABLE | XE_IO_CREATE, &f, &error));
    assert_true(error.code == ENOENT && error.op == XE_IO_OPEN && error.reason == NULL);
    assert_string_equal(error.path, path);
    assert_false(xe_io_rename(io, path, path, &error));
    assert_true(error.code == ENOENT && error.op == XE_IO_RENAME);
    assert_false(xe_io_mkdir(io, path, &error));
    assert_true(error.code == ENOENT && error.op == XE_IO_MKDIR);
    xe_cb.free(path);
}

static void both_run(const struct xe_io *io, const char *at)
{
    files_are_read_as_they_were_written(io, at);
    names_come_and_go(io, at);
    a_lock_is_had_once(io, at);
    a_directory_is_held_wherever_it_is(io, at);
    failures_say_what_and_where(io, at);
}

/* What another process gets that asks for the lock: 0, or an error's code. */
static int lock_elsewhere(const char *path)
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct xe_io_error error = {0};
        struct xe_file *f;
        bool made;
        xe_io_lock(&xe_io_system, path, &f, &made, &error);
        _exit(error.code == XE_IO_LOCKED ? 1 : error.code ? 2 : 0);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_lock_keeps_other_processes_out(void **state)
{
    struct xe_io_error error;
    struct xe_file *f;
    bool made;
    char path[] = "/tmp/xets_test_lock_XXXXXX";
    (void)state;
    close(mkstemp(path));
    assert_true(xe_io_lock(&xe_io_system, path, &f, &made, &error));
    /* Whoever is forked has the open file, too, and lets go of it without letting others in. */
    assert_int_equal(lock_elsewhere(path), 1);
    assert_int_equal(lock_elsewhere(path), 1);
    close_file(f);
    assert_int_equal(lock_elsewhere(path), 0);
    assert_true(xe_io_lock(&xe_io_system, path, &f, &made, &error));
    close_file(f);
    assert_true(xe_io_unlink(&xe_io_system, path, &error));
}

static void the_system_has_files(void **state)
{
    struct xe_io_error error;
    (void)state;
    assert_non_null(mkdtemp(dir));
    both_run(&xe_io_system, dir);
    paths_begin_with_that_of_a_directory(&xe_io_system, dir);
    assert_int_not_equal(xe_io_system.random(&xe_io_system), xe_io_system.random(&xe_io_system));
    assert_true(xe_io_rmdir(&xe_io_system, dir, &error));
}

/* Whoever may make names in a directory cannot have another file written over. */
static void nothing_is_written_through_a_link(void **state)
{
    struct xe_io_error error;
    struct xe_file *f;
    bool made;
    char from[] = "/tmp/xets_test_link_XXXXXX", byte;
    (void)state;
    close(mkstemp(from));
    put_file(&xe_io_system, from, "a", 1);
    char *link = malloc(sizeof from + 5);
    snprintf(link, sizeof from + 5, "%s.link", from);
    assert_int_equal(symlink(from, link), 0);
    const unsigned flags[] = {0, XE_IO_CREATE, XE_IO_CREATE | XE_IO_EMPTY};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        assert_false(xe_io_open(&xe_io_system, link, XE_IO_WRITABLE | flags[i], &f, &error));
        assert_int_equal(error.code, ELOOP);
    }
    assert_false(xe_io_lock(&xe_io_system, link, &f, &made, &error));
    assert_int_equal(get_file(&xe_io_system, link, &byte, 1), 1);
    assert_int_equal(byte, 'a');
    assert_true(xe_io_unlink(&xe_io_system, link, &error));
    assert_true(xe_io_unlink(&xe_io_system, from, &error));
    free(link);
}

static void the_simulator_has_files(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct xe_io_error error;
        struct sim *s = sim_new(seed);
        sim_short(s, seed ? (uint32_t)seed + 1 : 0);
        assert_true(xe_io_mkdir(sim_io(s), "/d", &error));
        both_run(sim_io(s), "/d");
        sim_free(s);
    }
}

/* --- Paths and errors ---------------------------------------------------------- */

static void assert_parent(const char *path, const char *expected)
{
    char *parent = xe_io_parent(path);
    assert_string_equal(parent, expected);
    xe_cb.free(parent);
}

static void paths_have_parents(void **state)
{
    (void)state;
    assert_parent("a", ".");
    assert_parent("/a", "/");
    assert_parent("a/b", "a");
    assert_parent("/a/b//", "/a");
    assert_parent("/a//b", "/a");
    char *joined = xe_io_join("/a/", "b");
    assert_string_equal(joined, "/a/b");
    xe_cb.free(joined);
}

static void of_a_long_path_the_end_is_shown(void **state)
{
    struct xe_io_error error;
    char path[2 * XE_IO_PATH_SHOWN];
    (void)state;
    memset(path, 'x', sizeof path);
    memcpy(path + sizeof path - 5, "/end", 5);
    assert_false(xe_io_fail(&error, EIO, XE_IO_READ, path, 7, NULL));
    assert_int_equal(strlen(error.path), XE_IO_PATH_SHOWN - 1);
    assert_string_equal(error.path + XE_IO_PATH_SHOWN - 5, "/end");
    for (int op = 0; op < XE_IO_OPS; op++)
        assert_non_null(xe_io_op_name(op));
    assert_string_equal(xe_io_code_name(XE_IO_LOCKED), "locked");
    assert_null(xe_io_code_name(EIO));
}

/* --- The simulator is as bad as D1-D4 allow, and no worse ---------------------- */

static uint8_t old_bytes[FILE_BYTES], new_bytes[FILE_BYTES];

/* A synced file of old bytes under a synced name. */
static struct sim *disk_with_file(uint64_t seed, struct xe_file **f)
{
    struct xe_io_error error;
    struct sim *s = sim_new(seed);
    memset(old_bytes, 'o', sizeof old_bytes);
    memset(new_bytes, 'n', sizeof new_bytes);
    put_file(sim_io(s), "/f", old_bytes, FILE_BYTES);
    *f = open_at(sim_io(s), "/f", XE_IO_WRITABLE);
    assert_true(xe_file_sync(*f, true, &error) && xe_io_sync_dir(sim_io(s), "/", &error));
    return s;
}

/* How many sectors are new; every one of them is old or new as a whole. */
static uint32_t new_sectors(struct sim *s)
{
    uint32_t n = 0;
    size_t size;
    const uint8_t *b = sim_bytes(s, "/f", &size);
    assert_non_null(b);
    for (size_t i = 0; i < size; i += XE_IO_SECTOR) {
        size_t len = size - i < XE_IO_SECTOR ? size - i : XE_IO_SECTOR;
        bool is_new = b[i] == 'n';
        assert_memory_equal(b + i, is_new ? new_bytes : old_bytes, len);
        n += is_new;
    }
    return n;
}

static void d1_synced_bytes_stay_and_others_are_torn(void **state)
{
    uint32_t some = 0, none = 0, all = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct xe_io_error error;
        struct xe_file *f;
        struct sim *s = disk_with_file(seed, &f);
        assert_true(xe_file_write(f, new_bytes, 3 * XE_IO_SECTOR, 0, &error));
        bool synced = seed % 2;
        if (synced)
            assert_true(xe_file_sync(f, true, &error));
        sim_power_off(s);
        uint32_t n = new_sectors(s);
        assert_true(synced ? n == 3 : n <= 3);
        if (!synced) {
            none += n == 0;
            some += n == 1 || n == 2;
            all += n == 3;
        }
        xe_file_close(f, &error);
        sim_free(s);
    }
    assert_true(some > 0 && none > 0 && all > 0);
}

static void d1_sizes_are_torn_too(void **state)
{
    uint32_t grown = 0, between = 0, kept = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct xe_io_error error;
        struct xe_file *f;
        struct sim *s = disk_with_file(seed, &f);
        size_t size;
        assert_true(xe_file_allocate(f, 2 * FILE_BYTES, &error));
        sim_power_off(s);
        const uint8_t *b = sim_bytes(s, "/f", &size);
        assert_true(size >= FILE_BYTES && size <= 2 * FILE_BYTES);
        assert_true(size == FILE_BYTES || b[size - 1] == 0);
        kept += size == FILE_BYTES;
        grown += size == 2 * FILE_BYTES;
        between += size > FILE_BYTES && size < 2 * FILE_BYTES;
        xe_file_close(f, &error);
        sim_free(s);
    }
    assert_true(grown > 0 && between > 0 && kept > 0);
}

static void d2_names_stay_when_their_directory_was_synced(void **state)
{
    uint32_t lost = 0, kept = 0, renamed = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct xe_io_error error;
        struct sim *s = sim_new(seed);
        const struct xe_io *io = sim_io(s);
        char byte;
        assert_true(xe_io_mkdir(io, "/d", &error) && xe_io_sync_dir(io, "/", &error));
        put_file(io, "/d/a", "a", 1);
        assert_true(xe_io_sync_dir(io, "/d", &error));
        put_file(io, "/d/b", "b", 1);
        if (seed % 2)
            assert_true(xe_io_sync_dir(io, "/d", &error));
        assert_true(xe_io_rename(io, "/d/a", "/d/c", &error));
        sim_power_off(s);
        bool b = get_file(io, "/d/b", &byte, 1) != SIZE_MAX;
        bool a = get_file(io, "/d/a", &byte, 1) != SIZE_MAX;
        bool c = get_file(io, "/d/c", &byte, 1) != SIZE_MAX;
        assert_true(b || seed % 2 == 0);
        assert_true(a != c);
        lost += !b;
        kept += seed % 2 == 0 && b;
        renamed += c;
        sim_free(s);
    }
    assert_true(lost > 0 && kept > 0 && renamed > 0 && renamed < SEEDS);
}

static void d3_what_was_written_outlives_the_process(void **state)
{
    struct xe_io_error error;
    struct xe_file *f;
    struct sim *s = disk_with_file(1, &f);
    uint64_t size;
    (void)state;
    assert_true(xe_file_write(f, new_bytes, FILE_BYTES, 0, &error));
    sim_kill(s);
    assert_int_equal(new_sectors(s), 8);
    assert_false(xe_file_size(f, &size, &error));
    xe_file_close(f, &error);
    sim_free(s);
}

static void d4_after_a_failed_sync_nothing_helps(void **state)
{
    uint32_t lost = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct xe_io_error error;
        struct xe_file *f;
        struct sim *s = disk_with_file(seed, &f);
        assert_true(xe_file_write(f, new_bytes, FILE_BYTES, 0, &error));
        sim_fail(s, 0, EIO, false, ONLY(XE_IO_SYNC));
        assert_false(xe_file_sync(f, true, &error));
        assert_true(error.code == EIO && error.op == XE_IO_SYNC && sim_has_failed(s));
        assert_true(xe_file_sync(f, true, &error));
        assert_int_equal(new_sectors(s), 8);
        sim_power_off(s);
        lost += new_sectors(s) < 8;
        xe_file_close(f, &error);
        sim_free(s);
    }
    assert_true(lost > SEEDS / 2);
}

static void calls_fail_by_number(void **state)
{
    struct xe_io_error error;
    struct xe_file *f;
    struct sim *s = disk_with_file(3, &f);
    (void)state;
    sim_fail(s, sim_calls(s) + 1, EIO, false, ALL_OPS);
    assert_true(xe_file_write(f, new_bytes, 10, 0, &error));
    assert_false(xe_file_write(f, new_bytes, 10, 30, &error));
    assert_true(error.code == EIO && error.op == XE_IO_WRITE && error.offset == 30);
    assert_true(xe_file_write(f, new_bytes, 10, 0, &error));
    sim_crash(s, sim_calls(s) + 1);
    assert_true(xe_file_sync(f, true, &error));
    assert_false(xe_file_sync(f, true, &error));
    assert_true(sim_has_crashed(s));
    sim_power_off(s);
    assert_false(sim_has_crashed(s));
    xe_file_close(f, &error);
    sim_free(s);
}

static void a_full_disk_takes_what_it_has_room_for(void **state)
{
    struct xe_io_error error;
    struct xe_file *f;
    struct sim *s = disk_with_file(4, &f);
    uint64_t size;
    (void)state;
    sim_capacity(s, FILE_BYTES + 100);
    assert_true(xe_file_write(f, new_bytes, FILE_BYTES, 0, &error));
    assert_false(xe_file_write(f, new_bytes, 200, FILE_BYTES, &error));
    assert_true(error.code == ENOSPC && error.offset == FILE_BYTES + 100);
    assert_true(xe_file_size(f, &size, &error));
    assert_int_equal(size, FILE_BYTES + 100);
    assert_false(xe_file_allocate(f, FILE_BYTES + 101, &error));
    assert_true(error.code == ENOSPC && error.op == XE_IO_ALLOCATE);
    close_file(f);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_system_has_files),
        TEST(nothing_is_written_through_a_link),
        TEST(a_lock_keeps_other_processes_out),
        TEST(the_simulator_has_files),
        TEST(paths_have_parents),
        TEST(of_a_long_path_the_end_is_shown),
        TEST(d1_synced_bytes_stay_and_others_are_torn),
        TEST(d1_sizes_are_torn_too),
        TEST(d2_names_stay_when_their_directory_was_synced),
        TEST(d3_what_was_written_outlives_the_process),
        TEST(d4_after_a_failed_sync_nothing_helps),
        TEST(calls_fail_by_number),
        TEST(a_full_disk_takes_what_it_has_room_for),
    };
    return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
