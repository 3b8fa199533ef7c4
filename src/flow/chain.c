/* chain.c - events through stages.
 *
 * C1  What a stage did not finish is undone: an event is copied before a stage that may fail and go on. Its changes are an
 *     array in the arena, so the copy takes that array along.
 * C2  The figures count an event once, when it has been taken; a run that is handed over again leaves no trace.
 * C4  Of what an event became each runs through the stages behind by itself; the figures of those count the last of them.
 * C3  A failure for want of room is no failure of the event while others have taken room in the same arena. */
#include "flow/chain.h"
#include "base/must.h"
#include <stdlib.h>

#define CHAIN_MAGIC 0x4e494843u

struct chain {
    uint32_t magic, count;
    struct json_parser *parser;
    uint32_t reached_count; /* stages that have seen the event at hand */
    bool keeps_single;
    struct chain_link {
        struct chain_step step;
        struct chain_figures figures;
        uint64_t *counter; /* the figure that the event at hand will count in (rule C2) */
    } links[];
};

struct chain *chain_new(const struct chain_step *steps, uint32_t count, struct json_parser *parser)
{
    must(count <= CHAIN_STAGE_COUNT_MAX && parser != NULL);
    struct chain *chain = calloc(1, sizeof(*chain) + count * sizeof(chain->links[0]));
    if (chain == NULL)
        return NULL;
    chain->magic = CHAIN_MAGIC;
    chain->count = count;
    chain->parser = parser;
    for (uint32_t i = 0; i < count; i++) {
        must(steps[i].stage != NULL);
        chain->links[i].step = steps[i];
    }
    return chain;
}

void chain_free(struct chain **chain_at)
{
    struct chain *chain = *chain_at;
    if (chain == NULL)
        return;
    CHECK_MAGIC(chain, CHAIN_MAGIC);
    for (uint32_t i = 0; i < chain->count; i++) {
        struct chain_step *step = &chain->links[i].step;
        step->stage->verbs->free(step->stage);
        expr_free(&step->condition);
    }
    chain->magic = 0;
    free(chain);
    *chain_at = NULL;
}

uint32_t chain_stage_count(const struct chain *chain)
{
    return chain->count;
}

const struct chain_figures *chain_figures(const struct chain *chain, uint32_t index)
{
    must(index < chain->count);
    return &chain->links[index].figures;
}

void chain_keep_single(struct chain *chain)
{
    chain->keeps_single = true;
}

const char *chain_stage_name(const struct chain *chain, uint32_t index)
{
    must(index < chain->count);
    return chain->links[index].step.stage->name;
}

/* ---- one event ----------------------------------------------------------------------------------------------------- */

/* True: the event is JSON and parsed. */
static bool parse(struct chain *chain, struct event *event, struct arena *arena, struct failure *failure)
{
    enum neap_status status = json_parse(chain->parser, event->json, &event->root);
    if (status == NEAP_OK)
        return true;
    event->root = (struct json_value){ NULL, 0 };
    uint32_t column = 0;
    const char *what = status == NEAP_TOOLARGE ? "larger than an event may be" : "no memory to read it";
    if (status == NEAP_BADINPUT && event->json.size == 0)
        what = "the event has no value";
    else if (status == NEAP_BADINPUT && json_explain(event->json, &column, &what) == NEAP_OK)
        what = "not JSON";
    const char *said = column > 0 ? arena_text(arena, "%s at byte %u", what, column) : what;
    *failure = (struct failure){ .reason = status == NEAP_BADINPUT ? "not_json" : "too_large",
                                 .stage = "source",
                                 .message = bytes_of_text(said != NULL ? said : what),
                                 .column = column,
                                 .status = status };
    return false;
}

/* Rule C1. False: no room. */
static bool save(const struct event *event, struct arena *arena, struct event *ret_saved)
{
    *ret_saved = *event;
    if (event->field_count == 0)
        return true;
    size_t size = event->field_count * sizeof(event->fields[0]);
    ret_saved->fields = arena_take(arena, size);
    if (ret_saved->fields == NULL)
        return false;
    memcpy(ret_saved->fields, event->fields, size);
    ret_saved->field_room = event->field_count;
    return true;
}

static enum stage_outcome run_stage(struct chain_link *link, struct event *event, struct arena *arena, bool *skipped,
                                    struct failure *failure)
{
    struct chain_step *step = &link->step;
    *skipped = false;
    if (step->condition != NULL) {
        struct value value;
        if (expr_eval(step->condition, event, arena, &value, failure) != NEAP_OK)
            return STAGE_FAIL;
        *skipped = !value_is_true(&value);
        if (*skipped)
            return STAGE_PASS;
    }
    return step->stage->verbs->run(step->stage, event, arena, failure);
}

static enum stage_outcome run_link(struct chain_link *link, struct event *event, struct arena *arena,
                                   struct failure *failure)
{
    struct event saved;
    bool skipped = false;
    if (link->step.continue_on_error && !save(event, arena, &saved)) {
        *failure = (struct failure){ .reason = "too_large",
                                     .message = BYTES("no room left in the batch"),
                                     .status = NEAP_NOMEM };
        return STAGE_FAIL;
    }
    enum stage_outcome outcome = run_stage(link, event, arena, &skipped, failure);
    if (outcome != STAGE_FAIL) {
        link->counter = skipped                 ? &link->figures.skipped
                        : outcome != STAGE_DROP ? &link->figures.passed
                                                : &link->figures.dropped;
        return outcome;
    }
    failure->stage = link->step.stage->name;
    link->counter = &link->figures.failed;
    if (!link->step.continue_on_error || failure->status == NEAP_NOMEM)
        return STAGE_FAIL;
    *event = saved;
    link->counter = &link->figures.continued;
    return STAGE_PASS;
}

/* Who is given events, and what has come of the one at hand. */
struct giving {
    chain_done *done;
    void *ctx;
    uint32_t index, given_count;
    bool refused; /* there is no room for one of those that it became */
};

static enum stage_outcome run_from(struct chain *chain, uint32_t from, struct event *event, struct arena *arena,
                                   struct giving *giving, struct failure *failure);

/* It goes on as that text, parsed. */
static bool become(struct chain *chain, uint32_t link, struct event *event, struct bytes json, struct arena *arena,
                   struct failure *failure)
{
    event->json = json;
    event->fields = NULL;
    event->field_count = event->field_room = 0;
    event->keep_only = false;
    if (parse(chain, event, arena, failure))
        return true;
    failure->stage = chain->links[link].step.stage->name;
    return false;
}

static enum stage_outcome too_many(struct chain *chain, uint32_t link, uint32_t count, struct arena *arena,
                                   struct failure *failure)
{
    const char *text =
        arena_text(arena,
                   "it became %u events, and a stage behind it takes one at a time: let the pipeline end "
                   "in branches or a topic before that stage",
                   count);
    *failure = (struct failure){ .reason = "lua",
                                 .stage = chain->links[link].step.stage->name,
                                 .message = bytes_of_text(text != NULL ? text : "it became several events"),
                                 .status = NEAP_BADINPUT };
    return STAGE_FAIL;
}

/* Rule C4. */
static enum stage_outcome split(struct chain *chain, uint32_t link, struct event *event, struct arena *arena,
                                struct giving *giving, struct failure *failure)
{
    uint32_t count = event->became_count;
    if (count == 1)
        return become(chain, link, event, event->became[0], arena, failure) ? STAGE_PASS : STAGE_FAIL;
    if (chain->keeps_single)
        return too_many(chain, link, count, arena, failure);
    for (uint32_t i = 0; i < count && !giving->refused; i++) {
        struct event one = *event;
        if (!become(chain, link, &one, event->became[i], arena, failure))
            return STAGE_FAIL;
        enum stage_outcome outcome = run_from(chain, link + 1, &one, arena, giving, failure);
        if (outcome == STAGE_FAIL)
            return STAGE_FAIL;
        if (outcome != STAGE_PASS)
            continue;
        giving->refused = !giving->done(giving->ctx, giving->index, &one, STAGE_MORE, NULL);
        giving->given_count++;
    }
    return giving->given_count > 0 ? STAGE_SPLIT : STAGE_DROP;
}

static enum stage_outcome run_from(struct chain *chain, uint32_t from, struct event *event, struct arena *arena,
                                   struct giving *giving, struct failure *failure)
{
    for (uint32_t i = from; i < chain->count; i++) {
        chain->reached_count = i + 1 > chain->reached_count ? i + 1 : chain->reached_count;
        enum stage_outcome outcome = run_link(&chain->links[i], event, arena, failure);
        if (outcome == STAGE_SPLIT)
            outcome = split(chain, i, event, arena, giving, failure);
        if (outcome != STAGE_PASS)
            return outcome;
    }
    return STAGE_PASS;
}

static enum stage_outcome run_event(struct chain *chain, struct event *event, struct arena *arena,
                                    struct giving *giving, struct failure *failure)
{
    event->fields = NULL;
    event->field_count = event->field_room = 0;
    event->keep_only = false;
    chain->reached_count = 0;
    *failure = (struct failure){ .reason = NULL };
    if (!parse(chain, event, arena, failure))
        return STAGE_FAIL;
    return run_from(chain, 0, event, arena, giving, failure);
}

uint32_t chain_run(struct chain *chain, struct event *events, uint32_t count, struct arena *arena, chain_done *done,
                   void *ctx)
{
    CHECK_MAGIC(chain, CHAIN_MAGIC);
    for (uint32_t i = 0; i < count; i++) {
        struct failure failure;
        struct giving giving = { .done = done, .ctx = ctx, .index = i };
        struct bytes json = events[i].json;
        bool empty = arena_used(arena) == 0;
        enum stage_outcome outcome = run_event(chain, &events[i], arena, &giving, &failure);
        bool no_room = outcome == STAGE_FAIL && failure.status == NEAP_NOMEM;
        if (no_room && empty)
            failure.reason = "too_large";
        must(outcome != STAGE_FAIL || failure.reason != NULL);
        bool taken = !(no_room && !empty) && !giving.refused && /* rule C3 */
                     done(ctx, i, &events[i], outcome, outcome == STAGE_FAIL ? &failure : NULL);
        events[i].json = json; /* it may have to run again */
        if (!taken)
            return i;
        for (uint32_t link = 0; link < chain->reached_count; link++)
            ++*chain->links[link].counter;
    }
    return count;
}
