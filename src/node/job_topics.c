/* job_topics.c - topics: listed, described, made, deleted, appended to. */
#include "base/murmur2.h"
#include "base/must.h"
#include "log/batch.h"
#include "node/job.h"
#include "node/node.h"
#include <stdlib.h>

static enum job_state no_topic(struct job *job)
{
    return job_fail(job, NEAP_NOTFOUND, "no topic '%s'", job->topic_name);
}

/* A log that has stopped says why; the unit may only know that it is closed. */
static enum job_state unit_failed(struct job *job, const char *what)
{
    struct error health = { 0 };
    must(job->unit_status != NEAP_OK);
    if (log_health(job->context.log, &health) != NEAP_OK)
        return job_fail(job, health.status, "%s '%s': %s", what, job->topic_name, health.text);
    return job_fail(job, job->unit_status, "%s '%s': %s", what, job->topic_name, status_text(job->unit_status));
}

static void write_topic(struct job *job, struct writer *w, const struct log_topic *topic)
{
    uint64_t event_count = 0;
    for (uint32_t p = 0; p < topic->partition_count; p++)
        event_count += job_partition_end(job, topic->id, p);
    job_print(w, "{\"topic\":\"%s\",\"id\":%u,\"partitions\":%u,\"events\":%llu,\"size\":%llu}\n", topic->name,
              topic->id, topic->partition_count, (unsigned long long)event_count, (unsigned long long)topic->size);
}

enum job_state job_topic_list(struct job *job, struct writer *w)
{
    struct log_topic topic;
    while (log_topic_at(job->context.log, job->topic_index, &topic)) {
        if (!job_has_room(w))
            return JOB_MORE;
        write_topic(job, w, &topic);
        job->topic_index++;
    }
    return job_end(job);
}

enum job_state job_topic_describe(struct job *job, struct writer *w)
{
    if (job->topic.id == 0 && log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK)
        return no_topic(job);
    for (; job->partition_index < job->topic.partition_count; job->partition_index++) {
        if (!job_has_room(w))
            return JOB_MORE;
        uint64_t end = job_partition_end(job, job->topic.id, job->partition_index);
        job_print(w, "{\"topic\":\"%s\",\"id\":%u,\"partition\":%u,\"end\":%llu}\n", job->topic.name, job->topic.id,
                  job->partition_index, (unsigned long long)end);
    }
    return job_end(job);
}

enum job_state job_topic_create(struct job *job, struct writer *w)
{
    if (job->unit_busy)
        return JOB_WAIT;
    struct log_topic topic;
    if (job->unit_done) {
        if (job->unit_status != NEAP_OK)
            return unit_failed(job, "create topic");
        if (log_topic_find(job->context.log, job->topic_name, &topic) != NEAP_OK)
            return no_topic(job);
        write_topic(job, w, &topic);
        return job_end(job);
    }
    if (log_topic_find(job->context.log, job->topic_name, &topic) == NEAP_OK)
        return job_fail(job, NEAP_EXISTS, "topic '%s' exists already, with %u partition%s", topic.name,
                        topic.partition_count, topic.partition_count == 1 ? "" : "s");
    uint64_t count = job->has_count ? job->count : 1;
    if (count < 1 || count > TOPIC_PARTITION_COUNT_MAX)
        return job_fail(job, NEAP_MISUSE, "a topic has 1 to %u partitions", TOPIC_PARTITION_COUNT_MAX);
    struct error error = { 0 };
    if (log_partitions_check(job->context.log, (uint32_t)count, &error) != NEAP_OK)
        return job_fail(job, NEAP_MISUSE, "topic '%s' would have %s", job->topic_name, error.text);
    job->op =
        (struct log_op){ .kind = LOG_TOPIC_CREATE, .name = bytes_of_text(job->topic_name), .count = (uint32_t)count };
    return job_submit(job);
}

/* The pipeline of this node that commits in the topic: such a topic is not deleted under its feet. */
static bool pipeline_in_topic(struct job *job, struct node_pipeline_figures *figures)
{
    if (job->context.node == NULL)
        return false;
    for (uint32_t i = 0; i < node_pipeline_count(job->context.node); i++) {
        node_pipeline_figures(job->context.node, i, figures);
        for (uint32_t p = 0; p < job->topic.partition_count; p++) {
            struct log_commit commit;
            struct log_partition partition = { job->topic.id, p };
            if (log_offset_get(job->context.log, figures->name, partition, NULL, &commit) == NEAP_OK)
                return true;
        }
    }
    return false;
}

enum job_state job_topic_delete(struct job *job, struct writer *w)
{
    if (job->unit_busy)
        return JOB_WAIT;
    if (job->unit_done) {
        if (job->unit_status != NEAP_OK)
            return unit_failed(job, "delete topic");
        job_print(w, "{\"topic\":\"%s\",\"id\":%u,\"deleted\":true}\n", job->topic.name, job->topic.id);
        return job_end(job);
    }
    if (log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK)
        return no_topic(job);
    struct node_pipeline_figures figures;
    if (pipeline_in_topic(job, &figures))
        return job_fail(job, NEAP_MISUSE, "pipeline '%s' works on topic '%s': stop it first", figures.name,
                        job->topic_name);
    job->op = (struct log_op){ .kind = LOG_TOPIC_DELETE, .target = { job->topic.id, 0 } };
    return job_submit(job);
}

/* ---- append ---- */

/* The next line of the body, without its newline. */
static bool next_line(struct bytes *left, struct bytes *ret_line)
{
    if (left->size == 0)
        return false;
    const uint8_t *newline = memchr(left->at, '\n', left->size);
    size_t size = newline == NULL ? left->size : (size_t)(newline - left->at);
    *ret_line = (struct bytes){ left->at, size };
    size_t taken = newline == NULL ? size : size + 1;
    *left = (struct bytes){ left->at + taken, left->size - taken };
    return true;
}

/* A line comes over the socket whole: the most of it is less than the most of a record. */
static uint32_t line_size_max(const struct job *job)
{
    uint32_t most = job->topic.settings.record_size_max;
    return most != 0 && most < RECORD_SIZE_MAX ? most : RECORD_SIZE_MAX;
}

static enum neap_status build_batch(struct job *job, size_t room_size)
{
    struct batch_builder builder;
    batch_begin(&builder, job->batch_room, room_size);
    struct bytes left = job->body, line;
    struct bytes key = job->has_key ? bytes_of_text(job->key) : (struct bytes){ NULL, 0 };
    int64_t now_ms = io_wall(job->context.io).ms;
    while (next_line(&left, &line)) {
        if (line.size + key.size > line_size_max(job))
            return NEAP_TOOLARGE;
        struct record record = { .key = key, .value = line, .time_ms = now_ms };
        enum neap_status status = batch_add(&builder, &record, NULL, 0);
        must(status == NEAP_OK); /* the room was sized for all of them */
    }
    job->op.count = builder.count;
    job->op.payload = batch_end(&builder);
    return NEAP_OK;
}

static uint32_t choose_partition(const struct job *job)
{
    if (job->has_partition)
        return (uint32_t)job->partition;
    if (job->has_key)
        return murmur2_partition(bytes_of_text(job->key), job->topic.partition_count);
    return (uint32_t)(io_random(job->context.io) % job->topic.partition_count);
}

static bool see_door(void *ctx, struct bytes key, struct bytes value)
{
    char *name = ctx;
    (void)value;
    if (key.size < 3 || key.size - 2 > LOG_NAME_SIZE_MAX || memcmp(key.at + key.size - 2, "\0d", 2) != 0)
        return true;
    memcpy(name, key.at, key.size - 2);
    name[key.size - 2] = '\0';
    return false;
}

/* A topic that a source fills counts its events where they come in. One that came in beside it would be delivered without
 * ever having been accepted: the books would not balance. */
static bool has_door(struct job *job, char name[LOG_NAME_SIZE_MAX + 1])
{
    name[0] = '\0';
    log_fact_each(job->context.log, LOG_VIEW_LEDGER, (struct log_partition){ job->topic.id, 0 },
                  (struct bytes){ NULL, 0 }, see_door, name);
    return name[0] != '\0';
}

static enum job_state start_append(struct job *job)
{
    struct bytes left = job->body, line;
    uint64_t count = 0;
    while (next_line(&left, &line))
        count++;
    if (count == 0 || count > CONTROL_APPEND_COUNT_MAX || count != job->count)
        return job_fail(job, NEAP_BADINPUT, "an append takes 1 to %u lines, as many as 'count' says",
                        CONTROL_APPEND_COUNT_MAX);
    if (log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK)
        return no_topic(job);
    char owner[LOG_NAME_SIZE_MAX + 1];
    if (has_door(job, owner))
        return job_fail(job, NEAP_MISUSE,
                        "topic '%s' is filled by the source of pipeline '%s', which counts what comes in: append there",
                        job->topic_name, owner);
    if (job->topic.settings.cleanup == LOG_CLEANUP_COMPACT && !job->has_key)
        return job_fail(job, NEAP_MISUSE, "topic '%s' is compacted: its events need a key", job->topic_name);
    if (job->has_partition && job->partition >= job->topic.partition_count)
        return job_fail(job, NEAP_NOTFOUND, "topic '%s' has no partition %llu: it has %u", job->topic_name,
                        (unsigned long long)job->partition, job->topic.partition_count);
    size_t key_size = job->has_key ? strlen(job->key) : 0;
    size_t room_size = BATCH_HEADER_SIZE + job->body.size + (size_t)count * (key_size + 64);
    if (room_size > LOG_UNIT_SIZE_MAX - CONTROL_ROOM_SIZE)
        return job_fail(job, NEAP_TOOLARGE, "%llu lines with this key are more than one append takes",
                        (unsigned long long)count);
    job->batch_room = malloc(room_size);
    if (job->batch_room == NULL)
        return job_fail(job, NEAP_NOMEM, "append: out of memory");
    job->op = (struct log_op){ .kind = LOG_APPEND, .target = { job->topic.id, choose_partition(job) } };
    if (build_batch(job, room_size) != NEAP_OK)
        return job_fail(job, NEAP_TOOLARGE, "a line with its key is longer than %u bytes", line_size_max(job));
    return JOB_MORE;
}

enum job_state job_topic_append(struct job *job, struct writer *w)
{
    if (job->unit_busy)
        return JOB_WAIT;
    if (job->unit_done) {
        if (job->unit_status != NEAP_OK)
            return unit_failed(job, "append to");
        job_print(w, "{\"topic\":\"%s\",\"partition\":%u,\"offset\":%llu,\"count\":%u}\n", job->topic.name,
                  job->op.target.partition, (unsigned long long)job->op.offset.n, job->op.count);
        return job_end(job);
    }
    if (job->batch_room == NULL) {
        enum job_state state = start_append(job);
        if (job->ended)
            return state;
    }
    return job_submit(job);
}
