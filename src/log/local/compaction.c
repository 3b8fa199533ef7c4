#include "log/local/compaction.h"
#include "base/must.h"
#include "log/batch.h"
#include "log/limits.h"
#include <stdlib.h>
#include <xxhash.h>

#define SLOT_COUNT (2u * COMPACTION_KEY_COUNT)
#define SHARE_MAX  (1u << 20) /* walks; more keys than that times COMPACTION_KEY_COUNT are not in one partition */

struct slot {
    uint64_t low, high; /* of the key's hash */
    uint64_t offset;    /* 1 + that of its newest record; 0: free */
};

struct compaction {
    struct clock_cut tombstones;
    uint64_t first, end, limit;
    uint32_t share, share_count; /* this walk is for keys whose hash is share modulo share_count */
    uint32_t key_count;
    bool crowded; /* more keys than the table holds: all over again, in smaller shares */
    struct slot *slots;
    uint8_t *bits; /* a record's is set: it stays */
    size_t bits_size;
    struct codec_room room;
    uint8_t *rebuilt;
    size_t rebuilt_size;
};

size_t compaction_memory_size(void)
{
    return SLOT_COUNT * sizeof(struct slot);
}

struct compaction *compaction_new(struct clock_cut tombstones)
{
    struct compaction *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->tombstones = tombstones;
    c->slots = calloc(SLOT_COUNT, sizeof(c->slots[0]));
    codec_room_init(&c->room, BATCH_UNPACKED_SIZE_MAX);
    if (c->slots == NULL)
        compaction_free(&c);
    return c;
}

void compaction_free(struct compaction **compaction)
{
    struct compaction *c = *compaction;
    if (c == NULL)
        return;
    codec_room_fini(&c->room);
    free(c->slots);
    free(c->bits);
    free(c->rebuilt);
    free(c);
    *compaction = NULL;
}

/* ---- bits ------------------------------------------------------------------------------------------------------------ */

static void bit_set(struct compaction *c, uint64_t offset, bool on)
{
    uint64_t at = offset - c->first;
    must(at / 8 < c->bits_size);
    if (on)
        c->bits[at / 8] |= (uint8_t)(1u << at % 8);
    else
        c->bits[at / 8] &= (uint8_t) ~(1u << at % 8);
}

static bool stays(const struct compaction *c, uint64_t offset)
{
    if (offset >= c->limit || offset + 1 == c->end)
        return true;
    uint64_t at = offset - c->first;
    return c->bits[at / 8] >> at % 8 & 1;
}

/* ---- the newest of each key ------------------------------------------------------------------------------------------- */

static void begin_walk(struct compaction *c, uint32_t share, uint32_t share_count)
{
    c->share = share;
    c->share_count = share_count;
    c->key_count = 0;
    c->crowded = false;
    memset(c->slots, 0, SLOT_COUNT * sizeof(c->slots[0]));
}

enum neap_status compaction_begin(struct compaction *c, uint64_t first, uint64_t end, uint64_t limit)
{
    uint64_t span = end - first < COMPACTION_SPAN_MAX ? end - first : COMPACTION_SPAN_MAX;
    c->first = first;
    c->end = end;
    c->limit = limit < first + span ? limit : first + span;
    size_t size = (size_t)(span / 8 + 1);
    if (size > c->bits_size) {
        uint8_t *grown = realloc(c->bits, size);
        if (grown == NULL)
            return NEAP_NOMEM;
        c->bits = grown;
        c->bits_size = size;
    }
    memset(c->bits, 0, c->bits_size);
    begin_walk(c, 0, 1);
    return NEAP_OK;
}

/* The key's slot, or the free one where it belongs. */
static struct slot *slot_of(struct compaction *c, uint64_t low, uint64_t high)
{
    uint32_t at = (uint32_t)(low >> 32) % SLOT_COUNT;
    while (c->slots[at].offset != 0 && (c->slots[at].low != low || c->slots[at].high != high))
        at = (at + 1) % SLOT_COUNT;
    return &c->slots[at];
}

static void note_record(struct compaction *c, const struct record *record, uint32_t time_s)
{
    if (record->key.at == NULL) {
        bit_set(c, record->offset, true);
        return;
    }
    XXH128_hash_t hash = XXH3_128bits(record->key.at, record->key.size);
    if (hash.low64 % c->share_count != c->share)
        return;
    struct slot *slot = slot_of(c, hash.low64, hash.high64);
    if (slot->offset == 0 && ++c->key_count > COMPACTION_KEY_COUNT) {
        c->crowded = true;
        return;
    }
    if (slot->offset != 0)
        bit_set(c, slot->offset - 1, false); /* an older one of the key */
    *slot = (struct slot){ hash.low64, hash.high64, record->offset + 1 };
    bit_set(c, record->offset, record->value.at != NULL || !clock_cut_holds(&c->tombstones, time_s));
}

static enum neap_status open(struct compaction *c, const struct op *op, struct batch *ret_batch,
                             struct batch_walk *ret_walk)
{
    enum neap_status status = batch_open(op->payload, false, ret_batch);
    return status == NEAP_OK ? batch_unpack(ret_batch, &c->room, ret_walk) : status;
}

enum neap_status compaction_note(struct compaction *c, const struct op *op)
{
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    if (op->offset >= c->limit || c->crowded)
        return NEAP_OK;
    enum neap_status status = open(c, op, &batch, &walk);
    while (status == NEAP_OK && (status = batch_next(&walk, &record)) == NEAP_OK && !c->crowded)
        if (record.offset >= c->first && record.offset < c->limit)
            note_record(c, &record, op->time_s);
    return status == NEAP_NOTFOUND ? NEAP_OK : status;
}

bool compaction_again(struct compaction *c)
{
    if (c->crowded) {
        must(c->share_count < SHARE_MAX);
        memset(c->bits, 0, c->bits_size);
        begin_walk(c, 0, 2 * c->share_count);
        return true;
    }
    if (c->share + 1 == c->share_count)
        return false;
    begin_walk(c, c->share + 1, c->share_count);
    return true;
}

/* ---- what is left of a batch --------------------------------------------------------------------------------------------- */

static bool stays_in(void *ctx, uint64_t offset)
{
    return stays(ctx, offset);
}

static enum neap_status make_room(struct compaction *c, size_t size)
{
    if (size <= c->rebuilt_size)
        return NEAP_OK;
    uint8_t *grown = realloc(c->rebuilt, size);
    if (grown == NULL)
        return NEAP_NOMEM;
    c->rebuilt = grown;
    c->rebuilt_size = size;
    return NEAP_OK;
}

/* The plain form first, then, in the room behind it, the packed one where the batch was packed. */
static enum neap_status rebuild(struct compaction *c, const struct op *op, const struct batch *batch,
                                struct batch_walk *walk, struct bytes *ret_bytes)
{
    size_t plain = BATCH_HEADER_SIZE + reader_left(&walk->left);
    enum codec codec = batch_codec(batch);
    size_t packed = codec == CODEC_NONE ? 0 : BATCH_HEADER_SIZE + codec_packed_size_max(codec, plain);
    enum neap_status status = make_room(c, plain + packed);
    if (status != NEAP_OK)
        return status;
    status = batch_filter(op->payload, walk, stays_in, c, c->rebuilt, plain, ret_bytes);
    if (status == NEAP_OK && codec != CODEC_NONE)
        status = batch_pack(*ret_bytes, codec, c->rebuilt + plain, packed, ret_bytes);
    return status;
}

enum neap_status compaction_keep(struct compaction *c, const struct op *op, struct op *ret_op)
{
    struct batch batch;
    struct batch_walk walk, counting;
    struct record record;
    uint32_t kept = 0;
    *ret_op = *op;
    if (op->offset >= c->limit)
        return NEAP_OK;
    enum neap_status status = open(c, op, &batch, &walk);
    counting = walk;
    while (status == NEAP_OK && (status = batch_next(&counting, &record)) == NEAP_OK)
        kept += record.offset < c->first || stays(c, record.offset);
    if (status != NEAP_NOTFOUND)
        return status;
    if (kept == 0)
        return NEAP_NOTFOUND;
    if (kept == batch.count)
        return NEAP_OK;
    status = rebuild(c, op, &batch, &walk, &ret_op->payload);
    if (status == NEAP_OK)
        ret_op->payload_crc = op_payload_crc(OP_APPEND, (struct bytes){ NULL, 0 }, ret_op->payload);
    return status;
}
