#include "base/rooms.h"
#include "base/must.h"
#include <stdlib.h>

#define ROOMS_MAGIC 0x524f4f4du
#define EXACT_COUNT 16u /* lengths with a list of their own */
#define PART_COUNT  8u  /* lists for each power of two beyond */
#define CLASS_COUNT (EXACT_COUNT + 27u * PART_COUNT)
#define WORD_COUNT  ((CLASS_COUNT + 63) / 64)
#define LOOK_COUNT  8u
#define NOBODY      UINT32_MAX

/* Of a unit. A run of one begins and ends in it. */
#define FREE_BEGINS 1u
#define FREE_ENDS   2u

/* Lies in the first unit of a free run; the length alone at the end of the last one, too. */
struct run {
    uint32_t length;        /* units */
    uint32_t before, after; /* in the list of its class */
};

struct rooms {
    uint32_t magic;
    uint32_t unit_count, left;   /* units */
    uint64_t filled[WORD_COUNT]; /* classes that have a run */
    uint32_t first[CLASS_COUNT];
    uint8_t *memory;
    uint8_t *free_at; /* of each unit */
};

size_t rooms_memory_size(size_t size)
{
    return sizeof(struct rooms) + size + size / ROOMS_UNIT;
}

static struct run *run_at(const struct rooms *r, uint32_t unit)
{
    return (struct run *)(void *)(r->memory + (size_t)unit * ROOMS_UNIT);
}

static uint32_t *length_before(const struct rooms *r, uint32_t unit)
{
    return (uint32_t *)(void *)(r->memory + (size_t)unit * ROOMS_UNIT - sizeof(uint32_t));
}

/* The last class whose runs may be as short as this. */
static uint32_t class_of(uint32_t length)
{
    if (length < EXACT_COUNT)
        return length;
    uint32_t log = 31u - (uint32_t)__builtin_clz(length);
    return EXACT_COUNT + (log - 4) * PART_COUNT + (length >> (log - 3)) % PART_COUNT;
}

/* The first class of which every run is at least as long. */
static uint32_t class_fitting(uint32_t length)
{
    if (length < EXACT_COUNT)
        return length;
    uint32_t log = 31u - (uint32_t)__builtin_clz(length);
    return class_of(length + (1u << (log - 3)) - 1);
}

static void add_run(struct rooms *r, uint32_t unit, uint32_t length)
{
    uint32_t class = class_of(length);
    *run_at(r, unit) = (struct run){ .length = length, .before = NOBODY, .after = r->first[class] };
    *length_before(r, unit + length) = length;
    if (r->first[class] != NOBODY)
        run_at(r, r->first[class])->before = unit;
    r->first[class] = unit;
    r->filled[class / 64] |= 1ull << class % 64;
    r->free_at[unit] |= FREE_BEGINS;
    r->free_at[unit + length - 1] |= FREE_ENDS;
}

static void remove_run(struct rooms *r, uint32_t unit)
{
    struct run run = *run_at(r, unit);
    uint32_t class = class_of(run.length);
    must(r->free_at[unit] & FREE_BEGINS && r->free_at[unit + run.length - 1] & FREE_ENDS);
    if (run.after != NOBODY)
        run_at(r, run.after)->before = run.before;
    if (run.before != NOBODY)
        run_at(r, run.before)->after = run.after;
    else
        r->first[class] = run.after;
    if (r->first[class] == NOBODY)
        r->filled[class / 64] &= ~(1ull << class % 64);
    r->free_at[unit] = r->free_at[unit + run.length - 1] = 0;
}

/* Together with the free runs on either side. */
static void free_units(struct rooms *r, uint32_t from, uint32_t to)
{
    r->left += to - from;
    if (from > 0 && r->free_at[from - 1] & FREE_ENDS) {
        from -= *length_before(r, from);
        remove_run(r, from);
    }
    if (to < r->unit_count && r->free_at[to] & FREE_BEGINS) {
        uint32_t length = run_at(r, to)->length;
        remove_run(r, to);
        to += length;
    }
    add_run(r, from, to - from);
}

/* NOBODY: there is none. */
static uint32_t find_run(const struct rooms *r, uint32_t length)
{
    uint32_t class = class_fitting(length);
    uint64_t word = class < CLASS_COUNT ? r->filled[class / 64] >> class % 64 << class % 64 : 0;
    for (uint32_t i = class / 64; i < WORD_COUNT; word = ++i < WORD_COUNT ? r->filled[i] : 0)
        if (word != 0)
            return r->first[i * 64 + (uint32_t)__builtin_ctzll(word)];
    uint32_t unit = r->first[class_of(length)]; /* of this class some are as long, others not quite */
    for (uint32_t i = 0; i < LOOK_COUNT && unit != NOBODY; i++, unit = run_at(r, unit)->after)
        if (run_at(r, unit)->length >= length)
            return unit;
    return NOBODY;
}

struct rooms *rooms_new(size_t size)
{
    must(size >= ROOMS_UNIT && size % ROOMS_UNIT == 0 && size / ROOMS_UNIT < 1u << 30);
    struct rooms *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->magic = ROOMS_MAGIC;
    r->unit_count = (uint32_t)(size / ROOMS_UNIT);
    r->memory = aligned_alloc(ROOMS_UNIT, size);
    r->free_at = calloc(1, r->unit_count);
    if (r->memory == NULL || r->free_at == NULL) {
        rooms_free(&r);
        return NULL;
    }
    for (uint32_t i = 0; i < CLASS_COUNT; i++)
        r->first[i] = NOBODY;
    free_units(r, 0, r->unit_count);
    return r;
}

void rooms_free(struct rooms **rooms)
{
    struct rooms *r = *rooms;
    if (r == NULL)
        return;
    CHECK_MAGIC(r, ROOMS_MAGIC);
    free(r->memory);
    free(r->free_at);
    r->magic = 0;
    free(r);
    *rooms = NULL;
}

static uint32_t units_of(size_t size)
{
    return (uint32_t)((size + ROOMS_UNIT - 1) / ROOMS_UNIT);
}

void *rooms_take(struct rooms *r, size_t size)
{
    CHECK_MAGIC(r, ROOMS_MAGIC);
    must(size > 0);
    if (size > (size_t)r->left * ROOMS_UNIT)
        return NULL;
    uint32_t count = units_of(size), unit = find_run(r, count);
    if (unit == NOBODY)
        return NULL;
    uint32_t length = run_at(r, unit)->length;
    remove_run(r, unit);
    r->left -= length;
    if (length > count)
        free_units(r, unit + count, unit + length);
    return r->memory + (size_t)unit * ROOMS_UNIT;
}

void rooms_give(struct rooms *r, void *at, size_t size)
{
    CHECK_MAGIC(r, ROOMS_MAGIC);
    size_t position = (size_t)((uint8_t *)at - r->memory);
    must(size > 0 && position % ROOMS_UNIT == 0 && position / ROOMS_UNIT + units_of(size) <= r->unit_count);
    uint32_t unit = (uint32_t)(position / ROOMS_UNIT);
    must(r->free_at[unit] == 0);
    free_units(r, unit, unit + units_of(size));
}

size_t rooms_left(const struct rooms *r)
{
    return (size_t)r->left * ROOMS_UNIT;
}
