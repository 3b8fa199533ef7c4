/* bench_log.c - durable appends against a bare serial loop of the same bytes, in the same run.
 *
 *     bench-log DIR [seconds per round [event size [batch size [partitions]]]]      0 or left out: all of them
 *
 * For each event size, batch size and number of partitions: one agent appends batches of events, each to the next partition
 * of a walk that jumps about and meets all of them, as many on their way as the log lets in, for a while. Then the same number of bytes per sync is written to a file that has been written before, by
 * pwrite and fdatasync in turn: what a program without any log would do. The ratio is bytes against bytes, batches
 * alone against bare bytes (what the journal writes about them is its own affair). Both are done in turn several times; medians.
 * The journal writes into recycled files: a topic is filled and deleted first, and again after each round.
 *
 * Then latency: one in flight, and at half of the full rate. */
#include "base/histogram.h"
#include "base/must.h"
#include "io/real.h"
#include "log/batch.h"
#include "log/log.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOT_COUNT_MAX \
    2048u /* on their way at a time: 16 connections with a pipeline of 128, as Redis is measured with */
#define ROUND_COUNT 5u
#define INDEX_COUNT (512u << 10) /* a file of 64 MiB holds 320 Ki events of 100 B in batches of their own */
#define STRIDE      7919u        /* a prime: the next partition's things are never the neighbour's */

struct producer {
    struct io *io;
    struct log *log;
    struct log_client *client;
    struct io_agent agent;
    struct io_timer timer;
    struct log_partition to;
    uint32_t partition_count;
    uint8_t *batch;
    size_t batch_size;
    uint32_t events; /* in a batch */
    struct slot {
        struct log_unit unit;
        struct log_op op;
        mono_time submitted;
    } slots[SLOT_COUNT_MAX];
    uint32_t slot_count, free_slots[SLOT_COUNT_MAX], free_count;
    int64_t interval_ns;       /* 0: as fast as it goes */
    uint32_t sync_interval_ms; /* of the topic; 0: answered after the sync */
    mono_time now, next, end;  /* now: of the turn */
    uint64_t submitted, done;
    struct histogram latency;
};

static void done(struct log_unit *unit, enum neap_status status)
{
    struct slot *slot = (struct slot *)unit;
    struct producer *p = unit->ctx;
    must(status == NEAP_OK);
    histogram_add(&p->latency, (uint64_t)(p->now.ns - slot->submitted.ns));
    p->free_slots[p->free_count++] = (uint32_t)(slot - p->slots);
    p->done++;
}

static bool submit(struct producer *p, mono_time since)
{
    if (p->free_count == 0)
        return false;
    p->to.partition = (p->to.partition + STRIDE) % p->partition_count;
    struct slot *slot = &p->slots[p->free_slots[p->free_count - 1]];
    slot->op = (struct log_op){
        .kind = LOG_APPEND, .target = p->to, .count = p->events, .payload = { p->batch, p->batch_size }
    };
    slot->unit = (struct log_unit){ .ops = &slot->op, .count = 1, .done = done, .ctx = p };
    slot->submitted = since;
    if (log_submit(p->client, &slot->unit) != NEAP_OK)
        return false;
    p->free_count--;
    p->submitted++;
    return true;
}

static void fire(struct io_timer *timer, mono_time now)
{
    (void)now;
    io_agent_wake(timer->agent);
}

static uint32_t work(void *ctx, mono_time now)
{
    struct producer *p = ctx;
    p->now = now;
    uint32_t count = log_client_work(p->client);
    if (now.ns >= p->end.ns) {
        if (p->done == p->submitted)
            io_agent_leave(&p->agent);
        return count;
    }
    if (p->interval_ns == 0) {
        while (submit(p, now))
            count++;
        return count;
    }
    while (p->next.ns <=
           now.ns) { /* an event that is late was late from the time it was due: no coordinated omission */
        if (!submit(p, p->next))
            break;
        p->next.ns += p->interval_ns;
        count++;
    }
    io_timer_set(&p->timer, p->next.ns > now.ns ? p->next : mono_after(now, NS_PER_MS));
    return count;
}

static void make_batch(struct producer *p, uint32_t events, uint32_t size)
{
    size_t room = (size_t)events * (size + 32) + 256;
    struct batch_builder builder;
    uint8_t value[1024];
    memset(value, 'x', sizeof value);
    free(p->batch);
    p->batch = malloc(room);
    must(p->batch != NULL && size <= sizeof value);
    batch_begin(&builder, p->batch, room);
    for (uint32_t i = 0; i < events; i++) {
        struct record record = { .value = { value, size }, .time_ms = 1700000000000 };
        must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    }
    p->batch_size = batch_end(&builder).size;
    p->events = events;
}

/* What each thread has run so far: it tells where the time goes, also on a machine that others use. */
enum { CPU_PRODUCER, CPU_JOURNAL, CPU_SYNC, CPU_KEEPER, CPU_COUNT };

static void read_cpu(uint64_t ret_ns[CPU_COUNT])
{
    static const char *const names[CPU_COUNT] = { "", "journal", "sync",
                                                  "keeper" }; /* the producer is the main thread */
    memset(ret_ns, 0, CPU_COUNT * sizeof(ret_ns[0]));
    DIR *threads = opendir("/proc/self/task");
    for (struct dirent *entry; threads != NULL && (entry = readdir(threads)) != NULL;) {
        char path[300], name[32] = "";
        unsigned long long ns = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        FILE *f = fopen(path, "r");
        must(f == NULL || fscanf(f, "%31s", name) >= 0);
        if (f != NULL)
            fclose(f);
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
        f = fopen(path, "r");
        must(f == NULL || fscanf(f, "%llu", &ns) >= 0);
        if (f != NULL)
            fclose(f);
        for (int i = 0; i < CPU_COUNT; i++)
            ret_ns[i] += strcmp(name, names[i]) == 0 || (i == CPU_PRODUCER && atoi(entry->d_name) == getpid()) ? ns : 0;
    }
    if (threads != NULL)
        closedir(threads);
}

struct outcome {
    double seconds;
    uint64_t batches, syncs;
    uint64_t cpu_ns[CPU_COUNT];
};

static struct outcome produce(struct producer *p, double seconds, uint32_t inflight, int64_t interval_ns)
{
    struct log_figures before, after;
    struct error err;
    uint64_t cpu_before[CPU_COUNT];
    read_cpu(cpu_before);
    log_figures(p->log, &before);
    histogram_init(&p->latency);
    p->slot_count = inflight;
    p->free_count = 0;
    for (uint32_t i = 0; i < inflight; i++)
        p->free_slots[p->free_count++] = i;
    p->submitted = p->done = 0;
    p->interval_ns = interval_ns;
    mono_time start = io_now(p->io);
    p->next = start;
    p->end = mono_after(start, (int64_t)(seconds * 1e9));
    must(io_agent_run(p->io, &p->agent, MONO_NEVER, &err) == NEAP_OK);
    mono_time end = io_now(p->io);
    log_figures(p->log, &after);
    struct outcome o = { (double)(end.ns - start.ns) / 1e9, p->done, after.sync_count - before.sync_count, { 0 } };
    read_cpu(o.cpu_ns);
    for (int i = 0; i < CPU_COUNT; i++)
        o.cpu_ns[i] -= cpu_before[i];
    return o;
}

static void new_topic(struct producer *p, uint32_t partition_count)
{
    static int number;
    char name[32];
    struct log_topic topic;
    struct error err;
    mono_time deadline = mono_after(io_now(p->io), 60 * NS_PER_S);
    if (p->to.topic_id != 0) {
        struct log_op op = { .kind = LOG_TOPIC_DELETE, .target = p->to };
        struct log_unit unit = { .ops = &op, .count = 1 };
        must(log_submit_wait(p->client, &unit, deadline) == NEAP_OK);
    }
    snprintf(name, sizeof name, "t%d", number++);
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    settings.interval_ms = p->sync_interval_ms;
    must(log_topic_ensure_with(p->client, name, partition_count, &settings, deadline, &topic, &err) == NEAP_OK);
    p->to = (struct log_partition){ topic.id, 0 };
    p->partition_count = partition_count;
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

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static void full_load(struct producer *p, struct bare *bare, uint32_t size, uint32_t events, uint32_t partitions,
                      double seconds)
{
    double ratios[ROUND_COUNT], rates[ROUND_COUNT], bares[ROUND_COUNT], cpu[CPU_COUNT][ROUND_COUNT];
    uint64_t per_sync = 0;
    make_batch(p, events, size);
    for (uint32_t i = 0; i < ROUND_COUNT; i++) {
        new_topic(p, partitions);
        struct outcome o = produce(p, seconds, SLOT_COUNT_MAX, 0);
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
    make_batch(p, events, size);
    new_topic(p, 1);
    struct outcome full = produce(p, seconds, SLOT_COUNT_MAX, 0);
    new_topic(p, 1);
    produce(p, seconds, 1, 0);
    struct histogram one = p->latency;
    new_topic(p, 1);
    produce(p, seconds, SLOT_COUNT_MAX, (int64_t)(2e9 * full.seconds / (double)full.batches));
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
    make_batch(p, 1024, 100);
    new_topic(p, 1);
    struct log_figures f;
    do {
        produce(p, 0.2, SLOT_COUNT_MAX, 0);
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
    struct error err = { 0 };
    struct bare bare = { 0 };
    char path[512];
    if (argc < 2) {
        fprintf(stderr, "usage: bench-log DIR [seconds per round [event size [batch size [partitions]]]]\n");
        return 2;
    }
    double seconds = argc > 2 ? atof(argv[2]) : 0.3;
    snprintf(path, sizeof path, "%s/log", argv[1]);
    p.io = io_real_open(&err);
    must(p.io != NULL);
    struct log_options options = { .path = path, .disk_size = 4ull << 30, .index_count_max = INDEX_COUNT };
    p.agent = (struct io_agent){ .name = "producer", .work = work, .ctx = &p };
    p.timer = (struct io_timer){ .agent = &p.agent, .fire = fire };
    if (log_open(p.io, &options, &p.log, &err) != NEAP_OK || io_agent_attach(p.io, &p.agent, &err) != NEAP_OK ||
        log_client_open(p.log, &(struct log_client_options){ .inflight_count_max = SLOT_COUNT_MAX, .agent = &p.agent },
                        &p.client, &err) != NEAP_OK) {
        fprintf(stderr, "bench-log: %s\n", err.text);
        return 1;
    }
    bare_open(&bare, argv[1]);
    warm_up(&p);
    printf("durable appends, one process, at full load, against pwrite + fdatasync of as many bytes per sync\n");
    static const uint32_t sizes[] = { 100, 1024 }, batches[] = { 1, 16, 128, 1024 }, partitions[] = { 1, 100, 10000 };
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (size_t b = 0; b < COUNT_OF(batches); b++)
            for (size_t n = 0; n < COUNT_OF(partitions); n++)
                if (wanted(argc, argv, 3, sizes[s]) && wanted(argc, argv, 4, batches[b]) &&
                    wanted(argc, argv, 5, partitions[n]))
                    full_load(&p, &bare, sizes[s], batches[b], partitions[n], seconds);
    if (argc <= 3) {
        printf("latency of an append\n");
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
            latency(&p, sizes[s], 1, 2 * seconds);
        latency(&p, 100, 128, 2 * seconds);
        printf("the same, answered after the write: on a topic with a sync interval\n");
        p.sync_interval_ms = 50;
        latency(&p, 100, 1, 2 * seconds);
        latency(&p, 100, 128, 2 * seconds);
    }
    log_client_close(&p.client);
    io_agent_stop(&p.agent);
    log_close(&p.log);
    io_real_close(&p.io);
    free(p.batch);
    free(bare.bytes);
    close(bare.fd);
    return 0;
}
