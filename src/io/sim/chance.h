/* chance.h - chance of the seed: splitmix64, integers only, so that every compiler draws the same. */
#ifndef IO_SIM_CHANCE_H
#define IO_SIM_CHANCE_H

#include "base/units.h"

static inline uint64_t sim_mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static inline uint64_t sim_chance(uint64_t *state)
{
    return sim_mix(*state += 0x9e3779b97f4a7c15ull);
}

static inline uint32_t sim_below(uint64_t *state, uint32_t limit) /* limit > 0 */
{
    return (uint32_t)((sim_chance(state) >> 32) * limit >> 32);
}

static inline bool sim_one_in(uint64_t *state, uint32_t n)
{
    return sim_below(state, n) == 0;
}

#endif
