/* map.c - adds or replaces fields; the rest stays. All values are known before the first is set, so that every expression
 * sees the event as it came into the stage, and a failure leaves it so. */
#include "base/must.h"
#include "stage/stages.h"
#include <stdlib.h>

struct map_field {
    struct bytes name;
    struct expr *expr;
    struct value value; /* of the event at hand */
};

struct map_stage {
    struct stage base;
    uint32_t count;
    struct map_field fields[];
};

static enum stage_outcome fail_to_set(const struct map_stage *map, const struct map_field *field, struct arena *arena,
                                      enum neap_status status, struct failure *failure)
{
    const char *text = status == NEAP_BADINPUT ? "it is not an object: a field cannot be put into it"
                       : status == NEAP_NOMEM
                           ? "no room left in the batch"
                           : arena_text(arena, "field '%.*s' is one more than %u changed ones", (int)field->name.size,
                                        field->name.at, EVENT_FIELD_COUNT_MAX);
    *failure = (struct failure){ .reason = status == NEAP_TOOLARGE ? "too_large" : "not_an_object",
                                 .stage = map->base.name,
                                 .message = bytes_of_text(text != NULL ? text : "too many fields"),
                                 .status = status };
    return STAGE_FAIL;
}

static enum stage_outcome map_run(struct stage *stage, struct event *event, struct arena *arena,
                                  struct failure *failure)
{
    struct map_stage *map = (struct map_stage *)stage;
    for (uint32_t i = 0; i < map->count; i++)
        if (expr_eval(map->fields[i].expr, event, arena, &map->fields[i].value, failure) != NEAP_OK)
            return STAGE_FAIL;
    for (uint32_t i = 0; i < map->count; i++) {
        struct map_field *field = &map->fields[i];
        enum neap_status status = event_field_set(event, arena, field->name, &field->value);
        if (status != NEAP_OK)
            return fail_to_set(map, field, arena, status, failure);
    }
    return STAGE_PASS;
}

static void map_free_stage(struct stage *stage)
{
    struct map_stage *map = (struct map_stage *)stage;
    for (uint32_t i = 0; i < map->count; i++)
        expr_free(&map->fields[i].expr);
    free(map);
}

struct stage *stage_map_new(const char *name, const struct stage_map_field *fields, uint32_t count)
{
    static const struct stage_verbs verbs = { "map", map_run, map_free_stage };
    must(name != NULL && count <= EVENT_FIELD_COUNT_MAX);
    struct map_stage *map = calloc(1, sizeof(*map) + count * sizeof(map->fields[0]));
    if (map == NULL)
        return NULL;
    map->base = (struct stage){ &verbs, name };
    map->count = count;
    for (uint32_t i = 0; i < count; i++)
        map->fields[i] = (struct map_field){ .name = bytes_of_text(fields[i].name), .expr = fields[i].expr };
    return &map->base;
}
