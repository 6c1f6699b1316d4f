/*
 * nif_alloc.h - stands between c_src/beam and the emulator's allocator, in a library of its own:
 * blocks are counted, and a chosen allocation fails. Included once, before anything else.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

static void *(*real_alloc)(size_t);
static void (*real_free)(void *);
static long live_blocks;
static long until_failure = -1; /* allocations that still succeed; negative: all */

void *enif_alloc(size_t bytes)
{
    if (until_failure == 0)
        return NULL;
    until_failure -= until_failure > 0;
    live_blocks++;
    return real_alloc(bytes);
}

void enif_free(void *p)
{
    live_blocks -= p != NULL;
    real_free(p);
}

static bool nif_alloc_init(void)
{
    *(void **)&real_alloc = dlsym(RTLD_DEFAULT, "enif_alloc");
    *(void **)&real_free = dlsym(RTLD_DEFAULT, "enif_free");
    return real_alloc && real_free;
}
