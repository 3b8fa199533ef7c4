/* job_topic_alter.c - a topic's settings and the number of its partitions, changed while it is there.
 *
 * More partitions send a key elsewhere: what comes in then could pass what lies in the old one. So a topic that holds an event
 * with a key keeps its number. Whether there is one is looked up from the front, a slice at a time, as in most topics the
 * first event has a key, and in the others none has. */
#include "base/must.h"
#include "log/batch.h"
#include "node/job.h"
#include "node/node.h"
#include <stdlib.h>

#define SLICE_SIZE (16u << 20) /* looked through before others have their turn */
#define READ_SIZE  (256u << 10)

struct job_alter {
    struct log_op op;
    uint8_t settings[LOG_SETTINGS_SIZE];
    uint32_t partition; /* that is looked through */
    struct log_reader *reader;
    struct codec_room unpack;
    bool looked;
};

void job_alter_free(struct job_alter **alter)
{
    if (*alter == NULL)
        return;
    log_reader_close(&(*alter)->reader);
    codec_room_fini(&(*alter)->unpack);
    free(*alter);
    *alter = NULL;
}

/* ---- is there an event with a key? ------------------------------------------------------------------------------------- */

static bool has_key(struct job_alter *a, const struct log_batch *log_batch, uint64_t *ret_offset)
{
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    a->unpack.user = NULL;
    if (batch_open(log_batch->bytes, false, &batch) != NEAP_OK || batch_unpack(&batch, &a->unpack, &walk) != NEAP_OK)
        return false;
    while (batch_next(&walk, &record) == NEAP_OK) {
        if (record.key.at != NULL) {
            *ret_offset = record.offset;
            return true;
        }
    }
    return false;
}

static bool open_partition(struct job *job)
{
    struct job_alter *a = job->alter;
    struct log_partition at = { job->topic.id, a->partition };
    log_offset start = { 0 }, end = { 0 };
    struct error error = { 0 };
    enum neap_status status = log_partition_range(job->context.log, at, &start, &end);
    if (status == NEAP_OK)
        status = log_reader_open(job->context.log, at, start, READ_SIZE, &a->reader, &error);
    if (status != NEAP_OK)
        job_fail(job, status, "alter topic '%s': %s", job->topic_name,
                 error.text[0] != '\0' ? error.text : status_text(status));
    return status == NEAP_OK;
}

/* One slice. True: there is more to look through. */
static bool look_for_key(struct job *job)
{
    struct job_alter *a = job->alter;
    for (uint64_t size = 0; a->partition < job->topic.partition_count && size < SLICE_SIZE;) {
        struct log_batch batch;
        struct error error = { 0 };
        uint64_t offset;
        if (a->reader == NULL && !open_partition(job))
            return false;
        enum neap_status status = log_reader_next(a->reader, &batch, &error);
        if (status == NEAP_OK && has_key(a, &batch, &offset)) {
            job_fail(
                job, NEAP_MISUSE,
                "topic '%s' holds events with keys (partition %u, offset %llu): with %llu partitions a key may go to "
                "another one, and its next events could pass the ones before. Make a topic of that size and let a "
                "pipeline carry them over; or, where all of them are processed, let the pipeline file ask for it "
                "(`move_keys`)",
                job->topic_name, a->partition, (unsigned long long)offset, (unsigned long long)job->count);
            return false;
        }
        if (status == NEAP_OK) {
            size += batch.bytes.size;
        } else if (status == NEAP_AGAIN) {
            log_reader_close(&a->reader);
            a->partition++;
        } else {
            job_fail(job, status, "%s", error.text);
            return false;
        }
    }
    return a->partition < job->topic.partition_count;
}

/* ---- what is asked ------------------------------------------------------------------------------------------------------- */

static bool may_grow(struct job *job)
{
    const char *user = job->context.node == NULL ? NULL : node_user_of_topic(job->context.node, &job->topic);
    struct error error = { 0 };
    if (job->count < job->topic.partition_count)
        job_fail(job, NEAP_MISUSE, "topic '%s' has %u partitions; there is no way to take one away", job->topic_name,
                 job->topic.partition_count);
    else if (user != NULL)
        job_fail(job, NEAP_MISUSE, "pipeline '%s' works with the %u partitions of topic '%s': stop it first", user,
                 job->topic.partition_count, job->topic_name);
    else if (job->count > TOPIC_PARTITION_COUNT_MAX)
        job_fail(job, NEAP_MISUSE, "a topic has 1 to %u partitions", TOPIC_PARTITION_COUNT_MAX);
    else if (log_partitions_check(job->context.log, (uint32_t)job->count - job->topic.partition_count, &error) !=
             NEAP_OK)
        job_fail(job, NEAP_MISUSE, "topic '%s' would have %s", job->topic_name, error.text);
    return !job->ended;
}

static bool begin(struct job *job)
{
    struct job_alter *a;
    if (log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK) {
        job_fail(job, NEAP_NOTFOUND, "no topic '%s'", job->topic_name);
        return false;
    }
    if (job->has_count && !may_grow(job))
        return false;
    a = job->alter = calloc(1, sizeof *a);
    if (a == NULL) {
        job_fail(job, NEAP_NOMEM, "alter topic: out of memory");
        return false;
    }
    codec_room_init(&a->unpack, BATCH_UNPACKED_SIZE_MAX);
    struct log_topic_settings settings = job->topic.settings;
    job_settings_apply(&job->changes, &settings);
    a->looked = !job->has_count || job->count == job->topic.partition_count;
    a->op = (struct log_op){ .kind = LOG_TOPIC_ALTER,
                             .target = { job->topic.id, 0 },
                             .count = job->has_count ? (uint32_t)job->count : 0,
                             .payload = log_settings_encode(&settings, a->settings) };
    return true;
}

enum job_state job_topic_alter(struct job *job, struct writer *w)
{
    if (job->unit_busy)
        return JOB_WAIT;
    if (job->unit_done && job->unit_status == NEAP_FULL) {
        struct log_figures figures;
        log_figures(job->context.log, &figures);
        if (!figures.full)
            return job_fail(job, NEAP_MISUSE, "topic '%s' has been given more partitions too often", job->topic_name);
    }
    if (job->unit_done && job->unit_status != NEAP_OK)
        return job_unit_failed(job, "alter topic", job->topic_name);
    if (job->unit_done) {
        if (log_topic_find(job->context.log, job->topic_name, &job->topic) == NEAP_OK)
            job_write_topic(job, w, &job->topic);
        return job_end(job);
    }
    if (job->alter == NULL && !begin(job))
        return JOB_MORE;
    if (!job->alter->looked) {
        job->alter->looked = !look_for_key(job);
        return job->ended || job->alter->looked ? JOB_MORE : JOB_WAIT;
    }
    return job_submit_ops(job, &job->alter->op, 1);
}
