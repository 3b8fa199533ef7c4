/* An index file of any bytes is checked without reading astray; in one that is right every row's batches lie in order and
 * without a gap. The first byte says whether the checksums are made right first. */
#include "fuzz.h"

#include "base/crc32c.h"
#include "log/local/index.h"
#include <stdlib.h>

static void repair(uint8_t *bytes, size_t size)
{
    uint64_t rows = (uint64_t)get_le32(bytes + 48) % 64 * INDEX_ROW_SIZE;
    if (rows > size - INDEX_HEADER_SIZE)
        rows = 0;
    uint64_t entries = (size - INDEX_HEADER_SIZE - rows) / INDEX_ENTRY_SIZE;
    put_le32(bytes + 48, (uint32_t)(rows / INDEX_ROW_SIZE));
    put_le32(bytes + 52, (uint32_t)entries);
    put_le32(bytes + 56, crc32c(0, bytes + INDEX_HEADER_SIZE, rows));
    put_le32(bytes + 60, crc32c(0, bytes + INDEX_HEADER_SIZE + rows, entries * INDEX_ENTRY_SIZE));
    put_le32(bytes + 64, crc32c(0, bytes, 64));
}

static void walk(struct bytes bytes, const struct index_header *h)
{
    const uint8_t *rows = bytes.at + INDEX_HEADER_SIZE, *entries = rows + (size_t)h->row_count * INDEX_ROW_SIZE;
    for (uint32_t i = 0; i < h->row_count; i++) {
        struct index_row row;
        struct index_entry e;
        index_row_read(rows + (size_t)i * INDEX_ROW_SIZE, &row);
        uint64_t next = row.next;
        for (uint32_t n = 0; n < row.count; n++, next = e.base + e.count) {
            index_entry_read(entries + (size_t)(row.first + n) * INDEX_ENTRY_SIZE, &e);
            must(e.base == next);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    struct index_header h;
    if (size < 1 + INDEX_HEADER_SIZE || size > 1u << 20)
        return 0;
    uint8_t *bytes = malloc(size - 1);
    must(bytes != NULL);
    memcpy(bytes, at + 1, size - 1);
    if (at[0] & 1)
        repair(bytes, size - 1);
    struct bytes all = { bytes, size - 1 };
    if (index_check_bytes(all, true, &h, NULL) == NEAP_OK)
        walk(all, &h);
    free(bytes);
    return 0;
}
