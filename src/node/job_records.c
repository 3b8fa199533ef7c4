/* job_records.c - records and dead letters, one line each, whatever their size.
 *
 * A line is a list of pieces: literal text, and bytes of the record that are copied or escaped as room comes free. So a
 * record of a megabyte needs no line buffer of six. The bytes stay valid until the reader's next batch. */
#include "base/base64.h"
#include "base/must.h"
#include "base/rfc3339.h"
#include "base/utf8.h"
#include "flow/dead_letter.h"
#include "node/job.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECE_COUNT_MAX (6u * BATCH_HEADER_COUNT_MAX + 32u)
#define TEXT_SIZE_MAX   4096u /* of the literal parts that hold numbers and names */
#define SLICE_SIZE_MAX  1024u /* of text escaped in one go; each byte may become six */
#define SLICE_ROOM_MIN  64u
#define DEAD_READ_SIZE  65536u
#define RECORD_COST     16u /* of one that is passed over, as bytes: an answer is bounded in what it looks at, too */

enum piece_form { PIECE_PLAIN, PIECE_ESCAPED, PIECE_BASE64 };

struct piece {
    struct bytes bytes;
    enum piece_form form;
};

struct job_records {
    struct log_reader *reader;
    struct batch batch;
    struct batch_walk walk;
    struct codec_room unpack;
    bool batch_open, more;
    uint64_t next, end, read_size, count;
    struct error unreadable; /* why the rest of the batch is not shown */

    struct piece pieces[PIECE_COUNT_MAX];
    uint32_t piece_count, piece_index;
    size_t piece_at;
    char text[TEXT_SIZE_MAX];
    struct writer writer; /* into text */
    uint8_t slice[6u * SLICE_SIZE_MAX + 2u];
};

void job_records_free(struct job_records **records)
{
    if (*records == NULL)
        return;
    log_reader_close(&(*records)->reader);
    codec_room_fini(&(*records)->unpack);
    free(*records);
    *records = NULL;
}

void job_records_end(struct job *job, struct writer *w)
{
    struct job_records *r = job->records;
    job_print(w, ",\"next\":%llu,\"more\":%s", (unsigned long long)r->next, r->more ? "true" : "false");
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
        if (i > 0)
            ADD(r, ",");
        ADD(r, "\"");
        add(r, header.name, PIECE_ESCAPED);
        if (header.value.at == NULL) {
            ADD(r, "\":null");
        } else {
            ADD(r, "\":\"");
            add(r, header.value, PIECE_ESCAPED);
            ADD(r, "\"");
        }
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

static void show_record(struct job *job, const struct record *record)
{
    add_place(job, record);
    add_headers(job->records, record);
    add_value(job, record);
    ADD(job->records, "}\n");
}

static void show_dead_letter(struct job *job, const struct record *record)
{
    struct job_records *r = job->records;
    struct dead_letter_view view = { 0 };
    add_place(job, record);
    if (dead_letter_read(record, &view) == NEAP_OK && view.reason.size > 0) {
        add_member(r, "reason", view.reason);
        add_member(r, "stage", view.stage);
        add_member(r, "error", view.error);
        add_member(r, "pipeline", view.pipeline);
        add_printed(r, ",\"attempts\":%u", view.attempts);
        if (view.first.size > 0)
            add_member(r, "first", view.first);
        if (view.last.size > 0)
            add_member(r, "last", view.last);
        if (view.file.size > 0) {
            add_member(r, "file", view.file);
            add_printed(r, ",\"line\":%u,\"column\":%u", view.line, view.column);
        }
        if (view.was_in_log) {
            ADD(r, ",\"event\":{\"topic\":");
            add_text(r, view.topic);
            add_printed(r, ",\"partition\":%u,\"offset\":%llu}", view.partition, (unsigned long long)view.offset.n);
        }
    }
    add_value(job, record);
    ADD(r, "}\n");
}

/* ---- reading ---- */

/* From where to where. What comes in meanwhile is for the next question. */
static enum neap_status find_range(struct job *job, struct job_records *r, struct error *err)
{
    struct log_partition at = { job->topic.id, (uint32_t)job->partition };
    log_offset start = { 0 }, end = { 0 }, from = { job->from };
    enum neap_status status = log_partition_range(job->context.log, at, &start, &end);
    if (status == NEAP_OK && job->place == JOB_PLACE_TIME)
        status = log_offset_at(job->context.log, at, job->time, &from, err);
    else if (job->place == JOB_PLACE_LATEST)
        from = end;
    if (job->last > 0)
        from.n = end.n > job->last ? end.n - job->last : 0;
    r->next = from.n > start.n ? from.n : start.n;
    r->end = end.n;
    return status == NEAP_OK ? NEAP_OK : error_set(err, status, "where it begins: %s", status_text(status));
}

static enum job_state open_records(struct job *job)
{
    if (log_topic_find(job->context.log, job->topic_name, &job->topic) != NEAP_OK)
        return job_fail(job, NEAP_NOTFOUND, "no topic '%s'", job->topic_name);
    if (job->partition >= job->topic.partition_count)
        return job_fail(job, NEAP_NOTFOUND, "topic '%s' has no partition %llu: it has %u", job->topic_name,
                        (unsigned long long)job->partition, job->topic.partition_count);
    struct job_records *r = job->records = calloc(1, sizeof *job->records);
    if (r == NULL)
        return job_fail(job, NEAP_NOMEM, "read: out of memory");
    r->writer = writer_of(r->text, sizeof r->text);
    codec_room_init(&r->unpack, BATCH_UNPACKED_SIZE_MAX);
    struct error error = { 0 };
    enum neap_status status = find_range(job, r, &error);
    if (status == NEAP_OK)
        status = log_reader_open(job->context.log, (struct log_partition){ job->topic.id, (uint32_t)job->partition },
                                 (log_offset){ r->next }, 0, &r->reader, &error);
    if (status != NEAP_OK)
        return job_fail(job, status, "%s", error.text);
    return JOB_MORE;
}

static enum neap_status open_next_batch(struct job_records *r, struct error *err)
{
    struct log_batch from;
    enum neap_status status = log_reader_next(r->reader, &from, err);
    if (status != NEAP_OK)
        return status;
    status = batch_open(from.bytes, false, &r->batch);
    if (status != NEAP_OK)
        return error_set(err, NEAP_CORRUPT, "the batch at offset %llu: %s", (unsigned long long)from.base.n,
                         status_text(status));
    r->batch_open = true;
    return batch_unpack(&r->batch, &r->unpack, &r->walk);
}

/* The next record at or after `next`. AGAIN: there is none. BADINPUT, TOOLARGE: not before `next`, which is now where the
 * following batch begins; r->unreadable says why. */
static enum neap_status next_record(struct job_records *r, struct record *ret_record, struct error *err)
{
    for (;;) {
        enum neap_status status = r->batch_open ? NEAP_OK : open_next_batch(r, err);
        if (!r->batch_open)
            return status;
        if (status == NEAP_OK)
            status = batch_next(&r->walk, ret_record);
        if (status == NEAP_OK && ret_record->offset >= r->next)
            return NEAP_OK;
        if (status == NEAP_OK)
            continue;
        r->batch_open = false;
        if (status == NEAP_NOTFOUND)
            continue;
        if (status == NEAP_NOMEM)
            return error_set(err, status, "read: out of memory");
        return error_set(&r->unreadable, status, "the batch at offset %llu (%s) %s: %s",
                         (unsigned long long)r->batch.base_offset, codec_name(batch_codec(&r->batch)),
                         r->next >= r->batch.base_offset + r->batch.span ? "has bytes behind its last event"
                                                                         : "cannot be read from here on",
                         status_text(status));
    }
}

/* In the place of the records that cannot be read. */
static void show_unreadable(struct job *job)
{
    struct job_records *r = job->records;
    uint64_t until = r->batch.base_offset + r->batch.span;
    if (until < r->next) /* all that it counts were read; what is left is nobody's */
        until = r->next;
    add_printed(r, "{\"topic\":\"%s\",\"partition\":%llu,\"offset\":%llu,\"until\":%llu", job->topic.name,
                (unsigned long long)job->partition, (unsigned long long)r->next, (unsigned long long)until);
    add_member(r, "unreadable", bytes_of_text(r->unreadable.text));
    ADD(r, "}\n");
    r->next = until;
    r->count++;
}

static enum job_state read_records(struct job *job, struct writer *w,
                                   void (*show)(struct job *job, const struct record *record))
{
    if (job->records == NULL) {
        enum job_state state = open_records(job);
        if (job->ended)
            return state;
    }
    struct job_records *r = job->records;
    for (;;) {
        if (!write_pieces(r, w))
            return JOB_MORE;
        if (r->next >= r->end)
            return job_end(job);
        if (r->count >= job->limit || r->read_size >= CONTROL_READ_SIZE_MAX) {
            r->more = true;
            return job_end(job);
        }
        struct record record;
        struct error error = { 0 };
        enum neap_status status = next_record(r, &record, &error);
        if (status == NEAP_AGAIN)
            return job_end(job);
        if (status == NEAP_BADINPUT || status == NEAP_TOOLARGE) {
            show_unreadable(job);
            continue;
        }
        if (status != NEAP_OK)
            return job_fail(job, status, "%s", error.text);
        r->next = record.offset + 1;
        r->read_size += record.value.size + record.key.size + record.headers.size + RECORD_COST;
        if (job->has_key && !bytes_equal(record.key, bytes_of_text(job->key)))
            continue;
        r->count++;
        show(job, &record);
    }
}

enum job_state job_topic_read(struct job *job, struct writer *w)
{
    return read_records(job, w, show_record);
}

enum job_state job_dlq_show(struct job *job, struct writer *w)
{
    return read_records(job, w, show_dead_letter);
}

/* ---- which topics hold dead letters ---- */

static bool first_is_dead_letter(struct job *job, const struct log_topic *topic, uint32_t partition)
{
    struct job_records *r = calloc(1, sizeof *r);
    struct record record;
    struct dead_letter_view view = { 0 };
    if (r != NULL)
        codec_room_init(&r->unpack, BATCH_UNPACKED_SIZE_MAX);
    bool is = r != NULL &&
              log_reader_open(job->context.log, (struct log_partition){ topic->id, partition }, (log_offset){ 0 },
                              DEAD_READ_SIZE, &r->reader, NULL) == NEAP_OK &&
              next_record(r, &record, NULL) == NEAP_OK && dead_letter_read(&record, &view) == NEAP_OK &&
              view.reason.size > 0;
    job_records_free(&r);
    return is;
}

/* By its first record; an empty one by its mark, or by its name, as pipelines give it by default. */
static bool holds_dead_letters(struct job *job, const struct log_topic *topic, uint64_t *ret_count)
{
    uint64_t count = 0;
    bool is = false, known = false;
    for (uint32_t p = 0; p < topic->partition_count; p++) {
        uint64_t end = job_partition_end(job, topic->id, p);
        if (end > 0 && !known) {
            is = first_is_dead_letter(job, topic, p);
            known = true;
        }
        count += job_partition_kept(job, topic->id, p);
    }
    size_t size = strlen(topic->name);
    if (!known)
        is = dead_letter_is_marked(job->context.log, topic->id) ||
             (size > 5 && strcmp(topic->name + size - 5, DEAD_LETTER_SUFFIX) == 0);
    *ret_count = count;
    return is;
}

enum job_state job_dlq_list(struct job *job, struct writer *w)
{
    struct log_topic topic;
    while (log_topic_at(job->context.log, job->topic_index, &topic)) {
        if (!job_has_room(w))
            return JOB_MORE;
        uint64_t count;
        if (holds_dead_letters(job, &topic, &count))
            job_print(w, "{\"topic\":\"%s\",\"events\":%llu}\n", topic.name, (unsigned long long)count);
        job->topic_index++;
    }
    return job_end(job);
}
