#include "config/pools.h"
#include "config/messages.h"

const struct config_pool *config_pool_find(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->pool_count; i++)
        if (config->pools[i].name != NULL && strcmp(config->pools[i].name, name) == 0)
            return &config->pools[i];
    return NULL;
}

void pools_check_stage(struct reading *r, const struct config *config, const struct config_stage *stage,
                       struct config_place place)
{
    if (stage->manners.pool == NULL || config_pool_find(config, stage->manners.pool) != NULL)
        return;
    struct nearest nearest = { .wanted = bytes_of_text(stage->manners.pool) };
    for (uint32_t i = 0; i < config->pool_count; i++)
        nearest_offer(&nearest, config->pools[i].name);
    bool near = nearest.word != NULL;
    message_error(r->messages, place, "there is no pool '%s' in 'pools'%s%s%s", shown(nearest.wanted).text,
                  near ? "; did you mean '" : "", near ? nearest.word : "", near ? "'?" : "");
}

static bool is_used(const struct config *config, const char *name)
{
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        for (uint32_t k = 0; k < config->pipelines[i].stage_count; k++) {
            const char *pool = config->pipelines[i].stages[k].manners.pool;
            if (pool != NULL && strcmp(pool, name) == 0)
                return true;
        }
    return false;
}

void pools_check(struct reading *r, const struct config *config)
{
    for (uint32_t i = 0; i < config->pool_count; i++) {
        const struct config_pool *pool = &config->pools[i];
        if (pool->core > pool->max)
            message_error(r->messages, pool->place, "pool '%s' keeps %u threads ('core') of at most %u ('max')",
                          pool->name, pool->core, pool->max);
        if (r->messages->error_count == 0 && !is_used(config, pool->name))
            message_warning(r->messages, pool->place, "no stage uses pool '%s'", pool->name);
    }
}
