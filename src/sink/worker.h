/* worker.h - what blocks has an agent of its own: jobs go in, completions come back.
 *
 * owner    whoever opened it (a sink, or a database that several sinks share); its turn runs on its own agent; the worker_…
 *          verbs marked (task) belong to the agent of the sink's tasks, those marked (turn) to the worker's turn
 * memory   one fixed struct: a job is the task's own sink_batch or sink_recover, chained
 * limits   a task has one batch and one recover on their way at a time, so there are never more jobs than that
 * promise  jobs arrive in the order they were handed in; a sink's completions leave in the order they were given; `done`
 *          runs in worker_work() and nowhere else, and after it the worker does not touch the job */
#ifndef SINK_WORKER_H
#define SINK_WORKER_H

#include "flow/sink.h"

struct worker;

struct worker_options {
    struct io *io;
    const char *name; /* up to 15 letters: the thread's name */
    /* One turn: everything that came in since the last one, in order, NULL where nothing did. Each job is answered now or
     * in a later turn. Answers how much was done beside the jobs; 0 lets the worker rest until woken. */
    uint32_t (*turn)(void *ctx, struct sink_recover *recovers, struct sink_batch *batches);
    void *ctx;
};

enum neap_status worker_open(const struct worker_options *options, struct worker **ret_worker, struct error *err);
void worker_close(struct worker **worker); /* nothing in flight; stops the agent; accepts NULL inside */
struct io_agent *worker_agent(struct worker *worker);

void worker_recover(struct worker *worker, struct sink *sink, struct sink_recover *recover); /* (task) */
void worker_land(struct worker *worker, struct sink *sink, struct sink_batch *batch);        /* (task) */
uint32_t worker_work(struct worker *worker, struct sink *sink);                              /* (task) */
void worker_recovered(struct worker *worker, struct sink_recover *recover);                  /* (turn) */
void worker_landed(struct worker *worker, struct sink_batch *batch);                         /* (turn) */

#endif
