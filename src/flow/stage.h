/* stage.h - a stage: a contract with an input, an output and an error path. The inline kinds.
 *
 * owner    the task whose chain it is in
 * memory   what its kind's constructor took; per event only the arena
 * errors   STAGE_FAIL with a failure: the event becomes a dead letter, or goes on under on_error: continue
 * promise  an inline stage is pure: it sees one event and changes only that, or says what it becomes: none, one or several */
#ifndef FLOW_STAGE_H
#define FLOW_STAGE_H

#include "flow/event.h"

enum stage_outcome {
    STAGE_PASS,
    STAGE_DROP,
    STAGE_FAIL,
    STAGE_SPLIT, /* it became what event->became says */
    STAGE_MORE,  /* of a chain alone: one of those that the event became; it is given out itself when all have been */
};

struct stage {
    const struct stage_verbs *verbs;
    const char *name; /* kept by the pipeline */
};

struct stage_verbs {
    const char *kind;
    enum stage_outcome (*run)(struct stage *stage, struct event *event, struct arena *arena, struct failure *failure);
    void (*free)(struct stage *stage);
};

#endif
