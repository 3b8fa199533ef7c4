/* filter.c - keeps what is true. */
#include "base/must.h"
#include "stage/stages.h"
#include <stdlib.h>

struct filter {
    struct stage base;
    struct expr *expr;
};

static enum stage_outcome filter_run(struct stage *stage, struct event *event, struct arena *arena,
                                     struct failure *failure)
{
    struct filter *filter = (struct filter *)stage;
    struct value value;
    if (expr_eval(filter->expr, event, arena, &value, failure) != NEAP_OK)
        return STAGE_FAIL;
    return value_is_true(&value) ? STAGE_PASS : STAGE_DROP;
}

static void filter_free(struct stage *stage)
{
    struct filter *filter = (struct filter *)stage;
    expr_free(&filter->expr);
    free(filter);
}

struct stage *stage_filter_new(const char *name, struct expr *expr)
{
    static const struct stage_verbs verbs = { "filter", filter_run, filter_free };
    struct filter *filter = calloc(1, sizeof(*filter));
    must(name != NULL && expr != NULL);
    if (filter == NULL)
        return NULL;
    *filter = (struct filter){ .base = { &verbs, name }, .expr = expr };
    return &filter->base;
}
