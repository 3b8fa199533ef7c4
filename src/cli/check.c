/* check.c - neap check: every mistake of a pipeline file, as compilers say them. */
#include "cli/check.h"
#include "node/budget.h"
#include <stdio.h>
#include <stdlib.h>

#define SOURCE_SIZE_MAX (4u << 20) /* shown beside messages; a larger file is not shown */

/* The file's text, to show the line a message means. */
struct source {
    uint8_t *text;
    size_t size;
};

static void source_read(struct cli *cli, const char *path, struct source *source)
{
    struct io_file *file = NULL;
    struct io_file_info info;
    *source = (struct source){ 0 };
    if (io_file_open(cli->io, path, IO_READ, &file, NULL) != NEAP_OK)
        return;
    if (io_file_info(file, &info) == NEAP_OK && info.kind == IO_KIND_FILE && info.size <= SOURCE_SIZE_MAX) {
        source->text = malloc(info.size + 1);
        if (source->text != NULL && io_file_read(file, source->text, info.size, 0, &source->size) != NEAP_OK)
            source->size = 0;
    }
    io_file_close(&file);
}

static struct bytes source_line(const struct source *source, uint32_t number)
{
    size_t at = 0;
    for (uint32_t line = 1; line < number && at < source->size; line++) {
        const uint8_t *newline = memchr(source->text + at, '\n', source->size - at);
        at = newline == NULL ? source->size : (size_t)(newline - source->text) + 1;
    }
    const uint8_t *end = at < source->size ? memchr(source->text + at, '\n', source->size - at) : NULL;
    return (struct bytes){ source->text + at, end == NULL ? source->size - at : (size_t)(end - source->text) - at };
}

/* How it is said: into the answer for check, into the talk for run. */
struct saying {
    struct cli *cli;
    bool talk, colour, terminal;
};

static void put(const struct saying *to, const char *text)
{
    if (to->talk)
        say_raw(to->cli, "%s", text);
    else
        out_print(to->cli, "%s", text);
}

static void put_source(const struct saying *to, const struct source *source, struct config_place place)
{
    char text[512];
    struct bytes line = source_line(source, place.line);
    if (!to->terminal || source->size == 0 || place.line == 0 || place.column == 0 || line.size > 200)
        return;
    size_t at = 0;
    at += (size_t)snprintf(text, sizeof text, "%5u | ", place.line);
    for (size_t i = 0; i < line.size; i++)
        text[at++] = line.at[i] < 0x20 || line.at[i] == 0x7F ? ' ' : (char)line.at[i];
    at += (size_t)snprintf(text + at, sizeof text - at, "\n      | ");
    for (uint32_t i = 1; i < place.column && i <= line.size; i++) {
        if ((line.at[i - 1] & 0xC0) != 0x80) /* one blank a character, not a byte */
            text[at++] = ' ';
    }
    snprintf(text + at, sizeof text - at, "%s^%s\n", to->colour ? "\033[1;32m" : "", to->colour ? "\033[0m" : "");
    put(to, text);
}

static void put_message(const struct saying *to, const char *file, const struct config_message *m)
{
    char text[2048], place[48] = "";
    const char *kind = m->warning ? "warning" : "error", *colour = m->warning ? "\033[1;35m" : "\033[1;31m";
    if (m->place.line > 0)
        snprintf(place, sizeof place, ":%u:%u", m->place.line, m->place.column);
    snprintf(text, sizeof text, "%s%s: %s%s:%s %s\n", file, place, to->colour ? colour : "", kind,
             to->colour ? "\033[0m" : "", m->text);
    put(to, text);
}

static void put_all(const struct saying *to, const char *file, const struct config_messages *messages)
{
    struct source source;
    source_read(to->cli, file, &source);
    for (uint32_t i = 0; i < messages->count; i++) {
        put_message(to, file, &messages->list[i]);
        put_source(to, &source, messages->list[i].place);
    }
    free(source.text);
}

int check_load(struct cli *cli, const char *file, struct config **ret_config)
{
    struct config_messages *messages = NULL;
    struct error error = { 0 };
    enum neap_status status = config_load(cli->io, file, ret_config, &messages, &error);
    struct saying to = { .cli = cli, .talk = true, .colour = cli->colour_err };
    to.terminal = io_is_terminal(io_standard(cli->io, 2));
    if (messages != NULL)
        put_all(&to, file, messages);
    int code = CLI_OK;
    if (status != NEAP_OK && messages != NULL && messages->error_count > 0) {
        say(cli, "%s is refused: %u error%s", file, messages->error_count, messages->error_count == 1 ? "" : "s");
        code = CLI_NO;
    } else if (status != NEAP_OK) {
        error.status = status;
        code = say_error(cli, &error);
    }
    config_messages_free(&messages);
    return code;
}

/* ---- neap check ---- */

static void print_json(struct cli *cli, const char *file, const struct config_message *messages, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint8_t room[16384];
        struct writer w = writer_of(room, sizeof room);
        const struct config_message *m = &messages[i];
        write_bytes(&w, BYTES("{\"file\":"));
        json_write_text(&w, bytes_of_text(file));
        write_bytes(&w, BYTES(",\"line\":"));
        json_write_int(&w, m->place.line);
        write_bytes(&w, BYTES(",\"column\":"));
        json_write_int(&w, m->place.column);
        write_bytes(&w, m->warning ? BYTES(",\"kind\":\"warning\",\"message\":")
                                   : BYTES(",\"kind\":\"error\",\"message\":"));
        json_write_text(&w, bytes_of_text(m->text));
        write_bytes(&w, BYTES("}\n"));
        if (!w.full)
            out_write(cli, writer_bytes(&w));
    }
}

static void print_last_line(struct cli *cli, const struct config *config, uint32_t errors, uint32_t warnings)
{
    if (errors > 0 || config == NULL || warnings > 0) {
        out_print(cli, "%u error%s, %u warning%s\n", errors, errors == 1 ? "" : "s", warnings,
                  warnings == 1 ? "" : "s");
        return;
    }
    uint32_t stages = config_stage_count(config), branches = config_branch_count(config);
    uint32_t pipelines = config->pipeline_count - branches;
    out_print(cli, "ok: %u pipeline%s, ", pipelines, pipelines == 1 ? "" : "s");
    if (branches > 0)
        out_print(cli, "%u branch%s, ", branches, branches == 1 ? "" : "es");
    out_print(cli, "%u stage%s\n", stages, stages == 1 ? "" : "s");
}

/* What run would refuse for its memory. The text stands where `message` has its place. */
static bool memory_fits(const struct config *config, struct error *err, struct config_message *message)
{
    struct budget budget;
    budget_of(config, &budget);
    if (budget_fits(&budget, config, err))
        return true;
    const char *text = strstr(err->text, "node.memory");
    *message = (struct config_message){ .place = config->memory_place, .text = text };
    return false;
}

static void say_all(struct cli *cli, const char *file, const struct config *config,
                    const struct config_messages *messages, const struct config_message *memory)
{
    struct saying to = { .cli = cli, .colour = cli->colour_out };
    to.terminal = io_is_terminal(io_standard(cli->io, 1));
    uint32_t memory_count = memory->text != NULL ? 1 : 0;
    if (cli->flags[FLAG_JSON] != NULL) {
        print_json(cli, file, messages->list, messages->count);
        print_json(cli, file, memory, memory_count);
        return;
    }
    put_all(&to, file, messages);
    if (memory_count > 0)
        put_message(&to, file, memory);
    print_last_line(cli, config, messages->error_count + memory_count, messages->warning_count);
}

int cli_check(struct cli *cli)
{
    const char *file = cli->word_count > 0 ? cli->words[0] : "neap.yaml";
    struct config *config = NULL;
    struct config_messages *messages = NULL;
    struct error error = { 0 };
    enum neap_status status = config_load(cli->io, file, &config, &messages, &error);
    int code = CLI_OK;
    if (status != NEAP_OK && (messages == NULL || messages->error_count == 0)) {
        error.status = status;
        code = say_error(cli, &error);
    } else {
        struct config_message memory = { 0 };
        bool fits = status != NEAP_OK || memory_fits(config, &error, &memory);
        say_all(cli, file, config, messages, &memory);
        bool strict = cli->flags[FLAG_STRICT] != NULL && messages->warning_count > 0;
        code = status != NEAP_OK || strict || !fits ? CLI_NO : CLI_OK;
    }
    config_messages_free(&messages);
    config_free(&config);
    return code;
}
