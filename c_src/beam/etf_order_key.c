/*
 * etf_order_key.c - the keys of ordered tables to the external term format.
 *
 * Order bytes (key.h) have the elements of a tuple in their order behind its size, as the external
 * format has, so keys made of tuples, small integers, atoms and binaries are written as they are
 * read, without a stack. Where anything else is found in one, all of it is decoded.
 */
#include "etf_internal.h"
#include "key_internal.h"

struct walk {
    struct xe_etf_writer *w;
    const uint8_t *p, *end;
    const uint8_t *restore, *restore_end;
    uint64_t left;             /* terms */
    enum xe_etf_status status; /* XE_ETF_OK: nothing but that this key is of another kind */
};

static bool check(struct walk *k, enum xe_etf_status status)
{
    k->status = status;
    return status == XE_ETF_OK;
}

/* The bytes of the number at the cursor that is told by its tag but for a fraction. */
static size_t number_size(const struct walk *k)
{
    uint8_t flip = k->p[0] < KEY_ZERO ? 0xff : 0;
    size_t size = 1;
    if (k->p[0] == KEY_ZERO)
        return 1;
    while (k->p + size < k->end && ((k->p[size] ^ flip) & 1))
        size++;
    return size + 1;
}

static bool put_number(struct walk *k)
{
    int64_t i;
    size_t size = number_size(k);
    if (!xe_key_to_small(k->p, size, &i))
        return false;
    k->p += size;
    return check(k, etf_put_integer(k->w, i) ? XE_ETF_OK : XE_ETF_NOMEM);
}

/* Its text is passed over, its word is in the next of the restore bytes. */
static bool put_atom(struct walk *k)
{
    struct xe_cursor c = {.p = k->restore, .end = k->restore_end};
    XE_ASSERT(c.p < c.end);
    uint64_t entry = xe_cursor_varint(&c);
    if (entry & 1) /* a number before it is a float */
        return false;
    k->restore = c.p;
    k->p = (const uint8_t *)memchr(k->p, 0, (size_t)(k->end - k->p)) + 1;
    return check(k, etf_put_immediate(k->w, entry >> 1 << 2 | 3));
}

static bool put_binary(struct walk *k)
{
    struct xe_etf_writer *w = k->w;
    const uint8_t *p = k->p + 1;
    if (!xe_etf_reserve(w, ETF_HEAD_MAX + (size_t)(k->end - p)))
        return check(k, XE_ETF_NOMEM);
    uint8_t *head = w->bytes + w->len, *out = head + ETF_HEAD_MAX - 1;
    for (;;) {
        const uint8_t *zero = memchr(p, 0, (size_t)(k->end - p));
        XE_ASSERT(zero && zero + 1 < k->end);
        memcpy(out, p, (size_t)(zero - p));
        out += zero - p;
        p = zero + 2;
        if (zero[1] != 0xff)
            break;
        *out++ = 0;
    }
    if (p[-1] != 8)
        return false;
    etf_put_head(w, ETF_BINARY, (uint32_t)(out - head) - (ETF_HEAD_MAX - 1));
    w->len = (size_t)(out - w->bytes);
    k->p = p;
    return true;
}

static bool put_tuple(struct walk *k, unsigned arity)
{
    if (!xe_etf_reserve(k->w, 2))
        return check(k, XE_ETF_NOMEM);
    etf_put_byte(k->w, ETF_TUPLE_SMALL);
    etf_put_byte(k->w, arity);
    k->left += arity;
    k->p++;
    return true;
}

static bool put_next(struct walk *k)
{
    unsigned tag = *k->p;
    if (tag < KEY_ATOM)
        return put_number(k);
    if (tag == KEY_ATOM)
        return put_atom(k);
    if (tag == KEY_BITS)
        return put_binary(k);
    if (tag >= KEY_TUPLE && tag < KEY_TUPLE_LARGE)
        return put_tuple(k, tag - KEY_TUPLE);
    if (tag == KEY_NIL) {
        k->p++;
        return check(k, etf_put_immediate(k->w, xe_term_traits.nil));
    }
    return false;
}

/* False, and XE_ETF_OK in k->status: it has to be decoded. */
static bool put_in_place(struct walk *k)
{
    for (k->left = 1; k->left > 0; k->left--)
        if (!put_next(k))
            return false;
    return k->restore == k->restore_end; /* else the last numbers are floats */
}

enum xe_etf_status etf_put_order_key(struct xe_etf_writer *w, const struct xe_order_key *key,
                                     uint64_t *budget, bool *made)
{
    ERL_NIF_TERM t;
    size_t len = w->len;
    if (!key->term) {
        struct walk k = {.w = w,
                         .p = key->bytes,
                         .end = key->bytes + key->len,
                         .restore = key->restore,
                         .restore_end = key->restore + key->restore_len};
        if (put_in_place(&k) || k.status != XE_ETF_OK)
            return k.status;
        w->len = len;
    }
    *made = true;
    if (key->term)
        t = key->term;
    else if (xe_key_decode(w->env, key, XE_TERM_NO_BUDGET, &t) != XE_TERM_OK)
        return XE_ETF_NOMEM;
    return etf_put_term(w, t, budget);
}
