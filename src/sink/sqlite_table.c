/* sqlite_table.c - the user's table: made when it is missing, checked when it is there.
 *
 * A table made here has its columns without declared types, so that a value keeps the kind it came with, and its key as
 * PRIMARY KEY with NOT NULL, because to SQLite two NULLs are never the same key. */
#include "base/must.h"
#include "sink/sqlite.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- text of statements ---- */

static void add_name(sqlite3_str *sql, const char *name)
{
    sqlite3_str_appendf(sql, "\"%w\"", name);
}

static void add_names(sqlite3_str *sql, const struct sqlite_sink_options *o)
{
    for (uint32_t i = 0; i < o->column_count; i++) {
        sqlite3_str_appendall(sql, i > 0 ? ", " : "");
        add_name(sql, o->columns[i].name);
    }
}

static void add_key(sqlite3_str *sql, const struct sqlite_sink_options *o)
{
    for (uint32_t i = 0; i < o->key_count; i++) {
        sqlite3_str_appendall(sql, i > 0 ? ", " : "");
        add_name(sql, o->key[i]);
    }
}

static bool is_key(const struct sqlite_sink_options *o, const char *name)
{
    for (uint32_t i = 0; i < o->key_count; i++) {
        if (sqlite3_stricmp(o->key[i], name) == 0)
            return true;
    }
    return false;
}

static void add_update(sqlite3_str *sql, const struct sqlite_sink_options *o)
{
    sqlite3_str_appendall(sql, " ON CONFLICT (");
    add_key(sql, o);
    uint32_t count = 0;
    for (uint32_t i = 0; i < o->column_count; i++) {
        if (is_key(o, o->columns[i].name))
            continue;
        sqlite3_str_appendall(sql, count++ > 0 ? ", " : ") DO UPDATE SET ");
        sqlite3_str_appendf(sql, "\"%w\" = excluded.\"%w\"", o->columns[i].name, o->columns[i].name);
    }
    if (count == 0)
        sqlite3_str_appendall(sql, ") DO NOTHING");
}

static char *finish(sqlite3_str *sql)
{
    char *text = sqlite3_str_finish(sql);
    char *copy = text == NULL ? NULL : strdup(text);
    sqlite3_free(text);
    return copy;
}

/* OR ABORT outranks an ON CONFLICT clause of the user's own table: a row is refused aloud or it lands. */
char *sqlite_insert_sql(const struct sqlite_sink_options *o)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendf(sql, "INSERT OR ABORT INTO main.\"%w\" (", o->table);
    add_names(sql, o);
    sqlite3_str_appendall(sql, ") VALUES (");
    for (uint32_t i = 0; i < o->column_count; i++)
        sqlite3_str_appendall(sql, i > 0 ? ", ?" : "?");
    sqlite3_str_appendall(sql, ")");
    if (o->mode == SQLITE_UPSERT)
        add_update(sql, o);
    else if (o->mode == SQLITE_IGNORE)
        sqlite3_str_appendall(sql, " ON CONFLICT DO NOTHING");
    return finish(sql);
}

static char *create_sql(const struct sqlite_sink_options *o)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendf(sql, "CREATE TABLE main.\"%w\" (", o->table);
    for (uint32_t i = 0; i < o->column_count; i++) {
        sqlite3_str_appendall(sql, i > 0 ? ", " : "");
        add_name(sql, o->columns[i].name);
        sqlite3_str_appendall(sql, is_key(o, o->columns[i].name) ? " NOT NULL" : "");
    }
    if (o->key_count > 0) {
        sqlite3_str_appendall(sql, ", PRIMARY KEY (");
        add_key(sql, o);
        sqlite3_str_appendall(sql, ")");
    }
    sqlite3_str_appendall(sql, ")");
    return finish(sql);
}

/* ---- the table that is there ---- */

struct found_column {
    char name[128];
    bool required; /* NOT NULL, no default, not the rowid */
    bool generated;
};

struct found_table {
    struct found_column *columns;
    uint32_t count;
};

static const char *text_of(sqlite3_stmt *s, int column)
{
    const unsigned char *text = sqlite3_column_text(s, column);
    return text == NULL ? "" : (const char *)text;
}

static struct found_column read_column(sqlite3_stmt *s)
{
    struct found_column c = { .generated = sqlite3_column_int(s, 4) >= 2 };
    snprintf(c.name, sizeof c.name, "%s", text_of(s, 0));
    bool rowid = sqlite3_column_int(s, 3) > 0 && sqlite3_stricmp(text_of(s, 5), "INTEGER") == 0;
    c.required = sqlite3_column_int(s, 1) != 0 && sqlite3_column_type(s, 2) == SQLITE_NULL && !rowid && !c.generated;
    return c;
}

static int read_columns(sqlite3 *db, const char *table, struct found_table *t)
{
    sqlite3_stmt *s = NULL;
    int code =
        sqlite3_prepare_v2(db, "SELECT name, \"notnull\", dflt_value, pk, hidden, type FROM pragma_table_xinfo(?)", -1,
                           &s, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_bind_text(s, 1, table, -1, SQLITE_STATIC);
    while (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
        struct found_column *more = realloc(t->columns, (t->count + 1) * sizeof *more);
        if (more == NULL) {
            code = SQLITE_NOMEM;
            break;
        }
        t->columns = more;
        t->columns[t->count++] = read_column(s);
        code = SQLITE_OK;
    }
    sqlite3_finalize(s);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static const struct found_column *find_column(const struct found_table *t, const char *name)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (sqlite3_stricmp(t->columns[i].name, name) == 0)
            return &t->columns[i];
    }
    return NULL;
}

static void say_columns(const struct found_table *t, char *room, size_t size)
{
    size_t used = 0;
    room[0] = '\0';
    for (uint32_t i = 0; i < t->count && used + 140 < size; i++)
        used += (size_t)snprintf(room + used, size - used, "%s%s", i > 0 ? ", " : "", t->columns[i].name);
    if (used + 140 >= size)
        snprintf(room + used, size - used, ", …");
}

static enum neap_status check_columns(const struct found_table *t, const char *path,
                                      const struct sqlite_sink_options *o, struct error *err)
{
    for (uint32_t i = 0; i < o->column_count; i++) {
        const struct found_column *c = find_column(t, o->columns[i].name);
        char names[600];
        say_columns(t, names, sizeof names);
        if (c == NULL)
            return error_set(err, NEAP_CONFLICT, "table %s in %s has no column %s; it has %s", o->table, path,
                             o->columns[i].name, names);
        if (c->generated)
            return error_set(err, NEAP_CONFLICT, "column %s of table %s in %s is generated by the table itself",
                             c->name, o->table, path);
    }
    for (uint32_t i = 0; i < t->count; i++) {
        bool ours = false;
        for (uint32_t j = 0; j < o->column_count && !ours; j++)
            ours = sqlite3_stricmp(o->columns[j].name, t->columns[i].name) == 0;
        if (t->columns[i].required && !ours)
            return error_set(
                err, NEAP_CONFLICT,
                "table %s in %s has a column %s that must not be NULL and has no default; the sink does not "
                "fill it",
                o->table, path, t->columns[i].name);
    }
    return NEAP_OK;
}

/* 0: none; otherwise the first letter of "table" or "view". */
static int find_table(sqlite3 *db, const char *table, char *ret_type)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(
        db, "SELECT type FROM main.sqlite_master WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE", -1, &s,
        NULL);
    if (code == SQLITE_OK)
        code = sqlite3_bind_text(s, 1, table, -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        *ret_type = code == SQLITE_ROW ? text_of(s, 0)[0] : '\0';
    sqlite3_finalize(s);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static enum neap_status create_table(sqlite3 *db, const char *path, const struct sqlite_sink *sink, struct error *err)
{
    char *sql = create_sql(&sink->options);
    int code = sql == NULL ? SQLITE_NOMEM : sqlite_run(db, "BEGIN IMMEDIATE");
    if (code == SQLITE_OK)
        code = sqlite_run(db, sql);
    if (code == SQLITE_OK)
        code = sqlite_offsets_forget(db, sink);
    if (code == SQLITE_OK)
        code = sqlite_run(db, "COMMIT");
    free(sql);
    if (code == SQLITE_OK)
        return NEAP_OK;
    sqlite_error(db, path, code, err);
    if (sqlite3_get_autocommit(db) == 0)
        sqlite_run(db, "ROLLBACK");
    return error_while(err, "create table %s", sink->options.table);
}

/* The statement itself is the best judge of whether it can run. */
static enum neap_status check_insert(sqlite3 *db, const char *path, const struct sqlite_sink *sink, struct error *err)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db, sink->insert_sql, -1, &s, NULL);
    sqlite3_finalize(s);
    if (code == SQLITE_OK)
        return NEAP_OK;
    const struct sqlite_sink_options *o = &sink->options;
    if (code == SQLITE_ERROR && o->mode == SQLITE_UPSERT && strstr(sqlite3_errmsg(db), "ON CONFLICT clause") != NULL) {
        sqlite3_str *key = sqlite3_str_new(NULL);
        add_key(key, o);
        char *names = sqlite3_str_finish(key);
        error_set(
            err, NEAP_CONFLICT,
            "table %s in %s has no unique index on (%s), which mode upsert needs: CREATE UNIQUE INDEX … ON \"%s\" (%s)",
            o->table, path, names == NULL ? "" : names, o->table, names == NULL ? "" : names);
        sqlite3_free(names);
        return NEAP_CONFLICT;
    }
    sqlite_error(db, path, code, err);
    return error_while(err, "write to table %s", o->table);
}

static enum neap_status check_table(sqlite3 *db, const char *path, const struct sqlite_sink *sink, struct error *err)
{
    struct found_table t = { 0 };
    int code = read_columns(db, sink->options.table, &t);
    enum neap_status status =
        code != SQLITE_OK ? sqlite_error(db, path, code, err) : check_columns(&t, path, &sink->options, err);
    free(t.columns);
    return status == NEAP_OK ? check_insert(db, path, sink, err) : status;
}

enum neap_status sqlite_table_ensure(sqlite3 *db, const char *path, const struct sqlite_sink *sink, struct error *err)
{
    const struct sqlite_sink_options *o = &sink->options;
    must(o->column_count > 0);
    char type = '\0';
    int code = find_table(db, o->table, &type);
    if (code != SQLITE_OK)
        return sqlite_error(db, path, code, err);
    if (type == 'v')
        return error_set(err, NEAP_CONFLICT, "%s in %s is a view, not a table", o->table, path);
    if (type == '\0') {
        enum neap_status status = create_table(db, path, sink, err);
        if (status != NEAP_OK)
            return status;
    }
    return check_table(db, path, sink, err);
}
