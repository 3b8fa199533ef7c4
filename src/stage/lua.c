/* lua.c - a script makes of an event what its process() returns: nothing, one event or several. */
#include "base/must.h"
#include "stage/stages.h"
#include <stdlib.h>

struct lua_stage {
    struct stage base;
    struct script *script;
};

static enum stage_outcome lua_run(struct stage *stage, struct event *event, struct arena *arena,
                                  struct failure *failure)
{
    struct lua_stage *lua = (struct lua_stage *)stage;
    if (script_run(lua->script, event, arena, &event->became, &event->became_count, failure) != NEAP_OK)
        return STAGE_FAIL;
    return event->became_count == 0 ? STAGE_DROP : STAGE_SPLIT;
}

static void lua_free(struct stage *stage)
{
    struct lua_stage *lua = (struct lua_stage *)stage;
    script_free(&lua->script);
    free(lua);
}

struct stage *stage_lua_new(const char *name, struct script *script)
{
    static const struct stage_verbs verbs = { "lua", lua_run, lua_free };
    must(name != NULL && script != NULL);
    struct lua_stage *lua = calloc(1, sizeof *lua);
    if (lua == NULL)
        return NULL;
    *lua = (struct lua_stage){ .base = { &verbs, name }, .script = script };
    return &lua->base;
}
