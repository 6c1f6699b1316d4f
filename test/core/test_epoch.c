/*
 * test_epoch.c - the guarantees of epoch.h, by their labels.
 *
 * Build with the sanitizers; -DXE_NO_MEMBARRIER tests the fenced variant.
 * test_epoch [seed]
 */
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "epoch.h"

static uint64_t seed = 1;

static uint64_t next_random(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int set_up(void **state)
{
    (void)state;
    return xe_epoch_init() == XE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    xe_epoch_shutdown();
    return 0;
}

/* --- A thing that counts its frees --------------------------------------- */

static _Atomic uint32_t freed;

static void count_free(struct xe_retired *r)
{
    atomic_fetch_add_explicit(&freed, 1, memory_order_relaxed);
    free(r);
}

static struct xe_retired *thing(size_t bytes)
{
    struct xe_retired *r = malloc(sizeof *r);
    assert_non_null(r);
    *r = (struct xe_retired){.free = count_free, .bytes = bytes};
    return r;
}

static void retire(size_t bytes)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    xe_epoch_retire(slot, thing(bytes));
    xe_epoch_leave(slot);
}

static void reset_freed(void)
{
    atomic_store(&freed, 0);
}

/* --- A thread that holds a section open until it is told ------------------ */

struct holder {
    pthread_t thread;
    pthread_barrier_t gate; /* opened; then: may leave */
    const void *writing;
    uint64_t entered;
};

static void *hold(void *arg)
{
    struct holder *h = arg;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    h->entered = slot->epoch;
    if (h->writing != NULL)
        xe_epoch_write_enter(slot, h->writing);
    pthread_barrier_wait(&h->gate);
    pthread_barrier_wait(&h->gate);
    xe_epoch_leave(slot);
    return NULL;
}

static void holder_start(struct holder *h, const void *writing)
{
    h->writing = writing;
    assert_int_equal(pthread_barrier_init(&h->gate, NULL, 2), 0);
    assert_int_equal(pthread_create(&h->thread, NULL, hold, h), 0);
    pthread_barrier_wait(&h->gate);
}

static void holder_end(struct holder *h)
{
    pthread_barrier_wait(&h->gate);
    pthread_join(h->thread, NULL);
    pthread_barrier_destroy(&h->gate);
}

/* --- Sections and the clock ---------------------------------------------- */

static void a_slot_shows_the_clock_inside_sections_only(void **state)
{
    (void)state;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    assert_true(slot->epoch == xe_epoch_now());
    xe_epoch_leave(slot);
    assert_true(slot->epoch == 0);
    assert_ptr_equal(xe_epoch_enter(), slot);
    xe_epoch_leave(slot);
}

static void leaving_ends_a_write_section(void **state)
{
    (void)state;
    int table = 0;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    xe_epoch_write_enter(slot, &table);
    assert_ptr_equal(slot->writing, &table);
    xe_epoch_write_leave(slot);
    assert_null(slot->writing);
    xe_epoch_write_enter(slot, &table);
    xe_epoch_leave(slot);
    assert_null(slot->writing);
}

static void the_clock_advances_while_no_section_is_open(void **state)
{
    (void)state;
    uint64_t was = xe_epoch_now();
    for (uint64_t i = 1; i <= 5; i++) {
        assert_true(xe_epoch_try_advance());
        assert_true(xe_epoch_now() == was + i);
    }
}

static void e2_an_open_section_lets_the_clock_advance_once(void **state)
{
    (void)state;
    struct holder h;
    holder_start(&h, NULL);
    assert_true(h.entered == xe_epoch_now());
    assert_true(xe_epoch_try_advance());
    for (int i = 0; i < 10; i++)
        assert_false(xe_epoch_try_advance());
    assert_true(xe_epoch_now() == h.entered + 1);
    holder_end(&h);
    assert_true(xe_epoch_try_advance());
}

static void e2_refreshing_moves_a_section_to_the_present(void **state)
{
    (void)state;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    uint64_t was = xe_epoch_now();
    for (uint64_t i = 1; i <= 5; i++) {
        assert_true(xe_epoch_try_advance());
        assert_false(xe_epoch_try_advance());
        xe_epoch_refresh(slot);
        assert_true(slot->epoch == was + i);
    }
    xe_epoch_leave(slot);
}

/* --- Retiring ------------------------------------------------------------ */

static void e1_a_thing_is_freed_two_steps_after_its_stamp(void **state)
{
    (void)state;
    reset_freed();
    struct xe_retired *r = thing(100);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    xe_epoch_retire(slot, r);
    uint64_t stamp = r->epoch;
    assert_true(stamp == xe_epoch_now() + 1);
    xe_epoch_leave(slot);
    while (xe_epoch_now() < stamp + 2) {
        assert_false(xe_epoch_is_ripe(stamp));
        assert_int_equal(freed, 0);
        assert_true(xe_epoch_try_advance());
    }
    assert_true(xe_epoch_is_ripe(stamp));
    retire(100);
    assert_int_equal(freed, 1);
}

static void e3_nothing_is_freed_while_a_section_from_before_is_open(void **state)
{
    (void)state;
    struct holder h;
    reset_freed();
    holder_start(&h, NULL);
    for (int i = 0; i < 500; i++) {
        retire(100);
        xe_epoch_collect();
    }
    assert_int_equal(freed, 0);
    holder_end(&h);
    while (xe_epoch_collect() != 0)
        ;
    assert_int_equal(freed, 500);
}

static void a_retire_frees_a_batch_at_most(void **state)
{
    (void)state;
    struct holder h;
    reset_freed();
    holder_start(&h, NULL);
    for (int i = 0; i < 100; i++)
        retire(1);
    holder_end(&h);
    for (int i = 0; i < 3; i++)
        assert_true(xe_epoch_try_advance());
    for (uint32_t i = 1; i <= 5; i++) {
        retire(1);
        assert_int_equal(freed, i * XE_EPOCH_FREE_BATCH);
    }
}

static void enough_retires_or_bytes_advance_the_clock(void **state)
{
    (void)state;
    uint64_t was = xe_epoch_now();
    for (int i = 1; i < XE_EPOCH_ADVANCE_COUNT; i++)
        retire(1);
    assert_true(xe_epoch_now() == was);
    retire(1);
    assert_true(xe_epoch_now() == was + 1);
    retire(XE_EPOCH_ADVANCE_BYTES - 1);
    assert_true(xe_epoch_now() == was + 1);
    retire(1);
    assert_true(xe_epoch_now() == was + 2);
}

static void a_steady_stream_of_retires_needs_nobody_else(void **state)
{
    (void)state;
    reset_freed();
    for (int i = 0; i < 10000; i++)
        retire(1000);
    assert_true(freed > 10000 - 8 * XE_EPOCH_ADVANCE_COUNT);
}

static void collecting_reports_what_still_waits(void **state)
{
    (void)state;
    struct holder h;
    reset_freed();
    holder_start(&h, NULL);
    retire(1000);
    retire(0); /* counts as one byte: the limbo is not empty */
    assert_int_equal(xe_epoch_collect(), 1001);
    assert_false(xe_epoch_is_idle());
    holder_end(&h);
    assert_int_equal(xe_epoch_collect(), 0);
    assert_true(xe_epoch_is_idle());
    assert_int_equal(freed, 2);
}

static uint32_t retire_again;

static void free_and_retire(struct xe_retired *r)
{
    free(r);
    atomic_fetch_add(&freed, 1);
    if (retire_again > 0) {
        retire_again--;
        struct xe_retired *next = thing(1);
        next->free = free_and_retire;
        xe_epoch_retire(xe_epoch_self, next);
    }
}

static void a_free_may_retire(void **state)
{
    (void)state;
    reset_freed();
    retire_again = 300;
    for (int i = 0; i < 4; i++) {
        struct xe_retired *r = thing(1);
        r->free = free_and_retire;
        struct xe_epoch_slot *slot = xe_epoch_enter();
        xe_epoch_retire(slot, r);
        xe_epoch_leave(slot);
    }
    while (xe_epoch_collect() != 0)
        ;
    assert_int_equal(freed, 304);
}

/* --- Threads that end ---------------------------------------------------- */

static void *retire_one(void *arg)
{
    *(struct xe_epoch_slot **)arg = xe_epoch_enter();
    xe_epoch_leave(xe_epoch_self);
    retire(10);
    return NULL;
}

static struct xe_epoch_slot *slot_of_a_thread(void)
{
    struct xe_epoch_slot *slot = NULL;
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, retire_one, &slot), 0);
    pthread_join(t, NULL);
    return slot;
}

static void slots_are_reused_after_their_thread(void **state)
{
    (void)state;
    struct xe_epoch_slot *first = slot_of_a_thread();
    uint32_t n = xe_epoch_the->n_slots;
    for (int i = 0; i < 10; i++)
        assert_ptr_equal(slot_of_a_thread(), first);
    assert_int_equal(xe_epoch_the->n_slots, n);
}

static void what_an_ended_thread_retired_is_collected(void **state)
{
    (void)state;
    reset_freed();
    for (int i = 0; i < 3; i++)
        slot_of_a_thread();
    while (xe_epoch_collect() != 0)
        ;
    assert_int_equal(freed, 3);
}

/* --- Waiting ------------------------------------------------------------- */

static _Atomic bool returned;

static void *synchronize(void *arg)
{
    (void)arg;
    xe_epoch_synchronize();
    atomic_store(&returned, true);
    return NULL;
}

static void e3_synchronize_waits_for_sections_from_before(void **state)
{
    (void)state;
    struct holder h;
    pthread_t t;
    atomic_store(&returned, false);
    holder_start(&h, NULL);
    assert_int_equal(pthread_create(&t, NULL, synchronize, NULL), 0);
    for (int i = 0; i < 1000; i++) {
        sched_yield();
        assert_false(returned);
    }
    holder_end(&h);
    pthread_join(t, NULL);
    assert_true(returned);
}

static void e4_quiesce_gives_up_while_a_writer_is_inside(void **state)
{
    (void)state;
    int table = 0, other = 0;
    struct holder h;
    holder_start(&h, &table);
    assert_false(xe_epoch_quiesce_writers(&table, 1000000));
    assert_true(xe_epoch_quiesce_writers(&other, 1000000));
    holder_end(&h);
    assert_true(xe_epoch_quiesce_writers(&table, 1000000));
}

/*
 * Writers change two plain words under a lock of their own, if the gate is open;
 * main closes the gate and reads the words without that lock. ThreadSanitizer
 * sees the race that a missing wait would be; the sum shows a torn state.
 */
static struct {
    _Atomic bool closed, stop;
    pthread_mutex_t lock;
    int64_t plus, minus;
} gate;

static void *write_through_gate(void *arg)
{
    uint64_t writes = 0, *n = arg;
    while (!atomic_load_explicit(&gate.stop, memory_order_relaxed)) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        xe_epoch_write_enter(slot, &gate);
        /* Acquire: pairs with the release of main's opening. */
        if (!atomic_load_explicit(&gate.closed, memory_order_acquire)) {
            pthread_mutex_lock(&gate.lock);
            gate.plus++;
            gate.minus--;
            pthread_mutex_unlock(&gate.lock);
            writes++;
        }
        xe_epoch_leave(slot);
        if (writes % 16 == 0)
            sched_yield();
    }
    *n = writes;
    return NULL;
}

static void e4_a_quiesced_gate_shows_one_state(void **state)
{
    (void)state;
    pthread_t t[3];
    uint64_t writes[3], total = 0;
    atomic_store(&gate.stop, false);
    gate.plus = gate.minus = 0;
    pthread_mutex_init(&gate.lock, NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, write_through_gate, &writes[i]), 0);
    for (int i = 0; i < 2000; i++) {
        atomic_store_explicit(&gate.closed, true, memory_order_relaxed);
        if (xe_epoch_quiesce_writers(&gate, 10u * 1000 * 1000 * 1000)) {
            int64_t plus = gate.plus;
            assert_true(gate.plus + gate.minus == 0);
            if (i % 64 == 0)
                sched_yield();
            assert_true(gate.plus == plus);
        } else {
            fail_msg("writers did not leave");
        }
        atomic_store_explicit(&gate.closed, false, memory_order_release);
    }
    atomic_store(&gate.stop, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], NULL);
        total += writes[i];
    }
    assert_true((uint64_t)gate.plus == total);
    pthread_mutex_destroy(&gate.lock);
}

/* --- E3 under stress ----------------------------------------------------- */

enum { CELLS = 16, READERS = 2, WRITERS = 2, ROUNDS = 300000, ALIVE = 0x600d, GONE = 0xdead };

struct object {
    struct xe_retired retired;
    _Atomic uint32_t canary; /* atomic only so that a failure is not undefined */
    uint64_t value, check;
};

static _Atomic(struct object *) cells[CELLS];
static _Atomic uint32_t writers_left, violations;

static void bury(struct xe_retired *r)
{
    struct object *o = (struct object *)r;
    atomic_store_explicit(&o->canary, GONE, memory_order_relaxed);
    o->value = o->check = 0;
    atomic_fetch_add_explicit(&freed, 1, memory_order_relaxed);
    free(o);
}

static struct object *object_new(uint64_t value)
{
    struct object *o = malloc(sizeof *o);
    if (o == NULL)
        abort();
    *o = (struct object){.retired = {.free = bury, .bytes = sizeof *o}, .canary = ALIVE,
                         .value = value, .check = ~value};
    return o;
}

static void *stress_write(void *arg)
{
    uint64_t s = seed + (uintptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t r = next_random(&s);
        struct object *fresh = object_new(r);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        if (r % 8 == 0) {
            xe_epoch_try_advance();
            xe_epoch_refresh(slot);
        }
        struct object *old = atomic_exchange_explicit(&cells[(r >> 8) % CELLS], fresh,
                                                      memory_order_acq_rel);
        if (old != NULL)
            xe_epoch_retire(slot, &old->retired);
        xe_epoch_leave(slot);
    }
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

static void *stress_read(void *arg)
{
    uint64_t s = seed + 100 + (uintptr_t)arg;
    while (atomic_load(&writers_left) > 0) {
        struct object *seen[4];
        struct xe_epoch_slot *slot = xe_epoch_enter();
        for (int i = 0; i < 4; i++)
            seen[i] = atomic_load_explicit(&cells[next_random(&s) % CELLS], memory_order_acquire);
        if (next_random(&s) % 64 == 0)
            sched_yield(); /* a section that lasts */
        for (int i = 0; i < 4; i++) {
            struct object *o = seen[i];
            if (o != NULL && (atomic_load_explicit(&o->canary, memory_order_relaxed) != ALIVE ||
                              o->value != ~o->check))
                atomic_fetch_add(&violations, 1);
        }
        xe_epoch_leave(slot);
    }
    return NULL;
}

static void *stress_collect(void *arg)
{
    (void)arg;
    while (atomic_load(&writers_left) > 0) {
        xe_epoch_collect();
        sched_yield();
    }
    return NULL;
}

static void e3_readers_never_see_a_freed_object(void **state)
{
    (void)state;
    pthread_t t[READERS + WRITERS + 1];
    uintptr_t n = 0;
    reset_freed();
    atomic_store(&writers_left, WRITERS);
    for (uintptr_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&t[n++], NULL, stress_read, (void *)i), 0);
    for (uintptr_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&t[n++], NULL, stress_write, (void *)i), 0);
    assert_int_equal(pthread_create(&t[n++], NULL, stress_collect, NULL), 0);
    while (n > 0)
        pthread_join(t[--n], NULL);
    assert_int_equal(violations, 0);
    uint32_t left = 0;
    for (int i = 0; i < CELLS; i++) {
        struct object *o = atomic_exchange(&cells[i], NULL);
        left += o != NULL;
        free(o);
    }
    while (xe_epoch_collect() != 0)
        ;
    assert_int_equal(freed, WRITERS * ROUNDS - left);
}

/* --- The domain ---------------------------------------------------------- */

static void another_copy_takes_the_domain_over(void **state)
{
    (void)state;
    reset_freed();
    retire(10);
    void *domain = xe_epoch_domain();
    struct xe_epoch_slot *slot = xe_epoch_self;
    assert_true(xe_epoch_adopt(domain)); /* the copy that has it */
    /* What a second copy of the library has at its load. */
    xe_epoch_the = NULL;
    xe_epoch_self = NULL;
    assert_false(xe_epoch_adopt(NULL));
    ((struct xe_epoch_domain *)domain)->version++;
    assert_false(xe_epoch_adopt(domain));
    ((struct xe_epoch_domain *)domain)->version--;
    assert_true(xe_epoch_adopt(domain));
    assert_ptr_equal(xe_epoch_enter(), slot); /* a thread has one slot in all copies */
    xe_epoch_leave(xe_epoch_self);
    while (xe_epoch_collect() != 0)
        ;
    assert_int_equal(freed, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_slot_shows_the_clock_inside_sections_only),
        TEST(leaving_ends_a_write_section),
        TEST(the_clock_advances_while_no_section_is_open),
        TEST(e2_an_open_section_lets_the_clock_advance_once),
        TEST(e2_refreshing_moves_a_section_to_the_present),
        TEST(e1_a_thing_is_freed_two_steps_after_its_stamp),
        TEST(e3_nothing_is_freed_while_a_section_from_before_is_open),
        TEST(a_retire_frees_a_batch_at_most),
        TEST(enough_retires_or_bytes_advance_the_clock),
        TEST(a_steady_stream_of_retires_needs_nobody_else),
        TEST(collecting_reports_what_still_waits),
        TEST(a_free_may_retire),
        TEST(slots_are_reused_after_their_thread),
        TEST(what_an_ended_thread_retired_is_collected),
        TEST(e3_synchronize_waits_for_sections_from_before),
        TEST(e4_quiesce_gives_up_while_a_writer_is_inside),
        TEST(e4_a_quiesced_gate_shows_one_state),
        TEST(e3_readers_never_see_a_freed_object),
        TEST(another_copy_takes_the_domain_over),
    };
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %" PRIu64 "\n", seed);
    return cmocka_run_group_tests_name("epoch", tests, NULL, NULL);
}
