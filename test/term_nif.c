/*
 * term_nif.c - lets xets_term_tests see terms stored: encodes what it is given, keeps
 * the bytes and handles as the core would, and decodes from there.
 *
 * It also stands between c_src/beam and the emulator's allocator: blocks are
 * counted, and a chosen allocation fails.
 */
#include "nif_lib.h"

#include "../c_src/beam/key.h"
#include "nif_object.h"

/* Whether objects are encoded as for a compressed table, and for an ordered one. */
static bool compressing, ordering;

/* Terms in and out. */

static ERL_NIF_TERM make_handles(ErlNifEnv *env, const uint64_t *handles, uint32_t n)
{
    ERL_NIF_TERM list = enif_make_list(env, 0);
    while (n-- > 0)
        list = enif_make_list_cell(env, enif_make_copy(env, handles[n]), list);
    return list;
}

/* {KeyBytes, KeyHandles, BodyBytes, BodyHandles, Pinned, Flags, Words} */
static ERL_NIF_TERM make_object(ErlNifEnv *env, const struct xe_encoder *e)
{
    struct xe_object o;
    xe_term_object(e, &o);
    return enif_make_tuple7(
        env, make_bytes(env, o.bytes, o.klen), make_handles(env, o.handles, o.n_key_handles),
        make_bytes(env, o.bytes + o.klen, o.len - o.klen),
        make_handles(env, o.handles + o.n_key_handles, o.n_handles - o.n_key_handles),
        enif_make_uint64(env, o.pinned), enif_make_uint(env, o.flags),
        enif_make_uint64(env, e->words));
}

static bool is_true(ErlNifEnv *env, ERL_NIF_TERM t)
{
    char name[8] = "";
    enif_get_atom(env, t, name, sizeof name, ERL_NIF_LATIN1);
    return strcmp(name, "true") == 0;
}

/* The key that [Key] or [] offers for reuse. */
static ERL_NIF_TERM get_key(ErlNifEnv *env, ERL_NIF_TERM t)
{
    ERL_NIF_TERM key;
    return enif_get_list_cell(env, t, &key, &t) ? key : 0;
}

static bool encode(ErlNifEnv *env, struct xe_encoder *e, ERL_NIF_TERM object, ERL_NIF_TERM keypos,
                   uint64_t budget)
{
    const ERL_NIF_TERM *elements;
    int arity;
    xe_encoder_init(e, env, budget);
    e->compress = compressing;
    e->ordered = ordering;
    return enif_get_tuple(env, object, &arity, &elements) &&
           xe_term_encode_object(e, elements, arity, get_int(env, keypos)) == XE_TERM_OK;
}

static bool store_term(ErlNifEnv *env, struct stored *s, ERL_NIF_TERM object, ERL_NIF_TERM keypos)
{
    struct xe_encoder e;
    struct xe_object o;
    bool ok = encode(env, &e, object, keypos, XE_TERM_NO_BUDGET);
    if (ok) {
        xe_term_object(&e, &o);
        store(s, &o, ordering);
    }
    xe_encoder_clear(&e);
    return ok;
}

/* The functions of xets_term_nif. */

NIF(key)
{
    struct xe_encoder e;
    UNUSED_ARGS;
    xe_encoder_init(&e, env, get_budget(env, argv[1]));
    enum xe_term_status status = xe_term_encode_key(&e, argv[0]);
    ERL_NIF_TERM t = enif_make_tuple3(env, make_bytes(env, e.bytes, e.len),
                                      make_handles(env, e.handles, e.n_handles),
                                      make_bool(env, xe_term_reusable_key(&e, argv[0])));
    xe_encoder_clear(&e);
    return make_result(env, status, t);
}

NIF(object)
{
    struct xe_encoder e;
    UNUSED_ARGS;
    encode(env, &e, argv[0], argv[1], get_budget(env, argv[2]));
    enum xe_term_status status = e.status;
    ERL_NIF_TERM t = status == XE_TERM_OK ? make_object(env, &e) : argv[0];
    xe_encoder_clear(&e);
    return make_result(env, status, t);
}

NIF(roundtrip)
{
    struct stored s;
    ERL_NIF_TERM t = 0;
    UNUSED_ARGS;
    if (!store_term(env, &s, argv[0], argv[1]))
        return make_status(env, XE_TERM_NOMEM);
    enum xe_term_status status = xe_term_decode_object(
        env, &s.view, get_int(env, argv[1]), get_key(env, argv[2]), get_budget(env, argv[3]), &t);
    discard(&s);
    return make_result(env, status, t);
}

NIF(decode_key)
{
    struct stored s;
    ERL_NIF_TERM t = 0;
    UNUSED_ARGS;
    if (!store_term(env, &s, argv[0], argv[1]))
        return make_status(env, XE_TERM_NOMEM);
    enum xe_term_status status = xe_term_decode_key(env, &s.view, get_budget(env, argv[2]), &t);
    discard(&s);
    return make_result(env, status, t);
}

NIF(element)
{
    struct stored s;
    ERL_NIF_TERM t = 0;
    UNUSED_ARGS;
    if (!store_term(env, &s, argv[0], argv[1]))
        return make_status(env, XE_TERM_NOMEM);
    enum xe_term_status status =
        xe_term_decode_element(env, &s.view, get_int(env, argv[1]), get_int(env, argv[2]),
                               get_key(env, argv[3]), get_budget(env, argv[4]), &t);
    discard(&s);
    return make_result(env, status, t);
}

/* {Arity, [the immediate word's term] | []} */
NIF(immediate)
{
    struct stored s;
    UNUSED_ARGS;
    if (!store_term(env, &s, argv[0], argv[1]))
        return make_status(env, XE_TERM_NOMEM);
    ERL_NIF_TERM t =
        xe_term_immediate_element(&s.view, get_int(env, argv[1]), get_int(env, argv[2]));
    int arity = xe_term_arity(&s.view);
    discard(&s);
    return enif_make_tuple2(env, enif_make_int(env, arity),
                            t ? enif_make_list1(env, t) : enif_make_list(env, 0));
}

/* replace(Object, KeyPos, Positions, Terms, Budget) -> {ok, {NewObject, object(NewObject)}} */
NIF(replace)
{
    struct stored old, new;
    struct xe_encoder e;
    struct xe_object o;
    int positions[256];
    ERL_NIF_TERM terms[256], t = 0, list[2] = {argv[2], argv[3]}, head;
    int n = 0, keypos = get_int(env, argv[1]);
    UNUSED_ARGS;
    while (enif_get_list_cell(env, list[0], &head, &list[0]) &&
           enif_get_list_cell(env, list[1], &terms[n], &list[1]))
        positions[n++] = get_int(env, head);
    if (!store_term(env, &old, argv[0], argv[1]))
        return make_status(env, XE_TERM_NOMEM);
    xe_encoder_init(&e, env, get_budget(env, argv[4]));
    e.compress = compressing;
    enum xe_term_status status = xe_term_replace(&e, &old.view, keypos, positions, terms, n);
    if (status == XE_TERM_OK) {
        xe_term_object(&e, &o);
        store(&new, &o, ordering);
        status = xe_term_decode_object(env, &new.view, keypos, 0, XE_TERM_NO_BUDGET, &t);
        discard(&new);
        t = enif_make_tuple2(env, t, make_object(env, &e));
    }
    xe_encoder_clear(&e);
    discard(&old);
    return make_result(env, status, t);
}

/* is_key_of(Key, Object, KeyPos): whether decoding the object may reuse the key */
NIF(is_key_of)
{
    struct stored s;
    struct xe_encoder e;
    UNUSED_ARGS;
    if (!store_term(env, &s, argv[1], argv[2]))
        return make_status(env, XE_TERM_NOMEM);
    xe_encoder_init(&e, env, XE_TERM_NO_BUDGET);
    bool is = xe_key_encode(&e, argv[0]) == XE_TERM_OK && xe_term_is_key_of(&e, &s.view);
    xe_encoder_clear(&e);
    discard(&s);
    return make_bool(env, is);
}

/* equal(Stored, Given, KeyPos) */
NIF(equal)
{
    struct stored a, b;
    UNUSED_ARGS;
    if (!store_term(env, &a, argv[0], argv[2]))
        return make_status(env, XE_TERM_NOMEM);
    if (!store_term(env, &b, argv[1], argv[2])) {
        discard(&a);
        return make_status(env, XE_TERM_NOMEM);
    }
    /* As the core makes it, the view of the given one does not tell the kind of the table. */
    b.view.flags &= (uint32_t)~XE_REC_ORDER;
    bool equal = xe_term_object_equal(&a.view, &b.view);
    discard(&a);
    discard(&b);
    return make_bool(env, equal);
}

/* equal_forms(Object, KeyPos): as a compressed and as another table stores it */
NIF(equal_forms)
{
    struct stored a, b;
    bool was = compressing;
    UNUSED_ARGS;
    compressing = true;
    bool ok = store_term(env, &a, argv[0], argv[1]);
    compressing = false;
    ok = ok && store_term(env, &b, argv[0], argv[1]);
    compressing = was;
    if (!ok)
        return enif_make_badarg(env);
    bool equal = xe_term_object_equal(&a.view, &b.view) && xe_term_object_equal(&b.view, &a.view);
    discard(&a);
    discard(&b);
    return make_bool(env, equal);
}

/* expand(Body, Budget) -> {ok, BodyNotCompressed}. Body need not be right behind its head. */
NIF(expand)
{
    ErlNifBinary bin;
    struct xe_expanded x;
    uint64_t budget = get_budget(env, argv[1]);
    ERL_NIF_TERM t = 0;
    UNUSED_ARGS;
    if (!enif_inspect_binary(env, argv[0], &bin))
        return enif_make_badarg(env);
    /* As close to the end of the allocation as anything stored may be. */
    uint8_t *body = malloc(bin.size + XE_READ_SLACK);
    memcpy(body, bin.data, bin.size);
    memset(body + bin.size, 0xa5, XE_READ_SLACK);
    struct xe_view view = {.body = body, .blen = bin.size};
    enum xe_term_status status = xe_term_expand(&x, &view, &budget);
    if (status == XE_TERM_OK) {
        t = make_bytes(env, x.view.body, x.view.blen);
        xe_expanded_clear(&x);
    }
    free(body);
    return make_result(env, status, t);
}

/* words(Object, KeyPos): what xe_term_object_words() says */
NIF(words)
{
    struct stored s;
    UNUSED_ARGS;
    if (!store_term(env, &s, argv[0], argv[1]))
        return make_status(env, XE_TERM_NOMEM);
    ERL_NIF_TERM t = enif_make_uint64(env, xe_term_object_words(&s.view));
    discard(&s);
    return t;
}

/* compress(Boolean): objects are from now on encoded as for a compressed table, or not */
NIF(compress)
{
    UNUSED_ARGS;
    compressing = is_true(env, argv[0]);
    return enif_make_atom(env, "ok");
}

/* order(Boolean): as for an ordered table, or not */
NIF(order)
{
    UNUSED_ARGS;
    ordering = is_true(env, argv[0]);
    return enif_make_atom(env, "ok");
}

/* identity(Object, KeyPos, Budget) -> {ok, Integer} */
NIF(identity)
{
    struct xe_encoder e;
    const ERL_NIF_TERM *elements;
    int arity;
    UNUSED_ARGS;
    xe_encoder_init(&e, env, get_budget(env, argv[2]));
    e.identify = true;
    e.compress = compressing;
    if (enif_get_tuple(env, argv[0], &arity, &elements))
        xe_term_encode_object(&e, elements, arity, get_int(env, argv[1]));
    enum xe_term_status status = e.status;
    ERL_NIF_TERM t = enif_make_uint64(env, e.identity);
    xe_encoder_clear(&e);
    return make_result(env, status, t);
}

/* natives(Kinds) -> Kinds: from now on only those of the kinds (a number) that were proven */
NIF(natives)
{
    static uint32_t proven;
    UNUSED_ARGS;
    proven |= xe_native.kinds;
    xe_native.kinds = proven & (uint32_t)get_int(env, argv[0]);
    return enif_make_uint(env, xe_native.kinds);
}

/* probe(Refs, OtherRefs, BitStrings, What) -> [Kind]: what the probe finds; with `What`, the number
 * of a field of struct xe_native, if it is expected to be something else. */
NIF(probe)
{
    struct xe_native n = {.kinds = 0};
    struct xe_native_samples samples = {argv[0], argv[1], argv[2]};
    uint64_t *fields[] = {&n.size_unit, &n.flonum, &n.flatmap, &n.ref, &n.sub_binary,
                          &n.shared_binary, &n.positive, &n.negative, &n.heap_binary,
                          &n.map_node, &n.map_root, &n.map_root_full, &n.block_head,
                          &n.alias};
    size_t what = (size_t)get_int(env, argv[3]);
    UNUSED_ARGS;
    xe_native_probe(env, &samples, &n);
    if (what < sizeof fields / sizeof *fields) {
        *fields[what] += 1 << XE_ARITY_SHIFT;
        xe_native_probe(env, &samples, &n);
    }
    return xe_native_names(env, n.kinds);
}

static ErlNifResourceType *magic_type;

/* A reference to a resource. */
NIF(magic)
{
    UNUSED_ARGS;
    void *resource = enif_alloc_resource(magic_type, 8);
    ERL_NIF_TERM t = enif_make_resource(env, resource);
    enif_release_resource(resource);
    return t;
}

static int load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    (void)priv;
    if (!nif_alloc_init())
        return 1;
    xe_native_init(env, info);
    magic_type = enif_open_resource_type(env, NULL, "magic", NULL, ERL_NIF_RT_CREATE, NULL);
    return magic_type && xe_term_init(env) ? 0 : 1;
}

static ErlNifFunc functions[] = {
    {"key", 2, key, 0},
    {"object", 3, object, 0},
    {"roundtrip", 4, roundtrip, 0},
    {"decode_key", 3, decode_key, 0},
    {"element", 5, element, 0},
    {"immediate", 3, immediate, 0},
    {"replace", 5, replace, 0},
    {"equal", 3, equal, 0},
    {"equal_forms", 2, equal_forms, 0},
    {"expand", 2, expand, 0},
    {"words", 2, words, 0},
    {"compress", 1, compress, 0},
    {"order", 1, order, 0},
    {"is_key_of", 3, is_key_of, 0},
    {"identity", 3, identity, 0},
    {"fail_after", 1, fail_after, 0},
    {"magic", 0, magic, 0},
    {"natives", 1, natives, 0},
    {"probe", 4, probe, 0},
};

ERL_NIF_INIT(xets_term_nif, functions, load, NULL, NULL, NULL)
