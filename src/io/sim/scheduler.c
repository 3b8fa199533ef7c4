/* scheduler.c - whose turn it is: any legal order, chosen by the seed. */
#include "base/must.h"
#include "io/sim/door.h"
#include <stdlib.h>

#define TICK_NS             100000ll
#define DEPTH_MAX           12u
#define OTHERS_PER_WAIT_MAX 24u
#define CHOICE_COUNT_MAX    64u

/* ---- what could happen now ---- */

enum choice_kind {
    CHOICE_TURN,
    CHOICE_TIMER,
    CHOICE_SYNC,
    CHOICE_SIGNAL,
    CHOICE_STREAM,
    CHOICE_ARRIVAL,
    CHOICE_CALLED,
    CHOICE_CHILD
};

struct choice {
    enum choice_kind kind;
    struct sim_agent *agent;
    void *of;
};

struct choices {
    struct choice list[CHOICE_COUNT_MAX];
    uint32_t count;
    mono_time next; /* when nothing can happen now */
};

static void offer(struct choices *choices, enum choice_kind kind, struct sim_agent *agent, void *of)
{
    if (choices->count < CHOICE_COUNT_MAX)
        choices->list[choices->count++] = (struct choice){ kind, agent, of };
}

static void offer_due(struct choices *choices, mono_time now, mono_time due, enum choice_kind kind,
                      struct sim_agent *agent, void *of)
{
    if (due.ns <= now.ns)
        offer(choices, kind, agent, of);
    else
        choices->next = mono_min(choices->next, due);
}

static bool may_run(const struct sim_agent *agent)
{
    return !agent->busy && (agent->started || agent->running);
}

/* What arrives at a server needs no turn of whoever sent it. */
static void offer_calls(struct choices *choices, mono_time now, struct sim_agent *agent)
{
    for (struct sim_http *http = agent->https; http != NULL; http = http->next) {
        if (!http->at_server)
            offer_due(choices, now, http->due, CHOICE_ARRIVAL, agent, http);
        else if (may_run(agent))
            offer_due(choices, now, http->due, CHOICE_CALLED, agent, http);
    }
}

static void offer_children(struct sim *sim, struct choices *choices)
{
    for (struct sim_child *child = sim->children; child != NULL; child = child->next) {
        bool needs_turn;
        mono_time due;
        if (sim_child_ready(child, &needs_turn, &due) && (!needs_turn || may_run(child->agent)))
            offer_due(choices, sim_now(sim), due, CHOICE_CHILD, child->agent, child);
    }
}

static void collect(struct sim *sim, struct choices *choices)
{
    mono_time now = sim_now(sim);
    choices->count = 0;
    choices->next = MONO_NEVER;
    for (struct sim_agent *agent = sim->agents; agent != NULL; agent = agent->next) {
        offer_calls(choices, now, agent);
        if (!may_run(agent))
            continue;
        if (agent->awake)
            offer(choices, CHOICE_TURN, agent, NULL);
        if (agent->timers != NULL)
            offer_due(choices, now, agent->timers->due_, CHOICE_TIMER, agent, agent->timers);
        for (struct sim_sync *sync = agent->syncs; sync != NULL; sync = sync->next)
            offer_due(choices, now, sync->due, CHOICE_SYNC, agent, sync);
        if (agent->signal_mask != 0 && agent->signal_arrived != NULL)
            offer(choices, CHOICE_SIGNAL, agent, NULL);
    }
    for (struct sim_stream *stream = sim->streams; stream != NULL; stream = stream->next) {
        if (may_run(stream->agent) && sim_stream_ready(stream))
            offer_due(choices, now, stream->due, CHOICE_STREAM, stream->agent, stream);
    }
    offer_children(sim, choices);
}

/* A turn nobody asked for is always legal. */
static void offer_spurious(struct sim *sim, struct choices *choices)
{
    if (sim->calm || !sim_one_in(&sim->order_chance, 64))
        return;
    uint32_t count = 0;
    for (struct sim_agent *agent = sim->agents; agent != NULL; agent = agent->next)
        count += may_run(agent);
    uint32_t which = count == 0 ? 0 : sim_below(&sim->order_chance, count);
    for (struct sim_agent *agent = sim->agents; agent != NULL; agent = agent->next) {
        if (may_run(agent) && which-- == 0) {
            choices->count = 0;
            offer(choices, CHOICE_TURN, agent, NULL);
        }
    }
}

/* ---- doing it ---- */

mono_time sim_now(const struct sim *sim)
{
    return (mono_time){ sim->now_ns };
}

struct sim_agent *sim_turn_begin(struct sim_agent *agent)
{
    struct sim *sim = agent->sim;
    struct sim_agent *before = sim->current;
    must(!agent->busy);
    must(sim->held_count == 0); /* nobody holds a lock while others run */
    agent->busy = true;
    sim->current = agent;
    return before;
}

void sim_turn_end(struct sim_agent *agent, struct sim_agent *before)
{
    struct sim *sim = agent->sim;
    must(agent->busy && sim->current == agent);
    must(sim->held_count == 0); /* a turn ends without locks */
    agent->busy = false;
    sim->current = before;
}

static void turn(struct sim_agent *agent)
{
    struct sim *sim = agent->sim;
    sim->now_ns += sim->calm ? 1000 : 500 + sim_below(&sim->order_chance, 2000);
    struct sim_agent *before = sim_turn_begin(agent);
    agent->awake = false; /* before the turn: a wake during it asks for another one */
    uint32_t work = agent->agent->work(agent->agent->ctx, sim_now(sim));
    agent->awake |= work > 0;
    sim_turn_end(agent, before);
    sim_note(sim, "turn", agent->name_hash, work, 0);
}

static void fire(struct sim_agent *agent)
{
    struct io_timer *timer = agent->timers;
    sim_note(agent->sim, "timer", agent->name_hash, (uint64_t)timer->due_.ns, 0);
    sim_timer_cancel(timer);
    struct sim_agent *before = sim_turn_begin(agent);
    timer->fire(timer, sim_now(agent->sim));
    sim_turn_end(agent, before);
}

static void sync_done(struct sim_agent *agent, struct sim_sync *sync)
{
    struct sim_sync **link = &agent->syncs;
    while (*link != sync)
        link = &(*link)->next;
    *link = sync->next;
    struct sim_sync ended = *sync;
    free(sync);
    sim_sync_finish(agent->sim, &ended);
    sim_note(agent->sim, "synced", agent->name_hash, ended.status, 0);
    struct sim_agent *before = sim_turn_begin(agent);
    ended.op->done(ended.op, ended.status);
    sim_turn_end(agent, before);
}

static void tell_signal(struct sim_agent *agent)
{
    int number = __builtin_ctz(agent->signal_mask);
    agent->signal_mask &= agent->signal_mask - 1;
    sim_note(agent->sim, "signal", agent->name_hash, (uint64_t)number, 0);
    struct sim_agent *before = sim_turn_begin(agent);
    agent->signal_arrived(agent->signal_ctx, number);
    sim_turn_end(agent, before);
}

static void happen(const struct choice *choice)
{
    switch (choice->kind) {
    case CHOICE_TURN:
        turn(choice->agent);
        break;
    case CHOICE_TIMER:
        fire(choice->agent);
        break;
    case CHOICE_SYNC:
        sync_done(choice->agent, choice->of);
        break;
    case CHOICE_SIGNAL:
        tell_signal(choice->agent);
        break;
    case CHOICE_STREAM:
        sim_stream_turn(choice->of);
        break;
    case CHOICE_ARRIVAL:
        sim_http_arrive(choice->of);
        break;
    case CHOICE_CALLED:
        sim_http_end(choice->of);
        break;
    case CHOICE_CHILD:
        sim_child_turn(choice->of);
        break;
    }
}

bool sim_step(struct sim *sim, mono_time until)
{
    struct choices choices;
    collect(sim, &choices);
    offer_spurious(sim, &choices);
    if (choices.count == 0) {
        mono_time next = mono_min(choices.next, until);
        must(next.ns < INT64_MAX); /* nothing can ever happen again: everybody waits for somebody */
        if (next.ns > sim->now_ns)
            sim->now_ns = next.ns;
        return choices.next.ns <= until.ns;
    }
    must(++sim->step_count < sim->step_count_max); /* everybody works and nobody gets anywhere */
    happen(&choices.list[choices.count == 1 ? 0 : sim_below(&sim->order_chance, choices.count)]);
    return true;
}

static bool any_started(const struct sim *sim)
{
    const struct sim_agent *agent = sim->agents;
    while (agent != NULL && !agent->started)
        agent = agent->next;
    return agent != NULL;
}

void sim_wait(struct sim *sim, int64_t ns, uint32_t others_one_in)
{
    must(sim->held_count == 0 || !any_started(sim)); /* whoever holds a lock that others want waits for nothing else */
    mono_time due = mono_after(sim_now(sim), ns);
    if (!sim->calm && sim->depth < DEPTH_MAX && sim_one_in(&sim->order_chance, others_one_in)) {
        sim->depth++;
        for (uint32_t i = 0; i < OTHERS_PER_WAIT_MAX && sim->now_ns < due.ns; i++)
            sim_step(sim, due);
        sim->depth--;
    }
    if (sim->now_ns < due.ns)
        sim->now_ns = due.ns;
}

void sim_run(struct io *io, int64_t ns)
{
    struct sim *sim = sim_of(io);
    mono_time until = mono_after(sim_now(sim), ns);
    while (sim->now_ns < until.ns && sim_step(sim, until))
        ;
}

/* ---- agents ---- */

struct sim_agent *sim_agent_of(const struct io_agent *agent)
{
    must(agent->door_ != NULL);
    return agent->door_;
}

enum neap_status sim_agent_attach(struct io *io, struct io_agent *agent, struct error *err)
{
    struct sim *sim = sim_of(io);
    struct sim_agent *mine = sim_take(sizeof(*mine));
    *mine = (struct sim_agent){ .sim = sim, .agent = agent, .awake = true };
    mine->name_hash = bytes_hash(bytes_of_text(agent->name), 0);
    struct sim_agent **link = &sim->agents;
    while (*link != NULL)
        link = &(*link)->next;
    *link = mine;
    agent->io_ = io;
    agent->door_ = mine;
    (void)err;
    return NEAP_OK;
}

enum neap_status sim_agent_start(struct io *io, struct io_agent *agent, struct error *err)
{
    enum neap_status status = sim_agent_attach(io, agent, err);
    if (status == NEAP_OK)
        sim_agent_of(agent)->started = true;
    return status;
}

void sim_agent_stop(struct io_agent *agent)
{
    struct sim_agent *mine = sim_agent_of(agent);
    struct sim *sim = mine->sim;
    must(!mine->busy && !mine->running); /* it waits in a call below us: a thread would never end */
    must(mine->syncs == NULL);
    sim_http_drop(mine);
    while (mine->timers != NULL) /* a timer left behind would point into freed memory */
        sim_timer_cancel(mine->timers);
    for (const struct sim_stream *stream = sim->streams; stream != NULL; stream = stream->next)
        must(stream->agent != mine);
    for (const struct sim_listener *listener = sim->listeners; listener != NULL; listener = listener->next)
        must(listener->agent != mine);
    for (const struct sim_child *child = sim->children; child != NULL; child = child->next)
        must(child->agent != mine);
    struct sim_agent **link = &sim->agents;
    while (*link != mine)
        link = &(*link)->next;
    *link = mine->next;
    free(mine);
    agent->io_ = NULL;
    agent->door_ = NULL;
}

void sim_agent_wake(struct io_agent *agent)
{
    sim_agent_of(agent)->awake = true;
}

enum neap_status sim_agent_run(struct io_agent *agent, mono_time deadline, struct error *err)
{
    struct sim_agent *mine = sim_agent_of(agent);
    struct sim *sim = mine->sim;
    must(!mine->started && !mine->running);
    must(sim->held_count == 0);
    mine->running = true;
    mine->awake = true;
    enum neap_status status = NEAP_OK;
    while (!mine->left && status == NEAP_OK) {
        if (sim->now_ns >= deadline.ns)
            status = NEAP_TIMEOUT;
        else
            sim_step(sim, deadline);
    }
    mine->running = false;
    mine->left = false;
    return status == NEAP_OK ? NEAP_OK : error_set(err, status, "agent %s: the deadline passed", agent->name);
}

void sim_agent_leave(struct io_agent *agent)
{
    sim_agent_of(agent)->left = true;
}

uint32_t sim_agent_turn(struct io_agent *agent)
{
    struct sim_agent *mine = sim_agent_of(agent);
    must(!mine->started && !mine->running && mine->sim->held_count == 0);
    mine->awake = false;
    uint32_t work = agent->work(agent->ctx, sim_now(mine->sim));
    return mine->awake ? work + 1 : work;
}

enum neap_status sim_agent_descriptor(struct io_agent *agent, int *ret_descriptor, struct error *err)
{
    (void)ret_descriptor;
    return error_set(err, NEAP_MISUSE, "agent %s: a simulated world has no descriptors", agent->name);
}

/* ---- timers: in the order they are due, first at the tick after ---- */

void sim_timer_set(struct io_timer *timer, mono_time due)
{
    struct sim_agent *agent = sim_agent_of(timer->agent);
    io_timer_cancel(timer);
    int64_t earliest = agent->sim->now_ns + 1;
    int64_t ns = due.ns < earliest ? earliest : due.ns;
    timer->due_.ns = ns > INT64_MAX - TICK_NS ? INT64_MAX : (ns + TICK_NS - 1) / TICK_NS * TICK_NS;
    struct io_timer **link = &agent->timers;
    while (*link != NULL && (*link)->due_.ns <= timer->due_.ns)
        link = &(*link)->next_;
    timer->next_ = *link;
    timer->link_ = link;
    if (timer->next_ != NULL)
        timer->next_->link_ = &timer->next_;
    *link = timer;
}

void sim_timer_cancel(struct io_timer *timer)
{
    *timer->link_ = timer->next_;
    if (timer->next_ != NULL)
        timer->next_->link_ = timer->link_;
    timer->next_ = NULL;
    timer->link_ = NULL;
}

/* ---- mutex ---- */

struct io_mutex *sim_mutex_new(struct io *io)
{
    struct sim_mutex *mutex = sim_take(sizeof(*mutex));
    mutex->mutex.io = io;
    return &mutex->mutex;
}

void sim_mutex_free(struct io_mutex *mutex)
{
    must(!((struct sim_mutex *)mutex)->held);
    free(mutex);
}

void sim_mutex_take(struct io_mutex *mutex)
{
    struct sim_mutex *mine = (struct sim_mutex *)mutex;
    must(!mine->held); /* one thread: whoever holds it could never let it go */
    mine->held = true;
    sim_of(mutex->io)->held_count++;
}

void sim_mutex_drop(struct io_mutex *mutex)
{
    struct sim_mutex *mine = (struct sim_mutex *)mutex;
    must(mine->held);
    mine->held = false;
    sim_of(mutex->io)->held_count--;
}

/* ---- signals ---- */

enum neap_status sim_signals_watch(struct io_agent *agent, void (*arrived)(void *ctx, int number), void *ctx,
                                   struct error *err)
{
    struct sim_agent *mine = sim_agent_of(agent);
    must(mine->signal_arrived == NULL);
    mine->signal_arrived = arrived;
    mine->signal_ctx = ctx;
    (void)err;
    return NEAP_OK;
}

void sim_signals_unwatch(struct io_agent *agent)
{
    struct sim_agent *mine = sim_agent_of(agent);
    mine->signal_arrived = NULL;
    mine->signal_mask = 0;
}

void sim_signal(struct io *io, int number)
{
    must(number > 0 && number < 32);
    for (struct sim_agent *agent = sim_of(io)->agents; agent != NULL; agent = agent->next) {
        if (agent->signal_arrived != NULL)
            agent->signal_mask |= 1u << number;
    }
}
