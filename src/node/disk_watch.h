/* disk_watch.h - says once that the disk fills up, at 80 % and at 90 %, and again only after it has been emptier.
 *
 * owner    the node's main agent
 * memory   the struct
 * limits   two warnings for each time that the disk fills up
 * errors   none
 * promise  who reads only the log lines of a node hears of a full disk before its producers do */
#ifndef NODE_DISK_WATCH_H
#define NODE_DISK_WATCH_H

#include "log/log.h"

struct disk_watch {
    uint32_t told_percent; /* 0: nothing was said since it was emptier */
};

void disk_watch_look(struct disk_watch *watch, const struct log_figures *figures, struct logging *logging);

#endif
