/* settings.c - a topic's settings as they lie in the journal and in snapshots.
 *
 * FORMAT   little-endian, 40 bytes
 *     0  1  format version (1)     4  4  sync interval, ms        24  8  tombstones kept, ms; -1: a day
 *     1  1  retention              8  8  kept for, ms; -1: no limit    32  4  largest record; 0: the default
 *     2  1  cleanup               16  8  kept bytes of a partition; -1: no limit
 *     3  1  zero                                                  36  4  zero */
#include "log/log.h"

#define SETTINGS_VERSION 1u

struct bytes log_settings_encode(const struct log_topic_settings *settings, uint8_t room[LOG_SETTINGS_SIZE])
{
    room[0] = SETTINGS_VERSION;
    room[1] = (uint8_t)settings->retention;
    room[2] = (uint8_t)settings->cleanup;
    room[3] = 0;
    put_le32(room + 4, settings->interval_ms);
    put_le64(room + 8, (uint64_t)settings->retention_ms);
    put_le64(room + 16, (uint64_t)settings->retention_size);
    put_le64(room + 24, (uint64_t)settings->tombstone_ms);
    put_le32(room + 32, settings->record_size_max);
    put_le32(room + 36, 0);
    return (struct bytes){ room, LOG_SETTINGS_SIZE };
}

enum neap_status log_settings_decode(struct bytes bytes, struct log_topic_settings *ret_settings)
{
    if (bytes.size > 0 && bytes.at[0] > SETTINGS_VERSION)
        return NEAP_VERSION;
    if (bytes.size != LOG_SETTINGS_SIZE || bytes.at[0] != SETTINGS_VERSION || bytes.at[1] > LOG_RETAIN_DONE ||
        bytes.at[2] > LOG_CLEANUP_COMPACT || bytes.at[3] != 0 || get_le32(bytes.at + 36) != 0)
        return NEAP_BADINPUT;
    struct log_topic_settings s = {
        .retention = (enum log_retention)bytes.at[1],
        .cleanup = (enum log_cleanup)bytes.at[2],
        .interval_ms = get_le32(bytes.at + 4),
        .retention_ms = (int64_t)get_le64(bytes.at + 8),
        .retention_size = (int64_t)get_le64(bytes.at + 16),
        .tombstone_ms = (int64_t)get_le64(bytes.at + 24),
        .record_size_max = get_le32(bytes.at + 32),
    };
    if (s.retention_ms < -1 || s.retention_size < -1 || s.tombstone_ms < -1)
        return NEAP_BADINPUT;
    *ret_settings = s;
    return NEAP_OK;
}
