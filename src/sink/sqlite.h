/* sqlite.h - what the files of the SQLite sink share; nobody else includes it.
 *
 *     sqlite.c            the sink's task side: options, add(), verbs
 *     sqlite_rows.c       how rows lie in a batch, and how they are bound
 *     sqlite_table.c      the user's table: made, checked, its INSERT
 *     sqlite_offsets.c    the table neap_offsets: the sink's truth
 *     sqlite_database.c   the connection and the worker's turn: recover, merge, land, commit, read back, checkpoint */
#ifndef SINK_SQLITE_H
#define SINK_SQLITE_H

#include "sink/sinks.h"
#include "sink/worker.h"
#include <sqlite3.h>

/* What this process knows of one source partition. The row in the database says the same or somebody else was there. */
struct sqlite_source {
    struct log_partition partition;
    uint64_t owner_epoch, landings; /* as they are there; landings 0: there is no row yet */
    uint64_t our_epoch;             /* what the next landing writes; another one: the row is to be taken over */
    log_offset commit_point;
};

struct sqlite_sink {
    struct sink sink;
    uint32_t magic;
    struct sqlite_sink_options options;
    char log_id[33]; /* as text, lower case hex */
    uint32_t slot;   /* in the database's table of statements */
    char *insert_sql;
    struct { /* the tasks' agent */
        struct value *values;
    } task;
    struct {                           /* the worker's turn */
        struct sqlite_source *sources; /* in order of partition */
        uint32_t source_count, source_room;
    } worker;
};
#define SQLITE_SINK_MAGIC 0x4e505351u

/* ---- rows ------------------------------------------------------------------------------------------------------------
 * FORMAT    u64 offset of the event it came from, then per column: u8 kind, then
 *           NULL: nothing; INT and DOUBLE: 8 bytes; TEXT and BLOB: u32 size and the bytes. Little-endian, never on disk. */
size_t sqlite_row_size(const struct value *values, uint32_t count);
void sqlite_row_write(struct writer *w, log_offset offset, const struct value *values, uint32_t count);
log_offset sqlite_row_offset(const uint8_t *at);
/* Binds the row at *at to the statement, without copies, and moves on. Answers SQLite's code. */
int sqlite_row_bind(sqlite3_stmt *statement, const uint8_t **at, const uint8_t *end, uint32_t count);

/* ---- connections ------------------------------------------------------------------------------------------------------ */

enum neap_status sqlite_connect(const struct sqlite_database_options *options, sqlite3 **ret_db, struct error *err);
enum neap_status sqlite_status(int code);
/* Sets the error from what the connection says last, with the path. */
enum neap_status sqlite_error(sqlite3 *db, const char *path, int code, struct error *err);
int sqlite_run(sqlite3 *db, const char *sql);
const struct sqlite_database_options *sqlite_database_options(const struct sqlite_database *database);
uint32_t sqlite_database_slot(struct sqlite_database *database);
struct worker *sqlite_database_worker(struct sqlite_database *database);

/* ---- the user's table --------------------------------------------------------------------------------------------------- */

char *sqlite_insert_sql(const struct sqlite_sink_options *options); /* gives; malloc */
enum neap_status sqlite_table_ensure(sqlite3 *db, const char *path, const struct sqlite_sink *sink, struct error *err);

/* ---- neap_offsets --------------------------------------------------------------------------------------------------------- */

struct sqlite_offsets { /* its statements, of one connection */
    sqlite3_stmt *get, *put, *raise, *stranger;
};
struct sqlite_offset {
    bool found;
    struct sqlite_source source;
    struct sink_ledger ledger;
    char table[256]; /* cut where longer */
    bool same_table;
    int64_t format;
    struct bytes done;
};
#define SQLITE_OFFSETS_TABLE  "neap_offsets"
#define SQLITE_OFFSETS_FORMAT 2

enum neap_status sqlite_offsets_ensure(sqlite3 *db, const char *path, struct error *err);
int sqlite_offsets_prepare(sqlite3 *db, struct sqlite_offsets *offsets);
void sqlite_offsets_finalize(struct sqlite_offsets *offsets);
int sqlite_offsets_get(struct sqlite_offsets *offsets, const struct sqlite_sink *sink, struct log_partition partition,
                       uint8_t *done_room, struct sqlite_offset *ret_offset); /* NULL: `done` is not wanted */
/* Within the transaction that makes the sink's table: an empty one holds nothing that was delivered (rule O3). */
int sqlite_offsets_forget(sqlite3 *db, const struct sqlite_sink *sink);
int sqlite_offsets_put(struct sqlite_offsets *offsets, const struct sqlite_sink *sink,
                       const struct sqlite_source *source, const struct sink_ledger *ledger,
                       struct bytes done, wall_time now);
int sqlite_offsets_raise(struct sqlite_offsets *offsets, const struct sqlite_sink *sink,
                         const struct sqlite_source *source, wall_time now);
int sqlite_offsets_stranger(struct sqlite_offsets *offsets, const struct sqlite_sink *sink,
                            struct log_partition partition, uint8_t *done_room, struct sink_row *ret_row);

#endif
