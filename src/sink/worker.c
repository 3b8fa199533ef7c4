/* worker.c - two lists in, two lists out, one lock that is held for a few instructions. */
#include "sink/worker.h"
#include "base/must.h"
#include <stdlib.h>

#define WORKER_MAGIC 0x4e50574bu

struct recover_list {
    struct sink_recover *first, **end;
};
struct batch_list {
    struct sink_batch *first, **end;
};

struct worker {
    uint32_t magic;
    struct worker_options options;
    struct io_agent agent;
    struct io_mutex *mutex;
    struct { /* under the mutex */
        struct recover_list recovers, recovered;
        struct batch_list batches, landed;
    } shared;
};

/* The two job structs share nothing but their chain, so the lists are written once as macros over `next_`. */
#define LIST_CLEAR(list)     ((list)->first = NULL, (list)->end = &(list)->first)
#define LIST_PUT(list, item) ((item)->next_ = NULL, *(list)->end = (item), (list)->end = &(item)->next_)

static uint32_t turn(void *ctx, mono_time now)
{
    struct worker *w = ctx;
    CHECK_MAGIC(w, WORKER_MAGIC);
    io_mutex_take(w->mutex);
    struct sink_recover *recovers = w->shared.recovers.first;
    struct sink_batch *batches = w->shared.batches.first;
    LIST_CLEAR(&w->shared.recovers);
    LIST_CLEAR(&w->shared.batches);
    io_mutex_drop(w->mutex);
    uint32_t work = recovers != NULL || batches != NULL;
    return work + w->options.turn(w->options.ctx, recovers, batches);
}

enum neap_status worker_open(const struct worker_options *options, struct worker **ret_worker, struct error *err)
{
    must(options->turn != NULL);
    struct worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory for worker %s", options->name);
    *w = (struct worker){ .magic = WORKER_MAGIC, .options = *options, .mutex = io_mutex_new(options->io) };
    w->agent = (struct io_agent){ .name = options->name, .work = turn, .ctx = w };
    LIST_CLEAR(&w->shared.recovers);
    LIST_CLEAR(&w->shared.recovered);
    LIST_CLEAR(&w->shared.batches);
    LIST_CLEAR(&w->shared.landed);
    enum neap_status status = w->mutex == NULL
                                  ? error_set(err, NEAP_NOMEM, "out of memory for worker %s", options->name)
                                  : io_agent_start(options->io, &w->agent, err);
    if (status != NEAP_OK) {
        io_mutex_free(&w->mutex);
        free(w);
        return status;
    }
    *ret_worker = w;
    return NEAP_OK;
}

void worker_close(struct worker **worker)
{
    struct worker *w = *worker;
    if (w == NULL)
        return;
    CHECK_MAGIC(w, WORKER_MAGIC);
    io_agent_stop(&w->agent);
    must(w->shared.batches.first == NULL && w->shared.landed.first == NULL);
    must(w->shared.recovers.first == NULL && w->shared.recovered.first == NULL);
    io_mutex_free(&w->mutex);
    w->magic = 0;
    free(w);
    *worker = NULL;
}

struct io_agent *worker_agent(struct worker *worker)
{
    return &worker->agent;
}

void worker_recover(struct worker *w, struct sink *sink, struct sink_recover *recover)
{
    CHECK_MAGIC(w, WORKER_MAGIC);
    must(recover->agent != NULL && recover->done != NULL);
    recover->sink_ = sink;
    io_mutex_take(w->mutex);
    LIST_PUT(&w->shared.recovers, recover);
    io_mutex_drop(w->mutex);
    io_agent_wake(&w->agent);
}

void worker_land(struct worker *w, struct sink *sink, struct sink_batch *batch)
{
    CHECK_MAGIC(w, WORKER_MAGIC);
    must(batch->agent != NULL && batch->done != NULL);
    batch->sink_ = sink;
    io_mutex_take(w->mutex);
    LIST_PUT(&w->shared.batches, batch);
    io_mutex_drop(w->mutex);
    io_agent_wake(&w->agent);
}

void worker_recovered(struct worker *w, struct sink_recover *recover)
{
    struct io_agent *agent = recover->agent; /* once it is on the list it may be gone */
    io_mutex_take(w->mutex);
    LIST_PUT(&w->shared.recovered, recover);
    io_mutex_drop(w->mutex);
    io_agent_wake(agent);
}

void worker_landed(struct worker *w, struct sink_batch *batch)
{
    struct io_agent *agent = batch->agent;
    io_mutex_take(w->mutex);
    LIST_PUT(&w->shared.landed, batch);
    io_mutex_drop(w->mutex);
    io_agent_wake(agent);
}

static void take_recovered(struct worker *w, const struct sink *sink, struct recover_list *into)
{
    struct sink_recover *item = w->shared.recovered.first;
    LIST_CLEAR(&w->shared.recovered);
    LIST_CLEAR(into);
    for (struct sink_recover *next; item != NULL; item = next) {
        next = item->next_;
        struct recover_list *list = item->sink_ == sink ? into : &w->shared.recovered;
        LIST_PUT(list, item);
    }
}

static void take_landed(struct worker *w, const struct sink *sink, struct batch_list *into)
{
    struct sink_batch *item = w->shared.landed.first;
    LIST_CLEAR(&w->shared.landed);
    LIST_CLEAR(into);
    for (struct sink_batch *next; item != NULL; item = next) {
        next = item->next_;
        struct batch_list *list = item->sink_ == sink ? into : &w->shared.landed;
        LIST_PUT(list, item);
    }
}

uint32_t worker_work(struct worker *w, struct sink *sink)
{
    CHECK_MAGIC(w, WORKER_MAGIC);
    struct recover_list recovered;
    struct batch_list landed;
    io_mutex_take(w->mutex);
    take_recovered(w, sink, &recovered);
    take_landed(w, sink, &landed);
    io_mutex_drop(w->mutex);

    uint32_t work = 0;
    for (struct sink_recover *item = recovered.first, *next; item != NULL; item = next, work++) {
        next = item->next_; /* `done` may hand the same struct in again */
        item->done(item);
    }
    for (struct sink_batch *item = landed.first, *next; item != NULL; item = next, work++) {
        next = item->next_;
        item->done(item);
    }
    return work;
}
