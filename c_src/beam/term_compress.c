/*
 * term_compress.c - bodies as LZ4 blocks: see term.h for their form.
 *
 * Only the nodes are compressed. What stands before them, and the key, is left as it is, so
 * that arity, words and position in the table are known without decompressing.
 *
 * LZ4 decompresses at the speed of a few memory accesses a byte, which is what a table that
 * is read more than written asks of it. It gives no checksum and needs none here: the bytes have
 * never left our memory. Sizes are checked all the same: XE_TERM_NOMEM if they cannot be right.
 */
#include "term_internal.h"

#include <lz4.h>

enum {
    SMALL_BLOCK = 2048, /* bytes that are compressed on the C stack */
    RATIO_MAX = 255,    /* no byte of a block stands for more */
    SIZE_BYTES_MAX = 5, /* of a varint of 31 bits */
};

/* The longest block that saves an eighth, what stands before it counted. */
static size_t longest_block(size_t raw)
{
    return raw - raw / 8 - 2 * (size_t)SIZE_BYTES_MAX;
}

/* Puts a block in the place of the nodes from `at` on. */
static void put_block(struct xe_encoder *e, size_t at, const uint8_t *block, size_t size)
{
    size_t raw = e->len - at;
    e->bytes[e->body_at] |= XE_TERM_BODY_COMPRESSED;
    e->len = at;
    put_varint(e, raw);
    put_varint(e, size);
    put_bytes(e, block, size);
    e->flags |= XE_REC_LOOSE;
}

bool xe_term_compress(struct xe_encoder *e, bool *done)
{
    uint8_t small[SMALL_BLOCK], *block = small;
    struct xe_cursor c;
    struct xe_view v = {.body = e->bytes + e->body_at, .blen = e->len - e->body_at};
    *done = false;
    if (v.body[0] & XE_TERM_BODY_FLAT)
        return true;
    xe_cursor_body(&c, &v);
    size_t raw = e->len - (size_t)(c.p - e->bytes);
    if (raw < XE_TERM_COMPRESS_MIN || raw > LZ4_MAX_INPUT_SIZE)
        return true;
    if (!charge_work(e, raw / XE_TERM_COMPRESS_WORK))
        return false;
    size_t max = longest_block(raw);
    if (max > sizeof small && !(block = enif_alloc(max)))
        return fail(e, XE_TERM_NOMEM);
    int size = LZ4_compress_default((const char *)c.p, (char *)block, (int)raw, (int)max);
    if (size > 0) {
        put_block(e, e->len - raw, block, (size_t)size);
        *done = true;
    }
    if (block != small)
        enif_free(block);
    return true;
}

/* The sizes behind the head of a compressed body. */
struct sizes {
    size_t raw, block;
};

static bool read_size(struct xe_cursor *c, size_t *out)
{
    *out = 0;
    for (unsigned i = 0; i < SIZE_BYTES_MAX && c->p < c->end; i++) {
        size_t byte = *c->p++;
        *out |= (byte & 0x7f) << 7 * i;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* False: these are not what xe_term_compress() wrote. */
static bool read_sizes(struct xe_cursor *c, struct sizes *s)
{
    return read_size(c, &s->raw) && read_size(c, &s->block) &&
           s->block <= (size_t)(c->end - c->p) && s->raw <= LZ4_MAX_INPUT_SIZE &&
           s->raw <= RATIO_MAX * s->block;
}

/* The room for a body of this size and what may be read behind it. */
static uint8_t *expanded_alloc(struct xe_expanded *x, size_t size)
{
    if (size + XE_READ_SLACK <= sizeof x->small)
        return x->small;
    return enif_alloc(size + XE_READ_SLACK);
}

enum xe_term_status xe_term_expand(struct xe_expanded *x, const struct xe_view *v, uint64_t *budget)
{
    struct xe_cursor c;
    x->view = *v;
    x->bytes = NULL;
    if (!xe_term_is_compressed(v))
        return XE_TERM_OK;
    xe_cursor_body(&c, v);
    size_t head = (size_t)(c.p - v->body);
    struct sizes s;
    if (!read_sizes(&c, &s))
        return XE_TERM_NOMEM;
    if (s.raw / XE_TERM_COMPRESS_WORK > *budget)
        return XE_TERM_BUDGET;
    *budget -= s.raw / XE_TERM_COMPRESS_WORK;
    uint8_t *bytes = expanded_alloc(x, head + s.raw);
    if (!bytes)
        return XE_TERM_NOMEM;
    x->bytes = bytes;
    x->view.body = bytes;
    x->view.blen = head + s.raw;
    memcpy(bytes, v->body, head);
    bytes[xe_term_body(v) - v->body] &= (uint8_t)~XE_TERM_BODY_COMPRESSED;
    memset(bytes + head + s.raw, 0, XE_READ_SLACK);
    if (LZ4_decompress_safe((const char *)c.p, (char *)bytes + head, (int)s.block, (int)s.raw) ==
        (int)s.raw)
        return XE_TERM_OK;
    xe_expanded_clear(x);
    return XE_TERM_NOMEM;
}

void xe_expanded_clear(struct xe_expanded *x)
{
    if (x->bytes && x->bytes != x->small)
        enif_free(x->bytes);
    x->bytes = NULL;
}

uint64_t xe_term_expanding_words(const struct xe_view *v)
{
    struct xe_cursor c;
    struct sizes s;
    xe_cursor_body(&c, v);
    return read_sizes(&c, &s) ? s.raw / XE_TERM_COMPRESS_WORK : 0;
}
