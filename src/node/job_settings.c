/* job_settings.c - a topic's settings in a request, and in an answer. */
#include "config/limits.h"
#include "config/units.h"
#include "log/limits.h"
#include "node/job.h"

/* As a pipeline file has it; `none`: what stands for no limit. */
static bool get_limit(struct job *job, struct json_value request, const char *name, int64_t none, uint64_t least,
                      uint64_t most, int64_t *limit)
{
    struct json_value v;
    if (!json_get(request, bytes_of_text(name), &v))
        return false;
    bool fits = json_kind(v) == JSON_INT && json_int(v) >= none && json_int(v) <= (int64_t)most &&
                (json_int(v) == none || json_int(v) >= (int64_t)least);
    if (!fits) {
        error_set(&job->error, NEAP_BADINPUT, "'%s' is not between %llu and %llu, and not %lld for no limit", name,
                  (unsigned long long)least, (unsigned long long)most, (long long)none);
        return false;
    }
    *limit = json_int(v);
    return true;
}

static bool is_word(struct json_value v, const char *word)
{
    return json_kind(v) == JSON_TEXT && bytes_equal(json_text(v), bytes_of_text(word));
}

void job_settings_read(struct job *job, struct json_value request)
{
    struct job_settings *c = &job->changes;
    struct json_value v;
    int64_t interval_ms = 0;
    c->has_time = get_limit(job, request, "retention_ms", -1, CONFIG_RETENTION_MS_MIN, CONFIG_RETENTION_MS_MAX,
                            &c->to.retention_ms);
    c->has_size = get_limit(job, request, "retention_size", -1, CONFIG_RETENTION_SIZE_MIN, CONFIG_DISK_SIZE_MAX,
                            &c->to.retention_size);
    c->has_interval = get_limit(job, request, "interval_ms", 0, 1, CONFIG_INTERVAL_MS_MAX, &interval_ms);
    c->to.interval_ms = (uint32_t)interval_ms;
    c->has_retention = json_get(request, BYTES("retention"), &v);
    if (c->has_retention && !is_word(v, "done") && !is_word(v, "limits"))
        error_set(&job->error, NEAP_BADINPUT, "'retention' is neither done nor limits");
    c->to.retention = c->has_retention && is_word(v, "done") ? LOG_RETAIN_DONE : LOG_RETAIN_LIMITS;
    c->has_cleanup = json_get(request, BYTES("cleanup"), &v);
    if (c->has_cleanup && !is_word(v, "delete") && !is_word(v, "compact"))
        error_set(&job->error, NEAP_BADINPUT, "'cleanup' is neither delete nor compact");
    c->to.cleanup = c->has_cleanup && is_word(v, "compact") ? LOG_CLEANUP_COMPACT : LOG_CLEANUP_DELETE;
}

void job_settings_apply(const struct job_settings *changes, struct log_topic_settings *settings)
{
    if (changes->has_retention)
        settings->retention = changes->to.retention;
    if (changes->has_time)
        settings->retention_ms = changes->to.retention_ms;
    if (changes->has_size)
        settings->retention_size = changes->to.retention_size;
    if (changes->has_cleanup)
        settings->cleanup = changes->to.cleanup;
    if (changes->has_interval)
        settings->interval_ms = changes->to.interval_ms;
}

/* What is kept, as a pipeline file writes it. */
static void write_kept(struct writer *w, const struct log_topic_settings *s)
{
    char time[UNITS_TEXT_SIZE] = "", size[UNITS_TEXT_SIZE] = "";
    if (s->retention_ms >= 0)
        units_duration_text(time, (uint64_t)s->retention_ms);
    if (s->retention_size >= 0)
        units_size_text(size, (uint64_t)s->retention_size);
    const char *and = time[0] != '\0' && size[0] != '\0' ? ", " : "";
    bool forever = time[0] == '\0' && size[0] == '\0';
    if (s->retention == LOG_RETAIN_DONE)
        job_print(w, ",\"keeps\":\"done\"");
    else
        job_print(w, ",\"keeps\":\"%s%s%s\"", forever ? "forever" : time, and, size);
}

void job_settings_write(struct writer *w, const struct log_topic_settings *settings)
{
    job_print(
        w, ",\"retention\":\"%s\",\"retention_ms\":%lld,\"retention_size\":%lld,\"cleanup\":\"%s\",\"interval_ms\":%u",
        settings->retention == LOG_RETAIN_DONE ? "done" : "limits", (long long)settings->retention_ms,
        (long long)settings->retention_size, settings->cleanup == LOG_CLEANUP_COMPACT ? "compact" : "delete",
        settings->interval_ms);
    write_kept(w, settings);
    if (settings->interval_ms == 0)
        job_print(w, ",\"durability\":\"fsync\"");
    else
        job_print(w, ",\"durability\":\"%ums\"", settings->interval_ms);
    job_print(w, ",\"max_record\":%u", settings->record_size_max != 0 ? settings->record_size_max : RECORD_SIZE_MAX);
}
