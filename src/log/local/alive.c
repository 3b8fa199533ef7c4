#include "log/local/alive.h"
#include "log/local/views.h"

#define ENTRY_ROOM 64u

static bool row_state(struct log *log, struct log_partition at, uint64_t *ret_start, bool *ret_compact)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    const struct topic *t = views_topic(&s->views, at.topic_id);
    const struct partition *p = views_partition(&s->views, at);
    if (p != NULL) {
        *ret_start = p->start;
        *ret_compact = t->settings.cleanup == LOG_CLEANUP_COMPACT;
    }
    io_mutex_drop(s->mutex);
    return p != NULL;
}

static enum neap_status add_row(struct index_file index, const struct index_row *row, uint32_t row_count,
                                uint64_t start, uint64_t enough, uint64_t *size)
{
    struct index_entry entries[ENTRY_ROOM];
    uint32_t number = 0;
    enum neap_status status = index_find_entry(index, row, row_count, start, &number);
    while (status == NEAP_OK && number < row->count && *size <= enough) {
        uint32_t left = row->count - number, count = left < ENTRY_ROOM ? left : ENTRY_ROOM;
        status = index_load_entries(index, row, row_count, number, entries, count);
        for (uint32_t i = 0; status == NEAP_OK && i < count; i++)
            *size += op_size(0, entries[i].size);
        number += count;
    }
    return status;
}

enum neap_status alive_count(struct log *log, struct index_file index, uint64_t enough, struct alive *ret)
{
    uint32_t row_count = 0;
    struct alive alive = { 0 };
    enum neap_status status = index_row_count(index, &row_count);
    for (uint32_t i = 0; i < row_count && status == NEAP_OK && alive.stay <= enough; i++) {
        struct index_row row;
        uint64_t start = 0, size = 0;
        bool compact = false;
        status = index_load_row(index, i, &row);
        if (status != NEAP_OK || row.count == 0 || !row_state(log, row.partition, &start, &compact))
            continue;
        status = add_row(index, &row, row_count, start, enough, &size);
        alive.size += size;
        alive.stay += compact ? 0 : size;
    }
    *ret = alive;
    return status;
}
