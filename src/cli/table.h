/* table.h - answer lines as a table for a person: columns as wide as what is in them.
 *
 * owner    the verb that prints it
 * memory   rows until TABLE_ROW_COUNT_MAX are there, then they are printed and the widths stay
 * limits   TABLE_CELL_SIZE_MAX bytes of a cell are kept
 * promise  the heading comes once, also when there is no row */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "cli/session.h"

#define TABLE_COLUMN_COUNT_MAX 10u
#define TABLE_ROW_COUNT_MAX    512u
#define TABLE_CELL_SIZE_MAX    64u

struct table_column {
    const char *member;  /* of the answer line; NULL: computed by the verb */
    const char *title;
    bool number;         /* right, with commas */
    bool size;           /* right, as KiB and MiB */
};

struct table {
    struct cli *cli;
    const struct table_column *columns;
    uint32_t column_count, row_count;
    uint32_t widths[TABLE_COLUMN_COUNT_MAX];
    bool headed;
    char (*cells)[TABLE_COLUMN_COUNT_MAX][TABLE_CELL_SIZE_MAX];
};

bool  table_open(struct table *t, struct cli *cli, const struct table_column *columns, uint32_t count);
char *table_cell(struct table *t, uint32_t column);              /* of the row under construction; TABLE_CELL_SIZE_MAX */
void  table_fill(struct table *t, struct json_value line);       /* every column that names a member */
void  table_row(struct table *t);                                /* the row is complete */
void  table_close(struct table *t);                              /* prints the rest */

#endif
