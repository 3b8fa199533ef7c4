/* task_dedup.c - what a task remembers of ids: a table in memory, and what it is made from again in a topic.
 *
 * M1  Each event of the partition is shown to the table in offset order, before it is on its way anywhere.
 * M2  An id is durable before a sink passes its event: else, after a crash in between, nobody would know of it. So the ids of a
 *     batch go out as it is closed, and it is handed over when they are durable.
 * M3  What the topic holds is shown to the table when the task starts; what came after that is read from the partition again,
 *     as it is not settled. */
#include "flow/task_parts.h"

bool task_has_dedup(const struct task *t)
{
    return t->p->o.dedup.door != NULL;
}

static bool is_duplicate(void *ctx, uint32_t partition, log_offset offset, struct dedup_id id)
{
    struct pipeline *p = ctx;
    struct task *t = p->tasks[partition];
    bool is_new = offset.n >= dedup_seen(t->dedup).n;
    bool duplicate = dedup_check(t->dedup, offset, t->appended_ms, id);
    if (is_new && !duplicate)
        dedup_record_add(&t->ids, &t->ids_room, t->source, &(struct dedup_seen_id){ offset, t->appended_ms, id });
    return duplicate;
}

enum neap_status task_dedup_open(struct task *t)
{
    if (!task_has_dedup(t))
        return NEAP_OK;
    t->p->tasks[t->source.partition] = t;
    t->p->o.dedup.door->is_duplicate = is_duplicate;
    t->p->o.dedup.door->ctx = t->p;
    t->dedup = dedup_new(t->p->o.dedup.window_ms, t->p->o.dedup.count_max);
    return t->dedup != NULL ? NEAP_OK : NEAP_NOMEM;
}

void task_dedup_close(struct task *t)
{
    log_reader_close(&t->ids_reader);
    dedup_free(&t->dedup);
}

void task_dedup_begin(struct task *t)
{
    if (!task_has_dedup(t))
        return;
    t->ids = (struct dedup_record){ 0 };
    t->ids_room = writer_of(t->kit->ids, PIPELINE_IDS_SIZE);
}

/* ---- what was seen before --------------------------------------------------------------------------------------------- */

static enum neap_status recall_record(struct task *t, const struct record *record)
{
    struct dedup_record_walk walk;
    struct dedup_seen_id seen;
    enum neap_status status = dedup_record_read(record->value, &walk);
    if (status != NEAP_OK)
        return status;
    if (walk.source.topic_id != t->source.topic_id || walk.source.partition != t->source.partition)
        return NEAP_OK; /* several share a partition where there were fewer once; or of a topic that is gone */
    while (dedup_record_next(&walk, &seen))
        (void)dedup_check(t->dedup, seen.offset, seen.appended_ms, seen.id);
    return NEAP_OK;
}

static enum neap_status recall_batch(struct task *t, const struct log_batch *from)
{
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    enum neap_status status = batch_open(from->bytes, false, &batch);
    if (status == NEAP_OK)
        status = batch_unpack(&batch, t->p->o.unpack, &walk);
    while (status == NEAP_OK && (status = batch_next(&walk, &record)) == NEAP_OK)
        status = recall_record(t, &record);
    return status == NEAP_NOTFOUND ? NEAP_OK : status;
}

/* A batch at a time. NOTFOUND: all is recalled. */
static enum neap_status recall(struct task *t, struct error *err)
{
    struct log_partition at = { t->p->o.dedup.topic_id, t->source.partition % t->p->o.dedup.partition_count };
    struct log_batch batch;
    log_offset start, end;
    enum neap_status status = NEAP_OK;
    if (t->ids_reader == NULL) {
        dedup_clear(t->dedup, (log_offset){ 0 });
        status = log_partition_range(t->p->o.log, at, &start, &end);
        if (status == NEAP_OK)
            status = log_reader_open(t->p->o.log, at, start, t->p->o.read_size, &t->ids_reader, err);
    }
    if (status == NEAP_OK)
        status = log_reader_next(t->ids_reader, &batch, err);
    if (status == NEAP_OK)
        status = recall_batch(t, &batch);
    return status == NEAP_AGAIN ? NEAP_NOTFOUND : status;
}

uint32_t task_dedup_recall(struct task *t, bool *ret_over)
{
    struct error err = { 0 };
    *ret_over = !task_has_dedup(t);
    if (*ret_over)
        return 1;
    enum neap_status status = recall(t, &err);
    *ret_over = status == NEAP_NOTFOUND;
    if (status != NEAP_OK)
        log_reader_close(&t->ids_reader);
    if (status != NEAP_OK && status != NEAP_NOTFOUND)
        task_stop_with(t, status, "recall the ids that it has seen: %s",
                       err.text[0] != '\0' ? err.text : status_text(status));
    return 1;
}

/* ---- what is seen ----------------------------------------------------------------------------------------------------------- */

bool task_dedup_has_room(const struct task *t, uint64_t offset)
{
    return !task_has_dedup(t) || offset < dedup_seen(t->dedup).n ||
           dedup_record_fits(&t->ids, &t->ids_room, (log_offset){ offset }, t->appended_ms);
}

void task_dedup_pass(struct task *t, uint64_t offset)
{
    if (task_has_dedup(t) && offset >= dedup_seen(t->dedup).n)
        dedup_pass(t->dedup, (log_offset){ offset }, t->appended_ms);
}

bool task_dedup_waits(const struct task *t)
{
    return t->ids.count > 0;
}

/* Said once: from here on the window is as long as the count allows. */
static void say_cut_short(struct task *t)
{
    struct dedup_figures f = dedup_figures(t->dedup);
    if (f.cut_short == 0 || t->said_cut_short)
        return;
    t->said_cut_short = true;
    logging_warn(t->p->o.logging,
                 "dedup remembers as many ids as it may, and forgets them before their time; give it a larger count",
                 LOGGING_TEXT("pipeline", t->p->o.name), LOGGING_UINT("partition", t->source.partition),
                 LOGGING_UINT("ids", f.count), LOGGING_INT("reaches_back_ms", t->appended_ms - f.reaches_ms));
}

void task_dedup_send(struct task *t)
{
    struct batch_builder builder;
    struct record record = { .value = writer_bytes(&t->ids_room), .time_ms = t->appended_ms };
    must(t->ids.count > 0 && t->ids_unit.state == UNIT_IDLE);
    batch_begin(&builder, t->kit->ids_batch, PIPELINE_IDS_BATCH_SIZE);
    enum neap_status status = batch_add(&builder, &record, NULL, 0);
    must(status == NEAP_OK);
    struct log_partition at = { t->p->o.dedup.topic_id, t->source.partition % t->p->o.dedup.partition_count };
    t->ids_op = (struct log_op){ .kind = LOG_APPEND, .target = at, .count = 1, .payload = batch_end(&builder) };
    task_unit_set(t, &t->ids_unit, &t->ids_op, 1, "remember ids");
    t->ids = (struct dedup_record){ 0 };
    t->ids_room = writer_of(t->kit->ids, PIPELINE_IDS_SIZE);
    say_cut_short(t);
}
