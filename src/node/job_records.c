/* job_records.c - records and dead letters, one line each, whatever their size.
 *
 * A line is a list of pieces: literal text, and bytes of the record that are copied or escaped as room comes free. So a
 * record of a megabyte needs no line buffer of six. The bytes stay valid until the reader's next batch. */
#include "base/base64.h"
#include "base/must.h"
#include "base/rfc3339.h"
#include "base/utf8.h"
#include "flow/redrive.h"
#include "node/job.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECE_COUNT_MAX (6u * BATCH_HEADER_COUNT_MAX + 32u)
#define TEXT_SIZE_MAX   4096u /* of the literal parts that hold numbers and names */
#define SLICE_SIZE_MAX  1024u /* of text escaped in one go; each byte may become six */
#define SLICE_ROOM_MIN  64u

enum piece_form { PIECE_PLAIN, PIECE_ESCAPED, PIECE_BASE64 };

struct piece {
    struct bytes bytes;
    enum piece_form form;
};

struct job_records {
    uint64_t count;
    struct piece pieces[PIECE_COUNT_MAX];
    uint32_t piece_count, piece_index;
    size_t piece_at;
    char text[TEXT_SIZE_MAX];
    struct writer writer; /* into text */
    uint8_t slice[6u * SLICE_SIZE_MAX + 2u];
};

void job_records_free(struct job_records **records)
{
    free(*records);
    *records = NULL;
}

/* ---- pieces ---- */

static void add(struct job_records *r, struct bytes bytes, enum piece_form form)
{
    must(r->piece_count < PIECE_COUNT_MAX);
    r->pieces[r->piece_count++] = (struct piece){ bytes, form };
}

#define ADD(r, literal) add((r), BYTES(literal), PIECE_PLAIN)

static void add_printed(struct job_records *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_printed(struct job_records *r, const char *format, ...)
{
    char text[JOB_LINE_SIZE_MAX / 8];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    must(size >= 0 && (size_t)size < sizeof text);
    struct bytes printed = { r->writer.at, (size_t)size };
    write_bytes(&r->writer, (struct bytes){ (const uint8_t *)text, (size_t)size });
    must(!r->writer.full);
    add(r, printed, PIECE_PLAIN);
}

static void add_text(struct job_records *r, struct bytes text)
{
    ADD(r, "\"");
    add(r, text, PIECE_ESCAPED);
    ADD(r, "\"");
}

static void add_member(struct job_records *r, const char *name, struct bytes text)
{
    add_printed(r, ",\"%s\":", name);
    add_text(r, text);
}

static bool is_text(struct bytes bytes)
{
    size_t at = 0;
    for (size_t size; at < bytes.size; at += size) {
        size = utf8_size(bytes.at + at, bytes.size - at);
        if (size == 0)
            return false;
    }
    return true;
}

/* Text as far as it can be read; bytes that are none come a second time, letter for letter. */
static void add_bytes(struct job_records *r, const char *name, struct bytes bytes)
{
    add_member(r, name, bytes);
    if (is_text(bytes))
        return;
    add_printed(r, ",\"%s_base64\":\"", strcmp(name, "text") == 0 ? "value" : name);
    add(r, bytes, PIECE_BASE64);
    ADD(r, "\"");
}

/* How much of the text fits an escaped slice, not cutting through a character. */
static size_t slice_size(struct bytes rest, size_t room)
{
    size_t most = room / 6 < SLICE_SIZE_MAX ? room / 6 : SLICE_SIZE_MAX;
    if (rest.size <= most)
        return rest.size;
    size_t size = most;
    for (int back = 0; back < 3 && (rest.at[size] & 0xC0) == 0x80; back++)
        size--;
    return size;
}

/* Writes some of the piece in work. False: no room. */
static bool write_some(struct job_records *r, const struct piece *piece, struct writer *w)
{
    size_t room = (size_t)(w->end - w->at);
    struct bytes rest = { piece->bytes.at + r->piece_at, piece->bytes.size - r->piece_at };
    if (room < SLICE_ROOM_MIN)
        return false;
    if (piece->form == PIECE_BASE64) {
        size_t most = room / 4 * 3, size = rest.size < most ? rest.size : most; /* cut where no padding is due */
        base64_write(w, (struct bytes){ rest.at, size });
        r->piece_at += size;
        return true;
    }
    if (piece->form == PIECE_PLAIN) {
        size_t size = rest.size < room ? rest.size : room;
        write_bytes(w, (struct bytes){ rest.at, size });
        r->piece_at += size;
        return true;
    }
    size_t size = slice_size(rest, room);
    struct writer slice = writer_of(r->slice, sizeof r->slice);
    json_write_text(&slice, (struct bytes){ rest.at, size });
    must(!slice.full && size > 0);
    struct bytes quoted = writer_bytes(&slice);
    write_bytes(w, (struct bytes){ quoted.at + 1, quoted.size - 2 });
    r->piece_at += size;
    return true;
}

/* False: the room is full before the line is complete. */
static bool write_pieces(struct job_records *r, struct writer *w)
{
    while (r->piece_index < r->piece_count) {
        const struct piece *piece = &r->pieces[r->piece_index];
        if (r->piece_at < piece->bytes.size) {
            if (!write_some(r, piece, w))
                return false;
            continue;
        }
        r->piece_index++;
        r->piece_at = 0;
    }
    r->piece_index = r->piece_count = 0;
    r->writer = writer_of(r->text, sizeof r->text);
    return true;
}

/* ---- a record's line ---- */

static void add_header(struct job_records *r, uint32_t index, const struct record_header *header)
{
    if (index > 0)
        ADD(r, ",");
    ADD(r, "\"");
    add(r, header->name, PIECE_ESCAPED);
    if (header->value.at == NULL) {
        ADD(r, "\":null");
        return;
    }
    ADD(r, "\":\"");
    add(r, header->value, PIECE_ESCAPED);
    ADD(r, "\"");
}

static void add_headers(struct job_records *r, const struct record *record)
{
    if (record->header_count == 0)
        return;
    ADD(r, ",\"headers\":{");
    struct reader left = reader_of(record->headers);
    struct record_header header;
    for (uint32_t i = 0; i < record->header_count && i < BATCH_HEADER_COUNT_MAX; i++) {
        if (record_header_next(&left, &header) != NEAP_OK)
            break;
        add_header(r, i, &header);
    }
    ADD(r, "}");
}

/* JSON on one line goes in as it is; anything else as text. */
static void add_value(struct job *job, const struct record *record)
{
    struct job_records *r = job->records;
    struct json_value root;
    if (record->value.at == NULL) {
        ADD(r, ",\"value\":null");
    } else if (memchr(record->value.at, '\n', record->value.size) == NULL &&
               memchr(record->value.at, '\r', record->value.size) == NULL &&
               json_parse(job->parser, record->value, &root) == NEAP_OK) {
        ADD(r, ",\"value\":");
        add(r, record->value, PIECE_PLAIN);
    } else {
        add_bytes(r, "text", record->value);
    }
}

static void add_place(struct job *job, const struct record *record)
{
    char time[RFC3339_SIZE];
    add_printed(job->records, "{\"topic\":\"%s\",\"partition\":%llu,\"offset\":%llu,\"time\":\"%s\"", job->topic.name,
                (unsigned long long)job->partition, (unsigned long long)record->offset,
                rfc3339_write(time, (wall_time){ record->time_ms }));
    if (record->key.at != NULL)
        add_bytes(job->records, "key", record->key);
}

static void add_record(struct job *job, const struct record *record)
{
    add_place(job, record);
    add_headers(job->records, record);
    add_value(job, record);
    ADD(job->records, "}\n");
}

static void add_number(struct job_records *r, const char *name, uint64_t number)
{
    add_printed(r, ",\"%s\":%llu", name, (unsigned long long)number);
}

static void add_member_if(struct job_records *r, const char *name, struct bytes text)
{
    if (text.size > 0)
        add_member(r, name, text);
}

/* Which attempt it was, when, and what was said. */
static void add_history(struct job_records *r, const struct dead_letter_view *view)
{
    add_member(r, "reason", view->reason);
    add_member(r, "stage", view->stage);
    add_member(r, "error", view->error);
    add_member_if(r, "first_error", view->first_error);
    add_member(r, "pipeline", view->pipeline);
    add_number(r, "attempts", view->attempts);
    add_member_if(r, "first", view->first);
    add_member_if(r, "last", view->last);
    if (view->file.size > 0) {
        add_member(r, "file", view->file);
        add_printed(r, ",\"line\":%u,\"column\":%u", view->line, view->column);
    }
}

static void add_origin(struct job_records *r, const struct dead_letter_view *view)
{
    add_member_if(r, "id", view->id);
    add_member_if(r, "correlation", view->correlation);
    if (view->was_in_log) {
        ADD(r, ",\"event\":{\"topic\":");
        add_text(r, view->topic);
        add_printed(r, ",\"partition\":%u,\"offset\":%llu}", view->partition, (unsigned long long)view->offset.n);
    }
}

/* Of the event alone: what the letter tells about itself stands beside it. */
static void add_own_headers(struct job_records *r, const struct record *record)
{
    struct reader left = reader_of(record->headers);
    struct record_header header;
    uint32_t count = 0;
    for (uint32_t i = 0; i < record->header_count && count < BATCH_HEADER_COUNT_MAX; i++) {
        if (record_header_next(&left, &header) != NEAP_OK)
            break;
        if (dead_letter_owns(header.name))
            continue;
        if (count == 0)
            ADD(r, ",\"headers\":{");
        add_header(r, count++, &header);
    }
    if (count > 0)
        ADD(r, "}");
}

static void add_letter(struct job *job, const struct record *record, const struct job_letter *letter)
{
    static const char *const states[] = { "", "dropped", "redriven" };
    struct job_records *r = job->records;
    add_place(job, record);
    if (letter->view.reason.size > 0) {
        add_history(r, &letter->view);
        add_origin(r, &letter->view);
    }
    if (letter->state != SETTLED_NOT)
        add_printed(r, ",\"settled\":\"%s\"", states[letter->state]);
    if (redrive_count(record) > 0)
        add_number(r, "redrives", redrive_count(record));
    if (letter->view.full_size > 0)
        add_number(r, "full_size", letter->view.full_size);
    if (!job->filter.brief) {
        const char *hindrance = redrive_hindrance(&letter->view);
        add_own_headers(r, record);
        if (hindrance != NULL)
            add_member(r, "stays", bytes_of_text(hindrance));
        add_value(job, record);
    }
    ADD(r, "}\n");
}

/* ---- reading ---- */

/* In the place of the records that cannot be read. */
static void show_unreadable(struct job *job)
{
    struct job_records *r = job->records;
    uint64_t from = job->reading->next;
    add_printed(r, "{\"topic\":\"%s\",\"partition\":%llu,\"offset\":%llu,\"until\":%llu", job->topic.name,
                (unsigned long long)job->partition, (unsigned long long)from,
                (unsigned long long)job_reading_pass(job->reading));
    add_member(r, "unreadable", bytes_of_text(job->reading->unreadable.text));
    ADD(r, "}\n");
    r->count++;
}

static enum job_state read_records(struct job *job, struct writer *w,
                                   bool (*show)(struct job *job, const struct record *record))
{
    if (job->records == NULL) {
        job->records = calloc(1, sizeof *job->records);
        if (job->records == NULL)
            return job_fail(job, NEAP_NOMEM, "read: out of memory");
        job->records->writer = writer_of(job->records->text, sizeof job->records->text);
        if (!job_reading_open(job))
            return JOB_MORE;
    }
    struct job_records *r = job->records;
    for (;;) {
        if (!write_pieces(r, w))
            return JOB_MORE;
        struct record record;
        if (r->count >= job->limit && job->reading->next < job->reading->end)
            job_reading_stop(job->reading, job->reading->next);
        enum job_seen seen = job_reading_next(job, &record);
        if (job->ended)
            return JOB_MORE;
        if (seen == JOB_OVER)
            return job_end(job);
        if (seen == JOB_UNREADABLE)
            show_unreadable(job);
        else if (show(job, &record))
            r->count++;
    }
}

static bool show_record(struct job *job, const struct record *record)
{
    if (job->has_key && !bytes_equal(record->key, bytes_of_text(job->key)))
        return false;
    add_record(job, record);
    return true;
}

static bool show_letter(struct job *job, const struct record *record)
{
    struct job_letter letter;
    if (!job_letters_want(job, record, &letter))
        return false;
    add_letter(job, record, &letter);
    return true;
}

enum job_state job_topic_read(struct job *job, struct writer *w)
{
    return read_records(job, w, show_record);
}

enum job_state job_dlq_show(struct job *job, struct writer *w)
{
    return job_letters_open(job) ? read_records(job, w, show_letter) : JOB_MORE;
}
