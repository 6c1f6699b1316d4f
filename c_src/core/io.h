/*
 * io.h - files, through a table of functions.
 *
 * What keeps tables on disk (tablefile.h, journal.h) reaches the disk by `struct xe_io` only, so
 * that the tests can put a disk in memory in its place that fails, tears and forgets
 * (test/core/sim_io.h).
 *
 * Two layers: the functions of the table do one system call each and return 0 or an errno; the
 * calls below, xe_io_*() and xe_file_*(), are what is used: they finish short reads and writes,
 * start again what a signal has interrupted, and say in an xe_io_error what failed, on which file.
 *
 * What is assumed of a disk, and no more
 *   D1. What was written before a sync of the file that succeeded is there after a loss of power.
 *       Of what was written since, each sector of 512 bytes is there or is not, in any combination;
 *       a sector that is written again has its old contents or the new ones.
 *   D2. A file's name, and its absence, are there after a loss of power when its directory has been
 *       synced since; a rename has happened or has not, on its own.
 *   D3. When only the process dies, all that was written is there.
 *   D4. After a sync that failed nothing is known of what was written since the last one that
 *       succeeded, whatever a later sync says.
 */
#ifndef XE_IO_H
#define XE_IO_H

#include "core.h"

#include <sys/types.h>
#include <sys/uio.h>

enum {
    XE_IO_SECTOR = 512,
    XE_IO_PATH_SHOWN = 512, /* bytes of a path in an error: of a longer one, its end */
};

/* What was tried. The names of the operations: xe_io_op_name(). */
enum xe_io_op {
    XE_IO_OPEN,
    XE_IO_CLOSE,
    XE_IO_READ,
    XE_IO_WRITE,
    XE_IO_SYNC,
    XE_IO_SIZE,
    XE_IO_TRUNCATE,
    XE_IO_ALLOCATE,
    XE_IO_LOCK,
    XE_IO_RENAME,
    XE_IO_UNLINK,
    XE_IO_MKDIR,
    XE_IO_RMDIR,
    XE_IO_LIST,
    XE_IO_SYNC_DIR,
    XE_IO_MEMORY, /* not of a file: an allocation */
    XE_IO_OPS,
};

/* What is wrong where the system finds nothing wrong. Beside errno, whose values are positive. */
enum xe_io_code {
    XE_IO_DAMAGED = -1, /* bytes that nobody wrote like that, or bytes that are missing */
    XE_IO_FOREIGN = -2, /* a file of something else */
    XE_IO_VERSION = -3, /* a file of a version that is not known here */
    XE_IO_LOCKED = -4,  /* somebody else has locked it */
    XE_IO_CLOSED = -5,  /* it has been closed */
    XE_IO_NO_TABLE = -6, /* a directory without a table */
};

#define XE_IO_NOWHERE UINT64_MAX

/* Why a call failed. Its contents are its own: nothing in it has to be freed. */
struct xe_io_error {
    int code; /* errno, or enum xe_io_code; 0: nothing has failed */
    enum xe_io_op op;
    uint64_t offset;    /* the first bad byte, or where was written; XE_IO_NOWHERE */
    const char *reason; /* of enum xe_io_code: a constant, what is wrong there; or NULL */
    char path[XE_IO_PATH_SHOWN]; /* ends with a zero */
};

enum xe_io_open_flags {
    XE_IO_WRITABLE = 1, /* fails with ELOOP if the path is a symbolic link */
    XE_IO_CREATE = 2,
    XE_IO_EXCLUSIVE = 4, /* with CREATE: fails if the file is there */
    XE_IO_EMPTY = 8,     /* what is in it goes */
};

struct xe_io;
struct xe_io_dir;

/* An open file. Implementations of the table have more behind it. */
struct xe_file {
    const struct xe_io *io; /* never that of a directory, which may be let go before it is closed */
    char *path; /* as it was opened, for errors; xe_io_open() makes it, xe_file_close() frees it */
};

struct xe_io {
    /* 0 or an errno, if an int. */
    int (*open)(const struct xe_io *io, const char *path, unsigned flags, struct xe_file **out);
    int (*close)(struct xe_file *f); /* the file is closed whatever it returns */
    /* May read or write less than was asked for; reading 0 bytes: the end of the file. */
    int (*read)(struct xe_file *f, void *to, size_t n, uint64_t offset, size_t *got);
    int (*write)(struct xe_file *f, const struct iovec *v, int n, uint64_t offset, size_t *put);
    /* `data`: only what is needed to read the data again, as fdatasync() does. */
    int (*sync)(struct xe_file *f, bool data);
    int (*size)(struct xe_file *f, uint64_t *bytes);
    int (*truncate)(struct xe_file *f, uint64_t bytes);
    /* Room on the disk for the first `bytes`; the file has at least that size then, and what was
     * not written before reads as zeros. */
    int (*allocate)(struct xe_file *f, uint64_t bytes);
    /* Keeps everybody else out who asks by this call, in this process, too, until the file is
     * closed or the process ends. EWOULDBLOCK: somebody has it; ESTALE: the path, by which it was
     * opened, has another file now. */
    int (*lock)(const struct xe_io *io, struct xe_file *f, const char *path);
    int (*rename)(const struct xe_io *io, const char *from, const char *to);
    int (*unlink)(const struct xe_io *io, const char *path);
    int (*mkdir)(const struct xe_io *io, const char *path);
    int (*rmdir)(const struct xe_io *io, const char *path);
    /* Calls see() for every name but "." and "..", until it returns an errno, which is returned. */
    int (*list)(const struct xe_io *io, const char *path, int (*see)(void *arg, const char *name),
                void *arg);
    int (*sync_dir)(const struct xe_io *io, const char *path);
    /* Opens a directory: sets what out->io, a copy of *io, has for a context, and which one it is.
     * The paths that out->io gets from then on begin in it, "." is itself. */
    int (*hold)(const struct xe_io *io, const char *path, struct xe_io_dir *out);
    void (*let_go)(const struct xe_io *io);
    /* 64 bits that nobody has drawn before. */
    uint64_t (*random)(const struct xe_io *io);
    void *context; /* the implementation's */
    const struct xe_io_dir *dir; /* NULL, or whose this is */
};

/* The system's files. */
extern const struct xe_io xe_io_system;

/* --- Calls ---------------------------------------------------------------- */

/*
 * All return whether they succeeded; if not, *error says why. `error` is not changed by a success.
 * Paths end with a zero byte; '/' separates their parts.
 */

bool xe_io_open(const struct xe_io *io, const char *path, unsigned flags, struct xe_file **out,
                struct xe_io_error *error);
/* NULL is closed already. An error on closing matters only to who has written without a sync. */
bool xe_file_close(struct xe_file *f, struct xe_io_error *error);

/* Reads up to `n` bytes; fewer only at the end of the file. */
bool xe_file_read(struct xe_file *f, void *to, size_t n, uint64_t offset, size_t *got,
                  struct xe_io_error *error);
/* Writes all. `v` is used up: its contents are changed. */
bool xe_file_writev(struct xe_file *f, struct iovec *v, int n, uint64_t offset,
                    struct xe_io_error *error);
bool xe_file_write(struct xe_file *f, const void *from, size_t n, uint64_t offset,
                   struct xe_io_error *error);
bool xe_file_sync(struct xe_file *f, bool data, struct xe_io_error *error);
bool xe_file_size(struct xe_file *f, uint64_t *bytes, struct xe_io_error *error);
bool xe_file_truncate(struct xe_file *f, uint64_t bytes, struct xe_io_error *error);
bool xe_file_allocate(struct xe_file *f, uint64_t bytes, struct xe_io_error *error);

/* Opens the file at `path`, making it if there is none, and locks it. *made: there was none. If
 * somebody has it: the code is XE_IO_LOCKED. The file may be unlinked by who has locked it, and by
 * nobody else. */
bool xe_io_lock(const struct xe_io *io, const char *path, struct xe_file **out, bool *made,
                struct xe_io_error *error);
/* Locks a file that was opened by `io`: 0, or an errno as that of xe_io.lock. */
int xe_file_lock(const struct xe_io *io, struct xe_file *f);

bool xe_io_rename(const struct xe_io *io, const char *from, const char *to,
                  struct xe_io_error *error);
/* A file that is not there has been unlinked. */
bool xe_io_unlink(const struct xe_io *io, const char *path, struct xe_io_error *error);
/* A directory that is there has been made. */
bool xe_io_mkdir(const struct xe_io *io, const char *path, struct xe_io_error *error);
bool xe_io_rmdir(const struct xe_io *io, const char *path, struct xe_io_error *error);
bool xe_io_list(const struct xe_io *io, const char *path, int (*see)(void *arg, const char *name),
                void *arg, struct xe_io_error *error);
bool xe_io_sync_dir(const struct xe_io *io, const char *path, struct xe_io_error *error);

/*
 * A directory that stays the same one. By `io` the path that it was opened with, and all that begin
 * with it, mean this directory, however it is called by now and whatever has that path; all other
 * paths mean what they mean by `base`. It cannot be removed by it, nor files be moved out of it.
 */
struct xe_io_dir {
    struct xe_io io;
    const struct xe_io *base;
    char *path; /* without slashes at its end; NULL: none is held */
    size_t n;   /* bytes of it */
    dev_t device;
    ino_t inode;
};
/* False: none is held. `out` is not moved until it is let go. */
bool xe_io_hold(const struct xe_io *io, const char *path, struct xe_io_dir *out,
                struct xe_io_error *error);
/* What was opened by it may be used further. */
void xe_io_let_go(struct xe_io_dir *d);

/* --- Paths and errors ----------------------------------------------------- */

/* dir/name, and the directory that a path is in ("." if it names none), to be freed by xe_cb.free.
 * NULL: out of memory. */
char *xe_io_join(const char *dir, const char *name);
char *xe_io_parent(const char *path);

/* Sets an error. Returns false, for callers that return it. */
bool xe_io_fail(struct xe_io_error *error, int code, enum xe_io_op op, const char *path,
                uint64_t offset, const char *reason);
/* An allocation of what belongs to `path` has failed: ENOMEM. */
bool xe_io_no_memory(struct xe_io_error *error, const char *path);

/* "open", "fdatasync", ...; "damaged", ... of enum xe_io_code (NULL of an errno). Constants. */
const char *xe_io_op_name(enum xe_io_op op);
const char *xe_io_code_name(int code);

#endif
