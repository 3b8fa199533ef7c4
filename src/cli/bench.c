/* bench.c - neap bench: durable appends of one process, beside a bare loop that writes and syncs the same bytes.
 *
 * Both work in the same directory, one after the other, one group of events per sync, one in flight. The ratio is what
 * counts: it says what the journal costs on this disk, whatever this disk is. */
#include "base/histogram.h"
#include "base/must.h"
#include "cli/cli.h"
#include "log/batch.h"
#include "log/log.h"
#include <stdio.h>
#include <stdlib.h>

#define BENCH_FOLDER     "bench.neap-data"
#define BENCH_DISK_SIZE  (1u << 30)
#define BARE_SIZE        (64u << 20)
#define BENCH_BATCH_SIZE (2u << 20)
#define BENCH_TOPIC      "bench"

struct bench {
    struct cli *cli;
    char folder[4096];
    int64_t ns; /* per measurement */
    bool ours;  /* what is in the folder came from us */
    struct log *log;
    struct log_client *client;
    struct log_topic topic;
    struct io_file *bare;
    uint8_t *room, *value;
};

struct bench_result {
    double per_second;
    uint64_t p50_ns, p99_ns;
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

static enum neap_status append_once(struct bench *b, struct bytes batch, uint32_t batch_count, uint64_t position)
{
    struct io *io = b->cli->io;
    (void)position;
    struct log_op op = { .kind = LOG_APPEND, .target = { b->topic.id, 0 }, .count = batch_count, .payload = batch };
    struct log_unit unit = { .ops = &op, .count = 1 };
    return log_submit_wait(b->client, &unit, mono_after(io_now(io), 10 * NS_PER_S));
}

static enum neap_status write_once(struct bench *b, struct bytes batch, uint32_t batch_count, uint64_t position)
{
    (void)batch_count;
    enum neap_status status = io_file_write(b->bare, &batch, 1, position % (BARE_SIZE - BENCH_BATCH_SIZE));
    return status == NEAP_OK ? io_file_sync(b->bare) : status;
}

static enum neap_status measure(struct bench *b, uint32_t event_size, uint32_t batch_count,
                                enum neap_status (*once)(struct bench *b, struct bytes batch, uint32_t batch_count,
                                                         uint64_t position),
                                struct bench_result *ret_result)
{
    struct io *io = b->cli->io;
    struct histogram *latency = malloc(sizeof *latency);
    struct bytes batch = build(b, event_size, batch_count);
    uint64_t count = 0, position = 0;
    if (latency == NULL)
        return NEAP_NOMEM;
    histogram_init(latency);
    mono_time start = io_now(io), before = start, now = start;
    enum neap_status status = NEAP_OK;
    while (now.ns - start.ns < b->ns && status == NEAP_OK) {
        status = once(b, batch, batch_count, position);
        now = io_now(io);
        histogram_add(latency, (uint64_t)(now.ns - before.ns));
        before = now;
        position += batch.size;
        count += batch_count;
    }
    ret_result->per_second = (double)count / ((double)(now.ns - start.ns) / 1e9);
    ret_result->p50_ns = histogram_quantile(latency, 0.5);
    ret_result->p99_ns = histogram_quantile(latency, 0.99);
    free(latency);
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
    struct log_options options = { .path = b->folder, .disk_size = BENCH_DISK_SIZE };
    if (status == NEAP_OK)
        status = log_open(io, &options, &b->log, err);
    struct log_client_options client = { 0 };
    if (status == NEAP_OK)
        status = log_client_open(b->log, &client, &b->client, err);
    if (status == NEAP_OK)
        status = log_topic_ensure(b->client, BENCH_TOPIC, 1, mono_after(io_now(io), 10 * NS_PER_S), &b->topic, err);
    return status == NEAP_OK ? open_bare(b, err) : status;
}

/* Only what this run made: there was no file here. The folders stay, empty. */
static void close_places(struct bench *b)
{
    struct search search;
    if (b->client != NULL)
        log_client_close(&b->client);
    log_close(&b->log);
    io_file_close(&b->bare);
    while (b->ours && first_file(b, &search) && io_unlink(b->cli->io, search.found, NULL) == NEAP_OK)
        ;
    free(b->room);
    free(b->value);
}

/* ---- the table ---- */

static enum neap_status bench_line(struct bench *b, uint32_t event_size, uint32_t batch_count)
{
    struct bench_result ours, bare;
    struct cli *cli = b->cli;
    char a[32], c[32];
    enum neap_status status = measure(b, event_size, batch_count, write_once, &bare);
    if (status == NEAP_OK)
        status = measure(b, event_size, batch_count, append_once, &ours);
    if (status != NEAP_OK)
        return status;
    double ratio = ours.per_second / bare.per_second;
    if (cli->flags[FLAG_JSON] != NULL)
        out_print(cli,
                  "{\"size\":%u,\"batch\":%u,\"events_per_second\":%.0f,\"bare_events_per_second\":%.0f,\"ratio\":%.3f,"
                  "\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
                  event_size, batch_count, ours.per_second, bare.per_second, ratio, (double)ours.p50_ns / 1e3,
                  (double)ours.p99_ns / 1e3);
    else
        out_print(cli, "%5u B  %6u  %14s  %14s  %6.2f  %9.0f us  %9.0f us\n", event_size, batch_count,
                  cli_number_text(a, (uint64_t)ours.per_second), cli_number_text(c, (uint64_t)bare.per_second), ratio,
                  (double)ours.p50_ns / 1e3, (double)ours.p99_ns / 1e3);
    out_flush(cli);
    return NEAP_OK;
}

static int run_bench(struct bench *b)
{
    static const uint32_t sizes[] = { 100, 1024 }, counts[] = { 16, 128, 1024 };
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

int cli_bench(struct cli *cli)
{
    struct bench b = { .cli = cli };
    uint64_t seconds = 1;
    const char *folder = cli->word_count > 0 ? cli->words[0] : BENCH_FOLDER;
    if (!cli_number(cli, FLAG_SECONDS, 3600, &seconds))
        return CLI_USAGE;
    if (seconds == 0) {
        say(cli, "--seconds: nothing can be measured in 0 seconds");
        return CLI_USAGE;
    }
    if ((size_t)snprintf(b.folder, sizeof b.folder, "%s", folder) >= sizeof b.folder) {
        say(cli, "bench: the path is too long");
        return CLI_USAGE;
    }
    b.ns = (int64_t)seconds * NS_PER_S;
    b.room = malloc(BENCH_BATCH_SIZE);
    b.value = malloc(1024);
    if (b.room == NULL || b.value == NULL) {
        free(b.room);
        free(b.value);
        say(cli, "bench: out of memory");
        return CLI_SURROUNDINGS;
    }
    memset(b.value, 'v', 1024);
    int code = run_bench(&b);
    close_places(&b);
    return code;
}
