#include "base/histogram.h"
#include "base/must.h"
#include <string.h>

#define SUB_COUNT (1u << HISTOGRAM_SUB_BITS)
#define VALUE_MAX ((1ull << 62) - 1)

static_assert(sizeof(struct histogram) < 16 * 1024, "fixed and small");

/* Values below 32 have a bucket each; above, each power of two is cut into 32. */
static uint32_t bucket_of(uint64_t value)
{
    if (value < SUB_COUNT)
        return (uint32_t)value;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(value);
    unsigned shift = exponent - HISTOGRAM_SUB_BITS;
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift & (SUB_COUNT - 1));
}

static uint64_t bucket_last(uint32_t index)
{
    if (index < SUB_COUNT)
        return index;
    unsigned shift = (index >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t start = (uint64_t)(SUB_COUNT + (index & (SUB_COUNT - 1))) << shift;
    return start + (1ull << shift) - 1;
}

void histogram_init(struct histogram *h)
{
    memset(h, 0, sizeof *h);
    h->min = UINT64_MAX;
}

static uint64_t sum_capped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    value = value < VALUE_MAX ? value : VALUE_MAX;
    uint32_t index = bucket_of(value);
    must(index < HISTOGRAM_BUCKET_COUNT);
    h->buckets[index]++;
    h->count++;
    h->sum = sum_capped(h->sum, value);
    h->min = value < h->min ? value : h->min;
    h->max = value > h->max ? value : h->max;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    into->sum = sum_capped(into->sum, from->sum);
    into->min = from->min < into->min ? from->min : into->min;
    into->max = from->max > into->max ? from->max : into->max;
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
    must(q >= 0 && q <= 1);
    if (h->count == 0)
        return 0;
    double exact = q * (double)h->count;
    uint64_t rank = (uint64_t)exact; /* the rank-th smallest, counted from 1 */
    rank += (double)rank < exact;
    rank = rank < 1 ? 1 : rank > h->count ? h->count : rank;
    uint64_t seen = 0;
    uint32_t index = 0;
    while ((seen += h->buckets[index]) < rank)
        must(++index < HISTOGRAM_BUCKET_COUNT);
    uint64_t last = bucket_last(index);
    return last < h->max ? last : h->max;
}
