/*
 * bench_pages.c - what images do to an allocator: time, fragmentation, give-back.
 *
 * The life of images, as table.h's rebuilds make it: an image of 9 KiB grows by
 * a factor of 1.2-1.4, always by allocating the new one before the old one is
 * retired, until it reaches a limit drawn from 48-64 KiB, where it becomes two
 * halves. Then 90 % of all objects are deleted at random: in random order every
 * image is replaced by one a tenth of its size. What is retired is freed 16
 * retires later, as after a grace period.
 *
 *   fragment.   resident / bytes asked for, at the end of the growth
 *   given back  1 - resident after the deletions / resident before
 *   collected   the same after mi_collect() or malloc_trim(), which the table
 *               could call only from a thread that stops all others meanwhile
 *   ideal       1 - bytes asked for after / resident before
 *
 * Each allocator runs in a process of its own. Results go to the header of
 * c_src/core/pages.c c_src/core/area.c.
 *
 * cc -O2 -I c_src/core test/core/bench_pages.c c_src/core/pages.c c_src/core/area.c -lpthread
 *    [-DWITH_MIMALLOC -ldl]  (the shared library: linked in, it would be malloc)
 * bench_pages [--small | MiB [threads [seed]]]
 *
 * Fails if ours fragments by more than 15 % or gives back less than 80 %; --small
 * is 4 MiB, where that is not asked.
 */
#ifdef WITH_MIMALLOC
#include <dlfcn.h>
#endif
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pages.h"

enum { IMAGE_MIN = 9 * 1024, IMAGE_MAX = 64 * 1024, DELAY = 16, THREADS_MAX = 64, SMALL_MIB = 4 };

struct allocator {
    const char *name;
    void *(*alloc)(size_t bytes, size_t *got);
    void (*free)(void *p, size_t got);
    void (*collect)(void);
};

struct image {
    void *p;
    size_t size, got, limit;
};

struct worker {
    const struct allocator *with;
    uint64_t seed, ops, ns;
    size_t target; /* bytes to grow to */
    struct image *images;
    size_t n, live, room;
    struct image retired[DELAY];
    uint32_t at;
};

static uint64_t next_random(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* What asking the time costs, to be taken off each sample. */
static uint64_t clock_cost(void)
{
    uint64_t t = now_ns();
    for (int i = 0; i < 100000; i++)
        now_ns();
    return (now_ns() - t) / 100000;
}

static uint64_t timer;

static void timed_free(struct worker *w, struct image *im)
{
    if (im->p == NULL)
        return;
    uint64_t t = now_ns();
    w->with->free(im->p, im->got);
    w->ns += now_ns() - t - timer;
    w->live -= im->size;
    im->p = NULL;
}

static struct image timed_alloc(struct worker *w, size_t size)
{
    struct image im = {NULL, size, 0, 0};
    uint64_t t = now_ns();
    im.p = w->with->alloc(size, &im.got);
    w->ns += now_ns() - t - timer;
    if (im.p == NULL)
        abort();
    w->ops++;
    for (size_t i = 0; i < size; i += 512)
        ((volatile char *)im.p)[i] = 1;
    im.limit = IMAGE_MAX * 3 / 4 + next_random(&w->seed) % (IMAGE_MAX / 4);
    w->live += size;
    return im;
}

static void retire(struct worker *w, struct image im)
{
    struct image *slot = &w->retired[w->at++ % DELAY];
    timed_free(w, slot);
    *slot = im;
}

static void grow(struct worker *w)
{
    while (w->live < w->target && w->n < w->room) {
        struct image *im = &w->images[next_random(&w->seed) % w->n], old = *im;
        size_t size = old.size * (1200 + next_random(&w->seed) % 200) / 1000;
        if (size > old.limit) {
            w->images[w->n++] = timed_alloc(w, old.size / 2);
            size = old.size / 2;
        }
        *im = timed_alloc(w, size);
        retire(w, old);
    }
}

static void shrink(struct worker *w)
{
    for (size_t i = w->n; i > 1; i--) {
        size_t k = next_random(&w->seed) % i;
        struct image t = w->images[i - 1];
        w->images[i - 1] = w->images[k];
        w->images[k] = t;
    }
    for (size_t i = 0; i < w->n; i++) {
        struct image old = w->images[i];
        w->images[i] = timed_alloc(w, old.size / 10);
        retire(w, old);
    }
    for (uint32_t i = 0; i < DELAY; i++)
        timed_free(w, &w->retired[i]);
}

/* The threads wait here before and after each phase, while main() measures. */
static pthread_barrier_t gate;

static void *work(void *arg)
{
    struct worker *w = arg;
    pthread_barrier_wait(&gate);
    for (w->n = 0; w->n < 16; w->n++)
        w->images[w->n] = timed_alloc(w, IMAGE_MIN);
    grow(w);
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    shrink(w);
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    w->with->collect();
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    return NULL;
}

static size_t resident(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%*s %zu", &pages) != 1)
        abort();
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

struct phase {
    double ns_per_op, wall_us_per_op;
    size_t live, resident;
};

static struct phase run_phase(struct worker *w, int threads, size_t base)
{
    struct phase r = {0};
    uint64_t ops = 0, ns = 0, start = now_ns();
    for (int i = 0; i < threads; i++)
        w[i].ops = w[i].ns = 0;
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    for (int i = 0; i < threads; i++) {
        ops += w[i].ops;
        ns += w[i].ns;
        r.live += w[i].live;
    }
    r.wall_us_per_op = (double)(now_ns() - start) / 1e3 / (double)ops * threads;
    r.ns_per_op = (double)ns / (double)ops;
    r.resident = resident() - base;
    return r;
}

static void start(struct worker *w, const struct allocator *with, size_t mib, int threads,
                  uint64_t seed, pthread_t *t)
{
    pthread_barrier_init(&gate, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        size_t target = (mib << 20) / (size_t)threads, room = target / (IMAGE_MIN / 4) + 64;
        w[i] = (struct worker){.with = with, .seed = seed + (uint64_t)i, .target = target,
                               .room = room};
        w[i].images = malloc(room * sizeof *w[i].images);
        if (w[i].images == NULL)
            abort();
        memset(w[i].images, 1, room * sizeof *w[i].images); /* resident before the start */
        if (pthread_create(&t[i], NULL, work, &w[i]) != 0)
            abort();
    }
}

/* Returns whether the allocator met what is asked of ours. */
static bool run(const struct allocator *with, size_t mib, int threads, uint64_t seed)
{
    static struct worker w[THREADS_MAX];
    pthread_t t[THREADS_MAX];
    timer = clock_cost();
    start(w, with, mib, threads, seed, t);
    size_t base = resident();
    struct phase g = run_phase(w, threads, base);
    struct phase s = run_phase(w, threads, base);
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    double collected = 1 - (double)(resident() - base) / (double)g.resident;
    pthread_barrier_wait(&gate);
    for (int i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    double frag = (double)g.resident / (double)g.live - 1;
    double back = 1 - (double)s.resident / (double)g.resident;
    double ideal = 1 - (double)s.live / (double)g.resident;
    printf("%-9s %5.0f %6.0f %8.2f %8.1f %% %9.1f %% %9.1f %% %7.1f %%\n", with->name, g.ns_per_op,
           s.ns_per_op, g.wall_us_per_op, 100 * frag, 100 * back, 100 * collected, 100 * ideal);
    fflush(stdout);
    return mib <= SMALL_MIB || (frag < 0.15 && back > 0.80);
}

static void *plain_alloc(size_t bytes, size_t *got)
{
    *got = bytes;
    return malloc(bytes);
}

static void plain_free(void *p, size_t got)
{
    (void)got;
    free(p);
}

static void plain_collect(void)
{
    malloc_trim(0);
}

static void nothing(void)
{
}

#ifdef WITH_MIMALLOC
static void *(*mi_malloc)(size_t bytes);
static void (*mi_free)(void *p);
static void (*mi_collect)(bool force);

static void *mimalloc_alloc(size_t bytes, size_t *got)
{
    *got = bytes;
    return mi_malloc(bytes);
}

static void mimalloc_free(void *p, size_t got)
{
    (void)got;
    mi_free(p);
}

static void mimalloc_collect(void)
{
    mi_collect(true);
}

static void mimalloc_load(void)
{
    void *lib = dlopen("libmimalloc.so.2", RTLD_NOW | RTLD_LOCAL);
    if (lib == NULL)
        abort();
    *(void **)&mi_malloc = dlsym(lib, "mi_malloc");
    *(void **)&mi_free = dlsym(lib, "mi_free");
    *(void **)&mi_collect = dlsym(lib, "mi_collect");
}
#endif

int main(int argc, char **argv)
{
    static const struct allocator all[] = {
        {"pages", xe_pages_alloc, xe_pages_free, nothing},
        {"malloc", plain_alloc, plain_free, plain_collect},
#ifdef WITH_MIMALLOC
        {"mimalloc", mimalloc_alloc, mimalloc_free, mimalloc_collect},
#endif
    };
    bool small = argc > 1 && strcmp(argv[1], "--small") == 0;
    size_t mib = small ? SMALL_MIB : argc > 1 ? strtoul(argv[1], NULL, 0) : 256;
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    if (mib == 0 || threads < 1 || threads > THREADS_MAX)
        return 2;
#ifdef WITH_MIMALLOC
    mimalloc_load();
#endif
    bool ok = true;
    printf("%zu MiB, %d threads, seed %" PRIu64 "\n", mib, threads, seed);
    printf("          ns / alloc+free  us with\n"
           "            grow shrink   faults  fragment. given back  collected     ideal\n");
    fflush(stdout);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0)
            _exit(run(&all[i], mib, threads, seed) ? 0 : 1);
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            return 2;
        if (i == 0)
            ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return ok ? 0 : 1;
}
