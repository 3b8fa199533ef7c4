/* year.h - a year of one log: topics of all retentions, a dead sink, a clock that is wrong, restarts and cuts.
 *
 * owner    the caller: options and figures
 * memory   a disk with the history since the last restart, the annals, one log
 * errors   a finding, with the day and the hour
 * promise  the same seed is the same year */
#ifndef SIM_YEAR_H
#define SIM_YEAR_H

#include "cuts.h"

struct year_figures {
    struct cut_figures cuts; /* seeds; lives: from one start to the next; states: power cuts; virtual_ns */
    uint64_t hours, batches, records, kills;
    uint64_t files, recycled, archives; /* of the journal, all that ever were; of those, gone; archives made */
    uint64_t freed_size, weight_max, needed_max; /* the latter at the end of a day */
    uint64_t ratio_max;                          /* in percent: what was used, of what was needed, on the worst day */
    uint64_t refused, full_hours;                /* batches, by a full disk */
};

bool year_run(const struct cut_options *options, struct year_figures *figures); /* false: something was found */

#endif
