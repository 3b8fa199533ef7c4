#include "flow/moved.h"
#include "base/must.h"

#define MOVED_VERSION 1u
static_assert(LOG_NAME_SIZE_MAX + sizeof "moved" + 1 <= LOG_KEY_SIZE_MAX, "a key of the longest name fits");

size_t moved_key(uint8_t *room, const char *pipeline)
{
    size_t size = strlen(pipeline);
    must(size > 0 && size <= LOG_NAME_SIZE_MAX);
    memcpy(room, pipeline, size + 1);
    memcpy(room + size + 1, "moved", 5);
    return size + 1 + 5;
}

struct bytes moved_encode(log_offset before, uint8_t *room)
{
    struct writer w = writer_of(room, MOVED_SIZE_MAX);
    write_u8(&w, MOVED_VERSION);
    write_uvarint(&w, before.n);
    must(!w.full);
    return writer_bytes(&w);
}

enum neap_status moved_get(struct log *log, struct log_partition source, const char *pipeline, uint8_t *room,
                           log_offset *ret_before)
{
    uint8_t key[LOG_KEY_SIZE_MAX];
    struct bytes name = { key, moved_key(key, pipeline) }, value;
    enum neap_status status = log_fact_get(log, LOG_VIEW_START, source, name, room, &value);
    if (status != NEAP_OK)
        return status;
    struct reader r = reader_of(value);
    uint8_t version = read_u8(&r);
    uint64_t before = read_uvarint(&r);
    if (!r.spent && version > MOVED_VERSION)
        return NEAP_VERSION;
    if (r.spent || reader_left(&r) != 0 || version != MOVED_VERSION)
        return NEAP_CORRUPT;
    ret_before->n = before;
    return NEAP_OK;
}
