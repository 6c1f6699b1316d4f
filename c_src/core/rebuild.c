/*
 * rebuild.c - the one function that moves records.
 *
 * Growing, splitting, shrinking, merging, compacting and getting rid of dead EXT terms all
 * write new images from the records of one or two locked segments, publish them, and
 * retire the old ones. Readers go on in the old image, which does not change any
 * more (I4). Cost: about 10 ns a record, so some 10 us for a segment; but where only
 * room for more records is missing, the image is copied as it is, in about 1 us.
 */
#include "rebuild_internal.h"

enum {
    SPLIT_BYTES = 49152, /* an image wanted larger than this is split */
    PART_UNITS = SPLIT_BYTES / 4 * 3 / XE_UNIT, /* of records, in each part of a split */
    INDEX_BYTES = 6,                            /* the same, rounded up */
    FIXED_BYTES = 512,   /* and what an image costs whatever is in it */
    SMALL_COUNT = 32,    /* objects that the index of the smallest image is for */
    ROUND_BYTES = 4096,  /* sizes of larger images are multiples of it */
    /* Of spare_units(): */
    SMALL_TABLE = 262144,      /* bytes */
    CONTENDED_TABLE = 1 << 20, /* bytes, of one that is fought for */
    CONTENDED_SLOTS = 128,
    SPARSE_BYTES = 1024, /* images of this size are not worth shrinking */
    MERGES = 4,          /* with neighbours, after one delete */
    WASTE_PART = 16,     /* an image that wastes more than this part is not stretched */
};

/* --- Gathering ---------------------------------------------------------- */

void xe_source_init(struct xe_source *src)
{
    src->n = src->units = 0;
    src->ext = false;
}

void xe_source_gather(struct xe_source *src, const struct xe_image *img, uint64_t seed)
{
    if (img->ordered) {
        xe_source_gather_ordered(src, img);
        return;
    }
    const struct xe_bucket *homes = xe_image_buckets(img);
    struct xe_image_entry *to = src->at + src->n;
    src->n += atomic_load_explicit(&img->count, memory_order_relaxed);
    src->units += img->live;
    src->ext |= img->pinned_live != 0;
    XE_ASSERT(src->n <= XE_IMAGE_OBJECTS_MAX);
    for (uint32_t home = 0; home < img->nbuckets; home++) {
        const struct xe_bucket *b = &homes[home];
        for (;; b = xe_image_linked(img, b->link)) {
            for (uint32_t i = 0; i < XE_BUCKET_PLACES; i++) {
                if (!b->off[i])
                    continue;
                const uint8_t *rec = xe_image_record(img, b->off[i]);
                *to++ = (struct xe_image_entry){.hash = xe_record_hash(rec, seed), .rec = rec};
            }
            if (!b->link)
                break;
        }
    }
    XE_ASSERT(to == src->at + src->n);
}

/* Insertion sort: buckets come in hash order, so only the order within a chain is open. The
 * larger steps before are for the groups of bags, whose chains may be long. */
static void sort(struct xe_source *src)
{
    static const uint32_t steps[] = {132, 23, 1};
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        for (uint32_t step = steps[k], i = step; i < src->n; i++) {
            struct xe_image_entry e = src->at[i];
            uint32_t j = i;
            for (; j >= step && src->at[j - step].hash > e.hash; j -= step)
                src->at[j] = src->at[j - step];
            src->at[j] = e;
        }
    }
}

/* --- Planning ----------------------------------------------------------- */

/* Whether so many are better split than given a larger image. */
static bool is_crowded(uint32_t count, uint32_t most)
{
    return count + count / 16 >= most;
}

/* At how many objects of this size a segment splits: at its limit, or when its image is too
 * large, by the same share of the largest. */
static uint32_t split_count(const struct xe_table *t, uint32_t limit, uint32_t count,
                            uint32_t units)
{
    uint64_t bytes = (uint64_t)SPLIT_BYTES * limit / t->max_objects - FIXED_BYTES;
    uint64_t each = (uint64_t)units * XE_UNIT + (uint64_t)count * INDEX_BYTES;
    uint64_t fit = each ? bytes * count / each : limit;
    return fit < limit ? (uint32_t)fit : limit;
}

/*
 * For how many objects an index is made that has `count` of at most `most`. From a third of
 * that on it may be for all there can be, so that on the way to the next split the image need only
 * be stretched; but that is drawn from `lo`, for else the segments of a uniform hash would all
 * have large indexes at the same size of the table. More than `most` only where equal
 * hashes forbid to split.
 */
static uint32_t room_for(const struct xe_table *t, uint64_t lo, uint32_t count, uint32_t most)
{
    bool draw = ((lo ^ t->seed) * 0x9e3779b97f4a7c15ull) >> 63;
    if (is_crowded(count, most))
        return count + count / 16 + 1;
    uint32_t room = count * 3 / 2 > SMALL_COUNT ? count * 3 / 2 : SMALL_COUNT;
    if (room >= most || count * 5 >= most * 3 || (count * 3 >= most && draw))
        room = most;
    return room + 1;
}

/* Units of records to add to `units` of them: an eighth, for inserting and overwriting. As much
 * again in a small table: all of its overwriting comes back to the same few images, and has to
 * wait for the clock the less often. More if it is fought for: its segments are tiny then, and
 * running the clock interrupts every core that is at work on them. */
static uint32_t spare_units(const struct xe_table *t, uint32_t units, uint32_t count)
{
    uint64_t bytes = xe_table_bytes(t);
    if (bytes < CONTENDED_TABLE && xe_table_is_contended(t) && count < CONTENDED_SLOTS)
        return count ? units / count * CONTENDED_SLOTS : 0;
    return bytes < SMALL_TABLE ? units : units / 8;
}

/* How many objects fit that, which is how many slots may be retired at once. */
static uint32_t spare_slots(uint32_t spare, uint32_t units, uint32_t count)
{
    return units ? (uint32_t)((uint64_t)spare * count / units) : 0;
}

/* Few sizes of images leave few holes between them: how many units there are in an image of
 * the nearest multiple of a step, instead of `units` in one of `bytes`; not less than `least`. */
static uint32_t round_units(size_t bytes, uint32_t units, uint32_t least)
{
    size_t step = bytes >= 8 * ROUND_BYTES ? ROUND_BYTES : ROUND_BYTES / 4;
    size_t below = bytes % step, above = (step - below) % step;
    if (below < step / 2 && units >= least + below / XE_UNIT + 1)
        return units - (uint32_t)((below + XE_UNIT - 1) / XE_UNIT);
    return units + (uint32_t)(above / XE_UNIT);
}

/*
 * Sizes for the part's image. XE_LIMIT: it cannot be made. *crowded: it holds so many
 * that it is better split than made larger.
 */
enum xe_status xe_plan_part(const struct xe_table *t, const struct xe_part *part,
                            const struct xe_source *src, const struct xe_arrival *arrivals,
                            uint32_t limit, struct xe_image_plan *plan, bool *crowded)
{
    size_t objects = part->end - part->first + (part->arrived_end - part->arrived);
    uint64_t units = part->units;
    *crowded = objects > limit;
    if (objects > XE_IMAGE_OBJECTS_MAX)
        return XE_LIMIT;
    for (size_t i = part->arrived; i < part->arrived_end; i++)
        units += arrivals[i].units;
    if (units > XE_IMAGE_BYTES_MAX / XE_UNIT)
        return XE_LIMIT;
    if (t->kind == XE_ORDERED)
        units += xe_part_leaves(part) * XE_LEAF_UNITS;
    uint32_t count = (uint32_t)objects, needed = (uint32_t)units;
    uint32_t most = split_count(t, limit, count, needed);
    uint32_t room = room_for(t, part->lo, count, most), spare = spare_units(t, needed, count);
    *crowded = is_crowded(count, most);
    *plan = (struct xe_image_plan){
        .lo = part->lo,
        .hi = part->hi,
        .count = room < XE_IMAGE_OBJECTS_MAX ? room : XE_IMAGE_OBJECTS_MAX,
        .units = needed + spare,
        .spare = spare_slots(spare, needed, count),
        .ext = src->ext,
    };
    if (t->kind == XE_ORDERED) {
        plan->ordered = true;
        plan->leaves = part->first == part->end ? 0 : (count + XE_LEAF_FILL - 1) / XE_LEAF_FILL;
        plan->more_leaves = xe_part_leaves(part);
    } else {
        plan->print_shift = xe_bag_print_shift(t, part->lo, part->hi);
    }
    plan->units = round_units(xe_image_plan_bytes(plan), plan->units, needed + needed / 16);
    if (xe_image_plan_bytes(plan) > XE_IMAGE_BYTES_MAX) {
        plan->units = needed;
        plan->spare = 0;
    }
    return xe_image_plan_bytes(plan) <= XE_IMAGE_BYTES_MAX ? XE_OK : XE_LIMIT;
}

/* Half of its objects gone, a smaller image will do. */
static void set_sparse(struct xe_image *img)
{
    img->sparse = img->bytes > SPARSE_BYTES ? img->live / 2 : 0;
}

/* What must be left in a part's image for its arrivals: room for their records and for buckets
 * that may have to be chained to others. */
static uint32_t units_for_arrivals(const struct xe_part *part, const struct xe_arrival *arrivals,
                                   bool ordered)
{
    size_t n = part->arrived_end - part->arrived;
    uint32_t units = 0;
    for (size_t i = part->arrived; i < part->arrived_end; i++)
        units += arrivals[i].units;
    if (ordered)
        return units + xe_part_leaves(part) * XE_LEAF_UNITS;
    return n ? units + (uint32_t)(1 + n / XE_BUCKET_LOAD) * (XE_BUCKET_BYTES / XE_UNIT) : 0;
}

/* Builds the image of a part. How many buckets are chained depends on luck with the hashes:
 * once more with more room if there is too little left. */
enum xe_status xe_build(const struct xe_part *part, const struct xe_source *src,
                        const struct xe_arrival *arrivals, struct xe_image_plan *plan,
                        struct xe_image **out)
{
    uint32_t left = units_for_arrivals(part, arrivals, plan->ordered);
    for (;;) {
        enum xe_status status = xe_image_new(plan, out);
        if (status != XE_OK)
            return status;
        if (xe_image_fill(*out, src->at + part->first, part->end - part->first) &&
            (*out)->bottom - (*out)->top >= left)
            break;
        xe_image_unref(*out);
        plan->units += plan->units / 8 + 64;
    }
    set_sparse(*out);
    return XE_OK;
}

/* --- Publishing --------------------------------------------------------- */

static void publish_image(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                          struct xe_image *img)
{
    struct xe_image *old = xe_segment_image(s);
    xe_table_account_contents(t, (int64_t)img->bytes - (int64_t)old->bytes);
    /* Release: the image is complete. Pairs with xe_segment_image(). */
    atomic_store_explicit(&s->image, img, memory_order_release);
    xe_image_moved(slot, old);
}

/* Not by a rebuild: a copy of the same size cannot meet a limit, and costs a tenth of it. */
bool xe_segment_copy(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                     struct xe_place *place)
{
    struct xe_image *copy, *img = xe_segment_image(s);
    if (xe_image_copy(img, &copy) != XE_OK)
        return false;
    if (place)
        xe_place_move(place, img, copy);
    publish_image(t, slot, s, copy);
    return true;
}

enum xe_status xe_replace_image(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *s, const struct xe_source *src,
                                const struct xe_arrival *arrivals, const struct xe_part *part,
                                struct xe_image_plan *plan)
{
    struct xe_image *img;
    enum xe_status status = xe_build(part, src, arrivals, plan, &img);
    if (status == XE_OK)
        publish_image(t, slot, s, img);
    return status;
}

/* The image of a part of a split or merge. */
enum xe_status xe_build_part(const struct xe_table *t, const struct xe_part *part,
                             const struct xe_source *src, const struct xe_arrival *arrivals,
                             uint32_t limit, struct xe_image **out)
{
    struct xe_image_plan plan;
    bool crowded;
    *out = xe_image_empty;
    if (part->first == part->end && part->arrived == part->arrived_end)
        return XE_OK;
    enum xe_status status =
        xe_plan_part(t, part, src, arrivals, limit, &plan, &crowded);
    return status == XE_OK ? xe_build(part, src, arrivals, &plan, out) : status;
}

/* The segment of part i. */
static struct xe_segment *new_segment(struct xe_table *t, const struct xe_segment *from,
                                      const struct xe_part *parts, uint32_t i,
                                      const struct xe_source *src,
                                      const struct xe_arrival *arrivals)
{
    if (t->kind != XE_ORDERED)
        return xe_segment_new(t, parts[i].lo, parts[i].hi, xe_image_empty, true);
    return i == 0 ? xe_order_segment_like(t, from) : xe_order_segment_of_part(t, &parts[i], src, arrivals);
}

static enum xe_status replace_in_directory(struct xe_table *t, struct xe_epoch_slot *slot,
                                           struct xe_segment *const *from, uint32_t n_from,
                                           struct xe_segment *const *to, uint32_t n_to)
{
    return t->kind == XE_ORDERED ? xe_order_replace(t, slot, from, n_from, to, n_to)
                                 : xe_directory_replace(t, slot, from, n_from, to, n_to);
}

/* Makes one segment of each part, and puts them in the place of `from`. */
enum xe_status xe_replace_segments(struct xe_table *t, struct xe_epoch_slot *slot,
                                   struct xe_segment *const *from, uint32_t n_from,
                                   const struct xe_part *parts, uint32_t n_parts,
                                   const struct xe_source *src, const struct xe_arrival *arrivals,
                                   struct xe_segment **out)
{
    enum xe_status status = XE_OK;
    uint32_t made = 0;
    struct xe_image *old[2];
    for (uint32_t i = 0; i < n_from; i++)
        old[i] = xe_segment_image(from[i]);
    for (; made < n_parts && status == XE_OK; made++) {
        struct xe_image *img;
        out[made] = new_segment(t, from[0], parts, made, src, arrivals);
        if (!out[made]) {
            status = XE_NOMEM;
            break;
        }
        status = xe_build_part(t, &parts[made], src, arrivals, out[made]->limit, &img);
        if (status == XE_OK)
            atomic_store_explicit(&out[made]->image, img, memory_order_relaxed);
    }
    if (status == XE_OK)
        status = replace_in_directory(t, slot, from, n_from, out, n_parts);
    if (status != XE_OK) {
        for (uint32_t i = 0; i < made; i++) {
            xe_image_unref(xe_segment_image(out[i]));
            xe_segment_discard(t, out[i]);
        }
        return status;
    }
    for (uint32_t i = 0; i < n_from; i++) {
        xe_table_account_contents(t, -(int64_t)old[i]->bytes);
        xe_image_moved(slot, old[i]);
    }
    for (uint32_t i = 0; i < n_parts; i++)
        xe_table_account_contents(t, xe_segment_image(out[i])->bytes);
    return XE_OK;
}

/* --- Cutting into parts ------------------------------------------------- */

static uint64_t walk_hash(const struct xe_walk *w)
{
    bool arrival = w->i == w->src->n ||
                   (w->j < w->n && w->arrivals[w->j].hash < w->src->at[w->i].hash);
    return arrival ? w->arrivals[w->j].hash : w->src->at[w->i].hash;
}

static bool walk_ended(const struct xe_walk *w)
{
    return w->i == w->src->n && w->j == w->n;
}

static uint32_t walk_step(struct xe_walk *w)
{
    if (w->i == w->src->n || (w->j < w->n && w->arrivals[w->j].hash < w->src->at[w->i].hash))
        return w->arrivals[w->j++].units;
    uint32_t units = xe_record_units(xe_load32(w->src->at[w->i++].rec));
    w->units += units;
    return units;
}

/* As many arrivals as one rebuild makes room for, and the units of all. */
size_t xe_fit_arrivals(const struct xe_table *t, const struct xe_source *src,
                       const struct xe_arrival *arrivals, size_t n, uint64_t *units)
{
    size_t most = (size_t)XE_REBUILD_PARTS / 4 * t->max_objects;
    size_t i = 0;
    *units = src->units;
    while (i < n && i < most && *units < (uint64_t)PART_UNITS * XE_REBUILD_PARTS / 2)
        *units += arrivals[i++].units;
    return i;
}

/* How many segments these objects are for, if they are to be split at all. */
uint32_t xe_parts_for(const struct xe_table *t, size_t objects, uint64_t units)
{
    size_t by_count = (objects * 4 + t->max_objects * 3 - 1) / (t->max_objects * 3);
    size_t by_units = (size_t)((units + PART_UNITS - 1) / PART_UNITS);
    size_t n = by_count > by_units ? by_count : by_units;
    return n < 2 ? 2 : n > XE_REBUILD_PARTS ? XE_REBUILD_PARTS : (uint32_t)n;
}

/* Where a range is cut in two: of the hashes in its middle half the one with the most zeros
 * at its end. For a range that is a power of two that is its middle, so segments and the
 * slots of the directory have the same borders, and readers find a slot's only segment
 * without a search. */
static uint64_t aligned_border(uint64_t lo, uint64_t hi)
{
    uint64_t quarter = (hi - lo) / 4;
    uint64_t a = lo + quarter, b = hi - quarter;
    return a == b ? b : b & ~((1ull << (63 - __builtin_clzll(a ^ b))) - 1);
}

/* Moves the walk behind the last object below `border`; returns the weight passed. */
static uint64_t walk_to(struct xe_walk *w, uint64_t border)
{
    uint64_t weight = 0;
    while (!walk_ended(w) && walk_hash(w) < border)
        weight += walk_step(w) + XE_INDEX_UNITS;
    return weight;
}

/* The same until `target` is passed; objects of one hash stay together. */
static uint64_t walk_weight(struct xe_walk *w, uint64_t target)
{
    uint64_t weight = 0, last = 0;
    while (!walk_ended(w) && (weight < target || walk_hash(w) == last)) {
        last = walk_hash(w);
        weight += walk_step(w) + XE_INDEX_UNITS;
    }
    return weight;
}

/* Whether a part of the weight is about half of it. */
static bool is_fair(uint64_t part, uint64_t whole)
{
    return part > whole / 4 && part < whole - whole / 4;
}

static void set_halves(const struct xe_cut_range *r, uint64_t border, uint64_t weight,
                       struct xe_cut_range *left, struct xe_cut_range *right)
{
    *left = (struct xe_cut_range){r->lo, border - 1, weight};
    *right = (struct xe_cut_range){border, r->hi, r->weight - weight};
}

/* Divides the range whose objects begin at *w at the border that is best for even hashes; false:
 * these are not even. */
static bool divide_aligned(const struct xe_walk *w, const struct xe_cut_range *r,
                           struct xe_cut_range *left, struct xe_cut_range *right)
{
    struct xe_walk ahead = *w;
    uint64_t border = r->hi > r->lo ? aligned_border(r->lo, r->hi) : r->lo;
    uint64_t weight = border > r->lo ? walk_to(&ahead, border) : 0;
    set_halves(r, border, weight, left, right);
    return is_fair(weight, r->weight);
}

/* The same at the median. */
static bool divide_at_median(const struct xe_walk *w, const struct xe_cut_range *r,
                             struct xe_cut_range *left, struct xe_cut_range *right)
{
    struct xe_walk ahead = *w;
    uint64_t weight = walk_weight(&ahead, (r->weight + 1) / 2);
    if (weight >= r->weight)
        return false;
    set_halves(r, walk_hash(&ahead), weight, left, right);
    return true;
}

/* The hash at the median of the range whose objects begin at *w. */
static uint64_t median_hash(const struct xe_walk *w, const struct xe_cut_range *r)
{
    struct xe_walk ahead = *w;
    uint64_t hash = walk_hash(&ahead);
    for (uint64_t weight = walk_step(&ahead) + XE_INDEX_UNITS; weight < r->weight / 2;
         weight += walk_step(&ahead) + XE_INDEX_UNITS)
        hash = walk_hash(&ahead);
    return hash;
}

/* The same in a bag: not in the group at the median, but before or behind it. */
static bool divide_at_group(const struct xe_walk *w, const struct xe_cut_range *r, uint64_t mask,
                            struct xe_cut_range *left, struct xe_cut_range *right)
{
    struct xe_walk ahead = *w;
    uint64_t first = median_hash(w, r) & mask;
    uint64_t border = first > r->lo ? first : (first | ~mask) + 1;
    set_halves(r, border, walk_to(&ahead, border), left, right);
    return true;
}

static bool divide(const struct xe_table *t, const struct xe_walk *w, const struct xe_cut_range *r,
                   struct xe_cut_range *left, struct xe_cut_range *right)
{
    uint64_t mask = xe_bag_group_mask(t, r->lo, r->hi);
    if (t->kind == XE_ORDERED)
        return divide_at_median(w, r, left, right);
    if (divide_aligned(w, r, left, right))
        return true;
    return mask ? divide_at_group(w, r, mask, left, right)
                : divide_at_median(w, r, left, right);
}

/* The part lo..hi, whose objects begin at *w; moves the walk behind them. */
struct xe_part xe_take_part(struct xe_walk *w, uint64_t lo, uint64_t hi)
{
    uint32_t before = w->units;
    struct xe_part p = {.lo = lo, .hi = hi, .first = w->i, .arrived = w->j};
    while (!walk_ended(w) && walk_hash(w) <= hi)
        walk_step(w);
    p.end = w->i;
    p.units = w->units - before;
    p.arrived_end = w->j;
    return p;
}

/*
 * Cuts lo..hi into parts of at most about weight / n_parts, but at most XE_REBUILD_PARTS
 * of them. In two, if that is fair: at the border of a group it may not be, and a part that is
 * hardly smaller is not of use. Returns their number.
 */
uint32_t xe_cut(const struct xe_table *t, struct xe_walk *w, struct xe_cut_range whole,
                uint32_t n_parts, struct xe_part *parts)
{
    struct xe_cut_range ranges[XE_REBUILD_PARTS] = {whole};
    uint64_t weight = whole.weight;
    uint64_t target = n_parts == 2 ? weight * 3 / 4 : (weight + n_parts - 1) / n_parts * 5 / 4;
    uint32_t made = 0, open = 1;
    while (open) {
        struct xe_cut_range r = ranges[--open], left, right;
        if (r.weight > target && made + open + 2 <= XE_REBUILD_PARTS &&
            divide(t, w, &r, &left, &right)) {
            ranges[open++] = right;
            ranges[open++] = left;
        } else {
            parts[made++] = xe_take_part(w, r.lo, r.hi);
        }
    }
    return made;
}

/* The bits in `mask` of the hashes of most objects, which are sorted. */
static uint64_t largest_group(const struct xe_source *src, uint64_t mask)
{
    uint64_t largest = src->at[0].hash & mask;
    for (uint32_t i = 0, n = 0, most = 0; i < src->n; i++) {
        n = i && ((src->at[i].hash ^ src->at[i - 1].hash) & mask) == 0 ? n + 1 : 1;
        if (n > most) {
            most = n;
            largest = src->at[i].hash & mask;
        }
    }
    return largest;
}

/* Cuts lo..hi before and behind the largest group of objects. */
static uint32_t cut_group(struct xe_walk *w, uint64_t lo, uint64_t hi, uint64_t mask,
                          struct xe_part *parts)
{
    uint64_t first = largest_group(w->src, mask), last = first | ~mask;
    uint32_t made = 0;
    if (first > lo)
        parts[made++] = xe_take_part(w, lo, first - 1);
    parts[made++] = xe_take_part(w, first > lo ? first : lo, last < hi ? last : hi);
    if (last < hi)
        parts[made++] = xe_take_part(w, last + 1, hi);
    return made;
}

/* The same for two parts and at most one arrival, without sorting: buckets come in the order
 * of hashes, so all but the entries of one bucket are on their side already. False: that is
 * not fair. */
static bool halve(struct xe_source *src, const struct xe_arrival *arrival, uint64_t lo,
                  uint64_t hi, struct xe_part *parts)
{
    if (lo == hi)
        return false;
    uint64_t border = aligned_border(lo, hi);
    uint32_t i = 0, j = src->n, units = 0;
    for (;;) {
        for (; i < j && src->at[i].hash < border; i++)
            units += xe_record_units(xe_load32(src->at[i].rec));
        while (i < j && src->at[j - 1].hash >= border)
            j--;
        if (i == j)
            break;
        struct xe_image_entry e = src->at[i];
        src->at[i] = src->at[j - 1];
        src->at[j - 1] = e;
    }
    size_t n = arrival != NULL, left = n && arrival->hash < border;
    parts[0] = (struct xe_part){.lo = lo, .hi = border - 1, .end = i, .units = units,
                             .arrived_end = left};
    parts[1] = (struct xe_part){.lo = border, .hi = hi, .first = i, .end = src->n,
                             .units = src->units - units, .arrived = left, .arrived_end = n};
    return is_fair(units + i * XE_INDEX_UNITS, src->units + src->n * XE_INDEX_UNITS);
}

/* --- The rebuild -------------------------------------------------------- */

/* Makes room for one more object behind the others, which need not be looked at. XE_LIMIT: it
 * takes a rebuild. */
static enum xe_status stretch(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                              const struct xe_arrival *arrival)
{
    struct xe_image *img = xe_segment_image(s), *longer;
    uint32_t count = xe_image_count(img) + 1, units = img->live + arrival->units;
    bool has_room = img->ordered ? xe_leaves_has_table(img) : count <= img->room;
    if (!has_room || xe_image_is_empty(img) || img->env || xe_image_waste(img) > img->live / WASTE_PART ||
        is_crowded(count, split_count(t, s->limit, count, units)))
        return XE_LIMIT;
    uint32_t spare = spare_units(t, units, count), slots = spare_slots(spare, units, count);
    uint32_t more = arrival->units + spare;
    if (img->ordered)
        more += XE_LEAF_LINES * XE_BUCKET_BYTES / XE_UNIT;
    more = round_units(xe_image_stretch_bytes(img, more, slots), more,
                       arrival->units + units / 16);
    enum xe_status status = xe_image_stretch(img, more, slots, &longer);
    if (status == XE_OK) {
        set_sparse(longer);
        publish_image(t, slot, s, longer);
    }
    return status;
}

enum xe_status xe_rebuild(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s,
                          struct xe_arrival *arrivals, size_t n, enum xe_split split,
                          struct xe_segment **out, uint32_t *n_out)
{
    struct xe_source src;
    struct xe_part parts[XE_REBUILD_PARTS];
    struct xe_image_plan plan;
    uint64_t units;
    bool crowded;
    out[0] = s;
    *n_out = 1;
    if (n == 1 && split == XE_SPLIT_NO) {
        enum xe_status stretched = stretch(t, slot, s, arrivals);
        if (stretched != XE_LIMIT)
            return stretched;
    }
    if (t->kind == XE_ORDERED)
        return xe_order_rebuild(t, slot, s, arrivals, n, split, out, n_out);
    xe_source_init(&src);
    xe_source_gather(&src, xe_segment_image(s), t->seed);
    n = xe_fit_arrivals(t, &src, arrivals, n, &units);
    struct xe_walk w = {.src = &src, .arrivals = arrivals, .n = n};
    if (split == XE_SPLIT_GROUP) {
        sort(&src);
        *n_out = cut_group(&w, s->lo, s->hi, xe_bag_group_mask(t, s->lo, s->hi), parts);
        enum xe_status cut_off =
            xe_replace_segments(t, slot, &s, 1, parts, *n_out, &src, arrivals, out);
        /* XE_LIMIT: they need several segments. */
        if (cut_off != XE_LIMIT)
            return cut_off;
        out[0] = s;
        *n_out = 1;
        w = (struct xe_walk){.src = &src, .arrivals = arrivals, .n = n};
    }
    struct xe_part whole = {.lo = s->lo, .hi = s->hi, .end = src.n, .units = src.units,
                         .arrived_end = n};
    enum xe_status status =
        xe_plan_part(t, &whole, &src, arrivals, s->limit, &plan, &crowded);
    if (status == XE_OK && split == XE_SPLIT_NO && !crowded) {
        status = xe_replace_image(t, slot, s, &src, arrivals, &whole, &plan);
        if (status != XE_LIMIT)
            return status;
    }
    uint32_t n_parts = xe_parts_for(t, src.n + n, units);
    if (n_parts != 2 || n > 1 || !halve(&src, n ? arrivals : NULL, s->lo, s->hi, parts)) {
        struct xe_cut_range range = {s->lo, s->hi, units + (src.n + n) * XE_INDEX_UNITS};
        sort(&src);
        n_parts = xe_cut(t, &w, range, n_parts, parts);
    }
    if (n_parts == 1)
        return status == XE_OK ? xe_replace_image(t, slot, s, &src, arrivals, &whole, &plan)
                               : XE_LIMIT;
    *n_out = n_parts;
    return xe_replace_segments(t, slot, &s, 1, parts, n_parts, &src, arrivals, out);
}

/* --- Giving memory back --------------------------------------------------- */

/* Whether it may be merged: not while it is being fought for. */
static bool is_cool(const struct xe_segment *s)
{
    return atomic_load_explicit(&s->heat, memory_order_relaxed) <= 0;
}

/* The neighbour of a locked segment, or NULL. */
static struct xe_segment *neighbour(struct xe_table *t, const struct xe_segment *s, bool right)
{
    if (t->kind == XE_ORDERED)
        return right ? xe_order_right(t, s) : xe_order_left(t, s);
    if (s->lo == 0 && !right)
        return NULL;
    if (s->hi == UINT64_MAX && right)
        return NULL;
    return xe_directory_find(t, right ? s->hi + 1 : s->lo - 1);
}

/* The same locked, if it is free: nobody waits here with a lock in hand. */
static struct xe_segment *try_neighbour(struct xe_table *t, const struct xe_segment *beside,
                                        bool right)
{
    struct xe_segment *s = neighbour(t, beside, right);
    if (!s || !is_cool(s) || !xe_lock_try(&s->lock))
        return NULL;
    if (s->state == SEGMENT_LIVE)
        return s;
    xe_lock_release(&s->lock);
    return NULL;
}

/* How many objects a merged segment has at most. In a bag few: they may be those of one key, whose
 * chain of buckets would be long in a range that is wider than theirs. */
static uint32_t merged_most(const struct xe_table *t, const struct xe_segment *s)
{
    return xe_kind_is_bag(t->kind) ? s->limit / 8 : s->limit / 2;
}

/* Makes one of two locked neighbours if both together are small. NULL: they stay as they
 * are, and locked. */
static struct xe_segment *merge(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *left, struct xe_segment *right)
{
    struct xe_source src;
    struct xe_segment *to[1], *from[2] = {left, right};
    struct xe_image *a = xe_segment_image(left), *b = xe_segment_image(right);
    XE_ASSERT(t->kind == XE_ORDERED || right->lo == left->hi + 1);
    if (t->kind == XE_ORDERED && (xe_image_count(a) == 0 || xe_image_count(b) == 0))
        return xe_order_merge_empty(t, slot, left, right);
    if (xe_image_count(a) + xe_image_count(b) > merged_most(t, left) ||
        (uint64_t)a->live + b->live > PART_UNITS / 2)
        return NULL;
    xe_source_init(&src);
    xe_source_gather(&src, a, t->seed);
    xe_source_gather(&src, b, t->seed);
    struct xe_part part = {.lo = left->lo, .hi = right->hi, .end = src.n, .units = src.units};
    if (t->kind == XE_ORDERED)
        part.lo = 0, part.hi = src.n;
    return xe_replace_segments(t, slot, from, 2, &part, 1, &src, NULL, to) == XE_OK ? to[0] : NULL;
}

/* What has become of `s`: a larger segment, also locked, or itself. */
static struct xe_segment *merge_right(struct xe_table *t, struct xe_epoch_slot *slot,
                                      struct xe_segment *s)
{
    struct xe_segment *right = try_neighbour(t, s, true);
    struct xe_segment *merged = right ? merge(t, slot, s, right) : NULL;
    if (right && !merged)
        xe_lock_release(&right->lock);
    return merged ? merged : s;
}

static struct xe_segment *merge_left(struct xe_table *t, struct xe_epoch_slot *slot,
                                     struct xe_segment *s)
{
    struct xe_segment *left = try_neighbour(t, s, false);
    struct xe_segment *merged = left ? merge(t, slot, left, s) : NULL;
    if (left && !merged)
        xe_lock_release(&left->lock);
    return merged ? merged : s;
}

/* Gives the locked segment a smaller image. Nothing is split by that. */
static void shrink_image(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s)
{
    struct xe_image *img = xe_segment_image(s);
    struct xe_source src;
    struct xe_image_plan plan;
    bool crowded;
    if (xe_image_count(img) == 0) {
        publish_image(t, slot, s, xe_image_empty);
        return;
    }
    xe_source_init(&src);
    xe_source_gather(&src, img, t->seed);
    struct xe_part whole = {.hi = src.n, .end = src.n, .units = src.units};
    /* An ordered segment has its cell there, which may be moved at any time. */
    if (t->kind != XE_ORDERED)
        whole.lo = s->lo, whole.hi = s->hi;
    if (xe_plan_part(t, &whole, &src, NULL, s->limit, &plan, &crowded) == XE_OK &&
        xe_replace_image(t, slot, s, &src, NULL, &whole, &plan) == XE_OK)
        return;
    /* Without memory it stays as it is for a while: deleting needs none (G7). One that is shared
     * does not change (I5), and is looked at again by the next write. */
    if (!xe_image_is_shared(img))
        img->sparse /= 2;
}

void xe_rebuild_shrink(struct xe_table *t, struct xe_epoch_slot *slot, struct xe_segment *s)
{
    for (uint32_t i = 0; i < MERGES; i++) {
        struct xe_segment *before = s;
        if (xe_image_count(xe_segment_image(s)) > s->limit / 4 || !is_cool(s))
            break;
        s = merge_right(t, slot, s);
        s = merge_left(t, slot, s);
        if (s == before)
            break;
    }
    struct xe_image *img = xe_segment_image(s);
    if ((xe_image_is_sparse(img) && img->bytes > SPARSE_BYTES) || xe_image_is_littered(img))
        shrink_image(t, slot, s);
    xe_lock_release(&s->lock);
}
