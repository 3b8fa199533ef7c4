#include "log/local/rewrite.h"
#include "log/local/gather.h"
#include "log/local/views.h"
#include <stdlib.h>

/* Batches that compaction leaves: so many, if they are large enough to be put together. */
#define BATCH_GOAL     (64u << 10)
#define TURN_COUNT_MAX 4096u /* of a step: batches that are not copied take time, too */

struct rewrite {
    struct log *log;
    struct sources *sources;
    uint32_t count, kept; /* of them the first are rewritten; the others say what is newer */
    struct outputs *outputs;
    struct compaction *compaction; /* NULL: all is copied as it is */
    bool begun;                    /* there is a partition in work */
    struct log_partition at;
    uint64_t start;        /* of it */
    uint64_t from;         /* where walks over it begin */
    uint64_t hold;         /* where the first group that holds it stands */
    uint64_t first;        /* where the sources' batches of it begin, taken or not */
    struct lost_list lost; /* of it: what was declared lost */
    uint64_t put_to;       /* where the last batch that was put of it ends */
    bool noting;           /* the compaction walks over it first */
    struct {               /* what the sources have of it, but for what was declared lost */
        uint32_t batch_count;
        uint64_t size;
    } met;
    uint64_t copied; /* in this step */
    struct shrunk *shrunk;
    uint32_t shrunk_count, shrunk_room;
};

/* Larger where there is much, and memory for it: what is known of each batch lies in memory while files are looked at. */
static uint32_t gathered_size(const struct log *log, const struct rewrite_plan *plan)
{
    uint64_t share = plan->size / BATCH_GOAL, most = log_gathered_size(&log->options);
    if (plan->compaction == NULL)
        return 0;
    return share < GATHER_SIZE_MIN ? GATHER_SIZE_MIN : share > most ? (uint32_t)most : (uint32_t)share;
}

struct rewrite *rewrite_new(struct log *log, const struct rewrite_plan *plan)
{
    must(plan->source_count > 0 && plan->output_count > 0);
    struct compaction *compaction = plan->compaction;
    struct rewrite *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        compaction_free(&compaction);
        return NULL;
    }
    r->log = log;
    r->compaction = compaction;
    r->count = plan->source_count;
    r->kept = plan->kept_count;
    r->sources = sources_new(log, plan->sources, plan->source_count);
    r->outputs = outputs_new(log, plan->facts, plan->output_count, gathered_size(log, plan));
    if (r->sources == NULL || r->outputs == NULL)
        rewrite_free(&r);
    return r;
}

void rewrite_free(struct rewrite **rewrite)
{
    struct rewrite *r = *rewrite;
    if (r == NULL)
        return;
    sources_free(&r->sources);
    outputs_free(&r->outputs);
    compaction_free(&r->compaction);
    lost_list_fini(&r->lost);
    free(r->shrunk);
    free(r);
    *rewrite = NULL;
}

uint32_t rewrite_result(const struct rewrite *r, const struct rewritten **ret_list)
{
    return outputs_result(r->outputs, ret_list);
}

uint32_t rewrite_bad(const struct rewrite *r)
{
    return sources_bad(r->sources);
}

uint32_t rewrite_shrunk(const struct rewrite *r, const struct shrunk **ret_list)
{
    *ret_list = r->shrunk;
    return r->shrunk_count;
}

void rewrite_taken(struct rewrite *r)
{
    outputs_taken(r->outputs);
}

/* ---- one partition after the other ---------------------------------------------------------------------------------- */

/* Where the partition in work begins; beyond all that can be where its topic is gone. */
static uint64_t start_of(struct rewrite *r, uint64_t *ret_hold)
{
    struct shared *s = &r->log->shared;
    io_mutex_take(s->mutex);
    const struct partition *p = views_partition(&s->views, r->at);
    uint64_t start = p != NULL ? p->start : UINT64_MAX;
    *ret_hold = p == NULL ? 0 : r->compaction != NULL ? views_hold(&s->views, r->at) : UINT64_MAX;
    io_mutex_drop(s->mutex);
    return start;
}

static enum neap_status walk(struct rewrite *r, struct error *err)
{
    return sources_walk(r->sources, r->noting ? r->count : r->kept, r->from, err);
}

static enum neap_status begin_partition(struct rewrite *r, struct error *err)
{
    uint64_t end = 0;
    r->start = start_of(r, &r->hold);
    r->from = r->start;
    r->put_to = 0;
    r->met.batch_count = 0;
    r->met.size = 0;
    enum neap_status status = lost_list_collect(&r->lost, r->log, r->at, r->start);
    if (status != NEAP_OK)
        return error_set(err, status, "rewrite");
    status = sources_measure(r->sources, r->kept, &r->lost, &r->first, &end, err);
    if (status != NEAP_OK)
        return status;
    outputs_begin(r->outputs, r->first);
    r->noting = r->compaction != NULL && end > r->start && r->start != UINT64_MAX;
    if (r->noting)
        compaction_begin(r->compaction, r->first > r->start ? r->first : r->start, end, r->hold, r->lost.list,
                         r->lost.count);
    return walk(r, err);
}

static bool has_room_for_shrunk(struct rewrite *r)
{
    if (r->shrunk_count < r->shrunk_room)
        return true;
    uint32_t room = r->shrunk_room == 0 ? 16 : 2 * r->shrunk_room;
    struct shrunk *grown = realloc(r->shrunk, room * sizeof(*grown));
    if (grown == NULL)
        return false;
    r->shrunk = grown;
    r->shrunk_room = room;
    return true;
}

/* All of the partition in work is put: what was taken from it is remembered. */
static enum neap_status end_partition(struct rewrite *r, struct error *err)
{
    struct outputs_sum put;
    enum neap_status status = outputs_sum(r->outputs, &put, err);
    if (status != NEAP_OK)
        return status;
    must(put.batch_count <= r->met.batch_count);
    if (put.batch_count == r->met.batch_count && put.size == r->met.size)
        return NEAP_OK;
    if (!has_room_for_shrunk(r))
        return error_set(err, NEAP_NOMEM, "rewrite");
    r->shrunk[r->shrunk_count++] = (struct shrunk){ .partition = r->at.partition,
                                                    .batch_count = r->met.batch_count - put.batch_count,
                                                    .start = r->start,
                                                    .size = (int64_t)(r->met.size - put.size) };
    return NEAP_OK;
}

/* OK: there is another partition, and its batches come next. NOTFOUND: that was the last. */
static enum neap_status next_partition(struct rewrite *r, struct error *err)
{
    enum neap_status status = r->begun ? end_partition(r, err) : NEAP_OK;
    if (status == NEAP_OK)
        status = sources_next_partition(r->sources, &r->at, err);
    r->begun = true;
    return status == NEAP_OK ? begin_partition(r, err) : status;
}

static enum neap_status end_walk(struct rewrite *r, struct error *err)
{
    if (!r->noting)
        return next_partition(r, err);
    r->noting = compaction_again(r->compaction);
    return walk(r, err);
}

/* ---- one batch after the other ----------------------------------------------------------------------------------------- */

/* A batch that is wanted whole by somebody stays by itself: where a partition begins, where a group that holds it stands, and beside
 * what was declared lost, which readers pass over. */
static enum neap_status put(struct rewrite *r, const struct op *op, struct error *err)
{
    uint64_t end = op->offset + op->count;
    bool whole = op->offset < r->start || end > r->hold || lost_list_touches(&r->lost, op->offset, end);
    bool apart = lost_list_touches(&r->lost, r->put_to, op->offset);
    r->put_to = end;
    return outputs_put(r->outputs, sources_output(r->sources), op,
                       whole   ? OUTPUTS_ALONE
                       : apart ? OUTPUTS_APART
                               : OUTPUTS_TOGETHER,
                       err);
}

static enum neap_status note(struct rewrite *r, const struct op *op, struct error *err)
{
    enum neap_status status = compaction_note(r->compaction, op);
    if (status == NEAP_AGAIN) /* the rest of it need not be read in this walk */
        return end_walk(r, err);
    return status == NEAP_OK ? NEAP_OK : outputs_does_not_come_apart(status, r->at, op->offset, err);
}

/* What lies before the batch is copied; the records from it on are told apart next. */
static enum neap_status go_on(struct rewrite *r, const struct index_entry *e, struct error *err)
{
    r->met.batch_count--; /* it is met once more */
    r->met.size -= e->size;
    r->from = e->base;
    r->noting = true;
    compaction_go_on(r->compaction, e->base);
    return walk(r, err);
}

static enum neap_status copy(struct rewrite *r, const struct index_entry *e, struct op *op, struct error *err)
{
    uint64_t offset = op->offset;
    enum neap_status status = r->compaction != NULL ? compaction_keep(r->compaction, op, op) : NEAP_OK;
    if (status == NEAP_AGAIN)
        return go_on(r, e, err);
    if (status == NEAP_NOTFOUND)
        return NEAP_OK;
    return status == NEAP_OK ? put(r, op, err) : outputs_does_not_come_apart(status, r->at, offset, err);
}

static enum neap_status one_batch(struct rewrite *r, const struct index_entry *e, struct error *err)
{
    struct op op;
    if (lost_list_holds(&r->lost, e->base, e->base + e->count))
        return NEAP_OK; /* nobody is given it any more, whether it can be read or not; nor does it count any more */
    r->met.batch_count += !r->noting;
    r->met.size += r->noting ? 0 : e->size;
    enum neap_status status = sources_read(r->sources, &op, err);
    if (status != NEAP_OK)
        return status;
    r->copied += e->size;
    return r->noting ? note(r, &op, err) : copy(r, e, &op, err);
}

static enum neap_status work(struct rewrite *r, struct error *err)
{
    struct index_entry e;
    if (!r->begun)
        return next_partition(r, err);
    enum neap_status status = sources_next(r->sources, &e, err);
    if (status == NEAP_NOTFOUND)
        return end_walk(r, err);
    if (status == NEAP_AGAIN)
        return NEAP_OK;
    return status == NEAP_OK ? one_batch(r, &e, err) : status;
}

enum neap_status rewrite_step(struct rewrite *r, struct error *err)
{
    r->copied = 0;
    for (uint32_t turns = 0; turns < TURN_COUNT_MAX && r->copied < REWRITE_STEP_SIZE; turns++) {
        enum neap_status status = work(r, err);
        if (status == NEAP_NOTFOUND)
            return outputs_end(r->outputs, err);
        if (status != NEAP_OK)
            return status;
    }
    return NEAP_AGAIN;
}
