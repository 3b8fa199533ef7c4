/* An archive of any bytes is opened and walked without reading astray; what its index leads to is what its operations say, and a
 * replacement or settings of any bytes decode to what encodes to the same. The first byte says whether checksums are made right. */
#include "fuzz.h"

#include "base/crc32c.h"
#include "log/local/archive.h"
#include <stdlib.h>

static void repair(uint8_t *bytes, size_t size)
{
    if (size < ARCHIVE_HEADER_SIZE + INDEX_HEADER_SIZE)
        return;
    uint64_t room = size - ARCHIVE_HEADER_SIZE - INDEX_HEADER_SIZE;
    uint64_t at = ARCHIVE_HEADER_SIZE + (get_le32(bytes + 64) % (room + 1)) / OP_BOUND * OP_BOUND;
    put_le32(bytes, ARCHIVE_MAGIC);
    put_le32(bytes + 4, ARCHIVE_VERSION);
    put_le64(bytes + 64, at);
    put_le64(bytes + 72, size);
    put_le32(bytes + 96, crc32c(0, bytes, 96));
    uint8_t *index = bytes + at;
    uint64_t left = size - at - INDEX_HEADER_SIZE, rows = get_le32(index + 48) % 16 * INDEX_ROW_SIZE;
    rows = rows > left ? 0 : rows;
    put_le32(index, INDEX_MAGIC);
    put_le32(index + 4, INDEX_VERSION);
    put_le32(index + 48, (uint32_t)(rows / INDEX_ROW_SIZE));
    put_le32(index + 52, (uint32_t)((left - rows) / INDEX_ENTRY_SIZE));
    put_le32(index + 56, crc32c(0, index + INDEX_HEADER_SIZE, rows));
    put_le32(index + 60,
             crc32c(0, index + INDEX_HEADER_SIZE + rows, (left - rows) / INDEX_ENTRY_SIZE * INDEX_ENTRY_SIZE));
    put_le32(index + 64, crc32c(0, index, 64));
}

static void walk(struct bytes all, const struct archive_header *h)
{
    struct bytes index = { all.at + h->index_at, all.size - h->index_at };
    struct index_header ih;
    if (index_check_bytes(index, false, &ih, NULL) != NEAP_OK)
        return;
    const uint8_t *rows = index.at + INDEX_HEADER_SIZE, *entries = rows + (size_t)ih.row_count * INDEX_ROW_SIZE;
    for (uint32_t i = 0; i < ih.row_count; i++) {
        struct index_row row;
        index_row_read(rows + (size_t)i * INDEX_ROW_SIZE, &row);
        for (uint32_t n = 0; n < row.count; n++) {
            struct index_entry e;
            struct op op;
            index_entry_read(entries + (size_t)(row.first + n) * INDEX_ENTRY_SIZE, &e);
            if (e.at > h->index_at)
                continue;
            struct bytes bytes = { all.at + e.at, h->index_at - e.at };
            if (op_read(bytes, h->facts.salt, e.at, &op) == NEAP_OK)
                must(op.payload.at >= all.at && op.payload.at + op.payload.size <= all.at + h->index_at);
        }
    }
}

static void decode(struct bytes all)
{
    struct replace r;
    struct log_topic_settings settings;
    uint8_t room[LOG_SETTINGS_SIZE];
    if (replace_decode(all, 7, &r) == NEAP_OK) {
        for (uint32_t i = 0; i < r.removed_count; i++)
            (void)replace_number(&r, i);
        for (uint32_t i = 0; i < r.shrunk_count; i++)
            (void)replace_shrunk(&r, i);
        struct archives archives = { .number_next = 1 };
        (void)archives_apply(&archives, 3, &r);
        archives_fini(&archives);
    }
    if (log_settings_decode(all, &settings) == NEAP_OK)
        must(bytes_equal(log_settings_encode(&settings, room), all));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
    struct archive_header h;
    if (size < 1 || size > 1u << 20)
        return 0;
    uint8_t *bytes = malloc(size);
    must(bytes != NULL);
    memcpy(bytes, at + 1, size - 1);
    struct bytes all = { bytes, size - 1 };
    decode(all);
    if (at[0] & 1)
        repair(bytes, size - 1);
    if (archive_header_read(all, &h) == NEAP_OK && h.facts.size == all.size)
        walk(all, &h);
    free(bytes);
    return 0;
}
