/*
 * native_nif.c - lets xets_native_heap_tests look at what decoding leaves on a heap, where it lies.
 *
 * Stored objects are kept, and decoded as often as wanted: onto the heap of the caller, between two
 * marks from one of which the words are walked to the other as the emulator walks a heap; into
 * environments that belong to no process; into messages. What is native can be chosen, so that
 * objects are encoded one way and decoded another.
 */
#include "nif_lib.h"

#include "../c_src/beam/key.h"
#include "../c_src/beam/term_native.h"
#include "nif_object.h"

static ErlNifResourceType *kept_type, *magic_type;
static uint32_t probed;

struct kept {
    struct stored stored;
    int keypos;
};

static void kept_gone(ErlNifEnv *env, void *object)
{
    (void)env;
    discard(&((struct kept *)object)->stored);
}

static struct kept *get_kept(ErlNifEnv *env, ERL_NIF_TERM t)
{
    void *kept = NULL;
    enif_get_resource(env, t, kept_type, &kept);
    return kept;
}

static bool has_atom(ErlNifEnv *env, ERL_NIF_TERM list, const char *name)
{
    ERL_NIF_TERM head;
    char text[16];
    while (enif_get_list_cell(env, list, &head, &list))
        if (enif_get_atom(env, head, text, sizeof text, ERL_NIF_LATIN1) && !strcmp(text, name))
            return true;
    return false;
}

/* keep(Object, KeyPos, Form) -> Kept | nomem. Form: a list of compressed, ordered */
NIF(keep)
{
    struct xe_encoder e;
    struct xe_object o;
    const ERL_NIF_TERM *elements;
    int arity, keypos = get_int(env, argv[1]);
    UNUSED_ARGS;
    xe_encoder_init(&e, env, XE_TERM_NO_BUDGET);
    e.compress = has_atom(env, argv[2], "compressed");
    e.ordered = has_atom(env, argv[2], "ordered");
    ERL_NIF_TERM t = make_status(env, XE_TERM_NOMEM);
    if (enif_get_tuple(env, argv[0], &arity, &elements) &&
        xe_term_encode_object(&e, elements, arity, keypos) == XE_TERM_OK) {
        struct kept *kept = enif_alloc_resource(kept_type, sizeof *kept);
        kept->keypos = keypos;
        xe_term_object(&e, &o);
        store(&kept->stored, &o, e.ordered);
        t = enif_make_resource(env, kept);
        enif_release_resource(kept);
    }
    xe_encoder_clear(&e);
    return t;
}

/* What is decoded: 0 the object, -1 its key, else that element. */
static enum xe_term_status decode_part(ErlNifEnv *env, const struct kept *kept, int part,
                                       uint64_t budget, ERL_NIF_TERM *out)
{
    const struct xe_view *v = &kept->stored.view;
    if (part < 0)
        return xe_term_decode_key(env, v, budget, out);
    if (part > 0)
        return xe_term_decode_element(env, v, kept->keypos, part, 0, budget, out);
    return xe_term_decode_object(env, v, kept->keypos, 0, budget, out);
}

/* decode(Kept, Part) -> {ok, Term} | nomem */
NIF(decode)
{
    ERL_NIF_TERM t = 0;
    struct kept *kept = get_kept(env, argv[0]);
    UNUSED_ARGS;
    enum xe_term_status status =
        decode_part(env, kept, get_int(env, argv[1]), XE_TERM_NO_BUDGET, &t);
    return make_result(env, status, t);
}

/* bytes(Kept) -> {KeyBytes, BodyBytes, Handles} */
NIF(bytes)
{
    const struct xe_view *v = &get_kept(env, argv[0])->stored.view;
    UNUSED_ARGS;
    return enif_make_tuple3(env, make_bytes(env, v->key, v->klen),
                            make_bytes(env, v->body, v->blen),
                            enif_make_uint(env, v->n_handles));
}

/*
 * Walking words as the emulator walks a heap (any_heap_refs() in beam_bif_load.c): a header is
 * followed by as many words that are no terms as it says, but that of a tuple or a node of a map by
 * terms; all other words are terms. From OTP 27 on the header of a fun says something else.
 */
enum { WORD_TERM, WORD_HEADER, WORD_OPAQUE };

enum {
    TAG_MASK = 3,
    TAG_HEADER = 0,
    TAG_LIST = 1,
    TAG_BOXED = 2,
    SUBTAG_MASK = 0x3f,
    SUBTAG_TUPLE = 0x00,
    SUBTAG_FUN = 0x14,
    MAP_KIND_MASK = 0xc0, /* in the header of a map */
    MAP_KIND_NODE = 0x40, /* an inner node of a large map; others have a size behind the header */
};

/* Learnt at load. */
static uint64_t subtag_map;
static bool short_funs; /* one word behind the header */

/* How many words that are no terms follow a header. */
static size_t opaque_words(uint64_t header)
{
    if ((header & SUBTAG_MASK) == SUBTAG_TUPLE)
        return 0;
    if ((header & SUBTAG_MASK) == SUBTAG_FUN && short_funs)
        return 1;
    if ((header & SUBTAG_MASK) == subtag_map)
        return (header & MAP_KIND_MASK) != MAP_KIND_NODE;
    return header >> 6;
}

/* Says what each of n words is. NULL, or what is wrong with them. */
static const char *mark_words(const uint64_t *words, size_t n, uint8_t *marks)
{
    size_t i = 0;
    while (i < n) {
        if ((words[i] & TAG_MASK) != TAG_HEADER) {
            marks[i++] = WORD_TERM;
            continue;
        }
        size_t opaque = opaque_words(words[i]);
        /* A tuple's elements must be there, too. */
        size_t all = (words[i] & SUBTAG_MASK) == SUBTAG_TUPLE ? words[i] >> 6 : opaque;
        if (all > n - i - 1)
            return "object_ends_beyond";
        marks[i++] = WORD_HEADER;
        memset(marks + i, WORD_OPAQUE, opaque);
        i += opaque;
    }
    return NULL;
}

/* Pointers into the words lead to where objects are. */
static const char *check_pointers(const uint64_t *words, size_t n, const uint8_t *marks)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t tag = words[i] & TAG_MASK;
        if (marks[i] != WORD_TERM || (tag != TAG_LIST && tag != TAG_BOXED))
            continue;
        const uint64_t *to = (const uint64_t *)(words[i] & ~(uint64_t)TAG_MASK);
        if (!to)
            return "null_pointer";
        if (to < words || to >= words + n)
            continue;
        size_t at = (size_t)(to - words);
        if (tag == TAG_BOXED && marks[at] != WORD_HEADER)
            return "boxed_without_header";
        if (tag == TAG_LIST &&
            (at + 1 >= n || marks[at] != WORD_TERM || marks[at + 1] != WORD_TERM))
            return "list_without_cell";
    }
    return NULL;
}

static const char *walk_words(const uint64_t *words, size_t n)
{
    uint8_t *marks = malloc(n + 1);
    const char *wrong = mark_words(words, n, marks);
    if (!wrong)
        wrong = check_pointers(words, n, marks);
    free(marks);
    return wrong ? wrong : "ok";
}

static const uint64_t *address(ERL_NIF_TERM t)
{
    return (const uint64_t *)(t & ~(uint64_t)TAG_MASK);
}

static const uint64_t *mark(ErlNifEnv *env)
{
    return address(enif_make_tuple1(env, enif_make_list(env, 0)));
}

/* walk(Kept, Part) -> {Result, Words, Found}: the words that were used; Found is `elsewhere` if
 * they were not all behind one another. */
NIF(walk)
{
    ERL_NIF_TERM t = 0;
    struct kept *kept = get_kept(env, argv[0]);
    UNUSED_ARGS;
    uint64_t most = 8 * xe_term_object_words(&kept->stored.view) + 8192;
    const uint64_t *from = mark(env) + 2;
    enum xe_term_status status =
        decode_part(env, kept, get_int(env, argv[1]), XE_TERM_NO_BUDGET, &t);
    const uint64_t *to = mark(env);
    bool here = to >= from && (uint64_t)(to - from) <= most;
    size_t n = here ? (size_t)(to - from) : 0;
    const char *found = here ? walk_words(from, n) : "elsewhere";
    return enif_make_tuple3(env, make_result(env, status, t), enif_make_uint64(env, n),
                            enif_make_atom(env, found));
}

/* [Term], decoded n times. */
static ERL_NIF_TERM decode_times(ErlNifEnv *env, struct kept *kept, int part, int n)
{
    ERL_NIF_TERM list = enif_make_list(env, 0), t = 0;
    for (int i = 0; i < n; i++)
        if (decode_part(env, kept, part, XE_TERM_NO_BUDGET, &t) == XE_TERM_OK)
            list = enif_make_list_cell(env, t, list);
    return list;
}

/* copies(Kept, Part, N) -> [Term]: decoded N times into an environment of no process, and copied
 * from there when all are done. */
NIF(copies)
{
    struct kept *kept = get_kept(env, argv[0]);
    int part = get_int(env, argv[1]), n = get_int(env, argv[2]);
    ErlNifEnv *own = enif_alloc_env();
    ERL_NIF_TERM list = decode_times(own, kept, part, n), t;
    UNUSED_ARGS;
    t = enif_make_copy(env, list);
    /* What is decoded into an environment that has been used must not need what was there. */
    enif_clear_env(own);
    if (decode_part(own, kept, part, XE_TERM_NO_BUDGET, &list) == XE_TERM_OK)
        t = enif_make_list_cell(env, enif_make_copy(env, list), t);
    enif_free_env(own);
    return t;
}

/* send(Pid, Tag, Kept, Part, N): {Tag, [Term]}, decoded N times into the message */
NIF(send)
{
    ErlNifPid pid;
    struct kept *kept = get_kept(env, argv[2]);
    int part = get_int(env, argv[3]), n = get_int(env, argv[4]);
    ErlNifEnv *own = enif_alloc_env();
    ERL_NIF_TERM list = decode_times(own, kept, part, n);
    UNUSED_ARGS;
    bool sent = enif_get_local_pid(env, argv[0], &pid) &&
                enif_send(env, &pid, own,
                          enif_make_tuple2(own, enif_make_copy(own, argv[1]), list));
    enif_free_env(own);
    return make_bool(env, sent);
}

/* kinds(Mask) -> Kinds: what of that is native here is so from now on */
NIF(kinds)
{
    int mask = get_int(env, argv[0]);
    UNUSED_ARGS;
    xe_native.kinds = probed & (uint32_t)mask;
    return enif_make_uint(env, xe_native.kinds);
}

/* A reference to a resource. */
NIF(magic)
{
    UNUSED_ARGS;
    void *resource = enif_alloc_resource(magic_type, 8);
    ERL_NIF_TERM t = enif_make_resource(env, resource);
    enif_release_resource(resource);
    return t;
}

static void learn(ErlNifEnv *env, ERL_NIF_TERM info)
{
    const ERL_NIF_TERM *facts;
    char release[8] = "";
    int arity;
    ERL_NIF_TERM map = enif_make_new_map(env), one = enif_make_int(env, 1);
    enif_make_map_put(env, map, one, one, &map);
    subtag_map = *address(map) & SUBTAG_MASK;
    if (enif_get_tuple(env, info, &arity, &facts))
        enif_get_string(env, facts[0], release, sizeof release, ERL_NIF_LATIN1);
    short_funs = atoi(release) >= 27;
}

static int load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    (void)priv;
    learn(env, info);
    kept_type = enif_open_resource_type(env, NULL, "kept", kept_gone, ERL_NIF_RT_CREATE, NULL);
    magic_type = enif_open_resource_type(env, NULL, "magic", NULL, ERL_NIF_RT_CREATE, NULL);
    if (!nif_alloc_init() || !kept_type || !magic_type || !xe_term_init(env))
        return 1;
    xe_native_init(env, info);
    probed = xe_native.kinds;
    return 0;
}

static ErlNifFunc functions[] = {
    {"keep", 3, keep, 0},
    {"decode", 2, decode, 0},
    {"bytes", 1, bytes, 0},
    {"walk", 2, walk, 0},
    {"copies", 3, copies, 0},
    {"send", 5, send, 0},
    {"kinds", 1, kinds, 0},
    {"fail_after", 1, fail_after, 0},
    {"magic", 0, magic, 0},
};

ERL_NIF_INIT(xets_native_nif, functions, load, NULL, NULL, NULL)
