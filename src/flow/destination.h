/* destination.h - what is called by one name (scheme, host, port), and one answer for all its manners: may it begin?
 *
 * owner    one shard: a table of destinations, and each of them. Whoever calls one holds it meanwhile
 * memory   the table takes one block in destinations_new(), DESTINATION_SIZE_MAX for each that it may have; a
 *          destination that is seen for the first time takes its name, and its table of keys where its limit has keys.
 *          A call takes nothing
 * limits   count_max destinations. One more takes the place of the one that has been idle longest, which is at rest:
 *          nobody holds it, nothing is in flight, its breaker is closed and ramped up, its limit full, its retries
 *          forgotten, no operator has spoken. So a call that was refused is not granted by forgetting. None at rest:
 *          NEAP_AGAIN
 * errors   NEAP_AGAIN; NEAP_NOMEM; NEAP_TOOLARGE: a name that is longer than DESTINATION_NAME_SIZE_MAX
 * promise  a call that was told yes is within concurrency, limit, retry budget and what the breaker allows, all at
 *          once, and was taken from each of them; one that was told no was taken from none. Who is told to wait is
 *          woken by a completion: there is a call in flight, or an operator has said no
 *
 *     may = destination_begin(d, &(struct destination_want){ .retry = attempt > 1 }, now, &call);
 *     YES: call it; destination_done() when it has ended. NOT_BEFORE: ask again then. WAIT: after a destination_done().
 *
 * Where many wait, let only the first of a line ask, and give retries and first calls a line each: a retry that waits
 * for the budget holds nobody up then (test_manners does so).
 *
 * Stages with the same manners share a destination; other manners for the same name are another one. */
#ifndef FLOW_DESTINATION_H
#define FLOW_DESTINATION_H

#include "flow/adaptive.h"
#include "flow/breaker.h"
#include "flow/limit.h"
#include "flow/retry_budget.h"

#define DESTINATION_NAME_SIZE_MAX 320u              /* https:// with the longest host there is, and its port */
#define DESTINATION_PAUSE_NS_MAX  (60 * NS_PER_S)   /* of a Retry-After; its event waits for all of it (retry.h) */
#define DESTINATION_SIZE_MAX      1536u

struct destination_options { /* starts as zeros */
    struct breaker_options breaker;
    bool breaker_disabled;
    struct retry_budget_options budget;
    uint32_t concurrency_min, concurrency_max; /* the same: fixed */
    struct limit_rate limit;                   /* .count 0: none */
    uint32_t limit_key_count_max;              /* 0: one limit for all; else one for each key, of so many at once */
};

struct destinations;
struct destination;

struct destinations *destinations_new(uint32_t count_max); /* gives; NULL: out of memory */
void                 destinations_free(struct destinations **table);
/* Gives a hold on the destination with this name and these manners, which is made where there is none. */
enum neap_status     destinations_acquire(struct destinations *table, struct bytes name,
                                          const struct destination_options *options, mono_time now,
                                          struct destination **ret_destination);
void                 destination_release(struct destination **destination); /* takes the hold back */
uint32_t             destinations_count(const struct destinations *table);
/* for (size_t i = 0; (d = destinations_next(table, &i)) != NULL;) … ; in the order in which they were made */
struct destination  *destinations_next(const struct destinations *table, size_t *cursor);

/* Why a call may not begin, as a word for the watchdog and for status. */
#define DESTINATION_REASON_MAP(X)                                                                                    \
    X(NONE,        "none",         "it may begin")                                                                   \
    X(FORCED_OPEN, "forced_open",  "an operator has opened the breaker")                                             \
    X(OPEN,        "open",         "the breaker is open: too many calls failed")                                     \
    X(PROBING,     "half_open",    "the breaker is half open: it waits for what became of its probes")               \
    X(RAMP_UP,     "ramp_up",      "the destination has recovered: calls come back gently")                          \
    X(RETRY_AFTER, "retry_after",  "the destination has asked for a pause")                                          \
    X(LIMIT,       "limit",        "the rate is used up")                                                            \
    X(BUDGET,      "retry_budget", "there were as many retries as its successes are worth")                          \
    X(CONCURRENCY, "concurrency",  "as many calls are in flight as may be")
enum destination_reason {
#define X(name, word, text) DESTINATION_REASON_##name,
    DESTINATION_REASON_MAP(X)
#undef X
    DESTINATION_REASON_COUNT
};
const char *destination_reason_word(enum destination_reason reason);
const char *destination_reason_text(enum destination_reason reason);

struct destination_verdict {
    enum { DESTINATION_YES, DESTINATION_NOT_BEFORE, DESTINATION_WAIT } answer;
    enum destination_reason reason;
    mono_time not_before; /* DESTINATION_NOT_BEFORE: later than now; DESTINATION_WAIT: MONO_NEVER */
};

struct destination_want {
    bool retry;          /* not the first call of this event at this step: it needs a token of the budget */
    uint64_t limit_hash; /* of the limit's key, where it has keys: bytes_hash() */
};

struct destination_call { /* in the caller's memory, while the call is in flight */
    uint32_t generation, number;
    bool probe; /* it began while the breaker was half open: to look whether the destination works again */
};

struct destination_verdict destination_begin(struct destination *destination, const struct destination_want *want,
                                             mono_time now, struct destination_call *ret_call); /* written on YES */

struct destination_end {
    enum outcome outcome;
    bool timed_out;         /* it was cancelled at its deadline */
    int64_t latency_ns;
    int64_t retry_after_ns; /* 0: it asked for none */
};
void destination_done(struct destination *destination, struct destination_call *call, const struct destination_end *end,
                      mono_time now, uint64_t chance);

/* An operator's word for the breaker (breaker.h). Who waits should ask again. */
void destination_force(struct destination *destination, enum breaker_state state, mono_time now);

struct destination_figures {
    struct bytes name; /* borrowed from the destination */
    uint32_t inflight_count, concurrency_limit;
    struct breaker_figures breaker;
    int64_t retries_left;
    mono_time paused_until;                                  /* has passed: not paused */
    uint64_t begun_count, retry_count;                       /* ever */
    uint64_t outcome_counts[OUTCOME_RELEASED + 1], timeout_count;
};
struct destination_figures destination_figures(struct destination *destination, mono_time now);
/* Whether its breaker has opened, or closed again, since this was last asked: whoever gets a yes tells people. Half-open is no news. */
bool destination_has_news(struct destination *destination, enum breaker_state *ret_state);

/* The name of what a URL points to: "HTTPS://user@Example.com/x" is "https://example.com:443". NEAP_BADINPUT: no URL
 * with a host and a port; a scheme other than http and https has to write its port. NEAP_TOOLARGE. */
enum neap_status destination_name_of(struct bytes url, char room[DESTINATION_NAME_SIZE_MAX], struct bytes *ret_name);

#endif
