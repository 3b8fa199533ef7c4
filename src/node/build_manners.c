/* build_manners.c - manners of the pipeline file as destinations and waiting stages take them. */
#include "flow/retry_budget.h"
#include "node/node_parts.h"

/* A limit is kept evenly: at once begins what comes due in so long a time, which is about what a turn may be late. */
#define BURST_MS 10

static struct limit_rate rate_of(const struct config_limit *limit)
{
    if (limit->count == 0)
        return (struct limit_rate){ .count = 0 };
    uint64_t burst = (uint64_t)limit->count * BURST_MS / (uint64_t)limit->period_ms;
    return (struct limit_rate){ limit->count, limit->period_ms * NS_PER_MS, burst > 0 ? (uint32_t)burst : 1 };
}

struct destination_options build_manners(const struct config_manners *m, uint32_t concurrency_max)
{
    const struct config_breaker *b = &m->breaker;
    return (struct destination_options){
        .breaker = { .failure_percent = b->failure_percent,
                     .slow_percent = b->slow_percent,
                     .slow_call_ns = b->slow_call_ms * NS_PER_MS,
                     .window_count = b->window,
                     .minimum_call_count = b->minimum_calls,
                     .open_ns_min = b->open.least_ms * NS_PER_MS,
                     .open_ns_max = b->open.most_ms * NS_PER_MS,
                     .probe_count = b->probes },
        .budget = { m->retry.budget_percent, RETRY_BUDGET_FLOOR_PER_S, RETRY_BUDGET_LIVE_NS },
        .concurrency_min = m->concurrency.least < concurrency_max ? m->concurrency.least : concurrency_max,
        .concurrency_max = concurrency_max,
        .limit = rate_of(&m->limit),
    };
}

void build_waiting_manners(struct waiting *stage, const struct config_manners *m, uint32_t concurrency)
{
    stage->concurrency = concurrency;
    stage->timeout_ns = m->timeout_ms * NS_PER_MS;
    stage->retry = (struct retry_policy){ .attempt_count_max = m->retry.attempts,
                                          .backoff_ns_min = m->retry.backoff.least_ms * NS_PER_MS,
                                          .backoff_ns_max = m->retry.backoff.most_ms * NS_PER_MS };
}
