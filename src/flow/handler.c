/* handler.c - the desk, and the agent that works on it.
 *
 * A call has a number, so that the watchdog can only flag the call that it looked at: `call` is twice the number, plus one
 * once it is flagged, and 0 between calls. */
#include "flow/handler.h"
#include "base/must.h"
#include "log/limits.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define DESK_MAGIC    0x4445534bu
#define SAY_AGAIN_NS  (30 * NS_PER_S)
#define FRAME_SIZE    (64u << 10)  /* of keys, headers and failures beside JSON */
#define OUT_MORE_SIZE (256u << 10) /* beside the largest event: what handlers emit before the shard has to clear up */

struct desk_call {
    struct handler_call call;
    struct handler_desk *desk;
    uint8_t *room; /* where it lies */
    struct bytes emitted;
};

struct handler_desk {
    uint32_t magic;
    struct handler_desk_options o;
    struct io_agent agent;
    bool started;
    uint32_t partition;
    struct handler_item items[HANDLER_ITEM_COUNT_MAX];
    uint32_t count, settled; /* the shard's */
    uint8_t *room, *out_room;
    size_t room_size, out_size;
    struct writer laid;              /* the shard's */
    struct writer out;               /* the agent's while it works */
    _Atomic uint32_t answered;       /* the agent moves it; read by the shard */
    _Atomic bool working, cancelled; /* working: set by the shard, cleared by the agent */
    _Atomic uint64_t call;
    _Atomic int64_t call_start_ns;
    _Atomic uint64_t call_offset;
    uint64_t call_number; /* the agent's */
    uint64_t said_call;   /* the shard's: the call it has named */
    mono_time say_again;
};

/* ---- in the function ----------------------------------------------------------------------------------------------- */

static bool was_told(const struct handler_call *call)
{
    const struct handler_desk *d = ((const struct desk_call *)call)->desk;
    return atomic_load_explicit(&d->cancelled, memory_order_acquire) ||
           (atomic_load_explicit(&d->call, memory_order_acquire) & 1) != 0;
}

static enum neap_status keep_emitted(struct handler_call *call, struct bytes json)
{
    struct desk_call *c = (struct desk_call *)call;
    struct writer *out = &c->desk->out;
    if (c->emitted.at != NULL)
        out->at = c->room; /* the last one counts: it takes the place of the one before */
    c->room = out->at;
    c->emitted = (struct bytes){ out->at, json.size };
    write_bytes(out, json);
    must(!out->full); /* room for the largest was there before the call */
    return NEAP_OK;
}

/* ---- the agent ----------------------------------------------------------------------------------------------------- */

static struct bytes keep_text(struct handler_desk *d, const char *text)
{
    struct bytes kept = { d->out.at, strlen(text) };
    write_bytes(&d->out, (struct bytes){ (const uint8_t *)text, kept.size });
    must(!d->out.full); /* HANDLER_REASON_SIZE_MAX is left for it */
    return kept;
}

static void fail_item(struct handler_desk *d, struct handler_item *item, const char *reason, const char *text)
{
    item->outcome = STAGE_FAIL;
    item->failure = (struct failure){
        .reason = reason, .stage = d->o.handler->stage, .message = keep_text(d, text), .status = NEAP_REFUSED
    };
}

static void judge(struct handler_desk *d, struct handler_item *item, struct desk_call *call, enum stage_outcome outcome,
                  int64_t took_ns, bool late)
{
    char text[HANDLER_REASON_SIZE_MAX];
    item->outcome = outcome;
    if (late) {
        snprintf(text, sizeof text, "handler %.100s took %lld ms; its timeout is %lld ms", d->o.handler->symbol,
                 (long long)(took_ns / NS_PER_MS), (long long)(d->o.handler->timeout_ns / NS_PER_MS));
        fail_item(d, item, "timeout", text);
        item->failure.status = NEAP_TIMEOUT;
    } else if (outcome == STAGE_FAIL) {
        fail_item(d, item, "handler", call->call.reason[0] != '\0' ? call->call.reason : "the handler says no more");
    } else if (outcome == STAGE_PASS) {
        item->emitted = call->emitted;
    } else if (outcome != STAGE_DROP) {
        snprintf(text, sizeof text, "handler %.100s answered %d, which is no verdict", d->o.handler->symbol,
                 (int)outcome);
        fail_item(d, item, "handler", text);
    }
}

/* False: it was cancelled, and counts for nothing. */
static bool run_call(struct handler_desk *d, struct handler_item *item)
{
    const struct handler *h = d->o.handler;
    mono_time start = io_now(d->o.io);
    struct desk_call call = { .call = { .io = d->o.io,
                                        .deadline = mono_after(start, h->timeout_ns),
                                        .json_size_max = d->o.event_size_max,
                                        .told = was_told,
                                        .keep = keep_emitted },
                              .desk = d };
    struct handler_event event = { .pipeline = d->o.pipeline,
                                   .stage = h->stage,
                                   .topic = d->o.topic,
                                   .record = item->record,
                                   .json = item->json,
                                   .id = item->id,
                                   .partition = d->partition,
                                   .attempt = 1 };
    atomic_store(&d->call_start_ns, start.ns);
    atomic_store(&d->call_offset, item->record.offset);
    atomic_store(&d->call, ++d->call_number << 1);
    enum stage_outcome outcome = h->function(h->ctx, &event, &call.call);
    uint64_t was = atomic_exchange(&d->call, 0);
    mono_time end = io_now(d->o.io);
    if (atomic_load(&d->cancelled))
        return false;
    judge(d, item, &call, outcome, end.ns - start.ns, (was & 1) != 0 || end.ns > call.call.deadline.ns);
    return true;
}

static bool has_out_room(const struct handler_desk *d)
{
    return (size_t)(d->out.end - d->out.at) >= d->o.event_size_max + HANDLER_REASON_SIZE_MAX;
}

static uint32_t desk_work(void *ctx, mono_time now)
{
    struct handler_desk *d = ctx;
    CHECK_MAGIC(d, DESK_MAGIC);
    if (!atomic_load_explicit(&d->working, memory_order_acquire))
        return 0;
    uint32_t at = atomic_load_explicit(&d->answered, memory_order_relaxed), count = d->count;
    struct io_agent *shard = d->o.shard;
    for (; at < count && !atomic_load(&d->cancelled); at++) {
        struct handler_item *item = &d->items[at];
        if (item->asked && (!has_out_room(d) || !run_call(d, item)))
            break;
        atomic_store_explicit(&d->answered, at + 1, memory_order_release);
        io_agent_wake(shard); /* the next call may take long */
    }
    atomic_store_explicit(&d->working, false, memory_order_release);
    io_agent_wake(shard);
    return 1;
}

/* ---- the shard ----------------------------------------------------------------------------------------------------- */

static size_t room_size(size_t event_size_max)
{
    return 2 * event_size_max + FRAME_SIZE;
}

static size_t out_size(size_t event_size_max)
{
    return event_size_max + OUT_MORE_SIZE;
}

size_t handler_desk_size(size_t event_size_max)
{
    return sizeof(struct handler_desk) + room_size(event_size_max) + out_size(event_size_max);
}

enum neap_status handler_desk_open(const struct handler_desk_options *options, struct handler_desk **ret_desk,
                                   struct error *err)
{
    must(options->handler->function != NULL && options->handler->timeout_ns > 0);
    struct handler_desk *d = calloc(1, sizeof *d);
    if (d == NULL)
        return error_set(err, NEAP_NOMEM, "handler %s: out of memory", options->handler->symbol);
    d->magic = DESK_MAGIC;
    d->o = *options;
    d->room_size = room_size(options->event_size_max);
    d->room = malloc(d->room_size);
    d->out_size = out_size(options->event_size_max);
    d->out_room = malloc(d->out_size);
    d->agent = (struct io_agent){ .name = "handler", .work = desk_work, .ctx = d };
    enum neap_status status = d->room == NULL || d->out_room == NULL
                                  ? error_set(err, NEAP_NOMEM, "handler %s: out of memory", options->handler->symbol)
                                  : io_agent_start(options->io, &d->agent, err);
    if (status != NEAP_OK) {
        handler_desk_close(&d);
        return status;
    }
    *ret_desk = d;
    return NEAP_OK;
}

void handler_desk_close(struct handler_desk **desk)
{
    struct handler_desk *d = *desk;
    if (d == NULL)
        return;
    CHECK_MAGIC(d, DESK_MAGIC);
    must(!atomic_load(&d->working));
    io_agent_stop(&d->agent);
    free(d->room);
    free(d->out_room);
    d->magic = 0;
    free(d);
    *desk = NULL;
}

static void clear(struct handler_desk *d)
{
    d->laid = writer_of(d->room, d->room_size);
    d->out = writer_of(d->out_room, d->out_size);
    d->count = d->settled = 0;
    atomic_store(&d->answered, 0);
    atomic_store(&d->cancelled, false);
}

void handler_desk_begin(struct handler_desk *d, uint32_t partition)
{
    CHECK_MAGIC(d, DESK_MAGIC);
    must(!handler_desk_works(d));
    d->partition = partition;
    clear(d);
}

bool handler_desk_works(const struct handler_desk *d)
{
    return atomic_load_explicit(&d->working, memory_order_acquire);
}

bool handler_desk_is_cancelled(const struct handler_desk *d)
{
    return atomic_load(&d->cancelled);
}

bool handler_desk_is_empty(const struct handler_desk *d)
{
    return !handler_desk_works(d) && (d->settled == d->count || atomic_load(&d->cancelled));
}

static struct bytes lay_bytes(struct handler_desk *d, struct bytes bytes)
{
    if (bytes.at == NULL)
        return bytes;
    struct bytes laid = { d->laid.at, bytes.size };
    write_bytes(&d->laid, bytes);
    return laid;
}

enum neap_status handler_desk_lay(struct handler_desk *d, const struct handler_item *item)
{
    must(!handler_desk_works(d) && !atomic_load(&d->cancelled));
    if (d->count == HANDLER_ITEM_COUNT_MAX)
        return NEAP_AGAIN;
    struct writer before = d->laid;
    struct handler_item *to = &d->items[d->count];
    bool same = item->json.at == item->record.value.at; /* no stage touched it */
    *to = *item;
    to->record.key = lay_bytes(d, item->record.key);
    to->record.value = lay_bytes(d, item->record.value);
    to->record.headers = lay_bytes(d, item->record.headers);
    to->json = same ? to->record.value : lay_bytes(d, item->json);
    if (item->id.at != NULL) /* it lies among the headers */
        to->id.at = to->record.headers.at + (item->id.at - item->record.headers.at);
    to->failure.message = lay_bytes(d, item->failure.message);
    if (d->laid.full) {
        d->laid = before;
        return NEAP_AGAIN;
    }
    d->count++;
    return NEAP_OK;
}

void handler_desk_go(struct handler_desk *d)
{
    must(!handler_desk_works(d) && !atomic_load(&d->cancelled));
    uint32_t answered = atomic_load(&d->answered);
    must(d->settled == answered && answered < d->count);
    while (answered < d->count && !d->items[answered].asked)
        answered++;
    atomic_store(&d->answered, answered);
    if (answered == d->count)
        return;                                   /* none of it is for the handler */
    d->out = writer_of(d->out_room, d->out_size); /* nothing that is settled is needed (rule H3) */
    atomic_store_explicit(&d->working, true, memory_order_release);
    io_agent_wake(&d->agent);
}

const struct handler_item *handler_desk_next(struct handler_desk *d)
{
    bool any = !atomic_load(&d->cancelled) && d->settled < atomic_load_explicit(&d->answered, memory_order_acquire);
    return any ? &d->items[d->settled] : NULL;
}

void handler_desk_settle(struct handler_desk *d)
{
    must(d->settled < atomic_load(&d->answered));
    d->settled++;
}

bool handler_desk_first(const struct handler_desk *d, uint64_t *ret_offset)
{
    if (d->settled == d->count || atomic_load(&d->cancelled))
        return false;
    *ret_offset = d->items[d->settled].record.offset; /* written before the agent began, and not by it */
    return true;
}

void handler_desk_cancel(struct handler_desk *d)
{
    atomic_store(&d->cancelled, true);
}

mono_time handler_desk_watch(struct handler_desk *d, mono_time now)
{
    uint64_t call = atomic_load(&d->call);
    if (call == 0)
        return handler_desk_works(d) ? mono_after(now, d->o.handler->timeout_ns) : MONO_NEVER;
    mono_time start = { atomic_load(
        &d->call_start_ns) }; /* of this call, or of a later one: then it is looked at again */
    mono_time deadline = mono_after(start, d->o.handler->timeout_ns);
    if (now.ns < deadline.ns)
        return deadline;
    uint64_t unflagged = call & ~1ull;
    bool is_new = d->said_call != unflagged;
    if (!is_new && now.ns < d->say_again.ns)
        return d->say_again;
    if (is_new && !atomic_compare_exchange_strong(&d->call, &unflagged, unflagged | 1))
        return now; /* it has just come back */
    d->said_call = call & ~1ull;
    d->say_again = mono_after(now, SAY_AGAIN_NS);
    logging_warn(d->o.logging, "a handler is past its deadline; its partition waits for it",
                 LOGGING_TEXT("pipeline", d->o.pipeline), LOGGING_TEXT("stage", d->o.handler->stage),
                 LOGGING_TEXT("handler", d->o.handler->symbol), LOGGING_UINT("partition", d->partition),
                 LOGGING_UINT("offset", atomic_load(&d->call_offset)),
                 LOGGING_INT("age_ms", (now.ns - start.ns) / NS_PER_MS));
    return d->say_again;
}
