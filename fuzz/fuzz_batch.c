/* Any bytes are opened, unpacked and walked without reading astray; a batch that is whole can be built again, packed and
 * unpacked, and holds the same. */
#include "fuzz.h"

#include "base/crc32c.h"
#include "log/batch.h"
#include <stdlib.h>

#define SIZE_LIMIT        (1u << 16)
#define UNPACKED_SIZE_MAX (1u << 20)
#define ROOM_SIZE         (4u << 20) /* written again, a record may take a few bytes more */

static bool same(struct bytes a, struct bytes b)
{
    return (a.at == NULL) == (b.at == NULL) && bytes_equal(a, b);
}

static void add_again(struct batch_builder *b, const struct record *record)
{
    static struct record_header headers[BATCH_HEADER_COUNT_MAX];
    struct reader left = reader_of(record->headers);
    must(record->header_count <= BATCH_HEADER_COUNT_MAX);
    for (uint32_t i = 0; i < record->header_count; i++)
        must(record_header_next(&left, &headers[i]) == NEAP_OK);
    struct record_header none;
    must(record_header_next(&left, &none) == NEAP_NOTFOUND);
    size_t before = writer_size(&b->writer);
    must(batch_add(b, record, headers, record->header_count) == NEAP_OK);
    must(writer_size(&b->writer) - before <= batch_record_size_max(record, headers, record->header_count));
}

static void compare(const struct batch_walk *from, struct bytes again)
{
    struct batch other;
    struct batch_walk walk = *from, other_walk;
    must(batch_open(again, true, &other) == NEAP_OK && batch_unpack(&other, NULL, &other_walk) == NEAP_OK);
    must(other.count == walk.count && other.span == other.count && other.base_offset == 0);
    struct record a, b;
    uint64_t least = walk.base_offset;
    while (batch_next(&walk, &a) == NEAP_OK) {
        must(batch_next(&other_walk, &b) == NEAP_OK);
        must(a.time_ms == b.time_ms && a.offset >= least && a.offset < walk.base_offset + walk.span);
        must(same(a.key, b.key) && same(a.value, b.value) && a.header_count == b.header_count);
        least = a.offset + 1;
    }
    must(batch_next(&other_walk, &b) == NEAP_NOTFOUND);
}

/* Packed and unpacked again it is the same. */
static void pack(struct bytes plain, enum codec codec, struct codec_room *unpacked)
{
    static uint8_t room[ROOM_SIZE * 2];
    struct bytes packed;
    struct batch batch, from;
    struct batch_walk walk;
    must(batch_open(plain, true, &from) == NEAP_OK);
    must(batch_pack(plain, codec, room, sizeof room, &packed) == NEAP_OK);
    must(batch_open(packed, true, &batch) == NEAP_OK && batch_codec(&batch) == codec);
    must(batch.count == from.count && batch.span == from.span);
    must(batch_unpack(&batch, unpacked, &walk) == NEAP_OK);
    must(bytes_equal(from.records, (struct bytes){ walk.left.at, reader_left(&walk.left) }));
}

static void walk(struct bytes bytes, bool check_crc)
{
    static uint8_t room[ROOM_SIZE];
    static struct codec_room unpacked, again;
    struct batch batch;
    struct batch_walk walk;
    codec_room_init(&unpacked, UNPACKED_SIZE_MAX);
    if (batch_open(bytes, check_crc, &batch) != NEAP_OK)
        return;
    must(batch.size <= bytes.size && batch.count > 0 && batch.count <= batch.span);
    if (batch_unpack(&batch, &unpacked, &walk) == NEAP_OK) {
        struct batch_walk start = walk;
        struct batch_builder b;
        batch_begin(&b, room, sizeof room);
        struct record record;
        enum neap_status status;
        while ((status = batch_next(&walk, &record)) == NEAP_OK)
            add_again(&b, &record);
        if (status == NEAP_NOTFOUND) {
            struct bytes built = batch_end(&b);
            compare(&start, built);
            codec_room_init(&again, ROOM_SIZE);
            pack(built, (enum codec)(1 + batch.crc % (CODEC_COUNT - 1)), &again);
            codec_room_fini(&again);
        }
    }
    must(unpacked.size <= UNPACKED_SIZE_MAX);
    codec_room_fini(&unpacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    if (size > SIZE_LIMIT)
        return 0;
    walk((struct bytes){ at, size }, false);
    static uint8_t fixed[SIZE_LIMIT]; /* the same with a good length and CRC, so that the fuzzer gets past both */
    memcpy(fixed, at, size);
    if (size >= BATCH_HEADER_SIZE) {
        put_be32(fixed + 8, (uint32_t)size - 12);
        put_be32(fixed + 17, crc32c(0, fixed + 21, size - 21));
        walk((struct bytes){ fixed, size }, true);
    }
    return 0;
}
