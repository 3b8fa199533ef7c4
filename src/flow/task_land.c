/* task_land.c - hands batches to the sink, commits what it has landed, buries what it refuses. */
#include "flow/fate.h"
#include "flow/moved.h"
#include "flow/task_parts.h"
#include <stdlib.h>

static void landed(struct sink_batch *batch)
{
    struct task *t = batch->ctx;
    CHECK_MAGIC(t, TASK_MAGIC);
    must(t->land_state == LAND_BUSY);
    t->land_state = LAND_ENDED;
}

void task_land(struct task *t, log_offset point, struct sink_ledger ledger, struct bytes rows, uint32_t row_count)
{
    struct sink *sink = t->p->o.sink;
    must(point.n >= t->done.point.n);
    must(t->land_state == LAND_IDLE || t->land_state == LAND_WAITING);
    t->refused_count = 0; /* the room is the sink's again */
    struct sink_batch *b = &t->kit->landing;
    b->agent = t->p->o.agent;
    b->done = landed;
    b->ctx = t;
    b->source = t->source;
    b->commit_point = point;
    b->ledger = ledger;
    b->rows = rows;
    b->row_count = row_count;
    if (t->land_state == LAND_IDLE)
        b->taken_size = 0;
    b->status = NEAP_OK;
    b->error = (struct error){ 0 };
    b->refused = t->kit->refused;
    b->ops = t->kit->commit_ops;
    b->refused_count = b->op_count = 0;
    t->land_backoff.due = MONO_NEVER;
    if (row_count == 0 && !sink->verbs->own_offsets) {
        t->land_state = LAND_ENDED; /* nothing for the sink, and no place of its own to move */
        return;
    }
    t->land_state = LAND_BUSY;
    sink->verbs->land(sink, b);
}

static uint32_t add_forgets(struct task *t, log_offset point, struct log_op *ops)
{
    uint32_t count = 0;
    size_t key_size = fate_key_size(t->p->o.name);
    for (log_offset at = t->done.point; commit_next(&t->done, at, &at) && at.n < point.n; at.n++) {
        must(count < t->p->letter_count_max);
        uint8_t *key = t->kit->commit_keys + count * key_size;
        fate_key(key, t->p->o.name, at);
        ops[count++] =
            (struct log_op){ .kind = LOG_FACT, .view = LOG_VIEW_FATE, .target = t->source, .name = { key, key_size } };
    }
    return count;
}

static struct log_op ledger_op(struct task *t)
{
    struct ledger ledger = task_ledger(t);
    ledger.dead_lettered = t->ledger.dead_lettered; /* those beyond the point are facts of their own */
    size_t key_size = ledger_key(t->ledger_key, t->p->o.name, 't');
    return (struct log_op){ .kind = LOG_FACT,
                            .view = LOG_VIEW_LEDGER,
                            .target = t->source,
                            .name = { (const uint8_t *)t->ledger_key, key_size },
                            .payload = ledger_encode(&ledger, t->ledger_room) };
}

void task_commit(struct task *t, log_offset point, uint32_t op_count)
{
    must(op_count <= SINK_OP_COUNT_MAX && point.n >= t->done.point.n);
    struct log_op *ops = t->kit->commit_ops;
    uint32_t count = op_count + 2; /* the two come last to be filled in: they tell of what holds afterwards */
    count += add_forgets(t, point, ops + count);
    if (t->was_pending) {
        size_t size = pipeline_was_key(t->was_key, t->p->o.name);
        ops[count++] = (struct log_op){
            .kind = LOG_FACT, .view = LOG_VIEW_START, .target = t->source, .name = { t->was_key, size }
        };
    }
    if (t->moved_pending) {
        size_t size = moved_key(t->moved_key, t->p->o.name);
        ops[count++] = (struct log_op){
            .kind = LOG_FACT, .view = LOG_VIEW_START, .target = t->source, .name = { t->moved_key, size }
        };
    }
    commit_move(&t->done, point);
    ops[op_count] = (struct log_op){ .kind = LOG_OFFSET,
                                     .view = LOG_OFFSET_HOLD,
                                     .target = t->source,
                                     .offset = point,
                                     .name = bytes_of_text(t->p->o.name),
                                     .payload = commit_encode(&t->done, t->kit->done_set) };
    ops[op_count + 1] = ledger_op(t);
    task_unit_set(t, &t->commit_unit, ops, count, "commit");
}

/* Sorted by offset, as the log will be read again. */
static int compare_refused(const void *a, const void *b)
{
    const struct sink_refused *x = a, *y = b;
    return x->offset.n < y->offset.n ? -1 : x->offset.n > y->offset.n;
}

static uint32_t refused(struct task *t)
{
    struct task_batch *b = &t->batches[!t->filling];
    if (t->letter_unit.state != UNIT_IDLE)
        return 0; /* letters of the batch prepared beyond it are on their way: their fates are needed below */
    must(t->kit->landing.refused_count > 0 && t->kit->landing.refused_count <= SINK_REFUSED_COUNT_MAX);
    uint32_t count = t->kit->landing.refused_count;
    qsort(t->kit->refused, count, sizeof *t->kit->refused, compare_refused);
    must(t->kit->refused[0].offset.n >= b->from.n && t->kit->refused[count - 1].offset.n < b->to.n);
    t->land_state = LAND_IDLE;
    task_fill_again(t, b->from);
    t->refused_count = count;
    return 1;
}

uint32_t task_landed_well(struct task *t)
{
    bool own_offsets = t->p->o.sink->verbs->own_offsets;
    struct task_batch *b = &t->batches[!t->filling];
    if (t->commit_unit.state != UNIT_IDLE)
        return 0; /* one commit is on its way: this one comes next */
    must(!own_offsets || t->kit->landing.op_count == 0);
    task_backoff_end(&t->land_backoff);
    t->ledger = t->kit->landing.ledger;
    t->start += b->gone_count;
    task_commit(t, b->to, t->kit->landing.op_count);
    b->state = BATCH_EMPTY;
    t->land_state = own_offsets ? LAND_IDLE : LAND_COMMIT;
    if (own_offsets)
        task_publish(t); /* its row says so already */
    return 1;
}

uint32_t task_finish_landing(struct task *t)
{
    if (t->land_state != LAND_ENDED)
        return 0;
    switch (t->kit->landing.status) {
    case NEAP_OK:
        return task_landed_well(t);
    case NEAP_REFUSED:
        return refused(t);
    case NEAP_TIMEOUT:
    case NEAP_FULL:
    case NEAP_AGAIN:
        t->land_state = LAND_WAITING;
        task_backoff_start(t, &t->land_backoff, t->kit->landing.status);
        if (t->kit->landing.status == NEAP_FULL && t->land_backoff.attempt > 1)
            return 1; /* said once: it is asked often */
        logging_warn(t->p->o.logging, "the sink cannot take a batch now; it is handed over again later",
                     LOGGING_TEXT("pipeline", t->p->o.name), LOGGING_UINT("partition", t->source.partition),
                     LOGGING_UINT("attempt", t->land_backoff.attempt),
                     LOGGING_TEXT("error", t->kit->landing.error.text));
        return 1;
    default:
        t->land_state = LAND_IDLE;
        task_stop(t, t->kit->landing.status, &t->kit->landing.error);
        return 1;
    }
}

uint32_t task_finish_commit(struct task *t)
{
    if (!task_unit_take(&t->commit_unit))
        return 0;
    t->was_pending = t->moved_pending = false;
    if (t->land_state == LAND_COMMIT) {
        t->land_state = LAND_IDLE;
        task_publish(t);
    }
    return 1;
}

static void land_batch(struct task *t, const struct task_batch *b)
{
    struct sink_ledger after = t->ledger;
    after.filtered += b->counts.filtered;
    after.duplicates += b->counts.duplicates;
    after.delivered += b->counts.delivered;
    after.dead_lettered += b->counts.dead_lettered;
    after.produced += b->counts.produced;
    must(b->from.n == t->done.point.n);
    must(b->to.n - b->from.n ==
         b->counts.filtered + b->counts.delivered + b->counts.dead_lettered + b->gone_count); /* promise T1 */
    task_land(t, b->to, after, writer_bytes(&b->rows), b->row_count);
}

uint32_t task_start_landing(struct task *t, mono_time now)
{
    if (t->land_state == LAND_WAITING && task_backoff_over(&t->land_backoff, now)) {
        land_batch(t, &t->batches[!t->filling]);
        return 1;
    }
    struct task_batch *b = &t->batches[t->filling];
    if (t->land_state != LAND_IDLE || b->state != BATCH_CLOSED || t->letter_unit.state != UNIT_IDLE)
        return 0; /* promise T2 */
    t->filling = !t->filling;
    must(t->batches[t->filling].state == BATCH_EMPTY);
    land_batch(t, b);
    return 1;
}
