/* events.c - events out of a topic, dead letters explained. */
#include "cli/session.h"

/* ---- reading ---- */

struct reading {
    bool json, dead;
    uint64_t count; /* lines so far */
};

static struct bytes value_text(struct session *s, struct bytes line, struct json_value root)
{
    /* Our own line: what follows the last "value": of the outermost object, as the event was written. */
    size_t cursor = 0;
    struct json_member member;
    (void)s;
    while (json_member_next(line, &cursor, &member)) {
        if (!member.escaped && bytes_equal(member.name, BYTES("value")))
            return member.value;
    }
    return line_text(root, "text");
}

static void print_dead_letter(struct session *s, struct json_value line, struct bytes value)
{
    struct cli *cli = s->cli;
    struct bytes topic = line_text(line, "topic"), reason = line_text(line, "reason"), file = line_text(line, "file");
    struct bytes stage = line_text(line, "stage"), error = line_text(line, "error"), key = line_text(line, "key");
    struct json_value event;
    out_print(cli, "%.*s/%llu:%llu  %.*s", (int)topic.size, (const char *)topic.at,
              (unsigned long long)line_number(line, "partition"), (unsigned long long)line_number(line, "offset"),
              (int)reason.size, (const char *)reason.at);
    if (stage.size > 0)
        out_print(cli, " in %.*s", (int)stage.size, (const char *)stage.at);
    out_print(cli, "\n");
    if (file.size > 0) {
        out_print(cli, "  at     ");
        out_stranger(cli, file);
        out_print(cli, ":%llu:%llu\n", (unsigned long long)line_number(line, "line"),
                  (unsigned long long)line_number(line, "column"));
    }
    if (error.size > 0) {
        out_print(cli, "  why    ");
        out_stranger(cli, error);
        out_print(cli, "\n");
    }
    if (json_get(line, BYTES("event"), &event) && json_kind(event) == JSON_OBJECT) {
        struct bytes from = line_text(event, "topic");
        out_print(cli, "  event  %.*s/%llu:%llu\n", (int)from.size, (const char *)from.at,
                  (unsigned long long)line_number(event, "partition"),
                  (unsigned long long)line_number(event, "offset"));
    }
    if (key.size > 0) {
        out_print(cli, "  key    ");
        out_stranger(cli, key);
        out_print(cli, "\n");
    }
    out_print(cli, "  value  ");
    out_stranger(cli, value);
    out_print(cli, "\n");
}

static void say_unreadable(struct session *s, struct json_value root, struct bytes why)
{
    unsigned long long partition = line_number(root, "partition");
    unsigned long long from = line_number(root, "offset"), until = line_number(root, "until");
    if (until > from)
        say(s->cli, "partition %llu, offsets %llu to %llu: %.*s", partition, from, until - 1, (int)why.size,
            (const char *)why.at);
    else
        say(s->cli, "partition %llu: %.*s", partition, (int)why.size, (const char *)why.at);
}

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
    struct bytes unreadable = line_text(root, "unreadable");
    if (unreadable.size > 0) {
        say_unreadable(s, root, unreadable);
        return;
    }
    struct bytes value = value_text(s, line, root);
    if (reading->dead) {
        print_dead_letter(s, root, value);
        return;
    }
    out_stranger(s->cli, value);
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

static int read_all(struct cli *cli, bool dead, enum cli_flag from_flag)
{
    struct session s;
    struct reading reading = { .json = cli->flags[FLAG_JSON] != NULL, .dead = dead };
    uint64_t partition = 0, from = 0, limit = INT64_MAX, partition_count = 0;
    if (!cli_number(cli, FLAG_PARTITION, UINT32_MAX, &partition) || !cli_number(cli, from_flag, INT64_MAX, &from) ||
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

int cli_topic_read(struct cli *cli)
{
    return read_all(cli, false, FLAG_FROM);
}

int cli_dlq_show(struct cli *cli)
{
    return read_all(cli, true, FLAG_OFFSET);
}
