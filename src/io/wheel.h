/* wheel.h - timers that are due, found without looking at those that are not: a hierarchical timing wheel.
 *
 * owner    one agent; only its thread (or, in the simulated door, only the scheduler on its behalf)
 * memory   about 4 KiB, in the caller's struct; a timer brings its own links
 * limits   none: setting, moving and cancelling cost the same for any number of timers and any distance
 * errors   none
 * promise  a timer is never given early; it is given by the first wheel_advance() at or after the tick that follows its
 *          due time. One set for a time already passed is given at the next tick, never within the same advance, so a
 *          timer that sets itself again cannot hold its agent. Timers of one tick come in no promised order
 *
 *     wheel_advance(&wheel, now);
 *     while ((timer = wheel_take(&wheel)) != NULL)
 *         timer->fire(timer, now);
 *     rest until wheel_next(&wheel) */
#ifndef IO_WHEEL_H
#define IO_WHEEL_H

#include "io/io.h"

#define WHEEL_TICK_NS     100000ll
#define WHEEL_LEVEL_COUNT 8u /* 64^8 ticks of 100 us: nine hundred years, past the end of mono_time */
#define WHEEL_SLOT_COUNT  64u

struct wheel {
    uint32_t magic;
    uint64_t tick;                    /* every timer up to this tick is in `ready` or has been taken */
    struct io_timer *ready;           /* due, not yet taken */
    uint64_t used[WHEEL_LEVEL_COUNT]; /* bit n: slot n holds a timer */
    struct io_timer *slots[WHEEL_LEVEL_COUNT][WHEEL_SLOT_COUNT];
};

void wheel_init(struct wheel *wheel, mono_time now);
void wheel_set(struct wheel *wheel, struct io_timer *timer, mono_time due); /* keeps it until given; again: moves it */
void wheel_cancel(struct wheel *wheel, struct io_timer *timer);             /* fine when not set */
void wheel_advance(struct wheel *wheel, mono_time now);                     /* `now` never goes back */
struct io_timer *wheel_take(struct wheel *wheel); /* gives one that is due, no longer set; NULL: none left */
void wheel_clear(struct wheel *wheel);            /* none is set any more */
mono_time wheel_next(const struct wheel *wheel);  /* no timer is given before it; MONO_NEVER: none is set */

#endif
