/* dlq_letters.c - dead letters, as rows or whole.
 *
 * The newest come first: each partition is read backwards, a window at a time, and the newest head of all windows is next.
 * `--oldest`, and `--json` where no number is given, go through one partition after the other instead, and keep nothing. */
#include "base/must.h"
#include "cli/dlq.h"
#include <stdio.h>
#include <stdlib.h>

#define LIST_COUNT       20u /* where nobody says how many */
#define SHOW_COUNT       10u
#define WINDOW_MIN       4u
#define WINDOW_FIRST_MAX 256u  /* offsets of a window, of all partitions together sixteen times as many */
#define WINDOW_MAX       8192u /* while nothing is found */
#define LAST_SIZE        32u

struct head {
    char *line;
    size_t size;
    uint64_t offset;
    char last[LAST_SIZE]; /* when it gave up: RFC 3339 in UTC, so that texts compare as times do */
};

struct source {
    uint32_t partition;
    uint64_t low, high; /* not looked at yet: [low, high) */
    uint64_t window;
    struct head *heads; /* of the last window, oldest first */
    uint32_t count, room;
};

struct letters {
    struct dlq dlq;
    struct table table;
    bool whole, json, failed;
    uint64_t limit, count;
    struct source *sources;
    struct source *filling;
    uint64_t first; /* of the answer at hand */
};

static void print_line(struct letters *l, struct bytes line)
{
    struct session *s = &l->dlq.session;
    struct json_value root;
    l->count++;
    if (l->json || json_parse(s->parser, line, &root) != NEAP_OK) {
        out_write(s->cli, line);
        out_write(s->cli, BYTES("\n"));
    } else if (line_is_unreadable(s, root)) {
        return;
    } else if (l->whole) {
        dlq_print_letter(&l->dlq, line, root, l->count == 1);
    } else {
        dlq_print_row(&l->table, root);
    }
}

static void each_printed(struct session *s, void *ctx, struct bytes line)
{
    (void)s;
    print_line(ctx, line);
}

/* ---- one after the other ---------------------------------------------------------------------------------------------- */

static void request_more(const struct letters *l, struct request *request, uint64_t limit, bool brief)
{
    request_number(request, "limit", limit);
    if (brief)
        request_flag(request, "brief");
    if (l->dlq.session.cli->flags[FLAG_ALL] != NULL || l->dlq.place_count > 0)
        request_flag(request, "all");
}

static int print_range(struct letters *l, uint32_t partition, uint64_t from, uint64_t until)
{
    struct dlq *d = &l->dlq;
    do {
        struct request request;
        dlq_request(d, &request, "dlq show", partition, from, until);
        request_more(l, &request, l->limit - l->count, !l->whole);
        int code = dlq_ask(d, &request, each_printed, l);
        if (code != CLI_OK)
            return code;
        if (!out_flush(d->session.cli))
            return out_exit(d->session.cli);
        from = d->session.next;
    } while (d->session.more && l->count < l->limit);
    return CLI_OK;
}

static int print_oldest(struct letters *l)
{
    int code = CLI_OK;
    for (uint32_t p = 0; code == CLI_OK && p < l->dlq.range_count && l->count < l->limit; p++)
        if (dlq_takes(&l->dlq, p))
            code = print_range(l, p, l->dlq.ranges[p].start, l->dlq.ranges[p].end);
    return code;
}

static int print_places(struct letters *l)
{
    int code = CLI_OK;
    bool missing = false;
    for (uint32_t i = 0; code == CLI_OK && i < l->dlq.place_count; i++) {
        const struct dlq_place *place = &l->dlq.places[i];
        uint64_t before = l->count;
        code = print_range(l, place->partition, place->offset, place->offset + 1);
        if (code == CLI_OK && l->count == before)
            say(l->dlq.session.cli, "there is no letter %u:%llu in topic %s", place->partition,
                (unsigned long long)place->offset, l->dlq.topic);
        missing = missing || l->count == before;
    }
    return code == CLI_OK && missing ? CLI_NO : code;
}

/* ---- the newest first --------------------------------------------------------------------------------------------------- */

static void each_head(struct session *s, void *ctx, struct bytes line)
{
    struct letters *l = ctx;
    struct source *source = l->filling;
    struct json_value root;
    if (l->failed || json_parse(s->parser, line, &root) != NEAP_OK || line_is_unreadable(s, root))
        return;
    if (source->count == source->room) {
        uint32_t room = source->room == 0 ? 16 : 2 * source->room;
        struct head *heads = realloc(source->heads, room * sizeof *heads);
        l->failed = heads == NULL;
        if (heads == NULL)
            return;
        source->heads = heads;
        source->room = room;
    }
    struct head head = { .line = malloc(line.size), .size = line.size, .offset = line_number(root, "offset") };
    struct bytes last = line_text(root, "last");
    l->failed = head.line == NULL;
    if (head.line == NULL)
        return;
    memcpy(head.line, line.at, line.size);
    snprintf(head.last, sizeof head.last, "%.*s", (int)last.size, (const char *)last.at);
    source->heads[source->count++] = head;
}

static int read_window(struct letters *l, struct source *source, uint64_t from)
{
    struct dlq *d = &l->dlq;
    uint64_t at = from;
    l->filling = source;
    do {
        struct request request;
        dlq_request(d, &request, "dlq show", source->partition, at, source->high);
        request_more(l, &request, INT64_MAX, true);
        int code = dlq_ask(d, &request, each_head, l);
        if (code != CLI_OK)
            return code;
        at = d->session.next;
        if (d->session.first > source->low)
            source->low = d->session.first; /* nothing before it is meant */
    } while (d->session.more);
    if (l->failed) {
        say(d->session.cli, "out of memory");
        return CLI_SURROUNDINGS;
    }
    source->high = from;
    return CLI_OK;
}

/* Until there is a head, or nothing is left. Where little is found, windows grow. */
static int fill_source(struct letters *l, struct source *source)
{
    while (source->count == 0 && source->high > source->low) {
        uint64_t size = source->high - source->low;
        int code = read_window(l, source, source->high - (size < source->window ? size : source->window));
        if (code != CLI_OK)
            return code;
        if (source->count == 0 && source->window < WINDOW_MAX)
            source->window *= 2;
    }
    return CLI_OK;
}

static struct source *newest_source(struct letters *l, int *code)
{
    struct source *newest = NULL;
    for (uint32_t p = 0; p < l->dlq.range_count; p++) {
        struct source *source = &l->sources[p];
        *code = dlq_takes(&l->dlq, p) ? fill_source(l, source) : CLI_OK;
        if (*code != CLI_OK)
            return NULL;
        if (source->count == 0)
            continue;
        if (newest == NULL || strcmp(source->heads[source->count - 1].last, newest->heads[newest->count - 1].last) > 0)
            newest = source;
    }
    return newest;
}

static int print_head(struct letters *l, struct source *source)
{
    struct head *head = &source->heads[--source->count];
    int code = CLI_OK;
    if (l->whole)
        code = print_range(l, source->partition, head->offset, head->offset + 1);
    else
        print_line(l, (struct bytes){ (const uint8_t *)head->line, head->size });
    free(head->line);
    if (code == CLI_OK && out_is_closed(l->dlq.session.cli))
        code = out_exit(l->dlq.session.cli);
    return code;
}

static int print_newest(struct letters *l)
{
    uint32_t partition_count = l->dlq.range_count;
    uint64_t window = 16u * WINDOW_FIRST_MAX / (partition_count > 0 ? partition_count : 1);
    int code = CLI_OK;
    l->sources = calloc(partition_count + 1, sizeof *l->sources);
    if (l->sources == NULL) {
        say(l->dlq.session.cli, "out of memory");
        return CLI_SURROUNDINGS;
    }
    window = window > WINDOW_FIRST_MAX ? WINDOW_FIRST_MAX : window < WINDOW_MIN ? WINDOW_MIN : window;
    for (uint32_t p = 0; p < partition_count; p++)
        l->sources[p] = (struct source){
            .partition = p, .low = l->dlq.ranges[p].start, .high = l->dlq.ranges[p].end, .window = window
        };
    while (code == CLI_OK && l->count < l->limit) {
        struct source *source = newest_source(l, &code);
        if (source == NULL)
            break;
        code = print_head(l, source);
    }
    for (uint32_t p = 0; p < partition_count; p++) {
        while (l->sources[p].count > 0)
            free(l->sources[p].heads[--l->sources[p].count].line);
        free(l->sources[p].heads);
    }
    free(l->sources);
    return code;
}

/* ---- the verbs --------------------------------------------------------------------------------------------------------- */

static int print_letters(struct letters *l)
{
    struct cli *cli = l->dlq.session.cli;
    bool oldest = cli->flags[FLAG_OLDEST] != NULL || (l->json && cli->flags[FLAG_LIMIT] == NULL);
    int code = dlq_find(&l->dlq);
    if (code != CLI_OK)
        return code;
    if (l->dlq.place_count > 0)
        return print_places(l);
    return oldest ? print_oldest(l) : print_newest(l);
}

static int letters_verb(struct cli *cli, bool whole)
{
    struct letters *l = calloc(1, sizeof *l);
    if (l == NULL) {
        say(cli, "out of memory");
        return CLI_SURROUNDINGS;
    }
    l->whole = whole;
    l->json = cli->flags[FLAG_JSON] != NULL;
    l->limit = l->json ? INT64_MAX : whole ? SHOW_COUNT : LIST_COUNT;
    int code = cli_number(cli, FLAG_LIMIT, INT64_MAX, &l->limit) ? dlq_open(&l->dlq, cli, false) : CLI_USAGE;
    if (l->dlq.place_count > 0)
        l->limit = INT64_MAX;
    if (code == CLI_OK && !table_open(&l->table, cli, dlq_columns, DLQ_COLUMN_COUNT))
        code = CLI_SURROUNDINGS;
    if (code == CLI_OK) {
        code = print_letters(l);
        l->table.headed = l->table.headed || l->json || l->whole || code != CLI_OK;
        table_close(&l->table);
        dlq_say_failures(&l->dlq);
    }
    dlq_close(&l->dlq);
    free(l);
    return code;
}

int dlq_list_letters(struct cli *cli)
{
    return letters_verb(cli, false);
}

int cli_dlq_show(struct cli *cli)
{
    return letters_verb(cli, true);
}
