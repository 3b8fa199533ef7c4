#include "log/local/alive.h"
#include "log/local/archive.h"
#include "log/local/views.h"

#define ENTRY_ROOM 64u

struct row_state {
    uint64_t start;
    bool compact;
    bool some_lost; /* from the start on */
};

static bool row_state(struct log *log, struct log_partition at, struct row_state *ret)
{
    struct shared *s = &log->shared;
    io_mutex_take(s->mutex);
    const struct topic *t = views_topic(&s->views, at.topic_id);
    const struct partition *p = views_partition(&s->views, at);
    if (p != NULL)
        *ret = (struct row_state){ .start = p->start,
                                   .compact = t->settings.cleanup == LOG_CLEANUP_COMPACT,
                                   .some_lost = lost_next(&s->views.lost, at, p->start) != NULL };
    io_mutex_drop(s->mutex);
    return p != NULL;
}

/* Of these batches, what nobody is given any more: all that is kept of them was declared lost. */
static uint64_t lost_size(struct log *log, struct log_partition at, uint64_t start, const struct index_entry *entries,
                          uint32_t count)
{
    struct shared *s = &log->shared;
    uint64_t size = 0;
    io_mutex_take(s->mutex);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t first = entries[i].base > start ? entries[i].base : start;
        if (lost_pass(&s->views.lost, at, first) >= entries[i].base + entries[i].count)
            size += op_size(0, entries[i].size);
    }
    io_mutex_drop(s->mutex);
    return size;
}

/* All of what stays is counted up to `enough`; what waits for a compaction is copied, however much it is. */
static enum neap_status add_row(struct log *log, struct index_file index, const struct index_row *row,
                                uint32_t row_count, const struct row_state *state, uint64_t enough, uint64_t *size,
                                uint64_t *archived)
{
    struct index_entry entries[ENTRY_ROOM];
    uint32_t number = 0;
    uint64_t size_max = state->compact && enough > 0 ? UINT64_MAX : enough;
    enum neap_status status = index_find_entry(index, row, row_count, state->start, &number);
    uint32_t from = number;
    while (status == NEAP_OK && number < row->count && *size <= size_max) {
        uint32_t left = row->count - number, count = left < ENTRY_ROOM ? left : ENTRY_ROOM;
        status = index_load_entries(index, row, row_count, number, entries, count);
        for (uint32_t i = 0; status == NEAP_OK && i < count; i++)
            *size += op_size(0, entries[i].size);
        if (status == NEAP_OK && state->some_lost)
            *size -= lost_size(log, row->partition, state->start, entries, count);
        number += count;
    }
    *archived = *size > 0 ? *size + INDEX_ROW_SIZE + (uint64_t)INDEX_ENTRY_SIZE * (number - from) : 0;
    return status;
}

enum neap_status alive_count(struct log *log, struct index_file index, uint64_t enough, struct alive *ret)
{
    uint32_t row_count = 0, topic_id = 0;
    struct alive alive = { 0 };
    enum neap_status status = index_row_count(index, &row_count);
    for (uint32_t i = 0; i < row_count && status == NEAP_OK && alive.stay <= enough; i++) {
        struct index_row row;
        struct row_state state = { .start = 0 };
        uint64_t size = 0, archived = 0;
        status = index_load_row(index, i, &row);
        if (status != NEAP_OK || row.count == 0 || !row_state(log, row.partition, &state))
            continue;
        status = add_row(log, index, &row, row_count, &state, enough, &size, &archived);
        if (archived > 0 && row.partition.topic_id != topic_id) { /* rows are sorted: another archive */
            topic_id = row.partition.topic_id;
            alive.archived += ARCHIVE_HEADER_SIZE + INDEX_HEADER_SIZE;
        }
        alive.size += size;
        alive.archived += archived;
        alive.stay += state.compact ? 0 : size;
    }
    *ret = alive;
    return status;
}
