/*
 * term.h - terms to stored bytes and back.
 *
 * An object is stored as key bytes and body bytes (core/record.h). Both are
 * made of nodes:
 *
 *   tag byte = kind << 3 | param
 *
 *   kind        param  then
 *   IMM         w-1    w bytes: the significant bytes of an immediate's word
 *   TUPLE_IMM   w-1    arity (varint), arity * w bytes: all elements immediates
 *   LIST_IMM    w-1    length (varint), length * w bytes: proper, all immediates
 *   TUPLE       0      arity (varint), a node per element
 *   LIST        0      length (varint), a node per element; proper
 *   ILIST       0      length (varint), a node per element, the tail's node
 *   BIN         0      size (varint), bytes: a binary by content
 *   BITS        bits   size in bytes (varint), bytes: `bits` (1-7) used in the last
 *   FLOAT       0      8 bytes
 *   BIG         sign   size (varint), magnitude, little-endian
 *   MAP         s      size (varint), widths: kw << 4 | vw,
 *                      [size * kw bytes: keys], [size * vw bytes: values],
 *                      [its shape, if s is 1],
 *                      [a node per key, if kw is 0], [a node per value, if vw is 0]
 *                      in iteration order (canonical for equal maps within a VM)
 *   EXT         0      nothing: the next handle. In key bytes: 8 bytes of hash
 *   EXTBIN      0      only in key bytes: size (varint), 16 bytes of content
 *                      hash; the binary itself is the next handle
 *   REF         n-1    8 * n bytes: the words of an ordinary reference behind its header. In key
 *                      bytes also for a process alias, which is equal to one (BODY_KEY below)
 *
 * The shape of a map is that of the trie it is in the heap: the number of the trie's inner nodes
 * (varint), then for each of them, the root first, each before its children, and these in
 * iteration order: 2 bytes with a bit for every child that is there, 2 bytes with a bit for those
 * of them that are inner nodes. REF and shapes are written by the native way only (term_native.h).
 *
 * Varints are LEB128. A packed element is read by an 8-byte load and a mask,
 * so XE_READ_SLACK readable bytes follow. {} is a TUPLE_IMM of arity 0, [] an
 * IMM. The magnitude of a BIG has no leading zero byte. Whatever belongs to a
 * node itself stands before the nodes of its elements, so that skipping a node
 * needs one counter and no stack.
 *
 * Key bytes: the key's node. Two keys of a `set` are equal (=:=) if and only if
 * their key bytes are equal and, handle by handle, their EXT terms are equal.
 * Therefore in key bytes: a binary to 4 KiB is a BIN by content, a larger one
 * an EXTBIN; where the running release has 0.0 =:= -0.0 (up to OTP 26) the sign of
 * zero is masked, and the exact key is repeated in the body (BODY_KEY below); so it is
 * where references are native and the key has a process alias. A key with more than
 * XE_TERM_KEY_HANDLES_MAX handles is a single EXT.
 *
 * Objects of ordered tables have a key of two parts instead (key.h): their key bytes are its order
 * bytes, and if there are restore bytes, XE_REC_RESTORE is set and the body begins with
 * varint(their size) and them, before what follows here. The term of a key that is cut is the only
 * handle of the key.
 *
 * Body bytes: one of
 *   1aaaawww            flat: arity a (1-15), all elements but the key are
 *                       immediates of width w+1, packed behind this byte
 *   0aaaaC0k [varint(arity) if a = 0] varint(heap words) [key node if k] nodes...
 *                       heap words: what decoding the elements takes, EXT by XE_COST_EXT each
 *                       k = BODY_KEY: the exact key follows as a node, because the key
 *                       bytes do not say all of it
 *                       C = BODY_COMPRESSED: what would follow from the key node on is
 *                       varint(its size), varint(size), an LZ4 block of that size
 * Elements stand in their order, the key left out.
 *
 * Only in objects of compressed tables is a body compressed, and may have binaries of any size
 * as BIN. Equal objects may then have different bytes, as there may be several LZ4 blocks for the
 * same bytes: XE_REC_LOOSE is set.
 *
 * Handles (xe_object.handles) are used by EXT and EXTBIN nodes in the order of the
 * nodes: first those of the key, then those of the body.
 *
 * The one assumption about term representation: a word whose low two bits are
 * 3 is an immediate (small integer, atom, local pid or port, []), valid in any
 * environment of this VM. xe_term_init() checks it.
 */
#ifndef XE_TERM_H
#define XE_TERM_H

#include <erl_nif.h>

#include "../core/core.h"
#include "../core/record.h"

_Static_assert(sizeof(ERL_NIF_TERM) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "packed elements are stored and loaded as the low bytes of a 64-bit word");

enum xe_node_kind {
    XE_NODE_IMM = 0,
    XE_NODE_TUPLE_IMM,
    XE_NODE_LIST_IMM,
    XE_NODE_TUPLE,
    XE_NODE_LIST,
    XE_NODE_ILIST,
    XE_NODE_BIN,
    XE_NODE_BITS,
    XE_NODE_FLOAT,
    XE_NODE_BIG,
    XE_NODE_MAP,
    XE_NODE_EXT,
    XE_NODE_EXTBIN,
    XE_NODE_REF,
};

enum xe_term_status {
    XE_TERM_OK = 0,
    XE_TERM_BUDGET, /* more words than allowed here: do it on a dirty scheduler */
    XE_TERM_NOMEM,
};

/* Most handles that key bytes may use: what struct xe_ext can count. */
#define XE_TERM_KEY_HANDLES_MAX 255

/* First byte of a body. */
#define XE_TERM_BODY_FLAT 0x80
#define XE_TERM_BODY_KEY 0x01
#define XE_TERM_BODY_COMPRESSED 0x04 /* unless flat */
#define XE_TERM_BODY_ARITY 0x78
#define XE_TERM_FLAT_ARITY_MAX 15

/* Bytes of a binary stored by content in a value: what the VM keeps on the heap, larger ones it
 * shares. */
#define XE_TERM_BIN_VALUE_MAX 64

/* Words that a call on a normal scheduler may encode or decode. */
#define XE_TERM_BUDGET_WORDS 65536
#define XE_TERM_NO_BUDGET UINT64_MAX

/*
 * Where encoding puts its result. Lives on the C stack; grows into enif_alloc
 * only for objects that do not fit `small`.
 */
struct xe_encoder {
    ErlNifEnv *env;
    uint8_t *bytes;
    size_t len, cap;
    size_t klen;
    uint64_t *handles;
    uint32_t n_handles, cap_handles, n_key_handles;
    uint32_t flags;  /* XE_REC_LOOSE, XE_REC_RESTORE */
    uint64_t budget; /* words that may be encoded; other work is taken off it */
    uint64_t words;  /* heap words that decoding the encoded terms will need */
    uint64_t pinned;
    uint64_t inline_left; /* bytes of larger binaries that may still be written by content */
    uint64_t identity;    /* of the object, if `identify` was set */
    enum xe_term_status status;
    bool in_key;     /* key bytes are being written */
    bool neg_zero;   /* the key has a -0.0, and 0.0 =:= -0.0 here; or a process alias */
    bool mask_zeros; /* write -0.0 as 0.0: the form in which equal objects are hashed */
    size_t body_at;  /* where the body begins behind the key and what restores it: set where it
                      * may be written anew */
    /* The caller's to set after xe_encoder_init(). */
    bool identify; /* fill in `identity` */
    bool compress; /* compress what is worth it */
    bool ordered;  /* objects are for an ordered table */
    bool keeps;    /* what is encoded is to be kept: set by what encodes objects */
    bool brief;    /* what must be read as a whole, whatever its size, is over the budget */
    bool unusual;  /* xe_native_small_body() has refused it already */
    uint64_t small_handles[8];
    uint8_t small[512];
};

/* Checks the assumption above, learns whether 0.0 =:= -0.0 here and caches what
 * else it needs. False: this VM represents terms otherwise. */
bool xe_term_init(ErlNifEnv *env);

/* What xe_term_init() has learnt about this VM. */
struct xe_term_traits {
    ERL_NIF_TERM nil;
    unsigned list_tag;  /* low two bits of lists: a hint what to try first, nothing more */
    unsigned small_tag; /* low four bits of small integers */
    bool smalls;        /* those of 60 bits, and no other terms, are i << 4 | small_tag */
    bool zeros_equal;   /* 0.0 =:= -0.0 */
};
extern struct xe_term_traits xe_term_traits;

static inline bool xe_term_is_immediate(ERL_NIF_TERM t)
{
    return (t & 3) == 3;
}

/* Small integers, where `smalls` is true. */

static inline bool xe_word_is_small(uint64_t word)
{
    return (word & 15) == xe_term_traits.small_tag;
}

static inline int64_t xe_small_of(uint64_t word)
{
    return (int64_t)word >> 4;
}

static inline bool xe_fits_small(int64_t i)
{
    return i >= -((int64_t)1 << 59) && i < (int64_t)1 << 59;
}

static inline uint64_t xe_word_of(int64_t i)
{
    return (uint64_t)i << 4 | xe_term_traits.small_tag;
}

/* Whether a term is a small integer; if not, *out may be anything. */
static inline bool xe_term_get_small(ErlNifEnv *env, ERL_NIF_TERM t, ErlNifSInt64 *out)
{
    if (XE_UNLIKELY(!xe_term_traits.smalls))
        return xe_term_is_immediate(t) && enif_get_int64(env, t, out);
    *out = xe_small_of(t);
    return xe_word_is_small(t);
}

/* What the functions of erl_nif do, without a call for small ones. */

static inline bool xe_term_get_int64(ErlNifEnv *env, ERL_NIF_TERM t, ErlNifSInt64 *out)
{
    return XE_LIKELY(xe_term_get_small(env, t, out)) || enif_get_int64(env, t, out);
}

static inline ERL_NIF_TERM xe_term_make_int64(ErlNifEnv *env, int64_t i)
{
    return XE_LIKELY(xe_term_traits.smalls && xe_fits_small(i)) ? xe_word_of(i)
                                                                : enif_make_int64(env, i);
}

/* Bytes needed for the largest of words whose bitwise or is `any`. */
static inline unsigned xe_term_width(uint64_t any)
{
    return (71u - (unsigned)__builtin_clzll(any | 1)) / 8;
}

static inline uint64_t xe_term_packed(const uint8_t *p, unsigned width)
{
    return xe_load64(p) & (UINT64_MAX >> (64 - 8 * width));
}

static inline void xe_encoder_init(struct xe_encoder *e, ErlNifEnv *env, uint64_t budget)
{
    e->env = env;
    e->bytes = e->small;
    e->len = 0;
    e->cap = sizeof e->small - XE_READ_SLACK;
    e->klen = 0;
    e->handles = e->small_handles;
    e->n_handles = e->n_key_handles = 0;
    e->cap_handles = sizeof e->small_handles / sizeof e->small_handles[0];
    e->flags = 0;
    e->budget = budget;
    e->words = 0;
    e->pinned = 0;
    e->inline_left = e->identity = 0;
    e->status = XE_TERM_OK;
    e->in_key = e->neg_zero = e->mask_zeros = e->identify = e->compress = false;
    e->ordered = e->keeps = e->brief = e->unusual = false;
}

/* Frees what an encoder holds. Idempotent; needed only after use. */
void xe_encoder_clear(struct xe_encoder *e);

/* What an encoder has left of its budget: for the next one of the same call. */
static inline uint64_t xe_encoder_left(const struct xe_encoder *e)
{
    return e->words < e->budget ? e->budget - e->words : 0;
}

enum xe_term_status xe_term_encode_boxed_key(struct xe_encoder *e, ERL_NIF_TERM key);

/* Key bytes of `key` (bytes[0..len)), into a fresh encoder. For lookups.
 * O(size of the key). */
static inline enum xe_term_status xe_term_encode_key(struct xe_encoder *e, ERL_NIF_TERM key)
{
    if (XE_UNLIKELY(!xe_term_is_immediate(key)))
        return xe_term_encode_boxed_key(e, key);
    unsigned width = xe_term_width(key);
    e->bytes[0] = (uint8_t)(XE_NODE_IMM << 3 | (width - 1));
    memcpy(e->bytes + 1, &key, 8);
    e->len = e->klen = 1 + width;
    return XE_TERM_OK;
}

/* What decoding may reuse when the object found has the key bytes (and handles)
 * of the key just encoded: the key, or 0 if the sign of a zero may differ, or a reference that
 * the given one has as a process alias. (Zeros in the environments of funs are not seen.) */
static inline ERL_NIF_TERM xe_term_reusable_key(const struct xe_encoder *e, ERL_NIF_TERM key)
{
    return e->neg_zero ? 0 : key;
}

/* Key and body of the object with these elements; key is elements[keypos-1],
 * 1 <= keypos <= arity. With `identify`, objects that are equal (=:=) get the same `identity`,
 * and others with the likelihood of a good hash another one; large binaries of one size
 * that differ in their middle only are not told apart. */
enum xe_term_status xe_term_encode_object(struct xe_encoder *e, const ERL_NIF_TERM *elements,
                                          int arity, int keypos);

/* The identity of an object that has no handles and no -0.0, from its key and body bytes. */
static inline uint64_t xe_term_identity(const uint8_t *bytes, size_t len)
{
    return XXH3_64bits_withSeed(bytes, len, 0);
}

/* The encoder's result as the core takes it. */
void xe_term_object(const struct xe_encoder *e, struct xe_object *out);

/*
 * Decoding. All terms are made in `env`. `key` is a term known to be the
 * object's key exactly as stored, or 0: with BODY_KEY objects it is ignored,
 * else it is reused instead of decoding the key bytes. For an object of an ordered table that term
 * is told by xe_term_is_key_of().
 * `keypos` is the table's. XE_TERM_BUDGET is decided before anything is built.
 */
int xe_term_arity(const struct xe_view *v);

/* Behind the restore bytes that a body begins with. */
const uint8_t *xe_term_behind_restore(const uint8_t *body);

/* Where the body begins that the elements are in. */
static inline const uint8_t *xe_term_body(const struct xe_view *v)
{
    return XE_LIKELY(!(v->flags & XE_REC_RESTORE)) ? v->body : xe_term_behind_restore(v->body);
}

/* The elements of a flat object into elements[0..arity); returns the arity. */
static inline unsigned xe_term_unpack_flat(const uint8_t *body, int keypos, ERL_NIF_TERM key,
                                           ERL_NIF_TERM *elements)
{
    unsigned arity = body[0] >> 3 & 15, width = (body[0] & 7) + 1;
    const uint8_t *p = body + 1;
    for (unsigned i = 1; i < arity; i++, p += width)
        elements[i] = xe_term_packed(p, width);
    for (int i = 1; i < keypos; i++)
        elements[i - 1] = elements[i];
    elements[keypos - 1] = key;
    return arity;
}

/* About how many heap words decoding the object takes; decompressing counts too. O(1). */
uint64_t xe_term_object_words(const struct xe_view *v);

/*
 * A stored object with its body decompressed. All functions that decode do that by themselves;
 * who calls several of them for one object does it once. Not to be moved: `view` may
 * point into `small`.
 */
struct xe_expanded {
    struct xe_view view;
    uint8_t *bytes; /* `small`, an allocation, or NULL: the body was not compressed */
    uint8_t small[2048];
};

static inline bool xe_term_is_compressed(const struct xe_view *v)
{
    const uint8_t *body = xe_term_body(v);
    return !(body[0] & XE_TERM_BODY_FLAT) && (body[0] & XE_TERM_BODY_COMPRESSED);
}

/* XE_TERM_OK: to be ended by xe_expanded_clear(). Work is taken off the budget. */
enum xe_term_status xe_term_expand(struct xe_expanded *x, const struct xe_view *v,
                                   uint64_t *budget);
void xe_expanded_clear(struct xe_expanded *x);

enum xe_term_status xe_term_decode_any_object(ErlNifEnv *env, const struct xe_view *v, int keypos,
                                              ERL_NIF_TERM key, uint64_t budget, ERL_NIF_TERM *out);

static inline enum xe_term_status xe_term_decode_object(ErlNifEnv *env, const struct xe_view *v,
                                                        int keypos, ERL_NIF_TERM key,
                                                        uint64_t budget, ERL_NIF_TERM *out)
{
    ERL_NIF_TERM elements[XE_TERM_FLAT_ARITY_MAX];
    if (XE_UNLIKELY((v->flags & XE_REC_RESTORE) || !(v->body[0] & XE_TERM_BODY_FLAT) || !key))
        return xe_term_decode_any_object(env, v, keypos, key, budget, out);
    unsigned arity = xe_term_unpack_flat(v->body, keypos, key, elements);
    *out = enif_make_tuple_from_array(env, elements, arity);
    return XE_TERM_OK;
}

/* [Object | tail] */
enum xe_term_status xe_term_decode_listed(ErlNifEnv *env, const struct xe_view *v, int keypos,
                                          ERL_NIF_TERM key, ERL_NIF_TERM tail, uint64_t budget,
                                          ERL_NIF_TERM *out);

/* Element `pos` (1 <= pos <= arity). Nothing else of the object is copied, and
 * only what has to be passed over and built counts against the budget. */
enum xe_term_status xe_term_decode_element(ErlNifEnv *env, const struct xe_view *v, int keypos,
                                           int pos, ERL_NIF_TERM key, uint64_t budget,
                                           ERL_NIF_TERM *out);

/* Whether a key that was encoded by xe_key_encode(), and found this object of an ordered table, is
 * the key that the object has, signs of zeros included. Of a key that is cut it is not told. */
bool xe_term_is_key_of(const struct xe_encoder *e, const struct xe_view *v);

enum xe_term_status xe_term_decode_key(ErlNifEnv *env, const struct xe_view *v, uint64_t budget,
                                       ERL_NIF_TERM *out);

/*
 * A new object out of a stored one with some elements replaced (update_element,
 * update_counter). `positions` ascending, distinct, none the key's, each within
 * the arity; terms[i] goes to positions[i]. What is not replaced is copied as
 * bytes and handles (the handles stay those of the stored object's environment: the core
 * moves them). `e` is freshly initialised; `compress` is obeyed, `identify` and `ordered` are not:
 * the key stays what it is.
 */
enum xe_term_status xe_term_replace(struct xe_encoder *e, const struct xe_view *v, int keypos,
                                    const int *positions, const ERL_NIF_TERM *terms, int n);

/* The immediate word of element `pos`, if it is one; else 0. O(pos). For
 * counters: a small integer is in most cases an immediate. 0 for the key of an ordered table. */
ERL_NIF_TERM xe_term_immediate_element(const struct xe_view *v, int keypos, int pos);

/* xe_callbacks.object_equal: both decoded into a temporary environment and
 * compared with enif_is_identical. Only objects with XE_REC_LOOSE get here. */
bool xe_term_object_equal(const struct xe_view *stored, const struct xe_view *given);

#endif
