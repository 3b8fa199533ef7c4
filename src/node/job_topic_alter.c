/* job_topic_alter.c - a topic's settings and the number of its partitions, changed while it is there.
 *
 * More partitions send a key elsewhere: what comes in then could pass what lies in the old one. So a topic that holds an event
 * with a key keeps its number. Whether there is one is looked up from the front, a slice at a time, as in most topics the
 * first event has a key, and in the others none has. The log is told how much was looked through: where something has come
 * in since then it refuses, and what is new is looked through, too. */
#include "base/must.h"
#include "flow/dead_letter.h"
#include "log/batch.h"
#include "node/job.h"
#include "node/node.h"
#include <stdlib.h>

#define SLICE_SIZE (16u << 20) /* looked through before others have their turn */
#define READ_SIZE  (256u << 10)
#define TRY_NS     (5 * NS_PER_S) /* what comes in is looked through again so long */

struct job_alter {
    struct log_op op;
    uint8_t settings[LOG_SETTINGS_SIZE];
    uint32_t partition_count; /* when it began */
    uint32_t partition;       /* that is looked through */
    log_offset *seen;         /* of each: looked through up to here */
    struct log_reader *reader;
    struct codec_room unpack;
    bool looked;
    mono_time until;
};

void job_alter_free(struct job_alter **alter)
{
    if (*alter == NULL)
        return;
    log_reader_close(&(*alter)->reader);
    codec_room_fini(&(*alter)->unpack);
    free((*alter)->seen);
    free(*alter);
    *alter = NULL;
}

/* ---- is there an event with a key? ------------------------------------------------------------------------------------- */

/* What does not come apart may have one. */
static bool may_have_key(struct job_alter *a, const struct log_batch *log_batch, uint64_t *ret_offset)
{
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    a->unpack.user = NULL;
    *ret_offset = log_batch->base.n;
    if (batch_open(log_batch->bytes, false, &batch) != NEAP_OK || batch_unpack(&batch, &a->unpack, &walk) != NEAP_OK)
        return true;
    enum neap_status status;
    while ((status = batch_next(&walk, &record)) == NEAP_OK) {
        *ret_offset = record.offset;
        if (record.key.at != NULL)
            return true;
    }
    return status != NEAP_NOTFOUND;
}

static bool open_partition(struct job *job)
{
    struct job_alter *a = job->alter;
    struct log_partition at = { job->topic.id, a->partition };
    log_offset start = { 0 }, end = { 0 }, *seen = &a->seen[a->partition];
    struct error error = { 0 };
    enum neap_status status = log_partition_range(job->context.log, at, &start, &end);
    if (status == NEAP_OK)
        status =
            log_reader_open(job->context.log, at, start.n > seen->n ? start : *seen, READ_SIZE, &a->reader, &error);
    if (seen->n < end.n)
        *seen = end; /* by the time that the reader has nothing more */
    if (status != NEAP_OK)
        job_fail(job, status, "alter topic '%s': %s", job->topic_name,
                 error.text[0] != '\0' ? error.text : status_text(status));
    return status == NEAP_OK;
}

/* One slice. True: there is more to look through. */
static bool look_for_key(struct job *job)
{
    struct job_alter *a = job->alter;
    for (uint64_t size = 0; a->partition < a->partition_count && size < SLICE_SIZE;) {
        struct log_batch batch;
        struct error error = { 0 };
        uint64_t offset;
        if (a->reader == NULL && !open_partition(job))
            return false;
        enum neap_status status = log_reader_next(a->reader, &batch, &error);
        if (status == NEAP_OK && may_have_key(a, &batch, &offset)) {
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
            uint64_t end = batch.base.n + batch.count;
            a->seen[a->partition].n = end > a->seen[a->partition].n ? end : a->seen[a->partition].n;
        } else if (status == NEAP_AGAIN) {
            log_reader_close(&a->reader);
            a->partition++;
        } else {
            job_fail(job, status, "%s", error.text);
            return false;
        }
    }
    return a->partition < a->partition_count;
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

static bool grows(const struct job *job)
{
    return job->has_count && job->count > job->topic.partition_count;
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
    a->partition_count = job->topic.partition_count;
    a->looked = !grows(job);
    a->seen = calloc(a->partition_count, sizeof *a->seen);
    a->until = mono_after(io_now(job->context.io), TRY_NS);
    if (a->seen == NULL)
        job_fail(job, NEAP_NOMEM, "alter topic: out of memory");
    return !job->ended;
}

static bool is_group(void *ctx, const char *group, struct log_partition partition, log_offset offset)
{
    struct job *job = ctx;
    size_t size = strlen(group);
    (void)partition, (void)offset;
    job->group_open =
        strncmp(job->topic_name, group, size) == 0 && strcmp(job->topic_name + size, DEAD_LETTER_SUFFIX) == 0;
    return !job->group_open;
}

/* By its mark, or by its name, as long as there is a pipeline that it can be of. */
static bool is_dead_letters(struct job *job)
{
    job->group_open = dead_letter_is_marked(job->context.log, job->topic.id);
    if (!job->group_open)
        log_offset_each(job->context.log, is_group, job);
    return job->group_open;
}

/* What a pipeline file may not say, in its words. */
static bool may_be(struct job *job, const struct log_topic_settings *s)
{
    bool done = s->retention == LOG_RETAIN_DONE && (job->changes.has_retention || job->changes.has_cleanup);
    bool compact = s->cleanup == LOG_CLEANUP_COMPACT && (job->changes.has_retention || job->changes.has_cleanup);
    if (done && compact)
        job_fail(
            job, NEAP_MISUSE,
            "topic '%s': 'retention: done' frees every event, and 'cleanup: compact' keeps the last one of each key: "
            "they contradict each other; give both --retention and --cleanup",
            job->topic_name);
    else if (compact && job->changes.has_cleanup && is_dead_letters(job))
        job_fail(job, NEAP_MISUSE,
                 "--cleanup: '%s' is dead letters: 'cleanup: compact' would keep only the last one of each key",
                 job->topic_name);
    else if (done && job->changes.has_retention && is_dead_letters(job))
        job_fail(
            job, NEAP_MISUSE,
            "--retention: dead letters are kept until somebody has looked: 'retention: done' would free them unseen; "
            "give a time such as 30d, or forever");
    return !job->ended;
}

/* What is not asked for stays as it is now: others may have changed it meanwhile. */
static bool make_op(struct job *job)
{
    struct job_alter *a = job->alter;
    uint64_t seen = 1;
    uint32_t id = job->topic.id;
    if (log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK || job->topic.id != id) {
        job_fail(job, NEAP_NOTFOUND, "no topic '%s' any more", job->topic_name);
        return false;
    }
    if (job->has_count && !may_grow(job))
        return false;
    struct log_topic_settings settings = job->topic.settings;
    job_settings_apply(&job->changes, &settings);
    if (!may_be(job, &settings))
        return false;
    for (uint32_t i = 0; i < a->partition_count; i++)
        seen += a->seen[i].n;
    a->op = (struct log_op){ .kind = LOG_TOPIC_ALTER,
                             .target = { job->topic.id, 0 },
                             .count = job->has_count ? (uint32_t)job->count : 0,
                             .offset = { grows(job) ? seen : 0 },
                             .revision = job->topic.revision,
                             .payload = log_settings_encode(&settings, a->settings) };
    return true;
}

/* ---- how it ends --------------------------------------------------------------------------------------------------------- */

/* Something has come in, or somebody else has altered it: it is looked at once more. */
static enum job_state once_more(struct job *job)
{
    struct job_alter *a = job->alter;
    struct log_topic now = job->topic;
    if (io_now(job->context.io).ns >= a->until.ns)
        return job_fail(
            job, NEAP_REFUSED,
            "topic '%s': events come in all the time, and each could have a key: give it more partitions while "
            "nobody writes to it",
            job->topic_name);
    job->unit_done = false;
    (void)log_topic_find(job->context.log, job->topic_name, &now);
    if (now.partition_count != a->partition_count) {
        job_alter_free(&job->alter); /* all over again */
        return JOB_WAIT;
    }
    a->partition = 0;
    a->looked = !grows(job);
    return JOB_WAIT; /* until what has come in can be read */
}

static enum job_state failed(struct job *job)
{
    struct log_figures figures;
    log_figures(job->context.log, &figures);
    if (job->unit_status == NEAP_CONFLICT)
        return once_more(job);
    if (job->unit_status == NEAP_HELD)
        return job_fail(
            job, NEAP_MISUSE,
            "a program that has this log open in itself works with the %u partitions of topic '%s': close the "
            "topic there first",
            job->topic.partition_count, job->topic_name);
    if (job->unit_status == NEAP_FULL && !figures.full)
        return job_fail(
            job, NEAP_MISUSE,
            "topic '%s' cannot be given more partitions now: either it has been given some %u times since the "
            "node was started, and takes more after a restart; or the positions of the groups that wait for "
            "its events take all the memory there is for them: then fewer partitions, or more `memory`",
            job->topic_name, LOG_GROWTH_MAX);
    return job_unit_failed(job, "alter topic", job->topic_name);
}

enum job_state job_topic_alter(struct job *job, struct writer *w)
{
    if (job->unit_busy)
        return JOB_WAIT;
    if (job->unit_done && job->unit_status != NEAP_OK)
        return failed(job);
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
    return make_op(job) ? job_submit_ops(job, &job->alter->op, 1) : JOB_MORE;
}
