/* events.c - events out of a topic, dead letters explained, lines into a topic. */
#include "base/must.h"
#include "cli/session.h"
#include "log/limits.h"
#include "node/control.h"
#include <stdlib.h>

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
        say(s->cli, "partition %llu, offsets %llu to %llu: %.*s", (unsigned long long)line_number(root, "partition"),
            (unsigned long long)line_number(root, "offset"), (unsigned long long)line_number(root, "until") - 1,
            (int)unreadable.size, (const char *)unreadable.at);
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
            return CLI_PIPE;
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

/* ---- appending ---- */

#define CHUNK_SIZE_MAX (256u << 10) /* handed over at once; a longer line makes it grow */

struct appending {
    uint8_t *room; /* CONTROL_BODY_SIZE_MAX: lines not yet handed over */
    size_t size;
    bool json, end;
};

static void each_append(struct session *s, void *ctx, struct bytes line)
{
    struct appending *a = ctx;
    struct json_value root;
    if (a->json || json_parse(s->parser, line, &root) != NEAP_OK) {
        out_write(s->cli, line);
        out_write(s->cli, BYTES("\n"));
        return;
    }
    struct bytes topic = line_text(root, "topic");
    for (uint64_t i = 0; i < line_number(root, "count"); i++)
        out_print(s->cli, "%.*s/%llu:%llu\n", (int)topic.size, (const char *)topic.at,
                  (unsigned long long)line_number(root, "partition"),
                  (unsigned long long)(line_number(root, "offset") + i));
}

/* Whole lines at the front, at most as many as one append takes; at the end of input the rest is a line, too. */
static size_t whole_lines(const struct appending *a, uint64_t *ret_count)
{
    size_t size = 0;
    uint64_t count = 0;
    while (size < a->size && count < CONTROL_APPEND_COUNT_MAX) {
        const uint8_t *newline = memchr(a->room + size, '\n', a->size - size);
        if (newline == NULL && !a->end)
            break;
        size = newline == NULL ? a->size : (size_t)(newline - a->room) + 1;
        count++;
    }
    *ret_count = count;
    return size;
}

static int append_chunk(struct session *s, struct appending *a)
{
    uint64_t count, partition = 0;
    size_t size = whole_lines(a, &count);
    if (count == 0)
        return CLI_OK;
    struct request request;
    request_begin(&request, "topic append");
    request_text(&request, "topic", s->cli->words[0]);
    request_text(&request, "key", s->cli->flags[FLAG_KEY]);
    if (s->cli->flags[FLAG_PARTITION] != NULL && cli_number(s->cli, FLAG_PARTITION, UINT32_MAX, &partition))
        request_number(&request, "partition", partition);
    request_number(&request, "count", count);
    request_number(&request, "body", size);
    int code = session_ask(s, request_end(&request), (struct bytes){ a->room, size }, each_append, a);
    memmove(a->room, a->room + size, a->size - size);
    a->size -= size;
    if (code == CLI_OK && !out_flush(s->cli))
        code = CLI_PIPE;
    return code;
}

/* Reads until there is a chunk of whole lines. A pause in the input is a reason to hand over what is there. */
static int read_chunk(struct session *s, struct appending *a)
{
    struct io_file *in = io_standard(s->cli->io, 0);
    uint64_t count = 0;
    while (!a->end) {
        bool some = whole_lines(a, &count) > 0;
        if (some && a->size >= CHUNK_SIZE_MAX)
            return CLI_OK;
        if (a->size == CONTROL_BODY_SIZE_MAX) {
            say(s->cli, "a line is longer than %u bytes; what came before it is appended", RECORD_SIZE_MAX);
            return CLI_NO;
        }
        size_t size = 0;
        mono_time deadline = some ? mono_after(io_now(s->cli->io), 10 * NS_PER_MS) : MONO_NEVER;
        enum neap_status status = io_read_next(in, a->room + a->size, CONTROL_BODY_SIZE_MAX - a->size, deadline, &size);
        if (status == NEAP_TIMEOUT)
            return CLI_OK;
        if (status != NEAP_OK) {
            say(s->cli, "standard input: %s", status_text(status));
            return CLI_SURROUNDINGS;
        }
        a->end = size == 0;
        a->size += size;
    }
    return CLI_OK;
}

int cli_topic_append(struct cli *cli)
{
    struct session s;
    struct appending a = { .json = cli->flags[FLAG_JSON] != NULL };
    uint64_t partition;
    if (!cli_number(cli, FLAG_PARTITION, UINT32_MAX, &partition))
        return CLI_USAGE;
    if (cli->flags[FLAG_KEY] != NULL && strlen(cli->flags[FLAG_KEY]) > LOG_KEY_SIZE_MAX) {
        say(cli, "--key: longer than %u bytes", LOG_KEY_SIZE_MAX);
        return CLI_USAGE;
    }
    int code = session_open(&s, cli, cli->word_count > 1 ? cli->words[1] : NULL, true);
    if (code != CLI_OK)
        return code;
    a.room = malloc(CONTROL_BODY_SIZE_MAX);
    if (a.room == NULL) {
        session_close(&s);
        say(cli, "out of memory");
        return CLI_SURROUNDINGS;
    }
    while (code == CLI_OK && (!a.end || a.size > 0)) {
        code = read_chunk(&s, &a);
        int appended = code == CLI_OK || code == CLI_NO ? append_chunk(&s, &a) : CLI_OK;
        code = code == CLI_OK ? appended : code;
    }
    free(a.room);
    session_close(&s);
    return code;
}
