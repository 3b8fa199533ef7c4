/* build_stages.c - the stages of a pipeline file: chains of inline ones, and the waiting ones between them. */
#include "config/messages.h"
#include "node/node_parts.h"
#include "stage/object.h"
#include "stage/plugin.h"
#include "stage/stages.h"

#define POOL_IDLE_NS (60 * NS_PER_S)

static struct stage *map_new(struct node *n, const struct config_stage *c, struct error *err)
{
    struct stage_map_field *fields = arena_zero(n->arena, (c->map_count + 1) * sizeof *fields);
    uint32_t count = 0;
    enum neap_status status = fields != NULL ? NEAP_OK : NEAP_NOMEM;
    while (count < c->map_count && status == NEAP_OK) {
        fields[count].name = c->map[count].name;
        status = build_expr(n, &c->map[count].expr, c->name, c->map[count].name, &fields[count].expr, err);
        count += status == NEAP_OK;
    }
    struct stage *stage = status == NEAP_OK ? stage_map_new(c->name, fields, c->map_count) : NULL;
    for (uint32_t i = 0; stage == NULL && i < count; i++)
        expr_free(&fields[i].expr);
    return stage;
}

static struct stage *filter_new(struct node *n, const struct config_stage *c, struct error *err)
{
    struct expr *expr = NULL;
    if (build_expr(n, &c->filter, c->name, NULL, &expr, err) != NEAP_OK)
        return NULL;
    struct stage *stage = stage_filter_new(c->name, expr);
    if (stage == NULL)
        expr_free(&expr);
    return stage;
}

/* A condition is the same text in each branch that asks it; its failures name the branch that it belongs to. */
static struct stage *choice_new(struct node *n, const struct config_stage *c, struct error *err)
{
    struct expr **before = arena_zero(n->arena, (c->before_count + 1) * sizeof(struct expr *)), *own = NULL;
    uint32_t count = 0;
    enum neap_status status = before != NULL ? NEAP_OK : NEAP_NOMEM;
    while (count < c->before_count && status == NEAP_OK) {
        status = build_expr(n, &c->before[count].expr, "if of branch", c->before[count].name, &before[count], err);
        count += status == NEAP_OK;
    }
    if (status == NEAP_OK && c->filter.text != NULL)
        status = build_expr(n, &c->filter, c->name, "if", &own, err);
    struct stage *stage = status == NEAP_OK ? stage_choice_new(c->name, before, count, own) : NULL;
    for (uint32_t i = 0; stage == NULL && i < count; i++)
        expr_free(&before[i]);
    if (stage == NULL)
        expr_free(&own);
    return stage;
}

static struct stage *lua_new(struct node *n, const struct config_stage *c, struct error *err)
{
    struct expr_place *place = arena_zero(n->arena, sizeof *place); /* kept as long as the script */
    struct script *script = NULL;
    if (place == NULL)
        return NULL;
    *place = (struct expr_place){ n->config->file, c->script.place.line, c->script.place.column, c->name };
    if (script_new(n->shard.machine, c->script.text, place, &script, err) != NEAP_OK)
        return NULL;
    struct stage *stage = stage_lua_new(c->name, script);
    if (stage == NULL)
        script_free(&script);
    return stage;
}

static struct stage *dedup_stage_new(struct node_pipeline *np, const struct config_stage *c, struct error *err)
{
    const struct config_source *source = &np->config->source;
    const struct config_expr *written = &c->dedup.id;
    struct expr *id = NULL;
    if (written->text == NULL && source->kind == CONFIG_SOURCE_TOPIC)
        written = &source->id; /* no door of ours has worked it out beside the event */
    if (written->text != NULL && build_expr(np->node, written, c->name, "id", &id, err) != NEAP_OK)
        return NULL;
    struct stage *stage = stage_dedup_new(c->name, id, &np->dedup);
    if (stage == NULL)
        expr_free(&id);
    return stage;
}

static struct stage *stage_new(struct node_pipeline *np, const struct config_stage *c, struct error *err)
{
    struct node *n = np->node;
    error_set(err, NEAP_NOMEM, "out of memory"); /* unless something else is said below */
    switch (c->kind) {
    case CONFIG_STAGE_FILTER:
        return filter_new(n, c, err);
    case CONFIG_STAGE_MAP:
        return map_new(n, c, err);
    case CONFIG_STAGE_KEEP:
        return stage_keep_new(c->name, c->fields, c->field_count);
    case CONFIG_STAGE_REMOVE:
        return stage_remove_new(c->name, c->fields, c->field_count);
    case CONFIG_STAGE_LUA:
        return lua_new(n, c, err);
    case CONFIG_STAGE_CHOICE:
        return choice_new(n, c, err);
    case CONFIG_STAGE_DEDUP:
        return dedup_stage_new(np, c, err);
    case CONFIG_STAGE_PLUGIN:
    case CONFIG_STAGE_EXEC:
    case CONFIG_STAGE_CALL:
        break; /* stands between two chains */
    }
    return NULL;
}

static enum neap_status build_step(struct node_pipeline *np, const struct config_stage *c, struct chain_step *ret_step,
                                   struct error *err)
{
    struct node *n = np->node;
    struct chain_step step = { .continue_on_error = c->continue_on_error };
    struct error why = { 0 };
    enum neap_status status = NEAP_OK;
    if (c->condition.text != NULL)
        status = build_expr(n, &c->condition, c->name, "if", &step.condition, &why);
    if (status == NEAP_OK)
        step.stage = stage_new(np, c, &why);
    if (step.stage == NULL) {
        expr_free(&step.condition);
        return error_set(err, why.status, "stage %s: %s", c->name, why.text);
    }
    *ret_step = step;
    return NEAP_OK;
}

/* Stages [from, to). */
static enum neap_status build_chain(struct node_pipeline *np, uint32_t from, uint32_t to, struct chain **ret_chain,
                                    struct error *err)
{
    struct node *n = np->node;
    uint32_t count = 0, wanted = to - from;
    struct chain_step *steps = arena_zero(n->arena, (wanted + 1) * sizeof *steps);
    enum neap_status status = steps != NULL ? NEAP_OK : build_no_memory(np, err);
    while (count < wanted && status == NEAP_OK) {
        status = build_step(np, &np->config->stages[from + count], &steps[count], err);
        count += status == NEAP_OK;
    }
    if (status == NEAP_OK) {
        *ret_chain = chain_new(steps, count, n->shard.parser);
        status = *ret_chain != NULL ? NEAP_OK : build_no_memory(np, err);
    }
    for (uint32_t i = 0; status != NEAP_OK && i < count; i++) {
        steps[i].stage->verbs->free(steps[i].stage);
        expr_free(&steps[i].condition);
    }
    return status;
}

/* ---- a function of the program that we are embedded in --------------------------------------------------------------- */

static const struct node_handler *find_handler(const struct node *n, const char *symbol)
{
    for (uint32_t i = 0; i < n->options.handler_count; i++)
        if (strcmp(n->options.handlers[i].symbol, symbol) == 0)
            return &n->options.handlers[i];
    return NULL;
}

static enum neap_status say_at_symbol(const struct node *n, const struct config_stage *c, const struct error *why,
                                      struct error *err)
{
    return error_set(err, NEAP_MISUSE, "%s:%u:%u: error: %s", n->config->file, c->symbol_place.line,
                     c->symbol_place.column, why->text);
}

static enum neap_status check_object(const struct node *n, const struct config_stage *c, struct error *err)
{
    struct object_options options = { .io = n->io, .path = c->object, .symbol = c->symbol };
    struct error why = { 0 };
    return object_check(&options, &why) == NEAP_OK ? NEAP_OK : say_at_symbol(n, c, &why, err);
}

static enum neap_status check_handler(const struct node *n, const struct config_stage *c, struct error *err)
{
    if (c->object != NULL)
        return check_object(n, c, err);
    if (find_handler(n, c->symbol) != NULL)
        return NEAP_OK;
    struct nearest nearest = { .wanted = bytes_of_text(c->symbol) };
    for (uint32_t i = 0; i < n->options.handler_count; i++)
        nearest_offer(&nearest, n->options.handlers[i].symbol);
    bool near = nearest.word != NULL;
    return error_set(err, NEAP_MISUSE, "%s:%u:%u: error: no handler '%.200s' is registered in this process%s%s%s",
                     n->config->file, c->symbol_place.line, c->symbol_place.column, c->symbol,
                     near ? "; did you mean '" : "", near ? nearest.word : "", near ? "'?" : "");
}

enum neap_status build_check_handlers(const struct node *n, struct error *err)
{
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < n->config->pipeline_count && status == NEAP_OK; i++) {
        const struct config_pipeline *p = &n->config->pipelines[i];
        for (uint32_t k = 0; k < p->stage_count && p->sink.kind != CONFIG_SINK_NONE && status == NEAP_OK; k++)
            if (p->stages[k].kind == CONFIG_STAGE_PLUGIN)
                status = check_handler(n, &p->stages[k], err);
    }
    return status;
}

/* ---- waiting stages -------------------------------------------------------------------------------------------------- */

/* NULL: it has threads of its own. */
static struct pool *shared_pool(const struct node *n, const struct config_stage *c)
{
    const struct config_pool *pool = c->manners.pool != NULL ? config_pool_find(n->config, c->manners.pool) : NULL;
    return pool != NULL ? n->shard.pools[pool - n->config->pools] : NULL;
}

static enum neap_status open_pool(struct node *n, const struct config_stage *c, uint32_t concurrency,
                                  struct pool **ret_pool, struct error *err)
{
    struct pool_options options = { .io = n->io,
                                    .owner = &n->shard.agent,
                                    .name = c->name,
                                    .size = { .max = concurrency, .idle_ns = POOL_IDLE_NS, .reject = POOL_BLOCK } };
    return pool_open(&options, ret_pool, err);
}

/* In a shared object, or registered by the program: build_check_handlers() has looked. */
static enum neap_status find_function(struct node_pipeline *np, const struct config_stage *c, struct node_waiting *own,
                                      struct node_handler *ret_found, struct error *err)
{
    struct node *n = np->node;
    struct object_options options = {
        .io = n->io, .path = c->object, .symbol = c->symbol, .pipeline = np->config->name, .stage = c->name
    };
    struct error why = { 0 };
    if (c->object == NULL) {
        *ret_found = *find_handler(n, c->symbol);
        return NEAP_OK;
    }
    if (object_open(&options, &own->object, &why) != NEAP_OK)
        return say_at_symbol(n, c, &why, err);
    *ret_found = (struct node_handler){ .symbol = c->symbol, .function = object_handle, .ctx = own->object };
    return NEAP_OK;
}

static struct waiting *plugin_stage_new(struct node_pipeline *np, const struct config_stage *c,
                                        struct node_waiting *own, struct error *err)
{
    struct node *n = np->node;
    struct node_handler found = { .symbol = c->symbol };
    if (find_function(np, c, own, &found, err) != NEAP_OK)
        return NULL;
    struct budget_plugin sizes = budget_plugin(&n->budget, c);
    struct pool *pool = shared_pool(n, c);
    if (pool == NULL && open_pool(n, c, sizes.concurrency, &own->pool, err) != NEAP_OK)
        return NULL;
    struct plugin_options options = { .io = n->io,
                                      .logging = n->options.logging,
                                      .owner = &n->shard.agent,
                                      .pool = pool != NULL ? pool : own->pool,
                                      .parser = n->shard.parser,
                                      .function = found.function,
                                      .ctx = found.ctx,
                                      .symbol = c->symbol,
                                      .pipeline = np->config->name,
                                      .concurrency = sizes.concurrency,
                                      .event_size_max = n->budget.event_size_max,
                                      .room_size = sizes.room_size };
    struct waiting *stage = plugin_new(&options);
    if (stage == NULL)
        return NULL;
    stage->concurrency = sizes.concurrency;
    stage->retry = (struct retry_policy){ .attempt_count_max = 1 };
    stage->timeout_ns = c->manners.timeout_ms * NS_PER_MS;
    return stage;
}

static struct waiting *waiting_new(struct node_pipeline *np, const struct config_stage *c, struct node_waiting *own,
                                   struct error *err)
{
    if (c->kind == CONFIG_STAGE_EXEC)
        return build_exec(np, c, own, err);
    return c->kind == CONFIG_STAGE_CALL ? build_call(np, c, err) : plugin_stage_new(np, c, own, err);
}

static enum neap_status build_waiting(struct node_pipeline *np, const struct config_stage *c, struct error *err)
{
    struct node_waiting *own = &np->waiting[np->stage_count];
    struct error why = { .status = NEAP_NOMEM, .text = "out of memory" };
    struct waiting *stage = waiting_new(np, c, own, &why);
    enum neap_status status = stage != NULL ? NEAP_OK : why.status;
    if (stage != NULL) {
        stage->name = c->name;
        stage->continue_on_error = c->continue_on_error;
        np->stages[np->stage_count++] = stage;
        if (c->condition.text != NULL)
            status = build_expr(np->node, &c->condition, c->name, "if", &stage->condition, &why);
    }
    return status == NEAP_OK ? NEAP_OK : error_set(err, status, "stage %s: %s", c->name, why.text);
}

/* Inline stages between two waiting ones are a chain. */
enum neap_status build_stages(struct node_pipeline *np, struct error *err)
{
    const struct config_pipeline *c = np->config;
    uint32_t count = budget_waiting_count(c), from = 0;
    np->stages = arena_zero(np->node->arena, (count + 1) * sizeof(struct waiting *));
    np->chains = arena_zero(np->node->arena, (count + 1) * sizeof(struct chain *));
    np->waiting = arena_zero(np->node->arena, (count + 1) * sizeof(struct node_waiting));
    if (np->stages == NULL || np->chains == NULL || np->waiting == NULL)
        return build_no_memory(np, err);
    for (uint32_t i = 0; i < c->stage_count; i++) {
        if (!budget_is_waiting(&c->stages[i]))
            continue;
        enum neap_status status = build_chain(np, from, i, &np->chains[np->stage_count], err);
        if (status == NEAP_OK) {
            chain_keep_single(np->chains[np->stage_count]); /* a waiting stage takes one event at a time */
            status = build_waiting(np, &c->stages[i], err);
        }
        if (status != NEAP_OK)
            return status;
        from = i + 1;
    }
    return build_chain(np, from, c->stage_count, &np->chain, err);
}

void build_free_stages(struct node_pipeline *np)
{
    uint32_t count = np->config != NULL ? budget_waiting_count(np->config) : 0;
    for (uint32_t i = 0; i < np->stage_count; i++) {
        expr_free(&np->stages[i]->condition);
        np->stages[i]->verbs->free(np->stages[i]);
    }
    for (uint32_t i = 0; np->chains != NULL && i < count; i++) {
        chain_free(&np->chains[i]);
        pool_close(&np->waiting[i].pool);
        object_close(&np->waiting[i].object);
        destination_release(&np->waiting[i].destination);
        destinations_free(&np->waiting[i].table);
    }
    chain_free(&np->chain);
}
