/* build_sinks.c - the sinks of a pipeline file: databases shared, expressions built, rows of former names looked after. */
#include "io/vfs.h"
#include "node/node_parts.h"

/* A program may have several guests: each has a name of its own. */
static enum neap_status register_vfs(struct node *n, struct error *err)
{
    bool is_guest = n->options.log != NULL;
    const char *name = is_guest ? arena_text(n->arena, "neap-%p", (void *)n) : "neap";
    if (name == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    enum neap_status status = is_guest ? io_vfs_register_guest(n->io, name, err) : io_vfs_register(n->io, name, err);
    if (status == NEAP_OK)
        n->vfs = name;
    return status;
}

static enum neap_status find_database(struct node *n, const char *path, struct sqlite_database **ret_database,
                                      struct error *err)
{
    for (uint32_t i = 0; i < n->database_count; i++) {
        if (strcmp(n->databases[i].path, path) == 0) {
            *ret_database = n->databases[i].database;
            return NEAP_OK;
        }
    }
    if (n->vfs == NULL && register_vfs(n, err) != NEAP_OK)
        return error_while(err, "set SQLite up");
    struct sqlite_database_options options = { .io = n->io,
                                               .vfs = n->vfs,
                                               .path = path,
                                               .cache_size = n->budget.database_cache_size,
                                               .logging = n->options.logging };
    struct node_database *d = &n->databases[n->database_count];
    enum neap_status status = sqlite_database_open(&options, &d->database, err);
    if (status != NEAP_OK)
        return status;
    d->path = path;
    n->database_count++;
    *ret_database = d->database;
    return NEAP_OK;
}

/* The expressions are the pipeline's: the sink under the former name has none of its own. */
enum neap_status build_sink_exprs(struct node_pipeline *np, struct error *err)
{
    const struct config_sink *c = &np->config->sink;
    np->exprs = arena_zero(np->node->arena, (c->column_count + 1) * sizeof *np->exprs);
    if (np->exprs == NULL)
        return build_no_memory(np, err);
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < c->column_count && status == NEAP_OK; i++) {
        status = build_expr(np->node, &c->columns[i].expr, "column", c->columns[i].name, &np->exprs[i], err);
        np->expr_count += status == NEAP_OK;
    }
    if (status == NEAP_OK && c->topic_key.text != NULL) {
        status = build_expr(np->node, &c->topic_key, c->name, "key", &np->exprs[0], err);
        np->expr_count += status == NEAP_OK;
    }
    return status;
}

static enum neap_status open_sqlite(struct node_pipeline *np, const char *pipeline, struct sink **ret_sink,
                                    struct error *err)
{
    struct node *n = np->node;
    const struct config_sink *c = &np->config->sink;
    static const enum sqlite_mode modes[] = {
        [CONFIG_INSERT] = SQLITE_INSERT, [CONFIG_UPSERT] = SQLITE_UPSERT, [CONFIG_IGNORE] = SQLITE_IGNORE
    };
    struct sqlite_column *columns = arena_zero(n->arena, (c->column_count + 1) * sizeof *columns);
    if (columns == NULL)
        return build_no_memory(np, err);
    for (uint32_t i = 0; i < c->column_count; i++)
        columns[i] = (struct sqlite_column){ c->columns[i].name, np->exprs[i] };
    struct sqlite_sink_options options = { .log_id = log_identity(n->log),
                                           .pipeline = pipeline,
                                           .name = c->name,
                                           .table = c->table,
                                           .columns = columns,
                                           .column_count = c->column_count,
                                           .key = c->key,
                                           .key_count = c->key_count,
                                           .mode = modes[c->mode],
                                           .batch_size = budget_batch_size(&n->budget, np->config) };
    enum neap_status status = find_database(n, c->path, &options.database, err);
    return status == NEAP_OK ? sqlite_sink_open(&options, ret_sink, err) : status;
}

static enum neap_status open_file(struct node_pipeline *np, struct sink **ret_sink, struct error *err)
{
    const struct config_sink *c = &np->config->sink;
    struct file_sink_options options = { .io = np->node->io,
                                         .log = np->node->log,
                                         .pipeline = np->config->name,
                                         .name = c->name,
                                         .path = c->path,
                                         .source_partition_count = np->topic.partition_count,
                                         .batch_size = budget_batch_size(&np->node->budget, np->config),
                                         .logging = np->node->options.logging };
    return file_sink_open(&options, ret_sink, err);
}

static enum neap_status open_topic(struct node_pipeline *np, struct sink **ret_sink, struct error *err)
{
    const struct config_sink *c = &np->config->sink;
    struct log_topic target = np->out; /* where its branches read; else a topic that is somebody's */
    bool own = np->config->fan != CONFIG_FAN_NONE;
    enum neap_status status = own ? NEAP_OK : build_topic(np->node, c->topic, &target, err);
    if (status != NEAP_OK)
        return status;
    struct topic_sink_options options = { .name = c->name,
                                          .topic_id = target.id,
                                          .partition_count = target.partition_count,
                                          .key = np->exprs[0],
                                          .record_size_max = target.settings.record_size_max,
                                          .key_needed = target.settings.cleanup == LOG_CLEANUP_COMPACT,
                                          .batch_size = budget_batch_size(&np->node->budget, np->config) };
    return topic_sink_open(&options, ret_sink, err);
}

enum neap_status build_sink(struct node_pipeline *np, struct error *err)
{
    const struct config_sink *c = &np->config->sink;
    struct stdout_sink_options out = { .io = np->node->io,
                                       .name = c->name,
                                       .batch_size = budget_batch_size(&np->node->budget, np->config) };
    switch (c->kind) {
    case CONFIG_SINK_SQLITE:
        return open_sqlite(np, np->config->name, &np->sink, err);
    case CONFIG_SINK_FILE:
        return open_file(np, &np->sink, err);
    case CONFIG_SINK_STDOUT:
        return stdout_sink_open(&out, &np->sink, err);
    case CONFIG_SINK_TOPIC:
        return open_topic(np, &np->sink, err);
    case CONFIG_SINK_NONE:
        break;
    }
    return NEAP_OK;
}

/* Only where the sink keeps its row under the pipeline's name, and that row has not been taken over yet. */
enum neap_status build_was_sink(struct node_pipeline *np, struct error *err)
{
    struct node *n = np->node;
    struct bytes was;
    if (np->config->sink.kind != CONFIG_SINK_SQLITE || rename_pending(n->log, np->topic.id, np->topic.partition_count,
                                                                      np->config->name, n->fact_room, &was) != NEAP_OK)
        return NEAP_OK;
    was = arena_copy(n->arena, was);
    return was.at != NULL ? open_sqlite(np, (const char *)was.at, &np->was_sink, err) : build_no_memory(np, err);
}
