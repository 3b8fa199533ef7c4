/* census.h - reads a log of a simulated year from end to end and compares it with the annals; weighs its directory.
 *
 * owner    the caller's log and annals
 * memory   a reader, and a bit for each record of a compacted partition
 * errors   a finding, with a line that says what is wrong
 * promise  asks the log only through log.h, and the directory for the sizes of its files */
#ifndef SIM_CENSUS_H
#define SIM_CENSUS_H

#include "annals.h"

struct census_log {
    struct log *log;
    struct io *io;
    uint32_t topic_ids[YEAR_TOPIC_COUNT];
};

/* Where each partition starts and ends, and that nothing needed is missing before. False: a finding. */
bool census_starts(const struct census_log *l, struct annals *annals, struct finding *finding);
/* Every record of every partition: whole, in order, the one that was written, none missing but what may be. */
bool census_records(const struct census_log *l, struct annals *annals, struct finding *finding);
/* What is not needed has gone. */
bool census_overdue(const struct annals *annals, uint64_t slack, struct finding *finding);
/* Bytes of all files but those that are ready for what comes. */
uint64_t census_weight(const struct census_log *l, uint64_t file_size);

#endif
