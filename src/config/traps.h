/* traps.h - where YAML breaks on an expression, or quietly takes a part of it for something else: in a person's words.
 *
 * What is cut off by ` #`, or by one of , [ ] { } inside {...}, leaves an expression with an open quote, an open bracket or
 * a dangling operator: it does not compile. So these traps are explained exactly where something failed, and a comment
 * after a whole expression is never blamed. */
#ifndef CONFIG_TRAPS_H
#define CONFIG_TRAPS_H

#include "config/tree.h"

struct trap {
    struct bytes text;           /* the file */
    size_t at;                   /* where it broke */
    const char *problem;         /* in libyaml's words */
    const char *context;         /* the same; may be NULL */
    uint32_t context_line;
};

void trap_explain(const struct trap *trap, char *room, size_t size);
/* What may have cut this expression, as the end of a sentence ("; YAML took ..."), or "". */
const char *trap_of_expression(struct bytes text, const struct tree_node *node);

#endif
