/* A destination says yes when each of its manners does, takes from all or from none, and is not forgotten before it is at rest. */
#include "check.h"

#include "flow/destination.h"
#include <stdio.h>
#include <stdlib.h>

#define NAME_COUNT    12u
#define OUT_COUNT_MAX 400u

static struct destination_options options_of(uint32_t concurrency_min, uint32_t concurrency_max)
{
    return (
        struct destination_options){ .breaker = BREAKER_OPTIONS_DEFAULT,
                                     .budget = { RETRY_BUDGET_PERCENT, RETRY_BUDGET_FLOOR_PER_S, RETRY_BUDGET_LIVE_NS },
                                     .concurrency_min = concurrency_min,
                                     .concurrency_max = concurrency_max };
}

/* ---- the model: the same parts, each asked by hand ---- */

struct model {
    struct breaker breaker;
    struct retry_budget budget;
    struct adaptive concurrency;
    struct limit limit;
    struct limit_keys *keys;
    mono_time paused_until;
    uint32_t inflight;
    uint64_t begun, ended[4];
};

static void model_init(struct model *m, const struct destination_options *o, mono_time now)
{
    *m = (struct model){ 0 };
    breaker_init(&m->breaker, &o->breaker, now);
    retry_budget_init(&m->budget, &o->budget, now);
    adaptive_init(&m->concurrency, o->concurrency_min, o->concurrency_max);
    if (o->limit.count > 0)
        limit_init(&m->limit, &o->limit);
    if (o->limit.count > 0 && o->limit_key_count_max > 0)
        m->keys = limit_keys_new(&o->limit, o->limit_key_count_max);
}

/* Which of them say no; the bit is the reason. */
static uint32_t model_refusals(struct model *m, const struct destination_options *o,
                               const struct destination_want *want, mono_time now,
                               mono_time times[DESTINATION_REASON_COUNT])
{
    uint32_t no = 0;
    mono_time t = MONO_NEVER;
    if (!breaker_ask(&m->breaker, now, &t)) {
        static const enum destination_reason by_state[] = { DESTINATION_REASON_RAMP_UP, DESTINATION_REASON_OPEN,
                                                            DESTINATION_REASON_PROBING,
                                                            DESTINATION_REASON_FORCED_OPEN };
        no |= 1u << by_state[m->breaker.state];
        times[by_state[m->breaker.state]] = t;
    }
    if (m->paused_until.ns > now.ns)
        no |= 1u << DESTINATION_REASON_RETRY_AFTER;
    times[DESTINATION_REASON_RETRY_AFTER] = m->paused_until;
    if (m->inflight >= adaptive_limit(&m->concurrency))
        no |= 1u << DESTINATION_REASON_CONCURRENCY;
    times[DESTINATION_REASON_CONCURRENCY] = MONO_NEVER;
    if (o->limit.count > 0 &&
        !(m->keys != NULL ? limit_keys_ask(m->keys, want->limit_hash, now, &t) : limit_ask(&m->limit, now, &t))) {
        no |= 1u << DESTINATION_REASON_LIMIT;
        times[DESTINATION_REASON_LIMIT] = t;
    }
    if (want->retry && !retry_budget_ask(&m->budget, now, &t)) {
        no |= 1u << DESTINATION_REASON_BUDGET;
        times[DESTINATION_REASON_BUDGET] = t;
    }
    return no;
}

static uint32_t model_take(struct model *m, const struct destination_options *o, const struct destination_want *want,
                           mono_time now)
{
    if (m->keys != NULL)
        limit_keys_take(m->keys, want->limit_hash, now);
    else if (o->limit.count > 0)
        limit_take(&m->limit, now);
    if (want->retry)
        retry_budget_take(&m->budget, now);
    m->inflight++;
    m->begun++;
    return breaker_begin(&m->breaker, now);
}

static void model_done(struct model *m, uint32_t generation, const struct destination_end *end, mono_time now,
                       uint64_t luck)
{
    breaker_done(&m->breaker, generation, end->outcome, end->latency_ns, now, luck);
    adaptive_done(&m->concurrency, end->outcome, end->timed_out, end->latency_ns, m->inflight--, now);
    if (end->outcome == OUTCOME_DELIVERED)
        retry_budget_success(&m->budget, now);
    m->ended[end->outcome]++;
    int64_t asked = end->retry_after_ns < 60 * NS_PER_S ? end->retry_after_ns : 60 * NS_PER_S;
    if (asked > 0 && end->outcome != OUTCOME_DELIVERED && end->outcome != OUTCOME_PERMANENT &&
        m->paused_until.ns < now.ns + asked)
        m->paused_until.ns = now.ns + asked;
}

/* ---- histories over some destinations ---- */

struct out {
    struct destination *d;
    struct destination_call call;
    uint32_t which, generation;
};

struct history {
    uint64_t s;
    mono_time now;
    struct destinations *table;
    struct destination_options options;
    struct model models[NAME_COUNT];
    struct out out[OUT_COUNT_MAX];
    uint32_t out_count;
    bool forgets; /* the table is smaller than the world */
    uint64_t reasons[DESTINATION_REASON_COUNT], full_count, news_count;
};

static void begin(struct history *h)
{
    uint32_t which = (uint32_t)chance_below(&h->s, 1 + chance_below(&h->s, h->forgets ? NAME_COUNT : 4));
    struct destination_want want = { chance_below(&h->s, 3) == 0, chance_below(&h->s, 5) };
    struct model *m = &h->models[which];
    mono_time times[DESTINATION_REASON_COUNT];
    char name[40];
    snprintf(name, sizeof name, "https://host-%u:443", which);
    struct destination *d;
    enum neap_status status = destinations_acquire(h->table, bytes_of_text(name), &h->options, h->now, &d);
    if (status != NEAP_OK) {
        assert_int_equal(status, NEAP_AGAIN);
        assert_true(h->forgets);
        h->full_count++;
        return;
    }
    if (destination_figures(d, h->now).begun_count == 0) /* what was steady is forgotten, and measured anew */
        m->breaker.steady = (struct breaker_steady){ .second = h->now.ns / NS_PER_S };
    uint32_t no = model_refusals(m, &h->options, &want, h->now, times);
    struct destination_call call = { 77, 77 };
    struct destination_verdict may = destination_begin(d, &want, h->now, &call);
    enum breaker_state news;
    if (destination_has_news(d, &news)) {
        assert_int_equal(news, destination_figures(d, h->now).breaker.state);
        assert_false(destination_has_news(d, &news));
        h->news_count++;
    }
    h->reasons[may.reason]++;
    if (!h->forgets)
        assert_int_equal(may.answer == DESTINATION_YES, no == 0);
    if (may.answer == DESTINATION_YES) {
        assert_int_equal(no, 0); /* forgetting has granted nothing */
        assert_int_equal(may.reason, DESTINATION_REASON_NONE);
        assert_true(h->out_count < OUT_COUNT_MAX);
        h->out[h->out_count++] = (struct out){ d, call, which, model_take(m, &h->options, &want, h->now) };
        return;
    }
    assert_int_equal(call.number, 77);
    if (!h->forgets) {
        assert_true(no & 1u << may.reason);
        assert_true(may.not_before.ns == times[may.reason].ns);
    }
    assert_true(may.not_before.ns > h->now.ns);
    assert_int_equal(may.answer == DESTINATION_WAIT, may.not_before.ns == MONO_NEVER.ns);
    if (may.answer == DESTINATION_WAIT) /* somebody will wake us */
        assert_true(m->inflight > 0 || may.reason == DESTINATION_REASON_FORCED_OPEN);
    destination_release(&d);
    assert_null(d);
}

static void end(struct history *h, uint64_t failing)
{
    if (h->out_count == 0)
        return;
    struct out *o = &h->out[chance_below(&h->s, h->out_count)];
    uint64_t kind = chance_below(&h->s, 100), luck = chance(&h->s);
    struct destination_end e = { kind < failing       ? OUTCOME_TRANSIENT
                                 : kind < failing + 3 ? OUTCOME_RELEASED
                                 : kind < failing + 6 ? OUTCOME_PERMANENT
                                                      : OUTCOME_DELIVERED };
    e.timed_out = e.outcome == OUTCOME_TRANSIENT && chance_below(&h->s, 2);
    e.latency_ns = (int64_t)chance_below(&h->s, 1000000000);
    e.retry_after_ns = chance_below(&h->s, 40) == 0 ? (int64_t)chance_below(&h->s, 90) * NS_PER_S : 0;
    destination_done(o->d, &o->call, &e, h->now, luck);
    model_done(&h->models[o->which], o->generation, &e, h->now, luck);
    struct destination_figures f = destination_figures(o->d, h->now);
    assert_int_equal(f.inflight_count, h->models[o->which].inflight);
    if (!h->forgets) {
        assert_int_equal(f.begun_count, h->models[o->which].begun);
        assert_memory_equal(f.outcome_counts, h->models[o->which].ended, sizeof f.outcome_counts);
        assert_int_equal(f.concurrency_limit, adaptive_limit(&h->models[o->which].concurrency));
    }
    destination_release(&o->d);
    *o = h->out[--h->out_count];
}

/* An operator speaks, and takes it back rather sooner than later. */
static void force(struct history *h)
{
    static const enum breaker_state words[] = { BREAKER_FORCED_OPEN, BREAKER_DISABLED };
    uint64_t pick = chance_below(&h->s, 16);
    enum breaker_state word = pick < 2 ? words[pick] : BREAKER_CLOSED;
    size_t cursor = 0;
    for (struct destination *d; (d = destinations_next(h->table, &cursor)) != NULL;) {
        unsigned which = 0;
        assert_int_equal(sscanf((const char *)destination_figures(d, h->now).name.at, "https://host-%u:443", &which),
                         1);
        destination_force(d, word, h->now);
        breaker_force(&h->models[which].breaker, word, h->now);
    }
}

static void one_history(struct history *h, uint64_t seed, uint32_t room)
{
    h->s = seed;
    h->now = (mono_time){ (int64_t)chance_below(&h->s, 1ull << 45) };
    h->forgets = room < NAME_COUNT;
    h->options = h->forgets ? options_of(16, 16) : options_of(4, 24);
    h->options.breaker.minimum_call_count =
        h->forgets ? 1 : 20; /* a window that is forgotten has then decided already */
    h->options.breaker.window_count = h->forgets ? 1 : 100;
    h->options.budget.floor_per_s = seed % 2 ? 10 : 1;
    h->options.breaker.probe_count = 1 + (uint32_t)seed % 3;
    h->options.breaker.open_ns_min = 200 * NS_PER_MS;
    h->options.breaker.open_ns_max = NS_PER_S;
    if (seed % 3 > 0)
        h->options.limit = (struct limit_rate){ 100, NS_PER_S, 5 };
    h->options.limit_key_count_max = seed % 3 == 2 ? 4 : 0;
    h->table = destinations_new(room);
    for (uint32_t i = 0; i < NAME_COUNT; i++)
        model_init(&h->models[i], &h->options, h->now);
    uint64_t failing = 0;
    for (uint32_t step = 0; step < 60000; step++) {
        if (step % 1000 == 0)
            failing = chance_below(&h->s, 3) * 45;
        uint64_t kind = chance_below(&h->s, 100);
        if (kind < 45)
            begin(h);
        else if (kind < 90)
            end(h, failing);
        else if (kind == 99 && !h->forgets && chance_below(&h->s, 10) == 0)
            force(h);
        else
            h->now.ns += (int64_t)chance_below(&h->s, kind < 99 ? 20000000 : 1000000000);
        assert_true(destinations_count(h->table) <= room);
    }
    while (h->out_count > 0)
        end(h, 0);
    destinations_free(&h->table);
    assert_null(h->table);
    for (uint32_t i = 0; i < NAME_COUNT; i++)
        limit_keys_free(&h->models[i].keys);
}

static void yes_is_the_yes_of_every_part(void **state)
{
    struct history *h = calloc(1, sizeof *h);
    for (uint64_t seed = 1; seed <= 24; seed++)
        one_history(h, seed, NAME_COUNT);
    assert_int_equal(h->full_count, 0);
    assert_true(h->news_count > 100);
    for (uint32_t i = 0; i < DESTINATION_REASON_COUNT; i++)
        assert_true(h->reasons[i] > 100); /* each was met often */
    free(h);
}

static void forgetting_grants_nothing(void **state)
{
    struct history *h = calloc(1, sizeof *h);
    for (uint64_t seed = 1; seed <= 24; seed++)
        one_history(h, seed, 1 + (uint32_t)(seed % 8));
    assert_true(h->full_count > 1000);
    free(h);
}

/* ---- single promises ---- */

static struct destination *get(struct destinations *t, const char *name, const struct destination_options *o,
                               mono_time now)
{
    struct destination *d;
    assert_int_equal(destinations_acquire(t, bytes_of_text(name), o, now, &d), NEAP_OK);
    return d;
}

static void same_manners_share_and_others_do_not(void **state)
{
    struct destinations *t = destinations_new(4);
    struct destination_options o = options_of(8, 8), other = o;
    other.breaker.slow_call_ns = 1;
    mono_time now = { 0 };
    struct destination *a = get(t, "http://a:80", &o, now), *b = get(t, "http://a:80", &o, now);
    struct destination *c = get(t, "http://a:80", &other, now), *e = get(t, "http://b:80", &o, now);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_ptr_not_equal(a, e);
    assert_int_equal(destinations_count(t), 3);
    size_t cursor = 0;
    assert_ptr_equal(destinations_next(t, &cursor), a);
    assert_ptr_equal(destinations_next(t, &cursor), c);
    assert_ptr_equal(destinations_next(t, &cursor), e);
    assert_null(destinations_next(t, &cursor));
    assert_true(bytes_equal(destination_figures(c, now).name, BYTES("http://a:80")));
    destination_release(&a);
    destination_release(&b);
    destination_release(&c);
    destination_release(&e);
    destinations_free(&t);
}

static void the_idle_longest_goes_first_and_the_restless_not_at_all(void **state)
{
    struct destinations *t = destinations_new(3);
    struct destination_options o = options_of(8, 8);
    mono_time now = { 0 };
    struct destination *held = get(t, "http://held:1", &o, now), *forced = get(t, "http://forced:1", &o, now);
    struct destination *paused = get(t, "http://paused:1", &o, now), *d = NULL;
    destination_force(forced, BREAKER_FORCED_OPEN, now);
    struct destination_call call;
    assert_int_equal(destination_begin(forced, &(struct destination_want){ 0 }, now, &call).reason,
                     DESTINATION_REASON_FORCED_OPEN);
    assert_int_equal(destination_begin(paused, &(struct destination_want){ 0 }, now, &call).answer, DESTINATION_YES);
    destination_done(paused, &call, &(struct destination_end){ OUTCOME_RELEASED, .retry_after_ns = 3600 * NS_PER_S },
                     now, 0);
    struct destination_verdict may = destination_begin(paused, &(struct destination_want){ 0 }, now, &call);
    assert_int_equal(may.reason, DESTINATION_REASON_RETRY_AFTER);
    assert_true(may.not_before.ns == DESTINATION_PAUSE_NS_MAX);
    destination_release(&forced);
    destination_release(&paused);
    assert_int_equal(destinations_acquire(t, BYTES("http://new:1"), &o, now, &d), NEAP_AGAIN);
    assert_null(d);
    now.ns += DESTINATION_PAUSE_NS_MAX;
    d = get(t, "http://new:1", &o, now);
    size_t cursor = 0;
    assert_ptr_equal(destinations_next(t, &cursor), held);
    forced = get(t, "http://forced:1", &o, now); /* was not forgotten, and is forced still */
    assert_int_equal(destination_figures(forced, now).breaker.state, BREAKER_FORCED_OPEN);
    assert_int_equal(destinations_acquire(t, BYTES("http://paused:1"), &o, now, &paused), NEAP_AGAIN);
    destination_release(&forced);
    destination_release(&held);
    destination_release(&d);
    destinations_free(&t);
}

/* A bucket that is not full again is not forgotten, be it one for all or one of many. */
static void a_limit_that_is_used_up_is_remembered(void **state)
{
    for (uint32_t key_count_max = 0; key_count_max < 2; key_count_max++) {
        struct destinations *t = destinations_new(1);
        struct destination_options o = options_of(8, 8);
        o.limit = (struct limit_rate){ 1, NS_PER_S, 1 };
        o.limit_key_count_max = key_count_max;
        mono_time now = { 0 };
        struct destination *d = get(t, "http://a:1", &o, now), *other = NULL;
        struct destination_call call;
        assert_int_equal(destination_begin(d, &(struct destination_want){ 0 }, now, &call).answer, DESTINATION_YES);
        destination_done(d, &call, &(struct destination_end){ OUTCOME_DELIVERED }, now, 0);
        destination_release(&d);
        now.ns = NS_PER_S - 1;
        assert_int_equal(destinations_acquire(t, BYTES("http://b:1"), &o, now, &other), NEAP_AGAIN);
        now.ns = NS_PER_S;
        other = get(t, "http://b:1", &o, now);
        destination_release(&other);
        destinations_free(&t);
    }
}

static void what_is_forgotten_leaves_in_the_order_of_its_release(void **state)
{
    struct destinations *t = destinations_new(3);
    struct destination_options o = options_of(8, 8);
    mono_time now = { 0 };
    struct destination *a = get(t, "a", &o, now), *b = get(t, "b", &o, now), *c = get(t, "c", &o, now);
    destination_release(&b);
    destination_release(&a);
    destination_release(&c);
    a = get(t, "a", &o, now);
    destination_release(&a); /* now: b c a */
    struct destination *d = get(t, "d", &o, now), *e = get(t, "e", &o, now);
    size_t cursor = 0;
    assert_true(bytes_equal(destination_figures(destinations_next(t, &cursor), now).name, BYTES("a")));
    assert_true(destinations_next(t, &cursor) == d && destinations_next(t, &cursor) == e);
    destination_release(&d);
    destination_release(&e);
    destinations_free(&t);
}

static void names_are_scheme_host_and_port(void **state)
{
    static const struct {
        const char *url, *name; /* NULL: refused */
    } cases[] = {
        { "https://example.com/a/b?c#d", "https://example.com:443" },
        { "HTTPS://user:pass%40word@Example.COM", "https://example.com:443" },
        { "http://127.0.0.1:8080", "http://127.0.0.1:8080" },
        { "http://host:80/", "http://host:80" },
        { "http://host", "http://host:80" },
        { "http://host:", "http://host:80" },
        { "http://host?x=http://other:1", "http://host:80" },
        { "http://a@b@host:7#@x", "http://host:7" },
        { "https://[::1]:8443/x", "https://[::1]:8443" },
        { "https://[FE80::1]", "https://[fe80::1]:443" },
        { "postgres://db:5432/name", "postgres://db:5432" },
        { "grpc+tls://x:1", "grpc+tls://x:1" },
        { "http://host:65535", "http://host:65535" },
        { "postgres://db/name", NULL },
        { "http://host:65536", NULL },
        { "http://host:0", NULL },
        { "http://host:8o", NULL },
        { "http://", NULL },
        { "http://:80", NULL },
        { "http:/host", NULL },
        { "://host", NULL },
        { "host", NULL },
        { "", NULL },
        { "1http://host:1", NULL },
        { "http://ho st:1", NULL },
        { "http://[::1:1", NULL },
        { "http://a:b:1", NULL },
        { "http://\xc3\xa4:1", NULL },
    };
    char room[DESTINATION_NAME_SIZE_MAX];
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bytes name = { NULL, 0 };
        enum neap_status status = destination_name_of(bytes_of_text(cases[i].url), room, &name);
        assert_int_equal(status, cases[i].name != NULL ? NEAP_OK : NEAP_BADINPUT);
        if (cases[i].name != NULL)
            assert_true(bytes_equal(name, bytes_of_text(cases[i].name)));
    }
    char longest[400] = "http://";
    memset(longest + 7, 'a', 350);
    struct bytes name;
    assert_int_equal(destination_name_of(bytes_of_text(longest), room, &name), NEAP_TOOLARGE);
}

static void any_url_is_read_or_refused(void **state)
{
    static const char letters[] = "htps:/@[]?#.-_09Az \xff";
    uint64_t s = 1;
    for (int i = 0; i < 300000; i++) {
        uint8_t text[24] = "http://";
        size_t size = chance_below(&s, sizeof text + 1);
        for (size_t n = chance_below(&s, 2) ? 7 : 0; n < size; n++)
            text[n] = (uint8_t)letters[chance_below(&s, sizeof letters)];
        char room[DESTINATION_NAME_SIZE_MAX], again_room[DESTINATION_NAME_SIZE_MAX];
        struct bytes name, again;
        if (destination_name_of((struct bytes){ text, size }, room, &name) == NEAP_OK) { /* a name is its own name */
            assert_int_equal(destination_name_of(name, again_room, &again), NEAP_OK);
            assert_true(bytes_equal(name, again));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yes_is_the_yes_of_every_part),
        cmocka_unit_test(forgetting_grants_nothing),
        cmocka_unit_test(same_manners_share_and_others_do_not),
        cmocka_unit_test(the_idle_longest_goes_first_and_the_restless_not_at_all),
        cmocka_unit_test(a_limit_that_is_used_up_is_remembered),
        cmocka_unit_test(what_is_forgotten_leaves_in_the_order_of_its_release),
        cmocka_unit_test(names_are_scheme_host_and_port),
        cmocka_unit_test(any_url_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
