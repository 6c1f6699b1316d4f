/*
 * term_native_map.c - large maps where they lie: the trie's leaves in iteration order, and its
 * shape (term.h).
 *
 * The emulator itself compares large maps node by node, so equal maps have the same trie, whatever
 * they went through, and the same shape: it may stand in the bytes of keys, and in bodies that are
 * compared as bytes.
 */
#include "term_native.h"

enum { DEPTH_MAX = 32 };

/* The children of a node that are still to be visited. */
struct level {
    const uint64_t *next, *end;
};

/* Its children; NULL: not one of the known forms. What it has is told by the next word of the
 * shape. */
static const uint64_t *enter(ERL_NIF_TERM t, bool is_root, uint32_t *shape)
{
    const uint64_t *at = xe_term_at(t), header = at[0];
    uint64_t low = header & XE_MAP_HEADER_MASK, bitmap = header >> XE_MAP_BITMAP_SHIFT;
    if (is_root ? low != xe_native.map_root && low != xe_native.map_root_full
                : low != xe_native.map_node)
        return NULL;
    const uint64_t *children = at + (is_root ? 2 : 1), *child = children;
    uint32_t inner = 0;
    for (uint32_t bits = (uint32_t)bitmap; bits; bits &= bits - 1, child++)
        inner |= xe_term_is_boxed(*child) ? bits & -bits : 0;
    *shape = (uint32_t)bitmap | inner << 16;
    return children;
}

size_t xe_native_gather(ERL_NIF_TERM map, size_t n, ERL_NIF_TERM *keys, ERL_NIF_TERM *values,
                        uint32_t *shape)
{
    struct level levels[DEPTH_MAX], *level = levels;
    size_t nodes = 0, pairs = 0;
    level->next = enter(map, true, &shape[nodes]);
    if (!level->next)
        return 0;
    level->end = level->next + __builtin_popcount(shape[nodes++] & 0xffff);
    for (;;) {
        while (level->next == level->end) {
            if (level == levels)
                return pairs == n ? nodes : 0;
            level--;
        }
        ERL_NIF_TERM child = *level->next++;
        if (XE_LIKELY(xe_term_is_list_cell(child))) {
            if (pairs == n)
                return 0;
            keys[pairs] = xe_term_at(child)[0];
            values[pairs++] = xe_term_at(child)[1];
            continue;
        }
        if (!xe_term_is_boxed(child) || level + 1 == levels + DEPTH_MAX || nodes == n)
            return 0;
        level++;
        level->next = enter(child, false, &shape[nodes]);
        if (!level->next)
            return 0;
        level->end = level->next + __builtin_popcount(shape[nodes++] & 0xffff);
    }
}
