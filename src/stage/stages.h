/* stages.h - the inline kinds of stages, made of expressions that are already built.
 *
 * owner    the chain they are put into
 * memory   one block each, taken at making; per event the chain's arena
 * limits   EVENT_FIELD_COUNT_MAX fields in one map, keep or remove
 * errors   a constructor that answers NULL is out of memory, and what it was to take is still the caller's
 * promise  filter keeps what is true (only false and nil are not); map adds or replaces and leaves the rest, all its
 *          expressions see the event as it came into the stage, and nil becomes null; keep and remove go by top-level names,
 *          and a name that an event does not have is no failure */
#ifndef STAGE_STAGES_H
#define STAGE_STAGES_H

#include "flow/dedup_door.h"
#include "flow/expr.h"
#include "flow/script.h"
#include "flow/stage.h"

struct stage_map_field {
    const char *name;  /* kept by the pipeline */
    struct expr *expr; /* taken */
};

/* `name` and the names of fields are kept by the pipeline as long as the stage. */
struct stage *stage_filter_new(const char *name, struct expr *expr);
struct stage *stage_map_new(const char *name, const struct stage_map_field *fields, uint32_t count);
struct stage *stage_keep_new(const char *name, const char *const *fields, uint32_t count);
/* `id` is taken, NULL: the event's own; the door is kept by the pipeline. */
struct stage *stage_dedup_new(const char *name, struct expr *id, struct dedup_door *door);
struct stage *stage_remove_new(const char *name, const char *const *fields, uint32_t count);
struct stage *stage_lua_new(const char *name, struct script *script); /* takes the script */
/* Of a branch: passes what none of those before it takes (a route), and its own condition does. Takes the expressions; own
 * NULL: the rest of a route. */
struct stage *stage_choice_new(const char *name, struct expr *const *before, uint32_t before_count, struct expr *own);

#endif
