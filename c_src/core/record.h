/*
 * record.h - the bytes of one stored object, and how callers pass and see them.
 *
 * A record lies 4-byte aligned inside an image and never changes once it has
 * been published, but for the two bits of the use counter:
 *
 *   0        4            4+klen                                               size
 *   +--------+------------+------------+ - - - +-------------+--------+-------------+
 *   | header | key bytes  | body bytes |  pad  | n handles   | xe_ext | xe_bag_tail |
 *   +--------+------------+------------+ - - - +-------------+--------+-------------+
 *                                                only with XE_REC_EXT   with XE_REC_BAG
 *
 *   header, 32 bits:
 *     0..8   size of the record in units of 4 bytes
 *     9..19  klen, length of the key bytes
 *     20..   flags (XE_REC_*)
 *     30..31 use counter, for caches to come
 *
 * The core hashes and compares key bytes, and knows nothing of the body.
 *
 * Bags. The hash by which an object of a bag is stored is made of two halves (bag.c): the
 * high one is that of its key's hash, the low one tells objects with that key apart. The
 * low one cannot be found from the bytes, so the record carries it, and with it the number by
 * which the objects of a key are put in the order of their insertion.
 *
 * Blob records. An object whose record would be larger than
 * XE_RECORD_INLINE_MAX, or that pins more than XE_EXT_SHARED_MAX bytes through
 * its handles, lives in a blob. Its record in the image is a descriptor with
 * XE_REC_BLOB, whose body is the pointer to the blob. Key bytes longer than
 * XE_KEY_INLINE_MAX are replaced in the descriptor by their digest (length and
 * 128-bit hash) and XE_REC_KEYBIG is set: equal digests are then decided by the
 * bytes in the blob.
 */
#ifndef XE_RECORD_H
#define XE_RECORD_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core.h"
#include "epoch.h"

enum {
    XE_RECORD_INLINE_MAX = 1024, /* bytes; an image holds up to 64 KiB */
    XE_KEY_INLINE_MAX = 768,     /* bytes of key inside an image */
    XE_EXT_SHARED_MAX = 65536,   /* bytes pinned by one record of a shared environment */
    XE_RECORD_ALIGN = 4,
    XE_READ_SLACK = 16, /* bytes that may be read, not used, past a record's or a key's end */
};

/* Flags of a record. The first two are the caller's to set, through xe_object. */
enum {
    XE_REC_LOOSE = 1u << 20,   /* objects with other bytes may still be equal: ask object_equal */
    XE_REC_KEYEXT = 1u << 21,  /* the first handles belong to the key: compare them too */
    XE_REC_EXT = 1u << 22,     /* has handles and a trailing xe_ext */
    XE_REC_BLOB = 1u << 23,    /* a descriptor; the object is in a blob */
    XE_REC_KEYBIG = 1u << 24,  /* key bytes are a digest */
    XE_REC_EXPIRY = 1u << 25,  /* reserved: the body starts with an expiry time */
    XE_REC_BAG = 1u << 26,     /* an object of a bag: ends with an xe_bag_tail */
    XE_REC_ORDER = 1u << 27,   /* an object of an ordered table: key bytes say the key's order */
    XE_REC_RESTORE = 1u << 28, /* the body starts with what restores the key: its length in LEB128,
                                * and so many bytes. The caller's to set */
    XE_REC_SPECIAL = XE_REC_EXT | XE_REC_BLOB, /* it is more than its bytes */
    /* What xe_object.flags may have. */
    XE_REC_GIVEN = XE_REC_LOOSE | XE_REC_RESTORE,
};

/* The last 8 bytes of a record with XE_REC_EXT. */
struct xe_ext {
    uint32_t n;          /* handles before this trailer */
    uint32_t n_key : 8;  /* of them, how many belong to the key (the first ones) */
    uint32_t pinned : 24; /* what the handles keep alive, in units of 256 bytes, saturating */
};

/* The last 12 bytes of a record with XE_REC_BAG; as halves, for records are 4-byte aligned. */
struct xe_bag_tail {
    uint32_t low;         /* the low half of the object's hash */
    uint32_t sequence[2]; /* 48 bits; above them 16 more of the hash of the whole object */
};

/*
 * An object on its way in: what encoding a term gives. `bytes` holds the key
 * bytes and, right behind them, the body. At least XE_READ_SLACK readable
 * bytes follow key and body.
 */
struct xe_object {
    const uint8_t *bytes;
    size_t klen;             /* length of the key bytes */
    size_t len;              /* length of key bytes and body */
    const uint64_t *handles; /* EXT terms in the caller's environment: the key's first */
    uint32_t n_handles;
    uint32_t n_key_handles; /* at most 255 */
    uint64_t pinned;        /* bytes kept alive by the handles */
    uint64_t identity;      /* for bags: a hash that equal objects have in common */
    uint32_t flags;         /* of XE_REC_GIVEN */
};

/*
 * A stored object as its readers see it. Valid inside the epoch section that
 * found it (for a pinned blob: until it is unpinned).
 */
struct xe_view {
    const uint8_t *key;
    size_t klen;
    const uint8_t *body;
    size_t blen;             /* up to 3 bytes of padding may be counted in */
    const uint8_t *handles;  /* n_handles 8-byte words, unaligned */
    uint32_t n_handles;
    uint32_t n_key_handles;
    uint32_t flags;          /* XE_REC_* */
    struct xe_blob *blob;    /* NULL, or the blob that holds all of the above */
};

/*
 * A blob: an object in an allocation of its own, with an environment of its
 * own for its handles. Counted: once by each image that has its descriptor, once by
 * each pin. Its bytes are in those of all tables as long as it is there. Layout of data: key and
 * body, slack, handles.
 */
struct xe_blob {
    struct xe_retired retired;
    _Atomic uint32_t refs;
    uint32_t flags; /* XE_REC_LOOSE, XE_REC_KEYEXT */
    _Atomic bool gone; /* from its table: only images of snapshots have it */
    size_t bytes;   /* size of this allocation */
    size_t klen, len;
    uint32_t n_handles, n_key_handles;
    void *env;         /* NULL without handles */
    uint64_t *handles; /* behind the bytes */
    uint8_t data[];
};

/* Keys of up to 16 bytes are hashed and compared as two words, filled up with zeros; those of
 * ordered tables are searched for as words up to twice as many bytes (order.h). */
enum { XE_KEY_SHORT = 16, XE_ORDER_SHORT = 32, XE_ORDER_WORDS = XE_ORDER_SHORT / 8 };

/*
 * A key as the core looks for it. xe_key_init() fills it from key bytes (of
 * which XE_READ_SLACK more are readable) and their handles. It may point into
 * itself: neither it nor what contains it is to be copied.
 */
struct xe_key {
    uint64_t hash;
    size_t klen;
    uint64_t words[XE_ORDER_WORDS + 1]; /* of a short key; in an ordered table all of them, the
                                         * first byte of each highest, the last one 0 */
    const uint8_t *bytes; /* what the index compares: the key bytes or `digest` */
    const uint8_t *full; /* the key bytes, whole */
    size_t full_len;
    const uint64_t *handles;
    uint32_t n_handles;
    uint32_t flags; /* XE_REC_KEYBIG, XE_REC_KEYEXT */
    uint8_t digest[24 + XE_READ_SLACK];
};

/* The digest of a key that is too long to be compared in the image. */
void xe_key_digest(struct xe_key *key, uint64_t seed);

/* n bytes (1 to 8) of p, and zeros; XE_READ_SLACK bytes are readable. */
static inline uint64_t xe_bytes_word(const uint8_t *p, size_t n)
{
#if XE_EPOCH_TSAN
    /* What lies behind a record may be written meanwhile: do not look. */
    uint64_t w = 0;
    memcpy(&w, p, n);
    return w;
#else
    return xe_load64(p) & (UINT64_MAX >> (64 - 8 * n));
#endif
}

/* A short key as two words. Words are passed one by one, not as an array: what has just been
 * stored by halves must not be loaded as a whole. */
static inline void xe_bytes_words(const uint8_t *p, size_t n, uint64_t *w0, uint64_t *w1)
{
    *w0 = *w1 = 0;
    if (n > 8) {
        *w0 = xe_load64(p);
        *w1 = xe_bytes_word(p + 8, n - 8);
    } else if (n) {
        *w0 = xe_bytes_word(p, n);
    }
}

/* XXH3 of a short key: of all 16 bytes, so that there is one way through the function
 * for all of them, without branches. */
static inline uint64_t xe_key_hash_words(uint64_t w0, uint64_t w1, uint64_t seed)
{
    uint64_t words[2] = {w0, w1};
    return XXH3_64bits_withSeed(words, XE_KEY_SHORT, seed);
}

static inline uint64_t xe_key_hash(const uint8_t *bytes, size_t klen, uint64_t seed)
{
    uint64_t w0, w1;
    if (XE_UNLIKELY(klen > XE_KEY_SHORT))
        return XXH3_64bits_withSeed(bytes, klen, seed);
    xe_bytes_words(bytes, klen, &w0, &w1);
    return xe_key_hash_words(w0, w1, seed);
}

/* A short key without handles whose words are at hand. `bytes`: the same bytes. */
static inline void xe_key_init_words(struct xe_key *key, uint64_t seed, uint64_t w0, uint64_t w1,
                                     const uint8_t *bytes, size_t len)
{
    key->words[0] = w0;
    key->words[1] = w1;
    key->hash = xe_key_hash_words(w0, w1, seed);
    key->klen = key->full_len = len;
    key->bytes = key->full = bytes;
    key->handles = NULL;
    key->n_handles = key->flags = 0;
}

static inline void xe_key_init(struct xe_key *key, uint64_t seed, const uint8_t *bytes, size_t len,
                               const uint64_t *handles, uint32_t n_handles)
{
    key->bytes = key->full = bytes;
    key->klen = key->full_len = len;
    key->handles = handles;
    key->n_handles = n_handles;
    key->flags = n_handles ? XE_REC_KEYEXT : 0;
    if (len <= XE_KEY_SHORT) {
        uint64_t w0, w1;
        xe_bytes_words(bytes, len, &w0, &w1);
        key->words[0] = w0;
        key->words[1] = w1;
        key->hash = xe_key_hash_words(w0, w1, seed);
        return;
    }
    if (XE_UNLIKELY(len > XE_KEY_INLINE_MAX))
        xe_key_digest(key, seed);
    key->hash = XXH3_64bits_withSeed(key->bytes, key->klen, seed);
}

/* An object ready to be stored: the size of its record is known, and its blob,
 * if it needs one, is made. */
struct xe_prepared {
    struct xe_key key;
    const struct xe_object *object;
    struct xe_blob *blob; /* NULL: stored inline */
    uint32_t units;       /* size of the record, 4 bytes each */
    bool in_bag;          /* it has a tail */
    struct xe_bag_tail tail;
};

/* Prepares `o`, which must outlive `p`. XE_NOMEM: nothing to undo. O(size). */
enum xe_status xe_record_prepare(uint64_t seed,
                                 const struct xe_object *o, struct xe_prepared *p);
/* The same where p->key is there already. */
enum xe_status xe_record_prepare_keyed(const struct xe_object *o, struct xe_prepared *p);
/* The bytes of the object's record if it needs no blob. */
static inline size_t xe_record_inline_bytes(const struct xe_object *o)
{
    size_t bytes = 4 + o->len;
    if (XE_UNLIKELY(o->n_handles))
        bytes = (bytes + 3) / 4 * 4 + 8 * (size_t)o->n_handles + sizeof(struct xe_ext);
    return bytes;
}

/* Whether it needs none. */
static inline bool xe_record_fits_inline(const struct xe_object *o)
{
    return xe_record_inline_bytes(o) <= XE_RECORD_INLINE_MAX && o->klen <= XE_KEY_INLINE_MAX &&
           o->pinned < XE_EXT_SHARED_MAX;
}

/* Prepares an object that fits inline, and whose key is in p->key already. */
static inline void xe_record_prepare_inline(const struct xe_object *o, struct xe_prepared *p)
{
    p->object = o;
    p->blob = NULL;
    p->in_bag = false;
    p->units = (uint32_t)((xe_record_inline_bytes(o) + XE_RECORD_ALIGN - 1) / XE_RECORD_ALIGN);
}

/* Gives back what a prepared object holds when it was not stored. */
void xe_record_unprepare(struct xe_prepared *p);

/* Writes the record to `at`. Handles of an inline record are moved into `env`. */
void xe_record_write(uint8_t *at, const struct xe_prepared *p,
                     void *env);

/* The object of the record at `rec`, whose descriptor is resolved. */
void xe_record_view(const uint8_t *rec, struct xe_view *out);
/* The view of an object on its way in. */
void xe_object_view(const struct xe_object *o, struct xe_view *out);

/* Whether the stored object is (=:=) the given one. O(size). */
bool xe_record_equal(const struct xe_view *stored,
                     const struct xe_object *given);

/* The slow part of comparing a key: digests or handles must be looked into. */
bool xe_record_key_equal_slow(const uint8_t *rec,
                              const struct xe_key *key);

/* The image that has its descriptor lets go of the blob: an unpin after a grace period. */
void xe_blob_retire(struct xe_epoch_slot *slot, struct xe_blob *b);
/* Pins and unpins. A pin is taken inside the section that found the blob; an unpin may be
 * made anywhere. */
void xe_blob_pin(struct xe_blob *b);
void xe_blob_unpin(struct xe_blob *b);
/* Its table has let go of it. */
void xe_blob_set_gone(struct xe_blob *b);

enum {
    XE_HDR_SIZE_BITS = 9,
    XE_HDR_KLEN_SHIFT = 9,
    XE_HDR_KLEN_MASK = 0x7ff,
    XE_HDR_SIZE_MASK = 0x1ff,
    XE_HDR_BYTES = 4,
    /* The flags by which two records with equal key bytes may still differ. */
    XE_HDR_SLOW_KEY = XE_REC_KEYEXT | XE_REC_KEYBIG,
};

_Static_assert((int)XE_RECORD_INLINE_MAX / XE_RECORD_ALIGN <= (int)XE_HDR_SIZE_MASK,
               "size fits its bits");
_Static_assert((int)XE_KEY_INLINE_MAX <= (int)XE_HDR_KLEN_MASK, "key length fits its bits");
_Static_assert(sizeof(struct xe_ext) == 8, "the trailer is one word");

static inline uint32_t xe_record_units(uint32_t header)
{
    return header & XE_HDR_SIZE_MASK;
}

static inline uint32_t xe_record_klen(uint32_t header)
{
    return header >> XE_HDR_KLEN_SHIFT & XE_HDR_KLEN_MASK;
}

/* The bytes of a record without its tail. */
static inline size_t xe_record_bytes(uint32_t header)
{
    return (size_t)xe_record_units(header) * XE_RECORD_ALIGN -
           (header & XE_REC_BAG ? sizeof(struct xe_bag_tail) : 0);
}

static inline struct xe_bag_tail xe_record_tail(const uint8_t *rec, uint32_t header)
{
    struct xe_bag_tail tail;
    memcpy(&tail, rec + xe_record_bytes(header), sizeof tail);
    return tail;
}

static inline uint64_t xe_tail_sequence(const struct xe_bag_tail *tail)
{
    return (uint64_t)(tail->sequence[1] & 0xffff) << 32 | tail->sequence[0];
}

/* Numbers an object of a bag anew, in its record, which nobody sees yet. */
static inline void xe_record_number(uint8_t *rec, uint64_t sequence)
{
    uint32_t header = xe_load32(rec);
    struct xe_bag_tail tail = xe_record_tail(rec, header);
    tail.sequence[0] = (uint32_t)sequence;
    tail.sequence[1] = (tail.sequence[1] & 0xffff0000u) | (uint32_t)(sequence >> 32 & 0xffff);
    memcpy(rec + xe_record_bytes(header), &tail, sizeof tail);
}

/* The half of a hash that is the key's alone, in a bag; what equal objects of a duplicate bag
 * have in common. */
#define XE_BAG_KEY_HASH 0xffffffff00000000ull
#define XE_BAG_EQUAL_HASH 0xfffffffffff00000ull

/* The hash by which a record is stored. */
static inline uint64_t xe_record_hash(const uint8_t *rec, uint64_t seed)
{
    uint32_t header = xe_load32(rec);
    uint64_t hash = xe_key_hash(rec + XE_HDR_BYTES, xe_record_klen(header), seed);
    if (XE_UNLIKELY(header & XE_REC_BAG))
        return (hash & XE_BAG_KEY_HASH) | xe_record_tail(rec, header).low;
    return hash;
}

/* The trailer of a record with XE_REC_EXT, and where its handles begin. */
static inline struct xe_ext xe_record_ext(const uint8_t *rec, uint32_t header)
{
    struct xe_ext x;
    memcpy(&x, rec + xe_record_bytes(header) - sizeof x, sizeof x);
    return x;
}

static inline size_t xe_record_handles(const struct xe_ext *x, uint32_t header)
{
    return xe_record_bytes(header) - sizeof *x - 8 * (size_t)x->n;
}

static inline struct xe_blob *xe_record_blob(const uint8_t *rec, uint32_t header)
{
    struct xe_blob *b;
    memcpy(&b, rec + XE_HDR_BYTES + xe_record_klen(header), sizeof b);
    return b;
}

/* The view of a record without handles that is not a blob's descriptor; false if it is
 * not one of those. What xe_record_view() does, for the common case. */
static inline bool xe_record_view_plain(const uint8_t *rec, struct xe_view *out)
{
    uint32_t header = xe_load32(rec);
    if (XE_UNLIKELY(header & (XE_REC_BLOB | XE_REC_EXT)))
        return false;
    out->key = rec + XE_HDR_BYTES;
    out->klen = xe_record_klen(header);
    out->body = out->key + out->klen;
    out->blen = xe_record_bytes(header) - XE_HDR_BYTES - out->klen;
    out->handles = NULL;
    out->n_handles = out->n_key_handles = 0;
    out->flags = header;
    out->blob = NULL;
    return true;
}

/* The header of the record of a prepared object, but for what handles, blobs and bags add to it. */
static inline uint32_t xe_record_header(const struct xe_prepared *p)
{
    return p->units | (uint32_t)p->key.klen << XE_HDR_KLEN_SHIFT | p->key.flags |
           (p->object->flags & XE_REC_GIVEN);
}

/* Copies units of a record; not a byte more, its neighbours may be alive. What is left in the end is
 * copied together with bytes before it. */
static inline void xe_record_copy(uint8_t *to, const uint8_t *from, uint32_t units)
{
    size_t n = (size_t)units * XE_RECORD_ALIGN, i = 0;
    if (XE_UNLIKELY(n < 8)) {
        memcpy(to, from, XE_RECORD_ALIGN);
        return;
    }
    if (XE_LIKELY(n <= 16)) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
        return;
    }
    for (; i < n - 16; i += 16)
        memcpy(to + i, from + i, 16);
    memcpy(to + n - 16, from + n - 16, 16);
}

/* Equality of n bytes, XE_READ_SLACK more of which are readable on both sides. */
static inline bool xe_bytes_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
    for (; n > 8; a += 8, b += 8, n -= 8)
        if (xe_load64(a) != xe_load64(b))
            return false;
    return n == 0 || xe_bytes_word(a, n) == xe_bytes_word(b, n);
}

#endif
