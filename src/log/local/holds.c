/* holds.c - who keeps events from being freed: the groups that retention waits for.
 *
 * A group holds partitions one by one, as its commits say. But it means the topic: a partition that comes to it is the
 * group's from its first event on, before the group has said so, and while nobody runs who could. So an alteration itself
 * gives what is new to every group that holds some of the topic already. */
#include "log/local/views.h"
#include <stdlib.h>

struct bytes log_held_set(void)
{
    static const uint8_t held[1] = { 0 };
    return (struct bytes){ held, sizeof held };
}

uint64_t views_hold(const struct views *v, struct log_partition p)
{
    uint64_t hold = UINT64_MAX;
    struct bytes key;
    void *value;
    for (size_t i = 0; map_next(v->offsets, &i, &key, &value);) {
        const struct fact *fact = value;
        if (fact->hold && get_be32(key.at) == p.topic_id && get_be32(key.at + 4) == p.partition && fact->offset < hold)
            hold = fact->offset;
    }
    return hold;
}

/* ---- the groups that hold any partition of a topic ------------------------------------------------------------------ */

struct holders {
    struct bytes *groups; /* in the map's keys: good until one of them is forgotten */
    size_t count, room;
};

static bool is_among(const struct holders *h, struct bytes group)
{
    for (size_t i = 0; i < h->count; i++)
        if (bytes_equal(h->groups[i], group))
            return true;
    return false;
}

static enum neap_status add_holder(struct holders *h, struct bytes group)
{
    if (h->count == h->room) {
        size_t room = h->room == 0 ? 16 : 2 * h->room;
        struct bytes *grown = realloc(h->groups, room * sizeof(*grown));
        if (grown == NULL)
            return NEAP_NOMEM;
        h->groups = grown;
        h->room = room;
    }
    h->groups[h->count++] = group;
    return NEAP_OK;
}

/* The caller frees the groups, whatever comes back. */
static enum neap_status find_holders(const struct views *v, uint32_t topic_id, struct holders *h)
{
    struct bytes key;
    void *value;
    enum neap_status status = NEAP_OK;
    for (size_t i = 0; status == NEAP_OK && map_next(v->offsets, &i, &key, &value);) {
        struct bytes group = { key.at + 8, key.size - 8 };
        if (((const struct fact *)value)->hold && get_be32(key.at) == topic_id && !is_among(h, group))
            status = add_holder(h, group);
    }
    return status;
}

/* ---- what is new is held ----------------------------------------------------------------------------------------------- */

enum neap_status views_holds_cost(const struct views *v, const struct topic *topic, uint32_t more_count,
                                  uint64_t *ret_size)
{
    struct holders holders = { 0 };
    enum neap_status status = more_count > 0 ? find_holders(v, topic->id, &holders) : NEAP_OK;
    uint64_t size = 0;
    for (size_t i = 0; i < holders.count; i++)
        size += more_count * fact_cost(8 + holders.groups[i].size, log_held_set().size);
    free(holders.groups);
    if (status == NEAP_OK)
        *ret_size = size;
    return status;
}

static enum neap_status hold(struct views *v, const struct partition *p, struct bytes group)
{
    uint8_t room[VIEW_KEY_SIZE_MAX];
    struct bytes key = offset_key(room, (struct log_partition){ p->topic_id, p->number }, group);
    if (map_get(v->offsets, key) != NULL)
        return NEAP_OK;
    enum neap_status status = views_fact_put(v, v->offsets, key, p->start, log_held_set());
    if (status == NEAP_OK)
        ((struct fact *)map_get(v->offsets, key))->hold = true;
    return status;
}

enum neap_status views_hold_from(struct views *v, struct topic *topic, uint32_t first)
{
    struct holders holders = { 0 };
    enum neap_status status = find_holders(v, topic->id, &holders);
    for (size_t i = 0; i < holders.count; i++)
        for (uint32_t n = first; status == NEAP_OK && n < topic->partition_count; n++)
            status = hold(v, topic_partition(topic, n), holders.groups[i]);
    free(holders.groups);
    return status;
}
