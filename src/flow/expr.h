/* expr.h - EXPR: pure Lua 5.4 over an event, within limits.
 *
 * owner    a machine and its expressions belong to one thread
 * memory   memory_size_max for the Lua state (its allocator refuses more: the call fails, the machine lives on), a parser
 *          and a scratch buffer made when first wanted, each at most a few times RECORD_SIZE_MAX
 * limits   instruction_count_max per call: work done in C (a pattern's search, sort, rep …) is charged to it; one call may
 *          allocate 16 times memory_size_max in all; EXPR_SIZE_MAX bytes of text. A limit cannot be caught by pcall.
 * errors   NEAP_BADINPUT with a failure that names file:line:column, the source text and which name was nil; TOOLARGE: its
 *          value; NOMEM: the arena is full, and the same call may pass with an empty one
 * promise  no clock, chance or I/O is in reach; the same event gives the same value; an expression that is only a field
 *          path is answered from the document and never enters Lua; reading a field builds no table
 *
 * Names: event key id headers time topic partition offset attempt env, and Lua's pure parts: math (without random),
 * string, table, utf8, tonumber, tostring, type, pairs, ipairs, next, select, error, assert, pcall. A name that is none of
 * these is an error at load. `pairs` walks an event's object in its written order and a Lua table in the order numbers,
 * texts, booleans. A missing field and JSON null are nil. `time` is a number (Unix ms). What an expression sees of the
 * event cannot be changed, and nothing it does lasts to the next call.
 *
 * A table leaves as JSON text: an array where its keys are 1 .. n, else an object with its names in byte order, `{}` an
 * object. An integer beyond 64 bits signed is a float to Lua, and exact when a path alone gives it. */
#ifndef FLOW_EXPR_H
#define FLOW_EXPR_H

#include "flow/event.h"

#define EXPR_SIZE_MAX 16384u

struct expr_place { /* where the expression stands, for messages; kept by the caller as long as the expression */
    const char *file;
    uint32_t line, column; /* of its first character */
    const char *what;      /* the stage's or key's name: "filter", "map churn", "column id" */
};

struct expr_options {
    uint32_t instruction_count_max;                          /* 0: 1,000,000 */
    size_t memory_size_max;                                  /* 0: 8 MiB */
    const char *(*environment)(void *ctx, const char *name); /* env.NAME; NULL: env is empty */
    void *ctx;
};

struct expr_machine;
struct expr;

struct expr_machine *expr_machine_new(const struct expr_options *options, struct error *err);
void expr_machine_free(struct expr_machine **machine); /* after its expressions */
/* NEAP_BADINPUT: "FILE:LINE:COLUMN: …" with the place inside the expression. */
enum neap_status expr_new(struct expr_machine *machine, const char *text, const struct expr_place *place,
                          struct expr **ret_expr, struct error *err);
void expr_free(struct expr **expr);
const char *expr_text(const struct expr *expr);
bool expr_is_path(const struct expr *expr);
/* What `check` may warn about: a bare path where truth is asked (0 and "" are true); the same answer for every event. */
#define EXPR_HINT_BARE_PATH 1u
#define EXPR_HINT_CONSTANT  2u
uint32_t expr_hint(const struct expr *expr);
/* Text in the value lies in the event's own bytes or in `arena`. */
enum neap_status expr_eval(struct expr *expr, const struct event *e, struct arena *arena, struct value *ret_value,
                           struct failure *failure);
static inline bool value_is_true(const struct value *v)
{
    return v->kind != VALUE_NIL && !(v->kind == VALUE_BOOL && !v->b);
}

#endif
