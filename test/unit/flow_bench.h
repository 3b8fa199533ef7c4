/* flow_bench.h - a pipeline on a real log behind the real door, with a sink that does what the test's script says.
 *
 * Events are {"n":N}, N counting from 0 in each partition. The stage drops where N % 10 is 3, fails where it is 7; where N
 * % 50 is 11 the value is no JSON. The sink's "database" outlives every restart. A waiting stage may stand behind that stage or
 * before it, where works end in an order of chance. */
#ifndef TEST_FLOW_BENCH_H
#define TEST_FLOW_BENCH_H

#include "scratch.h"

#include "base/must.h"
#include "flow/fate.h"
#include "flow/task.h"
#include "io/real.h"

#define PARTITION_MAX 8u
#define LANDED_MAX    20000u

enum fate_of { DELIVERED, FILTERED, FAILED, NOT_JSON };

static inline enum fate_of fate_of(uint64_t n)
{
    return n % 50 == 11 ? NOT_JSON : n % 10 == 3 ? FILTERED : n % 10 == 7 ? FAILED : DELIVERED;
}

struct landed {
    uint32_t partition;
    uint64_t offset;
};

struct fake { /* a sink, and the world behind it */
    struct sink sink;
    bool own_offsets;
    uint8_t sets[PARTITION_MAX][4096];
    struct sink_row rows[PARTITION_MAX], strangers[PARTITION_MAX], was_rows[PARTITION_MAX];
    bool rows_there;
    struct landed landed[LANDED_MAX];
    uint32_t landed_count, land_count;
    /* What becomes of the batch; `apply` says whether the world has it all the same. */
    enum neap_status (*script)(struct fake *fake, struct sink_batch *batch, bool *apply);
    uint64_t script_number; /* the script's */
    struct log_op op;
    struct sink_recover *recovers;
    struct sink_batch *batches;
    struct fake *was_of; /* answers for the former name of that one */
};

/* A stage whose works end in any order, some after another attempt. */
#define MILL_WIDTH 9u
#define KEY_COUNT  7u
struct mill {
    struct waiting waiting;
    struct waiting_work *works[MILL_WIDTH];
    bool cancelled[MILL_WIDTH];
    uint64_t offsets[MILL_WIDTH];
    uint32_t count;
    uint64_t seed, failed_once; /* by the low bits of offsets */
    bool stuck;                 /* nothing ends */
};

enum bench_mill { NO_MILL, MILL_BEHIND, MILL_BEFORE }; /* the stage that drops and fails */
static enum bench_mill bench_mill; /* of benches from now on */

struct bench {
    struct scratch scratch;
    struct io *io;
    struct log *log;
    struct log_client *client;
    struct io_agent agent;
    struct json_parser *parser;
    struct arena *arena, *letter_arena;
    struct codec_room unpack;
    struct stage stage;
    struct chain *chain, *chains[1];
    struct mill mill;
    struct waiting *stages[1];
    struct fake fake, was;
    struct pipeline *pipeline;
    struct task *tasks[PARTITION_MAX];
    uint32_t partition_count;
    struct log_topic topic, dead;
    bool (*until)(struct bench *b);
    uint64_t until_number;
    /* settings, before bench_open() */
    const char *name;
    enum start_rule start;
    uint32_t kit_count;
    bool with_was;
    enum codec codec; /* of what is appended from now on */
    uint64_t turns;
};

/* ---- the sink ---- */

static inline struct fake *fake_of(struct sink *sink)
{
    return (struct fake *)(void *)sink;
}

static inline enum neap_status fake_add(struct sink *sink, struct writer *rows, const struct event *event,
                                        struct arena *arena, struct failure *failure)
{
    if (rows->end - rows->at < 8)
        return NEAP_AGAIN;
    write_le64(rows, event->offset.n);
    return NEAP_OK;
}

static inline void fake_recover(struct sink *sink, struct sink_recover *recover)
{
    recover->next_ = fake_of(sink)->recovers;
    fake_of(sink)->recovers = recover;
    io_agent_wake(recover->agent);
}

static inline void fake_land(struct sink *sink, struct sink_batch *batch)
{
    batch->next_ = fake_of(sink)->batches;
    fake_of(sink)->batches = batch;
    io_agent_wake(batch->agent);
}

static inline void fake_apply(struct fake *f, const struct sink_batch *b)
{
    struct reader r = reader_of(b->rows);
    for (uint32_t i = 0; i < b->row_count; i++) {
        must(f->landed_count < LANDED_MAX);
        f->landed[f->landed_count++] = (struct landed){ b->source.partition, read_le64(&r) };
    }
    must(!r.spent && reader_left(&r) == 0);
    struct sink_row *row = &f->rows[b->source.partition];
    row->found = true;
    row->commit_point = b->commit_point;
    row->ledger = b->ledger;
    must(b->done_set.size <= sizeof f->sets[0]);
    memcpy(f->sets[b->source.partition], b->done_set.at, b->done_set.size);
    row->done = (struct bytes){ f->sets[b->source.partition], b->done_set.size };
}

static inline void fake_answer(struct fake *f, struct sink_recover *r)
{
    uint32_t p = r->source.partition;
    struct fake *world = f->was_of != NULL ? f->was_of : f;
    r->status = NEAP_OK;
    r->row = !world->own_offsets ? (struct sink_row){ 0 } : f->was_of != NULL ? world->was_rows[p] : world->rows[p];
    r->stranger = world->strangers[p];
    r->rows_there = world->rows_there;
    must(r->row.owner_epoch < r->owner_epoch);
    world->rows[p].owner_epoch = f->was_of != NULL ? world->rows[p].owner_epoch : r->owner_epoch;
    r->done(r);
}

static inline uint32_t fake_work(struct sink *sink)
{
    struct fake *f = fake_of(sink);
    uint32_t work = 0;
    for (struct sink_recover *r; (r = f->recovers) != NULL; work++) {
        f->recovers = r->next_;
        fake_answer(f, r);
    }
    for (struct sink_batch *b; (b = f->batches) != NULL; work++) {
        f->batches = b->next_;
        bool apply = true;
        must(b->row_count > 0 || f->own_offsets);
        f->land_count++;
        b->status = f->script != NULL ? f->script(f, b, &apply) : NEAP_OK;
        if (apply && (b->status == NEAP_OK || b->status == NEAP_IO))
            fake_apply(f, b);
        if (b->status != NEAP_OK)
            error_set(&b->error, b->status, "as the script says");
        b->done(b);
    }
    return work;
}

static inline void fake_close(struct sink *sink)
{
    must(fake_of(sink)->batches == NULL && fake_of(sink)->recovers == NULL);
}

static const struct sink_verbs fake_verbs = { "fake",       true,      true,      fake_add,
                                              fake_recover, fake_land, fake_work, fake_close };
static const struct sink_verbs fake_verbs_log = { "fake",       false,     true,      fake_add,
                                                  fake_recover, fake_land, fake_work, fake_close };

/* ---- the stage ---- */

static inline enum stage_outcome fake_stage(struct stage *stage, struct event *event, struct arena *arena,
                                            struct failure *failure)
{
    struct json_value n;
    must(json_get(event->root, BYTES("n"), &n));
    switch (fate_of((uint64_t)json_int(n))) {
    case FILTERED:
        return STAGE_DROP;
    case FAILED:
        *failure = (struct failure){ .reason = "expression",
                                     .stage = "odd",
                                     .message = BYTES("event.m is nil"),
                                     .file = "neap.yaml",
                                     .line = 3,
                                     .column = 5 };
        return STAGE_FAIL;
    default:
        return STAGE_PASS;
    }
}
static inline void fake_stage_free(struct stage *stage)
{
    must(stage->verbs->run == fake_stage); /* it lies in the bench */
}
static const struct stage_verbs fake_stage_verbs = { "filter", fake_stage, fake_stage_free };

/* ---- the stage that waits ---- */

static inline enum waiting_begun mill_begin(struct waiting *stage, struct waiting_work *work, struct event *event,
                                            struct arena *arena, struct failure *failure, mono_time *ret_not_before)
{
    struct mill *m = (struct mill *)(void *)stage;
    must(m->count < MILL_WIDTH);
    m->works[m->count] = work;
    m->offsets[m->count] = event->offset.n;
    m->cancelled[m->count++] = false;
    return WAITING_BEGUN;
}

static inline bool mill_end(struct mill *m, uint32_t index)
{
    struct waiting_work *work = m->works[index];
    uint64_t offset = m->offsets[index], bit = 1ull << (offset % 64);
    bool again = offset % 9 == 4 && (m->failed_once & bit) == 0;
    work->outcome = m->cancelled[index] ? OUTCOME_RELEASED : again ? OUTCOME_TRANSIENT : OUTCOME_DELIVERED;
    if (work->outcome == OUTCOME_TRANSIENT)
        work->failure = (struct failure){ .reason = "call", .stage = "mill", .message = BYTES("not now") };
    if (!work->done(work))
        return false;
    m->failed_once ^= offset % 9 == 4 ? bit : 0;
    m->count--;
    m->works[index] = m->works[m->count];
    m->offsets[index] = m->offsets[m->count];
    m->cancelled[index] = m->cancelled[m->count];
    return true;
}

static inline uint32_t mill_work(struct waiting *stage, mono_time now)
{
    struct mill *m = (struct mill *)(void *)stage;
    uint32_t count = m->count;
    if (m->stuck && !m->cancelled[0])
        return 0;
    for (uint32_t i = 0; i < count && m->count > 0 && chance_below(&m->seed, 3) != 0; i++)
        (void)mill_end(m, (uint32_t)chance_below(&m->seed, m->count));
    return count; /* there is more to do until all have ended */
}

static inline void mill_cancel(struct waiting *stage, struct waiting_work *work)
{
    struct mill *m = (struct mill *)(void *)stage;
    for (uint32_t i = 0; i < m->count; i++)
        m->cancelled[i] |= m->works[i] == work;
}

static inline void mill_free(struct waiting *stage)
{
    must(((struct mill *)(void *)stage)->count == 0);
}

static const struct waiting_verbs mill_verbs = {
    .kind = "mill", .takes_bytes = true, .begin = mill_begin, .cancel = mill_cancel, .work = mill_work, .free = mill_free
};

/* ---- the bench ---- */

static inline mono_time soon(struct bench *b)
{
    return mono_after(io_now(b->io), 60 * NS_PER_S);
}

static inline uint32_t bench_work(void *ctx, mono_time now)
{
    struct bench *b = ctx;
    b->turns++;
    uint32_t work = b->pipeline != NULL ? pipeline_work(b->pipeline, now) : 0;
    work += log_client_work(b->client) + fake_work(&b->fake.sink) + fake_work(&b->was.sink);
    for (uint32_t i = 0; i < b->partition_count; i++)
        work += task_work(b->tasks[i], now);
    if (b->until(b))
        io_agent_leave(&b->agent);
    return work;
}

static inline bool all_idle(struct bench *b)
{
    bool idle = true;
    for (uint32_t i = 0; i < b->partition_count; i++)
        idle = idle && task_idle(b->tasks[i]);
    return idle;
}

static inline bool all_at_rest(struct bench *b)
{
    bool rest = true;
    for (uint32_t i = 0; i < b->partition_count; i++)
        rest = rest && task_at_rest(b->tasks[i]);
    return rest;
}

static inline void bench_run(struct bench *b, bool (*until)(struct bench *b))
{
    struct error err = { 0 };
    b->until = until;
    if (io_agent_run(b->io, &b->agent, soon(b), &err) != NEAP_OK)
        fail_msg("it did not come to its end: %s", err.text);
}

static inline void bench_init(struct bench *b, uint32_t partition_count)
{
    memset(b, 0, sizeof *b);
    scratch_init(&b->scratch);
    b->io = io_real_open(NULL);
    b->name = "commits";
    b->kit_count = partition_count;
    b->partition_count = partition_count;
    b->fake.own_offsets = true;
    b->fake.sink = (struct sink){ .verbs = &fake_verbs, .name = "sink", .batch_size = 8 * 64, .row_count_max = 50 };
    b->was = b->fake;
    b->was.was_of = &b->fake;
    b->stage = (struct stage){ &fake_stage_verbs, "odd" };
    b->parser = json_parser_new(RECORD_SIZE_MAX);
    struct chain_step step = { .stage = &b->stage };
    b->chain = chain_new(&step, bench_mill != MILL_BEHIND, b->parser);
    b->chains[0] = chain_new(&step, bench_mill == MILL_BEHIND, b->parser);
    b->mill = (struct mill){ .waiting = { .verbs = &mill_verbs,
                                          .name = "mill",
                                          .retry = { 3, NS_PER_MS, 2 * NS_PER_MS },
                                          .timeout_ns = NS_PER_S,
                                          .concurrency = MILL_WIDTH },
                             .seed = 5 };
    b->stages[0] = &b->mill.waiting;
    b->arena = arena_new(64 << 10, 8 << 20);
    b->letter_arena = arena_new(64 << 10, 1 << 20);
    codec_room_init(&b->unpack, 1 << 20);
    b->agent = (struct io_agent){ .name = "shard", .work = bench_work, .ctx = b };
}

static inline void bench_log_open(struct bench *b)
{
    struct error err = { 0 };
    struct log_options options = {
        .path = scratch_path(&b->scratch, "data"), .disk_size = 64 << 20, .file_size = 4 << 20, .fact_size_max = 4 << 20
    };
    if (log_open(b->io, &options, &b->log, &err) != NEAP_OK)
        fail_msg("%s", err.text);
    assert_int_equal(io_agent_attach(b->io, &b->agent, &err), NEAP_OK);
    struct log_client_options client = { .agent = &b->agent };
    assert_int_equal(log_client_open(b->log, &client, &b->client, &err), NEAP_OK);
    assert_int_equal(log_watch(b->log, &b->agent), NEAP_OK);
    assert_int_equal(log_topic_ensure(b->client, "in", b->partition_count, soon(b), &b->topic, &err), NEAP_OK);
    assert_int_equal(log_topic_ensure(b->client, "in.dead", 2, soon(b), &b->dead, &err), NEAP_OK);
}

static inline void bench_open(struct bench *b)
{
    struct error err = { 0 };
    bench_log_open(b);
    struct pipeline_options o = { .io = b->io,
                                  .log = b->log,
                                  .agent = &b->agent,
                                  .client = b->client,
                                  .arena = b->arena,
                                  .letter_arena = b->letter_arena,
                                  .unpack = &b->unpack,
                                  .name = b->name,
                                  .topic = "in",
                                  .topic_id = b->topic.id,
                                  .partition_count = b->partition_count,
                                  .dead_topic_id = b->dead.id,
                                  .dead_partition_count = 2,
                                  .chain = b->chain,
                                  .sink = &b->fake.sink,
                                  .was_sink = b->with_was ? &b->was.sink : NULL,
                                  .start = b->start,
                                  .stage_count = bench_mill != NO_MILL,
                                  .stages = b->stages,
                                  .chains = b->chains,
                                  .watch_ns = 20 * NS_PER_MS,
                                  .window = { .slot_count = 40, .size = 8 << 10, .reserve = 1 << 10 },
                                  .kit_count = b->kit_count };
    struct log_partition source = { b->topic.id, 0 };
    b->fake.sink.verbs = b->fake.own_offsets ? &fake_verbs : &fake_verbs_log;
    assert_int_equal(pipeline_raise_epoch(b->io, b->log, b->client, source, b->name, true, soon(b), &o.owner_epoch,
                                          &err),
                     NEAP_OK);
    assert_int_equal(pipeline_open(&o, &b->pipeline, &err), NEAP_OK);
    for (uint32_t i = 0; i < b->partition_count; i++)
        assert_int_equal(task_new(b->pipeline, i, &b->tasks[i], &err), NEAP_OK);
}

/* Comes to rest first, as a node does that is told to stop. */
static inline void bench_close(struct bench *b)
{
    if (b->pipeline != NULL) {
        for (uint32_t i = 0; i < b->partition_count; i++)
            task_drain(b->tasks[i]);
        bench_run(b, all_at_rest);
        for (uint32_t i = 0; i < b->partition_count; i++)
            task_free(&b->tasks[i]);
        pipeline_close(&b->pipeline);
    }
    log_unwatch(b->log, &b->agent);
    log_client_close(&b->client);
    io_agent_stop(&b->agent);
    log_close(&b->log);
}

static inline void bench_fini(struct bench *b)
{
    chain_free(&b->chain);
    chain_free(&b->chains[0]);
    json_parser_free(&b->parser);
    arena_free(&b->arena);
    arena_free(&b->letter_arena);
    codec_room_fini(&b->unpack);
    io_real_close(&b->io);
    scratch_fini(&b->scratch);
}

static inline void append_batch(struct bench *b, uint32_t partition, struct bytes batch, uint32_t count)
{
    struct log_op op = { .kind = LOG_APPEND, .target = { b->topic.id, partition }, .count = count, .payload = batch };
    struct log_unit unit = { .ops = &op, .count = 1 };
    assert_int_equal(log_submit_wait(b->client, &unit, soon(b)), NEAP_OK);
}

/* Events from..to in one batch. */
static inline struct bytes make_batch(struct bench *b, uint64_t from, uint64_t to)
{
    static uint8_t room[256 << 10], packed_room[300 << 10];
    struct batch_builder builder;
    char text[64];
    batch_begin(&builder, room, sizeof room);
    for (; from < to; from++) {
        snprintf(text, sizeof text, fate_of(from) == NOT_JSON ? "{\"n\":%llu" : "{\"n\":%llu}",
                 (unsigned long long)from);
        uint8_t key = bench_mill == NO_MILL ? 'k' : (uint8_t)('a' + from % KEY_COUNT);
        struct record record = { .key = { &key, 1 }, .value = bytes_of_text(text), .time_ms = (int64_t)from };
        assert_int_equal(batch_add(&builder, &record, NULL, 0), NEAP_OK);
    }
    struct bytes batch = batch_end(&builder);
    if (b->codec != CODEC_NONE)
        assert_int_equal(batch_pack(batch, b->codec, packed_room, sizeof packed_room, &batch), NEAP_OK);
    return batch;
}

/* Appends events from..to to a partition, `per_batch` in a batch, and waits until they are durable. */
static inline void bench_append(struct bench *b, uint32_t partition, uint64_t from, uint64_t to, uint64_t per_batch)
{
    for (uint64_t next; from < to; from = next) {
        next = to - from < per_batch ? to : from + per_batch;
        append_batch(b, partition, make_batch(b, from, next), (uint32_t)(next - from));
    }
}

/* ---- the checker: it reads the database and the dead letter topic, and asks nobody ---- */

/* How often each offset of a partition was delivered, in order; and how often it became a letter of ours. */
struct seen {
    uint32_t delivered, letters;
    char reason[16];
};

static inline void look_at_letters(struct bench *b, uint32_t partition, struct seen *seen, uint64_t count)
{
    for (uint32_t d = 0; d < 2; d++) {
        struct log_reader *reader;
        struct log_batch from;
        struct error err = { 0 };
        struct log_partition at = { b->dead.id, d };
        assert_int_equal(log_reader_open(b->log, at, (log_offset){ 0 }, 65536, &reader, &err), NEAP_OK);
        while (log_reader_next(reader, &from, &err) == NEAP_OK) {
            struct batch batch;
            assert_int_equal(batch_open(from.bytes, true, &batch), NEAP_OK);
            struct batch_walk walk;
            assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
            struct record record;
            while (batch_next(&walk, &record) == NEAP_OK) {
                struct dead_letter_view view;
                assert_int_equal(dead_letter_read(&record, &view), NEAP_OK);
                if (view.partition != partition)
                    continue;
                assert_true(view.offset.n < count);
                struct seen *s = &seen[view.offset.n];
                s->letters++;
                snprintf(s->reason, sizeof s->reason, "%.*s", (int)view.reason.size, (const char *)view.reason.at);
            }
        }
        log_reader_close(&reader);
    }
}

static inline struct seen *look(struct bench *b, uint32_t partition, uint64_t count)
{
    struct seen *seen = calloc(count, sizeof *seen);
    uint64_t lasts[KEY_COUNT] = { 0 };
    for (uint32_t i = 0; i < b->fake.landed_count; i++) {
        const struct landed *l = &b->fake.landed[i];
        if (l->partition != partition)
            continue;
        assert_true(l->offset < count);
        if (seen[l->offset].delivered++ == 0) { /* the first time each came, they came in order */
            uint64_t *last = &lasts[bench_mill == NO_MILL ? 0 : l->offset % KEY_COUNT];
            assert_true(l->offset >= *last);
            *last = l->offset;
        }
    }
    look_at_letters(b, partition, seen, count);
    return seen;
}

/* Each event in exactly one place, the right one. */
static inline void check_all(struct bench *b, uint32_t partition, uint64_t count)
{
    struct seen *seen = look(b, partition, count);
    for (uint64_t n = 0; n < count; n++) {
        enum fate_of fate = fate_of(n);
        const char *reason = fate == FAILED ? "expression" : fate == NOT_JSON ? "not_json" : "";
        if (seen[n].delivered != (fate == DELIVERED) || seen[n].letters != (fate == FAILED || fate == NOT_JSON) ||
            strcmp(seen[n].reason, reason) != 0)
            fail_msg("offset %llu of partition %u: delivered %u times, %u letters (%s)", (unsigned long long)n,
                     partition, seen[n].delivered, seen[n].letters, seen[n].reason);
    }
    free(seen);
}

static inline void check_ledger(struct bench *b, uint32_t partition, uint64_t count)
{
    struct task_figures f;
    uint64_t expected[4] = { 0 };
    for (uint64_t n = 0; n < count; n++)
        expected[fate_of(n)]++;
    task_figures(b->tasks[partition], &f);
    assert_int_equal(f.point.n, count);
    assert_int_equal(f.done_beyond, 0);
    assert_int_equal(f.total.delivered, expected[DELIVERED]);
    assert_int_equal(f.total.filtered, expected[FILTERED]);
    assert_int_equal(f.total.dead_lettered, expected[FAILED] + expected[NOT_JSON]);
    assert_int_equal(f.total.produced, expected[DELIVERED]);
}

/* The log's own notes agree, and nothing is remembered that has been passed. */
static inline bool count_fact(void *ctx, struct bytes key, struct bytes value)
{
    ++*(uint32_t *)ctx;
    return true;
}
static inline uint32_t count_facts(struct bench *b, uint8_t view, uint32_t partition, struct bytes prefix)
{
    uint32_t count = 0;
    log_fact_each(b->log, view, (struct log_partition){ b->topic.id, partition }, prefix, count_fact, &count);
    return count;
}
static inline void check_notes(struct bench *b, uint32_t partition, uint64_t count)
{
    struct log_commit commit;
    struct log_partition at = { b->topic.id, partition };
    assert_int_equal(log_offset_get(b->log, b->name, at, NULL, &commit), NEAP_OK);
    assert_int_equal(commit.offset.n, count);
    assert_int_equal(count_facts(b, LOG_VIEW_FATE, partition, BYTES("")), 0);
}

static inline void check_everything(struct bench *b, uint64_t count)
{
    for (uint32_t p = 0; p < b->partition_count; p++) {
        check_all(b, p, count);
        check_ledger(b, p, count);
        check_notes(b, p, count);
    }
}

#endif
