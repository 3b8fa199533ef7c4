/* http.c - the thread that calls servers: one per door, made at the first call.
 *
 *     agent        pushes the call onto http.inbox, rings
 *     thread http  libcurl's multi interface turns all calls at once; what has ended goes onto agent.called, and wakes it
 *     agent        on its next turn: `done`
 *
 * The thread rests in curl_multi_poll() until a socket moves, a deadline is next, or it is rung. Deadlines are its own: a
 * wheel, exact to a tick and poll's millisecond. Cancelling only marks: the thread walks over what is in flight when it is
 * told that there is a mark. So no list holds a call that may have ended meanwhile. */
#include "io/real/curl.h"
#include "io/real/inside.h"
#include <stdlib.h>

#define CALL_COUNT_MAX       1024u
#define CONNECTION_COUNT_MAX 256u
#define PER_HOST_COUNT_MAX   64u

struct real_http {
    struct curl curl;
    struct io_http_options options;
    struct bell bell;
    _Atomic(struct io_http_call *) inbox;
    _Atomic uint32_t call_count; /* begun and not yet handed back */
    _Atomic bool marks;          /* something in flight is to be cancelled */
    _Atomic bool stopping;
    bool has_thread;
    pthread_t thread;
    CURLM *multi;
    struct transfer *inflight, *free; /* the thread's, from here on */
    struct wheel wheel;
};

static void push(_Atomic(struct io_http_call *) *stack, struct io_http_call *call)
{
    call->next_ = atomic_load_explicit(stack, memory_order_relaxed);
    while (
        !atomic_compare_exchange_weak_explicit(stack, &call->next_, call, memory_order_release, memory_order_relaxed))
        ;
}

static struct io_http_call *take_all(_Atomic(struct io_http_call *) *stack) /* the first one pushed comes first */
{
    if (atomic_load_explicit(stack, memory_order_relaxed) == NULL)
        return NULL;
    struct io_http_call *newest = atomic_exchange_explicit(stack, NULL, memory_order_acquire);
    struct io_http_call *oldest = NULL;
    while (newest != NULL) {
        struct io_http_call *next = newest->next_;
        newest->next_ = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

/* ---- the thread ---- */

/* From here on the call is its agent's. An agent's room outlives it, so that it may be rung after it has stopped. */
static void hand_back(struct real_http *h, struct io_http_call *call)
{
    struct real_agent *agent = call->own_;
    atomic_fetch_sub_explicit(&h->call_count, 1, memory_order_relaxed);
    push(&agent->called, call);
    real_agent_ring(agent);
}

static void unlink_transfer(struct transfer *t)
{
    *t->link = t->next;
    if (t->next != NULL)
        t->next->link = t->link;
}

static void put_away(struct real_http *h, struct transfer *t)
{
    wheel_cancel(&h->wheel, &t->deadline);
    h->curl.multi_remove_handle(h->multi,
                                t->easy); /* closes its connection, unless the answer has been read to its end */
    unlink_transfer(t);
    t->next = h->free;
    h->free = t;
    struct io_http_call *call = t->call;
    t->call = NULL;
    hand_back(h, call);
}

static void give_up(struct real_http *h, struct transfer *t, enum io_http_error error)
{
    transfer_given_up(t, error, real_now(NULL));
    put_away(h, t);
}

static void deadline_passed(struct io_timer *timer, mono_time now)
{
    (void)now;
    give_up(timer->ctx, (struct transfer *)(void *)((char *)timer - offsetof(struct transfer, deadline)),
            IO_HTTP_TIMEOUT);
}

static struct transfer *transfer_need(struct real_http *h)
{
    struct transfer *t = h->free;
    if (t == NULL)
        return transfer_new(&h->curl);
    h->free = t->next;
    return t;
}

static void refuse(struct real_http *h, struct io_http_call *call, enum io_http_error error, const char *text)
{
    call->answer.error = error;
    strcpy(call->answer.text, text);
    hand_back(h, call);
}

static bool is_marked(const struct io_http_call *call)
{
    struct real_agent *agent = call->own_;
    return __atomic_load_n(&call->cancelled_, __ATOMIC_ACQUIRE) || atomic_load(&agent->detaching);
}

static void start(struct real_http *h, struct io_http_call *call)
{
    if (is_marked(call)) {
        refuse(h, call, IO_HTTP_CANCELLED, "cancelled before it was begun");
        return;
    }
    struct transfer *t = transfer_need(h);
    bool good = t != NULL && transfer_set(t, call, h->options.ca_file, real_now(NULL)) &&
                h->curl.multi_add_handle(h->multi, t->easy) == CURLM_OK;
    if (!good) {
        transfer_free(&t);
        refuse(h, call, IO_HTTP_CONNECT, "no memory for another call");
        return;
    }
    t->next = h->inflight;
    t->link = &h->inflight;
    if (t->next != NULL)
        t->next->link = &t->next;
    h->inflight = t;
    t->deadline = (struct io_timer){ .fire = deadline_passed, .ctx = h };
    wheel_set(&h->wheel, &t->deadline, call->deadline);
}

static void cancel_marked(struct real_http *h)
{
    for (struct transfer *t = h->inflight, *next; t != NULL; t = next) {
        next = t->next;
        if (is_marked(t->call))
            give_up(h, t, IO_HTTP_CANCELLED);
    }
}

static void finish_ended(struct real_http *h)
{
    int left_count;
    for (CURLMsg *message; (message = h->curl.multi_info_read(h->multi, &left_count)) != NULL;) {
        if (message->msg != CURLMSG_DONE)
            continue;
        char *own = NULL;
        CURLcode code = message->data.result; /* the message goes with its handle */
        h->curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &own);
        struct transfer *t = (struct transfer *)(void *)own;
        transfer_ended(t, code, real_now(NULL));
        put_away(h, t);
    }
}

static void turn(struct real_http *h)
{
    bool marks = atomic_exchange(&h->marks, false); /* before the inbox: what was marked was pushed before */
    for (struct io_http_call *call = take_all(&h->inbox), *next; call != NULL; call = next) {
        next = call->next_;
        start(h, call);
    }
    int running_count;
    h->curl.multi_perform(h->multi, &running_count);
    finish_ended(h); /* what has ended has ended, though its deadline is over as well */
    if (marks)
        cancel_marked(h);
    mono_time now = real_now(NULL);
    wheel_advance(&h->wheel, now);
    for (struct io_timer *timer; (timer = wheel_take(&h->wheel)) != NULL;)
        timer->fire(timer, now);
}

static void rest(struct real_http *h)
{
    int64_t ns = mono_min(wheel_next(&h->wheel), mono_after(real_now(NULL), 60 * NS_PER_S)).ns - real_now(NULL).ns;
    int ms = ns <= 0 ? 0 : (int)((ns + NS_PER_MS - 1) / NS_PER_MS);
    if (bell_lie_down(&h->bell, BELL_RESTS_IN_LOOP))
        h->curl.multi_poll(h->multi, NULL, 0, ms, NULL); /* at most until libcurl's own next timer */
}

static void *http_main(void *ctx)
{
    struct real_http *h = ctx;
    while (!atomic_load_explicit(&h->stopping, memory_order_acquire)) {
        bell_awake(&h->bell);
        turn(h);
        if (!atomic_load_explicit(&h->stopping, memory_order_acquire))
            rest(h);
    }
    return NULL;
}

static void ring(struct real_http *h)
{
    if (bell_ring(&h->bell) == BELL_RESTS_IN_LOOP)
        h->curl.multi_wakeup(h->multi);
}

/* ---- making and ending it ---- */

static uint32_t or_else(uint32_t value, uint32_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static struct real_http *http_new(const struct io_http_options *options, struct error *err)
{
    struct real_http *h = calloc(1, sizeof(*h));
    if (h == NULL) {
        error_set(err, NEAP_NOMEM, "no memory for calls over HTTP");
        return NULL;
    }
    if (curl_load(&h->curl, err) != NEAP_OK)
        goto free_it;
    h->options = *options;
    h->options.call_count_max = or_else(options->call_count_max, CALL_COUNT_MAX);
    h->multi = real_standard_fill() ? h->curl.multi_init() : NULL;
    if (h->multi == NULL) {
        error_set(err, NEAP_NOMEM, "no memory or descriptors for calls over HTTP");
        goto free_it;
    }
    long connection_count = or_else(options->connection_count_max, CONNECTION_COUNT_MAX);
    h->curl.multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connection_count);
    h->curl.multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, connection_count);
    h->curl.multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                         (long)or_else(options->per_host_count_max, PER_HOST_COUNT_MAX));
    wheel_init(&h->wheel, real_now(NULL));
    return h;

free_it:
    free(h);
    return NULL;
}

void real_http_free(struct real *real)
{
    struct real_http *h = real->http;
    if (h == NULL)
        return;
    must(atomic_load(&h->call_count) == 0); /* agents end theirs before they end */
    if (h->has_thread) {
        atomic_store_explicit(&h->stopping, true, memory_order_release);
        ring(h);
        pthread_join(h->thread, NULL);
    }
    must(h->inflight == NULL && atomic_load(&h->inbox) == NULL);
    while (h->free != NULL) {
        struct transfer *t = h->free;
        h->free = t->next;
        transfer_free(&t);
    }
    h->curl.multi_cleanup(h->multi);
    free(h);
    real->http = NULL;
}

enum neap_status real_http_prepare(struct io *io, const struct io_http_options *options, struct error *err)
{
    struct real *real = real_of(io);
    struct error here = { .status = NEAP_OK };
    pthread_mutex_lock(&real->http_mutex);
    if (real->http == NULL)
        real->http = http_new(options, &here);
    pthread_mutex_unlock(&real->http_mutex);
    return here.status == NEAP_OK ? NEAP_OK : error_set(err, here.status, "%s", here.text);
}

/* With its thread. NULL: the error says why. */
static struct real_http *http_need(struct real *real, struct error *err)
{
    static const struct io_http_options none = { .call_count_max = 0 };
    struct error here = { .status = NEAP_OK };
    pthread_mutex_lock(&real->http_mutex);
    if (real->http == NULL)
        real->http = http_new(&none, &here);
    struct real_http *h = real->http;
    if (h != NULL && !h->has_thread) {
        int error_number = real_thread_start(real, &h->thread, http_main, h);
        if (error_number == 0) {
            pthread_setname_np(h->thread, "http");
            h->has_thread = true;
        } else {
            error_set(&here, NEAP_NOMEM, "no thread for calls over HTTP: %s", strerrordesc_np(error_number));
        }
    }
    pthread_mutex_unlock(&real->http_mutex);
    if (here.status == NEAP_OK)
        return h;
    error_set(err, here.status, "%s", here.text);
    return NULL;
}

/* ---- an agent's calls ---- */

enum neap_status real_http_begin(struct io_http_call *call, struct error *err)
{
    struct real_agent *agent = real_agent_of(call->agent);
    real_agent_must_own(agent);
    if (agent->http == NULL) {
        struct error here = { .status = NEAP_OK };
        agent->http = http_need(real_of(call->agent->io_), &here);
        if (agent->http == NULL)
            return error_set(err, here.status, "%s", here.text);
    }
    struct real_http *h = agent->http;
    if (atomic_fetch_add_explicit(&h->call_count, 1, memory_order_relaxed) >= h->options.call_count_max) {
        atomic_fetch_sub_explicit(&h->call_count, 1, memory_order_relaxed);
        return error_set(err, NEAP_AGAIN, "%u calls are in flight", h->options.call_count_max);
    }
    call->own_ = agent;
    agent->call_count++;
    push(&h->inbox, call);
    ring(h);
    return NEAP_OK;
}

void real_http_cancel(struct io_http_call *call)
{
    struct real_agent *agent = real_agent_of(call->agent);
    real_agent_must_own(agent);
    __atomic_store_n(&call->cancelled_, true, __ATOMIC_RELEASE);
    atomic_store(&agent->http->marks, true);
    ring(agent->http);
}

void real_http_deliver(struct real_agent *agent)
{
    struct io_http_call *call = take_all(&agent->called);
    while (call != NULL) {
        struct io_http_call *next = call->next_;
        agent->call_count--;
        call->at_work_ = false;
        call->done(call); /* the call may be gone or on its way again */
        call = next;
    }
}

static void drop_ended(struct real_agent *agent)
{
    for (struct io_http_call *call = take_all(&agent->called); call != NULL; call = call->next_) {
        call->at_work_ = false;
        agent->call_count--;
    }
}

void real_http_stop(struct real_agent *agent)
{
    if (agent->http == NULL)
        return;
    atomic_store(&agent->detaching, true);
    atomic_store(&agent->http->marks, true);
    ring(agent->http);
    for (;;) {
        bell_awake(&agent->bell);
        drop_ended(agent);
        if (agent->call_count == 0)
            break;
        if (bell_lie_down(&agent->bell, BELL_RESTS))
            bell_rest(&agent->bell, MONO_NEVER);
    }
    atomic_store(&agent->detaching, false);
    agent->http = NULL;
}
