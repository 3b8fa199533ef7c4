#include "log/local/index.h"
#include "base/crc32c.h"
#include "log/local/pages.h"
#include "log/local/views.h"
#include <stdlib.h>

#define CHAIN_COUNT      16u

#define FIND_ENTRY_COUNT 16u /* fewer are looked at one after the other */

enum neap_status indexes_init(struct shared *s, uint32_t count_max)
{
    s->index_count_max = count_max;
    for (int i = 0; i < 2; i++) {
        s->indexes[i].entries = malloc(count_max * sizeof(struct index_entry)); /* pages come as they fill */
        if (s->indexes[i].entries == NULL)
            return NEAP_NOMEM;
    }
    return NEAP_OK;
}

void indexes_fini(struct shared *s)
{
    for (int i = 0; i < 2; i++)
        free(s->indexes[i].entries);
}

struct open_index *index_in_memory(struct shared *s, uint64_t sequence)
{
    struct open_index *index = &s->indexes[sequence & 1];
    return sequence != 0 && index->sequence == sequence ? index : NULL;
}

void index_begin(struct shared *s, uint64_t sequence)
{
    struct open_index *index = &s->indexes[sequence & 1];
    must(index->sequence == 0);
    index->sequence = sequence;
    index->count = 0;
    index->sealed = false;
}

void index_link(struct shared *s, struct partition *p, uint64_t file_sequence, const struct index_entry *entry)
{
    struct open_index *index = index_in_memory(s, file_sequence);
    must(index != NULL && !index->sealed && index->count < s->index_count_max);
    uint32_t slot = index->count++;
    index->entries[slot] = *entry;
    index->entries[slot].next = INDEX_NONE;
    unsigned which = file_sequence & 1;
    if (p->open[which].sequence != file_sequence) {
        p->open[which].sequence = file_sequence;
        p->open[which].first = slot;
        p->open[which].count = 0;
    } else {
        index->entries[p->open[which].last].next = slot;
    }
    p->open[which].last = slot;
    p->open[which].count++;
}

void index_add(struct shared *s, struct partition *p, uint64_t file_sequence, const struct index_entry *entry)
{
    must(entry->base == p->end && entry->count > 0); /* dense: what was never written cannot be durable */
    index_link(s, p, file_sequence, entry);
    p->end += entry->count;
    p->batch_count++;
    p->size += entry->size;
}

/* ---- on disk ---------------------------------------------------------------------------------------------------- */

enum neap_status index_header_read(struct bytes bytes, struct index_header *ret_header)
{
    if (bytes.size < INDEX_HEADER_SIZE || get_le32(bytes.at) != INDEX_MAGIC)
        return NEAP_BADINPUT;
    if (get_le32(bytes.at + 64) != crc32c(0, bytes.at, 64))
        return NEAP_CORRUPT;
    if (get_le32(bytes.at + 4) > INDEX_VERSION)
        return NEAP_VERSION;
    struct index_header h = {
        .sequence = get_le64(bytes.at + 24),
        .salt = get_le64(bytes.at + 32),
        .end = get_le64(bytes.at + 40),
        .row_count = get_le32(bytes.at + 48),
        .entry_count = get_le32(bytes.at + 52),
        .rows_crc = get_le32(bytes.at + 56),
        .entries_crc = get_le32(bytes.at + 60),
    };
    memcpy(h.log_id.bytes, bytes.at + 8, sizeof(h.log_id.bytes));
    *ret_header = h;
    return NEAP_OK;
}

void index_header_write(const struct index_header *h, uint8_t *at)
{
    put_le32(at, INDEX_MAGIC);
    put_le32(at + 4, INDEX_VERSION);
    memcpy(at + 8, h->log_id.bytes, sizeof(h->log_id.bytes));
    put_le64(at + 24, h->sequence);
    put_le64(at + 32, h->salt);
    put_le64(at + 40, h->end);
    put_le32(at + 48, h->row_count);
    put_le32(at + 52, h->entry_count);
    put_le32(at + 56, h->rows_crc);
    put_le32(at + 60, h->entries_crc);
    put_le32(at + 64, crc32c(0, at, 64));
    put_le32(at + 68, 0);
}

void index_row_read(const uint8_t *at, struct index_row *ret_row)
{
    *ret_row = (struct index_row){ .partition = { get_le32(at), get_le32(at + 4) },
                                   .next = get_le64(at + 8),
                                   .first = get_le32(at + 16),
                                   .count = get_le32(at + 20) };
}

void index_entry_read(const uint8_t *at, struct index_entry *ret_entry)
{
    *ret_entry = (struct index_entry){ .base = get_le64(at),
                                       .at = get_le32(at + 8),
                                       .size = get_le32(at + 12),
                                       .count = get_le32(at + 16),
                                       .next = INDEX_NONE };
}

void index_row_write(const struct index_row *row, uint8_t *at)
{
    put_le32(at, row->partition.topic_id);
    put_le32(at + 4, row->partition.partition);
    put_le64(at + 8, row->next);
    put_le32(at + 16, row->first);
    put_le32(at + 20, row->count);
}

void index_entry_write(const struct index_entry *e, uint8_t *at)
{
    put_le64(at, e->base);
    put_le32(at + 8, e->at);
    put_le32(at + 12, e->size);
    put_le32(at + 16, e->count);
    put_le32(at + 20, 0);
}

/* What the partition's next offset was where file `sequence` begins. */
static uint64_t next_at_start(struct shared *s, const struct partition *p, uint64_t sequence)
{
    for (uint64_t file = sequence; file <= sequence + 1; file++) {
        struct open_index *index = index_in_memory(s, file);
        if (index != NULL && p->open[file & 1].sequence == file)
            return index->entries[p->open[file & 1].first].base;
    }
    return p->end;
}

/* What it was by the index of the file before. */
static bool next_after(const struct index_before *before, const struct partition *p, uint64_t *ret_next)
{
    struct index_row row;
    struct index_entry last;
    uint32_t row_count;
    if (before->index.file == NULL || index_row_count(before->index, &row_count) != NEAP_OK ||
        index_find_row(before->index, (struct log_partition){ p->topic_id, p->number }, &row) != NEAP_OK)
        return false;
    *ret_next = row.next;
    if (row.count == 0)
        return true;
    if (index_load_entries(before->index, &row, row_count, row.count - 1, &last, 1) != NEAP_OK)
        return false;
    *ret_next = last.base + last.count;
    return true;
}

struct row_list {
    uint8_t *bytes;
    uint32_t count;
    uint32_t *starts; /* in memory: the partition's first entry */
    uint32_t entry_count;
};

/* Under the mutex: the rows of all partitions, in topic id and partition order. */
static void collect_rows(struct shared *s, uint64_t sequence, const struct index_before *before, struct row_list *rows)
{
    uint32_t first = 0;
    struct open_index *index = index_in_memory(s, sequence);
    for (uint32_t id = 1, seen = 0; seen < s->views.topic_count && id < s->views.topic_id_next; id++) {
        struct topic *topic = views_topic(&s->views, id);
        if (topic == NULL)
            continue;
        seen++;
        for (uint32_t i = 0; i < topic->partition_count; i++) {
            struct partition *p = topic_partition(topic, i);
            uint32_t count = 0, start = INDEX_NONE;
            if (p->open[sequence & 1].sequence == sequence) {
                start = p->open[sequence & 1].first;
                count = p->open[sequence & 1].count;
            }
            uint64_t next;
            if (start != INDEX_NONE)
                next = index->entries[start].base;
            else if (before == NULL)
                next = next_at_start(s, p, sequence);
            else if (!next_after(before, p, &next))
                continue;
            struct index_row row = { { p->topic_id, p->number }, next, first, count };
            index_row_write(&row, rows->bytes + (size_t)rows->count * INDEX_ROW_SIZE);
            rows->starts[rows->count++] = start;
            first += count;
        }
    }
    rows->entry_count = first;
}

struct chain {
    uint32_t at;
    uint8_t *to;
};

/* A partition's entries lie far apart where there are many partitions: some partitions are followed side by side, so that
 * one's next entry comes from memory while the others' are written. */
static void write_entries(const struct open_index *index, const struct row_list *rows, uint8_t *entries)
{
    struct chain chains[CHAIN_COUNT];
    uint32_t open = 0;
    for (uint32_t next = 0; open > 0 || next < rows->count;) {
        for (; open < CHAIN_COUNT && next < rows->count; next++) {
            struct index_row row;
            index_row_read(rows->bytes + (size_t)next * INDEX_ROW_SIZE, &row);
            if (row.count > 0)
                chains[open++] = (struct chain){ rows->starts[next], entries + (size_t)row.first * INDEX_ENTRY_SIZE };
        }
        for (uint32_t i = 0; i < open;) {
            const struct index_entry *entry = &index->entries[chains[i].at];
            index_entry_write(entry, chains[i].to);
            chains[i].to += INDEX_ENTRY_SIZE;
            chains[i].at = entry->next;
            if (entry->next == INDEX_NONE)
                chains[i] = chains[--open];
            else
                __builtin_prefetch(&index->entries[chains[i++].at]);
        }
    }
}

static enum neap_status write_file(struct log *log, uint64_t sequence, struct bytes bytes, struct error *err)
{
    char path[PATH_SIZE_MAX];
    struct io_file *file = NULL;
    enum neap_status status =
        io_file_open(log->io, log_path(log, path, INDEX_FOLDER, INDEX_NAME, (unsigned long long)sequence),
                     IO_READ | IO_WRITE | IO_CREATE, &file, err);
    if (status != NEAP_OK)
        return error_while(err, "write index");
    status = io_file_truncate(file, 0);
    if (status == NEAP_OK)
        status = io_file_write(file, &bytes, 1, 0);
    if (status == NEAP_OK) /* where a crash comes before, its checksums say so, and it is made anew */
        status = io_file_sync(file);
    io_file_close(&file);
    if (status != NEAP_OK)
        return error_set(err, status, "write index %s: %s", path, status_text(status));
    return io_dir_sync(log->io, log_path(log, path, INDEX_FOLDER, "%s", ""), err);
}

enum neap_status index_write(struct log *log, uint64_t sequence, const struct index_before *before, struct error *err)
{
    struct shared *s = &log->shared;
    struct row_list rows = { 0 };
    io_mutex_take(s->mutex);
    struct open_index *index = index_in_memory(s, sequence);
    struct journal_file *file = file_by_sequence(s, sequence);
    must(index != NULL && file != NULL && file->end != 0);
    struct index_header h = { .log_id = log->id, .sequence = sequence, .salt = file->salt, .end = file->end };
    uint8_t *room = malloc(INDEX_HEADER_SIZE + (size_t)s->views.partition_count * INDEX_ROW_SIZE +
                           (size_t)index->count * INDEX_ENTRY_SIZE);
    rows.starts = malloc((s->views.partition_count + 1) * sizeof(uint32_t));
    if (room != NULL && rows.starts != NULL) {
        rows.bytes = room + INDEX_HEADER_SIZE;
        collect_rows(s, sequence, before, &rows);
    }
    io_mutex_drop(s->mutex);
    enum neap_status status;
    if (rows.bytes == NULL) {
        status = error_set(err, NEAP_NOMEM, "index of file %llu", (unsigned long long)sequence);
        goto free_room;
    }
    size_t rows_size = (size_t)rows.count * INDEX_ROW_SIZE;
    uint8_t *entries = rows.bytes + rows_size;
    h.row_count = rows.count;
    h.entry_count = rows.entry_count;
    write_entries(index, &rows, entries); /* sealed: nobody changes it but us, by giving it back */
    h.rows_crc = crc32c(0, rows.bytes, rows_size);
    h.entries_crc = crc32c(0, entries, (size_t)h.entry_count * INDEX_ENTRY_SIZE);
    index_header_write(&h, room);
    status =
        write_file(log, sequence,
                   (struct bytes){ room, INDEX_HEADER_SIZE + rows_size + (size_t)h.entry_count * INDEX_ENTRY_SIZE },
                   err);
free_room:
    free(room);
    free(rows.starts);
    return status;
}

enum neap_status index_open(struct log *log, uint64_t sequence, struct io_file **ret_file, struct error *err)
{
    char path[PATH_SIZE_MAX];
    return io_file_open(log->io, log_path(log, path, INDEX_FOLDER, INDEX_NAME, (unsigned long long)sequence), IO_READ,
                        ret_file, err);
}

static enum neap_status look_at(struct io_file *index, const struct journal_file *file, struct index_header *ret_header,
                                struct error *err)
{
    struct io_file_info info;
    uint8_t version[4] = { 0 };
    size_t got;
    enum neap_status status = io_file_info(index, &info);
    if (status == NEAP_OK)
        status = index_check((struct index_file){ index, 0, NULL }, info.size, !file->scarred, ret_header, NULL);
    if (status == NEAP_VERSION && io_file_read(index, version, sizeof(version), 4, &got) == NEAP_OK)
        error_set(err, status, "%s has format %u, this program knows %u", io_file_path(index), get_le32(version),
                  INDEX_VERSION);
    return status;
}

enum neap_status index_look(struct log *log, struct journal_file *file, struct error *err)
{
    struct index_header h;
    struct io_file *index = NULL;
    enum neap_status status = index_open(log, file->sequence, &index, NULL);
    if (status == NEAP_OK)
        status = look_at(index, file, &h, err);
    bool right = status == NEAP_OK && h.sequence == file->sequence && h.salt == file->salt &&
                 memcmp(h.log_id.bytes, log->id.bytes, 16) == 0;
    if (!right) {
        io_file_close(&index);
        return status == NEAP_VERSION ? status : NEAP_NOTFOUND;
    }
    io_file_close(&file->index);
    file->index = index;
    return NEAP_OK;
}

static enum neap_status read_exact(struct index_file index, void *to, size_t size, uint64_t position)
{
    if (index.pages != NULL)
        return pages_read(index.pages, index.file, index.at + position, to, size);
    size_t got = 0;
    enum neap_status status = io_file_read(index.file, to, size, index.at + position, &got);
    return status != NEAP_OK ? status : got == size ? NEAP_OK : NEAP_BADINPUT;
}

static enum neap_status load_header(struct index_file index, struct index_header *ret_header)
{
    uint8_t room[INDEX_HEADER_SIZE];
    enum neap_status status = read_exact(index, room, sizeof(room), 0);
    return status == NEAP_OK ? index_header_read((struct bytes){ room, sizeof(room) }, ret_header) : status;
}

enum neap_status index_row_count(struct index_file index, uint32_t *ret_count)
{
    struct index_header h;
    enum neap_status status = load_header(index, &h);
    if (status == NEAP_OK)
        *ret_count = h.row_count;
    return status;
}

enum neap_status index_size(struct index_file index, uint64_t *ret_size)
{
    struct index_header h;
    enum neap_status status = load_header(index, &h);
    if (status == NEAP_OK)
        *ret_size =
            INDEX_HEADER_SIZE + (uint64_t)h.row_count * INDEX_ROW_SIZE + (uint64_t)h.entry_count * INDEX_ENTRY_SIZE;
    return status;
}

enum neap_status index_load_row(struct index_file index, uint32_t number, struct index_row *ret_row)
{
    uint8_t room[INDEX_ROW_SIZE];
    enum neap_status status =
        read_exact(index, room, sizeof(room), INDEX_HEADER_SIZE + (uint64_t)number * INDEX_ROW_SIZE);
    if (status == NEAP_OK)
        index_row_read(room, ret_row);
    return status;
}

/* Where the row must lie, once one of the same topic was seen at `number`: rows are sorted and all differ, so it is no further
 * away than the partitions' numbers are. As every partition has a row, it is just as far: that one is looked at next. */
static uint32_t next_look(const struct index_row *seen, uint32_t number, struct log_partition p, uint32_t *low,
                          uint32_t *high)
{
    bool after = seen->partition.topic_id < p.topic_id ||
                 (seen->partition.topic_id == p.topic_id && seen->partition.partition < p.partition);
    if (after)
        *low = number + 1;
    else
        *high = number;
    uint32_t middle = *low + (*high - *low) / 2;
    if (seen->partition.topic_id != p.topic_id)
        return middle;
    uint32_t away = after ? p.partition - seen->partition.partition : seen->partition.partition - p.partition;
    if (after && away < *high - number) {
        *high = number + away + 1;
        return *high - 1;
    }
    if (!after && away <= number - *low) {
        *low = number - away;
        return *low;
    }
    return middle;
}

enum neap_status index_find_row(struct index_file index, struct log_partition p, struct index_row *ret_row)
{
    uint32_t low = 0, high;
    enum neap_status status = index_row_count(index, &high);
    uint32_t look = high / 2;
    while (status == NEAP_OK && low < high) {
        struct index_row row;
        status = index_load_row(index, look, &row);
        if (status != NEAP_OK)
            return status;
        if (row.partition.topic_id == p.topic_id && row.partition.partition == p.partition) {
            *ret_row = row;
            return NEAP_OK;
        }
        look = next_look(&row, look, p, &low, &high);
    }
    return status == NEAP_OK ? NEAP_NOTFOUND : status;
}

enum neap_status index_load_entries(struct index_file index, const struct index_row *row, uint32_t row_count,
                                    uint32_t number, struct index_entry *room, uint32_t count)
{
    uint8_t bytes[INDEX_LOAD_MAX * INDEX_ENTRY_SIZE];
    must(count <= INDEX_LOAD_MAX && number + count <= row->count);
    uint64_t at =
        INDEX_HEADER_SIZE + (uint64_t)row_count * INDEX_ROW_SIZE + (uint64_t)(row->first + number) * INDEX_ENTRY_SIZE;
    enum neap_status status = read_exact(index, bytes, (size_t)count * INDEX_ENTRY_SIZE, at);
    for (uint32_t i = 0; status == NEAP_OK && i < count; i++)
        index_entry_read(bytes + (size_t)i * INDEX_ENTRY_SIZE, &room[i]);
    return status;
}

enum neap_status index_find_entry(struct index_file index, const struct index_row *row, uint32_t row_count,
                                  uint64_t offset, uint32_t *ret_number)
{
    struct index_entry some[FIND_ENTRY_COUNT];
    uint32_t low = 0, high = row->count; /* the first entry that ends after the offset */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, count = 1;
        if (high - low <= FIND_ENTRY_COUNT) { /* the rest of them at once */
            middle = low;
            count = high - low;
        }
        enum neap_status status = index_load_entries(index, row, row_count, middle, some, count);
        if (status != NEAP_OK)
            return status;
        for (uint32_t i = 0; i < count; i++) {
            if (some[i].base + some[i].count <= offset)
                low = middle + i + 1;
            else
                high = middle + i;
            if (high <= middle + i)
                break;
        }
    }
    *ret_number = low;
    return NEAP_OK;
}
