/* All manners together before a destination that fails for an hour: few calls meanwhile, no stampede after, and no event lost on the
 * way. */
#include "check.h"

#include "flow/destination.h"
#include "flow/retry.h"
#include <stdio.h>
#include <stdlib.h>

#define READ_AHEAD    2000u /* events at work; the log holds the rest */
#define SECOND_COUNT  20000u
#define OUTAGE_START  300
#define OUTAGE_LENGTH 3600

/* ---- what happens at a time: a heap ---- */

enum what { ARRIVAL, READY, ENDED, WAKE };

struct moment {
    int64_t at_ns;
    uint64_t order; /* of equal times, the one that was put in first */
    enum what what;
    uint32_t event;
};

struct heap {
    struct moment moments[READ_AHEAD * 3 + 16];
    uint32_t count;
    uint64_t order;
};

static bool sooner(const struct moment *a, const struct moment *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void put(struct heap *h, int64_t at_ns, enum what what, uint32_t event)
{
    assert_true(h->count < sizeof h->moments / sizeof h->moments[0]);
    struct moment m = { at_ns, h->order++, what, event };
    uint32_t i = h->count++;
    for (; i > 0 && sooner(&m, &h->moments[(i - 1) / 2]); i = (i - 1) / 2)
        h->moments[i] = h->moments[(i - 1) / 2];
    h->moments[i] = m;
}

static struct moment take(struct heap *h)
{
    struct moment first = h->moments[0], m = h->moments[--h->count];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < h->count; i = child) {
        child += child + 1 < h->count && sooner(&h->moments[child + 1], &h->moments[child]);
        if (!sooner(&h->moments[child], &m))
            break;
        h->moments[i] = h->moments[child];
    }
    h->moments[i] = m;
    return first;
}

/* ---- a line of events that may begin, first come first served ---- */

struct line {
    uint32_t events[READ_AHEAD + 1];
    uint32_t first, count;
    int64_t wake_ns; /* asked for already; 0: not */
};

static void line_up(struct line *l, uint32_t event)
{
    assert_true(l->count <= READ_AHEAD);
    l->events[(l->first + l->count++) % (READ_AHEAD + 1)] = event;
}

/* ---- the world ---- */

struct trouble { /* what the destination does to calls that begin in the outage */
    const char *name;
    uint32_t failing_percent;
    enum outcome outcome;
    bool timed_out;
    int64_t latency_ns, retry_after_ns;
};

struct world {
    struct heap heap;
    struct destinations *table;
    struct destination *d;
    struct retry_policy policy;
    const struct trouble *trouble;
    uint64_t s;
    mono_time now;
    int64_t until_ns;
    uint32_t per_s;
    struct {
        struct retry retry;
        struct destination_call call;
        struct destination_end end;
    } events[READ_AHEAD];
    uint32_t free[READ_AHEAD], free_count;
    struct line firsts, retries;
    uint64_t arrived, backlog, delivered, dead, asked;
    uint64_t outage_calls, outage_retries;
    uint32_t calls[SECOND_COUNT], inflight, inflight_max;
};

static bool in_outage(const struct world *w)
{
    int64_t second = w->now.ns / NS_PER_S;
    return second >= OUTAGE_START && second < OUTAGE_START + OUTAGE_LENGTH;
}

static void fill(struct world *w) /* the task reads on */
{
    for (; w->backlog > 0 && w->free_count > 0; w->backlog--) {
        uint32_t event = w->free[--w->free_count];
        w->events[event].retry = (struct retry){ 0 };
        line_up(&w->firsts, event);
    }
}

static struct destination_end end_of_call(struct world *w)
{
    const struct trouble *t = w->trouble;
    if (in_outage(w) && chance_below(&w->s, 100) < t->failing_percent)
        return (struct destination_end){ t->outcome, t->timed_out, t->latency_ns, t->retry_after_ns };
    return (struct destination_end){ .outcome = OUTCOME_DELIVERED,
                                     .latency_ns = (int64_t)(20 + chance_below(&w->s, 40)) * NS_PER_MS };
}

/* Only who stands first in its line asks. Retries have a line of their own: one that waits for the budget holds no other up. */
static void serve(struct world *w, struct line *l, bool retry)
{
    while (l->count > 0) {
        uint32_t event = l->events[l->first];
        w->asked++;
        struct destination_verdict may =
            destination_begin(w->d, &(struct destination_want){ .retry = retry }, w->now, &w->events[event].call);
        if (may.answer == DESTINATION_NOT_BEFORE && (l->wake_ns <= w->now.ns || may.not_before.ns < l->wake_ns)) {
            l->wake_ns = may.not_before.ns;
            put(&w->heap, l->wake_ns, WAKE, 0);
        }
        if (may.answer != DESTINATION_YES)
            return;
        l->first = (l->first + 1) % (READ_AHEAD + 1);
        l->count--;
        w->events[event].end = end_of_call(w);
        w->calls[w->now.ns / NS_PER_S]++;
        w->outage_calls += in_outage(w);
        w->outage_retries += in_outage(w) && retry;
        w->inflight++;
        w->inflight_max = w->inflight_max > w->inflight ? w->inflight_max : w->inflight;
        put(&w->heap, w->now.ns + w->events[event].end.latency_ns, ENDED, event);
    }
}

static void call_ended(struct world *w, uint32_t event)
{
    const struct destination_end *end = &w->events[event].end;
    mono_time due;
    w->inflight--;
    destination_done(w->d, &w->events[event].call, end, w->now, chance(&w->s));
    switch (retry_ended(&w->events[event].retry, &w->policy, end->outcome, end->retry_after_ns, w->now, chance(&w->s),
                        &due)) {
    case RETRY_AGAIN:
        put(&w->heap, due.ns, READY, event);
        return;
    case RETRY_DONE:
        w->delivered++;
        break;
    case RETRY_GIVE_UP:
        w->dead++;
        break;
    }
    w->free[w->free_count++] = event;
}

static void happen(struct world *w, const struct moment *m)
{
    w->now.ns = m->at_ns;
    if (m->what == ARRIVAL) {
        w->arrived++;
        w->backlog++;
        if (w->now.ns < w->until_ns)
            put(&w->heap, w->now.ns + (int64_t)chance_below(&w->s, 2ull * NS_PER_S / w->per_s), ARRIVAL, 0);
    } else if (m->what == READY)
        line_up(&w->retries, m->event);
    else if (m->what == ENDED)
        call_ended(w, m->event);
    fill(w);
    serve(w, &w->retries, true);
    serve(w, &w->firsts, false);
}

static struct world *run(const struct trouble *trouble, uint32_t per_s, uint32_t concurrency_min,
                         uint32_t concurrency_max, uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    const struct destination_options options = {
        .breaker = BREAKER_OPTIONS_DEFAULT,
        .budget = { RETRY_BUDGET_PERCENT, RETRY_BUDGET_FLOOR_PER_S, RETRY_BUDGET_LIVE_NS },
        .concurrency_min = concurrency_min,
        .concurrency_max = concurrency_max,
    };
    w->s = seed;
    w->trouble = trouble;
    w->per_s = per_s;
    w->policy = (struct retry_policy){ 8, 100 * NS_PER_MS, 30 * NS_PER_S };
    w->until_ns = (OUTAGE_START + OUTAGE_LENGTH + 300) * NS_PER_S;
    w->table = destinations_new(1);
    assert_int_equal(destinations_acquire(w->table, BYTES("http://there:80"), &options, w->now, &w->d), NEAP_OK);
    for (uint32_t i = 0; i < READ_AHEAD; i++)
        w->free[w->free_count++] = i;
    put(&w->heap, 0, ARRIVAL, 0);
    while (w->heap.count > 0) {
        struct moment m = take(&w->heap);
        happen(w, &m);
    }
    assert_int_equal(w->free_count, READ_AHEAD); /* none is stuck */
    assert_int_equal(w->backlog, 0);
    assert_int_equal(w->delivered + w->dead, w->arrived);
    assert_int_equal(w->inflight, 0);
    assert_true(w->inflight_max <= concurrency_max);
    return w;
}

static struct breaker_figures end(struct world **world)
{
    struct world *w = *world;
    struct breaker_figures figures = destination_figures(w->d, w->now).breaker;
    print_message("    %-34s %7llu arrived, in the outage %6llu calls (%5llu retries); %llu dead; opened %llu; drained "
                  "after %lld s\n",
                  w->trouble->name, (unsigned long long)w->arrived, (unsigned long long)w->outage_calls,
                  (unsigned long long)w->outage_retries, (unsigned long long)w->dead,
                  (unsigned long long)figures.opened_count,
                  (long long)(w->now.ns / NS_PER_S - OUTAGE_START - OUTAGE_LENGTH));
    destination_release(&w->d);
    destinations_free(&w->table);
    free(w);
    *world = NULL;
    return figures;
}

/* In the minute after the first full second of success, and never by a jump until the ramp is over. */
static void no_stampede(const struct world *w)
{
    uint32_t start = OUTAGE_START + OUTAGE_LENGTH;
    while (w->calls[start] <= 5) /* probes until then */
        start++;
    assert_true(start < OUTAGE_START + OUTAGE_LENGTH + 400); /* it looks at least every five minutes, and a quarter */
    for (uint32_t i = start; i < start + 65; i++)
        assert_true(w->calls[i] * 2 <= w->per_s * 3);
    for (uint32_t i = start + 22; i < start + 180; i++)
        assert_true(w->calls[i] * 2 <= w->calls[i - 10] * 3 + 60);
}

static void an_hour_of_refusals(void **state)
{
    static const struct trouble troubles[] = {
        { "nobody listens", 100, OUTCOME_TRANSIENT, false, NS_PER_MS, 0 },
        { "frozen: every call times out", 100, OUTCOME_TRANSIENT, true, 2 * NS_PER_S, 0 },
        { "busy: 503, Retry-After: 30", 100, OUTCOME_TRANSIENT, false, 10 * NS_PER_MS, 30 * NS_PER_S },
        { "four of five fail", 80, OUTCOME_TRANSIENT, false, 10 * NS_PER_MS, 0 },
    };
    for (size_t i = 0; i < COUNT_OF(troubles); i++) {
        for (uint64_t seed = 1; seed <= 2; seed++) {
            struct world *w = run(&troubles[i], 200, 32, 32, seed);
            if (troubles[i].failing_percent == 100) {
                uint64_t opened = destination_figures(w->d, w->now).breaker.opened_count;
                uint64_t allowed = 100 + 32 + opened * 5; /* a window, what was in flight, and the probes */
                assert_true(w->outage_calls * 10 <= allowed * 11);
                assert_int_equal(w->dead, 0); /* a breaker makes no dead letters */
                no_stampede(w);
            }
            assert_true(w->outage_calls < 3600u * 200 / 50); /* of what was offered */
            assert_true(w->outage_retries <= 3600 * 10 + 100 + w->outage_calls / 5);
            end(&w);
        }
    }
}

/* Seldom bad enough for the breaker: it is the budget that keeps retries from becoming the load. */
static void an_hour_in_which_a_third_fails(void **state)
{
    static const struct trouble third = { "a third fails", 33, OUTCOME_TRANSIENT, false, 10 * NS_PER_MS, 0 };
    struct world *w = run(&third, 200, 32, 32, 1);
    uint64_t successes = (w->outage_calls + 100) * 69 / 100;
    assert_true(w->outage_retries <= successes / 5 + 3600 * 10 + 100);
    assert_true(w->outage_retries > 3600 * 10); /* and it is used */
    assert_true(w->dead < w->arrived / 1000);   /* 0.33^8 of them fail eight times by chance: fourteen in 100,000 */
    end(&w);
}

/* "Come later" costs no event its attempts, and none is asked before the time it was told. */
static void an_hour_of_429(void **state)
{
    static const struct trouble later = { "429, Retry-After: 20", 100,          OUTCOME_RELEASED, false,
                                          5 * NS_PER_MS,          20 * NS_PER_S };
    struct world *w = run(&later, 200, 32, 32, 1);
    assert_int_equal(w->dead, 0);
    assert_true(w->outage_calls <= (3600 / 20 + 2) * 33); /* after each pause as many as are in flight at once */
    struct breaker_figures f = end(&w);
    assert_int_equal(f.opened_count, 0); /* it works, it only says no */
}

/* A range of concurrency changes nothing of this. */
static void an_hour_with_a_concurrency_that_adapts(void **state)
{
    static const struct trouble frozen = {
        "frozen, concurrency 8..256", 100, OUTCOME_TRANSIENT, true, 2 * NS_PER_S, 0
    };
    struct world *w = run(&frozen, 200, 8, 256, 3);
    uint64_t opened = destination_figures(w->d, w->now).breaker.opened_count;
    assert_true(w->outage_calls * 10 <= (100 + 256 + opened * 5) * 11);
    assert_int_equal(w->dead, 0);
    no_stampede(w);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_hour_of_refusals),
        cmocka_unit_test(an_hour_in_which_a_third_fails),
        cmocka_unit_test(an_hour_of_429),
        cmocka_unit_test(an_hour_with_a_concurrency_that_adapts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
