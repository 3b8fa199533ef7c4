/* truth.h - what a log must hold that ended in peace, and what of it may be missing when its last bytes are taken for torn.
 *
 * owner    the caller: the model outlives it
 * memory   a table as large as the model's units
 * promise  only what was asked and answered counts: nothing is read from the log to know what is right */
#ifndef SIM_TRUTH_H
#define SIM_TRUTH_H

#include "check.h"

struct truth;

struct truth *truth_new(const struct model *model); /* every unit has ended */
void truth_free(struct truth **truth);

struct truth_found {
    uint32_t stopped_count;      /* partitions that say they end early: NEAP_CORRUPT */
    struct log_partition stopped; /* the first of them */
    char text[300];              /* and what it says */
};
/* Compares with what the units before `position` wrote: topics, facts, commit points, every record of every partition, up to
 * where it says that it is damaged. */
enum verdict truth_compare(const struct truth *truth, struct log *log, uint64_t position, struct truth_found *ret_found,
                           struct finding *ret_finding);

/* After something was declared lost: what is served is right, and what is not is lost, as the log itself says, or lay beyond
 * the last record that could be read. Facts and commit points may be gone. CLOSED: a partition still says that it is damaged. */
enum verdict truth_compare_repaired(const struct truth *truth, struct log *log, uint64_t *ret_lost_count,
                                    struct finding *ret_finding);

#endif
