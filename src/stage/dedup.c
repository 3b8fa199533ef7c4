/* dedup.c - drops what came before: the same id, within the window, at a lower offset of its partition.
 *
 * What has no id is no duplicate; nor is an event that a person sends on its way once more. */
#include "base/must.h"
#include "flow/redrive.h"
#include "stage/stages.h"
#include <stdlib.h>
#include <xxhash.h>

struct dedup_stage {
    struct stage base;
    struct expr *id; /* NULL: the event's own */
    struct dedup_door *door;
};

static_assert(DEDUP_SECRET_SIZE >= XXH3_SECRET_SIZE_MIN, "the secret is as long as its hash wants it");

static struct dedup_id hash_id(const struct dedup_door *door, struct bytes id)
{
    XXH128_hash_t hash = XXH3_128bits_withSecret(id.at, id.size, door->secret, sizeof door->secret);
    return (struct dedup_id){ { (uint32_t)hash.low64, (uint32_t)(hash.low64 >> 32), (uint32_t)hash.high64 } };
}

static enum stage_outcome dedup_run(struct stage *stage, struct event *event, struct arena *arena,
                                    struct failure *failure)
{
    struct dedup_stage *s = (struct dedup_stage *)stage;
    struct bytes id = event->id;
    if (s->id != NULL) {
        struct value value;
        if (expr_eval(s->id, event, arena, &value, failure) != NEAP_OK)
            return STAGE_FAIL;
        id = value_text(&value, arena);
    }
    struct record record = { .headers = event->headers, .header_count = event->header_count };
    if (id.at == NULL || (event->header_count > 0 && redrive_count(&record) > 0))
        return STAGE_PASS;
    event->duplicate = s->door->is_duplicate(s->door->ctx, event->partition, event->offset, hash_id(s->door, id));
    return event->duplicate ? STAGE_DROP : STAGE_PASS;
}

static void dedup_free_stage(struct stage *stage)
{
    struct dedup_stage *s = (struct dedup_stage *)stage;
    expr_free(&s->id);
    free(s);
}

struct stage *stage_dedup_new(const char *name, struct expr *id, struct dedup_door *door)
{
    static const struct stage_verbs verbs = { "dedup", dedup_run, dedup_free_stage };
    must(name != NULL && door != NULL);
    struct dedup_stage *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (struct dedup_stage){ .base = { &verbs, name }, .id = id, .door = door };
    return &s->base;
}
