/* manners.c - the nearest word wins, field by field: a stage's own, its pipeline's, those of `defaults`, and what holds where
 * nobody said anything. A field that was not written is zero, and none can be written as that. */
#include "config/manners.h"
#include "base/must.h"
#include "config/limits.h"
#include "config/messages.h"
#include "config/pools.h"
#include "config/units.h"
#include "flow/breaker.h"
#include "flow/retry_budget.h"
#include <stdio.h>

#define MINIMUM_CALLS 20u

static const struct config_manners unsaid = {
    .timeout_ms = 30 * 1000,
    .concurrency = { 32, 32 },
    .retry = { .attempts = 8, .backoff = { 100, 30 * 1000 }, .budget_percent = RETRY_BUDGET_PERCENT },
    .breaker = { .failure_percent = 50,
                 .slow_percent = 100,
                 .window = 100,
                 .open = { 5 * 1000, 300 * 1000 },
                 .probes = 5 },
};

/* Who speaks of one stage or sink, the nearest first: the kind itself, its branch, what that is a branch of, `defaults`.
 * NULL: nobody there. */
struct voices {
    const struct tree_node *nodes[1 + CONFIG_BRANCH_DEPTH_MAX + 1 + 1];
};

/* ---- which kind keeps what --------------------------------------------------------------------------------------------------- */

bool manner_is_kept(const struct key *kind, const char *name, const char *part)
{
    if (kind == NULL || kind->type != KEY_BLOCK)
        return false;
    const struct key *key = key_find(kind->of, bytes_of_text(name));
    if (key == NULL || key_find(IN_DEFAULTS, bytes_of_text(name)) == NULL)
        return false;
    return part == NULL || (key->type == KEY_BLOCK && key_find(key->of, bytes_of_text(part)) != NULL);
}

const struct key *manner_kind(enum scope role, int kind)
{
    for (const struct key *key = key_next(role, NULL); key != NULL; key = key_next(role, key))
        if (key->kind && key->first == kind)
            return key;
    return NULL;
}

static bool keeps_any(const struct key *kind)
{
    for (const struct key *key = key_next(IN_DEFAULTS, NULL); key != NULL; key = key_next(IN_DEFAULTS, key))
        if (manner_is_kept(kind, key->name, NULL))
            return true;
    return false;
}

static bool pipeline_keeps(const struct config_pipeline *p, const char *name, const char *part)
{
    for (uint32_t i = 0; i < p->stage_count; i++)
        if (manner_is_kept(manner_kind(IN_STAGE, (int)p->stages[i].kind), name, part))
            return true;
    return manner_is_kept(manner_kind(IN_SINK, (int)p->sink.kind), name, part);
}

static bool is_at_or_below(const struct config_pipeline *p, const struct config_pipeline *above)
{
    while (p != NULL && p != above)
        p = p->parent;
    return p == above;
}

/* ---- what they come to ------------------------------------------------------------------------------------------------------- */

#define INHERIT(field, is_written)   \
    do {                             \
        if (!(to->is_written))       \
            to->field = from->field; \
    } while (0)

void manners_inherit(struct config_manners *to, const struct config_manners *from)
{
    INHERIT(timeout_ms, timeout_ms);
    INHERIT(concurrency, concurrency.least);
    INHERIT(pool, pool);
    INHERIT(limit, limit.count);
    INHERIT(retry.attempts, retry.attempts);
    INHERIT(retry.backoff, retry.backoff.most_ms);
    INHERIT(retry.budget_percent, retry.budget_percent);
    INHERIT(retry.permanent, retry.permanent.words);
    INHERIT(retry.transient, retry.transient.words);
    INHERIT(breaker.failure_percent, breaker.failure_percent);
    INHERIT(breaker.slow_percent, breaker.slow_percent);
    INHERIT(breaker.slow_call_ms, breaker.slow_call_ms);
    INHERIT(breaker.window, breaker.window);
    INHERIT(breaker.minimum_calls, breaker.minimum_calls);
    INHERIT(breaker.open, breaker.open.most_ms);
    INHERIT(breaker.probes, breaker.probes);
}

/* Where the nearest of them writes it; the top of the file where none does. */
static struct config_place place_of(const struct voices *voices, const char *name, const char *part)
{
    for (size_t i = 0; i < COUNT_OF(voices->nodes); i++) {
        const struct tree_item *manner = voices->nodes[i] == NULL ? NULL : tree_find(voices->nodes[i], name);
        const struct tree_item *item = manner == NULL || part == NULL ? manner : tree_find(manner->value, part);
        if (item != NULL)
            return item->value->place;
    }
    return (struct config_place){ 1, 1 };
}

static bool is_written(const struct voices *voices, const char *name, const char *part)
{
    for (size_t i = 0; i < COUNT_OF(voices->nodes); i++) {
        const struct tree_item *manner = voices->nodes[i] == NULL ? NULL : tree_find(voices->nodes[i], name);
        if (manner != NULL && tree_find(manner->value, part) != NULL)
            return true;
    }
    return false;
}

static bool is_said(const struct voices *voices, const char *name)
{
    for (size_t i = 0; i < COUNT_OF(voices->nodes); i++)
        if (voices->nodes[i] != NULL && tree_find(voices->nodes[i], name) != NULL)
            return true;
    return false;
}

static void settle_rules(struct reading *r, struct config_retry *retry, const struct voices *voices,
                         const struct config_retry *like)
{
    if (like != NULL && like->permanent.words == retry->permanent.words &&
        like->transient.words == retry->transient.words) {
        retry->rules = like->rules;
        return;
    }
    struct outcome_rules *rules = read_take(r, sizeof *rules);
    struct error err = { 0 };
    if (rules != NULL && outcome_rules_make(&retry->permanent, &retry->transient, rules, &err) != NEAP_OK)
        message_error(r->messages,
                      place_of(voices, "retry", retry->transient.words != NULL ? "transient" : "permanent"), "%s",
                      err.text);
    retry->rules = rules;
}

static void settle_breaker(struct reading *r, struct config_manners *m, const struct voices *voices, bool keeps)
{
    struct config_breaker *b = &m->breaker;
    if (b->minimum_calls == 0)
        b->minimum_calls = b->window < MINIMUM_CALLS ? b->window : MINIMUM_CALLS;
    if (b->minimum_calls > b->window)
        message_error(r->messages, place_of(voices, "breaker", "minimum_calls"),
                      "'minimum_calls: %u' is more than the window of %u calls, so it would never open; write "
                      "'window: %u' too, or fewer calls",
                      b->minimum_calls, b->window, b->minimum_calls);
    if (!keeps)
        return;
    if (b->slow_call_ms == 0 && is_written(voices, "breaker", "slow_rate"))
        message_warning(r->messages, place_of(voices, "breaker", "slow_rate"),
                        "'slow_rate' says nothing without 'slow_call': no call is slow");
    char call[UNITS_TEXT_SIZE], timeout[UNITS_TEXT_SIZE];
    units_duration_text(call, (uint64_t)b->slow_call_ms);
    units_duration_text(timeout, (uint64_t)m->timeout_ms);
    if (b->slow_call_ms >= m->timeout_ms)
        message_warning(r->messages, place_of(voices, "breaker", "slow_call"),
                        "'slow_call: %s' says nothing: after the timeout of %s a call has ended", call, timeout);
}

/* ---- what holds for nothing -------------------------------------------------------------------------------------------------- */

static void list_keepers(const char *name, const char *part, char *room, size_t size)
{
    static const enum scope roles[] = { IN_STAGE, IN_SINK };
    struct writer w = writer_of(room, size - 1);
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        for (const struct key *kind = key_next(roles[i], NULL); kind != NULL; kind = key_next(roles[i], kind)) {
            if (!kind->kind || !manner_is_kept(kind, name, part))
                continue;
            write_bytes(&w, writer_size(&w) == 0 ? BYTES("; kinds that do: ") : BYTES(", "));
            write_bytes(&w, bytes_of_text(kind->name));
        }
    if (writer_size(&w) == 0)
        write_bytes(&w, BYTES("; no kind of this version does"));
    room[writer_size(&w)] = '\0';
}

/* `p` NULL: it stands in `defaults`, for all of them. */
static void check_effect(struct reading *r, const struct config *config, const struct config_pipeline *p,
                         const struct tree_item *item, const char *name, const char *part)
{
    bool kept = false;
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        kept = kept || (is_at_or_below(&config->pipelines[i], p) && pipeline_keeps(&config->pipelines[i], name, part));
    if (kept)
        return;
    char keepers[160];
    list_keepers(name, part, keepers, sizeof keepers);
    message_warning(r->messages, item->key->place, "'%s%s%s' has no effect: no stage or sink of %s%s%s keeps it%s",
                    name, part == NULL ? "" : ": ", part == NULL ? "" : part, p == NULL ? "this file" : "pipeline '",
                    p == NULL ? "" : p->name, p == NULL ? "" : "'", keepers);
}

static void check_effects(struct reading *r, const struct config *config, const struct config_pipeline *p,
                          const struct tree_node *node)
{
    for (const struct key *key = key_next(IN_DEFAULTS, NULL); key != NULL; key = key_next(IN_DEFAULTS, key)) {
        const struct tree_item *manner = tree_find(node, key->name);
        if (manner == NULL)
            continue;
        bool any = false;
        for (uint32_t i = 0; i < config->pipeline_count; i++)
            any = any ||
                  (is_at_or_below(&config->pipelines[i], p) && pipeline_keeps(&config->pipelines[i], key->name, NULL));
        const struct tree_item *part = any && manner->value->kind == TREE_MAP ? manner->value->items : NULL;
        if (part == NULL)
            check_effect(r, config, p, manner, key->name, NULL);
        for (; part != NULL; part = part->next)
            check_effect(r, config, p, part, key->name, (const char *)part->key->text.at);
    }
}

/* ---- all of a file ------------------------------------------------------------------------------------------------------------- */

static void settle_stage(struct reading *r, const struct config *config, struct config_stage *stage,
                         const struct config_pipeline *p, const struct tree_node *node, const struct voices *outer)
{
    const struct key *kind = manner_kind(IN_STAGE, (int)stage->kind);
    const struct tree_item *own = kind == NULL ? NULL : tree_find(node, kind->name);
    if (own == NULL || !keeps_any(kind))
        return;
    struct voices voices = *outer;
    voices.nodes[0] = own->value;
    if (stage->kind == CONFIG_STAGE_EXEC && !is_said(&voices, "concurrency")) /* each of them is a process */
        stage->manners.concurrency = (struct config_counts){ CONFIG_CHILD_COUNT, CONFIG_CHILD_COUNT };
    manners_inherit(&stage->manners, &p->manners);
    if (manner_is_kept(kind, "pool", NULL))
        pools_check_stage(r, config, stage, place_of(&voices, "pool", NULL));
    else
        stage->manners.pool = NULL;
    settle_rules(r, &stage->manners.retry, &voices, &p->manners.retry);
    settle_breaker(r, &stage->manners, &voices, manner_is_kept(kind, "breaker", NULL));
}

static struct voices voices_of(const struct config *config, const struct config_pipeline *p,
                               const struct tree_node *const *nodes, const struct tree_node *defaults)
{
    struct voices voices = { { NULL } };
    size_t count = 1;
    for (; p != NULL; p = p->parent) {
        must(count + 1 < COUNT_OF(voices.nodes));
        voices.nodes[count++] = nodes[p - config->pipelines];
    }
    voices.nodes[count] = defaults;
    return voices;
}

/* Stages that it shares wait for nobody, and have no manners. */
static void settle_pipeline(struct reading *r, const struct config *config, struct config_pipeline *p,
                            const struct tree_node *const *nodes, const struct tree_node *defaults)
{
    const struct tree_item *list = tree_find(nodes[p - config->pipelines], "stages");
    const struct tree_item *item = list == NULL ? NULL : list->value->items;
    struct voices voices = voices_of(config, p, nodes, defaults);
    manners_inherit(&p->manners, &config->manners);
    manners_inherit(&p->manners, &unsaid);
    settle_rules(r, &p->manners.retry, &voices, NULL);
    for (uint32_t i = p->shared_stage_count; i < p->stage_count && item != NULL && !r->starved; i++, item = item->next)
        settle_stage(r, config, &p->stages[i], p, item->value, &voices);
    settle_breaker(r, &p->manners, &voices, /* behind the stages': unwritten minimum_calls follow each window */
                   manner_is_kept(manner_kind(IN_SINK, (int)p->sink.kind), "breaker", NULL));
}

void manners_settle(struct reading *r, const struct tree_node *root, const struct tree_node *const *nodes,
                    struct config *config)
{
    const struct tree_item *defaults = tree_find(root, "defaults");
    const struct tree_node *outermost = defaults == NULL ? NULL : defaults->value;
    bool whole = r->messages->error_count == 0; /* else kinds may be missing that would keep them */
    for (uint32_t i = 0; i < config->pipeline_count && !r->starved; i++) {
        settle_pipeline(r, config, &config->pipelines[i], nodes, outermost);
        if (whole)
            check_effects(r, config, &config->pipelines[i], nodes[i]);
    }
    pools_check(r, config);
    if (whole && outermost != NULL)
        check_effects(r, config, NULL, outermost);
}
