/* job_held.c - who keeps events from being freed: groups that retention waits for, and how far behind they are. */
#include "base/must.h"
#include "base/rfc3339.h"
#include "node/job.h"
#include <stdlib.h>

#define READ_SIZE 4096u /* grows for the one batch that is looked at */
#define LOOKED_COUNT_MAX \
    64u /* partitions of a group and topic whose oldest event is looked up; the others are counted */

struct job_held {
    char group[LOG_NAME_SIZE_MAX + 1];
    uint32_t topic_id; /* 0: nothing is gathered */
    uint32_t partition_count;
    uint64_t event_count;
    int64_t oldest_ms;
};

/* When the first event that is kept at or after `from` came in; INT64_MAX: there is none, or it cannot be read. */
static int64_t appended_ms(struct job *job, struct log_partition at, log_offset from)
{
    struct log_reader *reader = NULL;
    struct log_batch batch = { .appended = { INT64_MAX } };
    struct error error;
    if (log_reader_open(job->context.log, at, from, READ_SIZE, &reader, &error) != NEAP_OK)
        return INT64_MAX;
    enum neap_status status = log_reader_next(reader, &batch, &error);
    log_reader_close(&reader);
    return status == NEAP_OK ? batch.appended.ms : INT64_MAX;
}

static void print_time(struct writer *w, const char *name, int64_t ms)
{
    char room[RFC3339_SIZE];
    if (ms != INT64_MAX)
        job_print(w, ",\"%s\":\"%s\"", name, rfc3339_write(room, (wall_time){ ms }));
}

void job_print_appended(struct job *job, struct writer *w, const char *name, struct log_partition at, log_offset from)
{
    print_time(w, name, appended_ms(job, at, from));
}

static void close_line(struct job *job, struct writer *w)
{
    struct job_held *h = job->held;
    if (h->topic_id != 0 && h->event_count > 0) {
        write_bytes(w, BYTES("{\"held_by\":"));
        job_print_text(w, h->group);
        write_bytes(w, BYTES(",\"topic\":"));
        job_print_text(w, job_topic_name(job, h->topic_id));
        job_print(w, ",\"partitions\":%u,\"events\":%llu", h->partition_count, (unsigned long long)h->event_count);
        print_time(w, "oldest", h->oldest_ms);
        if (h->oldest_ms != INT64_MAX && h->oldest_ms <= io_wall(job->context.io).ms)
            job_print(w, ",\"age\":%lld", (long long)(io_wall(job->context.io).ms - h->oldest_ms) / 1000);
        write_bytes(w, BYTES("}\n"));
    }
    *h = (struct job_held){ .oldest_ms = INT64_MAX };
}

static void add_entry(struct job *job, const struct job_group_entry *entry)
{
    struct job_held *h = job->held;
    struct log_commit commit;
    uint64_t end = job_partition_end(job, entry->partition.topic_id, entry->partition.partition);
    if (log_offset_get(job->context.log, entry->group, entry->partition, NULL, &commit) != NEAP_OK || !commit.hold)
        return;
    memcpy(h->group, entry->group, sizeof h->group);
    h->topic_id = entry->partition.topic_id;
    if (end <= commit.offset.n)
        return;
    h->event_count += end - commit.offset.n;
    if (h->partition_count++ >= LOOKED_COUNT_MAX)
        return;
    int64_t ms = appended_ms(job, entry->partition, commit.offset);
    h->oldest_ms = ms < h->oldest_ms ? ms : h->oldest_ms;
}

enum job_state job_held_fill(struct job *job, struct writer *w)
{
    if (job->held == NULL) {
        job->held = calloc(1, sizeof *job->held);
        if (job->held == NULL)
            return job_fail(job, NEAP_NOMEM, "status: out of memory");
        job->held->oldest_ms = INT64_MAX;
    }
    for (;;) {
        if (!job_has_room(w))
            return JOB_MORE;
        const struct job_group_entry *entry = job_next_entry(job);
        struct job_held *h = job->held;
        bool same = entry != NULL && h->topic_id == entry->partition.topic_id && strcmp(h->group, entry->group) == 0;
        if (!same)
            close_line(job, w);
        if (entry == NULL)
            return JOB_END;
        add_entry(job, entry);
    }
}
