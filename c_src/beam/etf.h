/*
 * etf.h - stored objects to Erlang's external term format, and back, without building terms for
 * what is common.
 *
 * This is how terms get to disk: table files, checkpoints, journals. Neither the words of atoms nor
 * our own format ever do, so that what has been written is read by other VMs and other releases
 * (25 to 29, and whatever reads the format). An object is written as the whole tuple it is, with
 * its key in its place, and without the version byte: with a 131 in front it is what
 * binary_to_term/1 takes, and gives the object (=:=, signs of zeros included) that is stored.
 *
 *   what is stored                  is written as              and read
 *
 *   small integer                   SMALL_INTEGER INTEGER      in place; SMALL_BIG, LARGE_BIG, too
 *                                   SMALL_BIG
 *   bignum                          SMALL_BIG LARGE_BIG        in place
 *   float                           NEW_FLOAT                  in place; -0.0, FLOAT as below
 *   atom                            SMALL_ATOM_UTF8 ATOM_UTF8  in place; ATOM, SMALL_ATOM, too
 *   tuple                           SMALL_TUPLE LARGE_TUPLE    in place
 *   list                            LIST NIL                   in place; STRING, too
 *   binary to 64 bytes (key: 4 KiB) BINARY                     in place
 *   larger binary                   BINARY                     as a binary, which is its handle
 *   bit string                      BIT_BINARY                 as below
 *   map                             MAP                        in place if it has to 32 keys, which
 *                                                              have been met; else as below
 *   local pid or port, EXT          what enif_term_to_binary   by enif_binary_to_term, the term
 *                                   writes                     alone or the whole object
 *
 * `In place`: from one format to the other. What is read gets the bytes, handles, words and
 * identity that xe_term_encode_object() gives for the term: nobody need know how an object came in.
 *
 * Reading trusts nothing. A size that is told has no effect before as many bytes have been seen;
 * nothing recurses; what is allocated is of the order of the bytes. What is accepted, and what it
 * means, is what binary_to_term/1 says, for whatever is not in the form in which terms are written
 * goes through enif_binary_to_term. But a term that is compressed as a whole is none here, nor is
 * one that only the VM understands that wrote it: atoms by their numbers, which binary_to_term/1
 * takes, and LOCAL_EXT.
 *
 * Two things are as there. Atoms that the bytes name are made, at most one for two bytes; `safe`:
 * what names others than those that exist is refused. And of a fun only the form is checked, so
 * whoever makes up bytes can make one that crashes the VM. Files have checksums against accidents,
 * not against that: they are to be read from where code would be loaded from.
 */
#ifndef XE_ETF_H
#define XE_ETF_H

#include "term.h"

enum { XE_ETF_VERSION = 131 };

enum xe_etf_status {
    XE_ETF_OK = XE_TERM_OK,
    XE_ETF_BUDGET = XE_TERM_BUDGET, /* larger than allowed here: do it on a dirty scheduler */
    XE_ETF_NOMEM = XE_TERM_NOMEM,
    XE_ETF_LIMIT,     /* writing: the format has no way to say it (4 GiB, 2^32 elements) */
    XE_ETF_BAD,       /* reading: no term, or bytes are missing, or a new atom where it is `safe` */
    XE_ETF_NO_OBJECT, /* reading: a term, but no tuple that has a key */
};

/*
 * Writing. A writer is a buffer and what it takes to fill it. bytes[0..len) is the user's: to take
 * out, to set `len` back, to put something of his own behind it (xe_etf_reserve). It may be used
 * for any number of objects and tables, by one thread at a time.
 */
struct xe_etf_writer {
    uint8_t *bytes; /* by enif_alloc, or `lent`; NULL until it is needed */
    size_t len, cap;
    uint8_t *lent; /* the user's, to begin with; or NULL */
    ErlNifEnv *env; /* of terms that have to be made to be written; NULL until it is needed */
};

static inline void xe_etf_writer_init(struct xe_etf_writer *w)
{
    *w = (struct xe_etf_writer){0};
}

/* One that begins with room of the user's, until it is cleared. */
static inline void xe_etf_writer_init_with(struct xe_etf_writer *w, uint8_t *room, size_t n)
{
    *w = (struct xe_etf_writer){.bytes = room, .cap = n, .lent = room};
}

void xe_etf_writer_clear(struct xe_etf_writer *w);

/* Room for n bytes behind bytes[len]. False: out of memory, and nothing has changed. */
bool xe_etf_reserve_more(struct xe_etf_writer *w, size_t n);

static inline bool xe_etf_reserve(struct xe_etf_writer *w, size_t n)
{
    return XE_LIKELY(n <= w->cap - w->len) || xe_etf_reserve_more(w, n);
}

/*
 * The object (of a table with this key position), or its key, behind what is there. Unless it is
 * XE_ETF_OK, `len` is as it was. `budget`: words, as for decoding the object, and what larger
 * binaries have (8 bytes are a word). O(size).
 *
 * `v` is a stored object, inside its epoch section or pinned, or one on its way in
 * (xe_object_view(); of an ordered table: with XE_REC_ORDER set in its flags).
 */
enum xe_etf_status xe_etf_write_object(struct xe_etf_writer *w, const struct xe_view *v, int keypos,
                                       uint64_t budget);
enum xe_etf_status xe_etf_write_key(struct xe_etf_writer *w, const struct xe_view *v,
                                    uint64_t budget);

/* A key that has been encoded to be found, by xe_key_encode() if it is `ordered`, else by
 * xe_term_encode_key(): one that is as good for finding it, for signs of zeros may be lost. */
enum xe_etf_status xe_etf_write_encoded_key(struct xe_etf_writer *w, const struct xe_encoder *e,
                                            bool ordered, uint64_t budget);

/* Any term. O(size of the term). */
enum xe_etf_status xe_etf_write_term(struct xe_etf_writer *w, ERL_NIF_TERM term);

/*
 * Reading. A reader remembers atoms and the keys of maps, in 64 KiB. It may be used for any number
 * of objects and tables, by one thread at a time.
 */
struct xe_etf_reader;

/* NULL: out of memory. `safe`: no new atoms. */
struct xe_etf_reader *xe_etf_reader_new(bool safe);
void xe_etf_reader_free(struct xe_etf_reader *r);

/*
 * The object at the beginning of bytes[0..size), whose end is put into *used, into an encoder: what
 * xe_term_encode_object() would put there. `e` is freshly initialised, with its environment, its
 * budget, and how the object is to be encoded (`identify`, `compress`, `ordered`). Terms that have
 * to be made, and with them the handles, are in the encoder's environment: one that is cleared
 * between chunks. To be ended by xe_encoder_clear(), whatever is returned. O(bytes of the object).
 */
enum xe_etf_status xe_etf_read_object(struct xe_etf_reader *r, struct xe_encoder *e,
                                      const uint8_t *bytes, size_t size, int keypos, size_t *used);

/* Likewise a key, for finding it: as xe_term_encode_key(), or xe_key_encode() if e->ordered. */
enum xe_etf_status xe_etf_read_key(struct xe_etf_reader *r, struct xe_encoder *e,
                                   const uint8_t *bytes, size_t size, size_t *used);

/* Likewise any term, in `env`. */
enum xe_etf_status xe_etf_read_term(struct xe_etf_reader *r, ErlNifEnv *env, const uint8_t *bytes,
                                    size_t size, ERL_NIF_TERM *out, size_t *used);

/* The bytes of the term at the beginning of bytes[0..size), which need not be one: what is inside
 * of leaves is not looked at. 0: it does not end there, or has something that no term has. */
size_t xe_etf_size(const uint8_t *bytes, size_t size);

#endif
