/*
 * test_reclaim.c - jobs after a grace period, sweeps, sleep, and changing hands.
 *
 * A second copy of the library, as an upgrade loads it, is reclaim.c once more
 * under other names.
 *
 * test_reclaim [seed]
 */
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "epoch.h"
#include "reclaim.h"

#define xe_reclaim_start second_start
#define xe_reclaim_stop second_stop
#define xe_reclaim_dismiss second_dismiss
#define xe_reclaim_push second_push
#define xe_reclaim_push_io second_push_io
#define xe_reclaim_drain second_drain
#include "../../c_src/core/reclaim.c"
#undef xe_reclaim_start
#undef xe_reclaim_stop
#undef xe_reclaim_dismiss
#undef xe_reclaim_push
#undef xe_reclaim_push_io
#undef xe_reclaim_drain

/* How long a wait for an event may take before the test has failed. */
enum { PATIENCE_S = 60 };

static uint64_t seed = 1;

static uint64_t next_random(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* --- An event: a number that only grows, and can be awaited --------------- */

static pthread_mutex_t event_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t event_cond = PTHREAD_COND_INITIALIZER;
static uint64_t events;

/* *which: how many have happened with this one. Who awaits it may end the life of *which. */
static void happen_as(uint64_t *which)
{
    pthread_mutex_lock(&event_lock);
    *which = ++events;
    pthread_cond_broadcast(&event_cond);
    pthread_mutex_unlock(&event_lock);
}

static void happen(void)
{
    uint64_t which;
    happen_as(&which);
}

static uint64_t happened(void)
{
    pthread_mutex_lock(&event_lock);
    uint64_t n = events;
    pthread_mutex_unlock(&event_lock);
    return n;
}

static bool await(uint64_t n)
{
    struct timespec limit;
    int error = 0;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&event_lock);
    while (events < n && error == 0)
        error = pthread_cond_timedwait(&event_cond, &event_lock, &limit);
    bool ok = events >= n;
    pthread_mutex_unlock(&event_lock);
    return ok;
}

static int set_up(void **state)
{
    (void)state;
    events = 0;
    return xe_epoch_init() == XE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    xe_reclaim_stop();
    second_stop();
    xe_epoch_shutdown();
    return 0;
}

/* --- Jobs and things ----------------------------------------------------- */

struct work {
    struct xe_reclaim_job job;
    uint64_t order; /* which one to run it was */
};

static void run_work(struct xe_reclaim_job *job)
{
    happen_as(&((struct work *)job)->order);
}

/* What is to be so of either lane. */
typedef void push_fn(struct xe_reclaim_job *);
static push_fn *const pushes[XE_RECLAIM_LANES] = {[XE_RECLAIM_MEMORY] = xe_reclaim_push,
                                                  [XE_RECLAIM_IO] = xe_reclaim_push_io};

static struct work new_work(void)
{
    return (struct work){{NULL, run_work}, 0};
}

static void free_thing(struct xe_retired *r)
{
    free(r);
    happen();
}

static struct xe_retired *new_thing(void)
{
    struct xe_retired *r = malloc(sizeof *r);
    if (r == NULL)
        abort();
    *r = (struct xe_retired){.free = free_thing, .bytes = 64};
    return r;
}

static void retire_thing(void)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    xe_epoch_retire(slot, new_thing());
    xe_epoch_leave(slot);
}

/* Outside of sections: the first sweep can free it. */
static void retire_outside(void)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    xe_epoch_leave(slot);
    xe_epoch_retire(slot, new_thing());
}

static bool is_asleep(void)
{
    return atomic_load_explicit(&xe_epoch_the->asleep, memory_order_relaxed) != 0;
}

static void await_sleep(void)
{
    while (!is_asleep())
        sched_yield();
}

/* --- Tests --------------------------------------------------------------- */

static void jobs_run_in_the_order_of_their_pushes(void **state)
{
    (void)state;
    struct work w[50];
    assert_true(xe_reclaim_start(NULL));
    for (uint64_t lane = 0; lane < XE_RECLAIM_LANES; lane++) {
        for (int i = 0; i < 50; i++) {
            w[i] = new_work();
            pushes[lane](&w[i].job);
        }
        assert_true(await(50 * lane + 50));
        xe_reclaim_drain();
        for (uint64_t i = 0; i < 50; i++)
            assert_true(w[i].order == 50 * lane + i + 1);
    }
}

static void a_job_waits_for_the_sections_open_at_its_push(void **state)
{
    (void)state;
    assert_true(xe_reclaim_start(NULL));
    for (uint64_t lane = 0; lane < XE_RECLAIM_LANES; lane++) {
        struct work w = new_work();
        struct xe_epoch_slot *slot = xe_epoch_enter();
        uint64_t now = xe_epoch_now();
        pushes[lane](&w.job);
        /* It tries: the clock moves by the one step that this section allows. */
        while (xe_epoch_now() == now && happened() == lane)
            sched_yield();
        for (int i = 0; i < 1000; i++) {
            sched_yield();
            assert_true(happened() == lane);
        }
        xe_epoch_leave(slot);
        assert_true(await(lane + 1));
    }
}

static void retire_in_job(struct xe_reclaim_job *job)
{
    (void)job;
    retire_thing();
    happen();
}

static void what_a_job_retires_is_freed(void **state)
{
    (void)state;
    struct xe_reclaim_job job = {NULL, retire_in_job};
    assert_true(xe_reclaim_start(NULL));
    xe_reclaim_push(&job);
    assert_true(await(2));
}

static void free_and_retire(struct xe_retired *r)
{
    free(r);
    retire_thing();
    happen();
}

static void enter_in_job(struct xe_reclaim_job *job)
{
    (void)job;
    xe_epoch_leave(xe_epoch_enter());
    happen();
}

/*
 * The reclaimer's limbo comes before this thread's, so that the sweep that frees
 * the first thing has passed it when the second gets there: the reclaimer must
 * look again before it sleeps.
 */
static void what_a_sweep_retires_is_freed(void **state)
{
    (void)state;
    struct xe_reclaim_job job = {NULL, enter_in_job};
    assert_true(xe_reclaim_start(NULL));
    xe_reclaim_push(&job);
    assert_true(await(1));
    await_sleep();
    struct xe_retired *r = new_thing();
    r->free = free_and_retire;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_ptr_equal(slot, &xe_epoch_the->slots[1]);
    xe_epoch_leave(slot);
    xe_epoch_retire(slot, r);
    assert_true(await(3));
}

static void *retire_and_end(void *arg)
{
    for (int i = 0; i < 5; i++)
        retire_thing();
    return arg;
}

static void the_limbo_of_a_quiet_thread_is_swept(void **state)
{
    (void)state;
    pthread_t t;
    assert_true(xe_reclaim_start(NULL));
    assert_int_equal(pthread_create(&t, NULL, retire_and_end, NULL), 0);
    pthread_join(t, NULL);
    assert_true(await(5));
}

/* Each retire races with the reclaimer on its way to sleep. */
static void a_retire_wakes_the_sleeper(void **state)
{
    (void)state;
    uint64_t s = seed;
    assert_true(xe_reclaim_start(NULL));
    for (uint64_t i = 1; i <= 2000; i++) {
        retire_outside();
        assert_true(await(i));
        for (uint64_t spin = next_random(&s) % 2000; spin > 0; spin--)
            xe_cpu_relax();
    }
}

static void with_nothing_to_do_it_sleeps(void **state)
{
    (void)state;
    assert_true(xe_reclaim_start(NULL));
    await_sleep();
    for (uint64_t i = 1; i <= 20; i++) {
        retire_outside();
        assert_true(await(i));
        await_sleep();
    }
    /* Asleep means: it no longer moves the clock, whatever the others do. */
    uint64_t now = xe_epoch_now();
    for (int i = 0; i < 1000; i++) {
        xe_epoch_leave(xe_epoch_enter());
        sched_yield();
        assert_true(is_asleep());
    }
    assert_true(xe_epoch_now() == now);
}

static void a_section_that_lasts_delays_only_the_freeing(void **state)
{
    (void)state;
    struct xe_epoch_slot *slot;
    pthread_t t;
    assert_true(xe_reclaim_start(NULL));
    slot = xe_epoch_enter();
    assert_int_equal(pthread_create(&t, NULL, retire_and_end, NULL), 0);
    pthread_join(t, NULL);
    assert_true(happened() == 0);
    assert_false(is_asleep()); /* it comes back to see */
    xe_epoch_leave(slot);
    assert_true(await(5));
}

static void draining_frees_all_from_before(void **state)
{
    (void)state;
    struct work w[4] = {new_work(), new_work(), new_work(), new_work()};
    assert_true(xe_reclaim_start(NULL));
    for (uint64_t round = 1; round <= 100; round++) {
        for (int i = 0; i < 7; i++)
            retire_thing();
        for (int i = 0; i < 4; i++)
            pushes[i % XE_RECLAIM_LANES](&w[i].job);
        xe_reclaim_drain();
        assert_true(happened() == 11 * round);
    }
}

/* What a job in the one lane has pushed into the other. */
static struct work pushed;

static void push_in_job(struct xe_reclaim_job *job)
{
    (void)job;
    xe_reclaim_push(&pushed.job);
    happen();
}

static void draining_frees_what_files_held(void **state)
{
    (void)state;
    struct xe_reclaim_job job = {NULL, push_in_job};
    assert_true(xe_reclaim_start(NULL));
    for (uint64_t round = 1; round <= 100; round++) {
        pushed = new_work();
        xe_reclaim_push_io(&job);
        xe_reclaim_drain();
        assert_true(happened() == 2 * round);
    }
}

static void draining_without_a_thread_does_the_work(void **state)
{
    (void)state;
    struct work w = new_work(), io = new_work();
    retire_thing();
    xe_reclaim_push(&w.job);
    xe_reclaim_push_io(&io.job);
    xe_reclaim_drain();
    assert_true(happened() == 3);
}

static void stopping_keeps_the_queue_for_the_next_start(void **state)
{
    (void)state;
    struct work w[10];
    for (int round = 0; round < 20; round++) {
        push_fn *push_job = pushes[round % XE_RECLAIM_LANES];
        assert_true(xe_reclaim_start(NULL));
        uint64_t before = happened();
        for (int i = 0; i < 10; i++) {
            w[i] = new_work();
            push_job(&w[i].job);
        }
        xe_reclaim_stop();
        assert_true(xe_reclaim_start(NULL));
        xe_reclaim_drain();
        assert_true(happened() == before + 10);
        for (int i = 1; i < 10; i++)
            assert_true(w[i].order == w[i - 1].order + 1);
        xe_reclaim_stop();
    }
}

static void the_newest_copy_serves(void **state)
{
    (void)state;
    struct work w[10];
    for (int round = 0; round < 20; round++) {
        push_fn *push_job = pushes[round % XE_RECLAIM_LANES];
        uint64_t before = happened();
        assert_true(xe_reclaim_start(NULL));
        for (int i = 0; i < 5; i++) {
            w[i] = new_work();
            push_job(&w[i].job);
        }
        assert_true(second_start(NULL));
        for (int i = 5; i < 10; i++) {
            w[i] = new_work();
            push_job(&w[i].job);
        }
        xe_reclaim_stop(); /* joins a thread that has ended, or is about to */
        second_drain();
        assert_true(happened() == before + 10);
        for (int i = 1; i < 10; i++)
            assert_true(w[i].order == w[i - 1].order + 1);
        second_stop();
    }
}

static pthread_t ran_on;

static void note_thread(struct xe_reclaim_job *job)
{
    (void)job;
    ran_on = pthread_self();
    happen();
}

static uint64_t generation(int which)
{
    struct xe_reclaim_lane *lane = &xe_epoch_the->lanes[which];
    pthread_mutex_lock(&lane->lock);
    uint64_t g = lane->generation;
    pthread_mutex_unlock(&lane->lock);
    return g;
}

static pthread_t thread_of(int lane)
{
    struct xe_reclaim_job job = {NULL, note_thread};
    uint64_t before = happened();
    pushes[lane](&job);
    assert_true(await(before + 1));
    return ran_on;
}

static void an_older_copy_gives_way_without_being_stopped(void **state)
{
    (void)state;
    assert_true(xe_reclaim_start(NULL));
    pthread_t first[XE_RECLAIM_LANES];
    uint64_t g[XE_RECLAIM_LANES];
    for (int lane = 0; lane < XE_RECLAIM_LANES; lane++) {
        first[lane] = thread_of(lane);
        g[lane] = generation(lane);
    }
    assert_false(pthread_equal(first[0], first[1]));
    assert_true(second_start(NULL));
    for (int lane = 0; lane < XE_RECLAIM_LANES; lane++) {
        for (int i = 0; generation(lane) == g[lane]; i++) {
            assert_true(i < 1000000);
            sched_yield();
        }
    }
    xe_reclaim_drain(); /* the one job that each of the first may be at */
    for (int lane = 0; lane < XE_RECLAIM_LANES; lane++)
        assert_false(pthread_equal(thread_of(lane), first[lane]));
}

/* Threads that can be joined after they were let go: the domain must outlive them. */
static pthread_t let_go[XE_RECLAIM_LANES];
static int n_started, n_let_go;

static bool keep_start(void **handle, void *(*f)(void *), void *arg)
{
    static pthread_t t[XE_RECLAIM_LANES];
    *handle = &t[n_started++ % XE_RECLAIM_LANES];
    return pthread_create(*handle, NULL, f, arg) == 0;
}

static void keep_detach(void *handle)
{
    let_go[n_let_go++ % XE_RECLAIM_LANES] = *(pthread_t *)handle;
}

static void join_let_go(void)
{
    for (int lane = 0; lane < XE_RECLAIM_LANES; lane++)
        pthread_join(let_go[lane], NULL);
}

static const struct xe_reclaim_threads kept = {keep_start, NULL, keep_detach};

/* A job that lasts until it is told to end. */
static _Atomic bool may_end;

static void wait_in_job(struct xe_reclaim_job *job)
{
    (void)job;
    happen();
    while (!may_end)
        sched_yield();
    happen();
}

/* The other lane goes over to the next thread meanwhile. */
static void let_go_in_job(int lane)
{
    struct xe_reclaim_job last = {NULL, wait_in_job}, next = {NULL, note_thread};
    struct work other = new_work();
    may_end = false;
    assert_true(xe_reclaim_start(&kept));
    pushes[lane](&last);
    assert_true(await(1));
    xe_reclaim_dismiss(); /* does not wait for the job */
    assert_true(happened() == 1);
    assert_true(xe_reclaim_start(NULL));
    pushes[lane](&next);
    pushes[1 - lane](&other.job);
    bool done = await(2);
    may_end = true;
    assert_true(await(4));
    assert_true(done && other.order == 2);
    join_let_go();
}

static void a_thread_that_is_let_go_finishes_its_job_and_gives_way(void **state)
{
    (void)state;
    let_go_in_job(XE_RECLAIM_MEMORY);
}

static void so_does_one_that_waits_for_a_disk(void **state)
{
    (void)state;
    let_go_in_job(XE_RECLAIM_IO);
}

/* While a job stands still in the one lane. */
static void stand_still_in(int lane, struct xe_reclaim_job *job)
{
    *job = (struct xe_reclaim_job){NULL, wait_in_job};
    may_end = false;
    assert_true(xe_reclaim_start(NULL));
    pushes[lane](job);
    assert_true(await(1));
}

static void memory_is_freed_while_a_disk_is_waited_for(void **state)
{
    (void)state;
    struct xe_reclaim_job job;
    struct work w[10];
    stand_still_in(XE_RECLAIM_IO, &job);
    for (int i = 0; i < 10; i++) {
        w[i] = new_work();
        xe_reclaim_push(&w[i].job);
        retire_thing();
    }
    bool freed = await(21);
    may_end = true;
    xe_reclaim_drain();
    assert_true(freed);
    assert_true(happened() == 22);
}

static void files_are_closed_while_memory_is_freed(void **state)
{
    (void)state;
    struct xe_reclaim_job job;
    struct work w[10];
    stand_still_in(XE_RECLAIM_MEMORY, &job);
    for (int i = 0; i < 10; i++) {
        w[i] = new_work();
        xe_reclaim_push_io(&w[i].job);
    }
    bool closed = await(11);
    may_end = true;
    xe_reclaim_drain();
    assert_true(closed);
    assert_true(happened() == 12);
}

static void what_is_pushed_while_nobody_serves_waits_for_the_next(void **state)
{
    (void)state;
    struct work w[XE_RECLAIM_LANES];
    assert_true(xe_reclaim_start(&kept));
    xe_reclaim_dismiss();
    xe_reclaim_dismiss(); /* nobody */
    join_let_go();
    for (int lane = 0; lane < XE_RECLAIM_LANES; lane++) {
        w[lane] = new_work();
        pushes[lane](&w[lane].job);
    }
    assert_true(second_start(NULL));
    assert_true(await(2));
}

static bool refuse(void **handle, void *(*f)(void *), void *arg)
{
    (void)handle;
    (void)f;
    (void)arg;
    return false;
}

static void a_thread_that_cannot_start_is_reported(void **state)
{
    (void)state;
    const struct xe_reclaim_threads none = {refuse, NULL, NULL};
    assert_false(xe_reclaim_start(&none));
    xe_reclaim_stop();
    assert_true(xe_reclaim_start(NULL));
}

/* All but the last one can be made. */
static int may_start;

static bool start_some(void **handle, void *(*f)(void *), void *arg)
{
    return may_start-- > 0 && posix_start(handle, f, arg);
}

static void what_has_not_started_starts_with_the_next_attempt(void **state)
{
    (void)state;
    const struct xe_reclaim_threads some = {start_some, posix_join, posix_detach};
    may_start = XE_RECLAIM_LANES - 1;
    assert_false(xe_reclaim_start(&some));
    pthread_t first = thread_of(XE_RECLAIM_MEMORY);
    uint64_t g = generation(XE_RECLAIM_MEMORY);
    may_start = 1;
    assert_true(xe_reclaim_start(&some));
    thread_of(XE_RECLAIM_IO);
    assert_true(pthread_equal(thread_of(XE_RECLAIM_MEMORY), first));
    assert_true(generation(XE_RECLAIM_MEMORY) == g);
}

/* --- Everything at once -------------------------------------------------- */

enum { PUSHERS = 3, ROUNDS = 3000 };

static void free_work(struct xe_reclaim_job *job)
{
    free(job);
    happen();
}

static void *push_and_retire(void *arg)
{
    uint64_t s = seed + (uintptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t r = next_random(&s);
        if (r % 2 == 0) {
            retire_thing();
        } else {
            struct work *w = malloc(sizeof *w);
            if (w == NULL)
                abort();
            w->job.run = free_work;
            pushes[r / 2 % XE_RECLAIM_LANES](&w->job);
        }
        if (r % 1024 == 0)
            xe_reclaim_drain();
    }
    return NULL;
}

static void all_that_was_given_is_freed(void **state)
{
    (void)state;
    pthread_t t[PUSHERS];
    assert_true(xe_reclaim_start(NULL));
    for (uintptr_t i = 0; i < PUSHERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, push_and_retire, (void *)i), 0);
    for (int i = 0; i < PUSHERS; i++)
        pthread_join(t[i], NULL);
    xe_reclaim_drain();
    assert_true(happened() == PUSHERS * ROUNDS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(jobs_run_in_the_order_of_their_pushes),
        TEST(a_job_waits_for_the_sections_open_at_its_push),
        TEST(what_a_job_retires_is_freed),
        TEST(what_a_sweep_retires_is_freed),
        TEST(the_limbo_of_a_quiet_thread_is_swept),
        TEST(a_retire_wakes_the_sleeper),
        TEST(with_nothing_to_do_it_sleeps),
        TEST(a_section_that_lasts_delays_only_the_freeing),
        TEST(draining_frees_all_from_before),
        TEST(draining_frees_what_files_held),
        TEST(draining_without_a_thread_does_the_work),
        TEST(stopping_keeps_the_queue_for_the_next_start),
        TEST(the_newest_copy_serves),
        TEST(an_older_copy_gives_way_without_being_stopped),
        TEST(a_thread_that_is_let_go_finishes_its_job_and_gives_way),
        TEST(so_does_one_that_waits_for_a_disk),
        TEST(memory_is_freed_while_a_disk_is_waited_for),
        TEST(files_are_closed_while_memory_is_freed),
        TEST(what_is_pushed_while_nobody_serves_waits_for_the_next),
        TEST(a_thread_that_cannot_start_is_reported),
        TEST(what_has_not_started_starts_with_the_next_attempt),
        TEST(all_that_was_given_is_freed),
    };
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %" PRIu64 "\n", seed);
    return cmocka_run_group_tests_name("reclaim", tests, NULL, NULL);
}
