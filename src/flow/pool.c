#include "flow/pool.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

#define POOL_MAGIC 0x504f4f4cu

struct pool_thread {
    struct pool *pool;
    struct io_agent agent;
    char name[16];
    struct pool_thread *next, *before; /* of all; the owner's */
    /* ---- under the mutex */
    struct pool_work *given;
    bool is_idle;
    mono_time idle_since;
    struct pool_thread *older, *newer; /* among the idle ones */
};

struct works {
    struct pool_work *first, *last;
    uint32_t count;
};

struct pool {
    uint32_t magic;
    struct pool_options o;
    struct io_timer timer; /* for the next one that has been idle long enough */
    struct pool_thread *threads;
    struct io_mutex *mutex;
    /* ---- under the mutex; the size and the number of threads are written by the owner alone */
    struct pool_size size;
    uint32_t thread_count, running;
    struct pool_thread *newest, *oldest; /* idle: the newest is given work, so that the oldest can end */
    struct works waiting, ended;
    struct pool_figures figures;
};

size_t pool_memory_size(uint32_t max)
{
    return sizeof(struct pool) + max * sizeof(struct pool_thread);
}

/* ---- lists ------------------------------------------------------------------------------------------------------------- */

static void append(struct works *works, struct pool_work *work)
{
    work->before_ = works->last;
    work->next_ = NULL;
    if (works->last != NULL)
        works->last->next_ = work;
    else
        works->first = work;
    works->last = work;
    works->count++;
}

static void prepend(struct works *works, struct pool_work *work)
{
    work->before_ = NULL;
    work->next_ = works->first;
    if (works->first != NULL)
        works->first->before_ = work;
    else
        works->last = work;
    works->first = work;
    works->count++;
}

static void cut_out(struct works *works, struct pool_work *work)
{
    must(works->count > 0);
    if (work->next_ != NULL)
        work->next_->before_ = work->before_;
    else
        works->last = work->before_;
    if (work->before_ != NULL)
        work->before_->next_ = work->next_;
    else
        works->first = work->next_;
    works->count--;
}

static void push_idle(struct pool *p, struct pool_thread *t, mono_time now)
{
    t->is_idle = true;
    t->idle_since = now;
    t->older = p->newest;
    t->newer = NULL;
    if (p->newest != NULL)
        p->newest->newer = t;
    else
        p->oldest = t;
    p->newest = t;
}

static void cut_idle(struct pool *p, struct pool_thread *t)
{
    must(t->is_idle);
    t->is_idle = false;
    if (t->newer != NULL)
        t->newer->older = t->older;
    else
        p->newest = t->older;
    if (t->older != NULL)
        t->older->newer = t->newer;
    else
        p->oldest = t->newer;
}

/* ---- under the mutex ---------------------------------------------------------------------------------------------------- */

static void give(struct pool *p, struct pool_thread *t, struct pool_work *work)
{
    t->given = work;
    work->at_ = POOL_WORK_RUNS;
    p->running++;
}

/* NULL: nothing waits, or there are more threads than there should be and this one is not to go on. */
static struct pool_work *take_waiting(struct pool *p)
{
    struct pool_work *work = p->thread_count <= p->size.max ? p->waiting.first : NULL;
    if (work != NULL)
        cut_out(&p->waiting, work);
    return work;
}

static void wait_in_line(struct pool *p, struct pool_work *work)
{
    append(&p->waiting, work);
    work->at_ = POOL_WORK_WAITS;
}

/* True: the owner is to be woken. Else it was, and has not come yet. */
static bool end(struct pool *p, struct pool_work *work, bool dropped)
{
    bool first = p->ended.first == NULL;
    work->at_ = POOL_WORK_HAS_ENDED;
    work->dropped = dropped;
    append(&p->ended, work);
    *(dropped ? &p->figures.dropped : &p->figures.ran) += 1;
    return first;
}

/* ---- a thread ------------------------------------------------------------------------------------------------------------ */

static struct pool_work *given_to(struct pool_thread *t)
{
    io_mutex_take(t->pool->mutex);
    struct pool_work *work = t->given;
    io_mutex_drop(t->pool->mutex);
    return work;
}

/* How much is to do next. */
static uint32_t has_run(struct pool_thread *t, struct pool_work *work)
{
    struct pool *p = t->pool;
    mono_time now = io_now(p->o.io);
    io_mutex_take(p->mutex);
    must(p->running > 0);
    p->running--;
    t->given = NULL;
    bool wakes = end(p, work, false);
    struct pool_work *next = take_waiting(p);
    if (next != NULL)
        give(p, t, next);
    else
        push_idle(p, t, now);
    io_mutex_drop(p->mutex);
    if (wakes)
        io_agent_wake(p->o.owner);
    return next != NULL;
}

static uint32_t thread_work(void *ctx, mono_time now)
{
    struct pool_thread *t = ctx;
    struct pool_work *work = given_to(t);
    if (work == NULL)
        return 0;
    work->run(work);
    return has_run(t, work);
}

/* NOMEM: it cannot be had. With work to begin with. */
static enum neap_status start_thread(struct pool *p, struct pool_work *work)
{
    struct pool_thread *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NEAP_NOMEM;
    t->pool = p;
    snprintf(t->name, sizeof(t->name), "%.11s-%u", p->o.name, p->thread_count % 1000);
    t->agent = (struct io_agent){ .name = t->name, .work = thread_work, .ctx = t };
    io_mutex_take(p->mutex);
    give(p, t, work);
    p->thread_count++;
    io_mutex_drop(p->mutex);
    if (io_agent_start(p->o.io, &t->agent, NULL) != NEAP_OK) {
        io_mutex_take(p->mutex);
        p->thread_count--;
        p->running--;
        work->at_ = POOL_WORK_IS_FREE;
        io_mutex_drop(p->mutex);
        free(t);
        return NEAP_NOMEM;
    }
    p->figures.started++;
    t->next = p->threads;
    if (t->next != NULL)
        t->next->before = t;
    p->threads = t;
    return NEAP_OK;
}

static void end_thread(struct pool *p, struct pool_thread *t)
{
    io_agent_stop(&t->agent); /* it is idle: this does not take long */
    must(t->given == NULL);
    if (t->next != NULL)
        t->next->before = t->before;
    if (t->before != NULL)
        t->before->next = t->next;
    else
        p->threads = t->next;
    free(t);
}

/* ---- the owner ------------------------------------------------------------------------------------------------------------ */

static void timer_fired(struct io_timer *timer, mono_time now)
{
    struct pool *p = timer->ctx;
    CHECK_MAGIC(p, POOL_MAGIC);
    io_agent_wake(p->o.owner);
}

static void check_size(const struct pool_size *size)
{
    must(size->max >= 1 && size->max <= POOL_THREAD_COUNT_MAX && size->core <= size->max);
    must(size->queue <= POOL_QUEUE_COUNT_MAX && size->idle_ns >= 0);
}

enum neap_status pool_open(const struct pool_options *options, struct pool **ret_pool, struct error *err)
{
    check_size(&options->size);
    struct pool *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return error_set(err, NEAP_NOMEM, "pool %s: out of memory", options->name);
    p->magic = POOL_MAGIC;
    p->o = *options;
    p->size = options->size;
    p->timer = (struct io_timer){ .agent = options->owner, .fire = timer_fired, .ctx = p };
    p->mutex = io_mutex_new(options->io);
    if (p->mutex == NULL) {
        free(p);
        return error_set(err, NEAP_NOMEM, "pool %s: out of memory", options->name);
    }
    *ret_pool = p;
    return NEAP_OK;
}

void pool_close(struct pool **pool)
{
    struct pool *p = *pool;
    if (p == NULL)
        return;
    CHECK_MAGIC(p, POOL_MAGIC);
    must(pool_is_empty(p));
    io_timer_cancel(&p->timer);
    while (p->threads != NULL)
        end_thread(p, p->threads);
    io_mutex_free(&p->mutex);
    p->magic = 0;
    free(p);
    *pool = NULL;
}

/* Under the mutex. */
static enum neap_status reject(struct pool *p, struct pool_work *work)
{
    struct pool_work *oldest = p->waiting.first;
    switch (p->size.reject) {
    case POOL_DROP_OLDEST:
        if (oldest != NULL) {
            cut_out(&p->waiting, oldest);
            wait_in_line(p, work);
            (void)end(p, oldest, true);
        } else {
            (void)end(p, work, true); /* without a queue it is the oldest itself */
        }
        return NEAP_OK;
    case POOL_DROP_NEWEST:
        (void)end(p, work, true);
        return NEAP_OK;
    case POOL_REJECT:
        p->figures.rejected++;
        return NEAP_REFUSED;
    case POOL_BLOCK:
    case POOL_CALLER_RUNS:
        break;
    }
    return NEAP_AGAIN;
}

/* Under the mutex. NOTFOUND: it wants one thread more. ret_thread: one to be woken. */
static enum neap_status place(struct pool *p, struct pool_work *work, bool may_grow, struct pool_thread **ret_thread)
{
    struct pool_thread *idle = p->waiting.count == 0 && p->thread_count <= p->size.max ? p->newest : NULL;
    if (idle != NULL) {
        cut_idle(p, idle);
        give(p, idle, work);
        *ret_thread = idle;
        return NEAP_OK;
    }
    if (may_grow && p->thread_count < p->size.max)
        return NEAP_NOTFOUND; /* rule P2 */
    if (p->thread_count == 0)
        return NEAP_AGAIN;
    if (p->waiting.count >= p->size.queue)
        return reject(p, work);
    wait_in_line(p, work);
    return NEAP_OK;
}

static enum neap_status place_and_wake(struct pool *p, struct pool_work *work, bool may_grow)
{
    struct pool_thread *idle = NULL;
    io_mutex_take(p->mutex);
    enum neap_status status = place(p, work, may_grow, &idle);
    io_mutex_drop(p->mutex);
    if (idle != NULL)
        io_agent_wake(&idle->agent);
    else if (status == NEAP_OK)
        io_agent_wake(p->o.owner); /* where one was dropped, it comes back */
    return status;
}

enum neap_status pool_submit(struct pool *p, struct pool_work *work)
{
    CHECK_MAGIC(p, POOL_MAGIC);
    work->at_ = POOL_WORK_IS_FREE;
    enum neap_status status = place_and_wake(p, work, true);
    if (status == NEAP_NOTFOUND && start_thread(p, work) == NEAP_OK)
        return NEAP_OK;
    if (status == NEAP_NOTFOUND)
        status = place_and_wake(p, work, false);
    if (status != NEAP_AGAIN || p->size.reject != POOL_CALLER_RUNS)
        return status;
    work->run(work);
    io_mutex_take(p->mutex);
    (void)end(p, work, false);
    io_mutex_drop(p->mutex);
    io_agent_wake(p->o.owner);
    return NEAP_OK;
}

bool pool_take_back(struct pool *p, struct pool_work *work)
{
    CHECK_MAGIC(p, POOL_MAGIC);
    io_mutex_take(p->mutex);
    bool waits = work->at_ == POOL_WORK_WAITS;
    if (waits) {
        cut_out(&p->waiting, work);
        work->at_ = POOL_WORK_IS_FREE;
    }
    io_mutex_drop(p->mutex);
    return waits;
}

/* ---- a turn of the owner ----------------------------------------------------------------------------------------------------- */

static uint32_t give_back(struct pool *p)
{
    io_mutex_take(p->mutex);
    struct works ended = p->ended;
    p->ended = (struct works){ 0 };
    io_mutex_drop(p->mutex);
    for (struct pool_work *work = ended.first, *next; work != NULL; work = next) {
        next = work->next_; /* done() may submit it again */
        work->at_ = POOL_WORK_IS_FREE;
        work->done(work);
    }
    return ended.count;
}

/* The one that has been idle longest, where it is not needed any more; it belongs to nobody then. */
static struct pool_thread *take_needless(struct pool *p, mono_time now, mono_time *ret_due)
{
    *ret_due = MONO_NEVER;
    io_mutex_take(p->mutex);
    struct pool_thread *t = p->thread_count > p->size.core ? p->oldest : NULL;
    if (t != NULL && p->thread_count <= p->size.max) {
        *ret_due = mono_after(t->idle_since, p->size.idle_ns);
        t = ret_due->ns <= now.ns ? t : NULL;
    }
    if (t != NULL) {
        cut_idle(p, t);
        p->thread_count--;
    }
    io_mutex_drop(p->mutex);
    return t;
}

static uint32_t end_needless(struct pool *p, mono_time now)
{
    uint32_t count = 0;
    mono_time due;
    for (struct pool_thread *t; (t = take_needless(p, now, &due)) != NULL; count++)
        end_thread(p, t);
    if (due.ns != MONO_NEVER.ns)
        io_timer_set(&p->timer, due);
    else
        io_timer_cancel(&p->timer);
    return count;
}

/* One that waits, and who takes it: an idle thread, or NULL: a new one. NULL: nobody can. */
static struct pool_work *match(struct pool *p, struct pool_thread **ret_idle)
{
    io_mutex_take(p->mutex);
    struct pool_thread *idle = p->newest;
    struct pool_work *work = idle != NULL || p->thread_count < p->size.max ? take_waiting(p) : NULL;
    if (work != NULL && idle != NULL) {
        cut_idle(p, idle);
        give(p, idle, work);
    }
    io_mutex_drop(p->mutex);
    *ret_idle = idle;
    return work;
}

/* After a change of size: else whoever has ended its work takes the next one. */
static void serve_waiting(struct pool *p)
{
    struct pool_thread *idle;
    for (struct pool_work *work; (work = match(p, &idle)) != NULL;) {
        if (idle != NULL) {
            io_agent_wake(&idle->agent);
        } else if (start_thread(p, work) != NEAP_OK) {
            io_mutex_take(p->mutex);
            prepend(&p->waiting, work); /* somebody else will come for it, or the next turn */
            work->at_ = POOL_WORK_WAITS;
            io_mutex_drop(p->mutex);
            return;
        }
    }
}

uint32_t pool_turn(struct pool *p, mono_time now)
{
    CHECK_MAGIC(p, POOL_MAGIC);
    uint32_t count = give_back(p);
    count += end_needless(p, now);
    serve_waiting(p);
    return count;
}

void pool_resize(struct pool *p, const struct pool_size *size)
{
    CHECK_MAGIC(p, POOL_MAGIC);
    check_size(size);
    io_mutex_take(p->mutex);
    p->size = *size;
    io_mutex_drop(p->mutex);
    io_agent_wake(p->o.owner); /* pool_turn() does what follows from it */
}

bool pool_is_empty(const struct pool *p)
{
    struct pool_figures f = pool_figures(p);
    io_mutex_take(p->mutex);
    bool ended = p->ended.first != NULL;
    io_mutex_drop(p->mutex);
    return f.running == 0 && f.waiting == 0 && !ended;
}

struct pool_figures pool_figures(const struct pool *p)
{
    CHECK_MAGIC(p, POOL_MAGIC);
    io_mutex_take(p->mutex);
    struct pool_figures f = p->figures;
    f.threads = p->thread_count;
    f.running = p->running;
    f.waiting = p->waiting.count;
    io_mutex_drop(p->mutex);
    return f;
}
