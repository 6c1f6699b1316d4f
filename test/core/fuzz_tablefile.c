/*
 * fuzz_tablefile.c - a libFuzzer target: bytes as files of records and as directories of journals,
 * to their readers. `make -C c_src fuzz` builds it with libFuzzer; without it, it is a program that
 * replays inputs drawn from XETS_SEED, as many as its argument says.
 *
 * The first byte says how the rest is taken: as it is, or with all checksums made right, so that
 * what is behind them is reached; and for which reader.
 */
#include <stdio.h>
#include <stdlib.h>

#include "journal_format.h"
#include "replay.h"
#include "sim_io.h"
#include "support.h"

#define FILE_PATH "/file"
#define DIR "/table"

enum { SEALED = 1, JOURNAL = 2, NO_CHECKPOINT = 4, BYTES_MAX = 1 << 16 };

static uint8_t file[BYTES_MAX + 2 * XE_SEGMENT_RECORDS];

static uint64_t clip(uint64_t v, uint64_t max)
{
    return v > max && v % 8 ? v % (max + 1) : v; /* now and then a length is nonsense */
}

/* --- Files of records ------------------------------------------------------------------ */

static void seal_blocks(uint8_t *at, size_t left, uint64_t salt)
{
    static const char tags[4][5] = {"DATA", "HUGE", "LAST", "DATA"};
    for (uint64_t number = 0; left >= XE_TABLEFILE_FRAME; number++) {
        uint64_t room = left - XE_TABLEFILE_FRAME;
        uint64_t n = clip(at[1] % 8 == 0 ? xe_load64(at + 8) : at[8], room);
        memcpy(at, tags[at[0] % 4], 4);
        xe_store32(at + 4, at[4]);
        xe_store64(at + 8, n);
        xe_store64(at + 16, at[2] % 8 == 0 ? at[16] : number);
        n = n < room ? n : room;
        xe_store64(at + 24, xe_checksum(salt, at + XE_TABLEFILE_FRAME, n));
        xe_store64(at + 32, xe_checksum(salt, at, 32));
        at += XE_TABLEFILE_FRAME + n;
        left -= XE_TABLEFILE_FRAME + n;
    }
}

static void seal_tablefile(uint8_t *at, size_t n)
{
    static const uint8_t magic[8] = {0x89, 'X', 'E', 'T', 'S', 0x0d, 0x0a, 0x1a};
    if (n < XE_TABLEFILE_HEADER)
        return;
    uint64_t salt = xe_load64(at + 16), left = n - XE_TABLEFILE_HEADER;
    uint64_t meta = clip(at[24], left), in_file = meta < left ? meta : left;
    memcpy(at, magic, sizeof magic);
    xe_store32(at + 8, 1);
    xe_store64(at + 24, meta);
    xe_store64(at + 32, xe_checksum(salt, at + XE_TABLEFILE_HEADER, in_file));
    memset(at + 40, 0, 16);
    xe_store64(at + 56, xe_checksum(salt, at, 56));
    seal_blocks(at + XE_TABLEFILE_HEADER + in_file, left - in_file, salt);
}

/* Adds all bytes, so that all are read. */
static void touch(const uint8_t *p, size_t n)
{
    uint8_t sum = 0;
    while (n-- > 0)
        sum ^= *p++;
    __asm__ volatile("" : : "r"(sum));
}

static void read_tablefile(const struct xe_io *io, const char *path, size_t size)
{
    struct xe_io_error error = {0};
    struct xe_tablefile_block b;
    struct xe_tablefile_info info;
    enum xe_tablefile_status status = XE_TABLEFILE_OK;
    uint64_t lost = 0, records = 0;
    bool whole = true;
    struct xe_tablefile_reader *r = xe_tablefile_open(io, path, &error);
    if (!r) {
        CHECK(error.code < 0);
        return;
    }
    xe_tablefile_info(r, &info);
    touch(info.meta, info.meta_bytes);
    while (status != XE_TABLEFILE_LAST) {
        status = xe_tablefile_next(r, &b, &error);
        if (status == XE_TABLEFILE_FAILED) {
            whole = false;
            CHECK(error.code == XE_IO_DAMAGED && error.offset <= size && error.reason);
            status = xe_tablefile_salvage(r, &lost, &error);
            CHECK(status != XE_TABLEFILE_FAILED);
            continue;
        }
        size_t n;
        for (const uint8_t *p; (p = xe_tablefile_record(&b, &n)) != NULL; records++)
            touch(p, n);
        CHECK(status == XE_TABLEFILE_LAST || b.at == b.end);
    }
    CHECK(whole ? lost == 0 && info.has_end && info.records == records : lost <= size);
    xe_tablefile_close(r);
}

/* --- Journals ---------------------------------------------------------------------------- */

static void seal_segment(uint8_t *to, const uint8_t *from, size_t n, uint64_t *number)
{
    const uint64_t salt = 4711;
    uint64_t bytes = XE_SEGMENT_RECORDS + n;
    xe_segment_header(to, 1, salt, bytes, from, n < XE_JOURNAL_META ? n : XE_JOURNAL_META);
    memcpy(to + XE_SEGMENT_RECORDS, from, n);
    if (n > 0 && from[0] % 8 == 0)
        xe_segment_mark(to + XE_SEGMENT_MARK, salt, from[0], bytes);
    for (uint8_t *at = to + XE_SEGMENT_RECORDS; n >= XE_UNIT_HEADER;) {
        uint64_t room = n - XE_UNIT_HEADER, len = clip(at[0], room), synced = at[16] % 32;
        uint64_t in_file = len < room ? len : room;
        ++*number;
        xe_unit_seal(at, len & XE_UNIT_MAX, at[1] % 16 ? *number : at[8], synced,
                     xe_checksum(salt, at + XE_UNIT_HEADER, in_file), salt);
        uint64_t size = xe_unit_bytes(in_file) < n ? xe_unit_bytes(in_file) : n;
        at += size;
        n -= size;
    }
}

static void read_journal(const struct xe_io *io, bool salvage)
{
    struct xe_io_error error = {0};
    struct xe_replay_unit u;
    enum xe_replay_status status;
    uint64_t last = 0;
    struct xe_replay *r = xe_replay_open(io, DIR, salvage, &error);
    if (!r) {
        CHECK(error.code < 0 && error.reason);
        return;
    }
    while ((status = replay_next(r, &u, &error)) == XE_REPLAY_UNIT) {
        CHECK(salvage ? u.number > last : u.number == last + 1);
        last = u.number;
        touch(u.bytes, u.n);
    }
    CHECK(status == XE_REPLAY_END || error.code == XE_IO_VERSION ||
          (!salvage && error.code < 0 && error.reason));
    CHECK(status == XE_REPLAY_END || !replay_verify(io, DIR, &error));
    CHECK(xe_replay_number(r) == last);
    xe_replay_close(r);
}

static void make_directory(struct sim *s, bool checkpoint)
{
    struct xe_tablefile_options how = {.kind = XE_TABLEFILE_CHECKPOINT};
    struct xe_io_error error;
    CHECK(xe_io_mkdir(sim_io(s), DIR, &error));
    if (!checkpoint)
        return;
    char *path = xe_journal_checkpoint_path(DIR, 0);
    struct xe_tablefile_writer *w = xe_tablefile_create(sim_io(s), path, &how, "", 0, &error);
    CHECK(w && xe_tablefile_finish(w, &error));
    xe_cb.free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    uint64_t number = 0;
    if (!started)
        core_start();
    started = true;
    if (size == 0 || size > BYTES_MAX)
        return 0;
    uint8_t how = *data++;
    size--;
    struct sim *s = sim_new(1);
    if (how & JOURNAL) {
        make_directory(s, !(how & NO_CHECKPOINT));
        memcpy(file, data, size);
        if (how & SEALED) {
            seal_segment(file, data, size, &number);
            size += XE_SEGMENT_RECORDS;
        }
        sim_put(s, DIR "/journal-0000000000000001", file, size);
        read_journal(sim_io(s), false);
        read_journal(sim_io(s), true);
    } else {
        memcpy(file, data, size);
        if (how & SEALED)
            seal_tablefile(file, size);
        sim_put(s, FILE_PATH, file, size);
        read_tablefile(sim_io(s), FILE_PATH, size);
    }
    sim_free(s);
    return 0;
}

#ifndef XE_LIBFUZZER
int main(int argc, char **argv)
{
    static uint8_t input[2000];
    uint32_t n = argc > 1 ? (uint32_t)atoi(argv[1]) : 4000;
    struct rng r = rng_for(2);
    while (n--) {
        size_t size = rng_below(&r, sizeof input);
        for (size_t i = 0; i < size; i++)
            input[i] = rng_chance(&r, 1, 2) ? (uint8_t)rng_below(&r, 8) : (uint8_t)rng_next(&r);
        LLVMFuzzerTestOneInput(input, size);
    }
    bool stopped = core_stop();
    puts(stopped ? "ok: fuzz_tablefile" : "not ok: fuzz_tablefile");
    return !stopped;
}
#endif
