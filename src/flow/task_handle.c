/* task_handle.c - a task whose pipeline has a handler: read ahead onto the desk, and into the batch what comes back.
 *
 * Two places in the partition move apart: `laid_next`, up to where records have been laid onto the desk, and `next`, up to
 * where they are in a batch of ours. What is on the desk is a copy: the reader may go on, or back.
 *
 *     records ─▶ stages before ─▶ desk ─▶ the handler's thread ─▶ stages after ─▶ sink
 *                     └ filtered, failed: these ride along, so that everything is settled in offset order ┘ */
#include "flow/redrive.h"
#include "flow/task_parts.h"

static struct handler_desk *desk_of(const struct task *t)
{
    return t->kit != NULL ? t->kit->desk : NULL;
}

void task_handle_begin(struct task *t)
{
    t->laid_next = t->next;
    t->handle_due = MONO_NEVER;
    if (desk_of(t) != NULL)
        handler_desk_begin(desk_of(t), t->source.partition);
}

void task_handle_again(struct task *t)
{
    t->laid_next = t->next;
    if (desk_of(t) != NULL)
        handler_desk_cancel(desk_of(t));
}

void task_handle_stop(struct task *t)
{
    if (desk_of(t) != NULL)
        handler_desk_cancel(desk_of(t));
}

bool task_handle_works(const struct task *t)
{
    return desk_of(t) != NULL && handler_desk_works(desk_of(t));
}

bool task_handle_is_empty(const struct task *t)
{
    return desk_of(t) == NULL || handler_desk_is_empty(desk_of(t));
}

void task_handle_watch(struct task *t, mono_time now)
{
    t->handle_due = task_handle_works(t) ? handler_desk_watch(desk_of(t), now) : MONO_NEVER;
}

/* ---- onto the desk ------------------------------------------------------------------------------------------------- */

struct laying {
    struct task *task;
    struct handler_item *item;
    enum neap_status status;
};

static void fail_item(struct handler_item *item, const struct failure *failure, const struct handler *handler)
{
    item->asked = false;
    item->outcome = STAGE_FAIL;
    item->failure = *failure;
    if (item->failure.stage == NULL)
        item->failure.stage = handler->stage;
}

/* `if`, which may pass the handler by. */
static void ask_condition(struct task *t, struct event *event, struct handler_item *item)
{
    const struct handler *h = t->p->o.handler;
    struct failure failure = { .reason = NULL };
    struct value value;
    item->asked = true;
    if (h->condition == NULL)
        return;
    if (expr_eval(h->condition, event, t->p->o.arena, &value, &failure) == NEAP_OK) {
        item->asked = value_is_true(&value);
    } else if (h->continue_on_error) {
        item->asked = false;
    } else {
        failure.stage = h->stage;
        fail_item(item, &failure, h);
    }
}

static bool through_before(void *ctx, uint32_t index, struct event *event, enum stage_outcome outcome,
                           const struct failure *failure)
{
    struct laying *l = ctx;
    struct handler_item *item = l->item;
    item->outcome = outcome;
    if (outcome == STAGE_PASS)
        ask_condition(l->task, event, item);
    if (outcome == STAGE_FAIL)
        fail_item(item, failure, l->task->p->o.handler);
    if (outcome == STAGE_PASS && item->outcome == STAGE_PASS) {
        enum neap_status status = event_json(event, l->task->p->o.arena, &item->json);
        struct failure too_large = { .reason = "too_large",
                                     .message = BYTES("the stages before made it larger than an event may be") };
        if (status != NEAP_OK)
            fail_item(item, &too_large, l->task->p->o.handler);
    }
    l->status = handler_desk_lay(desk_of(l->task), item);
    return true;
}

static struct event event_of(const struct task *t, const struct record *record, struct bytes json, struct bytes id)
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

/* What is settled already rides along unasked: it is met again when its turn comes. */
static enum neap_status lay_record(struct task *t, const struct record *record, struct handler_item *item)
{
    *item = (struct handler_item){ .record = *record, .json = record->value, .id = task_id_of(record) };
    const struct sink_refused *refused = task_find_refused(t, record->offset);
    if (commit_has(&t->done, (log_offset){ record->offset }) ||
        redrive_is_foreign(t->p->o.log, t->source, record, t->p->o.topic, t->p->o.name)) {
        item->outcome = STAGE_DROP;
        return handler_desk_lay(desk_of(t), item);
    }
    if (record->offset < t->unreadable.until.n) {
        struct failure failure = { .reason = t->unreadable.reason,
                                   .stage = "source",
                                   .message = bytes_of_text(t->unreadable.text) };
        fail_item(item, &failure, t->p->o.handler);
        return handler_desk_lay(desk_of(t), item);
    }
    if (refused != NULL) {
        struct failure failure = { .reason = "refused",
                                   .stage = t->p->o.sink->name,
                                   .message = bytes_of_text(refused->message) };
        fail_item(item, &failure, t->p->o.handler);
        return handler_desk_lay(desk_of(t), item);
    }
    struct event event = event_of(t, record, record->value, item->id);
    struct laying l = { .task = t, .item = item, .status = NEAP_OK };
    arena_reset(t->p->o.arena);
    uint32_t count = chain_run(t->p->o.chain, &event, 1, t->p->o.arena, through_before, &l);
    must(count == 1); /* with an empty arena it comes to an outcome */
    return l.status;
}

/* ---- off the desk -------------------------------------------------------------------------------------------------- */

struct settling {
    struct task *task;
    struct task_batch *batch;
    const struct handler_item *item;
    enum taken taken;
};

static bool through_after(void *ctx, uint32_t index, struct event *event, enum stage_outcome outcome,
                          const struct failure *failure)
{
    struct settling *s = ctx;
    switch (outcome) {
    case STAGE_PASS:
        s->taken = task_add_row(s->task, s->batch, &s->item->record, event);
        break;
    case STAGE_DROP:
        s->batch->counts.filtered++;
        s->taken = TAKEN;
        break;
    case STAGE_FAIL: {
        struct failure said = *failure;
        if (s->item->emitted.at != NULL && strcmp(said.stage, "source") == 0)
            said.stage = s->task->p->o.handler->stage; /* it is the handler's JSON that cannot be read */
        s->taken = task_add_letter(s->task, s->batch, &s->item->record, &said);
        break;
    }
    }
    return s->taken == TAKEN;
}

static enum taken settle_item(struct task *t, struct task_batch *b, const struct handler_item *item)
{
    if (b->event_count == t->p->o.event_count_max || b->dead_count == t->p->letter_count_max)
        return BATCH_FULL;
    if (commit_has(&t->done, (log_offset){ item->record.offset })) { /* it has its letter */
        b->counts.dead_lettered++;
        b->dead_count++;
        return TAKEN;
    }
    bool goes_on = item->outcome == STAGE_FAIL && item->asked && t->p->o.handler->continue_on_error;
    if (item->outcome == STAGE_FAIL && !goes_on)
        return task_add_letter(t, b, &item->record, &item->failure);
    if (item->outcome == STAGE_DROP) {
        b->counts.filtered++;
        return TAKEN;
    }
    struct event event = event_of(t, &item->record, item->emitted.at != NULL ? item->emitted : item->json, item->id);
    struct settling s = { .task = t, .batch = b, .item = item, .taken = STOPPED };
    arena_reset(t->p->o.arena);
    uint32_t count = chain_run(t->p->o.chain_after, &event, 1, t->p->o.arena, through_after, &s);
    must(count == (s.taken == TAKEN)); /* with an empty arena it comes to an outcome */
    return s.taken;
}

/* As fill() does with a record that it has just read. */
static enum taken settle_at(struct task *t, struct task_batch *b, const struct handler_item *item)
{
    enum taken taken = TAKEN;
    if (item->record.offset > t->next.n)
        taken = task_pass_gap(t, b, (log_offset){ item->record.offset });
    if (taken != TAKEN || item->record.offset < t->next.n)
        return taken;
    taken = settle_item(t, b, item);
    if (taken == TAKEN) {
        t->next.n++;
        b->to = t->next;
        b->event_count++;
    }
    return taken;
}

static uint32_t settle_answered(struct task *t, struct task_batch *b)
{
    const struct handler_item *item;
    uint32_t count = 0;
    while ((item = handler_desk_next(desk_of(t))) != NULL) {
        enum taken taken = settle_at(t, b, item);
        count++;
        if (taken == BATCH_FULL)
            task_close_batch(t, b);
        if (taken != TAKEN)
            break;
        handler_desk_settle(desk_of(t));
    }
    return count;
}

/* ---- a turn -------------------------------------------------------------------------------------------------------- */

/* An event that does not fit onto an empty desk never will. It is settled where it is. */
static void settle_alone(struct task *t, struct task_batch *b, const struct record *record, struct handler_item *item)
{
    struct failure too_large = { .reason = "too_large",
                                 .message = BYTES("it is larger than what a handler can be given") };
    if (item->outcome == STAGE_PASS)
        fail_item(item, &too_large, t->p->o.handler);
    if (settle_at(t, b, item) == BATCH_FULL)
        task_hold_record(t, b, record);
    else
        t->laid_next.n = record->offset + 1;
}

static uint32_t lay_records(struct task *t, struct task_batch *b)
{
    struct handler_item item;
    for (uint32_t count = 0; count < HANDLER_ITEM_COUNT_MAX; count++) {
        struct record record;
        if (!task_next_record(t, t->laid_next, &record))
            return handler_desk_is_empty(desk_of(t)) ? count + task_pass_last_gap(t, b) : count;
        if (lay_record(t, &record, &item) == NEAP_OK) {
            t->laid_next.n = record.offset + 1;
        } else if (!handler_desk_is_empty(desk_of(t))) {
            t->held = true; /* it comes first next time */
            t->held_record = record;
            return count + 1;
        } else {
            settle_alone(t, b, &record, &item);
            return count + 1;
        }
    }
    return HANDLER_ITEM_COUNT_MAX;
}

uint32_t task_handle_fill(struct task *t, struct task_batch *b)
{
    struct handler_desk *desk = desk_of(t);
    if (handler_desk_is_cancelled(desk)) {
        if (handler_desk_works(desk))
            return 0; /* it wakes us when it comes back */
        handler_desk_begin(desk, t->source.partition);
    }
    uint32_t work = settle_answered(t, b);
    if (t->p->status != NEAP_OK || b->state != BATCH_OPEN || handler_desk_works(desk))
        return work;
    if (handler_desk_is_empty(desk)) {
        handler_desk_begin(desk, t->source.partition);
        if (t->laid_next.n < t->next.n)
            t->laid_next = t->next; /* a gap was passed */
        work += lay_records(t, b);
    }
    if (t->p->status == NEAP_OK && !handler_desk_is_empty(desk) && handler_desk_next(desk) == NULL) {
        handler_desk_go(desk);
        work++;
    }
    return work;
}
