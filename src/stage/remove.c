/* remove.c - takes the named top-level fields out; the rest stays. */
#include "base/must.h"
#include "stage/stages.h"
#include <stdlib.h>

struct removal {
    struct stage base;
    uint32_t count;
    struct bytes names[];
};

static enum stage_outcome remove_run(struct stage *stage, struct event *event, struct arena *arena,
                                     struct failure *failure)
{
    struct removal *removal = (struct removal *)stage;
    for (uint32_t i = 0; i < removal->count; i++) {
        enum neap_status status = event_field_remove(event, arena, removal->names[i]);
        if (status == NEAP_OK)
            continue;
        *failure = (struct failure){ .reason = status == NEAP_BADINPUT ? "not_an_object" : "too_large",
                                     .stage = removal->base.name,
                                     .message = status == NEAP_BADINPUT
                                                    ? BYTES("it is not an object: it has no fields to remove")
                                                : status == NEAP_NOMEM ? BYTES("no room left in the batch")
                                                                       : BYTES("too many fields changed in one event"),
                                     .status = status };
        return STAGE_FAIL;
    }
    return STAGE_PASS;
}

static void remove_free(struct stage *stage)
{
    free(stage);
}

struct stage *stage_remove_new(const char *name, const char *const *fields, uint32_t count)
{
    static const struct stage_verbs verbs = { "remove", remove_run, remove_free };
    must(name != NULL && count <= EVENT_FIELD_COUNT_MAX);
    struct removal *removal = calloc(1, sizeof(*removal) + count * sizeof(removal->names[0]));
    if (removal == NULL)
        return NULL;
    removal->base = (struct stage){ &verbs, name };
    removal->count = count;
    for (uint32_t i = 0; i < count; i++)
        removal->names[i] = bytes_of_text(fields[i]);
    return &removal->base;
}
