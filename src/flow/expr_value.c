/* expr_value.c - what an expression gives: scalars as they are, text copied into the arena, the rest as JSON text.
 *
 * An array is a table with the keys 1 .. n and no other; an object one with text keys, written in the order of their bytes;
 * `{}` is an object. Anything else (a function, mixed keys, a table in itself) fails the expression. */
#include "flow/expr_internal.h"
#include "log/limits.h"
#include <stdlib.h>

#define SCRATCH_SIZE_FIRST 4096u

/* ---- a place to write -------------------------------------------------------------------------------------------- */

/* Makes the scratch larger; false: it holds all that a record may. */
static bool scratch_grow(struct expr_machine *m)
{
    size_t size = m->scratch_size == 0 ? SCRATCH_SIZE_FIRST : m->scratch_size * 2;
    if (m->scratch_size >= RECORD_SIZE_MAX) {
        m->too_large = true;
        return false;
    }
    uint8_t *scratch = realloc(m->scratch, size);
    if (scratch == NULL) {
        m->no_room = true;
        return false;
    }
    m->scratch = scratch;
    m->scratch_size = size;
    return true;
}

/* How deep arrays and objects lie in each other in a valid JSON text. */
static uint32_t json_text_depth(struct bytes json)
{
    uint32_t depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < json.size; i++) {
        uint8_t c = json.at[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    must(depth == 0 && !quoted);
    return deepest;
}

/* As a field of an event, and once more inside an array, it still has to be read. */
static enum neap_status take_json(struct expr_machine *m, struct bytes written, struct value *ret_value)
{
    if (written.size > RECORD_SIZE_MAX) {
        m->too_large = true;
        return NEAP_TOOLARGE;
    }
    if (json_text_depth(written) > JSON_DEPTH_MAX - 2) {
        m->too_deep = true;
        return NEAP_TOOLARGE;
    }
    struct bytes text = arena_copy(m->arena, written);
    if (text.at == NULL) {
        m->no_room = true;
        return NEAP_NOMEM;
    }
    *ret_value = (struct value){ .kind = VALUE_JSON, .text = text };
    return NEAP_OK;
}

static enum neap_status take_text(struct expr_machine *m, struct bytes text, struct value *ret_value)
{
    struct bytes copy = text.size > 0 ? arena_copy(m->arena, text) : BYTES("");
    if (copy.at == NULL) {
        m->no_room = true;
        return NEAP_NOMEM;
    }
    *ret_value = (struct value){ .kind = VALUE_TEXT, .text = copy };
    return NEAP_OK;
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static enum neap_status written_value(struct expr_machine *m, const struct operand *operand, struct value *ret_value)
{
    for (;;) {
        struct writer w = writer_of(m->scratch, m->scratch_size);
        if (operand->kind == OPERAND_HEADERS)
            event_write_headers(&w, m->event);
        else
            json_write_value(&w, operand->json);
        if (!w.full && m->scratch_size > 0)
            return take_json(m, writer_bytes(&w), ret_value);
        if (!scratch_grow(m))
            return m->no_room ? NEAP_NOMEM : NEAP_TOOLARGE;
    }
}

static enum neap_status event_value(struct expr_machine *m, struct value *ret_value)
{
    struct bytes json;
    enum neap_status status = event_json(m->event, m->arena, &json);
    m->no_room = m->no_room || status == NEAP_NOMEM;
    m->too_large = m->too_large || status == NEAP_TOOLARGE;
    return status == NEAP_OK ? take_json(m, json, ret_value) : status;
}

static enum neap_status json_value(struct expr_machine *m, const struct operand *operand, struct value *ret_value)
{
    struct bytes letters;
    if (event_letters(m->event, operand->json, &letters)) /* to the letter, where its letters can be found */
        return take_json(m, letters, ret_value);
    return written_value(m, operand, ret_value);
}

enum neap_status operand_value(struct expr_machine *m, const struct operand *operand, struct value *ret_value)
{
    switch (operand->kind) {
    case OPERAND_NIL:
        *ret_value = (struct value){ .kind = VALUE_NIL };
        return NEAP_OK;
    case OPERAND_BOOL:
        *ret_value = (struct value){ .kind = VALUE_BOOL, .b = operand->b };
        return NEAP_OK;
    case OPERAND_INT:
        *ret_value = (struct value){ .kind = VALUE_INT, .i = operand->i };
        return NEAP_OK;
    case OPERAND_DOUBLE:
        *ret_value = (struct value){ .kind = VALUE_DOUBLE, .d = operand->d };
        return NEAP_OK;
    case OPERAND_TEXT:
        return take_text(m, operand->text, ret_value);
    case OPERAND_JSON:
        return json_value(m, operand, ret_value);
    case OPERAND_EVENT:
        return event_value(m, ret_value);
    case OPERAND_HEADERS:
        return written_value(m, operand, ret_value);
    case OPERAND_ENV:
        break;
    }
    return NEAP_BADINPUT;
}

/* ---- Lua's tables ------------------------------------------------------------------------------------------------ */

static void write_lua(lua_State *L, int index, struct writer *w, uint32_t depth);

static void write_array(lua_State *L, int table, lua_Integer count, struct writer *w, uint32_t depth)
{
    for (lua_Integer i = 1; i <= count && !w->full; i++) {
        write_u8(w, i == 1 ? '[' : ',');
        lua_rawgeti(L, table, i);
        write_lua(L, lua_gettop(L), w, depth + 1);
        lua_pop(L, 1);
    }
    write_bytes(w, count == 0 ? BYTES("[]") : BYTES("]"));
}

static void write_object(lua_State *L, int table, struct writer *w, uint32_t depth)
{
    library_sorted_keys(L, table);
    int keys = lua_gettop(L);
    lua_Integer count = (lua_Integer)lua_rawlen(L, keys);
    for (lua_Integer i = 1; i <= count && !w->full; i++) {
        size_t size;
        write_u8(w, i == 1 ? '{' : ',');
        if (lua_rawgeti(L, keys, i) != LUA_TSTRING)
            luaL_error(L, "a table's keys are 1 .. n, or all text: this one has others");
        const char *name = lua_tolstring(L, -1, &size);
        json_write_text(w, (struct bytes){ (const uint8_t *)name, size });
        write_u8(w, ':');
        lua_rawget(L, table);
        write_lua(L, lua_gettop(L), w, depth + 1);
        lua_pop(L, 1);
    }
    write_bytes(w, count == 0 ? BYTES("{}") : BYTES("}"));
    lua_pop(L, 1);
}

static lua_Integer count_keys(lua_State *L, int table)
{
    lua_Integer count = 0;
    for (lua_pushnil(L); lua_next(L, table) != 0; count++)
        lua_pop(L, 1);
    machine_charge(L, (uint64_t)count);
    return count;
}

static void write_table(lua_State *L, int table, struct writer *w, uint32_t depth)
{
    if (depth >= VALUE_DEPTH_MAX)
        luaL_error(L, "a table deeper than %d levels, or in itself, cannot leave an expression", (int)VALUE_DEPTH_MAX);
    luaL_checkstack(L, 12, NULL);
    lua_Integer count = count_keys(L, table), sequence = 0;
    while (sequence < count && lua_rawgeti(L, table, sequence + 1) != LUA_TNIL) {
        lua_pop(L, 1);
        sequence++;
    }
    if (sequence == count && (count > 0 || script_is_array(L, table))) {
        write_array(L, table, count, w, depth);
        return;
    }
    if (count > 0)
        lua_pop(L, 1); /* the nil that ended the sequence */
    write_object(L, table, w, depth);
}

static void write_view(lua_State *L, const struct view *view, struct writer *w)
{
    struct expr_machine *m = machine_of(L);
    struct value value;
    if (view->of.kind == OPERAND_JSON) {
        json_write_value(w, view->of.json);
        return;
    }
    if (view->of.kind == OPERAND_HEADERS) {
        event_write_headers(w, m->event);
        return;
    }
    if (view->of.kind == OPERAND_ENV)
        luaL_error(L, "env is asked by name: as a whole it cannot leave an expression");
    if (event_value(m, &value) != NEAP_OK)
        luaL_error(L, "no room");
    write_bytes(w, value.text);
}

static void write_lua(lua_State *L, int index, struct writer *w, uint32_t depth)
{
    size_t size;
    const char *text;
    machine_charge(L, 1);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        write_bytes(w, BYTES("null"));
        break;
    case LUA_TBOOLEAN:
        write_bytes(w, lua_toboolean(L, index) ? BYTES("true") : BYTES("false"));
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            json_write_int(w, lua_tointeger(L, index));
        else
            json_write_double(w, lua_tonumber(L, index));
        break;
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &size);
        json_write_text(w, (struct bytes){ (const uint8_t *)text, size });
        break;
    case LUA_TTABLE:
        write_table(L, index, w, depth);
        break;
    case LUA_TUSERDATA:
        write_view(L, view_at(L, index), w);
        break;
    case LUA_TLIGHTUSERDATA: /* a script's `null` */
        write_bytes(w, BYTES("null"));
        break;
    default:
        luaL_error(L, "a %s cannot leave an expression", luaL_typename(L, index));
    }
}

static enum neap_status table_value(lua_State *L, int index, struct value *ret_value)
{
    struct expr_machine *m = machine_of(L);
    for (;;) {
        struct writer w = writer_of(m->scratch, m->scratch_size);
        if (m->scratch_size > 0)
            write_lua(L, index, &w, 0);
        if (m->scratch_size > 0 && !w.full)
            return take_json(m, writer_bytes(&w), ret_value);
        if (!scratch_grow(m))
            return m->no_room ? NEAP_NOMEM : NEAP_TOOLARGE;
    }
}

void lua_value(lua_State *L, int index, struct value *ret_value)
{
    struct expr_machine *m = machine_of(L);
    enum neap_status status = NEAP_OK;
    size_t size;
    const char *text;
    index = lua_absindex(L, index);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        *ret_value = (struct value){ .kind = VALUE_NIL };
        break;
    case LUA_TBOOLEAN:
        *ret_value = (struct value){ .kind = VALUE_BOOL, .b = lua_toboolean(L, index) };
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            *ret_value = (struct value){ .kind = VALUE_INT, .i = lua_tointeger(L, index) };
        else
            *ret_value = (struct value){ .kind = VALUE_DOUBLE, .d = lua_tonumber(L, index) };
        break;
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &size);
        status = take_text(m, (struct bytes){ (const uint8_t *)text, size }, ret_value);
        break;
    case LUA_TUSERDATA:
        status = operand_value(m, &view_at(L, index)->of, ret_value);
        break;
    case LUA_TTABLE:
        status = table_value(L, index, ret_value);
        break;
    default:
        luaL_error(L, "a %s cannot leave an expression", luaL_typename(L, index));
    }
    if (status == NEAP_BADINPUT)
        luaL_error(L, "env is asked by name: as a whole it cannot leave an expression");
    if (status != NEAP_OK)
        luaL_error(L, "no room"); /* the machine's flags say why */
}
