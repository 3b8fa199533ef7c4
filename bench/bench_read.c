/* bench_read.c - what a reader gets: new events out of memory, old ones from a cold disk, and looking up where they lie.
 *
 *     bench-read DIR [tail | cold | archive | small | lookup]...        left out: all of them
 *
 * tail     events of 100 B in batches of 1, 16, 128 and 1,024, still in memory, every record looked at: events a second on one
 *          core; and the bare walk of the same batches in memory, which is what Kafka's format costs by itself.
 * cold     batches of 64 KiB to 1 MiB, one partition alone or four in turn, the files dropped from the page cache before each
 *          round; against pread at the very same offsets in the same order, dropped as well. Both in turn, medians.
 * archive  the same, of what was drained into archives when the topic that shared its files had gone.
 * small    one partition of 64, whose events of 100 B come in batches of their own: bytes read from files for each byte served.
 * lookup   a new place each time, at 10,000 partitions: looks a second, with the pages of index files in memory. */
#include "figures.h"

#include "base/must.h"
#include "io/real.h"
#include "log/batch.h"
#include "log/local/pages.h"
#include "log/local/place.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUND_COUNT    5u
#define READ_SIZE      (256u << 10) /* as a pipeline's task */
#define UNIT_SIZE      (2u << 20)
#define BATCH_ROOM     (2u << 20)
#define PATH_COUNT_MAX 64u

struct bench {
    struct io *io;
    struct log *log;
    struct log_client *client;
    struct log_options options;
    char path[512];
    uint8_t *batch;
    struct log_op *ops;
    struct error err;
};

static double seconds_of(struct bench *b, mono_time start)
{
    return (double)(io_now(b->io).ns - start.ns) / 1e9;
}

/* ---- a log with something in it ---- */

static void must_work(struct bench *b, enum neap_status status)
{
    if (status == NEAP_OK)
        return;
    fprintf(stderr, "bench-read: %s\n", b->err.text);
    exit(1);
}

static void bench_open(struct bench *b)
{
    must_work(b, log_open(b->io, &b->options, &b->log, &b->err));
    must_work(b, log_client_open(b->log, &(struct log_client_options){ 0 }, &b->client, &b->err));
}

static void bench_close(struct bench *b)
{
    log_client_close(&b->client);
    log_close(&b->log);
}

static void bench_new(struct bench *b, const char *folder, uint32_t tail_size)
{
    char command[600];
    snprintf(b->path, sizeof b->path, "%s/read", folder);
    snprintf(command, sizeof command, "rm -rf '%s'", b->path);
    must(system(command) == 0);
    b->options = (struct log_options){ .path = b->path,
                                       .disk_size = 4ull << 30,
                                       .tail_size = tail_size,
                                       .index_count_max = 512 << 10,
                                       .clean_ns = NS_PER_S };
    bench_open(b);
}

static uint32_t new_topic(struct bench *b, const char *name, uint32_t partition_count)
{
    struct log_topic topic;
    mono_time deadline = mono_after(io_now(b->io), 60 * NS_PER_S);
    must_work(b, log_topic_ensure(b->client, name, partition_count, deadline, &topic, &b->err));
    return topic.id;
}

static struct bytes make_batch(struct bench *b, uint32_t events, uint32_t size)
{
    static uint8_t value[4096];
    struct batch_builder builder;
    memset(value, 'x', sizeof value);
    batch_begin(&builder, b->batch, BATCH_ROOM);
    for (uint32_t i = 0; i < events; i++) {
        struct record record = { .value = { value, size }, .time_ms = 1700000000000 };
        must(batch_add(&builder, &record, NULL, 0) == NEAP_OK);
    }
    return batch_end(&builder);
}

/* `count` batches, to the partitions in turn. */
static void append(struct bench *b, uint32_t topic_id, uint32_t partition_count, struct bytes batch, uint32_t events,
                   uint64_t count)
{
    uint64_t per_unit = UNIT_SIZE / (batch.size + OP_HEADER_SIZE);
    per_unit = per_unit < 1 ? 1 : per_unit > LOG_UNIT_OP_COUNT_MAX ? LOG_UNIT_OP_COUNT_MAX : per_unit;
    for (uint64_t done = 0; done < count;) {
        struct log_unit unit = { .ops = b->ops };
        for (; unit.count < per_unit && done < count; unit.count++, done++)
            b->ops[unit.count] = (struct log_op){ .kind = LOG_APPEND,
                                                  .target = { topic_id, (uint32_t)(done % partition_count) },
                                                  .count = events,
                                                  .payload = batch };
        must(log_submit_wait(b->client, &unit, mono_after(io_now(b->io), 60 * NS_PER_S)) == NEAP_OK);
    }
}

/* ---- tail ---- */

static uint64_t walk_batch(struct bytes bytes, uint64_t *sum)
{
    struct batch batch;
    struct batch_walk walk;
    struct record record;
    uint64_t count = 0;
    must(batch_open(bytes, false, &batch) == NEAP_OK && batch_unpack(&batch, NULL, &walk) == NEAP_OK);
    for (; batch_next(&walk, &record) == NEAP_OK; count++)
        *sum += record.value.at[0];
    return count;
}

static void tail(struct bench *b, const char *folder, uint32_t events)
{
    double rates[ROUND_COUNT], bares[ROUND_COUNT];
    uint64_t sum = 0, wanted = 200000 / events * events;
    bench_new(b, folder, 64 << 20);
    uint32_t id = new_topic(b, "t", 1);
    struct bytes batch = make_batch(b, events, 100);
    append(b, id, 1, batch, events, wanted / events);
    for (uint32_t i = 0; i < ROUND_COUNT; i++) {
        struct log_reader *reader;
        struct log_batch from;
        uint64_t count = 0;
        must_work(b, log_reader_open(b->log, (struct log_partition){ id, 0 }, (log_offset){ 0 }, READ_SIZE, &reader,
                                     &b->err));
        mono_time start = io_now(b->io);
        while (log_reader_next(reader, &from, &b->err) == NEAP_OK)
            count += walk_batch(from.bytes, &sum);
        rates[i] = (double)count / seconds_of(b, start);
        must(count == wanted);
        log_reader_close(&reader);
        start = io_now(b->io);
        for (uint64_t n = 0; n < wanted / events; n++)
            count -= walk_batch(batch, &sum);
        bares[i] = (double)wanted / seconds_of(b, start);
        must(count == 0 && sum > 0);
    }
    double rate = median(rates, ROUND_COUNT), bare = median(bares, ROUND_COUNT);
    printf("tail    100 B x %4u  %10.0f events/s   walk alone %10.0f events/s  ratio %.2f\n", events, rate, bare,
           rate / bare);
    bench_close(b);
}

/* ---- cold ---- */

struct bare_place {
    uint32_t file;
    uint64_t at;
    size_t size;
};

struct bare {
    struct bare_place *places;
    uint64_t count, room;
    char paths[PATH_COUNT_MAX][600];
    int files[PATH_COUNT_MAX];
    uint32_t file_count;
    uint8_t *bytes;
    uint64_t size;
};

static uint32_t bare_file(struct bare *bare, const char *path)
{
    for (uint32_t i = bare->file_count; i > 0; i--)
        if (strcmp(bare->paths[i - 1], path) == 0)
            return i - 1;
    must(bare->file_count < PATH_COUNT_MAX);
    snprintf(bare->paths[bare->file_count], sizeof bare->paths[0], "%s", path);
    bare->files[bare->file_count] = open(path, O_RDONLY);
    must(bare->files[bare->file_count] >= 0);
    return bare->file_count++;
}

/* Where the reader will find them: asked of the log itself. */
static void bare_init(struct bench *b, struct bare *bare, struct log_partition p)
{
    static struct places places;
    *bare = (struct bare){ .room = 1 << 16, .bytes = malloc(BATCH_ROOM) };
    bare->places = malloc(bare->room * sizeof *bare->places);
    must(bare->places != NULL && bare->bytes != NULL);
    places_init(&places, b->log, p, 0);
    while (places_find(&places, &b->err) == NEAP_OK) {
        for (uint32_t i = 0; i < places.count; i++) {
            must(bare->count < bare->room);
            bare->places[bare->count++] =
                (struct bare_place){ bare_file(bare, io_file_path(places.file)), places.list[i].at,
                                     OP_HEADER_SIZE + places.list[i].size };
            bare->size += places.list[i].size;
        }
        places.next = places.list[places.count - 1].base + places.list[places.count - 1].count;
    }
    places_release(&places);
}

static void bare_fini(struct bare *bare)
{
    for (uint32_t i = 0; i < bare->file_count; i++)
        close(bare->files[i]);
    free(bare->places);
    free(bare->bytes);
}

static void drop_cache(const struct bare *bare)
{
    for (uint32_t i = 0; i < bare->file_count; i++) {
        must(fdatasync(bare->files[i]) == 0);
        must(posix_fadvise(bare->files[i], 0, 0, POSIX_FADV_DONTNEED) == 0);
    }
}

static double bare_run(struct bench *b, const struct bare *bare)
{
    mono_time start = io_now(b->io);
    for (uint64_t i = 0; i < bare->count; i++) {
        const struct bare_place *p = &bare->places[i];
        must(pread(bare->files[p->file], bare->bytes, p->size, (off_t)p->at) == (ssize_t)p->size);
    }
    return seconds_of(b, start);
}

static double cold_run(struct bench *b, struct log_partition p, uint64_t *ret_size)
{
    struct log_reader *reader;
    struct log_batch from;
    uint64_t size = 0;
    must_work(b, log_reader_open(b->log, p, (log_offset){ 0 }, READ_SIZE, &reader, &b->err));
    mono_time start = io_now(b->io);
    while (log_reader_next(reader, &from, &b->err) == NEAP_OK)
        size += from.bytes.size;
    double seconds = seconds_of(b, start);
    log_reader_close(&reader);
    *ret_size = size;
    return seconds;
}

static void against_pread(struct bench *b, const char *what, struct log_partition p, uint32_t batch_size,
                          uint32_t partition_count)
{
    double rates[ROUND_COUNT], bares[ROUND_COUNT], ratios[ROUND_COUNT];
    static struct bare bare;
    bare_init(b, &bare, p);
    for (uint32_t i = 0; i < ROUND_COUNT; i++) {
        uint64_t size;
        drop_cache(&bare);
        double bare_seconds = bare_run(b, &bare);
        drop_cache(&bare);
        double seconds = cold_run(b, p, &size);
        must(size == bare.size);
        rates[i] = (double)size / seconds;
        bares[i] = (double)size / bare_seconds;
        ratios[i] = rates[i] / bares[i];
    }
    printf("%-7s %4u KiB x %u partitions  %5.0f MB/s   pread %5.0f MB/s  ratio %.2f\n", what, batch_size >> 10,
           partition_count, median(rates, ROUND_COUNT) / 1e6, median(bares, ROUND_COUNT) / 1e6,
           median(ratios, ROUND_COUNT));
    fflush(stdout);
    bare_fini(&bare);
}

static void cold(struct bench *b, const char *folder, uint32_t batch_size, uint32_t partition_count)
{
    bench_new(b, folder, 4 << 20);
    uint32_t id = new_topic(b, "t", partition_count), events = batch_size / 1024;
    append(b, id, partition_count, make_batch(b, events, 1010), events,
           (partition_count == 1 ? 512u << 20 : 1024u << 20) / batch_size);
    bench_close(b);
    bench_open(b); /* nothing of it is in memory now */
    against_pread(b, "cold", (struct log_partition){ id, 0 }, batch_size, partition_count);
    bench_close(b);
}

/* Until the cleaner has come to rest. */
static void wait_for_archives(struct bench *b)
{
    struct log_figures figures;
    uint64_t last = 0;
    for (int still = 0; still < 20;) {
        usleep(100000);
        log_figures(b->log, &figures);
        uint64_t now = figures.archive_count + 1000 * figures.file_count;
        still = figures.archive_count > 0 && now == last ? still + 1 : 0;
        last = now;
    }
}

static void archive(struct bench *b, const char *folder, uint32_t batch_size, uint32_t partition_count)
{
    bench_new(b, folder, 4 << 20);
    uint32_t id = new_topic(b, "t", partition_count), gone = new_topic(b, "gone", 1), events = batch_size / 1024;
    struct bytes batch = make_batch(b, events, 1010);
    uint64_t count = (384u << 20) / batch_size;
    for (uint64_t i = 0; i < count; i += 8) {
        append(b, id, partition_count, batch, events, 8);
        append(b, gone, 1, batch, events, 16);
    }
    struct log_op op = { .kind = LOG_TOPIC_DELETE, .target = { gone, 0 } };
    struct log_unit unit = { .ops = &op, .count = 1 };
    must(log_submit_wait(b->client, &unit, MONO_NEVER) == NEAP_OK);
    wait_for_archives(b);
    bench_close(b);
    bench_open(b);
    against_pread(b, "archive", (struct log_partition){ id, 0 }, batch_size, partition_count);
    bench_close(b);
}

/* ---- small ---- */

static uint64_t read_so_far(const char *what)
{
    char line[128];
    unsigned long long n = 0;
    FILE *f = fopen("/proc/self/io", "r");
    must(f != NULL);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, what, strlen(what)) == 0)
            n = strtoull(line + strlen(what), NULL, 10);
    fclose(f);
    return n;
}

static void small(struct bench *b, const char *folder, uint32_t partition_count, uint32_t events)
{
    static struct bare bare;
    uint64_t size;
    bench_new(b, folder, 4 << 20);
    uint32_t id = new_topic(b, "t", partition_count);
    append(b, id, partition_count, make_batch(b, events, 100), events, 640000 / events);
    bench_close(b);
    bench_open(b);
    struct log_partition p = { id, 0 };
    bare_init(b, &bare, p);
    drop_cache(&bare);
    uint64_t asked = read_so_far("rchar:"), disk = read_so_far("read_bytes:");
    double seconds = cold_run(b, p, &size);
    asked = read_so_far("rchar:") - asked;
    disk = read_so_far("read_bytes:") - disk;
    printf("small   100 B x %4u, one of %u partitions  %.1f bytes read (%.1f from the disk) for each served, %.0f "
           "events/s\n",
           events, partition_count, (double)asked / (double)size, (double)disk / (double)size,
           (double)(640000 / partition_count) / seconds);
    bare_fini(&bare);
    bench_close(b);
}

/* ---- lookup ---- */

static void lookup(struct bench *b, const char *folder, uint32_t partition_count, uint32_t page_cache_size)
{
    static struct places places;
    double rates[ROUND_COUNT];
    bench_new(b, folder, 4 << 20);
    uint32_t id = new_topic(b, "t", partition_count);
    struct bytes batch = make_batch(b, 1, 100);
    uint64_t count = 1500000, per_partition = count / partition_count, seed = 1;
    append(b, id, partition_count, batch, 1, count);
    bench_close(b);
    b->options.page_cache_size = page_cache_size;
    bench_open(b);
    for (uint32_t round = 0; round < ROUND_COUNT; round++) {
        mono_time start = io_now(b->io);
        uint32_t looks = 20000;
        for (uint32_t i = 0; i < looks; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            struct log_partition p = { id, (uint32_t)(seed >> 33) % partition_count };
            places_init(&places, b->log, p, (seed >> 20) % (per_partition / 2)); /* in files, not in memory */
            must_work(b, places_find(&places, &b->err));
            places_release(&places);
        }
        rates[round] = looks / seconds_of(b, start);
    }
    printf("lookup  %u partitions, %u KiB of pages  %.0f looks/s\n", partition_count, page_cache_size >> 10,
           median(rates, ROUND_COUNT));
    bench_close(b);
}

static bool wanted(int argc, char **argv, const char *what)
{
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], what) == 0)
            return true;
    return argc <= 2;
}

int main(int argc, char **argv)
{
    static struct bench b;
    if (argc < 2) {
        fprintf(stderr, "usage: bench-read DIR [tail | cold | archive | small | lookup]...\n");
        return 2;
    }
    b.io = io_real_open(&b.err);
    b.batch = malloc(BATCH_ROOM);
    b.ops = calloc(LOG_UNIT_OP_COUNT_MAX, sizeof *b.ops);
    must(b.io != NULL && b.batch != NULL && b.ops != NULL);
    static const uint32_t events[] = { 1, 16, 128, 1024 }, sizes[] = { 64 << 10, 256 << 10, 1 << 20 };
    for (size_t i = 0; wanted(argc, argv, "tail") && i < COUNT_OF(events); i++)
        tail(&b, argv[1], events[i]);
    for (size_t i = 0; wanted(argc, argv, "cold") && i < COUNT_OF(sizes); i++)
        for (uint32_t partitions = 1; partitions <= 4; partitions += 3)
            cold(&b, argv[1], sizes[i], partitions);
    for (uint32_t partitions = 1; wanted(argc, argv, "archive") && partitions <= 4; partitions += 3)
        archive(&b, argv[1], 64 << 10, partitions);
    for (uint32_t batch = 1; wanted(argc, argv, "small") && batch <= 16; batch *= 16)
        small(&b, argv[1], 64, batch);
    for (uint32_t size = 8; wanted(argc, argv, "lookup") && size <= 8192; size *= 32)
        lookup(&b, argv[1], 10000, size << 10);
    io_real_close(&b.io);
    free(b.batch);
    free(b.ops);
    return 0;
}
