#include "flow/commit.h"
#include "base/must.h"
#include <stdlib.h>

#define COMMIT_VERSION 1u

void commit_init(struct commit *c, log_offset point, uint32_t run_count_max)
{
    must(run_count_max > 0);
    *c = (struct commit){ .point = point, .run_count_max = run_count_max };
}

void commit_fini(struct commit *c)
{
    free(c->runs);
    *c = (struct commit){ 0 };
}

/* The first run that ends after `offset`: the one that holds it, or else the next one. */
static uint32_t find_run(const struct commit *c, uint64_t offset)
{
    uint32_t low = 0, high = c->run_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (c->runs[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum neap_status insert_run(struct commit *c, uint32_t index, struct commit_run run)
{
    if (c->run_count == c->run_count_max)
        return NEAP_FULL;
    if (c->run_count == c->run_room) {
        uint32_t room = c->run_room == 0 ? 64 : 2 * c->run_room;
        struct commit_run *runs = realloc(c->runs, room * sizeof *runs);
        if (runs == NULL)
            return NEAP_NOMEM;
        c->runs = runs;
        c->run_room = room;
    }
    memmove(c->runs + index + 1, c->runs + index, (c->run_count - index) * sizeof *c->runs);
    c->runs[index] = run;
    c->run_count++;
    return NEAP_OK;
}

static void remove_runs(struct commit *c, uint32_t index, uint32_t count)
{
    must(index + count <= c->run_count);
    if (count == 0)
        return; /* maybe there is no table yet */
    memmove(c->runs + index, c->runs + index + count, (c->run_count - index - count) * sizeof *c->runs);
    c->run_count -= count;
}

enum neap_status commit_add(struct commit *c, log_offset offset)
{
    if (commit_has(c, offset))
        return NEAP_OK;
    uint32_t i = find_run(c, offset.n); /* runs[i] lies wholly behind it */
    bool touches_before = i > 0 && c->runs[i - 1].end == offset.n;
    bool touches_after = i < c->run_count && c->runs[i].start == offset.n + 1;
    if (touches_before && touches_after) {
        c->runs[i - 1].end = c->runs[i].end;
        remove_runs(c, i, 1);
    } else if (touches_before) {
        c->runs[i - 1].end++;
    } else if (touches_after) {
        c->runs[i].start--;
    } else {
        enum neap_status status = insert_run(c, i, (struct commit_run){ offset.n, offset.n + 1 });
        if (status != NEAP_OK)
            return status;
    }
    c->count++;
    return NEAP_OK;
}

bool commit_has(const struct commit *c, log_offset offset)
{
    if (offset.n < c->point.n)
        return true;
    if (c->run_count == 0)
        return false;
    uint32_t i = find_run(c, offset.n);
    return i < c->run_count && c->runs[i].start <= offset.n;
}

bool commit_next(const struct commit *c, log_offset from, log_offset *ret_offset)
{
    uint32_t i = find_run(c, from.n);
    if (i == c->run_count)
        return false;
    ret_offset->n = c->runs[i].start > from.n ? c->runs[i].start : from.n;
    return true;
}

void commit_move(struct commit *c, log_offset point)
{
    must(point.n >= c->point.n); /* what is done stays done */
    c->point = point;
    uint32_t passed = 0;
    while (passed < c->run_count && c->runs[passed].end <= point.n) {
        c->count -= c->runs[passed].end - c->runs[passed].start;
        passed++;
    }
    remove_runs(c, 0, passed);
    if (c->run_count > 0 && c->runs[0].start < point.n) {
        c->count -= point.n - c->runs[0].start;
        c->runs[0].start = point.n;
    }
}

log_offset commit_lowest(const struct commit *c)
{
    if (c->run_count > 0 && c->runs[0].start == c->point.n)
        return (log_offset){ c->runs[0].end };
    return c->point;
}

static size_t run_size(const struct commit *c, uint32_t index)
{
    uint64_t end = index > 0 ? c->runs[index - 1].end : 0;
    return uvarint_size(c->runs[index].start - end) + uvarint_size(c->runs[index].end - c->runs[index].start);
}

bool commit_fits(const struct commit *c)
{
    size_t size = 1;
    for (uint32_t i = 0; i < c->run_count && size <= LOG_VALUE_SIZE_MAX; i++)
        size += run_size(c, i);
    return size <= LOG_VALUE_SIZE_MAX;
}

struct bytes commit_encode(const struct commit *c, uint8_t *room)
{
    if (c->run_count == 0)
        return (struct bytes){ room, 0 };
    struct writer w = writer_of(room, LOG_VALUE_SIZE_MAX);
    write_u8(&w, COMMIT_VERSION);
    for (uint32_t i = 0; i < c->run_count; i++) {
        if (writer_size(&w) + run_size(c, i) > LOG_VALUE_SIZE_MAX)
            break;
        write_uvarint(&w, c->runs[i].start - (i > 0 ? c->runs[i - 1].end : 0));
        write_uvarint(&w, c->runs[i].end - c->runs[i].start);
    }
    must(!w.full);
    return writer_bytes(&w);
}

struct bytes commit_held(void)
{
    return log_held_set();
}

bool commit_is_held(struct bytes set)
{
    return bytes_equal(set, commit_held());
}

static bool read_run(struct reader *r, bool first, uint64_t *end, struct commit_run *ret_run)
{
    uint64_t gap = read_uvarint(r), size = read_uvarint(r);
    struct commit_run run;
    if (r->spent || size == 0 || (gap == 0 && !first))
        return false;
    if (__builtin_add_overflow(*end, gap, &run.start) || __builtin_add_overflow(run.start, size, &run.end))
        return false;
    *end = run.end;
    *ret_run = run;
    return true;
}

static enum neap_status check_set(struct bytes set)
{
    struct reader r = reader_of(set);
    uint8_t version = read_u8(&r);
    if (version != COMMIT_VERSION)
        return version > COMMIT_VERSION ? NEAP_VERSION : NEAP_CORRUPT;
    struct commit_run run;
    uint64_t end = 0;
    do {
        if (!read_run(&r, end == 0, &end, &run))
            return NEAP_CORRUPT;
    } while (reader_left(&r) > 0);
    return NEAP_OK;
}

/* The union of two sorted lists of runs, each of them with gaps: `to` has room for both. Answers how many it became. */
static uint32_t merge_runs(const struct commit_run *a, uint32_t a_count, const struct commit_run *b, uint32_t b_count,
                           struct commit_run *to)
{
    uint32_t i = 0, j = 0, n = 0;
    while (i < a_count || j < b_count) {
        bool from_a = j == b_count || (i < a_count && a[i].start <= b[j].start);
        struct commit_run run = from_a ? a[i++] : b[j++];
        if (n == 0 || to[n - 1].end < run.start)
            to[n++] = run;
        else if (to[n - 1].end < run.end)
            to[n - 1].end = run.end;
    }
    return n;
}

static void take_runs(struct commit *c, struct commit_run *runs, uint32_t count, uint32_t room)
{
    free(c->runs);
    if (count > 0 && runs[0].start < c->point.n)
        runs[0].start = c->point.n; /* no other can */
    c->runs = runs;
    c->run_room = room;
    c->run_count = count;
    c->count = 0;
    for (uint32_t i = 0; i < count; i++)
        c->count += runs[i].end - runs[i].start;
}

/* With sorted runs, none of which lies wholly below the point. */
static enum neap_status join_runs(struct commit *c, const struct commit_run *more, uint32_t more_count)
{
    uint32_t room = c->run_count + more_count;
    struct commit_run *all = malloc((room + 1) * sizeof *all);
    if (all == NULL)
        return NEAP_NOMEM;
    uint32_t count = merge_runs(c->runs, c->run_count, more, more_count, all);
    if (count > c->run_count_max) {
        free(all);
        return NEAP_FULL;
    }
    take_runs(c, all, count, room + 1);
    return NEAP_OK;
}

enum neap_status commit_join(struct commit *c, const struct commit *other)
{
    uint32_t from = find_run(other, c->point.n);
    return from < other->run_count ? join_runs(c, other->runs + from, other->run_count - from) : NEAP_OK;
}

enum neap_status commit_part(struct commit *c, const struct commit *other)
{
    if (c->run_count == 0 || other->run_count == 0)
        return NEAP_OK;
    uint32_t room = c->run_count + other->run_count, count = 0, j = 0;
    struct commit_run *left = malloc(room * sizeof *left); /* each of the others parts one run at most */
    if (left == NULL)
        return NEAP_NOMEM;
    for (uint32_t i = 0; i < c->run_count; i++) {
        struct commit_run run = c->runs[i];
        while (j < other->run_count && other->runs[j].end <= run.start)
            j++;
        for (uint32_t k = j; k < other->run_count && other->runs[k].start < run.end; k++) {
            if (run.start < other->runs[k].start)
                left[count++] = (struct commit_run){ run.start, other->runs[k].start };
            run.start = other->runs[k].end < run.end ? other->runs[k].end : run.end;
        }
        if (run.start < run.end)
            left[count++] = run;
    }
    if (count > c->run_count_max) {
        free(left);
        return NEAP_FULL;
    }
    take_runs(c, left, count, room);
    return NEAP_OK;
}

uint64_t commit_within(const struct commit *c, log_offset from, log_offset to)
{
    uint64_t count = 0;
    for (uint32_t i = find_run(c, from.n); i < c->run_count && c->runs[i].start < to.n; i++) {
        uint64_t start = c->runs[i].start > from.n ? c->runs[i].start : from.n;
        count += (c->runs[i].end < to.n ? c->runs[i].end : to.n) - start;
    }
    return count;
}

enum neap_status commit_unite(struct commit *c, struct bytes set)
{
    must(set.size <= LOG_VALUE_SIZE_MAX);
    if (set.size == 0)
        return NEAP_OK;
    enum neap_status status = check_set(set);
    if (status != NEAP_OK)
        return status;
    struct commit_run *more = malloc(set.size / 2 * sizeof *more); /* a run takes two bytes at least */
    if (more == NULL)
        return NEAP_NOMEM;
    struct reader r = reader_of((struct bytes){ set.at + 1, set.size - 1 });
    uint32_t more_count = 0;
    uint64_t end = 0;
    for (struct commit_run run; reader_left(&r) > 0 && read_run(&r, end == 0, &end, &run);) {
        if (run.end <= c->point.n)
            continue;
        run.start = run.start < c->point.n ? c->point.n : run.start;
        more[more_count++] = run;
    }
    status = join_runs(c, more, more_count);
    free(more);
    return status;
}
