/* handler_call.h - a stage that is somebody else's function: what it sees of an event and of its call.
 *
 * owner    whoever calls; everything is borrowed for the call, on the thread that runs it
 * memory   the reason's room; what is emitted goes where `keep` puts it
 * limits   HANDLER_REASON_SIZE_MAX bytes of reason; JSON up to json_size_max
 * errors   TOOLARGE, AGAIN
 * promise  the function meets one call: its deadline, whether it is still wanted, what it emitted last */
#ifndef FLOW_HANDLER_CALL_H
#define FLOW_HANDLER_CALL_H

#include "flow/stage.h"
#include "io/io.h"

#define HANDLER_REASON_SIZE_MAX 256u

struct handler_call;

struct handler_event {
    const char *pipeline, *stage, *topic;
    struct record record; /* as it lies in the topic */
    struct bytes json, id;
    uint32_t partition, attempt; /* attempt counts from 1 */
};
typedef enum stage_outcome handler_function(void *ctx, const struct handler_event *event, struct handler_call *call);

/* In the function. */
bool             handler_call_cancelled(const struct handler_call *call);
mono_time        handler_call_deadline(const struct handler_call *call);
struct io       *handler_call_io(const struct handler_call *call);
/* Copied; the last one counts. TOOLARGE; AGAIN: there is no room at the moment: the call counts for nothing and is made again. */
enum neap_status handler_call_emit(struct handler_call *call, struct bytes json);
void             handler_call_reason(struct handler_call *call, const char *text);

/* ---- for who calls */
struct handler_call {
    struct io *io;
    mono_time deadline;
    size_t json_size_max;
    bool (*told)(const struct handler_call *call); /* that it is not wanted any more */
    enum neap_status (*keep)(struct handler_call *call, struct bytes json);
    char reason[HANDLER_REASON_SIZE_MAX];
};

#endif
