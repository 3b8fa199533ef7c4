#include "log/local/window.h"
#include <stdlib.h>

static enum neap_status make_room(struct window *w, size_t size)
{
    must(size <= LOG_UNIT_SIZE_MAX);
    if (size <= w->room_size)
        return NEAP_OK;
    uint8_t *grown = realloc(w->room, size);
    if (grown == NULL)
        return NEAP_NOMEM;
    w->room = grown;
    w->room_size = size;
    return NEAP_OK;
}

/* From the first on, as many as lie so close together that it is better to read what lies between them, too. */
static uint64_t end_of(const struct index_entry *list, uint32_t count)
{
    uint64_t end = (uint64_t)list[0].at + OP_HEADER_SIZE + list[0].size;
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t to = (uint64_t)list[i].at + OP_HEADER_SIZE + list[i].size;
        wanted += OP_HEADER_SIZE + list[i].size;
        if (list[i].at < list[0].at || to - list[0].at > WINDOW_SIZE || wanted * 4 < to - list[0].at)
            break;
        end = to > end ? to : end;
    }
    return end;
}

/* The batch, and more where that is at hand. */
static enum neap_status fill(struct window *w, struct io_file *file, const struct index_entry *list, uint32_t count)
{
    size_t one = OP_HEADER_SIZE + (size_t)list[0].size, size = end_of(list, count) - list[0].at, got = 0;
    w->size = 0;
    enum neap_status status = make_room(w, size > WINDOW_SIZE ? size : WINDOW_SIZE);
    if (status != NEAP_OK)
        return status;
    status = io_file_read(file, w->room, size, list[0].at, &got);
    if (status != NEAP_OK && one < size) /* a bad place behind it does not keep this one from being read */
        status = io_file_read(file, w->room, one, list[0].at, &got);
    if (status != NEAP_OK)
        return NEAP_IO;
    w->file = file;
    w->at = list[0].at;
    w->size = got;
    return NEAP_OK;
}

static bool holds(const struct window *w, const struct io_file *file, const struct index_entry *e)
{
    return w->size > 0 && w->file == file && e->at >= w->at &&
           e->at - w->at + OP_HEADER_SIZE + (size_t)e->size <= w->size;
}

enum neap_status window_read(struct window *w, struct io_file *file, const struct index_entry *list, uint32_t count,
                             struct bytes *ret_bytes)
{
    must(count > 0);
    enum neap_status status = holds(w, file, &list[0]) ? NEAP_OK : fill(w, file, list, count);
    if (status != NEAP_OK)
        return status;
    size_t from = list[0].at - w->at, left = w->size - from, size = OP_HEADER_SIZE + (size_t)list[0].size;
    *ret_bytes = (struct bytes){ w->room + from, size < left ? size : left };
    return NEAP_OK;
}

void window_fini(struct window *w)
{
    free(w->room);
    *w = (struct window){ 0 };
}
