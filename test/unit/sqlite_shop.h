/* sqlite_shop.h - one database with one sink, and what another program sees of it. */
#ifndef TEST_SQLITE_SHOP_H
#define TEST_SQLITE_SHOP_H

#include "check.h"

#include "io/vfs.h"
#include "sink_world.h"
#include <sqlite3.h>

static const struct log_partition source = { 7, 0 }, source_1 = { 7, 1 };
static const struct log_id our_log = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff } };

struct shop { /* one database with one sink, as a node has them */
    struct sink_world *world;
    char path[640];
    struct sqlite_database_options database_options;
    struct sqlite_sink_options options;
    struct sqlite_column columns[3];
    const char *key[1];
    struct sqlite_database *database;
    struct sink *sink;
};

/* Every test runs twice: on SQLite's own files, and on those of the door. */
#define DOOR_VFS "door"
static const char *vfs;

static inline int open_state(void **state)
{
    struct sink_world *w = malloc(sizeof(*w));
    world_open(w);
    *state = w;
    return vfs == NULL ? 0 : (int)io_vfs_register(w->io, vfs, &w->err);
}

static inline int close_state(void **state)
{
    if (vfs != NULL)
        io_vfs_unregister(vfs);
    world_close(*state);
    free(*state);
    return 0;
}

static inline void shop_init(struct shop *s, struct sink_world *w, const char *file)
{
    *s = (struct shop){ .world = w, .key = { "id" } };
    snprintf(s->path, sizeof(s->path), "%s", scratch_path(&w->scratch, file));
    s->columns[0] = (struct sqlite_column){ "id", world_expr(w, "event.id") };
    s->columns[1] = (struct sqlite_column){ "author", world_expr(w, "event.author") };
    s->columns[2] = (struct sqlite_column){ "n", world_expr(w, "event.n") };
    s->database_options =
        (struct sqlite_database_options){ .io = w->io, .vfs = vfs, .path = s->path, .busy_ns = 50 * NS_PER_MS };
    s->options = (struct sqlite_sink_options){ .log_id = our_log,
                                               .pipeline = "commits",
                                               .name = "sink",
                                               .table = "commits",
                                               .columns = s->columns,
                                               .column_count = 3,
                                               .key = s->key,
                                               .key_count = 1,
                                               .mode = SQLITE_INSERT };
}

static inline enum neap_status shop_try(struct shop *s)
{
    struct sink_world *w = s->world;
    w->err = (struct error){ 0 };
    enum neap_status status = sqlite_database_open(&s->database_options, &s->database, &w->err);
    assert_int_equal(status, NEAP_OK);
    s->options.database = s->database;
    status = sqlite_sink_open(&s->options, &s->sink, &w->err);
    if (status == NEAP_OK)
        world_add(w, s->sink);
    else
        sqlite_database_close(&s->database);
    return status;
}

static inline void shop_open(struct shop *s)
{
    if (shop_try(s) != NEAP_OK)
        fail_msg("%s", s->world->err.text);
}

static inline void shop_close(struct shop *s)
{
    world_drop(s->world, s->sink);
    s->sink = NULL;
    sqlite_database_close(&s->database);
}

/* As another program does: with the stock library's own files and locks. */
static inline sqlite3 *open_beside(struct shop *s)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(s->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "unix"), SQLITE_OK);
    return db;
}

/* What another program sees: rows as "a|b", one line each. */
static inline const char *seen(struct shop *s, const char *sql)
{
    static char text[8192];
    size_t size = 0;
    sqlite3 *db = open_beside(s);
    sqlite3_stmt *statement;
    text[0] = '\0';
    sqlite3_busy_timeout(db, 5000);
    int code;
    for (const char *rest = sql; *rest != '\0'; sqlite3_finalize(statement)) {
        if (sqlite3_prepare_v2(db, rest, -1, &statement, &rest) != SQLITE_OK)
            fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
            for (int i = 0; i < sqlite3_column_count(statement); i++) {
                const unsigned char *cell = sqlite3_column_text(statement, i);
                size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s", i > 0 ? "|" : "",
                                         cell != NULL ? (const char *)cell : "NULL");
                assert_true(size < sizeof(text));
            }
            size += (size_t)snprintf(text + size, sizeof(text) - size, "\n");
        }
        if (code != SQLITE_DONE)
            fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return text;
}

static inline struct sink_recover start_at(struct shop *s, struct log_partition partition, uint64_t epoch,
                                           uint64_t commit_point)
{
    struct sink_recover r = world_recover(s->world, s->sink, partition, epoch, false);
    if (r.status != NEAP_OK)
        fail_msg("%s", r.error.text);
    assert_int_equal(r.row.found, commit_point > 0);
    assert_int_equal(r.row.commit_point.n, commit_point);
    return r;
}

static inline void add_numbers(struct landing *l, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        char json[128];
        snprintf(json, sizeof(json), "{\"id\":\"c%llu\",\"author\":\"a%llu\",\"n\":%llu}", (unsigned long long)i,
                 (unsigned long long)i % 3, (unsigned long long)i);
        landing_add(l, i, json);
    }
}

#define OFFSETS "SELECT commit_point, owner_epoch, landings, filtered, delivered, table_name, format FROM neap_offsets"

#endif
