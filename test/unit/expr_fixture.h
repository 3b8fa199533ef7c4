/* expr_fixture.h - a machine, a document and an arena, and an expression asked of them in one line. */
#ifndef TEST_EXPR_FIXTURE_H
#define TEST_EXPR_FIXTURE_H

#include "check.h"

#include "flow/expr_internal.h"
#include "log/limits.h"
#include <stdio.h>

struct fixture {
    struct expr_machine *machine;
    struct json_parser *parser;
    struct arena *arena;
    struct event event;
    struct error error;     /* of the last expr_new() that failed */
    struct failure failure; /* of the last expr_eval() that failed */
    char shown[8192];       /* the last value as JSON */
};

static const char *fixture_environment(void *ctx, const char *name)
{
    (void)ctx;
    return strcmp(name, "REGION") == 0 ? "eu" : NULL;
}

static inline void fixture_event(struct fixture *f, const char *json)
{
    f->event = (struct event){ .json = bytes_of_text(json),
                               .key = BYTES("k1"),
                               .topic = "orders",
                               .partition = 3,
                               .attempt = 1,
                               .offset = { 77 },
                               .time_ms = 1700000000123 };
    assert_int_equal(json_parse(f->parser, f->event.json, &f->event.root), NEAP_OK);
}

static inline void fixture_start(struct fixture *f, const struct expr_options *options, const char *json)
{
    struct expr_options with = *options;
    with.environment = fixture_environment;
    *f = (struct fixture){ .parser = json_parser_new(4 * RECORD_SIZE_MAX), .arena = arena_new(4096, 64u << 20) };
    f->machine = expr_machine_new(&with, &f->error);
    assert_non_null(f->machine);
    fixture_event(f, json);
}

static inline void fixture_end(struct fixture *f)
{
    expr_machine_free(&f->machine);
    json_parser_free(&f->parser);
    arena_free(&f->arena);
}

static inline struct expr *fixture_expr(struct fixture *f, const char *text)
{
    struct expr *expr = NULL;
    const struct expr_place place = { "pipe.yaml", 12, 20, "filter" };
    enum neap_status status = expr_new(f->machine, text, &place, &expr, &f->error);
    assert_true((status == NEAP_OK) == (expr != NULL));
    return expr;
}

static inline enum neap_status fixture_eval(struct fixture *f, struct expr *expr)
{
    struct value value = { .kind = VALUE_NIL };
    enum neap_status status = expr_eval(expr, &f->event, f->arena, &value, &f->failure);
    struct writer w = writer_of(f->shown, sizeof(f->shown) - 1);
    if (status == NEAP_OK)
        value_write_json(&w, &value);
    else
        write_bytes(&w, f->failure.message);
    f->shown[writer_size(&w)] = '\0';
    return status;
}

/* The expression's value as JSON, or what its failure says, or why it does not compile. `lua`: not by the small tree. */
static inline const char *fixture_ask(struct fixture *f, const char *text, bool lua)
{
    struct expr *expr = fixture_expr(f, text);
    if (expr == NULL)
        return f->error.text;
    expr->measure_lua = lua;
    fixture_eval(f, expr);
    expr_free(&expr);
    return f->shown;
}

#endif
