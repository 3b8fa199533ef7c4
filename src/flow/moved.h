/* moved.h - the note that a person has moved a pipeline to another place of its topic.
 *
 * A sink with offsets of its own does not know of that, and its word would count: so the next start asks which of the
 * two is right, and the note is forgotten in the unit that settles it.
 *
 * owner    written with the new commit point, in one unit; read and forgotten by the task
 * memory   the caller's rooms
 * errors   NEAP_NOTFOUND; NEAP_CORRUPT, NEAP_VERSION of a note that cannot be read
 * promise  while it is there, no start has settled the move
 *
 * FORMAT of a fact in LOG_VIEW_START; partition = the source's, key = pipeline name, '\0', "moved":
 *     0  1  format version 1      then uvarint: the commit point before the first move that is not settled */
#ifndef FLOW_MOVED_H
#define FLOW_MOVED_H

#include "log/log.h"

#define MOVED_SIZE_MAX 16u

size_t           moved_key(uint8_t *room, const char *pipeline); /* room: LOG_KEY_SIZE_MAX; answers its size */
struct bytes     moved_encode(log_offset before, uint8_t *room); /* room: MOVED_SIZE_MAX */
/* room: LOG_VALUE_SIZE_MAX bytes */
enum neap_status moved_get(struct log *log, struct log_partition source, const char *pipeline, uint8_t *room,
                           log_offset *ret_before);

#endif
