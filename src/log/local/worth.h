/* worth.h - which archives of a topic are worth becoming one, and which are worth compacting.
 *
 * owner    pure functions of the shared state, under its mutex
 * limits   64 archives become one, of as many batches as an index holds and 1 GiB; compacted is all that there is room for
 * promise  archives that become one are neighbours: nothing that lies between them is in a journal file. A compaction leaves
 *          out no archive from which a newer one may have to take a key's record, up to what there is room for; its
 *          tombstones go only where nothing lies before */
#ifndef LOG_LOCAL_WORTH_H
#define LOG_LOCAL_WORTH_H

#include "log/local/archive.h"
#include "log/local/clock.h"

#define ARCHIVE_SLACK 16384u /* of what comes out, beside a quarter of its batches: its index */

bool worth_nothing(const struct archive *a); /* it is left as it is */
/* Under the mutex: bytes that a compaction of them takes at least, as each has every key once or is yet to be compacted. */
uint64_t worth_room(struct archive *const *list, uint32_t count);
/* How many from `list[0]` on can become one, and are worth it; 0: none. */
uint32_t worth_joining(struct log *log, struct archive *const *list, uint32_t count);
/* Of the topic's `count` archives, how many from list[*ret_first] on are to be compacted now, and which of their tombstones have
 * been there long enough to go; 0: none. */
uint32_t worth_compacting(struct log *log, struct clock *clock, struct archive *const *list, uint32_t count,
                          uint32_t *ret_first, struct clock_cut *ret_tombstones);

#endif
