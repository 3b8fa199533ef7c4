/* retry_budget.h - how many retries a destination is worth, so that retries can never become the load.
 *
 * owner    one shard: a destination
 * memory   one struct of fixed size
 * limits   counts of one slot up to 2^32 - 1
 * errors   none
 * promise  in any 10 s, the retries are at most 100 and 20 % of the successes of those 10 s (with the defaults)
 *
 * The semantics are those of Finagle's RetryBudget (finagle-core, com.twitter.finagle.service.RetryBudget): a success
 * puts in a fraction of a token, a retry takes a whole one, both are forgotten after the time to live, and a reserve
 * worth floor_per_s for that time is always there. One difference: what is put in comes from successes, where Finagle
 * counts requests. So while everything fails there are floor_per_s retries a second, at any load.
 *
 * Time is cut into slots of a tenth of the time to live. A success lives through 10 slots, at most the time to live; a
 * retry counts through 11, at least the time to live: rounding makes it stricter, never laxer. */
#ifndef FLOW_RETRY_BUDGET_H
#define FLOW_RETRY_BUDGET_H

#include "base/units.h"

#define RETRY_BUDGET_SLOT_COUNT 11u

struct retry_budget_options {
    uint32_t percent;     /* of successes; default 20 */
    uint32_t floor_per_s; /* default 10; at least 1 */
    int64_t live_ns;      /* default 10 s; at least 1 s: the reserve is a token at least */
};
#define RETRY_BUDGET_PERCENT     20u
#define RETRY_BUDGET_FLOOR_PER_S 10u
#define RETRY_BUDGET_LIVE_NS     (10 * NS_PER_S)

struct retry_budget {
    int64_t slot_ns, slot; /* number of the slot that `now` lies in */
    int64_t reserve;       /* 1/100 tokens, as the balance */
    uint32_t percent;
    uint64_t success_sum, retry_sum; /* of the slots that count */
    uint32_t successes[RETRY_BUDGET_SLOT_COUNT], retries[RETRY_BUDGET_SLOT_COUNT]; /* by slot number, around */
};

void retry_budget_init(struct retry_budget *budget, const struct retry_budget_options *options, mono_time now);
void retry_budget_success(struct retry_budget *budget, mono_time now);
/* May a retry begin now? false: not before *ret_not_before, if nothing succeeds until then. Changes no count. */
bool retry_budget_ask(struct retry_budget *budget, mono_time now, mono_time *ret_not_before);
void retry_budget_take(struct retry_budget *budget, mono_time now);    /* it begins; after a yes at this very time */
int64_t retry_budget_left(struct retry_budget *budget, mono_time now); /* whole retries, for status; may be below 0 */
bool retry_budget_at_rest(struct retry_budget *budget, mono_time now); /* no retry is remembered: it is as a new one */

#endif
