/*
 * journal_read.c - what is in the directory of a table: names, segments, the replay.
 */
#include <errno.h>
#include <stdio.h>

#include "journal_format.h"

enum {
    WINDOW = 256 * 1024, /* bytes of a segment that are read in one go, or one record */
    STEP = 8,            /* records begin at multiples of it */
    LOCK_TRIES = 10,     /* of files that are removed meanwhile */
};

static const uint8_t magic[8] = {0x89, 'X', 'E', 'T', 'J', 0x0d, 0x0a, 0x1a};

void xe_segment_header(uint8_t *to, uint64_t number, uint64_t salt, uint64_t bytes,
                       const void *meta, size_t meta_bytes)
{
    memset(to, 0, XE_SEGMENT_RECORDS);
    memcpy(to, magic, sizeof magic);
    xe_store64(to + 8, XE_SEGMENT_VERSION);
    xe_store64(to + 16, salt);
    xe_store64(to + 24, number);
    xe_store64(to + 32, bytes);
    xe_store64(to + 40, meta_bytes);
    xe_store64(to + 48, xe_checksum(salt, meta, meta_bytes));
    xe_store64(to + 56, xe_checksum(salt, to, 56));
    memcpy(to + XE_SEGMENT_HEADER, meta, meta_bytes);
    memcpy(to + XE_SEGMENT_SECOND, to, XE_IO_SECTOR);
}

void xe_segment_mark(uint8_t *to, uint64_t salt, uint64_t last, uint64_t bytes)
{
    xe_store64(to, XE_MARK_TAG);
    xe_store64(to + 8, last);
    xe_store64(to + 16, bytes);
    xe_store64(to + 24, xe_checksum(salt, to, 24));
}

/* --- Names ------------------------------------------------------------------- */

static bool has_number(const char *name, const char *prefix, uint64_t *number)
{
    size_t n = strlen(prefix);
    *number = 0;
    if (strncmp(name, prefix, n) != 0 || strlen(name) != n + 16)
        return false;
    for (name += n; *name; name++) {
        const char *digits = "0123456789abcdef", *digit = strchr(digits, *name);
        if (!digit)
            return false;
        *number = *number << 4 | (uint64_t)(digit - digits);
    }
    return true;
}

enum xe_journal_name xe_journal_name(const char *name, uint64_t *number)
{
    char stem[XE_NAME_BYTES];
    size_t n = strlen(name);
    if (strcmp(name, "LOCK") == 0)
        return XE_NAME_LOCK;
    if (has_number(name, XE_PREFIX_CHECKPOINT, number))
        return XE_NAME_CHECKPOINT;
    if (has_number(name, XE_PREFIX_SEGMENT, number))
        return XE_NAME_SEGMENT;
    if (has_number(name, XE_PREFIX_SPARE, number))
        return XE_NAME_SPARE;
    if (n < 4 || n - 4 >= sizeof stem || strcmp(name + n - 4, XE_SUFFIX_NEW) != 0)
        return XE_NAME_OTHER;
    memcpy(stem, name, n - 4);
    stem[n - 4] = 0;
    return has_number(stem, XE_PREFIX_CHECKPOINT, number) ? XE_NAME_NEW : XE_NAME_OTHER;
}

char *xe_journal_path(const char *dir, const char *prefix, uint64_t number)
{
    char name[XE_NAME_BYTES];
    snprintf(name, sizeof name, "%s%016llx", prefix, (unsigned long long)number);
    return xe_io_join(dir, name);
}

char *xe_journal_checkpoint_path(const char *dir, uint64_t s)
{
    return xe_journal_path(dir, XE_PREFIX_CHECKPOINT, s);
}

char *xe_journal_segment_path(const char *dir, uint64_t n)
{
    return xe_journal_path(dir, XE_PREFIX_SEGMENT, n);
}

/* Adds a number in its place. */
static int add_number(struct xe_numbers *to, uint64_t number)
{
    if (to->n == to->cap) {
        uint32_t cap = 2 * to->cap + 16;
        uint64_t *more = xe_cb.alloc(cap * sizeof *more);
        if (!more)
            return ENOMEM;
        if (to->at) {
            memcpy(more, to->at, to->n * sizeof *more);
            xe_cb.free(to->at);
        }
        to->at = more;
        to->cap = cap;
    }
    uint32_t i = to->n++;
    for (; i > 0 && to->at[i - 1] > number; i--)
        to->at[i] = to->at[i - 1];
    to->at[i] = number;
    return 0;
}

static int see_name(void *arg, const char *name)
{
    struct xe_journal_listing *l = arg;
    uint64_t number;
    switch (xe_journal_name(name, &number)) {
    case XE_NAME_SEGMENT:
        return add_number(&l->segments, number);
    case XE_NAME_CHECKPOINT:
        return add_number(&l->checkpoints, number);
    case XE_NAME_SPARE:
        return add_number(&l->spares, number);
    case XE_NAME_NEW:
        return add_number(&l->news, number);
    case XE_NAME_OTHER:
        l->foreign = true;
        return 0;
    default:
        return 0;
    }
}

bool xe_journal_list(const struct xe_io *io, const char *dir, struct xe_journal_listing *out,
                     struct xe_io_error *error)
{
    *out = (struct xe_journal_listing){0};
    if (xe_io_list(io, dir, see_name, out, error))
        return true;
    xe_journal_listing_free(out);
    return false;
}

void xe_journal_listing_free(struct xe_journal_listing *l)
{
    struct xe_numbers *of[] = {&l->segments, &l->checkpoints, &l->spares, &l->news};
    for (int i = 0; i < 4; i++)
        if (of[i]->at)
            xe_cb.free(of[i]->at);
    *l = (struct xe_journal_listing){0};
}

/* --- One segment --------------------------------------------------------------- */

/* An open segment, and a window on its bytes. */
struct segment {
    struct xe_file *file;
    uint64_t number;
    uint64_t salt, bytes;
    uint64_t made; /* bytes that its header says */
    uint64_t used; /* bytes that the file has to have */
    uint8_t meta[XE_JOURNAL_META];
    size_t meta_bytes;
    bool marked;   /* it was closed, with `last` */
    uint64_t last;
    uint8_t *window;
    size_t room, len;
    uint64_t at; /* of the window */
};

struct record {
    uint64_t number, synced, n, check;
};

struct xe_replay {
    const struct xe_io *io;
    char *dir;
    struct xe_journal_listing files;
    struct xe_tablefile_reader *checkpoint;
    bool salvage;
    bool verifying;     /* V1 to V3 are asked for */
    bool verified;      /* the checkpoint is, as far as it was asked for */
    uint32_t checked;   /* segments, at the end */
    uint64_t s, number; /* S; V so far */
    uint32_t i;         /* the segment that is read */
    bool is_open;       /* it is open */
    struct segment segment;
    uint64_t offset;                /* in it, of the next record */
    uint64_t previous;              /* number of the last valid record in it, or 0 */
    uint64_t limit;                 /* numbers from there on belong to later segments (salvaging) */
    struct xe_replay_segment *ends; /* of each segment */
    uint64_t synced;                /* what records that count say, at most */
    uint64_t bytes;                 /* of the records that were returned */
    uint32_t stop;                  /* the segment in which V is, or the first */
    uint64_t stop_offset;
    struct xe_replay_lost lost;
    uint8_t meta[XE_JOURNAL_META];
    struct xe_replay_meta meta_of; /* without its bytes */
};

static bool damaged(const struct segment *s, uint64_t offset, const char *reason,
                    struct xe_io_error *error)
{
    return xe_io_fail(error, XE_IO_DAMAGED, XE_IO_READ, s->file->path, offset, reason);
}

static void segment_close(struct segment *s)
{
    struct xe_io_error ignored;
    xe_file_close(s->file, &ignored);
    if (s->window)
        xe_cb.free(s->window);
    *s = (struct segment){0};
}

/* Bytes of the segment; NULL: it has not that many there, or *error. */
static const uint8_t *bytes_at(struct segment *s, uint64_t at, uint64_t n,
                               struct xe_io_error *error)
{
    error->code = 0;
    if (at > s->bytes || n > s->bytes - at)
        return NULL;
    if (at >= s->at && at + n <= s->at + s->len)
        return s->window + (at - s->at);
    if (n > s->room) {
        size_t room = n > WINDOW ? (size_t)n : WINDOW;
        uint8_t *window = n > SIZE_MAX / 2 ? NULL : xe_cb.alloc(room);
        if (!window) {
            xe_io_no_memory(error, s->file->path);
            return NULL;
        }
        if (s->window)
            xe_cb.free(s->window);
        s->window = window;
        s->room = room;
    }
    s->at = at;
    s->len = 0;
    size_t want = s->room < s->bytes - at ? s->room : (size_t)(s->bytes - at);
    if (!xe_file_read(s->file, s->window, want, at, &s->len, error))
        return NULL;
    return s->len >= n ? s->window : NULL;
}

/* (S1), of the header at `at`. *version: it is a header, but of another one. */
static bool read_header(struct segment *s, uint64_t at, uint64_t number, bool *version,
                        struct xe_io_error *error)
{
    const uint8_t *h = bytes_at(s, at, XE_IO_SECTOR, error);
    if (!h || memcmp(h, magic, sizeof magic) != 0 ||
        xe_load64(h + 56) != xe_checksum(xe_load64(h + 16), h, 56))
        return false;
    *version = xe_load64(h + 8) != XE_SEGMENT_VERSION;
    if (*version || xe_load64(h + 40) > XE_JOURNAL_META)
        return false;
    s->salt = xe_load64(h + 16);
    s->made = s->used = xe_load64(h + 32);
    s->meta_bytes = (size_t)xe_load64(h + 40);
    memcpy(s->meta, h + XE_SEGMENT_HEADER, s->meta_bytes);
    return xe_load64(h + 24) == number &&
           xe_load64(h + 48) == xe_checksum(s->salt, s->meta, s->meta_bytes);
}

/* Afterwards, s->used is how many bytes the file has to have. */
static bool read_mark(struct segment *s, struct xe_io_error *error)
{
    const uint8_t *m = bytes_at(s, XE_SEGMENT_MARK, XE_SEGMENT_MARK_BYTES, error);
    if (m && xe_load64(m) == XE_MARK_TAG && xe_load64(m + 24) == xe_checksum(s->salt, m, 24)) {
        s->marked = true;
        s->last = xe_load64(m + 8);
        s->used = xe_load64(m + 16);
    }
    return error->code == 0;
}

static bool segment_begin(struct segment *s, uint64_t number, struct xe_io_error *error)
{
    bool version = false;
    if (!xe_file_size(s->file, &s->bytes, error))
        return false;
    if (!read_header(s, 0, number, &version, error)) {
        if (error->code)
            return false;
        if (!version && !read_header(s, XE_SEGMENT_SECOND, number, &version, error)) {
            if (error->code)
                return false;
            if (!version)
                return damaged(s, 0, "no valid header", error);
        }
    }
    if (version)
        return xe_io_fail(error, XE_IO_VERSION, XE_IO_READ, s->file->path, 8, "of another version");
    if (!read_mark(s, error))
        return false;
    return s->used <= s->bytes || damaged(s, s->bytes, "the file is too short", error);
}

static bool segment_open(struct xe_replay *r, struct segment *s, uint64_t number,
                         struct xe_io_error *error)
{
    *s = (struct segment){.number = number};
    char *path = xe_journal_segment_path(r->dir, number);
    if (!path)
        return xe_io_no_memory(error, r->dir);
    bool ok = xe_io_open(r->io, path, 0, &s->file, error);
    xe_cb.free(path);
    if (!ok)
        s->file = NULL;
    else if ((ok = segment_begin(s, number, error)) == false)
        segment_close(s);
    return ok;
}

/* (R1) to (R3), of a record at an offset. NULL: there is none, or error->code says what failed. */
static const uint8_t *record_at(struct segment *s, uint64_t at, struct record *out,
                                struct xe_io_error *error)
{
    const uint8_t *h = bytes_at(s, at, XE_UNIT_HEADER, error);
    if (!h || (xe_load64(h) & ~XE_UNIT_MAX) != XE_UNIT_TAG ||
        xe_load64(h + 32) != xe_checksum(s->salt, h, 32))
        return NULL;
    *out = (struct record){.n = xe_load64(h) & XE_UNIT_MAX,
                           .number = xe_load64(h + 8),
                           .synced = xe_load64(h + 16),
                           .check = xe_load64(h + 24)};
    if (out->number <= out->synced)
        return NULL;
    h = bytes_at(s, at, XE_UNIT_HEADER + out->n, error);
    if (!h || out->check != xe_checksum(s->salt, h + XE_UNIT_HEADER, (size_t)out->n))
        return NULL;
    return h + XE_UNIT_HEADER;
}

/* The next valid record from *at on, wherever it is; *at is its place then. *bytes grows by those
 * passed over that are not 0. */
static const uint8_t *find_record(struct segment *s, uint64_t *at, struct record *out,
                                  uint64_t *bytes, struct xe_io_error *error)
{
    for (; *at < s->bytes; *at += STEP) {
        const uint8_t *word = bytes_at(s, *at, STEP, error);
        if (error->code)
            return NULL;
        if (!word || xe_load64(word) == 0) /* as most are, behind the last record */
            continue;
        const uint8_t *found = record_at(s, *at, out, error);
        if (found || error->code)
            return found;
        *bytes += STEP;
    }
    return NULL;
}

bool xe_replay_lock(const struct xe_io *io, const char *dir, struct xe_file **lock,
                    struct xe_io_error *error)
{
    struct xe_io_error ignored;
    int code = ESTALE;
    char *path = xe_io_join(dir, "LOCK");
    *lock = NULL;
    if (!path)
        return xe_io_no_memory(error, dir);
    for (int i = 0; i < LOCK_TRIES && code == ESTALE; i++) {
        /* To be written, if that may be: on NFS nothing else can be locked like this. */
        if (!xe_io_open(io, path, XE_IO_WRITABLE, lock, &ignored) &&
            !xe_io_open(io, path, 0, lock, &ignored)) {
            *lock = NULL;
            code = 0;
            break;
        }
        code = xe_file_lock(io, *lock);
        if (code) {
            xe_file_close(*lock, &ignored);
            *lock = NULL;
        }
    }
    bool ok = code != EWOULDBLOCK && code != EAGAIN && code != ESTALE;
    if (!ok)
        xe_io_fail(error, XE_IO_LOCKED, XE_IO_LOCK, path, XE_IO_NOWHERE, NULL);
    xe_cb.free(path);
    return ok;
}

/* --- Opening --------------------------------------------------------------------- */

/* Whether salvaging passes a file over that could not be opened. What is of a later version may be
 * whole, and of what one may not read nobody knows. */
static bool is_lost(const struct xe_replay *r, const struct xe_io_error *error)
{
    return r->salvage && (error->code == XE_IO_DAMAGED || error->code == XE_IO_FOREIGN ||
                          error->code == EIO);
}

/* What a checkpoint has to be besides a valid file. */
static bool check_checkpoint(struct xe_replay *r, const char *path, struct xe_io_error *error)
{
    struct xe_tablefile_info info;
    xe_tablefile_info(r->checkpoint, &info);
    if (info.kind != XE_TABLEFILE_CHECKPOINT)
        return xe_io_fail(error, XE_IO_FOREIGN, XE_IO_READ, path, 12, "not a checkpoint");
    if (info.meta_bytes > XE_JOURNAL_META)
        return xe_io_fail(error, XE_IO_DAMAGED, XE_IO_READ, path, 24, "too long metadata");
    memcpy(r->meta, info.meta, info.meta_bytes);
    r->meta_of = (struct xe_replay_meta){.n = info.meta_bytes, .number = r->s};
    return true;
}

/* (C2), of one checkpoint. */
static bool open_checkpoint(struct xe_replay *r, uint64_t s, struct xe_io_error *error)
{
    char *path = xe_journal_checkpoint_path(r->dir, s);
    if (!path)
        return xe_io_no_memory(error, r->dir);
    r->s = s;
    r->checkpoint = xe_tablefile_open(r->io, path, error);
    if (!r->checkpoint && is_lost(r, error)) {
        struct xe_io_error again;
        r->checkpoint = xe_tablefile_open_from_end(r->io, path, &again);
        if (!r->checkpoint && !is_lost(r, &again))
            *error = again;
    }
    bool ok = r->checkpoint && check_checkpoint(r, path, error);
    xe_cb.free(path);
    if (!ok) {
        xe_tablefile_close(r->checkpoint);
        r->checkpoint = NULL;
        r->s = 0;
    }
    return ok;
}

/* Salvaging: what the table is, from the last segment that says it. *error stays as it is if none
 * does. */
static bool ask_segments(struct xe_replay *r, struct xe_io_error *error)
{
    for (uint32_t i = r->files.segments.n; i-- > 0;) {
        struct xe_io_error opening;
        struct segment s;
        if (segment_open(r, &s, r->files.segments.at[i], &opening)) {
            memcpy(r->meta, s.meta, s.meta_bytes);
            r->meta_of = (struct xe_replay_meta){
                .n = s.meta_bytes, .of_segment = true, .number = s.number};
            segment_close(&s);
            return true;
        }
        if (!is_lost(r, &opening)) {
            *error = opening;
            return false;
        }
    }
    return false;
}

static bool open_checkpoints(struct xe_replay *r, struct xe_io_error *error)
{
    const struct xe_numbers *c = &r->files.checkpoints;
    if (c->n == 0 && r->files.segments.n == 0)
        return xe_io_fail(error, XE_IO_NO_TABLE, XE_IO_LIST, r->dir, XE_IO_NOWHERE, NULL);
    if (c->n == 0)
        xe_io_fail(error, XE_IO_DAMAGED, XE_IO_LIST, r->dir, XE_IO_NOWHERE,
                   "there is no checkpoint");
    for (uint32_t i = c->n; i-- > 0;) {
        if (open_checkpoint(r, c->at[i], error))
            return true;
        if (!is_lost(r, error))
            return false;
        r->lost.checkpoint = true;
    }
    r->lost.checkpoint = true;
    return r->salvage && ask_segments(r, error);
}

static bool replay_begin(struct xe_replay *r, struct xe_io_error *error)
{
    if (!xe_journal_list(r->io, r->dir, &r->files, error) || !open_checkpoints(r, error))
        return false;
    r->number = r->s;
    r->stop_offset = XE_SEGMENT_RECORDS;
    r->ends = xe_cb.alloc((r->files.segments.n + 1) * sizeof *r->ends);
    if (!r->ends)
        return xe_io_no_memory(error, r->dir);
    for (uint32_t i = 0; i < r->files.segments.n; i++)
        r->ends[i] = (struct xe_replay_segment){.end = XE_SEGMENT_RECORDS};
    return true;
}

struct xe_replay *xe_replay_open(const struct xe_io *io, const char *dir, bool salvage,
                                 struct xe_io_error *error)
{
    struct xe_replay *r = xe_cb.alloc(sizeof *r);
    size_t n = strlen(dir) + 1;
    if (!r) {
        xe_io_no_memory(error, dir);
        return NULL;
    }
    *r = (struct xe_replay){.io = io, .salvage = salvage, .dir = xe_cb.alloc(n)};
    if (!r->dir) {
        xe_io_no_memory(error, dir);
    } else {
        memcpy(r->dir, dir, n);
        if (replay_begin(r, error))
            return r;
    }
    xe_replay_close(r);
    return NULL;
}

void xe_replay_close(struct xe_replay *r)
{
    if (!r)
        return;
    if (r->is_open)
        segment_close(&r->segment);
    xe_tablefile_close(r->checkpoint);
    xe_journal_listing_free(&r->files);
    if (r->ends)
        xe_cb.free(r->ends);
    if (r->dir)
        xe_cb.free(r->dir);
    xe_cb.free(r);
}

struct xe_tablefile_reader *xe_replay_checkpoint(struct xe_replay *r, uint64_t *s)
{
    *s = r->s;
    return r->checkpoint;
}

void xe_replay_meta(const struct xe_replay *r, struct xe_replay_meta *out)
{
    *out = r->meta_of;
    out->bytes = r->meta;
}

uint64_t xe_replay_number(const struct xe_replay *r)
{
    return r->number;
}

void xe_replay_lost(const struct xe_replay *r, struct xe_replay_lost *out)
{
    *out = r->lost;
}

void xe_replay_outcome(const struct xe_replay *r, struct xe_replay_outcome *out)
{
    uint32_t n = r->files.segments.n;
    *out = (struct xe_replay_outcome){.files = &r->files,
                                      .needed = n == 0 || r->salvage ? n : r->stop + 1,
                                      .ends = r->ends,
                                      .synced = r->synced,
                                      .bytes = r->bytes};
}

/* --- The end: whether more was there once ------------------------------------------ */

static bool was_lost(const struct xe_replay *r, const char *reason, struct xe_io_error *error)
{
    char *path = xe_journal_path(r->dir, XE_PREFIX_SEGMENT, r->files.segments.at[r->stop]);
    if (!path)
        return xe_io_no_memory(error, r->dir);
    xe_io_fail(error, XE_IO_DAMAGED, XE_IO_READ, path, r->stop_offset, reason);
    xe_cb.free(path);
    return false;
}

static const char closed_had[] = "changes are missing that a closed segment had";
static const char were_synced[] = "changes are missing that were on the disk";

/* (V1), but for what is behind records. */
static bool check_beginning(struct segment *s, const struct xe_replay_segment *read,
                            struct xe_io_error *error)
{
    uint8_t expected[XE_SEGMENT_RECORDS], mark[XE_SEGMENT_MARK_BYTES];
    uint64_t at = XE_SEGMENT_MARK;
    const uint8_t *found = bytes_at(s, 0, sizeof expected, error);
    if (!found)
        return error->code == 0 && damaged(s, s->bytes, "the file is too short", error);
    xe_segment_header(expected, s->number, s->salt, s->made, s->meta, s->meta_bytes);
    if (s->marked) {
        xe_segment_mark(expected + at, s->salt, s->last, s->used);
    } else {
        xe_segment_mark(mark, s->salt, read->last, read->end);
        for (size_t i = 0; i < sizeof mark && found[at + i] == mark[i]; i++)
            expected[at + i] = mark[i];
    }
    for (at = 0; at < sizeof expected && found[at] == expected[at];)
        at++;
    if (at < sizeof expected)
        return damaged(s, at, "not the byte that was written here", error);
    return s->bytes <= s->made || damaged(s, s->made, "the file is too long", error);
}

/* (C3), and (V3), of one segment, from where its records that count end. */
static bool check_behind(struct xe_replay *r, struct segment *s,
                         const struct xe_replay_segment *read, struct xe_io_error *error)
{
    struct record found;
    /* The first number that is missing before the record that was found, in this segment: of those
     * before the first one nobody knows but the last. */
    uint64_t missing = UINT64_MAX, hole = 0, last = read->last, ignored = 0;
    for (uint64_t from = read->end, at = from; find_record(s, &at, &found, &ignored, error);) {
        if (found.synced > r->number)
            return was_lost(r, were_synced, error);
        if (at > from && missing == UINT64_MAX) {
            missing = last ? last + 1 : found.number - 1;
            hole = from;
        }
        if (r->verifying && found.synced >= missing)
            return damaged(s, hole, were_synced, error);
        last = found.number;
        from = at += xe_unit_bytes(found.n);
    }
    return error->code == 0;
}

/* All that is asked for when the state is known, of one segment. */
static bool check_rest(struct xe_replay *r, struct segment *s,
                       const struct xe_replay_segment *read, struct xe_io_error *error)
{
    if (r->verifying && !check_beginning(s, read, error))
        return false;
    if (s->marked && s->last > r->number) /* (C4) */
        return was_lost(r, closed_had, error);
    if (r->verifying && s->marked && s->last != read->last) /* (V2) */
        return damaged(s, read->end, closed_had, error);
    return check_behind(r, s, read, error);
}

/* Of the next segment. */
static enum xe_replay_status check_next(struct xe_replay *r, struct xe_io_error *error)
{
    struct segment s;
    if (r->checked == r->files.segments.n)
        return XE_REPLAY_END;
    if (!segment_open(r, &s, r->files.segments.at[r->checked], error))
        return XE_REPLAY_FAILED;
    bool ok = check_rest(r, &s, &r->ends[r->checked], error);
    segment_close(&s);
    r->checked += ok;
    return ok ? XE_REPLAY_MORE : XE_REPLAY_FAILED;
}

/* --- Replaying ----------------------------------------------------------------------- */

/* Salvaging: the number of the first record of the segments behind the i-th. */
static uint64_t first_behind(struct xe_replay *r, uint32_t i)
{
    uint64_t first = UINT64_MAX;
    while (++i < r->files.segments.n) {
        struct xe_io_error ignored;
        struct record found;
        struct segment s;
        uint64_t at = XE_SEGMENT_RECORDS, bytes = 0;
        if (!segment_open(r, &s, r->files.segments.at[i], &ignored))
            continue;
        if (find_record(&s, &at, &found, &bytes, &ignored) && found.number < first)
            first = found.number;
        segment_close(&s);
    }
    return first;
}

/* Opens the segment that is to be read. False: *error, or (error->code is 0) it is passed over. */
static bool enter_segment(struct xe_replay *r, struct xe_io_error *error)
{
    error->code = 0;
    if (!segment_open(r, &r->segment, r->files.segments.at[r->i], error)) {
        if (!is_lost(r, error))
            return false;
        r->lost.segments++;
        r->i++;
        error->code = 0;
        return false;
    }
    r->is_open = true;
    r->offset = XE_SEGMENT_RECORDS;
    r->previous = 0;
    r->ends[r->i].closed = r->segment.marked;
    r->limit = r->salvage ? first_behind(r, r->i) : UINT64_MAX;
    return true;
}

static void leave_segment(struct xe_replay *r)
{
    segment_close(&r->segment);
    r->is_open = false;
    r->i++;
}

/* (V1), behind a record. The window may be another one then, in the same place. */
static bool check_padding(struct segment *s, uint64_t at, const struct record *record,
                          struct xe_io_error *error)
{
    uint64_t end = at + xe_unit_bytes(record->n);
    for (at += XE_UNIT_HEADER + record->n; at < end; at++) {
        const uint8_t *byte = bytes_at(s, at, 1, error);
        if (!byte)
            return error->code == 0 && damaged(s, s->bytes, "the file is too short", error);
        if (*byte != 0)
            return damaged(s, at, "not the byte that was written here", error);
    }
    return true;
}

/* The next record of the open segment that counts; NULL: there is none, or error->code. */
static const uint8_t *next_record(struct xe_replay *r, struct record *out,
                                  struct xe_io_error *error)
{
    const uint8_t *bytes;
    if (r->salvage)
        bytes = find_record(&r->segment, &r->offset, out, &r->lost.bytes, error);
    else
        bytes = record_at(&r->segment, r->offset, out, error);
    if (!bytes || (!r->salvage && r->previous && out->number != r->previous + 1))
        return NULL;
    if (r->verifying && !check_padding(&r->segment, r->offset, out, error))
        return NULL;
    r->previous = out->number;
    r->offset += xe_unit_bytes(out->n);
    if (!r->salvage) {
        r->ends[r->i].end = r->offset;
        r->ends[r->i].last = out->number;
        r->synced = out->synced > r->synced ? out->synced : r->synced;
    }
    return bytes;
}

/* Whether a record that counts is the next change; the end of all, if there is a gap before it. */
static bool is_next(struct xe_replay *r, const struct record *record)
{
    if (record->number <= r->number)
        return false;
    if (!r->salvage) {
        if (record->number > r->number + 1) {
            r->ends[r->i].end = XE_SEGMENT_RECORDS; /* what it says is heard at the end */
            leave_segment(r);
            r->i = r->files.segments.n;
            return false;
        }
    } else if (record->number >= r->limit) {
        return false;
    }
    r->lost.changes += record->number - r->number - 1;
    r->number = record->number;
    r->stop = r->i;
    r->stop_offset = r->offset;
    r->bytes += xe_unit_bytes(record->n);
    return true;
}

/* After salvaging: a checkpoint of the state to come must not be older than one that is no good. */
static void outnumber(struct xe_replay *r)
{
    const struct xe_numbers *c = &r->files.checkpoints;
    if (c->n && r->number < c->at[c->n - 1]) {
        r->lost.changes += c->at[c->n - 1] - r->number;
        r->number = c->at[c->n - 1];
    }
}

enum xe_replay_status xe_replay_next(struct xe_replay *r, struct xe_replay_unit *out,
                                     struct xe_io_error *error)
{
    struct record record;
    const uint8_t *bytes;
    if (r->i == r->files.segments.n) {
        if (!r->salvage)
            return check_next(r, error);
        outnumber(r);
        return XE_REPLAY_END;
    }
    if (!r->is_open && !enter_segment(r, error))
        return error->code ? XE_REPLAY_FAILED : XE_REPLAY_MORE;
    while (r->is_open && (bytes = next_record(r, &record, error)) != NULL) {
        if (is_next(r, &record)) {
            *out = (struct xe_replay_unit){record.number, bytes, (size_t)record.n,
                                           r->segment.number,
                                           r->offset - xe_unit_bytes(record.n) + XE_UNIT_HEADER};
            return XE_REPLAY_UNIT;
        }
    }
    if (r->is_open && error->code)
        return XE_REPLAY_FAILED;
    if (r->is_open)
        leave_segment(r);
    return XE_REPLAY_MORE;
}

/* --- Verifying ------------------------------------------------------------------------- */

/* The next block of the checkpoint; *bytes: of it. */
static enum xe_replay_status verify_block(struct xe_replay *r, uint64_t *bytes,
                                          struct xe_io_error *error)
{
    struct xe_tablefile_block block;
    enum xe_tablefile_status status = xe_tablefile_next(r->checkpoint, &block, error);
    *bytes = status == XE_TABLEFILE_OK ? (uint64_t)(block.end - block.at) : 0;
    r->verified = status == XE_TABLEFILE_LAST;
    return status == XE_TABLEFILE_FAILED ? XE_REPLAY_FAILED : XE_REPLAY_MORE;
}

enum xe_replay_status xe_replay_verify(struct xe_replay *r, struct xe_io_error *error)
{
    struct xe_replay_unit unit;
    r->verifying = true;
    for (uint64_t left = XE_REPLAY_VERIFY, bytes; left > 0; left -= left < bytes ? left : bytes) {
        enum xe_replay_status status;
        if (!r->verified) {
            status = verify_block(r, &bytes, error);
        } else {
            status = xe_replay_next(r, &unit, error);
            bytes = status == XE_REPLAY_UNIT ? xe_unit_bytes(unit.n) : XE_REPLAY_VERIFY;
        }
        if (status == XE_REPLAY_FAILED || status == XE_REPLAY_END)
            return status;
    }
    return XE_REPLAY_MORE;
}
