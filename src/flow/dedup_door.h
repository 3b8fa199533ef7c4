/* dedup_door.h - where a dedup stage asks: the table of the partition that an event came from.
 *
 * owner    the pipeline; the stage keeps its address
 * memory   one struct
 * limits   none
 * errors   none
 * promise  asked again about the same event, whenever and in whatever order, it answers the same */
#ifndef FLOW_DEDUP_DOOR_H
#define FLOW_DEDUP_DOOR_H

#include "flow/dedup.h"
#include "base/error.h"
#include "io/io.h"

#define DEDUP_SECRET_SIZE 192u

struct dedup_door {
    bool (*is_duplicate)(void *ctx, uint32_t partition, log_offset offset, struct dedup_id id);
    void *ctx;
    uint8_t secret[DEDUP_SECRET_SIZE]; /* of the log: who does not know it cannot choose ids that are taken for others */
};

/* The secret of a topic of ids: made, and kept beside it, by who asks first. Waits.
 * FORMAT of the fact in LOG_VIEW_DEDUP; partition = (the topic, 0), no key:   0  1  format version 1     1 192  the secret */
enum neap_status dedup_secret(struct io *io, struct log *log, struct log_client *client, uint32_t topic_id,
                              mono_time deadline, uint8_t *ret_secret, struct error *err);

#endif
