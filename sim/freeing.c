#include "freeing.h"

struct log_topic_settings freeing_settings(const struct unit *unit, uint64_t *chance)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    settings.record_size_max = unit->id;
    uint32_t kind = sim_below(chance, 6), size = sim_below(chance, 10000);
    if (kind == 0 || kind == 1)
        settings.retention = LOG_RETAIN_DONE;
    if (kind == 2)
        settings.retention_size = 2000 + (int64_t)size;
    if (kind == 3)
        settings.retention_ms = 1000;
    return settings;
}

void freeing_alter(struct model *model, struct unit *unit, uint32_t topic, uint64_t *chance)
{
    struct log_op *op = unit_op(unit, LOG_TOPIC_ALTER, topic);
    struct log_topic_settings settings = freeing_settings(unit, chance);
    bool grows = sim_one_in(chance, 3);
    op->target.topic_id = model->topics[topic].id;
    if (grows && model->topics[topic].partition_count < PARTITION_MAX)
        op->count = model->topics[topic].partition_count + 1;
    if (op->count == 0 || sim_one_in(chance, 2))
        op->payload = log_settings_encode(&settings, arena_take(model->arena, LOG_SETTINGS_SIZE));
}

/* Where this client's group stands on a partition, as far as it has asked; false: nowhere. `ret_holds`: it was told that it holds. */
static bool stands_at(const struct model *model, uint32_t client, uint32_t topic, uint32_t partition, uint64_t *ret_at,
                      bool *ret_holds)
{
    bool stands = false;
    *ret_holds = false;
    for (uint32_t i = 0; i < model->clients[client].count; i++) {
        const struct unit *unit = model->clients[client].units[i];
        for (uint32_t o = 0; o < unit->log.count && unit_may_be_there(unit); o++) {
            const struct log_op *op = &unit->ops[o];
            if (op->kind != LOG_OFFSET || unit->topics[o] != topic || op->target.partition != partition)
                continue;
            stands = !(op->view & LOG_OFFSET_FORGET);
            *ret_at = op->offset.n;
            *ret_holds =
                stands && (*ret_holds || (op->view & LOG_OFFSET_HOLD && unit->ended && unit->status == NEAP_OK));
        }
    }
    return stands;
}

static void add_commit(struct model *model, struct unit *unit, uint32_t topic, struct log_partition where,
                       log_offset start, log_offset end, uint64_t *chance)
{
    uint64_t at = 0;
    bool holds, stands = stands_at(model, unit->client, topic, where.partition, &at, &holds);
    uint32_t index = unit->log.count;
    struct log_op *op = unit_op(unit, LOG_OFFSET, topic);
    op->target = where;
    op->name = client_group(unit->client);
    if (stands && sim_one_in(chance, 12)) {
        op->view = LOG_OFFSET_FORGET;
        return;
    }
    uint64_t low = !stands || start.n > at ? start.n : at;
    op->view = sim_one_in(chance, 3) ? 0 : LOG_OFFSET_HOLD;
    op->offset.n = low + (low < end.n ? sim_below(chance, (uint32_t)(end.n - low) + 1) : 0);
    unit->holds[index].settled = holds;
    unit->holds[index].start = start.n;
}

static void add_trim(struct unit *unit, uint32_t topic, struct log_partition where, log_offset start, log_offset end,
                     uint64_t *chance)
{
    struct log_op *op = unit_op(unit, LOG_TRIM, topic);
    op->target = where;
    op->offset.n = start.n + sim_below(chance, (uint32_t)(end.n - start.n) + 1);
    if (sim_one_in(chance, 24))
        op->offset.n = end.n + 100; /* past the end: refused, or there is as much by then */
}

void freeing_add(struct log *log, struct model *model, struct unit *unit, uint32_t topic, uint64_t *chance)
{
    log_offset start, end;
    uint32_t partition = sim_below(chance, model->topics[topic].partition_count);
    struct log_partition where = { model->topics[topic].id, partition };
    bool commits = sim_one_in(chance, 2), trims = sim_one_in(chance, 5);
    if (log_partition_range(log, where, &start, &end) != NEAP_OK)
        return;
    if (commits)
        add_commit(model, unit, topic, where, start, end, chance);
    if (trims)
        add_trim(unit, topic, where, start, end, chance);
}
