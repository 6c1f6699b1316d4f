/*
 * nif_object.h - objects as a table stores them, for native libraries of the tests.
 */
#include <stdlib.h>
#include <string.h>

#include "../c_src/beam/term.h"

/* With padding behind the body, and bytes behind it that must not matter. */
struct stored {
    uint8_t *bytes;
    uint64_t *handles;
    ErlNifEnv *env;
    struct xe_view view;
};

static void store(struct stored *s, const struct xe_object *o, bool ordered)
{
    size_t padding = (4 - o->len % 4) % 4;
    s->bytes = malloc(o->len + padding + XE_READ_SLACK);
    memcpy(s->bytes, o->bytes, o->len);
    memset(s->bytes + o->len, 0, padding);
    memset(s->bytes + o->len + padding, 0xa5, XE_READ_SLACK);
    s->handles = malloc(8 * (size_t)o->n_handles + 1);
    s->env = enif_alloc_env();
    for (uint32_t i = 0; i < o->n_handles; i++)
        s->handles[i] = enif_make_copy(s->env, o->handles[i]);
    s->view = (struct xe_view){
        .key = s->bytes,
        .klen = o->klen,
        .body = s->bytes + o->klen,
        .blen = o->len + padding - o->klen,
        .handles = (const uint8_t *)s->handles,
        .n_handles = o->n_handles,
        .n_key_handles = o->n_key_handles,
        .flags = o->flags | (ordered ? XE_REC_ORDER : 0),
    };
}

static void discard(struct stored *s)
{
    free(s->bytes);
    free(s->handles);
    enif_free_env(s->env);
}
