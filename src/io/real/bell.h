/* bell.h - where one thread rests until another has something for it; private to src/io/real.
 *
 * owner    one thread rests on it; any thread rings
 * memory   four bytes
 * errors   none
 * promise  after bell_ring() the resting thread passes bell_awake() once more, and what was written before the ring is
 *          seen after that
 *
 *                 bell_awake()          bell_lie_down()
 *     RUNG, RESTS ------------> AWAKE ------------------> RESTS
 *                                 | bell_ring()             | bell_ring(): the caller wakes the sleeper
 *                                 v                         v
 *                                RUNG                      RUNG
 *
 * Ringing for a thread that is awake costs one atomic exchange. It is an exchange even when the bell is rung already: the
 * ringer's writes must come before the sleeper's next bell_awake(), and a plain load would not order them. */
#ifndef IO_REAL_BELL_H
#define IO_REAL_BELL_H

#include "base/units.h"
#include <stdatomic.h>

enum bell_state { BELL_AWAKE, BELL_RUNG, BELL_RESTS, BELL_RESTS_IN_LOOP };

struct bell {
    _Atomic uint32_t state;
};

static inline void bell_awake(struct bell *bell)
{
    atomic_exchange_explicit(&bell->state, BELL_AWAKE, memory_order_acq_rel);
}

/* BELL_RESTS: rouse it by bell_rouse(); BELL_RESTS_IN_LOOP: there; else nothing more is to do. */
static inline enum bell_state bell_ring(struct bell *bell)
{
    return (enum bell_state)atomic_exchange_explicit(&bell->state, BELL_RUNG, memory_order_acq_rel);
}

/* `how` is one of the two ways to rest. False: it was rung since bell_awake(); do not rest. */
static inline bool bell_lie_down(struct bell *bell, enum bell_state how)
{
    uint32_t awake = BELL_AWAKE;
    return atomic_compare_exchange_strong_explicit(&bell->state, &awake, how, memory_order_acq_rel,
                                                   memory_order_acquire);
}

void bell_rest(struct bell *bell, mono_time until); /* after bell_lie_down(); may return early */
void bell_rouse(struct bell *bell);                 /* wakes who is in bell_rest() */

#endif
