/* logging.c - builds one line in a buffer on the stack and hands it over in one piece.
 *
 * L1  LINE_TAIL_SIZE bytes at the end of the buffer are kept for what closes a line, so that a cut line is still a line
 *     (and in JSON still an object). */
#include "base/logging.h"
#include "base/must.h"
#include "base/rfc3339.h"
#include "base/utf8.h"
#include <stdio.h>
#include <stdlib.h>

#define LOGGING_MAGIC  0x20474f4cu /* "LOG " */
#define LINE_TAIL_SIZE 16u         /* ,"cut":true}\n and some */

struct logging {
    uint32_t magic;
    struct logging_options options;
};

struct line {
    struct writer w;
    bool json, cut;
};

struct logging *logging_new(const struct logging_options *options)
{
    must(options->wall != NULL && options->write != NULL);
    struct logging *logging = calloc(1, sizeof *logging);
    if (logging == NULL)
        return NULL;
    logging->magic = LOGGING_MAGIC;
    logging->options = *options;
    if (logging->options.burst_count_max == 0)
        logging->options.burst_count_max = 10;
    if (logging->options.burst_interval_ms == 0)
        logging->options.burst_interval_ms = 1000;
    return logging;
}

void logging_free(struct logging **logging)
{
    if (*logging != NULL) {
        CHECK_MAGIC(*logging, LOGGING_MAGIC);
        (*logging)->magic = 0;
    }
    free(*logging);
    *logging = NULL;
}

bool logging_enabled(const struct logging *logging, enum logging_level level)
{
    return logging != NULL && level >= logging->options.level && level < LOGGING_OFF;
}

/* ---- what may be printed ---- */

/* Characters that could end a line, drive a terminal, or make text read in another order than it is written. */
static bool is_unsafe(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x200e || point == 0x200f ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

/* One character, or a stand-in for it; answers how many bytes of the text that was. */
static size_t escape(const struct line *line, const uint8_t *at, size_t left, char room[8])
{
    size_t size = utf8_size(at, left);
    if (size == 0) {
        snprintf(room, 8, line->json ? "\\ufffd" : "\\x%02x", (unsigned)at[0]);
        return 1;
    }
    uint32_t point = utf8_point(at, size);
    if (point == '"' || point == '\\')
        snprintf(room, 8, "\\%c", (int)point);
    else if (point == '\n')
        snprintf(room, 8, "\\n");
    else if (point == '\t')
        snprintf(room, 8, "\\t");
    else if (is_unsafe(point))
        snprintf(room, 8, "\\u%04x", (unsigned)(point & 0xffff));
    else {
        memcpy(room, at, size);
        room[size] = '\0';
    }
    return size;
}

static bool is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return text.size > 0;
}

/* ---- building ---- */

/* Whole or not at all; after the first thing that does not fit nothing more is written. */
static void put(struct line *line, const char *text, size_t size)
{
    if (line->cut || (size_t)(line->w.end - line->w.at) < size + LINE_TAIL_SIZE) {
        line->cut = true;
        return;
    }
    write_bytes(&line->w, (struct bytes){ (const uint8_t *)text, size });
}

static void put_text(struct line *line, struct bytes text)
{
    if (!line->json && is_plain(text) && text.size + LINE_TAIL_SIZE < (size_t)(line->w.end - line->w.at)) {
        put(line, (const char *)text.at, text.size);
        return;
    }
    put(line, "\"", 1);
    if (line->cut)
        return;
    for (size_t i = 0; i < text.size && !line->cut;) {
        char room[8];
        i += escape(line, text.at + i, text.size - i, room);
        put(line, room, strlen(room));
    }
    write_bytes(&line->w, line->cut ? BYTES("…\"") : BYTES("\"")); /* rule L1 */
}

/* Everything up to the value; nothing of it where it does not fit, so that a cut never leaves half a field. */
static bool put_name(struct line *line, const char *name)
{
    char room[80];
    bool first = writer_size(&line->w) == 0;
    int size = line->json ? snprintf(room, sizeof room, "%s\"%s\":", first ? "{" : ",", name)
                          : snprintf(room, sizeof room, "%s%s=", first ? "" : " ", name);
    must(size > 0 && (size_t)size < sizeof room);
    if ((size_t)(line->w.end - line->w.at) < (size_t)size + 32 + LINE_TAIL_SIZE) /* 32: any number, or a text's start */
        line->cut = true;
    put(line, room, (size_t)size);
    return !line->cut;
}

static void put_text_field(struct line *line, const char *name, struct bytes text)
{
    if (put_name(line, name))
        put_text(line, text);
}

static void put_number_field(struct line *line, const char *name, bool negative, uint64_t magnitude)
{
    char room[32];
    int size = snprintf(room, sizeof room, "%s%llu", negative ? "-" : "", (unsigned long long)magnitude);
    if (put_name(line, name))
        put(line, room, (size_t)size);
}

static void put_field(struct line *line, const struct logging_field *field)
{
    switch (field->kind) {
    case LOGGING_FIELD_TEXT:
        put_text_field(line, field->name, bytes_of_text(field->text != NULL ? field->text : ""));
        break;
    case LOGGING_FIELD_BYTES:
        put_text_field(line, field->name, field->bytes);
        break;
    case LOGGING_FIELD_INT: {
        bool negative = field->i < 0;
        put_number_field(line, field->name, negative, negative ? 0 - (uint64_t)field->i : (uint64_t)field->i);
        break;
    }
    case LOGGING_FIELD_UINT:
        put_number_field(line, field->name, false, field->u);
        break;
    }
}

static struct bytes end_line(struct line *line, bool cut_in_text)
{
    if (line->cut && !cut_in_text)
        write_bytes(&line->w, line->json ? BYTES(",\"cut\":true") : BYTES(" …"));
    if (line->json)
        write_u8(&line->w, '}');
    write_u8(&line->w, '\n');
    must(!line->w.full);
    return writer_bytes(&line->w);
}

/* ---- how often ---- */

/* A site's window: whoever finds it over starts the next one. The wall clock may jump back: that ends a window too.
 * Racing threads may let a line or two more through; that is a limit on noise, not a promise. */
static bool may_pass(const struct logging *logging, struct logging_site *site, wall_time now, uint32_t *ret_suppressed)
{
    int64_t start = atomic_load_explicit(&site->window_start_ms, memory_order_relaxed);
    bool over = now.ms < start || now.ms - start >= logging->options.burst_interval_ms;
    if (over && atomic_compare_exchange_strong(&site->window_start_ms, &start, now.ms))
        atomic_store_explicit(&site->count, 0, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&site->count, 1, memory_order_relaxed) >= logging->options.burst_count_max) {
        atomic_fetch_sub_explicit(&site->count, 1, memory_order_relaxed); /* it never comes round */
        atomic_fetch_add_explicit(&site->suppressed_count, 1, memory_order_relaxed);
        return false;
    }
    *ret_suppressed = atomic_exchange_explicit(&site->suppressed_count, 0, memory_order_relaxed);
    return true;
}

void logging_line(struct logging *logging, struct logging_site *site, enum logging_level level, const char *message,
                  const struct logging_field *fields, size_t count)
{
    CHECK_MAGIC(logging, LOGGING_MAGIC);
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    must((unsigned)level < COUNT_OF(levels));
    wall_time now = logging->options.wall(logging->options.ctx);
    uint32_t suppressed;
    if (!may_pass(logging, site, now, &suppressed))
        return;
    uint8_t room[LOGGING_LINE_SIZE_MAX];
    char time[RFC3339_SIZE];
    struct line line = { writer_of(room, sizeof room), logging->options.format == LOGGING_JSON, false };
    put_text_field(&line, "time", bytes_of_text(rfc3339_write(time, now)));
    put_text_field(&line, "level", bytes_of_text(levels[level]));
    if (suppressed > 0)
        put_number_field(&line, "suppressed", false, suppressed);
    put_text_field(&line, "msg", bytes_of_text(message));
    bool cut_in_text = line.cut;
    for (size_t i = 0; i < count && !line.cut; i++) {
        size_t before = writer_size(&line.w);
        put_field(&line, &fields[i]);
        cut_in_text = line.cut && writer_size(&line.w) > before;
    }
    logging->options.write(logging->options.ctx, end_line(&line, cut_in_text));
}
