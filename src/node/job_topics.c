/* job_topics.c - topics: listed, described, made, deleted, appended to. */
#include "base/must.h"
#include "node/job.h"
#include "node/node.h"

static enum job_state no_topic(struct job *job)
{
    return job_fail(job, NEAP_NOTFOUND, "no topic '%s'", job->topic_name);
}

void job_write_topic(struct job *job, struct writer *w, const struct log_topic *topic)
{
    uint64_t event_count = 0, kept_count = 0;
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        struct log_partition_figures f = { 0 };
        (void)log_partition_figures(job->context.log, (struct log_partition){ topic->id, p }, &f);
        event_count += f.end.n;
        kept_count += f.end.n - f.start.n;
    }
    job_print(w, "{\"topic\":\"%s\",\"id\":%u,\"partitions\":%u,\"events\":%llu,\"kept\":%llu,\"size\":%llu",
              topic->name, topic->id, topic->partition_count, (unsigned long long)event_count,
              (unsigned long long)kept_count, (unsigned long long)topic->size);
    job_settings_write(w, &topic->settings);
    write_bytes(w, BYTES("}\n"));
}

enum job_state job_topic_list(struct job *job, struct writer *w)
{
    struct log_topic topic;
    while (log_topic_at(job->context.log, job->topic_index, &topic)) {
        if (!job_has_room(w))
            return JOB_MORE;
        job_write_topic(job, w, &topic);
        job->topic_index++;
    }
    return job_end(job);
}

/* Somebody follows the topic, has seen all that is there, and has time. */
static bool is_to_wait(struct job *job)
{
    uint64_t ends = 0;
    mono_time now = io_now(job->context.io);
    if (job->wait_ms == 0)
        return false;
    if (job->wait_until.ns == 0)
        job->wait_until = mono_after(now, (int64_t)job->wait_ms * NS_PER_MS);
    if (now.ns >= job->wait_until.ns || log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK)
        return false;
    for (uint32_t p = 0; p < job->topic.partition_count; p++)
        ends += job_partition_end(job, job->topic.id, p);
    return ends <= job->seen;
}

enum job_state job_topic_describe(struct job *job, struct writer *w)
{
    if (job->topic.id == 0 && log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK)
        return no_topic(job);
    if (job->partition_index == 0 && is_to_wait(job))
        return JOB_WAIT;
    for (; job->partition_index < job->topic.partition_count; job->partition_index++) {
        if (!job_has_room(w))
            return JOB_MORE;
        struct log_partition_figures f = { 0 };
        struct log_partition at = { job->topic.id, job->partition_index };
        (void)log_partition_figures(job->context.log, at, &f);
        job_print(w, "{\"topic\":\"%s\",\"id\":%u,\"partition\":%u,\"start\":%llu,\"end\":%llu,\"size\":%llu",
                  job->topic.name, job->topic.id, job->partition_index, (unsigned long long)f.start.n,
                  (unsigned long long)f.end.n, (unsigned long long)f.size);
        job_print_appended(job, w, "oldest", at, f.start);
        write_bytes(w, BYTES("}\n"));
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
            return job_unit_failed(job, "create topic", job->topic_name);
        if (log_topic_find(job->context.log, job->topic_name, &topic) != NEAP_OK)
            return no_topic(job);
        job_write_topic(job, w, &topic);
        return job_end(job);
    }
    bool exists = log_topic_find(job->context.log, job->topic_name, &topic) == NEAP_OK;
    if (exists && job->if_missing)
        return job_end(job);
    if (exists)
        return job_fail(job, NEAP_EXISTS, "topic '%s' exists already, with %u partition%s", topic.name,
                        topic.partition_count, topic.partition_count == 1 ? "" : "s");
    uint64_t count = job->has_count ? job->count : 1;
    if (count < 1 || count > TOPIC_PARTITION_COUNT_MAX)
        return job_fail(job, NEAP_MISUSE, "a topic has 1 to %u partitions", TOPIC_PARTITION_COUNT_MAX);
    struct error error = { 0 };
    if (log_partitions_check(job->context.log, (uint32_t)count, &error) != NEAP_OK)
        return job_fail(job, NEAP_MISUSE, "topic '%s' would have %s", job->topic_name, error.text);
    job->op = (struct log_op){ .kind = LOG_TOPIC_CREATE,
                               .name = bytes_of_text(job->topic_name),
                               .count = (uint32_t)count,
                               .payload = log_settings_encode(&LOG_SETTINGS_USUAL, job->settings_room) };
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
            return job_unit_failed(job, "delete topic", job->topic_name);
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
