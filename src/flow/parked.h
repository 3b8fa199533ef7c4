/* parked.h - which keys wait, until when, and what waits behind them.
 *
 * The first parked event of a key has a time at which it is due; those behind it come after it, in the order in which they were
 * parked. It is given when it is due, and from then on it is at work: it is done with, or parked again where it was.
 *
 *     add ─▶ waits behind its key's first ─▶ rests until it is due ─▶ at work ─▶ done: the next of its key rests
 *                                              ▲                        │
 *                                              └──────── again ◀────────┘
 *
 * Times are of the wall: they are older than this life. A time that never comes parks the key until somebody says otherwise.
 *
 * owner    the task; one thread
 * memory   parked_memory_size(), taken in parked_new()
 * limits   count_max events
 * errors   AGAIN: they are as many already; nothing has changed
 * promise  P1  of a key, one event at a time is at work, in the order in which they were parked
 *          P2  none is given before it is due, and of those that are, the one due first comes first */
#ifndef FLOW_PARKED_H
#define FLOW_PARKED_H

#include "log/log.h"

#define PARKED_NONE  UINT32_MAX
#define PARKED_NEVER INT64_MAX

struct parked;

struct parked   *parked_new(uint32_t count_max); /* gives; NULL: out of memory */
void             parked_free(struct parked **parked);
size_t           parked_memory_size(uint32_t count_max);
void             parked_clear(struct parked *parked);

/* `offset`: where the event lies in the topic of those parked. */
enum neap_status parked_add(struct parked *parked, uint64_t hash, log_offset offset, wall_time due);
bool             parked_has(const struct parked *parked, uint64_t hash); /* a later event of this key is parked behind */
uint32_t         parked_take(struct parked *parked, wall_time now);     /* is at work from here on; PARKED_NONE: none is due */
log_offset       parked_offset(const struct parked *parked, uint32_t slot);
void             parked_again(struct parked *parked, uint32_t slot, wall_time due);
void             parked_done(struct parked *parked, uint32_t slot);
wall_time        parked_due(const struct parked *parked); /* of the one due next; PARKED_NEVER: none */
/* The first of this key, where it rests, is due at another time: a person wants it now. False: it does not rest. */
bool             parked_move(struct parked *parked, uint64_t hash, wall_time due);

struct parked_figures {
    uint32_t events, keys, at_work;
};
struct parked_figures parked_figures(const struct parked *parked);

#endif
