/* way_parts.h - what a way is made of: for way.c and way_turn.c alone.
 *
 * owner    as in way.h
 * memory   as in way.h
 * limits   as in way.h
 * errors   none of its own
 * promise  way.c knows where events are: the window's ends, lanes, rests; way_turn.c what happens to one when its turn has come */
#ifndef FLOW_WAY_PARTS_H
#define FLOW_WAY_PARTS_H

#include "base/dues.h"
#include "base/must.h"
#include "flow/lanes.h"
#include "flow/way.h"

#define WAY_MAGIC      0x57415920u
#define WAY_ROOM_PAUSE (2 * NS_PER_MS) /* whoever settles an event makes room without a word */

/* Of each slot, beside what the window has of it. */
struct way_step {
    struct waiting_work work;
    struct retry retry;
    struct failure failure;
    wall_time first_failed, last_failed;
    wall_time expires; /* 0: it never does */
    uint32_t attempt; /* from 1: as it was when it last had its turn */
    enum stage_outcome outcome;
    bool at_work, has_ended, duplicate;
    bool for_room; /* it rests until there is some */
    bool counted;  /* in the figures of the chain before its stage */
};

struct way {
    uint32_t magic;
    struct way_options o;
    struct window *window;
    struct lanes *lanes;
    struct dues *resting;
    uint32_t laid_slot; /* the last one */
    struct way_step *steps;
    uint32_t *ended; /* slots, a ring: in the order in which they ended */
    uint64_t ended_from, taken_to, ended_to;
    uint32_t partition, at_work;
    size_t typical;  /* size of what events become, on the large side */
    uint64_t unique; /* for those that are alone in their lanes */
    bool cancelled;
};

/* ---- way.c */
/* The words of the first failure and of the last one stay with the event. */
void         way_note_failure(struct way *y, uint32_t slot, const struct failure *failure);
void         way_end_here(struct way *y, uint32_t slot, enum stage_outcome outcome); /* it leaves its lane */
void         way_go_on(struct way *y, uint32_t slot);                                /* to the lane of the next stage */
void         way_rest(struct way *y, uint32_t slot, mono_time until);                /* at the head of its lane */
void         way_rest_for_room(struct way *y, uint32_t slot, mono_time until);       /* or until it is the first */
struct event way_event_of(const struct way *y, uint32_t slot);                       /* nothing parsed */

/* ---- way_turn.c */
void way_take_turn(struct way *y, uint32_t slot, mono_time now); /* it was taken from its lane */

#endif
