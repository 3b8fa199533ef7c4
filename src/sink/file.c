/* file.c - events as lines of a file: the tasks' side, and the worker's turn. The rules are in file.h. */
#include "sink/file.h"
#include "base/must.h"
#include "sink/lines.h"
#include <stdlib.h>

#define FILE_SINK_MAGIC 0x4e505346u

static struct file_sink *sink_of(struct sink *sink)
{
    struct file_sink *s = (struct file_sink *)sink;
    CHECK_MAGIC(s, FILE_SINK_MAGIC);
    return s;
}

static enum neap_status add(struct sink *sink, struct writer *rows, const struct event *event, struct arena *arena,
                            struct failure *failure)
{
    return line_add(sink, rows, event, arena, failure);
}

/* ---- one batch after the other (rule F3) ---- */

static bool is_settled(struct file_sink *s)
{
    if (!s->task.unsettled)
        return true;
    struct bytes key = { (const uint8_t *)s->key, s->key_size }, value;
    struct file_fact fact;
    if (log_fact_get(s->options.log, LOG_VIEW_SINK, s->task.source, key, s->task.fact_room, &value) != NEAP_OK ||
        file_fact_decode(value, &fact) != NEAP_OK || fact.sequence < s->task.sequence)
        return false;
    s->task.unsettled = false;
    return true;
}

static void landed(struct sink_batch *batch)
{
    struct file_sink *s = sink_of(batch->sink_);
    must(s->task.landing == batch);
    s->task.landing = NULL;
    batch->done = s->task.landing_done;
    if (batch->status == NEAP_OK && batch->op_count > 0) {
        struct file_fact fact;
        enum neap_status status = file_fact_decode(batch->ops[0].payload, &fact);
        must(status == NEAP_OK);
        s->task.unsettled = true;
        s->task.source = batch->source;
        s->task.sequence = fact.sequence;
    }
    batch->done(batch);
}

static struct sink_batch *take_waiting(struct file_sink *s)
{
    struct sink_batch *batch = s->task.waiting;
    s->task.waiting = batch->next_;
    if (s->task.waiting == NULL)
        s->task.waiting_end = &s->task.waiting;
    return batch;
}

static uint32_t start_next(struct file_sink *s)
{
    if (s->task.waiting == NULL || s->task.landing != NULL || s->task.given_up || !is_settled(s))
        return 0;
    struct sink_batch *batch = take_waiting(s);
    s->task.landing = batch;
    s->task.landing_done = batch->done;
    batch->done = landed;
    worker_land(s->worker, &s->sink, batch);
    return 1;
}

/* Those that wait behind a batch that will not be committed: rule F3 would let them wait for ever. */
static uint32_t send_back(struct file_sink *s)
{
    uint32_t count = 0;
    for (; s->task.given_up && s->task.waiting != NULL; count++) {
        struct sink_batch *batch = take_waiting(s);
        batch->op_count = batch->refused_count = 0;
        batch->status =
            error_set(&batch->error, NEAP_AGAIN, "%s: the batch before it was not committed", s->options.path);
        batch->done(batch);
    }
    return count;
}

static void give_up(struct sink *sink)
{
    sink_of(sink)->task.given_up = true;
}

static void land(struct sink *sink, struct sink_batch *batch)
{
    struct file_sink *s = sink_of(sink);
    must(batch->ops != NULL);
    batch->next_ = NULL;
    *s->task.waiting_end = batch;
    s->task.waiting_end = &batch->next_;
    start_next(s);
}

static void recover(struct sink *sink, struct sink_recover *r)
{
    worker_recover(sink_of(sink)->worker, sink, r);
}

static uint32_t work(struct sink *sink)
{
    struct file_sink *s = sink_of(sink);
    uint32_t count = worker_work(s->worker, sink);
    return count + start_next(s) + send_back(s);
}

/* ---- the worker's turn ---- */

static void answer_batch(struct file_sink *s, struct sink_batch *b, enum neap_status status, const struct error *err)
{
    b->status = status;
    if (status != NEAP_OK)
        b->error = *err;
    worker_landed(s->worker, b);
}

static void answer_recovers(struct file_sink *s, enum neap_status status, const struct error *err)
{
    struct sink_recover *r = s->pending.recovers;
    s->pending.recovers = NULL;
    for (struct sink_recover *next; r != NULL; r = next) {
        next = r->next_;
        r->status = status;
        if (status != NEAP_OK)
            r->error = *err;
        r->row = r->stranger = (struct sink_row){ 0 };
        r->rows_there = status == NEAP_OK && s->place.fact.size > 0;
        worker_recovered(s->worker, r);
    }
}

static void answer_all(struct file_sink *s, enum neap_status status, const struct error *err)
{
    answer_recovers(s, status, err);
    struct sink_batch *b = s->pending.batches;
    s->pending.batches = NULL;
    for (struct sink_batch *next; b != NULL; b = next) {
        next = b->next_;
        answer_batch(s, b, status, err);
    }
}

static void land_batch(struct file_sink *s, struct sink_batch *b)
{
    struct error err = { 0 };
    struct bytes value;
    b->op_count = b->refused_count = 0;
    enum neap_status status = b->rows.size == 0 ? NEAP_OK : file_append(s, b->rows, &value, &err);
    if (status == NEAP_OK && b->rows.size > 0) {
        b->ops[0] = (struct log_op){ .kind = LOG_FACT,
                                     .view = LOG_VIEW_SINK,
                                     .target = b->source,
                                     .name = { (const uint8_t *)s->key, s->key_size },
                                     .payload = value };
        b->op_count = 1;
    }
    answer_batch(s, b, status, &err);
}

/* What a step needs of the file before it: true when it is open and as it should be. */
static bool get_ready(struct file_sink *s)
{
    struct error err = { 0 };
    enum neap_status status = NEAP_OK;
    if (s->place.state == FILE_READY && s->pending.batches != NULL) {
        status = file_check(s, &err);
        if (status == NEAP_NOTFOUND) {
            file_close(s);
            status = NEAP_OK;
        }
    }
    if (status == NEAP_OK && s->place.state == FILE_UNKNOWN) {
        struct sink_recover *r = s->pending.recovers;
        status = file_prepare(s, r != NULL ? r->source : s->pending.batches->source, r != NULL && r->take_over, &err);
    }
    if (status != NEAP_OK)
        answer_all(s, status, &err);
    return status == NEAP_OK && s->place.state == FILE_READY;
}

static bool is_marked(struct file_sink *s)
{
    if (s->place.state != FILE_MARKING)
        return true;
    log_client_work(s->client);
    if (s->place.state == FILE_MARKING)
        return false;
    if (s->place.mark_status != NEAP_OK) {
        struct error err = { 0 };
        error_set(&err, s->place.mark_status, "remember how long %s is: %s", s->options.path,
                  status_text(s->place.mark_status));
        file_close(s);
        answer_all(s, s->place.mark_status, &err);
    }
    return true;
}

static uint32_t turn(void *ctx, struct sink_recover *recovers, struct sink_batch *batches)
{
    struct file_sink *s = ctx;
    struct sink_recover **recovers_end = &s->pending.recovers;
    while (*recovers_end != NULL)
        recovers_end = &(*recovers_end)->next_;
    *recovers_end = recovers;
    struct sink_batch **batches_end = &s->pending.batches;
    while (*batches_end != NULL)
        batches_end = &(*batches_end)->next_;
    *batches_end = batches;

    if (!is_marked(s))
        return 0;
    uint32_t count = 0;
    while ((s->pending.recovers != NULL || s->pending.batches != NULL) && get_ready(s)) {
        answer_recovers(s, NEAP_OK, NULL);
        struct sink_batch *b = s->pending.batches;
        if (b == NULL)
            break;
        s->pending.batches = b->next_;
        land_batch(s, b);
        count++;
    }
    return count;
}

/* ---- open and close ---- */

static void close_sink(struct sink *sink)
{
    struct file_sink *s = sink_of(sink);
    must(s->task.landing == NULL);
    log_client_close(&s->client); /* first, so that the log wakes nobody who is gone */
    worker_close(&s->worker);
    file_close(s);
    s->magic = 0;
    free(s);
}

static const struct sink_verbs verbs = { .kind = "file",
                                         .exactly_once = true,
                                         .add = add,
                                         .recover = recover,
                                         .land = land,
                                         .work = work,
                                         .give_up = give_up,
                                         .close = close_sink };

static bool make_key(struct file_sink *s)
{
    size_t first = strlen(s->options.pipeline) + 1, second = strlen(s->options.name);
    if (first + second > sizeof s->key)
        return false;
    memcpy(s->key, s->options.pipeline, first);
    memcpy(s->key + first, s->options.name, second);
    s->key_size = first + second;
    return true;
}

enum neap_status file_sink_open(const struct file_sink_options *options, struct sink **ret_sink, struct error *err)
{
    must(options->log != NULL && options->source_partition_count > 0);
    struct file_sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory for %s", options->path);
    s->magic = FILE_SINK_MAGIC;
    s->options = *options;
    s->sink = (struct sink){ .verbs = &verbs,
                             .name = options->name,
                             .batch_size = options->batch_size == 0 ? LINES_BATCH_SIZE : options->batch_size,
                             .row_count_max = LINES_ROW_COUNT_MAX };
    s->task.waiting_end = &s->task.waiting;
    if (!make_key(s)) {
        free(s);
        return error_set(err, NEAP_MISUSE, "names of pipeline and sink are too long");
    }
    const struct worker_options worker = { .io = options->io, .name = "file", .turn = turn, .ctx = s };
    enum neap_status status = worker_open(&worker, &s->worker, err);
    if (status != NEAP_OK) {
        free(s);
        return status;
    }
    const struct log_client_options client = { .rank = LOG_RANK_PIPELINE,
                                               .inflight_count_max = 4,
                                               .agent = worker_agent(s->worker) };
    status = log_client_open(options->log, &client, &s->client, err);
    if (status != NEAP_OK) {
        worker_close(&s->worker);
        free(s);
        return status;
    }
    *ret_sink = &s->sink;
    return NEAP_OK;
}
