#include "check.h"
#include "base/must.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define READ_SIZE 16384u

const char *verdict_name(enum verdict verdict)
{
    static const char *const names[VERDICT_COUNT] = { "good", "lost", "invented", "half", "order", "wrong", "closed" };
    return names[verdict];
}

enum verdict finding_set(struct finding *finding, enum verdict verdict, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(finding->text, sizeof(finding->text), format, args);
    va_end(args);
    return finding->verdict = verdict;
}

struct checking {
    struct log *log;
    const struct model *model;
    uint32_t point;
    struct finding *finding;
    uint8_t *seen; /* per unit: appends found */
    bool alive[TOPIC_ROOM];
};

static bool promised(const struct checking *c, const struct unit *unit)
{
    return unit->promised <= c->point;
}

static bool possible(const struct checking *c, const struct unit *unit)
{
    return unit->possible <= c->point && unit_may_be_there(unit);
}

/* ---- topics: they say how far client 0 came ---- */

static uint32_t count_log_topics(struct checking *c, bool *ret_known)
{
    struct log_topic found;
    uint32_t count = 0;
    *ret_known = true;
    for (; log_topic_at(c->log, count, &found); count++) {
        uint32_t i = 0;
        while (i < c->model->topic_count && strcmp(c->model->topics[i].name, found.name) != 0)
            i++;
        if (i == c->model->topic_count || c->model->topics[i].partition_count != found.partition_count)
            *ret_known = false;
        else
            c->alive[i] = true;
    }
    return count;
}

static bool done_by(const struct model *model, uint32_t id)
{
    const struct unit *unit = id < model->id_room ? model->by_id[id] : NULL;
    return unit != NULL && unit_may_be_there(unit);
}

/* Whether the topics alive are those after the first `reached` units of client 0. */
static bool topics_after(const struct checking *c, uint32_t reached)
{
    uint32_t last = reached == 0 ? 0 : c->model->clients[0].units[reached - 1]->id;
    for (uint32_t i = 0; i < c->model->topic_count; i++) {
        const struct model_topic *topic = &c->model->topics[i];
        bool made = topic->created <= last && done_by(c->model, topic->created);
        bool gone = topic->deleted != 0 && topic->deleted <= last && done_by(c->model, topic->deleted);
        if (c->alive[i] != (made && !gone))
            return false;
    }
    return true;
}

static enum verdict check_topics(struct checking *c)
{
    bool known;
    uint32_t alive = count_log_topics(c, &known);
    if (!known)
        return finding_set(c->finding, VERDICT_INVENTED, "a topic that nobody made");
    uint32_t must_reach = 0, may_reach = 0;
    for (uint32_t i = 0; i < c->model->clients[0].count; i++) {
        const struct unit *unit = c->model->clients[0].units[i];
        if (promised(c, unit))
            must_reach = i + 1;
        if (unit->possible <= c->point)
            may_reach = i + 1;
    }
    for (uint32_t reached = must_reach; reached <= may_reach; reached++) {
        if (topics_after(c, reached)) {
            c->finding->reached[0] = reached;
            return VERDICT_GOOD;
        }
    }
    for (uint32_t reached = 0; reached < must_reach; reached++) {
        if (topics_after(c, reached))
            return finding_set(c->finding, VERDICT_LOST, "topics are those after %u changes of %u promised", reached,
                               must_reach);
    }
    return finding_set(c->finding, VERDICT_WRONG, "the %u topics are those of no moment between changes %u and %u",
                       alive, must_reach, may_reach);
}

/* ---- how far each client came ---- */

static enum verdict check_reach(struct checking *c, uint32_t client)
{
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    must(room != NULL);
    struct bytes value = { NULL, 0 };
    struct log_partition home = { c->model->topics[0].id, client };
    uint32_t last = 0;
    if (c->alive[0] && log_fact_get(c->log, LOG_VIEW_LEDGER, home, key_name(KEY_COUNT), room, &value) == NEAP_OK)
        last = value.size < 4 ? UINT32_MAX : get_le32(value.at);
    free(room);
    uint32_t count = c->model->clients[client].count, reached = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct unit *unit = c->model->clients[client].units[i];
        if (unit->id == last)
            reached = i + 1;
        if (promised(c, unit) && unit_may_be_there(unit) && unit->id > last)
            return finding_set(c->finding, VERDICT_LOST, "unit %u of client %u was promised; the last there is %u",
                               unit->id, client, last);
    }
    if (last != 0 && reached == 0)
        return finding_set(c->finding, VERDICT_INVENTED, "client %u never had a unit %u", client, last);
    if (reached > 0 && !possible(c, c->model->clients[client].units[reached - 1]))
        return finding_set(c->finding, VERDICT_INVENTED, "unit %u of client %u was %s", last, client,
                           unit_may_be_there(c->model->clients[client].units[reached - 1]) ? "not yet submitted"
                                                                                           : "refused");
    c->finding->reached[client] = reached;
    return VERDICT_GOOD;
}

static bool is_there(const struct checking *c, const struct unit *unit)
{
    uint32_t reached = c->finding->reached[unit->client];
    return unit_may_be_there(unit) && reached > 0 && unit->id <= c->model->clients[unit->client].units[reached - 1]->id;
}

/* ---- facts and offsets: those of the last unit that wrote them ---- */

struct counted {
    uint32_t count;
};

static bool count_fact(void *ctx, struct bytes key, struct bytes value)
{
    struct counted *counted = ctx;
    counted->count++;
    (void)key, (void)value;
    return true;
}

static enum verdict check_fact(struct checking *c, uint32_t client, uint32_t key, struct bytes right)
{
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    struct log_partition home = { c->model->topics[0].id, client };
    struct bytes value = { NULL, 0 };
    log_fact_get(c->log, LOG_VIEW_LEDGER, home, key_name(key), room, &value);
    if (!bytes_equal(value, right))
        return finding_set(c->finding, VERDICT_WRONG, "fact %u of client %u: %zu bytes of unit %u, not %zu of unit %u",
                           key, client, value.size, value.size < 4 ? 0 : get_le32(value.at), right.size,
                           right.size < 4 ? 0 : get_le32(right.at));
    return VERDICT_GOOD;
}

static enum verdict check_offset(struct checking *c, uint32_t client, const struct log_op *right)
{
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    struct log_partition home = { c->model->topics[0].id, client };
    struct log_commit commit;
    enum neap_status status = log_offset_get(c->log, (const char *)client_group(client).at, home, room, &commit);
    if (right == NULL)
        return status == NEAP_NOTFOUND
                   ? VERDICT_GOOD
                   : finding_set(c->finding, VERDICT_INVENTED, "client %u has a commit point", client);
    if (status != NEAP_OK || commit.offset.n != right->offset.n || !bytes_equal(commit.done_set, right->payload))
        return finding_set(c->finding, VERDICT_WRONG, "commit point of client %u: %s, not %llu", client,
                           status_text(status), (unsigned long long)right->offset.n);
    return VERDICT_GOOD;
}

static enum verdict check_views(struct checking *c, uint32_t client)
{
    struct bytes facts[KEY_COUNT + 1] = { { NULL, 0 } };
    const struct log_op *offset = NULL;
    for (uint32_t i = 0; i < c->finding->reached[client]; i++) {
        const struct unit *unit = c->model->clients[client].units[i];
        for (uint32_t o = 0; o < unit->log.count && unit_may_be_there(unit); o++) {
            if (unit->ops[o].kind == LOG_FACT)
                facts[unit->keys[o]] = unit->ops[o].payload;
            if (unit->ops[o].kind == LOG_OFFSET)
                offset = &unit->ops[o];
        }
    }
    uint32_t right_count = 0;
    enum verdict verdict = check_offset(c, client, offset);
    for (uint32_t key = 0; key <= KEY_COUNT && verdict == VERDICT_GOOD; key++) {
        verdict = check_fact(c, client, key, facts[key]);
        right_count += facts[key].size > 0;
    }
    struct counted counted = { 0 };
    struct log_partition home = { c->model->topics[0].id, client };
    if (verdict == VERDICT_GOOD)
        log_fact_each(c->log, LOG_VIEW_LEDGER, home, (struct bytes){ NULL, 0 }, count_fact, &counted);
    if (verdict == VERDICT_GOOD && counted.count != right_count)
        return finding_set(c->finding, VERDICT_INVENTED, "client %u has %u facts, not %u", client, counted.count,
                           right_count);
    return verdict;
}

/* ---- records ---- */

static enum verdict check_batch(struct checking *c, uint32_t topic, uint32_t partition, uint64_t next,
                                const struct log_batch *batch)
{
    const char *name = c->model->topics[topic].name;
    unsigned long long at = batch->base.n;
    uint32_t index = 0;
    struct unit *unit = model_writer(c->model, batch->bytes, &index);
    if (unit == NULL)
        return finding_set(c->finding, VERDICT_INVENTED, "%s/%u@%llu: a batch that nobody wrote", name, partition, at);
    const struct log_op *op = &unit->ops[index];
    if (batch->base.n != next || get_be64(batch->bytes.at) != next || batch->count != op->count)
        return finding_set(c->finding, VERDICT_ORDER, "%s/%u@%llu: expected offset %llu", name, partition, at,
                           (unsigned long long)next);
    if (unit->topics[index] != topic || op->target.partition != partition)
        return finding_set(c->finding, VERDICT_WRONG, "%s/%u@%llu: unit %u wrote it elsewhere", name, partition, at,
                           unit->id);
    if (!is_there(c, unit))
        return finding_set(c->finding, unit_may_be_there(unit) ? VERDICT_HALF : VERDICT_INVENTED,
                           "%s/%u@%llu: of unit %u, which is not there", name, partition, at, unit->id);
    if (unit->ended && unit->status == NEAP_OK && op->offset.n != next)
        return finding_set(c->finding, VERDICT_ORDER, "%s/%u@%llu: unit %u was told offset %llu", name, partition, at,
                           unit->id, (unsigned long long)op->offset.n);
    if (c->seen[unit->id]++ >= unit->append_count)
        return finding_set(c->finding, VERDICT_INVENTED, "%s/%u@%llu: unit %u is there twice", name, partition, at,
                           unit->id);
    return VERDICT_GOOD;
}

static enum verdict check_partition(struct checking *c, uint32_t topic, uint32_t partition)
{
    struct log_partition where = { c->model->topics[topic].id, partition };
    struct log_reader *reader = NULL;
    struct error err = { .text = "" };
    log_offset end;
    if (log_partition_end(c->log, where, &end) != NEAP_OK ||
        log_reader_open(c->log, where, (log_offset){ 0 }, READ_SIZE, &reader, &err) != NEAP_OK)
        return finding_set(c->finding, VERDICT_WRONG, "%s/%u: no such partition", c->model->topics[topic].name,
                           partition);
    enum verdict verdict = VERDICT_GOOD;
    uint64_t next = 0;
    while (verdict == VERDICT_GOOD) {
        struct log_batch batch;
        enum neap_status status = log_reader_next(reader, &batch, &err);
        if (status == NEAP_AGAIN)
            break;
        if (status != NEAP_OK)
            verdict = finding_set(c->finding, VERDICT_LOST, "%s/%u: reading at %llu: %s", c->model->topics[topic].name,
                                  partition, (unsigned long long)next, err.text);
        else
            verdict = check_batch(c, topic, partition, next, &batch);
        next += status == NEAP_OK ? batch.count : 0;
    }
    log_reader_close(&reader);
    if (verdict == VERDICT_GOOD && next != end.n)
        return finding_set(c->finding, VERDICT_ORDER, "%s/%u: read %llu records of %llu", c->model->topics[topic].name,
                           partition, (unsigned long long)next, (unsigned long long)end.n);
    return verdict;
}

/* Each unit that is there is there whole, as far as its topics still are. */
static enum verdict check_whole(struct checking *c, const struct unit *unit)
{
    uint32_t right = 0;
    for (uint32_t o = 0; o < unit->log.count; o++) {
        if (unit->ops[o].kind != LOG_APPEND)
            continue;
        const struct model_topic *topic = &c->model->topics[unit->topics[o]];
        right += c->alive[unit->topics[o]];
        uint32_t reached = c->finding->reached[0];
        if (reached == 0 || c->model->clients[0].units[reached - 1]->id < topic->created)
            return finding_set(c->finding, VERDICT_LOST, "unit %u is there, its topic %s is not", unit->id,
                               topic->name);
    }
    if (c->seen[unit->id] != right)
        return finding_set(c->finding, promised(c, unit) ? VERDICT_LOST : VERDICT_HALF,
                           "unit %u: %u of %u batches are there", unit->id, c->seen[unit->id], right);
    return VERDICT_GOOD;
}

static enum verdict check_records(struct checking *c)
{
    enum verdict verdict = VERDICT_GOOD;
    for (uint32_t t = 0; t < c->model->topic_count && verdict == VERDICT_GOOD; t++) {
        for (uint32_t p = 0; c->alive[t] && p < c->model->topics[t].partition_count && verdict == VERDICT_GOOD; p++)
            verdict = check_partition(c, t, p);
    }
    for (uint32_t client = 1; client < CLIENT_COUNT; client++) {
        for (uint32_t i = 0; i < c->finding->reached[client] && verdict == VERDICT_GOOD; i++) {
            const struct unit *unit = c->model->clients[client].units[i];
            if (unit_may_be_there(unit))
                verdict = check_whole(c, unit);
        }
    }
    return verdict;
}

/* A crash can take the answer that told a topic's id: then the log says it. One that was told stays. */
static enum verdict check_ids(struct checking *c)
{
    struct log_topic found;
    struct model *model = (struct model *)c->model;
    for (uint32_t i = 0; i < model->topic_count; i++) {
        struct model_topic *topic = &model->topics[i];
        if (!c->alive[i] || log_topic_find(c->log, topic->name, &found) != NEAP_OK)
            continue;
        if (topic->id != 0 && topic->id != found.id)
            return finding_set(c->finding, VERDICT_WRONG, "topic %s has id %u, not %u", topic->name, found.id,
                               topic->id);
        topic->id = found.id;
    }
    return VERDICT_GOOD;
}

enum verdict check_log(struct log *log, const struct model *model, uint32_t point, struct finding *ret_finding)
{
    *ret_finding = (struct finding){ .verdict = VERDICT_GOOD };
    struct checking c = { .log = log, .model = model, .point = point, .finding = ret_finding };
    enum verdict verdict = check_topics(&c);
    if (verdict == VERDICT_GOOD)
        verdict = check_ids(&c);
    for (uint32_t client = 1; client < CLIENT_COUNT && verdict == VERDICT_GOOD; client++)
        verdict = check_reach(&c, client);
    c.seen = calloc(model->id_next + 1, 1);
    must(c.seen != NULL);
    for (uint32_t client = 1; client < CLIENT_COUNT && verdict == VERDICT_GOOD && c.alive[0]; client++)
        verdict = check_views(&c, client);
    if (verdict == VERDICT_GOOD)
        verdict = check_records(&c);
    free(c.seen);
    return verdict;
}
