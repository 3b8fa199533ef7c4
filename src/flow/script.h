/* script.h - a Lua script with `process(event)`: one event in, none, one or several out.
 *
 * It runs in an expression machine, and all that expr.h promises holds here: limits for each call, no clock, chance or
 * I/O, one order for `pairs`, and nothing that lasts. The script begins anew with each event: what it keeps in a local of its own is
 * gone at the next, and a global cannot be set.
 *
 * owner    as an expression: its machine, one thread
 * memory   as an expression; what it gives lies in the caller's arena
 * limits   EXPR_SIZE_MAX bytes of text; SCRIPT_OUTPUT_COUNT_MAX events out of one
 * errors   as expr_eval(), with the reason "lua", the failed line and the calls that led there
 * promise  what it passes on untouched of an event, a part or the whole, leaves to the letter as it came
 *
 * In reach beside an expression's names: copy(t), a table of the fields or items of t that can be changed (those that are
 * objects or arrays are still the event's; a null is `null`); null, which is written as null; array(t), t marked as an array, so that
 * it is one without items too. Numbers: an integer stays one, a float is written with a point. */
#ifndef FLOW_SCRIPT_H
#define FLOW_SCRIPT_H

#include "flow/expr.h"

#define SCRIPT_OUTPUT_COUNT_MAX 1000u

struct script;

/* As expr_new(); `place` is that of its first character. */
enum neap_status script_new(struct expr_machine *machine, const char *text, const struct expr_place *place,
                            struct script **ret_script, struct error *err);
void             script_free(struct script **script);
/* Gives the JSON texts of what process() returned, in its order; nils are left out. As expr_eval() else. */
enum neap_status script_run(struct script *script, const struct event *event, struct arena *arena,
                            struct bytes **ret_outputs, uint32_t *ret_count, struct failure *failure);

#endif
