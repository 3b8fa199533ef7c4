/* A script makes none, one or several of an event, keeps what it does not touch, keeps nothing for the next one, and ends within
 * its limits, with the line and the calls that failed. */
#include "expr_fixture.h"

#include "flow/chain.h"
#include "stage/stages.h"

static const struct expr_options defaults;
#define EVENT                                                                                                       \
    "{\"id\":7,\"n\":null,\"a\":[],\"o\":{},\"big\":18446744073709551615,\"f\":1.0,\"t\":\"x\",\"deep\":{\"l\":[1," \
    "null,{}]}}"

struct asked {
    struct fixture f;
    char shown[4096];
};

static struct script *script_of(struct asked *a, const char *text)
{
    static const struct expr_place place = { "pipe.yaml", 10, 7, "lua" };
    struct script *script = NULL;
    enum neap_status status = script_new(a->f.machine, text, &place, &script, &a->f.error);
    assert_true((status == NEAP_OK) == (script != NULL));
    return script;
}

/* "TEXT | TEXT": what comes out; or "LINE:COLUMN: message". */
static const char *ask(struct asked *a, const char *text)
{
    struct script *script = script_of(a, text);
    struct bytes *outputs;
    uint32_t count;
    if (script == NULL)
        return a->f.error.text;
    enum neap_status status = script_run(script, &a->f.event, a->f.arena, &outputs, &count, &a->f.failure);
    size_t size = 0;
    a->shown[0] = '\0';
    for (uint32_t i = 0; status == NEAP_OK && i < count; i++)
        size += (size_t)snprintf(a->shown + size, sizeof a->shown - size, "%s%.*s", i > 0 ? " | " : "",
                                 (int)outputs[i].size, (const char *)outputs[i].at);
    if (status != NEAP_OK) {
        assert_string_equal(a->f.failure.reason, status == NEAP_TOOLARGE ? "too_large" : "lua");
        snprintf(a->shown, sizeof a->shown, "%u:%u: %.*s", a->f.failure.line, a->f.failure.column,
                 (int)a->f.failure.message.size, (const char *)a->f.failure.message.at);
    }
    script_free(&script);
    return a->shown;
}

static const struct {
    const char *script, *says;
} rows[] = {
    { "function process(event) end", "" },
    { "function process(event) return nil end", "" },
    { "function process(event) return event end", EVENT },
    { "function process(event) return {id = event.id + 1} end", "{\"id\":8}" },
    { "function process(event) return {a = 1}, {a = 2}, {a = 3} end", "{\"a\":1} | {\"a\":2} | {\"a\":3}" },
    { "function process(event) return nil, {a = 2}, nil end", "{\"a\":2}" },
    { "function process(e)\n  local all = {}\n  for i = 1, 3 do all[i] = {i = i} end\n  return table.unpack(all)\nend",
      "{\"i\":1} | {\"i\":2} | {\"i\":3}" },
    { "function process(event) local c = copy(event); c.id = 8; c.t = nil; return c end",
      "{\"a\":[],\"big\":18446744073709551616.0,\"deep\":{\"l\":[1,null,{}]},\"f\":1.0,\"id\":8,\"n\":null,\"o\":{}}" },
    { "function process(event) return {a = event.a, o = event.o, d = event.deep} end",
      "{\"a\":[],\"d\":{\"l\":[1,null,{}]},\"o\":{}}" },
    { "function process(event) return {a = array{}, b = array(), c = {}, d = array{1, 2}, n = null} end",
      "{\"a\":[],\"b\":[],\"c\":{},\"d\":[1,2],\"n\":null}" },
    { "function process(event) local l = copy(event.deep.l); l[2] = 5; return {l = l, e = copy(event.a)} end",
      "{\"e\":[],\"l\":[1,5,{}]}" },
    { "function process(event) return {i = 3, f = 3.0, h = 1 / 2, d = 7 // 2, s = '3'} end",
      "{\"d\":3,\"f\":3.0,\"h\":0.5,\"i\":3,\"s\":\"3\"}" },
    { "function process(event) return {k = key, t = topic, o = offset, m = time, r = env.REGION} end",
      "{\"k\":\"k1\",\"m\":1700000000123,\"o\":77,\"r\":\"eu\",\"t\":\"orders\"}" },
    { "local rate = 3\nlocal function price(e) return e.id * rate end\nfunction process(e) return {p = price(e)} end",
      "{\"p\":21}" },
    { "process = function(e) return {n = e.n == nil} end", "{\"n\":true}" },
    { "local seen = 0\nfunction process(e) seen = seen + 1 return {seen = seen} end", "{\"seen\":1}" },
    { "function process(event) return array{1} end", "[1]" },

    /* at load */
    { "", "pipe.yaml:10:7: the script is empty" },
    { "local x = 1", "pipe.yaml:10:7: a script needs a function of this name: function process(event) ... end" },
    { "function process(event)\n  return os.time()\nend",
      "pipe.yaml:11:16: 'os' is not in reach: an expression has no clock, chance or I/O, and keeps nothing" },
    { "function process(event)\n  local x = = 1\nend",
      "pipe.yaml:11:19: unexpected symbol near '='; Lua compares with ==" },
    { "function process(event)\n  if event.id then\nend",
      "pipe.yaml:12:9: 'end' expected (to close 'function' at line 1) near <eof>" },
    { "function process(event)\n  evnt = 1\nend",
      "pipe.yaml:11:9: 'evnt' is no local, and a script keeps nothing in globals: write 'local' before it" },
    { "function process(event)\n  return evnt\nend", "pipe.yaml:11:16: unknown name 'evnt'; did you mean 'event'?" },
    { "function process(event)\n  return {n = math.random()}\nend",
      "pipe.yaml:11:26: 'math.random' is not in reach: an expression has no clock, chance or I/O, and keeps nothing" },
    { "function process(event)\n  local math = {flor = 1}\n  return {n = math.flor}\nend", "{\"n\":1}" },
    { "function process(event) return {} end\nreturn 5", "pipe.yaml:11:14: <eof> expected near 'return'" },

    /* at an event */
    { "function process(event)\n  local x = event.gone.y\n  return event\nend",
      "11:9: attempt to index a nil value (field 'gone'): local x = event.gone.y, in process (line 11)" },
    { "local function price(e)\n  return e.gone * 2\nend\nfunction process(event)\n  return {p = price(event)}, 1\nend",
      "11:9: attempt to perform arithmetic on a nil value (field 'gone'): return e.gone * 2, in price (line 11), "
      "process (line 14)" },
    { "function process(event)\n  error('no such customer')\nend",
      "11:9: no such customer: error('no such customer'), in process (line 11)" },
    { "function process(event)\n  error({})\nend",
      "11:9: it ended with an error that is no text: error({}), in process (line 11)" },
    { "function process(event)\n  event.id = 2\nend", "11:9: an event is not changed by assigning to it: take a "
                                                      "copy(event), or use `map`: event.id = 2, in process (line 11)" },
    { "function process(event) return 5 end",
      "10:7: process() returned a number: an event is a table, and none is nil" },
    { "function process(event) return event, 'x' end",
      "10:7: process() returned a string: an event is a table, and none is nil" },
    { "function process(event)\n  while true do end\nend",
      "11:9: stopped: it takes more than 1000000 instructions: while true do end" },
    { "function process(event)\n  local t = {}\n  for i = 1, 1e9 do t[i] = 'x' .. i end\nend", NULL },
    { "function process(event)\n  local t = {}\n  for i = 1, 1001 do t[i] = {} end\n  return table.unpack(t)\nend",
      "10:7: process() returned 1001 events; at most 1000" },
    { "function process(event) local t = {} t.t = t return t end", NULL },
    { "function process(event) return pcall(error) end",
      "10:7: process() returned a boolean: an event is a table, and none is nil" },
    { "function process(event) return env end", NULL },
    { "function process(event) return {f = process} end", NULL },
    { "function process(event) process = nil return {} end", "{}" },
};

static void what_comes_out(void **state)
{
    struct asked a;
    int wrong = 0;
    fixture_start(&a.f, &defaults, EVENT);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int again = 0; again < 2; again++) { /* nothing lasts */
            const char *said = ask(&a, rows[i].script);
            if (rows[i].says != NULL && strcmp(said, rows[i].says) != 0)
                wrong += printf("%s\nsays   %s\nwanted %s\n\n", rows[i].script, said, rows[i].says) > 0;
            arena_reset(a.f.arena);
        }
    assert_int_equal(wrong, 0);
    fixture_end(&a.f);
}

static void limits_hold_in_memory_too(void **state)
{
    struct asked a;
    fixture_start(&a.f, &(struct expr_options){ .memory_size_max = 1 << 20 }, EVENT);
    for (int i = 0; i < 20; i++) {
        const char *said = ask(&a, "function process(event)\n  local t = {}\n  for i = 1, 1e9 do t[i] = {i} end\nend");
        assert_non_null(strstr(said, "10:7: stopped: it takes more than "));
        assert_non_null(strstr(said, "bytes of memory"));
        said = ask(&a, "function process(event) return event end");
        assert_string_equal(said, EVENT);
        arena_reset(a.f.arena);
    }
    fixture_end(&a.f);
}

/* Any allocation of a call fails: the call fails, and the next one does not. */
static void a_call_without_memory_leaves_nothing(void **state)
{
    struct asked a;
    struct bytes *outputs;
    uint32_t count;
    fixture_start(&a.f, &defaults, EVENT);
    struct script *script =
        script_of(&a, "function process(event) local c = copy(event) c.l = array{1, {}} return c, event end");
    bool failed = true;
    for (uint64_t n = 0; failed; n++) {
        a.f.machine->fail_after = n;
        failed = script_run(script, &a.f.event, a.f.arena, &outputs, &count, &a.f.failure) != NEAP_OK;
        a.f.machine->fail_after = UINT64_MAX;
        assert_int_equal(script_run(script, &a.f.event, a.f.arena, &outputs, &count, &a.f.failure), NEAP_OK);
        assert_int_equal(count, 2);
        arena_reset(a.f.arena);
    }
    script_free(&script);
    fixture_end(&a.f);
}

/* ---- in a chain -------------------------------------------------------------------------------------------------------------- */

struct run {
    struct asked a;
    struct chain *chain;
    char said[4096];
    size_t size;
    uint32_t refuse_at, calls;
};

static bool given(void *ctx, uint32_t index, struct event *event, enum stage_outcome outcome,
                  const struct failure *failure)
{
    static const char *const words[] = { "pass", "drop", "fail", "split", "more" };
    struct run *r = ctx;
    struct bytes json = { NULL, 0 };
    if (r->calls++ == r->refuse_at)
        return false;
    if (outcome == STAGE_PASS || outcome == STAGE_MORE)
        assert_int_equal(event_json(event, r->a.f.arena, &json), NEAP_OK);
    if (outcome == STAGE_FAIL)
        json = failure->message;
    r->size += (size_t)snprintf(r->said + r->size, sizeof r->said - r->size, "%u %s %.*s\n", index, words[outcome],
                                (int)json.size, (const char *)json.at);
    return true;
}

/* filter | lua | map, filter: what becomes of {"n":N}. */
static void begin(struct run *r, const char *script)
{
    *r = (struct run){ .refuse_at = UINT32_MAX };
    fixture_start(&r->a.f, &defaults, "{}");
    struct stage_map_field field = { "m", fixture_expr(&r->a.f, "event.n * 10") };
    struct chain_step steps[] = { { .stage = stage_lua_new("lua", script_of(&r->a, script)) },
                                  { .stage = stage_map_new("map", &field, 1) },
                                  { .stage = stage_filter_new("filter", fixture_expr(&r->a.f, "event.m ~= 20")) } };
    r->chain = chain_new(steps, COUNT_OF(steps), r->a.f.parser);
    assert_non_null(r->chain);
}

static const char *go(struct run *r, const char *json, uint32_t count)
{
    struct event events[2] = { { .json = bytes_of_text(json) }, { .json = BYTES("{\"n\":9}") } };
    r->size = r->calls = 0;
    r->said[0] = '\0';
    arena_reset(r->a.f.arena);
    uint32_t taken = chain_run(r->chain, events, count, r->a.f.arena, given, r);
    assert_true(bytes_equal(events[0].json, bytes_of_text(json))); /* it may have to run again */
    r->size += (size_t)snprintf(r->said + r->size, sizeof r->said - r->size, "%u taken", taken);
    return r->said;
}

static void end(struct run *r)
{
    chain_free(&r->chain);
    fixture_end(&r->a.f);
}

static const char spread[] = "function process(event)\n"
                             "  local all = {}\n"
                             "  for i = 1, event.n do all[i] = {n = i} end\n"
                             "  return table.unpack(all)\n"
                             "end";

static void one_becomes_several_and_counts_once(void **state)
{
    struct run r;
    begin(&r, spread);
    assert_string_equal(go(&r, "{\"n\":3}", 1),
                        "0 more {\"n\":1,\"m\":10}\n0 more {\"n\":3,\"m\":30}\n0 split \n1 taken");
    assert_string_equal(go(&r, "{\"n\":1}", 1), "0 pass {\"n\":1,\"m\":10}\n1 taken");
    assert_string_equal(go(&r, "{\"n\":0}", 1), "0 drop \n1 taken");
    const struct chain_figures *f = chain_figures(r.chain, 0);
    assert_true(f->passed == 2 && f->dropped == 1);
    r.refuse_at = 1; /* no room for the second of three: none of them is taken */
    assert_string_equal(go(&r, "{\"n\":3}", 2), "0 more {\"n\":1,\"m\":10}\n0 taken");
    r.refuse_at = 2; /* nor where there is no room for the last word */
    assert_string_equal(go(&r, "{\"n\":3}", 2), "0 more {\"n\":1,\"m\":10}\n0 more {\"n\":3,\"m\":30}\n0 taken");
    assert_true(f->passed == 2 && f->dropped == 1);
    end(&r);
}

static void several_fail_as_one(void **state)
{
    struct run r;
    begin(&r, "function process(event) return {n = 1}, {n = 'x'}, {n = 3} end");
    const char *said = go(&r, "{\"n\":3}", 1);
    assert_non_null(strstr(said, "0 more {\"n\":1,\"m\":10}\n0 fail "));
    assert_null(strstr(said, "30"));
    end(&r);
    begin(&r, "function process(event) return {n = 2}, {n = 2} end"); /* none passes */
    assert_string_equal(go(&r, "{\"n\":3}", 1), "0 drop \n1 taken");
    end(&r);
    begin(&r, spread);
    chain_keep_single(r.chain);
    assert_non_null(
        strstr(go(&r, "{\"n\":3}", 1), "0 fail it became 3 events, and a stage behind it takes one at a time"));
    assert_string_equal(go(&r, "{\"n\":1}", 1), "0 pass {\"n\":1,\"m\":10}\n1 taken");
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_out),
        cmocka_unit_test(limits_hold_in_memory_too),
        cmocka_unit_test(a_call_without_memory_leaves_nothing),
        cmocka_unit_test(one_becomes_several_and_counts_once),
        cmocka_unit_test(several_fail_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
