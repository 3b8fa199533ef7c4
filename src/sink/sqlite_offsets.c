/* sqlite_offsets.c - the table neap_offsets: how far each source partition has been delivered into this database.
 *
 * FORMAT    one row per (log_id, pipeline, sink, topic_id, partition), written in the transaction of the rows it counts
 *     log_id          the log the events came from, 32 hex digits
 *     pipeline, sink  names from the pipeline file
 *     topic_id, partition, table_name
 *     commit_point    the lowest offset that is not done: every event below it is here, filtered or a dead letter
 *     owner_epoch     grows with each start of the pipeline; a lower one may not write any more
 *     landings        transactions that moved this row: tells one that landed from one that did not
 *     filtered, duplicates, delivered, dead_lettered, produced     the ledger up to the commit point, and of `done`
 *     updated_at      RFC 3339, UTC
 *     format          1; 2 where `done` is not NULL: who does not know it must not go on here
 *     done            the offsets beyond the commit point that are delivered or filtered, as in a committed offset
 *                     (flow/commit.h); NULL: none. A table of an earlier version is given the column when it is opened
 *
 * O1  Rows and their commit point are one transaction.
 * O2  A row is written only by who last saw it: same epoch, same landings. Anything else is another owner, or another
 *     database in the old one's place.
 * O3  A table that is made has no row here: what says that it was filled, of this log, goes in the same transaction. */
#include "base/must.h"
#include "sink/sqlite.h"
#include <stdio.h>
#include <stdlib.h>

/* The key's five parameters come first in every statement. */
#define KEY_WHERE "log_id = ?1 AND pipeline = ?2 AND sink = ?3 AND topic_id = ?4 AND partition = ?5"
#define NOW_TEXT  "strftime('%Y-%m-%dT%H:%M:%fZ', ?6 / 1000.0, 'unixepoch')"

static const char create_sql[] =
    "CREATE TABLE IF NOT EXISTS main." SQLITE_OFFSETS_TABLE " ("
    "log_id TEXT NOT NULL, pipeline TEXT NOT NULL, sink TEXT NOT NULL, topic_id INTEGER NOT NULL, "
    "\"partition\" INTEGER NOT NULL, table_name TEXT NOT NULL, commit_point INTEGER NOT NULL, "
    "owner_epoch INTEGER NOT NULL, landings INTEGER NOT NULL, filtered INTEGER NOT NULL, duplicates INTEGER NOT NULL, "
    "delivered INTEGER NOT NULL, dead_lettered INTEGER NOT NULL, produced INTEGER NOT NULL, updated_at TEXT NOT NULL, "
    "format INTEGER NOT NULL, done BLOB, PRIMARY KEY (log_id, pipeline, sink, topic_id, \"partition\")) WITHOUT ROWID";

static const char get_sql[] =
    "SELECT commit_point, owner_epoch, landings, filtered, duplicates, delivered, dead_lettered, produced, "
    "table_name, format, log_id, done FROM main." SQLITE_OFFSETS_TABLE " WHERE " KEY_WHERE;

/* Of the same pipeline, sink and partition: what another log wrote (a topic's number is another one there), else what this
 * log wrote for another topic. */
static const char stranger_sql[] =
    "SELECT commit_point, owner_epoch, landings, filtered, duplicates, delivered, dead_lettered, produced, "
    "table_name, format, log_id, done, topic_id FROM main." SQLITE_OFFSETS_TABLE
    " WHERE (log_id <> ?1 OR topic_id <> ?4) AND pipeline = ?2 AND sink = ?3 AND partition = ?5"
    " ORDER BY log_id = ?1, updated_at DESC, log_id, topic_id LIMIT 1";

static const char put_sql[] =
    "INSERT INTO main." SQLITE_OFFSETS_TABLE " (log_id, pipeline, sink, topic_id, partition, updated_at, table_name, "
    "commit_point, owner_epoch, landings, filtered,"
    " duplicates, delivered, dead_lettered, produced, format, done) VALUES (?1, ?2, ?3, ?4, ?5, " NOW_TEXT
    ", ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
    " ON CONFLICT (log_id, pipeline, sink, topic_id, partition) DO UPDATE SET updated_at = excluded.updated_at,"
    " table_name = excluded.table_name, commit_point = excluded.commit_point, owner_epoch = excluded.owner_epoch,"
    " landings = excluded.landings, filtered = excluded.filtered, duplicates = excluded.duplicates,"
    " delivered = excluded.delivered, dead_lettered = excluded.dead_lettered, produced = excluded.produced,"
    " format = excluded.format, done = excluded.done";

static const char raise_sql[] = "UPDATE main." SQLITE_OFFSETS_TABLE " SET updated_at = " NOW_TEXT
                                ", table_name = ?7, owner_epoch = ?8 WHERE " KEY_WHERE;

void sqlite_offsets_finalize(struct sqlite_offsets *o)
{
    sqlite3_finalize(o->get);
    sqlite3_finalize(o->put);
    sqlite3_finalize(o->raise);
    sqlite3_finalize(o->stranger);
    *o = (struct sqlite_offsets){ 0 };
}

int sqlite_offsets_prepare(sqlite3 *db, struct sqlite_offsets *ret_offsets)
{
    struct sqlite_offsets o = { 0 };
    const struct {
        const char *sql;
        sqlite3_stmt **statement;
    } all[] = { { get_sql, &o.get }, { put_sql, &o.put }, { raise_sql, &o.raise }, { stranger_sql, &o.stranger } };
    int code = SQLITE_OK;
    for (size_t i = 0; i < COUNT_OF(all) && code == SQLITE_OK; i++)
        code = sqlite3_prepare_v3(db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT, all[i].statement, NULL);
    if (code == SQLITE_OK)
        *ret_offsets = o;
    else
        sqlite_offsets_finalize(&o);
    return code;
}

static enum neap_status check_format(sqlite3 *db, const char *path, struct error *err)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, "SELECT max(format) FROM main." SQLITE_OFFSETS_TABLE, -1, &s, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    int64_t format = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    sqlite3_finalize(s);
    if (code != SQLITE_ROW)
        return sqlite_error(db, path, code, err);
    if (format > SQLITE_OFFSETS_FORMAT)
        return error_set(err, NEAP_VERSION,
                         "table " SQLITE_OFFSETS_TABLE " in %s has format %lld; this version knows %d", path,
                         (long long)format, SQLITE_OFFSETS_FORMAT);
    return NEAP_OK;
}

static int try_statement(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    sqlite3_finalize(s);
    return code;
}

/* A table of format 1 has everything but `done`. */
static int add_done(sqlite3 *db)
{
    if (try_statement(db, "SELECT done FROM main." SQLITE_OFFSETS_TABLE) != SQLITE_ERROR ||
        try_statement(db, raise_sql) != SQLITE_OK)
        return SQLITE_OK; /* it is there, or this is no table of ours: said below */
    return sqlite_run(db, "ALTER TABLE main." SQLITE_OFFSETS_TABLE " ADD COLUMN done BLOB");
}

enum neap_status sqlite_offsets_ensure(sqlite3 *db, const char *path, struct error *err)
{
    int code = sqlite_run(db, create_sql);
    if (code == SQLITE_OK)
        code = add_done(db);
    if (code != SQLITE_OK)
        return sqlite_error(db, path, code, err);
    struct sqlite_offsets offsets = { 0 };
    code = sqlite_offsets_prepare(db, &offsets);
    sqlite_offsets_finalize(&offsets);
    if (code == SQLITE_ERROR)
        return error_set(err, NEAP_CONFLICT, "table " SQLITE_OFFSETS_TABLE " in %s is not one of Neap's: %s", path,
                         sqlite3_errmsg(db));
    if (code != SQLITE_OK)
        return sqlite_error(db, path, code, err);
    return check_format(db, path, err);
}

/* ---- one row ---- */

static int bind_key(sqlite3_stmt *s, const struct sqlite_sink *sink, struct log_partition partition)
{
    int code = sqlite3_bind_text(s, 1, sink->log_id, 32, SQLITE_STATIC);
    code = code != SQLITE_OK ? code : sqlite3_bind_text(s, 2, sink->options.pipeline, -1, SQLITE_STATIC);
    code = code != SQLITE_OK ? code : sqlite3_bind_text(s, 3, sink->options.name, -1, SQLITE_STATIC);
    code = code != SQLITE_OK ? code : sqlite3_bind_int64(s, 4, partition.topic_id);
    return code != SQLITE_OK ? code : sqlite3_bind_int64(s, 5, partition.partition);
}

static int bind_numbers(sqlite3_stmt *s, int first, const uint64_t *numbers, size_t count)
{
    int code = SQLITE_OK;
    for (size_t i = 0; i < count && code == SQLITE_OK; i++)
        code = sqlite3_bind_int64(s, first + (int)i, (int64_t)numbers[i]);
    return code;
}

static uint64_t number(sqlite3_stmt *s, int column)
{
    return (uint64_t)sqlite3_column_int64(s, column);
}

static struct sink_ledger read_ledger(sqlite3_stmt *s)
{
    return (struct sink_ledger){ .filtered = number(s, 3),
                                 .duplicates = number(s, 4),
                                 .delivered = number(s, 5),
                                 .dead_lettered = number(s, 6),
                                 .produced = number(s, 7) };
}

/* Ends a statement that writes: SQLITE_OK where it is done. */
static int finish_write(sqlite3_stmt *s, int code)
{
    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    int reset = sqlite3_reset(s);
    if (code == SQLITE_DONE)
        return SQLITE_OK;
    return reset != SQLITE_OK ? reset : code;
}

/* The same for one that reads one row: it must be reset, or it would hold its read lock past the transaction. */
static int finish_read(sqlite3_stmt *s, int code)
{
    int reset = sqlite3_reset(s);
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return SQLITE_OK;
    return reset != SQLITE_OK ? reset : code;
}

/* Into the room, which has LOG_VALUE_SIZE_MAX bytes. A larger one nobody of ours has written. */
static struct bytes read_done(sqlite3_stmt *s, int column, uint8_t *room)
{
    const void *at = sqlite3_column_blob(s, column);
    size_t size = (size_t)sqlite3_column_bytes(s, column);
    if (at == NULL || size == 0)
        return (struct bytes){ room, 0 };
    memcpy(room, at, size < LOG_VALUE_SIZE_MAX ? size : LOG_VALUE_SIZE_MAX);
    return (struct bytes){ room, size };
}

int sqlite_offsets_get(struct sqlite_offsets *o, const struct sqlite_sink *sink, struct log_partition partition,
                       uint8_t *done_room, struct sqlite_offset *ret_offset)
{
    struct sqlite_offset found = { .source.partition = partition };
    int code = bind_key(o->get, sink, partition);
    if (code == SQLITE_OK)
        code = sqlite3_step(o->get);
    if (code == SQLITE_ROW) {
        found.found = true;
        found.source.commit_point = (log_offset){ number(o->get, 0) };
        found.source.owner_epoch = number(o->get, 1);
        found.source.landings = number(o->get, 2);
        found.ledger = read_ledger(o->get);
        const unsigned char *table = sqlite3_column_text(o->get, 8);
        snprintf(found.table, sizeof found.table, "%s", table == NULL ? "" : (const char *)table);
        found.same_table = table != NULL && sqlite3_stricmp((const char *)table, sink->options.table) == 0;
        found.format = sqlite3_column_int64(o->get, 9);
        if (done_room != NULL)
            found.done = read_done(o->get, 11, done_room);
    }
    code = finish_read(o->get, code);
    if (code == SQLITE_OK)
        *ret_offset = found;
    return code;
}

int sqlite_offsets_put(struct sqlite_offsets *o, const struct sqlite_sink *sink, const struct sqlite_source *source,
                       const struct sink_ledger *l, struct bytes done, wall_time now)
{
    must(source->landings > 0 && done.size <= LOG_VALUE_SIZE_MAX);
    const uint64_t numbers[] = { source->commit_point.n, source->owner_epoch, source->landings, l->filtered,
                                 l->duplicates,          l->delivered,        l->dead_lettered, l->produced };
    int code = bind_key(o->put, sink, source->partition);
    code = code != SQLITE_OK ? code : sqlite3_bind_int64(o->put, 6, now.ms);
    code = code != SQLITE_OK ? code : sqlite3_bind_text(o->put, 7, sink->options.table, -1, SQLITE_STATIC);
    code = code != SQLITE_OK ? code : bind_numbers(o->put, 8, numbers, COUNT_OF(numbers));
    code = code != SQLITE_OK ? code : sqlite3_bind_int64(o->put, 16, done.size > 0 ? 2 : 1);
    code = code != SQLITE_OK ? code
           : done.size > 0   ? sqlite3_bind_blob64(o->put, 17, done.at, done.size, SQLITE_STATIC)
                             : sqlite3_bind_null(o->put, 17);
    code = finish_write(o->put, code);
    sqlite3_clear_bindings(o->put); /* the set is the task's memory */
    return code;
}

int sqlite_offsets_raise(struct sqlite_offsets *o, const struct sqlite_sink *sink, const struct sqlite_source *source,
                         wall_time now)
{
    int code = bind_key(o->raise, sink, source->partition);
    code = code != SQLITE_OK ? code : sqlite3_bind_int64(o->raise, 6, now.ms);
    code = code != SQLITE_OK ? code : sqlite3_bind_text(o->raise, 7, sink->options.table, -1, SQLITE_STATIC);
    code = code != SQLITE_OK ? code : sqlite3_bind_int64(o->raise, 8, (int64_t)source->owner_epoch);
    return finish_write(o->raise, code);
}

int sqlite_offsets_forget(sqlite3 *db, const struct sqlite_sink *sink)
{
    static const char sql[] =
        "DELETE FROM main." SQLITE_OFFSETS_TABLE " WHERE log_id = ?1 AND table_name = ?2 COLLATE NOCASE";
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    code = code != SQLITE_OK ? code : sqlite3_bind_text(s, 1, sink->log_id, 32, SQLITE_STATIC);
    code = code != SQLITE_OK ? code : sqlite3_bind_text(s, 2, sink->options.table, -1, SQLITE_STATIC);
    code = code != SQLITE_OK ? code : sqlite3_step(s);
    sqlite3_finalize(s);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static bool read_log_id(const unsigned char *text, uint8_t *ret_id)
{
    if (text == NULL || strlen((const char *)text) != 32)
        return false;
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        const char *digit = strchr(digits, text[i]);
        if (digit == NULL)
            return false;
        uint8_t value = (uint8_t)(digit - digits);
        ret_id[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : ret_id[i / 2] | value);
    }
    return true;
}

int sqlite_offsets_stranger(struct sqlite_offsets *o, const struct sqlite_sink *sink, struct log_partition partition,
                            uint8_t *done_room, struct sink_row *ret_row)
{
    struct sink_row row = { 0 };
    int code = bind_key(o->stranger, sink, partition);
    if (code == SQLITE_OK)
        code = sqlite3_step(o->stranger);
    if (code == SQLITE_ROW && read_log_id(sqlite3_column_text(o->stranger, 10), row.log_id)) {
        row.found = true;
        row.commit_point = (log_offset){ number(o->stranger, 0) };
        row.owner_epoch = number(o->stranger, 1);
        row.ledger = read_ledger(o->stranger);
        row.done = read_done(o->stranger, 11, done_room);
        if (memcmp(row.log_id, sink->options.log_id.bytes, sizeof row.log_id) == 0)
            row.topic_id = (uint32_t)sqlite3_column_int64(o->stranger, 12);
    }
    code = finish_read(o->stranger, code);
    if (code == SQLITE_OK)
        *ret_row = row;
    return code;
}
