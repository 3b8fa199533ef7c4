/* The SQLite sink: rows and commit point land together or not at all, whoever else is at the database. */
#include "check.h"

#include "io/vfs.h"
#include "sink_world.h"
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

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

static int open_state(void **state)
{
    struct sink_world *w = malloc(sizeof(*w));
    world_open(w);
    *state = w;
    return vfs == NULL ? 0 : (int)io_vfs_register(w->io, vfs, &w->err);
}

static int close_state(void **state)
{
    if (vfs != NULL)
        io_vfs_unregister(vfs);
    world_close(*state);
    free(*state);
    return 0;
}

static void shop_init(struct shop *s, struct sink_world *w, const char *file)
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

static enum neap_status shop_try(struct shop *s)
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

static void shop_open(struct shop *s)
{
    if (shop_try(s) != NEAP_OK)
        fail_msg("%s", s->world->err.text);
}

static void shop_close(struct shop *s)
{
    world_drop(s->world, s->sink);
    s->sink = NULL;
    sqlite_database_close(&s->database);
}

/* As another program does: with the stock library's own files and locks. */
static sqlite3 *open_beside(struct shop *s)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(s->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "unix"), SQLITE_OK);
    return db;
}

/* What another program sees: rows as "a|b", one line each. */
static const char *seen(struct shop *s, const char *sql)
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

static struct sink_recover start_at(struct shop *s, struct log_partition partition, uint64_t epoch,
                                    uint64_t commit_point)
{
    struct sink_recover r = world_recover(s->world, s->sink, partition, epoch, false);
    if (r.status != NEAP_OK)
        fail_msg("%s", r.error.text);
    assert_int_equal(r.row.found, commit_point > 0);
    assert_int_equal(r.row.commit_point.n, commit_point);
    return r;
}

static void add_numbers(struct landing *l, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        char json[128];
        snprintf(json, sizeof(json), "{\"id\":\"c%llu\",\"author\":\"a%llu\",\"n\":%llu}", (unsigned long long)i,
                 (unsigned long long)i % 3, (unsigned long long)i);
        landing_add(l, i, json);
    }
}

#define OFFSETS "SELECT commit_point, owner_epoch, landings, filtered, delivered, table_name, format FROM neap_offsets"

/* ---- rows ---- */

static void values_keep_their_kind(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    landing_add(l, 0, "{\"id\":1,\"author\":\"ann\",\"n\":9223372036854775807}");
    landing_add(l, 1, "{\"id\":2,\"author\":null,\"n\":1.5}");
    landing_add(l, 2, "{\"id\":3,\"author\":true,\"n\":false}");
    landing_add(l, 3, "{\"id\":4,\"author\":{\"a\":[1, 2]},\"n\":[]}");
    landing_add(l, 4, "{\"id\":5,\"author\":\"a\\u0000b\",\"n\":\"\"}");
    landing_add(l, 5, "{\"id\":\"6\",\"author\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8c\x8a and more\",\"n\":-0.0}");
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    assert_string_equal(
        seen(&s, "SELECT typeof(id), typeof(author), typeof(n), hex(author), n FROM commits ORDER BY rowid"),
        "integer|text|integer|616E6E|9223372036854775807\n"
        "integer|null|real||1.5\n"
        "integer|integer|integer|31|0\n"
        "integer|text|text|7B2261223A5B312C20325D7D|[]\n"
        "integer|text|text|610062|\n"
        "text|text|real|C3A4E282ACF09F8C8A20616E64206D6F7265|0.0\n");
    shop_close(&s);
}

static void bytes_that_are_no_text_and_nan_find_their_place(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    s.columns[1].expr = world_expr(*state, "\"a\" .. string.char(255)");
    s.columns[2].expr = world_expr(*state, "0/0");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    landing_add(l, 0, "{\"id\":1}");
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    assert_string_equal(seen(&s, "SELECT typeof(author), hex(author), n FROM commits"), "blob|61FF|NULL\n");
    shop_close(&s);
}

static void a_full_batch_and_a_row_too_large_are_told(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    s.options.batch_size = 100;
    shop_open(&s);
    struct landing *l = landing_new(w, s.sink, source);
    struct failure failure = { 0 };
    landing_add(l, 0, "{\"id\":\"0123456789\",\"author\":\"0123456789\",\"n\":1}");
    size_t size = writer_size(&l->rows);
    assert_int_equal(size, 8 + 15 + 15 + 9);
    landing_add(l, 1, "{\"id\":\"0123456789\",\"author\":\"0123456789\",\"n\":1}");
    assert_int_equal(landing_try(l, 2, "{\"id\":1}", &(struct event){ 0 }, &failure), NEAP_AGAIN);
    assert_int_equal(writer_size(&l->rows), 2 * size); /* nothing changed */
    char json[256];
    snprintf(json, sizeof(json), "{\"id\":\"%0100d\"}", 1);
    assert_int_equal(landing_try(l, 2, json, &(struct event){ 0 }, &failure), NEAP_TOOLARGE);
    assert_string_equal(failure.reason, "too_large");
    assert_string_equal(failure.stage, "sink");
    s.columns[2].expr = world_expr(w, "event.n.x.y");
    assert_int_equal(landing_try(l, 2, "{\"id\":1}", &(struct event){ 0 }, &failure), NEAP_BADINPUT);
    assert_string_equal(failure.stage, "sink");
    landing_free(&l);
    shop_close(&s);
}

/* ---- rows and commit point ---- */

static void a_restart_finds_rows_commit_point_and_ledger(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    struct sink_recover r = start_at(&s, source, 1, 0);
    assert_false(r.rows_there);
    assert_false(r.stranger.found);
    struct landing *l = landing_new(*state, s.sink, source);
    l->batch.ledger.filtered = 4;
    add_numbers(l, 0, 10);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_clear(l);
    add_numbers(l, 10, 15);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_clear(l); /* nothing but filtered events: the commit point moves all the same */
    l->batch.commit_point = (log_offset){ 20 };
    l->batch.ledger.filtered = 9;
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);
    assert_string_equal(seen(&s, OFFSETS), "20|1|3|9|15|commits|1\n");

    shop_open(&s);
    r = start_at(&s, source, 2, 20);
    assert_true(r.rows_there);
    assert_memory_equal(r.row.log_id, our_log.bytes, 16);
    assert_int_equal(r.row.owner_epoch, 1);
    assert_int_equal(r.row.ledger.filtered, 9);
    assert_int_equal(r.row.ledger.delivered, 15);
    assert_string_equal(seen(&s, OFFSETS), "20|2|3|9|15|commits|1\n");
    assert_string_equal(seen(&s, "SELECT count(*), count(DISTINCT id), sum(n) FROM commits"), "15|15|105\n");
    assert_string_equal(seen(&s, "PRAGMA journal_mode"), "wal\n");
    assert_string_equal(seen(&s, "SELECT log_id, pipeline, sink, topic_id, partition FROM neap_offsets"),
                        "0102030405060708090a0b0c0d0e0fff|commits|sink|7|0\n");
    shop_close(&s);
}

static void partitions_and_sinks_share_one_database(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    shop_open(&s);
    struct sqlite_sink_options other_options = s.options;
    other_options.table = "other";
    other_options.pipeline = "other";
    struct sink *other;
    assert_int_equal(sqlite_sink_open(&other_options, &other, &w->err), NEAP_OK);
    world_add(w, other);
    start_at(&s, source, 1, 0);
    start_at(&s, source_1, 1, 0);
    assert_int_equal(world_recover(w, other, source, 5, false).status, NEAP_OK);
    struct landing *l[3] = { landing_new(w, s.sink, source), landing_new(w, s.sink, source_1),
                             landing_new(w, other, source) };
    add_numbers(l[0], 0, 10);
    add_numbers(l[1], 100, 120);
    add_numbers(l[2], 0, 30);
    for (int i = 0; i < 3; i++)
        landing_start(l[i]);
    world_settle(w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(l[i]->batch.status, NEAP_OK);
        landing_free(&l[i]);
    }
    assert_string_equal(seen(&s, "SELECT (SELECT count(*) FROM commits), (SELECT count(*) FROM other)"), "30|30\n");
    assert_string_equal(seen(&s, "SELECT pipeline, partition, commit_point FROM neap_offsets ORDER BY 1, 2"),
                        "commits|0|10\ncommits|1|120\nother|0|30\n");
    world_drop(w, other);
    shop_close(&s);
}

/* ---- refused rows ---- */

static void refused_rows_are_all_named_and_the_rest_lands(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    start_at(&s, source_1, 1, 0);
    struct landing *good = landing_new(w, s.sink, source), *bad = landing_new(w, s.sink, source_1);
    landing_add(bad, 0, "{\"id\":\"x0\",\"author\":\"b\",\"n\":0}");
    landing_add(bad, 1, "{\"id\":\"x0\",\"author\":\"b\",\"n\":1}");
    landing_add(bad, 4, "{\"id\":\"x2\",\"author\":\"b\",\"n\":2}");
    landing_add(bad, 9, "{\"author\":\"b\",\"n\":3}");
    landing_add(bad, 11, "{\"id\":\"x4\",\"author\":\"b\",\"n\":4}");
    add_numbers(good, 0, 5);
    landing_start(bad);
    landing_start(good);
    world_settle(w);
    assert_int_equal(good->batch.status, NEAP_OK);
    assert_int_equal(bad->batch.status, NEAP_REFUSED);
    assert_int_equal(bad->batch.refused_count, 2);
    assert_int_equal(bad->refused[0].row, 1);
    assert_int_equal(bad->refused[0].offset.n, 1);
    assert_string_equal(bad->refused[0].message, "UNIQUE constraint failed: commits.id");
    assert_int_equal(bad->refused[1].row, 3);
    assert_int_equal(bad->refused[1].offset.n, 9);
    assert_string_equal(bad->refused[1].message, "NOT NULL constraint failed: commits.id");
    assert_string_equal(bad->batch.error.text, "UNIQUE constraint failed: commits.id");
    assert_string_equal(seen(&s, "SELECT count(*), min(id), max(id) FROM commits"), "5|c0|c4\n");
    assert_string_equal(seen(&s, "SELECT partition, commit_point FROM neap_offsets"), "0|5\n");

    landing_clear(bad); /* the task makes two dead letters and lands the others */
    bad->batch.ledger = (struct sink_ledger){ .dead_lettered = 2 };
    landing_add(bad, 0, "{\"id\":\"x0\",\"author\":\"b\",\"n\":0}");
    landing_add(bad, 4, "{\"id\":\"x2\",\"author\":\"b\",\"n\":2}");
    landing_add(bad, 11, "{\"id\":\"x4\",\"author\":\"b\",\"n\":4}");
    assert_int_equal(landing_land(bad), NEAP_OK);
    assert_string_equal(seen(&s, "SELECT count(*) FROM commits"), "8\n");
    assert_string_equal(seen(&s, "SELECT commit_point, delivered, dead_lettered FROM neap_offsets WHERE partition = 1"),
                        "12|3|2\n");
    landing_free(&good);
    landing_free(&bad);
    shop_close(&s);
}

static void no_more_refused_rows_than_there_is_room_to_tell(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    for (uint64_t i = 0; i < SINK_REFUSED_COUNT_MAX + 10; i++)
        landing_add(l, i, "{\"n\":1}");
    assert_int_equal(landing_land(l), NEAP_REFUSED);
    assert_int_equal(l->batch.refused_count, SINK_REFUSED_COUNT_MAX);
    assert_string_equal(seen(&s, "SELECT count(*) FROM neap_offsets"), "0\n");
    landing_free(&l);
    shop_close(&s);
}

/* The user's own table may think otherwise about conflicts; its checks and triggers are heard. */
static void the_tables_own_rules_refuse_a_row_aloud(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    seen(&s, "CREATE TABLE commits (id PRIMARY KEY ON CONFLICT REPLACE, author CHECK (author <> 'bad'), "
             "n INTEGER, twice AS (json_extract(author, '$.x')) STORED);"
             "CREATE TRIGGER no BEFORE INSERT ON commits WHEN new.n = 666 BEGIN SELECT raise(ROLLBACK, 'not that "
             "one'); END");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    landing_add(l, 0, "{\"id\":\"a\",\"author\":{},\"n\":1}");
    landing_add(l, 1, "{\"id\":\"a\",\"author\":{},\"n\":2}");
    landing_add(l, 2, "{\"id\":\"b\",\"author\":\"bad\",\"n\":3}");
    landing_add(l, 3, "{\"id\":\"c\",\"author\":\"{\",\"n\":4}");
    assert_int_equal(landing_land(l), NEAP_REFUSED);
    assert_int_equal(l->batch.refused_count, 3);
    assert_string_equal(l->refused[0].message, "UNIQUE constraint failed: commits.id");
    assert_int_equal(l->refused[1].row, 2);
    assert_string_equal(l->refused[2].message, "malformed JSON");
    landing_clear(l);
    landing_add(l, 0, "{\"id\":\"a\",\"author\":{},\"n\":1}");
    landing_add(l, 5, "{\"id\":\"d\",\"author\":{},\"n\":666}");
    landing_add(l, 6, "{\"id\":\"e\",\"author\":{},\"n\":1}");
    assert_int_equal(landing_land(l), NEAP_REFUSED);
    assert_int_equal(l->batch.refused_count, 1);
    assert_string_equal(l->refused[0].message, "not that one");
    assert_string_equal(seen(&s, "SELECT count(*) FROM commits"), "0\n");
    landing_clear(l);
    landing_add(l, 6, "{\"id\":\"e\",\"author\":{},\"n\":1}");
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    assert_string_equal(seen(&s, "PRAGMA journal_mode"), "delete\n"); /* it was there before us */
    shop_close(&s);
}

/* ---- modes ---- */

static void ignore_passes_over_what_is_there_and_nothing_else(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    s.options.mode = SQLITE_IGNORE;
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    landing_add(l, 0, "{\"id\":\"a\",\"n\":1}");
    landing_add(l, 1, "{\"id\":\"a\",\"n\":2}");
    assert_int_equal(landing_land(l), NEAP_OK);
    assert_string_equal(seen(&s, "SELECT id, n FROM commits"), "a|1\n");
    landing_clear(l);
    landing_add(l, 2, "{\"n\":2}");
    assert_int_equal(landing_land(l), NEAP_REFUSED);
    landing_free(&l);
    shop_close(&s);
}

static void upsert_keeps_the_newest(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    s.options.mode = SQLITE_UPSERT;
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    landing_add(l, 0, "{\"id\":\"a\",\"author\":\"x\",\"n\":1}");
    landing_add(l, 1, "{\"id\":\"b\",\"author\":\"y\",\"n\":1}");
    landing_add(l, 2, "{\"id\":\"a\",\"author\":\"z\",\"n\":2}");
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    assert_string_equal(seen(&s, "SELECT id, author, n FROM commits ORDER BY id"), "a|z|2\nb|y|1\n");
    shop_close(&s);
}

/* ---- a table that is there ---- */

/* The message is `before`, the database's path, `after`. */
static void refused_at_start(struct shop *s, const char *sql, const char *before, const char *after)
{
    seen(s, sql);
    assert_int_equal(shop_try(s), NEAP_CONFLICT);
    char expected[1024];
    snprintf(expected, sizeof(expected), "%s%s%s", before, s->path, after);
    assert_string_equal(s->world->err.text, expected);
}

static void a_table_that_does_not_fit_is_said_at_start(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    refused_at_start(&s, "CREATE TABLE commits (id, author)", "table commits in ",
                     " has no column n; it has id, author");
    refused_at_start(&s, "DROP TABLE commits; CREATE TABLE commits (id, author, N AS (id))",
                     "column N of table commits in ", " is generated by the table itself");
    refused_at_start(&s, "DROP TABLE commits; CREATE TABLE commits (id, author, n, place NOT NULL)",
                     "table commits in ",
                     " has a column place that must not be NULL and has no default; the sink does not fill it");
    refused_at_start(&s, "DROP TABLE commits; CREATE TABLE t (x); CREATE VIEW commits AS SELECT * FROM t",
                     "commits in ", " is a view, not a table");
}

static void a_table_with_more_than_we_fill_is_fine(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    seen(&s,
         "CREATE TABLE Commits (number INTEGER PRIMARY KEY NOT NULL, ID UNIQUE, Author, N, place NOT NULL DEFAULT 'x', "
         "other)");
    s.options.mode = SQLITE_UPSERT;
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 3);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    assert_string_equal(seen(&s, "SELECT number, id, place FROM commits"), "1|c0|x\n2|c1|x\n3|c2|x\n");
    shop_close(&s);
}

static void upsert_without_a_unique_index_is_said_at_start(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    seen(&s, "CREATE TABLE commits (id, author, n)");
    s.options.mode = SQLITE_UPSERT;
    assert_int_equal(shop_try(&s), NEAP_CONFLICT);
    assert_non_null(
        strstr(s.world->err.text, "has no unique index on (\"id\"), which mode upsert needs: CREATE UNIQUE INDEX"));
    seen(&s, "CREATE UNIQUE INDEX i ON commits (id)");
    shop_open(&s);
    shop_close(&s);
}

static void names_are_quoted(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a \"b\" 'c'.db");
    s.options.table = "a \"table\"; DROP TABLE x; --";
    s.columns[0].name = s.key[0] = "order";
    s.columns[1].name = "x\"y";
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 2);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    assert_string_equal(seen(&s, "SELECT \"order\", \"x\"\"y\" FROM \"a \"\"table\"\"; DROP TABLE x; --\""),
                        "c0|a0\nc1|a1\n");
    shop_close(&s);
}

static void options_that_cannot_be_are_misuse(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    s.options.table = "NEAP_offsets";
    assert_int_equal(shop_try(&s), NEAP_MISUSE);
    s.options.table = "commits";
    s.columns[2].name = "ID";
    assert_int_equal(shop_try(&s), NEAP_MISUSE);
    s.columns[2].name = "n";
    s.key[0] = "nn";
    assert_int_equal(shop_try(&s), NEAP_MISUSE);
    assert_string_equal(s.world->err.text, "table commits: key nn is not among the columns");
    s.options.key_count = 0;
    s.options.mode = SQLITE_UPSERT;
    assert_int_equal(shop_try(&s), NEAP_MISUSE);
    s.options.mode = SQLITE_INSERT;
    shop_open(&s);
    shop_close(&s);
}

static void places_that_cannot_be_are_said_with_their_path(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "missing/a.db");
    assert_int_equal(shop_try(&s), NEAP_NOTFOUND);
    assert_non_null(strstr(w->err.text, "there is no folder"));
    assert_int_equal(io_dir_make(w->io, scratch_path(&w->scratch, "folder"), NULL), NEAP_OK);
    shop_init(&s, w, "folder");
    assert_int_equal(shop_try(&s), NEAP_MISUSE);
    shop_init(&s, w, "text.db");
    FILE *f = fopen(s.path, "w");
    for (int i = 0; i < 100; i++)
        fputs("this is no database, whatever its name says\n", f);
    fclose(f);
    assert_int_equal(shop_try(&s), NEAP_CORRUPT);
    assert_non_null(strstr(w->err.text, "text.db: file is not a database"));
}

static void a_newer_format_is_left_alone(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 2);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);
    seen(&s, "UPDATE neap_offsets SET format = 2");
    assert_int_equal(shop_try(&s), NEAP_VERSION);
    seen(&s, "DROP TABLE neap_offsets; CREATE TABLE neap_offsets (x)");
    assert_int_equal(shop_try(&s), NEAP_CONFLICT);
    assert_non_null(strstr(s.world->err.text, "is not one of Neap's"));
}

/* ---- whose row it is ---- */

static void an_older_owner_is_fenced(void **state)
{
    struct sink_world *w = *state;
    struct shop old, new;
    shop_init(&old, w, "a.db");
    shop_open(&old);
    start_at(&old, source, 1, 0);
    struct landing *first = landing_new(w, old.sink, source);
    add_numbers(first, 0, 5);
    assert_int_equal(landing_land(first), NEAP_OK);

    shop_init(&new, w, "a.db");
    shop_open(&new);
    start_at(&new, source, 2, 5);
    landing_clear(first);
    add_numbers(first, 5, 10);
    assert_int_equal(landing_land(first), NEAP_CONFLICT);
    assert_non_null(strstr(first->batch.error.text, "taken over by a later start (owner epoch 2, ours is 1)"));
    struct landing *second = landing_new(w, new.sink, source);
    add_numbers(second, 5, 8);
    assert_int_equal(landing_land(second), NEAP_OK);
    assert_int_equal(landing_land(first), NEAP_CONFLICT);
    assert_string_equal(seen(&new, "SELECT count(*), max(n) FROM commits"), "8|7\n");
    landing_free(&first);
    landing_free(&second);

    struct sink_recover r = world_recover(w, old.sink, source, 1, false);
    assert_int_equal(r.status, NEAP_CONFLICT);
    r = world_recover(w, old.sink, source, 1, true);
    assert_int_equal(r.status, NEAP_OK);
    assert_int_equal(r.row.commit_point.n, 8);
    assert_string_equal(seen(&new, OFFSETS), "8|3|2|0|3|commits|1\n");
    shop_close(&old);
    shop_close(&new);
}

static void two_who_found_no_row_do_not_both_write_one(void **state)
{
    struct sink_world *w = *state;
    struct shop a, b;
    shop_init(&a, w, "a.db");
    shop_open(&a);
    shop_init(&b, w, "a.db");
    shop_open(&b);
    start_at(&a, source, 1, 0);
    start_at(&b, source, 1, 0);
    struct landing *of_a = landing_new(w, a.sink, source), *of_b = landing_new(w, b.sink, source);
    add_numbers(of_a, 0, 3);
    add_numbers(of_b, 0, 5);
    assert_int_equal(landing_land(of_a), NEAP_OK);
    assert_int_equal(landing_land(of_b), NEAP_CONFLICT);
    assert_non_null(strstr(of_b->batch.error.text, "stands at offset 3 there and at 0 here"));
    assert_string_equal(seen(&a, "SELECT count(*) FROM commits"), "3\n");
    landing_free(&of_a);
    landing_free(&of_b);
    shop_close(&a);
    shop_close(&b);
}

static void a_row_that_changed_or_went_away_stops_the_landing(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_clear(l);
    add_numbers(l, 5, 9);
    seen(&s, "CREATE TABLE copy AS SELECT * FROM neap_offsets; UPDATE neap_offsets SET landings = 0, commit_point = 2");
    assert_int_equal(landing_land(l), NEAP_CONFLICT);
    assert_non_null(strstr(l->batch.error.text, "stands at offset 2 there and at 5 here"));
    seen(&s, "DELETE FROM neap_offsets");
    assert_int_equal(landing_land(l), NEAP_CONFLICT);
    assert_non_null(strstr(l->batch.error.text, "is gone; it stood at offset 5"));
    seen(&s, "INSERT INTO neap_offsets SELECT * FROM copy");
    assert_int_equal(landing_land(l), NEAP_OK);
    seen(&s, "DROP TABLE commits");
    landing_clear(l);
    add_numbers(l, 9, 10);
    assert_int_equal(landing_land(l), NEAP_CONFLICT);
    assert_non_null(strstr(l->batch.error.text, "no such table: main.commits"));
    landing_free(&l);
    shop_close(&s);
}

static void a_row_of_another_log_is_shown_and_left_alone(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 4, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);

    s.options.log_id.bytes[0] = 0xee; /* the data directory was wiped */
    shop_open(&s);
    struct sink_recover r = start_at(&s, (struct log_partition){ 2, 0 }, 1, 0);
    assert_true(r.rows_there);
    assert_true(r.stranger.found);
    assert_memory_equal(r.stranger.log_id, our_log.bytes, 16);
    assert_int_equal(r.stranger.commit_point.n, 5);
    assert_int_equal(r.stranger.owner_epoch, 4);
    assert_int_equal(r.stranger.ledger.delivered, 5);
    assert_string_equal(seen(&s, OFFSETS), "5|4|1|0|5|commits|1\n");
    shop_close(&s);
}

static void another_table_is_said_until_a_start_is_written(void **state)
{
    struct shop s;
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);

    s.options.table = "commits2";
    shop_open(&s);
    struct sink_recover r = world_recover(*state, s.sink, source, 2, false);
    assert_int_equal(r.status, NEAP_CONFLICT);
    assert_non_null(strstr(r.error.text, "into table commits up to offset 5; the pipeline now names table commits2"));
    r = world_recover(*state, s.sink, source, 2, true);
    assert_int_equal(r.status, NEAP_OK);
    assert_false(r.rows_there);
    l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 2); /* start: earliest */
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    assert_string_equal(seen(&s, OFFSETS), "2|2|2|0|2|commits2|1\n");
    shop_close(&s);
}

/* ---- who else is there ---- */

static void another_program_reads_and_writes_beside_us(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(w, s.sink, source);
    sqlite3 *other = open_beside(&s);
    assert_int_equal(sqlite3_exec(other, "BEGIN; SELECT count(*) FROM commits", NULL, NULL, NULL), SQLITE_OK);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK); /* a reader does not hold us up */
    assert_int_equal(sqlite3_exec(other, "COMMIT; BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    landing_clear(l);
    add_numbers(l, 5, 10);
    assert_int_equal(landing_land(l), NEAP_TIMEOUT); /* a writer does, and we say so */
    assert_non_null(strstr(l->batch.error.text, "database is locked"));
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_int_equal(landing_land(l), NEAP_OK);
    assert_string_equal(seen(&s, OFFSETS), "10|1|2|0|10|commits|1\n");
    landing_free(&l);
    shop_close(&s);
}

/* Without a write-ahead log a reader stops the COMMIT itself. */
static void a_commit_that_a_reader_stopped_did_not_land(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    seen(&s, "CREATE TABLE something (x)");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(w, s.sink, source);
    sqlite3 *other = open_beside(&s);
    assert_int_equal(sqlite3_exec(other, "BEGIN; SELECT count(*) FROM something", NULL, NULL, NULL), SQLITE_OK);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_TIMEOUT);
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    assert_string_equal(seen(&s, "SELECT count(*) FROM commits"), "0\n");
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);
}

static void a_database_that_was_moved_away_gets_no_rows(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(w, s.sink, source);
    add_numbers(l, 0, 5);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_clear(l);
    add_numbers(l, 5, 6);
    char moved[700];
    snprintf(moved, sizeof(moved), "%s.old", s.path);
    assert_int_equal(rename(s.path, moved), 0);
    assert_int_equal(landing_land(l), NEAP_CONFLICT);
    assert_non_null(strstr(l->batch.error.text, "moved away or deleted while it was in use"));
    assert_int_equal(rename(moved, s.path), 0);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);
}

static void a_full_disk_takes_nothing_and_goes_on_when_there_is_room(void **state)
{
    struct sink_world *w = *state;
    char dir[640];
    snprintf(dir, sizeof(dir), "%s", scratch_path(&w->scratch, "small"));
    assert_int_equal(io_dir_make(w->io, dir, NULL), NEAP_OK);
    if (mount("none", dir, "tmpfs", 0, "size=400k") != 0)
        skip(); /* only root may make a small disk */
    struct shop s;
    shop_init(&s, w, "small/a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    char ballast[700];
    snprintf(ballast, sizeof(ballast), "%s/ballast", dir);
    FILE *f = fopen(ballast, "w");
    setvbuf(f, NULL, _IONBF, 0);
    for (int i = 0; i < 400 && fputc('x', f) == 'x'; i++)
        fseek(f, 1023, SEEK_CUR);
    fclose(f);
    struct landing *l = landing_new(w, s.sink, source);
    add_numbers(l, 0, 4000);
    enum neap_status full = landing_land(l);
    char text[64];
    snprintf(text, sizeof(text), "%s", seen(&s, "SELECT count(*) FROM commits"));
    unlink(ballast);
    assert_int_equal(mount("none", dir, NULL, MS_REMOUNT, "size=8m"), 0);
    enum neap_status again = landing_land(l);
    char after[64];
    snprintf(after, sizeof(after), "%s", seen(&s, "SELECT count(*) FROM commits"));
    landing_free(&l);
    shop_close(&s);
    assert_int_equal(umount(dir), 0);
    assert_int_equal(full, NEAP_FULL);
    assert_string_equal(text, "0\n");
    assert_int_equal(again, NEAP_OK);
    assert_string_equal(after, "4000\n");
}

/* ---- kill -9 ---- */

static _Noreturn void land_for_ever(const struct scratch *scratch, int progress)
{
    struct sink_world w;
    world_open(&w);
    scratch_fini(&w.scratch);
    w.scratch = *scratch;
    if (vfs != NULL) { /* the parent's goes through the parent's door */
        io_vfs_unregister(vfs);
        assert_int_equal(io_vfs_register(w.io, vfs, &w.err), NEAP_OK);
    }
    struct shop s;
    shop_init(&s, &w, "a.db");
    s.database_options.checkpoint_size = 64 << 10; /* often, so that kills meet one */
    shop_open(&s);
    struct sink_recover r = world_recover(&w, s.sink, source, 1, true);
    struct landing *l = landing_new(&w, s.sink, source);
    l->batch.ledger = r.row.ledger;
    for (uint64_t at = r.row.commit_point.n;; at += 50) {
        landing_clear(l);
        add_numbers(l, at, at + 50);
        if (landing_land(l) != NEAP_OK || write(progress, "", 1) != 1)
            _exit(1);
    }
}

static void rows_and_commit_point_agree_after_every_kill(void **state)
{
    struct sink_world *w = *state;
    struct shop s;
    shop_init(&s, w, "a.db");
    uint64_t seed = 5;
    for (int kill_count = 0; kill_count < 12; kill_count++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0)
            land_for_ever(&w->scratch, ends[1]);
        assert_true(child > 0);
        close(ends[1]);
        char bytes[8];
        ssize_t wanted = 1 + (ssize_t)chance_below(&seed, sizeof(bytes));
        for (ssize_t got = 0; wanted > 0; wanted -= got) {
            got = read(ends[0], bytes, (size_t)wanted);
            assert_true(got > 0); /* it has not given up */
        }
        usleep((useconds_t)chance_below(&seed, 3000)); /* somewhere in the next ones */
        int status;
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        close(ends[0]);
        char rows[64];
        snprintf(rows, sizeof(rows), "%s", seen(&s, "SELECT count(*), max(n) + 1 FROM commits"));
        assert_string_equal(rows, seen(&s, "SELECT commit_point, delivered FROM neap_offsets"));
    }
    assert_true(strtoull(seen(&s, "SELECT count(*) FROM commits"), NULL, 10) >= 12 * 50);
}

int main(void)
{
#define TEST_OF(name) cmocka_unit_test_setup_teardown(name, open_state, close_state)
    const struct CMUnitTest tests[] = {
        TEST_OF(values_keep_their_kind),
        TEST_OF(bytes_that_are_no_text_and_nan_find_their_place),
        TEST_OF(a_full_batch_and_a_row_too_large_are_told),
        TEST_OF(a_restart_finds_rows_commit_point_and_ledger),
        TEST_OF(partitions_and_sinks_share_one_database),
        TEST_OF(refused_rows_are_all_named_and_the_rest_lands),
        TEST_OF(no_more_refused_rows_than_there_is_room_to_tell),
        TEST_OF(the_tables_own_rules_refuse_a_row_aloud),
        TEST_OF(ignore_passes_over_what_is_there_and_nothing_else),
        TEST_OF(upsert_keeps_the_newest),
        TEST_OF(a_table_that_does_not_fit_is_said_at_start),
        TEST_OF(a_table_with_more_than_we_fill_is_fine),
        TEST_OF(upsert_without_a_unique_index_is_said_at_start),
        TEST_OF(names_are_quoted),
        TEST_OF(options_that_cannot_be_are_misuse),
        TEST_OF(places_that_cannot_be_are_said_with_their_path),
        TEST_OF(a_newer_format_is_left_alone),
        TEST_OF(an_older_owner_is_fenced),
        TEST_OF(two_who_found_no_row_do_not_both_write_one),
        TEST_OF(a_row_that_changed_or_went_away_stops_the_landing),
        TEST_OF(a_row_of_another_log_is_shown_and_left_alone),
        TEST_OF(another_table_is_said_until_a_start_is_written),
        TEST_OF(another_program_reads_and_writes_beside_us),
        TEST_OF(a_commit_that_a_reader_stopped_did_not_land),
        TEST_OF(a_database_that_was_moved_away_gets_no_rows),
        TEST_OF(a_full_disk_takes_nothing_and_goes_on_when_there_is_room),
        TEST_OF(rows_and_commit_point_agree_after_every_kill),
    };
    int failed_count = cmocka_run_group_tests_name("sink_sqlite", tests, NULL, NULL);
    vfs = DOOR_VFS;
    return failed_count + cmocka_run_group_tests_name("sink_sqlite on the door", tests, NULL, NULL);
}
