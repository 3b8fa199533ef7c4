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

void task_land(struct task *t, const struct commit *after, struct sink_ledger ledger, struct bytes rows,
               uint32_t row_count)
{
    struct sink *sink = t->p->o.sink;
    must(after->point.n >= t->done.point.n && commit_fits(after));
    must(t->land_state == LAND_IDLE || t->land_state == LAND_WAITING || t->land_state == LAND_BURIED);
    t->refused_count = 0; /* the room is the sink's again */
    struct sink_batch *b = &t->kit->landing;
    b->agent = t->p->o.agent;
    b->done = landed;
    b->ctx = t;
    b->source = t->source;
    b->commit_point = after->point;
    b->done_set = commit_encode(after, t->kit->landing_set);
    b->ledger = ledger;
    b->rows = rows;
    b->row_count = row_count;
    if (t->land_state != LAND_WAITING)
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

/* Facts of dead letters that the point has passed. What does not fit into one unit goes with the next, or at the next start. */
static uint32_t add_forgets(struct task *t, log_offset point, struct log_op *ops)
{
    uint32_t count = 0;
    size_t key_size = fate_key_size(t->p->o.name);
    log_offset at = t->done.point;
    while (commit_next(&t->done, at, &at) && at.n < point.n && commit_add(&t->passed, at) == NEAP_OK)
        at.n++;
    at = t->passed.point;
    while (count < t->p->letter_count_max && commit_next(&t->passed, at, &at)) {
        uint8_t *key = t->kit->commit_keys + count * key_size;
        fate_key(key, t->p->o.name, at);
        ops[count++] =
            (struct log_op){ .kind = LOG_FACT, .view = LOG_VIEW_FATE, .target = t->source, .name = { key, key_size } };
        at.n++;
    }
    commit_move(&t->passed, at);
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

void task_commit(struct task *t, uint32_t op_count)
{
    log_offset point = t->settled.point;
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
                                     .payload = commit_encode(&t->settled, t->kit->done_set) };
    ops[op_count + 1] = ledger_op(t);
    task_unit_set(t, &t->commit_unit, ops, count, "commit");
}

/* Sorted by offset, as the log will be read again. */
static int compare_refused(const void *a, const void *b)
{
    const struct sink_refused *x = a, *y = b;
    return x->offset.n < y->offset.n ? -1 : x->offset.n > y->offset.n;
}

static void sort_refused(struct task *t)
{
    t->refused_count = t->kit->landing.refused_count;
    must(t->refused_count > 0 && t->refused_count <= SINK_REFUSED_COUNT_MAX);
    qsort(t->kit->refused, t->refused_count, sizeof *t->kit->refused, compare_refused);
}

static uint32_t refused(struct task *t)
{
    struct task_batch *b = &t->batches[!t->filling];
    if (t->letter_unit.state != UNIT_IDLE)
        return 0; /* letters of the batch prepared beyond it are on their way: their fates are needed below */
    sort_refused(t);
    if (task_has_way(t)) {
        t->land_state = LAND_BURY;
        return 1;
    }
    uint32_t count = t->refused_count;
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
    if (task_has_way(t))
        task_way_settle(t, b);
    struct commit before = t->settled;
    t->settled = t->after;
    t->after = before;
    task_commit(t, t->kit->landing.op_count);
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

/* What will be, when all up to the end of the batch has landed. */
static enum neap_status look_ahead(struct task *t, const struct task_batch *b, struct sink_ledger *ret_ledger)
{
    must(b->from.n == t->done.point.n);
    must(b->to.n - b->from.n == b->counts.filtered + b->counts.delivered + b->counts.dead_lettered + b->gone_count +
                                    b->before_count); /* promise T1 */
    *ret_ledger = t->ledger;
    ret_ledger->dead_lettered += b->counts.dead_lettered;
    t->after.run_count = 0;
    t->after.count = 0;
    t->after.point = b->to;
    return commit_join(&t->after, &t->settled);
}

static void land_batch(struct task *t, const struct task_batch *b)
{
    struct sink_ledger ledger = t->ledger;
    enum neap_status status = task_has_way(t) ? task_way_look_ahead(t, b, &ledger) : look_ahead(t, b, &ledger);
    if (status != NEAP_OK) {
        t->land_state = LAND_IDLE;
        task_stop_with(t, status, "remember what is done: %s", status_text(status));
        return;
    }
    ledger.filtered += b->counts.filtered;
    ledger.duplicates += b->counts.duplicates;
    ledger.delivered += b->counts.delivered;
    ledger.produced += b->counts.produced;
    task_land(t, &t->after, ledger, writer_bytes(&b->rows), b->row_count);
}

/* As it was, after a while; or at once, without what was refused. */
static uint32_t land_again(struct task *t, mono_time now)
{
    struct task_batch *b = &t->batches[!t->filling];
    if (t->land_state == LAND_BURY)
        return task_way_bury(t, b);
    bool due = t->land_state == LAND_WAITING ? task_backoff_over(&t->land_backoff, now)
                                             : t->land_state == LAND_BURIED && t->letter_unit.state == UNIT_IDLE;
    if (!due)
        return 0;
    land_batch(t, b);
    return 1;
}

uint32_t task_start_landing(struct task *t, mono_time now)
{
    struct task_batch *b = &t->batches[t->filling];
    if (t->land_state != LAND_IDLE)
        return land_again(t, now);
    if (b->state != BATCH_CLOSED || t->letter_unit.state != UNIT_IDLE || t->ids_unit.state != UNIT_IDLE)
        return 0; /* promise T2, rule M2 */
    t->filling = !t->filling;
    must(t->batches[t->filling].state == BATCH_EMPTY);
    land_batch(t, b);
    return 1;
}
