/* stdout.c - events as lines on standard output, for whoever reads the pipe. At least once: what a reader got before a
 * crash it gets again. */
#include "base/must.h"
#include "sink/lines.h"
#include "sink/sinks.h"
#include "sink/worker.h"
#include <stdlib.h>

#define STDOUT_MAGIC 0x4e50534fu
#define WRITE_NS     (30 * NS_PER_S)

struct stdout_sink {
    struct sink sink;
    uint32_t magic;
    struct stdout_sink_options options;
    struct worker *worker;
    struct { /* the worker's turn: how much of a batch was out when its time was over, so that a retry goes on there */
        const struct sink_batch *batch;
        log_offset commit_point;
        size_t written;
    } turn;
};

static struct stdout_sink *sink_of(struct sink *sink)
{
    struct stdout_sink *s = (struct stdout_sink *)sink;
    CHECK_MAGIC(s, STDOUT_MAGIC);
    return s;
}

static enum neap_status add(struct sink *sink, struct writer *rows, const struct event *event, struct arena *arena,
                            struct failure *failure)
{
    return line_add(sink, rows, event, arena, failure);
}

static void recover(struct sink *sink, struct sink_recover *r)
{
    worker_recover(sink_of(sink)->worker, sink, r);
}

static void land(struct sink *sink, struct sink_batch *batch)
{
    worker_land(sink_of(sink)->worker, sink, batch);
}

static uint32_t work(struct sink *sink)
{
    return worker_work(sink_of(sink)->worker, sink);
}

static void close_sink(struct sink *sink)
{
    struct stdout_sink *s = sink_of(sink);
    worker_close(&s->worker);
    s->magic = 0;
    free(s);
}

static const struct sink_verbs verbs = {
    .kind = "stdout", .add = add, .recover = recover, .land = land, .work = work, .close = close_sink
};

static enum neap_status write_batch(struct stdout_sink *s, struct sink_batch *b)
{
    struct io *io = s->options.io;
    bool again = s->turn.batch == b && s->turn.commit_point.n == b->commit_point.n && s->turn.written <= b->rows.size;
    size_t written = again ? s->turn.written : 0, more = 0;
    int64_t write_ns = s->options.write_ns == 0 ? WRITE_NS : s->options.write_ns;
    struct bytes left = { b->rows.at + written, b->rows.size - written };
    enum neap_status status =
        left.size == 0 ? NEAP_OK : io_write_next(io_standard(io, 1), left, mono_after(io_now(io), write_ns), &more);
    s->turn.batch = status == NEAP_TIMEOUT ? b : NULL;
    s->turn.commit_point = b->commit_point;
    s->turn.written = written + more;
    switch (status) {
    case NEAP_OK:
        return NEAP_OK;
    case NEAP_TIMEOUT:
        return error_set(&b->error, status, "standard output: nobody read it for %lld s",
                         (long long)(write_ns / NS_PER_S));
    case NEAP_CLOSED:
        return error_set(&b->error, status, "standard output: its reader has gone (broken pipe)");
    default:
        return error_set(&b->error, status, "standard output: %s", status_text(status));
    }
}

static uint32_t turn(void *ctx, struct sink_recover *r, struct sink_batch *b)
{
    struct stdout_sink *s = ctx;
    for (struct sink_recover *next; r != NULL; r = next) {
        next = r->next_;
        r->status = NEAP_OK; /* it remembers nothing */
        r->row = r->stranger = (struct sink_row){ 0 };
        r->rows_there = false;
        worker_recovered(s->worker, r);
    }
    for (struct sink_batch *next; b != NULL; b = next) {
        next = b->next_;
        b->refused_count = b->op_count = 0;
        b->status = write_batch(s, b);
        worker_landed(s->worker, b);
    }
    return 0;
}

enum neap_status stdout_sink_open(const struct stdout_sink_options *options, struct sink **ret_sink, struct error *err)
{
    struct stdout_sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory for the stdout sink");
    s->magic = STDOUT_MAGIC;
    s->options = *options;
    s->sink = (struct sink){ .verbs = &verbs,
                             .name = options->name,
                             .batch_size = options->batch_size == 0 ? LINES_BATCH_SIZE : options->batch_size,
                             .row_count_max = LINES_ROW_COUNT_MAX };
    const struct worker_options worker = { .io = options->io, .name = "stdout", .turn = turn, .ctx = s };
    enum neap_status status = worker_open(&worker, &s->worker, err);
    if (status != NEAP_OK) {
        free(s);
        return status;
    }
    *ret_sink = &s->sink;
    return NEAP_OK;
}
