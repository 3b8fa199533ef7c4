/* test_io_agents.c - the real door's agents: turns, wake-ups, timers, syncs, streams and signals.
 *
 * No time is asserted but "never early"; a lost wake-up shows as a test that does not end. */
#include "check.h"

#include "io/real.h"
#include "scratch.h"
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct world {
    struct scratch scratch;
    struct io *io;
    struct io_agent self; /* turned by the test's own thread */
    struct error err;
    uint32_t turn_count;
};

static uint32_t count_turn(void *ctx, mono_time now)
{
    ((struct world *)ctx)->turn_count++;
    return 0;
}

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    scratch_init(&w->scratch);
    w->io = io_real_open(NULL);
    w->self = (struct io_agent){ .name = "self", .work = count_turn, .ctx = w };
    *state = w;
    return io_agent_attach(w->io, &w->self, &w->err) == NEAP_OK ? 0 : -1;
}

static int close_world(void **state)
{
    struct world *w = *state;
    io_agent_stop(&w->self);
    io_agent_stop(&w->self); /* once more is fine */
    io_real_close(&w->io);
    scratch_fini(&w->scratch);
    free(w);
    return 0;
}

static void run(struct world *w)
{
    assert_int_equal(io_agent_run(w->io, &w->self, MONO_NEVER, &w->err), NEAP_OK);
}

static mono_time in_ms(struct world *w, int64_t ms)
{
    return mono_after(io_now(w->io), ms * NS_PER_MS);
}

/* ---- turns and wake-ups ---- */

#define ROUND_COUNT 20000u

struct player {
    struct io_agent agent;
    struct player *other;
    struct world *world;
    _Atomic uint32_t ball; /* posted by the other: the round's number */
    uint32_t seen;
};

static uint32_t play(void *ctx, mono_time now)
{
    struct player *p = ctx;
    uint32_t ball = atomic_load_explicit(&p->ball, memory_order_acquire);
    if (ball == p->seen)
        return 0;
    assert_int_equal(ball, p->seen + 1);
    p->seen = ball;
    if (ball == ROUND_COUNT && p->world != NULL) {
        io_agent_leave(&p->agent);
        return 1;
    }
    atomic_store_explicit(&p->other->ball, p->world != NULL ? ball + 1 : ball, memory_order_release);
    io_agent_wake(&p->other->agent);
    return 1;
}

static void no_wake_up_is_lost(void **state)
{
    struct world *w = *state;
    struct player a = { .world = w }, b = { .other = &a };
    a.other = &b;
    a.agent = (struct io_agent){ .name = "a", .work = play, .ctx = &a };
    b.agent = (struct io_agent){ .name = "a-name-that-is-too-long", .work = play, .ctx = &b };
    assert_int_equal(io_agent_attach(w->io, &a.agent, &w->err), NEAP_OK);
    assert_int_equal(io_agent_start(w->io, &b.agent, &w->err), NEAP_OK);
    atomic_store(&b.ball, 1);
    io_agent_wake(&b.agent);
    assert_int_equal(io_agent_run(w->io, &a.agent, MONO_NEVER, &w->err), NEAP_OK);
    assert_int_equal(a.seen, ROUND_COUNT);
    io_agent_stop(&b.agent);
    io_agent_stop(&a.agent);
}

static uint32_t nothing_to_do(void *ctx, mono_time now)
{
    (void)ctx;
    (void)now;
    return 0;
}

/* A stop may come while the agent is between two looks at it: it must not sleep over it. */
static void a_stop_is_heard_whenever_it_comes(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 5000; i++) {
        struct io_agent agent = { .name = "brief", .work = nothing_to_do };
        assert_int_equal(io_agent_start(w->io, &agent, &w->err), NEAP_OK);
        for (int spin = 0; spin < i % 50; spin++)
            io_agent_wake(&agent);
        io_agent_stop(&agent);
        io_agent_wake(&agent); /* too late, and harmless */
    }
}

static void a_run_ends_at_its_deadline_and_rests_until_then(void **state)
{
    struct world *w = *state;
    mono_time deadline = in_ms(w, 5);
    assert_int_equal(io_agent_run(w->io, &w->self, deadline, &w->err), NEAP_TIMEOUT);
    assert_true(io_now(w->io).ns >= deadline.ns);
    assert_in_range(w->turn_count, 1, 4); /* it rested: it did not spin */
    uint32_t before = w->turn_count;
    assert_int_equal(io_agent_run(w->io, &w->self, (mono_time){ 0 }, &w->err), NEAP_TIMEOUT);
    assert_int_equal(w->turn_count, before + 1); /* a passed deadline still gives one turn */
    io_agent_wake(&w->self);
    assert_int_equal(io_agent_run(w->io, &w->self, in_ms(w, 1), &w->err), NEAP_TIMEOUT);
    assert_true(w->turn_count >= before + 2);
}

/* ---- timers ---- */

struct alarm {
    struct io_timer timer;
    struct world *world;
    uint32_t fired_count, leave_at;
    int64_t again_ns;
    bool early;
};

static void ring_alarm(struct io_timer *timer, mono_time now)
{
    struct alarm *a = timer->ctx;
    a->early |= now.ns < timer->due_.ns;
    if (++a->fired_count == a->leave_at)
        io_agent_leave(timer->agent);
    else if (a->again_ns >= 0)
        io_timer_set(timer, mono_after(now, a->again_ns));
}

static struct alarm alarm_of(struct world *w, uint32_t leave_at, int64_t again_ns)
{
    struct alarm a = { .world = w, .leave_at = leave_at, .again_ns = again_ns };
    a.timer = (struct io_timer){ .agent = &w->self, .fire = ring_alarm };
    return a;
}

static void timers_fire_on_their_agent_and_never_early(void **state)
{
    struct world *w = *state;
    struct alarm every = alarm_of(w, 0, 150 * NS_PER_US), at_once = alarm_of(w, 0, 0), last = alarm_of(w, 1, -1);
    struct alarm cancelled = alarm_of(w, 0, -1), moved = alarm_of(w, 0, -1);
    every.timer.ctx = &every;
    at_once.timer.ctx = &at_once;
    last.timer.ctx = &last;
    cancelled.timer.ctx = &cancelled;
    moved.timer.ctx = &moved;
    mono_time start = io_now(w->io), end = mono_after(start, 20 * NS_PER_MS);
    io_timer_set(&every.timer, io_now(w->io));
    io_timer_set(&at_once.timer, (mono_time){ 0 });
    io_timer_set(&cancelled.timer, in_ms(w, 2));
    io_timer_set(&moved.timer, in_ms(w, 2));
    io_timer_set(&moved.timer, MONO_NEVER);
    io_timer_set(&last.timer, end);
    io_timer_cancel(&cancelled.timer);
    io_timer_cancel(&cancelled.timer);
    run(w);
    io_timer_cancel(&every.timer);
    io_timer_cancel(&at_once.timer);
    io_timer_cancel(&moved.timer);
    int64_t took_ns = io_now(w->io).ns - start.ns;
    assert_true(took_ns >= 20 * NS_PER_MS);
    assert_false(every.early || at_once.early || last.early);
    assert_in_range(every.fired_count, 1, (uint64_t)(took_ns / (150 * NS_PER_US) + 1));
    assert_in_range(at_once.fired_count, 1,
                    (uint64_t)(took_ns / (100 * NS_PER_US) + 1)); /* one that is always due holds nobody */
    assert_int_equal(cancelled.fired_count, 0);
    assert_int_equal(moved.fired_count, 0);
}

/* ---- syncs ---- */

struct synced {
    struct io_sync ops[6];
    unsigned done_count, order[6];
    enum neap_status status[6];
    unsigned leave_at;
    pthread_t thread;
    struct io_agent *agent;
};

static void note_synced(struct io_sync *op, enum neap_status status)
{
    struct synced *s = op->ctx;
    s->order[s->done_count] = (unsigned)(op - s->ops);
    s->status[s->done_count++] = status;
    s->thread = pthread_self();
    if (s->done_count == s->leave_at)
        io_agent_leave(s->agent);
}

static void syncs_are_done_in_order_on_their_agent(void **state)
{
    struct world *w = *state;
    struct synced s = { .leave_at = 6, .agent = &w->self };
    for (unsigned i = 0; i < 6; i++) {
        char name[2] = { (char)('a' + i), '\0' };
        struct io_file *file = NULL;
        const char *path = scratch_path(&w->scratch, name);
        if (i == 3)
            assert_int_equal(mkfifo(path, 0600), 0); /* nothing that can be synced */
        assert_int_equal(io_file_open(w->io, path, IO_READ | IO_WRITE | IO_CREATE, &file, &w->err), NEAP_OK);
        if (i != 3)
            assert_int_equal(io_file_write(file, &BYTES("x"), 1, 0), NEAP_OK);
        s.ops[i] = (struct io_sync){ .file = file, .agent = &w->self, .done = note_synced, .ctx = &s };
    }
    for (unsigned i = 0; i < 6; i++)
        io_file_sync_start(&s.ops[i]);
    assert_int_equal(s.done_count, 0); /* never inside the call that started it */
    run(w);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(s.order[i], i);
        assert_int_equal(s.status[i], i == 3 ? NEAP_IO : NEAP_OK);
        io_file_close(&s.ops[i].file);
    }
    assert_true(pthread_equal(s.thread, pthread_self()));
}

struct journal {
    struct io_agent agent;
    struct io_file *file;
    struct io_sync op;
    struct world *world;
    bool syncing;
    uint32_t sync_count;
    _Atomic bool finished;
};

static void journal_synced(struct io_sync *op, enum neap_status status)
{
    struct journal *j = op->ctx;
    assert_int_equal(status, NEAP_OK);
    j->syncing = false;
    j->sync_count++;
}

static uint32_t journal_work(void *ctx, mono_time now) /* writes the next group while the last one is synced */
{
    struct journal *j = ctx;
    if (j->syncing || j->sync_count == 300)
        goto rest;
    assert_int_equal(io_file_write(j->file, &BYTES("group"), 1, 5ull * j->sync_count), NEAP_OK);
    j->syncing = true;
    io_file_sync_start(&j->op);
    return 1;

rest:
    if (j->sync_count == 300 && !atomic_exchange(&j->finished, true))
        io_agent_wake(&j->world->self);
    return 0;
}

static uint32_t leave_when_finished(void *ctx, mono_time now)
{
    struct journal *j = ctx;
    if (atomic_load(&j->finished))
        io_agent_leave(&j->world->self);
    return 0;
}

static void a_journal_writes_beside_its_syncs(void **state)
{
    struct world *w = *state;
    struct journal j = { .world = w };
    j.agent = (struct io_agent){ .name = "journal", .work = journal_work, .ctx = &j };
    w->self.work = leave_when_finished;
    w->self.ctx = &j;
    assert_int_equal(io_file_open(w->io, scratch_path(&w->scratch, "j"), IO_READ | IO_WRITE | IO_CREATE, &j.file,
                                  &w->err),
                     NEAP_OK);
    j.op = (struct io_sync){ .file = j.file, .agent = &j.agent, .done = journal_synced, .ctx = &j };
    assert_int_equal(io_agent_start(w->io, &j.agent, &w->err), NEAP_OK);
    run(w);
    io_agent_stop(&j.agent);
    assert_int_equal(j.sync_count, 300);
    io_file_close(&j.file);
}

static void stopping_waits_for_a_sync_and_drops_it(void **state)
{
    struct world *w = *state;
    struct synced s = { .agent = &w->self };
    struct io_agent agent = { .name = "stopped", .work = count_turn, .ctx = w };
    struct io_file *file = NULL;
    assert_int_equal(io_file_open(w->io, scratch_path(&w->scratch, "s"), IO_WRITE | IO_CREATE, &file, &w->err),
                     NEAP_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(io_agent_attach(w->io, &agent, &w->err), NEAP_OK);
        s.ops[0] = (struct io_sync){ .file = file, .agent = &agent, .done = note_synced, .ctx = &s };
        io_file_sync_start(&s.ops[0]);
        io_agent_stop(&agent);
        assert_int_equal(s.ops[0].status_, NEAP_OK);
    }
    assert_int_equal(s.done_count, 0);
    io_file_close(&file); /* it is nobody's any more */
}

/* ---- streams ---- */

#define MESSAGE_SIZE (3u << 20)

/* Sends back what it gets, one piece at a time; pauses while a send is in flight. */
struct echo {
    struct io_agent agent;
    struct io_listener *listener;
    struct world *world;
    char path[640];
    uint8_t piece[64 << 10];
    enum neap_status listen_status;
    _Atomic uint32_t closed_count;
    _Atomic int closed_status;
    _Atomic bool listens, stop, stopped;
};

static void echo_data(struct io_stream *stream, struct bytes bytes)
{
    struct echo *e = io_stream_ctx(stream);
    assert_true(bytes.size <= sizeof(e->piece));
    memcpy(e->piece, bytes.at, bytes.size);
    assert_int_equal(io_stream_send(stream, (struct bytes){ e->piece, bytes.size }), NEAP_OK);
    assert_int_equal(io_stream_send(stream, BYTES("x")), NEAP_AGAIN); /* one in flight */
    io_stream_pause(stream, true);
}

static void echo_sent(struct io_stream *stream, enum neap_status status)
{
    if (status == NEAP_OK)
        io_stream_pause(stream, false);
}

static void echo_closed(struct io_stream *stream, enum neap_status status)
{
    struct echo *e = io_stream_ctx(stream);
    atomic_store(&e->closed_status, (int)status);
    atomic_fetch_add(&e->closed_count, 1);
    io_agent_wake(&e->world->self);
}

static const struct io_stream_events echo_events = { .data = echo_data, .sent = echo_sent, .closed = echo_closed };

static void echo_accepted(void *ctx, struct io_stream *stream)
{
    io_stream_start(stream, &echo_events, ctx);
}

static uint32_t echo_work(void *ctx, mono_time now)
{
    struct echo *e = ctx;
    if (!atomic_load(&e->listens)) {
        struct error err = { .status = NEAP_OK };
        e->listen_status = io_listen(&e->agent, e->path, echo_accepted, e, &e->listener, &err);
        atomic_store(&e->listens, true);
        io_agent_wake(&e->world->self);
    }
    if (atomic_load(&e->stop) && !atomic_load(&e->stopped)) {
        io_listener_close(&e->listener);
        atomic_store(&e->stopped, true);
        io_agent_wake(&e->world->self);
    }
    return 0;
}

static void wait_for(struct world *w, _Atomic bool *flag)
{
    while (!atomic_load(flag))
        io_agent_run(w->io, &w->self, in_ms(w, 1), &w->err);
}

static void echo_start(struct world *w, struct echo *e, const char *name)
{
    e->world = w;
    e->agent = (struct io_agent){ .name = "echo", .work = echo_work, .ctx = e };
    snprintf(e->path, sizeof(e->path), "%s", scratch_path(&w->scratch, name));
    assert_int_equal(io_agent_start(w->io, &e->agent, &w->err), NEAP_OK);
    wait_for(w, &e->listens);
    assert_int_equal(e->listen_status, NEAP_OK);
}

static void echo_stop(struct world *w, struct echo *e)
{
    atomic_store(&e->stop, true);
    io_agent_wake(&e->agent);
    wait_for(w, &e->stopped);
    io_agent_stop(&e->agent);
}

struct client {
    struct world *world;
    struct io_stream *stream;
    uint8_t *message, *answer;
    size_t got_size;
    unsigned sent_count, closed_count;
    enum neap_status sent_status, closed_status;
};

static void client_data(struct io_stream *stream, struct bytes bytes)
{
    struct client *c = io_stream_ctx(stream);
    assert_true(c->got_size + bytes.size <= MESSAGE_SIZE);
    memcpy(c->answer + c->got_size, bytes.at, bytes.size);
    c->got_size += bytes.size;
    if (c->got_size == MESSAGE_SIZE)
        io_stream_close(stream);
}

static void client_sent(struct io_stream *stream, enum neap_status status)
{
    struct client *c = io_stream_ctx(stream);
    c->sent_count++;
    c->sent_status = status;
    assert_int_equal(c->closed_count, 0); /* `closed` is last */
}

static void client_closed(struct io_stream *stream, enum neap_status status)
{
    struct client *c = io_stream_ctx(stream);
    c->closed_count++;
    c->closed_status = status;
    io_agent_leave(&c->world->self);
}

static const struct io_stream_events client_events = { .data = client_data,
                                                       .sent = client_sent,
                                                       .closed = client_closed };

static struct client client_open(struct world *w, const char *path)
{
    struct client c = { .world = w, .message = malloc(MESSAGE_SIZE), .answer = malloc(MESSAGE_SIZE) };
    uint64_t seed = 3;
    for (size_t i = 0; i < MESSAGE_SIZE; i++)
        c.message[i] = (uint8_t)chance(&seed);
    assert_int_equal(io_connect(&w->self, path, &c.stream, &w->err), NEAP_OK);
    return c;
}

static void client_fini(struct client *c)
{
    free(c->message);
    free(c->answer);
}

static void wait_closed(struct world *w, struct echo *e, uint32_t count)
{
    while (atomic_load(&e->closed_count) < count)
        io_agent_run(w->io, &w->self, in_ms(w, 1), &w->err);
}

static void a_stream_carries_all_bytes_both_ways(void **state)
{
    struct world *w = *state;
    static struct echo e;
    e = (struct echo){ .listens = false };
    echo_start(w, &e, "sock");
    for (uint32_t round = 1; round <= 3; round++) {
        struct client c = client_open(w, e.path);
        io_stream_start(c.stream, &client_events, &c);
        assert_int_equal(io_stream_send(c.stream, (struct bytes){ c.message, MESSAGE_SIZE }), NEAP_OK);
        assert_int_equal(c.sent_count, 0);
        run(w);
        assert_int_equal(c.got_size, MESSAGE_SIZE);
        assert_memory_equal(c.answer, c.message, MESSAGE_SIZE);
        assert_int_equal(c.sent_count, 1);
        assert_int_equal(c.sent_status, NEAP_OK);
        assert_int_equal(c.closed_count, 1);
        assert_int_equal(c.closed_status, NEAP_OK); /* its owner closed it */
        wait_closed(w, &e, round);
        assert_int_equal(atomic_load(&e.closed_status), NEAP_CLOSED); /* there the peer left */
        client_fini(&c);
    }
    echo_stop(w, &e);
    assert_int_not_equal(access(e.path, F_OK), 0);
}

static void closing_answers_the_send_in_flight_first(void **state)
{
    struct world *w = *state;
    static struct echo e;
    e = (struct echo){ .listens = false };
    echo_start(w, &e, "sock");
    struct client c = client_open(w, e.path);
    io_stream_start(c.stream, &client_events, &c);
    io_stream_pause(c.stream, true); /* nobody reads the echo, so the message cannot all go out */
    assert_int_equal(io_stream_send(c.stream, (struct bytes){ c.message, MESSAGE_SIZE }), NEAP_OK);
    io_agent_run(w->io, &w->self, in_ms(w, 3), &w->err);
    assert_int_equal(c.got_size, 0);
    assert_int_equal(c.sent_count, 0);
    io_stream_close(c.stream);
    io_stream_close(c.stream);
    assert_int_equal(io_stream_send(c.stream, BYTES("late")), NEAP_CLOSED);
    assert_int_equal(c.closed_count, 0); /* never inside the call */
    run(w);
    assert_int_equal(c.sent_count, 1);
    assert_int_equal(c.sent_status, NEAP_CLOSED);
    assert_int_equal(c.closed_status, NEAP_OK);
    wait_closed(w, &e, 1);
    echo_stop(w, &e);
    client_fini(&c);
}

static void nobody(void *ctx, struct io_stream *stream)
{
    io_stream_close(stream); /* never started: it just ends */
}

static int abandoned_socket(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int rc = bind(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd); /* the name stays, as after a kill */
    return rc;
}

static void a_name_is_taken_over_only_from_the_dead(void **state)
{
    struct world *w = *state;
    const char *path = scratch_path(&w->scratch, "sock"), *other = scratch_path(&w->scratch, "other");
    struct io_listener *first = NULL, *second = NULL;
    struct io_stream *stream = NULL;
    assert_int_equal(io_connect(&w->self, path, &stream, &w->err), NEAP_NOTFOUND);
    assert_int_equal(abandoned_socket(path), 0);
    assert_int_equal(io_connect(&w->self, path, &stream, &w->err), NEAP_NOTFOUND);
    assert_non_null(strstr(w->err.text, "nobody listens"));
    mode_t mask = umask(0);
    assert_int_equal(io_listen(&w->self, path, nobody, NULL, &first, &w->err), NEAP_OK);
    umask(mask);
    struct stat found;
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_int_equal(io_listen(&w->self, path, nobody, NULL, &second, &w->err), NEAP_HELD);
    assert_null(second);
    assert_int_equal(rename(path, other), 0); /* the name goes to another listener: closing leaves it that one's */
    assert_int_equal(io_listen(&w->self, path, nobody, NULL, &second, &w->err), NEAP_OK);
    io_listener_close(&first);
    assert_null(first);
    assert_int_equal(access(path, F_OK), 0);
    io_listener_close(&second);
    assert_int_not_equal(access(path, F_OK), 0);
    io_listener_close(&second);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(io_listen(&w->self, path, nobody, NULL, &second, &w->err), NEAP_EXISTS);
    assert_int_equal(access(path, F_OK), 0); /* and a user's file stays */
}

static void a_long_path_is_reached_too(void **state)
{
    struct world *w = *state;
    char name[200];
    memset(name, 'd', 190);
    strcpy(name + 100, "/sock");
    char path[640];
    snprintf(path, sizeof(path), "%s", scratch_path(&w->scratch, name));
    *strrchr(path, '/') = '\0';
    assert_int_equal(io_dir_make(w->io, path, &w->err), NEAP_OK);
    static struct echo e;
    e = (struct echo){ .listens = false };
    echo_start(w, &e, name);
    assert_true(strlen(e.path) > 107);
    struct client c = client_open(w, e.path);
    io_stream_start(c.stream, &client_events, &c);
    assert_int_equal(io_stream_send(c.stream, (struct bytes){ c.message, MESSAGE_SIZE }), NEAP_OK);
    run(w);
    assert_memory_equal(c.answer, c.message, MESSAGE_SIZE);
    wait_closed(w, &e, 1);
    client_fini(&c);
    echo_stop(w, &e);
    assert_int_not_equal(access(e.path, F_OK), 0);
}

/* ---- signals ---- */

struct post {
    struct world *world;
    int numbers[8];
    unsigned count, leave_at;
};

static void note_signal(void *ctx, int number)
{
    struct post *p = ctx;
    p->numbers[p->count++] = number;
    if (p->count == p->leave_at)
        io_agent_leave(&p->world->self);
}

static void signals_arrive_on_a_turn(void **state)
{
    struct world *w = *state;
    struct post p = { .world = w };
    static const int numbers[] = { SIGHUP, SIGTERM, SIGINT };
    for (unsigned round = 0; round < 2; round++) { /* watching can end and begin again */
        assert_int_equal(io_signals_watch(&w->self, note_signal, &p, &w->err), NEAP_OK);
        for (unsigned i = 0; i < 3; i++) {
            p.leave_at = p.count + 1;
            raise(numbers[i]);
            assert_int_equal(p.count, p.leave_at - 1);
            run(w);
            assert_int_equal(p.numbers[p.count - 1], numbers[i]);
        }
        io_signals_unwatch(&w->self);
        io_signals_unwatch(&w->self);
    }
    assert_int_equal(p.count, 6);
    uint32_t before = w->turn_count; /* its loop is empty now, and no reason to be busy */
    assert_int_equal(io_agent_run(w->io, &w->self, in_ms(w, 50), &w->err), NEAP_TIMEOUT);
    assert_in_range(w->turn_count - before, 1, 50);
    raise(SIGPIPE); /* ignored: the test lives on */
}

struct caller {
    struct post post;
    bool raised;
};

static uint32_t raise_once_and_leave_when_it_came(void *ctx, mono_time now)
{
    struct caller *c = ctx;
    if (!c->raised) {
        c->raised = true;
        raise(SIGHUP); /* it is there before the agent rests, and after its loop's turn */
    }
    if (c->post.count > 0)
        io_agent_leave(&c->post.world->self);
    return 0;
}

static void after_a_callback_comes_a_turn(void **state)
{
    struct world *w = *state;
    struct caller c = { .post = { .world = w } };
    w->self.work = raise_once_and_leave_when_it_came;
    w->self.ctx = &c;
    for (int i = 0; i < 20; i++, c.raised = false, c.post.count = 0) {
        assert_int_equal(io_signals_watch(&w->self, note_signal, &c.post, &w->err), NEAP_OK);
        run(w);
        io_signals_unwatch(&w->self);
    }
    w->self.ctx = NULL;
}

static void *raise_later(void *ctx)
{
    struct world *w = ctx;
    io_sleep(w->io, NS_PER_MS);
    kill(getpid(), SIGHUP);
    return NULL;
}

static void a_signal_ends_a_rest(void **state)
{
    struct world *w = *state;
    struct post p = { .world = w, .leave_at = 1 };
    assert_int_equal(io_signals_watch(&w->self, note_signal, &p, &w->err), NEAP_OK);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, raise_later, w), 0);
    run(w);
    pthread_join(thread, NULL);
    io_signals_unwatch(&w->self);
    assert_int_equal(p.numbers[0], SIGHUP);
}

static void *wake_later(void *ctx)
{
    struct journal *j = ctx;
    io_sleep(j->world->io, NS_PER_MS);
    atomic_store(&j->finished, true);
    io_agent_wake(&j->world->self);
    return NULL;
}

static void a_wake_up_reaches_an_agent_in_its_loop(void **state)
{
    struct world *w = *state;
    struct post p = { .world = w };
    assert_int_equal(io_signals_watch(&w->self, note_signal, &p, &w->err), NEAP_OK);
    struct journal j = { .world = w };
    w->self.work = leave_when_finished;
    w->self.ctx = &j;
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_later, &j), 0);
        run(w);
        pthread_join(thread, NULL);
        atomic_store(&j.finished, false);
    }
    struct alarm last = alarm_of(w, 1, -1); /* and timers fire there too */
    last.timer.ctx = &last;
    io_timer_set(&last.timer, in_ms(w, 3));
    run(w);
    assert_false(last.early);
    io_signals_unwatch(&w->self);
}

struct ball {
    struct world *world;
    _Atomic uint32_t thrown, caught;
};

static uint32_t catch_ball(void *ctx, mono_time now)
{
    struct ball *b = ctx;
    uint32_t thrown = atomic_load(&b->thrown);
    if (atomic_load(&b->caught) == thrown)
        return 0;
    atomic_store(&b->caught, thrown);
    return 1;
}

static void *throw_balls(void *ctx)
{
    struct ball *b = ctx;
    for (uint32_t i = 1; i <= 20000; i++) {
        atomic_store(&b->thrown, i);
        io_agent_wake(&b->world->self);
        while (i % 3 != 0 && atomic_load(&b->caught) < i) /* now one at a time, now one right behind the other */
            sched_yield();
    }
    return NULL;
}

/* Somebody else's loop sees nothing but the descriptor: a wake-up without a mark would end it here. */
static void a_descriptor_tells_of_every_wake_up(void **state)
{
    struct world *w = *state;
    struct ball b = { .world = w };
    int fd, same;
    pthread_t thread;
    w->self.work = catch_ball;
    w->self.ctx = &b;
    assert_int_equal(io_agent_descriptor(&w->self, &fd, &w->err), NEAP_OK);
    assert_int_equal(io_agent_descriptor(&w->self, &same, &w->err), NEAP_OK);
    assert_int_equal(fd, same);
    assert_int_equal(pthread_create(&thread, NULL, throw_balls, &b), 0);
    while (atomic_load(&b.caught) < 20000) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, 20000) != 1)
            fail_msg("no mark came behind ball %u", atomic_load(&b.caught));
        while (io_agent_turn(&w->self) > 0)
            ;
    }
    pthread_join(thread, NULL);
    /* and with nobody behind it, it comes to rest */
    struct pollfd p = { .fd = fd, .events = POLLIN };
    while (io_agent_turn(&w->self) > 0)
        ;
    assert_int_equal(poll(&p, 1, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_wake_up_is_lost),
        TEST(a_stop_is_heard_whenever_it_comes),
        TEST(a_run_ends_at_its_deadline_and_rests_until_then),
        TEST(timers_fire_on_their_agent_and_never_early),
        TEST(syncs_are_done_in_order_on_their_agent),
        TEST(a_journal_writes_beside_its_syncs),
        TEST(stopping_waits_for_a_sync_and_drops_it),
        TEST(a_stream_carries_all_bytes_both_ways),
        TEST(closing_answers_the_send_in_flight_first),
        TEST(a_name_is_taken_over_only_from_the_dead),
        TEST(a_long_path_is_reached_too),
        TEST(signals_arrive_on_a_turn),
        TEST(after_a_callback_comes_a_turn),
        TEST(a_signal_ends_a_rest),
        TEST(a_wake_up_reaches_an_agent_in_its_loop),
        TEST(a_descriptor_tells_of_every_wake_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
