/* A node on the simulated door: any turn order, any failing call, the power cut anywhere. Afterwards it runs to its end, and
 * every line of the file is in exactly one place. The books are checked from the file, not from the node's figures alone. */
#include "check.h"

#include "base/must.h"
#include "io/sim.h"
#include "io/vfs.h"
#include "log/batch.h"
#include "node/node.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_COUNT 400u

enum place { ROW, NOWHERE, LETTER };

/* Every tenth line is filtered out, every hundredth is no JSON, every fiftieth lacks what the filter asks for. */
static enum place place_of(unsigned id)
{
    return id % 100 == 99 || id % 50 == 23 ? LETTER : id % 10 == 0 ? NOWHERE : ROW;
}

static unsigned count_of(enum place place)
{
    unsigned count = 0;
    for (unsigned i = 0; i < LINE_COUNT; i++)
        count += place_of(i) == place;
    return count;
}

#define HEAD_YAML                                                                    \
    "node: {data: /w/data, memory: 64MiB}\n"                                         \
    "topics: {commits: {partitions: 2}}\n"                                           \
    "pipelines:\n"                                                                   \
    "  commits:\n"                                                                   \
    "    source: {file: {path: /w/lines.ndjson}, key: event.author, id: event.id}\n" \
    "    stages: [{filter: event.n > 0}, {map: {twice: event.id * 2}}]\n"            \
    "    sink:\n"

static const char rows_yaml[] = HEAD_YAML "      sqlite: {path: /w/out.db, table: rows, key: [id],\n"
                                          "               columns: {id: event.id, author: event.author, "
                                          "twice: event.twice}}\n";
static const char lines_yaml[] = HEAD_YAML "      file: {path: /w/out.ndjson}\n";
/* What the filter does is done by a function, on an agent of its own. */
static const char handled_yaml[] = "node: {data: /w/data, memory: 64MiB}\n"
                                   "topics: {commits: {partitions: 2}}\n"
                                   "pipelines:\n"
                                   "  commits:\n"
                                   "    source: {file: {path: /w/lines.ndjson}, key: event.author, id: event.id}\n"
                                   "    stages: [{plugin: {symbol: judge}}, {map: {twice: event.id * 2}}]\n"
                                   "    sink:\n"
                                   "      sqlite: {path: /w/out.db, table: rows, key: [id],\n"
                                   "               columns: {id: event.id, author: event.author, "
                                   "twice: event.twice}}\n";
static const char *yaml = rows_yaml; /* of this test */

static enum stage_outcome judge(void *ctx, const struct handler_event *event, struct handler_call *call)
{
    char text[128], changed[160];
    unsigned id, author, n;
    must(event->json.size < sizeof text && !handler_call_cancelled(call));
    memcpy(text, event->json.at, event->json.size);
    text[event->json.size] = '\0';
    if (sscanf(text, "{\"id\":%u,\"author\":\"a%u\",\"n\":%u}", &id, &author, &n) != 3)
        return STAGE_FAIL;
    if (n == 0)
        return STAGE_DROP;
    int size = snprintf(changed, sizeof changed, "{\"author\":\"a%u\",\"id\":%u}", author, id);
    must(id % 3 == 0 || handler_call_emit(call, (struct bytes){ (uint8_t *)changed, (size_t)size }) == NEAP_OK);
    return STAGE_PASS;
}

static void write_lines(struct io *io)
{
    struct io_file *file;
    static char text[LINE_COUNT * 64];
    size_t size = 0;
    for (unsigned i = 0; i < LINE_COUNT; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "{\"id\":%u,\"author\":\"a%u\",\"%s\":%u%s\n", i,
                                 i % 5, i % 50 == 23 ? "m" : "n", i % 10, i % 100 == 99 ? "" : "}");
    assert_int_equal(io_dir_make(io, "/w", NULL), NEAP_OK);
    assert_int_equal(io_file_open(io, "/w/lines.ndjson", IO_READ | IO_WRITE | IO_CREATE, &file, NULL), NEAP_OK);
    struct bytes part = { (const uint8_t *)text, size };
    assert_int_equal(io_file_write(file, &part, 1, 0), NEAP_OK);
    assert_int_equal(io_file_sync(file), NEAP_OK);
    io_file_close(&file);
    assert_int_equal(io_dir_sync(io, "/w", NULL), NEAP_OK);
    assert_int_equal(io_dir_sync(io, "/", NULL), NEAP_OK);
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
        if (status == NEAP_OK) {
            struct node_pipeline_figures f;
            node_pipeline_figures(node, 0, &f);
            assert_int_equal(f.total.accepted, LINE_COUNT);
            assert_int_equal(f.total.filtered, count_of(NOWHERE));
            assert_int_equal(f.total.delivered, count_of(ROW));
            assert_int_equal(f.total.dead_lettered, count_of(LETTER));
            assert_int_equal(f.in_flight, 0);
        }
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
    assert_int_equal(ask(db, "SELECT count(*) FROM rows"), count_of(ROW));
    assert_int_equal(ask(db, "SELECT count(DISTINCT id) FROM rows"), count_of(ROW));
    assert_int_equal(ask(db, "SELECT count(*) FROM rows WHERE twice <> 2 * id OR id % 10 = 0 OR id % 100 = 99 OR "
                             "id % 50 = 23"),
                     0);
    assert_int_equal(ask(db, "SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY author ORDER BY rowid) AS "
                             "before FROM rows) WHERE before > id"),
                     0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    io_vfs_unregister("look");
}

static unsigned number_after(const char *line, const char *name)
{
    const char *at = strstr(line, name);
    assert_non_null(at);
    return (unsigned)strtoul(at + strlen(name), NULL, 10);
}

static void check_lines(struct io *io)
{
    static char text[LINE_COUNT * 128];
    struct io_file *file;
    size_t size = 0;
    unsigned seen[LINE_COUNT] = { 0 }, last[5] = { 0 };
    assert_int_equal(io_file_open(io, "/w/out.ndjson", IO_READ, &file, NULL), NEAP_OK);
    assert_int_equal(io_file_read(file, text, sizeof text - 1, 0, &size), NEAP_OK);
    io_file_close(&file);
    text[size] = '\0';
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        unsigned id = number_after(line, "\"id\":");
        assert_true(id < LINE_COUNT && number_after(line, "\"twice\":") == 2 * id);
        assert_true(id >= last[id % 5]); /* in order per key */
        last[id % 5] = id;
        seen[id]++;
    }
    for (unsigned id = 0; id < LINE_COUNT; id++) {
        if (seen[id] != (place_of(id) == ROW))
            fail_msg("line %u is there %u times", id, seen[id]);
    }
}

static void look_at_letters(struct log *log, struct log_partition at, unsigned *seen)
{
    struct log_reader *reader;
    struct log_batch from;
    struct error err = { 0 };
    assert_int_equal(log_reader_open(log, at, (log_offset){ 0 }, 65536, &reader, &err), NEAP_OK);
    while (log_reader_next(reader, &from, &err) == NEAP_OK) {
        struct batch batch;
        struct record record;
        assert_int_equal(batch_open(from.bytes, true, &batch), NEAP_OK);
        struct batch_walk walk;
        assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
        while (batch_next(&walk, &record) == NEAP_OK) {
            char text[16] = { 0 };
            must(record.value.size > 6);
            memcpy(text, record.value.at + 6, record.value.size - 6 < 15 ? record.value.size - 6 : 15);
            unsigned id = (unsigned)strtoul(text, NULL, 10);
            assert_true(id < LINE_COUNT);
            seen[id]++;
        }
    }
    log_reader_close(&reader);
}

/* Every event that gave up has one letter, and nobody else has. */
static void check_letters(struct io *io)
{
    struct log_options options = { .path = "/w/data", .disk_size = 32 << 20 };
    struct log *log;
    struct log_topic topic;
    struct error err = { 0 };
    unsigned seen[LINE_COUNT] = { 0 };
    assert_int_equal(log_open(io, &options, &log, &err), NEAP_OK);
    assert_int_equal(log_topic_find(log, "commits.dead", &topic), NEAP_OK);
    look_at_letters(log, (struct log_partition){ topic.id, 0 }, seen);
    for (unsigned id = 0; id < LINE_COUNT; id++) {
        if (seen[id] != (place_of(id) == LETTER))
            fail_msg("line %u has %u letters", id, seen[id]);
    }
    log_close(&log);
}

static void run_to_the_end(struct io *io)
{
    struct error err = { 0 };
    if (run(io, &err) != NEAP_OK)
        fail_msg("%s", err.text);
    if (yaml != lines_yaml)
        check_rows(io);
    else
        check_lines(io);
    check_letters(io);
}

static struct io *open_sim(uint64_t seed, struct sim_disk *disk)
{
    struct io *io = sim_open(&(struct sim_options){ .seed = seed, .disk = disk });
    assert_non_null(io);
    return io;
}

static void any_order_of_turns(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct io *io = open_sim(seed, NULL);
        write_lines(io);
        run_to_the_end(io);
        run_to_the_end(io);
        sim_close(&io);
    }
}

static void the_same_seed_is_the_same_run(void **state)
{
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        struct io *io = open_sim(7, NULL);
        write_lines(io);
        run_to_the_end(io);
        hashes[i] = sim_trace_hash(io);
        sim_close(&io);
    }
    assert_true(hashes[0] == hashes[1]);
}

/* The n-th call of a kind fails, for every n until a run meets none. The node says so or goes on; it never lies. */
static void sweep(enum sim_call call, enum neap_status failure, uint64_t stride)
{
    bool hit = true;
    for (uint64_t n = 1; hit; n += stride) {
        struct error err = { 0 };
        struct io *io = open_sim(n, NULL);
        write_lines(io);
        sim_fault_add(io, &(struct sim_fault){ .call = call, .nth = n, .status = failure });
        enum neap_status status = run(io, &err);
        hit = sim_fault_hits(io) > 0;
        assert_true(status == NEAP_OK || err.text[0] != '\0');
        if (status != NEAP_OK && status != failure) /* "closed" is what a stopped log says, and no reason */
            fail_msg("call %llu: %s: %s", (unsigned long long)n, status_name(status), err.text);
        assert_true(hit || status == NEAP_OK);
        sim_faults_clear(io);
        run_to_the_end(io);
        sim_close(&io);
    }
}

static void a_failing_sync(void **state)
{
    sweep(SIM_SYNC, NEAP_IO, 1);
}

static void a_failing_write(void **state)
{
    sweep(SIM_WRITE, NEAP_IO, 5);
}

static void a_full_disk(void **state)
{
    sweep(SIM_WRITE, NEAP_FULL, 7);
}

/* Partitions take turns in one file: where one of them cannot commit, those behind it are not waited for. */
static void a_failing_sync_beside_a_file(void **state)
{
    yaml = lines_yaml;
    sweep(SIM_SYNC, NEAP_IO, 1);
    yaml = rows_yaml;
}

static uint32_t cut_one_run(uint64_t seed, uint32_t cut_count)
{
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    struct io *io = open_sim(seed, disk);
    write_lines(io);
    uint32_t first = sim_disk_point(disk), count = 0;
    run_to_the_end(io);
    sim_close(&io);
    uint32_t last = sim_disk_point(disk);
    for (uint32_t point = first; point < last; point += 1 + (last - first) / cut_count) {
        struct sim_disk *cut = sim_disk_state(disk, point, chance(&seed) >> 8, false);
        io = open_sim(point, cut);
        run_to_the_end(io);
        sim_close(&io);
        sim_disk_free(&cut);
        count++;
    }
    sim_disk_free(&disk);
    return count;
}

static void the_power_cut_anywhere(void **state)
{
    uint32_t count = 0;
    for (uint64_t seed = 1; seed <= 8; seed++)
        count += cut_one_run(seed, 60);
    assert_true(count > 300);
}

static void a_handler_in_any_order_of_turns(void **state)
{
    yaml = handled_yaml;
    any_order_of_turns(state);
    the_same_seed_is_the_same_run(state);
    yaml = rows_yaml;
}

static void a_handler_and_a_failing_sync(void **state)
{
    yaml = handled_yaml;
    sweep(SIM_SYNC, NEAP_IO, 1);
    yaml = rows_yaml;
}

static void a_handler_and_the_power_cut_anywhere(void **state)
{
    uint32_t count = 0;
    yaml = handled_yaml;
    for (uint64_t seed = 100; seed < 103; seed++)
        count += cut_one_run(seed, 60);
    assert_true(count > 100);
    yaml = rows_yaml;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_turns),
        cmocka_unit_test(the_same_seed_is_the_same_run),
        cmocka_unit_test(a_failing_sync),
        cmocka_unit_test(a_failing_write),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(a_failing_sync_beside_a_file),
        cmocka_unit_test(the_power_cut_anywhere),
        cmocka_unit_test(a_handler_in_any_order_of_turns),
        cmocka_unit_test(a_handler_and_a_failing_sync),
        cmocka_unit_test(a_handler_and_the_power_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
