#include "log/local/journal.h"
#include "base/crc32c.h"
#include "log/batch.h"
#include "log/local/index.h"
#include "log/local/keeper.h"
#include "log/local/tail.h"
#include "log/local/views.h"
#include <stdlib.h>

#define JOURNAL_MAGIC_OBJECT 0x6a6f7572u
#define FULL_RETRY_NS        (100 * NS_PER_MS)
#define VERSION_TEXT         "neap 0.1.0"
#define FETCH_AHEAD          4u
#define TAKE_COUNT           64u         /* units taken from a client at a time */
#define ENTRY_JOIN_SIZE      (16u << 10) /* small units share an entry up to here: 64 bytes of header each are spared */

/* One write: entries that become durable with one sync. */
struct group {
    uint64_t from, to;              /* positions */
    struct log_unit *first, **last; /* in the order of their entries */
    uint64_t entry_count, batch_count, append_size;
    int64_t time_ms;
    bool seals; /* it ends its file */
    bool used;
};

struct journal {
    uint32_t magic;
    struct log *log;
    struct io_agent agent;
    struct io_timer timer; /* idle mark, or a full disk tried again */
    struct {
        uint64_t sequence, base, end, salt;
        struct io_file *file;
    } file; /* the open one */
    uint64_t position, boot, durable;
    int64_t time_ms;
    struct group syncing, written; /* in this order on their way */
    struct io_sync sync;
    _Atomic bool sync_running;
    struct io_agent *closer; /* under the mutex: waits for the end of the sync */
    bool write_stuck;        /* `written` met a full disk and waits to be tried again */
    bool marked;             /* the durable mark is on disk */
    struct log_unit *held;   /* taken from its client, waiting for the next file */
    struct {
        struct log_unit *units[TAKE_COUNT];
        uint32_t at, count;
    } taken;                /* from one client, not looked at yet */
    uint32_t index_count;   /* batches in the open file, durable or not */
    uint64_t fact_reserved; /* bytes of facts on their way into the views */
    uint32_t client_next;
    struct entry_header entry; /* under construction: its operations lie in the tail; entry_size 0: none */
    bool entry_joins;          /* another unit may be added to it */
    struct {
        uint32_t id;
        uint64_t delete_count;
        struct topic *topic;
    } seen; /* the topic looked up last */
    bool stopped;
};

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

static void complete_all(struct journal *j, struct log_unit *first, enum neap_status status)
{
    uint64_t which = 0;
    for (struct log_unit *unit = first; unit != NULL;) {
        which |= 1ull << unit->client_->index;
        unit = complete_run(unit, status);
    }
    wake_clients(j->log, which);
}

static void complete_alone(struct journal *j, struct log_unit *unit, enum neap_status status)
{
    io_mutex_take(j->log->shared.mutex);
    unit->next_ = NULL;
    complete_all(j, unit, status);
    io_mutex_drop(j->log->shared.mutex);
}

/* ---- the end of all work ---------------------------------------------------------------------------------------------- */

static void fail(struct journal *j, enum neap_status status, const char *what)
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
    complete_all(j, j->syncing.first, NEAP_IO);
    complete_all(j, j->written.first, NEAP_IO);
    for (uint32_t i = 0; i < LOG_WATCH_COUNT_MAX; i++)
        if (s->watchers[i] != NULL)
            io_agent_wake(s->watchers[i]);
    io_mutex_drop(s->mutex);
    j->syncing = j->written = (struct group){ 0 };
    j->stopped = true;
    j->write_stuck = false;
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
        if (op->kind == LOG_TOPIC_DELETE || op->kind == LOG_TRIM || op->kind == LOG_REPLACE_)
            j->log->shared.recycle_due = true;
    }
    return status;
}

static void add_figures(struct shared *s, const struct group *g)
{
    s->figures.sync_count++;
    s->figures.entry_count += g->entry_count;
    s->figures.batch_count += g->batch_count;
    s->figures.append_size += g->append_size;
}

static void make_visible(struct journal *j, struct group *g)
{
    struct shared *s = &j->log->shared;
    enum neap_status status = NEAP_OK;
    must(g->to >= j->durable); /* durable never goes back */
    io_mutex_take(s->mutex);
    for (struct log_unit *unit = g->first; unit != NULL && status == NEAP_OK; unit = unit->next_)
        status = apply_unit(j, unit);
    if (status == NEAP_OK) {
        j->durable = s->durable = g->to;
        s->durable_time_ms = g->time_ms;
        add_figures(s, g);
        complete_all(j, g->first, NEAP_OK); /* rule J2 */
        g->first = NULL;
        for (uint32_t i = 0; g->batch_count > 0 && i < LOG_WATCH_COUNT_MAX; i++)
            if (s->watchers[i] != NULL)
                io_agent_wake(s->watchers[i]);
    }
    io_mutex_drop(s->mutex);
    if (status != NEAP_OK) {
        j->syncing = *g;
        fail(j, status, "views after");
    }
}

/* ---- the next file ------------------------------------------------------------------------------------------------------ */

static void take_file(struct journal *j, const struct journal_file *f)
{
    j->file.sequence = f->sequence;
    j->file.base = f->base;
    j->file.end = f->base + f->size;
    j->file.salt = f->salt;
    j->file.file = f->file;
}

/* After the sealing group is durable (rule J3): the sealed file's index goes to the keeper. */
static void seal(struct journal *j, uint64_t end)
{
    struct shared *s = &j->log->shared;
    io_mutex_take(s->mutex);
    struct open_index *index = index_in_memory(s, j->file.sequence);
    must(index != NULL);
    open_file(s)->end = end;
    index->sealed = true;
    io_mutex_drop(s->mutex);
    j->file.file = NULL; /* switch_file() goes on when a spare and an index slot are ready */
}

static bool switch_file(struct journal *j)
{
    struct shared *s = &j->log->shared;
    io_mutex_take(s->mutex);
    bool ready = s->open_index + 1 < s->file_count && s->indexes[(j->file.sequence + 1) & 1].sequence == 0;
    if (ready) {
        s->open_index++;
        take_file(j, open_file(s));
        index_begin(s, j->file.sequence);
        j->position = j->file.base + JOURNAL_HEADER_SIZE;
        j->index_count = 0;
    }
    io_mutex_drop(s->mutex);
    return ready;
}

/* ---- after a sync --------------------------------------------------------------------------------------------------------- */

static void synced(struct journal *j, enum neap_status status)
{
    struct group g = j->syncing;
    if (status != NEAP_OK) {
        fail(j, status, "sync"); /* never retried: what the page cache says is no longer believed */
        return;
    }
    j->syncing = (struct group){ 0 };
    make_visible(j, &g);
    if (g.seals && !j->stopped)
        seal(j, g.to);
}

static void sync_done(struct io_sync *op, enum neap_status status)
{
    struct journal *j = op->ctx;
    CHECK_MAGIC(j, JOURNAL_MAGIC_OBJECT);
    j->sync_running = false;
    if (!j->stopped) /* else its units have been told already */
        synced(j, status);
    io_mutex_take(j->log->shared.mutex);
    if (j->closer != NULL)
        io_agent_wake(j->closer);
    io_mutex_drop(j->log->shared.mutex);
}

/* ---- taking units from the clients --------------------------------------------------------------------------------------- */

static bool take_some(struct journal *j)
{
    for (uint32_t i = 0; i < CLIENT_COUNT_MAX; i++) { /* some of each in turn: nobody is starved */
        uint32_t slot = (j->client_next + i) % CLIENT_COUNT_MAX;
        struct log_client *client = atomic_load_explicit(&j->log->clients[slot], memory_order_acquire);
        size_t count = client != NULL ? ring_pop_many(client->submitted, j->taken.units, TAKE_COUNT) : 0;
        if (count == 0)
            continue;
        j->client_next = (slot + 1) % CLIENT_COUNT_MAX;
        j->taken.at = 0;
        j->taken.count = (uint32_t)count;
        for (size_t n = 0; n < count; n++) /* the client wrote to them last, on another core */
            __builtin_prefetch(j->taken.units[n]);
        return true;
    }
    return false;
}

static void fetch_ahead(const struct log_op *op)
{
    __builtin_prefetch(op);
    __builtin_prefetch((const uint8_t *)op + 64);
}

static struct log_unit *next_unit(struct journal *j)
{
    struct log_unit *unit = j->held;
    j->held = NULL;
    if (unit != NULL || (j->taken.at == j->taken.count && !take_some(j)))
        return unit;
    if (j->taken.at + FETCH_AHEAD < j->taken.count)
        fetch_ahead(j->taken.units[j->taken.at + FETCH_AHEAD]->ops);
    return j->taken.units[j->taken.at++];
}

static bool anything_waits(struct journal *j)
{
    if (j->held != NULL || j->taken.at < j->taken.count)
        return true;
    for (uint32_t i = 0; i < CLIENT_COUNT_MAX; i++) {
        struct log_client *client = atomic_load_explicit(&j->log->clients[i], memory_order_acquire);
        if (client != NULL && ring_count(client->submitted) > 0)
            return true;
    }
    return false;
}

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

/* More partitions are there from now on for what is written after; nobody sees them before it is durable. */
static enum neap_status check_alter(struct journal *j, struct topic *topic, struct log_op *op)
{
    struct shared *s = &j->log->shared;
    if (op->count != 0 && op->count < topic->growing)
        return NEAP_REFUSED;
    op->offset.n = topic->growing; /* should it not be written after all */
    io_mutex_take(s->mutex);
    enum neap_status status = views_topic_grow(&s->views, topic, op->count);
    io_mutex_drop(s->mutex);
    return status;
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
    if (op->kind == LOG_TRIM)
        return op->offset.n <= ((struct partition *)op->partition_)->end ? NEAP_OK : NEAP_REFUSED;
    if (op->kind != LOG_OFFSET && op->kind != LOG_FACT)
        return NEAP_OK;
    uint64_t cost = fact_cost(op->name.size + 9, op->payload.size);
    if ((op->kind == LOG_OFFSET || op->payload.size > 0) && v->fact_size + j->fact_reserved + cost > v->fact_size_max)
        return NEAP_FULL;
    j->fact_reserved += cost;
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
            io_mutex_take(j->log->shared.mutex);
            views_topic_shrink(v, views_topic(v, op->target.topic_id), (uint32_t)op->offset.n);
            io_mutex_drop(j->log->shared.mutex);
        }
    }
}

static enum neap_status check_unit(struct journal *j, struct log_unit *unit)
{
    for (uint32_t i = 0; i < unit->count; i++) {
        enum neap_status status = check_op(j, &unit->ops[i]);
        if (status != NEAP_OK) {
            uncheck(j, unit, i);
            return status;
        }
    }
    return NEAP_OK;
}

static bool fits(const struct journal *j, const struct log_unit *unit)
{
    return j->file.end - j->position >= unit->size_ &&
           j->log->shared.index_count_max - j->index_count >= unit->append_count_;
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
                          .view = op->view,
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
    return j->entry.entry_size != 0 && j->entry_joins &&
           j->position - j->entry.position + unit->size_ <= ENTRY_JOIN_SIZE;
}

static void put_unit(struct journal *j, struct group *g, struct log_unit *unit)
{
    bool plain = unit->size_ <= ENTRY_JOIN_SIZE && may_join(unit);
    if (!plain || !joins(j, unit))
        begin_entry(j, g, plain);
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
static void put_bare(struct journal *j, struct group *g, uint16_t flags)
{
    begin_entry(j, g, false);
    j->entry.flags = flags;
}

/* Rule E4: what is written ends on a page, so that the next write begins on one. */
static void pad(struct journal *j, struct group *g)
{
    uint64_t end = round_up(j->position, JOURNAL_PAGE_SIZE);
    must(end <= j->file.end);
    end_entry(j, end);
    g->to = j->position;
}

/* ---- one group --------------------------------------------------------------------------------------------------------------- */

static void group_begin(struct journal *j, struct group *g)
{
    int64_t wall_ms = io_wall(j->log->io).ms;
    if (wall_ms > j->time_ms)
        j->time_ms = wall_ms; /* the time of append never falls */
    *g = (struct group){ .from = j->position, .to = j->position, .time_ms = j->time_ms };
}

static uint64_t group_room(const struct journal *j)
{
    uint64_t tail = (uint64_t)(j->log->tail.block_count - 1) * j->log->tail.block_size / 2;
    return tail < GROUP_SIZE_MAX ? tail : GROUP_SIZE_MAX;
}

/* Fills `g` with what waits; true when the unit held back needs the next file. */
static bool collect(struct journal *j, struct group *g)
{
    uint64_t room = group_room(j);
    struct log_unit *unit;
    while (g->to - g->from < room && (unit = next_unit(j)) != NULL) {
        if (g->to > g->from && g->to - g->from + unit->size_ > room) {
            j->held = unit; /* a large one goes alone */
            break;
        }
        if (!fits(j, unit)) {
            j->held = unit;
            return true;
        }
        enum neap_status status = check_unit(j, unit);
        if (status == NEAP_OK)
            put_unit(j, g, unit);
        else
            complete_alone(j, unit, status);
    }
    return false;
}

static enum neap_status write_group(struct journal *j, const struct group *g)
{
    struct bytes parts[8];
    if (g->to == g->from)
        return NEAP_OK; /* a file that is full to its end needs no seal */
    uint32_t count = tail_parts(&j->log->tail, g->from, g->to - g->from, parts, COUNT_OF(parts));
    return io_file_write(j->file.file, parts, count, g->from - j->file.base);
}

/* Nothing was refused and nothing is forgotten: the group's offsets are given, so it is written when there is room; or
 * never, where somebody leaves meanwhile. */
static bool try_write(struct journal *j, mono_time now)
{
    enum neap_status status = write_group(j, &j->written);
    j->write_stuck = status == NEAP_FULL && !atomic_load(&j->log->given_up);
    if (j->write_stuck)
        io_timer_set(&j->timer, mono_after(now, FULL_RETRY_NS));
    else if (status != NEAP_OK)
        fail(j, status, "write");
    return status == NEAP_OK;
}

static uint32_t build(struct journal *j, mono_time now)
{
    struct group g;
    group_begin(j, &g);
    g.last = &g.first;
    g.seals = collect(j, &g);
    if (g.seals && round_up(j->position, ENTRY_BOUND) < j->file.end)
        put_bare(j, &g, ENTRY_FLAG_SEAL);
    if (g.to == g.from && !g.seals)
        return 0;
    pad(j, &g);
    g.used = true;
    j->written = g;
    j->marked = false;
    try_write(j, now);
    return (uint32_t)g.entry_count;
}

static void begin_sync(struct journal *j)
{
    j->syncing = j->written;
    j->written = (struct group){ 0 };
    if (anything_waits(j) && !j->syncing.seals) { /* worth writing beside it */
        j->sync_running = true;
        j->sync = (struct io_sync){ .file = j->file.file, .agent = &j->agent, .done = sync_done, .ctx = j };
        io_file_sync_start(&j->sync);
    } else {
        synced(j, io_file_sync(j->file.file));
    }
}

static void write_mark(struct journal *j, mono_time now)
{
    struct group g;
    if (j->file.end - j->position < ENTRY_HEADER_SIZE)
        return; /* the file is full to its end: whatever comes next carries the mark */
    group_begin(j, &g);
    g.last = &g.first;
    put_bare(j, &g, 0);
    pad(j, &g);
    g.used = true;
    j->written = g;
    if (try_write(j, now))
        begin_sync(j);
    j->marked = true;
}

static void timer_fired(struct io_timer *timer, mono_time now)
{
    struct journal *j = timer->ctx;
    CHECK_MAGIC(j, JOURNAL_MAGIC_OBJECT);
    if (j->stopped)
        return;
    if (j->write_stuck) {
        if (try_write(j, now))
            io_agent_wake(&j->agent);
    } else if (!j->marked && !j->syncing.used && !j->written.used && j->file.file != NULL && !anything_waits(j))
        write_mark(j, now);
}

/* ---- the agent ------------------------------------------------------------------------------------------------------------------ */

static void free_closed_clients(struct journal *j)
{
    for (uint32_t i = 0; i < CLIENT_COUNT_MAX; i++) {
        struct log_client *client = atomic_load_explicit(&j->log->clients[i], memory_order_relaxed);
        if (client == NULL)
            continue;
        io_mutex_take(j->log->shared.mutex);
        bool closing = client->closing;
        if (closing)
            atomic_store(&j->log->clients[i], NULL);
        io_mutex_drop(j->log->shared.mutex);
        if (closing) {
            must(ring_count(client->submitted) == 0);
            ring_free(&client->submitted);
            ring_free(&client->completed);
            free(client);
        }
    }
}

static uint32_t refuse_all(struct journal *j, enum neap_status status)
{
    uint32_t count = 0;
    for (struct log_unit *unit; (unit = next_unit(j)) != NULL; count++)
        complete_alone(j, unit, status);
    return count;
}

/* No spare to go on in: while the disk is full producers are told so, else the keeper is about to bring one. */
static uint32_t without_file(struct journal *j)
{
    if (switch_file(j))
        return 1;
    io_mutex_take(j->log->shared.mutex);
    bool full = j->log->shared.full;
    io_mutex_drop(j->log->shared.mutex);
    keeper_wake(j->log->keeper);
    return full ? refuse_all(j, NEAP_FULL) : 0;
}

static uint32_t journal_work(void *ctx, mono_time now)
{
    struct journal *j = ctx;
    CHECK_MAGIC(j, JOURNAL_MAGIC_OBJECT);
    if (atomic_exchange(&j->log->clients_closing, false))
        free_closed_clients(j);
    if (!j->stopped && atomic_load(&j->log->keeper_failed))
        fail(j, NEAP_IO, "housekeeping for"); /* why is known already */
    if (j->stopped)
        return refuse_all(j, NEAP_CLOSED);
    uint32_t work = 0;
    if (j->file.file == NULL && !j->syncing.used && !j->written.used)
        work += without_file(j);
    if (j->file.file != NULL && !j->written.used && !j->syncing.seals)
        work += build(j, now);
    if (j->written.used && !j->write_stuck && !j->sync_running) {
        begin_sync(j);
        work++;
    }
    if (!j->stopped && !j->marked && !j->write_stuck && !j->sync_running)
        io_timer_set(&j->timer, mono_after(now, j->log->options.idle_mark_ns));
    return work;
}

struct journal *journal_new(struct log *log, uint64_t position, uint64_t boot, int64_t time_ms)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return NULL;
    j->magic = JOURNAL_MAGIC_OBJECT;
    j->log = log;
    j->agent = (struct io_agent){ .name = "journal", .work = journal_work, .ctx = j };
    j->timer = (struct io_timer){ .agent = &j->agent, .fire = timer_fired, .ctx = j };
    take_file(j, open_file(&log->shared));
    must(position >= j->file.base + JOURNAL_HEADER_SIZE && position <= j->file.end);
    j->position = j->durable = position;
    j->boot = boot;
    j->time_ms = time_ms;
    j->index_count = index_in_memory(&log->shared, j->file.sequence)->count;
    return j;
}

void journal_free(struct journal **journal)
{
    struct journal *j = *journal;
    if (j == NULL)
        return;
    refuse_all(j, NEAP_CLOSED);
    free_closed_clients(j);
    j->magic = 0;
    free(j);
    *journal = NULL;
}

static enum neap_status land_boot_group(struct journal *j, struct group *g, struct error *err)
{
    pad(j, g);
    enum neap_status status = write_group(j, g);
    if (status == NEAP_OK)
        status = io_file_sync(j->file.file);
    if (status != NEAP_OK)
        return error_set(err, status, "first entry of boot %llu in %s: %s", (unsigned long long)j->boot,
                         io_file_path(j->file.file), status_text(status));
    make_visible(j, g);
    return NEAP_OK;
}

/* The crash left too little room for a first entry: end the file properly and begin in the next. */
static enum neap_status seal_at_boot(struct journal *j, struct error *err)
{
    struct group g;
    group_begin(j, &g);
    if (j->position < j->file.end)
        put_bare(j, &g, ENTRY_FLAG_SEAL);
    enum neap_status status = land_boot_group(j, &g, err);
    if (status != NEAP_OK)
        return status;
    seal(j, g.to);
    bool switched = switch_file(j);
    must(switched); /* recovery has made a spare */
    return NEAP_OK;
}

enum neap_status journal_boot(struct journal *j, struct error *err)
{
    static const char version[] = VERSION_TEXT;
    uint64_t body = op_size(0, sizeof(version) - 1);
    struct group g;
    if (j->file.end - j->position < round_up(ENTRY_HEADER_SIZE + body, ENTRY_BOUND)) {
        enum neap_status status = seal_at_boot(j, err);
        if (status != NEAP_OK)
            return status;
    }
    group_begin(j, &g);
    begin_entry(j, &g, false);
    struct op op = { .kind = OP_BOOT,
                     .offset = j->boot,
                     .payload = { (const uint8_t *)version, sizeof(version) - 1 },
                     .time_s = (uint32_t)(j->time_ms / 1000),
                     .position = j->position };
    tail_open(&j->log->tail, op.position, body);
    j->entry.body_crc = put_bytes(j, &op, 0);
    j->entry.body_size = (uint32_t)body;
    j->entry.op_count = 1;
    j->position += body;
    return land_boot_group(j, &g, err);
}

enum neap_status journal_start(struct journal *j, struct error *err)
{
    return io_agent_start(j->log->io, &j->agent, err);
}

/* An agent on the closing thread, for as long as it waits. A journal that failed while a sync ran has told its units, and
 * nobody else knows that the sync goes on. */
struct closer {
    struct io_agent agent;
    struct journal *journal;
};

static uint32_t closer_work(void *ctx, mono_time now)
{
    struct closer *closer = ctx;
    struct journal *j = closer->journal;
    (void)now;
    io_mutex_take(j->log->shared.mutex);
    bool running = j->sync_running;
    j->closer = running ? &closer->agent : NULL; /* whoever wakes it holds the mutex: nobody does after this */
    io_mutex_drop(j->log->shared.mutex);
    if (!running)
        io_agent_leave(&closer->agent);
    return 0;
}

void journal_stop(struct journal *j)
{
    if (j->sync_running) {
        struct closer closer = { .journal = j };
        closer.agent = (struct io_agent){ .name = "journal closer", .work = closer_work, .ctx = &closer };
        enum neap_status status = io_agent_run(j->log->io, &closer.agent, MONO_NEVER, NULL);
        must(status == NEAP_OK);
        io_agent_stop(&closer.agent);
    }
    io_agent_stop(&j->agent);
}

void journal_wake(struct journal *j)
{
    io_agent_wake(&j->agent);
}
