/* files.c - names, sizes and headers of the journal's files. */
#include "log/local/local.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

char *log_path(const struct log *log, char *room, const char *folder, const char *format, ...)
{
    int size = folder == NULL ? snprintf(room, PATH_SIZE_MAX, "%s/", log->path)
                              : snprintf(room, PATH_SIZE_MAX, "%s/%s/", log->path, folder);
    must(size > 0 && size < (int)PATH_SIZE_MAX); /* log_open() has refused a longer path */
    va_list args;
    va_start(args, format);
    int more = vsnprintf(room + size, PATH_SIZE_MAX - (size_t)size, format, args);
    va_end(args);
    must(more >= 0 && size + more < (int)PATH_SIZE_MAX);
    if (more == 0)
        room[size - 1] = 0; /* the folder itself */
    return room;
}

bool name_number(const char *name, const char *suffix, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            number = number << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    if (strcmp(name + 16, suffix) != 0)
        return false;
    *ret_number = number;
    return true;
}

/* A new log starts with a small file, so that it is ready at once, and takes its full stride as it grows. */
uint32_t journal_file_size(const struct log *log, uint64_t sequence)
{
    uint64_t size = JOURNAL_FILE_SIZE_MIN;
    for (uint64_t i = 2; i < sequence && size < log->options.file_size; i++)
        size *= 2;
    return size < log->options.file_size ? (uint32_t)size : log->options.file_size;
}

enum neap_status journal_file_prepare(struct log *log, struct io_file *file, const struct file_header *header,
                                      struct error *err)
{
    uint8_t page[JOURNAL_HEADER_SIZE] = { 0 };
    file_header_write(header, page);
    struct bytes part = { page, sizeof(page) };
    enum neap_status status = io_file_write(file, &part, 1, 0);
    if (status == NEAP_OK)
        status = io_file_sync(file);
    if (status != NEAP_OK)
        return error_set(err, status, "header of %s: %s", io_file_path(file), status_text(status));
    return NEAP_OK;
}

struct journal_file *file_of(struct shared *s, uint64_t position)
{
    uint32_t low = 0, high = s->file_count; /* the last file whose base is not past the position */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->files[middle].base <= position)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || position - s->files[low - 1].base >= s->files[low - 1].size)
        return NULL;
    return &s->files[low - 1];
}

struct journal_file *file_by_sequence(struct shared *s, uint64_t sequence)
{
    for (uint32_t i = s->file_count; i > 0; i--) /* the newest are asked for most */
        if (s->files[i - 1].sequence == sequence)
            return &s->files[i - 1];
    return NULL;
}
