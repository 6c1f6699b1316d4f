/*
 * tablefile.c - see tablefile.h, which has the format.
 */
#include "tablefile.h"

#include <errno.h>

#include "checksum.h"

enum {
    HEADER = XE_TABLEFILE_HEADER,
    FRAME = XE_TABLEFILE_FRAME,
    END = XE_TABLEFILE_END,
    BLOCK = XE_TABLEFILE_BLOCK,
    VERSION = 2,
    TAG_DATA = 'D' | 'A' << 8 | 'T' << 16 | 'A' << 24,
    TAG_HUGE = 'H' | 'U' << 8 | 'G' << 16 | 'E' << 24,
    TAG_LAST = 'L' | 'A' << 8 | 'S' << 16 | 'T' << 24,
    COUNTS = END - HEADER, /* bytes of the end before what it has once more */
    LENGTH = 4,        /* bytes before each record of a block */
    LARGE = BLOCK / 2, /* a record of more has a block of its own */
    PAGE = 4096,       /* what is given up together where the disk does not read */
};

/* Its first byte has the highest bit, and line ends follow: a transfer as text changes it. */
static const uint8_t magic[8] = {0x89, 'X', 'E', 'T', 'S', 0x0d, 0x0a, 0x1a};

struct frame {
    uint32_t tag, records;
    uint64_t bytes, number, check;
};

static void frame_put(uint8_t *to, const struct frame *f, uint64_t salt)
{
    xe_store32(to, f->tag);
    xe_store32(to + 4, f->records);
    xe_store64(to + 8, f->bytes);
    xe_store64(to + 16, f->number);
    xe_store64(to + 24, f->check);
    xe_store64(to + 32, xe_checksum(salt, to, 32));
}

/* False: not a frame (B1). */
static bool frame_get(struct frame *f, const uint8_t *from, uint64_t salt)
{
    *f = (struct frame){xe_load32(from), xe_load32(from + 4), xe_load64(from + 8),
                        xe_load64(from + 16), xe_load64(from + 24)};
    return (f->tag == TAG_DATA || f->tag == TAG_HUGE || f->tag == TAG_LAST) &&
           xe_load64(from + 32) == xe_checksum(salt, from, 32);
}

/* --- Writing ----------------------------------------------------------------- */

struct xe_tablefile_writer {
    const struct xe_io *io;
    struct xe_tablefile_options options;
    char *path, *written_as; /* the same, unless the file is renamed at its end */
    struct xe_file *file;
    uint64_t salt, offset, chain;
    uint64_t records, blocks; /* written; without those of the block that is being filled */
    uint8_t *end;             /* what the end has behind its frame */
    size_t end_bytes;
    uint8_t *block;           /* a frame, and what follows it */
    size_t room, used;        /* behind the frame */
    uint32_t filled;          /* records in the block */
    bool huge;                /* the block is one large record */
};

static void writer_free(struct xe_tablefile_writer *w)
{
    struct xe_io_error ignored;
    xe_file_close(w->file, &ignored);
    if (w->written_as && w->written_as != w->path)
        xe_cb.free(w->written_as);
    if (w->path)
        xe_cb.free(w->path);
    if (w->end)
        xe_cb.free(w->end);
    if (w->block)
        xe_cb.free(w->block);
    xe_cb.free(w);
}

static char *copy_path(const char *path, const char *suffix)
{
    size_t n = strlen(path), more = strlen(suffix) + 1;
    char *copy = xe_cb.alloc(n + more);
    if (!copy)
        return NULL;
    memcpy(copy, path, n);
    memcpy(copy + n, suffix, more);
    return copy;
}

static bool write_header(struct xe_tablefile_writer *w, const void *meta, size_t n,
                         struct xe_io_error *error)
{
    w->offset = HEADER + n;
    w->end_bytes = END + n;
    w->end = xe_cb.alloc(w->end_bytes);
    if (!w->end)
        return xe_io_no_memory(error, w->path);
    uint8_t *header = w->end + COUNTS + n;
    struct iovec v[2] = {{header, HEADER}, {w->end + COUNTS, n}};
    if (n > 0)
        memcpy(w->end + COUNTS, meta, n);
    memset(header, 0, HEADER);
    memcpy(header, magic, sizeof magic);
    xe_store32(header + 8, VERSION);
    xe_store32(header + 12, w->options.kind);
    xe_store64(header + 16, w->salt);
    xe_store64(header + 24, n);
    xe_store64(header + 32, xe_checksum(w->salt, meta, n));
    xe_store64(header + 56, xe_checksum(w->salt, header, 56));
    return xe_file_writev(w->file, v, 2, 0, error);
}

static bool writer_open(struct xe_tablefile_writer *w, const char *path, struct xe_io_error *error)
{
    w->path = copy_path(path, "");
    w->written_as = w->options.atomic ? copy_path(path, ".new") : w->path;
    w->block = xe_cb.alloc(FRAME + BLOCK);
    w->room = BLOCK;
    if (!w->path || !w->written_as || !w->block)
        return xe_io_no_memory(error, path);
    if (!w->options.exclusive && !xe_io_unlink(w->io, w->written_as, error))
        return false;
    unsigned flags = XE_IO_WRITABLE | XE_IO_CREATE | XE_IO_EXCLUSIVE;
    if (!xe_io_open(w->io, w->written_as, flags, &w->file, error)) {
        w->file = NULL;
        return false;
    }
    return true;
}

struct xe_tablefile_writer *xe_tablefile_create(const struct xe_io *io, const char *path,
                                                const struct xe_tablefile_options *options,
                                                const void *meta, size_t meta_bytes,
                                                struct xe_io_error *error)
{
    struct xe_tablefile_writer *w = xe_cb.alloc(sizeof *w);
    if (!w) {
        xe_io_no_memory(error, path);
        return NULL;
    }
    *w = (struct xe_tablefile_writer){.io = io, .options = *options, .salt = io->random(io)};
    if (writer_open(w, path, error) && write_header(w, meta, meta_bytes, error))
        return w;
    xe_tablefile_abort(w);
    return NULL;
}

/* Writes a block whose frame is at `frame` and whose bytes may be elsewhere. */
static bool write_block(struct xe_tablefile_writer *w, uint8_t *frame, uint32_t tag,
                        uint32_t records, const void *bytes, size_t n, struct xe_io_error *error)
{
    struct frame f = {tag, records, n, w->blocks, xe_checksum(w->salt, bytes, n)};
    struct iovec v[2] = {{frame, FRAME}, {(void *)(uintptr_t)bytes, n}};
    frame_put(frame, &f, w->salt);
    if (!xe_file_writev(w->file, v, 2, w->offset, error))
        return false;
    w->chain = xe_checksum(w->chain, frame, FRAME);
    w->offset += FRAME + n;
    w->blocks++;
    w->records += records;
    return true;
}

/* Writes the block that is being filled, if there is anything in it. */
static bool flush(struct xe_tablefile_writer *w, struct xe_io_error *error)
{
    if (w->filled == 0)
        return true;
    if (!write_block(w, w->block, w->huge ? TAG_HUGE : TAG_DATA, w->filled, w->block + FRAME,
                     w->used, error))
        return false;
    w->filled = 0;
    w->used = 0;
    w->huge = false;
    return true;
}

/* Gives the block, which is empty, room for so many bytes, and takes back what was for one record.
 */
static bool set_room(struct xe_tablefile_writer *w, size_t n, struct xe_io_error *error)
{
    size_t want = n > BLOCK ? n : BLOCK;
    if (w->room == want)
        return true;
    uint8_t *block = want > SIZE_MAX / 2 ? NULL : xe_cb.alloc(FRAME + want);
    if (!block)
        return xe_io_no_memory(error, w->path);
    xe_cb.free(w->block);
    w->block = block;
    w->room = want;
    return true;
}

void *xe_tablefile_room(struct xe_tablefile_writer *w, size_t n, struct xe_io_error *error)
{
    bool huge = n > LARGE;
    if (huge || w->huge || w->used + LENGTH + n > BLOCK) {
        if (!flush(w, error) || !set_room(w, huge ? n : 0, error))
            return NULL;
    }
    w->huge = huge;
    return w->block + FRAME + w->used + (huge ? 0 : LENGTH);
}

void xe_tablefile_commit(struct xe_tablefile_writer *w, size_t n)
{
    if (w->huge) {
        w->used = n;
    } else {
        xe_store32(w->block + FRAME + w->used, (uint32_t)n);
        w->used += LENGTH + n;
    }
    XE_ASSERT(w->used <= w->room);
    w->filled++;
}

bool xe_tablefile_put(struct xe_tablefile_writer *w, const void *record, size_t n,
                      struct xe_io_error *error)
{
    uint8_t frame[FRAME];
    if (n > LARGE)
        return flush(w, error) && write_block(w, frame, TAG_HUGE, 1, record, n, error);
    void *to = xe_tablefile_room(w, n, error);
    if (!to)
        return false;
    memcpy(to, record, n);
    xe_tablefile_commit(w, n);
    return true;
}

uint64_t xe_tablefile_written(const struct xe_tablefile_writer *w, uint64_t *records)
{
    if (records)
        *records = w->records + w->filled;
    return w->offset + (w->filled ? FRAME + w->used : 0);
}

static bool write_end(struct xe_tablefile_writer *w, struct xe_io_error *error)
{
    uint8_t frame[FRAME];
    xe_store64(w->end, w->records);
    xe_store64(w->end + 8, w->offset + FRAME + w->end_bytes);
    xe_store64(w->end + 16, w->chain);
    return write_block(w, frame, TAG_LAST, 0, w->end, w->end_bytes, error);
}

static bool sync_parent(const struct xe_tablefile_writer *w, struct xe_io_error *error)
{
    char *dir = xe_io_parent(w->path);
    if (!dir)
        return xe_io_no_memory(error, w->path);
    bool ok = xe_io_sync_dir(w->io, dir, error);
    xe_cb.free(dir);
    return ok;
}

bool xe_tablefile_finish(struct xe_tablefile_writer *w, struct xe_io_error *error)
{
    bool renamed = w->path == w->written_as;
    bool ok = flush(w, error) && write_end(w, error) &&
              (!w->options.sync || xe_file_sync(w->file, false, error));
    struct xe_file *f = w->file;
    if (ok) {
        w->file = NULL;
        ok = xe_file_close(f, error);
    }
    if (ok && !renamed)
        ok = renamed = xe_io_rename(w->io, w->written_as, w->path, error);
    if (!ok) {
        xe_tablefile_abort(w);
        return false;
    }
    ok = !w->options.sync || sync_parent(w, error);
    writer_free(w);
    return ok;
}

void xe_tablefile_abort(struct xe_tablefile_writer *w)
{
    struct xe_io_error ignored;
    if (!w)
        return;
    if (w->offset > 0)
        xe_io_unlink(w->io, w->written_as, &ignored);
    writer_free(w);
}

void xe_tablefile_leave(struct xe_tablefile_writer *w)
{
    if (w)
        writer_free(w);
}

/* --- Reading ----------------------------------------------------------------- */

struct xe_tablefile_reader {
    struct xe_tablefile_info info;
    struct xe_file *file;
    uint64_t salt, chain;
    uint64_t offset;          /* of the next block */
    uint64_t records, blocks; /* before it */
    uint8_t header[HEADER];
    uint8_t *meta, *block;
    size_t room; /* in `block` */
    bool passed; /* over some of it */
};

static bool damaged(const struct xe_tablefile_reader *r, uint64_t offset, const char *reason,
                    struct xe_io_error *error)
{
    return xe_io_fail(error, XE_IO_DAMAGED, XE_IO_READ, r->file->path, offset, reason);
}

/* Reads bytes of which it is known that the file has, or had, them. */
static bool read_exactly(struct xe_tablefile_reader *r, void *to, size_t n, uint64_t offset,
                         struct xe_io_error *error)
{
    size_t got;
    if (!xe_file_read(r->file, to, n, offset, &got, error))
        return false;
    return got == n || damaged(r, offset + got, "the file ends too early", error);
}

/* Room for `n` bytes; what was there is lost. `n` is at most what the file has. */
static bool make_room(struct xe_tablefile_reader *r, uint64_t n, struct xe_io_error *error)
{
    if (n <= r->room)
        return true;
    uint8_t *block = n > SIZE_MAX / 2 ? NULL : xe_cb.alloc((size_t)n);
    if (!block)
        return xe_io_no_memory(error, r->file->path);
    if (r->block)
        xe_cb.free(r->block);
    r->block = block;
    r->room = (size_t)n;
    return true;
}

/* (H1) to (H3), of the header at `at`. */
static bool read_header(struct xe_tablefile_reader *r, uint64_t at, struct xe_io_error *error)
{
    static const uint8_t zeros[16];
    const char *path = r->file->path;
    uint8_t *h = r->header;
    size_t got;
    if (!xe_file_read(r->file, h, HEADER, at, &got, error))
        return false;
    if (got < HEADER || r->info.bytes < HEADER || memcmp(h, magic, sizeof magic) != 0)
        return xe_io_fail(error, XE_IO_FOREIGN, XE_IO_READ, path, at, "another beginning");
    if (xe_load64(h + 56) != xe_checksum(xe_load64(h + 16), h, 56))
        return damaged(r, at, "the header's checksum is wrong", error);
    if (xe_load32(h + 8) != VERSION)
        return xe_io_fail(error, XE_IO_VERSION, XE_IO_READ, path, at + 8, "of another version");
    if (memcmp(h + 40, zeros, sizeof zeros) != 0)
        return damaged(r, at + 40, "the header is not as it should be", error);
    r->info.kind = xe_load32(h + 12);
    r->salt = xe_load64(h + 16);
    return true;
}

/* (H4), of the metadata behind the header, or before its copy. */
static bool read_meta(struct xe_tablefile_reader *r, bool from_end, struct xe_io_error *error)
{
    uint64_t n = xe_load64(r->header + 24);
    if (n > r->info.bytes || n > r->info.bytes - HEADER)
        return damaged(r, r->info.bytes, "the file ends in its metadata", error);
    uint64_t at = from_end ? r->info.bytes - HEADER - n : HEADER;
    r->meta = n > SIZE_MAX / 2 ? NULL : xe_cb.alloc((size_t)n + 1);
    if (!r->meta)
        return xe_io_no_memory(error, r->file->path);
    if (!read_exactly(r, r->meta, (size_t)n, at, error))
        return false;
    if (xe_load64(r->header + 32) != xe_checksum(r->salt, r->meta, (size_t)n))
        return damaged(r, at, "the metadata's checksum is wrong", error);
    r->info.meta = r->meta;
    r->info.meta_bytes = (size_t)n;
    r->offset = HEADER + n;
    return true;
}

/* What the end says of the file, if there is one. */
static bool read_end(struct xe_tablefile_reader *r, struct xe_io_error *error)
{
    size_t n = END + r->info.meta_bytes;
    struct frame f;
    if (r->info.bytes - r->offset < FRAME + n)
        return true;
    if (!make_room(r, FRAME + n, error))
        return false;
    const uint8_t *end = r->block + FRAME;
    if (!read_exactly(r, r->block, FRAME + n, r->info.bytes - FRAME - n, error))
        return error->code == XE_IO_DAMAGED;
    r->info.has_end = frame_get(&f, r->block, r->salt) && f.tag == TAG_LAST && f.bytes == n &&
                      f.check == xe_checksum(r->salt, end, n);
    if (r->info.has_end)
        r->info.records = xe_load64(end);
    return true;
}

static struct xe_tablefile_reader *reader_open(const struct xe_io *io, const char *path,
                                               bool from_end, struct xe_io_error *error)
{
    struct xe_tablefile_reader *r = xe_cb.alloc(sizeof *r);
    if (!r) {
        xe_io_no_memory(error, path);
        return NULL;
    }
    *r = (struct xe_tablefile_reader){0};
    if (!xe_io_open(io, path, 0, &r->file, error)) {
        r->file = NULL;
    } else if (xe_file_size(r->file, &r->info.bytes, error)) {
        uint64_t at = from_end && r->info.bytes > HEADER ? r->info.bytes - HEADER : 0;
        if (read_header(r, at, error) && read_meta(r, from_end, error) &&
            make_room(r, BLOCK, error) && read_end(r, error))
            return r;
    }
    xe_tablefile_close(r);
    return NULL;
}

struct xe_tablefile_reader *xe_tablefile_open(const struct xe_io *io, const char *path,
                                              struct xe_io_error *error)
{
    return reader_open(io, path, false, error);
}

struct xe_tablefile_reader *xe_tablefile_open_from_end(const struct xe_io *io, const char *path,
                                                       struct xe_io_error *error)
{
    return reader_open(io, path, true, error);
}

void xe_tablefile_info(const struct xe_tablefile_reader *r, struct xe_tablefile_info *out)
{
    *out = r->info;
}

void xe_tablefile_close(struct xe_tablefile_reader *r)
{
    struct xe_io_error ignored;
    if (!r)
        return;
    xe_file_close(r->file, &ignored);
    if (r->meta)
        xe_cb.free(r->meta);
    if (r->block)
        xe_cb.free(r->block);
    xe_cb.free(r);
}

/* (B4): whether `n` records fill the bytes. *bad: where not. */
static bool records_fill(const uint8_t *at, const uint8_t *end, uint32_t n, const uint8_t **bad)
{
    for (*bad = at; n > 0; n--, *bad = at) {
        if (end - at < LENGTH)
            return false;
        uint32_t len = xe_load32(at);
        if (len > (size_t)(end - at) - LENGTH)
            return false;
        at += LENGTH + len;
    }
    return at == end;
}

/* (B1) to (B3), of the block at r->offset: its frame, and its bytes in r->block. */
static bool read_block(struct xe_tablefile_reader *r, uint8_t *raw, struct frame *f,
                       struct xe_io_error *error)
{
    uint64_t at = r->offset, left = r->info.bytes - at;
    if (left < FRAME)
        return damaged(r, r->info.bytes, "the file ends before its end block", error);
    if (!read_exactly(r, raw, FRAME, at, error))
        return false;
    if (!frame_get(f, raw, r->salt))
        return damaged(r, at, "no block begins here", error);
    if (r->passed ? f->number < r->blocks : f->number != r->blocks)
        return damaged(r, at + 16, "the block has the number of another one", error);
    if (f->bytes > left - FRAME)
        return damaged(r, r->info.bytes, "the file ends in a block", error);
    if (!make_room(r, f->bytes, error) ||
        !read_exactly(r, r->block, (size_t)f->bytes, at + FRAME, error))
        return false;
    if (f->check != xe_checksum(r->salt, r->block, (size_t)f->bytes))
        return damaged(r, at + FRAME, "the block's checksum is wrong", error);
    return true;
}

static bool check_records(struct xe_tablefile_reader *r, const struct frame *f,
                          struct xe_io_error *error)
{
    const uint8_t *bad;
    if (f->tag == TAG_HUGE && f->records != 1)
        return damaged(r, r->offset + 4, "a large record is not one", error);
    if (f->tag == TAG_DATA && !records_fill(r->block, r->block + f->bytes, f->records, &bad))
        return damaged(r, r->offset + FRAME + (uint64_t)(bad - r->block),
                       "records do not fill their block", error);
    return true;
}

/* (F2) and (F3). */
static bool check_end(struct xe_tablefile_reader *r, const struct frame *f,
                      struct xe_io_error *error)
{
    uint64_t end = r->offset + FRAME + f->bytes;
    const uint8_t *again = r->block + COUNTS;
    if (f->records != 0 || f->bytes != END + r->info.meta_bytes)
        return damaged(r, r->offset + 4, "the end block is not as it should be", error);
    if (r->passed)
        return damaged(r, r->offset, "parts of the file before its end are missing", error);
    if (end != r->info.bytes)
        return damaged(r, end, "bytes behind the end block", error);
    if (xe_load64(r->block) != r->records)
        return damaged(r, r->offset + FRAME, "the file had another number of records", error);
    if (xe_load64(r->block + 8) != end)
        return damaged(r, r->offset + FRAME + 8, "the file had another size", error);
    if (xe_load64(r->block + 16) != r->chain)
        return damaged(r, r->offset + FRAME + 16, "the file had other blocks", error);
    if (memcmp(again, r->meta, r->info.meta_bytes) != 0 ||
        memcmp(again + r->info.meta_bytes, r->header, HEADER) != 0)
        return damaged(r, r->offset + FRAME + COUNTS, "the file had another beginning", error);
    return true;
}

enum xe_tablefile_status xe_tablefile_next(struct xe_tablefile_reader *r,
                                           struct xe_tablefile_block *out,
                                           struct xe_io_error *error)
{
    uint8_t raw[FRAME];
    struct frame f;
    if (!read_block(r, raw, &f, error))
        return XE_TABLEFILE_FAILED;
    if (f.tag == TAG_LAST)
        return check_end(r, &f, error) ? XE_TABLEFILE_LAST : XE_TABLEFILE_FAILED;
    if (!check_records(r, &f, error))
        return XE_TABLEFILE_FAILED;
    *out = (struct xe_tablefile_block){.offset = r->offset + FRAME,
                                       .records = f.records,
                                       .huge = f.tag == TAG_HUGE,
                                       .at = r->block,
                                       .end = r->block + f.bytes};
    r->chain = xe_checksum(r->chain, raw, FRAME);
    r->offset += FRAME + f.bytes;
    r->records += f.records;
    r->blocks = f.number + 1;
    return XE_TABLEFILE_OK;
}

const uint8_t *xe_tablefile_record(struct xe_tablefile_block *b, size_t *n)
{
    if (b->records == 0)
        return NULL;
    b->records--;
    const uint8_t *at = b->at;
    *n = b->huge ? (size_t)(b->end - at) : xe_load32(at);
    if (!b->huge)
        at += LENGTH;
    b->at = at + *n;
    return at;
}

/* --- Salvaging --------------------------------------------------------------- */

/* Whether a valid block of data begins at r->offset. *last: the file's end does. */
static bool is_block(struct xe_tablefile_reader *r, bool *last, struct xe_io_error *error)
{
    uint8_t raw[FRAME];
    struct frame f;
    if (!read_block(r, raw, &f, error))
        return false;
    *last = f.tag == TAG_LAST && r->offset + FRAME + f.bytes == r->info.bytes;
    return f.tag != TAG_LAST && check_records(r, &f, error);
}

/* The next place from r->offset on, and before `end`, at which a frame begins; `end`: there is
 * none. Where the disk cannot be read is none. */
static uint64_t find_frame(struct xe_tablefile_reader *r, uint64_t end)
{
    uint8_t page[PAGE + FRAME];
    struct xe_io_error ignored;
    struct frame f;
    for (uint64_t at = r->offset; at < end;) {
        size_t want = PAGE - at % PAGE, got;
        if (!xe_file_read(r->file, page, want + FRAME - 1, at, &got, &ignored))
            got = 0;
        for (size_t i = 0; i < want && i + FRAME <= got; i++)
            if (at + i < end && frame_get(&f, page + i, r->salt))
                return at + i;
        at += want;
    }
    return end;
}

enum xe_tablefile_status xe_tablefile_salvage(struct xe_tablefile_reader *r, uint64_t *lost,
                                              struct xe_io_error *error)
{
    uint64_t from = r->offset, size = r->info.bytes;
    uint64_t end = size - from > XE_TABLEFILE_SALVAGE ? from + XE_TABLEFILE_SALVAGE : size;
    bool last = false, found = false;
    r->passed = true;
    while (r->offset < end && !found && !last) {
        r->offset = find_frame(r, end);
        if (r->offset == end)
            break;
        error->code = 0;
        found = is_block(r, &last, error);
        if (error->code == ENOMEM)
            return XE_TABLEFILE_FAILED;
        if (!found && !last)
            r->offset++;
    }
    *lost += r->offset - from;
    if (found)
        return XE_TABLEFILE_OK;
    return last || end == size ? XE_TABLEFILE_LAST : XE_TABLEFILE_MORE;
}
