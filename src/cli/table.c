/* table.c - answer lines as a table for a person. */
#include "cli/table.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

bool table_open(struct table *t, struct cli *cli, const struct table_column *columns, uint32_t count)
{
    must(count <= TABLE_COLUMN_COUNT_MAX);
    *t = (struct table){ .cli = cli, .columns = columns, .column_count = count };
    t->cells = calloc(TABLE_ROW_COUNT_MAX, sizeof *t->cells);
    if (t->cells == NULL)
        say(cli, "out of memory");
    return t->cells != NULL;
}

char *table_cell(struct table *t, uint32_t column)
{
    must(column < t->column_count && t->row_count < TABLE_ROW_COUNT_MAX);
    return t->cells[t->row_count][column];
}

void table_fill(struct table *t, struct json_value line)
{
    for (uint32_t c = 0; c < t->column_count; c++) {
        const struct table_column *column = &t->columns[c];
        char *cell = table_cell(t, c), room[32];
        if (column->member == NULL)
            continue;
        if (column->number) {
            snprintf(cell, TABLE_CELL_SIZE_MAX, "%s", cli_number_text(room, line_number(line, column->member)));
        } else if (column->size) {
            snprintf(cell, TABLE_CELL_SIZE_MAX, "%s", cli_size_text(room, line_number(line, column->member)));
        } else {
            struct bytes text = line_text(line, column->member);
            snprintf(cell, TABLE_CELL_SIZE_MAX, "%.*s", (int)text.size, (const char *)text.at);
        }
    }
}

static void print_cell(struct table *t, uint32_t column, const char *text)
{
    bool right = t->columns[column].number || t->columns[column].size;
    bool last = column + 1 == t->column_count;
    if (right)
        out_print(t->cli, "%*s", (int)t->widths[column], text);
    else
        out_print(t->cli, "%-*s", last ? 0 : (int)t->widths[column], text);
    out_print(t->cli, "%s", last ? "\n" : "  ");
}

static void print_rows(struct table *t)
{
    for (uint32_t c = 0; c < t->column_count; c++) {
        uint32_t width = (uint32_t)strlen(t->columns[c].title);
        for (uint32_t r = 0; r < t->row_count; r++) {
            uint32_t size = (uint32_t)strlen(t->cells[r][c]);
            width = size > width ? size : width;
        }
        t->widths[c] = t->headed && t->widths[c] > width ? t->widths[c] : width;
    }
    for (uint32_t c = 0; !t->headed && c < t->column_count; c++)
        print_cell(t, c, t->columns[c].title);
    t->headed = true;
    for (uint32_t r = 0; r < t->row_count; r++) {
        for (uint32_t c = 0; c < t->column_count; c++)
            print_cell(t, c, t->cells[r][c]);
    }
    t->row_count = 0;
}

void table_row(struct table *t)
{
    if (++t->row_count == TABLE_ROW_COUNT_MAX)
        print_rows(t);
}

void table_close(struct table *t)
{
    if (t->row_count > 0 || !t->headed)
        print_rows(t);
    free(t->cells);
    t->cells = NULL;
}
