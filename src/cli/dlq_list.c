/* dlq_list.c - topics of dead letters, and what there is of each kind. */
#include "cli/dlq.h"
#include <stdio.h>
#include <stdlib.h>

#define KIND_COUNT_MAX 256u /* of one topic; what goes beyond is counted together */
#define KIND_TEXT_SIZE 64u

struct kind {
    char reason[KIND_TEXT_SIZE], stage[KIND_TEXT_SIZE], newest[32];
    uint64_t letters, dropped, redriven;
};

struct topic_row {
    char name[LOG_NAME_SIZE_MAX + 1];
    uint64_t events, letters, dropped, redriven;
    uint32_t partition_count;
};

struct overview {
    struct dlq dlq;
    struct table table;
    bool json, failed;
    struct topic_row *topics;
    uint32_t topic_count;
    struct kind kinds[KIND_COUNT_MAX];
    uint32_t kind_count;
};

static const struct table_column overview_columns[] = {
    { NULL, "topic", false, false },   { NULL, "to look at", true, false }, { NULL, "dropped", true, false },
    { NULL, "redriven", true, false }, { NULL, "reason", false, false },    { NULL, "stage", false, false },
    { NULL, "newest", false, false },
};

static void each_topic(struct session *s, void *ctx, struct bytes line)
{
    struct overview *o = ctx;
    struct json_value root;
    if (json_parse(s->parser, line, &root) != NEAP_OK)
        return;
    struct topic_row *topics = realloc(o->topics, (o->topic_count + 1) * sizeof *topics);
    o->failed |= topics == NULL;
    if (topics == NULL)
        return;
    o->topics = topics;
    struct topic_row *row = &topics[o->topic_count++];
    *row = (struct topic_row){ .events = line_number(root, "events"),
                               .letters = line_number(root, "letters"),
                               .dropped = line_number(root, "dropped"),
                               .redriven = line_number(root, "redriven"),
                               .partition_count = (uint32_t)line_number(root, "partitions") };
    dlq_copy_text(row->name, sizeof row->name, line_text(root, "topic"));
}

static struct kind *find_kind(struct overview *o, struct bytes reason, struct bytes stage)
{
    struct kind new = { .newest = "" };
    dlq_copy_text(new.reason, sizeof new.reason, reason);
    dlq_copy_text(new.stage, sizeof new.stage, stage);
    uint32_t i = 0;
    while (i < o->kind_count &&
           (strcmp(o->kinds[i].reason, new.reason) != 0 || strcmp(o->kinds[i].stage, new.stage) != 0))
        i++;
    if (i < o->kind_count)
        return &o->kinds[i];
    if (i == KIND_COUNT_MAX) { /* the last one stands for all that found no place */
        i = KIND_COUNT_MAX - 1;
        strcpy(o->kinds[i].reason, "others");
        strcpy(o->kinds[i].stage, "");
        return &o->kinds[i];
    }
    o->kinds[o->kind_count++] = new;
    return &o->kinds[i];
}

static void each_kind(struct session *s, void *ctx, struct bytes line)
{
    struct overview *o = ctx;
    struct json_value root;
    if (json_parse(s->parser, line, &root) != NEAP_OK)
        return;
    struct kind *kind = find_kind(o, line_text(root, "reason"), line_text(root, "stage"));
    char newest[sizeof kind->newest];
    kind->letters += line_number(root, "letters");
    kind->dropped += line_number(root, "dropped");
    kind->redriven += line_number(root, "redriven");
    dlq_copy_text(newest, sizeof newest, line_text(root, "newest"));
    if (strcmp(newest, kind->newest) > 0)
        memcpy(kind->newest, newest, sizeof newest);
}

static int count_kinds(struct overview *o, const struct topic_row *row)
{
    struct dlq *d = &o->dlq;
    o->kind_count = 0;
    memcpy(d->topic, row->name, sizeof d->topic);
    for (uint32_t p = 0; p < row->partition_count; p++) {
        uint64_t from = 0;
        do {
            struct request request;
            dlq_request(d, &request, "dlq count", p, from, INT64_MAX);
            request_flag(&request, "all");
            int code = dlq_takes(d, p) ? dlq_ask(d, &request, each_kind, o) : CLI_OK;
            if (code != CLI_OK)
                return code;
            from = d->session.next;
        } while (dlq_takes(d, p) && d->session.more);
    }
    return CLI_OK;
}

static void print_json(struct overview *o, const struct topic_row *row)
{
    struct cli *cli = o->dlq.session.cli;
    uint8_t room[8 * KIND_TEXT_SIZE];
    out_print(cli, "{\"topic\":\"%s\",\"events\":%llu,\"letters\":%llu,\"dropped\":%llu,\"redriven\":%llu,\"kinds\":[",
              row->name, (unsigned long long)row->events, (unsigned long long)row->letters,
              (unsigned long long)row->dropped, (unsigned long long)row->redriven);
    for (uint32_t i = 0; i < o->kind_count; i++) {
        const struct kind *kind = &o->kinds[i];
        const char *const texts[] = { kind->reason, kind->stage, kind->newest };
        const char *const names[] = { "reason", "stage", "newest" };
        for (uint32_t n = 0; n < COUNT_OF(names); n++) {
            struct writer w = writer_of(room, sizeof room);
            json_write_text(&w, bytes_of_text(texts[n]));
            struct bytes text = writer_bytes(&w);
            out_print(cli, "%s\"%s\":%.*s",
                      n > 0   ? ","
                      : i > 0 ? ",{"
                              : "{",
                      names[n], (int)text.size, (const char *)text.at);
        }
        out_print(cli, ",\"letters\":%llu,\"dropped\":%llu,\"redriven\":%llu}", (unsigned long long)kind->letters,
                  (unsigned long long)kind->dropped, (unsigned long long)kind->redriven);
    }
    out_print(cli, "]}\n");
}

static void add_row(struct overview *o, const char *topic, const struct kind *kind)
{
    struct table *t = &o->table;
    char room[32];
    const uint64_t numbers[] = { kind->letters, kind->dropped, kind->redriven };
    snprintf(table_cell(t, 0), TABLE_CELL_SIZE_MAX, "%.63s", topic);
    for (uint32_t i = 0; i < COUNT_OF(numbers); i++)
        snprintf(table_cell(t, 1 + i), TABLE_CELL_SIZE_MAX, "%s", cli_number_text(room, numbers[i]));
    dlq_fill_cell(t, 4, bytes_of_text(kind->reason));
    dlq_fill_cell(t, 5, bytes_of_text(kind->stage));
    dlq_fill_cell(t, 6, bytes_of_text(kind->newest));
    table_row(t);
}

static int print_topic(struct overview *o, const struct topic_row *row)
{
    static const struct kind none = { .reason = "-", .stage = "-", .newest = "-" };
    int code = count_kinds(o, row);
    if (code != CLI_OK)
        return code;
    if (o->json) {
        print_json(o, row);
        return CLI_OK;
    }
    for (uint32_t i = 0; i < o->kind_count; i++)
        add_row(o, row->name, &o->kinds[i]);
    if (o->kind_count == 0)
        add_row(o, row->name, &none);
    return CLI_OK;
}

static int list_topics(struct overview *o)
{
    struct request request;
    request_begin(&request, "dlq list");
    int code = dlq_ask(&o->dlq, &request, each_topic, o);
    if (code == CLI_OK && o->failed) {
        say(o->dlq.session.cli, "out of memory");
        code = CLI_SURROUNDINGS;
    }
    for (uint32_t i = 0; code == CLI_OK && i < o->topic_count; i++)
        code = print_topic(o, &o->topics[i]);
    return code;
}

int cli_dlq_list(struct cli *cli)
{
    struct overview *o = calloc(1, sizeof *o);
    if (o == NULL) {
        say(cli, "out of memory");
        return CLI_SURROUNDINGS;
    }
    o->json = cli->flags[FLAG_JSON] != NULL;
    int code = dlq_open(&o->dlq, cli, false);
    if (code == CLI_OK && o->dlq.name != NULL) {
        dlq_close(&o->dlq);
        free(o);
        return dlq_list_letters(cli);
    }
    if (code == CLI_OK && !table_open(&o->table, cli, overview_columns, COUNT_OF(overview_columns)))
        code = CLI_SURROUNDINGS;
    if (code == CLI_OK) {
        code = list_topics(o);
        o->table.headed = o->table.headed || o->json || code != CLI_OK;
        table_close(&o->table);
        dlq_say_failures(&o->dlq);
    }
    dlq_close(&o->dlq);
    free(o->topics);
    free(o);
    return code;
}
