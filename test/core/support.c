/*
 * support.c - see support.h.
 */
#include "support.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "pages.h"
#include "reclaim.h"

_Noreturn void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s (XETS_SEED=%" PRIu64 ")\n", file, line, what, run_seed());
    abort();
}

/* --- Random numbers ------------------------------------------------------ */

uint64_t run_seed(void)
{
    static _Atomic bool known;
    static _Atomic uint64_t seed;
    if (!atomic_load(&known)) {
        const char *given = getenv("XETS_SEED");
        atomic_store(&seed, given ? strtoull(given, NULL, 0) : 1);
        if (!atomic_exchange(&known, true))
            printf("seed: XETS_SEED=%" PRIu64 "\n", atomic_load(&seed));
    }
    return atomic_load(&seed);
}

struct rng rng_for(uint64_t purpose)
{
    struct rng r = {run_seed() * 0x9e3779b97f4a7c15u ^ purpose};
    rng_next(&r);
    return r;
}

/* splitmix64 */
uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t rng_below(struct rng *r, uint64_t n)
{
    return (uint32_t)((rng_next(r) >> 32) * n >> 32);
}

bool rng_chance(struct rng *r, uint32_t of, uint32_t in)
{
    return rng_below(r, in) < of;
}

/* --- Memory -------------------------------------------------------------- */

static struct {
    _Atomic int64_t blocks, envs, handles, terms;
} use;

static struct {
    _Atomic uint32_t mode; /* FAIL_* */
    _Atomic uint64_t countdown, failed;
    struct rng *rng; /* of the one thread that asks for failures at a rate */
    uint32_t rate;
} failing;

enum { FAIL_NEVER, FAIL_AT, FAIL_FROM, FAIL_RATE };

static bool must_fail(void)
{
    uint32_t mode = atomic_load(&failing.mode);
    bool fail = false;
    if (mode == FAIL_NEVER)
        return false;
    if (mode == FAIL_RATE)
        fail = rng_chance(failing.rng, failing.rate, 1024);
    else if (atomic_load(&failing.countdown) == 0)
        fail = mode == FAIL_FROM || atomic_fetch_add(&failing.failed, 0) == 0;
    else
        atomic_fetch_sub(&failing.countdown, 1);
    if (fail)
        atomic_fetch_add(&failing.failed, 1);
    return fail;
}

static void fail_as(uint32_t mode, uint64_t n)
{
    atomic_store(&failing.countdown, n);
    atomic_store(&failing.failed, 0);
    atomic_store(&failing.mode, mode);
    xe_pages_set_failure(mode == FAIL_NEVER ? NULL : must_fail);
}

void memory_fail_at(uint64_t n)
{
    fail_as(FAIL_AT, n);
}

void memory_fail_from(uint64_t n)
{
    fail_as(FAIL_FROM, n);
}

void memory_fail_rate(uint32_t n, struct rng *r)
{
    failing.rng = r;
    failing.rate = n;
    fail_as(FAIL_RATE, 0);
}

uint64_t memory_fail_never(void)
{
    uint64_t failed = atomic_load(&failing.failed);
    fail_as(FAIL_NEVER, 0);
    return failed;
}

/* The core may count on 8-byte alignment and on no more. */
enum { BLOCK_SHIFT = 8 };

static void *block_alloc(size_t bytes)
{
    if (must_fail())
        return NULL;
    uint8_t *p = malloc(bytes + BLOCK_SHIFT);
    CHECK(p != NULL);
    /* What the core forgets to write shall not look like zeros. */
    memset(p, 0xa5, bytes < 4096 ? bytes : 4096);
    atomic_fetch_add(&use.blocks, 1);
    return p + BLOCK_SHIFT;
}

static void block_free(void *p)
{
    CHECK(p != NULL);
    atomic_fetch_sub(&use.blocks, 1);
    free((uint8_t *)p - BLOCK_SHIFT);
}

void memory_in_use(struct memory_use *out)
{
    struct xe_pages_stats pages;
    xe_pages_stats(&pages);
    *out = (struct memory_use){.blocks = atomic_load(&use.blocks),
                               .envs = atomic_load(&use.envs),
                               .handles = atomic_load(&use.handles),
                               .terms = atomic_load(&use.terms),
                               .page_bytes = pages.used};
}

/* --- Terms --------------------------------------------------------------- */

#define CANARY UINT64_C(0x7465726d68616e64)
#define DEAD UINT64_C(0xdeaddeaddeaddead)

struct term {
    _Atomic uint32_t refs;
    uint64_t value;
};

struct handle {
    uint64_t canary;
    struct term *term;
    struct handle *next;
};

struct env {
    uint64_t canary;
    struct handle *handles;
};

static struct handle *handle_of(uint64_t word)
{
    struct handle *h = (struct handle *)(uintptr_t)word;
    CHECK(h != NULL && h->canary == CANARY);
    return h;
}

static uint64_t handle_add(struct env *env, struct term *term)
{
    struct handle *h = malloc(sizeof *h);
    CHECK(h != NULL && env != NULL && env->canary == CANARY);
    *h = (struct handle){.canary = CANARY, .term = term, .next = env->handles};
    env->handles = h;
    atomic_fetch_add(&use.handles, 1);
    return (uintptr_t)h;
}

void *terms_new(void)
{
    struct env *env = malloc(sizeof *env);
    CHECK(env != NULL);
    *env = (struct env){.canary = CANARY};
    atomic_fetch_add(&use.envs, 1);
    return env;
}

uint64_t terms_add(void *env, uint64_t value)
{
    struct term *term = malloc(sizeof *term);
    CHECK(term != NULL);
    term->value = value;
    atomic_init(&term->refs, 1);
    atomic_fetch_add(&use.terms, 1);
    return handle_add(env, term);
}

void terms_free(void *p)
{
    struct env *env = p;
    CHECK(env != NULL && env->canary == CANARY);
    for (struct handle *h = env->handles, *next; h; h = next) {
        next = h->next;
        CHECK(h->canary == CANARY);
        if (atomic_fetch_sub(&h->term->refs, 1) == 1) {
            free(h->term);
            atomic_fetch_sub(&use.terms, 1);
        }
        h->canary = DEAD;
        free(h);
        atomic_fetch_sub(&use.handles, 1);
    }
    env->canary = DEAD;
    free(env);
    atomic_fetch_sub(&use.envs, 1);
}

uint64_t term_value(uint64_t handle)
{
    return handle_of(handle)->term->value;
}

static void *env_new(void)
{
    return must_fail() ? NULL : terms_new();
}

static uint64_t ext_move(void *env, uint64_t handle)
{
    struct term *term = handle_of(handle)->term;
    atomic_fetch_add(&term->refs, 1);
    return handle_add(env, term);
}

static bool ext_equal(uint64_t a, uint64_t b)
{
    return term_value(a) == term_value(b);
}

static int ext_compare(uint64_t a, uint64_t b)
{
    uint64_t x = term_value(a), y = term_value(b);
    return (x > y) - (x < y);
}

/* --- Objects that are known by two numbers ------------------------------- */

static void fill(uint8_t *at, size_t n, uint64_t from)
{
    struct rng r = {from * 0x2545f4914f6cdd1du + 1};
    while (n) {
        uint64_t x = rng_next(&r);
        size_t k = n < 8 ? n : 8;
        memcpy(at, &x, k);
        at += k;
        n -= k;
    }
}

static enum key_kind kind_of_key(uint32_t key)
{
    return (enum key_kind)(key >> 24);
}

static bool is_twin(uint32_t key)
{
    return kind_of_key(key) == KEY_TWIN || kind_of_key(key) == KEY_HUGE_TWIN;
}

static size_t key_length(uint32_t key)
{
    struct rng r = {key};
    switch (kind_of_key(key)) {
    case KEY_TINY:
        return 1;
    case KEY_WORD:
        return 5;
    case KEY_LONG:
        return 100 + rng_below(&r, 669);
    case KEY_HUGE:
        return rng_chance(&r, 1, 2) ? 769 + rng_below(&r, 1000) : 769 + rng_below(&r, 64768);
    case KEY_TWIN:
        return 6;
    case KEY_HUGE_TWIN:
        return 800;
    default:
        return 5 + rng_below(&r, 20);
    }
}

/* The number, or what all twins share, and then bytes that depend on it. */
static void key_write(uint8_t *at, uint32_t key)
{
    size_t n = key_length(key);
    if (is_twin(key))
        key = kind_of_key(key) << 24;
    if (n == 1) {
        *at = (uint8_t)key;
        return;
    }
    at[0] = 0x4b;
    memcpy(at + 1, &key, 4);
    fill(at + 5, n - 5, key);
}

static enum value_kind kind_of_value(uint64_t value)
{
    return (enum value_kind)(value >> 56);
}

static bool is_loose(uint64_t value)
{
    return kind_of_value(value) == VALUE_LOOSE;
}

static size_t body_length(uint64_t value)
{
    struct rng r = {is_loose(value) ? value & ~LOOSE_OTHER : value};
    switch (kind_of_value(value)) {
    case VALUE_EMPTY:
        return 0;
    case VALUE_NUMBER:
        return 8;
    case VALUE_MEDIUM:
        return 41 + rng_below(&r, 860);
    case VALUE_LARGE:
        return 1025 + rng_below(&r, rng_chance(&r, 1, 2) ? 1000 : 64512);
    case VALUE_GIANT:
        return 65537 + rng_below(&r, (1 << 20) - 65536);
    default:
        return 1 + rng_below(&r, 40);
    }
}

static void body_write(uint8_t *at, uint64_t value)
{
    size_t n = body_length(value);
    fill(at, n, is_loose(value) ? value & ~LOOSE_OTHER : value);
    for (size_t i = 0; is_loose(value) && value & LOOSE_OTHER && i < n; i++)
        at[i] ^= 0x80;
}

static uint32_t value_handles(uint64_t value)
{
    switch (kind_of_value(value)) {
    case VALUE_TERMS:
        return 1 + value % 3;
    case VALUE_PIN:
    case VALUE_PIN_LARGE:
        return 1;
    default:
        return 0;
    }
}

static uint64_t value_pins(uint64_t value)
{
    struct rng r = {value};
    switch (kind_of_value(value)) {
    case VALUE_TERMS:
        return 30 * value_handles(value);
    case VALUE_PIN:
        return rng_below(&r, XE_EXT_SHARED_MAX);
    case VALUE_PIN_LARGE:
        return XE_EXT_SHARED_MAX + (uint64_t)rng_below(&r, 1 << 20);
    default:
        return 0;
    }
}

/* The value of the i-th term of an object. */
static uint64_t nth_term(uint32_t key, uint64_t value, uint32_t i)
{
    return is_twin(key) && i == 0 ? key : value * 7 + i - is_twin(key);
}

/* Of the bytes, in a loose body without their highest bits, and of the terms. */
static uint64_t identity_of(const struct object *x, bool loose)
{
    const struct xe_object *o = &x->o;
    uint64_t hash = 0;
    if (!loose)
        hash = XXH3_64bits(o->bytes, o->len);
    for (size_t i = 0; loose && i < o->len; i++)
        hash = (hash + (i < o->klen ? o->bytes[i] : o->bytes[i] & 0x7f) + 1) * 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < o->n_handles; i++)
        hash = (hash ^ term_value(o->handles[i])) * 0x9e3779b97f4a7c15u;
    return hash;
}

void object_make(struct object *x, uint32_t key, uint64_t value)
{
    size_t klen = key_length(key), len = klen + body_length(value);
    x->bytes = malloc(len + XE_READ_SLACK);
    x->env = NULL;
    CHECK(x->bytes != NULL);
    key_write(x->bytes, key);
    body_write(x->bytes + klen, value);
    memset(x->bytes + len, 0xee, XE_READ_SLACK);
    x->o = (struct xe_object){.bytes = x->bytes,
                              .klen = klen,
                              .len = len,
                              .handles = x->handles,
                              .n_handles = value_handles(value) + is_twin(key),
                              .n_key_handles = is_twin(key),
                              .pinned = value_pins(value),
                              .flags = kind_of_value(value) == VALUE_LOOSE ? XE_REC_LOOSE : 0};
    if (x->o.n_handles)
        x->env = terms_new();
    for (uint32_t i = 0; i < x->o.n_handles; i++)
        x->handles[i] = terms_add(x->env, nth_term(key, value, i));
    x->o.identity = identity_of(x, is_loose(value));
}

void object_free(struct object *x)
{
    free(x->bytes);
    if (x->env)
        terms_free(x->env);
}

void lookup_make(struct lookup *l, uint64_t seed, uint32_t key)
{
    object_make(&l->object, key, VALUE(VALUE_EMPTY, 0));
    const struct xe_object *o = &l->object.o;
    xe_key_init(&l->key, seed, o->bytes, o->klen, o->handles, o->n_key_handles);
}

void lookup_free(struct lookup *l)
{
    object_free(&l->object);
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t n, bool loose)
{
    if (!loose)
        return memcmp(a, b, n) == 0;
    for (size_t i = 0; i < n; i++)
        if ((a[i] ^ b[i]) & 0x7f)
            return false;
    return true;
}

/* LOOSE bodies are equal when they are but for the highest bit of each byte. */
static bool object_equal(const struct xe_view *stored, const struct xe_view *given)
{
    return stored->klen == given->klen && memcmp(stored->key, given->key, given->klen) == 0 &&
           stored->blen >= given->blen && stored->blen < given->blen + XE_RECORD_ALIGN &&
           same_bytes(stored->body, given->body, given->blen, true);
}

bool view_is(const struct xe_view *view, uint32_t key, uint64_t value)
{
    struct object x;
    struct xe_view v;
    object_make(&x, key, value);
    xe_object_view(&x.o, &v);
    size_t pad = view->blob ? 0 : XE_RECORD_ALIGN - 1;
    bool same = view->klen == v.klen && view->blen >= v.blen && view->blen <= v.blen + pad &&
                memcmp(view->key, v.key, v.klen) == 0 && memcmp(view->body, v.body, v.blen) == 0 &&
                view->n_handles == v.n_handles && view->n_key_handles == v.n_key_handles &&
                (view->flags & XE_REC_LOOSE) == (v.flags & XE_REC_LOOSE);
    for (uint32_t i = 0; same && i < v.n_handles; i++)
        same = term_value(xe_load64(view->handles + 8 * (size_t)i)) == nth_term(key, value, i);
    object_free(&x);
    return same;
}

uint32_t view_key(const struct xe_view *view)
{
    uint32_t key;
    if (view->n_key_handles)
        return (uint32_t)term_value(xe_load64(view->handles));
    if (view->klen == 1)
        return KEY(KEY_TINY, *view->key);
    memcpy(&key, view->key + 1, sizeof key);
    return key;
}

/* --- Calls in sections of their own -------------------------------------- */

enum xe_status put_by(put_fn call, struct xe_table *t, uint32_t key, uint64_t value,
                      enum xe_put mode)
{
    struct object x;
    struct xe_prepared p;
    object_make(&x, key, value);
    enum xe_status status = xe_table_prepare(t, &x.o, &p);
    if (status == XE_OK) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = call(t, slot, &p, mode);
        xe_epoch_leave(slot);
        if (status != XE_OK)
            xe_record_unprepare(&p);
    }
    object_free(&x);
    return status;
}

enum xe_status put(struct xe_table *t, uint32_t key, uint64_t value, enum xe_put mode)
{
    return put_by(xe_table_put, t, key, value, mode);
}

enum xe_status put_plain(struct xe_table *t, uint32_t key, uint64_t value, enum xe_put mode)
{
    struct object x;
    struct xe_key k;
    uint8_t rec[XE_RECORD_INLINE_MAX + XE_READ_SLACK];
    object_make(&x, key, value);
    enum xe_status status;
    if (x.o.n_handles || !xe_record_fits_inline(&x.o)) {
        status = put(t, key, value, mode);
    } else {
        size_t len = XE_HDR_BYTES + x.o.len;
        uint32_t header = (uint32_t)((len + XE_RECORD_ALIGN - 1) / XE_RECORD_ALIGN |
                                     x.o.klen << XE_HDR_KLEN_SHIFT | x.o.flags);
        memcpy(rec, &header, XE_HDR_BYTES);
        memcpy(rec + XE_HDR_BYTES, x.o.bytes, x.o.len + XE_READ_SLACK);
        xe_key_init(&k, xe_table_seed(t), rec + XE_HDR_BYTES, x.o.klen, NULL, 0);
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_put_plain(t, slot, &k, rec, len, mode);
        xe_epoch_leave(slot);
    }
    object_free(&x);
    return status;
}

enum xe_status put_list(struct xe_table *t, const uint32_t *keys, const uint64_t *values, size_t n,
                        enum xe_put mode)
{
    struct object *x = malloc(n * sizeof *x + 1);
    struct xe_prepared *p = malloc(n * sizeof *p + 1);
    enum xe_status status = XE_OK;
    size_t made = 0;
    CHECK(x != NULL && p != NULL);
    for (size_t i = 0; i < n; i++)
        object_make(&x[i], keys[i], values[i]);
    while (made < n && status == XE_OK)
        if ((status = xe_table_prepare(t, &x[made].o, &p[made])) == XE_OK)
            made++;
    if (status == XE_OK) {
        struct xe_epoch_slot *slot = xe_epoch_enter();
        status = xe_table_put_many(t, slot, p, n, mode, false);
        xe_epoch_leave(slot);
    }
    for (size_t i = 0; i < made && status != XE_OK; i++)
        xe_record_unprepare(&p[i]);
    for (size_t i = 0; i < n; i++)
        object_free(&x[i]);
    free(x);
    free(p);
    return status;
}

enum xe_status remove_key(struct xe_table *t, uint32_t key)
{
    struct lookup l;
    lookup_make(&l, xe_table_seed(t), key);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_remove(t, slot, &l.key, NULL, NULL);
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

enum xe_status look(struct xe_table *t, uint32_t key, uint64_t value)
{
    struct lookup l;
    struct xe_view view;
    lookup_make(&l, xe_table_seed(t), key);
    struct xe_epoch_slot *slot = xe_epoch_enter();
    enum xe_status status = xe_table_find(t, &l.key, &view);
    if (status == XE_OK && !view_is(&view, key, value))
        status = XE_EXISTS;
    xe_epoch_leave(slot);
    lookup_free(&l);
    return status;
}

bool scan_some(struct xe_table *t, uint64_t *position, uint32_t least, xe_visit_fn visit,
               void *arg)
{
    struct xe_chunk chunk;
    struct xe_view view;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    while (xe_scan_hashes(t, *position, least, &chunk) == XE_RETRY)
        sched_yield();
    for (uint32_t i = 0; i < chunk.n; i++) {
        xe_record_view(chunk.recs[i], &view);
        visit(arg, &view);
    }
    xe_epoch_leave(slot);
    *position = chunk.next;
    return chunk.more;
}

bool is_valid(struct xe_table *t)
{
    struct xe_epoch_slot *slot = xe_epoch_enter();
    bool valid = xe_table_is_valid(t);
    xe_epoch_leave(slot);
    return valid;
}

struct xe_table_stats stats_of(struct xe_table *t)
{
    struct xe_table_stats stats;
    struct xe_epoch_slot *slot = xe_epoch_enter();
    xe_table_stats(t, &stats);
    xe_epoch_leave(slot);
    return stats;
}

struct xe_table *table_new(uint32_t max_objects, bool hot)
{
    struct rng r = rng_for(0x7ab1e);
    struct xe_table_config config = {.seed = rng_next(&r), .max_objects = max_objects, .hot = hot};
    struct xe_table *t = xe_table_new(&config);
    CHECK(t != NULL);
    return t;
}

void fill_table(struct xe_table *t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        CHECK(put(t, short_key(i), small_value(i), XE_PUT_NEW) == XE_OK);
}

/* --- Starting and stopping ----------------------------------------------- */

/* --- Logs ---------------------------------------------------------------- */

static enum xe_status log_begin(void *log, const struct xe_log_change *change,
                                struct xe_log_write *write)
{
    return ((const struct log_calls *)log)->begin(log, change, write);
}

static void log_publish(void *log, struct xe_log_write *write)
{
    ((const struct log_calls *)log)->publish(log, write);
}

static void log_end(void *log, struct xe_log_write *write)
{
    ((const struct log_calls *)log)->end(log, write);
}

static void log_gone(void *log)
{
    if (((const struct log_calls *)log)->gone)
        ((const struct log_calls *)log)->gone(log);
}

void core_start(void)
{
    static const struct xe_callbacks callbacks = {
        .alloc = block_alloc,
        .free = block_free,
        .env_new = env_new,
        .env_free = terms_free,
        .ext_move = ext_move,
        .ext_equal = ext_equal,
        .ext_compare = ext_compare,
        .object_equal = object_equal,
        .log_begin = log_begin,
        .log_publish = log_publish,
        .log_end = log_end,
        .log_gone = log_gone,
    };
    CHECK(xe_core_init(&callbacks) == XE_OK);
    CHECK(xe_reclaim_start(NULL));
    run_seed();
}

bool core_stop(void)
{
    struct memory_use left;
    xe_reclaim_drain();
    xe_reclaim_stop();
    memory_in_use(&left);
    xe_epoch_shutdown();
    xe_pages_shutdown();
    if (!left.blocks && !left.envs && !left.handles && !left.terms && !left.page_bytes)
        return true;
    fprintf(stderr,
            "left: %" PRId64 " blocks, %" PRId64 " environments, %" PRId64 " handles, %" PRId64
            " terms, %" PRIu64 " bytes of pages\n",
            left.blocks, left.envs, left.handles, left.terms, left.page_bytes);
    return false;
}

int set_up(void **state)
{
    (void)state;
    core_start();
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    memory_fail_never();
    return core_stop() ? 0 : -1;
}
