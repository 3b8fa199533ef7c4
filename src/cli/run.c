/* run.c - neap run: a node from a pipeline file, a line of progress, a summary. */
#include "base/logging.h"
#include "base/must.h"
#include "cli/check.h"
#include "cli/cli.h"
#include "config/config.h"
#include "node/control.h"
#include "node/node.h"
#include <stdio.h>
#include <stdlib.h>

#define SUMMARY_SIZE_MAX  (1u << 20)
#define MEMORY_TERM_COUNT 32u

struct run {
    struct cli *cli;
    struct config *config;
    struct logging *logging;
    struct node *node;
    mono_time start, deadline; /* deadline: --timeout, or never */
    mono_time tick_last;
    uint64_t settled_last;
    double rate;
    _Atomic bool progress; /* a progress line stands on the terminal */
    bool draw, timed_out;
};

/* ---- logging and progress share the terminal ---- */

static wall_time log_wall(void *ctx)
{
    struct run *run = ctx;
    return io_wall(run->cli->io);
}

static void log_write(void *ctx, struct bytes line)
{
    struct run *run = ctx;
    uint8_t room[LOGGING_LINE_SIZE_MAX + 8];
    struct writer w = writer_of(room, sizeof room);
    size_t size;
    if (atomic_exchange(&run->progress, false))
        write_bytes(&w, BYTES("\r\033[K"));
    write_bytes(&w, line);
    io_write_next(io_standard(run->cli->io, 2), writer_bytes(&w), MONO_NEVER, &size);
}

static void wipe_progress(struct run *run)
{
    if (atomic_exchange(&run->progress, false))
        say_raw(run->cli, "\r\033[K");
}

static void draw_progress(struct run *run, const struct node_pipeline_figures *sum, mono_time now)
{
    char accepted[32], delivered[32], dead[32], flight[32], line[256];
    uint64_t settled = sum->run.filtered + sum->run.delivered + sum->run.dead_lettered;
    double seconds = (double)(now.ns - run->tick_last.ns) / 1e9;
    if (run->tick_last.ns != 0 && seconds > 0)
        run->rate = 0.7 * run->rate + 0.3 * ((double)(settled - run->settled_last) / seconds);
    run->tick_last = now;
    run->settled_last = settled;
    int size =
        snprintf(line, sizeof line, "accepted %s  delivered %s  dead letters %s  in flight %s  %.0f/s",
                 cli_number_text(accepted, sum->total.accepted), cli_number_text(delivered, sum->total.delivered),
                 cli_number_text(dead, sum->total.dead_lettered), cli_number_text(flight, sum->in_flight), run->rate);
    int width = io_terminal_width(io_standard(run->cli->io, 2)) - 1;
    say_raw(run->cli, "\r\033[K%.*s", size < width ? size : width, line);
    atomic_store(&run->progress, true);
}

static void tick(void *ctx, struct node *node)
{
    struct run *run = ctx;
    mono_time now = io_now(run->cli->io);
    if (now.ns >= run->deadline.ns && !run->timed_out) {
        run->timed_out = true;
        node_stop(node);
    }
    if (!run->draw)
        return;
    struct node_pipeline_figures sum = { 0 }, one;
    for (uint32_t i = 0; i < node_pipeline_count(node); i++) {
        node_pipeline_figures(node, i, &one);
        if (one.has_branches) { /* but for what its door refused, they count its events */
            one.total =
                (struct ledger){ .accepted = one.total.dead_lettered, .dead_lettered = one.total.dead_lettered };
            one.run = (struct ledger){ .accepted = one.run.dead_lettered, .dead_lettered = one.run.dead_lettered };
            one.in_flight = 0;
        }
        ledger_add(&sum.total, &one.total);
        ledger_add(&sum.run, &one.run);
        sum.in_flight += one.in_flight;
    }
    draw_progress(run, &sum, now);
}

/* ---- the summary ---- */

static void write_figures(struct writer *w, const struct ledger *l, uint64_t in_flight)
{
    char text[512];
    int size =
        snprintf(text, sizeof text,
                 "\"accepted\":%llu,\"filtered\":%llu,\"duplicates\":%llu,\"delivered\":%llu,"
                 "\"dead_lettered\":%llu,\"in_flight\":%llu,\"produced\":%llu",
                 (unsigned long long)l->accepted, (unsigned long long)l->filtered, (unsigned long long)l->duplicates,
                 (unsigned long long)l->delivered, (unsigned long long)l->dead_lettered, (unsigned long long)in_flight,
                 (unsigned long long)l->produced);
    write_bytes(w, (struct bytes){ (uint8_t *)text, (size_t)size });
}

/* Only where there is any: what the node found damaged in this run. */
static void write_damage(struct run *run, struct writer *w)
{
    struct log_damage d;
    uint32_t count = 0;
    for (; log_damage_at(node_log(run->node), count, &d); count++) {
        write_bytes(w, count == 0 ? BYTES(",\"damage\":[") : BYTES(","));
        control_write_damage(w, &d);
    }
    if (count > 0)
        write_u8(w, ']');
}

static void write_summary(struct run *run, struct writer *w)
{
    double seconds = (double)(io_now(run->cli->io).ns - run->start.ns) / 1e9;
    write_bytes(w, BYTES("{\"pipelines\":{"));
    for (uint32_t i = 0; i < node_pipeline_count(run->node); i++) {
        struct node_pipeline_figures figures;
        char text[96];
        node_pipeline_figures(run->node, i, &figures);
        if (i > 0)
            write_u8(w, ',');
        json_write_text(w, bytes_of_text(figures.name));
        write_bytes(w, BYTES(":{"));
        write_figures(w, &figures.total, figures.in_flight);
        write_bytes(w, BYTES(",\"run\":{"));
        write_figures(w, &figures.run, figures.in_flight);
        uint64_t settled = figures.run.filtered + figures.run.delivered + figures.run.dead_lettered;
        int size = snprintf(text, sizeof text, ",\"seconds\":%.3f,\"events_per_second\":%.0f}}", seconds,
                            seconds > 0 ? (double)settled / seconds : 0.0);
        write_bytes(w, (struct bytes){ (uint8_t *)text, (size_t)size });
    }
    write_u8(w, '}');
    write_damage(run, w);
    write_bytes(w, BYTES("}\n"));
}

/* Beside the path first, then in its place: a reader sees a whole summary or none. */
static enum neap_status save_summary(struct io *io, const char *path, struct bytes summary, struct error *err)
{
    char beside[4096];
    struct io_file *file = NULL;
    if ((size_t)snprintf(beside, sizeof beside, "%s.new", path) >= sizeof beside)
        return error_set(err, NEAP_MISUSE, "the path is too long");
    enum neap_status status = io_file_open(io, beside, IO_READ | IO_WRITE | IO_CREATE | IO_SHARED, &file, err);
    if (status != NEAP_OK)
        return status;
    status = io_file_truncate(file, 0);
    if (status == NEAP_OK)
        status = io_file_write(file, &summary, 1, 0);
    io_file_close(&file);
    if (status != NEAP_OK)
        return error_set(err, status, "%s: %s", beside, status_text(status));
    return io_rename(io, beside, path, err);
}

static int give_summary(struct run *run)
{
    struct cli *cli = run->cli;
    const char *path = cli->flags[FLAG_SUMMARY_FILE];
    struct error error = { 0 };
    if (path == NULL && cli->flags[FLAG_SUMMARY] == NULL)
        return CLI_OK;
    uint8_t *room = malloc(SUMMARY_SIZE_MAX);
    if (room == NULL) {
        say(cli, "summary: out of memory");
        return CLI_SURROUNDINGS;
    }
    struct writer w = writer_of(room, SUMMARY_SIZE_MAX);
    int code = CLI_OK;
    write_summary(run, &w);
    must(!w.full);
    if (cli->flags[FLAG_SUMMARY] != NULL)
        out_write(cli, writer_bytes(&w));
    if (path != NULL && save_summary(cli->io, path, writer_bytes(&w), &error) != NEAP_OK) {
        error_while(&error, "summary");
        code = say_error(cli, &error);
    }
    free(room);
    return code;
}

/* ---- the run ---- */

static void log_memory(struct run *run)
{
    struct node_memory_term terms[MEMORY_TERM_COUNT];
    struct logging_field fields[MEMORY_TERM_COUNT + 2];
    char names[MEMORY_TERM_COUNT][48];
    static struct logging_site site;
    if (!logging_enabled(run->logging, LOGGING_INFO))
        return;
    uint32_t count = node_memory(run->config, terms, MEMORY_TERM_COUNT), used = 2;
    uint64_t sum = 0;
    if (!logging_enabled(run->logging, LOGGING_INFO))
        return;
    count = count < MEMORY_TERM_COUNT ? count : MEMORY_TERM_COUNT;
    for (uint32_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "%s", terms[i].what);
        for (char *c = names[i]; *c != '\0'; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : (*c >= 'a' && *c <= 'z') ? *c : '_';
        fields[used++] = (struct logging_field)LOGGING_UINT(names[i], terms[i].size);
        sum += terms[i].size;
    }
    fields[0] = (struct logging_field)LOGGING_UINT("sum", sum);
    fields[1] = (struct logging_field)LOGGING_UINT("limit", run->config->memory_size);
    logging_line(run->logging, &site, LOGGING_INFO, "memory", fields, used);
}

static bool log_level(struct cli *cli, enum logging_level *ret_level)
{
    static const char *const names[] = { "debug", "info", "warn", "error", "off" };
    const char *text = cli->flags[FLAG_LOG];
    *ret_level = LOGGING_INFO;
    if (text == NULL)
        return true;
    for (uint32_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret_level = (enum logging_level)i;
            return true;
        }
    }
    say(cli, "--log: '%s' is none of debug, info, warn, error, off", text);
    return false;
}

static int check_flags(struct cli *cli, struct run *run, enum logging_level *ret_level)
{
    const char *summary = cli->flags[FLAG_SUMMARY];
    int64_t timeout_ns = 0;
    if (summary != NULL && strcmp(summary, "json") != 0) {
        say(cli, "--summary: '%s' is not json, the only form there is", summary);
        return CLI_USAGE;
    }
    if (!cli_duration(cli, FLAG_TIMEOUT, &timeout_ns) || !log_level(cli, ret_level))
        return CLI_USAGE;
    run->deadline = timeout_ns == 0 ? MONO_NEVER : mono_after(run->start, timeout_ns);
    return CLI_OK;
}

static int check_stdout(struct cli *cli, const struct config *config)
{
    for (uint32_t i = 0; cli->flags[FLAG_SUMMARY] != NULL && i < config->pipeline_count; i++) {
        if (config->pipelines[i].sink.kind == CONFIG_SINK_STDOUT) {
            say(cli, "pipeline '%s' writes to standard output: use --summary-file PATH", config->pipelines[i].name);
            return CLI_USAGE;
        }
    }
    return CLI_OK;
}

static int outcome(struct run *run, enum neap_status status, const struct error *error)
{
    bool dead = false, stopped = false, damaged = false, left = false;
    if (status != NEAP_OK)
        return say_error(run->cli, error);
    for (uint32_t i = 0; i < node_pipeline_count(run->node); i++) {
        struct node_pipeline_figures figures;
        node_pipeline_figures(run->node, i, &figures);
        dead = dead || figures.run.dead_lettered > 0;
        if (figures.stopped && figures.error.status == NEAP_CLOSED && node_reader_left(run->node)) {
            left = true;
        } else if (figures.error.status != NEAP_OK) {
            say(run->cli, "pipeline %s: %s", figures.name, figures.error.text);
            stopped = true;
            damaged = damaged || cli_exit_of(figures.error.status) == CLI_DAMAGE;
        }
    }
    if (damaged)
        return CLI_DAMAGE;
    if (stopped)
        return CLI_NO;
    if (left)
        return CLI_PIPE; /* as quiet as dying of SIGPIPE */
    if (run->timed_out) {
        say(run->cli, "stopped: the time given is over");
        return CLI_TIMEOUT;
    }
    return dead && run->cli->flags[FLAG_FAIL_ON_DEAD_LETTERS] != NULL ? CLI_DEAD_LETTERS : CLI_OK;
}

static enum neap_status ignore_answer(void *ctx, struct bytes answer)
{
    (void)ctx;
    (void)answer;
    return NEAP_OK;
}

static bool somebody_listens(struct run *run)
{
    struct io *io = run->cli->io;
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/" CONTROL_SOCKET_NAME, run->config->data) >= sizeof path)
        return false;
    return control_ask(io, path, BYTES("{\"verb\":\"status\"}"), (struct bytes){ NULL, 0 }, ignore_answer, NULL,
                       mono_after(io_now(io), CLI_HELD_NS), NULL) != NEAP_NOTFOUND;
}

/* Another node that holds the directory has the socket, too. Without one it is a listing, which is done in a moment. */
static enum neap_status open_node(struct run *run, const struct node_options *options, struct error *err)
{
    struct io *io = run->cli->io;
    mono_time patience = mono_after(io_now(io), CLI_HELD_NS);
    for (;;) {
        enum neap_status status = node_open(io, options, &run->node, err);
        if (status != NEAP_HELD || io_now(io).ns >= patience.ns || somebody_listens(run))
            return status;
        *err = (struct error){ 0 };
        cli_rest(run->cli, 20 * NS_PER_MS);
    }
}

static int run_node(struct run *run)
{
    struct cli *cli = run->cli;
    struct error error = { 0 };
    struct node_options options = { .config = run->config,
                                    .logging = run->logging,
                                    .until_idle = cli->flags[FLAG_UNTIL_IDLE] != NULL };
    log_memory(run);
    if (open_node(run, &options, &error) != NEAP_OK)
        return say_error(cli, &error);
    enum neap_status status = node_run(run->node, tick, run, &error);
    wipe_progress(run);
    run->draw = false;
    int code = outcome(run, status, &error);
    patience_until(cli, mono_after(io_now(cli->io), code == CLI_OK ? CLI_LEAVE_NS : CLI_GIVE_UP_NS),
                   code != CLI_OK ? code : CLI_TIMEOUT);
    int summary_code = give_summary(run);
    node_close(&run->node);
    patience_until(cli, MONO_NEVER, CLI_OK);
    return code != CLI_OK ? code : summary_code;
}

int cli_run(struct cli *cli)
{
    struct run run = { .cli = cli, .start = io_now(cli->io) };
    enum logging_level level;
    int code = check_flags(cli, &run, &level);
    if (code != CLI_OK)
        return code;
    code = check_load(cli, cli->word_count > 0 ? cli->words[0] : "neap.yaml", &run.config);
    if (code == CLI_OK)
        code = check_stdout(cli, run.config);
    if (code == CLI_OK) {
        struct logging_options options = { .level = level, .wall = log_wall, .write = log_write, .ctx = &run };
        run.draw = io_is_terminal(io_standard(cli->io, 2));
        run.logging = logging_new(&options);
        code = run_node(&run);
        logging_free(&run.logging);
    }
    config_free(&run.config);
    return code;
}
