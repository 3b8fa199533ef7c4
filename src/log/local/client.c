/* client.c - handing units over: room first, so that the hand-over cannot fail. */
#include "log/batch.h"
#include "log/local/journal.h"
#include "log/local/views.h"
#include <stdlib.h>

#define GIVE_UP_NS   NS_PER_S /* after a deadline: for the answer that there is no room */
#define SETTLE_NS    (5 * NS_PER_S)
#define SLOT_WAIT_NS (2 * NS_PER_S)

/* AGAIN: all are taken; ret_closing: but some are about to be free. */
static enum neap_status take_slot(struct log *log, struct log_client *c, bool *ret_closing)
{
    enum neap_status status = NEAP_AGAIN;
    *ret_closing = false;
    io_mutex_take(log->shared.mutex);
    for (uint32_t i = 0; i < CLIENT_COUNT_MAX && status == NEAP_AGAIN; i++) {
        const struct log_client *there = atomic_load_explicit(&log->clients[i], memory_order_relaxed);
        *ret_closing = *ret_closing || (there != NULL && there->closing);
        if (there != NULL)
            continue;
        c->index = i;
        atomic_store_explicit(&log->clients[i], c, memory_order_release);
        status = NEAP_OK;
    }
    io_mutex_drop(log->shared.mutex);
    return status;
}

/* Whoever has closed one may open one: the journal frees it at its next turn, which may be behind a sync. */
static enum neap_status wait_for_slot(struct log *log, struct log_client *c)
{
    mono_time deadline = mono_after(io_now(log->io), SLOT_WAIT_NS);
    bool closing;
    enum neap_status status = take_slot(log, c, &closing);
    while (status == NEAP_AGAIN && closing && io_now(log->io).ns < deadline.ns) {
        journal_wake(log->journal);
        io_sleep(log->io, NS_PER_MS);
        status = take_slot(log, c, &closing);
    }
    return status;
}

enum neap_status log_client_open(struct log *log, const struct log_client_options *options,
                                 struct log_client **ret_client, struct error *err)
{
    CHECK_MAGIC(log, LOG_MAGIC);
    struct log_client *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return error_set(err, NEAP_NOMEM, "log client");
    c->log = log;
    c->rank = options->rank;
    c->inflight_count_max = options->inflight_count_max != 0 ? options->inflight_count_max : 256;
    c->inflight_size_max = options->inflight_size_max != 0 ? options->inflight_size_max : 8u << 20;
    atomic_init(&c->agent, options->agent);
    c->submitted = ring_new(sizeof(struct log_unit *), c->inflight_count_max);
    c->completed = ring_new(sizeof(struct log_unit *), c->inflight_count_max);
    enum neap_status status = c->submitted != NULL && c->completed != NULL ? wait_for_slot(log, c) : NEAP_NOMEM;
    if (status == NEAP_OK) {
        *ret_client = c;
        return NEAP_OK;
    }
    ring_free(&c->submitted);
    ring_free(&c->completed);
    free(c);
    return error_set(err, status, "log client: %s",
                     status == NEAP_AGAIN ? "too many of them at one time" : "out of memory");
}

void log_client_close(struct log_client **client)
{
    struct log_client *c = *client;
    if (c == NULL)
        return;
    must(c->inflight_count == c->abandoned_count);
    struct log *log = c->log;
    io_mutex_take(log->shared.mutex);
    c->closing = true; /* from here on the journal will not wake its agent; it frees it on a turn of its own */
    io_mutex_drop(log->shared.mutex);
    atomic_store(&log->clients_closing, true);
    journal_wake(log->journal);
    *client = NULL;
}

uint32_t log_client_inflight(const struct log_client *client)
{
    return client->inflight_count;
}

/* What can never be written is told at the door. Rule E3 compares these fields of a batch when it is read: here they are
 * looked at in place, as batch_open() would take as long as all else that a small batch costs. */
static enum neap_status check_append(const struct log_op *op)
{
    const uint8_t *b = op->payload.at;
    size_t size = op->payload.size;
    if (size < BATCH_HEADER_SIZE || size > INT32_MAX || get_be32(b + 8) != size - 12 || get_be32(b + 12) != 0 ||
        b[16] != 2 || (b[22] & 7) >= CODEC_COUNT)
        return NEAP_BADINPUT;
    uint32_t count = get_be32(b + 57);
    if (count == 0 || count > BATCH_UNPACKED_SIZE_MAX / BATCH_RECORD_SIZE_MIN) /* compressed, it may say any number */
        return NEAP_BADINPUT;
    if (op->count != count || get_be32(b + 23) != count - 1 || op->name.size != 0) /* only compaction leaves gaps */
        return NEAP_MISUSE;
    return NEAP_OK;
}

static enum neap_status check_settings(struct bytes payload)
{
    struct log_topic_settings settings;
    return payload.size == 0 || log_settings_decode(payload, &settings) == NEAP_OK ? NEAP_OK : NEAP_MISUSE;
}

static enum neap_status check_op(const struct log_op *op)
{
    char name[LOG_NAME_SIZE_MAX + 1];
    switch (op->kind) {
    case LOG_APPEND:
        return check_append(op);
    case LOG_OFFSET:
        return op->name.size > 0 && op->name.size <= LOG_KEY_SIZE_MAX && op->payload.size <= LOG_VALUE_SIZE_MAX
                   ? NEAP_OK
                   : NEAP_TOOLARGE;
    case LOG_TOPIC_ALTER:
        return op->name.size == 0 && op->count <= TOPIC_PARTITION_COUNT_MAX ? check_settings(op->payload) : NEAP_MISUSE;
    case LOG_TRIM:
        return op->name.size == 0 && (op->payload.size == 0 || op->payload.size == TRIM_PAYLOAD_SIZE) ? NEAP_OK
                                                                                                      : NEAP_MISUSE;
    case LOG_LOST:
        return op->name.size == 0 && op->payload.size == 0 && op->count > 0 ? NEAP_OK : NEAP_MISUSE;
    case LOG_REPLACE_:
        return NEAP_OK; /* the keeper's own */
    case LOG_BOOT_:
        return NEAP_MISUSE;
    case LOG_FACT:
        return op->name.size <= LOG_KEY_SIZE_MAX && op->payload.size <= LOG_VALUE_SIZE_MAX ? NEAP_OK : NEAP_TOOLARGE;
    case LOG_TOPIC_CREATE:
        if (op->name.size > LOG_NAME_SIZE_MAX || op->count == 0 || op->count > TOPIC_PARTITION_COUNT_MAX ||
            check_settings(op->payload) != NEAP_OK)
            return NEAP_MISUSE;
        memcpy(name, op->name.at, op->name.size);
        name[op->name.size] = 0;
        return strlen(name) == op->name.size ? log_name_check(name, NULL) : NEAP_MISUSE;
    case LOG_TOPIC_DELETE:
        return op->name.size == 0 && op->payload.size == 0 ? NEAP_OK : NEAP_MISUSE;
    }
    return NEAP_MISUSE;
}

static uint64_t unit_size_max(const struct log *log)
{
    uint64_t first = log->options.file_size < JOURNAL_FILE_SIZE_MIN ? log->options.file_size : JOURNAL_FILE_SIZE_MIN;
    uint64_t file = first - 2 * JOURNAL_PAGE_SIZE;
    uint64_t tail = (uint64_t)(log->tail.block_count - 1) * log->tail.block_size - JOURNAL_PAGE_SIZE;
    uint64_t max = file < tail ? file : tail;
    return max < LOG_UNIT_SIZE_MAX ? max : LOG_UNIT_SIZE_MAX;
}

/* What else a unit says of a topic that it deletes would be said of nothing. */
static bool deletes_its_own(const struct log_unit *unit)
{
    for (uint32_t i = 0; i < unit->count; i++)
        for (uint32_t n = 0; unit->ops[i].kind == LOG_TOPIC_DELETE && n < unit->count; n++)
            if (n != i && unit->ops[n].kind != LOG_TOPIC_CREATE &&
                unit->ops[n].target.topic_id == unit->ops[i].target.topic_id)
                return true;
    return false;
}

/* Whoever submits it: it ends in more room than there was. */
static bool gives_room(const struct log_unit *unit)
{
    for (uint32_t i = 0; i < unit->count; i++) {
        enum log_op_kind kind = unit->ops[i].kind;
        if (kind != LOG_TOPIC_DELETE && kind != LOG_TRIM && kind != LOG_TOPIC_ALTER &&
            (kind != LOG_OFFSET || !(unit->ops[i].view & LOG_OFFSET_FORGET)))
            return false;
    }
    return true;
}

/* What a consumer has done must not be done again because producers have filled the disk. */
static bool only_commits(const struct log_unit *unit)
{
    for (uint32_t i = 0; i < unit->count; i++)
        if (unit->ops[i].kind != LOG_OFFSET)
            return false;
    return true;
}

static enum log_rank rank_of(const struct log_client *client, const struct log_unit *unit)
{
    if (gives_room(unit))
        return LOG_RANK_HOUSE;
    return client->rank < LOG_RANK_PIPELINE && only_commits(unit) ? LOG_RANK_PIPELINE : client->rank;
}

static enum neap_status measure(const struct log_client *client, struct log_unit *unit)
{
    struct log *log = client->log;
    uint64_t size = ENTRY_HEADER_SIZE;
    unit->append_count_ = 0;
    if (unit->count == 0 || unit->count > LOG_UNIT_OP_COUNT_MAX || deletes_its_own(unit))
        return NEAP_MISUSE;
    for (uint32_t i = 0; i < unit->count; i++) {
        const struct log_op *op = &unit->ops[i];
        enum neap_status status = check_op(op);
        if (status != NEAP_OK)
            return status;
        size += op_size(op->name.size, op->payload.size);
        unit->append_count_ += op->kind == LOG_APPEND;
        if (size > unit_size_max(log))
            return NEAP_TOOLARGE;
    }
    unit->size_ = (uint32_t)round_up(size, ENTRY_BOUND);
    unit->rank_ = rank_of(client, unit);
    return unit->append_count_ <= log->shared.index_count_max ? NEAP_OK : NEAP_TOOLARGE;
}

enum neap_status log_submit(struct log_client *c, struct log_unit *unit)
{
    enum neap_status status = measure(c, unit);
    if (status != NEAP_OK)
        return status;
    if (c->inflight_count == c->inflight_count_max ||
        (c->inflight_count > 0 && c->inflight_size + unit->size_ > c->inflight_size_max))
        return NEAP_AGAIN;
    unit->client_ = c;
    unit->next_ = NULL;
    c->inflight_count++;
    c->inflight_size += unit->size_;
    bool pushed = ring_push(c->submitted, &unit);
    must(pushed); /* the ring holds inflight_count_max */
    journal_wake(c->log->journal);
    return NEAP_OK;
}

uint32_t log_client_work(struct log_client *c)
{
    uint32_t sum = 0;
    struct log_unit *units[32];
    size_t count;
    while ((count = ring_pop_many(c->completed, units, COUNT_OF(units))) > 0) {
        for (size_t i = 0; i < count; i++) /* the journal wrote to them last, on another core */
            __builtin_prefetch(units[i]);
        for (size_t i = 0; i < count; i++) {
            must(units[i]->client_ == c && c->inflight_count > 0);
            c->inflight_count--;
            c->inflight_size -= units[i]->size_;
            units[i]->done(units[i], units[i]->status_);
        }
        sum += (uint32_t)count;
    }
    return sum;
}

/* ---- the end of an owner ---------------------------------------------------------------------------------------------- */

struct settler {
    struct io_agent agent;
    struct log_client *client;
};

static struct io_agent *exchange_agent(struct log_client *c, struct io_agent *agent);

static uint32_t settler_work(void *ctx, mono_time now)
{
    struct settler *s = ctx;
    (void)now;
    uint32_t count = log_client_work(s->client);
    if (s->client->inflight_count == 0)
        io_agent_leave(&s->agent);
    return count;
}

void log_client_settle(struct log_client *c)
{
    struct settler s = { .client = c };
    s.agent = (struct io_agent){ .name = "settler", .work = settler_work, .ctx = &s };
    if (c->inflight_count == 0 || io_agent_attach(c->log->io, &s.agent, NULL) != NEAP_OK)
        return;
    struct io_agent *before = exchange_agent(c, &s.agent);
    if (io_agent_run(c->log->io, &s.agent, mono_after(io_now(c->log->io), SETTLE_NS), NULL) == NEAP_TIMEOUT) {
        log_give_up(c->log); /* a disk that is full is waited for no longer; one that stalls is */
        io_agent_run(c->log->io, &s.agent, MONO_NEVER, NULL);
    }
    exchange_agent(c, before);
    io_agent_stop(&s.agent);
}

/* ---- waiting, for callers that are no agent ------------------------------------------------------------------------------ */

/* On the caller's stack: an agent for as long as it waits. */
struct waiter {
    struct io_agent agent;
    struct log_client *client;
};

/* What is written is a copy: whoever has waited long enough leaves it behind, and the disk may take as long as it likes. */
struct waited {
    struct log_unit unit;
    struct waiter *waiter; /* NULL: nobody waits any more */
    struct log_op ops[];   /* and the bytes that they point at */
};

static uint8_t *copy_bytes(struct bytes *bytes, uint8_t *to)
{
    if (bytes->size > 0)
        memcpy(to, bytes->at, bytes->size);
    bytes->at = to;
    return to + bytes->size;
}

static struct waited *copy_unit(const struct log_unit *unit)
{
    if (unit->count == 0 || unit->count > LOG_UNIT_OP_COUNT_MAX)
        return NULL;
    size_t ops_size = unit->count * sizeof(struct log_op), size = 0;
    for (uint32_t i = 0; i < unit->count; i++)
        size += unit->ops[i].name.size + unit->ops[i].payload.size;
    struct waited *copy = malloc(sizeof(*copy) + ops_size + size);
    if (copy == NULL)
        return NULL;
    memcpy(copy->ops, unit->ops, ops_size);
    uint8_t *to = (uint8_t *)copy->ops + ops_size;
    for (uint32_t i = 0; i < unit->count; i++)
        to = copy_bytes(&copy->ops[i].payload, copy_bytes(&copy->ops[i].name, to));
    copy->unit = (struct log_unit){ .ops = copy->ops, .count = unit->count, .ctx = copy };
    return copy;
}

static void waited(struct log_unit *unit, enum neap_status status)
{
    struct waited *w = unit->ctx;
    unit->status_ = status;
    if (w->waiter != NULL) {
        io_agent_leave(&w->waiter->agent);
        return;
    }
    unit->client_->abandoned_count--;
    free(w);
}

static uint32_t waiter_work(void *ctx, mono_time now)
{
    struct waiter *w = ctx;
    (void)now;
    return log_client_work(w->client);
}

static struct io_agent *exchange_agent(struct log_client *c, struct io_agent *agent)
{
    io_mutex_take(c->log->shared.mutex); /* no wake of the former one is under way after this */
    struct io_agent *before = atomic_exchange(&c->agent, agent);
    io_mutex_drop(c->log->shared.mutex);
    return before;
}

/* OK: it has ended. TIMEOUT: it has not, though a write that waits for room has been given up. */
static enum neap_status wait_for_end(struct log_client *c, struct waiter *w, mono_time deadline)
{
    enum neap_status status = io_agent_run(c->log->io, &w->agent, deadline, NULL);
    if (status != NEAP_TIMEOUT)
        return status;
    logging_warn(c->log->logging, "the log has not answered in time; a write that waits for room is given up");
    log_give_up(c->log);
    return io_agent_run(c->log->io, &w->agent, mono_after(io_now(c->log->io), GIVE_UP_NS), NULL);
}

/* What the log has answered besides the status. */
static void take_over(struct log_unit *unit, const struct waited *copy)
{
    for (uint32_t i = 0; i < unit->count; i++) {
        unit->ops[i].target = copy->ops[i].target;
        unit->ops[i].offset = copy->ops[i].offset;
    }
}

static enum neap_status submit_and_wait(struct log_client *c, struct waited *copy, mono_time deadline)
{
    struct waiter w = { .client = c };
    w.agent = (struct io_agent){ .name = "waiter", .work = waiter_work, .ctx = &w };
    enum neap_status status = io_agent_attach(c->log->io, &w.agent, NULL);
    if (status != NEAP_OK)
        return status;
    struct io_agent *before = exchange_agent(c, &w.agent);
    copy->waiter = &w;
    copy->unit.done = waited;
    status = log_submit(c, &copy->unit);
    if (status == NEAP_OK) {
        status = wait_for_end(c, &w, deadline);
        must(status == NEAP_OK || status == NEAP_TIMEOUT);
        copy->waiter = NULL;
        c->abandoned_count += status == NEAP_TIMEOUT;
        status = status == NEAP_OK ? copy->unit.status_ : status;
    }
    exchange_agent(c, before);
    io_agent_stop(&w.agent);
    return status;
}

enum neap_status log_submit_wait(struct log_client *c, struct log_unit *unit, mono_time deadline)
{
    struct waited *copy = copy_unit(unit);
    if (copy == NULL)
        return unit->count == 0 || unit->count > LOG_UNIT_OP_COUNT_MAX ? NEAP_MISUSE : NEAP_NOMEM;
    enum neap_status status = submit_and_wait(c, copy, deadline);
    if (status == NEAP_TIMEOUT)
        return status; /* the copy is freed when it ends */
    take_over(unit, copy);
    free(copy);
    return status;
}
