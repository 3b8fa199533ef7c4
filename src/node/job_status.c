/* job_status.c - the node and its pipelines in figures; of a stopped directory: what its durable facts say. */
#include "base/must.h"
#include "base/rfc3339.h"
#include "flow/fate.h"
#include "flow/pipeline.h"
#include "node/job.h"
#include "node/node.h"
#include <stdio.h>
#include <stdlib.h>

static void write_delay(struct writer *w, const struct log_figures *figures)
{
    char jumped[RFC3339_SIZE], resumes[RFC3339_SIZE];
    job_print(w, ",\"clock_jumped\":\"%s\",\"clock_ahead\":%lld,\"retention_resumes\":\"%s\"",
              rfc3339_write(jumped, figures->clock_jumped), (long long)figures->clock_jump_ms / 1000,
              rfc3339_write(resumes, figures->retention_resumes));
}

static void write_node(struct job *job, struct writer *w)
{
    struct log_figures figures;
    struct error health = { 0 };
    log_figures(job->context.log, &figures);
    bool running = job->context.node != NULL;
    enum neap_status status = running ? log_health(job->context.log, &health) : NEAP_OK;
    job_print(w, "{\"node\":\"%s\"", !running ? "stopped" : status == NEAP_OK ? "running" : "failed");
    if (running)
        job_print(w, ",\"pid\":%lld", (long long)io_pid(job->context.io));
    job_print(w, ",\"journal\":%llu,\"syncs\":%llu,\"disk_used\":%llu,\"disk_live\":%llu,\"disk\":%llu,\"full\":%s",
              (unsigned long long)figures.durable.n, (unsigned long long)figures.sync_count,
              (unsigned long long)figures.disk_used_size, (unsigned long long)figures.disk_live_size,
              (unsigned long long)figures.disk_size, figures.full ? "true" : "false");
    static const char *const refused[] = {
        [LOG_RANK_PRODUCER] = "nobody", [LOG_RANK_PIPELINE] = "producers", [LOG_RANK_HOUSE] = "producers and pipelines"
    };
    job_print(w, ",\"archives\":%llu,\"refused\":\"%s\"", (unsigned long long)figures.archive_count,
              refused[figures.rank_min]);
    job_print(w, ",\"scrubbed\":%llu,\"scrub_passes\":%llu,\"damaged\":%llu,\"lost\":%llu",
              (unsigned long long)figures.scrubbed_size, (unsigned long long)figures.scrub_pass_count,
              (unsigned long long)figures.damage_count, (unsigned long long)figures.lost_count);
    if (figures.retention_delayed)
        write_delay(w, &figures);
    if (status != NEAP_OK) {
        write_bytes(w, BYTES(",\"error\":"));
        job_print_text(w, health.text);
    }
    write_bytes(w, BYTES("}\n"));
}

void control_write_damage(struct writer *w, const struct log_damage *d)
{
    static const char *const found_by[] = { "read", "scrub" };
    char place[LOG_NAME_SIZE_MAX + 64], time[RFC3339_SIZE];
    if (d->partition.topic_id != 0)
        snprintf(place, sizeof place, "%s/%u@%llu", d->topic, d->partition.partition, (unsigned long long)d->offset.n);
    else
        snprintf(place, sizeof place, "%s", d->file);
    write_bytes(w, BYTES("{\"damage\":"));
    job_print_text(w, place);
    if (d->partition.topic_id != 0) {
        write_bytes(w, BYTES(",\"topic\":"));
        job_print_text(w, d->topic);
        job_print(w, ",\"partition\":%u,\"offset\":%llu,\"count\":%u", d->partition.partition,
                  (unsigned long long)d->offset.n, d->count);
    }
    write_bytes(w, BYTES(",\"file\":"));
    job_print_text(w, d->file);
    job_print(w, ",\"byte\":%llu,\"found_by\":\"%s\",\"found\":\"%s\"}", (unsigned long long)d->byte,
              found_by[d->found_by], rfc3339_write(time, d->found));
    must(!w->full);
}

/* False: the room is full. */
static bool write_damage(struct job *job, struct writer *w)
{
    struct log_damage d;
    for (; log_damage_at(job->context.log, job->damage_index, &d); job->damage_index++) {
        if (!job_has_room(w))
            return false;
        control_write_damage(w, &d);
        write_u8(w, '\n');
    }
    return true;
}

static void write_held(struct writer *w, const struct node_pipeline_figures *f)
{
    const struct task_held *e = &f->held.event;
    job_print(w, ",\"waits_for\":{\"partition\":%u,\"offset\":%llu,\"key\":", f->held.partition,
              (unsigned long long)e->offset.n);
    job_print_text(w, e->key);
    write_bytes(w, BYTES(",\"stage\":"));
    job_print_text(w, e->stage);
    job_print(w, ",\"attempt\":%u,\"age\":%lld,\"error\":", e->attempt, (long long)(f->held.age_ms / 1000));
    job_print_text(w, e->error);
    write_u8(w, '}');
}

static void write_pipeline(struct writer *w, const char *name, const char *state, const struct ledger *ledger,
                           uint64_t in_flight, uint64_t lag, const char *error,
                           const struct node_pipeline_figures *running)
{
    job_print(w, "{\"pipeline\":\"%s\",\"state\":\"%s\"", name, state);
    job_print(w, ",\"accepted\":%llu,\"filtered\":%llu,\"duplicates\":%llu,\"delivered\":%llu,\"dead_lettered\":%llu",
              (unsigned long long)ledger->accepted, (unsigned long long)ledger->filtered,
              (unsigned long long)ledger->duplicates, (unsigned long long)ledger->delivered,
              (unsigned long long)ledger->dead_lettered);
    job_print(w, ",\"in_flight\":%llu,\"produced\":%llu,\"lag\":%llu", (unsigned long long)in_flight,
              (unsigned long long)ledger->produced, (unsigned long long)lag);
    if (error != NULL) {
        write_bytes(w, BYTES(",\"error\":"));
        job_print_text(w, error);
    }
    if (running != NULL && running->held.event.is)
        write_held(w, running);
    write_bytes(w, BYTES("}\n"));
}

static enum job_state running_pipelines(struct job *job, struct writer *w)
{
    for (; job->pipeline_index < node_pipeline_count(job->context.node); job->pipeline_index++) {
        if (!job_has_room(w))
            return JOB_MORE;
        struct node_pipeline_figures figures;
        node_pipeline_figures(job->context.node, job->pipeline_index, &figures);
        bool halted = !figures.stopped && figures.error.status != NEAP_OK; /* some of its partitions */
        write_pipeline(w, figures.name,
                       figures.stopped ? "stopped"
                       : halted        ? "damaged"
                                       : "running",
                       &figures.total, figures.in_flight, figures.lag,
                       figures.error.status == NEAP_OK ? NULL : figures.error.text, &figures);
    }
    return job_end(job);
}

/* ---- a stopped directory ---- */

struct ledger_look {
    struct job *job;
    struct log_partition partition;
};

static struct job_pipeline *pipeline_of(struct job *job, struct bytes name)
{
    for (uint32_t i = 0; i < job->pipeline_count; i++) {
        if (bytes_equal(bytes_of_text(job->pipelines[i].name), name))
            return &job->pipelines[i];
    }
    if (job->pipeline_count == JOB_PIPELINE_COUNT_MAX || name.size > LOG_NAME_SIZE_MAX)
        return NULL;
    struct job_pipeline *pipeline = &job->pipelines[job->pipeline_count++];
    memcpy(pipeline->name, name.at, name.size);
    return pipeline;
}

static bool add_ledger(void *ctx, struct bytes key, struct bytes value)
{
    struct ledger_look *look = ctx;
    struct ledger part;
    if (key.size < 3 || key.at[key.size - 2] != '\0' || ledger_decode(value, &part) != NEAP_OK)
        return true;
    struct job_pipeline *pipeline = pipeline_of(look->job, (struct bytes){ key.at, key.size - 2 });
    if (pipeline == NULL)
        return true;
    ledger_add(&pipeline->ledger, &part);
    if (key.at[key.size - 1] == 'd')
        pipeline->door_dead = part.dead_lettered;
    pipeline->topic_id = look->partition.topic_id;
    return true;
}

/* What is known of events beyond the point; nothing where there is no memory to ask for it. */
struct beyond {
    log_offset point;
    uint64_t dead, settled; /* the others: delivered or filtered, and counted as such already */
};

static void look_beyond(struct job *job, const char *name, struct log_partition partition, struct beyond *beyond)
{
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    struct log_commit commit = { .offset = beyond->point };
    struct commit dead, settled;
    if (room == NULL)
        return;
    if (log_offset_get(job->context.log, name, partition, room, &commit) == NEAP_OK)
        beyond->point = commit.offset;
    commit_init(&dead, beyond->point, UINT32_MAX);
    commit_init(&settled, beyond->point, UINT32_MAX);
    if (fate_load(job->context.log, partition, name, &dead) == NEAP_OK &&
        (commit_is_held(commit.done_set) || commit_unite(&settled, commit.done_set) == NEAP_OK) &&
        commit_part(&settled, &dead) == NEAP_OK) {
        beyond->dead = dead.count;
        beyond->settled = settled.count;
    }
    commit_fini(&dead);
    commit_fini(&settled);
    free(room);
}

/* What lies in the topic beyond the commit point is in flight, but for what is known to be settled already. Without a sink
 * the topic is where it was to go. */
static void add_lag(struct job *job, struct job_pipeline *pipeline, const struct log_topic *topic)
{
    struct pipeline_identity identity = { .has_sink = true };
    (void)pipeline_identity(job->context.log, (struct log_partition){ topic->id, 0 }, pipeline->name, &identity);
    uint64_t in_log = 0;
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        struct log_partition partition = { topic->id, p };
        struct beyond beyond = { 0 };
        log_offset end = { 0 };
        (void)log_partition_range(job->context.log, partition, &beyond.point, &end);
        in_log += end.n;
        if (!identity.has_sink)
            continue;
        look_beyond(job, pipeline->name, partition, &beyond);
        uint64_t lag = end.n > beyond.point.n ? end.n - beyond.point.n : 0, done = beyond.dead + beyond.settled;
        pipeline->lag += lag;
        pipeline->in_flight += lag > done ? lag - done : 0;
        pipeline->ledger.dead_lettered += lag > beyond.dead ? beyond.dead : lag;
    }
    if (!identity.has_sink)
        pipeline->ledger.delivered = pipeline->ledger.produced = in_log;
    in_log -= in_log < pipeline->ledger.start ? in_log : pipeline->ledger.start; /* nobody's: see ledger.h */
    pipeline->ledger.accepted -=
        pipeline->ledger.accepted < pipeline->ledger.start ? pipeline->ledger.accepted : pipeline->ledger.start;
    in_log += pipeline->door_dead; /* the door's own count; what others appended came in beside it */
    pipeline->ledger.accepted = pipeline->ledger.accepted > in_log ? pipeline->ledger.accepted : in_log;
}

static bool load_pipelines(struct job *job)
{
    job->pipelines = calloc(JOB_PIPELINE_COUNT_MAX, sizeof *job->pipelines);
    if (job->pipelines == NULL)
        return false;
    struct log_topic topic;
    for (uint32_t i = 0; log_topic_at(job->context.log, i, &topic); i++) {
        struct ledger_look look = { .job = job };
        for (uint32_t p = 0; p < topic.partition_count; p++) {
            look.partition = (struct log_partition){ topic.id, p };
            log_fact_each(job->context.log, LOG_VIEW_LEDGER, look.partition, (struct bytes){ NULL, 0 }, add_ledger,
                          &look);
        }
        for (uint32_t k = 0; k < job->pipeline_count; k++) {
            if (job->pipelines[k].topic_id == topic.id)
                add_lag(job, &job->pipelines[k], &topic);
        }
    }
    return job_add_branches(job);
}

static enum job_state stopped_pipelines(struct job *job, struct writer *w)
{
    if (job->pipelines == NULL && !load_pipelines(job))
        return job_fail(job, NEAP_NOMEM, "status: out of memory");
    for (; job->pipeline_index < job->pipeline_count; job->pipeline_index++) {
        if (!job_has_room(w))
            return JOB_MORE;
        const struct job_pipeline *pipeline = &job->pipelines[job->pipeline_index];
        if (!pipeline->left_file)
            write_pipeline(w, pipeline->name, "stopped", &pipeline->ledger, pipeline->in_flight, pipeline->lag, NULL,
                           NULL);
    }
    return job_end(job);
}

enum job_state job_status(struct job *job, struct writer *w)
{
    if (!job->node_written) {
        write_node(job, w);
        job->node_written = true;
    }
    if (!write_damage(job, w))
        return JOB_MORE;
    if (!job->held_written) {
        enum job_state state = job_held_fill(job, w);
        if (state != JOB_END)
            return state;
        job->held_written = true;
    }
    return job->context.node != NULL ? running_pipelines(job, w) : stopped_pipelines(job, w);
}
