/* lost_list.h - what was declared lost of one partition, as it was when somebody began to work on it.
 *
 * owner    a rewrite, for the partition in work
 * memory   24 bytes a range of it; kept for the next partition
 * limits   LOST_RANGE_COUNT_MAX ranges
 * errors   NOMEM
 * promise  asked for each batch without the mutex; what is declared lost later counts from the next time on */
#ifndef LOG_LOCAL_LOST_LIST_H
#define LOG_LOCAL_LOST_LIST_H

#include "log/local/local.h"

struct lost_list { /* begins as zeros */
    struct lost_range *list; /* in order */
    uint32_t count, room;
    uint64_t start; /* of the partition: what lies before it is not kept */
};

enum neap_status lost_list_collect(struct lost_list *l, struct log *log, struct log_partition partition, uint64_t start);
bool lost_list_touches(const struct lost_list *l, uint64_t from, uint64_t to); /* any of these offsets */
bool lost_list_holds(const struct lost_list *l, uint64_t from, uint64_t to);   /* all that is kept of them */
void lost_list_fini(struct lost_list *l);

#endif
