/* job_groups.c - how far each group has come: the pipelines' own, and those of whoever else commits. */
#include "base/must.h"
#include "node/job.h"
#include <stdlib.h>

static bool copy_entry(void *ctx, const char *group, struct log_partition partition, log_offset offset)
{
    struct job *job = ctx;
    if (job->group_name[0] != '\0' && strcmp(group, job->group_name) != 0)
        return true;
    if (job->entry_index++ < job->entries_seen_count)
        return true;
    if (job->entry_count == JOB_GROUP_COUNT_MAX)
        return false;
    struct job_group_entry *entry = &job->entries[job->entry_count++];
    size_t size = strnlen(group, LOG_NAME_SIZE_MAX);
    memcpy(entry->group, group, size);
    entry->group[size] = '\0';
    entry->partition = partition;
    entry->offset = offset;
    return true;
}

/* Copies the next entries out from under the log's lock. False: there are no more. */
static bool load_entries(struct job *job)
{
    if (job->entries == NULL)
        job->entries = calloc(JOB_GROUP_COUNT_MAX, sizeof *job->entries);
    if (job->entries == NULL)
        return false;
    job->entries_seen_count += job->entry_count;
    job->entry_count = 0;
    job->entry_index = 0;
    log_offset_each(job->context.log, copy_entry, job);
    job->entry_index = 0;
    return job->entry_count > 0;
}

const struct job_group_entry *job_next_entry(struct job *job)
{
    if (job->entry_index == job->entry_count && !load_entries(job))
        return NULL;
    return &job->entries[job->entry_index++];
}

static uint64_t entry_lag(struct job *job, const struct job_group_entry *entry, uint64_t *ret_end)
{
    *ret_end = job_partition_end(job, entry->partition.topic_id, entry->partition.partition);
    return *ret_end > entry->offset.n ? *ret_end - entry->offset.n : 0;
}

/* The beginning of a line. An older version took any bytes for a name. */
void job_print_group(struct writer *w, const char *group)
{
    write_bytes(w, BYTES("{\"group\":"));
    job_print_text(w, group);
}

static void close_group(struct job *job, struct writer *w)
{
    if (!job->group_open)
        return;
    job_print_group(w, job->group_now);
    job_print(w, ",\"partitions\":%u,\"lag\":%llu}\n", job->group_partition_count, (unsigned long long)job->group_lag);
    job->group_open = false;
}

static void count_entry(struct job *job, const struct job_group_entry *entry)
{
    if (!job->group_open) {
        memcpy(job->group_now, entry->group, sizeof job->group_now);
        job->group_partition_count = 0;
        job->group_lag = 0;
        job->group_open = true;
    }
    uint64_t end;
    job->group_partition_count++;
    job->group_lag += entry_lag(job, entry, &end);
}

enum job_state job_group_list(struct job *job, struct writer *w)
{
    for (;;) {
        if (!job_has_room(w))
            return JOB_MORE;
        const struct job_group_entry *entry = job_next_entry(job);
        if (entry == NULL)
            break;
        if (job->group_open && strcmp(entry->group, job->group_now) != 0)
            close_group(job, w);
        count_entry(job, entry);
    }
    close_group(job, w);
    return job_end(job);
}

enum job_state job_group_describe(struct job *job, struct writer *w)
{
    for (;;) {
        if (!job_has_room(w))
            return JOB_MORE;
        const struct job_group_entry *entry = job_next_entry(job);
        if (entry == NULL)
            break;
        uint64_t end, lag = entry_lag(job, entry, &end);
        job->group_open = true;
        job_print_group(w, entry->group);
        job_print(w, ",\"topic\":\"%s\",\"partition\":%u,\"offset\":%llu,\"end\":%llu,\"lag\":%llu}\n",
                  job_topic_name(job, entry->partition.topic_id), entry->partition.partition,
                  (unsigned long long)entry->offset.n, (unsigned long long)end, (unsigned long long)lag);
    }
    if (!job->group_open)
        return job_fail(job, NEAP_NOTFOUND, "no group '%s' has committed anything", job->group_name);
    return job_end(job);
}
