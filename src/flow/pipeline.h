/* pipeline.h - what the tasks of one pipeline share: its stages and sink, and the kits they work with.
 *
 * owner    the shard's agent; opened and closed while that agent does not run
 * memory   kit_count kits of pipeline_kit_size() bytes, all taken in pipeline_open(); a task without a kit waits for one,
 *          so that a topic of a thousand partitions costs no more than its kits
 * limits   PIPELINE_LETTER_COUNT_MAX dead letters in one batch; event_count_max events
 * errors   a task that stops, stops its pipeline: `status` and `error` say why, and every other task comes to rest; a task
 *          whose partition is damaged halts alone: `damage` says where
 * promise  the owner epoch is durable before the first task asks the sink anything; and so is, for each partition, the
 *          place that retention has to wait for
 *
 * FORMAT of the facts in LOG_VIEW_START
 *     partition (source topic, 0), key = pipeline name:               version 1, uvarint owner epoch,
 *                                                                     1 (0: it has no sink, events stay in the topic),
 *                                                                     uvarint epochs of earlier starts, newest first
 *     partition (source topic, p), key = pipeline name, '\0', "was":  the name whose row in the sink is to be taken over;
 *                                                                     forgotten in the unit that took it over (rename.h)
 *     partition (source topic, p), key = pipeline name, '\0', "moved": a person has moved it there (moved.h)
 *
 * An owner epoch is the number of the start, and below it 20 bits of chance: a log that was put back to an older state,
 * or a copy at work elsewhere, gives the same numbers, but not the same epochs. So a row of the sink tells whether the
 * log that it is met by is the one that it was written by. */
#ifndef FLOW_PIPELINE_H
#define FLOW_PIPELINE_H

#include "flow/chain.h"
#include "flow/dead_letter.h"
#include "flow/dedup_door.h"
#include "flow/ledger.h"
#include "flow/sink.h"
#include "flow/start.h"
#include "flow/way.h"

#define PIPELINE_MAGIC            0x50495045u
#define PIPELINE_LETTER_COUNT_MAX 1024u
#define PIPELINE_IDS_SIZE         (128u << 10) /* of ids that are not durable yet */
#define PIPELINE_IDS_BATCH_SIZE   (PIPELINE_IDS_SIZE + 256u)
#define PIPELINE_SLOT_COUNT_MAX   4096u /* on their way in one task: what is done of them, scattered, is noted as a set */
#define PIPELINE_LETTERS_SIZE     (896u << 10)
#define PIPELINE_KEYS_SIZE        (96u << 10) /* of the facts of one unit */
#define PIPELINE_OP_COUNT_MAX     (SINK_OP_COUNT_MAX + PIPELINE_LETTER_COUNT_MAX + 4)
static_assert(DEAD_LETTER_VALUE_SIZE_MAX + DEAD_LETTER_KEY_SIZE_MAX + DEAD_LETTER_HEADERS_SIZE_MAX +
                      DEAD_LETTER_OWN_SIZE_MAX + BATCH_HEADER_SIZE <=
                  PIPELINE_LETTERS_SIZE,
              "the largest letter fits in an empty batch of letters");
static_assert(PIPELINE_LETTERS_SIZE + PIPELINE_KEYS_SIZE < JOURNAL_FILE_SIZE_MIN / 4,
              "letters and their fates fit in a unit of the smallest journal file");
static_assert(PIPELINE_OP_COUNT_MAX <= LOG_UNIT_OP_COUNT_MAX, "a commit is one unit");

struct pipeline_dedup {      /* what a dedup stage asks; it comes before all that wait */
    struct dedup_door *door; /* NULL: there is none */
    uint32_t topic_id, partition_count; /* where ids are remembered */
    int64_t window_ms;
    uint32_t count_max; /* of one partition */
};

struct pipeline_options { /* all kept, until pipeline_close() */
    struct io *io;
    struct log *log;
    struct logging *logging;            /* may be NULL */
    struct io_agent *agent;             /* the shard's */
    struct log_client *client;          /* the shard's */
    struct arena *arena, *letter_arena; /* the shard's; reset for each event and each letter */
    struct codec_room *unpack;          /* the shard's: compressed batches are taken apart in it */
    const char *name;
    const char *topic;
    uint32_t topic_id, partition_count;
    uint32_t dead_topic_id, dead_partition_count;
    struct chain *chain; /* the inline stages; behind the last waiting one, where there is any. The shard's parser is in it */
    uint32_t stage_count;          /* of waiting stages, in order */
    struct waiting *const *stages;
    struct chain *const *chains;   /* chains[i] comes before stages[i] */
    enum way_order order;
    struct window_options window; /* for the events on their way: of each kit */
    struct pipeline_dedup dedup;
    int64_t expires_ms; /* since it was appended; 0: never */
    int64_t watch_ns;   /* an event that is on its way for longer is named; 0: half a minute */
    struct sink *sink;
    struct sink *was_sink; /* the same sink under the pipeline's former name; NULL: not renamed, or long settled */
    enum start_rule start;
    uint64_t owner_epoch;     /* from pipeline_raise_epoch() */
    uint32_t kit_count;       /* 0: 1 */
    size_t read_size;         /* of a task's reader; 0: 256 KiB */
    uint32_t event_count_max; /* of one batch, delivered or not; 0: 65,536 */
};

enum pipeline_taken_kind { TAKEN_ROW, TAKEN_FILTERED, TAKEN_LETTER };
struct pipeline_taken { /* an event that has come to the end of its way, in a batch */
    uint32_t slot;
    enum pipeline_taken_kind kind;
};

struct pipeline_kit { /* what one task at work needs */
    struct sink_batch landing;
    uint8_t *rows[2];
    uint8_t *letters, *letter_keys, *commit_keys, *done_set;
    struct sink_refused *refused;
    struct log_op *letter_ops, *commit_ops;
    uint8_t *landing_set; /* the done set that the sink is given */
    struct way *way;      /* NULL: no stage waits */
    struct pipeline_taken *taken[2];
    uint8_t *ids, *ids_batch; /* NULL: nothing is remembered */
    struct pipeline_kit *next;
};

struct pipeline {
    uint32_t magic;
    struct pipeline_options o;
    struct pipeline_kit *kits, *kits_free;
    struct task **tasks; /* by partition, where ids are remembered */
    uint32_t kit_wanted_count; /* tasks that wait for one */
    uint32_t letter_count_max; /* of one batch, so that their facts fit in a unit */
    bool asked, rows_there;    /* the first answer of the sink: it held data before any task of ours landed some */
    enum neap_status status;   /* OK; else stopped */
    struct error error;
    struct error damage;       /* where the first of its partitions ends early; status OK: none does */
    uint64_t epochs[SINK_EPOCH_COUNT_MAX]; /* of the starts that the log knows of, newest first */
    uint32_t epoch_count;
};

enum neap_status pipeline_open(const struct pipeline_options *options, struct pipeline **ret_pipeline,
                               struct error *err);
void pipeline_close(struct pipeline **pipeline); /* its tasks are freed; closes neither sinks nor stages */
size_t pipeline_kit_size(size_t batch_size, size_t read_size);
#define PIPELINE_DEDUP_SIZE (PIPELINE_IDS_SIZE + PIPELINE_IDS_BATCH_SIZE) /* of a kit, beside it, where ids are remembered */
size_t pipeline_way_size(uint32_t stage_count, const struct window_options *window); /* a kit's, beside that; 0 without stages */
/* On every turn of the shard: what its waiting stages have done. Answers how much. */
uint32_t pipeline_work(struct pipeline *p, mono_time now);

struct pipeline_kit *pipeline_kit_acquire(struct pipeline *p); /* NULL: all are in use */
void pipeline_kit_release(struct pipeline *p, struct pipeline_kit **kit);
/* The first reason stays. */
void pipeline_stop(struct pipeline *p, enum neap_status status, const struct error *error);
/* A partition of it goes no further, the others do. The first reason stays. */
void pipeline_halt(struct pipeline *p, const struct error *error);

/* Reads, raises and makes durable; waits. */
enum neap_status pipeline_raise_epoch(struct io *io, struct log *log, struct log_client *client,
                                      struct log_partition source, const char *name, bool has_sink, mono_time deadline,
                                      uint64_t *ret_epoch, struct error *err);
/* From now on retention waits for this pipeline on each partition: where it never committed, at the first event that is
 * kept; or, where any of `others` (names, then NULL; or NULL) holds the partition, at the place of the last of them, which is
 * where it begins. Waits until that is durable. */
enum neap_status pipeline_hold(struct log *log, struct log_client *client, uint32_t topic_id, uint32_t partition_count,
                               const char *name, const char *const *others, mono_time deadline, struct error *err);
/* The opposite, of a pipeline that has no sink any more: its commit points stay, and nothing waits for them. */
enum neap_status pipeline_let_go(struct log *log, struct log_client *client, uint32_t topic_id,
                                 uint32_t partition_count, const char *name, mono_time deadline, struct error *err);
struct pipeline_identity {
    uint64_t owner_epoch;
    bool has_sink;
    uint64_t epochs[SINK_EPOCH_COUNT_MAX]; /* newest first: the first one is owner_epoch */
    uint32_t epoch_count;
};
/* NEAP_NOTFOUND: this pipeline never ran on this topic. */
enum neap_status pipeline_identity(struct log *log, struct log_partition source, const char *name,
                                   struct pipeline_identity *ret_identity);
size_t pipeline_was_key(uint8_t *room, const char *name); /* room: LOG_KEY_SIZE_MAX */

#endif
