/* words.c - what a topic keeps and how it syncs, for people. */
#include "cli/session.h"
#include <stdio.h>

/* 7d, 36h, 90m, 5s, 250ms: the largest unit that leaves nothing over. */
static const char *time_text(uint64_t ms, char room[32])
{
    static const struct {
        uint64_t ms;
        const char *name;
    } units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
    for (uint32_t i = 0; i < COUNT_OF(units); i++) {
        if (ms % units[i].ms != 0 || ms < units[i].ms)
            continue;
        snprintf(room, 32, "%llu%s", (unsigned long long)(ms / units[i].ms), units[i].name);
        break;
    }
    return room;
}

const char *settings_text(const struct log_topic_settings *s, char room[LINE_SETTINGS_SIZE])
{
    char time[32] = "0ms", size[32], interval[32] = "0ms";
    bool done = s->retention == LOG_RETAIN_DONE, timed = s->retention_ms >= 0, sized = s->retention_size >= 0;
    time_text((uint64_t)s->retention_ms, time);
    cli_size_text(size, (uint64_t)s->retention_size);
    time_text(s->interval_ms, interval);
    snprintf(room, LINE_SETTINGS_SIZE, "%s%s%s%s%s%s%s%s", done ? "kept until processed" : "kept ",
             done    ? ""
             : timed ? time
             : sized ? ""
                     : "forever",
             done || !sized ? ""
             : timed        ? ", at most "
                            : "up to ",
             done || !sized ? "" : size, done || !sized ? "" : " a partition",
             s->cleanup == LOG_CLEANUP_COMPACT ? ", the newest of each key" : "",
             s->interval_ms > 0 ? ", synced within " : ", synced before the answer",
             s->interval_ms > 0 ? interval : "");
    return room;
}

static int64_t limit_of(struct json_value line, const char *name)
{
    struct json_value v;
    return json_get(line, bytes_of_text(name), &v) && json_kind(v) == JSON_INT && json_int(v) >= 0 ? json_int(v) : -1;
}

const char *line_settings(struct json_value line, char room[LINE_SETTINGS_SIZE])
{
    struct log_topic_settings s = LOG_SETTINGS_DEFAULT;
    if (bytes_equal(line_text(line, "retention"), BYTES("done")))
        s.retention = LOG_RETAIN_DONE;
    if (bytes_equal(line_text(line, "cleanup"), BYTES("compact")))
        s.cleanup = LOG_CLEANUP_COMPACT;
    s.retention_ms = limit_of(line, "retention_ms");
    s.retention_size = limit_of(line, "retention_size");
    s.interval_ms = (uint32_t)line_number(line, "interval_ms");
    return settings_text(&s, room);
}
