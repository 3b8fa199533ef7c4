/* fate.h - what became of an event beyond the commit point: a fact, durable before anything passes it.
 *
 * A dead letter and "offset N is dead" are one unit. At start those offsets are done; once the commit point has passed
 * them they are forgotten in the unit that moved it.
 *
 * FORMAT of a fact in LOG_VIEW_FATE; partition = the source's, key = pipeline name, '\0', offset (8 bytes, big-endian),
 * value = the reason, as in the dead letter. */
#ifndef FLOW_FATE_H
#define FLOW_FATE_H

#include "flow/commit.h"

#define FATE_KEY_SIZE_MAX (LOG_NAME_SIZE_MAX + 1 + 8)

size_t fate_key_size(const char *pipeline);
size_t fate_key(uint8_t *room, const char *pipeline, log_offset offset); /* room: fate_key_size() bytes */
/* NEAP_BADINPUT: not a key of this pipeline. */
enum neap_status fate_key_read(struct bytes key, const char *pipeline, log_offset *ret_offset);

/* Adds every remembered fate at or beyond the point to the set. */
enum neap_status fate_load(struct log *log, struct log_partition source, const char *pipeline, struct commit *done);
/* Up to `count_max` offsets below `point` whose fates are still remembered; answers how many. */
uint32_t fate_below(struct log *log, struct log_partition source, const char *pipeline, log_offset point,
                    log_offset *room, uint32_t count_max);

#endif
