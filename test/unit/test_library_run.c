/* A pipeline file inside another program: on the handle's own log, beside its appends, several at a time, stopped and ended. */
#include "scratch.h"

#include "neap/neap.h"
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON_MS 30000

struct world {
    struct scratch scratch;
    struct neap *neap;
    struct neap_writer *writer;
    struct neap_topic *topic;
    struct neap_run *run;
    struct neap_error err;
    struct neap_run *run_inside; /* for a handler that closes it */
    _Atomic enum neap_status closed_inside;
    char lines[4096]; /* what the log said */
};

static void keep_line(void *ctx, const char *line, size_t size)
{
    struct world *w = ctx;
    size_t used = strlen(w->lines);
    if (used + size + 2 < sizeof w->lines) {
        memcpy(w->lines + used, line, size);
        memcpy(w->lines + used + size, "\n", 2);
    }
}

static void open_handle(struct world *w, const char *name, bool with_log)
{
    struct neap_options options = { .path = scratch_path(&w->scratch, name), .disk_size = 64u << 20 };
    if (with_log) {
        options.log = keep_line;
        options.log_ctx = w;
        options.log_level = NEAP_LOG_ERROR; /* in our calls, so that nobody else writes to `lines` */
    }
    assert_int_equal(neap_open(&options, &w->neap, &w->err), NEAP_OK);
    assert_int_equal(neap_writer_open(w->neap, NULL, &w->writer, &w->err), NEAP_OK);
    assert_int_equal(neap_topic_open(w->writer, "orders", 2, SOON_MS, &w->topic, &w->err), NEAP_OK);
}

static void close_handle(struct world *w)
{
    neap_run_close(&w->run);
    neap_topic_close(&w->topic);
    assert_int_equal(neap_writer_close(&w->writer, SOON_MS), NEAP_OK);
    assert_int_equal(neap_close(&w->neap), NEAP_OK);
}

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    scratch_init(&w->scratch);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    close_handle(w);
    scratch_fini(&w->scratch);
    free(w);
    return 0;
}

static const char *write_file(struct world *w, const char *name, const char *text)
{
    const char *path = scratch_path(&w->scratch, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    return path;
}

static void append_numbers(struct world *w, uint32_t from, uint32_t to)
{
    char value[64], key[16];
    for (uint32_t i = from; i < to; i++) {
        struct neap_event event = { .key = { key, (size_t)snprintf(key, sizeof key, "k%u", i % 7) },
                                    .value = { value, (size_t)snprintf(value, sizeof value, "{\"n\":%u}", i) } };
        while (neap_append(w->writer, w->topic, NEAP_BY_KEY, &event, 1, NULL, NULL) != NEAP_OK)
            assert_int_equal(neap_writer_wait(w->writer, SOON_MS), NEAP_OK);
    }
    assert_int_equal(neap_writer_flush(w->writer, SOON_MS), NEAP_OK);
}

static struct neap_figures figures(struct world *w)
{
    struct neap_figures f = { 0 };
    assert_int_equal(neap_run_figures(w->run, 0, &f), NEAP_OK);
    assert_int_equal(f.total.accepted, f.total.filtered + f.total.delivered + f.total.dead_lettered + f.in_flight);
    return f;
}

static void run_file(struct world *w, const char *path, bool until_idle)
{
    enum neap_status status =
        neap_run_open(w->neap, path, &(struct neap_run_options){ .until_idle = until_idle }, &w->run, &w->err);
    if (status != NEAP_OK)
        print_error("%s\n", w->err.text);
    assert_int_equal(status, NEAP_OK);
}

static uint64_t count_events(struct world *w, const char *name)
{
    struct neap_topic *topic;
    uint64_t sum = 0, end;
    if (neap_topic_find(w->neap, name, &topic, NULL) != NEAP_OK)
        return 0;
    for (uint32_t i = 0; i < neap_topic_partition_count(topic); i++) {
        assert_int_equal(neap_topic_end(topic, i, &end), NEAP_OK);
        sum += end;
    }
    neap_topic_close(&topic);
    return sum;
}

/* ---- ------------------------------------------------------------------------------------------------------------------ */

#define BIG_YAML                             \
    "pipelines:\n"                           \
    "  big:\n"                               \
    "    source: {topic: orders}\n"          \
    "    stages: [filter: event.n >= 100]\n" \
    "    sink: {topic: big}\n"

static void test_until_idle(void **state)
{
    struct world *w = *state;
    open_handle(w, "data", false);
    const char *path = write_file(w, "big.yaml", BIG_YAML);
    append_numbers(w, 0, 1000);
    run_file(w, path, true);
    assert_int_equal(neap_run_pipeline_count(w->run), 1);
    assert_int_equal(neap_run_wait(w->run, SOON_MS, &w->err), NEAP_OK);
    assert_true(neap_run_ended(w->run));
    struct neap_figures f = figures(w);
    assert_string_equal(f.pipeline, "big");
    assert_int_equal(f.total.accepted, 1000);
    assert_int_equal(f.total.filtered, 100);
    assert_int_equal(f.total.delivered, 900);
    assert_int_equal(neap_run_figures(w->run, 1, &f), NEAP_NOTFOUND);
    neap_run_close(&w->run);
    assert_int_equal(count_events(w, "big"), 900);
    /* the pipeline's place is its own */
    assert_int_equal(neap_commit(w->writer, "big", w->topic, 0, 0, NULL, NULL), NEAP_CONFLICT);
    /* and again: nothing is done twice */
    run_file(w, path, true);
    assert_int_equal(neap_run_wait(w->run, SOON_MS, &w->err), NEAP_OK);
    assert_int_equal(figures(w).run.delivered, 0);
    assert_int_equal(count_events(w, "big"), 900);
}

/* Programs as stages, one of which ends after each event; signals and children of the host stay its own. */
static void test_programs(void **state)
{
    struct world *w = *state;
    struct sigaction before, after;
    open_handle(w, "data", false);
    append_numbers(w, 0, 60);
    pid_t own = fork();
    if (own == 0) {
        pause();
        _exit(7);
    }
    for (int ignores = 0; ignores < 2; ignores++) {
        signal(SIGPIPE, SIG_DFL);
        signal(SIGCHLD, ignores ? SIG_IGN : SIG_DFL);
        assert_int_equal(sigaction(SIGPIPE, NULL, &before), 0);
        run_file(w,
                 write_file(w, "programs.yaml",
                            ignores
                                ? "pipelines: {q: {source: {topic: orders}, stages: [exec: {command: [head, -n, '1'], "
                                  "protocol: lines}, exec: {command: cat, protocol: lines}], sink: {topic: q.out}}}\n"
                                : "pipelines: {p: {source: {topic: orders}, stages: [exec: {command: [head, -n, '1'], "
                                  "protocol: lines}, exec: {command: cat, protocol: lines}], sink: {topic: p.out}}}\n"),
                 true);
        assert_int_equal(neap_run_wait(w->run, SOON_MS, &w->err), NEAP_OK);
        struct neap_figures f = figures(w);
        assert_int_equal(f.total.delivered, 60);
        neap_run_close(&w->run);
        assert_int_equal(sigaction(SIGPIPE, NULL, &after), 0);
        assert_ptr_equal(after.sa_handler, before.sa_handler);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* ours alone is left */
    }
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(kill(own, SIGKILL), 0);
    assert_int_equal(waitpid(own, NULL, 0), own);
}

static enum neap_verdict close_from_inside(void *ctx, const struct neap_handled *handled, struct neap_call *call)
{
    struct world *w = ctx;
    (void)handled;
    (void)call;
    struct neap_run *run = w->run_inside;
    w->closed_inside = run != NULL ? neap_run_close(&run) : NEAP_OK;
    return run == w->run_inside ? NEAP_KEEP : NEAP_FAIL;
}

static void test_not_from_its_own_handler(void **state)
{
    struct world *w = *state;
    open_handle(w, "data", false);
    assert_int_equal(neap_handler_register(w->neap, "close", close_from_inside, w), NEAP_OK);
    run_file(w,
             write_file(w, "close.yaml",
                        "pipelines:\n"
                        "  closing:\n"
                        "    source: {topic: orders}\n"
                        "    stages: [plugin: {symbol: close}]\n"
                        "    sink: {topic: closed}\n"),
             false);
    w->run_inside = w->run;
    append_numbers(w, 0, 10);
    for (uint32_t i = 0; i < SOON_MS && figures(w).total.delivered < 10; i++)
        usleep(1000);
    assert_int_equal(figures(w).total.delivered, 10);
    assert_int_equal(w->closed_inside, NEAP_MISUSE);
    assert_int_equal(neap_run_close(&w->run), NEAP_OK);
    assert_int_equal(neap_run_close(&w->run), NEAP_OK);
}

/* Appends meet a pipeline that is at work; a stop lands what is on its way. */
static void test_beside_appends(void **state)
{
    struct world *w = *state;
    open_handle(w, "data", false);
    run_file(w, write_file(w, "big.yaml", BIG_YAML), false);
    struct neap_run *second = NULL;
    assert_int_equal(neap_run_open(w->neap, "any", NULL, &second, &w->err), NEAP_HELD);
    append_numbers(w, 100, 600);
    while (figures(w).total.delivered < 500) { /* the test's own limit ends it */
        assert_int_equal(neap_run_wait(w->run, 5, &w->err), NEAP_TIMEOUT);
        assert_false(neap_run_ended(w->run));
    }
    assert_int_equal(neap_close(&w->neap), NEAP_MISUSE);
    append_numbers(w, 600, 700);
    neap_run_stop(w->run);
    assert_int_equal(neap_run_wait(w->run, SOON_MS, &w->err), NEAP_OK);
    assert_true(figures(w).total.delivered >= 500);
    neap_run_close(&w->run);
    append_numbers(w, 700, 710); /* the handle goes on */
}

static int count_rows(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM t", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int count = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return count;
}

/* Two directories in one process, each with its pipeline into its SQLite file, while the program uses SQLite itself. */
static void test_two_with_sqlite(void **state)
{
    struct world *w = *state, other = { .scratch = w->scratch };
    static const char yaml[] = "pipelines:\n"
                               "  rows:\n"
                               "    source: {topic: orders}\n"
                               "    sink: {sqlite: {path: %s.db, table: t, columns: [n]}}\n";
    char one[512], two[512];
    sqlite3 *mine;
    const char *vfs = sqlite3_vfs_find(NULL)->zName;
    assert_int_equal(sqlite3_open(":memory:", &mine), SQLITE_OK);
    snprintf(one, sizeof one, yaml, "one");
    snprintf(two, sizeof two, yaml, "two");
    open_handle(w, "data", false);
    open_handle(&other, "other", false);
    append_numbers(w, 0, 300);
    append_numbers(&other, 0, 500);
    run_file(w, write_file(w, "one.yaml", one), true);
    run_file(&other, write_file(&other, "two.yaml", two), true);
    assert_string_equal(sqlite3_vfs_find(NULL)->zName, vfs);
    assert_int_equal(neap_run_wait(w->run, SOON_MS, &w->err), NEAP_OK);
    assert_int_equal(neap_run_wait(other.run, SOON_MS, &other.err), NEAP_OK);
    assert_int_equal(count_rows(scratch_path(&w->scratch, "one.db")), 300);
    assert_int_equal(count_rows(scratch_path(&w->scratch, "two.db")), 500);
    assert_int_equal(sqlite3_exec(mine, "CREATE TABLE x(y)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(mine), SQLITE_OK);
    close_handle(&other);
    assert_string_equal(sqlite3_vfs_find(NULL)->zName, vfs);
}

static void test_errors_of_the_file(void **state)
{
    struct world *w = *state;
    open_handle(w, "data", true);
    assert_int_equal(neap_run_open(w->neap, scratch_path(&w->scratch, "none.yaml"), NULL, &w->run, &w->err),
                     NEAP_NOTFOUND);
    const char *path = write_file(w, "bad.yaml",
                                  "pipelines:\n"
                                  "  big:\n"
                                  "    source: {topic: orders}\n"
                                  "    stages: [filtr: event.n, mop: {}]\n");
    assert_int_equal(neap_run_open(w->neap, path, NULL, &w->run, &w->err), NEAP_BADINPUT);
    assert_null(w->run);
    assert_non_null(strstr(w->err.text, "bad.yaml:4:14: error: unknown stage 'filtr'; did you mean 'filter'?"));
    assert_non_null(strstr(w->lines, "filtr"));
    assert_non_null(strstr(w->lines, "mop"));
    assert_int_equal(neap_run_open(NULL, path, NULL, &w->run, &w->err), NEAP_MISUSE);
    /* none of it holds the place: a good one runs */
    run_file(w, write_file(w, "big.yaml", BIG_YAML), true);
    assert_int_equal(neap_run_wait(w->run, SOON_MS, &w->err), NEAP_OK);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_programs),       CASE(test_until_idle),      CASE(test_not_from_its_own_handler),
        CASE(test_beside_appends), CASE(test_two_with_sqlite), CASE(test_errors_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
