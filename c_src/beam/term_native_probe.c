/*
 * term_native_probe.c - what of the emulator's representation of terms is as term_native.h says.
 *
 * Each kind is proven by itself, on specimens whose contents erl_nif tells: the words behind a
 * term must be those that are expected, and a copy of these words in a block, as
 * decoding makes it, must be the same term to the emulator. Nothing is believed before it
 * has been seen: a pointer is followed only with the tag, and at the place, that it must have.
 *
 * What differs between releases is learnt from the first specimen and expected of all others.
 */
#include "term_native.h"
#include "term_internal.h"

enum {
    EXT_MAGIC = 131, /* of the external term format, and its tags */
    EXT_BITS = 77,
    EXT_SMALL_BIG = 110,
    PROBE_WORDS = XE_NATIVE_BLOCK, /* of the largest copy: blocks are as large as has been seen */
    PROBE_DEPTH = 64,   /* of a large map's trie */
    REF_MARKER = 0xffffffff,
    SUB_WORDS = 5,
};

/* The OTP releases on which `make matrix` has run every test, in both ways. */
static const char *const verified[] = {"25", "27", "29"};

struct xe_native xe_native;

struct probe {
    ErlNifEnv *env;
    struct xe_native *n;
    ERL_NIF_TERM *nils;
    ERL_NIF_TERM *terms; /* PROBE_WORDS, for whoever needs an array */
};

/* Whether `seen` is what is expected; if nothing is, it is from now on. */
static bool learn(uint64_t *expected, uint64_t seen)
{
    if (!*expected)
        *expected = seen;
    return *expected == seen && seen != 0;
}

/* The words of a boxed term, or NULL. */
static const uint64_t *boxed(ERL_NIF_TERM t)
{
    return (t & 7) == XE_PRIMARY_BOXED ? xe_term_at(t) : NULL;
}

static bool is_header(uint64_t word)
{
    return (word & 3) == 0;
}

static uint64_t header_of(uint64_t arity, uint64_t subtag)
{
    return arity << XE_ARITY_SHIFT | subtag;
}

/* Of a header with this arity, the bits below it; they are not a tuple's. */
static bool learn_subtag(uint64_t *expected, uint64_t header, uint64_t arity)
{
    return is_header(header) && header >> XE_ARITY_SHIFT == arity &&
           learn(expected, header & XE_SUBTAG_MASK);
}

/* Words to be overwritten. NULL: tuples are not as expected. */
static uint64_t *make_block(const struct probe *p, size_t words)
{
    const ERL_NIF_TERM *elements;
    int arity;
    if (words < 2 || words > PROBE_WORDS)
        return NULL;
    ERL_NIF_TERM t = enif_make_tuple_from_array(p->env, p->nils, (unsigned)words - 1);
    if (!boxed(t) || !enif_get_tuple(p->env, t, &arity, &elements) ||
        (const uint64_t *)elements != boxed(t) + 1)
        return NULL;
    return xe_term_at(t);
}

static bool is_copy(ERL_NIF_TERM copy, ERL_NIF_TERM t)
{
    return enif_is_identical(copy, t) && enif_is_identical(t, copy) && enif_compare(copy, t) == 0;
}

/* Whether the words of a boxed term, copied, are the same term. */
static bool copies(const struct probe *p, ERL_NIF_TERM t, size_t words)
{
    uint64_t *to = make_block(p, words);
    if (!to)
        return false;
    memcpy(to, boxed(t), words * 8);
    return is_copy((ERL_NIF_TERM)to | XE_PRIMARY_BOXED, t);
}

/* Terms of several kinds: immediates, lists, boxed ones. Different for each i. */
static ERL_NIF_TERM specimen(ErlNifEnv *env, uint64_t i)
{
    ERL_NIF_TERM n = enif_make_uint64(env, i);
    return i % 3 == 0 ? n : i % 3 == 1 ? enif_make_list1(env, n) : enif_make_tuple1(env, n);
}

static bool probe_tuple(struct probe *p, size_t arity)
{
    const ERL_NIF_TERM *elements;
    int found;
    for (size_t i = 0; i < arity; i++)
        p->terms[i] = specimen(p->env, i);
    ERL_NIF_TERM t = enif_make_tuple_from_array(p->env, p->terms, (unsigned)arity);
    const uint64_t *at = boxed(t);
    if (!at || !enif_get_tuple(p->env, t, &found, &elements) ||
        (const uint64_t *)elements != at + 1 || at[0] != header_of(arity, 0))
        return false;
    return memcmp(at + 1, p->terms, arity * 8) == 0 && copies(p, t, arity + 1);
}

static bool probe_tuples(struct probe *p)
{
    static const size_t arities[] = {1, 2, 3, 8, 63, 64, 255, 256, 1000, PROBE_WORDS - 1};
    bool ok = (p->nils[0] & 3) == 3;
    for (size_t i = 0; ok && i < sizeof arities / sizeof *arities; i++)
        ok = probe_tuple(p, arities[i]);
    return ok;
}

static bool probe_cell(struct probe *p, ERL_NIF_TERM head, ERL_NIF_TERM tail)
{
    ERL_NIF_TERM h, tl, t = enif_make_list_cell(p->env, head, tail);
    if ((t & 7) != XE_PRIMARY_LIST || !enif_get_list_cell(p->env, t, &h, &tl) || h != head ||
        tl != tail || xe_term_at(t)[0] != head || xe_term_at(t)[1] != tail)
        return false;
    uint64_t *to = make_block(p, 2);
    if (!to)
        return false;
    memcpy(to, xe_term_at(t), 16);
    ERL_NIF_TERM copy = (ERL_NIF_TERM)to | XE_PRIMARY_LIST;
    return enif_get_list_cell(p->env, copy, &h, &tl) && h == head && tl == tail && is_copy(copy, t);
}

/* Cells that are made together lie one behind the other: they are blocks, too. */
static bool probe_array(struct probe *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        p->terms[i] = specimen(p->env, i);
    ERL_NIF_TERM t = enif_make_list_from_array(p->env, p->terms, n);
    if ((t & 7) != XE_PRIMARY_LIST)
        return false;
    const uint64_t *at = xe_term_at(t);
    for (unsigned i = 0; i < n; i++, at += 2) {
        uint64_t tail = i + 1 < n ? (uint64_t)(at + 2) | XE_PRIMARY_LIST : p->nils[0];
        if (at[0] != p->terms[i] || at[1] != tail)
            return false;
    }
    return true;
}

static bool probe_lists(struct probe *p)
{
    ERL_NIF_TERM t = p->nils[0];
    bool ok = true;
    for (uint64_t i = 0; ok && i < 9; i++) {
        ERL_NIF_TERM head = specimen(p->env, i);
        ok = probe_cell(p, head, t) && probe_cell(p, t, head); /* the second is improper */
        t = enif_make_list_cell(p->env, head, t);
    }
    return ok && probe_array(p, 9) && probe_array(p, PROBE_WORDS / 2);
}

static bool probe_floats(struct probe *p)
{
    static const double values[] = {1.0, 0.0, -0.0, -1.5, 3.14, 5e-324, 1.7976931348623157e308};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof values / sizeof *values; i++) {
        ERL_NIF_TERM t = enif_make_double(p->env, values[i]);
        const uint64_t *at = boxed(t);
        ok = at && is_header(at[0]) && at[0] >> XE_ARITY_SHIFT == 1 &&
             learn(&p->n->flonum, at[0]) && (at[0] & XE_SUBTAG_MASK) != 0 &&
             memcmp(at + 1, &values[i], 8) == 0 && copies(p, t, 2);
    }
    return ok;
}

static ERL_NIF_TERM read_external(const struct probe *p, const uint8_t *bytes, size_t size)
{
    ERL_NIF_TERM t;
    return enif_binary_to_term(p->env, bytes, size, &t, 0) == size ? t : 0;
}

static bool probe_big(struct probe *p, const uint64_t *digits, size_t n, bool negative)
{
    size_t size = 8 * n;
    while (((const uint8_t *)digits)[size - 1] == 0)
        size--;
    uint8_t ext[4 + 3 * 8] = {EXT_MAGIC, EXT_SMALL_BIG, (uint8_t)size, negative};
    memcpy(ext + 4, digits, size);
    ERL_NIF_TERM t = read_external(p, ext, 4 + size);
    const uint64_t *at = boxed(t);
    return at && learn_subtag(negative ? &p->n->negative : &p->n->positive, at[0], n) &&
           memcmp(at + 1, digits, 8 * n) == 0 && copies(p, t, n + 1);
}

/* Those that erl_nif makes. */
static bool probe_made_bigs(struct probe *p)
{
    ERL_NIF_TERM most = enif_make_uint64(p->env, UINT64_MAX);
    ERL_NIF_TERM least = enif_make_int64(p->env, INT64_MIN);
    const uint64_t *at = boxed(most);
    if (!at || at[0] != header_of(1, p->n->positive) || at[1] != UINT64_MAX)
        return false;
    at = boxed(least);
    return at && at[0] == header_of(1, p->n->negative) && at[1] == (uint64_t)1 << 63;
}

static bool probe_bigs(struct probe *p)
{
    static const struct {
        size_t n;
        uint64_t digits[3];
    } values[] = {
        {1, {(uint64_t)1 << 60}},
        {1, {(uint64_t)1 << 63}},
        {1, {UINT64_MAX}},
        {2, {0, 1}},
        {2, {0x0123456789abcdef, 0xfedcba9876543210}},
        {3, {1, 2, 3}},
        {3, {UINT64_MAX, UINT64_MAX, UINT64_MAX}},
    };
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof values / sizeof *values; i++)
        ok = probe_big(p, values[i].digits, values[i].n, false) &&
             probe_big(p, values[i].digits, values[i].n, true);
    return ok && p->n->positive != p->n->negative && probe_made_bigs(p);
}

/* Maps. The i-th key and value of a map of n. */
static bool make_map(struct probe *p, size_t n, uint64_t seed, ERL_NIF_TERM *t)
{
    for (size_t i = 0; i < n; i++) {
        p->terms[i] = specimen(p->env, seed + i);
        p->terms[n + i] = specimen(p->env, i);
    }
    return enif_make_map_from_arrays(p->env, p->terms, p->terms + n, n, t);
}

/* Whether the emulator finds in `copy` what it finds in a map. */
static bool is_map_copy(const struct probe *p, ERL_NIF_TERM copy, ERL_NIF_TERM t, size_t n)
{
    ERL_NIF_TERM value;
    size_t size;
    if (!enif_get_map_size(p->env, copy, &size) || size != n || !is_copy(copy, t))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = enif_get_map_value(p->env, copy, p->terms[i], &value) &&
             enif_is_identical(value, p->terms[n + i]);
    return ok;
}

static bool copies_flat_map(const struct probe *p, ERL_NIF_TERM t, size_t n)
{
    uint64_t *to = make_block(p, 3 + n + 1 + n);
    if (!to)
        return false;
    const uint64_t *at = boxed(t);
    memcpy(to, boxed(at[2]), (n + 1) * 8);
    memcpy(to + n + 1, at, (3 + n) * 8);
    to[n + 3] = (uint64_t)to | XE_PRIMARY_BOXED;
    return is_map_copy(p, (ERL_NIF_TERM)(to + n + 1) | XE_PRIMARY_BOXED, t, n);
}

static bool probe_flat_map(struct probe *p, size_t n)
{
    ERL_NIF_TERM t, key, value;
    ErlNifMapIterator it;
    const uint64_t *at, *keys;
    if (!make_map(p, n, 7, &t) || !(at = boxed(t)) || !learn(&p->n->flatmap, at[0]) ||
        !is_header(at[0]) || (at[0] & XE_SUBTAG_MASK) == 0 || at[1] != n)
        return false;
    if (n == 0)
        return true; /* made by erl_nif: its keys may be shared by all of the VM */
    if (!(keys = boxed(at[2])) || keys[0] != header_of(n, 0) ||
        !enif_map_iterator_create(p->env, t, &it, ERL_NIF_MAP_ITERATOR_FIRST))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        ok = enif_map_iterator_get_pair(p->env, &it, &key, &value) && keys[1 + i] == key &&
             at[3 + i] == value;
        enif_map_iterator_next(p->env, &it);
    }
    ok = ok && enif_map_iterator_is_tail(p->env, &it);
    enif_map_iterator_destroy(p->env, &it);
    return ok && copies_flat_map(p, t, n);
}

static bool probe_flat_maps(struct probe *p)
{
    static const size_t sizes[] = {1, 0, 2, 3, 5, 31, XE_FLATMAP_MAX};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof sizes / sizeof *sizes; i++)
        ok = probe_flat_map(p, sizes[i]);
    return ok;
}

/* A walk over the trie of a large map, beside the emulator's own. */
struct trie {
    ErlNifMapIterator it;
    uint64_t *to, *end; /* where the nodes are copied to, leaves included */
    size_t pairs;
};

static bool learn_node(struct probe *p, uint64_t header, unsigned depth)
{
    uint64_t low = header & XE_MAP_HEADER_MASK, bitmap = header >> XE_MAP_BITMAP_SHIFT;
    if (!is_header(header) || bitmap == 0 || bitmap > 0xffff ||
        (low & XE_SUBTAG_MASK) != (p->n->flatmap & XE_SUBTAG_MASK))
        return false;
    return learn(depth > 0          ? &p->n->map_node
                 : bitmap != 0xffff ? &p->n->map_root
                                    : &p->n->map_root_full,
                 low);
}

/* Copies the leaf, if it is what the emulator comes to now. */
static bool probe_leaf(struct probe *p, struct trie *w, ERL_NIF_TERM cell, uint64_t *copy)
{
    ERL_NIF_TERM key, value;
    const uint64_t *at = xe_term_at(cell);
    if (!enif_map_iterator_get_pair(p->env, &w->it, &key, &value) || at[0] != key ||
        at[1] != value || w->end - w->to < 2)
        return false;
    enif_map_iterator_next(p->env, &w->it);
    w->pairs++;
    memcpy(w->to, at, 16);
    *copy = (uint64_t)w->to | XE_PRIMARY_LIST;
    w->to += 2;
    return true;
}

static bool probe_node(struct probe *p, struct trie *w, ERL_NIF_TERM node, unsigned depth,
                       uint64_t *copy)
{
    const uint64_t *at = boxed(node);
    if (!at || depth > PROBE_DEPTH || !learn_node(p, at[0], depth))
        return false;
    unsigned head = depth == 0 ? 2 : 1;
    unsigned children = (unsigned)__builtin_popcountll(at[0] >> XE_MAP_BITMAP_SHIFT);
    if ((size_t)(w->end - w->to) < head + children)
        return false;
    uint64_t *to = w->to;
    w->to += head + children;
    memcpy(to, at, 8 * head);
    *copy = (uint64_t)to | XE_PRIMARY_BOXED;
    bool ok = true;
    for (unsigned i = head; ok && i < head + children; i++)
        ok = (at[i] & 7) == XE_PRIMARY_LIST ? probe_leaf(p, w, at[i], &to[i])
                                            : probe_node(p, w, at[i], depth + 1, &to[i]);
    return ok;
}

static bool probe_large_map(struct probe *p, size_t n, uint64_t seed)
{
    ERL_NIF_TERM t;
    uint64_t copy = 0;
    struct trie w = {.pairs = 0};
    if (!make_map(p, n, seed, &t) || !boxed(t) || boxed(t)[0] == p->n->flatmap ||
        !(w.to = make_block(p, PROBE_WORDS)) ||
        !enif_map_iterator_create(p->env, t, &w.it, ERL_NIF_MAP_ITERATOR_FIRST))
        return false;
    w.end = w.to + PROBE_WORDS;
    bool ok = probe_node(p, &w, t, 0, &copy) && boxed(t)[1] == n && w.pairs == n &&
              enif_map_iterator_is_tail(p->env, &w.it);
    enif_map_iterator_destroy(p->env, &w.it);
    return ok && is_map_copy(p, copy, t, n);
}

/* All forms of nodes must have been seen: with several maps of each size they are. */
static bool probe_large_maps(struct probe *p)
{
    static const size_t sizes[] = {33, 34, 60, 200, 1000};
    bool ok = true;
    for (uint64_t seed = 1; ok && seed <= 8; seed++) {
        for (size_t i = 0; ok && i < sizeof sizes / sizeof *sizes; i++)
            ok = probe_large_map(p, sizes[i], seed * 1000003);
    }
    return ok && p->n->map_node && p->n->map_root && p->n->map_root_full &&
           p->n->map_node != p->n->map_root && p->n->map_node != p->n->map_root_full &&
           (p->n->flatmap & XE_MAP_HEADER_MASK) != p->n->map_node;
}

/* Binaries. */

static void fill(uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(i * 37 + 201);
}

static bool probe_heap_binary(struct probe *p, size_t size)
{
    ERL_NIF_TERM t;
    ErlNifBinary bin;
    uint8_t *bytes = enif_make_new_binary(p->env, size, &t);
    const uint64_t *at = boxed(t);
    if (!bytes || !at || (size > 0 && (const uint64_t *)bytes != at + 2))
        return false;
    fill(bytes, size);
    size_t words = (size + 7) / 8;
    if (!learn_subtag(&p->n->heap_binary, at[0], 1 + words) ||
        (size > 0 && (at[1] % size != 0 || !learn(&p->n->size_unit, at[1] / size))) ||
        at[1] != size * p->n->size_unit)
        return false;
    return (p->n->size_unit == 1 || p->n->size_unit == 8) && enif_inspect_binary(p->env, t, &bin) &&
           bin.size == size && (size == 0 || (const uint64_t *)bin.data == at + 2) &&
           copies(p, t, 2 + words);
}

static bool probe_heap_binaries(struct probe *p)
{
    static const size_t sizes[] = {1, 0, 7, 8, 9, 20, 63, XE_TERM_BIN_VALUE_MAX};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof sizes / sizeof *sizes; i++)
        ok = probe_heap_binary(p, sizes[i]);
    return ok;
}

/* The emulator's block for a large binary: some words, the last of them its size, the bytes. */
static bool probe_block(struct probe *p, uint64_t block, const uint8_t *bytes, size_t size)
{
    uint64_t head = (uint64_t)bytes - block;
    return (head == 24 || head == 32) && learn(&p->n->block_head, head) &&
           xe_load64(bytes - 8) == size;
}

/* A large binary: its first word, what it is a view of, and where its block is. */
static bool probe_shared(struct probe *p, ERL_NIF_TERM t, const uint8_t *bytes, size_t size)
{
    const uint64_t *at = boxed(t);
    if (!at || (at[0] & XE_SUBTAG_MASK) == p->n->heap_binary)
        return false;
    if (p->n->size_unit == 1)
        return is_header(at[0]) && at[0] >> XE_ARITY_SHIFT == SUB_WORDS &&
               learn(&p->n->shared_binary, at[0]) && at[1] == size && at[4] == (uint64_t)bytes &&
               probe_block(p, at[3], bytes, size);
    if (!is_header(at[0]) || at[0] >> XE_ARITY_SHIFT != SUB_WORDS - 1 ||
        !learn(&p->n->sub_binary, at[0]) || (at[1] & ~(uint64_t)3) != (uint64_t)bytes ||
        at[2] != 0 || at[3] != 8 * size || !(at = boxed(at[4])))
        return false;
    return is_header(at[0]) && at[0] >> XE_ARITY_SHIFT == 2 && learn(&p->n->shared_binary, at[0]) &&
           probe_block(p, at[1], bytes, size);
}

static bool probe_slice(struct probe *p, ERL_NIF_TERM whole, const uint8_t *bytes, size_t from,
                        size_t size)
{
    ERL_NIF_TERM t = enif_make_sub_binary(p->env, whole, from, size);
    const uint64_t *at = boxed(t), *parent;
    if (!at || !is_header(at[0]) || !learn(&p->n->sub_binary, at[0]) ||
        at[0] >> XE_ARITY_SHIFT != (p->n->size_unit == 1 ? SUB_WORDS - 2 : SUB_WORDS - 1))
        return false;
    if (!(parent = boxed(at[4])) || parent[0] != p->n->shared_binary)
        return false;
    if (p->n->size_unit == 1)
        return at[1] == size && at[2] == from && (at[3] & 0xffff) == 0 &&
               parent[4] == (uint64_t)bytes;
    return (at[1] & ~(uint64_t)3) == (uint64_t)bytes && at[2] == 8 * from &&
           at[3] == 8 * (from + size);
}

static bool probe_slices(struct probe *p)
{
    static const size_t sizes[] = {XE_TERM_BIN_VALUE_MAX + 36, 1000, 4096, 70001};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof sizes / sizeof *sizes; i++) {
        ERL_NIF_TERM t;
        ErlNifBinary bin;
        const uint8_t *bytes = enif_make_new_binary(p->env, sizes[i], &t);
        ok = bytes && probe_shared(p, t, bytes, sizes[i]) &&
             probe_slice(p, t, bytes, 13, XE_TERM_BIN_VALUE_MAX + 1) &&
             probe_slice(p, t, bytes, 0, sizes[i] - 1);
        if (!ok || !enif_alloc_binary(sizes[i], &bin))
            return false;
        bytes = bin.data;
        t = enif_make_binary(p->env, &bin);
        ok = probe_shared(p, t, bytes, sizes[i]) && probe_slice(p, t, bytes, 1, sizes[i] - 1);
    }
    return ok;
}

/* Bit strings. */

/* Up to OTP 26: the heap binary behind it, copied, and itself. */
static bool copies_view(const struct probe *p, ERL_NIF_TERM t)
{
    const uint64_t *at = boxed(t), *parent = boxed(at[4]);
    size_t words = 2 + (parent[1] + 7) / 8;
    uint64_t *to = make_block(p, words + SUB_WORDS);
    if (!to)
        return false;
    memcpy(to, parent, words * 8);
    memcpy(to + words, at, SUB_WORDS * 8);
    to[words + 4] = (uint64_t)to | XE_PRIMARY_BOXED;
    return is_copy((ERL_NIF_TERM)(to + words) | XE_PRIMARY_BOXED, t);
}

static bool is_view_of_heap_binary(const struct probe *p, const uint64_t *at)
{
    const uint64_t *parent = boxed(at[4]);
    return (parent[0] & XE_SUBTAG_MASK) == p->n->heap_binary;
}

/* Up to OTP 26. */
static bool is_view_as_expected(struct probe *p, const uint64_t *at)
{
    const uint64_t *parent;
    if (!learn(&p->n->sub_binary, at[0]) || at[0] >> XE_ARITY_SHIFT != SUB_WORDS - 2 ||
        !(parent = boxed(at[4])))
        return false;
    return is_view_of_heap_binary(p, at)
               ? parent[0] >> XE_ARITY_SHIFT == 1 + (parent[1] + 7) / 8
               : (p->n->kinds & XE_NATIVE_SLICE) && parent[0] == p->n->shared_binary;
}

static bool copies_bits(const struct probe *p, ERL_NIF_TERM t)
{
    const uint64_t *at = boxed(t);
    if (p->n->size_unit == 8)
        return copies(p, t, 2 + (at[1] + 63) / 64);
    return !is_view_of_heap_binary(p, at) || copies_view(p, t);
}

/* Whether the bit string is what the external format says of it: native reading against it. */
static bool probe_bit_string(struct probe *p, ERL_NIF_TERM t)
{
    ErlNifBinary ext;
    const uint8_t *bytes;
    uint8_t copy[XE_TERM_BIN_VALUE_MAX + 8];
    struct xe_bits seen;
    unsigned bits;
    const uint64_t *at = boxed(t);
    if (!at || !is_header(at[0]) || enif_is_binary(p->env, t))
        return false;
    if (p->n->size_unit == 1 ? !is_view_as_expected(p, at)
                             : (at[0] & XE_SUBTAG_MASK) != p->n->heap_binary ||
                                   at[0] >> XE_ARITY_SHIFT != 1 + (at[1] + 63) / 64)
        return false;
    if (!xe_native_bits(p->n, t, &seen) || seen.size > XE_TERM_BIN_VALUE_MAX ||
        !enif_term_to_binary(p->env, t, &ext))
        return false;
    size_t size = xe_term_inspect_bits(&ext, &bytes, &bits);
    xe_bits_copy(&seen, copy);
    bool ok = size == seen.size && bits == seen.bits && memcmp(bytes, copy, size) == 0;
    enif_release_binary(&ext);
    return ok && copies_bits(p, t);
}

static bool probe_bits(struct probe *p, ERL_NIF_TERM samples)
{
    static const size_t sizes[] = {1, 2, 8, 9, 33, XE_TERM_BIN_VALUE_MAX};
    ERL_NIF_TERM t;
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof sizes / sizeof *sizes; i++) {
        for (unsigned bits = 1; ok && bits < 8; bits++) {
            uint8_t ext[7 + XE_TERM_BIN_VALUE_MAX] = {EXT_MAGIC, EXT_BITS, 0, 0, 0};
            ext[5] = (uint8_t)sizes[i];
            ext[6] = (uint8_t)bits;
            fill(ext + 7, sizes[i]);
            t = read_external(p, ext, 7 + sizes[i]);
            ok = t && probe_bit_string(p, t);
        }
    }
    while (ok && enif_get_list_cell(p->env, samples, &t, &samples))
        ok = probe_bit_string(p, t);
    return ok;
}

/* References. */

static bool probe_ref(struct probe *p, ERL_NIF_TERM t)
{
    const uint64_t *at = boxed(t);
    return at && enif_is_ref(p->env, t) && is_header(at[0]) &&
           at[0] >> XE_ARITY_SHIFT == XE_REF_WORDS && learn(&p->n->ref, at[0]) &&
           (at[1] & REF_MARKER) == REF_MARKER && copies(p, t, 1 + XE_REF_WORDS);
}

/* A reference with another header is a process alias. Nobody can reach a process by it any more:
 * read from its external format it is an ordinary reference, equal and of the same words. */
static bool probe_alias(struct probe *p, ERL_NIF_TERM t)
{
    const uint64_t *at = boxed(t), *plain;
    ErlNifBinary ext;
    ERL_NIF_TERM twin;
    if (at[0] >> XE_ARITY_SHIFT <= XE_REF_WORDS || !learn(&p->n->alias, at[0]) ||
        !enif_term_to_binary(p->env, t, &ext))
        return false;
    bool ok = enif_binary_to_term(p->env, ext.data, ext.size, &twin, 0) > 0 &&
              (plain = boxed(twin)) && (plain[0] == p->n->ref || plain[0] == at[0]) &&
              enif_is_identical(twin, t) && memcmp(plain + 1, at + 1, 8 * XE_REF_WORDS) == 0;
    enif_release_binary(&ext);
    return ok;
}

static bool probe_refs(struct probe *p, const struct xe_native_samples *samples)
{
    ERL_NIF_TERM t, list = samples->refs;
    bool ok = true, others = false;
    for (int i = 0; ok && i < 4; i++)
        ok = probe_ref(p, enif_make_ref(p->env));
    while (ok && enif_get_list_cell(p->env, list, &t, &list))
        ok = probe_ref(p, t);
    list = samples->other_refs;
    while (ok && enif_get_list_cell(p->env, list, &t, &list)) {
        const uint64_t *at = boxed(t);
        others = true;
        ok = at && enif_is_ref(p->env, t) && is_header(at[0]) &&
             at[0] >> XE_ARITY_SHIFT >= XE_REF_WORDS &&
             (at[0] == p->n->ref ? (at[1] & REF_MARKER) != REF_MARKER : probe_alias(p, t));
    }
    return ok && others && p->n->alias;
}

/* What one kind is proven with needs others. */
static void probe_kinds(struct probe *p, const struct xe_native_samples *samples)
{
    uint32_t *kinds = &p->n->kinds;
    *kinds = probe_tuples(p) ? XE_NATIVE_TUPLE : 0;
    if (!*kinds)
        return;
    *kinds |= probe_lists(p) ? XE_NATIVE_LIST : 0;
    *kinds |= probe_floats(p) ? XE_NATIVE_FLOAT : 0;
    *kinds |= probe_bigs(p) ? XE_NATIVE_BIG : 0;
    *kinds |= probe_refs(p, samples) ? XE_NATIVE_REF : 0;
    *kinds |= probe_heap_binaries(p) ? XE_NATIVE_BINARY : 0;
    if (*kinds & XE_NATIVE_BINARY) {
        *kinds |= probe_slices(p) ? XE_NATIVE_SLICE : 0;
        *kinds |= probe_bits(p, samples->bit_strings) ? XE_NATIVE_BITS : 0;
    }
    *kinds |= probe_flat_maps(p) ? XE_NATIVE_MAP : 0;
    if ((*kinds & (XE_NATIVE_LIST | XE_NATIVE_MAP)) == (XE_NATIVE_LIST | XE_NATIVE_MAP))
        *kinds |= probe_large_maps(p) ? XE_NATIVE_LARGE_MAP : 0;
}

/* Headers that mean different things differ, and none is a tuple's. */
static bool are_distinct(const struct xe_native *n)
{
    uint64_t subtags[] = {
        n->flonum & XE_SUBTAG_MASK,      n->flatmap & XE_SUBTAG_MASK,
        n->ref & XE_SUBTAG_MASK,         n->sub_binary & XE_SUBTAG_MASK,
        n->positive & XE_SUBTAG_MASK,    n->negative & XE_SUBTAG_MASK,
        n->heap_binary & XE_SUBTAG_MASK, n->shared_binary & XE_SUBTAG_MASK,
    };
    size_t count = sizeof subtags / sizeof *subtags;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (subtags[i] && subtags[i] == subtags[j])
                return false;
        }
    }
    return true;
}

void xe_native_probe(ErlNifEnv *env, const struct xe_native_samples *samples, struct xe_native *n)
{
    struct probe p = {.env = env, .n = n};
    n->kinds = 0;
    p.nils = enif_alloc(2 * PROBE_WORDS * sizeof *p.nils);
    if (!p.nils)
        return;
    p.terms = p.nils + PROBE_WORDS;
    for (size_t i = 0; i < 2 * PROBE_WORDS; i++)
        p.nils[i] = enif_make_list_from_array(env, NULL, 0);
    probe_kinds(&p, samples);
    if (!are_distinct(n))
        n->kinds = 0;
    enif_free(p.nils);
}

/* The decision. */

static bool is_verified(ErlNifEnv *env, ERL_NIF_TERM release, ERL_NIF_TERM build_type)
{
    char text[16];
    if (enif_get_atom(env, build_type, text, sizeof text, ERL_NIF_LATIN1) <= 0 ||
        strcmp(text, "opt") != 0 ||
        enif_get_string(env, release, text, sizeof text, ERL_NIF_LATIN1) <= 0)
        return false;
    for (size_t i = 0; i < sizeof verified / sizeof *verified; i++) {
        if (strcmp(text, verified[i]) == 0)
            return true;
    }
    return false;
}

static bool decided;

void xe_native_init(ErlNifEnv *env, ERL_NIF_TERM info)
{
    const ERL_NIF_TERM *items;
    int n;
    char forbidden[8];
    if (decided)
        return;
    decided = true;
    if (!enif_get_tuple(env, info, &n, &items) || n != 6 || !is_verified(env, items[0], items[1]) ||
        enif_get_atom(env, items[2], forbidden, sizeof forbidden, ERL_NIF_LATIN1) <= 0 ||
        strcmp(forbidden, "false") != 0)
        return;
    struct xe_native_samples samples = {items[3], items[4], items[5]};
    struct xe_native found = {.kinds = 0};
    xe_native_probe(env, &samples, &found);
    xe_native = found;
}

void xe_native_adopt(const struct xe_native *from)
{
    decided = true;
    xe_native = *from;
}

ERL_NIF_TERM xe_native_names(ErlNifEnv *env, uint32_t kinds)
{
    static const char *const names[XE_NATIVE_KINDS] = {
        "tuple",     "list",   "float",      "bignum",    "map",
        "large_map", "binary", "bit_string", "reference", "slice",
    };
    ERL_NIF_TERM list = enif_make_list_from_array(env, NULL, 0);
    for (int i = XE_NATIVE_KINDS - 1; i >= 0; i--) {
        if (kinds & (uint32_t)1 << i)
            list = enif_make_list_cell(env, enif_make_atom(env, names[i]), list);
    }
    return list;
}
