/* bench_expr.c - what an expression costs for one event: answered as a path, by the small tree, by Lua; and a chain.
 *
 *     build/bench/bench-expr [EVENTS]        default 1,000,000 of about 190 bytes; prints ns per event and ratios of one run */
#include "flow/chain.h"
#include "flow/expr_internal.h"
#include "log/limits.h"
#include "stage/stages.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char event_text[] =
    "{\"id\":\"6de5c2cb63f8aee4bcbec3c363a72fd8e4a4e64d\",\"repo\":\"nginx\",\"author\":\"141b8de9\","
    "\"time\":\"2002-08-06T16:39:45+00:00\",\"committed\":\"2002-08-06T16:39:45+00:00\",\"files\":55,"
    "\"added\":3253,\"removed\":0}";

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct expr *make(struct expr_machine *machine, const char *text)
{
    struct error error;
    struct expr *expr;
    const struct expr_place place = { "bench", 1, 1, "bench" };
    if (expr_new(machine, text, &place, &expr, &error) == NEAP_OK)
        return expr;
    fprintf(stderr, "%s\n", error.text);
    exit(1);
}

static double time_expr(struct expr *expr, const struct event *event, struct arena *arena, uint32_t count)
{
    struct value value = { .kind = VALUE_NIL };
    double start = now_ns();
    for (uint32_t i = 0; i < count; i++) {
        if ((i & 1023) == 0)
            arena_reset(arena);
        if (expr_eval(expr, event, arena, &value, NULL) != NEAP_OK)
            exit(1);
    }
    return (now_ns() - start) / count;
}

static bool given(void *ctx, uint32_t index, struct event *event, enum stage_outcome outcome,
                  const struct failure *failure)
{
    *(uint64_t *)ctx += outcome == STAGE_PASS;
    return failure == NULL;
}

static double time_chain(struct chain *chain, struct arena *arena, uint32_t count)
{
    struct event events[256];
    uint64_t passed = 0;
    double start = now_ns();
    for (uint32_t i = 0; i < count; i += 256) {
        arena_reset(arena);
        for (int j = 0; j < 256; j++)
            events[j] = (struct event){ .json = BYTES(event_text), .topic = "bench", .attempt = 1 };
        if (chain_run(chain, events, 256, arena, given, &passed) != 256)
            exit(1);
    }
    return (now_ns() - start) / (double)passed;
}

static struct chain *make_chain(struct expr_machine *machine, struct json_parser *parser, uint32_t count, bool lua)
{
    struct chain_step steps[2] = { 0 };
    struct stage_map_field field = { "churn", make(machine, "event.added + event.removed") };
    struct expr *filter = make(machine, "event.files > 0");
    filter->measure_lua = field.expr->measure_lua = lua;
    steps[0].stage = stage_filter_new("filter", filter);
    steps[1].stage = stage_map_new("map", &field, 1);
    if (count == 0) {
        steps[0].stage->verbs->free(steps[0].stage);
        steps[1].stage->verbs->free(steps[1].stage);
    }
    return chain_new(steps, count, parser);
}

int main(int argc, char **argv)
{
    static const char *const texts[] = {
        "event.files",
        "event.author",
        "event.files > 0",
        "event.added + event.removed",
        "event.files > 0 and event.repo == 'nginx'",
        "event.author:upper()",
        "math.floor(event.added / 10)",
        "(function() local n = 0 for i = 1, 10 do n = n + i end return n end)()",
    };
    uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000u;
    struct error error;
    struct expr_machine *machine = expr_machine_new(&(struct expr_options){ .ctx = NULL }, &error);
    struct json_parser *parser = json_parser_new(RECORD_SIZE_MAX);
    struct arena *arena = arena_new(1u << 20, 8u << 20);
    struct event event = { .json = BYTES(event_text) };
    if (machine == NULL || parser == NULL || arena == NULL || json_parse(parser, event.json, &event.root) != NEAP_OK)
        return 1;
    printf("%-64s %9s %9s %7s\n", "ns per event", "as it is", "Lua", "ratio");
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct expr *expr = make(machine, texts[i]);
        double own = time_expr(expr, &event, arena, count);
        expr->measure_lua = true;
        double lua = time_expr(expr, &event, arena, count);
        printf("%-64s %9.1f %9.1f %7.2f\n", texts[i], own, lua, lua / own);
        expr_free(&expr);
    }
    double parse_alone = 0;
    for (int kind = 0; kind < 3; kind++) {
        static const char *const names[] = { "chain: parse alone", "chain: parse, filter, map",
                                             "chain: parse, filter, map, all in Lua" };
        struct chain *chain = make_chain(machine, parser, kind == 0 ? 0 : 2, kind == 2);
        double ns = time_chain(chain, arena, count);
        parse_alone = kind == 0 ? ns : parse_alone;
        printf("%-64s %9.1f           %7.2f\n", names[kind], ns, ns / parse_alone);
        chain_free(&chain);
    }
    expr_machine_free(&machine);
    json_parser_free(&parser);
    arena_free(&arena);
    return 0;
}
