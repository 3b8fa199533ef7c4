/* tail.c - the events of a topic from some place on, and, with --follow, what comes in.
 *
 * A running node is asked to answer as soon as there is something new. A directory at rest is not kept open while nothing
 * happens: whoever wants to write to it, a node first of all, finds it free; its lock tells when somebody has been there. */
#include "base/must.h"
#include "cli/session.h"
#include "node/control.h"
#include <stdio.h>
#include <stdlib.h>

#define LAST_DEFAULT 10u
#define WAIT_NS      (10 * NS_PER_S) /* of one question for something new */
#define REST_NS      (200 * NS_PER_MS)
#define LOCK_FILE    "neap.lock"

struct tailing {
    struct session session;
    bool json, follow, has_until;
    wall_time until;               /* what came in from then on is not shown */
    uint64_t limit, count;         /* events to print, and printed */
    uint64_t last;                 /* begin so many before the end; 0: a place is given */
    mono_time deadline;            /* --timeout, of following */
    wall_time visited;             /* when the directory was last opened, as far as we know */
    struct io_file_info abandoned; /* a socket that was there while we held the directory: nobody listens at it */
    uint64_t *next;                /* by partition: what comes next */
    bool *begun;
    uint64_t *ends;
    uint32_t partition_count, partition_room;
    uint64_t end_sum;
    bool failed; /* out of memory */
};

/* ---- printing ---- */

static void print_headers(struct session *s, struct json_value line)
{
    struct json_value headers, value;
    struct bytes name;
    const char *between = "{";
    if (!json_get(line, BYTES("headers"), &headers) || json_kind(headers) != JSON_OBJECT)
        return;
    for (uint64_t cursor = 0; json_next(headers, &cursor, &name, &value); between = ", ") {
        out_print(s->cli, "%s", between);
        out_stranger(s->cli, name);
        if (json_kind(value) == JSON_TEXT) {
            out_print(s->cli, "=");
            out_stranger(s->cli, json_text(value));
        }
    }
    out_print(s->cli, "}  ");
}

static void each_event(struct session *s, void *ctx, struct bytes line)
{
    struct tailing *t = ctx;
    struct json_value root, key;
    t->count++;
    if (t->json || json_parse(s->parser, line, &root) != NEAP_OK) {
        out_write(s->cli, line);
        out_write(s->cli, BYTES("\n"));
        return;
    }
    struct bytes time = line_text(root, "time");
    out_print(s->cli, "%llu:%llu  %.*s  ", (unsigned long long)line_number(root, "partition"),
              (unsigned long long)line_number(root, "offset"), (int)time.size, (const char *)time.at);
    if (json_get(root, BYTES("key"), &key) && json_kind(key) == JSON_TEXT)
        out_stranger(s->cli, json_text(key));
    else
        out_print(s->cli, "-");
    out_print(s->cli, "  ");
    print_headers(s, root);
    out_stranger(s->cli, line_value(line, root));
    out_write(s->cli, BYTES("\n"));
}

/* ---- partitions ---- */

static bool grow(struct tailing *t, uint32_t count)
{
    if (count <= t->partition_room)
        return true;
    uint32_t room = t->partition_room == 0 ? 16 : t->partition_room;
    while (room < count)
        room *= 2;
    uint64_t *next = realloc(t->next, room * sizeof *next);
    t->next = next != NULL ? next : t->next;
    uint64_t *ends = realloc(t->ends, room * sizeof *ends);
    t->ends = ends != NULL ? ends : t->ends;
    bool *begun = realloc(t->begun, room * sizeof *begun);
    t->begun = begun != NULL ? begun : t->begun;
    if (next == NULL || ends == NULL || begun == NULL)
        return false;
    memset(next + t->partition_room, 0, (room - t->partition_room) * sizeof *next);
    memset(ends + t->partition_room, 0, (room - t->partition_room) * sizeof *ends);
    memset(begun + t->partition_room, 0, (room - t->partition_room) * sizeof *begun);
    t->partition_room = room;
    return true;
}

static void each_partition(struct session *s, void *ctx, struct bytes line)
{
    struct tailing *t = ctx;
    struct json_value root;
    if (json_parse(s->parser, line, &root) != NEAP_OK)
        return;
    uint32_t partition = (uint32_t)line_number(root, "partition");
    t->failed = t->failed || !grow(t, partition + 1);
    if (t->failed)
        return;
    t->ends[partition] = line_number(root, "end");
    t->end_sum += t->ends[partition];
    t->partition_count = partition + 1 > t->partition_count ? partition + 1 : t->partition_count;
}

/* Where each partition ends; of a running node that is followed: as soon as there is more than was seen. */
static int ask_ends(struct tailing *t, bool wait)
{
    struct session *s = &t->session;
    struct request request;
    mono_time now = io_now(s->cli->io);
    int64_t left_ns = t->deadline.ns - now.ns < WAIT_NS ? t->deadline.ns - now.ns : WAIT_NS;
    request_begin(&request, "topic describe");
    request_text(&request, "topic", s->cli->words[0]);
    if (wait && left_ns > 0) {
        request_number(&request, "wait", (uint64_t)(left_ns / NS_PER_MS) + 1);
        request_number(&request, "seen", t->end_sum);
    }
    t->end_sum = 0;
    int code = session_ask(s, request_end(&request), (struct bytes){ NULL, 0 }, each_partition, t);
    if (t->failed) {
        say(s->cli, "out of memory");
        return CLI_SURROUNDINGS;
    }
    return code;
}

/* ---- reading ---- */

static bool request_begin_place(struct tailing *t, struct request *request)
{
    struct cli *cli = t->session.cli;
    const char *from = cli->flags[FLAG_FROM], *since = cli->flags[FLAG_SINCE];
    uint64_t offset = 0;
    wall_time time;
    if (since != NULL) {
        if (!cli_time(cli, FLAG_SINCE, since, &time))
            return false;
        request_number(request, "time", time.ms > 0 ? (uint64_t)time.ms : 0);
    } else if (from == NULL && t->last == 0) {
        request_text(request, "to", "latest"); /* the protocol has no last 0 */
    } else if (from == NULL) {
        request_number(request, "last", t->last);
    } else if (strcmp(from, "latest") == 0) {
        request_text(request, "to", from);
    } else if (strcmp(from, "earliest") != 0) {
        if (!cli_number(cli, FLAG_FROM, INT64_MAX, &offset))
            return false;
        request_number(request, "from", offset);
    }
    return true;
}

/* In as many questions as it takes: an answer is bounded. */
static int read_partition(struct tailing *t, uint32_t partition)
{
    struct session *s = &t->session;
    do {
        struct request request;
        request_begin(&request, "topic read");
        request_text(&request, "topic", s->cli->words[0]);
        request_number(&request, "partition", partition);
        request_text(&request, "key", s->cli->flags[FLAG_KEY]);
        request_number(&request, "limit", t->limit - t->count);
        if (t->has_until)
            request_number(&request, "before", t->until.ms > 0 ? (uint64_t)t->until.ms : 0);
        if (t->begun[partition])
            request_number(&request, "from", t->next[partition]);
        else if (!request_begin_place(t, &request))
            return CLI_USAGE;
        int code = session_ask(s, request_end(&request), (struct bytes){ NULL, 0 }, each_event, t);
        if (code != CLI_OK)
            return code;
        t->begun[partition] = true;
        t->next[partition] = s->next;
        if (!out_flush(s->cli))
            return out_exit(s->cli);
    } while (s->more && t->count < t->limit);
    return CLI_OK;
}

static int read_news(struct tailing *t, bool only_one, uint64_t only)
{
    int code = CLI_OK;
    if (only_one && only >= t->partition_count) {
        say(t->session.cli, "topic '%s' has no partition %llu: it has %u", t->session.cli->words[0],
            (unsigned long long)only, t->partition_count);
        return CLI_NO;
    }
    for (uint32_t p = 0; p < t->partition_count && code == CLI_OK && t->count < t->limit; p++) {
        bool has_news = !t->begun[p] || t->next[p] < t->ends[p];
        if (has_news && (!only_one || p == only))
            code = read_partition(t, p);
    }
    return code;
}

/* ---- following ---- */

static wall_time visit_time(struct tailing *t)
{
    char path[SESSION_PATH_SIZE_MAX + 16];
    struct io_file_info info;
    snprintf(path, sizeof path, "%s/" LOCK_FILE, t->session.data);
    if (io_path_info(t->session.cli->io, path, &info) != NEAP_OK)
        return (wall_time){ 0 };
    return info.modified;
}

static bool node_may_listen(struct tailing *t)
{
    struct io_file_info info;
    return io_path_info(t->session.cli->io, t->session.socket, &info) == NEAP_OK &&
           (info.inode != t->abandoned.inode || info.modified.ms != t->abandoned.modified.ms);
}

/* Until somebody has been in the directory, or a node listens. */
static int wait_for_visit(struct tailing *t)
{
    struct session *s = &t->session;
    if (s->log != NULL) { /* we hold it: our own opening was the last one */
        t->visited = visit_time(t);
        if (io_path_info(s->cli->io, s->socket, &t->abandoned) != NEAP_OK)
            t->abandoned = (struct io_file_info){ 0 };
    }
    session_release(s);
    while (!node_may_listen(t) && visit_time(t).ms == t->visited.ms) {
        if (io_now(s->cli->io).ns >= t->deadline.ns)
            return CLI_TIMEOUT;
        cli_rest(s->cli, REST_NS);
    }
    return CLI_OK;
}

static int follow(struct tailing *t, bool only_one, uint64_t only)
{
    struct session *s = &t->session;
    for (;;) {
        int code = CLI_OK;
        if (t->count >= t->limit)
            return CLI_OK;
        if (io_now(s->cli->io).ns >= t->deadline.ns)
            code = CLI_TIMEOUT;
        else if (!s->running)
            code = wait_for_visit(t);
        if (code == CLI_TIMEOUT)
            say(s->cli, "the time given is over");
        if (code == CLI_OK)
            code = ask_ends(t, s->running);
        if (code == CLI_OK)
            code = read_news(t, only_one, only);
        if (code == SESSION_GONE && s->data[0] == '\0') {
            say(s->cli, "the node at %s has ended", s->socket);
            code = CLI_SURROUNDINGS;
        }
        if (code == SESSION_GONE)
            session_release(s); /* its directory will be free in a moment */
        else if (code != CLI_OK)
            return code;
    }
}

/* ---- the verb ---- */

static bool read_flags(struct cli *cli, struct tailing *t, uint64_t *partition)
{
    const char *from = cli->flags[FLAG_FROM];
    uint64_t limit = INT64_MAX, offset = 0;
    wall_time time;
    if (from != NULL && cli->flags[FLAG_SINCE] != NULL) {
        say(cli, "tail: --from and --since both say where to begin: give one of them");
        return false;
    }
    if (!cli_number(cli, FLAG_PARTITION, UINT32_MAX, partition) || !cli_number(cli, FLAG_LIMIT, INT64_MAX, &limit))
        return false;
    if (from != NULL && strcmp(from, "earliest") != 0 && strcmp(from, "latest") != 0 &&
        !cli_number(cli, FLAG_FROM, INT64_MAX, &offset))
        return false;
    if (cli->flags[FLAG_SINCE] != NULL && !cli_time(cli, FLAG_SINCE, cli->flags[FLAG_SINCE], &time))
        return false;
    t->has_until = cli->flags[FLAG_UNTIL] != NULL;
    if (t->has_until && !cli_time(cli, FLAG_UNTIL, cli->flags[FLAG_UNTIL], &t->until))
        return false;
    if (t->has_until && t->follow) {
        say(cli, "tail: --follow never comes to an end, and --until says one: give one of them");
        return false;
    }
    bool placed = from != NULL || cli->flags[FLAG_SINCE] != NULL;
    t->last = placed ? 0 : cli->flags[FLAG_LIMIT] != NULL ? limit : LAST_DEFAULT;
    t->limit = placed ? limit : INT64_MAX;
    return true;
}

int cli_tail(struct cli *cli)
{
    struct tailing t = { .json = cli->flags[FLAG_JSON] != NULL, .follow = cli->flags[FLAG_FOLLOW] != NULL };
    uint64_t partition = 0;
    bool only_one = cli->flags[FLAG_PARTITION] != NULL;
    if (!read_flags(cli, &t, &partition))
        return CLI_USAGE;
    int code = session_open(&t.session, cli, cli->word_count > 1 ? cli->words[1] : NULL, false);
    if (code != CLI_OK)
        return code;
    t.deadline = MONO_NEVER;
    if (t.follow && cli->flags[FLAG_TIMEOUT] != NULL)
        t.deadline = mono_after(io_now(cli->io), t.session.timeout_ns);
    if (t.follow)
        t.session.timeout_ns = CLI_TIMEOUT_NS;
    code = ask_ends(&t, false);
    if (code == CLI_OK && t.limit > 0)
        code = read_news(&t, only_one, partition);
    t.session.follows = t.follow;
    if (code == CLI_OK && t.follow)
        code = follow(&t, only_one, partition);
    session_close(&t.session);
    free(t.next);
    free(t.ends);
    free(t.begun);
    return code;
}
