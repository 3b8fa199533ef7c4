/* expr_library.c - what an expression may call: Lua's pure parts, by name; nothing is in reach that is not listed here.
 *
 * Some of Lua's own functions are replaced, others are called through a turnstile:
 *   - those that loop in C, where the hook does not look, are charged for it beforehand (rule L2);
 *   - pcall lets limits through (rule L3);
 *   - pairs, next and table.sort go in one order: numbers, then texts by bytes, then false and true; sort is a merge sort,
 *     stable (rule L4);
 *   - tostring and string.format show no addresses (rule L4). */
#include "flow/expr_internal.h"
#include <lualib.h>

static const char *const base_names[] = { "assert", "error", "ipairs", "select", "tonumber", NULL };
static const char *const string_names[] = { "byte",    "char",  "find",   "format", "gmatch",   "gsub",
                                            "len",     "lower", "match",  "pack",   "packsize", "rep",
                                            "reverse", "sub",   "unpack", "upper",  NULL };
static const char *const table_names[] = { "concat", "insert", "move", "pack", "remove", "sort", "unpack", NULL };
static const char *const utf8_names[] = { "char", "charpattern", "codepoint", "codes", "len", "offset", NULL };
static const char *const math_names[] = { "abs",        "acos",      "asin", "atan", "ceil", "cos", "deg",
                                          "exp",        "floor",     "fmod", "huge", "log",  "max", "maxinteger",
                                          "mininteger", "min",       "modf", "pi",   "rad",  "sin", "sqrt",
                                          "tan",        "tointeger", "type", "ult",  NULL };

static const struct {
    const char *name;
    lua_CFunction open;
    const char *const *fields;
    bool charged; /* its functions loop over their first argument */
} libraries[] = {
    { "string", luaopen_string, string_names, true },
    { "table", luaopen_table, table_names, true },
    { "utf8", luaopen_utf8, utf8_names, true },
    { "math", luaopen_math, math_names, false },
};

const char *const library_names[] = { "assert", "error", "ipairs",   "math",     "next", "pairs", "pcall", "select",
                                      "string", "table", "tonumber", "tostring", "type", "utf8",  NULL };

const char *const *library_fields(const struct lexer *lexer, const struct token *token)
{
    for (size_t i = 0; i < COUNT_OF(libraries); i++)
        if (token_is(lexer, token, libraries[i].name))
            return libraries[i].fields;
    return NULL;
}

/* ---- turnstiles ------------------------------------------------------------------------------------------------ */

static uint64_t size_of(lua_State *L, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        return lua_rawlen(L, index) / 32;
    case LUA_TTABLE:
        return lua_rawlen(L, index) / 4;
    case LUA_TUSERDATA:
        return view_count(machine_of(L), view_at(L, index));
    default:
        return 0;
    }
}

static int go_on(lua_State *L) /* to Lua's own function */
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int charged(lua_State *L)
{
    machine_charge(L, 1 + size_of(L, 1));
    return go_on(L);
}

static int charged_rep(lua_State *L)
{
    lua_Integer count = luaL_checkinteger(L, 2);
    machine_charge(L, 1 + (count > 0 ? (uint64_t)count / 8 : 0));
    return go_on(L);
}

static int charged_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), to = luaL_checkinteger(L, 3);
    machine_charge(L, 1 + (to > from ? (uint64_t)to - (uint64_t)from : 0));
    return go_on(L);
}

static int charged_concat(lua_State *L)
{
    lua_Integer from = luaL_optinteger(L, 3, 1), to = luaL_optinteger(L, 4, 0);
    machine_charge(L, 1 + size_of(L, 1) + (to > from ? (uint64_t)to - (uint64_t)from : 0));
    return go_on(L);
}

static int plain_format(lua_State *L)
{
    size_t size;
    const char *format = luaL_checklstring(L, 1, &size);
    for (size_t i = 0; i + 1 < size; i++) {
        if (format[i] != '%')
            continue;
        i++;
        while (i < size &&
               (strchr("-+ #0.", format[i]) != NULL ? format[i] != '\0' : format[i] >= '0' && format[i] <= '9'))
            i++;
        if (i < size && format[i] == 'p')
            return luaL_error(L, "string.format shows no addresses: '%%p'");
    }
    uint64_t steps = 1 + size / 32;
    for (int i = 2; i <= lua_gettop(L); i++) {
        if (lua_type(L, i) > LUA_TSTRING) {
            library_tostring(L, i);
            lua_replace(L, i);
        }
        steps += size_of(L, i);
    }
    machine_charge(L, steps);
    return go_on(L);
}

/* ---- replaced -------------------------------------------------------------------------------------------------- */

void library_tostring(lua_State *L, int index)
{
    const struct view *view = view_at(L, index);
    if (view != NULL)
        view_text(L, view);
    else if (lua_type(L, index) <= LUA_TSTRING && lua_type(L, index) != LUA_TLIGHTUSERDATA)
        luaL_tolstring(L, index, NULL);
    else
        lua_pushstring(L, luaL_typename(L, index));
}

static int plain_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    library_tostring(L, 1);
    return 1;
}

static int plain_type(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushstring(L, view_at(L, 1) != NULL ? "table" : luaL_typename(L, 1));
    return 1;
}

static int guarded_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    struct expr_machine *m = machine_of(L);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    if (status == LUA_ERRMEM && m->stop == STOP_NONE)
        m->stop = STOP_MEMORY;
    if (status != LUA_OK && (m->stop != STOP_NONE || m->no_room))
        return lua_error(L); /* rule L3 */
    lua_pushboolean(L, status == LUA_OK);
    lua_insert(L, 1);
    return lua_gettop(L);
}

/* ---- one order ------------------------------------------------------------------------------------------------- */

static int rank(lua_State *L, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        return 0;
    case LUA_TSTRING:
        return 1;
    case LUA_TBOOLEAN:
        return 2;
    default:
        return luaL_error(
            L, "only numbers, texts and booleans have an order to walk them in; this table has a key that is a %s",
            luaL_typename(L, index));
    }
}

static bool key_less(lua_State *L, int a, int b)
{
    int rank_a = rank(L, a), rank_b = rank(L, b);
    if (rank_a != rank_b)
        return rank_a < rank_b;
    if (rank_a == 2)
        return !lua_toboolean(L, a) && lua_toboolean(L, b);
    return lua_compare(L, a, b, LUA_OPLT);
}

static bool value_less(lua_State *L, int a, int b) /* the comparing function, if any, lies at 2 */
{
    if (lua_isnoneornil(L, 2))
        return lua_compare(L, a, b, LUA_OPLT);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, a);
    lua_pushvalue(L, b);
    lua_call(L, 2, 1);
    bool less = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return less;
}

/* Merges [at, middle) and [middle, end) of the table at `from` into the one at `into`. */
static void merge(lua_State *L, int from, int into, lua_Integer at, lua_Integer middle, lua_Integer end,
                  bool (*less)(lua_State *L, int a, int b))
{
    lua_Integer left = at, right = middle;
    int top = lua_gettop(L);
    for (lua_Integer out = at; out < end; out++) {
        bool take_right = left == middle;
        if (left < middle && right < end) {
            lua_rawgeti(L, from, left);
            lua_rawgeti(L, from, right);
            take_right = less(L, top + 2, top + 1);
            lua_settop(L, top);
        }
        lua_rawgeti(L, from, take_right ? right++ : left++);
        lua_rawseti(L, into, out);
    }
}

/* A stable merge sort of items 1 .. count of the array at `table`. */
static void sort(lua_State *L, int table, lua_Integer count, bool (*less)(lua_State *L, int a, int b))
{
    luaL_checkstack(L, 8, NULL);
    lua_createtable(L, count < INT32_MAX ? (int)count : 0, 0);
    int from = table, into = lua_gettop(L);
    for (lua_Integer width = 1; width < count; width *= 2) {
        machine_charge(L, (uint64_t)count * 4);
        for (lua_Integer at = 1; at <= count; at += 2 * width) {
            lua_Integer middle = at + width < count + 1 ? at + width : count + 1;
            lua_Integer end = middle + width < count + 1 ? middle + width : count + 1;
            merge(L, from, into, at, middle, end, less);
        }
        int swap = from;
        from = into;
        into = swap;
    }
    for (lua_Integer i = 1; from != table && i <= count; i++) {
        lua_rawgeti(L, from, i);
        lua_rawseti(L, table, i);
    }
    lua_pop(L, 1);
}

static int stable_sort(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    sort(L, 1, (lua_Integer)lua_rawlen(L, 1), value_less);
    return 0;
}

void library_sorted_keys(lua_State *L, int table)
{
    lua_Integer count = 0;
    luaL_checkstack(L, 8, NULL);
    table = lua_absindex(L, table);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, table) != 0;) {
        machine_charge(L, 1);
        lua_pop(L, 1);
        rank(L, -1); /* raises for a key without an order, also where it is the only one */
        lua_pushvalue(L, -1);
        lua_rawseti(L, -3, ++count);
    }
    sort(L, lua_gettop(L), count, key_less);
}

static int pairs_step(lua_State *L) /* upvalues: the sorted keys, how many of them were seen */
{
    luaL_checktype(L, 1, LUA_TTABLE);
    for (;;) {
        machine_charge(L, 1);
        lua_Integer seen = lua_tointeger(L, lua_upvalueindex(2)) + 1;
        lua_pushinteger(L, seen);
        lua_replace(L, lua_upvalueindex(2));
        if (lua_rawgeti(L, lua_upvalueindex(1), seen) == LUA_TNIL)
            return 1;
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 1) != LUA_TNIL)
            return 2;
        lua_pop(L, 2); /* taken out while walking */
    }
}

static int ordered_pairs(lua_State *L)
{
    if (view_at(L, 1) != NULL)
        return view_pairs(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    library_sorted_keys(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, pairs_step, 2);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

static int ordered_next(lua_State *L)
{
    lua_settop(L, 2);
    if (view_at(L, 1) != NULL)
        return view_next(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    library_sorted_keys(L, 1);
    lua_Integer index = 1, count = (lua_Integer)lua_rawlen(L, 3);
    if (!lua_isnil(L, 2)) {
        for (; index <= count; index++) {
            lua_rawgeti(L, 3, index);
            bool found = lua_rawequal(L, -1, 2);
            lua_pop(L, 1);
            if (found)
                break;
        }
        if (index++ > count)
            return luaL_error(L, "next: no such key in the table");
    }
    if (lua_rawgeti(L, 3, index) == LUA_TNIL)
        return 1;
    lua_pushvalue(L, -1);
    lua_rawget(L, 1);
    return 2;
}

/* ---- sealing --------------------------------------------------------------------------------------------------- */

static int refuse_change(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    return luaL_error(L, "'%s' cannot be set: an expression keeps nothing", name);
}

/* Replaces the table at the top by an empty one that reads from it and takes no writing. */
static void seal(lua_State *L)
{
    lua_newtable(L);
    lua_newtable(L);
    lua_rotate(L, -3, -1); /* seal, metatable, the table */
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_change);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
}

/* Puts `function` into the table at the top, wrapped around what stands there under that name. */
static void wrap(lua_State *L, const char *name, lua_CFunction function)
{
    int kind = lua_getfield(L, -1, name);
    must(kind == LUA_TFUNCTION);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -2, name);
}

static void set_function(lua_State *L, const char *name, lua_CFunction function)
{
    lua_pushcfunction(L, function);
    lua_setfield(L, -2, name);
}

static bool listed(const char *const *names, const char *name)
{
    while (*names != NULL && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

/* Takes everything out of the library at the top that is not listed, and wraps the rest. */
static void trim(lua_State *L, const char *const *fields, bool charge)
{
    int library = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, library) != 0;) {
        const char *name = lua_tostring(L, -2);
        bool keep = name != NULL && listed(fields, name);
        if (!keep || (charge && lua_isfunction(L, -1))) {
            lua_pushvalue(L, -2);
            if (keep) {
                lua_pushvalue(L, -2);
                lua_pushcclosure(L, charged, 1);
            } else {
                lua_pushnil(L);
            }
            lua_rawset(L, library); /* of a key that is there: allowed while walking */
        }
        lua_pop(L, 1);
    }
}

static void special_functions(lua_State *L, const char *library, lua_CFunction *originals)
{
    if (strcmp(library, "string") == 0) {
        set_function(L, "find", pattern_find);
        set_function(L, "match", pattern_match);
        set_function(L, "gmatch", pattern_gmatch);
        set_function(L, "gsub", pattern_gsub);
        set_function(L, "rep", originals[0]);
        wrap(L, "rep", charged_rep);
        set_function(L, "format", originals[1]);
        wrap(L, "format", plain_format);
    } else if (strcmp(library, "table") == 0) {
        set_function(L, "move", originals[0]);
        wrap(L, "move", charged_move);
        set_function(L, "concat", originals[1]);
        wrap(L, "concat", charged_concat);
        set_function(L, "sort", stable_sort);
    }
}

static lua_CFunction function_of(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    lua_CFunction function = lua_tocfunction(L, -1);
    lua_pop(L, 1);
    return function;
}

static void add_library(lua_State *L, size_t index)
{
    const char *name = libraries[index].name;
    luaL_requiref(L, name, libraries[index].open, 0);
    bool string = strcmp(name, "string") == 0;
    lua_CFunction originals[] = { function_of(L, string ? "rep" : "move"),
                                  function_of(L, string ? "format" : "concat") };
    trim(L, libraries[index].fields, libraries[index].charged);
    special_functions(L, name, originals);
    seal(L);
    lua_setfield(L, -2, name);
}

void library_setup(lua_State *L)
{
    luaL_requiref(L, "_G", luaopen_base, 0);
    trim(L, base_names, false);
    wrap(L, "tonumber", charged);
    set_function(L, "next", ordered_next);
    set_function(L, "pairs", ordered_pairs);
    set_function(L, "pcall", guarded_pcall);
    set_function(L, "tostring", plain_tostring);
    set_function(L, "type", plain_type);
    for (size_t i = 0; i < COUNT_OF(libraries); i++)
        add_library(L, i);
    seal(L);
}
