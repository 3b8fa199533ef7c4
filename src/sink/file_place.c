/* file_place.c - where the next bytes go. */
#include "base/crc32c.h"
#include "base/must.h"
#include "sink/file.h"
#include <stdio.h>

#define FORMAT_VERSION 1u

void file_fact_encode(const struct file_fact *fact, uint8_t *room)
{
    struct writer w = writer_of(room, FILE_FACT_SIZE);
    write_u8(&w, FORMAT_VERSION);
    write_le64(&w, fact->sequence);
    write_le64(&w, fact->device);
    write_le64(&w, fact->inode);
    write_le64(&w, fact->size);
    write_le32(&w, fact->head_crc);
    must(!w.full && writer_size(&w) == FILE_FACT_SIZE);
}

enum neap_status file_fact_decode(struct bytes bytes, struct file_fact *ret_fact)
{
    struct reader r = reader_of(bytes);
    uint8_t version = read_u8(&r);
    struct file_fact f;
    f.sequence = read_le64(&r);
    f.device = read_le64(&r);
    f.inode = read_le64(&r);
    f.size = read_le64(&r);
    f.head_crc = read_le32(&r);
    if (version > FORMAT_VERSION)
        return NEAP_VERSION;
    if (r.spent || reader_left(&r) > 0 || version == 0)
        return NEAP_CORRUPT;
    *ret_fact = f;
    return NEAP_OK;
}

/* ---- what is known ---- */

static enum neap_status load_facts(struct file_sink *s, uint32_t topic_id, struct error *err)
{
    struct file_place *p = &s->place;
    struct bytes key = { (const uint8_t *)s->key, s->key_size }, value;
    for (uint32_t i = 0; i < s->options.source_partition_count; i++) {
        struct log_partition partition = { topic_id, i };
        if (log_fact_get(s->options.log, LOG_VIEW_SINK, partition, key, p->fact_room, &value) != NEAP_OK)
            continue;
        struct file_fact fact;
        enum neap_status status = file_fact_decode(value, &fact);
        if (status != NEAP_OK)
            return error_set(err, status, "what the log remembers of %s cannot be read: %s", s->options.path,
                             status_text(status));
        if (!p->found || fact.sequence > p->fact.sequence)
            p->fact = fact;
        p->found = true;
    }
    p->loaded = true;
    return NEAP_OK;
}

static uint32_t head_size(uint64_t size)
{
    return size < FILE_HEAD_SIZE ? (uint32_t)size : FILE_HEAD_SIZE;
}

static enum neap_status io_error(const struct file_sink *s, enum neap_status status, const char *doing,
                                 struct error *err)
{
    return error_set(err, status, "%s %s: %s", doing, s->options.path, status_text(status));
}

static enum neap_status read_head(struct file_sink *s, uint64_t size, struct error *err)
{
    size_t got = 0;
    enum neap_status status = io_file_read(s->place.file, s->place.head, head_size(size), 0, &got);
    if (status != NEAP_OK || got != head_size(size))
        return io_error(s, status == NEAP_OK ? NEAP_IO : status, "read", err);
    return NEAP_OK;
}

/* ---- opening ---- */

static void folder_of(const char *path, char *room, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(room, size, ".");
    else
        snprintf(room, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static enum neap_status open_file(struct file_sink *s, struct io_file_info *ret_info, bool *ret_made, struct error *err)
{
    struct file_place *p = &s->place;
    struct io_file_info before;
    enum neap_status found = io_path_info(s->options.io, s->options.path, &before);
    enum neap_status status =
        io_file_open(s->options.io, s->options.path, IO_READ | IO_WRITE | IO_CREATE | IO_SHARED, &p->file, err);
    if (status != NEAP_OK)
        return status;
    status = io_file_info(p->file, ret_info);
    if (status != NEAP_OK)
        return io_error(s, status, "look at", err);
    if (ret_info->kind != IO_KIND_FILE)
        return error_set(err, NEAP_MISUSE, "%s is not a regular file", s->options.path);
    status = io_file_lock(p->file, IO_LOCK_EXCLUSIVE, 0, UINT64_MAX / 4);
    if (status == NEAP_HELD)
        return error_set(err, NEAP_HELD, "%s is being written by another pipeline or process", s->options.path);
    if (status != NEAP_OK)
        return io_error(s, status, "lock", err);
    *ret_made = found == NEAP_NOTFOUND;
    if (*ret_made) {
        char folder[4096];
        folder_of(s->options.path, folder, sizeof folder);
        return io_dir_sync(s->options.io, folder, err);
    }
    return NEAP_OK;
}

/* ---- the mark of rule F1 ---- */

static void forget_mark(struct file_place *p)
{
    p->fact = p->before;
    p->found = p->before.sequence > 0;
    p->state = FILE_UNKNOWN;
}

static void marked(struct log_unit *unit, enum neap_status status)
{
    struct file_sink *s = unit->ctx;
    must(s->place.state == FILE_MARKING);
    s->place.mark_status = status;
    s->place.state = FILE_READY;
    if (status != NEAP_OK)
        forget_mark(&s->place);
}

static enum neap_status mark(struct file_sink *s, struct log_partition source, struct error *err)
{
    struct file_place *p = &s->place;
    file_fact_encode(&p->fact, p->mark);
    p->op = (struct log_op){ .kind = LOG_FACT,
                             .view = LOG_VIEW_SINK,
                             .target = source,
                             .name = { (const uint8_t *)s->key, s->key_size },
                             .payload = { p->mark, FILE_FACT_SIZE } };
    p->unit = (struct log_unit){ .ops = &p->op, .count = 1, .done = marked, .ctx = s };
    p->state = FILE_MARKING;
    p->mark_status = NEAP_OK;
    enum neap_status status = log_submit(s->client, &p->unit);
    if (status == NEAP_OK)
        return NEAP_OK;
    forget_mark(p);
    return error_set(err, status, "remember how long %s is: %s", s->options.path, status_text(status));
}

/* ---- a file that is ours, and one that is not ---- */

static bool is_ours(const struct file_sink *s, const struct io_file_info *info)
{
    const struct file_place *p = &s->place;
    return p->found && info->device == p->fact.device && info->inode == p->fact.inode;
}

static void warn(const struct file_sink *s, const char *message, uint64_t size)
{
    logging_warn(s->options.logging, message, LOGGING_TEXT("pipeline", s->options.pipeline),
                 LOGGING_TEXT("path", s->options.path), LOGGING_UINT("bytes", size));
}

static enum neap_status cut_tail(struct file_sink *s, uint64_t size, struct error *err)
{
    struct file_place *p = &s->place;
    if (size == p->fact.size)
        return NEAP_OK;
    warn(s, "cutting off bytes that were written and not committed", size - p->fact.size);
    enum neap_status status = io_file_truncate(p->file, p->fact.size);
    if (status == NEAP_OK)
        status = io_file_sync(p->file);
    return status == NEAP_OK ? NEAP_OK : io_error(s, status, "truncate", err);
}

/* What is there already stays; a last line without its end gets one. */
static enum neap_status begin_after(struct file_sink *s, uint64_t *size, struct error *err)
{
    if (*size == 0)
        return NEAP_OK;
    uint8_t last = '\n';
    size_t got = 0;
    enum neap_status status = io_file_read(s->place.file, &last, 1, *size - 1, &got);
    if (status != NEAP_OK)
        return io_error(s, status, "read", err);
    if (last == '\n')
        return NEAP_OK;
    struct bytes newline = BYTES("\n");
    status = io_file_write(s->place.file, &newline, 1, *size);
    if (status == NEAP_OK)
        status = io_file_sync(s->place.file);
    if (status != NEAP_OK)
        return io_error(s, status, "write to", err);
    *size += 1;
    return NEAP_OK;
}

static enum neap_status begin_file(struct file_sink *s, const struct io_file_info *info, struct log_partition source,
                                   struct error *err)
{
    struct file_place *p = &s->place;
    uint64_t size = info->size;
    enum neap_status status = begin_after(s, &size, err);
    if (status == NEAP_OK)
        status = read_head(s, size, err);
    if (status != NEAP_OK)
        return status;
    p->before = p->fact;
    p->fact = (struct file_fact){ .sequence = p->fact.sequence + 1,
                                  .device = info->device,
                                  .inode = info->inode,
                                  .size = size,
                                  .head_crc = crc32c(0, p->head, head_size(size)) };
    p->found = true;
    return mark(s, source, err);
}

static enum neap_status enter(struct file_sink *s, const struct io_file_info *info, bool made,
                              struct log_partition source, bool take_over, struct error *err)
{
    struct file_place *p = &s->place;
    bool ours = !made && is_ours(s, info); /* a new file may well have the inode of one that was deleted */
    if (ours && info->size < p->fact.size && !take_over)
        return error_set(
            err, NEAP_CONFLICT,
            "%s has %llu bytes; %llu were written and committed. Put it back, or move it away to begin a new one",
            s->options.path, (unsigned long long)info->size, (unsigned long long)p->fact.size);
    if (ours && info->size >= p->fact.size) {
        enum neap_status status = read_head(s, p->fact.size, err);
        if (status != NEAP_OK)
            return status;
        ours = crc32c(0, p->head, head_size(p->fact.size)) == p->fact.head_crc;
    } else {
        ours = false;
    }
    if (ours) {
        p->state = FILE_READY;
        return cut_tail(s, info->size, err);
    }
    if (p->found)
        warn(s, "not the file that was written before; going on in this one", info->size);
    return begin_file(s, info, source, err);
}

enum neap_status file_prepare(struct file_sink *s, struct log_partition source, bool take_over, struct error *err)
{
    struct file_place *p = &s->place;
    must(p->state == FILE_UNKNOWN && p->file == NULL);
    enum neap_status status = p->loaded ? NEAP_OK : load_facts(s, source.topic_id, err);
    struct io_file_info info;
    bool made;
    if (status == NEAP_OK)
        status = open_file(s, &info, &made, err);
    if (status == NEAP_OK)
        status = enter(s, &info, made, source, take_over, err);
    if (status != NEAP_OK)
        file_close(s);
    return status;
}

void file_close(struct file_sink *s)
{
    io_file_close(&s->place.file);
    s->place.state = FILE_UNKNOWN;
}

/* ---- writing ---- */

enum neap_status file_check(struct file_sink *s, struct error *err)
{
    struct file_place *p = &s->place;
    must(p->state == FILE_READY);
    struct io_file_info info;
    enum neap_status status = io_path_info(s->options.io, s->options.path, &info);
    if (status == NEAP_NOTFOUND || (status == NEAP_OK && !is_ours(s, &info)))
        return NEAP_NOTFOUND;
    if (status != NEAP_OK)
        return io_error(s, status, "look at", err);
    if (info.size < p->fact.size || (info.size > p->fact.size && !p->torn))
        return error_set(err, NEAP_CONFLICT, "%s has %llu bytes; we wrote it up to %llu: somebody else changed it",
                         s->options.path, (unsigned long long)info.size, (unsigned long long)p->fact.size);
    return NEAP_OK;
}

static void remember_head(struct file_place *p, struct bytes rows)
{
    for (size_t i = 0; i < rows.size && p->fact.size + i < FILE_HEAD_SIZE; i++)
        p->head[p->fact.size + i] = rows.at[i];
}

enum neap_status file_append(struct file_sink *s, struct bytes rows, struct bytes *ret_value, struct error *err)
{
    struct file_place *p = &s->place;
    must(p->state == FILE_READY && rows.size > 0);
    enum neap_status status = io_file_write(p->file, &rows, 1, p->fact.size);
    if (status != NEAP_OK) {
        p->torn = io_file_truncate(p->file, p->fact.size) != NEAP_OK;
        return io_error(s, status, "write to", err);
    }
    status = io_file_sync(p->file);
    if (status != NEAP_OK)
        return io_error(s, status == NEAP_FULL ? NEAP_FULL : NEAP_IO, "sync", err);
    remember_head(p, rows);
    p->torn = false;
    p->fact.size += rows.size;
    p->fact.sequence++;
    p->fact.head_crc = crc32c(0, p->head, head_size(p->fact.size));
    uint8_t *value = p->values[p->fact.sequence % 2];
    file_fact_encode(&p->fact, value);
    *ret_value = (struct bytes){ value, FILE_FACT_SIZE };
    return NEAP_OK;
}
