/*
 * sim_io.c - see sim_io.h.
 *
 * A file's cache is what the system shows, its disk what a loss of power leaves of the sectors that
 * are not dirty; of a dirty one either may be left. Writing back happens at any time: each call
 * of the disk may clean a few dirty sectors, so that an older version than the last can be the one
 * that stays. After a sync that failed, no sector is dirty any more, though not all were written.
 *
 * Names likewise: changes wait in a list until their directory is synced; a loss of power leaves
 * any of them, and not others, in their order. A directory that is moved has always been where it
 * is then, for the disk, too.
 */
#include "sim_io.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "support.h"

enum { NAMES_MAX = 256, CHANGES_MAX = 1024, PATH_BYTES = 256, SECTOR = XE_IO_SECTOR };

struct node {
    struct node *next; /* all that the disk ever had */
    bool is_dir;
    uint8_t *cache, *disk;
    uint8_t *dirty;              /* by sector */
    size_t size, disk_size, cap; /* bytes of the cache, of the disk, of the arrays */
    struct handle *locked;
};

struct name {
    char *path;
    struct node *node;
};

/* One change of a directory: `path` names `node` (NULL: nothing) from now on, and `from` nothing.
 */
struct change {
    char *path, *from;
    struct node *node;
};

struct names {
    struct name at[NAMES_MAX];
    uint32_t n;
};

struct handle {
    struct xe_file f;
    struct node *node;
    struct sim *sim;
    uint64_t life; /* of the process that opened it */
    bool writable;
};

struct sim {
    struct xe_io io;
    pthread_mutex_t lock;
    struct rng rng;
    struct node *nodes;
    struct names shown, on_disk;
    struct change changes[CHANGES_MAX];
    uint32_t n_changes;
    uint64_t calls, life, capacity;
    uint64_t fail_at, crash_at;
    uint32_t fail_ops, cut;
    int fail_code;
    bool fail_after, has_failed, crashed;
    uint32_t n_open;
};

/* Of a directory's io the context is its node. */
static struct sim *sim_of(const struct xe_io *io)
{
    while (io->dir)
        io = io->dir->base;
    return io->context;
}

/* --- Names ------------------------------------------------------------------ */

static struct name *find(struct names *of, const char *path)
{
    for (uint32_t i = 0; i < of->n; i++)
        if (strcmp(of->at[i].path, path) == 0)
            return &of->at[i];
    return NULL;
}

static void set_name(struct names *of, const char *path, struct node *node)
{
    struct name *x = find(of, path);
    if (!x && node) {
        CHECK(of->n < NAMES_MAX);
        of->at[of->n++] = (struct name){strdup(path), node};
    } else if (x && node) {
        x->node = node;
    } else if (x) {
        free(x->path);
        memmove(x, x + 1, (size_t)(&of->at[--of->n] - x) * sizeof *x);
    }
}

static void clear_names(struct names *of)
{
    for (uint32_t i = 0; i < of->n; i++)
        free(of->at[i].path);
    of->n = 0;
}

static void copy_names(struct names *to, const struct names *from)
{
    clear_names(to);
    for (uint32_t i = 0; i < from->n; i++)
        set_name(to, from->at[i].path, from->at[i].node);
}

static bool is_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

static struct node *node_at(struct sim *s, const char *path)
{
    struct name *x = find(&s->shown, path);
    return x ? x->node : NULL;
}

/* The whole path of one that begins in the directory of an io, wherever that is now. Where it has
 * been removed nothing is, and nothing can be made. */
static const char *whole(const struct xe_io *io, const char *path, char *to)
{
    const struct names *all = &sim_of(io)->shown;
    const char *dir = "/removed";
    if (!io->dir)
        return path;
    for (uint32_t i = 0; i < all->n; i++)
        if (all->at[i].node == io->context)
            dir = all->at[i].path;
    bool itself = strcmp(path, ".") == 0;
    int n = snprintf(to, PATH_BYTES, "%s%s%s", dir, itself ? "" : "/", itself ? "" : path);
    CHECK(n < PATH_BYTES);
    return to;
}

/* The root is there, and all names without a directory are in it. */
static bool has_parent(struct sim *s, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return true;
    char *dir = strndup(path, (size_t)(slash - path));
    struct node *node = node_at(s, dir);
    free(dir);
    return node && node->is_dir;
}

static void apply(struct names *to, const struct change *c)
{
    if (c->from)
        set_name(to, c->from, NULL);
    set_name(to, c->path, c->node);
}

static void drop_change(struct sim *s, uint32_t i)
{
    free(s->changes[i].path);
    free(s->changes[i].from);
    memmove(&s->changes[i], &s->changes[i + 1], (--s->n_changes - i) * sizeof *s->changes);
}

static void change_name(struct sim *s, const char *path, const char *from, struct node *node)
{
    CHECK(s->n_changes < CHANGES_MAX);
    struct change *c = &s->changes[s->n_changes++];
    *c = (struct change){strdup(path), from ? strdup(from) : NULL, node};
    apply(&s->shown, c);
}

/* What is `from`, or in it, is so of `to`. */
static void move_path(char **path, const char *from, const char *to)
{
    size_t n = strlen(from);
    char moved[PATH_BYTES];
    if (!*path || strncmp(*path, from, n) != 0 || ((*path)[n] && (*path)[n] != '/'))
        return;
    CHECK(snprintf(moved, sizeof moved, "%s%s", to, *path + n) < PATH_BYTES);
    free(*path);
    *path = strdup(moved);
}

static void move_dir(struct sim *s, const char *from, const char *to)
{
    for (uint32_t i = 0; i < s->shown.n; i++)
        move_path(&s->shown.at[i].path, from, to);
    for (uint32_t i = 0; i < s->on_disk.n; i++)
        move_path(&s->on_disk.at[i].path, from, to);
    for (uint32_t i = 0; i < s->n_changes; i++) {
        move_path(&s->changes[i].path, from, to);
        move_path(&s->changes[i].from, from, to);
    }
}

/* --- Contents ---------------------------------------------------------------- */

static struct node *node_new(struct sim *s, bool is_dir)
{
    struct node *x = calloc(1, sizeof *x);
    CHECK(x);
    x->is_dir = is_dir;
    x->next = s->nodes;
    s->nodes = x;
    return x;
}

static void ensure(struct node *x, size_t bytes)
{
    if (bytes <= x->cap)
        return;
    size_t cap = x->cap ? x->cap : 8 * SECTOR;
    while (cap < bytes)
        cap *= 2;
    x->cache = realloc(x->cache, cap);
    x->disk = realloc(x->disk, cap);
    x->dirty = realloc(x->dirty, cap / SECTOR);
    CHECK(x->cache && x->disk && x->dirty);
    memset(x->cache + x->cap, 0, cap - x->cap);
    memset(x->disk + x->cap, 0, cap - x->cap);
    memset(x->dirty + x->cap / SECTOR, 0, (cap - x->cap) / SECTOR);
    x->cap = cap;
}

static void write_back(struct node *x, size_t sector)
{
    memcpy(x->disk + sector * SECTOR, x->cache + sector * SECTOR, SECTOR);
    x->dirty[sector] = 0;
}

static size_t sectors(const struct node *x)
{
    return x->cap / SECTOR;
}

/* The system writes back a little of what is dirty, whenever it likes. */
static void write_back_some(struct sim *s, struct node *x)
{
    if (sectors(x) == 0 || !rng_chance(&s->rng, 1, 4))
        return;
    for (uint32_t i = rng_below(&s->rng, 4); i > 0; i--) {
        size_t sector = rng_below(&s->rng, sectors(x));
        if (x->dirty[sector])
            write_back(x, sector);
    }
}

static void set_size(struct node *x, size_t bytes)
{
    ensure(x, bytes);
    if (bytes < x->size) {
        memset(x->cache + bytes, 0, x->size - bytes);
        memset(x->dirty + bytes / SECTOR, 1, (x->size - 1) / SECTOR - bytes / SECTOR + 1);
    }
    x->size = bytes;
}

static void store(struct sim *s, struct node *x, const uint8_t *from, size_t n, size_t at)
{
    if (n == 0)
        return;
    ensure(x, at + n);
    memcpy(x->cache + at, from, n);
    memset(x->dirty + at / SECTOR, 1, (at + n - 1) / SECTOR - at / SECTOR + 1);
    if (at + n > x->size)
        x->size = at + n;
    write_back_some(s, x);
}

static void sync_node(struct sim *s, struct node *x, bool ok)
{
    for (size_t i = 0; i < sectors(x); i++) {
        if (x->dirty[i] && (ok || rng_chance(&s->rng, 1, 2)))
            write_back(x, i);
        x->dirty[i] = 0;
    }
    if (ok)
        x->disk_size = x->size;
}

static uint64_t bytes_in_use(struct sim *s)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->shown.n; i++)
        sum += s->shown.at[i].node->size;
    return sum;
}

/* --- Calls ------------------------------------------------------------------- */

/* Counts a call. What it returns has gone wrong. The lock is held afterwards. */
static int enter(struct sim *s, enum xe_io_op op)
{
    pthread_mutex_lock(&s->lock);
    bool counts = s->fail_ops == 0 || (s->fail_ops >> op & 1);
    uint64_t number = s->calls++;
    if (number >= s->crash_at)
        s->crashed = true;
    if (s->crashed)
        return EIO;
    if (counts && number >= s->fail_at && (s->fail_after || !s->has_failed)) {
        s->has_failed = true;
        return s->fail_code;
    }
    return 0;
}

static int leave(struct sim *s, int code)
{
    pthread_mutex_unlock(&s->lock);
    return code;
}

static struct handle *handle_of(struct xe_file *f)
{
    return (struct handle *)f;
}

static int enter_file(struct xe_file *f, enum xe_io_op op)
{
    struct handle *h = handle_of(f);
    int code = enter(h->sim, op);
    return h->life == h->sim->life ? code : EBADF;
}

static bool cut_short(struct sim *s)
{
    return s->cut && rng_chance(&s->rng, 1, s->cut);
}

static int sim_open(const struct xe_io *io, const char *path, unsigned flags, struct xe_file **out)
{
    struct sim *s = sim_of(io);
    char at[PATH_BYTES];
    int code = enter(s, XE_IO_OPEN);
    struct node *x = node_at(s, path = whole(io, path, at));
    if (code)
        return leave(s, code);
    if (!x && !(flags & XE_IO_CREATE))
        return leave(s, ENOENT);
    if (x && x->is_dir)
        return leave(s, EISDIR);
    if (x && (flags & XE_IO_EXCLUSIVE))
        return leave(s, EEXIST);
    if (!has_parent(s, path))
        return leave(s, ENOENT);
    if (!x) {
        x = node_new(s, false);
        change_name(s, path, NULL, x);
    }
    if (flags & XE_IO_EMPTY)
        set_size(x, 0);
    struct handle *h = calloc(1, sizeof *h);
    CHECK(h);
    *h = (struct handle){.node = x, .sim = s, .life = s->life, .writable = flags & XE_IO_WRITABLE};
    s->n_open++;
    *out = &h->f;
    return leave(s, 0);
}

static int sim_close(struct xe_file *f)
{
    struct handle *h = handle_of(f);
    struct sim *s = h->sim;
    int code = enter_file(f, XE_IO_CLOSE);
    if (h->node->locked == h)
        h->node->locked = NULL;
    s->n_open--;
    free(h);
    return leave(s, code);
}

static int sim_read(struct xe_file *f, void *to, size_t n, uint64_t offset, size_t *got)
{
    struct handle *h = handle_of(f);
    struct node *x = h->node;
    int code = enter_file(f, XE_IO_READ);
    if (code == 0 && cut_short(h->sim))
        code = EINTR;
    if (code)
        return leave(h->sim, code);
    size_t left = offset < x->size ? x->size - offset : 0;
    *got = n < left ? n : left;
    if (*got > 1 && cut_short(h->sim))
        *got = 1 + rng_below(&h->sim->rng, *got - 1);
    if (*got)
        memcpy(to, x->cache + offset, *got);
    return leave(h->sim, 0);
}

/* Writes the first `most` bytes. */
static size_t store_vectors(struct handle *h, const struct iovec *v, int n, size_t at, size_t most)
{
    size_t put = 0;
    for (int i = 0; i < n && put < most; i++) {
        size_t len = v[i].iov_len < most - put ? v[i].iov_len : most - put;
        store(h->sim, h->node, v[i].iov_base, len, at + put);
        put += len;
    }
    return put;
}

static int sim_write(struct xe_file *f, const struct iovec *v, int n, uint64_t offset, size_t *put)
{
    struct handle *h = handle_of(f);
    struct sim *s = h->sim;
    bool was_crashed = sim_has_crashed(s);
    int code = enter_file(f, XE_IO_WRITE);
    size_t all = 0;
    for (int i = 0; i < n; i++)
        all += v[i].iov_len;
    CHECK(h->writable);
    if (code && (was_crashed || h->life != s->life))
        return leave(s, code);
    if (code == 0 && cut_short(s))
        return leave(s, EINTR);
    uint64_t end = offset + all, used = bytes_in_use(s);
    uint64_t more = end > h->node->size ? end - h->node->size : 0;
    size_t most = all;
    if (code || cut_short(s))
        most = all > 1 ? rng_below(&s->rng, all) : 0;
    if (code == 0 && most == 0)
        most = all > 0;
    if (more && used + more > s->capacity) {
        most =
            more > all || used + more - s->capacity > all ? 0 : all - (used + more - s->capacity);
        code = code || most > 0 ? code : ENOSPC;
    }
    *put = store_vectors(h, v, n, offset, most);
    return leave(s, code);
}

static int sim_sync(struct xe_file *f, bool data)
{
    struct handle *h = handle_of(f);
    int code = enter_file(f, XE_IO_SYNC);
    (void)data;
    if (h->life == h->sim->life && !h->sim->crashed)
        sync_node(h->sim, h->node, code == 0);
    return leave(h->sim, code);
}

static int sim_size(struct xe_file *f, uint64_t *bytes)
{
    struct handle *h = handle_of(f);
    int code = enter_file(f, XE_IO_SIZE);
    *bytes = h->node->size;
    return leave(h->sim, code);
}

static int resize(struct xe_file *f, enum xe_io_op op, uint64_t bytes, bool grow_only)
{
    struct handle *h = handle_of(f);
    struct sim *s = h->sim;
    int code = enter_file(f, op);
    uint64_t size = h->node->size;
    if (code == 0 && bytes > size && bytes_in_use(s) + bytes - size > s->capacity)
        code = ENOSPC;
    if (code == 0 && (bytes > size || !grow_only))
        set_size(h->node, bytes);
    return leave(s, code);
}

static int sim_truncate(struct xe_file *f, uint64_t bytes)
{
    return resize(f, XE_IO_TRUNCATE, bytes, false);
}

static int sim_allocate(struct xe_file *f, uint64_t bytes)
{
    return resize(f, XE_IO_ALLOCATE, bytes, true);
}

static int sim_lock(const struct xe_io *io, struct xe_file *f, const char *path)
{
    struct handle *h = handle_of(f);
    char at[PATH_BYTES];
    int code = enter_file(f, XE_IO_LOCK);
    if (code == 0 && h->node->locked)
        code = EWOULDBLOCK;
    else if (code == 0 && node_at(h->sim, whole(io, path, at)) != h->node)
        code = ESTALE;
    else if (code == 0)
        h->node->locked = h;
    return leave(h->sim, code);
}

static int sim_rename(const struct xe_io *io, const char *from, const char *to)
{
    struct sim *s = sim_of(io);
    char from_at[PATH_BYTES], to_at[PATH_BYTES];
    int code = enter(s, XE_IO_RENAME);
    struct node *x = node_at(s, from = whole(io, from, from_at));
    to = whole(io, to, to_at);
    if (code == 0 && (!x || !has_parent(s, to)))
        code = ENOENT;
    else if (code == 0 && x->is_dir && node_at(s, to))
        code = EEXIST;
    if (code == 0 && x->is_dir)
        move_dir(s, from, to);
    else if (code == 0)
        change_name(s, to, from, x);
    return leave(s, code);
}

static bool is_empty(struct sim *s, const char *dir)
{
    for (uint32_t i = 0; i < s->shown.n; i++)
        if (is_in(s->shown.at[i].path, dir))
            return false;
    return true;
}

static int remove_name(const struct xe_io *io, const char *path, enum xe_io_op op)
{
    struct sim *s = sim_of(io);
    char at[PATH_BYTES];
    int code = enter(s, op);
    struct node *x = node_at(s, path = whole(io, path, at));
    if (code == 0 && !x)
        code = ENOENT;
    else if (code == 0 && x->is_dir != (op == XE_IO_RMDIR))
        code = x->is_dir ? EISDIR : ENOTDIR;
    else if (code == 0 && x->is_dir && !is_empty(s, path))
        code = ENOTEMPTY;
    if (code == 0)
        change_name(s, path, NULL, NULL);
    return leave(s, code);
}

static int sim_unlink(const struct xe_io *io, const char *path)
{
    return remove_name(io, path, XE_IO_UNLINK);
}

static int sim_rmdir(const struct xe_io *io, const char *path)
{
    return remove_name(io, path, XE_IO_RMDIR);
}

static int sim_mkdir(const struct xe_io *io, const char *path)
{
    struct sim *s = sim_of(io);
    char at[PATH_BYTES];
    int code = enter(s, XE_IO_MKDIR);
    path = whole(io, path, at);
    if (code == 0 && node_at(s, path))
        code = EEXIST;
    else if (code == 0 && !has_parent(s, path))
        code = ENOENT;
    if (code == 0)
        change_name(s, path, NULL, node_new(s, true));
    return leave(s, code);
}

static int sim_list(const struct xe_io *io, const char *path,
                    int (*see)(void *arg, const char *name), void *arg)
{
    struct sim *s = sim_of(io);
    char at[PATH_BYTES];
    int code = enter(s, XE_IO_LIST);
    struct node *x = node_at(s, path = whole(io, path, at));
    if (code == 0 && (!x || !x->is_dir))
        code = x ? ENOTDIR : ENOENT;
    for (uint32_t i = 0; code == 0 && i < s->shown.n; i++)
        if (is_in(s->shown.at[i].path, path))
            code = see(arg, s->shown.at[i].path + strlen(path) + 1);
    return leave(s, code);
}

static int sim_sync_dir(const struct xe_io *io, const char *path)
{
    struct sim *s = sim_of(io);
    char at[PATH_BYTES];
    int code = enter(s, XE_IO_SYNC_DIR);
    path = whole(io, path, at);
    bool root = strcmp(path, ".") == 0 || strcmp(path, "/") == 0;
    for (uint32_t i = 0; code == 0 && i < s->n_changes;) {
        const char *p = s->changes[i].path;
        if (!(root ? !strchr(p + 1, '/') : is_in(p, path))) {
            i++;
            continue;
        }
        apply(&s->on_disk, &s->changes[i]);
        drop_change(s, i);
    }
    return leave(s, code);
}

static int sim_hold(const struct xe_io *io, const char *path, struct xe_io_dir *out)
{
    struct sim *s = sim_of(io);
    char at[PATH_BYTES];
    int code = enter(s, XE_IO_OPEN);
    struct node *x = node_at(s, whole(io, path, at));
    if (code == 0 && (!x || !x->is_dir))
        code = x ? ENOTDIR : ENOENT;
    if (code == 0) {
        out->io.context = x;
        s->n_open++;
    }
    return leave(s, code);
}

static void sim_let_go(const struct xe_io *io)
{
    struct sim *s = sim_of(io);
    pthread_mutex_lock(&s->lock);
    s->n_open--;
    pthread_mutex_unlock(&s->lock);
}

static uint64_t sim_random(const struct xe_io *io)
{
    struct sim *s = sim_of(io);
    pthread_mutex_lock(&s->lock);
    uint64_t r = rng_next(&s->rng);
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* --- The disk ---------------------------------------------------------------- */

struct sim *sim_new(uint64_t seed)
{
    struct sim *s = calloc(1, sizeof *s);
    CHECK(s);
    s->io = (struct xe_io){
        .open = sim_open,
        .close = sim_close,
        .read = sim_read,
        .write = sim_write,
        .sync = sim_sync,
        .size = sim_size,
        .truncate = sim_truncate,
        .allocate = sim_allocate,
        .lock = sim_lock,
        .rename = sim_rename,
        .unlink = sim_unlink,
        .mkdir = sim_mkdir,
        .rmdir = sim_rmdir,
        .list = sim_list,
        .sync_dir = sim_sync_dir,
        .hold = sim_hold,
        .let_go = sim_let_go,
        .random = sim_random,
        .context = s,
    };
    pthread_mutex_init(&s->lock, NULL);
    s->rng = rng_for(seed);
    s->capacity = s->fail_at = s->crash_at = UINT64_MAX;
    return s;
}

void sim_free(struct sim *s)
{
    CHECK(s->n_open == 0);
    while (s->n_changes)
        drop_change(s, s->n_changes - 1);
    clear_names(&s->shown);
    clear_names(&s->on_disk);
    for (struct node *x = s->nodes, *next; x; x = next) {
        next = x->next;
        free(x->cache);
        free(x->disk);
        free(x->dirty);
        free(x);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const struct xe_io *sim_io(struct sim *s)
{
    return &s->io;
}

uint64_t sim_calls(struct sim *s)
{
    pthread_mutex_lock(&s->lock);
    uint64_t n = s->calls;
    pthread_mutex_unlock(&s->lock);
    return n;
}

void sim_fail(struct sim *s, uint64_t call, int code, bool after, uint32_t ops)
{
    pthread_mutex_lock(&s->lock);
    s->fail_at = call;
    s->fail_code = code;
    s->fail_after = after;
    s->fail_ops = ops;
    s->has_failed = false;
    pthread_mutex_unlock(&s->lock);
}

bool sim_has_failed(struct sim *s)
{
    pthread_mutex_lock(&s->lock);
    bool failed = s->has_failed;
    pthread_mutex_unlock(&s->lock);
    return failed;
}

void sim_crash(struct sim *s, uint64_t call)
{
    pthread_mutex_lock(&s->lock);
    s->crash_at = call;
    pthread_mutex_unlock(&s->lock);
}

bool sim_has_crashed(struct sim *s)
{
    pthread_mutex_lock(&s->lock);
    bool crashed = s->crashed;
    pthread_mutex_unlock(&s->lock);
    return crashed;
}

void sim_short(struct sim *s, uint32_t n)
{
    s->cut = n;
}

void sim_capacity(struct sim *s, uint64_t bytes)
{
    s->capacity = bytes;
}

static void new_life(struct sim *s)
{
    s->life++;
    s->crashed = s->has_failed = false;
    s->crash_at = s->fail_at = UINT64_MAX;
    for (struct node *x = s->nodes; x; x = x->next)
        x->locked = NULL;
}

void sim_kill(struct sim *s)
{
    pthread_mutex_lock(&s->lock);
    new_life(s);
    pthread_mutex_unlock(&s->lock);
}

/* What the disk has of a file becomes what there is. */
static void forget(struct sim *s, struct node *x)
{
    size_t old = x->disk_size, end = x->size;
    sync_node(s, x, false);
    if (old != end && rng_chance(&s->rng, 1, 2)) {
        size_t low = old < end ? old : end, more = (old < end ? end : old) - low;
        old = rng_chance(&s->rng, 1, 2) ? end : low + rng_below(&s->rng, more);
    }
    memcpy(x->cache, x->disk, x->cap);
    if (old < x->cap)
        memset(x->cache + old, 0, x->cap - old);
    memcpy(x->disk, x->cache, x->cap);
    x->size = x->disk_size = old;
}

void sim_power_off(struct sim *s)
{
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < s->n_changes; i++)
        if (rng_chance(&s->rng, 1, 2))
            apply(&s->on_disk, &s->changes[i]);
    while (s->n_changes)
        drop_change(s, s->n_changes - 1);
    copy_names(&s->shown, &s->on_disk);
    for (struct node *x = s->nodes; x; x = x->next)
        if (x->cap)
            forget(s, x);
    new_life(s);
    pthread_mutex_unlock(&s->lock);
}

/* --- From outside -------------------------------------------------------------- */

uint8_t *sim_bytes(struct sim *s, const char *path, size_t *n)
{
    struct node *x = node_at(s, path);
    if (!x || x->is_dir)
        return NULL;
    ensure(x, 1);
    *n = x->size;
    return x->cache;
}

void sim_put(struct sim *s, const char *path, const void *bytes, size_t n)
{
    struct node *x = node_new(s, false);
    set_size(x, n);
    if (n)
        store(s, x, bytes, n, 0);
    sync_node(s, x, true);
    set_name(&s->shown, path, x);
    set_name(&s->on_disk, path, x);
}

void sim_remove(struct sim *s, const char *path)
{
    set_name(&s->shown, path, NULL);
    set_name(&s->on_disk, path, NULL);
}

const char *sim_name(struct sim *s, uint32_t i)
{
    return i < s->shown.n ? s->shown.at[i].path : NULL;
}

struct sim *sim_copy(struct sim *s, uint64_t seed)
{
    struct sim *copy = sim_new(seed);
    for (uint32_t i = 0; i < s->shown.n; i++) {
        struct name *x = &s->shown.at[i];
        if (!x->node->is_dir) {
            sim_put(copy, x->path, x->node->cache, x->node->size);
        } else {
            struct node *dir = node_new(copy, true);
            set_name(&copy->shown, x->path, dir);
            set_name(&copy->on_disk, x->path, dir);
        }
    }
    return copy;
}
