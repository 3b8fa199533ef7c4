/* murmur2.h - the hash that Kafka's default partitioner uses, so that a key meets the same partition here and there.
 *
 * Source: Austin Appleby's MurmurHash2 (public domain), seed 0x9747b28c, 32 bits, as in Kafka's Java client. */
#ifndef BASE_MURMUR2_H
#define BASE_MURMUR2_H

#include "base/bytes.h"

uint32_t murmur2(struct bytes bytes);
uint32_t murmur2_partition(struct bytes key, uint32_t partition_count); /* toPositive(murmur2(key)) % partition_count */

#endif
