/* A node from the text of a pipeline file: runs until idle, is run again, is stopped, loses a directory or a database. */
#include "scratch.h"

#include "io/real.h"
#include "node/budget.h"
#include "node/node.h"
#include <sqlite3.h>

#define LINE_COUNT 1000u

struct world {
    struct scratch scratch;
    struct io *io;
    struct config *config;
    struct node *node;
    struct error err;
    char yaml[4096];
    uint32_t ticks;
    bool stop_at_tick;
};

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    scratch_init(&w->scratch);
    w->io = io_real_open(NULL);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    io_real_close(&w->io);
    scratch_fini(&w->scratch);
    free(w);
    return 0;
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

/* Lines from..to; every tenth is filtered out (n 0), every hundredth is no JSON. */
static void write_lines(struct world *w, const char *name, uint32_t from, uint32_t to)
{
    FILE *f = fopen(scratch_path(&w->scratch, name), "a");
    assert_non_null(f);
    for (uint32_t i = from; i < to; i++) {
        if (i % 100 == 99)
            fprintf(f, "{\"id\":%u,\"author\":\"a%u\n", i, i % 7);
        else
            fprintf(f, "{\"id\":%u,\"author\":\"a%u\",\"n\":%u,\"added\":%u,\"removed\":1}\n", i, i % 7, i % 10, i);
    }
    assert_int_equal(fclose(f), 0);
}

static uint64_t bad_count(uint32_t count)
{
    return count / 100;
}

static uint64_t filtered_count(uint32_t count)
{
    return count / 10;
}

static uint64_t kept_count(uint32_t count)
{
    return count - bad_count(count) - filtered_count(count);
}

static int64_t ask(struct world *w, const char *database, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(scratch_path(&w->scratch, database), &db), SQLITE_OK);
    int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (code != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    code = sqlite3_step(s);
    int64_t answer = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    sqlite3_finalize(s);
    sqlite3_close(db);
    return answer;
}

static void shell(struct world *w, const char *command)
{
    char text[1024];
    snprintf(text, sizeof text, "cd '%s' && %s", w->scratch.dir, command);
    assert_int_equal(system(text), 0);
}

/* ---- the node ------------------------------------------------------------------------------------------------------ */

static const char commits_yaml[] =
    "node: {data: ./data, memory: 64MiB}\n"
    "topics: {commits: {partitions: 4, retention: forever}}\n"
    "pipelines:\n"
    "  commits:\n"
    "    source:\n"
    "      file: {path: lines.ndjson}\n"
    "      key: event.author\n"
    "      id: event.id\n"
    "    stages:\n"
    "      - filter: event.n > 0\n"
    "      - map: {churn: event.added + event.removed}\n"
    "    sink:\n"
    "      sqlite: {path: out.db, table: rows, key: [id],\n"
    "               columns: {id: event.id, author: event.author, churn: event.churn}}\n";

static enum neap_status open_node(struct world *w, const char *yaml, bool until_idle)
{
    struct config_messages *messages;
    w->err = (struct error){ 0 };
    enum neap_status status = config_parse(w->io, scratch_path(&w->scratch, "neap.yaml"), bytes_of_text(yaml),
                                           &w->config, &messages, &w->err);
    if (status != NEAP_OK)
        fail_msg("%s %s", w->err.text, messages->count > 0 ? messages->list[0].text : "");
    config_messages_free(&messages);
    struct node_options options = { .config = w->config, .until_idle = until_idle, .drain_ns = 20 * NS_PER_S };
    status = node_open(w->io, &options, &w->node, &w->err);
    if (status != NEAP_OK)
        config_free(&w->config);
    return status;
}

static void check_balance(const struct node_pipeline_figures *f)
{
    const struct ledger *t = &f->total;
    if (t->accepted != t->filtered + t->delivered + t->dead_lettered + f->in_flight)
        fail_msg("%s: accepted %llu is not filtered %llu + delivered %llu + dead %llu + in flight %llu", f->name,
                 (unsigned long long)t->accepted, (unsigned long long)t->filtered, (unsigned long long)t->delivered,
                 (unsigned long long)t->dead_lettered, (unsigned long long)f->in_flight);
}

static void ticked(void *ctx, struct node *node)
{
    struct world *w = ctx;
    w->ticks++;
    if (w->stop_at_tick)
        node_stop(node);
}

static void close_node(struct world *w)
{
    node_close(&w->node);
    assert_null(w->node);
    config_free(&w->config);
}

/* Opens, runs until idle, gives the figures of the first pipeline, closes. */
static enum neap_status run(struct world *w, const char *yaml, struct node_pipeline_figures *ret_figures)
{
    enum neap_status status = open_node(w, yaml, true);
    if (status != NEAP_OK)
        return status;
    status = node_run(w->node, ticked, w, &w->err);
    for (uint32_t i = 0; i < node_pipeline_count(w->node); i++) {
        struct node_pipeline_figures figures;
        node_pipeline_figures(w->node, i, &figures);
        if (!figures.stopped)
            check_balance(&figures);
        if (i == 0 && ret_figures != NULL)
            *ret_figures = figures;
    }
    close_node(w);
    return status;
}

static void run_well(struct world *w, const char *yaml, struct node_pipeline_figures *ret_figures)
{
    if (run(w, yaml, ret_figures) != NEAP_OK)
        fail_msg("%s", w->err.text);
}

static void check_rows(struct world *w, const char *database, uint32_t count)
{
    assert_int_equal(ask(w, database, "SELECT count(*) FROM rows"), kept_count(count));
    assert_int_equal(ask(w, database, "SELECT count(DISTINCT id) FROM rows"), kept_count(count));
    assert_int_equal(ask(w, database, "SELECT count(*) FROM rows WHERE churn <> id + 1"), 0);
    assert_int_equal(ask(w, database, /* each author's rows in the order of the file */
                         "SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY author ORDER BY rowid) AS before "
                         "FROM rows) WHERE before > id"),
                     0);
}

static void check_ledger(const struct ledger *l, uint32_t count)
{
    assert_int_equal(l->accepted, count);
    assert_int_equal(l->dead_lettered, bad_count(count));
    assert_int_equal(l->filtered, filtered_count(count));
    assert_int_equal(l->delivered, kept_count(count));
    assert_int_equal(l->produced, kept_count(count));
}

static void a_file_becomes_rows_once(void **state)
{
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    run_well(w, commits_yaml, &f);
    check_rows(w, "out.db", LINE_COUNT);
    check_ledger(&f.total, LINE_COUNT);
    check_ledger(&f.run, LINE_COUNT);
    run_well(w, commits_yaml, &f); /* a rerun adds nothing */
    check_rows(w, "out.db", LINE_COUNT);
    check_ledger(&f.total, LINE_COUNT);
    check_ledger(&f.run, 0);
    write_lines(w, "lines.ndjson", LINE_COUNT, 2 * LINE_COUNT);
    run_well(w, commits_yaml, &f);
    check_rows(w, "out.db", 2 * LINE_COUNT);
    check_ledger(&f.total, 2 * LINE_COUNT);
    check_ledger(&f.run, LINE_COUNT);
}

static void a_node_that_is_stopped_goes_on_later(void **state)
{
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, 20 * LINE_COUNT);
    w->stop_at_tick = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(open_node(w, commits_yaml, false), NEAP_OK);
        if (i > 0)
            node_stop(w->node); /* before anything has happened */
        assert_int_equal(node_run(w->node, ticked, w, &w->err), NEAP_OK);
        node_pipeline_figures(w->node, 0, &f);
        check_balance(&f);
        close_node(w);
    }
    w->stop_at_tick = false;
    run_well(w, commits_yaml, &f);
    check_rows(w, "out.db", 20 * LINE_COUNT);
    check_ledger(&f.total, 20 * LINE_COUNT);
}

static void closing_without_running_is_fine(void **state)
{
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(open_node(w, commits_yaml, true), NEAP_OK);
        close_node(w);
    }
    run_well(w, commits_yaml, &f);
    check_rows(w, "out.db", LINE_COUNT);
    check_ledger(&f.total, LINE_COUNT);
}

static void pipelines_feed_each_other(void **state)
{
    static const char yaml[] = "node: {data: ./data, memory: 96MiB}\n"
                               "topics: {middle: {partitions: 3}}\n"
                               "pipelines:\n"
                               "  first:\n"
                               "    source: {file: {path: lines.ndjson}, key: event.author}\n"
                               "    stages: [{filter: event.n > 0}, {remove: [added]}]\n"
                               "    sink: {topic: {name: middle, key: event.author}}\n"
                               "  second:\n"
                               "    source: {topic: middle}\n"
                               "    sink: {file: {path: out.ndjson}}\n"
                               "  third:\n"
                               "    source: {topic: middle}\n"
                               "    stages: [{filter: event.author == \"a1\"}]\n"
                               "    sink: {sqlite: {path: out.db, table: ones, columns: {id: event.id}}}\n";
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    for (int i = 0; i < 2; i++) {
        run_well(w, yaml, &f);
        check_ledger(&f.total, LINE_COUNT);
        char command[128];
        snprintf(command, sizeof command, "test $(wc -l < out.ndjson) = %u && test $(sort -u out.ndjson | wc -l) = %u",
                 (unsigned)kept_count(LINE_COUNT), (unsigned)kept_count(LINE_COUNT));
        shell(w, command);
        int64_t ones = ask(w, "out.db", "SELECT count(*) FROM ones");
        assert_true(ones > 100);
        assert_int_equal(ask(w, "out.db", "SELECT count(DISTINCT id) FROM ones WHERE id % 7 = 1"), ones);
    }
}

static void events_may_stay_in_their_topic(void **state)
{
    static const char yaml[] = "node: {data: ./data}\n"
                               "pipelines: {in: {source: {file: {path: lines.ndjson}}}}\n";
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    for (int i = 0; i < 2; i++) {
        run_well(w, yaml, &f);
        assert_int_equal(f.total.accepted, LINE_COUNT);
        assert_int_equal(f.total.delivered, LINE_COUNT - bad_count(LINE_COUNT));
        assert_int_equal(f.run.accepted, i == 0 ? LINE_COUNT : 0);
    }
}

/* ---- two sources of truth -------------------------------------------------------------------------------------------- */

/* The text with the first `from` replaced. */
static const char *with(struct world *w, const char *yaml, const char *from, const char *to)
{
    const char *at = strstr(yaml, from);
    assert_non_null(at);
    char text[sizeof w->yaml];
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - yaml), yaml, to, at + strlen(from));
    memcpy(w->yaml, text, sizeof text);
    return w->yaml;
}

static void check_conflict(struct world *w, const char *yaml, const char *number, const char *setting)
{
    struct node_pipeline_figures f;
    assert_int_equal(run(w, yaml, &f), NEAP_CONFLICT);
    assert_true(f.stopped);
    if (strstr(w->err.text, number) == NULL || strstr(w->err.text, setting) == NULL)
        fail_msg("\"%s\" does not say %s and %s", w->err.text, number, setting);
}

static void a_wiped_directory_under_a_live_database(void **state)
{
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    const char *yaml = with(w, commits_yaml, "partitions: 4", "partitions: 1");
    run_well(w, yaml, &f);
    shell(w, "rm -r data");
    check_conflict(w, yaml, "990", "start: sink");
    check_rows(w, "out.db", LINE_COUNT);
    yaml = with(w, yaml, "    stages:", "    start: sink\n    stages:"); /* the same file comes in again */
    run_well(w, yaml, &f);
    check_rows(w, "out.db", LINE_COUNT);
    check_ledger(&f.total, LINE_COUNT);
    write_lines(w, "lines.ndjson", LINE_COUNT, 2 * LINE_COUNT);
    run_well(w, yaml, &f);
    check_rows(w, "out.db", 2 * LINE_COUNT);
}

static void a_database_of_yesterday(void **state)
{
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    run_well(w, commits_yaml, &f);
    shell(w, "mkdir old && cp out.db* old");
    write_lines(w, "lines.ndjson", LINE_COUNT, 2 * LINE_COUNT);
    run_well(w, commits_yaml, &f);
    check_rows(w, "out.db", 2 * LINE_COUNT);
    shell(w, "rm out.db* && cp old/* .");
    check_rows(w, "out.db", LINE_COUNT);
    run_well(w, commits_yaml, &f);
    check_rows(w, "out.db", 2 * LINE_COUNT);
    check_ledger(&f.total, 2 * LINE_COUNT);
}

static void another_path_or_table(void **state)
{
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    run_well(w, commits_yaml, &f);
    check_conflict(w, with(w, commits_yaml, "path: out.db", "path: new.db"), "start: earliest", "start: committed");
    check_conflict(w, with(w, commits_yaml, "table: rows", "table: lines"), "rows", "start:");
    const char *yaml = with(w, commits_yaml, "path: out.db", "path: new.db");
    yaml = with(w, yaml, "    stages:", "    start: earliest\n    stages:");
    for (int i = 0; i < 2; i++) {
        run_well(w, yaml, &f);
        check_rows(w, "new.db", LINE_COUNT);
        check_ledger(&f.total, LINE_COUNT);
    }
}

static void a_renamed_pipeline(void **state)
{
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    run_well(w, commits_yaml, &f);
    write_lines(w, "lines.ndjson", LINE_COUNT, 2 * LINE_COUNT);
    const char *yaml = with(w, commits_yaml, "  commits:\n    source:", "  changes:\n    source:");
    yaml = with(w, yaml, "    stages:", "    was: commits\n    stages:");
    for (int i = 0; i < 2; i++) {
        run_well(w, yaml, &f);
        check_rows(w, "out.db", 2 * LINE_COUNT);
        check_ledger(&f.total, 2 * LINE_COUNT);
    }
    yaml = with(w, yaml, "    was: commits\n", ""); /* it has been carried over: the word is not needed any more */
    run_well(w, yaml, &f);
    check_rows(w, "out.db", 2 * LINE_COUNT);
    check_ledger(&f.total, 2 * LINE_COUNT);
}

static void a_new_name_is_a_new_pipeline(void **state)
{
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    run_well(w, commits_yaml, &f);
    const char *yaml = with(w, commits_yaml, "  commits:\n    source:", "  changes:\n    source:");
    yaml = with(w, yaml, "key: [id],", "key: [id], mode: ignore,");
    run_well(w, yaml, &f); /* reads its file from the start, and the rows are there */
    check_rows(w, "out.db", LINE_COUNT);
    check_ledger(&f.total, LINE_COUNT);
}

/* ---- what can be wrong ------------------------------------------------------------------------------------------------ */

static void one_conflict_does_not_stop_the_others(void **state)
{
    static const char yaml[] = "node: {data: ./data, memory: 96MiB}\n"
                               "pipelines:\n"
                               "  bad:\n"
                               "    source: {file: {path: lines.ndjson}}\n"
                               "    sink: {file: {path: full.ndjson}}\n"
                               "  good:\n"
                               "    source: {file: {path: lines.ndjson}}\n"
                               "    sink: {file: {path: out.ndjson}}\n";
    struct world *w = *state;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    shell(w, "echo 1 > full.ndjson");
    check_conflict(w, yaml, "0 events", "start: earliest");
    shell(w, "test $(wc -l < out.ndjson) = 990 && test $(wc -l < full.ndjson) = 1");
}

static void a_missing_source_is_said(void **state)
{
    struct world *w = *state;
    struct node_pipeline_figures f;
    assert_int_equal(run(w, commits_yaml, &f), NEAP_NOTFOUND);
    assert_true(f.stopped);
    assert_non_null(strstr(w->err.text, "lines.ndjson"));
}

static void memory_that_does_not_add_up_is_refused(void **state)
{
    struct world *w = *state;
    struct node_memory_term terms[32];
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    static const char *const sizes[] = { "24MiB", "28MiB", "32MiB", "64MiB", "256MiB", "4GiB" };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        enum neap_status status = open_node(w, with(w, commits_yaml, "64MiB", sizes[i]), true);
        if (status != NEAP_OK) {
            assert_int_equal(status, NEAP_MISUSE);
            assert_non_null(strstr(w->err.text, "neap.yaml:1:30: node.memory"));
            assert_true(i < 2); /* an ordinary file is at home in 32 MiB */
            continue;
        }
        uint64_t sum = 0;
        uint32_t count = node_memory(w->config, terms, COUNT_OF(terms));
        assert_in_range(count, 5, COUNT_OF(terms));
        for (uint32_t k = 0; k < count; k++)
            sum += terms[k].size;
        assert_true(sum <= w->config->memory_size);
        close_node(w);
    }
}

/* The reference says these numbers at `memory`. */
static void the_largest_event_is_as_large_as_said(void **state)
{
    static const struct {
        uint64_t memory_mib, event_kib;
    } said[] = { { 24, 256 }, { 32, 341 }, { 48, 682 }, { 64, 1024 }, { 4096, 1024 } };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(said); i++) {
        struct budget b;
        budget_of(&(struct config){ .memory_size = said[i].memory_mib << 20 }, &b);
        assert_int_equal(b.event_size_max >> 10, said[i].event_kib);
    }
}

/* What most people write first: no memory said, two pipelines and a database. */
static void two_pipelines_are_at_home_in_the_default(void **state)
{
    static const char yaml[] = "topics: {out: {partitions: 4}}\n"
                               "pipelines:\n"
                               "  in:\n"
                               "    source: {file: {path: lines.ndjson}, key: event.author}\n"
                               "    sink: {topic: {name: out}}\n"
                               "  out:\n"
                               "    source: {topic: out}\n"
                               "    sink: {sqlite: {path: out.db, table: rows, columns: {id: event.id}}}\n";
    struct world *w = *state;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    run_well(w, yaml, NULL);
    shell(w, "rm -r data out.db");
}

static void a_held_directory_is_said(void **state)
{
    struct world *w = *state;
    write_lines(w, "lines.ndjson", 0, LINE_COUNT);
    assert_int_equal(open_node(w, commits_yaml, true), NEAP_OK);
    struct node *first = w->node;
    struct config *first_config = w->config;
    assert_int_equal(open_node(w, commits_yaml, true), NEAP_HELD);
    w->node = first;
    w->config = first_config;
    close_node(w);
}

/* ---- topics ---------------------------------------------------------------------------------------------------------- */

static struct log_topic topic_now(struct world *w, const char *name)
{
    struct log_topic topic;
    assert_int_equal(log_topic_find(node_log(w->node), name, &topic), NEAP_OK);
    return topic;
}

#define TOPICS_YAML(topics)                                                    \
    "node: {data: ./data, memory: 96MiB}\n"                                    \
    "topics:\n" topics "pipelines:\n"                                          \
    "  in:\n"                                                                  \
    "    source: {file: {path: lines.ndjson}, key: event.author, to: lines}\n" \
    "    sink: {topic: {name: out}}\n"                                         \
    "  keyless:\n"                                                             \
    "    source: {file: {path: other.ndjson}}\n"                               \
    "    sink: {file: {path: keyless.ndjson}}\n"                               \
    "  back:\n"                                                                \
    "    source: {topic: out}\n"                                               \
    "    sink: {file: {path: out.ndjson}}\n"

static void topics_are_made_with_the_settings_for_what_they_are(void **state)
{
    struct world *w = *state;
    write_lines(w, "lines.ndjson", 0, 100);
    write_lines(w, "other.ndjson", 0, 100);
    assert_int_equal(open_node(w,
                               TOPICS_YAML("  in.dead: {partitions: 2}\n"
                                           "  kept: {cleanup: compact}\n"
                                           "  fast: {retention: {time: 1h, size: 1GiB}, durability: interval}\n"
                                           "  slow: {retention: 2GiB, max_record: 2MiB}\n"),
                               true),
                     NEAP_OK);
    static const struct {
        const char *name;
        uint32_t partition_count;
        struct log_topic_settings settings;
    } expected[] = {
        { "lines", 1, { LOG_RETAIN_DONE, LOG_CLEANUP_DELETE, -1, -1, -1, 0, 0 } },
        { "keyless", 1, { LOG_RETAIN_DONE, LOG_CLEANUP_DELETE, -1, -1, -1, 0, 0 } },
        { "in.dead", 2, { LOG_RETAIN_LIMITS, LOG_CLEANUP_DELETE, -1, -1, -1, 0, 0 } },
        { "back.dead", 1, { LOG_RETAIN_LIMITS, LOG_CLEANUP_DELETE, -1, -1, -1, 0, 0 } },
        { "out", 1, { LOG_RETAIN_LIMITS, LOG_CLEANUP_DELETE, 7 * 86400000ll, -1, -1, 0, 0 } },
        { "kept", 1, { LOG_RETAIN_LIMITS, LOG_CLEANUP_COMPACT, -1, -1, -1, 0, 0 } },
        { "fast", 1, { LOG_RETAIN_LIMITS, LOG_CLEANUP_DELETE, 3600000, 1 << 30, -1, 50, 0 } },
        { "slow", 1, { LOG_RETAIN_LIMITS, LOG_CLEANUP_DELETE, -1, 2ll << 30, -1, 0, 2 << 20 } },
    };
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        struct log_topic topic = topic_now(w, expected[i].name);
        assert_int_equal(topic.partition_count, expected[i].partition_count);
        if (memcmp(&topic.settings, &expected[i].settings, sizeof topic.settings) != 0)
            fail_msg("topic %s: retention %d, cleanup %d, %lld ms, %lld bytes, interval %u, records %u",
                     expected[i].name, (int)topic.settings.retention, (int)topic.settings.cleanup,
                     (long long)topic.settings.retention_ms, (long long)topic.settings.retention_size,
                     topic.settings.interval_ms, topic.settings.record_size_max);
    }
    close_node(w);
}

static void what_is_written_changes_a_topic_and_what_is_not_stays(void **state)
{
    struct world *w = *state;
    write_lines(w, "lines.ndjson", 0, 100);
    write_lines(w, "other.ndjson", 0, 100);
    run_well(w, TOPICS_YAML("  kept: {retention: 30d}\n"), NULL);
    assert_int_equal(open_node(w, TOPICS_YAML("  kept: {durability: {interval: 7ms}}\n  lines: {retention: 1d}\n"),
                               true),
                     NEAP_OK);
    struct log_topic kept = topic_now(w, "kept"), lines = topic_now(w, "lines");
    assert_int_equal(kept.settings.retention_ms, 30 * 86400000ll);
    assert_int_equal(kept.settings.interval_ms, 7);
    assert_int_equal(lines.settings.retention, LOG_RETAIN_LIMITS);
    assert_int_equal(lines.settings.retention_ms, 86400000);
    close_node(w);
    assert_int_equal(open_node(w, TOPICS_YAML("  kept: {cleanup: compact, durability: fsync}\n"), true), NEAP_OK);
    kept = topic_now(w, "kept");
    assert_int_equal(kept.settings.retention_ms, -1); /* compacted and kept: the newest of a key does not grow old */
    assert_int_equal(kept.settings.cleanup, LOG_CLEANUP_COMPACT);
    assert_int_equal(kept.settings.interval_ms, 0);
    close_node(w);
    assert_int_equal(open_node(w, TOPICS_YAML("  x: {retention: 1d}\n"), true), NEAP_OK);
    lines = topic_now(w, "lines"); /* a line that is taken out frees nothing, and keeps nothing more */
    assert_int_equal(lines.settings.retention_ms, 86400000);
    close_node(w);
}

static void check_refused(struct world *w, const char *yaml, const char *place, const char *says)
{
    assert_int_equal(open_node(w, yaml, true), NEAP_MISUSE);
    if (strstr(w->err.text, place) == NULL || strstr(w->err.text, says) == NULL)
        fail_msg("\"%s\" does not say %s and %s", w->err.text, place, says);
}

static void partitions_grow_only_where_order_holds(void **state)
{
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_lines(w, "lines.ndjson", 0, 100);
    write_lines(w, "other.ndjson", 0, 100);
    run_well(w, TOPICS_YAML("  lines: {partitions: 2}\n  spare: {partitions: 2}\n  out: {partitions: 2}\n"), NULL);
    check_refused(w, TOPICS_YAML("  lines: {partitions: 1}\n"), "neap.yaml:3:23: topic 'lines' has 2 partitions",
                  "cannot be fewer");
    check_refused(w, TOPICS_YAML("  lines: {partitions: 3}\n"), "neap.yaml:3:23: with 3 partitions instead of 2",
                  "write 'move_keys: true'");
    write_lines(w, "lines.ndjson", 100, 30000);
    w->stop_at_tick = true; /* something is left to process */
    assert_int_equal(open_node(w, TOPICS_YAML("  x: {partitions: 1}\n"), false), NEAP_OK);
    assert_int_equal(node_run(w->node, ticked, w, &w->err), NEAP_OK);
    uint64_t left = 0;
    for (uint32_t i = 0; i < 3; i++) {
        node_pipeline_figures(w->node, i, &f);
        left += i == 2 ? f.lag : 0;
    }
    close_node(w);
    w->stop_at_tick = false;
    if (left > 0)
        check_refused(w, TOPICS_YAML("  out: {partitions: 3, move_keys: true}\n"), "neap.yaml:3:21: pipeline 'back'",
                      "could overtake them: run it with 'partitions: 2'");
    run_well(w, TOPICS_YAML("  x: {partitions: 1}\n"), NULL);
    /* without keys nothing can move; where nothing is, nothing either; with consent, and all of it processed */
    write_lines(w, "lines.ndjson", 30000, 30100);
    write_lines(w, "other.ndjson", 100, 200);
    run_well(w,
             TOPICS_YAML("  keyless: {partitions: 3}\n  spare: {partitions: 3}\n"
                         "  lines: {partitions: 5, move_keys: true}\n  out: {partitions: 3, move_keys: true}\n"),
             &f);
    assert_int_equal(f.total.accepted, 30100);
    assert_int_equal(open_node(w, TOPICS_YAML("  x: {partitions: 1}\n"), true), NEAP_OK);
    assert_int_equal(topic_now(w, "keyless").partition_count, 3);
    assert_int_equal(topic_now(w, "spare").partition_count, 3);
    assert_int_equal(topic_now(w, "lines").partition_count, 5);
    close_node(w);
    char command[160];
    snprintf(command, sizeof command, "test $(wc -l < out.ndjson) = %u && test $(sort -u out.ndjson | wc -l) = %u",
             (unsigned)(30100 - bad_count(30100)), (unsigned)(30100 - bad_count(30100)));
    shell(w, command);
}

static void write_long_line(struct world *w, const char *name, const char *start, size_t size)
{
    FILE *f = fopen(scratch_path(&w->scratch, name), "a");
    assert_non_null(f);
    size_t written = (size_t)fprintf(f, "{\"id\":%s,\"text\":\"", start);
    for (; written < size - 2; written++)
        fputc('x', f);
    fprintf(f, "\"}\n");
    assert_int_equal(fclose(f), 0);
}

/* As large as the topic takes: through stages, a topic and into a database; and one byte more is a dead letter. */
static void the_largest_event_goes_all_the_way(void **state)
{
    static const char yaml[] =
        "node: {data: ./data, memory: 256MiB}\n"
        "topics: {in: {max_record: 3MiB}, out: {max_record: 3MiB}, small: {max_record: 2KiB, cleanup: compact}}\n"
        "pipelines:\n"
        "  in:\n"
        "    source: {file: {path: lines.ndjson}}\n"
        "    stages: [{map: {seen: \"true\"}}]\n"
        "    sink: {topic: {name: out, key: event.id}}\n"
        "  out:\n"
        "    source: {topic: out}\n"
        "    sink: {sqlite: {path: out.db, table: rows, columns: {id: event.id, size: '#event.text'}}}\n"
        "  small:\n"
        "    source: {topic: out}\n"
        "    sink: {topic: {name: small, key: event.none}}\n";
    struct world *w = *state;
    struct node_pipeline_figures f;
    write_long_line(w, "lines.ndjson", "1", 1000);
    write_long_line(w, "lines.ndjson", "2", (3 << 20) - 20); /* the stage adds to it */
    write_long_line(w, "lines.ndjson", "3", (3 << 20) + 1);
    write_long_line(w, "lines.ndjson", "4", 2 << 20);
    run_well(w, yaml, &f);
    assert_int_equal(f.total.accepted, 4);
    assert_int_equal(f.total.dead_lettered, 1);
    assert_int_equal(ask(w, "out.db", "SELECT count(*) FROM rows"), 3);
    assert_int_equal(ask(w, "out.db", "SELECT max(size) FROM rows"), (3 << 20) - 20 - 18);
    assert_int_equal(open_node(w, yaml, true), NEAP_OK);
    node_pipeline_figures(w->node, 2, &f); /* its events have no key there, and two of them are too large as well */
    assert_int_equal(f.total.dead_lettered, 3);
    close_node(w);
}

/* The share of a disk, and a size that is too small for it. */
static void the_disk_is_as_large_as_the_file_says(void **state)
{
    struct world *w = *state;
    struct log_figures figures;
    assert_int_equal(open_node(w, "node: {data: ./data, disk: 32MiB}\npipelines: {p: {source: {stdin: {}}}}\n", true),
                     NEAP_OK);
    log_figures(node_log(w->node), &figures);
    assert_int_equal(figures.disk_size, 32 << 20);
    close_node(w);
    shell(w, "rm -r data");
    assert_int_equal(open_node(w, "node: {data: ./data, disk: 3%}\npipelines: {p: {source: {stdin: {}}}}\n", true),
                     NEAP_OK);
    log_figures(node_log(w->node), &figures);
    assert_int_equal(figures.disk_size, io_dir_total_size(w->io, w->scratch.dir) / 100 * 3);
    close_node(w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        TEST(a_file_becomes_rows_once),
        TEST(a_node_that_is_stopped_goes_on_later),
        TEST(closing_without_running_is_fine),
        TEST(pipelines_feed_each_other),
        TEST(events_may_stay_in_their_topic),
        TEST(a_wiped_directory_under_a_live_database),
        TEST(a_database_of_yesterday),
        TEST(another_path_or_table),
        TEST(a_renamed_pipeline),
        TEST(a_new_name_is_a_new_pipeline),
        TEST(one_conflict_does_not_stop_the_others),
        TEST(a_missing_source_is_said),
        TEST(memory_that_does_not_add_up_is_refused),
        TEST(the_largest_event_is_as_large_as_said),
        TEST(two_pipelines_are_at_home_in_the_default),
        TEST(a_held_directory_is_said),
        TEST(topics_are_made_with_the_settings_for_what_they_are),
        TEST(what_is_written_changes_a_topic_and_what_is_not_stays),
        TEST(partitions_grow_only_where_order_holds),
        TEST(the_largest_event_goes_all_the_way),
        TEST(the_disk_is_as_large_as_the_file_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
