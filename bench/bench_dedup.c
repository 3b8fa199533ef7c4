/* bench_dedup.c - what it costs to ask whether an id has been seen, and how much memory it takes to remember it.
 *
 *     bench-dedup [ids remembered (4000000)]
 *
 * Hashes of ids, drawn before, are checked one after the other, each tenth a duplicate of one of those remembered; the table is
 * full, so each new one has an older one forgotten. Beside it, in the same run: as many single reads at the same places of a
 * table of the same size, which is what memory itself takes. */
#include "figures.h"

#include "base/must.h"
#include "flow/dedup.h"
#include "io/real.h"
#include <stdio.h>
#include <stdlib.h>

#define AHEAD       16u
#define ROUND_COUNT 5u

static uint64_t seed = 7;

static void draw(struct dedup_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t a = figures_chance(&seed), b = figures_chance(&seed);
        ids[i] = (struct dedup_id){ { (uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b } };
        if (i > 100 && b >> 32 < (1ull << 32) / 10)
            ids[i] = ids[figures_chance(&seed) % i];
    }
}

static double check_all(struct io *io, struct dedup *d, const struct dedup_id *ids, uint32_t count, uint64_t from,
                        uint64_t *duplicates)
{
    mono_time start = io_now(io);
    for (uint32_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            dedup_expect(d, ids[i + AHEAD]);
        *duplicates += dedup_check(d, (log_offset){ from + i }, (int64_t)(from + i) / 1000, ids[i]);
    }
    return (double)(io_now(io).ns - start.ns) / count;
}

static double read_all(struct io *io, const uint8_t *table, size_t size, const struct dedup_id *ids, uint32_t count,
                       uint64_t *sum)
{
    mono_time start = io_now(io);
    for (uint32_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            __builtin_prefetch(table + (ids[i + AHEAD].part[0] * (uint64_t)size >> 32));
        *sum += table[ids[i].part[0] * (uint64_t)size >> 32];
    }
    return (double)(io_now(io).ns - start.ns) / count;
}

int main(int argc, char **argv)
{
    struct error err;
    uint32_t count = argc > 1 ? (uint32_t)atoi(argv[1]) : 4000000;
    count = count < 100000 ? 100000 : count;
    struct io *io = io_real_open(&err);
    struct dedup *d = dedup_new(1000ll * count, count);
    struct dedup_id *ids = malloc(count * sizeof(ids[0]));
    size_t size = dedup_memory_size(count);
    uint8_t *table = calloc(1, size);
    must(io != NULL && d != NULL && ids != NULL && table != NULL);
    double ns[ROUND_COUNT], bare[ROUND_COUNT];
    uint64_t from = 0, duplicates = 0, sum = 0;
    for (uint32_t i = 0; i < ROUND_COUNT + 2; i++, from += count) {
        draw(ids, count);
        double checked = check_all(io, d, ids, count, from, &duplicates);
        double read = read_all(io, table, size, ids, count, &sum);
        if (i < 2)
            continue; /* it fills up first */
        ns[i - 2] = checked;
        bare[i - 2] = read;
    }
    double checked = median(ns, ROUND_COUNT), read = median(bare, ROUND_COUNT);
    printf(
        "dedup: %u ids of %.1f bytes, the table full: %.1f M checks/s, %.0f ns; a single read of such a table %.0f ns, "
        "ratio %.2f; %.0f %% were duplicates\n",
        count, (double)size / count, 1e3 / checked, checked, read, read / checked,
        100.0 * (double)duplicates / (double)(from + (sum > 0)));
    dedup_free(&d);
    io_real_close(&io);
    free(ids);
    free(table);
    return 0;
}
