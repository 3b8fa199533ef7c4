/* losses.h - offsets that clients declared lost: passed over by readers, in no life served again, and nothing else is.
 *
 * owner    the caller's
 * memory   a list in the truth of each partition (starts.h)
 * promise  what was declared follows from the units that are there, and from nothing that the log says */
#ifndef SIM_LOSSES_H
#define SIM_LOSSES_H

#include "check.h"
#include "starts.h"

/* One more operation: some of what is there now, rarely something past the end, which is refused. */
void losses_add(struct log *log, struct model *model, struct unit *unit, uint32_t topic, uint64_t *chance);

uint64_t losses_pass(const struct partition_truth *p, uint64_t offset); /* where a reader goes on */
bool losses_hide(const struct partition_truth *p, uint64_t first, uint64_t end); /* every offset of it */
/* NULL: the log says of every offset from p->start on the same as the units that are there. */
const char *losses_wrong(struct log *log, struct log_partition where, const struct partition_truth *p, uint64_t end);
/* Whether all of [first, end) may have been declared lost by now. */
bool losses_may_hide(const struct model *model, uint32_t topic, uint32_t partition, uint64_t first, uint64_t end);

#endif
