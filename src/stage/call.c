/* call.c - the verbs of a call stage, and its flights: from the event that comes to what becomes of it. */
#include "stage/call_parts.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS_ROOM 512u /* of an answer that nobody wants: what it says where it fails */

static struct call *call_of(struct waiting *stage)
{
    struct call *c = (struct call *)stage;
    CHECK_MAGIC(c, CALL_MAGIC);
    return c;
}

/* ---- flights ------------------------------------------------------------------------------------------------------------------- */

struct flight *call_take(struct call *c, struct waiting_work *work)
{
    struct flight *f = c->free;
    if (f == NULL || (work == NULL && c->refresh_count == CALL_REFRESH_COUNT))
        return NULL;
    uint8_t *room = f->room;
    c->free = f->next;
    c->refresh_count += work == NULL;
    *f = (struct flight){ .call = c, .work = work, .entry = CACHE_NOBODY, .room = room };
    f->waiter.entry_ = CACHE_NOBODY;
    return f;
}

static void give_back(struct flight *f)
{
    if (f->request != NULL)
        rooms_give(f->call->requests, f->request, f->request_size);
    f->request = NULL;
    if (f->holds)
        destination_release(&f->destination);
    f->holds = false;
}

void call_give(struct flight *f)
{
    struct call *c = f->call;
    give_back(f);
    must(f->entry == CACHE_NOBODY); /* rule K2 */
    c->refresh_count -= f->work == NULL;
    f->state = FLIGHT_FREE;
    f->next = c->free;
    c->free = f;
}

void call_end(struct flight *f, enum outcome outcome)
{
    struct call *c = f->call;
    give_back(f);
    f->outcome = outcome;
    if (f->work == NULL) {
        call_give(f);
        return;
    }
    f->state = FLIGHT_ENDED;
    f->next = NULL;
    *c->ended_end = f;
    c->ended_end = &f->next;
    io_agent_wake(c->o.agent); /* rule K3: there will be a turn for it */
}

void call_fail(struct flight *f, enum outcome outcome, const char *reason, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(f->words, sizeof f->words, format, values);
    va_end(values);
    f->reason = reason;
    call_end(f, outcome);
}

void call_deliver(struct flight *f, struct bytes value)
{
    struct call *c = f->call;
    f->value = value;
    if (value.at != c->o.fallback.at && value.at != f->room && value.size > 0) {
        must(value.size <= c->room_size);
        memcpy(f->room, value.at, value.size);
        f->value.at = f->room;
    }
    call_end(f, OUTCOME_DELIVERED);
}

/* ---- begin ----------------------------------------------------------------------------------------------------------------------- */

static void told(struct cache_waiter *waiter, enum cache_answer answer, struct bytes value, uint32_t entry)
{
    struct flight *f = waiter->ctx;
    must(f->state == FLIGHT_WAITS);
    if (answer != CACHE_ASK) {
        call_deliver(f, value);
        return;
    }
    mono_time not_before;
    f->entry = entry;
    must(call_line_up(f, true, io_now(f->call->o.io), &not_before));
    io_agent_wake(f->call->o.agent);
}

/* The answer is young enough for the event, and old enough to ask for the next one beside it. */
static void refresh(struct call *c, uint32_t entry, struct event *event, struct arena *arena, mono_time now)
{
    struct failure failure;
    mono_time not_before;
    struct flight *f = call_take(c, NULL);
    if (f == NULL) {
        (void)cache_fail(c->cache, entry, now);
        return;
    }
    f->entry = entry;
    if (call_request(f, event, arena, &failure, &not_before) == WAITING_BEGUN &&
        call_line_up(f, false, now, &not_before))
        return;
    (void)call_uncache(f, now);
    call_give(f);
}

/* True: nothing needs to be asked, or not by this one. */
static bool find_in_cache(struct flight *f, struct event *event, struct arena *arena, mono_time now,
                          struct failure *failure, bool *ret_failed)
{
    struct call *c = f->call;
    struct bytes key;
    *ret_failed = call_text_of(c->o.cache_key, "cache by", event, arena, &key, failure) != NEAP_OK;
    if (*ret_failed || key.at == NULL)
        return *ret_failed;
    f->waiter = (struct cache_waiter){ .told = told, .ctx = f };
    struct cache_found found = cache_find(c->cache, key, now, &f->waiter);
    switch (found.answer) {
    case CACHE_HIT:
    case CACHE_STALE:
        call_deliver(f, found.value);
        return true;
    case CACHE_REFRESH:
        call_deliver(f, found.value);
        refresh(c, found.entry, event, arena, now);
        return true;
    case CACHE_ASK:
        f->entry = found.entry;
        break;
    case CACHE_WAIT:
        f->state = FLIGHT_WAITS;
        break;
    case CACHE_ALONE:
        break;
    }
    return false;
}

static enum waiting_begun prepare(struct flight *f, struct event *event, struct arena *arena, struct failure *failure,
                                  mono_time *ret_not_before)
{
    struct call *c = f->call;
    mono_time now = io_now(c->o.io);
    bool failed = false;
    if (c->cache != NULL && find_in_cache(f, event, arena, now, failure, &failed))
        return failed ? WAITING_REFUSED : WAITING_BEGUN;
    enum waiting_begun begun = call_request(f, event, arena, failure, ret_not_before);
    if (begun == WAITING_BEGUN && f->state == FLIGHT_WAITS)
        return WAITING_BEGUN; /* its request is ready for when nobody else gets the answer */
    if (begun == WAITING_BEGUN && !call_line_up(f, false, now, ret_not_before))
        begun = WAITING_LATER;
    if (begun == WAITING_BEGUN) {
        call_lines_move(c, now);
        return WAITING_BEGUN;
    }
    if (f->state == FLIGHT_WAITS)
        cache_leave(c->cache, &f->waiter);
    (void)call_uncache(f, now);
    return begun;
}

static enum waiting_begun call_begin(struct waiting *stage, struct waiting_work *work, struct event *event,
                                     struct arena *arena, struct failure *failure, mono_time *ret_not_before)
{
    struct call *c = call_of(stage);
    struct flight *f = call_take(c, work);
    *ret_not_before = MONO_NEVER;
    if (f == NULL)
        return WAITING_LATER;
    f->retry = event->attempt > 1;
    f->last = event->attempt >= stage->retry.attempt_count_max;
    work->own = f;
    enum waiting_begun begun = prepare(f, event, arena, failure, ret_not_before);
    if (begun != WAITING_BEGUN)
        call_give(f);
    return begun;
}

/* ---- end ------------------------------------------------------------------------------------------------------------------------- */

static bool call_answer(struct waiting *stage, struct waiting_work *work, struct event *event, struct arena *arena,
                        struct failure *failure)
{
    struct call *c = call_of(stage);
    const struct flight *f = work->own;
    struct value value = { .kind = VALUE_JSON, .text = f->value };
    enum neap_status status = event_field_set(event, arena, bytes_of_text(c->o.into), &value);
    if (status == NEAP_OK)
        return true;
    *failure = (struct failure){ .reason = status == NEAP_BADINPUT ? "not_an_object" : "too_large",
                                 .stage = stage->name,
                                 .message = status == NEAP_BADINPUT
                                                ? BYTES("it is not an object: an answer cannot be put into it")
                                                : BYTES("there is no room for the answer"),
                                 .status = status };
    return false;
}

static void call_cancel(struct waiting *stage, struct waiting_work *work)
{
    struct call *c = call_of(stage);
    struct flight *f = work->own;
    must(f->work == work);
    if (f->state == FLIGHT_CALLED) {
        io_http_cancel(&f->http);
        return;
    }
    if (f->state == FLIGHT_ENDED)
        return;
    if (f->state == FLIGHT_LINED)
        call_leave_line(f);
    else
        cache_leave(c->cache, &f->waiter);
    f->state = FLIGHT_ENDED; /* who is told of the cache that it is their turn now meets no flight half way */
    (void)call_uncache(f, io_now(c->o.io));
    call_fail(f, OUTCOME_RELEASED, "released", "it was cancelled before it was called");
}

static bool finish(struct flight *f)
{
    struct waiting_work *work = f->work;
    work->outcome = f->outcome;
    work->drop = false;
    work->retry_after_ns = f->retry_after_ns;
    work->failure = (struct failure){ .reason = NULL };
    if (f->outcome != OUTCOME_DELIVERED)
        work->failure = (struct failure){ .reason = f->reason, .message = bytes_of_text(f->words) };
    return work->done(work);
}

static uint32_t call_work(struct waiting *stage, mono_time now)
{
    struct call *c = call_of(stage);
    uint32_t count = 0;
    struct flight *f = c->ended, *next;
    c->ended = NULL;
    c->ended_end = &c->ended;
    for (; f != NULL; f = next) {
        next = f->next;
        if (finish(f)) {
            call_give(f);
            count++;
        } else { /* rule V1: once more, on a later turn */
            f->next = NULL;
            *c->ended_end = f;
            c->ended_end = &f->next;
        }
    }
    call_lines_move(c, now);
    return count;
}

/* ---- made and freed ---------------------------------------------------------------------------------------------------------- */

static void end_flights(struct call *c)
{
    mono_time now = io_now(c->o.io);
    for (uint32_t i = 0; i < c->flight_count; i++)
        if (c->flights[i].state == FLIGHT_WAITS)
            cache_leave(c->cache, &c->flights[i].waiter);
    for (uint32_t i = 0; i < c->flight_count; i++) {
        struct flight *f = &c->flights[i];
        struct destination_end end = { .outcome = OUTCOME_RELEASED };
        if (f->state == FLIGHT_CALLED) /* its agent has stopped: nobody will hear of it */
            destination_done(f->destination, &f->begun, &end, now, 0);
        if (f->state != FLIGHT_FREE) {
            (void)call_uncache(f, now);
            give_back(f);
        }
    }
}

static void call_free(struct waiting *stage)
{
    struct call *c = call_of(stage);
    if (c->flights != NULL)
        end_flights(c);
    io_timer_cancel(&c->timer);
    destination_release(&c->destination);
    cache_free(&c->cache);
    rooms_free(&c->requests);
    expr_free(&c->o.url_expr);
    expr_free(&c->o.body);
    expr_free(&c->o.limit_key);
    expr_free(&c->o.cache_key);
    for (uint32_t i = 0; i < c->o.header_count; i++)
        expr_free(&c->headers[i].expr);
    free(c->flights);
    free(c->lines);
    free(c->rooms);
    c->magic = 0;
    free(c);
}

static size_t answer_room(const struct call_options *o)
{
    return o->into != NULL && o->answer_size_max > WORDS_ROOM ? o->answer_size_max : WORDS_ROOM;
}

static uint32_t flight_count_of(const struct call_options *o)
{
    return o->concurrency_max + (o->cache.size > 0 ? CALL_REFRESH_COUNT : 0);
}

size_t call_memory_size(const struct call_options *o)
{
    size_t count = flight_count_of(o);
    return sizeof(struct call) + count * (sizeof(struct flight) + sizeof(struct line) + answer_room(o)) +
           rooms_memory_size(round_up(o->request_size, ROOMS_UNIT)) +
           (o->cache.size > 0 ? cache_memory_size(&o->cache) : 0);
}

static void time_has_come(struct io_timer *timer, mono_time now)
{
    call_lines_move(timer->ctx, now);
}

static const struct waiting_verbs *verbs_of(const struct call_options *o)
{
#define CALL_VERBS .kind = "call", .begin = call_begin, .cancel = call_cancel, .work = call_work, .free = call_free
    static const struct waiting_verbs all[2][2] = {
        { { CALL_VERBS }, { .takes_bytes = true, CALL_VERBS } },
        { { .answer = call_answer, CALL_VERBS }, { .takes_bytes = true, .answer = call_answer, CALL_VERBS } },
    };
    bool looks = o->url_expr != NULL || o->body != NULL || o->limit_key != NULL || o->cache_key != NULL;
    for (uint32_t i = 0; i < o->header_count; i++)
        looks = looks || o->headers[i].expr != NULL;
    return &all[o->into != NULL][!looks];
}

/* False: out of memory. */
static bool take_memory(struct call *c)
{
    const struct call_options *o = &c->o;
    c->flight_count = flight_count_of(o);
    c->room_size = answer_room(o);
    c->requests = rooms_new(round_up(o->request_size, ROOMS_UNIT));
    c->flights = calloc(c->flight_count, sizeof(c->flights[0]));
    c->lines = calloc(c->flight_count, sizeof(c->lines[0]));
    c->rooms = malloc(c->flight_count * c->room_size);
    c->cache = o->cache_key != NULL ? cache_new(&o->cache) : NULL;
    if (c->requests == NULL || c->flights == NULL || c->lines == NULL || c->rooms == NULL ||
        (o->cache_key != NULL && c->cache == NULL))
        return false;
    for (uint32_t i = c->flight_count; i-- > 0;) {
        c->flights[i] = (struct flight){ .call = c, .room = c->rooms + i * c->room_size, .next = c->free };
        c->free = &c->flights[i];
    }
    return true;
}

static enum neap_status hold_destination(struct call *c)
{
    char room[DESTINATION_NAME_SIZE_MAX];
    struct bytes name;
    if (c->o.url == NULL)
        return NEAP_OK;
    must(destination_name_of(bytes_of_text(c->o.url), room, &name) == NEAP_OK);
    return destinations_acquire(c->o.destinations, name, &c->o.manners, io_now(c->o.io), &c->destination);
}

struct waiting *call_new(const struct call_options *o)
{
    must((o->url != NULL) != (o->url_expr != NULL) && o->header_count <= CALL_HEADER_COUNT_MAX);
    must(o->concurrency_max > 0 && o->request_size > CALL_HEAD_SIZE_MAX && o->rules != NULL);
    must(o->fallback.at == NULL || o->into != NULL);
    must((o->cache_key != NULL) == (o->cache.size > 0));
    struct call *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->base.verbs = verbs_of(o);
    c->magic = CALL_MAGIC;
    c->o = *o;
    c->ended_end = &c->ended;
    c->timer = (struct io_timer){ .agent = o->agent, .fire = time_has_come, .ctx = c };
    if (!take_memory(c) || hold_destination(c) != NEAP_OK) {
        c->o = (struct call_options){ .io = o->io }; /* expressions stay the caller's */
        call_free(&c->base);
        return NULL;
    }
    for (uint32_t i = 0; i < o->header_count; i++)
        c->headers[i] = o->headers[i];
    return &c->base;
}
