/* expr.c - making an expression, asking it, ending it. */
#include "flow/expr_internal.h"
#include <stdlib.h>

#define ARENA_BLOCK_SIZE 4096u
#define ARENA_SIZE_MAX   (1u << 20) /* tokens, paths and tree of a text of EXPR_SIZE_MAX fit */

static enum neap_status take_room(struct expr *expr, const char *text, struct error *err)
{
    struct bytes copy = { NULL, 0 };
    expr->arena = arena_new(ARENA_BLOCK_SIZE, ARENA_SIZE_MAX);
    if (expr->arena != NULL) {
        copy = arena_copy(expr->arena, bytes_of_text(text));
        expr->paths = arena_zero(expr->arena, PATH_COUNT_MAX * sizeof(*expr->paths));
        expr->nodes = arena_zero(expr->arena, NODE_COUNT_MAX * sizeof(*expr->nodes));
    }
    if (copy.at == NULL || expr->paths == NULL || expr->nodes == NULL)
        return error_set(err, NEAP_NOMEM, "no memory for an expression");
    expr->text = (const char *)copy.at;
    expr->size = (uint32_t)copy.size;
    return NEAP_OK;
}

enum neap_status expr_new_of(struct expr_machine *machine, const char *text, const struct expr_place *place,
                             bool script, struct expr **ret_expr, struct error *err)
{
    struct error own;
    CHECK_MAGIC(machine, MACHINE_MAGIC);
    err = err != NULL ? err : &own;
    err->status = NEAP_OK;
    if (strlen(text) > EXPR_SIZE_MAX)
        return error_set(err, NEAP_BADINPUT, "%s%s%u:%u: %s of more than %u bytes",
                         place->file != NULL ? place->file : "", place->file != NULL ? ":" : "", place->line,
                         place->column, script ? "a script" : "an expression", EXPR_SIZE_MAX);
    struct expr *expr = calloc(1, sizeof(*expr));
    if (expr == NULL)
        return error_set(err, NEAP_NOMEM, "no memory for an expression");
    *expr = (struct expr){
        .magic = EXPR_MAGIC, .machine = machine, .place = *place, .function = LUA_NOREF, .script = script
    };
    machine->expr_count++;
    enum neap_status status = take_room(expr, text, err);
    if (status == NEAP_OK) {
        expr_read_text(expr);
        if (!lua_load_expr(expr, err))
            status = err->status != NEAP_OK ? err->status : error_set(err, NEAP_NOMEM, "no memory for an expression");
    }
    if (status == NEAP_OK)
        *ret_expr = expr;
    else
        expr_free(&expr);
    return status;
}

enum neap_status expr_new(struct expr_machine *machine, const char *text, const struct expr_place *place,
                          struct expr **ret_expr, struct error *err)
{
    return expr_new_of(machine, text, place, false, ret_expr, err);
}

void expr_free(struct expr **expr_at)
{
    struct expr *expr = *expr_at;
    if (expr == NULL)
        return;
    CHECK_MAGIC(expr, EXPR_MAGIC);
    must(expr->machine->expr_count > 0);
    luaL_unref(expr->machine->lua, LUA_REGISTRYINDEX, expr->function);
    expr->machine->expr_count--;
    arena_free(&expr->arena);
    expr->magic = 0;
    free(expr);
    *expr_at = NULL;
}

const char *expr_text(const struct expr *expr)
{
    return expr->text;
}

bool expr_is_path(const struct expr *expr)
{
    return expr->node_count == 1 && expr->nodes[0].kind == NODE_PATH;
}

uint32_t expr_hint(const struct expr *expr)
{
    CHECK_MAGIC(expr, EXPR_MAGIC);
    return (expr_is_path(expr) ? EXPR_HINT_BARE_PATH : 0u) | (expr->roots == 0 ? EXPR_HINT_CONSTANT : 0u);
}

static enum neap_status ask_lua(struct expr_machine *m, struct failure *failure)
{
    int status = lua_run_expr(m);
    enum neap_status answer = fail_limit(m->expr, m->arena, failure);
    if (answer == NEAP_OK && status != LUA_OK) {
        const char *message = lua_type(m->lua, -1) == LUA_TSTRING ? lua_tostring(m->lua, -1) : NULL;
        answer = fail_lua(m->expr, message, m->arena, failure);
    }
    lua_settop(m->lua, 0);
    return answer;
}

static enum neap_status ask(struct expr_machine *m, struct failure *failure)
{
    struct expr *expr = m->expr;
    struct operand operand;
    struct trouble trouble;
    enum verdict verdict = VERDICT_LUA;
    if (expr->node_count > 0 && !expr->measure_lua)
        verdict = tree_answer(m, expr, &operand, &trouble);
    if (m->no_room)
        return fail_limit(expr, m->arena, failure);
    if (verdict == VERDICT_FAIL)
        return fail_trouble(expr, &trouble, m->arena, failure);
    if (verdict == VERDICT_LUA)
        return ask_lua(m, failure);
    enum neap_status status = operand_value(m, &operand, m->result);
    if (status == NEAP_BADINPUT)
        return fail_lua(expr, "env is asked by name: as a whole it cannot leave an expression", m->arena, failure);
    return status == NEAP_OK ? NEAP_OK : fail_limit(expr, m->arena, failure);
}

enum neap_status expr_ask(struct expr *expr, const struct event *e, struct arena *arena, struct value *result,
                          struct failure *failure)
{
    CHECK_MAGIC(expr, EXPR_MAGIC);
    struct expr_machine *m = expr->machine;
    must(m->event == NULL); /* one call at a time */
    m->generation++;
    m->expr = expr;
    m->event = e;
    m->arena = arena;
    m->result = result;
    m->stop = STOP_NONE;
    m->no_room = m->too_large = m->too_deep = m->side_ready = false;
    enum neap_status status = ask(m, failure);
    m->event = NULL;
    m->arena = NULL;
    m->result = NULL;
    return status;
}

enum neap_status expr_eval(struct expr *expr, const struct event *e, struct arena *arena, struct value *ret_value,
                           struct failure *failure)
{
    struct value result = { .kind = VALUE_NIL };
    must(!expr->script);
    enum neap_status status = expr_ask(expr, e, arena, &result, failure);
    if (status == NEAP_OK)
        *ret_value = result;
    return status;
}
