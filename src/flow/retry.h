/* retry.h - whether an event tries again after a call has ended, and when.
 *
 * owner    the task: one struct retry for each event at each step, 8 bytes that start as zeros
 * memory   none is taken
 * limits   attempt_count_max calls that ended transient; any number of releases, which cost no attempt. An event that
 *          comes back to a policy with fewer attempts than it has had gives up with its next failure
 * errors   none: the answer is the decision
 * promise  a wait lies between backoff_ns_min and backoff_ns_max, and is never shorter than Retry-After asked for (of
 *          which RETRY_AFTER_NS_MAX is believed). Events that failed together do not come back together
 *
 * The n-th wait is anywhere, each moment as likely, from backoff_ns_min up to backoff_ns_min doubled n times, which
 * backoff_ns_max caps: exponential backoff with full jitter above a floor. Releases count as waits there: who is told
 * "later" again and again asks less and less often. What Retry-After asks for is waited first, and the same jitter on
 * top.
 *
 *     wait 1  |  min ▒▒▒▒ 2 min
 *     wait 2  |  min ▒▒▒▒▒▒▒▒▒▒▒▒ 4 min
 *     wait 3  |  min ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒ 8 min, and so on up to max */
#ifndef FLOW_RETRY_H
#define FLOW_RETRY_H

#include "flow/outcome.h"

#define RETRY_AFTER_NS_MAX (3600 * NS_PER_S) /* who asks for a day has made a slip, or hopes that we do */

struct retry_policy {
    uint32_t attempt_count_max;             /* with the first try; at least 1 */
    int64_t backoff_ns_min, backoff_ns_max; /* 0 <= min <= max */
};

struct retry {
    uint32_t attempt_count; /* calls that ended, releases not counted */
    uint32_t release_count;
};

enum retry_step {
    RETRY_DONE,    /* delivered */
    RETRY_AGAIN,   /* not before the time that is given */
    RETRY_GIVE_UP, /* permanent, or the last attempt: a dead letter, `attempt_count` its history */
};

/* A call has ended. Counts it and decides. retry_after_ns: what the destination asked for, 0: nothing. */
enum retry_step retry_ended(struct retry *retry, const struct retry_policy *policy, enum outcome outcome,
                            int64_t retry_after_ns, mono_time now, uint64_t chance, mono_time *ret_due);

/* The Retry-After of an answer: seconds, or a date in one of the three forms of RFC 9110 (section 5.6.7), as ns from
 * `now`. A date that has passed is 0. false: neither. */
bool retry_after_read(struct bytes text, wall_time now, int64_t *ret_ns);

#endif
