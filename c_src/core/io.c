/*
 * io.c - the calls on files, and the system's files behind them.
 *
 * Locks are those of flock(): they belong to the open file, not to the process. So a second opener
 * in this process is kept out as one in another is, closing another descriptor of the same file
 * does not drop the lock (as it does with fcntl()), and a child that was forked has none of it once
 * it runs another program. Where flock() reaches other hosts (NFS on Linux) they are kept out, too.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* fallocate() */
#endif
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif

enum {
    ONE_CALL = 1 << 30, /* bytes: all systems take that many */
    VECTORS = 64,       /* in one call: likewise */
    LOCK_TRIES = 100,   /* each fails only if somebody has removed the file meanwhile */
};

/* --- Errors and paths ------------------------------------------------------ */

bool xe_io_fail(struct xe_io_error *error, int code, enum xe_io_op op, const char *path,
                uint64_t offset, const char *reason)
{
    size_t len = strlen(path), from = len < XE_IO_PATH_SHOWN ? 0 : len - (XE_IO_PATH_SHOWN - 1);
    error->code = code;
    error->op = op;
    error->offset = offset;
    error->reason = reason;
    memcpy(error->path, path + from, len - from + 1);
    return false;
}

bool xe_io_no_memory(struct xe_io_error *error, const char *path)
{
    return xe_io_fail(error, ENOMEM, XE_IO_MEMORY, path, XE_IO_NOWHERE, NULL);
}

const char *xe_io_op_name(enum xe_io_op op)
{
    static const char *const names[XE_IO_OPS] = {
        [XE_IO_OPEN] = "open",
        [XE_IO_CLOSE] = "close",
        [XE_IO_READ] = "read",
        [XE_IO_WRITE] = "write",
        [XE_IO_SYNC] = "sync",
        [XE_IO_SIZE] = "stat",
        [XE_IO_TRUNCATE] = "truncate",
        [XE_IO_ALLOCATE] = "allocate",
        [XE_IO_LOCK] = "lock",
        [XE_IO_RENAME] = "rename",
        [XE_IO_UNLINK] = "unlink",
        [XE_IO_MKDIR] = "mkdir",
        [XE_IO_RMDIR] = "rmdir",
        [XE_IO_LIST] = "list",
        [XE_IO_SYNC_DIR] = "sync_directory",
        [XE_IO_MEMORY] = "allocate_memory",
    };
    return names[op];
}

const char *xe_io_code_name(int code)
{
    switch (code) {
    case XE_IO_DAMAGED:
        return "damaged";
    case XE_IO_FOREIGN:
        return "foreign";
    case XE_IO_VERSION:
        return "version";
    case XE_IO_LOCKED:
        return "locked";
    case XE_IO_CLOSED:
        return "closed";
    case XE_IO_NO_TABLE:
        return "no_table";
    default:
        return NULL;
    }
}

char *xe_io_join(const char *dir, const char *name)
{
    size_t a = strlen(dir), b = strlen(name);
    bool slash = a > 0 && dir[a - 1] == '/';
    char *path = xe_cb.alloc(a + b + 2);
    if (!path)
        return NULL;
    memcpy(path, dir, a);
    if (!slash)
        path[a++] = '/';
    memcpy(path + a, name, b + 1);
    return path;
}

char *xe_io_parent(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    char *parent = xe_cb.alloc(n + 2);
    if (!parent)
        return NULL;
    memcpy(parent, n ? path : ".", n ? n : 1);
    parent[n ? n : 1] = 0;
    return parent;
}

/* --- Calls ----------------------------------------------------------------- */

static bool failed(struct xe_io_error *error, int code, enum xe_io_op op, const char *path)
{
    return code == 0 || xe_io_fail(error, code, op, path, XE_IO_NOWHERE, NULL);
}

/* By what a path is to be looked up, and as which: in a directory that is held, or not. */
static const struct xe_io *look_up(const struct xe_io *io, const char **path)
{
    for (; io->dir; io = io->dir->base) {
        size_t n = io->dir->n;
        if (strncmp(*path, io->dir->path, n) != 0 || ((*path)[n] && (*path)[n] != '/'))
            continue;
        const char *rest = *path + n;
        while (*rest == '/')
            rest++;
        *path = *rest ? rest : ".";
        return io;
    }
    return io;
}

bool xe_io_open(const struct xe_io *io, const char *path, unsigned flags, struct xe_file **out,
                struct xe_io_error *error)
{
    size_t n = strlen(path) + 1;
    const char *name = path;
    char *copy = xe_cb.alloc(n);
    if (!copy)
        return xe_io_no_memory(error, path);
    int code;
    io = look_up(io, &name);
    while ((code = io->open(io, name, flags, out)) == EINTR)
        ;
    if (code) {
        xe_cb.free(copy);
        return failed(error, code, XE_IO_OPEN, path);
    }
    memcpy(copy, path, n);
    while (io->dir)
        io = io->dir->base;
    (*out)->io = io;
    (*out)->path = copy;
    return true;
}

bool xe_file_close(struct xe_file *f, struct xe_io_error *error)
{
    if (!f)
        return true;
    char *path = f->path;
    bool ok = failed(error, f->io->close(f), XE_IO_CLOSE, path);
    xe_cb.free(path);
    return ok;
}

bool xe_file_read(struct xe_file *f, void *to, size_t n, uint64_t offset, size_t *got,
                  struct xe_io_error *error)
{
    *got = 0;
    while (*got < n) {
        size_t one = 0, want = n - *got < ONE_CALL ? n - *got : ONE_CALL;
        int code = f->io->read(f, (uint8_t *)to + *got, want, offset + *got, &one);
        if (code == EINTR)
            continue;
        if (code)
            return xe_io_fail(error, code, XE_IO_READ, f->path, offset + *got, NULL);
        if (one == 0)
            break;
        *got += one;
    }
    return true;
}

/* How many of `v`, from the first on, one call takes; 0: the first is too long for one. */
static int one_call(const struct iovec *v, int n)
{
    size_t bytes = 0;
    int i = 0;
    while (i < n && i < VECTORS && v[i].iov_len <= ONE_CALL - bytes)
        bytes += v[i++].iov_len;
    return i;
}

/* Takes the `put` bytes that were written off the beginning. */
static void advance(struct iovec **v, int *n, size_t put)
{
    while (*n > 0 && put >= (*v)->iov_len) {
        put -= (*v)->iov_len;
        ++*v;
        --*n;
    }
    if (put > 0) {
        (*v)->iov_base = (uint8_t *)(*v)->iov_base + put;
        (*v)->iov_len -= put;
    }
}

bool xe_file_writev(struct xe_file *f, struct iovec *v, int n, uint64_t offset,
                    struct xe_io_error *error)
{
    for (advance(&v, &n, 0); n > 0;) {
        size_t put = 0;
        int count = one_call(v, n);
        struct iovec first = {v->iov_base, ONE_CALL};
        int code = f->io->write(f, count ? v : &first, count ? count : 1, offset, &put);
        if (code == EINTR)
            continue;
        /* Nothing was written, and no reason given: what can be missing is room. */
        if (code == 0 && put == 0)
            code = ENOSPC;
        if (code)
            return xe_io_fail(error, code, XE_IO_WRITE, f->path, offset, NULL);
        offset += put;
        advance(&v, &n, put);
    }
    return true;
}

bool xe_file_write(struct xe_file *f, const void *from, size_t n, uint64_t offset,
                   struct xe_io_error *error)
{
    struct iovec v = {(void *)(uintptr_t)from, n};
    return xe_file_writev(f, &v, 1, offset, error);
}

bool xe_file_sync(struct xe_file *f, bool data, struct xe_io_error *error)
{
    int code;
    while ((code = f->io->sync(f, data)) == EINTR)
        ;
    return failed(error, code, XE_IO_SYNC, f->path);
}

bool xe_file_size(struct xe_file *f, uint64_t *bytes, struct xe_io_error *error)
{
    return failed(error, f->io->size(f, bytes), XE_IO_SIZE, f->path);
}

bool xe_file_truncate(struct xe_file *f, uint64_t bytes, struct xe_io_error *error)
{
    int code;
    while ((code = f->io->truncate(f, bytes)) == EINTR)
        ;
    return failed(error, code, XE_IO_TRUNCATE, f->path);
}

bool xe_file_allocate(struct xe_file *f, uint64_t bytes, struct xe_io_error *error)
{
    int code;
    while ((code = f->io->allocate(f, bytes)) == EINTR)
        ;
    return failed(error, code, XE_IO_ALLOCATE, f->path);
}

int xe_file_lock(const struct xe_io *io, struct xe_file *f)
{
    const char *name = f->path;
    int code;
    io = look_up(io, &name);
    while ((code = io->lock(io, f, name)) == EINTR)
        ;
    return code;
}

/* Opens a file that is to be locked. 0; ESTALE: it was there, and is not any more; an errno. */
static int open_lock(const struct xe_io *io, const char *path, struct xe_file **out, bool *made)
{
    struct xe_io_error error;
    *made = xe_io_open(io, path, XE_IO_WRITABLE | XE_IO_CREATE | XE_IO_EXCLUSIVE, out, &error);
    if (*made)
        return 0;
    if (error.code != EEXIST)
        return error.code;
    if (xe_io_open(io, path, XE_IO_WRITABLE, out, &error))
        return 0;
    return error.code == ENOENT ? ESTALE : error.code;
}

bool xe_io_lock(const struct xe_io *io, const char *path, struct xe_file **out, bool *made,
                struct xe_io_error *error)
{
    int code = ESTALE;
    for (int i = 0; i < LOCK_TRIES && code == ESTALE; i++) {
        struct xe_io_error ignored;
        if ((code = open_lock(io, path, out, made)) == ESTALE)
            continue;
        if (code)
            return failed(error, code, XE_IO_OPEN, path);
        code = xe_file_lock(io, *out);
        if (code)
            xe_file_close(*out, &ignored);
    }
    return failed(error, code == EWOULDBLOCK || code == EAGAIN ? XE_IO_LOCKED : code, XE_IO_LOCK,
                  path);
}

bool xe_io_rename(const struct xe_io *io, const char *from, const char *to,
                  struct xe_io_error *error)
{
    const char *a = from, *b = to;
    const struct xe_io *at = look_up(io, &a);
    int code = at == look_up(io, &b) ? at->rename(at, a, b) : EXDEV;
    return failed(error, code, XE_IO_RENAME, from);
}

bool xe_io_unlink(const struct xe_io *io, const char *path, struct xe_io_error *error)
{
    const char *name = path;
    const struct xe_io *at = look_up(io, &name);
    int code = at->unlink(at, name);
    return failed(error, code == ENOENT ? 0 : code, XE_IO_UNLINK, path);
}

bool xe_io_mkdir(const struct xe_io *io, const char *path, struct xe_io_error *error)
{
    const char *name = path;
    const struct xe_io *at = look_up(io, &name);
    int code = at->mkdir(at, name);
    return failed(error, code == EEXIST ? 0 : code, XE_IO_MKDIR, path);
}

bool xe_io_rmdir(const struct xe_io *io, const char *path, struct xe_io_error *error)
{
    const char *name = path;
    const struct xe_io *at = look_up(io, &name);
    return failed(error, at->rmdir(at, name), XE_IO_RMDIR, path);
}

bool xe_io_list(const struct xe_io *io, const char *path, int (*see)(void *arg, const char *name),
                void *arg, struct xe_io_error *error)
{
    const char *name = path;
    const struct xe_io *at = look_up(io, &name);
    return failed(error, at->list(at, name, see, arg), XE_IO_LIST, path);
}

bool xe_io_sync_dir(const struct xe_io *io, const char *path, struct xe_io_error *error)
{
    const char *name = path;
    const struct xe_io *at = look_up(io, &name);
    int code;
    while ((code = at->sync_dir(at, name)) == EINTR)
        ;
    return failed(error, code, XE_IO_SYNC_DIR, path);
}

bool xe_io_hold(const struct xe_io *io, const char *path, struct xe_io_dir *out,
                struct xe_io_error *error)
{
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/')
        n--;
    *out = (struct xe_io_dir){.io = *io, .base = io, .path = xe_cb.alloc(n + 1), .n = n};
    if (!out->path)
        return xe_io_no_memory(error, path);
    memcpy(out->path, path, n);
    out->path[n] = 0;
    out->io.dir = out;
    const char *name = path;
    const struct xe_io *at = look_up(io, &name);
    int code;
    while ((code = at->hold(at, name, out)) == EINTR)
        ;
    if (code) {
        xe_cb.free(out->path);
        out->path = NULL;
    }
    return failed(error, code, XE_IO_OPEN, path);
}

void xe_io_let_go(struct xe_io_dir *d)
{
    if (!d->path)
        return;
    d->io.let_go(&d->io);
    xe_cb.free(d->path);
    d->path = NULL;
}

/* --- The system's files ---------------------------------------------------- */

struct system_file {
    struct xe_file f;
    int fd;
};

static int fd_of(const struct xe_file *f)
{
    return ((const struct system_file *)f)->fd;
}

/* Where paths begin. */
static int start_of(const struct xe_io *io)
{
    return io->dir ? (int)(intptr_t)io->context : AT_FDCWD;
}

static int open_dir(const struct xe_io *io, const char *path)
{
    return openat(start_of(io), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int system_open(const struct xe_io *io, const char *path, unsigned flags,
                       struct xe_file **out)
{
    int how = (flags & XE_IO_WRITABLE ? O_RDWR | O_NOFOLLOW : O_RDONLY) | O_CLOEXEC;
    how |= (flags & XE_IO_CREATE ? O_CREAT : 0) | (flags & XE_IO_EXCLUSIVE ? O_EXCL : 0) |
           (flags & XE_IO_EMPTY ? O_TRUNC : 0);
    struct system_file *f = xe_cb.alloc(sizeof *f);
    if (!f)
        return ENOMEM;
    f->fd = openat(start_of(io), path, how, 0666);
    if (f->fd < 0) {
        int code = errno;
        xe_cb.free(f);
        return code;
    }
    *out = &f->f;
    return 0;
}

static int system_close(struct xe_file *f)
{
    /* Not again after EINTR: Linux has closed it by then, and the number may be another's. */
    int code = close(fd_of(f)) < 0 && errno != EINTR ? errno : 0;
    xe_cb.free(f);
    return code;
}

static int system_read(struct xe_file *f, void *to, size_t n, uint64_t offset, size_t *got)
{
    ssize_t r = pread(fd_of(f), to, n, (off_t)offset);
    if (r < 0)
        return errno;
    *got = (size_t)r;
    return 0;
}

static int system_write(struct xe_file *f, const struct iovec *v, int n, uint64_t offset,
                        size_t *put)
{
#ifdef __APPLE__ /* pwritev() is there since 11 only */
    (void)n;
    ssize_t r = pwrite(fd_of(f), v->iov_base, v->iov_len, (off_t)offset);
#else
    ssize_t r = pwritev(fd_of(f), v, n, (off_t)offset);
#endif
    if (r < 0)
        return errno;
    *put = (size_t)r;
    return 0;
}

static int system_sync(struct xe_file *f, bool data)
{
#ifdef __APPLE__ /* whose fsync() leaves it in the disk's cache; not all file systems have better  \
                  */
    (void)data;
    if (fcntl(fd_of(f), F_FULLFSYNC) == 0)
        return 0;
    if (errno != ENOTSUP && errno != EINVAL)
        return errno;
    return fsync(fd_of(f)) < 0 ? errno : 0;
#else
    return (data ? fdatasync(fd_of(f)) : fsync(fd_of(f))) < 0 ? errno : 0;
#endif
}

static int system_size(struct xe_file *f, uint64_t *bytes)
{
    struct stat s;
    if (fstat(fd_of(f), &s) < 0)
        return errno;
    *bytes = (uint64_t)s.st_size;
    return 0;
}

static int system_truncate(struct xe_file *f, uint64_t bytes)
{
    return ftruncate(fd_of(f), (off_t)bytes) < 0 ? errno : 0;
}

static int reserve_room(int fd, uint64_t bytes)
{
#if defined(__linux__)
    return fallocate(fd, 0, 0, (off_t)bytes) < 0 ? errno : 0;
#elif defined(__APPLE__)
    fstore_t s = {F_ALLOCATEALL, F_PEOFPOSMODE, 0, (off_t)bytes, 0};
    return fcntl(fd, F_PREALLOCATE, &s) < 0 ? errno : 0;
#else
    return posix_fallocate(fd, 0, (off_t)bytes);
#endif
}

/* Not every file system can promise room; then it is had by writing. */
static int system_allocate(struct xe_file *f, uint64_t bytes)
{
    uint64_t size;
    int code = system_size(f, &size);
    if (code == 0 && size < bytes)
        code = reserve_room(fd_of(f), bytes);
    if (code == EOPNOTSUPP || code == ENOTSUP || code == ENOSYS || code == EINVAL)
        code = 0;
    if (code == 0)
        code = system_size(f, &size);
    return code == 0 && size < bytes ? system_truncate(f, bytes) : code;
}

static int system_lock(const struct xe_io *io, struct xe_file *f, const char *path)
{
    struct stat locked, named;
    if (flock(fd_of(f), LOCK_EX | LOCK_NB) < 0)
        return errno;
    /* Who had it before may have removed the file while this call was under way. */
    if (fstat(fd_of(f), &locked) < 0)
        return errno;
    if (fstatat(start_of(io), path, &named, 0) < 0)
        return errno == ENOENT ? ESTALE : errno;
    return locked.st_ino == named.st_ino && locked.st_dev == named.st_dev ? 0 : ESTALE;
}

static int system_rename(const struct xe_io *io, const char *from, const char *to)
{
    return renameat(start_of(io), from, start_of(io), to) < 0 ? errno : 0;
}

static int system_unlink(const struct xe_io *io, const char *path)
{
    return unlinkat(start_of(io), path, 0) < 0 ? errno : 0;
}

static int system_mkdir(const struct xe_io *io, const char *path)
{
    return mkdirat(start_of(io), path, 0777) < 0 ? errno : 0;
}

static int system_rmdir(const struct xe_io *io, const char *path)
{
    return unlinkat(start_of(io), path, AT_REMOVEDIR) < 0 ? errno : 0;
}

static int system_list(const struct xe_io *io, const char *path,
                       int (*see)(void *arg, const char *name), void *arg)
{
    int fd = open_dir(io, path);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    int code = d ? 0 : errno;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return code;
    }
    struct dirent *e;
    while (code == 0 && (errno = 0, e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            code = see(arg, e->d_name);
    if (code == 0)
        code = errno;
    closedir(d);
    return code;
}

static int system_sync_dir(const struct xe_io *io, const char *path)
{
    int fd = open_dir(io, path);
    if (fd < 0)
        return errno;
    int code = fsync(fd) < 0 ? errno : 0;
    close(fd);
    /* File systems that have nothing to sync there say so. */
    return code == EINVAL || code == ENOTSUP ? 0 : code;
}

static int system_hold(const struct xe_io *io, const char *path, struct xe_io_dir *out)
{
    struct stat s;
    int fd = open_dir(io, path);
    if (fd < 0)
        return errno;
    if (fstat(fd, &s) < 0) {
        int code = errno;
        close(fd);
        return code;
    }
    out->io.context = (void *)(intptr_t)fd;
    out->device = s.st_dev;
    out->inode = s.st_ino;
    return 0;
}

static void system_let_go(const struct xe_io *io)
{
    close(start_of(io));
}

static uint64_t system_random(const struct xe_io *io)
{
    uint64_t r;
    if (getentropy(&r, sizeof r) == 0)
        return r;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    r = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return r * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)getpid() << 32 ^ (uintptr_t)&now;
}

const struct xe_io xe_io_system = {
    .open = system_open,
    .close = system_close,
    .read = system_read,
    .write = system_write,
    .sync = system_sync,
    .size = system_size,
    .truncate = system_truncate,
    .allocate = system_allocate,
    .lock = system_lock,
    .rename = system_rename,
    .unlink = system_unlink,
    .mkdir = system_mkdir,
    .rmdir = system_rmdir,
    .list = system_list,
    .sync_dir = system_sync_dir,
    .hold = system_hold,
    .let_go = system_let_go,
    .random = system_random,
};
