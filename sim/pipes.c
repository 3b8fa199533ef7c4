#include "pipes.h"
#include "base/must.h"
#include "io/vfs.h"
#include "node/node.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_COUNT_MAX 4096u
#define AUTHOR_COUNT   5u
#define SOURCE         "/in/lines.ndjson"
#define DATABASE       "/out/rows.db"
#define DEEPER_ONE_IN  12u
#define DEEPER_POINTS  4u /* of the life after a cut */
#define CHECK_VFS      "neap-sim-check"

struct pipes {
    const struct cut_options *options;
    struct cut_figures *figures;
    uint32_t line_count;
    char yaml[1024];
};

/* ---- what goes in, and what must come out: line i ---- */

enum fate_of_line { LANDS, FILTERED, BROKEN };

static enum fate_of_line fate_of(uint32_t i)
{
    return i % 9 == 8 ? BROKEN : i % 5 == 4 ? FILTERED : LANDS;
}

static uint32_t count_of(const struct pipes *pipes, enum fate_of_line fate)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pipes->line_count; i++)
        count += fate_of(i) == fate;
    return count;
}

static size_t line_text(char *to, size_t size, uint32_t i)
{
    int written = snprintf(to, size, "{\"id\":%u,\"author\":\"a%u\",\"files\":%u,\"added\":%u%s\n", i, i % AUTHOR_COUNT,
                           fate_of(i) == FILTERED ? 0 : i + 1, i * 3, fate_of(i) == BROKEN ? "" : "}");
    must(written > 0 && (size_t)written < size);
    return (size_t)written;
}

static const char yaml_text[] = "node: {data: /data, memory: 40MiB}\n"
                                "topics: {commits: {partitions: %u}}\n"
                                "pipelines:\n"
                                "  commits:\n"
                                "    source:\n"
                                "      file: {path: " SOURCE "}\n"
                                "      key: event.author\n"
                                "      id: event.id\n"
                                "    stages:\n"
                                "      - filter: event.files > 0\n"
                                "      - map: {double: event.added * 2}\n"
                                "    sink:\n"
                                "      sqlite: {path: " DATABASE ", table: rows, key: [id], mode: insert,\n"
                                "               columns: {id: event.id, author: event.author, double: event.double}}\n";

static bool put_file(struct io *io, const struct pipes *pipes, struct error *err)
{
    struct io_file *file = NULL;
    enum neap_status status = io_dir_make(io, "/in", err);
    if (status == NEAP_OK)
        status = io_dir_make(io, "/out", err);
    if (status == NEAP_OK)
        status = io_file_open(io, SOURCE, IO_WRITE | IO_CREATE, &file, err);
    uint64_t position = 0;
    for (uint32_t i = 0; i < pipes->line_count && status == NEAP_OK; i++) {
        char line[256];
        size_t size = line_text(line, sizeof(line), i);
        status = io_file_write(file, &(struct bytes){ (const uint8_t *)line, size }, 1, position);
        position += size;
    }
    if (status == NEAP_OK)
        status = io_file_sync(file);
    io_file_close(&file);
    if (status == NEAP_OK)
        status = io_dir_sync(io, "/in", err);
    return status == NEAP_OK;
}

/* ---- what came out ---- */

struct looked {
    uint32_t rows[LINE_COUNT_MAX];
    int64_t last_of_author[AUTHOR_COUNT];
};

static enum verdict look_at_row(struct pipes *pipes, sqlite3_stmt *row, struct looked *looked, struct finding *finding)
{
    int64_t id = sqlite3_column_int64(row, 0), twice = sqlite3_column_int64(row, 2);
    const char *author = (const char *)sqlite3_column_text(row, 1);
    if (id < 0 || id >= pipes->line_count || fate_of((uint32_t)id) != LANDS)
        return finding_set(finding, VERDICT_INVENTED, "a row of line %lld, which has none", (long long)id);
    if (author == NULL || author[0] != 'a' || atoi(author + 1) != id % AUTHOR_COUNT || twice != id * 6)
        return finding_set(finding, VERDICT_WRONG, "the row of line %lld says '%s', %lld", (long long)id,
                           author == NULL ? "" : author, (long long)twice);
    if (looked->rows[id]++ > 0)
        return finding_set(finding, VERDICT_INVENTED, "two rows of line %lld", (long long)id);
    int64_t *last = &looked->last_of_author[id % AUTHOR_COUNT];
    if (id < *last)
        return finding_set(finding, VERDICT_ORDER, "line %lld landed after line %lld of the same author", (long long)id,
                           (long long)*last);
    *last = id;
    return VERDICT_GOOD;
}

static enum verdict look_at_rows(struct pipes *pipes, sqlite3 *database, struct finding *finding)
{
    static struct looked looked;
    memset(&looked, 0, sizeof(looked));
    sqlite3_stmt *rows = NULL;
    if (sqlite3_prepare_v2(database, "SELECT id, author, double FROM rows ORDER BY rowid", -1, &rows, NULL) !=
        SQLITE_OK)
        return finding_set(finding, VERDICT_LOST, "no rows: %s", sqlite3_errmsg(database));
    enum verdict verdict = VERDICT_GOOD;
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW && verdict == VERDICT_GOOD)
        verdict = look_at_row(pipes, rows, &looked, finding);
    if (verdict == VERDICT_GOOD && code != SQLITE_DONE)
        verdict = finding_set(finding, VERDICT_LOST, "reading rows: %s", sqlite3_errmsg(database));
    sqlite3_finalize(rows);
    for (uint32_t i = 0; i < pipes->line_count && verdict == VERDICT_GOOD; i++) {
        if (fate_of(i) == LANDS && looked.rows[i] == 0)
            verdict = finding_set(finding, VERDICT_LOST, "no row of line %u", i);
    }
    return verdict;
}

static enum verdict look_at_database(struct io *io, struct pipes *pipes, struct finding *finding)
{
    sqlite3 *database = NULL;
    enum neap_status status = io_vfs_register(io, CHECK_VFS, NULL);
    must(status == NEAP_OK);
    enum verdict verdict;
    if (sqlite3_open_v2(DATABASE, &database, SQLITE_OPEN_READWRITE, CHECK_VFS) != SQLITE_OK)
        verdict = finding_set(finding, VERDICT_LOST, "no database: %s", sqlite3_errmsg(database));
    else
        verdict = look_at_rows(pipes, database, finding);
    sqlite3_close(database);
    io_vfs_unregister(CHECK_VFS);
    return verdict;
}

static enum verdict look_at_figures(struct pipes *pipes, struct node *node, struct finding *finding)
{
    struct node_pipeline_figures f;
    node_pipeline_figures(node, 0, &f);
    uint32_t broken = count_of(pipes, BROKEN), filtered = count_of(pipes, FILTERED), lands = count_of(pipes, LANDS);
    if (f.stopped)
        return finding_set(finding, VERDICT_CLOSED, "the pipeline stopped: %s", f.error.text);
    if (f.total.accepted != pipes->line_count || f.total.filtered != filtered || f.total.delivered != lands ||
        f.total.dead_lettered != broken || f.in_flight != 0)
        return finding_set(finding, VERDICT_WRONG,
                           "accepted %llu of %u, filtered %llu of %u, delivered %llu of %u, dead letters %llu of %u",
                           (unsigned long long)f.total.accepted, pipes->line_count,
                           (unsigned long long)f.total.filtered, filtered, (unsigned long long)f.total.delivered, lands,
                           (unsigned long long)f.total.dead_lettered, broken);
    struct log_topic dead;
    log_offset end = { 0 };
    if (log_topic_find(node_log(node), "commits.dead", &dead) == NEAP_OK) {
        for (uint32_t p = 0; p < dead.partition_count; p++) {
            log_offset part = { 0 };
            log_partition_end(node_log(node), (struct log_partition){ dead.id, p }, &part);
            end.n += part.n;
        }
    }
    if (end.n != broken)
        return finding_set(finding, VERDICT_WRONG, "%llu dead letters for %u broken lines", (unsigned long long)end.n,
                           broken);
    return VERDICT_GOOD;
}

/* ---- one life of the node ---- */

static enum verdict node_lives(struct io *io, struct pipes *pipes, struct finding *finding)
{
    struct config *config = NULL;
    struct config_messages *messages = NULL;
    struct node *node = NULL;
    struct error err = { .text = "" };
    if (config_parse(io, "/neap.yaml", bytes_of_text(pipes->yaml), &config, &messages, &err) != NEAP_OK) {
        finding_set(finding, VERDICT_CLOSED, "%s %s", err.text, messages->count > 0 ? messages->list[0].text : "");
        config_messages_free(&messages);
        return finding->verdict;
    }
    config_messages_free(&messages);
    config->disk.size = 256u << 20;
    struct node_options options = { .config = config, .until_idle = true };
    if (node_open(io, &options, &node, &err) != NEAP_OK || node_run(node, NULL, NULL, &err) != NEAP_OK)
        finding_set(finding, VERDICT_CLOSED, "%s", err.text);
    else
        look_at_figures(pipes, node, finding);
    node_close(&node);
    config_free(&config);
    if (finding->verdict == VERDICT_GOOD)
        look_at_database(io, pipes, finding);
    return finding->verdict;
}

static enum verdict live(struct pipes *pipes, struct sim_disk *disk, uint64_t seed, bool calm, bool first,
                         struct finding *finding)
{
    struct sim_options options = { .seed = seed, .disk = disk, .calm = calm, .trace = pipes->options->trace };
    struct error err = { .text = "" };
    *finding = (struct finding){ .verdict = VERDICT_GOOD };
    struct io *io = sim_open(&options);
    int64_t begun = io_now(io).ns;
    if (first && !put_file(io, pipes, &err))
        finding_set(finding, VERDICT_CLOSED, "the input: %s", err.text);
    else
        node_lives(io, pipes, finding);
    pipes->figures->virtual_ns += io_now(io).ns - begun;
    pipes->figures->hash = sim_mix(pipes->figures->hash ^ sim_trace_hash(io));
    sim_close(&io);
    pipes->figures->verdicts[finding->verdict]++;
    if (finding->verdict == VERDICT_GOOD)
        return VERDICT_GOOD;
    pipes->figures->finding = *finding;
    pipes->figures->place = cut_place;
    return finding->verdict;
}

/* ---- cuts ---- */

static bool cut_points(struct pipes *pipes, struct sim_disk *disk, uint64_t seed, uint64_t states_max, uint32_t from);

static bool one_state(struct pipes *pipes, struct sim_disk *disk, uint64_t life_seed, uint32_t point, uint64_t state)
{
    uint32_t depth = cut_place.depth;
    must(depth < CUT_DEPTH_MAX);
    cut_place.point[depth] = point;
    cut_place.state[depth] = state;
    cut_place.depth = depth + 1;
    uint64_t seed = sim_mix(life_seed ^ sim_mix(state + 1) ^ (uint64_t)point << 20);
    const struct place *only = pipes->options->only;
    bool deeper =
        depth + 1 < CUT_DEPTH_MAX && (only != NULL ? only->depth > depth + 1 : sim_mix(seed + 9) % DEEPER_ONE_IN == 0);
    struct finding finding;
    struct sim_disk *cut = sim_disk_state(disk, point, state, deeper);
    bool calm = !deeper && seed % 4 != 0; /* the same whether it is looked for or replayed: chance decides */
    if (only != NULL && only->depth == depth + 1)
        calm = sim_mix(seed + 9) % DEEPER_ONE_IN != 0 && seed % 4 != 0;
    pipes->figures->states++;
    bool good = live(pipes, cut, seed, calm, false, &finding) == VERDICT_GOOD;
    if (good && deeper)
        good = cut_points(pipes, cut, seed, 1, 0);
    sim_disk_free(&cut);
    cut_place.depth = depth;
    return good;
}

static bool one_point(struct pipes *pipes, struct sim_disk *disk, uint64_t seed, uint32_t point, uint64_t states_max)
{
    uint64_t count = sim_disk_state_count(disk, point);
    bool good = true;
    pipes->figures->points++;
    for (uint64_t i = 0; i < count && i < states_max && good; i++)
        good = one_state(pipes, disk, seed, point, count <= states_max ? i : sim_mix(seed + i * 3 + point) >> 12);
    return good;
}

/* At depth 0 every point that matters; in the lives after a cut a few. */
static bool cut_points(struct pipes *pipes, struct sim_disk *disk, uint64_t seed, uint64_t states_max, uint32_t from)
{
    const struct place *only = pipes->options->only;
    uint32_t depth = cut_place.depth, end = sim_disk_point(disk);
    if (only != NULL && only->depth > depth)
        return one_state(pipes, disk, seed, only->point[depth], only->state[depth]);
    uint64_t chance = sim_mix(seed + 11);
    bool good = true;
    for (uint32_t i = 0; depth > 0 && i < DEEPER_POINTS && good; i++)
        good = one_point(pipes, disk, seed, sim_below(&chance, end + 1), states_max);
    for (uint32_t point = from; depth == 0 && point <= end && good; point++) {
        if (pipes->options->enough != NULL && pipes->options->enough(pipes->options->ctx))
            return true;
        if (sim_disk_point_matters(disk, point))
            good = one_point(pipes, disk, seed, point, states_max);
    }
    return good;
}

/* The input is there and durable before anything else happens: cuts begin after it. */
static uint32_t input_ends(const struct pipes *pipes)
{
    return 4 + 1 + pipes->line_count + 2 + 1; /* two directories, a name, its lines, a sync, its directory's */
}

bool pipes_run(const struct cut_options *options, struct cut_figures *figures)
{
    struct pipes pipes = { .options = options, .figures = figures };
    must(options->unit_count <= LINE_COUNT_MAX);
    pipes.line_count = options->unit_count;
    snprintf(pipes.yaml, sizeof(pipes.yaml), yaml_text, 1 + (uint32_t)(options->seed % 3));
    struct sim_disk *disk = sim_disk_new(&(struct sim_disk_options){ .record = true });
    struct finding finding;
    cut_place = (struct place){ .depth = 0 };
    figures->seeds++;
    figures->lives++;
    bool good = live(&pipes, disk, options->seed, false, true, &finding) == VERDICT_GOOD &&
                cut_points(&pipes, disk, options->seed, options->states_max, input_ends(&pipes));
    sim_disk_free(&disk);
    return good;
}
