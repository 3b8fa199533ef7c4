/* build_exec.c - stages that are programs: each is a destination of its own, for its breaker and its budget of retries. */
#include "flow/retry_budget.h"
#include "node/node_parts.h"
#include "stage/exec.h"

static struct destination_options manners_of(const struct config_manners *m, uint32_t concurrency)
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
        .concurrency_min = m->concurrency.least < concurrency ? m->concurrency.least : concurrency,
        .concurrency_max = concurrency,
    };
}

static enum neap_status acquire(struct node *n, const struct config_stage *c, uint32_t concurrency,
                                struct node_waiting *own, struct error *err)
{
    struct destination_options manners = manners_of(&c->manners, concurrency);
    own->table = destinations_new(1);
    if (own->table == NULL ||
        destinations_acquire(own->table, BYTES("exec"), &manners, io_now(n->io), &own->destination) != NEAP_OK)
        return error_set(err, NEAP_NOMEM, "out of memory");
    return NEAP_OK;
}

struct waiting *build_exec(struct node_pipeline *np, const struct config_stage *c, struct node_waiting *own,
                           struct error *err)
{
    struct node *n = np->node;
    uint32_t concurrency = budget_children(c);
    if (acquire(n, c, concurrency, own, err) != NEAP_OK)
        return NULL;
    struct exec_options options = { .io = n->io,
                                    .logging = n->options.logging,
                                    .owner = &n->shard.agent,
                                    .parser = n->shard.parser,
                                    .rules = c->manners.retry.rules,
                                    .destination = own->destination,
                                    .arguments = c->command,
                                    .folder = n->config->folder,
                                    .pipeline = np->config->name,
                                    .stage = c->name,
                                    .protocol =
                                        c->protocol == CONFIG_PROTOCOL_LINES ? EXEC_PROTOCOL_LINES : EXEC_PROTOCOL_NEAP,
                                    .concurrency = concurrency,
                                    .event_size_max = n->budget.event_size_max };
    struct waiting *stage = exec_new(&options);
    if (stage == NULL)
        return NULL;
    stage->concurrency = concurrency;
    stage->timeout_ns = c->manners.timeout_ms * NS_PER_MS;
    stage->retry = (struct retry_policy){ .attempt_count_max = c->manners.retry.attempts,
                                          .backoff_ns_min = c->manners.retry.backoff.least_ms * NS_PER_MS,
                                          .backoff_ns_max = c->manners.retry.backoff.most_ms * NS_PER_MS };
    return stage;
}
