/* job_settle.c - dead letters are dropped, or go their way again: a piece of them, in one unit.
 *
 *     letters that are meant ─▶ events, by where they came from ─▶ one unit ─▶ what became of them
 *                                     behind all that is there        ├ the events
 *                                                                     ├ the letters are settled
 *                                                                     └ the pipelines' ledgers: so many were taken in again
 *
 * The unit is the whole of it: killed before, nothing has happened, and whoever asks again meets the same letters; killed after, they
 * are settled and met no more. One piece is at work at a time, because the next one has to see what this one settles.
 *
 * Memory: a piece, once as it is read and once as batches. */
#include "base/arena.h"
#include "base/must.h"
#include "flow/pipeline.h"
#include "flow/redrive.h"
#include "node/job.h"
#include <stdio.h>
#include <stdlib.h>

#define PIECE_COUNT_MAX  512u
#define PIECE_SIZE_MAX   (128u << 10) /* of events in a piece; a larger one comes alone */
#define TARGET_COUNT_MAX 32u          /* partitions that a piece goes to, of pipelines */
#define STAY_COUNT_MAX   12u          /* reasons to stay where they are */
#define ARENA_SIZE_MAX   (4u << 20)   /* a piece whose events are all headers becomes nine times as large */
#define ARENA_BLOCK_SIZE (64u << 10)

struct target {
    struct log_partition at;
    char topic[LOG_NAME_SIZE_MAX + 1], pipeline[LOG_NAME_SIZE_MAX + 1];
    uint32_t count;
    size_t size; /* of its batch, at most */
    char ledger_key[LEDGER_KEY_SIZE_MAX];
    uint8_t ledger_room[LEDGER_FACT_SIZE_MAX];
};

struct again { /* an event that goes its way again */
    uint32_t target, header_count;
    struct record record;
    struct record_header *headers;
};

struct stay {
    const char *why;
    uint64_t count, first;
};

struct job_settle {
    enum settled_state how;
    bool is_taken, has_turn;
    uint64_t count;   /* letters of this piece that are settled, or would be */
    uint64_t stretch; /* of offsets, that they lie in (settled.h) */
    size_t size;
    struct target targets[TARGET_COUNT_MAX];
    uint32_t target_count;
    struct again again[PIECE_COUNT_MAX];
    uint32_t again_count;
    struct stay stays[STAY_COUNT_MAX];
    uint32_t stay_count, stay_said_count;
    bool is_said;
    struct arena *arena;
    uint8_t *room; /* of the batches */
    struct log_op ops[2 * TARGET_COUNT_MAX + SETTLED_OP_COUNT];
    uint32_t op_count;
    uint8_t fact_room[LOG_VALUE_SIZE_MAX];
    struct record_header headers[BATCH_HEADER_COUNT_MAX];
};

static void give_turn(struct job *job)
{
    if (job->settle->has_turn && job->context.settling != NULL)
        *job->context.settling = false;
    job->settle->has_turn = false;
}

static bool take_turn(struct job *job)
{
    bool *taken = job->context.settling;
    if (job->settle->has_turn)
        return true;
    if (taken != NULL && *taken)
        return false;
    if (taken != NULL)
        *taken = true;
    job->settle->has_turn = true;
    return true;
}

void job_settle_free(struct job *job)
{
    if (job->settle == NULL)
        return;
    give_turn(job);
    arena_free(&job->settle->arena);
    free(job->settle->room);
    free(job->settle);
    job->settle = NULL;
}

/* ---- letters that stay --------------------------------------------------------------------------------------------------- */

static void stays(struct job_settle *s, const struct record *letter, const char *why)
{
    uint32_t i = 0;
    while (i < s->stay_count && strcmp(s->stays[i].why, why) != 0)
        i++;
    if (i == s->stay_count && i == STAY_COUNT_MAX)
        i = STAY_COUNT_MAX - 1; /* there are not as many reasons */
    else if (i == s->stay_count)
        s->stays[s->stay_count++] = (struct stay){ .why = why, .first = letter->offset };
    s->stays[i].count++;
}

/* ---- where it goes ------------------------------------------------------------------------------------------------------- */

static const char *check_target(struct job *job, const struct dead_letter_view *view, struct target *t)
{
    struct log_topic topic;
    struct pipeline_identity identity;
    if (view->topic.size > LOG_NAME_SIZE_MAX || view->pipeline.size > LOG_NAME_SIZE_MAX)
        return "its names are none";
    snprintf(t->topic, sizeof t->topic, "%.*s", (int)view->topic.size, (const char *)view->topic.at);
    if (job->for_pipeline[0] != '\0')
        snprintf(t->pipeline, sizeof t->pipeline, "%s", job->for_pipeline);
    else
        snprintf(t->pipeline, sizeof t->pipeline, "%.*s", (int)view->pipeline.size, (const char *)view->pipeline.at);
    if (log_topic_find(job->context.log, t->topic, &topic) != NEAP_OK)
        return "the topic that it came from is gone";
    t->at = (struct log_partition){ topic.id, view->partition };
    if (view->partition >= topic.partition_count)
        return "the topic that it came from is another one now: its partition is not there";
    if (t->pipeline[0] == '\0' ||
        pipeline_identity(job->context.log, (struct log_partition){ topic.id, 0 }, t->pipeline, &identity) != NEAP_OK)
        return "no pipeline of that name works on its topic: where it has another name now, say --for NAME";
    return NULL;
}

/* AGAIN: the piece has no room for one more. */
static enum neap_status find_target(struct job *job, const struct dead_letter_view *view, uint32_t *ret_index,
                                    const char **ret_why)
{
    struct job_settle *s = job->settle;
    struct target found = { .size = BATCH_HEADER_SIZE };
    *ret_why = check_target(job, view, &found);
    if (*ret_why != NULL)
        return NEAP_OK;
    for (uint32_t i = 0; i < s->target_count; i++) {
        const struct target *t = &s->targets[i];
        if (t->at.topic_id == found.at.topic_id && t->at.partition == found.at.partition &&
            strcmp(t->pipeline, found.pipeline) == 0) {
            *ret_index = i;
            return NEAP_OK;
        }
    }
    if (s->target_count == TARGET_COUNT_MAX)
        return NEAP_AGAIN;
    *ret_index = s->target_count;
    s->targets[s->target_count++] = found;
    return NEAP_OK;
}

/* ---- taking letters -------------------------------------------------------------------------------------------------------- */

static bool keep_bytes(struct arena *arena, struct bytes *bytes)
{
    if (bytes->at == NULL)
        return true;
    *bytes = arena_copy(arena, *bytes);
    return bytes->at != NULL;
}

/* A copy: the reader goes on. */
static bool keep_event(struct job_settle *s, struct again *a)
{
    bool kept = keep_bytes(s->arena, &a->record.key) && keep_bytes(s->arena, &a->record.value);
    a->headers = arena_take(s->arena, (a->header_count + 1) * sizeof *a->headers);
    for (uint32_t i = 0; kept && a->headers != NULL && i < a->header_count; i++) {
        a->headers[i] = s->headers[i];
        kept = keep_bytes(s->arena, &a->headers[i].name) && keep_bytes(s->arena, &a->headers[i].value);
    }
    return kept && a->headers != NULL;
}

/* OK: taken, or it stays. AGAIN: the piece is full without it. Anything else: the job has failed. */
static enum neap_status take_event(struct job *job, const struct record *letter, const struct dead_letter_view *view)
{
    struct job_settle *s = job->settle;
    const char *why = redrive_hindrance(view);
    struct again again = { 0 };
    if (why == NULL && !job->force && redrive_count(letter) >= job->redrives_max)
        why = "it was redriven often enough, and came back: --force does it once more";
    enum neap_status status = why != NULL ? NEAP_OK : find_target(job, view, &again.target, &why);
    if (why != NULL) {
        stays(s, letter, why);
        return NEAP_NOTFOUND;
    }
    if (status != NEAP_OK)
        return status;
    struct target *t = &s->targets[again.target];
    status = redrive_event(letter, view, t->pipeline, s->arena, &again.record, s->headers, &again.header_count);
    if (status == NEAP_BADINPUT) {
        stays(s, letter, "its headers cannot be read");
        return NEAP_NOTFOUND;
    }
    size_t size = status == NEAP_OK ? batch_record_size_max(&again.record, s->headers, again.header_count) : 0;
    if (status == NEAP_OK && s->again_count > 0 && s->size + size > PIECE_SIZE_MAX)
        return NEAP_AGAIN;
    if (status != NEAP_OK || (!job->dry_run && !keep_event(s, &again))) {
        job_fail(job, NEAP_NOMEM, "redrive: out of memory");
        return NEAP_NOMEM;
    }
    if (job->dry_run) {
        arena_reset(s->arena);
        return NEAP_OK;
    }
    t->count++;
    t->size += size;
    s->size += size;
    s->again[s->again_count++] = again;
    return NEAP_OK;
}

/* NOTFOUND: it stays. AGAIN: not in this piece. */
static enum neap_status take_letter(struct job *job, const struct record *record, const struct job_letter *letter)
{
    struct job_settle *s = job->settle;
    struct log_partition at = { job->topic.id, (uint32_t)job->partition };
    bool is_full = s->count >= job->limit || (!job->dry_run && s->again_count == PIECE_COUNT_MAX) ||
                   (s->count > 0 && !job->dry_run && s->stretch != record->offset / SETTLED_SPAN);
    if (is_full)
        return NEAP_AGAIN;
    enum neap_status status = s->how == SETTLED_REDRIVEN ? take_event(job, record, &letter->view) : NEAP_OK;
    if (status == NEAP_OK && !job->dry_run) {
        status = settled_add(job_letters_settled(job), at, (log_offset){ record->offset }, s->how);
        s->stretch = record->offset / SETTLED_SPAN;
        if (status != NEAP_OK)
            job_fail(job, status, "settle offset %llu of topic '%s': %s", (unsigned long long)record->offset,
                     job->topic.name, status_text(status));
    }
    s->count += status == NEAP_OK;
    return status;
}

static void take_letters(struct job *job)
{
    struct record record;
    struct job_letter letter;
    for (enum job_seen seen = job_reading_next(job, &record); seen != JOB_OVER && !job->ended;
         seen = job_reading_next(job, &record)) {
        if (seen == JOB_UNREADABLE)
            job_reading_pass(job->reading);
        else if (job_letters_want(job, &record, &letter) && take_letter(job, &record, &letter) == NEAP_AGAIN)
            job_reading_stop(job->reading, record.offset);
    }
}

/* ---- the unit ---------------------------------------------------------------------------------------------------------------- */

static struct log_op append_of(struct job_settle *s, uint32_t index, uint8_t *room)
{
    struct target *t = &s->targets[index];
    struct batch_builder builder;
    batch_begin(&builder, room, t->size);
    for (uint32_t i = 0; i < s->again_count; i++) {
        const struct again *a = &s->again[i];
        if (a->target != index)
            continue;
        enum neap_status status = batch_add(&builder, &a->record, a->headers, a->header_count);
        must(status == NEAP_OK); /* the room was sized for all of them */
    }
    must(builder.count == t->count);
    return (struct log_op){ .kind = LOG_APPEND, .target = t->at, .count = t->count, .payload = batch_end(&builder) };
}

static struct log_op ledger_of(struct job *job, struct target *t)
{
    struct ledger part = { 0 };
    part.accepted = redrive_accepted_at(job->context.log, t->at, t->pipeline, job->settle->fact_room) + t->count;
    return (struct log_op){ .kind = LOG_FACT,
                            .view = LOG_VIEW_LEDGER,
                            .target = t->at,
                            .name = { (const uint8_t *)t->ledger_key, ledger_key(t->ledger_key, t->pipeline, 'r') },
                            .payload = ledger_encode(&part, t->ledger_room) };
}

static uint32_t build_unit(struct job *job)
{
    struct job_settle *s = job->settle;
    uint32_t count = 0;
    size_t sum = 1;
    for (uint32_t i = 0; i < s->target_count; i++)
        sum += s->targets[i].size;
    s->room = malloc(sum);
    if (s->room == NULL) {
        job_fail(job, NEAP_NOMEM, "redrive: out of memory");
        return 0;
    }
    uint8_t *at = s->room;
    for (uint32_t i = 0; i < s->target_count; at += s->targets[i++].size) {
        if (s->targets[i].count == 0)
            continue;
        s->ops[count++] = append_of(s, i, at);
        s->ops[count++] = ledger_of(job, &s->targets[i]);
    }
    return count + settled_ops(job_letters_settled(job), s->ops + count);
}

static enum job_state say(struct job *job, struct writer *w)
{
    struct job_settle *s = job->settle;
    if (!s->is_said)
        job_print(w, "{\"letters\":%llu,\"settled\":%s}\n", (unsigned long long)s->count,
                  job->dry_run ? "false" : "true");
    s->is_said = true;
    for (; s->stay_said_count < s->stay_count; s->stay_said_count++) {
        const struct stay *stay = &s->stays[s->stay_said_count];
        if (!job_has_room(w))
            return JOB_MORE;
        job_print(w, "{\"stay\":%llu,\"first\":%llu,\"why\":", (unsigned long long)stay->count,
                  (unsigned long long)stay->first);
        job_print_text(w, stay->why);
        write_bytes(w, BYTES("}\n"));
    }
    return job_end(job);
}

static bool begin(struct job *job, enum settled_state how)
{
    struct job_settle *s = job->settle = calloc(1, sizeof *s);
    if (s == NULL || (s->arena = arena_new(ARENA_BLOCK_SIZE, ARENA_SIZE_MAX)) == NULL) {
        job_fail(job, NEAP_NOMEM, "dead letters: out of memory");
        return false;
    }
    s->how = how;
    job->filter.all = false; /* what is settled is settled */
    return job_letters_open(job);
}

static enum job_state settle(struct job *job, struct writer *w, enum settled_state how)
{
    if (job->settle == NULL && !begin(job, how))
        return JOB_MORE;
    struct job_settle *s = job->settle;
    if (job->unit_busy)
        return JOB_WAIT;
    if (job->unit_done)
        give_turn(job);
    if (job->unit_done && job->unit_status != NEAP_OK)
        return job_unit_failed(job, "settle letters of topic", job->topic_name);
    if (job->unit_done || s->is_said)
        return say(job, w);
    if (!take_turn(job))
        return JOB_WAIT;
    if (!s->is_taken) {
        s->is_taken = true;
        if (job_reading_open(job))
            take_letters(job);
        if (!job->ended && s->count > 0 && !job->dry_run)
            s->op_count = build_unit(job);
    }
    if (job->ended || s->op_count == 0) {
        give_turn(job);
        return job->ended ? JOB_MORE : say(job, w);
    }
    return job_submit_ops(job, s->ops, s->op_count);
}

enum job_state job_dlq_drop(struct job *job, struct writer *w)
{
    return settle(job, w, SETTLED_DROPPED);
}

enum job_state job_dlq_redrive(struct job *job, struct writer *w)
{
    return settle(job, w, SETTLED_REDRIVEN);
}
