/* build.c - room for a unit, and its operations as an entry in the tail. */
#include "base/crc32c.h"
#include "log/local/journal_parts.h"
#include "log/local/tail.h"
#include "log/local/views.h"

#define ENTRY_JOIN_SIZE (16u << 10) /* small units share an entry up to here: 64 bytes of header each are spared */

/* ---- room first (rule J4) -------------------------------------------------------------------------------------------------- */

static enum neap_status check_create(struct journal *j, struct log_op *op)
{
    struct shared *s = &j->log->shared;
    char name[LOG_NAME_SIZE_MAX + 1];
    struct topic *topic = NULL;
    memcpy(name, op->name.at, op->name.size); /* log_submit() has checked it */
    name[op->name.size] = 0;
    io_mutex_take(s->mutex);
    enum neap_status status = views_topic_add(&s->views, name, s->views.topic_id_next, op->count, &topic);
    io_mutex_drop(s->mutex);
    if (status == NEAP_OK)
        op->target = (struct log_partition){ topic->id, 0 };
    return status;
}

/* Whoever looked for something in the topic has seen all of it, and what it decided by is still so. */
static bool is_as_seen(const struct topic *topic, const struct log_op *op)
{
    uint64_t appended = 1;
    for (uint32_t i = 0; op->offset.n != 0 && i < topic->growing; i++)
        appended += topic_partition(topic, i)->writer.next;
    return (op->offset.n == 0 || op->offset.n == appended) &&
           (op->revision == 0 || (op->revision == topic->revision && topic->altering == 0));
}

/* More partitions are there from now on for what is written after; nobody sees them before it is durable. */
static enum neap_status check_alter(struct journal *j, struct topic *topic, struct log_op *op)
{
    struct shared *s = &j->log->shared;
    uint64_t size = 0;
    if (op->count != 0 && op->count < topic->growing)
        return NEAP_REFUSED;
    if (!is_as_seen(topic, op))
        return NEAP_CONFLICT;
    enum neap_status status =
        views_holds_cost(&s->views, topic, op->count > topic->growing ? op->count - topic->growing : 0, &size);
    if (status == NEAP_OK && s->views.fact_size + j->fact_reserved + size > s->views.fact_size_max)
        status = NEAP_FULL;
    if (status != NEAP_OK)
        return status;
    uint32_t before = topic->growing; /* should it not be written after all */
    io_mutex_take(s->mutex);
    status = op->count > before && topic->keep_count > 0 ? NEAP_HELD : views_topic_grow(&s->views, topic, op->count);
    io_mutex_drop(s->mutex);
    if (status != NEAP_OK)
        return status;
    op->offset.n = before;
    op->reserved_size_ = size;
    j->fact_reserved += size;
    topic->altering++;
    return NEAP_OK;
}

/* Most operations are on the topic of the one before them. */
static struct topic *topic_of(struct journal *j, uint32_t id)
{
    const struct views *v = &j->log->shared.views;
    if (id != j->seen.id || j->seen.delete_count != v->topic_delete_count || j->seen.topic == NULL) {
        j->seen.topic = views_topic(v, id);
        j->seen.id = id;
        j->seen.delete_count = v->topic_delete_count;
    }
    return j->seen.topic;
}

/* What retention or a compaction has counted meanwhile may be lost now: it is counted anew. */
static enum neap_status check_lost(struct journal *j, const struct log_op *op)
{
    const struct views *v = &j->log->shared.views;
    struct partition *p = op->partition_;
    j->hold_count++;
    uint64_t to = op->offset.n + op->count;
    if (op->view & LOG_LOST_RAISE && op->offset.n <= p->end && p->writer.next < to)
        p->writer.next = to;
    return lost_check(&v->lost, op->view & LOG_LOST_RAISE ? p->writer.next : p->end, op->offset.n, op->count);
}

/* Retention decides by what is durable. A group that begins to hold the partition meanwhile comes before its trim or after it: where
 * it comes before, the trim is refused, and decided anew. */
static enum neap_status check_trim(struct journal *j, struct log_op *op)
{
    const struct partition *p = op->partition_;
    if (op->offset.n > p->end || (op->count != 0 && op->count != j->hold_count + 1))
        return NEAP_REFUSED;
    op->count = 0;
    return NEAP_OK;
}

/* A group that begins to hold a partition while it is compacted may find taken what it has been promised: all of it anew. */
static enum neap_status check_replace(struct journal *j, struct log_op *op)
{
    if (op->count != 0 && op->count != j->hold_count + 1)
        return NEAP_REFUSED;
    op->count = 0;
    return NEAP_OK;
}

static void count_hold(struct journal *j, const struct log_op *op)
{
    uint8_t room[VIEW_KEY_SIZE_MAX];
    const struct fact *fact = map_get(j->log->shared.views.offsets, offset_key(room, op->target, op->name));
    bool holds = fact != NULL && fact->hold;
    if (!(op->view & LOG_OFFSET_FORGET) &&
        ((op->view & LOG_OFFSET_HOLD && !holds) || (holds && op->offset.n < fact->offset)))
        j->hold_count++;
}

static enum neap_status check_op(struct journal *j, struct log_op *op)
{
    struct views *v = &j->log->shared.views; /* its topics change by our hand alone: reading needs no mutex */
    if (op->kind == LOG_TOPIC_CREATE)
        return check_create(j, op);
    struct topic *topic = topic_of(j, op->target.topic_id);
    if (topic == NULL || topic->deleting || op->target.partition >= topic->growing)
        return NEAP_REFUSED;
    if (op->kind == LOG_TOPIC_ALTER)
        return check_alter(j, topic, op);
    op->partition_ = topic_partition(topic, op->target.partition);
    if (op->kind == LOG_APPEND)
        return !(op->view & LOG_APPEND_PLACED) || op->offset.n == topic->growing ? NEAP_OK : NEAP_CONFLICT;
    if (op->kind == LOG_TRIM)
        return check_trim(j, op);
    if (op->kind == LOG_LOST)
        return check_lost(j, op);
    if (op->kind == LOG_REPLACE_)
        return check_replace(j, op);
    if (op->kind != LOG_OFFSET && op->kind != LOG_FACT)
        return NEAP_OK;
    uint64_t cost = fact_cost(op->name.size + 9, op->payload.size);
    if ((op->kind == LOG_OFFSET || op->payload.size > 0) && v->fact_size + j->fact_reserved + cost > v->fact_size_max)
        return NEAP_FULL;
    j->fact_reserved += cost;
    if (op->kind == LOG_OFFSET)
        count_hold(j, op);
    return NEAP_OK;
}

/* Undoes what check_op() took for the first `count` operations of a unit that will not be written, the last first. */
static void uncheck(struct journal *j, struct log_unit *unit, uint32_t count)
{
    struct views *v = &j->log->shared.views;
    while (count-- > 0) {
        struct log_op *op = &unit->ops[count];
        if (op->kind == LOG_OFFSET || op->kind == LOG_FACT)
            j->fact_reserved -= fact_cost(op->name.size + 9, op->payload.size);
        if (op->kind == LOG_TOPIC_CREATE) {
            io_mutex_take(j->log->shared.mutex);
            views_topic_remove(v, op->target.topic_id);
            io_mutex_drop(j->log->shared.mutex);
        }
        if (op->kind == LOG_TOPIC_ALTER) {
            struct topic *topic = views_topic(v, op->target.topic_id);
            j->fact_reserved -= op->reserved_size_;
            topic->altering--;
            io_mutex_take(j->log->shared.mutex);
            views_topic_shrink(v, topic, (uint32_t)op->offset.n);
            io_mutex_drop(j->log->shared.mutex);
        }
    }
}

/* Rule J2: the producer may be told before the sync where the unit appends, says nothing of topics but those that allow it,
 * and nothing that its client submitted before it still waits for a sync: a client's answers come in order. */
static bool is_early(struct journal *j, const struct log_unit *unit)
{
    if (unit->append_count_ == 0 || unit->client_->unsynced_count > 0)
        return false;
    for (uint32_t i = 0; i < unit->count; i++) {
        const struct log_op *op = &unit->ops[i];
        bool plain = op->kind == LOG_APPEND || op->kind == LOG_OFFSET || op->kind == LOG_FACT;
        if (!plain || topic_of(j, op->target.topic_id)->settings.interval_ms == 0)
            return false;
    }
    return true;
}

enum neap_status journal_check_unit(struct journal *j, struct log_unit *unit)
{
    for (uint32_t i = 0; i < unit->count; i++) {
        enum neap_status status = check_op(j, &unit->ops[i]);
        if (status != NEAP_OK) {
            uncheck(j, unit, i);
            return status;
        }
    }
    unit->early_ = is_early(j, unit);
    return NEAP_OK;
}

/* ---- building entries in the tail ------------------------------------------------------------------------------------------- */

/* The bytes of one operation, where they lie together: as nearly all do. */
static void put_together(uint8_t *at, const struct op *op, uint64_t salt, size_t size)
{
    uint8_t *name = at + OP_HEADER_SIZE, *payload = name + op->name.size, *end = payload + op->payload.size;
    op_header_write(op, salt, at);
    if (op->name.size > 0)
        memcpy(name, op->name.at, op->name.size);
    if (op->payload.size > 0)
        memcpy(payload, op->payload.at, op->payload.size);
    if (op->kind == OP_APPEND)
        put_be64(payload, op->offset); /* rewrites nothing else: the batch's CRC does not cover it */
    memset(end, 0, (size_t)(at + size - end));
}

static void put_in_parts(struct tail *t, const struct op *op, uint64_t salt, size_t size)
{
    uint8_t header[OP_HEADER_SIZE], base[8];
    uint64_t payload = op->position + OP_HEADER_SIZE + op->name.size, end = payload + op->payload.size;
    op_header_write(op, salt, header);
    tail_put(t, op->position, header, sizeof(header));
    tail_put(t, op->position + OP_HEADER_SIZE, op->name.at, op->name.size);
    tail_put(t, payload, op->payload.at, op->payload.size);
    put_be64(base, op->offset);
    if (op->kind == OP_APPEND)
        tail_put(t, payload, base, sizeof(base));
    tail_zero(t, end, (size_t)(op->position + size - end));
}

/* Puts one operation down where the entry ends; answers the CRC of the headers so far. */
static uint32_t put_bytes(struct journal *j, struct op *op, uint32_t crc)
{
    struct tail *t = &j->log->tail;
    size_t size = (size_t)op_size(op->name.size, op->payload.size);
    uint8_t header[OP_HEADER_SIZE], *at = tail_run(t, op->position, size);
    op->payload_crc = op_payload_crc(op->kind, op->name, op->payload);
    if (at != NULL) {
        put_together(at, op, j->file.salt, size);
        return crc32c(crc, at, OP_HEADER_SIZE);
    }
    put_in_parts(t, op, j->file.salt, size);
    op_header_write(op, j->file.salt, header);
    return crc32c(crc, header, sizeof(header));
}

/* Gives an append its offset. */
static uint32_t put_op(struct journal *j, struct log_op *op, uint64_t position, uint32_t crc)
{
    if (op->kind == LOG_APPEND) {
        struct partition *p = op->partition_;
        op->offset.n = p->writer.next; /* rule J1 */
        p->writer.next += op->count;
    }
    if (op->kind == LOG_TOPIC_DELETE)
        views_topic(&j->log->shared.views, op->target.topic_id)->deleting = true;
    op->position_.n = position;
    struct op written = { .kind = (enum op_kind)(op->kind + 1),
                          .view = op->kind == LOG_APPEND ? 0 : op->view,
                          .target = op->target,
                          .offset = op->offset.n,
                          .count = op->count,
                          .time_s = (uint32_t)(j->time_ms / 1000),
                          .name = op->name,
                          .payload = op->payload,
                          .position = position };
    return put_bytes(j, &written, crc);
}

/* The entry under construction gets its header, and ends at `end` (0: where it must). */
static void end_entry(struct journal *j, uint64_t end)
{
    struct tail *t = &j->log->tail;
    struct entry_header *h = &j->entry;
    if (h->entry_size == 0)
        return;
    if (end == 0)
        end = round_up(j->position, ENTRY_BOUND);
    tail_open(t, j->position, end - j->position);
    tail_zero(t, j->position, (size_t)(end - j->position));
    h->entry_size = (uint32_t)(end - h->position);
    entry_header_write(h, tail_at(t, h->position)); /* 64 bytes on a 64-byte bound lie in one block */
    h->entry_size = 0;
    j->position = end;
}

static void begin_entry(struct journal *j, struct group *g, bool joins)
{
    end_entry(j, 0);
    j->entry = (struct entry_header){ .salt = j->file.salt,
                                      .boot = j->boot,
                                      .position = j->position,
                                      .durable_mark = j->durable,
                                      .time_ms = j->time_ms,
                                      .entry_size = ENTRY_HEADER_SIZE };
    j->entry_joins = joins;
    tail_open(&j->log->tail, j->position, ENTRY_HEADER_SIZE);
    j->position += ENTRY_HEADER_SIZE;
    g->entry_count++;
    g->to = j->position;
}

/* Units of which none is half there: nothing is lost when some of them can only be there together. What makes, alters or
 * ends topics stays alone, so that an entry is read with the topics as they were where it begins. */
static bool may_join(const struct log_unit *unit)
{
    for (uint32_t i = 0; i < unit->count; i++)
        if (unit->ops[i].kind != LOG_APPEND && unit->ops[i].kind != LOG_OFFSET && unit->ops[i].kind != LOG_FACT)
            return false;
    return true;
}

static bool joins(const struct journal *j, const struct log_unit *unit)
{
    return j->entry.entry_size != 0 && j->entry_joins && j->entry_early == unit->early_ &&
           j->position - j->entry.position + unit->size_ <= ENTRY_JOIN_SIZE;
}

void journal_put_unit(struct journal *j, struct group *g, struct log_unit *unit)
{
    bool plain = unit->size_ <= ENTRY_JOIN_SIZE && may_join(unit);
    if (!plain || !joins(j, unit))
        begin_entry(j, g, plain);
    j->entry_early = unit->early_;
    g->early = g->early || unit->early_;
    unit->client_->unsynced_count += !unit->early_;
    struct entry_header *h = &j->entry;
    tail_open(&j->log->tail, j->position, unit->size_ - ENTRY_HEADER_SIZE);
    for (uint32_t i = 0; i < unit->count; i++) {
        h->body_crc = put_op(j, &unit->ops[i], j->position, h->body_crc);
        j->position += op_size(unit->ops[i].name.size, unit->ops[i].payload.size);
    }
    h->body_size = (uint32_t)(j->position - h->position - ENTRY_HEADER_SIZE);
    must(h->op_count + unit->count <= UINT16_MAX);
    h->op_count = (uint16_t)(h->op_count + unit->count);
    j->index_count += unit->append_count_;
    unit->next_ = NULL;
    *g->last = unit;
    g->last = &unit->next_;
    g->batch_count += unit->append_count_;
    g->append_size += unit->size_;
    g->to = j->position;
}

/* An entry without operations: the seal of a file, or a mark. */
void journal_put_bare(struct journal *j, struct group *g, uint16_t flags)
{
    begin_entry(j, g, false);
    j->entry.flags = flags;
}

/* Rule E4: what is written ends on a page, so that the next write begins on one. */
void journal_pad(struct journal *j, struct group *g)
{
    uint64_t end = round_up(j->position, JOURNAL_PAGE_SIZE);
    must(end <= j->file.end);
    end_entry(j, end);
    g->to = j->position;
}

void journal_put_boot(struct journal *j, struct group *g, struct bytes version)
{
    begin_entry(j, g, false);
    struct op op = { .kind = OP_BOOT,
                     .offset = j->boot,
                     .payload = version,
                     .time_s = (uint32_t)(j->time_ms / 1000),
                     .position = j->position };
    uint64_t size = op_size(0, version.size);
    tail_open(&j->log->tail, op.position, size);
    j->entry.body_crc = put_bytes(j, &op, 0);
    j->entry.body_size = (uint32_t)size;
    j->entry.op_count = 1;
    j->position += size;
}
