/*
 * match_value.c - values of a running program (match_internal.h): from nodes to values, their
 * types, equality and order, and their terms where nothing else will do.
 */
#include "match_internal.h"
#include "term_native.h"

/* Past these many words of a body, a node in it is measured before it is charged for. */
enum { MEASURE_WORDS = 256, SHORT_TUPLE = 16 };

ErlNifEnv *xe_matcher_scratch(struct xe_matcher *m)
{
    if (!m->scratch && !(m->scratch = enif_alloc_env()))
        m->error = XE_MATCHED_NOMEM;
    return m->scratch;
}

static enum xe_step step_of_status(struct xe_matcher *m, enum xe_term_status status)
{
    if (XE_LIKELY(status == XE_TERM_OK))
        return XE_STEP_OK;
    return xe_match_error(m, status == XE_TERM_BUDGET ? XE_MATCHED_BUDGET : XE_MATCHED_NOMEM);
}

void xe_value_load(const struct xe_cursor *c, struct xe_value *v)
{
    unsigned tag = *c->p;
    switch (tag >> 3) {
    case XE_NODE_IMM:
        xe_value_set(v, xe_term_packed(c->p + 1, (tag & 7) + 1));
        break;
    case XE_NODE_FLOAT:
        v->kind = XE_VALUE_FLOAT;
        memcpy(&v->d, c->p + 1, sizeof v->d);
        break;
    case XE_NODE_EXT:
    case XE_NODE_EXTBIN:
        v->kind = XE_VALUE_FOREIGN;
        v->term = xe_load64(c->handles);
        break;
    default:
        v->kind = XE_VALUE_NODE;
        v->place = c->in_key ? XE_PLACE_KEY : XE_PLACE_BODY;
        v->p = c->p;
        v->handles = c->handles;
    }
}

/* Keys. */

void xe_matcher_load_key(struct xe_matcher *m)
{
    struct xe_cursor c;
    const struct xe_view *view = m->view;
    unsigned tag = view->key[0];
    if (view->flags & XE_REC_ORDER) {
        xe_matcher_load_ordered_key(m);
    } else if (tag >> 3 == XE_NODE_IMM) {
        xe_value_set(&m->key, xe_term_packed(view->key + 1, (tag & 7) + 1));
    } else {
        if (!(m->body[0] & XE_TERM_BODY_FLAT) && (m->body[0] & XE_TERM_BODY_KEY))
            xe_cursor_body(&c, view);
        else
            xe_cursor_key(&c, view);
        xe_value_load(&c, &m->key);
    }
}

static enum xe_step decode_key(struct xe_matcher *m, ErlNifEnv *env, ERL_NIF_TERM *out)
{
    uint64_t words = 1 + m->view->klen;
    if (xe_match_charge(m, words) != XE_STEP_OK)
        return XE_STEP_ERROR;
    return step_of_status(m, xe_term_decode_key(env, m->view, m->left, out));
}

static enum xe_step settle_key(struct xe_matcher *m, struct xe_value *v)
{
    ERL_NIF_TERM t;
    double d;
    if (m->key.kind == XE_VALUE_KEY) {
        ErlNifEnv *env = xe_matcher_scratch(m);
        if (!env || decode_key(m, env, &t) != XE_STEP_OK)
            return XE_STEP_ERROR;
        m->scratch_words += 2 * m->view->klen;
        m->key = xe_value_of_foreign(t);
        if (m->key.kind == XE_VALUE_FOREIGN && enif_get_double(env, t, &d)) {
            m->key.kind = XE_VALUE_FLOAT;
            m->key.d = d;
        }
    }
    *v = m->key;
    return XE_STEP_OK;
}

enum xe_step xe_value_settle(struct xe_matcher *m, struct xe_value *v)
{
    return XE_LIKELY(v->kind != XE_VALUE_KEY) ? XE_STEP_OK : settle_key(m, v);
}

/* Terms. */

/* Charges for looking at, or copying, a term that is there already: it is made of parts of the
 * object and of constants. */
static enum xe_step charge_again(struct xe_matcher *m)
{
    uint64_t words = (m->view->klen + m->view->blen) / 8 + m->program->constant_words;
    return xe_match_charge(m, 1 + words / 2);
}

enum xe_step xe_value_copy_term(struct xe_matcher *m, ErlNifEnv *env, ERL_NIF_TERM t,
                                ERL_NIF_TERM *out)
{
    *out = t;
    if (xe_term_is_immediate(t))
        return XE_STEP_OK;
    if (charge_again(m) != XE_STEP_OK)
        return XE_STEP_ERROR;
    if (env == m->scratch)
        m->scratch_words += (m->view->klen + m->view->blen) / 8 + m->program->constant_words;
    *out = enif_make_copy(env, t);
    return XE_STEP_OK;
}

/* Charges for the decoding of a node. */
static enum xe_step charge_node(struct xe_matcher *m, const struct xe_cursor *c, uint64_t *words)
{
    uint64_t all = (uint64_t)(c->end - c->p); /* at most, for one that is small */
    if (all > MEASURE_WORDS || m->left < all) {
        struct xe_cursor end = *c;
        struct xe_extent x = {0, 0, 0};
        if (!xe_node_skip(&end, m->left, &x))
            return xe_match_error(m, XE_MATCHED_BUDGET);
        all = x.words + x.nodes + x.larger / 8;
    }
    *words = all;
    return xe_match_charge(m, all);
}

/* The commonest nodes: short tuples of immediates, and binaries. */
static bool decode_short_node(ErlNifEnv *env, struct xe_cursor c, ERL_NIF_TERM *out)
{
    ERL_NIF_TERM words[SHORT_TUPLE];
    unsigned tag = *c.p, width = (tag & 7) + 1, n = c.p[1];
    if (tag >> 3 == XE_NODE_TUPLE_IMM && n <= SHORT_TUPLE) {
        for (unsigned i = 0; i < n; i++)
            words[i] = xe_term_packed(c.p + 2 + i * width, width);
        *out = enif_make_tuple_from_array(env, words, n);
        return true;
    }
    if (tag >> 3 != XE_NODE_BIN || n >= 0x80)
        return false;
    *out = xe_native_make_binary(env, c.p + 2, n);
    return true;
}

static enum xe_step decode_node(struct xe_matcher *m, ErlNifEnv *env, const struct xe_value *v,
                                ERL_NIF_TERM *out)
{
    struct xe_cursor c = xe_value_cursor(m, v);
    uint64_t words = 0;
    if (charge_node(m, &c, &words) != XE_STEP_OK)
        return XE_STEP_ERROR;
    if (env == m->scratch)
        m->scratch_words += words;
    if (decode_short_node(env, c, out))
        return XE_STEP_OK;
    return step_of_status(m, xe_node_decode(env, &c, out));
}

/* The key of the object in an environment, if that is soon told; else 0. */
static enum xe_step key_of_object(struct xe_matcher *m, ErlNifEnv *env, ERL_NIF_TERM *out)
{
    const struct xe_value *key = xe_matcher_key(m);
    *out = 0;
    if (key->kind == XE_VALUE_TERM)
        *out = key->term;
    else if (key->kind == XE_VALUE_NODE && key->place == XE_PLACE_MATCHER)
        return decode_node(m, env, key, out);
    else if (key->kind == XE_VALUE_FOREIGN && (m->view->flags & XE_REC_ORDER))
        return xe_value_copy_term(m, env, key->term, out);
    return XE_STEP_OK;
}

static enum xe_step decode_object(struct xe_matcher *m, ErlNifEnv *env, ERL_NIF_TERM *out)
{
    uint64_t words = xe_term_object_words(m->view);
    ERL_NIF_TERM key;
    if (xe_match_charge(m, words) != XE_STEP_OK || key_of_object(m, env, &key) != XE_STEP_OK)
        return XE_STEP_ERROR;
    if (env == m->scratch)
        m->scratch_words += words;
    if (XE_LIKELY(key && (m->body[0] & XE_TERM_BODY_FLAT))) {
        ERL_NIF_TERM elements[XE_TERM_FLAT_ARITY_MAX];
        unsigned arity = xe_term_unpack_flat(m->body, m->program->keypos, key, elements);
        *out = enif_make_tuple_from_array(env, elements, arity);
        return XE_STEP_OK;
    }
    return step_of_status(
        m, xe_term_decode_object(env, m->view, m->program->keypos, key, XE_TERM_NO_BUDGET, out));
}

/* An object is decoded once for the result, and once to be looked at. */
static enum xe_step object_term(struct xe_matcher *m, ErlNifEnv *env, ERL_NIF_TERM *cache,
                                ERL_NIF_TERM *out)
{
    if (!*cache && decode_object(m, env, cache) != XE_STEP_OK)
        return XE_STEP_ERROR;
    *out = *cache;
    return XE_STEP_OK;
}

enum xe_step xe_value_term(struct xe_matcher *m, const struct xe_value *v, ERL_NIF_TERM *out)
{
    struct xe_value settled;
    if (XE_LIKELY(xe_value_is_term(v))) {
        *out = v->term;
        return XE_STEP_OK;
    }
    ErlNifEnv *env = xe_matcher_scratch(m);
    if (!env)
        return XE_STEP_ERROR;
    switch (v->kind) {
    case XE_VALUE_FLOAT:
        *out = enif_make_double(env, v->d);
        m->scratch_words += XE_COST_FLOAT;
        return xe_match_charge(m, 1);
    case XE_VALUE_NODE:
        return decode_node(m, env, v, out);
    case XE_VALUE_KEY:
        if (settle_key(m, &settled) != XE_STEP_OK)
            return XE_STEP_ERROR;
        if (xe_value_is_term(&settled))
            *out = settled.term;
        else
            *out = enif_make_double(env, settled.d);
        return XE_STEP_OK;
    default:
        return object_term(m, env, &m->scratch_object, out);
    }
}

enum xe_step xe_value_result(struct xe_matcher *m, const struct xe_value *v, ERL_NIF_TERM *out)
{
    switch (v->kind) {
    case XE_VALUE_TERM:
        *out = v->term;
        return XE_STEP_OK;
    case XE_VALUE_FOREIGN:
        return xe_value_copy_term(m, m->env, v->term, out);
    case XE_VALUE_FLOAT:
        *out = enif_make_double(m->env, v->d);
        return xe_match_charge(m, 1);
    case XE_VALUE_NODE:
        return decode_node(m, m->env, v, out);
    case XE_VALUE_KEY:
        return decode_key(m, m->env, out);
    default:
        return object_term(m, m->env, &m->object, out);
    }
}

/* Types. */

static enum xe_value_type type_of_term(const struct xe_matcher *m, ERL_NIF_TERM t)
{
    switch (enif_term_type(m->env, t)) {
    case ERL_NIF_TERM_TYPE_ATOM:
        return XE_TYPE_ATOM;
    case ERL_NIF_TERM_TYPE_BITSTRING:
        return enif_is_binary(m->env, t) ? XE_TYPE_BINARY : XE_TYPE_BITS;
    case ERL_NIF_TERM_TYPE_FLOAT:
        return XE_TYPE_FLOAT;
    case ERL_NIF_TERM_TYPE_FUN:
        return XE_TYPE_FUN;
    case ERL_NIF_TERM_TYPE_INTEGER:
        return XE_TYPE_INTEGER;
    case ERL_NIF_TERM_TYPE_LIST:
        return XE_TYPE_LIST;
    case ERL_NIF_TERM_TYPE_MAP:
        return XE_TYPE_MAP;
    case ERL_NIF_TERM_TYPE_PID:
        return XE_TYPE_PID;
    case ERL_NIF_TERM_TYPE_PORT:
        return XE_TYPE_PORT;
    case ERL_NIF_TERM_TYPE_REFERENCE:
        return XE_TYPE_REFERENCE;
    case ERL_NIF_TERM_TYPE_TUPLE:
        return XE_TYPE_TUPLE;
    default:
        return XE_TYPE_OTHER;
    }
}

static enum xe_value_type type_of_node(unsigned tag)
{
    switch (tag >> 3) {
    case XE_NODE_TUPLE_IMM:
    case XE_NODE_TUPLE:
        return XE_TYPE_TUPLE;
    case XE_NODE_LIST_IMM:
    case XE_NODE_LIST:
    case XE_NODE_ILIST:
        return XE_TYPE_LIST;
    case XE_NODE_BIN:
        return XE_TYPE_BINARY;
    case XE_NODE_BITS:
        return XE_TYPE_BITS;
    case XE_NODE_BIG:
        return XE_TYPE_INTEGER;
    case XE_NODE_MAP:
        return XE_TYPE_MAP;
    case XE_NODE_REF:
        return XE_TYPE_REFERENCE;
    default:
        return XE_TYPE_OTHER;
    }
}

enum xe_value_type xe_value_type(const struct xe_matcher *m, const struct xe_value *v)
{
    switch (v->kind) {
    case XE_VALUE_TERM:
        return xe_word_is_small(v->term) ? XE_TYPE_INTEGER : type_of_term(m, v->term);
    case XE_VALUE_FOREIGN:
        return type_of_term(m, v->term);
    case XE_VALUE_FLOAT:
        return XE_TYPE_FLOAT;
    case XE_VALUE_NODE:
        return type_of_node(*v->p);
    default:
        XE_ASSERT(v->kind == XE_VALUE_OBJECT);
        return XE_TYPE_TUPLE;
    }
}

/* Equality and order. */

/* The bytes of a binary. */
static bool binary_of(const struct xe_matcher *m, const struct xe_value *v, ErlNifBinary *bin)
{
    if (v->kind == XE_VALUE_NODE && *v->p >> 3 == XE_NODE_BIN) {
        struct xe_cursor c = xe_value_cursor(m, v);
        c.p++;
        bin->size = xe_cursor_varint(&c);
        bin->data = (unsigned char *)c.p;
        return true;
    }
    return xe_value_is_term(v) && enif_inspect_binary(m->env, v->term, bin);
}

static bool equal_doubles(double a, double b)
{
    return xe_term_traits.zeros_equal ? a == b : memcmp(&a, &b, sizeof a) == 0;
}

/* Whether equal terms of this kind are the same bytes, wherever they are. */
static bool is_canonical(unsigned tag)
{
    switch (tag >> 3) {
    case XE_NODE_TUPLE_IMM:
    case XE_NODE_LIST_IMM:
    case XE_NODE_BITS:
    case XE_NODE_BIG:
    case XE_NODE_REF:
        return true;
    default:
        return false;
    }
}

static enum xe_step same_bytes(struct xe_matcher *m, const struct xe_value *a,
                               const struct xe_value *b)
{
    struct xe_cursor end_a = xe_value_cursor(m, a), end_b = xe_value_cursor(m, b);
    struct xe_extent x = {0, 0, 0};
    xe_node_skip(&end_a, UINT64_MAX, &x);
    xe_node_skip(&end_b, UINT64_MAX, &x);
    size_t size = (size_t)(end_a.p - a->p);
    if (size != (size_t)(end_b.p - b->p))
        return XE_STEP_FAIL;
    if (xe_match_charge(m, size / 64) != XE_STEP_OK)
        return XE_STEP_ERROR;
    return xe_step_of_bool(memcmp(a->p, b->p, size) == 0);
}

static enum xe_step charge_comparison(struct xe_matcher *m, const struct xe_value *a,
                                      const struct xe_value *b)
{
    enum { COMPARISON_WORDS = 8 };
    /* What had to be decoded for it has been charged for. */
    return xe_value_is_term(a) && xe_value_is_term(b) ? charge_again(m)
                                                      : xe_match_charge(m, COMPARISON_WORDS);
}

static enum xe_step identical_terms(struct xe_matcher *m, const struct xe_value *a,
                                    const struct xe_value *b)
{
    ERL_NIF_TERM s, t;
    if (xe_value_term(m, a, &s) != XE_STEP_OK || xe_value_term(m, b, &t) != XE_STEP_OK ||
        charge_comparison(m, a, b) != XE_STEP_OK)
        return XE_STEP_ERROR;
    return xe_step_of_bool(enif_is_identical(s, t));
}

static enum xe_step identical_binaries(struct xe_matcher *m, const struct xe_value *a,
                                       const ErlNifBinary *bin)
{
    ErlNifBinary other;
    if (!binary_of(m, a, &other) || other.size != bin->size)
        return XE_STEP_FAIL;
    if (xe_match_charge(m, bin->size / 64) != XE_STEP_OK)
        return XE_STEP_ERROR;
    return xe_step_of_bool(memcmp(other.data, bin->data, bin->size) == 0);
}

/* A reference that is stored as a node, which is so only where they are native, and a term: nothing
 * is decoded. */
static enum xe_step identical_refs(const struct xe_value *node, const struct xe_value *v)
{
    if (!xe_term_is_boxed(v->term))
        return XE_STEP_FAIL;
    const uint64_t *at = xe_term_at(v->term);
    return xe_step_of_bool((xe_native_is_ref(at) || xe_native_is_alias(at)) &&
                           memcmp(at + 1, node->p + 1, 8 * XE_REF_WORDS) == 0);
}

static bool is_ref_node(const struct xe_value *v)
{
    return v->kind == XE_VALUE_NODE && *v->p >> 3 == XE_NODE_REF;
}

static enum xe_step identical_others(struct xe_matcher *m, const struct xe_value *a,
                                     const struct xe_value *b)
{
    ErlNifBinary bin;
    if (a->kind == XE_VALUE_FLOAT && b->kind == XE_VALUE_FLOAT)
        return xe_step_of_bool(equal_doubles(a->d, b->d));
    if (binary_of(m, b, &bin))
        return identical_binaries(m, a, &bin);
    if (is_ref_node(a) && xe_value_is_term(b))
        return identical_refs(a, b);
    if (is_ref_node(b) && xe_value_is_term(a))
        return identical_refs(b, a);
    if (a->kind == XE_VALUE_NODE && b->kind == XE_VALUE_NODE && is_canonical(*a->p) &&
        is_canonical(*b->p))
        return same_bytes(m, a, b);
    return identical_terms(m, a, b);
}

enum xe_step xe_value_identical(struct xe_matcher *m, struct xe_value *a, struct xe_value *b)
{
    if (xe_value_settle(m, a) != XE_STEP_OK || xe_value_settle(m, b) != XE_STEP_OK)
        return XE_STEP_ERROR;
    /* An immediate is stored as one, whatever it is a part of. */
    if (xe_value_is_word(a) || xe_value_is_word(b))
        return xe_step_of_bool(a->kind == b->kind && a->term == b->term);
    return identical_others(m, a, b);
}

static int order_of(double a, double b)
{
    return (a > b) - (a < b);
}

/* Exactly: doubles beyond 2^53 are integers, which are compared as such. */
static int order_small_double(int64_t i, double d)
{
    const double limit = 9007199254740992.0;
    if (d > -limit && d < limit)
        return i < (int64_t)-limit ? -1 : i > (int64_t)limit ? 1 : order_of((double)i, d);
    if (d >= 1e18 || d <= -1e18)
        return d > 0 ? -1 : 1;
    return (i > (int64_t)d) - (i < (int64_t)d);
}

static int order_binaries(const ErlNifBinary *a, const ErlNifBinary *b)
{
    int order = memcmp(a->data, b->data, a->size < b->size ? a->size : b->size);
    return order ? order : (a->size > b->size) - (a->size < b->size);
}

static enum xe_step compare_others(struct xe_matcher *m, const struct xe_value *a,
                                   const struct xe_value *b, int *order)
{
    ERL_NIF_TERM s, t;
    ErlNifBinary bin_a, bin_b;
    if (binary_of(m, a, &bin_a) && binary_of(m, b, &bin_b)) {
        *order = order_binaries(&bin_a, &bin_b);
        return xe_match_charge(m, (bin_a.size < bin_b.size ? bin_a.size : bin_b.size) / 64);
    }
    if (xe_value_term(m, a, &s) != XE_STEP_OK || xe_value_term(m, b, &t) != XE_STEP_OK ||
        charge_comparison(m, a, b) != XE_STEP_OK)
        return XE_STEP_ERROR;
    *order = enif_compare(s, t);
    return XE_STEP_OK;
}

enum xe_step xe_value_compare(struct xe_matcher *m, struct xe_value *a, struct xe_value *b,
                              int *order)
{
    if (xe_value_settle(m, a) != XE_STEP_OK || xe_value_settle(m, b) != XE_STEP_OK)
        return XE_STEP_ERROR;
    if (xe_value_is_small(a) && xe_value_is_small(b)) {
        int64_t i = (int64_t)a->term, j = (int64_t)b->term;
        *order = (i > j) - (i < j);
    } else if (a->kind == XE_VALUE_FLOAT && b->kind == XE_VALUE_FLOAT) {
        *order = order_of(a->d, b->d);
    } else if (xe_value_is_small(a) && b->kind == XE_VALUE_FLOAT) {
        *order = order_small_double(xe_small_of(a->term), b->d);
    } else if (a->kind == XE_VALUE_FLOAT && xe_value_is_small(b)) {
        *order = -order_small_double(xe_small_of(b->term), a->d);
    } else {
        return compare_others(m, a, b, order);
    }
    return XE_STEP_OK;
}

/* Elements. */

/* The cursor from the first of a row of nodes to node i. */
static enum xe_step skip_nodes(struct xe_matcher *m, struct xe_cursor *c, uint64_t i)
{
    uint64_t nodes = 0;
    for (; i > 0; i--)
        if (!xe_match_skip(m, c, &nodes))
            return xe_match_error(m, XE_MATCHED_BUDGET);
    return xe_match_charge(m, nodes / 4);
}

static enum xe_step object_element(struct xe_matcher *m, uint64_t i, struct xe_value *out)
{
    uint64_t key = (uint64_t)m->program->keypos - 1;
    if (i >= (uint64_t)xe_term_arity(m->view))
        return XE_STEP_FAIL;
    if (i == key) {
        xe_value_copy(out, xe_matcher_key(m));
        return XE_STEP_OK;
    }
    i -= i > key;
    if (m->body[0] & XE_TERM_BODY_FLAT) {
        unsigned width = (m->body[0] & 7) + 1;
        *out = xe_value_of_term(xe_term_packed(m->body + 1 + i * width, width));
        return XE_STEP_OK;
    }
    struct xe_cursor c;
    struct xe_body b = xe_cursor_body(&c, m->view);
    if (skip_nodes(m, &c, i + b.has_key) != XE_STEP_OK)
        return XE_STEP_ERROR;
    xe_value_load(&c, out);
    return XE_STEP_OK;
}

enum xe_step xe_value_element(struct xe_matcher *m, const struct xe_value *tuple, uint64_t i,
                              struct xe_value *out)
{
    if (tuple->kind == XE_VALUE_OBJECT)
        return object_element(m, i, out);
    struct xe_cursor c = xe_value_cursor(m, tuple);
    unsigned tag = *c.p++, width = (tag & 7) + 1;
    if (i >= xe_cursor_varint(&c))
        return XE_STEP_FAIL;
    if (tag >> 3 == XE_NODE_TUPLE_IMM) {
        *out = xe_value_of_term(xe_term_packed(c.p + i * width, width));
        return XE_STEP_OK;
    }
    if (skip_nodes(m, &c, i) != XE_STEP_OK)
        return XE_STEP_ERROR;
    xe_value_load(&c, out);
    return XE_STEP_OK;
}

/* Maps. */

/* Index of an immediate among packed keys. */
static enum xe_step find_packed_key(const struct xe_cursor *keys, uint64_t n, unsigned width,
                                    uint64_t word, uint64_t *index)
{
    const uint8_t *p = keys->p;
    for (uint64_t i = 0; i < n; i++, p += width)
        if (xe_term_packed(p, width) == word) {
            *index = i;
            return XE_STEP_OK;
        }
    return XE_STEP_FAIL;
}

/* The same among nodes; then the cursor is left behind the last key. */
static enum xe_step find_key_node(struct xe_matcher *m, struct xe_cursor *c, uint64_t n,
                                  const struct xe_value *key, uint64_t *index)
{
    for (uint64_t i = 0; i < n; i++) {
        struct xe_value other, given = *key;
        xe_value_load(c, &other);
        enum xe_step step = xe_value_identical(m, &other, &given);
        if (step == XE_STEP_ERROR)
            return step;
        if (step == XE_STEP_OK) {
            *index = i;
            return skip_nodes(m, c, n - i);
        }
        if (skip_nodes(m, c, 1) != XE_STEP_OK)
            return XE_STEP_ERROR;
    }
    return XE_STEP_FAIL;
}

/* Of a node; `key` is an immediate or a binary. */
static enum xe_step node_map_get(struct xe_matcher *m, const struct xe_value *map,
                                 const struct xe_value *key, struct xe_value *out)
{
    struct xe_cursor c = xe_value_cursor(m, map);
    enum xe_step step;
    uint64_t index = 0;
    unsigned tag = *c.p++;
    uint64_t n = xe_cursor_varint(&c);
    unsigned key_width = *c.p >> 4, width = *c.p & 15;
    c.p++;
    const uint8_t *values = c.p + n * key_width;
    if (xe_match_charge(m, n / 8) != XE_STEP_OK)
        return XE_STEP_ERROR;
    if (key_width) {
        if (!xe_value_is_word(key))
            return XE_STEP_FAIL;
        step = find_packed_key(&c, n, key_width, key->term, &index);
        c.p = values + n * width;
        xe_cursor_pass_shape(&c, tag);
    } else {
        c.p = values + n * width;
        xe_cursor_pass_shape(&c, tag);
        step = find_key_node(m, &c, n, key, &index);
    }
    if (step != XE_STEP_OK)
        return step;
    if (width) {
        xe_value_set(out, xe_term_packed(values + index * width, width));
        return XE_STEP_OK;
    }
    if (skip_nodes(m, &c, index) != XE_STEP_OK)
        return XE_STEP_ERROR;
    xe_value_load(&c, out);
    return XE_STEP_OK;
}

enum xe_step xe_value_map_get(struct xe_matcher *m, const struct xe_value *map,
                              const struct xe_value *key, struct xe_value *out)
{
    ERL_NIF_TERM k, t, value;
    ErlNifBinary bin;
    if (map->kind == XE_VALUE_NODE && (xe_value_is_word(key) || binary_of(m, key, &bin)))
        return node_map_get(m, map, key, out);
    if (xe_value_term(m, key, &k) != XE_STEP_OK || xe_value_term(m, map, &t) != XE_STEP_OK ||
        charge_comparison(m, key, map) != XE_STEP_OK)
        return XE_STEP_ERROR;
    if (!enif_get_map_value(m->env, t, k, &value))
        return XE_STEP_FAIL;
    *out = map->kind == XE_VALUE_TERM ? xe_value_of_term(value) : xe_value_of_foreign(value);
    return XE_STEP_OK;
}

bool xe_value_map_size(const struct xe_matcher *m, const struct xe_value *v, uint64_t *out)
{
    size_t n;
    if (v->kind == XE_VALUE_NODE && *v->p >> 3 == XE_NODE_MAP) {
        struct xe_cursor c = xe_value_cursor(m, v);
        c.p++;
        *out = xe_cursor_varint(&c);
        return true;
    }
    if (!xe_value_is_term(v) || !enif_get_map_size(m->env, v->term, &n))
        return false;
    *out = n;
    return true;
}
