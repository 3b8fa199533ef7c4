#include "flow/script.h"
#include "flow/expr_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define TRACE_COUNT_MAX 8 /* calls named in a message */

const char *const script_names[] = { "array", "copy", "neap__out", "null", "process", NULL };
static const char array_mark; /* its address is a key of the registry */

struct script {
    struct expr *expr;
};

/* ---- what a script may call beside an expression's names --------------------------------------------------------------- */

bool script_is_array(lua_State *L, int table)
{
    if (!lua_getmetatable(L, table))
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_mark);
    bool marked = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return marked;
}

static void set_mark(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_mark) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &array_mark);
    }
    lua_setmetatable(L, -2);
}

static int array(lua_State *L)
{
    machine_charge(L, 1);
    if (lua_isnone(L, 1))
        lua_newtable(L);
    else if (!lua_istable(L, 1))
        return luaL_error(L, "array() takes a table, such as array{}; of a part of an event take a copy() first");
    set_mark(L);
    return 1;
}

static int copy_table(lua_State *L)
{
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, 1) != 0;) {
        machine_charge(L, 1);
        lua_pushvalue(L, -2);
        lua_rotate(L, -2, 1); /* table, key, key, value */
        lua_rawset(L, -4);
    }
    if (script_is_array(L, 1))
        set_mark(L);
    return 1;
}

static int copy(lua_State *L)
{
    machine_charge(L, 1);
    if (lua_istable(L, 1))
        return copy_table(L);
    const struct view *view = view_at(L, 1);
    if (view == NULL)
        return luaL_error(L, "copy() takes a table or a part of an event, not a %s", luaL_typename(L, 1));
    view_copy(L, view);
    if (view->of.kind == OPERAND_JSON && json_kind(view->of.json) == JSON_ARRAY)
        set_mark(L);
    return 1;
}

/* Gives what it is given. Through it process() is called by its name, and not in place of the script: so a trace knows it. */
static int out(lua_State *L)
{
    return lua_gettop(L);
}

void script_push_names(lua_State *L)
{
    lua_pushcfunction(L, array);
    lua_pushcfunction(L, copy);
    lua_pushcfunction(L, out);
    lua_pushlightuserdata(L, NULL);
}

int script_name_count(void)
{
    return (int)COUNT_OF(script_names) - 2;
}

/* ---- what comes out ---------------------------------------------------------------------------------------------------- */

static bool is_output(lua_State *L, int index)
{
    if (lua_istable(L, index))
        return true;
    const struct view *view = view_at(L, index);
    return view != NULL && (view->of.kind == OPERAND_EVENT || view->of.kind == OPERAND_JSON);
}

void script_take(lua_State *L)
{
    struct expr_machine *m = machine_of(L);
    int top = lua_gettop(L);
    uint32_t count = 0;
    for (int i = 1; i <= top; i++)
        count += !lua_isnil(L, i);
    if (count > SCRIPT_OUTPUT_COUNT_MAX)
        luaL_error(L, "process() returned %d events; at most %d", (int)count, (int)SCRIPT_OUTPUT_COUNT_MAX);
    m->output_count = 0;
    m->outputs = arena_take(m->arena, (count + 1) * sizeof *m->outputs);
    if (m->outputs == NULL) {
        m->no_room = true;
        luaL_error(L, "no room");
    }
    for (int i = 1; i <= top; i++) {
        struct value value;
        if (lua_isnil(L, i))
            continue;
        if (!is_output(L, i))
            luaL_error(L, "process() returned a %s: an event is a table, and none is nil", luaL_typename(L, i));
        lua_value(L, i, &value);
        must(value.kind == VALUE_JSON);
        m->outputs[m->output_count++] = value.text;
    }
}

/* ---- where it failed --------------------------------------------------------------------------------------------------- */

/* The message stays as it is; beside it is noted which of the script's calls led there. */
int script_trace(lua_State *L)
{
    struct expr_machine *m = machine_of(L);
    const struct expr *expr = m->expr;
    lua_Debug call;
    size_t size = 0;
    int count = 0;
    m->trace_line = 0;
    m->trace[0] = '\0';
    for (int level = 1; count < TRACE_COUNT_MAX && lua_getstack(L, level, &call); level++) {
        if (!lua_getinfo(L, "Sln", &call) || call.currentline < 1 ||
            (strcmp(call.what, "Lua") != 0 && m->trace_line > 0))
            continue;
        if (m->trace_line == 0)
            m->trace_line = (uint32_t)call.currentline;
        if (strcmp(call.what, "Lua") != 0)
            continue;
        int said =
            snprintf(m->trace + size, sizeof m->trace - size, "%s%s (line %u)", count++ == 0 ? ", in " : ", ",
                     call.name != NULL ? call.name : "a function", expr->place.line + (uint32_t)call.currentline - 1);
        size += said > 0 ? (size_t)said : 0;
        if (size >= sizeof m->trace)
            break;
    }
    return 1;
}

/* ---- the script -------------------------------------------------------------------------------------------------------- */

enum neap_status script_new(struct expr_machine *machine, const char *text, const struct expr_place *place,
                            struct script **ret_script, struct error *err)
{
    struct script *script = calloc(1, sizeof *script);
    if (script == NULL)
        return error_set(err, NEAP_NOMEM, "no memory for a script");
    enum neap_status status = expr_new_of(machine, text, place, true, &script->expr, err);
    if (status == NEAP_OK)
        *ret_script = script;
    else
        free(script);
    return status;
}

void script_free(struct script **script)
{
    if (*script == NULL)
        return;
    expr_free(&(*script)->expr);
    free(*script);
    *script = NULL;
}

enum neap_status script_run(struct script *script, const struct event *event, struct arena *arena,
                            struct bytes **ret_outputs, uint32_t *ret_count, struct failure *failure)
{
    struct expr_machine *m = script->expr->machine;
    enum neap_status status = expr_ask(script->expr, event, arena, NULL, failure);
    if (status == NEAP_OK) {
        *ret_outputs = m->outputs;
        *ret_count = m->output_count;
    }
    m->outputs = NULL;
    m->output_count = 0;
    return status;
}
