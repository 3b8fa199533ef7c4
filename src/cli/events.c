/* events.c - events out of a topic. */
#include "cli/session.h"

/* ---- reading ---- */

struct reading {
    bool json;
    uint64_t count; /* lines so far */
};

static void each_record(struct session *s, void *ctx, struct bytes line)
{
    struct reading *reading = ctx;
    struct json_value root;
    reading->count++;
    if (reading->json || json_parse(s->parser, line, &root) != NEAP_OK) {
        out_write(s->cli, line);
        out_write(s->cli, BYTES("\n"));
        return;
    }
    if (line_is_unreadable(s, root))
        return;
    out_stranger(s->cli, line_value(line, root));
    out_write(s->cli, BYTES("\n"));
}

/* One partition, in as many questions as it takes: an answer is bounded. */
static int read_partition(struct session *s, uint64_t partition, uint64_t from, uint64_t limit, struct reading *reading)
{
    for (;;) {
        struct request request;
        request_begin(&request, s->cli->verb->name);
        request_text(&request, "topic", s->cli->words[0]);
        request_number(&request, "partition", partition);
        request_number(&request, "from", from);
        request_number(&request, "limit", limit - reading->count);
        int code = session_ask(s, request_end(&request), (struct bytes){ NULL, 0 }, each_record, reading);
        if (code != CLI_OK || !s->more || reading->count >= limit)
            return code;
        from = s->next;
        if (!out_flush(s->cli))
            return out_exit(s->cli);
    }
}

static void count_line(struct session *s, void *ctx, struct bytes line)
{
    (void)s;
    (void)line;
    ++*(uint64_t *)ctx;
}

static int count_partitions(struct session *s, uint64_t *ret_count)
{
    struct request request;
    *ret_count = 0;
    request_begin(&request, "topic describe");
    request_text(&request, "topic", s->cli->words[0]);
    return session_ask(s, request_end(&request), (struct bytes){ NULL, 0 }, count_line, ret_count);
}

int cli_topic_read(struct cli *cli)
{
    struct session s;
    struct reading reading = { .json = cli->flags[FLAG_JSON] != NULL };
    uint64_t partition = 0, from = 0, limit = INT64_MAX, partition_count = 0;
    if (!cli_number(cli, FLAG_PARTITION, UINT32_MAX, &partition) || !cli_number(cli, FLAG_FROM, INT64_MAX, &from) ||
        !cli_number(cli, FLAG_LIMIT, INT64_MAX, &limit))
        return CLI_USAGE;
    int code = session_open(&s, cli, cli->word_count > 1 ? cli->words[1] : NULL, false);
    if (code != CLI_OK)
        return code;
    if (cli->flags[FLAG_PARTITION] != NULL) {
        code = read_partition(&s, partition, from, limit, &reading);
    } else {
        code = count_partitions(&s, &partition_count);
        for (uint64_t p = 0; code == CLI_OK && p < partition_count && reading.count < limit; p++)
            code = read_partition(&s, p, from, limit, &reading);
    }
    session_close(&s);
    return code;
}
