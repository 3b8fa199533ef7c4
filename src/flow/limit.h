/* limit.h - a rate that is never passed: `limit: 500/s`, or for each key `limit: {rate: 500/s, per: EXPR}`.
 *
 * owner    one shard: a destination's limit, or a table of limits
 * memory   24 bytes; a table takes one block in limit_keys_new(), 40 bytes at most for each of its keys, and nothing
 *          afterwards
 * limits   key_count_max keys that are not at rest: one more waits until the key that was used longest ago is at rest
 * errors   none; limit_keys_new() answers NULL when out of memory
 * promise  in any stretch of time T at most burst_count + T x rate calls are granted, to each key its own. A key is
 *          forgotten only when its bucket is full again, as a new one's is: forgetting never grants more. Two keys with
 *          the same 64-bit hash share a bucket, which grants less, never more
 *
 * GCRA: the bucket is one number, the time at which it is full again. A call moves it by the time that one call is
 * worth; it may begin while the bucket is not further from full than the burst is worth. */
#ifndef FLOW_LIMIT_H
#define FLOW_LIMIT_H

#include "base/units.h"

struct limit_rate {
    uint32_t count;       /* 500/s: 500 of them ... */
    int64_t period_ns;    /* ... a second; at least as many ns as count */
    uint32_t burst_count; /* may begin at once after a rest; at least 1: evenly spaced */
};

struct limit {
    int64_t call_ns, burst_ns; /* what one call is worth, rounded up; what a burst beyond its first call is worth */
    mono_time full_at;
};

void limit_init(struct limit *limit, const struct limit_rate *rate);
/* May a call begin now? false: not before *ret_not_before, which is later than now. Changes nothing. */
bool limit_ask(const struct limit *limit, mono_time now, mono_time *ret_not_before);
void limit_take(struct limit *limit, mono_time now);           /* it begins; after a yes at this very time */
bool limit_at_rest(const struct limit *limit, mono_time now);  /* the bucket is full: it remembers nothing */

struct limit_keys;
/* gives; NULL: out of memory */
struct limit_keys *limit_keys_new(const struct limit_rate *rate, uint32_t key_count_max);
void limit_keys_free(struct limit_keys **keys);
/* As above, for the key with this hash (bytes_hash() with a seed of chance). */
bool limit_keys_ask(const struct limit_keys *keys, uint64_t hash, mono_time now, mono_time *ret_not_before);
void limit_keys_take(struct limit_keys *keys, uint64_t hash, mono_time now);
bool limit_keys_at_rest(const struct limit_keys *keys, mono_time now); /* every bucket is full */
uint32_t limit_keys_count(const struct limit_keys *keys);              /* remembered, at rest or not */

#endif
