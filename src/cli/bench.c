/* bench.c - neap bench: durable appends of one process, beside a bare loop that writes and syncs the same bytes.
 *
 * At full load: as many batches on their way as the log lets in, then a bare loop with as many bytes per sync, in the same
 * directory. The ratio is what counts: it says what the journal costs on this disk, whatever this disk is. The times are of
 * one batch alone on its way. bench/bench_log.c tells the same story with more of everything. */
#include "base/histogram.h"
#include "base/must.h"
#include "cli/cli.h"
#include "log/batch.h"
#include "log/log.h"
#include <stdio.h>
#include <stdlib.h>

#define BENCH_FOLDER        "bench.neap-data"
#define BENCH_DISK_SIZE     (1u << 30)
#define BARE_SIZE           (64u << 20)
#define BENCH_SNAPSHOT_SIZE (32u << 20) /* often, so that dead files can soon be used again */
#define BENCH_BATCH_SIZE    (2u << 20)
#define BENCH_TOPIC         "bench"
#define INFLIGHT_MAX        2048u
#define SLICE_SIZE          (BENCH_DISK_SIZE / 4) /* appended to one topic, before it is deleted and its files used again */

struct slot {
    struct log_unit unit; /* first: a unit's slot is where the unit is */
    struct log_op op;
};

struct bench {
    struct cli *cli;
    char folder[4096];
    int64_t ns; /* per measurement */
    bool ours;  /* what is in the folder came from us */
    struct log *log;
    struct log_client *client, *house; /* appends; makes and deletes topics, also on a full disk */
    struct log_topic topic;            /* a new one for each measurement: the files of the one before are used again */
    uint32_t topic_count;
    struct io_file *bare;
    uint8_t *room, *value;
    struct io_agent agent; /* the producer, while it is measured */
    struct slot slots[INFLIGHT_MAX];
    uint32_t free_slots[INFLIGHT_MAX], free_count, inflight_max;
    struct bytes batch;
    uint32_t batch_count;
    mono_time end, now;
    mono_time submitted;     /* the one on its way, where there is one alone */
    uint64_t done_count;     /* batches */
    enum neap_status status; /* the first that was not OK */
    struct histogram latency;
};

static struct bytes build(struct bench *b, uint32_t event_size, uint32_t batch_count)
{
    struct batch_builder builder;
    struct record record = { .value = { b->value, event_size }, .time_ms = io_wall(b->cli->io).ms };
    batch_begin(&builder, b->room, BENCH_BATCH_SIZE);
    for (uint32_t i = 0; i < batch_count; i++) {
        enum neap_status status = batch_add(&builder, &record, NULL, 0);
        must(status == NEAP_OK);
    }
    return batch_end(&builder);
}

/* ---- appending ---- */

static void appended(struct log_unit *unit, enum neap_status status)
{
    struct bench *b = unit->ctx;
    b->free_slots[b->free_count++] = (uint32_t)((struct slot *)unit - b->slots);
    b->done_count++;
    if (b->status == NEAP_OK)
        b->status = status;
    if (b->inflight_max == 1)
        histogram_add(&b->latency, (uint64_t)(b->now.ns - b->submitted.ns));
}

static bool append(struct bench *b)
{
    if (b->free_count == 0)
        return false;
    struct slot *slot = &b->slots[b->free_slots[b->free_count - 1]];
    slot->op = (struct log_op){
        .kind = LOG_APPEND, .target = { b->topic.id, 0 }, .count = b->batch_count, .payload = b->batch
    };
    slot->unit = (struct log_unit){ .ops = &slot->op, .count = 1, .done = appended, .ctx = b };
    enum neap_status status = log_submit(b->client, &slot->unit);
    if (status != NEAP_OK && status != NEAP_AGAIN && b->status == NEAP_OK)
        b->status = status;
    b->free_count -= status == NEAP_OK;
    return status == NEAP_OK;
}

static uint32_t append_work(void *ctx, mono_time now)
{
    struct bench *b = ctx;
    b->now = now;
    uint32_t count = log_client_work(b->client);
    if (now.ns >= b->end.ns || b->status != NEAP_OK || b->done_count * b->batch.size > SLICE_SIZE) {
        if (log_client_inflight(b->client) == 0)
            io_agent_leave(&b->agent);
        return count;
    }
    b->submitted = now;
    while (append(b))
        count++;
    return count;
}

static enum neap_status new_topic(struct bench *b)
{
    struct error err;
    char name[32];
    mono_time deadline = mono_after(io_now(b->cli->io), 30 * NS_PER_S);
    struct log_op op = { .kind = LOG_TOPIC_DELETE, .target = { b->topic.id, 0 } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    enum neap_status status = b->topic_count == 0 ? NEAP_OK : log_submit_wait(b->house, &unit, deadline);
    if (status != NEAP_OK)
        return status;
    snprintf(name, sizeof name, BENCH_TOPIC "-%u", ++b->topic_count);
    return log_topic_ensure(b->house, name, 1, deadline, &b->topic, &err);
}

/* Appends to a new topic until `end`, or until it has its share of the disk. */
static enum neap_status append_slice(struct bench *b, struct log_figures *sum, int64_t *left_ns)
{
    struct io *io = b->cli->io;
    struct log_figures before, after;
    struct error err;
    enum neap_status status = new_topic(b);
    if (status != NEAP_OK)
        return status;
    b->done_count = 0;
    log_figures(b->log, &before);
    mono_time start = io_now(io);
    b->end = mono_after(start, *left_ns);
    status = io_agent_run(io, &b->agent, mono_after(b->end, 60 * NS_PER_S), &err);
    *left_ns -= io_now(io).ns - start.ns;
    log_figures(b->log, &after);
    sum->batch_count += b->done_count;
    sum->sync_count += after.sync_count - before.sync_count;
    return status != NEAP_OK ? status : b->status;
}

/* Up to `inflight_max` batches on their way; answers events a second and batch bytes a sync. */
static enum neap_status append_for(struct bench *b, uint32_t inflight_max, double *ret_per_second,
                                   uint64_t *ret_per_sync)
{
    struct log_figures sum = { 0 };
    int64_t left_ns = b->ns;
    enum neap_status status = NEAP_OK;
    b->inflight_max = inflight_max;
    b->free_count = 0;
    while (b->free_count < inflight_max) {
        b->free_slots[b->free_count] = b->free_count;
        b->free_count++;
    }
    histogram_init(&b->latency);
    while (left_ns > 0 && status == NEAP_OK)
        status = append_slice(b, &sum, &left_ns);
    *ret_per_second = (double)(sum.batch_count * b->batch_count) / ((double)(b->ns - left_ns) / 1e9);
    *ret_per_sync = sum.batch_count * b->batch.size / (sum.sync_count > 0 ? sum.sync_count : 1);
    return status;
}

/* ---- writing and syncing ---- */

/* As many bytes at a time, one after the other; answers bytes a second. */
static enum neap_status write_for(struct bench *b, uint64_t size, double *ret_per_second)
{
    struct io *io = b->cli->io;
    struct bytes part = { b->room, size < BENCH_BATCH_SIZE ? size : BENCH_BATCH_SIZE };
    uint64_t written = 0;
    enum neap_status status = NEAP_OK;
    mono_time start = io_now(io), now = start;
    while (now.ns - start.ns < b->ns && status == NEAP_OK) {
        status = io_file_write(b->bare, &part, 1, written % (BARE_SIZE - BENCH_BATCH_SIZE));
        if (status == NEAP_OK)
            status = io_file_sync(b->bare);
        written += part.size;
        now = io_now(io);
    }
    *ret_per_second = (double)written / ((double)(now.ns - start.ns) / 1e9);
    return status;
}

/* ---- the places that are measured ---- */

struct search {
    struct io *io;
    const char *folder;
    uint32_t depth;
    char found[4608]; /* empty: no file */
};

static bool see_name(void *ctx, const char *name)
{
    struct search *search = ctx;
    struct io_file_info info;
    char path[4352];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", search->folder, name) >= sizeof path ||
        io_path_info(search->io, path, &info) != NEAP_OK)
        return true;
    if (info.kind == IO_KIND_DIRECTORY && search->depth > 0) {
        struct search below = { .io = search->io, .folder = path, .depth = search->depth - 1 };
        io_dir_list(search->io, path, see_name, &below, NULL);
        snprintf(search->found, sizeof search->found, "%s", below.found);
    } else if (info.kind != IO_KIND_DIRECTORY) {
        snprintf(search->found, sizeof search->found, "%s", path);
    }
    return search->found[0] == '\0';
}

/* The first file in the folder or in a folder of it. */
static bool first_file(struct bench *b, struct search *search)
{
    *search = (struct search){ .io = b->cli->io, .folder = b->folder, .depth = 1 };
    io_dir_list(b->cli->io, b->folder, see_name, search, NULL);
    return search->found[0] != '\0';
}

/* Blocks that were written before cost no change of metadata when they are synced: as in the journal's recycled files. */
static enum neap_status open_bare(struct bench *b, struct error *err)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/bare", b->folder);
    enum neap_status status = io_file_open(b->cli->io, path, IO_READ | IO_WRITE | IO_CREATE, &b->bare, err);
    memset(b->room, 'x', BENCH_BATCH_SIZE);
    struct bytes block = { b->room, BENCH_BATCH_SIZE };
    for (uint64_t at = 0; status == NEAP_OK && at < BARE_SIZE; at += block.size)
        status = io_file_write(b->bare, &block, 1, at);
    if (status == NEAP_OK)
        status = io_file_sync(b->bare);
    return status;
}

static enum neap_status open_places(struct bench *b, struct error *err)
{
    struct io *io = b->cli->io;
    struct search search;
    enum neap_status status = io_dir_make(io, b->folder, err);
    if (status == NEAP_OK && first_file(b, &search))
        return error_set(err, NEAP_MISUSE, "%s is there: name a directory without files", search.found);
    b->ours = status == NEAP_OK;
    struct log_options options = { .path = b->folder,
                                   .disk_size = BENCH_DISK_SIZE,
                                   .snapshot_size = BENCH_SNAPSHOT_SIZE };
    if (status == NEAP_OK)
        status = log_open(io, &options, &b->log, err);
    struct log_client_options client = { .inflight_count_max = INFLIGHT_MAX, .agent = &b->agent };
    b->agent = (struct io_agent){ .name = "bench", .work = append_work, .ctx = b };
    if (status == NEAP_OK)
        status = io_agent_attach(io, &b->agent, err);
    if (status == NEAP_OK)
        status = log_client_open(b->log, &client, &b->client, err);
    struct log_client_options house = { .rank = LOG_RANK_HOUSE };
    if (status == NEAP_OK)
        status = log_client_open(b->log, &house, &b->house, err);
    return status == NEAP_OK ? open_bare(b, err) : status;
}

/* Only what this run made: there was no file here. The folders stay, empty. */
static void close_places(struct bench *b)
{
    struct search search;
    if (b->client != NULL)
        log_client_close(&b->client);
    if (b->house != NULL)
        log_client_close(&b->house);
    io_agent_stop(&b->agent);
    log_close(&b->log);
    io_file_close(&b->bare);
    while (b->ours && first_file(b, &search) && io_unlink(b->cli->io, search.found, NULL) == NEAP_OK)
        ;
    free(b->room);
    free(b->value);
}

/* ---- the table ---- */

struct bench_line {
    uint32_t event_size;
    double ours, bare; /* events a second */
    uint64_t p50_ns, p99_ns;
};

static enum neap_status measure(struct bench *b, struct bench_line *line)
{
    double alone, bare = 0;
    uint64_t per_sync, size;
    b->batch = build(b, line->event_size, b->batch_count);
    enum neap_status status = append_for(b, INFLIGHT_MAX, &line->ours, &per_sync);
    if (status == NEAP_OK)
        status = write_for(b, per_sync, &bare);
    line->bare = bare / (double)b->batch.size * b->batch_count;
    b->batch = build(b, line->event_size, b->batch_count);
    if (status == NEAP_OK)
        status = append_for(b, 1, &alone, &size);
    line->p50_ns = histogram_quantile(&b->latency, 0.5);
    line->p99_ns = histogram_quantile(&b->latency, 0.99);
    return status;
}

static enum neap_status bench_line(struct bench *b, uint32_t event_size, uint32_t batch_count)
{
    struct bench_line line = { .event_size = event_size };
    struct cli *cli = b->cli;
    char ours[32], bare[32];
    b->batch_count = batch_count;
    enum neap_status status = measure(b, &line);
    if (status != NEAP_OK)
        return status;
    double ratio = line.ours / line.bare;
    if (cli->flags[FLAG_JSON] != NULL)
        out_print(cli,
                  "{\"size\":%u,\"batch\":%u,\"events_per_second\":%.0f,\"bare_events_per_second\":%.0f,\"ratio\":%.3f,"
                  "\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
                  event_size, batch_count, line.ours, line.bare, ratio, (double)line.p50_ns / 1e3,
                  (double)line.p99_ns / 1e3);
    else
        out_print(cli, "%5u B  %6u  %14s  %14s  %6.2f  %9.0f us  %9.0f us\n", event_size, batch_count,
                  cli_number_text(ours, (uint64_t)line.ours), cli_number_text(bare, (uint64_t)line.bare), ratio,
                  (double)line.p50_ns / 1e3, (double)line.p99_ns / 1e3);
    out_flush(cli);
    return NEAP_OK;
}

static int run_bench(struct bench *b)
{
    static const uint32_t sizes[] = { 100, 1024 }, counts[] = { 1, 16, 128, 1024 };
    struct error error = { 0 };
    if (open_places(b, &error) != NEAP_OK)
        return say_error(b->cli, &error);
    if (b->cli->flags[FLAG_JSON] == NULL)
        out_print(b->cli, "  event   batch   neap events/s   bare events/s   ratio        p50          p99\n");
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        for (uint32_t k = 0; k < COUNT_OF(counts); k++) {
            enum neap_status status = bench_line(b, sizes[i], counts[k]);
            if (status != NEAP_OK) {
                say(b->cli, "bench: %s", status_text(status));
                return cli_exit_of(status);
            }
        }
    }
    return CLI_OK;
}

static int with_memory(struct bench *b)
{
    b->room = malloc(BENCH_BATCH_SIZE);
    b->value = malloc(1024);
    if (b->room == NULL || b->value == NULL) {
        free(b->room);
        free(b->value);
        say(b->cli, "bench: out of memory");
        return CLI_SURROUNDINGS;
    }
    memset(b->value, 'v', 1024);
    int code = run_bench(b);
    close_places(b);
    return code;
}

int cli_bench(struct cli *cli)
{
    uint64_t seconds = 1;
    const char *folder = cli->word_count > 0 ? cli->words[0] : BENCH_FOLDER;
    if (!cli_number(cli, FLAG_SECONDS, 3600, &seconds))
        return CLI_USAGE;
    if (seconds == 0) {
        say(cli, "--seconds: nothing can be measured in 0 seconds");
        return CLI_USAGE;
    }
    struct bench *b = calloc(1, sizeof *b);
    if (b == NULL) {
        say(cli, "bench: out of memory");
        return CLI_SURROUNDINGS;
    }
    b->cli = cli;
    b->ns = (int64_t)seconds * NS_PER_S;
    int code = CLI_USAGE;
    if ((size_t)snprintf(b->folder, sizeof b->folder, "%s", folder) < sizeof b->folder)
        code = with_memory(b);
    else
        say(cli, "bench: the path is too long");
    free(b);
    return code;
}
