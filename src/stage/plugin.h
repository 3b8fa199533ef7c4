/* plugin.h - a waiting stage that is a C function: each event is given to it on a thread of a pool, and comes back with a verdict.
 *
 * owner    the shard; the function runs on threads of the pool
 * memory   plugin_memory_size(), taken in plugin_new(): what becomes of events lies in it until it is taken over
 * limits   `concurrency` calls at a time; JSON up to event_size_max. Where there is no room for what is emitted, the call counts
 *          for nothing, its event comes again, and fewer are begun at a time
 * errors   outcomes of the event: reason "handler" (it says so), "timeout", "not_json", "too_large", "rejected" (by the pool)
 * promise  those of waiting.h, and: a call past its deadline is told so, and named in the log until it comes back; whatever it
 *          answers then, it was a timeout. It keeps its thread, and its event its lane: a function cannot be ended from outside */
#ifndef STAGE_PLUGIN_H
#define STAGE_PLUGIN_H

#include "base/logging.h"
#include "flow/handler_call.h"
#include "flow/pool.h"
#include "flow/waiting.h"

struct plugin_options { /* all kept */
    struct io *io;
    struct logging *logging;
    struct io_agent *owner;
    struct pool *pool;          /* its owner the same; perhaps others' too */
    struct json_parser *parser; /* the owner's; what is emitted is read with it */
    handler_function *function;
    void *ctx;
    const char *symbol, *pipeline;
    uint32_t concurrency;
    size_t event_size_max;
    size_t room_size; /* for events and what becomes of them; at least plugin_room_size_least() */
};

/* Sets verbs; the rest of what a struct waiting has is the caller's. NULL: out of memory. */
struct waiting *plugin_new(const struct plugin_options *options);
size_t          plugin_room_size_least(size_t event_size_max); /* one call at a time, of the largest */
size_t          plugin_memory_size(uint32_t concurrency, size_t room_size);

#endif
