/* task_start.c - from "ask the sink" to the first event: where to go on, and the writing down of what was settled. */
#include "flow/fate.h"
#include "flow/moved.h"
#include "flow/task_parts.h"
#include <inttypes.h>

/* ---- asking -------------------------------------------------------------------------------------------------------- */

static void answered(struct sink_recover *recover)
{
    struct task *t = recover->ctx;
    CHECK_MAGIC(t, TASK_MAGIC);
    must(!t->ask_ended);
    t->ask_ended = true;
}

static uint32_t ask(struct task *t, struct sink *sink, enum task_state then)
{
    t->ask_backoff.due = MONO_NEVER;
    t->ask_ended = false;
    t->state = then;
    t->recover = (struct sink_recover){ .agent = t->p->o.agent,
                                        .done = answered,
                                        .ctx = t,
                                        .source = t->source,
                                        .owner_epoch = t->p->o.owner_epoch,
                                        .epochs = t->p->epochs,
                                        .epoch_count = t->p->epoch_count,
                                        .take_over = t->p->o.start != START_DEFAULT };
    uint8_t *rooms = (uint8_t *)t->kit->refused + (then == TASK_ASKED ? 0 : 2 * LOG_VALUE_SIZE_MAX);
    static_assert(SINK_REFUSED_COUNT_MAX * sizeof(struct sink_refused) >= 4 * LOG_VALUE_SIZE_MAX, "a room to borrow");
    t->recover.done_rooms[0] = rooms; /* good until something is handed over */
    t->recover.done_rooms[1] = rooms + LOG_VALUE_SIZE_MAX;
    sink->verbs->recover(sink, &t->recover);
    return 1;
}

/* Whoever has to settle it wants both numbers, and the sink has said only its own. */
static void stop_unsettled(struct task *t)
{
    struct log_commit commit = { 0 };
    log_offset end = { 0 };
    (void)log_offset_get(t->p->o.log, t->p->o.name, t->source, t->kit->done_set, &commit);
    (void)log_partition_end(t->p->o.log, t->source, &end);
    struct error error;
    error_set(&error, NEAP_CONFLICT, "%s. The log has noted deliveries up to offset %" PRIu64 ", and ends at %" PRIu64,
              t->recover.error.text, commit.offset.n, end.n);
    task_stop(t, NEAP_CONFLICT, &error);
}

/* OK: it is an answer. Anything else has been seen to. */
static bool is_answer(struct task *t)
{
    switch (t->recover.status) {
    case NEAP_OK:
        return true;
    case NEAP_TIMEOUT:
    case NEAP_FULL:
    case NEAP_AGAIN:
        t->state = TASK_ASK;
        task_backoff_start(t, &t->ask_backoff, t->recover.status);
        logging_warn(t->p->o.logging, "the sink does not answer; it is asked again later",
                     LOGGING_TEXT("pipeline", t->p->o.name), LOGGING_UINT("partition", t->source.partition),
                     LOGGING_TEXT("error", t->recover.error.text));
        return false;
    case NEAP_CONFLICT:
        stop_unsettled(t);
        return false;
    default:
        task_stop(t, t->recover.status, &t->recover.error);
        return false;
    }
}

/* ---- deciding ------------------------------------------------------------------------------------------------------ */

static bool get_fact(struct task *t, uint8_t view, const void *key, size_t key_size, struct bytes *ret_value)
{
    struct bytes name = { key, key_size };
    return log_fact_get(t->p->o.log, view, t->source, name, t->kit->done_set, ret_value) == NEAP_OK;
}

static enum neap_status take_ledger(struct task *t)
{
    struct ledger fact = { 0 };
    struct bytes value;
    size_t key_size = ledger_key(t->ledger_key, t->p->o.name, 't');
    if (get_fact(t, LOG_VIEW_LEDGER, t->ledger_key, key_size, &value)) {
        enum neap_status status = ledger_decode(value, &fact);
        if (status != NEAP_OK)
            return status;
    }
    switch (t->plan.ledger) {
    case START_LEDGER_ZERO:
        t->ledger = (struct sink_ledger){ 0 };
        break;
    case START_LEDGER_ROW:
        t->ledger = t->row.ledger;
        break;
    case START_LEDGER_STRANGER:
        t->ledger = t->stranger.ledger;
        break;
    case START_LEDGER_FACT:
        t->ledger =
            (struct sink_ledger){ fact.filtered, fact.duplicates, fact.delivered, fact.dead_lettered, fact.produced };
        break;
    }
    /* Whatever lies below the place and is not among the counters is nobody's. */
    uint64_t counted = t->ledger.filtered + t->ledger.delivered + t->ledger.dead_lettered;
    uint64_t place = t->plan.from.n + t->settled.count;
    t->start = place > counted ? place - counted : 0;
    return NEAP_OK;
}

/* Noted beside the counters that are taken: it goes with them. */
static struct bytes noted_set(const struct task *t, struct bytes of_log)
{
    switch (t->plan.ledger) {
    case START_LEDGER_ROW:
        return t->row.done;
    case START_LEDGER_STRANGER:
        return t->stranger.done;
    case START_LEDGER_FACT:
        return of_log;
    case START_LEDGER_ZERO:
        break;
    }
    return (struct bytes){ NULL, 0 };
}

/* Dead letters are facts, whoever else has noted them too. */
static enum neap_status take_done_set(struct task *t, struct bytes of_log)
{
    struct bytes noted = noted_set(t, of_log);
    struct commit *all[] = { &t->done, &t->settled, &t->after, &t->passed };
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        commit_fini(all[i]);
        commit_init(all[i], t->plan.from, TASK_RUN_COUNT_MAX);
    }
    enum neap_status status = fate_load(t->p->o.log, t->source, t->p->o.name, &t->done);
    if (status == NEAP_OK)
        status = noted.size <= LOG_VALUE_SIZE_MAX ? commit_unite(&t->settled, noted) : NEAP_CORRUPT;
    return status == NEAP_OK ? commit_part(&t->settled, &t->done) : status;
}

static void say_notice(struct task *t, log_offset end)
{
    if (t->plan.notice == NULL)
        return;
    logging_warn(t->p->o.logging, t->plan.notice, LOGGING_TEXT("pipeline", t->p->o.name),
                 LOGGING_UINT("partition", t->source.partition), LOGGING_UINT("from", t->plan.from.n),
                 LOGGING_UINT("sink", t->row.found ? t->row.commit_point.n : t->stranger.commit_point.n),
                 LOGGING_UINT("committed", t->commit_point.n), LOGGING_UINT("end", end.n));
}

static uint32_t decide(struct task *t)
{
    struct start_facts facts = { .own_offsets = t->p->o.sink->verbs->own_offsets,
                                 .row = t->row,
                                 .row_foreign = t->row_foreign,
                                 .stranger = t->stranger,
                                 .rows_there = t->p->rows_there,
                                 .rule = t->p->o.start };
    struct error error;
    struct log_commit commit = { 0 };
    enum neap_status status = log_partition_range(t->p->o.log, t->source, &facts.start, &facts.end);
    if (status != NEAP_OK) {
        task_stop_with(t, status, "where its topic begins and ends: %s", status_text(status));
        return 1;
    }
    status = moved_get(t->p->o.log, t->source, t->p->o.name, t->kit->done_set, &facts.moved_from);
    t->moved_pending = facts.moved = status == NEAP_OK;
    if (status != NEAP_OK && status != NEAP_NOTFOUND) {
        task_stop_with(t, status, "that it was moved: %s", status_text(status));
        return 1;
    }
    status = log_offset_get(t->p->o.log, t->p->o.name, t->source, t->kit->done_set, &commit);
    t->commit_found = facts.commit_found = status == NEAP_OK && !commit_is_held(commit.done_set);
    if (!t->commit_found && status == NEAP_OK)
        facts.begin = commit.offset;
    if (!t->commit_found)
        commit = (struct log_commit){ 0 };
    t->commit_point = facts.commit_point = commit.offset;
    status = start_decide(&facts, &t->plan, &error);
    if (status != NEAP_OK) {
        task_stop(t, status, &error);
        return 1;
    }
    say_notice(t, facts.end);
    status = take_done_set(t, commit.done_set);
    if (status == NEAP_FULL) {
        task_stop_scattered(t, status);
        return 1;
    }
    if (status == NEAP_OK)
        status = take_ledger(t);
    if (status != NEAP_OK) {
        task_stop_with(t, status, "what the log has noted of it: %s", status_text(status));
        return 1;
    }
    bool noted = t->commit_found ? t->commit_point.n == t->plan.from.n : t->plan.from.n == 0 && facts.start.n == 0;
    t->settle_sink = facts.own_offsets && (t->plan.settle || t->was_taken);
    t->settle_log = (t->plan.settle || t->was_pending || t->moved_pending || !noted) && t->plan.from.n <= facts.end.n;
    t->fate_next = t->plan.from;
    t->state = t->plan.letters_until.n > t->plan.from.n ? TASK_SCAN : TASK_FORGET;
    t->scan = (struct letter_scan){ .log = t->p->o.log,
                                    .at = { t->p->o.dead_topic_id, 0 },
                                    .partition_count = t->p->o.dead_partition_count,
                                    .pipeline = t->p->o.name,
                                    .topic = t->p->o.topic,
                                    .partition = t->source.partition,
                                    .from = t->plan.from,
                                    .until = t->plan.letters_until,
                                    .read_size = t->p->o.read_size,
                                    .unpack = t->p->o.unpack };
    return 1;
}

/* What an output holds is ours when any partition of the pipeline has been there. */
static bool ever_committed(const struct task *t)
{
    struct log_partition at = { t->p->o.topic_id, 0 };
    struct log_commit commit;
    for (; at.partition < t->p->o.partition_count; at.partition++)
        if (log_offset_get(t->p->o.log, t->p->o.name, at, t->kit->done_set, &commit) == NEAP_OK &&
            !commit_is_held(commit.done_set))
            return true;
    return false;
}

/* Of a topic that is still there it says nothing about this one: the pipeline reads another one now. */
static bool is_of_living_topic(struct task *t, const struct sink_row *stranger)
{
    struct log_topic topic;
    if (!stranger->found || stranger->topic_id == 0)
        return false;
    for (uint32_t i = 0; log_topic_at(t->p->o.log, i, &topic); i++) {
        if (topic.id == stranger->topic_id)
            return true;
    }
    return false;
}

static uint32_t asked(struct task *t)
{
    if (!t->ask_ended)
        return 0;
    if (!is_answer(t))
        return 1;
    task_backoff_end(&t->ask_backoff);
    t->row = t->recover.row;
    t->row_foreign = t->recover.foreign;
    t->stranger = t->recover.stranger;
    if (is_of_living_topic(t, &t->stranger))
        t->stranger = (struct sink_row){ 0 };
    if (!t->p->asked)
        t->p->rows_there = t->recover.rows_there && !ever_committed(t);
    t->p->asked = true;
    uint8_t key[LOG_KEY_SIZE_MAX];
    struct bytes was;
    t->was_pending = get_fact(t, LOG_VIEW_START, key, pipeline_was_key(key, t->p->o.name), &was);
    if (t->was_pending && t->p->o.was_sink != NULL)
        return ask(t, t->p->o.was_sink, TASK_ASKED_WAS);
    return decide(t);
}

/* The row under the former name counts until it is settled under the new one; an even older row of the new name, from
 * before an earlier renaming, lies behind it. */
static uint32_t asked_was(struct task *t)
{
    if (!t->ask_ended)
        return 0;
    if (!is_answer(t))
        return 1;
    const struct sink_row *was = &t->recover.row;
    t->was_taken = was->found && (!t->row.found || was->commit_point.n > t->row.commit_point.n);
    if (t->was_taken) {
        t->row = *was;
        t->row_foreign = t->recover.foreign;
    }
    return decide(t);
}

/* ---- writing down -------------------------------------------------------------------------------------------------- */

static enum neap_status found_letter(void *ctx, log_offset origin)
{
    struct task *t = ctx;
    return commit_add(&t->done, origin);
}

static uint32_t scan(struct task *t)
{
    struct error error;
    enum neap_status status = letter_scan_step(&t->scan, found_letter, t, &error);
    if (status == NEAP_NOTFOUND) {
        letter_scan_end(&t->scan);
        t->state = TASK_NOTE_FATES;
        status = commit_part(&t->settled, &t->done);
        if (status != NEAP_OK)
            task_stop_with(t, status, "remember dead letters: %s", status_text(status));
    } else if (status == NEAP_FULL) {
        letter_scan_end(&t->scan);
        task_stop_scattered(t, status);
    } else if (status != NEAP_OK) {
        letter_scan_end(&t->scan);
        task_stop(t, status, &error);
    }
    return 1;
}

static struct log_op fate_op(struct task *t, uint32_t index, log_offset offset, struct bytes reason)
{
    uint8_t *key = t->kit->letter_keys + index * fate_key_size(t->p->o.name);
    size_t size = fate_key(key, t->p->o.name, offset);
    return (struct log_op){
        .kind = LOG_FACT, .view = LOG_VIEW_FATE, .target = t->source, .name = { key, size }, .payload = reason
    };
}

/* So that the letters that were found are remembered, should the next start come before the point has passed them. */
static uint32_t note_fates(struct task *t, mono_time now)
{
    uint32_t work = task_unit_work(t, &t->letter_unit, now) + task_unit_take(&t->letter_unit);
    if (t->letter_unit.state != UNIT_IDLE)
        return work;
    uint32_t count = 0;
    while (count < t->p->letter_count_max && commit_next(&t->done, t->fate_next, &t->fate_next) &&
           t->fate_next.n < t->plan.letters_until.n) {
        struct log_op op = fate_op(t, count, t->fate_next, BYTES("dead_letter"));
        struct bytes value;
        if (!get_fact(t, LOG_VIEW_FATE, op.name.at, op.name.size, &value))
            t->kit->letter_ops[count++] = op;
        t->fate_next.n++;
    }
    if (count > 0)
        task_unit_set(t, &t->letter_unit, t->kit->letter_ops, count, "remember dead letters");
    else
        t->state = TASK_FORGET;
    return 1;
}

static uint32_t forget(struct task *t, mono_time now)
{
    uint32_t work = task_unit_work(t, &t->letter_unit, now) + task_unit_take(&t->letter_unit);
    if (t->letter_unit.state != UNIT_IDLE)
        return work;
    static_assert(PIPELINE_LETTER_COUNT_MAX * sizeof(log_offset) <= PIPELINE_LETTERS_SIZE, "a room to borrow");
    log_offset *offsets = (log_offset *)(void *)t->kit->letters;
    uint32_t count = fate_below(t->p->o.log, t->source, t->p->o.name, t->plan.from, offsets, t->p->letter_count_max);
    for (uint32_t i = 0; i < count; i++)
        t->kit->letter_ops[i] = fate_op(t, i, offsets[i], (struct bytes){ NULL, 0 });
    if (count > 0)
        task_unit_set(t, &t->letter_unit, t->kit->letter_ops, count, "forget fates");
    else
        t->state = t->settle_sink ? TASK_SETTLE_SINK : TASK_SETTLE_LOG;
    return 1;
}

static uint32_t settle_sink(struct task *t, mono_time now)
{
    bool due = t->land_state == LAND_WAITING && task_backoff_over(&t->land_backoff, now);
    if (t->land_state == LAND_IDLE || due) {
        task_land(t, &t->settled, t->ledger, (struct bytes){ NULL, 0 }, 0);
        return 1;
    }
    if (t->land_state != LAND_ENDED)
        return 0;
    enum neap_status status = t->kit->landing.status;
    if (status == NEAP_OK) {
        task_backoff_end(&t->land_backoff);
        t->land_state = LAND_IDLE;
        t->state = TASK_SETTLE_LOG;
    } else if (status == NEAP_TIMEOUT || status == NEAP_FULL || status == NEAP_AGAIN) {
        t->land_state = LAND_WAITING;
        task_backoff_start(t, &t->land_backoff, status);
    } else {
        t->land_state = LAND_IDLE;
        task_stop(t, status, &t->kit->landing.error);
    }
    return 1;
}

static uint32_t settle_log(struct task *t, mono_time now)
{
    uint32_t work = task_unit_work(t, &t->commit_unit, now);
    if (task_unit_take(&t->commit_unit)) {
        t->was_pending = t->moved_pending = t->settle_log = false;
    } else if (t->commit_unit.state != UNIT_IDLE) {
        return work;
    } else if (t->settle_log) {
        task_commit(t, 0);
        return 1;
    }
    if (task_fill_begin(t, t->plan.from) != NEAP_OK)
        return 1;
    t->state = TASK_RUN;
    t->run_base = t->ledger;
    t->run_base.dead_lettered += t->done.count;
    task_publish(t);
    return 1;
}

static uint32_t recall(struct task *t)
{
    bool over;
    uint32_t work = task_dedup_recall(t, &over);
    t->state = over ? TASK_ASK : TASK_RECALL;
    return work;
}

uint32_t task_start_work(struct task *t, mono_time now)
{
    must(t->kit != NULL && t->state != TASK_RUN);
    switch (t->state) {
    case TASK_RECALL:
        return recall(t);
    case TASK_ASK:
        if (t->ask_backoff.due.ns != MONO_NEVER.ns && !task_backoff_over(&t->ask_backoff, now))
            return 0;
        return ask(t, t->p->o.sink, TASK_ASKED);
    case TASK_ASKED:
        return asked(t);
    case TASK_ASKED_WAS:
        return asked_was(t);
    case TASK_SCAN:
        return scan(t);
    case TASK_NOTE_FATES:
        return note_fates(t, now);
    case TASK_FORGET:
        return forget(t, now);
    case TASK_SETTLE_SINK:
        return settle_sink(t, now);
    case TASK_SETTLE_LOG:
        return settle_log(t, now);
    case TASK_RUN:
        break;
    }
    return 0;
}
