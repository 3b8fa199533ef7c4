/* pipes.h - the whole node in the simulation: lines of a file, through the log, a filter and a map, into SQLite.
 *
 * owner    the caller
 * memory   one node's, and the histories of at most CUT_DEPTH_MAX lives
 * promise  after any cut and one more run, each line has had exactly one fate: its row is there once, or it is counted as
 *          filtered, or it is one dead letter; rows of one author stand in the order of the file */
#ifndef SIM_PIPES_H
#define SIM_PIPES_H

#include "cuts.h"

/* As cuts_run(); unit_count is the number of lines. */
bool pipes_run(const struct cut_options *options, struct cut_figures *figures);

#endif
