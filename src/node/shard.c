/* shard.c - the agent that owns the tasks: a turn of everything that has something to do. */
#include "node/node_parts.h"

static uint32_t work_pipeline(struct node_pipeline *np, mono_time now)
{
    uint32_t work = 0;
    if (np->pipeline == NULL)
        return 0;
    work += pipeline_work(np->pipeline, now);
    work += np->sink->verbs->work(np->sink);
    if (np->was_sink != NULL)
        work += np->was_sink->verbs->work(np->was_sink);
    for (uint32_t i = 0; i < np->topic.partition_count; i++)
        work += task_work(np->tasks[i], now);
    if (np->pipeline->status != NEAP_OK && !np->stop_told) {
        np->stop_told = true;
        node_pipeline_stopped(np, &np->pipeline->error);
    }
    if (np->pipeline->damage.status != NEAP_OK && !np->halt_told) {
        np->halt_told = true;
        node_pipeline_halted(np, &np->pipeline->damage);
    }
    return work;
}

static bool every_task(const struct node *n, bool (*holds)(const struct task *task))
{
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        const struct node_pipeline *np = &n->pipelines[i];
        for (uint32_t k = 0; np->pipeline != NULL && k < np->topic.partition_count; k++) {
            if (!holds(np->tasks[k]))
                return false;
        }
    }
    return true;
}

/* Nothing will be begun any more. */
static void finish_stages(struct node *n)
{
    for (uint32_t i = 0; i < n->pipeline_count; i++)
        for (uint32_t k = 0; k < n->pipelines[i].stage_count; k++) {
            struct waiting *stage = n->pipelines[i].stages[k];
            if (stage->verbs->finish != NULL)
                stage->verbs->finish(stage);
        }
}

static void drain(struct node *n)
{
    n->shard.draining = true;
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        struct node_pipeline *np = &n->pipelines[i];
        for (uint32_t k = 0; np->pipeline != NULL && k < np->topic.partition_count; k++)
            task_drain(np->tasks[k]);
    }
}

static uint32_t shard_work(void *ctx, mono_time now)
{
    struct node *n = ctx;
    struct shard *s = &n->shard;
    if (!atomic_load_explicit(&s->ready, memory_order_acquire))
        return 0; /* rule N1 */
    bool idle_asked = atomic_load(&s->idle_asked);
    if (!s->draining && atomic_load(&s->drain_asked))
        drain(n);
    uint32_t work = log_client_work(s->client);
    for (uint32_t i = 0; i < n->pipeline_count; i++)
        work += work_pipeline(&n->pipelines[i], now);
    if (work > 0)
        return work;
    bool idle = idle_asked && every_task(n, task_idle), at_rest = s->draining && every_task(n, task_at_rest);
    if (at_rest)
        finish_stages(n);
    bool is_news = idle != atomic_load(&s->idle) || at_rest != atomic_load(&s->at_rest);
    atomic_store(&s->idle, idle);
    atomic_store(&s->at_rest, at_rest);
    if (is_news)
        io_agent_wake(&n->main.agent);
    return 0;
}

enum neap_status shard_start(struct node *n, struct error *err)
{
    struct shard *s = &n->shard;
    s->agent = (struct io_agent){ .name = "shard", .work = shard_work, .ctx = n };
    enum neap_status status = io_agent_start(n->io, &s->agent, err);
    if (status != NEAP_OK)
        return error_while(err, "start the shard");
    s->started = true;
    struct log_client_options options = { .rank = LOG_RANK_PIPELINE, .agent = &s->agent };
    status = log_client_open(n->log, &options, &s->client, err);
    return status == NEAP_OK ? NEAP_OK : error_while(err, "open the shard's way into the log");
}

void shard_go(struct node *n)
{
    must(n->shard.started);
    atomic_store_explicit(&n->shard.ready, true, memory_order_release);
    io_agent_wake(&n->shard.agent);
}

void shard_stop(struct node *n)
{
    if (!n->shard.started)
        return;
    log_unwatch(n->log, &n->shard.agent);
    io_agent_stop(&n->shard.agent);
    n->shard.started = false;
}
