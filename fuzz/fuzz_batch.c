/* Any bytes are opened and walked without reading astray; a batch that is whole can be built again and holds the same. */
#include "fuzz.h"

#include "base/crc32c.h"
#include "log/batch.h"
#include <stdlib.h>

#define SIZE_LIMIT (1u << 16)

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

static void compare(const struct batch *batch, struct bytes again)
{
    struct batch other;
    must(batch_open(again, true, &other) == NEAP_OK);
    must(other.count == batch->count && other.base_offset == 0);
    struct reader left = reader_of(batch->records), other_left = reader_of(other.records);
    uint32_t index = 0, other_index = 0;
    struct record a, b;
    while (batch_next(batch, &left, &index, &a) == NEAP_OK) {
        must(batch_next(&other, &other_left, &other_index, &b) == NEAP_OK);
        must(a.time_ms == b.time_ms && a.offset == batch->base_offset + b.offset);
        must(same(a.key, b.key) && same(a.value, b.value) && a.header_count == b.header_count);
    }
    must(batch_next(&other, &other_left, &other_index, &b) == NEAP_NOTFOUND);
}

static void walk(struct bytes bytes, bool check_crc)
{
    static uint8_t room[SIZE_LIMIT * 4];
    struct batch batch;
    if (batch_open(bytes, check_crc, &batch) != NEAP_OK)
        return;
    must(batch.size <= bytes.size && batch.count > 0);
    struct batch_builder b;
    batch_begin(&b, room, sizeof room);
    struct reader left = reader_of(batch.records);
    struct record record;
    enum neap_status status;
    for (uint32_t index = 0; (status = batch_next(&batch, &left, &index, &record)) == NEAP_OK;)
        add_again(&b, &record);
    if (status == NEAP_NOTFOUND)
        compare(&batch, batch_end(&b));
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
