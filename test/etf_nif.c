/*
 * etf_nif.c - lets xets_etf_tests see objects written to the external term format and read from
 * it, beside what encoding them as terms gives.
 *
 * Bytes to be read lie in an allocation of exactly their size, so that AddressSanitizer sees what
 * is read behind them.
 */
#include "nif_lib.h"

#include <time.h>

#include "../c_src/beam/etf.h"
#include "../c_src/beam/key.h"
#include "../c_src/beam/term_native.h"
#include "nif_object.h"

/* How objects are encoded: the bits of a form. */
enum { ORDERED = 1, COMPRESSED = 2, IDENTIFIED = 4 };

static void encoder_init(struct xe_encoder *e, ErlNifEnv *env, int form, uint64_t budget)
{
    xe_encoder_init(e, env, budget);
    e->ordered = form & ORDERED;
    e->compress = form & COMPRESSED;
    e->identify = form & IDENTIFIED;
}

static ERL_NIF_TERM make_handles(ErlNifEnv *env, const uint64_t *handles, uint32_t n)
{
    ERL_NIF_TERM list = enif_make_list(env, 0);
    while (n-- > 0)
        list = enif_make_list_cell(env, enif_make_copy(env, handles[n]), list);
    return list;
}

/* {KeyBytes, KeyHandles, Body, BodyHandles, Pinned, Flags, Words, Identity} */
static ERL_NIF_TERM make_encoded(ErlNifEnv *env, const struct xe_encoder *e)
{
    struct xe_object o;
    xe_term_object(e, &o);
    return enif_make_tuple8(
        env, make_bytes(env, o.bytes, o.klen), make_handles(env, o.handles, o.n_key_handles),
        make_bytes(env, o.bytes + o.klen, o.len - o.klen),
        make_handles(env, o.handles + o.n_key_handles, o.n_handles - o.n_key_handles),
        enif_make_uint64(env, o.pinned), enif_make_uint(env, o.flags),
        enif_make_uint64(env, e->words), enif_make_uint64(env, o.identity));
}

static ERL_NIF_TERM make_etf_status(ErlNifEnv *env, enum xe_etf_status status)
{
    static const char *const names[] = {
        [XE_ETF_OK] = "ok",       [XE_ETF_BUDGET] = "budget", [XE_ETF_NOMEM] = "nomem",
        [XE_ETF_LIMIT] = "limit", [XE_ETF_BAD] = "bad",       [XE_ETF_NO_OBJECT] = "no_object",
    };
    return enif_make_atom(env, names[status]);
}

static enum xe_term_status encode(ErlNifEnv *env, struct xe_encoder *e, const ERL_NIF_TERM *argv,
                                  int form)
{
    const ERL_NIF_TERM *elements;
    int arity;
    encoder_init(e, env, form, XE_TERM_NO_BUDGET);
    if (!enif_get_tuple(env, argv[0], &arity, &elements))
        return XE_TERM_NOMEM;
    return xe_term_encode_object(e, elements, arity, get_int(env, argv[1]));
}

/* encoded(Object, KeyPos, Form) -> {ok, Encoded} */
NIF(encoded)
{
    struct xe_encoder e;
    UNUSED_ARGS;
    enum xe_term_status status = encode(env, &e, argv, get_int(env, argv[2]));
    ERL_NIF_TERM t = status == XE_TERM_OK ? make_encoded(env, &e) : argv[0];
    xe_encoder_clear(&e);
    return make_result(env, status, t);
}

/* encoded_key(Key, Form) -> {ok, Encoded}, for finding it */
NIF(encoded_key)
{
    struct xe_encoder e;
    int form = get_int(env, argv[1]);
    UNUSED_ARGS;
    encoder_init(&e, env, form, XE_TERM_NO_BUDGET);
    enum xe_term_status status =
        form & ORDERED ? xe_key_encode(&e, argv[0]) : xe_term_encode_key(&e, argv[0]);
    ERL_NIF_TERM t = make_encoded(env, &e);
    xe_encoder_clear(&e);
    return make_result(env, status, t);
}

/* written_key(Key, Form) -> {ok, Bytes} */
NIF(written_key)
{
    struct xe_encoder e;
    struct xe_etf_writer w;
    bool ordered = get_int(env, argv[1]) & ORDERED;
    UNUSED_ARGS;
    xe_etf_writer_init(&w);
    encoder_init(&e, env, get_int(env, argv[1]), XE_TERM_NO_BUDGET);
    enum xe_etf_status status = (enum xe_etf_status)(ordered ? xe_key_encode(&e, argv[0])
                                                             : xe_term_encode_key(&e, argv[0]));
    if (status == XE_ETF_OK)
        status = xe_etf_write_encoded_key(&w, &e, ordered, XE_TERM_NO_BUDGET);
    ERL_NIF_TERM t = make_etf_status(env, status);
    if (status == XE_ETF_OK)
        t = enif_make_tuple2(env, t, make_bytes(env, w.bytes, w.len));
    xe_encoder_clear(&e);
    xe_etf_writer_clear(&w);
    return t;
}

static bool store_object(ErlNifEnv *env, struct stored *s, const ERL_NIF_TERM *argv)
{
    struct xe_encoder e;
    struct xe_object o;
    int form = get_int(env, argv[2]);
    bool ok = encode(env, &e, argv, form) == XE_TERM_OK;
    if (ok) {
        xe_term_object(&e, &o);
        store(s, &o, form & ORDERED);
    }
    xe_encoder_clear(&e);
    return ok;
}

/* written(Object, KeyPos, Form, Budget) -> {ok, {TheObject, ItsKey}} */
NIF(written)
{
    struct stored s;
    struct xe_etf_writer w;
    uint64_t budget = get_budget(env, argv[3]);
    UNUSED_ARGS;
    if (!store_object(env, &s, argv))
        return make_status(env, XE_TERM_NOMEM);
    xe_etf_writer_init(&w);
    enum xe_etf_status status = xe_etf_write_object(&w, &s.view, get_int(env, argv[1]), budget);
    size_t len = 0;
    if (status == XE_ETF_OK) {
        len = w.len;
        status = xe_etf_write_key(&w, &s.view, budget);
    }
    ERL_NIF_TERM t = make_etf_status(env, status);
    if (status == XE_ETF_OK)
        t = enif_make_tuple2(env, t,
                             enif_make_tuple2(env, make_bytes(env, w.bytes, len),
                                              make_bytes(env, w.bytes + len, w.len - len)));
    else if (w.len != len) /* something is left of what failed */
        t = enif_make_badarg(env);
    xe_etf_writer_clear(&w);
    discard(&s);
    return t;
}

/* A copy of a binary's bytes in an allocation of their size. */
static uint8_t *exactly(ErlNifEnv *env, ERL_NIF_TERM t, size_t *size)
{
    ErlNifBinary bin = {0};
    enif_inspect_binary(env, t, &bin);
    uint8_t *bytes = malloc(bin.size ? bin.size : 1);
    memcpy(bytes, bin.data, bin.size);
    *size = bin.size;
    return bin.size ? bytes : bytes + 1;
}

static void free_exactly(uint8_t *bytes, size_t size)
{
    free(size ? bytes : bytes - 1);
}

static bool is_safe(ErlNifEnv *env, ERL_NIF_TERM t)
{
    return enif_is_identical(t, enif_make_atom(env, "safe"));
}

/* read(Bytes, KeyPos, Form, Budget, safe | unsafe) -> {ok, [Encoded]}: all objects that are there
 */
NIF(read)
{
    ERL_NIF_TERM list = enif_make_list(env, 0);
    size_t size, at = 0, used;
    uint8_t *bytes = exactly(env, argv[0], &size);
    struct xe_etf_reader *r = xe_etf_reader_new(is_safe(env, argv[4]));
    enum xe_etf_status status = r ? XE_ETF_OK : XE_ETF_NOMEM;
    UNUSED_ARGS;
    while (status == XE_ETF_OK && (at < size || size == 0)) {
        struct xe_encoder e;
        encoder_init(&e, env, get_int(env, argv[2]), get_budget(env, argv[3]));
        status = xe_etf_read_object(r, &e, bytes + at, size - at, get_int(env, argv[1]), &used);
        if (status == XE_ETF_OK)
            list = enif_make_list_cell(env, make_encoded(env, &e), list);
        at += used;
        xe_encoder_clear(&e);
    }
    xe_etf_reader_free(r);
    free_exactly(bytes, size);
    enif_make_reverse_list(env, list, &list);
    return status == XE_ETF_OK ? enif_make_tuple2(env, make_etf_status(env, status), list)
                               : make_etf_status(env, status);
}

/* read_key(Bytes, Form, Budget, safe | unsafe) -> {ok, Encoded, Used} */
NIF(read_key)
{
    struct xe_encoder e;
    size_t size, used;
    uint8_t *bytes = exactly(env, argv[0], &size);
    struct xe_etf_reader *r = xe_etf_reader_new(is_safe(env, argv[3]));
    UNUSED_ARGS;
    encoder_init(&e, env, get_int(env, argv[1]), get_budget(env, argv[2]));
    enum xe_etf_status status = r ? xe_etf_read_key(r, &e, bytes, size, &used) : XE_ETF_NOMEM;
    ERL_NIF_TERM t = make_etf_status(env, status);
    if (status == XE_ETF_OK)
        t = enif_make_tuple3(env, t, make_encoded(env, &e), enif_make_uint64(env, used));
    xe_encoder_clear(&e);
    xe_etf_reader_free(r);
    free_exactly(bytes, size);
    return t;
}

/* read_term(Bytes, safe | unsafe) -> {ok, Term, Used} */
NIF(read_term)
{
    size_t size, used;
    ERL_NIF_TERM t = 0;
    uint8_t *bytes = exactly(env, argv[0], &size);
    struct xe_etf_reader *r = xe_etf_reader_new(is_safe(env, argv[1]));
    UNUSED_ARGS;
    enum xe_etf_status status = r ? xe_etf_read_term(r, env, bytes, size, &t, &used) : XE_ETF_NOMEM;
    xe_etf_reader_free(r);
    free_exactly(bytes, size);
    return status == XE_ETF_OK
               ? enif_make_tuple3(env, make_etf_status(env, status), t, enif_make_uint64(env, used))
               : make_etf_status(env, status);
}

/* write_term(Term) -> {ok, Bytes} */
NIF(write_term)
{
    struct xe_etf_writer w;
    UNUSED_ARGS;
    xe_etf_writer_init(&w);
    enum xe_etf_status status = xe_etf_write_term(&w, argv[0]);
    ERL_NIF_TERM t = make_etf_status(env, status);
    if (status == XE_ETF_OK)
        t = enif_make_tuple2(env, t, make_bytes(env, w.bytes, w.len));
    xe_etf_writer_clear(&w);
    return t;
}

/* extent(Bytes) */
NIF(extent)
{
    size_t size;
    uint8_t *bytes = exactly(env, argv[0], &size);
    UNUSED_ARGS;
    ERL_NIF_TERM t = enif_make_uint64(env, xe_etf_size(bytes, size));
    free_exactly(bytes, size);
    return t;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* bench(Object, KeyPos, Form, N) -> {Write, Read}: nanoseconds of this thread an object */
NIF(bench)
{
    struct stored s;
    struct xe_etf_writer w;
    struct xe_etf_reader *r = xe_etf_reader_new(false);
    int keypos = get_int(env, argv[1]), n = get_int(env, argv[3]);
    size_t used, at = 0;
    UNUSED_ARGS;
    if (!store_object(env, &s, argv))
        return enif_make_badarg(env);
    xe_etf_writer_init(&w);
    double start = now();
    for (int i = 0; i < n; i++)
        xe_etf_write_object(&w, &s.view, keypos, XE_TERM_NO_BUDGET);
    double writing = now() - start;
    ErlNifEnv *own = enif_alloc_env();
    start = now();
    for (int i = 0; i < n; i++) {
        struct xe_encoder e;
        encoder_init(&e, own, get_int(env, argv[2]), XE_TERM_NO_BUDGET);
        xe_etf_read_object(r, &e, w.bytes + at, w.len - at, keypos, &used);
        at += used;
        xe_encoder_clear(&e);
        if (i % 512 == 511)
            enif_clear_env(own);
    }
    double reading = now() - start;
    enif_free_env(own);
    xe_etf_writer_clear(&w);
    xe_etf_reader_free(r);
    discard(&s);
    return enif_make_tuple2(env, enif_make_double(env, writing / n),
                            enif_make_double(env, reading / n));
}

static int load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    (void)priv;
    if (!nif_alloc_init())
        return 1;
    xe_native_init(env, info);
    return xe_term_init(env) ? 0 : 1;
}

static ErlNifFunc functions[] = {
    {"encoded", 3, encoded, 0},
    {"encoded_key", 2, encoded_key, 0},
    {"written", 4, written, 0},
    {"written_key", 2, written_key, 0},
    {"read", 5, read, 0},
    {"read_key", 4, read_key, 0},
    {"read_term", 2, read_term, 0},
    {"write_term", 1, write_term, 0},
    {"extent", 1, extent, 0},
    {"bench", 4, bench, ERL_NIF_DIRTY_JOB_CPU_BOUND},
    {"fail_after", 1, fail_after, 0},
};

ERL_NIF_INIT(xets_etf_nif, functions, load, NULL, NULL, NULL)
