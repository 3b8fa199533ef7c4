/* limits.h - what bounds a pipeline file, and what a user meets at the bound. */
#ifndef CONFIG_LIMITS_H
#define CONFIG_LIMITS_H

#include "flow/event.h"
#include "log/limits.h"
#include <assert.h>

#define CONFIG_FILE_SIZE_MAX      (1u << 20)  /* a larger file is refused unread: nobody wrote it by hand */
#define CONFIG_DEPTH_MAX          32u         /* lists and maps inside each other; the grammar needs nine */
#define CONFIG_MAP_COUNT_MAX      4096u       /* keys of one map */
#define CONFIG_ANCHOR_COUNT_MAX   256u
#define CONFIG_WEIGHT_MAX         100000u     /* values, each alias counted as what it stands for, and 64 bytes of text as one */
#define CONFIG_TOPIC_COUNT_MAX    1024u
#define CONFIG_PIPELINE_COUNT_MAX 48u         /* each with a source of its own writes to the log */
#define CONFIG_BRANCH_COUNT_MAX   32u         /* of one fanout or route */
#define CONFIG_BRANCH_DEPTH_MAX   4u          /* branches of branches */
#define CONFIG_CONSUMER_COUNT_MAX 192u        /* pipelines and branches of a file: each has its place in status, and a share of memory */
#define CONFIG_STAGE_COUNT_MAX    64u         /* of one pipeline; of a branch with those that it shares */
#define CONFIG_FIELD_COUNT_MAX    128u        /* of one map, keep or remove */
#define CONFIG_COLUMN_COUNT_MAX   1000u       /* SQLite's own limit is 2,000 columns */
#define CONFIG_ARGUMENT_COUNT_MAX 256u      /* of a command: as many as the door takes (io/child.h) */
#define CONFIG_TEXT_SIZE_MAX      (64u << 10) /* one value after ${...} was put in; also a file named in ${file:...} */
#define CONFIG_MESSAGE_COUNT_MAX  100u        /* errors shown, and warnings shown; all are counted */
#define CONFIG_ARENA_SIZE_MAX     (64u << 20) /* what one file can come to in memory: above it NEAP_NOMEM */
#define CONFIG_MEMORY_SIZE_MIN    (24u << 20) /* node.memory below it is an error: no file would fit */
#define CONFIG_MEMORY_SIZE_MAX    (1ull << 50)
#define CONFIG_DISK_SIZE_MIN      (JOURNAL_FILE_COUNT_MIN * (uint64_t)JOURNAL_FILE_SIZE_MIN) /* node.disk below it is an error */
#define CONFIG_DISK_SIZE_MIN_TEXT "16MiB"
#define CONFIG_DISK_SIZE_MAX      (1ull << 50)
#define CONFIG_RETENTION_MS_MIN   1000u
#define CONFIG_RETENTION_MS_MAX   (36500ull * 24 * 3600 * 1000)
#define CONFIG_RETENTION_SIZE_MIN (1u << 20)
#define CONFIG_INTERVAL_MS        50u         /* of `durability: interval` */
#define CONFIG_DEDUP_MS_MAX       (30ull * 24 * 3600 * 1000)
#define CONFIG_DEDUP_COUNT_MIN    1024u
#define CONFIG_DEDUP_COUNT_MAX    (1u << 30)
#define CONFIG_TIMEOUT_MS_MAX     (7ull * 24 * 3600 * 1000)
#define CONFIG_CONCURRENCY_MAX    1024u       /* calls of one stage at a time: as many as the door has at once (io/http.h) */
#define CONFIG_CHILD_COUNT_MAX    256u        /* of one exec stage at a time: each is a process */
#define CONFIG_CHILD_COUNT        4u          /* where nobody says how many */
#define CONFIG_POOL_COUNT_MAX     64u
#define CONFIG_ATTEMPT_COUNT_MAX  1000u       /* with the longest backoff, hours: what waits longer is a matter for people */
#define CONFIG_BACKOFF_MS_MAX     (3600u * 1000)
#define CONFIG_OPEN_MS_MIN        100u        /* a breaker that looks more often than that is none */
#define CONFIG_OPEN_MS_MAX        (3600u * 1000)
#define CONFIG_URL_SIZE_MAX       8192u       /* as the door takes it (io/http.h) */
#define CONFIG_HEADER_COUNT_MAX   32u         /* of one call */
#define CONFIG_DATA_SIZE_MAX      4096u       /* of one value that is kept as JSON */
#define CONFIG_CACHE_SIZE_MIN     (16u << 10)
#define CONFIG_CACHE_SIZE_MAX     (1ull << 32)
#define CONFIG_OUTCOME_COUNT_MAX  64u         /* words of `permanent` or `transient` */
#define CONFIG_RATE_COUNT_MAX     1000000u    /* a period: each has a share of it that a clock of ns can tell */
#define CONFIG_INTERVAL_MS_MAX    60000u
#define CONFIG_RECORD_SIZE_MIN    1024u
#define CONFIG_RECORD_SHARE       16u         /* a record is at most this part of node.memory */

static_assert(CONFIG_PIPELINE_COUNT_MAX + 16 <= CLIENT_COUNT_MAX, "each pipeline's source finds a client's place in the log");
static_assert(CONFIG_FIELD_COUNT_MAX <= EVENT_FIELD_COUNT_MAX, "what one stage names fits in an event");

static_assert(CONFIG_DISK_SIZE_MIN == 16u << 20, "as its text says");

#endif
