/* test_call.c - calls over HTTP on the way of events: whatever servers do, each key in order, each event ends once, and nobody is
 * called more often than manners allow.
 *
 * A real way through one call stage, in virtual time, with servers that fail, hang, slow down, refuse and recover. */
#include "expr_fixture.h"

#include "flow/way.h"
#include "io/sim.h"
#include "stage/call.h"
#include <stdlib.h>

#define EVENT_COUNT 4000u
#define KEY_COUNT   40u

struct seen { /* by the servers, of one event */
    uint32_t calls;
    char key[80];
};

struct world {
    struct fixture f;
    struct io *io;
    struct io_agent agent;
    struct io_timer timer;
    struct destinations *destinations;
    struct waiting *stage;
    struct chain *chain;
    struct way *way;
    struct way_options way_options;
    struct outcome_rules rules;
    uint32_t event_count, key_count;
    const char *extra; /* joins each event: ",\"card\":1" */
    uint32_t laid, ended, passed, failed;
    uint64_t last_begun[KEY_COUNT], last_ended[KEY_COUNT];
    struct seen seen[EVENT_COUNT];
    bool done[EVENT_COUNT];
    const char *reasons[EVENT_COUNT];
    uint32_t attempts[EVENT_COUNT];
    char json[EVENT_COUNT][120];
    mono_time ended_at[EVENT_COUNT];
    bool refreshes;                    /* calls of events that have gone on already */
    const struct waiting_verbs *verbs; /* the stage's own */
    struct waiting_verbs little_room;
    mono_time called_again_at;
    wall_time expires; /* of each event; 0: never */
    bool held;         /* nothing more is laid */
    /* ---- the servers */
    uint32_t call_count, second_count[1200]; /* calls that arrived, in each second */
    uint32_t at_once, at_once_max;
    void (*serve)(struct world *w, uint64_t n, uint32_t call, struct sim_http_reply *reply);
    char answer[160];
    uint64_t chance;
};

static struct world w;

/* ---- servers ---------------------------------------------------------------------------------------------------------------- */

static uint64_t number_in(struct bytes body)
{
    const char *at = memmem(body.at, body.size, "\"n\":", 4);
    return at != NULL ? strtoull(at + 4, NULL, 10) : 0;
}

static struct bytes header_of(const struct sim_http_request *request, const char *name)
{
    for (uint32_t i = 0; i < request->header_count; i++)
        if (bytes_equal(request->headers[i].name, bytes_of_text(name)))
            return request->headers[i].value;
    return (struct bytes){ NULL, 0 };
}

static void handle(void *ctx, const struct sim_http_request *request, struct sim_http_reply *reply)
{
    uint64_t n = number_in(request->body);
    struct bytes key = header_of(request, "Idempotency-Key");
    assert_true(n > 0 && n < EVENT_COUNT && key.size > 0 && key.size < sizeof w.seen[n].key);
    struct seen *s = &w.seen[n];
    if (s->calls > 0)
        assert_true(strlen(s->key) == key.size && memcmp(s->key, key.at, key.size) == 0); /* in each attempt the same */
    memcpy(s->key, key.at, key.size);
    s->calls++;
    w.call_count++;
    w.second_count[io_now(w.io).ns / NS_PER_S % COUNT_OF(w.second_count)]++;
    if (w.way_options.order == WAY_ORDER_KEY && !w.refreshes) {
        assert_true(n >= w.last_begun[n % w.key_count]); /* again, or a later one: rule Y1 */
        w.last_begun[n % w.key_count] = n;
    }
    sprintf(w.answer, "{ \"risk\" : %lu,\n\t\"said\": \"a \\\" b\" }", n);
    reply->body = bytes_of_text(w.answer);
    reply->latency_ns = 5 * NS_PER_MS;
    if (w.serve != NULL)
        w.serve(&w, n, s->calls, reply);
}

/* ---- the shard -------------------------------------------------------------------------------------------------------------- */

static bool lay_one(void)
{
    char key[16], value[100];
    sprintf(key, "key-%u", w.laid % w.key_count);
    sprintf(value, "{\"n\":%u%s}", w.laid, w.extra);
    struct record record = { .offset = w.laid, .key = bytes_of_text(key), .value = bytes_of_text(value) };
    if (w.held || w.laid == w.event_count || way_lay(w.way, &record, (struct bytes){ 0 }, NULL) != NEAP_OK)
        return false;
    if (w.expires.ms != 0)
        way_let_expire(w.way, w.expires);
    w.laid++;
    return true;
}

static void take(const struct way_end *e)
{
    uint64_t n = e->record->offset;
    assert_false(w.done[n]);
    w.done[n] = true;
    w.ended_at[n] = io_now(w.io);
    w.ended++;
    w.passed += e->outcome == STAGE_PASS;
    w.failed += e->outcome == STAGE_FAIL;
    w.attempts[n] = e->attempts;
    w.reasons[n] = e->outcome == STAGE_FAIL ? e->failure.reason : NULL;
    snprintf(w.json[n], sizeof w.json[n], "%.*s", (int)e->event.json.size, (const char *)e->event.json.at);
    if (e->outcome == STAGE_PASS && w.way_options.order == WAY_ORDER_KEY) {
        assert_true(n > w.last_ended[n % w.key_count]);
        w.last_ended[n % w.key_count] = n;
    }
    if (e->outcome == STAGE_FAIL)
        assert_true(e->failure.message.size > 0 && e->failure.stage != NULL);
}

static bool (*came_back)(struct waiting_work *work);

/* As a way without room does, more often than one ever would. */
static bool not_now(struct waiting_work *work)
{
    return chance_below(&w.chance, 3) == 0 && came_back(work);
}

static enum waiting_begun begin_with_little_room(struct waiting *stage, struct waiting_work *work, struct event *event,
                                                 struct arena *arena, struct failure *failure,
                                                 mono_time *ret_not_before)
{
    came_back = work->done;
    work->done = not_now;
    return w.verbs->begin(stage, work, event, arena, failure, ret_not_before);
}

static uint32_t turn(void *ctx, mono_time now)
{
    uint32_t work = 0;
    struct way_end e;
    (void)ctx;
    while (lay_one())
        work++;
    work += way_work(w.way, now);
    work += w.stage->verbs->work(w.stage, now);
    while (way_next(w.way, &e)) {
        take(&e);
        way_take(w.way, 1);
        way_settle(w.way, e.slot);
        work++;
    }
    mono_time due = w.verbs != NULL ? mono_after(now, NS_PER_MS) : MONO_NEVER;
    due = mono_min(due, way_due(w.way));
    if (due.ns != MONO_NEVER.ns)
        io_timer_set(&w.timer, due);
    assert_true(w.stage->at_work <= w.stage->concurrency);
    return work;
}

static void fire(struct io_timer *timer, mono_time now)
{
    (void)now;
    io_agent_wake(timer->agent);
}

static struct call_options options_of(void)
{
    struct outcome_list none = { NULL, 0 };
    assert_int_equal(outcome_rules_make(&none, &none, &w.rules, NULL), NEAP_OK);
    return (struct call_options){
        .io = w.io,
        .agent = &w.agent,
        .destinations = w.destinations,
        .parser = w.f.parser,
        .url = "http://score.example/v1?token=secret",
        .method = "POST",
        .into = "score",
        .idempotency = "log-stage",
        .rules = &w.rules,
        .manners = { .breaker = BREAKER_OPTIONS_DEFAULT,
                     .budget = { RETRY_BUDGET_PERCENT, RETRY_BUDGET_FLOOR_PER_S, RETRY_BUDGET_LIVE_NS },
                     .concurrency_min = 16,
                     .concurrency_max = 16 },
        .concurrency_max = 16,
        .answer_size_max = 4096,
        .request_size = CALL_HEAD_SIZE_MAX + (64u << 10),
    };
}

static void open_world(uint64_t seed)
{
    static const struct expr_options defaults;
    memset(&w, 0, sizeof w);
    w.io = sim_open(&(struct sim_options){ .seed = seed });
    w.chance = seed;
    w.extra = "";
    w.event_count = 1000;
    w.key_count = KEY_COUNT;
    fixture_start(&w.f, &defaults, "{}");
    w.destinations = destinations_new(8);
    w.agent = (struct io_agent){ .name = "shard", .work = turn };
    w.timer = (struct io_timer){ .agent = &w.agent, .fire = fire };
    const struct sim_http_server server = { .handle = handle };
    const struct sim_http_server inside = { .handle = handle, .is_private = true };
    sim_http_serve(w.io, "score.example:80", &server);
    sim_http_serve(w.io, "other.example:80", &server);
    sim_http_serve(w.io, "10.0.0.1:80", &inside);
    w.way_options.order = WAY_ORDER_KEY;
}

/* The agent starts: from here on time goes in sim_run(). */
static void start(const struct call_options *options)
{
    w.stage = call_new(options);
    assert_non_null(w.stage);
    assert_true(call_memory_size(options) > options->concurrency_max * options->answer_size_max);
    w.stage->name = "score";
    w.stage->retry = w.stage->retry.attempt_count_max > 0 ? w.stage->retry
                                                          : (struct retry_policy){ 8, 100 * NS_PER_MS, 2 * NS_PER_S };
    w.stage->timeout_ns = 200 * NS_PER_MS;
    w.stage->concurrency = options->concurrency_max;
    w.chain = chain_new(NULL, 0, w.f.parser);
    w.way_options = (struct way_options){ .io = w.io,
                                          .arena = w.f.arena,
                                          .chains = &w.chain,
                                          .stages = &w.stage,
                                          .stage_count = 1,
                                          .order = w.way_options.order,
                                          .topic = "orders",
                                          .window = { 256, 256u << 10, 64u << 10 } };
    assert_int_equal(way_new(&w.way_options, &w.way), NEAP_OK);
    way_begin(w.way, 3, (log_offset){ 1 });
    w.laid = 1;
    assert_int_equal(io_agent_start(w.io, &w.agent, NULL), NEAP_OK);
}

static void run_for(int64_t ms)
{
    io_agent_wake(&w.agent);
    sim_run(w.io, ms * NS_PER_MS);
}

static void run_all(int64_t s)
{
    for (int64_t i = 0; i < s * 10 && w.ended + 1 < w.event_count; i++)
        run_for(100);
    assert_int_equal(w.ended, w.event_count - 1);
}

static void close_world(void)
{
    io_agent_stop(&w.agent);
    if (way_works(w.way))
        fail_msg("something is still at work");
    way_free(&w.way);
    w.stage->verbs->free(w.stage);
    chain_free(&w.chain);
    destinations_free(&w.destinations);
    fixture_end(&w.f);
    sim_close(&w.io);
}

/* ---- what becomes of events ---------------------------------------------------------------------------------------------------- */

/* What the n-th event meets at its so-manieth call. */
static void serve_mixed(struct world *world, uint64_t n, uint32_t call, struct sim_http_reply *reply)
{
    (void)world;
    if (n % 10 == 0 && call <= 2)
        reply->status = 503;
    if (n % 10 == 1 && call == 1)
        reply->manner = SIM_HTTP_HANGS;
    if (n % 10 == 2 && call == 1)
        reply->manner = SIM_HTTP_RESETS;
    if (n % 10 == 3 && call <= 9) {
        reply->status = 429;
        reply->retry_after = n % 20 == 3 ? "1" : NULL;
    }
    if (n % 50 == 7)
        reply->status = 404;
    if (n % 50 == 17)
        reply->body = BYTES("<html>");
    if (n % 50 == 27)
        reply->status = 500;
    if (n % 50 == 37)
        reply->body = BYTES("");
}

static void every_event_ends_as_its_server_said(void **state)
{
    open_world(42);
    struct call_options options = options_of();
    options.manners.breaker_disabled = true;
    options.manners.budget = (struct retry_budget_options){ 1000, 1000000, 10 * NS_PER_S };
    w.serve = serve_mixed;
    start(&options);
    run_all(600);
    for (uint64_t n = 1; n < w.event_count; n++) {
        char json[120];
        const char *reason = n % 50 == 7                    ? "refused"
                             : n % 50 == 17 || n % 50 == 37 ? "answer"
                             : n % 50 == 27                 ? "unavailable"
                                                            : NULL;
        sprintf(json, "{\"n\":%lu,\"score\":{\"risk\":%lu,\"said\":\"a \\\" b\"}}", n, n);
        if (reason == NULL) {
            assert_null(w.reasons[n]);
            assert_string_equal(w.json[n], json);
        } else {
            assert_non_null(w.reasons[n]);
            assert_string_equal(w.reasons[n], reason);
            assert_int_equal(w.attempts[n], n % 50 == 7 ? 1 : 8);
        }
        uint32_t calls = n % 10 == 0                     ? 3
                         : n % 10 == 1 || n % 10 == 2    ? 2
                         : n % 10 == 3                   ? 10
                         : reason == NULL || n % 50 == 7 ? 1
                                                         : 8;
        assert_int_equal(w.seen[n].calls, calls);
    }
    close_world();
}

static void keys_of_idempotency(void **state)
{
    open_world(1);
    struct call_options options = options_of();
    w.event_count = 20;
    start(&options);
    run_all(60);
    assert_string_equal(w.seen[7].key, "log-stage-3-7");
    assert_string_equal(w.seen[19].key, "log-stage-3-19");
    close_world();
}

/* What the server says when nobody asked for its answer: nothing of it stays. */
static void answers_that_nobody_wants(void **state)
{
    open_world(2);
    struct call_options options = options_of();
    options.into = NULL;
    options.answer_size_max = 100;
    w.event_count = 50;
    start(&options);
    run_all(60);
    for (uint64_t n = 1; n < w.event_count; n++) {
        char json[40];
        sprintf(json, "{\"n\":%lu}", n);
        assert_string_equal(w.json[n], json);
        assert_int_equal(w.seen[n].calls, 1);
    }
    close_world();
}

static void serve_large(struct world *world, uint64_t n, uint32_t call, struct sim_http_reply *reply)
{
    static char large[5000];
    memset(large, '1', sizeof large);
    (void)world, (void)n, (void)call;
    reply->body = (struct bytes){ (const uint8_t *)large, sizeof large };
}

static void answers_that_are_too_large(void **state)
{
    open_world(3);
    struct call_options options = options_of();
    options.manners.breaker_disabled = true;
    w.event_count = 5;
    w.serve = serve_large;
    start(&options);
    run_all(600);
    assert_int_equal(w.failed, 4);
    assert_string_equal(w.reasons[1], "answer");
    close_world();
}

/* ---- a server that is gone for a while ------------------------------------------------------------------------------------------ */

static bool is_down(void)
{
    int64_t s = io_now(w.io).ns / NS_PER_S;
    return s >= 5 && s < 65;
}

static void serve_with_outage(struct world *world, uint64_t n, uint32_t call, struct sim_http_reply *reply)
{
    (void)world, (void)n, (void)call;
    if (is_down())
        reply->manner = SIM_HTTP_HANGS;
}

static void an_outage_costs_nobody(void **state)
{
    open_world(42);
    struct call_options options = options_of();
    options.manners.concurrency_min = options.manners.concurrency_max = options.concurrency_max = 2;
    w.event_count = EVENT_COUNT;
    w.serve = serve_with_outage;
    start(&options);
    run_all(1000);
    assert_int_equal(w.failed, 0);
    assert_int_equal(w.passed, w.event_count - 1);
    uint32_t during = 0;
    for (uint32_t s = 6; s < 65; s++)
        during += w.second_count[s];
    /* Until it opens; then no more than probes, five at a time, each time it looks: after 5, 10, 20, 40 s. */
    assert_true(during >= 5 && during <= 40 + 5 * 5);
    close_world();
}

static bool is_gone_for_an_hour(void)
{
    int64_t s = io_now(w.io).ns / NS_PER_S;
    return s >= 5 && s < 3605;
}

static void serve_with_long_outage(struct world *world, uint64_t n, uint32_t call, struct sim_http_reply *reply)
{
    (void)world, (void)n, (void)call;
    if (is_gone_for_an_hour())
        reply->status = 503;
}

/* The breaker looks again and again, and always with the same few events: that is its business, and none of theirs. */
static void an_hour_costs_nobody(void **state)
{
    open_world(42);
    struct call_options options = options_of();
    options.manners.limit = (struct limit_rate){ 100, NS_PER_S, 1 };
    options.manners.breaker.window_count = 20;
    options.manners.breaker.minimum_call_count = 10;
    w.event_count = EVENT_COUNT;
    w.key_count = 4;
    w.serve = serve_with_long_outage;
    start(&options);
    run_for(3600 * 1000);
    uint32_t during = w.call_count;
    run_all(1000);
    assert_int_equal(w.failed, 0);
    assert_int_equal(w.passed, w.event_count - 1);
    assert_true(during <= 550 + 5 * 20); /* before it, until it opened, and then five probes each five minutes */
    close_world();
}

static void serve_never(struct world *world, uint64_t n, uint32_t call, struct sim_http_reply *reply)
{
    (void)world, (void)n, (void)call;
    reply->status = 500;
}

/* Before an open breaker an event is given back now and then: its way sees that it has expired. */
static void nobody_stands_for_ever(void **state)
{
    open_world(7);
    struct call_options options = options_of();
    options.manners.breaker.open_ns_min = options.manners.breaker.open_ns_max = 3600 * NS_PER_S;
    w.serve = serve_never;
    w.event_count = 100;
    w.expires.ms = io_wall(w.io).ms + 20000;
    start(&options);
    run_for(19 * 1000);
    assert_int_equal(w.ended, 0);
    run_all(30);
    assert_int_equal(w.failed, 99);
    assert_string_equal(w.reasons[50], "expired");
    close_world();
}

/* Where half of all calls fail for ever, retries are a share of what succeeds, and ten a second. */
static void serve_half(struct world *world, uint64_t n, uint32_t call, struct sim_http_reply *reply)
{
    (void)world, (void)call;
    reply->status = n % 2 == 0 ? 500 : 200;
}

static void the_budget_holds(void **state)
{
    open_world(42);
    struct call_options options = options_of();
    options.manners.breaker_disabled = true;
    options.manners.budget = (struct retry_budget_options){ 1, 1, 10 * NS_PER_S };
    options.concurrency_max = 2;
    w.serve = serve_half;
    w.event_count = 126;
    w.way_options.order = WAY_ORDER_NONE;
    start(&options);
    run_for(5000);
    w.event_count = 251; /* behind retries that wait already; all of them are on their way at once */
    run_all(2000);
    uint32_t retries = w.call_count - (w.event_count - 1);
    int64_t last_ns = 0;
    for (uint64_t n = 1; n < w.event_count; n++)
        last_ns = w.ended_at[n].ns > last_ns ? w.ended_at[n].ns : last_ns;
    double seconds = (double)(last_ns / NS_PER_S);
    assert_true(retries > 0 && retries <= 0.01 * w.passed + 1 * (seconds + 11));
    assert_int_equal(w.failed, 125);
    /* Those that wait for it hold nobody up: what succeeds has long passed when the last of them gives up. */
    for (uint64_t n = 1; n < w.event_count; n += 2)
        assert_true(w.ended_at[n].ns < 10 * NS_PER_S && seconds > 100);
    close_world();
}

static void serve_come_later(struct world *world, uint64_t n, uint32_t call, struct sim_http_reply *reply)
{
    reply->status = call == 1 ? 429 : 200;
    reply->retry_after = "120";
    if (call == 2)
        world->called_again_at = io_now(world->io);
    assert_int_equal(n, 1);
}

/* The destination rests for a minute at most; who was told to wait longer does. */
static void come_later(void **state)
{
    open_world(5);
    struct call_options options = options_of();
    w.serve = serve_come_later;
    w.event_count = 2;
    start(&options);
    run_all(1000);
    assert_true(w.called_again_at.ns >= 120 * NS_PER_S);
    assert_int_equal(w.passed, 1);
    close_world();
}

static void a_rate_is_kept(void **state)
{
    open_world(42);
    struct call_options options = options_of();
    options.manners.limit = (struct limit_rate){ 20, NS_PER_S, 1 };
    w.event_count = 201;
    start(&options);
    run_all(60);
    for (uint32_t s = 0; s < 10; s++)
        assert_true(w.second_count[s] <= 21);
    assert_true(w.ended_at[200].ns >= 9 * NS_PER_S && w.ended_at[200].ns < 12 * NS_PER_S);
    close_world();
}

static void a_rate_for_each(void **state)
{
    open_world(42);
    struct call_options options = options_of();
    options.manners.limit = (struct limit_rate){ 10, NS_PER_S, 1 };
    options.manners.limit_key_count_max = 64;
    options.limit_key = fixture_expr(&w.f, "event.n % 4");
    w.event_count = 201;
    start(&options);
    run_all(60);
    for (uint32_t s = 0; s < 5; s++)
        assert_true(w.second_count[s] <= 4 * 11);
    int64_t last = 0;
    for (uint64_t n = 1; n < w.event_count; n++)
        last = w.ended_at[n].ns > last ? w.ended_at[n].ns : last;
    assert_true(last >= 4 * NS_PER_S && last < 8 * NS_PER_S);
    close_world();
}

/* ---- the cache, and what stands in ---------------------------------------------------------------------------------------------- */

static struct call_options caching(int64_t age_ns, int64_t stale_ns)
{
    struct call_options options = options_of();
    options.cache_key = fixture_expr(&w.f, "event.card");
    w.refreshes = true;
    options.cache = (struct cache_options){ 64u << 10, 64, age_ns, stale_ns };
    w.extra = ",\"card\":\"4711\"";
    return options;
}

static void one_asks_for_all(void **state)
{
    open_world(42);
    struct call_options options = caching(3600 * NS_PER_S, 0);
    start(&options);
    run_all(60);
    assert_int_equal(w.passed, 999);
    assert_int_equal(w.call_count, 1);
    assert_non_null(strstr(w.json[999], ",\"card\":\"4711\",\"score\":{\"risk\":"));
    close_world();
}

static void serve_first_failing(struct world *world, uint64_t n, uint32_t call, struct sim_http_reply *reply)
{
    (void)n, (void)call;
    reply->status = world->call_count <= 3 ? 503 : 200;
}

static void the_next_one_asks(void **state)
{
    open_world(42);
    struct call_options options = caching(3600 * NS_PER_S, 0);
    w.serve = serve_first_failing;
    start(&options);
    run_all(60);
    assert_int_equal(w.passed, 999);
    assert_int_equal(w.call_count, 4);
    close_world();
}

static void serve_once(struct world *world, uint64_t n, uint32_t call, struct sim_http_reply *reply)
{
    (void)n, (void)call;
    if (world->call_count > 1)
        reply->manner = SIM_HTTP_REFUSES;
}

static void old_answers_where_there_are_no_new_ones(void **state)
{
    open_world(42);
    struct call_options options = caching(NS_PER_S, 3600 * NS_PER_S);
    w.serve = serve_once;
    w.event_count = 101;
    start(&options);
    run_all(5);
    run_for(10 * 1000);
    w.event_count = 1001;
    run_all(120);
    assert_int_equal(w.passed, 1000); /* none had to wait for the server, nor used an attempt up */
    close_world();
}

static void refreshed_ahead(void **state)
{
    open_world(42);
    struct call_options options = caching(10 * NS_PER_S, 0);
    w.event_count = 2;
    start(&options);
    run_all(5);
    for (uint32_t i = 0; i < 300; i++) { /* ten a second for 30 s: nobody waits for an answer any more */
        w.event_count++;
        int64_t from = io_now(w.io).ns;
        run_for(100);
        assert_int_equal(w.ended, w.event_count - 1);
        assert_true(w.ended_at[w.event_count - 1].ns - from < 100 * NS_PER_MS);
    }
    assert_true(w.call_count >= 3 && w.call_count <= 6);
    close_world();
}

static void a_fallback_for_an_open_breaker(void **state)
{
    open_world(42);
    struct call_options options = options_of();
    options.fallback = BYTES("{\"risk\":\"unknown\"}");
    w.serve = serve_never;
    start(&options);
    run_all(120);
    assert_int_equal(w.passed, 999);
    assert_non_null(strstr(w.json[500], ",\"score\":{\"risk\":\"unknown\"}}"));
    assert_true(w.call_count < 200); /* the rest was not even tried */
    close_world();
}

static void a_fallback_when_attempts_are_used_up(void **state)
{
    open_world(42);
    struct call_options options = options_of();
    options.manners.breaker_disabled = true;
    options.fallback = BYTES("null");
    w.serve = serve_never;
    w.event_count = 10;
    start(&options);
    run_all(600);
    assert_int_equal(w.passed, 9);
    assert_string_equal(w.json[9], "{\"n\":9,\"score\":null}");
    assert_int_equal(w.seen[9].calls, 8);
    close_world();
}

/* ---- addresses out of events ------------------------------------------------------------------------------------------------------ */

static void addresses_of_events(void **state)
{
    open_world(42);
    struct call_options options = options_of();
    options.url = NULL;
    options.url_expr =
        fixture_expr(&w.f,
                     "({'http://other.example/' .. event.n, 'http://10.0.0.1/', 'no url', nil})[event.n % 4 + 1]");
    struct call_header headers[] = { { .name = "X-Number", .expr = fixture_expr(&w.f, "event.n") },
                                     { .name = "Content-Type", .text = "application/x-order" } };
    options.headers = headers;
    options.header_count = 2;
    options.body = fixture_expr(&w.f, "{n = event.n}");
    w.event_count = 101;
    start(&options);
    run_all(600);
    for (uint64_t n = 1; n < w.event_count; n++) {
        if (n % 4 == 0)
            assert_null(w.reasons[n]);
        else
            assert_string_equal(w.reasons[n], n % 4 == 1 ? "refused" : "expression");
        assert_int_equal(w.seen[n].calls, n % 4 == 0 ? 1 : 0); /* nothing was sent inside */
    }
    close_world();
}

static void private_ones_where_they_are_allowed(void **state)
{
    open_world(4);
    struct call_options options = options_of();
    options.url = NULL;
    options.url_expr = fixture_expr(&w.f, "'http://10.0.0.1/'");
    options.private_allowed = true;
    w.event_count = 11;
    start(&options);
    run_all(60);
    assert_int_equal(w.passed, 10);
    close_world();
}

static void one_that_is_down_holds_no_other_up(void **state)
{
    open_world(42);
    struct call_options options = options_of();
    options.url = NULL;
    options.url_expr = fixture_expr(&w.f, "event.n % 2 == 0 and 'http://other.example/' or 'http://nobody.example/'");
    w.way_options.order = WAY_ORDER_NONE;
    start(&options);
    run_for(20 * 1000);
    uint32_t passed = 0;
    for (uint64_t n = 2; n < 250; n += 2)
        passed += w.done[n] && w.reasons[n] == NULL;
    assert_true(passed >= 100); /* of those in the window */
    way_cancel(w.way);
    run_for(2000);
    close_world();
}

/* ---- anything at all ---------------------------------------------------------------------------------------------------------------- */

static void serve_by_chance(struct world *world, uint64_t n, uint32_t call, struct sim_http_reply *reply)
{
    static const uint32_t statuses[] = { 200, 201, 204, 301, 400, 404, 408, 429, 500, 503 };
    (void)n, (void)call;
    reply->manner = chance_below(&world->chance, 4) == 0
                        ? (enum sim_http_manner)chance_below(&world->chance, SIM_HTTP_IS_NOT_TRUSTED + 1)
                        : SIM_HTTP_ANSWERS;
    reply->status =
        chance_below(&world->chance, 3) == 0 ? statuses[chance_below(&world->chance, COUNT_OF(statuses))] : 200;
    reply->retry_after = reply->status == 429 && chance_below(&world->chance, 2) == 0 ? "2" : NULL;
    reply->latency_ns = (int64_t)chance_below(&world->chance, 300) * NS_PER_MS;
    static char large[3000] = "\"";
    memset(large + 1, 'x', sizeof large - 2);
    large[sizeof large - 1] = '"';
    if (chance_below(&world->chance, 2) == 0)
        reply->body = (struct bytes){ (const uint8_t *)large, sizeof large };
}

static void anything_at_all(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        open_world(seed);
        bool cached = seed % 3 == 0, many = seed % 4 == 1;
        struct call_options options = cached ? caching(2 * NS_PER_S, seed % 2 * 5 * NS_PER_S) : options_of();
        if (cached) {
            expr_free(&options.cache_key);
            options.cache_key = fixture_expr(&w.f, "event.n % 30");
        }
        if (many) {
            options.url = NULL;
            options.url_expr =
                fixture_expr(&w.f, "event.n % 3 == 0 and 'http://other.example/' or 'http://score.example/'");
        }
        if (seed % 5 == 0)
            options.fallback = BYTES("0");
        options.request_size = CALL_HEAD_SIZE_MAX + 64;
        options.manners.concurrency_min = 2;
        bool little_room = seed % 2 == 0;
        options.manners.budget.floor_per_s = 1000;
        options.manners.breaker.open_ns_min = 100 * NS_PER_MS;
        options.manners.breaker.open_ns_max = NS_PER_S;
        w.serve = serve_by_chance;
        w.event_count = 400;
        start(&options);
        if (little_room) {
            w.verbs = w.stage->verbs;
            w.little_room = *w.verbs;
            w.little_room.begin = begin_with_little_room;
            w.stage->verbs = &w.little_room;
        }
        run_all(4000);
        assert_true(w.passed > 0 && w.passed + w.failed == 399);
        close_world();
    }
}

/* In whatever state flights are, a cancel ends them soon; and a way that begins anew finds all places free. */
static void cancelled_at_any_time(void **state)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        open_world(seed);
        struct call_options options = seed % 2 == 0 ? caching(NS_PER_S, NS_PER_S) : options_of();
        if (seed % 3 == 0)
            options.manners.limit = (struct limit_rate){ 5, NS_PER_S, 1 };
        if (seed % 5 == 0 && seed % 2 == 0) {
            expr_free(&options.cache_key);
            options.cache_key = fixture_expr(&w.f, "event.n % 3");
        }
        w.serve = serve_by_chance;
        start(&options);
        run_for((int64_t)(seed * 7));
        w.held = true;
        way_cancel(w.way);
        run_for(2000);
        assert_false(way_works(w.way));
        w.held = false;
        memset(w.done, 0, sizeof w.done);
        memset(w.last_begun, 0, sizeof w.last_begun);
        memset(w.last_ended, 0, sizeof w.last_ended);
        w.serve = NULL;
        w.laid = 1;
        w.ended = 0;
        w.event_count = 50;
        way_begin(w.way, 3, (log_offset){ 1 });
        run_all(200);
        close_world();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_ends_as_its_server_said),
        cmocka_unit_test(keys_of_idempotency),
        cmocka_unit_test(answers_that_nobody_wants),
        cmocka_unit_test(answers_that_are_too_large),
        cmocka_unit_test(an_outage_costs_nobody),
        cmocka_unit_test(an_hour_costs_nobody),
        cmocka_unit_test(nobody_stands_for_ever),
        cmocka_unit_test(the_budget_holds),
        cmocka_unit_test(come_later),
        cmocka_unit_test(a_rate_is_kept),
        cmocka_unit_test(a_rate_for_each),
        cmocka_unit_test(one_asks_for_all),
        cmocka_unit_test(the_next_one_asks),
        cmocka_unit_test(old_answers_where_there_are_no_new_ones),
        cmocka_unit_test(refreshed_ahead),
        cmocka_unit_test(a_fallback_for_an_open_breaker),
        cmocka_unit_test(a_fallback_when_attempts_are_used_up),
        cmocka_unit_test(addresses_of_events),
        cmocka_unit_test(private_ones_where_they_are_allowed),
        cmocka_unit_test(one_that_is_down_holds_no_other_up),
        cmocka_unit_test(anything_at_all),
        cmocka_unit_test(cancelled_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
