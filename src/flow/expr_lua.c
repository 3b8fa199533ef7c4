/* expr_lua.c - the Lua state of a machine: what memory it may have, how long it may run, how a text gets in.
 *
 * L1  No state passes from one call to the next: the table of globals and every library are sealed, the event's names are
 *     constants of the chunk, and neither getmetatable nor setmetatable nor a raw access is in reach.
 * L2  A call ends. Instructions are counted by a hook where the text holds a function (without one each instruction runs
 *     at most once); work done in C is charged to the same budget, or bounded by what the call may allocate in all.
 * L3  What ends a call by a limit cannot be caught in the expression.
 * L4  The same event gives the same value: no address is shown, no table is walked in hash order, no sort is by chance. */
#include "flow/expr_internal.h"
#include <lualib.h>
#include <stdlib.h>

#define CHURN_FACTOR   16u /* times memory_size_max: what one call may ask for in all */
#define CANDIDATES_MAX 50u /* names looked at together; a Lua function holds at most 200 locals and 255 registers */
#define ABSENT_NAME    "neap__"
#define CHUNK_NAME     "=expr"

struct expr_machine *machine_of(lua_State *L)
{
    return *(struct expr_machine **)lua_getextraspace(L);
}

/* ---- limits ---------------------------------------------------------------------------------------------------- */

static void *allocate(void *ctx, void *at, size_t old_size, size_t size)
{
    struct expr_machine *m = ctx;
    if (at == NULL)
        old_size = 0;
    if (size == 0) {
        m->memory_size -= old_size;
        free(at);
        return NULL;
    }
    if (size > old_size) {
        if (m->memory_size - old_size + size > m->memory_size_max || m->fail_after == 0)
            return NULL;
        if (m->churn_left < size) {
            m->stop = STOP_CHURN;
            return NULL;
        }
        m->churn_left -= size;
        m->fail_after--;
    }
    void *moved = realloc(at, size);
    if (moved == NULL && size > old_size)
        return NULL;
    if (moved == NULL)
        moved = at; /* Lua counts on shrinking, and frees it by its new size */
    m->memory_size = m->memory_size - old_size + size;
    return moved;
}

void machine_charge(lua_State *L, uint64_t steps)
{
    struct expr_machine *m = machine_of(L);
    m->budget -= steps > INT32_MAX ? INT32_MAX : (int64_t)steps;
    if (m->budget >= 0)
        return;
    m->stop = STOP_INSTRUCTIONS;
    luaL_error(L, "out of instructions");
}

static void count_hook(lua_State *L, lua_Debug *debug)
{
    (void)debug;
    machine_charge(L, HOOK_STEP);
}

/* ---- the machine ----------------------------------------------------------------------------------------------- */

static int setup(lua_State *L)
{
    view_setup(L);
    library_setup(L);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS); /* rule L1: every chunk's _ENV from here on */
    return 0;
}

struct expr_machine *expr_machine_new(const struct expr_options *options, struct error *err)
{
    struct expr_machine *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        error_set(err, NEAP_NOMEM, "no memory for an expression machine");
        return NULL;
    }
    m->magic = MACHINE_MAGIC;
    m->instruction_count_max = options->instruction_count_max != 0 ? options->instruction_count_max : 1000000u;
    m->memory_size_max = options->memory_size_max != 0 ? options->memory_size_max : 8u << 20;
    m->churn_size_max = m->memory_size_max * CHURN_FACTOR;
    m->churn_left = SIZE_MAX;
    m->fail_after = UINT64_MAX;
    m->environment = options->environment;
    m->ctx = options->ctx;
    m->budget = INT64_MAX;
    m->lua = lua_newstate(allocate, m);
    if (m->lua != NULL)
        *(struct expr_machine **)lua_getextraspace(m->lua) = m;
    if (m->lua != NULL && lua_checkstack(m->lua, 4)) {
        lua_pushcfunction(m->lua, setup);
        if (lua_pcall(m->lua, 0, 0, 0) == LUA_OK)
            return m;
    }
    error_set(err, NEAP_NOMEM, "an expression machine does not fit in %zu bytes", m->memory_size_max);
    expr_machine_free(&m);
    return NULL;
}

void expr_machine_free(struct expr_machine **machine)
{
    struct expr_machine *m = *machine;
    if (m == NULL)
        return;
    CHECK_MAGIC(m, MACHINE_MAGIC);
    must(m->expr_count == 0); /* expressions end before their machine */
    if (m->lua != NULL)
        lua_close(m->lua);
    must(m->memory_size == 0);
    json_parser_free(&m->side);
    free(m->scratch);
    m->magic = 0;
    free(m);
    *machine = NULL;
}

/* ---- loading --------------------------------------------------------------------------------------------------- */

struct loading {
    struct expr *expr;
    struct error *err;
};

/* `return TEXT`: a list of values; `return (TEXT)`: exactly one; `TEXT return process(event)`: a script. */
enum form { FORM_OPEN, FORM_CLOSED, FORM_SCRIPT };

/* The event's names are the chunk's arguments: constants, so that assigning to one is a compile error. */
static void add_arguments(luaL_Buffer *buffer, uint32_t roots, bool script)
{
    const char *before = "local ";
    for (uint32_t root = 0; root < ROOT_COUNT; root++) {
        if ((roots & (1u << root)) == 0)
            continue;
        luaL_addstring(buffer, before);
        luaL_addstring(buffer, root_names[root]);
        luaL_addstring(buffer, "<const>");
        before = ",";
    }
    for (const char *const *name = script_names; script && *name != NULL; name++) {
        luaL_addstring(buffer, ",");
        luaL_addstring(buffer, *name);
    }
    if (roots != 0)
        luaL_addstring(buffer, " = ... "); /* not ">=" */
}

/* Leaves the function or the error's text on the stack. `names`: further locals, or NULL. */
static int load_chunk(lua_State *L, const struct expr *expr, const char *names, enum form form, size_t size)
{
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    static const char *const begins[] = { "return ", "return (", "" };
    static const char *const ends[] = { "\n", "\n)", "\nreturn neap__out(process(event))\n" };
    add_arguments(&buffer, expr->roots, expr->script);
    if (names != NULL)
        luaL_addstring(&buffer, names);
    luaL_addstring(&buffer, begins[form]);
    luaL_addlstring(&buffer, expr->text, size);
    luaL_addstring(&buffer, size == expr->size ? ends[form] : "\n");
    luaL_pushresult(&buffer);
    size_t chunk_size;
    const char *chunk = lua_tolstring(L, -1, &chunk_size);
    int status = luaL_loadbufferx(L, chunk, chunk_size, CHUNK_NAME, "t");
    lua_remove(L, -2);
    if (status == LUA_ERRMEM)
        lua_error(L);
    return status;
}

static bool ends_near_eof(lua_State *L)
{
    const char *message = lua_tostring(L, -1);
    return message != NULL && strstr(message, "near <eof>") != NULL;
}

/* The end of the index-th token, or past the last: the text's. */
static uint32_t count_tokens(const struct expr *expr, uint32_t *ret_ends, uint32_t *ret_starts)
{
    struct lexer lexer = { expr->text, expr->size, 0 };
    struct token token;
    uint32_t count = 0;
    for (token_next(&lexer, &token); token.kind != TOKEN_END && token.size > 0; token_next(&lexer, &token)) {
        if (ret_ends != NULL) {
            ret_ends[count] = token.start + token.size;
            ret_starts[count] = token.start;
        }
        count++;
    }
    return count;
}

/* The first token that Lua cannot go on with. A run of tokens is bad when it fails for another reason than ending too
 * early, and every longer run is bad then too: a binary search finds the shortest. */
static uint32_t find_fault(lua_State *L, const struct expr *expr, enum form form)
{
    uint32_t count = count_tokens(expr, NULL, NULL);
    uint32_t *ends = arena_take(expr->arena, (count + 1) * sizeof(*ends));
    uint32_t *starts = arena_take(expr->arena, (count + 1) * sizeof(*starts));
    if (ends == NULL || starts == NULL || count == 0)
        return 0;
    count_tokens(expr, ends, starts);
    uint32_t good = 0, bad = count + 1; /* in tokens: a run of `good` is good, one of `bad` is bad */
    while (bad - good > 1) {
        uint32_t middle = good + (bad - good) / 2;
        int status = load_chunk(L, expr, NULL, form, ends[middle - 1]);
        bool goes_on = status == LUA_OK || ends_near_eof(L);
        lua_pop(L, 1);
        *(goes_on ? &good : &bad) = middle;
    }
    return bad <= count ? starts[bad - 1] : ends[count - 1] - 1;
}

/* What people write who come from other languages. */
static const char *hint_for(const struct expr *expr, uint32_t at)
{
    static const struct {
        const char *sign, *hint;
    } hints[] = {
        { "!=", "; Lua writes 'not equal' as ~=" },
        { "&&", "; Lua writes 'and'" },
        { "||", "; Lua writes 'or'" },
        { "!", "; Lua writes 'not'" },
        { "=", "; Lua compares with ==" },
        { "?", "; Lua writes 'A and B or C'" },
    };
    bool doubled = at > 0 && (expr->text[at] == '&' || expr->text[at] == '|') && expr->text[at - 1] == expr->text[at];
    const char *text = expr->text + at - (doubled ? 1 : 0);
    for (size_t i = 0; i < COUNT_OF(hints); i++)
        if (strncmp(text, hints[i].sign, strlen(hints[i].sign)) == 0)
            return hints[i].hint;
    return "";
}

static void report_fault(lua_State *L, struct loading *loading, enum form form)
{
    struct expr *expr = loading->expr;
    const char *message = lua_tostring(L, -1);
    if (message == NULL)
        message = "not an expression";
    if (strncmp(message, "expr:", 5) == 0 && strchr(message, ' ') != NULL)
        message = strchr(message, ' ') + 1; /* "expr:1: " is nobody's file */
    if (count_tokens(expr, NULL, NULL) == 0)
        message = "the expression is empty";
    uint32_t at = find_fault(L, expr, form);
    fail_compile(expr, at, loading->err, "%s%s", message, hint_for(expr, at));
}

/* ---- names that are none --------------------------------------------------------------------------------------- */

struct dumping {
    bool begun;
    luaL_Buffer buffer;
};

static int add_dumped(lua_State *L, const void *part, size_t size, void *ctx)
{
    struct dumping *dumping = ctx;
    if (!dumping->begun) /* not earlier: the function has to be at the top when lua_dump() begins */
        luaL_buffinit(L, &dumping->buffer);
    dumping->begun = true;
    luaL_addlstring(&dumping->buffer, part, size);
    return 0;
}

/* Pushes what the text compiles to when `names` are locals in front of it. */
static void push_code(lua_State *L, const struct expr *expr, const char *names)
{
    struct dumping dumping = { .begun = false };
    if (load_chunk(L, expr, names, expr->script ? FORM_SCRIPT : FORM_CLOSED, expr->size) != LUA_OK)
        lua_error(L);
    lua_dump(L, add_dumped, &dumping, 1);
    must(dumping.begun);
    luaL_pushresult(&dumping.buffer);
    lua_remove(L, -2);
}

static void add_absent_name(luaL_Buffer *buffer, uint32_t index)
{
    luaL_addstring(buffer, ABSENT_NAME);
    luaL_addchar(buffer, (char)('a' + index / 26));
    luaL_addchar(buffer, (char)('a' + index % 26));
}

/* Does the text read any of these as a global? Exactly known, by asking the compiler: as locals in front of the text they
 * change its code if, and only if, the text reads one of them from outside itself. The other code has as many locals of
 * names that do not occur. */
static bool reads_global(lua_State *L, const struct expr *expr, const struct token *names, uint32_t count)
{
    int top = lua_gettop(L);
    for (int real = 0; real < 2; real++) {
        luaL_Buffer buffer;
        luaL_buffinit(L, &buffer);
        for (uint32_t i = 0; i < count; i++) {
            luaL_addstring(&buffer, i == 0 ? "local " : ",");
            if (real)
                luaL_addlstring(&buffer, expr->text + names[i].start, names[i].size);
            else
                add_absent_name(&buffer, i);
        }
        luaL_addchar(&buffer, ' ');
        luaL_pushresult(&buffer);
        push_code(L, expr, lua_tostring(L, -1));
    }
    bool differs = !lua_rawequal(L, -1, -3);
    lua_settop(L, top);
    return differs;
}

static bool is_word_of(const char *const *words, const struct lexer *lexer, const struct token *token)
{
    while (*words != NULL && !token_is(lexer, token, *words))
        words++;
    return *words != NULL;
}

static bool is_candidate(const struct lexer *lexer, const struct token *token)
{
    static const char *const keywords[] = { "and",      "break",  "do",   "else", "elseif", "end",   "false", "for",
                                            "function", "goto",   "if",   "in",   "local",  "nil",   "not",   "or",
                                            "repeat",   "return", "then", "true", "until",  "while", NULL };
    return token->kind == TOKEN_NAME && !token_is_field(lexer, token->start) && root_of(lexer, token) == ROOT_COUNT &&
           !is_word_of(library_names, lexer, token) && !is_word_of(keywords, lexer, token);
}

/* A script sets it, by `function process(event)` or by an assignment. */
static bool has_process(const struct expr *expr)
{
    struct lexer lexer = { expr->text, expr->size, 0 };
    struct token before = { .kind = TOKEN_END }, token;
    for (token_next(&lexer, &token); token.kind != TOKEN_END && token.kind != TOKEN_BAD; token_next(&lexer, &token)) {
        struct lexer ahead = lexer;
        struct token next;
        token_next(&ahead, &next);
        if (token_is(&lexer, &token, "process") && !token_is_field(&lexer, token.start) &&
            (token_is(&lexer, &before, "function") || token_is(&ahead, &next, "=")))
            return true;
        before = token;
    }
    return false;
}

/* `count = 0` in a script, or `function helper()`. */
static bool is_set(const struct expr *expr, const struct token *name)
{
    struct lexer lexer = { expr->text, expr->size, 0 };
    struct token before = { .kind = TOKEN_END }, token;
    for (token_next(&lexer, &token); token.start < name->start; token_next(&lexer, &token))
        before = token;
    token_next(&lexer, &token);
    return token_is(&lexer, &token, "=") || token_is(&lexer, &before, "function");
}

static void report_unknown(struct loading *loading, const struct token *token, const char *library)
{
    struct expr *expr = loading->expr;
    if (expr->script && library == NULL && is_set(expr, token)) {
        fail_compile(expr, token->start, loading->err,
                     "'%.*s' is no local, and a script keeps nothing in globals: write 'local' before it",
                     (int)token->size, expr->text + token->start);
        return;
    }
    struct bytes name = { (const uint8_t *)expr->text + token->start, token->size };
    const char *said = fail_unknown(name, library, loading->expr->arena);
    fail_compile(expr, token->start, loading->err, "%s", said);
}

/* True: one of them is unknown, and reported. */
static bool check_candidates(lua_State *L, struct loading *loading, const struct token *names, uint32_t count)
{
    if (count == 0 || !reads_global(L, loading->expr, names, count))
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (reads_global(L, loading->expr, &names[i], 1)) {
            report_unknown(loading, &names[i], NULL);
            return true;
        }
    return false; /* `_ENV` and the like are caught before */
}

static bool check_names(lua_State *L, struct loading *loading)
{
    const struct expr *expr = loading->expr;
    struct token names[CANDIDATES_MAX], token;
    struct lexer lexer = { expr->text, expr->size, 0 };
    uint32_t count = 0;
    for (token_next(&lexer, &token); token.kind != TOKEN_END && token.kind != TOKEN_BAD; token_next(&lexer, &token)) {
        if (!is_candidate(&lexer, &token) || (expr->script && is_word_of(script_names, &lexer, &token)))
            continue;
        if (token_is(&lexer, &token, "_ENV") ||
            strncmp(expr->text + token.start, ABSENT_NAME, sizeof(ABSENT_NAME) - 1) == 0) {
            report_unknown(loading, &token, NULL);
            return false;
        }
        bool seen = false;
        for (uint32_t i = 0; i < count && !seen; i++)
            seen = names[i].size == token.size &&
                   memcmp(expr->text + names[i].start, expr->text + token.start, token.size) == 0;
        if (seen)
            continue;
        names[count++] = token;
        if (count == CANDIDATES_MAX) {
            if (check_candidates(L, loading, names, count))
                return false;
            count = 0;
        }
    }
    return !check_candidates(L, loading, names, count);
}

/* Nowhere in the text is a local of that name made, nor anything else done with the library but asking it for a field. */
static bool only_indexed(const struct expr *expr, const struct token *name)
{
    struct lexer lexer = { expr->text, expr->size, 0 };
    struct token token, next;
    for (token_next(&lexer, &token); token.kind != TOKEN_END && token.kind != TOKEN_BAD; token_next(&lexer, &token)) {
        bool same = token.size == name->size && !token_is_field(&lexer, token.start) &&
                    memcmp(expr->text + token.start, expr->text + name->start, name->size) == 0;
        struct lexer ahead = lexer;
        token_next(&ahead, &next);
        if (same && !token_is(&ahead, &next, "."))
            return false;
    }
    return true;
}

/* `math.flor`: known at load, where no local of the text can hide the library. */
static bool check_fields(struct loading *loading)
{
    const struct expr *expr = loading->expr;
    struct lexer lexer = { expr->text, expr->size, 0 };
    struct token token, dot, field;
    if (expr->loops && !expr->script)
        return true;
    for (token_next(&lexer, &token); token.kind != TOKEN_END && token.kind != TOKEN_BAD; token_next(&lexer, &token)) {
        const char *const *fields = token_is_field(&lexer, token.start) ? NULL : library_fields(&lexer, &token);
        struct lexer ahead = lexer;
        token_next(&ahead, &dot);
        token_next(&ahead, &field);
        if (fields == NULL || !token_is(&ahead, &dot, ".") || field.kind != TOKEN_NAME ||
            is_word_of(fields, &ahead, &field) || (expr->script && !only_indexed(expr, &token)))
            continue;
        char library[16];
        must(token.size < sizeof(library));
        memcpy(library, expr->text + token.start, token.size);
        library[token.size] = '\0';
        report_unknown(loading, &field, library);
        return false;
    }
    return true;
}

static int load(lua_State *L)
{
    struct loading *loading = lua_touserdata(L, 1);
    struct expr *expr = loading->expr;
    enum form first = expr->script ? FORM_SCRIPT : FORM_OPEN, last = expr->script ? FORM_SCRIPT : FORM_CLOSED;
    for (enum form form = first; form <= last; form++) {
        if (load_chunk(L, expr, NULL, form, expr->size) != LUA_OK) {
            report_fault(L, loading, form);
            return 0;
        }
    }
    if (expr->script && count_tokens(expr, NULL, NULL) == 0) {
        fail_compile(expr, 0, loading->err, "the script is empty");
        return 0;
    }
    if (expr->script && !has_process(expr)) {
        fail_compile(expr, 0, loading->err, "a script needs a function of this name: function process(event) ... end");
        return 0;
    }
    if (check_names(L, loading) && check_fields(loading))
        expr->function = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

bool lua_load_expr(struct expr *expr, struct error *err)
{
    lua_State *L = expr->machine->lua;
    struct loading loading = { expr, err };
    must(expr->function == LUA_NOREF);
    expr->machine->budget = INT64_MAX;
    expr->machine->churn_left = SIZE_MAX;
    lua_settop(L, 0);
    lua_pushcfunction(L, load);
    lua_pushlightuserdata(L, &loading);
    int status = lua_pcall(L, 1, 0, 0);
    if (status == LUA_ERRMEM)
        error_set(err, NEAP_NOMEM, "no memory to compile an expression");
    else if (status != LUA_OK)
        fail_compile(expr, 0, err, "%s", lua_tostring(L, -1) != NULL ? lua_tostring(L, -1) : "it does not compile");
    lua_settop(L, 0);
    return expr->function != LUA_NOREF;
}

/* ---- running --------------------------------------------------------------------------------------------------- */

static int run(lua_State *L)
{
    struct expr_machine *m = machine_of(L);
    int count = 0;
    luaL_checkstack(L, ROOT_COUNT + 8, NULL);
    lua_rawgeti(L, LUA_REGISTRYINDEX, m->expr->function);
    for (uint32_t root = 0; root < ROOT_COUNT; root++)
        if ((m->expr->roots & (1u << root)) != 0) {
            view_push_root(L, (enum root)root);
            count++;
        }
    if (m->expr->script) {
        script_push_names(L);
        lua_call(L, count + script_name_count(), LUA_MULTRET);
        script_take(L);
        return 0;
    }
    lua_call(L, count, 1);
    lua_value(L, -1, m->result);
    return 0;
}

static int run_once(struct expr_machine *m)
{
    lua_State *L = m->lua;
    uint32_t step = m->instruction_count_max < HOOK_STEP ? m->instruction_count_max : HOOK_STEP;
    m->stop = STOP_NONE;
    m->budget = m->instruction_count_max;
    m->churn_left = m->churn_size_max;
    m->trace_line = 0;
    m->trace[0] = '\0';
    lua_settop(L, 0);
    lua_pushcfunction(L, script_trace);
    lua_pushcfunction(L, run);
    if (m->expr->loops)
        lua_sethook(L, count_hook, LUA_MASKCOUNT, (int)step);
    int status = lua_pcall(L, 0, 0, m->expr->script ? 1 : 0);
    if (m->expr->loops)
        lua_sethook(L, NULL, 0, 0);
    if (status == LUA_ERRMEM && m->stop == STOP_NONE)
        m->stop = STOP_MEMORY;
    return status;
}

int lua_run_expr(struct expr_machine *m)
{
    int status = run_once(m);
    if (status == LUA_OK || m->stop != STOP_MEMORY)
        return status;
    lua_settop(m->lua, 0); /* rule L4: what earlier calls left behind shall not decide */
    lua_gc(m->lua, LUA_GCCOLLECT);
    return run_once(m);
}
