#include "base/json.h"
#include "base/must.h"
#include "base/utf8.h"
#include <stdio.h>

/* The letter after the backslash; 0: none needed; 'u': by number. */
static char escape_of(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return c < 0x20 ? 'u' : 0;
    }
}

/* How many bytes from here on can stand as they are. */
static size_t plain_size(struct bytes text, size_t from)
{
    size_t at = from;
    while (at < text.size) {
        if (text.at[at] < 0x80 && escape_of(text.at[at]) != 0)
            break;
        size_t size = utf8_size(text.at + at, text.size - at);
        if (size == 0)
            break;
        at += size;
    }
    return at - from;
}

static void write_escaped(struct writer *w, uint8_t c)
{
    char escape = escape_of(c);
    if (c >= 0x80) {
        write_bytes(w, BYTES("\xef\xbf\xbd")); /* U+FFFD stands for a byte that is not UTF-8 */
        return;
    }
    must(escape != 0);
    char room[8];
    int size = escape == 'u' ? snprintf(room, sizeof room, "\\u%04x", c) : snprintf(room, sizeof room, "\\%c", escape);
    write_bytes(w, (struct bytes){ (const uint8_t *)room, (size_t)size });
}

void json_write_text(struct writer *w, struct bytes text)
{
    write_u8(w, '"');
    for (size_t i = 0; i < text.size; i++) {
        size_t plain = plain_size(text, i);
        if (plain > 0) {
            write_bytes(w, (struct bytes){ text.at + i, plain });
            i += plain;
        }
        if (i < text.size)
            write_escaped(w, text.at[i]);
    }
    write_u8(w, '"');
}

static void write_magnitude(struct writer *w, bool negative, uint64_t magnitude)
{
    uint8_t room[24], *at = room + sizeof room;
    do {
        *--at = (uint8_t)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (negative)
        *--at = '-';
    write_bytes(w, (struct bytes){ at, (size_t)(room + sizeof room - at) });
}

void json_write_int(struct writer *w, int64_t v)
{
    write_magnitude(w, v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static void write_container(struct writer *w, struct json_value container, bool object)
{
    struct bytes name;
    struct json_value value;
    const char *between = object ? "{" : "[";
    bool empty = true;
    for (uint64_t cursor = 0; json_next(container, &cursor, &name, &value); between = ",") {
        empty = false;
        write_u8(w, (uint8_t)*between);
        if (object) {
            json_write_text(w, name);
            write_u8(w, ':');
        }
        json_write_value(w, value); /* no deeper than JSON_DEPTH_MAX: it was parsed */
    }
    if (empty)
        write_u8(w, (uint8_t)*between);
    write_u8(w, object ? '}' : ']');
}

void json_write_value(struct writer *w, struct json_value v)
{
    switch (json_kind(v)) {
    case JSON_NULL:
        write_bytes(w, BYTES("null"));
        break;
    case JSON_BOOL:
        write_bytes(w, json_bool(v) ? BYTES("true") : BYTES("false"));
        break;
    case JSON_INT:
        json_write_int(w, json_int(v));
        break;
    case JSON_UINT:
        write_magnitude(w, false, json_uint(v));
        break;
    case JSON_DOUBLE:
        json_write_double(w, json_double(v));
        break;
    case JSON_TEXT:
        json_write_text(w, json_text(v));
        break;
    case JSON_ARRAY:
        write_container(w, v, false);
        break;
    case JSON_OBJECT:
        write_container(w, v, true);
        break;
    }
}
