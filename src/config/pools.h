/* pools.h - pools of threads: whether they can be, whether they are there, and whether anybody uses them.
 *
 * owner    whoever checks the file
 * memory   none
 * limits   none of its own
 * errors   go into the messages
 * promise  afterwards every stage that names a pool names one of the file's */
#ifndef CONFIG_POOLS_H
#define CONFIG_POOLS_H

#include "config/read.h"

/* Of a stage whose manners are whole; `place`: where the name was written. */
void pools_check_stage(struct reading *r, const struct config *config, const struct config_stage *stage,
                       struct config_place place);
void pools_check(struct reading *r, const struct config *config); /* behind all stages */

#endif
