#include "cli/event_line.h"
#include "base/base64.h"
#include "base/rfc3339.h"
#include "log/batch.h"

#define NO_BYTES ((struct bytes){ NULL, 0 })

/* Members as they were found; bytes that came as base64 are decoded when they are written. */
struct event_line {
    struct json_value headers;
    struct bytes key, value;
    bool has_headers, key_base64, value_base64;
    int64_t time_ms;
    const char *what; /* is wrong; NULL: nothing */
};

static bool wrong(struct event_line *e, const char *what)
{
    e->what = what;
    return false;
}

static bool take_time(struct event_line *e, struct json_value time)
{
    wall_time at;
    if (json_kind(time) == JSON_INT)
        e->time_ms = json_int(time);
    else if (json_kind(time) == JSON_TEXT && rfc3339_read(json_text(time), &at))
        e->time_ms = at.ms;
    else
        return wrong(e, "'time' is neither RFC 3339 text nor Unix milliseconds");
    return true;
}

static bool take_base64(struct event_line *e, struct json_value v, struct bytes *ret_text, bool *ret_is)
{
    if (json_kind(v) != JSON_TEXT)
        return wrong(e, "'key_base64' or 'value_base64' is no base64");
    *ret_text = json_text(v);
    *ret_is = true;
    return true;
}

/* One member; its name is one of those that a line of `neap tail --json` has. */
static bool take_member(struct event_line *e, struct bytes name, struct json_value v)
{
    /* Where it was read, and what a dead letter tells beside its event: where it goes is not its own to say. */
    static const char *const places[] = { "topic", "partition",   "offset",   "reason",   "stage",
                                          "error", "first_error", "pipeline", "attempts", "first",
                                          "last",  "file",        "line",     "column",   "id",
                                          "event", "correlation", "stays",    "settled",  "redrives" };
    if (bytes_equal(name, BYTES("key"))) {
        if (json_kind(v) != JSON_TEXT && json_kind(v) != JSON_NULL)
            return wrong(e, "'key' is neither text nor null");
        if (json_kind(v) == JSON_TEXT && e->key.at == NULL)
            e->key = json_text(v);
        return true;
    }
    if (bytes_equal(name, BYTES("value")))
        return true; /* as it was written: see take_value() */
    if (bytes_equal(name, BYTES("text"))) {
        if (json_kind(v) != JSON_TEXT)
            return wrong(e, "'text' is no text");
        if (e->value.at == NULL)
            e->value = json_text(v);
        return true;
    }
    if (bytes_equal(name, BYTES("headers"))) {
        e->headers = v;
        e->has_headers = true;
        return json_kind(v) == JSON_OBJECT || wrong(e, "'headers' is no object");
    }
    if (bytes_equal(name, BYTES("time")))
        return take_time(e, v);
    if (bytes_equal(name, BYTES("key_base64")))
        return take_base64(e, v, &e->key, &e->key_base64);
    if (bytes_equal(name, BYTES("value_base64")))
        return take_base64(e, v, &e->value, &e->value_base64);
    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (bytes_equal(name, bytes_of_text(places[i])))
            return true;
    if (bytes_equal(name, BYTES("full_size")))
        return wrong(e, "its dead letter holds a part of the event: it was too large");
    return wrong(e, "a member is none of key, value, headers, time, text, key_base64, value_base64");
}

/* JSON goes in letter by letter as it was written; null is no value. */
static bool take_value(struct event_line *e, struct bytes line)
{
    size_t cursor = 0;
    struct json_member member;
    while (e->value.at == NULL && json_member_next(line, &cursor, &member)) {
        if (member.escaped)
            return wrong(e, "a member's name has an escape in it");
        if (bytes_equal(member.name, BYTES("value")) && !bytes_equal(member.value, BYTES("null")))
            e->value = member.value;
    }
    return true;
}

static bool read_line(struct event_line *e, struct json_parser *parser, struct bytes line)
{
    struct json_value root, v;
    struct bytes name;
    if (json_parse(parser, line, &root) != NEAP_OK || json_kind(root) != JSON_OBJECT)
        return wrong(e, "no JSON object");
    for (uint64_t cursor = 0; json_next(root, &cursor, &name, &v);)
        if (!take_member(e, name, v))
            return false;
    return take_value(e, line);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static void write_part(struct writer *w, struct bytes part)
{
    write_le32(w, part.at == NULL ? CONTROL_NO_BYTES : (uint32_t)part.size);
    write_bytes(w, part);
}

static bool write_decoded(struct event_line *e, struct writer *w, struct bytes part, bool base64)
{
    uint8_t *at = w->at;
    size_t size = 0;
    if (!base64) {
        write_part(w, part);
        return true;
    }
    write_le32(w, 0);
    if (w->full || (size_t)(w->end - w->at) < part.size / 4 * 3) {
        w->full = true;
        return true;
    }
    if (!base64_read(part, w->at, &size))
        return wrong(e, "'key_base64' or 'value_base64' is no base64");
    put_le32(at, (uint32_t)size);
    w->at += size;
    return true;
}

static bool write_headers(struct event_line *e, struct writer *w)
{
    struct bytes name;
    struct json_value value;
    if (!e->has_headers) {
        write_le32(w, 0);
        return true;
    }
    if (json_count(e->headers) > BATCH_HEADER_COUNT_MAX)
        return wrong(e, "too many headers");
    write_le32(w, (uint32_t)json_count(e->headers));
    for (uint64_t cursor = 0; json_next(e->headers, &cursor, &name, &value);) {
        if (json_kind(value) != JSON_TEXT && json_kind(value) != JSON_NULL)
            return wrong(e, "a header's value is neither text nor null");
        write_part(w, name);
        write_part(w, json_kind(value) == JSON_TEXT ? json_text(value) : NO_BYTES);
    }
    return true;
}

enum neap_status event_line_frame(struct json_parser *parser, struct bytes line, struct writer *w,
                                  const char **ret_what)
{
    struct event_line e = { .time_ms = CONTROL_NO_TIME };
    struct writer before = *w;
    bool good = read_line(&e, parser, line);
    write_le32(w, 0);
    write_le64(w, (uint64_t)e.time_ms);
    good = good && write_decoded(&e, w, e.key, e.key_base64) && write_decoded(&e, w, e.value, e.value_base64) &&
           write_headers(&e, w);
    if (good && !w->full) {
        put_le32(before.at, (uint32_t)(w->at - before.at) - 4);
        return NEAP_OK;
    }
    *w = before;
    if (good)
        return NEAP_AGAIN;
    *ret_what = e.what;
    return NEAP_BADINPUT;
}
