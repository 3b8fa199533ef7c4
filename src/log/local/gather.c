#include "log/local/gather.h"
#include "base/must.h"
#include <stdlib.h>

#define HOUR_S          3600u
#define ATTRIBUTE_CODEC 7u /* of a batch; with any other it is left as it is */

struct gather {
    uint32_t size;
    uint32_t count;  /* batches in it */
    struct op first; /* its payload lies in `held` */
    uint32_t time_s; /* of the newest */
    uint64_t end;    /* of the last one's offsets */
    size_t held_size;
    uint8_t *held, *joined, *packed;
    size_t joined_size, packed_size;
    enum codec codec;
    struct batch_builder builder; /* from two on */
    struct codec_room room;
};

static size_t packed_size_max(size_t plain_size)
{
    size_t size = plain_size;
    for (enum codec codec = CODEC_NONE + 1; codec < CODEC_COUNT; codec++) {
        size_t most = BATCH_HEADER_SIZE + codec_packed_size_max(codec, plain_size);
        size = most > size ? most : size;
    }
    return size;
}

size_t gather_memory_size(uint32_t size)
{
    size_t held = size, unpacked = size, joined = 2 * (size_t)size;
    return held + unpacked + CODEC_DECODER_SIZE + joined + packed_size_max(joined);
}

struct gather *gather_new(uint32_t size)
{
    must(size >= 2 * BATCH_HEADER_SIZE);
    struct gather *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return NULL;
    g->size = size;
    g->joined_size = 2 * (size_t)size;
    g->packed_size = packed_size_max(g->joined_size);
    codec_room_init(&g->room, size);
    g->held = malloc(size);
    g->joined = malloc(g->joined_size);
    g->packed = malloc(g->packed_size);
    if (g->held == NULL || g->joined == NULL || g->packed == NULL)
        gather_free(&g);
    return g;
}

void gather_free(struct gather **gather)
{
    struct gather *g = *gather;
    if (g == NULL)
        return;
    codec_room_fini(&g->room);
    free(g->held);
    free(g->joined);
    free(g->packed);
    free(g);
    *gather = NULL;
}

/* ---- looking at a batch ---------------------------------------------------------------------------------------------- */

struct look {
    struct batch batch;
    size_t size; /* of its records, taken apart */
};

static enum neap_status look_at(struct gather *g, const struct op *op, struct look *ret)
{
    struct batch_walk walk;
    enum neap_status status = batch_open(op->payload, false, &ret->batch);
    if (status != NEAP_OK)
        return status;
    const struct batch *b = &ret->batch;
    if (b->size > g->size / 2 || b->size != op->payload.size || (b->attributes & ~ATTRIBUTE_CODEC) != 0 ||
        b->producer_id != -1)
        return NEAP_REFUSED;
    status = batch_unpack(b, &g->room, &walk);
    if (status != NEAP_OK)
        return status == NEAP_TOOLARGE ? NEAP_REFUSED : status;
    ret->size = reader_left(&walk.left);
    return ret->size > g->size / 2 ? NEAP_REFUSED : NEAP_OK;
}

/* Hours of the clock, not an hour from the first: else each compaction would carry what it meets into the next hour, and nothing in it
 * would ever be old. */
static bool joins(const struct gather *g, const struct op *op, const struct look *look)
{
    size_t size = g->count == 1 ? g->held_size : (size_t)(g->builder.writer.at - g->joined);
    return size + look->size <= g->size && op->offset + op->count - g->first.offset < INT32_MAX &&
           op->time_s / HOUR_S == g->first.time_s / HOUR_S;
}

/* ---- putting together ------------------------------------------------------------------------------------------------- */

/* AGAIN: it does not fit, and nothing has changed. */
static enum neap_status add_records(struct gather *g, struct bytes bytes)
{
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    struct batch_builder before = g->builder;
    enum neap_status status = batch_open(bytes, false, &batch);
    if (status == NEAP_OK)
        status = batch_unpack(&batch, &g->room, &walk);
    while (status == NEAP_OK && (status = batch_next(&walk, &record)) == NEAP_OK)
        status = batch_add_read(&g->builder, &record);
    if (status == NEAP_NOTFOUND)
        return NEAP_OK;
    g->builder = before;
    return status;
}

static void hold(struct gather *g, const struct op *op, const struct look *look)
{
    memcpy(g->held, op->payload.at, op->payload.size);
    g->first = *op;
    g->first.payload = (struct bytes){ g->held, op->payload.size };
    g->held_size = look->size;
    g->codec = batch_codec(&look->batch);
    g->count = 0;
}

/* What was packed stays packed, and as well as by either of the two. */
static enum codec codec_of_both(enum codec a, enum codec b)
{
    return a == b || b == CODEC_NONE ? a : a == CODEC_NONE ? b : CODEC_ZSTD;
}

enum neap_status gather_add(struct gather *g, const struct op *op)
{
    struct look look;
    enum neap_status status = look_at(g, op, &look);
    if (status != NEAP_OK)
        return status;
    if (g->count == 0)
        hold(g, op, &look);
    else if (!joins(g, op, &look))
        return NEAP_AGAIN;
    if (g->count == 1) {
        batch_begin_read(&g->builder, g->joined, g->joined_size, g->first.offset);
        status = add_records(g, g->first.payload);
    }
    if (g->count > 0 && status == NEAP_OK)
        status = add_records(g, op->payload);
    if (status != NEAP_OK)
        return status;
    g->codec = codec_of_both(g->codec, batch_codec(&look.batch));
    g->count++;
    g->end = op->offset + op->count;
    g->time_s = op->time_s;
    return NEAP_OK;
}

enum neap_status gather_take(struct gather *g, struct op *ret_op)
{
    uint32_t count = g->count;
    g->count = 0;
    if (count == 0)
        return NEAP_NOTFOUND;
    *ret_op = g->first;
    if (count == 1)
        return NEAP_OK;
    ret_op->count = (uint32_t)(g->end - g->first.offset);
    ret_op->time_s = g->time_s;
    ret_op->payload = batch_end_read(&g->builder, g->end);
    if (g->codec != CODEC_NONE) {
        enum neap_status status = batch_pack(ret_op->payload, g->codec, g->packed, g->packed_size, &ret_op->payload);
        if (status != NEAP_OK)
            return status;
    }
    ret_op->payload_crc = op_payload_crc(OP_APPEND, (struct bytes){ NULL, 0 }, ret_op->payload);
    return NEAP_OK;
}
