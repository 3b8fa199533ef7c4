#include "gate/lines.h"
#include "base/must.h"
#include <stdlib.h>

void lines_init(struct lines *l, size_t read_size, size_t size_max)
{
    must(read_size > 0 && size_max > LINE_KEPT_SIZE); /* what is kept of a too long line fits where a line fits */
    *l = (struct lines){ .read_size = read_size, .size_max = size_max };
}

void lines_fini(struct lines *l)
{
    free(l->room);
    *l = (struct lines){ .read_size = l->read_size, .size_max = l->size_max };
}

/* Of a line that has already grown too long only the beginning stays. */
static void shorten(struct lines *l)
{
    size_t size = l->end - l->start;
    if (l->scanned < l->end || size <= l->size_max + 1) /* + 1: it may be a carriage return */
        return;
    l->dropped_size += size - LINE_KEPT_SIZE;
    l->end = l->scanned = l->start + LINE_KEPT_SIZE;
}

static size_t find_newline(const struct lines *l)
{
    const uint8_t *at = l->scanned < l->end ? memchr(l->room + l->scanned, '\n', l->end - l->scanned) : NULL;
    return at != NULL ? (size_t)(at - l->room) : l->end;
}

uint8_t *lines_room(struct lines *l)
{
    l->scanned = find_newline(l);
    shorten(l);
    size_t size = l->end - l->start;
    if (l->start > 0) {
        memmove(l->room, l->room + l->start, size);
        l->scanned -= l->start;
        l->start = 0;
        l->end = size;
    }
    if (l->room_size - size < l->read_size) {
        size_t wanted = l->room_size > 0 ? 2 * l->room_size : l->read_size;
        size_t most = l->size_max + 1 + l->read_size; /* see shorten(): what lies here is not larger than a line */
        wanted = wanted > most ? most : wanted;
        wanted = wanted < size + l->read_size ? size + l->read_size : wanted;
        must(wanted <= most);
        uint8_t *room = realloc(l->room, wanted);
        if (room == NULL)
            return NULL;
        l->room = room;
        l->room_size = wanted;
    }
    return l->room + l->end;
}

void lines_added(struct lines *l, size_t size)
{
    must(size <= l->read_size && size <= l->room_size - l->end);
    l->end += size;
}

bool lines_peek(struct lines *l, bool at_end, struct line *ret_line)
{
    l->scanned = find_newline(l);
    bool ended = l->scanned < l->end;
    if (!ended && (!at_end || lines_rest_size(l) == 0))
        return false;
    size_t held = l->scanned - l->start;
    struct line line = { .bytes = { l->room + l->start, held }, .size = held + l->dropped_size };
    line.consumed_size = line.size + ended;
    if (l->dropped_size > 0) { /* its end went with the rest: only the beginning was to be kept */
        line.bytes.size = LINE_KEPT_SIZE;
    } else if (held > 0 && l->room[l->scanned - 1] == '\r') {
        line.bytes.size--;
        line.size--;
    }
    if (line.size > l->size_max)
        line.bytes.size = LINE_KEPT_SIZE;
    *ret_line = line;
    return true;
}

void lines_pass(struct lines *l, const struct line *line)
{
    must(line->consumed_size >= l->dropped_size && line->consumed_size - l->dropped_size <= l->end - l->start);
    l->start += (size_t)(line->consumed_size - l->dropped_size);
    l->scanned = l->start;
    l->dropped_size = 0;
}

uint64_t lines_rest_size(const struct lines *l)
{
    return l->end - l->start + l->dropped_size;
}

void lines_drop(struct lines *l)
{
    l->start = l->end = l->scanned = 0;
    l->dropped_size = 0;
}

bool line_is_blank(const struct line *line)
{
    if (line->size > line->bytes.size)
        return false;
    for (size_t i = 0; i < line->bytes.size; i++)
        if (line->bytes.at[i] != ' ' && line->bytes.at[i] != '\t' && line->bytes.at[i] != '\r')
            return false;
    return true;
}
