/* bench_library.c - what the C call costs: neap_append() beside log_submit() of batches built beforehand, in the same run.
 *
 *     bench-library DIR [seconds per case]
 *
 * Both keep as much on its way as 1,024 calls allow, to one partition, and both end when all of it is durable. log_submit()
 * is given the same finished batch again and again: what it takes to encode events is the call's to pay, and is in its
 * figure. In turn, five times each; medians. The ratio is events against events. */
#include "figures.h"

#include "base/must.h"
#include "io/real.h"
#include "log/batch.h"
#include "log/log.h"
#include "neap/neap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_COUNT  1024u
#define ROUND_COUNT 5u
#define VALUE_SIZE  100u
#define SOON_MS     60000

static uint8_t value[VALUE_SIZE];

struct plain {
    struct io *io;
    struct log *log;
    struct log_client *client;
    struct io_agent agent;
    struct log_partition to;
    struct bytes batch;
    uint32_t events;
    struct slot {
        struct log_unit unit;
        struct log_op op;
    } slots[SLOT_COUNT];
    uint32_t free_slots[SLOT_COUNT], free_count;
    uint64_t submitted, done;
    mono_time end;
};

static void plain_done(struct log_unit *unit, enum neap_status status)
{
    struct plain *p = unit->ctx;
    must(status == NEAP_OK);
    p->free_slots[p->free_count++] = (uint32_t)((struct slot *)(void *)unit - p->slots);
    p->done++;
}

static uint32_t plain_work(void *ctx, mono_time now)
{
    struct plain *p = ctx;
    uint32_t count = log_client_work(p->client);
    while (now.ns < p->end.ns && p->free_count > 0) {
        struct slot *slot = &p->slots[p->free_slots[p->free_count - 1]];
        slot->op = (struct log_op){ .kind = LOG_APPEND, .target = p->to, .count = p->events, .payload = p->batch };
        slot->unit = (struct log_unit){ .ops = &slot->op, .count = 1, .done = plain_done, .ctx = p };
        if (log_submit(p->client, &slot->unit) != NEAP_OK)
            break;
        p->free_count--;
        p->submitted++;
        count++;
    }
    if (now.ns >= p->end.ns && p->done == p->submitted)
        io_agent_leave(&p->agent);
    return count;
}

static double plain_run(struct plain *p, double seconds)
{
    struct error err;
    mono_time start = io_now(p->io);
    p->submitted = p->done = 0;
    p->end = mono_after(start, (int64_t)(seconds * 1e9));
    must(io_agent_run(p->io, &p->agent, MONO_NEVER, &err) == NEAP_OK);
    return (double)(p->done * p->events) / ((double)(io_now(p->io).ns - start.ns) / 1e9);
}

static void build(struct plain *p, uint32_t events)
{
    static uint8_t room[1u << 20];
    struct batch_builder b;
    batch_begin(&b, room, sizeof room);
    for (uint32_t i = 0; i < events; i++)
        must(batch_add(&b, &(struct record){ .value = { value, VALUE_SIZE }, .time_ms = 1700000000000 }, NULL, 0) ==
             NEAP_OK);
    p->batch = batch_end(&b);
    p->events = events;
}

static void call_done(void *ctx, const struct neap_outcome *outcome)
{
    must(outcome->status == NEAP_OK);
    *(uint64_t *)ctx += 1;
}

static double call_run(struct plain *p, struct neap_writer *writer, struct neap_topic *topic, uint32_t events,
                       double seconds)
{
    static struct neap_event list[1024];
    uint64_t calls = 0, done = 0;
    for (uint32_t i = 0; i < events; i++)
        list[i] = (struct neap_event){ .value = { value, VALUE_SIZE }, .time_ms = 1700000000000 };
    mono_time start = io_now(p->io), end = mono_after(start, (int64_t)(seconds * 1e9));
    while (io_now(p->io).ns < end.ns) {
        enum neap_status status = NEAP_OK;
        for (uint32_t i = 0; i < 64 && status == NEAP_OK; i++) {
            status = neap_append(writer, topic, 0, list, events, call_done, &done);
            calls += status == NEAP_OK;
        }
        if (status == NEAP_AGAIN)
            must(neap_writer_wait(writer, SOON_MS) == NEAP_OK);
        else
            must(status == NEAP_OK);
    }
    must(neap_writer_flush(writer, SOON_MS) == NEAP_OK && done == calls);
    return (double)(calls * events) / ((double)(io_now(p->io).ns - start.ns) / 1e9);
}

int main(int argc, char **argv)
{
    static struct plain p;
    struct error err = { 0 };
    struct neap_error neap_err;
    char plain_path[512], call_path[512];
    if (argc < 2) {
        fprintf(stderr, "usage: bench-library DIR [seconds per case]\n");
        return 2;
    }
    double seconds = argc > 2 ? atof(argv[2]) : 0.5;
    snprintf(plain_path, sizeof plain_path, "%s/plain", argv[1]);
    snprintf(call_path, sizeof call_path, "%s/call", argv[1]);
    memset(value, 'x', sizeof value);
    p.io = io_real_open(&err);
    p.agent = (struct io_agent){ .name = "producer", .work = plain_work, .ctx = &p };
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        p.free_slots[p.free_count++] = i;
    struct log_options options = { .path = plain_path, .disk_size = 4ull << 30 };
    struct log_topic topic;
    struct neap *neap;
    struct neap_writer *writer;
    struct neap_topic *call_topic;
    if (p.io == NULL || log_open(p.io, &options, &p.log, &err) != NEAP_OK ||
        io_agent_attach(p.io, &p.agent, &err) != NEAP_OK ||
        log_client_open(p.log, &(struct log_client_options){ .inflight_count_max = SLOT_COUNT, .agent = &p.agent },
                        &p.client, &err) != NEAP_OK ||
        log_topic_ensure(p.client, "t", 1, MONO_NEVER, &topic, &err) != NEAP_OK) {
        fprintf(stderr, "bench-library: %s\n", err.text);
        return 1;
    }
    p.to = (struct log_partition){ topic.id, 0 };
    if (neap_open(&(struct neap_options){ .path = call_path, .disk_size = 4ull << 30 }, &neap, &neap_err) != NEAP_OK ||
        neap_writer_open(neap, NULL, &writer, &neap_err) != NEAP_OK ||
        neap_topic_open(writer, "t", 1, SOON_MS, &call_topic, &neap_err) != NEAP_OK) {
        fprintf(stderr, "bench-library: %s\n", neap_err.text);
        return 1;
    }
    static const uint32_t sizes[] = { 1, 16, 128, 1024 };
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        double plain[ROUND_COUNT], call[ROUND_COUNT], ratio[ROUND_COUNT];
        build(&p, sizes[s]);
        for (uint32_t i = 0; i < ROUND_COUNT; i++) {
            plain[i] = plain_run(&p, seconds);
            call[i] = call_run(&p, writer, call_topic, sizes[s], seconds);
            ratio[i] = call[i] / plain[i];
        }
        printf("%4u events a call, %u bytes each  neap_append %9.0f events/s  log_submit %9.0f events/s  ratio %.2f\n",
               sizes[s], VALUE_SIZE, median(call, ROUND_COUNT), median(plain, ROUND_COUNT), median(ratio, ROUND_COUNT));
        fflush(stdout);
    }
    neap_topic_close(&call_topic);
    must(neap_writer_close(&writer, SOON_MS) == NEAP_OK && neap_close(&neap) == NEAP_OK);
    log_client_close(&p.client);
    io_agent_stop(&p.agent);
    log_close(&p.log);
    io_real_close(&p.io);
    return 0;
}
