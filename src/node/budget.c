#include "node/budget.h"
#include "base/must.h"
#include "base/rooms.h"
#include "flow/pipeline.h"
#include "flow/pool.h"
#include "node/control.h"
#include "sink/sinks.h"
#include "stage/exec.h"
#include "stage/plugin.h"
#include <stdio.h>
#include <string.h>

#define MIB                     (1ull << 20)
#define PARSER_FACTOR           15u /* simdjson: 8 bytes of tape, 4 of index, 5/3 of text for each byte, and the text */
#define SPARE_FROM              (16 * MIB) /* what is above it is shared out, below it there are the least shares */
#define BATCH_SIZE_MIN          (256u << 10)
#define BATCH_SIZE_MAX          (2u << 20)
#define READER_SIZE             (256u << 10)
#define ARENA_OTHER_SIZE        (1u << 20) /* of letters */
#define INDEX_ENTRY_SIZE        48u        /* two indexes of 24 bytes per batch of events */
#define PLUGIN_ANSWER_ROOM      1024u      /* of each call that may be at work, beside the largest event */
#define SLOTS_PER_CALL          16u
#define SLOT_ROOM               512u
#define WAY_COUNT_MAX           16u
#define ANSWER_SIZE_MIN         (16u << 10)
#define CACHE_ENTRY_SIZE        256u /* of a cache: with so many bytes each the places and the room are used up together */
#define CALL_HANDLE_SIZE        (48u << 10) /* what libcurl keeps of a call, and of a connection */
#define LIMIT_KEY_COUNT         4096u
#define LIMIT_KEY_COUNT_OF_MANY 256u /* where each of many destinations has them */
#define LIMIT_KEY_SIZE          40u
#define DEDUP_ID_SIZE           24u

static uint64_t between(uint64_t n, uint64_t low, uint64_t high)
{
    return n < low ? low : n > high ? high : n;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint32_t budget_partitions(const struct config *config, const char *topic)
{
    for (uint32_t i = 0; i < config->topic_count; i++) {
        if (strcmp(config->topics[i].name, topic) == 0 && config->topics[i].partitions > 0)
            return config->topics[i].partitions;
    }
    for (uint32_t i = 0; i < config->pipeline_count; i++) { /* what goes to branches is as wide as what it came from */
        const struct config_pipeline *p = &config->pipelines[i];
        if (p->fan != CONFIG_FAN_NONE && p->sink.kind == CONFIG_SINK_TOPIC && strcmp(p->sink.topic, topic) == 0)
            return budget_partitions(config, p->source.topic);
    }
    return 1;
}

static bool passes_through(const struct config *config, const char *topic)
{
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct config_pipeline *p = &config->pipelines[i];
        if (strcmp(p->source.topic, topic) == 0 || (p->sink.topic != NULL && strcmp(p->sink.topic, topic) == 0))
            return true;
    }
    return false;
}

/* The largest event that the file says a topic of its pipelines takes; 0: it says nothing. */
static uint64_t record_size_written(const struct config *config)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < config->topic_count; i++) {
        const struct config_topic *topic = &config->topics[i];
        if (topic->record_size_max > size && passes_through(config, topic->name))
            size = topic->record_size_max;
    }
    return size;
}

static void add_term(struct budget *b, const char *what, uint64_t size)
{
    must(b->term_count < COUNT_OF(b->terms));
    if (size == 0)
        return;
    b->terms[b->term_count++] = (struct node_memory_term){ what, size };
    b->sum += size;
}

static bool is_gated(const struct config_pipeline *p)
{
    return p->source.kind != CONFIG_SOURCE_TOPIC;
}

/* A database file is opened once, however many pipelines write to it. */
static bool is_first_of_database(const struct config *config, uint32_t index)
{
    const struct config_sink *sink = &config->pipelines[index].sink;
    if (sink->kind != CONFIG_SINK_SQLITE)
        return false;
    for (uint32_t i = 0; i < index; i++) {
        const struct config_sink *other = &config->pipelines[i].sink;
        if (other->kind == CONFIG_SINK_SQLITE && strcmp(other->path, sink->path) == 0)
            return false;
    }
    return true;
}

static uint64_t gates_size(const struct config *config, const struct budget *b)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct config_pipeline *p = &config->pipelines[i];
        struct gate_options options = { .read_size = b->gate_read_size,
                                        .unit_count_max = b->gate_unit_count,
                                        .partition_count = budget_partitions(config, p->source.topic) };
        size += is_gated(p) ? gate_memory_size(&options) + b->expr_size_max : 0;
    }
    return size;
}

static uint64_t databases_size(const struct config *config, const struct budget *b)
{
    uint64_t size = 0;
    struct sqlite_database_options options = { .cache_size = b->database_cache_size };
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        size += is_first_of_database(config, i) ? sqlite_database_memory_size(&options) : 0;
    return size;
}

/* ---- waiting stages -------------------------------------------------------------------------------------------------- */

bool budget_is_waiting(const struct config_stage *stage)
{
    return stage->kind == CONFIG_STAGE_PLUGIN || stage->kind == CONFIG_STAGE_EXEC || stage->kind == CONFIG_STAGE_CALL;
}

uint32_t budget_waiting_count(const struct config_pipeline *p)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->stage_count && p->sink.kind != CONFIG_SINK_NONE; i++)
        count += budget_is_waiting(&p->stages[i]);
    return count;
}

/* With many keys on their way there is always work for all that may be at work. */
struct window_options budget_window(const struct budget *b, const struct config_pipeline *p)
{
    uint64_t widest = 0;
    for (uint32_t i = 0; i < p->stage_count; i++)
        widest = budget_is_waiting(&p->stages[i]) ? larger(p->stages[i].manners.concurrency.most, widest) : widest;
    uint32_t slot_count = (uint32_t)between(SLOTS_PER_CALL * widest, 256, PIPELINE_SLOT_COUNT_MAX);
    return (struct window_options){ .slot_count = slot_count,
                                    .size = 2 * b->event_size_max + slot_count * SLOT_ROOM,
                                    .reserve = b->event_size_max };
}

struct budget_plugin budget_plugin(const struct budget *b, const struct config_stage *stage)
{
    uint32_t concurrency = stage->manners.concurrency.most;
    return (struct budget_plugin){ concurrency,
                                   plugin_room_size_least(b->event_size_max) + concurrency * PLUGIN_ANSWER_ROOM };
}

/* What a pipeline or `defaults` say of calls may be more than there should be processes. */
uint32_t budget_children(const struct config_stage *stage)
{
    return (uint32_t)between(stage->manners.concurrency.most, 1, EXEC_CHILD_COUNT_MAX);
}

uint32_t budget_destinations(const struct config_stage *stage)
{
    return stage->call.url.text != NULL ? 1 : CALL_DESTINATION_COUNT;
}

uint32_t budget_limit_keys(const struct config_stage *stage)
{
    uint32_t count = stage->call.url.text != NULL ? LIMIT_KEY_COUNT : LIMIT_KEY_COUNT_OF_MANY;
    return stage->manners.limit.per.text != NULL ? count : 0;
}

struct call_options budget_call(const struct budget *b, const struct config_stage *stage)
{
    const struct config_cache *cache = &stage->call.cache;
    uint32_t concurrency = stage->manners.concurrency.most;
    struct call_options o = { .into = stage->call.into,
                              .concurrency_max = concurrency,
                              .answer_size_max =
                                  between(b->answers_size / concurrency, ANSWER_SIZE_MIN, b->event_size_max),
                              .request_size = b->event_size_max + CALL_HEAD_SIZE_MAX };
    if (cache->by.text != NULL)
        o.cache =
            (struct cache_options){ .size = cache->size / ROOMS_UNIT * ROOMS_UNIT,
                                    .entry_count_max = (uint32_t)between(cache->size / CACHE_ENTRY_SIZE, 16, 1 << 20),
                                    .age_ns = cache->age_ms * NS_PER_MS,
                                    .stale_ns = cache->stale_ms * NS_PER_MS };
    return o;
}

/* With what the door and the table of destinations keep for it. */
static uint64_t call_size(const struct budget *b, const struct config_stage *stage)
{
    struct call_options o = budget_call(b, stage);
    uint64_t destination = DESTINATION_SIZE_MAX + (uint64_t)budget_limit_keys(stage) * LIMIT_KEY_SIZE;
    return call_memory_size(&o) + (uint64_t)o.concurrency_max * CALL_HANDLE_SIZE +
           budget_destinations(stage) * destination;
}

static uint64_t stage_size(const struct budget *b, const struct config_stage *stage)
{
    if (stage->kind == CONFIG_STAGE_EXEC)
        return exec_memory_size(budget_children(stage), b->event_size_max) + DESTINATION_SIZE_MAX;
    if (stage->kind == CONFIG_STAGE_CALL)
        return call_size(b, stage);
    struct budget_plugin plugin = budget_plugin(b, stage);
    uint64_t threads = stage->manners.pool == NULL ? pool_memory_size(plugin.concurrency) : 0;
    return plugin_memory_size(plugin.concurrency, plugin.room_size) + threads;
}

static uint64_t stages_size(const struct config *config, const struct budget *b)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < config->pool_count; i++)
        size += pool_memory_size(config->pools[i].max);
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct config_pipeline *p = &config->pipelines[i];
        for (uint32_t k = 0; k < p->stage_count && p->sink.kind != CONFIG_SINK_NONE; k++) {
            if (budget_is_waiting(&p->stages[k]))
                size += stage_size(b, &p->stages[k]);
        }
    }
    return size;
}

/* Of one partition at work. */
static uint64_t way_size(const struct budget *b, const struct config_pipeline *p)
{
    struct window_options window = budget_window(b, p);
    return pipeline_way_size(budget_waiting_count(p), &window);
}

uint32_t budget_dedup_count(const struct config *config, const struct config_pipeline *p, uint32_t partition_count)
{
    const struct config_stage *c = config_dedup(p);
    uint64_t count = c == NULL ? 0 : c->dedup.count != 0 ? c->dedup.count : config->memory_size / 16 / DEDUP_ID_SIZE;
    return (uint32_t)between(count / partition_count, DEDUP_COUNT_MIN, DEDUP_COUNT_MAX);
}

static uint64_t dedup_size(const struct config *config)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct config_pipeline *p = &config->pipelines[i];
        uint32_t partition_count = budget_partitions(config, p->source.topic);
        if (config_dedup(p) != NULL)
            size += partition_count * (uint64_t)dedup_memory_size(budget_dedup_count(config, p, partition_count));
    }
    return size;
}

/* ---- batches -------------------------------------------------------------------------------------------------------------- */

size_t budget_batch_size(const struct budget *b, const struct config_pipeline *p)
{
    const struct config_sink *sink = &p->sink;
    size_t fixed = pipeline_kit_size(0, b->reader_size);
    size_t rooms = sink->kind == CONFIG_SINK_TOPIC ? 4 : 2; /* a topic sink builds record batches beside the rows */
    size_t least =
        b->record_size != 0 ? b->record_size + TOPIC_BATCH_ROOM : BATCH_SIZE_MIN; /* the largest event fits */
    size_t most = sink->kind == CONFIG_SINK_TOPIC ? TOPIC_BATCH_SIZE : BATCH_SIZE_MAX;
    size_t left = b->share_size > fixed ? (b->share_size - fixed) / rooms : 0;
    if (budget_waiting_count(p) > 0)
        most = TOPIC_BATCH_SIZE; /* it is slow, and holds its partition: rather more partitions than larger batches */
    return between(left, least, most > least ? most : least);
}

static size_t kit_size(const struct budget *b, const struct config_pipeline *p)
{
    size_t batch_size = budget_batch_size(b, p);
    size_t size = pipeline_kit_size(batch_size, b->reader_size) + (config_dedup(p) != NULL ? PIPELINE_DEDUP_SIZE : 0);
    return p->sink.kind == CONFIG_SINK_TOPIC ? size + 2 * batch_size : size;
}

/* How many of its partitions may be at work at one time for what their ways take. */
static uint32_t way_count(const struct budget *b, const struct config *config, const struct config_pipeline *p,
                          uint32_t partition_count)
{
    if (budget_waiting_count(p) == 0)
        return partition_count;
    uint64_t most = between(config->memory_size / 16 / way_size(b, p), 1, WAY_COUNT_MAX);
    return (uint32_t)between(partition_count, 1, most);
}

uint32_t budget_kit_count(const struct budget *b, const struct config *config, const struct config_pipeline *p,
                          uint32_t partition_count)
{
    return (uint32_t)between(b->share_size / kit_size(b, p), 1, way_count(b, config, p, partition_count));
}

static uint64_t ways_size(const struct config *config, const struct budget *b)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct config_pipeline *p = &config->pipelines[i];
        size += way_count(b, config, p, budget_partitions(config, p->source.topic)) * way_size(b, p);
    }
    return size;
}

static uint64_t batches_size(const struct config *config, const struct budget *b)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++) {
        const struct config_pipeline *p = &config->pipelines[i];
        uint32_t partition_count = budget_partitions(config, p->source.topic);
        if (p->sink.kind != CONFIG_SINK_NONE)
            size += (uint64_t)budget_kit_count(b, config, p, partition_count) * kit_size(b, p);
    }
    return size;
}

void budget_log(uint64_t all, struct log_options *ret_sizes)
{
    ret_sizes->tail_size = (uint32_t)(between(all / 8, 4 * MIB, 64 * MIB) / MIB * MIB);
    ret_sizes->index_count_max = (uint32_t)between(all / 24 / INDEX_ENTRY_SIZE, 8192, 1 << 20);
    ret_sizes->page_cache_size = (uint32_t)between(all / 64, 128 << 10, 4 * MIB);
    ret_sizes->fact_size_max = (uint32_t)between(all / 24, MIB, 64 * MIB);
}

static void set_event_size(struct budget *b, uint64_t spare)
{
    b->event_size_max = between(spare / 48, 256 << 10, RECORD_SIZE_MAX);
    b->event_size_max = b->event_size_max > b->record_size ? b->event_size_max : b->record_size;
}

void budget_of(const struct config *config, struct budget *ret_budget)
{
    uint64_t all = config->memory_size, spare = all > SPARE_FROM ? all - SPARE_FROM : 0;
    struct budget b = { .gate_unit_count = all >= 96 * MIB ? 8 : all >= 48 * MIB ? 4 : 3, .reader_size = READER_SIZE };
    b.record_size = record_size_written(config);
    b.answers_size = all / 16;
    budget_log(all, &b.log);
    set_event_size(&b, spare);
    /* Out of everybody's share, the largest event's too: three fifths of what is spare go into the terms below. */
    uint64_t taken = (stages_size(config, &b) + ways_size(config, &b) + dedup_size(config)) / 3 * 5;
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        taken += config_dedup(&config->pipelines[i]) != NULL ? PIPELINE_DEDUP_SIZE / 3 * 5 : 0;
    spare = spare > taken ? spare - taken : 0;
    set_event_size(&b, spare);
    b.arena_size_max = between(spare / 12, MIB, 8 * MIB);
    b.unpack_size_max = between(spare / 12, MIB, BATCH_UNPACKED_SIZE_MAX);
    b.expr_size_max = between(spare / 24, MIB, 8 * MIB);
    b.gate_read_size = between(spare / 192, 64 << 10, 256 << 10);
    b.database_cache_size = between(spare / 16, MIB, 8 * MIB);
    add_term(&b, "tail of the journal", b.log.tail_size);
    add_term(&b, "index of the journal", (uint64_t)b.log.index_count_max * INDEX_ENTRY_SIZE);
    add_term(&b, "facts and offsets", b.log.fact_size_max);
    add_term(&b, "rest of the journal", log_memory_size(&b.log) - b.sum);
    add_term(&b, "JSON of one event", PARSER_FACTOR * (uint64_t)b.event_size_max);
    add_term(&b, "work on one event", b.arena_size_max + ARENA_OTHER_SIZE);
    add_term(&b, "compressed batches", b.unpack_size_max + CODEC_DECODER_SIZE);
    add_term(&b, "expressions", b.expr_size_max);
    add_term(&b, "sources", gates_size(config, &b));
    add_term(&b, "waiting stages", stages_size(config, &b));
    add_term(&b, "events on their way", ways_size(config, &b));
    add_term(&b, "remembered ids", dedup_size(config));
    add_term(&b, "databases", databases_size(config, &b));
    add_term(&b, "control socket", CONTROL_CONNECTION_COUNT_MAX * 2 * CONTROL_ROOM_SIZE);
    uint32_t pipeline_count = 0;
    for (uint32_t i = 0; i < config->pipeline_count; i++)
        pipeline_count += config->pipelines[i].sink.kind != CONFIG_SINK_NONE;
    if (pipeline_count > 0 && all > b.sum)
        b.share_size = (all - b.sum) / pipeline_count;
    add_term(&b, "batches of pipelines", batches_size(config, &b));
    *ret_budget = b;
}

/* The least that would do: memory buys larger shares too, so that it is not the sum that was met. */
static uint64_t least_memory(const struct config *config)
{
    struct config more = *config;
    struct budget b;
    for (more.memory_size = config->memory_size / MIB * MIB; more.memory_size < config->memory_size + 4096 * MIB;) {
        more.memory_size += MIB;
        budget_of(&more, &b);
        if (b.sum <= more.memory_size)
            break;
    }
    return more.memory_size;
}

bool budget_fits(const struct budget *b, const struct config *config, struct error *err)
{
    if (b->sum <= config->memory_size)
        return true;
    char text[700];
    size_t used = 0;
    for (uint32_t i = 0; i < b->term_count && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %llu KiB", i > 0 ? ", " : "", b->terms[i].what,
                                 (unsigned long long)(b->terms[i].size >> 10));
    error_set(err, NEAP_MISUSE,
              "%s:%u:%u: node.memory of %lluMiB does not hold what this file needs: give it %lluMiB (%s)", config->file,
              config->memory_place.line, config->memory_place.column, (unsigned long long)(config->memory_size >> 20),
              (unsigned long long)(least_memory(config) >> 20), text);
    return false;
}

uint32_t node_memory(const struct config *config, struct node_memory_term *room, uint32_t room_count)
{
    struct budget b;
    budget_of(config, &b);
    for (uint32_t i = 0; i < b.term_count && i < room_count; i++)
        room[i] = b.terms[i];
    return b.term_count;
}
