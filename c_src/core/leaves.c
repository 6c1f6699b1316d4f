/*
 * leaves.c - see leaves.h.
 */
#include "leaves.h"

#include <stdio.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "order_internal.h"

enum {
    HEAD_BYTES = 4,
    HEAD_NONE = INT32_MAX, /* behind the last one of a column */
    SKIP_MAX = XE_ORDER_KEY_STORED - 16, /* fits a cell; heads are made of bytes that a record has at hand */
    HEADS_STEP = 16,                     /* that are compared at once */
    STEP_LINES = 2 * HEADS_STEP * sizeof(uint32_t) / XE_BUCKET_BYTES, /* of the table, with cells */
    LEAF_MEANT = 20, /* entries of a leaf, to tell how many there may be */
};

_Static_assert(XE_IMAGE_BYTES_MAX / XE_BUCKET_BYTES <= 1 << 16 && SKIP_MAX < 1 << 8 &&
                   XE_LEAF_PLACES < 1 << 8,
               "a leaf, what its heads leave out and its count fit a cell");
_Static_assert((int)XE_LEAF_FILL <= (int)XE_LEAF_PLACES, "there is room for what is built");

/* --- The parts of an image ------------------------------------------------ */

static int32_t *table_heads(const struct xe_image *img)
{
    return (int32_t *)((uintptr_t)img + sizeof *img);
}

static uint32_t *table_cells(const struct xe_image *img)
{
    return (uint32_t *)table_heads(img) + img->cap_leaves;
}

static uint32_t cell_pack(uint32_t line, uint32_t skip, uint32_t count)
{
    return line << 16 | skip << 8 | count;
}

static uint32_t cell_line(uint32_t cell)
{
    return cell >> 16;
}

static uint32_t cell_skip(uint32_t cell)
{
    return cell >> 8 & 0xff;
}

static uint32_t cell_count(uint32_t cell)
{
    return cell & 0xff;
}

static struct xe_sorted_leaf *leaf_at(const struct xe_image *img, uint32_t line)
{
    return (struct xe_sorted_leaf *)((uintptr_t)img + (uintptr_t)line * XE_BUCKET_BYTES);
}

static struct xe_sorted_leaf *cell_leaf(const struct xe_image *img, uint32_t cell)
{
    return leaf_at(img, cell_line(cell));
}

/* Acquire and release everywhere: a reader that sees a change sees the odd version too, and its
 * second look at the version comes after all others (xe_segment_changes()). */
static inline uint32_t load32(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store32(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline int32_t load_head(const int32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store_head(int32_t *p, int32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static inline uint32_t load16(const uint16_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store16(uint16_t *p, uint32_t v)
{
    __atomic_store_n(p, (uint16_t)v, __ATOMIC_RELEASE);
}

static inline uint32_t n_leaves(const struct xe_image *img)
{
    return atomic_load_explicit(&img->n_leaves, memory_order_acquire);
}

static inline uint32_t table_skip(const struct xe_image *img)
{
    return atomic_load_explicit(&img->skip, memory_order_acquire);
}

uint32_t xe_leaves_count(const struct xe_image *img, uint32_t leaf)
{
    return leaf < n_leaves(img) ? cell_count(load32(table_cells(img) + leaf)) : 0;
}

/* --- Keys ----------------------------------------------------------------- */

/* The head of these four bytes. */
static inline int32_t make_head(uint32_t bytes)
{
    return (int32_t)(bytes ^ (uint32_t)INT32_MIN);
}

static inline int32_t head_of(const uint8_t *bytes, size_t len, uint32_t skip)
{
    if (XE_LIKELY(len >= skip + HEAD_BYTES))
        return make_head(__builtin_bswap32(xe_load32(bytes + skip)));
    return make_head((uint32_t)(xe_order_head(bytes, len, skip) >> 32));
}

static inline int32_t key_head(const struct xe_key *key, uint32_t skip)
{
    if (skip == 0)
        return make_head((uint32_t)(key->hash >> 32));
    return make_head((uint32_t)(xe_order_key_head(key, skip) >> 32));
}

static inline int32_t record_head(const uint8_t *rec, uint32_t skip)
{
    return head_of(rec + XE_HDR_BYTES, xe_record_klen(xe_load32(rec)), skip);
}

/* How many bytes two keys have in common, of the first `most`. */
static uint32_t common(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
                       uint32_t most)
{
    size_t n = a_len < b_len ? a_len : b_len;
    uint32_t i = 0;
    n = n < most ? n : most;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

static uint32_t common_with(const struct xe_key *key, const uint8_t *rec, uint32_t most)
{
    return common(key->bytes, key->klen, rec + XE_HDR_BYTES, xe_record_klen(xe_load32(rec)),
                  most);
}

static uint32_t common_of(const uint8_t *a, const uint8_t *b)
{
    return common(a + XE_HDR_BYTES, xe_record_klen(xe_load32(a)), b + XE_HDR_BYTES,
                  xe_record_klen(xe_load32(b)), SKIP_MAX);
}

/* What heads may leave out for keys from `first` to `last`: nothing if they are short. */
static uint32_t skip_of(const uint8_t *first, const uint8_t *last)
{
    bool is_short = xe_record_klen(xe_load32(first)) <= HEAD_BYTES &&
                    xe_record_klen(xe_load32(last)) <= HEAD_BYTES;
    return is_short ? 0 : common_of(first, last);
}

static int sign(int c)
{
    return (c > 0) - (c < 0);
}

static __attribute__((noinline)) int compare_slow(const struct xe_key *key, const uint8_t *rec)
{
    struct xe_order_key_at at = xe_order_record_key(rec);
    return sign(xe_order_compare(key, &at));
}

int xe_leaves_compare(const struct xe_key *key, const uint8_t *rec)
{
    uint32_t header = xe_load32(rec);
    size_t klen = xe_record_klen(header);
    if (XE_UNLIKELY(header & XE_HDR_SLOW_KEY))
        return compare_slow(key, rec);
    int c = memcmp(key->full, rec + XE_HDR_BYTES, key->full_len < klen ? key->full_len : klen);
    return c ? sign(c) : (key->full_len > klen) - (key->full_len < klen);
}

int xe_leaves_compare_records(const uint8_t *a, const uint8_t *b)
{
    struct xe_view v;
    struct xe_key key;
    uint64_t handle;
    xe_record_view(a, &v);
    xe_key_of_view(&key, &v, &handle);
    return xe_leaves_compare(&key, b);
}

/* --- Searching ------------------------------------------------------------ */

/* How many heads of a column are below `head`: of the first n, which are sorted; behind them are
 * HEAD_NONE, to the end of the last of `steps`. In a state that is not one it may be any number up
 * to n. */
static inline __attribute__((always_inline)) uint32_t
lower(const int32_t *heads, uint32_t n, uint32_t steps, int32_t head)
{
#if defined(__SSE2__) && !XE_EPOCH_TSAN
    /* Each head is read whole by any load, and x86 keeps loads in order; the barrier keeps the
     * compiler to it. All of them are compared, which takes no branch, and loads their lines
     * together. */
    const __m128i *at = (const __m128i *)(const void *)heads;
    __m128i probe = _mm_set1_epi32(head), sum = _mm_setzero_si128();
#pragma GCC unroll 2
    for (uint32_t i = 0; i < steps; i++, at += HEADS_STEP / 4) {
        __m128i a = _mm_cmpgt_epi32(probe, _mm_load_si128(at));
        __m128i b = _mm_cmpgt_epi32(probe, _mm_load_si128(at + 1));
        __m128i c = _mm_cmpgt_epi32(probe, _mm_load_si128(at + 2));
        __m128i d = _mm_cmpgt_epi32(probe, _mm_load_si128(at + 3));
        sum = _mm_sub_epi32(sum, _mm_add_epi32(_mm_add_epi32(a, b), _mm_add_epi32(c, d)));
    }
    atomic_signal_fence(memory_order_acq_rel);
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    uint32_t below = (uint32_t)_mm_cvtsi128_si32(sum);
    return below < n ? below : n;
#else
    const int32_t *at = heads;
    (void)steps;
    if (n == 0)
        return 0;
    for (uint32_t rest = n; rest > 1;) {
        uint32_t half = rest / 2;
        at += load_head(at + half - 1) < head ? half : 0;
        rest -= half;
    }
    return (uint32_t)(at - heads) + (load_head(at) < head);
#endif
}

/* Of a table one step is looked at: the last one whose first head is below. */
static inline uint32_t lower_in_table(const struct xe_image *img, uint32_t n, int32_t head)
{
    const int32_t *heads = table_heads(img);
    uint32_t first = 0;
    for (uint32_t i = HEADS_STEP; i < n; i += HEADS_STEP)
        first += load_head(heads + i) < head ? HEADS_STEP : 0;
    return first + lower(heads + first, n - first, 1, head);
}

static inline uint32_t lower_in_leaf(const struct xe_sorted_leaf *leaf, uint32_t n, int32_t head)
{
    return lower(leaf->head, n, XE_LEAF_HEADS / HEADS_STEP, head);
}

/* A search: for the first key that is above the given one, or that is not below it. */
struct search {
    const struct xe_image *img;
    const struct xe_key *key;
    int edge;   /* what stands behind is a record against which the key's sign is below this */
    bool exact; /* the record before what was found has the key */
};

static inline bool stands_behind(struct search *s, const uint8_t *rec, bool *exact)
{
    int c = xe_leaves_compare(s->key, rec);
    *exact = c == 0;
    return c < s->edge;
}

/* Of the leaves [low, end), whose heads are the key's, the first one that stands behind. */
static __attribute__((noinline)) uint32_t search_tied_leaves(struct search *s, uint32_t low,
                                                             uint32_t end)
{
    while (low < end) {
        uint32_t middle = low + (end - low) / 2, cell = load32(table_cells(s->img) + middle);
        bool exact;
        if (cell_count(cell) &&
            stands_behind(s, xe_image_record(s->img, load16(cell_leaf(s->img, cell)->off)),
                          &exact))
            end = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The leaf that the place is in: the last one whose first record does not stand behind. */
static inline __attribute__((always_inline)) uint32_t
route(const struct xe_image *img, const struct xe_key *key, int edge, uint32_t n)
{
    int32_t head = key_head(key, table_skip(img));
    uint32_t low = lower_in_table(img, n, head);
    if (XE_UNLIKELY(low < n && load_head(table_heads(img) + low) == head)) {
        struct search s = {.img = img, .key = key, .edge = edge};
        low = search_tied_leaves(&s, low,
                                 head == HEAD_NONE ? n : lower_in_table(img, n, head + 1));
    }
    return low ? low - 1 : 0;
}

static inline void prefetch_leaf(const struct xe_sorted_leaf *leaf)
{
#pragma GCC unroll 3
    for (uint32_t i = 0; i < XE_LEAF_LINES; i++)
        __builtin_prefetch((const char *)leaf + (size_t)i * XE_CACHE_LINE);
}

/* Of the entries [low, end) of a leaf, whose heads are the key's, the first that stands behind. */
static __attribute__((noinline)) uint32_t search_tied(struct search *s,
                                                      const struct xe_sorted_leaf *leaf,
                                                      uint32_t low, uint32_t end)
{
    while (low < end) {
        uint32_t middle = low + (end - low) / 2;
        bool exact;
        if (stands_behind(s, xe_image_record(s->img, load16(leaf->off + middle)), &exact)) {
            end = middle;
        } else {
            low = middle + 1;
            s->exact = exact;
        }
    }
    return low;
}

/* The place in a leaf: the first record that stands behind, or the end. */
static inline __attribute__((always_inline)) uint32_t search_leaf(struct search *s, uint32_t cell)
{
    const struct xe_sorted_leaf *leaf = cell_leaf(s->img, cell);
    uint32_t count = cell_count(cell);
    int32_t head = key_head(s->key, cell_skip(cell));
    uint32_t low = lower_in_leaf(leaf, count, head);
    if (low == count || load_head(leaf->head + low) != head)
        return low;
    /* Mostly there is one such head, and the key is there. */
    uint32_t end = low + 1;
    if (XE_UNLIKELY(end < count && load_head(leaf->head + end) == head))
        end = head == HEAD_NONE ? count : lower_in_leaf(leaf, count, head + 1);
    return search_tied(s, leaf, low, end);
}

/* Heads have told the place of a key as if it began like the others. If it does not, it stands
 * before all of the leaf, or of the image, or behind. */
static __attribute__((noinline)) void correct(struct search *s, uint32_t cell, uint32_t n,
                                              struct xe_place *out)
{
    const struct xe_sorted_leaf *leaf = cell_leaf(s->img, cell);
    uint32_t all = table_skip(s->img), skip = cell_skip(cell), count = cell_count(cell);
    uint32_t most = all > skip ? all : skip;
    if (count == 0)
        return;
    uint32_t i = out->index < count ? out->index : count - 1;
    const uint8_t *rec = xe_image_record(s->img, load16(leaf->off + i));
    uint32_t same = common_with(s->key, rec, most);
    if (XE_LIKELY(same == most))
        return;
    bool below = xe_leaves_compare(s->key, rec) < 0;
    if (same < all)
        out->leaf = below ? 0 : n - 1;
    if (same < all && !below)
        count = cell_count(load32(table_cells(s->img) + out->leaf));
    if (same < all || same < skip)
        out->index = below ? 0 : count;
}

static inline void search(struct search *s, struct xe_place *out)
{
    uint32_t n = n_leaves(s->img);
    s->exact = false;
    out->leaf = out->index = out->off = 0;
    if (XE_UNLIKELY(n == 0))
        return;
    out->leaf = route(s->img, s->key, s->edge, n);
    uint32_t cell = load32(table_cells(s->img) + out->leaf);
    prefetch_leaf(cell_leaf(s->img, cell));
    out->index = search_leaf(s, cell);
    if (!s->exact && (cell_skip(cell) || table_skip(s->img)))
        correct(s, cell, n, out);
}

/* Turns what was found behind a key into the key's own place. */
static bool own_place(struct search *s, struct xe_place *out)
{
    if (!s->exact)
        return false;
    out->index--;
    out->off = load16(cell_leaf(s->img, load32(table_cells(s->img) + out->leaf))->off + out->index);
    return true;
}

/* Whether a record has the key. */
static inline bool has_key(const uint8_t *rec, const struct xe_key *key)
{
    uint32_t header = xe_load32(rec);
    if (XE_UNLIKELY((header | key->flags) & XE_HDR_SLOW_KEY))
        return compare_slow(key, rec) == 0;
    return xe_record_klen(header) == key->klen && xe_order_is_bytes(key, rec + XE_HDR_BYTES);
}

static __attribute__((noinline)) bool find_slowly(const struct xe_image *img,
                                                  const struct xe_key *key, struct xe_place *out)
{
    struct search s = {.img = img, .key = key, .edge = 0};
    search(&s, out);
    return own_place(&s, out);
}

/* Where a key is as a rule, if it is there: the first entry with its head. */
struct guess {
    uint32_t leaf, cell, index;
    uint32_t off; /* 0: there is no such entry */
};

static inline __attribute__((always_inline)) struct guess
guess(const struct xe_image *img, const struct xe_key *key, uint32_t n)
{
    struct guess g = {.leaf = route(img, key, 0, n)};
    g.cell = load32(table_cells(img) + g.leaf);
    const struct xe_sorted_leaf *leaf = cell_leaf(img, g.cell);
    prefetch_leaf(leaf);
    uint32_t count = cell_count(g.cell);
    int32_t head = key_head(key, cell_skip(g.cell));
    g.index = lower_in_leaf(leaf, count, head);
    if (XE_LIKELY(g.index < count && load_head(leaf->head + g.index) == head))
        g.off = load16(leaf->off + g.index);
    return g;
}

bool xe_leaves_find(const struct xe_image *img, const struct xe_key *key, struct xe_place *out)
{
    uint32_t n = n_leaves(img);
    *out = (struct xe_place){0};
    if (XE_UNLIKELY(n == 0))
        return false;
    struct guess g = guess(img, key, n);
    out->leaf = g.leaf;
    out->index = g.index;
    if (XE_LIKELY(g.off) ? has_key(xe_image_record(img, g.off), key)
                         : (cell_skip(g.cell) | table_skip(img)) == 0) {
        out->off = g.off;
        return g.off != 0;
    }
    return find_slowly(img, key, out);
}

uint32_t xe_leaves_lookup(const struct xe_image *img, const struct xe_key *key)
{
    struct xe_place place;
    uint32_t n = n_leaves(img);
    if (XE_UNLIKELY(n == 0))
        return 0;
    struct guess g = guess(img, key, n);
    if (XE_LIKELY(!g.off || has_key(xe_image_record(img, g.off), key)))
        return g.off;
    return find_slowly(img, key, &place) ? place.off : 0;
}

void xe_leaves_bound(const struct xe_image *img, const struct xe_key *key, bool behind,
                     struct xe_place *out)
{
    struct search s = {.img = img, .key = key, .edge = behind ? 0 : 1};
    search(&s, out);
}

/* --- Going along ------------------------------------------------------------ */

void xe_leaves_edge(const struct xe_image *img, bool end, struct xe_place *out)
{
    uint32_t n = n_leaves(img);
    *out = (struct xe_place){0};
    if (end && n) {
        out->leaf = n - 1;
        out->index = cell_count(load32(table_cells(img) + n - 1));
    }
}

uint32_t xe_leaves_forward(const struct xe_image *img, struct xe_place *place)
{
    for (uint32_t n = n_leaves(img); place->leaf < n; place->leaf++, place->index = 0) {
        uint32_t cell = load32(table_cells(img) + place->leaf);
        if (place->index < cell_count(cell))
            return load16(cell_leaf(img, cell)->off + place->index++);
    }
    return 0;
}

uint32_t xe_leaves_backward(const struct xe_image *img, struct xe_place *place)
{
    if (place->leaf >= n_leaves(img))
        return 0;
    for (;;) {
        uint32_t cell = load32(table_cells(img) + place->leaf), count = cell_count(cell);
        if (place->index > count)
            place->index = count;
        if (place->index)
            return load16(cell_leaf(img, cell)->off + --place->index);
        if (place->leaf == 0)
            return 0;
        place->leaf--;
        place->index = XE_LEAF_PLACES;
    }
}

uint32_t xe_leaves_rank(const struct xe_image *img, const struct xe_place *place)
{
    uint32_t rank = place->index;
    for (uint32_t i = 0, n = n_leaves(img); i < place->leaf && i < n; i++)
        rank += cell_count(load32(table_cells(img) + i));
    return rank;
}

void xe_leaves_nth(const struct xe_image *img, uint32_t i, struct xe_place *out)
{
    uint32_t n = n_leaves(img);
    *out = (struct xe_place){.index = i};
    for (; out->leaf < n; out->leaf++) {
        uint32_t count = cell_count(load32(table_cells(img) + out->leaf));
        if (out->index < count)
            return;
        out->index -= count;
    }
}

uint32_t xe_leaves_next(const struct xe_image *img, struct xe_image_cursor *cursor)
{
    struct xe_place place = {.leaf = cursor->home, .index = cursor->place};
    uint32_t off = xe_leaves_forward(img, &place);
    cursor->home = place.leaf;
    cursor->place = place.index;
    return off;
}

/* --- Building --------------------------------------------------------------- */

uint32_t xe_leaves_plan(const struct xe_image_plan *plan, uint32_t *more)
{
    uint32_t most = plan->count / LEAF_MEANT + plan->leaves / 8 + plan->more_leaves + 4;
    uint32_t lines = (most + HEADS_STEP - 1) / HEADS_STEP * STEP_LINES;
    *more = plan->leaves / 8 * XE_LEAF_LINES;
    return lines + plan->leaves * XE_LEAF_LINES;
}

void xe_leaves_init(struct xe_image *img, const struct xe_image_plan *plan)
{
    uint32_t lines = img->nbuckets - plan->leaves * XE_LEAF_LINES;
    img->ordered = true;
    img->cap_leaves = (uint16_t)(lines / STEP_LINES * HEADS_STEP);
    img->free_leaf = 0;
    atomic_init(&img->n_leaves, 0);
    atomic_init(&img->skip, 0);
    img->last = 0;
    for (uint32_t i = 0; i < img->cap_leaves; i++)
        table_heads(img)[i] = HEAD_NONE;
    for (uint32_t i = plan->leaves; i-- > 0;) {
        uint32_t line = sizeof *img / XE_BUCKET_BYTES + lines + i * XE_LEAF_LINES;
        leaf_at(img, line)->next = img->free_leaf;
        img->free_leaf = (uint16_t)line;
    }
}

/* A leaf out of the free list, in which there is one. */
static uint32_t take_leaf(struct xe_image *img)
{
    uint32_t line = img->free_leaf;
    XE_ASSERT(line);
    img->free_leaf = leaf_at(img, line)->next;
    for (uint32_t i = 0; i < XE_LEAF_HEADS; i++)
        store_head(leaf_at(img, line)->head + i, HEAD_NONE);
    return line;
}

static void set_heads(const struct xe_image *img, struct xe_sorted_leaf *leaf, uint32_t count,
                      uint32_t skip)
{
    for (uint32_t i = 0; i < count; i++)
        store_head(leaf->head + i, record_head(xe_image_record(img, leaf->off[i]), skip));
}

static const uint8_t *first_record(const struct xe_image *img, uint32_t leaf)
{
    return xe_image_record(img, cell_leaf(img, table_cells(img)[leaf])->off[0]);
}

static void set_table_heads(struct xe_image *img, uint32_t skip)
{
    atomic_store_explicit(&img->skip, (uint16_t)skip, memory_order_release);
    for (uint32_t i = 0, n = n_leaves(img); i < n; i++)
        if (cell_count(table_cells(img)[i]))
            store_head(table_heads(img) + i, record_head(first_record(img, i), skip));
}

/* Leaves in the free list, but not more than `most`. */
static uint32_t count_free(const struct xe_image *img, uint32_t most)
{
    uint32_t n = 0;
    for (uint32_t line = img->free_leaf; line && n < most; line = leaf_at(img, line)->next)
        n++;
    return n;
}

void xe_leaves_fill(struct xe_image *img, const uint16_t *offs, uint32_t n)
{
    uint32_t leaves = count_free(img, n), done = 0;
    for (uint32_t j = 0; j < leaves; j++) {
        uint32_t line = take_leaf(img), count = (n - done) / (leaves - j);
        struct xe_sorted_leaf *leaf = leaf_at(img, line);
        memcpy(leaf->off, offs + done, count * sizeof *offs);
        uint32_t skip = skip_of(xe_image_record(img, offs[done]),
                                xe_image_record(img, offs[done + count - 1]));
        set_heads(img, leaf, count, skip);
        table_cells(img)[j] = cell_pack(line, skip, count);
        done += count;
    }
    atomic_store_explicit(&img->n_leaves, (uint16_t)leaves, memory_order_relaxed);
    if (n)
        set_table_heads(img, skip_of(xe_image_record(img, offs[0]),
                                     xe_image_record(img, offs[n - 1])));
}

void xe_leaves_move(struct xe_image *img, uint32_t by)
{
    uint32_t behind = sizeof *img / XE_BUCKET_BYTES + img->nbuckets;
    for (uint32_t i = 0, n = n_leaves(img); i < n; i++) {
        uint32_t cell = table_cells(img)[i];
        if (cell_line(cell) >= behind)
            table_cells(img)[i] = cell + (by << 16);
    }
    for (uint16_t *link = &img->free_leaf; *link; link = &leaf_at(img, *link)->next)
        if (*link >= behind)
            *link = (uint16_t)(*link + by);
}

/* --- Writing ---------------------------------------------------------------- */

bool xe_leaves_reserve(struct xe_image *img, uint32_t n)
{
    XE_ASSERT(!xe_image_is_shared(img));
    if (xe_image_is_empty(img) || n_leaves(img) + n > img->cap_leaves)
        return false;
    for (uint32_t have = count_free(img, n); have < n; have++) {
        uint32_t line = xe_image_more_index(img, XE_LEAF_LINES);
        if (!line)
            return false;
        leaf_at(img, line)->next = img->free_leaf;
        img->free_leaf = (uint16_t)line;
    }
    return true;
}

/* Makes the table longer by a leaf at place j, with this many entries. Whoever meets it has its
 * head as well, if the table's own is up to date. */
static void enter_leaf(struct xe_image *img, uint32_t j, uint32_t cell, int32_t head)
{
    int32_t *heads = table_heads(img);
    uint32_t *cells = table_cells(img), n = n_leaves(img);
    for (uint32_t i = n; i > j; i--) {
        store_head(heads + i, heads[i - 1]);
        store32(cells + i, cells[i - 1]);
    }
    store_head(heads + j, head);
    store32(cells + j, cell);
    atomic_store_explicit(&img->n_leaves, (uint16_t)(n + 1), memory_order_release);
}

static void leave_leaf(struct xe_image *img, uint32_t j)
{
    int32_t *heads = table_heads(img);
    uint32_t *cells = table_cells(img), n = n_leaves(img);
    uint32_t line = cell_line(cells[j]);
    for (uint32_t i = j; i + 1 < n; i++) {
        store_head(heads + i, heads[i + 1]);
        store32(cells + i, cells[i + 1]);
    }
    store_head(heads + n - 1, HEAD_NONE);
    atomic_store_explicit(&img->n_leaves, (uint16_t)(n - 1), memory_order_release);
    leaf_at(img, line)->next = img->free_leaf;
    img->free_leaf = (uint16_t)line;
}

/* Where a full leaf is cut for a key at place i: behind or before the record that was inserted
 * last, if the key is its neighbour, so that keys which come in order leave full leaves behind. The
 * other part, where keys may still come, has half of the leaf or less. */
static uint32_t cut_at(const struct xe_image *img, const struct xe_sorted_leaf *leaf, uint32_t i)
{
    bool rising = i > XE_LEAF_SPLIT && leaf->off[i - 1] == img->last;
    bool falling = i < XE_LEAF_SPLIT && leaf->off[i] == img->last;
    return rising || falling ? i : XE_LEAF_SPLIT;
}

/* Splits the full leaf of a place, or makes an empty one beside it; *place is then the same
 * place in a leaf that has room. The head of an empty leaf is the caller's to set. */
static void split_leaf(struct xe_image *img, struct xe_place *place)
{
    uint32_t *cells = table_cells(img), line = take_leaf(img);
    uint32_t cell = cells[place->leaf];
    struct xe_sorted_leaf *from = cell_leaf(img, cell), *to = leaf_at(img, line);
    uint32_t cut = cut_at(img, from, place->index), n = XE_LEAF_PLACES - cut;
    if (cut == 0) {
        enter_leaf(img, place->leaf, cell_pack(line, 0, 0), 0);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        store16(to->off + i, from->off[cut + i]);
    if (n) {
        const uint8_t *first = xe_image_record(img, to->off[0]);
        uint32_t skip = skip_of(first, xe_image_record(img, to->off[n - 1]));
        set_heads(img, to, n, skip);
        enter_leaf(img, place->leaf + 1, cell_pack(line, skip, n),
                   record_head(first, table_skip(img)));
        store32(cells + place->leaf, cell_pack(cell_line(cell), cell_skip(cell), cut));
        for (uint32_t i = cut; i < XE_LEAF_PLACES; i++)
            store_head(from->head + i, HEAD_NONE);
    } else {
        enter_leaf(img, place->leaf + 1, cell_pack(line, 0, 0), 0);
    }
    if (place->index > cut || n == 0) {
        place->leaf++;
        place->index -= cut;
    }
}

/* What heads leave out for a key alone. */
static uint32_t skip_of_key(const struct xe_key *key)
{
    return key->klen <= HEAD_BYTES ? 0 : key->klen < SKIP_MAX ? (uint32_t)key->klen : SKIP_MAX;
}

/* What the heads of a leaf leave out as a key becomes the first or the last one, which the key may
 * not have in common with the others: then they are made anew. */
static uint32_t fit_leaf(struct xe_image *img, uint32_t cell, uint32_t index,
                         const struct xe_key *key)
{
    uint32_t skip = cell_skip(cell), count = cell_count(cell);
    struct xe_sorted_leaf *leaf = cell_leaf(img, cell);
    if (count == 0)
        return skip_of_key(key);
    if (skip == 0 || (index > 0 && index < count))
        return skip;
    uint32_t same = common_with(key, xe_image_record(img, leaf->off[0]), skip);
    if (same < skip)
        set_heads(img, leaf, count, same);
    return same;
}

/* The same for the table. */
static void fit_table(struct xe_image *img, const struct xe_key *key, bool is_edge)
{
    uint32_t skip = table_skip(img);
    if (xe_leaves_count(img, 0) == 0 && n_leaves(img) == 1) {
        atomic_store_explicit(&img->skip, (uint16_t)skip_of_key(key), memory_order_release);
    } else if (skip && is_edge) {
        /* One of the two first leaves has a record: the other may be new. */
        const uint8_t *rec = first_record(img, xe_leaves_count(img, 0) == 0);
        uint32_t same = common_with(key, rec, skip);
        if (same < skip)
            set_table_heads(img, same);
    }
}

void xe_leaves_add(struct xe_image *img, const struct xe_key *key, const struct xe_place *place,
                   uint32_t off)
{
    struct xe_place at = *place;
    XE_ASSERT(!xe_image_is_shared(img));
    if (n_leaves(img) == 0)
        enter_leaf(img, 0, cell_pack(take_leaf(img), 0, 0), 0);
    else if (xe_leaves_count(img, at.leaf) == XE_LEAF_PLACES)
        split_leaf(img, &at);
    uint32_t cell = table_cells(img)[at.leaf], count = cell_count(cell);
    struct xe_sorted_leaf *leaf = cell_leaf(img, cell);
    uint32_t skip = fit_leaf(img, cell, at.index, key);
    fit_table(img, key, (at.leaf == 0 && at.index == 0) ||
                            (at.leaf + 1 == n_leaves(img) && at.index == count));
    for (uint32_t i = count; i > at.index; i--) {
        store16(leaf->off + i, leaf->off[i - 1]);
        store_head(leaf->head + i, leaf->head[i - 1]);
    }
    store16(leaf->off + at.index, off);
    store_head(leaf->head + at.index, key_head(key, skip));
    if (at.index == 0)
        store_head(table_heads(img) + at.leaf, key_head(key, table_skip(img)));
    /* Last (L1). */
    store32(table_cells(img) + at.leaf, cell_pack(cell_line(cell), skip, count + 1));
    img->last = off;
    /* Relaxed: only one writer, and size sums promise no instant. */
    atomic_store_explicit(&img->count,
                          xe_image_count(img) + 1,
                          memory_order_relaxed);
}

void xe_leaves_replace(struct xe_image *img, struct xe_place *place, uint32_t off)
{
    struct xe_sorted_leaf *leaf = cell_leaf(img, table_cells(img)[place->leaf]);
    XE_ASSERT(!xe_image_is_shared(img));
    if (img->last == place->off)
        img->last = off;
    /* Release: the record comes first. */
    store16(leaf->off + place->index, off);
    place->off = off;
}

void xe_leaves_remove(struct xe_image *img, const struct xe_place *place)
{
    uint32_t cell = table_cells(img)[place->leaf], count = cell_count(cell);
    struct xe_sorted_leaf *leaf = cell_leaf(img, cell);
    XE_ASSERT(!xe_image_is_shared(img));
    for (uint32_t i = place->index; i + 1 < count; i++) {
        store16(leaf->off + i, leaf->off[i + 1]);
        store_head(leaf->head + i, leaf->head[i + 1]);
    }
    store_head(leaf->head + count - 1, HEAD_NONE);
    store32(table_cells(img) + place->leaf, cell - 1);
    if (count == 1)
        leave_leaf(img, place->leaf);
    else if (place->index == 0)
        store_head(table_heads(img) + place->leaf,
                   record_head(first_record(img, place->leaf), table_skip(img)));
    if (img->last == place->off)
        img->last = 0;
    atomic_store_explicit(&img->count,
                          xe_image_count(img) - 1,
                          memory_order_relaxed);
}

/* --- Validation ------------------------------------------------------------- */

#define CHECK(cond)                                                                               \
    do {                                                                                          \
        if (!(cond)) {                                                                            \
            fprintf(stderr, "invalid leaves: %s\n", #cond);                                       \
            return false;                                                                         \
        }                                                                                         \
    } while (0)

/* A leaf, whose first record comes behind `last` (NULL: it is the first). */
static bool leaf_is_valid(const struct xe_image *img, uint32_t j, const uint8_t *last)
{
    uint32_t cell = table_cells(img)[j], count = cell_count(cell);
    const struct xe_sorted_leaf *leaf = cell_leaf(img, cell);
    CHECK(count > 0 && count <= XE_LEAF_PLACES);
    CHECK(table_heads(img)[j] == record_head(first_record(img, j), table_skip(img)));
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *rec = xe_image_record(img, leaf->off[i]);
        CHECK(!last || xe_leaves_compare_records(last, rec) < 0);
        CHECK(leaf->head[i] == record_head(rec, cell_skip(cell)));
        CHECK(common_of(first_record(img, j), rec) >= cell_skip(cell));
        CHECK(common_of(first_record(img, 0), rec) >= table_skip(img));
        last = rec;
    }
    for (uint32_t i = count; i < XE_LEAF_HEADS; i++)
        CHECK(leaf->head[i] == HEAD_NONE);
    return true;
}

/* Whether each leaf, in use or not, is somewhere else. */
static bool lines_are_valid(const struct xe_image *img)
{
    uint8_t used[XE_IMAGE_BYTES_MAX / XE_BUCKET_BYTES] = {0};
    uint32_t n = n_leaves(img), line = img->free_leaf;
    for (uint32_t i = 0; i < n || line; i++) {
        uint32_t at = i < n ? cell_line(table_cells(img)[i]) : line;
        if (i >= n)
            line = leaf_at(img, line)->next;
        bool begins = at < sizeof *img / XE_BUCKET_BYTES + img->nbuckets;
        CHECK(begins || at * (XE_BUCKET_BYTES / XE_UNIT) >= img->bottom);
        CHECK((at + XE_LEAF_LINES) * XE_BUCKET_BYTES <= img->bytes);
        for (uint32_t k = at; k < at + XE_LEAF_LINES; k++) {
            CHECK(!used[k]);
            used[k] = 1;
        }
    }
    return true;
}

bool xe_leaves_are_valid(const struct xe_image *img)
{
    const uint8_t *last = NULL;
    uint32_t n = n_leaves(img);
    CHECK(n <= img->cap_leaves && lines_are_valid(img));
    for (uint32_t i = n; i < img->cap_leaves; i++)
        CHECK(table_heads(img)[i] == HEAD_NONE);
    for (uint32_t j = 0; j < n; j++) {
        if (!leaf_is_valid(img, j, last))
            return false;
        uint32_t cell = table_cells(img)[j];
        last = xe_image_record(img, cell_leaf(img, cell)->off[cell_count(cell) - 1]);
    }
    return true;
}
