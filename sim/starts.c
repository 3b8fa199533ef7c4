#include "starts.h"
#include "base/must.h"
#include <stdlib.h>

#define BATCH_SIZE_MAX 3400u /* of those that lives append */

static void look_at_settings(struct topic_truth *topic, struct bytes payload)
{
    struct log_topic_settings s = LOG_SETTINGS_DEFAULT;
    if (payload.size > 0)
        must(log_settings_decode(payload, &s) == NEAP_OK);
    bool limits = s.retention == LOG_RETAIN_LIMITS && (s.retention_ms >= 0 || s.retention_size >= 0);
    topic->limits |= limits;
    topic->retains |= limits || s.retention == LOG_RETAIN_DONE;
    topic->by_others |= s.retention == LOG_RETAIN_DONE || s.retention_ms >= 0;
    if (s.retention_size >= 0 && (uint64_t)s.retention_size < topic->size_min)
        topic->size_min = (uint64_t)s.retention_size;
}

static void look_at_changes(struct topic_truth *topics, const struct model *model, uint32_t point)
{
    for (uint32_t i = 0; i < model->clients[0].count; i++) {
        const struct unit *unit = model->clients[0].units[i];
        if (unit->possible > point || !unit_may_be_there(unit) || unit->ops[0].kind == LOG_TOPIC_DELETE)
            continue;
        look_at_settings(&topics[unit->topics[0]], unit->ops[0].payload);
    }
}

static void look_at_holds(struct topic_truth *topics, const struct unit *unit)
{
    for (uint32_t o = 0; o < unit->log.count; o++)
        if (unit->ops[o].kind == LOG_OFFSET && unit->ops[o].view & LOG_OFFSET_HOLD)
            topics[unit->topics[o]].partitions[unit->ops[o].target.partition].held = true;
}

static void commit(struct stand *stand, const struct unit *unit, uint32_t index)
{
    const struct log_op *op = &unit->ops[index];
    if (op->view & LOG_OFFSET_FORGET) {
        *stand = (struct stand){ .commit = NULL };
        return;
    }
    stand->commit = op;
    stand->hold |= (op->view & LOG_OFFSET_HOLD) != 0;
    if (!stand->settled && unit->holds[index].settled) {
        stand->settled = true;
        stand->start = unit->holds[index].start;
    }
}

static void look_at_unit(struct topic_truth *topics, const struct unit *unit)
{
    for (uint32_t o = 0; o < unit->log.count; o++) {
        const struct log_op *op = &unit->ops[o];
        struct partition_truth *p = &topics[unit->topics[o]].partitions[op->target.partition];
        if (op->kind == LOG_APPEND)
            p->record_count += op->count;
        if (op->kind == LOG_TRIM && op->offset.n > p->trim)
            p->trim = op->offset.n;
        if (op->kind == LOG_OFFSET)
            commit(&p->stands[unit->client], unit, o);
    }
}

struct topic_truth *starts_new(const struct model *model, uint32_t point, const uint32_t *reached)
{
    struct topic_truth *topics = calloc(model->topic_count + 1, sizeof(*topics));
    must(topics != NULL);
    for (uint32_t t = 0; t < model->topic_count; t++)
        topics[t].size_min = UINT64_MAX;
    look_at_changes(topics, model, point);
    for (uint32_t c = 1; c < CLIENT_COUNT; c++) {
        for (uint32_t i = 0; i < model->clients[c].count; i++) {
            const struct unit *unit = model->clients[c].units[i];
            if (!unit_may_be_there(unit))
                continue;
            look_at_holds(topics, unit);
            if (i < reached[c])
                look_at_unit(topics, unit);
        }
    }
    return topics;
}

void starts_free(struct topic_truth **topics)
{
    free(*topics);
    *topics = NULL;
}

const char *starts_wrong(const struct topic_truth *topic, uint32_t partition, uint64_t start)
{
    const struct partition_truth *p = &topic->partitions[partition];
    if (start < p->trim)
        return "a trim that is there has no effect";
    if (start == p->trim)
        return NULL;
    if (!topic->retains)
        return "nobody trimmed that far, and its settings keep everything";
    if (!topic->limits && !p->held)
        return "freed as done where no group ever held";
    for (uint32_t c = 1; c < CLIENT_COUNT; c++) {
        const struct stand *s = &p->stands[c];
        if (s->hold && s->settled && start > s->commit->offset.n && start > s->start)
            return "a group that holds still needs what was freed";
    }
    return NULL;
}

const char *starts_size_wrong(const struct topic_truth *topic, uint32_t partition, uint64_t kept_size)
{
    const struct partition_truth *p = &topic->partitions[partition];
    bool freed =
        p->start > 0 && p->trim == 0 && topic->limits && !topic->by_others; /* after a trim sizes are estimates */
    return freed && kept_size + BATCH_SIZE_MAX < topic->size_min ? "retention by size left too little" : NULL;
}
