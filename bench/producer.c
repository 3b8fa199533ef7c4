#include "producer.h"

#include "base/must.h"
#include "io/real.h"
#include "log/batch.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STRIDE 7919u /* a prime: the next partition's things are never the neighbour's */

static void done(struct log_unit *unit, enum neap_status status)
{
    struct slot *slot = (struct slot *)unit;
    struct producer *p = unit->ctx;
    must(status == NEAP_OK || status == NEAP_FULL);
    p->refused += status != NEAP_OK;
    histogram_add(&p->latency, (uint64_t)(p->now.ns - slot->submitted.ns));
    p->free_slots[p->free_count++] = (uint32_t)(slot - p->slots);
    p->done++;
}

static bool submit(struct producer *p, mono_time since)
{
    if (p->free_count == 0)
        return false;
    p->to.topic_id = p->topic_ids[p->submitted % p->topic_count];
    if (p->submitted % p->topic_count == 0)
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

void producer_make_batch(struct producer *p, uint32_t events, uint32_t size)
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

struct outcome producer_run(struct producer *p, double seconds, uint32_t inflight, int64_t interval_ns)
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
    p->submitted = p->done = p->refused = 0;
    p->interval_ns = interval_ns;
    mono_time start = io_now(p->io);
    p->next = start;
    p->end = mono_after(start, (int64_t)(seconds * 1e9));
    must(io_agent_run(p->io, &p->agent, MONO_NEVER, &err) == NEAP_OK);
    mono_time end = io_now(p->io);
    log_figures(p->log, &after);
    struct outcome o = { .seconds = (double)(end.ns - start.ns) / 1e9,
                         .batches = p->done - p->refused,
                         .refused = p->refused,
                         .syncs = after.sync_count - before.sync_count };
    read_cpu(o.cpu_ns);
    for (int i = 0; i < CPU_COUNT; i++)
        o.cpu_ns[i] -= cpu_before[i];
    return o;
}

void producer_add_topic(struct producer *p, const char *name, uint32_t partition_count,
                        const struct log_topic_settings *settings)
{
    struct log_topic topic;
    struct error err;
    must(p->topic_count < COUNT_OF(p->topic_ids));
    must(log_topic_ensure_with(p->client, name, partition_count, settings, mono_after(io_now(p->io), 60 * NS_PER_S),
                               &topic, &err) == NEAP_OK);
    p->topic_ids[p->topic_count++] = topic.id;
    p->partition_count = partition_count;
}

void producer_open(struct producer *p, const struct log_options *options)
{
    struct error err = { 0 };
    p->io = io_real_open(&err);
    must(p->io != NULL);
    p->agent = (struct io_agent){ .name = "producer", .work = work, .ctx = p };
    p->timer = (struct io_timer){ .agent = &p->agent, .fire = fire };
    struct log_client_options client = { .inflight_count_max = SLOT_COUNT_MAX, .agent = &p->agent };
    if (log_open(p->io, options, &p->log, &err) == NEAP_OK && io_agent_attach(p->io, &p->agent, &err) == NEAP_OK &&
        log_client_open(p->log, &client, &p->client, &err) == NEAP_OK)
        return;
    fprintf(stderr, "bench: %s\n", err.text);
    exit(1);
}

void producer_close(struct producer *p)
{
    log_client_close(&p->client);
    io_agent_stop(&p->agent);
    log_close(&p->log);
    io_real_close(&p->io);
    free(p->batch);
    p->batch = NULL;
}
