/* when.c - from a time of append to an offset.
 *
 * The time of append never falls from one entry of the journal to the next, and what is drained into an archive keeps its own; so
 * the batches of a partition lie sorted by it, wherever they lie. An offset halfway between is asked for its place (place.h
 * knows journal files, archives, and what is in memory), and up to 64 places at once say by the headers of their batches on which
 * side to go on. A reader is not needed: no batch is read, only headers of 40 bytes. */
#include "log/local/place.h"
#include "log/local/tail.h"
#include "log/local/views.h"

static enum neap_status append_time(const struct places *p, const struct index_entry *e, uint32_t *ret_s,
                                    struct error *err)
{
    uint8_t room[OP_HEADER_SIZE];
    uint64_t position = place_position(p, e);
    size_t got = sizeof(room);
    struct op op;
    enum neap_status status = NEAP_OK;
    if (p->archive != NULL || !tail_read(&p->log->tail, position, room, sizeof(room)))
        status = io_file_read(p->file, room, sizeof(room), position - p->base, &got);
    if (status != NEAP_OK)
        return error_set(err, status, "read %s: %s", io_file_path(p->file), status_text(status));
    status = got == sizeof(room) ? op_header_read((struct bytes){ room, sizeof(room) }, p->salt, position, &op)
                                 : NEAP_CORRUPT;
    if (status != NEAP_OK || op.kind != OP_APPEND || op.offset != e->base ||
        op.target.topic_id != p->partition.topic_id || op.target.partition != p->partition.partition)
        return place_damaged(p, position, "its checksum does not match", err);
    *ret_s = op.time_s;
    return NEAP_OK;
}

struct search {
    struct places places;
    uint32_t time_s;
    uint64_t low, high; /* what begins below low is older; what ends at high or above is not */
};

/* Of the places found, the first that is new enough: list[*ret_first], or their count. */
static enum neap_status first_new(struct search *s, uint32_t *ret_first, struct error *err)
{
    struct places *p = &s->places;
    uint32_t low = 0, high = p->count;
    while (low < high) {
        uint32_t time_s = 0,
                 middle = low == 0 && high == p->count ? 0 : low + (high - low) / 2; /* mostly one end decides */
        p->at = middle;
        enum neap_status status = append_time(p, &p->list[middle], &time_s, err);
        if (status != NEAP_OK)
            return status;
        if (time_s < s->time_s)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_first = low;
    return NEAP_OK;
}

static enum neap_status narrow(struct search *s, struct error *err)
{
    struct places *p = &s->places;
    uint64_t middle = s->low + (s->high - s->low) / 2;
    uint32_t first;
    places_seek(p, middle);
    enum neap_status status = places_find(p, err);
    if (status == NEAP_AGAIN) { /* nothing is left from there on */
        s->high = middle;
        return NEAP_OK;
    }
    if (status == NEAP_OK)
        status = first_new(s, &first, err);
    if (status != NEAP_OK)
        return status;
    const struct index_entry *last = &p->list[p->count - 1];
    if (first > 0)
        s->low = p->list[first - 1].base + p->list[first - 1].count;
    if (first == p->count)
        s->low = last->base + last->count;
    else if (first > 0)
        s->high = s->low; /* found: it begins here, or behind a gap */
    else
        s->high = middle < p->list[0].base ? middle : p->list[0].base;
    return NEAP_OK;
}

enum neap_status log_offset_at(struct log *log, struct log_partition partition, wall_time when, log_offset *ret_offset,
                               struct error *err)
{
    CHECK_MAGIC(log, LOG_MAGIC);
    log_offset start, end;
    enum neap_status status = log_partition_range(log, partition, &start, &end);
    if (status != NEAP_OK)
        return error_set(err, status, "topic %u has no partition %u", partition.topic_id, partition.partition);
    int64_t time_s = when.ms / 1000;
    struct search s = { .time_s = when.ms <= 0          ? 0
                                  : time_s > UINT32_MAX ? UINT32_MAX
                                                        : (uint32_t)time_s,
                        .low = start.n,
                        .high = end.n };
    places_init(&s.places, log, partition, start.n);
    while (status == NEAP_OK && s.low < s.high)
        status = narrow(&s, err);
    places_release(&s.places);
    if (status != NEAP_OK)
        return status;
    ret_offset->n = s.low < start.n ? start.n : s.low;
    return NEAP_OK;
}
