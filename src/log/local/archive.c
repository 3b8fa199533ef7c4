#include "log/local/archive.h"
#include "base/crc32c.h"
#include <stdlib.h>

/* ---- header -------------------------------------------------------------------------------------------------------- */

void archive_header_write(const struct archive_header *h, uint8_t *at)
{
    memset(at, 0, ARCHIVE_HEADER_SIZE);
    put_le32(at, ARCHIVE_MAGIC);
    put_le32(at + 4, ARCHIVE_VERSION);
    memcpy(at + 8, h->log_id.bytes, sizeof(h->log_id.bytes));
    put_le64(at + 24, h->facts.number);
    put_le64(at + 32, h->facts.salt);
    put_le64(at + 40, h->facts.first_sequence);
    put_le64(at + 48, h->facts.last_sequence);
    put_le32(at + 56, h->topic_id);
    put_le64(at + 64, h->index_at);
    put_le64(at + 72, h->facts.size);
    put_le64(at + 80, h->facts.batch_count);
    put_le64(at + 88, h->facts.flags);
    put_le32(at + 96, crc32c(0, at, 96));
}

enum neap_status archive_header_read(struct bytes bytes, struct archive_header *ret_header)
{
    if (bytes.size < ARCHIVE_HEADER_SIZE || get_le32(bytes.at) != ARCHIVE_MAGIC)
        return NEAP_BADINPUT;
    if (get_le32(bytes.at + 96) != crc32c(0, bytes.at, 96))
        return NEAP_CORRUPT;
    if (get_le32(bytes.at + 4) > ARCHIVE_VERSION)
        return NEAP_VERSION;
    struct archive_header h = {
        .facts = { .number = get_le64(bytes.at + 24),
                   .salt = get_le64(bytes.at + 32),
                   .first_sequence = get_le64(bytes.at + 40),
                   .last_sequence = get_le64(bytes.at + 48),
                   .size = get_le64(bytes.at + 72),
                   .batch_count = get_le64(bytes.at + 80),
                   .flags = get_le64(bytes.at + 88) },
        .topic_id = get_le32(bytes.at + 56),
        .index_at = get_le64(bytes.at + 64),
    };
    memcpy(h.log_id.bytes, bytes.at + 8, sizeof(h.log_id.bytes));
    if (h.index_at < ARCHIVE_HEADER_SIZE || h.index_at % OP_BOUND != 0 || h.facts.size > UINT32_MAX ||
        h.index_at > h.facts.size || h.facts.size - h.index_at < INDEX_HEADER_SIZE || h.facts.number == 0 ||
        h.topic_id == 0)
        return NEAP_CORRUPT;
    *ret_header = h;
    return NEAP_OK;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

static bool is_of(const struct archive_header *h, const struct log *log, const struct archive *a)
{
    const struct archive_facts *x = &h->facts, *y = &a->facts;
    return memcmp(h->log_id.bytes, log->id.bytes, sizeof(log->id.bytes)) == 0 && h->topic_id == a->topic_id &&
           x->number == y->number && x->first_sequence == y->first_sequence && x->last_sequence == y->last_sequence &&
           x->size == y->size && x->salt == y->salt && x->batch_count == y->batch_count && x->flags == y->flags;
}

enum neap_status archive_open(struct log *log, struct archive *archive, struct error *err)
{
    char path[PATH_SIZE_MAX];
    uint8_t room[ARCHIVE_HEADER_SIZE];
    struct archive_header h;
    struct io_file *file = NULL;
    struct io_file_info info;
    size_t got = 0;
    log_path(log, path, ARCHIVE_FOLDER, ARCHIVE_NAME, (unsigned long long)archive->facts.number);
    enum neap_status status = io_file_open(log->io, path, IO_READ, &file, err);
    if (status == NEAP_NOTFOUND)
        return error_set(err, NEAP_CORRUPT, "%s is missing; it holds events that are not freed yet", path);
    if (status != NEAP_OK)
        return status;
    status = io_file_read(file, room, sizeof(room), 0, &got);
    if (status == NEAP_OK)
        status = io_file_info(file, &info);
    if (status == NEAP_OK)
        status = archive_header_read((struct bytes){ room, got }, &h);
    else
        error_set(err, status, "read %s: %s", path, status_text(status));
    if (status == NEAP_VERSION)
        error_set(err, status, "%s has format %u, this program knows %u", path, get_le32(room + 4), ARCHIVE_VERSION);
    else if (status == NEAP_BADINPUT || status == NEAP_CORRUPT ||
             (status == NEAP_OK && (info.size != h.facts.size || !is_of(&h, log, archive))))
        status = error_set(err, NEAP_CORRUPT, "%s: its header is damaged; 'neap doctor %s' says more", path, log->path);
    if (status != NEAP_OK) {
        io_file_close(&file);
        return status;
    }
    archive->file = file;
    archive->index_at = h.index_at;
    return NEAP_OK;
}

static enum neap_status look_at_index(const struct archive *a)
{
    struct index_header h;
    enum neap_status status =
        index_check((struct index_file){ a->file, a->index_at, NULL }, a->facts.size - a->index_at, false, &h, NULL);
    if (status == NEAP_IO || status == NEAP_NOMEM)
        return status;
    bool right = status == NEAP_OK && h.sequence == a->facts.number && h.salt == a->facts.salt &&
                 h.end == a->index_at && h.entry_count == a->facts.batch_count;
    return right ? NEAP_OK : NEAP_CORRUPT;
}

/* Under the mutex: journal files that have the last good copy of something have not died after all. */
static void keep_drained(struct shared *s)
{
    for (uint32_t i = 0; i < s->open_index; i++)
        if (s->files[i].dead && archives_drained(&s->views.archives, s->files[i].sequence) &&
            archives_miss(&s->views.archives, s->files[i].sequence))
            s->files[i].dead = false;
}

enum neap_status archive_check_again(struct log *log, struct archive *a)
{
    struct shared *s = &log->shared;
    if (a->file == NULL)
        return NEAP_CORRUPT;
    enum neap_status status = look_at_index(a);
    io_mutex_take(s->mutex);
    a->checked = status == NEAP_OK;
    a->bad |= status == NEAP_CORRUPT; /* a disk that fails says nothing of what lies on it */
    if (a->bad)
        keep_drained(s);
    status = status == NEAP_OK && a->bad ? NEAP_CORRUPT : status;
    io_mutex_drop(s->mutex);
    return status;
}

enum neap_status archive_check_index(struct log *log, struct archive *a)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    bool known = a->checked || a->bad || a->file == NULL, good = a->checked;
    io_mutex_drop(s->mutex);
    if (known)
        return good ? NEAP_OK : NEAP_CORRUPT;
    return archive_check_again(log, a);
}

void archive_unlink(struct log *log, uint64_t number)
{
    char path[PATH_SIZE_MAX];
    io_unlink(log->io, log_path(log, path, ARCHIVE_FOLDER, ARCHIVE_NAME, (unsigned long long)number), NULL);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

enum neap_status archive_begin(struct archive_writer *w, struct log *log, uint32_t topic_id,
                               const struct archive_facts *facts, struct error *err)
{
    char path[PATH_SIZE_MAX];
    must(w->file == NULL);
    if (w->buffer_size == 0)
        w->buffer_size = WRITER_BUFFER_SIZE;
    if (w->spill_size == 0)
        w->spill_size = SPILL_ROOM_SIZE;
    if (w->buffer == NULL)
        w->buffer = malloc(w->buffer_size);
    if (w->buffer == NULL)
        return error_set(err, NEAP_NOMEM, "archive");
    w->log = log;
    w->row_next = UINT64_MAX;
    w->header = (struct archive_header){ .log_id = log->id, .facts = *facts, .topic_id = topic_id };
    w->header.facts.batch_count = 0;
    w->row.count = 0;
    spill_begin(&w->rows, log, facts->number, SPILL_ROWS, w->spill_size);
    spill_begin(&w->entries, log, facts->number, SPILL_ENTRIES, w->spill_size);
    w->filled = ARCHIVE_HEADER_SIZE;
    w->at = ARCHIVE_HEADER_SIZE;
    memset(w->buffer, 0, ARCHIVE_HEADER_SIZE);
    log_path(log, path, ARCHIVE_FOLDER, ARCHIVE_NAME, (unsigned long long)facts->number);
    enum neap_status status = io_file_open(log->io, path, IO_READ | IO_WRITE | IO_CREATE, &w->file, err);
    if (status == NEAP_OK && io_file_truncate(w->file, 0) != NEAP_OK) /* a crash may have left one of that name */
        status = error_set(err, NEAP_IO, "empty %s", path);
    return status == NEAP_OK ? NEAP_OK : error_while(err, "begin archive %llu", (unsigned long long)facts->number);
}

static enum neap_status flush(struct archive_writer *w, struct error *err)
{
    struct bytes part = { w->buffer, w->filled };
    if (w->filled == 0)
        return NEAP_OK;
    enum neap_status status = io_file_write(w->file, &part, 1, w->at - w->filled);
    if (status != NEAP_OK)
        return error_set(err, status, "write %s: %s", io_file_path(w->file), status_text(status));
    w->filled = 0;
    return NEAP_OK;
}

static enum neap_status put(struct archive_writer *w, struct bytes bytes, struct error *err)
{
    if (w->at + bytes.size > UINT32_MAX)
        return error_set(err, NEAP_TOOLARGE, "an archive holds 4 GiB at most");
    while (bytes.size > 0) {
        size_t room = w->buffer_size - w->filled, part = bytes.size < room ? bytes.size : room;
        memcpy(w->buffer + w->filled, bytes.at, part);
        w->filled += part;
        w->at += part;
        bytes.at += part;
        bytes.size -= part;
        enum neap_status status = w->filled == w->buffer_size ? flush(w, err) : NEAP_OK;
        if (status != NEAP_OK)
            return status;
    }
    return NEAP_OK;
}

static enum neap_status end_row(struct archive_writer *w, struct error *err)
{
    uint8_t room[INDEX_ROW_SIZE];
    if (w->row.count == 0)
        return NEAP_OK;
    index_row_write(&w->row, room);
    w->row.count = 0;
    return spill_put(&w->rows, room, sizeof(room), err);
}

/* In the row of this partition, which is the last one. */
static enum neap_status note(struct archive_writer *w, const struct op *op, struct error *err)
{
    uint8_t room[INDEX_ENTRY_SIZE];
    enum neap_status status = NEAP_OK;
    if (w->row.count > 0 && w->row.partition.partition != op->target.partition) {
        must(w->row.partition.partition < op->target.partition);
        status = end_row(w, err);
    }
    if (w->row.count == 0) {
        w->row =
            (struct index_row){ op->target, w->row_next < op->offset ? w->row_next : op->offset, w->entries.count, 0 };
        w->row_next = UINT64_MAX;
    }
    struct index_entry e = {
        .base = op->offset, .at = (uint32_t)w->at, .size = (uint32_t)op->payload.size, .count = op->count
    };
    index_entry_write(&e, room);
    if (status == NEAP_OK)
        status = spill_put(&w->entries, room, sizeof(room), err);
    w->row.count++;
    w->header.facts.batch_count++;
    return status;
}

enum neap_status archive_put(struct archive_writer *w, const struct op *op, struct error *err)
{
    static const uint8_t zeros[OP_BOUND] = { 0 };
    uint8_t header[OP_HEADER_SIZE];
    struct op copy = *op;
    must(op->target.topic_id == w->header.topic_id && w->at % OP_BOUND == 0);
    enum neap_status status = note(w, op, err);
    copy.kind = OP_APPEND;
    copy.view = 0;
    copy.name = (struct bytes){ NULL, 0 };
    copy.position = w->at;
    op_header_write(&copy, w->header.facts.salt, header);
    if (status == NEAP_OK)
        status = put(w, (struct bytes){ header, sizeof(header) }, err);
    if (status == NEAP_OK)
        status = put(w, op->payload, err);
    if (status == NEAP_OK)
        status = put(w, (struct bytes){ zeros, round_up(w->at, OP_BOUND) - w->at }, err);
    return status;
}

static enum neap_status put_part(void *ctx, struct bytes part, struct error *err)
{
    return put(ctx, part, err);
}

static enum neap_status put_index(struct archive_writer *w, struct error *err)
{
    uint8_t room[INDEX_HEADER_SIZE];
    enum neap_status status = end_row(w, err);
    struct index_header h = { .log_id = w->header.log_id,
                              .sequence = w->header.facts.number,
                              .salt = w->header.facts.salt,
                              .end = w->at,
                              .row_count = w->rows.count,
                              .entry_count = w->entries.count,
                              .rows_crc = w->rows.crc,
                              .entries_crc = w->entries.crc };
    w->header.index_at = w->at;
    index_header_write(&h, room);
    if (status == NEAP_OK)
        status = put(w, (struct bytes){ room, sizeof(room) }, err);
    if (status == NEAP_OK)
        status = spill_copy(&w->rows, put_part, w, err);
    if (status == NEAP_OK)
        status = spill_copy(&w->entries, put_part, w, err);
    return status;
}

enum neap_status archive_end(struct archive_writer *w, struct archive_facts *ret_facts, struct error *err)
{
    uint8_t header[ARCHIVE_HEADER_SIZE];
    enum neap_status status = put_index(w, err);
    if (status == NEAP_OK)
        status = flush(w, err);
    if (status != NEAP_OK)
        return status;
    w->header.facts.size = w->at;
    archive_header_write(&w->header, header);
    struct bytes part = { header, sizeof(header) };
    status = io_file_write(w->file, &part, 1, 0);
    if (status == NEAP_OK)
        status = io_file_sync(w->file); /* rule A1 */
    if (status != NEAP_OK)
        return error_set(err, status, "write %s: %s", io_file_path(w->file), status_text(status));
    io_file_close(&w->file);
    spill_end(&w->rows);
    spill_end(&w->entries);
    *ret_facts = w->header.facts;
    return NEAP_OK;
}

void archive_drop(struct archive_writer *w)
{
    if (w->file == NULL)
        return;
    io_file_close(&w->file);
    archive_unlink(w->log, w->header.facts.number);
}

void archive_writer_fini(struct archive_writer *w)
{
    archive_drop(w);
    spill_end(&w->rows);
    spill_end(&w->entries);
    free(w->buffer);
    *w = (struct archive_writer){ 0 };
}
