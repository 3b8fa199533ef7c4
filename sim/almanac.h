/* almanac.h - what happens in a simulated year, and when: topics, who reads them, how busy it is, what the clock does.
 *
 * owner    the year
 * memory   one struct
 * promise  of the seed alone: it knows nothing of the log, and the log nothing of it
 *
 * Times are milliseconds of true time since the year began. The machine's wall clock is true time and what it is wrong by. */
#ifndef SIM_ALMANAC_H
#define SIM_ALMANAC_H

#include "io/sim/chance.h"
#include "log/log.h"

#define HOUR_MS (3600 * 1000ll)
#define DAY_MS  (24 * HOUR_MS)
#define YEAR_MS (365 * DAY_MS)

#define YEAR_TOPIC_COUNT   8u
#define YEAR_GROUP_COUNT   8u
#define YEAR_PARTITION_MAX 3u
#define YEAR_EVENT_MAX     8u

struct year_topic {
    const char *name;
    uint32_t partition_count;
    uint32_t batches; /* a day and partition, of a usual day */
    uint32_t value_size_max;
    uint32_t key_count; /* 0: without keys */
    struct log_topic_settings settings;
};

struct year_group {
    const char *name;
    uint32_t topic;
    bool holds;
    int64_t from_ms, until_ms;           /* it is there; afterwards it is deleted */
    int64_t dead_from_ms, dead_until_ms; /* its sink is down */
    uint32_t pace;                       /* records an hour and partition that its sink takes */
};

struct year_span {
    int64_t from_ms, until_ms;
    int64_t wrong_ms; /* of the clock; of a machine that is off: 0 */
};

struct almanac {
    struct year_topic topics[YEAR_TOPIC_COUNT];
    struct year_group groups[YEAR_GROUP_COUNT];
    uint32_t group_count;
    struct year_span clock[YEAR_EVENT_MAX];
    uint32_t clock_count;
    struct year_span off; /* the machine is */
    uint64_t chance;      /* of the bursts */
    struct log_options options;
};

void almanac_fill(struct almanac *a, uint64_t seed);
int64_t almanac_wrong_ms(const struct almanac *a, int64_t at_ms); /* what the wall clock is ahead by */
/* How busy an hour is, in percent of the usual: nights, weekends, bursts. */
uint32_t almanac_pace(const struct almanac *a, uint32_t topic, int64_t at_ms);

#endif
