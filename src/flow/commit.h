/* commit.h - how far a task has come: a commit point, and the set of offsets that are done beyond it.
 *
 * owner    the task; one thread
 * memory   16 bytes per run of neighbouring offsets, doubled up to run_count_max runs
 * limits   run_count_max runs; one more and commit_add() answers NEAP_FULL, changing nothing
 * errors   NEAP_FULL, NEAP_NOMEM; NEAP_CORRUPT and NEAP_VERSION from a set that was read
 * promise  an offset that was added is done until the point has passed it; nothing else is
 *
 * FORMAT of a set in a committed offset (log.h: LOG_OFFSET); an empty set is no bytes at all
 *     0  1  format version 1      then for each run, in order: uvarint start - end of the run before (the first: 0),
 *                                 uvarint size, at least 1; two runs never touch
 * What does not fit into LOG_VALUE_SIZE_MAX is left out from the far end: the fates beside it remember those.
 * One byte 0 instead of a set: nothing has been committed there yet, the offset only keeps retention from passing it. */
#ifndef FLOW_COMMIT_H
#define FLOW_COMMIT_H

#include "log/log.h"

struct commit_run {
    uint64_t start, end; /* [start, end) */
};

struct commit {
    log_offset point; /* everything below is done, and the sink and the log hold it */
    struct commit_run *runs;
    uint32_t run_count, run_room, run_count_max;
    uint64_t count; /* offsets in all runs */
};

void commit_init(struct commit *c, log_offset point, uint32_t run_count_max);
void commit_fini(struct commit *c);
enum neap_status commit_add(struct commit *c, log_offset offset); /* below the point, or there already: OK, no change */
bool commit_has(const struct commit *c, log_offset offset);
/* The first offset at or after `from` that is in the set. */
bool commit_next(const struct commit *c, log_offset from, log_offset *ret_offset);
void commit_move(struct commit *c, log_offset point); /* never back; what lies below leaves the set */
log_offset commit_lowest(const struct commit *c);     /* at or after the point, the first that is not done */
uint64_t commit_within(const struct commit *c, log_offset from, log_offset to); /* how many of the set lie in [from, to) */
/* Adds what `other` has beyond the point of `c`; takes away whatever `other` has. FULL, NOMEM: nothing has changed. */
enum neap_status commit_join(struct commit *c, const struct commit *other);
enum neap_status commit_part(struct commit *c, const struct commit *other);
bool commit_fits(const struct commit *c); /* commit_encode() leaves nothing out */
/* room: LOG_VALUE_SIZE_MAX bytes. */
struct bytes commit_encode(const struct commit *c, uint8_t *room);
struct bytes commit_held(void); /* in the place of a set: nothing was committed yet */
bool commit_is_held(struct bytes set);
/* Adds what a set says; what lies below the point is left out. Nothing has changed when the bytes are refused. */
enum neap_status commit_unite(struct commit *c, struct bytes set);

#endif
