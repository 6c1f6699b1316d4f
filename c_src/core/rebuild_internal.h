/*
 * rebuild_internal.h - what rebuild.c shares with order_rebuild.c, which has what is different in
 * ordered tables. Private to the core.
 */
#ifndef XE_REBUILD_INTERNAL_H
#define XE_REBUILD_INTERNAL_H

#include "order_internal.h"
#include "table_internal.h"

enum { XE_INDEX_UNITS = 1 /* about what an object costs in the index */ };

/* What is to be copied. */
struct xe_source {
    struct xe_image_entry at[XE_IMAGE_OBJECTS_MAX];
    uint32_t n;
    uint32_t units;
    bool ext; /* there are EXT records among them */
};

/* What one new image is for: a range of hashes, the records [first, end) that lie
 * in it, and the arrivals [arrived, arrived_end) it is to have room for. */
struct xe_part {
    uint64_t lo, hi;
    uint32_t first, end;
    uint32_t units; /* of these records */
    size_t arrived, arrived_end;
};

/* Walks records and arrivals together in the order of their hashes. */
struct xe_walk {
    const struct xe_source *src;
    const struct xe_arrival *arrivals;
    size_t n;
    uint32_t i;
    size_t j;
    uint32_t units; /* of the records passed */
};

/* A range that is to be cut until its parts weigh `target` or less. */
struct xe_cut_range {
    uint64_t lo, hi, weight;
};

/* --- rebuild.c ------------------------------------------------------------ */

/* Nothing; then the records of an image more. */
void xe_source_init(struct xe_source *src);
void xe_source_gather(struct xe_source *src, const struct xe_image *img, uint64_t seed);
/* Sizes for the part's image. XE_LIMIT: it cannot be made. *crowded: it holds so many that it is
 * better split than made larger. */
enum xe_status xe_plan_part(const struct xe_table *t, const struct xe_part *part,
                            const struct xe_source *src, const struct xe_arrival *arrivals,
                            uint32_t limit, struct xe_image_plan *plan, bool *crowded);
/* The image of a part, by its plan / of a part of a split or merge. */
enum xe_status xe_build(const struct xe_part *part, const struct xe_source *src,
                        const struct xe_arrival *arrivals, struct xe_image_plan *plan,
                        struct xe_image **out);
enum xe_status xe_build_part(const struct xe_table *t, const struct xe_part *part,
                             const struct xe_source *src, const struct xe_arrival *arrivals,
                             uint32_t limit, struct xe_image **out);
/* Gives the segment a new image, of all its records. */
enum xe_status xe_replace_image(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *s, const struct xe_source *src,
                                const struct xe_arrival *arrivals, const struct xe_part *part,
                                struct xe_image_plan *plan);
/* Makes one segment of each part, and puts them in the place of `from`. */
enum xe_status xe_replace_segments(struct xe_table *t, struct xe_epoch_slot *slot,
                                   struct xe_segment *const *from, uint32_t n_from,
                                   const struct xe_part *parts, uint32_t n_parts,
                                   const struct xe_source *src, const struct xe_arrival *arrivals,
                                   struct xe_segment **out);
/* As many arrivals as one rebuild makes room for, and the units of all. */
size_t xe_fit_arrivals(const struct xe_table *t, const struct xe_source *src,
                       const struct xe_arrival *arrivals, size_t n, uint64_t *units);
/* How many segments these objects are for, if they are to be split at all. */
uint32_t xe_parts_for(const struct xe_table *t, size_t objects, uint64_t units);
/* The part lo..hi, whose objects begin at *w; moves the walk behind them. */
struct xe_part xe_take_part(struct xe_walk *w, uint64_t lo, uint64_t hi);
/* Cuts the range into parts of at most about its weight / n_parts, but at most XE_REBUILD_PARTS of
 * them. Returns their number. */
uint32_t xe_cut(const struct xe_table *t, struct xe_walk *w, struct xe_cut_range whole,
                uint32_t n_parts, struct xe_part *parts);

/* --- order_rebuild.c ------------------------------------------------------ */

/* xe_source_gather() of an ordered image. */
void xe_source_gather_ordered(struct xe_source *src, const struct xe_image *img);
/* Leaves that the arrivals of a part may take beside those it begins with. */
uint32_t xe_part_leaves(const struct xe_part *part);
/* A new segment of a part that is not the first / one that begins where another does. */
struct xe_segment *xe_order_segment_of_part(struct xe_table *t, const struct xe_part *part,
                                            const struct xe_source *src,
                                            const struct xe_arrival *arrivals);
struct xe_segment *xe_order_segment_like(struct xe_table *t, const struct xe_segment *s);
/* xe_rebuild(), where the image has to be made anew. */
enum xe_status xe_order_rebuild(struct xe_table *t, struct xe_epoch_slot *slot,
                                struct xe_segment *s, struct xe_arrival *arrivals, size_t n,
                                enum xe_split split, struct xe_segment **out, uint32_t *n_out);
/* Merges two segments of which one has no objects: the image of the other one stays. */
struct xe_segment *xe_order_merge_empty(struct xe_table *t, struct xe_epoch_slot *slot,
                                        struct xe_segment *left, struct xe_segment *right);

#endif
