/* sync.c - syncs beside other work: one helper thread per agent that uses them, made at the first.
 *
 *     any thread   push onto syncer.inbox, ring      (a stack; the syncer turns it round, so the first comes first)
 *     syncer       fdatasync, push onto agent.synced, wake the agent
 *     agent        on its next turn: `done`
 *
 * Both sides rest on a futex: from the end of the sync to the agent's turn is one wake-up. */
#include "io/real/inside.h"
#include <stdlib.h>

struct real_syncer {
    struct bell bell;
    _Atomic(struct io_sync *) inbox;
    _Atomic bool stopping;
    struct real_agent *agent;
    pthread_t thread;
};

static void push(_Atomic(struct io_sync *) *stack, struct io_sync *op)
{
    op->next_ = atomic_load_explicit(stack, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(stack, &op->next_, op, memory_order_release, memory_order_relaxed))
        ;
}

static struct io_sync *take_all(_Atomic(struct io_sync *) *stack) /* the first one pushed comes first */
{
    if (atomic_load_explicit(stack, memory_order_relaxed) == NULL)
        return NULL;
    struct io_sync *newest = atomic_exchange_explicit(stack, NULL, memory_order_acquire);
    struct io_sync *oldest = NULL;
    while (newest != NULL) {
        struct io_sync *next = newest->next_;
        newest->next_ = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void sync_and_hand_back(struct io_sync *op)
{
    struct io_agent *agent = op->agent;
    op->status_ = real_file_sync(op->file);
    push(&real_agent_of(agent)->synced, op); /* from here on the op is the agent's */
    real_agent_wake(agent);
}

static void *syncer_main(void *ctx)
{
    struct real_syncer *s = ctx;
    for (;;) {
        bell_awake(&s->bell);
        struct io_sync *op = take_all(&s->inbox);
        if (op == NULL) {
            if (atomic_load_explicit(&s->stopping, memory_order_acquire))
                return NULL;
            if (bell_lie_down(&s->bell, BELL_RESTS))
                bell_rest(&s->bell, MONO_NEVER);
        }
        while (op != NULL) {
            struct io_sync *next = op->next_;
            sync_and_hand_back(op);
            op = next;
        }
    }
}

static void ring(struct real_syncer *s)
{
    if (bell_ring(&s->bell) == BELL_RESTS)
        bell_rouse(&s->bell);
}

static void syncer_free(struct real_syncer *s)
{
    atomic_store_explicit(&s->stopping, true, memory_order_release);
    ring(s);
    pthread_join(s->thread, NULL);
    free(s);
}

/* NULL: the system gives no thread. Where two threads meet here, one syncer stays. */
static struct real_syncer *syncer_need(struct real_agent *agent)
{
    struct real_syncer *there = atomic_load_explicit(&agent->syncer, memory_order_acquire);
    if (there != NULL)
        return there;
    struct real_syncer *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->agent = agent;
    if (real_thread_start(real_of(agent->agent->io_), &s->thread, syncer_main, s) != 0) {
        free(s);
        return NULL;
    }
    pthread_setname_np(s->thread, "sync");
    if (atomic_compare_exchange_strong(&agent->syncer, &there, s))
        return s;
    syncer_free(s);
    return there;
}

void real_file_sync_start(struct io_sync *op)
{
    struct real_file *file = real_file_of(op->file);
    bool already = atomic_exchange(&file->syncing, true);
    must(!already); /* one at a time per file */
    struct real_syncer *s = syncer_need(real_agent_of(op->agent));
    if (s == NULL) { /* slower without a helper, and right all the same */
        sync_and_hand_back(op);
        return;
    }
    push(&s->inbox, op);
    ring(s);
}

void real_sync_deliver(struct real_agent *agent)
{
    struct io_sync *op = take_all(&agent->synced);
    while (op != NULL) {
        struct io_sync *next = op->next_;
        atomic_store(&real_file_of(op->file)->syncing, false);
        op->done(op, op->status_); /* the op may be gone or on its way again */
        op = next;
    }
}

void real_sync_stop(struct real_agent *agent)
{
    struct real_syncer *s = atomic_load(&agent->syncer);
    if (s != NULL)
        syncer_free(s); /* it ends when its inbox is empty */
    atomic_store(&agent->syncer, NULL);
    for (struct io_sync *op = take_all(&agent->synced); op != NULL; op = op->next_)
        atomic_store(&real_file_of(op->file)->syncing, false);
}
