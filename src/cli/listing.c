/* listing.c - status, topics and groups: a question, and its answer as a table. */
#include "base/must.h"
#include "cli/table.h"
#include <stdio.h>

struct listing {
    struct table table;
    bool json;
    void (*row)(struct listing *listing, struct json_value line); /* NULL: every line is a row */
    bool unhealthy;
};

static void each_line(struct session *s, void *ctx, struct bytes line)
{
    struct listing *listing = ctx;
    struct json_value root;
    if (json_parse(s->parser, line, &root) != NEAP_OK)
        return;
    if (listing->json) {
        out_write(s->cli, line);
        out_write(s->cli, BYTES("\n"));
        if (listing->row != NULL)
            listing->row(listing, root);
        return;
    }
    if (listing->row != NULL) {
        listing->row(listing, root);
        return;
    }
    table_fill(&listing->table, root);
    table_row(&listing->table);
}

/* `word`: which positional word is the FILE. */
static int list(struct cli *cli, struct request *request, uint32_t word, bool writes,
                const struct table_column *columns, uint32_t column_count,
                void (*row)(struct listing *listing, struct json_value line))
{
    struct session s;
    struct listing listing = { .json = cli->flags[FLAG_JSON] != NULL, .row = row };
    int code = session_open(&s, cli, word < cli->word_count ? cli->words[word] : NULL, writes);
    if (code != CLI_OK)
        return code;
    if (!table_open(&listing.table, cli, columns, column_count)) {
        session_close(&s);
        return CLI_SURROUNDINGS;
    }
    code = session_ask(&s, request_end(request), (struct bytes){ NULL, 0 }, each_line, &listing);
    listing.table.headed = listing.table.headed || listing.json || code != CLI_OK;
    table_close(&listing.table);
    session_close(&s);
    if (code == CLI_OK && listing.unhealthy)
        code = CLI_NO;
    return code;
}

static int ask_name(struct cli *cli, const char *member, const struct table_column *columns, uint32_t column_count)
{
    struct request request;
    request_begin(&request, cli->verb->name);
    if (member != NULL)
        request_text(&request, member, cli->words[0]);
    return list(cli, &request, member != NULL ? 1 : 0, false, columns, column_count, NULL);
}

/* ---- status ---- */

static const struct table_column status_columns[] = {
    { "pipeline", "pipeline", false, false },
    { "state", "state", false, false },
    { "accepted", "accepted", true, false },
    { "filtered", "filtered", true, false },
    { "delivered", "delivered", true, false },
    { "dead_lettered", "dead letters", true, false },
    { "in_flight", "in flight", true, false },
    { NULL, "balance", true, false },
    { "lag", "lag", true, false },
};
#define STATUS_BALANCE 7u

static bool line_is_true(struct json_value line, const char *member)
{
    struct json_value v;
    return json_get(line, bytes_of_text(member), &v) && json_kind(v) == JSON_BOOL && json_bool(v);
}

static void say_age(struct cli *cli, uint64_t seconds)
{
    if (seconds >= 2 * 86400)
        out_print(cli, "%llu days", (unsigned long long)seconds / 86400);
    else if (seconds >= 2 * 3600)
        out_print(cli, "%llu hours", (unsigned long long)seconds / 3600);
    else
        out_print(cli, "%llu minutes", (unsigned long long)seconds / 60);
}

static void say_delay(struct cli *cli, struct json_value line)
{
    struct bytes resumes = line_text(line, "retention_resumes"), jumped = line_text(line, "clock_jumped");
    if (resumes.size == 0)
        return;
    out_print(cli, "the clock  was found ahead by ");
    say_age(cli, line_number(line, "clock_ahead"));
    out_print(cli, " at %.*s: nothing is freed by time before %.*s; if it is wrong, set it right until then\n",
              (int)jumped.size, (const char *)jumped.at, (int)resumes.size, (const char *)resumes.at);
}

static void say_node(struct cli *cli, struct json_value line)
{
    char journal[32], used[32], disk[32];
    struct bytes state = line_text(line, "node"), error = line_text(line, "error");
    cli_size_text(journal, line_number(line, "journal"));
    cli_size_text(used, line_number(line, "disk_live"));
    cli_size_text(disk, line_number(line, "disk"));
    out_print(cli, "node %.*s", (int)state.size, (const char *)state.at);
    if (line_number(line, "pid") > 0)
        out_print(cli, ", pid %llu", (unsigned long long)line_number(line, "pid"));
    out_print(cli, ", journal %s, disk %s of %s", journal, used, disk);
    struct bytes refused = line_text(line, "refused");
    if (refused.size > 0 && !bytes_equal(refused, BYTES("nobody")))
        out_print(cli, ", full: %.*s are refused", (int)refused.size, (const char *)refused.at);
    else if (line_is_true(line, "full"))
        out_print(cli, ", no room for another file");
    if (error.size > 0)
        out_print(cli, ": %.*s", (int)error.size, (const char *)error.at);
    out_print(cli, "\n");
    say_delay(cli, line);
}

static void say_damage(struct cli *cli, struct json_value line)
{
    struct bytes place = line_text(line, "damage"), file = line_text(line, "file"), by = line_text(line, "found_by");
    uint64_t count = line_number(line, "count");
    char number[32];
    out_print(cli, "%sdamaged%s  ", cli->colour_out ? "\033[1;31m" : "", cli->colour_out ? "\033[0m" : "");
    out_stranger(cli, place);
    if (count > 1)
        out_print(cli, " and %s more", cli_number_text(number, count - 1));
    out_print(cli, ", byte %llu of ", (unsigned long long)line_number(line, "byte"));
    out_stranger(cli, file);
    out_print(cli, ", found by a %.*s\n", (int)by.size, (const char *)by.at);
}

/* Lag of a healthy pipeline is nobody's news; events that have waited for a minute are. */
static void say_held(struct cli *cli, struct json_value line)
{
    char number[32];
    uint64_t age = line_number(line, "age");
    if (age < 60)
        return;
    out_print(cli, "held back  topic ");
    out_stranger(cli, line_text(line, "topic"));
    out_print(cli, ": %s events wait for ", cli_number_text(number, line_number(line, "events")));
    out_stranger(cli, line_text(line, "held_by"));
    out_print(cli, ", the oldest for ");
    say_age(cli, age);
    out_print(cli, "; they are not freed before\n");
}

/* The event that holds up a partition of the pipeline, where one has for some time. */
static void say_waits_for(struct cli *cli, struct json_value line)
{
    struct bytes name = line_text(line, "pipeline"), key, stage, error;
    struct json_value held;
    if (!json_get(line, BYTES("waits_for"), &held))
        return;
    key = line_text(held, "key");
    stage = line_text(held, "stage");
    error = line_text(held, "error");
    say(cli, "pipeline %.*s: the event at %llu:%llu (key '%.*s') has been in stage %.*s for %llu s, attempt %llu%s%.*s",
        (int)name.size, (const char *)name.at, (unsigned long long)line_number(held, "partition"),
        (unsigned long long)line_number(held, "offset"), (int)key.size, (const char *)key.at, (int)stage.size,
        (const char *)stage.at, (unsigned long long)line_number(held, "age"),
        (unsigned long long)line_number(held, "attempt"), error.size > 0 ? ": " : "", (int)error.size,
        (const char *)error.at);
}

static void status_row(struct listing *listing, struct json_value line)
{
    struct bytes node = line_text(line, "node"), error = line_text(line, "error"), damage = line_text(line, "damage");
    listing->unhealthy = listing->unhealthy || error.size > 0 || damage.size > 0 || line_is_true(line, "full");
    if (listing->json)
        return;
    struct cli *cli = listing->table.cli;
    if (node.size > 0) {
        say_node(cli, line);
        return;
    }
    if (damage.size > 0) {
        say_damage(cli, line);
        return;
    }
    if (line_text(line, "held_by").size > 0) {
        say_held(cli, line);
        return;
    }
    long long balance = (long long)line_number(line, "accepted") - (long long)line_number(line, "filtered") -
                        (long long)line_number(line, "delivered") - (long long)line_number(line, "dead_lettered") -
                        (long long)line_number(line, "in_flight");
    snprintf(table_cell(&listing->table, STATUS_BALANCE), TABLE_CELL_SIZE_MAX, "%lld", balance);
    table_fill(&listing->table, line);
    table_row(&listing->table);
    say_waits_for(cli, line);
    if (error.size > 0) {
        struct bytes name = line_text(line, "pipeline");
        say(cli, "pipeline %.*s: %.*s", (int)name.size, (const char *)name.at, (int)error.size, (const char *)error.at);
    }
}

int cli_status(struct cli *cli)
{
    struct request request;
    request_begin(&request, "status");
    return list(cli, &request, 0, false, status_columns, COUNT_OF(status_columns), status_row);
}

/* ---- topics ---- */

static const struct table_column topic_columns[] = {
    { "topic", "topic", false, false },     { "partitions", "partitions", true, false },
    { "events", "events", true, false },    { "kept", "kept", true, false },
    { "size", "size", false, true },        { "keeps", "retention", false, false },
    { "cleanup", "cleanup", false, false }, { "durability", "durability", false, false },
};
static const struct table_column partition_columns[] = {
    { "topic", "topic", false, false }, { "partition", "partition", true, false }, { "start", "start", true, false },
    { "end", "end", true, false },      { "size", "size", false, true },           { "oldest", "oldest", false, false },
};

int cli_topic_list(struct cli *cli)
{
    return ask_name(cli, NULL, topic_columns, COUNT_OF(topic_columns));
}

int cli_topic_describe(struct cli *cli)
{
    return ask_name(cli, "topic", partition_columns, COUNT_OF(partition_columns));
}

static void said_row(struct listing *listing, struct json_value line)
{
    struct cli *cli = listing->table.cli;
    struct bytes topic = line_text(line, "topic");
    struct json_value deleted;
    listing->table.headed = true; /* a sentence, no table */
    if (listing->json)
        return;
    if (json_get(line, BYTES("deleted"), &deleted))
        out_print(cli, "deleted topic %.*s\n", (int)topic.size, (const char *)topic.at);
    else
        out_print(cli, "created topic %.*s with %llu partition%s\n", (int)topic.size, (const char *)topic.at,
                  (unsigned long long)line_number(line, "partitions"), line_number(line, "partitions") == 1 ? "" : "s");
}

int cli_topic_create(struct cli *cli)
{
    struct request request;
    uint64_t partitions = 1;
    if (!cli_number(cli, FLAG_PARTITIONS, UINT32_MAX, &partitions))
        return CLI_USAGE;
    request_begin(&request, "topic create");
    request_text(&request, "topic", cli->words[0]);
    request_number(&request, "count", partitions);
    return list(cli, &request, 1, true, topic_columns, COUNT_OF(topic_columns), said_row);
}

int cli_topic_delete(struct cli *cli)
{
    struct request request;
    char question[CLI_WORD_SIZE_MAX + 64];
    snprintf(question, sizeof question, "delete topic %s and all its events?", cli->words[0]);
    int code = cli_confirm(cli, "events", question);
    if (code != CLI_OK)
        return code;
    request_begin(&request, "topic delete");
    request_text(&request, "topic", cli->words[0]);
    return list(cli, &request, 1, true, topic_columns, COUNT_OF(topic_columns), said_row);
}

/* ---- groups ---- */

static const struct table_column group_columns[] = {
    { "group", "group", false, false },
    { "partitions", "partitions", true, false },
    { "lag", "lag", true, false },
};
static const struct table_column group_partition_columns[] = {
    { "topic", "topic", false, false },  { "partition", "partition", true, false },
    { "offset", "offset", true, false }, { "end", "end", true, false },
    { "lag", "lag", true, false },
};

int cli_group_list(struct cli *cli)
{
    return ask_name(cli, NULL, group_columns, COUNT_OF(group_columns));
}

int cli_group_describe(struct cli *cli)
{
    return ask_name(cli, "group", group_partition_columns, COUNT_OF(group_partition_columns));
}
