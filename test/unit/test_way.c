/* The way through waiting stages: each key in order, many side by side, and what becomes of each event is what its number says.
 *
 * Three stages whose works end in an order of chance; what an event meets in them follows from its number alone, so that the
 * end of each is known beforehand. */
#include "expr_fixture.h"

#include "flow/way.h"
#include "io/real.h"
#include "stage/stages.h"
#include <stdlib.h>

#define EVENT_COUNT 12000u
#define KEY_COUNT   50u
#define STAGES      3u
#define WIDTH       7u
#define ATTEMPTS    3u

struct mill { /* a stage */
    struct waiting waiting;
    uint32_t number;
    struct waiting_work *works[WIDTH];
    struct event_of_work {
        uint64_t n;
        uint32_t attempt;
        bool cancelled;
    } events[WIDTH];
    uint32_t count, offered_again;
};

struct world {
    struct fixture f;
    struct io *io;
    struct way *way;
    struct mill mills[STAGES];
    struct chain *chains[STAGES];
    enum way_order order;
    int width; /* of an answer */
    uint64_t last_begun[STAGES][KEY_COUNT], last_ended[KEY_COUNT];
    uint32_t at_work[STAGES][KEY_COUNT], tries[STAGES][EVENT_COUNT];
    uint32_t laid, ended, settled, passed, dropped, failed, slots[EVENT_COUNT], later;
    bool done[EVENT_COUNT];
};

static struct world w;
static uint64_t seed;

/* ---- what becomes of the event with number n ------------------------------------------------------------------------------ */

static uint32_t key_of(uint64_t n)
{
    return (uint32_t)(n * n % 1009 % KEY_COUNT);
}

/* Of its so-manieth call in this stage. */
static enum outcome outcome_in(uint32_t stage, uint64_t n, uint32_t call)
{
    if (stage == 0 && n % 17 == 0)
        return OUTCOME_PERMANENT;
    if (stage == 0 && n % 5 == 0)
        return call < ATTEMPTS ? OUTCOME_TRANSIENT : OUTCOME_DELIVERED;
    if (stage == 1 && n % 7 == 0)
        return call == 1 ? OUTCOME_RELEASED : OUTCOME_DELIVERED;
    if (stage == 2 && n % 19 == 0)
        return OUTCOME_TRANSIENT;
    return OUTCOME_DELIVERED;
}

static enum stage_outcome end_of(uint64_t n)
{
    if (n % 17 == 0)
        return STAGE_FAIL; /* stage 0 */
    if (n % 13 == 0)
        return STAGE_DROP; /* the filter before stage 1 */
    if (n % 29 == 0)
        return STAGE_FAIL; /* refused by stage 1 */
    return n % 11 == 0 ? STAGE_DROP : STAGE_PASS;
}

static void json_at_end(uint64_t n, char *room)
{
    bool asked = n % 3 != 0;
    room += sprintf(room, "{\"n\":%lu,\"s1\":\"answer %0*lu\",\"twice\":%lu", n, w.width, n, 2 * n);
    if (asked && n % 19 != 0) /* stage 2 goes on after its last attempt */
        room += sprintf(room, ",\"s2\":\"answer %0*lu\"", w.width, n);
    sprintf(room, "}");
}

/* ---- the stages ------------------------------------------------------------------------------------------------------------- */

static uint64_t number_of(const struct event *event)
{
    return event->offset.n;
}

static enum waiting_begun mill_begin(struct waiting *stage, struct waiting_work *work, struct event *event,
                                     struct arena *arena, struct failure *failure, mono_time *ret_not_before)
{
    struct mill *m = (struct mill *)stage;
    uint64_t n = number_of(event);
    uint32_t key = key_of(n);
    if (chance_below(&seed, 20) == 0) {
        *ret_not_before = mono_after(io_now(w.io), chance_below(&seed, 2) == 0 ? 1000 : 1);
        w.later++;
        return WAITING_LATER;
    }
    if (m->number == 1 && n % 29 == 0) {
        *failure = (struct failure){ .reason = "expression", .message = BYTES("no such place") };
        return WAITING_REFUSED;
    }
    assert_true(m->count < WIDTH && m->waiting.at_work < WIDTH);
    if (w.order == WAY_ORDER_KEY) {
        assert_int_equal(w.at_work[m->number][key]++, 0);   /* Y1 */
        assert_true(n + 1 >= w.last_begun[m->number][key]); /* again, or the next one */
        w.last_begun[m->number][key] = n + 1;
    }
    if (m->number == 2)
        assert_true(n % 3 != 0); /* `if` */
    uint32_t call = ++w.tries[m->number][n], released = m->number == 1 && n % 7 == 0 && call > 1;
    assert_true(event->attempt == call - released ||
                (w.width > 1 && event->attempt < call)); /* Y4; made once more: Y3 */
    m->works[m->count] = work;
    m->events[m->count++] = (struct event_of_work){ n, call, false };
    return WAITING_BEGUN;
}

static bool mill_answer(struct waiting *stage, struct waiting_work *work, struct event *event, struct arena *arena,
                        struct failure *failure)
{
    struct mill *m = (struct mill *)stage;
    char *text = arena_text(arena, "answer %0*lu", w.width, number_of(event));
    struct value value = { .kind = VALUE_TEXT, .text = bytes_of_text(text) };
    assert_int_equal(event_field_set(event, arena, m->number == 1 ? BYTES("s1") : BYTES("s2"), &value), NEAP_OK);
    return true;
}

static void mill_cancel(struct waiting *stage, struct waiting_work *work)
{
    struct mill *m = (struct mill *)stage;
    for (uint32_t i = 0; i < m->count; i++)
        if (m->works[i] == work)
            m->events[i].cancelled = true;
}

static uint32_t end_one(struct mill *m)
{
    if (m->count == 0)
        return 0;
    uint32_t i = (uint32_t)chance_below(&seed, m->count);
    struct waiting_work *work = m->works[i];
    struct event_of_work e = m->events[i];
    work->outcome = e.cancelled ? OUTCOME_RELEASED : outcome_in(m->number, e.n, e.attempt);
    work->drop = work->outcome == OUTCOME_DELIVERED && m->number == 1 && e.n % 11 == 0;
    work->failure = (struct failure){ .reason = work->outcome == OUTCOME_DELIVERED ? NULL : "call",
                                      .message = e.attempt == 1 ? BYTES("at first") : BYTES("again") };
    if (w.order == WAY_ORDER_KEY)
        w.at_work[m->number][key_of(e.n)]--; /* done() may begin the next one */
    m->works[i] = m->works[--m->count];
    m->events[i] = m->events[m->count];
    if (work->done(work))
        return 1;
    m->offered_again++;
    m->works[m->count] = work; /* V1 */
    m->events[m->count++] = e;
    if (w.order == WAY_ORDER_KEY)
        w.at_work[m->number][key_of(e.n)]++;
    return 0;
}

static uint32_t mill_work(struct waiting *stage, mono_time now)
{
    return end_one((struct mill *)stage);
}

static const struct waiting_verbs bare = {
    .kind = "mill", .takes_bytes = true, .begin = mill_begin, .cancel = mill_cancel, .work = mill_work
};
static const struct waiting_verbs answering = {
    .kind = "mill", .begin = mill_begin, .answer = mill_answer, .cancel = mill_cancel, .work = mill_work
};

/* ---- the world ----------------------------------------------------------------------------------------------------------------- */

static struct chain *chain_of(struct stage *stage)
{
    struct chain *chain = chain_new(&(struct chain_step){ .stage = stage }, stage != NULL, w.f.parser);
    assert_non_null(chain);
    return chain;
}

static void start(enum way_order order, uint32_t slots, size_t room)
{
    static const struct expr_options defaults;
    memset(&w, 0, sizeof w);
    w.order = order;
    w.width = 1;
    w.io = io_real_open(NULL);
    fixture_start(&w.f, &defaults, "{}");
    struct stage_map_field twice = { "twice", fixture_expr(&w.f, "event.n * 2") };
    w.chains[0] = chain_of(NULL);
    w.chains[1] = chain_of(stage_filter_new("filter", fixture_expr(&w.f, "event.n % 13 ~= 0")));
    w.chains[2] = chain_of(stage_map_new("map", &twice, 1));
    static const char *const names[STAGES] = { "first", "second", "third" };
    static struct waiting *stages[STAGES];
    for (uint32_t i = 0; i < STAGES; i++) {
        w.mills[i] = (struct mill){ .number = i,
                                    .waiting = { .verbs = i == 0 ? &bare : &answering,
                                                 .name = names[i],
                                                 .retry = { ATTEMPTS, 0, 2000 },
                                                 .timeout_ns = NS_PER_S,
                                                 .concurrency = 3 + 2 * i } };
        stages[i] = &w.mills[i].waiting;
    }
    w.mills[2].waiting.condition = fixture_expr(&w.f, "event.n % 3 ~= 0");
    w.mills[2].waiting.continue_on_error = true;
    struct way_options options = { .io = w.io,
                                   .arena = w.f.arena,
                                   .chains = w.chains,
                                   .stages = stages,
                                   .stage_count = STAGES,
                                   .order = order,
                                   .topic = "orders",
                                   .window = { slots, room, 1024 } };
    assert_int_equal(way_new(&options, &w.way), NEAP_OK);
    assert_true(way_memory_size(&options) > room);
    way_begin(w.way, 0, (log_offset){ 1 });
    w.laid = 1; /* offsets are numbers; there is no event 0 */
}

static void stop(void)
{
    way_free(&w.way);
    assert_null(w.way);
    for (uint32_t i = 0; i < STAGES; i++)
        chain_free(&w.chains[i]);
    expr_free(&w.mills[2].waiting.condition);
    fixture_end(&w.f);
    io_real_close(&w.io);
}

static bool lay_one(void)
{
    char key[16], value[64];
    sprintf(key, "key-%u", key_of(w.laid));
    sprintf(value, "{\"n\":%u}", w.laid);
    struct record record = { .offset = w.laid, .key = bytes_of_text(key), .value = bytes_of_text(value) };
    if (w.laid == EVENT_COUNT || way_lay(w.way, &record, (struct bytes){ 0 }, NULL) != NEAP_OK)
        return false;
    w.laid++;
    return true;
}

static void assert_end(const struct way_end *e)
{
    uint64_t n = e->record->offset;
    char json[1000];
    assert_false(w.done[n]); /* Y2 */
    w.done[n] = true;
    assert_int_equal(e->outcome, end_of(n));
    if (w.order == WAY_ORDER_KEY && e->outcome == STAGE_PASS) {
        assert_true(n > w.last_ended[key_of(n)]); /* Y1 */
        w.last_ended[key_of(n)] = n;
    }
    w.passed += e->outcome == STAGE_PASS;
    w.dropped += e->outcome == STAGE_DROP;
    w.failed += e->outcome == STAGE_FAIL;
    if (e->outcome == STAGE_PASS) {
        json_at_end(n, json);
        assert_int_equal(e->event.json.size, strlen(json));
        assert_memory_equal(e->event.json.at, json, strlen(json));
    } else if (e->outcome == STAGE_FAIL) {
        bool first = n % 17 == 0;
        assert_string_equal(e->failure.stage, first ? "first" : "second");
        assert_string_equal(e->failure.reason, first ? "call" : "expression");
        assert_int_equal(e->attempts, 1);
        assert_true(e->failure.message.size == 0 || e->first_words.size == 0 ||
                    bytes_equal(e->first_words, first        ? BYTES("at first")
                                                : n % 7 == 0 ? e->first_words
                                                             : BYTES("no such place")));
    }
}

static void take_and_settle(void)
{
    struct way_end e;
    while (chance_below(&seed, 4) != 0 && way_next(w.way, &e)) {
        assert_end(&e);
        way_take(w.way, 1);
        w.slots[w.ended++] = e.slot;
    }
    while (w.settled < w.ended && chance_below(&seed, 4) != 0)
        way_settle(w.way, w.slots[w.settled++]);
}

static void run(void)
{
    log_offset point = { 0 };
    while (w.settled < EVENT_COUNT - 1) {
        while (chance_below(&seed, 8) != 0 && lay_one())
            ;
        (void)way_work(w.way, io_now(w.io));
        for (uint32_t i = 0; i < STAGES; i++)
            (void)w.mills[i].waiting.verbs->work(&w.mills[i].waiting, io_now(w.io));
        take_and_settle();
        assert_true(way_point(w.way).n >= point.n);
        point = way_point(w.way);
        struct way_figures f = way_figures(w.way);
        assert_int_equal(f.at_work, w.mills[0].count + w.mills[1].count + w.mills[2].count);
        assert_int_equal(f.on_way + w.ended + f.ended, w.laid - 1);
        for (uint32_t i = 0; i < STAGES; i++)
            assert_int_equal(w.mills[i].waiting.at_work, w.mills[i].count);
    }
    assert_true(way_is_empty(w.way) && !way_works(w.way));
    assert_int_equal(way_point(w.way).n, EVENT_COUNT);
    assert_int_equal(way_due(w.way).ns, MONO_NEVER.ns);
    assert_true(w.passed > 0 && w.dropped > 0 && w.failed > 0 && w.later > 0);
    /* Each stage's chain counts an event once, however often it was run. */
    const struct chain_figures *filter = chain_figures(w.chains[1], 0), *map = chain_figures(w.chains[2], 0);
    uint32_t reached = 0, went_on = 0, mapped = 0;
    for (uint64_t n = 1; n < EVENT_COUNT; n++) {
        reached += n % 17 != 0;
        went_on += n % 17 != 0 && n % 13 != 0;
        mapped += end_of(n) == STAGE_PASS;
    }
    assert_int_equal(filter->passed + filter->dropped, reached);
    assert_int_equal(filter->passed, went_on);
    assert_int_equal(map->passed, mapped);
}

static void keys_in_order(void **state)
{
    seed = 1;
    start(WAY_ORDER_KEY, 300, 64 << 10);
    run();
    stop();
}

/* Where there is hardly any room: what has become larger waits, and yet all of it ends. */
static void hardly_any_room(void **state)
{
    seed = 2;
    start(WAY_ORDER_KEY, 300, 2048);
    w.width = 300;
    run();
    assert_true(w.mills[1].offered_again + w.mills[2].offered_again > 0);
    stop();
}

static void without_order(void **state)
{
    seed = 3;
    start(WAY_ORDER_NONE, 300, 64 << 10);
    run();
    stop();
}

static void partitions_in_order(void **state)
{
    seed = 4;
    start(WAY_ORDER_PARTITION, 64, 64 << 10);
    uint64_t last = 0;
    struct way_end e;
    while (w.settled < 2000) {
        (void)lay_one();
        (void)way_work(w.way, io_now(w.io));
        for (uint32_t i = 0; i < STAGES; i++) {
            assert_true(w.mills[i].count <= 1);
            (void)end_one(&w.mills[i]);
        }
        while (way_next(w.way, &e)) {
            assert_true(e.record->offset > last || e.outcome != STAGE_PASS);
            last = e.outcome == STAGE_PASS ? e.record->offset : last;
            way_take(w.way, 1);
            way_settle(w.way, e.slot);
            w.settled++;
        }
    }
    way_cancel(w.way);
    while (way_works(w.way))
        for (uint32_t i = 0; i < STAGES; i++)
            (void)end_one(&w.mills[i]);
    stop();
}

/* In the middle of all: what is at work comes back, nothing begins, and it can begin anew. */
static void cancelled_and_begun_again(void **state)
{
    seed = 5;
    start(WAY_ORDER_KEY, 300, 64 << 10);
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < 200; i++) {
            (void)lay_one();
            (void)way_work(w.way, io_now(w.io));
            (void)end_one(&w.mills[chance_below(&seed, STAGES)]);
        }
        uint64_t from = way_point(w.way).n;
        way_cancel(w.way);
        while (way_works(w.way)) {
            assert_int_equal(way_work(w.way, io_now(w.io)), 0);
            for (uint32_t i = 0; i < STAGES; i++)
                (void)end_one(&w.mills[i]);
        }
        memset(w.last_begun, 0, sizeof w.last_begun);
        memset(w.tries, 0, sizeof w.tries);
        way_begin(w.way, 0, (log_offset){ from });
        w.laid = (uint32_t)from;
    }
    memset(w.done, 0, sizeof w.done);
    w.ended = w.settled = w.laid - 1;
    w.passed = w.dropped = w.failed = 0;
    while (way_figures(w.way).on_way > 0 || w.laid < 3000) {
        while (w.laid < 3000 && lay_one())
            ;
        (void)way_work(w.way, io_now(w.io));
        for (uint32_t i = 0; i < STAGES; i++)
            (void)end_one(&w.mills[i]);
        take_and_settle();
    }
    stop();
}

/* What is known beforehand rides along: it ends in its turn, and its words are its own. */
static void a_fate_that_is_known(void **state)
{
    struct way_end e;
    seed = 6;
    start(WAY_ORDER_KEY, 16, 64 << 10);
    struct record record = { .offset = 5 };
    struct way_fate fate = { .outcome = STAGE_FAIL,
                             .failure = { .reason = "lost", .stage = "source", .message = BYTES("damaged on disk") } };
    assert_int_equal(way_lay(w.way, &record, (struct bytes){ 0 }, &fate), NEAP_OK);
    assert_true(way_next(w.way, &e));
    assert_int_equal(e.outcome, STAGE_FAIL);
    assert_string_equal(e.failure.reason, "lost");
    assert_true(bytes_equal(e.failure.message, BYTES("damaged on disk")));
    assert_int_equal(way_point(w.way).n, 5);
    way_take(w.way, 1);
    way_settle(w.way, e.slot);
    assert_int_equal(way_point(w.way).n, 6);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_in_order),
        cmocka_unit_test(hardly_any_room),
        cmocka_unit_test(without_order),
        cmocka_unit_test(partitions_in_order),
        cmocka_unit_test(cancelled_and_begun_again),
        cmocka_unit_test(a_fate_that_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
