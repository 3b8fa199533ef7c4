/* job.c - a request is read, given to its verb, and ended. */
#include "node/job.h"
#include "base/must.h"
#include "flow/redrive.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define JOB_MAGIC 0x4a4f4221u

const struct job_verb job_verbs[] = {
    { "status", false, false, false, job_status },
    { "topic list", false, false, false, job_topic_list },
    { "topic describe", false, true, false, job_topic_describe },
    { "topic create", true, true, false, job_topic_create },
    { "topic delete", true, true, false, job_topic_delete },
    { "topic alter", true, true, false, job_topic_alter },
    { "topic append", true, true, false, job_topic_append },
    { "topic read", false, true, false, job_topic_read },
    { "group list", false, false, false, job_group_list },
    { "group describe", false, false, true, job_group_describe },
    { "group reset", true, true, true, job_group_reset },
    { "group delete", true, false, true, job_group_delete },
    { "dlq list", false, false, false, job_dlq_list },
    { "dlq show", false, true, false, job_dlq_show },
    { "dlq count", false, true, false, job_dlq_count },
    { "dlq drop", true, true, false, job_dlq_drop },
    { "dlq redrive", true, true, false, job_dlq_redrive },
    { NULL, false, false, false, NULL },
};

/* ---- reading the request ---- */

static bool get_text(struct job *job, struct json_value request, const char *name, char *room, size_t room_size)
{
    struct json_value v;
    if (!json_get(request, bytes_of_text(name), &v))
        return false;
    if (json_kind(v) != JSON_TEXT) {
        error_set(&job->error, NEAP_BADINPUT, "'%s' is not text", name);
        return false;
    }
    struct bytes text = json_text(v);
    if (text.size >= room_size || (text.size > 0 && memchr(text.at, 0, text.size) != NULL)) {
        error_set(&job->error, NEAP_BADINPUT, "'%s' is longer than %zu bytes, or holds a NUL", name, room_size - 1);
        return false;
    }
    if (text.size > 0)
        memcpy(room, text.at, text.size);
    room[text.size] = '\0';
    return true;
}

static bool get_number(struct job *job, struct json_value request, const char *name, uint64_t most,
                       uint64_t *ret_number)
{
    struct json_value v;
    if (!json_get(request, bytes_of_text(name), &v))
        return false;
    if (json_kind(v) != JSON_INT || json_int(v) < 0 || (uint64_t)json_int(v) > most) {
        error_set(&job->error, NEAP_BADINPUT, "'%s' is no number from 0 to %llu", name, (unsigned long long)most);
        return false;
    }
    *ret_number = (uint64_t)json_int(v);
    return true;
}

static bool get_bool(struct json_value request, const char *name)
{
    struct json_value v;
    return json_get(request, bytes_of_text(name), &v) && json_kind(v) == JSON_BOOL && json_bool(v);
}

/* Names and values are copied: the parser is needed for what is appended. */
static void get_headers(struct job *job, struct json_value request)
{
    struct json_value headers, value;
    struct bytes name;
    if (!json_get(request, BYTES("headers"), &headers) || json_kind(headers) != JSON_OBJECT)
        return;
    job->headers_room = malloc(CONTROL_ROOM_SIZE);
    if (job->headers_room == NULL) {
        error_set(&job->error, NEAP_NOMEM, "out of memory");
        return;
    }
    struct writer w = writer_of(job->headers_room, CONTROL_ROOM_SIZE);
    for (uint64_t cursor = 0; json_next(headers, &cursor, &name, &value);) {
        if (job->header_count == CONTROL_HEADER_COUNT_MAX || json_kind(value) != JSON_TEXT) {
            error_set(&job->error, NEAP_BADINPUT, "headers are at most %u texts", CONTROL_HEADER_COUNT_MAX);
            return;
        }
        struct bytes text = json_text(value);
        struct record_header *header = &job->headers[job->header_count++];
        *header = (struct record_header){ { w.at, name.size }, { w.at + name.size, text.size } };
        write_bytes(&w, name);
        write_bytes(&w, text);
    }
    must(!w.full); /* the request was no longer */
}

static void get_place(struct job *job, struct json_value request)
{
    char to[16] = "";
    uint64_t time_ms = 0;
    if (get_number(job, request, "time", INT64_MAX, &time_ms)) {
        job->time.ms = (int64_t)time_ms;
        job->place = JOB_PLACE_TIME;
    }
    if (!get_text(job, request, "to", to, sizeof to))
        return;
    if (strcmp(to, "earliest") == 0)
        job->place = JOB_PLACE_EARLIEST;
    else if (strcmp(to, "latest") == 0)
        job->place = JOB_PLACE_LATEST;
    else
        error_set(&job->error, NEAP_BADINPUT, "'to' is neither earliest nor latest");
}

static bool get_time(struct job *job, struct json_value request, const char *name, wall_time *ret_time)
{
    uint64_t ms;
    if (!get_number(job, request, name, INT64_MAX, &ms))
        return false;
    ret_time->ms = (int64_t)ms;
    return true;
}

static void get_filter(struct job *job, struct json_value request)
{
    struct job_filter *f = &job->filter;
    char where[FILTER_WHERE_SIZE_MAX + 1];
    get_text(job, request, "reason", f->reason, sizeof f->reason);
    get_text(job, request, "stage", f->stage, sizeof f->stage);
    get_text(job, request, "pipeline", f->pipeline, sizeof f->pipeline);
    f->has_since = get_time(job, request, "since", &f->since);
    f->has_before = get_time(job, request, "before", &f->before);
    f->all = get_bool(request, "all");
    f->brief = get_bool(request, "brief");
    if (!get_text(job, request, "where", where, sizeof where))
        return;
    f->where = malloc(strlen(where) + 1);
    if (f->where != NULL)
        strcpy(f->where, where);
    else
        error_set(&job->error, NEAP_NOMEM, "out of memory");
}

static void find_verb(struct job *job, const char *name)
{
    for (const struct job_verb *verb = job_verbs; verb->name != NULL; verb++) {
        if (strcmp(verb->name, name) == 0) {
            job->verb = verb;
            return;
        }
    }
    error_set(&job->error, NEAP_BADINPUT, "no verb '%s'", name);
}

static void check_request(struct job *job)
{
    if (job->error.status != NEAP_OK)
        return;
    if (job->verb->takes_topic && log_name_check(job->topic_name, &job->error) != NEAP_OK)
        error_while(&job->error, "topic");
    else if (job->verb->takes_group && job->group_name[0] == '\0')
        error_set(&job->error, NEAP_BADINPUT, "no group is named");
    else if (job->verb->writes && job->context.client == NULL)
        error_set(&job->error, NEAP_MISUSE, "'%s' cannot be done here: this directory is only looked at",
                  job->verb->name);
    else if (job->body_size > job_body_size_max(job))
        error_set(&job->error, NEAP_TOOLARGE, "event %llu is longer than %zu bytes",
                  (unsigned long long)(job->from + 1), job_body_size_max(job) - CONTROL_ROOM_SIZE);
}

static void read_request(struct job *job, struct bytes line)
{
    struct json_value request;
    char verb[64] = "";
    if (json_parse(job->parser, line, &request) != NEAP_OK || json_kind(request) != JSON_OBJECT) {
        error_set(&job->error, NEAP_BADINPUT, "a request is a line with one JSON object");
        return;
    }
    get_text(job, request, "verb", verb, sizeof verb);
    get_text(job, request, "topic", job->topic_name, sizeof job->topic_name);
    get_text(job, request, "group", job->group_name, sizeof job->group_name);
    job->has_key = get_text(job, request, "key", job->key, sizeof job->key);
    job->has_partition = get_number(job, request, "partition", UINT32_MAX, &job->partition);
    job->has_count = get_number(job, request, "count", UINT32_MAX, &job->count);
    get_number(job, request, "from", INT64_MAX, &job->from);
    get_text(job, request, "name", job->name, sizeof job->name);
    get_text(job, request, "for", job->for_pipeline, sizeof job->for_pipeline);
    job->has_until = get_number(job, request, "until", INT64_MAX, &job->until);
    job->redrives_max = REDRIVE_COUNT_MAX;
    get_number(job, request, "redrives", UINT32_MAX, &job->redrives_max);
    job->force = get_bool(request, "force");
    get_filter(job, request);
    get_number(job, request, "body", CONTROL_BODY_SIZE_MAX, &job->body_size);
    job->dry_run = get_bool(request, "dry_run");
    job->as_records = get_bool(request, "records");
    job->framed = job->as_records || get_bool(request, "framed");
    job->if_missing = get_bool(request, "if_missing");
    get_headers(job, request);
    job_settings_read(job, request);
    get_number(job, request, "last", INT64_MAX, &job->last);
    get_number(job, request, "wait", CONTROL_WAIT_MS_MAX, &job->wait_ms);
    get_number(job, request, "seen", INT64_MAX, &job->seen);
    get_place(job, request);
    if (!get_number(job, request, "limit", INT64_MAX, &job->limit))
        job->limit = INT64_MAX;
    if (job->error.status == NEAP_OK)
        find_verb(job, verb);
    check_request(job);
    if (job->error.status != NEAP_OK)
        job->body_size = 0;
}

struct job *job_new(const struct control_context *context, struct bytes line)
{
    must(context->log != NULL);
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    job->magic = JOB_MAGIC;
    job->context = *context;
    job->parser = json_parser_new(RECORD_SIZE_MAX + CONTROL_ROOM_SIZE);
    if (job->parser == NULL) {
        free(job);
        return NULL;
    }
    read_request(job, line);
    return job;
}

size_t job_body_size(const struct job *job)
{
    CHECK_MAGIC(job, JOB_MAGIC);
    return (size_t)job->body_size;
}

void job_body(struct job *job, struct bytes body)
{
    CHECK_MAGIC(job, JOB_MAGIC);
    must(body.size == job->body_size && !job->started);
    job->body = body;
}

/* ---- answering ---- */

bool job_has_room(const struct writer *w)
{
    return (size_t)(w->end - w->at) >= JOB_LINE_SIZE_MAX;
}

void job_print(struct writer *w, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    must(size >= 0 && (size_t)size < sizeof text);
    write_bytes(w, (struct bytes){ (const uint8_t *)text, (size_t)size });
}

void job_print_text(struct writer *w, const char *text)
{
    json_write_text(w, bytes_of_text(text));
}

enum job_state job_fail(struct job *job, enum neap_status status, const char *format, ...)
{
    char text[900];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    must(status != NEAP_OK);
    error_set(&job->error, status, "%s", text);
    job->ended = true;
    return JOB_MORE;
}

enum job_state job_end(struct job *job)
{
    job->ended = true;
    return JOB_MORE;
}

static void end_of_reading(const struct job *job, struct writer *w)
{
    const struct job_reading *r = job->reading;
    job_print(w, ",\"first\":%llu,\"next\":%llu,\"more\":%s", (unsigned long long)r->first, (unsigned long long)r->next,
              r->more ? "true" : "false");
    if (job->letters != NULL)
        job_letters_end(job, w);
}

enum job_state job_fill(struct job *job, struct writer *w)
{
    CHECK_MAGIC(job, JOB_MAGIC);
    must(job_has_room(w));
    job->started = true;
    if (job->error.status != NEAP_OK)
        job->ended = true;
    if (!job->ended) {
        enum job_state state = job->verb->fill(job, w);
        must(state != JOB_END && !w->full);
        if (!job->ended)
            return state;
    }
    if (!job_has_room(w))
        return JOB_MORE;
    job_print(w, "{\"end\":\"%s\"", status_name(job->error.status));
    if (job->error.status != NEAP_OK) {
        write_bytes(w, BYTES(",\"error\":"));
        job_print_text(w, job->error.text);
    } else if (job->reading != NULL) {
        end_of_reading(job, w);
    }
    write_bytes(w, BYTES("}\n"));
    return JOB_END;
}

/* ---- for the verbs ---- */

static void unit_done(struct log_unit *unit, enum neap_status status)
{
    struct job *job = unit->ctx;
    CHECK_MAGIC(job, JOB_MAGIC);
    must(job->unit_busy);
    job->unit_busy = false;
    job->unit_done = true;
    job->unit_status = status;
}

enum job_state job_submit(struct job *job)
{
    return job_submit_ops(job, &job->op, 1);
}

bool job_unit_ended(struct job *job)
{
    bool ended = job->unit_done;
    must(!job->unit_busy && (!ended || job->unit_status == NEAP_OK));
    job->unit_done = false;
    return ended;
}

enum job_state job_unit_failed(struct job *job, const char *what, const char *name)
{
    struct error health = { 0 };
    must(job->unit_status != NEAP_OK);
    if (log_health(job->context.log, &health) != NEAP_OK)
        return job_fail(job, health.status, "%s '%s': %s", what, name, health.text);
    return job_fail(job, job->unit_status, "%s '%s': %s", what, name, status_text(job->unit_status));
}

enum job_state job_submit_ops(struct job *job, struct log_op *ops, uint32_t count)
{
    must(!job->unit_busy && !job->unit_done);
    job->unit = (struct log_unit){ .ops = ops, .count = count, .done = unit_done, .ctx = job };
    enum neap_status status = log_submit(job->context.client, &job->unit);
    if (status == NEAP_AGAIN)
        return JOB_WAIT;
    if (status != NEAP_OK)
        return job_fail(job, status, "%s", status_text(status));
    job->unit_busy = true;
    return JOB_WAIT;
}

bool job_is_busy(const struct job *job)
{
    CHECK_MAGIC(job, JOB_MAGIC);
    return job->unit_busy;
}

const char *job_topic_name(struct job *job, uint32_t topic_id)
{
    if (job->topic_last.id == topic_id)
        return job->topic_last.name;
    for (uint32_t i = 0; log_topic_at(job->context.log, i, &job->topic_last); i++) {
        if (job->topic_last.id == topic_id)
            return job->topic_last.name;
    }
    job->topic_last.id = 0;
    return "?";
}

uint64_t job_partition_kept(struct job *job, uint32_t topic_id, uint32_t partition)
{
    log_offset start = { 0 }, end = { 0 };
    (void)log_partition_range(job->context.log, (struct log_partition){ topic_id, partition }, &start, &end);
    return end.n - start.n;
}

uint64_t job_partition_end(struct job *job, uint32_t topic_id, uint32_t partition)
{
    log_offset end = { 0 };
    /* A topic deleted in this moment has nothing any more. */
    if (log_partition_end(job->context.log, (struct log_partition){ topic_id, partition }, &end) != NEAP_OK)
        return 0;
    return end.n;
}

void job_free(struct job **job)
{
    if (*job == NULL)
        return;
    CHECK_MAGIC(*job, JOB_MAGIC);
    must(!(*job)->unit_busy);
    job_settle_free(*job);
    job_letters_free(&(*job)->letters);
    job_reading_close(&(*job)->reading);
    job_records_free(&(*job)->records);
    free((*job)->filter.where);
    free((*job)->counting);
    job_alter_free(&(*job)->alter);
    job_append_free(&(*job)->append);
    free((*job)->headers_room);
    free((*job)->reset);
    free((*job)->deletion);
    free((*job)->held);
    free((*job)->entries);
    free((*job)->pipelines);
    json_parser_free(&(*job)->parser);
    (*job)->magic = 0;
    free(*job);
    *job = NULL;
}
