/* bench_manners.c - what its manners cost a call that succeeds: breaker, limit, retry budget, concurrency, retry, and all of them.
 *
 *     build/bench/bench-manners [CALLS]        default 5,000,000; prints ns for each call, medians of nine rounds that alternate,
 *                                              and the ratio to the bare loop of the same run
 *
 * The bare loop is the same calls without manners: the clock of the test goes on, a call begins, ends and says what came of it. */
#include "figures.h"

#include "base/must.h"
#include "flow/destination.h"
#include "flow/retry.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUND_COUNT    9u
#define INFLIGHT_COUNT 16u  /* calls that are out at once, each ends when as many others have begun */
#define CALL_NS        1000 /* virtual time between two beginnings: a million a second */

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Everything there is; each way takes what it needs. */
struct bench {
    mono_time now;
    uint64_t chance, done;
    struct breaker breaker;
    struct limit limit;
    struct limit_keys *keys;
    struct retry_budget budget;
    struct adaptive adaptive;
    struct outcome_rules rules;
    struct destinations *table;
    struct destination_options options;
    struct destination *destination;
    struct destination_call calls[INFLIGHT_COUNT];
    uint32_t generations[INFLIGHT_COUNT];
};

static uint64_t next_chance(struct bench *b)
{
    b->chance ^= b->chance << 13;
    b->chance ^= b->chance >> 7;
    b->chance ^= b->chance << 17;
    return b->chance;
}

static uint64_t call_bare(struct bench *b, uint32_t slot)
{
    b->now.ns += CALL_NS;
    b->generations[slot] = (uint32_t)next_chance(b);
    return 1;
}

static uint64_t call_outcome(struct bench *b, uint32_t slot)
{
    return call_bare(b, slot) + (outcome_of_status(&b->rules, 200 + slot) == OUTCOME_DELIVERED);
}

static uint64_t call_breaker(struct bench *b, uint32_t slot)
{
    mono_time not_before;
    uint64_t done = call_bare(b, slot);
    uint32_t generation = b->breaker.generation;
    breaker_done(&b->breaker, generation, OUTCOME_DELIVERED, INFLIGHT_COUNT * CALL_NS, b->now, b->generations[slot]);
    must(breaker_ask(&b->breaker, b->now, &not_before));
    return done + breaker_begin(&b->breaker, b->now);
}

static uint64_t call_limit(struct bench *b, uint32_t slot)
{
    mono_time not_before;
    uint64_t done = call_bare(b, slot);
    must(limit_ask(&b->limit, b->now, &not_before));
    limit_take(&b->limit, b->now);
    return done;
}

static uint64_t call_limit_keys(struct bench *b, uint32_t slot)
{
    mono_time not_before;
    uint64_t done = call_bare(b, slot);
    uint64_t hash = (b->generations[slot] & 1023) * 0x9e3779b97f4a7c15ull >> 20;
    must(limit_keys_ask(b->keys, hash, b->now, &not_before));
    limit_keys_take(b->keys, hash, b->now);
    return done;
}

static uint64_t call_budget(struct bench *b, uint32_t slot)
{
    uint64_t done = call_bare(b, slot);
    retry_budget_success(&b->budget, b->now);
    return done;
}

static uint64_t call_adaptive(struct bench *b, uint32_t slot)
{
    uint64_t done = call_bare(b, slot);
    must(adaptive_limit(&b->adaptive) > 0);
    adaptive_done(&b->adaptive, OUTCOME_DELIVERED, false, INFLIGHT_COUNT * CALL_NS, INFLIGHT_COUNT, b->now);
    return done;
}

static uint64_t call_retry(struct bench *b, uint32_t slot)
{
    static const struct retry_policy policy = { 8, 100 * NS_PER_MS, 30 * NS_PER_S };
    struct retry retry = { 0 };
    mono_time due;
    uint64_t done = call_bare(b, slot);
    return done +
           (retry_ended(&retry, &policy, OUTCOME_DELIVERED, 0, b->now, b->generations[slot], &due) == RETRY_DONE);
}

static uint64_t call_destination(struct bench *b, uint32_t slot)
{
    uint64_t done = call_bare(b, slot);
    if (b->calls[slot].number != 0)
        destination_done(b->destination, &b->calls[slot],
                         &(struct destination_end){ OUTCOME_DELIVERED, .latency_ns = INFLIGHT_COUNT * CALL_NS }, b->now,
                         b->generations[slot]);
    struct destination_verdict may =
        destination_begin(b->destination, &(struct destination_want){ .retry = false }, b->now, &b->calls[slot]);
    must(may.answer == DESTINATION_YES);
    return done;
}

static uint64_t call_all(struct bench *b, uint32_t slot)
{
    static const struct retry_policy policy = { 8, 100 * NS_PER_MS, 30 * NS_PER_S };
    struct retry retry = { 0 };
    mono_time due;
    uint64_t done = call_destination(b, slot);
    enum outcome outcome = outcome_of_status(&b->rules, 200 + slot);
    return done + (retry_ended(&retry, &policy, outcome, 0, b->now, b->generations[slot], &due) == RETRY_DONE);
}

/* As where the URL is made for each event: the destination is looked up by its name, and let go. */
static uint64_t call_named(struct bench *b, uint32_t slot)
{
    struct destination *d;
    must(destinations_acquire(b->table, BYTES("https://api.example.com:443"), &b->options, b->now, &d) == NEAP_OK);
    uint64_t done = call_all(b, slot);
    destination_release(&d);
    return done;
}

static const struct way {
    const char *name;
    uint64_t (*call)(struct bench *b, uint32_t slot);
} ways[] = {
    { "bare loop", call_bare },
    { "outcome of a status", call_outcome },
    { "breaker", call_breaker },
    { "limit", call_limit },
    { "limit by key, 1,024 keys", call_limit_keys },
    { "retry budget", call_budget },
    { "concurrency that adapts", call_adaptive },
    { "retry: what follows", call_retry },
    { "destination: all but retry", call_destination },
    { "all of them", call_all },
    { "all, destination by name", call_named },
};

static void begin(struct bench *b)
{
    static const struct outcome_list unwritten = { NULL, 0 };
    const struct limit_rate rate = { 1000000000u / CALL_NS * 5, NS_PER_S, 10 };
    *b = (struct bench){ .chance = 88172645463325252ull };
    b->options = (struct destination_options){
        .breaker = BREAKER_OPTIONS_DEFAULT,
        .budget = { RETRY_BUDGET_PERCENT, RETRY_BUDGET_FLOOR_PER_S, RETRY_BUDGET_LIVE_NS },
        .concurrency_min = INFLIGHT_COUNT * 2, /* at half of it the base is measured */
        .concurrency_max = 256,
        .limit = rate,
    };
    b->options.breaker.slow_call_ns = 2 * NS_PER_S;
    breaker_init(&b->breaker, &b->options.breaker, b->now);
    limit_init(&b->limit, &rate);
    b->keys = limit_keys_new(&rate, 2048);
    retry_budget_init(&b->budget, &b->options.budget, b->now);
    adaptive_init(&b->adaptive, 8, 256);
    b->table = destinations_new(16);
    must(b->keys != NULL && b->table != NULL);
    must(outcome_rules_make(&unwritten, &unwritten, &b->rules, NULL) == NEAP_OK);
    must(destinations_acquire(b->table, BYTES("https://api.example.com:443"), &b->options, b->now, &b->destination) ==
         NEAP_OK);
}

static void finish(struct bench *b)
{
    const struct destination_end end = { .outcome = OUTCOME_DELIVERED };
    for (uint32_t i = 0; i < INFLIGHT_COUNT; i++)
        if (b->calls[i].number != 0)
            destination_done(b->destination, &b->calls[i], &end, b->now, 0);
    destination_release(&b->destination);
    destinations_free(&b->table);
    limit_keys_free(&b->keys);
}

static double time_way(const struct way *way, uint32_t count)
{
    struct bench b;
    begin(&b);
    double start = now_ns();
    for (uint32_t i = 0; i < count; i++)
        b.done += way->call(&b, i % INFLIGHT_COUNT);
    double ns = (now_ns() - start) / count;
    must(b.done >= count);
    finish(&b);
    return ns;
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 5000000u;
    double ns[COUNT_OF(ways)][ROUND_COUNT];
    for (uint32_t round = 0; round < ROUND_COUNT; round++)
        for (size_t w = 0; w < COUNT_OF(ways); w++)
            ns[w][round] = time_way(&ways[w], count);
    double bare = median(ns[0], ROUND_COUNT);
    printf("%-32s %9s %9s %7s   (of %u calls, %u rounds)\n", "ns per call", "median", "more", "ratio", count,
           ROUND_COUNT);
    for (size_t w = 0; w < COUNT_OF(ways); w++) {
        double middle = median(ns[w], ROUND_COUNT);
        printf("%-32s %9.1f %9.1f %7.1f\n", ways[w].name, middle, middle - bare, middle / bare);
    }
    return 0;
}
