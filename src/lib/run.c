/* run.c - a pipeline file at work: a node on the handle's log, on a thread of its own.
 *
 *     OPENING ──▶ RUNNING ──▶ ENDED ──▶ CLOSED        (what cannot be opened is ENDED at once)
 *
 * R1  The node is opened, run and closed on one thread, the run's: its main agent belongs to it.
 * R2  `node` is there from RUNNING until somebody asks for the close, and who asks is the last one in.
 * R3  A state is told under the mutex; whoever waits for one has an agent in the list, and wakes. */
#include "config/config.h"
#include "lib/lib.h"
#include "node/node.h"
#include <stdlib.h>

#define RUN_MAGIC 0x4c494255u

enum run_state { RUN_OPENING, RUN_RUNNING, RUN_ENDED, RUN_CLOSED };

struct run_waiter {
    struct io_agent agent;
    struct neap_run *run;
    enum run_state wanted;
    struct run_waiter *next;
};

struct neap_run {
    uint32_t magic;
    struct neap *neap;
    struct config *config;
    struct node_options options;
    struct node_handler handlers[LIB_HANDLER_COUNT_MAX];
    struct node *node;
    struct io_agent agent;
    _Atomic bool close_asked;
    struct io_mutex *mutex;
    struct { /* under the mutex */
        enum run_state state;
        enum neap_status status; /* of the end */
        struct error error;
        struct run_waiter *waiters;
    } shared;
};

/* ---- its states ---------------------------------------------------------------------------------------------------- */

static enum run_state state_of(struct neap_run *run)
{
    io_mutex_take(run->mutex);
    enum run_state state = run->shared.state;
    io_mutex_drop(run->mutex);
    return state;
}

static void enter_state(struct neap_run *run, enum run_state state, enum neap_status status, const struct error *error)
{
    io_mutex_take(run->mutex);
    must(state > run->shared.state);
    run->shared.state = state;
    if (state == RUN_ENDED) {
        run->shared.status = status;
        run->shared.error = *error;
        run->shared.error.status = status;
    }
    for (struct run_waiter *w = run->shared.waiters; w != NULL; w = w->next)
        io_agent_wake(&w->agent);
    io_mutex_drop(run->mutex);
}

static uint32_t waiter_work(void *ctx, mono_time now)
{
    struct run_waiter *w = ctx;
    (void)now;
    if (state_of(w->run) >= w->wanted)
        io_agent_leave(&w->agent);
    return 0;
}

/* NEAP_TIMEOUT, or NEAP_NOMEM: a thread that cannot even wait. */
static enum neap_status wait_for(struct neap_run *run, enum run_state wanted, mono_time deadline)
{
    struct run_waiter w = { .run = run, .wanted = wanted };
    struct error error;
    w.agent = (struct io_agent){ .name = "waiter", .work = waiter_work, .ctx = &w };
    enum neap_status status = io_agent_attach(run->neap->io, &w.agent, &error);
    if (status != NEAP_OK)
        return status;
    io_mutex_take(run->mutex);
    w.next = run->shared.waiters;
    run->shared.waiters = &w;
    io_mutex_drop(run->mutex);
    status = io_agent_run(run->neap->io, &w.agent, deadline, &error);
    io_mutex_take(run->mutex);
    struct run_waiter **link = &run->shared.waiters;
    while (*link != &w)
        link = &(*link)->next;
    *link = w.next;
    io_mutex_drop(run->mutex);
    io_agent_stop(&w.agent);
    return status;
}

/* ---- its thread ---------------------------------------------------------------------------------------------------- */

static uint32_t run_work(void *ctx, mono_time now)
{
    struct neap_run *run = ctx;
    CHECK_MAGIC(run, RUN_MAGIC);
    (void)now;
    struct error error = { 0 };
    enum run_state state = state_of(run);
    if (state == RUN_OPENING) {
        enum neap_status status = node_open(run->neap->io, &run->options, &run->node, &error);
        enter_state(run, status == NEAP_OK ? RUN_RUNNING : RUN_ENDED, status, &error);
        return 1;
    }
    if (state == RUN_RUNNING) {
        enum neap_status status = node_run(run->node, NULL, NULL, &error);
        enter_state(run, RUN_ENDED, status, &error);
        return 1;
    }
    if (state == RUN_ENDED && atomic_load(&run->close_asked)) {
        node_close(&run->node);
        enter_state(run, RUN_CLOSED, NEAP_OK, &error);
        return 1;
    }
    return 0;
}

/* ---- opening and closing ------------------------------------------------------------------------------------------- */

static void say_message(struct neap *neap, const char *file, const struct config_message *message)
{
    char text[512];
    struct error line;
    error_set(&line, NEAP_BADINPUT, "%s:%u:%u: %s: %s", file, message->place.line, message->place.column,
              message->warning ? "warning" : "error", message->text);
    size_t size = strnlen(line.text, sizeof text - 1);
    memcpy(text, line.text, size);
    text[size] = '\0';
    if (message->warning)
        logging_warn(neap->logging, "the pipeline file", LOGGING_TEXT("text", text));
    else
        logging_error(neap->logging, "the pipeline file", LOGGING_TEXT("text", text));
}

static void say_messages(struct neap *neap, const char *file, const struct config_messages *messages, struct error *err)
{
    bool first = true;
    for (uint32_t i = 0; messages != NULL && i < messages->count; i++) {
        const struct config_message *m = &messages->list[i];
        say_message(neap, file, m);
        if (m->warning || !first)
            continue;
        first = false;
        error_set(err, NEAP_BADINPUT, "%s:%u:%u: error: %s%s", file, m->place.line, m->place.column, m->text,
                  messages->error_count > 1 ? " (and more; the log has them all)" : "");
    }
}

static enum neap_status load_file(struct neap_run *run, const char *file, struct error *err)
{
    struct neap *neap = run->neap;
    struct config_messages *messages = NULL;
    enum neap_status status = config_load(neap->io, file, &run->config, &messages, err);
    say_messages(neap, file, messages, err);
    config_messages_free(&messages);
    if (status != NEAP_OK)
        return status;
    run->config->data = log_directory(neap->log);
    run->config->memory_size = neap->options.memory_size;
    return NEAP_OK;
}

static void run_free(struct neap_run *run)
{
    struct neap *neap = run->neap;
    io_agent_stop(&run->agent);
    config_free(&run->config);
    io_mutex_free(&run->mutex);
    run->magic = 0;
    free(run);
    atomic_store(&neap->running, false);
    atomic_fetch_sub(&neap->open_count, 1);
}

static enum neap_status set_up(struct neap_run *run, const char *file, struct error *err)
{
    if (run->mutex == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    enum neap_status status = load_file(run, file, err);
    run->options.config = run->config;
    run->options.log = run->neap->log;
    run->options.logging = run->neap->logging;
    run->options.handlers = run->handlers;
    io_mutex_take(run->neap->mutex);
    for (uint32_t i = 0; i < run->neap->handler_count; i++) { /* nobody changes them while a run is open */
        struct lib_handler *h = &run->neap->handlers[i];
        run->handlers[run->options.handler_count++] = (struct node_handler){ h->name, lib_handle, h };
    }
    io_mutex_drop(run->neap->mutex);
    if (status == NEAP_OK)
        status = io_agent_start(run->neap->io, &run->agent, err);
    if (status != NEAP_OK)
        return status;
    while (wait_for(run, RUN_RUNNING, MONO_NEVER) != NEAP_OK)
        io_sleep(run->neap->io, NS_PER_MS); /* no memory to wait with: its thread works on our struct all the same */
    io_mutex_take(run->mutex);
    status = run->shared.state == RUN_ENDED && run->node == NULL ? run->shared.status : NEAP_OK;
    if (status != NEAP_OK)
        *err = run->shared.error;
    io_mutex_drop(run->mutex);
    return status;
}

enum neap_status neap_run_open(struct neap *neap, const char *file, const struct neap_run_options *options,
                               struct neap_run **ret_run, struct neap_error *err)
{
    if (neap == NULL || file == NULL || ret_run == NULL)
        return lib_misuse(err, "neap_run_open() needs a handle, a file and room for the run");
    CHECK_MAGIC(neap, LIB_MAGIC);
    struct error error = { 0 };
    bool taken = atomic_exchange(&neap->running, true);
    struct neap_run *run = taken ? NULL : calloc(1, sizeof *run);
    if (run == NULL) {
        atomic_store(&neap->running, taken);
        error_set(&error, taken ? NEAP_HELD : NEAP_NOMEM, "%s: %s", file,
                  taken ? "a pipeline file of this handle is at work already" : "out of memory");
        return lib_error(err, &error);
    }
    atomic_fetch_add(&neap->open_count, 1);
    run->magic = RUN_MAGIC;
    run->neap = neap;
    run->mutex = io_mutex_new(neap->io);
    if (options != NULL) {
        run->options.until_idle = options->until_idle;
        run->options.drain_ns = lib_ns(options->drain_ms);
    }
    run->agent = (struct io_agent){ .name = "run", .work = run_work, .ctx = run };
    enum neap_status status = set_up(run, file, &error);
    if (status != NEAP_OK) {
        run_free(run);
        return lib_error(err, &error);
    }
    *ret_run = run;
    return NEAP_OK;
}

void neap_run_stop(struct neap_run *run)
{
    if (run == NULL)
        return;
    CHECK_MAGIC(run, RUN_MAGIC);
    node_stop(run->node); /* rule R2 */
}

enum neap_status neap_run_close(struct neap_run **at)
{
    if (at == NULL)
        return NEAP_MISUSE;
    struct neap_run *run = *at;
    if (run == NULL)
        return NEAP_OK;
    CHECK_MAGIC(run, RUN_MAGIC);
    if (lib_in_handler(run->neap))
        return NEAP_MISUSE; /* it would wait for itself */
    *at = NULL;
    node_stop(run->node);
    atomic_store(&run->close_asked, true);
    io_agent_wake(&run->agent);
    while (wait_for(run, RUN_CLOSED, MONO_NEVER) != NEAP_OK)
        io_sleep(run->neap->io, NS_PER_MS);
    run_free(run);
    return NEAP_OK;
}

/* ---- asking -------------------------------------------------------------------------------------------------------- */

enum neap_status neap_run_wait(struct neap_run *run, int64_t timeout_ms, struct neap_error *err)
{
    if (run == NULL)
        return lib_misuse(err, "neap_run_wait() needs a run");
    CHECK_MAGIC(run, RUN_MAGIC);
    enum neap_status status = wait_for(run, RUN_ENDED, lib_deadline(run->neap, timeout_ms));
    if (status != NEAP_OK && state_of(run) < RUN_ENDED)
        return status;
    io_mutex_take(run->mutex);
    struct error error = run->shared.error;
    io_mutex_drop(run->mutex);
    return error.status == NEAP_OK ? NEAP_OK : lib_error(err, &error);
}

bool neap_run_ended(struct neap_run *run)
{
    return run == NULL || state_of(run) >= RUN_ENDED;
}

uint32_t neap_run_pipeline_count(struct neap_run *run)
{
    return run != NULL ? node_pipeline_count(run->node) : 0;
}

static struct neap_counts counts_of(const struct ledger *l)
{
    return (struct neap_counts){ l->accepted, l->filtered, l->duplicates, l->delivered, l->dead_lettered, l->produced };
}

enum neap_status neap_run_figures(struct neap_run *run, uint32_t index, struct neap_figures *ret_figures)
{
    if (run == NULL || ret_figures == NULL)
        return NEAP_MISUSE;
    CHECK_MAGIC(run, RUN_MAGIC);
    if (index >= node_pipeline_count(run->node))
        return NEAP_NOTFOUND;
    struct node_pipeline_figures f;
    node_pipeline_figures(run->node, index, &f);
    *ret_figures = (struct neap_figures){ .pipeline = f.name,
                                          .total = counts_of(&f.total),
                                          .run = counts_of(&f.run),
                                          .in_flight = f.in_flight,
                                          .lag = f.lag,
                                          .stopped = f.stopped };
    if (f.stopped)
        (void)lib_error(&ret_figures->error, &f.error);
    return NEAP_OK;
}
