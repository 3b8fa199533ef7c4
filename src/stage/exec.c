#include "stage/exec_parts.h"
#include "stage/replace.h"
#include <stdio.h>
#include <stdlib.h>

#define ROOM_SIZE_MIN 4096u
#define HELLO_SIZE    1024u
#define END_GRACE_NS  NS_PER_S
#define ASK_AGAIN_NS  (20 * NS_PER_MS) /* a destination that says "after one that is on its way", with none of ours */

static struct exec *exec_of(struct waiting *waiting)
{
    struct exec *e = (struct exec *)waiting;
    CHECK_MAGIC(e, EXEC_MAGIC);
    return e;
}

size_t exec_line_size_max(const struct exec *e)
{
    return e->o.event_size_max + EXEC_LINE_MORE_SIZE;
}

bool exec_room_grow(const struct exec *e, struct exec_room *room, size_t size)
{
    size_t most = exec_line_size_max(e), grown = room->room < ROOM_SIZE_MIN ? ROOM_SIZE_MIN : room->room;
    if (size <= room->room)
        return true;
    if (size > most)
        return false;
    while (grown < size)
        grown *= 2;
    grown = grown < most ? grown : most;
    uint8_t *at = realloc(room->at, grown);
    if (at == NULL)
        return false;
    room->at = at;
    room->room = grown;
    return true;
}

/* ---- places ---------------------------------------------------------------------------------------------------------------- */

static bool is_ready(const struct exec_place *p)
{
    return p->child != NULL && p->work == NULL && !p->killed && !p->closing && !p->sending;
}

void exec_rest(struct exec_place *p)
{
    if (!is_ready(p) || p->in_stack)
        return;
    p->in_stack = true;
    p->below = p->exec->idle;
    p->exec->idle = p;
}

/* An idle child, or a place for a new one; NULL: none before ret_not_before. */
static struct exec_place *find_place(struct exec *e, mono_time now, mono_time *ret_not_before)
{
    for (struct exec_place *p; (p = e->idle) != NULL;) {
        e->idle = p->below;
        p->in_stack = false;
        if (is_ready(p)) /* it may have ended since */
            return p;
    }
    *ret_not_before = MONO_NEVER;
    for (uint32_t i = 0; i < e->o.concurrency; i++) {
        struct exec_place *p = &e->places[i];
        if (p->child != NULL || p->work != NULL)
            continue;
        if (p->not_before.ns <= now.ns)
            return p;
        *ret_not_before = mono_min(*ret_not_before, p->not_before);
    }
    return NULL;
}

/* What goes out to the child. False: it is too large. */
static bool write_line(struct exec_place *p, const struct event *event, struct bytes json)
{
    struct exec *e = p->exec;
    struct exec_line line = { .event = event, .json = json, .id = ++e->id_last };
    for (size_t room = json.size + ROOM_SIZE_MIN;; room *= 2) {
        size_t size = room < exec_line_size_max(e) ? room : exec_line_size_max(e);
        if (!exec_room_grow(e, &p->out, size))
            return false;
        struct writer w = writer_of(p->out.at, p->out.room);
        if (e->o.protocol == EXEC_PROTOCOL_NEAP && p->child == NULL)
            exec_hello_write(&w, e->o.pipeline, e->o.stage);
        if (e->o.protocol == EXEC_PROTOCOL_NEAP)
            exec_event_write(&w, &line);
        else
            exec_json_write(&w, json);
        p->out.size = writer_size(&w);
        if (!w.full) {
            p->id = line.id;
            return true;
        }
        if (size == exec_line_size_max(e))
            return false;
    }
}

/* ---- what becomes of a work --------------------------------------------------------------------------------------------------- */

static void tell_destination(struct exec_place *p, enum outcome outcome, bool timed_out)
{
    const struct exec_options *o = &p->exec->o;
    mono_time now = io_now(o->io);
    struct destination_end end = {
        .outcome = outcome, .timed_out = timed_out, .latency_ns = now.ns - p->begun.ns, .retry_after_ns = 0
    };
    if (o->destination != NULL)
        destination_done(o->destination, &p->call, &end, now, io_random(o->io));
}

void exec_decide(struct exec_place *p, enum outcome outcome, const char *reason, const char *text)
{
    struct exec *e = p->exec;
    must(p->work != NULL && !p->decided);
    p->decided = true;
    p->work->outcome = outcome;
    p->work->drop = false;
    p->work->retry_after_ns = 0;
    p->work->failure = (struct failure){ .reason = reason,
                                         .message = text != NULL ? bytes_of_text(text) : (struct bytes){ NULL, 0 },
                                         .status = NEAP_REFUSED };
    tell_destination(p, outcome, reason != NULL && strcmp(reason, "timeout") == 0);
    p->next = e->decided;
    e->decided = p;
    io_agent_wake(e->o.owner);
}

/* Rule V2: its child is idle, or dead. False as well: nobody takes it at the moment. */
static bool offer(struct exec_place *p)
{
    if ((p->child != NULL && p->killed) || !p->work->done(p->work))
        return false;
    p->work = NULL;
    p->decided = false;
    p->answer = (struct bytes){ NULL, 0 };
    p->exec->figures.at_work--;
    exec_rest(p);
    return true;
}

/* ---- the verbs ------------------------------------------------------------------------------------------------------------------ */

static enum waiting_begun refuse_large(struct failure *failure)
{
    *failure = (struct failure){ .reason = "too_large",
                                 .message = BYTES("it is larger than what a child can be given"),
                                 .status = NEAP_TOOLARGE };
    return WAITING_REFUSED;
}

/* One no holds for all for a while, but that to a retry, of which first tries know nothing. */
static bool may_begin(struct exec *e, struct exec_place *p, const struct event *event, mono_time now,
                      mono_time *ret_not_before)
{
    struct destination_want want = { .retry = event->attempt > 1 };
    if (e->o.destination == NULL)
        return true;
    struct destination_verdict verdict = destination_begin(e->o.destination, &want, now, &p->call);
    if (verdict.answer == DESTINATION_YES)
        return true;
    bool waits = verdict.answer == DESTINATION_WAIT;
    *ret_not_before = waits ? mono_after(now, ASK_AGAIN_NS) : verdict.not_before;
    if (verdict.reason != DESTINATION_REASON_BUDGET)
        e->not_before = *ret_not_before;
    return false;
}

static enum waiting_begun begin(struct waiting *stage, struct waiting_work *work, struct event *event,
                                struct arena *arena, struct failure *failure, mono_time *ret_not_before)
{
    struct exec *e = exec_of(stage);
    struct bytes json;
    mono_time now = io_now(e->o.io);
    *ret_not_before = e->not_before;
    struct exec_place *p = now.ns < e->not_before.ns ? NULL : find_place(e, now, ret_not_before);
    if (p == NULL)
        return WAITING_LATER;
    if (event_json(event, arena, &json) != NEAP_OK || json.size > e->o.event_size_max || !write_line(p, event, json)) {
        exec_rest(p);
        return refuse_large(failure);
    }
    if (!may_begin(e, p, event, now, ret_not_before)) {
        exec_rest(p);
        return WAITING_LATER;
    }
    p->work = work;
    p->decided = false;
    work->own = p;
    if (exec_child_ask(p, work->deadline) == WAITING_BEGUN) {
        e->figures.at_work++;
        return WAITING_BEGUN;
    }
    p->work = NULL;
    tell_destination(p, OUTCOME_RELEASED, false);
    *ret_not_before = p->not_before;
    return WAITING_LATER;
}

static bool answer(struct waiting *stage, struct waiting_work *work, struct event *event, struct arena *arena,
                   struct failure *failure)
{
    struct exec *e = exec_of(stage);
    const struct exec_place *p = work->own;
    char who[160];
    snprintf(who, sizeof who, "what the child of stage %.100s answered", e->o.stage);
    return p->answer.at == NULL || event_replace(event, p->answer, e->o.parser, arena, who, failure);
}

static void cancel(struct waiting *stage, struct waiting_work *work)
{
    struct exec_place *p = work->own;
    if (p->decided)
        return; /* that came first */
    p->cancelled = true;
    exec_decide(p, OUTCOME_RELEASED, NULL, NULL);
    exec_child_kill(p);
}

static uint32_t work(struct waiting *stage, mono_time now)
{
    struct exec *e = exec_of(stage);
    struct exec_place *decided = e->decided;
    uint32_t count = 0;
    e->decided = NULL;
    for (struct exec_place *p = decided, *next; p != NULL; p = next) {
        next = p->next;
        if (offer(p)) {
            count++;
        } else {
            p->next = e->decided;
            e->decided = p;
        }
    }
    return count;
}

static void finish(struct waiting *stage)
{
    struct exec *e = exec_of(stage);
    mono_time deadline = mono_after(io_now(e->o.io), END_GRACE_NS); /* for all of them together */
    for (uint32_t i = 0; i < e->o.concurrency; i++)
        if (e->places[i].child != NULL)
            io_child_close_input(e->places[i].child);
    for (uint32_t i = 0; i < e->o.concurrency; i++) {
        struct exec_place *p = &e->places[i];
        must(p->work == NULL);
        io_timer_cancel(&p->timer);
        e->figures.children -= p->child != NULL;
        io_child_finish(&p->child, deadline);
    }
}

static void exec_free(struct waiting *stage)
{
    struct exec *e = exec_of(stage);
    if (e->figures.children > 0)
        finish(stage);
    for (uint32_t i = 0; i < e->o.concurrency; i++) {
        io_timer_cancel(&e->places[i].timer);
        free(e->places[i].out.at);
        free(e->places[i].in.at);
    }
    free(e->places);
    e->magic = 0;
    free(e);
}

/* ---- made --------------------------------------------------------------------------------------------------------------------------- */

size_t exec_memory_size(uint32_t concurrency, size_t event_size_max)
{
    return sizeof(struct exec) + concurrency * (sizeof(struct exec_place) + 2 * (event_size_max + EXEC_LINE_MORE_SIZE));
}

struct waiting *exec_new(const struct exec_options *o)
{
    static const struct waiting_verbs verbs = {
        .kind = "exec",
        .begin = begin,
        .answer = answer,
        .cancel = cancel,
        .work = work,
        .finish = finish,
        .free = exec_free,
    };
    must(o->concurrency > 0 && o->concurrency <= EXEC_CHILD_COUNT_MAX && o->arguments[0] != NULL && o->rules != NULL);
    must(o->event_size_max >= HELLO_SIZE);
    struct exec *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    *e = (struct exec){ .waiting = { .verbs = &verbs }, .magic = EXEC_MAGIC, .o = *o };
    e->places = calloc(o->concurrency, sizeof(e->places[0]));
    if (e->places == NULL) {
        free(e);
        return NULL;
    }
    for (uint32_t i = 0; i < o->concurrency; i++) {
        e->places[i].exec = e;
        e->places[i].timer = (struct io_timer){ .agent = o->owner, .ctx = &e->places[i] };
    }
    return &e->waiting;
}

struct exec_figures exec_figures(const struct waiting *stage)
{
    const struct exec *e = (const struct exec *)stage;
    CHECK_MAGIC(e, EXEC_MAGIC);
    return e->figures;
}
