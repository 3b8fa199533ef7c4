#include "losses.h"

#define COUNT_MAX 9u /* some batches, or a part of one */

void losses_add(struct log *log, struct model *model, struct unit *unit, uint32_t topic, uint64_t *chance)
{
    log_offset start, end;
    uint32_t partition = sim_below(chance, model->topics[topic].partition_count);
    uint32_t count = 1 + sim_below(chance, COUNT_MAX);
    bool beyond = sim_one_in(chance, 24);
    struct log_partition where = { model->topics[topic].id, partition };
    if (log_partition_range(log, where, &start, &end) != NEAP_OK || start.n == end.n)
        return;
    struct log_op *op = unit_op(unit, LOG_LOST, topic);
    op->target = where;
    op->offset.n = start.n + sim_below(chance, (uint32_t)(end.n - start.n));
    op->count = end.n - op->offset.n < count ? (uint32_t)(end.n - op->offset.n) : count;
    if (beyond)
        op->offset.n = end.n + 100; /* refused, or there is as much by then */
}

uint64_t losses_pass(const struct partition_truth *p, uint64_t offset)
{
    for (uint64_t before = UINT64_MAX; before != offset;) {
        before = offset;
        for (uint32_t i = 0; i < p->lost_count; i++)
            if (p->lost[i].first <= offset && offset < p->lost[i].end)
                offset = p->lost[i].end;
    }
    return offset;
}

bool losses_hide(const struct partition_truth *p, uint64_t first, uint64_t end)
{
    return losses_pass(p, first) >= end;
}

const char *losses_wrong(struct log *log, struct log_partition where, const struct partition_truth *p, uint64_t end)
{
    log_offset first, after;
    for (uint64_t next = p->start; next < end;) {
        bool some = log_lost_next(log, where, (log_offset){ next }, &first, &after);
        uint64_t from = !some || first.n > end ? end : first.n;
        for (; next < from; next++)
            if (losses_pass(p, next) != next)
                return "what was declared lost is not any more";
        if (some && next < end && losses_pass(p, next) != after.n)
            return "lost by its own word, and nobody declared just that";
        next = some && next < end ? after.n : end;
    }
    return NULL;
}

static uint64_t pass_any(const struct model *model, uint32_t topic, uint32_t partition, uint64_t offset)
{
    for (uint32_t c = 1; c < CLIENT_COUNT; c++) {
        for (uint32_t i = 0; i < model->clients[c].count; i++) {
            const struct unit *unit = model->clients[c].units[i];
            for (uint32_t o = 0; unit_may_be_there(unit) && o < unit->log.count; o++) {
                const struct log_op *op = &unit->ops[o];
                if (op->kind == LOG_LOST && unit->topics[o] == topic && op->target.partition == partition &&
                    op->offset.n <= offset && offset < op->offset.n + op->count)
                    offset = op->offset.n + op->count;
            }
        }
    }
    return offset;
}

bool losses_may_hide(const struct model *model, uint32_t topic, uint32_t partition, uint64_t first, uint64_t end)
{
    for (uint64_t before = UINT64_MAX; before != first;) {
        before = first;
        first = pass_any(model, topic, partition, first);
    }
    return first >= end;
}
