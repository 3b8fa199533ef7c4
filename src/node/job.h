/* job.h - one request at work: read, carried out, its answer made bit by bit into whatever room there is.
 *
 * owner    the agent that runs it
 * memory   the struct, a JSON parser, and what its verb needs: a log_reader, a batch
 * limits   an answer line of a listing is under JOB_LINE_SIZE_MAX; a record's line is made of pieces and has no limit
 * errors   end in the end line
 * promise  the answer ends with exactly one end line; a job with a unit in the log is not freed before it is done */
#ifndef NODE_JOB_H
#define NODE_JOB_H

#include "base/json.h"
#include "flow/ledger.h"
#include "log/batch.h"
#include "node/control.h"
#include "node/job_letters.h"
#include "node/job_reading.h"

#define JOB_LINE_SIZE_MAX    8192u
#define JOB_GROUP_COUNT_MAX  256u              /* entries copied per look at the offsets */
#define JOB_PIPELINE_COUNT_MAX 256u

struct job;
struct job_records;  /* job_records.c */
struct job_alter;    /* job_topic_alter.c */
struct job_append;   /* job_append.c */
struct job_reset;    /* job_group_reset.c */
struct job_deletion; /* job_group_delete.c */
struct job_held;     /* job_held.c */
struct job_count;    /* job_dlq.c */
struct job_settle;   /* job_settle.c */

enum job_state {
    JOB_MORE,  /* the room is full: call again */
    JOB_WAIT,  /* for the log: call again after log_client_work() */
    JOB_END,   /* the end line is written */
};

/* `line` is the request without its newline. Always gives a job; a bad request has a bad end. NULL: out of memory. */
struct job    *job_new(const struct control_context *context, struct bytes line);
size_t         job_body_size(const struct job *job);      /* what the client announced; within its limit */
void           job_body(struct job *job, struct bytes body); /* keeps; before the first fill */
enum job_state job_fill(struct job *job, struct writer *w);  /* w has room for JOB_LINE_SIZE_MAX at least */
bool           job_is_busy(const struct job *job);        /* a unit of it is in the log */
void           job_free(struct job **job);

/* ---- for the verbs ------------------------------------------------------------------------------------------------ */

struct job_verb {
    const char *name;
    bool writes;       /* needs a log_client */
    bool takes_topic, takes_group;
    enum job_state (*fill)(struct job *job, struct writer *w);
};

struct job_group_entry {
    char group[LOG_NAME_SIZE_MAX + 1];
    struct log_partition partition;
    log_offset offset;
};

struct job_pipeline {
    char name[LOG_NAME_SIZE_MAX + 1];
    struct ledger ledger;
    uint64_t in_flight, lag, door_dead;
    uint32_t topic_id;   /* where its facts lie */
    bool left_file;      /* a branch that was taken out of it */
};

enum job_place { JOB_PLACE_OFFSET, JOB_PLACE_EARLIEST, JOB_PLACE_LATEST, JOB_PLACE_TIME };

struct job_settings { /* job_settings.c: those of a topic that are to change */
    struct log_topic_settings to;
    bool has_retention, has_time, has_size, has_cleanup, has_interval;
};

struct job {
    uint32_t magic;
    struct control_context context;
    const struct job_verb *verb;
    struct json_parser *parser;
    struct error error;
    bool started, ended;

    /* what was asked */
    char topic_name[LOG_NAME_SIZE_MAX + 1], group_name[LOG_NAME_SIZE_MAX + 1];
    char key[LOG_KEY_SIZE_MAX + 1];
    char name[LOG_NAME_SIZE_MAX + 1];         /* of a topic or a pipeline */
    char for_pipeline[LOG_NAME_SIZE_MAX + 1]; /* redrive: instead of the one that the letters name */
    bool has_partition, has_key, has_count, has_until, dry_run, as_records, framed, if_missing, force;
    struct job_filter filter;
    enum job_place place;   /* of `from`, or of `time` */
    wall_time time;
    struct record_header headers[CONTROL_HEADER_COUNT_MAX]; /* of each event that is appended */
    uint32_t header_count;
    uint8_t *headers_room;
    uint64_t last, wait_ms, seen; /* read: only so many before the end; describe: wait until there is something new */
    mono_time wait_until;
    uint64_t partition, from, until, limit, count, body_size, redrives_max;
    struct bytes body;

    /* how far it is */
    struct log_topic topic;
    uint32_t topic_index, partition_index;

    /* groups */
    struct job_group_entry *entries;
    uint32_t entry_count, entry_index, entries_seen_count;
    char group_now[LOG_NAME_SIZE_MAX + 1];
    uint32_t group_partition_count;
    uint64_t group_lag;
    bool group_open;
    struct log_topic topic_last;

    /* pipelines of a stopped directory */
    struct job_pipeline *pipelines;
    uint32_t pipeline_count, pipeline_index;
    bool node_written, held_written;
    struct job_held *held;
    uint32_t damage_index;

    struct job_records *records;    /* NULL until a verb shows what it reads */
    struct job_reading *reading;    /* NULL until a verb reads */
    struct job_letters *letters;
    struct job_count *counting;
    struct job_settle *settle;
    bool found;                     /* what was named is there */
    uint32_t named_id;              /* the topic that has the name; 0: none */
    struct job_settings changes;
    uint8_t settings_room[LOG_SETTINGS_SIZE]; /* of a topic that is made */
    struct job_alter *alter;
    struct job_append *append;
    struct job_reset *reset;
    struct job_deletion *deletion;

    /* a unit in the log */
    struct log_op op;
    struct log_unit unit;
    bool unit_busy, unit_done;
    enum neap_status unit_status;
};

/* Ends the job with this; answers JOB_MORE so that fill can write the end line. */
enum job_state job_fail(struct job *job, enum neap_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum job_state job_end(struct job *job);
bool           job_has_room(const struct writer *w);        /* for one line of a listing */
void           job_print(struct writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void           job_print_text(struct writer *w, const char *text); /* as a JSON text */
void           job_print_group(struct writer *w, const char *group); /* {"group":"…", which more members follow */
/* Submits the one op as a unit, or several; kept until it is done: unit_done. */
enum job_state job_submit(struct job *job);
enum job_state job_submit_ops(struct job *job, struct log_op *ops, uint32_t count);
/* A unit has ended well since this was last asked; the next one may be submitted. */
bool           job_unit_ended(struct job *job);
/* Ends the job with what became of its unit; a log that has stopped says why, the unit may only know that it is closed. */
enum job_state job_unit_failed(struct job *job, const char *what, const char *name);
/* False: a pipeline of the group's name is at work in this node; the job has failed with that. */
bool           job_group_is_free(struct job *job);
/* ,"NAME":"2026-11-20T10:00:00Z": when what lies at or after `from` came in; nothing where there is nothing. */
void           job_print_appended(struct job *job, struct writer *w, const char *name, struct log_partition at,
                                  log_offset from);
/* The next committed offset, in group, topic, partition order; of `group_name` alone where that is given. NULL: the last. */
const struct job_group_entry *job_next_entry(struct job *job);
/* The name of a topic id, or "?" when it is gone. */
const char    *job_topic_name(struct job *job, uint32_t topic_id);
uint64_t       job_partition_kept(struct job *job, uint32_t topic_id, uint32_t partition); /* offsets from start to end */
uint64_t       job_partition_end(struct job *job, uint32_t topic_id, uint32_t partition);

void           job_settings_read(struct job *job, struct json_value request);
void           job_settings_apply(const struct job_settings *changes, struct log_topic_settings *settings);
void           job_settings_write(struct writer *w, const struct log_topic_settings *settings); /* members, each with its comma */
void           job_write_topic(struct job *job, struct writer *w, const struct log_topic *topic);
void           job_alter_free(struct job_alter **alter);
size_t         job_body_size_max(const struct job *job); /* of an append to its topic */
void           job_append_free(struct job_append **append);
void           job_records_free(struct job_records **records);
void           job_settle_free(struct job *job);

extern const struct job_verb job_verbs[]; /* the last one has no name */

enum job_state job_status(struct job *job, struct writer *w);
/* Of a stopped directory: what pipelines have whose events went on into branches. By name afterwards. False: out of memory. */
bool           job_add_branches(struct job *job);
bool           job_is_branch(struct job *job, const char *name);      /* it is, or was, one of a pipeline file */
bool           job_has_branches(struct job *job, const char *pipeline);
/* Who holds back retention, a line each; JOB_END: all is said. */
enum job_state job_held_fill(struct job *job, struct writer *w);
enum job_state job_topic_list(struct job *job, struct writer *w);
enum job_state job_topic_describe(struct job *job, struct writer *w);
enum job_state job_topic_create(struct job *job, struct writer *w);
enum job_state job_topic_alter(struct job *job, struct writer *w);
enum job_state job_topic_delete(struct job *job, struct writer *w);
enum job_state job_topic_append(struct job *job, struct writer *w);
enum job_state job_topic_read(struct job *job, struct writer *w);
enum job_state job_group_list(struct job *job, struct writer *w);
enum job_state job_group_describe(struct job *job, struct writer *w);
enum job_state job_group_reset(struct job *job, struct writer *w);
enum job_state job_group_delete(struct job *job, struct writer *w);
enum job_state job_dlq_list(struct job *job, struct writer *w);
enum job_state job_dlq_show(struct job *job, struct writer *w);
enum job_state job_dlq_count(struct job *job, struct writer *w);
enum job_state job_dlq_drop(struct job *job, struct writer *w);
enum job_state job_dlq_redrive(struct job *job, struct writer *w);

#endif
