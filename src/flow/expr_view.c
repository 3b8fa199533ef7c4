/* expr_view.c - the event as Lua sees it: small handles that look into the document when they are asked.
 *
 * V1  Reading a field makes no table: a scalar comes out as it is, an array or object as another view.
 * V2  A view belongs to the call it was made in; later it answers nothing but an error. */
#include "flow/expr_internal.h"

static const enum operand_kind root_kinds[3] = { OPERAND_EVENT, OPERAND_HEADERS, OPERAND_ENV };

static struct view *new_view(lua_State *L)
{
    struct view *view = lua_newuserdatauv(L, sizeof(*view), 0);
    *view = (struct view){ .generation = 0 };
    lua_rawgeti(L, LUA_REGISTRYINDEX, machine_of(L)->view_meta);
    lua_setmetatable(L, -2);
    return view;
}

static struct view *alive(lua_State *L, struct view *view) /* rule V2 */
{
    struct expr_machine *m = machine_of(L);
    if (view->generation != m->generation || m->event == NULL)
        luaL_error(L, "this part of an event is gone: it lasts only as long as the call that saw it");
    return view;
}

struct view *view_at(lua_State *L, int index)
{
    struct expr_machine *m = machine_of(L);
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
        return NULL;
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->view_meta);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    must(same); /* there is no other userdata here */
    return alive(L, lua_touserdata(L, index));
}

void view_push(lua_State *L, const struct operand *operand)
{
    struct expr_machine *m = machine_of(L);
    struct view *view;
    switch (operand->kind) {
    case OPERAND_NIL:
        lua_pushnil(L);
        return;
    case OPERAND_BOOL:
        lua_pushboolean(L, operand->b);
        return;
    case OPERAND_INT:
        lua_pushinteger(L, operand->i);
        return;
    case OPERAND_DOUBLE:
        lua_pushnumber(L, operand->d);
        return;
    case OPERAND_TEXT:
        lua_pushlstring(L, (const char *)operand->text.at, operand->text.size);
        return;
    case OPERAND_JSON:
        if (json_kind(operand->json) == JSON_UINT) { /* as Lua reads such a numeral */
            lua_pushnumber(L, (double)json_uint(operand->json));
            return;
        }
        view = new_view(L);
        *view = (struct view){ .generation = m->generation, .of = *operand };
        return;
    case OPERAND_EVENT:
    case OPERAND_HEADERS:
    case OPERAND_ENV:
        for (int i = 0; i < 3; i++)
            if (root_kinds[i] == operand->kind) {
                m->roots[i]->generation = m->generation;
                lua_rawgeti(L, LUA_REGISTRYINDEX, m->root_references[i]);
            }
        return;
    }
}

void view_push_root(lua_State *L, enum root root)
{
    struct operand operand;
    struct trouble trouble;
    const struct path path = { .root = root };
    enum verdict verdict = path_answer(machine_of(L), &path, &operand, &trouble);
    must(verdict == VERDICT_DONE); /* a root alone takes no steps */
    view_push(L, &operand);
}

/* ---- what Lua asks of a view ----------------------------------------------------------------------------------- */

static bool is_array(const struct view *view)
{
    return view->of.kind == OPERAND_JSON && json_kind(view->of.json) == JSON_ARRAY;
}

static struct operand element_at(lua_State *L, struct view *view, int64_t index)
{
    struct json_value json;
    if (index < 1 || (uint64_t)index > json_count(view->of.json))
        return (struct operand){ .kind = OPERAND_NIL };
    if (index <= view->passed_count)
        *view = (struct view){ .generation = view->generation, .of = view->of };
    machine_charge(L, (uint64_t)(index - view->passed_count) / 8);
    while (view->passed_count < index) {
        bool found = json_next(view->of.json, &view->cursor, NULL, &json);
        must(found);
        view->passed_count++;
    }
    return operand_of_json(json);
}

static struct operand named_field(lua_State *L, struct view *view)
{
    struct expr_machine *m = machine_of(L);
    struct operand operand;
    size_t size;
    const char *name = lua_tolstring(L, 2, &size);
    machine_charge(L, view_count(m, view) / 8);
    operand_by_name(m, &view->of, (struct bytes){ (const uint8_t *)name, size }, &operand);
    if (m->no_room)
        luaL_error(L, "no room");
    return operand;
}

static int view_index(lua_State *L)
{
    struct view *view = alive(L, lua_touserdata(L, 1));
    struct operand operand = { .kind = OPERAND_NIL };
    int whole = 0;
    machine_charge(L, 1);
    if (lua_type(L, 2) == LUA_TSTRING) {
        operand = named_field(L, view);
    } else if (lua_type(L, 2) == LUA_TNUMBER && is_array(view)) {
        lua_Integer index = lua_tointegerx(L, 2, &whole);
        if (whole)
            operand = element_at(L, view, index);
    }
    view_push(L, &operand);
    return 1;
}

static int view_no_change(lua_State *L)
{
    if (machine_of(L)->expr->script)
        return luaL_error(L, "an event is not changed by assigning to it: take a copy(event), or use `map`");
    return luaL_error(L, "an event is not changed by assigning to it: that is what `map` is for");
}

size_t view_count(struct expr_machine *m, const struct view *view)
{
    if (view == NULL)
        return 0;
    must(m->event != NULL);
    if (view->of.kind == OPERAND_EVENT)
        return json_count(m->event->root) + m->event->field_count;
    return view->of.kind == OPERAND_JSON ? json_count(view->of.json) : m->event->header_count;
}

static int view_length(lua_State *L) /* of an object 0, as of any Lua table without numbers for keys */
{
    const struct view *view = alive(L, lua_touserdata(L, 1));
    lua_pushinteger(L, is_array(view) ? (lua_Integer)json_count(view->of.json) : 0);
    return 1;
}

static int view_equal(lua_State *L) /* the same place in the same document, as Lua's tables are equal */
{
    const struct view *a = view_at(L, 1), *b = view_at(L, 2);
    bool same = a != NULL && b != NULL && a->of.kind == b->of.kind &&
                (a->of.kind != OPERAND_JSON ||
                 (a->of.json.parser == b->of.json.parser && a->of.json.index == b->of.json.index));
    lua_pushboolean(L, same);
    return 1;
}

/* ---- walking --------------------------------------------------------------------------------------------------- */

struct walk { /* through any kind of view; starts as zeros */
    struct event_walk event;
    uint64_t cursor;
    lua_Integer index;
};

/* The next name (of an array none, but its index) and value; false: no more. */
static bool walk_next(lua_State *L, const struct view *view, struct walk *walk, struct bytes *ret_name,
                      struct operand *ret_operand)
{
    struct expr_machine *m = machine_of(L);
    struct json_value json;
    struct event_member member;
    machine_charge(L, 1);
    if (view->of.kind == OPERAND_EVENT) {
        if (!event_next(m->event, &walk->event, &member))
            return false;
        *ret_name = member.name;
        *ret_operand = member.origin == EVENT_SET ? operand_of_set(m, member.set) : operand_of_json(member.json);
    } else {
        if (!json_next(view->of.json, &walk->cursor, ret_name, &json))
            return false;
        walk->index++;
        *ret_operand = operand_of_json(json);
    }
    if (m->no_room)
        luaL_error(L, "no room");
    return true;
}

/* Pushes the next name or number and its value; false: no more. A null is no field. */
static bool walk_step(lua_State *L, const struct view *view, struct walk *walk)
{
    struct bytes name;
    struct operand operand = { .kind = OPERAND_NIL };
    while (operand.kind == OPERAND_NIL)
        if (!walk_next(L, view, walk, &name, &operand))
            return false;
    if (is_array(view))
        lua_pushinteger(L, walk->index);
    else
        lua_pushlstring(L, (const char *)name.at, name.size);
    view_push(L, &operand);
    return true;
}

static void must_be_walkable(lua_State *L, const struct view *view)
{
    if (view->of.kind == OPERAND_HEADERS || view->of.kind == OPERAND_ENV)
        luaL_error(L, "headers and env are asked by name: they are not walked");
}

/* Upvalues: a struct walk, and the view it belongs to. What the loop hands in is not looked at: a cursor in another
 * document would read who knows what. */
static int walk_on(lua_State *L)
{
    struct walk *walk = lua_touserdata(L, lua_upvalueindex(1));
    const struct view *view = alive(L, lua_touserdata(L, lua_upvalueindex(2)));
    if (walk_step(L, view, walk))
        return 2;
    *walk = (struct walk){ .index = 0 };
    lua_pushnil(L);
    return 1;
}

int view_pairs(lua_State *L)
{
    must_be_walkable(L, view_at(L, 1));
    struct walk *walk = lua_newuserdatauv(L, sizeof(*walk), 0);
    *walk = (struct walk){ .index = 0 };
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, walk_on, 2);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

int view_next(lua_State *L)
{
    const struct view *view = view_at(L, 1);
    struct walk walk = { .index = 0 };
    must_be_walkable(L, view);
    bool found = lua_isnil(L, 2);
    while (walk_step(L, view, &walk)) {
        if (found)
            return 2;
        found = lua_compare(L, -2, 2, LUA_OPEQ);
        lua_pop(L, 2);
    }
    if (!found)
        return luaL_error(L, "next: no such field");
    lua_pushnil(L);
    return 1;
}

void view_copy(lua_State *L, const struct view *view)
{
    struct walk walk = { .index = 0 };
    struct bytes name;
    struct operand operand;
    must_be_walkable(L, view);
    lua_newtable(L);
    while (walk_next(L, view, &walk, &name, &operand)) {
        if (operand.kind == OPERAND_NIL)
            lua_pushlightuserdata(L, NULL);
        else
            view_push(L, &operand);
        if (is_array(view)) {
            lua_rawseti(L, -2, walk.index);
            continue;
        }
        lua_pushlstring(L, (const char *)name.at, name.size);
        lua_rotate(L, -2, 1);
        lua_rawset(L, -3);
    }
}

void view_text(lua_State *L, const struct view *view)
{
    struct expr_machine *m = machine_of(L);
    struct value value;
    if (operand_value(m, &view->of, &value) != NEAP_OK || value.kind != VALUE_JSON)
        luaL_error(L, "this part of an event has no text");
    machine_charge(L, value.text.size / 8);
    lua_pushlstring(L, (const char *)value.text.at, value.text.size);
}

void view_setup(lua_State *L)
{
    static const luaL_Reg verbs[] = { { "__index", view_index },
                                      { "__newindex", view_no_change },
                                      { "__len", view_length },
                                      { "__eq", view_equal },
                                      { NULL, NULL } };
    struct expr_machine *m = machine_of(L);
    luaL_newlib(L, verbs);
    lua_pushstring(L, "table"); /* what Lua's messages call it */
    lua_setfield(L, -2, "__name");
    m->view_meta = luaL_ref(L, LUA_REGISTRYINDEX);
    for (int i = 0; i < 3; i++) {
        m->roots[i] = new_view(L);
        m->roots[i]->of = (struct operand){ .kind = root_kinds[i] };
        m->root_references[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    }
}
