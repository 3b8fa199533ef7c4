/* send.c - events into a topic: the words of the command, or standard input line by line.
 *
 * Memory is one request's room, whatever comes in, and for lines of JSON that of the longest line: the next lines are read when
 * the ones before are durable, so a slow disk slows down whoever writes the pipe. */
#include "base/must.h"
#include "base/utf8.h"
#include "cli/event_line.h"
#include "cli/session.h"
#include "log/limits.h"
#include "node/control.h"
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_SIZE_MAX   (256u << 10)      /* handed over at once; a longer line makes it grow */
#define HEADERS_SIZE_MAX CLI_WORD_SIZE_MAX /* of all --header together */
#define LINGER_NS        (10 * NS_PER_MS)  /* a pause in the input is a reason to hand over what is there */

struct sending {
    uint8_t *room; /* room_size: what was read, not yet handed over */
    size_t room_size, size;
    uint8_t *
        frames; /* CONTROL_BODY_SIZE_MAX: events that were lines of JSON, not yet handed over; NULL: they go as they are */
    uint64_t count; /* of events handed over */
    uint64_t partition;
    bool framed, end;
    bool json; /* of the answer; of the events, too, unless it is `topic append` */
};

static void each_place(struct session *s, void *ctx, struct bytes line)
{
    struct sending *sending = ctx;
    struct json_value root;
    if (sending->json || json_parse(s->parser, line, &root) != NEAP_OK) {
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

static int hand_over(struct session *s, struct sending *sending, struct bytes body, uint64_t count)
{
    const struct cli *cli = s->cli;
    struct request request;
    if (count == 0)
        return CLI_OK;
    request_begin(&request, "topic append");
    request_text(&request, "topic", cli->words[0]);
    request_text(&request, "key", cli->flags[FLAG_KEY]);
    request_pairs(&request, "headers", cli->headers, cli->header_count);
    if (cli->flags[FLAG_PARTITION] != NULL)
        request_number(&request, "partition", sending->partition);
    if (sending->frames != NULL)
        request_flag(&request, "records");
    if (sending->framed)
        request_flag(&request, "framed");
    request_number(&request, "from", sending->count);
    request_number(&request, "count", count);
    request_number(&request, "body", body.size);
    int code = session_ask(s, request_end(&request), body, each_place, sending);
    sending->count += count;
    if (code == CLI_OK && !out_flush(s->cli))
        code = out_exit(s->cli);
    return code;
}

static void forget(struct sending *sending, size_t size)
{
    memmove(sending->room, sending->room + size, sending->size - size);
    sending->size -= size;
}

/* ---- lines of standard input ---- */

/* Whole lines at the front, at most as many as one append takes, of which any topic takes all, or a single one; at the end of input
 * the rest is a line, too. */
static size_t whole_lines(const struct sending *sending, uint64_t *ret_count)
{
    size_t size = 0;
    uint64_t count = 0;
    while (size < sending->size && count < CONTROL_APPEND_COUNT_MAX) {
        const uint8_t *newline = memchr(sending->room + size, '\n', sending->size - size);
        if (newline == NULL && !sending->end)
            break;
        size_t end = newline == NULL ? sending->size : (size_t)(newline - sending->room) + 1;
        if (count > 0 && end > CONTROL_BODY_SIZE_USUAL)
            break;
        size = end;
        count++;
    }
    *ret_count = count;
    return size;
}

/* Reads until there is a chunk of whole lines. */
static int read_chunk(struct session *s, struct sending *sending)
{
    struct io_file *in = io_standard(s->cli->io, 0);
    uint64_t count = 0;
    while (!sending->end) {
        bool some = whole_lines(sending, &count) > 0;
        if (some && sending->size >= CHUNK_SIZE_MAX)
            return CLI_OK;
        if (sending->size == sending->room_size && some)
            return CLI_OK;
        if (sending->size == sending->room_size) {
            say(s->cli, "line %llu is longer than %zu bytes; what came before it is appended",
                (unsigned long long)(sending->count + 1), sending->room_size - CONTROL_ROOM_SIZE);
            return CLI_NO;
        }
        size_t size = 0;
        size_t most = sending->size < CONTROL_BODY_SIZE_USUAL ? CONTROL_BODY_SIZE_USUAL : sending->room_size;
        mono_time deadline = some ? mono_after(io_now(s->cli->io), LINGER_NS) : MONO_NEVER;
        enum neap_status status =
            io_read_next(in, sending->room + sending->size, most - sending->size, deadline, &size);
        if (status == NEAP_TIMEOUT)
            return CLI_OK;
        if (status != NEAP_OK) {
            say(s->cli, "standard input: %s", status_text(status));
            return CLI_SURROUNDINGS;
        }
        sending->end = size == 0;
        sending->size += size;
    }
    return CLI_OK;
}

/* ---- events as records ---- */

/* Those that are framed and not yet handed over: as many as any topic takes together, or a single large one. */
struct framing {
    struct writer w;
    uint64_t count;
};

static int hand_over_frames(struct session *s, struct sending *sending, struct framing *f)
{
    int code = hand_over(s, sending, writer_bytes(&f->w), f->count);
    *f = (struct framing){ .w = writer_of(sending->frames, CONTROL_BODY_SIZE_USUAL) };
    return code;
}

static int add_record(struct session *s, struct sending *sending, struct framing *f, struct bytes line)
{
    const char *what = "is longer than any topic takes";
    enum neap_status status = event_line_frame(s->parser, line, &f->w, &what);
    if (status == NEAP_AGAIN && f->count > 0) {
        int code = hand_over_frames(s, sending, f);
        if (code != CLI_OK)
            return code;
        status = event_line_frame(s->parser, line, &f->w, &what);
    }
    if (status == NEAP_AGAIN) {
        f->w = writer_of(sending->frames, CONTROL_BODY_SIZE_MAX);
        status = event_line_frame(s->parser, line, &f->w, &what);
    }
    if (status != NEAP_OK) {
        say(s->cli, "event %llu: %s", (unsigned long long)(sending->count + f->count + 1), what);
        return CLI_NO;
    }
    f->count++;
    return writer_size(&f->w) > CONTROL_BODY_SIZE_USUAL ? hand_over_frames(s, sending, f) : CLI_OK;
}

static int hand_over_records(struct session *s, struct sending *sending, size_t size, uint64_t count)
{
    struct framing f = { .w = writer_of(sending->frames, CONTROL_BODY_SIZE_USUAL) };
    int code = CLI_OK;
    for (size_t at = 0; code == CLI_OK && count > 0; count--) {
        const uint8_t *newline = memchr(sending->room + at, '\n', size - at);
        size_t end = newline == NULL ? size : (size_t)(newline - sending->room);
        code = add_record(s, sending, &f, (struct bytes){ sending->room + at, end - at });
        at = end + 1;
    }
    return code == CLI_OK ? hand_over_frames(s, sending, &f) : code;
}

static int hand_over_lines(struct session *s, struct sending *sending, size_t size, uint64_t count)
{
    int code = sending->frames != NULL ? hand_over_records(s, sending, size, count)
                                       : hand_over(s, sending, (struct bytes){ sending->room, size }, count);
    forget(sending, size);
    return code;
}

static int send_lines(struct session *s, struct sending *sending)
{
    int code = CLI_OK;
    while (code == CLI_OK && (!sending->end || sending->size > 0)) {
        uint64_t count = 0;
        code = read_chunk(s, sending);
        size_t size = whole_lines(sending, &count);
        int handed = code == CLI_OK || code == CLI_NO ? hand_over_lines(s, sending, size, count) : CLI_OK;
        code = code == CLI_OK ? handed : code;
    }
    return code;
}

/* ---- words ---- */

static int send_words_as_records(struct session *s, struct sending *sending)
{
    struct framing f = { .w = writer_of(sending->frames, CONTROL_BODY_SIZE_USUAL) };
    int code = CLI_OK;
    for (uint32_t i = 1; i < s->cli->word_count && code == CLI_OK; i++)
        code = add_record(s, sending, &f, bytes_of_text(s->cli->words[i]));
    return code == CLI_OK ? hand_over_frames(s, sending, &f) : code;
}

static int send_words(struct session *s, struct sending *sending)
{
    const struct cli *cli = s->cli;
    uint64_t count = 0;
    int code = CLI_OK;
    if (sending->frames != NULL)
        return send_words_as_records(s, sending);
    sending->framed = true;
    for (uint32_t i = 1; i < cli->word_count && code == CLI_OK; i++) {
        size_t size = strlen(cli->words[i]);
        must(size <= RECORD_SIZE_MAX); /* looked at before */
        if (size + 4 > CONTROL_BODY_SIZE_USUAL - sending->size) {
            code = hand_over(s, sending, (struct bytes){ sending->room, sending->size }, count);
            sending->size = 0;
            count = 0;
        }
        put_le32(sending->room + sending->size, (uint32_t)size);
        memcpy(sending->room + sending->size + 4, cli->words[i], size);
        sending->size += 4 + size;
        count++;
    }
    struct bytes rest = { sending->room, sending->size };
    return code == CLI_OK ? hand_over(s, sending, rest, count) : code;
}

/* ---- the verbs ---- */

static bool is_text(const char *text)
{
    size_t left = strlen(text);
    for (size_t size; left > 0; text += size, left -= size) {
        size = utf8_size((const uint8_t *)text, left);
        if (size == 0)
            return false;
    }
    return true;
}

static bool check_headers(struct cli *cli)
{
    size_t size = 0;
    for (uint32_t i = 0; i < cli->header_count; i++) {
        const char *equals = strchr(cli->headers[i], '=');
        size += strlen(cli->headers[i]);
        if (equals == NULL || equals == cli->headers[i]) {
            say(cli, "--header: '%.40s' is not NAME=VALUE", cli->headers[i]);
            return false;
        }
        if (size > HEADERS_SIZE_MAX || !is_text(cli->headers[i])) {
            say(cli, size > HEADERS_SIZE_MAX ? "--header: more than %u bytes together" : "--header: is not UTF-8",
                HEADERS_SIZE_MAX);
            return false;
        }
    }
    return true;
}

static bool check_words(struct cli *cli, struct sending *sending)
{
    const char *key = cli->flags[FLAG_KEY];
    if (!cli_number(cli, FLAG_PARTITION, UINT32_MAX, &sending->partition) || !check_headers(cli))
        return false;
    if (key != NULL && strlen(key) > LOG_KEY_SIZE_MAX) {
        say(cli, "--key: longer than %u bytes", LOG_KEY_SIZE_MAX);
        return false;
    }
    if (key != NULL && !is_text(key)) {
        say(cli, "--key: is not UTF-8; --json lines take any bytes as key_base64");
        return false;
    }
    for (uint32_t i = 0; i < cli->word_count && cli->verb->run == cli_send; i++) {
        size_t most = i == 0 ? LOG_NAME_SIZE_MAX : RECORD_SIZE_MAX;
        if (strlen(cli->words[i]) <= most)
            continue;
        say(cli, "'%.20s...' is longer than %zu bytes", cli->words[i], most);
        return false;
    }
    return true;
}

static void each_created(struct session *s, void *ctx, struct bytes line)
{
    (void)ctx;
    (void)line;
    say(s->cli, "created topic %s", s->cli->words[0]);
}

static int create_if_missing(struct session *s)
{
    struct request request;
    request_begin(&request, "topic create");
    request_text(&request, "topic", s->cli->words[0]);
    request_flag(&request, "if_missing");
    return session_ask(s, request_end(&request), (struct bytes){ NULL, 0 }, each_created, NULL);
}

static int send_to(struct cli *cli, const char *file)
{
    struct session s;
    struct sending sending = { .json = cli->flags[FLAG_JSON] != NULL };
    if (!check_words(cli, &sending))
        return CLI_USAGE;
    int code = session_open(&s, cli, file, true);
    if (code != CLI_OK)
        return code;
    bool words = cli->verb->run == cli_send && cli->word_count > 1;
    bool records = sending.json && cli->verb->run == cli_send;
    sending.room_size = records ? EVENT_LINE_SIZE_MAX : CONTROL_BODY_SIZE_MAX;
    sending.room = malloc(sending.room_size);
    sending.frames = records ? malloc(CONTROL_BODY_SIZE_MAX) : NULL;
    if (sending.room == NULL || (records && sending.frames == NULL)) {
        free(sending.room);
        session_close(&s);
        say(cli, "out of memory");
        return CLI_SURROUNDINGS;
    }
    if (cli->flags[FLAG_CREATE] != NULL)
        code = create_if_missing(&s);
    if (code == CLI_OK)
        code = words ? send_words(&s, &sending) : send_lines(&s, &sending);
    free(sending.frames);
    free(sending.room);
    session_close(&s);
    return code;
}

int cli_send(struct cli *cli)
{
    return send_to(cli, cli->flags[FLAG_FILE]);
}

int cli_topic_append(struct cli *cli)
{
    return send_to(cli, cli->word_count > 1 ? cli->words[1] : NULL);
}
