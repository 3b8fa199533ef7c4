/* alive.h - how much of a journal file or an archive is alive, by its index.
 *
 * owner    the caller, who has pinned it
 * memory   some entries on the stack
 * limits   it stops counting where enough stays
 * errors   as reading an index: BADINPUT, CORRUPT, IO
 * promise  where no more than `enough` stays, it never counts less than is alive; what dies meanwhile may still be counted */
#ifndef LOG_LOCAL_ALIVE_H
#define LOG_LOCAL_ALIVE_H

#include "log/local/index.h"

struct alive {
    uint64_t size; /* of batches whose topic is there, that end after their partition's start, and are not all declared lost */
    uint64_t stay;     /* of those, what no compaction waits for */
    uint64_t archived; /* what archives of them take, with headers and indexes */
};

/* Counts until more than `enough` stays: how much more does not matter. 0: only whether anything is alive does. */
enum neap_status alive_count(struct log *log, struct index_file index, uint64_t enough, struct alive *ret_alive);

#endif
