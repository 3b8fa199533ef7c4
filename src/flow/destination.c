/* destination.c - the table of destinations, and what each of them holds.
 *
 * D1  In flight implies held: who has a call out has not released. So what is not held can be looked at for its rest alone.
 * D2  A destination that nobody holds is in the list of the idle, in the order of their release. */
#include "flow/destination.h"
#include "base/map.h"
#include "base/must.h"
#include <stdlib.h>

#define DESTINATIONS_MAGIC 0x53545344u /* "DSTS" */
#define DESTINATION_MAGIC  0x4e545344u /* "DSTN" */
#define KEY_SIZE_MAX       (DESTINATION_NAME_SIZE_MAX + 160)
#define CALL_ENDED         0u

struct destination {
    uint32_t magic;
    uint32_t hold_count, inflight_count, number; /* number: of the last call that began */
    struct destinations *table;
    struct destination *older, *newer; /* rule D2 */
    struct destination *free_next;
    uint8_t key[KEY_SIZE_MAX]; /* the name, and the manners behind it */
    size_t key_size, name_size;
    mono_time paused_until;
    struct breaker breaker;
    struct adaptive concurrency;
    struct retry_budget budget;
    bool breaker_disabled; /* by its options */
    bool forced;           /* by an operator, to something else than its options say: not forgotten */
    bool told_open;        /* destination_has_news() */
    bool limited;
    struct limit limit;
    struct limit_keys *limit_keys; /* NULL: `limit` is for all */
    uint64_t begun_count, retry_count, outcome_counts[OUTCOME_RELEASED + 1], timeout_count;
};
static_assert(sizeof(struct destination) <= DESTINATION_SIZE_MAX, "as the header says");

struct destinations {
    uint32_t magic, count_max;
    struct map *by_key;
    struct destination *oldest, *newest; /* idle ones */
    struct destination *free;
    struct destination all[];
};

static const struct {
    const char *word, *text;
} reasons[] = {
#define X(name, word, text) { word, text },
    DESTINATION_REASON_MAP(X)
#undef X
};

const char *destination_reason_word(enum destination_reason reason)
{
    must(reason < DESTINATION_REASON_COUNT);
    return reasons[reason].word;
}

const char *destination_reason_text(enum destination_reason reason)
{
    must(reason < DESTINATION_REASON_COUNT);
    return reasons[reason].text;
}

/* ---- the table ---- */

struct destinations *destinations_new(uint32_t count_max)
{
    must(count_max > 0 && count_max <= 1u << 20);
    struct destinations *t = calloc(1, sizeof *t + count_max * sizeof(struct destination));
    if (t == NULL)
        return NULL;
    t->magic = DESTINATIONS_MAGIC;
    t->count_max = count_max;
    t->by_key = map_new(count_max);
    if (t->by_key == NULL) {
        free(t);
        return NULL;
    }
    for (uint32_t i = count_max; i > 0; i--) {
        t->all[i - 1].free_next = t->free;
        t->free = &t->all[i - 1];
    }
    return t;
}

static void end(struct destination *d)
{
    limit_keys_free(&d->limit_keys);
    d->magic = 0;
    d->free_next = d->table->free;
    d->table->free = d;
}

void destinations_free(struct destinations **table)
{
    struct destinations *t = *table;
    *table = NULL;
    if (t == NULL)
        return;
    CHECK_MAGIC(t, DESTINATIONS_MAGIC);
    void *d;
    for (size_t i = 0; map_next(t->by_key, &i, NULL, &d);) {
        must(((struct destination *)d)->hold_count == 0);
        end(d);
    }
    map_free(&t->by_key, NULL);
    t->magic = 0;
    free(t);
}

static void idle_unlink(struct destination *d)
{
    *(d->older != NULL ? &d->older->newer : &d->table->oldest) = d->newer;
    *(d->newer != NULL ? &d->newer->older : &d->table->newest) = d->older;
}

static void idle_link(struct destination *d) /* rule D2 */
{
    struct destinations *t = d->table;
    d->older = t->newest;
    d->newer = NULL;
    *(t->newest != NULL ? &t->newest->newer : &t->oldest) = d;
    t->newest = d;
}

static bool at_rest(struct destination *d, mono_time now)
{
    must(d->hold_count == 0 && d->inflight_count == 0); /* rule D1 */
    return !d->forced && (d->breaker_disabled || breaker_at_rest(&d->breaker, now)) &&
           retry_budget_at_rest(&d->budget, now) && limit_at_rest(&d->limit, now) &&
           (d->limit_keys == NULL || limit_keys_at_rest(d->limit_keys, now)) && d->paused_until.ns <= now.ns;
}

/* Frees the place of the one that has been idle longest and may be forgotten. All of the idle are looked at, where need be: only
 * when the table is full, and somebody new is called. */
static bool forget_one(struct destinations *t, mono_time now)
{
    for (struct destination *d = t->oldest; d != NULL; d = d->newer)
        if (at_rest(d, now)) {
            idle_unlink(d);
            must(map_remove(t->by_key, (struct bytes){ d->key, d->key_size }) == d);
            end(d);
            return true;
        }
    return false;
}

/* What makes it another destination: its name, and every one of its manners. */
static struct bytes key_of(struct bytes name, const struct destination_options *o, uint8_t room[KEY_SIZE_MAX])
{
    const uint64_t manners[] = { o->breaker.failure_percent,
                                 o->breaker.slow_percent,
                                 (uint64_t)o->breaker.slow_call_ns,
                                 o->breaker.window_count,
                                 o->breaker.minimum_call_count,
                                 (uint64_t)o->breaker.open_ns_min,
                                 (uint64_t)o->breaker.open_ns_max,
                                 o->breaker.probe_count,
                                 o->breaker_disabled,
                                 o->budget.percent,
                                 o->budget.floor_per_s,
                                 (uint64_t)o->budget.live_ns,
                                 o->concurrency_min,
                                 o->concurrency_max,
                                 o->limit.count,
                                 (uint64_t)o->limit.period_ns,
                                 o->limit.burst_count,
                                 o->limit_key_count_max };
    static_assert(sizeof manners <= KEY_SIZE_MAX - DESTINATION_NAME_SIZE_MAX, "the key has room for them");
    memcpy(room, name.at, name.size);
    memcpy(room + name.size, manners, sizeof manners);
    return (struct bytes){ room, name.size + sizeof manners };
}

static bool init(struct destination *d, struct destinations *t, const struct destination_options *o, mono_time now)
{
    *d = (struct destination){ .magic = DESTINATION_MAGIC, .table = t };
    d->limited = o->limit.count > 0;
    d->breaker_disabled = o->breaker_disabled;
    if (d->limited && o->limit_key_count_max > 0) {
        d->limit_keys = limit_keys_new(&o->limit, o->limit_key_count_max);
        if (d->limit_keys == NULL)
            return false;
    } else if (d->limited)
        limit_init(&d->limit, &o->limit);
    breaker_init(&d->breaker, &o->breaker, now);
    if (o->breaker_disabled)
        breaker_force(&d->breaker, BREAKER_DISABLED, now);
    retry_budget_init(&d->budget, &o->budget, now);
    adaptive_init(&d->concurrency, o->concurrency_min, o->concurrency_max);
    return true;
}

static enum neap_status make(struct destinations *t, struct bytes key, size_t name_size,
                             const struct destination_options *options, mono_time now, struct destination **ret)
{
    if (t->free == NULL && !forget_one(t, now))
        return NEAP_AGAIN;
    struct destination *d = t->free;
    t->free = d->free_next;
    bool good = init(d, t, options, now);
    if (!good || map_put(t->by_key, key, d, NULL) != NEAP_OK) {
        end(d);
        return NEAP_NOMEM;
    }
    memcpy(d->key, key.at, key.size);
    d->key_size = key.size;
    d->name_size = name_size;
    idle_link(d);
    *ret = d;
    return NEAP_OK;
}

enum neap_status destinations_acquire(struct destinations *table, struct bytes name,
                                      const struct destination_options *options, mono_time now,
                                      struct destination **ret_destination)
{
    CHECK_MAGIC(table, DESTINATIONS_MAGIC);
    if (name.size > DESTINATION_NAME_SIZE_MAX)
        return NEAP_TOOLARGE;
    uint8_t room[KEY_SIZE_MAX];
    struct bytes key = key_of(name, options, room);
    struct destination *d = map_get(table->by_key, key);
    enum neap_status status = d != NULL ? NEAP_OK : make(table, key, name.size, options, now, &d);
    if (status != NEAP_OK)
        return status;
    if (d->hold_count++ == 0)
        idle_unlink(d);
    *ret_destination = d;
    return NEAP_OK;
}

void destination_release(struct destination **destination)
{
    struct destination *d = *destination;
    *destination = NULL;
    if (d == NULL)
        return;
    CHECK_MAGIC(d, DESTINATION_MAGIC);
    must(d->hold_count > 0);
    if (--d->hold_count > 0)
        return;
    must(d->inflight_count == 0); /* rule D1 */
    idle_link(d);
}

uint32_t destinations_count(const struct destinations *table)
{
    CHECK_MAGIC(table, DESTINATIONS_MAGIC);
    return (uint32_t)map_count(table->by_key);
}

struct destination *destinations_next(const struct destinations *table, size_t *cursor)
{
    CHECK_MAGIC(table, DESTINATIONS_MAGIC);
    void *d;
    return map_next(table->by_key, cursor, NULL, &d) ? d : NULL;
}

/* ---- a call ---- */

static struct destination_verdict no(enum destination_reason reason, mono_time not_before)
{
    return (struct destination_verdict){ .answer =
                                             not_before.ns == MONO_NEVER.ns ? DESTINATION_WAIT : DESTINATION_NOT_BEFORE,
                                         .reason = reason,
                                         .not_before = not_before };
}

static enum destination_reason breaker_reason(const struct destination *d)
{
    switch (d->breaker.state) {
    case BREAKER_FORCED_OPEN:
        return DESTINATION_REASON_FORCED_OPEN;
    case BREAKER_OPEN:
        return DESTINATION_REASON_OPEN;
    case BREAKER_HALF_OPEN:
        return DESTINATION_REASON_PROBING;
    default:
        return DESTINATION_REASON_RAMP_UP;
    }
}

static bool limit_allows(const struct destination *d, uint64_t hash, mono_time now, mono_time *ret_not_before)
{
    if (d->limit_keys != NULL)
        return limit_keys_ask(d->limit_keys, hash, now, ret_not_before);
    return limit_ask(&d->limit, now, ret_not_before);
}

/* The first no is the answer; where there is none, nothing has been taken yet. */
static struct destination_verdict ask(struct destination *d, const struct destination_want *want, mono_time now)
{
    mono_time not_before = MONO_NEVER;
    if (!breaker_ask(&d->breaker, now, &not_before))
        return no(breaker_reason(d), not_before);
    if (d->paused_until.ns > now.ns)
        return no(DESTINATION_REASON_RETRY_AFTER, d->paused_until);
    if (d->inflight_count >= adaptive_limit(&d->concurrency))
        return no(DESTINATION_REASON_CONCURRENCY, MONO_NEVER);
    if (d->limited && !limit_allows(d, want->limit_hash, now, &not_before))
        return no(DESTINATION_REASON_LIMIT, not_before);
    if (want->retry && !retry_budget_ask(&d->budget, now, &not_before))
        return no(DESTINATION_REASON_BUDGET, not_before);
    return (struct destination_verdict){ .answer = DESTINATION_YES };
}

struct destination_verdict destination_begin(struct destination *destination, const struct destination_want *want,
                                             mono_time now, struct destination_call *ret_call)
{
    struct destination *d = destination;
    CHECK_MAGIC(d, DESTINATION_MAGIC);
    must(d->hold_count > 0); /* rule D1 */
    struct destination_verdict verdict = ask(d, want, now);
    if (verdict.answer != DESTINATION_YES)
        return verdict;
    if (d->limit_keys != NULL)
        limit_keys_take(d->limit_keys, want->limit_hash, now);
    else if (d->limited)
        limit_take(&d->limit, now);
    if (want->retry)
        retry_budget_take(&d->budget, now);
    d->retry_count += want->retry;
    d->begun_count++;
    d->inflight_count++;
    d->number = d->number + 1 != CALL_ENDED ? d->number + 1 : 1;
    bool probe = d->breaker.state == BREAKER_HALF_OPEN;
    *ret_call = (struct destination_call){ breaker_begin(&d->breaker, now), d->number, probe };
    return verdict;
}

static void pause_for(struct destination *d, int64_t retry_after_ns, mono_time now)
{
    mono_time until =
        mono_after(now, retry_after_ns < DESTINATION_PAUSE_NS_MAX ? retry_after_ns : DESTINATION_PAUSE_NS_MAX);
    if (d->paused_until.ns < until.ns)
        d->paused_until = until;
}

void destination_done(struct destination *destination, struct destination_call *call, const struct destination_end *end,
                      mono_time now, uint64_t chance)
{
    struct destination *d = destination;
    CHECK_MAGIC(d, DESTINATION_MAGIC);
    must(d->inflight_count > 0 && call->number != CALL_ENDED); /* once for each call */
    call->number = CALL_ENDED;
    breaker_done(&d->breaker, call->generation, end->outcome, end->latency_ns, now, chance);
    adaptive_done(&d->concurrency, end->outcome, end->timed_out, end->latency_ns, d->inflight_count, now);
    d->inflight_count--;
    if (end->outcome == OUTCOME_DELIVERED)
        retry_budget_success(&d->budget, now);
    if (end->retry_after_ns > 0 && (end->outcome == OUTCOME_TRANSIENT || end->outcome == OUTCOME_RELEASED))
        pause_for(d, end->retry_after_ns, now);
    d->outcome_counts[end->outcome]++;
    d->timeout_count += end->timed_out;
}

void destination_force(struct destination *destination, enum breaker_state state, mono_time now)
{
    CHECK_MAGIC(destination, DESTINATION_MAGIC);
    breaker_force(&destination->breaker, state, now);
    destination->forced = state != (destination->breaker_disabled ? BREAKER_DISABLED : BREAKER_CLOSED);
}

bool destination_has_news(struct destination *destination, enum breaker_state *ret_state)
{
    CHECK_MAGIC(destination, DESTINATION_MAGIC);
    enum breaker_state state = destination->breaker.state;
    bool open = state == BREAKER_OPEN;
    if (state == BREAKER_HALF_OPEN || open == destination->told_open)
        return false;
    destination->told_open = open;
    *ret_state = state;
    return true;
}

struct destination_figures destination_figures(struct destination *destination, mono_time now)
{
    struct destination *d = destination;
    CHECK_MAGIC(d, DESTINATION_MAGIC);
    struct destination_figures figures = { .name = { d->key, d->name_size },
                                           .inflight_count = d->inflight_count,
                                           .concurrency_limit = adaptive_limit(&d->concurrency),
                                           .breaker = breaker_figures(&d->breaker, now),
                                           .retries_left = retry_budget_left(&d->budget, now),
                                           .paused_until = d->paused_until,
                                           .begun_count = d->begun_count,
                                           .retry_count = d->retry_count,
                                           .timeout_count = d->timeout_count };
    memcpy(figures.outcome_counts, d->outcome_counts, sizeof figures.outcome_counts);
    return figures;
}
