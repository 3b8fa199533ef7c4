/* config.c - a file, or a text, all the way to a checked configuration or the list of what is wrong with it. */
#include "config/config.h"
#include "base/must.h"
#include "config/limits.h"
#include "config/meaning.h"
#include "config/messages.h"
#include "config/read.h"
#include "config/tree.h"
#include <stdlib.h>

#define CONFIG_BLOCK_SIZE (16u << 10)
static const struct config_place top = { 1, 1 };

/* ---- the text itself ----------------------------------------------------------------------------------------------------- */

/* How many bytes of a well-formed character begin here; 0: none does. */
static size_t char_size(const uint8_t *at, size_t left)
{
    size_t size = at[0] < 0x80                    ? 1
                  : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                  : (at[0] & 0xf0) == 0xe0        ? 3
                  : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                  : 0;
    if (size == 0 || size > left)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool outside = (at[0] == 0xed && at[1] >= 0xa0) || (at[0] == 0xf4 && at[1] >= 0x90);
    return overlong || outside ? 0 : size;
}

static bool is_utf16(struct bytes text)
{
    return text.size >= 2 && ((text.at[0] == 0xff && text.at[1] == 0xfe) || (text.at[0] == 0xfe && text.at[1] == 0xff));
}

static bool is_readable(struct config_messages *messages, struct bytes text)
{
    struct config_place place = top;
    if (text.size > CONFIG_FILE_SIZE_MAX) {
        message_error(messages, top, "the file has %zu bytes; a pipeline file has at most %u", text.size,
                      CONFIG_FILE_SIZE_MAX);
        return false;
    }
    for (size_t at = 0, size; at < text.size; at += size) {
        size = char_size(text.at + at, text.size - at);
        if (size == 0) {
            message_error(messages, place,
                          is_utf16(text) ? "this is UTF-16 (byte 0x%02x); save it as UTF-8" : "not UTF-8: byte 0x%02x",
                          text.at[at]);
            return false;
        }
        place.column++;
        if (text.at[at] == '\n')
            place = (struct config_place){ place.line + 1, 1 };
    }
    return true;
}

static struct bytes without_mark(struct bytes text)
{
    bool marked = text.size >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0;
    return marked ? (struct bytes){ text.at + 3, text.size - 3 } : text;
}

static const char *folder_of(struct arena *arena, const char *file)
{
    const char *slash = strrchr(file, '/');
    if (slash == NULL)
        return arena_text(arena, ".");
    return arena_text(arena, "%.*s", slash == file ? 1 : (int)(slash - file), file);
}

/* ---- parse ------------------------------------------------------------------------------------------------------------------- */

static struct config *new_config(const char *file)
{
    struct arena *arena = arena_new(CONFIG_BLOCK_SIZE, CONFIG_ARENA_SIZE_MAX);
    struct config *config = arena == NULL ? NULL : arena_zero(arena, sizeof *config);
    if (config == NULL) {
        arena_free(&arena);
        return NULL;
    }
    config->arena_ = arena;
    config->file = arena_text(arena, "%s", file);
    config->folder = folder_of(arena, file);
    if (config->file == NULL || config->folder == NULL)
        config_free(&config);
    return config;
}

void config_free(struct config **config)
{
    if (*config == NULL)
        return;
    struct arena *arena = (*config)->arena_; /* the struct lies in it */
    *config = NULL;
    arena_free(&arena);
}

/* NEAP_OK: what could be read was read, and the messages say the rest. */
static enum neap_status read_config(struct reading *r, struct arena *trees, struct config *config)
{
    r->scratch = arena_take(trees, CONFIG_TEXT_SIZE_MAX);
    r->starved = r->scratch == NULL;
    struct tree_node *root = r->starved ? NULL : tree_read(r->text, trees, r->messages, &r->starved);
    if (root == NULL && r->messages->error_count > 0)
        return NEAP_OK;
    if (r->starved)
        return NEAP_NOMEM;
    if (root == NULL || (root->kind == TREE_TEXT && root->text.size == 0)) {
        message_error(r->messages, top, "the file is empty; it needs at least 'pipelines:'");
        return NEAP_OK;
    }
    read_scope(r, IN_FILE, root, root->place, config);
    if (root->kind == TREE_MAP && !r->starved)
        meaning_check(r, root, config);
    return r->starved ? NEAP_NOMEM : NEAP_OK;
}

static enum neap_status run_out(struct error *err, const char *file)
{
    error_set(err, NEAP_NOMEM, "out of memory, or more than %u MiB for one file", CONFIG_ARENA_SIZE_MAX >> 20);
    return error_while(err, "read %s", file);
}

static enum neap_status parse(struct io *io, struct bytes text, struct config *config, struct config_messages *messages,
                              struct error *err)
{
    struct expr_machine *machine = expr_machine_new(&(struct expr_options){ 0 }, err);
    if (machine == NULL)
        return error_while(err, "read %s", config->file);
    struct arena *trees = arena_new(CONFIG_BLOCK_SIZE, CONFIG_ARENA_SIZE_MAX);
    struct reading r = { .io = io,
                         .file = config->file,
                         .folder = config->folder,
                         .text = without_mark(text),
                         .arena = config->arena_,
                         .messages = messages,
                         .machine = machine };
    enum neap_status status = trees == NULL ? NEAP_NOMEM : NEAP_OK;
    if (status == NEAP_OK && is_readable(messages, r.text))
        status = read_config(&r, trees, config);
    arena_free(&trees);
    expr_machine_free(&machine);
    messages_finish(messages);
    if (status != NEAP_OK)
        return run_out(err, config->file);
    if (messages->error_count > 0)
        return error_set(err, NEAP_BADINPUT, "%s has %u error%s", config->file, messages->error_count,
                         messages->error_count == 1 ? "" : "s");
    return NEAP_OK;
}

enum neap_status config_parse(struct io *io, const char *file, struct bytes text, struct config **ret_config,
                              struct config_messages **ret_messages, struct error *err)
{
    struct config_messages *messages = messages_new();
    struct config *config = messages == NULL ? NULL : new_config(file);
    *ret_messages = messages;
    if (config == NULL)
        return run_out(err, file);
    enum neap_status status = parse(io, text, config, messages, err);
    if (status != NEAP_OK) {
        config_free(&config);
        return status;
    }
    must(messages->error_count == 0 && config->pipeline_count > 0);
    *ret_config = config;
    return NEAP_OK;
}

/* ---- load ---------------------------------------------------------------------------------------------------------------------- */

static enum neap_status read_file(struct io *io, const char *file, uint8_t **ret_text, size_t *ret_size,
                                  struct error *err)
{
    struct io_file_info info;
    struct io_file *opened = NULL;
    enum neap_status status = io_path_info(io, file, &info);
    if (status == NEAP_OK && info.kind != IO_KIND_FILE)
        return error_set(err, NEAP_MISUSE, "%s is %s, not a pipeline file", file,
                         info.kind == IO_KIND_DIRECTORY ? "a directory" : "a device or pipe");
    if (status == NEAP_NOTFOUND)
        return error_set(err, status, "%s: no such file", file);
    status = io_file_open(io, file, IO_READ, &opened, err);
    if (status != NEAP_OK)
        return status;
    uint8_t *text = malloc(CONFIG_FILE_SIZE_MAX + 1);
    size_t size = 0;
    status = text == NULL ? NEAP_NOMEM : io_file_read(opened, text, CONFIG_FILE_SIZE_MAX + 1, 0, &size);
    io_file_close(&opened);
    if (status != NEAP_OK) {
        free(text);
        return error_set(err, status, "read %s: %s", file, status_text(status));
    }
    *ret_text = text;
    *ret_size = info.size > size ? (size_t)info.size : size;
    return NEAP_OK;
}

enum neap_status config_load(struct io *io, const char *file, struct config **ret_config,
                             struct config_messages **ret_messages, struct error *err)
{
    uint8_t *text = NULL;
    size_t size = 0;
    enum neap_status status = read_file(io, file, &text, &size, err);
    if (status != NEAP_OK) {
        *ret_messages = messages_new();
        return status;
    }
    /* Of a file that is too large only the size is looked at. */
    status = config_parse(io, file, (struct bytes){ text, size }, ret_config, ret_messages, err);
    free(text);
    return status;
}

uint32_t config_stage_count(const struct config *config)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        count += config->pipelines[i].stage_count - config->pipelines[i].shared_stage_count;
    return count;
}

uint32_t config_branch_count(const struct config *config)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        count += config->pipelines[i].parent != NULL;
    return count;
}

const struct config_topic *config_topic_find(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->topic_count; i++) {
        if (strcmp(config->topics[i].name, name) == 0)
            return &config->topics[i];
    }
    return NULL;
}

enum config_topic_role config_topic_role(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        if (strcmp(config->pipelines[i].dead_letter, name) == 0)
            return CONFIG_TOPIC_DEAD;
    }
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct config_pipeline *p = &config->pipelines[i];
        bool ends = p->sink.kind != CONFIG_SINK_NONE || p->fan != CONFIG_FAN_NONE;
        if (p->source.kind != CONFIG_SOURCE_TOPIC && ends && strcmp(p->source.topic, name) == 0)
            return CONFIG_TOPIC_SOURCE;
        if (p->fan != CONFIG_FAN_NONE && p->sink.kind == CONFIG_SINK_TOPIC && strcmp(p->sink.topic, name) == 0)
            return CONFIG_TOPIC_OUT;
    }
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const char *topic = config->pipelines[i].dedup_topic;
        if (topic != NULL && strcmp(topic, name) == 0)
            return CONFIG_TOPIC_DEDUP;
    }
    return CONFIG_TOPIC_OTHER;
}

const struct config_stage *config_dedup(const struct config_pipeline *p)
{
    for (uint32_t i = 0; i < p->stage_count && p->sink.kind != CONFIG_SINK_NONE; i++)
        if (p->stages[i].kind == CONFIG_STAGE_DEDUP)
            return &p->stages[i];
    return NULL;
}
