/* gate.c - the agent of a source: opening, turns, ending. */
#include "gate/gate_parts.h"
#include <stdlib.h>

#define READ_SIZE_DEFAULT  (256u << 10)
#define LOAD_COUNT_DEFAULT 8u

/* ---- what others see ---- */

static void show(struct gate *g)
{
    enum gate_state state = g->error.status != NEAP_OK         ? GATE_FAILED
                            : g->client == NULL                ? GATE_DONE
                            : g->looking && g->load_count == 0 ? GATE_WAITING
                                                               : GATE_READING;
    io_mutex_take(g->mutex);
    g->figures.state = state;
    g->figures.total = g->total;
    g->figures.run = g->run;
    g->figures.size = input_size(g->input);
    g->shown_error = g->error;
    io_mutex_drop(g->mutex);
}

void gate_figures(const struct gate *gate, struct gate_figures *ret_figures, struct error *ret_error)
{
    CHECK_MAGIC(gate, GATE_MAGIC);
    io_mutex_take(gate->mutex);
    *ret_figures = gate->figures;
    if (ret_error != NULL)
        *ret_error = gate->shown_error;
    io_mutex_drop(gate->mutex);
}

void gate_fail(struct gate *g)
{
    must(g->error.status != NEAP_OK);
    error_while(&g->error, "source of pipeline %s", g->options.pipeline);
    g->input_over = true;
}

/* ---- the agent ---- */

/* The agent's last deed. The client goes first, so that the log wakes nobody who is about to leave. */
static void end(struct gate *g)
{
    must(log_client_inflight(g->client) == 0);
    io_timer_cancel(&g->look);
    io_timer_cancel(&g->retry);
    log_client_close(&g->client);
    show(g);
    if (g->options.ended != NULL)
        g->options.ended(g->options.ctx);
    io_mutex_take(g->mutex);
    g->ended = true;
    if (g->closer != NULL)
        io_agent_wake(g->closer);
    io_mutex_drop(g->mutex);
}

/* Told to stop: what came on standard input cannot be read again, so its whole lines are taken; a file's can. Where the log
 * is full nothing more is taken of either. */
static uint32_t heed_stop(struct gate *g)
{
    bool takes = g->options.path == NULL && !g->flight.waits;
    if (g->input_over || (takes && g->load_count == g->options.unit_count_max))
        return 0;
    uint32_t count = takes ? gate_take_rest(g) : 0;
    g->input_over = count == 0;
    return count;
}

static bool is_over(const struct gate *g, bool stopping)
{
    bool failed = g->error.status != NEAP_OK, used_up = g->input_over && g->load_count == 0;
    bool given_up = stopping && g->input_over && g->flight.waits; /* the log is full: nothing of it was accepted */
    return (failed || used_up || given_up) && log_client_inflight(g->client) == 0;
}

static uint32_t gate_work(void *ctx, mono_time now)
{
    struct gate *g = ctx;
    CHECK_MAGIC(g, GATE_MAGIC);
    if (g->client == NULL)
        return 0;
    bool stopping = atomic_load(&g->stopping);
    uint32_t work = log_client_work(g->client);
    work += stopping ? heed_stop(g) : gate_take_in(g, now);
    work += gate_hand_on(g);
    show(g);
    if (is_over(g, stopping))
        end(g);
    return work;
}

/* ---- opening and closing ---- */

static enum neap_status make_keys(struct gate *g, struct error *err)
{
    const char *pipeline = g->options.pipeline, *path = g->options.path;
    size_t size = strlen(pipeline);
    if (size + 2 > LEDGER_KEY_SIZE_MAX)
        return error_set(err, NEAP_MISUSE, "the name of pipeline %s is too long", pipeline);
    g->ledger_key_size = ledger_key(g->ledger_key, pipeline, 'd');
    if (path == NULL)
        return NEAP_OK;
    g->mark_key_size = size + 1 + strlen(path);
    if (g->mark_key_size > LOG_KEY_SIZE_MAX)
        return error_set(err, NEAP_MISUSE, "the path %s is too long: a source remembers at most %u bytes", path,
                         (unsigned)(LOG_KEY_SIZE_MAX - size - 1));
    g->mark_key = malloc(g->mark_key_size + 1);
    if (g->mark_key == NULL)
        return error_set(err, NEAP_NOMEM, "no memory for a source");
    memcpy(g->mark_key, pipeline, size + 1);
    memcpy(g->mark_key + size + 1, path, strlen(path) + 1);
    return NEAP_OK;
}

static enum neap_status read_fact(struct gate *g, uint8_t view, const char *key, size_t key_size, uint8_t *room,
                                  struct bytes *ret_value)
{
    struct log_partition door = { g->options.topic_id, 0 };
    return log_fact_get(g->options.log, view, door, (struct bytes){ (const uint8_t *)key, key_size }, room, ret_value);
}

/* What the last run left: the ledger, and where the file was. */
static enum neap_status read_facts(struct gate *g, struct mark *mark, bool *ret_has_mark, struct error *err)
{
    struct bytes value;
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    if (room == NULL)
        return error_set(err, NEAP_NOMEM, "no memory for a source");
    *ret_has_mark = false;
    enum neap_status status = read_fact(g, LOG_VIEW_LEDGER, g->ledger_key, g->ledger_key_size, room, &value);
    if (status == NEAP_OK)
        status = ledger_decode(value, &g->total);
    if (status != NEAP_OK && status != NEAP_NOTFOUND) {
        error_set(err, status, "the ledger of pipeline %s: %s", g->options.pipeline, status_text(status));
        goto free_room;
    }
    status =
        g->mark_key != NULL ? read_fact(g, LOG_VIEW_FILE, g->mark_key, g->mark_key_size, room, &value) : NEAP_NOTFOUND;
    if (status == NEAP_OK)
        status = mark_decode(value, mark);
    *ret_has_mark = status == NEAP_OK;
    if (status == NEAP_NOTFOUND)
        status = NEAP_OK;
    if (status != NEAP_OK)
        error_set(err, status, "the position in %s: %s", gate_name(g), status_text(status));

free_room:
    free(room);
    return status;
}

static size_t load_size_of(const struct gate_options *options)
{
    return options->read_size + options->read_size / 2;
}

static enum neap_status make_parts(struct gate *g, const struct mark *mark, struct error *err)
{
    struct input_options input = { .path = g->options.path,
                                   .follow = g->options.follow,
                                   .pipeline = g->options.pipeline,
                                   .logging = g->options.logging };
    enum neap_status status = shaper_new(&g->options, &g->shaper, err);
    if (status != NEAP_OK)
        return status;
    size_t record_size_max = g->options.record_size_max;
    lines_init(&g->lines, g->options.read_size, record_size_max > LINE_SIZE_MAX ? record_size_max : LINE_SIZE_MAX);
    g->loader = loader_new(&g->options, g->shaper, load_size_of(&g->options));
    g->input = input_new(g->io, &input, mark);
    g->loads = calloc(g->options.unit_count_max, sizeof(*g->loads));
    g->mutex = io_mutex_new(g->io);
    if (g->loader == NULL || g->input == NULL || g->loads == NULL || g->mutex == NULL)
        return error_set(err, NEAP_NOMEM, "no memory for a source");
    uint32_t count = g->options.unit_count_max * loader_op_count_max(g->loader) + 2;
    g->flight.ops = malloc((count < LOG_UNIT_OP_COUNT_MAX ? count : LOG_UNIT_OP_COUNT_MAX) * sizeof(*g->flight.ops));
    if (g->flight.ops == NULL)
        return error_set(err, NEAP_NOMEM, "no memory for a source");
    g->flight.unit = (struct log_unit){ .ops = g->flight.ops, .done = gate_unit_done, .ctx = g };
    g->figures.position = mark != NULL ? mark->position : 0;
    g->figures.total = g->total;
    return NEAP_OK;
}

static void gate_free(struct gate *g)
{
    log_client_close(&g->client);
    for (uint32_t i = 0; g->loads != NULL && i < g->options.unit_count_max; i++)
        load_fini(&g->loads[i]);
    free(g->loads);
    free(g->flight.ops);
    free(g->mark_key);
    lines_fini(&g->lines);
    loader_free(&g->loader);
    shaper_free(&g->shaper);
    input_free(&g->input);
    if (g->mutex != NULL)
        io_mutex_free(&g->mutex);
    g->magic = 0;
    free(g);
}

enum neap_status gate_open(struct io *io, const struct gate_options *options, struct gate **ret_gate, struct error *err)
{
    struct gate *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return error_set(err, NEAP_NOMEM, "no memory for a source");
    must(options->topic_id != 0 && options->dead_topic_id != 0 && options->partition_count > 0);
    g->magic = GATE_MAGIC;
    g->io = io;
    g->options = *options;
    must(options->record_size_max <= RECORD_SIZE_TOP);
    g->options.read_size = options->read_size != 0 ? options->read_size : READ_SIZE_DEFAULT;
    g->options.unit_count_max = options->unit_count_max != 0 ? options->unit_count_max : LOAD_COUNT_DEFAULT;
    g->agent = (struct io_agent){ .name = "gate", .work = gate_work, .ctx = g };
    g->look = (struct io_timer){ .agent = &g->agent, .fire = gate_look_again, .ctx = g };
    g->retry = (struct io_timer){ .agent = &g->agent, .fire = gate_try_again, .ctx = g };
    struct mark mark;
    bool has_mark = false;
    enum neap_status status = make_keys(g, err);
    if (status == NEAP_OK)
        status = read_facts(g, &mark, &has_mark, err);
    if (status == NEAP_OK)
        status = make_parts(g, has_mark ? &mark : NULL, err);
    if (status == NEAP_OK)
        status =
            log_client_open(options->log, &(struct log_client_options){ .inflight_count_max = 1, .agent = &g->agent },
                            &g->client, err);
    if (status == NEAP_OK)
        status = io_agent_start(io, &g->agent, err);
    if (status != NEAP_OK) {
        gate_free(g);
        return error_while(err, "source of pipeline %s", options->pipeline);
    }
    *ret_gate = g;
    return NEAP_OK;
}

size_t gate_memory_size(const struct gate_options *options)
{
    struct gate_options o = *options;
    o.read_size = o.read_size != 0 ? o.read_size : READ_SIZE_DEFAULT;
    uint32_t loads = o.unit_count_max != 0 ? o.unit_count_max : LOAD_COUNT_DEFAULT;
    uint32_t batches = 1 + (o.partition_count < LOAD_LINE_COUNT_MAX ? o.partition_count : LOAD_LINE_COUNT_MAX);
    size_t ops = batches * sizeof(struct log_op);
    return loads * (load_size_of(&o) + 2 * ops) + loader_memory_size(&o) + 2 * o.read_size;
}

void gate_stop(struct gate *gate)
{
    CHECK_MAGIC(gate, GATE_MAGIC);
    atomic_store(&gate->stopping, true);
    io_agent_wake(&gate->agent);
}

/* An agent on the closing thread, for as long as it waits. */
struct closer {
    struct io_agent agent;
    struct gate *gate;
};

static uint32_t closer_work(void *ctx, mono_time now)
{
    struct closer *closer = ctx;
    struct gate *g = closer->gate;
    (void)now;
    io_mutex_take(g->mutex);
    bool ended = g->ended;
    g->closer = ended ? NULL : &closer->agent; /* whoever wakes it holds the mutex: nobody does after this */
    io_mutex_drop(g->mutex);
    if (ended)
        io_agent_leave(&closer->agent);
    return 0;
}

void gate_close(struct gate **gate)
{
    struct gate *g = *gate;
    *gate = NULL;
    if (g == NULL)
        return;
    gate_stop(g);
    struct closer closer = { .gate = g };
    closer.agent = (struct io_agent){ .name = "gate closer", .work = closer_work, .ctx = &closer };
    enum neap_status status = io_agent_run(g->io, &closer.agent, MONO_NEVER, NULL);
    must(status == NEAP_OK);
    io_agent_stop(&closer.agent);
    io_agent_stop(&g->agent);
    gate_free(g);
}
