/* local.h - the embedded log: who owns what.
 *
 * owner    the journal agent owns `struct journal` and gives offsets; the keeper agent owns `struct keeper`; what both
 *          and all readers share is `struct shared`, under one mutex taken once per group of entries, never per event
 * memory   all taken in log_open(); see log_memory_size()
 * promise  nothing in `shared` is ahead of the last sync: what can be seen is durable */
#ifndef LOG_LOCAL_LOCAL_H
#define LOG_LOCAL_LOCAL_H

#include "base/map.h"
#include "base/must.h"
#include "base/ring.h"
#include "log/limits.h"
#include "log/local/archives.h"
#include "log/local/entry.h"
#include "log/local/lost.h"
#include "log/log.h"
#include <stdatomic.h>

#define LOG_MAGIC          0x6c6f6721u
#define GROUP_SIZE_MAX     (1u << 20) /* one write; a larger unit goes alone */
#define SNAPSHOT_KEEP      2u
#define INDEX_NONE         UINT32_MAX
#define JOURNAL_FILE_MAX   1024u /* files of one journal; disk / file size is far below it */
#define PATH_SIZE_MAX      4096u
#define PATH_INSIDE_SIZE_MAX 64u /* of it, for a name inside the data directory */
#define RECOVERY_STEP_SIZE (1u << 20)

/* ---- shared: under the mutex ---------------------------------------------------------------------------------- */

struct partition {
    uint32_t topic_id, number;
    struct {
        uint64_t next;
    } writer;     /* journal agent only: the next offset to give */
    uint64_t start, end; /* what is kept and durable: [start, end) */
    uint64_t batch_count, size; /* of what is kept */
    struct {
        uint64_t hold;                                                    /* retention: the lowest commit point that holds it */
        uint64_t counted_from, counted_to, counted_size, counted_batches; /* what a trim would free */
        uint64_t oldest_at;                                               /* 1 + the start that oldest_ms is of; 0: none */
        int64_t oldest_ms;
    } keeper;
    struct {
        uint64_t sequence;
        uint32_t first, last, count;
    } open[2]; /* its batches in the two indexes in memory */
};

struct topic {
    char name[LOG_NAME_SIZE_MAX + 1];
    uint32_t id, partition_count;
    struct log_topic_settings settings;
    uint32_t growing; /* journal agent: partitions, with those of an alteration on its way */
    uint32_t altering;   /* journal agent: alterations on their way */
    uint32_t keep_count; /* who relies on the number of partitions */
    uint64_t revision;   /* from 1 on: alterations since it was opened */
    bool durable;     /* its creation is; until then nobody but the journal knows it */
    bool deleting;    /* journal agent: an entry that deletes it has been written */
    struct partition *chunks[1 + LOG_GROWTH_MAX]; /* a partition never moves: units on their way point at it */
    uint32_t chunk_ends[1 + LOG_GROWTH_MAX];      /* number of the first partition after the chunk */
    uint32_t chunk_count;
};

static inline struct partition *topic_partition(const struct topic *t, uint32_t number)
{
    uint32_t chunk = 0;
    while (number >= t->chunk_ends[chunk])
        chunk++;
    return &t->chunks[chunk][number - (chunk == 0 ? 0 : t->chunk_ends[chunk - 1])];
}

struct fact {        /* offsets are facts of a group */
    uint64_t offset; /* the commit point; facts: 0 */
    uint32_t size, room;
    bool hold; /* of an offset: retention waits for it */
    uint8_t bytes[];
};

struct views {
    struct topic **by_name; /* sorted */
    uint32_t topic_count, topic_room;
    struct map *by_id;   /* 4-byte id -> topic */
    struct map *offsets; /* topic id, partition (big-endian), group -> fact */
    struct map *facts;   /* view, topic id, partition (big-endian), key -> fact */
    uint32_t topic_id_next;
    uint32_t partition_count, partition_count_max;
    uint64_t fact_size, fact_size_max;
    struct archives archives;
    struct lost lost;
    uint64_t topic_delete_count; /* since the start */
    _Atomic uint64_t settings_count; /* topics altered and deleted since the start */
    uint64_t change_count;       /* topics deleted, partitions trimmed, offsets lost, settings altered: what is dead may be more now */
};

/* A file of the journal that holds entries, or is about to. */
struct journal_file {
    uint64_t sequence, base, size, salt;
    uint64_t end;                 /* sealed: position after its last entry; 0 while open or spare */
    struct io_file *file, *index; /* index: NULL until first looked at */
    uint32_t pin_count;           /* readers and the keeper */
    uint64_t live_at;             /* 1 + what had changed when its living batches were last counted; 0: never */
    bool dead;                    /* every batch in it is dead, or lies in an archive that can be read */
    bool bad;                     /* damage was met in it: it is left as it is */
    bool cut_short;               /* the file ends before the size in its header */
    bool scarred;                 /* bytes of it were declared lost: its batches need not follow each other */
    bool index_ready;             /* its index file is on disk and was right when last looked at */
};

struct index_entry {
    uint64_t base;        /* first offset of the batch */
    uint32_t at;          /* of the operation's header, from the file's start */
    uint32_t size, count; /* bytes of the batch; records */
    uint32_t next;        /* the partition's next batch in this file; INDEX_NONE */
};

struct open_index {
    uint64_t sequence; /* 0: free */
    uint32_t count;
    bool sealed; /* waits for the keeper to write it down */
    struct index_entry *entries;
};

struct tail_block {
    struct io_mutex *mutex;
    uint64_t base; /* position of its first byte; UINT64_MAX: nothing in it */
    uint8_t *bytes;
};

struct tail { /* written by the journal agent; blocks are read under their own mutex */
    uint32_t block_size, block_count;
    uint64_t from; /* of the boot: positions before it were never in this memory */
    struct tail_block *newest; /* opened last: what comes next goes there as a rule */
    struct tail_block *blocks;
    uint8_t *memory;
};

struct shared {
    struct io_mutex *mutex;
    struct views views;
    struct journal_file files[JOURNAL_FILE_MAX]; /* oldest first: sealed ones, the open one, spares */
    uint32_t file_count, open_index;             /* files[open_index] is the open one */
    struct open_index indexes[2];                /* of file sequence & 1 */
    uint32_t index_count_max;
    uint64_t durable;                          /* position */
    uint32_t hold_count;                       /* of the journal, as of the durable entries */
    int64_t durable_time_ms;                   /* of the newest durable entry; and when that was made */
    mono_time durable_time_at;
    int64_t recovered_time_ms;                 /* of the newest entry found at the start; 0: there was none */
    int64_t recovered_wall_ms;                 /* and what the wall clock said then, as far as can be told; 0: it cannot */
    bool clock_unsaved;                        /* what was found of the clock is in no snapshot yet */
    uint64_t snapshot_position[SNAPSHOT_KEEP]; /* newest first; 0: none */
    uint64_t snapshot_sequence;
    struct io_agent *watchers[LOG_WATCH_COUNT_MAX];
    uint64_t change_count;   /* files that went: places in `files` have moved */
    struct {
        struct log_damage list[LOG_DAMAGE_COUNT_MAX];
        uint32_t count;
    } damage;
    uint64_t reserved_size;  /* for archives in the making: counted as used */
    uint32_t compacting;     /* the keeper's: topic that is not trimmed now, as its batches are counted and become fewer; 0: none */
    bool trimming;           /* the keeper's: trims are on their way, and no compaction begins */
    bool cleaning;           /* the cleaner looks or copies: nobody is refused for what it may be about to free */
    bool recycle_due;        /* something died, or a snapshot passed: look for what can be given back */
    bool full;               /* no room for another ready file */
    bool index_failed;       /* the index of a sealed file could not be written when it was last tried */
    _Atomic uint32_t rank_min; /* units of a lower rank end with FULL; space.h */
    enum neap_status failed; /* OK while it works */
    struct error failure;
    struct log_figures figures;
};

/* ---- the parts ------------------------------------------------------------------------------------------------- */

struct journal;
struct keeper;

struct log {
    uint32_t magic;
    struct io *io;
    struct logging *logging;
    struct log_options options; /* with defaults filled in */
    char path[PATH_SIZE_MAX];
    struct log_id id;
    struct io_file *lock;
    struct tail tail;
    struct pages *pages; /* of index files */
    struct shared shared;
    struct journal *journal;
    struct keeper *keeper;
    _Atomic(struct log_client *)
        clients[CLIENT_COUNT_MAX]; /* slots filled under the shared mutex, emptied by the journal */
    _Atomic bool clients_closing;
    _Atomic bool keeper_failed; /* the journal stops at its next turn */
    _Atomic bool given_up;      /* the journal waits no longer for a full disk */
    _Atomic bool keeper_left;   /* no further file will be made ready: what needs one ends as FULL */
    uint64_t boot;
    bool started, keeping; /* the journal's agent, the keeper's */
};

struct log_client {
    struct log *log;
    struct ring *submitted; /* client -> journal: struct log_unit * */
    struct ring *completed; /* journal -> client; has room for all in flight */
    _Atomic(struct io_agent *) agent;
    uint32_t inflight_count, inflight_count_max;
    size_t inflight_size, inflight_size_max;
    enum log_rank rank;
    uint32_t index;        /* among log->clients */
    bool closing;          /* under the shared mutex */
    uint32_t abandoned_count; /* of those in flight: log_submit_wait() waits for them no longer */
    uint32_t unsynced_count; /* journal agent only: units written or about to be, which are answered after their sync */
};

size_t log_compaction_size(const struct log_options *options); /* bytes that a compaction's table may take */
uint32_t log_gathered_size(const struct log_options *options); /* of a batch that compaction makes of small ones, at most */
uint32_t log_compaction_records(const struct log_options *options); /* that it may tell apart at one time, by a bit each */

/* Waits until nothing is in flight, on the caller's thread: for an owner whose agent has been stopped. */
void log_client_settle(struct log_client *client);

static inline struct journal_file *open_file(struct shared *s)
{
    must(s->open_index < s->file_count);
    return &s->files[s->open_index];
}

/* ---- names (files.c) --------------------------------------------------------------------------------------------- */

char *log_path(const struct log *log, char *room, const char *folder, const char *format, ...)
    __attribute__((format(printf, 4, 5))); /* room: PATH_SIZE_MAX */
#define JOURNAL_FOLDER  "journal"
#define INDEX_FOLDER    "index"
#define SNAPSHOT_FOLDER "snapshot"
#define JOURNAL_NAME    "%016llx.npj"
#define INDEX_NAME      "%016llx.npi"
#define SNAPSHOT_NAME   "%016llx.nps"
/* The number in a name of that form, or false. */
bool name_number(const char *name, const char *suffix, uint64_t *ret_number);
uint32_t journal_file_size(const struct log *log, uint64_t sequence); /* small at first, then options.file_size */
enum neap_status journal_file_prepare(struct log *log, struct io_file *file, const struct file_header *header,
                                      struct error *err); /* header written and synced */
/* The file that holds this position, or NULL. Under the mutex. */
struct journal_file *file_of(struct shared *s, uint64_t position);
uint64_t used_size(const struct shared *s); /* of all journal files and archives; under the mutex */
struct journal_file *file_by_sequence(struct shared *s, uint64_t sequence);

#endif
