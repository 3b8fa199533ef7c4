/* append.c - events into a unit, straight into the writer's room: one batch for each partition that they meet.
 *
 * Nothing here is taken from the heap but the table of partitions, once for the largest topic. */
#include "base/murmur2.h"
#include "flow/pipeline.h"
#include "lib/writer.h"
#include <stdlib.h>

#define NONE             UINT32_MAX
#define RETENTION_MS_MAX (36500ll * 24 * 3600 * 1000)

static_assert(NEAP_EVENT_SIZE_MAX == RECORD_SIZE_MAX && NEAP_HEADER_COUNT_MAX == BATCH_HEADER_COUNT_MAX,
              "the log's limits are those that were promised");
static_assert(sizeof(struct neap_header) == sizeof(struct record_header) &&
                  offsetof(struct neap_header, value) == offsetof(struct record_header, value) &&
                  offsetof(struct neap_bytes, size) == offsetof(struct bytes, size),
              "headers are handed through as they came");

struct append {
    const struct neap_topic *topic;
    int32_t partition;
    const struct neap_event *events;
    size_t count;
    neap_done *done;
    void *ctx;
    int64_t now_ms;
};

/* ---- one event ----------------------------------------------------------------------------------------------------- */

static struct bytes inside(struct neap_bytes b)
{
    return (struct bytes){ b.at, b.size };
}

static size_t event_size(const struct neap_event *e)
{
    size_t size = e->key.size + e->value.size + e->id.size;
    for (uint32_t i = 0; i < e->header_count && size <= NEAP_EVENT_SIZE_MAX; i++)
        size += e->headers[i].name.size + e->headers[i].value.size;
    return size;
}

static bool is_id(const struct neap_header *h)
{
    return h->name.at != NULL && bytes_equal(inside(h->name), BYTES("neap.id"));
}

/* As many as there will be: the id is one of them. */
static uint32_t header_count_max(const struct neap_event *e)
{
    if (e->id.at == NULL || e->header_count < NEAP_HEADER_COUNT_MAX)
        return NEAP_HEADER_COUNT_MAX;
    for (uint32_t i = 0; e->headers != NULL && i < NEAP_HEADER_COUNT_MAX; i++)
        if (is_id(&e->headers[i]))
            return NEAP_HEADER_COUNT_MAX;
    return NEAP_HEADER_COUNT_MAX - 1;
}

static bool is_there(struct neap_bytes b)
{
    return b.at != NULL || b.size == 0;
}

static enum neap_status check_event(const struct neap_event *e, const struct lib_rules *rules)
{
    if (e->header_count > header_count_max(e) || (e->header_count > 0 && e->headers == NULL))
        return NEAP_MISUSE;
    if (e->key.at == NULL && rules->keyed)
        return NEAP_MISUSE;
    if (!is_there(e->key) || !is_there(e->value) || !is_there(e->id))
        return NEAP_MISUSE;
    for (uint32_t i = 0; i < e->header_count; i++)
        if (e->headers[i].name.at == NULL || !is_there(e->headers[i].value))
            return NEAP_MISUSE;
    /* each part alone first: a sum of sizes from strangers may go round */
    if (e->key.size > NEAP_EVENT_SIZE_MAX || e->value.size > NEAP_EVENT_SIZE_MAX || e->id.size > NEAP_EVENT_SIZE_MAX)
        return NEAP_TOOLARGE;
    for (uint32_t i = 0; i < e->header_count; i++)
        if (e->headers[i].name.size > NEAP_EVENT_SIZE_MAX || e->headers[i].value.size > NEAP_EVENT_SIZE_MAX)
            return NEAP_TOOLARGE;
    return event_size(e) <= rules->event_size_max ? NEAP_OK : NEAP_TOOLARGE;
}

static enum neap_status add_event(struct neap_writer *w, struct batch_builder *b, const struct append *a,
                                  const struct neap_event *e)
{
    struct record record = { .key = inside(e->key),
                             .value = inside(e->value),
                             .time_ms = e->time_ms != 0 ? e->time_ms : a->now_ms };
    if (e->id.at == NULL)
        return batch_add(b, &record, (const struct record_header *)(const void *)e->headers, e->header_count);
    uint32_t count = 0;
    for (uint32_t i = 0; i < e->header_count;
         i++) /* an event that was read has its id among them: it gets no second one */
        if (!is_id(&e->headers[i]))
            w->headers[count++] = (struct record_header){ inside(e->headers[i].name), inside(e->headers[i].value) };
    w->headers[count++] = (struct record_header){ BYTES("neap.id"), inside(e->id) };
    return batch_add(b, &record, w->headers, count);
}

/* ---- which partition ----------------------------------------------------------------------------------------------- */

static uint32_t partition_of(const struct neap_writer *w, const struct append *a, const struct neap_event *e)
{
    uint32_t count = a->topic->topic.partition_count;
    if (e->key.at != NULL)
        return murmur2_partition(inside(e->key), count);
    if (e->id.at != NULL)
        return murmur2_partition(inside(e->id), count);
    return (uint32_t)(w->turn % count);
}

static bool need_chains(struct neap_writer *w, uint32_t count)
{
    if (w->chain_count >= count)
        return true;
    struct writer_chain *grown = realloc(w->chains, count * sizeof *grown);
    if (grown == NULL)
        return false;
    for (uint32_t i = w->chain_count; i < count; i++)
        grown[i] = (struct writer_chain){ NONE, NONE };
    w->chains = grown;
    w->chain_count = count;
    return true;
}

static uint32_t sort_out(struct neap_writer *w, const struct append *a)
{
    uint32_t met_count = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t partition = partition_of(w, a, &a->events[i]);
        struct writer_chain *chain = &w->chains[partition];
        if (chain->first == NONE) {
            w->met[met_count++] = partition;
            chain->first = i;
        } else {
            w->next[chain->last] = i;
        }
        chain->last = i;
        w->next[i] = NONE;
    }
    return met_count;
}

static void forget_chains(struct neap_writer *w, uint32_t met_count)
{
    for (uint32_t i = 0; i < met_count; i++)
        w->chains[w->met[i]] = (struct writer_chain){ NONE, NONE };
}

/* ---- batches ------------------------------------------------------------------------------------------------------- */

static enum neap_status build_all(struct neap_writer *w, const struct append *a, uint8_t *room, size_t size,
                                  struct log_op *ret_op)
{
    struct batch_builder b;
    if (size < BATCH_HEADER_SIZE)
        return NEAP_AGAIN;
    batch_begin(&b, room, size);
    for (size_t i = 0; i < a->count; i++) {
        enum neap_status status = add_event(w, &b, a, &a->events[i]);
        if (status != NEAP_OK)
            return status;
    }
    *ret_op = (struct log_op){ .kind = LOG_APPEND, .count = b.count, .payload = batch_end(&b) };
    return NEAP_OK;
}

static enum neap_status build_chain(struct neap_writer *w, const struct append *a, uint32_t partition, uint8_t *room,
                                    size_t size, struct log_op *ret_op)
{
    struct batch_builder b;
    if (size < BATCH_HEADER_SIZE)
        return NEAP_AGAIN;
    batch_begin(&b, room, size);
    for (uint32_t i = w->chains[partition].first; i != NONE; i = w->next[i]) {
        enum neap_status status = add_event(w, &b, a, &a->events[i]);
        if (status != NEAP_OK)
            return status;
    }
    *ret_op = (struct log_op){ .kind = LOG_APPEND, .count = b.count, .payload = batch_end(&b) };
    return NEAP_OK;
}

/* The operations come first, then the batches they name. */
static enum neap_status build_chains(struct neap_writer *w, const struct append *a, uint32_t met_count, uint8_t *room,
                                     size_t size, uint8_t **ret_end)
{
    struct log_op *ops = (struct log_op *)(void *)room;
    size_t used = met_count * sizeof *ops;
    if (used > size)
        return NEAP_AGAIN;
    for (uint32_t i = 0; i < met_count; i++) {
        enum neap_status status = build_chain(w, a, w->met[i], room + used, size - used, &ops[i]);
        if (status != NEAP_OK)
            return status;
        ops[i].target = (struct log_partition){ a->topic->topic.id, w->met[i] };
        used += ops[i].payload.size;
    }
    *ret_end = room + used;
    return NEAP_OK;
}

static enum neap_status put_one(struct neap_writer *w, const struct append *a, uint32_t partition, uint8_t *room,
                                size_t size, struct writer_wait *wait)
{
    struct log_op op;
    enum neap_status status = build_all(w, a, room, size, &op);
    if (status != NEAP_OK)
        return status;
    op.target = (struct log_partition){ a->topic->topic.id, partition };
    return writer_submit(w, &op, 1, op.payload.at + op.payload.size, a->done, a->ctx, wait);
}

static enum neap_status put_many(struct neap_writer *w, const struct append *a, uint32_t met_count, uint8_t *room,
                                 size_t size, struct writer_wait *wait)
{
    uint8_t *end;
    enum neap_status status = build_chains(w, a, met_count, room, size, &end);
    return status == NEAP_OK ? writer_submit(w, (struct log_op *)(void *)room, met_count, end, a->done, a->ctx, wait)
                             : status;
}

/* There are two places where free room may lie in one piece. */
static enum neap_status put(struct neap_writer *w, const struct append *a, uint32_t partition, uint32_t met_count,
                            struct writer_wait *wait)
{
    enum neap_status status = NEAP_AGAIN;
    for (uint32_t piece = 0; piece < 2 && status == NEAP_AGAIN; piece++) {
        uint8_t *room;
        size_t size;
        if (writer_room(w, piece, &room, &size) != NEAP_OK)
            continue;
        status =
            met_count == 1 ? put_one(w, a, partition, room, size, wait) : put_many(w, a, met_count, room, size, wait);
    }
    return status == NEAP_AGAIN && w->call_count == 0 ? NEAP_TOOLARGE : status;
}

/* ---- the call ------------------------------------------------------------------------------------------------------ */

static enum neap_status check_append(const struct neap_writer *w, const struct append *a)
{
    if (a->topic == NULL || a->events == NULL || a->count == 0 || a->count > NEAP_APPEND_COUNT_MAX)
        return NEAP_MISUSE;
    CHECK_MAGIC(a->topic, LIB_TOPIC_MAGIC);
    if (a->topic->neap != w->neap)
        return NEAP_MISUSE;
    if (a->partition != NEAP_BY_KEY && (a->partition < 0 || !lib_has_partition(a->topic, (uint32_t)a->partition)))
        return NEAP_NOTFOUND;
    const struct lib_rules *rules = lib_rules(a->topic);
    size_t sum = 0;
    for (size_t i = 0; i < a->count; i++) {
        enum neap_status status = check_event(&a->events[i], rules);
        if (status != NEAP_OK)
            return status;
        sum += event_size(&a->events[i]);
    }
    return sum <= w->room_size && sum <= LOG_UNIT_SIZE_MAX ? NEAP_OK : NEAP_TOOLARGE;
}

static enum neap_status submit(struct neap_writer *w, const struct append *a, struct writer_wait *wait)
{
    uint32_t partition = (uint32_t)a->partition, met_count = 1;
    if (a->partition == NEAP_BY_KEY && (a->count == 1 || a->topic->topic.partition_count == 1)) {
        partition = partition_of(w, a, &a->events[0]);
    } else if (a->partition == NEAP_BY_KEY) {
        if (!need_chains(w, a->topic->topic.partition_count))
            return NEAP_NOMEM;
        met_count = sort_out(w, a);
        partition = w->met[0];
    }
    enum neap_status status =
        met_count > WRITER_PLACE_COUNT_MAX ? NEAP_TOOLARGE : put(w, a, partition, met_count, wait);
    if (a->partition == NEAP_BY_KEY && a->count > 1 && a->topic->topic.partition_count > 1)
        forget_chains(w, met_count);
    w->turn += status == NEAP_OK;
    return status;
}

static struct append append_of(const struct neap_topic *topic, int32_t partition, const struct neap_event *events,
                               size_t count)
{
    return (struct append){ .topic = topic, .partition = partition, .events = events, .count = count };
}

enum neap_status neap_append(struct neap_writer *w, const struct neap_topic *topic, int32_t partition,
                             const struct neap_event *events, size_t count, neap_done *done, void *ctx)
{
    enum lib_entered entered = w != NULL ? lib_enter(&w->guard) : LIB_TAKEN;
    if (entered == LIB_TAKEN)
        return NEAP_MISUSE;
    CHECK_MAGIC(w, LIB_WRITER_MAGIC);
    struct append a = append_of(topic, partition, events, count);
    a.done = done;
    a.ctx = ctx;
    enum neap_status status = check_append(w, &a);
    if (status == NEAP_OK) {
        a.now_ms = io_wall(w->neap->io).ms;
        status = submit(w, &a, NULL);
    }
    if (entered == LIB_ENTERED)
        lib_leave(&w->guard);
    return status;
}

static enum neap_status try_append(struct neap_writer *w, void *request, struct writer_wait *wait)
{
    return submit(w, request, wait);
}

enum neap_status neap_append_wait(struct neap_writer *w, const struct neap_topic *topic, int32_t partition,
                                  const struct neap_event *events, size_t count, int64_t timeout_ms,
                                  struct neap_place *ret_place)
{
    if (w == NULL || lib_enter(&w->guard) != LIB_ENTERED)
        return NEAP_MISUSE;
    CHECK_MAGIC(w, LIB_WRITER_MAGIC);
    struct append a = append_of(topic, partition, events, count);
    enum neap_status status = check_append(w, &a);
    if (status == NEAP_OK) {
        a.now_ms = io_wall(w->neap->io).ms;
        status = writer_wait(w, timeout_ms, try_append, &a, ret_place);
    }
    lib_leave(&w->guard);
    return status;
}

/* ---- what else goes the same way ------------------------------------------------------------------------------------- */

static enum neap_status try_named(struct neap_writer *w, void *request, struct writer_wait *wait)
{
    return writer_submit_named(w, *(struct log_op *)request, NULL, NULL, wait);
}

static enum neap_status commit_op(const struct neap_writer *w, const char *group, const struct neap_topic *topic,
                                  uint32_t partition, uint64_t offset, struct log_op *ret_op)
{
    struct pipeline_identity identity;
    if (group == NULL || topic == NULL || topic->neap != w->neap)
        return NEAP_MISUSE;
    if (log_name_check(group, NULL) != NEAP_OK)
        return NEAP_MISUSE;
    if (!lib_has_partition(topic, partition))
        return NEAP_NOTFOUND;
    struct log_partition first = { topic->topic.id, 0 };
    if (pipeline_identity(w->neap->log, first, group, &identity) != NEAP_NOTFOUND)
        return NEAP_CONFLICT;
    *ret_op = (struct log_op){
        .kind = LOG_OFFSET, .target = { topic->topic.id, partition }, .offset = { offset }, .name = bytes_of_text(group)
    };
    return NEAP_OK;
}

enum neap_status neap_commit(struct neap_writer *w, const char *group, const struct neap_topic *topic,
                             uint32_t partition, uint64_t offset, neap_done *done, void *ctx)
{
    enum lib_entered entered = w != NULL ? lib_enter(&w->guard) : LIB_TAKEN;
    if (entered == LIB_TAKEN)
        return NEAP_MISUSE;
    CHECK_MAGIC(w, LIB_WRITER_MAGIC);
    struct log_op op;
    enum neap_status status = commit_op(w, group, topic, partition, offset, &op);
    if (status == NEAP_OK)
        status = writer_submit_named(w, op, done, ctx, NULL);
    if (entered == LIB_ENTERED)
        lib_leave(&w->guard);
    return status;
}

enum neap_status neap_commit_wait(struct neap_writer *w, const char *group, const struct neap_topic *topic,
                                  uint32_t partition, uint64_t offset, int64_t timeout_ms)
{
    if (w == NULL || lib_enter(&w->guard) != LIB_ENTERED)
        return NEAP_MISUSE;
    CHECK_MAGIC(w, LIB_WRITER_MAGIC);
    struct log_op op;
    enum neap_status status = commit_op(w, group, topic, partition, offset, &op);
    if (status == NEAP_OK)
        status = writer_wait(w, timeout_ms, try_named, &op, NULL);
    lib_leave(&w->guard);
    return status;
}

/* ---- topics -------------------------------------------------------------------------------------------------------- */

static enum neap_status settings_of(const struct neap_topic_settings *given, struct log_topic_settings *ret_settings,
                                    struct error *err)
{
    struct log_topic_settings s = LOG_SETTINGS_USUAL;
    if (given != NULL && given->retention_ms != 0)
        s.retention_ms = given->retention_ms == NEAP_FOREVER ? -1 : given->retention_ms;
    if (given != NULL && given->retention_size != 0)
        s.retention_size = (int64_t)given->retention_size;
    if (given != NULL && (given->retention_ms < 0 || s.retention_ms > RETENTION_MS_MAX || s.retention_size < -1))
        return error_set(err, NEAP_MISUSE,
                         "retention_ms is up to 100 years, or NEAP_FOREVER; retention_size below 2^63");
    *ret_settings = s;
    return NEAP_OK;
}

static enum neap_status make_topic(struct neap_writer *w, const char *name, uint32_t partition_count,
                                   const struct log_topic_settings *settings, int64_t timeout_ms,
                                   struct log_topic *ret_found, struct error *err)
{
    uint8_t room[LOG_SETTINGS_SIZE];
    struct log_op op = { .kind = LOG_TOPIC_CREATE,
                         .count = partition_count != 0 ? partition_count : 1,
                         .name = bytes_of_text(name),
                         .payload = log_settings_encode(settings, room) };
    enum neap_status status = writer_wait(w, timeout_ms, try_named, &op, NULL);
    if (status == NEAP_OK || status == NEAP_EXISTS)
        status = log_topic_find(w->neap->log, name, ret_found);
    return status == NEAP_OK ? NEAP_OK : error_set(err, status, "make topic %s: %s", name, status_text(status));
}

static enum neap_status open_topic(struct neap_writer *w, const char *name, uint32_t partition_count,
                                   const struct neap_topic_settings *given, int64_t timeout_ms,
                                   struct log_topic *ret_found, struct error *err)
{
    struct log_topic_settings settings;
    enum neap_status status = log_name_check(name, err);
    if (status == NEAP_OK)
        status = settings_of(given, &settings, err);
    if (status != NEAP_OK)
        return status;
    if (partition_count > TOPIC_PARTITION_COUNT_MAX)
        return error_set(err, NEAP_MISUSE, "topic %s: at most %u partitions", name, TOPIC_PARTITION_COUNT_MAX);
    if (log_topic_find(w->neap->log, name, ret_found) != NEAP_OK)
        status = make_topic(w, name, partition_count, &settings, timeout_ms, ret_found, err);
    if (status == NEAP_OK && partition_count != 0 && ret_found->partition_count != partition_count)
        return error_set(err, NEAP_MISUSE, "topic %s has %u partitions, not %u", name, ret_found->partition_count,
                         partition_count);
    return status;
}

enum neap_status neap_topic_open_with(struct neap_writer *w, const char *name, uint32_t partition_count,
                                      const struct neap_topic_settings *settings, int64_t timeout_ms,
                                      struct neap_topic **ret_topic, struct neap_error *err)
{
    if (w == NULL || name == NULL || ret_topic == NULL)
        return lib_misuse(err, "a topic is opened with a writer, a name and room for the topic");
    CHECK_MAGIC(w, LIB_WRITER_MAGIC);
    if (lib_enter(&w->guard) != LIB_ENTERED)
        return lib_misuse(err, "the writer is in use by another thread, or this is one of its completions");
    struct log_topic found;
    struct error error = { 0 };
    enum neap_status status = open_topic(w, name, partition_count, settings, timeout_ms, &found, &error);
    lib_leave(&w->guard);
    return status == NEAP_OK ? lib_topic_new(w->neap, &found, ret_topic, err) : lib_error(err, &error);
}

enum neap_status neap_topic_open(struct neap_writer *w, const char *name, uint32_t partition_count, int64_t timeout_ms,
                                 struct neap_topic **ret_topic, struct neap_error *err)
{
    return neap_topic_open_with(w, name, partition_count, NULL, timeout_ms, ret_topic, err);
}

static enum neap_status trim(struct neap_writer *w, const struct neap_topic *topic, uint32_t partition, uint64_t offset,
                             int64_t timeout_ms)
{
    struct log_op op = { .kind = LOG_TRIM, .target = { topic->topic.id, partition } };
    log_offset start, end;
    enum neap_status status = lib_has_partition(topic, partition)
                                  ? log_partition_range(w->neap->log, op.target, &start, &end)
                                  : NEAP_NOTFOUND;
    if (status != NEAP_OK)
        return status;
    op.offset.n = offset == NEAP_END ? end.n : offset;
    if (op.offset.n > end.n)
        return NEAP_MISUSE;
    return op.offset.n <= start.n ? NEAP_OK : writer_wait(w, timeout_ms, try_named, &op, NULL);
}

enum neap_status neap_topic_trim(struct neap_writer *w, const struct neap_topic *topic, uint32_t partition,
                                 uint64_t offset, int64_t timeout_ms)
{
    if (w == NULL || topic == NULL || topic->neap != w->neap || lib_enter(&w->guard) != LIB_ENTERED)
        return NEAP_MISUSE;
    CHECK_MAGIC(w, LIB_WRITER_MAGIC);
    enum neap_status status = trim(w, topic, partition, offset, timeout_ms);
    lib_leave(&w->guard);
    return status;
}
