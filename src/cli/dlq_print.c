/* dlq_print.c - a dead letter for a person: as a row, or whole. */
#include "cli/dlq.h"
#include <stdio.h>

const struct table_column dlq_columns[DLQ_COLUMN_COUNT] = {
    { NULL, "letter", false, false }, { NULL, "gave up", false, false },       { NULL, "reason", false, false },
    { NULL, "stage", false, false },  { "attempts", "attempts", true, false }, { NULL, "key", false, false },
    { NULL, "error", false, false },
};

/* ---- a row ---------------------------------------------------------------------------------------------------------- */

void dlq_fill_cell(struct table *t, uint32_t column, struct bytes text)
{
    char *cell = table_cell(t, column);
    size_t at = 0, size = 0;
    while (at < text.size && size < TABLE_CELL_SIZE_MAX - 4) {
        uint8_t c = text.at[at];
        bool c1 = c == 0xC2 && at + 1 < text.size && text.at[at + 1] < 0xA0;
        cell[size++] = c < 0x20 || c == 0x7F || c1 ? '.' : (char)c;
        at += c1 ? 2 : 1;
    }
    while (at < text.size && size > 0 && ((uint8_t)cell[size - 1] & 0xC0) == 0x80)
        size--;
    if (at < text.size && size > 0 && ((uint8_t)cell[size - 1] & 0xC0) == 0xC0)
        size--; /* a character whose end has no room */
    snprintf(cell + size, TABLE_CELL_SIZE_MAX - size, "%s", at < text.size ? "..." : "");
}

void dlq_print_row(struct table *t, struct json_value root)
{
    static const char *const members[] = { "last", "reason", "stage", NULL, "key", "error" };
    table_fill(t, root);
    snprintf(table_cell(t, 0), TABLE_CELL_SIZE_MAX, "%llu:%llu", (unsigned long long)line_number(root, "partition"),
             (unsigned long long)line_number(root, "offset"));
    for (uint32_t i = 0; i < COUNT_OF(members); i++)
        if (members[i] != NULL)
            dlq_fill_cell(t, 1 + i, line_text(root, members[i]));
    table_row(t);
}

/* ---- a whole letter --------------------------------------------------------------------------------------------------- */

static void print_text(struct cli *cli, const char *title, struct bytes text)
{
    if (text.size == 0)
        return;
    out_print(cli, "  %-9s ", title);
    out_stranger(cli, text);
    out_print(cli, "\n");
}

static void print_history(struct cli *cli, struct json_value root)
{
    struct bytes first = line_text(root, "first"), last = line_text(root, "last");
    unsigned long long attempts = line_number(root, "attempts"), redrives = line_number(root, "redrives");
    if (last.size == 0)
        return;
    out_print(cli, "  gave up   ");
    out_stranger(cli, last);
    if (attempts > 1) {
        out_print(cli, ", after %llu attempts since ", attempts);
        out_stranger(cli, first);
    }
    if (redrives > 0)
        out_print(cli, ", redriven %llu time%s before", redrives, redrives == 1 ? "" : "s");
    out_print(cli, "\n");
}

static void print_origin(struct cli *cli, struct json_value root)
{
    struct json_value event;
    struct bytes file = line_text(root, "file");
    if (file.size > 0) {
        out_print(cli, "  at        ");
        out_stranger(cli, file);
        out_print(cli, ":%llu:%llu\n", (unsigned long long)line_number(root, "line"),
                  (unsigned long long)line_number(root, "column"));
    }
    print_text(cli, "why", line_text(root, "error"));
    print_text(cli, "at first", line_text(root, "first_error"));
    print_history(cli, root);
    if (json_get(root, BYTES("event"), &event) && json_kind(event) == JSON_OBJECT) {
        out_print(cli, "  event     ");
        out_stranger(cli, line_text(event, "topic"));
        out_print(cli, "/%llu:%llu, of pipeline ", (unsigned long long)line_number(event, "partition"),
                  (unsigned long long)line_number(event, "offset"));
        out_stranger(cli, line_text(root, "pipeline"));
        out_print(cli, "\n");
    }
    print_text(cli, "key", line_text(root, "key"));
    print_text(cli, "id", line_text(root, "id"));
    print_text(cli, "follows", line_text(root, "correlation"));
}

static void print_headers(struct cli *cli, struct json_value root)
{
    struct json_value headers, value;
    struct bytes name;
    if (!json_get(root, BYTES("headers"), &headers) || json_kind(headers) != JSON_OBJECT)
        return;
    for (uint64_t cursor = 0; json_next(headers, &cursor, &name, &value);) {
        out_print(cli, "  header    ");
        out_stranger(cli, name);
        out_print(cli, ": ");
        if (json_kind(value) == JSON_TEXT)
            out_stranger(cli, json_text(value));
        out_print(cli, "\n");
    }
}

/* What may be done about it. */
static void print_ways(const struct dlq *d, struct json_value root)
{
    struct cli *cli = d->session.cli;
    char node[SESSION_PATH_SIZE_MAX];
    struct bytes settled = line_text(root, "settled"), stays = line_text(root, "stays");
    unsigned long long partition = line_number(root, "partition"), offset = line_number(root, "offset");
    dlq_node_words(d, node);
    if (settled.size > 0)
        out_print(cli, "  settled   %.*s\n", (int)settled.size, (const char *)settled.at);
    else if (stays.size > 0)
        out_print(cli, "  drop      neap dlq drop %s %llu:%llu%s\n  redrive   no: %.*s\n", d->topic, partition, offset,
                  node, (int)stays.size, (const char *)stays.at);
    else
        out_print(cli, "  redrive   neap dlq redrive %s %llu:%llu%s\n", d->topic, partition, offset, node);
}

void dlq_print_letter(const struct dlq *d, struct bytes line, struct json_value root, bool first)
{
    struct cli *cli = d->session.cli;
    struct bytes reason = line_text(root, "reason"), stage = line_text(root, "stage");
    out_print(cli, "%s%s%s %llu:%llu%s  ", first ? "" : "\n", cli->colour_out ? "\033[1m" : "", d->topic,
              (unsigned long long)line_number(root, "partition"), (unsigned long long)line_number(root, "offset"),
              cli->colour_out ? "\033[0m" : "");
    out_stranger(cli, reason.size > 0 ? reason : BYTES("no dead letter"));
    if (stage.size > 0) {
        out_print(cli, " in ");
        out_stranger(cli, stage);
    }
    out_print(cli, "\n");
    print_origin(cli, root);
    print_headers(cli, root);
    out_print(cli, "  value     ");
    out_stranger(cli, line_value(line, root));
    if (line_number(root, "full_size") > 0)
        out_print(cli, "... cut: it had %llu bytes", (unsigned long long)line_number(root, "full_size"));
    out_print(cli, "\n");
    print_ways(d, root);
}
