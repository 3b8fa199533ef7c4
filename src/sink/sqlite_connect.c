/* sqlite_connect.c - a connection as the sink wants it, and SQLite's answers in Neap's words. */
#include "base/must.h"
#include "sink/sqlite.h"
#include <stdio.h>
#include <stdlib.h>

#define CACHE_SIZE      (8u << 20)
#define CHECKPOINT_SIZE (16u << 20)
#define BUSY_NS         (5 * NS_PER_S)

enum neap_status sqlite_status(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return NEAP_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return NEAP_TIMEOUT;
    case SQLITE_FULL:
        return NEAP_FULL;
    case SQLITE_NOMEM:
        return NEAP_NOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return NEAP_CORRUPT;
    case SQLITE_READONLY:
        return code == SQLITE_READONLY_DBMOVED ? NEAP_CONFLICT : NEAP_DENIED;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return NEAP_DENIED;
    case SQLITE_ERROR:
    case SQLITE_SCHEMA:
        return NEAP_CONFLICT; /* the database is not as the pipeline file says */
    case SQLITE_IOERR:
        return code == SQLITE_IOERR_NOMEM ? NEAP_NOMEM : NEAP_IO;
    default:
        return NEAP_IO;
    }
}

enum neap_status sqlite_error(sqlite3 *db, const char *path, int code, struct error *err)
{
    must(sqlite_status(code) != NEAP_OK);
    /* The connection's text is of its last call, which may be a later one. */
    const char *text = db != NULL && sqlite3_extended_errcode(db) == code ? sqlite3_errmsg(db) : sqlite3_errstr(code);
    return error_set(err, sqlite_status(code), "%s: %s (SQLite %d)", path, text, code);
}

int sqlite_run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static void folder_of(const char *path, char *room, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(room, size, ".");
    else
        snprintf(room, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* SQLite says "unable to open database file" for all of this. */
static enum neap_status open_error(const struct sqlite_database_options *o, sqlite3 *db, int code, struct error *err)
{
    char folder[4096];
    struct io_file_info info;
    folder_of(o->path, folder, sizeof folder);
    if ((code & 0xff) == SQLITE_CANTOPEN) {
        enum neap_status status = io_path_info(o->io, folder, &info);
        if (status == NEAP_NOTFOUND)
            return error_set(err, NEAP_NOTFOUND, "%s: there is no folder %s", o->path, folder);
        if (io_path_info(o->io, o->path, &info) == NEAP_OK && info.kind == IO_KIND_DIRECTORY)
            return error_set(err, NEAP_MISUSE, "%s is a folder, not a database", o->path);
    }
    return sqlite_error(db, o->path, code, err);
}

static int configure(const struct sqlite_database_options *o, sqlite3 *db, bool fresh)
{
    size_t cache_size = o->cache_size == 0 ? CACHE_SIZE : o->cache_size;
    char sql[256];
    /* EXTRA is FULL, and in a database that keeps a rollback journal the journal's end is durable too: without that a power
     * cut right after a commit takes the commit back. */
    snprintf(sql, sizeof sql, "PRAGMA cache_size = -%zu; PRAGMA synchronous = EXTRA; PRAGMA journal_size_limit = %zu",
             cache_size / 1024, 4 * (o->checkpoint_size == 0 ? CHECKPOINT_SIZE : o->checkpoint_size));
    int64_t busy_ns = o->busy_ns == 0 ? BUSY_NS : o->busy_ns;
    int code = sqlite3_busy_timeout(db, (int)(busy_ns / NS_PER_MS));
    code = code != SQLITE_OK ? code : sqlite_run(db, "SELECT 1 FROM sqlite_master LIMIT 1"); /* reads the header */
    code = code != SQLITE_OK ? code : sqlite_run(db, sql);
    if (code == SQLITE_OK && fresh)
        code = sqlite_run(db, "PRAGMA journal_mode = WAL");
    return code;
}

enum neap_status sqlite_connect(const struct sqlite_database_options *o, sqlite3 **ret_db, struct error *err)
{
    struct io_file_info info;
    enum neap_status found = io_path_info(o->io, o->path, &info);
    bool fresh = found == NEAP_NOTFOUND || (found == NEAP_OK && info.kind == IO_KIND_FILE && info.size == 0);
    sqlite3 *db = NULL;
    /* SQLite reads meaning into names like file:x and :memory: — a path is a path. */
    bool plain = strncmp(o->path, "file:", 5) != 0 && o->path[0] != ':';
    char *path = sqlite3_mprintf("%s%s", plain ? "" : "./", o->path);
    int code = path == NULL ? SQLITE_NOMEM
                            : sqlite3_open_v2(path, &db,
                                              SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, o->vfs);
    sqlite3_free(path);
    if (code == SQLITE_OK) {
        sqlite3_extended_result_codes(db, 1);
        code = configure(o, db, fresh);
    }
    enum neap_status status = NEAP_OK;
    if (code != SQLITE_OK)
        status = open_error(o, db, code, err);
    else if (sqlite3_db_readonly(db, "main") == 1)
        status = error_set(err, NEAP_DENIED, "%s: no permission to write to it", o->path);
    if (status == NEAP_OK && fresh) {
        char folder[4096];
        folder_of(o->path, folder, sizeof folder);
        status = io_dir_sync(o->io, folder, err); /* the new name stays after a power cut */
    }
    if (status != NEAP_OK) {
        sqlite3_close(db);
        return status;
    }
    *ret_db = db;
    return NEAP_OK;
}
