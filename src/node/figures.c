/* figures.c - the ledgers of a running node, for whoever asks.
 *
 * What is in the log counts as accepted and, beyond the commit point, as in flight; both are taken from the same look at
 * the log's end, the rest from counters that came with what they count. So the sum holds at every moment, and would not
 * if a task had passed over an event. */
#include "flow/redrive.h"
#include "node/node_parts.h"

void node_pipeline_stopped(struct node_pipeline *np, const struct error *error)
{
    io_mutex_take(np->node->mutex);
    if (!np->shown.stopped)
        np->shown.error = *error;
    np->shown.stopped = true;
    io_mutex_drop(np->node->mutex);
    io_agent_wake(&np->node->main.agent);
}

void node_pipeline_halted(struct node_pipeline *np, const struct error *error)
{
    io_mutex_take(np->node->mutex);
    if (np->shown.error.status == NEAP_OK)
        np->shown.error = *error;
    io_mutex_drop(np->node->mutex);
}

bool node_first_stopped(struct node *n, struct error *ret_error)
{
    bool found = false;
    io_mutex_take(n->mutex);
    for (uint32_t i = 0; i < n->pipeline_count && !found; i++) {
        found = n->pipelines[i].shown.stopped || n->pipelines[i].shown.error.status != NEAP_OK;
        if (found && ret_error != NULL)
            *ret_error = n->pipelines[i].shown.error;
    }
    io_mutex_drop(n->mutex);
    return found;
}

/* Whoever read standard output has seen enough, as `head` has after its lines: what a node prints is then printed for nobody. */
bool node_reader_left(struct node *n)
{
    bool left = false;
    io_mutex_take(n->mutex);
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        const struct node_pipeline *np = &n->pipelines[i];
        left |=
            np->config->sink.kind == CONFIG_SINK_STDOUT && np->shown.stopped && np->shown.error.status == NEAP_CLOSED;
    }
    io_mutex_drop(n->mutex);
    return left;
}

const char *node_user_of_topic(const struct node *n, const struct log_topic *topic)
{
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        const struct node_pipeline *np = &n->pipelines[i];
        const struct config_sink *sink = &np->config->sink;
        bool writes = sink->kind == CONFIG_SINK_TOPIC && strcmp(sink->topic, topic->name) == 0;
        if (np->topic.id == topic->id || np->dead.id == topic->id || writes)
            return np->config->name;
    }
    return NULL;
}

bool node_writes_letters(const struct node *n, const char *pipeline, uint32_t topic_id)
{
    for (uint32_t i = 0; i < n->pipeline_count; i++)
        if (n->pipelines[i].dead.id == topic_id && strcmp(n->pipelines[i].config->name, pipeline) == 0)
            return true;
    return false;
}

struct sums {
    uint64_t redriven; /* events that were taken in once more */
    uint64_t in_log;   /* events since the pipeline began */
    uint64_t ends;     /* events since the topic began */
};

static void add_partition(struct node_pipeline *np, uint32_t index, struct sums *sums,
                          struct node_pipeline_figures *figures)
{
    struct task_figures task = { 0 };
    if (np->pipeline != NULL)
        task_figures(np->tasks[index], &task);
    log_offset end = { 0 }; /* after the task's figures: the end is never behind them */
    (void)log_partition_end(np->node->log, (struct log_partition){ np->topic.id, index }, &end);
    sums->ends += end.n;
    sums->in_log += end.n > task.total.start ? end.n - task.total.start : 0;
    if (np->pipeline == NULL && np->config->fan == CONFIG_FAN_NONE) { /* the topic is where its events were to go */
        task.total.delivered = task.total.produced = end.n;
        task.point = end;
    }
    uint64_t lag = end.n > task.point.n ? end.n - task.point.n : 0;
    figures->lag += lag;
    figures->in_flight += lag > task.done_beyond ? lag - task.done_beyond : 0;
    if (task.held.is && (!figures->held.event.is || task.held.since.ns < figures->held.event.since.ns)) {
        figures->held.partition = index;
        figures->held.event = task.held;
        figures->held.age_ms = (io_now(np->node->io).ns - task.held.since.ns) / NS_PER_MS;
    }
    ledger_add(&figures->total, &task.total);
    ledger_add(&figures->run, &task.run);
}

static void add_gate(struct node_pipeline *np, const struct sums *sums, struct node_pipeline_figures *figures)
{
    struct gate_figures gate = { 0 };
    if (np->gate != NULL)
        gate_figures(np->gate, &gate, NULL);
    gate.total.accepted += sums->redriven;
    /* What came in, but was gone before this pipeline came by (it began anew), is not its own to balance. */
    gate.total.accepted -= gate.total.accepted < figures->total.start ? gate.total.accepted : figures->total.start;
    uint64_t in_log = sums->in_log + gate.total.dead_lettered;
    uint64_t in_log_run = sums->ends - np->end_at_open + gate.run.dead_lettered;
    /* The door's own count; what others appended to the topic came in beside it. */
    figures->total.accepted = gate.total.accepted > in_log ? gate.total.accepted : in_log;
    figures->run.accepted = gate.run.accepted > in_log_run ? gate.run.accepted : in_log_run;
    figures->total.dead_lettered += gate.total.dead_lettered;
    figures->run.dead_lettered += gate.run.dead_lettered;
    if (np->pipeline == NULL && np->config->fan == CONFIG_FAN_NONE)
        figures->run.delivered = figures->run.produced = sums->ends - np->end_at_open;
}

/* ---- with branches ---------------------------------------------------------------------------------------------------- */

static bool is_below(const struct node_pipeline *np, const struct node_pipeline *above)
{
    for (const struct config_pipeline *p = np->config->parent; p != NULL; p = p->parent)
        if (p == above->config)
            return true;
    return false;
}

/* What the last branch is still to settle of one partition: behind the lowest of their commit points. `ret_start`: what
 * none of them answers for. */
static uint64_t unsettled_in(struct node_pipeline *np, uint32_t partition, uint64_t *ret_end, uint64_t *ret_start)
{
    struct node *n = np->node;
    uint64_t point = UINT64_MAX, start = UINT64_MAX;
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        struct node_pipeline *branch = &n->pipelines[i];
        struct task_figures task;
        if (branch->pipeline == NULL || branch->topic.id != np->out.id || !is_below(branch, np))
            continue;
        task_figures(branch->tasks[partition], &task);
        point = task.point.n < point ? task.point.n : point;
        start = task.total.start < start ? task.total.start : start;
    }
    log_offset end = { 0 }; /* after the tasks' figures: the end is never behind them */
    (void)log_partition_end(n->log, (struct log_partition){ np->out.id, partition }, &end);
    *ret_end = end.n;
    *ret_start = start == UINT64_MAX ? 0 : start;
    return end.n > point ? end.n - point : 0;
}

/* An event is in flight until its last branch has settled it; what became of it there, the branches' own ledgers say. */
static void add_branches(struct node_pipeline *np, struct sums *sums, struct node_pipeline_figures *figures)
{
    struct node *n = np->node;
    uint64_t unsettled = 0, below_it = 0, ends = 0, starts = 0;
    for (uint32_t i = 0; i < n->pipeline_count; i++) { /* a branch may have handed it on to branches of its own */
        struct node_pipeline_figures below = { 0 };
        if (node_parent(&n->pipelines[i]) == np)
            node_pipeline_figures(n, i, &below);
        below_it = below.in_flight > below_it ? below.in_flight : below_it;
        if (np->pipeline == NULL) {
            figures->total.produced += below.total.produced;
            figures->run.produced += below.run.produced;
        }
    }
    for (uint32_t i = 0; i < np->out.partition_count; i++) {
        uint64_t end, start;
        unsettled += unsettled_in(np, i, &end, &start);
        ends += end;
        starts += start;
    }
    unsettled = below_it > unsettled ? below_it : unsettled;
    if (np->pipeline == NULL) { /* the branches read the pipeline's own topic */
        uint64_t in_log = ends > starts ? ends - starts : 0;
        unsettled = unsettled < in_log ? unsettled : in_log;
        sums->in_log = in_log;
        figures->total.start = starts;
        figures->total.delivered = in_log - unsettled;
        figures->run.delivered =
            figures->total.delivered > np->settled_at_open ? figures->total.delivered - np->settled_at_open : 0;
        figures->in_flight = figures->lag = unsettled;
        return;
    }
    unsettled = unsettled < figures->total.delivered ? unsettled : figures->total.delivered;
    figures->total.delivered -= unsettled;
    figures->run.delivered -= unsettled < figures->run.delivered ? unsettled : figures->run.delivered;
    figures->in_flight += unsettled;
}

void node_settled_at_open(struct node *n)
{
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        struct node_pipeline_figures figures;
        if (n->pipelines[i].config->fan == CONFIG_FAN_NONE || n->pipelines[i].pipeline != NULL)
            continue;
        node_pipeline_figures(n, i, &figures);
        n->pipelines[i].settled_at_open = figures.total.delivered;
    }
}

void node_pipeline_figures(struct node *n, uint32_t index, struct node_pipeline_figures *ret_figures)
{
    must(index < n->pipeline_count);
    struct node_pipeline *np = &n->pipelines[index];
    struct node_pipeline_figures figures = { .name = np->config->name,
                                             .has_branches =
                                                 np->pipeline == NULL && np->config->fan != CONFIG_FAN_NONE };
    /* Before the log's ends are looked at: so these never say less than this does. */
    struct sums sums = { .redriven = redrive_accepted(n->log, np->topic.id, np->topic.partition_count, figures.name) };
    for (uint32_t i = 0; i < np->topic.partition_count; i++)
        add_partition(np, i, &sums, &figures);
    if (np->config->fan != CONFIG_FAN_NONE)
        add_branches(np, &sums, &figures);
    add_gate(np, &sums, &figures);
    io_mutex_take(n->mutex);
    figures.stopped = np->shown.stopped;
    figures.error = np->shown.error;
    io_mutex_drop(n->mutex);
    *ret_figures = figures;
}

uint32_t node_pipeline_count(const struct node *n)
{
    return n->pipeline_count;
}

struct log *node_log(struct node *n)
{
    return n->log;
}
