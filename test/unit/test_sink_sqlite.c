/* The SQLite sink: rows and commit point land together or not at all, in the table the user made or did not make. */
#include "check.h"

#include "sqlite_shop.h"

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

/* What is done beyond the commit point is found again, here and by who asks about another log; and goes when it is told so. */
static void a_done_set_lies_in_the_row(void **state)
{
    struct shop s;
    const struct bytes set = BYTES("\x01\x07\x02");
    shop_init(&s, *state, "a.db");
    shop_open(&s);
    start_at(&s, source, 1, 0);
    struct landing *l = landing_new(*state, s.sink, source);
    add_numbers(l, 0, 2);
    l->batch.done_set = set;
    assert_int_equal(landing_land(l), NEAP_OK);
    shop_close(&s);
    assert_string_equal(seen(&s, "SELECT format, hex(done) FROM neap_offsets"), "2|010702\n");
    shop_open(&s);
    struct sink_recover r = start_at(&s, source, 2, 2);
    assert_true(bytes_equal(r.row.done, set));
    r = world_recover(s.world, s.sink, (struct log_partition){ source.topic_id + 1, source.partition }, 2, false);
    assert_true(r.stranger.found && bytes_equal(r.stranger.done, set));
    landing_free(&l);
    l = landing_new(*state, s.sink, source);
    add_numbers(l, 2, 3);
    assert_int_equal(landing_land(l), NEAP_OK);
    landing_free(&l);
    shop_close(&s);
    assert_string_equal(seen(&s, "SELECT format, done IS NULL FROM neap_offsets"), "1|1\n");
}

static void a_table_of_the_first_format_gets_its_column(void **state)
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
    seen(&s, "ALTER TABLE neap_offsets DROP COLUMN done");
    shop_open(&s);
    struct sink_recover r = start_at(&s, source, 2, 2);
    assert_int_equal(r.row.done.size, 0);
    shop_close(&s);
    assert_string_equal(seen(&s, "SELECT commit_point, done IS NULL FROM neap_offsets"), "2|1\n");
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
    seen(&s, "UPDATE neap_offsets SET format = 3");
    assert_int_equal(shop_try(&s), NEAP_VERSION);
    seen(&s, "DROP TABLE neap_offsets; CREATE TABLE neap_offsets (x)");
    assert_int_equal(shop_try(&s), NEAP_CONFLICT);
    assert_non_null(strstr(s.world->err.text, "is not one of Neap's"));
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
        TEST_OF(a_done_set_lies_in_the_row),
        TEST_OF(a_table_of_the_first_format_gets_its_column),
        TEST_OF(a_newer_format_is_left_alone),
    };
    int failed_count = cmocka_run_group_tests_name("sink_sqlite", tests, NULL, NULL);
    vfs = DOOR_VFS;
    return failed_count + cmocka_run_group_tests_name("sink_sqlite on the door", tests, NULL, NULL);
}
