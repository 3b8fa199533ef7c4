/* loops.h - pipelines that feed each other: what one writes, another reads, until it is back where it began.
 *
 * owner    whoever checks the file
 * limits   CONFIG_CONSUMER_COUNT_MAX pipelines and branches; of a very long loop the beginning is told
 * errors   go into the messages
 * promise  a loop is told once, at the sink of its first pipeline, with every topic on the way; one that reads what it
 *          writes itself is not told here */
#ifndef CONFIG_LOOPS_H
#define CONFIG_LOOPS_H

#include "config/messages.h"

void loops_check(const struct config *config, struct config_messages *messages);

#endif
