/* check.h - loading a pipeline file and saying what is wrong with it.
 *
 * owner    the verb that loads
 * errors   exit codes; what is wrong has been said
 * promise  every message comes as FILE:LINE:COLUMN: error: message, as compilers write them */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "cli/cli.h"
#include "config/config.h"

/* For those who go on with the file: errors and warnings go to standard error. CLI_OK: *ret_config is given. */
int check_load(struct cli *cli, const char *file, struct config **ret_config);

#endif
