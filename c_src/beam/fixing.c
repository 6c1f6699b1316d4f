/*
 * fixing.c - see fixing.h.
 */
#include "fixing.h"

#include <stddef.h>

/* A bijection, so that no two pids have the same. */
static uint64_t priority(const struct xe_fixer *fixer)
{
    uint64_t x = fixer->pid * 0x9e3779b97f4a7c15ull;
    return (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
}

static bool goes_right(ERL_NIF_TERM pid, const struct xe_fixer *at)
{
    return pid > at->pid;
}

struct xe_fixer *xe_fixing_find(const struct xe_fixing *f, ERL_NIF_TERM pid)
{
    struct xe_fixer *at = f->root;
    while (at && at->pid != pid)
        at = at->child[goes_right(pid, at)];
    return at;
}

struct xe_fixer *xe_fixing_after(const struct xe_fixing *f, ERL_NIF_TERM pid)
{
    struct xe_fixer *found = NULL;
    for (struct xe_fixer *at = f->root; at;) {
        bool below = at->pid <= pid;
        if (!below)
            found = at;
        at = at->child[below];
    }
    return found;
}

/* Parts a tree by a pid that is not in it. */
static void split(struct xe_fixer *tree, ERL_NIF_TERM pid, struct xe_fixer *out[2])
{
    struct xe_fixer **end[2] = {&out[0], &out[1]};
    while (tree) {
        bool right = goes_right(pid, tree); /* then the tree's root is on the left */
        *end[!right] = tree;
        end[!right] = &tree->child[right];
        tree = tree->child[right];
    }
    *end[0] = *end[1] = NULL;
}

void xe_fixing_insert(struct xe_fixing *f, struct xe_fixer *fixer)
{
    struct xe_fixer **at = &f->root;
    while (*at && priority(*at) > priority(fixer))
        at = &(*at)->child[goes_right(fixer->pid, *at)];
    split(*at, fixer->pid, fixer->child);
    *at = fixer;
    f->n++;
}

void xe_fixing_remove(struct xe_fixing *f, struct xe_fixer *fixer)
{
    struct xe_fixer **at = &f->root;
    while (*at != fixer)
        at = &(*at)->child[goes_right(fixer->pid, *at)];
    struct xe_fixer *left = fixer->child[0], *right = fixer->child[1];
    while (left && right) {
        bool take_right = priority(right) > priority(left);
        struct xe_fixer **from = take_right ? &right : &left;
        *at = *from;
        at = &(*from)->child[!take_right];
        *from = *at;
    }
    *at = left ? left : right;
    f->n--;
}
