#include "model.h"
#include "base/crc32c.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BLOCK (64u << 10)
#define ARENA_MAX   (1u << 30)

static void *model_take(struct model *model, size_t size)
{
    void *at = arena_zero(model->arena, size);
    must(at != NULL);
    return at;
}

static void *grown(void *at, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room)
        return at;
    uint32_t more = *room == 0 ? 64 : *room * 2;
    at = realloc(at, more * size);
    must(at != NULL);
    memset((uint8_t *)at + *room * size, 0, (more - *room) * size);
    *room = more;
    return at;
}

struct model *model_new(void)
{
    struct model *model = calloc(1, sizeof(*model));
    must(model != NULL);
    model->arena = arena_new(ARENA_BLOCK, ARENA_MAX);
    must(model->arena != NULL);
    model->id_next = 1;
    return model;
}

void model_free(struct model **model)
{
    if (*model == NULL)
        return;
    for (uint32_t c = 0; c < CLIENT_COUNT; c++)
        free((*model)->clients[c].units);
    free((*model)->by_id);
    arena_free(&(*model)->arena);
    free(*model);
    *model = NULL;
}

static void know(struct model *model, struct unit *unit)
{
    while (unit->id >= model->id_room)
        model->by_id = grown(model->by_id, model->id_room, &model->id_room, sizeof(model->by_id[0]));
    model->by_id[unit->id] = unit;
}

static void follow(struct model *model, struct unit *unit)
{
    uint32_t c = unit->client;
    model->clients[c].units = grown(model->clients[c].units, model->clients[c].count, &model->clients[c].room,
                                    sizeof(model->clients[c].units[0]));
    model->clients[c].units[model->clients[c].count++] = unit;
}

/* A topic that was given more has them as far as the crash has left that. */
static void count_partitions(struct model *model)
{
    for (uint32_t i = 0; i < model->clients[0].count; i++) {
        const struct log_op *op = &model->clients[0].units[i]->ops[0];
        if (op->count > 0)
            model->topics[model->clients[0].units[i]->topics[0]].partition_count = op->count;
    }
}

struct model *model_continue(const struct model *parent, uint32_t point, const uint32_t *reached)
{
    struct model *model = model_new();
    model->id_next = parent->id_next;
    for (uint32_t c = 0; c < CLIENT_COUNT; c++) {
        model->clients[c].offset = parent->clients[c].offset;
        for (uint32_t i = 0; i < parent->clients[c].count; i++) {
            const struct unit *old = parent->clients[c].units[i];
            if (!unit_may_be_there(old) || !unit_is_there(old, i, reached))
                continue;
            struct unit *unit = model_take(model, sizeof(*unit));
            *unit = *old;
            unit->possible = 0;
            unit->promised = old->promised <= point ? 0 : NEVER;
            unit->told_ns = 0;
            know(model, unit);
            follow(model, unit);
        }
    }
    memcpy(model->topics, parent->topics, sizeof(model->topics));
    model->topic_count = model->clients[0].count == 0 ? 0 : parent->topic_count; /* home is made first */
    for (uint32_t i = 0; i < model->topic_count; i++) {
        struct model_topic *topic = &model->topics[i];
        topic->usable = topic->created < model->id_room && model->by_id[topic->created] != NULL;
        if (topic->deleted >= model->id_room || model->by_id[topic->deleted] == NULL)
            topic->deleted = 0;
    }
    count_partitions(model);
    return model;
}

void model_promise_all(struct model *model, uint32_t point)
{
    for (uint32_t id = 1; id < model->id_room; id++) {
        struct unit *unit = model->by_id[id];
        if (unit == NULL || !unit_may_be_there(unit))
            continue;
        unit->promised = unit->promised < point ? unit->promised : point;
        unit->ended = true;
        unit->status = NEAP_OK;
    }
}

/* ---- building ---- */

struct unit *model_unit(struct model *model, uint32_t client)
{
    struct unit *unit = model_take(model, sizeof(*unit));
    unit->client = client;
    unit->promised = NEVER;
    unit->id = model->id_next;
    unit->log.ops = unit->ops;
    unit->log.ctx = unit;
    return unit;
}

void model_submitted(struct model *model, struct unit *unit, uint32_t point)
{
    must(unit->id == model->id_next);
    model->id_next++;
    unit->possible = point + 1;
    know(model, unit);
    follow(model, unit);
}

struct log_op *unit_op(struct unit *unit, enum log_op_kind kind, uint32_t topic)
{
    must(unit->log.count < UNIT_OP_COUNT);
    unit->topics[unit->log.count] = topic;
    struct log_op *op = &unit->ops[unit->log.count++];
    *op = (struct log_op){ .kind = kind };
    return op;
}

static struct bytes noise(struct model *model, uint32_t size, uint32_t id, uint64_t *chance)
{
    must(size >= 4);
    uint8_t *at = model_take(model, size);
    for (uint32_t i = 4; i < size; i++)
        at[i] = (uint8_t)sim_chance(chance);
    put_le32(at, id);
    return (struct bytes){ at, size };
}

void unit_append(struct model *model, struct unit *unit, uint32_t topic, uint32_t partition, uint32_t count,
                 uint32_t value_size, uint64_t *chance)
{
    uint32_t index = unit->log.count;
    struct log_op *op = unit_op(unit, LOG_APPEND, topic);
    size_t room = BATCH_HEADER_SIZE + count * ((size_t)value_size + 64);
    struct batch_builder builder;
    batch_begin(&builder, model_take(model, room), room);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes value = noise(model, value_size, unit->id, chance);
        ((uint8_t *)value.at)[4] = (uint8_t)index;
        struct record record = { .value = value, .time_ms = (int64_t)sim_below(chance, 1u << 30) };
        if (sim_one_in(chance, 2))
            record.key = key_name(sim_below(chance, KEY_COUNT));
        enum neap_status status = batch_add(&builder, &record, NULL, 0);
        must(status == NEAP_OK);
    }
    op->payload = batch_end(&builder);
    op->count = count;
    op->target = (struct log_partition){ model->topics[topic].id, partition };
    unit->append_count++;
}

struct bytes unit_append_blank(struct model *model, struct unit *unit, uint32_t topic, uint32_t partition,
                               uint32_t value_size)
{
    uint32_t index = unit->log.count;
    struct log_op *op = unit_op(unit, LOG_APPEND, topic);
    struct batch_builder builder;
    size_t room = BATCH_HEADER_SIZE + value_size + 64;
    uint8_t *blank = model_take(model, value_size);
    put_le32(blank, unit->id);
    blank[4] = (uint8_t)index;
    struct record record = { .value = { blank, value_size } };
    batch_begin(&builder, model_take(model, room), room);
    enum neap_status status = batch_add(&builder, &record, NULL, 0);
    must(status == NEAP_OK);
    op->payload = batch_end(&builder);
    op->count = 1;
    op->target = (struct log_partition){ model->topics[topic].id, partition };
    unit->append_count++;
    return (struct bytes){ op->payload.at + op->payload.size - 1 - value_size,
                           value_size }; /* the last byte: no headers */
}

void unit_append_seal(struct unit *unit, uint32_t index)
{
    struct bytes payload = unit->ops[index].payload;
    put_be32((uint8_t *)payload.at + 17, crc32c(0, payload.at + 21, payload.size - 21));
}

static struct log_partition home_of(const struct model *model, uint32_t client)
{
    return (struct log_partition){ model->topics[0].id, client };
}

void unit_fact(struct model *model, struct unit *unit, uint32_t key, uint32_t value_size, uint64_t *chance)
{
    unit->keys[unit->log.count] = key;
    struct log_op *op = unit_op(unit, LOG_FACT, 0);
    op->view = LOG_VIEW_LEDGER;
    op->target = home_of(model, unit->client);
    op->name = key_name(key);
    if (value_size > 0)
        op->payload = noise(model, value_size, unit->id, chance);
}

void unit_offset(struct model *model, struct unit *unit, uint32_t done_set_size, uint64_t *chance)
{
    struct log_op *op = unit_op(unit, LOG_OFFSET, 0);
    op->target = home_of(model, unit->client);
    op->name = client_group(unit->client);
    op->offset.n = model->clients[unit->client].offset += sim_below(chance, 100);
    if (done_set_size > 0)
        op->payload = noise(model, done_set_size, unit->id, chance);
}

void unit_create(struct model *model, struct unit *unit, const char *name, uint32_t partition_count,
                 const struct log_topic_settings *settings)
{
    must(model->topic_count < TOPIC_ROOM);
    struct model_topic *topic = &model->topics[model->topic_count];
    snprintf(topic->name, sizeof(topic->name), "%s", name);
    topic->partition_count = partition_count;
    topic->created = unit->id;
    topic->deleted = 0;
    topic->usable = false;
    topic->interval_ms = settings != NULL ? settings->interval_ms : 0;
    struct log_op *op = unit_op(unit, LOG_TOPIC_CREATE, model->topic_count++);
    op->name = bytes_of_text(topic->name);
    op->count = partition_count;
    if (settings != NULL)
        op->payload = log_settings_encode(settings, model_take(model, LOG_SETTINGS_SIZE));
}

void unit_delete(struct model *model, struct unit *unit, uint32_t topic)
{
    struct log_op *op = unit_op(unit, LOG_TOPIC_DELETE, topic);
    op->target.topic_id = model->topics[topic].id;
    model->topics[topic].deleted = unit->id;
}

/* ---- asking ---- */

bool unit_may_be_there(const struct unit *unit)
{
    return !unit->ended || unit->status == NEAP_OK || unit->status == NEAP_IO || unit->status == NEAP_CLOSED;
}

bool unit_is_there(const struct unit *unit, uint32_t index, const uint32_t *reached)
{
    return unit->early ? unit->there : index < reached[unit->client];
}

struct unit *model_writer(const struct model *model, struct bytes bytes, uint32_t *ret_op)
{
    struct batch batch;
    struct record record;
    if (batch_open(bytes, true, &batch) != NEAP_OK)
        return NULL;
    struct batch_walk walk;
    must(batch_unpack(&batch, NULL, &walk) == NEAP_OK);
    if (batch_next(&walk, &record) != NEAP_OK || record.value.size < 5)
        return NULL;
    uint32_t id = get_le32(record.value.at), op = record.value.at[4];
    struct unit *unit = id < model->id_room ? model->by_id[id] : NULL;
    if (unit == NULL || op >= unit->log.count || unit->ops[op].kind != LOG_APPEND)
        return NULL;
    struct bytes written = unit->ops[op].payload;
    if (written.size != bytes.size || memcmp(written.at + 8, bytes.at + 8, bytes.size - 8) != 0)
        return NULL; /* the first 8 bytes are its offset */
    *ret_op = op;
    return unit;
}

struct bytes client_group(uint32_t client)
{
    static const char *const names[CLIENT_COUNT] = { "group-0", "group-1", "group-2", "group-3" };
    return bytes_of_text(names[client]);
}

struct bytes key_name(uint32_t key)
{
    static const char *const names[KEY_COUNT + 1] = { "a", "bb", "ccc", "dddd", "eeeee", "ffffff", LAST_KEY };
    return bytes_of_text(names[key]);
}
