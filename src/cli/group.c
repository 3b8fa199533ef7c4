/* group.c - a group is moved to another place, or forgotten. */
#include "cli/table.h"
#include <stdio.h>
#include <stdlib.h>

struct moving {
    struct table table;
    bool json, is_pipeline;
};

static const struct table_column columns[] = {
    { "topic", "topic", false, false },
    { "partition", "partition", true, false },
    { NULL, "was at", true, false },
    { "new", "is at", true, false },
};
static const struct table_column dry_columns[] = {
    { "topic", "topic", false, false },
    { "partition", "partition", true, false },
    { NULL, "is at", true, false },
    { "new", "would be at", true, false },
};
#define COLUMN_OLD 2u

static void each_partition(struct session *s, void *ctx, struct bytes line)
{
    struct moving *moving = ctx;
    struct json_value root, old, pipeline;
    char room[32];
    if (json_parse(s->parser, line, &root) != NEAP_OK)
        return;
    moving->is_pipeline =
        json_get(root, BYTES("pipeline"), &pipeline) && json_kind(pipeline) == JSON_BOOL && json_bool(pipeline);
    if (moving->json) {
        out_write(s->cli, line);
        out_write(s->cli, BYTES("\n"));
        return;
    }
    bool had = json_get(root, BYTES("old"), &old) && json_kind(old) == JSON_INT;
    snprintf(table_cell(&moving->table, COLUMN_OLD), TABLE_CELL_SIZE_MAX, "%s",
             had ? cli_number_text(room, line_number(root, "old")) : "-");
    table_fill(&moving->table, root);
    table_row(&moving->table);
}

/* "earliest", "latest", an offset, or a time. */
static bool request_place(struct cli *cli, struct request *request)
{
    const char *to = cli->flags[FLAG_TO];
    wall_time time;
    uint64_t offset = 0;
    if (to == NULL) {
        say(cli, "group reset: where to? --to earliest, latest, an offset, or a time");
        return false;
    }
    if (strcmp(to, "earliest") == 0 || strcmp(to, "latest") == 0) {
        request_text(request, "to", to);
    } else if (to[0] != '\0' && strspn(to, "0123456789") == strlen(to)) {
        if (!cli_number(cli, FLAG_TO, INT64_MAX, &offset))
            return false;
        request_number(request, "from", offset);
    } else {
        if (!cli_time(cli, FLAG_TO, to, &time))
            return false;
        request_number(request, "time", time.ms > 0 ? (uint64_t)time.ms : 0);
    }
    return true;
}

static int confirm(struct cli *cli)
{
    char question[2 * CLI_WORD_SIZE_MAX];
    if (cli->flags[FLAG_DRY_RUN] != NULL)
        return CLI_OK;
    snprintf(question, sizeof question, "move group %.249s in topic %.249s, and forget where it was?", cli->words[0],
             cli->words[1]);
    return cli_confirm(cli, "a group's positions", question);
}

static int ask_to_move(struct cli *cli, struct request *request)
{
    struct session s;
    struct moving moving = { .json = cli->flags[FLAG_JSON] != NULL };
    bool dry = cli->flags[FLAG_DRY_RUN] != NULL;
    int code = session_open(&s, cli, cli->word_count > 2 ? cli->words[2] : NULL, true);
    if (code != CLI_OK)
        return code;
    if (!table_open(&moving.table, cli, dry ? dry_columns : columns, COUNT_OF(columns))) {
        session_close(&s);
        return CLI_SURROUNDINGS;
    }
    code = session_ask(&s, request_end(request), (struct bytes){ NULL, 0 }, each_partition, &moving);
    moving.table.headed = moving.table.headed || moving.json || code != CLI_OK;
    table_close(&moving.table);
    session_close(&s);
    out_flush(cli);
    if (code == CLI_OK && dry)
        say(cli, "nothing was changed");
    else if (code == CLI_OK && moving.is_pipeline)
        say(cli,
            "pipeline %s goes on there at its next start, and counts anew from there. Where its sink has a position of "
            "its own (SQLite), it stops first and asks: `start: committed` goes on at the new place, `start: sink` at "
            "the sink's",
            cli->words[0]);
    return code;
}

int cli_group_reset(struct cli *cli)
{
    struct request request;
    uint64_t partition = 0;
    request_begin(&request, "group reset");
    request_text(&request, "group", cli->words[0]);
    request_text(&request, "topic", cli->words[1]);
    if (!cli_number(cli, FLAG_PARTITION, UINT32_MAX, &partition) || !request_place(cli, &request))
        return CLI_USAGE;
    if (cli->flags[FLAG_PARTITION] != NULL)
        request_number(&request, "partition", partition);
    if (cli->flags[FLAG_DRY_RUN] != NULL)
        request_flag(&request, "dry_run");
    int code = confirm(cli);
    return code == CLI_OK ? ask_to_move(cli, &request) : code;
}

/* ---- delete ---- */

static void each_deleted(struct session *s, void *ctx, struct bytes line)
{
    struct json_value root;
    (void)ctx;
    if (json_parse(s->parser, line, &root) != NEAP_OK)
        return;
    if (s->cli->flags[FLAG_JSON] != NULL) {
        out_write(s->cli, line);
        out_write(s->cli, BYTES("\n"));
        return;
    }
    struct bytes group = line_text(root, "group");
    bool dry = s->cli->flags[FLAG_DRY_RUN] != NULL;
    unsigned long long count = (unsigned long long)line_number(root, "partitions");
    out_print(s->cli, "%s group %.*s: its position%s in %llu partition%s\n", dry ? "would forget" : "deleted",
              (int)group.size, (const char *)group.at, count == 1 ? "" : "s", count, count == 1 ? "" : "s");
}

int cli_group_delete(struct cli *cli)
{
    struct session s;
    struct request request;
    char question[CLI_WORD_SIZE_MAX];
    snprintf(question, sizeof question, "forget group %.249s and how far it has come?", cli->words[0]);
    int code = cli->flags[FLAG_DRY_RUN] != NULL ? CLI_OK : cli_confirm(cli, "a group's positions", question);
    if (code == CLI_OK)
        code = session_open(&s, cli, cli->word_count > 1 ? cli->words[1] : NULL, true);
    if (code != CLI_OK)
        return code;
    request_begin(&request, "group delete");
    request_text(&request, "group", cli->words[0]);
    if (cli->flags[FLAG_DRY_RUN] != NULL)
        request_flag(&request, "dry_run");
    code = session_ask(&s, request_end(&request), (struct bytes){ NULL, 0 }, each_deleted, NULL);
    session_close(&s);
    return code;
}
