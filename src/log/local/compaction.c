#include "log/local/compaction.h"
#include "base/must.h"
#include "log/batch.h"
#include "log/limits.h"
#include <stdlib.h>
#include <xxhash.h>

#define SHARE_MAX        (1u << 20) /* walks; more keys than that times COMPACTION_KEY_COUNT are not in one partition */
#define BITS_SIZE        (64u << 10)             /* at first */
#define REBUILT_SIZE_MAX (LOG_UNIT_SIZE_MAX / 2) /* a batch that was not as large before */

struct slot {
    uint64_t low, high; /* of the key's hash */
    uint32_t walk;      /* in which it was filled; any other: free */
    uint32_t number;    /* of its newest record */
};

struct compaction {
    struct clock_cut tombstones;
    uint64_t first, end, limit;
    uint64_t stretch_end; /* records from there on only say what is newer: their turn comes */
    uint64_t last;        /* record of the last batch; UINT64_MAX: not met yet */
    const struct lost_range *lost;
    uint32_t lost_count, lost_at; /* lost_at: the first that ends after the record before */
    uint32_t walk;                /* of all partitions: what is left of earlier ones in the table is nothing */
    uint64_t number;              /* of the next record in this walk that is told from others */
    uint64_t number_max;          /* of all walks over the stretch: beyond it no bit is set */
    uint32_t record_count_max;    /* of a stretch, if it has more than one batch */
    uint32_t share, share_count;  /* this walk is for keys whose hash is share modulo share_count */
    uint32_t key_count, key_room, key_room_max;
    bool crowded;       /* more keys than the table holds: all over again, in a larger one or in smaller shares */
    struct slot *slots; /* slot_count(key_room) */
    uint8_t *bits;      /* a record's is set: it stays */
    size_t bits_size;
    struct codec_room room;
    uint8_t *rebuilt;
    size_t rebuilt_size;
};

/* A quarter of them is free, so that the walk to a key's slot is short. */
static uint32_t slot_count(uint32_t key_room)
{
    return key_room + key_room / 3;
}

static uint32_t key_count_of(size_t table_size)
{
    size_t count = table_size / sizeof(struct slot) / 4 * 3;
    return count < COMPACTION_KEY_COUNT ? COMPACTION_KEY_COUNT
           : count > UINT32_MAX / 4     ? UINT32_MAX / 4
                                        : (uint32_t)count;
}

size_t compaction_memory_size(size_t table_size, uint32_t record_count_max)
{
    size_t bits = record_count_max / 8 + 1;
    return slot_count(key_count_of(table_size)) * sizeof(struct slot) + (bits < BITS_SIZE ? BITS_SIZE : bits);
}

struct compaction *compaction_new(struct clock_cut tombstones, size_t table_size, uint32_t record_count_max)
{
    must(record_count_max <= COMPACTION_RECORD_MAX);
    struct compaction *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->tombstones = tombstones;
    c->key_room = COMPACTION_KEY_COUNT;
    c->key_room_max = key_count_of(table_size);
    c->record_count_max = record_count_max;
    c->slots = calloc(slot_count(c->key_room), sizeof(c->slots[0]));
    c->bits_size = BITS_SIZE;
    c->bits = calloc(1, c->bits_size);
    codec_room_init(&c->room, BATCH_UNPACKED_SIZE_MAX);
    if (c->slots == NULL || c->bits == NULL)
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

/* In the first walk, the only one in which records come that never came before. Twice as many each time, up to what a stretch
 * has; only one large batch alone may have more. */
static enum neap_status make_bit(struct compaction *c, uint64_t number)
{
    if (number / 8 < c->bits_size)
        return NEAP_OK;
    size_t most = c->record_count_max / 8 + 1, size = 2 * c->bits_size;
    if (size > most && number / 8 < most)
        size = most;
    uint8_t *grown = realloc(c->bits, size);
    if (grown == NULL)
        return NEAP_NOMEM;
    memset(grown + c->bits_size, 0, size - c->bits_size);
    c->bits = grown;
    c->bits_size = size;
    return NEAP_OK;
}

static void bit_set(struct compaction *c, uint64_t number, bool on)
{
    must(number / 8 < c->bits_size);
    if (on)
        c->bits[number / 8] |= (uint8_t)(1u << number % 8);
    else
        c->bits[number / 8] &= (uint8_t) ~(1u << number % 8);
}

static bool is_lost(struct compaction *c, uint64_t offset)
{
    while (c->lost_at < c->lost_count && c->lost[c->lost_at].end <= offset)
        c->lost_at++;
    return c->lost_at < c->lost_count && c->lost[c->lost_at].first <= offset;
}

/* Whether it is anybody's newest, or says whose newest another is not. */
static bool matters(struct compaction *c, uint64_t offset)
{
    return offset >= c->first && offset < c->limit && !is_lost(c, offset);
}

/* Whether the record, of the stretch, is one of those that are told apart; each walk asks this of each of them in the same order. */
static bool counts(struct compaction *c, uint64_t offset, uint64_t *ret_number)
{
    if (!matters(c, offset))
        return false;
    *ret_number = c->number++;
    return true;
}

static bool stays(struct compaction *c, uint64_t offset)
{
    uint64_t number;
    return !counts(c, offset, &number) || offset == c->last || (c->bits[number / 8] >> number % 8 & 1);
}

/* ---- the newest of each key ------------------------------------------------------------------------------------------- */

static void rewind_walk(struct compaction *c)
{
    c->number_max = c->number > c->number_max ? c->number : c->number_max;
    c->number = 0;
    c->lost_at = 0;
}

static void begin_walk(struct compaction *c, uint32_t share, uint32_t share_count)
{
    rewind_walk(c);
    c->share = share;
    c->share_count = share_count;
    c->key_count = 0;
    c->crowded = false;
    if (++c->walk == 0) { /* after four thousand million of them */
        memset(c->slots, 0, slot_count(c->key_room) * sizeof(c->slots[0]));
        c->walk = 1;
    }
}

static void clear_bits(struct compaction *c)
{
    rewind_walk(c);
    memset(c->bits, 0, (size_t)(c->number_max / 8 < c->bits_size ? c->number_max / 8 + 1 : c->bits_size));
    c->number_max = 0;
}

void compaction_begin(struct compaction *c, uint64_t first, uint64_t end, uint64_t limit, const struct lost_range *lost,
                      uint32_t lost_count)
{
    c->end = end;
    c->limit = limit;
    c->last = UINT64_MAX;
    c->lost = lost;
    c->lost_count = lost_count;
    compaction_go_on(c, first);
}

/* What lies before has been kept or not. */
void compaction_go_on(struct compaction *c, uint64_t offset)
{
    c->first = offset;
    c->stretch_end = c->end;
    clear_bits(c);
    begin_walk(c, 0, 1);
}

/* The key's slot, or the free one where it belongs. */
static struct slot *slot_of(struct compaction *c, uint64_t low, uint64_t high)
{
    uint32_t count = slot_count(c->key_room), at = (uint32_t)(low >> 32) % count;
    while (c->slots[at].walk == c->walk && (c->slots[at].low != low || c->slots[at].high != high))
        at = (at + 1) % count;
    return &c->slots[at];
}

static void note_record(struct compaction *c, const struct record *record, uint64_t number, uint32_t time_s)
{
    if (record->key.at == NULL) {
        bit_set(c, number, true);
        return;
    }
    XXH128_hash_t hash = XXH3_128bits(record->key.at, record->key.size);
    if (hash.low64 % c->share_count != c->share)
        return;
    struct slot *slot = slot_of(c, hash.low64, hash.high64);
    bool known = slot->walk == c->walk;
    if (!known && ++c->key_count > c->key_room) {
        c->crowded = true;
        return;
    }
    if (known)
        bit_set(c, slot->number, false); /* an older one of the key */
    *slot = (struct slot){ hash.low64, hash.high64, c->walk, (uint32_t)number };
    bit_set(c, number, record->value.at != NULL || !clock_cut_holds(&c->tombstones, time_s));
}

/* It comes after the stretch: a key's newest there is the newest no more. */
static void note_beyond(struct compaction *c, const struct record *record)
{
    if (record->key.at == NULL)
        return;
    XXH128_hash_t hash = XXH3_128bits(record->key.at, record->key.size);
    const struct slot *slot = hash.low64 % c->share_count == c->share ? slot_of(c, hash.low64, hash.high64) : NULL;
    if (slot != NULL && slot->walk == c->walk)
        bit_set(c, slot->number, false);
}

/* Before its records are counted: whether the batch is of the stretch, which ends where there are no bits for all of the next. */
static bool is_of_stretch(struct compaction *c, const struct op *op, const struct batch *batch)
{
    if (op->offset < c->stretch_end && c->number > 0 && c->number + batch->count > c->record_count_max)
        c->stretch_end = op->offset;
    return op->offset < c->stretch_end;
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
    uint64_t number;
    if (op->offset >= c->limit || c->crowded)
        return NEAP_AGAIN;
    enum neap_status status = open(c, op, &batch, &walk);
    bool of_stretch = status == NEAP_OK && is_of_stretch(c, op, &batch);
    while (status == NEAP_OK && (status = batch_next(&walk, &record)) == NEAP_OK && !c->crowded) {
        if (!of_stretch && matters(c, record.offset))
            note_beyond(c, &record);
        if (!of_stretch || !counts(c, record.offset, &number))
            continue;
        status = make_bit(c, number);
        if (status == NEAP_OK)
            note_record(c, &record, number, op->time_s);
    }
    return status == NEAP_NOTFOUND ? NEAP_OK : status;
}

/* All keys again, in a larger table where there may be one, else in twice as many shares. */
static void begin_again(struct compaction *c)
{
    uint32_t room = c->key_room < c->key_room_max / 2 ? 2 * c->key_room : c->key_room_max;
    struct slot *grown = room > c->key_room ? realloc(c->slots, slot_count(room) * sizeof(*grown)) : NULL;
    if (grown != NULL) {
        memset(grown, 0, slot_count(room) * sizeof(*grown));
        c->slots = grown;
        c->key_room = room;
    }
    clear_bits(c);
    must(c->share_count < SHARE_MAX);
    begin_walk(c, 0, grown != NULL ? c->share_count : 2 * c->share_count);
}

bool compaction_again(struct compaction *c)
{
    if (c->crowded) {
        begin_again(c);
        return true;
    }
    if (c->share + 1 == c->share_count) {
        rewind_walk(c); /* and once more, to keep */
        return false;
    }
    begin_walk(c, c->share + 1, c->share_count);
    return true;
}

/* ---- what is left of a batch --------------------------------------------------------------------------------------------- */

static bool keep(void *ctx, uint64_t offset)
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

/* The plain form first, then, in the room behind it, the packed one where the batch was packed. Whoever packed it may have done so
 * harder than we do: it must not become larger than what is read. */
static enum neap_status rebuild(struct compaction *c, const struct op *op, const struct batch *batch,
                                struct batch_walk *walk, struct bytes *ret_bytes)
{
    size_t plain = BATCH_HEADER_SIZE + reader_left(&walk->left), packed = 0;
    enum codec codec = batch_codec(batch);
    if (codec != CODEC_NONE) {
        size_t hard = codec_packed_size_max(CODEC_ZSTD, plain);
        packed = codec_packed_size_max(codec, plain);
        packed = BATCH_HEADER_SIZE + (packed > hard ? packed : hard);
    }
    enum neap_status status = make_room(c, plain + packed);
    if (status != NEAP_OK)
        return status;
    struct bytes filtered;
    status = batch_filter(op->payload, walk, keep, c, c->rebuilt, plain, &filtered);
    *ret_bytes = filtered;
    if (status == NEAP_OK && codec != CODEC_NONE)
        status = batch_pack(filtered, codec, c->rebuilt + plain, packed, ret_bytes);
    if (status == NEAP_OK && ret_bytes->size > op->payload.size && ret_bytes->size > REBUILT_SIZE_MAX)
        status = batch_pack_hard(filtered, c->rebuilt + plain, packed, ret_bytes);
    if (status == NEAP_OK && ret_bytes->size > op->payload.size && ret_bytes->size > REBUILT_SIZE_MAX)
        return NEAP_TOOLARGE;
    return status;
}

static enum neap_status find_last(struct compaction *c, struct batch_walk walk, enum neap_status status)
{
    struct record record;
    while (status == NEAP_OK && (status = batch_next(&walk, &record)) == NEAP_OK)
        c->last = record.offset;
    return status == NEAP_NOTFOUND ? NEAP_OK : status;
}

enum neap_status compaction_keep(struct compaction *c, const struct op *op, struct op *ret_op)
{
    struct batch batch;
    struct batch_walk walk, counting;
    struct record record;
    uint64_t number = c->number;
    uint32_t kept = 0, lost_at = c->lost_at;
    *ret_op = *op;
    if (op->offset >= c->limit)
        return NEAP_OK;
    if (op->offset >= c->stretch_end && c->stretch_end < c->end)
        return NEAP_AGAIN;
    enum neap_status status = open(c, op, &batch, &walk);
    counting = walk;
    if (op->offset + op->count >= c->end)
        status = find_last(c, walk, status);
    while (status == NEAP_OK && (status = batch_next(&counting, &record)) == NEAP_OK)
        kept += stays(c, record.offset);
    if (status != NEAP_NOTFOUND)
        return status;
    if (kept == 0)
        return NEAP_NOTFOUND;
    if (kept == batch.count)
        return NEAP_OK;
    c->number = number; /* the same records once more */
    c->lost_at = lost_at;
    status = rebuild(c, op, &batch, &walk, &ret_op->payload);
    if (status == NEAP_OK)
        ret_op->payload_crc = op_payload_crc(OP_APPEND, (struct bytes){ NULL, 0 }, ret_op->payload);
    return status;
}
