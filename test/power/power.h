/* power.h - a producer whose every word can be checked after its machine has lost power.
 *
 *     neap-power DIR SEED INTERVAL-MS DURABLE,… ACKED,… MADE ASKED DROPPED ALTER-ASKED ALTERED
 *
 * It opens the log in DIR, compares what is there with what earlier lives were told (the numbers on its command line), says
 * `opened`, and then works until it is killed or the log stops. What it says on standard output, a line each, it says when the
 * log has told it so, or, with `drop`, before it asks:
 *
 *     stands W SEQ  so far writer W had come                unit W SEQ NS unit SEQ of writer W was acknowledged then
 *     made G        topic gG is there
 *     drop G        the deletion of topic gG will be asked  dropped G   it is gone
 *     alter K       settings K of topic home will be asked  altered K   they hold
 *
 * Each writer has one unit on its way: a batch for its partition of the newest topic, the commit point of its group (where
 * the batch begins), a fact that names the unit, and sometimes a trim up to there. Unit SEQ is the same bytes every time it is
 * made; each 32nd goes to topic `kept` as well, which is what remains to be archived of files that are dead otherwise. Topics
 * come and go, so that files die and are used again; with an even seed they stay for long, and are freed as far as the groups
 * have come. With an interval its topics are answered before the sync:
 * whoever calls it knows by the clock which of what was ACKED must be DURABLE.
 *
 * owner    one process, one log, one agent on the main thread
 * limits   WRITER_COUNT units on their way, and one change of topics
 * errors   exit 1 and a line `broken: …` where a promise was not kept; exit 6 where the log has stopped
 * promise  nothing is believed of the log but what log.h says of it */
#ifndef POWER_POWER_H
#define POWER_POWER_H

#include "log/batch.h"
#include "log/log.h"

#define EXIT_STOPPED   6
#define WRITER_COUNT   6u
#define BATCH_ROOM     (32u << 10)
#define TOPIC_COUNT    3u /* at one time, before the oldest is deleted */
#define FACT_SIZE      16u
#define GROUP_NAME     "w%u"
#define RECORDS_MAX    4u
#define VALUE_SIZE_MAX 6000u

struct told { /* to earlier lives */
    uint64_t durable[WRITER_COUNT], acked[WRITER_COUNT]; /* the same where there is no interval */
    uint32_t interval_ms;
    bool done; /* topics are freed as far as the groups have come */
    uint64_t made, asked, dropped;   /* the highest number of a topic */
    uint64_t alter_asked, altered; /* of the settings of topic home */
};

struct standing { /* of a writer */
    uint32_t number;
    uint64_t seq;        /* of its last durable unit */
    uint64_t generation; /* the topic that unit went to */
    uint64_t base;       /* where that unit's batch begins */
};

/* The batch of a unit, base offset 0: a function of its arguments alone. Gives how many records. */
uint32_t unit_batch(uint32_t writer, uint64_t seq, uint64_t generation, uint64_t base, uint8_t *room,
                    struct bytes *ret_batch);
#define KEPT_STEP 32u /* each so many-th unit is kept for ever; its topic is generation 0 */
bool unit_trims(uint32_t writer, uint64_t seq); /* its partition, up to where its batch begins */
/* Settings K: a retention so long that only its number says anything. */
struct log_topic_settings settings_of(uint64_t number, uint32_t interval_ms);
struct bytes unit_fact(uint8_t room[FACT_SIZE], uint64_t seq, uint64_t generation);

/* Compares an opened log with what was told; gives where each writer stands, and the newest topic there is. */
void power_check(struct log *log, const struct told *told, struct standing writers[WRITER_COUNT],
                 uint64_t *ret_generation);
/* One more line on standard output, `broken: …`, and the end. */
void broken(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
