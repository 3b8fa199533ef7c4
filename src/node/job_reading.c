#include "node/job_reading.h"
#include "node/job.h"
#include <stdlib.h>

#define RECORD_COST 16u /* of one that is passed over, as bytes: an answer is bounded in what it looks at, too */

void job_reading_close(struct job_reading **reading)
{
    if (*reading == NULL)
        return;
    log_reader_close(&(*reading)->reader);
    codec_room_fini(&(*reading)->unpack);
    free(*reading);
    *reading = NULL;
}

/* Where what came in at that second, or later, begins. */
static enum neap_status offset_at(struct job *job, wall_time when, uint64_t *ret_offset, struct error *err)
{
    log_offset offset = { 0 };
    struct log_partition at = { job->topic.id, (uint32_t)job->partition };
    enum neap_status status = log_offset_at(job->context.log, at, when, &offset, err);
    if (status == NEAP_OK)
        *ret_offset = offset.n;
    return status;
}

/* From where to where. What comes in meanwhile is for the next question. */
static enum neap_status find_range(struct job *job, struct job_reading *r, struct error *err)
{
    log_offset start = { 0 }, end = { 0 };
    uint64_t from = job->from, since = 0, before = UINT64_MAX;
    struct log_partition at = { job->topic.id, (uint32_t)job->partition };
    enum neap_status status = log_partition_range(job->context.log, at, &start, &end);
    if (status == NEAP_OK && job->place == JOB_PLACE_TIME)
        status = offset_at(job, job->time, &from, err);
    else if (job->place == JOB_PLACE_LATEST)
        from = end.n;
    if (status == NEAP_OK && job->filter.has_since)
        status = offset_at(job, job->filter.since, &since, err);
    if (status == NEAP_OK && job->filter.has_before)
        status = offset_at(job, job->filter.before, &before, err);
    r->end = end.n < before ? end.n : before;
    r->end = job->has_until && job->until < r->end ? job->until : r->end;
    if (job->last > 0)
        from = r->end > job->last ? r->end - job->last : 0;
    r->first = since > start.n ? since : start.n;
    r->next = from > r->first ? from : r->first;
    return status == NEAP_OK ? NEAP_OK : error_set(err, status, "where it begins: %s", status_text(status));
}

bool job_reading_open(struct job *job)
{
    struct error error = { 0 };
    if (log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK) {
        job_fail(job, NEAP_NOTFOUND, "no topic '%s'", job->topic_name);
        return false;
    }
    if (job->partition >= job->topic.partition_count) {
        job_fail(job, NEAP_NOTFOUND, "topic '%s' has no partition %llu: it has %u", job->topic_name,
                 (unsigned long long)job->partition, job->topic.partition_count);
        return false;
    }
    struct job_reading *r = job->reading = calloc(1, sizeof *r);
    if (r == NULL) {
        job_fail(job, NEAP_NOMEM, "read: out of memory");
        return false;
    }
    codec_room_init(&r->unpack, BATCH_UNPACKED_SIZE_MAX);
    enum neap_status status = find_range(job, r, &error);
    if (status == NEAP_OK)
        status = log_reader_open(job->context.log, (struct log_partition){ job->topic.id, (uint32_t)job->partition },
                                 (log_offset){ r->next }, 0, &r->reader, &error);
    if (status != NEAP_OK)
        job_fail(job, status, "%s", error.text);
    return status == NEAP_OK;
}

static enum neap_status open_next_batch(struct job_reading *r, struct error *err)
{
    struct log_batch from;
    enum neap_status status = log_reader_next(r->reader, &from, err);
    if (status != NEAP_OK)
        return status;
    status = batch_open(from.bytes, false, &r->batch);
    if (status != NEAP_OK)
        return error_set(err, NEAP_CORRUPT, "the batch at offset %llu: %s", (unsigned long long)from.base.n,
                         status_text(status));
    r->batch_open = true;
    return batch_unpack(&r->batch, &r->unpack, &r->walk);
}

/* The next record at or after `next`. AGAIN: there is none. BADINPUT, TOOLARGE: not before `next`, which is now where the
 * following batch begins; r->unreadable says why. */
static enum neap_status next_record(struct job_reading *r, struct record *ret_record, struct error *err)
{
    for (;;) {
        enum neap_status status = r->batch_open ? NEAP_OK : open_next_batch(r, err);
        if (!r->batch_open)
            return status;
        if (status == NEAP_OK)
            status = batch_next(&r->walk, ret_record);
        if (status == NEAP_OK && ret_record->offset >= r->next)
            return NEAP_OK;
        if (status == NEAP_OK)
            continue;
        r->batch_open = false;
        if (status == NEAP_NOTFOUND)
            continue;
        if (status == NEAP_NOMEM)
            return error_set(err, status, "read: out of memory");
        return error_set(&r->unreadable, status, "the batch at offset %llu (%s) %s: %s",
                         (unsigned long long)r->batch.base_offset, codec_name(batch_codec(&r->batch)),
                         r->next >= r->batch.base_offset + r->batch.span ? "has bytes behind its last event"
                                                                         : "cannot be read from here on",
                         status_text(status));
    }
}

enum job_seen job_reading_next(struct job *job, struct record *ret_record)
{
    struct job_reading *r = job->reading;
    struct error error = { 0 };
    if (r->more || r->next >= r->end)
        return JOB_OVER;
    if (r->read_size >= CONTROL_READ_SIZE_MAX) {
        r->more = true;
        return JOB_OVER;
    }
    enum neap_status status = next_record(r, ret_record, &error);
    if (status == NEAP_OK && ret_record->offset >= r->end) {
        r->next = r->end;
        return JOB_OVER;
    }
    if (status == NEAP_AGAIN)
        return JOB_OVER;
    if (status == NEAP_BADINPUT || status == NEAP_TOOLARGE)
        return JOB_UNREADABLE;
    if (status != NEAP_OK) {
        job_fail(job, status, "%s", error.text);
        return JOB_OVER;
    }
    r->next = ret_record->offset + 1;
    job_reading_charge(r, ret_record->value.size + ret_record->key.size + ret_record->headers.size + RECORD_COST);
    return JOB_SEEN;
}

uint64_t job_reading_pass(struct job_reading *r)
{
    uint64_t until = r->batch.base_offset + r->batch.span;
    if (until > r->next) /* else all that it counts were read; what is left is nobody's */
        r->next = until;
    return r->next;
}

void job_reading_charge(struct job_reading *r, uint64_t size)
{
    r->read_size += size;
}

void job_reading_stop(struct job_reading *r, uint64_t next)
{
    r->next = next;
    r->more = true;
}
