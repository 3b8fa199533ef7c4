#include "log/local/views.h"
#include <stdlib.h>

#define FACT_OVERHEAD  96u /* of the maps and the struct, per entry */
#define FACT_COUNT_MAX (1u << 22)

enum neap_status views_init(struct views *v, const struct log_options *options)
{
    *v = (struct views){
        .by_id = map_new(options->partition_count_max),
        .offsets = map_new(FACT_COUNT_MAX),
        .facts = map_new(FACT_COUNT_MAX),
        .topic_id_next = 1,
        .archives.number_next = 1,
        .partition_count_max = options->partition_count_max,
        .fact_size_max = options->fact_size_max,
    };
    return v->by_id != NULL && v->offsets != NULL && v->facts != NULL ? NEAP_OK : NEAP_NOMEM;
}

static void free_topic(struct topic *topic)
{
    for (uint32_t i = 0; i < topic->chunk_count; i++)
        free(topic->chunks[i]);
    free(topic);
}

void views_fini(struct views *v)
{
    for (uint32_t i = 0; i < v->topic_count; i++)
        free_topic(v->by_name[i]);
    free(v->by_name);
    archives_fini(&v->archives);
    lost_fini(&v->lost);
    map_free(&v->by_id, NULL);
    map_free(&v->offsets, free);
    map_free(&v->facts, free);
    *v = (struct views){ 0 };
}

static struct bytes id_key(uint8_t room[4], uint32_t topic_id)
{
    put_be32(room, topic_id);
    return (struct bytes){ room, 4 };
}

struct topic *views_topic(const struct views *v, uint32_t topic_id)
{
    uint8_t room[4];
    return map_get(v->by_id, id_key(room, topic_id));
}

/* The slot where `name` is or belongs. */
static uint32_t name_slot(const struct views *v, const char *name)
{
    uint32_t low = 0, high = v->topic_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(v->by_name[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct topic *views_topic_named(const struct views *v, const char *name)
{
    uint32_t slot = name_slot(v, name);
    return slot < v->topic_count && strcmp(v->by_name[slot]->name, name) == 0 ? v->by_name[slot] : NULL;
}

struct partition *views_partition(const struct views *v, struct log_partition p)
{
    struct topic *topic = views_topic(v, p.topic_id);
    return topic != NULL && p.partition < topic->partition_count ? topic_partition(topic, p.partition) : NULL;
}

static enum neap_status make_name_room(struct views *v)
{
    if (v->topic_count < v->topic_room)
        return NEAP_OK;
    uint32_t room = v->topic_room == 0 ? 16 : 2 * v->topic_room;
    struct topic **grown = realloc(v->by_name, room * sizeof(struct topic *));
    if (grown == NULL)
        return NEAP_NOMEM;
    v->by_name = grown;
    v->topic_room = room;
    return NEAP_OK;
}

enum neap_status views_topic_grow(struct views *v, struct topic *topic, uint32_t partition_count)
{
    if (partition_count <= topic->growing)
        return NEAP_OK;
    uint32_t more = partition_count - topic->growing;
    if (more > v->partition_count_max - v->partition_count || topic->chunk_count == COUNT_OF(topic->chunks))
        return NEAP_FULL;
    struct partition *chunk = calloc(more, sizeof(*chunk));
    if (chunk == NULL)
        return NEAP_NOMEM;
    for (uint32_t i = 0; i < more; i++) {
        chunk[i].topic_id = topic->id;
        chunk[i].number = topic->growing + i;
    }
    topic->chunks[topic->chunk_count] = chunk;
    topic->chunk_ends[topic->chunk_count++] = partition_count;
    topic->growing = partition_count;
    v->partition_count += more;
    return NEAP_OK;
}

void views_topic_shrink(struct views *v, struct topic *topic, uint32_t partition_count)
{
    if (partition_count == topic->growing)
        return;
    uint32_t last = --topic->chunk_count;
    must(last > 0 && topic->chunk_ends[last - 1] == partition_count && partition_count >= topic->partition_count);
    free(topic->chunks[last]);
    v->partition_count -= topic->growing - partition_count;
    topic->growing = partition_count;
}

enum neap_status views_topic_add(struct views *v, const char *name, uint32_t id, uint32_t partition_count,
                                 struct topic **ret_topic)
{
    must(partition_count > 0 && id != 0 && strlen(name) <= LOG_NAME_SIZE_MAX);
    uint32_t slot = name_slot(v, name);
    if (slot < v->topic_count && strcmp(v->by_name[slot]->name, name) == 0)
        return NEAP_EXISTS;
    if (make_name_room(v) != NEAP_OK)
        return NEAP_NOMEM;
    struct topic *topic = calloc(1, sizeof(*topic));
    if (topic == NULL)
        return NEAP_NOMEM;
    memcpy(topic->name, name, strlen(name) + 1);
    topic->id = id;
    topic->settings = LOG_SETTINGS_DEFAULT;
    topic->revision = 1;
    uint8_t room[4];
    enum neap_status status = views_topic_grow(v, topic, partition_count);
    if (status == NEAP_OK)
        status = map_put(v->by_id, id_key(room, id), topic, NULL);
    if (status != NEAP_OK) {
        v->partition_count -= topic->growing;
        free_topic(topic);
        return status;
    }
    topic->partition_count = partition_count;
    memmove(&v->by_name[slot + 1], &v->by_name[slot], (v->topic_count - slot) * sizeof(v->by_name[0]));
    v->by_name[slot] = topic;
    v->topic_count++;
    if (id >= v->topic_id_next)
        v->topic_id_next = id + 1;
    *ret_topic = topic;
    return NEAP_OK;
}

/* Forgets what belongs to the topic; `id_at` is where its id lies in the map's keys. */
static void forget_of_topic(struct views *v, struct map *map, uint32_t topic_id, size_t id_at)
{
    struct bytes key;
    void *value;
    for (size_t i = 0; map_next(map, &i, &key, &value);)
        if (get_be32(key.at + id_at) == topic_id)
            views_fact_forget(v, map, key);
}

void views_topic_remove(struct views *v, uint32_t topic_id)
{
    uint8_t room[4];
    struct topic *topic = map_remove(v->by_id, id_key(room, topic_id));
    if (topic == NULL)
        return;
    uint32_t slot = name_slot(v, topic->name);
    must(slot < v->topic_count && v->by_name[slot] == topic);
    memmove(&v->by_name[slot], &v->by_name[slot + 1], (v->topic_count - slot - 1) * sizeof(v->by_name[0]));
    v->topic_count--;
    v->partition_count -= topic->growing;
    v->topic_delete_count++;
    v->settings_count++;
    v->change_count++;
    free_topic(topic);
    archives_drop_topic(&v->archives, topic_id);
    lost_drop_topic(&v->lost, topic_id);
    forget_of_topic(v, v->offsets, topic_id, 0);
    forget_of_topic(v, v->facts, topic_id, 1);
}

struct bytes offset_key(uint8_t *room, struct log_partition p, struct bytes group)
{
    must(group.size <= LOG_KEY_SIZE_MAX);
    put_be32(room, p.topic_id);
    put_be32(room + 4, p.partition);
    memcpy(room + 8, group.at, group.size);
    return (struct bytes){ room, 8 + group.size };
}

struct bytes fact_key(uint8_t *room, uint8_t view, struct log_partition p, struct bytes key)
{
    must(key.size <= LOG_KEY_SIZE_MAX);
    room[0] = view;
    put_be32(room + 1, p.topic_id);
    put_be32(room + 5, p.partition);
    if (key.size > 0)
        memcpy(room + 9, key.at, key.size);
    return (struct bytes){ room, 9 + key.size };
}

uint64_t fact_cost(size_t key_size, size_t value_size)
{
    return FACT_OVERHEAD + key_size + round_up(value_size, 32);
}

void views_fact_forget(struct views *v, struct map *map, struct bytes key)
{
    uint64_t key_size = key.size; /* the key may lie in the entry that goes */
    struct fact *fact = map_remove(map, key);
    if (fact == NULL)
        return;
    v->fact_size -= fact_cost(key_size, fact->room);
    free(fact);
}

enum neap_status views_fact_put(struct views *v, struct map *map, struct bytes key, uint64_t offset, struct bytes value)
{
    struct fact *fact = map_get(map, key);
    bool hold = fact != NULL && fact->hold;        /* once said, until it is forgotten */
    if (fact == NULL || fact->room < value.size) { /* most are rewritten in place */
        size_t room = round_up(value.size, 32);
        struct fact *grown = malloc(sizeof(*grown) + room);
        if (grown == NULL)
            return NEAP_NOMEM;
        grown->room = (uint32_t)room;
        void *old = NULL;
        enum neap_status status = map_put(map, key, grown, &old);
        if (status != NEAP_OK) {
            free(grown);
            return status;
        }
        if (fact != NULL)
            v->fact_size -= fact_cost(key.size, fact->room);
        v->fact_size += fact_cost(key.size, room);
        free(old);
        fact = grown;
    }
    fact->offset = offset;
    fact->hold = hold;
    fact->size = (uint32_t)value.size;
    if (value.size > 0)
        memcpy(fact->bytes, value.at, value.size);
    return NEAP_OK;
}

static enum neap_status apply_topic_create(struct views *v, const struct op *op)
{
    struct topic *topic = views_topic(v, op->target.topic_id); /* the journal made it when it wrote the entry */
    if (topic == NULL) {
        char name[LOG_NAME_SIZE_MAX + 1];
        if (op->name.size > LOG_NAME_SIZE_MAX || op->count == 0 || op->target.topic_id == 0)
            return NEAP_CORRUPT;
        memcpy(name, op->name.at, op->name.size);
        name[op->name.size] = 0;
        enum neap_status status = views_topic_add(v, name, op->target.topic_id, op->count, &topic);
        if (status != NEAP_OK)
            return status == NEAP_EXISTS ? NEAP_CORRUPT : status;
    }
    if (op->payload.size > 0 && log_settings_decode(op->payload, &topic->settings) != NEAP_OK)
        return NEAP_CORRUPT;
    topic->durable = true;
    return NEAP_OK;
}

static enum neap_status apply_topic_alter(struct views *v, const struct op *op)
{
    struct topic *topic = views_topic(v, op->target.topic_id);
    if (topic == NULL || (op->count != 0 && op->count < topic->partition_count))
        return NEAP_CORRUPT;
    enum neap_status status = views_topic_grow(v, topic, op->count); /* the journal has done so already */
    if (status != NEAP_OK)
        return status;
    uint32_t before = topic->partition_count;
    if (op->count != 0)
        topic->partition_count = op->count;
    if (op->payload.size > 0 && log_settings_decode(op->payload, &topic->settings) != NEAP_OK)
        return NEAP_CORRUPT;
    v->change_count++;
    v->settings_count++;
    topic->revision++;
    return topic->partition_count > before ? views_hold_from(v, topic, before) : NEAP_OK;
}

static uint64_t share_of(uint64_t whole, uint64_t part, uint64_t of)
{
    return part == of ? whole : (uint64_t)((double)whole * ((double)part / (double)of));
}

/* Offsets from the partition's start up to `to` that were not declared lost: what is counted of it is spread over these. */
static uint64_t readable_count(const struct views *v, const struct partition *p, uint64_t to)
{
    return to - p->start - lost_within(&v->lost, (struct log_partition){ p->topic_id, p->number }, p->start, to);
}

/* Nobody has counted what goes: its share, so that retention by size does not free for what is gone already. */
static void take_share(struct partition *p, uint64_t part, uint64_t of)
{
    p->batch_count -= share_of(p->batch_count, part, of);
    p->size -= share_of(p->size, part, of);
}

static enum neap_status apply_trim(struct views *v, const struct op *op)
{
    struct partition *p = views_partition(v, op->target);
    if (p == NULL || op->offset > p->end)
        return NEAP_CORRUPT;
    if (op->offset <= p->start)
        return NEAP_OK;
    uint64_t records = readable_count(v, p, p->end), freed = readable_count(v, p, op->offset);
    p->start = op->offset;
    lost_trim(&v->lost, op->target, op->offset);
    if (op->payload.size == TRIM_PAYLOAD_SIZE) { /* what is freed by it, as whoever trims has counted */
        uint64_t batches = get_le64(op->payload.at), size = get_le64(op->payload.at + 8);
        p->batch_count -= batches < p->batch_count ? batches : p->batch_count;
        p->size -= size < p->size ? size : p->size;
    } else {
        take_share(p, freed, records);
    }
    if (freed == records)
        p->batch_count = p->size = 0;
    v->change_count++;
    return NEAP_OK;
}

static enum neap_status apply_lost(struct views *v, const struct op *op)
{
    struct partition *p = views_partition(v, op->target);
    if (p == NULL || op->offset > p->end || (op->count > p->end - op->offset && !(op->view & LOG_LOST_RAISE)))
        return NEAP_CORRUPT;
    uint64_t end = p->end, records = readable_count(v, p, end);
    enum neap_status status = lost_add(&v->lost, op->target, op->offset, op->offset + op->count);
    if (status != NEAP_OK)
        return status;
    uint64_t lost = records - readable_count(v, p, end); /* what was lost before, or is given now, never counted */
    take_share(p, lost, records);
    p->keeper.counted_to = 0; /* some of that may be lost now */
    if (op->count > end - op->offset)
        p->end = op->offset + op->count;
    v->change_count++;
    return NEAP_OK;
}

/* Where the partition was trimmed since it was counted, by hand, a share of it is gone already. */
static enum neap_status apply_shrunk(struct views *v, uint32_t topic_id, const struct shrunk *s)
{
    struct partition *p = views_partition(v, (struct log_partition){ topic_id, s->partition });
    if (p == NULL || s->start > p->start || s->start > p->end)
        return NEAP_CORRUPT;
    int64_t size = s->size;
    uint64_t batches = s->batch_count;
    if (s->start < p->start) {
        uint64_t left = readable_count(v, p, p->end), of = left + p->start - s->start;
        size = size > 0 ? (int64_t)share_of((uint64_t)size, left, of) : 0;
        batches = share_of(batches, left, of);
    }
    p->batch_count -= batches < p->batch_count ? batches : p->batch_count;
    p->size = size > 0 && (uint64_t)size > p->size ? 0 : p->size - (uint64_t)size;
    return NEAP_OK;
}

static enum neap_status apply_replace(struct views *v, const struct op *op)
{
    struct replace r = { .shrunk_count = 0 };
    if (views_topic(v, op->target.topic_id) == NULL)
        return NEAP_CORRUPT;
    enum neap_status status = replace_decode(op->payload, op->offset, &r);
    if (status == NEAP_OK)
        status = archives_apply(&v->archives, op->target.topic_id, &r);
    for (uint32_t i = 0; i < r.shrunk_count && status == NEAP_OK; i++) {
        struct shrunk shrunk = replace_shrunk(&r, i);
        status = apply_shrunk(v, op->target.topic_id, &shrunk);
    }
    return status;
}

static enum neap_status apply_offset(struct views *v, const struct op *op)
{
    uint8_t room[VIEW_KEY_SIZE_MAX];
    struct bytes key = offset_key(room, op->target, op->name);
    if (op->view & LOG_OFFSET_FORGET) {
        views_fact_forget(v, v->offsets, key);
        return NEAP_OK;
    }
    enum neap_status status = views_fact_put(v, v->offsets, key, op->offset, op->payload);
    if (status == NEAP_OK && op->view & LOG_OFFSET_HOLD)
        ((struct fact *)map_get(v->offsets, key))->hold = true;
    return status;
}

enum neap_status views_apply(struct views *v, const struct op *op)
{
    uint8_t room[VIEW_KEY_SIZE_MAX];
    if (op->name.size > LOG_KEY_SIZE_MAX)
        return NEAP_CORRUPT;
    switch (op->kind) {
    case OP_OFFSET:
        return apply_offset(v, op);
    case OP_FACT:
        if (op->payload.size > 0)
            return views_fact_put(v, v->facts, fact_key(room, op->view, op->target, op->name), 0, op->payload);
        views_fact_forget(v, v->facts, fact_key(room, op->view, op->target, op->name));
        return NEAP_OK;
    case OP_TOPIC_CREATE:
        return apply_topic_create(v, op);
    case OP_TOPIC_DELETE:
        views_topic_remove(v, op->target.topic_id);
        return NEAP_OK;
    case OP_TOPIC_ALTER:
        return apply_topic_alter(v, op);
    case OP_TRIM:
        return apply_trim(v, op);
    case OP_LOST:
        return apply_lost(v, op);
    case OP_REPLACE:
        return apply_replace(v, op);
    case OP_APPEND:
    case OP_BOOT:
        break;
    }
    return NEAP_OK;
}
