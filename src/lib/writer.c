/* writer.c - a way into the log: room, calls, completions, waiting.
 *
 * W1  A call's bytes lie in the ring until its unit is answered, whoever still waits for it.
 * W2  Completions run on the thread that is in the writer, one at a time, and never inside one another.
 * W3  Whoever gives up waiting is forgotten by the call before it returns: nothing points to its stack any more. */
#include "lib/writer.h"
#include <stdlib.h>

#define INFLIGHT_DEFAULT 1024u
#define INFLIGHT_MAX     65536u
#define BUFFER_DEFAULT   (8u << 20)
#define BUFFER_MIN       (64u << 10)
#define BUFFER_MAX       (1u << 30)
#define OP_ALIGNMENT     16u

/* ---- room ---------------------------------------------------------------------------------------------------------- */

enum neap_status writer_room(struct neap_writer *w, uint32_t piece, uint8_t **ret_room, size_t *ret_size)
{
    if (w->call_count == w->call_count_max)
        return NEAP_AGAIN;
    if (w->call_count == 0)
        w->room_first = w->room_next = 0;
    size_t from = (w->room_next + OP_ALIGNMENT - 1) & ~(size_t)(OP_ALIGNMENT - 1), to = w->room_size;
    bool round_the_end = w->call_count > 0 && w->room_next <= w->room_first;
    if (round_the_end)
        to = w->room_first;
    if (piece == 1) {
        from = 0;
        to = round_the_end ? 0 : w->room_first;
    }
    if (from >= to)
        return w->call_count > 0 ? NEAP_AGAIN : NEAP_TOOLARGE;
    *ret_room = w->room + from;
    *ret_size = to - from;
    return NEAP_OK;
}

static struct writer_call *call_at(struct neap_writer *w, uint32_t index)
{
    uint32_t at = w->call_first + index;
    return &w->calls[at < w->call_count_max ? at : at - w->call_count_max];
}

static void give_back(struct neap_writer *w)
{
    while (w->call_count > 0 && call_at(w, 0)->answered) {
        w->room_first = call_at(w, 0)->room_end;
        w->call_first = w->call_first + 1 == w->call_count_max ? 0 : w->call_first + 1;
        w->call_count--;
    }
}

/* ---- completions --------------------------------------------------------------------------------------------------- */

static uint32_t list_places(struct neap_writer *w, const struct log_unit *unit)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < unit->count; i++) {
        const struct log_op *op = &unit->ops[i];
        if (op->kind == LOG_APPEND)
            w->places[count++] = (struct neap_place){ op->target.partition, op->count, op->offset.n };
    }
    return count;
}

static void unit_done(struct log_unit *unit, enum neap_status status)
{
    struct writer_call *call = unit->ctx;
    struct neap_writer *w = call->writer;
    CHECK_MAGIC(w, LIB_WRITER_MAGIC);
    must(!call->answered);
    struct neap_outcome outcome = { .status = status, .places = w->places };
    if (status == NEAP_OK && (call->done != NULL || call->wait != NULL))
        outcome.place_count = list_places(w, unit);
    if (call->wait != NULL) {
        call->wait->over = true;
        call->wait->status = status;
        if (outcome.place_count > 0 && call->wait->place != NULL)
            *call->wait->place = w->places[0];
    }
    neap_done *done = call->done;
    void *ctx = call->ctx;
    call->answered = true;
    w->answered_count++;
    give_back(w); /* before `done`: it may append at once */
    if (done == NULL)
        return;
    w->in_completion = true; /* rule W2 */
    done(ctx, &outcome);
    w->in_completion = false;
}

static uint32_t writer_turn(void *ctx, mono_time now)
{
    struct neap_writer *w = ctx;
    (void)now;
    uint64_t before = w->answered_count;
    uint32_t count = log_client_work(w->client);
    bool enough = w->wait_for != NULL ? w->wait_for->over : w->call_count == 0;
    if (w->waiting && (enough || (w->wait_any && w->answered_count > before)))
        io_agent_leave(&w->agent);
    return count;
}

/* Runs completions until `wait_for` is over (NULL: until nothing is on its way; `any`: or one completion has run). */
static enum neap_status run_until(struct neap_writer *w, struct writer_wait *wait_for, bool any, mono_time deadline)
{
    w->waiting = true;
    w->wait_any = any;
    w->wait_for = wait_for;
    enum neap_status status = io_agent_run(w->neap->io, &w->agent, deadline, NULL);
    w->waiting = false;
    w->wait_for = NULL;
    while (w->has_descriptor && io_agent_turn(&w->agent) > 0)
        ; /* for whoever watches it: from here on each answer leaves its mark */
    return status;
}

/* ---- handing over -------------------------------------------------------------------------------------------------- */

enum neap_status writer_submit(struct neap_writer *w, struct log_op *ops, uint32_t op_count, const uint8_t *room_end,
                               neap_done *done, void *ctx, struct writer_wait *wait)
{
    must(w->call_count < w->call_count_max && room_end <= w->room + w->room_size);
    struct writer_call *call = call_at(w, w->call_count);
    if (op_count == 1) {
        call->one = *ops;
        ops = &call->one;
    }
    call->writer = w;
    call->unit = (struct log_unit){ .ops = ops, .count = op_count, .done = unit_done, .ctx = call };
    call->room_end = (size_t)(room_end - w->room);
    call->answered = false;
    call->done = done;
    call->ctx = ctx;
    call->wait = wait;
    enum neap_status status = log_submit(w->client, &call->unit);
    if (status != NEAP_OK)
        return status;
    w->room_next = call->room_end;
    w->call_count++;
    return NEAP_OK;
}

enum neap_status writer_submit_named(struct neap_writer *w, struct log_op op, neap_done *done, void *ctx,
                                     struct writer_wait *wait)
{
    for (uint32_t piece = 0; piece < 2; piece++) {
        uint8_t *room;
        size_t size;
        if (writer_room(w, piece, &room, &size) != NEAP_OK || size < op.name.size + op.payload.size)
            continue;
        if (op.name.size > 0)
            memcpy(room, op.name.at, op.name.size);
        if (op.payload.size > 0)
            memcpy(room + op.name.size, op.payload.at, op.payload.size);
        op.name.at = room;
        op.payload.at = room + op.name.size;
        return writer_submit(w, &op, 1, op.payload.at + op.payload.size, done, ctx, wait);
    }
    return NEAP_AGAIN; /* a name fits into an empty ring */
}

enum neap_status writer_wait(struct neap_writer *w, int64_t timeout_ms,
                             enum neap_status (*try)(struct neap_writer *w, void *request, struct writer_wait *wait),
                             void *request, struct neap_place *ret_place)
{
    struct writer_wait wait = { .place = ret_place };
    mono_time deadline = lib_deadline(w->neap, timeout_ms);
    enum neap_status status = try(w, request, &wait), waited = NEAP_OK;
    while (status == NEAP_AGAIN && waited == NEAP_OK && w->call_count > 0) {
        waited = run_until(w, NULL, true, deadline);
        status = try(w, request, &wait);
    }
    if (status != NEAP_OK)
        return status;
    struct writer_call *call = call_at(w, w->call_count - 1);
    must(call->wait == &wait);
    if (!wait.over)
        (void)run_until(w, &wait, false, deadline);
    if (wait.over)
        return wait.status;
    call->wait = NULL; /* rule W3 */
    return NEAP_TIMEOUT;
}

/* ---- opening and closing ------------------------------------------------------------------------------------------- */

static void writer_free(struct neap_writer *w)
{
    log_client_close(&w->client);
    io_agent_stop(&w->agent);
    free(w->room);
    free(w->calls);
    free(w->next);
    free(w->met);
    free(w->chains);
    free(w->places);
    w->magic = 0;
    free(w);
}

static enum neap_status take_memory(struct neap_writer *w, struct error *err)
{
    w->room = malloc(w->room_size);
    w->calls = calloc(w->call_count_max, sizeof *w->calls);
    w->next = malloc(NEAP_APPEND_COUNT_MAX * sizeof *w->next);
    w->met = malloc(NEAP_APPEND_COUNT_MAX * sizeof *w->met);
    w->places = malloc(WRITER_PLACE_COUNT_MAX * sizeof *w->places);
    bool all = w->room != NULL && w->calls != NULL && w->next != NULL && w->met != NULL && w->places != NULL;
    return all ? NEAP_OK : error_set(err, NEAP_NOMEM, "writer: out of memory");
}

static enum neap_status open_writer(struct neap_writer *w, struct error *err)
{
    w->agent = (struct io_agent){ .name = "writer", .work = writer_turn, .ctx = w };
    struct log_client_options options = { .inflight_count_max = w->call_count_max,
                                          .inflight_size_max = SIZE_MAX, /* the ring is the bound */
                                          .agent = &w->agent };
    enum neap_status status = take_memory(w, err);
    if (status == NEAP_OK)
        status = io_agent_attach(w->neap->io, &w->agent, err);
    if (status == NEAP_OK)
        status = log_client_open(w->neap->log, &options, &w->client, err);
    return status;
}

enum neap_status neap_writer_open(struct neap *neap, const struct neap_writer_options *options,
                                  struct neap_writer **ret_writer, struct neap_error *err)
{
    if (neap == NULL || ret_writer == NULL)
        return lib_misuse(err, "neap_writer_open() needs a handle and room for the writer");
    CHECK_MAGIC(neap, LIB_MAGIC);
    struct neap_writer_options o = options != NULL ? *options : (struct neap_writer_options){ 0 };
    o.inflight_count_max = o.inflight_count_max != 0 ? o.inflight_count_max : INFLIGHT_DEFAULT;
    o.buffer_size = o.buffer_size != 0 ? o.buffer_size : BUFFER_DEFAULT;
    if (o.inflight_count_max > INFLIGHT_MAX || o.buffer_size < BUFFER_MIN || o.buffer_size > BUFFER_MAX)
        return lib_misuse(err, "inflight_count_max is at most 65,536, buffer_size within 64 KiB and 1 GiB");
    struct error error = { 0 };
    struct neap_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        error_set(&error, NEAP_NOMEM, "writer: out of memory");
        return lib_error(err, &error);
    }
    w->magic = LIB_WRITER_MAGIC;
    w->neap = neap;
    w->room_size = o.buffer_size;
    w->call_count_max = o.inflight_count_max;
    if (open_writer(w, &error) != NEAP_OK) {
        writer_free(w);
        return lib_error(err, &error);
    }
    atomic_fetch_add(&neap->open_count, 1);
    *ret_writer = w;
    return NEAP_OK;
}

enum neap_status neap_writer_close(struct neap_writer **at, int64_t timeout_ms)
{
    if (at == NULL)
        return NEAP_MISUSE;
    struct neap_writer *w = *at;
    if (w == NULL)
        return NEAP_OK;
    enum neap_status status = neap_writer_flush(w, timeout_ms);
    if (status != NEAP_OK)
        return status;
    *at = NULL;
    struct neap *neap = w->neap;
    writer_free(w);
    atomic_fetch_sub(&neap->open_count, 1);
    return NEAP_OK;
}

/* ---- completions, as asked for from outside -------------------------------------------------------------------------- */

uint32_t neap_writer_work(struct neap_writer *w)
{
    if (w == NULL || lib_enter(&w->guard) != LIB_ENTERED)
        return 0;
    CHECK_MAGIC(w, LIB_WRITER_MAGIC);
    uint64_t before = w->answered_count;
    if (w->has_descriptor) {
        while (io_agent_turn(&w->agent) > 0)
            ;
    } else {
        log_client_work(w->client);
    }
    uint32_t count = (uint32_t)(w->answered_count - before);
    lib_leave(&w->guard);
    return count;
}

static enum neap_status wait_for_answers(struct neap_writer *w, bool any, int64_t timeout_ms)
{
    if (w == NULL || lib_enter(&w->guard) != LIB_ENTERED)
        return NEAP_MISUSE;
    CHECK_MAGIC(w, LIB_WRITER_MAGIC);
    enum neap_status status = NEAP_OK;
    if (w->call_count > 0)
        status = run_until(w, NULL, any, lib_deadline(w->neap, timeout_ms));
    lib_leave(&w->guard);
    return status;
}

enum neap_status neap_writer_flush(struct neap_writer *w, int64_t timeout_ms)
{
    return wait_for_answers(w, false, timeout_ms);
}

enum neap_status neap_writer_wait(struct neap_writer *w, int64_t timeout_ms)
{
    return wait_for_answers(w, true, timeout_ms);
}

uint32_t neap_writer_inflight(const struct neap_writer *w)
{
    return w != NULL ? w->call_count : 0;
}

enum neap_status neap_writer_descriptor(struct neap_writer *w, int *ret_descriptor, struct neap_error *err)
{
    if (w == NULL || ret_descriptor == NULL)
        return lib_misuse(err, "neap_writer_descriptor() needs a writer and room for the descriptor");
    CHECK_MAGIC(w, LIB_WRITER_MAGIC);
    if (lib_enter(&w->guard) != LIB_ENTERED)
        return lib_misuse(err, "the writer is in use by another thread");
    struct error error = { 0 };
    enum neap_status status = io_agent_descriptor(&w->agent, ret_descriptor, &error);
    w->has_descriptor = w->has_descriptor || status == NEAP_OK;
    lib_leave(&w->guard);
    return status == NEAP_OK ? NEAP_OK : lib_error(err, &error);
}
