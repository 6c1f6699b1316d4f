/*
 * key_nif.c - lets xets_key_tests see the keys of ordered tables (c_src/beam/key.h): encodes what
 * it is given, keeps the bytes and the handle as the core would, compares and decodes from there.
 */
#include "nif_lib.h"

#include <stdlib.h>

#include "../c_src/beam/key.h"
#include "../c_src/beam/key_internal.h"

/* A stored key. Its bytes are in blocks of just their size: a sanitizer sees who reads on. */
struct stored {
    uint8_t *bytes, *restore;
    ErlNifEnv *env;
    struct xe_order_key key;
};

static void *copy_of(const void *bytes, size_t size)
{
    return memcpy(malloc(size + !size), bytes, size);
}

static void store(struct stored *s, const struct xe_encoder *e)
{
    xe_key_of_encoder(e, &s->key);
    s->key.bytes = s->bytes = copy_of(s->key.bytes, s->key.len);
    s->key.restore = s->restore = copy_of(s->key.restore, s->key.restore_len);
    s->env = enif_alloc_env();
    if (s->key.term)
        s->key.term = enif_make_copy(s->env, s->key.term);
}

static void discard(struct stored *s)
{
    free(s->bytes);
    free(s->restore);
    enif_free_env(s->env);
}

static bool encode_and_store(ErlNifEnv *env, struct stored *s, ERL_NIF_TERM key,
                             enum xe_term_status *status)
{
    struct xe_encoder e;
    xe_encoder_init(&e, env, XE_TERM_NO_BUDGET);
    *status = xe_key_encode_to_store(&e, key);
    if (*status == XE_TERM_OK)
        store(s, &e);
    xe_encoder_clear(&e);
    return *status == XE_TERM_OK;
}

/* The functions of xets_key_nif. */

static ERL_NIF_TERM encoded(ErlNifEnv *env, ERL_NIF_TERM key, ERL_NIF_TERM budget,
                            enum xe_term_status (*encode)(struct xe_encoder *, ERL_NIF_TERM))
{
    struct xe_encoder e;
    struct xe_order_key k;
    xe_encoder_init(&e, env, get_budget(env, budget));
    enum xe_term_status status = encode(&e, key);
    xe_key_of_encoder(&e, &k);
    ERL_NIF_TERM t = key;
    if (status == XE_TERM_OK)
        t = enif_make_tuple5(env, make_bytes(env, k.bytes, k.len),
                             make_bytes(env, k.restore, k.restore_len),
                             k.term ? enif_make_list1(env, k.term) : enif_make_list(env, 0),
                             enif_make_uint64(env, e.pinned), enif_make_uint64(env, e.words));
    xe_encoder_clear(&e);
    return make_result(env, status, t);
}

NIF(find)
{
    UNUSED_ARGS;
    return encoded(env, argv[0], argv[1], xe_key_encode);
}

NIF(stored)
{
    UNUSED_ARGS;
    return encoded(env, argv[0], argv[1], xe_key_encode_to_store);
}

/* The same by the way that all keys can go, short ones too. */
NIF(any)
{
    UNUSED_ARGS;
    return encoded(env, argv[0], argv[1], xe_key_encode_any);
}

/* is_short(Key) */
NIF(is_short)
{
    struct xe_key key;
    struct xe_key_rest rest;
    UNUSED_ARGS;
    return enif_make_atom(env, xe_key_short(env, argv[0], &key, &rest) ? "true" : "false");
}

/* small(Integer): its order bytes, made as words */
NIF(small)
{
    ErlNifSInt64 i = 0;
    uint64_t words[2];
    UNUSED_ARGS;
    if (!enif_get_int64(env, argv[0], &i))
        return enif_make_badarg(env);
    unsigned len = xe_key_small(i, &words[0], &words[1]);
    for (int w = 0; w < 2; w++)
        words[w] = __builtin_bswap64(words[w]);
    return make_bytes(env, (const uint8_t *)words, len);
}

/* roundtrip(Key, Budget of decoding) */
NIF(roundtrip)
{
    struct stored s;
    enum xe_term_status status;
    ERL_NIF_TERM t = argv[0];
    UNUSED_ARGS;
    if (encode_and_store(env, &s, argv[0], &status)) {
        status = xe_key_decode(env, &s.key, get_budget(env, argv[1]), &t);
        discard(&s);
    }
    return make_result(env, status, t);
}

/* What comparing two keys tells: 0 less, 1 equal, 2 greater, 3 equal and the same term. */
static unsigned char verdict(const struct xe_order_key *a, const struct xe_order_key *b)
{
    int c = xe_key_compare(a, b);
    return c == 0 && xe_key_is_same_term(a, b) ? 3 : (unsigned char)(1 + (c > 0) - (c < 0));
}

/* signs(Keys): a binary with the verdicts on every key and each of them */
NIF(signs)
{
    unsigned n = 0;
    ERL_NIF_TERM list = argv[0], head, t = 0;
    UNUSED_ARGS;
    enif_get_list_length(env, list, &n);
    struct stored *keys = malloc(n * sizeof *keys + 1);
    for (unsigned i = 0; enif_get_list_cell(env, list, &head, &list); i++) {
        enum xe_term_status status;
        if (!encode_and_store(env, &keys[i], head, &status))
            abort();
    }
    unsigned char *out = enif_make_new_binary(env, (size_t)n * n, &t);
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < n; j++)
            *out++ = verdict(&keys[i].key, &keys[j].key);
    for (unsigned i = 0; i < n; i++)
        discard(&keys[i]);
    free(keys);
    return t;
}

/* prefix({tuple, Tuple, Arity} | {list, List} | {binary, Binary}, Budget) ->
 *     {ok, {Bytes, First, Exact}} */
NIF(prefix)
{
    struct xe_encoder e;
    const ERL_NIF_TERM *what, *elements;
    int n, size;
    unsigned arity = 0;
    ErlNifBinary bin;
    bool exact = false;
    enum xe_term_status status;
    UNUSED_ARGS;
    if (!enif_get_tuple(env, argv[0], &n, &what))
        return enif_make_badarg(env);
    xe_encoder_init(&e, env, get_budget(env, argv[1]));
    if (n == 3 && enif_get_tuple(env, what[1], &size, &elements) &&
        enif_get_uint(env, what[2], &arity))
        status = xe_key_prefix_tuple(&e, elements, (size_t)size, arity, &exact);
    else if (enif_inspect_binary(env, what[1], &bin))
        status = xe_key_prefix_binary(&e, &bin, &exact);
    else
        status = xe_key_prefix_list(&e, what[1], &exact);
    ERL_NIF_TERM t = enif_make_tuple3(env, make_bytes(env, e.bytes, e.klen),
                                      make_bytes(env, e.bytes, e.len), make_bool(env, exact));
    xe_encoder_clear(&e);
    return make_result(env, status, t);
}

NIF(arity)
{
    struct stored s;
    enum xe_term_status status;
    UNUSED_ARGS;
    if (!encode_and_store(env, &s, argv[0], &status))
        return enif_make_badarg(env);
    ERL_NIF_TERM t = enif_make_int64(env, xe_key_arity(&s.key));
    discard(&s);
    return t;
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
    {"find", 2, find, 0},
    {"stored", 2, stored, 0},
    {"any", 2, any, 0},
    {"is_short", 1, is_short, 0},
    {"small", 1, small, 0},
    {"roundtrip", 2, roundtrip, 0},
    {"signs", 1, signs, 0},
    {"prefix", 2, prefix, 0},
    {"arity", 1, arity, 0},
    {"fail_after", 1, fail_after, 0},
};

ERL_NIF_INIT(xets_key_nif, functions, load, NULL, NULL, NULL)
