#include "early.h"
#include "base/must.h"

#define INTERVAL_MS_MAX 40u
#define SYNC_NS         (100 * NS_PER_MS) /* so long may the sync itself take, and the turn before it */
#define READ_SIZE       16384u

struct log_topic_settings early_settings(const struct unit *unit, uint64_t *chance)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    settings.record_size_max = unit->id;
    settings.interval_ms = 1 + sim_below(chance, INTERVAL_MS_MAX);
    return settings;
}

uint32_t early_topic(const struct model *model, uint64_t *chance)
{
    uint32_t start = sim_below(chance, model->topic_count);
    for (uint32_t i = 0; i < model->topic_count; i++) {
        uint32_t t = (start + i) % model->topic_count;
        const struct model_topic *topic = &model->topics[t];
        if (topic->interval_ms > 0 && topic->usable && topic->deleted == 0)
            return t;
    }
    return 0;
}

void early_append(struct model *model, struct unit *unit, uint32_t topic, uint64_t *chance)
{
    unit->early = true;
    for (uint32_t i = 1 + sim_below(chance, 2); i > 0; i--) {
        uint32_t partition = sim_below(chance, model->topics[topic].partition_count);
        uint32_t count = 1 + sim_below(chance, 3);
        uint32_t value_size = 5 + sim_below(chance, 300);
        unit_append(model, unit, topic, partition, count, value_size, chance);
    }
}

/* ---- promises ---- */

static bool was_answered(const struct unit *unit)
{
    return unit != NULL && unit->early && unit->ended && unit->status == NEAP_OK;
}

static void promise(struct unit *unit, uint32_t point)
{
    unit->promised = unit->promised < point ? unit->promised : point;
}

void early_promise(struct model *model, int64_t now_ns, uint32_t point)
{
    for (uint32_t id = 1; id < model->id_room; id++) {
        struct unit *unit = model->by_id[id];
        if (was_answered(unit) &&
            unit->told_ns + model->topics[unit->topics[0]].interval_ms * NS_PER_MS + SYNC_NS < now_ns)
            promise(unit, point);
    }
}

void early_promise_all(struct model *model, uint32_t point)
{
    for (uint32_t id = 1; id < model->id_room; id++)
        if (was_answered(model->by_id[id]))
            promise(model->by_id[id], point);
}

/* ---- what is there ---- */

struct looking {
    struct log *log;
    const struct model *model;
    uint32_t point;
    bool killed;
    const bool *alive;
    struct finding *finding;
};

/* What of it is wrong is said by whoever reads all of it, in order. */
static void look_at(const struct looking *l, uint32_t topic, uint32_t partition)
{
    struct log_reader *reader = NULL;
    struct log_partition where = { l->model->topics[topic].id, partition };
    struct log_batch batch;
    uint32_t op;
    if (log_reader_open(l->log, where, (log_offset){ 0 }, READ_SIZE, &reader, NULL) != NEAP_OK)
        return;
    while (log_reader_next(reader, &batch, NULL) == NEAP_OK) {
        struct unit *unit = model_writer(l->model, batch.bytes, &op);
        if (unit != NULL && unit->early)
            unit->there = true;
    }
    log_reader_close(&reader);
}

static void look(const struct looking *l)
{
    for (uint32_t id = 1; id < l->model->id_room; id++)
        if (l->model->by_id[id] != NULL)
            l->model->by_id[id]->there = false;
    for (uint32_t t = 1; t < l->model->topic_count; t++)
        for (uint32_t p = 0; l->alive[t] && l->model->topics[t].interval_ms > 0 && p < PARTITION_MAX; p++)
            look_at(l, t, p);
}

static enum verdict check_unit(const struct looking *l, const struct unit *unit)
{
    unsigned id = unit->id;
    if (unit->there && (unit->possible > l->point || !unit_may_be_there(unit)))
        return finding_set(l->finding, VERDICT_INVENTED, "early unit %u was %s", id,
                           unit_may_be_there(unit) ? "not yet submitted" : "refused");
    if (unit->there || !l->alive[unit->topics[0]] || !unit_may_be_there(unit))
        return VERDICT_GOOD;
    bool answered = was_answered(unit) && unit->told_point <= l->point;
    if (unit->promised <= l->point)
        return finding_set(l->finding, VERDICT_LOST, "early unit %u was answered longer ago than its interval, or seen",
                           id);
    if (answered && l->killed)
        return finding_set(l->finding, VERDICT_LOST, "early unit %u was answered, and a kill took it", id);
    l->finding->taken += answered;
    return VERDICT_GOOD;
}

static bool is_there(const struct looking *l, const struct unit *unit, uint32_t index)
{
    return unit_is_there(unit, index, l->finding->reached);
}

/* Where the last unit that is there lies in the journal; of those that were told in this life. */
static uint64_t last_position(const struct looking *l)
{
    uint64_t last = 0;
    for (uint32_t c = 1; c < CLIENT_COUNT; c++) {
        for (uint32_t i = 0; i < l->model->clients[c].count; i++) {
            const struct unit *unit = l->model->clients[c].units[i];
            bool told = unit->told_ns > 0 && unit->ended && unit->status == NEAP_OK;
            if (told && is_there(l, unit, i) && unit->ops[0].position_.n > last)
                last = unit->ops[0].position_.n;
        }
    }
    return last;
}

enum verdict early_check(struct log *log, const struct model *model, uint32_t point, bool killed, const bool *alive,
                         struct finding *finding)
{
    struct looking l = { log, model, point, killed, alive, finding };
    enum verdict verdict = VERDICT_GOOD;
    look(&l);
    uint64_t last = last_position(&l);
    for (uint32_t id = 1; id < model->id_room && verdict == VERDICT_GOOD; id++) {
        const struct unit *unit = model->by_id[id];
        if (unit == NULL || !unit->early)
            continue;
        verdict = check_unit(&l, unit);
        if (verdict == VERDICT_GOOD && !unit->there && alive[unit->topics[0]] && was_answered(unit) &&
            unit->told_ns > 0 && unit->ops[0].position_.n < last)
            verdict = finding_set(finding, VERDICT_LOST, "early unit %u is gone, and what came after it is there",
                                  (unsigned)id);
    }
    return verdict;
}
