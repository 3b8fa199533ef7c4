/* lanes.h - which events may be at work: of one key one at a time in a stage, of many keys many side by side.
 *
 * An event is a slot, a number below slot_count that its owner has given it. It stands in the lane of its stage and key. The
 * first of a lane is ready, at work, or rests until it is tried again; those behind it wait for it.
 *
 *     put ─▶ waits ─▶ ready ─▶ at work ─▶ done: it is nowhere any more, and the one behind it is ready
 *                       ▲         │
 *                       └─ rests ◀┘
 *
 * A key is known by 64 bits of its hash: two keys that share them wait for each other, and that is all. What has no key, or
 * needs no order, comes with a hash of its own; what keeps the order of its partition comes with one hash for all.
 *
 * owner    the task; one thread
 * memory   lanes_size(), taken in lanes_new()
 * limits   slot_count events in all stages together, each in one; LANES_STAGE_COUNT_MAX stages
 * errors   none: whatever does not fit is a bug, and asserts
 * promise  L1  of the events of a lane never two are at work
 *          L2  they come to work in the order in which they were put, each once, or again after it rested
 *          L3  the lane that became ready first is taken first */
#ifndef FLOW_LANES_H
#define FLOW_LANES_H

#include "base/units.h"
#include <stdbool.h>
#include <stddef.h>

#define LANES_NONE            UINT32_MAX
#define LANES_STAGE_COUNT_MAX 64u

struct lanes;

struct lanes *lanes_new(uint32_t slot_count, uint32_t stage_count); /* gives; NULL: out of memory */
void          lanes_free(struct lanes **lanes);
size_t        lanes_size(uint32_t slot_count, uint32_t stage_count);
void          lanes_clear(struct lanes *lanes); /* no event is anywhere */

/* An event of this hash is put soon: whoever has several at hand says so of all of them first, and waits for memory once. */
void          lanes_expect(const struct lanes *lanes, uint32_t stage, uint64_t hash);
void          lanes_put(struct lanes *lanes, uint32_t stage, uint32_t slot, uint64_t hash);
/* The first of the lane that has been ready longest is at work from here on. LANES_NONE: no lane of this stage is ready. */
uint32_t      lanes_take(struct lanes *lanes, uint32_t stage);
void          lanes_done(struct lanes *lanes, uint32_t slot);  /* of one at work, or at rest */
void          lanes_rest(struct lanes *lanes, uint32_t slot);  /* of one at work: its lane stands still … */
void          lanes_again(struct lanes *lanes, uint32_t slot); /* … until here; it is ready, behind those that are */

uint32_t      lanes_first(const struct lanes *lanes, uint32_t stage, uint64_t hash); /* of its lane; LANES_NONE: there is none */
uint32_t      lanes_behind(const struct lanes *lanes, uint32_t slot); /* the next of its lane; LANES_NONE: it is the last */

struct lanes_figures { /* of one stage */
    uint32_t ready;    /* lanes */
    uint32_t at_work, resting, waiting; /* events; with those ready all that stand in this stage */
};
struct lanes_figures lanes_figures(const struct lanes *lanes, uint32_t stage);

#endif
