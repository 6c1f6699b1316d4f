/*
 * etf_size.c - where an external term ends, and terms made of them as a whole.
 *
 * One counter of the terms still to come, and no stack: whatever belongs to a term itself stands
 * before the terms in it. Only how long things are is looked at. What LOCAL_EXT (121) holds means
 * nothing outside of the VM that has written it, and references to atoms (82) nothing outside of a
 * connection: neither is a term here.
 */
#include "etf_internal.h"

/* Of what stands before the terms in a term, and how many these are. False: there is no term with
 * this tag, or its size is not there. */
static inline bool measure(const uint8_t *p, size_t size, uint64_t *own, uint64_t *terms)
{
    /* Behind the tag there are this many bytes of a size. */
    static const uint8_t sizes[256] = {
        [ETF_BITS] = 4,        [ETF_REFERENCE_NEWER] = 2, [ETF_ATOM] = 2,
        [ETF_TUPLE_SMALL] = 1, [ETF_TUPLE] = 4,           [ETF_STRING] = 2,
        [ETF_LIST] = 4,        [ETF_BINARY] = 4,          [ETF_BIG_SMALL] = 1,
        [ETF_BIG] = 4,         [ETF_REFERENCE_NEW] = 2,   [ETF_ATOM_SMALL] = 1,
        [ETF_MAP] = 4,         [ETF_ATOM_UTF8] = 2,       [ETF_ATOM_UTF8_SMALL] = 1,
    };
    unsigned width = sizes[p[0]];
    uint64_t n = 0;
    if (size < 1 + width)
        return false;
    for (unsigned i = 1; i <= width; i++)
        n = n << 8 | p[i];
    *own = 1 + width;
    *terms = 0;
    switch (p[0]) {
    case ETF_INT8:
        *own = 2;
        return true;
    case ETF_INT32:
        *own = 5;
        return true;
    case ETF_FLOAT_NEW:
        *own = 9;
        return true;
    case ETF_FLOAT:
        *own = 32;
        return true;
    case ETF_NIL:
        return true;
    case ETF_ATOM:
    case ETF_ATOM_SMALL:
    case ETF_ATOM_UTF8:
    case ETF_ATOM_UTF8_SMALL:
    case ETF_STRING:
    case ETF_BINARY:
        *own += n;
        return true;
    case ETF_BIG_SMALL:
    case ETF_BIG:
    case ETF_BITS:
        *own += 1 + n;
        return true;
    case ETF_TUPLE_SMALL:
    case ETF_TUPLE:
        *terms = n;
        return true;
    case ETF_LIST:
        *terms = n + 1;
        return true;
    case ETF_MAP:
        *terms = 2 * n;
        return true;
    case ETF_EXPORT:
        *terms = 3;
        return true;
    default:
        return false;
    }
}

/* Bytes of an atom, 0 if there is none. */
static size_t atom_size(const uint8_t *p, size_t size)
{
    uint64_t own, terms;
    if (size == 0 ||
        (p[0] != ETF_ATOM && p[0] != ETF_ATOM_SMALL && p[0] != ETF_ATOM_UTF8 &&
         p[0] != ETF_ATOM_UTF8_SMALL) ||
        !measure(p, size, &own, &terms) || own > size)
        return 0;
    return own;
}

/* What begins with the name of a node, behind `before` bytes, and has `behind` more. */
static bool measure_of_node(const uint8_t *p, size_t size, size_t before, uint64_t behind,
                            uint64_t *own)
{
    size_t name = size > before ? atom_size(p + before, size - before) : 0;
    *own = before + name + behind;
    return name > 0;
}

/* What is met seldom. */
static __attribute__((noinline)) bool measure_other(const uint8_t *p, size_t size, uint64_t *own,
                                                    uint64_t *terms)
{
    *terms = 0;
    switch (p[0]) {
    case ETF_REFERENCE: /* number, creation; as of a port */
    case ETF_PORT:
        return measure_of_node(p, size, 1, 4 + 1, own);
    case ETF_PORT_NEW:
        return measure_of_node(p, size, 1, 4 + 4, own);
    case ETF_PORT_V4:
        return measure_of_node(p, size, 1, 8 + 4, own);
    case ETF_PID: /* number, serial, creation */
        return measure_of_node(p, size, 1, 4 + 4 + 1, own);
    case ETF_PID_NEW:
        return measure_of_node(p, size, 1, 4 + 4 + 4, own);
    case ETF_REFERENCE_NEW: /* creation, numbers */
        return size > 3 && measure_of_node(p, size, 3, 1 + 4 * etf_load16(p + 1), own);
    case ETF_REFERENCE_NEWER:
        return size > 3 && measure_of_node(p, size, 3, 4 + 4 * etf_load16(p + 1), own);
    case ETF_FUN: /* size, arity, 16 bytes, index, how many terms behind module, index, pid ... */
        *own = 1 + 4 + 1 + 16 + 4 + 4;
        if (size < *own)
            return false;
        *terms = 4 + (uint64_t)etf_load32(p + *own - 4);
        return true;
    default:
        return false;
    }
}

size_t xe_etf_size(const uint8_t *bytes, size_t size)
{
    uint64_t left = 1, own, terms;
    size_t at = 0;
    while (left > 0) {
        /* A term has a byte at least, so no sum of what is told here overflows. */
        if (left > size - at ||
            (!measure(bytes + at, size - at, &own, &terms) &&
             !measure_other(bytes + at, size - at, &own, &terms)) ||
            own > size - at)
            return 0;
        at += own;
        left += terms - 1;
    }
    return at;
}

enum xe_etf_status etf_make_term(struct xe_etf_reader *r, ErlNifEnv *env, const uint8_t *bytes,
                                 size_t size, ERL_NIF_TERM *out)
{
    if (size >= r->cap_scratch) {
        size_t cap = size < 1024 ? 1024 : size + size / 2;
        uint8_t *scratch = enif_alloc(cap);
        if (!scratch)
            return XE_ETF_NOMEM;
        if (r->scratch)
            enif_free(r->scratch);
        r->scratch = scratch;
        r->cap_scratch = cap;
    }
    r->scratch[0] = XE_ETF_VERSION;
    memcpy(r->scratch + 1, bytes, size);
    return enif_binary_to_term(env, r->scratch, size + 1, out,
                               r->safe ? ERL_NIF_BIN2TERM_SAFE : 0) == size + 1
               ? XE_ETF_OK
               : XE_ETF_BAD;
}

enum xe_etf_status xe_etf_read_term(struct xe_etf_reader *r, ErlNifEnv *env, const uint8_t *bytes,
                                    size_t size, ERL_NIF_TERM *out, size_t *used)
{
    *used = xe_etf_size(bytes, size);
    return *used ? etf_make_term(r, env, bytes, *used, out) : XE_ETF_BAD;
}
