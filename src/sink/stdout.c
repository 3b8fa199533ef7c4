/* stdout.c - events as lines on standard output, for whoever reads the pipe. At least once: what a reader got before a
 * crash it gets again.
 *
 * S1  A line that is half out when a deadline passes is finished before anything else comes out, whichever batch is next:
 *     the partitions' batches take turns, and a line is one event's. */
#include "base/must.h"
#include "sink/lines.h"
#include "sink/sinks.h"
#include "sink/worker.h"
#include <stdlib.h>
#include <string.h>

#define STDOUT_MAGIC 0x4e50534fu
#define WRITE_NS     (30 * NS_PER_S)

struct stdout_sink {
    struct sink sink;
    uint32_t magic;
    struct stdout_sink_options options;
    struct worker *worker;
    struct { /* the worker's turn: the end of a line that is half out (rule S1) */
        uint8_t *room;
        size_t at, size;
    } rest;
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

static enum neap_status write_rest(struct stdout_sink *s, mono_time deadline)
{
    struct bytes left = { s->rest.room + s->rest.at, s->rest.size - s->rest.at };
    size_t written = 0;
    if (left.size == 0)
        return NEAP_OK;
    enum neap_status status = io_write_next(io_standard(s->options.io, 1), left, deadline, &written);
    s->rest.at += written;
    return status;
}

static void close_sink(struct sink *sink)
{
    struct stdout_sink *s = sink_of(sink);
    worker_close(&s->worker);
    (void)write_rest(s, io_now(s->options.io)); /* if somebody reads at last */
    s->magic = 0;
    free(s->rest.room);
    free(s);
}

static const struct sink_verbs verbs = {
    .kind = "stdout", .add = add, .recover = recover, .land = land, .work = work, .close = close_sink
};

/* What is out ends with a whole line, or its end is kept to come out next. Gives where the rows go on. */
static size_t keep_rest(struct stdout_sink *s, struct bytes rows, size_t written)
{
    if (written == 0 || written == rows.size || rows.at[written - 1] == '\n')
        return written;
    const uint8_t *end = memchr(rows.at + written, '\n', rows.size - written);
    must(end != NULL && rows.size <= s->sink.batch_size); /* rows are whole lines */
    s->rest.at = 0;
    s->rest.size = (size_t)(end + 1 - (rows.at + written));
    memcpy(s->rest.room, rows.at + written, s->rest.size);
    return written + s->rest.size;
}

static enum neap_status write_rows(struct stdout_sink *s, struct sink_batch *b, mono_time deadline)
{
    must(b->taken_size <= b->rows.size);
    struct bytes left = { b->rows.at + b->taken_size, b->rows.size - b->taken_size };
    size_t written = 0;
    enum neap_status status = write_rest(s, deadline);
    if (status != NEAP_OK || left.size == 0)
        return status;
    status = io_write_next(io_standard(s->options.io, 1), left, deadline, &written);
    b->taken_size = keep_rest(s, b->rows, b->taken_size + written);
    return status;
}

static enum neap_status write_batch(struct stdout_sink *s, struct sink_batch *b)
{
    int64_t write_ns = s->options.write_ns == 0 ? WRITE_NS : s->options.write_ns;
    enum neap_status status = write_rows(s, b, mono_after(io_now(s->options.io), write_ns));
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
    s->rest.room = malloc(s->sink.batch_size);
    const struct worker_options worker = { .io = options->io, .name = "stdout", .turn = turn, .ctx = s };
    enum neap_status status = s->rest.room == NULL ? error_set(err, NEAP_NOMEM, "out of memory for the stdout sink")
                                                   : worker_open(&worker, &s->worker, err);
    if (status != NEAP_OK) {
        free(s->rest.room);
        free(s);
        return status;
    }
    *ret_sink = &s->sink;
    return NEAP_OK;
}
