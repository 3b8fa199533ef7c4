/* manners_text.c - what a stage's manners come to, in words: for neap explain. Only what its kind keeps is told. */
#include "config/manners.h"
#include "config/units.h"
#include <stdarg.h>
#include <stdio.h>

struct words {
    const struct key *kind;
    const char *before;
    struct writer w;
};

__attribute__((format(printf, 2, 3))) static void say(struct words *words, const char *format, ...)
{
    char text[400];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(text, sizeof text, format, values);
    va_end(values);
    write_bytes(&words->w, bytes_of_text(words->before));
    write_bytes(&words->w,
                (struct bytes){ (const uint8_t *)text, size < (int)sizeof text ? (size_t)size : sizeof text - 1 });
    words->before = ", ";
}

struct time_text {
    char text[UNITS_TEXT_SIZE];
};

static struct time_text time_text(int64_t ms)
{
    struct time_text t;
    units_duration_text(t.text, (uint64_t)ms);
    return t;
}

struct range_text {
    char text[2 * UNITS_TEXT_SIZE + 2];
};

static struct range_text range_text(const struct config_times *times)
{
    struct range_text t;
    bool one = times->least_ms == times->most_ms;
    snprintf(t.text, sizeof t.text, "%s%s%s", time_text(times->least_ms).text, one ? "" : "..",
             one ? "" : time_text(times->most_ms).text);
    return t;
}

static void say_limit(struct words *words, const struct config_limit *limit)
{
    const char *unit = limit->period_ms == 1000          ? "s"
                       : limit->period_ms == 60 * 1000   ? "m"
                       : limit->period_ms == 3600 * 1000 ? "h"
                                                         : "d";
    if (limit->count > 0)
        say(words, "%u/%s%s%.200s", limit->count, unit, limit->per.text == NULL ? "" : " for each ",
            limit->per.text == NULL ? "" : limit->per.text);
}

static void say_retry(struct words *words, const struct config_retry *retry)
{
    if (retry->attempts == 1)
        say(words, "one attempt");
    else if (retry->attempts > 1)
        say(words, "%u attempts with %s between them", retry->attempts, range_text(&retry->backoff).text);
    if (retry->attempts > 1 && manner_is_kept(words->kind, "retry", "budget"))
        say(words, "retries up to %u%% of successes", retry->budget_percent);
}

static void say_breaker(struct words *words, const struct config_breaker *b)
{
    say(words, "a breaker that opens for %s when %u%% of %u calls fail", range_text(&b->open).text, b->failure_percent,
        b->window);
    if (b->slow_call_ms > 0)
        say(words, "or %u%% of them take %s", b->slow_percent, time_text(b->slow_call_ms).text);
}

void config_manners_text(const struct config_stage *stage, char *room, size_t size)
{
    const struct config_manners *m = &stage->manners;
    struct words words = { .kind = manner_kind(IN_STAGE, (int)stage->kind),
                           .before = "",
                           .w = writer_of(room, size - 1) };
    if (manner_is_kept(words.kind, "timeout", NULL))
        say(&words, "%s for an attempt", time_text(m->timeout_ms).text);
    if (manner_is_kept(words.kind, "concurrency", NULL) && m->concurrency.least == m->concurrency.most)
        say(&words, "%u at once", m->concurrency.most);
    else if (manner_is_kept(words.kind, "concurrency", NULL))
        say(&words, "%u to %u at once, as the destination can take", m->concurrency.least, m->concurrency.most);
    if (manner_is_kept(words.kind, "pool", NULL) && m->pool != NULL)
        say(&words, "on threads of pool %.100s", m->pool);
    if (manner_is_kept(words.kind, "limit", NULL))
        say_limit(&words, &m->limit);
    if (manner_is_kept(words.kind, "retry", NULL))
        say_retry(&words, &m->retry);
    if (manner_is_kept(words.kind, "breaker", NULL))
        say_breaker(&words, &m->breaker);
    room[writer_size(&words.w)] = '\0';
}
