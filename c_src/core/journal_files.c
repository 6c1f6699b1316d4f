/*
 * journal_files.c - see journal_files.h.
 *
 * The order of what is done to a segment is what makes journal.h's "a segment that is not valid is
 * damaged" true: it is written and synced under another name, and a file that is used again is out
 * of sight, on the disk, too, before it is overwritten.
 */
#include "journal_files.h"

#include <errno.h>

enum {
    ZEROS = 64 * 1024,
    FIRST_BYTES = 1 << 20, /* of the first segment that is begun, if the others are larger */
};

static const uint8_t zeros[ZEROS];

/* --- Names -------------------------------------------------------------------- */

/* The path of a file, with its number; false: out of memory. */
static bool path_of(const struct xe_journal_files *f, const char *prefix, uint64_t number,
                    char **out, struct xe_io_error *error)
{
    *out = xe_journal_path(f->dir, prefix, number);
    return *out || xe_io_no_memory(error, f->dir);
}

static bool rename_as(struct xe_journal_files *f, const char *from, uint64_t from_number,
                      const char *to, uint64_t to_number, struct xe_io_error *error)
{
    char *a, *b = NULL;
    bool ok = path_of(f, from, from_number, &a, error) && path_of(f, to, to_number, &b, error) &&
              xe_io_rename(f->io, a, b, error) && xe_io_sync_dir(f->io, f->dir, error);
    if (a)
        xe_cb.free(a);
    if (b)
        xe_cb.free(b);
    return ok;
}

static bool remove_one(const struct xe_io *io, const char *dir, const char *prefix,
                       const char *suffix, uint64_t number, struct xe_io_error *error)
{
    char *path = xe_journal_path(dir, prefix, number), *whole = path;
    if (path && *suffix) {
        size_t n = strlen(path), more = strlen(suffix) + 1;
        whole = xe_cb.alloc(n + more);
        if (whole) {
            memcpy(whole, path, n);
            memcpy(whole + n, suffix, more);
        }
    }
    bool ok = whole ? xe_io_unlink(io, whole, error) : xe_io_no_memory(error, dir);
    if (whole && whole != path)
        xe_cb.free(whole);
    if (path)
        xe_cb.free(path);
    return ok;
}

bool xe_files_remove(const struct xe_io *io, const char *dir, const char *prefix,
                     const char *suffix, const struct xe_numbers *numbers, uint32_t from,
                     uint32_t to, struct xe_io_error *error)
{
    for (uint32_t i = from; i < to; i++)
        if (!remove_one(io, dir, prefix, suffix, numbers->at[i], error))
            return false;
    return true;
}

bool xe_files_lock(struct xe_journal_files *f, struct xe_io_error *error)
{
    char *path = xe_io_join(f->dir, "LOCK");
    if (!path)
        return xe_io_no_memory(error, f->dir);
    bool ok = xe_io_lock(f->io, path, &f->lock, &f->made_lock, error);
    if (!ok)
        f->lock = NULL;
    xe_cb.free(path);
    return ok;
}

/* Who has opened the file meanwhile finds, having locked it, that it is not there any more
 * (xe_io_lock()). */
void xe_files_unmake_lock(struct xe_journal_files *f)
{
    struct xe_io_error ignored;
    if (f->lock && f->made_lock)
        xe_io_unlink(f->io, f->lock->path, &ignored);
}

void xe_files_close(struct xe_journal_files *f)
{
    struct xe_io_error ignored;
    xe_file_close(f->current.file, &ignored);
    xe_file_close(f->spare.file, &ignored);
    xe_file_close(f->unsynced, &ignored);
    xe_file_close(f->lock, &ignored);
    if (f->full)
        xe_cb.free(f->full);
    if (f->dir)
        xe_cb.free(f->dir);
    *f = (struct xe_journal_files){0};
}

/* --- Making segments ------------------------------------------------------------- */

/* Room on the disk that has been written once: a sync need not write where it is then. */
static bool fill(struct xe_file *file, uint64_t bytes, struct xe_io_error *error)
{
    if (!xe_file_allocate(file, bytes, error))
        return false;
    for (uint64_t at = 0; at < bytes; at += ZEROS) {
        size_t n = bytes - at < ZEROS ? (size_t)(bytes - at) : ZEROS;
        if (!xe_file_write(file, zeros, n, at, error))
            return false;
    }
    return true;
}

static bool write_header(const struct xe_journal_files *f, struct xe_segment_file *s,
                         struct xe_io_error *error)
{
    uint8_t header[XE_SEGMENT_RECORDS];
    xe_segment_header(header, s->number, s->salt, s->bytes, f->meta, f->meta_bytes);
    return xe_file_write(s->file, header, sizeof header, 0, error) &&
           xe_file_sync(s->file, false, error);
}

/* Opens spare-`number`: one that is used again, or a new one of zeros. */
static bool open_spare(struct xe_journal_files *f, struct xe_segment_file *s, uint64_t number,
                       bool again, struct xe_io_error *error)
{
    char *path;
    unsigned flags = XE_IO_WRITABLE | (again ? 0 : XE_IO_CREATE | XE_IO_EMPTY);
    if (!path_of(f, XE_PREFIX_SPARE, number, &path, error))
        return false;
    bool ok = xe_io_open(f->io, path, flags, &s->file, error);
    if (!ok)
        s->file = NULL;
    xe_cb.free(path);
    return ok && (again || fill(s->file, s->bytes, error)) && write_header(f, s, error);
}

/* The bytes of a new segment: opening a table, which waits for the first one, shall not take long. */
static uint64_t bytes_of_next(struct xe_journal_files *f, uint64_t least)
{
    uint64_t bytes = f->grown ? 2 * f->grown : FIRST_BYTES;
    bytes = bytes < f->segment_bytes ? bytes : f->segment_bytes;
    return bytes > least ? bytes : least;
}

/* The same, with no less than `least` bytes: a disk that is nearly full may have room for what there is
 * to write, if not for a segment of the size that it was to have. False: there is no such file. */
static bool make_spare(struct xe_journal_files *f, struct xe_segment_file *s, uint64_t number,
                       bool again, uint64_t least, struct xe_io_error *error)
{
    struct xe_io_error ignored;
    while (!open_spare(f, s, number, again, error)) {
        xe_file_close(s->file, &ignored);
        s->file = NULL; /* the next try may fail before it opens one */
        remove_one(f->io, f->dir, XE_PREFIX_SPARE, "", number, &ignored);
        bool is_full = error->code == ENOSPC || error->code == EDQUOT;
        if (again || !is_full || s->bytes == least)
            return false;
        s->bytes = s->bytes / 2 > least ? s->bytes / 2 : least;
    }
    return true;
}

bool xe_files_prepare(struct xe_journal_files *f, uint64_t record_bytes, struct xe_io_error *error)
{
    if (f->spare.file)
        return true;
    uint64_t bytes = XE_SEGMENT_RECORDS + record_bytes;
    bool again = f->reusable && bytes <= f->segment_bytes;
    uint64_t from = again ? f->reusable : f->next;
    struct xe_segment_file s = {.number = f->next,
                                .salt = f->io->random(f->io),
                                .bytes = again ? f->segment_bytes : bytes_of_next(f, bytes),
                                .offset = XE_SEGMENT_RECORDS};
    struct xe_io_error ignored;
    bool made = make_spare(f, &s, from, again, bytes, error);
    /* Whatever has become of it, it is not used once more. */
    if (again)
        f->reusable = 0;
    if (!made)
        return false;
    if (!rename_as(f, XE_PREFIX_SPARE, from, XE_PREFIX_SEGMENT, s.number, error)) {
        xe_file_close(s.file, &ignored);
        remove_one(f->io, f->dir, XE_PREFIX_SPARE, "", from, &ignored);
        return false;
    }
    f->spare = s;
    f->grown = s.bytes;
    f->next++;
    return true;
}

/* Room for one more in f->full. */
static bool make_room(struct xe_journal_files *f, struct xe_io_error *error)
{
    if (f->n_full < f->cap_full)
        return true;
    uint32_t cap = 2 * f->cap_full + 16;
    struct xe_segment_full *full = xe_cb.alloc(cap * sizeof *full);
    if (!full)
        return xe_io_no_memory(error, f->dir);
    if (f->full) {
        memcpy(full, f->full, f->n_full * sizeof *full);
        xe_cb.free(f->full);
    }
    f->full = full;
    f->cap_full = cap;
    return true;
}

/* The segment before the last is synced here at the latest, so that at most two are not. */
bool xe_files_rotate(struct xe_journal_files *f, uint64_t record_bytes, uint64_t last,
                     struct xe_io_error *error)
{
    struct xe_io_error ignored;
    if (!make_room(f, error) || !xe_files_prepare(f, record_bytes, error))
        return false;
    if (f->unsynced && !xe_file_sync(f->unsynced, true, error))
        return false;
    xe_file_close(f->unsynced, &ignored);
    f->unsynced = f->current.file;
    if (f->current.file)
        f->full[f->n_full++] = (struct xe_segment_full){f->current.number, last};
    f->current = f->spare;
    f->spare = (struct xe_segment_file){0};
    return true;
}

bool xe_files_sync(struct xe_journal_files *f, struct xe_io_error *error)
{
    struct xe_io_error ignored;
    if (f->unsynced && !xe_file_sync(f->unsynced, true, error))
        return false;
    xe_file_close(f->unsynced, &ignored);
    f->unsynced = NULL;
    return xe_file_sync(f->current.file, true, error);
}

bool xe_files_finish(struct xe_journal_files *f, uint64_t last, struct xe_io_error *error)
{
    uint8_t mark[XE_SEGMENT_MARK_BYTES];
    struct xe_segment_file *s = &f->current;
    bool ok = true;
    if (f->spare.file)
        ok = remove_one(f->io, f->dir, XE_PREFIX_SEGMENT, "", f->spare.number, error);
    if (f->reusable)
        ok = remove_one(f->io, f->dir, XE_PREFIX_SPARE, "", f->reusable, error) && ok;
    if (!ok)
        return false;
    if (s->offset == XE_SEGMENT_RECORDS) /* nothing was written to it */
        return remove_one(f->io, f->dir, XE_PREFIX_SEGMENT, "", s->number, error);
    xe_segment_mark(mark, s->salt, last, s->offset);
    return xe_file_write(s->file, mark, sizeof mark, XE_SEGMENT_MARK, error) &&
           xe_file_sync(s->file, true, error) && xe_file_truncate(s->file, s->offset, error) &&
           xe_file_sync(s->file, false, error);
}

/* --- Segments that are not needed any more ------------------------------------------ */

/* Puts a segment aside to be used again, if one is wanted and it has the right size. */
static bool reuse(struct xe_journal_files *f, uint64_t number, bool *done,
                  struct xe_io_error *error)
{
    struct xe_file *file;
    struct xe_io_error ignored;
    uint64_t bytes = 0;
    char *path;
    *done = false;
    if (f->reusable)
        return true;
    if (!path_of(f, XE_PREFIX_SEGMENT, number, &path, error))
        return false;
    bool ok = xe_io_open(f->io, path, 0, &file, error);
    xe_cb.free(path);
    if (!ok) { /* an earlier attempt may have got as far as to its other name */
        *done = error->code == ENOENT;
        return *done;
    }
    ok = xe_file_size(file, &bytes, error);
    xe_file_close(file, &ignored);
    if (!ok || bytes != f->segment_bytes)
        return ok;
    *done = true;
    if (!rename_as(f, XE_PREFIX_SEGMENT, number, XE_PREFIX_SPARE, number, error))
        return false;
    f->reusable = number;
    return true;
}

static bool trim_checkpoints(struct xe_journal_files *f, uint64_t s, struct xe_io_error *error)
{
    struct xe_journal_listing l;
    uint32_t n = 0;
    if (!xe_journal_list(f->io, f->dir, &l, error))
        return false;
    while (n < l.checkpoints.n && l.checkpoints.at[n] < s)
        n++;
    bool ok = xe_files_remove(f->io, f->dir, XE_PREFIX_CHECKPOINT, "", &l.checkpoints, 0, n, error);
    xe_journal_listing_free(&l);
    return ok;
}

bool xe_files_trim(struct xe_journal_files *f, uint64_t s, struct xe_io_error *error)
{
    uint32_t n = 0;
    bool ok = true, done;
    while (ok && n < f->n_full && f->full[n].last <= s) {
        uint64_t number = f->full[n].number;
        ok = reuse(f, number, &done, error) &&
             (done || remove_one(f->io, f->dir, XE_PREFIX_SEGMENT, "", number, error));
        n += ok;
    }
    memmove(f->full, f->full + n, (f->n_full - n) * sizeof *f->full);
    f->n_full -= n;
    return ok && trim_checkpoints(f, s, error);
}

/* --- After a replay ------------------------------------------------------------------- */

/*
 * What was read may have been in the system's memory only, even after a sync: the last one may have
 * failed, and then nobody writes those bytes any more (D4). What is acknowledged from now on stands
 * on them. So they are written once more, over themselves, and synced, unless a record says, or a
 * mark, that a sync of them had succeeded.
 */
static bool write_again(struct xe_file *file, uint64_t end, struct xe_io_error *error)
{
    uint8_t *bytes = xe_cb.alloc(ZEROS);
    if (!bytes)
        return xe_io_no_memory(error, file->path);
    bool ok = true;
    for (uint64_t at = XE_SEGMENT_RECORDS; ok && at < end;) {
        size_t n = end - at < ZEROS ? (size_t)(end - at) : ZEROS, got;
        ok = xe_file_read(file, bytes, n, at, &got, error) &&
             (got == n || xe_io_fail(error, XE_IO_DAMAGED, XE_IO_READ, file->path, at + got,
                                     "the file ends too early"));
        ok = ok && xe_file_write(file, bytes, n, at, error);
        at += n;
    }
    xe_cb.free(bytes);
    return ok;
}

static bool make_safe(struct xe_journal_files *f, uint64_t number,
                      const struct xe_replay_segment *read, uint64_t synced,
                      struct xe_io_error *error)
{
    struct xe_file *file;
    struct xe_io_error ignored;
    char *path;
    if (read->closed || read->last <= synced)
        return true;
    if (!path_of(f, XE_PREFIX_SEGMENT, number, &path, error))
        return false;
    bool ok = xe_io_open(f->io, path, XE_IO_WRITABLE, &file, error);
    xe_cb.free(path);
    if (!ok)
        return false;
    ok = write_again(file, read->end, error) && xe_file_sync(file, false, error);
    xe_file_close(file, &ignored);
    return ok;
}

/* All of this is on the disk when the next segment has got its name: that syncs the directory. */
static bool remove_rest(struct xe_journal_files *f, const struct xe_replay_outcome *o,
                        struct xe_io_error *error)
{
    const struct xe_journal_listing *l = o->files;
    return xe_files_remove(f->io, f->dir, XE_PREFIX_SEGMENT, "", &l->segments, o->needed,
                           l->segments.n, error) &&
           xe_files_remove(f->io, f->dir, XE_PREFIX_SPARE, "", &l->spares, 0, l->spares.n, error) &&
           xe_files_remove(f->io, f->dir, XE_PREFIX_CHECKPOINT, XE_SUFFIX_NEW, &l->news, 0,
                           l->news.n, error);
}

bool xe_files_begin(struct xe_journal_files *f, const struct xe_replay *r,
                    struct xe_io_error *error)
{
    struct xe_replay_outcome o;
    struct xe_replay_meta meta;
    xe_replay_outcome(r, &o);
    xe_replay_meta(r, &meta);
    memcpy(f->meta, meta.bytes, meta.n);
    f->meta_bytes = meta.n;
    const struct xe_numbers *segments = &o.files->segments;
    for (uint32_t i = 0; i < o.needed; i++) {
        if (!make_room(f, error) || !make_safe(f, segments->at[i], &o.ends[i], o.synced, error))
            return false;
        f->full[f->n_full++] = (struct xe_segment_full){segments->at[i], xe_replay_number(r)};
    }
    f->next = segments->n ? segments->at[segments->n - 1] + 1 : 1;
    return remove_rest(f, &o, error) && xe_files_rotate(f, 0, xe_replay_number(r), error);
}
