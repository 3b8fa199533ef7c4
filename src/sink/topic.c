/* topic.c - events into another topic: one record batch per target partition, appended by the very unit that commits the
 * source. Nothing blocks, so there is no worker; land() only builds, `done` comes on a later turn.
 *
 * Where a record goes: by its key as Kafka's default partitioner does; without a key by the event's id; without either
 * the runs of 1,024 source offsets go round the partitions, which a replay does the same way. */
#include "base/map.h"
#include "base/murmur2.h"
#include "base/must.h"
#include "log/limits.h"
#include "sink/sinks.h"
#include <stdlib.h>

#define TOPIC_MAGIC     0x4e505350u
#define ROW_COUNT_MAX   8192u
#define RUN_BITS        10u /* 1,024 events without key and id go to one partition */
#define ROOM_COUNT_MAX  65536u
#define RECORD_OVERHEAD 64u /* lengths, deltas and attributes of one record */

/* FORMAT of a row in a batch, little-endian, never on disk: u32 partition, i64 time, u32 key size (NONE: no key),
 * u32 value size, u32 headers size, u32 header count; key, value, headers. */
#define ROW_HEADER_SIZE 28u
#define NONE            UINT32_MAX

struct topic_sink {
    struct sink sink;
    uint32_t magic;
    struct topic_sink_options options;
    struct map
        *rooms; /* where a batch's ops lie -> where its record batches do: both are its own until its unit is done */
    size_t room_size;
    size_t *starts; /* per target partition, while a batch is built: where its room begins */
    struct batch_builder *builders;
    struct record_header headers[BATCH_HEADER_COUNT_MAX];
    struct { /* answered on the next turn */
        struct sink_recover *recovers, **recovers_end;
        struct sink_batch *batches, **batches_end;
    } done;
};

static struct topic_sink *sink_of(struct sink *sink)
{
    struct topic_sink *s = (struct topic_sink *)sink;
    CHECK_MAGIC(s, TOPIC_MAGIC);
    return s;
}

/* ---- one event ---- */

static enum neap_status fail(const struct topic_sink *s, enum neap_status status, const char *message,
                             struct failure *failure)
{
    *failure = (struct failure){ .reason = "too_large", .stage = s->sink.name, .message = bytes_of_text(message) };
    return status;
}

/* A key that is no text is the JSON of what it is. nil: no key. */
static enum neap_status key_of(const struct topic_sink *s, const struct event *event, struct arena *arena,
                               struct bytes *ret_key, struct failure *failure)
{
    if (s->options.key == NULL) {
        *ret_key = event->key;
        return NEAP_OK;
    }
    struct value v;
    enum neap_status status = expr_eval(s->options.key, event, arena, &v, failure);
    if (status != NEAP_OK) {
        failure->stage = s->sink.name;
        return status;
    }
    if (v.kind == VALUE_NIL) {
        *ret_key = (struct bytes){ 0 };
    } else if (v.kind == VALUE_TEXT || v.kind == VALUE_JSON) {
        *ret_key = (struct bytes){ v.text.at == NULL ? (const uint8_t *)"" : v.text.at, v.text.size };
    } else {
        uint8_t *room = arena_take(arena, 64);
        if (room == NULL)
            return fail(s, NEAP_TOOLARGE, "no memory for the key", failure);
        struct writer w = writer_of(room, 64);
        value_write_json(&w, &v);
        must(!w.full);
        *ret_key = writer_bytes(&w);
    }
    return NEAP_OK;
}

static uint32_t partition_of(const struct topic_sink *s, const struct event *event, struct bytes key)
{
    uint32_t count = s->options.partition_count;
    if (key.at != NULL)
        return murmur2_partition(key, count);
    if (event->id.at != NULL)
        return murmur2_partition(event->id, count);
    return (uint32_t)((event->partition + (event->offset.n >> RUN_BITS)) % count);
}

static void write_row(struct writer *w, uint32_t partition, const struct event *event, struct bytes key,
                      struct bytes json)
{
    write_le32(w, partition);
    write_le64(w, (uint64_t)event->time_ms);
    write_le32(w, key.at == NULL ? NONE : (uint32_t)key.size);
    write_le32(w, (uint32_t)json.size);
    write_le32(w, (uint32_t)event->headers.size);
    write_le32(w, event->header_count);
    write_bytes(w, key);
    write_bytes(w, json);
    write_bytes(w, event->headers);
    must(!w->full);
}

static enum neap_status add(struct sink *sink, struct writer *rows, const struct event *event, struct arena *arena,
                            struct failure *failure)
{
    struct topic_sink *s = sink_of(sink);
    struct bytes key, json;
    enum neap_status status = key_of(s, event, arena, &key, failure);
    if (status != NEAP_OK)
        return status;
    if (event_json(event, arena, &json) != NEAP_OK)
        return fail(s, NEAP_TOOLARGE, "the event is too large for a record", failure);
    size_t record_size = key.size + json.size + event->headers.size;
    if (s->options.key_needed && key.at == NULL) {
        *failure = (struct failure){ .reason = "refused",
                                     .stage = sink->name,
                                     .message = BYTES("the topic is compacted, which takes a key, and there is none") };
        return NEAP_REFUSED;
    }
    if (record_size > s->options.record_size_max || ROW_HEADER_SIZE + record_size > sink->batch_size)
        return fail(s, NEAP_TOOLARGE, "key, value and headers together are too large for a record", failure);
    if (ROW_HEADER_SIZE + record_size > (size_t)(rows->end - rows->at))
        return NEAP_AGAIN;
    write_row(rows, partition_of(s, event, key), event, key, json);
    return NEAP_OK;
}

/* ---- a batch ---- */

struct row {
    uint32_t partition;
    struct record record;
};

static struct row read_row(struct reader *r)
{
    struct row row = { .partition = read_le32(r) };
    row.record.time_ms = (int64_t)read_le64(r);
    uint32_t key_size = read_le32(r), value_size = read_le32(r), headers_size = read_le32(r);
    row.record.header_count = read_le32(r);
    if (key_size != NONE)
        row.record.key = read_bytes(r, key_size);
    row.record.value = read_bytes(r, value_size);
    row.record.headers = read_bytes(r, headers_size);
    return row;
}

static size_t row_room(const struct row *row)
{
    return RECORD_OVERHEAD + row->record.key.size + row->record.value.size + row->record.headers.size;
}

static uint8_t *room_of(struct topic_sink *s, const struct sink_batch *batch)
{
    const struct bytes name = { (const uint8_t *)&batch->ops, sizeof batch->ops };
    uint8_t *room = map_get(s->rooms, name);
    if (room != NULL)
        return room;
    room = malloc(s->room_size);
    if (room != NULL && map_put(s->rooms, name, room, NULL) != NEAP_OK) {
        free(room);
        room = NULL;
    }
    return room;
}

/* First pass: how much each partition takes at most; afterwards its room is starts[p] .. starts[p + 1], empty where nothing
 * goes there. */
static void lay_out(struct topic_sink *s, const struct sink_batch *batch)
{
    uint32_t count = s->options.partition_count;
    memset(s->starts, 0, (count + 1) * sizeof *s->starts);
    struct reader r = reader_of(batch->rows);
    for (uint32_t i = 0; i < batch->row_count; i++) {
        struct row row = read_row(&r);
        must(row.partition < count);
        if (s->starts[row.partition + 1] == 0)
            s->starts[row.partition + 1] = BATCH_HEADER_SIZE;
        s->starts[row.partition + 1] += row_room(&row);
    }
    must(!r.spent && reader_left(&r) == 0); /* add() wrote whole rows */
    for (uint32_t p = 0; p < count; p++)
        s->starts[p + 1] += s->starts[p];
    must(s->starts[count] <= s->room_size);
}

static uint32_t read_headers(struct topic_sink *s, const struct record *record)
{
    struct reader left = reader_of(record->headers);
    uint32_t count = 0;
    while (count < record->header_count && count < BATCH_HEADER_COUNT_MAX) {
        enum neap_status status = record_header_next(&left, &s->headers[count]);
        must(status == NEAP_OK); /* they were read out of a record */
        count++;
    }
    return count;
}

/* Second pass: the records into their partitions' batches, in the order they came. */
static void fill(struct topic_sink *s, const struct sink_batch *batch, uint8_t *room)
{
    for (uint32_t p = 0; p < s->options.partition_count; p++) {
        size_t size = s->starts[p + 1] - s->starts[p];
        if (size > 0)
            batch_begin(&s->builders[p], room + s->starts[p], size);
    }
    struct reader r = reader_of(batch->rows);
    for (uint32_t i = 0; i < batch->row_count; i++) {
        struct row row = read_row(&r);
        uint32_t header_count = read_headers(s, &row.record);
        enum neap_status status = batch_add(&s->builders[row.partition], &row.record, s->headers, header_count);
        must(status == NEAP_OK); /* lay_out() made the room */
    }
}

static void finish(struct topic_sink *s, struct sink_batch *batch)
{
    for (uint32_t p = 0; p < s->options.partition_count; p++) {
        if (s->starts[p + 1] == s->starts[p])
            continue;
        must(batch->op_count < SINK_OP_COUNT_MAX);
        batch->ops[batch->op_count++] = (struct log_op){ .kind = LOG_APPEND,
                                                         .target = { s->options.topic_id, p },
                                                         .count = s->builders[p].count,
                                                         .payload = batch_end(&s->builders[p]) };
    }
}

static void build(struct topic_sink *s, struct sink_batch *batch)
{
    batch->op_count = batch->refused_count = 0;
    uint8_t *room = room_of(s, batch);
    if (room == NULL) {
        batch->status = error_set(&batch->error, NEAP_AGAIN, "no memory for a batch of topic records");
        return;
    }
    lay_out(s, batch);
    fill(s, batch, room);
    finish(s, batch);
    batch->status = NEAP_OK;
}

/* ---- verbs ---- */

static void recover(struct sink *sink, struct sink_recover *r)
{
    struct topic_sink *s = sink_of(sink);
    r->status = NEAP_OK; /* the source's offset in the log is all there is to know */
    r->row = r->stranger = (struct sink_row){ 0 };
    r->rows_there = false;
    r->next_ = NULL;
    *s->done.recovers_end = r;
    s->done.recovers_end = &r->next_;
    io_agent_wake(r->agent);
}

static void land(struct sink *sink, struct sink_batch *batch)
{
    struct topic_sink *s = sink_of(sink);
    must(batch->row_count <= sink->row_count_max && batch->ops != NULL);
    build(s, batch);
    batch->next_ = NULL;
    *s->done.batches_end = batch;
    s->done.batches_end = &batch->next_;
    io_agent_wake(batch->agent);
}

static uint32_t work(struct sink *sink)
{
    struct topic_sink *s = sink_of(sink);
    struct sink_recover *r = s->done.recovers;
    struct sink_batch *b = s->done.batches;
    s->done.recovers = NULL;
    s->done.recovers_end = &s->done.recovers;
    s->done.batches = NULL;
    s->done.batches_end = &s->done.batches;
    uint32_t count = 0;
    for (struct sink_recover *next; r != NULL; r = next, count++) {
        next = r->next_;
        r->done(r);
    }
    for (struct sink_batch *next; b != NULL; b = next, count++) {
        next = b->next_;
        b->done(b);
    }
    return count;
}

static void sink_free(struct topic_sink *s)
{
    if (s->rooms != NULL)
        map_free(&s->rooms, free);
    free(s->starts);
    free(s->builders);
    s->magic = 0;
    free(s);
}

static void close_sink(struct sink *sink)
{
    struct topic_sink *s = sink_of(sink);
    must(s->done.batches == NULL && s->done.recovers == NULL);
    sink_free(s);
}

static const struct sink_verbs verbs = { .kind = "topic",
                                         .exactly_once = true,
                                         .add = add,
                                         .recover = recover,
                                         .land = land,
                                         .work = work,
                                         .close = close_sink };

enum neap_status topic_sink_open(const struct topic_sink_options *options, struct sink **ret_sink, struct error *err)
{
    uint32_t count = options->partition_count;
    must(count > 0 && count <= TOPIC_PARTITION_COUNT_MAX);
    struct topic_sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory for the topic sink");
    s->magic = TOPIC_MAGIC;
    s->options = *options;
    s->options.record_size_max = options->record_size_max != 0 ? options->record_size_max : RECORD_SIZE_MAX;
    s->sink = (struct sink){ .verbs = &verbs,
                             .name = options->name,
                             .batch_size = options->batch_size == 0 ? TOPIC_BATCH_SIZE : options->batch_size,
                             .row_count_max = count > SINK_OP_COUNT_MAX ? SINK_OP_COUNT_MAX : ROW_COUNT_MAX };
    s->room_size = s->sink.batch_size + (size_t)s->sink.row_count_max * (RECORD_OVERHEAD + BATCH_HEADER_SIZE);
    s->done.recovers_end = &s->done.recovers;
    s->done.batches_end = &s->done.batches;
    s->rooms = map_new(ROOM_COUNT_MAX);
    s->starts = calloc(count + 1, sizeof *s->starts);
    s->builders = calloc(count, sizeof *s->builders);
    if (s->rooms == NULL || s->starts == NULL || s->builders == NULL) {
        sink_free(s);
        return error_set(err, NEAP_NOMEM, "out of memory for the topic sink");
    }
    *ret_sink = &s->sink;
    return NEAP_OK;
}
