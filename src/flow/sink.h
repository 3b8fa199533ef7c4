/* sink.h - a way out. What a task hands over, and what it gets back.
 *
 * owner    a sink is shared by the tasks of its pipeline on one shard; its worker has a thread of its own where it blocks
 * memory   a batch's room is taken once, in batch_size; a row that does not fit ends the batch
 * limits   one batch in flight per task; batch_size bytes, row_count_max rows
 * errors   see sink_batch.status
 * promise  land() makes the batch's outputs durable; where the sink keeps its own offsets (`own_offsets`), rows, commit
 *          point and done set become durable in one transaction of the sink. Then, and only then, the task commits to the log: one unit
 *          with the sink's ops (topic: the appends; file: the new size) and its own (commit point, ledger, fates) */
#ifndef FLOW_SINK_H
#define FLOW_SINK_H

#include "flow/event.h"

#define SINK_REFUSED_COUNT_MAX 1024u
#define SINK_OP_COUNT_MAX      1024u
#define SINK_EPOCH_COUNT_MAX   64u

struct sink;
struct sink_batch;

/* The counters that a sink with its own offsets carries in its row, so that they are exactly as true as its rows. */
struct sink_ledger {
    uint64_t filtered, duplicates, delivered, dead_lettered, produced;
};

/* The sink's truth about one source partition. */
struct sink_row {
    bool found;
    uint8_t log_id[16];
    log_offset commit_point;
    struct bytes done; /* the offsets beyond it that are delivered or filtered (commit.h); no bytes: none */
    uint64_t owner_epoch;
    uint32_t topic_id; /* of a stranger that this log wrote: the topic its events came from; 0: of another log */
    struct sink_ledger ledger;
};

struct sink_refused {
    uint32_t row;         /* index into the batch */
    log_offset offset;    /* of the event it came from */
    char message[256];    /* the sink's own words */
};

struct sink_batch {
    struct io_agent *agent;                       /* the task's shard: `done` runs on its turn */
    void (*done)(struct sink_batch *batch);
    void *ctx;

    struct log_partition source;
    log_offset commit_point;                      /* after this batch */
    struct bytes done_set;                        /* after this batch: what is delivered or filtered beyond that point, as in
                                                     a committed offset (commit.h); of dead letters there are facts */
    struct sink_ledger ledger;                    /* after this batch: below the point, and of the set */
    struct bytes rows;                            /* as the sink's add() encoded them; the task's memory */
    uint32_t row_count;
    size_t taken_size;            /* the sink's note of how far it came with these rows; the task sets 0 with new ones */

    /* filled in by land(): */
    enum neap_status status;      /* OK; REFUSED: nothing landed, refused[] says which rows never will; TIMEOUT, FULL, AGAIN:
                                     nothing landed, try again; CONFLICT: another owner or other rows: stop the pipeline;
                                     IO, CORRUPT: stop */
    struct error error;
    struct sink_refused *refused; /* room for SINK_REFUSED_COUNT_MAX, the task's */
    uint32_t refused_count;
    struct log_op *ops;           /* room for SINK_OP_COUNT_MAX, the task's; valid until the unit's completion */
    uint32_t op_count;
    struct sink *sink_;           /* the sink's */
    struct sink_batch *next_;
};

struct sink_recover {             /* asked once per source partition, before its first batch */
    struct io_agent *agent;
    void (*done)(struct sink_recover *recover);
    void *ctx;
    struct log_partition source;
    uint64_t owner_epoch;         /* ours; the sink's row is locked and raised to it: an older owner is fenced */
    const uint64_t *epochs;       /* of the starts that this log knows of, newest first; SINK_EPOCH_COUNT_MAX: there were */
    uint32_t epoch_count;         /* more, all lower. 0: nobody knows */
    uint8_t *done_rooms[2];       /* for the sets of row and stranger: LOG_VALUE_SIZE_MAX bytes each, the task's */
    bool take_over;               /* `start:` is written: a foreign row is taken over, by the first batch that lands: one
                                     written for another table, by a higher epoch of this log, or by a start that the log
                                     does not know of. Otherwise it is CONFLICT */
    /* filled in: */
    enum neap_status status;
    struct error error;
    struct sink_row row;          /* of this log */
    bool foreign;                 /* the row is, and it waits to be taken over */
    struct sink_row stranger;     /* of the same pipeline, sink and partition, from another log or another topic */
    bool rows_there;              /* the output holds something already (a table with rows, a file with bytes) */
    struct sink *sink_;           /* the sink's */
    struct sink_recover *next_;
};

struct sink_verbs {
    const char *kind;
    bool own_offsets;             /* its row is the truth */
    bool exactly_once;            /* the most it can hold */
    /* NEAP_OK; AGAIN: the batch is full, hand it over and start a new one; BADINPUT, TOOLARGE with a failure */
    enum neap_status (*add)(struct sink *sink, struct writer *rows, const struct event *event, struct arena *arena,
                            struct failure *failure);
    void (*recover)(struct sink *sink, struct sink_recover *recover);
    void (*land)(struct sink *sink, struct sink_batch *batch);
    /* Calls `done` of whatever has ended; answers how many. On every turn of the tasks' agent, which is woken when there
     * is something; `done` runs here and nowhere else. Never NULL. */
    uint32_t (*work)(struct sink *sink);
    /* What a task has landed will not be committed in this life: the pipeline stops or drains. Batches that would come behind
     * it are answered AGAIN. NULL: no batch waits for another one's commit. */
    void (*give_up)(struct sink *sink);
    void (*close)(struct sink *sink); /* nothing in flight; frees it */
};

struct sink {
    const struct sink_verbs *verbs;
    const char *name; /* kept by the pipeline */
    size_t batch_size;
    uint32_t row_count_max;
};

#endif
