/* task_parts.h - what a task is made of: for task.c and the task_….c beside it alone. */
#ifndef FLOW_TASK_PARTS_H
#define FLOW_TASK_PARTS_H

#include "base/must.h"
#include "flow/commit.h"
#include "flow/dedup_record.h"
#include "flow/letter_scan.h"
#include "flow/task.h"

#define TASK_MAGIC           0x5441534bu
/* Of the done set: 2 MiB. Two batches ahead of the commit point there are never as many; only who starts again far below it
 * can meet more dead letters of earlier runs than these, and is told what to do. */
#define TASK_RUN_COUNT_MAX   131072u
#define TASK_EVENTS_PER_TURN 2048u
#define TASK_BACKOFF_NS_MIN  (100 * NS_PER_MS)
#define TASK_BACKOFF_NS_MAX  (30 * NS_PER_S)
#define TASK_FULL_NS_MAX     (500 * NS_PER_MS)

/* In the order they are passed through. */
enum task_state {
    TASK_RECALL, /* the ids that were seen before */
    TASK_ASK, /* the sink is to be asked */
    TASK_ASKED,
    TASK_ASKED_WAS,   /* and what it knows under the former name */
    TASK_SCAN,        /* dead letters of an earlier life are looked for */
    TASK_NOTE_FATES,  /* those found become facts again */
    TASK_FORGET,      /* facts of what the sink has passed go */
    TASK_SETTLE_SINK, /* the place to go on at is written to the sink */
    TASK_SETTLE_LOG,  /* and to the log */
    TASK_RUN,
};

/* Exponential, with full jitter. */
struct task_backoff {
    uint32_t attempt;
    mono_time due; /* MONO_NEVER: not waiting */
};

enum task_unit_state { UNIT_IDLE, UNIT_READY, UNIT_BUSY, UNIT_WAITING, UNIT_DONE };

struct task_unit {
    struct task *task;
    struct log_unit unit;
    enum task_unit_state state;
    struct task_backoff backoff;
    bool said_full;
    const char *doing; /* "write dead letters" */
};

enum task_batch_state { BATCH_EMPTY, BATCH_OPEN, BATCH_CLOSED };

struct task_batch {
    enum task_batch_state state;
    log_offset from, to;
    struct writer rows;
    uint32_t row_count, event_count, dead_count;
    uint64_t gone_count;   /* offsets of the range that the log does not hold any more */
    uint64_t before_count; /* or that an earlier life has settled */
    /* of events on their ways: in the order in which they ended; `from` and `to` say nothing */
    struct pipeline_taken *taken;
    uint32_t taken_count, round;
    struct sink_ledger counts; /* of this range */
};

enum taken { TAKEN, BATCH_FULL, STOPPED };

enum task_land_state {
    LAND_IDLE,
    LAND_BUSY,
    LAND_ENDED,
    LAND_WAITING,
    LAND_COMMIT,
    LAND_BURY,   /* letters of what was refused are being written */
    LAND_BURIED, /* it is handed over without that, when they are durable */
};

struct task {
    uint32_t magic;
    struct pipeline *p;
    struct log_partition source;
    enum task_state state;
    bool draining, wants_kit, ask_ended;
    struct pipeline_kit *kit;
    struct io_timer timer;
    mono_time timer_due;

    struct commit done;          /* the sink's commit point, and the dead beyond it */
    struct commit settled;       /* the same point, and what is delivered or filtered beyond it */
    struct commit after;         /* as `settled` will be when what is with the sink has landed */
    struct commit passed;        /* dead letters below the point, of which there still are facts */
    struct sink_ledger ledger;   /* up to the commit point, and of `settled` */
    uint64_t start;              /* offsets below the commit point that it never answers for (ledger.h) */
    struct sink_ledger run_base; /* what was there at this start */

    /* starting (task_start.c) */
    struct sink_recover recover;
    struct sink_row row; /* as the sink answered, under today's name */
    bool row_foreign;
    struct sink_row stranger;
    struct task_backoff ask_backoff;
    bool was_pending, was_taken, moved_pending, settle_sink, settle_log;
    bool commit_found;
    log_offset commit_point; /* the log's note */
    struct start_plan plan;
    struct letter_scan scan;
    log_offset fate_next;

    /* reading and filling (task_fill.c) */
    struct log_reader *reader;
    struct batch batch; /* the one being read */
    struct batch_walk walk;
    bool batch_open, at_end;
    bool halted; /* the partition is damaged at what comes next: all before it is still landed */
    bool held; /* held_record did not fit: it comes first in the next batch of ours */
    struct record held_record;
    struct { /* what of the batch cannot be read, or was declared lost: each of its offsets up to `until` becomes a dead letter */
        log_offset until;
        int64_t time_ms;
        const char *reason;
        char text[160];
    } unreadable;
    log_offset next; /* the first that is not in a batch of ours */
    log_offset laid_next; /* the first that is not on its way; where no stage waits it says nothing */
    uint32_t laid_count, round; /* since it has this kit */
    uint64_t start_before;      /* `start`, when it took this kit */
    uint64_t start_after;       /* and when what is with the sink has landed */
    mono_time way_due;          /* when something rests until; MONO_NEVER: nothing does */
    struct {                    /* the watchdog's */
        log_offset offset;      /* of the event that the point waits for */
        mono_time since, say_next;
        struct task_held held;
    } watch;
    struct task_batch batches[2];
    uint32_t filling; /* index; the other one lands */
    struct dedup *dedup; /* NULL: ids are not remembered (task_dedup.c) */
    struct log_reader *ids_reader;
    int64_t appended_ms;         /* of the batch being read */
    struct dedup_record ids;     /* seen, and not handed to the log yet */
    struct writer ids_room;
    struct task_unit ids_unit;
    struct log_op ids_op;
    bool said_cut_short;
    struct batch_builder letters;
    uint32_t letter_count, refused_count;
    struct task_unit letter_unit;

    /* landing and committing (task_land.c) */
    enum task_land_state land_state;
    struct task_backoff land_backoff;
    struct task_unit commit_unit;
    uint8_t ledger_room[LEDGER_FACT_SIZE_MAX];
    char ledger_key[LEDGER_KEY_SIZE_MAX];
    uint8_t was_key[LOG_KEY_SIZE_MAX], moved_key[LOG_KEY_SIZE_MAX];

    struct { /* for any thread, under the mutex */
        struct io_mutex *mutex;
        struct task_figures figures;
    } shown;
};

/* ---- task.c */
void task_stop(struct task *t, enum neap_status status, const struct error *error);
void task_stop_with(struct task *t, enum neap_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void task_halt(struct task *t, const struct error *error); /* this partition alone */
/* The done set did not take an offset: FULL, or out of memory. */
void task_stop_scattered(struct task *t, enum neap_status status);
void task_publish(struct task *t);
/* `why`: what is full is asked again soon, as room comes without a word; what fails is left in peace. */
void task_backoff_start(struct task *t, struct task_backoff *backoff, enum neap_status why);
bool task_backoff_over(const struct task_backoff *backoff, mono_time now);
void task_backoff_end(struct task_backoff *backoff);
void task_unit_set(struct task *t, struct task_unit *u, struct log_op *ops, uint32_t count, const char *doing);
uint32_t task_unit_work(struct task *t, struct task_unit *u, mono_time now); /* DONE stays until it is taken */
bool task_unit_take(struct task_unit *u);                                    /* DONE becomes IDLE */
struct ledger task_ledger(const struct task *t);                             /* with the dead beyond the commit point */

/* ---- task_land.c */
/* Moves the commit point to where `settled` is and writes both down: `op_count` ops of the sink lie at the start of the kit's
 * already. */
void task_commit(struct task *t, uint32_t op_count);
/* Hands rows to the sink, with what holds after them. */
void task_land(struct task *t, const struct commit *after, struct sink_ledger ledger, struct bytes rows,
               uint32_t row_count);
uint32_t task_start_landing(struct task *t, mono_time now); /* of what is closed, or is to be handed over again */
uint32_t task_finish_landing(struct task *t);               /* whatever the sink has answered */
uint32_t task_landed_well(struct task *t);
uint32_t task_finish_commit(struct task *t);

/* ---- task_start.c */
uint32_t task_start_work(struct task *t, mono_time now);

/* ---- task_read.c */
enum neap_status task_fill_begin(struct task *t, log_offset from); /* opens the reader at `from`; nothing is filled */
void task_fill_again(struct task *t, log_offset from);             /* after a refusal: forget what is prepared */
void task_fill_end(struct task *t);
/* The first record at or after `from`, or false: the end, or stopped. One that cannot be read (before t->unreadable.until) is
 * empty but for its offset. */
bool task_next_record(struct task *t, log_offset from, struct record *ret_record);
/* Somebody has deleted what was not processed yet: says so. Answers where the topic begins. */
log_offset task_say_deleted(struct task *t, log_offset next);
/* True: the topic ends behind `next`, and between the two there is nothing any more. `ret_work`: how much was done. */
bool task_ends_in_gap(struct task *t, log_offset next, log_offset *ret_end, uint32_t *ret_work);

/* ---- task_letters.c */
struct task_history { /* of an event that gave up after more than one attempt */
    uint32_t attempts;
    wall_time first, last; /* when it failed */
    struct bytes first_words;
};
/* `history`: NULL: it was tried once. */
enum taken task_add_letter(struct task *t, struct task_batch *b, const struct record *record,
                           const struct failure *failure, const struct task_history *history);
void task_send_letters(struct task *t);
void task_letters_are_durable(struct task *t);

/* ---- task_fill.c */
uint32_t task_fill_work(struct task *t, mono_time now);
struct bytes task_id_of(const struct record *record);
struct event task_event_of(const struct task *t, const struct record *record, struct bytes json, struct bytes id);
const struct sink_refused *task_find_refused(const struct task *t, uint64_t offset);
/* Through the inline stages, and into the batch. `json`, `id`: of the record, or as they have become. */
enum taken task_run_record(struct task *t, struct task_batch *b, const struct record *record, struct bytes json,
                           struct bytes id);
struct failure task_failure_of_refused(const struct task *t, const struct sink_refused *refused);
struct failure task_failure_of_unreadable(const struct task *t);
void task_close_batch(struct task *t, struct task_batch *b);

/* ---- task_dedup.c: all of it fine where nothing is remembered */
bool task_has_dedup(const struct task *t);
enum neap_status task_dedup_open(struct task *t);
void task_dedup_close(struct task *t);
void task_dedup_begin(struct task *t); /* with a fresh kit, or where reading goes on at an earlier place */
uint32_t task_dedup_recall(struct task *t, bool *ret_over);
bool task_dedup_has_room(const struct task *t, uint64_t offset); /* for the id of one more event */
void task_dedup_pass(struct task *t, uint64_t offset);           /* this one has been seen, whether it has an id or not */
bool task_dedup_waits(const struct task *t);                     /* some ids are to be made durable */
void task_dedup_send(struct task *t);

/* ---- task_way.c: all of it fine where no stage waits */
bool task_has_way(const struct task *t);
void task_way_begin(struct task *t, log_offset from); /* with a fresh kit */
void task_way_stop(struct task *t);                   /* what is at work is told to come back */
bool task_way_works(const struct task *t);
bool task_way_is_empty(const struct task *t); /* nothing is on its way, or waits to be committed */
bool task_way_is_ready(const struct task *t, const struct task_batch *b); /* there is something to hand over */
uint32_t task_way_fill(struct task *t, struct task_batch *b, mono_time now);
/* Point, set and ledger as they will be when the batch has landed: into t->after. */
enum neap_status task_way_look_ahead(struct task *t, const struct task_batch *b, struct sink_ledger *ret_ledger);
void task_way_settle(struct task *t, struct task_batch *b); /* it has landed */
uint32_t task_way_bury(struct task *t, struct task_batch *b); /* what was refused of it */

#endif
