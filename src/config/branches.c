#include "config/branches.h"
#include "base/must.h"
#include "config/limits.h"
#include "config/manners.h"
#include "config/messages.h"

struct spreading {
    struct reading *r;
    struct config *config;
    struct config_pipeline *list;
    const struct tree_node **nodes;
    uint32_t count;
};

/* One pipeline or branch as it was written, and what it is a branch of. */
struct written {
    struct config_pipeline *p;
    const struct tree_node *node;
    const struct written *above;
};

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool keep(struct reading *r, const void *given)
{
    r->starved = r->starved || given == NULL;
    return given != NULL;
}

/* `fanout` or `route`, whichever has branches. */
static struct config_pipeline *branches_of(const struct config_pipeline *p, uint32_t *ret_count)
{
    *ret_count = p->fanout_count > 0 ? p->fanout_count : p->route_count;
    return p->fanout_count > 0 ? p->fanout : p->route;
}

static const struct tree_item *items_of(const struct written *w)
{
    const struct tree_item *list = tree_find(w->node, w->p->fanout_count > 0 ? "fanout" : "route");
    return list == NULL ? NULL : list->value->items;
}

/* ---- names of stages ------------------------------------------------------------------------------------------------- */

static const char *kind_name(enum config_stage_kind kind)
{
    for (const struct key *key = key_next(IN_STAGE, NULL); key != NULL; key = key_next(IN_STAGE, key))
        if (key->kind && key->first == (int)kind)
            return key->name;
    must(false); /* every kind that can be written has its row */
    return NULL;
}

/* A branch may run the stages above it itself, so their names are taken. */
static bool has_stage(const struct written *w, const char *name)
{
    for (; w != NULL; w = w->above)
        for (uint32_t i = 0; i < w->p->stage_count; i++)
            if (same(w->p->stages[i].name, name))
                return true;
    return false;
}

static void check_stage_names(struct reading *r, const struct written *w)
{
    const struct tree_item *list = tree_find(w->node, "stages");
    const struct tree_item *item = list == NULL ? NULL : list->value->items;
    for (uint32_t i = 0; i < w->p->stage_count && item != NULL; i++, item = item->next) {
        const char *name = w->p->stages[i].name;
        bool taken = name != NULL && has_stage(w->above, name);
        for (uint32_t before = 0; before < i; before++)
            taken = taken || same(name, w->p->stages[before].name);
        if (taken)
            message_error(r->messages, tree_place(item->value, (const char *const[]){ "name", NULL }),
                          "an earlier stage has the name '%s'", name);
    }
}

/* KIND, KIND-2, KIND-3: whatever is free behind the names that were given. */
static void name_stages(struct reading *r, const struct written *w)
{
    for (uint32_t i = 0; i < w->p->stage_count; i++) {
        struct config_stage *stage = &w->p->stages[i];
        for (uint32_t number = 1; stage->name == NULL && !r->starved; number++) {
            const char *name = kind_name(stage->kind);
            if (number > 1)
                name = arena_text(r->arena, "%s-%u", name, number);
            if (keep(r, name) && !has_stage(w, name))
                stage->name = name;
        }
    }
}

/* ---- what is wrong with the list itself ------------------------------------------------------------------------------ */

static const struct tree_item *end_of(const struct tree_node *node, const char *but)
{
    static const char *const ends[] = { "sink", "fanout", "route" };
    const struct tree_item *first = NULL;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        const struct tree_item *item = same(ends[i], but) ? NULL : tree_find(node, ends[i]);
        bool earlier =
            item != NULL &&
            (first == NULL || item->key->place.line < first->key->place.line ||
             (item->key->place.line == first->key->place.line && item->key->place.column < first->key->place.column));
        first = earlier ? item : first;
    }
    return first;
}

/* A misspelt key may have meant its end. */
static bool all_known(const struct tree_node *node)
{
    for (const struct tree_item *item = node->items; item != NULL; item = item->next)
        if (key_find(IN_BRANCH, item->key->text) == NULL)
            return false;
    return true;
}

static void check_end(struct reading *r, const struct written *w)
{
    const char *noun = w->above == NULL ? "pipeline" : "branch";
    const struct tree_item *first = end_of(w->node, NULL);
    const struct tree_item *second = first == NULL ? NULL : end_of(w->node, (const char *)first->key->text.at);
    if (second != NULL)
        message_error(r->messages, second->key->place, "'%s' beside '%s': a %s has one end",
                      (const char *)second->key->text.at, (const char *)first->key->text.at, noun);
    if (first == NULL && w->above != NULL && w->node->kind == TREE_MAP && all_known(w->node))
        message_error(r->messages, w->p->place,
                      "a branch needs an end: one of 'sink', 'fanout' and 'route'; without it nothing becomes of its "
                      "events");
}

static void check_branches(struct reading *r, const struct written *w)
{
    uint32_t count, rest;
    const struct config_pipeline *list = branches_of(w->p, &count);
    bool is_route = w->p->fanout_count == 0 && count > 0;
    const struct tree_item *item = items_of(w);
    for (rest = 0; rest < count && tree_find(item->value, "if") != NULL; rest++)
        item = item->next;
    if (is_route && rest == count)
        message_warning(r->messages, tree_find(w->node, "route")->key->place,
                        "an event for which no 'if' holds is filtered (no_route); a last branch without 'if' takes the "
                        "rest");
    for (uint32_t i = rest + 1; is_route && i < count; i++)
        message_error(r->messages, list[i].place, "no event comes here: '%s' before it has no 'if', and takes them all",
                      list[rest].name == NULL ? "a branch" : list[rest].name);
}

/* ---- spreading ------------------------------------------------------------------------------------------------------- */

static bool all_inline(const struct config_pipeline *p)
{
    for (uint32_t i = 0; i < p->stage_count; i++)
        if (!config_is_inline(p->stages[i].kind))
            return false;
    return true;
}

/* What a branch does not say, it has from above. */
static void inherit(struct reading *r, struct config_pipeline *p, const struct tree_node *node)
{
    const struct config_pipeline *above = p->parent;
    p->owner = p->owner != NULL ? p->owner : above->owner;
    p->dead_letter = p->dead_letter != NULL ? p->dead_letter : above->dead_letter;
    manners_inherit(&p->manners, &above->manners);
    if (tree_find(node, "order") == NULL)
        p->order = above->order;
    if (p->expires_ms == 0)
        p->expires_ms = above->expires_ms;
    if (tree_find(node, "guarantee") == NULL)
        p->guarantee = above->guarantee;
    if (tree_find(node, "start") == NULL && above->start != CONFIG_START_SINK)
        p->start = above->start;
    if (p->was == NULL && above->was != NULL)
        keep(r, p->was = arena_text(r->arena, "%s.%s", above->was, p->branch));
}

/* Whether the index-th branch takes an event, as a stage. False: it takes them all. */
static bool choice_of(struct reading *r, const struct written *w, uint32_t index, struct config_stage *ret_choice)
{
    uint32_t count;
    const struct config_pipeline *list = branches_of(w->p, &count), *p = &list[index];
    bool is_route = w->p->fanout_count == 0;
    struct config_stage choice = {
        .kind = CONFIG_STAGE_CHOICE, .place = p->place, .name = is_route ? "route" : "fanout", .filter = p->condition
    };
    if (is_route && index > 0) {
        choice.before = read_take(r, index * sizeof *choice.before);
        for (uint32_t i = 0; i < index && choice.before != NULL; i++)
            if (list[i].condition.text != NULL && list[i].name != NULL)
                choice.before[choice.before_count++] = (struct config_named_expr){ list[i].name, list[i].condition };
    }
    choice.no_route = is_route && index + 1 == count && p->condition.text != NULL;
    *ret_choice = choice;
    return choice.before_count > 0 || choice.filter.text != NULL;
}

/* Those of its parent where it runs them itself, the choice, and its own. */
static void join_stages(struct reading *r, struct config_pipeline *p, const struct config_stage *choice)
{
    const struct config_pipeline *above = p->parent;
    uint32_t shared = above->sink.kind == CONFIG_SINK_NONE ? above->stage_count : 0;
    uint32_t count = shared + (choice != NULL) + p->stage_count;
    struct config_stage *stages = read_take(r, (count + 1) * sizeof *stages);
    if (stages == NULL)
        return;
    if (shared > 0)
        memcpy(stages, above->stages, shared * sizeof *stages);
    if (choice != NULL)
        stages[shared++] = *choice;
    if (p->stage_count > 0)
        memcpy(stages + shared, p->stages, p->stage_count * sizeof *stages);
    if (count > CONFIG_STAGE_COUNT_MAX)
        message_error(r->messages, p->place, "branch '%s' has %u stages with those that it shares; at most %u", p->name,
                      count, CONFIG_STAGE_COUNT_MAX);
    p->stages = stages;
    p->shared_stage_count = shared;
    p->stage_count = count;
}

/* Behind stages that wait or remember, the topic that the branches read. */
static void make_out(struct reading *r, struct config_pipeline *p, const struct tree_node *node)
{
    const char *end = p->fan == CONFIG_FANOUT ? "fanout" : "route";
    p->sink =
        (struct config_sink){ .kind = CONFIG_SINK_TOPIC, .place = tree_find(node, end)->key->place, .name = "sink" };
    keep(r, p->sink.topic = arena_text(r->arena, "%s.out", p->name));
    if (strlen(p->name) + sizeof ".out" - 1 > LOG_NAME_SIZE_MAX)
        message_error(r->messages, p->place, "the name is too long for the topic of its branches, %s.out",
                      p->parent == NULL ? "NAME" : "PIPELINE.BRANCH");
}

static void spread(struct spreading *s, const struct written *w, const struct config_pipeline *parent,
                   const struct config_stage *choice, uint32_t depth);

static void spread_branches(struct spreading *s, const struct written *w, const struct config_pipeline *p,
                            uint32_t depth)
{
    uint32_t count;
    struct config_pipeline *list = branches_of(w->p, &count);
    const struct tree_item *item = items_of(w);
    if (count > 0 && depth == CONFIG_BRANCH_DEPTH_MAX) {
        message_error(s->r->messages, list[0].place, "branches of branches of branches: at most %u deep",
                      CONFIG_BRANCH_DEPTH_MAX);
        return;
    }
    for (uint32_t i = 0; i < count && item != NULL && !s->r->starved; i++, item = item->next) {
        struct written branch = { &list[i], item->value, w };
        struct config_stage choice;
        bool chooses = choice_of(s->r, w, i, &choice);
        if (list[i].name != NULL && item->value->kind == TREE_MAP)
            spread(s, &branch, p, chooses ? &choice : NULL, depth + 1);
    }
}

static void spread(struct spreading *s, const struct written *w, const struct config_pipeline *parent,
                   const struct config_stage *choice, uint32_t depth)
{
    struct reading *r = s->r;
    if (s->count == CONFIG_CONSUMER_COUNT_MAX) {
        message_error(r->messages, w->p->place, "a file has at most %u pipelines and branches",
                      CONFIG_CONSUMER_COUNT_MAX);
        return;
    }
    check_stage_names(r, w);
    name_stages(r, w);
    check_end(r, w);
    check_branches(r, w);
    s->nodes[s->count] = w->node;
    struct config_pipeline *p = &s->list[s->count++];
    *p = *w->p;
    p->sink.name = "sink";
    p->fan = p->fanout_count > 0 ? CONFIG_FANOUT : p->route_count > 0 ? CONFIG_ROUTE : CONFIG_FAN_NONE;
    p->parent = parent;
    if (parent != NULL) {
        p->branch = w->p->name;
        if (!keep(r, p->name = arena_text(r->arena, "%s.%s", parent->name, p->branch)))
            return;
        p->source =
            (struct config_source){ .kind = CONFIG_SOURCE_TOPIC, .place = p->place, .topic = config_fan_topic(parent) };
        inherit(r, p, w->node);
        join_stages(r, p, choice);
    }
    if (strlen(p->name) > LOG_NAME_SIZE_MAX)
        message_error(r->messages, p->place, "the name '%s' is too long: at most %u letters with its pipeline's",
                      shown(bytes_of_text(p->name)).text, LOG_NAME_SIZE_MAX);
    if (p->fan != CONFIG_FAN_NONE && !all_inline(p))
        make_out(r, p, w->node);
    else if (p->fan != CONFIG_FAN_NONE)
        p->sink.kind = CONFIG_SINK_NONE; /* also where one was written beside: that was said */
    if (config_dedup(p) != NULL)
        keep(r, p->dedup_topic = arena_text(r->arena, "%s.dedup", p->name));
    if (p->fan != CONFIG_FAN_NONE && !r->starved)
        spread_branches(s, w, p, depth);
}

/* What follows from the name of a pipeline. */
static void fill_in(struct reading *r, struct config_pipeline *p)
{
    if (p->source.topic == NULL && p->source.kind != CONFIG_SOURCE_TOPIC)
        p->source.topic = p->name;
    if (p->dead_letter == NULL)
        keep(r, p->dead_letter = arena_text(r->arena, "%s.dead", p->name));
}

const struct tree_node **branches_spread(struct reading *r, const struct tree_node *pipelines, struct config *config)
{
    struct spreading s = { .r = r, .config = config };
    s.list = read_take(r, CONFIG_CONSUMER_COUNT_MAX * sizeof *s.list);
    s.nodes = read_take(r, CONFIG_CONSUMER_COUNT_MAX * sizeof *s.nodes);
    const struct tree_item *item = pipelines == NULL ? NULL : pipelines->items;
    for (uint32_t i = 0; i < config->pipeline_count && !r->starved; i++, item = item->next) {
        struct written w = { .p = &config->pipelines[i], .node = item->value };
        fill_in(r, w.p);
        if (!r->starved)
            spread(&s, &w, NULL, NULL, 0);
    }
    config->pipelines = s.list;
    config->pipeline_count = s.count;
    return r->starved ? NULL : s.nodes;
}

void branches_check_names(struct reading *r, const struct config *config)
{
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct config_pipeline *p = &config->pipelines[i];
        for (uint32_t k = 0; k < config->pipeline_count && p->parent != NULL; k++) {
            const struct config_pipeline *other = &config->pipelines[k];
            if (k == i || !same(p->name, other->name) || (other->parent != NULL && k > i))
                continue;
            if (other->parent == p->parent)
                message_error(r->messages, p->place, "an earlier branch has the name '%s'", p->branch);
            else
                message_error(r->messages, p->place, "the branch would be called '%s', and so is another %s", p->name,
                              other->parent == NULL ? "pipeline" : "branch");
        }
    }
}

/* ---- what others ask ------------------------------------------------------------------------------------------------- */

const char *config_fan_topic(const struct config_pipeline *p)
{
    must(p->fan != CONFIG_FAN_NONE);
    return p->sink.kind == CONFIG_SINK_NONE ? p->source.topic : p->sink.topic;
}

bool config_is_inline(enum config_stage_kind kind)
{
    switch (kind) {
    case CONFIG_STAGE_FILTER:
    case CONFIG_STAGE_MAP:
    case CONFIG_STAGE_KEEP:
    case CONFIG_STAGE_REMOVE:
    case CONFIG_STAGE_LUA:
    case CONFIG_STAGE_CHOICE:
        return true;
    default:
        return false; /* waits, or remembers */
    }
}

bool config_is_keyless(const struct config_pipeline *p)
{
    while (p->parent != NULL)
        p = p->parent;
    return p->source.kind != CONFIG_SOURCE_TOPIC && p->source.key.text == NULL;
}
