/* dlq_settle.c - dead letters are dropped, or redriven: piece by piece, each piece whole or not at all.
 *
 * Whatever ends this command between two pieces, or the node: what was settled is settled, and the same command goes on with the
 * rest. Letters that come in meanwhile, also of events that were redriven and failed again, are not for this time. */
#include "base/must.h"
#include "cli/dlq.h"
#include <stdio.h>
#include <stdlib.h>

#define STAY_COUNT_MAX 16u
#define STAY_WHY_SIZE  160u
#define DRAW_NS        (100 * NS_PER_MS)

struct stay {
    char why[STAY_WHY_SIZE];
    uint64_t count, offset; /* of the first one */
    uint32_t partition;
};

struct settling {
    struct dlq dlq;
    bool redrive, dry, json, draw, drawn;
    uint64_t limit, done, stay_sum;
    uint64_t rate, rate_ns; /* so many in so long; 0: no limit */
    mono_time begun, draw_due;
    struct stay stays[STAY_COUNT_MAX];
    uint32_t stay_count;
    uint32_t partition; /* at work on */
};

/* ---- answers -------------------------------------------------------------------------------------------------------- */

static void add_stay(struct settling *t, struct json_value root)
{
    struct bytes why = line_text(root, "why");
    char text[STAY_WHY_SIZE];
    uint32_t i = 0;
    snprintf(text, sizeof text, "%.*s", (int)why.size, (const char *)why.at);
    while (i < t->stay_count && strcmp(t->stays[i].why, text) != 0)
        i++;
    if (i == STAY_COUNT_MAX)
        i = STAY_COUNT_MAX - 1;
    if (i == t->stay_count) {
        struct stay *stay = &t->stays[t->stay_count++];
        *stay = (struct stay){ .partition = t->partition, .offset = line_number(root, "first") };
        memcpy(stay->why, text, sizeof text);
    }
    t->stays[i].count += line_number(root, "stay");
    t->stay_sum += line_number(root, "stay");
}

static void each_line(struct session *s, void *ctx, struct bytes line)
{
    struct settling *t = ctx;
    struct json_value root, member;
    if (json_parse(s->parser, line, &root) != NEAP_OK)
        return;
    if (json_get(root, BYTES("stay"), &member))
        add_stay(t, root);
    else
        t->done += line_number(root, "letters");
}

/* ---- progress and pace ------------------------------------------------------------------------------------------------ */

static void draw(struct settling *t)
{
    struct cli *cli = t->dlq.session.cli;
    char room[32];
    mono_time now = io_now(cli->io);
    if (!t->draw || now.ns < t->draw_due.ns)
        return;
    say_raw(cli, "\r\033[K%s %s, of %s", cli_number_text(room, t->done), t->redrive ? "redriven" : "dropped",
            t->dlq.topic);
    t->drawn = true;
    t->draw_due = mono_after(now, DRAW_NS);
}

static void wipe(struct settling *t)
{
    if (t->drawn)
        say_raw(t->dlq.session.cli, "\r\033[K");
    t->drawn = false;
}

/* A tenth of a second's worth, one at least. */
static uint64_t piece_limit(const struct settling *t)
{
    uint64_t left = t->limit - t->done, most = INT64_MAX;
    if (t->rate > 0 && !t->dry) {
        most = t->rate * (uint64_t)NS_PER_S / t->rate_ns / 10;
        most = most == 0 ? 1 : most;
    }
    return left < most ? left : most;
}

static void keep_pace(const struct settling *t)
{
    if (t->rate == 0 || t->dry)
        return;
    double due_ns = (double)t->done * (double)t->rate_ns / (double)t->rate;
    int64_t left_ns = (int64_t)due_ns - (io_now(t->dlq.session.cli->io).ns - t->begun.ns);
    if (left_ns > 0)
        cli_rest(t->dlq.session.cli, left_ns);
}

/* ---- the work ------------------------------------------------------------------------------------------------------------ */

static void request_manner(const struct settling *t, struct request *request)
{
    const struct cli *cli = t->dlq.session.cli;
    uint64_t redrives;
    request_number(request, "limit", piece_limit(t));
    request_text(request, "for", cli->flags[FLAG_FOR]);
    if (t->dry)
        request_flag(request, "dry_run");
    if (cli->flags[FLAG_FORCE] != NULL)
        request_flag(request, "force");
    if (cli->flags[FLAG_REDRIVES] != NULL && cli_number(t->dlq.session.cli, FLAG_REDRIVES, UINT32_MAX, &redrives))
        request_number(request, "redrives", redrives);
}

static int settle_range(struct settling *t, uint32_t partition, uint64_t from, uint64_t until)
{
    struct dlq *d = &t->dlq;
    t->partition = partition;
    do {
        struct request request;
        dlq_request(d, &request, t->redrive ? "dlq redrive" : "dlq drop", partition, from, until);
        request_manner(t, &request);
        int code = dlq_ask(d, &request, each_line, t);
        if (code != CLI_OK)
            return code;
        from = d->session.next;
        draw(t);
        if (d->session.more && t->done < t->limit)
            keep_pace(t);
    } while (d->session.more && t->done < t->limit);
    return CLI_OK;
}

static int settle_places(struct settling *t)
{
    int code = CLI_OK;
    bool missing = false;
    for (uint32_t i = 0; code == CLI_OK && i < t->dlq.place_count; i++) {
        const struct dlq_place *place = &t->dlq.places[i];
        uint64_t before = t->done + t->stay_sum;
        code = settle_range(t, place->partition, place->offset, place->offset + 1);
        if (code == CLI_OK && t->done + t->stay_sum == before) {
            say(t->dlq.session.cli, "there is no letter %u:%llu to look at in topic %s", place->partition,
                (unsigned long long)place->offset, t->dlq.topic);
            missing = true;
        }
    }
    return code == CLI_OK && (missing || t->stay_sum > 0) ? CLI_NO : code;
}

static int settle_all(struct settling *t)
{
    int code = CLI_OK;
    if (t->dlq.place_count > 0)
        return settle_places(t);
    for (uint32_t p = 0; code == CLI_OK && p < t->dlq.range_count && t->done < t->limit; p++)
        if (dlq_takes(&t->dlq, p))
            code = settle_range(t, p, t->dlq.ranges[p].start, t->dlq.ranges[p].end);
    return code == CLI_OK && t->done == 0 && t->stay_sum > 0 ? CLI_NO : code;
}

/* ---- what became of them -------------------------------------------------------------------------------------------------- */

static void say_stays(struct settling *t)
{
    char room[32], node[SESSION_PATH_SIZE_MAX];
    dlq_node_words(&t->dlq, node);
    for (uint32_t i = 0; i < t->stay_count; i++) {
        const struct stay *stay = &t->stays[i];
        say(t->dlq.session.cli, "%s stay%s: %s (neap dlq show %s %u:%llu%s)", cli_number_text(room, stay->count),
            stay->count == 1 ? "s" : "", stay->why, t->dlq.topic, stay->partition, (unsigned long long)stay->offset,
            node);
    }
}

static void print_sum(struct settling *t)
{
    struct cli *cli = t->dlq.session.cli;
    char room[32];
    const char *did = t->redrive ? t->dry ? "would redrive" : "redriven" : t->dry ? "would drop" : "dropped";
    if (t->json)
        out_print(cli, "{\"topic\":\"%s\",\"%s\":%llu,\"stay\":%llu,\"dry_run\":%s}\n", t->dlq.topic,
                  t->redrive ? "redriven" : "dropped", (unsigned long long)t->done, (unsigned long long)t->stay_sum,
                  t->dry ? "true" : "false");
    else
        out_print(cli, "%s %s dead letter%s of %s\n", did, cli_number_text(room, t->done), t->done == 1 ? "" : "s",
                  t->dlq.topic);
}

/* On a terminal a person is told how many there are before they are gone. */
static int confirm(struct settling *t)
{
    struct cli *cli = t->dlq.session.cli;
    char question[LOG_NAME_SIZE_MAX + 64], room[32];
    if (t->redrive || t->dry || cli->flags[FLAG_YES] != NULL)
        return CLI_OK;
    t->dry = true;
    int code = settle_all(t);
    snprintf(question, sizeof question, "drop %s dead letter%s of %s?", cli_number_text(room, t->done),
             t->done == 1 ? "" : "s", t->dlq.topic);
    t->dry = false;
    t->done = 0;
    return code != CLI_OK ? code : cli_confirm(cli, "dead letters", question);
}

/* "100/s", "30/m", "5/h". */
static bool read_rate(struct settling *t, struct cli *cli)
{
    const char *text = cli->flags[FLAG_RATE];
    char *end;
    if (text == NULL)
        return true;
    unsigned long long count = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (count > 0 && count <= 1000000000 && end[0] == '/' && end[1] != '\0' && end[2] == '\0') {
        t->rate = count;
        t->rate_ns = end[1] == 's' ? NS_PER_S : end[1] == 'm' ? 60 * NS_PER_S : end[1] == 'h' ? 3600 * NS_PER_S : 0;
    }
    if (t->rate_ns > 0)
        return true;
    say(cli, "--rate: '%s' is no rate such as 100/s, 30/m or 5/h", text);
    return false;
}

static bool read_flags(struct settling *t, struct cli *cli)
{
    uint64_t redrives;
    if (cli->flags[FLAG_FOR] != NULL && strlen(cli->flags[FLAG_FOR]) > LOG_NAME_SIZE_MAX) {
        say(cli, "--for: no pipeline's name is longer than %u bytes", LOG_NAME_SIZE_MAX);
        return false;
    }
    return cli_number(cli, FLAG_LIMIT, INT64_MAX, &t->limit) && cli_number(cli, FLAG_REDRIVES, UINT32_MAX, &redrives) &&
           read_rate(t, cli);
}

static int settle(struct settling *t)
{
    struct cli *cli = t->dlq.session.cli;
    bool is_asked = t->redrive || t->dry || cli->flags[FLAG_YES] != NULL;
    if (!is_asked && (!io_is_terminal(io_standard(cli->io, 0)) || !io_is_terminal(io_standard(cli->io, 2))))
        return cli_confirm(cli, "dead letters", ""); /* says what it wants */
    int code = dlq_find(&t->dlq);
    if (code == CLI_OK)
        code = confirm(t);
    if (code != CLI_OK)
        return code;
    t->draw = io_is_terminal(io_standard(cli->io, 2)) && !t->dry;
    t->begun = io_now(cli->io);
    code = settle_all(t);
    wipe(t);
    print_sum(t);
    out_flush(cli);
    dlq_say_failures(&t->dlq);
    say_stays(t);
    return code;
}

static int settle_verb(struct cli *cli, bool redrive)
{
    struct settling *t = calloc(1, sizeof *t);
    if (t == NULL) {
        say(cli, "out of memory");
        return CLI_SURROUNDINGS;
    }
    t->redrive = redrive;
    t->dry = cli->flags[FLAG_DRY_RUN] != NULL;
    t->json = cli->flags[FLAG_JSON] != NULL;
    t->limit = INT64_MAX;
    int code = read_flags(t, cli) ? dlq_open(&t->dlq, cli, true) : CLI_USAGE;
    if (code == CLI_OK)
        code = settle(t);
    dlq_close(&t->dlq);
    free(t);
    return code;
}

int cli_dlq_drop(struct cli *cli)
{
    return settle_verb(cli, false);
}

int cli_dlq_redrive(struct cli *cli)
{
    return settle_verb(cli, true);
}
