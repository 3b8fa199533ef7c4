/* control_call.c - a request from the asking side: carried out in this process, or by the node at a socket. */
#include "base/must.h"
#include "node/control.h"
#include "node/job.h"
#include <stdlib.h>

/* ---- in this process ---- */

#define LOOK_NS (10 * NS_PER_MS) /* how late a job that waits for something else than its unit sees that it has come */

struct execution {
    struct io_agent agent;
    struct io_timer look;
    bool looking;
    struct log_client *client;
    struct job *job;
    control_write *write;
    void *ctx;
    enum neap_status status;
    uint8_t room[CONTROL_ROOM_SIZE];
};

static void look_again(struct io_timer *timer, mono_time now)
{
    struct execution *e = timer->ctx;
    (void)now;
    e->looking = false;
    io_agent_wake(&e->agent);
}

static uint32_t execution_work(void *ctx, mono_time now)
{
    struct execution *e = ctx;
    if (e->client != NULL)
        log_client_work(e->client);
    if (job_is_busy(e->job))
        return 0;
    struct writer w = writer_of(e->room, sizeof e->room);
    enum job_state state = job_fill(e->job, &w);
    if (writer_size(&w) > 0 && e->status == NEAP_OK)
        e->status = e->write(e->ctx, writer_bytes(&w));
    if (state == JOB_END || (e->status != NEAP_OK && !job_is_busy(e->job)))
        io_agent_leave(&e->agent);
    if (state == JOB_WAIT && !job_is_busy(e->job) && !e->looking) {
        e->looking = true;
        io_timer_set(&e->look, mono_after(now, LOOK_NS));
    }
    return state == JOB_MORE;
}

static enum neap_status run_job(struct execution *e, const struct control_context *context, struct bytes request,
                                struct bytes body, mono_time deadline, struct error *err)
{
    struct control_context own = *context;
    own.client = e->client;
    e->job = job_new(&own, request);
    if (e->job == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    if (job_body_size(e->job) > 0)
        job_body(e->job, body);
    enum neap_status status = io_agent_run(context->io, &e->agent, deadline, err);
    if (job_is_busy(e->job)) {
        /* Out of time with a unit on its way: the log ends it, durable or not, before the job may go. */
        e->status = status;
        log_give_up(context->log);
        io_agent_run(context->io, &e->agent, MONO_NEVER, NULL);
    }
    job_free(&e->job);
    return status != NEAP_OK ? status : e->status;
}

enum neap_status control_execute(const struct control_context *context, bool writable, struct bytes request,
                                 struct bytes body, control_write *write, void *ctx, mono_time deadline,
                                 struct error *err)
{
    struct execution *e = calloc(1, sizeof *e);
    if (e == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    e->agent = (struct io_agent){ .name = "command", .work = execution_work, .ctx = e };
    e->look = (struct io_timer){ .agent = &e->agent, .fire = look_again, .ctx = e };
    e->write = write;
    e->ctx = ctx;
    enum neap_status status = NEAP_OK;
    if (writable) {
        struct log_client_options options = { .inflight_count_max = 1, .agent = &e->agent };
        status = log_client_open(context->log, &options, &e->client, err);
    }
    if (status == NEAP_OK)
        status = run_job(e, context, request, body, deadline, err);
    if (e->client != NULL)
        log_client_close(&e->client);
    io_timer_cancel(&e->look);
    io_agent_stop(&e->agent); /* after the client, which may still wake it */
    free(e);
    return status;
}

/* ---- at a socket ---- */

struct question {
    struct io_agent agent;
    struct io *io;
    const char *path;
    struct io_stream *stream;
    struct bytes parts[3]; /* the line, its newline, the body */
    unsigned part_index;
    control_write *write;
    void *ctx;
    bool connected, over;
    enum neap_status status;
    struct error *err;
};

static void send_next(struct question *q)
{
    while (q->part_index < COUNT_OF(q->parts) && q->parts[q->part_index].size == 0)
        q->part_index++;
    if (q->part_index == COUNT_OF(q->parts) || q->stream == NULL)
        return;
    if (io_stream_send(q->stream, q->parts[q->part_index++]) != NEAP_OK)
        io_stream_close(q->stream);
}

static void question_data(struct io_stream *stream, struct bytes bytes)
{
    struct question *q = io_stream_ctx(stream);
    if (q->status == NEAP_OK)
        q->status = q->write(q->ctx, bytes);
    if (q->status != NEAP_OK)
        io_stream_close(stream);
}

static void question_sent(struct io_stream *stream, enum neap_status status)
{
    struct question *q = io_stream_ctx(stream);
    if (status == NEAP_OK)
        send_next(q);
    /* A node that answers before it has read everything has said why: its answer is still to be read. */
}

static void question_closed(struct io_stream *stream, enum neap_status status)
{
    struct question *q = io_stream_ctx(stream);
    (void)status;
    q->stream = NULL;
    q->over = true;
    io_agent_leave(&q->agent);
}

static const struct io_stream_events question_events = { question_data, question_sent, question_closed };

static uint32_t question_work(void *ctx, mono_time now)
{
    struct question *q = ctx;
    (void)now;
    if (q->connected)
        return 0;
    q->connected = true;
    q->status = io_connect(&q->agent, q->path, &q->stream, q->err);
    if (q->status != NEAP_OK) {
        q->over = true;
        io_agent_leave(&q->agent);
        return 0;
    }
    io_stream_start(q->stream, &question_events, q);
    send_next(q);
    return 1;
}

enum neap_status control_ask(struct io *io, const char *path, struct bytes request, struct bytes body,
                             control_write *write, void *ctx, mono_time deadline, struct error *err)
{
    struct question q = { .io = io, .path = path, .write = write, .ctx = ctx, .err = err };
    q.agent = (struct io_agent){ .name = "command", .work = question_work, .ctx = &q };
    q.parts[0] = request;
    q.parts[1] = BYTES("\n");
    q.parts[2] = body;
    enum neap_status status = io_agent_run(io, &q.agent, deadline, err);
    if (q.stream != NULL) { /* out of time: hang up, and let the stream go on the agent's turn */
        io_stream_close(q.stream);
        io_agent_run(io, &q.agent, mono_after(io_now(io), NS_PER_S), NULL);
        must(q.over);
    }
    io_agent_stop(&q.agent);
    return status != NEAP_OK ? status : q.status;
}
