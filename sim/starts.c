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
        *stand = (struct stand){ .forgotten = true };
        return;
    }
    stand->forgotten = false;
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
        if (op->kind == LOG_LOST) {
            must(p->lost_count < LOSS_COUNT_MAX);
            p->lost[p->lost_count].first = op->offset.n;
            p->lost[p->lost_count++].end = op->offset.n + op->count;
        }
        if (op->kind == LOG_OFFSET)
            commit(&p->stands[unit->client], unit, o);
    }
}

/* ---- partitions that came to a topic: whoever holds some of it holds them, too ------------------------------------------ */

static bool may_be_there(const struct unit *unit, uint32_t point)
{
    return unit->possible <= point && unit_may_be_there(unit);
}

/* Whether the holding unit comes before every alteration that may have made the partition. */
static bool is_before_growth(const struct model *model, const struct unit *holds, uint32_t topic, uint32_t partition,
                             uint32_t point)
{
    for (uint32_t i = 0; i < model->clients[0].count; i++) {
        const struct unit *unit = model->clients[0].units[i];
        bool grows = unit->ops[0].kind == LOG_TOPIC_ALTER && unit->topics[0] == topic && unit->ops[0].count > partition;
        if (grows && may_be_there(unit, point) &&
            (unit->possible == 0 || (holds->possible > 0 && holds->promised > unit->possible)))
            return false; /* of an earlier life, both: nobody knows */
    }
    return true;
}

static uint32_t born_with(const struct model *model, uint32_t topic)
{
    for (uint32_t i = 0; i < model->clients[0].count; i++) {
        const struct unit *unit = model->clients[0].units[i];
        if (unit->ops[0].kind == LOG_TOPIC_CREATE && unit->topics[0] == topic)
            return unit->ops[0].count;
    }
    return PARTITION_MAX;
}

struct inheritance {
    const struct model *model;
    struct topic_truth *topics;
    uint32_t point, client;
};

static void inherit(const struct inheritance *in, const struct unit *unit, uint32_t index, bool is_there)
{
    uint32_t topic = unit->topics[index];
    const struct log_op *op = &unit->ops[index];
    for (uint32_t p = born_with(in->model, topic); p < PARTITION_MAX; p++) {
        struct stand *stand = &in->topics[topic].partitions[p].stands[in->client];
        if (p <= op->target.partition)
            continue;
        stand->may_inherit = in->topics[topic].partitions[p].held = true;
        if (is_there && is_before_growth(in->model, unit, topic, p, in->point))
            stand->must_inherit = true;
    }
}

static void forgets(const struct inheritance *in, uint32_t topic)
{
    for (uint32_t p = 0; p < PARTITION_MAX; p++)
        in->topics[topic].partitions[p].stands[in->client].must_inherit = false;
}

static void look_at_inheritance(const struct inheritance *in, uint32_t reached)
{
    for (int forgetting = 0; forgetting < 2; forgetting++) {
        for (uint32_t i = 0; i < in->model->clients[in->client].count; i++) {
            const struct unit *unit = in->model->clients[in->client].units[i];
            for (uint32_t o = 0; unit_may_be_there(unit) && o < unit->log.count; o++) {
                const struct log_op *op = &unit->ops[o];
                bool is_forgetting = op->view & LOG_OFFSET_FORGET;
                if (op->kind != LOG_OFFSET || is_forgetting != (forgetting == 1))
                    continue;
                if (is_forgetting)
                    forgets(in, unit->topics[o]); /* before the partition came, or after: nobody knows */
                else if (op->view & LOG_OFFSET_HOLD)
                    inherit(in, unit, o, i < reached);
            }
        }
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
            if (unit_is_there(unit, i, reached))
                look_at_unit(topics, unit);
        }
        look_at_inheritance(&(struct inheritance){ model, topics, point, c }, reached[c]);
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
        if (s->must_inherit && s->commit == NULL && !s->forgotten && start > 0)
            return "a group that holds the topic still needs what came with a new partition, and was freed";
    }
    return NULL;
}

const char *starts_size_wrong(const struct topic_truth *topic, uint32_t partition, uint64_t kept_size)
{
    const struct partition_truth *p = &topic->partitions[partition];
    bool freed = p->start > 0 && p->trim == 0 && p->lost_count == 0 && topic->limits &&
                 !topic->by_others; /* after a trim sizes are estimates */
    return freed && kept_size + BATCH_SIZE_MAX < topic->size_min ? "retention by size left too little" : NULL;
}
