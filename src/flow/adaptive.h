/* adaptive.h - how many calls a destination can have at once before they only queue there: `concurrency: 8..256`.
 *
 * owner    one shard: a destination
 * memory   one struct of fixed size
 * limits   never outside count_min .. count_max; where they are the same, nothing is measured
 * errors   none
 * promise  under load without end it settles at half again what the destination works on at once, whatever range it was
 *          given; a limit that is not used does not move; calls that time out lower it, other failures and releases are
 *          not looked at
 *
 * The step is that of Gradient2 in Netflix's concurrency-limits: limit x gradient + 4, smoothed by a fifth, where the
 * gradient is 1.5 x base latency / latency, between a half and one. What the base latency is, is not: there it is a
 * long average, which under load without end (a backlog is just that) follows the queue it causes: before 32 servers at
 * 40 ms it takes the limit to 256, and the latency to 320 ms (test_adaptive). So, as in Envoy's gradient controller,
 * the base is measured now and then with fewer calls: at half the limit. There this cannot drift: a queue that grows
 * with the limit is half as long at half of it, and a half is less than 1 / 1.5.
 *
 *     calls at once   ___/‾‾‾‾‾‾‾‾‾‾\__/‾‾‾‾‾‾‾‾‾‾‾‾‾\__/‾‾‾‾
 *                     base          base             base      (every 40 windows, or 10 while it moves;
 *                                                                 at once where it has become threefold for good) */
#ifndef FLOW_ADAPTIVE_H
#define FLOW_ADAPTIVE_H

#include "flow/outcome.h"

struct adaptive {
    uint32_t count_min, count_max;
    uint64_t limit_256;          /* in 256ths */
    int64_t base_ns;             /* latency without a queue; 0: not known yet */
    enum { ADAPTIVE_WORK, ADAPTIVE_SETTLE, ADAPTIVE_MEASURE } phase;
    uint32_t measure_due_count;  /* windows until the base is measured again */
    uint32_t slow_window_count;  /* one after the other, three times as slow as the base, or slower */
    struct adaptive_window {
        mono_time end_min;
        int64_t latency_ns_sum;
        uint32_t call_count, timeout_count, inflight_count_max;
    } window;
};

void adaptive_init(struct adaptive *adaptive, uint32_t count_min, uint32_t count_max);
uint32_t adaptive_limit(const struct adaptive *adaptive); /* so many calls may be in flight */
/* One has ended, of inflight_count with itself. */
void adaptive_done(struct adaptive *adaptive, enum outcome outcome, bool timed_out, int64_t latency_ns,
                   uint32_t inflight_count, mono_time now);

#endif
