/* keep.c - of the top-level fields, only those named stay. */
#include "base/must.h"
#include "stage/stages.h"
#include <stdlib.h>

struct keep {
    struct stage base;
    uint32_t count;
    struct bytes names[];
};

static enum stage_outcome keep_run(struct stage *stage, struct event *event, struct arena *arena,
                                   struct failure *failure)
{
    struct keep *keep = (struct keep *)stage;
    enum neap_status status = event_keep(event, arena, keep->names, keep->count);
    if (status == NEAP_OK)
        return STAGE_PASS;
    must(status == NEAP_BADINPUT || status == NEAP_NOMEM); /* the count was checked at making */
    *failure =
        (struct failure){ .reason = status == NEAP_NOMEM ? "too_large" : "not_an_object",
                          .stage = keep->base.name,
                          .message = status == NEAP_NOMEM ? BYTES("no room left in the batch")
                                                          : BYTES("it is not an object: it has no fields to keep"),
                          .status = status };
    return STAGE_FAIL;
}

static void keep_free(struct stage *stage)
{
    free(stage);
}

struct stage *stage_keep_new(const char *name, const char *const *fields, uint32_t count)
{
    static const struct stage_verbs verbs = { "keep", keep_run, keep_free };
    must(name != NULL && count <= EVENT_FIELD_COUNT_MAX);
    struct keep *keep = calloc(1, sizeof(*keep) + count * sizeof(keep->names[0]));
    if (keep == NULL)
        return NULL;
    keep->base = (struct stage){ &verbs, name };
    keep->count = count;
    for (uint32_t i = 0; i < count; i++)
        keep->names[i] = bytes_of_text(fields[i]);
    return &keep->base;
}
