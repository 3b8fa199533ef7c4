#include "flow/parked.h"
#include "base/dues.h"
#include "base/must.h"
#include "flow/lanes.h"
#include <stdlib.h>

#define PARKED_MAGIC 0x5041524bu

struct slot {
    log_offset offset;
    wall_time due;
    uint32_t free_next; /* of one that is free */
};

struct parked {
    uint32_t magic, count_max;
    struct lanes *lanes; /* one stage: of each key its first, and those behind it */
    struct slot *slots;
    struct dues *dues; /* of those at rest; at one time, who was parked first */
    uint32_t free_first, count, at_work;
};

size_t parked_memory_size(uint32_t count_max)
{
    return sizeof(struct parked) + lanes_size(count_max, 1) + dues_memory_size(count_max) +
           count_max * sizeof(struct slot);
}

struct parked *parked_new(uint32_t count_max)
{
    struct parked *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return NULL;
    p->magic = PARKED_MAGIC;
    p->count_max = count_max;
    p->lanes = lanes_new(count_max, 1);
    p->slots = malloc(count_max * sizeof(p->slots[0]));
    p->dues = dues_new(count_max);
    if (p->lanes == NULL || p->slots == NULL || p->dues == NULL)
        parked_free(&p);
    else
        parked_clear(p);
    return p;
}

void parked_free(struct parked **parked)
{
    struct parked *p = *parked;
    if (p == NULL)
        return;
    CHECK_MAGIC(p, PARKED_MAGIC);
    lanes_free(&p->lanes);
    free(p->slots);
    dues_free(&p->dues);
    p->magic = 0;
    free(p);
    *parked = NULL;
}

void parked_clear(struct parked *p)
{
    CHECK_MAGIC(p, PARKED_MAGIC);
    lanes_clear(p->lanes);
    for (uint32_t i = 0; i < p->count_max; i++)
        p->slots[i] = (struct slot){ .free_next = i + 1 < p->count_max ? i + 1 : PARKED_NONE };
    p->free_first = 0;
    dues_clear(p->dues);
    p->count = p->at_work = 0;
}

/* ---- the way of an event --------------------------------------------------------------------------------------------------- */

static void rest(struct parked *p, uint32_t slot)
{
    dues_add(p->dues, slot, p->slots[slot].due.ms, p->slots[slot].offset.n);
}

/* Who has come to be the first of its key rests until it is due. */
static void lay_to_rest(struct parked *p)
{
    for (uint32_t slot; (slot = lanes_take(p->lanes, 0)) != LANES_NONE;) {
        lanes_rest(p->lanes, slot);
        rest(p, slot);
    }
}

enum neap_status parked_add(struct parked *p, uint64_t hash, log_offset offset, wall_time due)
{
    CHECK_MAGIC(p, PARKED_MAGIC);
    uint32_t slot = p->free_first;
    if (slot == PARKED_NONE)
        return NEAP_AGAIN;
    p->free_first = p->slots[slot].free_next;
    p->slots[slot] = (struct slot){ offset, due, PARKED_NONE };
    p->count++;
    lanes_put(p->lanes, 0, slot, hash);
    lay_to_rest(p);
    return NEAP_OK;
}

bool parked_has(const struct parked *p, uint64_t hash)
{
    return lanes_first(p->lanes, 0, hash) != LANES_NONE;
}

uint32_t parked_take(struct parked *p, wall_time now)
{
    CHECK_MAGIC(p, PARKED_MAGIC);
    uint32_t slot = dues_first(p->dues);
    if (slot == DUES_NONE || parked_due(p).ms > now.ms || parked_due(p).ms == PARKED_NEVER)
        return PARKED_NONE;
    dues_remove(p->dues, slot);
    lanes_again(p->lanes, slot);
    uint32_t taken = lanes_take(p->lanes, 0);
    must(taken == slot); /* nobody else is ever ready */
    p->at_work++;
    return slot;
}

log_offset parked_offset(const struct parked *p, uint32_t slot)
{
    must(slot < p->count_max);
    return p->slots[slot].offset;
}

void parked_again(struct parked *p, uint32_t slot, wall_time due)
{
    lanes_rest(p->lanes, slot);
    p->slots[slot].due = due;
    rest(p, slot);
    p->at_work--;
}

void parked_done(struct parked *p, uint32_t slot)
{
    must(p->at_work > 0 && !dues_has(p->dues, slot));
    lanes_done(p->lanes, slot);
    p->slots[slot].free_next = p->free_first;
    p->free_first = slot;
    p->at_work--;
    p->count--;
    lay_to_rest(p);
}

wall_time parked_due(const struct parked *p)
{
    uint32_t slot = dues_first(p->dues);
    return slot != DUES_NONE ? p->slots[slot].due : (wall_time){ PARKED_NEVER };
}

bool parked_move(struct parked *p, uint64_t hash, wall_time due)
{
    uint32_t slot = lanes_first(p->lanes, 0, hash);
    if (slot == LANES_NONE || !dues_has(p->dues, slot))
        return false;
    dues_remove(p->dues, slot);
    p->slots[slot].due = due;
    rest(p, slot);
    return true;
}

struct parked_figures parked_figures(const struct parked *p)
{
    return (struct parked_figures){ p->count, dues_count(p->dues) + p->at_work, p->at_work };
}
