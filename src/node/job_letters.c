#include "node/job_letters.h"
#include "base/arena.h"
#include "flow/expr.h"
#include "node/job.h"
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BLOCK_SIZE (64u << 10)
#define ARENA_SIZE_MAX \
    (2u << 20) /* of what an expression makes, and as much for its machine: several may ask at once */
#define MACHINE_SIZE_MAX (2u << 20)

struct job_letters {
    struct settled *settled;
    struct expr_machine *machine; /* NULL: no expression */
    struct expr *where;
    struct arena *arena;
    struct expr_place place;
    bool has_branches;     /* the pipeline that is asked for: their letters are its own, too */
    uint64_t failed_count; /* letters on which it failed */
    char failed[FILTER_TEXT_SIZE_MAX];
};

void job_letters_free(struct job_letters **letters)
{
    struct job_letters *l = *letters;
    if (l == NULL)
        return;
    expr_free(&l->where);
    expr_machine_free(&l->machine);
    arena_free(&l->arena);
    settled_free(&l->settled);
    free(l);
    *letters = NULL;
}

struct settled *job_letters_settled(struct job *job)
{
    return job->letters->settled;
}

void job_letters_forget(struct job *job)
{
    settled_forget(job->letters->settled);
}

static enum neap_status load_where(struct job *job, struct job_letters *l, struct error *err)
{
    static const struct expr_options options = { .memory_size_max = MACHINE_SIZE_MAX };
    l->place = (struct expr_place){ .file = "--where", .line = 1, .column = 1, .what = "where" };
    l->arena = arena_new(ARENA_BLOCK_SIZE, ARENA_SIZE_MAX);
    if (l->arena == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    l->machine = expr_machine_new(&options, err);
    return l->machine == NULL ? NEAP_NOMEM : expr_new(l->machine, job->filter.where, &l->place, &l->where, err);
}

bool job_letters_open(struct job *job)
{
    if (job->letters != NULL)
        return true;
    struct error error = { 0 };
    enum neap_status status = NEAP_OK;
    struct job_letters *l = job->letters = calloc(1, sizeof *l);
    if (l != NULL)
        l->settled = settled_new(job->context.log);
    if (l == NULL || l->settled == NULL)
        status = error_set(&error, NEAP_NOMEM, "dead letters: out of memory");
    else if (job->filter.where != NULL)
        status = load_where(job, l, &error);
    if (l != NULL)
        l->has_branches = job->filter.pipeline[0] != '\0' && job_has_branches(job, job->filter.pipeline);
    if (status != NEAP_OK)
        job_fail(job, status, "%s", error.text);
    return status == NEAP_OK;
}

/* ---- one letter ---------------------------------------------------------------------------------------------------- */

static bool is_or_any(const char *wanted, struct bytes text)
{
    return wanted[0] == '\0' || bytes_equal(text, bytes_of_text(wanted));
}

static bool is_below(const char *pipeline, struct bytes name)
{
    size_t size = strlen(pipeline);
    return name.size > size && memcmp(name.at, pipeline, size) == 0 && name.at[size] == '.';
}

static void note_failure(struct job_letters *l, const struct record *record, const struct failure *failure)
{
    if (l->failed_count++ == 0)
        snprintf(l->failed, sizeof l->failed, "offset %llu: %.*s", (unsigned long long)record->offset,
                 (int)failure->message.size, (const char *)failure->message.at);
}

/* The event as its pipeline saw it. What is no JSON is nil. */
static bool ask_where(struct job *job, const struct record *record, const struct dead_letter_view *view)
{
    struct job_letters *l = job->letters;
    struct failure failure = { .reason = NULL };
    struct value value;
    char topic[LOG_NAME_SIZE_MAX + 1] = "";
    struct event event = { .json = record->value,
                           .key = record->key,
                           .id = view->id,
                           .headers = record->headers,
                           .header_count = record->header_count,
                           .time_ms = record->time_ms,
                           .topic = topic,
                           .partition = view->partition,
                           .attempt = view->attempts,
                           .offset = view->offset };
    snprintf(topic, sizeof topic, "%.*s", (int)view->topic.size, (const char *)view->topic.at);
    if (json_parse(job->parser, event.json, &event.root) != NEAP_OK) {
        event.json = BYTES("null");
        if (json_parse(job->parser, event.json, &event.root) != NEAP_OK)
            return false;
    }
    arena_reset(l->arena);
    job_reading_charge(job->reading, LETTER_WHERE_COST);
    if (expr_eval(l->where, &event, l->arena, &value, &failure) == NEAP_OK)
        return value_is_true(&value);
    note_failure(l, record, &failure);
    return false;
}

bool job_letters_want(struct job *job, const struct record *record, struct job_letter *ret_letter)
{
    const struct job_filter *f = &job->filter;
    struct job_letter letter = { .state = SETTLED_NOT };
    struct log_partition at = { job->topic.id, (uint32_t)job->partition };
    enum neap_status status = settled_of(job->letters->settled, at, (log_offset){ record->offset }, &letter.state);
    if (status != NEAP_OK) {
        job_fail(job, status, "what is settled of partition %u of topic '%s': %s", at.partition, job->topic.name,
                 status_text(status));
        return false;
    }
    if (letter.state != SETTLED_NOT && !f->all)
        return false;
    if (dead_letter_read(record, &letter.view) != NEAP_OK)
        letter.view = (struct dead_letter_view){ 0 };
    const struct dead_letter_view *view = &letter.view;
    if (!is_or_any(f->reason, view->reason) || !is_or_any(f->stage, view->stage) ||
        !(is_or_any(f->pipeline, view->pipeline) ||
          (job->letters->has_branches && is_below(f->pipeline, view->pipeline))))
        return false;
    if (job->has_key && !bytes_equal(record->key, bytes_of_text(job->key)))
        return false;
    if (job->letters->where != NULL && !ask_where(job, record, view))
        return false;
    *ret_letter = letter;
    return true;
}

void job_letters_end(const struct job *job, struct writer *w)
{
    const struct job_letters *l = job->letters;
    if (l->failed_count == 0)
        return;
    job_print(w, ",\"failed\":%llu,\"failure\":", (unsigned long long)l->failed_count);
    job_print_text(w, l->failed);
}
