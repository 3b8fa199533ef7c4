/* handler.h - a stage that is somebody else's function: events go to a thread of their own, and come back with a verdict.
 *
 * A desk is the room of one task's events on their way: laid out by the shard, worked through by the desk's agent, in order,
 * taken up by the shard again one by one as they are answered.
 *
 *     items   settled │ answered │ at work │ to come │ free
 *                     └ settled  └ answered (the agent moves it)  └ count
 *
 * owner    items below `answered`, and all of them while it does not work, belong to the shard; the others to the agent
 * memory   handler_desk_size() in all, taken in handler_desk_open()
 * limits   HANDLER_ITEM_COUNT_MAX events on a desk; their bytes twice the largest event's; what handlers emit, once
 * errors   a failing handler is an outcome of its event, with the failure that its dead letter tells
 * promise  H1  each item is given to the handler once, in order, one at a time, and never after handler_desk_cancel()
 *          H2  a call past its deadline is flagged; nobody waits for it but its own task
 *          H3  what an item names lies on the desk until the shard has settled it */
#ifndef FLOW_HANDLER_H
#define FLOW_HANDLER_H

#include "base/logging.h"
#include "flow/expr.h"
#include "flow/handler_call.h"

#define HANDLER_ITEM_COUNT_MAX   256u
#define HANDLER_THREAD_COUNT_MAX 16u /* desks of one pipeline */

struct handler { /* kept by the pipeline */
    const char *stage;  /* its name */
    const char *symbol; /* the function's */
    handler_function *function;
    void *ctx;
    int64_t timeout_ns;
    struct expr *condition; /* `if`; NULL: always */
    bool continue_on_error;
};

struct handler_item {
    struct record record;
    struct bytes json, id;
    bool asked;                 /* the handler is to see it; else its outcome is known */
    enum stage_outcome outcome; /* valid once it is answered */
    struct failure failure;     /* of STAGE_FAIL */
    struct bytes emitted;       /* .at NULL: nothing */
};

struct handler_desk;

struct handler_desk_options {
    struct io *io;
    struct logging *logging;
    const struct handler *handler;
    struct io_agent *shard; /* woken when something is answered */
    const char *pipeline, *topic;
    size_t event_size_max; /* of JSON */
};

enum neap_status handler_desk_open(const struct handler_desk_options *options, struct handler_desk **ret_desk,
                                   struct error *err);
void handler_desk_close(struct handler_desk **desk); /* does not work; stops its agent; accepts NULL inside */
size_t handler_desk_size(size_t event_size_max);

/* ---- the shard's verbs */
void handler_desk_begin(struct handler_desk *desk, uint32_t partition); /* empty from here on; it does not work */
bool handler_desk_is_empty(const struct handler_desk *desk);            /* and does not work */
bool handler_desk_is_cancelled(const struct handler_desk *desk);
bool handler_desk_works(const struct handler_desk *desk);
/* Copies it onto the desk. AGAIN: no room any more. */
enum neap_status handler_desk_lay(struct handler_desk *desk, const struct handler_item *item);
void handler_desk_go(struct handler_desk *desk); /* whatever is to come is worked through */
/* The first answered item that is not settled; NULL: none. With handler_desk_settle() it is behind us. */
const struct handler_item *handler_desk_next(struct handler_desk *desk);
void handler_desk_settle(struct handler_desk *desk);
bool handler_desk_first(const struct handler_desk *desk, uint64_t *ret_offset); /* of all that is not settled */
/* No further item is begun; the call at work is flagged. What is on the desk is forgotten when it comes back. */
void handler_desk_cancel(struct handler_desk *desk);
/* Flags a call that is past its deadline, and names it in the log, now and again. When to look next; MONO_NEVER: no call. */
mono_time handler_desk_watch(struct handler_desk *desk, mono_time now);

#endif
