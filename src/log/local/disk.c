#include "log/local/disk.h"
#include "base/crc32c.h"

enum neap_status disk_recall(const struct log *log, struct disk_said *ret_said, struct error *err)
{
    char path[PATH_SIZE_MAX];
    uint8_t bytes[DISK_FILE_SIZE];
    struct io_file *file = NULL;
    size_t got = 0;
    log_path(log, path, NULL, DISK_NAME);
    enum neap_status status = io_file_open(log->io, path, IO_READ, &file, NULL);
    if (status != NEAP_OK)
        return status;
    status = io_file_read(file, bytes, sizeof(bytes), 0, &got);
    io_file_close(&file);
    if (status == NEAP_OK && (got != sizeof(bytes) || get_le32(bytes) != DISK_MAGIC ||
                              get_le32(bytes + 36) != crc32c(0, bytes, 36) || get_le32(bytes + 32) > 100))
        status = NEAP_CORRUPT;
    if (status == NEAP_OK && get_le32(bytes + 4) > DISK_VERSION)
        return error_set(err, NEAP_VERSION, "%s has format %u, this program knows %u", path, get_le32(bytes + 4),
                         DISK_VERSION);
    if (status != NEAP_OK)
        return error_set(err, status, "%s: %s", path, status_text(status));
    *ret_said = (struct disk_said){ .size = get_le64(bytes + 24), .percent = get_le32(bytes + 32) };
    return NEAP_OK;
}

static enum neap_status write_file(const struct log *log, const char *path, struct bytes bytes, struct error *err)
{
    struct io_file *file = NULL;
    enum neap_status status = io_file_open(log->io, path, IO_READ | IO_WRITE | IO_CREATE, &file, err);
    if (status != NEAP_OK)
        return status;
    status = io_file_truncate(file, 0);
    if (status == NEAP_OK)
        status = io_file_write(file, &bytes, 1, 0);
    if (status == NEAP_OK)
        status = io_file_sync(file);
    io_file_close(&file);
    return status == NEAP_OK ? NEAP_OK : error_set(err, status, "write %s: %s", path, status_text(status));
}

enum neap_status disk_remember(const struct log *log, const struct disk_said *said, struct error *err)
{
    char path[PATH_SIZE_MAX], temporary[PATH_SIZE_MAX];
    uint8_t bytes[DISK_FILE_SIZE] = { 0 };
    struct disk_said before = { 0 };
    enum neap_status status = disk_recall(log, &before, NULL);
    if ((status == NEAP_OK || status == NEAP_NOTFOUND) && before.size == said->size && before.percent == said->percent)
        return NEAP_OK; /* none there is as good as the default */
    put_le32(bytes, DISK_MAGIC);
    put_le32(bytes + 4, DISK_VERSION);
    memcpy(bytes + 8, log->id.bytes, sizeof(log->id.bytes));
    put_le64(bytes + 24, said->size);
    put_le32(bytes + 32, said->percent);
    put_le32(bytes + 36, crc32c(0, bytes, 36));
    log_path(log, path, NULL, DISK_NAME);
    log_path(log, temporary, NULL, DISK_NAME ".new");
    status = write_file(log, temporary, (struct bytes){ bytes, sizeof(bytes) }, err);
    if (status == NEAP_OK)
        status = io_rename(log->io, temporary, path, err);
    return status == NEAP_OK ? io_dir_sync(log->io, log->path, err) : status;
}
