/* loop.c - the libuv loop of an agent that has streams or signals.
 *
 * libuv runs what is ready and never waits itself: the agent rests in ppoll() on the loop's own descriptor and on the one
 * that rouses it, because libuv's timeouts are whole milliseconds and the wheel's are not. libuv hands new interests to the kernel only when it runs, so an
 * agent settles its loop before it rests. */
#include "io/real/inside.h"
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#define READ_SIZE (64u << 10)

static const int signal_numbers[] = { SIGTERM, SIGINT, SIGHUP };
#define SIGNAL_COUNT COUNT_OF(signal_numbers)

struct real_loop {
    uv_loop_t uv;
    uint64_t callback_count;
    void (*arrived)(void *ctx, int number);
    void *arrived_ctx;
    bool has_signals; /* the handles below have been made */
    uv_signal_t signals[SIGNAL_COUNT];
    uint8_t buffer[READ_SIZE];
};

static struct real_loop *loop_of(uv_loop_t *uv)
{
    return (struct real_loop *)(void *)((char *)uv - offsetof(struct real_loop, uv));
}

enum neap_status real_loop_need(struct real_agent *agent, uv_loop_t **ret_loop, struct error *err)
{
    real_agent_must_own(agent);
    const char *name = agent->agent->name;
    enum neap_status status = real_agent_need_event(agent, err);
    if (status != NEAP_OK)
        return status;
    if (agent->loop == NULL) {
        struct real_loop *loop = calloc(1, sizeof(*loop));
        if (loop == NULL)
            return error_set(err, NEAP_NOMEM, "agent %s: no memory for a loop", name);
        int rc = real_standard_fill() ? uv_loop_init(&loop->uv) : UV_EMFILE;
        if (rc != 0) {
            free(loop);
            return error_set(err, NEAP_NOMEM, "agent %s: no loop: %s", name, uv_strerror(rc));
        }
        agent->loop = loop;
    }
    *ret_loop = &agent->loop->uv;
    return NEAP_OK;
}

void real_loop_count_callback(uv_loop_t *uv)
{
    loop_of(uv)->callback_count++;
}

struct bytes real_loop_buffer(uv_loop_t *uv)
{
    return (struct bytes){ loop_of(uv)->buffer, READ_SIZE };
}

void real_loop_turn(struct real_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_NOWAIT);
}

bool real_loop_settle(struct real_loop *loop)
{
    uint64_t before = loop->callback_count;
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    bool rests = uv_backend_timeout(&loop->uv) != 0 || !uv_loop_alive(&loop->uv); /* one that is empty says 0, too */
    return loop->callback_count == before && rests;
}

void real_loop_rest(struct real_agent *agent, mono_time until)
{
    int64_t left_ns = until.ns - real_now(NULL).ns;
    if (left_ns <= 0)
        return;
    struct timespec left = { .tv_sec = left_ns / NS_PER_S, .tv_nsec = left_ns % NS_PER_S };
    struct pollfd fds[] = {
        { .fd = uv_backend_fd(&agent->loop->uv), .events = POLLIN },
        { .fd = agent->event_fd, .events = POLLIN },
    };
    ppoll(fds, COUNT_OF(fds), until.ns == MONO_NEVER.ns ? NULL : &left, NULL); /* whatever it answers: look again */
    eventfd_t count;
    if (fds[1].revents != 0)
        eventfd_read(agent->event_fd, &count);
}

void real_loop_free(struct real_loop **loop)
{
    struct real_loop *l = *loop;
    if (l == NULL)
        return;
    must(l->arrived == NULL); /* signals are watched no more */
    for (size_t i = 0; l->has_signals && i < SIGNAL_COUNT; i++)
        uv_close((uv_handle_t *)&l->signals[i], NULL);
    while (uv_run(&l->uv, UV_RUN_NOWAIT) != 0) /* streams whose owner has closed them end here */
        must(uv_backend_timeout(&l->uv) == 0); /* and one that is still open is left behind */
    int rc = uv_loop_close(&l->uv);
    must(rc == 0);
    free(l);
    *loop = NULL;
}

/* ---- signals ---- */

static void signal_arrived(uv_signal_t *handle, int number)
{
    struct real_loop *loop = loop_of(handle->loop);
    real_loop_count_callback(handle->loop);
    if (loop->arrived != NULL)
        loop->arrived(loop->arrived_ctx, number);
}

enum neap_status real_signals_watch(struct io_agent *agent, void (*arrived)(void *ctx, int number), void *ctx,
                                    struct error *err)
{
    struct real_agent *a = real_agent_of(agent);
    uv_loop_t *uv;
    enum neap_status status = real_loop_need(a, &uv, err);
    if (status != NEAP_OK)
        return status;
    struct real_loop *loop = a->loop;
    must(loop->arrived == NULL); /* once */
    for (size_t i = 0; !loop->has_signals && i < SIGNAL_COUNT; i++) {
        int rc = uv_signal_init(uv, &loop->signals[i]);
        if (rc != 0) {
            while (i-- > 0)
                uv_close((uv_handle_t *)&loop->signals[i], NULL);
            return error_set(err, NEAP_NOMEM, "agent %s: no signals: %s", agent->name, uv_strerror(rc));
        }
    }
    loop->has_signals = true;
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        int rc = uv_signal_start(&loop->signals[i], signal_arrived, signal_numbers[i]);
        if (rc != 0) {
            real_signals_unwatch(agent);
            return error_set(err, NEAP_NOMEM, "agent %s: signal %d: %s", agent->name, signal_numbers[i],
                             uv_strerror(rc));
        }
    }
    loop->arrived = arrived;
    loop->arrived_ctx = ctx;
    return NEAP_OK;
}

void real_signals_unwatch(struct io_agent *agent)
{
    struct real_agent *a = real_agent_of(agent);
    real_agent_must_own(a);
    if (a->loop == NULL || !a->loop->has_signals)
        return;
    for (size_t i = 0; i < SIGNAL_COUNT; i++)
        uv_signal_stop(&a->loop->signals[i]);
    a->loop->arrived = NULL;
}
