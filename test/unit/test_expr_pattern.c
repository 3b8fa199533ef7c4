/* Our string.find, match, gmatch and gsub against Lua's own: the same answers, the same refusals, from random patterns. */
#include "expr_fixture.h"

#include <lualib.h>

/* Calls both with the same arguments; every result, or that it fails, goes into one text. */
static const char script[] =
    "local subject, pattern, replacement, start = ...\n"
    "local function show(...)\n"
    "  local t = {}\n"
    "  for i = 1, select('#', ...) do t[i] = tostring((select(i, ...))) end\n"
    "  return table.concat(t, ',') .. ';'\n"
    "end\n"
    "local function try(f, ...)\n"
    "  return show(pcall(f, ...)):gsub('^false.*', 'fails;')\n"
    "end\n"
    "local function all(s, p, i)\n"
    "  local t, n = {}, 0\n"
    "  for a, b in string.gmatch(s, p, i) do n = n + 1 t[n] = show(a, b) end\n"
    "  return table.concat(t)\n"
    "end\n"
    "return (try(string.find, subject, pattern, start)) .. (try(string.find, subject, pattern, start, true)) ..\n"
    "  (try(string.match, subject, pattern, start)) .. (try(string.gsub, subject, pattern, replacement)) ..\n"
    "  (try(string.gsub, subject, pattern, replacement, start)) .. (try(all, subject, pattern, start)) ..\n"
    "  (try(string.gsub, subject, pattern, function(a, b) if b then return '<' .. a .. '>' end end)) ..\n"
    "  (try(string.gsub, subject, pattern, {a = 1, ab = 'two', [''] = '-'}))";

static void push_script(lua_State *L)
{
    assert_int_equal(luaL_loadbufferx(L, script, sizeof(script) - 1, "=script", "t"), LUA_OK);
}

static struct bytes run(lua_State *L, const char *const *arguments, const size_t *sizes, lua_Integer start)
{
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    for (int i = 0; i < 3; i++)
        lua_pushlstring(L, arguments[i], sizes[i]);
    lua_pushinteger(L, start);
    if (lua_pcall(L, 4, 1, 0) != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
    size_t size;
    const char *text = lua_tolstring(L, -1, &size);
    return (struct bytes){ (const uint8_t *)text, size };
}

static size_t add_piece(uint64_t *seed, char *text, size_t at, const char *const *pieces, size_t count)
{
    const char *piece = pieces[chance_below(seed, count)];
    strcpy(text + at, piece);
    return at + strlen(piece);
}

static void set_up(struct fixture *f, lua_State **ret_own, lua_State **ret_theirs)
{
    fixture_start(f, &(struct expr_options){ .instruction_count_max = 0 }, "{}");
    *ret_own = f->machine->lua;
    f->machine->event = &f->event;
    f->machine->budget = INT64_MAX;
    push_script(*ret_own);
    *ret_theirs = luaL_newstate();
    luaL_openlibs(*ret_theirs);
    push_script(*ret_theirs);
}

static void tear_down(struct fixture *f, lua_State *theirs)
{
    lua_settop(f->machine->lua, 0);
    f->machine->event = NULL;
    lua_close(theirs);
    fixture_end(f);
}

static void compare(lua_State *own, lua_State *theirs, const char *const *arguments, const size_t *sizes,
                    lua_Integer start)
{
    struct bytes shown = run(own, arguments, sizes, start), wanted = run(theirs, arguments, sizes, start);
    if (!bytes_equal(shown, wanted))
        fail_msg("'%s' with '%s', '%s' from %d:\n%.*s\n%.*s", arguments[0], arguments[1], arguments[2], (int)start,
                 (int)shown.size, shown.at, (int)wanted.size, wanted.at);
}

static void random_patterns_answer_as_luas(void **state)
{
    static const char *const parts[] = { "a",     "b",      ".",    "%a",     "%d",   "%s", "[ab]",  "[^a]",  "[a-c]",
                                         "[%d-]", "%w",     "*",    "+",      "-",    "?",  "(",     ")",     "()",
                                         "%1",    "%2",     "%b()", "%f[%a]", "^",    "$",  "%%",    "%.",    "[]]",
                                         "[^]]",  "x",      "%f",   "[",      "%",    "%S", "[a",    "%bab",  "[%a_]",
                                         "[a%]]", "%f[^a]", "(a",   ".-",     "(.-)", "%g", "[--a]", "[^%s]*" };
    static const char *const letters[] = { "a", "b", "ab", "(", ")", " ",    "1",  "x",
                                           "]", "-", "_",  ".", "%", "\xe4", "ba", "((a)" };
    static const char *const replacements[] = { "%0", "%1", "%2", "<%1>", "", "%%", "%", "x%0y", "%a", "%9" };
    struct fixture f;
    lua_State *own, *theirs;
    uint64_t seed = 7;
    set_up(&f, &own, &theirs);
    for (int round = 0; round < 30000; round++) {
        char subject[128] = "", pattern[128] = "";
        size_t subject_size = 0, pattern_size = 0;
        for (uint64_t i = chance_below(&seed, 10); i > 0; i--)
            subject_size = add_piece(&seed, subject, subject_size, letters, COUNT_OF(letters));
        for (uint64_t i = chance_below(&seed, 7); i > 0; i--)
            pattern_size = add_piece(&seed, pattern, pattern_size, parts, COUNT_OF(parts));
        const char *replacement = replacements[chance_below(&seed, COUNT_OF(replacements))];
        const char *arguments[] = { subject, pattern, replacement };
        size_t sizes[] = { subject_size, pattern_size, strlen(replacement) };
        compare(own, theirs, arguments, sizes, (lua_Integer)chance_below(&seed, 16) - 6);
    }
    tear_down(&f, theirs);
}

static void chosen_patterns_answer_as_luas(void **state)
{
    static const char *const cases[][2] = {
        { "  trim me  ", "^%s*(.-)%s*$" },
        { "key = value", "^(%w+)%s*=%s*(%w+)$" },
        { "THE (quick) fox", "%((%a+)%)" },
        { "f(a(b)c)d", "%b()" },
        { "THE (quick) fox", "%f[%a]%a+" },
        { "\"it's\" 'x'", "([\"'])(.-)%1" },
        { "2026-11-20T10:00:00", "(%d+)-(%d+)-(%d+)T" },
        { "hello", "()ll()" },
        { "", "" },
        { "", "a*" },
        { "abc", "" },
        { "aaa", "a-" },
        { "x", "(((((((((((((((((((((((((((((((((x)))))))))))))))))))))))))))))))))" },
        { "a.b-c", "[.-]" },
        { "a]b", "[]]" },
        { "a^b", "[%^x]" },
        { "a^b", "a^" },
        { "aXb", "%u" },
        { "%d", "%%d" },
        { "\xff\xfe", "[\x80-\xff]+" },
    };
    struct fixture f;
    lua_State *own, *theirs;
    set_up(&f, &own, &theirs);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *arguments[] = { cases[i][0], cases[i][1], "[%0]" };
        size_t sizes[] = { strlen(cases[i][0]), strlen(cases[i][1]), 4 };
        for (lua_Integer start = -3; start < 5; start++)
            compare(own, theirs, arguments, sizes, start);
    }
    const char *arguments[] = { "a\0b\0", "%z*[\0b]+", "\0" }; /* NUL bytes are bytes */
    compare(own, theirs, arguments, (const size_t[]){ 4, 7, 1 }, 1);
    compare(own, theirs, arguments, (const size_t[]){ 4, 0, 1 }, 2);
    tear_down(&f, theirs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_patterns_answer_as_luas),
        cmocka_unit_test(random_patterns_answer_as_luas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
