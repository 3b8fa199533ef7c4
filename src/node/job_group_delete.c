/* job_group_delete.c - a group is forgotten: its commit points, and all that a pipeline of that name has noted.
 *
 * Of a pipeline there stays what is not its own: the events that its source has let in, how far that source has read, and
 * how many came. The commit points go last, so that a deletion that was cut short is found again and finished. */
#include "base/must.h"
#include "flow/pipeline.h"
#include "node/job.h"
#include <stdlib.h>

#define OP_COUNT_MAX 256u /* of one unit */
#define KEYS_SIZE    (OP_COUNT_MAX * 320u)

struct job_deletion {
    struct log_topic topic; /* at work on it; id 0: none */
    uint32_t topic_index, partition;
    uint64_t partition_count; /* commit points forgotten */
    bool found, is_last;      /* is_last: the unit on its way is the partition's last */
    struct log_op ops[OP_COUNT_MAX];
    uint32_t op_count;
    uint8_t view; /* of the walk under way */
    uint8_t keys[KEYS_SIZE];
    size_t keys_size;
};

/* ---- what there is to forget ------------------------------------------------------------------------------------------ */

static struct log_partition here(const struct job_deletion *d)
{
    return (struct log_partition){ d->topic.id, d->partition };
}

/* False: the unit is full. */
static bool add_fact(void *ctx, struct bytes key, struct bytes value)
{
    struct job_deletion *d = ctx;
    (void)value;
    uint8_t part = key.size > 1 ? key.at[key.size - 1] : 0;
    bool of_source = d->view == LOG_VIEW_LEDGER && (part == 'd' || part == 'r'); /* how many came in, and once more */
    if (of_source)
        return true;
    if (d->op_count == OP_COUNT_MAX || key.size > KEYS_SIZE - d->keys_size)
        return false;
    memcpy(d->keys + d->keys_size, key.at, key.size);
    d->ops[d->op_count++] = (struct log_op){
        .kind = LOG_FACT, .view = d->view, .target = here(d), .name = { d->keys + d->keys_size, key.size }
    };
    d->keys_size += key.size;
    return true;
}

static void collect_facts(struct job *job)
{
    static const uint8_t views[] = { LOG_VIEW_FATE, LOG_VIEW_LEDGER, LOG_VIEW_SINK, LOG_VIEW_START };
    struct job_deletion *d = job->deletion;
    struct bytes prefix = { (const uint8_t *)job->group_name, strlen(job->group_name) + 1 };
    for (size_t i = 0; i < COUNT_OF(views); i++) {
        d->view = views[i];
        log_fact_each(job->context.log, d->view, here(d), prefix, add_fact, d);
    }
}

static void add_last(struct job *job)
{
    struct job_deletion *d = job->deletion;
    struct log_commit commit;
    struct pipeline_identity identity;
    if (log_offset_get(job->context.log, job->group_name, here(d), NULL, &commit) == NEAP_OK) {
        d->ops[d->op_count++] = (struct log_op){
            .kind = LOG_OFFSET, .view = LOG_OFFSET_FORGET, .target = here(d), .name = bytes_of_text(job->group_name)
        };
        d->partition_count++;
    }
    if (d->partition == 0 && pipeline_identity(job->context.log, here(d), job->group_name, &identity) == NEAP_OK)
        d->ops[d->op_count++] = (struct log_op){
            .kind = LOG_FACT, .view = LOG_VIEW_START, .target = here(d), .name = bytes_of_text(job->group_name)
        };
}

/* A topic that the group has been in. */
static bool was_here(struct job *job)
{
    struct job_deletion *d = job->deletion;
    struct pipeline_identity identity;
    struct log_commit commit;
    struct log_partition at = { d->topic.id, 0 };
    if (pipeline_identity(job->context.log, at, job->group_name, &identity) == NEAP_OK)
        return true;
    for (; at.partition < d->topic.partition_count; at.partition++)
        if (log_offset_get(job->context.log, job->group_name, at, NULL, &commit) == NEAP_OK)
            return true;
    return false;
}

static bool next_topic(struct job *job)
{
    struct job_deletion *d = job->deletion;
    while (log_topic_at(job->context.log, d->topic_index++, &d->topic)) {
        d->partition = 0;
        if (was_here(job))
            return true;
    }
    d->topic.id = 0;
    return false;
}

/* ---- the verb --------------------------------------------------------------------------------------------------------- */

static enum job_state forget_partition(struct job *job)
{
    struct job_deletion *d = job->deletion;
    d->op_count = 0;
    d->keys_size = 0;
    collect_facts(job);
    d->found = d->found || d->op_count > 0;
    if (job->dry_run)
        d->op_count = 0; /* they are many or few: nothing is done with them */
    d->is_last = d->op_count + 2 <= OP_COUNT_MAX;
    if (d->is_last)
        add_last(job);
    d->found = d->found || d->op_count > 0;
    if (d->op_count == 0 || job->dry_run) {
        must(d->is_last);
        d->partition++;
        d->is_last = false;
        return JOB_MORE;
    }
    return job_submit_ops(job, d->ops, d->op_count);
}

enum job_state job_group_delete(struct job *job, struct writer *w)
{
    struct job_deletion *d = job->deletion;
    if (job->unit_busy)
        return JOB_WAIT;
    if (job->unit_done && job->unit_status != NEAP_OK)
        return job_unit_failed(job, "delete group", job->group_name);
    if (d == NULL) {
        if (!job->dry_run && !job_group_is_free(job))
            return JOB_MORE;
        d = job->deletion = calloc(1, sizeof *d);
        if (d == NULL)
            return job_fail(job, NEAP_NOMEM, "group delete: out of memory");
    }
    if (job_unit_ended(job) && d->is_last)
        d->partition++;
    if (d->topic.id != 0 && d->partition < d->topic.partition_count)
        return forget_partition(job);
    if (next_topic(job))
        return JOB_MORE;
    if (!d->found)
        return job_fail(job, NEAP_NOTFOUND, "no group '%s' has committed anything", job->group_name);
    job_print_group(w, job->group_name);
    job_print(w, ",\"partitions\":%llu,\"deleted\":%s}\n", (unsigned long long)d->partition_count,
              job->dry_run ? "false" : "true");
    return job_end(job);
}
