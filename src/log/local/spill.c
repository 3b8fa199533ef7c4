#include "log/local/spill.h"
#include "base/crc32c.h"
#include "log/local/archive.h"
#include <stdlib.h>

void spill_begin(struct spill *s, struct log *log, uint64_t number, const char *suffix, size_t room_size)
{
    must(s->file == NULL && (s->room == NULL || s->room_size == room_size));
    s->room_size = room_size;
    s->log = log;
    s->number = number;
    s->suffix = suffix;
    s->filled = 0;
    s->written = 0;
    s->count = s->crc = 0;
}

static char *path_of(const struct spill *s, char *room)
{
    return log_path(s->log, room, ARCHIVE_FOLDER, "%016llx%s", (unsigned long long)s->number, s->suffix);
}

static enum neap_status open_file_of(struct spill *s, struct error *err)
{
    char path[PATH_SIZE_MAX];
    enum neap_status status = io_file_open(s->log->io, path_of(s, path), IO_READ | IO_WRITE | IO_CREATE, &s->file, err);
    if (status == NEAP_OK && io_file_truncate(s->file, 0) != NEAP_OK) /* a crash may have left one of that name */
        status = error_set(err, NEAP_IO, "empty %s", path);
    return status;
}

static enum neap_status flush(struct spill *s, struct error *err)
{
    struct bytes part = { s->room, s->filled };
    enum neap_status status = s->file == NULL ? open_file_of(s, err) : NEAP_OK;
    if (status != NEAP_OK)
        return status;
    status = io_file_write(s->file, &part, 1, s->written);
    if (status != NEAP_OK)
        return error_set(err, status, "write %s: %s", io_file_path(s->file), status_text(status));
    s->written += s->filled;
    s->filled = 0;
    return NEAP_OK;
}

enum neap_status spill_put(struct spill *s, const uint8_t *row, size_t size, struct error *err)
{
    must(size <= s->room_size);
    if (s->room == NULL && (s->room = malloc(s->room_size)) == NULL)
        return error_set(err, NEAP_NOMEM, "archive");
    enum neap_status status = s->filled + size > s->room_size ? flush(s, err) : NEAP_OK;
    if (status != NEAP_OK)
        return status;
    memcpy(s->room + s->filled, row, size);
    s->filled += size;
    s->crc = crc32c(s->crc, row, size);
    s->count++;
    return NEAP_OK;
}

enum neap_status spill_copy(struct spill *s, enum neap_status (*put)(void *ctx, struct bytes part, struct error *err),
                            void *ctx, struct error *err)
{
    uint64_t end = s->written;
    enum neap_status status = end > 0 && s->filled > 0 ? flush(s, err) : NEAP_OK; /* the room is for reading now */
    if (status != NEAP_OK)
        return status;
    if (s->file == NULL)
        return s->filled > 0 ? put(ctx, (struct bytes){ s->room, s->filled }, err) : NEAP_OK;
    end = s->written;
    for (uint64_t at = 0; at < end && status == NEAP_OK;) {
        size_t size = end - at < s->room_size ? (size_t)(end - at) : s->room_size, got = 0;
        status = io_file_read(s->file, s->room, size, at, &got);
        if (status != NEAP_OK || got != size)
            return error_set(err, status != NEAP_OK ? status : NEAP_IO, "read %s", io_file_path(s->file));
        status = put(ctx, (struct bytes){ s->room, size }, err);
        at += size;
    }
    return status;
}

void spill_end(struct spill *s)
{
    char path[PATH_SIZE_MAX];
    if (s->file != NULL) {
        io_file_close(&s->file);
        io_unlink(s->log->io, path_of(s, path), NULL);
    }
    free(s->room);
    s->room = NULL;
    s->filled = 0;
}

void spill_unlink(struct log *log, const char *name)
{
    char path[PATH_SIZE_MAX];
    uint64_t number;
    if (name_number(name, SPILL_ROWS, &number) || name_number(name, SPILL_ENTRIES, &number))
        io_unlink(log->io, log_path(log, path, ARCHIVE_FOLDER, "%s", name), NULL);
}
