/* build.c - from a checked pipeline file to chains, tasks and gates. */
#include "io/vfs.h"
#include "node/node_parts.h"

mono_time build_deadline(struct node *n)
{
    return mono_after(io_now(n->io), NODE_WAIT_NS);
}

enum neap_status build_no_memory(const struct node_pipeline *np, struct error *err)
{
    return error_set(err, NEAP_NOMEM, "pipeline %s: out of memory", np->config->name);
}

/* ---- expressions --------------------------------------------------------------------------------------------------- */

enum neap_status build_expr(struct node *n, const struct config_expr *expr, const char *what, const char *name,
                            struct expr **ret_expr, struct error *err)
{
    struct expr_place *place = arena_zero(n->arena, sizeof *place); /* kept as long as the expression */
    if (place == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    *place = (struct expr_place){ .file = n->config->file, .line = expr->place.line, .column = expr->place.column };
    place->what = name == NULL ? what : arena_text(n->arena, "%s %s", what, name);
    if (place->what == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    return expr_new(n->shard.machine, expr->text, place, ret_expr, err);
}

/* ---- pipelines and tasks -------------------------------------------------------------------------------------------- */

static struct pipeline_dedup dedup_of(struct node_pipeline *np)
{
    const struct config_stage *c = config_dedup(np->config);
    if (c == NULL)
        return (struct pipeline_dedup){ .door = NULL };
    return (struct pipeline_dedup){ .door = &np->dedup,
                                    .topic_id = np->ids.id,
                                    .partition_count = np->ids.partition_count,
                                    .window_ms = c->dedup.time_ms,
                                    .count_max =
                                        budget_dedup_count(np->node->config, np->config, np->topic.partition_count) };
}

static enum neap_status build_tasks(struct node_pipeline *np, uint64_t owner_epoch, struct error *err)
{
    struct node *n = np->node;
    static const enum start_rule rules[] = { [CONFIG_START_DEFAULT] = START_DEFAULT,
                                             [CONFIG_START_SINK] = START_SINK,
                                             [CONFIG_START_EARLIEST] = START_EARLIEST,
                                             [CONFIG_START_COMMITTED] = START_COMMITTED };
    static const enum way_order orders[] = { [CONFIG_ORDER_KEY] = WAY_ORDER_KEY,
                                             [CONFIG_ORDER_PARTITION] = WAY_ORDER_PARTITION,
                                             [CONFIG_ORDER_NONE] = WAY_ORDER_NONE };
    uint32_t count = np->topic.partition_count;
    struct pipeline_options options = { .io = n->io,
                                        .log = n->log,
                                        .logging = n->options.logging,
                                        .agent = &n->shard.agent,
                                        .client = n->shard.client,
                                        .arena = n->shard.arena,
                                        .letter_arena = n->shard.letter_arena,
                                        .unpack = &n->shard.unpack,
                                        .name = np->config->name,
                                        .topic = np->topic.name,
                                        .topic_id = np->topic.id,
                                        .partition_count = count,
                                        .dead_topic_id = np->dead.id,
                                        .dead_partition_count = np->dead.partition_count,
                                        .chain = np->chain,
                                        .sink = np->sink,
                                        .was_sink = np->was_sink,
                                        .start = rules[np->config->start],
                                        .owner_epoch = owner_epoch,
                                        .stages = np->stages,
                                        .chains = np->chains,
                                        .stage_count = np->stage_count,
                                        .order = orders[np->config->order],
                                        .window = budget_window(&n->budget, np->config),
                                        .dedup = dedup_of(np),
                                        .expires_ms = np->config->expires_ms,
                                        .kit_count = budget_kit_count(&n->budget, n->config, np->config, count),
                                        .read_size = n->budget.reader_size };
    np->tasks = arena_zero(n->arena, count * sizeof(struct task *));
    if (np->tasks == NULL)
        return build_no_memory(np, err);
    struct pipeline *pipeline;
    enum neap_status status = pipeline_open(&options, &pipeline, err);
    if (status != NEAP_OK)
        return status;
    np->pipeline = pipeline;
    for (uint32_t i = 0; i < count && status == NEAP_OK; i++)
        status = task_new(pipeline, i, &np->tasks[i], err);
    return status;
}

static enum neap_status build_pipeline(struct node_pipeline *np, struct error *err)
{
    struct node *n = np->node;
    uint64_t owner_epoch = 0;
    struct log_partition source = { np->topic.id, 0 };
    bool has_sink = np->config->sink.kind != CONFIG_SINK_NONE;
    enum neap_status status = pipeline_raise_epoch(n->io, n->log, n->client, source, np->config->name, has_sink,
                                                   build_deadline(n), &owner_epoch, err);
    if (status != NEAP_OK)
        return status;
    status = build_mark_branch(np, err);
    if (status != NEAP_OK || !has_sink)
        return status; /* one without a sink is let go of at the end: build_let_go() */
    const char **family;
    if (!build_family(np, &family))
        return build_no_memory(np, err);
    status = pipeline_hold(n->log, n->client, np->topic.id, np->topic.partition_count, np->config->name, family,
                           build_deadline(n), err);
    if (status != NEAP_OK)
        return status;
    if (config_dedup(np->config) != NULL)
        status = dedup_secret(n->io, n->log, n->client, np->ids.id, build_deadline(n), np->dedup.secret, err);
    if (status == NEAP_OK)
        status = build_stages(np, err);
    if (status == NEAP_OK)
        status = build_sink_exprs(np, err);
    if (status == NEAP_OK)
        status = build_sink(np, err);
    if (status == NEAP_OK)
        status = build_was_sink(np, err);
    return status == NEAP_OK ? build_tasks(np, owner_epoch, err) : status;
}

static const char *environment(void *ctx, const char *name)
{
    return io_environment(ctx, name);
}

static struct expr_options expr_options(struct node *n)
{
    return (
        struct expr_options){ .memory_size_max = n->budget.expr_size_max, .environment = environment, .ctx = n->io };
}

static enum neap_status open_pools(struct node *n, struct error *err)
{
    static const enum pool_reject rejects[] = { [CONFIG_POOL_BLOCK] = POOL_BLOCK,
                                                [CONFIG_POOL_REJECT] = POOL_REJECT,
                                                [CONFIG_POOL_DROP_NEWEST] = POOL_DROP_NEWEST,
                                                [CONFIG_POOL_DROP_OLDEST] = POOL_DROP_OLDEST,
                                                [CONFIG_POOL_CALLER_RUNS] = POOL_CALLER_RUNS };
    enum neap_status status = NEAP_OK;
    n->shard.pools = arena_zero(n->arena, (n->config->pool_count + 1) * sizeof(struct pool *));
    if (n->shard.pools == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    for (uint32_t i = 0; i < n->config->pool_count && status == NEAP_OK; i++) {
        const struct config_pool *c = &n->config->pools[i];
        struct pool_options options = { .io = n->io,
                                        .owner = &n->shard.agent,
                                        .name = c->name,
                                        .size = { .core = c->core,
                                                  .max = c->max,
                                                  .queue = c->queue,
                                                  .idle_ns = c->idle_ms * NS_PER_MS,
                                                  .reject = rejects[c->reject] } };
        status = pool_open(&options, &n->shard.pools[i], err);
    }
    return status;
}

enum neap_status build_shard(struct node *n, struct error *err)
{
    struct shard *s = &n->shard;
    struct expr_options options = expr_options(n);
    s->parser = json_parser_new(n->budget.event_size_max);
    s->arena = arena_new(256u << 10, n->budget.arena_size_max);
    s->letter_arena = arena_new(64u << 10, 1u << 20);
    codec_room_init(&s->unpack, n->budget.unpack_size_max);
    if (s->parser == NULL || s->arena == NULL || s->letter_arena == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    enum neap_status status = open_pools(n, err);
    if (status != NEAP_OK)
        return status;
    s->machine = expr_machine_new(&options, err);
    if (s->machine == NULL)
        return error_while(err, "set expressions up");
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        if (build_pipeline(&n->pipelines[i], err) != NEAP_OK)
            return error_while(err, "pipeline %s", n->pipelines[i].config->name);
    }
    return build_let_go(n, err);
}

/* ---- gates --------------------------------------------------------------------------------------------------------- */

static void gate_ended(void *ctx)
{
    struct node_pipeline *np = ctx;
    io_agent_wake(&np->node->main.agent);
}

static struct gate_expr gate_expr(const struct config_expr *expr)
{
    return (struct gate_expr){ expr->text, expr->place.line, expr->place.column };
}

static enum neap_status build_gate(struct node_pipeline *np, struct error *err)
{
    struct node *n = np->node;
    const struct config_source *c = &np->config->source;
    struct gate_options options = { .log = n->log,
                                    .logging = n->options.logging,
                                    .pipeline = np->config->name,
                                    .pipeline_file = n->config->file,
                                    .path = c->kind == CONFIG_SOURCE_FILE ? c->path : NULL,
                                    .follow = c->follow,
                                    .key = gate_expr(&c->key),
                                    .id = gate_expr(&c->id),
                                    .time = gate_expr(&c->time),
                                    .expr = expr_options(n),
                                    .topic_id = np->topic.id,
                                    .partition_count = np->topic.partition_count,
                                    .topic = np->topic.name,
                                    .dead_topic_id = np->dead.id,
                                    .record_size_max = np->topic.settings.record_size_max,
                                    .key_needed = np->topic.settings.cleanup == LOG_CLEANUP_COMPACT,
                                    .read_size = n->budget.gate_read_size,
                                    .unit_count_max = n->budget.gate_unit_count,
                                    .ended = gate_ended,
                                    .ctx = np };
    return gate_open(n->io, &options, &np->gate, err);
}

enum neap_status build_gates(struct node *n, struct error *err)
{
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        struct node_pipeline *np = &n->pipelines[i];
        if (np->config->source.kind != CONFIG_SOURCE_TOPIC && build_gate(np, err) != NEAP_OK)
            return error_while(err, "pipeline %s: source", np->config->name);
    }
    return NEAP_OK;
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

static void free_pipeline(struct node_pipeline *np)
{
    for (uint32_t i = 0; np->tasks != NULL && i < np->topic.partition_count; i++)
        task_free(&np->tasks[i]);
    pipeline_close(&np->pipeline);
    if (np->was_sink != NULL)
        np->was_sink->verbs->close(np->was_sink);
    if (np->sink != NULL)
        np->sink->verbs->close(np->sink);
    for (uint32_t i = 0; i < np->expr_count; i++)
        expr_free(&np->exprs[i]);
    build_free_stages(np);
}

static void free_pools(struct node *n)
{
    for (uint32_t i = 0; n->shard.pools != NULL && i < n->config->pool_count; i++)
        pool_close(&n->shard.pools[i]);
}

void build_free(struct node *n)
{
    struct shard *s = &n->shard;
    must(!s->started);
    for (uint32_t i = 0; i < n->pipeline_count; i++)
        free_pipeline(&n->pipelines[i]);
    free_pools(n);
    for (uint32_t i = 0; i < n->database_count; i++)
        sqlite_database_close(&n->databases[i].database);
    if (n->vfs != NULL)
        io_vfs_unregister(n->vfs);
    destinations_free(&s->destinations);
    if (s->machine != NULL)
        expr_machine_free(&s->machine);
    if (s->parser != NULL)
        json_parser_free(&s->parser);
    if (s->arena != NULL)
        arena_free(&s->arena);
    if (s->letter_arena != NULL)
        arena_free(&s->letter_arena);
    codec_room_fini(&s->unpack);
    if (s->client != NULL)
        log_client_close(&s->client);
}
