/* dlq.h - what the verbs about dead letters share: which topic, which letters.
 *
 * owner    the verb
 * memory   the places that were named, and how far each partition goes
 * errors   exit codes, already said
 * promise  the same words and flags mean the same letters to list, show, drop and redrive */
#ifndef CLI_DLQ_H
#define CLI_DLQ_H

#include "cli/table.h"

struct dlq_place {
    uint32_t partition;
    uint64_t offset;
};

struct dlq_range {
    uint64_t start, end; /* offsets that were there when it was asked */
};

struct dlq {
    struct session session;
    const char *name, *file; /* words; NULL: not given */
    char topic[LOG_NAME_SIZE_MAX + 1], pipeline[LOG_NAME_SIZE_MAX + 1]; /* the pipeline, where a letter's is to be it */
    uint32_t match_count; /* topics that the name could mean */
    struct dlq_place places[CLI_WORD_COUNT_MAX];
    uint32_t place_count;
    bool has_since, has_until, has_partition;
    wall_time since, until;
    uint64_t partition;
    struct dlq_range *ranges;
    uint32_t range_count;
    uint64_t failed_count; /* letters on which --where failed */
    char failure[256];
};

/* Reads words and flags, and finds the node. */
int  dlq_open(struct dlq *d, struct cli *cli, bool writes);
/* The topic that the name means, and its partitions. */
int  dlq_find(struct dlq *d);
void dlq_close(struct dlq *d);
/* A request about the letters of a partition that are meant. */
void dlq_request(const struct dlq *d, struct request *request, const char *verb, uint32_t partition, uint64_t from,
                 uint64_t until);
/* As session_ask(), and keeps in mind where --where has failed. */
int  dlq_ask(struct dlq *d, struct request *request,
             void (*each)(struct session *s, void *ctx, struct bytes line), void *ctx);
/* Says so. */
void dlq_say_failures(struct dlq *d);
bool dlq_takes(const struct dlq *d, uint32_t partition); /* unless --partition is another one */
/* ` --data DIR`, or however else the node was named: for a command that a person may copy. */
const char *dlq_node_words(const struct dlq *d, char room[SESSION_PATH_SIZE_MAX]);
void dlq_copy_text(char *room, size_t room_size, struct bytes text);
int  dlq_list_letters(struct cli *cli);

/* ---- dlq_print.c ---- */

#define DLQ_COLUMN_COUNT 7u
extern const struct table_column dlq_columns[DLQ_COLUMN_COUNT];
/* Text of somebody else in a cell: cut at a character, and nothing in it drives the terminal. */
void dlq_fill_cell(struct table *t, uint32_t column, struct bytes text);
void dlq_print_row(struct table *t, struct json_value letter);
/* All that it tells, and what may be done about it. `first`: no other one stands above it. */
void dlq_print_letter(const struct dlq *d, struct bytes line, struct json_value letter, bool first);

#endif
