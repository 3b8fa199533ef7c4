/* choice.c - whether a branch takes an event: in a route the first one whose condition holds, in a fanout each one.
 *
 * Each branch asks for itself, so in a route it asks the branches before it first. A condition that fails leaves open which
 * branch the event belongs to: it gives up in this one and in all behind it, and none of them takes it in error. */
#include "base/must.h"
#include "stage/stages.h"
#include <stdlib.h>

struct choice {
    struct stage base;
    struct expr *own; /* NULL: the rest */
    uint32_t before_count;
    struct expr *before[];
};

static enum stage_outcome choice_run(struct stage *stage, struct event *event, struct arena *arena,
                                     struct failure *failure)
{
    struct choice *choice = (struct choice *)stage;
    struct value value;
    for (uint32_t i = 0; i < choice->before_count; i++) {
        if (expr_eval(choice->before[i], event, arena, &value, failure) != NEAP_OK)
            return STAGE_FAIL;
        if (value_is_true(&value))
            return STAGE_DROP;
    }
    if (choice->own == NULL)
        return STAGE_PASS;
    if (expr_eval(choice->own, event, arena, &value, failure) != NEAP_OK)
        return STAGE_FAIL;
    return value_is_true(&value) ? STAGE_PASS : STAGE_DROP;
}

static void choice_free(struct stage *stage)
{
    struct choice *choice = (struct choice *)stage;
    for (uint32_t i = 0; i < choice->before_count; i++)
        expr_free(&choice->before[i]);
    expr_free(&choice->own);
    free(choice);
}

struct stage *stage_choice_new(const char *name, struct expr *const *before, uint32_t before_count, struct expr *own)
{
    static const struct stage_verbs verbs = { "choice", choice_run, choice_free };
    must(name != NULL && (own != NULL || before_count > 0));
    struct choice *choice = calloc(1, sizeof *choice + before_count * sizeof choice->before[0]);
    if (choice == NULL)
        return NULL;
    choice->base = (struct stage){ &verbs, name };
    choice->own = own;
    choice->before_count = before_count;
    for (uint32_t i = 0; i < before_count; i++)
        choice->before[i] = before[i];
    return &choice->base;
}
