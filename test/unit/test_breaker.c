/* The breaker beside a model that remembers every answer, over millions of steps; and the ramp by which it comes back. */
#include "check.h"

#include "flow/breaker.h"
#include <stdlib.h>

#define ANSWER_COUNT_MAX (1u << 20)
#define OUT_COUNT_MAX    64u
#define RAMP_NS          (190 * NS_PER_S)

/* ---- the model: a list of answers since the state began, looked through for each decision ---- */

struct model {
    struct breaker_options options;
    enum breaker_state state;
    uint32_t generation;
    uint8_t answers[ANSWER_COUNT_MAX]; /* 1: failed, 2: slow */
    uint32_t answer_count, probes_begun, doublings;
    int64_t until_ns, ramp_start_ns; /* -1: not ramping */
    uint64_t late_count, opened_count;
};

static void model_enter(struct model *m, enum breaker_state state)
{
    m->state = state;
    m->generation++;
    m->answer_count = m->probes_begun = 0;
    m->ramp_start_ns = -1;
}

static void model_time(struct model *m, int64_t now_ns)
{
    if (m->state == BREAKER_OPEN && now_ns >= m->until_ns)
        model_enter(m, BREAKER_HALF_OPEN);
    if (m->ramp_start_ns >= 0 && now_ns >= m->ramp_start_ns + RAMP_NS) {
        m->ramp_start_ns = -1;
        m->doublings = 0;
    }
}

/* The length is chance's; that it lies in its bounds is looked at here. */
static void model_open(struct model *m, int64_t now_ns, int64_t until_ns)
{
    const struct breaker_options *o = &m->options;
    int64_t wanted = o->open_ns_min;
    for (uint32_t i = 0; i < m->doublings; i++)
        wanted = wanted * 2 < o->open_ns_max ? wanted * 2 : o->open_ns_max;
    int64_t length = until_ns - now_ns;
    assert_true(length >= o->open_ns_min && length <= o->open_ns_max);
    assert_true(length >= wanted - wanted / 5 && length <= wanted + wanted / 4);
    model_enter(m, BREAKER_OPEN);
    m->until_ns = until_ns;
    m->doublings += m->doublings < 40;
    m->opened_count++;
}

static bool share_reached(const struct model *m, uint32_t last, uint32_t whole, uint8_t bit, uint32_t percent,
                          uint32_t more)
{
    uint32_t n = more;
    for (uint32_t i = 0; i < last && i < m->answer_count; i++)
        n += (m->answers[m->answer_count - 1 - i] & bit) != 0;
    return n * 100 >= whole * percent;
}

static void model_done(struct model *m, uint32_t generation, enum outcome outcome, int64_t latency_ns, int64_t now_ns,
                       const struct breaker *b)
{
    const struct breaker_options *o = &m->options;
    if (generation != m->generation) {
        m->late_count++;
        return;
    }
    if (outcome == OUTCOME_RELEASED) {
        m->probes_begun -= m->state == BREAKER_HALF_OPEN;
        return;
    }
    if (m->state == BREAKER_DISABLED)
        return;
    assert_true(m->answer_count < ANSWER_COUNT_MAX);
    m->answers[m->answer_count++] =
        (uint8_t)((outcome == OUTCOME_TRANSIENT) | (o->slow_call_ns > 0 && latency_ns >= o->slow_call_ns) << 1);
    if (m->state == BREAKER_HALF_OPEN) {
        uint32_t n = o->probe_count, out = n - m->answer_count;
        if (share_reached(m, n, n, 1, o->failure_percent, 0) || share_reached(m, n, n, 2, o->slow_percent, 0))
            model_open(m, now_ns, b->until.ns);
        else if (!share_reached(m, n, n, 1, o->failure_percent, out) &&
                 !share_reached(m, n, n, 2, o->slow_percent, out)) {
            model_enter(m, BREAKER_CLOSED);
            m->ramp_start_ns = now_ns;
        }
        return;
    }
    uint32_t seen = m->answer_count < o->window_count ? m->answer_count : o->window_count;
    if (seen >= o->minimum_call_count &&
        (share_reached(m, seen, seen, 1, o->failure_percent, 0) || share_reached(m, seen, seen, 2, o->slow_percent, 0)))
        model_open(m, now_ns, b->until.ns);
}

/* ---- histories ---- */

struct history {
    struct breaker b;
    struct model m;
    mono_time now;
    uint64_t s;
    struct {
        uint32_t ticket, generation;
    } out[OUT_COUNT_MAX];
    uint32_t out_count;
    uint64_t seen[5];
};

static struct breaker_options any_options(uint64_t *s)
{
    struct breaker_options o = BREAKER_OPTIONS_DEFAULT;
    if (chance_below(s, 4) > 0) {
        o.failure_percent = 1 + (uint32_t)chance_below(s, 100);
        o.slow_percent = 1 + (uint32_t)chance_below(s, 100);
        o.window_count = 1 + (uint32_t)chance_below(s, chance_below(s, 8) ? 120 : BREAKER_WINDOW_COUNT_MAX);
        o.minimum_call_count = 1 + (uint32_t)chance_below(s, o.window_count);
        o.probe_count = 1 + (uint32_t)chance_below(s, 10);
        o.open_ns_max = o.open_ns_min * (1 + (int64_t)chance_below(s, 100));
    }
    o.slow_call_ns = chance_below(s, 2) ? 2 * NS_PER_S : 0;
    return o;
}

static void ask(struct history *h)
{
    mono_time not_before = { -1 };
    bool yes = breaker_ask(&h->b, h->now, &not_before);
    struct model *m = &h->m;
    bool expected = m->state == BREAKER_CLOSED || m->state == BREAKER_DISABLED ||
                    (m->state == BREAKER_HALF_OPEN && m->probes_begun < m->options.probe_count);
    if (m->ramp_start_ns >= 0 && !yes) { /* how fast is looked at below; here: not never, and true when it comes */
        assert_true(not_before.ns > h->now.ns && not_before.ns <= h->now.ns + NS_PER_S);
        if (chance_below(&h->s, 2)) {
            h->now = not_before;
            model_time(m, h->now.ns);
            assert_true(breaker_ask(&h->b, h->now, &not_before));
        }
        return;
    }
    assert_int_equal(yes, expected);
    if (!yes) {
        assert_true(not_before.ns == (m->state == BREAKER_OPEN ? m->until_ns : MONO_NEVER.ns));
        return;
    }
    if (h->out_count == OUT_COUNT_MAX)
        return;
    h->out[h->out_count].generation = m->generation;
    h->out[h->out_count++].ticket = breaker_begin(&h->b, h->now);
    m->probes_begun += m->state == BREAKER_HALF_OPEN;
}

static void end(struct history *h, uint64_t failing)
{
    if (h->out_count == 0)
        return;
    uint32_t i = (uint32_t)chance_below(&h->s, h->out_count);
    enum outcome outcome = chance_below(&h->s, 100) < failing ? OUTCOME_TRANSIENT : OUTCOME_DELIVERED;
    if (chance_below(&h->s, 10) == 0)
        outcome = chance_below(&h->s, 2) ? OUTCOME_RELEASED : OUTCOME_PERMANENT;
    int64_t latency_ns = chance_below(&h->s, 200) < failing ? 3 * NS_PER_S : NS_PER_S;
    breaker_done(&h->b, h->out[i].ticket, outcome, latency_ns, h->now, chance(&h->s));
    model_done(&h->m, h->out[i].generation, outcome, latency_ns, h->now.ns, &h->b);
    h->out[i] = h->out[--h->out_count];
}

static void same(struct history *h)
{
    struct breaker_figures f = breaker_figures(&h->b, h->now);
    const struct model *m = &h->m;
    assert_int_equal(f.state, m->state);
    assert_int_equal(f.ramping, m->ramp_start_ns >= 0);
    assert_int_equal(f.late_count, m->late_count);
    assert_int_equal(f.opened_count, m->opened_count);
    assert_int_equal(breaker_at_rest(&h->b, h->now), m->state == BREAKER_CLOSED && m->ramp_start_ns < 0);
    h->seen[m->state]++;
}

static void one_history(struct history *h, uint64_t seed, uint32_t step_count)
{
    static const enum breaker_state words[] = { BREAKER_FORCED_OPEN, BREAKER_DISABLED, BREAKER_CLOSED };
    h->s = seed;
    h->out_count = 0;
    h->now.ns = (int64_t)chance_below(&h->s, 1ull << 50);
    h->m.options = any_options(&h->s);
    breaker_init(&h->b, &h->m.options, h->now);
    h->m.state = BREAKER_CLOSED;
    h->m.generation = h->m.answer_count = h->m.probes_begun = h->m.doublings = 0;
    h->m.ramp_start_ns = -1;
    h->m.late_count = h->m.opened_count = 0;
    uint64_t failing = 0;
    for (uint32_t step = 0; step < step_count; step++) {
        if (step % 500 == 0)
            failing = chance_below(&h->s, 3) * chance_below(&h->s, 50);
        uint64_t kind = chance_below(&h->s, 1000);
        if (kind < 450)
            ask(h);
        else if (kind < 900)
            end(h, failing);
        else if (kind == 999 && chance_below(&h->s, 8) == 0) {
            enum breaker_state word = words[chance_below(&h->s, 3)];
            breaker_force(&h->b, word, h->now);
            model_enter(&h->m, word);
            h->m.doublings = 0;
        } else
            h->now.ns += (int64_t)chance_below(&h->s, kind < 990 ? 50000000 : 20000000000ull);
        model_time(&h->m, h->now.ns);
        same(h);
    }
}

static void agrees_with_a_model_that_remembers_everything(void **state)
{
    struct history *h = calloc(1, sizeof *h);
    for (uint64_t seed = 1; seed <= 150; seed++)
        one_history(h, seed, 20000);
    for (int i = 0; i < 5; i++)
        assert_true(h->seen[i] > 10000); /* every state was visited often */
    free(h);
}

static void outcome_many(struct breaker *b, mono_time now, uint32_t count, enum outcome outcome, int64_t latency_ns)
{
    for (uint32_t i = 0; i < count; i++) {
        mono_time not_before;
        assert_true(breaker_ask(b, now, &not_before));
        breaker_done(b, breaker_begin(b, now), outcome, latency_ns, now, 0);
    }
}

static void opens_at_half_of_twenty_and_not_before(void **state)
{
    struct breaker b;
    mono_time now = { 0 }, not_before;
    struct breaker_options o = BREAKER_OPTIONS_DEFAULT;
    breaker_init(&b, &o, now);
    outcome_many(&b, now, 10, OUTCOME_TRANSIENT, 0);
    outcome_many(&b, now, 9, OUTCOME_DELIVERED, 0);
    assert_int_equal(breaker_figures(&b, now).state, BREAKER_CLOSED);
    outcome_many(&b, now, 1, OUTCOME_DELIVERED, 0);
    assert_int_equal(breaker_figures(&b, now).state, BREAKER_OPEN);
    assert_false(breaker_ask(&b, now, &not_before));
    assert_true(not_before.ns == 5 * NS_PER_S); /* chance 0: the shortest */
    assert_true(breaker_ask(&b, not_before, &now));
    assert_int_equal(breaker_figures(&b, not_before).state, BREAKER_HALF_OPEN);

    now = (mono_time){ 0 };
    o.slow_call_ns = 2 * NS_PER_S;
    breaker_init(&b, &o, now);
    outcome_many(&b, now, 19, OUTCOME_DELIVERED, 2 * NS_PER_S);
    assert_int_equal(breaker_figures(&b, now).slow_percent, 100);
    outcome_many(&b, now, 1, OUTCOME_DELIVERED, 2 * NS_PER_S - 1);
    assert_int_equal(breaker_figures(&b, now).state, BREAKER_CLOSED); /* one of them was not */
    breaker_init(&b, &o, now);
    outcome_many(&b, now, 20, OUTCOME_DELIVERED, 2 * NS_PER_S);
    assert_int_equal(breaker_figures(&b, now).state, BREAKER_OPEN);
}

/* What was out when it opened comes home in half_open and after: it decides nothing there. */
static void late_answers_decide_nothing(void **state)
{
    struct breaker b;
    struct breaker_options o = BREAKER_OPTIONS_DEFAULT;
    mono_time now = { 0 }, not_before;
    breaker_init(&b, &o, now);
    uint32_t old[50];
    for (int i = 0; i < 50; i++)
        old[i] = breaker_begin(&b, now);
    outcome_many(&b, now, 20, OUTCOME_TRANSIENT, 0);
    now.ns = 6 * NS_PER_S;
    assert_true(breaker_ask(&b, now, &not_before));
    uint32_t probe = breaker_begin(&b, now);
    for (int i = 0; i < 25; i++)
        breaker_done(&b, old[i], OUTCOME_TRANSIENT, 0, now, 0);
    assert_int_equal(breaker_figures(&b, now).state, BREAKER_HALF_OPEN);
    breaker_done(&b, probe, OUTCOME_DELIVERED, 0, now, 0);
    outcome_many(&b, now, 2, OUTCOME_DELIVERED, 0); /* three of five cannot be outvoted: rule B2 */
    assert_int_equal(breaker_figures(&b, now).state, BREAKER_CLOSED);
    for (int i = 25; i < 50; i++)
        breaker_done(&b, old[i], OUTCOME_TRANSIENT, 0, now, 0);
    assert_int_equal(breaker_figures(&b, now).state, BREAKER_CLOSED);
    assert_int_equal(breaker_figures(&b, now).call_count, 0);
    assert_int_equal(breaker_figures(&b, now).late_count, 50);
}

/* ---- the ramp ---- */

#define SECOND_COUNT 400

/* A steady rate, an outage, and then as many calls as it lets begin; answers how many began in each second after. */
static void recover(uint32_t steady_per_s, uint32_t *ret_per_s)
{
    struct breaker b;
    struct breaker_options o = BREAKER_OPTIONS_DEFAULT;
    mono_time now = { 0 }, not_before = { 0 };
    uint64_t s = steady_per_s;
    breaker_init(&b, &o, now);
    while (now.ns < 300 * NS_PER_S) { /* arrivals by chance, as they are */
        assert_true(breaker_ask(&b, now, &not_before));
        breaker_done(&b, breaker_begin(&b, now), OUTCOME_DELIVERED, 0, now, 0);
        now.ns += (int64_t)chance_below(&s, 2ull * NS_PER_S / steady_per_s);
    }
    while (breaker_ask(&b, now, &not_before))
        breaker_done(&b, breaker_begin(&b, now), OUTCOME_TRANSIENT, 0, now, 0);
    now.ns += 3600 * NS_PER_S;
    outcome_many(&b, now, 3, OUTCOME_DELIVERED, 0);
    assert_true(breaker_figures(&b, now).ramping);
    int64_t start_ns = now.ns;
    for (uint32_t second = 0; second < SECOND_COUNT; second++)
        ret_per_s[second] = 0;
    while (now.ns < start_ns + RAMP_NS) {
        if (breaker_ask(&b, now, &not_before)) {
            breaker_done(&b, breaker_begin(&b, now), OUTCOME_DELIVERED, 0, now, 0);
            ret_per_s[(now.ns - start_ns) / NS_PER_S]++;
        } else
            now = not_before;
    }
    assert_false(breaker_figures(&b, now).ramping);
    assert_true(breaker_at_rest(&b, now));
}

static void a_recovery_is_no_stampede(void **state)
{
    static const uint32_t rates[] = { 20, 200, 3000 };
    for (size_t r = 0; r < COUNT_OF(rates); r++) {
        uint32_t per_s[SECOND_COUNT], steady = rates[r];
        recover(steady, per_s);
        assert_in_range(per_s[0], steady / 10, steady / 3);
        for (uint32_t i = 0; i < 70; i++)
            assert_true(per_s[i] * 2 <= steady * 3); /* never above one and a half of what was steady */
        for (uint32_t i = 12; i < 70; i++)
            assert_true(per_s[i] >= steady); /* and the backlog gets smaller */
        for (uint32_t i = 1; i < 190; i++)   /* it rises, and never by a jump */
            assert_true(per_s[i] * 10 >= per_s[i - 1] * 9 && per_s[i] * 2 <= per_s[i - 1] * 4 + 4);
        for (uint32_t i = 20; i < 190; i++)
            assert_true(per_s[i] * 100 <= per_s[i - 10] * 135 + 300);
        assert_true(per_s[189] >= steady * 10);
    }
}

/* So many good calls in so long a time are all that is known of a destination, when it fails; and that it works again. */
static uint64_t rate_after(int64_t ms, uint32_t per_s)
{
    struct breaker b;
    struct breaker_options options = BREAKER_OPTIONS_DEFAULT;
    mono_time now = { 1234567 * NS_PER_MS }, not_before;
    breaker_init(&b, &options, now);
    now.ns += 100 * NS_PER_S; /* it waits for its first call, and was not idle */
    for (int64_t i = 0; i < ms * per_s / 1000; i++) {
        assert_true(breaker_ask(&b, now, &not_before));
        breaker_done(&b, breaker_begin(&b, now), OUTCOME_DELIVERED, 1, now, 0);
        now.ns += NS_PER_S / per_s;
    }
    for (uint32_t i = 0; i < 200 && breaker_ask(&b, now, &not_before); i++)
        breaker_done(&b, breaker_begin(&b, now), OUTCOME_TRANSIENT, 1, now, 0);
    now = not_before;
    while (!breaker_figures(&b, now).ramping) {
        assert_true(breaker_ask(&b, now, &not_before));
        breaker_done(&b, breaker_begin(&b, now), OUTCOME_DELIVERED, 1, now, 0);
    }
    assert_true(breaker_figures(&b, now).ramping);
    now.ns += 20 * NS_PER_S;
    return breaker_figures(&b, now).rate_per_s_max;
}

/* A rate of which little was seen is taken for what was seen, and not for nothing: who fails soon after it was first called has
 * its calls back within seconds, and no more than were seen. */
static void a_young_one_comes_back(void **state)
{
    assert_in_range(rate_after(300, 2000), 600, 900);
    assert_in_range(rate_after(3000, 2000), 1500, 3000);
    assert_in_range(rate_after(30000, 2000), 2000, 3000);
}

static void open_doubles_and_a_ramp_that_ends_forgives(void **state)
{
    struct breaker b;
    struct breaker_options o = BREAKER_OPTIONS_DEFAULT;
    mono_time now = { 0 }, not_before;
    breaker_init(&b, &o, now);
    outcome_many(&b, now, 20, OUTCOME_TRANSIENT, 0);
    static const int64_t seconds[] = { 5, 10, 20, 40, 80, 160, 240, 240 }; /* chance 0; the last: 300 less a fifth */
    for (size_t i = 0; i < COUNT_OF(seconds); i++) {
        assert_false(breaker_ask(&b, now, &not_before));
        assert_true(not_before.ns - now.ns == seconds[i] * NS_PER_S);
        now = not_before;
        outcome_many(&b, now, 3, OUTCOME_TRANSIENT, 0);
    }
    assert_false(breaker_ask(&b, now, &now));
    outcome_many(&b, now, 3, OUTCOME_DELIVERED, 0);
    now.ns += RAMP_NS;
    outcome_many(&b, now, 20, OUTCOME_TRANSIENT, 0);
    assert_false(breaker_ask(&b, now, &not_before));
    assert_true(not_before.ns - now.ns == 5 * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_model_that_remembers_everything),
        cmocka_unit_test(opens_at_half_of_twenty_and_not_before),
        cmocka_unit_test(late_answers_decide_nothing),
        cmocka_unit_test(a_recovery_is_no_stampede),
        cmocka_unit_test(a_young_one_comes_back),
        cmocka_unit_test(open_doubles_and_a_ramp_that_ends_forgives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
