/* breaker.h - a circuit breaker: stops calling what does not answer, looks now and then, and comes back gently.
 *
 * owner    one shard: a destination
 * memory   one struct of fixed size, less than 512 bytes; each call costs the same, whatever the window
 * limits   a window of at most BREAKER_WINDOW_COUNT_MAX calls
 * errors   none
 * promise  it never makes a dead letter: it only says when a call may begin. An answer counts in the state in which its
 *          call began, and nowhere else. After a recovery calls rise from a tenth of the steady rate to five quarters
 *          of it within 10 s, and for the minute that follows do not pass that
 *
 * The words are Resilience4j's (CircuitBreaker, count-based sliding window):
 *
 *                 too many failed, or slow                     time is up
 *     ┌──────▶ closed ────────────────────────────────▶ open ─────────────────▶ half_open ──┐
 *     │      (ramp up)                                   ▲                        │   │     │
 *     │                                                  └── a probe too many ────┘   │     │
 *     └────────────────────────────── probes were good ──────────────────────────────┘ ◀───┘ a few calls: probes
 *
 *     forced_open: an operator says no.     disabled: an operator says yes, nothing is counted.
 *
 * It is open for open_ns_min, doubled each time it opens again before a ramp-up has ended, at most open_ns_max, with a
 * quarter of jitter inside these bounds: nodes that lost the same destination do not look for it at the same moment. */
#ifndef FLOW_BREAKER_H
#define FLOW_BREAKER_H

#include "flow/outcome.h"

#define BREAKER_WINDOW_COUNT_MAX 1024u

/* breaker: {failure_rate, slow_rate, slow_call, window, minimum_calls, open, probes} of a pipeline file. */
struct breaker_options {
    uint32_t failure_percent, slow_percent; /* 1 to 100: at such a share of the window it opens */
    int64_t slow_call_ns;                   /* a call that took so long is slow; 0: none is */
    uint32_t window_count;                  /* the last so many calls are looked at */
    uint32_t minimum_call_count;            /* and fewer than these say nothing; at most window_count */
    int64_t open_ns_min, open_ns_max;
    uint32_t probe_count;                   /* calls in half_open, on which it decides */
};
#define BREAKER_OPTIONS_DEFAULT                                                                                        \
    ((struct breaker_options){ .failure_percent = 50, .slow_percent = 100, .window_count = 100,                        \
                               .minimum_call_count = 20, .open_ns_min = 5 * NS_PER_S, .open_ns_max = 300 * NS_PER_S,   \
                               .probe_count = 5 })

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN, BREAKER_FORCED_OPEN, BREAKER_DISABLED };
const char *breaker_state_word(enum breaker_state state); /* "half_open" */

struct breaker {
    struct breaker_options options;
    enum breaker_state state;
    uint32_t generation;         /* one more with each change of state: a call remembers the one it began in */
    struct breaker_window {      /* the newest calls that ended in this state; one bit each, around */
        uint64_t failed[BREAKER_WINDOW_COUNT_MAX / 64], slow[BREAKER_WINDOW_COUNT_MAX / 64];
        uint32_t count, index, failed_count, slow_count;
    } window;
    mono_time until;             /* open: when half_open begins */
    uint32_t probe_begun_count;  /* half_open */
    uint32_t doubling_count;     /* of open_ns_min, next time */
    bool ramping;                /* closed */
    mono_time ramp_start, ramp_next;
    struct breaker_steady {      /* calls that began, each second, while closed and not ramping: a sluggish average */
        int64_t second;
        uint64_t count, rate_256; /* in this second; a second, in 256ths */
        uint32_t second_count;    /* that were measured, up to what the average goes by */
    } steady;
    uint64_t opened_count, late_count;
};

void breaker_init(struct breaker *breaker, const struct breaker_options *options, mono_time now);

/* May a call begin now? false: not before *ret_not_before; MONO_NEVER: ask when a call has ended. */
bool breaker_ask(struct breaker *breaker, mono_time now, mono_time *ret_not_before);
/* It begins; after a yes at this very time. Answers what breaker_done() wants to know of it. */
uint32_t breaker_begin(struct breaker *breaker, mono_time now);
/* It has ended. Only OUTCOME_TRANSIENT is a failure: who says that an event is wrong works; a release says nothing. */
void breaker_done(struct breaker *breaker, uint32_t generation, enum outcome outcome, int64_t latency_ns, mono_time now,
                  uint64_t chance);

/* An operator's word: BREAKER_FORCED_OPEN, BREAKER_DISABLED, or BREAKER_CLOSED, which begins anew. */
void breaker_force(struct breaker *breaker, enum breaker_state state, mono_time now);
bool breaker_at_rest(struct breaker *breaker, mono_time now); /* closed, ramped up: forgetting it does no harm */

struct breaker_figures {
    enum breaker_state state;
    uint32_t call_count;                    /* in the window */
    uint32_t failure_percent, slow_percent; /* of them */
    bool ramping;
    uint64_t rate_per_s_max;                /* while ramping: calls a second that may begin */
    mono_time until;                        /* open: when half_open begins */
    uint64_t opened_count;                  /* ever */
    uint64_t late_count;                    /* answers to calls that began in an earlier state */
};
struct breaker_figures breaker_figures(struct breaker *breaker, mono_time now);

#endif
