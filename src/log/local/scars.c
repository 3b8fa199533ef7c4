#include "log/local/scars.h"
#include "base/crc32c.h"
#include "log/local/snapshot.h"
#include <stdlib.h>

struct bytes scars_encode(const struct scars *s, uint8_t room[SCARS_SIZE_MAX])
{
    must(s->count <= SCAR_COUNT_MAX);
    put_le32(room, SCARS_MAGIC);
    put_le32(room + 4, SCARS_VERSION);
    memcpy(room + 8, s->log_id.bytes, sizeof(s->log_id.bytes));
    put_le64(room + 24, s->sequence);
    put_le64(room + 32, s->salt);
    put_le32(room + 40, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        put_le64(room + SCARS_HEADER_SIZE + 16 * i, s->list[i].from);
        put_le64(room + SCARS_HEADER_SIZE + 16 * i + 8, s->list[i].to);
    }
    put_le32(room + 44, crc32c(crc32c(0, room, 44), room + SCARS_HEADER_SIZE, 16ull * s->count));
    return (struct bytes){ room, SCARS_HEADER_SIZE + 16ull * s->count };
}

enum neap_status scars_decode(struct bytes bytes, struct scars *ret_scars)
{
    if (bytes.size < SCARS_HEADER_SIZE || get_le32(bytes.at) != SCARS_MAGIC)
        return NEAP_BADINPUT;
    uint32_t count = get_le32(bytes.at + 40);
    if (count > SCAR_COUNT_MAX || bytes.size != SCARS_HEADER_SIZE + 16ull * count ||
        get_le32(bytes.at + 44) != crc32c(crc32c(0, bytes.at, 44), bytes.at + SCARS_HEADER_SIZE, 16ull * count))
        return NEAP_CORRUPT;
    if (get_le32(bytes.at + 4) > SCARS_VERSION)
        return NEAP_VERSION;
    struct scars s = { .sequence = get_le64(bytes.at + 24), .salt = get_le64(bytes.at + 32), .count = count };
    memcpy(s.log_id.bytes, bytes.at + 8, sizeof(s.log_id.bytes));
    for (uint32_t i = 0; i < count; i++) {
        s.list[i].from = get_le64(bytes.at + SCARS_HEADER_SIZE + 16 * i);
        s.list[i].to = get_le64(bytes.at + SCARS_HEADER_SIZE + 16 * i + 8);
        if (s.list[i].from >= s.list[i].to || (i > 0 && s.list[i].from < s.list[i - 1].to))
            return NEAP_CORRUPT;
    }
    *ret_scars = s;
    return NEAP_OK;
}

uint64_t scars_pass(const struct scars *s, uint64_t position)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->list[i].from == position)
            return s->list[i].to;
    return 0;
}

bool scars_hold(const struct scars *s, uint64_t position)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (position >= s->list[i].from && position < s->list[i].to)
            return true;
    return false;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

enum neap_status scars_load(const struct log *log, uint64_t sequence, uint64_t salt, struct scars *ret_scars,
                            struct error *err)
{
    char path[PATH_SIZE_MAX];
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct scars s;
    log_path(log, path, JOURNAL_FOLDER, SCARS_NAME, (unsigned long long)sequence);
    enum neap_status status = snapshot_read_file(log->io, path, &bytes, &size, NULL);
    if (status != NEAP_OK)
        return status;
    status = scars_decode((struct bytes){ bytes, size }, &s);
    if (status == NEAP_VERSION)
        error_set(err, status, "%s has format %u, this program knows %u", path, get_le32(bytes + 4), SCARS_VERSION);
    free(bytes);
    if (status == NEAP_OK && (s.sequence != sequence || s.salt != salt))
        status = NEAP_NOTFOUND; /* of a former life */
    if (status == NEAP_OK)
        *ret_scars = s;
    return status == NEAP_BADINPUT ? NEAP_CORRUPT : status;
}

enum neap_status scars_write(const struct log *log, const struct scars *scars, struct error *err)
{
    char temporary[PATH_SIZE_MAX], path[PATH_SIZE_MAX];
    uint8_t room[SCARS_SIZE_MAX];
    struct io_file *file = NULL;
    struct bytes bytes = scars_encode(scars, room);
    log_path(log, temporary, JOURNAL_FOLDER, "lost.new");
    log_path(log, path, JOURNAL_FOLDER, SCARS_NAME, (unsigned long long)scars->sequence);
    enum neap_status status = io_file_open(log->io, temporary, IO_READ | IO_WRITE | IO_CREATE, &file, err);
    if (status != NEAP_OK)
        return status;
    status = io_file_truncate(file, 0);
    if (status == NEAP_OK)
        status = io_file_write(file, &bytes, 1, 0);
    if (status == NEAP_OK)
        status = io_file_sync(file);
    io_file_close(&file);
    if (status != NEAP_OK)
        return error_set(err, status, "write %s: %s", temporary, status_text(status));
    status = io_rename(log->io, temporary, path, err);
    if (status == NEAP_OK)
        status = io_dir_sync(log->io, log_path(log, path, JOURNAL_FOLDER, "%s", ""), err);
    return status;
}

void scars_unlink(const struct log *log, uint64_t sequence)
{
    char path[PATH_SIZE_MAX];
    io_unlink(log->io, log_path(log, path, JOURNAL_FOLDER, SCARS_NAME, (unsigned long long)sequence), NULL);
}
