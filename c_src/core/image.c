/*
 * image.c - see image.h.
 */
#include "image.h"

#include "leaves.h"
#include "pages.h"
#include "shared.h"

enum {
    RING_MIN = 8,
    UNITS_MIN = 2,       /* of any record */
    RING_SCAN = 12,      /* entries looked at for one that is large enough */
    LITTER_MIN = 64,     /* units of 256 bytes: 16 KiB */
    LITTER_MAX = 4096,   /* 1 MiB */
};

static struct {
    struct xe_image image;
    struct xe_bucket bucket;
} empty = {.image = {.nbuckets = 1, .top = 48, .bottom = 48, .ring_at = 192}};

struct xe_image *const xe_image_empty = &empty.image;

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* --- Making and freeing ------------------------------------------------- */

static uint32_t plan_buckets(const struct xe_image_plan *plan)
{
    return (plan->count + XE_BUCKET_LOAD - 1) / XE_BUCKET_LOAD + (plan->count == 0);
}

static uint32_t plan_ring(uint32_t spare)
{
    return RING_MIN + spare;
}

/* About an eighth of all buckets overflows at the intended load of 16 of 20
 * (Poisson: P(X > 20) = 0.13); small images get the one that is likely to be missing. */
static uint32_t plan_overflow(uint32_t nbuckets)
{
    return nbuckets == 1 ? 0 : 1 + nbuckets / 8;
}

/* The lines of the index: those that come first, and those that are likely to be added. */
static uint32_t plan_index(const struct xe_image_plan *plan, uint32_t *more)
{
    if (plan->ordered)
        return xe_leaves_plan(plan, more);
    uint32_t nb = plan_buckets(plan);
    *more = plan_overflow(nb);
    return nb;
}

size_t xe_image_plan_bytes(const struct xe_image_plan *plan)
{
    uint32_t more, lines = plan_index(plan, &more);
    return sizeof(struct xe_image) + (size_t)(lines + more) * XE_BUCKET_BYTES +
           (size_t)plan->units * XE_UNIT + (size_t)plan_ring(plan->spare) * 4 + XE_READ_SLACK;
}

/* The multiplier that spreads lo..hi over n buckets: floor(n * 2^64 / width),
 * so that the last hash stays below n. */
static uint64_t spread(uint64_t lo, uint64_t hi, uint32_t n)
{
    unsigned __int128 width = (unsigned __int128)(hi - lo) + 1;
    unsigned __int128 mult = ((unsigned __int128)n << 64) / width;
    /* Fewer hashes than buckets: one bucket each. */
    return mult > UINT64_MAX ? UINT64_MAX : (uint64_t)mult;
}

/* Buckets want cache lines: what lies between them and the ring is left over. */
static uint32_t end_of_buckets(const struct xe_image *img)
{
    return img->ring_at / XE_BUCKET_BYTES * XE_BUCKET_BYTES / XE_UNIT;
}

/* What lies at the end of an image: the ring, and before it nothing yet. */
static void set_end(struct xe_image *img, size_t bytes, uint32_t ring_cap)
{
    img->bytes = (uint32_t)bytes;
    img->ring_cap = ring_cap;
    img->ring_head = img->ring_len = 0;
    img->ring_at = (uint32_t)(bytes - XE_READ_SLACK - 4 * (size_t)ring_cap);
    img->bottom = end_of_buckets(img);
}

enum xe_status xe_image_new(const struct xe_image_plan *plan,
                            struct xe_image **out)
{
    size_t want = xe_image_plan_bytes(plan);
    size_t bytes;
    if (want > XE_IMAGE_BYTES_MAX || plan->count > XE_IMAGE_OBJECTS_MAX)
        return XE_LIMIT;
    struct xe_image *img = xe_pages_alloc(want, &bytes);
    if (!img)
        return XE_NOMEM;
    uint32_t more, nb = plan_index(plan, &more);
    memset(img, 0, sizeof *img + (size_t)nb * XE_BUCKET_BYTES);
    img->nbuckets = nb;
    if (plan->ordered) {
        xe_leaves_init(img, plan);
    } else {
        img->lo = plan->lo;
        img->mult = spread(plan->lo, plan->hi, nb);
        img->room = plan->count;
        img->print_shift = (uint16_t)plan->print_shift;
    }
    atomic_init(&img->refs, 1);
    img->top = xe_image_first(img);
    set_end(img, bytes, plan_ring(plan->spare));
    if (plan->ext && !(img->env = xe_cb.env_new())) {
        xe_pages_free(img, bytes);
        return XE_NOMEM;
    }
    xe_core_account(img->bytes);
    *out = img;
    return XE_OK;
}

/* --- Holders ------------------------------------------------------------ */

static void free_image(struct xe_image *img)
{
    if (img->env)
        xe_cb.env_free(img->env);
    xe_pages_free(img, img->bytes);
}

/* Whether this was the last holder, who has to free it. */
static bool is_last(struct xe_image *img)
{
    /* acq_rel: the last one frees after everybody's reads. */
    if (xe_image_is_empty(img) ||
        atomic_fetch_sub_explicit(&img->refs, 1, memory_order_acq_rel) != 1)
        return false;
    xe_core_account(-(int64_t)img->bytes);
    return true;
}

void xe_image_share(struct xe_image *img)
{
    if (xe_image_is_empty(img))
        return;
    /* Once it is shared others may look at this at any time. */
    if (!img->was_shared)
        img->was_shared = true;
    /* Relaxed: who counts up is a holder already. */
    atomic_fetch_add_explicit(&img->refs, 1, memory_order_relaxed);
}

void xe_image_unref(struct xe_image *img)
{
    if (is_last(img))
        free_image(img);
}

static struct xe_image *image_of(struct xe_retired *r)
{
    return (struct xe_image *)((uintptr_t)r - offsetof(struct xe_image, retired));
}

static void free_retired(struct xe_retired *r)
{
    free_image(image_of(r));
}

static void free_retired_with_blobs(struct xe_retired *r)
{
    xe_image_drop_blobs(image_of(r));
    free_image(image_of(r));
}

/* By the last holder: only that one uses what is in the image for it. */
static void retire_whole(struct xe_epoch_slot *slot, struct xe_image *img,
                         void (*free)(struct xe_retired *))
{
    img->retired.free = free;
    img->retired.bytes = img->bytes;
    xe_epoch_retire(slot, &img->retired);
}

void xe_image_let_go(struct xe_epoch_slot *slot, struct xe_image *img)
{
    if (is_last(img))
        retire_whole(slot, img, free_retired_with_blobs);
}

/* What is done with each blob of an image. */
static void each_blob(const struct xe_image *img, void (*f)(struct xe_blob *))
{
    struct xe_image_cursor cursor = {0};
    uint32_t left = img->blobs;
    for (uint32_t off; left && (off = xe_image_next(img, &cursor));) {
        const uint8_t *rec = xe_image_record(img, off);
        uint32_t header = xe_load32(rec);
        if (!(header & XE_REC_BLOB))
            continue;
        f(xe_record_blob(rec, header));
        left--;
    }
}

void xe_image_moved(struct xe_epoch_slot *slot, struct xe_image *img)
{
    if (xe_image_is_shared(img)) {
        each_blob(img, xe_blob_pin);
        /* Relaxed: for sums. */
        atomic_store_explicit(&img->gone, true, memory_order_relaxed);
        xe_image_let_go(slot, img);
    } else if (is_last(img)) {
        retire_whole(slot, img, free_retired);
    }
}

void xe_image_drop(struct xe_image *img, struct xe_image **list)
{
    bool was_shared = img->was_shared;
    if (!is_last(img))
        return;
    if (was_shared) {
        img->retired.next = *list ? &(*list)->retired : NULL;
        *list = img;
        return;
    }
    xe_image_drop_blobs(img);
    free_image(img);
}

void xe_image_free_list(struct xe_image *list)
{
    if (!list)
        return;
    xe_epoch_synchronize();
    for (struct xe_retired *next, *r = &list->retired; r; r = next) {
        next = r->next;
        free_retired_with_blobs(r);
    }
}

void xe_image_set_gone(struct xe_image *img)
{
    if (xe_image_is_empty(img))
        return;
    /* Those of a copy are in what it was copied from, too, so they may be shared where it is not. */
    each_blob(img, xe_blob_set_gone);
    /* Relaxed: for sums. */
    atomic_store_explicit(&img->gone, true, memory_order_relaxed);
}

void xe_image_drop_blobs(struct xe_image *img)
{
    each_blob(img, xe_blob_unpin);
}

bool xe_image_need_env(struct xe_image *img)
{
    return img->env || (img->env = xe_cb.env_new());
}

/* --- Room for records --------------------------------------------------- */

/* Of the first ripe entries one of the right size, else a larger one, whose rest stays. The
 * entry at the head takes the place of one that is used up. */
static uint32_t ring_alloc(struct xe_image *img, uint32_t units, uint64_t now)
{
    uint32_t *larger = NULL;
    uint32_t n = min_u32(img->ring_len, RING_SCAN);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *e = xe_ring_entry(img, i);
        if (!xe_ring_is_ripe(*e, now))
            break;
        if (xe_ring_units(*e) == units) {
            uint32_t off = xe_ring_off(*e);
            *e = *xe_ring_entry(img, 0);
            xe_ring_pop(img);
            return off;
        }
        if (xe_ring_units(*e) > units && !larger)
            larger = e;
    }
    if (!larger)
        return 0;
    uint32_t off = xe_ring_off(*larger), rest = xe_ring_units(*larger) - units;
    if (rest >= UNITS_MIN) {
        *larger = xe_ring_pack(off + units, rest, *larger >> 23);
    } else {
        *larger = *xe_ring_entry(img, 0);
        xe_ring_pop(img);
    }
    return off;
}

bool xe_image_has_retired(const struct xe_image *img)
{
    uint64_t now = xe_epoch_now();
    for (uint32_t i = img->ring_len; i--;)
        if (!xe_ring_is_ripe(*xe_ring_entry(img, i), now))
            return true;
    return false;
}

uint32_t xe_image_alloc_any(struct xe_image *img, uint32_t units)
{
    uint32_t off = img->ring_len ? ring_alloc(img, units, xe_epoch_now()) : 0;
    if (off)
        return off;
    if (units > img->bottom - img->top)
        return 0;
    off = img->top;
    img->top += units;
    return off;
}

void xe_image_unalloc(struct xe_image *img, uint32_t off, uint32_t units)
{
    if (off + units == img->top)
        img->top = off;
    else
        xe_ring_push(img, xe_ring_pack(off, units, xe_epoch_now() - 2));
}

void xe_image_unwrite(struct xe_image *img, uint32_t off)
{
    const uint8_t *rec = xe_image_record(img, off);
    uint32_t header = xe_load32(rec);
    /* Its terms stay in the environment. */
    if (header & XE_REC_EXT)
        img->pinned_dead += xe_record_ext(rec, header).pinned;
    xe_image_unalloc(img, off, xe_record_units(header));
}

static void count_special(struct xe_image *img, const uint8_t *rec, uint32_t header, bool in)
{
    if (XE_LIKELY(!(header & XE_REC_SPECIAL)))
        return;
    if (header & XE_REC_BLOB)
        img->blobs += in ? 1 : -1u;
    if (!(header & XE_REC_EXT))
        return;
    uint32_t units = xe_record_ext(rec, header).pinned;
    if (in) {
        img->pinned_live += units;
    } else {
        img->pinned_live -= units;
        img->pinned_dead += units;
    }
}

void xe_image_count_in(struct xe_image *img, const uint8_t *rec)
{
    uint32_t header = xe_load32(rec);
    img->live += xe_record_units(header);
    count_special(img, rec, header, true);
}

void xe_image_retire(struct xe_image *img, uint32_t off)
{
    const uint8_t *rec = xe_image_record(img, off);
    uint32_t header = xe_load32(rec);
    uint32_t units = xe_record_units(header);
    XE_ASSERT(!xe_image_is_shared(img));
    img->live -= units;
    count_special(img, rec, header, false);
    xe_ring_push(img, xe_ring_pack(off, units, xe_epoch_stamp()));
}

bool xe_image_is_littered(const struct xe_image *img)
{
    return (img->pinned_dead > LITTER_MIN && img->pinned_dead > img->pinned_live) ||
           img->pinned_dead > LITTER_MAX;
}

/* --- The index ---------------------------------------------------------- */

/* First empty place of a bucket, or XE_BUCKET_PLACES. */
static uint32_t free_place(struct xe_bucket *b)
{
    uint32_t i = b->hint;
    while (i < XE_BUCKET_PLACES && b->off[i])
        i++;
    /* Atomic: readers load the word around it. */
    __atomic_store_n(&b->hint, (uint16_t)i, __ATOMIC_RELAXED);
    return i;
}

static uint32_t free_places(const struct xe_bucket *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < XE_BUCKET_PLACES; i++)
        n += !b->off[i];
    return n;
}

uint32_t xe_image_more_index(struct xe_image *img, uint32_t lines)
{
    enum { UNITS = XE_BUCKET_BYTES / XE_UNIT };
    XE_ASSERT(!xe_image_is_shared(img));
    if (img->bottom < img->top + lines * UNITS)
        return 0;
    img->bottom -= lines * UNITS;
    return img->bottom / UNITS;
}

/* Chains a bucket to the last one of its chain. */
static bool link_bucket(struct xe_image *img, struct xe_bucket *last)
{
    uint32_t link = xe_image_more_index(img, 1);
    if (!link)
        return false;
    memset(xe_image_linked(img, link), 0, XE_BUCKET_BYTES);
    /* Release: pairs with the load of `link` in xe_find(). */
    __atomic_store_n(&last->link, (uint16_t)link, __ATOMIC_RELEASE);
    return true;
}

bool xe_image_reserve_places(struct xe_image *img, uint64_t hash, uint32_t n)
{
    struct xe_bucket *b = xe_image_home(img, hash);
    XE_ASSERT(!xe_image_is_empty(img) && !xe_image_is_shared(img));
    for (;;) {
        uint32_t have = n == 1 ? free_place(b) < XE_BUCKET_PLACES : free_places(b);
        if (have >= n)
            return true;
        n -= have;
        if (!b->link && !link_bucket(img, b))
            return false;
        b = xe_image_linked(img, b->link);
    }
}

void xe_image_add(struct xe_image *img, uint64_t hash, uint32_t off)
{
    struct xe_bucket *b = xe_image_home(img, hash);
    uint32_t i;
    XE_ASSERT(!xe_image_is_shared(img));
    while ((i = free_place(b)) == XE_BUCKET_PLACES)
        b = xe_image_linked(img, b->link);
    __atomic_store_n(&b->fp[i], xe_image_print(img, hash), __ATOMIC_RELAXED);
    /* Release: the record and its fingerprint come first. Pairs with the
     * load of the offset in xe_find(). */
    __atomic_store_n(&b->off[i], (uint16_t)off, __ATOMIC_RELEASE);
    /* Relaxed: only one writer, and size sums promise no instant. */
    atomic_store_explicit(&img->count,
                          xe_image_count(img) + 1,
                          memory_order_relaxed);
}

void xe_image_replace(struct xe_place *place, uint32_t off)
{
    /* Release: pairs with the load of the offset in xe_find(). */
    __atomic_store_n(&place->bucket->off[place->index], (uint16_t)off, __ATOMIC_RELEASE);
    place->off = off;
}

void xe_image_remove(struct xe_image *img, struct xe_place *place)
{
    XE_ASSERT(!xe_image_is_shared(img));
    /* Release: a reader that misses the object has seen what came before. */
    __atomic_store_n(&place->bucket->off[place->index], 0, __ATOMIC_RELEASE);
    if (place->index < place->bucket->hint)
        __atomic_store_n(&place->bucket->hint, (uint16_t)place->index, __ATOMIC_RELAXED);
    atomic_store_explicit(&img->count,
                          xe_image_count(img) - 1,
                          memory_order_relaxed);
}

/* --- Building ----------------------------------------------------------- */

static void move_handles(uint8_t *rec, uint32_t header, void *env)
{
    struct xe_ext x = xe_record_ext(rec, header);
    uint8_t *h = rec + xe_record_handles(&x, header);
    for (uint32_t i = 0; i < x.n; i++, h += 8) {
        uint64_t moved = xe_cb.ext_move(env, xe_load64(h));
        memcpy(h, &moved, sizeof moved);
    }
}

/* The bucket of `home`'s chain that has a place left; NULL: no room for one more. In a new
 * image places are taken in order, so the hint is their number. */
static struct xe_bucket *bucket_with_place(struct xe_image *img, struct xe_bucket *home)
{
    struct xe_bucket *b = home;
    while (b->hint == XE_BUCKET_PLACES) {
        if (!b->link && !link_bucket(img, b))
            return NULL;
        b = xe_image_linked(img, b->link);
    }
    return b;
}

/* Copies a record by pieces of 16 bytes, for which there is room on both sides: a call of
 * memcpy() would cost more than the copy of a small record. */
static inline void copy_pieces(uint8_t *to, const uint8_t *rec, size_t bytes)
{
    memcpy(to, rec, 16);
    for (size_t i = 16; i < bytes; i += 16)
        memcpy(to + i, rec + i, 16);
}

/* What of a record that was copied into an image is not in its bytes. */
static void adopt(struct xe_image *img, uint8_t *rec, uint32_t header)
{
    if (header & XE_REC_EXT)
        move_handles(rec, header, img->env);
    count_special(img, rec, header, true);
}

/* Copies a record to the units at `top`, of those before `bottom`. False: there is no room. */
static inline bool copy_in(struct xe_image *img, const uint8_t *rec, uint32_t header,
                           uint32_t top, uint32_t bottom)
{
    enum { PIECE_UNITS = 16 / XE_UNIT };
    uint32_t units = xe_record_units(header);
    uint8_t *to = xe_image_record(img, top);
    if (XE_LIKELY(units + PIECE_UNITS <= bottom - top))
        copy_pieces(to, rec, (size_t)units * XE_UNIT);
    else if (units <= bottom - top)
        memcpy(to, rec, (size_t)units * XE_UNIT);
    else
        return false;
    if (XE_UNLIKELY(header & XE_REC_SPECIAL))
        adopt(img, to, header);
    return true;
}

/* The same for an ordered image: entries come in the order of keys. */
static bool fill_ordered(struct xe_image *img, const struct xe_image_entry *entries, uint32_t n)
{
    uint16_t offs[XE_IMAGE_OBJECTS_MAX];
    uint32_t first = img->top, top = first;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t header = xe_load32(entries[i].rec);
        if (!copy_in(img, entries[i].rec, header, top, img->bottom))
            return false;
        offs[i] = (uint16_t)top;
        top += xe_record_units(header);
    }
    img->top = top;
    img->live = top - first;
    atomic_store_explicit(&img->count, n, memory_order_relaxed);
    xe_leaves_fill(img, offs, n);
    return true;
}

bool xe_image_fill(struct xe_image *img, const struct xe_image_entry *entries, uint32_t n)
{
    if (img->ordered)
        return fill_ordered(img, entries, n);
    struct xe_bucket *homes = xe_image_buckets(img);
    uint64_t lo = img->lo, mult = img->mult;
    uint32_t print_shift = img->print_shift;
    uint32_t first = img->top, top = first, bottom = img->bottom;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *rec = entries[i].rec;
        uint64_t hash = entries[i].hash;
        uint32_t header = xe_load32(rec), units = xe_record_units(header);
        struct xe_bucket *b =
            &homes[(uint64_t)(((unsigned __int128)(hash - lo) * mult) >> 64)];
        if (XE_UNLIKELY(b->hint == XE_BUCKET_PLACES)) {
            img->top = top;
            if (!(b = bucket_with_place(img, b)))
                return false;
            bottom = img->bottom;
        }
        if (XE_UNLIKELY(!copy_in(img, rec, header, top, bottom)))
            return false;
        b->fp[b->hint] = (uint8_t)(hash >> print_shift);
        b->off[b->hint++] = (uint16_t)top;
        top += units;
    }
    img->top = top;
    img->live = top - first;
    atomic_store_explicit(&img->count, n, memory_order_relaxed);
    return true;
}

/* Chained buckets have moved by `by` units of 64 bytes: so do all links. */
static void move_links(struct xe_image *img, uint32_t by)
{
    if (img->ordered) {
        xe_leaves_move(img, by);
        return;
    }
    for (uint32_t i = 0; i < img->nbuckets; i++)
        for (struct xe_bucket *b = xe_image_buckets(img) + i; b->link;
             b = xe_image_linked(img, b->link))
            b->link = (uint16_t)(b->link + by);
}

/* What is retired in `from` is free in its copy: nobody reads there yet. */
static void copy_ring(struct xe_image *to, const struct xe_image *from)
{
    uint64_t ripe = xe_epoch_now() - 2;
    for (uint32_t i = 0; i < from->ring_len; i++) {
        uint32_t e = *xe_ring_entry(from, i);
        xe_ring_push(to, xe_ring_pack(xe_ring_off(e), xe_ring_units(e), ripe));
    }
}

/* Units of the buckets that are chained to others. */
static uint32_t chained_units(const struct xe_image *img)
{
    return end_of_buckets(img) - img->bottom;
}

size_t xe_image_stretch_bytes(const struct xe_image *img, uint32_t units, uint32_t spare)
{
    return (size_t)(img->top + units + chained_units(img)) * XE_UNIT + XE_BUCKET_BYTES +
           (size_t)plan_ring(spare) * 4 + XE_READ_SLACK;
}

enum xe_status xe_image_stretch(const struct xe_image *img, uint32_t units, uint32_t spare,
                                struct xe_image **out)
{
    size_t bytes, want = xe_image_stretch_bytes(img, units, spare);
    uint32_t chained = chained_units(img);
    XE_ASSERT(!img->env && !xe_image_is_empty(img));
    if (want > XE_IMAGE_BYTES_MAX)
        return XE_LIMIT;
    struct xe_image *to = xe_pages_alloc(want, &bytes);
    if (!to)
        return XE_NOMEM;
    *to = (struct xe_image){.lo = img->lo, .mult = img->mult, .nbuckets = img->nbuckets,
                            .refs = 1, .print_shift = img->print_shift,
                            .ordered = img->ordered, .top = img->top, .count = xe_image_count(img),
                            .room = img->room, .live = img->live, .blobs = img->blobs};
    memcpy(to + 1, img + 1, (size_t)img->top * XE_UNIT - sizeof *img);
    set_end(to, bytes, plan_ring(spare));
    to->bottom -= chained;
    memcpy(xe_image_record(to, to->bottom), xe_image_record(img, img->bottom),
           (size_t)chained * XE_UNIT);
    move_links(to, (to->bottom - img->bottom) / (XE_BUCKET_BYTES / XE_UNIT));
    copy_ring(to, img);
    xe_core_account(to->bytes);
    *out = to;
    return XE_OK;
}

/* The terms of all records of a copy: they are still in the environment of the other one. */
static void move_all_handles(struct xe_image *img)
{
    struct xe_image_cursor cursor = {0};
    for (uint32_t off; (off = xe_image_next(img, &cursor));) {
        uint8_t *rec = xe_image_record(img, off);
        uint32_t header = xe_load32(rec);
        if (header & XE_REC_EXT)
            move_handles(rec, header, img->env);
    }
}

enum xe_status xe_image_copy(const struct xe_image *img, struct xe_image **out)
{
    size_t bytes;
    struct xe_image *to = xe_pages_alloc(img->bytes, &bytes);
    if (!to)
        return XE_NOMEM;
    XE_ASSERT(bytes == img->bytes);
    *to = (struct xe_image){.lo = img->lo, .mult = img->mult, .nbuckets = img->nbuckets,
                            .refs = 1, .print_shift = img->print_shift,
                            .ordered = img->ordered, .top = img->top, .count = xe_image_count(img),
                            .room = img->room, .live = img->live, .sparse = img->sparse,
                            .pinned_live = img->pinned_live, .blobs = img->blobs};
    if (img->pinned_live && !(to->env = xe_cb.env_new())) {
        xe_pages_free(to, bytes);
        return XE_NOMEM;
    }
    memcpy(to + 1, img + 1, (size_t)img->top * XE_UNIT - sizeof *img);
    set_end(to, bytes, img->ring_cap);
    to->bottom = img->bottom;
    memcpy(xe_image_record(to, to->bottom), xe_image_record(img, img->bottom),
           (size_t)chained_units(img) * XE_UNIT);
    copy_ring(to, img);
    if (to->env)
        move_all_handles(to);
    xe_core_account(to->bytes);
    *out = to;
    return XE_OK;
}

uint32_t xe_image_next(const struct xe_image *img, struct xe_image_cursor *cursor)
{
    if (img->ordered)
        return xe_leaves_next(img, cursor);
    if (!cursor->bucket)
        cursor->bucket = xe_image_buckets(img);
    for (;;) {
        while (cursor->place < XE_BUCKET_PLACES) {
            /* Acquire: pairs with the publishing store, as in xe_find(). */
            uint32_t off =
                __atomic_load_n(&cursor->bucket->off[cursor->place++], __ATOMIC_ACQUIRE);
            if (off)
                return off;
        }
        uint32_t link = __atomic_load_n(&cursor->bucket->link, __ATOMIC_ACQUIRE);
        cursor->place = 0;
        if (link) {
            cursor->bucket = xe_image_linked(img, link);
        } else if (++cursor->home < img->nbuckets) {
            cursor->bucket = xe_image_buckets(img) + cursor->home;
        } else {
            cursor->home--;
            cursor->place = XE_BUCKET_PLACES;
            return 0;
        }
    }
}
