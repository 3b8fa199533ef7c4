/* build_exec.c - stages that are programs: each is a destination of its own, for its breaker and its budget of retries. */
#include "node/node_parts.h"
#include "stage/exec.h"

static enum neap_status acquire(struct node *n, const struct config_stage *c, uint32_t concurrency,
                                struct node_waiting *own, struct error *err)
{
    struct destination_options manners = build_manners(&c->manners, concurrency);
    manners.limit = (struct limit_rate){ .count = 0 }; /* a limit is of calls to others: the grammar has none here */
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
    build_waiting_manners(stage, &c->manners, concurrency);
    return stage;
}
