/* A function of the program as a stage: each event comes to it once, in order, and what it says of one becomes of it. */
#include "scratch.h"

#include "neap/neap.h"
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <unistd.h>

#define SOON_MS 30000

struct world {
    struct scratch scratch;
    struct neap *neap;
    struct neap_writer *writer;
    struct neap_topic *topic;
    struct neap_run *run;
    struct neap_error err;
    pthread_mutex_t mutex;
    char lines[16384]; /* what the log said; under the mutex */
    /* what handlers saw */
    _Atomic uint32_t calls, out_of_order, at_once, in_calls[8];
    _Atomic uint64_t last[8]; /* offset + 1, per partition */
    _Atomic bool stuck, gate;
    _Atomic uint32_t cancelled;
};

static void keep_line(void *ctx, const char *line, size_t size)
{
    struct world *w = ctx;
    pthread_mutex_lock(&w->mutex);
    size_t used = strlen(w->lines);
    if (used + size + 2 < sizeof w->lines) {
        memcpy(w->lines + used, line, size);
        memcpy(w->lines + used + size, "\n", 2);
    }
    pthread_mutex_unlock(&w->mutex);
}

static bool was_said(struct world *w, const char *text)
{
    pthread_mutex_lock(&w->mutex);
    bool said = strstr(w->lines, text) != NULL;
    pthread_mutex_unlock(&w->mutex);
    return said;
}

static void open_handle(struct world *w, uint32_t partition_count)
{
    struct neap_options options = { .path = scratch_path(&w->scratch, "data"),
                                    .disk_size = 64u << 20,
                                    .memory_size = 128u << 20,
                                    .log = keep_line,
                                    .log_ctx = w,
                                    .log_level = NEAP_LOG_WARN };
    assert_int_equal(neap_open(&options, &w->neap, &w->err), NEAP_OK);
    assert_int_equal(neap_writer_open(w->neap, NULL, &w->writer, &w->err), NEAP_OK);
    assert_int_equal(neap_topic_open(w->writer, "orders", partition_count, SOON_MS, &w->topic, &w->err), NEAP_OK);
}

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    scratch_init(&w->scratch);
    pthread_mutex_init(&w->mutex, NULL);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    neap_run_close(&w->run);
    neap_topic_close(&w->topic);
    assert_int_equal(neap_writer_close(&w->writer, SOON_MS), NEAP_OK);
    assert_int_equal(neap_close(&w->neap), NEAP_OK);
    pthread_mutex_destroy(&w->mutex);
    scratch_fini(&w->scratch);
    free(w);
    return 0;
}

static const char *write_file(struct world *w, const char *text)
{
    const char *path = scratch_path(&w->scratch, "file.yaml");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    return path;
}

static void append_to(struct world *w, int32_t partition, uint32_t from, uint32_t to)
{
    char value[64], key[16];
    struct neap_header trace = { NEAP_TEXT("trace"), NEAP_TEXT("t") };
    for (uint32_t i = from; i < to; i++) {
        struct neap_event event = { .key = { key, (size_t)snprintf(key, sizeof key, "k%u", i % 7) },
                                    .value = { value, (size_t)snprintf(value, sizeof value, "{\"n\":%u}", i) },
                                    .id = { key, strlen(key) },
                                    .headers = &trace,
                                    .header_count = 1,
                                    .time_ms = 1700000000000 + i };
        while (neap_append(w->writer, w->topic, partition, &event, 1, NULL, NULL) != NEAP_OK)
            assert_int_equal(neap_writer_wait(w->writer, SOON_MS), NEAP_OK);
    }
    assert_int_equal(neap_writer_flush(w->writer, SOON_MS), NEAP_OK);
}

static void run_file(struct world *w, const char *text, bool until_idle)
{
    struct neap_run_options options = { .until_idle = until_idle };
    enum neap_status status = neap_run_open(w->neap, write_file(w, text), &options, &w->run, &w->err);
    if (status != NEAP_OK)
        print_error("%s\n", w->err.text);
    assert_int_equal(status, NEAP_OK);
}

static struct neap_figures run_to_end(struct world *w, const char *text)
{
    struct neap_figures f = { 0 };
    run_file(w, text, true);
    enum neap_status status = neap_run_wait(w->run, SOON_MS, &w->err);
    if (status != NEAP_OK)
        print_error("%s\n", w->err.text);
    assert_int_equal(status, NEAP_OK);
    assert_int_equal(neap_run_figures(w->run, 0, &f), NEAP_OK);
    assert_int_equal(f.in_flight, 0);
    assert_int_equal(f.total.accepted, f.total.filtered + f.total.delivered + f.total.dead_lettered);
    neap_run_close(&w->run);
    return f;
}

/* Calls `each` for every event of a topic. */
static uint32_t each_event(struct world *w, const char *name, void (*each)(void *ctx, const struct neap_record *r),
                           void *ctx)
{
    struct neap_topic *topic;
    uint32_t count = 0;
    assert_int_equal(neap_topic_find(w->neap, name, &topic, &w->err), NEAP_OK);
    for (uint32_t p = 0; p < neap_topic_partition_count(topic); p++) {
        struct neap_reader *reader;
        struct neap_record record;
        assert_int_equal(neap_reader_open(w->neap, topic, p, 0, &reader, &w->err), NEAP_OK);
        for (; neap_reader_next(reader, 0, &record, &w->err) == NEAP_OK; count++)
            each(ctx, &record);
        neap_reader_close(&reader);
    }
    neap_topic_close(&topic);
    return count;
}

static bool header_is(const struct neap_record *r, const char *name, const char *value)
{
    for (uint32_t i = 0; i < r->event.header_count; i++) {
        struct neap_header h = r->event.headers[i];
        if (h.name.size == strlen(name) && memcmp(h.name.at, name, h.name.size) == 0)
            return h.value.size == strlen(value) && memcmp(h.value.at, value, h.value.size) == 0;
    }
    return false;
}

static uint32_t number_in(struct neap_bytes value)
{
    char text[64] = { 0 };
    memcpy(text, value.at, value.size < 63 ? value.size : 63);
    char *at = strstr(text, "\"n\":");
    return at != NULL ? (uint32_t)strtoul(at + 4, NULL, 10) : UINT32_MAX;
}

/* ---- verdicts ------------------------------------------------------------------------------------------------------ */

/* n % 5: 0 keeps, 1 changes, 2 drops, 3 fails with words, 4 keeps after having emitted twice. */
static enum neap_verdict judge(void *ctx, const struct neap_handled *h, struct neap_call *call)
{
    struct world *w = ctx;
    uint32_t n = number_in(h->event.value);
    char text[64];
    if (atomic_fetch_add(&w->in_calls[h->partition], 1) != 0)
        atomic_fetch_add(&w->at_once, 1);
    if (h->offset + 1 <= atomic_load(&w->last[h->partition]))
        atomic_fetch_add(&w->out_of_order, 1);
    atomic_store(&w->last[h->partition], h->offset + 1);
    atomic_fetch_add(&w->calls, 1);
    assert_string_equal(h->topic, "orders");
    assert_string_equal(h->pipeline, "judged");
    assert_string_equal(h->stage, "score");
    assert_int_equal(h->event.time_ms, 1700000000000 + n);
    assert_int_equal(h->event.header_count, 2);
    assert_memory_equal(h->event.id.at, h->event.key.at, h->event.id.size);
    assert_false(neap_call_cancelled(call));
    assert_true(neap_call_left_ms(call) > 5000 && neap_call_left_ms(call) <= 10000);
    assert_non_null(strstr((const char *)h->event.value.at, "\"before\":true"));
    atomic_fetch_sub(&w->in_calls[h->partition], 1);
    int size = snprintf(text, sizeof text, "{\"n\":%u,\"changed\":1}", n);
    switch (n % 5) {
    case 0:
        return NEAP_KEEP;
    case 1:
        assert_int_equal(neap_call_emit(call, (struct neap_bytes){ text, (size_t)size }), NEAP_OK);
        return NEAP_KEEP;
    case 2:
        return NEAP_DROP;
    case 3:
        neap_call_reason(call, "it is a three");
        return NEAP_FAIL;
    default:
        assert_int_equal(neap_call_emit(call, NEAP_TEXT("{\"n\":1,\"longer than the one that counts\":0}")), NEAP_OK);
        assert_int_equal(neap_call_emit(call, (struct neap_bytes){ text, (size_t)size }), NEAP_OK);
        return NEAP_KEEP;
    }
}

#define JUDGED_COUNT 5000u

static void check_out(void *ctx, const struct neap_record *r)
{
    uint8_t *seen = ctx;
    uint32_t n = number_in(r->event.value);
    char want[96];
    assert_true(n < JUDGED_COUNT && n >= 10 && !seen[n]++);
    if (n % 5 == 0)
        snprintf(want, sizeof want, "{\"n\":%u,\"before\":true,\"after\":1}", n);
    else
        snprintf(want, sizeof want, "{\"n\":%u,\"changed\":1,\"after\":2}", n);
    assert_true(n % 5 == 0 || n % 5 == 1 || n % 5 == 4);
    assert_int_equal(r->event.value.size, strlen(want));
    assert_memory_equal(r->event.value.at, want, strlen(want));
    assert_true(header_is(r, "trace", "t"));
}

static void check_dead(void *ctx, const struct neap_record *r)
{
    uint8_t *seen = ctx;
    uint32_t n = number_in(r->event.value);
    assert_true(n < JUDGED_COUNT && n % 5 == 3 && !seen[n]++);
    assert_true(header_is(r, "neap.reason", "handler") && header_is(r, "neap.stage", "score"));
    assert_true(header_is(r, "neap.error", "it is a three"));
}

#define JUDGED_YAML                                                    \
    "pipelines:\n"                                                     \
    "  judged:\n"                                                      \
    "    source: {topic: orders}\n"                                    \
    "    order: partition\n"                                           \
    "    stages:\n"                                                    \
    "      - filter: event.n >= 10\n"                                  \
    "      - map: {before: true}\n"                                    \
    "      - {name: score, plugin: {symbol: judge, timeout: 10s}}\n"   \
    "      - map: {after: event.changed and event.changed + 1 or 1}\n" \
    "    sink: {topic: out}\n"

static void test_verdicts(void **state)
{
    struct world *w = *state;
    static uint8_t out[JUDGED_COUNT], dead[JUDGED_COUNT];
    memset(out, 0, sizeof out);
    memset(dead, 0, sizeof dead);
    open_handle(w, 4);
    append_to(w, NEAP_BY_KEY, 0, JUDGED_COUNT);
    assert_int_equal(neap_handler_register(w->neap, "judge", judge, w), NEAP_OK);
    struct neap_figures f = run_to_end(w, JUDGED_YAML);
    assert_int_equal(f.total.accepted, JUDGED_COUNT);
    assert_int_equal(f.total.filtered, 10 + JUDGED_COUNT / 5 - 2);
    assert_int_equal(f.total.dead_lettered, JUDGED_COUNT / 5 - 2);
    assert_int_equal(f.total.delivered, 3 * (JUDGED_COUNT / 5) - 6);
    assert_int_equal(w->calls, JUDGED_COUNT - 10);
    assert_int_equal(w->out_of_order, 0);
    assert_int_equal(w->at_once, 0);
    assert_int_equal(each_event(w, "out", check_out, out), f.total.delivered);
    assert_int_equal(each_event(w, "judged.dead", check_dead, dead), f.total.dead_lettered);
    /* a second run begins where the first one ended */
    append_to(w, NEAP_BY_KEY, 10, 20);
    f = run_to_end(w, JUDGED_YAML);
    assert_int_equal(f.run.delivered, 6);
    assert_int_equal(w->calls, JUDGED_COUNT);
}

/* ---- deadlines ------------------------------------------------------------------------------------------------------- */

/* The event {"n":1} is held until it is told to come back. */
static enum neap_verdict hold_one(void *ctx, const struct neap_handled *h, struct neap_call *call)
{
    struct world *w = ctx;
    atomic_fetch_add(&w->calls, 1);
    if (number_in(h->event.value) != 1)
        return NEAP_KEEP;
    atomic_store(&w->stuck, true);
    while (!neap_call_cancelled(call))
        usleep(1000);
    atomic_fetch_add(&w->cancelled, 1);
    while (atomic_load(&w->gate)) /* it takes its time */
        usleep(1000);
    return NEAP_KEEP;
}

#define HELD_YAML                                         \
    "pipelines:\n"                                        \
    "  held:\n"                                           \
    "    source: {topic: orders}\n"                       \
    "    order: partition\n"                              \
    "    stages: [plugin: {symbol: hold, timeout: %s}]\n" \
    "    sink: {topic: out}\n"

static void check_timeout(void *ctx, const struct neap_record *r)
{
    (void)ctx;
    assert_int_equal(number_in(r->event.value), 1);
    assert_true(header_is(r, "neap.reason", "timeout") && header_is(r, "neap.stage", "plugin"));
}

static struct neap_figures now(struct world *w)
{
    struct neap_figures f = { 0 };
    assert_int_equal(neap_run_figures(w->run, 0, &f), NEAP_OK);
    return f;
}

/* Past its deadline it is told so, and named; its partition waits, the other one goes on; then it is a dead letter. */
static void test_deadline(void **state)
{
    struct world *w = *state;
    char yaml[512];
    snprintf(yaml, sizeof yaml, HELD_YAML, "50ms");
    open_handle(w, 2);
    assert_int_equal(neap_handler_register(w->neap, "hold", hold_one, w), NEAP_OK);
    atomic_store(&w->gate, true);
    append_to(w, 0, 0, 20); /* n = 1 is the second */
    run_file(w, yaml, false);
    while (atomic_load(&w->cancelled) == 0)
        usleep(1000);
    append_to(w, 1, 100, 400);
    while (now(w).total.delivered < 301)
        usleep(1000);
    while (!was_said(w, "past its deadline"))
        usleep(1000);
    assert_true(was_said(w, "handler=hold") && was_said(w, "partition=0") && was_said(w, "offset=1"));
    assert_int_equal(now(w).total.delivered, 301); /* what came before it in its partition, and all of the other */
    assert_int_equal(now(w).in_flight, 19);
    atomic_store(&w->gate, false);
    while (now(w).in_flight > 0)
        usleep(1000);
    neap_run_close(&w->run);
    assert_int_equal(each_event(w, "held.dead", check_timeout, NULL), 1);
}

/* A stop calls it back at once, its answer counts for nothing, and the event comes again. */
static void test_stop_in_a_call(void **state)
{
    struct world *w = *state;
    char yaml[512];
    snprintf(yaml, sizeof yaml, HELD_YAML, "1h");
    open_handle(w, 1);
    assert_int_equal(neap_handler_register(w->neap, "hold", hold_one, w), NEAP_OK);
    append_to(w, 0, 0, 20);
    run_file(w, yaml, false);
    while (!atomic_load(&w->stuck))
        usleep(1000);
    assert_int_equal(neap_handler_register(w->neap, "other", hold_one, w), NEAP_MISUSE); /* while it runs */
    neap_run_stop(w->run);
    assert_int_equal(neap_run_wait(w->run, SOON_MS, &w->err), NEAP_OK);
    assert_int_equal(now(w).total.dead_lettered, 0);
    assert_true(now(w).in_flight >= 19);
    neap_run_close(&w->run);
    assert_int_equal(w->cancelled, 1);
    assert_int_equal(neap_handler_register(w->neap, "hold", judge, w), NEAP_OK); /* replaced */
    assert_int_equal(neap_handler_register(w->neap, "hold", hold_one, w), NEAP_OK);
    snprintf(yaml, sizeof yaml, HELD_YAML, "20ms");
    struct neap_figures f = run_to_end(w, yaml);
    assert_int_equal(f.total.delivered, 19);
    assert_int_equal(f.total.dead_lettered, 1);
}

/* ---- what is around it ------------------------------------------------------------------------------------------------- */

static enum neap_verdict odd(void *ctx, const struct neap_handled *h, struct neap_call *call)
{
    struct world *w = ctx;
    atomic_fetch_add(&w->calls, 1);
    switch (number_in(h->event.value) % 3) {
    case 0:
        return NEAP_FAIL;
    case 1:
        assert_int_equal(neap_call_emit(call, NEAP_TEXT("{\"n\":")), NEAP_OK);
        return NEAP_KEEP;
    default:
        return (enum neap_verdict)77;
    }
}

static void check_odd(void *ctx, const struct neap_record *r)
{
    (void)ctx;
    assert_true(header_is(r, "neap.stage", "plugin"));
    uint32_t n = number_in(r->event.value);
    assert_true(header_is(r, "neap.reason", n % 3 == 1 ? "not_json" : "handler"));
    assert_true(n % 3 != 2 || header_is(r, "neap.error", "handler odd answered 77, which is no verdict"));
}

static void test_odd_answers(void **state)
{
    struct world *w = *state;
    open_handle(w, 1);
    assert_int_equal(neap_handler_register(w->neap, "odd", odd, w), NEAP_OK);
    append_to(w, 0, 0, 9);
    struct neap_figures f = run_to_end(w, "pipelines:\n"
                                          "  odd:\n"
                                          "    source: {topic: orders}\n"
                                          "    stages: [plugin: {symbol: odd}]\n"
                                          "    sink: {topic: out}\n");
    assert_int_equal(f.total.dead_lettered, 9);
    assert_int_equal(each_event(w, "odd.dead", check_odd, NULL), 9);
    /* `if` passes it by; on_error: continue lets a failed one go on as it came */
    w->calls = 0;
    f = run_to_end(w, "pipelines:\n"
                      "  mild:\n"
                      "    source: {topic: orders}\n"
                      "    stages: [{plugin: {symbol: odd}, if: event.n % 3 ~= 1, on_error: continue}]\n"
                      "    sink: {topic: mild.out}\n");
    assert_int_equal(f.total.delivered, 9);
    assert_int_equal(w->calls, 6);
}

static void test_unknown_handler(void **state)
{
    struct world *w = *state;
    open_handle(w, 1);
    const char *yaml = "pipelines:\n"
                       "  p:\n"
                       "    source: {topic: orders}\n"
                       "    stages:\n"
                       "      - plugin: {symbol: scor}\n"
                       "    sink: {topic: out}\n";
    assert_int_equal(neap_handler_register(w->neap, "score", odd, w), NEAP_OK);
    assert_int_equal(neap_run_open(w->neap, write_file(w, yaml), NULL, &w->run, &w->err), NEAP_MISUSE);
    assert_non_null(strstr(w->err.text, "file.yaml:5:26: error: no handler 'scor' is registered in this process; "
                                        "did you mean 'score'?"));
    struct neap_topic *topic = NULL;
    assert_int_equal(neap_topic_find(w->neap, "out", &topic, NULL), NEAP_NOTFOUND); /* nothing was begun */
    assert_int_equal(neap_handler_register(w->neap, "score", NULL, NULL), NEAP_OK);
    assert_int_equal(neap_run_open(w->neap, write_file(w, yaml), NULL, &w->run, &w->err), NEAP_MISUSE);
    assert_null(strstr(w->err.text, "did you mean"));
    assert_int_equal(neap_handler_register(w->neap, "", odd, w), NEAP_MISUSE);
    assert_int_equal(neap_handler_register(NULL, "score", odd, w), NEAP_MISUSE);
    char name[16];
    for (int i = 0; i < 64; i++) {
        snprintf(name, sizeof name, "h%d", i);
        assert_int_equal(neap_handler_register(w->neap, name, odd, w), NEAP_OK);
    }
    assert_int_equal(neap_handler_register(w->neap, "one more", odd, w), NEAP_FULL);
}

/* What the table refuses is read and handled again without it, and everything else lands, each row once. */
static enum neap_verdict keep(void *ctx, const struct neap_handled *h, struct neap_call *call)
{
    struct world *w = ctx;
    atomic_fetch_add(&w->calls, 1);
    return number_in(h->event.value) % 10 == 7 ? NEAP_DROP : NEAP_KEEP;
}

static void test_refused_rows(void **state)
{
    struct world *w = *state;
    sqlite3 *db;
    sqlite3_stmt *stmt;
    const char *path = scratch_path(&w->scratch, "out.db");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(n INTEGER UNIQUE CHECK (n % 50 <> 3))", NULL, NULL, NULL),
                     SQLITE_OK);
    open_handle(w, 2);
    assert_int_equal(neap_handler_register(w->neap, "keep", keep, w), NEAP_OK);
    append_to(w, NEAP_BY_KEY, 0, 3000);
    struct neap_figures f = run_to_end(w, "pipelines:\n"
                                          "  rows:\n"
                                          "    source: {topic: orders}\n"
                                          "    stages: [plugin: {symbol: keep}]\n"
                                          "    sink: {sqlite: {path: out.db, table: t, columns: [n]}}\n");
    assert_int_equal(f.total.dead_lettered, 60);
    assert_int_equal(f.total.filtered, 300);
    assert_int_equal(f.total.delivered, 2640);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(stmt, 0), 2640);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

/* Events about as large as they may be, changed into others as large: the desk takes them one by one. */
static enum neap_verdict enlarge(void *ctx, const struct neap_handled *h, struct neap_call *call)
{
    struct world *w = ctx;
    char *text = malloc(1000000);
    memset(text, 'y', 1000000);
    memcpy(text, "{\"z\":\"", 6);
    memcpy(text + 999998, "\"}", 2);
    atomic_fetch_add(&w->calls, 1);
    assert_int_equal(neap_call_emit(call, (struct neap_bytes){ text, 1000000 }), NEAP_OK);
    assert_int_equal(neap_call_emit(call, (struct neap_bytes){ text, SIZE_MAX / 2 }), NEAP_TOOLARGE);
    free(text);
    return h->event.value.size > 900000 ? NEAP_KEEP : NEAP_FAIL;
}

static void test_large_events(void **state)
{
    struct world *w = *state;
    char *text = malloc(1000000);
    memset(text, 'x', 1000000);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + 999998, "\"}", 2);
    open_handle(w, 1);
    assert_int_equal(neap_handler_register(w->neap, "enlarge", enlarge, w), NEAP_OK);
    struct neap_event event = { .value = { text, 1000000 } };
    for (int i = 0; i < 12; i++)
        assert_int_equal(neap_append_wait(w->writer, w->topic, 0, &event, 1, SOON_MS, NULL), NEAP_OK);
    append_to(w, 0, 0, 5);
    struct neap_figures f = run_to_end(w, "pipelines:\n"
                                          "  large:\n"
                                          "    source: {topic: orders}\n"
                                          "    stages:\n"
                                          "      - map: {b: 1}\n"
                                          "      - plugin: {symbol: enlarge}\n"
                                          "    sink: {topic: out}\n");
    assert_int_equal(f.total.delivered, 12);
    assert_int_equal(f.total.dead_lettered, 5);
    free(text);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_verdicts),        CASE(test_deadline),     CASE(test_stop_in_a_call), CASE(test_odd_answers),
        CASE(test_unknown_handler), CASE(test_refused_rows), CASE(test_large_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
