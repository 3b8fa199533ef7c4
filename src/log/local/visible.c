/* visible.c - what becomes of units that were written: who is told when, and what readers see from then on. */
#include "log/local/index.h"
#include "log/local/journal_parts.h"
#include "log/local/space.h"
#include "log/local/tail.h"
#include "log/local/views.h"

/* ---- telling ------------------------------------------------------------------------------------------------------ */

/* Under the mutex: the first of these units that are one client's, at a time; answers the first one after them. The client
 * may close as soon as it has seen its last completion: we look no further than here. */
static struct log_unit *complete_run(struct log_unit *unit, enum neap_status status)
{
    struct log_client *client = unit->client_;
    struct log_unit *run[TAKE_COUNT];
    size_t count = 0;
    for (; unit != NULL && unit->client_ == client && count < COUNT_OF(run); unit = unit->next_) {
        unit->status_ = status;
        run[count++] = unit;
    }
    bool pushed = ring_push_many(client->completed, run, count);
    must(pushed); /* their room was reserved when they were submitted */
    return unit;
}

static void wake_clients(struct log *log, uint64_t which)
{
    for (uint32_t i = 0; i < CLIENT_COUNT_MAX; i++) {
        struct log_client *client = which >> i & 1 ? atomic_load(&log->clients[i]) : NULL;
        struct io_agent *agent = client != NULL && !client->closing ? atomic_load(&client->agent) : NULL;
        if (agent != NULL)
            io_agent_wake(agent);
    }
}

static void wake_watchers(struct shared *s) /* under the mutex */
{
    for (uint32_t i = 0; i < LOG_WATCH_COUNT_MAX; i++)
        if (s->watchers[i] != NULL)
            io_agent_wake(s->watchers[i]);
}

static void complete_all(struct journal *j, struct log_unit *first, enum neap_status status)
{
    uint64_t which = 0;
    for (struct log_unit *unit = first; unit != NULL;) {
        which |= 1ull << unit->client_->index;
        unit = complete_run(unit, status);
    }
    wake_clients(j->log, which);
}

void journal_tell(struct journal *j, struct log_unit *unit, enum neap_status status)
{
    io_mutex_take(j->log->shared.mutex);
    unit->next_ = NULL;
    complete_all(j, unit, status);
    io_mutex_drop(j->log->shared.mutex);
}

/* Whoever closes may go on when nobody has been answered whose unit is not durable. Under the mutex. */
static void owe(struct journal *j, bool owes)
{
    atomic_store(&j->owes, owes);
    if (!owes && j->closer != NULL)
        io_agent_wake(j->closer);
}

/* ---- the end of all work ---------------------------------------------------------------------------------------------- */

void journal_fail(struct journal *j, enum neap_status status, const char *what)
{
    struct shared *s = &j->log->shared;
    io_mutex_take(s->mutex);
    if (s->failed == NEAP_OK) {
        s->failed = status;
        error_set(&s->failure, status, "%s %s at position %llu: %s", what, io_file_path(j->file.file),
                  (unsigned long long)j->position, status_text(status));
        logging_error(j->log->logging, "the journal stops: a promise could not be kept",
                      LOGGING_TEXT("error", s->failure.text));
    }
    owe(j, false); /* whoever was answered early may have lost it: a power cut would do as much */
    complete_all(j, j->synced.first, NEAP_IO);
    complete_all(j, j->syncing.first, NEAP_IO);
    complete_all(j, j->written.first, NEAP_IO);
    wake_watchers(s);
    io_mutex_drop(s->mutex);
    j->synced = j->syncing = j->written = (struct group){ 0 };
    j->stopped = true;
    j->write_stuck = false;
}

void journal_leave(struct journal *j)
{
    io_mutex_take(j->log->shared.mutex);
    complete_all(j, j->syncing.first, NEAP_CLOSED);
    complete_all(j, j->written.first, NEAP_CLOSED);
    io_mutex_drop(j->log->shared.mutex);
    j->synced = j->syncing = j->written = (struct group){ 0 };
}

/* ---- becoming visible: after the sync, under the mutex, once per group -------------------------------------------------- */

static void apply_append(struct journal *j, struct log_op *op)
{
    struct partition *p = op->partition_;
    struct index_entry entry = { .base = op->offset.n,
                                 .at = (uint32_t)(op->position_.n - j->file.base),
                                 .size = (uint32_t)op->payload.size,
                                 .count = op->count };
    index_add(&j->log->shared, p, j->file.sequence, &entry);
}

static void something_died(struct log *log) /* under the mutex */
{
    if (!log->shared.recycle_due) {
        log->shared.recycle_due = true;
        space_update(log);
    }
}

/* What the alteration took is given back, and the operation is as it came: it may come again. */
static void altered(struct journal *j, struct log_op *op)
{
    j->fact_reserved -= op->reserved_size_;
    views_topic(&j->log->shared.views, op->target.topic_id)->altering--;
    op->offset.n = op->revision = 0;
}

static enum neap_status apply_unit(struct journal *j, struct log_unit *unit)
{
    struct views *v = &j->log->shared.views;
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < unit->count && status == NEAP_OK; i++) {
        struct log_op *op = &unit->ops[i];
        if (op->kind == LOG_APPEND) {
            apply_append(j, op);
            continue;
        }
        struct op written = { .kind = (enum op_kind)(op->kind + 1),
                              .view = op->view,
                              .target = op->target,
                              .offset = op->offset.n,
                              .count = op->count,
                              .name = op->name,
                              .payload = op->payload };
        status = views_apply(v, &written);
        if (op->kind == LOG_OFFSET || op->kind == LOG_FACT)
            j->fact_reserved -= fact_cost(op->name.size + 9, op->payload.size);
        if (op->kind == LOG_TOPIC_ALTER)
            altered(j, op);
        if (op->kind == LOG_TOPIC_DELETE || op->kind == LOG_TRIM || op->kind == LOG_LOST || op->kind == LOG_REPLACE_)
            something_died(j->log);
        if (op->kind == LOG_REPLACE_)
            j->log->shared.change_count++; /* whoever looks for a place looks again */
        j->topic_went = j->topic_went || op->kind == LOG_TOPIC_DELETE;
    }
    return status;
}

/* ---- units that were answered early: their memory is the caller's again, their bytes lie in the tail ------------------- */

static const uint8_t *tail_bytes(struct journal *j, uint64_t position, size_t size)
{
    const uint8_t *at = tail_run(&j->log->tail, position, size);
    if (at != NULL)
        return at;
    bool there = tail_read(&j->log->tail, position, j->early_room, size);
    must(there && size <= EARLY_ROOM_SIZE);
    return j->early_room;
}

/* The operation at this position, as it was put there. Of a batch, sizes alone. */
static void read_again(struct journal *j, uint64_t position, struct op *ret_op)
{
    const uint8_t *at = tail_bytes(j, position, OP_HEADER_SIZE);
    enum neap_status status = op_header_read((struct bytes){ at, OP_HEADER_SIZE }, j->file.salt, position, ret_op);
    must(status == NEAP_OK);
    if (ret_op->kind == OP_APPEND)
        return;
    at = tail_bytes(j, position, OP_HEADER_SIZE + ret_op->name.size + ret_op->payload.size);
    ret_op->name.at = at + OP_HEADER_SIZE;
    ret_op->payload.at = ret_op->name.at + ret_op->name.size;
}

static enum neap_status apply_again(struct journal *j, const struct op *op)
{
    struct views *v = &j->log->shared.views;
    if (op->kind != OP_APPEND) {
        j->fact_reserved -= fact_cost(op->name.size + 9, op->payload.size);
        return views_apply(v, op);
    }
    struct index_entry entry = { .base = op->offset,
                                 .at = (uint32_t)(op->position - j->file.base),
                                 .size = (uint32_t)op->payload.size,
                                 .count = op->count };
    struct partition *p = topic_partition(views_topic(v, op->target.topic_id), op->target.partition);
    index_add(&j->log->shared, p, j->file.sequence, &entry);
    return NEAP_OK;
}

static enum neap_status apply_entry_again(struct journal *j, const struct entry_header *h)
{
    uint64_t position = h->position + ENTRY_HEADER_SIZE;
    enum neap_status status = NEAP_OK;
    for (uint32_t i = 0; i < h->op_count && status == NEAP_OK; i++) {
        struct op op;
        read_again(j, position, &op);
        status = apply_again(j, &op);
        position += op_size(op.name.size, op.payload.size);
    }
    return status;
}

/* Entry for entry, as offset order is journal order: what a unit that still waits does not stand for is read again. */
static enum neap_status apply_mixed(struct journal *j, struct group *g)
{
    struct log_unit *unit = g->first;
    enum neap_status status = NEAP_OK;
    for (uint64_t at = g->from; at < g->to && status == NEAP_OK;) {
        struct entry_header h;
        status = entry_header_read(tail_at(&j->log->tail, at), j->file.salt, at, &h);
        must(status == NEAP_OK);
        at += h.entry_size;
        if (unit == NULL || unit->ops[0].position_.n >= at)
            status = apply_entry_again(j, &h);
        for (; unit != NULL && unit->ops[0].position_.n < at && status == NEAP_OK; unit = unit->next_)
            status = apply_unit(j, unit);
    }
    return status;
}

/* Units on many partitions meet a cold one each time: it is fetched while the one before is at work. */
static void fetch_partition(const struct log_unit *unit)
{
    if (unit == NULL || unit->ops[0].kind != LOG_APPEND)
        return;
    __builtin_prefetch(unit->ops[0].partition_, 1);
    __builtin_prefetch((const uint8_t *)unit->ops[0].partition_ + 64, 1);
}

static void fetch_last_entry(struct journal *j, const struct open_index *index, const struct log_unit *unit)
{
    if (unit == NULL || unit->ops[0].kind != LOG_APPEND || index == NULL)
        return;
    const struct partition *p = unit->ops[0].partition_;
    unsigned which = j->file.sequence & 1;
    if (p->open[which].sequence == j->file.sequence)
        __builtin_prefetch(&index->entries[p->open[which].last], 1);
}

static enum neap_status apply_group(struct journal *j, struct group *g)
{
    enum neap_status status = g->early ? apply_mixed(j, g) : NEAP_OK;
    const struct open_index *index = index_in_memory(&j->log->shared, j->file.sequence);
    for (struct log_unit *unit = g->first; unit != NULL && status == NEAP_OK; unit = unit->next_) {
        if (!g->early) { /* else it has been applied, and the topic of the next may be gone */
            fetch_partition(unit->next_ != NULL ? unit->next_->next_ : NULL);
            fetch_last_entry(j, index, unit->next_);
            status = apply_unit(j, unit);
        }
        unit->client_->unsynced_count--;
    }
    return status;
}

void journal_tell_early(struct journal *j, struct group *g)
{
    struct log_unit *told = NULL, **told_last = &told, **last = &g->first;
    if (!g->early)
        return;
    for (struct log_unit *unit = g->first; unit != NULL; unit = unit->next_) {
        struct log_unit ***list = unit->early_ ? &told_last : &last;
        **list = unit;
        *list = &unit->next_;
    }
    *told_last = *last = NULL;
    g->told = true;
    io_mutex_take(j->log->shared.mutex);
    owe(j, true);
    complete_all(j, told, NEAP_OK);
    io_mutex_drop(j->log->shared.mutex);
}

static void add_figures(struct shared *s, const struct group *g)
{
    s->figures.sync_count++;
    s->figures.entry_count += g->entry_count;
    s->figures.batch_count += g->batch_count;
    s->figures.append_size += g->append_size;
}

void journal_make_visible(struct journal *j, struct group *g)
{
    struct shared *s = &j->log->shared;
    enum neap_status status = NEAP_OK;
    must(g->to >= j->durable); /* durable never goes back */
    io_mutex_take(s->mutex);
    status = apply_group(j, g);
    if (status == NEAP_OK) {
        if (g->early)
            owe(j, j->syncing.told || j->written.told);
        j->durable = s->durable = g->to;
        s->durable_time_ms = g->time_ms;
        s->durable_time_at = g->made;
        s->hold_count = g->holds;
        add_figures(s, g);
        complete_all(j, g->first, NEAP_OK); /* rule J2 */
        g->first = NULL;
        if (g->batch_count > 0 || j->topic_went)
            wake_watchers(s);
        j->topic_went = false;
    }
    io_mutex_drop(s->mutex);
    if (status != NEAP_OK)
        journal_fail(j, status, "views after");
}
