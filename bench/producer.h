/* producer.h - an agent that appends batches as fast as the log lets it, or at a rate, and says what that took. */
#ifndef BENCH_PRODUCER_H
#define BENCH_PRODUCER_H

#include "figures.h"

#include "base/histogram.h"
#include "log/log.h"

#define SLOT_COUNT_MAX 16384u /* on their way at a time, at most */
#define SLOT_COUNT_CONNECTIONS \
    2048u /* 16 connections with a pipeline of 128, as Redis is measured with */

struct producer {
    struct io *io;
    struct log *log;
    struct log_client *client;
    struct io_agent agent;
    struct io_timer timer;
    struct log_partition to;
    uint32_t topic_ids[2], topic_count; /* batches go to each in turn */
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
    int64_t interval_ns; /* 0: as fast as it goes */
    mono_time now, next, end;  /* now: of the turn */
    uint64_t submitted, done, refused;
    struct histogram latency;
};

/* What each thread has run so far: it tells where the time goes, also on a machine that others use. */
enum { CPU_PRODUCER, CPU_JOURNAL, CPU_SYNC, CPU_KEEPER, CPU_COUNT };

struct outcome {
    double seconds;
    uint64_t batches, refused, syncs; /* refused: the disk was full for them */
    uint64_t cpu_ns[CPU_COUNT];
};

/* Opens the log and the client, or says why not and leaves the program. */
void producer_open(struct producer *p, const struct log_options *options);
void producer_close(struct producer *p);
void producer_make_batch(struct producer *p, uint32_t events, uint32_t size);
/* A new topic, to which batches go from now on, too; its partitions are as many as those of the others. */
void producer_add_topic(struct producer *p, const char *name, uint32_t partition_count,
                        const struct log_topic_settings *settings);
/* interval_ns: between two batches; 0: as fast as it goes. */
struct outcome producer_run(struct producer *p, double seconds, uint32_t inflight, int64_t interval_ns);

#endif
