#include "flow/fate.h"
#include "base/must.h"

size_t fate_key_size(const char *pipeline)
{
    return strlen(pipeline) + 1 + 8;
}

size_t fate_key(uint8_t *room, const char *pipeline, log_offset offset)
{
    size_t size = strlen(pipeline);
    must(size > 0 && size <= LOG_NAME_SIZE_MAX);
    memcpy(room, pipeline, size + 1);
    put_be64(room + size + 1, offset.n);
    return size + 1 + 8;
}

enum neap_status fate_key_read(struct bytes key, const char *pipeline, log_offset *ret_offset)
{
    size_t size = strlen(pipeline);
    if (key.size != size + 1 + 8 || memcmp(key.at, pipeline, size + 1) != 0)
        return NEAP_BADINPUT;
    ret_offset->n = get_be64(key.at + size + 1);
    return NEAP_OK;
}

struct load {
    const char *pipeline;
    struct commit *done;
    enum neap_status status;
};

static bool load_one(void *ctx, struct bytes key, struct bytes value)
{
    struct load *load = ctx;
    log_offset offset;
    if (fate_key_read(key, load->pipeline, &offset) != NEAP_OK)
        load->status = NEAP_CORRUPT;
    else
        load->status = commit_add(load->done, offset);
    return load->status == NEAP_OK;
}

enum neap_status fate_load(struct log *log, struct log_partition source, const char *pipeline, struct commit *done)
{
    struct load load = { .pipeline = pipeline, .done = done };
    struct bytes prefix = { (const uint8_t *)pipeline, strlen(pipeline) + 1 };
    log_fact_each(log, LOG_VIEW_FATE, source, prefix, load_one, &load);
    return load.status;
}

struct below {
    const char *pipeline;
    log_offset point, *room;
    uint32_t count, count_max;
};

static bool below_one(void *ctx, struct bytes key, struct bytes value)
{
    struct below *below = ctx;
    log_offset offset;
    if (fate_key_read(key, below->pipeline, &offset) == NEAP_OK && offset.n < below->point.n)
        below->room[below->count++] = offset;
    return below->count < below->count_max;
}

uint32_t fate_below(struct log *log, struct log_partition source, const char *pipeline, log_offset point,
                    log_offset *room, uint32_t count_max)
{
    must(count_max > 0);
    struct below below = { .pipeline = pipeline, .point = point, .room = room, .count_max = count_max };
    struct bytes prefix = { (const uint8_t *)pipeline, strlen(pipeline) + 1 };
    log_fact_each(log, LOG_VIEW_FATE, source, prefix, below_one, &below);
    return below.count;
}
