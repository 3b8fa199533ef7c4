#include "log/local/lost.h"
#include <stdlib.h>

void lost_fini(struct lost *l)
{
    free(l->list);
    l->list = NULL;
    l->room = 0;
    l->count = 0;
}

static int compare(struct log_partition a, struct log_partition b)
{
    if (a.topic_id != b.topic_id)
        return a.topic_id < b.topic_id ? -1 : 1;
    return a.partition < b.partition ? -1 : a.partition > b.partition;
}

/* The first slot whose range ends at or after `offset` of the partition, or lies in a later partition. */
static uint32_t slot_of(const struct lost *l, struct log_partition partition, uint64_t offset)
{
    uint32_t low = 0, high = l->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare(l->list[middle].partition, partition);
        if (order < 0 || (order == 0 && l->list[middle].end < offset))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void cut_out(struct lost *l, uint32_t slot, uint32_t count)
{
    memmove(&l->list[slot], &l->list[slot + count], (l->count - slot - count) * sizeof(l->list[0]));
    l->count -= count;
}

static enum neap_status make_room(struct lost *l)
{
    if (l->count < l->room)
        return NEAP_OK;
    if (l->count == (l->room_max != 0 ? l->room_max : LOST_RANGE_COUNT_MAX))
        return NEAP_FULL;
    uint32_t room = l->room == 0 ? 16 : 2 * l->room;
    struct lost_range *grown = realloc(l->list, room * sizeof(l->list[0]));
    if (grown == NULL)
        return NEAP_NOMEM;
    l->list = grown;
    l->room = room;
    return NEAP_OK;
}

enum neap_status lost_add(struct lost *l, struct log_partition partition, uint64_t first, uint64_t end)
{
    if (first >= end)
        return NEAP_OK;
    uint32_t slot = slot_of(l, partition, first), touched = 0;
    for (; slot + touched < l->count; touched++) {
        const struct lost_range *r = &l->list[slot + touched];
        if (compare(r->partition, partition) != 0 || r->first > end)
            break;
        first = r->first < first ? r->first : first;
        end = r->end > end ? r->end : end;
    }
    if (touched == 0) {
        enum neap_status status = make_room(l);
        if (status != NEAP_OK)
            return status;
        memmove(&l->list[slot + 1], &l->list[slot], (l->count - slot) * sizeof(l->list[0]));
        l->count++;
    } else {
        cut_out(l, slot + 1, touched - 1);
    }
    l->list[slot] = (struct lost_range){ partition, first, end };
    return NEAP_OK;
}

enum neap_status lost_check(const struct lost *l, uint64_t end, uint64_t first, uint64_t count)
{
    if (first > end || count > end - first)
        return NEAP_REFUSED;
    return l->count < LOST_RANGE_COUNT_MAX / 2 ? NEAP_OK : NEAP_FULL;
}

const struct lost_range *lost_next(const struct lost *l, struct log_partition partition, uint64_t from)
{
    uint32_t slot = slot_of(l, partition, from + 1);
    return slot < l->count && compare(l->list[slot].partition, partition) == 0 ? &l->list[slot] : NULL;
}

uint64_t lost_pass(const struct lost *l, struct log_partition partition, uint64_t offset)
{
    const struct lost_range *r = l->count > 0 ? lost_next(l, partition, offset) : NULL;
    return r != NULL && r->first <= offset ? r->end : offset;
}

uint64_t lost_sum(const struct lost *l)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < l->count; i++)
        sum += l->list[i].end - l->list[i].first;
    return sum;
}

uint64_t lost_within(const struct lost *l, struct log_partition partition, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    const struct lost_range *r;
    for (uint64_t at = from; at < to && (r = lost_next(l, partition, at)) != NULL && r->first < to; at = r->end)
        sum += (r->end < to ? r->end : to) - (r->first > from ? r->first : from);
    return sum;
}

void lost_drop_topic(struct lost *l, uint32_t topic_id)
{
    uint32_t slot = slot_of(l, (struct log_partition){ topic_id, 0 }, 0), count = 0;
    while (slot + count < l->count && l->list[slot + count].partition.topic_id == topic_id)
        count++;
    if (count > 0)
        cut_out(l, slot, count);
}

void lost_trim(struct lost *l, struct log_partition partition, uint64_t start)
{
    uint32_t slot = slot_of(l, partition, 0);
    while (slot < l->count && compare(l->list[slot].partition, partition) == 0 && l->list[slot].end <= start)
        cut_out(l, slot, 1);
    if (slot < l->count && compare(l->list[slot].partition, partition) == 0 && l->list[slot].first < start)
        l->list[slot].first = start;
}
