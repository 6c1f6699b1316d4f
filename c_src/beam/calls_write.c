/*
 * calls_write.c - calls that insert and delete objects.
 */
#include "call_key.h"

/* Encodes a tuple as an object of a table with this keypos. */
static enum xe_result encode_object(struct xe_encoder *e, ErlNifEnv *env, ERL_NIF_TERM object,
                                    int keypos, ERL_NIF_TERM *key)
{
    const ERL_NIF_TERM *elements;
    int arity;
    if (!xe_term_get_tuple(env, object, &arity, &elements) || arity < keypos)
        return XE_CALL_BADARG;
    *key = elements[keypos - 1];
    return xe_call_of_term(xe_term_encode_object(e, elements, arity, keypos));
}

/* The form of a table that the caller has the right for. */
static bool form_of(ErlNifEnv *env, ERL_NIF_TERM table, enum xe_need need, struct xe_form *form)
{
    struct xe_use use;
    if (!xe_use_begin(env, table, need, &use))
        return false;
    *form = xe_call_form(use.table);
    xe_use_end(&use);
    return true;
}

/* In a bag objects are compared with equal ones. What is shared by reference was encoded for
 * nothing, but is compared as a whole. */
static enum xe_result check_comparing(const struct xe_encoder *e, enum xe_kind kind,
                                      uint64_t budget)
{
    return xe_kind_is_bag(kind) && e->pinned / 8 > budget ? XE_CALL_BUDGET : XE_CALL_OK;
}

/* --- One object --------------------------------------------------------- */

enum {
    SMALL_KEY = 2 + XE_TERM_BIN_VALUE_MAX, /* bytes */
    SMALL_BODY = 384,                      /* bytes: a flat one has room */
};

_Static_assert((int)SMALL_KEY >= (int)XE_KEY_SHORT &&
                   (int)SMALL_KEY >= (int)XE_ORDER_SHORT + 1 + (int)XE_KEY_SHORT_RESTORE &&
                   SMALL_BODY > 8 * (XE_TERM_FLAT_ARITY_MAX + 1),
               "small records have room for short keys and flat bodies");

/* A record that is made in one go: of an object whose elements are small, with nothing unusual in
 * them, and its key an immediate, a short tuple of such or a short binary; in an ordered table, a
 * short key (key_short.h). */
struct small {
    struct xe_key key;
    uint32_t restore; /* bytes behind those of the key that restore it, their length included */
    size_t len;
    bool unusual; /* there is something in its elements that is not for this way */
    uint8_t rec[XE_HDR_BYTES + SMALL_KEY + SMALL_BODY + XE_READ_SLACK];
};

_Static_assert((int)XE_HDR_BYTES + SMALL_KEY + SMALL_BODY <= (int)XE_RECORD_INLINE_MAX,
               "small records need no blob");

/* The key, at its place in the record. Stores of 8 bytes, each over what the one before wrote too
 * much. */
static inline void put_words(struct small *f, uint64_t w0, uint64_t w1)
{
    memcpy(f->rec + XE_HDR_BYTES, &w0, 8);
    memcpy(f->rec + XE_HDR_BYTES + 8, &w1, 8);
}

/* The key of an ordered table, and behind it what restores it. */
static inline bool make_ordered_key(ErlNifEnv *env, struct small *f, ERL_NIF_TERM key)
{
    struct xe_key_rest rest;
    if (!xe_key_short(env, key, &f->key, &rest))
        return false;
    xe_key_short_put(&f->key, &rest, f->rec + XE_HDR_BYTES);
    if (rest.restore_len) {
        uint8_t *at = f->rec + XE_HDR_BYTES + f->key.klen;
        *at = (uint8_t)rest.restore_len;
        memcpy(at + 1, &rest.restore, XE_KEY_SHORT_RESTORE);
        f->restore = 1 + rest.restore_len;
    }
    return true;
}

static inline bool make_key(struct small *f, uint64_t seed, ERL_NIF_TERM key)
{
    uint64_t w0, w1;
    unsigned len;
    if (XE_LIKELY(xe_term_is_immediate(key))) {
        len = 1 + xe_term_width(key);
        w0 = xe_call_word0(key, len - 1);
        w1 = xe_call_word1(key);
    } else if (!(len = xe_call_tuple_words(key, &w0, &w1))) {
        uint8_t *at = f->rec + XE_HDR_BYTES, *end = xe_native_small_binary(at, key);
        if (end)
            xe_key_init(&f->key, seed, at, (size_t)(end - at), NULL, 0);
        return end;
    }
    xe_key_init_words(&f->key, seed, w0, w1, f->rec + XE_HDR_BYTES, len);
    put_words(f, w0, w1);
    return true;
}

static inline uint32_t small_flags(const struct small *f)
{
    return f->restore ? XE_REC_RESTORE : 0;
}

/* A body of immediates: `any`, what all are in. */
static inline uint8_t *put_flat(uint8_t *p, const ERL_NIF_TERM *elements, int arity, int keypos,
                                uint64_t any)
{
    unsigned width = xe_term_width(any);
    *p++ = (uint8_t)(XE_TERM_BODY_FLAT | arity << 3 | (width - 1));
    if (XE_LIKELY(arity == 2)) {
        memcpy(p, &any, 8);
        return p + width;
    }
    for (int i = 0; i < arity; i++)
        if (i != keypos - 1) {
            memcpy(p, &elements[i], 8);
            p += width;
        }
    return p;
}

/* False: the object is not of that kind. */
static inline bool make_small(ErlNifEnv *env, struct small *f, const struct xe_owned *t,
                              const ERL_NIF_TERM *elements, int arity)
{
    uint64_t all = 3, any = 0; /* of the elements but the key */
    int keypos = t->keypos;
    f->unusual = false;
    f->restore = 0;
    if (arity > XE_TERM_FLAT_ARITY_MAX)
        return false;
    if (XE_LIKELY(arity == 2))
        all = any = elements[2 - keypos];
    else
        for (int i = 0; i < arity; i++) {
            all &= i == keypos - 1 ? 3 : elements[i];
            any |= i == keypos - 1 ? 0 : elements[i];
        }
    all &= 3;
    /* A larger body may be worth compressing. */
    if (all != 3 && t->compressed)
        return false;
    ERL_NIF_TERM key = elements[keypos - 1];
    if (!(XE_LIKELY(t->kind != XE_ORDERED) ? make_key(f, t->seed, key)
                                           : make_ordered_key(env, f, key)))
        return false;
    uint32_t klen = (uint32_t)f->key.klen;
    uint8_t *body = f->rec + XE_HDR_BYTES + klen + f->restore;
    uint8_t *p = XE_LIKELY(all == 3)
                     ? put_flat(body, elements, arity, keypos, any)
                     : xe_native_small_body(body, body + SMALL_BODY, elements, arity, keypos);
    if (XE_UNLIKELY(!p)) {
        f->unusual = true;
        return false;
    }
    f->len = (size_t)(p - f->rec);
    uint32_t header = (uint32_t)(f->len + XE_RECORD_ALIGN - 1) / XE_RECORD_ALIGN |
                      klen << XE_HDR_KLEN_SHIFT | f->key.flags | small_flags(f);
    memcpy(f->rec, &header, 4);
    return true;
}

/* The object of such a record. */
static struct xe_object small_object(const struct small *f, enum xe_kind kind)
{
    struct xe_object o = {.bytes = f->rec + XE_HDR_BYTES, .klen = f->key.klen,
                          .len = f->len - XE_HDR_BYTES, .flags = small_flags(f)};
    if (xe_kind_is_bag(kind))
        o.identity = xe_term_identity(o.bytes, o.len);
    return o;
}

static enum xe_status put_in_bag(struct xe_use *use, const struct small *f, enum xe_put mode,
                                 bool patient)
{
    struct xe_object o = small_object(f, use->table->kind);
    struct xe_prepared p;
    enum xe_status status = xe_table_prepare(use->table->core, &o, &p);
    return status == XE_OK ? xe_bag_put(use->table->core, use->slot, &p, mode, patient) : status;
}

/* Any other object. */
static enum xe_status put_encoded(struct xe_use *use, struct xe_encoder *e, ERL_NIF_TERM key,
                                  enum xe_put mode, bool patient)
{
    struct xe_object o;
    struct xe_prepared p;
    xe_term_object(e, &o);
    enum xe_status status = xe_call_prepare(use->table, &o, key, &p);
    if (XE_LIKELY(status == XE_OK)) {
        status = xe_kind_is_bag(use->table->kind)
                     ? xe_bag_put(use->table->core, use->slot, &p, mode, patient)
                     : xe_table_put(use->table->core, use->slot, &p, mode);
        if (status != XE_OK)
            xe_record_unprepare(&p);
    }
    return status;
}

static inline enum xe_result put_object(ErlNifEnv *env, ERL_NIF_TERM table,
                                        const ERL_NIF_TERM *elements, int arity,
                                        enum xe_put mode, uint64_t budget,
                                        enum xe_status *status)
{
    struct xe_encoder e;
    struct small small;
    struct xe_use use;
    if (XE_UNLIKELY(!xe_use_begin(env, table, XE_NEED_WRITE, &use)))
        return XE_CALL_BADARG;
    int keypos = use.table->keypos;
    enum xe_result result = arity >= keypos ? XE_CALL_OK : XE_CALL_BADARG;
    *status = XE_OK;
    if (XE_UNLIKELY(result != XE_CALL_OK)) {
        xe_use_end(&use);
        return result;
    }
    if (XE_LIKELY(make_small(env, &small, use.table, elements, arity))) {
        *status = XE_UNLIKELY(xe_kind_is_bag(use.table->kind))
                      ? put_in_bag(&use, &small, mode, xe_call_is_patient(budget))
                      : xe_table_put_plain(use.table->core, use.slot, &small.key, small.rec,
                                           small.len, mode);
        xe_use_end(&use);
    } else {
        struct xe_form form = xe_call_form(use.table);
        xe_call_encoder(&e, env, &form, budget);
        e.unusual = small.unusual;
        result = xe_call_of_term(xe_term_encode_object(&e, elements, arity, keypos));
        if (result == XE_CALL_OK)
            result = check_comparing(&e, form.kind, budget);
        if (result == XE_CALL_OK)
            *status = put_encoded(&use, &e, elements[keypos - 1], mode,
                                  xe_call_is_patient(budget));
        xe_use_end(&use);
        xe_encoder_clear(&e);
    }
    if (XE_UNLIKELY(*status != XE_OK && *status != XE_EXISTS))
        result = xe_call_of_core(*status);
    return result;
}

/* --- A list of objects -------------------------------------------------- */

/* The encoded objects of a list, one behind the other. */
struct list {
    uint8_t *bytes;
    size_t len, cap;
    uint64_t *handles;
    size_t n_handles, cap_handles;
    struct xe_object *objects; /* with offsets for pointers until list_settle() */
    size_t n, cap_objects;
};

static bool grow(void *array, size_t *cap, size_t need, size_t size)
{
    void **p = array;
    if (need <= *cap)
        return true;
    size_t more = need + need / 2 + 64;
    void *q = *p ? enif_realloc(*p, more * size) : enif_alloc(more * size);
    if (!q)
        return false;
    *p = q;
    *cap = more;
    return true;
}

static enum xe_result list_add(struct list *l, const struct xe_encoder *e)
{
    struct xe_object o;
    xe_term_object(e, &o);
    if (!grow(&l->bytes, &l->cap, l->len + o.len + XE_READ_SLACK, 1) ||
        !grow(&l->handles, &l->cap_handles, l->n_handles + o.n_handles + 1,
              sizeof *l->handles) ||
        !grow(&l->objects, &l->cap_objects, l->n + 1, sizeof *l->objects))
        return XE_CALL_LIMIT;
    memcpy(l->bytes + l->len, o.bytes, o.len);
    memcpy(l->handles + l->n_handles, o.handles, o.n_handles * sizeof *o.handles);
    o.bytes = (const uint8_t *)(uintptr_t)l->len;
    o.handles = (const uint64_t *)(uintptr_t)l->n_handles;
    l->len += o.len;
    l->n_handles += o.n_handles;
    l->objects[l->n++] = o;
    return XE_CALL_OK;
}

/* The arrays do not move any more: offsets become pointers. */
static void list_settle(struct list *l)
{
    memset(l->bytes + l->len, 0, XE_READ_SLACK);
    for (size_t i = 0; i < l->n; i++) {
        l->objects[i].bytes = l->bytes + (uintptr_t)l->objects[i].bytes;
        l->objects[i].handles = l->handles + (uintptr_t)l->objects[i].handles;
    }
}

static void list_clear(struct list *l)
{
    void *parts[] = {l->bytes, l->handles, l->objects};
    for (int i = 0; i < 3; i++)
        if (parts[i])
            enif_free(parts[i]);
}

static enum xe_result list_encode(struct list *l, ErlNifEnv *env, ERL_NIF_TERM objects,
                                  const struct xe_form *form, uint64_t budget)
{
    struct xe_encoder e;
    ERL_NIF_TERM object, key;
    uint64_t left = budget;
    enum xe_result result = XE_CALL_OK;
    while (result == XE_CALL_OK && enif_get_list_cell(env, objects, &object, &objects)) {
        xe_call_encoder(&e, env, form, left);
        result = encode_object(&e, env, object, form->keypos, &key);
        if (result == XE_CALL_OK)
            result = check_comparing(&e, form->kind, left);
        if (result == XE_CALL_OK)
            result = list_add(l, &e);
        if (budget != XE_TERM_NO_BUDGET) {
            left = xe_encoder_left(&e);
            if (result == XE_CALL_OK && l->n > XE_CALL_INLINE_MAX)
                result = XE_CALL_BUDGET;
        }
        xe_encoder_clear(&e);
    }
    if (result == XE_CALL_OK && !enif_is_empty_list(env, objects))
        return XE_CALL_BADARG;
    return result;
}

static enum xe_status put_prepared(struct xe_use *use, struct list *l, struct xe_prepared *p,
                                   enum xe_put mode, bool patient)
{
    size_t n = 0;
    enum xe_status status = XE_OK;
    for (; n < l->n && status == XE_OK; n++)
        status = xe_table_prepare(use->table->core, &l->objects[n], &p[n]);
    if (status == XE_OK)
        status = xe_table_put_many(use->table->core, use->slot, p, l->n, mode, patient);
    else
        n--;
    for (size_t i = 0; status != XE_OK && i < n; i++)
        xe_record_unprepare(&p[i]);
    return status;
}

static enum xe_result put_list(ErlNifEnv *env, ERL_NIF_TERM table, ERL_NIF_TERM objects,
                               enum xe_put mode, uint64_t budget, enum xe_status *status)
{
    struct list l = {0};
    struct xe_use use;
    struct xe_form form;
    if (!form_of(env, table, XE_NEED_WRITE, &form))
        return XE_CALL_BADARG;
    *status = XE_OK;
    enum xe_result result = list_encode(&l, env, objects, &form, budget);
    if (result == XE_CALL_OK && l.n > 0) {
        struct xe_prepared *p = enif_alloc(l.n * sizeof *p);
        list_settle(&l);
        if (!p)
            result = XE_CALL_LIMIT;
        else if (!xe_use_begin(env, table, XE_NEED_WRITE, &use))
            result = XE_CALL_BADARG;
        if (result == XE_CALL_OK) {
            /* Another table may have the name by now: then the call starts over. */
            *status = xe_form_is(&form, use.table)
                          ? put_prepared(&use, &l, p, mode, budget == XE_TERM_NO_BUDGET)
                          : XE_RETRY;
            xe_use_end(&use);
            if (*status != XE_OK && *status != XE_EXISTS)
                result = xe_call_of_core(*status);
        }
        if (p)
            enif_free(p);
    }
    list_clear(&l);
    return result;
}

static inline enum xe_result put(ErlNifEnv *env, const ERL_NIF_TERM argv[], enum xe_put mode,
                          uint64_t budget, enum xe_status *status)
{
    const ERL_NIF_TERM *elements;
    ERL_NIF_TERM first, rest;
    int arity;
    if (XE_LIKELY(xe_term_get_tuple(env, argv[1], &arity, &elements)))
        return put_object(env, argv[0], elements, arity, mode, budget, status);
    /* A list of one needs none of the care for lists. */
    if (enif_get_list_cell(env, argv[1], &first, &rest) && rest == xe_call_nil &&
        xe_term_get_tuple(env, first, &arity, &elements))
        return put_object(env, argv[0], elements, arity, mode, budget, status);
    return put_list(env, argv[0], argv[1], mode, budget, status);
}

static enum xe_result insert(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                             ERL_NIF_TERM *out)
{
    enum xe_status status;
    *out = xe_am.yes;
    return put(env, argv, XE_PUT, budget, &status);
}
XE_CALL_WRITE(insert, 2)

static enum xe_result insert_new(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                 ERL_NIF_TERM *out)
{
    enum xe_status status;
    enum xe_result result = put(env, argv, XE_PUT_NEW, budget, &status);
    if (result == XE_CALL_OK)
        *out = xe_call_bool(status == XE_OK);
    return result;
}
XE_CALL_WRITE(insert_new, 2)

/* The object that is in the table after it: the given one, or one that was there. */
static enum xe_result put_new(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                              ERL_NIF_TERM *out)
{
    enum xe_status status;
    struct xe_form form;
    const ERL_NIF_TERM *elements;
    ERL_NIF_TERM found, rest;
    int arity;
    if (!form_of(env, argv[0], XE_NEED_WRITE, &form) || xe_kind_is_bag(form.kind) ||
        !xe_term_get_tuple(env, argv[1], &arity, &elements) || arity < form.keypos)
        return XE_CALL_BADARG;
    const ERL_NIF_TERM key[] = {argv[0], elements[form.keypos - 1]};
    for (int i = 0; i < XE_CALL_TRIES; i++) {
        enum xe_result result =
            put_object(env, argv[0], elements, arity, XE_PUT_NEW, budget, &status);
        *out = argv[1];
        if (result != XE_CALL_OK || status == XE_OK)
            return result;
        result = xe_call_lookup(env, key, budget, &found);
        if (result != XE_CALL_OK || enif_get_list_cell(env, found, out, &rest))
            return result;
        /* It has gone meanwhile. */
    }
    return XE_CALL_RETRY;
}
XE_CALL_WRITE(put_new, 2)

/* --- Compare and act ---------------------------------------------------- */

enum equality {
    EQUAL,
    DIFFERENT,
    TOO_LARGE, /* to be compared within the budget */
};

/* Bytes are compared fast; else both objects are decoded. */
static enum equality compare(const struct xe_view *stored, const struct xe_object *o,
                             uint64_t budget)
{
    if (((stored->flags | o->flags) & XE_REC_LOOSE) && xe_term_object_words(stored) > budget)
        return TOO_LARGE;
    return xe_record_equal(stored, o) ? EQUAL : DIFFERENT;
}

/* Finds the object with the key of `o` and tells whether it is (=:=) `o`. Section open. */
static enum xe_status find_equal(const struct xe_use *use, const struct xe_object *o,
                                 uint64_t budget, struct xe_key *key, struct xe_version *version,
                                 enum equality *equality)
{
    struct xe_view view;
    xe_call_object_key(key, use->table, o);
    enum xe_status status = xe_table_find_version(use->table->core, key, &view, version);
    if (status == XE_OK)
        *equality = compare(&view, o, budget);
    return status;
}

static enum xe_result remove_equal(struct xe_use *use, const struct xe_object *o, uint64_t budget,
                                   uint32_t *removed)
{
    struct xe_key key;
    struct xe_version version;
    enum equality equality;
    for (int i = 0; i < XE_CALL_TRIES; i++) {
        enum xe_status status = find_equal(use, o, budget, &key, &version, &equality);
        if (status == XE_OK && equality == TOO_LARGE)
            return XE_CALL_BUDGET;
        if (status == XE_ABSENT || (status == XE_OK && equality == DIFFERENT))
            return XE_CALL_OK;
        if (status == XE_OK)
            status = xe_table_remove(use->table->core, use->slot, &key, &version, NULL);
        *removed = status == XE_OK;
        /* XE_ABSENT: another version by now; look again. */
        if (status != XE_ABSENT)
            return xe_call_of_core(status);
    }
    return XE_CALL_RETRY;
}

/* In a duplicate bag it may be there several times. */
static enum xe_result remove_from_bag(struct xe_use *use, const struct xe_object *o,
                                      uint64_t budget, uint32_t *removed)
{
    struct xe_prepared p;
    enum xe_status status = xe_table_prepare(use->table->core, o, &p);
    if (status == XE_OK) {
        status = xe_bag_remove(use->table->core, use->slot, &p, xe_call_is_patient(budget),
                               removed);
        xe_record_unprepare(&p);
    }
    return status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(status);
}

static enum xe_result remove_object(struct xe_use *use, const struct xe_object *o, uint64_t budget,
                                   uint32_t *removed)
{
    return xe_kind_is_bag(use->table->kind) ? remove_from_bag(use, o, budget, removed)
                                            : remove_equal(use, o, budget, removed);
}

/* The same for any object. */
static enum xe_result remove_encoded(ErlNifEnv *env, struct xe_use *use, ERL_NIF_TERM object,
                                     uint64_t budget, uint32_t *removed)
{
    struct xe_encoder e;
    struct xe_object o;
    struct xe_form form = xe_call_form(use->table);
    ERL_NIF_TERM key;
    xe_call_encoder(&e, env, &form, budget);
    enum xe_result result = encode_object(&e, env, object, form.keypos, &key);
    if (result == XE_CALL_OK)
        result = check_comparing(&e, form.kind, budget);
    if (result == XE_CALL_OK) {
        xe_term_object(&e, &o);
        result = remove_object(use, &o, budget, removed);
    }
    xe_encoder_clear(&e);
    return result;
}

enum xe_result xe_call_remove_object(ErlNifEnv *env, struct xe_use *use, ERL_NIF_TERM object,
                                     uint64_t budget, uint32_t *removed)
{
    const ERL_NIF_TERM *elements;
    int arity;
    struct small small;
    *removed = 0;
    if (!xe_term_get_tuple(env, object, &arity, &elements) || arity < use->table->keypos)
        return XE_CALL_BADARG;
    if (!make_small(env, &small, use->table, elements, arity))
        return remove_encoded(env, use, object, budget, removed);
    struct xe_object o = small_object(&small, use->table->kind);
    return remove_object(use, &o, budget, removed);
}

static enum xe_result remove_from(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                  uint32_t *removed)
{
    struct xe_use use;
    if (!xe_use_begin(env, argv[0], XE_NEED_WRITE, &use))
        return XE_CALL_BADARG;
    enum xe_result result = xe_call_remove_object(env, &use, argv[1], budget, removed);
    xe_use_end(&use);
    return result;
}

static enum xe_result delete_object(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                    ERL_NIF_TERM *out)
{
    uint32_t removed;
    *out = xe_am.yes;
    return remove_from(env, argv, budget, &removed);
}
XE_CALL_WRITE(delete_object, 2)

/* How many they were. */
static enum xe_result remove_object_count(ErlNifEnv *env, const ERL_NIF_TERM argv[],
                                          uint64_t budget, ERL_NIF_TERM *out)
{
    uint32_t removed;
    enum xe_result result = remove_from(env, argv, budget, &removed);
    if (result == XE_CALL_OK)
        *out = enif_make_uint(env, removed);
    return result;
}
XE_CALL_WRITE(remove_object_count, 2)

/* Puts `p` in the place of exactly `old`. XE_ABSENT: that is not there. */
static enum xe_status replace_equal(struct xe_use *use, const struct xe_object *old,
                                    struct xe_prepared *p)
{
    struct xe_key key;
    struct xe_version version;
    enum equality equality;
    enum xe_status status =
        find_equal(use, old, XE_TERM_NO_BUDGET, &key, &version, &equality);
    if (status != XE_OK || equality != EQUAL)
        return status == XE_OK ? XE_ABSENT : status;
    return xe_table_replace(use->table->core, use->slot, p, &version);
}

/* replace(Table, Old, New): New, which has the key of Old, in its place if it still is the
 * object with that key. */
static enum xe_result replace(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                              ERL_NIF_TERM *out)
{
    struct xe_encoder was, is;
    struct xe_object old, new;
    struct xe_prepared p;
    struct xe_use use;
    if (!xe_use_begin(env, argv[0], XE_NEED_WRITE, &use))
        return XE_CALL_BADARG;
    struct xe_form form = xe_call_form(use.table);
    xe_call_encoder(&was, env, &form, budget);
    xe_call_encoder(&is, env, &form, budget);
    ERL_NIF_TERM key;
    enum xe_result result = encode_object(&was, env, argv[1], form.keypos, &key);
    if (result == XE_CALL_OK)
        result = encode_object(&is, env, argv[2], form.keypos, &key);
    if (result == XE_CALL_OK) {
        xe_term_object(&was, &old);
        xe_term_object(&is, &new);
        enum xe_status status = xe_table_prepare(use.table->core, &new, &p);
        if (status == XE_OK) {
            status = replace_equal(&use, &old, &p);
            if (status != XE_OK)
                xe_record_unprepare(&p);
        }
        *out = xe_call_bool(status == XE_OK);
        result = status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(status);
    }
    xe_use_end(&use);
    xe_encoder_clear(&was);
    xe_encoder_clear(&is);
    return result;
}
XE_CALL_WRITE(replace, 3)

/* The same in a duplicate bag, for the one of the equal objects that has this number. */
static enum xe_status replace_numbered(struct xe_use *use, const struct xe_object *old,
                                       uint64_t sequence, const struct xe_object *new,
                                       bool patient)
{
    struct xe_prepared was, is;
    enum xe_status status = xe_table_prepare(use->table->core, old, &was);
    if (status != XE_OK)
        return status;
    status = xe_table_prepare(use->table->core, new, &is);
    if (status == XE_OK) {
        status = xe_bag_replace(use->table->core, use->slot, &was, sequence, &is, patient);
        if (status != XE_OK)
            xe_record_unprepare(&is);
    }
    xe_record_unprepare(&was);
    return status;
}

/* replace_in_group(Table, Old, Number, New): see group() in calls_match.c. */
static enum xe_result replace_in_group(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                       ERL_NIF_TERM *out)
{
    struct xe_encoder was, is;
    struct xe_object old, new;
    struct xe_use use;
    ErlNifUInt64 sequence;
    ERL_NIF_TERM key, new_key;
    if (!enif_get_uint64(env, argv[2], &sequence) ||
        !xe_use_begin(env, argv[0], XE_NEED_WRITE, &use))
        return XE_CALL_BADARG;
    struct xe_form form = xe_call_form(use.table);
    xe_call_encoder(&was, env, &form, budget);
    xe_call_encoder(&is, env, &form, budget);
    enum xe_result result = form.kind == XE_DUPLICATE_BAG
                                ? encode_object(&was, env, argv[1], form.keypos, &key)
                                : XE_CALL_BADARG;
    if (result == XE_CALL_OK)
        result = check_comparing(&was, form.kind, budget);
    if (result == XE_CALL_OK)
        result = encode_object(&is, env, argv[3], form.keypos, &new_key);
    if (result == XE_CALL_OK && !enif_is_identical(key, new_key))
        result = XE_CALL_BADARG;
    if (result == XE_CALL_OK) {
        xe_term_object(&was, &old);
        xe_term_object(&is, &new);
        enum xe_status status =
            replace_numbered(&use, &old, sequence, &new, xe_call_is_patient(budget));
        *out = xe_call_bool(status == XE_OK);
        result = status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(status);
    }
    xe_use_end(&use);
    xe_encoder_clear(&was);
    xe_encoder_clear(&is);
    return result;
}
XE_CALL_WRITE(replace_in_group, 4)

/* --- By key ------------------------------------------------------------- */

/* Removes what has the key of a term. */
static enum xe_result delete_key(ErlNifEnv *env, ERL_NIF_TERM table, ERL_NIF_TERM term,
                                 uint64_t budget)
{
    struct xe_encoder e;
    struct xe_key key;
    struct xe_use use;
    enum xe_result result = xe_call_open(env, table, XE_NEED_WRITE, term, budget, &use, &e);
    if (XE_UNLIKELY(result != XE_CALL_OK))
        return result;
    xe_call_key(&key, use.table, term, &e);
    if (XE_UNLIKELY(xe_kind_is_bag(use.table->kind))) {
        result = xe_call_bag_delete(&use, &key, budget);
    } else {
        enum xe_status status = xe_table_remove(use.table->core, use.slot, &key, NULL, NULL);
        result = status == XE_ABSENT ? XE_CALL_OK : xe_call_of_core(status);
    }
    xe_call_close(&use, term, &e);
    return result;
}

static enum xe_result delete(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                             ERL_NIF_TERM *out)
{
    *out = xe_am.yes;
    return delete_key(env, argv[0], argv[1], budget);
}
XE_CALL_WRITE(delete, 2)

/* Each key by itself. When a key's objects cannot be deleted now, after others were, the result is
 * the list of what is left to delete, and the caller goes on with these: in a durable table he has to
 * wait for the others. */
static enum xe_result delete_many(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                  ERL_NIF_TERM *out)
{
    struct xe_form form;
    ERL_NIF_TERM key, rest, keys = argv[1];
    unsigned n;
    enum xe_result result = xe_call_list_length(env, keys, budget, &n);
    if (result == XE_CALL_OK && !form_of(env, argv[0], XE_NEED_WRITE, &form))
        result = XE_CALL_BADARG;
    while (result == XE_CALL_OK && enif_get_list_cell(env, keys, &key, &rest)) {
        result = delete_key(env, argv[0], key, budget);
        if (result == XE_CALL_OK)
            keys = rest;
    }
    bool stopped = result != XE_CALL_OK && result != XE_CALL_BADARG && keys != argv[1];
    *out = stopped ? keys : xe_am.yes;
    return stopped ? XE_CALL_OK : result;
}
XE_CALL_WRITE(delete_many, 2)

/* Decodes first and removes what it has decoded: a budget may forbid the one, nothing the
 * other. */
static enum xe_result take_version(ErlNifEnv *env, struct xe_use *use, const struct xe_key *key,
                                   ERL_NIF_TERM term, const struct xe_encoder *e,
                                   uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_view view;
    struct xe_version version;
    ERL_NIF_TERM object;
    for (int i = 0; i < XE_CALL_TRIES; i++) {
        enum xe_status status = xe_table_find_version(use->table->core, key, &view, &version);
        if (status == XE_ABSENT) {
            *out = xe_call_nil;
            return XE_CALL_OK;
        }
        if (status != XE_OK)
            return xe_call_of_core(status);
        enum xe_result result =
            xe_call_of_term(xe_term_decode_object(env, &view, use->table->keypos,
                                                  xe_call_key_of(&view, term, e), budget,
                                                  &object));
        if (result != XE_CALL_OK)
            return result;
        status = xe_table_remove(use->table->core, use->slot, key, &version, NULL);
        if (status == XE_OK) {
            *out = enif_make_list_from_array(env, &object, 1);
            return XE_CALL_OK;
        }
        if (status != XE_ABSENT)
            return xe_call_of_core(status);
    }
    return XE_CALL_RETRY;
}

/* The list of what had the key of a term. */
static enum xe_result take_key(ErlNifEnv *env, ERL_NIF_TERM table, ERL_NIF_TERM term,
                               uint64_t budget, ERL_NIF_TERM *out)
{
    struct xe_encoder e;
    struct xe_key key;
    struct xe_use use;
    enum xe_result result = xe_call_open(env, table, XE_NEED_WRITE, term, budget, &use, &e);
    if (result != XE_CALL_OK)
        return result;
    xe_call_key(&key, use.table, term, &e);
    result = xe_kind_is_bag(use.table->kind)
                 ? xe_call_bag_take(env, &use, &key, xe_call_reusable_key(term, &e), budget, out)
                 : take_version(env, &use, &key, term, &e, budget, out);
    xe_call_close(&use, term, &e);
    return result;
}

static enum xe_result take(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                           ERL_NIF_TERM *out)
{
    return take_key(env, argv[0], argv[1], budget, out);
}
XE_CALL_WRITE(take, 2)

/*
 * Each key by itself. What has been taken must not be lost: when a key cannot be taken now, after
 * others were, the result is {Taken, Keys} with what is left to take, and the caller goes on
 * with these.
 */
static enum xe_result take_many(ErlNifEnv *env, const ERL_NIF_TERM argv[], uint64_t budget,
                                ERL_NIF_TERM *out)
{
    struct xe_form form;
    ERL_NIF_TERM key, taken, rest, keys = argv[1], all = xe_call_nil;
    unsigned n;
    enum xe_result result = xe_call_list_length(env, keys, budget, &n);
    if (result == XE_CALL_OK && !form_of(env, argv[0], XE_NEED_WRITE, &form))
        result = XE_CALL_BADARG;
    while (result == XE_CALL_OK && enif_get_list_cell(env, keys, &key, &rest)) {
        result = take_key(env, argv[0], key, budget, &taken);
        if (result == XE_CALL_OK) {
            all = enif_make_list_cell(env, taken, all);
            keys = rest;
        }
    }
    bool stopped = result != XE_CALL_OK && result != XE_CALL_BADARG && all != xe_call_nil;
    if (result != XE_CALL_OK && !stopped)
        return result;
    enif_make_reverse_list(env, all, out);
    if (stopped)
        *out = enif_make_tuple2(env, *out, keys);
    return XE_CALL_OK;
}
XE_CALL_WRITE(take_many, 2)
