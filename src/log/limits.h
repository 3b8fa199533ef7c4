/* limits.h - what bounds the log, and what a user meets at the bound. */
#ifndef LOG_LIMITS_H
#define LOG_LIMITS_H

#include <assert.h>

#define RECORD_SIZE_MAX           (1u << 20) /* key + value + headers; larger: a dead letter, TOOLARGE */
#define RECORD_SIZE_TOP           (3u << 20) /* no topic's max_record is above it: a unit holds one such record */
#define BATCH_UNPACKED_SIZE_MAX   (8u << 20) /* records of a compressed batch, taken apart; more is not accepted from strangers */
#define JOURNAL_FILE_SIZE_MIN     (4u << 20) /* disk / 64 below it: this size is used */
#define JOURNAL_FILE_SIZE_MAX     (256u << 20)
#define JOURNAL_FILE_COUNT_MIN    4u     /* a disk budget of fewer files is refused at start */
#define TOPIC_PARTITION_COUNT_MAX 10000u /* of one topic */
#define ARCHIVE_COUNT_MAX         1024u  /* a drain that would make more waits until others have been joined */
#define DRAIN_TOPIC_COUNT_MAX     256u   /* a journal file with more living topics is not drained */
#define CLIENT_COUNT_MAX          64u    /* agents that write at one time */

static_assert(4u * RECORD_SIZE_MAX <= JOURNAL_FILE_SIZE_MIN, "a unit with one record fits in a fresh file");

#endif
