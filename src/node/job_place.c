/* job_place.c - from when on: the offset of what was appended at some time or after it.
 *
 * The time of the append never falls within a partition, so halving what is left finds it: some twenty looks into a partition
 * of a million batches. It is kept to the second; whoever asks more finely gets the whole second. */
#include "base/must.h"
#include "node/job.h"

#define LOOK_SIZE (64u << 10)

static enum neap_status look(struct log_reader *reader, log_offset at, struct log_batch *ret_batch, struct error *err)
{
    log_reader_seek(reader, at);
    return log_reader_next(reader, ret_batch, err);
}

enum neap_status job_offset_at(struct job *job, struct log_partition partition, log_offset *ret_offset,
                               struct error *err)
{
    log_offset low, high;
    struct log_reader *reader = NULL;
    int64_t second_ms = job->time.ms / 1000 * 1000;
    enum neap_status status = log_partition_range(job->context.log, partition, &low, &high);
    if (status == NEAP_OK)
        status = log_reader_open(job->context.log, partition, low, LOOK_SIZE, &reader, err);
    while (status == NEAP_OK && low.n < high.n) {
        struct log_batch batch;
        log_offset middle = { low.n + (high.n - low.n) / 2 };
        status = look(reader, middle, &batch, err);
        if (status == NEAP_OK && batch.appended.ms < second_ms)
            low.n = batch.base.n + batch.count; /* beyond the middle, also where it begins behind a gap */
        else if (status == NEAP_OK)
            high.n = batch.base.n < middle.n ? batch.base.n : middle.n;
        else if (status == NEAP_AGAIN) { /* what was there at the end is gone */
            high = middle;
            status = NEAP_OK;
        }
    }
    log_reader_close(&reader);
    if (status == NEAP_OK)
        *ret_offset = low;
    return status;
}
