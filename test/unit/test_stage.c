/* Filter, map, keep and remove, in chains: what goes through, what is left out, what fails and what goes on. */
#include "expr_fixture.h"

#include "flow/chain.h"
#include "stage/stages.h"

#define COMMIT          "{\"id\":\"6de5\",\"author\":\"ann\",\"files\":3,\"added\":10,\"removed\":4,\"ratio\":1.10}"

#define EVENT_COUNT_MAX 16

struct run {
    struct fixture f;
    struct chain_step steps[8];
    uint32_t count;
    struct chain *chain;
    struct event events[EVENT_COUNT_MAX];
    uint32_t refuse_from; /* `done` has no room from this index on */
    uint32_t given;
    enum stage_outcome outcomes[EVENT_COUNT_MAX];
    char json[EVENT_COUNT_MAX][512]; /* or the failure's message */
    char reasons[EVENT_COUNT_MAX][32], stages[EVENT_COUNT_MAX][32];
};

static const struct expr_options defaults;

static void start(struct run *r)
{
    memset(r, 0, sizeof(*r));
    fixture_start(&r->f, &defaults, "{}");
    r->refuse_from = EVENT_COUNT_MAX;
}

static struct chain_step *add(struct run *r, struct stage *stage)
{
    assert_non_null(stage);
    r->steps[r->count].stage = stage;
    return &r->steps[r->count++];
}

static struct chain_step *add_filter(struct run *r, const char *text)
{
    return add(r, stage_filter_new("filter", fixture_expr(&r->f, text)));
}

static struct chain_step *add_map(struct run *r, const char *a, const char *a_text, const char *b, const char *b_text)
{
    struct stage_map_field fields[2] = { { a, fixture_expr(&r->f, a_text) } };
    if (b != NULL)
        fields[1] = (struct stage_map_field){ b, fixture_expr(&r->f, b_text) };
    return add(r, stage_map_new("map", fields, b != NULL ? 2 : 1));
}

static bool given(void *ctx, uint32_t index, struct event *event, enum stage_outcome outcome,
                  const struct failure *failure)
{
    struct run *r = ctx;
    struct bytes json = { NULL, 0 };
    assert_int_equal(index, r->given);
    assert_true((outcome == STAGE_FAIL) == (failure != NULL));
    if (index >= r->refuse_from)
        return false;
    if (failure != NULL) {
        json = failure->message;
        snprintf(r->reasons[index], sizeof(r->reasons[index]), "%s", failure->reason);
        snprintf(r->stages[index], sizeof(r->stages[index]), "%s", failure->stage);
    } else if (event_json(event, r->f.arena, &json) != NEAP_OK) {
        return false;
    }
    snprintf(r->json[index], sizeof(r->json[index]), "%.*s", (int)json.size, json.at);
    r->outcomes[index] = outcome;
    r->given++;
    return true;
}

static uint32_t run(struct run *r, uint32_t count, const char *const *texts)
{
    for (uint32_t i = 0; i < count; i++)
        r->events[i] =
            (struct event){ .json = bytes_of_text(texts[i]), .topic = "commits", .offset = { i }, .attempt = 1 };
    if (r->chain == NULL)
        r->chain = chain_new(r->steps, r->count, r->f.parser);
    assert_non_null(r->chain);
    r->given = 0;
    return chain_run(r->chain, r->events, count, r->f.arena, given, r);
}

static void run_one(struct run *r, const char *text)
{
    assert_int_equal(run(r, 1, &text), 1);
}

static void end(struct run *r)
{
    chain_free(&r->chain);
    fixture_end(&r->f);
}

static void check_figures(const struct run *r, uint32_t index, struct chain_figures wanted)
{
    const struct chain_figures *figures = chain_figures(r->chain, index);
    assert_int_equal(figures->passed, wanted.passed);
    assert_int_equal(figures->dropped, wanted.dropped);
    assert_int_equal(figures->failed, wanted.failed);
    assert_int_equal(figures->continued, wanted.continued);
    assert_int_equal(figures->skipped, wanted.skipped);
}

static void filter_keeps_what_is_true(void **state)
{
    static const char *const texts[] = { "{\"n\":1}",    "{\"n\":0}", "{\"n\":\"\"}", "{\"n\":false}",
                                         "{\"n\":null}", "{}",        "{\"n\":[]}" };
    static const enum stage_outcome wanted[] = { STAGE_PASS, STAGE_PASS, STAGE_PASS, STAGE_DROP,
                                                 STAGE_DROP, STAGE_DROP, STAGE_PASS };
    struct run r;
    start(&r);
    add_filter(&r, "event.n");
    assert_int_equal(run(&r, COUNT_OF(texts), texts), COUNT_OF(texts));
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_int_equal(r.outcomes[i], wanted[i]);
        assert_string_equal(r.json[i], texts[i]);
    }
    check_figures(&r, 0, (struct chain_figures){ .passed = 4, .dropped = 3 });
    end(&r);
}

static void map_adds_and_replaces_the_rest_stays(void **state)
{
    struct run r;
    start(&r);
    add_filter(&r, "event.files > 0");
    add_map(&r, "churn", "event.added + event.removed", "files", "event.nothing");
    run_one(&r, COMMIT);
    assert_int_equal(r.outcomes[0], STAGE_PASS);
    assert_string_equal(
        r.json[0],
        "{\"id\":\"6de5\",\"author\":\"ann\",\"files\":null,\"added\":10,\"removed\":4,\"ratio\":1.10,\"churn\":14}");
    end(&r);
}

static void all_of_one_map_see_the_event_as_it_came(void **state)
{
    struct run r;
    start(&r);
    add_map(&r, "added", "event.removed", "removed", "event.added");
    add_map(&r, "sum", "event.added * 100 + event.removed", NULL, NULL);
    run_one(&r, "{\"added\":1,\"removed\":2}");
    assert_string_equal(r.json[0], "{\"added\":2,\"removed\":1,\"sum\":201}");
    end(&r);
}

static void keep_and_remove_go_by_name(void **state)
{
    static const char *const kept[] = { "ratio", "id", "nowhere" }, *const removed[] = { "id", "nowhere" };
    struct run r;
    start(&r);
    add(&r, stage_keep_new("keep", kept, COUNT_OF(kept)));
    run_one(&r, COMMIT);
    assert_string_equal(r.json[0], "{\"id\":\"6de5\",\"ratio\":1.10}");
    end(&r);
    start(&r);
    add(&r, stage_remove_new("remove", removed, COUNT_OF(removed)));
    add(&r, stage_keep_new("keep", kept, COUNT_OF(kept)));
    run_one(&r, COMMIT);
    assert_string_equal(r.json[0], "{\"ratio\":1.10}");
    end(&r);
}

static void a_condition_passes_the_stage_by(void **state)
{
    static const char *const texts[] = { "{\"n\":1}", "{\"n\":5}", "{\"n\":\"x\"}" };
    struct run r;
    start(&r);
    struct expr *condition = fixture_expr(&r.f, "event.n > 3");
    add_map(&r, "large", "true", NULL, NULL)->condition = condition;
    assert_int_equal(run(&r, 3, texts), 3);
    assert_string_equal(r.json[0], "{\"n\":1}");
    assert_string_equal(r.json[1], "{\"n\":5,\"large\":true}");
    assert_int_equal(r.outcomes[2], STAGE_FAIL);
    check_figures(&r, 0, (struct chain_figures){ .passed = 1, .skipped = 1, .failed = 1 });
    end(&r);
}

static void a_failure_says_which_stage(void **state)
{
    struct run r;
    start(&r);
    add_filter(&r, "event.n > 0");
    add_map(&r, "m", "event.a.b", NULL, NULL);
    add_filter(&r, "true");
    run_one(&r, "{\"n\":1}");
    assert_int_equal(r.outcomes[0], STAGE_FAIL);
    assert_string_equal(r.stages[0], "map");
    assert_string_equal(r.reasons[0], "expression");
    assert_string_equal(r.json[0], "event.a is nil: event.a.b");
    check_figures(&r, 1, (struct chain_figures){ .failed = 1 });
    check_figures(&r, 2, (struct chain_figures){ 0 });
    end(&r);
}

/* on_error: continue: the event goes on as it came to the stage, whatever the stage had done to it. */
static void under_continue_a_failure_changes_nothing(void **state)
{
    static const char *const removed[] = { "a" };
    struct run r;
    start(&r);
    add_map(&r, "a", "1", "b", "2");
    add_map(&r, "a", "event.a + 10", "c", "event.x.y")->continue_on_error = true;
    struct chain_step *step = add(&r, stage_remove_new("remove", removed, 1));
    step->condition = fixture_expr(&r.f, "event.x > 1");
    step->continue_on_error = true;
    add_filter(&r, "event.nowhere.at_all")->continue_on_error = true;
    add_map(&r, "d", "event.a", NULL, NULL);
    run_one(&r, "{}");
    assert_int_equal(r.outcomes[0], STAGE_PASS);
    assert_string_equal(r.json[0], "{\"a\":1,\"b\":2,\"d\":1}");
    check_figures(&r, 1, (struct chain_figures){ .continued = 1 });
    check_figures(&r, 2, (struct chain_figures){ .continued = 1 });
    check_figures(&r, 3, (struct chain_figures){ .continued = 1 });
    check_figures(&r, 4, (struct chain_figures){ .passed = 1 });
    end(&r);
}

/* More changes than an event may have: what was set before the one too many is taken back under continue. */
static void a_half_done_map_is_undone(void **state)
{
    static char names[EVENT_FIELD_COUNT_MAX][8];
    struct stage_map_field fields[EVENT_FIELD_COUNT_MAX];
    struct run r;
    start(&r);
    for (uint32_t i = 0; i < EVENT_FIELD_COUNT_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "f%u", i);
        fields[i] = (struct stage_map_field){ names[i], fixture_expr(&r.f, "1") };
    }
    add_map(&r, "first", "1", NULL, NULL);
    add(&r, stage_map_new("wide", fields, EVENT_FIELD_COUNT_MAX))->continue_on_error = true;
    run_one(&r, "{}");
    assert_int_equal(r.outcomes[0], STAGE_PASS);
    assert_string_equal(r.json[0], "{\"first\":1}");
    check_figures(&r, 1, (struct chain_figures){ .continued = 1 });
    end(&r);
}

static void what_is_not_json_fails_at_the_source(void **state)
{
    static const char *const texts[] = { "{\"a\":1", "", "{\"a\":1}", "nope" };
    struct run r;
    start(&r);
    assert_int_equal(run(&r, 4, texts), 4); /* a chain without stages still reads */
    assert_int_equal(r.outcomes[0], STAGE_FAIL);
    assert_string_equal(r.reasons[0], "not_json");
    assert_string_equal(r.stages[0], "source");
    assert_non_null(strstr(r.json[0], " at byte "));
    assert_string_equal(r.json[1], "the event has no value");
    assert_int_equal(r.outcomes[2], STAGE_PASS);
    assert_int_equal(r.outcomes[3], STAGE_FAIL);
    end(&r);
}

static void only_objects_have_fields(void **state)
{
    static const char *const texts[] = { "[1]", "5", "\"x\"" }, *const names[] = { "a" };
    struct run r;
    for (int kind = 0; kind < 3; kind++) {
        start(&r);
        if (kind == 0)
            add_map(&r, "a", "1", NULL, NULL);
        else
            add(&r, kind == 1 ? stage_keep_new("keep", names, 1) : stage_remove_new("remove", names, 1));
        assert_int_equal(run(&r, 3, texts), 3);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(r.outcomes[i], STAGE_FAIL);
            assert_string_equal(r.reasons[i], "not_an_object");
        }
        end(&r);
    }
}

static void a_full_sink_ends_the_run_and_counts_nothing(void **state)
{
    static const char *const texts[] = { "{\"n\":1}", "{\"n\":2}", "{\"n\":3}" };
    struct run r;
    start(&r);
    add_filter(&r, "event.n < 3");
    r.refuse_from = 1;
    assert_int_equal(run(&r, 3, texts), 1);
    check_figures(&r, 0, (struct chain_figures){ .passed = 1 });
    r.refuse_from = EVENT_COUNT_MAX;
    assert_int_equal(run(&r, 2, texts + 1), 2);
    check_figures(&r, 0, (struct chain_figures){ .passed = 2, .dropped = 1 });
    end(&r);
}

static void a_full_arena_ends_the_run_and_fails_nobody(void **state)
{
    static const char *const texts[] = { "{\"s\":\"0123456789012345678901234567890123456789\"}",
                                         "{\"s\":\"0123456789012345678901234567890123456789\"}",
                                         "{\"s\":\"0123456789012345678901234567890123456789\"}" };
    struct run r;
    start(&r);
    arena_free(&r.f.arena);
    r.f.arena = arena_new(3000, 3000);
    add_map(&r, "a", "event.s .. ('x'):rep(600)", NULL, NULL);
    uint32_t taken = run(&r, 3, texts);
    assert_true(taken >= 1 && taken < 3);
    uint32_t in_all = taken;
    while (in_all < 3) {
        arena_reset(r.f.arena);
        taken = run(&r, 3 - in_all, texts + in_all);
        assert_true(taken >= 1);
        in_all += taken;
    }
    check_figures(&r, 0, (struct chain_figures){ .passed = 3 });
    end(&r);

    start(&r); /* alone it does not fit either: too large */
    arena_free(&r.f.arena);
    r.f.arena = arena_new(1024, 1024);
    add_map(&r, "a", "event.s .. ('x'):rep(5000)", NULL, NULL)->continue_on_error = true;
    run_one(&r, texts[0]);
    assert_int_equal(r.outcomes[0], STAGE_FAIL);
    assert_string_equal(r.reasons[0], "too_large");
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_keeps_what_is_true),
        cmocka_unit_test(map_adds_and_replaces_the_rest_stays),
        cmocka_unit_test(all_of_one_map_see_the_event_as_it_came),
        cmocka_unit_test(keep_and_remove_go_by_name),
        cmocka_unit_test(a_condition_passes_the_stage_by),
        cmocka_unit_test(a_failure_says_which_stage),
        cmocka_unit_test(under_continue_a_failure_changes_nothing),
        cmocka_unit_test(a_half_done_map_is_undone),
        cmocka_unit_test(what_is_not_json_fails_at_the_source),
        cmocka_unit_test(only_objects_have_fields),
        cmocka_unit_test(a_full_sink_ends_the_run_and_counts_nothing),
        cmocka_unit_test(a_full_arena_ends_the_run_and_fails_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
