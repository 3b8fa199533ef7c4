/* node.h - one Neap node: a log, the pipelines of one file, their gates, sinks and tasks, the control socket.
 *
 * owner    the program's main thread opens, runs and closes it
 * memory   node_memory() says the sum, one reason per term; config's node.memory bounds it and is checked at start
 * errors   see exit codes: CORRUPT and VERSION 5, IO 6, HELD DENIED FULL 4, CONFLICT MISUSE 1
 *          node_run() answers OK when it was told to stop and everything on its way has landed; TIMEOUT when that took longer
 *          than drain_ns; under until_idle the status of the first pipeline that stopped or met damage (CORRUPT), once all
 *          else is idle
 * promise  returns when told (signal), when idle (until_idle), or when a promise could not be kept, and says which; a
 *          second signal ends the process as it would any other. node_close() waits for what sinks were given: their
 *          calls have deadlines of their own; and for the disk, which has none: who cannot wait for one that hangs
 *          does not come back from it, and ends the process (cli/patience.c) */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "base/logging.h"
#include "config/config.h"
#include "flow/handler_call.h"
#include "flow/held.h"
#include "flow/ledger.h"
#include "log/log.h"

struct node;

struct node_handler { /* a function that pipeline files may name: plugin: {symbol: …} */
    const char *symbol;
    handler_function *function;
    void *ctx;
};

struct node_options {
    const struct config *config;
    struct logging *logging;
    bool until_idle;                 /* leave when finite sources are used up and all is committed */
    int64_t drain_ns;                /* after SIGTERM; 0: 30 s */
    struct log *log;                 /* kept: somebody else's, in whose program this node is a guest: it watches no signals,
                                        leaves SQLite's settings alone, and never gives the log up. NULL: one of its own */
    const struct node_handler *handlers; /* kept */
    uint32_t handler_count;
};

struct node_pipeline_figures {
    const char *name;
    struct ledger total, run;        /* accepted … produced */
    uint64_t in_flight;
    bool has_branches;               /* that read what it reads, and count each of its events themselves */
    uint64_t lag;                    /* durable events not yet committed */
    bool stopped;                    /* by a conflict or an error; `error` says why */
    struct {                         /* the event that holds up a partition for longest, where any has for some time */
        uint32_t partition;
        struct task_held event;      /* .is false: none does */
        int64_t age_ms;
    } held;
    struct error error;              /* of one that is not stopped: where the first of its partitions is damaged */
};

enum neap_status node_open(struct io *io, const struct node_options *options, struct node **ret_node, struct error *err);
/* Turns until it is done. `tick` (may be NULL) is called about ten times a second on the caller's thread: the progress line. */
enum neap_status node_run(struct node *node, void (*tick)(void *ctx, struct node *node), void *ctx, struct error *err);
/* As SIGTERM: read no more, land what is on its way, return from node_run(). From any thread, the tick included. */
void             node_stop(struct node *node);
void             node_close(struct node **node);
bool             node_reader_left(struct node *node);    /* of standard output; the node then drains and leaves. Any thread */
/* A pipeline that reads, fills or writes the topic; NULL: none does. */
const char      *node_user_of_topic(const struct node *node, const struct log_topic *topic);
/* Whether the letters of the pipeline of that name go to that topic. */
bool             node_writes_letters(const struct node *node, const char *pipeline, uint32_t topic_id);
struct log      *node_log(struct node *node);
uint32_t         node_pipeline_count(const struct node *node);
void             node_pipeline_figures(struct node *node, uint32_t index,
                                       struct node_pipeline_figures *ret_figures); /* any thread, until node_close() */

/* Those that a topic gets when this file makes it. */
struct log_topic_settings node_topic_settings(const struct config *config, const char *name);

struct node_memory_term {
    const char *what;                /* "tail of the journal" */
    uint64_t size;
};
uint32_t         node_memory(const struct config *config, struct node_memory_term *room, uint32_t room_count);

#endif
