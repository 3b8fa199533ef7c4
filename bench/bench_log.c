/* bench_log.c - durable appends against a bare serial loop of the same bytes, in the same run.
 *
 *     bench-log DIR [seconds per round [event size [batch size [partitions [on their way]]]]]      0 or left out: all of them
 *
 * For each event size, batch size and number of partitions: one agent appends batches of events, each to the next partition
 * of a walk that jumps about and meets all of them, as many on their way as the log lets in, for a while. Then the same number
 * of bytes per sync is written to a file that has been written before, by pwrite and fdatasync in turn: what a program
 * without any log would do. The ratio is bytes against bytes, batches alone against bare bytes (what the journal writes
 * about them is its own affair). Both are done in turn several times; medians.
 * The journal writes into recycled files: a topic is filled and deleted first, and again after each round.
 *
 * Then latency: one in flight, and at half of the full rate. */
#include "producer.h"

#include "base/must.h"
#include "io/real.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUND_COUNT 5u
#define INDEX_COUNT (512u << 10) /* a file of 64 MiB holds 320 Ki events of 100 B in batches of their own */

static uint32_t sync_interval_ms; /* of the next topic; 0: answered after the sync */

static void new_topic(struct producer *p, uint32_t partition_count)
{
    static int number;
    char name[32];
    if (p->topic_count > 0) {
        struct log_op op = { .kind = LOG_TOPIC_DELETE, .target = { p->topic_ids[--p->topic_count], 0 } };
        struct log_unit unit = { .ops = &op, .count = 1 };
        must(log_submit_wait(p->client, &unit, mono_after(io_now(p->io), 60 * NS_PER_S)) == NEAP_OK);
    }
    snprintf(name, sizeof name, "t%d", number++);
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    settings.interval_ms = sync_interval_ms;
    producer_add_topic(p, name, partition_count, &settings);
}

/* ---- the bare loop ---- */

struct bare {
    int fd;
    size_t file_size, at;
    uint8_t *bytes;
};

static void bare_open(struct bare *b, const char *folder)
{
    char path[512];
    snprintf(path, sizeof path, "%s/bare", folder);
    b->file_size = 256u << 20;
    b->bytes = malloc(8u << 20);
    b->fd = open(path, O_RDWR | O_CREAT, 0600);
    must(b->fd >= 0 && b->bytes != NULL);
    memset(b->bytes, 'y', 8u << 20);
    for (size_t at = 0; at < b->file_size; at += 8u << 20)
        must(pwrite(b->fd, b->bytes, 8u << 20, (off_t)at) == 8 << 20);
    must(fsync(b->fd) == 0);
}

static double bare_run(struct io *io, struct bare *b, size_t size, uint64_t syncs)
{
    mono_time start = io_now(io);
    for (uint64_t i = 0; i < syncs; i++) {
        if (b->at + size > b->file_size)
            b->at = 0;
        must(pwrite(b->fd, b->bytes, size, (off_t)b->at) == (ssize_t)size);
        must(fdatasync(b->fd) == 0);
        b->at += size;
    }
    return (double)(io_now(io).ns - start.ns) / 1e9;
}

static void full_load(struct producer *p, struct bare *bare, uint32_t size, uint32_t events, uint32_t partitions,
                      double seconds, uint32_t inflight)
{
    double ratios[ROUND_COUNT], rates[ROUND_COUNT], bares[ROUND_COUNT], cpu[CPU_COUNT][ROUND_COUNT];
    uint64_t per_sync = 0;
    producer_make_batch(p, events, size);
    for (uint32_t i = 0; i < ROUND_COUNT; i++) {
        new_topic(p, partitions);
        struct outcome o = producer_run(p, seconds, inflight, 0);
        double bytes = (double)o.batches * (double)p->batch_size;
        per_sync = (uint64_t)(bytes / (double)o.syncs);
        uint64_t syncs = (uint64_t)((double)o.syncs / 2 + 1);
        double bare_seconds = bare_run(p->io, bare, per_sync, syncs);
        rates[i] = bytes / o.seconds;
        bares[i] = (double)per_sync * (double)syncs / bare_seconds;
        ratios[i] = rates[i] / bares[i];
        for (int n = 0; n < CPU_COUNT; n++)
            cpu[n][i] = (double)o.cpu_ns[n] / (double)o.batches;
    }
    double rate = median(rates, ROUND_COUNT);
    printf(
        "%5u B x %4u  %5u partitions  %9.0f events/s  %5.0f MB/s  bare %5.0f MB/s  %7.0f B/sync  ratio %.2f   CPU ns a "
        "batch: producer %.0f journal %.0f sync %.0f keeper %.0f\n",
        size, events, partitions, rate / (double)p->batch_size * events, rate / 1e6, median(bares, ROUND_COUNT) / 1e6,
        (double)per_sync, median(ratios, ROUND_COUNT), median(cpu[CPU_PRODUCER], ROUND_COUNT),
        median(cpu[CPU_JOURNAL], ROUND_COUNT), median(cpu[CPU_SYNC], ROUND_COUNT),
        median(cpu[CPU_KEEPER], ROUND_COUNT));
    fflush(stdout);
}

static double us(const struct histogram *h, double q)
{
    return (double)histogram_quantile(h, q) / 1e3;
}

static void latency(struct producer *p, uint32_t size, uint32_t events, double seconds)
{
    producer_make_batch(p, events, size);
    new_topic(p, 1);
    struct outcome full = producer_run(p, seconds, SLOT_COUNT_CONNECTIONS, 0);
    new_topic(p, 1);
    producer_run(p, seconds, 1, 0);
    struct histogram one = p->latency;
    new_topic(p, 1);
    producer_run(p, seconds, SLOT_COUNT_CONNECTIONS, (int64_t)(2e9 * full.seconds / (double)full.batches));
    struct histogram half = p->latency;
    printf("%6u B x %4u  one in flight p50 %4.0f p99 %5.0f p99.9 %6.0f us   half load p50 %5.0f p99 %6.0f p99.9 %6.0f "
           "us\n",
           size, events, us(&one, 0.5), us(&one, 0.99), us(&one, 0.999), us(&half, 0.5), us(&half, 0.99),
           us(&half, 0.999));
    fflush(stdout);
}

/* Leaves a pool of files behind that have been written before. */
static void warm_up(struct producer *p)
{
    producer_make_batch(p, 1024, 100);
    new_topic(p, 1);
    struct log_figures f;
    do {
        producer_run(p, 0.2, SLOT_COUNT_CONNECTIONS, 0);
        log_figures(p->log, &f);
    } while (f.append_size < 1200u << 20);
    new_topic(p, 1);
}

static bool wanted(int argc, char **argv, int which, uint32_t value)
{
    uint32_t asked = argc > which ? (uint32_t)atoi(argv[which]) : 0;
    return asked == 0 || asked == value;
}

int main(int argc, char **argv)
{
    static struct producer p;
    struct bare bare = { 0 };
    char path[512];
    if (argc < 2) {
        fprintf(stderr,
                "usage: bench-log DIR [seconds per round [event size [batch size [partitions [on their way]]]]]\n");
        return 2;
    }
    double seconds = argc > 2 ? atof(argv[2]) : 0.3;
    uint32_t inflight =
        argc > 6 && atoi(argv[6]) > 0 && atoi(argv[6]) < (int)SLOT_COUNT_MAX ? (uint32_t)atoi(argv[6]) : SLOT_COUNT_MAX;
    snprintf(path, sizeof path, "%s/log", argv[1]);
    struct log_options options = { .path = path, .disk_size = 4ull << 30, .index_count_max = INDEX_COUNT };
    producer_open(&p, &options);
    bare_open(&bare, argv[1]);
    warm_up(&p);
    printf("durable appends, one process, at full load, against pwrite + fdatasync of as many bytes per sync\n");
    static const uint32_t sizes[] = { 100, 1024 }, batches[] = { 1, 16, 128, 1024 }, partitions[] = { 1, 100, 10000 };
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (size_t b = 0; b < COUNT_OF(batches); b++)
            for (size_t n = 0; n < COUNT_OF(partitions); n++)
                if (wanted(argc, argv, 3, sizes[s]) && wanted(argc, argv, 4, batches[b]) &&
                    wanted(argc, argv, 5, partitions[n]))
                    full_load(&p, &bare, sizes[s], batches[b], partitions[n], seconds, inflight);
    if (argc <= 3) {
        printf("latency of an append\n");
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
            latency(&p, sizes[s], 1, 2 * seconds);
        latency(&p, 100, 128, 2 * seconds);
        printf("the same, answered after the write: on a topic with a sync interval\n");
        sync_interval_ms = 50;
        latency(&p, 100, 1, 2 * seconds);
        latency(&p, 100, 128, 2 * seconds);
    }
    producer_close(&p);
    free(bare.bytes);
    close(bare.fd);
    return 0;
}
