#include "flow/retry.h"
#include "base/chance.h"
#include "base/must.h"

/* The n-th wait is at most so long. */
static int64_t ceiling_of(const struct retry_policy *policy, uint64_t n)
{
    int64_t ceiling = policy->backoff_ns_min;
    for (; n > 0 && ceiling < policy->backoff_ns_max; n--) {
        if (ceiling == 0 || ceiling > policy->backoff_ns_max / 2)
            return policy->backoff_ns_max;
        ceiling *= 2;
    }
    return ceiling;
}

enum retry_step retry_ended(struct retry *retry, const struct retry_policy *policy, enum outcome outcome,
                            int64_t retry_after_ns, mono_time now, uint64_t chance, mono_time *ret_due)
{
    must(policy->attempt_count_max > 0);
    must(0 <= policy->backoff_ns_min && policy->backoff_ns_min <= policy->backoff_ns_max && retry_after_ns >= 0);
    uint32_t *count = outcome == OUTCOME_RELEASED ? &retry->release_count : &retry->attempt_count;
    *count += *count < UINT32_MAX;
    if (outcome == OUTCOME_DELIVERED)
        return RETRY_DONE;
    bool last = outcome != OUTCOME_RELEASED && retry->attempt_count >= policy->attempt_count_max;
    if (outcome == OUTCOME_PERMANENT || last)
        return RETRY_GIVE_UP;
    int64_t least = policy->backoff_ns_min;
    int64_t most = ceiling_of(policy, (uint64_t)retry->attempt_count + retry->release_count);
    int64_t wait = chance_between(chance, least, most);
    if (retry_after_ns > 0) {
        int64_t asked = retry_after_ns < RETRY_AFTER_NS_MAX ? retry_after_ns : RETRY_AFTER_NS_MAX;
        wait = (asked > least ? asked : least) + (wait - least);
    }
    *ret_due = mono_after(now, wait);
    return RETRY_AGAIN;
}
