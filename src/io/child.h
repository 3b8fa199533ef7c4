/* child.h - another program beside us, spoken to through three pipes.
 *
 * owner    the agent that starts it: every verb and every callback is on its turn
 * memory   one struct; bytes that come are borrowed for the callback, and where nobody asks for more they stay in the pipe
 * limits   one send in flight. IO_CHILD_ARGUMENT_COUNT_MAX arguments
 * errors   of start: NEAP_NOTFOUND, NEAP_DENIED (there is no such program, or it may not be run), NEAP_NOMEM (processes,
 *          descriptors), NEAP_MISUSE (a folder that is none)
 * promise  C1  it has its three pipes and nothing else of ours: no descriptor, no signal mask, no ignored signal
 *          C2  it leads a process group of its own. A kill is for all of that group, and so is its own end: who it has started
 *              does not outlive it, unless that left the group
 *          C3  ended() comes once and last, when it is dead and waited for, and after all that it had said
 *          C4  it does not outlive us: when this process dies, whichever way, the system kills it */
#ifndef IO_CHILD_H
#define IO_CHILD_H

#include "io/io.h"

#define IO_CHILD_ARGUMENT_COUNT_MAX 256u

struct io_child;

struct io_child_end {
    bool signalled;
    int number;      /* of the signal, or its exit status; -1: somebody else in this process has waited for it, and knows */
    uint64_t unread; /* bytes of what was sent that it never looked at; 0, too, where its input was closed before */
};

enum io_child_stream { IO_CHILD_OUTPUT, IO_CHILD_ERROR };

struct io_child_events {
    void (*data)(struct io_child *child, enum io_child_stream stream, struct bytes bytes); /* borrowed for the call */
    void (*sent)(struct io_child *child, enum neap_status status); /* the one send in flight; CLOSED: it reads no more */
    void (*closed)(struct io_child *child);  /* it has closed its standard output, perhaps because it is about to end */
    void (*ended)(struct io_child *child, const struct io_child_end *end); /* the child is freed after it */
};

struct io_child_options { /* borrowed for the call; `events` kept */
    const char *const *arguments; /* ends with NULL; the first is the program, looked for in PATH where it has no slash */
    const char *folder;           /* where it starts; NULL: where we are */
    const struct io_child_events *events;
    void *ctx;
};

enum neap_status io_child_start(struct io_agent *agent, const struct io_child_options *options, struct io_child **ret_child,
                                struct error *err);
void            *io_child_ctx(struct io_child *child);
int64_t          io_child_pid(struct io_child *child);
/* The bytes are kept until `sent`. NEAP_AGAIN while one is in flight; NEAP_CLOSED. */
enum neap_status io_child_send(struct io_child *child, struct bytes bytes);
void             io_child_close_input(struct io_child *child); /* what is in flight is not waited for */
void             io_child_kill(struct io_child *child);        /* ended() follows on a later turn; again: fine */
/* No callback comes any more. Waits until it has ended by itself, up to the deadline, and then for its end after a kill, which
 * is short; its input should be closed before. Not from its callbacks. Accepts NULL inside. */
void             io_child_finish(struct io_child **child, mono_time deadline);

/* "exit status 3", "killed by signal 11 (SIGSEGV)" */
void             io_child_end_text(const struct io_child_end *end, char *room, size_t size);

#endif
