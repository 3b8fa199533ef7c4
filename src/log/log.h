/* log.h - topics of partitions of record batches, and the one verb that writes: a unit.
 *
 * A unit is appends + committed offsets + facts, all owned by one source partition; it becomes visible whole or not at
 * all. Locally it is one journal entry; on a cluster it will be one transaction.
 *
 * owner    log_open() starts the journal's and the housekeeper's agents; every agent that writes opens a log_client of
 *          its own and alone touches it; a log_reader belongs to whoever opened it; the listing verbs are for anybody
 * memory   log_memory_size(options) in all, taken in log_open(), plus read_size per reader
 * limits   those in struct log_options, and log/limits.h; at one of them a submit answers NEAP_AGAIN, changing nothing
 * errors   a unit ends as OK (durable, or written), FULL, REFUSED (a topic of it is gone), TOOLARGE, IO or CLOSED
 *          (the node stops: whether it is durable is found out at the next start)
 * promise  done(OK) comes after the sync that covers the unit, or after its write where every topic of it has a sync interval
 *          (log_topic_settings): a killed process loses neither, a power cut only the latter, and never half of one; readers
 *          see durable records only; an offset once seen never changes; units of one client become durable, and are told so, in
 *          the order they were submitted */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "base/logging.h"
#include "io/io.h"

typedef struct {
    uint64_t n;
} log_offset; /* counts events in a partition, from 0 */

typedef struct {
    uint64_t n;
} log_position; /* counts bytes in the journal, since its birth */

struct log_id {
    uint8_t bytes[16]; /* random, made with the journal: which log this is */
};

struct log_partition {
    uint32_t topic_id; /* never used twice in one log; 0 is no topic */
    uint32_t partition;
};

#define LOG_NAME_SIZE_MAX  249u   /* Kafka's; names are [A-Za-z0-9._-]+, not "." or ".." */
#define LOG_VALUE_SIZE_MAX 65536u /* of a fact, or of a done set */
#define LOG_KEY_SIZE_MAX   1024u  /* of a fact */
#define LOG_GROWTH_MAX     32u    /* times a topic can be given more partitions, since the log was opened; then: FULL */

struct log;
struct log_client;
struct log_reader;

struct log_options {
    const char *path;             /* the data directory; made when missing; a relative one is looked up once, by log_open() */
    uint64_t disk_size;           /* bytes all files together may take; 0: 90 % of what is free or its own already */
    uint32_t disk_percent;        /* instead of disk_size: this share of the disk that `path` lies on */
    bool disk_last;               /* where neither is given: what the directory was last opened with; else it is remembered */
    uint32_t file_size;           /* of a journal file; 0: disk_size / 64 within 4 and 256 MiB, and what
                                     index_count_max small batches fill */
    uint32_t tail_size;           /* memory for the newest bytes of the journal; 0: 8 MiB */
    uint32_t index_count_max;     /* batches in one journal file; 0: 128 Ki; a full index seals the file early */
    uint32_t partition_count_max; /* 0: 10,000 */
    uint32_t page_cache_size;     /* memory for pages of index files; 0: 1 MiB; below 4 KiB: none */
    uint32_t fact_size_max;       /* bytes of facts and offsets in memory; 0: 16 MiB */
    uint32_t snapshot_size;       /* journal bytes between two snapshots; 0: disk_size / 32, at most 128 MiB */
    int64_t clean_ns;             /* how often it looks for what retention frees and what is dead; 0: 1 s */
    int64_t idle_mark_ns;         /* an idle journal writes its durable mark after this; 0: 200 ms */
    uint64_t scrub_rate;          /* bytes a second of what lies at rest that are read again to verify them; 0: 4 MiB */
    int64_t scrub_delay_ns;       /* from the start on; 0: a minute */
    struct logging *logging;      /* may be NULL */
};

/* Opens, recovers and starts. NEAP_HELD (another process, with its pid), NEAP_CORRUPT (file and position named, nothing
 * changed), NEAP_VERSION, NEAP_FULL, NEAP_DENIED, NEAP_IO. */
enum neap_status log_open(struct io *io, const struct log_options *options, struct log **ret_log, struct error *err);
/* Clients and readers are closed. Submitted units are written and synced first: a disk that hangs is waited for, because nothing
 * can be freed under a sync. Accepts NULL inside. */
void log_close(struct log **log);
/* Whoever leaves does not wait for a full disk: a write that waits for room fails instead, and the log stops as after
 * any failed write. Any thread. */
void log_give_up(struct log *log);
size_t log_memory_size(const struct log_options *options);

/* What a budget of disk comes to, with nothing opened and nothing made. */
struct log_disk {
    uint64_t size;                       /* of all files together */
    uint64_t events, pipelines, cleaning; /* size shared out: who may write how far (enum log_rank) */
    uint64_t journal;                    /* the most that journal files can take of it; archives come on top */
    uint32_t file_size, ready_count;     /* of a journal file; how many are kept ready */
};
/* MISUSE: the budget holds too few files. */
enum neap_status log_disk_plan(struct io *io, const struct log_options *options, struct log_disk *ret_disk,
                               struct error *err);
struct log_id log_identity(const struct log *log);
const char *log_directory(const struct log *log); /* its full name, as it was when it was opened; until log_close() */
/* What stopped it: OK while it works; IO after a failed write or sync. `err` gets the trail. Any thread. */
enum neap_status log_health(struct log *log, struct error *err);
/* Looks whether its directory is still there and its own; where it was deleted, moved away or replaced the log stops, as
 * after a failed write: NEAP_IO. One question to the file system, which the housekeeper asks once a second. Any thread. */
enum neap_status log_look(struct log *log, struct error *err);

/* ---- writing --------------------------------------------------------------------------------------------------- */

enum log_op_kind {
    LOG_APPEND,       /* payload: one record batch (log/batch.h), base offset 0; view: flags below */
    LOG_OFFSET,       /* name: the group; payload: the done set beyond the commit point, may be empty; view: flags below */
    LOG_FACT,         /* name: the key; payload: the value; empty value: forget it */
    LOG_TOPIC_CREATE, /* name: the topic; count: partitions; payload: settings, or nothing for the defaults */
    LOG_TOPIC_DELETE, /* target.topic_id */
    LOG_BOOT_,        /* the log's own */
    LOG_TOPIC_ALTER,  /* target.topic_id; count: partitions, at least as many as there are, 0: as it is; payload: settings,
                         or nothing: as they are. CONFLICT where the topic is no more what the caller has seen: revision, 0:
                         whatever it is; offset: 1 + all that was ever appended to it, 0: whatever that is. HELD: more
                         partitions, and somebody keeps their number (log_topic_keep) */
    LOG_TRIM,         /* offset: the partition starts here from now on; never back, never past its end */
    LOG_REPLACE_,     /* the log's own: archives stand for a journal file, or for older archives */
    LOG_LOST,         /* offset, count: records that cannot be read are declared lost; readers pass over them */
};

/* In `view` of LOG_APPEND. */
enum {
    LOG_APPEND_PLACED = 1, /* by a key: offset is the number of partitions it was placed by; CONFLICT where there are more now */
};

/* In `view` of LOG_OFFSET. */
enum {
    LOG_OFFSET_HOLD = 1,   /* retention waits for this group on this partition, from now on until it is forgotten */
    LOG_OFFSET_FORGET = 2, /* the group's commit point on this partition is no more; offset and payload mean nothing */
};

/* In the place of a done set: the group holds the partition and has committed nothing there yet. Those that hold partitions of
 * a topic hold so what LOG_TOPIC_ALTER adds to it, from its first event on, until they say otherwise. */
struct bytes log_held_set(void);

/* In `view` of LOG_LOST. */
enum {
    LOG_LOST_RAISE = 1, /* they were given once, and the journal's memory of it is damaged: the partition ends behind them */
};

/* What a topic keeps and for how long. Numbers are on disk. */
enum log_retention { LOG_RETAIN_LIMITS = 0, LOG_RETAIN_DONE = 1 };
enum log_cleanup { LOG_CLEANUP_DELETE = 0, LOG_CLEANUP_COMPACT = 1 };
struct log_topic_settings {
    enum log_retention retention; /* LIMITS: by time and size, as in Kafka; DONE: what every holding group has passed */
    enum log_cleanup cleanup;     /* COMPACT: the newest record of a key is kept, older ones need not be */
    int64_t retention_ms;         /* since the append; -1: no limit */
    int64_t retention_size;       /* bytes of batches in one partition; -1: no limit */
    int64_t tombstone_ms;         /* COMPACT: how long a record without a value is kept; -1: a day */
    uint32_t interval_ms; /* 0: answered after the sync; else after the write, and the sync begins within so many ms: a power
                             cut loses what was answered since, and so does a sync that fails, which stops the log */
    uint32_t record_size_max;     /* 0: RECORD_SIZE_MAX; gates look at it */
};
#define LOG_SETTINGS_DEFAULT ((struct log_topic_settings){ .retention_ms = -1, .retention_size = -1, .tombstone_ms = -1 })
/* What a topic gets that is made without a word about it: seven days, as in Kafka. */
#define LOG_SETTINGS_USUAL \
    ((struct log_topic_settings){ .retention_ms = 7ll * 24 * 3600 * 1000, .retention_size = -1, .tombstone_ms = -1 })
#define LOG_SETTINGS_SIZE    40u
struct bytes log_settings_encode(const struct log_topic_settings *settings, uint8_t room[LOG_SETTINGS_SIZE]);
/* BADINPUT: not settings; VERSION: of a newer format. */
enum neap_status log_settings_decode(struct bytes bytes, struct log_topic_settings *ret_settings);

/* Views of facts. The numbers are on disk. */
enum log_view {
    LOG_VIEW_FILE = 1,   /* a file source: path -> position and identity */
    LOG_VIEW_FATE = 2,   /* pipeline and offset -> what became of it, beyond the commit point */
    LOG_VIEW_LEDGER = 3, /* pipeline -> its counters */
    LOG_VIEW_SINK = 4,   /* pipeline and sink -> what a sink in this log's care has to remember */
    LOG_VIEW_START = 5,  /* pipeline -> owner epoch and unclean starts */
    LOG_VIEW_DEDUP = 7,  /* no name -> the secret that ids in the topic are hashed with; at its partition 0 */
    LOG_VIEW_LETTERS = 6, /* no name -> what is in the topic are dead letters, whatever it is called; at its partition 0 */
};

struct log_op {
    enum log_op_kind kind;
    uint8_t view;                /* LOG_FACT: of which; LOG_OFFSET, LOG_APPEND: flags */
    struct log_partition target; /* APPEND: where to; OFFSET and FACT: whose; TOPIC_CREATE: ret topic_id */
    uint32_t count;              /* APPEND: records in the batch; TOPIC_CREATE, TOPIC_ALTER: partitions; TRIM: 0 */
    log_offset offset;           /* APPEND: ret base offset, valid at done(OK); OFFSET: the commit point; TRIM: the start */
    struct bytes name, payload;  /* kept until done */
    /* the log's: */
    log_position position_;
    union {
        uint64_t revision; /* TOPIC_ALTER: the topic's, as the caller has seen it; the log's from then on */
        void *partition_;
        uint64_t reserved_size_; /* of an alteration: for the holds that come of it */
    };
};

/* Whose units these are, and so how far into a full disk they may go. */
enum log_rank {
    LOG_RANK_PRODUCER, /* new events: stop before the last 10 % of the disk */
    LOG_RANK_PIPELINE, /* commits, whosever; dead letters, outputs of pipelines: stop before the last 2 % */
    LOG_RANK_HOUSE,    /* deletes, trims, whosever; cleaning: to the end */
};

struct log_unit {
    struct log_op *ops; /* kept until done */
    uint32_t count;     /* 1 .. LOG_UNIT_OP_COUNT_MAX */
    /* Runs in log_client_work() of the client it was submitted to. */
    void (*done)(struct log_unit *unit, enum neap_status status);
    void *ctx; /* the caller's */
    /* the log's: */
    struct log_unit *next_;
    struct log_client *client_;
    enum neap_status status_;
    uint32_t size_, append_count_;
    bool early_;
    enum log_rank rank_;
};
#define LOG_UNIT_OP_COUNT_MAX 4096u
#define LOG_UNIT_SIZE_MAX \
    (4u << 20) /* header, names, payloads; less where the first journal file or the tail is smaller */

struct log_client_options {
    enum log_rank rank;
    uint32_t inflight_count_max; /* units; 0: 256 */
    size_t inflight_size_max;    /* bytes; 0: 8 MiB; one unit larger than this alone is let through */
    struct io_agent *agent;      /* woken when something is done; may be NULL with log_client_wait() */
};
enum neap_status log_client_open(struct log *log, const struct log_client_options *options,
                                 struct log_client **ret_client, struct error *err);
/* Nothing in flight. */
void log_client_close(struct log_client **client);
/* OK: `done` will be called, exactly once. AGAIN: no room now (room comes with a completion). TOOLARGE, MISUSE: never.
 * CLOSED: the log has stopped. */
enum neap_status log_submit(struct log_client *client, struct log_unit *unit);
/* Calls `done` of what has ended; answers how many. The owner's turn. */
uint32_t log_client_work(struct log_client *client);
uint32_t log_client_inflight(const struct log_client *client);
/* Submits and waits, for callers that are no agent: commands and tests. The unit's `done` is set by it. Past the deadline a
 * write that waits for room on a full disk is given up (log_give_up()). TIMEOUT, a second later: not known; what was handed
 * in is a copy, so that nobody waits for a disk that stalls. The client may be closed then. */
enum neap_status log_submit_wait(struct log_client *client, struct log_unit *unit, mono_time deadline);

/* ---- topics ------------------------------------------------------------------------------------------------------ */

struct log_topic {
    char name[LOG_NAME_SIZE_MAX + 1];
    uint32_t id, partition_count;
    uint64_t batch_count, size; /* of what is durable and kept */
    uint64_t revision;          /* another one after each alteration; never 0 */
    struct log_topic_settings settings;
};
/* NEAP_OK or what is wrong with the name. */
enum neap_status log_name_check(const char *name, struct error *err);
enum neap_status log_topic_find(struct log *log, const char *name, struct log_topic *ret_topic); /* NEAP_NOTFOUND */
/* Finds it, and the number of its partitions stays as it is, until as many log_topic_let() have followed: for whoever places
 * events by key for a long time. NOTFOUND. */
enum neap_status log_topic_keep(struct log *log, const char *name, struct log_topic *ret_topic);
void log_topic_let(struct log *log, uint32_t topic_id);
/* Another number whenever the settings of any topic may have changed. Cheap. */
uint64_t log_settings_count(const struct log *log);
/* The index-th topic in name order; false past the last. */
bool log_topic_at(struct log *log, uint32_t index, struct log_topic *ret_topic);
/* Creates it when missing, waits. NEAP_MISUSE where it is there with another number of partitions (count 0: any; 1 new). */
enum neap_status log_topic_ensure(struct log_client *client, const char *name, uint32_t partition_count,
                                  mono_time deadline, struct log_topic *ret_topic, struct error *err);
/* The same with settings for the case that it is new; NULL: the defaults. Settings of one that is there are left alone. */
enum neap_status log_topic_ensure_with(struct log_client *client, const char *name, uint32_t partition_count,
                                       const struct log_topic_settings *settings, mono_time deadline,
                                       struct log_topic *ret_topic, struct error *err);
/* Whether so many more partitions fit into this log. FULL: the text says how many there are, and the bound. */
enum neap_status log_partitions_check(struct log *log, uint32_t more_count, struct error *err);
/* First offset not yet durable: one past the last record a reader may see. NOTFOUND. */
enum neap_status log_partition_end(struct log *log, struct log_partition partition, log_offset *ret_end);
/* The offsets that are kept: [start, end). NOTFOUND. */
enum neap_status log_partition_range(struct log *log, struct log_partition partition, log_offset *ret_start,
                                     log_offset *ret_end);
/* Where what was appended in that second or later begins: the offset after the last batch appended before it (the start where
 * there is none; the end where nothing is that new). Times of append never fall. NOTFOUND, CORRUPT, IO. */
enum neap_status log_offset_at(struct log *log, struct log_partition partition, wall_time when, log_offset *ret_offset,
                               struct error *err);

struct log_partition_figures {
    log_offset start, end;      /* what is kept: [start, end) */
    uint64_t batch_count, size; /* of what is kept */
};
enum neap_status log_partition_figures(struct log *log, struct log_partition partition,
                                       struct log_partition_figures *ret_figures); /* NOTFOUND */

/* ---- offsets and facts: durable ones only ---------------------------------------------------------------------------- */

struct log_commit {
    log_offset offset;     /* the commit point: the lowest offset not yet done */
    struct bytes done_set; /* in the caller's room */
    bool hold;             /* retention waits for it */
};
/* room: LOG_VALUE_SIZE_MAX bytes, or NULL for the offset alone. NEAP_NOTFOUND. */
enum neap_status log_offset_get(struct log *log, const char *group, struct log_partition partition, uint8_t *room,
                                struct log_commit *ret_commit);
/* Every (group, partition) in group, topic, partition order. `each` runs under a lock: copy and go. */
void log_offset_each(struct log *log,
                     bool (*each)(void *ctx, const char *group, struct log_partition partition, log_offset offset),
                     void *ctx);
/* room: LOG_VALUE_SIZE_MAX bytes. NEAP_NOTFOUND. */
enum neap_status log_fact_get(struct log *log, uint8_t view, struct log_partition partition, struct bytes key,
                              uint8_t *room, struct bytes *ret_value);
/* Every fact of a view and partition whose key starts with `prefix`, in the order of last writing. Under a lock. */
void log_fact_each(struct log *log, uint8_t view, struct log_partition partition, struct bytes prefix,
                   bool (*each)(void *ctx, struct bytes key, struct bytes value), void *ctx);

/* ---- reading --------------------------------------------------------------------------------------------------------- */

struct log_batch {
    log_offset base; /* offset of the batch's first record */
    uint32_t count;
    wall_time appended; /* to the second */
    struct bytes bytes; /* the record batch, base offset stamped; valid until the next call on the reader */
};
/* read_size: bytes kept for reading; a larger batch grows it once, up to LOG_UNIT_SIZE_MAX. NEAP_NOTFOUND, NEAP_NOMEM. */
enum neap_status log_reader_open(struct log *log, struct log_partition partition, log_offset from, size_t read_size,
                                 struct log_reader **ret_reader, struct error *err);
void log_reader_close(struct log_reader **reader);
/* The batch that holds the next offset (it may begin before it); where that is no longer kept, or declared lost, the first
 * one after it, so that what was passed over can be told from its base. AGAIN: nothing durable there yet. CORRUPT, with file
 * and position in `err`: this partition ends here until it is settled. NOTFOUND: the topic was deleted. */
enum neap_status log_reader_next(struct log_reader *reader, struct log_batch *ret_batch, struct error *err);
void log_reader_seek(struct log_reader *reader, log_offset to);
/* From now on `agent` is woken when something new is durable anywhere in the log, a topic is deleted, or the log has stopped
 * (log_health()). At most LOG_WATCH_COUNT_MAX. */
enum neap_status log_watch(struct log *log, struct io_agent *agent);
void log_unwatch(struct log *log, struct io_agent *agent);
#define LOG_WATCH_COUNT_MAX 64u

/* ---- looking after it --------------------------------------------------------------------------------------------------- */

struct log_figures {
    log_position durable, written;
    uint64_t sync_count, entry_count, batch_count, append_size;
    uint64_t file_count, spare_count, archive_count, disk_used_size, disk_size;
    uint64_t disk_live_size; /* of what is used: what holds events, without files that are ready or dead */
    uint64_t recovered_size; /* journal bytes read at start */
    int64_t recovery_ns;
    uint64_t scrubbed_size, scrub_pass_count; /* verified beside all work; how often all of it has been */
    uint64_t damage_count;                    /* found since the start; the list below holds the first of them */
    uint64_t lost_count;                      /* records declared lost that are not trimmed yet */
    bool retention_delayed; /* the clock has jumped ahead: nothing is freed by time until retention_resumes */
    wall_time clock_jumped; /* when it last was found more than a day ahead of where it was, by itself */
    int64_t clock_jump_ms;  /* by how much; 0: it has not, or has come back since */
    wall_time retention_resumes; /* while it is delayed; by that clock */
    bool full;              /* no room for another file, by the budget or by the file system */
    enum log_rank rank_min; /* whose units are still taken: producers' when all is well */
};
void log_figures(struct log *log, struct log_figures *ret_figures);

/* What was found damaged since the start, by a reader or by the scrub that reads everything once in a while. A partition
 * ends where it is damaged; everything else serves on. */
enum log_found_by { LOG_FOUND_BY_READ, LOG_FOUND_BY_SCRUB };
struct log_damage {
    struct log_partition partition; /* topic_id 0: no records are concerned, or nobody can tell whose */
    char topic[LOG_NAME_SIZE_MAX + 1];
    log_offset offset; /* the first that cannot be read */
    uint32_t count;    /* how many; 0: not known */
    char file[64];     /* in the data directory */
    uint64_t byte;     /* of the file */
    enum log_found_by found_by;
    wall_time found;
};
/* The index-th of them, oldest first; false past the last. At most LOG_DAMAGE_COUNT_MAX are remembered. */
bool log_damage_at(struct log *log, uint32_t index, struct log_damage *ret_damage);
#define LOG_DAMAGE_COUNT_MAX 64u

/* The first range of offsets declared lost that ends after `from`: [first, end). False: there is none. Cheap where nothing
 * ever was. */
bool log_lost_next(struct log *log, struct log_partition partition, log_offset from, log_offset *ret_first,
                   log_offset *ret_end);

/* Verifies every entry, index, archive and snapshot of a directory, whoever holds it; changes nothing. `finding` gets one call
 * for each: its text may span what the other members say. progress runs from 0 to total_size. NEAP_OK: clean; NEAP_CORRUPT:
 * damage was named. */
struct log_finding {
    bool damage;                    /* else a note */
    const char *line;               /* for a person */
    const char *file;               /* in the data directory; NULL: of none */
    uint64_t byte, size;            /* of the file; size 0: not known */
    struct log_partition partition; /* topic_id 0: no offsets are named */
    const char *topic;              /* NULL: its name is not known */
    log_offset first, end;          /* [first, end) cannot be read */
};
struct log_doctor {
    void (*finding)(void *ctx, const struct log_finding *finding);
    void (*progress)(void *ctx, uint64_t done_size, uint64_t total_size); /* may be NULL */
    /* An archive that cannot be read, and nobody misses: what was in it is declared lost, freed, or elsewhere. May be NULL. */
    void (*settled)(void *ctx, uint32_t topic_id, uint64_t number);
    void *ctx;
};
/* What somebody declares lost: offsets of a partition, or damaged bytes of a journal file that keep the log from opening. */
struct log_loss {
    char topic[LOG_NAME_SIZE_MAX + 1];
    uint32_t partition;
    log_offset first, end;         /* [first, end) */
    uint64_t file;                 /* 0: offsets */
    uint64_t byte_first, byte_end; /* of the file: [first, end) */
};
#define LOG_LOSS_TEXT_SIZE (LOG_NAME_SIZE_MAX + 64)
/* "orders/0@17..19", "orders/0@17", "journal/0000000000000003.npj@4096..8191"; BADINPUT. */
enum neap_status log_loss_parse(const char *word, struct log_loss *ret_loss);
void log_loss_text(const struct log_loss *loss, char room[LOG_LOSS_TEXT_SIZE]);
bool log_loss_of(const struct log_finding *finding, struct log_loss *ret_loss); /* false: nothing that could be named */
/* Declares them lost, durably: readers pass over them from now on, and nothing else changes. Nobody else holds the directory.
 * MISUSE: not all that is named is damaged, or a log that does not open needs more to be named; HELD; as log_open(). */
enum neap_status log_repair(struct io *io, const struct log_options *options, const struct log_loss *losses, uint32_t count,
                            bool only_look, struct error *err);

enum neap_status log_doctor(struct io *io, const char *path, const struct log_doctor *doctor, struct error *err);

#endif
