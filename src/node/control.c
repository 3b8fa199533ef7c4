/* control.c - the node's end of the control socket: connections, each with one request.
 *
 * A connection reads its line, then its body, then answers; one send is in flight, the next part of the answer is made
 * when it has left. So a client that reads slowly costs two rooms of memory and nobody's time. A job whose unit is in the
 * log outlives its connection. Everything here runs on the control agent's turn, but for open and close. */
#include "node/control.h"
#include "base/must.h"
#include "node/job.h"
#include <stdatomic.h>
#include <stdlib.h>

#define CONTROL_MAGIC 0x4354524cu
#define REQUEST_NS    (10 * NS_PER_S) /* for a client to say what it wants */
#define OPEN_NS       (10 * NS_PER_S)
#define LOOK_NS       (25 * NS_PER_MS) /* how late somebody who follows a topic may see what is new */

struct connection {
    struct control *control;
    struct io_stream *stream; /* NULL: gone */
    struct io_timer patience;
    struct job *job;  /* NULL: the request is not complete */
    uint8_t *request; /* CONTROL_ROOM_SIZE: the line */
    uint8_t *answer;  /* CONTROL_ROOM_SIZE: what is being sent */
    uint8_t *body;
    size_t request_size, body_size;
    bool used, sending, ended, waiting, line_read;
};

struct control {
    uint32_t magic;
    struct control_options options;
    struct io_agent agent;
    struct io_listener *listener;
    struct log_client *client;
    struct io_timer look; /* again, for those who wait for something new */
    bool looking;
    bool settling; /* a job settles dead letters */
    struct connection connections[CONTROL_CONNECTION_COUNT_MAX];
    uint32_t refused_count;               /* told to come back later, not yet gone */
    bool listened, finished;              /* the agent's own */
    struct error error;                   /* of listening; read by the opener once opened is set */
    _Atomic bool opened, closing, closed; /* how opener and agent meet */
    struct io_mutex *mutex;
    struct io_agent *waiter; /* under the mutex */
};

/* ---- one connection ---- */

static void connection_free(struct connection *c)
{
    must(c->stream == NULL && (c->job == NULL || !job_is_busy(c->job)));
    io_timer_cancel(&c->patience);
    job_free(&c->job);
    free(c->request);
    free(c->answer);
    free(c->body);
    *c = (struct connection){ 0 };
}

static void connection_hang_up(struct connection *c)
{
    io_timer_cancel(&c->patience);
    if (c->stream != NULL)
        io_stream_close(c->stream);
}

static void connection_answer(struct connection *c)
{
    while (!c->sending && c->stream != NULL) {
        if (c->ended) {
            connection_hang_up(c);
            return;
        }
        struct writer w = writer_of(c->answer, CONTROL_ROOM_SIZE);
        enum job_state state = job_fill(c->job, &w);
        c->ended = state == JOB_END;
        c->waiting = state == JOB_WAIT;
        if (writer_size(&w) > 0) {
            if (io_stream_send(c->stream, writer_bytes(&w)) != NEAP_OK) {
                connection_hang_up(c);
                return;
            }
            c->sending = true;
        } else if (c->waiting) {
            return;
        }
    }
}

static void connection_start(struct connection *c)
{
    if (c->body_size > 0)
        job_body(c->job, (struct bytes){ c->body, c->body_size });
    io_timer_set(&c->patience, mono_after(io_now(c->control->options.io), CONTROL_PATIENCE_NS));
    connection_answer(c);
}

/* The line is complete: make the job, and room for the body it announces. */
static void connection_line(struct connection *c, size_t line_size)
{
    struct control *control = c->control;
    struct control_context context = {
        .io = control->options.io,
        .log = control->options.log,
        .node = control->options.node,
        .client = control->client,
        .settling = &control->settling,
    };
    c->line_read = true;
    c->job = job_new(&context, (struct bytes){ c->request, line_size });
    if (c->job != NULL && job_body_size(c->job) > 0) {
        c->body = malloc(job_body_size(c->job));
        if (c->body == NULL)
            job_free(&c->job);
    }
    if (c->job == NULL)
        connection_hang_up(c);
}

static void take_line(struct connection *c, struct bytes *left)
{
    const uint8_t *newline = memchr(left->at, '\n', left->size);
    size_t size = newline == NULL ? left->size : (size_t)(newline - left->at);
    if (size > CONTROL_ROOM_SIZE - c->request_size) {
        connection_hang_up(c); /* no honest client sends such a line */
        left->size = 0;
        return;
    }
    memcpy(c->request + c->request_size, left->at, size);
    c->request_size += size;
    size_t taken = newline == NULL ? size : size + 1;
    *left = (struct bytes){ left->at + taken, left->size - taken };
    if (newline != NULL)
        connection_line(c, c->request_size);
}

static void take_body(struct connection *c, struct bytes *left)
{
    size_t missing = job_body_size(c->job) - c->body_size;
    size_t size = left->size < missing ? left->size : missing;
    if (size > 0)
        memcpy(c->body + c->body_size, left->at, size);
    c->body_size += size;
    left->size = 0; /* what a client says beyond its request is not listened to */
}

static void stream_data(struct io_stream *stream, struct bytes bytes)
{
    struct connection *c = io_stream_ctx(stream);
    bool answering = c->line_read && c->job != NULL && c->body_size == job_body_size(c->job);
    if (answering || bytes.size == 0)
        return;
    if (!c->line_read)
        take_line(c, &bytes);
    if (c->job == NULL)
        return;
    take_body(c, &bytes);
    if (c->body_size == job_body_size(c->job))
        connection_start(c);
}

static void stream_sent(struct io_stream *stream, enum neap_status status)
{
    struct connection *c = io_stream_ctx(stream);
    c->sending = false;
    if (status != NEAP_OK) {
        connection_hang_up(c);
        return;
    }
    io_timer_set(&c->patience, mono_after(io_now(c->control->options.io), CONTROL_PATIENCE_NS));
    connection_answer(c);
}

static void stream_closed(struct io_stream *stream, enum neap_status status)
{
    struct connection *c = io_stream_ctx(stream);
    (void)status;
    c->stream = NULL;
    c->sending = false;
    io_timer_cancel(&c->patience);
    if (c->job == NULL || !job_is_busy(c->job))
        connection_free(c);
}

static void patience_ends(struct io_timer *timer, mono_time now)
{
    struct connection *c = timer->ctx;
    (void)now;
    logging_warn(c->control->options.logging, "a control client made no progress: connection closed");
    connection_hang_up(c);
}

static void refused_data(struct io_stream *stream, struct bytes bytes)
{
    (void)stream;
    (void)bytes;
}

static void refused_sent(struct io_stream *stream, enum neap_status status)
{
    (void)status;
    io_stream_close(stream);
}

static void refused_closed(struct io_stream *stream, enum neap_status status)
{
    struct control *control = io_stream_ctx(stream);
    (void)status;
    control->refused_count--;
}

static const struct io_stream_events refused_events = { refused_data, refused_sent, refused_closed };
static const struct io_stream_events events = { stream_data, stream_sent, stream_closed };

static struct connection *free_connection(struct control *control)
{
    for (uint32_t i = 0; i < CONTROL_CONNECTION_COUNT_MAX; i++) {
        if (!control->connections[i].used)
            return &control->connections[i];
    }
    return NULL;
}

static void accepted(void *ctx, struct io_stream *stream)
{
    struct control *control = ctx;
    CHECK_MAGIC(control, CONTROL_MAGIC);
    struct connection *c = free_connection(control);
    if (c == NULL) {
        control->refused_count++;
        io_stream_start(stream, &refused_events, control);
        if (io_stream_send(stream, BYTES("{\"end\":\"AGAIN\",\"error\":\"too many ask at once\"}\n")) != NEAP_OK)
            io_stream_close(stream);
        return;
    }
    *c = (struct connection){ .control = control, .stream = stream, .used = true };
    c->patience = (struct io_timer){ .agent = &control->agent, .fire = patience_ends, .ctx = c };
    c->request = malloc(CONTROL_ROOM_SIZE);
    c->answer = malloc(CONTROL_ROOM_SIZE);
    io_stream_start(stream, &events, c);
    io_timer_set(&c->patience, mono_after(io_now(control->options.io), REQUEST_NS));
    if (c->request == NULL || c->answer == NULL)
        connection_hang_up(c);
}

/* ---- the agent ---- */

/* Who opens or closes may be about to leave with its agent: the lock keeps it until it has been woken. */
static void wake_waiter(struct control *control)
{
    io_mutex_take(control->mutex);
    if (control->waiter != NULL)
        io_agent_wake(control->waiter);
    io_mutex_drop(control->mutex);
}

static void look_again(struct io_timer *timer, mono_time now)
{
    struct control *control = timer->ctx;
    (void)now;
    control->looking = false;
    io_agent_wake(&control->agent);
}

static void start_listening(struct control *control)
{
    control->listened = true;
    control->look = (struct io_timer){ .agent = &control->agent, .fire = look_again, .ctx = control };
    struct log_client_options options = { .inflight_count_max = CONTROL_CONNECTION_COUNT_MAX,
                                          .agent = &control->agent };
    if (log_client_open(control->options.log, &options, &control->client, &control->error) == NEAP_OK)
        io_listen(&control->agent, control->options.path, accepted, control, &control->listener, &control->error);
    atomic_store(&control->opened, true);
    wake_waiter(control);
}

/* Ends what can be ended now. True: nothing is left. */
static bool finish(struct control *control)
{
    bool rest = control->refused_count > 0;
    io_listener_close(&control->listener);
    for (uint32_t i = 0; i < CONTROL_CONNECTION_COUNT_MAX; i++) {
        struct connection *c = &control->connections[i];
        if (c->used && !c->ended) {
            c->ended = true;
            connection_hang_up(c);
        }
        rest = rest || c->used;
    }
    return !rest;
}

static uint32_t control_work(void *ctx, mono_time now)
{
    struct control *control = ctx;
    CHECK_MAGIC(control, CONTROL_MAGIC);
    if (!control->listened)
        start_listening(control);
    if (control->finished || control->client == NULL) {
        if (atomic_load(&control->closing) && !atomic_exchange(&control->closed, true))
            wake_waiter(control);
        return 0;
    }
    uint32_t work = log_client_work(control->client);
    bool waiting = false;
    for (uint32_t i = 0; i < CONTROL_CONNECTION_COUNT_MAX; i++) {
        struct connection *c = &control->connections[i];
        if (!c->used || c->job == NULL)
            continue;
        if (c->stream == NULL && !job_is_busy(c->job))
            connection_free(c);
        else if (c->waiting && !job_is_busy(c->job))
            connection_answer(c);
        waiting = waiting || (c->used && c->waiting);
    }
    if (waiting && !control->looking) {
        control->looking = true;
        io_timer_set(&control->look, mono_after(now, LOOK_NS));
    }
    if (atomic_load(&control->closing) && finish(control) && log_client_inflight(control->client) == 0) {
        log_client_close(&control->client);
        io_timer_cancel(&control->look);
        control->finished = true;
        return 1;
    }
    return work;
}

/* ---- open and close: on somebody else's thread ---- */

struct wait {
    struct io_agent agent;
    struct control *control;
    _Atomic bool *flag;
};

static void set_waiter(struct control *control, struct io_agent *waiter)
{
    io_mutex_take(control->mutex);
    control->waiter = waiter;
    io_mutex_drop(control->mutex);
}

static uint32_t wait_work(void *ctx, mono_time now)
{
    struct wait *wait = ctx;
    (void)now;
    set_waiter(wait->control, &wait->agent); /* from its first turn on it can be woken */
    if (atomic_load(wait->flag))
        io_agent_leave(&wait->agent);
    return 0;
}

/* The caller's thread rests until the control agent has set the flag. */
static enum neap_status wait_for(struct control *control, _Atomic bool *flag, int64_t ns, struct error *err)
{
    struct io *io = control->options.io;
    struct wait wait = { .control = control, .flag = flag };
    wait.agent = (struct io_agent){ .name = "control-wait", .work = wait_work, .ctx = &wait };
    io_agent_wake(&control->agent);
    enum neap_status status = io_agent_run(io, &wait.agent, mono_after(io_now(io), ns), err);
    set_waiter(control, NULL);
    io_agent_stop(&wait.agent);
    return status;
}

enum neap_status control_open(const struct control_options *options, struct control **ret_control, struct error *err)
{
    must(options->log != NULL && options->path != NULL);
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL)
        return error_set(err, NEAP_NOMEM, "control: out of memory");
    control->magic = CONTROL_MAGIC;
    control->options = *options;
    control->agent = (struct io_agent){ .name = "control", .work = control_work, .ctx = control };
    control->mutex = io_mutex_new(options->io);
    enum neap_status status = control->mutex == NULL ? error_set(err, NEAP_NOMEM, "out of memory")
                                                     : io_agent_start(options->io, &control->agent, err);
    if (status != NEAP_OK) {
        io_mutex_free(&control->mutex);
        free(control);
        return error_while(err, "control socket");
    }
    status = wait_for(control, &control->opened, OPEN_NS, err);
    if (status == NEAP_OK && control->error.status != NEAP_OK)
        status = error_set(err, control->error.status, "%s", control->error.text);
    if (status != NEAP_OK) {
        control_close(&control);
        return error_while(err, "control socket");
    }
    *ret_control = control;
    return NEAP_OK;
}

void control_close(struct control **control)
{
    struct control *c = *control;
    if (c == NULL)
        return;
    CHECK_MAGIC(c, CONTROL_MAGIC);
    atomic_store(&c->closing, true);
    /* It waits for nobody but the log, which answers, or has stopped, or hangs in a sync: what its units lie in cannot be freed
     * under it. Whoever cannot wait for that does not close anything, and ends the process. */
    enum neap_status status = wait_for(c, &c->closed, INT64_MAX, NULL);
    must(status == NEAP_OK);
    io_agent_stop(&c->agent);
    io_mutex_free(&c->mutex);
    c->magic = 0;
    free(c);
    *control = NULL;
}
