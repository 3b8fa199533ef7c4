/* scan.c - reads a journal file entry by entry, and says where it stops. */
#include "log/local/recovery.h"
#include <stdlib.h>
#include <string.h>

enum neap_status scan_begin(struct scan *s, struct io_file *file, uint64_t base, uint64_t size, uint64_t salt)
{
    size_t step = s->step != 0 ? s->step : RECOVERY_STEP_SIZE;
    size_t room = size < step ? (size_t)size : step;
    if (s->buffer == NULL || s->room < room) {
        free(s->buffer);
        s->buffer = malloc(room);
        s->room = s->buffer != NULL ? room : 0;
        if (s->buffer == NULL)
            return NEAP_NOMEM;
    }
    s->file = file;
    s->base = base;
    s->size = size;
    s->salt = salt;
    s->filled = 0;
    s->position = base + JOURNAL_HEADER_SIZE;
    s->status = NEAP_OK;
    return NEAP_OK;
}

void scan_end(struct scan *s)
{
    free(s->buffer);
    *s = (struct scan){ 0 };
}

/* One read that fails says little of its bytes: the most that can be read from here on is, down to what is wanted. */
static enum neap_status fill(struct scan *s, size_t want, size_t size, uint64_t at, size_t *ret_got)
{
    enum neap_status status = io_file_read(s->file, s->buffer, want, at, ret_got);
    while (status == NEAP_IO && s->piecewise && want > size) {
        want = want / 2 > size ? want / 2 : size;
        status = io_file_read(s->file, s->buffer, want, at, ret_got);
    }
    return status;
}

/* Pages that cannot be read stand as zeros: what lay in them fails its checksums, and all beside it is read. */
static size_t fill_pages(struct scan *s, size_t size, uint64_t at)
{
    size_t filled = 0;
    while (filled < size) {
        size_t piece = JOURNAL_PAGE_SIZE - (size_t)((at + filled) % JOURNAL_PAGE_SIZE), got = 0;
        piece = piece < s->room - filled ? piece : s->room - filled;
        if (io_file_read(s->file, s->buffer + filled, piece, at + filled, &got) != NEAP_OK) {
            memset(s->buffer + filled, 0, piece);
            got = piece;
        }
        filled += got;
        if (got < piece)
            break;
    }
    return filled;
}

const uint8_t *scan_bytes(struct scan *s, uint64_t position, size_t size)
{
    uint64_t end = s->base + s->size;
    if (position > end || size > end - position)
        return NULL;
    if (s->filled > 0 && position >= s->from && position + size <= s->from + s->filled)
        return s->buffer + (position - s->from);
    if (size > s->room) {
        uint8_t *grown = realloc(s->buffer, size);
        if (grown == NULL) {
            s->status = NEAP_NOMEM;
            return NULL;
        }
        s->buffer = grown;
        s->room = size;
    }
    uint64_t left = end - position;
    size_t got = 0;
    s->status = fill(s, left < s->room ? (size_t)left : s->room, size, position - s->base, &got);
    s->unreadable = s->status == NEAP_IO && s->piecewise;
    if (s->unreadable) {
        got = fill_pages(s, size, position - s->base);
        s->status = NEAP_OK;
    }
    s->from = position;
    s->filled = s->status == NEAP_OK ? got : 0;
    return s->status == NEAP_OK && got >= size ? s->buffer : NULL;
}

enum neap_status scan_next(struct scan *s, struct entry_header *ret_header, struct bytes *ret_body)
{
    uint64_t end = s->base + s->size;
    if (s->position == end)
        return NEAP_NOTFOUND;
    const uint8_t *at = scan_bytes(s, s->position, ENTRY_HEADER_SIZE);
    struct entry_header h;
    if (at == NULL)
        return s->status != NEAP_OK ? s->status : NEAP_BADINPUT;
    if (entry_header_read(at, s->salt, s->position, &h) != NEAP_OK || h.boot < s->boot || /* rule E2 */
        h.entry_size > end - s->position)
        return NEAP_BADINPUT;
    at = scan_bytes(s, s->position, ENTRY_HEADER_SIZE + (size_t)h.body_size);
    if (at == NULL)
        return s->status != NEAP_OK ? s->status : NEAP_BADINPUT;
    struct bytes body = { at + ENTRY_HEADER_SIZE, h.body_size };
    enum neap_status status = entry_check(&h, body);
    if (status == NEAP_VERSION)
        return NEAP_VERSION;
    if (status != NEAP_OK)
        return NEAP_BADINPUT;
    s->boot = h.boot;
    if (h.durable_mark > s->mark)
        s->mark = h.durable_mark;
    s->position += h.entry_size;
    if (h.flags & ENTRY_FLAG_SEAL)
        return NEAP_NOTFOUND;
    *ret_header = h;
    *ret_body = body;
    return NEAP_OK;
}

enum neap_status scan_marks(struct scan *s, uint64_t from, uint64_t *ret_mark)
{
    uint64_t mark = 0;
    for (uint64_t position = from; position + ENTRY_HEADER_SIZE <= s->base + s->size;) {
        const uint8_t *at = scan_bytes(s, position, ENTRY_HEADER_SIZE);
        if (at == NULL && s->status != NEAP_OK)
            return s->status;
        if (at == NULL)
            break; /* the file is shorter than its header says */
        uint64_t count = (s->from + s->filled - position) / ENTRY_BOUND;
        for (uint64_t i = 0; i < count; i++, at += ENTRY_BOUND, position += ENTRY_BOUND) {
            struct entry_header h;
            if (entry_header_read(at, s->salt, position, &h) == NEAP_OK && h.durable_mark > mark)
                mark = h.durable_mark;
        }
    }
    *ret_mark = mark;
    return NEAP_OK;
}

enum neap_status scan_resume(struct scan *s)
{
    uint64_t end = s->base + s->size, position = s->position + ENTRY_BOUND - s->position % ENTRY_BOUND;
    for (; position + ENTRY_HEADER_SIZE <= end; position += ENTRY_BOUND) {
        struct entry_header h;
        const uint8_t *at = scan_bytes(s, position, ENTRY_HEADER_SIZE);
        if (at == NULL)
            break;
        if (entry_header_read(at, s->salt, position, &h) != NEAP_OK || h.boot < s->boot ||
            h.entry_size > end - position)
            continue;
        s->position = position;
        return NEAP_OK;
    }
    s->position = end;
    return s->status != NEAP_OK ? s->status : NEAP_NOTFOUND;
}
