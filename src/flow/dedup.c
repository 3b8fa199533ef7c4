#include "flow/dedup.h"
#include "base/must.h"
#include <stdlib.h>
#include <string.h>

#define DEDUP_MAGIC 0x44454455u
#define PART_COUNT  64u /* a step is cut into groups of a 64th of count_max at most: no more */
#define GROUP_COUNT (DEDUP_STEP_COUNT + PART_COUNT + 2u) /* than one is forgotten when the count is met */
#define SPAN_MAX    (1ull << 30)                         /* offsets remembered; an entry knows 32 bits of its own */
#define WAY_COUNT   4u                                   /* entries of a bucket: one cache line */
#define MOVE_COUNT  200u /* entries moved to find one a place; two thirds full, it is hardly ever one */

/* Of a hash table in which each id has two buckets. Those that are forgotten lie there until another one takes their place. */
struct entry {
    uint32_t part[3]; /* part[0] == 0: nothing was here yet */
    uint32_t offset;  /* its lower half */
};
struct bucket {
    _Alignas(WAY_COUNT *DEDUP_ENTRY_SIZE) struct entry ways[WAY_COUNT];
};
static_assert(sizeof(struct entry) == DEDUP_ENTRY_SIZE, "an entry is as large as the header says");

struct group { /* ids that are forgotten together */
    int64_t step;
    uint64_t first; /* offset */
    uint32_t count;
};

struct dedup {
    uint32_t magic;
    uint32_t count_max, count; /* ids */
    uint32_t bucket_count, move_next;
    int64_t step_ms;
    uint64_t seen, cut; /* offsets; what lies below the cut is forgotten */
    uint64_t cut_short;
    uint32_t group_first, group_count; /* a ring */
    struct group groups[GROUP_COUNT];
    struct bucket buckets[];
};

static uint32_t buckets_for(uint32_t count_max)
{
    return (count_max + count_max / 2) / WAY_COUNT;
}

size_t dedup_memory_size(uint32_t count_max)
{
    return sizeof(struct dedup) + buckets_for(count_max) * sizeof(struct bucket);
}

struct dedup *dedup_new(int64_t window_ms, uint32_t count_max)
{
    must(window_ms > 0 && count_max >= DEDUP_COUNT_MIN && count_max <= DEDUP_COUNT_MAX);
    struct dedup *d = aligned_alloc(sizeof(struct bucket), dedup_memory_size(count_max));
    if (d == NULL)
        return NULL;
    d->magic = DEDUP_MAGIC;
    d->count_max = count_max;
    d->bucket_count = buckets_for(count_max);
    d->step_ms = window_ms >= DEDUP_STEP_COUNT ? window_ms / DEDUP_STEP_COUNT : 1;
    dedup_clear(d, (log_offset){ 0 });
    return d;
}

void dedup_free(struct dedup **dedup)
{
    struct dedup *d = *dedup;
    if (d == NULL)
        return;
    CHECK_MAGIC(d, DEDUP_MAGIC);
    d->magic = 0;
    free(d);
    *dedup = NULL;
}

void dedup_clear(struct dedup *d, log_offset from)
{
    CHECK_MAGIC(d, DEDUP_MAGIC);
    memset(d->buckets, 0, d->bucket_count * sizeof(d->buckets[0]));
    d->count = d->move_next = d->group_first = d->group_count = 0;
    d->seen = d->cut = from.n;
    d->cut_short = 0;
}

/* ---- steps and groups -------------------------------------------------------------------------------------------------- */

static struct group *group_at(struct dedup *d, uint32_t n)
{
    return &d->groups[(d->group_first + n) % GROUP_COUNT];
}

static void forget_group(struct dedup *d)
{
    must(d->group_count > 0 && d->count >= group_at(d, 0)->count);
    d->count -= group_at(d, 0)->count;
    d->group_first = (d->group_first + 1) % GROUP_COUNT;
    d->group_count--;
    d->cut = d->group_count > 0 ? group_at(d, 0)->first : d->seen;
}

static void cut_short(struct dedup *d)
{
    forget_group(d);
    d->cut_short++;
}

static void begin_group(struct dedup *d, int64_t step, uint64_t first)
{
    if (d->group_count == GROUP_COUNT)
        cut_short(d);
    if (d->group_count == 0)
        d->cut = first;
    *group_at(d, d->group_count++) = (struct group){ .step = step, .first = first };
}

/* Rounded down, before 1970 too. */
static int64_t step_of(const struct dedup *d, int64_t time_ms)
{
    return time_ms / d->step_ms - (time_ms % d->step_ms < 0);
}

/* Time and offsets go on to this event's. */
static void advance(struct dedup *d, uint64_t offset, int64_t time_ms)
{
    int64_t step = step_of(d, time_ms);
    d->seen = offset + 1;
    while (d->group_count > 0 && group_at(d, 0)->step < step - (int64_t)DEDUP_STEP_COUNT)
        forget_group(d);
    while (d->group_count > 0 && d->seen - d->cut >= SPAN_MAX)
        cut_short(d);
    struct group *newest = d->group_count > 0 ? group_at(d, d->group_count - 1) : NULL;
    if (newest == NULL || newest->step < step || newest->count >= d->count_max / PART_COUNT)
        begin_group(d, newest != NULL && newest->step > step ? newest->step : step, offset);
}

/* ---- the table ------------------------------------------------------------------------------------------------------------ */

static struct dedup_id usable(struct dedup_id id)
{
    id.part[0] += id.part[0] == 0;
    return id;
}

static uint32_t bucket_by(const struct dedup *d, uint32_t part)
{
    return (uint32_t)((uint64_t)part * d->bucket_count >> 32);
}

/* How far behind what was seen; at least 1. */
static uint32_t age_of(const struct dedup *d, const struct entry *e)
{
    return (uint32_t)d->seen - e->offset;
}

static bool is_remembered(const struct dedup *d, const struct entry *e)
{
    uint32_t age = age_of(d, e);
    return e->part[0] != 0 && age > 0 && age <= d->seen - d->cut;
}

static struct entry *find_free(struct dedup *d, uint32_t bucket)
{
    for (uint32_t i = 0; i < WAY_COUNT; i++)
        if (!is_remembered(d, &d->buckets[bucket].ways[i]))
            return &d->buckets[bucket].ways[i];
    return NULL;
}

static const struct entry *find(const struct dedup *d, struct dedup_id id)
{
    for (uint32_t n = 0; n < 2; n++) {
        const struct bucket *b = &d->buckets[bucket_by(d, id.part[n])];
        for (uint32_t i = 0; i < WAY_COUNT; i++)
            if (memcmp(b->ways[i].part, id.part, sizeof(id.part)) == 0 && is_remembered(d, &b->ways[i]))
                return &b->ways[i];
    }
    return NULL;
}

/* In one of its two buckets; where both are full, one of theirs moves to its other bucket, and so on. */
static void put(struct dedup *d, struct entry e)
{
    uint32_t bucket = bucket_by(d, e.part[0]), other = bucket_by(d, e.part[1]);
    struct entry *place = find_free(d, bucket);
    if (place == NULL)
        place = find_free(d, bucket = other);
    for (uint32_t i = 1; place == NULL; i++) {
        struct entry *moved = &d->buckets[bucket].ways[d->move_next++ % WAY_COUNT], held = *moved;
        *moved = e;
        e = held;
        bucket = bucket_by(d, e.part[0]) == bucket ? bucket_by(d, e.part[1]) : bucket_by(d, e.part[0]);
        if (i % MOVE_COUNT == 0)
            cut_short(d);
        place = find_free(d, bucket);
    }
    *place = e;
}

/* ---- the verbs -------------------------------------------------------------------------------------------------------------- */

void dedup_expect(const struct dedup *d, struct dedup_id id)
{
    __builtin_prefetch(&d->buckets[bucket_by(d, usable(id).part[0])], 1);
    __builtin_prefetch(&d->buckets[bucket_by(d, id.part[1])], 1);
}

/* Whole revolutions of an offset's 32 bits may go by without an id: nobody forgotten may seem to be remembered again. */
static void make_sure_of_ages(struct dedup *d, uint64_t offset)
{
    if (offset - d->seen < SPAN_MAX && offset / SPAN_MAX == d->seen / SPAN_MAX)
        return;
    while (d->group_count > 0 && offset - d->cut >= SPAN_MAX)
        cut_short(d);
    for (uint32_t i = 0; i < d->bucket_count * WAY_COUNT; i++) {
        struct entry *e = &d->buckets[i / WAY_COUNT].ways[i % WAY_COUNT];
        if (!is_remembered(d, e))
            *e = (struct entry){ .offset = 0 };
    }
}

static void show(struct dedup *d, uint64_t offset, int64_t appended_ms)
{
    make_sure_of_ages(d, offset);
    advance(d, offset, appended_ms);
}

bool dedup_check(struct dedup *d, log_offset offset, int64_t appended_ms, struct dedup_id any)
{
    CHECK_MAGIC(d, DEDUP_MAGIC);
    struct dedup_id id = usable(any);
    bool is_new = offset.n >= d->seen;
    if (is_new)
        show(d, offset.n, appended_ms);
    const struct entry *found = find(d, id);
    if (found != NULL)
        return d->seen - age_of(d, found) < offset.n;
    if (!is_new)
        return false;
    while (d->count == d->count_max) /* a group may have none; the newest one has a 64th at most, and stays */
        cut_short(d);
    d->count++;
    group_at(d, d->group_count - 1)->count++;
    put(d, (struct entry){ { id.part[0], id.part[1], id.part[2] }, (uint32_t)offset.n });
    return false;
}

void dedup_pass(struct dedup *d, log_offset offset, int64_t appended_ms)
{
    CHECK_MAGIC(d, DEDUP_MAGIC);
    if (offset.n >= d->seen)
        show(d, offset.n, appended_ms);
}

log_offset dedup_seen(const struct dedup *d)
{
    return (log_offset){ d->seen };
}

struct dedup_figures dedup_figures(const struct dedup *d)
{
    const struct group *oldest = d->group_count > 0 ? &d->groups[d->group_first] : NULL;
    return (struct dedup_figures){ .count = d->count,
                                   .cut_short = d->cut_short,
                                   .reaches_ms = oldest != NULL ? oldest->step * d->step_ms : INT64_MAX };
}
