#include "gate/mark.h"
#include "base/must.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MARK_VERSION 1u
static_assert(1 + 5 * 8 == MARK_SIZE, "version and five numbers");

struct bytes mark_encode(const struct mark *mark, uint8_t room[MARK_SIZE])
{
    struct writer w = writer_of(room, MARK_SIZE);
    write_u8(&w, MARK_VERSION);
    write_le64(&w, mark->position);
    write_le64(&w, mark->line_count);
    write_le64(&w, mark->device);
    write_le64(&w, mark->inode);
    write_le64(&w, mark->prefix_hash);
    must(!w.full && writer_size(&w) == MARK_SIZE);
    return writer_bytes(&w);
}

enum neap_status mark_decode(struct bytes fact, struct mark *ret_mark)
{
    struct reader r = reader_of(fact);
    uint8_t version = read_u8(&r);
    if (!r.spent && version > MARK_VERSION)
        return NEAP_VERSION;
    struct mark mark = { .position = read_le64(&r) };
    mark.line_count = read_le64(&r);
    mark.device = read_le64(&r);
    mark.inode = read_le64(&r);
    mark.prefix_hash = read_le64(&r);
    if (r.spent || reader_left(&r) != 0 || version != MARK_VERSION)
        return NEAP_CORRUPT;
    *ret_mark = mark;
    return NEAP_OK;
}

size_t mark_prefix_size(uint64_t position)
{
    return position < MARK_PREFIX_SIZE_MAX ? (size_t)position : MARK_PREFIX_SIZE_MAX;
}

uint64_t mark_hash(struct bytes prefix)
{
    return XXH64(prefix.at, prefix.size, 0);
}
