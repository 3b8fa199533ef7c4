/* figures.h - what every benchmark needs: the middle of its rounds, and chance that is the same in each run. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdint.h>
#include <stdlib.h>

static inline int figures_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double median(double *values, size_t count) /* sorts them */
{
    qsort(values, count, sizeof *values, figures_by_value);
    return values[count / 2];
}

/* xorshift64: the state is the seed, and not 0. */
static inline uint64_t figures_chance(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

#endif
