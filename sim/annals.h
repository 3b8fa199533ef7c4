/* annals.h - what was written in a simulated year, who holds it, and what may, and what must, be freed of it.
 *
 * owner    the year
 * memory   a row for each batch ever appended, one for each key
 * promise  slow and plain: nothing in here comes from the log but statuses and offsets it answered
 *
 * N1  Needed is what a holding group has not passed, whatever the settings say; and before any group has said that it is done,
 *     all of a topic that keeps what is not done.
 * N2  Needed is what is younger than its topic's time, and what lies within its topic's size; where there are both limits, what is
 *     within both. Age is true time: a wrong clock is no reason. But what was appended while the clock was behind may go earlier
 *     by as much, and once a clock has been more than a day ahead for a day it is believed.
 * N3  Of a compacted topic the newest record of a key is needed; one without a value, as long as tombstones are kept. */
#ifndef SIM_ANNALS_H
#define SIM_ANNALS_H

#include "almanac.h"
#include "check.h"

#define YEAR_PENDING_MAX 24u
#define YEAR_KEY_MAX     256u
#define YEAR_RECORD_MAX  4u  /* of a batch */
#define YEAR_GRACE_HOURS 4u /* so long after the last reason to keep it has gone, what is not needed must be gone */

struct year_batch {
    uint64_t base, id;
    uint32_t count, size;
    uint64_t before;  /* bytes of all batches before it */
    int64_t at_ms;    /* true time */
    int64_t wrong_ms; /* of the clock then */
};

struct year_key {
    uint64_t offset; /* 1 + that of its newest record */
    bool tombstone;
    int64_t at_ms, wrong_ms;
};

struct year_partition {
    struct year_batch *batches;
    uint32_t count, room;
    uint32_t first; /* batches before it were seen to be freed */
    uint64_t end, start, size;
    uint64_t size_earlier[2]; /* as it was an hour ago, and two */
    struct year_batch pending[YEAR_PENDING_MAX]; /* handed in, not answered */
    uint32_t pending_count;
    struct year_key keys[YEAR_KEY_MAX];
};

struct year_stand { /* where a group is on a partition */
    bool there, told;
    uint64_t asked, point;               /* the commit point it has asked for; the one it was told of */
    uint64_t earlier[YEAR_GRACE_HOURS]; /* the latter as it was so many hours ago */
    uint32_t hours;                      /* since it was first told, up to YEAR_GRACE_HOURS */
    uint64_t end;                        /* of the partition then: before it, compaction may have been */
};

struct annals {
    const struct almanac *almanac;
    struct year_partition partitions[YEAR_TOPIC_COUNT][YEAR_PARTITION_MAX];
    struct year_stand stands[YEAR_GROUP_COUNT][YEAR_PARTITION_MAX];
    uint64_t id_next, batch_count, record_count, freed_size;
    int64_t now_ms, wrong_ms; /* true time; what the clock is ahead by */
    int64_t ahead_from_ms;    /* more than a day, since; INT64_MAX: it is not */
    bool was_ahead;    /* ever, by more than a day */
    int64_t calm_ms;          /* from then on all housekeeping is due as if nothing had been */
    int64_t calm_time_ms;     /* the same of retention by time */
    int64_t off_ms;           /* for how long the machine was off: it may count those as not passed */
};

void annals_init(struct annals *n, const struct almanac *almanac);
void annals_fini(struct annals *n);
/* Time goes on; the clock may have been set. */
void annals_now(struct annals *n, int64_t now_ms, int64_t wrong_ms);
void annals_hour(struct annals *n); /* another hour has passed */
void annals_restarted(struct annals *n, int64_t off_ms);

/* A record of batch `id`; `room`: for its key and its value. The same every time. */
#define YEAR_ROOM 2048u
void annals_record(const struct annals *n, uint32_t topic, uint64_t id, uint32_t number, uint8_t room[YEAR_ROOM],
                   struct record *ret_record);
/* A batch is handed in: NULL where too many are. Then it is there, at an offset, or never was. */
struct year_batch *annals_ask(struct annals *n, uint32_t topic, uint32_t partition, uint32_t count);
bool annals_appended(struct annals *n, uint32_t topic, uint32_t partition, uint64_t id, uint64_t base);
void annals_refused(struct annals *n, uint32_t topic, uint32_t partition, uint64_t id);
/* After a cut: as far as it is there, what was pending was appended. False: the end is none that can be. */
bool annals_resume(struct annals *n, uint32_t topic, uint32_t partition, uint64_t end);

/* The partition is said to start here. False: something needed was freed, and what. */
bool annals_started(struct annals *n, uint32_t topic, uint32_t partition, uint64_t start, struct finding *finding);
/* Bytes that should have gone by now. */
uint64_t annals_overdue(const struct annals *n, uint32_t topic, uint32_t partition, const struct year_batch **ret_first);
/* Bytes that are needed, with what a journal needs to say where they are. */
uint64_t annals_needed(const struct annals *n);
uint64_t annals_hold(const struct annals *n, uint32_t topic, uint32_t partition); /* UINT64_MAX: nobody does */
uint64_t annals_held_end(const struct annals *n, uint32_t topic, uint32_t partition); /* where it ended when the last began to */
/* Whether a record has to be there (compacted topics); whether it was ever to go. */
bool annals_tombstone_kept(const struct annals *n, uint32_t topic, const struct year_key *key);
const struct year_batch *annals_batch_of(const struct year_partition *p, uint64_t offset); /* NULL: none */

#endif
