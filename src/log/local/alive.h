/* alive.h - how much of a journal file or an archive is alive, by its index.
 *
 * owner    the caller, who has pinned it
 * memory   some entries on the stack
 * limits   it stops counting where it is enough
 * errors   as reading an index: BADINPUT, CORRUPT, IO
 * promise  it never counts less than is alive, up to `enough`; what dies meanwhile may still be counted */
#ifndef LOG_LOCAL_ALIVE_H
#define LOG_LOCAL_ALIVE_H

#include "log/local/index.h"

struct alive {
    uint64_t size; /* of batches whose topic is there, that end after their partition's start, and of which not all was declared lost */
    uint64_t stay; /* of those, what no compaction waits for */
};

/* Counts up to `enough`: more of it does not matter. */
enum neap_status alive_count(struct log *log, struct index_file index, uint64_t enough, struct alive *ret_alive);

#endif
