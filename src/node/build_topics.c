/* build_topics.c - the topics of a pipeline file: made with their settings, or changed to what the file says.
 *
 * What the file writes of a topic that is there holds from now on; what it does not write stays as it is, so that a line
 * that is taken out frees nothing. A topic that is new gets the defaults for what it is (docs/pipeline-file.md).
 *
 * B1  Partitions never become fewer: their events would have nowhere to be.
 * B2  They become more only where no event of a key can overtake an earlier one: where all that is there has been
 *     processed, or has no keys. And where events with keys are, only with `move_keys`. */
#include "flow/dead_letter.h"
#include "node/node_parts.h"
#include <stdarg.h>
#include <stdio.h>

#define MINUTE_MS 60000
#define DAY_MS    86400000

/* ---- settings ------------------------------------------------------------------------------------------------------ */

static void set_retention(struct log_topic_settings *s, const struct config_retention *retention)
{
    s->retention = retention->kind == CONFIG_RETAIN_DONE ? LOG_RETAIN_DONE : LOG_RETAIN_LIMITS;
    s->retention_ms = retention->time_ms > 0 ? retention->time_ms : -1;
    s->retention_size = retention->size > 0 ? (int64_t)retention->size : -1;
}

/* What the file writes, over what holds already. */
static void set_written(struct log_topic_settings *s, const struct config_topic *topic)
{
    if (topic->cleanup != CONFIG_CLEANUP_DEFAULT)
        s->cleanup = topic->cleanup == CONFIG_CLEANUP_COMPACT ? LOG_CLEANUP_COMPACT : LOG_CLEANUP_DELETE;
    if (topic->retention.kind != CONFIG_RETAIN_DEFAULT)
        set_retention(s, &topic->retention);
    else if (s->cleanup == LOG_CLEANUP_COMPACT && topic->cleanup != CONFIG_CLEANUP_DEFAULT)
        set_retention(s, &(struct config_retention){ .kind = CONFIG_RETAIN_FOREVER });
    if (topic->durability.kind != CONFIG_DURABILITY_DEFAULT)
        s->interval_ms = (uint32_t)topic->durability.interval_ms;
    if (topic->record_size_max != 0)
        s->record_size_max = (uint32_t)topic->record_size_max;
}

struct log_topic_settings node_topic_settings(const struct config *config, const char *name)
{
    struct log_topic_settings s = LOG_SETTINGS_USUAL;
    const struct config_topic *topic = config_topic_find(config, name);
    enum config_topic_role role = config_topic_role(config, name);
    if (role == CONFIG_TOPIC_SOURCE || role == CONFIG_TOPIC_OUT)
        set_retention(&s, &(struct config_retention){ .kind = CONFIG_RETAIN_DONE });
    if (role == CONFIG_TOPIC_DEAD)
        set_retention(&s, &(struct config_retention){ .kind = CONFIG_RETAIN_FOREVER });
    for (uint32_t i = 0; role == CONFIG_TOPIC_DEDUP && i < config->pipeline_count; i++) {
        const struct config_pipeline *p = &config->pipelines[i];
        int64_t time_ms = config_dedup(p) != NULL ? config_dedup(p)->dedup.time_ms : 0;
        int64_t more_ms =
            time_ms < DAY_MS ? time_ms / 512 + MINUTE_MS : time_ms / 24; /* a step of the table, and more */
        if (time_ms > 0 && strcmp(p->dedup_topic, name) == 0)
            set_retention(&s, &(struct config_retention){ .time_ms = (time_ms + more_ms) / 1000 * 1000 });
    }
    if (topic != NULL)
        set_written(&s, topic);
    return s;
}

static bool settings_equal(const struct log_topic_settings *a, const struct log_topic_settings *b)
{
    return a->retention == b->retention && a->cleanup == b->cleanup && a->retention_ms == b->retention_ms &&
           a->retention_size == b->retention_size && a->tombstone_ms == b->tombstone_ms &&
           a->interval_ms == b->interval_ms && a->record_size_max == b->record_size_max;
}

/* What a pipeline hands its branches is as wide as what it reads, where the file says nothing else. 0: it is no such topic. */
static uint32_t partitions_of_out(const struct node *n, const char *name)
{
    struct log_topic source;
    for (uint32_t i = 0; i < n->pipeline_count; i++) {
        const struct config_pipeline *p = n->pipelines[i].config;
        if (p->fan != CONFIG_FAN_NONE && p->sink.kind == CONFIG_SINK_TOPIC && strcmp(p->sink.topic, name) == 0 &&
            log_topic_find(n->log, p->source.topic, &source) == NEAP_OK)
            return source.partition_count;
    }
    return 0;
}

enum neap_status build_topic(struct node *n, const char *name, struct log_topic *ret_topic, struct error *err)
{
    struct log_topic_settings settings = node_topic_settings(n->config, name);
    const struct config_topic *topic = config_topic_find(n->config, name);
    uint32_t partitions = topic != NULL ? topic->partitions : 0;
    if (partitions == 0)
        partitions = partitions_of_out(n, name);
    return log_topic_ensure_with(n->client, name, partitions, &settings, build_deadline(n), ret_topic, err);
}

/* ---- changing what is there ------------------------------------------------------------------------------------------ */

static enum neap_status refuse(struct node *n, struct config_place place, struct error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static enum neap_status refuse(struct node *n, struct config_place place, struct error *err, const char *format, ...)
{
    char text[700];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return error_set(err, NEAP_MISUSE, "%s:%u:%u: %s", n->config->file, place.line, place.column, text);
}

/* Whether its events have keys, as far as the file can tell: a topic that others fill may have them. */
static bool has_keys(const struct node *n, const char *topic)
{
    for (uint32_t i = 0; i < n->config->pipeline_count; i++) {
        const struct config_source *source = &n->config->pipelines[i].source;
        if (source->kind != CONFIG_SOURCE_TOPIC && strcmp(source->topic, topic) == 0)
            return source->key.text != NULL;
    }
    return true;
}

/* Events that a pipeline still has to process, and which one. */
static uint64_t still_to_process(struct node *n, const struct log_topic *topic, const char **ret_pipeline)
{
    for (uint32_t i = 0; i < n->config->pipeline_count; i++) {
        const struct config_pipeline *p = &n->config->pipelines[i];
        uint64_t count = 0;
        if (p->sink.kind == CONFIG_SINK_NONE || strcmp(p->source.topic, topic->name) != 0)
            continue;
        for (uint32_t at = 0; at < topic->partition_count; at++) {
            struct log_partition partition = { topic->id, at };
            log_offset from = { 0 }, end = { 0 };
            struct log_commit commit;
            (void)log_partition_range(n->log, partition, &from, &end);
            if (log_offset_get(n->log, p->name, partition, NULL, &commit) == NEAP_OK)
                from = commit.offset;
            count += end.n > from.n ? end.n - from.n : 0;
        }
        *ret_pipeline = p->name;
        if (count > 0)
            return count;
    }
    return 0;
}

static uint64_t events_in(struct node *n, const struct log_topic *topic)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        log_offset end = { 0 };
        (void)log_partition_end(n->log, (struct log_partition){ topic->id, i }, &end);
        sum += end.n;
    }
    return sum;
}

static enum neap_status check_partitions(struct node *n, const struct config_topic *c, const struct log_topic *topic,
                                         struct error *err)
{
    const char *pipeline = NULL;
    if (c->partitions == 0 || c->partitions == topic->partition_count)
        return NEAP_OK;
    if (c->partitions < topic->partition_count) /* rule B1 */
        return refuse(n, c->partitions_place, err,
                      "topic '%s' has %u partitions, and there cannot be fewer: write 'partitions: %u', or more",
                      topic->name, topic->partition_count, topic->partition_count);
    if (events_in(n, topic) == 0 || !has_keys(n, topic->name)) /* rule B2 */
        return NEAP_OK;
    if (!c->move_keys)
        return refuse(n, c->partitions_place, err,
                      "with %u partitions instead of %u most keys of topic '%s' move to another one, and who reads it "
                      "again from the start meets their events out of order: write 'move_keys: true' beside it to "
                      "consent",
                      c->partitions, topic->partition_count, topic->name);
    uint64_t count = still_to_process(n, topic, &pipeline);
    if (count > 0)
        return refuse(
            n, c->partitions_place, err,
            "pipeline '%s' still has %llu event%s of topic '%s' to process, and with %u partitions instead of "
            "%u later ones of the same key could overtake them: run it with 'partitions: %u' until its lag "
            "is 0 ('neap run --until-idle')",
            pipeline, (unsigned long long)count, count == 1 ? "" : "s", topic->name, c->partitions,
            topic->partition_count, topic->partition_count);
    return NEAP_OK;
}

static enum neap_status alter(struct node *n, const struct config_topic *c, const struct log_topic *topic,
                              const struct log_topic_settings *settings, uint64_t seen, struct error *err)
{
    uint8_t room[LOG_SETTINGS_SIZE];
    struct log_op op = { .kind = LOG_TOPIC_ALTER,
                         .target = { topic->id, 0 },
                         .count = c->partitions,
                         .offset = { c->partitions > topic->partition_count ? seen + 1 : 0 },
                         .revision = topic->revision,
                         .payload = log_settings_encode(settings, room) };
    struct log_unit unit = { .ops = &op, .count = 1 };
    enum neap_status status = log_submit_wait(n->client, &unit, build_deadline(n));
    if (status == NEAP_HELD)
        return refuse(
            n, c->partitions_place, err,
            "the program works with the %u partitions of topic '%s': close the topic before more are asked for",
            topic->partition_count, topic->name);
    if (status == NEAP_CONFLICT)
        return refuse(n, c->partitions_place, err,
                      "topic '%s' was written to or altered while it was looked at: try again", topic->name);
    if (status != NEAP_OK)
        return error_set(err, status, "change topic %s: %s", topic->name, status_text(status));
    logging_info(n->options.logging, "topic changed to what the pipeline file says", LOGGING_TEXT("topic", topic->name),
                 LOGGING_UINT("partitions", c->partitions != 0 ? c->partitions : topic->partition_count));
    return NEAP_OK;
}

static enum neap_status change_topic(struct node *n, const struct config_topic *c, struct error *err)
{
    struct log_topic topic;
    if (log_topic_find(n->log, c->name, &topic) != NEAP_OK)
        return NEAP_OK;
    struct log_topic_settings settings = topic.settings;
    set_written(&settings, c);
    if (settings.retention == LOG_RETAIN_DONE && settings.cleanup == LOG_CLEANUP_COMPACT)
        return refuse(n, c->retention_place, err,
                      "topic '%s' is compacted, which 'retention: done' contradicts: write 'cleanup: delete' beside it",
                      topic.name);
    uint64_t seen = events_in(n, &topic); /* what comes in after this is seen by the log */
    enum neap_status status = check_partitions(n, c, &topic, err);
    bool grows = c->partitions > topic.partition_count;
    if (status != NEAP_OK || (!grows && settings_equal(&settings, &topic.settings)))
        return status;
    return alter(n, c, &topic, &settings, seen, err);
}

/* ---- all of them ------------------------------------------------------------------------------------------------------ */

/* The topic into which the source of that name has written before. */
static bool find_home(struct node *n, const char *pipeline, struct log_topic *ret_topic)
{
    char key[LEDGER_KEY_SIZE_MAX];
    struct bytes value, name = { (const uint8_t *)key, ledger_key(key, pipeline, 'd') };
    struct log_topic topic;
    for (uint32_t i = 0; log_topic_at(n->log, i, &topic); i++) {
        struct log_partition first = { topic.id, 0 };
        if (log_fact_get(n->log, LOG_VIEW_LEDGER, first, name, n->fact_room, &value) == NEAP_OK) {
            *ret_topic = topic;
            return true;
        }
    }
    return false;
}

/* A source that names no topic writes to one of the pipeline's name. When the pipeline is renamed, the topic keeps its
 * name: the events that are in it are still to be processed. */
static const char *source_topic(struct node_pipeline *np, struct log_topic *home)
{
    const struct config_pipeline *p = np->config;
    bool own = p->source.kind != CONFIG_SOURCE_TOPIC && strcmp(p->source.topic, p->name) == 0;
    if (!own || log_topic_find(np->node->log, p->name, home) == NEAP_OK)
        return p->source.topic;
    if (!find_home(np->node, p->name, home) && (p->was == NULL || !find_home(np->node, p->was, home)))
        return p->source.topic;
    logging_info(np->node->options.logging, "the pipeline's own topic keeps its former name",
                 LOGGING_TEXT("pipeline", p->name), LOGGING_TEXT("topic", home->name));
    return home->name;
}

static enum neap_status carry_over(struct node_pipeline *np, struct error *err)
{
    struct node *n = np->node;
    const char *name = np->config->name, *was = np->config->was;
    if (was == NULL || strcmp(was, name) == 0)
        return NEAP_OK;
    enum neap_status status =
        rename_pipeline(n->log, n->client, np->topic.id, np->topic.partition_count, was, name, build_deadline(n), err);
    if (status == NEAP_OK)
        logging_info(n->options.logging, "carried over from its former name", LOGGING_TEXT("pipeline", name),
                     LOGGING_TEXT("was", was));
    else if (status == NEAP_NOTFOUND)
        logging_warn(n->options.logging, "no pipeline of its former name has run here: it starts anew",
                     LOGGING_TEXT("pipeline", name), LOGGING_TEXT("was", was));
    return status == NEAP_EXISTS || status == NEAP_NOTFOUND ? NEAP_OK : status;
}

/* One of the name that pipelines give by themselves says it; any other is told apart by a mark from now on: whoever lists dead letters,
 * or alters the topic, may come before the first of them. */
static enum neap_status build_dead_letters(struct node_pipeline *np, struct error *err)
{
    struct node *n = np->node;
    const char *name = np->config->dead_letter;
    size_t size = strlen(np->config->name);
    enum neap_status status = build_topic(n, name, &np->dead, err);
    bool says_it = strncmp(name, np->config->name, size) == 0 && strcmp(name + size, DEAD_LETTER_SUFFIX) == 0;
    if (status != NEAP_OK || says_it || dead_letter_is_marked(n->log, np->dead.id))
        return status;
    status = dead_letter_mark(n->client, np->dead.id, build_deadline(n));
    return status == NEAP_OK ? status : error_set(err, status, "topic %s: %s", name, status_text(status));
}

/* A new one is as wide as what the pipeline reads. One whose pipeline had another name is still its own. */
static enum neap_status build_dedup(struct node_pipeline *np, struct error *err)
{
    struct node *n = np->node;
    char was[LOG_NAME_SIZE_MAX + 1];
    const char *name = np->config->dedup_topic;
    if (name == NULL)
        return NEAP_OK;
    if (np->config->was != NULL && log_topic_find(n->log, name, &np->ids) != NEAP_OK &&
        (size_t)snprintf(was, sizeof was, "%s.dedup", np->config->was) < sizeof was &&
        log_topic_find(n->log, was, &np->ids) == NEAP_OK)
        return NEAP_OK;
    struct log_topic_settings settings = node_topic_settings(n->config, name);
    return log_topic_ensure_with(n->client, name, np->topic.partition_count, &settings, build_deadline(n), &np->ids,
                                 err);
}

enum neap_status build_topics(struct node *n, struct error *err)
{
    enum neap_status status = NEAP_OK;
    struct log_topic topic;
    for (uint32_t i = 0; i < n->config->topic_count && status == NEAP_OK; i++)
        status = change_topic(n, &n->config->topics[i], err);
    if (status != NEAP_OK)
        return status;
    for (uint32_t i = 0; i < n->pipeline_count && status == NEAP_OK; i++) { /* before any topic of a new name is made */
        struct node_pipeline *np = &n->pipelines[i];
        if (node_parent(np) != NULL)
            np->topic = node_parent(np)->out;
        else
            status = build_topic(n, source_topic(np, &topic), &np->topic, err);
        if (status == NEAP_OK)
            status = carry_over(np, err);
        if (status == NEAP_OK)
            status = build_out(np, err);
        if (status == NEAP_OK)
            status = build_dead_letters(np, err);
        if (status == NEAP_OK)
            status = build_dedup(np, err);
        if (status != NEAP_OK)
            return error_while(err, "pipeline %s", np->config->name);
        np->end_at_open = events_in(n, &np->topic);
    }
    for (uint32_t i = 0; i < n->config->topic_count && status == NEAP_OK; i++)
        status = build_topic(n, n->config->topics[i].name, &topic, err);
    return status;
}
