/* waiting.h - a stage whose work is done elsewhere, beside the work on other events: a contract of begin and done.
 *
 * owner    the shard; shared by the tasks of its pipeline
 * memory   what its kind's constructor took; a work's struct is the caller's
 * limits   `concurrency` works at a time, its callers' to keep; each has a deadline
 * errors   are outcomes of the event, with the failure that its dead letter tells
 * promise  V1  for each work that was begun, done() runs once with what came of it, from within verbs->work() and nowhere else;
 *              or again, as often as it was answered false: there is no room for the answer yet
 *          V2  a new attempt of an event begins after the one before has ended on our side: cancelled, closed or killed
 *          V3  what a work names stays where it is until done() has been answered true */
#ifndef FLOW_WAITING_H
#define FLOW_WAITING_H

#include "flow/event.h"
#include "flow/outcome.h"
#include "flow/retry.h"

struct waiting;

struct waiting_work { /* the caller's, from begin() until done() is answered true */
    bool (*done)(struct waiting_work *work);
    void *ctx;
    uint32_t slot;       /* the caller's */
    mono_time deadline;  /* of this attempt */
    /* valid within done(): */
    enum outcome outcome;
    bool drop;              /* delivered, and its event ends here: it is filtered */
    int64_t retry_after_ns; /* that it was asked to wait; 0: nothing */
    struct failure failure; /* unless it was delivered */
    /* ---- the stage's */
    void *own;
    struct waiting_work *next;
};

enum waiting_begun {
    WAITING_BEGUN,
    WAITING_REFUSED, /* this event never will: `failure` */
    WAITING_LATER,   /* not before `ret_not_before`; it costs no attempt. MONO_NEVER: a work that ends here makes room */
};

struct waiting_verbs {
    const char *kind;
    bool takes_bytes; /* begin() reads event->json alone: where no stage changes it, nobody parses it for that */
    /* The event is good for this call; its record, key, headers and (when it was not changed) json stay until done(). */
    enum waiting_begun (*begin)(struct waiting *stage, struct waiting_work *work, struct event *event,
                                struct arena *arena, struct failure *failure, mono_time *ret_not_before);
    /* What was delivered changes the event: sets a field, or takes its place (`json`). NULL: it never does. Called within
     * done(), for a work that was delivered. False: it fails, with the failure. */
    bool (*answer)(struct waiting *stage, struct waiting_work *work, struct event *event, struct arena *arena,
                   struct failure *failure);
    void (*cancel)(struct waiting *stage, struct waiting_work *work); /* done() comes soon: released, or what came first */
    uint32_t (*work)(struct waiting *stage, mono_time now); /* runs done() of whatever has ended; answers how many */
    /* Nothing is at work, and nothing will be begun: what lives by turns of the stage's agent ends, in a second at most. On such a
     * turn, before free(); again: fine. NULL: nothing of it does. */
    void (*finish)(struct waiting *stage);
    void (*free)(struct waiting *stage);
};

struct waiting { /* every kind's struct begins with it */
    const struct waiting_verbs *verbs;
    const char *name;        /* kept by the pipeline */
    struct expr *condition;  /* `if`; taken; NULL: always */
    bool continue_on_error;
    struct retry_policy retry;
    int64_t timeout_ns;
    uint32_t concurrency, at_work; /* of all tasks together */
};

#endif
