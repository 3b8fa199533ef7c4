/* breaker.c - three small machines: the window of answers, the states, and the ramp after a recovery.
 *
 * B1  Every change of state empties the window and begins a generation. So a window holds calls of one generation only.
 * B2  half_open decides as soon as the calls that are still out cannot change the decision.
 * B3  What is steady is measured while closed and ramped up, and only then: neither an outage nor its recovery counts. */
#include "flow/breaker.h"
#include "base/chance.h"
#include "base/must.h"

#define RAMP_RISE_NS     (10 * NS_PER_S) /* from a tenth of what was steady to RAMP_256 of it */
#define RAMP_HOLD_NS     (60 * NS_PER_S) /* and so it stays; then a quarter more each RAMP_STEP_NS */
#define RAMP_STEP_NS     (10 * NS_PER_S)
#define RAMP_STEP_COUNT  12   /* 14 times as much: from there on other limits are nearer */
#define RAMP_256         320u /* five quarters: the measure is off by less than the quarter to one and a half */
#define RAMP_RATE_MIN    10u  /* calls a second: who was idle has no rate to come back to */
#define RAMP_SLACK_NS    (5 * NS_PER_MS) /* so much may begin at once: timers and turns are late by less */
#define STEADY_RISE      16              /* seconds to follow more calls, */
#define STEADY_FALL      64   /* and fewer: a destination that freezes slows its callers before the breaker opens */
#define RATE_SECONDS_MAX 1024 /* no longer idle than this is ever counted off: nothing is left by then */

static_assert(sizeof(struct breaker) < 512, "as the header says");

static const char *const state_words[] = { "closed", "open", "half_open", "forced_open", "disabled" };

const char *breaker_state_word(enum breaker_state state)
{
    must((size_t)state < COUNT_OF(state_words));
    return state_words[state];
}

void breaker_init(struct breaker *breaker, const struct breaker_options *options, mono_time now)
{
    const struct breaker_options *o = options;
    must(o->failure_percent >= 1 && o->failure_percent <= 100 && o->slow_percent >= 1 && o->slow_percent <= 100);
    must(o->window_count > 0 && o->window_count <= BREAKER_WINDOW_COUNT_MAX);
    must(o->minimum_call_count > 0 && o->minimum_call_count <= o->window_count);
    must(o->probe_count > 0 && o->probe_count <= BREAKER_WINDOW_COUNT_MAX);
    must(o->open_ns_min > 0 && o->open_ns_min <= o->open_ns_max && o->open_ns_max <= INT64_MAX / 4);
    *breaker = (struct breaker){ .options = *options, .steady = { .second = now.ns / NS_PER_S } };
}

/* ---- the window ---- */

static void window_set(uint64_t *bits, uint32_t index, bool on, uint32_t *count)
{
    uint64_t bit = 1ull << (index & 63), *word = &bits[index / 64];
    *count += (uint32_t)on - (uint32_t)((*word & bit) != 0);
    *word = on ? *word | bit : *word & ~bit;
}

static void window_add(struct breaker_window *w, uint32_t room, bool failed, bool slow)
{
    window_set(w->failed, w->index, failed, &w->failed_count);
    window_set(w->slow, w->index, slow, &w->slow_count);
    w->index = w->index + 1 < room ? w->index + 1 : 0;
    w->count += w->count < room;
}

/* Is `part` the share of `whole` at which it opens? */
/* A second has passed with so many calls. */
static void steady_second(struct breaker_steady *s, uint64_t count)
{
    uint64_t rate = count * 256;
    s->second_count += s->second_count < STEADY_RISE;
    if (rate >= s->rate_256) /* of the first seconds the mean: a young one is not slow, but unknown */
        s->rate_256 += (rate - s->rate_256 + s->second_count - 1) / s->second_count;
    else
        s->rate_256 -= (s->rate_256 - rate) / STEADY_FALL;
}

static bool reaches(uint32_t part, uint32_t whole, uint32_t percent)
{
    return part * 100 >= whole * percent;
}

/* ---- states ---- */

static void enter(struct breaker *b, enum breaker_state state) /* rule B1 */
{
    b->state = state;
    b->generation++;
    b->window = (struct breaker_window){ 0 };
    b->probe_begun_count = 0;
    b->ramping = false;
}

static void open_now(struct breaker *b, mono_time now, uint64_t chance)
{
    int64_t least = b->options.open_ns_min, max = b->options.open_ns_max;
    for (uint32_t i = 0; i < b->doubling_count && least < max; i++)
        least = least > max / 2 ? max : least * 2;
    b->doubling_count += least < max;
    int64_t most = least + least / 4;
    if (most > max) {
        most = max;
        least = least < max - max / 5 ? least : max - max / 5;
        least = least > b->options.open_ns_min ? least : b->options.open_ns_min;
    }
    if (b->steady.second_count == 0)
        steady_second(&b->steady, b->steady.count); /* it did not live for a second: what there was of it */
    enter(b, BREAKER_OPEN);
    b->until = mono_after(now, chance_between(chance, least, most));
    b->opened_count++;
}

static void close_now(struct breaker *b, mono_time now)
{
    enter(b, BREAKER_CLOSED);
    b->ramping = true;
    b->ramp_start = b->ramp_next = now;
}

/* ---- what is steady, and the ramp back to it ---- */

static void steady_advance(struct breaker_steady *s, mono_time now)
{
    int64_t second = now.ns / NS_PER_S, passed = second - s->second;
    if (passed <= 0)
        return;
    if (s->count > 0 || s->second_count > 0) { /* before its first call it was not idle, but not there */
        steady_second(s, s->count);
        for (int64_t i = 1; i < passed && i < RATE_SECONDS_MAX; i++)
            steady_second(s, 0);
    }
    s->second = second;
    s->count = 0;
}

/* Calls a second that may begin now, in 256ths; 0: the ramp has ended. */
static uint64_t ramp_rate_256(const struct breaker *b, mono_time now)
{
    uint64_t steady = b->steady.rate_256 / 256 * RAMP_256 + b->steady.rate_256 % 256 * RAMP_256 / 256;
    uint64_t full = steady > RAMP_RATE_MIN * 256 ? steady : RAMP_RATE_MIN * 256;
    int64_t t = now.ns - b->ramp_start.ns;
    if (t < RAMP_RISE_NS) /* in thousandths */
        return full * (uint64_t)(100 + t / (RAMP_RISE_NS / 900)) / 1000;
    t -= RAMP_RISE_NS + RAMP_HOLD_NS;
    if (t < 0)
        return full;
    int64_t steps = t / RAMP_STEP_NS + 1;
    if (steps > RAMP_STEP_COUNT)
        return 0;
    for (; steps > 0; steps--)
        full += full / 4;
    return full;
}

static void ramp_end(struct breaker *b, mono_time now)
{
    b->ramping = false;
    b->doubling_count = 0;
    b->steady.second = now.ns / NS_PER_S; /* rule B3 */
    b->steady.count = 0;
}

/* What time alone changes. */
static void advance(struct breaker *b, mono_time now)
{
    if (b->state == BREAKER_OPEN && now.ns >= b->until.ns)
        enter(b, BREAKER_HALF_OPEN);
    if (b->ramping && ramp_rate_256(b, now) == 0)
        ramp_end(b, now);
}

/* ---- calls ---- */

static bool ask_closed(const struct breaker *b, mono_time now, mono_time *ret_not_before)
{
    if (!b->ramping || now.ns >= b->ramp_next.ns - RAMP_SLACK_NS)
        return true;
    ret_not_before->ns = b->ramp_next.ns - RAMP_SLACK_NS;
    return false;
}

bool breaker_ask(struct breaker *breaker, mono_time now, mono_time *ret_not_before)
{
    advance(breaker, now);
    switch (breaker->state) {
    case BREAKER_CLOSED:
        return ask_closed(breaker, now, ret_not_before);
    case BREAKER_DISABLED:
        return true;
    case BREAKER_HALF_OPEN:
        if (breaker->probe_begun_count < breaker->options.probe_count)
            return true;
        *ret_not_before = MONO_NEVER;
        return false;
    case BREAKER_OPEN:
        *ret_not_before = breaker->until;
        return false;
    case BREAKER_FORCED_OPEN:
        *ret_not_before = MONO_NEVER;
        return false;
    }
    must(!"a state that is none");
    return false;
}

uint32_t breaker_begin(struct breaker *breaker, mono_time now)
{
    must(breaker->state == BREAKER_CLOSED || breaker->state == BREAKER_HALF_OPEN || breaker->state == BREAKER_DISABLED);
    if (breaker->state == BREAKER_HALF_OPEN) {
        must(breaker->probe_begun_count < breaker->options.probe_count);
        breaker->probe_begun_count++;
    } else if (breaker->ramping) {
        must(now.ns >= breaker->ramp_next.ns - RAMP_SLACK_NS);
        mono_time from = breaker->ramp_next.ns > now.ns ? breaker->ramp_next : now;
        breaker->ramp_next = mono_after(from, NS_PER_S * 256 / (int64_t)ramp_rate_256(breaker, now));
    } else if (breaker->state == BREAKER_CLOSED) {
        steady_advance(&breaker->steady, now);
        breaker->steady.count++;
    }
    return breaker->generation;
}

static void decide_closed(struct breaker *b, mono_time now, uint64_t chance)
{
    const struct breaker_window *w = &b->window;
    const struct breaker_options *o = &b->options;
    if (w->count >= o->minimum_call_count &&
        (reaches(w->failed_count, w->count, o->failure_percent) || reaches(w->slow_count, w->count, o->slow_percent)))
        open_now(b, now, chance);
}

static void decide_half_open(struct breaker *b, mono_time now, uint64_t chance) /* rule B2 */
{
    const struct breaker_window *w = &b->window;
    const struct breaker_options *o = &b->options;
    uint32_t out = o->probe_count - w->count;
    if (reaches(w->failed_count, o->probe_count, o->failure_percent) ||
        reaches(w->slow_count, o->probe_count, o->slow_percent))
        open_now(b, now, chance);
    else if (!reaches(w->failed_count + out, o->probe_count, o->failure_percent) &&
             !reaches(w->slow_count + out, o->probe_count, o->slow_percent))
        close_now(b, now);
}

void breaker_done(struct breaker *breaker, uint32_t generation, enum outcome outcome, int64_t latency_ns, mono_time now,
                  uint64_t chance)
{
    advance(breaker, now);
    if (generation != breaker->generation) {
        breaker->late_count++;
        return;
    }
    bool half_open = breaker->state == BREAKER_HALF_OPEN;
    if (outcome == OUTCOME_RELEASED)
        breaker->probe_begun_count -= half_open;
    if (outcome == OUTCOME_RELEASED || breaker->state == BREAKER_DISABLED)
        return;
    must(half_open || breaker->state == BREAKER_CLOSED); /* rule B1: nothing begins in the others */
    bool slow = breaker->options.slow_call_ns > 0 && latency_ns >= breaker->options.slow_call_ns;
    window_add(&breaker->window, half_open ? breaker->options.probe_count : breaker->options.window_count,
               outcome == OUTCOME_TRANSIENT, slow);
    if (half_open)
        decide_half_open(breaker, now, chance);
    else
        decide_closed(breaker, now, chance);
}

void breaker_force(struct breaker *breaker, enum breaker_state state, mono_time now)
{
    must(state == BREAKER_FORCED_OPEN || state == BREAKER_DISABLED || state == BREAKER_CLOSED);
    enter(breaker, state);
    breaker->doubling_count = 0;
    breaker->steady.second = now.ns / NS_PER_S; /* rule B3 */
    breaker->steady.count = 0;
}

bool breaker_at_rest(struct breaker *breaker, mono_time now)
{
    advance(breaker, now);
    return breaker->state == BREAKER_CLOSED && !breaker->ramping;
}

struct breaker_figures breaker_figures(struct breaker *breaker, mono_time now)
{
    advance(breaker, now);
    const struct breaker_window *w = &breaker->window;
    struct breaker_figures figures = { .state = breaker->state,
                                       .call_count = w->count,
                                       .ramping = breaker->ramping,
                                       .until = breaker->until,
                                       .opened_count = breaker->opened_count,
                                       .late_count = breaker->late_count };
    if (w->count > 0) {
        figures.failure_percent = w->failed_count * 100 / w->count;
        figures.slow_percent = w->slow_count * 100 / w->count;
    }
    if (breaker->ramping)
        figures.rate_per_s_max = ramp_rate_256(breaker, now) / 256;
    return figures;
}
