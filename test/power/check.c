/* check.c - what a log holds, against what was told and what each unit must be, byte for byte. */
#include "base/must.h"
#include "power.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETTINGS_BASE (1ll << 50) /* milliseconds */

void broken(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("broken: ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    fflush(stdout);
    exit(1);
}

static uint64_t mix(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t unit_batch(uint32_t writer, uint64_t seq, uint64_t generation, uint64_t base, uint8_t *room,
                    struct bytes *ret_batch)
{
    struct batch_builder builder;
    static uint8_t value[VALUE_SIZE_MAX];
    uint64_t state = seq * 1000003 + writer;
    uint32_t count = 1 + mix(&state) % RECORDS_MAX;
    bool large = mix(&state) % 16 == 0;
    batch_begin(&builder, room, BATCH_ROOM);
    for (uint32_t i = 0; i < count; i++) {
        size_t size = 96 + mix(&state) % (large ? VALUE_SIZE_MAX - 96 : 400);
        int head = snprintf((char *)value, 96, "%u %llu %llu %llu ", writer, (unsigned long long)seq,
                            (unsigned long long)generation, (unsigned long long)(base + i));
        for (size_t at = (size_t)head; at < size; at++)
            value[at] = (uint8_t)mix(&state);
        struct record record = { .value = { value, size }, .time_ms = (int64_t)seq };
        enum neap_status status = batch_add(&builder, &record, NULL, 0);
        must(status == NEAP_OK);
    }
    *ret_batch = batch_end(&builder);
    return count;
}

bool unit_trims(uint32_t writer, uint64_t seq)
{
    uint64_t state = seq * 7919 + writer;
    return mix(&state) % 12 == 0;
}

struct log_topic_settings settings_of(uint64_t number, uint32_t interval_ms)
{
    struct log_topic_settings settings = LOG_SETTINGS_DEFAULT;
    settings.interval_ms = interval_ms;
    if (number > 0)
        settings.retention_ms = SETTINGS_BASE + (int64_t)number;
    return settings;
}

struct bytes unit_fact(uint8_t room[FACT_SIZE], uint64_t seq, uint64_t generation)
{
    memcpy(room, &seq, 8);
    memcpy(room + 8, &generation, 8);
    return (struct bytes){ room, FACT_SIZE };
}

/* ---- one partition ---- */

struct walk {
    uint32_t writer;
    bool trims, done;
    bool fresh;    /* nothing was seen of this partition yet */
    uint64_t step; /* from one unit to the next */
    uint64_t generation;
    uint64_t start, next; /* offsets */
    uint64_t seq, base;   /* of the last unit seen; seq 0: none */
    uint64_t trimmed;     /* to where the last unit seen that trims has done so */
};

static uint64_t seq_of(const struct walk *w, struct bytes batch)
{
    struct batch opened;
    struct record record;
    struct batch_walk walk;
    if (batch_open(batch, true, &opened) != NEAP_OK || batch_unpack(&opened, NULL, &walk) != NEAP_OK)
        broken("g%llu/%u: what begins at offset %llu is no batch", (unsigned long long)w->generation, w->writer,
               (unsigned long long)w->next);
    char head[97] = "";
    if (batch_next(&walk, &record) == NEAP_OK && record.value.size >= 96)
        memcpy(head, record.value.at, 96);
    unsigned writer;
    unsigned long long seq;
    return sscanf(head, "%u %llu ", &writer, &seq) == 2 && writer == w->writer ? seq : 0;
}

/* Retention may free more while we walk: then the walk goes on at the new start. */
static void follow_start(struct walk *w, struct log *log, struct log_partition partition, const struct log_batch *batch)
{
    log_offset start, end;
    if (!w->done || batch->base.n <= w->next || log_partition_range(log, partition, &start, &end) != NEAP_OK ||
        start.n <= w->start)
        return;
    w->fresh = true;
    w->seq = 0;
    w->next = w->start = start.n;
}

static void walk_batch(struct walk *w, const struct log_batch *batch)
{
    static uint8_t room[BATCH_ROOM];
    struct bytes wanted;
    uint64_t seq = seq_of(w, batch->bytes);
    if (w->fresh && batch->base.n < w->next && batch->base.n + batch->count > w->next)
        w->next = batch->base.n; /* it starts inside a batch */
    if (batch->base.n != w->next)
        broken("g%llu/%u: offset %llu follows offset %llu", (unsigned long long)w->generation, w->writer,
               (unsigned long long)batch->base.n, (unsigned long long)w->next);
    bool begins = w->seq == 0 && w->step == 1;
    w->fresh = false;
    if (seq == 0 || (!begins && seq != w->seq + w->step))
        broken("g%llu/%u: at offset %llu unit %llu follows unit %llu", (unsigned long long)w->generation, w->writer,
               (unsigned long long)w->next, (unsigned long long)seq, (unsigned long long)w->seq);
    uint32_t count = unit_batch(w->writer, seq, w->generation, w->next, room, &wanted);
    batch_stamp(room, w->next);
    if (count != batch->count || !bytes_equal(wanted, batch->bytes))
        broken("g%llu/%u: unit %llu at offset %llu is not what was sent", (unsigned long long)w->generation, w->writer,
               (unsigned long long)seq, (unsigned long long)w->next);
    w->seq = seq;
    w->base = w->next;
    if (w->trims && unit_trims(w->writer, seq))
        w->trimmed = w->base;
    w->next += count;
}

static void walk_partition(struct log *log, struct log_partition partition, struct walk *w)
{
    struct log_reader *reader;
    struct log_batch batch;
    struct error err = { 0 };
    log_offset start, end;
    if (log_partition_range(log, partition, &start, &end) != NEAP_OK)
        broken("g%llu has no partition %u", (unsigned long long)w->generation, w->writer);
    w->next = w->start = start.n;
    w->trimmed = 0;
    w->fresh = true;
    if (start.n > 0)
        w->seq = 0; /* what was before is not to be seen */
    enum neap_status status = log_reader_open(log, partition, (log_offset){ 0 }, BATCH_ROOM, &reader, &err);
    if (status != NEAP_OK)
        broken("g%llu/%u: %s", (unsigned long long)w->generation, w->writer, err.text);
    while ((status = log_reader_next(reader, &batch, &err)) == NEAP_OK) {
        follow_start(w, log, partition, &batch);
        walk_batch(w, &batch);
    }
    if (status == NEAP_IO || (status == NEAP_CORRUPT && (strstr(err.text, "its bytes cannot be read") != NULL ||
                                                         strstr(err.text, "an index cannot be read") != NULL)))
        _exit(EXIT_STOPPED); /* the cut: no byte can be read any more */
    if (status != NEAP_AGAIN)
        broken("g%llu/%u: reading ends with %s: %s", (unsigned long long)w->generation, w->writer, status_name(status),
               err.text);
    log_reader_close(&reader);
    if (end.n != w->next)
        broken("g%llu/%u: its end is said to be %llu, and is %llu", (unsigned long long)w->generation, w->writer,
               (unsigned long long)end.n, (unsigned long long)w->next);
    bool freed = w->done && w->start > w->trimmed && w->start <= w->base;
    if (w->start != w->trimmed && !freed)
        broken("g%llu/%u: it starts at %llu, was trimmed to %llu, and its group is at %llu",
               (unsigned long long)w->generation, w->writer, (unsigned long long)w->start,
               (unsigned long long)w->trimmed, (unsigned long long)w->base);
}

/* The group's commit point is where the last unit begins: what was committed with it. */
static void check_offset(struct log *log, struct log_partition partition, const struct walk *w)
{
    char group[16];
    struct log_commit commit = { .offset = { UINT64_MAX } };
    snprintf(group, sizeof group, GROUP_NAME, w->writer);
    bool found = log_offset_get(log, group, partition, NULL, &commit) == NEAP_OK;
    if (found != (w->next > 0))
        broken("g%llu/%u: %llu records, and %s commit point", (unsigned long long)w->generation, w->writer,
               (unsigned long long)w->next, found ? "a" : "no");
    if (found && commit.offset.n != w->base)
        broken("g%llu/%u: the commit point is %llu, and the last unit begins at %llu",
               (unsigned long long)w->generation, w->writer, (unsigned long long)commit.offset.n,
               (unsigned long long)w->base);
}

/* ---- topics ---- */

static bool find_topic(struct log *log, uint64_t generation, struct log_topic *ret_topic)
{
    char name[32];
    snprintf(name, sizeof name, "g%llu", (unsigned long long)generation);
    return log_topic_find(log, name, ret_topic) == NEAP_OK;
}

/* Gives the lowest and the newest topic; they may be the same, or none (0). */
static void check_topics(struct log *log, const struct told *told, uint64_t *ret_lowest, uint64_t *ret_newest)
{
    struct log_topic topic;
    *ret_lowest = *ret_newest = 0;
    for (uint64_t g = 1; g <= told->made + 2; g++) {
        bool there = find_topic(log, g, &topic);
        if (there && g <= told->dropped)
            broken("topic g%llu is there, and its deletion was acknowledged", (unsigned long long)g);
        if (!there && g > told->asked && g <= told->made)
            broken("topic g%llu is not there, and was acknowledged", (unsigned long long)g);
        if (there && g > told->made + 1)
            broken("topic g%llu is there, and was never asked for", (unsigned long long)g);
        if (there && *ret_lowest == 0)
            *ret_lowest = g;
        if (there)
            *ret_newest = g;
    }
}

static void check_settings(struct log *log, const struct told *told)
{
    struct log_topic home;
    if (log_topic_find(log, "home", &home) != NEAP_OK)
        return;
    int64_t said = home.settings.retention_ms;
    uint64_t number = said < 0 ? 0 : (uint64_t)(said - SETTINGS_BASE);
    if (number < told->altered || number > told->alter_asked)
        broken("topic home has settings %llu; %llu were acknowledged, and %llu asked for", (unsigned long long)number,
               (unsigned long long)told->altered, (unsigned long long)told->alter_asked);
}

static void read_fact(struct log *log, uint32_t number, uint64_t *ret_seq, uint64_t *ret_generation)
{
    static uint8_t room[LOG_VALUE_SIZE_MAX];
    struct log_topic home;
    struct bytes value;
    *ret_seq = *ret_generation = 0;
    if (log_topic_find(log, "home", &home) != NEAP_OK)
        return;
    struct log_partition partition = { home.id, number };
    if (log_fact_get(log, LOG_VIEW_LEDGER, partition, BYTES("last"), room, &value) != NEAP_OK)
        return;
    if (value.size != FACT_SIZE)
        broken("the fact of writer %u has %zu bytes", number, value.size);
    memcpy(ret_seq, value.at, 8);
    memcpy(ret_generation, value.at + 8, 8);
}

static void check_kept(struct log *log, uint32_t writer, uint64_t seq)
{
    struct walk w = { .writer = writer, .step = KEPT_STEP };
    struct log_topic topic;
    if (log_topic_find(log, "kept", &topic) == NEAP_OK)
        walk_partition(log, (struct log_partition){ topic.id, writer }, &w);
    if (w.seq != seq / KEPT_STEP * KEPT_STEP)
        broken("of writer %u unit %llu was kept last, and it came to unit %llu", writer, (unsigned long long)w.seq,
               (unsigned long long)seq);
}

static void check_writer(struct log *log, const struct told *told, uint64_t lowest, uint64_t newest,
                         struct standing *writer)
{
    uint64_t seq, generation, durable = told->durable[writer->number], acked = told->acked[writer->number];
    struct walk w = { .writer = writer->number, .step = 1, .trims = told->interval_ms == 0, .done = told->done };
    struct log_topic topic;
    read_fact(log, writer->number, &seq, &generation);
    if (seq < durable)
        broken("unit %llu of writer %u was acknowledged, and the last there is %llu", (unsigned long long)durable,
               writer->number, (unsigned long long)seq);
    if (seq > acked + 1)
        broken("unit %llu of writer %u is there, and %llu was the last to be acknowledged", (unsigned long long)seq,
               writer->number, (unsigned long long)acked);
    *writer = (struct standing){ .number = writer->number, .seq = seq, .generation = generation };
    for (uint64_t g = lowest; g != 0 && g <= newest; g++) {
        if (!find_topic(log, g, &topic))
            broken("topic g%llu is gone, and g%llu before it is there", (unsigned long long)g,
                   (unsigned long long)lowest);
        w.generation = g;
        struct log_partition partition = { topic.id, writer->number };
        walk_partition(log, partition, &w);
        check_offset(log, partition, &w);
        if (g == generation) {
            writer->base = w.base;
            if (w.next == 0 || w.seq != seq)
                broken("the last unit of writer %u is %llu by its fact, and %llu by its records in g%llu",
                       writer->number, (unsigned long long)seq, (unsigned long long)w.seq, (unsigned long long)g);
        }
    }
    check_kept(log, writer->number, seq);
    if (w.seq > seq)
        broken("unit %llu of writer %u is there without its fact", (unsigned long long)w.seq, writer->number);
}

void power_check(struct log *log, const struct told *told, struct standing writers[WRITER_COUNT],
                 uint64_t *ret_generation)
{
    uint64_t lowest, newest;
    check_topics(log, told, &lowest, &newest);
    check_settings(log, told);
    for (uint32_t i = 0; i < WRITER_COUNT; i++) {
        writers[i].number = i;
        check_writer(log, told, lowest, newest, &writers[i]);
    }
    *ret_generation = newest;
}
