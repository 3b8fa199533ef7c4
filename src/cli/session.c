/* session.c - finding the node, asking it, taking its answer apart into lines. */
#include "cli/session.h"
#include "base/must.h"
#include "config/config.h"
#include "node/control.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- finding the node ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

static int use_data(struct session *s, const char *data)
{
    int size = snprintf(s->data, sizeof s->data, "%s", data);
    int socket_size = snprintf(s->socket, sizeof s->socket, "%s/%s", data, CONTROL_SOCKET_NAME);
    if (size < 0 || socket_size < 0 || (size_t)socket_size >= sizeof s->socket) {
        say(s->cli, "the path of the data directory is too long");
        return CLI_SURROUNDINGS;
    }
    return CLI_OK;
}

static int use_socket(struct session *s, const char *path)
{
    if (strncmp(path, "unix:", 5) == 0)
        path += 5;
    struct io_file_info info;
    if (io_path_info(s->cli->io, path, &info) == NEAP_OK && info.kind == IO_KIND_DIRECTORY)
        snprintf(s->socket, sizeof s->socket, "%s/%s", path, CONTROL_SOCKET_NAME);
    else
        snprintf(s->socket, sizeof s->socket, "%s", path);
    s->data[0] = '\0';
    return CLI_OK;
}

/* Only where the file says its data is: its other mistakes are for check and run. */
static int use_file(struct session *s, const char *file)
{
    struct config *config = NULL;
    struct config_messages *messages = NULL;
    struct error error = { 0 };
    enum neap_status status = config_load(s->cli->io, file, &config, &messages, &error);
    int code = CLI_OK;
    if (status == NEAP_OK) {
        s->disk = config->disk;
        s->has_file = true;
        snprintf(s->file, sizeof s->file, "%s", file);
        code = use_data(s, config->data);
    } else if (messages != NULL && messages->error_count > 0) {
        say(s->cli, "%s:%u:%u: %s ('neap check %s' says it all; --data DIR needs no file)", file,
            messages->list[0].place.line, messages->list[0].place.column, messages->list[0].text, file);
        code = CLI_NO;
    } else {
        code = say_error(s->cli, &error);
    }
    config_messages_free(&messages);
    config_free(&config);
    return code;
}

static int use_environment(struct session *s, const char *node)
{
    struct io_file_info info;
    if (ends_with(node, ".yaml") || ends_with(node, ".yml"))
        return use_file(s, node);
    if (io_path_info(s->cli->io, node, &info) == NEAP_OK && info.kind == IO_KIND_DIRECTORY)
        return use_data(s, node);
    return use_socket(s, node);
}

static int find_node(struct session *s, const char *file)
{
    const char *data = s->cli->flags[FLAG_DATA], *node = s->cli->flags[FLAG_NODE];
    if ((data != NULL && data[0] == '\0') || (node != NULL && node[0] == '\0')) {
        say(s->cli, "%s is empty", data != NULL && data[0] == '\0' ? "--data" : "--node");
        return CLI_USAGE;
    }
    if ((data != NULL) + (node != NULL) + (file != NULL) > 1) {
        say(s->cli, "FILE, --data and --node each name a node: give one of them");
        return CLI_USAGE;
    }
    if (data != NULL)
        return use_data(s, data);
    if (node != NULL)
        return use_socket(s, node);
    if (file != NULL)
        return use_file(s, file);
    const char *environment = io_environment(s->cli->io, "NEAP_NODE");
    if (environment != NULL && environment[0] != '\0')
        return use_environment(s, environment);
    struct io_file_info info;
    if (io_path_info(s->cli->io, "neap.yaml", &info) == NEAP_NOTFOUND) {
        say(s->cli, "which node? There is no ./neap.yaml here: name a FILE, --data DIR, --node PATH or set $NEAP_NODE");
        return CLI_USAGE;
    }
    return use_file(s, "neap.yaml");
}

int session_open(struct session *s, struct cli *cli, const char *file, bool writes)
{
    *s = (struct session){ .cli = cli, .writes = writes, .timeout_ns = CLI_TIMEOUT_NS };
    if (!cli_duration(cli, FLAG_TIMEOUT, &s->timeout_ns))
        return CLI_USAGE;
    int code = find_node(s, file);
    if (code != CLI_OK)
        return code;
    s->parser = json_parser_new(CLI_LINE_SIZE_MAX);
    if (s->parser == NULL) {
        say(cli, "out of memory");
        return CLI_SURROUNDINGS;
    }
    return CLI_OK;
}

/* What was asked has been answered, or never will be. */
static void let_go(struct session *s)
{
    if (s->log == NULL)
        return;
    int64_t ns = s->unanswered || s->timeout_ns < CLI_GIVE_UP_NS ? CLI_GIVE_UP_NS : s->timeout_ns;
    patience_until(s->cli, mono_after(io_now(s->cli->io), ns), CLI_TIMEOUT);
    log_close(&s->log);
    patience_until(s->cli, MONO_NEVER, CLI_OK);
}

void session_release(struct session *s)
{
    let_go(s);
    s->running = false;
}

void session_close(struct session *s)
{
    let_go(s);
    json_parser_free(&s->parser);
    free(s->line);
    s->line = NULL;
}

/* ---- taking the answer apart ---- */

static enum neap_status status_of(struct bytes name)
{
    for (int status = 0; status < NEAP_STATUS_COUNT; status++) {
        if (bytes_equal(bytes_of_text(status_name((enum neap_status)status)), name))
            return (enum neap_status)status;
    }
    return NEAP_BADINPUT;
}

static void take_end(struct session *s, struct bytes line)
{
    struct json_value end, more;
    s->ended = true;
    if (json_parse(s->parser, line, &end) != NEAP_OK) {
        error_set(&s->end, NEAP_BADINPUT, "the node's answer ends in something strange");
        return;
    }
    enum neap_status status = status_of(line_text(end, "end"));
    struct bytes text = line_text(end, "error");
    if (status != NEAP_OK)
        error_set(&s->end, status, "%.*s", (int)text.size, (const char *)text.at);
    s->first = line_number(end, "first");
    s->next = line_number(end, "next");
    s->failed_count = line_number(end, "failed");
    text = line_text(end, "failure");
    snprintf(s->failure, sizeof s->failure, "%.*s", (int)text.size, (const char *)text.at);
    s->more = json_get(end, BYTES("more"), &more) && json_kind(more) == JSON_BOOL && json_bool(more);
}

static void take_line(struct session *s, struct bytes line)
{
    static const char mark[] = "{\"end\":";
    if (line.size >= sizeof mark - 1 && memcmp(line.at, mark, sizeof mark - 1) == 0)
        take_end(s, line);
    else if (!s->ended) {
        s->said_something = true;
        s->each(s, s->ctx, line);
    }
}

static bool keep_bytes(struct session *s, struct bytes bytes)
{
    if (bytes.size > CLI_LINE_SIZE_MAX - s->line_size)
        return false;
    if (s->line_size + bytes.size > s->line_room) {
        size_t room = s->line_room == 0 ? 65536 : s->line_room;
        while (room < s->line_size + bytes.size)
            room *= 2;
        uint8_t *line = realloc(s->line, room);
        if (line == NULL)
            return false;
        s->line = line;
        s->line_room = room;
    }
    memcpy(s->line + s->line_size, bytes.at, bytes.size);
    s->line_size += bytes.size;
    return true;
}

static enum neap_status take_answer(void *ctx, struct bytes answer)
{
    struct session *s = ctx;
    while (answer.size > 0) {
        const uint8_t *newline = memchr(answer.at, '\n', answer.size);
        size_t size = newline == NULL ? answer.size : (size_t)(newline - answer.at);
        struct bytes part = { answer.at, size };
        if (newline != NULL && s->line_size == 0) {
            take_line(s, part); /* the usual case: a whole line, not copied */
        } else {
            if (!keep_bytes(s, part))
                return NEAP_TOOLARGE;
            if (newline != NULL) {
                take_line(s, (struct bytes){ s->line, s->line_size });
                s->line_size = 0;
            }
        }
        size_t taken = newline == NULL ? size : size + 1;
        answer = (struct bytes){ answer.at + taken, answer.size - taken };
        if (out_is_closed(s->cli))
            return NEAP_CLOSED;
    }
    return NEAP_OK;
}

/* ---- asking ---- */

static int open_directory(struct session *s, struct error *err)
{
    struct io_file_info info;
    char journal[SESSION_PATH_SIZE_MAX + 16];
    snprintf(journal, sizeof journal, "%s/journal", s->data);
    bool makes = strcmp(s->cli->verb->name, "topic create") == 0 || s->cli->flags[FLAG_CREATE] != NULL;
    /* Who only looks makes no data directory, and there is nothing to change in one that is not there. */
    if (!makes && io_path_info(s->cli->io, journal, &info) == NEAP_NOTFOUND) {
        error_set(err, NEAP_NOTFOUND, "no data directory at %s: nothing has run there yet", s->data);
        return CLI_SURROUNDINGS;
    }
    struct log_options options = { .path = s->data, .disk_size = s->disk.size, .disk_percent = s->disk.percent };
    options.disk_last = !s->has_file; /* a file says it, if only by saying nothing */
    return cli_exit_of(log_open(s->cli->io, &options, &s->log, err));
}

/* Asks whoever has the directory. CLI_OK and *ret_status, or the exit code of a place that cannot be asked. */
static int ask_once(struct session *s, struct bytes request, struct bytes body, mono_time deadline,
                    enum neap_status *ret_status, struct error *err)
{
    struct control_context context = { .io = s->cli->io };
    if (s->log == NULL) {
        *ret_status = control_ask(s->cli->io, s->socket, request, body, take_answer, s, deadline, err);
        if (*ret_status != NEAP_NOTFOUND)
            return CLI_OK;
        if (s->data[0] == '\0' || s->running) {
            error_set(err, NEAP_NOTFOUND, "no node listens at %s", s->socket);
            return CLI_SURROUNDINGS;
        }
        *err = (struct error){ 0 };
        patience_until(s->cli, mono_after(deadline, CLI_GIVE_UP_NS), CLI_TIMEOUT);
        int code = open_directory(s, err);
        patience_until(s->cli, MONO_NEVER, CLI_OK);
        if (code != CLI_OK)
            return code;
    }
    context.log = s->log;
    patience_until(s->cli, mono_after(deadline, CLI_GIVE_UP_NS), CLI_TIMEOUT);
    *ret_status = control_execute(&context, s->writes, request, body, take_answer, s, deadline, err);
    patience_until(s->cli, MONO_NEVER, CLI_OK);
    s->unanswered = *ret_status == NEAP_TIMEOUT;
    return CLI_OK;
}

/* A directory that is held though nobody listens belongs to a node that starts or ends, or to a command such as this
 * one: it is free, or answers, in a moment. A node that too many ask at once has a place as soon as one of them is
 * answered, or has been silent for too long: that is worth all the time there is. */
static int ask_patiently(struct session *s, struct bytes request, struct bytes body, enum neap_status *ret_status)
{
    mono_time start = io_now(s->cli->io), deadline = mono_after(start, s->timeout_ns);
    mono_time patience = mono_min(mono_after(start, CLI_HELD_NS), deadline);
    bool refused = false;
    for (;;) {
        struct error error = { 0 };
        s->end = (struct error){ 0 };
        s->ended = false;
        int code = ask_once(s, request, body, deadline, ret_status, &error);
        bool held = code != CLI_OK && error.status == NEAP_HELD;
        bool crowded = s->end.status == NEAP_AGAIN || (code == CLI_OK && *ret_status == NEAP_AGAIN);
        mono_time now = io_now(s->cli->io);
        if ((held && now.ns < patience.ns) || (crowded && now.ns < deadline.ns)) {
            refused = refused || crowded;
            cli_rest(s->cli, 20 * NS_PER_MS);
            continue;
        }
        if (crowded || (refused && *ret_status == NEAP_TIMEOUT)) {
            say(s->cli, "no answer within the time given: too many ask at once");
            return CLI_TIMEOUT;
        }
        if (code != CLI_OK && error.status == NEAP_NOTFOUND && s->follows && s->running)
            return SESSION_GONE;
        if (code != CLI_OK || (*ret_status != NEAP_OK && *ret_status != NEAP_TIMEOUT && !out_is_closed(s->cli))) {
            error.status = code != CLI_OK ? error.status : *ret_status;
            int said = say_error(s->cli, &error);
            return code != CLI_OK ? code : said;
        }
        return CLI_OK;
    }
}

int session_ask(struct session *s, struct bytes request, struct bytes body,
                void (*each)(struct session *s, void *ctx, struct bytes line), void *ctx)
{
    enum neap_status status = NEAP_OK;
    s->each = each;
    s->ctx = ctx;
    s->more = false;
    s->line_size = 0;
    s->said_something = false;
    int code = ask_patiently(s, request, body, &status);
    if (code != CLI_OK)
        return code;
    s->running = s->log == NULL;
    if (out_is_closed(s->cli))
        return out_exit(s->cli);
    if (status == NEAP_TIMEOUT) {
        say(s->cli, "no answer within the time given");
        return CLI_TIMEOUT;
    }
    if (!s->ended && s->follows && !s->said_something)
        return SESSION_GONE;
    if (!s->ended) {
        say(s->cli, "the node hung up in the middle of its answer");
        return CLI_SURROUNDINGS;
    }
    return s->end.status == NEAP_OK ? CLI_OK : say_error(s->cli, &s->end);
}

/* ---- requests and lines ---- */

void request_begin(struct request *r, const char *verb)
{
    r->w = writer_of(r->room, sizeof r->room);
    write_bytes(&r->w, BYTES("{\"verb\":"));
    json_write_text(&r->w, bytes_of_text(verb));
}

static void request_name(struct request *r, const char *name)
{
    write_u8(&r->w, ',');
    json_write_text(&r->w, bytes_of_text(name));
    write_u8(&r->w, ':');
}

void request_text(struct request *r, const char *name, const char *text)
{
    if (text == NULL)
        return;
    request_name(r, name);
    json_write_text(&r->w, bytes_of_text(text));
}

void request_flag(struct request *r, const char *name)
{
    request_name(r, name);
    write_bytes(&r->w, BYTES("true"));
}

void request_pairs(struct request *r, const char *name, const char *const *pairs, uint32_t count)
{
    if (count == 0)
        return;
    request_name(r, name);
    for (uint32_t i = 0; i < count; i++) {
        const char *equals = strchr(pairs[i], '=');
        must(equals != NULL);
        write_u8(&r->w, i == 0 ? '{' : ',');
        json_write_text(&r->w, (struct bytes){ (const uint8_t *)pairs[i], (size_t)(equals - pairs[i]) });
        write_u8(&r->w, ':');
        json_write_text(&r->w, bytes_of_text(equals + 1));
    }
    write_u8(&r->w, '}');
}

void request_int(struct request *r, const char *name, int64_t number)
{
    request_name(r, name);
    json_write_int(&r->w, number);
}

void request_number(struct request *r, const char *name, uint64_t number)
{
    request_int(r, name, (int64_t)number);
}

struct bytes request_end(struct request *r)
{
    write_u8(&r->w, '}');
    must(!r->w.full);
    return writer_bytes(&r->w);
}

uint64_t line_number(struct json_value line, const char *name)
{
    struct json_value v;
    if (!json_get(line, bytes_of_text(name), &v) || json_kind(v) != JSON_INT || json_int(v) < 0)
        return 0;
    return (uint64_t)json_int(v);
}

struct bytes line_text(struct json_value line, const char *name)
{
    struct json_value v;
    if (!json_get(line, bytes_of_text(name), &v) || json_kind(v) != JSON_TEXT)
        return (struct bytes){ (const uint8_t *)"", 0 };
    return json_text(v);
}

struct bytes line_value(struct bytes line, struct json_value root)
{
    size_t cursor = 0;
    struct json_member member;
    while (json_member_next(line, &cursor, &member)) {
        if (!member.escaped && bytes_equal(member.name, BYTES("value")))
            return member.value;
    }
    return line_text(root, "text");
}

bool line_is_unreadable(struct session *s, struct json_value line)
{
    struct bytes why = line_text(line, "unreadable");
    unsigned long long partition = line_number(line, "partition");
    unsigned long long from = line_number(line, "offset"), until = line_number(line, "until");
    if (why.size == 0)
        return false;
    if (until > from)
        say(s->cli, "partition %llu, offsets %llu to %llu: %.*s", partition, from, until - 1, (int)why.size,
            (const char *)why.at);
    else
        say(s->cli, "partition %llu: %.*s", partition, (int)why.size, (const char *)why.at);
    return true;
}
