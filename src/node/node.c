/* node.c - a node's life: open, run until there is a reason to leave, drain, close. */
#include "node/node_parts.h"
#include <stdlib.h>

#define TICK_NS          (100 * NS_PER_MS)
#define DRAIN_NS_DEFAULT (30 * NS_PER_S)
#define SIGNAL_RELOAD    1 /* SIGHUP */

/* In somebody else's program, on a log of theirs. */
static bool is_guest(const struct node *n)
{
    return n->options.log != NULL;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

static enum neap_status open_log(struct node *n, struct error *err)
{
    n->log = n->options.log;
    if (n->log != NULL)
        return log_client_open(n->log, &(struct log_client_options){ .rank = LOG_RANK_PIPELINE }, &n->client, err);
    struct log_options options = n->budget.log;
    options.path = n->config->data;
    options.disk_size = n->config->disk.size;
    options.disk_percent = n->config->disk.percent;
    options.logging = n->options.logging;
    enum neap_status status = log_open(n->io, &options, &n->log, err);
    if (status != NEAP_OK)
        return error_while(err, "open %s", n->config->data);
    return log_client_open(n->log, &(struct log_client_options){ .rank = LOG_RANK_PIPELINE }, &n->client, err);
}

/* A convenience: without it everything runs, only listings have to wait for the end. */
static void open_control(struct node *n)
{
    struct error err = { 0 };
    char *path = arena_text(n->arena, "%s/%s", n->config->data, CONTROL_SOCKET_NAME);
    struct control_options options = {
        .io = n->io, .log = n->log, .node = n, .logging = n->options.logging, .path = path
    };
    if (path == NULL || control_open(&options, &n->control, &err) != NEAP_OK)
        logging_warn(n->options.logging, "nobody can ask this node while it runs", LOGGING_TEXT("error", err.text));
}

static uint32_t main_work(void *ctx, mono_time now);
static void tick_fired(struct io_timer *timer, mono_time now);

static enum neap_status node_new(struct io *io, const struct node_options *options, struct node **ret_node,
                                 struct error *err)
{
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    n->magic = NODE_MAGIC;
    n->io = io;
    n->options = *options;
    n->config = options->config;
    n->main.agent = (struct io_agent){ .name = "main", .work = main_work, .ctx = n };
    n->main.tick = (struct io_timer){ .agent = &n->main.agent, .fire = tick_fired, .ctx = n };
    n->mutex = io_mutex_new(io);
    n->arena = arena_new(64u << 10, 64u << 20);
    n->fact_room = malloc(LOG_VALUE_SIZE_MAX);
    n->pipelines = calloc(n->config->pipeline_count + 1, sizeof *n->pipelines);
    n->databases = calloc(n->config->pipeline_count + 1, sizeof *n->databases);
    *ret_node = n;
    if (n->mutex == NULL || n->arena == NULL || n->fact_room == NULL || n->pipelines == NULL || n->databases == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    n->pipeline_count = n->config->pipeline_count;
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        n->pipelines[i].node = n;
        n->pipelines[i].config = &n->config->pipelines[i];
    }
    budget_of(n->config, &n->budget);
    return budget_fits(&n->budget, n->config, err) ? NEAP_OK : NEAP_MISUSE;
}

/* A log that stops while the node is built says "closed" to whoever asks; why it stopped is what counts. */
static enum neap_status why_not_open(struct node *n, enum neap_status status, struct error *err)
{
    struct error why;
    if (status != NEAP_CLOSED || n->log == NULL || log_health(n->log, &why) == NEAP_OK)
        return status;
    if (err != NULL)
        *err = why;
    return why.status;
}

enum neap_status node_open(struct io *io, const struct node_options *options, struct node **ret_node, struct error *err)
{
    must(options->config != NULL);
    struct node *n = NULL;
    enum neap_status status = node_new(io, options, &n, err);
    if (status == NEAP_OK)
        status = build_check_handlers(n, err);
    if (status == NEAP_OK)
        status = io_agent_attach(io, &n->main.agent, err);
    if (status == NEAP_OK)
        status = open_log(n, err);
    if (status == NEAP_OK)
        status = build_topics(n, err);
    if (status == NEAP_OK)
        status = shard_start(n, err);
    if (status == NEAP_OK)
        status = build_shard(n, err);
    if (status == NEAP_OK)
        node_settled_at_open(n);
    if (status == NEAP_OK)
        status = log_watch(n->log, &n->shard.agent);
    if (status == NEAP_OK)
        status = build_gates(n, err);
    if (status != NEAP_OK) {
        status = why_not_open(n, status, err);
        node_close(&n);
        return status;
    }
    open_control(n);
    shard_go(n);
    *ret_node = n;
    return NEAP_OK;
}

/* ---- running ------------------------------------------------------------------------------------------------------- */

static void leave(struct node *n, enum neap_status status)
{
    must(status == NEAP_OK || n->main.error.status == status);
    n->main.status = status;
    io_agent_leave(&n->main.agent);
}

/* All sources are used up, and those that follow their file have come to its end. */
static bool gates_have_ended(struct node *n, bool waiting_counts)
{
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        struct node_pipeline *np = &n->pipelines[i];
        struct gate_figures figures;
        struct error error = { 0 };
        if (np->gate == NULL)
            continue;
        gate_figures(np->gate, &figures, &error);
        if (figures.state == GATE_FAILED)
            node_pipeline_stopped(np, &error);
        bool waits = figures.state == GATE_WAITING && waiting_counts;
        if (figures.state != GATE_DONE && figures.state != GATE_FAILED && !waits)
            return false;
    }
    return true;
}

static void begin_draining(struct node *n, mono_time now)
{
    int64_t drain_ns = n->options.drain_ns != 0 ? n->options.drain_ns : DRAIN_NS_DEFAULT;
    n->main.draining = true;
    n->main.drain_deadline = mono_after(now, drain_ns);
    if (!is_guest(n))
        io_signals_unwatch(&n->main.agent); /* another signal ends the process at once, as it would any other */
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        if (n->pipelines[i].gate != NULL)
            gate_stop(n->pipelines[i].gate);
    }
    atomic_store(&n->shard.drain_asked, true);
    io_agent_wake(&n->shard.agent);
    logging_info(n->options.logging, "stopping: what is on its way is landed first",
                 LOGGING_INT("seconds_at_most", drain_ns / NS_PER_S));
}

static void look_at_draining(struct node *n, mono_time now)
{
    if (gates_have_ended(n, false) && atomic_load(&n->shard.at_rest)) {
        leave(n, NEAP_OK);
    } else if (now.ns >= n->main.drain_deadline.ns) {
        error_set(&n->main.error, NEAP_TIMEOUT,
                  "stopped before everything on its way had landed; nothing acknowledged is lost");
        leave(n, NEAP_TIMEOUT);
    }
}

static void look_at_idle(struct node *n)
{
    if (!gates_have_ended(n, true)) {
        atomic_store(&n->shard.idle_asked, false);
        return;
    }
    if (!atomic_exchange(&n->shard.idle_asked, true)) {
        atomic_store(&n->shard.idle, false);
        io_agent_wake(&n->shard.agent);
    } else if (atomic_load(&n->shard.idle)) {
        bool stopped = node_first_stopped(n, &n->main.error);
        leave(n, stopped ? n->main.error.status : NEAP_OK);
    }
}

static uint32_t main_work(void *ctx, mono_time now)
{
    struct node *n = ctx;
    CHECK_MAGIC(n, NODE_MAGIC);
    enum neap_status health = log_health(n->log, &n->main.error);
    if (health != NEAP_OK) {
        leave(n, health);
    } else {
        if ((atomic_load(&n->stop_asked) || node_reader_left(n)) && !n->main.draining)
            begin_draining(n, now);
        if (n->main.draining)
            look_at_draining(n, now);
        else if (n->options.until_idle)
            look_at_idle(n);
        else
            (void)gates_have_ended(n, false); /* one that failed is shown */
    }
    return 0;
}

static void look_at_disk(struct node *n, mono_time now)
{
    struct log_figures figures;
    if (now.ns < n->main.disk_look.ns)
        return;
    n->main.disk_look = mono_after(now, NS_PER_S);
    log_figures(n->log, &figures);
    disk_watch_look(&n->main.disk, &figures, n->options.logging);
}

static void tick_fired(struct io_timer *timer, mono_time now)
{
    struct node *n = timer->ctx;
    look_at_disk(n, now);
    io_timer_set(timer, mono_after(now, TICK_NS));
    if (n->main.told != NULL)
        n->main.told(n->main.told_ctx, n);
    io_agent_wake(&n->main.agent);
}

static void signal_arrived(void *ctx, int number)
{
    struct node *n = ctx;
    if (number == SIGNAL_RELOAD) {
        logging_warn(n->options.logging, "a running node does not read its file again: restart it");
        return;
    }
    atomic_store(&n->stop_asked, true);
    io_agent_wake(&n->main.agent);
}

void node_stop(struct node *n)
{
    CHECK_MAGIC(n, NODE_MAGIC);
    atomic_store(&n->stop_asked, true);
    io_agent_wake(&n->main.agent);
}

enum neap_status node_run(struct node *n, void (*tick)(void *ctx, struct node *node), void *ctx, struct error *err)
{
    CHECK_MAGIC(n, NODE_MAGIC);
    n->main.told = tick;
    n->main.told_ctx = ctx;
    enum neap_status status = is_guest(n) ? NEAP_OK : io_signals_watch(&n->main.agent, signal_arrived, n, err);
    if (status != NEAP_OK)
        return error_while(err, "watch for signals");
    io_timer_set(&n->main.tick, mono_after(io_now(n->io), TICK_NS));
    status = io_agent_run(n->io, &n->main.agent, MONO_NEVER, err);
    io_timer_cancel(&n->main.tick);
    if (!n->main.draining && !is_guest(n))
        io_signals_unwatch(&n->main.agent);
    if (status == NEAP_OK)
        status = n->main.status;
    if (n->main.status != NEAP_OK && err != NULL)
        *err = n->main.error;
    return status;
}

/* ---- closing ------------------------------------------------------------------------------------------------------- */

static uint32_t rest_work(void *ctx, mono_time now)
{
    struct node *n = ctx;
    if (atomic_load(&n->shard.at_rest))
        io_agent_leave(&n->main.agent);
    return 0;
}

/* Brings the tasks to rest. What a sink was given it gives back: its calls have deadlines of their own. */
static void come_to_rest(struct node *n)
{
    if (!n->shard.started || !atomic_load(&n->shard.ready))
        return;
    if (n->main.status == NEAP_TIMEOUT && !is_guest(n))
        log_give_up(n->log);
    n->main.agent.work = rest_work;
    atomic_store(&n->shard.drain_asked, true);
    io_agent_wake(&n->shard.agent);
    enum neap_status status = io_agent_run(n->io, &n->main.agent, MONO_NEVER, NULL);
    must(status == NEAP_OK && atomic_load(&n->shard.at_rest));
}

static void node_free(struct node *n)
{
    io_agent_stop(&n->main.agent);
    if (n->client != NULL)
        log_client_close(&n->client);
    if (!is_guest(n))
        log_close(&n->log);
    if (n->arena != NULL)
        arena_free(&n->arena);
    if (n->mutex != NULL)
        io_mutex_free(&n->mutex);
    free(n->fact_room);
    free(n->databases);
    free(n->pipelines);
    n->magic = 0;
    free(n);
}

void node_close(struct node **node)
{
    struct node *n = *node;
    if (n == NULL)
        return;
    CHECK_MAGIC(n, NODE_MAGIC);
    *node = NULL;
    control_close(&n->control);
    come_to_rest(n);
    for (uint32_t i = 0; i < n->pipeline_count && n->pipelines != NULL; i++)
        gate_close(&n->pipelines[i].gate);
    shard_stop(n);
    build_free(n);
    node_free(n);
}
