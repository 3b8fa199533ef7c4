/* pool.h - threads for work that blocks and that no shard may wait for: some always, more when they are wanted, none in vain.
 *
 *     pool_submit ─▶ an idle thread, else one thread more up to `max`, else the queue, else what `reject` says
 *                                        └─ has run ─▶ pool_turn(): done()
 *
 * owner    one agent makes it, submits, and takes back what has ended; run() is called on a thread of the pool
 * memory   pool_memory_size(); the struct of a work is its owner's: submitting takes nothing
 * limits   `max` threads, of which `core` stay when there is nothing to do; `queue` works that wait for one
 * errors   AGAIN and REFUSED, as `reject` says; AGAIN, too, where there is no thread and none can be had
 * promise  P1  a work that was taken comes back once by done(), within pool_turn() and nowhere else: it was run, or dropped
 *          P2  there is a thread more, as long as there are fewer than `max`, before a work has to wait; those that wait are
 *              begun in the order in which they came
 *          P3  nobody looks for work in vain: a thread is woken for the work that it was given, the owner when one has ended
 *          P4  a thread above `core` that has had nothing to do for `idle_ns` ends */
#ifndef FLOW_POOL_H
#define FLOW_POOL_H

#include "io/io.h"

#define POOL_THREAD_COUNT_MAX 1024u /* of one pool: each is a thread of the system with a stack */
#define POOL_QUEUE_COUNT_MAX  65536u

enum pool_reject { /* what becomes of a work for which there is neither a thread nor a place in the queue */
    POOL_BLOCK,         /* it waits outside: AGAIN. Somebody's done() makes room */
    POOL_REJECT,        /* REFUSED */
    POOL_DROP_NEWEST,   /* it comes back dropped */
    POOL_DROP_OLDEST,   /* the one that has waited longest does, and it takes its place */
    POOL_CALLER_RUNS,   /* the owner runs it, and does nothing else meanwhile */
};
#define POOL_REJECT_WORDS "block|reject|drop_newest|drop_oldest|caller_runs" /* in that order */

struct pool_work { /* its owner's, from pool_submit() until done() */
    void (*run)(struct pool_work *work);  /* on some thread; may block */
    void (*done)(struct pool_work *work); /* on the owner's; it may submit again */
    bool dropped;                         /* valid within done(): run() was not called */
    struct pool_work *next_, *before_;    /* the pool's */
    enum { POOL_WORK_IS_FREE, POOL_WORK_WAITS, POOL_WORK_RUNS, POOL_WORK_HAS_ENDED } at_; /* under its mutex */
};

struct pool_size {
    uint32_t core, max, queue; /* core <= max, 1 <= max <= POOL_THREAD_COUNT_MAX */
    int64_t idle_ns;
    enum pool_reject reject;
};

struct pool_options { /* name kept */
    struct io *io;
    struct io_agent *owner;
    const char *name; /* up to 11 letters of it are seen as the name of its threads */
    struct pool_size size;
};

struct pool;

enum neap_status pool_open(const struct pool_options *options, struct pool **ret_pool, struct error *err); /* NOMEM */
void             pool_close(struct pool **pool); /* has nothing to do; ends its threads */
size_t           pool_memory_size(uint32_t max);

/* Takes the work on OK. AGAIN, REFUSED. */
enum neap_status pool_submit(struct pool *pool, struct pool_work *work);
/* True: it was waiting for a thread; it is its owner's again, and done() is not called. */
bool             pool_take_back(struct pool *pool, struct pool_work *work);
/* Runs done() of what has ended, and ends threads that are not needed; how much was done. */
uint32_t         pool_turn(struct pool *pool, mono_time now);
/* From here on. What waits beyond a queue that was made shorter goes on waiting; threads beyond `max` end after their work. */
void             pool_resize(struct pool *pool, const struct pool_size *size);
bool             pool_is_empty(const struct pool *pool); /* nothing runs, waits or has ended without being taken back */

struct pool_figures {
    uint32_t threads, running, waiting;
    uint64_t ran, dropped, rejected; /* ran: by the caller, too */
    uint64_t started;                /* threads, ever */
};
struct pool_figures pool_figures(const struct pool *pool);

#endif
