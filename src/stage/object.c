#include "stage/object.h"
#include "base/must.h"
#include "io/library.h"
#include "neap/plugin.h"
#include "stage/native.h"
#include <stdlib.h>

#define OBJECT_MAGIC 0x4f424a54u

struct object {
    uint32_t magic;
    struct object_options o;
    struct io_library *library;
    const struct neap_plugin *plugin;
    void *ctx;
    bool open;
};

static const struct neap_host host = {
    .size = sizeof(struct neap_host),
    .call_cancelled = native_cancelled,
    .call_left_ms = native_left_ms,
    .call_emit = native_emit,
    .call_reason = native_reason,
};

/* Whatever is there begins with its ABI, or is no plugin at all. */
static enum neap_status look_at(struct object *b, struct error *err)
{
    const char *symbol = b->o.symbol, *path = b->o.path;
    b->plugin = io_library_find(b->library, symbol);
    if (b->plugin == NULL)
        return error_set(err, NEAP_MISUSE, "%s has no '%s': it is to be exported by NEAP_PLUGIN(%s)", path, symbol,
                         symbol);
    if (b->plugin->abi != NEAP_PLUGIN_ABI)
        return error_set(err, NEAP_MISUSE, "'%s' in %s was built for ABI %u of plugins, and this is %u: build it again",
                         symbol, path, b->plugin->abi, NEAP_PLUGIN_ABI);
    if (b->plugin->size < sizeof(struct neap_plugin) || b->plugin->handle == NULL)
        return error_set(err, NEAP_MISUSE, "'%s' in %s is no plugin: it has no size, or no handle()", symbol, path);
    return NEAP_OK;
}

static enum neap_status begin(struct object *b, struct error *err)
{
    struct neap_error said = { .status = NEAP_OK };
    if (b->plugin->open == NULL)
        return NEAP_OK;
    enum neap_status status = b->plugin->open(&host, b->o.pipeline, b->o.stage, &b->ctx, &said);
    said.text[sizeof said.text - 1] = '\0';
    if (status == NEAP_OK)
        return NEAP_OK;
    return error_set(err, NEAP_MISUSE, "'%s' in %s does not want to begin: %.300s", b->o.symbol, b->o.path,
                     said.text[0] != '\0' ? said.text : "it does not say why");
}

static enum neap_status load(const struct object_options *options, struct object **ret_object, struct error *err)
{
    struct object *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory");
    *b = (struct object){ .magic = OBJECT_MAGIC, .o = *options };
    enum neap_status status = io_library_open(options->io, options->path, &b->library, err);
    if (status == NEAP_OK)
        status = look_at(b, err);
    if (status != NEAP_OK)
        object_close(&b);
    else
        *ret_object = b;
    return status;
}

enum neap_status object_check(const struct object_options *options, struct error *err)
{
    struct object *b = NULL;
    enum neap_status status = load(options, &b, err);
    object_close(&b);
    return status;
}

enum neap_status object_open(const struct object_options *options, struct object **ret_object, struct error *err)
{
    struct object *b;
    enum neap_status status = load(options, &b, err);
    if (status != NEAP_OK)
        return status;
    status = begin(b, err);
    if (status != NEAP_OK) {
        object_close(&b);
        return status;
    }
    b->open = true;
    *ret_object = b;
    return NEAP_OK;
}

void object_close(struct object **object)
{
    struct object *b = *object;
    if (b == NULL)
        return;
    CHECK_MAGIC(b, OBJECT_MAGIC);
    if (b->open && b->plugin->close != NULL)
        b->plugin->close(b->ctx);
    io_library_close(&b->library);
    b->magic = 0;
    free(b);
    *object = NULL;
}

enum stage_outcome object_handle(void *ctx, const struct handler_event *event, struct handler_call *inner)
{
    const struct object *b = ctx;
    CHECK_MAGIC(b, OBJECT_MAGIC);
    struct neap_header headers[NEAP_HEADER_COUNT_MAX];
    struct neap_call call = { .call = inner };
    struct neap_handled handled = native_handled(event, headers);
    return native_outcome(b->plugin->handle(b->ctx, &handled, &call));
}
