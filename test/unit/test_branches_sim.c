/* Branches on the simulated door: any turn order, any failing sync, the power cut anywhere. Afterwards each branch has every event
 * once, an event that became several is there whole, and every ledger adds up. */
#include "check.h"

#include "base/must.h"
#include "io/sim.h"
#include "io/vfs.h"
#include "node/node.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_COUNT 150u
#define KEY_COUNT  5u

#define SOURCE                               \
    "node: {data: /w/data, memory: 96MiB}\n" \
    "topics: {commits: {partitions: 2}}\n"   \
    "pipelines:\n"                           \
    "  commits:\n"                           \
    "    source: {file: {path: /w/lines.ndjson}, key: event.author, id: event.id}\n"
#define BRANCHES                                                                                             \
    "    fanout:\n"                                                                                          \
    "      - name: rows\n"                                                                                   \
    "        stages:\n"                                                                                      \
    "          - lua: |\n"                                                                                   \
    "              function process(event)\n"                                                                \
    "                return {id = event.id, part = 1, author = event.author}, {id = event.id, part = 2}\n"   \
    "              end\n"                                                                                    \
    "        sink: {sqlite: {path: /w/out.db, table: rows, key: [id, part], columns: [id, part, author]}}\n" \
    "      - name: parts\n"                                                                                  \
    "        route:\n"                                                                                       \
    "          - {name: odd, if: event.id % 2 == 1, sink: {file: /w/odd.ndjson}}\n"                          \
    "          - {name: rest, sink: {file: /w/rest.ndjson}}\n"

/* Every tenth line is filtered out, in front of the branches or by a function, behind which there is a topic between. */
static const char shared_yaml[] = SOURCE "    stages: [filter: event.id % 10 ~= 0]\n" BRANCHES;
static const char out_yaml[] = SOURCE "    stages: [plugin: {symbol: judge}]\n" BRANCHES;
static const char *yaml; /* of this test */

static bool goes_on(unsigned id)
{
    return id % 10 != 0;
}

static unsigned count_of(unsigned of, unsigned rest)
{
    unsigned count = 0;
    for (unsigned i = 0; i < LINE_COUNT; i++)
        count += goes_on(i) && i % of == rest;
    return count;
}

static enum stage_outcome judge(void *ctx, const struct handler_event *event, struct handler_call *call)
{
    must(event->json.size > 6 && !handler_call_cancelled(call));
    return goes_on((unsigned)strtoul((const char *)event->json.at + 6, NULL, 10)) ? STAGE_PASS : STAGE_DROP;
}

static void write_lines(struct io *io)
{
    struct io_file *file;
    static char text[LINE_COUNT * 64];
    size_t size = 0;
    for (unsigned i = 0; i < LINE_COUNT; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "{\"id\":%u,\"author\":\"a%u\"}\n", i, i % KEY_COUNT);
    assert_int_equal(io_dir_make(io, "/w", NULL), NEAP_OK);
    assert_int_equal(io_file_open(io, "/w/lines.ndjson", IO_READ | IO_WRITE | IO_CREATE, &file, NULL), NEAP_OK);
    struct bytes part = { (const uint8_t *)text, size };
    assert_int_equal(io_file_write(file, &part, 1, 0), NEAP_OK);
    assert_int_equal(io_file_sync(file), NEAP_OK);
    io_file_close(&file);
    assert_int_equal(io_dir_sync(io, "/w", NULL), NEAP_OK);
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
}

static void check_figures(struct node *node)
{
    unsigned on = count_of(1, 0), accepted = yaml == shared_yaml ? LINE_COUNT : on;
    const struct {
        const char *name;
        unsigned accepted, delivered, produced;
    } wanted[] = { { "commits", LINE_COUNT, yaml == shared_yaml ? LINE_COUNT : on, yaml == shared_yaml ? 3 * on : on },
                   { "commits.rows", accepted, on, 2 * on },
                   { "commits.parts", accepted, accepted, on },
                   { "commits.parts.odd", accepted, count_of(2, 1), count_of(2, 1) },
                   { "commits.parts.rest", accepted, count_of(2, 0), count_of(2, 0) } };
    assert_int_equal(node_pipeline_count(node), COUNT_OF(wanted));
    for (uint32_t i = 0; i < COUNT_OF(wanted); i++) {
        struct node_pipeline_figures f;
        node_pipeline_figures(node, i, &f);
        assert_string_equal(f.name, wanted[i].name);
        assert_int_equal(f.total.accepted, wanted[i].accepted);
        assert_int_equal(f.total.delivered, wanted[i].delivered);
        assert_int_equal(f.total.produced, wanted[i].produced);
        assert_int_equal(f.total.accepted, f.total.filtered + f.total.delivered + f.total.dead_lettered);
        assert_int_equal(f.total.dead_lettered + f.in_flight + f.lag, 0);
    }
}

static enum neap_status run(struct io *io, struct error *err)
{
    struct config *config;
    struct config_messages *messages;
    struct node *node;
    enum neap_status status = config_parse(io, "/w/neap.yaml", bytes_of_text(yaml), &config, &messages, err);
    if (status != NEAP_OK)
        fail_msg("%s", messages->count > 0 ? messages->list[0].text : err->text);
    config_messages_free(&messages);
    config->disk.size = 32 << 20;
    struct node_handler handlers[] = { { "judge", judge, NULL } };
    struct node_options options = {
        .config = config, .until_idle = true, .handlers = handlers, .handler_count = COUNT_OF(handlers)
    };
    status = node_open(io, &options, &node, err);
    if (status == NEAP_OK) {
        status = node_run(node, NULL, NULL, err);
        if (status == NEAP_OK)
            check_figures(node);
        node_close(&node);
    }
    config_free(&config);
    return status;
}

static int64_t ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    int64_t answer = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : -1;
    sqlite3_finalize(s);
    return answer;
}

static void check_rows(struct io *io)
{
    sqlite3 *db;
    assert_int_equal(io_vfs_register(io, "look", NULL), NEAP_OK);
    assert_int_equal(sqlite3_open_v2("/w/out.db", &db, SQLITE_OPEN_READWRITE, "look"), SQLITE_OK);
    assert_int_equal(ask(db, "SELECT count(*) FROM rows"), 2 * count_of(1, 0));
    assert_int_equal(ask(db, "SELECT count(*) FROM (SELECT id FROM rows GROUP BY id HAVING count(*) = 2)"),
                     count_of(1, 0));
    assert_int_equal(ask(db, "SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY author ORDER BY rowid) AS "
                             "before FROM rows WHERE part = 1) WHERE before > id"),
                     0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    io_vfs_unregister("look");
}

static void check_file(struct io *io, const char *path, unsigned rest)
{
    static char text[LINE_COUNT * 64];
    struct io_file *file;
    size_t size = 0;
    unsigned seen[LINE_COUNT] = { 0 }, last[KEY_COUNT] = { 0 };
    assert_int_equal(io_file_open(io, path, IO_READ, &file, NULL), NEAP_OK);
    assert_int_equal(io_file_read(file, text, sizeof text - 1, 0, &size), NEAP_OK);
    io_file_close(&file);
    text[size] = '\0';
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        unsigned id = (unsigned)strtoul(line + 6, NULL, 10);
        assert_true(id < LINE_COUNT && id >= last[id % KEY_COUNT]); /* in order per key */
        last[id % KEY_COUNT] = id;
        seen[id]++;
    }
    for (unsigned id = 0; id < LINE_COUNT; id++) {
        if (seen[id] != (goes_on(id) && id % 2 == rest))
            fail_msg("%s: line %u is there %u times", path, id, seen[id]);
    }
}

static void run_to_the_end(struct io *io)
{
    struct error err = { 0 };
    if (run(io, &err) != NEAP_OK)
        fail_msg("%s", err.text);
    check_rows(io);
    check_file(io, "/w/odd.ndjson", 1);
    check_file(io, "/w/rest.ndjson", 0);
}

static struct io *open_sim(uint64_t seed, struct sim_disk *disk)
{
    struct io *io = sim_open(&(struct sim_options){ .seed = seed, .disk = disk });
    assert_non_null(io);
    return io;
}

static void in_any_order_of_turns(void)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct io *io = open_sim(seed, NULL);
        write_lines(io);
        run_to_the_end(io);
        run_to_the_end(io);
        sim_close(&io);
    }
}

static void with_any_sync_failing(void)
{
    bool hit = true;
    for (uint64_t n = 1; hit; n += 2) {
        struct error err = { 0 };
        struct io *io = open_sim(n, NULL);
        write_lines(io);
        sim_fault_add(io, &(struct sim_fault){ .call = SIM_SYNC, .nth = n, .status = NEAP_IO });
        enum neap_status status = run(io, &err);
        hit = sim_fault_hits(io) > 0;
        assert_true(status == NEAP_OK || err.text[0] != '\0');
        sim_faults_clear(io);
        run_to_the_end(io);
        sim_close(&io);
    }
}

static void with_a_power_cut_anywhere(uint64_t seed)
{
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    struct io *io = open_sim(seed, disk);
    write_lines(io);
    uint32_t first = sim_disk_point(disk), count = 0;
    run_to_the_end(io);
    sim_close(&io);
    uint32_t last = sim_disk_point(disk);
    for (uint32_t point = first; point < last; point += 1 + (last - first) / 40) {
        struct sim_disk *cut = sim_disk_state(disk, point, chance(&seed) >> 8, false);
        io = open_sim(point, cut);
        run_to_the_end(io);
        sim_close(&io);
        sim_disk_free(&cut);
        count++;
    }
    assert_true(count > 25);
    sim_disk_free(&disk);
}

static void branches_that_share_stages(void **state)
{
    yaml = shared_yaml;
    in_any_order_of_turns();
    with_any_sync_failing();
    with_a_power_cut_anywhere(1);
    with_a_power_cut_anywhere(2);
}

static void branches_behind_a_topic_of_their_own(void **state)
{
    yaml = out_yaml;
    in_any_order_of_turns();
    with_any_sync_failing();
    with_a_power_cut_anywhere(3);
    with_a_power_cut_anywhere(4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_that_share_stages),
        cmocka_unit_test(branches_behind_a_topic_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
