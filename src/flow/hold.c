/* hold.c - a pipeline tells the log what retention has to wait for, before any of its tasks has begun.
 *
 * A task may wait long for its turn: partitions share kits, and a sink may not answer. Had it to say so itself, other
 * pipelines could pass its events meanwhile, and retention free them. */
#include "base/must.h"
#include "flow/commit.h"
#include "flow/pipeline.h"
#include <stdlib.h>

#define HOLD_PARTITION_COUNT 32u /* of one unit: with their done sets 2 MiB at most, and two operations each */

struct holding {
    struct log *log;
    struct log_client *client;
    const char *name;
    mono_time deadline;
    const char *const
        *others; /* where the first of them is that is anywhere, this one begins; NULL: at the first event */
    struct log_op ops[2 * HOLD_PARTITION_COUNT];
    uint32_t count;
    uint8_t sets[HOLD_PARTITION_COUNT][LOG_VALUE_SIZE_MAX];
};

static enum neap_status submit(struct holding *h)
{
    struct log_unit unit = { .ops = h->ops, .count = h->count };
    enum neap_status status = h->count > 0 ? log_submit_wait(h->client, &unit, h->deadline) : NEAP_OK;
    h->count = 0;
    return status;
}

/* A new branch begins where its pipeline is: at the place of the branch that is furthest behind. One that has committed
 * nothing yet is new itself, and counts only where all of them are. */
static log_offset begin_beside(const struct holding *h, struct log_partition at, log_offset start, uint8_t *room)
{
    log_offset begin = { UINT64_MAX };
    bool all_new = true;
    struct log_commit commit;
    for (const char *const *other = h->others; other != NULL && *other != NULL; other++) {
        if (log_offset_get(h->log, *other, at, room, &commit) != NEAP_OK || !commit.hold)
            continue;
        bool is_new = commit_is_held(commit.done_set);
        if (is_new && !all_new)
            continue;
        if ((all_new && !is_new) || commit.offset.n < begin.n)
            begin = commit.offset;
        all_new = all_new && is_new;
    }
    return begin.n == UINT64_MAX || begin.n < start.n ? start : begin;
}

/* Ops for one partition, if any are needed; `room` keeps its done set. */
static void hold(struct holding *h, struct log_partition at, uint8_t *room)
{
    struct log_commit commit;
    struct log_op op = { .kind = LOG_OFFSET, .view = LOG_OFFSET_HOLD, .target = at, .name = bytes_of_text(h->name) };
    if (log_offset_get(h->log, h->name, at, room, &commit) == NEAP_OK) {
        op.offset = commit.offset;
        op.payload = commit.done_set;
        if (commit.hold)
            return;
    } else {
        log_offset end;
        if (log_partition_range(h->log, at, &op.offset, &end) != NEAP_OK)
            return; /* the topic is gone: the task will say so */
        op.offset = begin_beside(h, at, op.offset, room);
        op.payload = commit_held();
    }
    h->ops[h->count++] = op;
}

static void let_go(struct holding *h, struct log_partition at, uint8_t *room)
{
    struct log_commit commit;
    struct log_op op = { .kind = LOG_OFFSET, .view = LOG_OFFSET_FORGET, .target = at, .name = bytes_of_text(h->name) };
    if (log_offset_get(h->log, h->name, at, room, &commit) != NEAP_OK || !commit.hold)
        return;
    h->ops[h->count++] = op;
    if (commit_is_held(commit.done_set))
        return;
    op.view = 0;
    op.offset = commit.offset;
    op.payload = commit.done_set;
    h->ops[h->count++] = op;
}

static enum neap_status each_partition(struct holding *h, uint32_t topic_id, uint32_t partition_count,
                                       void (*add)(struct holding *h, struct log_partition at, uint8_t *room))
{
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < partition_count && status == NEAP_OK; i++) {
        add(h, (struct log_partition){ topic_id, i }, h->sets[i % HOLD_PARTITION_COUNT]);
        if (i % HOLD_PARTITION_COUNT == HOLD_PARTITION_COUNT - 1 || i + 1 == partition_count)
            status = submit(h);
    }
    return status;
}

static enum neap_status tell(struct log *log, struct log_client *client, uint32_t topic_id, uint32_t partition_count,
                             const char *name, const char *const *others, mono_time deadline,
                             void (*add)(struct holding *h, struct log_partition at, uint8_t *room), struct error *err)
{
    struct holding *h = malloc(sizeof *h);
    if (h == NULL)
        return error_set(err, NEAP_NOMEM, "pipeline %s: out of memory", name);
    h->log = log;
    h->client = client;
    h->name = name;
    h->others = others;
    h->deadline = deadline;
    h->count = 0;
    enum neap_status status = each_partition(h, topic_id, partition_count, add);
    free(h);
    if (status != NEAP_OK)
        return error_set(err, status, "pipeline %s: note what retention waits for: %s", name, status_text(status));
    return NEAP_OK;
}

enum neap_status pipeline_hold(struct log *log, struct log_client *client, uint32_t topic_id, uint32_t partition_count,
                               const char *name, const char *const *others, mono_time deadline, struct error *err)
{
    return tell(log, client, topic_id, partition_count, name, others, deadline, hold, err);
}

enum neap_status pipeline_let_go(struct log *log, struct log_client *client, uint32_t topic_id,
                                 uint32_t partition_count, const char *name, mono_time deadline, struct error *err)
{
    return tell(log, client, topic_id, partition_count, name, NULL, deadline, let_go, err);
}
