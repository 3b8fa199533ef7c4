/* agent.c - agents on threads, their timers, and the mutex.
 *
 * A turn is: what the loop has ready, syncs and calls that are done, timers that are due, work. An agent whose work found nothing
 * lies down (bell.h) until it is rung or its next timer is due: on a futex, or in its loop when it has one. */
#include "io/real/inside.h"
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

void real_agent_must_own(const struct real_agent *agent)
{
    must(pthread_equal(agent->owner, pthread_self()));
}

static struct real_agent *room_for_agent(struct real *real)
{
    pthread_mutex_lock(&real->mutex);
    struct real_agent *a = real->free_agent;
    if (a != NULL)
        real->free_agent = a->next_free;
    else if ((a = calloc(1, sizeof(*a))) != NULL)
        *a = (struct real_agent){ .magic = REAL_AGENT_MAGIC, .event_fd = -1 };
    real->agent_count += a != NULL;
    pthread_mutex_unlock(&real->mutex);
    return a;
}

void real_agents_free(struct real *real)
{
    must(real->agent_count == 0);
    while (real->free_agent != NULL) {
        struct real_agent *a = real->free_agent;
        real->free_agent = a->next_free;
        if (a->event_fd >= 0)
            close(a->event_fd);
        a->magic = 0;
        free(a);
    }
}

enum neap_status real_agent_attach(struct io *io, struct io_agent *agent, struct error *err)
{
    struct real_agent *a = room_for_agent(real_of(io));
    if (a == NULL)
        return error_set(err, NEAP_NOMEM, "agent %s: no memory", agent->name);
    a->agent = agent;
    atomic_store(&a->stopping, false);
    a->has_thread = a->has_descriptor = false;
    a->owner = pthread_self();
    wheel_init(&a->wheel, real_now(io));
    must(a->loop == NULL && atomic_load(&a->syncer) == NULL && atomic_load(&a->synced) == NULL);
    must(a->http == NULL && atomic_load(&a->called) == NULL);
    __atomic_store_n(&agent->door_, a, __ATOMIC_RELEASE);
    __atomic_store_n(&agent->io_, io, __ATOMIC_RELEASE);
    return NEAP_OK;
}

static void detach(struct real_agent *a)
{
    struct io_agent *agent = a->agent;
    struct real *real = real_of(agent->io_);
    real_http_stop(a);
    real_sync_stop(a);
    real_loop_free(&a->loop);
    wheel_clear(&a->wheel); /* a timer left behind would point into another agent's wheel */
    __atomic_store_n(&agent->io_, NULL, __ATOMIC_RELEASE);
    __atomic_store_n(&agent->door_, NULL, __ATOMIC_RELEASE);
    pthread_mutex_lock(&real->mutex);
    a->agent = NULL;
    a->next_free = real->free_agent;
    real->free_agent = a;
    must(real->agent_count > 0);
    real->agent_count--;
    pthread_mutex_unlock(&real->mutex);
}

static uint32_t turn(struct real_agent *a)
{
    bell_awake(&a->bell);
    if (a->loop != NULL)
        real_loop_turn(a->loop);
    real_sync_deliver(a);
    real_http_deliver(a);
    mono_time now = real_now(a->agent->io_);
    wheel_advance(&a->wheel, now);
    for (struct io_timer *timer; (timer = wheel_take(&a->wheel)) != NULL;)
        timer->fire(timer, now);
    return a->agent->work(a->agent->ctx, now);
}

static void rest(struct real_agent *a, mono_time deadline)
{
    if (a->loop != NULL && !real_loop_settle(a->loop))
        return;
    mono_time until = mono_min(wheel_next(&a->wheel), deadline);
    if (!bell_lie_down(&a->bell, a->loop != NULL ? BELL_RESTS_IN_LOOP : BELL_RESTS))
        return;
    if (a->loop != NULL)
        real_loop_rest(a, until);
    else
        bell_rest(&a->bell, until);
}

static void *thread_main(void *ctx)
{
    struct real_agent *a = ctx;
    CHECK_MAGIC(a, REAL_AGENT_MAGIC);
    a->owner = pthread_self();
    while (!atomic_load_explicit(&a->stopping, memory_order_acquire)) {
        uint32_t work = turn(a);
        /* Looked at once more: the turn's bell_awake() may have taken the ring that came with it. */
        if (work == 0 && !atomic_load_explicit(&a->stopping, memory_order_acquire))
            rest(a, MONO_NEVER);
    }
    return NULL;
}

enum neap_status real_agent_start(struct io *io, struct io_agent *agent, struct error *err)
{
    enum neap_status status = real_agent_attach(io, agent, err);
    if (status != NEAP_OK)
        return status;
    struct real_agent *a = real_agent_of(agent);
    a->has_thread = true;
    int error_number = real_thread_start(real_of(io), &a->thread, thread_main, a);
    if (error_number != 0) {
        detach(a);
        return error_set(err, NEAP_NOMEM, "agent %s: no thread: %s", agent->name, strerrordesc_np(error_number));
    }
    char name[16]; /* the system takes no longer ones */
    strncpy(name, agent->name, sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    pthread_setname_np(a->thread, name);
    return NEAP_OK;
}

void real_agent_stop(struct io_agent *agent)
{
    struct real_agent *a = real_agent_of(agent);
    if (a->has_thread) {
        must(!pthread_equal(a->thread, pthread_self()));
        atomic_store_explicit(&a->stopping, true, memory_order_release);
        real_agent_wake(agent);
        pthread_join(a->thread, NULL);
        a->has_thread = false;
    }
    detach(a);
}

void real_agent_wake(struct io_agent *agent)
{
    struct real_agent *a = __atomic_load_n(&agent->door_, __ATOMIC_ACQUIRE);
    if (a != NULL) /* it has not just been stopped */
        real_agent_ring(a);
}

void real_agent_ring(struct real_agent *a)
{
    CHECK_MAGIC(a, REAL_AGENT_MAGIC);
    enum bell_state rested = bell_ring(&a->bell);
    if (rested == BELL_RESTS)
        bell_rouse(&a->bell);
    else if (rested == BELL_RESTS_IN_LOOP)
        eventfd_write(a->event_fd, 1);
}

enum neap_status real_agent_run(struct io_agent *agent, mono_time deadline, struct error *err)
{
    struct real_agent *a = real_agent_of(agent);
    must(!a->has_thread);
    a->owner = pthread_self();
    a->left = false;
    for (;;) {
        uint32_t work = turn(a);
        if (a->left)
            return NEAP_OK;
        if (real_now(agent->io_).ns >= deadline.ns)
            return NEAP_TIMEOUT;
        if (work == 0)
            rest(a, deadline);
    }
}

void real_agent_leave(struct io_agent *agent)
{
    struct real_agent *a = real_agent_of(agent);
    must(!a->has_thread); /* only who is run can leave */
    real_agent_must_own(a);
    a->left = true;
}

enum neap_status real_agent_need_event(struct real_agent *a, struct error *err)
{
    if (a->event_fd < 0)
        a->event_fd = real_high(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (a->event_fd < 0)
        return error_set(err, NEAP_NOMEM, "agent %s: no descriptor: %s", a->agent->name, strerrordesc_np(errno));
    return NEAP_OK;
}

enum neap_status real_agent_descriptor(struct io_agent *agent, int *ret_descriptor, struct error *err)
{
    struct real_agent *a = real_agent_of(agent);
    must(!a->has_thread && a->loop == NULL);
    enum neap_status status = real_agent_need_event(a, err);
    if (status != NEAP_OK)
        return status;
    a->has_descriptor = true;
    eventfd_write(a->event_fd, 1); /* nobody knows what came before it was asked for: look once */
    *ret_descriptor = a->event_fd;
    return NEAP_OK;
}

uint32_t real_agent_turn(struct io_agent *agent)
{
    struct real_agent *a = real_agent_of(agent);
    eventfd_t count;
    must(!a->has_thread && a->loop == NULL);
    a->owner = pthread_self();
    if (a->has_descriptor)
        eventfd_read(a->event_fd, &count);
    uint32_t work = turn(a);
    /* Rung since the turn began: it has not been seen, and there will be no mark for it. */
    bool rung = work == 0 && a->has_descriptor && !bell_lie_down(&a->bell, BELL_RESTS_IN_LOOP);
    return rung ? 1 : work;
}

void real_timer_set(struct io_timer *timer, mono_time due)
{
    struct real_agent *a = real_agent_of(timer->agent);
    real_agent_must_own(a);
    wheel_set(&a->wheel, timer, due);
}

void real_timer_cancel(struct io_timer *timer)
{
    struct real_agent *a = real_agent_of(timer->agent);
    real_agent_must_own(a);
    wheel_cancel(&a->wheel, timer);
}

/* ---- mutex ---- */

struct real_mutex {
    struct io_mutex base;
    pthread_mutex_t mutex;
};

struct io_mutex *real_mutex_new(struct io *io)
{
    struct real_mutex *m = malloc(sizeof(*m));
    if (m == NULL)
        return NULL;
    m->base.io = io;
    pthread_mutex_init(&m->mutex, NULL);
    return &m->base;
}

void real_mutex_free(struct io_mutex *mutex)
{
    struct real_mutex *m = (struct real_mutex *)mutex;
    int rc = pthread_mutex_destroy(&m->mutex);
    must(rc == 0); /* nobody holds it */
    free(m);
}

void real_mutex_take(struct io_mutex *mutex)
{
    int rc = pthread_mutex_lock(&((struct real_mutex *)mutex)->mutex);
    must(rc == 0);
}

void real_mutex_drop(struct io_mutex *mutex)
{
    int rc = pthread_mutex_unlock(&((struct real_mutex *)mutex)->mutex);
    must(rc == 0);
}
