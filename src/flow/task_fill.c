/* task_fill.c - runs what was read through the inline stages, and fills the next batch. */
#include "flow/redrive.h"
#include "flow/task_parts.h"
#include <inttypes.h>

/* ---- one record ---------------------------------------------------------------------------------------------------- */

const struct sink_refused *task_find_refused(const struct task *t, uint64_t offset)
{
    uint32_t low = 0, high = t->refused_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (t->kit->refused[middle].offset.n < offset)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < t->refused_count && t->kit->refused[low].offset.n == offset;
    return found ? &t->kit->refused[low] : NULL;
}

struct taking {
    struct task *task;
    struct task_batch *batch;
    const struct record *record;
    enum taken taken;
    struct { /* as the batch was before the event, which may become several rows */
        struct writer rows;
        uint32_t row_count;
        uint64_t produced;
    } before;
    bool is_buried; /* one of them was refused, and so all are */
};

static void take_back(struct taking *g)
{
    g->batch->rows = g->before.rows;
    g->batch->row_count = g->before.row_count;
    g->batch->counts.produced = g->before.produced;
}

/* TAKEN: it has its row; or, where `failure` has a reason, it never will. */
static enum taken add_row(struct taking *g, const struct event *event, struct failure *failure)
{
    struct task_batch *b = g->batch;
    struct sink *sink = g->task->p->o.sink;
    struct writer before = b->rows;
    enum neap_status status = NEAP_AGAIN;
    *failure = (struct failure){ .reason = "refused", .stage = sink->name };
    if (b->row_count < sink->row_count_max)
        status = sink->verbs->add(sink, &b->rows, event, g->task->p->o.arena, failure);
    if (status == NEAP_OK) {
        b->row_count++;
        b->counts.produced++;
        failure->reason = NULL;
        return TAKEN;
    }
    b->rows = before;
    if (status == NEAP_AGAIN && g->before.row_count > 0)
        return BATCH_FULL;
    if (status == NEAP_AGAIN) {
        failure->reason = "too_large";
        failure->message = b->row_count == 0 ? BYTES("it does not fit into an empty batch of its sink")
                                             : BYTES("what it became does not fit into one batch of its sink");
    } else if (status != NEAP_BADINPUT && status != NEAP_TOOLARGE && status != NEAP_REFUSED) {
        task_stop_with(g->task, status, "add offset %" PRIu64 " to a batch: %s", g->record->offset,
                       status_text(status));
        return STOPPED;
    }
    return TAKEN;
}

static enum taken bury(struct taking *g, const struct failure *failure)
{
    take_back(g);
    g->is_buried = true;
    return task_add_letter(g->task, g->batch, g->record, failure, NULL);
}

/* What cannot be read is what came out of the waiting stage before, where that changed it. */
static struct failure name_stage(const struct task *t, const struct record *record, const struct event *event,
                                 const struct failure *failure)
{
    struct failure said = *failure;
    bool changed = event->json.at != record->value.at && t->p->o.stage_count > 0;
    if (changed && strcmp(said.stage, "source") == 0)
        said.stage = t->p->o.stages[t->p->o.stage_count - 1]->name;
    return said;
}

static enum taken settle(struct taking *g, struct event *event, enum stage_outcome outcome,
                         const struct failure *failure)
{
    struct failure said;
    enum taken taken = TAKEN;
    switch (outcome) {
    case STAGE_PASS:
    case STAGE_MORE:
        taken = add_row(g, event, &said);
        if (taken == TAKEN && said.reason != NULL)
            return bury(g, &said);
        g->batch->counts.delivered += taken == TAKEN && outcome == STAGE_PASS;
        return taken;
    case STAGE_SPLIT:
        g->batch->counts.delivered++;
        return TAKEN;
    case STAGE_DROP:
        g->batch->counts.filtered++;
        g->batch->counts.duplicates += event->duplicate;
        return TAKEN;
    case STAGE_FAIL:
        said = name_stage(g->task, g->record, event, failure);
        return bury(g, &said);
    }
    return STOPPED;
}

static bool through_chain(void *ctx, uint32_t index, struct event *event, enum stage_outcome outcome,
                          const struct failure *failure)
{
    struct taking *g = ctx;
    if (!g->is_buried) /* else nothing that still comes of it counts */
        g->taken = settle(g, event, outcome, failure);
    return g->taken == TAKEN;
}

/* The gate wrote it down beside the event. */
struct bytes task_id_of(const struct record *record)
{
    struct reader left = reader_of(record->headers);
    struct record_header header;
    for (uint32_t i = 0; i < record->header_count && record_header_next(&left, &header) == NEAP_OK; i++) {
        if (bytes_equal(header.name, BYTES("neap.id")))
            return header.value;
    }
    return (struct bytes){ NULL, 0 };
}

struct event task_event_of(const struct task *t, const struct record *record, struct bytes json, struct bytes id)
{
    return (struct event){ .json = json,
                           .key = record->key,
                           .id = id,
                           .headers = record->headers,
                           .header_count = record->header_count,
                           .time_ms = record->time_ms,
                           .topic = t->p->o.topic,
                           .partition = t->source.partition,
                           .attempt = 1,
                           .offset = { record->offset } };
}

enum taken task_run_record(struct task *t, struct task_batch *b, const struct record *record, struct bytes json,
                           struct bytes id)
{
    struct event event = task_event_of(t, record, json, id);
    struct taking g = { .task = t,
                        .batch = b,
                        .record = record,
                        .taken = STOPPED,
                        .before = { b->rows, b->row_count, b->counts.produced } };
    arena_reset(t->p->o.arena);
    uint32_t count = chain_run(t->p->o.chain, &event, 1, t->p->o.arena, through_chain, &g);
    must(count == (g.taken == TAKEN)); /* with an empty arena it comes to an outcome */
    if (count == 0)
        take_back(&g);
    return g.taken;
}

struct failure task_failure_of_unreadable(const struct task *t)
{
    return (struct failure){ .reason = t->unreadable.reason,
                             .stage = "source",
                             .message = bytes_of_text(t->unreadable.text) };
}

struct failure task_failure_of_refused(const struct task *t, const struct sink_refused *refused)
{
    return (
        struct failure){ .reason = "refused", .stage = t->p->o.sink->name, .message = bytes_of_text(refused->message) };
}

static bool has_expired(const struct task *t)
{
    return t->p->o.expires_ms > 0 && io_wall(t->p->o.io).ms >= t->appended_ms + t->p->o.expires_ms;
}

static enum taken take_record(struct task *t, struct task_batch *b, const struct record *record)
{
    if (b->event_count == t->p->o.event_count_max || b->dead_count == t->p->letter_count_max ||
        !task_dedup_has_room(t, record->offset))
        return BATCH_FULL;
    if (commit_has(&t->done, (log_offset){ record->offset })) { /* it has its letter */
        b->counts.dead_lettered++;
        b->dead_count++;
        return TAKEN;
    }
    if (commit_has(&t->settled,
                   (log_offset){ record->offset })) { /* there were waiting stages once, and it has passed them */
        b->before_count++;
        return TAKEN;
    }
    if (redrive_is_foreign(t->p->o.log, t->source, record, t->p->o.topic, t->p->o.name)) {
        b->counts.filtered++;
        return TAKEN;
    }
    if (record->offset < t->unreadable.until.n) {
        struct failure failure = task_failure_of_unreadable(t);
        return task_add_letter(t, b, record, &failure, NULL);
    }
    const struct sink_refused *refused = task_find_refused(t, record->offset);
    if (refused == NULL && has_expired(t)) {
        struct failure failure = failure_of_expired();
        failure.stage = "source";
        return task_add_letter(t, b, record, &failure, NULL);
    }
    if (refused == NULL)
        return task_run_record(t, b, record, record->value, task_id_of(record));
    struct failure failure = task_failure_of_refused(t, refused);
    return task_add_letter(t, b, record, &failure, NULL);
}

/* ---- a batch ------------------------------------------------------------------------------------------------------- */

static void begin_batch(struct task *t, struct task_batch *b)
{
    must(t->letter_count == 0);
    *b = (struct task_batch){
        .state = BATCH_OPEN, .from = t->next, .to = t->next, .taken = t->kit->taken[t->filling], .round = ++t->round
    };
    b->rows = writer_of(t->kit->rows[t->filling], t->p->o.sink->batch_size);
}

void task_close_batch(struct task *t, struct task_batch *b)
{
    must(b->state == BATCH_OPEN && (b->to.n > b->from.n || task_way_is_ready(t, b)));
    b->state = BATCH_CLOSED;
    if (t->letter_count > 0)
        task_send_letters(t);
    if (task_dedup_waits(t))
        task_dedup_send(t);
}

/* Compaction has left only later events of these keys, or somebody has deleted them: nobody answers for them, but for
 * those that have their letter already. What a pipeline still had to process goes in no other way; that is said. */
static enum taken pass_gap(struct task *t, struct task_batch *b, log_offset to)
{
    log_offset start = task_say_deleted(t, t->next), dead;
    must(to.n > t->next.n);
    if (start.n > to.n) /* a batch of which only the end is kept */
        to = start;
    while (t->next.n < to.n) {
        bool lettered = commit_next(&t->done, t->next, &dead) && dead.n < to.n;
        log_offset upto = lettered ? dead : to;
        uint64_t before = commit_within(&t->settled, t->next, upto);
        b->before_count += before;
        b->gone_count += upto.n - t->next.n - before;
        t->next = b->to = upto;
        if (!lettered)
            break;
        if (b->dead_count == t->p->letter_count_max)
            return BATCH_FULL;
        b->counts.dead_lettered++;
        b->dead_count++;
        t->next.n++;
        b->to = t->next;
    }
    return TAKEN;
}

static uint32_t pass_last_gap(struct task *t, struct task_batch *b)
{
    log_offset end;
    uint32_t work;
    if (task_ends_in_gap(t, t->next, &end, &work) && pass_gap(t, b, end) == BATCH_FULL)
        task_close_batch(t, b);
    return work;
}

/* It comes first in the next batch. */
static void hold_record(struct task *t, struct task_batch *b, const struct record *record)
{
    t->held = true;
    t->held_record = *record;
    task_close_batch(t, b);
}

static uint32_t fill(struct task *t, struct task_batch *b)
{
    for (uint32_t count = 0; count < TASK_EVENTS_PER_TURN; count++) {
        struct record record;
        if (!task_next_record(t, t->next, &record))
            return count + pass_last_gap(t, b);
        enum taken taken = TAKEN;
        if (record.offset > t->next.n)
            taken = pass_gap(t, b, (log_offset){ record.offset });
        if (taken == TAKEN && record.offset < t->next.n)
            continue;
        if (taken == TAKEN)
            taken = take_record(t, b, &record);
        if (taken == BATCH_FULL)
            hold_record(t, b, &record);
        if (taken != TAKEN)
            return count + 1;
        task_dedup_pass(t, record.offset);
        t->next.n++;
        b->to = t->next;
        b->event_count++;
    }
    return TASK_EVENTS_PER_TURN;
}

uint32_t task_fill_work(struct task *t, mono_time now)
{
    uint32_t work = 0;
    if (task_unit_take(&t->letter_unit)) {
        task_letters_are_durable(t);
        work++;
    }
    work += task_unit_take(&t->ids_unit);
    struct task_batch *b = &t->batches[t->filling];
    bool give_way = t->p->kit_wanted_count > 0 && b->state == BATCH_EMPTY && t->land_state != LAND_IDLE;
    if (b->state == BATCH_CLOSED || t->letter_unit.state != UNIT_IDLE || t->ids_unit.state != UNIT_IDLE ||
        t->p->status != NEAP_OK || give_way)
        return work;
    if (b->state == BATCH_EMPTY)
        begin_batch(t, b);
    work += task_has_way(t) ? task_way_fill(t, b, now) : fill(t, b);
    if (t->p->status != NEAP_OK)
        return work;
    bool at_end = t->at_end || task_has_way(t); /* who waits for others does not wait for more */
    if (b->to.n == b->from.n && !task_way_is_ready(t, b)) {
        b->state = BATCH_EMPTY;
    } else if (b->state == BATCH_OPEN && at_end && t->land_state == LAND_IDLE) {
        task_close_batch(t, b); /* nothing more to wait for, and nothing to wait behind */
        work++;
    }
    return work;
}
