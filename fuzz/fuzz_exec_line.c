/* What a child may answer: any line is an answer or is told why not, and of an answer's event the letters lie in the line and are
 * JSON. What goes out to it for any event is one line, and JSON. The first byte says which. */
#include "fuzz.h"

#include "stage/exec_line.h"

#define SIZE_LIMIT (1u << 16)

static struct json_parser *parser;
static uint8_t room[SIZE_LIMIT * 7];

static void read_answer(struct bytes line)
{
    struct exec_answer a = { .kind = EXEC_ANSWER_DROP };
    const char *what = NULL;
    struct json_value root;
    if (exec_answer_read(line, parser, &a, &what) != NEAP_OK) {
        must(what != NULL && what[0] != '\0');
        return;
    }
    must(what == NULL && a.id <= INT64_MAX);
    if (a.kind == EXEC_ANSWER_EVENT) {
        must(a.event.at >= line.at && a.event.at + a.event.size <= line.at + line.size);
        must(json_parse(parser, a.event, &root) == NEAP_OK);
    }
}

/* The key, the id and the event are what the bytes say; an event is JSON, or it would not have come so far. */
static void write_event(struct bytes bytes)
{
    struct json_value root, field;
    struct bytes json = bytes;
    if (json_parse(parser, json, &root) != NEAP_OK)
        json = BYTES("{\n\"a\":\r1}");
    struct event event = { .key = bytes, .id = bytes, .topic = "orders", .attempt = 1, .time_ms = -1 };
    struct exec_line line = { .event = &event, .json = json, .id = 7 };
    struct writer w = writer_of(room, sizeof room);
    exec_event_write(&w, &line);
    must(!w.full && w.at[-1] == '\n');
    struct bytes written = { room, writer_size(&w) - 1 };
    must(memchr(written.at, '\n', written.size) == NULL);
    must(json_parse(parser, written, &root) == NEAP_OK);
    must(json_get(root, BYTES("id"), &field) && json_int(field) == 7 && json_get(root, BYTES("event"), &field));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    if (parser == NULL)
        parser = json_parser_new(sizeof room);
    must(parser != NULL);
    if (size < 1 || size > SIZE_LIMIT)
        return 0;
    (at[0] % 2 == 0 ? read_answer : write_event)((struct bytes){ at + 1, size - 1 });
    return 0;
}
