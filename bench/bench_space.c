/* bench_space.c - what it costs that space comes back: durable appends with and without draining, in the same run; and how much
 * disk is used for what is live.
 *
 *     bench-space DIR [seconds per round [event size [batch size]]]
 *
 * Batches go to two topics in turn, 16 partitions each. Both keep their newest bytes. Where they keep as many, journal files
 * die whole and are recycled. Where one keeps little and the other much, half of each file outlives the rest: what lives is
 * copied to archives, which are joined and rewritten in their turn as it dies. Each is filled until what it keeps has been
 * replaced once, so that cleaning is at its steady pace; then both append for a while in turn, as fast as they can; medians. */
#include "producer.h"

#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

#define ROUND_COUNT     5u
#define PARTITION_COUNT 16u
#define MUCH            (2ull << 30) /* bytes that the topics of a log keep together */
#define LITTLE          (16ull << 20)

struct side {
    struct producer producer;
    const char *name;
    double rates[ROUND_COUNT], used[ROUND_COUNT], keeper[ROUND_COUNT];
};

static void side_open(struct side *s, const char *folder, uint64_t first_size, uint64_t second_size)
{
    char path[512];
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    snprintf(path, sizeof path, "%s/%s", folder, s->name);
    producer_open(&s->producer, &(struct log_options){ .path = path, .disk_size = 16ull << 30 });
    settings.retention_size = (int64_t)(first_size / PARTITION_COUNT);
    producer_add_topic(&s->producer, "first", PARTITION_COUNT, &settings);
    settings.retention_size = (int64_t)(second_size / PARTITION_COUNT);
    producer_add_topic(&s->producer, "second", PARTITION_COUNT, &settings);
}

static uint64_t live_events(const struct producer *p)
{
    uint64_t live = 0;
    for (uint32_t t = 0; t < p->topic_count; t++)
        for (uint32_t n = 0; n < PARTITION_COUNT; n++) {
            log_offset start, end;
            must(log_partition_range(p->log, (struct log_partition){ p->topic_ids[t], n }, &start, &end) == NEAP_OK);
            live += end.n - start.n;
        }
    return live;
}

/* Of what holds events, for each byte of batches that is live. */
static double used_ratio(const struct producer *p)
{
    struct log_figures f;
    log_figures(p->log, &f);
    return (double)f.disk_live_size / ((double)live_events(p) * (double)p->batch_size / p->events);
}

static void fill(struct side *s)
{
    struct producer *p = &s->producer;
    struct log_figures f;
    do {
        producer_run(p, 1, SLOT_COUNT_CONNECTIONS, 0);
        log_figures(p->log, &f);
        if (p->refused > 0)
            fprintf(stderr, "%s: %llu batches were refused: the disk is full\n", s->name,
                    (unsigned long long)p->refused);
    } while (f.append_size < 2 * MUCH);
}

static void round_of(struct side *s, uint32_t round, double seconds)
{
    struct producer *p = &s->producer;
    struct outcome o = producer_run(p, seconds, SLOT_COUNT_CONNECTIONS, 0);
    s->rates[round] = (double)o.batches * (double)p->batch_size / o.seconds;
    s->keeper[round] = (double)o.cpu_ns[CPU_KEEPER] / 1e9 / o.seconds;
    s->used[round] = used_ratio(p);
}

static void compare(const char *folder, uint32_t size, uint32_t events, double seconds)
{
    static struct side whole, half;
    double ratios[ROUND_COUNT];
    whole = (struct side){ .name = "whole" };
    half = (struct side){ .name = "half" };
    producer_make_batch(&whole.producer, events, size);
    producer_make_batch(&half.producer, events, size);
    side_open(&whole, folder, MUCH / 2, MUCH / 2);
    side_open(&half, folder, LITTLE, MUCH - LITTLE);
    fill(&whole);
    fill(&half);
    for (uint32_t i = 0; i < ROUND_COUNT; i++) {
        round_of(&whole, i, seconds);
        round_of(&half, i, seconds);
        ratios[i] = half.rates[i] / whole.rates[i];
    }
    printf(
        "%5u B x %4u  files die whole %5.0f MB/s, used %.2f of live   half of each is drained %5.0f MB/s, used %.2f of "
        "live, keeper %2.0f %% of a core   ratio %.2f\n",
        size, events, median(whole.rates, ROUND_COUNT) / 1e6, median(whole.used, ROUND_COUNT),
        median(half.rates, ROUND_COUNT) / 1e6, median(half.used, ROUND_COUNT), 100 * median(half.keeper, ROUND_COUNT),
        median(ratios, ROUND_COUNT));
    fflush(stdout);
    producer_close(&whole.producer);
    producer_close(&half.producer);
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = { 100, 1024 }, batches[] = { 1, 16, 128, 1024 };
    char command[1024];
    if (argc < 2) {
        fprintf(stderr, "usage: bench-space DIR [seconds per round [event size [batch size]]]\n");
        return 2;
    }
    double seconds = argc > 2 ? atof(argv[2]) : 3;
    uint32_t size = argc > 3 ? (uint32_t)atoi(argv[3]) : 0, events = argc > 4 ? (uint32_t)atoi(argv[4]) : 0;
    printf("durable appends, at full load, while space comes back\n");
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (size_t b = 0; b < COUNT_OF(batches); b++) {
            if ((size != 0 && size != sizes[s]) || (events != 0 && events != batches[b]))
                continue;
            compare(argv[1], sizes[s], batches[b], seconds);
            snprintf(command, sizeof command, "rm -rf '%s/whole' '%s/half'", argv[1], argv[1]);
            must(system(command) == 0);
        }
    return 0;
}
