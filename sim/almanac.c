#include "almanac.h"

#define TEN_YEARS_MS (10 * 365 * DAY_MS)

enum { ORDERS, CLICKS, METRICS, AUDIT, CACHE, MIXED, FOREVER, PROFILES };

static void fill_topics(struct almanac *a, uint64_t *chance)
{
    static const struct {
        const char *name;
        uint32_t partitions, batches, value_size_max, keys;
    } usual[YEAR_TOPIC_COUNT] = {
        [ORDERS] = { "orders", 2, 30, 700, 0 },   [CLICKS] = { "clicks", 3, 24, 300, 0 },
        [METRICS] = { "metrics", 2, 40, 400, 0 }, [AUDIT] = { "audit", 1, 20, 500, 0 },
        [CACHE] = { "cache", 2, 24, 900, 0 },     [MIXED] = { "mixed", 1, 40, 600, 0 },
        [FOREVER] = { "forever", 1, 3, 400, 0 },  [PROFILES] = { "profiles", 2, 20, 500, 200 },
    };
    for (uint32_t t = 0; t < YEAR_TOPIC_COUNT; t++) {
        uint32_t percent = 60 + sim_below(chance, 80);
        a->topics[t] = (struct year_topic){ .name = usual[t].name,
                                            .partition_count = usual[t].partitions,
                                            .batches = usual[t].batches * percent / 100 + 1,
                                            .value_size_max = usual[t].value_size_max,
                                            .key_count = usual[t].keys,
                                            .settings = LOG_SETTINGS_DEFAULT };
    }
    a->topics[ORDERS].settings.retention = LOG_RETAIN_DONE;
    a->topics[CLICKS].settings.retention = LOG_RETAIN_DONE;
    a->topics[METRICS].settings.retention_ms = 7 * DAY_MS;
    a->topics[AUDIT].settings.retention_ms = (10 + sim_below(chance, 20)) * DAY_MS;
    a->topics[CACHE].settings.retention_size = 50000 + sim_below(chance, 400000);
    a->topics[MIXED].settings.retention_ms = (1 + sim_below(chance, 4)) * DAY_MS;
    a->topics[MIXED].settings.retention_size = 20000 + sim_below(chance, 80000);
    a->topics[PROFILES].settings.cleanup = LOG_CLEANUP_COMPACT;
    a->topics[PROFILES].settings.tombstone_ms = (1 + sim_below(chance, 3)) * DAY_MS;
}

static struct year_group *add_group(struct almanac *a, const char *name, uint32_t topic, bool holds, uint32_t pace)
{
    struct year_group *g = &a->groups[a->group_count++];
    *g = (struct year_group){ .name = name, .topic = topic, .holds = holds, .until_ms = INT64_MAX, .pace = pace };
    return g;
}

static void fill_groups(struct almanac *a, uint64_t *chance)
{
    int64_t dead_from = (130 + sim_below(chance, 40)) * DAY_MS + sim_below(chance, 24) * HOUR_MS;
    add_group(a, "billing", ORDERS, true, 2000);
    struct year_group *g = add_group(a, "warehouse", ORDERS, true, 20 + sim_below(chance, 100)); /* catches up slowly */
    g->dead_from_ms = dead_from;
    g->dead_until_ms = dead_from + (28 + sim_below(chance, 5)) * DAY_MS;
    add_group(a, "counts", CLICKS, true, 2000);
    g = add_group(a, "trial", CLICKS, true, 100); /* begun, given up, deleted weeks later */
    g->from_ms = (50 + sim_below(chance, 20)) * DAY_MS;
    g->dead_from_ms = g->from_ms + (5 + sim_below(chance, 20)) * DAY_MS;
    g->dead_until_ms = INT64_MAX;
    g->until_ms = g->dead_from_ms + (20 + sim_below(chance, 30)) * DAY_MS;
    add_group(a, "dashboard", METRICS, false, 500); /* reads, and holds nothing */
    g = add_group(a, "mirror", AUDIT, true, 200);
    g->dead_from_ms = dead_from + (int64_t)sim_below(chance, 10) * DAY_MS;
    g->dead_until_ms = g->dead_from_ms + 30 * DAY_MS;
    g = add_group(a, "search", PROFILES, true, 100);
    g->from_ms = (20 + sim_below(chance, 20)) * DAY_MS;
    g->dead_from_ms = (230 + sim_below(chance, 20)) * DAY_MS;
    g->dead_until_ms = g->dead_from_ms + 10 * DAY_MS;
}

static void add_wrong(struct almanac *a, int64_t from_ms, int64_t duration_ms, int64_t wrong_ms)
{
    a->clock[a->clock_count++] =
        (struct year_span){ .from_ms = from_ms, .until_ms = from_ms + duration_ms, .wrong_ms = wrong_ms };
}

static void fill_clock(struct almanac *a, uint64_t *chance)
{
    int64_t minutes = sim_below(chance, 24 * 60) * 60000ll;
    add_wrong(a, (25 + sim_below(chance, 15)) * DAY_MS + minutes, 2 * DAY_MS, -DAY_MS); /* steps back a day */
    int64_t hours = 4 + sim_below(chance, 18);                                          /* seen within the day */
    add_wrong(a, (60 + sim_below(chance, 15)) * DAY_MS + minutes, hours * HOUR_MS, TEN_YEARS_MS);
    int64_t days = 3 + sim_below(chance, 8); /* not seen for days */
    add_wrong(a, (200 + sim_below(chance, 20)) * DAY_MS + minutes, days * DAY_MS, TEN_YEARS_MS);
    a->off.from_ms = (90 + sim_below(chance, 15)) * DAY_MS;
    a->off.until_ms = a->off.from_ms + (7 + sim_below(chance, 21)) * DAY_MS;
}

static uint64_t daily_size(const struct year_topic *t)
{
    uint64_t batch = 100 + 5ull * (20 + t->value_size_max / 2) / 2;
    return t->partition_count * t->batches * batch;
}

/* What is kept of a usual day's work finds room; what a sink that is down for a month holds back does not. */
static uint64_t small_disk(const struct almanac *a, uint32_t file_size)
{
    uint64_t usual = 0, held = 30 * (daily_size(&a->topics[ORDERS]) + daily_size(&a->topics[AUDIT]));
    for (uint32_t t = 0; t < YEAR_TOPIC_COUNT; t++) {
        const struct year_topic *topic = &a->topics[t];
        if (topic->settings.retention_size >= 0)
            usual += topic->partition_count * (uint64_t)topic->settings.retention_size;
        else if (topic->settings.retention_ms >= 0)
            usual += daily_size(topic) * (uint64_t)(topic->settings.retention_ms / DAY_MS);
        else
            usual += topic->key_count > 0 ? topic->key_count * 1000 : t == FOREVER ? 200 * daily_size(topic) : 0;
    }
    return round_up(3 * usual / 2 + held / 3 + 24ull * file_size, file_size);
}

void almanac_fill(struct almanac *a, uint64_t seed)
{
    uint64_t chance = sim_mix(seed + 365);
    *a = (struct almanac){ .chance = sim_chance(&chance) };
    fill_topics(a, &chance);
    fill_groups(a, &chance);
    fill_clock(a, &chance);
    uint32_t file_size = 32768u << sim_below(&chance, 2);
    bool small = seed % 4 == 3;
    a->options = (struct log_options){
        .path = "/data",
        .disk_size = small ? small_disk(a, file_size) : (uint64_t)file_size * 900,
        .file_size = file_size,
        .tail_size = 131072,
        .index_count_max = 2048, /* no archive has more batches, and what is compacted becomes one */
        .partition_count_max = 64,
        .fact_size_max = 64u << 10,
        .snapshot_size = 4 * file_size,
        .clean_ns = (5 + sim_below(&chance, 15)) * 60 * NS_PER_S,
        .idle_mark_ns = 200 * NS_PER_MS,
        .scrub_delay_ns = 3600 * NS_PER_S,
    };
}

int64_t almanac_wrong_ms(const struct almanac *a, int64_t at_ms)
{
    for (uint32_t i = 0; i < a->clock_count; i++)
        if (at_ms >= a->clock[i].from_ms && at_ms < a->clock[i].until_ms)
            return a->clock[i].wrong_ms;
    return 0;
}

uint32_t almanac_pace(const struct almanac *a, uint32_t topic, int64_t at_ms)
{
    static const uint8_t day[24] = { 10,  5,   5,   0,   0,   5,   20,  60,  120, 180, 200, 190,
                                     170, 180, 190, 190, 180, 170, 160, 150, 140, 120, 80,  40 };
    uint32_t pace = day[at_ms / HOUR_MS % 24];
    if (at_ms / DAY_MS % 7 >= 5)
        pace /= 3;
    uint64_t burst = sim_mix(a->chance ^ (uint64_t)(at_ms / (3 * HOUR_MS)) * YEAR_TOPIC_COUNT ^ topic);
    return burst % 60 == 0 ? pace * 8 + 200 : pace; /* one stretch of three hours in sixty */
}
