/* faults.h - lives on a disk that fails, fills up or stalls; then a kill or a power cut, and the comparison with the model.
 *
 * owner    the caller
 * memory   one life's history
 * promise  rising seeds go through the kinds of faults, and through the first 80 calls of each kind that fails once */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "cuts.h"

struct fault_figures {
    struct cut_figures cuts;
    uint64_t hits, stopped, unopened, refused, failed;
};

/* As cuts_run(): unit_count, states_max, only and trace of the options count. */
bool faults_run(const struct cut_options *options, struct fault_figures *figures);

#endif
