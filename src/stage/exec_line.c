#include "stage/exec_line.h"
#include "log/batch.h"

/* Between two tokens of JSON a line break is as good as a blank; within them there is none. */
static void write_on_one_line(struct writer *w, struct bytes json)
{
    uint8_t *from = w->at;
    write_bytes(w, json);
    if (w->full)
        return;
    for (uint8_t *at = from; (at = memchr(at, '\n', (size_t)(w->at - at))) != NULL; at++)
        *at = ' ';
    for (uint8_t *at = from; (at = memchr(at, '\r', (size_t)(w->at - at))) != NULL; at++)
        *at = ' ';
}

static void write_name(struct writer *w, const char *name)
{
    write_bytes(w, BYTES(",\""));
    write_bytes(w, bytes_of_text(name));
    write_bytes(w, BYTES("\":"));
}

static void write_text_field(struct writer *w, const char *name, struct bytes text)
{
    if (text.at == NULL)
        return;
    write_name(w, name);
    json_write_text(w, text);
}

static void write_int_field(struct writer *w, const char *name, int64_t n)
{
    write_name(w, name);
    json_write_int(w, n);
}

void exec_hello_write(struct writer *w, const char *pipeline, const char *stage)
{
    write_bytes(w, BYTES("{\"neap\":"));
    json_write_int(w, EXEC_PROTOCOL_VERSION);
    write_text_field(w, "pipeline", bytes_of_text(pipeline));
    write_text_field(w, "stage", bytes_of_text(stage));
    write_bytes(w, BYTES("}\n"));
}

void exec_event_write(struct writer *w, const struct exec_line *line)
{
    const struct event *e = line->event;
    write_bytes(w, BYTES("{\"id\":"));
    json_write_int(w, (int64_t)line->id);
    write_name(w, "event");
    write_on_one_line(w, line->json);
    write_text_field(w, "key", e->key);
    write_text_field(w, "event_id", e->id);
    write_name(w, "headers");
    event_write_headers(w, e);
    write_int_field(w, "attempt", e->attempt);
    write_text_field(w, "topic", bytes_of_text(e->topic));
    write_int_field(w, "partition", e->partition);
    write_int_field(w, "offset", (int64_t)e->offset.n);
    write_int_field(w, "time", e->time_ms);
    write_bytes(w, BYTES("}\n"));
}

void exec_json_write(struct writer *w, struct bytes json)
{
    write_on_one_line(w, json);
    write_u8(w, '\n');
}

/* ---- answers ------------------------------------------------------------------------------------------------------------- */

static enum neap_status bad(const char *what, const char **ret_what)
{
    *ret_what = what;
    return NEAP_BADINPUT;
}

static bool find_letters(struct bytes line, struct bytes name, struct bytes *ret_letters)
{
    size_t cursor = 0;
    struct json_member member;
    bool found = false;
    while (json_member_next(line, &cursor, &member)) { /* of a repeated name the last one counts */
        if (!member.escaped && bytes_equal(member.name, name)) {
            *ret_letters = member.value;
            found = true;
        }
    }
    return found;
}

static enum neap_status read_id(struct json_value root, struct exec_answer *a, const char **ret_what)
{
    struct json_value id;
    if (!json_get(root, BYTES("id"), &id) || json_kind(id) != JSON_INT || json_int(id) < 0)
        return bad("it has no \"id\" of an event", ret_what);
    a->id = (uint64_t)json_int(id);
    return NEAP_OK;
}

static enum neap_status read_error(struct json_value root, struct json_value error, struct bytes line,
                                   struct exec_answer *a, const char **ret_what)
{
    struct json_value permanent;
    a->kind = EXEC_ANSWER_ERROR;
    if (json_kind(error) == JSON_TEXT)
        a->message = json_text(error);
    else if (!find_letters(line, BYTES("error"), &a->message))
        return bad("its \"error\" cannot be read", ret_what);
    if (!json_get(root, BYTES("permanent"), &permanent))
        return NEAP_OK;
    if (json_kind(permanent) != JSON_BOOL)
        return bad("its \"permanent\" is neither true nor false", ret_what);
    a->permanent = json_bool(permanent);
    return NEAP_OK;
}

enum neap_status exec_answer_read(struct bytes line, struct json_parser *parser, struct exec_answer *ret_answer,
                                  const char **ret_what)
{
    struct exec_answer a = { .kind = EXEC_ANSWER_EVENT };
    struct json_value root, event, drop, error;
    enum neap_status status = json_parse(parser, line, &root);
    if (status == NEAP_TOOLARGE)
        return bad("it is longer than an event may be", ret_what);
    if (status != NEAP_OK || json_kind(root) != JSON_OBJECT)
        return bad("it is no JSON object", ret_what);
    bool has_event = json_get(root, BYTES("event"), &event), has_drop = json_get(root, BYTES("drop"), &drop),
         has_error = json_get(root, BYTES("error"), &error);
    if (has_event + has_drop + has_error != 1)
        return bad("it has not exactly one of \"event\", \"drop\" and \"error\"", ret_what);
    status = read_id(root, &a, ret_what);
    if (status == NEAP_OK && has_event && !find_letters(line, BYTES("event"), &a.event))
        status = bad("its \"event\" cannot be read", ret_what); /* its name is written with escapes */
    if (status == NEAP_OK && has_drop) {
        a.kind = EXEC_ANSWER_DROP;
        if (json_kind(drop) != JSON_BOOL || !json_bool(drop))
            status = bad("its \"drop\" is not true", ret_what);
    }
    if (status == NEAP_OK && has_error)
        status = read_error(root, error, line, &a, ret_what);
    if (status == NEAP_OK)
        *ret_answer = a;
    return status;
}
