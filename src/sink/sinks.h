/* sinks.h - the ways out there are: how each is opened. What they then do is said in flow/sink.h.
 *
 * owner    the node opens and closes them: a database before its sinks and after them; tasks use them
 * memory   sqlite: cache_size, and row_count_max is no memory; topic: about twice batch_size per batch on its way;
 *          file: nothing beside the tasks' batches; stdout: batch_size, touched as far as a line is half out
 * errors   opening says NEAP_MISUSE or NEAP_CONFLICT where the pipeline file and the world do not fit together, and
 *          NEAP_DENIED, NEAP_NOTFOUND, NEAP_CORRUPT, NEAP_VERSION, NEAP_IO, NEAP_NOMEM with the path in the message
 * promise  texts and expressions given in options are kept: they live as long as the sink */
#ifndef SINK_SINKS_H
#define SINK_SINKS_H

#include "base/logging.h"
#include "flow/expr.h"
#include "flow/sink.h"

/* ---- sqlite: exactly once, its own offsets -------------------------------------------------------------------------- */

struct sqlite_database; /* one database file with its worker; shared by all sinks that write to it */

struct sqlite_database_options {
    struct io *io;
    const char *vfs; /* registered with io_vfs_register() for this door; NULL: SQLite's own, for tests */
    const char *path;
    size_t cache_size;       /* of pages; 0: 8 MiB */
    size_t checkpoint_size;  /* of the write-ahead log before it is folded into the database; 0: 16 MiB */
    int64_t busy_ns;         /* how long another program's lock is waited for; 0: 5 s */
    struct logging *logging; /* may be NULL */
};
enum neap_status sqlite_database_open(const struct sqlite_database_options *options,
                                      struct sqlite_database **ret_database, struct error *err);
void sqlite_database_close(struct sqlite_database **database); /* after its sinks; accepts NULL inside */
size_t sqlite_database_memory_size(const struct sqlite_database_options *options);

enum sqlite_mode { SQLITE_INSERT, SQLITE_UPSERT, SQLITE_IGNORE };

struct sqlite_column {
    const char *name;
    struct expr *expr;
};

#define SQLITE_COLUMN_COUNT_MAX 256u
#define SQLITE_SINK_COUNT_MAX   256u /* of one database */

struct sqlite_sink_options {
    struct sqlite_database *database;
    struct log_id log_id;
    const char *pipeline, *name; /* identity of the offsets row */
    const char *table;
    const struct sqlite_column *columns;
    uint32_t column_count;
    const char *const *key; /* names among the columns */
    uint32_t key_count;
    enum sqlite_mode mode;
    size_t batch_size;      /* 0: SQLITE_BATCH_SIZE */
    uint32_t row_count_max; /* 0: SQLITE_ROW_COUNT_MAX */
};
#define SQLITE_BATCH_SIZE    (2u << 20)
#define SQLITE_ROW_COUNT_MAX 16384u

/* Makes the table when it is missing, checks that it fits when it is there. Waits for the disk: not from a shard's turn. */
enum neap_status sqlite_sink_open(const struct sqlite_sink_options *options, struct sink **ret_sink, struct error *err);

/* ---- file: one JSON value per line, exactly once ---------------------------------------------------------------------- */

struct file_sink_options {
    struct io *io;
    struct log *log; /* remembers how far the file is ours */
    const char *pipeline, *name;
    const char *path;
    uint32_t source_partition_count;
    size_t batch_size;       /* 0: 2 MiB */
    struct logging *logging; /* may be NULL */
};
enum neap_status file_sink_open(const struct file_sink_options *options, struct sink **ret_sink, struct error *err);

/* ---- stdout: one JSON value per line, at least once -------------------------------------------------------------------- */

struct stdout_sink_options {
    struct io *io;
    const char *name;
    int64_t write_ns;  /* deadline of one write; 0: 30 s */
    size_t batch_size; /* 0: 2 MiB */
};
enum neap_status stdout_sink_open(const struct stdout_sink_options *options, struct sink **ret_sink, struct error *err);

/* ---- topic: exactly once, in the unit that commits the source -------------------------------------------------------------- */

struct topic_sink_options {
    const char *name;
    uint32_t topic_id, partition_count; /* the target's */
    struct expr *key;                   /* NULL: the event's own */
    uint32_t record_size_max;           /* of the target; 0: RECORD_SIZE_MAX */
    bool key_needed;                    /* the target is compacted: an event without a key is refused */
    size_t batch_size;                  /* 0: TOPIC_BATCH_SIZE */
};
#define TOPIC_BATCH_ROOM (256u << 10)
#define TOPIC_BATCH_SIZE (RECORD_SIZE_MAX + TOPIC_BATCH_ROOM) /* the largest event fits, with its headers */
enum neap_status topic_sink_open(const struct topic_sink_options *options, struct sink **ret_sink, struct error *err);

#endif
