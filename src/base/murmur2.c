#include "base/murmur2.h"
#include "base/must.h"

#define MURMUR2_SEED     0x9747b28cu
#define MURMUR2_MULTIPLY 0x5bd1e995u

uint32_t murmur2(struct bytes bytes)
{
    uint32_t h = MURMUR2_SEED ^ (uint32_t)bytes.size;
    const uint8_t *at = bytes.at;
    size_t left = bytes.size;
    for (; left >= 4; at += 4, left -= 4) {
        uint32_t k = get_le32(at) * MURMUR2_MULTIPLY;
        k ^= k >> 24;
        h = h * MURMUR2_MULTIPLY ^ k * MURMUR2_MULTIPLY;
    }
    for (size_t i = left; i > 0; i--)
        h ^= (uint32_t)at[i - 1] << (8 * (i - 1));
    if (left > 0)
        h *= MURMUR2_MULTIPLY;
    h ^= h >> 13;
    h *= MURMUR2_MULTIPLY;
    return h ^ h >> 15;
}

uint32_t murmur2_partition(struct bytes key, uint32_t partition_count)
{
    must(partition_count > 0);
    return (murmur2(key) & 0x7fffffffu) % partition_count;
}
