/* keys.h - the keys of a benchmark's events: some far more often than others, or all alike. */
#ifndef BENCH_KEYS_H
#define BENCH_KEYS_H

#include "base/must.h"
#include "figures.h"

/* Zipf with exponent 1: key k comes 1/k as often as the first. */
static inline void keys_zipf(uint64_t *seed, uint32_t *keys, uint32_t count, uint32_t key_count)
{
    double *sums = malloc(key_count * sizeof(double)), sum = 0;
    must(sums != NULL);
    for (uint32_t k = 0; k < key_count; k++)
        sums[k] = sum += 1.0 / (k + 1);
    for (uint32_t i = 0; i < count; i++) {
        double at = (double)(figures_chance(seed) >> 11) / 9007199254740992.0 * sum;
        uint32_t low = 0, high = key_count - 1;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (sums[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        keys[i] = low;
    }
    free(sums);
}

static inline void keys_evenly(uint64_t *seed, uint32_t *keys, uint32_t count, uint32_t key_count)
{
    for (uint32_t i = 0; i < count; i++)
        keys[i] = (uint32_t)(figures_chance(seed) % key_count);
}

#endif
