/* build_calls.c - stages that call servers over HTTP, and what they share: the table of destinations, and the door's limits. */
#include "io/http.h"
#include "node/node_parts.h"

/* ---- what all calls share ---------------------------------------------------------------------------------------------- */

/* As many connections as calls may be at work: none of them waits for one in its own time. */
static enum neap_status prepare(struct node *n, struct error *err)
{
    uint32_t destinations = 0, calls = 0;
    for (uint32_t i = 0; i < n->config->pipeline_count; i++) {
        const struct config_pipeline *p = &n->config->pipelines[i];
        for (uint32_t k = 0; k < p->stage_count && p->sink.kind != CONFIG_SINK_NONE; k++) {
            if (p->stages[k].kind != CONFIG_STAGE_CALL)
                continue;
            destinations += budget_destinations(&p->stages[k]);
            calls += p->stages[k].manners.concurrency.most + CALL_REFRESH_COUNT;
        }
    }
    struct io_http_options options = { .call_count_max = calls,
                                       .connection_count_max = calls,
                                       .per_host_count_max = calls };
    n->shard.destinations = destinations_new(destinations);
    if (n->shard.destinations == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    return io_http_prepare(n->io, &options, err);
}

/* ---- one of them --------------------------------------------------------------------------------------------------------- */

/* Begins each Idempotency-Key: this log, pipeline, stage and topic, and no others. */
static const char *idempotency_of(const struct node_pipeline *np, const struct config_stage *c)
{
    struct log_id id = log_identity(np->node->log);
    char hex[2 * sizeof id.bytes + 1];
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        hex[2 * i] = "0123456789abcdef"[id.bytes[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[id.bytes[i] & 15];
    }
    hex[2 * sizeof id.bytes] = '\0';
    return arena_text(np->node->arena, "%s-%s-%s-%u", hex, np->config->name, c->name, np->topic.id);
}

static enum neap_status build_headers(struct node *n, const struct config_stage *c, struct call_header *headers,
                                      struct error *err)
{
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < c->call.header_count && status == NEAP_OK; i++) {
        const struct config_header *h = &c->call.headers[i];
        headers[i] = (struct call_header){ .name = h->name, .text = h->value.text };
        if (h->value.text == NULL)
            status = build_expr(n, &h->value.expr, c->name, h->name, &headers[i].expr, err);
    }
    return status;
}

static enum neap_status build_if_given(struct node *n, const struct config_expr *expr, const struct config_stage *c,
                                       const char *what, struct expr **ret_expr, struct error *err)
{
    return expr->text == NULL ? NEAP_OK : build_expr(n, expr, c->name, what, ret_expr, err);
}

static enum neap_status build_exprs(struct node *n, const struct config_stage *c, struct call_options *o,
                                    struct call_header *headers, struct error *err)
{
    enum neap_status status = NEAP_OK;
    if (c->call.url.text == NULL)
        status = build_expr(n, &c->call.url.expr, c->name, "url", &o->url_expr, err);
    if (status == NEAP_OK)
        status = build_if_given(n, &c->call.body, c, "body", &o->body, err);
    if (status == NEAP_OK)
        status = build_if_given(n, &c->call.cache.by, c, "cache by", &o->cache_key, err);
    if (status == NEAP_OK)
        status = build_if_given(n, &c->manners.limit.per, c, "limit per", &o->limit_key, err);
    return status == NEAP_OK ? build_headers(n, c, headers, err) : status;
}

static void free_exprs(const struct call_options *o)
{
    struct expr *all[] = { o->url_expr, o->body, o->cache_key, o->limit_key };
    for (size_t i = 0; i < COUNT_OF(all); i++)
        expr_free(&all[i]);
    for (uint32_t i = 0; i < o->header_count; i++) {
        struct expr *expr = o->headers[i].expr;
        expr_free(&expr);
    }
}

struct waiting *build_call(struct node_pipeline *np, const struct config_stage *c, struct error *err)
{
    struct node *n = np->node;
    const struct config_call *call = &c->call;
    struct call_header *headers = arena_zero(n->arena, (call->header_count + 1) * sizeof *headers);
    if (n->shard.destinations == NULL && prepare(n, err) != NEAP_OK)
        return NULL;
    struct call_options o = budget_call(&n->budget, c);
    o.io = n->io;
    o.logging = n->options.logging;
    o.pipeline = np->config->name;
    o.agent = &n->shard.agent;
    o.destinations = n->shard.destinations;
    o.parser = n->shard.parser;
    o.url = call->url.text;
    o.private_allowed = call->private_allowed;
    o.method = config_method_word(call->method);
    o.bodiless = call->method == CONFIG_GET || call->method == CONFIG_DELETE;
    o.headers = headers;
    o.header_count = headers != NULL ? call->header_count : 0;
    o.idempotency = idempotency_of(np, c);
    o.fallback = call->fallback != NULL ? bytes_of_text(call->fallback) : (struct bytes){ NULL, 0 };
    o.manners = build_manners(&c->manners, o.concurrency_max);
    o.manners.limit_key_count_max = budget_limit_keys(c);
    o.rules = c->manners.retry.rules;
    error_set(err, NEAP_NOMEM, "out of memory"); /* unless something else is said below */
    bool whole = headers != NULL && o.idempotency != NULL && build_exprs(n, c, &o, headers, err) == NEAP_OK;
    struct waiting *stage = whole ? call_new(&o) : NULL;
    if (stage == NULL) {
        free_exprs(&o);
        return NULL;
    }
    build_waiting_manners(stage, &c->manners, o.concurrency_max);
    return stage;
}
