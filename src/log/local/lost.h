/* lost.h - offsets that were declared lost: a part of the views.
 *
 * owner    changed by the journal agent (and by recovery, alone) under the shared mutex, as all views are
 * memory   24 bytes a range, LOST_RANGE_COUNT_MAX of them
 * limits   LOST_RANGE_COUNT_MAX ranges in the whole log, neighbours are one; half of them can be asked for, the other half
 *          is for what is on its way
 * errors   FULL, NOMEM: nothing has changed
 * promise  ranges of a partition neither touch nor overlap; `count` alone may be read without the mutex */
#ifndef LOG_LOCAL_LOST_H
#define LOG_LOCAL_LOST_H

#include "log/log.h"
#include <stdatomic.h>

#define LOST_RANGE_COUNT_MAX 4096u

struct lost_range {
    struct log_partition partition;
    uint64_t first, end; /* [first, end) */
};

struct lost {
    struct lost_range *list; /* by topic id, partition and offset */
    uint32_t room, room_max; /* room_max 0: LOST_RANGE_COUNT_MAX */
    _Atomic uint32_t count;
};

void lost_fini(struct lost *l);
enum neap_status lost_add(struct lost *l, struct log_partition partition, uint64_t first, uint64_t end);
/* Before it is written: REFUSED past the partition's end, FULL. */
enum neap_status lost_check(const struct lost *l, uint64_t end, uint64_t first, uint64_t count);
/* The first range of the partition that ends after `from`; NULL: none. */
const struct lost_range *lost_next(const struct lost *l, struct log_partition partition, uint64_t from);
/* Where to go on: the end of the range that holds the offset, or the offset itself. */
uint64_t lost_pass(const struct lost *l, struct log_partition partition, uint64_t offset);
uint64_t lost_sum(const struct lost *l); /* offsets in all ranges */
uint64_t lost_within(const struct lost *l, struct log_partition partition, uint64_t from, uint64_t to); /* so many of these */
void lost_drop_topic(struct lost *l, uint32_t topic_id);
void lost_trim(struct lost *l, struct log_partition partition, uint64_t start); /* what lies before it is not kept */

#endif
