/* json.cc - simdjson behind json.h: the one file of Neap that is C++.
 *
 * simdjson reads a text into a tape of 64-bit words: a letter in the top byte that says what it is, and a payload.
 *     l u d   a number; its bits are the next word          " payload: place in the strings; 4 bytes of size, then bytes
 *     t f n   true, false, null                              [ {   payload: word after the end in bits 0..31, count above
 *     ] }     the end of either                              r     the whole text's first and last word
 * That layout is described in simdjson's doc/tape.md, and the tests would notice if it changed. A json_value is a place
 * on the tape, so that handing one on costs nothing and C can do it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* the house's C headers use compound literals */
extern "C" {
#include "base/json.h"
#include "base/must.h"
}
#pragma GCC diagnostic pop
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <simdjson.h>

namespace
{
constexpr uint32_t PARSER_MAGIC = 0x4e4f534a; /* "JSON" */
constexpr uint64_t PAYLOAD_MASK = 0x00ffffffffffffff;
constexpr uint64_t COUNT_UNKNOWN = 0xffffff; /* the tape counts no further */
constexpr size_t CAPACITY_MIN = 4096;
} // namespace

struct json_parser {
    uint32_t magic;
    size_t size_max, capacity;
    uint8_t *text; /* a copy with simdjson's padding behind it */
    simdjson::dom::parser dom;
    explicit json_parser(size_t limit) : magic(PARSER_MAGIC), size_max(limit), capacity(0), text(nullptr)
    {
    }
};

static uint64_t word(struct json_value v, uint64_t index)
{
    return v.parser->dom.doc.tape[index];
}

static char letter(struct json_value v)
{
    must(v.parser != nullptr && v.parser->magic == PARSER_MAGIC);
    return (char)(word(v, v.index) >> 56);
}

static uint64_t payload(struct json_value v)
{
    return word(v, v.index) & PAYLOAD_MASK;
}

static struct bytes text_at(struct json_value v)
{
    const uint8_t *at = v.parser->dom.doc.string_buf.get() + payload(v);
    uint32_t size;
    memcpy(&size, at, sizeof size);
    return { at + sizeof size, size };
}

/* The word after the value at `index`. */
static inline uint64_t tape_after(const uint64_t *tape, uint64_t index)
{
    switch (tape[index] >> 56) {
    case '[':
    case '{':
        return tape[index] & UINT32_MAX;
    case 'l':
    case 'u':
    case 'd':
        return index + 2;
    default:
        return index + 1;
    }
}

static uint64_t index_after(struct json_value v)
{
    must(v.parser != nullptr && v.parser->magic == PARSER_MAGIC);
    return tape_after(v.parser->dom.doc.tape.get(), v.index);
}

static uint64_t index_of_end(struct json_value container)
{
    return index_after(container) - 1;
}

struct json_parser *json_parser_new(size_t size_max)
{
    must(size_max > 0 && size_max < UINT32_MAX - 1024);
    return new (std::nothrow) json_parser(size_max);
}

void json_parser_free(struct json_parser **parser)
{
    struct json_parser *p = *parser;
    *parser = nullptr;
    if (p == nullptr)
        return;
    must(p->magic == PARSER_MAGIC);
    p->magic = 0;
    free(p->text);
    delete p;
}

/* Grows by doubling, so that lines of growing size do not each take new memory. */
static bool make_room(struct json_parser *parser, size_t size)
{
    if (size <= parser->capacity)
        return true;
    size_t capacity = parser->capacity > 0 ? parser->capacity : CAPACITY_MIN;
    while (capacity < size)
        capacity *= 2;
    uint8_t *text = (uint8_t *)realloc(parser->text, capacity + simdjson::SIMDJSON_PADDING);
    if (text == nullptr)
        return false;
    parser->text = text;
    /* One level more than is allowed: simdjson counts the value inside the innermost container as one. */
    if (parser->dom.allocate(capacity, JSON_DEPTH_MAX + 1) || parser->dom.doc.allocate(capacity))
        return false;
    parser->capacity = capacity;
    return true;
}

enum neap_status json_parse(struct json_parser *parser, struct bytes text, struct json_value *ret_root)
{
    must(parser != nullptr && parser->magic == PARSER_MAGIC);
    if (text.size > parser->size_max)
        return NEAP_TOOLARGE;
    if (text.size == 0)
        return NEAP_BADINPUT;
    if (!make_room(parser, text.size))
        return NEAP_NOMEM;
    memcpy(parser->text, text.at, text.size);
    memset(parser->text + text.size, ' ', simdjson::SIMDJSON_PADDING);
    simdjson::error_code error = parser->dom.parse(parser->text, text.size, false).error();
    if (error == simdjson::MEMALLOC)
        return NEAP_NOMEM;
    if (error != simdjson::SUCCESS)
        return NEAP_BADINPUT;
    *ret_root = { parser, 1 };
    return NEAP_OK;
}

enum json_kind json_kind(struct json_value v)
{
    switch (letter(v)) {
    case 'n':
        return JSON_NULL;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'l':
        return JSON_INT;
    case 'u':
        return JSON_UINT;
    case 'd':
        return JSON_DOUBLE;
    case '"':
        return JSON_TEXT;
    case '[':
        return JSON_ARRAY;
    default:
        must(letter(v) == '{');
        return JSON_OBJECT;
    }
}

bool json_bool(struct json_value v)
{
    must(json_kind(v) == JSON_BOOL);
    return letter(v) == 't';
}

int64_t json_int(struct json_value v)
{
    must(json_kind(v) == JSON_INT);
    return (int64_t)word(v, v.index + 1);
}

uint64_t json_uint(struct json_value v)
{
    must(json_kind(v) == JSON_UINT);
    return word(v, v.index + 1);
}

double json_double(struct json_value v)
{
    must(json_kind(v) == JSON_DOUBLE);
    uint64_t bits = word(v, v.index + 1);
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

struct bytes json_text(struct json_value v)
{
    must(json_kind(v) == JSON_TEXT);
    return text_at(v);
}

bool json_next(struct json_value container, uint64_t *cursor, struct bytes *ret_name, struct json_value *ret_value)
{
    char kind = letter(container);
    must(kind == '[' || kind == '{');
    uint64_t index = *cursor == 0 ? container.index + 1 : *cursor;
    must(index > container.index && index <= index_of_end(container));
    if (index == index_of_end(container))
        return false;
    struct json_value v = { container.parser, index };
    if (kind == '{') {
        if (ret_name != nullptr)
            *ret_name = text_at(v);
        v.index++;
    }
    *ret_value = v;
    *cursor = index_after(v);
    return true;
}

size_t json_count(struct json_value v)
{
    must(json_kind(v) >= JSON_ARRAY);
    uint64_t count = payload(v) >> 32;
    if (count < COUNT_UNKNOWN)
        return count;
    struct json_value element;
    count = 0;
    for (uint64_t cursor = 0; json_next(v, &cursor, nullptr, &element);)
        count++;
    return count;
}

/* Every field that an expression names comes through here: it walks the tape itself instead of asking json_next(). */
bool json_get(struct json_value object, struct bytes name, struct json_value *ret_value)
{
    must(json_kind(object) == JSON_OBJECT);
    const uint64_t *tape = object.parser->dom.doc.tape.get();
    const uint8_t *strings = object.parser->dom.doc.string_buf.get();
    uint64_t end = index_of_end(object), found = 0;
    for (uint64_t at = object.index + 1; at < end; at = tape_after(tape, at + 1)) {
        const uint8_t *text = strings + (tape[at] & PAYLOAD_MASK);
        uint32_t size;
        memcpy(&size, text, sizeof size);
        const uint8_t *letters = text + sizeof size;
        if (size == name.size && (size == 0 || (*letters == *name.at && memcmp(letters, name.at, size) == 0)))
            found = at + 1; /* and on: the last one counts */
    }
    if (found == 0)
        return false;
    *ret_value = { object.parser, found };
    return true;
}

bool json_at(struct json_value array, size_t index, struct json_value *ret_value)
{
    must(json_kind(array) == JSON_ARRAY);
    struct json_value value;
    for (uint64_t cursor = 0; json_next(array, &cursor, nullptr, &value);) {
        if (index-- == 0) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* Here and not in json_write.c because C has no shortest form of a double; C++17 has. */
void json_write_double(struct writer *w, double v)
{
    if (!std::isfinite(v)) {
        write_bytes(w, { (const uint8_t *)"null", 4 });
        return;
    }
    char room[40];
    std::to_chars_result result = std::to_chars(room, room + sizeof room - 2, v);
    must(result.ec == std::errc());
    bool whole = true;
    for (const char *at = room; at < result.ptr; at++)
        whole = whole && *at != '.' && *at != 'e';
    if (whole) { /* so that it is read back as a double and not as an integer */
        *result.ptr++ = '.';
        *result.ptr++ = '0';
    }
    write_bytes(w, { (const uint8_t *)room, (size_t)(result.ptr - room) });
}
