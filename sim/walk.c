#include "walk.h"
#include "losses.h"
#include <string.h>

static void found(struct walk *walk, enum verdict verdict, const char *what, const struct unit *unit)
{
    if (walk->finding->verdict == VERDICT_GOOD)
        finding_set(walk->finding, verdict, "a reader of %s/%u at %llu: %s (unit %u)",
                    walk->model->topics[walk->topic].name, walk->partition, (unsigned long long)walk->next, what,
                    unit != NULL ? unit->id : 0);
}

/* What a reader has seen is promised from there on. */
static void see(struct walk *walk, const struct log_batch *batch)
{
    uint32_t point = sim_disk_point(walk->disk); /* not earlier: others worked while it was read */
    uint32_t index;
    struct unit *unit = model_writer(walk->model, batch->bytes, &index);
    if (unit == NULL || unit->topics[index] != walk->topic || unit->ops[index].target.partition != walk->partition) {
        found(walk, VERDICT_INVENTED, "a batch that nobody wrote", unit);
        return;
    }
    if (unit->ended && unit->status == NEAP_OK && unit->ops[index].offset.n != batch->base.n)
        found(walk, VERDICT_ORDER, "at another offset than it was told", unit);
    if (unit->ended && !unit_may_be_there(unit))
        found(walk, VERDICT_INVENTED, "refused, and shown", unit);
    unit->promised = unit->promised < point ? unit->promised : point;
}

/* Only what was trimmed, or declared lost, is passed over. */
static void check_step(struct walk *walk, struct log_partition where, const struct log_batch *batch)
{
    log_offset start, end;
    if (batch->base.n + batch->count <= walk->next)
        found(walk, VERDICT_ORDER, "seen once more", NULL);
    if (batch->base.n > walk->next && log_partition_range(walk->log, where, &start, &end) == NEAP_OK &&
        start.n < batch->base.n &&
        !losses_may_hide(walk->model, walk->topic, walk->partition, start.n > walk->next ? start.n : walk->next,
                         batch->base.n))
        found(walk, VERDICT_LOST, "something was passed over", NULL);
    walk->next = batch->base.n + batch->count;
}

static bool stand(struct walk *walk, uint32_t topic)
{
    struct error err;
    log_offset start, end;
    uint32_t partition = sim_below(&walk->chance, walk->model->topics[topic].partition_count);
    struct log_partition where = { walk->model->topics[topic].id, partition };
    if (log_partition_range(walk->log, where, &start, &end) != NEAP_OK || end.n == 0)
        return false;
    log_offset from = { sim_one_in(&walk->chance, 2) ? 0 : sim_below(&walk->chance, (uint32_t)end.n) };
    if (log_reader_open(walk->log, where, from, 4096, &walk->reader, &err) != NEAP_OK)
        return false;
    walk->topic = topic;
    walk->partition = partition;
    walk->next = from.n;
    return true;
}

/* A read that failed is told as damage of that place; it is there again when the disk is. */
static bool is_failed_read(const struct walk *walk, const struct error *err)
{
    return sim_fault_hits(walk->io) > 0 && (strstr(err->text, "its bytes cannot be read") != NULL ||
                                            strstr(err->text, "an index cannot be read") != NULL);
}

void walk_step(struct walk *walk, uint32_t topic)
{
    struct log_batch batch;
    struct error err;
    if (walk->reader == NULL && (topic == 0 || !stand(walk, topic)))
        return;
    struct log_partition where = { walk->model->topics[walk->topic].id, walk->partition };
    enum neap_status status = NEAP_OK;
    for (uint32_t i = sim_below(&walk->chance, 4); i < 4 && status == NEAP_OK; i++) {
        status = log_reader_next(walk->reader, &batch, &err);
        if (status != NEAP_OK)
            break;
        see(walk, &batch);
        check_step(walk, where, &batch);
    }
    if (status == NEAP_CORRUPT && !is_failed_read(walk, &err))
        found(walk, VERDICT_LOST, err.text, NULL);
    if (sim_one_in(&walk->chance, status == NEAP_OK ? 12 : 2))
        walk_end(walk);
}

void walk_end(struct walk *walk)
{
    log_reader_close(&walk->reader);
}
