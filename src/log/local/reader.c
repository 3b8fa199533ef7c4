/* reader.c - batches in offset order: from the tail where they are new, from the files where they are old.
 *
 * A reader learns where the next batches lie (place.h), then fetches as many of them as lie close together in one read. */
#include "base/crc32c.h"
#include "log/batch.h"
#include "log/local/place.h"
#include "log/local/tail.h"
#include <stdlib.h>

#define READER_MAGIC 0x72656164u
#define AHEAD_SIZE   (2u << 20) /* of batches that the disk has been asked for, before they are read */

struct log_reader {
    uint32_t magic;
    struct places places;
    uint8_t *buffer;
    size_t room;
    uint64_t from, to; /* positions that the buffer holds, of the places' file */
    bool from_file;    /* they were read from the disk: every CRC is checked */
    bool of_archive;   /* whose positions are its own */
    uint32_t ahead;    /* places.list[.. ahead): the disk knows that they are wanted */
};

enum neap_status log_reader_open(struct log *log, struct log_partition partition, log_offset from, size_t read_size,
                                 struct log_reader **ret_reader, struct error *err)
{
    CHECK_MAGIC(log, LOG_MAGIC);
    log_offset end;
    if (log_partition_end(log, partition, &end) != NEAP_OK)
        return error_set(err, NEAP_NOTFOUND, "topic %u has no partition %u", partition.topic_id, partition.partition);
    struct log_reader *r = calloc(1, sizeof(*r));
    uint8_t *buffer = malloc(read_size);
    if (r == NULL || buffer == NULL) {
        free(r);
        free(buffer);
        return error_set(err, NEAP_NOMEM, "reader");
    }
    r->magic = READER_MAGIC;
    places_init(&r->places, log, partition, from.n);
    r->buffer = buffer;
    r->room = read_size;
    *ret_reader = r;
    return NEAP_OK;
}

void log_reader_close(struct log_reader **reader)
{
    struct log_reader *r = *reader;
    if (r == NULL)
        return;
    CHECK_MAGIC(r, READER_MAGIC);
    places_release(&r->places);
    free(r->buffer);
    r->magic = 0;
    free(r);
    *reader = NULL;
}

void log_reader_seek(struct log_reader *r, log_offset to)
{
    CHECK_MAGIC(r, READER_MAGIC);
    places_seek(&r->places, to.n);
    r->from = r->to = 0;
}

/* ---- fetching them ------------------------------------------------------------------------------------------------------------ */

/* Where to stop so that most of what is read is wanted and the room suffices. */
static uint64_t run_end(const struct log_reader *r)
{
    uint64_t from = place_position(&r->places, &r->places.list[r->places.at]), end = 0, wanted = 0;
    for (uint32_t i = r->places.at; i < r->places.count; i++) {
        uint64_t to = place_position(&r->places, &r->places.list[i]) + OP_HEADER_SIZE + r->places.list[i].size;
        wanted += OP_HEADER_SIZE + r->places.list[i].size;
        if (i > r->places.at && (to - from > r->room || wanted * 2 < to - from))
            break;
        end = to;
    }
    return end;
}

static uint64_t told_size(const struct log_reader *r, uint64_t run_to)
{
    const struct places *p = &r->places;
    uint64_t size = 0;
    for (uint32_t i = p->at; i < r->ahead; i++)
        size += place_position(p, &p->list[i]) >= run_to ? OP_HEADER_SIZE + p->list[i].size : 0;
    return size;
}

static bool follows(const struct log_reader *r)
{
    const struct places *p = &r->places;
    const struct index_entry *first = &p->list[p->at], *last = &p->list[p->count - 1];
    uint64_t wanted = 0;
    for (uint32_t i = p->at; i < p->count; i++)
        wanted += OP_HEADER_SIZE + p->list[i].size;
    return last->at + OP_HEADER_SIZE + last->size - first->at <= wanted + wanted / 8;
}

/* Tells the disk what is wanted after this run, so that it comes while that is worked on: the batches of one partition lie apart
 * where others write, too, and the kernel sees no sequence in them. Neighbours are told together. */
static void read_ahead(struct log_reader *r, uint64_t run_to)
{
    const struct places *p = &r->places;
    uint64_t from = 0, to = 0, told = told_size(r, run_to);
    if (told > AHEAD_SIZE / 2 || follows(r))
        return; /* it has enough to do */
    for (; r->ahead < p->count && told < AHEAD_SIZE; r->ahead++) {
        uint64_t at = place_position(p, &p->list[r->ahead]), size = OP_HEADER_SIZE + p->list[r->ahead].size;
        if (at < run_to)
            continue;
        if (to != 0 && at > to + JOURNAL_PAGE_SIZE) {
            io_file_will_need(p->file, from - p->base, to - from);
            to = 0;
        }
        from = to == 0 ? at : from;
        to = at + size;
        told += size;
    }
    if (to != 0)
        io_file_will_need(p->file, from - p->base, to - from);
}

static enum neap_status fetch(struct log_reader *r, struct error *err)
{
    uint64_t from = place_position(&r->places, &r->places.list[r->places.at]), to = run_end(r);
    size_t size = (size_t)(to - from);
    if (size > r->room) { /* one batch larger than all so far */
        if (size > LOG_UNIT_SIZE_MAX)
            return place_damaged(&r->places, from, "a batch larger than any", err);
        uint8_t *grown = realloc(r->buffer, size);
        if (grown == NULL)
            return error_set(err, NEAP_NOMEM, "reader");
        r->buffer = grown;
        r->room = size;
    }
    r->from_file = r->of_archive || !tail_read(&r->places.log->tail, from, r->buffer, size);
    if (r->from_file) {
        size_t got = 0;
        read_ahead(r, to);
        enum neap_status status = io_file_read(r->places.file, r->buffer, size, from - r->places.base, &got);
        size_t one = OP_HEADER_SIZE + (size_t)r->places.list[r->places.at].size;
        if (status != NEAP_OK && one < size) { /* one bad place behind it does not keep this batch from being read */
            size = one;
            to = from + size;
            status = io_file_read(r->places.file, r->buffer, size, from - r->places.base, &got);
        }
        if (status != NEAP_OK)
            return place_damaged(&r->places, from, "its bytes cannot be read", err);
        if (got != size)
            return place_damaged(&r->places, from, "the file ends before it", err);
    }
    r->from = from;
    r->to = to;
    return NEAP_OK;
}

/* The operation at the place, checked against what the index promised. */
static enum neap_status open_place(struct log_reader *r, const struct index_entry *e, struct op *ret_op,
                                   struct error *err)
{
    uint64_t position = place_position(&r->places, e);
    struct bytes bytes = { r->buffer + (position - r->from), OP_HEADER_SIZE + (size_t)e->size };
    enum neap_status status = r->from_file ? op_read(bytes, r->places.salt, position, ret_op)
                                           : op_header_read(bytes, r->places.salt, position, ret_op);
    if (status != NEAP_OK || ret_op->kind != OP_APPEND || ret_op->target.topic_id != r->places.partition.topic_id ||
        ret_op->target.partition != r->places.partition.partition || ret_op->offset != e->base ||
        ret_op->count != e->count || ret_op->payload.size != e->size)
        return place_damaged(&r->places, position, "its checksum does not match", err);
    bool gaps = r->places.archive != NULL && (r->places.archive->facts.flags & ARCHIVE_COMPACTED);
    if (e->base > r->places.next ? !gaps
                                 : r->places.next - e->base >= e->count) /* right where it lies, but not asked for */
        return place_damaged(&r->places, position, "the index leads past it,", err);
    ret_op->payload.at = bytes.at + OP_HEADER_SIZE;
    return NEAP_OK;
}

static enum neap_status find(struct log_reader *r, struct error *err)
{
    enum neap_status status = places_find(&r->places, err);
    bool of_archive = r->places.archive != NULL;
    if (status == NEAP_OK && (of_archive || r->of_archive))
        r->from = r->to = 0; /* the buffer holds positions of another file */
    r->of_archive = of_archive;
    r->ahead = 0;
    return status;
}

enum neap_status log_reader_next(struct log_reader *r, struct log_batch *ret_batch, struct error *err)
{
    CHECK_MAGIC(r, READER_MAGIC);
    enum neap_status status = NEAP_OK;
    if (r->places.at == r->places.count)
        status = find(r, err);
    if (status != NEAP_OK)
        return status;
    const struct index_entry *e = &r->places.list[r->places.at];
    uint64_t position = place_position(&r->places, e);
    if (position < r->from || position + OP_HEADER_SIZE + e->size > r->to)
        status = fetch(r, err);
    struct op op;
    if (status == NEAP_OK)
        status = open_place(r, e, &op, err);
    if (status != NEAP_OK) {
        places_release(&r->places); /* asked again, it is looked for again */
        r->from = r->to = 0;
        return status;
    }
    r->places.at++;
    r->places.next = e->base + e->count;
    *ret_batch = (struct log_batch){
        .base = { e->base }, .count = e->count, .appended = { (int64_t)op.time_s * 1000 }, .bytes = op.payload
    };
    return NEAP_OK;
}
