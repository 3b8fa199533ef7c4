#include "flow/parked.h"
#include "base/must.h"
#include "flow/lanes.h"
#include <stdlib.h>

#define PARKED_MAGIC 0x5041524bu
#define NOT_RESTING  UINT32_MAX

struct slot {
    log_offset offset;
    wall_time due;
    uint32_t heap_at;   /* NOT_RESTING: it is not in the heap */
    uint32_t free_next; /* of one that is free */
};

struct parked {
    uint32_t magic, count_max;
    struct lanes *lanes; /* one stage: of each key its first, and those behind it */
    struct slot *slots;
    uint32_t *heap; /* slots of those at rest; the one due first on top */
    uint32_t heap_count, free_first, count, at_work;
};

size_t parked_memory_size(uint32_t count_max)
{
    return sizeof(struct parked) + lanes_size(count_max, 1) + count_max * (sizeof(struct slot) + sizeof(uint32_t));
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
    p->heap = malloc(count_max * sizeof(p->heap[0]));
    if (p->lanes == NULL || p->slots == NULL || p->heap == NULL)
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
    free(p->heap);
    p->magic = 0;
    free(p);
    *parked = NULL;
}

void parked_clear(struct parked *p)
{
    CHECK_MAGIC(p, PARKED_MAGIC);
    lanes_clear(p->lanes);
    for (uint32_t i = 0; i < p->count_max; i++)
        p->slots[i] = (struct slot){ .heap_at = NOT_RESTING, .free_next = i + 1 < p->count_max ? i + 1 : PARKED_NONE };
    p->free_first = 0;
    p->heap_count = p->count = p->at_work = 0;
}

/* ---- the heap: at one time, who was parked first ---------------------------------------------------------------------------- */

static bool is_sooner(const struct parked *p, uint32_t a, uint32_t b)
{
    const struct slot *x = &p->slots[a], *y = &p->slots[b];
    return x->due.ms != y->due.ms ? x->due.ms < y->due.ms : x->offset.n < y->offset.n;
}

static void put_at(struct parked *p, uint32_t at, uint32_t slot)
{
    p->heap[at] = slot;
    p->slots[slot].heap_at = at;
}

static void rise(struct parked *p, uint32_t at)
{
    uint32_t slot = p->heap[at];
    for (; at > 0 && is_sooner(p, slot, p->heap[(at - 1) / 2]); at = (at - 1) / 2)
        put_at(p, at, p->heap[(at - 1) / 2]);
    put_at(p, at, slot);
}

static void sink_down(struct parked *p, uint32_t at)
{
    uint32_t slot = p->heap[at];
    for (uint32_t child; (child = 2 * at + 1) < p->heap_count; at = child) {
        if (child + 1 < p->heap_count && is_sooner(p, p->heap[child + 1], p->heap[child]))
            child++;
        if (!is_sooner(p, p->heap[child], slot))
            break;
        put_at(p, at, p->heap[child]);
    }
    put_at(p, at, slot);
}

static void heap_add(struct parked *p, uint32_t slot)
{
    must(p->slots[slot].heap_at == NOT_RESTING);
    put_at(p, p->heap_count++, slot);
    rise(p, p->heap_count - 1);
}

static void heap_remove(struct parked *p, uint32_t slot)
{
    uint32_t at = p->slots[slot].heap_at, last = p->heap[--p->heap_count];
    must(at <= p->heap_count && p->heap[at] == slot);
    p->slots[slot].heap_at = NOT_RESTING;
    if (last == slot)
        return;
    put_at(p, at, last);
    rise(p, at);
    sink_down(p, p->slots[last].heap_at);
}

/* ---- the way of an event --------------------------------------------------------------------------------------------------- */

/* Who has come to be the first of its key rests until it is due. */
static void lay_to_rest(struct parked *p)
{
    for (uint32_t slot; (slot = lanes_take(p->lanes, 0)) != LANES_NONE;) {
        lanes_rest(p->lanes, slot);
        heap_add(p, slot);
    }
}

enum neap_status parked_add(struct parked *p, uint64_t hash, log_offset offset, wall_time due)
{
    CHECK_MAGIC(p, PARKED_MAGIC);
    uint32_t slot = p->free_first;
    if (slot == PARKED_NONE)
        return NEAP_AGAIN;
    p->free_first = p->slots[slot].free_next;
    p->slots[slot] = (struct slot){ offset, due, NOT_RESTING, PARKED_NONE };
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
    if (p->heap_count == 0 || parked_due(p).ms > now.ms || parked_due(p).ms == PARKED_NEVER)
        return PARKED_NONE;
    uint32_t slot = p->heap[0];
    heap_remove(p, slot);
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
    heap_add(p, slot);
    p->at_work--;
}

void parked_done(struct parked *p, uint32_t slot)
{
    must(p->at_work > 0 && p->slots[slot].heap_at == NOT_RESTING);
    lanes_done(p->lanes, slot);
    p->slots[slot].free_next = p->free_first;
    p->free_first = slot;
    p->at_work--;
    p->count--;
    lay_to_rest(p);
}

wall_time parked_due(const struct parked *p)
{
    return p->heap_count > 0 ? p->slots[p->heap[0]].due : (wall_time){ PARKED_NEVER };
}

bool parked_move(struct parked *p, uint64_t hash, wall_time due)
{
    uint32_t slot = lanes_first(p->lanes, 0, hash);
    if (slot == LANES_NONE || p->slots[slot].heap_at == NOT_RESTING)
        return false;
    heap_remove(p, slot);
    p->slots[slot].due = due;
    heap_add(p, slot);
    return true;
}

struct parked_figures parked_figures(const struct parked *p)
{
    return (struct parked_figures){ p->count, p->heap_count + p->at_work, p->at_work };
}
