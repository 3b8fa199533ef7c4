/* explain.c - neap explain: what a pipeline file amounts to, in words: the way of an event, what is promised for it and why,
 * the topics and groups it makes, and every bound in bytes. The sums are those that the node is opened with. */
#include "base/must.h"
#include "cli/check.h"
#include "cli/session.h"
#include "config/units.h"
#include "flow/destination.h"
#include "node/budget.h"
#include <stdio.h>

#define TEXT_SIZE_MAX 8192u
#define LINE_ROOM     32768u

struct explaining {
    struct cli *cli;
    const struct config *config;
    struct budget budget;
    struct log_disk disk;
};

/* ---- what is known of each kind ---- */

static const struct {
    const char *name, *guarantee, *guarantee_word, *why;
} sinks[] = {
    [CONFIG_SINK_NONE] = { "its topic", "once", "exactly_once",
                           "an event is in its topic when it is accepted, and stays there" },
    [CONFIG_SINK_SQLITE] = { "SQLite", "exactly once into SQLite", "exactly_once",
                             "rows and position are one transaction of the database" },
    [CONFIG_SINK_FILE] = { "a file", "exactly once into the file", "exactly_once",
                           "how far the file is written is committed with the position; after a crash it is cut back "
                           "to "
                           "there" },
    [CONFIG_SINK_STDOUT] = { "standard output", "at least once to standard output", "at_least_once",
                             "what a reader got before a crash it gets again: a pipe does not know what it was given" },
    [CONFIG_SINK_TOPIC] = { "a topic", "exactly once into the topic", "exactly_once",
                            "events and position are one write" },
};

static const char *order_word(const struct config_pipeline *p)
{
    bool keyless = config_is_keyless(p);
    switch (p->order) {
    case CONFIG_ORDER_NONE:
        return "none";
    case CONFIG_ORDER_PARTITION:
        return "partition";
    case CONFIG_ORDER_KEY:
        break;
    }
    return !keyless ? "key" : budget_waiting_count(p) > 0 ? "none" : "partition";
}

/* Where a stage waits, events are at work side by side. */
static void write_order_of_ways(const struct config_pipeline *p, bool keyless, char *room)
{
    if (p->order == CONFIG_ORDER_NONE)
        snprintf(room, TEXT_SIZE_MAX, "none is asked for: events leave as the stages that wait are done with them");
    else if (p->order == CONFIG_ORDER_PARTITION)
        snprintf(room, TEXT_SIZE_MAX,
                 "per partition: one event of it at a time is at work in a stage that waits, and they leave in order");
    else if (!keyless)
        snprintf(room, TEXT_SIZE_MAX,
                 "per key: one event of a key at a time is at work in a stage that waits, many keys side by side, and "
                 "events "
                 "of a key leave in order");
    else
        snprintf(room, TEXT_SIZE_MAX,
                 "none: without a key each event goes for itself through the stages that wait (`order: partition` "
                 "keeps it)");
}

/* What holds, and why; an order that is not asked for may hold all the same. */
static void write_order(const struct explaining *e, const struct config_pipeline *p, char *room)
{
    uint32_t partitions = budget_partitions(e->config, p->source.topic);
    bool keyless = config_is_keyless(p);
    if (budget_waiting_count(p) > 0)
        write_order_of_ways(p, keyless, room);
    else if (p->order == CONFIG_ORDER_NONE)
        snprintf(room, TEXT_SIZE_MAX, "none is asked for; each partition is processed in its order all the same");
    else if (!keyless)
        snprintf(room, TEXT_SIZE_MAX,
                 "per key: events of one key lie in one partition, and a partition is processed in its order");
    else if (partitions == 1)
        snprintf(room, TEXT_SIZE_MAX, "as they came in: there is one partition, and it is processed in its order");
    else
        snprintf(room, TEXT_SIZE_MAX,
                 "within each partition; without a key an event goes to %s partition, so there is none between them",
                 p->parent == NULL && p->source.id.text != NULL ? "its id's" : "any");
}

static void write_source(const struct config_pipeline *p, char *room)
{
    switch (p->source.kind) {
    case CONFIG_SOURCE_FILE:
        snprintf(room, TEXT_SIZE_MAX, "file %s, %s", p->source.path,
                 p->source.follow ? "and goes on as it grows" : "to its end");
        return;
    case CONFIG_SOURCE_STDIN:
        snprintf(room, TEXT_SIZE_MAX, "standard input, to its end");
        return;
    case CONFIG_SOURCE_TOPIC:
        break;
    }
    snprintf(room, TEXT_SIZE_MAX, "topic %s%s%s", p->source.topic, p->parent != NULL ? ", as a branch of " : "",
             p->parent != NULL ? p->parent->name : "");
}

static bool is_branch_of(const struct explaining *e, uint32_t index, const struct config_pipeline *p)
{
    return e->config->pipelines[index].parent == p;
}

/* Who takes an event, of those that the pipeline has for its end. */
static void write_branches(const struct explaining *e, const struct config_pipeline *p, char *room)
{
    const struct config_pipeline *last = NULL;
    size_t size = (size_t)snprintf(room, TEXT_SIZE_MAX,
                                   p->fan == CONFIG_ROUTE ? "the first of its branches" : "each of its branches");
    for (uint32_t i = 0; i < e->config->pipeline_count && size < TEXT_SIZE_MAX; i++) {
        if (!is_branch_of(e, i, p))
            continue;
        const char *before = last == NULL ? " " : ", ";
        last = &e->config->pipelines[i];
        size += (size_t)snprintf(room + size, TEXT_SIZE_MAX - size, "%s%s%s", before, last->branch,
                                 last->condition.text != NULL ? " (if)" : "");
    }
    bool rest = last == NULL || last->condition.text == NULL;
    if (size < TEXT_SIZE_MAX)
        size += (size_t)snprintf(room + size, TEXT_SIZE_MAX - size, "%s",
                                 p->fan != CONFIG_ROUTE ? " that takes it"
                                 : rest                 ? " that takes it"
                                                        : " that takes it; what none takes is filtered (no_route)");
    if (p->sink.kind == CONFIG_SINK_TOPIC && size < TEXT_SIZE_MAX)
        snprintf(room + size, TEXT_SIZE_MAX - size, "; they read topic %s", p->sink.topic);
}

static void write_stages(const struct config_pipeline *p, char *room)
{
    size_t size = 0;
    room[0] = '\0';
    for (uint32_t i = 0; i < p->stage_count && size < TEXT_SIZE_MAX; i++)
        size += (size_t)snprintf(room + size, TEXT_SIZE_MAX - size, "%s%s%s%s", i > 0 ? " -> " : "", p->stages[i].name,
                                 p->stages[i].condition.text != NULL ? " (if)" : "",
                                 p->stages[i].continue_on_error ? " (goes on after an error)" : "");
    if (p->stage_count == 0)
        snprintf(room, TEXT_SIZE_MAX, "nothing: events go on as they came");
}

static void write_sink(const struct config_sink *s, char *room)
{
    static const char *const modes[] = {
        [CONFIG_INSERT] = "insert", [CONFIG_UPSERT] = "upsert", [CONFIG_IGNORE] = "ignore"
    };
    size_t size = 0;
    switch (s->kind) {
    case CONFIG_SINK_NONE:
        snprintf(room, TEXT_SIZE_MAX, "nowhere: events stay in their topic");
        return;
    case CONFIG_SINK_STDOUT:
        snprintf(room, TEXT_SIZE_MAX, "standard output, a line each");
        return;
    case CONFIG_SINK_FILE:
        snprintf(room, TEXT_SIZE_MAX, "file %s, a line each", s->path);
        return;
    case CONFIG_SINK_TOPIC:
        snprintf(room, TEXT_SIZE_MAX, "topic %s, with %s", s->topic,
                 s->topic_key.text != NULL ? "a key of its own" : "the key they have");
        return;
    case CONFIG_SINK_SQLITE:
        break;
    }
    size = (size_t)snprintf(room, TEXT_SIZE_MAX, "SQLite %s, table %s, %u column%s, %s", s->path, s->table,
                            s->column_count, s->column_count == 1 ? "" : "s", modes[s->mode]);
    for (uint32_t i = 0; i < s->key_count && size < TEXT_SIZE_MAX; i++)
        size += (size_t)snprintf(room + size, TEXT_SIZE_MAX - size, "%s%s", i == 0 ? ", key " : ", ", s->key[i]);
}

/* ---- pipelines, for people ---- */

static void say_part(struct cli *cli, const char *what, const char *text)
{
    out_print(cli, "  %-13s ", what);
    out_stranger(cli, bytes_of_text(text));
    out_print(cli, "\n");
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* Whom it asks, without what may be a secret. */
static void write_call(const struct explaining *e, const struct config_stage *stage, char *room)
{
    char name[DESTINATION_NAME_SIZE_MAX], size[32];
    struct bytes destination = BYTES("an address out of the event");
    if (stage->call.url.text != NULL)
        (void)destination_name_of(bytes_of_text(stage->call.url.text), name, &destination);
    size_t used =
        (size_t)snprintf(room, TEXT_SIZE_MAX, "%s to %.*s, at least once, with the same Idempotency-Key",
                         config_method_word(stage->call.method), (int)destination.size, (const char *)destination.at);
    if (stage->call.into != NULL)
        used += (size_t)snprintf(room + used, TEXT_SIZE_MAX - used, "; answers of up to %s become %s",
                                 cli_size_text(size, budget_call(&e->budget, stage).answer_size_max), stage->call.into);
    if (stage->call.cache.by.text != NULL && used < TEXT_SIZE_MAX)
        snprintf(room + used, TEXT_SIZE_MAX - used, "; those of one %s are asked for once", stage->call.cache.by.text);
}

/* Of each stage that waits for something outside. */
static void say_manners(struct explaining *e, const struct config_pipeline *p)
{
    struct cli *cli = e->cli;
    char text[TEXT_SIZE_MAX], manners[1024];
    for (uint32_t i = 0; i < p->stage_count; i++) {
        config_manners_text(&p->stages[i], manners, sizeof manners);
        if (manners[0] == '\0')
            continue;
        snprintf(text, sizeof text, "%s: %s", p->stages[i].name, manners);
        say_part(cli, "waits at", text);
        if (p->stages[i].kind != CONFIG_STAGE_CALL)
            continue;
        write_call(e, &p->stages[i], text);
        say_part(cli, "", text);
    }
}

static void explain_way(struct explaining *e, const struct config_pipeline *p)
{
    struct cli *cli = e->cli;
    char text[TEXT_SIZE_MAX];
    uint32_t partitions = budget_partitions(e->config, p->source.topic);
    write_source(p, text);
    say_part(cli, "reads", text);
    if (p->source.kind != CONFIG_SOURCE_TOPIC) {
        snprintf(text, sizeof text, "topic %s, %u partition%s; how far it has read is in the same write",
                 p->source.topic, partitions, plural(partitions));
        say_part(cli, "keeps them in", text);
    }
    if (p->source.key.text != NULL)
        say_part(cli, "key", p->source.key.text);
    if (p->source.id.text != NULL)
        say_part(cli, "id", p->source.id.text);
    if (p->source.time.text != NULL)
        say_part(cli, "time", p->source.time.text);
    write_stages(p, text);
    bool each = p->fan != CONFIG_FAN_NONE && p->sink.kind == CONFIG_SINK_NONE && p->stage_count > 0;
    size_t size = strlen(text);
    if (each && size < sizeof text)
        snprintf(text + size, sizeof text - size, ", in each branch");
    say_part(cli, "through", text);
    say_manners(e, p);
    if (p->fan != CONFIG_FAN_NONE)
        write_branches(e, p, text);
    else
        write_sink(&p->sink, text);
    say_part(cli, "delivers to", text);
}

/* Each branch has an order, a guarantee and a position of its own. */
static bool ends_in_branches(const struct config_pipeline *p)
{
    return p->fan != CONFIG_FAN_NONE && p->sink.kind == CONFIG_SINK_NONE;
}

static void explain_pipeline(struct explaining *e, const struct config_pipeline *p)
{
    struct cli *cli = e->cli;
    char text[TEXT_SIZE_MAX], size[32];
    uint32_t partitions = budget_partitions(e->config, p->source.topic);
    out_print(cli, "%s %s\n", p->parent != NULL ? "branch" : "pipeline", p->name);
    explain_way(e, p);
    if (ends_in_branches(p)) {
        if (p->source.kind != CONFIG_SOURCE_TOPIC) {
            snprintf(text, sizeof text, "topic %s, what the source cannot read", p->dead_letter);
            say_part(cli, "gives up into", text);
        }
        out_print(cli, "\n");
        return;
    }
    write_order(e, p, text);
    say_part(cli, "order", text);
    snprintf(text, sizeof text, "%s: %s%s", sinks[p->sink.kind].guarantee, sinks[p->sink.kind].why,
             p->guarantee == CONFIG_AT_LEAST_ONCE && p->sink.kind != CONFIG_SINK_STDOUT
                 ? " (at least once was asked for; this is more)"
                 : "");
    say_part(cli, "guarantee", text);
    snprintf(text, sizeof text, "topic %s, with reason and place", p->dead_letter);
    say_part(cli, "gives up into", text);
    if (p->sink.kind == CONFIG_SINK_NONE) {
        out_print(cli, "\n");
        return;
    }
    uint32_t count = budget_kit_count(&e->budget, e->config, p, partitions);
    snprintf(text, sizeof text, "batches of up to %s, %u of %u partition%s at one time",
             cli_size_text(size, budget_batch_size(&e->budget, p)), count, partitions, plural(partitions));
    say_part(cli, "works in", text);
    if (budget_waiting_count(p) > 0) {
        struct window_options window = budget_window(&e->budget, p);
        snprintf(text, sizeof text, "up to %u events of a partition at one time, in %s", window.slot_count,
                 cli_size_text(size, window.size + window.reserve));
        say_part(cli, "on their way", text);
    }
    if (config_dedup(p) != NULL) {
        char duration[UNITS_TEXT_SIZE];
        units_duration_text(duration, (uint64_t)config_dedup(p)->dedup.time_ms);
        snprintf(text, sizeof text,
                 "ids of %s, %u in each partition at most; beyond that the oldest are forgotten first", duration,
                 budget_dedup_count(e->config, p, partitions));
        say_part(cli, "remembers", text);
    }
    snprintf(text, sizeof text, "group %s%s", p->name,
             p->sink.kind == CONFIG_SINK_SQLITE ? ", and in table neap_offsets of the database, whose word counts"
                                                : "");
    say_part(cli, "position in", text);
    if (p->was != NULL) {
        snprintf(text, sizeof text, "pipeline %s, which it was", p->was);
        say_part(cli, "takes over", text);
    }
    out_print(cli, "\n");
}

/* ---- topics ---- */

enum role { ROLE_SOURCE, ROLE_DEAD, ROLE_DEDUP, ROLE_SINK, ROLE_READ, ROLE_LISTED, ROLE_COUNT };

static const char *topic_of(const struct config_pipeline *p, enum role role)
{
    switch (role) {
    case ROLE_SOURCE:
        return p->source.kind != CONFIG_SOURCE_TOPIC ? p->source.topic : NULL;
    case ROLE_READ:
        return p->source.kind == CONFIG_SOURCE_TOPIC ? p->source.topic : NULL;
    case ROLE_DEAD:
        return p->dead_letter;
    case ROLE_DEDUP:
        return p->dedup_topic;
    case ROLE_SINK:
        return p->sink.kind == CONFIG_SINK_TOPIC ? p->sink.topic : NULL;
    case ROLE_LISTED:
    case ROLE_COUNT:
        break;
    }
    return NULL;
}

/* Every topic of the file once, with the first of its roles; each() gets the pipeline or NULL. */
static void each_topic(struct explaining *e,
                       void (*each)(struct explaining *e, const char *topic, enum role role, const char *pipeline))
{
    const struct config *c = e->config;
    for (uint32_t i = 0; i < c->pipeline_count * ROLE_LISTED + c->topic_count; i++) {
        bool listed = i >= c->pipeline_count * ROLE_LISTED, seen = false;
        const struct config_pipeline *p = listed ? NULL : &c->pipelines[i % c->pipeline_count];
        enum role role = listed ? ROLE_LISTED : (enum role)(i / c->pipeline_count);
        const char *name = listed ? c->topics[i - c->pipeline_count * ROLE_LISTED].name : topic_of(p, role);
        for (uint32_t k = 0; k < i && k < c->pipeline_count * ROLE_LISTED && name != NULL; k++) {
            const char *other = topic_of(&c->pipelines[k % c->pipeline_count], (enum role)(k / c->pipeline_count));
            seen = seen || (other != NULL && strcmp(other, name) == 0);
        }
        if (name != NULL && !seen)
            each(e, name, role, p == NULL ? NULL : p->name);
    }
}

static const char *const roles[] = {
    [ROLE_SOURCE] = "filled by the source of",
    [ROLE_DEAD] = "dead letters of",
    [ROLE_DEDUP] = "ids remembered by",
    [ROLE_SINK] = "filled by",
    [ROLE_READ] = "read by",
    [ROLE_LISTED] = "in the file, and nobody's",
};

static void say_topic(struct explaining *e, const char *topic, enum role role, const char *pipeline)
{
    char keeps[LINE_SETTINGS_SIZE];
    uint32_t partitions = budget_partitions(e->config, topic);
    struct log_topic_settings settings = node_topic_settings(e->config, topic);
    out_print(e->cli, "  topic %-20s %5u partition%s  %s%s%s; %s\n", topic, partitions, partitions == 1 ? " " : "s",
              roles[role], pipeline != NULL ? " " : "", pipeline != NULL ? pipeline : "",
              settings_text(&settings, keeps));
}

static void say_groups(struct explaining *e)
{
    for (uint32_t i = 0; i < e->config->pipeline_count; i++) {
        const struct config_pipeline *p = &e->config->pipelines[i];
        if (p->sink.kind != CONFIG_SINK_NONE)
            out_print(e->cli, "  group %-20s reads topic %s\n", p->name, p->source.topic);
    }
}

/* ---- bounds ---- */

static bool has_compacted_topic(const struct config *c)
{
    for (uint32_t i = 0; i < c->topic_count; i++)
        if (node_topic_settings(c, c->topics[i].name).cleanup == LOG_CLEANUP_COMPACT)
            return true;
    return false;
}

static void say_memory(struct explaining *e)
{
    const struct budget *b = &e->budget;
    char size[32], limit[32];
    out_print(e->cli, "memory: %s of %s\n", cli_size_text(size, b->sum), cli_size_text(limit, e->config->memory_size));
    for (uint32_t i = 0; i < b->term_count; i++)
        out_print(e->cli, "  %-24s %12s\n", b->terms[i].what, cli_size_text(size, b->terms[i].size));
    out_print(e->cli, "  %-24s %12s\n", "sum", cli_size_text(size, b->sum));
    if (has_compacted_topic(e->config))
        out_print(e->cli, "  beside it, while a compacted topic is cleaned: three times its largest batch, unpacked\n");
}

static void say_disk(struct explaining *e)
{
    char size[32];
    const struct log_disk *d = &e->disk;
    out_print(e->cli, "\ndisk: %s%s\n", cli_size_text(size, d->size),
              e->config->disk.size == 0 && e->config->disk.percent == 0 ? ", of what is free there now" : "");
    out_print(e->cli, "  %-24s %12s  beyond it producers are told to wait\n", "events", cli_size_text(size, d->events));
    out_print(e->cli, "  %-24s %12s  beyond it pipelines wait, too\n", "work of pipelines",
              cli_size_text(size, d->pipelines));
    out_print(e->cli, "  %-24s %12s\n", "cleaning up", cli_size_text(size, d->cleaning));
    out_print(e->cli, "  %-24s %12s  in files of", "sum", cli_size_text(size, d->events + d->pipelines + d->cleaning));
    out_print(e->cli, " %s, %u of them ready\n", cli_size_text(size, d->file_size), d->ready_count);
    if (d->journal < d->size)
        out_print(e->cli,
                  "  %-24s %12s  of it, whatever `disk` is: the rest is for archives of compacted and drained topics\n",
                  "journal at most", cli_size_text(size, d->journal));
}

static void say_all(struct explaining *e)
{
    struct cli *cli = e->cli;
    for (uint32_t i = 0; i < e->config->pipeline_count; i++)
        explain_pipeline(e, &e->config->pipelines[i]);
    out_print(cli, "made in %s, where they are missing\n", e->config->data);
    each_topic(e, say_topic);
    say_groups(e);
    out_print(cli, "\n");
    say_memory(e);
    say_disk(e);
}

/* ---- the same as JSON ---- */

static void member(struct writer *w, const char *name, const char *text)
{
    write_bytes(w, writer_size(w) == 0 ? BYTES("{") : BYTES(","));
    json_write_text(w, bytes_of_text(name));
    write_u8(w, ':');
    json_write_text(w, bytes_of_text(text));
}

static void number(struct writer *w, const char *name, uint64_t n)
{
    write_u8(w, ',');
    json_write_text(w, bytes_of_text(name));
    write_u8(w, ':');
    json_write_int(w, (int64_t)n);
}

static void write_line(struct cli *cli, struct writer *w)
{
    write_bytes(w, BYTES("}\n"));
    must(!w->full);
    out_write(cli, writer_bytes(w));
}

/* "manners": {NAME: WORDS} of the stages that wait. */
static void list_manners(struct writer *w, const struct config_pipeline *p)
{
    char manners[1024];
    const char *before = ",\"manners\":{";
    for (uint32_t i = 0; i < p->stage_count; i++) {
        config_manners_text(&p->stages[i], manners, sizeof manners);
        if (manners[0] == '\0')
            continue;
        write_bytes(w, bytes_of_text(before));
        json_write_text(w, bytes_of_text(p->stages[i].name));
        write_u8(w, ':');
        json_write_text(w, bytes_of_text(manners));
        before = ",";
    }
    write_bytes(w, before[1] == '\0' ? BYTES("}") : BYTES(""));
}

static void list_pipeline(struct explaining *e, const struct config_pipeline *p)
{
    uint8_t room[LINE_ROOM * 6];
    char text[TEXT_SIZE_MAX];
    struct writer w = writer_of(room, sizeof room);
    uint32_t partitions = budget_partitions(e->config, p->source.topic);
    member(&w, "pipeline", p->name);
    write_source(p, text);
    member(&w, "reads", text);
    member(&w, "topic", p->source.topic);
    number(&w, "partitions", partitions);
    write_stages(p, text);
    member(&w, "stages", text);
    list_manners(&w, p);
    if (p->parent != NULL)
        member(&w, "branch_of", p->parent->name);
    if (p->fan != CONFIG_FAN_NONE)
        write_branches(e, p, text);
    else
        write_sink(&p->sink, text);
    member(&w, "sink", text);
    if (!ends_in_branches(p)) {
        member(&w, "order", order_word(p));
        member(&w, "guarantee", sinks[p->sink.kind].guarantee_word);
        member(&w, "why", sinks[p->sink.kind].why);
    }
    member(&w, "dead_letter", p->dead_letter);
    if (p->sink.kind != CONFIG_SINK_NONE) {
        member(&w, "group", p->name);
        number(&w, "batch_size", budget_batch_size(&e->budget, p));
        number(&w, "partitions_at_once", budget_kit_count(&e->budget, e->config, p, partitions));
    }
    write_line(e->cli, &w);
}

static void list_topic(struct explaining *e, const char *topic, enum role role, const char *pipeline)
{
    uint8_t room[4096];
    struct writer w = writer_of(room, sizeof room);
    member(&w, "topic", topic);
    number(&w, "partitions", budget_partitions(e->config, topic));
    member(&w, "role", roles[role]);
    if (pipeline != NULL)
        member(&w, "pipeline", pipeline);
    char keeps[LINE_SETTINGS_SIZE];
    struct log_topic_settings settings = node_topic_settings(e->config, topic);
    member(&w, "keeps", settings_text(&settings, keeps));
    write_line(e->cli, &w);
}

static void list_memory(struct explaining *e)
{
    uint8_t room[1024];
    const struct budget *b = &e->budget;
    for (uint32_t i = 0; i <= b->term_count; i++) {
        struct writer w = writer_of(room, sizeof room);
        bool last = i == b->term_count;
        member(&w, "memory", last ? "sum" : b->terms[i].what);
        number(&w, "size", last ? b->sum : b->terms[i].size);
        if (last)
            number(&w, "limit", e->config->memory_size);
        write_line(e->cli, &w);
    }
}

static void list_disk(struct explaining *e)
{
    const struct log_disk *d = &e->disk;
    const struct {
        const char *what;
        uint64_t size;
    } terms[] = { { "events", d->events },
                  { "work of pipelines", d->pipelines },
                  { "cleaning up", d->cleaning },
                  { "sum", d->events + d->pipelines + d->cleaning } };
    uint8_t room[1024];
    for (uint32_t i = 0; i < COUNT_OF(terms); i++) {
        struct writer w = writer_of(room, sizeof room);
        member(&w, "disk", terms[i].what);
        number(&w, "size", terms[i].size);
        if (i + 1 == COUNT_OF(terms)) {
            number(&w, "limit", d->size);
            number(&w, "file_size", d->file_size);
            number(&w, "ready_files", d->ready_count);
            number(&w, "journal_max", d->journal < d->size ? d->journal : d->size);
        }
        write_line(e->cli, &w);
    }
}

static void list_all(struct explaining *e)
{
    for (uint32_t i = 0; i < e->config->pipeline_count; i++)
        list_pipeline(e, &e->config->pipelines[i]);
    each_topic(e, list_topic);
    list_memory(e);
    list_disk(e);
}

int cli_explain(struct cli *cli)
{
    struct config *config = NULL;
    int code = check_load(cli, cli->word_count > 0 ? cli->words[0] : "neap.yaml", &config);
    if (code != CLI_OK)
        return code;
    struct explaining e = { .cli = cli, .config = config };
    struct error error = { 0 };
    budget_of(config, &e.budget);
    struct log_options options = e.budget.log;
    options.path = config->data;
    options.disk_size = config->disk.size;
    options.disk_percent = config->disk.percent;
    if (log_disk_plan(cli->io, &options, &e.disk, &error) != NEAP_OK)
        code = say_error(cli, &error);
    else if (cli->flags[FLAG_JSON] != NULL)
        list_all(&e);
    else
        say_all(&e);
    config_free(&config);
    return code;
}
