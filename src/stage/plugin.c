/* plugin.c - functions as a waiting kind.
 *
 * ROOM   What a function emits is unknown until it does, and then its thread cannot wait. So calls are begun as long as there is
 *        room for what is usual. Where one finds none all the same, it is made again, and until one has been delivered they are
 *        made one at a time: for one there is always room, because answers that nobody takes are forgotten then. */
#include "stage/plugin.h"
#include "base/must.h"
#include "base/rooms.h"
#include "stage/replace.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PLUGIN_MAGIC 0x504c5547u
#define SAY_AGAIN_NS (30 * NS_PER_S)

struct plugin_call {
    struct handler_call call; /* first: the function has its address */
    struct pool_work work;
    struct plugin *plugin;
    struct waiting_work *waiting;
    struct handler_event event;
    struct bytes laid; /* .at NULL: the event's JSON stays where it is */
    struct plugin_call *next, *before;
    mono_time begun, say_again; /* say_again: when it is named next, once it is late */
    bool late, cancelled;       /* the owner's */
    _Atomic bool told;          /* the owner tells the function */
    /* ---- the thread's while it runs */
    struct bytes emitted; /* .at NULL: nothing */
    bool no_room;
    enum stage_outcome outcome;
    mono_time ended;
    char text[HANDLER_REASON_SIZE_MAX];
};

struct calls {
    struct plugin_call *first, *last;
    uint32_t count;
};

struct plugin {
    struct waiting waiting;
    uint32_t magic;
    struct plugin_options o;
    struct plugin_call *calls, *free;
    struct calls running, ended; /* running: in the order of their deadlines */
    struct io_timer timer;       /* for the next deadline, or to name again what is late */
    bool room_wanted, one_at_a_time;
    size_t typical;         /* room that a call takes, on the large side */
    struct io_mutex *mutex; /* over the rooms */
    struct rooms *rooms;
};

static struct plugin *plugin_of(struct waiting *waiting)
{
    struct plugin *p = (struct plugin *)waiting;
    CHECK_MAGIC(p, PLUGIN_MAGIC);
    return p;
}

static void append(struct calls *calls, struct plugin_call *c)
{
    c->before = calls->last;
    c->next = NULL;
    if (calls->last != NULL)
        calls->last->next = c;
    else
        calls->first = c;
    calls->last = c;
    calls->count++;
}

static void cut_out(struct calls *calls, struct plugin_call *c)
{
    must(calls->count > 0);
    if (c->next != NULL)
        c->next->before = c->before;
    else
        calls->last = c->before;
    if (c->before != NULL)
        c->before->next = c->next;
    else
        calls->first = c->next;
    calls->count--;
}

/* ---- room ---------------------------------------------------------------------------------------------------------------- */

static bool take_room(struct plugin *p, struct bytes bytes, struct bytes *ret_kept)
{
    io_mutex_take(p->mutex);
    uint8_t *at = rooms_take(p->rooms, bytes.size > 0 ? bytes.size : 1);
    io_mutex_drop(p->mutex);
    if (at == NULL)
        return false;
    memcpy(at, bytes.at, bytes.size);
    *ret_kept = (struct bytes){ at, bytes.size };
    return true;
}

static void give_room(struct plugin *p, struct bytes *kept)
{
    if (kept->at == NULL)
        return;
    io_mutex_take(p->mutex);
    rooms_give(p->rooms, (void *)(uintptr_t)kept->at, kept->size > 0 ? kept->size : 1);
    io_mutex_drop(p->mutex);
    *kept = (struct bytes){ NULL, 0 };
}

static bool will_find_room(struct plugin *p, size_t size)
{
    if (p->running.count + p->ended.count == 0)
        return true;
    io_mutex_take(p->mutex);
    size_t left = rooms_left(p->rooms);
    io_mutex_drop(p->mutex);
    return !p->one_at_a_time && left >= size + (p->running.count + 1) * (p->typical + ROOMS_UNIT);
}

static void learn(struct plugin *p, const struct plugin_call *c)
{
    size_t size = c->laid.size + c->emitted.size;
    p->typical = size > p->typical ? size : p->typical - (p->typical - size) / 16;
    p->one_at_a_time = c->no_room || (p->one_at_a_time && c->waiting->outcome == OUTCOME_RELEASED);
}

/* ---- on a thread ------------------------------------------------------------------------------------------------------------ */

static bool was_told(const struct handler_call *call)
{
    return atomic_load_explicit(&((const struct plugin_call *)call)->told, memory_order_acquire);
}

static enum neap_status keep(struct handler_call *call, struct bytes json)
{
    struct plugin_call *c = (struct plugin_call *)call;
    give_room(c->plugin, &c->emitted); /* the last one counts */
    c->no_room = !take_room(c->plugin, json, &c->emitted);
    return c->no_room ? NEAP_AGAIN : NEAP_OK;
}

static void run(struct pool_work *work)
{
    struct plugin_call *c = (struct plugin_call *)(void *)((char *)work - offsetof(struct plugin_call, work));
    const struct plugin_options *o = &c->plugin->o;
    bool in_vain = handler_call_cancelled(&c->call); /* while it waited for its thread */
    c->outcome = in_vain ? STAGE_FAIL : o->function(o->ctx, &c->event, &c->call);
    c->ended = io_now(o->io);
}

/* ---- what became of it --------------------------------------------------------------------------------------------------------- */

static void end_as(struct plugin_call *c, enum outcome outcome, const char *reason, const char *text)
{
    c->waiting->outcome = outcome;
    c->waiting->drop = false;
    c->waiting->retry_after_ns = 0;
    c->waiting->failure = (struct failure){ .reason = reason,
                                            .message = text != NULL ? bytes_of_text(text) : (struct bytes){ NULL, 0 },
                                            .status = NEAP_REFUSED };
}

static void end_late(struct plugin_call *c)
{
    snprintf(c->text, sizeof c->text, "handler %.100s took %lld ms; its timeout is %lld ms", c->plugin->o.symbol,
             (long long)((c->ended.ns - c->begun.ns) / NS_PER_MS),
             (long long)(c->plugin->waiting.timeout_ns / NS_PER_MS));
    end_as(c, OUTCOME_PERMANENT, "timeout", c->text);
    c->waiting->failure.status = NEAP_TIMEOUT;
}

/* As it was asked for; it counts as filtered. */
static void say_dropped(const struct plugin_call *c)
{
    const struct plugin_options *o = &c->plugin->o;
    logging_warn(o->logging, "an event is dropped: its pool has neither a thread nor a place for it",
                 LOGGING_TEXT("pipeline", o->pipeline), LOGGING_TEXT("stage", c->plugin->waiting.name),
                 LOGGING_UINT("partition", c->event.partition), LOGGING_UINT("offset", c->event.record.offset));
}

static void judge(struct plugin_call *c)
{
    if (c->cancelled) {
        end_as(c, OUTCOME_RELEASED, NULL, NULL);
    } else if (c->work.dropped) {
        say_dropped(c);
        end_as(c, OUTCOME_DELIVERED, NULL, NULL);
        c->waiting->drop = true;
    } else if (c->late || c->ended.ns > c->call.deadline.ns) {
        end_late(c);
    } else if (c->no_room) {
        end_as(c, OUTCOME_RELEASED, NULL, NULL);
    } else if (c->outcome == STAGE_PASS || c->outcome == STAGE_DROP) {
        end_as(c, OUTCOME_DELIVERED, NULL, NULL);
        c->waiting->drop = c->outcome == STAGE_DROP;
    } else if (c->outcome == STAGE_FAIL) {
        end_as(c, OUTCOME_PERMANENT, "handler",
               c->call.reason[0] != '\0' ? c->call.reason : "the handler says no more");
    } else {
        snprintf(c->text, sizeof c->text, "handler %.100s answered %d, which is no verdict", c->plugin->o.symbol,
                 (int)c->outcome);
        end_as(c, OUTCOME_PERMANENT, "handler", c->text);
    }
}

static void has_ended(struct plugin_call *c)
{
    cut_out(&c->plugin->running, c);
    append(&c->plugin->ended, c);
}

static void done(struct pool_work *work)
{
    struct plugin_call *c = (struct plugin_call *)(void *)((char *)work - offsetof(struct plugin_call, work));
    has_ended(c);
    judge(c);
    learn(c->plugin, c);
}

/* It waited for a thread, and goes without. */
static void end_unrun(struct plugin_call *c, enum outcome outcome, const char *reason, const char *text)
{
    has_ended(c);
    end_as(c, outcome, reason, text);
    io_agent_wake(c->plugin->o.owner);
}

/* ---- deadlines ------------------------------------------------------------------------------------------------------------------ */

static void name_late(struct plugin_call *c, mono_time now)
{
    const struct plugin_options *o = &c->plugin->o;
    logging_warn(o->logging, "a handler is past its deadline; its thread and its key wait for it",
                 LOGGING_TEXT("pipeline", o->pipeline), LOGGING_TEXT("stage", c->plugin->waiting.name),
                 LOGGING_TEXT("handler", o->symbol), LOGGING_UINT("partition", c->event.partition),
                 LOGGING_UINT("offset", c->event.record.offset),
                 LOGGING_INT("age_ms", (now.ns - c->begun.ns) / NS_PER_MS));
    c->say_again = mono_after(now, SAY_AGAIN_NS);
}

static void see_to_late(struct plugin_call *c, mono_time now)
{
    if (!c->late && pool_take_back(c->plugin->o.pool, &c->work)) {
        snprintf(c->text, sizeof c->text, "no thread was free for handler %.100s in %lld ms", c->plugin->o.symbol,
                 (long long)(c->plugin->waiting.timeout_ns / NS_PER_MS));
        end_unrun(c, OUTCOME_TRANSIENT, "timeout", c->text);
        return;
    }
    c->late = true;
    atomic_store_explicit(&c->told, true, memory_order_release);
    if (now.ns >= c->say_again.ns)
        name_late(c, now);
}

static void watch(struct io_timer *timer, mono_time now)
{
    struct plugin *p = timer->ctx;
    CHECK_MAGIC(p, PLUGIN_MAGIC);
    mono_time due = MONO_NEVER;
    for (struct plugin_call *c = p->running.first, *next; c != NULL; c = next) {
        next = c->next;
        if (c->call.deadline.ns > now.ns) { /* and so are all that were begun later */
            due = mono_min(due, c->call.deadline);
            break;
        }
        see_to_late(c, now);
        due = c->late ? mono_min(due, c->say_again) : due;
    }
    if (due.ns != MONO_NEVER.ns)
        io_timer_set(&p->timer, due);
}

/* ---- the verbs ------------------------------------------------------------------------------------------------------------------ */

static void free_call(struct plugin *p, struct plugin_call *c)
{
    give_room(p, &c->laid);
    give_room(p, &c->emitted);
    c->next = p->free;
    p->free = c;
}

static void fill_in(struct plugin_call *c, struct waiting_work *work, const struct event *e, struct bytes json)
{
    struct plugin *p = c->plugin;
    c->waiting = work;
    c->begun = io_now(p->o.io);
    c->say_again = (mono_time){ 0 };
    c->late = c->cancelled = c->no_room = false;
    atomic_store_explicit(&c->told, false, memory_order_relaxed);
    c->event = (struct handler_event){ .pipeline = p->o.pipeline,
                                       .stage = p->waiting.name,
                                       .topic = e->topic,
                                       .record = { .offset = e->offset.n,
                                                   .time_ms = e->time_ms,
                                                   .key = e->key,
                                                   .value = json,
                                                   .headers = e->headers,
                                                   .header_count = e->header_count },
                                       .json = json,
                                       .id = e->id,
                                       .partition = e->partition,
                                       .attempt = e->attempt };
    c->call.deadline = work->deadline;
    c->call.reason[0] = '\0';
    work->own = c;
}

static enum waiting_begun submit(struct plugin *p, struct plugin_call *c)
{
    append(&p->running, c);
    switch (pool_submit(p->o.pool, &c->work)) {
    case NEAP_OK:
        break;
    case NEAP_REFUSED:
        end_unrun(c, OUTCOME_TRANSIENT, "rejected", "its pool has neither a thread nor a place for it");
        return WAITING_BEGUN;
    default:
        cut_out(&p->running, c);
        free_call(p, c);
        return WAITING_LATER;
    }
    if (p->timer.link_ == NULL)
        io_timer_set(&p->timer, c->call.deadline);
    return WAITING_BEGUN;
}

static enum waiting_begun begin(struct waiting *stage, struct waiting_work *work, struct event *event,
                                struct arena *arena, struct failure *failure, mono_time *ret_not_before)
{
    struct plugin *p = plugin_of(stage);
    struct bytes json;
    *ret_not_before = MONO_NEVER;
    if (event_json(event, arena, &json) != NEAP_OK || json.size > p->o.event_size_max) {
        *failure = (struct failure){ .reason = "too_large",
                                     .message = BYTES("it is larger than what a handler can be given"),
                                     .status = NEAP_TOOLARGE };
        return WAITING_REFUSED;
    }
    bool stays = json.at == event->json.at;
    struct plugin_call *c = p->free;
    p->room_wanted =
        c == NULL || !will_find_room(p, stays ? 0 : json.size) || (!stays && !take_room(p, json, &c->laid));
    if (p->room_wanted)
        return WAITING_LATER;
    p->free = c->next;
    fill_in(c, work, event, stays ? json : c->laid);
    return submit(p, c);
}

/* What was emitted takes the place of all that the event was. */
static bool answer(struct waiting *stage, struct waiting_work *work, struct event *event, struct arena *arena,
                   struct failure *failure)
{
    struct plugin *p = plugin_of(stage);
    const struct plugin_call *c = work->own;
    if (c->emitted.at == NULL)
        return true;
    char who[128];
    snprintf(who, sizeof who, "what handler %.80s emitted", p->o.symbol);
    return event_replace(event, c->emitted, p->o.parser, arena, who, failure);
}

static void cancel(struct waiting *stage, struct waiting_work *work)
{
    struct plugin *p = plugin_of(stage);
    struct plugin_call *c = work->own;
    if (c->cancelled)
        return;
    c->cancelled = true;
    atomic_store_explicit(&c->told, true, memory_order_release);
    if (pool_take_back(p->o.pool, &c->work))
        end_unrun(c, OUTCOME_RELEASED, NULL, NULL);
}

/* False: nobody takes it at the moment. */
static bool offer(struct plugin *p, struct plugin_call *c)
{
    if (!c->waiting->done(c->waiting)) {
        if (!p->room_wanted)
            return false;
        end_as(c, OUTCOME_RELEASED, NULL, NULL); /* its room is for others; its call is made once more */
        if (!c->waiting->done(c->waiting))
            return false;
    }
    cut_out(&p->ended, c);
    free_call(p, c);
    return true;
}

static uint32_t work(struct waiting *stage, mono_time now)
{
    struct plugin *p = plugin_of(stage);
    uint32_t count = pool_turn(p->o.pool, now);
    for (struct plugin_call *c = p->ended.first, *next; c != NULL; c = next) {
        next = c->next;
        count += offer(p, c);
    }
    return count;
}

static void plugin_free(struct waiting *stage)
{
    struct plugin *p = plugin_of(stage);
    must(p->running.count == 0 && p->ended.count == 0);
    io_timer_cancel(&p->timer);
    io_mutex_free(&p->mutex);
    rooms_free(&p->rooms);
    free(p->calls);
    p->magic = 0;
    free(p);
}

/* ---- made --------------------------------------------------------------------------------------------------------------------------- */

size_t plugin_room_size_least(size_t event_size_max)
{
    return 2 * round_up(event_size_max + 1, ROOMS_UNIT);
}

size_t plugin_memory_size(uint32_t concurrency, size_t room_size)
{
    return sizeof(struct plugin) + concurrency * sizeof(struct plugin_call) + rooms_memory_size(room_size);
}

struct waiting *plugin_new(const struct plugin_options *o)
{
    static const struct waiting_verbs verbs = {
        .kind = "plugin", .begin = begin, .answer = answer, .cancel = cancel, .work = work, .free = plugin_free
    };
    must(o->function != NULL && o->concurrency > 0 && o->room_size >= plugin_room_size_least(o->event_size_max));
    struct plugin *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    *p = (struct plugin){ .waiting = { .verbs = &verbs }, .magic = PLUGIN_MAGIC, .o = *o };
    p->timer = (struct io_timer){ .agent = o->owner, .fire = watch, .ctx = p };
    p->calls = calloc(o->concurrency, sizeof(p->calls[0]));
    p->rooms = rooms_new(round_up(o->room_size, ROOMS_UNIT));
    p->mutex = io_mutex_new(o->io);
    if (p->calls == NULL || p->rooms == NULL || p->mutex == NULL) {
        plugin_free(&p->waiting);
        return NULL;
    }
    for (uint32_t i = 0; i < o->concurrency; i++) {
        struct plugin_call *c = &p->calls[i];
        c->plugin = p;
        c->work = (struct pool_work){ .run = run, .done = done };
        c->call =
            (struct handler_call){ .io = o->io, .json_size_max = o->event_size_max, .told = was_told, .keep = keep };
        free_call(p, c);
    }
    return &p->waiting;
}
