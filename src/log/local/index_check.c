/* index_check.c - a whole index: every checksum, and that rows and entries follow each other. Rows and entries are two streams of the
 * file that are read side by side, each once, so that an index of any size takes two small rooms. */
#include "base/crc32c.h"
#include "log/local/index.h"

#define PIECE_COUNT 256u /* rows or entries that are read at once */
static_assert(INDEX_ROW_SIZE == INDEX_ENTRY_SIZE, "one room for either");

struct input {
    struct index_file file;
    struct bytes bytes; /* at != NULL: instead of the file */
};

static enum neap_status load(const struct input *in, uint8_t *to, size_t size, uint64_t from)
{
    size_t got = 0;
    if (in->bytes.at != NULL) {
        memcpy(to, in->bytes.at + from, size);
        return NEAP_OK;
    }
    enum neap_status status = io_file_read(in->file.file, to, size, in->file.at + from, &got);
    return status != NEAP_OK ? status : got == size ? NEAP_OK : NEAP_CORRUPT;
}

struct stream {
    const struct input *in;
    uint64_t from;
    uint32_t left, loaded, next, crc; /* left: not loaded yet; next: of the loaded */
    uint8_t room[PIECE_COUNT * INDEX_ROW_SIZE];
};

static void begin(struct stream *s, const struct input *in, uint64_t from, uint32_t count)
{
    s->in = in;
    s->from = from;
    s->left = count;
    s->loaded = s->next = s->crc = 0;
}

/* The next one; the caller knows that there is one. */
static enum neap_status take(struct stream *s, const uint8_t **ret_at)
{
    if (s->next == s->loaded) {
        must(s->left > 0);
        uint32_t count = s->left < PIECE_COUNT ? s->left : PIECE_COUNT;
        enum neap_status status = load(s->in, s->room, (size_t)count * INDEX_ROW_SIZE, s->from);
        if (status != NEAP_OK)
            return status;
        s->crc = crc32c(s->crc, s->room, (size_t)count * INDEX_ROW_SIZE);
        s->from += (uint64_t)count * INDEX_ROW_SIZE;
        s->left -= count;
        s->loaded = count;
        s->next = 0;
    }
    *ret_at = s->room + (size_t)s->next++ * INDEX_ROW_SIZE;
    return NEAP_OK;
}

static enum neap_status check_row(const struct index_row *row, struct stream *entries, bool dense, struct error *err)
{
    uint64_t next = row->next;
    for (uint32_t i = 0; i < row->count; i++) {
        struct index_entry e;
        const uint8_t *at;
        enum neap_status status = take(entries, &at);
        if (status != NEAP_OK)
            return error_set(err, status, "index entries: %s", status_text(status));
        index_entry_read(at, &e);
        if (e.base < next || (dense && e.base != next) || e.count == 0 || e.base > UINT64_MAX / 2)
            return error_set(err, NEAP_CORRUPT, "topic %u partition %u: offset %llu where %llu belongs",
                             row->partition.topic_id, row->partition.partition, (unsigned long long)e.base,
                             (unsigned long long)next);
        next = e.base + e.count;
    }
    return NEAP_OK;
}

static enum neap_status check_rows(const struct input *in, const struct index_header *h, bool dense, struct error *err)
{
    struct stream rows, entries;
    uint32_t first = 0;
    begin(&rows, in, INDEX_HEADER_SIZE, h->row_count);
    begin(&entries, in, INDEX_HEADER_SIZE + (uint64_t)h->row_count * INDEX_ROW_SIZE, h->entry_count);
    for (uint32_t i = 0; i < h->row_count; i++) {
        struct index_row row;
        const uint8_t *at;
        enum neap_status status = take(&rows, &at);
        if (status != NEAP_OK)
            return error_set(err, status, "index rows: %s", status_text(status));
        index_row_read(at, &row);
        if (row.first != first || row.count > h->entry_count - first)
            return error_set(err, NEAP_CORRUPT, "index row %u does not follow the one before it", i);
        first += row.count;
        status = check_row(&row, &entries, dense, err);
        if (status != NEAP_OK)
            return status;
    }
    if (first != h->entry_count)
        return error_set(err, NEAP_CORRUPT, "index has entries of no row");
    if (rows.crc != h->rows_crc || entries.crc != h->entries_crc)
        return error_set(err, NEAP_CORRUPT, "index rows or entries: checksum does not match");
    return NEAP_OK;
}

static enum neap_status check(const struct input *in, uint64_t size, bool dense, struct index_header *ret_header,
                              struct error *err)
{
    uint8_t room[INDEX_HEADER_SIZE];
    struct index_header h;
    if (size < INDEX_HEADER_SIZE)
        return error_set(err, NEAP_BADINPUT, "index is %llu bytes", (unsigned long long)size);
    enum neap_status status = load(in, room, sizeof(room), 0);
    if (status == NEAP_OK)
        status = index_header_read((struct bytes){ room, sizeof(room) }, &h);
    if (status != NEAP_OK)
        return error_set(err, status, "index header: %s", status_text(status));
    uint64_t said =
        INDEX_HEADER_SIZE + (uint64_t)h.row_count * INDEX_ROW_SIZE + (uint64_t)h.entry_count * INDEX_ENTRY_SIZE;
    if (size != said)
        return error_set(err, NEAP_CORRUPT, "index is %llu bytes, its header says %llu", (unsigned long long)size,
                         (unsigned long long)said);
    status = check_rows(in, &h, dense, err);
    if (status == NEAP_OK)
        *ret_header = h;
    return status;
}

enum neap_status index_check(struct index_file index, uint64_t size, bool dense, struct index_header *ret_header,
                             struct error *err)
{
    return check(&(struct input){ .file = index }, size, dense, ret_header, err);
}

enum neap_status index_check_bytes(struct bytes bytes, bool dense, struct index_header *ret_header, struct error *err)
{
    return check(&(struct input){ .bytes = bytes }, bytes.size, dense, ret_header, err);
}
