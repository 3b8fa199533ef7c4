/* Expressions: what they give, what they say when they fail, and that they stay within their limits. */
#include "expr_fixture.h"

#include <stdlib.h>

#define SAMPLE                                                                                              \
    "{\"files\":3,\"added\":1.50,\"name\":\"abc\",\"a\":{\"b\":[1,2.50,{\"c\":\"x\"}]},\"n\":null,\"big\":" \
    "18446744073709551615,"                                                                                 \
    "\"tags\":[\"x\",null,\"z\"],\"zero\":0,\"yes\":true,\"empty\":\"\",\"nested\":{\"q\":1,\"p\":{\"r\":[]}}}"

static const struct expr_options defaults;

struct pair {
    const char *text, *wanted;
};

static void check_pairs(const struct pair *pairs, size_t count, const char *json, bool lua)
{
    struct fixture f;
    fixture_start(&f, &defaults, json);
    for (size_t i = 0; i < count; i++) {
        const char *shown = fixture_ask(&f, pairs[i].text, lua);
        if (strcmp(shown, pairs[i].wanted) != 0)
            fail_msg("%s (%s): %s, wanted %s", pairs[i].text, lua ? "Lua" : "tree", shown, pairs[i].wanted);
    }
    fixture_end(&f);
}
#define CHECK_PAIRS(pairs) \
    (check_pairs(pairs, COUNT_OF(pairs), SAMPLE, false), check_pairs(pairs, COUNT_OF(pairs), SAMPLE, true))

static void values_are_those_of_lua(void **state)
{
    static const struct pair pairs[] = {
        { "event.files", "3" },
        { "event.files > 0", "true" },
        { "event.added + event.files", "4.5" },
        { "event.added * 2", "3.0" },
        { "event.files - 5", "-2" },
        { "event.files == 3.0", "true" },
        { "event.name == \"abc\"", "true" },
        { "event.name < 'abd' and event.name >= 'abc'", "true" },
        { "event.name .. '-' .. event.files", "\"abc-3\"" },
        { "event['name']", "\"abc\"" },
        { "event.a.b[3][\"c\"]", "\"x\"" },
        { "event.a.b[4]", "null" },
        { "event.a.b[0]", "null" },
        { "event.a.b.c", "null" },
        { "event.a[1]", "null" },
        { "event[1]", "null" },
        { "event.missing", "null" },
        { "event.n", "null" },
        { "event.n == nil", "true" },
        { "not event.zero", "false" },
        { "event.yes and 'high' or 'normal'", "\"high\"" },
        { "event.missing or event.empty", "\"\"" },
        { "(event.files + 1) * 2 ~= 8", "false" },
        { "event.big > 9007199254740993", "true" },
        { "event.name:upper()", "\"ABC\"" },
        { "event.files + '4'", "7" },
        { "-event.files", "-3" },
        { "-3 + event.files", "0" },
        { "9223372036854775807 + 1", "-9223372036854775808" },
        { "#event.a.b", "3" },
        { "#event.a", "0" },
        { "key", "\"k1\"" },
        { "id", "null" },
        { "topic .. '/' .. partition .. '@' .. offset", "\"orders/3@77\"" },
        { "time - 123", "1700000000000" },
        { "attempt == 1", "true" },
        { "env.REGION", "\"eu\"" },
        { "env.MISSING or 'none'", "\"none\"" },
        { "type(event) .. type(event.a) .. type(event.n)", "\"tabletablenil\"" },
        { "{event.files, 1.0, 'x', {k = event.a.b}}", "[3,1.0,\"x\",{\"k\":[1,2.5,{\"c\":\"x\"}]}]" },
        { "{z = 1, a = {}, m = {{}}}", "{\"a\":{},\"m\":[{}],\"z\":1}" },
        { "{0/0, 1/0, -1/0, 1e300}", "[null,null,null,1e+300]" },
        { "0/0", "null" },
        { "3.0", "3.0" },
        { "'\\xff\\n'", "\"\xef\xbf\xbd\\n\"" },
        { "event.a == event.a, nil", "pipe.yaml:12:38: ')' expected near ','" },
        { "event.a == event.a and event.a.b ~= event.a", "true" },
        { "event -- all of it\n.files", "3" },
        { "select('#', table.unpack(event.a.b))", "3" },
        { "utf8.char(228) .. utf8.len('\xc3\xa4')", "\"\xc3\xa4"
                                                    "1\"" },
        { "string.format('%5.2f|%s|%d', event.added, event.name, 7)", "\" 1.50|abc|7\"" },
        { "tostring(event.a.b) .. tostring({}) .. tostring(nil)", "\"[1,2.5,{\\\"c\\\":\\\"x\\\"}]tablenil\"" },
        { "pcall(error, 'x') and 1 or 2", "2" },
        { "(select(2, pcall(error, 'x')))", "\"x\"" },
        { "math.floor(event.added) // 1 | 8", "9" },
        { "table.concat({1, 2, 3}, '+')", "\"1+2+3\"" },
        { "next({}) == nil", "true" },
    };
    CHECK_PAIRS(pairs);
}

static void what_came_leaves_to_the_letter(void **state)
{
    static const struct pair pairs[] = {
        { "event.a", "{\"b\":[1,2.50,{\"c\":\"x\"}]}" },
        { "event.big", "18446744073709551615" },
        { "event", SAMPLE },
    };
    check_pairs(pairs, COUNT_OF(pairs), SAMPLE, false);
    check_pairs(pairs, 1, SAMPLE, true); /* a number beyond int64_t is a float to Lua */
    check_pairs(&pairs[2], 1, SAMPLE, true);
}

static void walking_goes_in_written_order(void **state)
{
#define WALK(what, each)                                  \
    "(function() local t = {} for k, v in " what "(" each \
    ") do t[#t + 1] = tostring(k) .. '=' .. tostring(v) end return t end)()"
    static const struct pair pairs[] = {
        { WALK("pairs", "event.nested"), "[\"q=1\",\"p={\\\"r\\\":[]}\"]" },
        { WALK("pairs", "event.tags"), "[\"1=x\",\"3=z\"]" },
        { WALK("ipairs", "event.tags"), "[\"1=x\"]" },
        { WALK("pairs", "{c=1, a=2, 10, [true]=3, b=4, [2.5]=5, [false]=6}"),
          "[\"1=10\",\"2.5=5\",\"a=2\",\"b=4\",\"c=1\",\"false=6\",\"true=3\"]" },
        { "(function() local t = {} for k in pairs(event) do t[#t + 1] = k end return t end)()",
          "[\"files\",\"added\",\"name\",\"a\",\"big\",\"tags\",\"zero\",\"yes\",\"empty\",\"nested\"]" },
        { "{next(event.nested)}", "[\"q\",1]" },
        { "{next({b=1, a=2}, 'a')}", "[\"b\",1]" },
        { "next(event.nested, 'p')", "null" },
        { "(function() local f, s = pairs(event.nested) local a, b = f(event.tags), f(5) return {a, b} end)()",
          "[\"q\",\"p\"]" },
        { "(function() local t = {3,1,2} table.sort(t) return t end)()", "[1,2,3]" },
        { "(function() local t = {'b3','a1','b1','a2'} table.sort(t, function(x, y) return x:sub(1,1) < y:sub(1,1) "
          "end) return t end)()",
          "[\"a1\",\"a2\",\"b3\",\"b1\"]" },
    };
    CHECK_PAIRS(pairs);
}

static void failures_name_what_was_nil_and_where(void **state)
{
    static const struct {
        const char *text, *message;
        uint32_t line, column;
    } cases[] = {
        { "event.added + event.addd", "event.addd is nil: event.added + event.addd", 12, 34 },
        { "event.addd > 0", "event.addd is nil: event.addd > 0", 12, 20 },
        { "event.files > 1 and event.n * 2 > 1", "event.n is nil: event.files > 1 and event.n * 2 > 1", 12, 40 },
        { "event.x.y", "event.x is nil: event.x.y", 12, 20 },
        { "event.n.y.z", "event.n is nil: event.n.y.z", 12, 20 },
        { "event.a['b'][9].c", "event.a['b'][9] is nil: event.a['b'][9].c", 12, 20 },
        { "event.files.y", "event.files is a number and has no fields: event.files.y", 12, 20 },
        { "event.yes[1]", "event.yes is a boolean and has no fields: event.yes[1]", 12, 20 },
        { "event.name .. event.qq", "event.qq is nil: event.name .. event.qq", 12, 34 },
        { "event.qq:upper()", "event.qq is nil: event.qq:upper()", 12, 20 },
        { "1 + id", "id is nil: 1 + id", 12, 24 },
        { "#event.items", "event.items is nil: #event.items", 12, 21 },
        { "math.floor(event.yy)",
          "event.yy is nil (bad argument #1 to 'floor' (number expected, got nil)): math.floor(event.yy)", 12, 31 },
        { "(event.zz or 1) > math.floor(event.yy)",
          "one of event.zz, event.yy is nil (bad argument #1 to 'floor' (number expected, got nil)): "
          "(event.zz or 1) > math.floor(event.yy)",
          12, 21 },
        { "event.files > event.name", "attempt to compare string with number: event.files > event.name", 12, 20 },
        { "error('so')", "so: error('so')", 12, 20 },
        { "error({})", "it ended with an error that is no text: error({})", 12, 20 },
        { "assert(event.n, 'no n')", "no n: assert(event.n, 'no n')", 12, 20 },
        { "env", "env is asked by name: as a whole it cannot leave an expression: env", 12, 20 },
        { "function() end", "a function cannot leave an expression: function() end", 12, 20 },
        { "{1, [3] = 2, x = 1}", "a table's keys are 1 .. n, or all text: this one has others: {1, [3] = 2, x = 1}", 12,
          20 },
        { "'x' ..\nevent.qq", "event.qq is nil: 'x' ..\nevent.qq", 13, 20 },
    };
    struct fixture f;
    fixture_start(&f, &defaults, SAMPLE);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct expr *expr = fixture_expr(&f, cases[i].text);
        assert_non_null(expr);
        assert_int_equal(fixture_eval(&f, expr), NEAP_BADINPUT);
        assert_string_equal(f.shown, cases[i].message);
        assert_string_equal(f.failure.file, "pipe.yaml");
        assert_string_equal(f.failure.stage, "filter");
        assert_string_equal(f.failure.reason, "expression");
        assert_int_equal(f.failure.line, cases[i].line);
        assert_int_equal(f.failure.column, cases[i].column);
        expr_free(&expr);
    }
    fixture_end(&f);
}

static void texts_that_do_not_compile_say_where(void **state)
{
    static const struct pair pairs[] = {
        { "", "pipe.yaml:12:20: the expression is empty" },
        { "  -- nothing", "pipe.yaml:12:20: the expression is empty" },
        { "event.files >", "pipe.yaml:12:32: unexpected symbol near <eof>" },
        { "event.a != 3", "pipe.yaml:12:28: <eof> expected near '!'; Lua writes 'not equal' as ~=" },
        { "event.a && event.b", "pipe.yaml:12:29: unexpected symbol near '&'; Lua writes 'and'" },
        { "event.a || 1", "pipe.yaml:12:29: unexpected symbol near '|'; Lua writes 'or'" },
        { "event.a = 3", "pipe.yaml:12:28: <eof> expected near '='; Lua compares with ==" },
        { "!event.a", "pipe.yaml:12:20: unexpected symbol near '!'; Lua writes 'not'" },
        { "(1", "pipe.yaml:12:21: ')' expected (to close '(' at line 1) near <eof>" },
        { "1) + (2", "pipe.yaml:12:21: <eof> expected near ')'" },
        { "event.a), (event.b", "pipe.yaml:12:27: <eof> expected near ')'" },
        { "1; x = 2", "pipe.yaml:12:23: <eof> expected near 'x'" },
        { "return 1", "pipe.yaml:12:20: unexpected symbol near 'return'" },
        { "'abc", "pipe.yaml:12:20: unfinished string near ''abc'" },
        { "evnt.x > 1", "pipe.yaml:12:20: unknown name 'evnt'; did you mean 'event'?" },
        { "event.x > fiels", "pipe.yaml:12:30: unknown name 'fiels'; a field is written event.fiels" },
        { "event.x == null", "pipe.yaml:12:31: unknown name 'null'; did you mean 'nil'?" },
        { "event.x == True", "pipe.yaml:12:31: unknown name 'True'; did you mean 'true'?" },
        { "math.flor(event.x)", "pipe.yaml:12:25: unknown name 'math.flor'; did you mean 'math.floor'?" },
        { "(function() event = 1 end)()",
          "pipe.yaml:12:38: attempt to assign to const variable 'event'; Lua compares with ==" },
    };
    struct fixture f;
    fixture_start(&f, &defaults, SAMPLE);
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        assert_null(fixture_expr(&f, pairs[i].text));
        assert_int_equal(f.error.status, NEAP_BADINPUT);
        assert_string_equal(f.error.text, pairs[i].wanted);
    }
    char *long_text = malloc(EXPR_SIZE_MAX + 2);
    memset(long_text, ' ', EXPR_SIZE_MAX + 1);
    long_text[0] = '1';
    long_text[EXPR_SIZE_MAX + 1] = '\0';
    assert_null(fixture_expr(&f, long_text));
    long_text[EXPR_SIZE_MAX] = '\0';
    struct expr *expr = fixture_expr(&f, long_text);
    assert_non_null(expr);
    expr_free(&expr);
    free(long_text);
    fixture_end(&f);
}

/* A name is unknown exactly when the text reads it from outside itself. */
static void names_of_the_text_itself_are_known(void **state)
{
    static const char *const good[] = {
        "(function(evnt) return evnt end)(1)",
        "(function() local foo = 1; local function bar(x) return x + foo end return bar(2) end)()",
        "(function() for i, v in ipairs({1}) do goto done end ::done:: return 1 end)()",
        "({evnt = 1, foo = 2}).evnt",
        "'evnt foo'",
        "[[evnt foo]] --[[ evnt ]] -- foo",
        "event.evnt == nil and event . foo == nil and ('x'):len() == 1",
    };
    static const char *const bad[] = {
        "(function(x) return evnt end)(1)",
        "(function() local foo = foo end)()",
        "(function() foo = 1 end)()",
        "event.x..foo",
        "(function() return function() return function() return foo end end end)()",
        "{[foo] = 1}",
        "_ENV",
        "_ENV.math",
        "(function() local _ENV = {} return 1 end)()",
        "neap__aa",
    };
    struct fixture f;
    fixture_start(&f, &defaults, SAMPLE);
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct expr *expr = fixture_expr(&f, good[i]);
        if (expr == NULL && (strstr(f.error.text, "unknown") != NULL || strstr(f.error.text, "reach") != NULL))
            fail_msg("%s: %s", good[i], f.error.text);
        expr_free(&expr);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_null(fixture_expr(&f, bad[i]));
        if (strstr(f.error.text, "unknown name") == NULL && strstr(f.error.text, "not in reach") == NULL)
            fail_msg("%s: %s", bad[i], f.error.text);
    }
    fixture_end(&f);
}

static void nothing_outside_is_in_reach(void **state)
{
    static const char *const names[] = {
        "io",
        "os",
        "debug",
        "package",
        "require",
        "load",
        "loadstring",
        "dofile",
        "loadfile",
        "print",
        "warn",
        "collectgarbage",
        "coroutine",
        "setmetatable",
        "getmetatable",
        "rawget",
        "rawset",
        "rawequal",
        "rawlen",
        "xpcall",
        "_G",
        "_VERSION",
        "math.random",
        "math.randomseed",
        "string.dump",
        "string.nothing",
        "table.nothing",
    };
    struct fixture f;
    fixture_start(&f, &defaults, SAMPLE);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (fixture_expr(&f, names[i]) != NULL)
            fail_msg("%s is in reach", names[i]);
    /* by another way than its name */
    assert_string_equal(
        fixture_ask(&f, "(function() local m, s = math, string return {m.random, s.dump, m['randomseed']} end)()",
                    false),
        "{}");
    assert_string_equal(fixture_ask(&f, "('x').dump", false), "null");
    assert_string_equal(fixture_ask(&f, "{next(string), next(math)}", false), "{}");
    fixture_end(&f);
}

static void nothing_lasts_from_call_to_call(void **state)
{
    static const struct pair tries[] = {
        { "(function() string.x = 1 end)()", "'x' cannot be set" },
        { "(function() string.find = nil end)()", "'find' cannot be set" },
        { "(function() math.pi = 3 end)()", "'pi' cannot be set" },
        { "(function() local s = 'x' s.y = 1 end)()", "attempt to index a string value" },
        { "(function() event.x = 1 end)()", "an event is not changed" },
        { "(function() headers.x = 1 end)()", "an event is not changed" },
        { "(function() event.tags[1] = 1 end)()", "an event is not changed" },
        { "table.insert(event.tags, 'w')", "an event is not changed" },
        { "table.sort(event.tags)", "table expected" },
        { "table.insert(table, 1)", "cannot be set" },
        { "pairs(headers)", "asked by name" },
        { "string.format('%p', {})", "no addresses" },
        { "string.format('%-10p', {})", "no addresses" },
    };
    struct fixture f;
    fixture_start(&f, &defaults, SAMPLE);
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        struct expr *expr = fixture_expr(&f, tries[i].text);
        assert_non_null(expr);
        for (int turn = 0; turn < 2; turn++) { /* the second finds what the first found */
            assert_int_equal(fixture_eval(&f, expr), NEAP_BADINPUT);
            if (strstr(f.shown, tries[i].wanted) == NULL)
                fail_msg("%s: %s", tries[i].text, f.shown);
        }
        expr_free(&expr);
    }
    assert_string_equal(fixture_ask(&f, "('x'):find('x')", false), "1");
    assert_string_equal(fixture_ask(&f, "math.pi > 3.1", false), "true");
    fixture_end(&f);
}

static void a_call_ends_whatever_its_text(void **state)
{
    static const char *const texts[] = {
        "(function() while true do end end)()",
        "(function() local function f() return f() end return f() end)()",
        "(function() local t = {} while true do t[#t + 1] = {} end end)()",
        "(function() local s = 'x' while true do s = s .. s end end)()",
        "(function() while true do local s = ('x'):rep(100000) end end)()",
        "pcall(function() while true do end end)",
        "(function() while true do pcall(function() while true do end end) end end)()",
        "(function() while true do pcall(string.rep, 'x', 7000000) end end)()",
        "('a'):rep(30000):find('.-.-.-.-x')",
        "('a'):rep(30000):match('(.-)(.-)(.-)(.-)x')",
        "('a'):rep(3000):gsub('.-.-.-b', '')",
        "pcall(string.find, ('a'):rep(30000), '.-.-.-.-x')",
        "(function() for w in ('a'):rep(3000):gmatch('.-.-.-b') do end end)()",
        "('('):rep(60000):find('%b()%b()%b()')",
        "string.rep('', 1 << 60)",
        "string.rep('x', 1 << 40)",
        "table.move({}, 1, 1 << 60, 2)",
        "table.concat({}, '', 1, 1 << 60)",
        "(function() local t = {} for i = 1, 50000 do t[i] = 50000 - i end table.sort(t) end)()",
        "(function() local t = {} for i = 1, 3000 do t[i] = i end for i = 1, 3000 do next(t, i) end end)()",
        "(function() local n = 0 while true do n = n + #tostring(event.a) end end)()",
        "(function() local f = function(f) return pcall(f, f) end while true do f(f) end end)()",
    };
    struct fixture f;
    fixture_start(&f, &(struct expr_options){ .instruction_count_max = 200000, .memory_size_max = 2u << 20 }, SAMPLE);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct expr *expr = fixture_expr(&f, texts[i]);
        assert_non_null(expr);
        if (fixture_eval(&f, expr) != NEAP_BADINPUT || strncmp(f.shown, "stopped: it takes more than", 27) != 0)
            fail_msg("%s: %s", texts[i], f.shown);
        expr_free(&expr);
        assert_string_equal(fixture_ask(&f, "event.name:upper() .. math.floor(2.5)", false),
                            "\"ABC2\""); /* it lives on */
    }
    fixture_end(&f);
}

/* What is freed at once still was work: 16 times the memory may be asked for in one call, and the next call has it anew. */
static void a_call_copies_no_more_than_its_share(void **state)
{
    struct fixture f;
    fixture_start(&f, &(struct expr_options){ .memory_size_max = 1u << 20 }, SAMPLE);
    struct expr *expr =
        fixture_expr(&f, "(function() local s, n = ('x'):rep(100000), 0 while true do n = #(s .. n) end end)()");
    for (int turn = 0; turn < 3; turn++) {
        assert_int_equal(fixture_eval(&f, expr), NEAP_BADINPUT);
        assert_non_null(strstr(f.shown, "stopped: it takes more than 16777216 bytes of memory"));
    }
    expr_free(&expr);
    fixture_end(&f);
}

static void values_have_a_size_and_a_depth(void **state)
{
    static const struct pair tries[] = {
        { "(function() local t = {} t.t = t return t end)()", "a table deeper than 64 levels, or in itself" },
        { "(function() local t = 1 for i = 1, 70 do t = {t} end return t end)()", "a table deeper than 64 levels" },
        { "(function() local t = {} for i = 1, 50 do t = {t, t} end return t end)()", "its value is too large" },
        { "(function() local t = {} for i = 1, 300000 do t[i] = 'xxxx' end return t end)()", "" },
    };
    struct fixture f;
    fixture_start(&f, &(struct expr_options){ .instruction_count_max = 100000000, .memory_size_max = 64u << 20 },
                  SAMPLE);
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        struct expr *expr = fixture_expr(&f, tries[i].text);
        enum neap_status status = fixture_eval(&f, expr);
        assert_true(status == NEAP_BADINPUT || status == NEAP_TOOLARGE);
        if (strstr(f.shown, tries[i].wanted) == NULL)
            fail_msg("%s: %s", tries[i].text, f.shown);
        expr_free(&expr);
    }
    fixture_end(&f);

    char deep[2 * JSON_DEPTH_MAX + 16]; /* {"a":[[[…]]]}: as deep as may be read, and one deeper when wrapped */
    size_t levels = JSON_DEPTH_MAX - 1, at = (size_t)snprintf(deep, sizeof(deep), "{\"a\":");
    memset(deep + at, '[', levels);
    memset(deep + at + levels, ']', levels);
    memcpy(deep + at + 2 * levels, "}", 2);
    fixture_start(&f, &defaults, deep);
    assert_non_null(strstr(fixture_ask(&f, "{x = {event.a}}", false), "too deep"));
    assert_non_null(strstr(fixture_ask(&f, "event", false), "too deep"));
    fixture_end(&f);
}

static void text_outlives_the_document(void **state)
{
    struct fixture f;
    struct value value;
    fixture_start(&f, &defaults, SAMPLE);
    struct expr *expr = fixture_expr(&f, "event.name");
    assert_int_equal(expr_eval(expr, &f.event, f.arena, &value, NULL), NEAP_OK);
    fixture_event(&f, "{\"name\":\"another one, and longer\"}");
    assert_true(value.kind == VALUE_TEXT && bytes_equal(value.text, BYTES("abc")));
    expr_free(&expr);
    fixture_end(&f);
}

static void an_arena_without_room_is_told_apart(void **state)
{
    static const char *const texts[] = { "event.name", "event.name .. 'x'", "event.a.b", "{1, 2}", "event.a" };
    struct fixture f;
    fixture_start(&f, &defaults, SAMPLE);
    struct arena *tiny = arena_new(1, 1);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct value value;
        struct expr *expr = fixture_expr(&f, texts[i]);
        assert_int_equal(expr_eval(expr, &f.event, tiny, &value, &f.failure), NEAP_NOMEM);
        assert_int_equal(f.failure.status, NEAP_NOMEM);
        assert_int_equal(fixture_eval(&f, expr), NEAP_OK);
        expr_free(&expr);
    }
    arena_free(&tiny);
    fixture_end(&f);
}

/* ---- the event as it stands now ------------------------------------------------------------------------------------- */

static void set(struct fixture *f, const char *name, struct value value)
{
    assert_int_equal(event_field_set(&f->event, f->arena, bytes_of_text(name), &value), NEAP_OK);
}

static void changes_are_seen(void **state)
{
    struct fixture f;
    struct bytes kept[] = { BYTES("m"), BYTES("name"), BYTES("other"), BYTES("files") };
    fixture_start(&f, &defaults, SAMPLE);
    set(&f, "m", (struct value){ .kind = VALUE_JSON, .text = BYTES("{\"x\":[1,{\"y\":\"deep\"}]}") });
    set(&f, "name", (struct value){ .kind = VALUE_TEXT, .text = BYTES("new") });
    set(&f, "other", (struct value){ .kind = VALUE_JSON, .text = BYTES("[7]") });
    assert_int_equal(event_field_remove(&f.event, f.arena, BYTES("added")), NEAP_OK);
    for (int lua = 0; lua < 2; lua++) {
        assert_string_equal(fixture_ask(&f, "event.m.x[2].y", lua), "\"deep\"");
        assert_string_equal(fixture_ask(&f, "event.other[1] + event.m.x[1]", lua), "8");
        assert_string_equal(fixture_ask(&f, "event.name", lua), "\"new\"");
        assert_string_equal(fixture_ask(&f, "event.added == nil", lua), "true");
        assert_string_equal(fixture_ask(&f, "event.m", lua), "{\"x\":[1,{\"y\":\"deep\"}]}");
        assert_string_equal(fixture_ask(&f, "event.m == event.other", lua), "false");
        assert_string_equal(fixture_ask(&f, "event.m == event.m", lua), "true");
    }
    assert_int_equal(event_keep(&f.event, f.arena, kept, COUNT_OF(kept)), NEAP_OK);
    for (int lua = 0; lua < 2; lua++) {
        assert_string_equal(fixture_ask(&f, "event", lua),
                            "{\"files\":3,\"name\":\"new\",\"m\":{\"x\":[1,{\"y\":\"deep\"}]},\"other\":[7]}");
        assert_string_equal(fixture_ask(&f, "event.tags", lua), "null");
        assert_string_equal(
            fixture_ask(&f, "(function() local s = '' for k in pairs(event) do s = s .. k .. ' ' end return s end)()",
                        lua),
            "\"files name m other \"");
    }
    fixture_end(&f);
}

static void events_need_not_be_objects(void **state)
{
    static const struct {
        const char *json, *text, *wanted;
    } cases[] = {
        { "[5,6]", "event[2]", "6" },
        { "[5,6]", "#event", "2" },
        { "[5,6]", "event.x", "null" },
        { "\"text\"", "event:upper()", "\"TEXT\"" },
        { "7", "event + 1", "8" },
        { "null", "event", "null" },
        { "null", "event.x", "event is nil: event.x" },
        { "[5, 6.0]", "event", "[5,6.0]" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (int lua = 0; lua < 2; lua++) {
            struct fixture f;
            fixture_start(&f, &defaults, cases[i].json);
            assert_string_equal(fixture_ask(&f, cases[i].text, lua), cases[i].wanted);
            fixture_end(&f);
        }
}

static void headers_are_asked_in_lower_case(void **state)
{
    struct fixture f;
    uint8_t room[512];
    struct batch_builder builder;
    struct batch batch;
    struct record record, in = { .value = BYTES(SAMPLE) };
    const struct record_header headers[] = { { BYTES("X-Request-ID"), BYTES("r1") },
                                             { BYTES("twice"), BYTES("1") },
                                             { BYTES("none"), { NULL, 0 } },
                                             { BYTES("twice"), BYTES("2") } };
    fixture_start(&f, &defaults, SAMPLE);
    batch_begin(&builder, room, sizeof(room));
    assert_int_equal(batch_add(&builder, &in, headers, COUNT_OF(headers)), NEAP_OK);
    assert_int_equal(batch_open(batch_end(&builder), true, &batch), NEAP_OK);
    struct batch_walk walk;
    assert_int_equal(batch_unpack(&batch, NULL, &walk), NEAP_OK);
    assert_int_equal(batch_next(&walk, &record), NEAP_OK);
    f.event.headers = record.headers;
    f.event.header_count = record.header_count;
    for (int lua = 0; lua < 2; lua++) {
        assert_string_equal(fixture_ask(&f, "headers['x-request-id']", lua), "\"r1\"");
        assert_string_equal(fixture_ask(&f, "headers['X-Request-ID']", lua), "null");
        assert_string_equal(fixture_ask(&f, "headers.twice", lua), "\"2\"");
        assert_string_equal(fixture_ask(&f, "headers.none", lua), "null");
        assert_string_equal(fixture_ask(&f, "headers", lua),
                            "{\"X-Request-ID\":\"r1\",\"twice\":\"1\",\"none\":null,\"twice\":\"2\"}");
    }
    fixture_end(&f);
}

static void a_view_dies_with_its_call(void **state)
{
    struct fixture f;
    fixture_start(&f, &defaults, SAMPLE);
    lua_State *L = f.machine->lua;
    f.machine->event = &f.event; /* as in a call */
    f.machine->generation++;
    f.machine->budget = 1000;
    view_push_root(L, ROOT_EVENT);
    lua_getfield(L, -1, "a");
    assert_int_equal(lua_type(L, -1), LUA_TUSERDATA);
    lua_setfield(L, LUA_REGISTRYINDEX, "kept");
    f.machine->event = NULL;
    lua_settop(L, 0);
    for (int turn = 0; turn < 2; turn++) {
        lua_getfield(L, LUA_REGISTRYINDEX, "kept");
        lua_pushstring(L, "b");
        /* reading it outside a call, and inside a later one */
        f.machine->event = turn == 0 ? NULL : &f.event;
        f.machine->generation += (uint64_t)turn;
        lua_getmetatable(L, -2);
        lua_getfield(L, -1, "__index");
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 2);
        assert_int_equal(lua_pcall(L, 2, 1, 0), LUA_ERRRUN);
        assert_non_null(strstr(lua_tostring(L, -1), "lasts only as long as the call"));
        lua_settop(L, 0);
    }
    f.machine->event = NULL;
    fixture_end(&f);
}

static void hints_say_what_check_may_warn_about(void **state)
{
    static const struct {
        const char *text;
        bool path;
        uint32_t hint;
    } cases[] = {
        { "event.n", true, EXPR_HINT_BARE_PATH },
        { "event['a'].b[1]", true, EXPR_HINT_BARE_PATH },
        { " key ", true, EXPR_HINT_BARE_PATH },
        { "event.n > 0", false, 0 },
        { "event.name:upper()", false, 0 },
        { "'event.files > 0'", false, EXPR_HINT_CONSTANT },
        { "1 + math.pi", false, EXPR_HINT_CONSTANT },
        { "-event.n", false, 0 },
        { "not event.n", false, 0 },
    };
    struct fixture f;
    fixture_start(&f, &defaults, SAMPLE);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct expr *expr = fixture_expr(&f, cases[i].text);
        assert_non_null(expr);
        assert_int_equal(expr_is_path(expr), cases[i].path);
        assert_int_equal(expr_hint(expr), cases[i].hint);
        assert_string_equal(expr_text(expr), cases[i].text);
        expr_free(&expr);
    }
    fixture_end(&f);
}

static void a_path_never_enters_lua(void **state)
{
    static const char *const paths[] = { "event.name", "event.a.b[3].c", "event.missing.x", "key",
                                         "id",         "offset",         "topic",           "event.a",
                                         "env.REGION", "time",           "event.big" };
    struct fixture f;
    fixture_start(&f, &defaults, SAMPLE);
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct expr *expr = fixture_expr(&f, paths[i]);
        size_t memory = f.machine->memory_size;
        f.machine->fail_after = 0; /* Lua gets no memory, and no function to run */
        int function = expr->function;
        expr->function = LUA_REFNIL;
        fixture_eval(&f, expr);
        assert_true(f.machine->memory_size == memory && strstr(f.shown, "stopped") == NULL &&
                    strstr(f.shown, "call") == NULL);
        expr->function = function;
        f.machine->fail_after = UINT64_MAX;
        expr_free(&expr);
    }
    fixture_end(&f);
}

/* ---- the same everywhere --------------------------------------------------------------------------------------------- */

static void two_machines_agree(void **state)
{
    static const char *const texts[] = {
        "(function() local t = {} for i = 1, 300 do t['k' .. i * 7919 % 1000] = i end local s = {} for k, v in "
        "pairs(t) do s[#s + 1] = k .. v end return s end)()",
        "(function() local t = {} for i = 1, 500 do t[i] = i * 7919 % 101 end table.sort(t, function(a, b) return a < "
        "b end) return t end)()",
        "tostring({}) .. tostring(math.floor) .. tostring(event)",
        "string.format('%s %s', {}, function() end)",
        "select(2, pcall(error, {}))",
        "select(2, pcall(function() local x = {} .. 1 end))",
        "select(2, pcall(string.rep))",
    };
    struct fixture a, b;
    fixture_start(&a, &defaults, SAMPLE);
    fixture_start(&b, &(struct expr_options){ .memory_size_max = 1u << 20 }, SAMPLE);
    for (int i = 0; i < 50; i++) /* b has a past */
        fixture_ask(&b, "(function() local t = {} for i = 1, 50 do t[i] = {tostring(i)} end return #t end)()", false);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        char first[sizeof(a.shown)];
        snprintf(first, sizeof(first), "%s", fixture_ask(&a, texts[i], false));
        assert_null(strstr(first, "0x"));
        assert_string_equal(first, fixture_ask(&b, texts[i], false));
    }
    fixture_end(&a);
    fixture_end(&b);
}

/* ---- the small tree against Lua -------------------------------------------------------------------------------------- */

static void add_random(uint64_t *seed, char *text, size_t size, int depth)
{
    static const char *const leaves[] = {
        "event.i",
        "event.d",
        "event.s",
        "event.t",
        "event.n",
        "event.missing",
        "event.o",
        "event.u",
        "event.o.x",
        "event.l[2]",
        "event.missing.x",
        "event.i.x",
        "event.s.x",
        "event.big",
        "event.whole",
        "key",
        "id",
        "offset",
        "1",
        "0",
        "-1",
        "2.5",
        "9007199254740993",
        "9007199254740992.0",
        "'abc'",
        "'10'",
        "nil",
        "true",
        "false",
        "-0.0",
        "9223372036854775807",
        "event.neg",
        "1e308",
        "event.l",
        "0x10",
        "event.s2",
    };
    static const char *const signs[] = { "+", "-", "*", "==", "~=", "<", "<=", ">", ">=", "and", "or" };
    size_t at = strlen(text);
    if (depth == 0 || chance_below(seed, 4) == 0) {
        snprintf(text + at, size - at, "%s", leaves[chance_below(seed, COUNT_OF(leaves))]);
        return;
    }
    bool bracket = chance_below(seed, 3) == 0, negate = chance_below(seed, 8) == 0;
    snprintf(text + at, size - at, "%s%s", negate ? "not " : "", bracket ? "(" : "");
    add_random(seed, text, size, depth - 1);
    at = strlen(text);
    snprintf(text + at, size - at, " %s ", signs[chance_below(seed, COUNT_OF(signs))]);
    add_random(seed, text, size, depth - 1);
    at = strlen(text);
    snprintf(text + at, size - at, "%s", bracket ? ")" : "");
}

static void the_small_tree_answers_as_lua_does(void **state)
{
    struct fixture f;
    uint64_t seed = 2026;
    uint32_t by_tree = 0, failed = 0;
    fixture_start(
        &f, &defaults,
        "{\"i\":7,\"d\":2.5,\"s\":\"abc\",\"s2\":\"ab\\u0000c\",\"t\":true,\"n\":null,\"o\":{\"x\":3},\"l\":[1,2.0,3],"
        "\"u\":18446744073709551615,\"big\":9007199254740993,\"whole\":9007199254740992.0,\"neg\":-"
        "9223372036854775808}");
    for (int round = 0; round < 20000; round++) {
        char text[1024] = "", by_lua[sizeof(f.shown)];
        add_random(&seed, text, sizeof(text), (int)chance_below(&seed, 4));
        struct expr *expr = fixture_expr(&f, text);
        if (expr == NULL)
            fail_msg("%s", f.error.text);
        by_tree += expr->node_count > 0;
        expr->measure_lua = true;
        enum neap_status lua = fixture_eval(&f, expr);
        snprintf(by_lua, sizeof(by_lua), "%s", f.shown);
        expr->measure_lua = false;
        enum neap_status tree = fixture_eval(&f, expr);
        failed += lua != NEAP_OK;
        bool big = strstr(text, "event.u") != NULL; /* a path alone keeps it exact; as a float it says the same */
        if (lua != tree || (lua == NEAP_OK && !big && strcmp(by_lua, f.shown) != 0))
            fail_msg("%s: Lua %d %s, tree %d %s", text, lua, by_lua, tree, f.shown);
        expr_free(&expr);
    }
    assert_true(by_tree > 15000 && failed > 2000 && failed < 18000); /* it looked at something */
    fixture_end(&f);
}

/* ---- no memory -------------------------------------------------------------------------------------------------------- */

static void machines_are_made_whole_or_not_at_all(void **state)
{
    bool made = false;
    uint32_t refused = 0;
    for (size_t size = 64; !made; size += 64) {
        struct error error;
        struct expr_machine *machine = expr_machine_new(&(struct expr_options){ .memory_size_max = size }, &error);
        made = machine != NULL;
        if (!made) {
            assert_int_equal(error.status, NEAP_NOMEM);
            refused++;
        }
        expr_machine_free(&machine);
        assert_true(size < 1u << 20);
    }
    assert_true(refused > 50);
}

/* From the n-th allocation on, none succeeds: a clear answer each time, and afterwards the machine works. */
static void every_allocation_may_fail(void **state)
{
    static const char *const texts[] = {
        "event.name:upper() .. tostring(event.a)",
        "(function() local t = {} for k, v in pairs(event) do t[k] = v end return t end)()",
        "event.name:gsub('b', function(c) return {c, c}[1] .. c end)",
        "(function() local t = {'c', 'a', 'b'} table.sort(t) return table.concat(t) end)()",
        "{event.a, event.tags, {x = event.name}}",
        "math.flor(1)",
        "evnt.x + 1",
        "event.x !",
    };
    struct fixture f;
    fixture_start(&f, &defaults, SAMPLE);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        bool reached = true;
        for (uint64_t allowed = 0; reached; allowed++) {
            f.machine->fail_after = allowed;
            struct expr *expr = fixture_expr(&f, texts[i]);
            if (expr != NULL)
                fixture_eval(&f, expr);
            else
                assert_true(f.error.status == NEAP_NOMEM || f.error.status == NEAP_BADINPUT);
            reached = f.machine->fail_after == 0;
            f.machine->fail_after = UINT64_MAX;
            expr_free(&expr);
            assert_string_equal(fixture_ask(&f, "event.name:upper() .. #event.tags", false), "\"ABC3\"");
            assert_true(allowed < 5000);
        }
    }
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_lua),
        cmocka_unit_test(what_came_leaves_to_the_letter),
        cmocka_unit_test(walking_goes_in_written_order),
        cmocka_unit_test(failures_name_what_was_nil_and_where),
        cmocka_unit_test(texts_that_do_not_compile_say_where),
        cmocka_unit_test(names_of_the_text_itself_are_known),
        cmocka_unit_test(nothing_outside_is_in_reach),
        cmocka_unit_test(nothing_lasts_from_call_to_call),
        cmocka_unit_test(a_call_ends_whatever_its_text),
        cmocka_unit_test(a_call_copies_no_more_than_its_share),
        cmocka_unit_test(values_have_a_size_and_a_depth),
        cmocka_unit_test(text_outlives_the_document),
        cmocka_unit_test(an_arena_without_room_is_told_apart),
        cmocka_unit_test(changes_are_seen),
        cmocka_unit_test(events_need_not_be_objects),
        cmocka_unit_test(headers_are_asked_in_lower_case),
        cmocka_unit_test(a_view_dies_with_its_call),
        cmocka_unit_test(hints_say_what_check_may_warn_about),
        cmocka_unit_test(a_path_never_enters_lua),
        cmocka_unit_test(two_machines_agree),
        cmocka_unit_test(the_small_tree_answers_as_lua_does),
        cmocka_unit_test(machines_are_made_whole_or_not_at_all),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
