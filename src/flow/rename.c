#include "flow/rename.h"
#include "base/arena.h"
#include "base/must.h"
#include "flow/pipeline.h"
#include <stdlib.h>

#define MOVE_ARENA_SIZE_MAX (64u << 20) /* facts are bounded by the log: fact_size_max */
#define MOVE_UNIT_OP_COUNT  512u
#define MOVE_UNIT_SIZE      (256u << 10)

struct move {
    struct log *log;
    struct arena *arena;
    const char *from, *to;
    struct log_op *ops;
    uint32_t count, room;
    uint8_t view; /* of the walk under way */
    struct log_partition at;
    bool failed; /* out of memory */
};

static void add_op(struct move *m, struct log_op op)
{
    if (m->count == m->room) {
        uint32_t room = m->room == 0 ? 64 : 2 * m->room;
        struct log_op *ops = realloc(m->ops, room * sizeof *ops);
        m->failed |= ops == NULL;
        if (ops == NULL)
            return;
        m->ops = ops;
        m->room = room;
    }
    m->failed |= op.name.at == NULL || (op.payload.size > 0 && op.payload.at == NULL);
    m->ops[m->count++] = op;
}

static struct bytes new_key(struct move *m, struct bytes old)
{
    size_t from_size = strlen(m->from), to_size = strlen(m->to);
    uint8_t *key = arena_take(m->arena, to_size + old.size - from_size);
    if (key == NULL)
        return (struct bytes){ NULL, 0 };
    memcpy(key, m->to, to_size);
    memcpy(key + to_size, old.at + from_size, old.size - from_size);
    return (struct bytes){ key, to_size + old.size - from_size };
}

/* One fact: its copy under the new name, and the old one forgotten. */
static bool move_fact(void *ctx, struct bytes key, struct bytes value)
{
    struct move *m = ctx;
    struct log_op op = { .kind = LOG_FACT, .view = m->view, .target = m->at };
    op.name = new_key(m, key);
    op.payload = arena_copy(m->arena, value);
    add_op(m, op);
    op.name = arena_copy(m->arena, key);
    op.payload = (struct bytes){ NULL, 0 };
    add_op(m, op);
    return !m->failed;
}

static void move_view(struct move *m, uint8_t view)
{
    m->view = view;
    struct bytes prefix = { (const uint8_t *)m->from, strlen(m->from) + 1 };
    log_fact_each(m->log, view, m->at, prefix, move_fact, m);
}

/* Under the old name it is forgotten: retention would wait for somebody who never comes back. */
static void move_offset(struct move *m, uint8_t *room)
{
    struct log_commit commit;
    if (log_offset_get(m->log, m->from, m->at, room, &commit) != NEAP_OK)
        return;
    add_op(m, (struct log_op){ .kind = LOG_OFFSET,
                               .view = LOG_OFFSET_HOLD,
                               .target = m->at,
                               .offset = commit.offset,
                               .name = bytes_of_text(m->to),
                               .payload = arena_copy(m->arena, commit.done_set) });
    add_op(m, (struct log_op){
                  .kind = LOG_OFFSET, .view = LOG_OFFSET_FORGET, .target = m->at, .name = bytes_of_text(m->from) });
}

/* Unless the old name itself was still waiting for its own former one: then that fact has moved with the others. */
static void add_pending(struct move *m, uint8_t *room)
{
    uint8_t key[LOG_KEY_SIZE_MAX];
    struct bytes value, old = { key, pipeline_was_key(key, m->from) };
    if (log_fact_get(m->log, LOG_VIEW_START, m->at, old, room, &value) == NEAP_OK)
        return;
    size_t size = pipeline_was_key(key, m->to);
    add_op(m, (struct log_op){ .kind = LOG_FACT,
                               .view = LOG_VIEW_START,
                               .target = m->at,
                               .name = arena_copy(m->arena, (struct bytes){ key, size }),
                               .payload = bytes_of_text(m->from) });
}

static void collect(struct move *m, uint32_t partition_count, uint8_t *room)
{
    static const uint8_t views[] = { LOG_VIEW_FILE, LOG_VIEW_FATE, LOG_VIEW_LEDGER, LOG_VIEW_SINK, LOG_VIEW_START };
    for (m->at.partition = 0; m->at.partition < partition_count; m->at.partition++) {
        for (size_t i = 0; i < COUNT_OF(views); i++)
            move_view(m, views[i]);
        move_offset(m, room);
        add_pending(m, room);
    }
    m->at.partition = 0; /* the identity comes last */
    struct bytes value, key = bytes_of_text(m->from);
    m->view = LOG_VIEW_START;
    enum neap_status status = log_fact_get(m->log, LOG_VIEW_START, m->at, key, room, &value);
    must(status == NEAP_OK);
    move_fact(m, key, value);
}

static enum neap_status submit_all(struct move *m, struct log_client *client, mono_time deadline, struct error *err)
{
    for (uint32_t done = 0; done < m->count;) {
        uint32_t count = 0;
        size_t size = 0;
        while (done + count < m->count && count < MOVE_UNIT_OP_COUNT && size < MOVE_UNIT_SIZE) {
            size += m->ops[done + count].name.size + m->ops[done + count].payload.size;
            count++;
        }
        struct log_unit unit = { .ops = m->ops + done, .count = count };
        enum neap_status status = log_submit_wait(client, &unit, deadline);
        if (status != NEAP_OK)
            return error_set(err, status, "carry pipeline %s over to %s: %s", m->from, m->to, status_text(status));
        done += count;
    }
    return NEAP_OK;
}

enum neap_status rename_pipeline(struct log *log, struct log_client *client, uint32_t topic_id,
                                 uint32_t partition_count, const char *from, const char *to, mono_time deadline,
                                 struct error *err)
{
    must(strcmp(from, to) != 0 && partition_count > 0);
    struct move m = { .log = log, .from = from, .to = to, .at = { topic_id, 0 } };
    struct pipeline_identity identity;
    if (pipeline_identity(log, m.at, to, &identity) == NEAP_OK)
        return NEAP_EXISTS;
    if (pipeline_identity(log, m.at, from, &identity) != NEAP_OK)
        return NEAP_NOTFOUND;
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    m.arena = arena_new(64u << 10, MOVE_ARENA_SIZE_MAX);
    enum neap_status status = NEAP_NOMEM;
    if (room != NULL && m.arena != NULL) {
        collect(&m, partition_count, room);
        status = m.failed ? NEAP_NOMEM : NEAP_OK;
    }
    if (status == NEAP_OK)
        status = submit_all(&m, client, deadline, err);
    else
        error_set(err, status, "carry pipeline %s over to %s: out of memory", from, to);
    if (m.arena != NULL)
        arena_free(&m.arena);
    free(m.ops);
    free(room);
    return status;
}

enum neap_status rename_pending(struct log *log, uint32_t topic_id, uint32_t partition_count, const char *name,
                                uint8_t *room, struct bytes *ret_was)
{
    uint8_t key[LOG_KEY_SIZE_MAX];
    struct bytes was = { key, pipeline_was_key(key, name) };
    for (uint32_t i = 0; i < partition_count; i++) {
        struct log_partition at = { topic_id, i };
        if (log_fact_get(log, LOG_VIEW_START, at, was, room, ret_was) == NEAP_OK)
            return NEAP_OK;
    }
    return NEAP_NOTFOUND;
}
