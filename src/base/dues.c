#include "base/dues.h"
#include "base/must.h"
#include <stdlib.h>

#define DUES_MAGIC 0x44554553u

struct due {
    int64_t at;
    uint64_t rank;
    uint32_t number;
};

/* A heap: no due is sooner than the one at half its place. */
struct dues {
    uint32_t magic, count_max, count;
    struct due *heap;
    uint32_t *place; /* of each number; DUES_NONE: it is not there */
};

size_t dues_memory_size(uint32_t count_max)
{
    return sizeof(struct dues) + count_max * (sizeof(struct due) + sizeof(uint32_t));
}

struct dues *dues_new(uint32_t count_max)
{
    must(count_max > 0 && count_max < DUES_NONE);
    struct dues *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->magic = DUES_MAGIC;
    d->count_max = count_max;
    d->heap = malloc(count_max * sizeof(d->heap[0]));
    d->place = malloc(count_max * sizeof(d->place[0]));
    if (d->heap == NULL || d->place == NULL)
        dues_free(&d);
    else
        dues_clear(d);
    return d;
}

void dues_free(struct dues **dues)
{
    struct dues *d = *dues;
    if (d == NULL)
        return;
    CHECK_MAGIC(d, DUES_MAGIC);
    free(d->heap);
    free(d->place);
    d->magic = 0;
    free(d);
    *dues = NULL;
}

void dues_clear(struct dues *d)
{
    CHECK_MAGIC(d, DUES_MAGIC);
    for (uint32_t i = 0; i < d->count_max; i++)
        d->place[i] = DUES_NONE;
    d->count = 0;
}

static bool is_sooner(const struct due *a, const struct due *b)
{
    return a->at != b->at ? a->at < b->at : a->rank < b->rank;
}

static void put(struct dues *d, uint32_t place, struct due due)
{
    d->heap[place] = due;
    d->place[due.number] = place;
}

/* Where it belongs, from `place` towards the first or the last. */
static void settle(struct dues *d, uint32_t place, struct due due)
{
    for (; place > 0 && is_sooner(&due, &d->heap[(place - 1) / 2]); place = (place - 1) / 2)
        put(d, place, d->heap[(place - 1) / 2]);
    for (uint32_t child; (child = 2 * place + 1) < d->count; place = child) {
        if (child + 1 < d->count && is_sooner(&d->heap[child + 1], &d->heap[child]))
            child++;
        if (!is_sooner(&d->heap[child], &due))
            break;
        put(d, place, d->heap[child]);
    }
    put(d, place, due);
}

void dues_add(struct dues *d, uint32_t number, int64_t at, uint64_t rank)
{
    CHECK_MAGIC(d, DUES_MAGIC);
    must(number < d->count_max && d->place[number] == DUES_NONE);
    settle(d, d->count++, (struct due){ at, rank, number });
}

void dues_remove(struct dues *d, uint32_t number)
{
    CHECK_MAGIC(d, DUES_MAGIC);
    must(dues_has(d, number));
    uint32_t place = d->place[number];
    struct due last = d->heap[--d->count];
    d->place[number] = DUES_NONE;
    if (last.number != number)
        settle(d, place, last);
}

bool dues_has(const struct dues *d, uint32_t number)
{
    return number < d->count_max && d->place[number] != DUES_NONE;
}

uint32_t dues_first(const struct dues *d)
{
    return d->count > 0 ? d->heap[0].number : DUES_NONE;
}

int64_t dues_at(const struct dues *d, uint32_t number)
{
    must(dues_has(d, number));
    return d->heap[d->place[number]].at;
}

uint32_t dues_count(const struct dues *d)
{
    return d->count;
}
