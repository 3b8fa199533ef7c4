#include "check.h"
#include "base/must.h"
#include "early.h"
#include "losses.h"
#include "starts.h"
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
    struct topic_truth *topics;
    bool alive[TOPIC_ROOM];
    struct found_topic {
        uint32_t partition_count;
        uint8_t settings[LOG_SETTINGS_SIZE];
    } found[TOPIC_ROOM];
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

struct topic_state {
    bool alive;
    uint32_t partition_count;
    struct bytes settings;
};

static void change(struct topic_state *states, const struct unit *unit)
{
    struct topic_state *state = &states[unit->topics[0]];
    const struct log_op *op = &unit->ops[0];
    if (!unit_may_be_there(unit))
        return;
    if (op->kind == LOG_TOPIC_CREATE)
        *state = (struct topic_state){ .alive = true };
    if (op->kind == LOG_TOPIC_DELETE)
        state->alive = false;
    if (op->count > 0)
        state->partition_count = op->count;
    if (op->payload.size > 0)
        state->settings = op->payload;
}

static uint32_t count_log_topics(struct checking *c, bool *ret_known)
{
    struct log_topic found;
    uint32_t count = 0;
    *ret_known = true;
    for (; log_topic_at(c->log, count, &found); count++) {
        uint32_t i = 0;
        while (i < c->model->topic_count && strcmp(c->model->topics[i].name, found.name) != 0)
            i++;
        *ret_known &= i < c->model->topic_count;
        if (i == c->model->topic_count)
            continue;
        c->alive[i] = true;
        c->found[i].partition_count = found.partition_count;
        log_settings_encode(&found.settings, c->found[i].settings);
    }
    return count;
}

static bool is_found(const struct checking *c, uint32_t topic, const struct topic_state *state)
{
    const struct found_topic *found = &c->found[topic];
    uint8_t defaults[LOG_SETTINGS_SIZE];
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    struct bytes right = state->settings.size > 0 ? state->settings : log_settings_encode(&settings, defaults);
    if (!state->alive || !c->alive[topic])
        return state->alive == c->alive[topic];
    return found->partition_count == state->partition_count &&
           memcmp(found->settings, right.at, LOG_SETTINGS_SIZE) == 0;
}

static bool all_found(const struct checking *c, const struct topic_state *states)
{
    for (uint32_t i = 0; i < c->model->topic_count; i++)
        if (!is_found(c, i, &states[i]))
            return false;
    return true;
}

/* The first moment from `from` on, up to `to`, at which the topics were those of the log; NEVER: none. */
static uint32_t topics_between(const struct checking *c, uint32_t from, uint32_t to)
{
    struct topic_state states[TOPIC_ROOM];
    memset(states, 0, c->model->topic_count * sizeof(states[0]));
    for (uint32_t reached = 0; reached <= to; reached++) {
        if (reached > 0)
            change(states, c->model->clients[0].units[reached - 1]);
        if (reached >= from && all_found(c, states))
            return reached;
    }
    return NEVER;
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
    uint32_t reached = topics_between(c, must_reach, may_reach);
    c->finding->reached[0] = reached;
    if (reached != NEVER)
        return VERDICT_GOOD;
    c->finding->reached[0] = 0;
    reached = must_reach > 0 ? topics_between(c, 0, must_reach - 1) : NEVER;
    if (reached != NEVER)
        return finding_set(c->finding, VERDICT_LOST, "topics are those after %u changes of %u promised", reached,
                           must_reach);
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
        if (!unit->early && promised(c, unit) && unit_may_be_there(unit) && unit->id > last)
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
    if (unit->early)
        return unit->there;
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

static enum verdict check_stand(struct checking *c, uint32_t client, uint32_t topic, uint32_t partition)
{
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    const struct stand *right = &c->topics[topic].partitions[partition].stands[client];
    struct log_partition where = { c->model->topics[topic].id, partition };
    struct log_commit commit;
    enum neap_status status = log_offset_get(c->log, (const char *)client_group(client).at, where, room, &commit);
    bool inherits = right->may_inherit && !right->forgotten;
    if (right->commit == NULL && status == NEAP_NOTFOUND && right->must_inherit && !right->forgotten)
        return finding_set(c->finding, VERDICT_LOST, "client %u does not hold the new partition %s/%u", client,
                           c->model->topics[topic].name, partition);
    if (right->commit == NULL && inherits && status == NEAP_OK)
        return commit.offset.n == 0 && commit.hold && bytes_equal(commit.done_set, log_held_set())
                   ? VERDICT_GOOD
                   : finding_set(c->finding, VERDICT_WRONG, "client %u holds the new partition %s/%u from %llu on",
                                 client, c->model->topics[topic].name, partition, (unsigned long long)commit.offset.n);
    if (right->commit == NULL)
        return status == NEAP_NOTFOUND
                   ? VERDICT_GOOD
                   : finding_set(c->finding, VERDICT_INVENTED, "client %u has a commit point on %s/%u", client,
                                 c->model->topics[topic].name, partition);
    if (status != NEAP_OK || commit.offset.n != right->commit->offset.n ||
        (commit.hold != right->hold && !(commit.hold && inherits)) ||
        !bytes_equal(commit.done_set, right->commit->payload))
        return finding_set(c->finding, VERDICT_WRONG, "commit point of client %u on %s/%u: %s, not %llu%s", client,
                           c->model->topics[topic].name, partition, status_text(status),
                           (unsigned long long)right->commit->offset.n, right->hold ? ", held" : "");
    return VERDICT_GOOD;
}

static enum verdict check_stands(struct checking *c, uint32_t client)
{
    enum verdict verdict = VERDICT_GOOD;
    for (uint32_t t = 0; t < c->model->topic_count; t++)
        for (uint32_t p = 0; c->alive[t] && p < c->found[t].partition_count && verdict == VERDICT_GOOD; p++)
            verdict = check_stand(c, client, t, p);
    return verdict;
}

static enum verdict check_views(struct checking *c, uint32_t client)
{
    struct bytes facts[KEY_COUNT + 1] = { { NULL, 0 } };
    for (uint32_t i = 0; i < c->finding->reached[client]; i++) {
        const struct unit *unit = c->model->clients[client].units[i];
        for (uint32_t o = 0; o < unit->log.count && unit_may_be_there(unit); o++) {
            if (unit->ops[o].kind == LOG_FACT)
                facts[unit->keys[o]] = unit->ops[o].payload;
        }
    }
    uint32_t right_count = 0;
    enum verdict verdict = check_stands(c, client);
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

/* What is kept is there from the start on, each batch where the one before it ends. The first may begin before the start. */
static enum verdict check_kept(struct checking *c, uint32_t topic, uint32_t partition, struct log_reader *reader,
                               log_offset end)
{
    struct partition_truth *p = &c->topics[topic].partitions[partition];
    enum verdict verdict = VERDICT_GOOD;
    uint64_t next = p->start, size = 0;
    while (verdict == VERDICT_GOOD) {
        struct log_batch batch;
        struct error err = { .text = "" };
        enum neap_status status = log_reader_next(reader, &batch, &err);
        if (status == NEAP_AGAIN)
            break;
        if (status != NEAP_OK)
            return finding_set(c->finding, VERDICT_LOST, "%s/%u: reading at %llu: %s", c->model->topics[topic].name,
                               partition, (unsigned long long)next, err.text);
        uint64_t after = losses_pass(p, next);
        bool first = (size == 0 || after != next) && batch.base.n <= after && batch.base.n + batch.count > after;
        verdict = check_batch(c, topic, partition, first ? batch.base.n : after, &batch);
        next = (first ? batch.base.n : after) + batch.count;
        size += batch.bytes.size;
    }
    next = losses_pass(p, next);
    if (verdict == VERDICT_GOOD && next != end.n)
        return finding_set(c->finding, VERDICT_ORDER, "%s/%u: read up to %llu of %llu", c->model->topics[topic].name,
                           partition, (unsigned long long)next, (unsigned long long)end.n);
    struct log_partition where = { c->model->topics[topic].id, partition };
    const char *wrong = losses_wrong(c->log, where, p, end.n);
    if (wrong == NULL)
        wrong = starts_size_wrong(&c->topics[topic], partition, size);
    if (verdict == VERDICT_GOOD && wrong != NULL)
        return finding_set(c->finding, VERDICT_LOST, "%s/%u: %s: %llu bytes", c->model->topics[topic].name, partition,
                           wrong, (unsigned long long)size);
    return verdict;
}

static enum verdict check_partition(struct checking *c, uint32_t topic, uint32_t partition)
{
    struct log_partition where = { c->model->topics[topic].id, partition };
    struct partition_truth *p = &c->topics[topic].partitions[partition];
    const char *name = c->model->topics[topic].name;
    struct log_reader *reader = NULL;
    struct error err = { .text = "" };
    log_offset start, end;
    if (log_partition_range(c->log, where, &start, &end) != NEAP_OK ||
        log_reader_open(c->log, where, (log_offset){ 0 }, READ_SIZE, &reader, &err) != NEAP_OK)
        return finding_set(c->finding, VERDICT_WRONG, "%s/%u: no such partition", name, partition);
    const char *wrong = starts_wrong(&c->topics[topic], partition, start.n);
    p->start = start.n;
    enum verdict verdict = VERDICT_GOOD;
    if (wrong != NULL || start.n > end.n)
        verdict = finding_set(c->finding, VERDICT_LOST, "%s/%u starts at %llu of %llu: %s; trimmed to %llu", name,
                              partition, (unsigned long long)start.n, (unsigned long long)end.n,
                              wrong != NULL ? wrong : "beyond its end", (unsigned long long)p->trim);
    else if (end.n != p->record_count)
        verdict = finding_set(c->finding, VERDICT_ORDER, "%s/%u ends at %llu after %llu records", name, partition,
                              (unsigned long long)end.n, (unsigned long long)p->record_count);
    else
        verdict = check_kept(c, topic, partition, reader, end);
    log_reader_close(&reader);
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
        const struct partition_truth *p = &c->topics[unit->topics[o]].partitions[unit->ops[o].target.partition];
        uint64_t first = unit->ops[o].offset.n, end = first + unit->ops[o].count;
        right +=
            c->alive[unit->topics[o]] && end > p->start && !losses_hide(p, first > p->start ? first : p->start, end);
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
        for (uint32_t p = 0; c->alive[t] && p < c->found[t].partition_count && verdict == VERDICT_GOOD; p++)
            verdict = check_partition(c, t, p);
    }
    for (uint32_t client = 1; client < CLIENT_COUNT; client++) {
        for (uint32_t i = 0; i < c->model->clients[client].count && verdict == VERDICT_GOOD; i++) {
            const struct unit *unit = c->model->clients[client].units[i];
            if (unit_may_be_there(unit) && unit_is_there(unit, i, c->finding->reached))
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

enum verdict check_log(struct log *log, const struct model *model, uint32_t point, bool killed,
                       struct finding *ret_finding)
{
    *ret_finding = (struct finding){ .verdict = VERDICT_GOOD };
    struct checking c = { .log = log, .model = model, .point = point, .finding = ret_finding };
    enum verdict verdict = check_topics(&c);
    if (verdict == VERDICT_GOOD)
        verdict = check_ids(&c);
    for (uint32_t client = 1; client < CLIENT_COUNT && verdict == VERDICT_GOOD; client++)
        verdict = check_reach(&c, client);
    if (verdict == VERDICT_GOOD)
        verdict = early_check(log, model, point, killed, c.alive, ret_finding);
    c.seen = calloc(model->id_next + 1, 1);
    must(c.seen != NULL);
    c.topics = starts_new(model, point, ret_finding->reached);
    for (uint32_t client = 1; client < CLIENT_COUNT && verdict == VERDICT_GOOD && c.alive[0]; client++)
        verdict = check_views(&c, client);
    if (verdict == VERDICT_GOOD)
        verdict = check_records(&c);
    free(c.seen);
    starts_free(&c.topics);
    return verdict;
}
