#include "log/batch.h"
#include "base/crc32c.h"
#include "base/must.h"

/* Where the fields of the header lie (batch.h, FORMAT). */
enum {
    AT_BASE_OFFSET = 0,
    AT_LENGTH = 8,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,
    AFTER_LENGTH = 12,
};
#define MAGIC_V2 2u
enum {
    ATTRIBUTE_CODEC = 7,
    ATTRIBUTE_TIME_IS_APPEND = 8, /* the broker's time of append, in the max timestamp, stands for every record's own */
};
#define NO_BYTES ((struct bytes){ NULL, 0 })

/* ---- writing ---- */

void batch_begin(struct batch_builder *b, void *room, size_t size)
{
    *b = (struct batch_builder){ .writer = writer_of(room, size < INT32_MAX ? size : INT32_MAX) };
    write_zeros(&b->writer, BATCH_HEADER_SIZE);
}

/* A difference that wraps is undone by the sum that wraps. */
static int64_t time_delta(int64_t time_ms, int64_t base_ms)
{
    return (int64_t)((uint64_t)time_ms - (uint64_t)base_ms);
}

static size_t optional_size(struct bytes b)
{
    return b.at == NULL ? varint_size(-1) : varint_size((int64_t)b.size) + b.size;
}

static void write_optional(struct writer *w, struct bytes b)
{
    if (b.at == NULL) {
        write_varint(w, -1);
        return;
    }
    write_varint(w, (int64_t)b.size);
    write_bytes(w, b);
}

struct headers { /* of a record: a list, or as they lie in another batch */
    const struct record_header *list;
    struct bytes read;
    uint32_t count;
};

static size_t headers_size(const struct headers *headers)
{
    size_t size = varint_size(headers->count) + headers->read.size;
    for (uint32_t i = 0; headers->list != NULL && i < headers->count; i++)
        size += varint_size((int64_t)headers->list[i].name.size) + headers->list[i].name.size +
                optional_size(headers->list[i].value);
    return size;
}

static void write_headers(struct writer *w, const struct headers *headers)
{
    write_varint(w, headers->count);
    for (uint32_t i = 0; headers->list != NULL && i < headers->count; i++) {
        write_varint(w, (int64_t)headers->list[i].name.size);
        write_bytes(w, headers->list[i].name);
        write_optional(w, headers->list[i].value);
    }
    if (headers->read.size > 0)
        write_bytes(w, headers->read);
}

/* What follows the record's length field. */
static size_t body_size(const struct record *record, int64_t time, uint32_t offset, const struct headers *headers)
{
    return 1 + varint_size(time) + varint_size(offset) + optional_size(record->key) + optional_size(record->value) +
           headers_size(headers);
}

size_t batch_record_size_max(const struct record *record, const struct record_header *headers, uint32_t header_count)
{
    struct headers all = { .list = headers, .count = header_count };
    size_t size = body_size(record, INT64_MIN, INT32_MAX, &all);
    return varint_size((int64_t)size) + size;
}

/* `offset`: how far it lies from the first. */
static enum neap_status add(struct batch_builder *b, const struct record *record, uint32_t offset,
                            const struct headers *headers)
{
    int64_t base_ms = b->count == 0 ? record->time_ms : b->base_time_ms;
    int64_t time = time_delta(record->time_ms, base_ms);
    size_t size = body_size(record, time, offset, headers);
    struct writer *w = &b->writer;
    size_t left = (size_t)(w->end - w->at);
    if (w->full || b->count == INT32_MAX || size > left || varint_size((int64_t)size) > left - size)
        return NEAP_AGAIN;

    uint8_t *start = w->at;
    write_varint(w, (int64_t)size);
    uint8_t *body = w->at;
    write_u8(w, 0);
    write_varint(w, time);
    write_varint(w, offset);
    write_optional(w, record->key);
    write_optional(w, record->value);
    write_headers(w, headers);
    must(!w->full && (size_t)(w->at - body) == size && w->at > start);
    b->max_time_ms = b->count == 0 || record->time_ms > b->max_time_ms ? record->time_ms : b->max_time_ms;
    b->base_time_ms = base_ms;
    b->span = offset + 1;
    b->count++;
    return NEAP_OK;
}

enum neap_status batch_add(struct batch_builder *b, const struct record *record, const struct record_header *headers,
                           uint32_t header_count)
{
    must(header_count == 0 || headers != NULL);
    if (header_count > BATCH_HEADER_COUNT_MAX)
        return NEAP_TOOLARGE;
    return add(b, record, b->count, &(struct headers){ .list = headers, .count = header_count });
}

void batch_begin_read(struct batch_builder *b, void *room, size_t size, uint64_t base_offset)
{
    batch_begin(b, room, size);
    b->base_offset = base_offset;
}

enum neap_status batch_add_read(struct batch_builder *b, const struct record *record)
{
    must(record->offset >= b->base_offset + b->span);
    uint64_t offset = record->offset - b->base_offset;
    if (offset >= INT32_MAX)
        return NEAP_AGAIN;
    return add(b, record, (uint32_t)offset,
               &(struct headers){ .read = record->headers, .count = record->header_count });
}

struct bytes batch_end(struct batch_builder *b)
{
    must(b->count > 0 && !b->writer.full);
    struct bytes all = writer_bytes(&b->writer);
    struct writer w = writer_of(b->writer.start, BATCH_HEADER_SIZE);
    write_be64(&w, b->base_offset);
    write_be32(&w, (uint32_t)(all.size - AFTER_LENGTH));
    write_be32(&w, 0);
    write_u8(&w, MAGIC_V2);
    write_be32(&w, 0); /* the CRC, below */
    write_be16(&w, 0);
    write_be32(&w, b->span - 1);
    write_be64(&w, (uint64_t)b->base_time_ms);
    write_be64(&w, (uint64_t)b->max_time_ms);
    write_be64(&w, UINT64_MAX); /* no producer: id, epoch and sequence are -1 */
    write_be16(&w, UINT16_MAX);
    write_be32(&w, UINT32_MAX);
    write_be32(&w, b->count);
    must(!w.full && writer_size(&w) == BATCH_HEADER_SIZE);
    put_be32(b->writer.start + AT_CRC, crc32c(0, all.at + AT_ATTRIBUTES, all.size - AT_ATTRIBUTES));
    return all;
}

struct bytes batch_end_read(struct batch_builder *b, uint64_t end)
{
    must(end >= b->base_offset + b->span && end - b->base_offset <= INT32_MAX);
    b->span = (uint32_t)(end - b->base_offset);
    return batch_end(b);
}

void batch_stamp(uint8_t *batch, uint64_t base_offset)
{
    must(batch[AT_MAGIC] == MAGIC_V2 && base_offset <= INT64_MAX);
    put_be64(batch + AT_BASE_OFFSET, base_offset);
}

static enum neap_status pack(struct bytes plain, enum codec codec, bool hard, void *room, size_t size,
                             struct bytes *ret_batch)
{
    struct batch from;
    struct bytes packed;
    enum neap_status status = batch_open(plain, false, &from);
    if (status != NEAP_OK || batch_codec(&from) != CODEC_NONE)
        return NEAP_BADINPUT;
    if (size < BATCH_HEADER_SIZE)
        return NEAP_AGAIN;
    uint8_t *to = room, *behind = to + BATCH_HEADER_SIZE;
    size_t left = size < INT32_MAX ? size - BATCH_HEADER_SIZE : INT32_MAX - BATCH_HEADER_SIZE;
    status = hard ? codec_pack_hard(from.records, behind, left, &packed)
                  : codec_pack(codec, from.records, behind, left, &packed);
    if (status != NEAP_OK)
        return status;
    memcpy(to, plain.at, BATCH_HEADER_SIZE);
    put_be32(to + AT_LENGTH, (uint32_t)(BATCH_HEADER_SIZE - AFTER_LENGTH + packed.size));
    to[AT_ATTRIBUTES + 1] = (uint8_t)((to[AT_ATTRIBUTES + 1] & ~ATTRIBUTE_CODEC) | codec);
    *ret_batch = (struct bytes){ to, BATCH_HEADER_SIZE + packed.size };
    put_be32(to + AT_CRC, crc32c(0, to + AT_ATTRIBUTES, ret_batch->size - AT_ATTRIBUTES));
    return NEAP_OK;
}

enum neap_status batch_pack(struct bytes plain, enum codec codec, void *room, size_t size, struct bytes *ret_batch)
{
    return pack(plain, codec, false, room, size, ret_batch);
}

enum neap_status batch_pack_hard(struct bytes plain, void *room, size_t size, struct bytes *ret_batch)
{
    return pack(plain, CODEC_ZSTD, true, room, size, ret_batch);
}

/* ---- reading ---- */

enum codec batch_codec(const struct batch *batch)
{
    return (enum codec)(batch->attributes & ATTRIBUTE_CODEC);
}

enum neap_status batch_open(struct bytes bytes, bool check_crc, struct batch *ret_batch)
{
    if (bytes.size < BATCH_HEADER_SIZE)
        return NEAP_BADINPUT;
    const uint8_t *at = bytes.at; /* in place: every batch that anybody reads comes by here */
    struct batch b = { .base_offset = get_be64(at + AT_BASE_OFFSET) };
    uint32_t length = get_be32(at + AT_LENGTH);
    if (length < BATCH_HEADER_SIZE - AFTER_LENGTH || length > bytes.size - AFTER_LENGTH || length > INT32_MAX)
        return NEAP_BADINPUT;
    b.size = AFTER_LENGTH + length; /* what follows, the leader's epoch, means nothing here */
    uint8_t magic = at[AT_MAGIC];
    b.crc = get_be32(at + AT_CRC);
    b.attributes = (uint16_t)(at[AT_ATTRIBUTES] << 8 | at[AT_ATTRIBUTES + 1]);
    uint32_t last_delta = get_be32(at + 23);
    b.base_time_ms = (int64_t)get_be64(at + 27);
    b.max_time_ms = (int64_t)get_be64(at + 35);
    b.producer_id = (int64_t)get_be64(at + 43);
    b.producer_epoch = (int16_t)(at[51] << 8 | at[52]);
    b.base_sequence = (int32_t)get_be32(at + 53);
    b.count = get_be32(at + 57);
    b.records = (struct bytes){ at + BATCH_HEADER_SIZE, b.size - BATCH_HEADER_SIZE };
    if (magic != MAGIC_V2 || last_delta >= INT32_MAX || b.count == 0 || b.count > last_delta + 1)
        return NEAP_BADINPUT;
    b.span = last_delta + 1;
    if (b.base_offset > (uint64_t)INT64_MAX - b.span || (b.attributes & ATTRIBUTE_CODEC) >= CODEC_COUNT)
        return NEAP_BADINPUT;
    if (batch_codec(&b) == CODEC_NONE && b.count > b.records.size / BATCH_RECORD_SIZE_MIN)
        return NEAP_BADINPUT;
    if (check_crc && b.crc != crc32c(0, bytes.at + AT_ATTRIBUTES, b.size - AT_ATTRIBUTES))
        return NEAP_CORRUPT;
    *ret_batch = b;
    return NEAP_OK;
}

/* As read_varint(); the one and two bytes that most numbers of a record take are not worth a call. */
static inline int64_t quick_varint(struct reader *r)
{
    size_t left = r->spent ? 0 : (size_t)(r->end - r->at);
    uint32_t n;
    if (left >= 1 && r->at[0] < 0x80) {
        n = r->at[0];
        r->at += 1;
    } else if (left >= 2 && r->at[1] < 0x80) {
        n = (r->at[0] & 0x7fu) | (uint32_t)r->at[1] << 7;
        r->at += 2;
    } else {
        return read_varint(r);
    }
    return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
}

/* A size that was read, as long as it is one and what it counts is there. */
static inline struct bytes read_sized(struct reader *r, bool optional)
{
    int64_t size = quick_varint(r);
    if (size == -1 && optional && !r->spent)
        return NO_BYTES;
    if (size < 0 || r->spent || (uint64_t)size > (size_t)(r->end - r->at)) {
        r->spent = true;
        return NO_BYTES;
    }
    struct bytes bytes = { r->at, (size_t)size };
    r->at += size;
    return bytes;
}

enum neap_status record_header_next(struct reader *left, struct record_header *ret_header)
{
    if (!left->spent && reader_left(left) == 0)
        return NEAP_NOTFOUND;
    struct record_header header = { .name = read_sized(left, false) };
    header.value = read_sized(left, true);
    if (left->spent)
        return NEAP_BADINPUT;
    *ret_header = header;
    return NEAP_OK;
}

static bool read_headers(struct reader *r, struct record *record)
{
    int64_t count = quick_varint(r);
    if (r->spent || count < 0 || count > BATCH_HEADER_COUNT_MAX)
        return false;
    record->header_count = (uint32_t)count;
    record->headers = (struct bytes){ r->at, reader_left(r) };
    struct record_header header;
    for (int64_t i = 0; i < count; i++)
        if (record_header_next(r, &header) != NEAP_OK)
            return false;
    return reader_left(r) == 0;
}

enum neap_status batch_unpack(const struct batch *batch, struct codec_room *room, struct batch_walk *ret_walk)
{
    struct bytes records = batch->records;
    if (batch_codec(batch) != CODEC_NONE) {
        if (room == NULL)
            return NEAP_BADINPUT;
        enum neap_status status = codec_unpack(batch_codec(batch), batch->records, room, &records);
        if (status != NEAP_OK)
            return status;
        if (batch->count > records.size / BATCH_RECORD_SIZE_MIN)
            return NEAP_BADINPUT;
    }
    *ret_walk = (struct batch_walk){ .left = reader_of(records),
                                     .base_offset = batch->base_offset,
                                     .count = batch->count,
                                     .span = batch->span,
                                     .base_time_ms = batch->base_time_ms,
                                     .appended_ms = batch->max_time_ms,
                                     .time_is_append = (batch->attributes & ATTRIBUTE_TIME_IS_APPEND) != 0 };
    return NEAP_OK;
}

uint64_t batch_walk_next(const struct batch_walk *walk)
{
    return walk->base_offset + walk->delta_least;
}

bool batch_walk_over(const struct batch_walk *walk)
{
    return walk->index == walk->count;
}

/* As many records are still to come as offsets at least are left for them. */
static bool delta_fits(const struct batch_walk *walk, int64_t delta)
{
    return delta >= walk->delta_least && delta < walk->span && walk->span - delta >= walk->count - walk->index;
}

enum neap_status batch_next(struct batch_walk *walk, struct record *ret_record)
{
    struct reader *left = &walk->left;
    if (batch_walk_over(walk))
        return reader_left(left) == 0 && !left->spent ? NEAP_NOTFOUND : NEAP_BADINPUT;
    struct bytes bytes = read_sized(left, false);
    if (left->spent)
        return NEAP_BADINPUT;
    struct reader r = { bytes.at, bytes.at + bytes.size, bytes.size == 0 };
    struct record record = { 0 };
    r.at += bytes.size > 0; /* a record's attributes are unused in this version of the format */
    int64_t time_ms = (int64_t)((uint64_t)walk->base_time_ms + (uint64_t)quick_varint(&r));
    int64_t delta = quick_varint(&r);
    record.time_ms = walk->time_is_append ? walk->appended_ms : time_ms;
    record.key = read_sized(&r, true);
    record.value = read_sized(&r, true);
    if (r.spent || !delta_fits(walk, delta) || !read_headers(&r, &record)) {
        left->spent = true; /* nothing after it can be believed */
        return NEAP_BADINPUT;
    }
    record.offset = walk->base_offset + (uint64_t)delta;
    walk->index++;
    walk->delta_least = (uint32_t)delta + 1;
    *ret_record = record;
    return NEAP_OK;
}

enum neap_status batch_filter(struct bytes batch, struct batch_walk *walk, bool (*keep)(void *ctx, uint64_t offset),
                              void *ctx, void *room, size_t size, struct bytes *ret_batch)
{
    struct writer w = writer_of(room, size);
    struct record record;
    uint32_t count = 0;
    write_bytes(&w, (struct bytes){ batch.at, BATCH_HEADER_SIZE });
    for (;;) {
        const uint8_t *start = walk->left.at;
        enum neap_status status = batch_next(walk, &record);
        if (status == NEAP_NOTFOUND)
            break;
        if (status != NEAP_OK)
            return status;
        if (!keep(ctx, record.offset))
            continue;
        write_bytes(&w, (struct bytes){ start, (size_t)(walk->left.at - start) }); /* its deltas stay what they are */
        count++;
    }
    must(count > 0);
    if (w.full)
        return NEAP_AGAIN;
    uint8_t *to = room;
    *ret_batch = writer_bytes(&w);
    put_be32(to + AT_LENGTH, (uint32_t)(ret_batch->size - AFTER_LENGTH));
    to[AT_ATTRIBUTES + 1] = (uint8_t)(to[AT_ATTRIBUTES + 1] & ~ATTRIBUTE_CODEC);
    put_be32(to + BATCH_HEADER_SIZE - 4, count);
    put_be32(to + AT_CRC, crc32c(0, to + AT_ATTRIBUTES, ret_batch->size - AT_ATTRIBUTES));
    return NEAP_OK;
}
