/* task_read.c - reads the partition: record by record, whatever its batches look like, and what is there no more. */
#include "flow/task_parts.h"
#include <inttypes.h>
#include <stdio.h>

static void forget_batch(struct task *t)
{
    t->batch_open = t->at_end = t->held = false;
    t->unreadable.until.n = 0;
}

enum neap_status task_fill_begin(struct task *t, log_offset from)
{
    must(t->reader == NULL);
    struct error error;
    enum neap_status status = log_reader_open(t->p->o.log, t->source, from, t->p->o.read_size, &t->reader, &error);
    if (status != NEAP_OK) {
        task_stop(t, status, &error);
        return status;
    }
    t->next = from;
    task_way_begin(t, from);
    task_dedup_begin(t);
    forget_batch(t);
    t->filling = 0;
    t->letter_count = t->refused_count = 0;
    t->batches[0] = t->batches[1] = (struct task_batch){ .state = BATCH_EMPTY };
    return NEAP_OK;
}

void task_fill_again(struct task *t, log_offset from)
{
    must(t->letter_unit.state == UNIT_IDLE && t->land_state == LAND_IDLE);
    must(from.n == t->done.point.n && !task_has_way(t));
    log_reader_seek(t->reader, from);
    t->next = from;
    forget_batch(t);
    t->letter_count = 0;
    t->batches[0] = t->batches[1] = (struct task_batch){ .state = BATCH_EMPTY };
}

void task_fill_end(struct task *t)
{
    if (t->reader != NULL)
        log_reader_close(&t->reader);
    forget_batch(t);
}

/* Every record that the batch counts has been read, and still there are bytes: they never were anybody's event. */
static void pass_surplus(struct task *t)
{
    t->batch_open = false;
    logging_warn(t->p->o.logging, "a batch has bytes behind its last event, which are none",
                 LOGGING_TEXT("pipeline", t->p->o.name), LOGGING_UINT("partition", t->source.partition),
                 LOGGING_UINT("offset", t->batch.base_offset));
}

/* Neither this record nor what follows it in the batch can be read. Their offsets were acknowledged as events, so each becomes
 * a dead letter, and the pipeline goes on behind them. Where compaction has taken records away nobody can say which offsets
 * were left: that batch was written by the log itself, so it is damage. */
static bool give_up_rest(struct task *t, enum neap_status status)
{
    const struct batch *b = &t->batch;
    uint64_t from = t->batch_open ? batch_walk_next(&t->walk) : b->base_offset;
    if (status == NEAP_NOMEM || b->count != b->span) {
        task_stop_with(t, status == NEAP_NOMEM ? status : NEAP_CORRUPT, "the batch at offset %" PRIu64 " (%s): %s",
                       b->base_offset, codec_name(batch_codec(b)), status_text(status));
        return false;
    }
    t->batch_open = false;
    t->unreadable.until.n = b->base_offset + b->span;
    t->unreadable.reason = "unreadable";
    t->unreadable.time_ms = b->max_time_ms;
    snprintf(t->unreadable.text, sizeof t->unreadable.text,
             "of the batch at offset %" PRIu64 " (%s), nothing from offset %" PRIu64 " to %" PRIu64 " can be read: %s",
             b->base_offset, codec_name(batch_codec(b)), from, t->unreadable.until.n - 1, status_text(status));
    logging_warn(t->p->o.logging, t->unreadable.text, LOGGING_TEXT("pipeline", t->p->o.name),
                 LOGGING_UINT("partition", t->source.partition));
    return true;
}

/* The room is the shard's: whoever comes back to a compressed batch after another task has used it unpacks it again. */
static enum neap_status unpack(struct task *t)
{
    enum neap_status status = batch_unpack(&t->batch, t->p->o.unpack, &t->walk);
    if (batch_codec(&t->batch) != CODEC_NONE)
        t->p->o.unpack->user = t;
    return status;
}

static bool open_batch(struct task *t, const struct log_batch *from)
{
    enum neap_status status = batch_open(from->bytes, false, &t->batch); /* the log has checked the sums */
    if (status != NEAP_OK) {
        task_stop_with(t, NEAP_CORRUPT, "the batch at offset %" PRIu64 ": %s", from->base.n, status_text(status));
        return false;
    }
    if ((t->batch.attributes & BATCH_IS_CONTROL) != 0) {
        task_stop_with(t, NEAP_VERSION,
                       "the batch at offset %" PRIu64 " is of a kind that this version does not read (attributes 0x%x)",
                       from->base.n, t->batch.attributes);
        return false;
    }
    status = unpack(t);
    if (status != NEAP_OK)
        return give_up_rest(t, status);
    t->batch_open = true;
    t->appended_ms = from->appended.ms;
    return true;
}

static bool next_batch(struct task *t)
{
    struct log_batch batch;
    struct error error;
    t->at_end = t->halted;
    if (t->halted)
        return false; /* said once; what is settled is found at the next start */
    enum neap_status status = log_reader_next(t->reader, &batch, &error);
    t->at_end = status == NEAP_AGAIN || status == NEAP_CORRUPT;
    if (status == NEAP_OK)
        return open_batch(t, &batch);
    if (status == NEAP_CORRUPT)
        task_halt(t, &error);
    else if (status == NEAP_NOTFOUND)
        task_stop_with(t, status, "its topic was deleted");
    else if (status != NEAP_AGAIN)
        task_stop(t, status, &error);
    return false;
}

/* Where another task has used the room since, the walk starts over; what is done is passed by once more. */
static enum neap_status unpack_again(struct task *t)
{
    if (batch_codec(&t->batch) == CODEC_NONE || t->p->o.unpack->user == t)
        return NEAP_OK;
    t->held = false;
    return unpack(t);
}

/* Events that were declared lost stand for themselves: no batch brings them. */
static void look_for_lost(struct task *t, log_offset from)
{
    log_offset first, end;
    if (!log_lost_next(t->p->o.log, t->source, from, &first, &end) || first.n > from.n)
        return;
    t->unreadable.until = end;
    t->unreadable.reason = "lost";
    t->unreadable.time_ms = io_wall(t->p->o.io).ms;
    snprintf(t->unreadable.text, sizeof t->unreadable.text,
             "damaged on disk, and declared lost with 'neap doctor --repair': offsets %" PRIu64 " to %" PRIu64, first.n,
             end.n - 1);
}

bool task_next_record(struct task *t, log_offset from, struct record *ret_record)
{
    for (;;) {
        if (!t->batch_open && t->unreadable.until.n <= from.n)
            look_for_lost(t, from);
        if (t->unreadable.until.n > from.n) {
            t->held = false;
            *ret_record = (struct record){ .offset = from.n, .time_ms = t->unreadable.time_ms };
            return true;
        }
        if (!t->batch_open && !next_batch(t))
            return false;
        if (!t->batch_open)
            continue; /* nothing of it can be read */
        enum neap_status status = unpack_again(t);
        if (status == NEAP_OK && t->held) {
            t->held = false;
            *ret_record = t->held_record;
            return true;
        }
        if (status == NEAP_OK)
            status = batch_next(&t->walk, ret_record);
        if (status == NEAP_NOTFOUND) {
            t->batch_open = false;
        } else if (status == NEAP_BADINPUT && batch_walk_over(&t->walk)) {
            pass_surplus(t);
        } else if (status != NEAP_OK) {
            if (!give_up_rest(t, status))
                return false;
        } else if (ret_record->offset >= from.n) {
            return true;
        }
    }
}

/* ---- what is not there ---------------------------------------------------------------------------------------------------- */

log_offset task_say_deleted(struct task *t, log_offset next)
{
    log_offset start = { 0 }, end;
    (void)log_partition_range(t->p->o.log, t->source, &start, &end);
    if (start.n > next.n)
        logging_warn(t->p->o.logging, "events were deleted from the topic before they were processed",
                     LOGGING_TEXT("pipeline", t->p->o.name), LOGGING_TEXT("topic", t->p->o.topic),
                     LOGGING_UINT("partition", t->source.partition), LOGGING_UINT("from", next.n),
                     LOGGING_UINT("to", start.n));
    return start;
}

/* The end is reached, and yet the log ends further on: what was between is gone. Asked once more, as more may have come
 * meanwhile. */
bool task_ends_in_gap(struct task *t, log_offset next, log_offset *ret_end, uint32_t *ret_work)
{
    log_offset start;
    *ret_work = 0;
    if (!t->at_end || t->halted || log_partition_range(t->p->o.log, t->source, &start, ret_end) != NEAP_OK ||
        ret_end->n <= next.n)
        return false;
    *ret_work = 1;
    return !next_batch(t) && t->at_end && !t->halted;
}
