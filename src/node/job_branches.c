/* job_branches.c - a pipeline with branches in a stopped directory: an event is in flight until its last branch has settled
 * it, and what became of it there, the branches' own ledgers say. The same sums as a running node's (figures.c). */
#include "base/must.h"
#include "flow/branch_mark.h"
#include "node/job.h"
#include <stdlib.h>

struct mark_at {
    struct branch_mark mark;
    uint32_t topic_id; /* that the branch reads */
};

struct look {
    struct job *job;
    struct mark_at *marks;
    uint32_t count, topic_id;
    uint8_t *room;
};

static void copy_mark(void *ctx, const struct branch_mark *mark)
{
    struct look *l = ctx;
    if (l->count < JOB_PIPELINE_COUNT_MAX)
        l->marks[l->count++] = (struct mark_at){ *mark, l->topic_id };
}

static void gather(struct look *l)
{
    struct log_topic topic;
    for (uint32_t i = 0; log_topic_at(l->job->context.log, i, &topic); i++) {
        l->topic_id = topic.id;
        branch_mark_each(l->job->context.log, topic.id, copy_mark, l);
    }
}

static bool is_in_file(const struct look *l, const char *name)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (l->marks[i].mark.in_file && strcmp(l->marks[i].mark.name, name) == 0)
            return true;
    return false;
}

/* The longest name that is left: branches have longer ones than what they are branches of. */
static const struct mark_at *deepest(const struct look *l, size_t below)
{
    const struct mark_at *found = NULL;
    for (uint32_t i = 0; i < l->count; i++) {
        size_t size = strlen(l->marks[i].mark.parent);
        if (l->marks[i].mark.in_file && size < below && (found == NULL || size > strlen(found->mark.parent)))
            found = &l->marks[i];
    }
    return found;
}

static uint64_t not_answered(struct look *l, const char *name, struct log_partition at)
{
    char key[LEDGER_KEY_SIZE_MAX];
    struct bytes value, name_of = { (const uint8_t *)key, ledger_key(key, name, 't') };
    struct ledger ledger = { 0 };
    if (log_fact_get(l->job->context.log, LOG_VIEW_LEDGER, at, name_of, l->room, &value) == NEAP_OK)
        (void)ledger_decode(value, &ledger);
    return ledger.start;
}

struct unsettled {
    uint64_t count, ends, starts;
};

static void add_partition(struct look *l, const char *parent, struct log_partition at, struct unsettled *sum)
{
    uint64_t point = UINT64_MAX, start = UINT64_MAX;
    struct log_commit commit;
    log_offset end = { 0 };
    for (uint32_t i = 0; i < l->count; i++) {
        const struct mark_at *m = &l->marks[i];
        if (m->topic_id != at.topic_id || !m->mark.in_file || !branch_mark_is_below(m->mark.name, parent) ||
            log_offset_get(l->job->context.log, m->mark.name, at, NULL, &commit) != NEAP_OK)
            continue;
        uint64_t from = not_answered(l, m->mark.name, at);
        point = commit.offset.n < point ? commit.offset.n : point;
        start = from < start ? from : start;
    }
    (void)log_partition_end(l->job->context.log, at, &end);
    sum->count += end.n > point ? end.n - point : 0;
    sum->ends += end.n;
    sum->starts += start == UINT64_MAX ? 0 : start;
}

static struct job_pipeline *find(struct job *job, const char *name)
{
    for (uint32_t i = 0; i < job->pipeline_count; i++)
        if (strcmp(job->pipelines[i].name, name) == 0)
            return &job->pipelines[i];
    return NULL;
}

/* One that reads a topic and hands it to branches counts nothing itself: no fact tells of it but their marks. */
static struct job_pipeline *find_or_add(struct job *job, const struct mark_at *m)
{
    struct job_pipeline *found = find(job, m->mark.parent);
    if (found != NULL || job->pipeline_count == JOB_PIPELINE_COUNT_MAX)
        return found;
    found = &job->pipelines[job->pipeline_count++];
    memcpy(found->name, m->mark.parent, sizeof found->name);
    found->topic_id = m->topic_id;
    return found;
}

/* It reads what its branches read: they count its events, and it those that the last of them has settled. */
static void set_shared(struct look *l, struct job_pipeline *p, const struct unsettled *sum)
{
    uint64_t in_log = sum->ends > sum->starts ? sum->ends - sum->starts : 0;
    uint64_t door = p->ledger.accepted > sum->starts ? p->ledger.accepted - sum->starts : 0;
    uint64_t count = sum->count < in_log ? sum->count : in_log, accepted = in_log + p->door_dead;
    p->ledger = (struct ledger){ .accepted = door > accepted ? door : accepted,
                                 .delivered = in_log - count,
                                 .dead_lettered = p->door_dead };
    p->in_flight = p->lag = count;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct mark_at *m = &l->marks[i];
        const struct job_pipeline *branch = m->mark.in_file ? find(l->job, m->mark.name) : NULL;
        if (branch != NULL && strcmp(m->mark.parent, p->name) == 0)
            p->ledger.produced += branch->ledger.produced;
    }
}

static void set_parent(struct look *l, const struct mark_at *m)
{
    struct job *job = l->job;
    struct job_pipeline *p = find_or_add(job, m);
    struct unsettled sum = { 0 };
    struct log_topic topic;
    for (uint32_t i = 0; log_topic_at(job->context.log, i, &topic); i++)
        for (uint32_t k = 0; topic.id == m->topic_id && k < topic.partition_count; k++)
            add_partition(l, m->mark.parent, (struct log_partition){ topic.id, k }, &sum);
    for (uint32_t i = 0; i < l->count; i++) { /* a branch may have handed it on to branches of its own */
        bool ours = l->marks[i].mark.in_file && strcmp(l->marks[i].mark.parent, m->mark.parent) == 0;
        const struct job_pipeline *branch = ours ? find(job, l->marks[i].mark.name) : NULL;
        if (branch != NULL && branch->in_flight > sum.count)
            sum.count = branch->in_flight;
    }
    if (p == NULL)
        return;
    if (p->topic_id == m->topic_id) {
        set_shared(l, p, &sum);
        return;
    }
    uint64_t moved = sum.count < p->ledger.delivered ? sum.count : p->ledger.delivered;
    p->ledger.delivered -= moved;
    p->in_flight += moved;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct job_pipeline *)a)->name, ((const struct job_pipeline *)b)->name);
}

bool job_add_branches(struct job *job)
{
    struct look l = { .job = job };
    l.marks = calloc(JOB_PIPELINE_COUNT_MAX, sizeof *l.marks);
    l.room = malloc(LOG_VALUE_SIZE_MAX);
    bool good = l.marks != NULL && l.room != NULL;
    if (good)
        gather(&l);
    size_t below = LOG_NAME_SIZE_MAX + 1;
    for (const struct mark_at *m = good ? deepest(&l, below) : NULL; m != NULL; m = deepest(&l, below)) {
        size_t size = below = strlen(m->mark.parent);
        for (uint32_t i = 0; i < l.count; i++) { /* all of that length, each once */
            const struct mark_at *one = &l.marks[i];
            bool seen = !one->mark.in_file || strlen(one->mark.parent) != size;
            for (uint32_t k = 0; k < i && !seen; k++)
                seen = l.marks[k].mark.in_file && strcmp(l.marks[k].mark.parent, one->mark.parent) == 0;
            if (!seen)
                set_parent(&l, one);
        }
    }
    for (uint32_t i = 0; i < l.count; i++) {
        struct job_pipeline *left = l.marks[i].mark.in_file ? NULL : find(job, l.marks[i].mark.name);
        if (left != NULL)
            left->left_file = !is_in_file(&l, left->name);
    }
    if (good)
        qsort(job->pipelines, job->pipeline_count, sizeof *job->pipelines, by_name);
    free(l.marks);
    free(l.room);
    return good;
}

struct seek {
    const char *branch, *pipeline; /* one of them */
    bool found;
};

static void compare_mark(void *ctx, const struct branch_mark *mark)
{
    struct seek *seek = ctx;
    bool is =
        seek->branch != NULL ? strcmp(mark->name, seek->branch) == 0 : branch_mark_is_below(mark->name, seek->pipeline);
    seek->found = seek->found || is;
}

static bool find_mark(struct job *job, struct seek seek)
{
    struct log_topic topic;
    for (uint32_t i = 0; !seek.found && log_topic_at(job->context.log, i, &topic); i++)
        branch_mark_each(job->context.log, topic.id, compare_mark, &seek);
    return seek.found;
}

bool job_is_branch(struct job *job, const char *name)
{
    return find_mark(job, (struct seek){ .branch = name });
}

bool job_has_branches(struct job *job, const char *pipeline)
{
    return find_mark(job, (struct seek){ .pipeline = pipeline });
}
