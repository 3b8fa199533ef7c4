/* dedup.h - which ids a partition has seen, and where first: within a time, and within a count.
 *
 * An event is a duplicate when its id is remembered at a lower offset. So an event that is processed again is none, and a table
 * that is older or newer than the commit point is as good as any: what it lacks is shown to it again, in order, from
 * dedup_seen() on.
 *
 * Time goes by in steps of a DEDUP_STEP_COUNT-th of the window, counted from 1970, so that the same log says the same: an id is
 * forgotten as a whole step at a time, when the window and at most a step more have passed since it was appended.
 *
 * owner    the task; one thread
 * memory   dedup_memory_size(): 24 bytes for each of count_max ids, taken in dedup_new()
 * limits   count_max ids; one more, and the oldest step of them is forgotten before its time: `cut_short` says how often
 *          that was, and `reaches_ms` how far back the table goes
 * errors   none
 * promise  D1  of two events with the same id within the window, the later one is a duplicate, whoever asks, however often, as
 *              long as they are shown in offset order and no step was cut short
 *          D2  an event is never a duplicate of itself, nor of what comes after it */
#ifndef FLOW_DEDUP_H
#define FLOW_DEDUP_H

#include "log/log.h"

#define DEDUP_STEP_COUNT    1024u
#define DEDUP_COUNT_MIN     1024u
#define DEDUP_COUNT_MAX     (1u << 30)
#define DEDUP_ENTRY_SIZE    16u

struct dedup_id { /* of a keyed hash: two ids with the same one are one */
    uint32_t part[3];
};

struct dedup;

struct dedup *dedup_new(int64_t window_ms, uint32_t count_max); /* gives; NULL: out of memory. A step is 1 ms at least */
void          dedup_free(struct dedup **dedup);
size_t        dedup_memory_size(uint32_t count_max);
void          dedup_clear(struct dedup *dedup, log_offset from); /* knows nothing of what comes before it */

/* Shows it an event: offset, time of append (which never falls) and id. True: a duplicate. What it has seen already it is asked
 * about again, and stays as it is. */
bool          dedup_check(struct dedup *dedup, log_offset offset, int64_t appended_ms, struct dedup_id id);
/* The entry of this id is read soon: whoever has several at hand says so of all of them first. */
void          dedup_expect(const struct dedup *dedup, struct dedup_id id);
/* An event without an id: time goes by, and it counts as seen. */
void          dedup_pass(struct dedup *dedup, log_offset offset, int64_t appended_ms);
log_offset    dedup_seen(const struct dedup *dedup); /* the first that was not shown yet */

struct dedup_figures {
    uint64_t count;      /* ids remembered */
    uint64_t cut_short;  /* steps that were forgotten before their time */
    int64_t reaches_ms;  /* the oldest time of append that is still remembered; INT64_MAX: none */
};
struct dedup_figures dedup_figures(const struct dedup *dedup);

#endif
