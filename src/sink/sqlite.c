/* sqlite.c - the task's side of the SQLite sink: what it is opened with, and a row made of an event. */
#include "sink/sqlite.h"
#include "base/must.h"
#include <stdio.h>
#include <stdlib.h>

static struct sqlite_sink *sink_of(struct sink *sink)
{
    struct sqlite_sink *s = (struct sqlite_sink *)sink;
    CHECK_MAGIC(s, SQLITE_SINK_MAGIC);
    return s;
}

static enum neap_status too_large(struct sqlite_sink *s, size_t size, struct arena *arena, struct failure *failure)
{
    const char *text = arena_text(arena, "a row of %zu bytes; at most %zu", size, s->sink.batch_size);
    *failure = (struct failure){ .reason = "too_large",
                                 .stage = s->sink.name,
                                 .message = text == NULL ? BYTES("a row larger than a batch") : bytes_of_text(text) };
    return NEAP_TOOLARGE;
}

static enum neap_status add(struct sink *sink, struct writer *rows, const struct event *event, struct arena *arena,
                            struct failure *failure)
{
    struct sqlite_sink *s = sink_of(sink);
    const struct sqlite_sink_options *o = &s->options;
    for (uint32_t i = 0; i < o->column_count; i++) {
        enum neap_status status = expr_eval(o->columns[i].expr, event, arena, &s->task.values[i], failure);
        if (status != NEAP_OK) {
            failure->stage = sink->name;
            return status;
        }
    }
    size_t size = sqlite_row_size(s->task.values, o->column_count);
    if (size > sink->batch_size)
        return too_large(s, size, arena, failure);
    if (size > (size_t)(rows->end - rows->at))
        return NEAP_AGAIN;
    sqlite_row_write(rows, event->offset, s->task.values, o->column_count);
    return NEAP_OK;
}

static void recover(struct sink *sink, struct sink_recover *r)
{
    worker_recover(sqlite_database_worker(sink_of(sink)->options.database), sink, r);
}

static void land(struct sink *sink, struct sink_batch *batch)
{
    must(batch->row_count <= sink->row_count_max && batch->refused != NULL);
    worker_land(sqlite_database_worker(sink_of(sink)->options.database), sink, batch);
}

static uint32_t work(struct sink *sink)
{
    return worker_work(sqlite_database_worker(sink_of(sink)->options.database), sink);
}

static void sink_free(struct sqlite_sink *s)
{
    free(s->insert_sql);
    free(s->task.values);
    free(s->worker.sources);
    s->magic = 0;
    free(s);
}

static void close_sink(struct sink *sink)
{
    sink_free(sink_of(sink));
}

static const struct sink_verbs verbs = { .kind = "sqlite",
                                         .own_offsets = true,
                                         .exactly_once = true,
                                         .add = add,
                                         .recover = recover,
                                         .land = land,
                                         .work = work,
                                         .close = close_sink };

/* ---- open --------------------------------------------------------------------------------------------------------------- */

static bool has_column(const struct sqlite_sink_options *o, const char *name, uint32_t until)
{
    for (uint32_t i = 0; i < until; i++) {
        if (sqlite3_stricmp(o->columns[i].name, name) == 0)
            return true;
    }
    return false;
}

static enum neap_status check_options(const struct sqlite_sink_options *o, struct error *err)
{
    if (o->column_count == 0 || o->column_count > SQLITE_COLUMN_COUNT_MAX)
        return error_set(err, NEAP_MISUSE, "table %s: %u columns; between 1 and %u can be written", o->table,
                         o->column_count, SQLITE_COLUMN_COUNT_MAX);
    if (sqlite3_stricmp(o->table, SQLITE_OFFSETS_TABLE) == 0)
        return error_set(err, NEAP_MISUSE, "table " SQLITE_OFFSETS_TABLE " is Neap's own");
    for (uint32_t i = 0; i < o->column_count; i++) {
        if (has_column(o, o->columns[i].name, i))
            return error_set(err, NEAP_MISUSE, "table %s: column %s is named twice (SQLite does not tell A from a)",
                             o->table, o->columns[i].name);
    }
    for (uint32_t i = 0; i < o->key_count; i++) {
        if (!has_column(o, o->key[i], o->column_count))
            return error_set(err, NEAP_MISUSE, "table %s: key %s is not among the columns", o->table, o->key[i]);
    }
    if (o->mode == SQLITE_UPSERT && o->key_count == 0)
        return error_set(err, NEAP_MISUSE, "table %s: mode upsert needs a key", o->table);
    return NEAP_OK;
}

static struct sqlite_sink *sink_new(const struct sqlite_sink_options *o)
{
    struct sqlite_sink *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->magic = SQLITE_SINK_MAGIC;
    s->options = *o;
    s->sink = (struct sink){ .verbs = &verbs,
                             .name = o->name,
                             .batch_size = o->batch_size == 0 ? SQLITE_BATCH_SIZE : o->batch_size,
                             .row_count_max = o->row_count_max == 0 ? SQLITE_ROW_COUNT_MAX : o->row_count_max };
    for (int i = 0; i < 16; i++)
        snprintf(s->log_id + 2 * i, 3, "%02x", o->log_id.bytes[i]);
    s->insert_sql = sqlite_insert_sql(o);
    s->task.values = calloc(o->column_count, sizeof *s->task.values);
    if (s->insert_sql == NULL || s->task.values == NULL) {
        sink_free(s);
        return NULL;
    }
    return s;
}

/* On a connection of its own, before the worker has met this sink. */
static enum neap_status prepare_tables(const struct sqlite_sink *s, struct error *err)
{
    const struct sqlite_database_options *o = sqlite_database_options(s->options.database);
    sqlite3 *db;
    enum neap_status status = sqlite_connect(o, &db, err);
    if (status != NEAP_OK)
        return status;
    status = sqlite_offsets_ensure(db, o->path, err);
    if (status == NEAP_OK)
        status = sqlite_table_ensure(db, o->path, s, err);
    int code = sqlite3_close(db);
    must(code == SQLITE_OK);
    return status;
}

enum neap_status sqlite_sink_open(const struct sqlite_sink_options *options, struct sink **ret_sink, struct error *err)
{
    must(options->database != NULL && options->table != NULL);
    enum neap_status status = check_options(options, err);
    if (status != NEAP_OK)
        return status;
    struct sqlite_sink *s = sink_new(options);
    if (s == NULL)
        return error_set(err, NEAP_NOMEM, "out of memory for table %s", options->table);
    s->slot = sqlite_database_slot(options->database);
    if (s->slot == SQLITE_SINK_COUNT_MAX)
        status = error_set(err, NEAP_MISUSE, "more than %u sinks write to %s", SQLITE_SINK_COUNT_MAX,
                           sqlite_database_options(options->database)->path);
    else
        status = prepare_tables(s, err);
    if (status != NEAP_OK) {
        sink_free(s);
        return status;
    }
    *ret_sink = &s->sink;
    return NEAP_OK;
}
