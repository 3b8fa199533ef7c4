/* chance.h - a number that chance gave, brought into a range.
 *
 * owner    nobody: plain functions. The 64 bits come from io_random(), as an argument: who decides never asks for them
 * promise  every value of the range is as likely as any other, to within count / 2^64 */
#ifndef BASE_CHANCE_H
#define BASE_CHANCE_H

#include "base/must.h"
#include "base/units.h"

__extension__ typedef unsigned __int128 chance_wide;

/* One of 0 .. count - 1. */
static inline uint64_t chance_pick(uint64_t chance, uint64_t count)
{
    must(count > 0);
    return (uint64_t)((chance_wide)chance * count >> 64);
}

/* One of least .. most, both may come. */
static inline int64_t chance_between(uint64_t chance, int64_t least, int64_t most)
{
    must(0 <= least && least <= most);
    return least + (int64_t)chance_pick(chance, (uint64_t)(most - least) + 1);
}

#endif
