/*
 * match_key.c - keys of ordered tables as values.
 *
 * Order bytes are no nodes. The commonest keys are made values without decoding them: small
 * integers and atoms, binaries that the emulator keeps on its heap, and tuples of small integers
 * and atoms. The latter two become a node in the matcher. Any other key stays what it is until a
 * head or a guard needs its term.
 */
#include "key_internal.h"
#include "match_internal.h"

/* Order bytes and restore bytes that have not been read yet. */
struct reader {
    const uint8_t *p, *end;
    const uint8_t *restore, *restore_end;
};

/* The next of the restore bytes, if it is an atom's. */
static bool read_atom(struct reader *r, uint64_t *word)
{
    uint64_t entry = 0;
    unsigned shift = 0;
    if (r->restore == r->restore_end)
        return false;
    for (; *r->restore & 0x80; shift += 7)
        entry |= (uint64_t)(*r->restore++ & 0x7f) << shift;
    entry |= (uint64_t)*r->restore++ << shift;
    *word = entry >> 1 << 2 | 3;
    r->p = (const uint8_t *)memchr(r->p, 0, (size_t)(r->end - r->p)) + 1;
    return !(entry & 1);
}

static bool read_small(struct reader *r, uint64_t *word)
{
    const uint8_t *end = r->p + 1;
    uint8_t flip = *r->p < KEY_ZERO ? 0xff : 0;
    int64_t i;
    if (*r->p != KEY_ZERO) {
        while ((uint8_t)(*end ^ flip) & 1)
            end++;
        end++;
    }
    if (!xe_key_to_small(r->p, (size_t)(end - r->p), &i))
        return false;
    *word = xe_word_of(i);
    r->p = end;
    return true;
}

/* A small integer or an atom. */
static bool read_word(struct reader *r, uint64_t *word)
{
    return *r->p == KEY_ATOM ? read_atom(r, word) : *r->p < KEY_ATOM && read_small(r, word);
}

static void set_node(struct xe_matcher *m)
{
    m->key.kind = XE_VALUE_NODE;
    m->key.place = XE_PLACE_MATCHER;
    m->key.p = m->key_node;
    m->key.handles = NULL;
}

static bool read_tuple(struct xe_matcher *m, struct reader *r)
{
    uint64_t words[XE_MATCH_KEY_ARITY], any = 0;
    unsigned arity = *r->p++ - KEY_TUPLE;
    if (arity > XE_MATCH_KEY_ARITY)
        return false;
    for (unsigned i = 0; i < arity; i++) {
        if (!read_word(r, &words[i]))
            return false;
        any |= words[i];
    }
    unsigned width = xe_term_width(any);
    uint8_t *p = m->key_node;
    *p++ = (uint8_t)(XE_NODE_TUPLE_IMM << 3 | (width - 1));
    *p++ = (uint8_t)arity;
    for (unsigned i = 0; i < arity; i++, p += width)
        memcpy(p, &words[i], 8);
    set_node(m);
    return true;
}

static bool read_binary(struct xe_matcher *m, struct reader *r)
{
    size_t size = (size_t)(r->end - r->p) - 3; /* less tag, end, bits of the last byte */
    if (size > XE_TERM_BIN_VALUE_MAX || r->end[-1] != 8 || memchr(r->p + 1, 0, size))
        return false;
    m->key_node[0] = XE_NODE_BIN << 3;
    m->key_node[1] = (uint8_t)size;
    memcpy(m->key_node + 2, r->p + 1, size);
    r->p = r->end;
    set_node(m);
    return true;
}

static bool read_key(struct xe_matcher *m, struct reader *r)
{
    uint64_t word;
    unsigned tag = *r->p;
    if (tag >= KEY_TUPLE && tag < KEY_TUPLE_LARGE)
        return read_tuple(m, r);
    if (tag == KEY_BITS)
        return read_binary(m, r);
    if (!read_word(r, &word))
        return false;
    xe_value_set(&m->key, word);
    return true;
}

void xe_matcher_load_ordered_key(struct xe_matcher *m)
{
    const struct xe_view *view = m->view;
    struct reader r = {view->key, view->key + view->klen, NULL, NULL};
    int64_t i;
    if (XE_LIKELY(!(view->flags & XE_REC_RESTORE))) {
        if (xe_key_to_small(view->key, view->klen, &i)) {
            xe_value_set(&m->key, xe_word_of(i));
            return;
        }
    } else {
        struct xe_cursor c = {.p = view->body, .end = view->body + view->blen};
        uint64_t size = xe_cursor_varint(&c);
        r.restore = c.p;
        r.restore_end = c.p + size;
    }
    /* All restore bytes have to be used: what is left tells of a float. */
    if (view->n_key_handles || !read_key(m, &r) || r.restore != r.restore_end)
        m->key.kind = XE_VALUE_KEY;
}
