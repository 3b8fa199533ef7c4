#include "truth.h"
#include "base/must.h"
#include <stdlib.h>

#define READ_SIZE 16384u

struct truth {
    const struct model *model;
    struct unit **units; /* those that are durable, in the order of the journal */
    uint32_t count;
};

static int by_position(const void *a, const void *b)
{
    const struct unit *x = *(struct unit *const *)a, *y = *(struct unit *const *)b;
    uint64_t p = x->ops[0].position_.n, q = y->ops[0].position_.n;
    return p < q ? -1 : p > q;
}

struct truth *truth_new(const struct model *model)
{
    struct truth *truth = calloc(1, sizeof(*truth));
    must(truth != NULL);
    truth->model = model;
    truth->units = calloc(model->id_room + 1, sizeof(truth->units[0]));
    must(truth->units != NULL);
    for (uint32_t id = 1; id < model->id_room; id++) {
        struct unit *unit = model->by_id[id];
        if (unit == NULL || !unit->ended || unit->status != NEAP_OK)
            continue;
        truth->units[truth->count++] = unit;
    }
    qsort(truth->units, truth->count, sizeof(truth->units[0]), by_position);
    return truth;
}

void truth_free(struct truth **truth)
{
    if (*truth == NULL)
        return;
    free((*truth)->units);
    free(*truth);
    *truth = NULL;
}

/* ---- one comparison ---- */

struct comparing {
    const struct truth *truth;
    struct log *log;
    uint32_t count; /* of the units that count */
    struct truth_found *found;
    struct finding *finding;
    bool alive[TOPIC_ROOM];
};

static enum verdict compare_topics(struct comparing *c)
{
    const struct model *model = c->truth->model;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct unit *unit = c->truth->units[i];
        for (uint32_t o = 0; o < unit->log.count; o++) {
            if (unit->ops[o].kind == LOG_TOPIC_CREATE || unit->ops[o].kind == LOG_TOPIC_DELETE)
                c->alive[unit->topics[o]] = unit->ops[o].kind == LOG_TOPIC_CREATE;
        }
    }
    uint32_t alive = 0, found = 0;
    struct log_topic topic;
    for (uint32_t t = 0; t < model->topic_count; t++) {
        if (!c->alive[t])
            continue;
        alive++;
        if (log_topic_find(c->log, model->topics[t].name, &topic) != NEAP_OK || topic.id != model->topics[t].id ||
            topic.partition_count != model->topics[t].partition_count)
            return finding_set(c->finding, VERDICT_LOST, "topic %s is gone, or another one", model->topics[t].name);
    }
    while (log_topic_at(c->log, found, &topic))
        found++;
    return found == alive ? VERDICT_GOOD : finding_set(c->finding, VERDICT_INVENTED, "%u topics, not %u", found, alive);
}

/* ---- facts and commit points: those of the last unit that wrote them ---- */

static enum verdict compare_client(struct comparing *c, uint32_t client)
{
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    struct bytes facts[KEY_COUNT + 1] = { { NULL, 0 } };
    const struct log_op *offset = NULL;
    struct log_partition home = { c->truth->model->topics[0].id, client };
    for (uint32_t i = 0; i < c->count; i++) {
        const struct unit *unit = c->truth->units[i];
        for (uint32_t o = 0; o < unit->log.count && unit->client == client; o++) {
            if (unit->ops[o].kind == LOG_FACT)
                facts[unit->keys[o]] = unit->ops[o].payload;
            if (unit->ops[o].kind == LOG_OFFSET)
                offset = &unit->ops[o];
        }
    }
    for (uint32_t key = 0; key <= KEY_COUNT; key++) {
        struct bytes value = { NULL, 0 };
        log_fact_get(c->log, LOG_VIEW_LEDGER, home, key_name(key), room, &value);
        if (!bytes_equal(value, facts[key]))
            return finding_set(c->finding, VERDICT_WRONG, "fact %u of client %u is another one", key, client);
    }
    struct log_commit commit;
    enum neap_status status = log_offset_get(c->log, (const char *)client_group(client).at, home, room, &commit);
    if ((status == NEAP_OK) != (offset != NULL) ||
        (offset != NULL && (commit.offset.n != offset->offset.n || !bytes_equal(commit.done_set, offset->payload))))
        return finding_set(c->finding, VERDICT_WRONG, "the commit point of client %u is another one", client);
    return VERDICT_GOOD;
}

/* ---- records ---- */

/* The next append to this partition at or after unit *at, operation *op. */
static const struct log_op *next_append(const struct comparing *c, uint32_t topic, uint32_t partition, uint32_t *at,
                                        uint32_t *op)
{
    for (; *at < c->count; ++*at, *op = 0) {
        const struct unit *unit = c->truth->units[*at];
        for (; *op < unit->log.count; ++*op) {
            const struct log_op *o = &unit->ops[*op];
            if (o->kind == LOG_APPEND && unit->topics[*op] == topic && o->target.partition == partition) {
                ++*op;
                return o;
            }
        }
    }
    return NULL;
}

static bool is_batch(const struct log_batch *batch, const struct log_op *op)
{
    return batch->base.n == op->offset.n && batch->count == op->count && batch->bytes.size == op->payload.size &&
           get_be64(batch->bytes.at) == op->offset.n &&
           memcmp(batch->bytes.at + 8, op->payload.at + 8, op->payload.size - 8) == 0;
}

static enum verdict read_all(struct comparing *c, uint32_t topic, struct log_partition where, struct log_reader *reader)
{
    const char *name = c->truth->model->topics[topic].name;
    uint32_t at = 0, op = 0;
    for (;;) {
        struct error err = { .text = "" };
        struct log_batch batch;
        const struct log_op *right = next_append(c, topic, where.partition, &at, &op);
        enum neap_status status = log_reader_next(reader, &batch, &err);
        if (status == NEAP_CORRUPT) {
            if (c->found->stopped_count++ == 0) {
                c->found->stopped = where;
                memcpy(c->found->text, err.text, sizeof(c->found->text) - 1);
            }
            return VERDICT_GOOD;
        }
        if (status == NEAP_AGAIN && right == NULL)
            return VERDICT_GOOD;
        if (status != NEAP_OK)
            return finding_set(c->finding, VERDICT_LOST, "%s/%u: %s where offset %llu belongs: %s", name,
                               where.partition, status_text(status),
                               (unsigned long long)(right != NULL ? right->offset.n : 0), err.text);
        if (right == NULL || !is_batch(&batch, right))
            return finding_set(c->finding, VERDICT_INVENTED, "%s/%u@%llu: another batch than was written", name,
                               where.partition, (unsigned long long)batch.base.n);
    }
}

static enum verdict compare_records(struct comparing *c)
{
    const struct model *model = c->truth->model;
    enum verdict verdict = VERDICT_GOOD;
    for (uint32_t t = 0; t < model->topic_count && verdict == VERDICT_GOOD; t++) {
        for (uint32_t p = 0; c->alive[t] && p < model->topics[t].partition_count && verdict == VERDICT_GOOD; p++) {
            struct log_partition where = { model->topics[t].id, p };
            struct log_reader *reader = NULL;
            struct error err = { .text = "" };
            if (log_reader_open(c->log, where, (log_offset){ 0 }, READ_SIZE, &reader, &err) != NEAP_OK)
                return finding_set(c->finding, VERDICT_LOST, "%s/%u: %s", model->topics[t].name, p, err.text);
            verdict = read_all(c, t, where, reader);
            log_reader_close(&reader);
        }
    }
    return verdict;
}

enum verdict truth_compare(const struct truth *truth, struct log *log, uint64_t position, struct truth_found *ret_found,
                           struct finding *ret_finding)
{
    struct comparing c = { .truth = truth, .log = log, .found = ret_found, .finding = ret_finding };
    *ret_found = (struct truth_found){ 0 };
    *ret_finding = (struct finding){ .verdict = VERDICT_GOOD };
    while (c.count < truth->count && truth->units[c.count]->ops[0].position_.n < position)
        c.count++;
    enum verdict verdict = compare_topics(&c);
    for (uint32_t client = 1; client < CLIENT_COUNT && verdict == VERDICT_GOOD && c.alive[0]; client++)
        verdict = compare_client(&c, client);
    return verdict == VERDICT_GOOD ? compare_records(&c) : verdict;
}

/* ---- after a repair ---- */

static bool is_lost(struct log *log, struct log_partition where, const struct log_op *op)
{
    log_offset first, end;
    return log_lost_next(log, where, op->offset, &first, &end) && first.n <= op->offset.n &&
           end.n >= op->offset.n + op->count;
}

static enum verdict read_repaired(struct comparing *c, uint32_t topic, struct log_partition where,
                                  struct log_reader *reader, uint64_t *lost_count)
{
    const char *name = c->truth->model->topics[topic].name;
    uint32_t at = 0, op = 0;
    struct error err = { .text = "" };
    log_offset end = { 0 };
    (void)log_partition_end(c->log, where, &end);
    for (;;) {
        struct log_batch batch;
        const struct log_op *right = NULL;
        enum neap_status status = log_reader_next(reader, &batch, &err);
        if (status != NEAP_OK && status != NEAP_AGAIN)
            return finding_set(c->finding, status == NEAP_CORRUPT ? VERDICT_CLOSED : VERDICT_LOST,
                               "%s/%u after the repair: %s", name, where.partition, err.text);
        while ((right = next_append(c, topic, where.partition, &at, &op)) != NULL &&
               (status == NEAP_AGAIN || right->offset.n < batch.base.n)) {
            if (right->offset.n < end.n && !is_lost(c->log, where, right))
                return finding_set(c->finding, VERDICT_LOST, "%s/%u@%llu after the repair: gone, and not declared lost",
                                   name, where.partition, (unsigned long long)right->offset.n);
            *lost_count += right->count;
        }
        if (status == NEAP_AGAIN)
            return VERDICT_GOOD;
        if (right == NULL || !is_batch(&batch, right))
            return finding_set(c->finding, VERDICT_INVENTED,
                               "%s/%u@%llu after the repair: another batch than was written", name, where.partition,
                               (unsigned long long)batch.base.n);
    }
}

enum verdict truth_compare_repaired(const struct truth *truth, struct log *log, uint64_t *ret_lost_count,
                                    struct finding *ret_finding)
{
    struct truth_found found = { 0 };
    struct comparing c = { .truth = truth, .log = log, .count = truth->count, .found = &found, .finding = ret_finding };
    enum verdict verdict = VERDICT_GOOD;
    *ret_finding = (struct finding){ .verdict = VERDICT_GOOD };
    for (uint32_t t = 0; t < truth->model->topic_count && verdict == VERDICT_GOOD; t++) {
        const struct model_topic *topic = &truth->model->topics[t];
        struct log_topic there;
        if (log_topic_find(log, topic->name, &there) != NEAP_OK || there.id != topic->id)
            continue;
        for (uint32_t p = 0; p < there.partition_count && verdict == VERDICT_GOOD; p++) {
            struct log_partition where = { there.id, p };
            struct log_reader *reader = NULL;
            struct error err = { .text = "" };
            if (log_reader_open(log, where, (log_offset){ 0 }, READ_SIZE, &reader, &err) != NEAP_OK)
                return finding_set(ret_finding, VERDICT_LOST, "%s/%u: %s", topic->name, p, err.text);
            verdict = read_repaired(&c, t, where, reader, ret_lost_count);
            log_reader_close(&reader);
        }
    }
    return verdict;
}
