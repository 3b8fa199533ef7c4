/* A function as a stage, on the way of events: each is given to it in the order of its key, many at a time, and what it says of
 * one becomes of it; past its deadline, in a stop, and where there is hardly any room for what it emits.
 *
 * The same with real threads and in the simulator. */
#include "expr_fixture.h"

#include "flow/way.h"
#include "io/real.h"
#include "io/sim.h"
#include "stage/plugin.h"
#include "stage/stages.h"
#include <stdatomic.h>
#include <stdlib.h>

#define EVENT_COUNT 4000u
#define KEY_COUNT   20u
#define WIDTH       6u
#define EVENT_SIZE  4096u

struct world {
    struct fixture f;
    struct io *io;
    struct io_agent owner;
    struct io_timer timer;
    struct logging *logging;
    struct pool *pool;
    struct waiting *stage;
    struct chain *chain;
    struct way *way;
    enum way_order order;
    uint32_t to, laid, taken, passed, dropped, failed, cancel_at, width, stopped_at;
    size_t large;
    uint8_t ends[EVENT_COUNT]; /* 1 + outcome */
    uint64_t last[KEY_COUNT];
    char reasons[EVENT_COUNT][12];
    char words[EVENT_COUNT][80];
    char lines[4096];
    /* the function's */
    _Atomic uint32_t calls[EVENT_COUNT], at_work, at_work_max, of_key[KEY_COUNT], told, no_room;
    _Atomic bool overtaken, gate;
};

static struct world w;

/* ---- the function ------------------------------------------------------------------------------------------------------------ */

static uint32_t number_in(struct bytes json)
{
    char text[32] = { 0 };
    memcpy(text, json.at, json.size < 31 ? json.size : 31);
    return (uint32_t)strtoul(text + strlen("{\"n\":"), NULL, 10);
}

static void enter(uint32_t key)
{
    uint32_t now = atomic_fetch_add(&w.at_work, 1) + 1, most = atomic_load(&w.at_work_max);
    while (now > most && !atomic_compare_exchange_weak(&w.at_work_max, &most, now))
        ;
    if (atomic_fetch_add(&w.of_key[key], 1) != 0)
        atomic_store(&w.overtaken, true);
}

static void leave(uint32_t key)
{
    atomic_fetch_sub(&w.of_key[key], 1);
    atomic_fetch_sub(&w.at_work, 1);
}

static void emit(struct handler_call *call, uint32_t n, uint32_t version)
{
    char *text = malloc(EVENT_SIZE + 1);
    size_t padding = w.large > 0 ? n * 37 % w.large : 0;
    int size = snprintf(text, EVENT_SIZE, "{\"n\":%u,\"version\":%u,\"padding\":\"", n, version);
    memset(text + size, 'x', padding);
    memcpy(text + size + padding, "\"}", 2);
    enum neap_status status = handler_call_emit(call, (struct bytes){ (uint8_t *)text, size + padding + 2 });
    if (status != NEAP_OK)
        atomic_fetch_add(&w.no_room, 1);
    free(text);
}

static enum stage_outcome judge(void *ctx, const struct handler_event *e, struct handler_call *call)
{
    uint32_t n = number_in(e->json), key = n % KEY_COUNT;
    enter(key);
    atomic_fetch_add(&w.calls[n], 1);
    if (e->record.offset != n || strcmp(e->topic, "orders") != 0 || strcmp(e->stage, "score") != 0 || e->attempt < 1 ||
        handler_call_deadline(call).ns <= 0)
        atomic_store(&w.overtaken, true);
    io_sleep(handler_call_io(call), n % 8 == 0 ? 20000 : 0);
    while (atomic_load(&w.gate) && !handler_call_cancelled(call))
        io_sleep(handler_call_io(call), 50000);
    if (atomic_load(&w.gate)) /* it takes its time */
        io_sleep(handler_call_io(call), NS_PER_MS);
    atomic_fetch_add(&w.told, handler_call_cancelled(call));
    leave(key);
    switch (n % 8) {
    case 1:
        emit(call, n, 1);
        return STAGE_PASS;
    case 2:
        return STAGE_DROP;
    case 3:
        handler_call_reason(call, "it is a three");
        return STAGE_FAIL;
    case 4:
        emit(call, n, 0);
        emit(call, n, 1);
        return STAGE_PASS;
    case 5:
        (void)handler_call_emit(call, BYTES("{\"n\":"));
        return STAGE_PASS;
    case 6:
        return n % 3 == 0 ? (enum stage_outcome)77 : STAGE_FAIL;
    case 7:
        return handler_call_emit(call, (struct bytes){ (const uint8_t *)"", SIZE_MAX }) == NEAP_TOOLARGE ? STAGE_PASS
                                                                                                         : STAGE_FAIL;
    default:
        return STAGE_PASS;
    }
}

/* ---- the way -------------------------------------------------------------------------------------------------------------------- */

static void assert_end(const struct way_end *e)
{
    uint32_t n = (uint32_t)e->record->offset;
    char json[64];
    assert_int_equal(w.ends[n], 0);
    w.ends[n] = 1 + (uint8_t)e->outcome;
    w.passed += e->outcome == STAGE_PASS;
    w.dropped += e->outcome == STAGE_DROP;
    w.failed += e->outcome == STAGE_FAIL;
    if (e->outcome == STAGE_FAIL) {
        assert_string_equal(e->failure.stage, "score");
        snprintf(w.reasons[n], sizeof w.reasons[n], "%s", e->failure.reason);
        snprintf(w.words[n], sizeof w.words[n], "%.*s", (int)e->failure.message.size,
                 (const char *)e->failure.message.at);
    }
    if (e->outcome != STAGE_PASS)
        return;
    if (w.order == WAY_ORDER_KEY)
        assert_true(n > w.last[n % KEY_COUNT]);
    w.last[n % KEY_COUNT] = n;
    bool emitted = n % 8 == 1 || n % 8 == 4;
    int size = snprintf(json, sizeof json, emitted ? "{\"n\":%u,\"version\":1," : "{\"n\":%u,\"before\":true}", n);
    assert_true(e->event.json.size >= (size_t)size);
    assert_memory_equal(e->event.json.at, json, (size_t)size);
}

static uint32_t lay_and_take(void)
{
    uint32_t count = 0;
    struct way_end e;
    char key[16], value[32];
    for (; w.laid < w.to; count++, w.laid++) {
        struct record record = { .offset = w.laid,
                                 .key = { (uint8_t *)key, (size_t)sprintf(key, "k%u", w.laid % KEY_COUNT) },
                                 .value = { (uint8_t *)value, (size_t)sprintf(value, "{\"n\":%u}", w.laid) } };
        if (way_lay(w.way, &record, (struct bytes){ 0 }, NULL) != NEAP_OK)
            break;
    }
    for (; way_next(w.way, &e); count++) {
        assert_end(&e);
        way_take(w.way, 1);
        way_settle(w.way, e.slot);
        w.taken++;
    }
    return count;
}

static uint32_t turn(void *ctx, mono_time now)
{
    uint32_t count = w.stage->verbs->work(w.stage, now);
    if (w.cancel_at != 0 && w.taken >= w.cancel_at) {
        if (!way_works(w.way))
            io_agent_leave(&w.owner);
        way_cancel(w.way);
        return count;
    }
    count += lay_and_take();
    count += way_work(w.way, now);
    if (w.taken == w.to - 1)
        io_agent_leave(&w.owner);
    if (way_due(w.way).ns != MONO_NEVER.ns)
        io_timer_set(&w.timer, way_due(w.way));
    return count;
}

static void come_again(struct io_timer *timer, mono_time now)
{
    io_agent_wake(timer->agent);
}

static void keep_line(void *ctx, struct bytes line)
{
    size_t used = strlen(w.lines);
    if (used + line.size < sizeof w.lines)
        memcpy(w.lines + used, line.at, line.size);
}

static wall_time no_time(void *ctx)
{
    return (wall_time){ 0 };
}

struct how {
    struct io *io;
    uint32_t to, width, slots;
    size_t room, large, window_room;
    int64_t timeout_ns;
    struct pool_size size;
};

static void start(const struct how *how)
{
    static const struct expr_options defaults;
    memset(&w, 0, sizeof w);
    w.io = how->io;
    w.to = how->to;
    w.laid = 1;
    w.large = how->large;
    w.width = how->width;
    w.owner = (struct io_agent){ .name = "owner", .work = turn };
    assert_int_equal(io_agent_attach(w.io, &w.owner, NULL), NEAP_OK);
    w.timer = (struct io_timer){ .agent = &w.owner, .fire = come_again };
    w.logging = logging_new(&(struct logging_options){ .wall = no_time, .write = keep_line });
    fixture_start(&w.f, &defaults, "{}");
    struct pool_options pool = { .io = w.io, .owner = &w.owner, .name = "score", .size = how->size };
    assert_int_equal(pool_open(&pool, &w.pool, NULL), NEAP_OK);
    struct plugin_options plugin = { .io = w.io,
                                     .logging = w.logging,
                                     .owner = &w.owner,
                                     .pool = w.pool,
                                     .parser = w.f.parser,
                                     .function = judge,
                                     .symbol = "judge",
                                     .pipeline = "judged",
                                     .concurrency = how->width,
                                     .event_size_max = EVENT_SIZE,
                                     .room_size = how->room };
    w.stage = plugin_new(&plugin);
    assert_non_null(w.stage);
    assert_true(plugin_memory_size(how->width, how->room) > how->room);
    w.stage->name = "score";
    w.stage->retry = (struct retry_policy){ 3, 0, 1000 };
    w.stage->timeout_ns = how->timeout_ns;
    w.stage->concurrency = how->width;
    struct stage_map_field before = { "before", fixture_expr(&w.f, "true") };
    struct stage *map = stage_map_new("map", &before, 1);
    w.chain = chain_new(&(struct chain_step){ .stage = map }, 1, w.f.parser);
    static struct chain *chains[1];
    static struct waiting *stages[1];
    chains[0] = w.chain;
    stages[0] = w.stage;
    struct way_options options = { .io = w.io,
                                   .arena = w.f.arena,
                                   .chains = chains,
                                   .stages = stages,
                                   .stage_count = 1,
                                   .topic = "orders",
                                   .window = { how->slots, how->window_room, EVENT_SIZE } };
    assert_int_equal(way_new(&options, &w.way), NEAP_OK);
    way_begin(w.way, 3, (log_offset){ 1 });
}

static void run(void)
{
    struct error err = { 0 };
    assert_int_equal(io_agent_run(w.io, &w.owner, MONO_NEVER, &err), NEAP_OK);
}

static void stop(void)
{
    way_free(&w.way);
    w.stage->verbs->free(w.stage);
    pool_close(&w.pool);
    io_timer_cancel(&w.timer);
    io_agent_stop(&w.owner);
    chain_free(&w.chain);
    fixture_end(&w.f);
    logging_free(&w.logging);
}

static void assert_verdicts(uint32_t calls_each)
{
    for (uint32_t n = 1; n < w.to; n++) {
        uint32_t kind = n % 8;
        enum stage_outcome want = kind == 2                             ? STAGE_DROP
                                  : kind == 3 || kind == 5 || kind == 6 ? STAGE_FAIL
                                                                        : STAGE_PASS;
        assert_int_equal(w.ends[n], 1 + want);
        if (calls_each != 0)
            assert_int_equal(w.calls[n], calls_each);
        if (want == STAGE_FAIL)
            assert_string_equal(w.reasons[n], kind == 5 ? "not_json" : "handler");
        if (kind == 3)
            assert_string_equal(w.words[n], "it is a three");
        else if (kind == 6)
            assert_string_equal(w.words[n], n % 3 == 0 ? "handler judge answered 77, which is no verdict"
                                                       : "the handler says no more");
    }
    assert_false(w.overtaken);
    assert_true(w.at_work_max <= w.width);
}

static const struct how usual = { .to = EVENT_COUNT,
                                  .width = WIDTH,
                                  .slots = 200,
                                  .room = 64 << 10,
                                  .window_room = 64 << 10,
                                  .timeout_ns = 60 * NS_PER_S,
                                  .size = { .core = 1, .max = WIDTH, .idle_ns = NS_PER_S } };

static void verdicts(void **state)
{
    struct how how = usual;
    how.io = io_real_open(NULL);
    start(&how);
    run();
    assert_verdicts(1);
    assert_true(w.at_work_max > 1);
    stop();
    io_real_close(&how.io);
}

static void verdicts_in_the_simulator(void **state)
{
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct how how = usual;
        how.to = 600;
        how.io = sim_open(&(struct sim_options){ .seed = seed });
        start(&how);
        run();
        assert_verdicts(1);
        assert_true(w.at_work_max > 1);
        stop();
        sim_close(&how.io);
    }
}

/* Two of the largest fit, and six want to emit what is nearly as large: calls are made again, and all of it ends. */
static void hardly_any_room(void **state)
{
    uint32_t no_room = 0;
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct how how = usual;
        how.to = 600;
        how.room = plugin_room_size_least(EVENT_SIZE);
        how.large = EVENT_SIZE - 200;
        how.window_room = 2 * EVENT_SIZE;
        how.io = sim_open(&(struct sim_options){ .seed = seed });
        start(&how);
        run();
        assert_verdicts(0);
        no_room += w.no_room;
        stop();
        sim_close(&how.io);
    }
    assert_true(no_room > 0);
}

/* Fewer threads than calls, and no place for the others: they wait outside, are refused, or are dropped. */
static void small_pools(void **state)
{
    for (uint64_t seed = 1; seed < 6; seed++)
        for (enum pool_reject reject = POOL_BLOCK; reject <= POOL_CALLER_RUNS; reject++) {
            struct how how = usual;
            how.to = 300;
            how.size = (struct pool_size){ .core = 0, .max = 2, .queue = 1, .reject = reject };
            how.io = sim_open(&(struct sim_options){ .seed = seed });
            start(&how);
            w.stage->retry = (struct retry_policy){ 1000, 0, 1000 };
            run();
            struct pool_figures f = pool_figures(w.pool);
            if (reject == POOL_DROP_NEWEST || reject == POOL_DROP_OLDEST) {
                assert_true(f.dropped > 0);
                assert_int_equal(w.passed + w.dropped + w.failed, how.to - 1);
                assert_int_equal(f.ran + f.dropped, how.to - 1);
            } else {
                assert_verdicts(1);
                assert_true((reject == POOL_REJECT) == (f.rejected > 0));
            }
            assert_true(w.at_work_max <= (reject == POOL_CALLER_RUNS ? 3 : 2));
            stop();
            sim_close(&how.io);
        }
}

/* Past its deadline each is told so, named once, and is a timeout whatever it says; the next of its key waits for it. */
static void past_the_deadline(void **state)
{
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct how how = usual;
        how.to = 9;
        how.timeout_ns = 5 * NS_PER_MS;
        how.width = 2;
        how.size.max = 2;
        how.io = sim_open(&(struct sim_options){ .seed = seed });
        start(&how);
        w.gate = true;
        run();
        assert_int_equal(w.told, 8);
        assert_int_equal(w.failed, 8);
        for (uint32_t n = 1; n < 9; n++) {
            assert_int_equal(w.calls[n], 1);
            assert_string_equal(w.reasons[n], "timeout");
            assert_non_null(strstr(w.words[n], "its timeout is 5 ms"));
        }
        assert_non_null(strstr(w.lines, "a handler is past its deadline"));
        assert_non_null(strstr(w.lines, "pipeline=judged stage=score handler=judge partition=3 offset="));
        stop();
        sim_close(&how.io);
    }
}

/* One that waits for a thread until its deadline has not been looked at: it tries again. */
static void no_thread_in_time(void **state)
{
    struct how how = usual;
    how.to = 3;
    how.timeout_ns = 5 * NS_PER_MS;
    how.size = (struct pool_size){ .max = 1, .queue = 5, .idle_ns = NS_PER_S };
    how.io = sim_open(&(struct sim_options){ .seed = 1, .calm = true });
    start(&how);
    w.gate = true;
    w.stage->retry = (struct retry_policy){ 2, NS_PER_MS, NS_PER_MS };
    run();
    assert_int_equal(w.calls[1] + w.calls[2], 1); /* who is late already is not begun */
    assert_string_equal(w.reasons[1], "timeout");
    assert_string_equal(w.reasons[2], "timeout");
    stop();
    sim_close(&how.io);
}

/* A stop tells those at work, and what they say counts for nothing. */
static void cancelled(void **state)
{
    struct how how = usual;
    how.io = io_real_open(NULL);
    how.size.max = 3;
    how.size.queue = 3;
    for (uint32_t round = 0; round < 20; round++) {
        how.to = 400;
        start(&how);
        w.cancel_at = 10 + round * 7;
        run();
        assert_true(w.taken >= w.cancel_at && w.taken < 400);
        assert_false(way_works(w.way));
        assert_int_equal(w.stage->at_work, 0);
        assert_int_equal(w.at_work, 0);
        stop();
    }
    io_real_close(&how.io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),    cmocka_unit_test(verdicts_in_the_simulator), cmocka_unit_test(hardly_any_room),
        cmocka_unit_test(small_pools), cmocka_unit_test(past_the_deadline),         cmocka_unit_test(no_thread_in_time),
        cmocka_unit_test(cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
