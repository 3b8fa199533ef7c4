/* held.h - what the watchdog of a task says of the event that holds its partition up.
 *
 * owner    the task; copies are for anybody
 * memory   fixed: texts are cut */
#ifndef FLOW_HELD_H
#define FLOW_HELD_H

#include "log/log.h"

#define TASK_HELD_TEXT_SIZE 96u
struct task_held { /* an event that has been on its way for long, and its partition's commit point with it */
    bool is;
    log_offset offset;
    mono_time since;
    uint32_t attempt;
    char key[TASK_HELD_TEXT_SIZE], stage[TASK_HELD_TEXT_SIZE], error[2 * TASK_HELD_TEXT_SIZE];
};

#endif
