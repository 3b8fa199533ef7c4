/* handlers.c - the program's own functions as stages: registered by name, and called with what neap.h says.
 *
 * The table is fixed while a run is open, so that what a run was given stays what it is. */
#include "lib/lib.h"
#include "stage/native.h"
#include <stdlib.h>

static _Thread_local const struct neap *in_handler_of;

bool lib_in_handler(const struct neap *neap)
{
    return in_handler_of == neap;
}

/* ---- registering --------------------------------------------------------------------------------------------------- */

void lib_handlers_free(struct neap *neap)
{
    for (uint32_t i = 0; i < neap->handler_count; i++)
        free(neap->handlers[i].name);
    free(neap->handlers);
    io_mutex_free(&neap->mutex);
}

static struct lib_handler *find(struct neap *neap, const char *name)
{
    for (uint32_t i = 0; i < neap->handler_count; i++)
        if (strcmp(neap->handlers[i].name, name) == 0)
            return &neap->handlers[i];
    return NULL;
}

static enum neap_status add(struct neap *neap, const char *name, neap_handler *function, void *ctx)
{
    if (neap->handler_count == LIB_HANDLER_COUNT_MAX)
        return NEAP_FULL;
    if (neap->handlers == NULL)
        neap->handlers = calloc(LIB_HANDLER_COUNT_MAX, sizeof *neap->handlers);
    char *copy = neap->handlers != NULL ? strdup(name) : NULL;
    if (copy == NULL)
        return NEAP_NOMEM;
    neap->handlers[neap->handler_count++] = (struct lib_handler){ copy, function, ctx, neap };
    return NEAP_OK;
}

static enum neap_status set(struct neap *neap, const char *name, neap_handler *function, void *ctx)
{
    struct lib_handler *there = find(neap, name);
    if (there == NULL)
        return function != NULL ? add(neap, name, function, ctx) : NEAP_OK;
    if (function != NULL) {
        there->function = function;
        there->ctx = ctx;
        return NEAP_OK;
    }
    free(there->name);
    *there = neap->handlers[--neap->handler_count];
    return NEAP_OK;
}

enum neap_status neap_handler_register(struct neap *neap, const char *name, neap_handler *function, void *ctx)
{
    if (neap == NULL || name == NULL || name[0] == '\0')
        return NEAP_MISUSE;
    CHECK_MAGIC(neap, LIB_MAGIC);
    io_mutex_take(neap->mutex);
    bool running = atomic_load(&neap->running); /* it has been given what there is, or waits for the mutex to take it */
    enum neap_status status = running ? NEAP_MISUSE : set(neap, name, function, ctx);
    io_mutex_drop(neap->mutex);
    return status;
}

/* ---- being called -------------------------------------------------------------------------------------------------- */

enum stage_outcome lib_handle(void *ctx, const struct handler_event *e, struct handler_call *inner)
{
    const struct lib_handler *h = ctx;
    struct neap_header headers[NEAP_HEADER_COUNT_MAX];
    struct neap_call call = { .call = inner };
    struct neap_handled handled = native_handled(e, headers);
    in_handler_of = h->neap;
    enum neap_verdict verdict = h->function(h->ctx, &handled, &call);
    in_handler_of = NULL;
    return native_outcome(verdict);
}

bool neap_call_cancelled(const struct neap_call *call)
{
    return native_cancelled(call);
}

int64_t neap_call_left_ms(const struct neap_call *call)
{
    return native_left_ms(call);
}

enum neap_status neap_call_emit(struct neap_call *call, struct neap_bytes value)
{
    return native_emit(call, value);
}

void neap_call_reason(struct neap_call *call, const char *text)
{
    native_reason(call, text);
}
