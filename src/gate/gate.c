/* gate.c - the agent: reads, makes loads of lines, and hands them to the log.
 *
 *     input → lines → loader → loads, a queue → one unit on its way → the log
 *
 * G1  One unit is on its way at a time, made of the loads that are ready when the one before it has become durable. So
 *     no unit ever overtakes one that was refused, and a slow disk gets larger units.
 * G2  A unit holds the mark and the ledger as they are after its last load. */
#include "gate/gate.h"
#include "base/must.h"
#include "gate/input.h"
#include "gate/load.h"
#include <stdatomic.h>
#include <stdlib.h>

#define GATE_MAGIC          0x45544147u /* "GATE" */
#define READ_SIZE_DEFAULT   (256u << 10)
#define LOAD_COUNT_DEFAULT  8u
#define UNIT_LOADS_SIZE_MAX (1u << 20) /* several loads in one unit only up to here; one alone may be larger */
#define LOOK_AGAIN_NS       (250 * NS_PER_MS)
#define STDIN_WAIT_NS       (250 * NS_PER_MS)
#define STDIN_BUSY_WAIT_NS  (5 * NS_PER_MS) /* while a unit is on its way: its end should not wait long for us */
#define FULL_WAIT_NS_MIN    (100 * NS_PER_MS)
#define FULL_WAIT_NS_MAX    (5 * NS_PER_S)

struct flight {
    struct log_unit unit;
    struct log_op *ops;
    uint32_t load_count; /* loads at the queue's front that are in it; 0: nothing is on its way */
    bool waits;          /* refused, for want of room: to be submitted again */
    int64_t wait_ns;
    struct ledger after; /* the door's part when it is durable */
    uint8_t ledger_room[LEDGER_FACT_SIZE_MAX], mark_room[MARK_SIZE];
    uint64_t position; /* of the mark */
};

struct gate {
    uint32_t magic;
    struct io *io;
    struct gate_options options;
    struct io_agent agent;
    struct io_timer look, retry; /* for more in the file; for room in the log */
    struct log_client *client;   /* NULL when it has ended */
    struct shaper *shaper;
    struct loader *loader;
    struct input *input;
    struct lines lines;
    uint64_t position, line_count; /* of the file: before the next line */
    bool inside_line;              /* the next line goes on one that was counted */
    bool looking;                  /* `look` is set */
    bool input_over;               /* nothing more will be read */
    struct load *loads;            /* a queue in a circle */
    uint32_t load_first, load_count;
    struct flight flight;
    struct ledger total, run; /* durable */
    char ledger_key[LEDGER_KEY_SIZE_MAX], *mark_key;
    size_t ledger_key_size, mark_key_size;
    struct error error; /* status OK: none */
    bool said_full, said_unreadable;
    _Atomic bool stopping;
    struct io_mutex *mutex; /* guards what follows: read by others */
    struct gate_figures figures;
    struct error shown_error;
    bool ended;
    struct io_agent *closer; /* woken at the end */
};

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

static const char *name_of(const struct gate *g)
{
    return g->options.path != NULL ? g->options.path : "stdin";
}

static void fail(struct gate *g)
{
    must(g->error.status != NEAP_OK);
    error_while(&g->error, "source of pipeline %s", g->options.pipeline);
    g->input_over = true;
}

/* ---- taking in ---- */

static void look_later(struct gate *g, mono_time now)
{
    if (!g->looking)
        io_timer_set(&g->look, mono_after(now, LOOK_AGAIN_NS));
    g->looking = true;
}

static void look_again(struct io_timer *timer, mono_time now)
{
    struct gate *g = timer->ctx;
    (void)now;
    g->looking = false;
    io_agent_wake(&g->agent);
}

/* A followed file that cannot be read is looked at again; any other ends the gate. */
static void cannot_read(struct gate *g, mono_time now, struct error *err)
{
    if (g->options.path == NULL || !g->options.follow || err->status == NEAP_MISUSE) {
        g->error = *err;
        fail(g);
        return;
    }
    if (!g->said_unreadable)
        logging_warn(g->options.logging, "cannot read the file; trying again",
                     LOGGING_TEXT("pipeline", g->options.pipeline), LOGGING_TEXT("file", name_of(g)),
                     LOGGING_TEXT("error", err->text));
    g->said_unreadable = true;
    look_later(g, now);
}

static void open_input(struct gate *g, mono_time now)
{
    struct input_start start;
    struct error err = { 0 };
    enum neap_status status = input_open(g->input, &start, &err);
    if (status == NEAP_AGAIN) {
        look_later(g, now);
        return;
    }
    if (status != NEAP_OK) {
        cannot_read(g, now, &err);
        return;
    }
    lines_drop(&g->lines);
    g->position = start.position;
    g->line_count = start.line_count;
    g->inside_line = start.inside_line;
}

static struct load *next_load(struct gate *g)
{
    must(g->load_count < g->options.unit_count_max);
    return &g->loads[(g->load_first + g->load_count) % g->options.unit_count_max];
}

static void finish_load(struct gate *g)
{
    if (loader_count(g->loader) == 0)
        return;
    struct load *load = next_load(g);
    enum neap_status status = loader_build(g->loader, load, io_wall(g->io));
    if (status != NEAP_OK) {
        error_set(&g->error, status, "no memory for lines of %s", name_of(g));
        fail(g);
        return;
    }
    load->has_mark = input_mark(g->input, g->position, g->line_count, &load->mark);
    g->load_count++;
}

/* A byte order mark before the first line is no part of it. */
static void skip_byte_order_mark(struct gate *g, struct line *line)
{
    if (g->position == 0 && line->bytes.size >= 3 && memcmp(line->bytes.at, "\xef\xbb\xbf", 3) == 0) {
        line->bytes.at += 3;
        line->bytes.size -= 3;
        line->size -= 3;
    }
}

/* Takes lines until there are no more whole ones, or the load is full; answers how many. */
static uint32_t take_lines(struct gate *g, bool at_end)
{
    uint32_t count = 0;
    wall_time now = io_wall(g->io);
    struct line line;
    while (lines_peek(&g->lines, at_end, &line)) {
        struct line shown = line;
        skip_byte_order_mark(g, &shown);
        bool goes_on = g->inside_line;
        uint64_t number = g->line_count + (goes_on ? 0 : 1);
        if (!line_is_blank(&shown) && loader_take(g->loader, &shown, number, now) != NEAP_OK)
            break;
        lines_pass(&g->lines, &line);
        g->position += line.consumed_size;
        g->line_count = number;
        g->inside_line = false;
        count++;
    }
    finish_load(g);
    return count;
}

static void met_end(struct gate *g, mono_time now)
{
    switch (input_at_end(g->input, g->position)) {
    case INPUT_MORE:
        break;
    case INPUT_WAIT:
        look_later(g, now);
        break;
    case INPUT_OVER:
        if (lines_rest_size(&g->lines) > 0)
            take_lines(g, true);
        g->input_over = true;
        break;
    case INPUT_TURNED:
        if (lines_rest_size(&g->lines) > 0)
            take_lines(g, true);
        open_input(g, now);
        break;
    case INPUT_BEGUN:
        open_input(g, now);
        break;
    case INPUT_REREAD:
        lines_drop(&g->lines);
        break;
    }
}

static void read_more(struct gate *g, mono_time now)
{
    struct error err = { 0 };
    size_t size = 0;
    uint8_t *room = lines_room(&g->lines);
    if (room == NULL) {
        error_set(&g->error, NEAP_NOMEM, "no memory for a line of %s", name_of(g));
        fail(g);
        return;
    }
    bool busy = g->flight.load_count > 0;
    enum neap_status status = input_read(g->input, room, g->options.read_size,
                                         mono_after(now, busy ? STDIN_BUSY_WAIT_NS : STDIN_WAIT_NS), &size, &err);
    if (status == NEAP_TIMEOUT)
        return;
    if (status != NEAP_OK) {
        cannot_read(g, now, &err);
        return;
    }
    g->said_unreadable = false;
    lines_added(&g->lines, size);
    if (size > 0 && input_is_same(g->input, g->position))
        take_lines(g, false);
    else
        met_end(g, now);
}

/* One step: the lines that are there, or else more bytes. */
static uint32_t take_in(struct gate *g, mono_time now)
{
    bool may = !g->input_over && !g->looking && g->load_count < g->options.unit_count_max;
    if (!may)
        return 0;
    if (!input_is_open(g->input))
        open_input(g, now);
    else if (take_lines(g, false) == 0)
        read_more(g, now);
    return 1;
}

/* ---- handing on ---- */

static struct load *load_at(struct gate *g, uint32_t index)
{
    must(index < g->load_count);
    return &g->loads[(g->load_first + index) % g->options.unit_count_max];
}

static void put_facts(struct gate *g)
{
    struct flight *f = &g->flight;
    struct log_partition door = { g->options.topic_id, 0 };
    const struct load *last = load_at(g, f->load_count - 1);
    f->ops[f->unit.count++] = (struct log_op){ .kind = LOG_FACT,
                                               .view = LOG_VIEW_LEDGER,
                                               .target = door,
                                               .name = { (const uint8_t *)g->ledger_key, g->ledger_key_size },
                                               .payload = ledger_encode(&f->after, f->ledger_room) };
    if (!last->has_mark)
        return;
    f->position = last->mark.position;
    f->ops[f->unit.count++] = (struct log_op){ .kind = LOG_FACT,
                                               .view = LOG_VIEW_FILE,
                                               .target = door,
                                               .name = { (const uint8_t *)g->mark_key, g->mark_key_size },
                                               .payload = mark_encode(&last->mark, f->mark_room) };
}

/* Rules G1 and G2. */
static void make_unit(struct gate *g)
{
    struct flight *f = &g->flight;
    size_t size = 0;
    must(f->load_count == 0 && g->load_count > 0);
    f->unit.count = 0;
    f->after = g->total;
    while (f->load_count < g->load_count) {
        const struct load *load = load_at(g, f->load_count);
        bool fits =
            size + load->size <= UNIT_LOADS_SIZE_MAX && f->unit.count + load->op_count + 2 <= LOG_UNIT_OP_COUNT_MAX;
        if (f->load_count > 0 && !fits)
            break;
        memcpy(f->ops + f->unit.count, load->ops, load->op_count * sizeof(*load->ops));
        f->unit.count += load->op_count;
        size += load->size;
        f->after.accepted += load->accepted_count;
        f->after.dead_lettered += load->dead_count;
        f->load_count++;
    }
    put_facts(g);
}

static void wait_for_room(struct gate *g)
{
    struct flight *f = &g->flight;
    f->wait_ns = f->wait_ns == 0                     ? FULL_WAIT_NS_MIN
                 : f->wait_ns * 2 < FULL_WAIT_NS_MAX ? f->wait_ns * 2
                                                     : FULL_WAIT_NS_MAX;
    f->waits = true;
    io_timer_set(&g->retry, mono_after(io_now(g->io), f->wait_ns));
}

static void log_stopped(struct gate *g, enum neap_status status)
{
    g->error.status = NEAP_OK;
    if (log_health(g->options.log, &g->error) == NEAP_OK || g->error.status == NEAP_OK)
        error_set(&g->error, status, "append to topic %s: %s", g->options.topic,
                  status == NEAP_REFUSED ? "it was deleted" : status_text(status));
    fail(g);
}

static void landed(struct gate *g)
{
    struct flight *f = &g->flight;
    g->run.accepted += f->after.accepted - g->total.accepted;
    g->run.dead_lettered += f->after.dead_lettered - g->total.dead_lettered;
    g->total = f->after;
    g->load_first = (g->load_first + f->load_count) % g->options.unit_count_max;
    g->load_count -= f->load_count;
    f->load_count = 0;
    f->wait_ns = 0;
    if (g->said_full)
        logging_info(g->options.logging, "there is room in the log again",
                     LOGGING_TEXT("pipeline", g->options.pipeline));
    g->said_full = false;
    io_mutex_take(g->mutex);
    g->figures.position = f->position;
    io_mutex_drop(g->mutex);
}

static void unit_done(struct log_unit *unit, enum neap_status status)
{
    struct gate *g = unit->ctx;
    CHECK_MAGIC(g, GATE_MAGIC);
    if (status == NEAP_OK) {
        landed(g);
        return;
    }
    if (status != NEAP_FULL) {
        log_stopped(g, status);
        return;
    }
    if (!g->said_full)
        logging_warn(g->options.logging, "the log is full; reading goes on when there is room",
                     LOGGING_TEXT("pipeline", g->options.pipeline));
    g->said_full = true;
    wait_for_room(g);
}

static void try_again(struct io_timer *timer, mono_time now)
{
    struct gate *g = timer->ctx;
    (void)now;
    io_agent_wake(&g->agent);
    if (!g->flight.waits)
        return;
    g->flight.waits = false;
    enum neap_status status = log_submit(g->client, &g->flight.unit);
    if (status == NEAP_AGAIN)
        wait_for_room(g);
    else if (status != NEAP_OK)
        log_stopped(g, status);
}

static uint32_t hand_on(struct gate *g)
{
    if (g->flight.load_count > 0 || g->load_count == 0 || g->error.status != NEAP_OK)
        return 0;
    make_unit(g);
    enum neap_status status = log_submit(g->client, &g->flight.unit);
    if (status == NEAP_AGAIN)
        wait_for_room(g);
    else if (status != NEAP_OK)
        log_stopped(g, status);
    return 1;
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

/* Told to stop: what came on standard input cannot be read again, so its whole lines are taken; a file's can. */
static uint32_t heed_stop(struct gate *g)
{
    bool from_stdin = g->options.path == NULL;
    if (g->input_over || (from_stdin && g->load_count == g->options.unit_count_max))
        return 0;
    uint32_t count = from_stdin ? take_lines(g, false) : 0;
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
    work += stopping ? heed_stop(g) : take_in(g, now);
    work += hand_on(g);
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
        error_set(err, status, "the position in %s: %s", name_of(g), status_text(status));

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
    lines_init(&g->lines, g->options.read_size);
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
    g->flight.unit = (struct log_unit){ .ops = g->flight.ops, .done = unit_done, .ctx = g };
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
    g->options.read_size = options->read_size != 0 ? options->read_size : READ_SIZE_DEFAULT;
    g->options.unit_count_max = options->unit_count_max != 0 ? options->unit_count_max : LOAD_COUNT_DEFAULT;
    g->agent = (struct io_agent){ .name = "gate", .work = gate_work, .ctx = g };
    g->look = (struct io_timer){ .agent = &g->agent, .fire = look_again, .ctx = g };
    g->retry = (struct io_timer){ .agent = &g->agent, .fire = try_again, .ctx = g };
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
