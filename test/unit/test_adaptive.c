/* The limit finds how many servers a destination has, follows it from 40 ms to 800 ms and back without a cascade of timeouts, and
 * stays where it is when nobody uses it. */
#include "check.h"

#include "flow/adaptive.h"
#include <math.h>

#define SERVER_COUNT_MAX 128u
#define INFLIGHT_MAX     256u

/* ---- a destination: servers, one queue before them, service times by chance (M/M/c). It serves whom it was given,
 *      also who has given up waiting; the caller always has more to do. ---- */

struct world {
    struct adaptive a;
    uint64_t s;
    uint32_t server_count;
    double free_at[SERVER_COUNT_MAX]; /* seconds */
    double mean, timeout, now;
    struct {
        double start, end; /* as the caller sees it */
        bool timed_out;
    } calls[INFLIGHT_MAX];
    uint32_t inflight_count;
    uint64_t delivered, timed_out;
    double latency_sum;
};

static void begin_call(struct world *w)
{
    uint32_t server = 0;
    for (uint32_t i = 1; i < w->server_count; i++)
        server = w->free_at[i] < w->free_at[server] ? i : server;
    double start = w->free_at[server] > w->now ? w->free_at[server] : w->now;
    double unit = ((double)(chance(&w->s) >> 11) + 0.5) / 9007199254740992.0;
    double end = start - log(unit) * w->mean;
    if (start < w->now + w->timeout) /* who leaves the queue before its turn costs no server's time */
        w->free_at[server] = end;
    bool late = end > w->now + w->timeout;
    w->calls[w->inflight_count].start = w->now;
    w->calls[w->inflight_count].timed_out = late;
    w->calls[w->inflight_count++].end = late ? w->now + w->timeout : end;
}

static void end_call(struct world *w)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < w->inflight_count; i++)
        first = w->calls[i].end < w->calls[first].end ? i : first;
    double latency = w->calls[first].end - w->calls[first].start;
    bool late = w->calls[first].timed_out;
    w->now = w->calls[first].end;
    adaptive_done(&w->a, late ? OUTCOME_TRANSIENT : OUTCOME_DELIVERED, late, (int64_t)(latency * 1e9),
                  w->inflight_count, (mono_time){ (int64_t)(w->now * 1e9) });
    w->calls[first] = w->calls[--w->inflight_count];
    w->latency_sum += latency;
    *(late ? &w->timed_out : &w->delivered) += 1;
}

/* Runs with as many calls as the limit allows, but at most `wanted`. */
static void run(struct world *w, double seconds, uint32_t wanted)
{
    double end = w->now + seconds;
    w->delivered = w->timed_out = 0;
    w->latency_sum = 0;
    while (w->now < end) {
        while (w->inflight_count < adaptive_limit(&w->a) && w->inflight_count < wanted)
            begin_call(w);
        end_call(w);
    }
}

static void say(const struct world *w, const char *what, double seconds)
{
    print_message("    %-36s limit %3u  %6.1f/s  %5.1f timeouts/s  %4.0f ms\n", what, adaptive_limit(&w->a),
                  (double)w->delivered / seconds, (double)w->timed_out / seconds,
                  w->latency_sum * 1000 / (double)(w->delivered + w->timed_out));
}

static struct world world_of(uint32_t server_count, double timeout, uint64_t seed)
{
    struct world w = { .s = seed, .server_count = server_count, .mean = 0.04, .timeout = timeout };
    adaptive_init(&w.a, 8, 256);
    return w;
}

static void follows_a_destination_that_becomes_slow_and_recovers(void **state)
{
    static const uint32_t server_counts[] = { 16, 32, 100 };
    for (size_t i = 0; i < COUNT_OF(server_counts); i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct world w = world_of(server_counts[i], 5, seed);
            double c = server_counts[i];
            run(&w, 60, 1000);
            run(&w, 60, 1000);
            say(&w, "40 ms", 60);
            assert_true((double)w.delivered / 60 > 0.95 * c / 0.04);     /* no server is idle */
            assert_true(w.latency_sum / (double)w.delivered < 2 * 0.04); /* and nobody waits for long */
            assert_int_equal(w.timed_out, 0);
            w.mean = 0.8;
            run(&w, 30, 1000);
            say(&w, "800 ms, the first half minute", 30);
            assert_true(w.timed_out * 20 < w.delivered + w.timed_out); /* no cascade: one in twenty */
            run(&w, 90, 1000);
            say(&w, "800 ms, then", 90);
            assert_true((double)w.delivered / 90 > 0.8 * c / 0.8);
            assert_true(w.timed_out * 50 <
                        w.delivered + w.timed_out); /* e^-(5/0.8) of them take so long by themselves */
            w.mean = 0.04;
            run(&w, 30, 1000);
            say(&w, "40 ms again, the first half minute", 30);
            assert_true((double)w.delivered / 30 > 0.8 * c / 0.04);
            run(&w, 60, 1000);
            say(&w, "40 ms again, then", 60);
            assert_true((double)w.delivered / 60 > 0.95 * c / 0.04);
            assert_true(w.latency_sum / (double)w.delivered < 2 * 0.04);
        }
    }
}

/* The fault of averages as a base: an hour of full load, and the limit is where it was. */
static void an_hour_of_backlog_moves_nothing(void **state)
{
    struct world w = world_of(32, 5, 1);
    run(&w, 60, 1000);
    for (int minute = 1; minute <= 60; minute++) {
        run(&w, 60, 1000);
        assert_in_range(w.a.limit_256 / 256, 36, 80);
    }
    say(&w, "after an hour of full load", 60);
}

/* ---- why the base is measured: the same step with a long average for it, as published, before the same destination ---- */

struct averaged {
    double limit, base;
    uint32_t window_count;
};

static void averaged_step(struct averaged *a, double latency)
{
    bool young = a->window_count++ < 10;
    a->base += (latency - a->base) * (young ? 1.0 / a->window_count : 2.0 / 601);
    double gradient = fmax(0.5, fmin(1, 1.5 * a->base / latency));
    a->limit = fmax(8, fmin(256, a->limit + 0.2 * (a->limit * gradient + 4 - a->limit)));
}

/* A window of a tenth of a second at this limit: at full load the latency is what the queue makes of it. */
static double full_load_latency(double limit, double server_count)
{
    return limit > server_count ? 0.04 * limit / server_count : 0.04;
}

static void an_average_as_the_base_believes_its_own_queue(void **state)
{
    struct averaged a = { .limit = 20 };
    for (int window = 0; window < 10 * 3600; window++)
        averaged_step(&a, full_load_latency(a.limit, 32));
    print_message("    with a long average as the base: limit %.0f, %.0f ms\n", a.limit,
                  full_load_latency(a.limit, 32) * 1000);
    assert_true(a.limit > 200); /* it ran away; an_hour_of_backlog_moves_nothing is the same hour with ours */
}

static void a_limit_that_is_not_used_does_not_move(void **state)
{
    struct world w = world_of(100, 5, 1);
    run(&w, 60, 1000);
    uint32_t wanted = adaptive_limit(&w.a) / 4;
    run(&w, 5, wanted); /* the crowd goes home */
    uint64_t limit_256 = w.a.limit_256;
    run(&w, 600, wanted);
    assert_int_equal(w.a.limit_256, limit_256);
    w.mean = 0.03; /* faster: still no reason for more */
    run(&w, 600, wanted);
    assert_int_equal(w.a.limit_256, limit_256);
}

static void fast_failures_are_no_good_news(void **state)
{
    struct adaptive a;
    mono_time now = { 0 };
    adaptive_init(&a, 8, 256);
    struct adaptive before = a;
    for (int i = 0; i < 100000; i++, now.ns += NS_PER_MS) {
        static const enum outcome others[] = { OUTCOME_TRANSIENT, OUTCOME_PERMANENT, OUTCOME_RELEASED };
        adaptive_done(&a, others[i % 3], false, 1000, adaptive_limit(&a), now);
    }
    assert_memory_equal(&a, &before, sizeof a);
}

static void timeouts_lower_it_to_the_floor_and_no_further(void **state)
{
    struct adaptive a;
    mono_time now = { 0 };
    adaptive_init(&a, 8, 256);
    a.limit_256 = 256 * 256;
    int windows = 0;
    for (; adaptive_limit(&a) > 8; windows++) {
        now.ns += 2 * NS_PER_S;
        for (uint32_t i = adaptive_limit(&a); i > 0; i--)
            adaptive_done(&a, OUTCOME_TRANSIENT, true, 2 * NS_PER_S, i, now);
    }
    assert_in_range(windows, 1, 12);
    for (int i = 0; i < 10000; i++, now.ns += NS_PER_S) {
        adaptive_done(&a, OUTCOME_TRANSIENT, true, 2 * NS_PER_S, 8, now);
        assert_true(adaptive_limit(&a) >= 8);
    }
    now.ns += NS_PER_S;
    for (int i = 0; i < 1000000; i++, now.ns += NS_PER_MS) {
        adaptive_done(&a, OUTCOME_DELIVERED, false, 10 * NS_PER_MS, adaptive_limit(&a), now);
        assert_in_range(adaptive_limit(&a), 8, 256);
    }
    assert_int_equal(a.limit_256, 256 * 256); /* nothing was ever slower: all the range */
}

static void a_fixed_limit_is_fixed(void **state)
{
    struct adaptive a;
    adaptive_init(&a, 32, 32);
    for (int64_t i = 0; i < 10000; i++)
        adaptive_done(&a, OUTCOME_TRANSIENT, true, NS_PER_S, 32, (mono_time){ i * NS_PER_S });
    assert_int_equal(adaptive_limit(&a), 32);
}

/* Any latencies, any order: always inside its range. */
static void never_leaves_its_range(void **state)
{
    uint64_t s = 9;
    for (int round = 0; round < 200; round++) {
        struct adaptive a;
        uint32_t least = 1 + (uint32_t)chance_below(&s, 50), most = least + (uint32_t)chance_below(&s, 500);
        adaptive_init(&a, least, most);
        mono_time now = { 0 };
        for (int i = 0; i < 5000; i++) {
            now.ns += (int64_t)(chance(&s) >> 1 >> (30 + chance_below(&s, 33)));
            uint64_t latency = chance(&s) >> 1 >> chance_below(&s, 63);
            adaptive_done(&a, (enum outcome)chance_below(&s, 4), chance_below(&s, 10) == 0, (int64_t)latency,
                          1 + (uint32_t)chance_below(&s, most), now);
            assert_in_range(adaptive_limit(&a), least, most);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_a_destination_that_becomes_slow_and_recovers),
        cmocka_unit_test(an_hour_of_backlog_moves_nothing),
        cmocka_unit_test(an_average_as_the_base_believes_its_own_queue),
        cmocka_unit_test(a_limit_that_is_not_used_does_not_move),
        cmocka_unit_test(fast_failures_are_no_good_news),
        cmocka_unit_test(timeouts_lower_it_to_the_floor_and_no_further),
        cmocka_unit_test(a_fixed_limit_is_fixed),
        cmocka_unit_test(never_leaves_its_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
