/* job_dlq.c - which topics hold dead letters, and how many of which kind. */
#include "base/must.h"
#include "base/rfc3339.h"
#include "flow/branch_mark.h"
#include "node/job.h"
#include "node/node.h"
#include <stdio.h>
#include <stdlib.h>

#define FIRST_READ_SIZE 65536u
#define KIND_COUNT_MAX  32u /* of one answer: it ends where there are more */
#define KIND_TEXT_SIZE  FILTER_TEXT_SIZE_MAX

/* ---- which topics ---------------------------------------------------------------------------------------------------- */

struct letters_topic {
    uint64_t kept_count;
    bool is_known, is_letter;             /* its first record, where there is one */
    char pipeline[LOG_NAME_SIZE_MAX + 1]; /* of that letter */
};

static void look_at_record(struct letters_topic *t, const struct record *record)
{
    struct dead_letter_view view;
    t->is_known = true;
    if (dead_letter_read(record, &view) != NEAP_OK || view.reason.size == 0)
        return;
    t->is_letter = true;
    snprintf(t->pipeline, sizeof t->pipeline, "%.*s", (int)view.pipeline.size, (const char *)view.pipeline.at);
}

static void look_at_first(struct job *job, struct log_partition at, struct letters_topic *t)
{
    struct log_reader *reader = NULL;
    struct log_batch from;
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    struct codec_room unpack;
    codec_room_init(&unpack, BATCH_UNPACKED_SIZE_MAX);
    if (log_reader_open(job->context.log, at, (log_offset){ 0 }, FIRST_READ_SIZE, &reader, NULL) == NEAP_OK &&
        log_reader_next(reader, &from, NULL) == NEAP_OK && batch_open(from.bytes, false, &batch) == NEAP_OK &&
        batch_unpack(&batch, &unpack, &walk) == NEAP_OK && batch_next(&walk, &record) == NEAP_OK)
        look_at_record(t, &record);
    log_reader_close(&reader);
    codec_room_fini(&unpack);
}

static bool ends_in_suffix(const char *name)
{
    size_t size = strlen(name), suffix = sizeof DEAD_LETTER_SUFFIX - 1;
    return size > suffix && strcmp(name + size - suffix, DEAD_LETTER_SUFFIX) == 0;
}

/* By its first record, or by its mark; an empty one also by its name, as pipelines give it by default. */
static bool holds_letters(struct job *job, const struct log_topic *topic, struct letters_topic *t)
{
    *t = (struct letters_topic){ 0 };
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        uint64_t kept = job_partition_kept(job, topic->id, p);
        t->kept_count += kept;
        if (kept > 0 && !t->is_known)
            look_at_first(job, (struct log_partition){ topic->id, p }, t);
    }
    return t->is_letter || dead_letter_is_marked(job->context.log, topic->id) ||
           (!t->is_known && ends_in_suffix(topic->name));
}

/* Branches share the topic of their pipeline, unless the file says otherwise. */
static bool is_of_branch(struct job *job, const struct log_topic *topic)
{
    char pipeline[LOG_NAME_SIZE_MAX + 1];
    snprintf(pipeline, sizeof pipeline, "%s", topic->name);
    if (!ends_in_suffix(pipeline))
        return false;
    pipeline[strlen(pipeline) - strlen(DEAD_LETTER_SUFFIX)] = '\0';
    return branch_mark_is_below(job->name, pipeline) && job_is_branch(job, job->name);
}

/* The pipeline's own, by the file of this node, by its usual name, or by what lies in it. */
static bool is_of_pipeline(struct job *job, const struct log_topic *topic, const struct letters_topic *t)
{
    size_t size = strlen(job->name);
    return (job->context.node != NULL && node_writes_letters(job->context.node, job->name, topic->id)) ||
           strcmp(t->pipeline, job->name) == 0 || is_of_branch(job, topic) ||
           (ends_in_suffix(topic->name) && strncmp(topic->name, job->name, size) == 0 &&
            strcmp(topic->name + size, DEAD_LETTER_SUFFIX) == 0);
}

/* A topic of dead letters that has the name comes before pipelines that have it. */
static uint32_t find_named(struct job *job)
{
    struct log_topic named;
    struct letters_topic t;
    bool is = job->name[0] != '\0' && log_topic_find(job->context.log, job->name, &named) == NEAP_OK &&
              holds_letters(job, &named, &t);
    return is ? named.id : 0;
}

static bool is_meant(struct job *job, const struct log_topic *topic, const struct letters_topic *t)
{
    if (job->name[0] == '\0')
        return true;
    return job->named_id != 0 ? job->named_id == topic->id : is_of_pipeline(job, topic, t);
}

static void write_topic(struct job *job, struct writer *w, const struct log_topic *topic, const struct letters_topic *t)
{
    struct settled_counts sum = { 0 };
    struct settled *settled = settled_new(job->context.log);
    for (uint32_t p = 0; settled != NULL && p < topic->partition_count; p++) {
        struct settled_counts counts = { 0 };
        (void)settled_count(settled, (struct log_partition){ topic->id, p }, &counts);
        sum.dropped += counts.dropped;
        sum.redriven += counts.redriven;
    }
    settled_free(&settled);
    uint64_t gone = sum.dropped + sum.redriven;
    job_print(w,
              "{\"topic\":\"%s\",\"partitions\":%u,\"events\":%llu,\"letters\":%llu,\"dropped\":%llu,\"redriven\":%llu",
              topic->name, topic->partition_count, (unsigned long long)t->kept_count,
              (unsigned long long)(t->kept_count > gone ? t->kept_count - gone : 0), (unsigned long long)sum.dropped,
              (unsigned long long)sum.redriven);
    if (job->name[0] != '\0' && strcmp(job->name, topic->name) != 0) {
        write_bytes(w, BYTES(",\"pipeline\":"));
        job_print_text(w, job->name);
    }
    write_bytes(w, BYTES("}\n"));
}

enum job_state job_dlq_list(struct job *job, struct writer *w)
{
    struct log_topic topic;
    if (job->topic_index == 0)
        job->named_id = find_named(job);
    while (log_topic_at(job->context.log, job->topic_index, &topic)) {
        struct letters_topic t;
        if (!job_has_room(w))
            return JOB_MORE;
        if (holds_letters(job, &topic, &t) && is_meant(job, &topic, &t)) {
            write_topic(job, w, &topic, &t);
            job->found = true;
        }
        job->topic_index++;
    }
    if (job->name[0] != '\0' && !job->found)
        return job_fail(job, NEAP_NOTFOUND, "'%s' is neither a topic of dead letters nor a pipeline that has one",
                        job->name);
    return job_end(job);
}

/* ---- how many of which kind --------------------------------------------------------------------------------------------- */

struct kind {
    char reason[KIND_TEXT_SIZE], stage[KIND_TEXT_SIZE];
    uint64_t counts[3]; /* by enum settled_state */
    char newest[RFC3339_SIZE];
};

struct job_count {
    struct kind kinds[KIND_COUNT_MAX];
    uint32_t kind_count, said_count;
};

static struct kind *kind_of(struct job_count *c, const struct dead_letter_view *view)
{
    char reason[KIND_TEXT_SIZE], stage[KIND_TEXT_SIZE];
    snprintf(reason, sizeof reason, "%.*s", (int)view->reason.size, (const char *)view->reason.at);
    snprintf(stage, sizeof stage, "%.*s", (int)view->stage.size, (const char *)view->stage.at);
    for (uint32_t i = 0; i < c->kind_count; i++) {
        if (strcmp(c->kinds[i].reason, reason) == 0 && strcmp(c->kinds[i].stage, stage) == 0)
            return &c->kinds[i];
    }
    if (c->kind_count == KIND_COUNT_MAX)
        return NULL;
    struct kind *kind = &c->kinds[c->kind_count++];
    memcpy(kind->reason, reason, sizeof reason);
    memcpy(kind->stage, stage, sizeof stage);
    return kind;
}

static void count_letters(struct job *job)
{
    struct record record;
    struct job_letter letter;
    for (enum job_seen seen = job_reading_next(job, &record); seen != JOB_OVER; seen = job_reading_next(job, &record)) {
        if (seen == JOB_UNREADABLE) {
            job_reading_pass(job->reading);
            continue;
        }
        if (!job_letters_want(job, &record, &letter)) {
            if (job->ended)
                return;
            continue;
        }
        struct kind *kind = kind_of(job->counting, &letter.view);
        if (kind == NULL) {
            job_reading_stop(job->reading, record.offset);
            return;
        }
        kind->counts[letter.state]++;
        if (letter.view.last.size > 0) /* they come in the order in which they gave up */
            snprintf(kind->newest, sizeof kind->newest, "%.*s", (int)letter.view.last.size,
                     (const char *)letter.view.last.at);
    }
}

static void write_kind(struct writer *w, const struct kind *kind)
{
    write_bytes(w, BYTES("{\"reason\":"));
    job_print_text(w, kind->reason);
    write_bytes(w, BYTES(",\"stage\":"));
    job_print_text(w, kind->stage);
    job_print(w, ",\"letters\":%llu,\"dropped\":%llu,\"redriven\":%llu,\"newest\":",
              (unsigned long long)kind->counts[SETTLED_NOT], (unsigned long long)kind->counts[SETTLED_DROPPED],
              (unsigned long long)kind->counts[SETTLED_REDRIVEN]);
    job_print_text(w, kind->newest);
    write_bytes(w, BYTES("}\n"));
}

enum job_state job_dlq_count(struct job *job, struct writer *w)
{
    struct job_count *c = job->counting;
    if (c == NULL) {
        c = job->counting = calloc(1, sizeof *c);
        if (c == NULL)
            return job_fail(job, NEAP_NOMEM, "dlq count: out of memory");
        if (job_letters_open(job) && job_reading_open(job))
            count_letters(job);
        if (job->ended)
            return JOB_MORE;
    }
    for (; c->said_count < c->kind_count; c->said_count++) {
        if (!job_has_room(w))
            return JOB_MORE;
        write_kind(w, &c->kinds[c->said_count]);
    }
    return job_end(job);
}
