#include "flow/dedup_door.h"
#include <stdlib.h>

#define SECRET_VERSION 1u

static enum neap_status find(struct log *log, struct log_partition at, uint8_t *ret_secret)
{
    struct bytes no_key = { (const uint8_t *)"", 0 }, value;
    uint8_t *room = malloc(LOG_VALUE_SIZE_MAX);
    enum neap_status status = room != NULL ? log_fact_get(log, LOG_VIEW_DEDUP, at, no_key, room, &value) : NEAP_NOMEM;
    if (status == NEAP_OK && (value.size != 1 + DEDUP_SECRET_SIZE || value.at[0] != SECRET_VERSION))
        status = value.size > 0 && value.at[0] > SECRET_VERSION ? NEAP_VERSION : NEAP_CORRUPT;
    if (status == NEAP_OK)
        memcpy(ret_secret, value.at + 1, DEDUP_SECRET_SIZE);
    free(room);
    return status;
}

enum neap_status dedup_secret(struct io *io, struct log *log, struct log_client *client, uint32_t topic_id,
                              mono_time deadline, uint8_t *ret_secret, struct error *err)
{
    struct log_partition at = { topic_id, 0 };
    uint8_t value[1 + DEDUP_SECRET_SIZE] = { SECRET_VERSION };
    enum neap_status status = find(log, at, ret_secret);
    if (status == NEAP_NOTFOUND) {
        for (size_t i = 1; i < sizeof value; i += 8)
            put_le64(value + i, io_random(io));
        struct log_op op = {
            .kind = LOG_FACT, .view = LOG_VIEW_DEDUP, .target = at, .payload = { value, sizeof value }
        };
        struct log_unit unit = { .ops = &op, .count = 1 };
        status = log_submit_wait(client, &unit, deadline);
        if (status == NEAP_OK)
            memcpy(ret_secret, value + 1, DEDUP_SECRET_SIZE);
    }
    return status == NEAP_OK
               ? status
               : error_set(err, status, "the secret of the ids that are remembered: %s", status_text(status));
}
