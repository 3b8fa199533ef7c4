/* histogram.h - how long things took: log-linear buckets, 1/32 relative error, mergeable.
 *
 * owner    whoever declared it; one thread (merge copies of the others' histograms)
 * memory   fixed, inside the struct (about 15 KiB): no allocation, no lock
 * limits   values 0 .. 2^62 - 1; larger ones are counted as the largest
 * promise  quantile(q) is never below the true value's bucket start and at most 1/32 above the true value */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include "base/units.h"

#define HISTOGRAM_SUB_BITS     5u /* 32 buckets in each power of two */
#define HISTOGRAM_BUCKET_COUNT ((62u - HISTOGRAM_SUB_BITS + 1u) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count, sum, min, max;
    uint64_t buckets[HISTOGRAM_BUCKET_COUNT];
};

void     histogram_init(struct histogram *h);
void     histogram_add(struct histogram *h, uint64_t value);
void     histogram_merge(struct histogram *into, const struct histogram *from);
uint64_t histogram_quantile(const struct histogram *h, double q); /* q in 0..1; 0 when empty */

#endif
