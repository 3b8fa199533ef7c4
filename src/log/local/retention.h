/* retention.h - decides where each partition starts: what its topic's settings no longer keep, and every holding group has passed.
 *
 * owner    the keeper; its turns
 * memory   its struct; a few words in each partition
 * limits   RETENTION_STEP partitions in a turn, RETENTION_WALK_MAX batches of one, one unit in flight
 * errors   none of its own: what cannot be read is kept
 * promise  nothing at or after the commit point of a group that holds the partition is ever trimmed; a clock that jumps more than
 *          a day ahead frees nothing by time for a day (clock.h), and that is said
 *
 * Time counts from the append, as the journal notes it. Size counts the batches of one partition. A trim is a unit of the journal:
 * where a partition starts never goes back, after no crash. */
#ifndef LOG_LOCAL_RETENTION_H
#define LOG_LOCAL_RETENTION_H

#include "log/local/clock.h"
#include "log/local/pace.h"
#include "log/local/place.h"

#define RETENTION_STEP     256u
#define RETENTION_WALK_MAX 4096u

struct retention {
    struct log *log;
    bool on;             /* a round is under way */
    uint32_t topic;      /* index of the next topic, and of its next partition */
    uint32_t partition;
    struct pace pace;
    bool more; /* there was more to free than the walks count: the next round follows at once */
    struct clock *clock;
    uint32_t holds; /* shared.hold_count, when the round began: a trim is refused once it is another */
    struct log_op ops[RETENTION_STEP];
    uint8_t payloads[RETENTION_STEP][16];
    uint32_t op_count;
    struct log_unit unit;
    bool submitted, ended;
    struct places places;
};

void retention_init(struct retention *r, struct log *log, struct clock *clock); /* keeps the clock */
/* client: the keeper's. True: it did something. */
bool retention_step(struct retention *r, struct log_client *client, mono_time now);
void retention_stop(struct retention *r); /* the client has been settled */

#endif
