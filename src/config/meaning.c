/* meaning.c - each rule that no single value can break alone.
 *
 * What could not be read is NULL here and was said already: a rule that needs it stays silent. */
#include "config/meaning.h"
#include "base/must.h"
#include "config/branches.h"
#include "config/calls.h"
#include "config/limits.h"
#include "config/loops.h"
#include "config/manners.h"
#include "config/messages.h"
#include <strings.h>

struct meaning {
    struct reading *r;
    struct config *config;
    const struct tree_node **nodes; /* of config->pipelines, each where it was written */
    const struct tree_node *now;    /* the pipeline or branch that is looked at */
};

#define PLACE(m, ...) tree_place((m)->now, (const char *const[]){ __VA_ARGS__, NULL })

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Where a key that branches inherit was written: the nearest place upwards. */
static struct config_place place_above(const struct meaning *m, const struct config_pipeline *p, const char *key)
{
    while (p->parent != NULL && tree_find(m->nodes[p - m->config->pipelines], key) == NULL)
        p = p->parent;
    return tree_place(m->nodes[p - m->config->pipelines], (const char *const[]){ key, NULL });
}

/* ---- one pipeline ---------------------------------------------------------------------------------------------------------- */

/* Whether the function is there is known to the program that runs the file, and to nobody else. */
static void check_plugins(struct meaning *m, struct config_pipeline *p)
{
    const struct tree_item *list = tree_find(m->now, "stages");
    const struct tree_item *item = list == NULL ? NULL : list->value->items;
    for (uint32_t i = p->shared_stage_count; i < p->stage_count && item != NULL; i++, item = item->next) {
        struct config_stage *stage = &p->stages[i];
        if (stage->kind != CONFIG_STAGE_PLUGIN || stage->symbol == NULL)
            continue;
        stage->symbol_place = tree_place(item->value, (const char *const[]){ "plugin", "symbol", NULL });
        if (p->sink.kind != CONFIG_SINK_NONE && stage->object == NULL)
            message_warning(m->r->messages, stage->symbol_place,
                            "'%s' is registered by the program that runs this file; whether it is there cannot be "
                            "known here, and 'neap run' has none",
                            shown(bytes_of_text(stage->symbol)).text);
    }
}

static void check_calls(struct meaning *m, const struct config_pipeline *p)
{
    const struct tree_item *list = tree_find(m->now, "stages");
    const struct tree_item *item = list == NULL ? NULL : list->value->items;
    for (uint32_t i = p->shared_stage_count; i < p->stage_count && item != NULL; i++, item = item->next) {
        const struct tree_item *call = tree_find(item->value, "call");
        if (p->stages[i].kind == CONFIG_STAGE_CALL && call != NULL)
            call_check(m->r, &p->stages[i], call->value);
    }
}

/* Who waits, waits in any order; ids are looked at in that of offsets. */
static void check_dedup(struct meaning *m, const struct config_pipeline *p)
{
    const struct tree_item *list = tree_find(m->now, "stages");
    const struct tree_item *item = list == NULL ? NULL : list->value->items;
    const char *waits = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->shared_stage_count; i++)
        count += p->stages[i].kind == CONFIG_STAGE_DEDUP;
    for (uint32_t i = p->shared_stage_count; i < p->stage_count && item != NULL; i++, item = item->next) {
        const struct config_stage *stage = &p->stages[i];
        struct config_place place = tree_place(item->value, (const char *const[]){ "dedup", NULL });
        if (stage->kind != CONFIG_STAGE_DEDUP) {
            waits = config_is_inline(stage->kind) ? waits : stage->name;
            continue;
        }
        if (count++ > 0)
            message_error(m->r->messages, place, "a second 'dedup' in pipeline '%s'; there is at most one", p->name);
        if (waits != NULL)
            message_error(m->r->messages, place,
                          "'dedup' behind '%s', which waits: put it before, where events are in their order", waits);
        if (stage->dedup.id.text == NULL && p->source.kind != CONFIG_SOURCE_TOPIC && p->source.id.text == NULL)
            message_error(m->r->messages, place,
                          "'dedup' needs ids, and the source gives none: write 'id: EXPR' there, or here");
    }
    if (count > 0 && strlen(p->name) + sizeof ".dedup" - 1 > LOG_NAME_SIZE_MAX)
        message_error(m->r->messages, p->place, "the name is too long for the topic of its ids, NAME.dedup");
}

static void check_source(struct meaning *m, const struct config_pipeline *p)
{
    const struct tree_item *source = tree_find(m->now, "source");
    if (source == NULL || p->source.kind != CONFIG_SOURCE_TOPIC || tree_find(source->value, "topic") == NULL)
        return;
    const struct tree_item *key = tree_find(source->value, "key"), *to = tree_find(source->value, "to");
    if (key != NULL)
        message_error(m->r->messages, key->key->place,
                      "events of a topic have their keys already; to give them others, send them on with "
                      "'sink: {topic: {name: NAME, key: EXPR}}' and read that topic");
    if (to != NULL)
        message_error(m->r->messages, to->key->place,
                      "events of a topic lie in it already; 'to' belongs to a file or stdin");
}

static void check_topics(struct meaning *m, const struct config_pipeline *p)
{
    struct config_messages *messages = m->r->messages;
    const struct config_source *source = &p->source;
    if (p->parent == NULL && strlen(p->name) > LOG_NAME_SIZE_MAX - 5 && tree_find(m->now, "dead_letter") == NULL)
        message_error(messages, p->place, "the name is too long for its topic of dead letters, NAME.dead");
    bool own = p->parent == NULL || tree_find(m->now, "dead_letter") != NULL; /* else it was said above */
    if (own && same(p->dead_letter, source->topic))
        message_error(messages, PLACE(m, "dead_letter"), "dead letters would go to '%s', which this pipeline reads",
                      p->dead_letter);
    if (p->sink.kind != CONFIG_SINK_TOPIC || p->sink.topic == NULL)
        return;
    if (same(p->sink.topic, source->topic))
        message_error(messages, PLACE(m, "sink", "topic", "name"), "the pipeline would read what it writes: topic '%s'",
                      p->sink.topic);
    if (same(p->sink.topic, p->dead_letter))
        message_error(messages, PLACE(m, "sink", "topic", "name"), "topic '%s' is this pipeline's dead letters",
                      p->sink.topic);
}

static void check_claims(struct meaning *m, const struct config_pipeline *p)
{
    struct config_messages *messages = m->r->messages;
    if (p->guarantee == CONFIG_EXACTLY_ONCE && p->sink.kind == CONFIG_SINK_STDOUT)
        message_error(
            messages, place_above(m, p, "guarantee"),
            "exactly once cannot hold into stdout, which does not know what it was given; sqlite, file and topic can");
    if (p->start == CONFIG_START_SINK && p->fan != CONFIG_FAN_NONE)
        message_error(messages, PLACE(m, "start"),
                      "'start: sink' takes a sink's word: write it in the branch whose sink is meant");
    else if (p->start == CONFIG_START_SINK && tree_find(m->now, "sink") == NULL)
        message_error(messages, PLACE(m, "start"), "'start: sink' takes the sink's word, and there is no sink");
    else if (p->start == CONFIG_START_SINK && p->sink.kind != CONFIG_SINK_SQLITE)
        message_error(messages, PLACE(m, "start"),
                      "'start: sink' takes the sink's word, and only sqlite keeps a position");
    const struct tree_item *order = tree_find(m->now, "order");
    if (p->order == CONFIG_ORDER_KEY && order != NULL && bytes_equal(order->value->text, BYTES("key")) &&
        config_is_keyless(p))
        message_warning(messages, PLACE(m, "order"),
                        "'order: key' without a 'key' in the source: each event stands alone, in no order");
}

/* ---- the sqlite sink ---------------------------------------------------------------------------------------------------------- */

static bool has_column(const struct config_sink *s, const char *name)
{
    for (uint32_t i = 0; i < s->column_count; i++)
        if (strcasecmp(s->columns[i].name, name) == 0)
            return true;
    return false;
}

/* The place of the index-th key or column. */
static struct config_place place_of_item(struct meaning *m, const char *key, uint32_t index)
{
    const struct tree_item *sqlite = tree_find(tree_find(m->now, "sink")->value, "sqlite");
    const struct tree_item *list = sqlite == NULL ? NULL : tree_find(sqlite->value, key);
    const struct tree_item *item = list == NULL ? NULL : list->value->items;
    for (; item != NULL && index > 0; index--)
        item = item->next;
    if (item == NULL)
        return PLACE(m, "sink", "sqlite", key);
    return item->key != NULL ? item->key->place : item->value->place;
}

static void check_key_columns(struct meaning *m, const struct config_sink *s)
{
    for (uint32_t i = 0; i < s->key_count && s->column_count > 0; i++) {
        if (has_column(s, s->key[i]))
            continue;
        struct nearest nearest = { .wanted = bytes_of_text(s->key[i]) };
        for (uint32_t c = 0; c < s->column_count; c++)
            nearest_offer(&nearest, s->columns[c].name);
        message_error(m->r->messages, place_of_item(m, "key", i), "key '%s' is not among the columns%s%s%s",
                      shown(bytes_of_text(s->key[i])).text, nearest.word == NULL ? "" : "; did you mean '",
                      nearest.word == NULL ? "" : shown(bytes_of_text(nearest.word)).text,
                      nearest.word == NULL ? "" : "'?");
    }
}

/* SQLite does not tell capital letters from small ones. */
static void check_columns(struct meaning *m, const struct config_sink *s)
{
    for (uint32_t i = 0; i < s->column_count; i++)
        for (uint32_t before = 0; before < i; before++)
            if (strcasecmp(s->columns[i].name, s->columns[before].name) == 0)
                message_error(m->r->messages, s->columns[i].expr.place,
                              "column '%s' is there already: to SQLite '%s' is the same",
                              shown(bytes_of_text(s->columns[i].name)).text,
                              shown(bytes_of_text(s->columns[before].name)).text);
}

static void check_sqlite(struct meaning *m, const struct config_pipeline *p)
{
    struct config_messages *messages = m->r->messages;
    const struct config_sink *s = &p->sink;
    if (s->kind != CONFIG_SINK_SQLITE)
        return;
    if (s->table != NULL && s->table[0] == '\0')
        message_error(messages, PLACE(m, "sink", "sqlite", "table"), "the table's name is empty");
    if (s->table != NULL && strcasecmp(s->table, "neap_offsets") == 0)
        message_error(messages, PLACE(m, "sink", "sqlite", "table"),
                      "in 'neap_offsets' Neap keeps its positions; "
                      "choose another table");
    if (s->table != NULL && strncasecmp(s->table, "sqlite_", 7) == 0)
        message_error(messages, PLACE(m, "sink", "sqlite", "table"),
                      "names that begin with 'sqlite_' belong to SQLite");
    bool keyless = tree_find(tree_find(tree_find(m->now, "sink")->value, "sqlite")->value, "key") == NULL;
    if (s->mode == CONFIG_UPSERT && keyless)
        message_error(messages, PLACE(m, "sink", "sqlite", "mode"), "'mode: upsert' needs 'key': which row to replace");
    if (s->mode == CONFIG_IGNORE && keyless)
        message_warning(messages, PLACE(m, "sink", "sqlite", "mode"),
                        "'mode: ignore' without 'key' passes over only what a constraint of an existing table refuses");
    check_key_columns(m, s);
    check_columns(m, s);
}

/* ---- several pipelines ------------------------------------------------------------------------------------------------------------ */

static bool is_filled(const struct config_pipeline *p)
{
    return p->source.kind != CONFIG_SOURCE_TOPIC;
}

static bool writes_file(const struct config_pipeline *p, const char *path)
{
    return (p->sink.kind == CONFIG_SINK_FILE || p->sink.kind == CONFIG_SINK_SQLITE) && same(p->sink.path, path);
}

/* It says so itself, and has not only followed its pipeline. */
static bool says_was(const struct meaning *m, const struct config_pipeline *p)
{
    return p->parent == NULL || tree_find(m->now, "was") != NULL;
}

static void check_pair(struct meaning *m, const struct config_pipeline *first, const struct config_pipeline *p)
{
    struct config_messages *messages = m->r->messages;
    bool both_sqlite = first->sink.kind == CONFIG_SINK_SQLITE && p->sink.kind == CONFIG_SINK_SQLITE;
    if ((p->sink.kind == CONFIG_SINK_FILE || p->sink.kind == CONFIG_SINK_SQLITE) && writes_file(first, p->sink.path) &&
        !both_sqlite)
        message_error(messages, PLACE(m, "sink", p->sink.kind == CONFIG_SINK_FILE ? "file" : "sqlite", "path"),
                      "pipeline '%s' writes this file already", first->name);
    if (p->sink.kind == CONFIG_SINK_STDOUT && first->sink.kind == CONFIG_SINK_STDOUT)
        message_error(messages, PLACE(m, "sink", "stdout"),
                      "pipeline '%s' writes to stdout already: the lines would mix", first->name);
    if (is_filled(p) && is_filled(first) && p->source.kind == CONFIG_SOURCE_STDIN &&
        first->source.kind == CONFIG_SOURCE_STDIN)
        message_error(messages, PLACE(m, "source", "stdin"),
                      "pipeline '%s' reads stdin already; let this one read its topic: 'topic: %s'", first->name,
                      first->source.topic == NULL ? first->name : first->source.topic);
    if (is_filled(p) && is_filled(first) && same(p->source.topic, first->source.topic))
        message_error(messages, PLACE(m, "source", "to"),
                      "the source of pipeline '%s' fills topic '%s' already, and each would process the other's events",
                      first->name, p->source.topic);
    if (same(p->was, first->was) && says_was(m, p))
        message_error(messages, PLACE(m, "was"), "pipeline '%s' takes over from '%s' already", first->name, p->was);
}

/* Rules in which the other pipeline may stand before or behind this one. */
static void check_other(struct meaning *m, const struct config_pipeline *p, const struct config_pipeline *other)
{
    struct config_messages *messages = m->r->messages;
    if (is_filled(p) && other != p && same(p->source.topic, other->dead_letter))
        message_error(messages, PLACE(m, "source", "to"), "topic '%s' is the dead letters of pipeline '%s'",
                      p->source.topic, other->name);
    if (p->sink.kind == CONFIG_SINK_TOPIC && other != p && same(p->sink.topic, other->dead_letter))
        message_error(messages, PLACE(m, "sink", "topic", "name"), "topic '%s' is the dead letters of pipeline '%s'",
                      p->sink.topic, other->name);
    if (p->source.kind == CONFIG_SOURCE_FILE && p->source.path != NULL && writes_file(other, p->source.path))
        message_error(messages, PLACE(m, "source", "file", "path"), "%s%s%s writes this file",
                      other == p ? "the pipeline itself" : "pipeline '", other == p ? "" : other->name,
                      other == p ? "" : "'");
    if (same(p->was, other->name) && says_was(m, p))
        message_error(messages, PLACE(m, "was"),
                      other == p ? "'%s' is the name it has" : "'%s' is a pipeline of this file: it was not renamed",
                      p->was);
}

/* ---- topics ---------------------------------------------------------------------------------------------------------------------- */

static struct config_place place_in(const struct tree_node *topic, const char *key)
{
    return tree_find(topic, key) == NULL ? (struct config_place){ 0 }
                                         : tree_place(topic, (const char *const[]){ key, NULL });
}

static void check_max_record(struct meaning *m, const struct tree_node *node, const struct config_topic *topic)
{
    uint64_t share = m->config->memory_size / CONFIG_RECORD_SHARE;
    if (topic->record_size_max > share && m->config->memory_size != 0)
        message_error(
            m->r->messages, place_in(node, "max_record"),
            "'max_record' of %llu KiB is more than 1/16 of node.memory: that is %llu KiB of %llu KiB; give it "
            "%llu KiB, or the records less",
            (unsigned long long)topic->record_size_max >> 10, (unsigned long long)share >> 10,
            (unsigned long long)m->config->memory_size >> 10,
            (unsigned long long)topic->record_size_max * CONFIG_RECORD_SHARE >> 10);
}

/* Who reads the topic with a sink at the end, and so has a commit point that retention waits for. */
static bool has_reader(const struct config *config, const char *topic)
{
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        if (same(config->pipelines[i].source.topic, topic) && config->pipelines[i].sink.kind != CONFIG_SINK_NONE)
            return true;
    return false;
}

static void check_retention(struct meaning *m, const struct config_topic *topic)
{
    struct config_messages *messages = m->r->messages;
    if (topic->retention.kind != CONFIG_RETAIN_DONE)
        return;
    if (config_topic_role(m->config, topic->name) == CONFIG_TOPIC_DEAD)
        message_error(messages, topic->retention_place,
                      "dead letters are kept until somebody has looked: 'retention: done' would free them unseen; "
                      "write a time such as 30d, or forever");
    else if (topic->cleanup == CONFIG_CLEANUP_COMPACT)
        message_error(messages, topic->retention_place,
                      "'retention: done' frees every event, and 'cleanup: compact' keeps the last one of each key: "
                      "they contradict each other");
    else if (!has_reader(m->config, topic->name))
        message_warning(messages, topic->retention_place,
                        "no pipeline of this file reads topic '%s' into a sink: with 'retention: done' nothing in it "
                        "is ever freed",
                        topic->name);
}

static void check_compact(struct meaning *m, const struct config_topic *topic)
{
    struct config_messages *messages = m->r->messages;
    if (topic->cleanup != CONFIG_CLEANUP_COMPACT)
        return;
    if (config_topic_role(m->config, topic->name) == CONFIG_TOPIC_DEAD) {
        message_error(messages, topic->cleanup_place,
                      "'%s' is dead letters: 'cleanup: compact' would keep only the last one of each key", topic->name);
        return;
    }
    for (uint32_t i = 0; i < m->config->pipeline_count; i++) {
        const struct config_pipeline *p = &m->config->pipelines[i];
        if (is_filled(p) && same(p->source.topic, topic->name) && p->source.key.text == NULL)
            message_error(messages, topic->cleanup_place,
                          "'cleanup: compact' keeps the last event of each key, and the source of pipeline '%s' gives "
                          "its events none: write 'key: EXPR' there",
                          p->name);
        if (is_filled(p) && p->sink.kind == CONFIG_SINK_TOPIC && same(p->sink.topic, topic->name) &&
            p->sink.topic_key.text == NULL && p->source.key.text == NULL)
            message_error(messages, topic->cleanup_place,
                          "'cleanup: compact' keeps the last event of each key, and the events of pipeline '%s' have "
                          "none: write 'key: EXPR' in its source or its sink",
                          p->name);
    }
}

static void check_topic(struct meaning *m, const struct tree_node *node, struct config_topic *topic)
{
    topic->partitions_place = place_in(node, "partitions");
    topic->retention_place = place_in(node, "retention");
    topic->cleanup_place = place_in(node, "cleanup");
    if (topic->move_keys && topic->partitions_place.line == 0)
        message_error(m->r->messages, place_in(node, "move_keys"),
                      "'move_keys' consents to more 'partitions', and none are given");
    check_max_record(m, node, topic);
    check_retention(m, topic);
    check_compact(m, topic);
}

/* The topic between a pipeline and its branches is theirs alone: what somebody else put there, each of them would process. */
static void check_out(struct meaning *m, const struct config_pipeline *p, const struct config_pipeline *other)
{
    if (p->fan == CONFIG_FAN_NONE || p->sink.kind != CONFIG_SINK_TOPIC || other == p)
        return;
    bool fills = (is_filled(other) && same(other->source.topic, p->sink.topic)) ||
                 (other->sink.kind == CONFIG_SINK_TOPIC && same(other->sink.topic, p->sink.topic)) ||
                 same(other->dead_letter, p->sink.topic);
    if (fills)
        message_error(m->r->messages, other->place, "topic '%s' is what pipeline '%s' hands its branches",
                      p->sink.topic, p->name);
}

static void check_pipelines(struct meaning *m)
{
    struct config *config = m->config;
    for (uint32_t i = 0; i < config->pipeline_count && !m->r->starved; i++) {
        struct config_pipeline *p = &config->pipelines[i];
        m->now = m->nodes[i];
        check_plugins(m, p);
        check_calls(m, p);
        check_dedup(m, p);
        check_source(m, p);
        check_topics(m, p);
        check_claims(m, p);
        check_sqlite(m, p);
        for (uint32_t before = 0; before < i; before++)
            check_pair(m, &config->pipelines[before], p);
        for (uint32_t other = 0; other < config->pipeline_count; other++) {
            check_other(m, p, &config->pipelines[other]);
            check_out(m, p, &config->pipelines[other]);
        }
    }
    branches_check_names(m->r, config);
}

void meaning_check(struct reading *r, const struct tree_node *root, struct config *config)
{
    const struct tree_item *pipelines = tree_find(root, "pipelines");
    struct meaning m = { .r = r, .config = config };
    must(config->pipeline_count == 0 || (pipelines != NULL && pipelines->value->count == config->pipeline_count));
    m.nodes = branches_spread(r, pipelines == NULL ? NULL : pipelines->value, config);
    if (m.nodes == NULL)
        return;
    check_pipelines(&m);
    const struct tree_item *node = tree_find(root, "node");
    config->memory_place = node != NULL ? place_in(node->value, "memory") : (struct config_place){ 0 };
    if (config->memory_place.line == 0)
        config->memory_place = (struct config_place){ 1, 1 };
    const struct tree_item *topics = tree_find(root, "topics");
    const struct tree_item *item = topics == NULL ? NULL : topics->value->items;
    for (uint32_t i = 0; i < config->topic_count && item != NULL && !r->starved; i++, item = item->next)
        check_topic(&m, item->value, &config->topics[i]);
    if (!r->starved)
        manners_settle(r, root, m.nodes, config);
    if (!r->starved)
        loops_check(config, r->messages);
}
