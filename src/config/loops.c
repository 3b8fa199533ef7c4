#include "config/loops.h"
#include "base/must.h"
#include "config/limits.h"
#include <stdio.h>
#include <string.h>

#define WAY_SIZE_MAX 1024u

struct search {
    const struct config *config;
    uint32_t first;                                   /* where it has to end; earlier ones have been looked at */
    uint32_t queue[CONFIG_CONSUMER_COUNT_MAX], count; /* reached, nearest first */
    uint32_t before[CONFIG_CONSUMER_COUNT_MAX];       /* by whom */
    bool reached[CONFIG_CONSUMER_COUNT_MAX];
};

static bool feeds(const struct config *config, uint32_t writer, uint32_t reader)
{
    const struct config_sink *sink = &config->pipelines[writer].sink;
    const char *topic = config->pipelines[reader].source.topic;
    return writer != reader && sink->kind == CONFIG_SINK_TOPIC && sink->topic != NULL && topic != NULL &&
           strcmp(sink->topic, topic) == 0;
}

static void reach_from(struct search *s, uint32_t index)
{
    for (uint32_t i = s->first + 1; i < s->config->pipeline_count; i++) {
        if (s->reached[i] || !feeds(s->config, index, i))
            continue;
        s->reached[i] = true;
        s->before[i] = index;
        s->queue[s->count++] = i;
    }
}

/* The last pipeline of the shortest loop that begins with `first`. */
static bool find_loop(struct search *s, uint32_t *ret_last)
{
    reach_from(s, s->first);
    for (uint32_t at = 0; at < s->count; at++) {
        if (feeds(s->config, s->queue[at], s->first)) {
            *ret_last = s->queue[at];
            return true;
        }
        reach_from(s, s->queue[at]);
    }
    return false;
}

static void tell(const struct search *s, uint32_t last, struct config_messages *messages)
{
    uint32_t way[CONFIG_CONSUMER_COUNT_MAX + 1], count = 0;
    char text[WAY_SIZE_MAX];
    for (uint32_t i = last; i != s->first; i = s->before[i])
        way[count++] = i;
    way[count++] = s->first;
    size_t size = 0;
    while (count > 0 && size < sizeof text) {
        const struct config_pipeline *p = &s->config->pipelines[way[--count]];
        size += (size_t)snprintf(text + size, sizeof text - size, "%s -> topic %s -> ", p->name, p->sink.topic);
    }
    message_error(messages, s->config->pipelines[s->first].sink.place, "events would go round without end: %s%s", text,
                  size < sizeof text ? s->config->pipelines[s->first].name : " ...");
}

void loops_check(const struct config *config, struct config_messages *messages)
{
    must(config->pipeline_count <= CONFIG_CONSUMER_COUNT_MAX);
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        struct search search = { .config = config, .first = i };
        uint32_t last;
        if (find_loop(&search, &last))
            tell(&search, last, messages);
    }
}
