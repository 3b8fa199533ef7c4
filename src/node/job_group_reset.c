/* job_group_reset.c - a group is moved to another place of a topic, partition by partition.
 *
 * What belongs to a partition changes in one unit: the commit point, and, of a pipeline, its counters, which begin anew
 * there, and a note that a person has moved it: a sink with offsets of its own is not overruled by that, it is asked
 * about (flow/moved.h). What is known to be dead beyond the old place is forgotten afterwards: all that lies behind the new
 * one is tried again. */
#include "base/must.h"
#include "flow/fate.h"
#include "flow/moved.h"
#include "flow/pipeline.h"
#include "node/job.h"
#include "node/node.h"
#include <stdio.h>
#include <stdlib.h>

#define PART_COUNT_MAX 64u  /* partitions of one unit */
#define FATE_COUNT_MAX 256u /* of one unit */
#define OPS_OF_PART    3u

struct part {
    uint32_t partition;
    bool had; /* it had a commit point before */
    log_offset old, new;
    log_offset settled; /* the place of the last start: what `old` was before earlier moves */
};

struct job_reset {
    bool is_pipeline;
    uint32_t next, end; /* partitions not yet looked at */
    enum { RESET_PLAN, RESET_MOVE, RESET_FATES, RESET_SAY } step;
    struct part parts[PART_COUNT_MAX];
    uint32_t part_count, part_index;
    struct log_op ops[PART_COUNT_MAX * OPS_OF_PART];
    uint8_t ledgers[PART_COUNT_MAX][LEDGER_FACT_SIZE_MAX];
    uint8_t notes[PART_COUNT_MAX][MOVED_SIZE_MAX];
    char ledger_key[LEDGER_KEY_SIZE_MAX];
    uint8_t note_key[LOG_KEY_SIZE_MAX];
    uint8_t fact_room[LOG_VALUE_SIZE_MAX];
    log_offset fates[FATE_COUNT_MAX];
    struct log_op fate_ops[FATE_COUNT_MAX];
    uint8_t fate_keys[FATE_COUNT_MAX][FATE_KEY_SIZE_MAX];
};

/* ---- where to ------------------------------------------------------------------------------------------------------ */

static bool ever_committed(struct job *job)
{
    struct log_commit commit;
    for (uint32_t p = 0; p < job->topic.partition_count; p++) {
        struct log_partition at = { job->topic.id, p };
        if (log_offset_get(job->context.log, job->group_name, at, NULL, &commit) == NEAP_OK)
            return true;
    }
    return false;
}

/* False: the job has failed. */
static bool find_place(struct job *job, uint32_t partition, log_offset *ret_place)
{
    struct log_partition at = { job->topic.id, partition };
    log_offset start = { 0 }, end = { 0 };
    struct error error = { 0 };
    enum neap_status status = log_partition_range(job->context.log, at, &start, &end);
    switch (job->place) {
    case JOB_PLACE_EARLIEST:
        *ret_place = start;
        break;
    case JOB_PLACE_LATEST:
        *ret_place = end;
        break;
    case JOB_PLACE_OFFSET:
        *ret_place = (log_offset){ job->from };
        if (status == NEAP_OK && (job->from < start.n || job->from > end.n)) {
            job_fail(job, NEAP_MISUSE, "partition %u of topic '%s' keeps offsets %llu to %llu, and not %llu", partition,
                     job->topic_name, (unsigned long long)start.n, (unsigned long long)end.n,
                     (unsigned long long)job->from);
            return false;
        }
        break;
    case JOB_PLACE_TIME:
        if (status == NEAP_OK)
            status = log_offset_at(job->context.log, at, job->time, ret_place, &error);
        break;
    }
    if (status != NEAP_OK)
        job_fail(job, status, "topic '%s', partition %u: %s", job->topic_name, partition,
                 error.text[0] != '\0' ? error.text : status_text(status));
    return status == NEAP_OK;
}

/* All of them are found before the first one is moved. */
static bool check_places(struct job *job)
{
    log_offset place;
    for (uint32_t p = job->reset->next; p < job->reset->end; p++)
        if (!find_place(job, p, &place))
            return false;
    return true;
}

static bool is_at_work(struct job *job)
{
    struct node_pipeline_figures figures;
    for (uint32_t i = 0; job->context.node != NULL && i < node_pipeline_count(job->context.node); i++) {
        node_pipeline_figures(job->context.node, i, &figures);
        if (strcmp(figures.name, job->group_name) == 0)
            return true;
    }
    return false;
}

bool job_group_is_free(struct job *job)
{
    if (!is_at_work(job))
        return true;
    job_fail(job, NEAP_MISUSE, "pipeline '%s' runs in process %lld: stop it first", job->group_name,
             (long long)io_pid(job->context.io));
    return false;
}

static bool begin(struct job *job)
{
    struct pipeline_identity identity;
    if (log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK) {
        job_fail(job, NEAP_NOTFOUND, "no topic '%s'", job->topic_name);
        return false;
    }
    struct log_partition first = { job->topic.id, 0 };
    bool is_pipeline = pipeline_identity(job->context.log, first, job->group_name, &identity) == NEAP_OK;
    if (!is_pipeline && !ever_committed(job)) {
        job_fail(job, NEAP_NOTFOUND, "group '%s' has committed nothing in topic '%s'", job->group_name,
                 job->topic_name);
        return false;
    }
    if (is_pipeline && !identity.has_sink) {
        job_fail(job, NEAP_MISUSE, "pipeline '%s' has no sink: its events stay in topic '%s', it has no place there",
                 job->group_name, job->topic_name);
        return false;
    }
    if (job->has_partition && job->partition >= job->topic.partition_count) {
        job_fail(job, NEAP_NOTFOUND, "topic '%s' has no partition %llu: it has %u", job->topic_name,
                 (unsigned long long)job->partition, job->topic.partition_count);
        return false;
    }
    if (!job->dry_run && !job_group_is_free(job))
        return false;
    struct job_reset *r = job->reset = calloc(1, sizeof *job->reset);
    if (r == NULL) {
        job_fail(job, NEAP_NOMEM, "group reset: out of memory");
        return false;
    }
    r->is_pipeline = is_pipeline;
    r->next = job->has_partition ? (uint32_t)job->partition : 0;
    r->end = job->has_partition ? r->next + 1 : job->topic.partition_count;
    return check_places(job);
}

/* ---- moving -------------------------------------------------------------------------------------------------------- */

static bool plan(struct job *job)
{
    struct job_reset *r = job->reset;
    for (r->part_count = 0; r->next < r->end && r->part_count < PART_COUNT_MAX; r->next++) {
        struct part *part = &r->parts[r->part_count];
        struct log_commit commit = { 0 };
        struct log_partition at = { job->topic.id, r->next };
        *part = (struct part){ .partition = r->next };
        part->had = log_offset_get(job->context.log, job->group_name, at, r->fact_room, &commit) == NEAP_OK &&
                    !commit_is_held(commit.done_set);
        part->old = part->settled = commit.offset;
        (void)moved_get(job->context.log, at, job->group_name, r->fact_room, &part->settled);
        if (!find_place(job, r->next, &part->new))
            return false;
        r->part_count++;
    }
    r->part_index = 0;
    r->step = job->dry_run ? RESET_SAY : RESET_MOVE;
    return true;
}

static uint32_t add_ops(struct job *job, uint32_t index, struct log_op *ops)
{
    struct job_reset *r = job->reset;
    const struct part *part = &r->parts[index];
    struct log_partition at = { job->topic.id, part->partition };
    ops[0] = (struct log_op){
        .kind = LOG_OFFSET, .target = at, .offset = part->new, .name = bytes_of_text(job->group_name)
    };
    if (!r->is_pipeline)
        return 1;
    struct ledger anew = { .start = part->new.n };
    ops[1] = (struct log_op){ .kind = LOG_FACT,
                              .view = LOG_VIEW_LEDGER,
                              .target = at,
                              .name = { (uint8_t *)r->ledger_key, ledger_key(r->ledger_key, job->group_name, 't') },
                              .payload = ledger_encode(&anew, r->ledgers[index]) };
    ops[2] = (struct log_op){ .kind = LOG_FACT,
                              .view = LOG_VIEW_START,
                              .target = at,
                              .name = { r->note_key, moved_key(r->note_key, job->group_name) },
                              .payload = moved_encode(part->settled, r->notes[index]) };
    return OPS_OF_PART;
}

static enum job_state move(struct job *job)
{
    struct job_reset *r = job->reset;
    uint32_t count = 0;
    if (job_unit_ended(job)) {
        r->step = r->is_pipeline ? RESET_FATES : RESET_SAY;
        return JOB_MORE;
    }
    for (uint32_t i = 0; i < r->part_count; i++)
        count += add_ops(job, i, r->ops + count);
    return job_submit_ops(job, r->ops, count);
}

/* One unit of them; a partition is done when it has none any more. */
static enum job_state forget_fates(struct job *job)
{
    struct job_reset *r = job->reset;
    (void)job_unit_ended(job);
    for (; r->part_index < r->part_count; r->part_index++) {
        struct log_partition at = { job->topic.id, r->parts[r->part_index].partition };
        uint32_t count =
            fate_below(job->context.log, at, job->group_name, (log_offset){ UINT64_MAX }, r->fates, FATE_COUNT_MAX);
        for (uint32_t i = 0; i < count; i++) {
            size_t size = fate_key(r->fate_keys[i], job->group_name, r->fates[i]);
            r->fate_ops[i] = (struct log_op){
                .kind = LOG_FACT, .view = LOG_VIEW_FATE, .target = at, .name = { r->fate_keys[i], size }
            };
        }
        if (count > 0)
            return job_submit_ops(job, r->fate_ops, count);
    }
    r->part_index = 0;
    r->step = RESET_SAY;
    return JOB_MORE;
}

static enum job_state say_parts(struct job *job, struct writer *w)
{
    struct job_reset *r = job->reset;
    for (; r->part_index < r->part_count; r->part_index++) {
        const struct part *part = &r->parts[r->part_index];
        char old[24] = "null";
        if (!job_has_room(w))
            return JOB_MORE;
        if (part->had)
            snprintf(old, sizeof old, "%llu", (unsigned long long)part->old.n);
        job_print_group(w, job->group_name);
        job_print(w, ",\"topic\":\"%s\",\"partition\":%u,\"old\":%s,\"new\":%llu,\"pipeline\":%s,", job->topic_name,
                  part->partition, old, (unsigned long long)part->new.n, r->is_pipeline ? "true" : "false");
        job_print(w, "\"moved\":%s}\n", job->dry_run ? "false" : "true");
    }
    r->step = RESET_PLAN;
    return r->next == r->end ? job_end(job) : JOB_MORE;
}

enum job_state job_group_reset(struct job *job, struct writer *w)
{
    if (job->reset == NULL && !begin(job))
        return JOB_MORE;
    if (job->unit_busy)
        return JOB_WAIT;
    if (job->unit_done && job->unit_status != NEAP_OK)
        return job_unit_failed(job, "move group", job->group_name);
    switch (job->reset->step) {
    case RESET_PLAN:
        (void)plan(job);
        return JOB_MORE;
    case RESET_MOVE:
        return move(job);
    case RESET_FATES:
        return forget_fates(job);
    case RESET_SAY:
        break;
    }
    return say_parts(job, w);
}
