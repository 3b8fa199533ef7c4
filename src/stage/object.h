/* object.h - a plugin out of a shared object (neap/plugin.h): looked at, opened, called, closed.
 *
 * owner    the node, one for each stage that names it; object_handle() is called on threads of a pool
 * memory   one struct; the plugin's own is its own
 * limits   none of its own
 * errors   NEAP_MISUSE: it cannot be loaded, has no such symbol, has another ABI, or does not want to begin: the message says which
 * promise  nothing of it is called before its ABI has been looked at; close() is called once, after the last call */
#ifndef STAGE_OBJECT_H
#define STAGE_OBJECT_H

#include "base/error.h"
#include "flow/handler_call.h"

struct object;

struct object_options { /* all kept */
    struct io *io;
    const char *path, *symbol, *pipeline, *stage;
};

/* Loads it, looks at its ABI, and lets it go: nothing of it is called. */
enum neap_status   object_check(const struct object_options *options, struct error *err);
enum neap_status   object_open(const struct object_options *options, struct object **ret_object, struct error *err);
void               object_close(struct object **object); /* nothing of it is at work; accepts NULL inside */
enum stage_outcome object_handle(void *ctx, const struct handler_event *event, struct handler_call *call); /* ctx: the object */

#endif
