#include "flow/lanes.h"
#include "base/must.h"
#include <stdlib.h>

#define LANES_MAGIC 0x4c414e45u

enum place { NOWHERE, WAITS, READY, AT_WORK, RESTS };

struct slot {
    uint64_t hash;       /* of stage and key */
    uint32_t next;       /* behind it in its lane */
    uint32_t last;       /* of the lane; the first one's alone is right */
    uint32_t ready_next; /* behind it in the stage's queue */
    uint8_t stage, place;
};

/* Of a hash table with linear probing: where the lane's first one is, and where the entry would best lie. */
struct entry {
    uint32_t home; /* of 32 bits, the lower ones count */
    uint32_t first;
};

struct stage {
    uint32_t ready_first, ready_last;
    struct lanes_figures figures;
};

struct lanes {
    uint32_t magic, slot_count, stage_count, mask;
    struct slot *slots;
    struct entry *entries;
    struct stage stages[];
};

/* At most half full: a search ends soon. */
static uint32_t entry_count(uint32_t slot_count)
{
    uint32_t count = 16;
    while (count < 2 * slot_count)
        count *= 2;
    return count;
}

size_t lanes_size(uint32_t slot_count, uint32_t stage_count)
{
    return sizeof(struct lanes) + stage_count * sizeof(struct stage) + slot_count * sizeof(struct slot) +
           entry_count(slot_count) * sizeof(struct entry);
}

struct lanes *lanes_new(uint32_t slot_count, uint32_t stage_count)
{
    must(slot_count > 0 && slot_count <= 1u << 30 && stage_count > 0 && stage_count <= LANES_STAGE_COUNT_MAX);
    struct lanes *l = calloc(1, sizeof(*l) + stage_count * sizeof(l->stages[0]));
    if (l == NULL)
        return NULL;
    *l = (struct lanes){ LANES_MAGIC, slot_count, stage_count, entry_count(slot_count) - 1, NULL, NULL };
    l->slots = malloc(slot_count * sizeof(l->slots[0]));
    l->entries = malloc(entry_count(slot_count) * sizeof(l->entries[0]));
    if (l->slots == NULL || l->entries == NULL) {
        lanes_free(&l);
        return NULL;
    }
    lanes_clear(l);
    return l;
}

void lanes_free(struct lanes **lanes)
{
    struct lanes *l = *lanes;
    if (l == NULL)
        return;
    CHECK_MAGIC(l, LANES_MAGIC);
    free(l->slots);
    free(l->entries);
    l->magic = 0;
    free(l);
    *lanes = NULL;
}

void lanes_clear(struct lanes *l)
{
    CHECK_MAGIC(l, LANES_MAGIC);
    for (uint32_t i = 0; i < l->slot_count; i++)
        l->slots[i] = (struct slot){ .place = NOWHERE };
    for (uint32_t i = 0; i <= l->mask; i++)
        l->entries[i].first = LANES_NONE;
    for (uint32_t i = 0; i < l->stage_count; i++)
        l->stages[i] = (struct stage){ LANES_NONE, LANES_NONE, { 0 } };
}

/* ---- the table: stage and key to lane ------------------------------------------------------------------------------- */

static uint64_t hash_in(uint32_t stage, uint64_t hash)
{
    hash ^=
        (stage + 1) * 0x9e3779b97f4a7c15u; /* the golden ratio's digits: any odd number without a pattern would do */
    hash *= 0xd6e8feb86659fd93u;
    return hash ^ hash >> 32;
}

/* Where the lane stands, or the empty entry where it would. */
static uint32_t find(const struct lanes *l, uint64_t hash)
{
    uint32_t home = (uint32_t)hash, i = home & l->mask;
    while (l->entries[i].first != LANES_NONE &&
           (l->entries[i].home != home || l->slots[l->entries[i].first].hash != hash))
        i = (i + 1) & l->mask;
    return i;
}

/* Whoever stands behind the gap and may stand in it moves there: no search meets a hole. */
static void remove_entry(struct lanes *l, uint32_t gap)
{
    for (uint32_t i = (gap + 1) & l->mask; l->entries[i].first != LANES_NONE; i = (i + 1) & l->mask) {
        uint32_t way = (i - l->entries[i].home) & l->mask, to_gap = (i - gap) & l->mask;
        if (way < to_gap)
            continue;
        l->entries[gap] = l->entries[i];
        gap = i;
    }
    l->entries[gap].first = LANES_NONE;
}

/* ---- the queue of those that are ready -------------------------------------------------------------------------------- */

static void make_ready(struct lanes *l, uint32_t slot)
{
    struct stage *s = &l->stages[l->slots[slot].stage];
    l->slots[slot].place = READY;
    l->slots[slot].ready_next = LANES_NONE;
    if (s->ready_first == LANES_NONE)
        s->ready_first = slot;
    else
        l->slots[s->ready_last].ready_next = slot;
    s->ready_last = slot;
    s->figures.ready++;
}

/* ---- the way of an event ------------------------------------------------------------------------------------------------ */

static struct slot *slot_at(struct lanes *l, uint32_t slot, enum place place)
{
    must(slot < l->slot_count);
    must(l->slots[slot].place == place);
    return &l->slots[slot];
}

void lanes_expect(const struct lanes *l, uint32_t stage, uint64_t hash)
{
    __builtin_prefetch(&l->entries[(uint32_t)hash_in(stage, hash) & l->mask], 1);
}

void lanes_put(struct lanes *l, uint32_t stage, uint32_t slot, uint64_t hash)
{
    must(stage < l->stage_count);
    struct slot *s = slot_at(l, slot, NOWHERE);
    *s = (struct slot){ .hash = hash_in(stage, hash), .next = LANES_NONE, .last = slot, .stage = (uint8_t)stage };
    struct entry *e = &l->entries[find(l, s->hash)];
    if (e->first == LANES_NONE) {
        *e = (struct entry){ (uint32_t)s->hash, slot };
        make_ready(l, slot);
        return;
    }
    struct slot *first = &l->slots[e->first];
    l->slots[first->last].next = slot;
    first->last = slot;
    s->place = WAITS;
    l->stages[stage].figures.waiting++;
}

uint32_t lanes_take(struct lanes *l, uint32_t stage)
{
    must(stage < l->stage_count);
    struct stage *s = &l->stages[stage];
    uint32_t slot = s->ready_first;
    if (slot == LANES_NONE)
        return LANES_NONE;
    struct slot *taken = slot_at(l, slot, READY);
    taken->place = AT_WORK;
    s->ready_first = taken->ready_next;
    if (s->ready_first != LANES_NONE) /* it was put long ago: by the time it is taken it has come from memory */
        __builtin_prefetch(&l->slots[s->ready_first], 1);
    __builtin_prefetch(&l->entries[(uint32_t)taken->hash & l->mask], 1); /* when it is done */
    s->figures.ready--;
    s->figures.at_work++;
    return slot;
}

static void leave(struct lanes *l, struct slot *s)
{
    struct lanes_figures *f = &l->stages[s->stage].figures;
    must(s->place == AT_WORK || s->place == RESTS);
    if (s->place == AT_WORK)
        f->at_work--;
    else
        f->resting--;
    s->place = NOWHERE;
}

void lanes_done(struct lanes *l, uint32_t slot)
{
    must(slot < l->slot_count);
    struct slot *s = &l->slots[slot];
    uint32_t entry = find(l, s->hash), next = s->next;
    must(l->entries[entry].first == slot);
    leave(l, s);
    if (next == LANES_NONE) {
        remove_entry(l, entry);
        return;
    }
    struct slot *first = slot_at(l, next, WAITS);
    first->last = s->last;
    l->entries[entry].first = next;
    l->stages[first->stage].figures.waiting--;
    make_ready(l, next);
}

void lanes_rest(struct lanes *l, uint32_t slot)
{
    struct slot *s = slot_at(l, slot, AT_WORK);
    leave(l, s);
    s->place = RESTS;
    l->stages[s->stage].figures.resting++;
}

void lanes_again(struct lanes *l, uint32_t slot)
{
    leave(l, slot_at(l, slot, RESTS));
    make_ready(l, slot);
}

uint32_t lanes_first(const struct lanes *l, uint32_t stage, uint64_t hash)
{
    must(stage < l->stage_count);
    return l->entries[find(l, hash_in(stage, hash))].first;
}

uint32_t lanes_behind(const struct lanes *l, uint32_t slot)
{
    must(slot < l->slot_count && l->slots[slot].place != NOWHERE);
    return l->slots[slot].next;
}

struct lanes_figures lanes_figures(const struct lanes *l, uint32_t stage)
{
    must(stage < l->stage_count);
    return l->stages[stage].figures;
}
