/* sink_world.h - a sink met as its task meets it: events in, batches landed, one turn after the other. */
#ifndef TEST_SINK_WORLD_H
#define TEST_SINK_WORLD_H

#include "check.h"

#include "io/real.h"
#include "log/limits.h"
#include "scratch.h"
#include "sink/sinks.h"

#define WORLD_SINK_COUNT_MAX   4
#define WORLD_COLUMN_COUNT_MAX 8

struct sink_world {
    struct scratch scratch;
    struct io *io;
    struct io_agent agent;
    struct sink *sinks[WORLD_SINK_COUNT_MAX]; /* worked on in every turn */
    uint32_t sink_count, waiting;
    struct json_parser *parser;
    struct arena *arena;
    struct expr_machine *machine;
    struct expr *exprs[64];
    uint32_t expr_count;
    struct error err;
};

static inline uint32_t world_turn(void *ctx, mono_time now)
{
    struct sink_world *w = ctx;
    (void)now;
    uint32_t work = 0;
    for (uint32_t i = 0; i < w->sink_count; i++)
        work += w->sinks[i]->verbs->work(w->sinks[i]);
    if (w->waiting == 0)
        io_agent_leave(&w->agent);
    return work;
}

static inline void world_open(struct sink_world *w)
{
    *w = (struct sink_world){ 0 };
    scratch_init(&w->scratch);
    w->io = io_real_open(&w->err);
    assert_non_null(w->io);
    w->agent = (struct io_agent){ .name = "tasks", .work = world_turn, .ctx = w };
    assert_int_equal(io_agent_attach(w->io, &w->agent, &w->err), NEAP_OK);
    w->parser = json_parser_new(RECORD_SIZE_MAX);
    w->arena = arena_new(1 << 16, 64u << 20);
    w->machine = expr_machine_new(&(struct expr_options){ 0 }, &w->err);
    assert_true(w->parser != NULL && w->arena != NULL && w->machine != NULL);
}

static inline void world_close(struct sink_world *w)
{
    assert_int_equal(w->sink_count, 0);
    for (uint32_t i = 0; i < w->expr_count; i++)
        expr_free(&w->exprs[i]);
    expr_machine_free(&w->machine);
    arena_free(&w->arena);
    json_parser_free(&w->parser);
    io_agent_stop(&w->agent);
    io_real_close(&w->io);
    scratch_fini(&w->scratch);
}

static inline struct expr *world_expr(struct sink_world *w, const char *text)
{
    static const struct expr_place place = { .file = "test.yaml", .line = 1, .column = 1, .what = "test" };
    assert_true(w->expr_count < 64);
    struct expr **expr = &w->exprs[w->expr_count++];
    if (expr_new(w->machine, text, &place, expr, &w->err) != NEAP_OK)
        fail_msg("%s", w->err.text);
    return *expr;
}

static inline void world_add(struct sink_world *w, struct sink *sink)
{
    assert_true(w->sink_count < WORLD_SINK_COUNT_MAX);
    w->sinks[w->sink_count++] = sink;
}

static inline void world_drop(struct sink_world *w, struct sink *sink)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->sink_count; i++) {
        if (w->sinks[i] != sink)
            w->sinks[kept++] = w->sinks[i];
    }
    w->sink_count = kept;
    sink->verbs->close(sink);
}

/* Turns until everything handed over has been answered. */
static inline void world_settle(struct sink_world *w)
{
    if (w->waiting > 0)
        assert_int_equal(io_agent_run(w->io, &w->agent, mono_after(io_now(w->io), 60 * NS_PER_S), &w->err), NEAP_OK);
    assert_int_equal(w->waiting, 0);
}

/* ---- a task's batch ---- */

struct landing {
    struct sink_batch batch;
    struct sink_world *world;
    struct sink *sink;
    uint8_t *room;
    struct writer rows;
    struct sink_refused refused[SINK_REFUSED_COUNT_MAX];
    struct log_op ops[SINK_OP_COUNT_MAX];
};

static inline void landing_answered(struct sink_batch *batch)
{
    struct landing *l = batch->ctx;
    l->world->waiting--;
}

static inline struct landing *landing_new(struct sink_world *w, struct sink *sink, struct log_partition source)
{
    struct landing *l = calloc(1, sizeof(*l));
    assert_non_null(l);
    l->world = w;
    l->sink = sink;
    l->room = malloc(sink->batch_size);
    assert_non_null(l->room);
    l->rows = writer_of(l->room, sink->batch_size);
    l->batch.agent = &w->agent;
    l->batch.done = landing_answered;
    l->batch.ctx = l;
    l->batch.source = source;
    l->batch.refused = l->refused;
    l->batch.ops = l->ops;
    return l;
}

static inline void landing_free(struct landing **landing)
{
    free((*landing)->room);
    free(*landing);
    *landing = NULL;
}

static inline void landing_clear(struct landing *l)
{
    l->rows = writer_of(l->room, l->sink->batch_size);
    l->batch.row_count = 0;
    l->batch.taken_size = 0;
}

static inline enum neap_status landing_try(struct landing *l, uint64_t offset, const char *json, struct event *event,
                                           struct failure *failure)
{
    struct sink_world *w = l->world;
    arena_reset(w->arena);
    event->json = bytes_of_text(json);
    event->offset = (log_offset){ offset };
    event->partition = l->batch.source.partition;
    event->attempt = 1;
    event->topic = "events";
    assert_int_equal(json_parse(w->parser, event->json, &event->root), NEAP_OK);
    enum neap_status status = l->sink->verbs->add(l->sink, &l->rows, event, w->arena, failure);
    l->batch.row_count += status == NEAP_OK;
    return status;
}

static inline void landing_add(struct landing *l, uint64_t offset, const char *json)
{
    struct failure failure = { 0 };
    assert_int_equal(landing_try(l, offset, json, &(struct event){ 0 }, &failure), NEAP_OK);
    l->batch.commit_point = (log_offset){ offset + 1 };
}

static inline void landing_start(struct landing *l)
{
    l->batch.rows = writer_bytes(&l->rows);
    l->batch.ledger.delivered += l->batch.row_count;
    l->world->waiting++;
    l->sink->verbs->land(l->sink, &l->batch);
}

static inline enum neap_status landing_land(struct landing *l)
{
    landing_start(l);
    world_settle(l->world);
    if (l->batch.status != NEAP_OK)
        l->batch.ledger.delivered -= l->batch.row_count;
    return l->batch.status;
}

/* ---- a task's question ---- */

static inline void recover_answered(struct sink_recover *recover)
{
    struct sink_world *w = recover->ctx;
    w->waiting--;
}

static uint8_t world_done_rooms[2][LOG_VALUE_SIZE_MAX]; /* of the answer at hand */

static inline struct sink_recover world_recover(struct sink_world *w, struct sink *sink, struct log_partition source,
                                                uint64_t epoch, bool take_over)
{
    struct sink_recover r = { .agent = &w->agent,
                              .done = recover_answered,
                              .ctx = w,
                              .source = source,
                              .owner_epoch = epoch,
                              .done_rooms = { world_done_rooms[0], world_done_rooms[1] },
                              .take_over = take_over };
    w->waiting++;
    sink->verbs->recover(sink, &r);
    world_settle(w);
    return r;
}

#endif
