/* exec.h - a waiting stage that is a program: children that live long, each with one event at a time, in lines of JSON.
 *
 * owner    the shard; children are processes of their own
 * memory   exec_memory_size() at most: each child's line on its way out and the one that comes in, which grow as lines do
 * limits   `concurrency` children; a line of event_size_max and what is beside it
 * errors   outcomes of the event: "timeout" (its child is killed), "crash" (its child has ended, with how and its last words),
 *          "answer" (what it said is none; it is killed), "exec" (it said so itself); as `rules` say, tried again or not
 * promise  those of waiting.h, and: a child is given an event only when it has answered the one before. A new attempt begins when
 *          the child of the one before has answered, or is dead, with all whom it has started. One that ends is started again:
 *          at once where it had done something, and else after 100 ms, doubling to 30 s */
#ifndef STAGE_EXEC_H
#define STAGE_EXEC_H

#include "base/logging.h"
#include "flow/destination.h"
#include "flow/outcome.h"
#include "flow/waiting.h"

#define EXEC_CHILD_COUNT_MAX 256u /* of one stage: each is a process, with descriptors of ours */

enum exec_protocol {
    EXEC_PROTOCOL_NEAP, /* exec_line.h */
    EXEC_PROTOCOL_LINES /* the event's JSON goes in, one line comes out and is the event; an empty one drops it */
};

struct exec_options { /* all kept */
    struct io *io;
    struct logging *logging;
    struct io_agent *owner;
    struct json_parser *parser;         /* the owner's */
    const struct outcome_rules *rules;
    struct destination *destination;    /* NULL: none; else the stage's own: breaker and retry budget */
    const char *const *arguments;       /* ends with NULL */
    const char *folder;                 /* where children start; NULL: where we are */
    const char *pipeline, *stage;
    enum exec_protocol protocol;
    uint32_t concurrency;
    size_t event_size_max;
};

/* Sets verbs; the rest of what a struct waiting has is the caller's. NULL: out of memory. free() gives its children a second to
 * end by themselves. */
struct waiting *exec_new(const struct exec_options *options);
size_t          exec_memory_size(uint32_t concurrency, size_t event_size_max);

struct exec_figures {
    uint32_t children, at_work;
    uint64_t started, crashes, kills;
};
struct exec_figures exec_figures(const struct waiting *stage);

#endif
