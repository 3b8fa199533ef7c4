#include "log/local/lost_list.h"
#include <stdlib.h>

bool lost_list_touches(const struct lost_list *l, uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < l->count && l->list[i].first < to; i++)
        if (l->list[i].end > from)
            return true;
    return false;
}

bool lost_list_holds(const struct lost_list *l, uint64_t from, uint64_t to)
{
    from = from > l->start ? from : l->start;
    for (uint32_t i = 0; i < l->count && l->list[i].first <= from; i++)
        if (l->list[i].end >= to)
            return true;
    return false;
}

static bool make_room(struct lost_list *l)
{
    if (l->count < l->room)
        return true;
    uint32_t room = l->room == 0 ? 16 : 2 * l->room;
    struct lost_range *grown = realloc(l->list, room * sizeof(*grown));
    if (grown == NULL)
        return false;
    l->list = grown;
    l->room = room;
    return true;
}

enum neap_status lost_list_collect(struct lost_list *l, struct log *log, struct log_partition partition, uint64_t start)
{
    struct shared *s = &log->shared;
    const struct lost_range *range;
    bool room = true;
    l->count = 0;
    l->start = start;
    if (atomic_load_explicit(&s->views.lost.count, memory_order_relaxed) == 0)
        return NEAP_OK;
    io_mutex_take(s->mutex);
    for (uint64_t at = 0; room && (range = lost_next(&s->views.lost, partition, at)) != NULL; at = range->end) {
        room = make_room(l);
        if (room)
            l->list[l->count++] = *range;
    }
    io_mutex_drop(s->mutex);
    return room ? NEAP_OK : NEAP_NOMEM;
}

void lost_list_fini(struct lost_list *l)
{
    free(l->list);
    *l = (struct lost_list){ 0 };
}
